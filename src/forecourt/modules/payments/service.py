"""Use cases of payments. Locks are taken in one order everywhere: payment, promo code, wallet; so nobody waits in a circle."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID

import asyncpg
import msgspec

from forecourt.kernel.clock import Clock
from forecourt.kernel.context import Context
from forecourt.kernel.db import ModuleDatabase, Tx, constraint_of
from forecourt.kernel.errors import Invalid, NotFound, PreconditionFailed, Unauthenticated
from forecourt.kernel.events import emit
from forecourt.kernel.ids import new_id
from forecourt.kernel.metrics import Metrics
from forecourt.kernel.money import Money
from forecourt.kernel.paging import Keyset, Page
from forecourt.modules.payments import queries, rules
from forecourt.modules.payments.contract import (
    MAX_GRANT_MINOR,
    Charge,
    ChargeMismatch,
    ChargeStatus,
    CreditsExpired,
    CreditsGranted,
    CreditsReversed,
    DeskRefundPaid,
    Grant,
    GrantMismatch,
    InsufficientCredits,
    LedgerDisagrees,
    Lot,
    MeansNotSetUp,
    NewPromoCode,
    PaymentCaptured,
    PaymentDue,
    PaymentRefunded,
    PaymentResult,
    PaymentState,
    PayWith,
    PromoCode,
    PromoCodeChanged,
    PromoCodePatch,
    PromoCodeTaken,
    PromoDiscount,
    PromoFault,
    PromoKind,
    PromoRedeemed,
    PromoRejected,
    PromoReleased,
    PromoUse,
    Refund,
    RefundExceedsPayment,
    RefundMismatch,
    RefundResult,
    Reversal,
    Wallet,
)
from forecourt.modules.payments.queries import Posting
from forecourt.modules.payments.rules import ChargeRow, PaymentRow, Portion, Way
from forecourt.modules.venues.contract import Venues

EXPIRE_BATCH = 100
BOOKS_BATCH = 500
MAX_FAULTS = 50
FOREVER = datetime(2199, 12, 31, tzinfo=UTC)
BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)
NIL = UUID(int=0)

Moment = tuple[datetime, UUID, int]
ENTRIES = Keyset("ledger entries", Moment)
HISTORY = Keyset("wallet history", Moment)
PROMOS = Keyset("promo codes", str)


class ProofLine(msgspec.Struct, frozen=True):
    """What the books of one currency say: entries, their sum (zero), and whatever does not add up (nothing)."""

    entries: int
    sum: int
    faults: list[str]


class _Repeated(Exception):
    """There is a charge of that id; the transaction that found out is rolled back."""


def _rejected(fault: PromoFault) -> PromoRejected:
    return PromoRejected.because(fault, rules.FAULT_TEXTS[fault])


class PaymentsService:
    """Satisfies `contract.Payments`."""

    def __init__(self, db: ModuleDatabase, clock: Clock, venues: Venues, metrics: Metrics) -> None:
        self._db = db
        self._clock = clock
        self._venues = venues
        self._metrics = metrics

    # --------------------------------------------------------------------------------------------------------- charging

    async def charge(self, ctx: Context, charge: Charge) -> PaymentResult:
        _chargeable(charge)
        ctx = ctx.within(charge.organisation_id)
        try:
            async with self._db.tx(ctx) as tx:
                return await self._charge(tx, charge, self._clock.now())
        except _Repeated:
            return await self._repeated(ctx, charge)
        except PromoRejected:
            # The code may be used up by this very charge, made by a call whose answer was lost.
            async with self._db.tx(ctx) as tx:
                if await queries.charge(tx, charge.organisation_id, charge.charge_id or charge.payment_id) is None:
                    raise
            return await self._repeated(ctx, charge)

    async def _charge(self, tx: Tx, charge: Charge, now: datetime) -> PaymentResult:
        promo, discount = await self._redeem(tx, charge, now)
        charge_id = charge.charge_id or charge.payment_id
        amount = charge.amount - discount
        paid_now = charge.pay_with is PayWith.CREDITS or not amount
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
            promo.code if promo else None,
            now if paid_now else None,
            now,
        )
        if not opened:
            raise _Repeated
        if promo is not None:
            await self._note_redemption(tx, charge, charge_id, promo, discount, now)
        if amount:
            await self._take(tx, charge, charge_id, amount, now)
        self._report_charge(tx, charge, charge_id, amount, discount, paid_now=paid_now)
        return _result(charge.payment_id, charge_id, amount, discount, paid=paid_now)

    async def _take(self, tx: Tx, charge: Charge, charge_id: UUID, amount: Money, now: datetime) -> None:
        if charge.pay_with is PayWith.CREDITS and charge.account_id is not None:
            await self._spend(tx, charge, charge.account_id, charge_id, amount, now)
            return
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

    async def _spend(self, tx: Tx, charge: Charge, account_id: UUID, charge_id: UUID, amount: Money, now: datetime) -> None:
        org, currency = charge.organisation_id, amount.currency
        enough = await queries.spend(
            tx, org, account_id, currency, amount.amount, charge.payment_id, charge_id, charge.label, now
        )
        if not enough:
            balance = await queries.spendable(tx, org, account_id, currency, now)
            raise InsufficientCredits.short(Money(balance, currency), amount)

    def _report_charge(self, tx: Tx, charge: Charge, charge_id: UUID, amount: Money, discount: Money, *, paid_now: bool) -> None:
        org = charge.organisation_id
        if not paid_now:
            emit(
                tx,
                PaymentDue(
                    organisation_id=org,
                    payment_id=charge.payment_id,
                    charge_id=charge_id,
                    account_id=charge.account_id,
                    amount=amount,
                    discount=discount,
                ),
            )
            return
        self._captured(tx, org, charge.payment_id, charge_id, charge.account_id, charge.pay_with, amount, discount)

    def _captured(
        self,
        tx: Tx,
        organisation_id: UUID,
        payment_id: UUID,
        charge_id: UUID,
        account_id: UUID | None,
        pay_with: PayWith,
        amount: Money,
        discount: Money,
    ) -> None:
        emit(
            tx,
            PaymentCaptured(
                organisation_id=organisation_id,
                payment_id=payment_id,
                charge_id=charge_id,
                account_id=account_id,
                pay_with=pay_with,
                amount=amount,
                discount=discount,
            ),
        )
        tx.after_commit(lambda: self._metrics.took(amount))

    async def _repeated(self, ctx: Context, charge: Charge) -> PaymentResult:
        """The result the charge had. Raises ChargeMismatch when it was another."""
        charge_id = charge.charge_id or charge.payment_id
        async with self._db.tx(ctx) as tx:
            found = await queries.charge(tx, charge.organisation_id, charge_id)
        if found is None or not _same_charge(found, charge):
            raise ChargeMismatch
        currency = found.currency
        discount, amount = Money(found.discount, currency), Money(found.amount, currency)
        return _result(found.payment_id, found.id, amount, discount, paid=found.settled_at is not None)

    # -------------------------------------------------------------------------------------------------------- refunding

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
                postings = await self._to_lots(tx, org, part, now)
            case Way.AT_DESK:
                postings = [Posting("desk_owed", part.amount)]
            case Way.WAIVED:
                postings = [Posting("desk_due", part.amount)]
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

    async def _to_lots(self, tx: Tx, org: UUID, part: Portion, now: datetime) -> list[Posting]:
        """Back to the lots it was spent from. What was left of an expired lot expires before the lot is made good again."""
        account_id = part.charge.account_id
        if account_id is None:
            raise AssertionError("credits are a person's")
        await queries.lock_wallet(tx, org, account_id, part.charge.currency)
        spent = await queries.spent_lots(tx, org, part.charge.payment_id, part.charge.id)
        back = rules.back_to_lots(spent, part.amount)
        for lot_id, _ in back:
            expires_at = (await queries.lot(tx, org, lot_id)).expires_at
            extended = rules.expiry_after_refund(expires_at, now)
            if extended is not None and extended != expires_at:
                await self._expire(tx, org, lot_id, now)
                await queries.extend_lot(tx, org, lot_id, extended)
        return [Posting("wallet", amount, account_id, lot_id) for lot_id, amount in back]

    async def _release_codes(self, tx: Tx, org: UUID, payment_id: UUID, now: datetime) -> None:
        for use in await queries.release(tx, org, payment_id, now):
            emit(
                tx,
                PromoReleased(
                    organisation_id=org,
                    promo_id=use.promo_id,
                    payment_id=payment_id,
                    charge_id=use.charge_id,
                    account_id=use.account_id,
                ),
            )

    # --------------------------------------------------------------------------------------------------------- the desk

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
            self._captured(tx, org, charge.payment_id, charge.id, charge.account_id, PayWith.DESK, amount, discount)
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

    # ---------------------------------------------------------------------------------------------------------- looking

    async def status(self, ctx: Context, organisation_id: UUID, payment_id: UUID) -> PaymentState | None:
        # On the primary: recovery decides by this.
        async with self._db.tx(ctx.within(organisation_id)) as tx:
            payment = await queries.payment(tx, organisation_id, payment_id)
            if payment is None:
                return None
            return rules.state(payment, await queries.charges(tx, organisation_id, payment_id))

    async def payment(self, ctx: Context, organisation_id: UUID, payment_id: UUID) -> PaymentState:
        """For staff. Raises NotFound."""
        found = await self.status(ctx, organisation_id, payment_id)
        if found is None:
            raise NotFound
        return found

    async def own_payment(self, ctx: Context, payment_id: UUID) -> PaymentState:
        """The actor's own payment, wherever it was made. Raises NotFound."""
        account_id = _person(ctx)
        async with self._db.read(ctx.within(None)) as tx:
            payment = await queries.payment_of_person(tx, payment_id, account_id)
        # With the organisation: a payment's charges may be other people's, who paid their shares.
        async with self._db.read(ctx.within(payment.organisation_id)) as tx:
            return rules.state(payment, await queries.charges(tx, payment.organisation_id, payment.id))

    async def balance(self, ctx: Context, account_id: UUID) -> list[Wallet]:
        now = self._clock.now()
        async with self._db.read(ctx) as tx:
            wallets = await queries.wallets(tx, account_id, ctx.organisation_id)
            lots = await queries.live_lots(tx, account_id, ctx.organisation_id, now)
        return [_wallet(w, lots) for w in wallets]

    async def own_wallets(self, ctx: Context) -> list[Wallet]:
        return await self.balance(ctx.within(None), _person(ctx))

    async def history(self, ctx: Context, organisation_id: UUID, cursor: str | None, limit: int) -> Page[queries.WalletEntry]:
        """What happened to the actor's wallet at an organisation, newest first."""
        before = HISTORY.decode(cursor)
        async with self._db.read(ctx.within(None)) as tx:
            rows = await queries.wallet_entries(tx, _person(ctx), organisation_id, before, limit + 1)
        return HISTORY.page(rows, limit, lambda row: (row.at, row.transfer_id, row.seq))

    async def entries(
        self,
        ctx: Context,
        organisation_id: UUID,
        account: str | None,
        start: datetime | None,
        end: datetime | None,
        cursor: str | None,
        limit: int,
    ) -> Page[queries.EntryRow]:
        """The ledger, oldest first. `account` is a name (`revenue`) or one person's wallet (`wallet:<account id>`)."""
        name, account_id = _ledger_account(account)
        after = ENTRIES.decode(cursor)
        async with self._db.read(ctx.within(organisation_id)) as tx:
            rows = await queries.entries(
                tx, organisation_id, name, account_id, start or BEGINNING, end or FOREVER, after, limit + 1
            )
        return ENTRIES.page(rows, limit, lambda row: (row.at, row.transfer_id, row.seq))

    async def proof(self, ctx: Context, organisation_id: UUID) -> dict[str, ProofLine]:
        """Per currency: do the books add up? Transfers, wallets, lots and charges are held against the entries."""
        async with self._db.read(ctx.within(organisation_id)) as tx:
            sums = await queries.sums(tx, organisation_id)
            faults = await queries.faults(tx, organisation_id, MAX_FAULTS)
        found: dict[str, ProofLine] = {s.currency: ProofLine(s.entries, s.sum, []) for s in sums}
        for fault in faults:
            found.setdefault(fault.currency, ProofLine(0, 0, [])).faults.append(fault.text)
        return found

    # ---------------------------------------------------------------------------------------------------------- credits

    async def grant(self, ctx: Context, grant: Grant) -> Lot:
        organisation = await self._venues.organisation(ctx.within(grant.organisation_id), grant.organisation_id)
        if grant.amount.currency != organisation.currency:
            raise Invalid.field("amount.currency", f"credits here are in {organisation.currency}")
        if not 1 <= grant.amount.amount <= MAX_GRANT_MINOR:
            raise Invalid.field("amount.amount", f"from 1 to {MAX_GRANT_MINOR}")
        async with self._db.tx(ctx.within(grant.organisation_id)) as tx:
            return await self._grant(tx, grant, self._clock.now())

    async def _grant(self, tx: Tx, grant: Grant, now: datetime) -> Lot:
        org, person, currency, amount = grant.organisation_id, grant.account_id, grant.amount.currency, grant.amount.amount
        await queries.open_wallet(tx, org, person, currency)
        is_new = await queries.insert_lot(
            tx, org, grant.lot_id, person, currency, grant.kind, amount, grant.reason, grant.expires_at, now
        )
        if not is_new:
            found = _lot(await queries.lot(tx, org, grant.lot_id))
            if (found.account_id, found.kind, found.amount) != (person, grant.kind, grant.amount):
                raise GrantMismatch
            return found
        if grant.expires_at is not None and grant.expires_at <= now:
            raise Invalid.field("expires_at", "lies in the past")
        await queries.open_book(tx, org, now)
        await queries.transfer(
            tx,
            org,
            grant.lot_id,
            "grant",
            currency,
            [Posting("wallet", amount, person, grant.lot_id), Posting(grant.kind.value, -amount)],
            now,
            account_id=person,
            reason=grant.reason,
        )
        emit(
            tx,
            CreditsGranted(
                organisation_id=org,
                account_id=person,
                lot_id=grant.lot_id,
                kind=grant.kind,
                amount=grant.amount,
                reason=grant.reason,
                expires_at=grant.expires_at,
            ),
        )
        return _lot(await queries.lot(tx, org, grant.lot_id))

    async def reverse(self, ctx: Context, reversal: Reversal) -> Money:
        org, now = reversal.organisation_id, self._clock.now()
        async with self._db.tx(ctx.within(org)) as tx:
            lot = await queries.lot(tx, org, reversal.lot_id)
            await queries.lock_wallet(tx, org, lot.account_id, lot.currency)
            before = await queries.reversed_amount(tx, org, reversal.reversal_id)
            if before is not None:
                return Money(before, lot.currency)
            lot = await queries.lot(tx, org, reversal.lot_id)
            amount = Money(lot.remaining, lot.currency)
            if not amount:
                return amount
            await queries.transfer(
                tx,
                org,
                reversal.reversal_id,
                "reverse",
                lot.currency,
                [Posting("wallet", -lot.remaining, lot.account_id, lot.id), Posting(lot.kind.value, lot.remaining)],
                now,
                account_id=lot.account_id,
                reason=reversal.reason,
            )
            emit(
                tx,
                CreditsReversed(
                    organisation_id=org, account_id=lot.account_id, lot_id=lot.id, amount=amount, reason=reversal.reason
                ),
            )
            return amount

    async def expire_due(self, ctx: Context, organisation_id: UUID) -> int:
        """Takes what is left of expired lots out of their wallets; returns how many lots. Runs until none is due."""
        done = 0
        while True:
            now = self._clock.now()
            async with self._db.tx(ctx.within(organisation_id)) as tx:
                due = await queries.due_lots(tx, organisation_id, now, EXPIRE_BATCH)
            for lot in due:
                # One lot, one transaction: wallets are held for a moment only, and one at a time.
                async with self._db.tx(ctx.within(organisation_id)) as tx:
                    await queries.lock_wallet(tx, organisation_id, lot.account_id, lot.currency)
                    await self._expire(tx, organisation_id, lot.id, now)
            done += len(due)
            if len(due) < EXPIRE_BATCH:
                return done

    async def _expire(self, tx: Tx, org: UUID, lot_id: UUID, now: datetime) -> None:
        """Under the wallet's lock. A lot that was spent or made good in the meantime stays."""
        lot = await queries.lot(tx, org, lot_id)
        if not lot.remaining or lot.expires_at is None or lot.expires_at > now:
            return
        postings = [Posting("wallet", -lot.remaining, lot.account_id, lot.id), Posting("expired", lot.remaining)]
        await queries.transfer(tx, org, new_id(), "expire", lot.currency, postings, now, account_id=lot.account_id)
        amount = Money(lot.remaining, lot.currency)
        emit(tx, CreditsExpired(organisation_id=org, account_id=lot.account_id, lot_id=lot.id, amount=amount))

    # ------------------------------------------------------------------------------------------------------- promo codes

    async def price_promo(
        self, ctx: Context, organisation_id: UUID, account_id: UUID | None, total: Money, promo: PromoUse
    ) -> PromoDiscount:
        if total.amount < 0:
            raise Invalid.field("total.amount", "at least 0")
        async with self._db.read(ctx.within(organisation_id)) as tx:
            code = await self._fitting(tx, organisation_id, account_id, total, promo, self._clock.now())
            if code.total_limit is not None and code.used >= code.total_limit:
                raise _rejected(PromoFault.USED_UP)
            if account_id is not None:
                await self._check_person(tx, code, organisation_id, account_id)
        off = rules.discount(code, total, promo.duration_min)
        return PromoDiscount(code=code.code, label=code.label, discount=off, total=total - off)

    async def _check_person(self, tx: Tx, code: PromoCode, org: UUID, account_id: UUID) -> None:
        limit = rules.person_limit(code)
        if limit is not None and await queries.used_by_person(tx, org, code.id, account_id) >= limit:
            raise _rejected(PromoFault.USED_UP_BY_PERSON)
        if code.first_time_only and await queries.has_paid_before(tx, org, account_id, NIL):
            raise _rejected(PromoFault.NOT_FIRST_TIME)

    async def _fitting(self, tx: Tx, org: UUID, account_id: UUID | None, total: Money, use: PromoUse, now: datetime) -> PromoCode:
        code = await queries.promo_by_code(tx, org, use.code)
        if code is None:
            raise _rejected(PromoFault.UNKNOWN)
        fault = rules.promo_fault(code, use, total, account_id, now)
        if fault is not None:
            raise _rejected(fault)
        return code

    async def _redeem(self, tx: Tx, charge: Charge, now: datetime) -> tuple[PromoCode | None, Money]:
        """Counts a use of the charge's code; the code, and what it takes off. The counters decide, not what was read."""
        zero = Money.zero(charge.amount.currency)
        if charge.promo is None:
            return None, zero
        org, person = charge.organisation_id, charge.account_id
        found = await self._fitting(tx, org, person, charge.amount, charge.promo, now)
        if not await queries.use_promo(tx, org, found.id):
            raise _rejected(PromoFault.USED_UP)
        # The row is ours now: read it again, for it may have been edited since.
        code = await self._fitting(tx, org, person, charge.amount, charge.promo, now)
        if person is not None and not await queries.use_promo_by_person(tx, org, code.id, person, rules.person_limit(code)):
            raise _rejected(PromoFault.USED_UP_BY_PERSON)
        if code.first_time_only and person is not None and await queries.has_paid_before(tx, org, person, charge.payment_id):
            raise _rejected(PromoFault.NOT_FIRST_TIME)
        if not await queries.other_codes_stack(tx, org, charge.payment_id, code):
            raise _rejected(PromoFault.DOES_NOT_STACK)
        return code, rules.discount(code, charge.amount, charge.promo.duration_min)

    async def _note_redemption(
        self, tx: Tx, charge: Charge, charge_id: UUID, promo: PromoCode, discount: Money, now: datetime
    ) -> None:
        org, person, payment_id = charge.organisation_id, charge.account_id, charge.payment_id
        await queries.insert_redemption(tx, org, charge_id, promo.id, payment_id, person, discount.amount, now)
        emit(
            tx,
            PromoRedeemed(
                organisation_id=org,
                promo_id=promo.id,
                payment_id=payment_id,
                charge_id=charge_id,
                account_id=person,
                discount=discount,
            ),
        )

    async def make_promo(self, ctx: Context, organisation_id: UUID, new: NewPromoCode) -> PromoCode:
        """Raises PromoCodeTaken, Invalid. A retry with the same idempotency id returns what it made."""
        organisation = await self._venues.organisation(ctx.within(organisation_id), organisation_id)
        if new.kind is PromoKind.PERCENT and new.value > 100:
            raise Invalid.field("value", "at most 100 percent")
        _check_window(new.starts_at, new.ends_at)
        promo_id = ctx.idempotency_id or new_id()
        try:
            async with self._db.tx(ctx) as tx:
                await queries.insert_promo(tx, organisation_id, promo_id, new, organisation.currency, self._clock.now())
                made = await queries.promo(tx, organisation_id, promo_id)
                self._report_code(tx, made)
                return made
        except asyncpg.UniqueViolationError as e:
            if constraint_of(e) == "promo_code_is_unique":
                async with self._db.tx(ctx) as tx:
                    found = await queries.promo_by_code(tx, organisation_id, new.code)
                if found is not None and found.id == promo_id:
                    return found
                raise PromoCodeTaken from e
            raise

    async def change_promo(
        self, ctx: Context, organisation_id: UUID, promo_id: UUID, patch: PromoCodePatch, if_match: int | None
    ) -> PromoCode:
        """Raises NotFound, PreconditionFailed, Invalid."""
        async with self._db.tx(ctx) as tx:
            old = await queries.lock_promo(tx, organisation_id, promo_id)
            if if_match is not None and if_match != old.version:
                raise PreconditionFailed
            fields = msgspec.structs.asdict(patch)
            changed = msgspec.structs.replace(old, **{k: v for k, v in fields.items() if v is not msgspec.UNSET})
            _check_window(changed.starts_at, changed.ends_at)
            await queries.update_promo(tx, changed)
            self._report_code(tx, changed)
            return await queries.promo(tx, organisation_id, promo_id)

    def _report_code(self, tx: Tx, promo: PromoCode) -> None:
        emit(
            tx,
            PromoCodeChanged(organisation_id=promo.organisation_id, promo_id=promo.id, code=promo.code, active=promo.active),
        )

    async def promos(self, ctx: Context, organisation_id: UUID, cursor: str | None, limit: int) -> Page[PromoCode]:
        """By code."""
        after = PROMOS.decode(cursor)
        async with self._db.read(ctx) as tx:
            rows = await queries.promos(tx, organisation_id, after, limit + 1)
        return PROMOS.page(rows, limit, lambda row: row.code)

    # -------------------------------------------------------------------------------------------------- for every ledger

    async def expire_everywhere(self, ctx: Context) -> int:
        """Expires what is due at every organisation; returns how many lots."""
        return sum([await self.expire_due(ctx, org) for org in await self._books(ctx)])

    async def prove_everywhere(self, ctx: Context) -> list[UUID]:
        """The nightly proof. Emits LedgerDisagrees for, and returns, every organisation whose books do not add up."""
        wrong: list[UUID] = []
        for org in await self._books(ctx):
            lines = await self.proof(ctx, org)
            faults = [f for line in lines.values() for f in line.faults]
            faults += [f"{currency} sums to {line.sum}" for currency, line in lines.items() if line.sum]
            if faults:
                wrong.append(org)
                async with self._db.tx(ctx.within(org)) as tx:
                    emit(tx, LedgerDisagrees(organisation_id=org, faults=faults))
        return wrong

    async def _books(self, ctx: Context) -> list[UUID]:
        found: list[UUID] = []
        while True:
            async with self._db.read(ctx.within(None)) as tx:
                batch = await queries.books(tx, found[-1] if found else NIL, BOOKS_BATCH)
            found += batch
            if len(batch) < BOOKS_BATCH:
                return found


