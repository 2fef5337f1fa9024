# ruff: noqa: S608 - statements are put together from constants of this file only
"""Every statement of payments. Amounts are minor units."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import LiteralString
from uuid import UUID

import msgspec

from forecourt.kernel.db import Query, Statement, Sweep, Tx
from forecourt.kernel.events import INSERT_EVENT, Event, emit_with
from forecourt.kernel.money import Money
from forecourt.kernel.period import Period
from forecourt.modules.payments.contract import AuthorisationStatus, LotKind, NewPromoCode, PayWith, PromoCode
from forecourt.modules.payments.rules import ChargeRow, LiveLot, PaymentRow, SpentLot

MAX_CHARGES = 200
"""Charges of one payment that are looked at: shares of a group, extensions."""
MAX_LOTS = 1000
"""Lots of one person that are shown."""

# -------------------------------------------------------------------------------------------------------------- charges

# A second charge of a payment in another currency inserts nothing and is found to be a mismatch.
_OPEN: LiteralString = """
    with payment as (
        insert into payments.payment (organisation_id, id, account_id, currency, label, created_at)
        values ($1, $3, $4, $6, $7, $12)
        on conflict (organisation_id, id) do nothing
    ), opened as (
        insert into payments.charge
            (organisation_id, id, payment_id, account_id, pay_with, currency, price, discount, promo_code, settled_at, created_at)
        select $1, $2, $3, $4, $5, $6, $8, $9, $10, $11, $12
        where not exists (
            select from payments.payment p where p.organisation_id = $1 and p.id = $3 and p.currency <> $6
        )
        on conflict (organisation_id, id) do nothing
        returning 1
    )"""
OPEN_CHARGE = Query(bool, _OPEN + " select exists (select from opened)")


class Taken(msgspec.Struct, frozen=True):
    """Whether the charge was opened, and whether the wallet had enough for it."""

    opened: bool
    enough: bool


# A charge from credits is one statement with its event; the caller rolls back unless both are true.
TAKE = Query(
    Taken,
    _OPEN
    + ", said as ("
    + INSERT_EVENT
    + " values ($13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23))"
    + " select o.opened, case when o.opened then payments.spend($1, $4, $6, $8 - $9, $2, $3, $2, $7, $12) else false end"
    + " from (select exists (select from opened) as opened) o",
)
CHARGE = Query(
    ChargeRow,
    "select c.id, c.payment_id, c.account_id, c.pay_with, c.currency, c.price, c.discount, c.promo_code, c.settled_at,"
    " c.refunded, c.waived, c.handed_back, c.created_at from payments.charge c where c.organisation_id = $1 and c.id = $2",
)
CHARGES = Query(
    ChargeRow,
    "select c.id, c.payment_id, c.account_id, c.pay_with, c.currency, c.price, c.discount, c.promo_code, c.settled_at,"
    " c.refunded, c.waived, c.handed_back, c.created_at from payments.charge c where c.organisation_id = $1 and c.payment_id = $2"
    " order by c.created_at, c.id limit $3",
)
PAYMENT = Query(
    PaymentRow,
    "select p.id, p.organisation_id, p.account_id, p.currency, p.label, p.created_at from payments.payment p"
    " where p.organisation_id = $1 and p.id = $2",
)
LOCK_PAYMENT = Query(
    PaymentRow,
    "select p.id, p.organisation_id, p.account_id, p.currency, p.label, p.created_at from payments.payment p"
    " where p.organisation_id = $1 and p.id = $2 for no key update",
)
# What is a person's is looked for where they have anything: the organisations are named, which `Whereabouts` knows.
CUSTOMER_OF = Query(
    UUID, "select c.organisation_id from payments.customer c where c.account_id = $1 order by c.organisation_id limit $2"
)
PAYMENT_OF_PERSON = Query(
    PaymentRow,
    "select p.id, p.organisation_id, p.account_id, p.currency, p.label, p.created_at from payments.payment p"
    " where p.organisation_id = any($1::uuid[]) and p.id = $2 and p.account_id = $3",
)
SETTLE_CHARGE = Statement(
    "update payments.charge set settled_at = coalesce(settled_at, $3), handed_back = refunded - waived"
    " where organisation_id = $1 and id = $2"
)


async def open_charge(
    tx: Tx,
    organisation_id: UUID,
    charge_id: UUID,
    payment_id: UUID,
    account_id: UUID | None,
    pay_with: PayWith,
    currency: str,
    label: str,
    price: int,
    discount: int,
    promo_code: str | None,
    settled_at: datetime | None,
    now: datetime,
) -> bool:
    """False when there is a charge of that id, or the payment is in another currency."""
    return await tx.one(
        OPEN_CHARGE,
        organisation_id,
        charge_id,
        payment_id,
        account_id,
        pay_with.value,
        currency,
        label,
        price,
        discount,
        promo_code,
        settled_at,
        now,
    )


async def take(
    tx: Tx,
    organisation_id: UUID,
    charge_id: UUID,
    payment_id: UUID,
    account_id: UUID,
    currency: str,
    label: str,
    price: int,
    discount: int,
    promo_code: str | None,
    event: Event,
    now: datetime,
) -> Taken:
    """A charge that takes `price` less `discount` from the wallet's lots. The transfer has the charge's id."""
    return await tx.one(
        TAKE,
        organisation_id,
        charge_id,
        payment_id,
        account_id,
        PayWith.CREDITS.value,
        currency,
        label,
        price,
        discount,
        promo_code,
        now,
        now,
        *emit_with(tx, event),
    )


async def charge(tx: Tx, organisation_id: UUID, charge_id: UUID) -> ChargeRow | None:
    return await tx.maybe(CHARGE, organisation_id, charge_id)


async def charges(tx: Tx, organisation_id: UUID, payment_id: UUID) -> list[ChargeRow]:
    return await tx.all(CHARGES, organisation_id, payment_id, MAX_CHARGES)


async def payment(tx: Tx, organisation_id: UUID, payment_id: UUID) -> PaymentRow | None:
    return await tx.maybe(PAYMENT, organisation_id, payment_id)


async def lock_payment(tx: Tx, organisation_id: UUID, payment_id: UUID) -> PaymentRow:
    """Refunds and settlements of one payment happen one after another. Raises NotFound."""
    return await tx.one(LOCK_PAYMENT, organisation_id, payment_id)


async def payment_of_person(tx: Tx, among: Sequence[UUID], payment_id: UUID, account_id: UUID) -> PaymentRow | None:
    """A payment of the person's own, if it was made at one of the organisations `among`."""
    return await tx.maybe(PAYMENT_OF_PERSON, list(among), payment_id, account_id)


