"""What people and staff see: payments, wallets, the ledger and its proof."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeVar
from uuid import UUID

import msgspec

from forecourt.kernel.context import Context
from forecourt.kernel.db import Query
from forecourt.kernel.errors import Invalid, NotFound
from forecourt.kernel.money import Money
from forecourt.kernel.paging import Keyset, Page
from forecourt.kernel.period import Period
from forecourt.modules.payments import personal, queries, rules
from forecourt.modules.payments.contract import (
    PaymentState,
    Revenue,
    Wallet,
)
from forecourt.modules.payments.service.base import Base, person_of
from forecourt.modules.payments.service.credits import lot_of

Row = TypeVar("Row")

MAX_FAULTS = 50
MAX_ORGANISATIONS = 100
FOREVER = datetime(2199, 12, 31, tzinfo=UTC)
BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)
LEDGER_ACCOUNTS = (
    "wallet",
    "revenue",
    "granted",
    "purchased",
    "subscription",
    "expired",
    "desk",
    "desk_due",
    "desk_owed",
    "reserved",
)
Moment = tuple[datetime, UUID, int]
ENTRIES = Keyset("ledger entries", Moment)
HISTORY = Keyset("wallet history", Moment)


class ProofLine(msgspec.Struct, frozen=True):
    """What the books of one currency say: entries, their sum (zero), and whatever does not add up (nothing)."""

    entries: int
    sum: int
    faults: list[str]


class Reading(Base):
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
        account_id = person_of(ctx)
        async with self._db.read(ctx.within(None)) as tx:
            payment = await self._customers.find(
                tx, account_id, lambda among: queries.payment_of_person(tx, among, payment_id, account_id)
            )
        if payment is None:
            raise NotFound
        # With the organisation: a payment's charges may be other people's, who paid their shares.
        async with self._db.read(ctx.within(payment.organisation_id)) as tx:
            return rules.state(payment, await queries.charges(tx, payment.organisation_id, payment.id))

    async def balance(self, ctx: Context, account_id: UUID) -> list[Wallet]:
        now = self._clock.now()
        async with self._db.read(ctx) as tx:
            among = await self._customers.read(tx, account_id) if ctx.organisation_id is None else [ctx.organisation_id]
            wallets = await queries.wallets(tx, account_id, among)
            lots = await queries.live_lots(tx, account_id, among, now)
            reserved = await queries.reserved(tx, account_id, among)
        set_aside = {(r.organisation_id, r.currency): r.amount for r in reserved}
        return [_wallet(w, lots, set_aside.get((w.organisation_id, w.currency), 0)) for w in wallets]

    async def own_wallets(self, ctx: Context) -> list[Wallet]:
        return await self.balance(ctx.within(None), person_of(ctx))

    async def history(self, ctx: Context, organisation_id: UUID, cursor: str | None, limit: int) -> Page[queries.WalletEntry]:
        """What happened to the actor's wallet at an organisation, newest first."""
        before = HISTORY.decode(cursor)
        async with self._db.read(ctx.within(None)) as tx:
            rows = await queries.wallet_entries(tx, person_of(ctx), organisation_id, before, limit + 1)
        return HISTORY.page(rows, limit, lambda row: (row.at, row.transfer_id, row.seq))

    async def kept_of(self, ctx: Context, query: Query[Row], after: tuple[object, ...], most: int) -> list[Row]:
        """What is kept of the actor, of one kind; see `personal.portion`."""
        account_id = person_of(ctx)
        async with self._db.read(ctx.within(None)) as tx:
            among = await self._customers.read(tx, account_id)
            return await personal.portion(tx, query, account_id, among, after, most)

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

    async def revenue(self, ctx: Context, organisation_ids: list[UUID], period: Period) -> list[Revenue]:
        """Each organisation's ledger is read as that organisation: row security lets no statement see two of them."""
        found: list[Revenue] = []
        async with self._db.read(ctx.within(None)) as tx:
            for id in organisation_ids[:MAX_ORGANISATIONS]:
                await tx.become(self._db.role, id)
                found.append(Revenue(id, await queries.revenue(tx, id, period)))
        return found

    async def proof(self, ctx: Context, organisation_id: UUID) -> dict[str, ProofLine]:
        """Per currency: do the books add up? Transfers, wallets, lots and charges are held against the entries."""
        async with self._db.read(ctx.within(organisation_id)) as tx:
            sums = await queries.sums(tx, organisation_id)
            faults = await queries.faults(tx, organisation_id, MAX_FAULTS)
        found: dict[str, ProofLine] = {s.currency: ProofLine(s.entries, s.sum, []) for s in sums}
        for fault in faults:
            found.setdefault(fault.currency, ProofLine(0, 0, [])).faults.append(fault.text)
        return found


def _wallet(row: queries.WalletRow, lots: list[queries.LotRow], reserved_minor: int) -> Wallet:
    in_it: Callable[[queries.LotRow], bool] = lambda lot: (  # noqa: E731
        lot.organisation_id == row.organisation_id and lot.currency == row.currency
    )
    own = [lot_of(lot) for lot in lots if in_it(lot)]
    balance = Money.total((lot.remaining for lot in own), row.currency)
    reserved = Money(reserved_minor, row.currency)
    return Wallet(organisation_id=row.organisation_id, account_id=row.account_id, balance=balance, reserved=reserved, lots=own)


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
