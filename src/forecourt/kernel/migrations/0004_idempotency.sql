-- One row per Idempotency-Key and account: while the first request works the row is locked, afterwards it holds the answer.
-- `account_id` is the nil UUID for a caller without an account. The kernel's role sees the rows of `forecourt.account` alone.

create table kernel.idempotency (
    account_id uuid not null default '00000000-0000-0000-0000-000000000000',
    key text not null check (length(key) between 1 and 255),
    fingerprint bytea not null, -- digest of method, path and body: the same key with another request is refused
    effect_id uuid not null,
    state text not null default 'working' check (state in ('working', 'done')),
    status int,
    headers jsonb,
    body bytea,
    locked_until timestamptz not null,
    expires_at timestamptz not null,
    primary key (account_id, key)
) with (fillfactor = 70);
create index idempotency_expires_at on kernel.idempotency (expires_at);

alter table kernel.idempotency enable row level security;
alter table kernel.idempotency force row level security;
grant select, insert, update, delete on kernel.idempotency to fc_kernel;

create policy own_keys on kernel.idempotency to fc_kernel
    using (account_id = coalesce(kernel.current_account(), '00000000-0000-0000-0000-000000000000'))
    with check (account_id = coalesce(kernel.current_account(), '00000000-0000-0000-0000-000000000000'));

-- Keys are kept for a day or so. The sweep runs outside any account, so it is the owner's: at most `most` rows a call.
create function kernel.forget_idempotency(before timestamptz, most int) returns bigint
    language sql security definer set search_path = '' as $$
    with old as (
        select account_id, key from kernel.idempotency where expires_at < before order by expires_at limit most
        for update skip locked
    ), gone as (
        delete from kernel.idempotency i using old o where i.account_id = o.account_id and i.key = o.key returning 1
    )
    select count(*) from gone
$$;
revoke execute on function kernel.forget_idempotency(timestamptz, int) from public;
grant execute on function kernel.forget_idempotency(timestamptz, int) to fc_kernel;
