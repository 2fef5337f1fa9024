"""What all use cases stand on: the database, the clock, and books kept in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Protocol
from uuid import UUID

import msgspec
import structlog

from forecourt.kernel.cache import Cache, Tier
from forecourt.kernel.clock import Clock
from forecourt.kernel.context import Context
from forecourt.kernel.db import ModuleDatabase, Tx
from forecourt.kernel.errors import NotFound, PreconditionFailed
from forecourt.kernel.events import Event, emit
from forecourt.modules.venues import queries
from forecourt.modules.venues.contract import Change, VenueBook, VenueChanged, VenueTerms
from forecourt.modules.venues.contract.keeping import book_key
from forecourt.modules.venues.listing import forms_of, listing_of
from forecourt.modules.venues.queries import BookRow, Place

log = structlog.get_logger("forecourt.venues")

BOOK_TTL_S = 60
"""A book lives no longer in memory, should the process that changed it die before it could say so."""
BOOK_SHARED_TTL_S = 300
"""In Valkey it lives longer: who compares versions (`book_version`, `overtaken`) ends one that outlived a change."""
PLACE_TTL_S = 3_600
"""Where an id belongs never changes."""
ABSENT_TTL_S = 5
MAX_BOOKS = 100
MAX_TERMS = 300
MAX_SHOWN_CHARS = 200


class Ownership(Protocol):
    """What this module asks of identity."""

    async def adopt(self, ctx: Context, organisation_id: UUID) -> object:
        """Makes `ctx`'s person the owner of a new organisation; again does nothing."""
        ...


class FreeAt(Protocol):
    """What this module asks of booking."""

    async def free_venues(
        self, ctx: Context, venue_ids: list[UUID], start: datetime, duration_min: int, sport: str | None = None
    ) -> list[UUID]:
        """Those of the venues that have something (of the sport) free from `start` for so long. At most 300 are asked about."""
        ...

    async def rearrange(self, ctx: Context, venue_id: UUID, resource_ids: list[UUID], version: int) -> list[UUID]:
        """Before the resources get more parts: those that somebody has at some time that is not over. When it is nobody, nothing
        is claimed for a minute from the venue's book of this version."""
        ...


class _Together:
    """Books that are asked for one by one in the same turn of the loop, read with one statement."""

    def __init__(self, read: Callable[[Context, list[UUID]], Awaitable[list[VenueBook]]]) -> None:
        self._read = read
        self._asked: list[UUID] = []
        self._reading: asyncio.Task[dict[UUID, VenueBook]] | None = None

    async def read(self, ctx: Context, venue_id: UUID) -> VenueBook:
        """Raises NotFound."""
        self._asked.append(venue_id)
        if self._reading is None:
            self._reading = asyncio.create_task(self._read_all(ctx))
        # Shielded: the first to ask may give up without taking the answer from the others.
        book = (await asyncio.shield(self._reading)).get(venue_id)
        if book is None:
            raise NotFound
        return book

    async def _read_all(self, ctx: Context) -> dict[UUID, VenueBook]:
        # A task begins in the next turn: by then, all that were asked for in this one are here.
        asked, self._asked, self._reading = self._asked, [], None
        return {book.venue.id: book for book in await self._read(ctx, asked)}


