"""Taking money and credits."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from forecourt.kernel.context import Context
from forecourt.kernel.db import Plans, Tx
from forecourt.kernel.errors import Invalid
from forecourt.kernel.events import emit
from forecourt.kernel.money import Money
from forecourt.modules.payments import queries
from forecourt.modules.payments.contract import (
    Charge,
    ChargeMismatch,
    ChargeStatus,
    InsufficientCredits,
    MeansNotSetUp,
    PaymentCaptured,
    PaymentDue,
    PaymentResult,
    PayWith,
    PromoRejected,
)
from forecourt.modules.payments.queries import Posting
from forecourt.modules.payments.rules import ChargeRow
from forecourt.modules.payments.service.codes import Codes

_NAMES = {PayWith.CARD: "card", PayWith.JAZZCASH: "JazzCash", PayWith.EASYPAISA: "EasyPaisa", PayWith.BANK_TRANSFER: "bank"}


class _Repeated(Exception):
    """There is a charge of that id; the transaction that found out is rolled back."""


class Charging(Codes):
    async def charge(self, ctx: Context, charge: Charge) -> PaymentResult:
        _chargeable(charge)
        ctx = ctx.within(charge.organisation_id)
        # Credits come out of a wallet, and whoever has one was noted with it.
        spends = charge.pay_with is PayWith.CREDITS and charge.amount.amount > 0 and charge.promo is None
        note = self._customers.note(charge.account_id, charge.organisation_id, is_there=spends)
        try:
            async with self._db.tx(ctx, plans=Plans.KEPT, note=note) as tx:
                return await self._charge(tx, charge, self._clock.now())
        except _Repeated:
            return await self._repeated(ctx, charge)
        except PromoRejected:
            # The code may be used up by this very charge, made by a call whose answer was lost.
            async with self._db.tx(ctx) as tx:
                found = await queries.charge(tx, charge.organisation_id, charge.charge_id or charge.payment_id)
            if found is None:
                raise
            return await self._repeated(ctx, charge)

    async def _charge(self, tx: Tx, charge: Charge, now: datetime) -> PaymentResult:
        promo, discount = await self._redeem(tx, charge, now)
        charge_id = charge.charge_id or charge.payment_id
        amount = charge.amount - discount
        code = promo.code if promo else None
        paid_now = charge.pay_with is PayWith.CREDITS or not amount
        if charge.pay_with is PayWith.CREDITS and charge.account_id is not None and amount:
            await self._spend(tx, charge, charge.account_id, charge_id, discount, code, now)
        else:
            await self._open(tx, charge, charge_id, discount, code, now if paid_now else None, now)
        if promo is not None:
            org, person = charge.organisation_id, charge.account_id
            await self._note_use(tx, org, charge.payment_id, charge_id, person, promo.id, discount, now)
        return charge_result(charge.payment_id, charge_id, amount, discount, paid=paid_now)

    async def _spend(
        self, tx: Tx, charge: Charge, account_id: UUID, charge_id: UUID, discount: Money, code: str | None, now: datetime
    ) -> None:
        org, price, currency = charge.organisation_id, charge.amount, charge.amount.currency
        captured = _captured(charge, charge_id, discount)
        taken = await queries.take(
            tx,
            org,
            charge_id,
            charge.payment_id,
            account_id,
            currency,
            charge.label,
            price.amount,
            discount.amount,
            code,
            captured,
            now,
        )
        if not taken.opened:
            raise _Repeated
        if not taken.enough:
            balance = await queries.spendable(tx, org, account_id, currency, now)
            raise InsufficientCredits.short(Money(balance, currency), captured.amount)

    async def _open(
        self,
        tx: Tx,
        charge: Charge,
        charge_id: UUID,
        discount: Money,
        code: str | None,
        settled_at: datetime | None,
        now: datetime,
    ) -> None:
        """A charge that takes nothing now: it costs nothing, or is due at the desk."""
        opened = await queries.open_charge(
            tx,
            charge.organisation_id,
            charge_id,
            charge.payment_id,
            charge.account_id,
            charge.pay_with,
            charge.amount.currency,
            charge.label,
            charge.amount.amount,
            discount.amount,
            code,
            settled_at,
            now,
        )
        if not opened:
            raise _Repeated
        if charge.amount == discount:
            self._told(tx, _captured(charge, charge_id, discount))
            return
        await self._owe(tx, charge, charge_id, charge.amount - discount, now)
        emit(
            tx,
            PaymentDue(
                organisation_id=charge.organisation_id,
                payment_id=charge.payment_id,
                charge_id=charge_id,
                account_id=charge.account_id,
                amount=charge.amount - discount,
                discount=discount,
            ),
        )

    async def _owe(self, tx: Tx, charge: Charge, charge_id: UUID, amount: Money, now: datetime) -> None:
        await queries.open_book(tx, charge.organisation_id, now)
        await queries.transfer(
            tx,
            charge.organisation_id,
            charge_id,
            "desk_charge",
            amount.currency,
            [Posting("revenue", amount.amount), Posting("desk_due", -amount.amount)],
            now,
            payment_id=charge.payment_id,
            charge_id=charge_id,
            account_id=charge.account_id,
            reason=charge.label,
        )

    async def _repeated(self, ctx: Context, charge: Charge) -> PaymentResult:
        """The result the charge had. Raises ChargeMismatch when it was another."""
        charge_id = charge.charge_id or charge.payment_id
        async with self._db.tx(ctx) as tx:
            found = await queries.charge(tx, charge.organisation_id, charge_id)
        if found is None or not _same_charge(found, charge):
            raise ChargeMismatch
        currency = found.currency
        discount, amount = Money(found.discount, currency), Money(found.amount, currency)
        return charge_result(found.payment_id, found.id, amount, discount, paid=found.settled_at is not None)


def _captured(charge: Charge, charge_id: UUID, discount: Money) -> PaymentCaptured:
    return PaymentCaptured(
        organisation_id=charge.organisation_id,
        payment_id=charge.payment_id,
        charge_id=charge_id,
        account_id=charge.account_id,
        pay_with=charge.pay_with,
        amount=charge.amount - discount,
        discount=discount,
    )


def _chargeable(charge: Charge) -> None:
    if charge.amount.amount < 0:
        raise Invalid.field("amount.amount", "at least 0")
    name = _NAMES.get(charge.pay_with)
    if name is not None:
        raise MeansNotSetUp(f"{name} payments are not set up at this organisation")
    if charge.pay_with is PayWith.CREDITS and charge.account_id is None:
        raise Invalid.field("pay_with", "credits belong to a person; a guest without an account pays at the desk")


def _same_charge(found: ChargeRow, charge: Charge) -> bool:
    asked = charge.promo.code.upper() if charge.promo else None
    return (
        found.payment_id == charge.payment_id
        and found.account_id == charge.account_id
        and found.pay_with is charge.pay_with
        and Money(found.price, found.currency) == charge.amount
        and found.promo_code == asked
    )


def charge_result(payment_id: UUID, charge_id: UUID, amount: Money, discount: Money, *, paid: bool) -> PaymentResult:
    zero = Money.zero(amount.currency)
    return PaymentResult(
        payment_id=payment_id,
        charge_id=charge_id,
        status=ChargeStatus.PAID if paid else ChargeStatus.DUE_AT_DESK,
        amount=amount,
        paid=amount if paid else zero,
        due=zero if paid else amount,
        discount=discount,
    )
