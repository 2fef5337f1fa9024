"""Looking for venues: near a point, by what they offer, by price, by words, free at a time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from enum import StrEnum
from typing import Any, assert_never
from uuid import UUID

import msgspec

from forecourt.kernel.context import Context
from forecourt.kernel.db import Tx
from forecourt.kernel.errors import Invalid
from forecourt.kernel.paging import Keyset, Page
from forecourt.modules.venues import queries
from forecourt.modules.venues.contract import Location, VenueCard
from forecourt.modules.venues.listing import MAX_TYPED_WORDS, fold, forms_of, one_typo_apart, tsquery, words_of
from forecourt.modules.venues.queries import Found, Wanted
from forecourt.modules.venues.service.base import MAX_BOOKS
from forecourt.modules.venues.service.photos import Photographed

BATCHES = (50, 100, 150)
"""Candidates asked about at once when a search is about free time: the more, the fewer were found among those before."""
MAX_CANDIDATES = sum(BATCHES)
"""A search about free time looks at no more venues per page; its cursor goes on from there."""
MAX_SUGGESTIONS = 10
MAX_CITIES = 3


class Sort(StrEnum):
    DISTANCE = "distance"
    PRICE = "price"
    NAME = "name"
    RELEVANCE = "relevance"


class FreeTime(msgspec.Struct, frozen=True):
    start: datetime
    duration_min: int


class SuggestionKind(StrEnum):
    VENUE = "venue"
    CITY = "city"


class Suggestion(msgspec.Struct, frozen=True):
    """What someone may have begun to type. A venue has an id."""

    kind: SuggestionKind
    text: str
    venue_id: UUID | None = None


Read = Callable[[Tx, Wanted, Any, int], Awaitable[list[Found]]]


class Order(msgspec.Struct, frozen=True):
    """One way to sort: how to read it, and a row's place in it."""

    keyset: Keyset[Any]
    read: Read
    key: Callable[[Found], tuple[object, ...]]


def _order(sort: Sort) -> Order:
    match sort:
        case Sort.DISTANCE:
            return _BY_DISTANCE
        case Sort.PRICE:
            return _BY_PRICE
        case Sort.NAME:
            return _BY_NAME
        case Sort.RELEVANCE:
            return _BY_RELEVANCE
        case _:
            assert_never(sort)


_BY_DISTANCE = Order(
    Keyset("venues by distance", tuple[float, UUID]), queries.by_distance, lambda row: (row.chord_m, row.venue_id)
)
_BY_PRICE = Order(Keyset("venues by price", tuple[int, UUID]), queries.by_price, lambda row: (row.price_key, row.venue_id))
_BY_NAME = Order(Keyset("venues by name", tuple[str, UUID]), queries.by_name, lambda row: (row.name_key, row.venue_id))
_BY_RELEVANCE = Order(
    Keyset("venues by relevance", tuple[int, str, UUID]),
    queries.by_relevance,
    lambda row: (row.miss, row.name_key, row.venue_id),
)


