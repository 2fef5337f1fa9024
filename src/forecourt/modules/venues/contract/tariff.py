"""What a time at a venue costs: pure functions over its book.

For each instant the most specific matching rule wins. Specificity is, in this order,

1. how few days a year the rule is about: single dates and ranges by their number of days, public holidays as ten days,
   everything else as all days, so that Christmas Day beats public holidays beat the winter season beats a normal week;
2. how many other conditions it states (resources, weekdays, hours, purpose, team size, member tier);
3. its `priority`, higher first;
4. its place in the list, earlier first.

Time no rule matches costs nothing. An hour is 60 real minutes, also in the night the clocks change.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import assert_never
from uuid import UUID

import msgspec

from forecourt.kernel.money import Money
from forecourt.kernel.period import Period
from forecourt.modules.venues.contract.calendar import DAY, is_holiday, minutes_of, wall, zone
from forecourt.modules.venues.contract.values import DateRange, PriceRule, Resource, VenueBook
from forecourt.modules.venues.contract.words import WEEK, Per, Purpose

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
        case _:
            assert_never(rule.per)
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
