"""What a booking of the demo world costs, fast: a year of bookings asks sixty thousand times.

The venues module decides prices for the program, and nobody but it may be asked outside of a running house. This says the
same for what the demo's price lists contain; tests/demo holds the two against each other.
"""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from functools import lru_cache
from uuid import UUID

import holidays

from forecourt.demo.world import Site
from forecourt.kernel.money import Money
from forecourt.modules.venues.contract import WEEK, DateRange, Per, PriceRule, Purpose

DAY_MIN = 1440
Part = tuple[int, int, int, str | None]
"""From and to in minutes after the local midnight, minor units, and the rule's label."""


class Tariff:
    """The price list of one venue. Minutes count from the local midnight of the booking's day and may run past 1440.

    Nothing of it knows the hour at which clocks change: no venue of the demo that changes its clocks is open then.
    """

    def __init__(self, site: Site) -> None:
        self.currency = site.book.organisation.currency
        self._rules = site.book.rules
        self._ranked = sorted(range(len(self._rules)), key=lambda i: _specificity(self._rules[i]), reverse=True)
        self._names = {r.id: r.name for r in site.book.resources}
        o, v = site.book.organisation, site.book.venue
        self._holidays = holidays.country_holidays(o.country, subdiv=v.region)
        self._on_holidays = any(c.holiday for c in site.book.closures)
        self._closed = [c.dates for c in site.book.closures if c.dates is not None]
        rate = Decimal(o.tax[0].rate)
        self._rate, self._share = o.tax[0].rate, Decimal(100) / (100 + rate)
        self._kind_of_day = lru_cache(maxsize=1000)(self._find_kind_of_day)
        self._parts = lru_cache(maxsize=50_000)(self._find_parts)

    def is_closed(self, day: date) -> bool:
        """Nobody is let in on this date."""
        return (self._on_holidays and day in self._holidays) or any(c.from_ <= day <= c.to for c in self._closed)

    def is_holiday(self, day: date) -> bool:
        return day in self._holidays

    def parts(
        self, resource_id: UUID, day: date, start: int, duration: int, purpose: Purpose, team_size: int
    ) -> tuple[Part, ...]:
        """The price cut where the rule changes."""
        days = tuple(self._kind_of_day(day + timedelta(days=n)) for n in (-1, 0, 1))
        return self._parts(resource_id, days, start, start + duration, purpose, team_size)

    def lines(self, resource_id: UUID, parts: tuple[Part, ...]) -> list[tuple[str, int, str | None]]:
        """Label, minor units and rule of each line of a quote."""
        name = self._names[resource_id]
        return [(f"{rule or name}, {clock(first)}–{clock(last)}", minor, rule) for first, last, minor, rule in parts]

    def tax(self, gross: int) -> tuple[str, int]:
        """The rate and the tax that `gross` contains."""
        net = Money(gross, self.currency).times(self._share).amount
        return self._rate, gross - net

    def _find_kind_of_day(self, day: date) -> tuple[int, ...]:
        """The rules that hold on this day, most specific first."""
        return tuple(i for i in self._ranked if self._holds_on(self._rules[i], day))

    def _holds_on(self, rule: PriceRule, day: date) -> bool:
        if rule.weekdays is not None and WEEK[day.weekday()] not in rule.weekdays:
            return False
        if isinstance(rule.dates, DateRange) and not rule.dates.from_ <= day <= rule.dates.to:
            return False
        return rule.holiday is None or rule.holiday == (day in self._holidays)

    def _find_parts(
        self, resource_id: UUID, days: tuple[tuple[int, ...], ...], first: int, last: int, purpose: Purpose, team_size: int
    ) -> tuple[Part, ...]:
        windows: list[tuple[int, int, int]] = []  # rank, from, to
        for offset, kind in zip((-DAY_MIN, 0, DAY_MIN), days, strict=True):
            for i in kind:
                if _fits(self._rules[i], resource_id, purpose, team_size):
                    opens, closes = _hours(self._rules[i])
                    windows.append((self._ranked.index(i), opens + offset, closes + offset))
        cuts = sorted({first, last, *(at for _, a, b in windows for at in (a, b) if first < at < last)})
        pieces: list[tuple[int, int, int | None]] = []
        for a, b in zip(cuts, cuts[1:], strict=False):
            rank = min((r for r, opens, closes in windows if opens <= a and b <= closes), default=None)
            if pieces and pieces[-1][2] == rank:
                pieces[-1] = (pieces[-1][0], b, rank)
            else:
                pieces.append((a, b, rank))
        return tuple(self._part(a, b, rank, team_size) for a, b, rank in pieces)

    def _part(self, first: int, last: int, rank: int | None, team_size: int) -> Part:
        if rank is None:
            return (first, last, 0, None)
        rule = self._rules[self._ranked[rank]]
        people = team_size if rule.per is Per.PERSON_HOUR else 1
        amount = rule.amount.times(Decimal(rule.multiplier or 1) * (last - first) * 60 * people, 3600)
        return (first, last, amount.amount, rule.label)


def clock(minute: int) -> str:
    """`1470` → `00:30`."""
    return f"{minute // 60 % 24:02}:{minute % 60:02}"


def minutes(time: str) -> int:
    return int(time[:2]) * 60 + int(time[3:])


def _hours(rule: PriceRule) -> tuple[int, int]:
    opens = 0 if rule.from_ is None else minutes(rule.from_)
    closes = DAY_MIN if rule.to is None else minutes(rule.to)
    return opens, closes if closes > opens else closes + DAY_MIN


def _fits(rule: PriceRule, resource_id: UUID, purpose: Purpose, team_size: int) -> bool:
    if rule.resource_ids is not None and resource_id not in rule.resource_ids:
        return False
    if rule.purpose is not None and rule.purpose != purpose:
        return False
    return not isinstance(rule.team_size, list) or rule.team_size[0] <= team_size <= rule.team_size[1]


def _specificity(rule: PriceRule) -> tuple[int, int, int]:
    """Fewer days a year, then more conditions, then priority."""
    days = (rule.dates.to - rule.dates.from_).days + 1 if isinstance(rule.dates, DateRange) else 1_000_000
    if rule.holiday:
        days = min(days, 10)
    hours = rule.from_ if rule.from_ is not None else rule.to
    stated = (rule.resource_ids, rule.weekdays, hours, rule.purpose, rule.team_size)
    return (-days, sum(s is not None for s in stated), rule.priority)
