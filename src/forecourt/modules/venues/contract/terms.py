"""What decides whether something at a venue is free at a time: of its book neither prices nor words, small enough to keep for
thousands of venues. Whether a place is taken is another module's knowledge.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from forecourt.kernel.period import Period
from forecourt.modules.venues.contract.calendar import is_open, local, wall, zone
from forecourt.modules.venues.contract.values import DateRange, OpeningHours


class ShutOn(msgspec.Struct, frozen=True, omit_defaults=True):
    """A closure without its reason."""

    holiday: bool = False
    dates: DateRange | None = None


class PlaceTerms(msgspec.Struct, frozen=True, array_like=True):
    """An active resource. Notice and horizon are its own or else the organisation's."""

    id: UUID
    sport: str | None
    slot_min: int
    durations_min: list[int]
    buffer_before_min: int
    buffer_after_min: int
    lead_min: int
    horizon_days: int
    claimed: list[UUID]
    """The resources on which a claim of this one is stored: itself and all its parts, sorted."""

    def claim(self, period: Period) -> Period:
        """The time that a booking of `period` takes here, buffers included."""
        return period.padded(self.buffer_before_min, self.buffer_after_min)


class VenueTerms(msgspec.Struct, frozen=True, kw_only=True):
    """Equal `(venue_id, version)` means equal content. A venue that takes no bookings has no places."""

    organisation_id: UUID
    venue_id: UUID
    version: int
    """The book's."""
    timezone: str
    country: str
    region: str | None = None
    opening_hours: OpeningHours
    closures: list[ShutOn] = []
    places: list[PlaceTerms] = []


def places_open(terms: VenueTerms, period: Period, sport: str | None, now: datetime) -> list[PlaceTerms]:
    """The places (of the sport) that may be booked from `period.start` for so long, if nobody has taken them.

    The venue is open all the time, the start lies on the place's grid, far enough ahead and not too far, and the length is one
    that the place allows. The party is the smallest that comes, which every place takes.
    """
    fitting = [p for p in terms.places if sport in (None, p.sport) and period.duration_min in p.durations_min]
    shown = local(terms, period.start)
    if not fitting or shown.second or shown.microsecond or not is_open(terms, period):
        return []
    minute = shown.hour * 60 + shown.minute
    return [p for p in fitting if minute % p.slot_min == 0 and _in_reach(terms, p, period.start, now)]


def _in_reach(terms: VenueTerms, place: PlaceTerms, start: datetime, now: datetime) -> bool:
    if start < now + timedelta(minutes=place.lead_min):
        return False
    return start < wall(zone(terms.timezone), local(terms, now).date(), 1440 * (place.horizon_days + 1))