async def settle_charge(tx: Tx, organisation_id: UUID, charge_id: UUID, now: datetime) -> None:
    await tx.run(SETTLE_CHARGE, organisation_id, charge_id, now)


# -------------------------------------------------------------------------------------------------------------- refunds


class RefundRow(msgspec.Struct, frozen=True):
    payment_id: UUID
    currency: str
    asked: int | None
    to_credits: int
    at_desk: int
    waived: int


REFUND = Query(
    RefundRow,
    "select r.payment_id, r.currency, r.asked, r.to_credits, r.at_desk, r.waived from payments.refund r"
    " where r.organisation_id = $1 and r.id = $2",
)
INSERT_REFUND = Statement(
    "insert into payments.refund"
    " (organisation_id, id, payment_id, account_id, currency, asked, to_credits, at_desk, waived, reason, created_at)"
    " values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"
)
GIVE_BACK = Statement(
    "update payments.charge set refunded = refunded + $3, waived = waived + $4 where organisation_id = $1 and id = $2"
)
SPENT_LOTS = Query(
    SpentLot,
    "select e.lot_id, -sum(e.amount)::bigint from payments.transfer t"
    " join payments.entry e on e.organisation_id = t.organisation_id and e.transfer_id = t.id and e.account = 'wallet'"
    " where t.organisation_id = $1 and t.payment_id = $2 and t.charge_id = $3"
    " and t.kind in ('charge', 'refund', 'reserve', 'release') group by e.lot_id having sum(e.amount) < 0"
    " order by min(e.seq) filter (where t.kind in ('charge', 'reserve'))",
)


async def refund(tx: Tx, organisation_id: UUID, refund_id: UUID) -> RefundRow | None:
    return await tx.maybe(REFUND, organisation_id, refund_id)


async def insert_refund(
    tx: Tx,
    organisation_id: UUID,
    refund_id: UUID,
    payment: PaymentRow,
    asked: int | None,
    to_credits: int,
    at_desk: int,
    waived: int,
    reason: str,
    now: datetime,
) -> None:
    await tx.run(
        INSERT_REFUND,
        organisation_id,
        refund_id,
        payment.id,
        payment.account_id,
        payment.currency,
        asked,
        to_credits,
        at_desk,
        waived,
        reason,
        now,
    )


async def give_back(tx: Tx, organisation_id: UUID, charge_id: UUID, amount: int, waived: int) -> None:
    await tx.run(GIVE_BACK, organisation_id, charge_id, amount, waived)


async def spent_lots(tx: Tx, organisation_id: UUID, payment_id: UUID, charge_id: UUID) -> list[SpentLot]:
    """What the charge took from lots and has not given back, in the order of spending."""
    return await tx.all(SPENT_LOTS, organisation_id, payment_id, charge_id)


# ------------------------------------------------------------------------------------------------------- authorisations


class AuthorisationRow(msgspec.Struct, frozen=True):
    id: UUID
    payment_id: UUID
    account_id: UUID | None
    currency: str
    label: str
    price: int
    discount: int
    promo_id: UUID | None
    promo_code: str | None
    state: AuthorisationStatus
    expires_at: datetime

    @property
    def amount(self) -> int:
        return self.price - self.discount


