"""The demo world in the database: whole, in agreement with itself, and made once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from tests.conftest import FreshDatabase
from tests.demo.conftest import NOW, PAST_DAYS, SEED, Filled

from forecourt.demo import LOG_INS, PASSWORD, HouseInUse, begun, fill, unheard
from forecourt.demo.fill import LOCK, MayNotFill, OtherSize
from forecourt.demo.many import fill_venues
from forecourt.kernel.cache import Cache
from forecourt.kernel.clock import FixedClock
from forecourt.kernel.context import Context
from forecourt.kernel.db import Database
from forecourt.kernel.events import decode, registered_events
from forecourt.kernel.metrics import Metrics
from forecourt.modules.identity.contract import BadCredentials
from forecourt.modules.identity.passwords import Passwords
from forecourt.modules.identity.service import IdentityService
from forecourt.modules.payments.service.reading import Reading
from forecourt.modules.venues.queries import Wanted
from forecourt.modules.venues.service import VenuesService

pytestmark = pytest.mark.xdist_group("demo")
"""One worker fills the database."""

COUNTS = """
    select (select count(*) from booking.booking), (select count(*) from booking.transition),
           (select count(*) from booking.occupancy), (select count(*) from payments.entry), (select count(*) from payments.lot),
           (select count(*) from identity.account), (select sum(balance) from payments.wallet),
           (select md5(string_agg(b.id || b.status || b.price_minor || b.paid_minor, ',' order by b.id)) from booking.booking b)
