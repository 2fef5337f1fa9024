"""What owners type, and what it means: hours as `06:00–12:00, 14:00–23:00`, money as `45.00`, lists as words. Pure."""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import UNSET, Meta

from forecourt.kernel.errors import FieldError, Invalid
from forecourt.kernel.money import Money
from forecourt.kernel.web.formats import WHOLE, minor_digits
from forecourt.kernel.web.forms import read
from forecourt.modules.venues.contract import (
    WEEK,
    Branding,
    DateRange,
    Location,
    NewClosure,
    NewOrganisation,
    NewResource,
    NewVenue,
    OpeningHours,
    OrganisationPatch,
    PoliciesPatch,
    PriceRule,
    Purpose,
    RefundTier,
    Resource,
    ResourcePatch,
    Venue,
    VenuePatch,
)

Line = Annotated[str, Meta(max_length=300)]
Text = Annotated[str, Meta(max_length=4000)]
Short = Annotated[str, Meta(max_length=60)]
Ids = Annotated[list[Short], Meta(max_length=500)]

AMENITIES = (
    "parking",
    "showers",
    "changing_rooms",
    "cafe",
    "wifi",
    "lockers",
    "equipment_hire",
    "step_free",
    "floodlights",
    "shop",
)
DASH = re.compile(r"\s*(?:–|—|-|to)\s*")
CLOSED = frozenset({"", "closed", "fechado", "encerrado", "بند", "-", "–"})
"""How people write that a day has no hours, in the languages of the pages."""
_CLOCK = re.compile(r"^([0-9]{1,2})(?::?([0-5][0-9]))?$")


# --- small readings ---


def clock(text: str, path: str) -> str:
    """`6`, `600`, `6:00`, `06:00` → `06:00`. Raises Invalid at `path`."""
    typed = text.strip()
    if not typed:
        raise Invalid.field(path, "this is not a time; write it like 06:00")
    found = _CLOCK.match(typed)
    if found is None or int(found[1]) > 24:
        raise Invalid.field(path, f"{typed} is not a time; write it like 06:00")
    return f"{int(found[1]):02d}:{found[2] or '00'}"


def intervals(text: str, path: str) -> list[list[str]]:
    """`06:00–12:00, 14:00–23:00` as pairs; nothing, or `closed`, is a closed day. Raises Invalid at `path`."""
    if text.strip().lower() in CLOSED:
        return []
    pairs: list[list[str]] = []
    for part in re.split(r"[,;]", text):
        ends = DASH.split(part.strip())
        if len(ends) != 2:
            raise Invalid.field(path, "write it like 06:00–23:00, or 06:00–12:00, 14:00–23:00")
        pairs.append([clock(ends[0], path), clock(ends[1], path)])
    return pairs


def hours_text(pairs: list[tuple[str, str]]) -> str:
    """The reverse of `intervals`."""
    return ", ".join(f"{start}–{end}" for start, end in pairs)


def minor(text: str, currency: str, path: str) -> int:
    """`45.00` or `45,5` in minor units. Raises Invalid at `path`."""
    digits = minor_digits(currency)
    plain = text.strip().replace("\u00a0", "").replace(" ", "")
    if plain.count(",") == 1 and "." not in plain and len(plain.split(",")[1]) <= digits:
        plain = plain.replace(",", ".")
    try:
        amount = Decimal(plain.replace(",", "")).scaleb(digits)
    except InvalidOperation:
        raise Invalid.field(path, "write an amount such as 45.00") from None
    if not amount.is_finite() or amount != amount.to_integral_value():
        raise Invalid.field(path, f"{currency} has {digits} decimals" if digits else f"{currency} has no decimals")
    return int(amount)