_AUTHORISATION: LiteralString = (
    "select a.id, a.payment_id, a.account_id, a.currency, a.label, a.price, a.discount, a.promo_id, a.promo_code, a.state,"
    " a.expires_at from payments.authorisation a where a.organisation_id = $1 and a.id = $2"
)
AUTHORISATION = Query(AuthorisationRow, _AUTHORISATION)
LOCK_AUTHORISATION = Query(AuthorisationRow, _AUTHORISATION + " for no key update")
ADD_AUTHORISATION = Statement(
    "insert into payments.authorisation (organisation_id, id, payment_id, account_id, currency, label, price, discount, promo_id,"
    " promo_code, state, expires_at, created_at, ended_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)"
    " on conflict (organisation_id, id) do nothing"
)
END_AUTHORISATION = Statement(
    "update payments.authorisation set state = $3, ended_at = $4 where organisation_id = $1 and id = $2"
)
EXPIRED_AUTHORISATIONS = Query(
    UUID,
    "select a.id from payments.authorisation a where a.organisation_id = $1 and a.state = 'held' and a.expires_at <= $2"
    " order by a.expires_at, a.id limit $3",
)


class Reserved(msgspec.Struct, frozen=True):
    organisation_id: UUID
    currency: str
    amount: int


RESERVED = Query(
    Reserved,
    "select a.organisation_id, a.currency, sum(a.price - a.discount)::bigint from payments.authorisation a"
    " where a.account_id = $1 and a.organisation_id = any($2::uuid[]) and a.state = 'held'"
    " group by a.organisation_id, a.currency",
)
# In the order of spending; the wallet is locked.
LOTS_TO_SPEND = Query(
    LiveLot,
    "select l.id, l.remaining from payments.lot l where l.organisation_id = $1 and l.account_id = $2 and l.currency = $3"
    " and l.remaining > 0 and (l.expires_at is null or l.expires_at > $4)"
    " order by l.kind <> 'granted', l.expires_at nulls last, l.created_at, l.id",
)


async def authorisation(tx: Tx, organisation_id: UUID, authorisation_id: UUID) -> AuthorisationRow | None:
    return await tx.maybe(AUTHORISATION, organisation_id, authorisation_id)


async def lock_authorisation(tx: Tx, organisation_id: UUID, authorisation_id: UUID) -> AuthorisationRow | None:
    """Whoever captures or releases it holds it until the transaction ends."""
    return await tx.maybe(LOCK_AUTHORISATION, organisation_id, authorisation_id)


async def add_authorisation(tx: Tx, organisation_id: UUID, row: AuthorisationRow, now: datetime) -> bool:
    """False when there is one of that id."""
    ended_at = None if row.state is AuthorisationStatus.HELD else now
    return (
        await tx.run(
            ADD_AUTHORISATION,
            organisation_id,
            row.id,
            row.payment_id,
            row.account_id,
            row.currency,
            row.label,
            row.price,
            row.discount,
            row.promo_id,
            row.promo_code,
            row.state.value,
            row.expires_at,
            now,
            ended_at,
        )
        == 1
    )


async def end_authorisation(
    tx: Tx, organisation_id: UUID, authorisation_id: UUID, state: AuthorisationStatus, now: datetime
) -> None:
    await tx.run(END_AUTHORISATION, organisation_id, authorisation_id, state.value, now)


async def expired_authorisations(tx: Tx, organisation_id: UUID, now: datetime, limit: int) -> list[UUID]:
    """Held ones that can no longer be captured."""
    return await tx.all(EXPIRED_AUTHORISATIONS, organisation_id, now, limit)


async def reserved(tx: Tx, account_id: UUID, among: Sequence[UUID]) -> list[Reserved]:
    """What is set aside of a person's credits."""
    return await tx.all(RESERVED, account_id, list(among))


async def lots_to_spend(tx: Tx, organisation_id: UUID, account_id: UUID, currency: str, now: datetime) -> list[LiveLot]:
    """In the order of spending. Lock the wallet first."""
    return await tx.all(LOTS_TO_SPEND, organisation_id, account_id, currency, now)


# --------------------------------------------------------------------------------------------------------------- ledger


class Posting(msgspec.Struct, frozen=True):
    """One entry to be written. `account_id` and `lot_id` are those of a wallet, or both None."""

    account: str
    amount: int
    account_id: UUID | None = None
    lot_id: UUID | None = None


