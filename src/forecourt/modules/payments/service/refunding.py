"""Giving back, and what is settled at the desk."""

from __future__ import annotations

from datetime import datetime
from typing import assert_never
from uuid import UUID

from forecourt.kernel.context import Context
from forecourt.kernel.db import Tx
from forecourt.kernel.errors import Invalid
from forecourt.kernel.events import emit
from forecourt.kernel.ids import new_id
from forecourt.kernel.money import Money
from forecourt.modules.payments import queries, rules
from forecourt.modules.payments.contract import (
    DeskRefundPaid,
    PaymentCaptured,
    PaymentRefunded,
    PaymentState,
    PayWith,
    Refund,
    RefundExceedsPayment,
    RefundMismatch,
    RefundResult,
)
from forecourt.modules.payments.queries import Posting
from forecourt.modules.payments.rules import ChargeRow, PaymentRow, Portion, Way
from forecourt.modules.payments.service.codes import Codes
from forecourt.modules.payments.service.credits import Credits

NIL = UUID(int=0)


class Refunding(Codes, Credits):
    async def refund(self, ctx: Context, refund: Refund) -> RefundResult:
        if refund.amount is not None and refund.amount.amount < 0:
            raise Invalid.field("amount.amount", "at least 0")
        async with self._db.tx(ctx.within(refund.organisation_id)) as tx:
            payment = await queries.lock_payment(tx, refund.organisation_id, refund.payment_id)
            before = await queries.refund(tx, refund.organisation_id, refund.refund_id)
            if before is not None:
                return _repeated_refund(refund, before)
            return await self._refund(tx, refund, payment, self._clock.now())

    async def _refund(self, tx: Tx, refund: Refund, payment: PaymentRow, now: datetime) -> RefundResult:
        org = refund.organisation_id
        charges = await queries.charges(tx, org, payment.id)
        left = Money(sum(c.left for c in charges), payment.currency)
        amount = left if refund.amount is None else refund.amount
        if amount.currency != payment.currency:
            raise Invalid.field("amount.currency", f"this payment is in {payment.currency}")
        if left < amount:
            raise RefundExceedsPayment.beyond(left)
        parts = rules.portions(charges, amount.amount)
        if amount == left:
            await self._release_codes(tx, org, payment.id, now)
        for part in parts:
            waived = part.amount if part.way is Way.WAIVED else 0
            await queries.give_back(tx, org, part.charge.id, part.amount, waived)
        for part in sorted(parts, key=_wallet_order):
            await self._give_back(tx, org, part, refund.reason, now)
        by_way = {way: sum(p.amount for p in parts if p.way is way) for way in Way}
        asked = None if refund.amount is None else refund.amount.amount
        to_credits, at_desk, waived = by_way[Way.CREDITS], by_way[Way.AT_DESK], by_way[Way.WAIVED]
        await queries.insert_refund(tx, org, refund.refund_id, payment, asked, to_credits, at_desk, waived, refund.reason, now)
        result = _refund_result(refund, payment.currency, to_credits, at_desk, waived)
        if result.amount:
            emit(
                tx,
                PaymentRefunded(
                    organisation_id=org,
                    payment_id=payment.id,
                    refund_id=refund.refund_id,
                    account_id=payment.account_id,
                    amount=result.amount,
                    to_credits=result.to_credits,
                    at_desk=result.at_desk,
                    waived=result.waived,
                    reason=refund.reason,
                ),
            )
        return result

    async def _give_back(self, tx: Tx, org: UUID, part: Portion, reason: str, now: datetime) -> None:
        charge = part.charge
        match part.way:
            case Way.CREDITS:
                assert charge.account_id is not None  # noqa: S101 - credits are a person's
                postings = await self._to_lots(
                    tx, org, charge.account_id, charge.payment_id, charge.id, Money(part.amount, charge.currency), now
                )
            case Way.AT_DESK:
                postings = [Posting("desk_owed", part.amount)]
            case Way.WAIVED:
                postings = [Posting("desk_due", part.amount)]
            case _:
                assert_never(part.way)
        await queries.transfer(
            tx,
            org,
            new_id(),
            "refund",
            charge.currency,
            [Posting("revenue", -part.amount), *postings],
            now,
            payment_id=charge.payment_id,
            charge_id=charge.id,
            account_id=charge.account_id,
            reason=reason,
        )

    async def settle_desk(self, ctx: Context, organisation_id: UUID, payment_id: UUID) -> PaymentState:
        now = self._clock.now()
        async with self._db.tx(ctx.within(organisation_id)) as tx:
            payment = await queries.lock_payment(tx, organisation_id, payment_id)
            for charge in await queries.charges(tx, organisation_id, payment_id):
                if charge.pay_with is PayWith.DESK and (charge.settled_at is None or charge.owed):
                    await self._settle(tx, organisation_id, charge, now)
            return rules.state(payment, await queries.charges(tx, organisation_id, payment_id))

    async def _settle(self, tx: Tx, org: UUID, charge: ChargeRow, now: datetime) -> None:
        received = charge.left if charge.settled_at is None else 0
        handed_back = charge.owed
        await queries.settle_charge(tx, org, charge.id, now)
        postings: list[Posting] = []
        if received:
            postings += [Posting("desk", -received), Posting("desk_due", received)]
            amount, discount = Money(received, charge.currency), Money(charge.discount, charge.currency)
            self._told(
                tx,
                PaymentCaptured(
                    organisation_id=org,
                    payment_id=charge.payment_id,
                    charge_id=charge.id,
                    account_id=charge.account_id,
                    pay_with=PayWith.DESK,
                    amount=amount,
                    discount=discount,
                ),
            )
        if handed_back:
            postings += [Posting("desk", handed_back), Posting("desk_owed", -handed_back)]
            amount = Money(handed_back, charge.currency)
            emit(
                tx,
                DeskRefundPaid(organisation_id=org, payment_id=charge.payment_id, account_id=charge.account_id, amount=amount),
            )
        if postings:
            await queries.transfer(
                tx,
                org,
                new_id(),
                "desk_settle",
                charge.currency,
                postings,
                now,
                payment_id=charge.payment_id,
                charge_id=charge.id,
                account_id=charge.account_id,
            )


def _repeated_refund(refund: Refund, before: queries.RefundRow) -> RefundResult:
    asked = None if before.asked is None else Money(before.asked, before.currency)
    if before.payment_id != refund.payment_id or asked != refund.amount:
        raise RefundMismatch
    return _refund_result(refund, before.currency, before.to_credits, before.at_desk, before.waived)


def _refund_result(refund: Refund, currency: str, to_credits: int, at_desk: int, waived: int) -> RefundResult:
    return RefundResult(
        refund_id=refund.refund_id,
        payment_id=refund.payment_id,
        amount=Money(to_credits + at_desk + waived, currency),
        to_credits=Money(to_credits, currency),
        at_desk=Money(at_desk, currency),
        waived=Money(waived, currency),
    )


def _wallet_order(part: Portion) -> UUID:
    # Shares of one payment may lie in several wallets; they are locked in one order.
    return part.charge.account_id or NIL
