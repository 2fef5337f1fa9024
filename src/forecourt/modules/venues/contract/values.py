"""What venues are made of, as immutable values. A `VenueBook` is all of one venue that others decide with."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, datetime
from typing import Annotated, Protocol, TypeVar
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from forecourt.kernel.money import Currency, Money
from forecourt.modules.venues.contract.words import (
    MAX_RESOURCES,
    MAX_RULES,
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

# --------------------------------------------------------------------------------------------------------------- values


class Location(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A point on Earth, WGS 84 degrees."""

    lat: Annotated[float, Meta(ge=-90, le=90)]
    lon: Annotated[float, Meta(ge=-180, le=180)]


PointText = Annotated[str, Meta(max_length=40, description="lat,lon in degrees: 51.5,-0.12")]
_POINT = re.compile(r"^(-?[0-9]{1,3}(?:\.[0-9]{1,12})?),\s*(-?[0-9]{1,3}(?:\.[0-9]{1,12})?)$", re.ASCII)


def read_point(text: str) -> Location | None:
    """The place that `51.5,-0.12` names; None for anything that is no point on Earth."""
    match = _POINT.match(text)
    if match is None or abs(float(match[1])) > 90 or abs(float(match[2])) > 180:
        return None
    return Location(float(match[1]), float(match[2]))


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
    """What a time costs when every condition that is stated holds. Which of several wins: `contract.tariff`."""

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
MAX_PHOTOS = 12
Photos = Annotated[
    list[UUID], Meta(max_length=MAX_PHOTOS, description="Ids of images that were sent to `uploads`, in the order shown")
]
AltText = Annotated[str, Meta(max_length=500)]


class Photo(msgspec.Struct, frozen=True, omit_defaults=True):
    """A picture as pages and programs show it. `url` is a path of this site that never changes and opens to everybody."""

    id: UUID
    url: str
    width: int
    height: int
    """Pixels."""
    alt: str = ""
    """What it shows, in words; empty when nobody said."""
    blur: str | None = None
    """A `data:` address of a few dozen bytes to show until the picture is there."""
    widths: list[int] = []
    """Of smaller WebP variants, narrowest first: each at `{url}&width={width}`."""

    @property
    def srcset(self) -> str:
        """The variants and the picture itself, as the attribute of an `<img>`."""
        return ", ".join([*(f"{self.url}&width={w} {w}w" for w in self.widths), f"{self.url} {self.width}w"])

    @property
    def small(self) -> str:
        """The address of the narrowest variant."""
        return f"{self.url}&width={self.widths[0]}" if self.widths else self.url


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
    photos: list[Photo] = []
    """The same pictures, ready to be shown."""
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
    cover: Photo | None = None
    """The first photo."""


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
    photo_ids: Photos = []
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
    photo_ids: Photos | UnsetType = UNSET
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
    photo_ids: list[UUID] = []
    photos: list[Photo] = []
    position: int = 0
    active: bool = True
    removed: bool = False
    """Removed by the owner. It stays in the book, inactive, because past bookings name it; lists leave it out."""
    version: int = 1


class Whole(Protocol):
    """Something that may have parts."""

    @property
    def part_ids(self) -> list[UUID]: ...


W = TypeVar("W", bound=Whole)


def parts_of(whole: W, find: Callable[[UUID], W | None]) -> set[UUID]:
    """The ids of all parts, parts of parts included. Ends also when parts go round in a circle."""
    seen: set[UUID] = set()
    waiting = list(whole.part_ids)
    while waiting:
        part_id = waiting.pop()
        if part_id in seen:
            continue
        seen.add(part_id)
        part = find(part_id)
        waiting += [] if part is None else part.part_ids
    return seen


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

    # What `contract.calendar` asks, so that it can be asked of a book.

    @property
    def timezone(self) -> str:
        return self.venue.timezone

    @property
    def country(self) -> str:
        return self.organisation.country

    @property
    def region(self) -> str | None:
        return self.venue.region

    @property
    def opening_hours(self) -> OpeningHours:
        return self.venue.opening_hours
