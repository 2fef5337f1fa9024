-- The record of what was done. Append-only: the module's role may insert and read, nothing more. One partition per year.
-- `organisation_id` is the nil UUID for what happened to no organisation (an account signed in): the house's own chain.

create table audit.entry (
    organisation_id uuid not null,
    seq bigint not null check (seq > 0),
    at timestamptz not null,
    event_id uuid not null,
    name text not null,
    version smallint not null,
    actor_kind text not null,
    account_id uuid,
    key_id uuid,
    service text not null,
    address text not null,
    trace_id text not null,
    object_kind text not null,
    object_id uuid,
    details text not null, -- JSON exactly as it was sealed: a jsonb would come back in another order
    hash bytea not null check (length(hash) = 32),
    primary key (organisation_id, seq, at),
    -- An event has one `at`, so this is one entry per event although a partitioned key must contain the time.
    constraint entry_event unique (organisation_id, event_id, at)
) partition by range (at);
create index entry_by_account on audit.entry (organisation_id, account_id, seq desc);

create table audit.entry_default partition of audit.entry default;

-- Which entries mention an object. A row per object of an entry, for look-ups by id.
create table audit.mention (
    organisation_id uuid not null,
    object_id uuid not null,
    seq bigint not null,
    object_kind text not null,
    at timestamptz not null,
    primary key (organisation_id, object_id, seq, object_kind)
);

-- Where a chain ends. The only row that changes; an entry that was cut off the end is missed here.
create table audit.chain (
    organisation_id uuid primary key,
    seq bigint not null default 0,
    hash bytea not null check (length(hash) = 32)
);

alter table audit.entry enable row level security;
alter table audit.entry force row level security;
alter table audit.entry_default enable row level security;
alter table audit.entry_default force row level security;
alter table audit.mention enable row level security;
alter table audit.mention force row level security;
alter table audit.chain enable row level security;
alter table audit.chain force row level security;

grant select, insert on audit.entry, audit.mention to fc_audit;
grant select, insert, update on audit.chain to fc_audit;

create policy own_entries on audit.entry to fc_audit
    using (organisation_id = coalesce(kernel.current_org(), '00000000-0000-0000-0000-000000000000'::uuid))
    with check (organisation_id = coalesce(kernel.current_org(), '00000000-0000-0000-0000-000000000000'::uuid));
create policy own_mentions on audit.mention to fc_audit
    using (organisation_id = coalesce(kernel.current_org(), '00000000-0000-0000-0000-000000000000'::uuid))
    with check (organisation_id = coalesce(kernel.current_org(), '00000000-0000-0000-0000-000000000000'::uuid));
create policy own_chain on audit.chain to fc_audit
    using (organisation_id = coalesce(kernel.current_org(), '00000000-0000-0000-0000-000000000000'::uuid))
    with check (organisation_id = coalesce(kernel.current_org(), '00000000-0000-0000-0000-000000000000'::uuid));
-- The command that verifies every chain asks which there are; ends of chains say nothing about what happened.
create policy every_chain on audit.chain for select to fc_audit using (true);

-- Partitions are the owner's business: `security definer`, for this module's role alone. Returns how many were made.
create function audit.make_entry_partitions(years_ahead int) returns int
    language plpgsql security definer set search_path = '' as $$
declare
    made int := 0;
    year timestamptz;
    part text;
begin
    for i in 0 .. least(years_ahead, 10) loop
        year := date_trunc('year', now() at time zone 'UTC') at time zone 'UTC' + make_interval(years => i);
        part := 'entry_' || to_char(year at time zone 'UTC', 'YYYY');
        if to_regclass('audit.' || part) is null then
            execute format(
                'create table audit.%I partition of audit.entry for values from (%L) to (%L)',
                part, year, year + interval '1 year'
            );
            execute format('alter table audit.%I enable row level security', part);
            execute format('alter table audit.%I force row level security', part);
            made := made + 1;
        end if;
    end loop;
    return made;
end $$;

revoke execute on function audit.make_entry_partitions(int) from public;
grant execute on function audit.make_entry_partitions(int) to fc_audit;

select audit.make_entry_partitions(1);
