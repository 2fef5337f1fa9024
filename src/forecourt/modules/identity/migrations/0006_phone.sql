-- A person's phone number, and one that waits to be shown to be theirs. Both are the person's own rows: whoever looks for
-- somebody else's number has to say whose (`forecourt.account`).

-- Numbers that were shown to be somebody's. Of two people who prove the same number the constraint lets one have it.
create table identity.phone (
    account_id uuid primary key references identity.account (id) on delete cascade,
    number text not null check (length(number) between 8 and 16) constraint phone_number_key unique,
    verified_at timestamptz not null
);

-- The newest code, as a keyed digest: six digits could be tried out against a plain one. Gone with its use or its end.
create table identity.phone_challenge (
    account_id uuid primary key references identity.account (id) on delete cascade,
    id uuid not null,
    number text not null check (length(number) between 8 and 16),
    code_hash bytea not null check (length(code_hash) = 32),
    tries int not null default 0 check (tries between 0 and 5),
    expires_at timestamptz not null
);
create index phone_challenge_expires_at on identity.phone_challenge (expires_at);

alter table identity.phone enable row level security;
alter table identity.phone force row level security;
alter table identity.phone_challenge enable row level security;
alter table identity.phone_challenge force row level security;

grant select, insert, update, delete on identity.phone, identity.phone_challenge to fc_identity;

create policy own_phone on identity.phone to fc_identity
    using (account_id = kernel.current_account()) with check (account_id = kernel.current_account());
create policy own_code on identity.phone_challenge to fc_identity
    using (account_id = kernel.current_account()) with check (account_id = kernel.current_account());
-- Acting for nobody, the module sees codes that are past their time, and removes them.
create policy past_keeping on identity.phone_challenge to fc_identity
    using (kernel.current_account() is null and expires_at < now()) with check (false);