TRANSFER = Statement(
    """
    with transfer as (
        insert into payments.transfer (organisation_id, id, kind, currency, payment_id, charge_id, account_id, reason, at)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
    )
    insert into payments.entry (organisation_id, transfer_id, seq, account, account_id, lot_id, currency, amount, at)
    select $1, $2, e.seq::smallint, e.account, e.account_id, e.lot_id, $4, e.amount, $9
    from unnest($10::text[], $11::bigint[], $12::uuid[], $13::uuid[])
        with ordinality as e (account, amount, account_id, lot_id, seq)
    returning 1
    """
)
OPEN_BOOK = Statement("insert into payments.book (organisation_id, opened_at) values ($1, $2) on conflict do nothing")
BOOKS = Sweep(
    UUID, "select b.organisation_id from payments.book b where b.organisation_id > $1 order by b.organisation_id limit $2"
)


async def transfer(
    tx: Tx,
    organisation_id: UUID,
    transfer_id: UUID,
    kind: str,
    currency: str,
    postings: Sequence[Posting],
    now: datetime,
    *,
    payment_id: UUID | None = None,
    charge_id: UUID | None = None,
    account_id: UUID | None = None,
    reason: str = "",
) -> None:
    """Writes a transfer whole. The database refuses one that does not sum to zero."""
    await tx.run(
        TRANSFER,
        organisation_id,
        transfer_id,
        kind,
        currency,
        payment_id,
        charge_id,
        account_id,
        reason,
        now,
        [p.account for p in postings],
        [p.amount for p in postings],
        [p.account_id for p in postings],
        [p.lot_id for p in postings],
    )


async def open_book(tx: Tx, organisation_id: UUID, now: datetime) -> None:
    await tx.run(OPEN_BOOK, organisation_id, now)


async def books(tx: Tx, after: UUID, limit: int) -> list[UUID]:
    """Organisations that have a ledger."""
    return await tx.all(BOOKS, after, limit)


# -------------------------------------------------------------------------------------------------------------- wallets


class LotRow(msgspec.Struct, frozen=True):
    id: UUID
    organisation_id: UUID
    account_id: UUID
    kind: LotKind
    currency: str
    amount: int
    remaining: int
    expires_at: datetime | None
    created_at: datetime


class WalletRow(msgspec.Struct, frozen=True):
    organisation_id: UUID
    account_id: UUID
    currency: str


class DueLot(msgspec.Struct, frozen=True):
    id: UUID
    account_id: UUID
    currency: str


class WalletEntry(msgspec.Struct, frozen=True):
    """One movement of a wallet; `amount` is negative for what was spent, expired or taken back."""

    transfer_id: UUID
    seq: int
    at: datetime
    kind: str
    amount: int
    currency: str
    reason: str
    payment_id: UUID | None
    lot_id: UUID


OPEN_WALLET = Statement(
    "insert into payments.wallet (organisation_id, account_id, currency) values ($1, $2, $3) on conflict do nothing"
)
LOCK_WALLET = Statement(
    "select from payments.wallet w where w.organisation_id = $1 and w.account_id = $2 and w.currency = $3 for no key update"
)
INSERT_LOT = Statement(
    "insert into payments.lot (organisation_id, id, account_id, currency, kind, amount, reason, expires_at, created_at)"
    " values ($1, $2, $3, $4, $5, $6, $7, $8, $9) on conflict (organisation_id, id) do nothing"
)
LOT = Query(
    LotRow,
    "select l.id, l.organisation_id, l.account_id, l.kind, l.currency, l.amount, l.remaining, l.expires_at, l.created_at"
    " from payments.lot l where l.organisation_id = $1 and l.id = $2",
)
EXTEND_LOT = Statement("update payments.lot set expires_at = $3 where organisation_id = $1 and id = $2")
WALLETS = Query(
    WalletRow,
    "select w.organisation_id, w.account_id, w.currency from payments.wallet w"
    " where w.account_id = $1 and w.organisation_id = any($2::uuid[])"
    " order by w.organisation_id, w.currency limit $3",
)
LIVE_LOTS = Query(
    LotRow,
    "select l.id, l.organisation_id, l.account_id, l.kind, l.currency, l.amount, l.remaining, l.expires_at, l.created_at"
    " from payments.wallet w join payments.lot l"
    " on l.organisation_id = w.organisation_id and l.account_id = w.account_id and l.currency = w.currency"
    " where w.account_id = $1 and w.organisation_id = any($2::uuid[])"
    " and l.remaining > 0 and (l.expires_at is null or l.expires_at > $3)"
    " order by l.organisation_id, l.kind <> 'granted', l.expires_at nulls last, l.created_at, l.id limit $4",
)
SPENDABLE = Query(
    int,
    "select coalesce(sum(l.remaining), 0)::bigint from payments.lot l where l.organisation_id = $1 and l.account_id = $2"
    " and l.currency = $3 and l.remaining > 0 and (l.expires_at is null or l.expires_at > $4)",
)
DUE_LOTS = Query(
    DueLot,
    "select l.id, l.account_id, l.currency from payments.lot l"
    " where l.organisation_id = $1 and l.remaining > 0 and l.expires_at <= $2 order by l.expires_at, l.id limit $3",
)
WALLET_ENTRIES = Query(
    WalletEntry,
    "select e.transfer_id, e.seq::int, e.at, t.kind, e.amount, e.currency, t.reason, t.payment_id, e.lot_id"
    " from payments.entry e join payments.transfer t on t.organisation_id = e.organisation_id and t.id = e.transfer_id"
    " where e.account = 'wallet' and e.account_id = $1 and e.organisation_id = $2"
    " and ($3::timestamptz is null or (e.at, e.transfer_id, e.seq) < ($3, $4::uuid, $5::smallint))"
    " order by e.at desc, e.transfer_id desc, e.seq desc limit $6",
)
REVERSED = Query(
    int,
    "select coalesce(-sum(e.amount), 0)::bigint from payments.transfer t"
    " left join payments.entry e on e.organisation_id = t.organisation_id and e.transfer_id = t.id and e.account = 'wallet'"
    " where t.organisation_id = $1 and t.id = $2 and t.kind = 'reverse' group by t.id",
)


