"""Pure decisions about hours and prices. No I/O, no clock; values in, values out.

Hours: an interval belongs to the weekday it begins on and may run into the next morning. A closed date has neither its own
hours nor the tail of the evening before: a sign that says "closed on the 25th" is true for anyone at the door on the 25th.

Prices: for each instant the most specific matching rule wins. Specificity is, in this order,

1. how few days a year the rule is about: single dates and ranges by their number of days, public holidays as ten days,
   everything else as all days, so that Christmas Day beats public holidays beat the winter season beats a normal week;
2. how many other conditions it states (resources, weekdays, hours, purpose, team size, member tier);
3. its `priority`, higher first;
4. its place in the list, earlier first.

Time no rule matches costs nothing. An hour is 60 real minutes, also in the night the clocks change.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import holidays
import msgspec

from forecourt.kernel.errors import FieldError
from forecourt.kernel.money import Money
from forecourt.kernel.period import Period
from forecourt.modules.venues.contract import (
    WEEK,
    DateRange,
    NewClosure,
    OpeningHours,
    Per,
    Policies,
    PriceRule,
    Purpose,
    Resource,
    VenueBook,
)

DAY = timedelta(days=1)
ALL_DAYS = 1_000_000
HOLIDAYS_A_YEAR = 10


class PricedSegment(msgspec.Struct, frozen=True):
    """A part of a booking under one price rule. `label` is the rule's, or none where no rule matches."""

    period: Period
    amount: Money
    rule: PriceRule | None

    @property
    def label(self) -> str | None:
        return None if self.rule is None else self.rule.label


# ---------------------------------------------------------------------------------------------------------- local time


def zone(name: str) -> ZoneInfo:
    """The time zone. Raises ZoneInfoNotFoundError, ValueError for names that are none."""
    return ZoneInfo(name)


def local(book: VenueBook, instant: datetime) -> datetime:
    """The instant on the venue's wall clock."""
    return instant.astimezone(zone(book.venue.timezone))


def minutes_of(text: str) -> int:
    """`"06:30"` → 390; `"24:00"` → 1440."""
    return int(text[:2]) * 60 + int(text[3:])


