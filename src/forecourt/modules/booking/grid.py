"""One day of a venue as guests see it: free, taken, held, closed, on columns of half an hour. Pure: values in, values out.

A column stands for the first free start within its half hour, so places booked from every quarter of an hour fit the same
grid; `starts_near` offers the others. Times are the venue's wall clock; columns are counted in elapsed time, so the night in
which the clocks change has an hour more or less and nothing else is different.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from enum import StrEnum
from uuid import UUID

import msgspec

from forecourt.kernel.money import Money
from forecourt.kernel.period import Period
from forecourt.kernel.web.addresses import with_query
from forecourt.kernel.web.views import DayView, GridBand, GridCell, GridRow, GridTime, GridView, SlotState
from forecourt.modules.booking.contract import Availability, Instant, Slot
from forecourt.modules.venues.contract import DurationMin, People, Per, Purpose, Resource, Tag, VenueBook
from forecourt.modules.venues.contract.calendar import local, open_periods, wall, zone
from forecourt.modules.venues.contract.tariff import price

STEP = timedelta(minutes=30)
STEP_MIN = 30
DAYS_SHOWN = 14
NOON_MIN, EVENING_MIN = 12 * 60, 17 * 60
MOST_LENGTHS = 4
A_CHOICE = 4
"""A part of the day with fewer different starts is not opened first."""
USUAL_LENGTHS_MIN = (60, 90, 120, 30, 45, 180, 150)
"""Which lengths are offered first when a place allows many."""


Day = date


class Part(StrEnum):
    """A part of the day. Morning ends at 12:00, the evening begins at 17:00 and ends when the venue closes."""

    MORNING = "morning"
    AFTERNOON = "afternoon"
    EVENING = "evening"
    DAY = "day"


class Look(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a guest looks at, as it stands in the address: the choice survives signing in, links and reloads."""

    date: Day | None = None
    duration_min: DurationMin | None = None
    team_size: People | None = None
    part: Part | None = None
    sport: Tag | None = None
    resource_id: UUID | None = None
    start: Instant | None = None

    def address(self, base: str, **changes: object) -> str:
        """The address of `base` with this look, changed as said; None takes a value away."""
        return with_query(base, {**{name: getattr(self, name) for name in self.__struct_fields__}, **changes})


class Taken(msgspec.Struct, frozen=True):
    """A stretch of one resource that is not free. `state` is TAKEN, HELD or CLOSED (a block)."""

    resource_id: UUID
    start: datetime
    end: datetime
    state: SlotState


# ------------------------------------------------------------------------------------------------------------ the window


def parts_of_day(book: VenueBook, day: date, now: datetime) -> dict[Part, Period]:
    """The parts of `day` in which the venue is open, from the present hour on; empty when it is closed or over."""
    opened = open_periods(book, day)
    if not opened:
        return {}
    tz = zone(book.venue.timezone)
    this_hour = now - timedelta(seconds=now.timestamp() % 3600)
    first, last = max(_floor(min(p.start for p in opened)), this_hour), _ceil(max(p.end for p in opened))
    noon, evening = wall(tz, day, NOON_MIN), wall(tz, day, EVENING_MIN)
    bounds = {
        Part.MORNING: (first, min(last, noon)),
        Part.AFTERNOON: (max(first, noon), min(last, evening)),
        Part.EVENING: (max(first, evening), last),
        Part.DAY: (first, last),
    }
    return {part: Period(start, end) for part, (start, end) in bounds.items() if start < end}


def part_to_show(parts: Mapping[Part, Period], wanted: Part | None, about: datetime | None, starts: Iterable[datetime]) -> Part:
    """What was asked for, else the part of `about`, else the first in which there is a choice, else the whole day."""
    if wanted is not None and wanted in parts:
        return wanted
    free = set(starts)
    several = [part for part in (Part.MORNING, Part.AFTERNOON, Part.EVENING) if part in parts]
    for part in several:
        if about is not None and parts[part].start <= about < parts[part].end:
            return part
    for part in several:
        if sum(parts[part].start <= at < parts[part].end for at in free) >= A_CHOICE:
            return part
    return Part.DAY


def _floor(at: datetime) -> datetime:
    return at - timedelta(seconds=at.timestamp() % STEP.total_seconds())


def _ceil(at: datetime) -> datetime:
    floor = _floor(at)
    return floor if floor == at else floor + STEP


# -------------------------------------------------------------------------------------------------------------- the grid