# ------------------------------------------------------------------------------------------------------------- helpers

_NAMES = {PayWith.CARD: "card", PayWith.JAZZCASH: "JazzCash", PayWith.EASYPAISA: "EasyPaisa", PayWith.BANK_TRANSFER: "bank"}
LEDGER_ACCOUNTS = ("wallet", "revenue", "granted", "purchased", "subscription", "expired", "desk", "desk_due", "desk_owed")


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


def _result(payment_id: UUID, charge_id: UUID, amount: Money, discount: Money, *, paid: bool) -> PaymentResult:
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


def _person(ctx: Context) -> UUID:
    if ctx.account_id is None:
        raise Unauthenticated
    return ctx.account_id


def _lot(row: queries.LotRow) -> Lot:
    return Lot(
        id=row.id,
        organisation_id=row.organisation_id,
        account_id=row.account_id,
        kind=row.kind,
        amount=Money(row.amount, row.currency),
        remaining=Money(row.remaining, row.currency),
        expires_at=row.expires_at,
        created_at=row.created_at,
    )


def _wallet(row: queries.WalletRow, lots: list[queries.LotRow]) -> Wallet:
    in_it: Callable[[queries.LotRow], bool] = lambda lot: (  # noqa: E731
        lot.organisation_id == row.organisation_id and lot.currency == row.currency
    )
    own = [_lot(lot) for lot in lots if in_it(lot)]
    balance = Money.total((lot.remaining for lot in own), row.currency)
    return Wallet(organisation_id=row.organisation_id, account_id=row.account_id, balance=balance, lots=own)


def _ledger_account(account: str | None) -> tuple[str | None, UUID | None]:
    """Raises Invalid for what is no account of the ledger."""
    if account is None:
        return None, None
    name, _, person = account.partition(":")
    try:
        account_id = UUID(person) if person else None
    except ValueError:
        raise Invalid.field("account", "wallet: is followed by an account id") from None
    if name not in LEDGER_ACCOUNTS or (account_id is not None and name != "wallet"):
        raise Invalid.field("account", f"is one of {', '.join(LEDGER_ACCOUNTS)}, or wallet:<account id>")
    return name, account_id


def _check_window(starts_at: datetime | None, ends_at: datetime | None) -> None:
    if starts_at is not None and ends_at is not None and starts_at >= ends_at:
        raise Invalid.field("ends_at", "lies after starts_at")
