"""A year of bookings: who came when, who stayed away, what was asked for and what is happening at this moment."""

from __future__ import annotations

import random
from bisect import bisect
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from itertools import accumulate
from uuid import UUID

from forecourt.demo.crowd import ISLAMABAD, KARACHI, LAHORE, LISBON, LONDON, Person
from forecourt.demo.ids import id_at
from forecourt.demo.places import Thing
from forecourt.demo.scenes import Ending, Scene, blocks, scenes
from forecourt.demo.tariff import DAY_MIN, Tariff
from forecourt.demo.weather import Weather
from forecourt.demo.world import AHEAD_DAYS, Site, World
from forecourt.kernel.money import Money
from forecourt.modules.booking.contract import BookingAction, BookingActor, BookingStatus, InviteeStatus, PayWith
from forecourt.modules.venues.contract import OrganisationKind, Purpose, Resource
from forecourt.modules.venues.contract.calendar import minutes_of

_S, _A, _W = BookingStatus, BookingAction, BookingActor

# How the starts of a day are spread, by hour.
GYM_WORKDAY = {6: 5, 7: 8, 8: 5, 9: 3, 10: 2, 11: 2, 12: 4, 13: 3, 14: 1, 15: 2, 16: 4, 17: 9, 18: 11, 19: 8, 20: 4, 21: 1}
GYM_WEEKEND = {7: 2, 8: 5, 9: 9, 10: 11, 11: 9, 12: 6, 13: 4, 14: 4, 15: 4, 16: 4, 17: 3, 18: 2, 19: 1}
CLUB_WORKDAY = {6: 2, 7: 4, 8: 4, 9: 2, 10: 1, 15: 2, 16: 4, 17: 7, 18: 10, 19: 12, 20: 11, 21: 9, 22: 6, 23: 3}
CLUB_WEEKEND = {
    6: 2,
    7: 5,
    8: 7,
    9: 7,
    10: 6,
    11: 4,
    12: 2,
    14: 2,
    15: 4,
    16: 7,
    17: 9,
    18: 10,
    19: 11,
    20: 10,
    21: 9,
    22: 6,
    23: 3,
}
HOTEL = {7: 6, 8: 7, 9: 7, 10: 6, 11: 5, 12: 3, 14: 3, 15: 4, 16: 6, 17: 7, 18: 8, 19: 6, 20: 3}
QUARTERS = {0: 10, 15: 1, 30: 7, 45: 1}
# Monday first.
WEEK_OF = {
    OrganisationKind.GYM: (1.12, 1.08, 1.08, 1.0, 0.85, 0.95, 0.85),
    OrganisationKind.CLUB: (0.8, 0.9, 0.9, 0.95, 1.15, 1.3, 1.25),
    OrganisationKind.HOTEL: (0.8, 0.8, 0.85, 0.9, 1.15, 1.35, 1.2),
}
CROWDS = {"London": (LONDON,), "Karachi": (KARACHI,), "Lahore": (LAHORE,), "Islamabad": (ISLAMABAD,), "Lisboa": (LISBON, LONDON)}
LIKED_BY = {"mahnoor@example.org": ("clifton", "gulberg"), "tom@example.org": ("bermondsey", "maltby-street", "alfama")}
"""Who may be logged in as has a good story of their own."""
GUESTS = "Asif, Khalid and friends, A. Pereira, Mrs Whitlock, Usama, Room 7, Room 3, Team Tuesday, Nasir, walk-in".split(", ")
WHY_CANCELLED = ("", "", "", "Something came up", "Injured", "Double-booked", "Meeting runs late", "Partner is ill")
DECLINED = (
    "No filming in the evening, other parties are on site",
    "Please ask with a week's notice",
    "The light crew needs a permit",
)
NOTES = (
    "",
    "",
    "",
    "",
    "",
    "",
    "Left-handed racket if there is one",
    "Bringing a guest",
    "Needs the step-free door",
    "First time here",
)

NO_SHOW, CANCELLED, EXPIRED, ASKS = 0.025, 0.09, 0.025, 0.012
RAINED_OFF = 0.25
MOST_ABSENT = 1


@dataclass(slots=True)
class Step:
    at: datetime
    action: BookingAction
    before: BookingStatus
    after: BookingStatus
    actor: BookingActor
    account_id: UUID | None
    detail: str = ""


