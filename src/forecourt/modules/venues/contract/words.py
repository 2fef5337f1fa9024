"""The small words of venues: bounded texts and numbers, closed sets, and the limits of a book.

Times of day are the venue's wall clock, `"06:00"`; dates are the venue's calendar dates; weekdays are `mon` … `sun`.
An interval that ends at or before it starts runs past midnight and belongs to the day on which it begins.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from msgspec import Meta

Name = Annotated[str, Meta(min_length=1, max_length=120)]
Label = Annotated[str, Meta(min_length=1, max_length=80)]
LongText = Annotated[str, Meta(max_length=4000)]
AddressLine = Annotated[str, Meta(min_length=1, max_length=300)]
Slug = Annotated[str, Meta(min_length=2, max_length=63, pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
TimeZone = Annotated[str, Meta(min_length=1, max_length=64, description="IANA time zone, such as Europe/London")]
Country = Annotated[str, Meta(min_length=2, max_length=2, pattern=r"^[A-Z]{2}$", description="ISO 3166-1 alpha-2")]
Region = Annotated[str, Meta(min_length=1, max_length=10, description="Subdivision as public holidays know it: ENG, BY, CA")]
Locale = Annotated[str, Meta(min_length=2, max_length=16, pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$")]
Tag = Annotated[str, Meta(min_length=1, max_length=40, pattern=r"^[a-z0-9]+([_-][a-z0-9]+)*$")]
"""A word from a small vocabulary: a sport, a surface, an amenity. `padel`, `artificial_grass`, `free-parking`."""
Tier = Annotated[str, Meta(min_length=1, max_length=40)]

# The length bound keeps a trailing newline out, which `$` alone would let through.
OpenTime = Annotated[str, Meta(min_length=5, max_length=5, pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$", description="Local HH:MM")]
CloseTime = Annotated[
    str,
    Meta(min_length=5, max_length=5, pattern=r"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$", description="Local HH:MM, or 24:00"),
]
Interval = tuple[OpenTime, CloseTime]
"""`["06:00", "23:00"]`; `["18:00", "02:00"]` ends the next morning; `["00:00", "24:00"]` is the whole day."""

DecimalText = Annotated[str, Meta(min_length=1, max_length=9, pattern=r"^[0-9]{1,4}(\.[0-9]{1,4})?$")]
Percent = Annotated[int, Meta(ge=0, le=100)]
People = Annotated[int, Meta(ge=1, le=1000)]
DurationMin = Annotated[int, Meta(ge=5, le=1440, description="Whole minutes")]
BufferMin = Annotated[int, Meta(ge=0, le=240, description="Whole minutes")]
SlotMin = Annotated[int, Meta(ge=5, le=240, description="Whole minutes between two possible starts")]
LeadMin = Annotated[int, Meta(ge=0, le=43_200, description="Whole minutes")]
HorizonDays = Annotated[int, Meta(ge=1, le=730, description="Whole days")]

MAX_VENUES = 500
"""An organisation has no more venues than this: an edit of its policies makes all their books new."""
MAX_RESOURCES = 500
"""A venue has no more things than this, so a book stays small enough to be one value."""
MAX_RULES = 500
MAX_CLOSURES = 400


class OrganisationKind(StrEnum):
    GYM = "gym"
    CLUB = "club"
    COMMUNITY = "community"
    TEAM = "team"
    HOTEL = "hotel"


class OrganisationStatus(StrEnum):
    """Only an active organisation takes bookings."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    DEACTIVATED = "deactivated"


class Weekday(StrEnum):
    MON = "mon"
    TUE = "tue"
    WED = "wed"
    THU = "thu"
    FRI = "fri"
    SAT = "sat"
    SUN = "sun"


WEEK = tuple(Weekday)
"""By `date.weekday()`: 0 is Monday."""


class ResourceKind(StrEnum):
    ROOM = "room"
    COURT = "court"
    STUDIO = "studio"
    POD = "pod"
    LANE = "lane"
    TABLE = "table"
    EQUIPMENT = "equipment"


class Purpose(StrEnum):
    """What a booking is for (BK-5). It decides price, party and whether staff must approve."""

    WORKOUT = "workout"
    TRAINING = "training"
    ASSESSMENT = "assessment"
    SOCIAL = "social"
    CONTENT = "content"
    MATCH = "match"
    CLASS = "class"


class Per(StrEnum):
    """What an amount is for. `booking` and `person` are charged once per booking, however long the rule's part is."""

    HOUR = "hour"
    BOOKING = "booking"
    PERSON = "person"
    PERSON_HOUR = "person_hour"
