"""What booking announces, and to whom. Announcements are hints: who hears one reads again.

`venue:<id>:availability`: the free times of a venue's dates are others than before. Sent after the commit of every hold,
confirmation of a move, release, block and end of a block; a claim that only changes from held to confirmed says nothing new.
`booking:<id>`: something happened to a booking, for those whose it is. Sent when the event of the same name is handled.
"""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING
from uuid import UUID

import msgspec

from forecourt.kernel.context import Actor, ActorKind, Context
from forecourt.kernel.ephemeral import EphemeralTopics
from forecourt.kernel.errors import NotFound
from forecourt.kernel.live import Hub
from forecourt.modules.booking.contract import Bookings

if TYPE_CHECKING:
    from forecourt.modules.booking.showing import Showing

AVAILABILITY_CHANGED = "availability.changed"


class AvailabilityChanged(msgspec.Struct, frozen=True):
    """`dates` are the venue's, ascending."""

    venue_id: UUID
    dates: list[date]


class BookingTold(msgspec.Struct, frozen=True):
    booking_id: UUID


def availability_topic(venue_id: UUID) -> str:
    return f"venue:{venue_id}:availability"


def availability_changed(venue_id: UUID, dates: set[date]) -> bytes:
    return msgspec.json.encode(AvailabilityChanged(venue_id, sorted(dates)))


def booking_topic(booking_id: UUID) -> str:
    return f"booking:{booking_id}"


def told(booking_id: UUID) -> bytes:
    return msgspec.json.encode(BookingTold(booking_id))


class Topics(EphemeralTopics):
    """Satisfies `BookingTopics`."""

    def __init__(self, hub: Hub, bookings: Bookings, showing: Showing) -> None:
        super().__init__(hub)
        self._bookings = bookings
        self._showing = showing

    async def admit(self, ctx: Context, topic: str) -> None:
        match topic.split(":"):
            case ["venue", venue_id, "availability"]:
                await self._showing.venue(_id(venue_id))
            case ["booking", booking_id]:
                await self._bookings.booking(ctx, _id(booking_id))
            case _:
                raise NotFound

    async def allowed(self, ctx: Context, topic: str, account_ids: list[UUID]) -> list[UUID]:
        """A place's free times are everybody's; a booking is asked for in the name of each."""
        if topic.startswith("venue:"):
            return account_ids
        return [account_id for account_id in account_ids if await self._may_see(ctx, topic, account_id)]

    async def _may_see(self, ctx: Context, topic: str, account_id: UUID) -> bool:
        person = Actor(kind=ActorKind.PERSON, account_id=account_id, confirmed=True)
        try:
            await self.admit(msgspec.structs.replace(ctx, actor=person, organisation_id=None, permissions=frozenset()), topic)
        except NotFound:
            return False
        return True


def _id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise NotFound from None
