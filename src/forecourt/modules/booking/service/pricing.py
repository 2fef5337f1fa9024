"""What a wish comes to: period, party, place to claim and price. Asks nobody but the kept books."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from datetime import date, datetime
from uuid import UUID

import msgspec

from forecourt.kernel.errors import Invalid
from forecourt.kernel.money import MAX_MINOR, Money
from forecourt.kernel.period import Period
from forecourt.modules.booking import rules
from forecourt.modules.booking.contract import EquipmentWish, LineKind, QuoteLine, TaxLine
from forecourt.modules.venues.contract import Purpose, Resource, Tax, VenueBook
from forecourt.modules.venues.contract.calendar import zone
from forecourt.modules.venues.contract.tariff import PricedSegment, Tariff, ranked_rules

MAX_TARIFFS = 4_096


class Bill(msgspec.Struct, frozen=True):
    lines: list[QuoteLine]
    tax: list[TaxLine]
    total: Money


class Plan(msgspec.Struct, frozen=True):
    """A wish made exact. `claim` is the period with the resource's buffers."""

    book: VenueBook
    resource: Resource
    period: Period
    claim: Period
    purpose: Purpose
    team_size: int
    bill: Bill


def plan(
    book: VenueBook, resource: Resource, start: datetime, duration_min: int, purpose: Purpose, team_size: int | None
) -> Plan:
    """Raises Invalid for years no calendar holds and for what no payment could carry, and CapacityExceeded."""
    period = rules.requested_period(start, duration_min)
    people = rules.party(resource, purpose, team_size)
    claim = period.padded(resource.buffer_before_min, resource.buffer_after_min)
    return Plan(book, resource, period, claim, purpose, people, bill(book, resource, period, purpose, people))


def bill(book: VenueBook, resource: Resource, period: Period, purpose: Purpose, team_size: int) -> Bill:
    """Price and tax by the venue's list. Raises Invalid for what no payment could carry."""
    currency = book.organisation.currency
    lines = rules.quote_lines(book, resource, _segments(book, resource, period, purpose, team_size))
    tax = rules.tax_lines(book.organisation.tax, Money.total([line.amount for line in lines], currency))
    total = rules.quote_total(lines, tax, currency)
    if total.amount > MAX_MINOR:
        raise Invalid("so many people for so long cost more here than can be charged at once")
    return Bill(lines, tax, total)


def rebill(
    taxes: Sequence[Tax],
    listed: Sequence[QuoteLine],
    total: Money,
    extras: Sequence[tuple[LineKind, Money]],
    rest: LineKind | str,
) -> Bill:
    """The bill over `total` where that is not the list's: `extras`, as they are paid, and what is left between the list and the
    total as `rest`, a kind or a name that the owner gave. Lines are without added taxes, so an extra's line is its share of that.
    """
    lines_total, tax = rules.taxes_within(taxes, total)
    lines = list(listed)
    for kind, amount in extras:
        if amount:
            lines.append(_line(kind, amount.times(lines_total.amount, total.amount) if total else amount))
    left = lines_total - Money.total([line.amount for line in lines], total.currency)
    if left:
        lines.append(_line(rest, left))
    return Bill(lines, tax, total)


def _line(name: LineKind | str, amount: Money) -> QuoteLine:
    if isinstance(name, LineKind):
        return QuoteLine(label=_IN_ENGLISH[name], amount=amount, kind=name)
    return QuoteLine(label=name, amount=amount)


_IN_ENGLISH = {LineKind.MOVING: "Fee for moving", LineKind.AGREED: "Agreed before", LineKind.CODE: "Promo code"}


_Key = tuple[UUID, int, UUID, Purpose, int, date, date]
_tariffs: OrderedDict[_Key, Tariff] = OrderedDict()
"""Which rule holds when, by place, party and day of one version of a book. Least recently used ones go first."""


def _segments(book: VenueBook, resource: Resource, period: Period, purpose: Purpose, team_size: int) -> list[PricedSegment]:
    tz = zone(book.venue.timezone)
    first, last = period.start.astimezone(tz).date(), period.end.astimezone(tz).date()
    key = (book.venue.id, book.version, resource.id, purpose, team_size, first, last)
    tariff = _tariffs.get(key)
    if tariff is None:
        tariff = _tariffs[key] = Tariff(book, ranked_rules(book, resource, purpose, team_size), first, last)
        while len(_tariffs) > MAX_TARIFFS:
            _tariffs.popitem(last=False)
    else:
        _tariffs.move_to_end(key)
    return tariff.segments(period, team_size)


def refuse_equipment(wishes: list[EquipmentWish]) -> None:
    """No venue lends equipment through bookings: each id is unknown. Raises Invalid."""
    if wishes:
        raise Invalid.field("equipment[0].equipment_id", "is not among this venue's equipment")
