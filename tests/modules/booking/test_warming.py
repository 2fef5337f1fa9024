"""The next seven days of busy venues are ready before anybody asks, and nothing old is ever answered because of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import date, timedelta
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest

from forecourt.kernel.cache import Cache
from forecourt.kernel.clock import FixedClock
from forecourt.kernel.contracts import local
from forecourt.kernel.db import Database
from forecourt.kernel.metrics import Metrics
from forecourt.kernel.warming import Warmer
from forecourt.modules.booking import queries, slots
from forecourt.modules.booking.contract import Availability
from forecourt.modules.booking.service import BookingService, warming
from forecourt.modules.booking.service.reading import Free
from forecourt.modules.venues.contract import Resource, Venues
from forecourt.modules.venues.service import VenuesService

TODAY = date(2026, 6, 1)
"""At the club, which keeps London's time."""


@pytest.fixture
async def caches(valkey_url: str) -> AsyncIterator[tuple[Cache, Cache]]:
    """Of a process, and of another in which venues are changed."""
    pair = Cache(valkey_url, Metrics()), Cache(valkey_url, Metrics())
    for cache in pair:
        await cache.start()
        await asyncio.wait_for(cache.listening(), 5)
    yield pair
    for cache in pair:
        await cache.close()


@pytest.fixture
async def service(world: Any, db: Database, clock: FixedClock, caches: tuple[Cache, Cache]) -> BookingService:
    """A process that shares a cache between venues and booking; `world` changes venues in the other."""
    here, there = caches
    world.venues_service.cache = there
    venues: Venues = local(Venues, VenuesService(db.module("venues"), clock, here, world.people))  # type: ignore[type-abstract]
    return BookingService(db.module("booking"), clock, venues, world.payments, world.people, world.heard, b"secret", here)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[date]:
    """The days whose plans were made, as often as they were."""
    days: list[date] = []
    make = slots._make_plans  # pyright: ignore[reportPrivateUsage]

    def noted(book: Any, profile: Any, first: date, last: date) -> Any:
        found = make(book, profile, first, last)
        days.extend(found)
        return found

    monkeypatch.setattr(slots, "_make_plans", noted)
    return days


async def make_ready(service: BookingService, venue_id: UUID) -> int:
    return sum([taken async for taken in service.week.make_ready(venue_id)])


async def ask(
    service: BookingService, world: Any, days: int = 7, length: int = 60, court: Resource | None = None
) -> Availability:
    wanted = Free(TODAY, TODAY + timedelta(days=days - 1), length, resource_id=None if court is None else court.id)
    return msgspec.json.decode(await service.availability(world.newcomer(), world.venue_id, wanted), type=Availability)


def prices(found: Availability) -> set[int]:
    return {slot.price.amount for day in found.days for r in day.resources for slot in r.slots}


