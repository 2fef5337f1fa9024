"""Decisions about money that need nothing but values: what a code takes off, where a refund goes, what a payment comes to."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import assert_never
from uuid import UUID

import msgspec

from forecourt.kernel.money import Money
from forecourt.modules.payments.contract import (
    GRACE_DAYS,
    ChargeState,
    ChargeStatus,
    PaymentState,
    PayWith,
    PromoCode,
    PromoFault,
    PromoKind,
    PromoUse,
)

# ---------------------------------------------------------------------------------------------------------- promo codes


def discount(promo: PromoCode, total: Money, duration_min: int) -> Money:
    """What the code takes off `total`, from nothing to all of it. Free minutes are worth their share of the booked time."""
    match promo.kind:
        case PromoKind.PERCENT:
            off = total.percent(promo.value)
        case PromoKind.FIXED:
            off = Money(promo.value, total.currency)
        case PromoKind.FREE_MINUTES:
            off = total.times(min(promo.value, duration_min), duration_min)
        case _:
            assert_never(promo.kind)
    return min(off, total)


def promo_fault(promo: PromoCode, use: PromoUse, total: Money, account_id: UUID | None, now: datetime) -> PromoFault | None:
    """The first reason, apart from counting, why the code does not hold for this use; None when there is none."""
    faults = (
        (PromoFault.INACTIVE, not promo.active),
        (PromoFault.NOT_YET, promo.starts_at is not None and now < promo.starts_at),
        (PromoFault.OVER, promo.ends_at is not None and now >= promo.ends_at),
        (PromoFault.OTHER_VENUE, bool(promo.venue_ids) and use.venue_id not in promo.venue_ids),
        (PromoFault.OTHER_CURRENCY, promo.currency != total.currency),
        (PromoFault.NEEDS_ACCOUNT, account_id is None and person_limit(promo) is not None),
    )
    return next((fault for fault, holds in faults if holds), None)


FAULT_TEXTS = {
    PromoFault.UNKNOWN: "There is no such code here.",
    PromoFault.INACTIVE: "This code is switched off.",
    PromoFault.NOT_YET: "This code cannot be used yet.",
    PromoFault.OVER: "This code has run out.",
    PromoFault.OTHER_VENUE: "This code is for another place.",
    PromoFault.USED_UP: "This code has been used as often as it can be.",
    PromoFault.USED_UP_BY_PERSON: "You have used this code as often as you can.",
    PromoFault.NOT_FIRST_TIME: "This code is for a first booking.",
    PromoFault.NEEDS_ACCOUNT: "This code needs an account.",
    PromoFault.DOES_NOT_STACK: "This code cannot be used together with another.",
    PromoFault.OTHER_CURRENCY: "This code is for another currency.",
}


def person_limit(promo: PromoCode) -> int | None:
    """How often one person may use the code: a first time happens once."""
    return 1 if promo.first_time_only else promo.person_limit


# -------------------------------------------------------------------------------------------------- charges and refunds


class ChargeRow(msgspec.Struct, frozen=True):
    """A charge as it is stored; amounts in minor units."""

    id: UUID
    payment_id: UUID
    account_id: UUID | None
    pay_with: PayWith
    currency: str
    price: int
    discount: int
    promo_code: str | None
    settled_at: datetime | None
    refunded: int
    waived: int
    handed_back: int
    created_at: datetime

    @property
    def amount(self) -> int:
        return self.price - self.discount

    @property
    def left(self) -> int:
        """What can still be given back."""
        return self.amount - self.refunded

    @property
    def owed(self) -> int:
        """What was given back and still lies at the desk."""
        return self.refunded - self.waived - self.handed_back if self.pay_with is PayWith.DESK else 0


class PaymentRow(msgspec.Struct, frozen=True):
    id: UUID
    organisation_id: UUID
    account_id: UUID | None
    currency: str
    label: str
    created_at: datetime


class Way(StrEnum):
    """How a part of a refund goes back."""

    CREDITS = "credits"
    AT_DESK = "at_desk"
    WAIVED = "waived"


class Portion(msgspec.Struct, frozen=True):
    """What goes back of one charge."""

    charge: ChargeRow
    way: Way
    amount: int


def portions(charges: Sequence[ChargeRow], amount: int) -> list[Portion]:
    """How `amount` is given back: what is still due first, because nobody has it, then the newest charge first.

    The caller has checked that no more is asked than is left.
    """
    found: list[Portion] = []
    for charge in sorted(charges, key=lambda c: (c.settled_at is None, c.created_at, c.id), reverse=True):
        part = min(charge.left, amount)
        if part > 0:
            found.append(Portion(charge, way_back(charge), part))
            amount -= part
    return found


def way_back(charge: ChargeRow) -> Way:
    if charge.pay_with is PayWith.CREDITS:
        return Way.CREDITS
    return Way.WAIVED if charge.settled_at is None else Way.AT_DESK


class SpentLot(msgspec.Struct, frozen=True):
    """What a charge took from a lot and has not given back."""

    lot_id: UUID
    taken: int


class LiveLot(msgspec.Struct, frozen=True):
    """A lot with something in it."""

    id: UUID
    remaining: int


def from_lots(lots: Sequence[LiveLot], amount: int) -> list[tuple[UUID, int]] | None:
    """Which lots, in the order given, pay how much of `amount`; None when they do not hold so much."""
    found: list[tuple[UUID, int]] = []
    for lot in lots:
        part = min(lot.remaining, amount)
        if part > 0:
            found.append((lot.id, part))
            amount -= part
    return None if amount else found


def back_to_lots(spent: Sequence[SpentLot], amount: int) -> list[tuple[UUID, int]]:
    """Which lots get how much of `amount`; `spent` is in the order of spending, and the last spent comes back first."""
    found: list[tuple[UUID, int]] = []
    for lot in reversed(spent):
        part = min(lot.taken, amount)
        if part > 0:
            found.append((lot.lot_id, part))
            amount -= part
    return found


def expiry_after_refund(expires_at: datetime | None, now: datetime) -> datetime | None:
    """A lot that has expired is good for GRACE_DAYS more when something comes back to it; any other keeps its date."""
    if expires_at is None or expires_at > now:
        return expires_at
    return now + timedelta(days=GRACE_DAYS)


def state(payment: PaymentRow, charges: Sequence[ChargeRow]) -> PaymentState:
    """What the payment comes to; `charges` in the order in which they were made."""

    def money(minor: int) -> Money:
        return Money(minor, payment.currency)

    paid = sum(c.left for c in charges if c.settled_at is not None)
    due = sum(c.left for c in charges if c.settled_at is None)
    return PaymentState(
        id=payment.id,
        organisation_id=payment.organisation_id,
        account_id=payment.account_id,
        label=payment.label,
        charged=money(sum(c.amount for c in charges)),
        discount=money(sum(c.discount for c in charges)),
        refunded=money(sum(c.refunded for c in charges)),
        paid=money(paid),
        due=money(due),
        owed=money(sum(c.owed for c in charges)),
        refundable=money(paid + due),
        charges=[
            ChargeState(
                id=c.id,
                pay_with=c.pay_with,
                status=ChargeStatus.DUE_AT_DESK if c.settled_at is None else ChargeStatus.PAID,
                amount=money(c.amount),
                discount=money(c.discount),
                refunded=money(c.refunded),
                promo_code=c.promo_code,
                created_at=c.created_at,
            )
            for c in charges
        ],
        created_at=payment.created_at,
    )