class Search(Photographed):
    async def cards(self, ctx: Context, ids: list[UUID]) -> list[VenueCard]:
        """Cards in the order asked; unknown ids are left out. At most 100 at once."""
        ids = ids[:MAX_BOOKS]
        async with self.db.read(ctx.within(None)) as tx:
            found = await queries.cards(tx, ids)
        return [found[id] for id in ids if id in found]

    async def near(self, ctx: Context, point: Location, radius_km: float, sport: str | None, limit: int) -> list[UUID]:
        """Listed venues (with something for the sport) within `radius_km` of the point, nearest first; at most 100."""
        wanted = Wanted(near=point, radius_km=radius_km, sport=sport)
        async with self.db.read(ctx.within(None)) as tx:
            return [row.venue_id for row in await queries.by_distance(tx, wanted, None, min(max(limit, 0), MAX_BOOKS))]

    async def search(
        self,
        ctx: Context,
        wanted: Wanted,
        *,
        text: str = "",
        free: FreeTime | None = None,
        sort: Sort | None = None,
        limit: int = 20,
        cursor: str | None = None,
    ) -> Page[VenueCard]:
        """Listed venues that fit. Without `sort`: nearest first when there is a point, best match when there are words, by name.

        A page about free time may be short, even empty, and still have a next one: it ends after MAX_CANDIDATES venues.
        Raises Invalid.
        """
        order = _order(sort or _natural_sort(wanted, text))
        if order is _BY_DISTANCE and wanted.near is None:
            raise Invalid.field("sort", "by distance needs a point: near=51.5,-0.12")
        after = order.keyset.decode(cursor)
        async with self.db.read(ctx.within(None)) as tx:
            if words_of(text):
                wanted = await self._with_words(tx, wanted, words_of(text)[:MAX_TYPED_WORDS])
            elif text.strip():
                return Page([])
            if free is None:
                rows = await order.read(tx, wanted, after, limit + 1)
                return order.keyset.page(rows, limit, order.key).map(lambda row: row.card)
        return await self._search_free(ctx, wanted, free, order, after, limit)

    async def _search_free(
        self, ctx: Context, wanted: Wanted, free: FreeTime, order: Order, after: object, limit: int
    ) -> Page[VenueCard]:
        """Asks about candidates in batches, in their order, until the page is full or enough were looked at."""
        if self.availability is None:
            raise Invalid.field("free_at", "cannot be searched by here")
        found: list[Found] = []
        for batch in BATCHES:
            async with self.db.read(ctx.within(None)) as tx:
                rows = await order.read(tx, wanted, after, batch)
            ids = [row.venue_id for row in rows]
            open_ids = set(
                await self.availability.free_venues(ctx, ids, free.start, free.duration_min, wanted.sport) if ids else []
            )
            found += [row for row in rows if row.venue_id in open_ids]
            if len(found) > limit:
                return order.keyset.page(found, limit, order.key).map(lambda row: row.card)
            if len(rows) < batch:
                return Page([row.card for row in found])
            after = order.key(rows[-1])
        return Page([row.card for row in found], order.keyset.encode(after))

    async def _with_words(self, tx: Tx, wanted: Wanted, words: list[str]) -> Wanted:
        """The search with these words: beginnings count, and a word nobody begins with stands for those one typo away."""
        spellings = {word: [word] for word in words}
        unknown = await queries.unknown_words(tx, words)
        if unknown:
            near = await queries.words_like(tx, sorted({form for word in unknown for form in forms_of(word)}))
            for word in unknown:
                spellings[word] += [other for other in near if one_typo_apart(word, other)]
        return msgspec.structs.replace(
            wanted,
            lexemes=tsquery(list(spellings.values()), prefix=True),
            exact=tsquery([[word] for word in words], prefix=False),
        )

    async def suggest(self, ctx: Context, text: str) -> list[Suggestion]:
        """Cities and venues that someone who types `text` may mean: first what begins so, then what contains the words."""
        beginning = " ".join(words_of(text)[:MAX_TYPED_WORDS])
        if not beginning:
            return []
        async with self.db.read(ctx.within(None)) as tx:
            cities = await queries.cities_beginning(tx, fold(text).strip(), MAX_CITIES)
            venues = await queries.names_beginning(tx, beginning, MAX_SUGGESTIONS)
            if len(venues) + len(cities) < MAX_SUGGESTIONS:
                wanted = await self._with_words(tx, Wanted(), beginning.split(" "))
                rows = await queries.by_relevance(tx, wanted, None, MAX_SUGGESTIONS)
                known = {card.id for card in venues}
                venues += [row.card for row in rows if row.venue_id not in known]
        found = [Suggestion(SuggestionKind.CITY, city) for city in cities]
        found += [Suggestion(SuggestionKind.VENUE, card.name, card.id) for card in venues]
        return found[:MAX_SUGGESTIONS]


def _natural_sort(wanted: Wanted, text: str) -> Sort:
    if wanted.near is not None:
        return Sort.DISTANCE
    return Sort.RELEVANCE if text.strip() else Sort.NAME
