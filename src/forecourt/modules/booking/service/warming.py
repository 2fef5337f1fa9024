"""The next seven days of the venues that are booked most, made ready before anybody asks: their books, and the day
plans that a question for free times needs. What is taken is never kept: it is read for each question.

A day plan belongs to one version of a book, so one that is made while the venue changes is not the one that is asked for after.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from datetime import timedelta
from uuid import UUID

from forecourt.kernel.cache import Cache, Tier
from forecourt.kernel.clock import Clock
from forecourt.kernel.context import service_context
from forecourt.kernel.db import ModuleDatabase
from forecourt.kernel.errors import NotFound
from forecourt.modules.booking import queries, slots
from forecourt.modules.booking.service.books import Books
from forecourt.modules.venues.contract import Resource
from forecourt.modules.venues.contract.calendar import local
from forecourt.modules.venues.contract.keeping import venue_of

DAYS = 7
USUAL_MIN = (60, 90)
"""Lengths that people ask for; where neither is offered, the shortest."""
POPULAR = "booking:popular:week"
POPULAR_TTL_S = 300
POPULAR_SHARED_TTL_S = 900
"""So seldom it is counted anew, by one process for all."""
MAX_VENUES = 100

_CTX = service_context("booking.warming")


class Week:
    """A `Warmth`."""

    name = "booking:week"

    def __init__(self, db: ModuleDatabase, clock: Clock, cache: Cache, books: Callable[[], Books]) -> None:
        self._db = db
        self._clock = clock
        self._cache = cache
        self._books = books

    async def popular(self) -> list[UUID]:
        """Venues by what is booked there in the next seven days."""
        try:
            return await self._cache.get(
                POPULAR,
                list[UUID],
                self._count,
                ttl_s=POPULAR_TTL_S,
                shared_ttl_s=POPULAR_SHARED_TTL_S,
                tier=Tier.BOTH,
            )
        except NotFound:
            return []

    async def _count(self) -> list[UUID]:
        """Raises NotFound when nothing is booked: that is the case of a new house, which does not stay so for long."""
        now = self._clock.now()
        until = now + timedelta(days=DAYS)
        found: list[queries.Booked] = []
        async with self._db.read(_CTX) as tx:
            for organisation in await queries.busiest_organisations(tx, now, until):
                await tx.become(self._db.role, organisation.id)
                found += await queries.busiest_venues(tx, organisation.id, now, until)
        if not found:
            raise NotFound
        found.sort(key=lambda venue: (-venue.bookings, venue.id))
        return [venue.id for venue in found[:MAX_VENUES]]

    async def make_ready(self, venue_id: UUID, /) -> AsyncGenerator[int]:
        book = await self._books().of_venue(venue_id)
        first = local(book, self._clock.now()).date()
        made: dict[int, slots.DayPlan] = {}
        for day in (first + timedelta(days=n) for n in range(DAYS)):
            for resource in book.resources:
                for length in _lengths(resource):
                    plan = slots.prepare(book, resource, day, length)
                    # Places that are alike share their plans.
                    yield 0 if plan is None or id(plan) in made else slots.size_of(made.setdefault(id(plan), plan))

    def watch(self, hear: Callable[[UUID], None]) -> None:
        def heard(key: str) -> None:
            venue_id = venue_of(key)
            if venue_id is not None:
                hear(venue_id)

        self._cache.watch(heard)


def _lengths(resource: Resource) -> list[int]:
    return [m for m in USUAL_MIN if m in resource.durations_min] or sorted(resource.durations_min)[:1]
