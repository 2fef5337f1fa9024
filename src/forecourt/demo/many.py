"""Worlds for benchmarks: many venues to search through, and as many bookings as one likes.

They stand beside the ordinary world or alone. Places are made here, bookings in the database itself. These bookings are free
agreements: nothing was paid and nothing is due, so the ledger needs no entry; everything else about them is as it should be.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg

from forecourt.demo import write
from forecourt.demo.ids import FOUNDED_MS, Fate
from forecourt.demo.show import Report, unheard
from forecourt.demo.write import Connection
from forecourt.kernel.money import Money
from forecourt.modules.venues.contract import (
    Location,
    OpeningHours,
    Organisation,
    OrganisationKind,
    OrganisationStatus,
    Per,
    Policies,
    PriceRule,
    Resource,
    ResourceKind,
    Tax,
    Venue,
    VenueBook,
)

OWNER = "load@forecourt.example"
ACCOUNTS = 20_000
VENUES_EACH = 100
"""Venues of one organisation."""
PLACES_EACH = 10
"""Courts of one venue that is to be booked."""
BOOKINGS_EACH = 500
"""Bookings of one court."""
SLOTS_A_DAY, SLOT_MIN = 8, 90
DAYS = 365
AT_ONCE = 10_000
"""Bookings in one transaction: about a second."""
VENUES_AT_ONCE = 500

CITIES = (
    ("London", "GB", "GBP", "Europe/London", 51.507, -0.128),
    ("Leeds", "GB", "GBP", "Europe/London", 53.801, -1.549),
    ("Manchester", "GB", "GBP", "Europe/London", 53.480, -2.242),
    ("Glasgow", "GB", "GBP", "Europe/London", 55.864, -4.252),
    ("Karachi", "PK", "PKR", "Asia/Karachi", 24.861, 67.010),
    ("Lahore", "PK", "PKR", "Asia/Karachi", 31.520, 74.359),
    ("Islamabad", "PK", "PKR", "Asia/Karachi", 33.684, 73.048),
    ("Lisboa", "PT", "EUR", "Europe/Lisbon", 38.722, -9.139),
    ("Porto", "PT", "EUR", "Europe/Lisbon", 41.158, -8.629),
    ("Madrid", "ES", "EUR", "Europe/Madrid", 40.417, -3.704),
    ("Sevilla", "ES", "EUR", "Europe/Madrid", 37.389, -5.984),
    ("Lyon", "FR", "EUR", "Europe/Paris", 45.764, 4.836),
    ("Berlin", "DE", "EUR", "Europe/Berlin", 52.520, 13.405),
    ("Hamburg", "DE", "EUR", "Europe/Berlin", 53.551, 9.994),
    ("Milano", "IT", "EUR", "Europe/Rome", 45.464, 9.190),
    ("New York", "US", "USD", "America/New_York", 40.713, -74.006),
    ("Chicago", "US", "USD", "America/Chicago", 41.878, -87.630),
    ("São Paulo", "BR", "BRL", "America/Sao_Paulo", -23.551, -46.633),
    ("Sydney", "AU", "AUD", "Australia/Sydney", -33.869, 151.209),
    ("Singapore", "SG", "SGD", "Asia/Singapore", 1.352, 103.820),
)
FIRST = (
    "Copper Arch Canal Quiet Lantern Orchard Harbour Granite Willow Saffron Foundry Meadow Beacon Chalk Marble Juniper Tannery"
    " Signal Ferry Cobble Maple Velvet Indigo Amber Falcon Heron Ivory Cedar Walnut Pepper"
).split()
LAST = (
    "Yard Court Works Hall House Loft Ground Pavilion Terrace Room Club Barn Deck Garden Mill Forge Dome Quay Studio Field"
).split()
STREETS = "Mill Lane, Station Road, Church Street, Market Square, Harbour Way, Park Avenue, Bridge Street, Elm Row".split(", ")
SPORTS = ("padel", "tennis", "fitness", "badminton", "squash", "futsal", "yoga", "boxing", "climbing", "swimming")
AMENITIES = ("showers", "lockers", "free-parking", "cafe", "step-free", "floodlights", "racket-hire", "sauna", "towels", "wifi")


def venues(fate: Fate, name: str, count: int, places: int, now: datetime) -> Iterator[VenueBook]:
    """Books of `count` venues with so many `places` to book each, in organisations of VENUES_EACH."""
    for n in range(count):
        yield _venue(fate, name, n, places, now)


def _venue(fate: Fate, name: str, n: int, places: int, now: datetime) -> VenueBook:
    dice = fate.dice(name, "venue", n)
    house = n // VENUES_EACH
    city, country, currency, timezone, lat, lon = CITIES[house % len(CITIES)]
    organisation_id, venue_id = fate.id(name, "organisation", house), fate.id(name, "venue", n)
    sport = dice.choice(SPORTS)
    title = f"{dice.choice(FIRST)} {dice.choice(LAST)}"
    week = [("06:00", "23:00")]
    return VenueBook(
        version=1,
        organisation=Organisation(
            id=organisation_id,
            name=f"{city} {name} {house + 1}",
            kind=OrganisationKind.CLUB,
            country=country,
            currency=currency,
            timezone=timezone,
            locale="en",
            slug=f"{name}-{house + 1}",
            status=OrganisationStatus.ACTIVE,
            tax=[Tax("20")],
            created_at=now - timedelta(days=400),
            version=1,
        ),
        policies=Policies(),
        venue=Venue(
            id=venue_id,
            organisation_id=organisation_id,
            name=title,
            slug=f"{name}-{n + 1}",
            address=f"{dice.randrange(1, 200)} {dice.choice(STREETS)}, {city}",
            city=city,
            location=Location(round(lat + dice.gauss(0, 0.06), 6), round(lon + dice.gauss(0, 0.08), 6)),
            timezone=timezone,
            opening_hours=OpeningHours(mon=week, tue=week, wed=week, thu=week, fri=week, sat=week, sun=week),
            amenities=sorted(dice.sample(AMENITIES, dice.randrange(1, 5))),
            version=1,
        ),
        resources=[
            Resource(
                id=fate.id(name, "resource", n, i),
                venue_id=venue_id,
                name=f"Court {i + 1}",
                kind=ResourceKind.COURT,
                sport=sport,
                indoor=dice.random() < 0.5,
                capacity=4,
                position=i,
            )
            for i in range(places)
        ],
        rules=[PriceRule(per=Per.HOUR, amount=Money(dice.randrange(10, 60) * 100, currency), label="Any time")],
    )


async def fill_venues(admin_url: str, count: int, *, seed: int = 7, report: Report = unheard, now: datetime | None = None) -> int:
    """Adds `count` venues with two courts each, for searches; returns how many. Does nothing when they are there."""
    connection = await asyncpg.connect(admin_url, server_settings={"application_name": "forecourt demo"})
    try:
        fate, at = Fate(seed), now or datetime.now(UTC)
        added = await _add_venues(connection, fate, "place", count, 2, at, report)
        await connection.execute("analyze venues.listing, venues.search_word, venues.resource, venues.locator, venues.venue")
        return added
    finally:
        await connection.close()


async def fill_bookings(connection: Connection, seed: int, scale: int, report: Report, now: datetime) -> None:
    """About `scale` bookings over twelve months, ten of them past. Goes on where an earlier call was interrupted."""
    fate, now = Fate(seed), now.astimezone(UTC).replace(microsecond=0)
    courts = -(-scale // BOOKINGS_EACH)
    each = -(-scale // courts)
    await _add_venues(connection, fate, "load", -(-courts // PLACES_EACH), PLACES_EACH, now, report)
    await connection.execute(HELPERS)
    await connection.execute(COURTS, "load-%", courts)
    step = max(1, AT_ONCE // min(courts, VENUES_EACH * PLACES_EACH))
    houses: list[UUID] = [r["organisation_id"] for r in await connection.fetch(HOUSES)]
    tasks = [(house, first) for house in houses for first in range(0, each, step)]
    first_day = (now - timedelta(days=DAYS * 5 // 6)).date()
    for n, (house, first) in enumerate(tasks):
        report("Bookings", n * scale // len(tasks), scale)
        last = min(first + step, each) - 1
        async with connection.transaction():
            await connection.execute(BOOK, house, first, last, each, first_day, now, str(seed))
    report("Bookings", scale, scale)
    await connection.execute(
        "analyze booking.booking, booking.transition, booking.occupancy, booking.due, venues.listing, identity.account"
    )


async def _add_venues(
    connection: Connection, fate: Fate, name: str, count: int, places: int, now: datetime, report: Report
) -> int:
    """In organisations of their own, some at a time; those that are there already stay as they are."""
    known = {r["id"] for r in await connection.fetch("select v.id from venues.venue v")}
    houses = {r["id"] for r in await connection.fetch("select o.id from venues.organisation o")}
    owner = await _owner(connection, fate, now)
    added = 0
    batch: list[VenueBook] = []
    wanted = [n for n in range(count) if fate.id(name, "venue", n) not in known]
    for i, n in enumerate(wanted):
        batch.append(_venue(fate, name, n, places, now))
        if len(batch) == VENUES_AT_ONCE or i == len(wanted) - 1:
            async with connection.transaction():
                await write.places(connection, batch, dict.fromkeys((b.organisation.id for b in batch), owner), known=houses)
                new = {b.organisation.id for b in batch} - houses
                await connection.executemany(EMPLOY, [(house, owner, now) for house in new])
            houses |= new
            added += len(batch)
            batch = []
            report("Venues", i + 1, len(wanted))
    return added


async def _owner(connection: Connection, fate: Fate, now: datetime) -> UUID:
    """The account that owns all these organisations, and those who book there. Nobody can log in as them."""
    await connection.execute(HELPERS)
    await connection.execute(PEOPLE, str(fate.seed), ACCOUNTS, now - timedelta(days=400))
    found = await connection.fetchval("select a.id from identity.account a where a.email_key = $1", OWNER)
    if found is None:
        found = fate.id("load", "owner")
        await connection.execute(OWNER_ACCOUNT, found, OWNER, now - timedelta(days=400))
    return found


EMPLOY = "insert into identity.staff (organisation_id, account_id, role, joined_at) values ($1, $2, 'owner', $3)"
OWNER_ACCOUNT = (
    "insert into identity.account (id, email, email_key, name, status, created_at)"
    " values ($1, $2, $2, 'Load owner', 'active', $3)"
)
HELPERS = f"""
    create or replace function pg_temp.v7(ms bigint, key text) returns uuid language sql immutable as $$
        select (lpad(to_hex(ms), 12, '0') || '7' || substr(m.m, 1, 3) || substr('89ab', 1 + ascii(substr(m.m, 4, 1)) % 4, 1)
                || substr(m.m, 5, 15))::uuid from (select md5(key) as m) m
    $$;
    create or replace function pg_temp.chance(key text) returns int language sql immutable as $$
        select ('x' || substr(md5(key), 1, 7))::bit(28)::int
    $$;
    create or replace function pg_temp.load_account(seed text, n int) returns uuid language sql immutable as $$
        select pg_temp.v7({FOUNDED_MS}, 'account ' || seed || ' ' || n)
    $$;
