"""Setting credits aside, and taking them or giving them back once somebody has decided.

The authorisation's row is locked by whoever ends it, so it ends once: a capture and a release of the same moment find each
other's result. The credits are out of their lots meanwhile: they can neither be spent twice nor expire.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID, uuid5

import msgspec

from forecourt.kernel.context import Context
from forecourt.kernel.db import Tx
from forecourt.kernel.errors import Invalid, NotFound
from forecourt.kernel.events import emit
from forecourt.kernel.money import Money
from forecourt.modules.payments import queries, rules
from forecourt.modules.payments.contract import (
    Authorisation,
    AuthorisationEnded,
    AuthorisationStatus,
    Authorise,
    Charge,
    ChargeMismatch,
    InsufficientCredits,
    MeansNotSetUp,
    PaymentAuthorised,
    PaymentCaptured,
    PaymentReleased,
    PaymentResult,
    PayWith,
    PromoRejected,
)
from forecourt.modules.payments.queries import AuthorisationRow, Posting
from forecourt.modules.payments.service.charging import Charging, charge_result
from forecourt.modules.payments.service.credits import Credits

RELEASE_BATCH = 100


class _Repeated(Exception):
    """There is an authorisation of that id; the transaction that found out is rolled back."""


class Authorising(Charging, Credits):
    async def authorise(self, ctx: Context, wish: Authorise) -> Authorisation:
        charge = wish.charge
        if charge.pay_with is not PayWith.CREDITS or charge.account_id is None:
            raise MeansNotSetUp("only a person's credits can be set aside")
        if charge.amount.amount < 0:
            raise Invalid.field("charge.amount.amount", "at least 0")
        within = ctx.within(charge.organisation_id)
        try:
            async with self._db.tx(within) as tx:
                return await self._authorise(tx, charge, charge.account_id, wish.expires_at, self._clock.now())
        except _Repeated:
            return await self._authorised_before(within, charge)
        except PromoRejected:
            # The code may be used up by this very authorisation, made by a call whose answer was lost.
            if await self.authorisation(ctx, charge.organisation_id, charge.charge_id or charge.payment_id) is None:
                raise
            return await self._authorised_before(within, charge)

    async def _authorise(self, tx: Tx, charge: Charge, account_id: UUID, expires_at: datetime, now: datetime) -> Authorisation:
        promo, discount = await self._redeem(tx, charge, now)
        row = AuthorisationRow(
            id=charge.charge_id or charge.payment_id,
            payment_id=charge.payment_id,
            account_id=account_id,
            currency=charge.amount.currency,
            label=charge.label,
            price=charge.amount.amount,
            discount=discount.amount,
            promo_id=promo.id if promo else None,
            promo_code=promo.code if promo else None,
            state=AuthorisationStatus.HELD,
            expires_at=expires_at,
        )
        if not await queries.add_authorisation(tx, charge.organisation_id, row, now):
            raise _Repeated
        if expires_at <= now:
            raise Invalid.field("expires_at", "lies in the past")
        if row.amount:
            await self._set_aside(tx, charge.organisation_id, account_id, row, now)
        emit(
            tx,
            PaymentAuthorised(
                organisation_id=charge.organisation_id,
                payment_id=row.payment_id,
                charge_id=row.id,
                account_id=account_id,
                amount=Money(row.amount, row.currency),
                discount=discount,
                expires_at=expires_at,
            ),
        )
        return _shown(row)

    async def _set_aside(self, tx: Tx, org: UUID, account_id: UUID, row: AuthorisationRow, now: datetime) -> None:
        await queries.lock_wallet(tx, org, account_id, row.currency)
        lots = await queries.lots_to_spend(tx, org, account_id, row.currency, now)
        taken = rules.from_lots(lots, row.amount)
        if taken is None:
            balance = sum(lot.remaining for lot in lots)
            raise InsufficientCredits.short(Money(balance, row.currency), Money(row.amount, row.currency))
        # Wallet entries in the order of spending: a release gives the last one back first.
        postings = [*(Posting("wallet", -part, account_id, lot_id) for lot_id, part in taken), Posting("reserved", row.amount)]
        await self._transfer(tx, org, row, "reserve", postings, now)

    async def _authorised_before(self, ctx: Context, charge: Charge) -> Authorisation:
        """What there is. Raises ChargeMismatch when it was another, AuthorisationEnded when it was released unmade."""
        async with self._db.tx(ctx) as tx:
            row = await queries.authorisation(tx, charge.organisation_id, charge.charge_id or charge.payment_id)
        if row is None:
            raise ChargeMismatch
        if row.account_id is None:
            raise AuthorisationEnded
        asked = charge.promo.code.upper() if charge.promo else None
        said = (charge.payment_id, charge.account_id, charge.amount, asked)
        if said != (row.payment_id, row.account_id, Money(row.price, row.currency), row.promo_code):
            raise ChargeMismatch
        return _shown(row)

    # --- ending

    async def capture(self, ctx: Context, organisation_id: UUID, authorisation_id: UUID) -> PaymentResult:
        async with self._db.tx(ctx.within(organisation_id)) as tx:
            row = await queries.lock_authorisation(tx, organisation_id, authorisation_id)
            if row is None:
                raise NotFound
            now = self._clock.now()
            if row.state is AuthorisationStatus.HELD and now < row.expires_at:
                await self._capture(tx, organisation_id, row, now)
            elif row.state is not AuthorisationStatus.CAPTURED:
                raise AuthorisationEnded
        amount, discount = Money(row.amount, row.currency), Money(row.discount, row.currency)
        return charge_result(row.payment_id, row.id, amount, discount, paid=True)

    async def _capture(self, tx: Tx, org: UUID, row: AuthorisationRow, now: datetime) -> None:
        opened = await queries.open_charge(
            tx,
            org,
            row.id,
            row.payment_id,
            row.account_id,
            PayWith.CREDITS,
            row.currency,
            row.label,
            row.price,
            row.discount,
            row.promo_code,
            now,
            now,
        )
        if not opened:
            raise ChargeMismatch
        discount = Money(row.discount, row.currency)
        if row.promo_id is not None:
            await self._note_use(tx, org, row.payment_id, row.id, row.account_id, row.promo_id, discount, now)
        if row.amount:
            postings = [Posting("reserved", -row.amount), Posting("revenue", row.amount)]
            await self._transfer(tx, org, row, "capture", postings, now)
        await queries.end_authorisation(tx, org, row.id, AuthorisationStatus.CAPTURED, now)
        self._told(
            tx,
            PaymentCaptured(
                organisation_id=org,
                payment_id=row.payment_id,
                charge_id=row.id,
                account_id=row.account_id,
                pay_with=PayWith.CREDITS,
                amount=Money(row.amount, row.currency),
                discount=discount,
            ),
        )

    async def release(self, ctx: Context, organisation_id: UUID, authorisation_id: UUID, currency: str) -> Authorisation:
        async with self._db.tx(ctx.within(organisation_id)) as tx:
            now = self._clock.now()
            never = _never_made(authorisation_id, currency, now)
            if await queries.add_authorisation(tx, organisation_id, never, now):
                return _shown(never)
            row = await queries.lock_authorisation(tx, organisation_id, authorisation_id)
            if row is None:
                raise NotFound
            if row.state is AuthorisationStatus.HELD:
                row = await self._release(tx, organisation_id, row, now)
        return _shown(row)

    async def _release(self, tx: Tx, org: UUID, row: AuthorisationRow, now: datetime) -> AuthorisationRow:
        assert row.account_id is not None  # noqa: S101 - the table holds nothing else
        if row.promo_id is not None:
            await queries.unuse_promo(tx, org, row.promo_id, row.account_id)
        amount = Money(row.amount, row.currency)
        if amount:
            back = await self._to_lots(tx, org, row.account_id, row.payment_id, row.id, amount, now)
            await self._transfer(tx, org, row, "release", [Posting("reserved", -row.amount), *back], now)
        await queries.end_authorisation(tx, org, row.id, AuthorisationStatus.RELEASED, now)
        emit(
            tx,
            PaymentReleased(
                organisation_id=org, payment_id=row.payment_id, charge_id=row.id, account_id=row.account_id, amount=amount
            ),
        )
        return msgspec.structs.replace(row, state=AuthorisationStatus.RELEASED)

    async def release_expired(self, ctx: Context, organisation_id: UUID) -> int:
        """Gives back what nobody decided about in time; returns how many authorisations. Runs until none is due."""
        done = 0
        while True:
            async with self._db.tx(ctx.within(organisation_id)) as tx:
                due = await queries.expired_authorisations(tx, organisation_id, self._clock.now(), RELEASE_BATCH)
            for authorisation_id in due:
                async with self._db.tx(ctx.within(organisation_id)) as tx:
                    row = await queries.lock_authorisation(tx, organisation_id, authorisation_id)
                    if row is not None and row.state is AuthorisationStatus.HELD:
                        await self._release(tx, organisation_id, row, self._clock.now())
            done += len(due)
            if len(due) < RELEASE_BATCH:
                return done

    async def authorisation(self, ctx: Context, organisation_id: UUID, authorisation_id: UUID) -> Authorisation | None:
        # On the primary: recovery decides by this.
        async with self._db.tx(ctx.within(organisation_id)) as tx:
            row = await queries.authorisation(tx, organisation_id, authorisation_id)
        return None if row is None else _shown(row)

    async def _transfer(
        self, tx: Tx, org: UUID, row: AuthorisationRow, kind: str, postings: list[Posting], now: datetime
    ) -> None:
        await queries.transfer(
            tx,
            org,
            uuid5(row.id, kind),
            kind,
            row.currency,
            postings,
            now,
            payment_id=row.payment_id,
            charge_id=row.id,
            account_id=row.account_id,
            reason=row.label,
        )


def _never_made(authorisation_id: UUID, currency: str, now: datetime) -> AuthorisationRow:
    return AuthorisationRow(
        id=authorisation_id,
        payment_id=authorisation_id,
        account_id=None,
        currency=currency,
        label="",
        price=0,
        discount=0,
        promo_id=None,
        promo_code=None,
        state=AuthorisationStatus.RELEASED,
        expires_at=now,
    )


def _shown(row: AuthorisationRow) -> Authorisation:
    return Authorisation(
        id=row.id,
        payment_id=row.payment_id,
        status=row.state,
        amount=Money(row.amount, row.currency),
        discount=Money(row.discount, row.currency),
        expires_at=row.expires_at,
    )
