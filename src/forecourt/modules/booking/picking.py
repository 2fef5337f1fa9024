"""The picker of a day, a length and a start: for a guest who books and for one who moves a booking."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID

import msgspec

from forecourt.kernel.clock import Clock
from forecourt.kernel.context import Context
from forecourt.kernel.errors import Problem
from forecourt.kernel.period import Period
from forecourt.kernel.web.views import Choice, DayView, Link
from forecourt.modules.booking.contract import Availability, Slot
from forecourt.modules.booking.grid import (
    DAYS_SHOWN,
    Drawing,
    Look,
    Part,
    Taken,
    day_views,
    free_by_day,
    grid_view,
    length_to_show,
    lengths_offered,
    part_to_show,
    parts_of_day,
    starts_near,
)
from forecourt.modules.booking.guest_views import Speaker, VenueLook, detail_of
from forecourt.modules.booking.service.pricing import Plan, plan
from forecourt.modules.booking.showing import Showing
from forecourt.modules.venues.contract import Purpose, Resource, VenueBook
from forecourt.modules.venues.contract.calendar import day_bounds, local

MOST_INSTEAD = 4
NEARBY = timedelta(hours=4)
"""Another start on the same place is no alternative when it is further away."""


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """Where the picker stands: its own address, what may be picked, and for whom.

    `own` is the claim of the booking that is being moved: it does not stand in its own way.
    """

    base: str
    book: VenueBook
    resources: list[Resource]
    purpose: Purpose = Purpose.WORKOUT
    own: Period | None = None
    opens_at: datetime | None = None
    """The part of the day that is open first is the one of this instant."""


class Picked(msgspec.Struct, frozen=True, kw_only=True):
    """What the picker shows, and the chosen start when it is free."""

    look: VenueLook
    day: date
    today: date
    plan: Plan | None
    near: list[Choice]


class Picker:
    def __init__(self, showing: Showing, clock: Clock) -> None:
        self.showing = showing
        self.clock = clock

    async def pick(self, ctx: Context, say: Speaker, target: Target, look: Look) -> Picked:
        """Raises Invalid for dates beyond any calendar."""
        book = target.book
        now = self.clock.now()
        today = local(book, now).date()
        shown = [r for r in target.resources if look.sport is None or r.sport == look.sport] or target.resources
        length_min = length_to_show(shown, look.duration_min)
        people = _party_size(shown, target.purpose, look.team_size)
        day = _day_shown(book, look, today)
        first = today if day - today < timedelta(days=DAYS_SHOWN) else day
        last = first + timedelta(days=DAYS_SHOWN - 1)
        found = await self.showing.free(ctx, book, shown, first, last, length_min, people, target.purpose, target.own)
        free = free_by_day(found)
        if look.date is None and look.start is None:
            day = _first_worth_seeing(found, free, day, now)
        slots = _slots_of(found, day)
        bounds = day_bounds(book, day)
        taken = [
            claim
            for claim in await self.showing.taken(ctx, book, shown, Period(bounds.start, bounds.end + timedelta(hours=12)))
            if target.own is None or (claim.start, claim.end) != (target.own.start, target.own.end)
        ]
        settled = msgspec.structs.replace(look, date=day, duration_min=length_min, team_size=look.team_size)
        chosen = _chosen_slot(slots, look)
        drawn = _Draw(say, target, settled, shown, slots, taken, day, today, now, length_min, people, chosen, free)
        resource = None if chosen is None or look.resource_id is None else book.resource(look.resource_id)
        planned = None
        near: list[Choice] = []
        if chosen is not None and resource is not None:
            planned = _plan(book, resource, chosen.start, length_min, target.purpose, people)
            near = [
                Choice(label=say.time(s.start), href=settled.address(target.base, start=s.start), chosen=s is chosen)
                for s in starts_near(slots[resource.id], chosen.start)
            ]
        return Picked(look=drawn.look_view(), day=day, today=today, plan=planned, near=near)


def _plan(
    book: VenueBook, resource: Resource, start: datetime, length_min: int, purpose: Purpose, people: int | None
) -> Plan | None:
    try:
        return plan(book, resource, start, length_min, purpose, people)
    except Problem:
        return None


def _party_size(resources: Sequence[Resource], purpose: Purpose, wanted: int | None) -> int | None:
    """None lets every place take its own fewest; a wish that fits nowhere is no wish."""
    bounds = [r.people.get(purpose, (1, r.capacity)) for r in resources]
    return wanted if wanted is not None and any(low <= wanted <= high for low, high in bounds) else None


def _day_shown(book: VenueBook, look: Look, today: date) -> date:
    if look.start is not None:
        return max(local(book, look.start).date(), today)
    return max(look.date, today) if look.date is not None else today


def _first_worth_seeing(found: Availability, free: Mapping[date, int], day: date, now: datetime) -> date:
    """Today while something is free today, else the next day on which something is."""
    return next((d.date for d in found.days if d.date >= day and free.get(d.date, 0)), day)


def _slots_of(found: Availability, day: date) -> dict[UUID, list[Slot]]:
    return next(({r.resource_id: r.slots for r in d.resources} for d in found.days if d.date == day), {})


def _chosen_slot(slots: Mapping[UUID, Sequence[Slot]], look: Look) -> Slot | None:
    if look.resource_id is None or look.start is None:
        return None
    return next((s for s in slots.get(look.resource_id, ()) if s.start == look.start), None)


class _Draw:
    """Everything that is known when the picker is drawn."""

    def __init__(
        self,
        say: Speaker,
        target: Target,
        look: Look,
        shown: list[Resource],
        slots: Mapping[UUID, Sequence[Slot]],
        taken: Sequence[Taken],
        day: date,
        today: date,
        now: datetime,
        length_min: int,
        people: int | None,
        chosen: Slot | None,
        free: Mapping[date, int],
    ) -> None:
        self.say, self.target, self.look, self.shown = say, target, look, shown
        self.slots, self.taken, self.day, self.today, self.now = slots, taken, day, today, now
        self.length_min, self.people, self.chosen, self.free = length_min, people, chosen, free
        self.book = target.book
        self.parts = parts_of_day(self.book, day, now)
        starts = [s.start for found in slots.values() for s in found]
        self.part = part_to_show(self.parts, look.part, look.start or target.opens_at, starts)

    def href(self, **changes: object) -> str:
        return self.look.address(self.target.base, **changes)

    def look_view(self) -> VenueLook:
        say, look = self.say, self.look
        window = self.parts.get(self.part) or Period(self.now, self.now + timedelta(minutes=30))
        in_part = {r: [s for s in found if window.start <= s.start < window.end] for r, found in self.slots.items()}
        picked = None
        if self.chosen is not None and look.resource_id is not None:
            picked = (look.resource_id, self.chosen.start)
        drawing = Drawing(
            self.book, window, self.length_min, self.now, picked, lambda r, at: self.href(resource_id=r, start=at, part=self.part)
        )
        grid = grid_view(
            drawing,
            self.shown,
            in_part,
            self.taken,
            label=say.t("look.grid", day=say.date(self.day)),
            length=say.length(self.length_min),
            details={r.id: detail_of(say, r, self.shown) for r in self.shown},
            say_rate=lambda rate: say.t("look.per_hour", price=say.money(rate, tag=True)),
        )
        lost, instead = self._lost()
        nothing = not any(in_part.values())
        view = VenueLook(
            here=self.href(part=look.part),
            base=self.target.base,
            day=self.day.isoformat(),
            heading=say.t("look.heading"),
            lengths=self._lengths(),
            parts=self._parts(),
            sports=self._sports(),
            people=self.people or min((r.people.get(self.target.purpose, (1, 1))[0] for r in self.shown), default=1),
            most_people=max((r.people.get(self.target.purpose, (1, r.capacity))[1] for r in self.shown), default=1),
            fields=_pairs(look),
            days=self._days(),
            grid=grid,
            lost=lost,
            instead=instead,
            closed="" if self.parts else say.t("look.closed", day=say.date(self.day)),
            full=say.t("look.full", length=say.length(self.length_min)) if nothing and self.parts else "",
        )
        return self._with_next_day(view) if nothing else view

    def _with_next_day(self, view: VenueLook) -> VenueLook:
        later = next((d for d, n in sorted(self.free.items()) if n and d != self.day and d > self.day), None)
        if later is None:
            return msgspec.structs.replace(view, next_free_text=self.say.t("look.no_day"))
        words = self.say.date(later)
        return msgspec.structs.replace(
            view,
            next_free_text=self.say.t("look.next_day", day=words),
            next_free_label=self.say.t("look.go_day", day=words),
            next_free_href=self.href(date=later, resource_id=None, start=None, part=None),
        )

    def _lengths(self) -> list[Choice]:
        return [
            Choice(label=self.say.length(m), href=self.href(duration_min=m), chosen=m == self.length_min)
            for m in lengths_offered(self.shown, self.length_min)
        ]

    def _parts(self) -> list[Choice]:
        if len(self.parts) <= 2:  # one part is the whole day
            return []
        return [
            Choice(label=self.say.t(f"look.part.{part.value}"), href=self.href(part=part), chosen=part is self.part)
            for part in (Part.MORNING, Part.AFTERNOON, Part.EVENING, Part.DAY)
            if part in self.parts
        ]

    def _sports(self) -> list[Choice]:
        sports = sorted({r.sport for r in self.target.resources if r.sport is not None})
        if len(sports) < 2:
            return []
        every = Choice(label=self.say.t("look.everything"), href=self._sport(None), chosen=self.look.sport is None)
        return [
            every,
            *(Choice(label=self.say.known("sport", s), href=self._sport(s), chosen=self.look.sport == s) for s in sports),
        ]

    def _sport(self, sport: str | None) -> str:
        return self.href(sport=sport, resource_id=None, start=None, duration_min=None)

    def _days(self) -> tuple[DayView, ...]:
        return day_views(
            self.book,
            sorted(self.free),
            self.free,
            chosen=self.day,
            today=self.today,
            href=lambda day: self.href(date=day, resource_id=None, start=None),
            say=self.say.t("look.today"),
        )

    def _lost(self) -> tuple[str, list[Link]]:
        """What to say, and what to offer, when the chosen start is not free any more."""
        look = self.look
        resource = None if look.resource_id is None else self.book.resource(look.resource_id)
        if resource is None or look.start is None or self.chosen is not None or look.start < self.now:
            return "", []
        length = timedelta(minutes=self.length_min)
        gone = any(t.resource_id == resource.id and t.start < look.start + length and t.end > look.start for t in self.taken)
        if not gone:
            return "", []
        return (
            self.say.t("taken.sentence", place=resource.name, when=self.say.time(look.start)),
            [
                Link(
                    self.say.t("taken.option", when=self.say.time(slot.start), place=place.name),
                    self.href(resource_id=place.id, start=slot.start),
                )
                for place, slot in self._nearest(resource, look.start)
            ],
        )

    def _nearest(self, resource: Resource, start: datetime) -> list[tuple[Resource, Slot]]:
        """The same start elsewhere first, then the nearest on the same place."""
        same = [
            (r, s)
            for r in self.shown
            if r.id != resource.id and r.sport == resource.sport
            for s in self.slots.get(r.id, ())
            if s.start == start
        ]
        near = sorted(
            (s for s in self.slots.get(resource.id, ()) if abs(s.start - start) <= NEARBY),
            key=lambda s: (abs(s.start - start), s.start),
        )
        return [*same[: MOST_INSTEAD // 2], *((resource, s) for s in near)][:MOST_INSTEAD]


def _pairs(look: Look) -> list[Link]:
    """The look as hidden fields: name and value."""
    return [Link(name, value) for name, value in parse_qsl(urlsplit(look.address("")).query)]
