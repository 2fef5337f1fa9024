"""The places as the program knows them: organisations, venues, resources, prices and closures, from the data in places.py."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from forecourt.demo.crowd import ADMIN, Person, everybody
from forecourt.demo.ids import Fate
from forecourt.demo.places import HOUSES, House, Place, Rate, Thing
from forecourt.kernel.money import Money
from forecourt.modules.venues.contract import (
    Branding,
    Closure,
    DateRange,
    Location,
    OpeningHours,
    Organisation,
    OrganisationStatus,
    Policies,
    PriceRule,
    Purpose,
    Resource,
    Tax,
    Venue,
    VenueBook,
    Weekday,
)

PAST_DAYS = 304
AHEAD_DAYS = 60


@dataclass(frozen=True)
class Site:
    """A venue with what only the demo knows of it."""

    house: House
    place: Place
    book: VenueBook
    things: dict[UUID, Thing]
    """By resource id."""

    @property
    def organisation_id(self) -> UUID:
        return self.book.organisation.id

    @property
    def tz(self) -> ZoneInfo:
        return ZoneInfo(self.book.venue.timezone)


@dataclass(frozen=True)
class World:
    """Everything that is there before the first booking."""

    fate: Fate
    now: datetime
    sites: list[Site]
    people: list[Person]
    past_days: int = PAST_DAYS
    """So far back the bookings go."""

    def site(self, slug: str) -> Site:
        """By the venue's short name."""
        return next(s for s in self.sites if s.place.slug == slug)

    def person(self, email: str) -> Person:
        return next(p for p in self.people if p.email == email)

    @property
    def organisations(self) -> list[VenueBook]:
        """One book for each organisation."""
        return list({s.organisation_id: s.book for s in self.sites}.values())

    @property
    def founded_at(self) -> datetime:
        """When the organisations came, before the first booking."""
        return _founded(self.now, self.past_days)

    @property
    def opened_at(self) -> datetime:
        """When people could begin to book."""
        return self.founded_at + timedelta(days=44)


def _founded(now: datetime, past_days: int) -> datetime:
    return now.replace(hour=9, minute=0, second=0, microsecond=0) - timedelta(days=past_days + 45)


def build(seed: int, now: datetime, past_days: int = PAST_DAYS) -> World:
    """The world as of `now`, which has an offset. The same arguments give the same world."""
    now = now.astimezone(UTC).replace(microsecond=0)
    fate = Fate(seed)
    people = everybody(fate)
    founded = _founded(now, past_days)
    sites = [_site(fate, house, place, founded, now.date()) for house in HOUSES for place in house.places]
    return World(fate, now, sites, people, past_days)


def owner_email(world: World, slug: str) -> str:
    """Who founded the organisation."""
    return next((p.email for p in world.people if p.staff and (slug, "owner") in p.staff.roles), ADMIN[1])


def _site(fate: Fate, house: House, place: Place, founded: datetime, today: date) -> Site:
    organisation_id = fate.id("organisation", house.slug)
    venue_id = fate.id("venue", house.slug, place.slug)
    ids = {t.name: fate.id("resource", house.slug, place.slug, t.name) for t in place.things}
    book = VenueBook(
        version=1,
        organisation=_organisation(house, organisation_id, founded),
        policies=_policies(fate, house),
        venue=_venue(house, place, organisation_id, venue_id),
        closures=_closures(fate, place, venue_id, today),
        resources=[_resource(t, ids, venue_id, i) for i, t in enumerate(place.things)],
        rules=[_rule(rate, place, ids, house.currency, today) for rate in place.rates],
    )
    return Site(house, place, book, {ids[t.name]: t for t in place.things})


def _organisation(house: House, id: UUID, founded: datetime) -> Organisation:
    rate, label = house.tax
    return Organisation(
        id=id,
        name=house.name,
        kind=house.kind,
        country=house.country,
        currency=house.currency,
        timezone=house.timezone,
        locale=house.locale,
        slug=house.slug,
        status=OrganisationStatus.ACTIVE,
        branding=Branding(hue=house.hue),
        tax=[Tax(rate, included=True, label=label)],
        created_at=founded,
        version=1,
    )


