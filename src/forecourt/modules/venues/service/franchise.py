"""What the organisations of a franchise come to together (VE-1)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import date, datetime, time, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec

from forecourt.kernel.clock import Clock
from forecourt.kernel.context import Context
from forecourt.kernel.errors import Invalid
from forecourt.kernel.money import Money
from forecourt.kernel.period import Period
from forecourt.modules.booking.contract import BookingFigures, BookingTotals
from forecourt.modules.payments.contract import Takings
from forecourt.modules.venues.contract import OrganisationCard
from forecourt.modules.venues.service.base import organisation_of
from forecourt.modules.venues.service.organisations import Organisations

AT_ONCE = 100
MAX_DAYS = 366
USUAL_DAYS = 30


class Figures(msgspec.Struct, frozen=True):
    """`bookings` stand and begin in the period, `minutes` are theirs; `revenue` was taken in it less what was given back, an
    amount per currency: currencies are never added up."""

    bookings: int
    minutes: int
    cancelled: int
    no_shows: int
    revenue: list[Money]


class ChildFigures(msgspec.Struct, frozen=True):
    organisation: OrganisationCard
    figures: Figures


class FranchiseReport(msgspec.Struct, frozen=True):
    """Days are the parent's, `to` not included."""

    from_date: date
    to_date: date
    timezone: str
    children: list[ChildFigures]
    total: Figures


class Franchise:
    """A parent's view of its children, made of what each module says of each child."""

    def __init__(self, organisations: Organisations, bookings: BookingTotals, takings: Takings, clock: Clock) -> None:
        self._organisations = organisations
        self._bookings = bookings
        self._takings = takings
        self._clock = clock

    async def report(self, ctx: Context, first: date | None, until: date | None) -> FranchiseReport:
        """Of the children that `ctx`'s organisation has now, `[first, until)`; without days, the last 30 up to today.

        Who is a child is what the child's own row says at this moment, read under row security: no list of children is taken
        from outside. Raises Invalid, NotFound.
        """
        parent = await self._organisations.organisation(ctx, organisation_of(ctx))
        zone = ZoneInfo(parent.timezone)
        until = until or self._clock.now().astimezone(zone).date() + timedelta(days=1)
        first = first or until - timedelta(days=USUAL_DAYS)
        period = _period(first, until, zone)
        children = await self._organisations.children(ctx)
        figures = [f for some in _portions(children) for f in await self._of(ctx, [c.id for c in some], period)]
        lines = [ChildFigures(card, own) for card, own in zip(children, figures, strict=True)]
        return FranchiseReport(first, until, parent.timezone, lines, summed(figures))

    async def _of(self, ctx: Context, ids: list[UUID], period: Period) -> list[Figures]:
        booked, taken = await asyncio.gather(self._bookings.figures(ctx, ids, period), self._takings.revenue(ctx, ids, period))
        return [_figures(b, t.amounts) for b, t in zip(booked, taken, strict=True)]


def summed(parts: Iterable[Figures]) -> Figures:
    """All together; an amount per currency, by its code."""
    bookings = minutes = cancelled = no_shows = 0
    revenue: dict[str, Money] = {}
    for part in parts:
        bookings += part.bookings
        minutes += part.minutes
        cancelled += part.cancelled
        no_shows += part.no_shows
        for money in part.revenue:
            revenue[money.currency] = revenue.get(money.currency, Money.zero(money.currency)) + money
    return Figures(bookings, minutes, cancelled, no_shows, [revenue[code] for code in sorted(revenue)])


def _figures(booked: BookingFigures, revenue: list[Money]) -> Figures:
    return Figures(booked.bookings, booked.minutes, booked.cancelled, booked.no_shows, revenue)


def _portions(children: list[OrganisationCard]) -> Iterable[list[OrganisationCard]]:
    return (children[i : i + AT_ONCE] for i in range(0, len(children), AT_ONCE))


def _period(first: date, until: date, zone: ZoneInfo) -> Period:
    """Raises Invalid."""
    if not first < until:
        raise Invalid.field("to", "must come after `from`")
    if (until - first).days > MAX_DAYS:
        raise Invalid.field("from", f"at most {MAX_DAYS} days before `to`")
    return Period(_midnight(first, zone), _midnight(until, zone))


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), zone)
