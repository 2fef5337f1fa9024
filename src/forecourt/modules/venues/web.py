"""What guests see first: the start page with what is free next, and finding a place on a list and a map."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Annotated, cast
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Meta

from forecourt.kernel.clock import Clock
from forecourt.kernel.errors import Invalid
from forecourt.kernel.http.operation import Api, Html, Visit, page
from forecourt.kernel.money import Money
from forecourt.kernel.paging import Page
from forecourt.kernel.web import formats
from forecourt.kernel.web.addresses import with_query
from forecourt.kernel.web.render import Language
from forecourt.kernel.web.surroundings import Surroundings
from forecourt.kernel.web.views import Choice, Place, Point
from forecourt.modules.booking.contract import FreeStart, FreeTimes, StartsAsked
from forecourt.modules.venues.contract import DurationMin, Location, OpenTime, Photo, Tag, VenueCard, read_point
from forecourt.modules.venues.queries import Wanted
from forecourt.modules.venues.service import VenuesService
from forecourt.modules.venues.service.search import FreeTime, Sort

SHOWN = 12
DEPARTURES = 6
LOOKED_AT = 60
"""Places whose sports and cities are offered as filters."""
MOST_CHIPS = 6
TIMES_SHOWN = 4
DAYS_OFFERED = 14
LENGTHS_MIN = (60, 90, 120)
NEAR_KM = 25.0
MAP_DEGREES = 1.0


class AtHome(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    city: Annotated[str, Meta(max_length=100)] | None = None


Day = date


class Seek(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What somebody looks for. `time` is the clock at the place; `free` leaves out what is not free just then."""

    q: Annotated[str, Meta(max_length=100)] | None = None
    near: Annotated[str, Meta(max_length=40)] | None = None
    sport: Tag | None = None
    amenities: Annotated[list[Tag], Meta(max_length=20)] = []
    indoor: bool | None = None
    date: Day | None = None
    time: OpenTime | None = None
    duration_min: DurationMin | None = None
    free: bool | None = None
    sort: Sort | None = None
    cursor: Annotated[str, Meta(max_length=500)] | None = None

    def address(self, **changes: object) -> str:
        """The address of this search, changed as said; a new search begins at its first page."""
        values = {name: getattr(self, name) for name in self.__struct_fields__} | {"cursor": None} | changes
        flat = {**values, "amenities": ",".join(cast("list[str]", values["amenities"])) or None}
        return with_query("/discover", flat)


class TimeView(msgspec.Struct, frozen=True):
    """A start to press on a result."""

    start: str
    price: Money
    href: str
    label: str


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """A place in the list. `full` says so when nothing is free as asked; `next` then says what is, when the day after has it."""

    id: UUID
    name: str
    href: str
    where: str
    detail: str
    price: str
    away: str
    picture: str
    """A drawing, where there is no photo."""
    photo: Photo | None
    times: list[TimeView]
    full: str = ""
    next: str = ""
    next_href: str = ""


