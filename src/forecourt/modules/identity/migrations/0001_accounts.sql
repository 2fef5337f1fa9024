-- People and how they sign in. Two sorts of tables:
-- * looked at before anybody is known (account by address, token by hash): the module's role sees all rows, and nobody else
--   can reach the schema. They hold no readable secret, and the token table nothing but digests and ids.
-- * what belongs to one person (sessions, security events): row security shows a person's rows to that person alone. The
--   service that has just learned from a token whose it is says so (`forecourt.account`) before it touches them.

create table identity.signing_key (
    id text primary key check (length(id) between 8 and 64),
    public_key jsonb not null,
    sealed_private_key bytea not null, -- encrypted under a key derived from the house's secret
    made_at timestamptz not null,
    signs_from timestamptz not null, -- published before it signs, so that every process knows it by then
    signs_until timestamptz not null,
    verifies_until timestamptz not null check (verifies_until > signs_until)
);

create table identity.account (
    id uuid primary key,
    email text not null check (length(email) between 3 and 254),
    email_key text not null constraint account_email_key unique, -- folded: case does not make another address
    name text not null check (length(name) between 1 and 100),
    password_hash text,
    status text not null default 'unconfirmed' check (status in ('unconfirmed', 'active', 'suspended', 'banned')),
    status_reason text not null default '' check (length(status_reason) <= 500),
    platform_admin boolean not null default false,
    revoked_before timestamptz,
    changed_at timestamptz, -- status or rights changed: what the gates of all processes ask for
    created_at timestamptz not null
);
create index account_changed_at on identity.account (changed_at) where changed_at is not null;

create table identity.session (
    account_id uuid not null references identity.account (id) on delete cascade,
    id uuid not null,
    kind text not null check (kind in ('token', 'browser')),
    address text not null default '' check (length(address) <= 100),
    agent text not null default '' check (length(agent) <= 400),
    created_at timestamptz not null,
    used_at timestamptz not null,
    expires_at timestamptz not null,
    ended_at timestamptz,
    primary key (account_id, id)
);

-- Refresh tokens and browser cookies by SHA-256. A spent refresh token stays until its session ends, to recognise theft.
create table identity.token (
    hash bytea primary key check (length(hash) = 32),
    kind text not null check (kind in ('refresh', 'browser')),
    account_id uuid not null,
    session_id uuid not null,
    expires_at timestamptz not null,
    spent_at timestamptz,
    foreign key (account_id, session_id) references identity.session (account_id, id) on delete cascade
);
create index token_session on identity.token (account_id, session_id);
create index token_expires_at on identity.token (expires_at);

-- Sessions that ended while an access token of theirs may still live. Ids only.
create table identity.revocation (
    session_id uuid primary key,
    at timestamptz not null
);
create index revocation_at on identity.revocation (at);

-- A code or a link sent by mail. Both are kept as keyed digests: six digits could be tried out against a plain one.
create table identity.challenge (
    id uuid primary key,
    account_id uuid not null references identity.account (id) on delete cascade,
    purpose text not null check (purpose in ('confirm', 'reset')),
    token_hash bytea not null unique check (length(token_hash) = 32),
    code_hash bytea check (length(code_hash) = 32),
    tries int not null default 0 check (tries between 0 and 5),
    expires_at timestamptz not null,
    used_at timestamptz
);
create unique index challenge_current on identity.challenge (account_id, purpose) where used_at is null;
create index challenge_expires_at on identity.challenge (expires_at);

-- Counters per window: failed log-ins, mails asked for. The key is a digest of what is counted, whether it exists or not.
create table identity.throttle (
    key bytea primary key check (length(key) = 32),
    count int not null check (count >= 1),
    until timestamptz not null
) with (fillfactor = 70);
create index throttle_until on identity.throttle (until);

create table identity.security_event (
    account_id uuid not null references identity.account (id) on delete cascade,
    id uuid not null,
    kind text not null check (length(kind) between 1 and 40),
    detail text not null default '' check (length(detail) <= 300),
    address text not null default '' check (length(address) <= 100),
    agent text not null default '' check (length(agent) <= 400),
    at timestamptz not null,
    primary key (account_id, id)
);

alter table identity.signing_key enable row level security;
alter table identity.signing_key force row level security;
alter table identity.account enable row level security;
alter table identity.account force row level security;
alter table identity.session enable row level security;
alter table identity.session force row level security;
alter table identity.token enable row level security;
alter table identity.token force row level security;
alter table identity.revocation enable row level security;
alter table identity.revocation force row level security;
alter table identity.challenge enable row level security;
alter table identity.challenge force row level security;
alter table identity.throttle enable row level security;
alter table identity.throttle force row level security;
alter table identity.security_event enable row level security;
alter table identity.security_event force row level security;

grant select, insert, delete on identity.signing_key, identity.revocation to fc_identity;
grant select, insert, update on identity.account, identity.session to fc_identity;
grant select, insert, update, delete on identity.token, identity.challenge, identity.throttle to fc_identity;
grant select, insert on identity.security_event to fc_identity;
grant delete on identity.session to fc_identity;

create policy before_anybody_is_known on identity.signing_key to fc_identity using (true) with check (true);
create policy before_anybody_is_known on identity.account to fc_identity using (true) with check (true);
create policy before_anybody_is_known on identity.token to fc_identity using (true) with check (true);
create policy before_anybody_is_known on identity.revocation to fc_identity using (true) with check (true);
create policy before_anybody_is_known on identity.challenge to fc_identity using (true) with check (true);
create policy before_anybody_is_known on identity.throttle to fc_identity using (true) with check (true);
create policy own_sessions on identity.session to fc_identity
    using (account_id = kernel.current_account()) with check (account_id = kernel.current_account());
create policy own_events on identity.security_event to fc_identity
    using (account_id = kernel.current_account()) with check (account_id = kernel.current_account());