async def open_wallet(tx: Tx, organisation_id: UUID, account_id: UUID, currency: str) -> None:
    await tx.run(OPEN_WALLET, organisation_id, account_id, currency)


async def lock_wallet(tx: Tx, organisation_id: UUID, account_id: UUID, currency: str) -> None:
    """Whatever touches lots takes this first, so that two never wait for each other's."""
    await tx.run(LOCK_WALLET, organisation_id, account_id, currency)


async def insert_lot(
    tx: Tx,
    organisation_id: UUID,
    lot_id: UUID,
    account_id: UUID,
    currency: str,
    kind: LotKind,
    amount: int,
    reason: str,
    expires_at: datetime | None,
    now: datetime,
) -> bool:
    """An empty lot: the grant's entry fills it. False when there is one of that id."""
    return (
        await tx.run(INSERT_LOT, organisation_id, lot_id, account_id, currency, kind.value, amount, reason, expires_at, now) == 1
    )


async def lot(tx: Tx, organisation_id: UUID, lot_id: UUID) -> LotRow:
    """Raises NotFound."""
    return await tx.one(LOT, organisation_id, lot_id)


async def extend_lot(tx: Tx, organisation_id: UUID, lot_id: UUID, expires_at: datetime) -> None:
    await tx.run(EXTEND_LOT, organisation_id, lot_id, expires_at)


async def wallets(tx: Tx, account_id: UUID, among: Sequence[UUID]) -> list[WalletRow]:
    return await tx.all(WALLETS, account_id, list(among), MAX_LOTS)


async def live_lots(tx: Tx, account_id: UUID, among: Sequence[UUID], now: datetime) -> list[LotRow]:
    """Lots that can be spent, per organisation in the order of spending."""
    return await tx.all(LIVE_LOTS, account_id, list(among), now, MAX_LOTS)


async def spendable(tx: Tx, organisation_id: UUID, account_id: UUID, currency: str, now: datetime) -> int:
    return await tx.one(SPENDABLE, organisation_id, account_id, currency, now)


async def due_lots(tx: Tx, organisation_id: UUID, now: datetime, limit: int) -> list[DueLot]:
    """Lots that expired with something left in them."""
    return await tx.all(DUE_LOTS, organisation_id, now, limit)


async def wallet_entries(
    tx: Tx, account_id: UUID, organisation_id: UUID, before: tuple[datetime, UUID, int] | None, limit: int
) -> list[WalletEntry]:
    """Newest first."""
    return await tx.all(WALLET_ENTRIES, account_id, organisation_id, *(before or (None, None, None)), limit)


async def reversed_amount(tx: Tx, organisation_id: UUID, reversal_id: UUID) -> int | None:
    """What that reversal took back; None when there was none."""
    return await tx.maybe(REVERSED, organisation_id, reversal_id)


# ---------------------------------------------------------------------------------------------------- reading the ledger


class EntryRow(msgspec.Struct, frozen=True):
    """One line of the ledger. Positive: owed or earned by the organisation; negative: held or given away."""

    transfer_id: UUID
    seq: int
    at: datetime
    kind: str
    account: str
    account_id: UUID | None
    lot_id: UUID | None
    payment_id: UUID | None
    amount: int
    currency: str
    reason: str


class CurrencySum(msgspec.Struct, frozen=True):
    currency: str
    entries: int
    sum: int


class Fault(msgspec.Struct, frozen=True):
    currency: str
    text: str