@dataclass(slots=True)
class Booked:
    """A booking and its whole history. Times are UTC; `day` and `start` are the venue's."""

    id: UUID
    site: Site
    resource: Resource
    person: Person | None
    guest: str | None
    day: date
    start: int
    """Minutes after the local midnight of `day`."""
    duration: int
    purpose: Purpose
    team_size: int
    starts_at: datetime
    ends_at: datetime
    created_at: datetime
    made_by: UUID | None
    pay_with: PayWith | None
    price: int
    lines: list[tuple[str, int, str | None]]
    tax: tuple[str, int]
    claimed: list[UUID]
    note: str | None = None
    invited: list[UUID] = field(default_factory=list[UUID])
    addresses: tuple[str, ...] = ()
    """Of guests without an account."""
    answers: dict[UUID, InviteeStatus] = field(default_factory=dict[UUID, InviteeStatus])
    """Of those who are invited and have said whether they come."""
    status: BookingStatus = _S.DRAFT
    steps: list[Step] = field(default_factory=list[Step])
    hold_expires_at: datetime | None = None
    confirmed_at: datetime | None = None
    settled_at: datetime | None = None
    """When the money that was due at the desk came."""
    returned: tuple[datetime, int, str] | None = None
    """When, how much and why something went back."""

    @property
    def account_id(self) -> UUID | None:
        return None if self.person is None else self.person.id

    @property
    def claim(self) -> tuple[datetime, datetime]:
        r = self.resource
        return (
            self.starts_at - timedelta(minutes=r.buffer_before_min),
            self.ends_at + timedelta(minutes=r.buffer_after_min),
        )

    def step(
        self, at: datetime, action: BookingAction, after: BookingStatus, actor: BookingActor, by: UUID | None, why: str = ""
    ) -> None:
        self.steps.append(Step(at, action, self.status, after, actor, by, why))
        self.status = after


class Streets:
    """Who comes to a venue, and how often."""

    def __init__(self, world: World, site: Site) -> None:
        dice = world.fate.dice("crowd", site.place.slug)
        cities = CROWDS[site.place.city]
        self.people: list[Person] = []
        weights: list[float] = []
        for person in world.people:
            liked = LIKED_BY.get(person.email)
            if liked is not None:
                weight = 5.0 if site.place.slug in liked else 0.0
            elif person.staff or person.admin or person.unconfirmed or person.city not in cities:
                weight = 0.0
            else:
                weight = min(dice.paretovariate(1.3), 25) * (1.0 if person.city == cities[0] else 0.15)
            if weight:
                self.people.append(person)
                weights.append(weight)
        self._sums = list(accumulate(weights))

    def pick(self, dice: random.Random) -> Person:
        return self.people[bisect(self._sums, dice.random() * self._sums[-1])]


