"""Payments as booking uses them: one payment per booking, whose id is the booking's, and ids derived from it for the rest."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID, uuid5

from forecourt.kernel.context import Context
from forecourt.kernel.errors import Invalid, NotFound
from forecourt.kernel.money import Money
from forecourt.modules.booking.contract import Pay, PayWith
from forecourt.modules.booking.queries import BookingRow, Receipt
from forecourt.modules.payments.contract import (
    Authorisation,
    AuthorisationEnded,
    AuthorisationStatus,
    Authorise,
    Cause,
    Charge,
    ChargeMismatch,
    PaymentResult,
    Payments,
    PaymentState,
    PromoRejected,
    PromoUse,
    Refund,
    RefundExceedsPayment,
    RefundMismatch,
    RefundResult,
)
from forecourt.modules.payments.contract import PayWith as Means

HELD_PAST_START = timedelta(hours=1)
"""A request that nobody answered is declined when it would begin; what was set aside for it ends by itself so much later."""


class Returned(Exception):
    """The second half of a payment was refused after the first had been taken; all of it is given back. Carries the refusal."""

    def __init__(self, why: Exception) -> None:
        super().__init__(str(why))
        self.why = why


def derived(booking_id: UUID, what: str) -> UUID:
    """An id that is the same on every retry of the same thing."""
    return uuid5(booking_id, what)


class Till:
    def __init__(self, payments: Payments) -> None:
        self.payments = payments

    async def collect(self, ctx: Context, row: BookingRow, pay: Pay) -> Receipt:
        """Takes the price of a held booking. Repeating it has one effect. A refusal has written nothing, but for `Returned`.

        Raises what `Payments.charge` raises.
        """
        promo = pay.promo_code or row.promo_code
        if row.price_minor == 0 and promo is None:
            return Receipt(0, 0, 0, pay.pay_with)
        if pay.credits_amount is not None and pay.pay_with is not PayWith.CREDITS and pay.credits_amount < row.price_minor:
            if promo is not None:
                raise Invalid.field("credits_amount", "does not go together with a promo code")
            return await self._in_parts(ctx, row, pay, pay.credits_amount)
        means = PayWith.CREDITS if pay.credits_amount is not None else pay.pay_with
        try:
            return _receipt(await self._charge(ctx, row, row.list_minor, means, promo=promo), means)
        except PromoRejected:
            # A quote holds, even when its code has been used up since.
            if row.quote_id is None or pay.promo_code not in (None, row.promo_code):
                raise
            return _receipt(await self._charge(ctx, row, row.price_minor, means), means)
        except ChargeMismatch:
            # Another request of the same moment paid in another way.
            state = await self.state(ctx, row)
            receipt = None if state is None else settled(state, row)
            if receipt is None:
                raise
            return receipt

    async def _in_parts(self, ctx: Context, row: BookingRow, pay: Pay, credits_minor: int) -> Receipt:
        first = await self._charge(ctx, row, credits_minor, PayWith.CREDITS)
        rest = row.price_minor - credits_minor
        try:
            second = await self._charge(ctx, row, rest, pay.pay_with, charge_id=derived(row.id, "rest"))
        except Exception as e:
            raise Returned(e) from e
        return Receipt(
            row.price_minor, first.paid.amount + second.paid.amount, first.due.amount + second.due.amount, pay.pay_with
        )

    # --- requests that staff have to agree to

    async def authorise(self, ctx: Context, row: BookingRow) -> Authorisation:
        """Sets the price of a request aside. Repeating it has one effect. Raises what `Payments.authorise` raises."""
        expires_at = row.starts_at + HELD_PAST_START
        try:
            charge = self._wish(row, row.list_minor, PayWith.CREDITS, promo=row.promo_code)
            return await self.payments.authorise(ctx, Authorise(charge=charge, expires_at=expires_at))
        except PromoRejected:
            # A quote holds, even when its code has been used up since.
            if row.quote_id is None:
                raise
            charge = self._wish(row, row.price_minor, PayWith.CREDITS)
            return await self.payments.authorise(ctx, Authorise(charge=charge, expires_at=expires_at))
        except ChargeMismatch:
            # An earlier attempt went without the code, see above.
            found = await self.authorised(ctx, row)
            if found is None:
                raise
            return found

    async def authorised(self, ctx: Context, row: BookingRow) -> Authorisation | None:
        return await self.payments.authorisation(ctx, row.organisation_id, row.id)

    async def capture(self, ctx: Context, row: BookingRow) -> Receipt | None:
        """What was set aside becomes the payment; None when nothing is set aside, and from then on nothing will be."""
        try:
            return _receipt(await self.payments.capture(ctx, row.organisation_id, row.id), PayWith.CREDITS)
        except (NotFound, AuthorisationEnded):
            ended = await self.release(ctx, row)
        if ended.status is AuthorisationStatus.CAPTURED:
            return _receipt(await self.payments.capture(ctx, row.organisation_id, row.id), PayWith.CREDITS)
        return None

    async def release(self, ctx: Context, row: BookingRow) -> Authorisation:
        """Gives back what was set aside, and refuses what is about to be."""
        return await self.payments.release(ctx, row.organisation_id, row.id, row.currency)

    # --- more and less

    async def charge_more(
        self, ctx: Context, row: BookingRow, amount_minor: int, pay_with: PayWith, charge_id: UUID
    ) -> PaymentResult:
        """A further charge for a booking that costs more than before."""
        return await self._charge(ctx, row, amount_minor, pay_with, charge_id=charge_id)

    async def _charge(
        self,
        ctx: Context,
        row: BookingRow,
        amount_minor: int,
        pay_with: PayWith,
        *,
        promo: str | None = None,
        charge_id: UUID | None = None,
    ) -> PaymentResult:
        return await self.payments.charge(ctx, self._wish(row, amount_minor, pay_with, promo=promo, charge_id=charge_id))

    def _wish(
        self,
        row: BookingRow,
        amount_minor: int,
        pay_with: PayWith,
        *,
        promo: str | None = None,
        charge_id: UUID | None = None,
    ) -> Charge:
        use = None if promo is None else PromoUse(promo, row.venue_id, row.starts_at, row.period.duration_min)
        return Charge(
            payment_id=row.id,
            organisation_id=row.organisation_id,
            account_id=row.account_id,
            amount=Money(amount_minor, row.currency),
            pay_with=Means(pay_with.value),
            promo=use,
            charge_id=charge_id,
        )

    async def state(self, ctx: Context, row: BookingRow) -> PaymentState | None:
        return await self.payments.status(ctx, row.organisation_id, row.id)

    async def give_back(self, ctx: Context, row: BookingRow, refund_id: UUID, amount_minor: int, reason: str) -> tuple[int, int]:
        """Returns what went back and what is no longer due, minor units. Both are 0 when nothing was ever charged.

        When staff gave back a part of the payment before and less is left than asked, all that is left goes back.
        """
        asked = Money(amount_minor, row.currency)
        why = reason or Cause.CHANGED.value
        try:
            try:
                done = await self._refund(ctx, row, refund_id, asked, why)
            except (RefundExceedsPayment, RefundMismatch):
                # A mismatch is the retry of a refund that came to what was left.
                done = await self._refund(ctx, row, refund_id, None, why)
        except NotFound:
            return 0, 0
        return done.to_credits.amount + done.at_desk.amount, done.waived.amount

    async def _refund(self, ctx: Context, row: BookingRow, refund_id: UUID, amount: Money | None, reason: str) -> RefundResult:
        """`amount` None: all that is left."""
        refund = Refund(refund_id=refund_id, payment_id=row.id, organisation_id=row.organisation_id, amount=amount, reason=reason)
        return await self.payments.refund(ctx, refund)


def settled(state: PaymentState, row: BookingRow) -> Receipt | None:
    """What the payment came to when it covers the booking's price and nothing was given back; None otherwise."""
    price = state.paid.amount + state.due.amount
    by_code = state.discount.amount > 0
    if state.refunded.amount or not state.charges or (price < row.price_minor and not by_code):
        return None
    means = PayWith(state.charges[0].pay_with.value)
    return Receipt(price, state.paid.amount, state.due.amount, means)


def _receipt(result: PaymentResult, pay_with: PayWith) -> Receipt:
    return Receipt(result.amount.amount, result.paid.amount, result.due.amount, pay_with)
