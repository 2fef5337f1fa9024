"""What the pages of owners say in the reader's language: days, things to book, prices in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from typing import cast
from uuid import UUID

import msgspec

from forecourt.kernel.http.operation import Visit
from forecourt.kernel.web import formats
from forecourt.kernel.web.render import Language
from forecourt.kernel.web.surroundings import Surroundings
from forecourt.kernel.web.views import Choice
from forecourt.modules.venues.contract import (
    WEEK,
    DateRange,
    OrganisationKind,
    Per,
    PriceRule,
    Purpose,
    Resource,
    ResourceKind,
    Weekday,
)

MAX_DAYS_NAMED = 3
"""Single days of a price that are named; the rest are counted."""


class RuleRow(msgspec.Struct, frozen=True):
    """A price rule in words; `place` is its number in the list, from 0."""

    place: int
    label: str
    amount: str
    when: str
    where: str
    who: str
    chosen: bool
    wins: bool


class ThingRow(msgspec.Struct, frozen=True):
    """Something to book in the list: what it is in a few words, and for how long it is booked."""

    id: UUID
    name: str
    active: bool
    detail: str
    lengths: str


class StaffWords:
    """The words of one visit."""

    def __init__(self, pages: Surroundings, visit: Visit) -> None:
        self.language: Language = cast("Language", visit.locale)
        self._pages = pages.pages

    def t(self, key: str, /, **values: object) -> str:
        return self._pages.text(self.language, key, **values)

    def known(self, group: str, word: str) -> str:
        """The word of a list that owners may add to; one nobody translated as it was written."""
        key = f"{group}.{word}"
        return self.t(key) if self._pages.catalogue.has(key) else word.replace("_", " ").capitalize()

    def all_of(self, parts: Sequence[str], key: str = "venues.and") -> str:
        """Several parts as one list; `key` joins two."""
        return reduce(lambda first, then: self.t(key, first=first, then=then), parts) if parts else ""

    # --- what forms offer

    def days(self) -> list[Choice]:
        """The week, short."""
        return [Choice(label=self.t(f"venues.short_day.{day}"), value=day.value) for day in WEEK]

    def purposes(self) -> list[Choice]:
        return [Choice(label=self.t(f"venues.purpose.{p}"), value=p.value) for p in Purpose]

    def kinds(self) -> list[Choice]:
        """Kinds of things to book."""
        return [Choice(label=self.t(f"venues.kind.{kind}"), value=kind.value) for kind in ResourceKind]

    def organisations(self) -> list[Choice]:
        """Kinds of organisations."""
        return [Choice(label=self.t(f"orgkind.{kind}"), value=kind.value) for kind in OrganisationKind]

    def pers(self) -> list[Choice]:
        """What a price is for."""
        return [Choice(label=self.t(f"venues.per.{per}"), value=per.value) for per in Per]

    def amenities(self, words: Iterable[str]) -> list[Choice]:
        return [Choice(label=self.known("amenity", word), value=word) for word in words]

    # --- things

    def thing(self, r: Resource) -> ThingRow:
        """Inside a list of words only the first begins with a capital."""
        parts = [self.t(f"venues.kind.{r.kind}")]
        if r.sport:
            parts.append(self.known("sport", r.sport).lower())
        if r.indoor is not None:
            parts.append(self.t("venues.things.indoor" if r.indoor else "venues.things.outdoor"))
        parts.append(self.t("venues.things.up_to", n=r.capacity))
        lengths = self.t("venues.things.lengths", least=r.durations_min[0], most=r.durations_min[-1])
        return ThingRow(r.id, r.name, r.active, self.all_of(parts), lengths)

    # --- prices

    def rule(self, rule: PriceRule, place: int, names: Mapping[UUID, str], *, chosen: bool, wins: bool) -> RuleRow:
        """A rule in the words of its owner."""
        gone = self.t("venues.rule.removed")
        return RuleRow(
            place,
            rule.label or self.t("venues.prices.unnamed"),
            self._rate(rule),
            self._when(rule),
            self.all_of([names.get(id, gone) for id in rule.resource_ids or ()]) or self.t("venues.rule.everything"),
            self._who(rule),
            chosen,
            wins,
        )

    def _rate(self, rule: PriceRule) -> str:
        rate = self.t(f"venues.rate.{rule.per}", amount=formats.amount(self.language, rule.amount))
        if not rule.multiplier:
            return rate
        decimals = len(rule.multiplier.partition(".")[2])
        return self.t("venues.rate.times", rate=rate, multiplier=formats.number(self.language, float(rule.multiplier), decimals))

    def _when(self, rule: PriceRule) -> str:
        parts: list[str] = []
        if rule.weekdays:
            parts.append(self._week(rule.weekdays))
        if rule.from_ or rule.to:
            parts.append(self.t("venues.rule.clock", first=rule.from_ or "00:00", last=rule.to or "24:00"))
        match rule.dates:
            case None:
                pass
            case DateRange(from_=first, to=last):
                days = {"first": formats.date(self.language, first, style="short")}
                parts.append(self.t("venues.rule.dates", **days, last=formats.date(self.language, last, style="date")))
            case days:
                named = self.all_of([formats.date(self.language, day, style="short") for day in days[:MAX_DAYS_NAMED]])
                more = len(days) - MAX_DAYS_NAMED
                parts.append(self.t("venues.rule.days_more", days=named, n=more) if more > 0 else named)
        if rule.holiday is not None:
            parts.append(self.t("venues.rule.holidays" if rule.holiday else "venues.rule.no_holidays"))
        return self.all_of(parts) or self.t("venues.rule.always")

    def _week(self, days: Sequence[Weekday]) -> str:
        """`Mon–Fri`, or the days one by one."""
        places = sorted(WEEK.index(day) for day in set(days))
        names = [self.t(f"venues.short_day.{WEEK[i]}") for i in places]
        if len(places) > 2 and places[-1] - places[0] == len(places) - 1:
            return self.t("venues.rule.days", first=names[0], last=names[-1])
        return self.all_of(names, "venues.rule.day_and_day")

    def _who(self, rule: PriceRule) -> str:
        parts: list[str] = []
        if rule.purpose:
            parts.append(self.t(f"venues.rule.{rule.purpose}"))
        team = rule.team_size
        if isinstance(team, int):
            parts.append(self.t("venues.rule.people", n=team))
        elif team is not None:
            parts.append(self.t("venues.rule.people_span", fewest=team[0], most=team[1]))
        if rule.member_tier:
            parts.append(self.t("venues.rule.members", tier=rule.member_tier))
        return self.all_of(parts) or self.t("venues.rule.anyone")