def wall(tz: ZoneInfo, day: date, minute: int) -> datetime:
    """The instant, in UTC, at which the wall clock of `day` shows `minute` minutes after midnight; 1440 is the next midnight.

    A wall time that the clocks jump over is the instant as far after the jump; one that comes twice is its first coming.
    """
    days, minute = divmod(minute, 1440)
    day = day + days * DAY
    return datetime(day.year, day.month, day.day, minute // 60, minute % 60, tzinfo=tz).astimezone(UTC)


def day_bounds(book: VenueBook, day: date) -> Period:
    """The venue-local calendar day, 23 to 25 hours long, in UTC."""
    tz = zone(book.venue.timezone)
    return Period(wall(tz, day, 0), wall(tz, day, 1440))


@lru_cache(maxsize=512)
def _holidays(country: str, region: str | None, year: int) -> frozenset[date]:
    try:
        return frozenset(holidays.country_holidays(country, subdiv=region, years=year))
    except NotImplementedError:
        return frozenset()


def is_holiday(book: VenueBook, day: date) -> bool:
    """A public holiday of the venue's country and region; none are known for countries the calendar does not cover."""
    return day in _holidays(book.organisation.country, book.venue.region, day.year)


# ---------------------------------------------------------------------------------------------------------------- hours


def is_closed(book: VenueBook, day: date) -> bool:
    return any(
        (c.dates is not None and c.dates.from_ <= day <= c.dates.to) or (c.holiday and is_holiday(book, day))
        for c in book.closures
    )


def merged(periods: Iterable[Period]) -> list[Period]:
    """The same instants as few periods, in order; adjacent ones become one."""
    result: list[Period] = []
    for p in sorted(periods):
        if result and p.start <= result[-1].end:
            if p.end > result[-1].end:
                result[-1] = Period(result[-1].start, p.end)
        else:
            result.append(p)
    return result


def open_periods(book: VenueBook, day: date) -> list[Period]:
    """When the venue is open by the hours that begin on venue-local `day`, merged, in UTC. They may end the next morning."""
    if is_closed(book, day):
        return []
    tz = zone(book.venue.timezone)
    tomorrow_closed = is_closed(book, day + DAY)
    found: list[Period] = []
    for opens, closes in book.venue.opening_hours.on(day):
        first, last = minutes_of(opens), minutes_of(closes)
        if last <= first:
            last += 1440
        if tomorrow_closed:
            last = min(last, 1440)
        start, end = wall(tz, day, first), wall(tz, day, last)
        if start < end:  # an interval wholly inside the hour that the clocks jump over is no time at all
            found.append(Period(start, end))
    return merged(found)


def open_between(book: VenueBook, first: date, last: date) -> list[Period]:
    """Open time by the hours of all days from `first` to `last`, merged across midnights."""
    days = (last - first).days + 1
    return merged(p for i in range(days) for p in open_periods(book, first + i * DAY))


def is_open(book: VenueBook, period: Period) -> bool:
    """True when the venue is open without a break from start to end."""
    tz = zone(book.venue.timezone)
    first = period.start.astimezone(tz).date() - DAY
    return any(p.contains(period) for p in open_between(book, first, period.end.astimezone(tz).date()))


# --------------------------------------------------------------------------------------------------------------- prices


def specificity(rule: PriceRule) -> tuple[int, int, int]:
    """Larger is more specific; ties go to the earlier rule. See the module's docstring."""
    match rule.dates:
        case None:
            days = ALL_DAYS
        case DateRange():
            days = (rule.dates.to - rule.dates.from_).days + 1
        case _:
            days = len(set(rule.dates))
    if rule.holiday:
        days = min(days, HOLIDAYS_A_YEAR)
    stated = (
        rule.resource_ids,
        rule.weekdays,
        rule.from_ if rule.from_ is not None else rule.to,
        rule.purpose,
        rule.team_size,
        rule.member_tier,
        None if rule.holiday else rule.holiday,
    )
    return (-days, sum(s is not None for s in stated), rule.priority)


def _fits_party(rule: PriceRule, resource_id: UUID, purpose: Purpose, team_size: int, member_tier: str | None) -> bool:
    """The conditions that do not depend on time."""
    if rule.resource_ids is not None and resource_id not in rule.resource_ids:
        return False
    if rule.purpose is not None and rule.purpose != purpose:
        return False
    if rule.member_tier is not None and rule.member_tier != member_tier:
        return False
    match rule.team_size:
        case None:
            return True
        case int():
            return team_size == rule.team_size
        case _:
            return rule.team_size[0] <= team_size <= rule.team_size[1]


def ranked_rules(
    book: VenueBook, resource: Resource, purpose: Purpose, team_size: int, member_tier: str | None = None
) -> tuple[PriceRule, ...]:
    """The rules that can apply to this party on this resource, most specific first."""
    fitting = [r for r in book.rules if _fits_party(r, resource.id, purpose, team_size, member_tier)]
    return tuple(sorted(fitting, key=specificity, reverse=True))  # sorted is stable, also in reverse


def _applies_on(book: VenueBook, rule: PriceRule, day: date) -> bool:
    if rule.weekdays is not None and WEEK[day.weekday()] not in rule.weekdays:
        return False
    match rule.dates:
        case None:
            pass
        case DateRange():
            if not rule.dates.from_ <= day <= rule.dates.to:
                return False
        case _:
            if day not in rule.dates:
                return False
    return rule.holiday is None or rule.holiday == is_holiday(book, day)


def rule_window(book: VenueBook, rule: PriceRule, day: date) -> Period | None:
    """When the rule holds by what it says of venue-local `day`, or None. It may end the next morning."""
    if not _applies_on(book, rule, day):
        return None
    first = 0 if rule.from_ is None else minutes_of(rule.from_)
    last = 1440 if rule.to is None else minutes_of(rule.to)
    if last <= first:
        last += 1440
    tz = zone(book.venue.timezone)
    start, end = wall(tz, day, first), wall(tz, day, last)
    return Period(start, end) if start < end else None


class Tariff:
    """The winning rule at every instant of some days, cut where it changes. One tariff prices many periods quickly."""

    def __init__(self, book: VenueBook, ranked: Sequence[PriceRule], first: date, last: date) -> None:
        """Covers venue-local `first` to `last`, both included."""
        tz = zone(book.venue.timezone)
        begin, end = wall(tz, first, 0), wall(tz, last, 1440)
        windows: list[tuple[Period, int]] = []
        for i in range((last - first).days + 2):
            day = first - DAY + i * DAY
            for rank, rule in enumerate(ranked):
                window = rule_window(book, rule, day)
                if window is not None:
                    windows.append((window, rank))
        cuts = {begin, end}
        for window, _ in windows:
            cuts |= {at for at in (window.start, window.end) if begin < at < end}
        edges = sorted(cuts)
        position = {at: i for i, at in enumerate(edges)}
        best = [len(ranked)] * (len(edges) - 1)
        for window, rank in windows:
            if window.end <= begin or window.start >= end:
                continue
            for i in range(position[max(window.start, begin)], position[min(window.end, end)]):
                best[i] = min(best[i], rank)
        self._currency = book.organisation.currency
        self.pieces: list[tuple[datetime, datetime, PriceRule | None]] = []
        for i, rank in enumerate(best):
            rule = ranked[rank] if rank < len(ranked) else None
            if self.pieces and self.pieces[-1][2] is rule:
                self.pieces[-1] = (self.pieces[-1][0], edges[i + 1], rule)
            else:
                self.pieces.append((edges[i], edges[i + 1], rule))

    def segments(self, period: Period, team_size: int) -> list[PricedSegment]:
        """The period cut where the winning rule changes. A rule per booking or person is charged in its first segment only."""
        charged: set[int] = set()
        result: list[PricedSegment] = []
        for start, end, rule in self.pieces:
            if end <= period.start or start >= period.end:
                continue
            part = Period(max(start, period.start), min(end, period.end))
            result.append(PricedSegment(part, _charge(rule, part, team_size, charged, self._currency), rule))
        return result


def _charge(rule: PriceRule | None, part: Period, team_size: int, charged: set[int], currency: str) -> Money:
    if rule is None:
        return Money.zero(currency)
    factor = Decimal(rule.multiplier or 1)
    seconds = int((part.end - part.start).total_seconds())
    match rule.per:
        case Per.HOUR:
            return rule.amount.times(factor * seconds, 3600)
        case Per.PERSON_HOUR:
            return rule.amount.times(factor * seconds * team_size, 3600)
        case Per.BOOKING:
            times = 1
        case Per.PERSON:
            times = team_size
    if id(rule) in charged:
        return Money.zero(currency)
    charged.add(id(rule))
    return rule.amount.times(factor * times)


def price(
    book: VenueBook, resource: Resource, period: Period, *, purpose: Purpose, team_size: int, member_tier: str | None = None
) -> list[PricedSegment]:
    """What the period costs on this resource, by segments in order; their sum is the price before equipment and discounts."""
    tz = zone(book.venue.timezone)
    ranked = ranked_rules(book, resource, purpose, team_size, member_tier)
    tariff = Tariff(book, ranked, period.start.astimezone(tz).date(), period.end.astimezone(tz).date())
    return tariff.segments(period, team_size)


def total(segments: Iterable[PricedSegment], currency: str) -> Money:
    return Money.total((s.amount for s in segments), currency)


def from_price(book: VenueBook) -> Money | None:
    """The lowest amount per hour anyone pays, for cards; None when no rule is per hour."""
    hourly = [r.amount.times(Decimal(r.multiplier or 1)) for r in book.rules if r.per is Per.HOUR and r.member_tier is None]
    return min(hourly, key=lambda m: m.amount, default=None)


# ----------------------------------------------------------------------------------------------------------- validation


def validate_timezone(name: str, path: str = "timezone") -> list[FieldError]:
    try:
        zone(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return [FieldError(path, f"{name!r} is not a time zone; use an IANA name such as Europe/London")]
    return []


def validate_region(country: str, region: str | None, path: str = "region") -> list[FieldError]:
    """A region must be one the holiday calendar of the country knows; a country it does not know has no regions."""
    if region is None:
        return []
    known = holidays.list_supported_countries(include_aliases=True).get(country, [])
    if region in known:
        return []
    return [FieldError(path, f"{region!r} is not a region of {country} with public holidays of its own")]


def validate_hours(hours: OpeningHours, path: str = "opening_hours") -> list[FieldError]:
    """Intervals of a week may touch and never overlap, also across midnight and from Sunday into Monday."""
    spans: list[tuple[int, int, str]] = []
    faults: list[FieldError] = []
    week = (hours.mon, hours.tue, hours.wed, hours.thu, hours.fri, hours.sat, hours.sun)
    for d, intervals in enumerate(week):
        for i, (opens, closes) in enumerate(intervals):
            first, last = minutes_of(opens), minutes_of(closes)
            where = f"{path}.{WEEK[d].value}[{i}]"
            if first == last:
                faults.append(FieldError(where, "an interval that ends when it begins is empty; the whole day is 00:00 to 24:00"))
                continue
            last += 1440 if last < first else 0
            spans.append((d * 1440 + first, d * 1440 + last, where))
    spans.sort()
    for (_, end, _), (start, _, where) in itertools.pairwise(spans):
        if start < end:
            faults.append(FieldError(where, "overlaps the interval before it"))
    if spans and spans[-1][1] - 7 * 1440 > spans[0][0]:
        faults.append(FieldError(spans[0][2], "overlaps Sunday's interval that runs past midnight"))
    return faults


def validate_dates(dates: DateRange, path: str = "dates") -> list[FieldError]:
    if dates.to < dates.from_:
        return [FieldError(f"{path}.to", "is before `from`")]
    return []


def validate_closure(closure: NewClosure) -> list[FieldError]:
    if (closure.dates is None) != closure.holiday:
        return [FieldError("dates", "give dates, or `holiday`, and not both")]
    return [] if closure.dates is None else validate_dates(closure.dates)


def validate_rules(rules: Sequence[PriceRule], currency: str, resource_ids: Iterable[UUID]) -> list[FieldError]:
    known = set(resource_ids)
    faults: list[FieldError] = []
    for i, rule in enumerate(rules):
        at = f"rules[{i}]"
        if rule.amount.currency != currency:
            faults.append(FieldError(f"{at}.amount.currency", f"the organisation trades in {currency}"))
        if rule.amount.amount < 0:
            faults.append(FieldError(f"{at}.amount.amount", "a price is not negative"))
        if isinstance(rule.dates, DateRange):
            faults += validate_dates(rule.dates, f"{at}.dates")
        if isinstance(rule.team_size, list) and rule.team_size[0] > rule.team_size[1]:
            faults.append(FieldError(f"{at}.team_size", "the smaller number comes first"))
        if rule.from_ is not None and rule.from_ == rule.to:
            faults.append(FieldError(f"{at}.to", "a window that ends when it begins is empty"))
        if not known.issuperset(rule.resource_ids or ()):
            faults.append(FieldError(f"{at}.resource_ids", "names something that is not at this venue"))
    return faults


def validate_policies(policies: Policies) -> list[FieldError]:
    faults: list[FieldError] = []
    for i, (longer, shorter) in enumerate(zip(policies.cancellation, policies.cancellation[1:], strict=False)):
        if shorter.before_h >= longer.before_h:
            faults.append(FieldError(f"cancellation[{i + 1}].before_h", "tiers go from the longest notice to the shortest"))
        elif shorter.refund_pct > longer.refund_pct:
            faults.append(FieldError(f"cancellation[{i + 1}].refund_pct", "shorter notice does not give more back"))
    if policies.quiet_hours is not None and policies.quiet_hours[0] == policies.quiet_hours[1]:
        faults.append(FieldError("quiet_hours", "are empty when they end as they begin"))
    if policies.lead_min > policies.horizon_days * 1440:
        faults.append(FieldError("lead_min", "is longer than the booking horizon"))
    return faults


def validate_resource(resource: Resource, others: Sequence[Resource]) -> list[FieldError]:
    """`others` are the venue's resources, with or without an older version of this one."""
    faults: list[FieldError] = []
    if 1440 % resource.slot_min:
        faults.append(FieldError("slot_min", "divides a day of 1440 minutes, so that every day has the same grid"))
    odd = [d for d in resource.durations_min if d % resource.slot_min]
    if odd:
        faults.append(FieldError("durations_min", f"{odd[0]} is not a multiple of slot_min, {resource.slot_min}"))
    if len(set(resource.durations_min)) < len(resource.durations_min):
        faults.append(FieldError("durations_min", "names a duration twice"))
    for purpose, (fewest, most) in resource.people.items():
        if fewest > most:
            faults.append(FieldError(f"people.{purpose.value}", "the smaller number comes first"))
        elif most > resource.capacity:
            faults.append(FieldError(f"people.{purpose.value}", f"is more than the capacity, {resource.capacity}"))
    return faults + _validate_parts(resource, {r.id: r for r in others} | {resource.id: resource})


def _validate_parts(resource: Resource, by_id: dict[UUID, Resource]) -> list[FieldError]:
    if resource.id in resource.part_ids:
        return [FieldError("part_ids", "nothing is a part of itself")]
    if len(set(resource.part_ids)) < len(resource.part_ids):
        return [FieldError("part_ids", "names a part twice")]
    if any(p not in by_id for p in resource.part_ids):
        return [FieldError("part_ids", "names something that is not at this venue")]
    if resource.id in parts_of(resource, by_id.get):
        return [FieldError("part_ids", "goes round in a circle: a part contains this resource")]
    return []


def parts_of(resource: Resource, find: Callable[[UUID], Resource | None]) -> set[UUID]:
    """The ids of all parts, parts of parts included. Ends also when parts go round in a circle."""
    seen: set[UUID] = set()
    waiting = list(resource.part_ids)
    while waiting:
        part_id = waiting.pop()
        if part_id in seen:
            continue
        seen.add(part_id)
        part = find(part_id)
        waiting += [] if part is None else part.part_ids
    return seen
