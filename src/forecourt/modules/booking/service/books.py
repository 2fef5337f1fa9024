"""What this process keeps of venues so that booking asks nobody on its way: whole books, and of many more venues the terms.

What a book says is at most that old, and this is what may come of it: a price, hours or a policy of a moment ago, which is what
was shown and is kept with the booking. No place is given away twice: claims decide, and the one thing that says what is claimed,
the parts of a resource, is kept out by its version before it changes (`queries.keep_out`, `Reading.rearrange`).

What is kept is trusted for `FRESH_S`; then one caller asks for the present version while the others wait for the same answer,
and it is read again only when the version is another. Several venues are asked about with one call. `drop` forgets a venue at
once; reactions call it.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from uuid import UUID

import msgspec

from forecourt.kernel.context import service_context
from forecourt.kernel.errors import NotFound
from forecourt.kernel.memory import remember
from forecourt.kernel.metrics import Metrics
from forecourt.modules.venues.contract import Resource, VenueBook, Venues, VenueTerms

FRESH_S = 2.0
"""The longest time for which an edit of a venue may be unknown here."""
MAX_BOOKS = 2_000
MAX_PLACES = 100_000
MAX_TERMS_BYTES = 32 * 1024 * 1024
"""A venue of two courts takes half a kilobyte, one of twenty takes three."""
BOOKS, TERMS = "booking:books", "booking:terms"
"""As metrics call them. What is trusted, or was asked about and is still right, was found; what has to be read was not."""
AT_ONCE = 100
"""Books that one call may ask for."""
TERMS_AT_ONCE = 300

_CTX = service_context("booking.books")


class Kept(msgspec.Struct):
    """A book with its resources by id. `until`: monotonic seconds up to which it is trusted."""

    book: VenueBook
    resources: dict[UUID, Resource]
    until: float


_Flight = asyncio.Task[dict[UUID, Kept]]


class Books:
    def __init__(self, venues: Venues, monotonic: Callable[[], float] = time.monotonic, metrics: Metrics | None = None) -> None:
        self._venues = venues
        self._monotonic = monotonic
        self._metrics = metrics or Metrics()
        self._kept: OrderedDict[UUID, Kept] = OrderedDict()
        self._venue_of: OrderedDict[UUID, UUID] = OrderedDict()
        self._flights: dict[UUID, _Flight] = {}

    async def of_venue(self, venue_id: UUID) -> VenueBook:
        """Raises NotFound."""
        return (await self._get(venue_id)).book

    async def of_venues(self, venue_ids: Sequence[UUID]) -> list[VenueBook]:
        """In the order asked; unknown ids are left out. One call for the versions of those kept, one for the other books."""
        found: dict[UUID, Kept] = {}
        for first in range(0, len(venue_ids), AT_ONCE):
            found |= await self._get_all(venue_ids[first : first + AT_ONCE])
        return [found[id].book for id in venue_ids if id in found]

    async def of_resource(self, resource_id: UUID) -> tuple[VenueBook, Resource]:
        """Raises NotFound for a resource that is unknown or was removed."""
        venue_id = self._venue_of.get(resource_id)
        if venue_id is None:
            venue_id = (await self._venues.book_of_resource(_CTX, resource_id)).venue.id
            remember(self._venue_of, resource_id, venue_id, MAX_PLACES)
        kept = await self._get(venue_id)
        resource = kept.resources.get(resource_id)
        if resource is None or resource.removed:
            raise NotFound
        return kept.book, resource

    def drop(self, venue_id: UUID) -> None:
        """The next question reads the book again; a reading that is under way is not kept."""
        self._kept.pop(venue_id, None)
        self._flights.pop(venue_id, None)

    async def _get(self, venue_id: UUID) -> Kept:
        kept = self._kept.get(venue_id)
        if kept is not None and kept.until > self._monotonic():
            self._metrics.cache_lookup("l1", BOOKS, hit=True)
            return kept
        found = await self._get_all([venue_id])
        if venue_id not in found:
            raise NotFound
        return found[venue_id]

    async def _get_all(self, venue_ids: Sequence[UUID]) -> dict[UUID, Kept]:
        found: dict[UUID, Kept] = {}
        stale: dict[UUID, Kept | None] = {}
        flights: set[_Flight] = set()
        now = self._monotonic()
        had = {id: self._kept.get(id) for id in venue_ids}
        for id, kept in had.items():
            if kept is not None and kept.until > now:
                found[id] = kept
            elif id in self._flights:
                flights.add(self._flights[id])
            else:
                stale[id] = kept
        if stale:
            flights.add(self._take_off(stale))
        for flight in flights:
            # Shielded: the first to ask may give up without taking the answer from the others.
            landed = await asyncio.shield(flight)
            found |= {id: landed[id] for id in venue_ids if id in landed}
        for id in venue_ids:
            kept = had.get(id)
            self._metrics.cache_lookup("l1", BOOKS, hit=kept is not None and id in found and found[id].book is kept.book)
        return found

    def _take_off(self, stale: dict[UUID, Kept | None]) -> _Flight:
        flight = asyncio.create_task(self._refresh(stale))
        self._flights |= dict.fromkeys(stale, flight)
        flight.add_done_callback(lambda task: self._landed(list(stale), task))
        return flight

    async def _refresh(self, stale: dict[UUID, Kept | None]) -> dict[UUID, Kept]:
        """The present books of these venues; unknown ones are left out."""
        asked = self._monotonic()
        found: dict[UUID, Kept] = {}
        known = {id: kept for id, kept in stale.items() if kept is not None}
        versions = await self._venues.book_version(_CTX, list(known)) if known else {}
        for id, kept in known.items():
            if versions.get(id) == kept.book.version:
                found[id] = Kept(kept.book, kept.resources, asked + FRESH_S)
        self._metrics.cache_checked(BOOKS, len(found))
        missing = [id for id in stale if id not in found]
        for book in await self._venues.books(_CTX, missing) if missing else []:
            found[book.venue.id] = Kept(book, {r.id: r for r in book.resources}, asked + FRESH_S)
        return found

    def _landed(self, venue_ids: list[UUID], task: _Flight) -> None:
        mine = [id for id in venue_ids if self._flights.get(id) is task]
        for id in mine:
            del self._flights[id]
        # Asking for the exception also says that it was seen: those who wait for the task raise it.
        found = {} if task.cancelled() or task.exception() is not None else task.result()
        for id in mine:
            self._kept.pop(id, None)
            if id in found:
                self._kept[id] = found[id]
                for resource_id in found[id].resources:
                    remember(self._venue_of, resource_id, id, MAX_PLACES)
        while len(self._kept) > MAX_BOOKS:
            self._kept.popitem(last=False)


class _Packed(msgspec.Struct):
    """Terms as bytes: objects would take ten times as much."""

    version: int
    until: float
    terms: bytes


class Terms:
    """What decides free time, of as many venues as MAX_TERMS_BYTES hold."""

    def __init__(self, venues: Venues, monotonic: Callable[[], float] = time.monotonic, metrics: Metrics | None = None) -> None:
        self._venues = venues
        self._monotonic = monotonic
        self._metrics = metrics or Metrics()
        self._kept: OrderedDict[UUID, _Packed] = OrderedDict()
        self._bytes = 0
        self._dropped = 0
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(VenueTerms).decode

    async def of_venues(self, venue_ids: Sequence[UUID]) -> list[VenueTerms]:
        """In the order asked; unknown ids are left out. One call for those that are not fresh."""
        wanted = list(dict.fromkeys(venue_ids))
        found: dict[UUID, VenueTerms] = {}
        for first in range(0, len(wanted), TERMS_AT_ONCE):
            found |= await self._get_all(wanted[first : first + TERMS_AT_ONCE])
        return [found[id] for id in wanted if id in found]

    def drop(self, venue_id: UUID) -> None:
        """The next question reads the terms again; a reading that is under way is not kept."""
        self._dropped += 1
        self._forget(venue_id)

    async def _get_all(self, venue_ids: list[UUID]) -> dict[UUID, VenueTerms]:
        asked = self._monotonic()
        kept = {id: self._kept[id] for id in venue_ids if id in self._kept}
        known = {id: kept[id].version if id in kept else 0 for id in venue_ids if id not in kept or kept[id].until <= asked}
        read: dict[UUID, VenueTerms] = {}
        if known:
            dropped = self._dropped
            read = {t.venue_id: t for t in await self._venues.terms(_CTX, known)}
            if dropped == self._dropped:
                self._keep(known, read, asked + FRESH_S)
            self._metrics.cache_checked(TERMS, sum(1 for id in known if id in kept and id not in read))
        for id in venue_ids:
            self._metrics.cache_lookup("l1", TERMS, hit=id in kept and id not in read)
        return {id: read[id] if id in read else self._decode(kept[id].terms) for id in venue_ids if id in read or id in kept}

    def _keep(self, known: dict[UUID, int], read: dict[UUID, VenueTerms], until: float) -> None:
        for id, version in known.items():
            if id in read:
                self._forget(id)
                packed = _Packed(read[id].version, until, self._encode(read[id]))
                self._kept[id] = packed
                self._bytes += len(packed.terms)
            elif (same := self._kept.get(id)) is not None and same.version == version:
                same.until = until
                self._kept.move_to_end(id)
        while self._bytes > MAX_TERMS_BYTES:
            self._forget(next(iter(self._kept)))

    def _forget(self, venue_id: UUID) -> None:
        gone = self._kept.pop(venue_id, None)
        self._bytes -= 0 if gone is None else len(gone.terms)


__all__ = ["FRESH_S", "Books", "Terms"]
