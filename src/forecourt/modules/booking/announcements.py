"""What booking announces. Announcements are hints: who hears one reads again.

`venue:<id>:availability`: the free times of a venue's dates are others than before. Sent after the commit of every hold,
confirmation of a move, release, block and end of a block; a claim that only changes from held to confirmed says nothing new.
`booking:<id>`: something happened to a booking, for those whose it is and for staff who may see it. Sent when the event of the
same name is handled. `live.py` says who may follow.
"""

from __future__ import annotations

from datetime import date
from uuid import UUID

import msgspec

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
