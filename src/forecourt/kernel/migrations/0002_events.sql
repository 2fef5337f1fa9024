-- The event log: append-only, one partition per month. `xid` is the writing transaction; together with `id` (UUIDv7, rising
-- within a transaction) it is a subscriber's position. Read only below pg_snapshot_xmin(pg_current_snapshot()).

create table kernel.event (
    xid xid8 not null default pg_current_xact_id(),
    id uuid not null,
    at timestamptz not null default now(),
    organisation_id uuid,
    name text not null,
    version smallint not null,
    payload bytea not null, -- JSON as the program wrote it: a quarter cheaper to write than jsonb, a third to read, never searched
    actor_kind text not null,
    account_id uuid,
    key_id uuid,
    service text not null default '',
    trace_id text not null default '',
    address text not null default '',
    primary key (xid, id, at)
) partition by range (at);

alter table kernel.event enable row level security;
alter table kernel.event force row level security;

create table kernel.event_default partition of kernel.event default;
alter table kernel.event_default enable row level security;
alter table kernel.event_default force row level security;

grant insert on kernel.event to fc_module, fc_kernel;
grant select on kernel.event to fc_kernel;

-- A transaction about one organisation cannot speak for another.
create policy written_by_modules on kernel.event for insert to fc_module, fc_kernel with check (
    organisation_id is null or kernel.current_org() is null or organisation_id = kernel.current_org()
);
create policy read_by_the_kernel on kernel.event for select to fc_kernel using (true);

-- Partitions are the owner's business: `security definer`, for the kernel's role alone.
create function kernel.make_event_partitions(months_ahead int) returns int
    language plpgsql security definer set search_path = '' as $$
declare
    made int := 0;
    month timestamptz;
    part text;
begin
    for i in 0 .. least(months_ahead, 24) loop
        month := date_trunc('month', now() at time zone 'UTC') at time zone 'UTC' + make_interval(months => i);
        part := 'event_' || to_char(month at time zone 'UTC', 'YYYY_MM');
        if to_regclass('kernel.' || part) is null then
            execute format(
                'create table kernel.%I partition of kernel.event for values from (%L) to (%L)',
                part, month, month + interval '1 month'
            );
            execute format('alter table kernel.%I enable row level security', part);
            execute format('alter table kernel.%I force row level security', part);
            made := made + 1;
        end if;
    end loop;
    return made;
end $$;

-- Drops months that ended before `before`; returns their names. A month that a subscriber has not finished stays.
create function kernel.drop_event_partitions(before timestamptz) returns text[]
    language plpgsql security definer set search_path = '' as $$
declare
    dropped text[] := '{}';
    part text;
    busy boolean;
begin
    for part in
        select c.relname from pg_catalog.pg_inherits i
        join pg_catalog.pg_class c on c.oid = i.inhrelid
        where i.inhparent = 'kernel.event'::regclass and c.relname ~ '^event_\d{4}_\d{2}$'
          and (to_timestamp(substr(c.relname, 7) || '_01 +00', 'YYYY_MM_DD TZH') + interval '1 month') <= before
        order by c.relname
    loop
        execute format(
            'select exists (select from kernel.cursor c join kernel.%I e on (e.xid, e.id) > (c.xid, c.id))', part
        ) into busy;
        if not busy then
            execute format('drop table kernel.%I', part);
            dropped := dropped || part;
        end if;
    end loop;
    return dropped;
end $$;

-- How far each subscriber is. `careful_*`: up to there events are handled one by one, because a batch failed.
create table kernel.cursor (
    subscriber text primary key,
    xid xid8 not null default '0',
    id uuid not null default '00000000-0000-0000-0000-000000000000',
    careful_xid xid8 not null default '0',
    careful_id uuid not null default '00000000-0000-0000-0000-000000000000',
    attempts int not null default 0,
    retry_at timestamptz,
    error text not null default '',
    moved_at timestamptz not null default now()
) with (fillfactor = 50);

create table kernel.dead_letter (
    id bigint generated always as identity primary key,
    subscriber text not null,
    event_id uuid not null,
    at timestamptz not null,
    organisation_id uuid,
    name text not null,
    version smallint not null,
    payload bytea not null,
    actor_kind text not null,
    account_id uuid,
    key_id uuid,
    service text not null,
    trace_id text not null,
    address text not null,
    attempts int not null,
    error text not null,
    died_at timestamptz not null default now(),
    unique (subscriber, event_id)
);

-- What a subscriber has already done, where effects are handled one by one. A module writes for its own subscribers only.
create table kernel.inbox (
    subscriber text not null,
    event_id uuid not null,
    at timestamptz not null default now(),
    primary key (subscriber, event_id)
);
create index inbox_at on kernel.inbox (at);

alter table kernel.cursor enable row level security;
alter table kernel.cursor force row level security;
alter table kernel.dead_letter enable row level security;
alter table kernel.dead_letter force row level security;
alter table kernel.inbox enable row level security;
alter table kernel.inbox force row level security;

grant select, insert, update, delete on kernel.cursor, kernel.dead_letter to fc_kernel;
grant select, insert, delete on kernel.inbox to fc_kernel;
grant insert on kernel.inbox to fc_module;

create policy kernel_only on kernel.cursor to fc_kernel using (true) with check (true);
create policy kernel_only on kernel.dead_letter to fc_kernel using (true) with check (true);
create policy kernel_all on kernel.inbox to fc_kernel using (true) with check (true);
create policy own_subscribers on kernel.inbox for insert to fc_module
    with check ('fc_' || split_part(subscriber, '.', 1) = current_user);

revoke execute on function kernel.make_event_partitions(int), kernel.drop_event_partitions(timestamptz) from public;
grant execute on function kernel.make_event_partitions(int), kernel.drop_event_partitions(timestamptz) to fc_kernel;

select kernel.make_event_partitions(3);
