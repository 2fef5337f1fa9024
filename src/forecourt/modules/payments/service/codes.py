"""Promo codes: made, priced, used and freed."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import asyncpg
import msgspec

from forecourt.kernel.context import Context
from forecourt.kernel.db import Tx
from forecourt.kernel.errors import Invalid, PreconditionFailed
from forecourt.kernel.events import emit
from forecourt.kernel.ids import new_id
from forecourt.kernel.money import Money
from forecourt.kernel.paging import Keyset, Page
from forecourt.modules.payments import queries, rules
from forecourt.modules.payments.contract import (
    Charge,
    NewPromoCode,
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
)
from forecourt.modules.payments.service.base import Base

NIL = UUID(int=0)
PROMOS = Keyset("promo codes", str)


class Codes(Base):
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

    async def _note_use(
        self,
        tx: Tx,
        org: UUID,
        payment_id: UUID,
        charge_id: UUID,
        account_id: UUID | None,
        promo_id: UUID,
        discount: Money,
        now: datetime,
    ) -> None:
        """What a code took off a charge, so that giving the payment back frees the code."""
        await queries.insert_redemption(tx, org, charge_id, promo_id, payment_id, account_id, discount.amount, now)
        emit(
            tx,
            PromoRedeemed(
                organisation_id=org,
                promo_id=promo_id,
                payment_id=payment_id,
                charge_id=charge_id,
                account_id=account_id,
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
            # The code, or on a retry the id, is there already.
            async with self._db.tx(ctx) as tx:
                found = await queries.promo_by_code(tx, organisation_id, new.code)
            if found is not None and found.id == promo_id:
                return found
            raise PromoCodeTaken from e

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


def _rejected(fault: PromoFault) -> PromoRejected:
    return PromoRejected.because(fault, rules.FAULT_TEXTS[fault])


def _check_window(starts_at: datetime | None, ends_at: datetime | None) -> None:
    if starts_at is not None and ends_at is not None and starts_at >= ends_at:
        raise Invalid.field("ends_at", "lies after starts_at")