class Departure(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the board: what is free next. `day` is empty for today at the place: a later day is said, not guessed."""

    day: str
    time: str
    venue: str
    place: str
    length: str
    price: Money
    href: str


class Offered(msgspec.Struct, frozen=True):
    """What the places listed here have, for filters."""

    sports: list[str]
    amenities: list[str]
    cities: list[str]


class VenuePages(Api):
    tag = "Pages"

    def __init__(self, service: VenuesService, times: FreeTimes, pages: Surroundings, clock: Clock) -> None:
        self.service = service
        self.times = times
        self.pages = pages
        self.clock = clock

    # ---------------------------------------------------------------------------------------------------------------- home

    @page("/")
    async def home(self, visit: Visit, query: AtHome) -> Html:
        """What is free now, and good places."""
        say = _Say(self.pages, visit.locale)
        listed = await self.service.search(visit.ctx, Wanted(), limit=LOOKED_AT)
        offered = _offered(listed.items)
        city = query.city
        if city is None and len({c.timezone for c in listed.items}) > 1 and offered.cities:
            city = offered.cities[0]  # a board is read on one clock
        here = [c for c in listed.items if city is None or c.city == city]
        values = {
            "departures": await self._departures(visit, say, here),
            "city": city or "",
            "board_href": with_query("/", {"city": city}),
            "cities": [
                Choice(
                    label=city, href=with_query("/", {"city": None if city == query.city else city}), chosen=city == query.city
                )
                for city in offered.cities
            ],
        }
        if visit.partial:
            return self.pages.page("venues/_departures.html", visit, values=values)
        found = await self.times.free_starts(visit.ctx, StartsAsked([c.id for c in here[:3]], self.clock.now(), most=1))
        return self.pages.page(
            "venues/home.html",
            visit,
            values=values,
            sports=[Choice(label=say.known("sport", s), value=s) for s in offered.sports],
            lengths=[Choice(label=say.length(m), value=str(m)) for m in LENGTHS_MIN],
            days=say.days(self._today(listed.items)),
            places=[self._result(say, card, [f for f in found if f.venue_id == card.id], Seek()) for card in here[:3]],
        )

    async def _departures(self, visit: Visit, say: _Say, cards: Sequence[VenueCard]) -> list[Departure]:
        """The next free starts anywhere here, at most two of a place, so that one club does not fill the board."""
        now = self.clock.now()
        asked = StartsAsked([c.id for c in cards[:SHOWN]], now, most=2, tomorrow_too=True)
        found = await self.times.free_starts(visit.ctx, asked)
        names = {c.id: c for c in cards}
        return [
            Departure(
                day=say.later_day(f.start, now, names[f.venue_id]),
                time=say.time(f.start, names[f.venue_id]),
                venue=names[f.venue_id].name,
                place=f.place,
                length=say.length(f.duration_min),
                price=f.price,
                href=_start_href(f),
            )
            for f in sorted(found, key=lambda f: f.start)[:DEPARTURES]
        ]

    # ------------------------------------------------------------------------------------------------------------ discover

    @page("/discover")
    async def discover(self, visit: Visit, query: Seek) -> Html:
        """Places that fit, with their next free times, as a list and on a map."""
        say = _Say(self.pages, visit.locale)
        everything = await self.service.search(visit.ctx, Wanted(), limit=LOOKED_AT)
        wanted, here = _wanted(query)
        zone = await self._zone(visit, query, wanted, everything.items)
        at = self._asked_at(query, zone)
        found = await self._search(visit, query, wanted, at)
        starts = await self._starts(visit, query, found.items, at)
        later = await self._day_after(visit, query, [c for c in found.items if c.id not in starts], at)
        results = [self._result(say, card, starts.get(card.id, []), query, later.get(card.id)) for card in found.items]
        mapped = _mapped(found.items)
        return self.pages.page(
            "venues/discover.html",
            visit,
            seek=query,
            heading=_heading(say, query),
            results=results,
            count=say.t("find.found_more" if found.next_cursor else "find.found", n=len(results)),
            at_words=""
            if query.time is None
            else say.t("find.free_at", day=say.day(at.astimezone(zone).date()), time=query.time),
            chips=self._chips(say, query, _offered(everything.items), results),
            cities=[
                Choice(label=c, href=query.address(q=c, near=None), chosen=query.q == c)
                for c in _offered(everything.items).cities
            ],
            sports=[Choice(label=say.known("sport", s), value=s) for s in _offered(everything.items).sports],
            lengths=[Choice(label=say.length(m), value=str(m)) for m in LENGTHS_MIN],
            days=say.days(self._today(everything.items)),
            sorts=_sorts(say, query),
            next_href="" if found.next_cursor is None else query.address(cursor=found.next_cursor),
            clear_href="/discover",
            places=[_pin(say, card, starts.get(card.id, []), query) for card in mapped],
            map_words="" if len(mapped) == len(results) else say.t("find.map_part", n=len(mapped), total=len(results)),
            here=None if here is None else Point(here.lat, here.lon),
        )

    async def _search(self, visit: Visit, query: Seek, wanted: Wanted, at: datetime) -> Page[VenueCard]:
        free = FreeTime(at, query.duration_min or LENGTHS_MIN[0]) if query.free and query.time else None
        return await self.service.search(
            visit.ctx, wanted, text=query.q or "", free=free, sort=query.sort, limit=SHOWN, cursor=query.cursor
        )

    async def _starts(self, visit: Visit, query: Seek, cards: Sequence[VenueCard], at: datetime) -> dict[UUID, list[FreeStart]]:
        asked = StartsAsked([c.id for c in cards], at, query.duration_min, query.sport, most=TIMES_SHOWN)
        by_venue: dict[UUID, list[FreeStart]] = {}
        for start in await self.times.free_starts(visit.ctx, asked) if cards else []:
            by_venue.setdefault(start.venue_id, []).append(start)
        return by_venue

    async def _day_after(self, visit: Visit, query: Seek, full: Sequence[VenueCard], at: datetime) -> dict[UUID, FreeStart]:
        """The first free start of the day after, where nothing is free on the asked day."""
        if not full:
            return {}
        asked = StartsAsked([c.id for c in full], at, query.duration_min, query.sport, most=1, tomorrow_too=True)
        return {start.venue_id: start for start in await self.times.free_starts(visit.ctx, asked)}

    async def _zone(self, visit: Visit, query: Seek, wanted: Wanted, everything: Sequence[VenueCard]) -> ZoneInfo:
        """The clock that the asked time is meant on: that of the first place that fits the rest."""
        if query.q or wanted.near is not None:
            first = await self.service.search(visit.ctx, wanted, text=query.q or "", limit=1)
            if first.items:
                return ZoneInfo(first.items[0].timezone)
        return ZoneInfo(everything[0].timezone) if everything else ZoneInfo("UTC")

    def _asked_at(self, query: Seek, zone: ZoneInfo) -> datetime:
        """The instant from which times are shown; never in the past."""
        now = self.clock.now()
        day = query.date or now.astimezone(zone).date()
        hour, minute = (int(part) for part in (query.time or "00:00").split(":"))
        return max(datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone), now)

    def _today(self, cards: Sequence[VenueCard]) -> date:
        return self.clock.now().astimezone(ZoneInfo(cards[0].timezone) if cards else ZoneInfo("UTC")).date()

    def _result(
        self, say: _Say, card: VenueCard, starts: Sequence[FreeStart], query: Seek, later: FreeStart | None = None
    ) -> Result:
        look = with_query(f"/venues/{card.id}", {"date": query.date, "duration_min": query.duration_min, "sport": query.sport})
        sports = ", ".join(say.known("sport", s) for s in card.sports[:3])
        extras = ", ".join(say.known("amenity", a) for a in card.amenities[:3])
        return Result(
            id=card.id,
            name=card.name,
            href=look,
            where=card.address,
            detail=". ".join(part for part in (sports, extras) if part),
            price="" if card.from_price is None else say.t("find.from", price=say.money(card.from_price)),
            away="" if card.distance_km is None else say.t("find.km", km=say.distance(card.distance_km)),
            picture=_picture(card),
            photo=card.cover,
            times=[
                TimeView(
                    say.time(s.start, card),
                    s.price,
                    _start_href(s),
                    say.t(
                        "find.time_button",
                        place=card.name,
                        court=s.place,
                        time=say.time(s.start, card),
                        price=say.money(s.price),
                    ),
                )
                for s in starts
            ],
            full="" if starts else say.t("find.full_day"),
            next="" if later is None else say.t("find.next_free", when=say.moment(later.start, card)),
            next_href="" if later is None else _start_href(later),
        )

    def _chips(self, say: _Say, query: Seek, offered: Offered, results: Sequence[Result]) -> list[Choice]:
        """Filters as links that switch on and off."""
        chips: list[Choice] = []
        if query.time is not None:
            words = say.t("find.only_free", time=query.time)
            chips.append(Choice(label=words, href=query.address(free=None if query.free else "true"), chosen=bool(query.free)))
        chips += [
            Choice(
                label=say.known("sport", s), href=query.address(sport=None if query.sport == s else s), chosen=query.sport == s
            )
            for s in offered.sports[:MOST_CHIPS]
        ]
        for value, key in (("true", "find.indoor"), ("false", "find.outdoor")):
            on = query.indoor is (value == "true")
            chips.append(Choice(label=say.t(key), href=query.address(indoor=None if on else value), chosen=on))
        for amenity in offered.amenities[:MOST_CHIPS]:
            on = amenity in query.amenities
            others = [a for a in query.amenities if a != amenity]
            chips.append(
                Choice(
                    label=say.known("amenity", amenity),
                    href=query.address(amenities=others if on else [*others, amenity]),
                    chosen=on,
                )
            )
        return chips


class _Say:
    """Words, prices and dates in the reader's language."""

    def __init__(self, pages: Surroundings, locale: str) -> None:
        self.language: Language = cast("Language", locale)
        self._pages = pages.pages

    def t(self, key: str, /, **values: object) -> str:
        return self._pages.text(self.language, key, **values)

    def known(self, group: str, word: str) -> str:
        key = f"{group}.{word.replace('-', '_')}"
        return self.t(key) if self._pages.catalogue.has(key) else word.replace("_", " ").replace("-", " ").capitalize()

    def money(self, value: Money) -> str:
        return formats.money(self.language, value, tag=True)

    def length(self, minutes: int) -> str:
        return formats.duration(self.language, minutes)

    def distance(self, km: float) -> str:
        return formats.distance(self.language, km)

    def time(self, at: datetime, card: VenueCard) -> str:
        """On the clock of the place."""
        return formats.time(self.language, at, card.timezone)

    def moment(self, at: datetime, card: VenueCard) -> str:
        """Day and time on the clock of the place."""
        return self.t("find.moment", day=self.day(at.astimezone(ZoneInfo(card.timezone)).date()), time=self.time(at, card))

    def day(self, day: date) -> str:
        return formats.date(self.language, day, style="day")

    def later_day(self, at: datetime, now: datetime, card: VenueCard) -> str:
        """The day of a time on the clock of the place, in words; empty for today."""
        zone = ZoneInfo(card.timezone)
        day, today = at.astimezone(zone).date(), now.astimezone(zone).date()
        if day == today:
            return ""
        return self.t("home.tomorrow", day=self.day(day)) if day == today + timedelta(days=1) else self.day(day)

    def days(self, today: date) -> list[Choice]:
        """The next two weeks to choose from."""
        found = [today + timedelta(days=i) for i in range(DAYS_OFFERED)]
        return [Choice(label=self.t("look.today") if d == today else self.day(d), value=d.isoformat()) for d in found]


def _start_href(start: FreeStart) -> str:
    """The place's page with this start chosen."""
    return with_query(
        f"/venues/{start.venue_id}",
        {"duration_min": start.duration_min, "resource_id": start.resource_id, "start": start.start},
    )


def _picture(card: VenueCard) -> str:
    """A drawing that fits the sport, and is the same for a place everywhere."""
    courts = {"padel", "tennis", "badminton", "squash"} & set(card.sports)
    drawings = ("court-dusk", "court-day", "court-clay", "court-top") if courts else ("gym-arch", "gym-room", "facade", "river")
    return f"art/{drawings[card.id.int % len(drawings)]}.svg"


def _pin(say: _Say, card: VenueCard, starts: Sequence[FreeStart], query: Seek) -> Place:
    label = say.time(starts[0].start, card) if starts else "" if card.from_price is None else say.money(card.from_price)
    return Place(
        id=str(card.id),
        lat=card.location.lat,
        lon=card.location.lon,
        label=label or "·",
        name=card.name,
        href=with_query(f"/venues/{card.id}", {"date": query.date, "duration_min": query.duration_min}),
        full=not starts,
    )


def _mapped(cards: Sequence[VenueCard]) -> list[VenueCard]:
    """Those that one map can show: all of them, or the largest group when they lie in different parts of the world."""

    def around(middle: VenueCard) -> list[VenueCard]:
        lat, lon = middle.location.lat, middle.location.lon
        return [c for c in cards if abs(c.location.lat - lat) < MAP_DEGREES and abs(c.location.lon - lon) < MAP_DEGREES]

    return max(map(around, cards), key=len, default=[])


def _wanted(query: Seek) -> tuple[Wanted, Location | None]:
    """The search, and the point it is near to. Raises Invalid for what is not a point."""
    here = None
    if query.near is not None:
        here = read_point(query.near)
        if here is None:
            raise Invalid.field("near", "is a latitude and a longitude, such as 51.5,-0.12")
    wanted = Wanted(
        near=here,
        radius_km=NEAR_KM if here is not None else None,
        sport=query.sport,
        amenities=query.amenities or None,
        indoor=True if query.indoor is True else None,
        outdoor=True if query.indoor is False else None,
    )
    return wanted, here


def _offered(cards: Sequence[VenueCard]) -> Offered:
    """Sports, amenities and cities of these places, the most frequent first."""
    return Offered(
        _frequent([s for c in cards for s in c.sports]),
        _frequent([a for c in cards for a in c.amenities]),
        _frequent([c.city for c in cards if c.city]),
    )


def _frequent(words: Sequence[str]) -> list[str]:
    counts: dict[str, int] = {}
    for word in words:
        counts[word] = counts.get(word, 0) + 1
    return sorted(counts, key=lambda w: (-counts[w], w))[:12]


def _heading(say: _Say, query: Seek) -> str:
    if query.near is not None:
        return say.t("find.title_near")
    return say.t("find.title_city", city=query.q) if query.q else say.t("find.title")


def _sorts(say: _Say, query: Seek) -> list[Choice]:
    allowed = [Sort.NAME, Sort.PRICE]
    if query.near is not None:
        allowed.insert(0, Sort.DISTANCE)
    if query.q:
        allowed.insert(0, Sort.RELEVANCE)
    chosen = query.sort or allowed[0]
    return [Choice(label=say.t(f"find.sort.{s.value}"), href=query.address(sort=s.value), chosen=s == chosen) for s in allowed]