"""


async def test_the_ledger_sums_to_zero(rows: asyncpg.Connection) -> None:
    sums = await rows.fetch("select e.currency, sum(e.amount), count(*) from payments.entry e group by 1 order by 1")
    assert [(r[0], r[1]) for r in sums] == [("EUR", 0), ("GBP", 0), ("PKR", 0)]
    assert all(r[2] > 1000 for r in sums)


async def test_the_program_finds_no_fault_in_the_books(filled: Filled, house: Database) -> None:
    payments = Reading(house.module("payments"), FixedClock(NOW), None, None)  # type: ignore[arg-type]
    for book in filled.world.organisations:
        proof = await payments.proof(Context(), book.organisation.id)
        assert set(proof) == {book.organisation.currency}
        for line in proof.values():
            assert (line.sum, line.faults) == (0, [])
            assert line.entries > 100


async def test_bookings_agree_with_what_was_charged_and_given_back(rows: asyncpg.Connection) -> None:
    wrong = await rows.fetch(
        "select b.id, b.status, b.price_minor, b.paid_minor, b.due_minor, b.refunded_minor, c.price, c.settled_at, c.refunded"
        " from booking.booking b left join payments.charge c on c.organisation_id = b.organisation_id and c.id = b.id"
        " where b.paid_minor <> case when c.settled_at is null then 0 else c.price end"
        " or b.due_minor <> case when c.settled_at is null then coalesce(c.price - c.waived, 0) else 0 end"
        " or b.refunded_minor <> coalesce(c.refunded - c.waived, 0)"
        " or (c.id is null) <> (b.status in ('expired', 'declined', 'payment_pending', 'pending_approval'))"
    )
    assert wrong == []


async def test_claims_are_those_of_live_bookings_and_blocks(rows: asyncpg.Connection) -> None:
    wrong = await rows.fetch(
        """
        with wanted as (
            select b.organisation_id, r.id, tstzrange(b.claim_starts_at, b.claim_ends_at, '[)'), b.id, b.hold_expires_at
              from booking.booking b cross join unnest(b.claimed) r (id)
             where b.status in ('pending_approval', 'payment_pending', 'upcoming', 'in_progress')
        ), there as (
            select o.organisation_id, o.resource_id, o.during, o.booking_id, o.expires_at
              from booking.occupancy o where o.booking_id is not null
        )
        (table wanted except table there) union all (table there except table wanted)
        """
    )
    assert wrong == []
    assert await rows.fetchval("select count(*) from booking.occupancy where booking_id is not null") > 500
    assert await rows.fetchval("select count(*) from booking.occupancy where block_id is not null") >= 10


async def test_the_house_will_look_after_every_live_booking_in_time(rows: asyncpg.Connection) -> None:
    wrong = await rows.fetch(
        "select b.id, b.status, d.at from booking.booking b full join booking.due d on d.booking_id = b.id"
        " where d.at is distinct from case b.status when 'payment_pending' then b.hold_expires_at"
        " when 'upcoming' then b.starts_at when 'pending_approval' then b.starts_at when 'in_progress' then b.ends_at end"
    )
    assert wrong == []
    assert await rows.fetchval("select min(at) from booking.due") > NOW


async def test_history_is_told_step_by_step(rows: asyncpg.Connection) -> None:
    wrong = await rows.fetch(
        "select b.id from booking.booking b left join booking.transition t on t.booking_id = b.id"
        " group by b.organisation_id, b.id having max(t.version) <> b.version or count(t.version) <> b.version"
        " or (array_agg(t.to_status order by t.version desc))[1] is distinct from b.status"
    )
    assert wrong == []


async def test_one_guest_of_tonight_has_said_yes_and_one_no(rows: asyncpg.Connection) -> None:
    said = await rows.fetch(
        "select a.email, i.status, g.organisation_id is not null as found, b.invitees @> jsonb_build_array("
        " jsonb_build_object('account_id', i.account_id)) as named from booking.invitation i"
        " join identity.account a on a.id = i.account_id join booking.booking b on b.id = i.booking_id"
        " left join booking.guest g on (g.account_id, g.organisation_id) = (i.account_id, i.organisation_id) order by a.email"
    )
    assert [tuple(r) for r in said] == [
        ("hina@example.org", "declined", True, True),
        ("kwame@example.org", "accepted", True, True),
    ]


async def test_news_can_be_read_by_every_subscriber(rows: asyncpg.Connection) -> None:
    events = await rows.fetch("select name, version, payload, at, organisation_id from kernel.event order by id")
    assert 100 <= len(events) <= 7 * 40
    assert len({e["organisation_id"] for e in events}) == 7
    for e in events:
        event = decode(registered_events()[e["name"]], e["version"], e["payload"])
        assert event.organisation_id == e["organisation_id"]  # type: ignore[attr-defined]
    assert [e["at"] for e in events] == sorted(e["at"] for e in events)
    assert len({e["name"] for e in events}) >= 5


def identity(house: Database) -> IdentityService:
    return IdentityService(
        house.module("identity"), FixedClock(datetime.now(UTC)), secret="x" * 40, public_url="http://localhost:8000"
    )


async def test_every_login_works(house: Database) -> None:
    service = identity(house)
    for login in LOG_INS:
        _, session = await service.persons.start_browser_session(Context(address="203.0.113.9"), login.email, PASSWORD)
        assert session.email == login.email
        assert session.status == "active"
    with pytest.raises(BadCredentials):
        await service.persons.start_browser_session(Context(address="203.0.113.9"), LOG_INS[0].email, PASSWORD + "x")


async def test_the_password_hash_has_the_parameters_of_identity(rows: asyncpg.Connection) -> None:
    hashes = await rows.fetch("select distinct password_hash from identity.account")
    assert len(hashes) == 1
    assert not Passwords().outdated(hashes[0][0])


async def test_a_world_that_is_there_is_left_alone(filled: Filled, rows: asyncpg.Connection) -> None:
    before = await rows.fetchrow(COUNTS)
    assert await begun(filled.admin_url)
    made = await fill(filled.admin_url, seed=SEED, scale=0, report=unheard, now=NOW + timedelta(days=1), past_days=PAST_DAYS)
    assert made == filled.made
    assert await rows.fetchrow(COUNTS) == before


async def test_a_login_that_may_not_look_fills_nothing(fresh_database: FreshDatabase) -> None:
    assert not await begun(fresh_database.admin_url), "the owner sees that the house is empty"
    assert await begun(fresh_database.url)
    with pytest.raises(MayNotFill):
        await fill(fresh_database.url, seed=SEED, scale=0, report=unheard, past_days=2)


async def test_strangers_are_not_given_accounts_with_a_known_password(fresh_database: FreshDatabase) -> None:
    assert not await begun(fresh_database.admin_url)
    admin = await fresh_database.admin()
    await admin.execute(
        "insert into identity.account (id, email, email_key, name, created_at)"
        " values (gen_random_uuid(), 'a@b.example', 'a@b.example', 'A', now())"
    )
    assert await begun(fresh_database.admin_url)
    for scale in (0, 1000):
        with pytest.raises(HouseInUse):
            await fill(fresh_database.admin_url, seed=SEED, scale=scale, report=unheard, past_days=2)
    assert await admin.fetchval("select count(*) from identity.account") == 1
    await admin.close()


class Interrupted(Exception):
    pass


async def test_an_interrupted_world_is_recognised_and_becomes_the_same(fresh_database: FreshDatabase, filled: Filled) -> None:
    url = fresh_database.admin_url

    def stop_after_two(step: str, done: int, total: int) -> None:
        if step == "A year of bookings" and done == 2:
            raise Interrupted

    with pytest.raises(Interrupted):
        await fill(url, seed=SEED, scale=0, report=stop_after_two, now=NOW, past_days=PAST_DAYS)
    admin = await fresh_database.admin()
    half = await admin.fetchval("select count(*) from booking.booking")
    assert 0 < half < filled.made.bookings
    assert not await begun(url), "so that the next start goes on with it"
    await admin.execute("select pg_advisory_lock($1)", LOCK)
    assert await begun(url), "unless somebody is at it"
    await admin.execute("select pg_advisory_unlock($1)", LOCK)
    made = await fill(url, seed=SEED, scale=0, report=unheard, now=NOW + timedelta(hours=7), past_days=PAST_DAYS)
    assert made == filled.made
    whole = await asyncpg.connect(filled.admin_url)
    assert await admin.fetchrow(COUNTS) == await whole.fetchrow(COUNTS)
    assert await begun(url)
    await whole.close()
    await admin.close()


async def test_a_place_that_somebody_took_meanwhile_stays_theirs(fresh_database: FreshDatabase) -> None:
    url = fresh_database.admin_url

    def stop(step: str, done: int, total: int) -> None:
        if step == "A year of bookings":
            raise Interrupted

    with pytest.raises(Interrupted):
        await fill(url, seed=SEED, scale=0, report=stop, now=NOW, past_days=2)
    admin = await fresh_database.admin()
    # A guest blocks all of Clifton for the coming days before the bookings are written.
    await admin.execute(
        """
        with venue as (select v.organisation_id, v.id from venues.venue v where v.slug = 'clifton'), made as (
            insert into booking.block (organisation_id, id, venue_id, resource_ids, starts_at, ends_at, until, reason, created_at)
            select v.organisation_id, gen_random_uuid(), v.id,
                   (select array_agg(r.id) from venues.resource r where r.venue_id = v.id), $1, $2, $2, 'Taken', $1
              from venue v returning organisation_id, id, resource_ids
        )
        insert into booking.occupancy (organisation_id, resource_id, during, block_id)
        select m.organisation_id, r.id, tstzrange($1, $2, '[)'), m.id from made m cross join unnest(m.resource_ids) r (id)
        """,
        NOW + timedelta(days=1),
        NOW + timedelta(days=6),
    )
    made = await fill(url, seed=SEED, scale=0, report=unheard, now=NOW, past_days=2)
    assert made.bookings > 500
    inside = await admin.fetchval(
        "select count(*) from booking.occupancy o join booking.booking b on b.id = o.booking_id"
        " join venues.venue v on v.id = b.venue_id and v.slug = 'clifton' where o.during && tstzrange($1, $2)",
        NOW + timedelta(days=1),
        NOW + timedelta(days=6),
    )
    assert inside == 0
    assert await admin.fetchval("select sum(amount) from payments.entry") == 0
    await admin.close()


async def test_a_benchmark_world_is_whole_and_goes_on_where_it_stopped(fresh_database: FreshDatabase) -> None:
    url = fresh_database.admin_url

    def stop(step: str, done: int, total: int) -> None:
        if step == "Bookings" and done > total // 2:
            raise Interrupted

    with pytest.raises(Interrupted):
        await fill(url, seed=SEED, scale=30_000, report=stop, now=NOW)
    made = await fill(url, seed=SEED, scale=30_000, report=unheard, now=NOW + timedelta(hours=3))
    assert made.bookings == 30_000
    admin = await fresh_database.admin()
    live = await admin.fetchval("select count(*) from booking.booking where status in ('upcoming', 'in_progress')")
    assert live > 2_000
    assert await admin.fetchval("select count(*) from booking.occupancy") == live
    assert await admin.fetchval("select count(*) from booking.due") == live
    assert await admin.fetchval("select sum(version) from booking.booking") == await admin.fetchval(
        "select count(*) from booking.transition"
    )
    again = await fill(url, seed=SEED, scale=30_000, report=unheard, now=NOW)
    assert again == made
    with pytest.raises(OtherSize):
        await fill(url, seed=SEED, scale=40_000, report=unheard, now=NOW)
    await admin.close()


async def test_a_place_is_found_by_what_people_call_where_it_is(house: Database) -> None:
    venues = VenuesService(house.module("venues"), FixedClock(NOW), Cache(None, Metrics()), None)  # type: ignore[arg-type]
    expected = {
        "Alfama": {"Casa Lioz"},
        "Bermondsey": {"Counterweight Bermondsey", "Sail Loft", "The Bread Room"},
        "Walworth": {"Counterweight Walworth"},
        "Gulberg": {"Gulberg Grass"},
        "Clifton": {"Baradari Clifton"},
        "Druid Street": {"Counterweight Bermondsey"},
        "Lisbon": {"Casa Lioz"},
        "Chiado": set[str](),
    }
    found = {typed: (await venues.search(Context(), Wanted(), text=typed)).items for typed in expected}
    assert {typed: {card.name for card in cards} for typed, cards in found.items()} == expected


async def test_venues_for_searches_are_added_once(fresh_database: FreshDatabase) -> None:
    assert await fill_venues(fresh_database.admin_url, 250, now=NOW) == 250
    assert await fill_venues(fresh_database.admin_url, 250, now=NOW) == 0
    assert await fill_venues(fresh_database.admin_url, 260, now=NOW) == 10
    admin = await fresh_database.admin()
    assert await admin.fetchval("select count(*) from venues.listing where listed and from_price_minor > 0") == 260
    assert await admin.fetchval("select count(distinct city) from venues.listing") == 3
    await admin.close()


async def test_staff_and_players_are_reached_by_phone_and_each_venue_has_a_calendar_and_a_question(
    filled: Filled, rows: asyncpg.Connection
) -> None:
    phones = {
        r["email"]: r["number"]
        for r in await rows.fetch(
            "select a.email, p.number from identity.phone p join identity.account a on a.id = p.account_id"
            " where a.status = 'active'"
        )
    }
    assert {p.email for p in filled.world.people if p.staff} <= set(phones)
    assert 100 < len(phones) == await rows.fetchval("select count(*) from identity.phone") < len(filled.world.people) / 2
    assert all(number.startswith("+447700900") and len(number) == 13 for number in phones.values()), "numbers of stories"
    feeds = await rows.fetch(
        "select f.venue_id from booking.resource_feed f join venues.resource r on r.organisation_id = f.organisation_id"
        " and r.id = f.resource_id and r.venue_id = f.venue_id"
    )
    assert {r["venue_id"] for r in feeds} == {site.book.venue.id for site in filled.world.sites}
    asked = await rows.fetch(
        "select b.starts_at, count(o.*) as claims from booking.booking b join booking.occupancy o on o.booking_id = b.id"
        " where b.status = 'pending_approval' group by b.id, b.starts_at"
    )
    assert len(asked) >= 3
    assert all(r["starts_at"] > NOW and r["claims"] >= 1 for r in asked)
