-- The same question where other servers have a part of the claims: they hear of a `set local`, which takes longer, and not of
-- `set_config`. Only where there are others has the server that setting of theirs.
create or replace function booking.claims_among(
    houses uuid[], resources uuid[], froms timestamptz[], untils timestamptz[], at timestamptz, most int
) returns table (resource_id uuid, starts_at timestamptz, ends_at timestamptz)
    language plpgsql set search_path = '' as $$
declare
    before text := coalesce(current_setting('forecourt.org', true), '');
    others boolean := current_setting('citus.propagate_set_commands', true) is not null;
    asked record;
begin
    for asked in
        select w.house, array_agg(w.resource_id) as resource_ids, array_agg(w.since) as sinces, array_agg(w.until) as untils
        from unnest(houses, resources, froms, untils) w (house, resource_id, since, until) group by w.house
    loop
        if others then
            execute format('set local forecourt.org = %L', asked.house);
        else
            perform set_config('forecourt.org', asked.house::text, true);
        end if;
        return query
        select o.resource_id, o.starts_at, o.ends_at
        from unnest(asked.resource_ids, asked.sinces, asked.untils) w (resource_id, since, until)
        cross join lateral (
            select c.resource_id, c.starts_at, c.ends_at from booking.occupancy c
            where c.organisation_id = asked.house and c.resource_id = w.resource_id
              and c.ends_at > w.since and c.ends_at <= w.until + interval '744 hours' and c.starts_at < w.until
              and (c.expires_at is null or c.expires_at > at)
            limit most
        ) o;
    end loop;
    if others then
        execute format('set local forecourt.org = %L', before);
    else
        perform set_config('forecourt.org', before, true);
    end if;
end $$;