def amount_text(money: Money) -> str:
    """The reverse of `minor`."""
    digits = minor_digits(money.currency)
    if money.currency in WHOLE and money.amount % 10**digits == 0:
        digits, money = 0, Money(money.amount // 10**digits, money.currency)
    return f"{Decimal(money.amount).scaleb(-digits):.{digits}f}"


def words(text: str) -> list[str]:
    """`Free parking, Showers` → `free_parking`, `showers`."""
    found = (re.sub(r"[^a-z0-9]+", "_", part.strip().lower()).strip("_") for part in text.split(","))
    return list(dict.fromkeys(word for word in found if word))


def whole_numbers(text: str, path: str) -> list[int]:
    """`60, 75 90` as numbers. Raises Invalid at `path`."""
    parts = [part for part in re.split(r"[\s,;]+", text.strip()) if part]
    if not all(part.isdecimal() and len(part) <= 5 for part in parts):
        raise Invalid.field(path, "write whole minutes, such as 60, 90, 120")
    return [int(part) for part in parts]


def span(text: str, path: str) -> tuple[int, int] | None:
    """`2–4`, or `4` for exactly four; None for nothing. Raises Invalid at `path`."""
    if not text.strip():
        return None
    ends = DASH.split(text.strip())
    if len(ends) > 2 or not all(end.isdecimal() and len(end) <= 4 for end in ends):
        raise Invalid.field(path, "write it like 2–4, or 4")
    return int(ends[0]), int(ends[-1])


P = TypeVar("P", bound=msgspec.Struct)


def emptied(patch: P, *names: str) -> P:
    """The patch of a form: what was emptied in it is taken away, not left alone."""
    nothing: dict[str, Any] = {name: None for name in names if getattr(patch, name) is UNSET}
    return msgspec.structs.replace(patch, **nothing)


def gathered(*errors: Invalid) -> None:
    """Raises one Invalid with every fault of several."""
    found: list[FieldError] = [fault for error in errors for fault in error.errors]
    if found:
        raise Invalid(found[0].message, errors=found)


# --- organisation ---


class OrganisationForm(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    name: Line = ""
    kind: Short = "club"
    country: Short = ""
    currency: Short = ""
    timezone: Line = ""
    locale: Short = "en"

    def new(self) -> NewOrganisation:
        return read(
            NewOrganisation,
            msgspec.structs.asdict(self) | {"country": self.country.strip().upper(), "currency": self.currency.strip().upper()},
        )


class SettingsForm(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    name: Line = ""
    kind: Short = ""
    timezone: Line = ""
    locale: Short = ""
    slug: Line = ""
    hue: Short = ""
    version: int = 0

    def patch(self) -> OrganisationPatch:
        given = {name: getattr(self, name) for name in ("name", "kind", "timezone", "locale", "slug")}
        if not self.name.strip():
            raise Invalid.field("name", "is needed")
        branding = read(Branding, {"hue": self.hue})
        return read(OrganisationPatch, given | {"branding": branding})


class PoliciesForm(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Three refund tiers; an empty one is none. A number that is not there stays as it was."""

    tier_1_h: Short = ""
    tier_1_pct: Short = ""
    tier_2_h: Short = ""
    tier_2_pct: Short = ""
    tier_3_h: Short = ""
    tier_3_pct: Short = ""
    reschedule_fee_pct: Short = ""
    lead_min: Short = ""
    horizon_days: Short = ""
    hold_min: Short = ""
    max_open_bookings: Short = ""
    no_show_strikes: Short = ""
    weather_refund_pct: Short = ""
    requires_health_form: Short = ""
    approval_purposes: Ids = []
    quiet_hours: Line = ""
    noise_warning_venue_ids: Ids = []
    version: int = 0

    def patch(self) -> PoliciesPatch:
        tiers = [
            read(RefundTier, {"before_h": h, "refund_pct": pct})
            for h, pct in (
                (self.tier_1_h, self.tier_1_pct),
                (self.tier_2_h, self.tier_2_pct),
                (self.tier_3_h, self.tier_3_pct),
            )
            if h.strip() or pct.strip()
        ]
        numbers = ("reschedule_fee_pct", "lead_min", "horizon_days", "hold_min", "max_open_bookings", "no_show_strikes")
        quiet = intervals(self.quiet_hours, "quiet_hours")
        if len(quiet) > 1:
            raise Invalid.field("quiet_hours", "one stretch, such as 22:00–07:00")
        given: dict[str, object] = {name: getattr(self, name) for name in numbers}
        given["cancellation"] = sorted(tiers, key=lambda tier: -tier.before_h)
        given["requires_health_form"] = bool(self.requires_health_form)
        given["approval_purposes"] = self.approval_purposes
        given["noise_warning_venue_ids"] = self.noise_warning_venue_ids
        given["weather_refund_pct"] = self.weather_refund_pct
        patch = emptied(read(PoliciesPatch, given), "weather_refund_pct")
        return msgspec.structs.replace(patch, quiet_hours=(quiet[0][0], quiet[0][1]) if quiet else None)


# --- venues ---


class VenueForm(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    name: Line = ""
    address: Line = ""
    city: Line = ""
    region: Short = ""
    lat: Short = ""
    lon: Short = ""
    timezone: Line = ""
    amenities: Ids = []
    other_amenities: Line = ""
    description: Text = ""
    house_rules: Text = ""
    listed: Short = ""
    open_from: Short = "07:00"
    open_to: Short = "23:00"
    version: int = 0

    def _location(self) -> Location:
        try:
            return read(Location, {"lat": self.lat.strip(), "lon": self.lon.strip()})
        except Invalid as e:
            raise Invalid(e.detail, errors=[FieldError(f.path, _degrees(f.message)) for f in e.errors]) from None

    def _tags(self) -> list[str]:
        return list(dict.fromkeys([*self.amenities, *words(self.other_amenities)]))

    def new(self) -> NewVenue:
        every_day = [[clock(self.open_from, "open_from"), clock(self.open_to, "open_to")]]
        hours = read(OpeningHours, {day.value: every_day for day in WEEK})
        given = {"name": self.name, "address": self.address, "city": self.city, "timezone": self.timezone}
        return read(NewVenue, given | {"location": self._location(), "opening_hours": hours, "amenities": self._tags()})

    def patch(self) -> VenuePatch:
        for name in ("name", "address", "timezone"):
            if not getattr(self, name).strip():
                raise Invalid.field(name, "is needed")
        given = {"name": self.name, "address": self.address, "timezone": self.timezone}
        patch = read(VenuePatch, given | {"location": self._location(), "amenities": self._tags(), "listed": bool(self.listed)})
        return msgspec.structs.replace(
            patch,
            city=self.city.strip() or None,
            region=self.region.strip().upper() or None,
            description=self.description,
            house_rules=self.house_rules,
        )

    @classmethod
    def of(cls, venue: Venue) -> VenueForm:
        return cls(
            name=venue.name,
            address=venue.address,
            city=venue.city or "",
            region=venue.region or "",
            lat=f"{venue.location.lat:g}",
            lon=f"{venue.location.lon:g}",
            timezone=venue.timezone,
            amenities=[a for a in venue.amenities if a in AMENITIES],
            other_amenities=", ".join(a for a in venue.amenities if a not in AMENITIES),
            description=venue.description,
            house_rules=venue.house_rules,
            listed="1" if venue.listed else "",
            version=venue.version,
        )


def _degrees(message: str) -> str:
    return "write degrees, such as 51.5072" if message == "is a number" else message


class HoursForm(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    mon: Line = ""
    tue: Line = ""
    wed: Line = ""
    thu: Line = ""
    fri: Line = ""
    sat: Line = ""
    sun: Line = ""
    copy: Short = ""
    version: int = 0

    def patch(self) -> VenuePatch:
        found: dict[str, object] = {}
        errors: list[Invalid] = []
        for day in WEEK:
            try:
                found[day.value] = intervals(self.mon if self.copy else getattr(self, day.value), day.value)
            except Invalid as e:
                errors.append(e)
        gathered(*errors)
        return VenuePatch(opening_hours=read(OpeningHours, found))

    @classmethod
    def of(cls, venue: Venue) -> HoursForm:
        days = {day.value: hours_text(getattr(venue.opening_hours, day.value)) for day in WEEK}
        return cls(version=venue.version, **days)


class ClosureForm(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    reason: Line = ""
    first: Short = ""
    last: Short = ""
    holiday: Short = ""

    def new(self, holiday: str) -> NewClosure:
        """`holiday`: the reason given for public holidays when nobody wrote one. Raises Invalid."""
        if self.holiday:
            return read(NewClosure, {"reason": self.reason or holiday, "holiday": True})
        days = _days(self.first, self.last, "first", "last")
        if days is None:
            raise Invalid.field("first", "choose a day, or tick public holidays")
        return read(NewClosure, {"reason": self.reason, "dates": days})


def _days(first: str, last: str, at_first: str, at_last: str) -> DateRange | None:
    """Two dates as a range; one alone is a single day."""
    if not first.strip() and not last.strip():
        return None
    start = _day(first or last, at_first)
    end = _day(last or first, at_last)
    if end < start:
        raise Invalid.field(at_last, "lies before the first day")
    return DateRange(start, end)


def _day(text: str, path: str) -> date:
    try:
        return date.fromisoformat(text.strip())
    except ValueError:
        raise Invalid.field(path, "not a date; write it like 2026-12-24") from None


# --- resources ---


class ResourceForm(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """`party_<purpose>` bounds the people for a purpose, `2–4`; empty: 1 to capacity.

    A number that is not there stays as it was.
    """

    name: Line = ""
    kind: Short = "court"
    capacity: Short = ""
    sport: Short = ""
    surface: Short = ""
    indoor: Short = ""
    slot_min: Short = ""
    durations_min: Line = ""
    buffer_before_min: Short = ""
    buffer_after_min: Short = ""
    lead_min: Short = ""
    horizon_days: Short = ""
    position: Short = ""
    active: Short = ""
    part_ids: Ids = []
    party_workout: Short = ""
    party_training: Short = ""
    party_assessment: Short = ""
    party_social: Short = ""
    party_content: Short = ""
    party_match: Short = ""
    party_class: Short = ""
    version: int = 0

    def _given(self) -> dict[str, Any]:
        party: dict[str, tuple[int, int]] = {}
        for purpose in Purpose:
            found = span(getattr(self, f"party_{purpose.value}"), f"party_{purpose.value}")
            if found is not None:
                party[purpose.value] = found
        tags = {name: next(iter(words(getattr(self, name))), "") for name in ("sport", "surface")}
        numbers = ("capacity", "slot_min", "buffer_before_min", "buffer_after_min", "lead_min", "horizon_days", "position")
        return {
            "name": self.name,
            "kind": self.kind,
            **tags,
            "indoor": {"in": True, "out": False}.get(self.indoor),
            "people": party,
            "durations_min": whole_numbers(self.durations_min, "durations_min") or None,
            "part_ids": self.part_ids,
            "active": bool(self.active),
            **{name: getattr(self, name) for name in numbers},
        }

    def new(self) -> NewResource:
        return read(NewResource, self._given() | {"active": True})

    def patch(self) -> ResourcePatch:
        if not self.name.strip():
            raise Invalid.field("name", "is needed")
        given = self._given()
        return emptied(read(ResourcePatch, given), "sport", "surface", "indoor", "lead_min", "horizon_days")

    @classmethod
    def for_another(cls, position: int) -> ResourceForm:
        """What stands there before anybody has typed anything."""
        return cls(
            capacity="4",
            slot_min="15",
            durations_min="60, 90, 120",
            buffer_before_min="0",
            buffer_after_min="0",
            position=str(position),
        )

    @classmethod
    def of(cls, r: Resource) -> ResourceForm:
        party = {f"party_{p.value}": f"{low}–{high}" for p, (low, high) in r.people.items()}
        return cls(
            name=r.name,
            kind=r.kind.value,
            capacity=str(r.capacity),
            sport=r.sport or "",
            surface=r.surface or "",
            indoor={True: "in", False: "out", None: ""}[r.indoor],
            slot_min=str(r.slot_min),
            durations_min=", ".join(map(str, r.durations_min)),
            buffer_before_min=str(r.buffer_before_min),
            buffer_after_min=str(r.buffer_after_min),
            lead_min="" if r.lead_min is None else str(r.lead_min),
            horizon_days="" if r.horizon_days is None else str(r.horizon_days),
            position=str(r.position),
            active="1" if r.active else "",
            part_ids=[str(part) for part in r.part_ids],
            version=r.version,
            **party,
        )


# --- prices ---


class RuleForm(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    label: Line = ""
    per: Short = "hour"
    amount: Short = ""
    resource_ids: Ids = []
    weekdays: Ids = []
    from_: Short = msgspec.field(default="", name="from")
    to: Short = ""
    first: Short = ""
    last: Short = ""
    single_days: Text = ""
    holiday: Short = ""
    purpose: Short = ""
    people: Short = ""
    member_tier: Short = ""
    multiplier: Short = ""
    priority: Short = "0"
    place: Short = ""
    version: int = 0

    def rule(self, currency: str) -> PriceRule:
        if not self.amount.strip():
            raise Invalid.field("amount", "is needed")
        party = span(self.people, "people")
        given: dict[str, object] = {
            "per": self.per,
            "amount": Money(minor(self.amount, currency, "amount"), currency),
            "resource_ids": self.resource_ids or None,
            "weekdays": self.weekdays or None,
            "from": clock(self.from_, "from") if self.from_.strip() else None,
            "to": clock(self.to, "to") if self.to.strip() else None,
            "dates": [_day(d, "single_days") for d in self.single_days.split(",") if d.strip()]
            or _days(self.first, self.last, "first", "last"),
            "holiday": {"only": True, "not": False}.get(self.holiday),
            "purpose": self.purpose,
            "member_tier": self.member_tier.strip(),
            "multiplier": self.multiplier.strip(),
            "label": self.label.strip(),
            "priority": self.priority,
        }
        rule = read(PriceRule, given)
        if party is None:
            return rule
        return msgspec.structs.replace(rule, team_size=party[0] if party[0] == party[1] else list(party))

    @classmethod
    def of(cls, rule: PriceRule, place: int) -> RuleForm:
        team = rule.team_size
        days = rule.dates if isinstance(rule.dates, DateRange) else None
        return cls(
            label=rule.label or "",
            per=rule.per.value,
            amount=amount_text(rule.amount),
            resource_ids=[str(id) for id in rule.resource_ids or []],
            weekdays=[day.value for day in rule.weekdays or []],
            from_=rule.from_ or "",
            to=rule.to or "",
            first=days.from_.isoformat() if days else "",
            last=days.to.isoformat() if days else "",
            single_days=", ".join(day.isoformat() for day in rule.dates) if isinstance(rule.dates, list) else "",
            holiday={True: "only", False: "not", None: ""}[rule.holiday],
            purpose=rule.purpose.value if rule.purpose else "",
            people="" if team is None else str(team) if isinstance(team, int) else f"{team[0]}–{team[1]}",
            member_tier=rule.member_tier or "",
            multiplier=rule.multiplier or "",
            priority=str(rule.priority),
            place=str(place),
        )
