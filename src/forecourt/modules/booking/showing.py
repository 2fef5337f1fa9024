"""What anyone may see of a venue's time: free starts with their price, and what stands in the way, without names.

Statements about claims live here beside their one use; everything that changes a booking is in `queries.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from uuid import UUID

import msgspec

from forecourt.kernel.context import Context
from forecourt.kernel.db import Query
from forecourt.kernel.period import MAX_CLAIM, Period
from forecourt.kernel.web.views import SlotState
from forecourt.modules.booking import queries
from forecourt.modules.booking.contract import Availability, BookingOut, FreeStart, StartsAsked
from forecourt.modules.booking.grid import Taken, length_to_show
from forecourt.modules.booking.service import BookingService
from forecourt.modules.booking.service.alternatives import BusyAsked, read_busy, read_busy_of_many
from forecourt.modules.booking.service.pricing import Bill
from forecourt.modules.booking.slots import Busy, availability, busy_window, claimed_ids
from forecourt.modules.venues.contract import Purpose, Resource, VenueBook
from forecourt.modules.venues.contract.calendar import local

MAX_SHOWN = 5_000
"""Claims drawn on one page."""
MAX_RESOURCES = 60
MAX_VENUES = 60


class ShownClaim(msgspec.Struct, frozen=True):
    resource_id: UUID
    starts_at: datetime
    ends_at: datetime
    blocked: bool
    held: bool


SHOWN = Query(
    ShownClaim,
    "select o.resource_id, o.starts_at, o.ends_at, o.block_id is not null, o.expires_at is not null"
    " from booking.occupancy o where o.organisation_id = $1 and o.resource_id = any($2::uuid[])"
    " and o.ends_at > $3 and o.ends_at <= $4 and o.starts_at < $5 and (o.expires_at is null or o.expires_at > $6)"
    " order by o.starts_at, o.resource_id limit $7",
)


class Showing:
    """Satisfies `contract.FreeTimes`."""

    def __init__(self, service: BookingService) -> None:
        self.service = service
        self.db = service.db
        self.clock = service.clock
        self.books = service.books

    async def venue(self, venue_id: UUID) -> VenueBook:
        """Raises NotFound."""
        return await self.books.of_venue(venue_id)

    async def resource(self, resource_id: UUID) -> tuple[VenueBook, Resource]:
        """Raises NotFound."""
        return await self.books.of_resource(resource_id)

    async def free(
        self,
        ctx: Context,
        book: VenueBook,
        resources: Sequence[Resource],
        first: date,
        last: date,
        duration_min: int,
        team_size: int | None = None,
        purpose: Purpose = Purpose.WORKOUT,
        without: Period | None = None,
    ) -> Availability:
        """Free starts of these dates, as if the claim `without` were not there. Raises Invalid for a range that is too long."""
        shown = list(resources)[:MAX_RESOURCES]
        busy = await read_busy(self.db, ctx, book, shown, busy_window(book, shown, first, last, duration_min), self.clock)
        if without is not None:
            own = (without.start, without.end)
            busy = {r: [claim for claim in claims if claim != own] for r, claims in busy.items()}
        return availability(book, shown, first, last, duration_min, team_size, busy, self.clock.now(), purpose)

    async def taken(self, ctx: Context, book: VenueBook, resources: Sequence[Resource], window: Period) -> list[Taken]:
        """What stands in the way inside `window`, also through parts of a combined resource."""
        organisation_id = book.venue.organisation_id
        lies_on = {r.id: set(claimed_ids(book, r)) for r in resources}
        wanted = sorted({i for ids in lies_on.values() for i in ids})
        async with self.db.read(ctx.within(organisation_id)) as tx:
            claims = await tx.all(
                SHOWN,
                organisation_id,
                wanted,
                window.start,
                window.end + MAX_CLAIM,
                window.end,
                self.clock.now(),
                MAX_SHOWN,
            )
        return [
            Taken(resource_id, claim.starts_at, claim.ends_at, _state(claim))
            for claim in claims
            for resource_id, ids in lies_on.items()
            if claim.resource_id in ids
        ]

    async def bill(self, ctx: Context, booking: BookingOut) -> Bill:
        """What the booking was priced at when it was made. The caller has seen that it may be read."""
        async with self.db.read(ctx.within(booking.organisation_id)) as tx:
            kept = await queries.lines_of(tx, booking.organisation_id, booking.id)
        return Bill(kept.lines, kept.tax, booking.price)

    async def free_starts(self, ctx: Context, asked: StartsAsked) -> list[FreeStart]:
        """The next free starts at each venue, the cheapest place of each start; unknown venues are left out."""
        books = await self.books.of_venues(list(dict.fromkeys(asked.venue_ids[:MAX_VENUES])))
        looked_at = [view for book in books if (view := _view(book, asked)) is not None]
        busy = await read_busy_of_many(self.db, ctx, [view.asked for view in looked_at], self.clock)
        now = self.clock.now()
        return [start for view, taken in zip(looked_at, busy, strict=True) for start in _starts(view, taken, asked, now)]


class _View(msgspec.Struct, frozen=True):
    """What of one venue is looked at."""

    asked: BusyAsked
    first: date
    last: date
    duration_min: int


def _view(book: VenueBook, asked: StartsAsked) -> _View | None:
    """None when nothing there can be booked for so long."""
    resources = bookable(book, asked.sport)
    if not resources:
        return None
    duration_min = length_to_show(resources, asked.duration_min)
    if asked.duration_min is not None and duration_min != asked.duration_min:
        return None
    first = local(book, asked.at).date()
    last = first + timedelta(days=1) if asked.tomorrow_too else first
    return _View(BusyAsked(book, resources, busy_window(book, resources, first, last, duration_min)), first, last, duration_min)


def _starts(view: _View, busy: Mapping[UUID, Busy], asked: StartsAsked, now: datetime) -> list[FreeStart]:
    """The next free starts, the cheapest place of each."""
    book, resources, duration_min = view.asked.book, view.asked.resources, view.duration_min
    answer = availability(book, resources, view.first, view.last, duration_min, None, busy, now)
    names = {r.id: r.name for r in resources}
    best: dict[datetime, FreeStart] = {}
    for on_day in answer.days:
        for place in on_day.resources:
            for slot in place.slots:
                known = best.get(slot.start)
                if slot.start >= asked.at and (known is None or slot.price < known.price):
                    best[slot.start] = FreeStart(
                        venue_id=book.venue.id,
                        resource_id=place.resource_id,
                        place=names[place.resource_id],
                        start=slot.start,
                        duration_min=duration_min,
                        price=slot.price,
                    )
    return [best[start] for start in sorted(best)[: asked.most]]


def bookable(book: VenueBook, sport: str | None = None) -> list[Resource]:
    """What guests can choose from, of one sport or of all."""
    return [r for r in book.resources if r.active and not r.removed and (sport is None or r.sport == sport)][:MAX_RESOURCES]


def _state(claim: ShownClaim) -> SlotState:
    if claim.blocked:
        return SlotState.CLOSED
    return SlotState.HELD if claim.held else SlotState.TAKEN
