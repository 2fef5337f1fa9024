"""What other modules may know of venues: values, errors, events and the calls they may make.

Times of day are the venue's wall clock, `"06:00"`; dates are the venue's calendar dates; weekdays are `mon` … `sun`.
An interval that ends at or before it starts runs past midnight and belongs to the day on which it begins.
"""

from __future__ import annotations

from datetime import date, datetime
from enum import StrEnum
from typing import Annotated, Protocol
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from forecourt.kernel.context import Context
from forecourt.kernel.contracts import idempotent
from forecourt.kernel.errors import Conflict, Forbidden, Invalid
from forecourt.kernel.events import Event
from forecourt.kernel.money import Currency, Money

# ---------------------------------------------------------------------------------------------------------------- words

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


# --------------------------------------------------------------------------------------------------------------- values


class Location(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A point on Earth, WGS 84 degrees."""

    lat: Annotated[float, Meta(ge=-90, le=90)]
    lon: Annotated[float, Meta(ge=-180, le=180)]


DayHours = Annotated[list[Interval], Meta(max_length=8)]


class OpeningHours(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Open intervals by weekday, local time; a day without intervals is closed."""

    mon: DayHours = []
    tue: DayHours = []
    wed: DayHours = []
    thu: DayHours = []
    fri: DayHours = []
    sat: DayHours = []
    sun: DayHours = []

    def on(self, day: date) -> list[Interval]:
        """The intervals that begin on this weekday."""
        return (self.mon, self.tue, self.wed, self.thu, self.fri, self.sat, self.sun)[day.weekday()]


class DateRange(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"from_": "from"}):
    """Calendar dates from `from` to `to`, both included."""

    from_: date
    to: date


