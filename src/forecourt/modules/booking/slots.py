"""The availability engine: which starts are free, with their price, as objects or as bytes.

How it works. For one venue-local date, duration and *profile* (everything of a resource that decides hours, grid and
price), the starts that opening hours allow are the same for every resource with that profile. They form a `DayPlan`: sorted
instants, and the JSON of all their slots in one piece of bytes with the offset of each. A plan is computed once per version
of the venue's book and kept in a bounded cache.

What differs between resources is what is taken. A claim `[b, e)` is stored with its buffers. A candidate of length `d` with
buffers `before` and `after` overlaps it exactly when `b − d − after < start < e + before`, so each claim strikes out one run
of neighbouring starts, found by two binary searches; the free runs between are slices of the plan's bytes. No slot becomes
an object unless a caller wants objects, and nothing is rounded to a grid, so claims may begin and end at any second.

The grid is the wall clock: starts lie on multiples of `slot_min` after midnight as the venue's clock shows them. In the
night the clocks go back, the hour that comes twice has its starts twice; in the other night the missing hour has none.

Claims and combined resources. A claim on a resource is stored on itself and on all its parts, parts of parts included
(`claimed_ids`), so two claims clash exactly when they share a row: full court against half court on the half's row, and two
different wholes on a part they share. The rows that make a resource busy are therefore those of `claimed_ids` as well: the
caller passes their union as `busy`.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from threading import Lock
from uuid import UUID

import msgspec

from forecourt.kernel.errors import Invalid
from forecourt.kernel.money import Money
from forecourt.kernel.period import Period
from forecourt.modules.booking.contract import (
    MAX_AVAILABILITY_DAYS,
    Alternative,
    Availability,
    AvailabilityDay,
    ResourceSlots,
    Slot,
)
from forecourt.modules.booking.rules import with_added_tax
from forecourt.modules.venues.contract import OrganisationStatus, PriceRule, Purpose, Resource, VenueBook, parts_of
from forecourt.modules.venues.contract.calendar import DAY, local, open_between, wall, zone
from forecourt.modules.venues.contract.tariff import Tariff, ranked_rules

Busy = Sequence[tuple[datetime, datetime]]
"""Claimed time of one resource, `[start, end)` with buffers included, aware, in any order; may overlap."""

MAX_PLAN_BYTES = 48 * 1024 * 1024
"""What all day plans of a process may take together, by estimate."""
_SLOT_BYTES = 320
"""Roughly what one slot takes in a plan: its JSON, its instant, its offset and its price."""
MAX_PROFILES = 8_192
_FIRST_YEAR, _LAST_YEAR = 2000, 2199

_encoder = msgspec.json.Encoder()


class DayPlan(msgspec.Struct, frozen=True):
    """All starts that opening hours allow on one date for one profile, ascending, and their slots ready to send."""

    starts: tuple[float, ...]
    """Unix seconds."""
    prices: tuple[Money, ...]
    blob: bytes
    """The JSON of the slots, a comma after each."""
    offsets: tuple[int, ...]
    """Where in `blob` each slot begins, and at last its length."""


class _Profile(msgspec.Struct, frozen=True):
    """What of a resource and a party decides its plan. Resources with equal profiles share plans."""

    slot_min: int
    duration_min: int
    team_size: int
    ranked: tuple[PriceRule, ...]
    key: tuple[object, ...]


_ProfileKey = tuple[UUID, int, UUID, int, Purpose, int]


class _Plans:
    """Day plans by key, least recently used thrown out first, within a budget of bytes. Safe to share between threads."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._kept: OrderedDict[tuple[object, ...], DayPlan] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()
        self.profiles: OrderedDict[_ProfileKey, _Profile] = OrderedDict()
        """By version of a book, resource, length and party; those made first go first."""

    def get(self, key: tuple[object, ...]) -> DayPlan | None:
        with self._lock:
            plan = self._kept.get(key)
            if plan is not None:
                self._kept.move_to_end(key)
            return plan

    def keep(self, key: tuple[object, ...], plan: DayPlan) -> None:
        with self._lock:
            if key not in self._kept:
                self._bytes += size_of(plan)
            self._kept[key] = plan
            while self._bytes > self._max_bytes:
                self._bytes -= size_of(self._kept.popitem(last=False)[1])

    def keep_profile(self, key: _ProfileKey, profile: _Profile) -> _Profile:
        with self._lock:
            self.profiles[key] = profile
            if len(self.profiles) > MAX_PROFILES:
                self.profiles.popitem(last=False)
        return profile

    def clear(self) -> None:
        with self._lock:
            self.profiles.clear()
            self._kept.clear()
            self._bytes = 0


def size_of(plan: DayPlan) -> int:
    """Bytes, by estimate."""
    return 512 + _SLOT_BYTES * len(plan.starts)