ENTRIES = Query(
    EntryRow,
    "select e.transfer_id, e.seq::int, e.at, t.kind, e.account, e.account_id, e.lot_id, t.payment_id, e.amount,"
    " e.currency, t.reason"
    " from payments.entry e join payments.transfer t on t.organisation_id = e.organisation_id and t.id = e.transfer_id"
    " where e.organisation_id = $1 and ($2::text is null or e.account = $2) and ($3::uuid is null or e.account_id = $3)"
    " and e.at >= $4 and e.at < $5"
    " and ($6::timestamptz is null or (e.at, e.transfer_id, e.seq) > ($6, $7::uuid, $8::smallint))"
    " order by e.at, e.transfer_id, e.seq limit $9",
)
SUMS = Query(
    CurrencySum,
    "select e.currency, count(*)::bigint, sum(e.amount)::bigint from payments.entry e where e.organisation_id = $1"
    " group by e.currency order by e.currency",
)
FAULTS = Query(
    Fault,
    """
    with entry as materialized (
        select e.transfer_id, e.account, e.account_id, e.lot_id, e.currency, e.amount
        from payments.entry e where e.organisation_id = $1
    ), faults as (
        select t.currency, 'transfer ' || t.id || ' does not sum to zero' as text
        from payments.transfer t left join entry e on e.transfer_id = t.id
        where t.organisation_id = $1
        group by t.id, t.currency having sum(e.amount) is distinct from 0 or min(e.currency) <> max(e.currency)
        union all
        select w.currency, 'wallet of ' || w.account_id || ' holds ' || w.balance || ', its entries say ' || coalesce(s.amount, 0)
        from payments.wallet w left join (
            select e.account_id, e.currency, sum(e.amount) as amount from entry e
            where e.account = 'wallet' group by e.account_id, e.currency
        ) s on s.account_id = w.account_id and s.currency = w.currency
        where w.organisation_id = $1 and w.balance <> coalesce(s.amount, 0)
        union all
        select w.currency, 'wallet of ' || w.account_id || ' holds ' || w.balance || ', its lots ' || coalesce(s.amount, 0)
        from payments.wallet w left join (
            select l.account_id, l.currency, sum(l.remaining) as amount from payments.lot l
            where l.organisation_id = $1 group by l.account_id, l.currency
        ) s on s.account_id = w.account_id and s.currency = w.currency
        where w.organisation_id = $1 and w.balance <> coalesce(s.amount, 0)
        union all
        select l.currency, 'lot ' || l.id || ' holds ' || l.remaining || ', its entries say ' || coalesce(s.amount, 0)
        from payments.lot l left join (
            select e.lot_id, sum(e.amount) as amount from entry e where e.account = 'wallet' group by e.lot_id
        ) s on s.lot_id = l.id
        where l.organisation_id = $1 and l.remaining <> coalesce(s.amount, 0)
        union all
        select c.currency, 'charge ' || c.id || ' comes to ' || c.price - c.discount - c.refunded
            || ', the ledger says ' || coalesce(s.amount, 0)
        from payments.charge c left join (
            select t.charge_id, sum(e.amount) as amount from payments.transfer t join entry e on e.transfer_id = t.id
            where t.organisation_id = $1 and e.account = 'revenue' group by t.charge_id
        ) s on s.charge_id = c.id
        where c.organisation_id = $1 and c.price - c.discount - c.refunded <> coalesce(s.amount, 0)
        union all
        select h.currency, 'authorisation ' || h.id || ' has set aside ' || h.amount
            || ', the ledger says ' || coalesce(s.amount, 0)
        from (
            select a.id, a.currency, case when a.state = 'held' then a.price - a.discount else 0 end as amount
            from payments.authorisation a where a.organisation_id = $1
        ) h left join (
            select t.charge_id, sum(e.amount) as amount from payments.transfer t join entry e on e.transfer_id = t.id
            where t.organisation_id = $1 and e.account = 'reserved' group by t.charge_id
        ) s on s.charge_id = h.id
        where h.amount <> coalesce(s.amount, 0)
        union all
        select t.currency, 'transfer ' || t.id || ' sets aside for no authorisation'
        from payments.transfer t
        where t.organisation_id = $1 and t.kind in ('reserve', 'capture', 'release') and not exists (
            select from payments.authorisation a where a.organisation_id = t.organisation_id and a.id = t.charge_id
        )
    )
    select f.currency, f.text from faults f order by f.text limit $2
    """,
)


async def entries(
    tx: Tx,
    organisation_id: UUID,
    account: str | None,
    account_id: UUID | None,
    start: datetime,
    end: datetime,
    after: tuple[datetime, UUID, int] | None,
    limit: int,
) -> list[EntryRow]:
    """Oldest first, `start` included, `end` not."""
    return await tx.all(ENTRIES, organisation_id, account, account_id, start, end, *(after or (None, None, None)), limit)


async def sums(tx: Tx, organisation_id: UUID) -> list[CurrencySum]:
    return await tx.all(SUMS, organisation_id)


async def faults(tx: Tx, organisation_id: UUID, limit: int) -> list[Fault]:
    """Whatever does not add up: transfers, wallets, lots and charges against entries."""
    return await tx.all(FAULTS, organisation_id, limit)


# ---------------------------------------------------------------------------------------------------------- promo codes


