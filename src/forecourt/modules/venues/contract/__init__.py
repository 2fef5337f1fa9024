"""What other modules may know of venues: values, errors, events, and the calls they may make.

Three rooms hold pure functions over a `VenueBook`, which whoever has the book may use without asking again:
`contract.calendar` (the wall clock, opening hours, holidays), `contract.tariff` (what a time costs) and `contract.terms`
(the part of a book that decides free time). Importing the contract does not import the tariff.
"""

from __future__ import annotations

from typing import Protocol
from uuid import UUID

from forecourt.kernel.context import Context
from forecourt.kernel.contracts import idempotent, stale_for
from forecourt.kernel.paging import Page
from forecourt.modules.venues.contract.errors import (
    CapacityExceeded,
    OrganisationInactive,
    ResourceInactive,
    ResourceInUse,
    SlugTaken,
    VenueClosed,
)
from forecourt.modules.venues.contract.events import (
    Change,
    ClosureAdded,
    ClosureRemoved,
    OrganisationChanged,
    OrganisationCreated,
    PoliciesChanged,
    PricesChanged,
    ResourceChanged,
    ResourceCreated,
    VenueChanged,
    VenueCreated,
)
from forecourt.modules.venues.contract.terms import VenueTerms
from forecourt.modules.venues.contract.values import (
    CATALOGUE_TIERS,
    DEFAULT_DURATIONS_MIN,
    MAX_PHOTOS,
    AltText,
    Amenities,
    ApprovalPurposes,
    Branding,
    Closure,
    DateRange,
    DayHours,
    Durations,
    HoldMin,
    Location,
    MaxOpen,
    NewClosure,
    NewOrganisation,
    NewResource,
    NewVenue,
    OpeningHours,
    Organisation,
    OrganisationCard,
    OrganisationPatch,
    Parts,
    Party,
    Photo,
    Photos,
    PointText,
    Policies,
    PoliciesPatch,
    Position,
    PriceList,
    PriceRule,
    RefundTier,
    Resource,
    ResourcePatch,
    Strikes,
    Tax,
    Tiers,
    Venue,
    VenueBook,
    VenueCard,
    VenueIds,
    VenuePatch,
    parts_of,
    read_point,
)
from forecourt.modules.venues.contract.words import (
    MAX_CLOSURES,
    MAX_RESOURCES,
    MAX_RULES,
    MAX_VENUES,
    WEEK,
    AddressLine,
    BufferMin,
    CloseTime,
    Country,
    DecimalText,
    DurationMin,
    HorizonDays,
    Interval,
    Label,
    LeadMin,
    Locale,
    LongText,
    Name,
    OpenTime,
    OrganisationKind,
    OrganisationStatus,
    People,
    Per,
    Percent,
    Purpose,
    Region,
    ResourceKind,
    SlotMin,
    Slug,
    Tag,
    Tier,
    TimeZone,
    Weekday,
)

# fmt: off
__all__ = [
    "CATALOGUE_TIERS", "DEFAULT_DURATIONS_MIN", "MAX_CLOSURES", "MAX_PHOTOS", "MAX_RESOURCES", "MAX_RULES", "MAX_VENUES", "WEEK",
    "AddressLine", "AltText", "Amenities", "ApprovalPurposes", "Branding", "BufferMin", "CapacityExceeded", "Change", "CloseTime",
    "Closure", "ClosureAdded", "ClosureRemoved", "Country", "DateRange", "DayHours", "DecimalText", "DurationMin", "Durations",
    "HoldMin", "HorizonDays", "Interval", "Label", "LeadMin", "Locale", "Location", "LongText", "MaxOpen", "Name",
    "NewClosure", "NewOrganisation", "NewResource", "NewVenue", "OpenTime", "OpeningHours", "Organisation", "OrganisationCard",
    "OrganisationChanged", "OrganisationCreated", "OrganisationInactive", "OrganisationKind", "OrganisationPatch",
    "OrganisationStatus", "Parts", "Party", "People", "Per", "Percent", "Photo", "Photos", "PointText", "Policies",
    "PoliciesChanged", "PoliciesPatch",
    "Position", "PriceList", "PriceRule", "PricesChanged", "Purpose", "RefundTier", "Region", "Resource",
    "ResourceChanged", "ResourceCreated", "ResourceInUse", "ResourceInactive", "ResourceKind", "ResourcePatch", "SlotMin",
    "Slug", "SlugTaken", "Strikes", "Tag", "Tax", "Tier", "Tiers", "TimeZone", "Venue", "VenueBook", "VenueCard",
    "VenueChanged", "VenueClosed", "VenueCreated", "VenueIds", "VenuePatch", "VenueTerms", "Venues", "Weekday", "parts_of",
    "read_point",
]
# fmt: on

CARDS_KEPT_S = 300
"""So old a card may be while venues is away (GW-3)."""


class Venues(Protocol):
    @idempotent
    async def book(self, ctx: Context, venue_id: UUID) -> VenueBook:
        """The venue's book as of now. Raises NotFound."""
        ...

    @idempotent
    async def book_of_resource(self, ctx: Context, resource_id: UUID) -> VenueBook:
        """The book of the venue that has this resource. Raises NotFound."""
        ...

    @idempotent
    async def books(self, ctx: Context, venue_ids: list[UUID]) -> list[VenueBook]:
        """Books in the order asked; unknown ids are left out. At most 100 at once."""
        ...

    @idempotent
    async def book_version(self, ctx: Context, venue_ids: list[UUID]) -> dict[UUID, int]:
        """The present versions of these books, for who keeps books; unknown ids are left out. At most 100 at once."""
        ...

    @idempotent
    async def terms(self, ctx: Context, known: dict[UUID, int]) -> list[VenueTerms]:
        """What decides free time at these venues, where the version is another than the known one (0: none is known).

        In no order; unknown ids are left out. At most 300 at once.
        """
        ...

    @idempotent
    @stale_for(CARDS_KEPT_S)
    async def cards(self, ctx: Context, ids: list[UUID]) -> list[VenueCard]:
        """Cards in the order asked; unknown ids are left out. At most 100 at once."""
        ...

    @idempotent
    async def near(self, ctx: Context, point: Location, radius_km: float, sport: str | None, limit: int) -> list[UUID]:
        """Listed venues (with something for the sport) within `radius_km` of the point, nearest first; at most 100."""
        ...

    @idempotent
    async def venues(self, ctx: Context, limit: int, cursor: str | None) -> Page[Venue]:
        """All venues of `ctx`'s organisation, unlisted ones too, by name. The caller decides who may ask. Raises NotFound."""
        ...

    @idempotent
    async def organisation(self, ctx: Context, id: UUID) -> Organisation:
        """Raises NotFound."""
        ...

    @idempotent
    async def organisation_ids(self, ctx: Context, after: UUID | None, limit: int) -> list[UUID]:
        """Every organisation there is, by id, after one of them: for sweeps of the house. At most 500 at once."""
        ...

    @idempotent
    async def organisations(self, ctx: Context, ids: list[UUID]) -> list[OrganisationCard]:
        """What anyone may know of these organisations, in the order asked; unknown ids are left out. At most 100 at once."""
        ...
