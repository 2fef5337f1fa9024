"""What booking announces, and to whom. Announcements are hints: who hears one reads again.

`venue:<id>:availability`: the free times of a venue's dates are others than before. Sent after the commit of every hold,
confirmation of a move, release, block and end of a block; a claim that only changes from held to confirmed says nothing new.
"""

from __future__ import annotations

from datetime import date
from uuid import UUID

import msgspec


class AvailabilityChanged(msgspec.Struct, frozen=True):
    """`dates` are the venue's, ascending."""

    venue_id: UUID
    dates: list[date]


def availability_topic(venue_id: UUID) -> str:
    return f"venue:{venue_id}:availability"


def availability_changed(venue_id: UUID, dates: set[date]) -> bytes:
    return msgspec.json.encode(AvailabilityChanged(venue_id, sorted(dates)))