async def test_the_first_question_about_the_week_makes_no_plan(service: BookingService, world: Any, made: list[date]) -> None:
    assert await make_ready(service, world.venue_id) > 0
    assert set(made) == {TODAY + timedelta(days=n) for n in range(7)}
    made.clear()
    for length in (60, 90):
        assert prices(await ask(service, world, length=length)) == {2000 * length // 60}
    assert made == []
    await ask(service, world, days=8)
    assert set(made) == {TODAY + timedelta(days=7)}  # the control: that day was not made ready


async def test_places_that_are_alike_are_paid_for_once(service: BookingService, world: Any) -> None:
    before = await make_ready(service, world.venue_id)
    await world.add_resource("Court 3")
    service.forget(world.venue_id)
    await world.venues_service.book_version(world.newcomer(), [world.venue_id])
    assert await make_ready(service, world.venue_id) == before


async def test_what_is_claimed_is_seen_however_warm_it_is(service: BookingService, world: Any) -> None:
    await make_ready(service, world.venue_id)
    free = await ask(service, world, days=2, court=world.court)
    booked = await world.book(await world.rich())
    taken = await ask(service, world, days=2, court=world.court)
    assert booked.start in [s.start for s in free.days[1].resources[0].slots]
    assert booked.start not in [s.start for s in taken.days[1].resources[0].slots]


async def test_a_price_that_changes_while_it_is_made_ready_is_the_new_one(
    service: BookingService, world: Any, caches: tuple[Cache, Cache]
) -> None:
    heard = asyncio.Event()
    service.week.watch(lambda venue_id: heard.set() if venue_id == world.venue_id else None)
    pieces = service.week.make_ready(world.venue_id)
    await anext(pieces)  # it has read the book, and made the first plan of it
    assert prices(await ask(service, world)) == {2000}  # the control: it was kept
    heard.clear()
    await world.price(3000)
    await asyncio.wait_for(heard.wait(), 5)
    async for _ in pieces:
        pass  # plans of the old book, which nobody asks for any more
    assert prices(await ask(service, world)) == {3000}
    assert prices(await ask(world.another_process(), world)) == {3000}


async def test_a_venue_that_changes_is_made_ready_again(service: BookingService, world: Any, made: list[date]) -> None:
    ready = asyncio.Event()

    class OneVenue:
        name = "tests:one"
        watch = staticmethod(service.week.watch)

        async def popular(self) -> list[UUID]:
            return [world.venue_id]

        async def make_ready(self, id: UUID, /) -> Any:
            async for taken in service.week.make_ready(id):
                yield taken
            ready.set()

    running = asyncio.create_task(Warmer(OneVenue(), Metrics(), share=1, settle_s=0).run())
    try:
        await asyncio.wait_for(ready.wait(), 10)
        ready.clear()
        await world.price(3000)
        await asyncio.wait_for(ready.wait(), 10)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    made.clear()
    assert prices(await ask(service, world)) == {3000}
    assert made == []


async def test_venues_are_popular_by_what_is_booked_there_this_week(
    service: BookingService, world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("MAX_COUNTED", "MAX_COUNTED_EACH", "MAX_BUSIEST"):
        monkeypatch.setattr(queries, name, 1_000_000)  # other tests book things as well
    monkeypatch.setattr(warming, "MAX_VENUES", 1_000_000)
    busy, calm, later = world.venue_id, await world.add_venue("Europe/London"), await world.add_venue("Europe/London")
    courts = {venue: await world.add_resource("Court", venue_id=venue) for venue in (calm, later)}
    guest = await world.rich()
    ten = world.wish().start
    for start, court in (
        (ten, world.court),
        (ten + timedelta(days=1), world.court),
        (ten, courts[calm]),
        (ten + timedelta(days=7), courts[later]),
    ):
        await world.book(guest, start=start, resource_id=court.id)
    found = await service.week._count()  # pyright: ignore[reportPrivateUsage]
    assert found.index(busy) < found.index(calm)
    assert later not in found


async def test_it_is_counted_once_for_everybody(
    service: BookingService, world: Any, caches: tuple[Cache, Cache], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warming, "POPULAR", f"tests:popular:{uuid4()}")
    await world.book(await world.rich())
    counts = 0
    count = warming.Week._count  # pyright: ignore[reportPrivateUsage]

    async def noted(self: warming.Week) -> list[UUID]:
        nonlocal counts
        counts += 1
        return await count(self)

    monkeypatch.setattr(warming.Week, "_count", noted)
    there = warming.Week(service.db, service.clock, caches[1], lambda: service.books)
    found = [await week.popular() for week in (service.week, service.week, there)]
    assert found[0] == found[1] == found[2]
    assert counts == 1
    await caches[0].invalidate(warming.POPULAR)
    await service.week.popular()
    assert counts == 2  # the control: it is counted where nobody has


async def test_a_new_house_is_looked_at_again(service: BookingService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warming, "POPULAR", f"tests:popular:{uuid4()}")
    booked: list[queries.Busiest] = []

    async def busiest(*_: object) -> list[queries.Busiest]:
        return booked

    async def venues(*_: object) -> list[queries.Booked]:
        return [queries.Booked(venue_id, 1)]

    venue_id = uuid4()
    monkeypatch.setattr(queries, "busiest_organisations", busiest)
    monkeypatch.setattr(queries, "busiest_venues", venues)
    assert await service.week.popular() == []
    booked.append(queries.Busiest(uuid4(), 1))
    assert await service.week.popular() == [venue_id]


async def test_without_valkey_and_without_the_database_the_house_goes_on(world: Any, db: Database, clock: FixedClock) -> None:
    deaf = BookingService(
        db.module("booking"),
        clock,
        world.venues,
        world.payments,
        world.people,
        world.heard,
        b"secret",
        Cache("unix:///nowhere/v.sock", Metrics()),
    )
    assert isinstance(await deaf.week.popular(), list)
    metrics = Metrics()

    async def away() -> list[UUID]:
        raise OSError("the database is away")

    deaf.week.popular = away  # type: ignore[method-assign]
    await Warmer(deaf.week, metrics, share=1).make_all_ready()
    assert prices(await ask(deaf, world)) == {2000}