def _policies(fate: Fate, house: House) -> Policies:
    return Policies(
        reschedule_fee_pct=house.reschedule_fee_pct,
        horizon_days=house.horizon_days,
        max_open_bookings=40,
        approval_purposes=[Purpose.CONTENT],
        weather_refund_pct=100 if house.weather_refund else None,
        noise_warning_venue_ids=[fate.id("venue", house.slug, place.slug) for place in house.places] if house.quiet_hours else [],
        quiet_hours=house.quiet_hours,
    )


def _venue(house: House, place: Place, organisation_id: UUID, id: UUID) -> Venue:
    week, weekend = [place.hours], [place.weekend_hours]
    return Venue(
        id=id,
        organisation_id=organisation_id,
        name=place.name,
        slug=place.slug,
        address=place.address,
        city=place.city,
        region=place.region,
        location=Location(place.lat, place.lon),
        timezone=house.timezone,
        opening_hours=OpeningHours(mon=week, tue=week, wed=week, thu=week, fri=week, sat=weekend, sun=weekend),
        amenities=list(place.amenities),
        description=place.description,
        house_rules=place.rules,
        version=1,
    )


def _resource(thing: Thing, ids: dict[str, UUID], venue_id: UUID, position: int) -> Resource:
    return Resource(
        id=ids[thing.name],
        venue_id=venue_id,
        name=thing.name,
        kind=thing.kind,
        sport=thing.sport,
        surface=thing.surface,
        indoor=thing.indoor,
        capacity=thing.capacity,
        people=dict(thing.party),
        slot_min=15,
        durations_min=list(thing.durations),
        buffer_after_min=thing.buffer_after,
        part_ids=[ids[name] for name in thing.parts],
        position=position,
    )


def _rule(rate: Rate, place: Place, ids: dict[str, UUID], currency: str, today: date) -> PriceRule:
    """A rate without a tariff is for the things without one, when the venue has both."""
    about = [ids[t.name] for t in place.things if t.tariff == rate.only]
    first, last = rate.between or (None, None)
    days = rate.days
    if rate.purpose is not None:  # states as much as any other rule, so that its priority decides
        first, last, days = "00:00", "24:00", "mon tue wed thu fri sat sun"
    return PriceRule(
        per=rate.per,
        amount=Money(rate.minor, currency),
        resource_ids=about if len(about) < len(ids) else None,
        weekdays=[Weekday(day) for day in days.split()] or None,
        from_=first,
        to=last,
        dates=None if rate.season is None else _season(rate.season, today),
        holiday=rate.holiday,
        purpose=rate.purpose,
        team_size=None if rate.team is None else list(rate.team),
        multiplier=rate.multiplier,
        label=rate.label,
        priority=rate.priority,
    )


def _season(season: tuple[str, str], today: date) -> DateRange:
    """The season that lies in the world's time; the later one when two do."""
    found = [
        DateRange(date.fromisoformat(f"{year}-{season[0]}"), date.fromisoformat(f"{year}-{season[1]}"))
        for year in range(today.year - 1, today.year + 2)
    ]
    return max((r for r in found if r.from_ <= today + timedelta(days=AHEAD_DAYS)), key=lambda r: r.from_)


def _closures(fate: Fate, place: Place, venue_id: UUID, today: date) -> list[Closure]:
    found: list[Closure] = []
    for closing in place.closings:
        id = fate.id("closure", place.slug, closing.reason)
        if closing.days_from_now is None:
            found.append(Closure(id, venue_id, closing.reason, None, holiday=True))
            continue
        first = today + timedelta(days=closing.days_from_now)
        found.append(Closure(id, venue_id, closing.reason, DateRange(first, first + timedelta(days=closing.days - 1))))
    return found
