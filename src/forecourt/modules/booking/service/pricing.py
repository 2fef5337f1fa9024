"""What a wish comes to: period, party, place to claim and price. Asks nobody but the kept books."""

from __future__ import annotations

from datetime import datetime

import msgspec

from forecourt.kernel.errors import Invalid
from forecourt.kernel.money import Money
from forecourt.kernel.period import Period
from forecourt.modules.booking import rules
from forecourt.modules.booking.contract import EquipmentWish, QuoteLine, TaxLine
from forecourt.modules.venues.contract import Purpose, Resource, VenueBook
from forecourt.modules.venues.contract.tariff import price


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
    """Raises Invalid for years no calendar holds and CapacityExceeded."""
    period = rules.requested_period(start, duration_min)
    people = rules.party(resource, purpose, team_size)
    claim = period.padded(resource.buffer_before_min, resource.buffer_after_min)
    return Plan(book, resource, period, claim, purpose, people, bill(book, resource, period, purpose, people))


def bill(book: VenueBook, resource: Resource, period: Period, purpose: Purpose, team_size: int) -> Bill:
    """Price and tax by the venue's list."""
    currency = book.organisation.currency
    lines = rules.quote_lines(book, resource, price(book, resource, period, purpose=purpose, team_size=team_size))
    tax = rules.tax_lines(book.organisation.tax, Money.total([line.amount for line in lines], currency))
    return Bill(lines, tax, rules.quote_total(lines, tax, currency))


def refuse_equipment(wishes: list[EquipmentWish]) -> None:
    """No venue lends equipment through bookings: each id is unknown. Raises Invalid."""
    if wishes:
        raise Invalid.field("equipment[0].equipment_id", "is not among this venue's equipment")