plans = _Plans(MAX_PLAN_BYTES)


# ----------------------------------------------------------------------------------------------------------------- grid


def claimed_ids(book: VenueBook, resource: Resource) -> list[UUID]:
    """The resources on which a claim of this one is stored: itself and all its parts, sorted, so that claims never deadlock."""
    if not resource.part_ids:
        return [resource.id]
    return sorted({resource.id} | parts_of(resource, book.resource))


def _grid(book: VenueBook, day: date, slot_min: int) -> Iterator[datetime]:
    """Every instant of the local day whose wall clock is on the grid, ascending, in UTC."""
    tz = zone(book.venue.timezone)
    at, end = wall(tz, day, 0), wall(tz, day, 1440)
    if (end - at) == DAY:
        for minute in range(0, 1440, slot_min):
            yield at + timedelta(minutes=minute)
        return
    while at < end:  # the clocks change: ask the wall at every minute
        shown = at.astimezone(tz)
        if (shown.hour * 60 + shown.minute) % slot_min == 0:
            yield at
        at += timedelta(minutes=1)


# ---------------------------------------------------------------------------------------------------------------- plans


def _profile(book: VenueBook, resource: Resource, duration_min: int, purpose: Purpose, team_size: int) -> _Profile:
    key = (book.venue.id, book.version, resource.id, duration_min, purpose, team_size)
    return plans.profiles.get(key) or plans.keep_profile(key, _make_profile(book, resource, duration_min, purpose, team_size))


def _make_profile(book: VenueBook, resource: Resource, duration_min: int, purpose: Purpose, team_size: int) -> _Profile:
    ranked = ranked_rules(book, resource, purpose, team_size)
    position = {id(rule): i for i, rule in enumerate(book.rules)}
    rule_ids = tuple(position[id(rule)] for rule in ranked)
    key = (book.venue.id, book.version, resource.slot_min, duration_min, team_size, rule_ids)
    return _Profile(resource.slot_min, duration_min, team_size, ranked, key)


def _plans_for(book: VenueBook, profile: _Profile, days: Sequence[date]) -> list[DayPlan]:
    """The plans of these consecutive dates; those missing are made together and kept."""
    found = [plans.get((profile.key, day.toordinal())) for day in days]
    missing = [day for day, plan in zip(days, found, strict=True) if plan is None]
    if not missing:
        return [plan for plan in found if plan is not None]
    made = _make_plans(book, profile, missing[0], missing[-1])
    for day in missing:
        plans.keep((profile.key, day.toordinal()), made[day])
    return [made[day] if plan is None else plan for day, plan in zip(days, found, strict=True)]


