"""Books of venues, kept by this process so that booking asks nobody on its way.

A kept book is trusted for `FRESH_S`; then one caller asks for its present version while the others wait for the same answer,
and the book is read again only when the version is another. `drop` forgets a book at once; reactions call it.
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
from forecourt.modules.venues.contract import Resource, VenueBook, Venues

FRESH_S = 2.0
"""The longest time for which an edit of a venue may be unknown here."""
MAX_BOOKS = 2_000
MAX_PLACES = 100_000

_CTX = service_context("booking.books")


class Kept(msgspec.Struct):
    """A book with its resources by id. `until`: monotonic seconds up to which it is trusted."""

    book: VenueBook
    resources: dict[UUID, Resource]
    until: float


class Books:
    def __init__(self, venues: Venues, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._venues = venues
        self._monotonic = monotonic
        self._kept: OrderedDict[UUID, Kept] = OrderedDict()
        self._venue_of: OrderedDict[UUID, UUID] = OrderedDict()
        self._flights: dict[UUID, asyncio.Task[Kept]] = {}

    async def of_venue(self, venue_id: UUID) -> VenueBook:
        """Raises NotFound."""
        return (await self._get(venue_id)).book

    async def of_venues(self, venue_ids: Sequence[UUID]) -> list[VenueBook]:
        """In the order asked; unknown ids are left out."""
        found: list[VenueBook] = []
        for venue_id in venue_ids:
            try:
                found.append(await self.of_venue(venue_id))
            except NotFound:
                continue
        return found

    async def of_resource(self, resource_id: UUID) -> tuple[VenueBook, Resource]:
        """Raises NotFound for a resource that is unknown or was removed."""
        venue_id = self._venue_of.get(resource_id)
        if venue_id is None:
            venue_id = (await self._venues.book_of_resource(_CTX, resource_id)).venue.id
            self._venue_of[resource_id] = venue_id
            while len(self._venue_of) > MAX_PLACES:
                self._venue_of.popitem(last=False)
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
            return kept
        flight = self._flights.get(venue_id)
        if flight is None:
            flight = self._flights[venue_id] = asyncio.create_task(self._refresh(venue_id, kept))
            flight.add_done_callback(lambda task: self._landed(venue_id, task))
        # Shielded: the first to ask may give up without taking the answer from the others.
        return await asyncio.shield(flight)

    async def _refresh(self, venue_id: UUID, kept: Kept | None) -> Kept:
        asked = self._monotonic()
        if kept is not None:
            versions = await self._venues.book_version(_CTX, [venue_id])
            if versions.get(venue_id) == kept.book.version:
                kept.until = asked + FRESH_S
                return kept
        book = await self._venues.book(_CTX, venue_id)
        return Kept(book, {r.id: r for r in book.resources}, asked + FRESH_S)

    def _landed(self, venue_id: UUID, task: asyncio.Task[Kept]) -> None:
        if self._flights.get(venue_id) is not task:
            if not task.cancelled():
                task.exception()
            return
        del self._flights[venue_id]
        if task.cancelled() or task.exception() is not None:
            self._kept.pop(venue_id, None)
            return
        self._kept[venue_id] = task.result()
        self._kept.move_to_end(venue_id)
        while len(self._kept) > MAX_BOOKS:
            self._kept.popitem(last=False)
