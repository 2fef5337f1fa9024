-- What a subscriber has made of months that go: its state at a place of the log, from which all that follows is still there.

create table kernel.snapshot (
    subscriber text not null,
    xid xid8 not null,
    id uuid not null,
    made_at timestamptz not null default now(),
    state text not null, -- JSON, in the subscriber's own form
    primary key (subscriber, xid, id)
);

alter table kernel.snapshot enable row level security;
alter table kernel.snapshot force row level security;
grant select, insert, update, delete on kernel.snapshot to fc_kernel;

create policy kernel_only on kernel.snapshot to fc_kernel using (true) with check (true);

-- Whether the subscriber has a state: then nothing goes from the log before a snapshot has it.
alter table kernel.cursor add column keeps_state boolean not null default false;

-- A rebuild replaces the sums.
grant delete on kernel.tally to fc_kernel;

-- Months ahead. A house that was shut for longer than they reach writes into the default partition until this runs again: then its
-- rows get their months, or no month of theirs could ever be made, and none of them would ever go. The owner does not see them while
-- row security is forced, so it is not for as long as nobody else sees the table.
create or replace function kernel.make_event_partitions(months_ahead int) returns int
    language plpgsql security definer set search_path = '' as $$
declare
    made int := 0;
    strays boolean;
    months timestamptz[];
    month timestamptz;
    part text;
begin
    perform pg_advisory_xact_lock(hashtextextended('kernel.event partitions', 0)); -- one at a time
    months := array(
        select date_trunc('month', now() at time zone 'UTC') at time zone 'UTC' + make_interval(months => i)
        from generate_series(0, least(months_ahead, 24)) i
    );
    strays := pg_relation_size('kernel.event_default') > 0;
    if strays then
        alter table kernel.event_default no force row level security;
        months := array(
            select unnest(months) union
            select date_trunc('month', d.at at time zone 'UTC') at time zone 'UTC' from kernel.event_default d
        );
    end if;
    foreach month in array months loop
        part := 'event_' || to_char(month at time zone 'UTC', 'YYYY_MM');
        if to_regclass('kernel.' || part) is null then
            execute format('create table kernel.%I (like kernel.event including all)', part);
            if strays then
                execute format(
                    'with stray as (delete from kernel.event_default d where d.at >= %L and d.at < %L returning d.*)'
                    ' insert into kernel.%I select s.* from stray s',
                    month, month + interval '1 month', part
                );
            end if;
            execute format(
                'alter table kernel.event attach partition kernel.%I for values from (%L) to (%L)',
                part, month, month + interval '1 month'
            );
            execute format('alter table kernel.%I enable row level security', part);
            execute format('alter table kernel.%I force row level security', part);
            made := made + 1;
        end if;
    end loop;
    if strays then
        truncate kernel.event_default;
        alter table kernel.event_default force row level security;
    end if;
    return made;
end $$;

-- Dropping is the owner's business, deciding is not: an owner whom row security holds back sees no cursor, and would think that
-- everybody had read everything.
create function kernel.drop_event_partition(part text) returns void
    language plpgsql security definer set search_path = '' as $$
begin
    if part !~ '^event_\d{4}_\d{2}$' then
        raise exception '% is no month of the log', part;
    end if;
    execute format('drop table kernel.%I', part);
end $$;

-- Drops months that ended before `before`; returns their names. A month stays that a subscriber has not finished, or that one with a
-- state has no snapshot of. Snapshots that need a month which went are of no use, and go with it.
create or replace function kernel.drop_event_partitions(before timestamptz) returns text[]
    language plpgsql security invoker set search_path = '' as $$
declare
    dropped text[] := '{}';
    part text;
    month timestamptz;
    last record;
begin
    perform pg_advisory_xact_lock(hashtextextended('kernel.event partitions', 0)); -- one at a time
    for part, month in
        select p.name, p.month from (
            select c.relname as name, to_timestamp(substr(c.relname, 7) || '_01 +00', 'YYYY_MM_DD TZH') as month
            from pg_catalog.pg_inherits i join pg_catalog.pg_class c on c.oid = i.inhrelid
            where i.inhparent = 'kernel.event'::regclass and c.relname ~ '^event_\d{4}_\d{2}$'
        ) p
        where p.month + interval '1 month' <= before order by p.name
    loop
        select e.xid, e.id into last from kernel.event e
        where e.at >= month and e.at < month + interval '1 month' order by e.xid desc, e.id desc limit 1;
        continue when found and exists (
            select from kernel.cursor c
            where (c.xid, c.id) < (last.xid, last.id)
               or c.keeps_state and not exists (
                   select from kernel.snapshot s where s.subscriber = c.subscriber and (s.xid, s.id) >= (last.xid, last.id)
               )
        );
        delete from kernel.snapshot s where (s.xid, s.id) < (last.xid, last.id);
        perform kernel.drop_event_partition(part);
        dropped := dropped || part;
    end loop;
    return dropped;
end $$;

revoke execute on function kernel.drop_event_partition(text) from public;
grant execute on function kernel.drop_event_partition(text) to fc_kernel;