"""  # noqa: S608 - a number of this program
PEOPLE = """
    insert into identity.account (id, email, email_key, name, status, created_at)
    select pg_temp.load_account($1, n), 'load' || n || '@example.org', 'load' || n || '@example.org', 'Player ' || n, 'active', $3
      from generate_series(0, $2 - 1) n
    on conflict do nothing
"""
COURTS = """
    create temp table if not exists load_court as
    select r.organisation_id, r.venue_id, r.id, v.timezone, o.currency, row_number() over (order by r.id)::int as n
      from venues.resource r
      join venues.venue v on v.organisation_id = r.organisation_id and v.id = r.venue_id
      join venues.organisation o on o.id = r.organisation_id
     where o.slug like $1 order by r.id limit $2
"""
HOUSES = "select distinct c.organisation_id from load_court c order by 1"
# Of the year's slots of a court every few have a booking: the n-th booking takes one out of the n-th stretch of slots.
BOOK = f"""
    with wish as materialized (
        select c.*, j.j, pg_temp.chance($7 || ' ' || c.n || ' ' || j.j) as h
          from load_court c cross join generate_series($2::int, $3::int) j (j) where c.organisation_id = $1
    ), slot as (
        select w.*, (w.j::bigint * {DAYS * SLOTS_A_DAY} / $4::int
                     + w.h % greatest({DAYS * SLOTS_A_DAY} / $4::int, 1))::int as s from wish w
    ), timed as (
        select s.*, ($5::date + s.s / {SLOTS_A_DAY} + time '08:00' + s.s % {SLOTS_A_DAY} * interval '{SLOT_MIN} min')
                        at time zone s.timezone as starts_at,
               case when s.h % 3 = 0 then 60 else 90 end as duration
          from slot s
    ), made as (
        select t.*, t.starts_at + t.duration * interval '1 min' as ends_at,
               date_trunc('second', least(t.starts_at - (1 + t.h / 128 % 40) * interval '1 day',
                                          $6::timestamptz - t.h / 64 % 90 * interval '1 min')) as created_at
          from timed t
    ), known as (
        select m.*, pg_temp.v7((extract(epoch from m.created_at) * 1000)::bigint, $7 || ' ' || m.n || ' ' || m.j) as booking_id,
               case when m.h % 100 < 8 then 'cancelled' when m.starts_at > $6 then 'upcoming'
                    when m.ends_at > $6 then 'in_progress' when m.h % 100 < 10 then 'no_show' else 'completed' end as status,
               least(m.created_at + interval '2 min', $6) as confirmed_at
          from made m
    ), booked as (
        insert into booking.booking
            (organisation_id, id, venue_id, resource_id, account_id, status, starts_at, ends_at, timezone, purpose, team_size,
             currency, list_minor, price_minor, lines, tax, claimed, claim_starts_at, claim_ends_at, made_by, version, created_at,
             updated_at)
        select k.organisation_id, k.booking_id, k.venue_id, k.id, pg_temp.load_account($7, k.h % {ACCOUNTS}), k.status,
               k.starts_at, k.ends_at, k.timezone, 'match', 2 + k.h % 3, k.currency, k.duration * 30, k.duration * 30,
               jsonb_build_array(jsonb_build_object(
                   'label', 'Any time', 'amount', jsonb_build_object('amount', k.duration * 30, 'currency', k.currency))),
               '[]', array[k.id], k.starts_at, k.ends_at, pg_temp.load_account($7, k.h % {ACCOUNTS}),
               case k.status when 'upcoming' then 2 when 'completed' then 4 when 'no_show' then 4 else 3 end,
               k.created_at, k.confirmed_at
          from known k order by k.created_at
        on conflict do nothing
        returning organisation_id, id, resource_id, account_id, status, starts_at, ends_at, created_at, updated_at, version
    ), told as (
        insert into booking.transition
            (organisation_id, booking_id, version, at, action, from_status, to_status, actor, account_id)
        select b.organisation_id, b.id, t.version, t.at, t.action, t.before, t.after, t.actor,
               case t.actor when 'customer' then b.account_id end
          from booked b cross join lateral (values
              (1, b.created_at, 'hold', 'draft', 'payment_pending', 'customer'),
              (2, b.updated_at, 'confirm', 'payment_pending', 'upcoming', 'house'),
              (3, case b.status when 'cancelled' then least(b.updated_at + (b.starts_at - b.updated_at) / 2, $6)
               else b.starts_at end,
               case b.status when 'cancelled' then 'cancel' else 'begin' end, 'upcoming',
               case b.status when 'cancelled' then 'cancelled' else 'in_progress' end,
               case b.status when 'cancelled' then 'customer' else 'house' end),
              (4, case b.status when 'no_show' then b.starts_at + interval '15 min' else b.ends_at end,
               case b.status when 'no_show' then 'mark_no_show' else 'complete' end, 'in_progress', b.status,
               case b.status when 'no_show' then 'staff' else 'house' end)
          ) t (version, at, action, before, after, actor)
         where t.version <= b.version
    ), claimed as (
        insert into booking.occupancy (organisation_id, resource_id, during, booking_id)
        select b.organisation_id, b.resource_id, tstzrange(b.starts_at, b.ends_at, '[)'), b.id
          from booked b where b.status in ('upcoming', 'in_progress') order by b.resource_id, b.starts_at
    )
    insert into booking.due (organisation_id, booking_id, at)
    select b.organisation_id, b.id, case b.status when 'upcoming' then b.starts_at else b.ends_at end
      from booked b where b.status in ('upcoming', 'in_progress')
"""  # noqa: S608 - numbers of this program
