-- Profiles are looked at by everybody, field by field as their owner chose (rules.py decides); only the owner writes.
create table people.profile (
    account_id uuid primary key,
    display_name text not null check (length(display_name) between 1 and 100),
    handle text check (length(handle) between 3 and 30),
    handle_key text constraint profile_handle_key unique check (length(handle_key) between 3 and 30),
    bio text not null default '' check (length(bio) <= 2000),
    photo_id uuid,
    city text not null default '' check (length(city) <= 100),
    sports jsonb not null default '[]',
    preferred_times jsonb not null default '[]',
    languages text[] not null default '{}' check (cardinality(languages) <= 20),
    visibility jsonb not null default '{}', -- field → who; fields that are missing have the default of rules.py
    version int not null default 1 check (version >= 1),
    updated_at timestamptz not null,
    constraint handle_and_key check ((handle is null) = (handle_key is null))
);

create table people.preferences (
    account_id uuid primary key,
    chosen jsonb not null,
    updated_at timestamptz not null
);

alter table people.profile enable row level security;
alter table people.profile force row level security;
alter table people.preferences enable row level security;
alter table people.preferences force row level security;

grant select, insert, update on people.profile, people.preferences to fc_people;

create policy anybody_may_look on people.profile for select to fc_people using (true);
create policy own_profile_made on people.profile for insert to fc_people with check (account_id = kernel.current_account());
create policy own_profile_edited on people.profile for update to fc_people
    using (account_id = kernel.current_account()) with check (account_id = kernel.current_account());
create policy own_preferences on people.preferences to fc_people
    using (account_id = kernel.current_account()) with check (account_id = kernel.current_account());