class NewClosure(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The venue is shut on these dates, or (`holiday`) on every public holiday of its country and region. One of the two."""

    reason: Annotated[str, Meta(min_length=1, max_length=200)]
    dates: DateRange | None = None
    holiday: bool = False


class Closure(msgspec.Struct, frozen=True):
    id: UUID
    venue_id: UUID
    reason: str
    dates: DateRange | None = None
    holiday: bool = False


class PriceRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, rename={"from_": "from"}):
    """What a time costs when every condition that is stated holds. Which of several wins: `venues.rules.specificity`."""

    per: Per
    amount: Money
    resource_ids: Annotated[list[UUID], Meta(min_length=1, max_length=MAX_RESOURCES)] | None = None
    weekdays: Annotated[list[Weekday], Meta(min_length=1, max_length=7)] | None = None
    from_: OpenTime | None = None
    """Local time of day; with `to` at or before it, the rule runs past midnight and belongs to the day it begins on."""
    to: CloseTime | None = None
    dates: DateRange | Annotated[list[date], Meta(min_length=1, max_length=366)] | None = None
    """A range with both ends included, or single dates."""
    holiday: bool | None = None
    """True: only on public holidays of the venue's country and region; false: only on other days."""
    purpose: Purpose | None = None
    # A list of two, not a tuple: msgspec 0.22 corrupts memory on a bounded int in union with a tuple.
    team_size: People | Annotated[list[People], Meta(min_length=2, max_length=2)] | None = None
    """An exact number of people, or `[min, max]`, both included."""
    member_tier: Tier | None = None
    multiplier: DecimalText | None = None
    """Decimal; the amount is multiplied by it, then rounded half to even per segment."""
    label: Label | None = None
    priority: Annotated[int, Meta(ge=-1000, le=1000)] = 0


class PriceList(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All price rules of a venue; replaces those before."""

    rules: Annotated[list[PriceRule], Meta(max_length=MAX_RULES)]


class RefundTier(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """At least `before_h` hours before the start, `refund_pct` percent comes back."""

    before_h: Annotated[int, Meta(ge=0, le=2160)]
    refund_pct: Percent


CATALOGUE_TIERS = [RefundTier(24, 100), RefundTier(2, 50)]
Tiers = Annotated[list[RefundTier], Meta(max_length=10)]
HoldMin = Annotated[int, Meta(ge=1, le=1440)]
MaxOpen = Annotated[int, Meta(ge=1, le=10_000)]
Strikes = Annotated[int, Meta(ge=0, le=100)]
ApprovalPurposes = Annotated[list[Purpose], Meta(max_length=len(Purpose))]
VenueIds = Annotated[list[UUID], Meta(max_length=1000)]


class Policies(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An organisation's rules as data (VE-8). A resource may override `lead_min` and `horizon_days`."""

    cancellation: Tiers = msgspec.field(default_factory=lambda: list(CATALOGUE_TIERS))
    """From the longest notice to the shortest; nothing comes back after the last."""
    reschedule_fee_pct: Percent = 0
    lead_min: LeadMin = 0
    """A start is at least this far ahead."""
    horizon_days: HorizonDays = 365
    """A start is at most this many venue-local days ahead."""
    max_open_bookings: MaxOpen = 200
    """Bookings of one person that occupy a place and have not ended."""
    hold_min: HoldMin = 10
    no_show_strikes: Strikes = 3
    """After this many no-shows a person cannot book; 0 switches it off."""
    requires_health_form: bool = False
    approval_purposes: ApprovalPurposes = msgspec.field(default_factory=lambda: [Purpose.CONTENT])
    weather_refund_pct: Percent | None = None
    """What comes back for an outdoor booking that staff call off for weather, whatever the notice; none: by tier."""
    noise_warning_venue_ids: VenueIds = []
    quiet_hours: Interval | None = None


class PoliciesPatch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Merge semantics: what is absent stays."""

    cancellation: Tiers | UnsetType = UNSET
    reschedule_fee_pct: Percent | UnsetType = UNSET
    lead_min: LeadMin | UnsetType = UNSET
    horizon_days: HorizonDays | UnsetType = UNSET
    max_open_bookings: MaxOpen | UnsetType = UNSET
    hold_min: HoldMin | UnsetType = UNSET
    no_show_strikes: Strikes | UnsetType = UNSET
    requires_health_form: bool | UnsetType = UNSET
    approval_purposes: ApprovalPurposes | UnsetType = UNSET
    weather_refund_pct: Percent | UnsetType | None = UNSET
    noise_warning_venue_ids: VenueIds | UnsetType = UNSET
    quiet_hours: Interval | UnsetType | None = UNSET


class Tax(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A tax on what is sold. `rate` is a percentage, `"20"` or `"7.7"`; `included` means prices contain it already."""

    rate: DecimalText
    included: bool = True
    label: Label = "VAT"


class Branding(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`hue` is the angle of the brand colour in degrees; the design system does the rest."""

    hue: Annotated[int, Meta(ge=0, le=359)] | None = None
    logo_id: UUID | None = None


# -------------------------------------------------------------------------------------------------------- organisations


class NewOrganisation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: Name
    kind: OrganisationKind
    country: Country
    currency: Currency
    timezone: TimeZone
    locale: Locale = "en"
    slug: Slug | None = None


class OrganisationPatch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Currency and country stay: amounts and holidays were written in them."""

    name: Name | UnsetType = UNSET
    kind: OrganisationKind | UnsetType = UNSET
    timezone: TimeZone | UnsetType = UNSET
    locale: Locale | UnsetType = UNSET
    slug: Slug | UnsetType = UNSET
    branding: Branding | UnsetType = UNSET
    tax: Annotated[list[Tax], Meta(max_length=5)] | UnsetType = UNSET


class Organisation(msgspec.Struct, frozen=True, kw_only=True):
    id: UUID
    name: str
    kind: OrganisationKind
    country: str
    currency: str
    timezone: str
    locale: str
    slug: str
    status: OrganisationStatus
    branding: Branding = msgspec.field(default_factory=Branding)
    tax: list[Tax] = []
    parent_id: UUID | None = None
    created_at: datetime
    version: int


class OrganisationCard(msgspec.Struct, frozen=True):
    """What anyone may know of an organisation."""

    id: UUID
    name: str
    slug: str
    kind: OrganisationKind
    status: OrganisationStatus
    country: str
    currency: str


# --------------------------------------------------------------------------------------------------------------- venues

Amenities = Annotated[list[Tag], Meta(max_length=50)]
Photos = Annotated[list[UUID], Meta(max_length=30)]


class NewVenue(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Country is the organisation's; `region` narrows public holidays."""

    name: Name
    address: AddressLine
    location: Location
    timezone: TimeZone
    opening_hours: OpeningHours
    amenities: Amenities = []
    city: Name | None = None
    region: Region | None = None
    description: LongText = ""
    house_rules: LongText = ""
    photo_ids: Photos = []
    listed: bool = True
    slug: Slug | None = None


class VenuePatch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: Name | UnsetType = UNSET
    address: AddressLine | UnsetType = UNSET
    location: Location | UnsetType = UNSET
    timezone: TimeZone | UnsetType = UNSET
    opening_hours: OpeningHours | UnsetType = UNSET
    amenities: Amenities | UnsetType = UNSET
    city: Name | UnsetType | None = UNSET
    region: Region | UnsetType | None = UNSET
    description: LongText | UnsetType = UNSET
    house_rules: LongText | UnsetType = UNSET
    photo_ids: Photos | UnsetType = UNSET
    listed: bool | UnsetType = UNSET
    slug: Slug | UnsetType = UNSET


class Venue(msgspec.Struct, frozen=True, kw_only=True):
    id: UUID
    organisation_id: UUID
    name: str
    slug: str
    address: str
    city: str | None = None
    region: str | None = None
    location: Location
    timezone: str
    opening_hours: OpeningHours
    amenities: list[str] = []
    description: str = ""
    house_rules: str = ""
    photo_ids: list[UUID] = []
    listed: bool = True
    version: int


class VenueCard(msgspec.Struct, frozen=True, kw_only=True):
    """What a list or a search result shows of a venue."""

    id: UUID
    organisation_id: UUID
    name: str
    slug: str
    address: str
    city: str | None = None
    location: Location
    timezone: str
    sports: list[str] = []
    amenities: list[str] = []
    listed: bool = True
    from_price: Money | None = None
    """The lowest amount per hour in the price list; none when nothing is priced."""
    distance_km: float | None = None
    photo: UUID | None = None


# ------------------------------------------------------------------------------------------------------------ resources

DEFAULT_DURATIONS_MIN = list(range(60, 181, 15))
Party = dict[Purpose, tuple[People, People]]
Durations = Annotated[list[DurationMin], Meta(min_length=1, max_length=96)]
Parts = Annotated[list[UUID], Meta(max_length=50)]
Position = Annotated[int, Meta(ge=0, le=10_000)]


class NewResource(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A thing that can be booked. `people` bounds the party per purpose, `[min, max]`; elsewhere 1 to `capacity`."""

    name: Name
    kind: ResourceKind
    capacity: People
    sport: Tag | None = None
    surface: Tag | None = None
    indoor: bool | None = None
    people: Party = {}
    slot_min: SlotMin = 15
    durations_min: Durations = msgspec.field(default_factory=lambda: list(DEFAULT_DURATIONS_MIN))
    buffer_before_min: BufferMin = 0
    buffer_after_min: BufferMin = 0
    lead_min: LeadMin | None = None
    horizon_days: HorizonDays | None = None
    part_ids: Parts = []
    """A combined resource lists its parts: booking it takes all of them, booking a part takes away the whole."""
    position: Position = 0
    active: bool = True


class ResourcePatch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: Name | UnsetType = UNSET
    kind: ResourceKind | UnsetType = UNSET
    capacity: People | UnsetType = UNSET
    sport: Tag | UnsetType | None = UNSET
    surface: Tag | UnsetType | None = UNSET
    indoor: bool | UnsetType | None = UNSET
    people: Party | UnsetType = UNSET
    slot_min: SlotMin | UnsetType = UNSET
    durations_min: Durations | UnsetType = UNSET
    buffer_before_min: BufferMin | UnsetType = UNSET
    buffer_after_min: BufferMin | UnsetType = UNSET
    lead_min: LeadMin | UnsetType | None = UNSET
    horizon_days: HorizonDays | UnsetType | None = UNSET
    part_ids: Parts | UnsetType = UNSET
    position: Position | UnsetType = UNSET
    active: bool | UnsetType = UNSET


class Resource(msgspec.Struct, frozen=True, kw_only=True):
    id: UUID
    venue_id: UUID
    name: str
    kind: ResourceKind
    sport: str | None = None
    surface: str | None = None
    indoor: bool | None = None
    capacity: int
    people: dict[Purpose, tuple[int, int]] = {}
    slot_min: int = 15
    durations_min: list[int] = msgspec.field(default_factory=lambda: list(DEFAULT_DURATIONS_MIN))
    buffer_before_min: int = 0
    buffer_after_min: int = 0
    lead_min: int | None = None
    horizon_days: int | None = None
    part_ids: list[UUID] = []
    position: int = 0
    active: bool = True
    removed: bool = False
    """Removed by the owner. It stays in the book, inactive, because past bookings name it; lists leave it out."""
    version: int = 1


# ------------------------------------------------------------------------------------------------------------- the book


class VenueBook(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that availability, price and policy need of one venue, as one immutable value.

    `version` changes with every edit of anything in here, the organisation's policies included: equal `(venue.id, version)`
    means equal content, so derived values may be cached under it.
    """

    version: int
    organisation: Organisation
    policies: Policies
    venue: Venue
    closures: list[Closure] = []
    resources: list[Resource] = []
    """Active and inactive ones, by position, then name."""
    rules: list[PriceRule] = []

    def resource(self, resource_id: UUID) -> Resource | None:
        return next((r for r in self.resources if r.id == resource_id), None)


# --------------------------------------------------------------------------------------------------------------- errors


class ResourceInactive(Conflict):
    code = "resource_inactive"
    title = "This is not bookable at present"


class VenueClosed(Conflict):
    code = "venue_closed"
    title = "The venue is closed at that time"


class OrganisationInactive(Forbidden):
    code = "organisation_inactive"
    title = "This organisation takes no bookings at present"


class CapacityExceeded(Invalid):
    """Too many or too few people for this purpose."""

    code = "capacity_exceeded"
    title = "That number of people does not fit here"


class SlugTaken(Conflict):
    code = "slug_taken"
    title = "That short name is taken"


class ResourceInUse(Conflict):
    """A part of a combined resource, or something with live bookings, cannot be removed."""

    code = "resource_in_use"
    title = "This is still in use"


# --------------------------------------------------------------------------------------------------------------- events


class OrganisationCreated(Event, name="organisation.created", version=1, frozen=True, kw_only=True):
    organisation_id: UUID
    owner_id: UUID
    kind: OrganisationKind


class Change(msgspec.Struct, frozen=True):
    """One field before and after, as JSON text, cut where it is long. For people who look at what was done."""

    field: str
    before: str
    after: str


class OrganisationChanged(Event, name="organisation.changed", version=1, frozen=True, kw_only=True):
    """Details, policies or status changed: every book of the organisation is stale (and each gets its VenueChanged)."""

    organisation_id: UUID
    status: OrganisationStatus
    changes: tuple[Change, ...] = ()
    reason: str = ""
    """Why the platform suspended, deactivated or took it back; empty for what owners do."""


class PoliciesChanged(Event, name="organisation.policies_changed", version=1, frozen=True, kw_only=True):
    """Comes beside OrganisationChanged."""

    organisation_id: UUID
    changes: tuple[Change, ...]


class VenueCreated(Event, name="venue.created", version=1, frozen=True, kw_only=True):
    organisation_id: UUID
    venue_id: UUID


class VenueChanged(Event, name="venue.changed", version=1, frozen=True, kw_only=True):
    """Anything of the venue's book changed: hours, closures, prices, resources, policies, details. `version` is the book's.

    More exact events (PricesChanged, ResourceChanged, …) come beside it; `changes` are those of the venue's own details.
    """

    organisation_id: UUID
    venue_id: UUID
    version: int = 0
    changes: tuple[Change, ...] = ()


class PricesChanged(Event, name="venue.prices_changed", version=1, frozen=True, kw_only=True):
    organisation_id: UUID
    venue_id: UUID
    changes: tuple[Change, ...]


class ClosureAdded(Event, name="venue.closure_added", version=1, frozen=True, kw_only=True):
    organisation_id: UUID
    venue_id: UUID
    closure: Closure


class ClosureRemoved(Event, name="venue.closure_removed", version=1, frozen=True, kw_only=True):
    organisation_id: UUID
    venue_id: UUID
    closure: Closure


class ResourceCreated(Event, name="resource.created", version=1, frozen=True, kw_only=True):
    """Comes beside ResourceChanged."""

    organisation_id: UUID
    venue_id: UUID
    resource_id: UUID


class ResourceChanged(Event, name="resource.changed", version=1, frozen=True, kw_only=True):
    """A resource was added, edited, switched off or on, or removed."""

    organisation_id: UUID
    venue_id: UUID
    resource_id: UUID
    active: bool
    removed: bool = False
    changes: tuple[Change, ...] = ()


# ---------------------------------------------------------------------------------------------------------------- calls


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
    async def cards(self, ctx: Context, ids: list[UUID]) -> list[VenueCard]:
        """Cards in the order asked; unknown ids are left out. At most 100 at once."""
        ...

    @idempotent
    async def organisation(self, ctx: Context, id: UUID) -> Organisation:
        """Raises NotFound."""
        ...

    @idempotent
    async def organisations(self, ctx: Context, ids: list[UUID]) -> list[OrganisationCard]:
        """What anyone may know of these organisations, in the order asked; unknown ids are left out. At most 100 at once."""
        ...