def _make_plans(book: VenueBook, profile: _Profile, first: date, last: date) -> dict[date, DayPlan]:
    reach = DAY * (profile.duration_min // 1440 + 1)
    opened = open_between(book, first - DAY, last + reach)
    opens = [p.start for p in opened]
    tariff = Tariff(book, profile.ranked, first, last + reach)
    length = timedelta(minutes=profile.duration_min)
    result: dict[date, DayPlan] = {}
    day = first
    while day <= last:
        starts: list[datetime] = []
        for start in _grid(book, day, profile.slot_min):
            i = bisect_right(opens, start) - 1
            if i >= 0 and start + length <= opened[i].end:
                starts.append(start)
        result[day] = _plan(book, profile, tariff, starts)
        day += DAY
    return result


def _plan(book: VenueBook, profile: _Profile, tariff: Tariff, starts: Sequence[datetime]) -> DayPlan:
    tz = zone(book.venue.timezone)
    currency = book.organisation.currency
    taxes = book.organisation.tax
    taxed = any(not tax.included for tax in taxes)
    prices: list[Money] = []
    encoded: list[bytes] = []
    offsets = [0]
    for start in starts:
        period = Period.of(start, profile.duration_min)
        price = Money.total((s.amount for s in tariff.segments(period, profile.team_size)), currency)
        if taxed:
            price = with_added_tax(taxes, price)
        text = _encoder.encode(Slot(start, period.end, start.astimezone(tz), price)) + b","
        prices.append(price)
        encoded.append(text)
        offsets.append(offsets[-1] + len(text))
    return DayPlan(tuple(s.timestamp() for s in starts), tuple(prices), b"".join(encoded), tuple(offsets))


def prepare(book: VenueBook, resource: Resource, day: date, duration_min: int) -> DayPlan | None:
    """The plan that a question about this day and length needs when it says nothing of the party, kept for it. None when nothing
    can be free."""
    size = _bookable(book, resource, duration_min, Purpose.WORKOUT, None)
    if size is None:
        return None
    return _plans_for(book, _profile(book, resource, duration_min, Purpose.WORKOUT, size), [day])[0]


# ------------------------------------------------------------------------------------------------------------ free runs


def _sorted_busy(busy: Busy) -> list[tuple[float, float]]:
    """As Unix seconds, merged: disjoint and ascending."""
    result: list[tuple[float, float]] = []
    for start, end in sorted((b.timestamp(), e.timestamp()) for b, e in busy):
        if result and start <= result[-1][1]:
            if end > result[-1][1]:
                result[-1] = (result[-1][0], end)
        else:
            result.append((start, end))
    return result


class _Struck(msgspec.Struct, frozen=True):
    """The open intervals of starts that claims rule out, ascending, and from when to when starts may be booked at all."""

    after: list[float]
    before: list[float]
    earliest: float
    latest: float

    def free_runs(self, starts: Sequence[float]) -> list[tuple[int, int]]:
        """The runs `[i, j)` of `starts` that are free."""
        at = bisect_left(starts, self.earliest)
        stop = bisect_left(starts, self.latest)
        if at >= stop:
            return []
        runs: list[tuple[int, int]] = []
        first = bisect_right(self.before, starts[at])
        for k in range(first, len(self.after)):
            if self.after[k] >= starts[stop - 1]:
                break
            low = bisect_right(starts, self.after[k], at, stop)
            if low > at:
                runs.append((at, low))
            at = bisect_left(starts, self.before[k], low, stop)
        if at < stop:
            runs.append((at, stop))
        return runs


def _struck(book: VenueBook, resource: Resource, duration_min: int, busy: Busy, now: datetime) -> _Struck:
    lead = book.policies.lead_min if resource.lead_min is None else resource.lead_min
    horizon = book.policies.horizon_days if resource.horizon_days is None else resource.horizon_days
    tz = zone(book.venue.timezone)
    beyond = wall(tz, now.astimezone(tz).date(), 1440 * (horizon + 1))
    taken = _sorted_busy(busy)
    head = 60.0 * (duration_min + resource.buffer_after_min)
    tail = 60.0 * resource.buffer_before_min
    return _Struck(
        [b - head for b, _ in taken],
        [e + tail for _, e in taken],
        (now + timedelta(minutes=lead)).timestamp(),
        beyond.timestamp(),
    )


def _bookable(book: VenueBook, resource: Resource, duration_min: int, purpose: Purpose, team_size: int | None) -> int | None:
    """The size of the party, or None when this resource cannot be booked so at any time."""
    if book.organisation.status is not OrganisationStatus.ACTIVE or not resource.active:
        return None
    if duration_min not in resource.durations_min:
        return None
    fewest, most = resource.people.get(purpose, (1, resource.capacity))
    size = fewest if team_size is None else team_size
    return size if fewest <= size <= most else None


# -------------------------------------------------------------------------------------------------------------- answers


def check_window(from_date: date, to_date: date) -> list[date]:
    """The dates asked for. Raises Invalid for reversed, too long or unreal ranges."""
    if to_date < from_date:
        raise Invalid.field("to", "is before `from`")
    if (to_date - from_date).days >= MAX_AVAILABILITY_DAYS:
        raise Invalid.field("to", f"is more than {MAX_AVAILABILITY_DAYS} days of availability at once")
    if from_date.year < _FIRST_YEAR or to_date.year > _LAST_YEAR:
        raise Invalid.field("from", f"is not between the years {_FIRST_YEAR} and {_LAST_YEAR}")
    return [from_date + i * DAY for i in range((to_date - from_date).days + 1)]


def busy_window(book: VenueBook, resources: Sequence[Resource], from_date: date, to_date: date, duration_min: int) -> Period:
    """The time whose claims decide what of so long is free from starts on these dates: read every claim that overlaps it."""
    tz = zone(book.venue.timezone)
    before = timedelta(minutes=max((r.buffer_before_min for r in resources), default=0))
    after = timedelta(minutes=max((r.buffer_after_min for r in resources), default=0) + duration_min)
    return Period(wall(tz, from_date, 0) - before, wall(tz, to_date, 1440) + after)


_Answer = list[tuple[DayPlan, list[tuple[int, int]]]]


def _answer(
    book: VenueBook,
    resource: Resource,
    days: Sequence[date],
    duration_min: int,
    purpose: Purpose,
    team_size: int | None,
    busy: Busy,
    now: datetime,
) -> _Answer | None:
    """For each date the plan and its free runs, or None when nothing can be free."""
    size = _bookable(book, resource, duration_min, purpose, team_size)
    if size is None:
        return None
    profile = _profile(book, resource, duration_min, purpose, size)
    struck = _struck(book, resource, duration_min, busy, now)
    return [(plan, struck.free_runs(plan.starts)) for plan in _plans_for(book, profile, days)]


def _slots(book: VenueBook, plan: DayPlan, runs: Sequence[tuple[int, int]], duration_min: int) -> list[Slot]:
    tz = zone(book.venue.timezone)
    length = timedelta(minutes=duration_min)
    result: list[Slot] = []
    for low, high in runs:
        for i in range(low, high):
            start = datetime.fromtimestamp(plan.starts[i], UTC)
            result.append(Slot(start, start + length, start.astimezone(tz), plan.prices[i]))
    return result


def free_slots(
    book: VenueBook,
    resource: Resource,
    day: date,
    *,
    duration_min: int,
    purpose: Purpose = Purpose.WORKOUT,
    team_size: int | None = None,
    busy: Busy,
    now: datetime,
) -> list[Slot]:
    """The free slots of one resource that start on venue-local `day`, ascending."""
    answer = _answer(book, resource, [day], duration_min, purpose, team_size, busy, now)
    return [] if answer is None else _slots(book, *answer[0], duration_min)


def availability(
    book: VenueBook,
    resources: Sequence[Resource],
    from_date: date,
    to_date: date,
    duration_min: int,
    team_size: int | None,
    busy: Mapping[UUID, Busy],
    now: datetime,
    purpose: Purpose = Purpose.WORKOUT,
) -> Availability:
    """Free slots by date and resource. `busy` covers `busy_window`; without an entry a resource is free. Raises Invalid."""
    days = check_window(from_date, to_date)
    by_day: list[list[ResourceSlots]] = [[] for _ in days]
    for r in resources:
        answer = _answer(book, r, days, duration_min, purpose, team_size, busy.get(r.id, ()), now)
        for i in range(len(days)):
            by_day[i].append(ResourceSlots(r.id, [] if answer is None else _slots(book, *answer[i], duration_min)))
    listed = [AvailabilityDay(day, found) for day, found in zip(days, by_day, strict=True)]
    return Availability(book.venue.id, book.venue.timezone, listed)


def availability_json(
    book: VenueBook,
    resources: Sequence[Resource],
    from_date: date,
    to_date: date,
    duration_min: int,
    team_size: int | None,
    busy: Mapping[UUID, Busy],
    now: datetime,
    purpose: Purpose = Purpose.WORKOUT,
) -> bytes:
    """The same answer as `availability`, byte for byte what its JSON would be, without making the objects."""
    days = check_window(from_date, to_date)
    by_day: list[list[bytes]] = [[] for _ in days]
    for r in resources:
        head = b'{"resource_id":"' + str(r.id).encode() + b'","slots":['
        answer = _answer(book, r, days, duration_min, purpose, team_size, busy.get(r.id, ()), now)
        for i in range(len(days)):
            by_day[i].append(head + (b"" if answer is None else _joined(*answer[i])) + b"]}")
    listed = [
        b'{"date":"' + day.isoformat().encode() + b'","resources":[' + b",".join(found) + b"]}"
        for day, found in zip(days, by_day, strict=True)
    ]
    opening = b'{"venue_id":"' + str(book.venue.id).encode() + b'","timezone":' + _encoder.encode(book.venue.timezone)
    return opening + b',"days":[' + b",".join(listed) + b"]}"


def _joined(plan: DayPlan, runs: Sequence[tuple[int, int]]) -> bytes:
    if not runs:
        return b""
    if len(runs) == 1:
        return plan.blob[plan.offsets[runs[0][0]] : plan.offsets[runs[0][1]] - 1]
    return b"".join([plan.blob[plan.offsets[i] : plan.offsets[j]] for i, j in runs])[:-1]


# --------------------------------------------------------------------------------------------------------- alternatives


def alternatives(
    book: VenueBook,
    resource: Resource,
    period: Period,
    *,
    purpose: Purpose,
    team_size: int,
    busy: Mapping[UUID, Sequence[tuple[datetime, datetime]]],
    now: datetime,
    limit: int = 6,
) -> list[Alternative]:
    """Instead of a taken place: the same start on others of its kind and sport first, then the nearest free starts on this one.

    Looks at the local day of `period` only, which `busy` must cover for every resource of the venue.
    """
    day = local(book, period.start).date()
    alike = [
        r for r in book.resources if r.id != resource.id and r.active and r.kind is resource.kind and r.sport == resource.sport
    ]
    found: list[Alternative] = []
    for other in [*alike, resource]:
        slots = free_slots(
            book,
            other,
            day,
            duration_min=period.duration_min,
            purpose=purpose,
            team_size=team_size,
            busy=busy.get(other.id, ()),
            now=now,
        )
        if other is resource:
            near = sorted(slots, key=lambda s: (abs(s.start - period.start), s.start))
            room = max(limit - len(found), 0)
        else:
            near = [s for s in slots if s.start == period.start]
            room = max(limit // 2 - len(found), 0)
        found += [Alternative(other.id, s.start, s.end, s.local_start, s.price) for s in near[:room]]
    return found
