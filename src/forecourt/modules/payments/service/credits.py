"""Credits: granted, reversed, expired."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from forecourt.kernel.context import Context
from forecourt.kernel.db import Tx
from forecourt.kernel.errors import Invalid
from forecourt.kernel.events import emit
from forecourt.kernel.ids import new_id
from forecourt.kernel.money import Money
from forecourt.modules.payments import queries, rules
from forecourt.modules.payments.contract import (
    MAX_GRANT_MINOR,
    CreditsExpired,
    CreditsGranted,
    CreditsReversed,
    Grant,
    GrantMismatch,
    Lot,
    Reversal,
)
from forecourt.modules.payments.queries import Posting
from forecourt.modules.payments.service.base import Base

EXPIRE_BATCH = 100


class Credits(Base):
    async def grant_by_staff(self, ctx: Context, grant: Grant) -> Lot:
        """`grant`, to an account that a person typed in: credits of nobody could be neither spent nor found again.

        Raises Invalid for an account that does not exist, and what `grant` raises.
        """
        if not await self._identity.accounts(ctx, [grant.account_id]):
            raise Invalid.field("account_id", "is not an account")
        return await self.grant(ctx, grant)

    async def grant(self, ctx: Context, grant: Grant) -> Lot:
        organisation = await self._venues.organisation(ctx.within(grant.organisation_id), grant.organisation_id)
        if grant.amount.currency != organisation.currency:
            raise Invalid.field("amount.currency", f"credits here are in {organisation.currency}")
        if not 1 <= grant.amount.amount <= MAX_GRANT_MINOR:
            raise Invalid.field("amount.amount", f"from 1 to {MAX_GRANT_MINOR}")
        note = self._customers.note(grant.account_id, grant.organisation_id)
        async with self._db.tx(ctx.within(grant.organisation_id), note=note) as tx:
            return await self._grant(tx, grant, self._clock.now())

    async def _grant(self, tx: Tx, grant: Grant, now: datetime) -> Lot:
        org, person, currency, amount = grant.organisation_id, grant.account_id, grant.amount.currency, grant.amount.amount
        await queries.open_wallet(tx, org, person, currency)
        is_new = await queries.insert_lot(
            tx, org, grant.lot_id, person, currency, grant.kind, amount, grant.reason, grant.expires_at, now
        )
        if not is_new:
            found = lot_of(await queries.lot(tx, org, grant.lot_id))
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
        return lot_of(await queries.lot(tx, org, grant.lot_id))

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

    async def _to_lots(
        self, tx: Tx, org: UUID, account_id: UUID, payment_id: UUID, charge_id: UUID, amount: Money, now: datetime
    ) -> list[Posting]:
        """Back to the lots it was taken from. What was left of an expired lot expires before the lot is made good again."""
        await queries.lock_wallet(tx, org, account_id, amount.currency)
        spent = await queries.spent_lots(tx, org, payment_id, charge_id)
        back = rules.back_to_lots(spent, amount.amount)
        for lot_id, _ in back:
            expires_at = (await queries.lot(tx, org, lot_id)).expires_at
            extended = rules.expiry_after_refund(expires_at, now)
            if extended is not None and extended != expires_at:
                await self._expire(tx, org, lot_id, now)
                await queries.extend_lot(tx, org, lot_id, extended)
        return [Posting("wallet", part, account_id, lot_id) for lot_id, part in back]


def lot_of(row: queries.LotRow) -> Lot:
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
