"""Who has room at a time: many venues, few statements, and the same answer as the availability of each."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.modules.booking.test_slots_oracle import HOURS, ID, NIGHTS, court, make_book
from tests.statements import counted

from forecourt.kernel.context import Context
from forecourt.kernel.db import Database
from forecourt.kernel.errors import NotFound, Unavailable
from forecourt.kernel.period import Period
from forecourt.modules.booking import slots
from forecourt.modules.booking.contract import Cancel, StartsAsked
from forecourt.modules.booking.service import books as keeping
from forecourt.modules.booking.service.books import FRESH_S, Books, Terms
from forecourt.modules.booking.service.reading import Free
from forecourt.modules.booking.showing import Showing
from forecourt.modules.venues.contract import Closure, DateRange, VenueBook, VenueTerms
from forecourt.modules.venues.contract.terms import PlaceTerms, ShutOn, places_open

# --- the decision itself


def terms_of(book: VenueBook) -> VenueTerms:
    return VenueTerms(
        organisation_id=book.organisation.id,
        venue_id=book.venue.id,
        version=book.version,
        timezone=book.timezone,
        country=book.country,
        opening_hours=book.opening_hours,
        closures=[ShutOn(c.holiday, c.dates) for c in book.closures],
        places=[
            PlaceTerms(
                r.id, r.sport, r.slot_min, r.durations_min, r.buffer_before_min, r.buffer_after_min,
                r.lead_min or 0, r.horizon_days or 365, slots.claimed_ids(book, r),
            )
            for r in book.resources
        ],
    )  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(
    night=st.sampled_from(NIGHTS),
    hours=st.sampled_from(HOURS),
    slot_min=st.sampled_from([15, 30, 60, 90]),
    lengths=st.sampled_from([1, 2, 3]),
    lead=st.integers(0, 300),
    horizon=st.sampled_from([1, 2, 365]),
    closed=st.sampled_from([None, -1, 0, 1]),
)
def test_what_could_be_booked_is_what_availability_offers_when_nothing_is_taken(  # type: ignore[no-untyped-def]
    night, hours, slot_min, lengths, lead, horizon, closed
):
    tz, day = night
    resource = court(slot_min=slot_min, durations_min=[slot_min * lengths], lead_min=lead, horizon_days=horizon)
    closures = []
    if closed is not None:
        shut = day + timedelta(days=closed)
        closures = [Closure(ID, ID, "shut", DateRange(shut, shut))]
    book = make_book(tz, hours, [resource], closures=closures)
    midnight = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(tz)).astimezone(ZoneInfo("UTC"))
    now = midnight - timedelta(hours=30)
    slots.plans.clear()
    offered = {
        s.start
        for d in (day - timedelta(days=1), day, day + timedelta(days=1))
        for s in slots.free_slots(book, resource, d, duration_min=slot_min * lengths, busy=[], now=now)
    }
    terms = terms_of(book)
    quarters = [midnight + timedelta(minutes=15 * i) for i in range(-40, 140)]
    could = {at for at in quarters if places_open(terms, Period.of(at, slot_min * lengths), "padel", now)}
    assert could == {at for at in quarters if at in offered}


# --- on the database


@pytest.fixture
async def town(world: Any, make_world: Any, db: Database) -> list[Any]:
    """Three organisations with a venue each."""
    return [world, await make_world(db), await make_world(db)]


async def test_many_venues_are_looked_at_with_three_statements_and_then_with_one(world: Any, town: list[Any], words: Any) -> None:
    ids = [w.venue_id for w in town] + [await world.add_venue("Europe/London") for _ in range(5)]
    world.service.terms = Terms(world.venues, Hand())
    with counted() as sent:
        assert await world.service.free_venues(Context(), ids, words.TEN, 60) == ids[:3], "the others have no places"
    assert len(sent) == 3, sent
    with counted() as sent:
        assert await world.service.free_venues(Context(), ids, words.TEN, 60) == ids[:3]
    assert len(sent) == 1, "nothing but the claims"
    with counted() as sent:
        assert await world.service.free_venues(Context(), ids, words.TEN, 55) == []
    assert sent == [], "and nothing at all where nothing could be booked"


async def test_a_claim_anywhere_takes_its_place_and_what_it_is_a_part_of(world: Any, town: list[Any], words: Any) -> None:
    far = town[1]
    guest = far.newcomer()

    async def free() -> bool:
        return far.venue_id in await world.service.free_venues(Context(), [world.venue_id, far.venue_id], words.TEN, 60)

    for resource in (far.court, far.other_court, far.left):
        await far.hold(guest, resource_id=resource.id)
    assert await free(), "the right half is left"
    right = await far.hold(guest, resource_id=far.right.id)
    assert not await free()
    await far.service.cancel(guest, right.id, Cancel())
    assert await free()
    await far.service.cancel(guest, (await far.hold(guest, resource_id=far.right.id)).id, Cancel())
    assert await free(), "a hold that was let go takes nothing"


async def test_a_claim_with_buffers_reaches_further_than_its_time(world: Any, words: Any) -> None:
    venue = await world.add_venue("Europe/London")
    only = await world.add_resource("Only", venue_id=venue, buffer_after_min=30)
    await world.hold(world.newcomer(), resource_id=only.id)
    hour = timedelta(hours=1)
    starts = [words.TEN - 1.5 * hour, words.TEN - hour, words.TEN, words.TEN + hour, words.TEN + 1.5 * hour]
    free = [bool(await world.service.free_venues(Context(), [venue], at, 60)) for at in starts]
    assert free == [True, False, False, False, True]


async def test_free_starts_of_many_venues_are_those_of_each_with_few_statements(world: Any, town: list[Any], words: Any) -> None:
    await town[1].hold(town[1].newcomer(), resource_id=town[1].court.id)
    ids = [w.venue_id for w in town]
    alone = [s for id in ids for s in await Showing(world.another_process()).free_starts(Context(), StartsAsked([id], words.TEN))]
    assert {s.venue_id for s in alone} == set(ids)
    world.venues_service.cache.clear_local()
    showing = Showing(world.another_process())
    with counted() as sent:
        assert await showing.free_starts(Context(), StartsAsked([ids[0], uuid4(), *ids[1:]], words.TEN)) == alone
    assert len(sent) == 2, "the books, and the claims"


async def test_availability_of_many_venues_is_that_of_each_with_few_statements(world: Any, town: list[Any], words: Any) -> None:
    await town[2].hold(town[2].newcomer(), resource_id=town[2].left.id)
    day = words.TEN.date()
    ask = Free(day, day, 60)
    ids = [w.venue_id for w in town]
    alone = [msgspec.json.decode(await world.service.availability(Context(), id, ask)) for id in ids]
    assert alone[0]["days"][0]["resources"][2]["slots"] != alone[2]["days"][0]["resources"][2]["slots"]
    world.service.books = Books(world.venues, Hand())
    with counted() as sent:
        assert msgspec.json.decode(await world.service.availabilities(Context(), [*ids, uuid4()], ask)) == {"items": alone}
    assert len(sent) == 2, "the one venue that is unknown, and the claims"


async def test_whoever_reads_claims_of_many_stands_in_his_own_organisation_afterwards(
    world: Any, town: list[Any], words: Any
) -> None:
    far = town[1]
    await far.hold(far.newcomer())
    ask = [[far.organisation_id], [far.court.id], [words.TEN], [words.TEN + timedelta(hours=1)], words.NOW]
    async with world.db.module("booking").tx(world.owner) as tx:
        claims = await tx.connection.fetch("select * from booking.claims_among($1, $2, $3, $4, $5, 100)", *ask)
        assert [c["resource_id"] for c in claims] == [far.court.id]
        assert await tx.connection.fetchval("select kernel.current_org()") == world.organisation_id
        assert (
            await tx.connection.fetch("select 1 from booking.occupancy o where o.organisation_id = $1", far.organisation_id) == []
        )
        ask[0] = [world.organisation_id]
        assert await tx.connection.fetch("select * from booking.claims_among($1, $2, $3, $4, $5, 100)", *ask) == []
    async with world.db.module("venues").tx(world.owner) as tx:
        may = "select has_function_privilege(p.oid, 'execute') from pg_proc p where p.proname = 'claims_among'"
        assert await tx.connection.fetchval(may) is False


# --- what is kept


class Shelf:
    """Venues, as far as books are asked for. It counts the calls and can be made to wait or fail."""

    def __init__(self) -> None:
        self.versions: dict[UUID, int] = {}
        self.calls: list[tuple[str, int]] = []
        self.open = asyncio.Event()
        self.open.set()
        self.broken = False

    def book_at(self, id: UUID) -> VenueBook:
        plain = make_book("Europe/London", HOURS[0], [court()], version=self.versions[id])
        return msgspec.structs.replace(plain, venue=msgspec.structs.replace(plain.venue, id=id))

    async def _called(self, name: str, ids: Any) -> list[UUID]:
        self.calls.append((name, len(ids)))
        found = [id for id in ids if id in self.versions]
        await self.open.wait()
        if self.broken:
            raise Unavailable
        return found

    async def books(self, ctx: Context, ids: list[UUID]) -> list[VenueBook]:
        return [self.book_at(id) for id in await self._called("books", ids)]

    async def book_version(self, ctx: Context, ids: list[UUID]) -> dict[UUID, int]:
        return {id: self.versions[id] for id in await self._called("book_version", ids)}

    async def terms(self, ctx: Context, known: dict[UUID, int]) -> list[VenueTerms]:
        ids = await self._called("terms", known)
        return [terms_of(self.book_at(id)) for id in ids if self.versions[id] != known[id]]


class Hand:
    """A clock of one hand."""

    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def shelf() -> Shelf:
    made = Shelf()
    made.versions = {uuid4(): 1 for _ in range(4)}
    return made


@pytest.fixture(params=[Books, Terms])
def kept(request: pytest.FixtureRequest, shelf: Shelf) -> tuple[Any, Hand]:
    hand = Hand()
    return request.param(shelf, hand), hand


def versions(found: list[Any]) -> list[int]:
    return [v.version for v in found]


async def test_what_is_kept_is_asked_about_again_after_two_seconds_and_all_at_once(kept: Any, shelf: Shelf) -> None:
    keeper, hand = kept
    ids = list(shelf.versions)
    assert versions(await keeper.of_venues([*ids, uuid4()])) == [1, 1, 1, 1]
    assert len(shelf.calls) == 1
    hand.at = FRESH_S - 0.1
    shelf.versions[ids[2]] = 2
    assert versions(await keeper.of_venues(ids)) == [1, 1, 1, 1], "still trusted"
    assert len(shelf.calls) == 1
    hand.at = FRESH_S
    assert versions(await keeper.of_venues(ids)) == [1, 1, 2, 1]
    assert shelf.calls[1][1] == 4
    calls = len(shelf.calls)
    assert versions(await keeper.of_venues(ids)) == [1, 1, 2, 1]
    assert len(shelf.calls) == calls, "trusted again, the unchanged ones too"


async def test_what_was_dropped_is_read_again_and_a_reading_under_way_is_not_kept(kept: Any, shelf: Shelf) -> None:
    keeper, _ = kept
    ids = list(shelf.versions)
    await keeper.of_venues(ids)
    shelf.versions[ids[0]] = 2
    keeper.drop(ids[0])
    assert versions(await keeper.of_venues(ids)) == [2, 1, 1, 1]
    keeper.drop(ids[0])
    shelf.open.clear()
    reading = asyncio.create_task(keeper.of_venues(ids))
    while shelf.calls[-1][1] != 1:
        await asyncio.sleep(0)
    shelf.versions[ids[0]] = 3
    keeper.drop(ids[0])
    shelf.open.set()
    await reading
    assert versions(await keeper.of_venues(ids)) == [3, 1, 1, 1]


async def test_a_failed_reading_is_everybodys_error_and_the_next_one_reads_again(kept: Any, shelf: Shelf) -> None:
    keeper, hand = kept
    ids = list(shelf.versions)
    await keeper.of_venues(ids)
    hand.at = FRESH_S
    shelf.broken = True
    with pytest.raises(Unavailable):
        await keeper.of_venues(ids)
    shelf.broken = False
    assert versions(await keeper.of_venues(ids)) == [1, 1, 1, 1]


async def test_only_so_much_is_kept(kept: Any, shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    keeper, _ = kept
    ids = list(shelf.versions)
    size = len(msgspec.msgpack.encode(terms_of(shelf.book_at(ids[0]))))
    monkeypatch.setattr(keeping, "MAX_BOOKS", 2)
    monkeypatch.setattr(keeping, "MAX_TERMS_BYTES", 2 * size)
    await keeper.of_venues(ids)
    await keeper.of_venues(ids[2:])
    assert len(shelf.calls) == 1, "the last two are there"
    await keeper.of_venues(ids)
    assert shelf.calls[1][1] == 2


async def test_more_are_asked_for_in_several_calls(kept: Any, shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    keeper, _ = kept
    monkeypatch.setattr(keeping, "AT_ONCE", 3)
    monkeypatch.setattr(keeping, "TERMS_AT_ONCE", 3)
    ids = list(shelf.versions)
    assert versions(await keeper.of_venues([*ids, ids[0]]))[:4] == [1, 1, 1, 1]
    assert [n for _, n in shelf.calls][:2] == [3, 1]


async def test_those_who_want_the_same_book_wait_for_one_answer(shelf: Shelf) -> None:
    books = Books(shelf, Hand())  # type: ignore[arg-type]
    ids = list(shelf.versions)
    shelf.open.clear()
    first = asyncio.create_task(books.of_venues(ids[:3]))
    while not shelf.calls:
        await asyncio.sleep(0)
    impatient = asyncio.create_task(books.of_venue(ids[0]))
    others = [asyncio.create_task(books.of_venue(ids[0])), asyncio.create_task(books.of_venues(ids[1:]))]
    while len(shelf.calls) < 2:
        await asyncio.sleep(0)
    impatient.cancel()
    shelf.open.set()
    assert versions(await first) == [1, 1, 1]
    assert (await others[0]).venue.id == ids[0]
    assert [b.venue.id for b in await others[1]] == ids[1:]
    assert shelf.calls == [("books", 3), ("books", 1)]
    with pytest.raises(NotFound):
        await books.of_venue(uuid4())
