"""What the way onward of a page leads to book: read from its address, and looked up anew.

Whoever makes a link decides what its address says. Nothing of it is shown: names and prices are the book's own.
"""

from __future__ import annotations

from typing import cast
from urllib.parse import urlsplit

from forecourt.kernel.context import Context
from forecourt.kernel.errors import Problem
from forecourt.kernel.http.decode import PageQueryDecoder
from forecourt.kernel.web.addresses import inside
from forecourt.modules.booking.contract import Proposal
from forecourt.modules.booking.service.pricing import plan
from forecourt.modules.booking.showing import Showing
from forecourt.modules.booking.web import Wish
from forecourt.modules.venues.contract.calendar import local

PATH = "/book"


class Onward:
    """Satisfies `contract.Proposals`."""

    def __init__(self, showing: Showing) -> None:
        self._showing = showing
        self._read = PageQueryDecoder(Wish)

    async def proposed(self, ctx: Context, onward: str) -> Proposal | None:
        there = urlsplit(inside(onward))
        if there.path != PATH:
            return None
        try:
            return await self._free(ctx, cast("Wish", self._read(there.query.encode())))
        except Problem as problem:
            if problem.status >= 500:
                raise
            return None  # what cannot be read, a place that is not there, a length or a party that it does not take

    async def _free(self, ctx: Context, wish: Wish) -> Proposal | None:
        """Raises what reading and pricing it raises."""
        if wish.resource_id is None or wish.start is None or wish.duration_min is None:
            return None
        book, resource = await self._showing.resource(wish.resource_id)
        asked = plan(book, resource, wish.start, wish.duration_min, wish.purpose, wish.team_size)
        day = local(book, asked.period.start).date()
        free = await self._showing.free(ctx, book, [resource], day, day, wish.duration_min, asked.team_size, wish.purpose)
        if not any(slot.start == asked.period.start for on in free.days for at in on.resources for slot in at.slots):
            return None
        return Proposal(
            place=resource.name,
            venue=book.venue.name,
            timezone=book.venue.timezone,
            start=asked.period.start,
            end=asked.period.end,
            people=asked.team_size,
            price=asked.bill.total,
        )