class Chronicle:
    """Makes the bookings of one venue, day by day. A place is never given away twice."""

    def __init__(self, world: World, site: Site, weather: Weather, busy_people: set[tuple[UUID, date]]) -> None:
        self.world = world
        self.now = world.now
        self.site = site
        self.tariff = Tariff(site)
        self._weather = weather
        self._dice = world.fate.dice("story", site.place.slug)
        self._streets = Streets(world, site)
        self._busy_people = busy_people
        self._ticking = False
        self._absent: Counter[UUID] = Counter()
        self._taken: dict[UUID, list[tuple[datetime, datetime]]] = {r.id: [] for r in site.book.resources}
        self._doors = lru_cache(maxsize=1000)(self._find_doors)
        self._blocked: dict[UUID, list[tuple[datetime, datetime]]] = {r.id: [] for r in site.book.resources}
        self._staff = [
            p for p in world.people if p.staff and any(s == site.house.slug and r != "viewer" for s, r in p.staff.roles)
        ]
        self.blocks = blocks(world, site)
        for block in self.blocks:
            for resource_id in block.resource_ids:
                self._blocked[resource_id] += block.times
        kind = site.house.kind
        self._hours = (
            (HOTEL, HOTEL)
            if kind is OrganisationKind.HOTEL
            else (GYM_WORKDAY, GYM_WEEKEND)
            if kind is OrganisationKind.GYM
            else (CLUB_WORKDAY, CLUB_WEEKEND)
        )
        self._claims = {r.id: sorted({r.id, *r.part_ids}) for r in site.book.resources}

    def tell(self) -> Iterator[Booked]:
        """All bookings, by day."""
        today = self.now.astimezone(self.site.tz).date()
        for n in range(-self.world.past_days, AHEAD_DAYS + 1):
            day = today + timedelta(days=n)
            if self.tariff.is_closed(day):
                continue
            self._forget_before(day)
            if n in (0, 1):
                yield from self._scripted(day, n)
            for resource in self.site.book.resources:
                yield from self._a_day_of(resource, day, n)

    # --- a day

    def _a_day_of(self, resource: Resource, day: date, n: int) -> Iterator[Booked]:
        dice = self._dice
        thing = self.site.things[resource.id]
        many = self._appetite(thing, resource, day, n)
        wanted = int(max(0.0, dice.gauss(many, many**0.5 * 0.6)) + dice.random())
        starts, sums = self._starts(resource, day)
        if not starts:
            return
        for _ in range(wanted * 3):
            if wanted <= 0:
                return
            start = starts[bisect(sums, dice.random() * sums[-1])]
            booked = self._try(resource, thing, day, start, dice.choice(thing.usual))
            if booked is not None:
                wanted -= 1
                yield booked

    def _appetite(self, thing: Thing, resource: Resource, day: date, n: int) -> float:
        many = thing.appeal * WEEK_OF[self.site.house.kind][day.weekday()]
        many *= 0.8 + 0.25 * min(1.0, (n + self.world.past_days) / self.world.past_days)  # the house becomes known
        if resource.indoor is False:
            many *= self._weather.appetite(self.site.place.city, day)
        if self.tariff.is_holiday(day):
            many *= 1.15
        return many

    def _starts(self, resource: Resource, day: date) -> tuple[list[int], list[float]]:
        """Starts on the grid and the running sum of how much they are liked."""
        opens, closes = self._doors(day)
        weights = self._hours[1 if day.weekday() >= 5 else 0]
        hot = resource.indoor is False and self._weather.is_hot(self.site.place.city, day)
        starts: list[int] = []
        liked: list[float] = []
        for hour, weight in weights.items():
            for quarter, share in QUARTERS.items():
                at = hour * 60 + quarter
                if opens <= at and at + 30 <= closes and not (hot and 540 <= at < 1020):
                    starts.append(at)
                    liked.append(weight * share)
        return starts, list(accumulate(liked))

    def _find_doors(self, day: date) -> tuple[int, int]:
        """Opening and closing in minutes; the sign at the door of the next day counts."""
        place = self.site.place
        first, last = place.weekend_hours if day.weekday() >= 5 else place.hours
        opens, closes = minutes_of(first), minutes_of(last)
        closes += DAY_MIN if closes <= opens else 0
        if closes > DAY_MIN and self.tariff.is_closed(day + timedelta(days=1)):
            closes = DAY_MIN
        return opens, closes

    def _try(self, resource: Resource, thing: Thing, day: date, start: int, duration: int) -> Booked | None:
        """A booking as it comes, unless the place is taken or nobody has thought of it yet."""
        dice = self._dice
        period = self._period(day, start, duration)
        if start + duration > self._doors(day)[1] or not self._free(resource, period):
            return None
        lead = self._lead()
        created = period[0] - lead
        if created > self.now - timedelta(minutes=1):
            return None
        purpose, team = self._party(resource, thing)
        chance = dice.random()
        guest = person = None
        if chance < 0.03:
            guest = dice.choice(GUESTS)
        else:
            person = self._somebody(day)
            if person is None:
                return None
        ending = self._ending(resource, day, period[0], purpose)
        if ending is Ending.NO_SHOW and not self._forgives(person):
            ending = Ending.PLAYED
        booked = self._book(resource, person, guest, day, start, duration, purpose, team, created)
        if 0.03 < chance < 0.07:
            booked.made_by = self._colleague().id
        booked.note = dice.choice(NOTES) or None
        if team > 1 and person is not None and dice.random() < 0.2:
            booked.invited = list({p.id: None for p in (self._streets.pick(dice) for _ in range(team - 1)) if p is not person})
        return self._live(booked, ending)

    def _forgives(self, person: Person | None) -> bool:
        """Nobody stays away so often that the house lets them book no more; those with a part always come."""
        if person is None or person.email in LIKED_BY or self._absent[person.id] >= MOST_ABSENT:
            return False
        self._absent[person.id] += 1
        return True

    def _lead(self) -> timedelta:
        """How long before they come people book: most a few days, some hours, some weeks."""
        dice = self._dice
        chance = dice.random()
        if chance < 0.25:
            return timedelta(minutes=dice.uniform(8, 500))
        if chance < 0.65:
            return timedelta(days=dice.expovariate(1 / 2.5) + 0.02)
        if chance < 0.9:
            return timedelta(days=min(dice.expovariate(1 / 12), 59))
        return timedelta(days=dice.uniform(0.1, 59))

    def _party(self, resource: Resource, thing: Thing) -> tuple[Purpose, int]:
        dice = self._dice
        chance = dice.random()
        if chance < ASKS and Purpose.CONTENT in thing.party:
            purpose = Purpose.CONTENT
        elif chance < 0.10 and (Purpose.TRAINING in thing.party):
            purpose = Purpose.TRAINING
        elif Purpose.MATCH in thing.party or thing.sport in ("tennis", "futsal", "table_tennis"):
            purpose = Purpose.MATCH
        elif thing.sport in ("meeting", "recovery"):
            purpose = Purpose.SOCIAL
        else:
            purpose = Purpose.WORKOUT
        fewest, most = resource.people.get(purpose, (1, resource.capacity))
        if purpose is Purpose.MATCH:
            return purpose, most if dice.random() < 0.75 else dice.randint(fewest, most)
        return purpose, dice.choice([n for n in (1, 1, 1, 2, 2, 3, 4) if fewest <= n <= most] or [fewest])

    def _somebody(self, day: date) -> Person | None:
        """Somebody who does not play elsewhere on that day."""
        for _ in range(4):
            person = self._streets.pick(self._dice)
            if (person.id, day) not in self._busy_people:
                self._busy_people.add((person.id, day))
                return person
        return None

    def _colleague(self) -> Person:
        return self._dice.choice(self._staff)

    def _ending(self, resource: Resource, day: date, starts_at: datetime, purpose: Purpose) -> Ending:
        chance = self._dice.random()
        if purpose is Purpose.CONTENT and chance < 0.3:
            return Ending.DECLINED
        wet = resource.indoor is False and self._weather.rains(self.site.place.city, day) and starts_at < self.now
        if wet and chance < RAINED_OFF and self.site.house.weather_refund:
            return Ending.RAINED_OFF
        if chance < EXPIRED:
            return Ending.EXPIRED
        if chance < EXPIRED + CANCELLED:
            return Ending.CANCELLED
        if chance < EXPIRED + CANCELLED + NO_SHOW:
            return Ending.NO_SHOW
        return Ending.PLAYED

    # --- making a booking

    def _period(self, day: date, start: int, duration: int) -> tuple[datetime, datetime]:
        midnight = datetime.combine(day, time(), self.site.tz)
        # Wall clock first, then UTC: the venue's hours are those on its wall.
        starts_at = (midnight + timedelta(minutes=start)).astimezone(UTC)
        return starts_at, starts_at + timedelta(minutes=duration)

    def _free(self, resource: Resource, period: tuple[datetime, datetime]) -> bool:
        first = period[0] - timedelta(minutes=resource.buffer_before_min)
        last = period[1] + timedelta(minutes=resource.buffer_after_min)
        return not any(
            a < last and first < b for id in self._claims[resource.id] for a, b in (*self._taken[id], *self._blocked[id])
        )

    def _book(
        self,
        resource: Resource,
        person: Person | None,
        guest: str | None,
        day: date,
        start: int,
        duration: int,
        purpose: Purpose,
        team: int,
        created: datetime,
    ) -> Booked:
        starts_at, ends_at = self._period(day, start, duration)
        created = max(created.replace(microsecond=0), self.world.opened_at)
        parts = self.tariff.parts(resource.id, day, start, duration, purpose, team)
        price = sum(minor for _, _, minor, _ in parts)
        return Booked(
            id_at(self._dice, created),
            self.site,
            resource,
            person,
            guest,
            day,
            start,
            duration,
            purpose,
            team,
            starts_at,
            ends_at,
            created,
            self._colleague().id if person is None else person.id,
            PayWith.DESK if person is None else PayWith(self._dice.choice(self.site.house.pay)),
            price,
            self.tariff.lines(resource.id, parts),
            self.tariff.tax(price),
            self._claims[resource.id],
        )

    def _forget_before(self, day: date) -> None:
        since = datetime.combine(day, time(), self.site.tz) - timedelta(hours=6)
        for id, taken in self._taken.items():
            self._taken[id] = [t for t in taken if t[1] > since]

    # --- what becomes of it

    def _live(self, b: Booked, ending: Ending) -> Booked | None:
        """Writes the booking's history up to now and keeps its place; None when somebody else has it."""
        self._write_history(b, ending)
        if b.status in (_S.CANCELLED, _S.EXPIRED, _S.DECLINED):
            return b
        if not self._free(b.resource, (b.starts_at, b.ends_at)):
            return None
        for id in b.claimed:  # also when its claim is long released: what happened, happened there
            self._taken[id].append(b.claim)
        return b

    def _write_history(self, b: Booked, ending: Ending) -> None:
        staff_made = b.person is None or b.made_by != b.person.id
        by, actor = b.made_by, _W.STAFF if staff_made else _W.CUSTOMER
        if b.purpose is Purpose.CONTENT and not staff_made:
            if not self._approved(b, ending):
                return
        else:
            b.step(b.created_at, _A.HOLD, _S.PAYMENT_PENDING, actor, by)
            b.hold_expires_at = b.created_at + timedelta(minutes=10)
        if ending in (Ending.EXPIRED, Ending.HELD):
            if b.hold_expires_at is not None and b.hold_expires_at <= self.now:
                b.step(b.hold_expires_at, _A.EXPIRE, _S.EXPIRED, _W.HOUSE, None)
                b.hold_expires_at = b.pay_with = None
            elif ending is Ending.EXPIRED:
                self._confirm(b, by)
            else:
                b.pay_with = None
        else:
            self._confirm(b, by)
            self._after_confirmation(b, ending)

    def _approved(self, b: Booked, ending: Ending) -> bool:
        """A request for approval: its answer, when there is one yet."""
        b.step(b.created_at, _A.REQUEST_APPROVAL, _S.PENDING_APPROVAL, _W.CUSTOMER, b.account_id)
        colleague = self._colleague().id
        answer = b.created_at + (b.starts_at - b.created_at) * self._dice.uniform(0.05, 0.4)
        answer = answer.replace(microsecond=0)
        if ending is Ending.ASKING and b.starts_at <= self.now:
            b.step(b.starts_at, _A.DECLINE, _S.DECLINED, _W.HOUSE, None, "Nobody answered before the start")
            b.pay_with = None
            return False
        if answer > self.now or ending is Ending.ASKING:
            b.pay_with = None
            return False
        if ending is Ending.DECLINED:
            b.step(answer, _A.DECLINE, _S.DECLINED, _W.STAFF, colleague, self._dice.choice(DECLINED))
            b.pay_with = None
            return False
        b.step(answer, _A.APPROVE, _S.PAYMENT_PENDING, _W.STAFF, colleague)
        b.hold_expires_at = answer + timedelta(minutes=10)
        return True

    def _confirm(self, b: Booked, by: UUID | None) -> None:
        last = b.steps[-1].at
        soonest = min((b.starts_at - last).total_seconds() * 0.8, 400)
        b.confirmed_at = min(last + timedelta(seconds=int(self._dice.uniform(0.1, 1) * soonest)), self.now)
        b.step(b.confirmed_at, _A.CONFIRM, _S.UPCOMING, _W.HOUSE, by)
        b.hold_expires_at = None

    def _after_confirmation(self, b: Booked, ending: Ending) -> None:
        assert b.confirmed_at is not None  # noqa: S101 - told to the type checker
        if ending in (Ending.CANCELLED, Ending.RAINED_OFF):
            at = b.confirmed_at + (b.starts_at - b.confirmed_at) * self._dice.uniform(0.1, 0.98)
            if ending is Ending.RAINED_OFF:
                at = max(b.confirmed_at, b.starts_at - timedelta(minutes=self._dice.randrange(30, 180)))
            at = at.replace(microsecond=0)
            if at <= self.now:
                self._cancel(b, max(at, b.confirmed_at), rain=ending is Ending.RAINED_OFF)
                return
        self._pass_time(b, ending)

    def _cancel(self, b: Booked, at: datetime, *, rain: bool) -> None:
        colleague = self._colleague().id
        why = "Rain: the court is under water" if rain else self._dice.choice(WHY_CANCELLED)
        by_staff = rain or b.person is None
        b.step(at, _A.CANCEL, _S.CANCELLED, _W.STAFF if by_staff else _W.CUSTOMER, colleague if by_staff else b.account_id, why)
        notice = b.starts_at - at
        tiers = self.site.book.policies.cancellation
        pct = 100 if rain else next((t.refund_pct for t in tiers if notice >= timedelta(hours=t.before_h)), 0)
        back = Money(b.price, self.tariff.currency).percent(pct).amount
        if back:
            b.returned = (at, back, why or "cancel")

    def _pass_time(self, b: Booked, ending: Ending) -> None:
        if b.starts_at > self.now:
            return
        b.step(b.starts_at, _A.BEGIN, _S.IN_PROGRESS, _W.HOUSE, None)
        if ending is Ending.NO_SHOW:
            at = b.starts_at + timedelta(minutes=15)
            if at <= self.now:
                b.step(at, _A.MARK_NO_SHOW, _S.NO_SHOW, _W.STAFF, self._colleague().id)
                return
        if b.pay_with is PayWith.DESK and ending is not Ending.OWES:
            b.settled_at = min(b.starts_at + timedelta(minutes=self._dice.randrange(1, 10)), self.now)
        if b.ends_at <= self.now:
            b.step(b.ends_at, _A.COMPLETE, _S.COMPLETED, _W.HOUSE, None)

    # --- today

    def _scripted(self, day: date, n: int) -> Iterator[Booked]:
        """Today's sheet is never empty: the scenes with a script, a party that is in, a hold that ticks, a question."""
        made: Iterable[Scene] = scenes(self.world, self.site, day, n)
        names = {r.name: r for r in self.site.book.resources}
        for scene in made:
            resource = names[scene.place]
            period = self._period(day, scene.start, scene.duration)
            opens, closes = self._doors(day)
            if scene.start < opens or scene.start + scene.duration > closes or not self._free(resource, period):
                continue
            created = min(period[0] - timedelta(hours=scene.booked_h_before), self.now - timedelta(minutes=4))
            if scene.ending is Ending.HELD and period[0] > self.now:
                created = self.now - timedelta(minutes=self._dice.randrange(2, 5))
            person = None if scene.email is None else self.world.person(scene.email)
            if person is not None:
                self._busy_people.add((person.id, day))
            booked = self._book(
                resource, person, scene.guest, day, scene.start, scene.duration, scene.purpose, scene.team, created
            )
            booked.note = scene.note
            booked.invited = [self.world.person(email).id for email in scene.invited]
            booked.addresses = scene.addresses
            booked.answers = {
                self.world.person(email).id: said
                for emails, said in ((scene.comes, InviteeStatus.ACCEPTED), (scene.stays_away, InviteeStatus.DECLINED))
                for email in emails
            }
            if scene.pay_with is not None:
                booked.pay_with = scene.pay_with
            lived = self._live(booked, scene.ending)
            if lived is not None:
                yield lived
        if n == 0:
            yield from self._running_now(day)
        if not self._ticking:
            yield from self._a_hold(day)

    def _running_now(self, day: date) -> Iterator[Booked]:
        """Somebody is in at this moment, wherever doors are open."""
        local = self.now.astimezone(self.site.tz)
        at = local.hour * 60 + local.minute
        opens, closes = self._doors(day)
        for resource in self.site.book.resources[:3]:
            start = max(opens, (at - self._dice.randrange(10, 40)) // 15 * 15)
            thing = self.site.things[resource.id]
            duration = max(thing.usual)
            if start <= at < start + duration <= closes:
                booked = self._soon(resource, thing, day, start, duration, Ending.PLAYED, timedelta(days=1, minutes=17))
                if booked is not None:
                    yield booked

    def _a_hold(self, day: date) -> Iterator[Booked]:
        """One hold that ticks: as soon as there is time today, else tomorrow."""
        local = self.now.astimezone(self.site.tz)
        opens, closes = self._doors(day)
        first = max(local.hour * 60 + local.minute + 20, opens) if local.date() == day else opens
        for start in range(-(-first // 15) * 15, closes, 15):
            resource = self._dice.choice(self.site.book.resources)
            thing = self.site.things[resource.id]
            if start + thing.usual[0] <= closes:
                booked = self._soon(resource, thing, day, start, thing.usual[0], Ending.HELD, None)
                if booked is not None:
                    self._ticking = True
                    yield booked
                    return

    def _soon(
        self, resource: Resource, thing: Thing, day: date, start: int, duration: int, ending: Ending, before: timedelta | None
    ) -> Booked | None:
        period = self._period(day, start, duration)
        person = self._somebody(day)
        if person is None or not self._free(resource, period):
            return None
        created = self.now - timedelta(minutes=self._dice.randrange(1, 5)) if before is None else period[0] - before
        purpose, team = self._party(resource, thing)
        if purpose is Purpose.CONTENT:
            purpose, team = Purpose.TRAINING, 1
        booked = self._book(resource, person, None, day, start, duration, purpose, team, created)
        return self._live(booked, ending)