class Base:
    """Use cases extend it; `VenuesService` is all of them together."""

    def __init__(
        self, db: ModuleDatabase, clock: Clock, cache: Cache, identity: Ownership, availability: FreeAt | None = None
    ) -> None:
        """Without `availability` nobody books here: nothing is taken, and a search about free time is refused."""
        self.db = db
        self.clock = clock
        self.cache = cache
        self.identity = identity
        self.availability = availability

    # --- reading books

    async def place(self, ctx: Context, id: UUID) -> Place:
        """Where a venue or a resource belongs. Raises NotFound."""

        async def load() -> Place:
            async with self.db.tx(ctx.within(None)) as tx:
                return await queries.locate(tx, id)

        return await self.cache.get(
            f"venues:place:{id}", Place, load, ttl_s=PLACE_TTL_S, absent_ttl_s=ABSENT_TTL_S, tier=Tier.LOCAL
        )

    async def book(self, ctx: Context, venue_id: UUID) -> VenueBook:
        """The venue's book as of now. Raises NotFound."""

        async def load() -> VenueBook:
            # From the primary: a replica may be behind, and what is kept here was just said to be stale.
            async with self.db.tx(ctx.within(None)) as tx:
                place = await queries.locate(tx, venue_id)
                if place.venue_id != venue_id:
                    raise NotFound
                await tx.become(self.db.role, place.organisation_id)
                return (await queries.book(tx, place.organisation_id, venue_id)).book

        return await self._cached_book(venue_id, load)

    async def _cached_book(self, venue_id: UUID, load: Callable[[], Awaitable[VenueBook]]) -> VenueBook:
        return await self.cache.get(
            book_key(venue_id),
            VenueBook,
            load,
            ttl_s=BOOK_TTL_S,
            shared_ttl_s=BOOK_SHARED_TTL_S,
            absent_ttl_s=ABSENT_TTL_S,
            tier=Tier.BOTH,
        )

    async def book_of_resource(self, ctx: Context, resource_id: UUID) -> VenueBook:
        """The book of the venue that has this resource. Raises NotFound."""
        place = await self.place(ctx, resource_id)
        if place.venue_id == resource_id:
            raise NotFound
        book = await self.book(ctx, place.venue_id)
        if book.resource(resource_id) is None:
            # Kept before the resource was added: the book in memory is older than the resource.
            await self._forget([place.venue_id])
            book = await self.book(ctx, place.venue_id)
        return book

    async def books(self, ctx: Context, venue_ids: list[UUID]) -> list[VenueBook]:
        """Books in the order asked; unknown ids are left out. At most 100 at once."""
        together = _Together(self._read_books)
        found = await asyncio.gather(*(self._kept_book(ctx, id, together) for id in dict.fromkeys(venue_ids[:MAX_BOOKS])))
        return [book for book in found if book is not None]

    async def _kept_book(self, ctx: Context, venue_id: UUID, together: _Together) -> VenueBook | None:
        try:
            return await self._cached_book(venue_id, lambda: together.read(ctx, venue_id))
        except NotFound:
            return None

    async def _read_books(self, ctx: Context, venue_ids: list[UUID]) -> list[VenueBook]:
        async with self.db.tx(ctx.within(None)) as tx:
            return await queries.books(tx, venue_ids)

    async def terms(self, ctx: Context, known: dict[UUID, int]) -> list[VenueTerms]:
        """What decides free time at these venues, where the version is another than the known one. At most MAX_TERMS at once."""
        wanted = list(known)[:MAX_TERMS]
        async with self.db.tx(ctx.within(None)) as tx:
            versions = await queries.book_versions(tx, wanted)
            changed = [id for id, version in versions.items() if version != known[id]]
            return await queries.terms(tx, changed) if changed else []

    async def book_version(self, ctx: Context, venue_ids: list[UUID]) -> dict[UUID, int]:
        """The present versions of these books; unknown ids are left out. At most 100 at once."""
        async with self.db.tx(ctx.within(None)) as tx:
            versions = await queries.book_versions(tx, venue_ids[:MAX_BOOKS])
        # A book that is kept and is another one outlived its change: whoever made that could not say so. A newer one is of a
        # database that was since restored.
        held = {id: self.cache.held_here(book_key(id), VenueBook) for id in versions}
        await self._forget([id for id, book in held.items() if book is not None and book.version != versions[id]])
        return versions

    async def overtaken(self, versions: dict[UUID, int]) -> None:
        """Venues changed and have at least these versions: forgets what any tier has that is older. For the event of the change,
        which comes also when the process that changed them died."""
        held = await asyncio.gather(*(self.cache.held(book_key(id), VenueBook) for id in versions))
        found = zip(versions.items(), held, strict=True)
        await self._forget([id for (id, version), books in found if any(book.version < version for book in books)])

    async def fresh(self, ctx: Context, venue_id: UUID) -> BookRow:
        """The book from the database, for people who edit `ctx`'s organisation. Raises NotFound."""
        async with self.db.tx(ctx) as tx:
            return await queries.book(tx, _organisation(ctx), venue_id)

    # --- editing books

    async def _open(self, tx: Tx, venue_id: UUID) -> BookRow:
        """The book with its new version, held against other edits. Raises NotFound."""
        organisation_id = _organisation(tx.context)
        await queries.touch(tx, organisation_id, venue_id)
        return await queries.book(tx, organisation_id, venue_id)

    async def _publish(self, tx: Tx, book: VenueBook, changes: tuple[Change, ...] = (), *more: Event) -> None:
        """Writes the card of the changed book to the directory and says that it changed."""
        await self._list(tx, book)
        organisation_id, venue_id = book.venue.organisation_id, book.venue.id
        emit(tx, VenueChanged(organisation_id=organisation_id, venue_id=venue_id, version=book.version, changes=changes))
        for event in more:
            emit(tx, event)

    async def _list(self, tx: Tx, book: VenueBook) -> None:
        listing = listing_of(book)
        await queries.upsert_listing(tx, listing)
        if listing.card.listed:
            await queries.insert_words(tx, [(form, word) for word in listing.words for form in forms_of(word)])

    async def _forget(self, venue_ids: list[UUID]) -> None:
        """Call it after the commit."""
        await self.cache.invalidate(*(book_key(id) for id in venue_ids))


def _organisation(ctx: Context) -> UUID:
    if ctx.organisation_id is None:
        raise NotFound
    return ctx.organisation_id


organisation_of = _organisation


def check_version(present: int, wanted: int | None) -> None:
    """Raises PreconditionFailed when `wanted` (If-Match) is given and is not the present version."""
    if wanted is not None and wanted != present:
        raise PreconditionFailed(f"it is at version {present} by now")


def changes_between(before: msgspec.Struct, after: msgspec.Struct) -> tuple[Change, ...]:
    """The fields that differ, `version` aside."""
    return tuple(
        Change(name, _shown(old), _shown(new))
        for name in before.__struct_fields__
        if name not in ("version", "photos") and (old := getattr(before, name)) != (new := getattr(after, name))
    )


def _shown(value: object) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= MAX_SHOWN_CHARS else text[: MAX_SHOWN_CHARS - 1] + "…"


def patched(value: msgspec.Struct, patch: msgspec.Struct) -> dict[str, object]:
    """The fields that the patch states."""
    return {name: given for name in patch.__struct_fields__ if (given := getattr(patch, name)) is not msgspec.UNSET}