class Drawing(msgspec.Struct, frozen=True):
    """What the cells of one grid have in common."""

    book: VenueBook
    window: Period
    duration_min: int
    now: datetime
    chosen: tuple[UUID, datetime] | None
    href: Callable[[UUID, datetime], str]

    @property
    def steps(self) -> int:
        return int((self.window.end - self.window.start) / STEP)

    def clock(self, at: datetime) -> str:
        return f"{local(self.book, at):%H:%M}"


def grid_view(
    drawing: Drawing,
    resources: Sequence[Resource],
    slots: Mapping[UUID, Sequence[Slot]],
    taken: Sequence[Taken],
    *,
    label: str,
    length: str,
    details: Mapping[UUID, str],
    say_rate: Callable[[Money], str],
    target: str = "",
) -> GridView:
    """The grid of `resources`. `slots`: the free starts by resource; `say_rate` words a price per hour."""
    rows = tuple(
        GridRow(str(r.id), r.name, details.get(r.id, ""), _cells(drawing, r, slots.get(r.id, ()), taken)) for r in resources
    )
    hours = [at for at in _columns(drawing) if local(drawing.book, at).minute == 0]
    first = drawing.window.start
    begun = drawing.window.start <= drawing.now < drawing.window.end
    return GridView(
        id="avail",
        label=label,
        steps=drawing.steps,
        dur=max(1, -(-drawing.duration_min // STEP_MIN)),
        length=length,
        times=tuple(GridTime(drawing.clock(at), int((at - first) / STEP)) for at in hours if at + STEP < drawing.window.end),
        rows=rows,
        bands=_bands(drawing, resources, say_rate),
        step_min=STEP_MIN,
        target=target,
        now_at=int((drawing.now - first) / STEP) if begun else None,
    )


def _columns(drawing: Drawing) -> list[datetime]:
    return [drawing.window.start + i * STEP for i in range(drawing.steps)]


def _cells(drawing: Drawing, resource: Resource, slots: Sequence[Slot], taken: Sequence[Taken]) -> tuple[GridCell, ...]:
    """From left to right: what is chosen, what is free, what is taken, what is closed, what is too short."""
    mine = [t for t in taken if t.resource_id == resource.id]
    opened = open_periods(drawing.book, local(drawing.book, drawing.window.start).date())
    by_column: dict[int, Slot] = {}
    for slot in slots:
        by_column.setdefault(int((slot.start - drawing.window.start) // STEP), slot)
    chosen_at, chosen = _chosen(drawing, resource, slots)
    if chosen is not None:
        by_column[chosen_at] = chosen
    cells: list[GridCell] = []
    at = 0
    while at < drawing.steps:
        slot = by_column.get(at)
        if slot is not None:
            cell = _free(drawing, resource, at, slot, is_mine=slot is chosen)
        else:
            cell = _other(drawing, at, _state_at(drawing, at, mine, opened))
            if cells and at not in by_column and _joins(cells[-1], cell):
                cell = msgspec.structs.replace(
                    cells[-1], len=cells[-1].len + 1, end=_end_clock(drawing, cells[-1].at + cells[-1].len + 1)
                )
                cells.pop()
        cells.append(cell)
        at = cell.at + cell.len
    return tuple(cells)


def _chosen(drawing: Drawing, resource: Resource, slots: Sequence[Slot]) -> tuple[int, Slot | None]:
    if drawing.chosen is None or drawing.chosen[0] != resource.id:
        return -1, None
    slot = next((s for s in slots if s.start == drawing.chosen[1]), None)
    return (-1, None) if slot is None else (int((slot.start - drawing.window.start) // STEP), slot)


def _free(drawing: Drawing, resource: Resource, at: int, slot: Slot, *, is_mine: bool) -> GridCell:
    span = max(1, -(-drawing.duration_min // STEP_MIN)) if is_mine else 1
    column = drawing.window.start + at * STEP
    return GridCell(
        at=at,
        len=min(span, drawing.steps - at),
        start=drawing.clock(slot.start),
        end=drawing.clock(slot.end),
        state=SlotState.MINE if is_mine else SlotState.FREE,
        price=slot.price,
        href=drawing.href(resource.id, slot.start),
        label="" if slot.start == column else f"{local(drawing.book, slot.start):%H:%M}",
        hour=local(drawing.book, column).minute == 0,
    )


def _state_at(drawing: Drawing, at: int, taken: Sequence[Taken], opened: Sequence[Period]) -> SlotState:
    column = Period(drawing.window.start + at * STEP, drawing.window.start + (at + 1) * STEP)
    if column.end <= drawing.now:
        return SlotState.SHORT
    for claim in taken:
        if claim.start < column.end and claim.end > column.start:
            return claim.state
    return SlotState.SHORT if any(p.overlaps(column) for p in opened) else SlotState.CLOSED


def _other(drawing: Drawing, at: int, state: SlotState) -> GridCell:
    column = drawing.window.start + at * STEP
    hour = local(drawing.book, column).minute == 0
    return GridCell(at=at, start=drawing.clock(column), end=_end_clock(drawing, at + 1), state=state, hour=hour)


def _end_clock(drawing: Drawing, step: int) -> str:
    return drawing.clock(drawing.window.start + step * STEP)


def _joins(before: GridCell, cell: GridCell) -> bool:
    """Neighbours that are taken alike are one cell; columns that are only too short stay apart, for their hour lines."""
    return before.state is cell.state and cell.state in (SlotState.TAKEN, SlotState.HELD, SlotState.CLOSED)


def _bands(drawing: Drawing, resources: Sequence[Resource], say_rate: Callable[[Money], str]) -> tuple[GridBand, ...]:
    """Prices per hour under the columns, when every place shown costs the same at every time."""
    found = {_rates(drawing, resource) for resource in resources}
    rates = found.pop() if len(found) == 1 else None
    if not rates:
        return ()
    highest = max(rate.amount for _, _, rate in rates)
    several = len({rate.amount for _, _, rate in rates}) > 1
    return tuple(GridBand(say_rate(rate), at, end - at, several and rate.amount == highest) for at, end, rate in rates)


def _rates(drawing: Drawing, resource: Resource) -> tuple[tuple[int, int, Money], ...]:
    """Runs of columns with one price per hour; empty when some part is priced otherwise."""
    fewest = resource.people.get(Purpose.WORKOUT, (1, 1))[0]
    runs: list[tuple[int, int, Money]] = []
    for segment in price(drawing.book, resource, drawing.window, purpose=Purpose.WORKOUT, team_size=fewest):
        rule = segment.rule
        if rule is None or rule.per is not Per.HOUR:
            return ()
        seconds = int((segment.period.end - segment.period.start).total_seconds())
        rate = segment.amount.times(3600, seconds)
        start = int((segment.period.start - drawing.window.start) / STEP)
        end = int((segment.period.end - drawing.window.start) / STEP)
        if start < end:
            runs.append((start, end, rate))
    return tuple(runs)


# ------------------------------------------------------------------------------------------------------- around the grid


def day_views(
    book: VenueBook,
    days: Sequence[date],
    free: Mapping[date, int],
    chosen: date,
    today: date,
    href: Callable[[date], str],
    say: str,
) -> tuple[DayView, ...]:
    """The strip of days. `free` counts free starts; the bar compares them with the freest day shown. `say` is today's word."""
    most = max(free.values(), default=0)
    return tuple(
        DayView(
            day,
            href(day),
            0 if not most else -(-5 * free.get(day, 0) // most),
            chosen=day == chosen,
            closed=not open_periods(book, day),
            label=say if day == today else "",
        )
        for day in days
    )


def free_by_day(found: Availability) -> dict[date, int]:
    return {day.date: sum(len(r.slots) for r in day.resources) for day in found.days}


def lengths_offered(resources: Iterable[Resource], chosen: int | None) -> list[int]:
    """A few lengths, the usual ones first to be taken, ascending; the chosen one is always there."""
    allowed = {length for resource in resources for length in resource.durations_min}
    ranked = [m for m in USUAL_LENGTHS_MIN if m in allowed] + sorted(allowed - set(USUAL_LENGTHS_MIN))
    few = ranked[:MOST_LENGTHS]
    if chosen in allowed and chosen not in few:
        few = [*few[:-1], chosen]
    return sorted(few)


def length_to_show(resources: Sequence[Resource], wanted: int | None) -> int:
    """The length asked for if some place allows it, else 90 minutes for courts, 60 for the rest, else the shortest."""
    allowed = {length for resource in resources for length in resource.durations_min}
    if wanted in allowed:
        return wanted
    first = (90, 60) if any(r.sport in ("padel", "tennis") for r in resources) else (60,)
    return next((m for m in first if m in allowed), min(allowed, default=60))


def starts_near(slots: Sequence[Slot], chosen: datetime, within: timedelta = STEP) -> list[Slot]:
    """Free starts less than `within` away, the chosen one included, ascending."""
    return [s for s in slots if abs(s.start - chosen) < within]
