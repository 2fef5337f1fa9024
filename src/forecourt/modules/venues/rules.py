"""What may be written into a venue's book. Pure: values in, faults out, each with its path.

When a venue is open and what a time costs are decided in `contract.calendar` and `contract.tariff`: others decide with them too.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from decimal import Decimal
from uuid import UUID
from zoneinfo import ZoneInfoNotFoundError

import holidays

from forecourt.kernel.errors import FieldError
from forecourt.kernel.money import MAX_MINOR
from forecourt.modules.venues.contract import (
    WEEK,
    DateRange,
    NewClosure,
    OpeningHours,
    Policies,
    PriceRule,
    Resource,
    parts_of,
)
from forecourt.modules.venues.contract.calendar import minutes_of, zone

MAX_PRICE = MAX_MINOR // 100
"""Of a rule, after its multiplier. A whole day by the hour stays below what may be charged at once."""


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
        elif rule.amount.amount > MAX_PRICE:
            faults.append(FieldError(f"{at}.amount.amount", f"is more than {MAX_PRICE} minor units"))
        elif rule.amount.amount * Decimal(rule.multiplier or 1) > MAX_PRICE:
            faults.append(FieldError(f"{at}.multiplier", f"makes it more than {MAX_PRICE} minor units"))
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
