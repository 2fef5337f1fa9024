-- Claims on places of many organisations, each inside a time of its own, in one statement. Row security shows the rows of one
-- organisation, so the function goes from one to the next: it sets `forecourt.org` as a transaction does at its beginning, and
-- puts back what stood there. It acts for who calls it and gives no right: whoever may call it may set the organisation itself.
-- The four arrays go together, element by element; 744 hours are the longest claim (see occupancy_is_bounded).
create function booking.claims_among(
    houses uuid[], resources uuid[], froms timestamptz[], untils timestamptz[], at timestamptz, most int
) returns table (resource_id uuid, starts_at timestamptz, ends_at timestamptz)
    language plpgsql set search_path = '' as $$
declare
    before text := coalesce(current_setting('forecourt.org', true), '');
    asked record;
begin
    for asked in
        select w.house, array_agg(w.resource_id) as resource_ids, array_agg(w.since) as sinces, array_agg(w.until) as untils
        from unnest(houses, resources, froms, untils) w (house, resource_id, since, until) group by w.house
    loop
        perform set_config('forecourt.org', asked.house::text, true);
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
    perform set_config('forecourt.org', before, true);
end $$;

revoke execute on function booking.claims_among(uuid[], uuid[], timestamptz[], timestamptz[], timestamptz, int) from public;
grant execute on function booking.claims_among(uuid[], uuid[], timestamptz[], timestamptz[], timestamptz, int) to fc_booking;