class Redemption(msgspec.Struct, frozen=True):
    charge_id: UUID
    promo_id: UUID
    account_id: UUID | None


INSERT_PROMO = Statement(
    "insert into payments.promo_code (organisation_id, id, code, kind, value, currency, label, starts_at, ends_at, total_limit,"
    " person_limit, first_time_only, venue_ids, stacks, created_at)"
    " values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)"
)
PROMO = Query(
    PromoCode,
    "select p.id, p.organisation_id, p.code, p.kind, p.value, p.currency, p.label, p.starts_at, p.ends_at, p.total_limit,"
    " p.person_limit, p.first_time_only, p.venue_ids, p.stacks, p.active, p.used, p.version, p.created_at"
    " from payments.promo_code p where p.organisation_id = $1 and p.id = $2",
)
LOCK_PROMO = Query(
    PromoCode,
    "select p.id, p.organisation_id, p.code, p.kind, p.value, p.currency, p.label, p.starts_at, p.ends_at, p.total_limit,"
    " p.person_limit, p.first_time_only, p.venue_ids, p.stacks, p.active, p.used, p.version, p.created_at"
    " from payments.promo_code p where p.organisation_id = $1 and p.id = $2 for no key update",
)
PROMO_BY_CODE = Query(
    PromoCode,
    "select p.id, p.organisation_id, p.code, p.kind, p.value, p.currency, p.label, p.starts_at, p.ends_at, p.total_limit,"
    " p.person_limit, p.first_time_only, p.venue_ids, p.stacks, p.active, p.used, p.version, p.created_at"
    " from payments.promo_code p where p.organisation_id = $1 and p.code = $2",
)
PROMOS = Query(
    PromoCode,
    "select p.id, p.organisation_id, p.code, p.kind, p.value, p.currency, p.label, p.starts_at, p.ends_at, p.total_limit,"
    " p.person_limit, p.first_time_only, p.venue_ids, p.stacks, p.active, p.used, p.version, p.created_at"
    " from payments.promo_code p where p.organisation_id = $1 and ($2::text is null or p.code > $2) order by p.code limit $3",
)
UPDATE_PROMO = Statement(
    "update payments.promo_code set label = $3, starts_at = $4, ends_at = $5, total_limit = $6, person_limit = $7,"
    " first_time_only = $8, venue_ids = $9, stacks = $10, active = $11, version = version + 1"
    " where organisation_id = $1 and id = $2"
)
# The row is locked by this: window, switch and limit are those of the moment of use.
USE_PROMO = Statement(
    "update payments.promo_code set used = used + 1 where organisation_id = $1 and id = $2 and active"
    " and (total_limit is null or used < total_limit)"
)
USE_PROMO_BY_PERSON = Statement(
    "insert into payments.promo_person as p (organisation_id, promo_id, account_id, used) values ($1, $2, $3, 1)"
    " on conflict (organisation_id, promo_id, account_id) do update set used = p.used + 1 where $4::int is null or p.used < $4"
)
UNUSE_PROMO = Statement(
    """
    with everybody as (
        update payments.promo_code set used = used - 1 where organisation_id = $1 and id = $2 returning id
    )
    update payments.promo_person p set used = p.used - 1
     where p.organisation_id = $1 and p.promo_id = $2 and p.account_id = $3 and (select count(*) from everybody) > 0
    """
)
USED_BY_PERSON = Query(
    int,
    "select coalesce(max(p.used), 0) from payments.promo_person p"
    " where p.organisation_id = $1 and p.promo_id = $2 and p.account_id = $3",
)
HAS_PAID_BEFORE = Query(
    bool,
    "select exists (select 1 from payments.charge c where c.organisation_id = $1 and c.account_id = $2 and c.payment_id <> $3"
    " and (c.price - c.discount > c.refunded or exists (select 1 from payments.promo_redemption r"
    " where r.organisation_id = c.organisation_id and r.charge_id = c.id and r.released_at is null)))",
)
OTHER_CODES_STACK = Query(
    bool,
    "select coalesce(bool_and(p.stacks and $4), true) from payments.promo_redemption r"
    " join payments.promo_code p on p.organisation_id = r.organisation_id and p.id = r.promo_id"
    " where r.organisation_id = $1 and r.payment_id = $2 and r.promo_id <> $3 and r.released_at is null",
)
INSERT_REDEMPTION = Statement(
    "insert into payments.promo_redemption (organisation_id, charge_id, promo_id, payment_id, account_id, discount, at)"
    " values ($1, $2, $3, $4, $5, $6, $7)"
)
RELEASE = Query(
    Redemption,
    """
    with released as (
        update payments.promo_redemption set released_at = $3
        where organisation_id = $1 and payment_id = $2 and released_at is null
        returning charge_id, promo_id, account_id
    ), everybody as (
        update payments.promo_code p set used = p.used - r.times
        from (select promo_id, count(*)::int as times from released group by promo_id) r
        where p.organisation_id = $1 and p.id = r.promo_id
        returning p.id
    ), people as (
        update payments.promo_person p set used = p.used - r.times
        from (select promo_id, account_id, count(*)::int as times from released group by promo_id, account_id) r
        where p.organisation_id = $1 and p.promo_id = r.promo_id and p.account_id = r.account_id
          and (select count(*) from everybody) > 0 -- the code's row first, as a charge does
    )
    select r.charge_id, r.promo_id, r.account_id from released r
    """,
)


