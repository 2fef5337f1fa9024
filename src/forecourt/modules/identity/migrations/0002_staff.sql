-- Who works for which organisation, and what its keys may do. Rows are the organisation's; a person also sees where it is staff.

create table identity.role (
    organisation_id uuid not null,
    id uuid not null,
    name text not null check (length(name) between 1 and 40),
    name_key text not null check (length(name_key) between 1 and 80),
    permissions text[] not null check (cardinality(permissions) <= 100),
    version int not null default 1 check (version >= 1),
    created_at timestamptz not null,
    primary key (organisation_id, id),
    constraint role_name_key unique (organisation_id, name_key)
);

create table identity.staff (
    organisation_id uuid not null,
    account_id uuid not null references identity.account (id) on delete cascade,
    role text check (role in ('owner', 'manager', 'agent', 'coach', 'viewer')),
    role_id uuid, -- one of the organisation's own
    joined_at timestamptz not null,
    version int not null default 1 check (version >= 1),
    primary key (organisation_id, account_id),
    constraint one_role check ((role is null) <> (role_id is null)),
    constraint staff_role foreign key (organisation_id, role_id) references identity.role (organisation_id, id)
);
create index staff_account on identity.staff (account_id);
create index staff_role_id on identity.staff (organisation_id, role_id) where role_id is not null;

create table identity.staff_invitation (
    organisation_id uuid not null,
    id uuid not null,
    email text not null check (length(email) between 3 and 254),
    email_key text not null check (length(email_key) between 3 and 320),
    role text check (role in ('owner', 'manager', 'agent', 'coach', 'viewer')),
    role_id uuid,
    token_hash bytea not null check (length(token_hash) = 32),
    invited_by uuid,
    created_at timestamptz not null,
    expires_at timestamptz not null,
    accepted_at timestamptz,
    primary key (organisation_id, id),
    unique (organisation_id, token_hash),
    constraint one_role check ((role is null) <> (role_id is null)),
    constraint invitation_role foreign key (organisation_id, role_id) references identity.role (organisation_id, id) on delete cascade
);

create table identity.api_key (
    organisation_id uuid not null,
    id uuid not null,
    name text not null check (length(name) between 1 and 80),
    hint text not null check (length(hint) between 4 and 20), -- the first characters, to tell keys apart
    permissions text[] not null check (cardinality(permissions) between 1 and 100),
    created_by uuid,
    created_at timestamptz not null,
    expires_at timestamptz,
    used_at timestamptz,
    revoked_at timestamptz,
    primary key (organisation_id, id)
);

-- From a key's digest to its place: a key is read before its organisation is known.
create table identity.api_key_place (
    hash bytea primary key check (length(hash) = 32),
    organisation_id uuid not null,
    key_id uuid not null,
    foreign key (organisation_id, key_id) references identity.api_key (organisation_id, id) on delete cascade
);
create index api_key_place_key on identity.api_key_place (organisation_id, key_id);

alter table identity.role enable row level security;
alter table identity.role force row level security;
alter table identity.staff enable row level security;
alter table identity.staff force row level security;
alter table identity.staff_invitation enable row level security;
alter table identity.staff_invitation force row level security;
alter table identity.api_key enable row level security;
alter table identity.api_key force row level security;
alter table identity.api_key_place enable row level security;
alter table identity.api_key_place force row level security;

grant select, insert, update, delete on identity.role, identity.staff, identity.staff_invitation to fc_identity;
grant select, insert, update on identity.api_key to fc_identity;
grant select, insert, delete on identity.api_key_place to fc_identity;

create policy of_the_organisation on identity.role to fc_identity
    using (organisation_id = kernel.current_org()) with check (organisation_id = kernel.current_org());
create policy of_the_organisation on identity.staff to fc_identity
    using (organisation_id = kernel.current_org()) with check (organisation_id = kernel.current_org());
create policy own_places on identity.staff for select to fc_identity using (account_id = kernel.current_account());
create policy of_the_organisation on identity.staff_invitation to fc_identity
    using (organisation_id = kernel.current_org()) with check (organisation_id = kernel.current_org());
create policy of_the_organisation on identity.api_key to fc_identity
    using (organisation_id = kernel.current_org()) with check (organisation_id = kernel.current_org());
create policy before_anybody_is_known on identity.api_key_place to fc_identity using (true) with check (true);
