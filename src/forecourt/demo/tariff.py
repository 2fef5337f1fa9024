"""What a booking of the demo world costs, fast: a year of bookings asks fifty thousand times.

Days on which the same rules hold are priced once. tests/demo holds every price against the program's own.
"""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from functools import lru_cache, partial
from itertools import pairwise
from uuid import UUID

from forecourt.demo.world import Site
from forecourt.kernel.money import Money
from forecourt.modules.venues.contract import WEEK, DateRange, Per, PriceRule, Purpose
from forecourt.modules.venues.contract.calendar import is_closed, is_holiday, minutes_of
from forecourt.modules.venues.contract.tariff import ranked_rules

DAY_MIN = 1440
Part = tuple[int, int, int, str | None]
"""From and to in minutes after the local midnight, minor units, and the rule's label."""


class Tariff:
    """The price list of one venue. Minutes count from the local midnight of the booking's day and may run past 1440.

    Nothing of it knows the hour at which clocks change: no venue of the demo that changes its clocks is open then.
    """

    def __init__(self, site: Site) -> None:
        self.currency = site.book.organisation.currency
        self._book = site.book
        self._rules = site.book.rules
        self._hours = [_hours(rule) for rule in site.book.rules]
        self._resources = {r.id: r for r in site.book.resources}
        o = site.book.organisation
        rate = Decimal(o.tax[0].rate)
        self._rate, self._share = o.tax[0].rate, Decimal(100) / (100 + rate)
        self.is_closed = lru_cache(maxsize=1000)(partial(is_closed, site.book))
        self.is_holiday = lru_cache(maxsize=1000)(partial(is_holiday, site.book))
        self._kind_of_day = lru_cache(maxsize=1000)(self._find_kind_of_day)
        self._for_party = lru_cache(maxsize=2000)(self._find_for_party)
        self._parts = lru_cache(maxsize=50_000)(self._find_parts)

    def parts(
        self, resource_id: UUID, day: date, start: int, duration: int, purpose: Purpose, team_size: int
    ) -> tuple[Part, ...]:
        """The price cut where the rule changes."""
        days = tuple(self._kind_of_day(day + timedelta(days=n)) for n in (-1, 0, 1))
        return self._parts(resource_id, days, start, start + duration, purpose, team_size)

    def lines(self, resource_id: UUID, parts: tuple[Part, ...]) -> list[tuple[str, int, str | None]]:
        """Label, minor units and rule of each line of a quote."""
        name = self._resources[resource_id].name
        return [(f"{rule or name}, {clock(first)}–{clock(last)}", minor, rule) for first, last, minor, rule in parts]

    def tax(self, gross: int) -> tuple[str, int]:
        """The rate and the tax that `gross` contains."""
        net = Money(gross, self.currency).times(self._share).amount
        return self._rate, gross - net

    def _find_kind_of_day(self, day: date) -> tuple[int, ...]:
        """The rules that hold on this day, by their place in the list."""
        return tuple(i for i, rule in enumerate(self._rules) if self._holds_on(rule, day))

    def _find_for_party(self, resource_id: UUID, purpose: Purpose, team_size: int) -> dict[int, int]:
        """The rules that fit the party: from their place in the list to their rank, 0 for the most specific."""
        resource = self._resources[resource_id]
        places = {id(rule): i for i, rule in enumerate(self._rules)}
        return {places[id(rule)]: rank for rank, rule in enumerate(ranked_rules(self._book, resource, purpose, team_size))}

    def _holds_on(self, rule: PriceRule, day: date) -> bool:
        if rule.weekdays is not None and WEEK[day.weekday()] not in rule.weekdays:
            return False
        if isinstance(rule.dates, DateRange) and not rule.dates.from_ <= day <= rule.dates.to:
            return False
        return rule.holiday is None or rule.holiday == self.is_holiday(day)

    def _find_parts(
        self, resource_id: UUID, days: tuple[tuple[int, ...], ...], first: int, last: int, purpose: Purpose, team_size: int
    ) -> tuple[Part, ...]:
        ranks = self._for_party(resource_id, purpose, team_size)
        by_rank = {rank: self._rules[i] for i, rank in ranks.items()}
        windows: list[tuple[int, int, int]] = []  # rank, from, to
        for offset, kind in zip((-DAY_MIN, 0, DAY_MIN), days, strict=True):
            for i in kind:
                if i in ranks:
                    opens, closes = self._hours[i]
                    windows.append((ranks[i], opens + offset, closes + offset))
        cuts = sorted({first, last, *(at for _, a, b in windows for at in (a, b) if first < at < last)})
        pieces: list[tuple[int, int, int | None]] = []
        for a, b in pairwise(cuts):
            rank = min((r for r, opens, closes in windows if opens <= a and b <= closes), default=None)
            if pieces and pieces[-1][2] == rank:
                pieces[-1] = (pieces[-1][0], b, rank)
            else:
                pieces.append((a, b, rank))
        return tuple(_part(a, b, None if rank is None else by_rank[rank], team_size) for a, b, rank in pieces)


def _part(first: int, last: int, rule: PriceRule | None, team_size: int) -> Part:
    if rule is None:
        return (first, last, 0, None)
    people = team_size if rule.per is Per.PERSON_HOUR else 1
    amount = rule.amount.times(Decimal(rule.multiplier or 1) * (last - first) * 60 * people, 3600)
    return (first, last, amount.amount, rule.label)


def clock(minute: int) -> str:
    """`1470` → `00:30`."""
    return f"{minute // 60 % 24:02}:{minute % 60:02}"


def _hours(rule: PriceRule) -> tuple[int, int]:
    opens = 0 if rule.from_ is None else minutes_of(rule.from_)
    closes = DAY_MIN if rule.to is None else minutes_of(rule.to)
    return opens, closes if closes > opens else closes + DAY_MIN
