"""What other modules may know of people: values, errors, events and the calls they may make."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Protocol
from uuid import UUID

from msgspec import Meta, Struct

from forecourt.kernel.context import Context
from forecourt.kernel.contracts import idempotent
from forecourt.kernel.errors import Conflict, Forbidden
from forecourt.kernel.events import Event

DisplayName = Annotated[str, Meta(min_length=1, max_length=100)]
Handle = Annotated[
    str, Meta(min_length=3, max_length=30, pattern=r"^[A-Za-z][A-Za-z0-9_]*$", description="Unique, whatever its case")
]
Tag = Annotated[str, Meta(min_length=1, max_length=40, pattern=r"^[a-z0-9]+([_-][a-z0-9]+)*$")]
LanguageTag = Annotated[str, Meta(min_length=2, max_length=16, pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$")]
LocalTime = Annotated[str, Meta(min_length=5, max_length=5, pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$", description="HH:MM")]


class Visibility(StrEnum):
    """Who sees a field: anyone, people who are signed in, or its owner alone."""

    PUBLIC = "public"
    MEMBERS = "members"
    PRIVATE = "private"


class ProfileField(StrEnum):
    """The fields whose visibility a person chooses. Name and handle are always public: they are how people meet."""

    BIO = "bio"
    PHOTO = "photo"
    CITY = "city"
    SPORTS = "sports"
    PREFERRED_TIMES = "preferred_times"
    LANGUAGES = "languages"


class Frequency(StrEnum):
    RARELY = "rarely"
    MONTHLY = "monthly"
    WEEKLY = "weekly"
    DAILY = "daily"


class PlayedSport(Struct, frozen=True, forbid_unknown_fields=True):
    """A sport, how well (0.0 beginner to 7.0 professional, in tenths) and how often it is played."""

    sport: Tag
    level_tenths: Annotated[int, Meta(ge=0, le=70)] | None = None
    frequency: Frequency | None = None


class PreferredTime(Struct, frozen=True, forbid_unknown_fields=True):
    """A time of the week the person likes to play, local. `end` at or before `start` runs past midnight."""

    weekday: Annotated[int, Meta(ge=0, le=6, description="0 is Monday")]
    start: LocalTime
    end: LocalTime


class Units(StrEnum):
    METRIC = "metric"
    IMPERIAL = "imperial"


class QuietHours(Struct, frozen=True, forbid_unknown_fields=True):
    """Local time of day without notifications; `end` at or before `start` runs past midnight."""

    start: LocalTime
    end: LocalTime


class Preferences(Struct, frozen=True, forbid_unknown_fields=True):
    """How a person wants to be addressed. None: as the organisation or the browser says."""

    locale: LanguageTag | None = None
    timezone: Annotated[str, Meta(min_length=1, max_length=64, description="IANA time zone")] | None = None
    currency: Annotated[str, Meta(min_length=3, max_length=3, pattern=r"^[A-Z]{3}$")] | None = None
    units: Units = Units.METRIC
    quiet_hours: QuietHours | None = None


class PersonCard(Struct, frozen=True):
    """A person as others show it in a list: always public."""

    id: UUID
    name: str
    handle: str | None
    photo_id: UUID | None
    """Only when everybody who is signed in may see it."""


class HandleTaken(Conflict):
    code = "handle_taken"
    title = "Somebody has this handle already"


class ExportLinkInvalid(Forbidden):
    """It was altered, is too old, or somebody else asked for it: which of them is not said."""

    code = "export_link_invalid"
    title = "This download link is too old, or not yours; ask for a new one"


class ProfileChanged(Event, frozen=True, name="profile.changed"):
    account_id: UUID


class People(Protocol):
    @idempotent
    async def cards(self, ctx: Context, ids: list[UUID]) -> list[PersonCard]:
        """In the order asked; unknown ids are left out. At most 200 at once."""
        ...

    @idempotent
    async def by_handles(self, ctx: Context, handles: list[str]) -> list[PersonCard]:
        """Whose handles these are, whatever their case; unknown ones are left out. At most 50 at once."""
        ...

    @idempotent
    async def my_preferences(self, ctx: Context) -> Preferences:
        """Of `ctx`'s person; who never set any has the defaults. Raises Unauthenticated without a person."""
        ...

    @idempotent
    async def prefer(self, ctx: Context, chosen: Preferences) -> Preferences:
        """Replaces the preferences of `ctx`'s person. Raises Invalid at `timezone`, Unauthenticated."""
        ...

    @idempotent
    async def preferences(self, ctx: Context, account_ids: list[UUID]) -> list[Preferences]:
        """One for each id, in the order asked; who never set any has the defaults. At most 200 at once."""
        ...