async def unuse_promo(tx: Tx, organisation_id: UUID, promo_id: UUID, account_id: UUID | None) -> None:
    """A use that was counted for something which did not happen."""
    await tx.run(UNUSE_PROMO, organisation_id, promo_id, account_id)


async def insert_promo(tx: Tx, organisation_id: UUID, promo_id: UUID, new: NewPromoCode, currency: str, now: datetime) -> None:
    await tx.run(
        INSERT_PROMO,
        organisation_id,
        promo_id,
        new.code.upper(),
        new.kind.value,
        new.value,
        currency,
        new.label,
        new.starts_at,
        new.ends_at,
        new.total_limit,
        new.person_limit,
        new.first_time_only,
        new.venue_ids,
        new.stacks,
        now,
    )


async def promo(tx: Tx, organisation_id: UUID, promo_id: UUID) -> PromoCode:
    """Raises NotFound."""
    return await tx.one(PROMO, organisation_id, promo_id)


async def lock_promo(tx: Tx, organisation_id: UUID, promo_id: UUID) -> PromoCode:
    """Raises NotFound."""
    return await tx.one(LOCK_PROMO, organisation_id, promo_id)


async def promo_by_code(tx: Tx, organisation_id: UUID, code: str) -> PromoCode | None:
    return await tx.maybe(PROMO_BY_CODE, organisation_id, code.upper())


async def promos(tx: Tx, organisation_id: UUID, after: str | None, limit: int) -> list[PromoCode]:
    return await tx.all(PROMOS, organisation_id, after, limit)


async def update_promo(tx: Tx, promo: PromoCode) -> None:
    await tx.run(
        UPDATE_PROMO,
        promo.organisation_id,
        promo.id,
        promo.label,
        promo.starts_at,
        promo.ends_at,
        promo.total_limit,
        promo.person_limit,
        promo.first_time_only,
        promo.venue_ids,
        promo.stacks,
        promo.active,
    )


async def use_promo(tx: Tx, organisation_id: UUID, promo_id: UUID) -> bool:
    """False when the code has been used as often as it can be."""
    return await tx.run(USE_PROMO, organisation_id, promo_id) == 1


async def use_promo_by_person(tx: Tx, organisation_id: UUID, promo_id: UUID, account_id: UUID, limit: int | None) -> bool:
    """False when the person has used the code as often as they can."""
    return await tx.run(USE_PROMO_BY_PERSON, organisation_id, promo_id, account_id, limit) == 1


async def used_by_person(tx: Tx, organisation_id: UUID, promo_id: UUID, account_id: UUID) -> int:
    return await tx.one(USED_BY_PERSON, organisation_id, promo_id, account_id)


async def has_paid_before(tx: Tx, organisation_id: UUID, account_id: UUID, payment_id: UUID) -> bool:
    """Whether the person has another payment here that was not given back in full."""
    return await tx.one(HAS_PAID_BEFORE, organisation_id, account_id, payment_id)


async def other_codes_stack(tx: Tx, organisation_id: UUID, payment_id: UUID, promo: PromoCode) -> bool:
    """Whether the code may join those that the payment has already."""
    return await tx.one(OTHER_CODES_STACK, organisation_id, payment_id, promo.id, promo.stacks)


async def insert_redemption(
    tx: Tx,
    organisation_id: UUID,
    charge_id: UUID,
    promo_id: UUID,
    payment_id: UUID,
    account_id: UUID | None,
    discount: int,
    now: datetime,
) -> None:
    await tx.run(INSERT_REDEMPTION, organisation_id, charge_id, promo_id, payment_id, account_id, discount, now)


async def release(tx: Tx, organisation_id: UUID, payment_id: UUID, now: datetime) -> list[Redemption]:
    """The payment's codes count as unused again; returns those that just did."""
    return await tx.all(RELEASE, organisation_id, payment_id, now)


REVENUE = Query(
    Money,
    "select sum(e.amount)::bigint, e.currency from payments.entry e"
    " where e.organisation_id = $1 and e.account = 'revenue' and e.at >= $2 and e.at < $3"
    " group by e.currency order by e.currency limit 200",
)


async def revenue(tx: Tx, organisation_id: UUID, period: Period) -> list[Money]:
    """By currency: charges less refunds."""
    return await tx.all(REVENUE, organisation_id, period.start, period.end)
