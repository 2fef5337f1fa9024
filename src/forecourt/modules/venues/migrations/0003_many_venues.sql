-- Reading many venues at once. Row security shows the rows of one organisation, so these functions go from organisation to
-- organisation inside one statement: they set `forecourt.org` for each as a transaction does at its beginning, and put back
-- what stood there. They act for who calls them and give no right: whoever may call them may set the organisation itself.

-- All of some venues of one organisation that others decide with. Inlined, so that it is planned like the query around it.
create function venues.books_within(house uuid, wanted uuid[]) returns table (book jsonb, prices_version int)
    language sql stable as $$
    select jsonb_build_object(
        'version', v.book_version,
        'organisation', to_jsonb(o) - 'policies' - 'policies_set' - 'created_by',
        'policies', o.policies,
        'venue', to_jsonb(v) || jsonb_build_object('location', jsonb_build_object('lat', v.lat, 'lon', v.lon)),
        'closures', coalesce((
            select jsonb_agg(jsonb_build_object(
                'id', c.id, 'venue_id', c.venue_id, 'reason', c.reason, 'holiday', c.holiday, 'dates',
                case when c.first_day is not null then jsonb_build_object('from', c.first_day, 'to', c.last_day) end
            ) order by c.first_day nulls last, c.id)
            from venues.closure c where c.organisation_id = v.organisation_id and c.venue_id = v.id
        ), '[]'),
        'resources', coalesce((
            select jsonb_agg(to_jsonb(r) order by r.position, r.name, r.id)
            from venues.resource r where r.organisation_id = v.organisation_id and r.venue_id = v.id
        ), '[]'),
        'rules', p.rules
    ), p.version
    from venues.venue v
    join venues.organisation o on o.id = v.organisation_id
    join venues.price_list p on p.organisation_id = v.organisation_id and p.venue_id = v.id
    where v.organisation_id = house and v.id = any(wanted)
$$;

-- The same of venues of many organisations, in no order; ids that are no venue's are left out.
create function venues.books_of(wanted uuid[]) returns table (book jsonb, prices_version int)
    language plpgsql set search_path = '' as $$
declare
    before text := coalesce(current_setting('forecourt.org', true), '');
    place record;
begin
    for place in
        select l.organisation_id, array_agg(l.id) as ids from venues.locator l
        where l.id = any(wanted) and l.id = l.venue_id group by l.organisation_id
    loop
        perform set_config('forecourt.org', place.organisation_id::text, true);
        return query select b.book, b.prices_version from venues.books_within(place.organisation_id, place.ids) b;
    end loop;
    perform set_config('forecourt.org', before, true);
end $$;

-- What decides whether something is free at a time: no prices and no words, a fifth of the work of a book. A place that is
-- not active cannot be booked, and still is a part of others.
create function venues.terms_of(wanted uuid[]) returns table (
    organisation_id uuid, venue_id uuid, version int, bookable boolean, timezone text, country text, region text,
    opening_hours jsonb, closures jsonb, places jsonb
)
    language plpgsql set search_path = '' as $$
declare
    before text := coalesce(current_setting('forecourt.org', true), '');
    place record;
begin
    for place in
        select l.organisation_id as house, array_agg(l.id) as ids from venues.locator l
        where l.id = any(wanted) and l.id = l.venue_id group by l.organisation_id
    loop
        perform set_config('forecourt.org', place.house::text, true);
        return query
        select v.organisation_id, v.id, v.book_version, o.status = 'active', v.timezone, o.country, v.region, v.opening_hours,
            coalesce((
                select jsonb_agg(jsonb_build_object('holiday', c.holiday, 'dates',
                    case when c.first_day is not null then jsonb_build_object('from', c.first_day, 'to', c.last_day) end))
                from venues.closure c where c.organisation_id = v.organisation_id and c.venue_id = v.id
            ), '[]'),
            coalesce((
                select jsonb_agg(jsonb_build_array(
                    r.id, r.active, r.sport, r.slot_min, r.durations_min, r.buffer_before_min, r.buffer_after_min,
                    coalesce(r.lead_min, (o.policies ->> 'lead_min')::int),
                    coalesce(r.horizon_days, (o.policies ->> 'horizon_days')::int),
                    r.part_ids
                ) order by r.position, r.name, r.id)
                from venues.resource r where r.organisation_id = v.organisation_id and r.venue_id = v.id
            ), '[]')
        from venues.venue v
        join venues.organisation o on o.id = v.organisation_id
        where v.organisation_id = place.house and v.id = any(place.ids);
    end loop;
    perform set_config('forecourt.org', before, true);
end $$;

revoke execute on function venues.books_within(uuid, uuid[]) from public;
revoke execute on function venues.books_of(uuid[]) from public;
revoke execute on function venues.terms_of(uuid[]) from public;
grant execute on function venues.books_within(uuid, uuid[]), venues.books_of(uuid[]), venues.terms_of(uuid[]) to fc_venues;
