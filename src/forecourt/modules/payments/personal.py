"""All SQL about one person: what is kept of them, as they are told (PE-8), and how what was written about them goes.

What people are told they read themselves, so row security shows them nothing that is not theirs. Lots and authorisations are
found through the entries of the wallet, which are in order by person. Amounts are minor units.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from forecourt.kernel.db import Query, Row, Statement, Tx
from forecourt.modules.payments.contract import AuthorisationStatus, Cause, LotKind, PayWith

AT_ONCE = 200
GONE = "-"
"""In place of a reason where there has to be one."""

# --------------------------------------------------------------------------------------------------------------- telling


class WalletRecord(msgspec.Struct, frozen=True):
    organisation_id: UUID
    currency: str
    balance_minor: int


class CreditsRecord(msgspec.Struct, frozen=True):
    """Credits that were given or bought, and what is left of them."""

    organisation_id: UUID
    at: datetime
    id: UUID
    kind: LotKind
    currency: str
    amount_minor: int
    remaining_minor: int
    reason: str
    expires_at: datetime | None


class EntryRecord(msgspec.Struct, frozen=True):
    """A movement of a wallet; negative for what was spent, expired or taken back."""

    organisation_id: UUID
    at: datetime
    transfer_id: UUID
    seq: int
    kind: str
    currency: str
    amount_minor: int
    reason: str
    payment_id: UUID | None
    credits_id: UUID | None


class PaymentRecord(msgspec.Struct, frozen=True):
    organisation_id: UUID
    id: UUID
    currency: str
    label: str
    created_at: datetime


class ChargeRecord(msgspec.Struct, frozen=True):
    organisation_id: UUID
    payment_id: UUID
    id: UUID
    pay_with: PayWith
    currency: str
    price_minor: int
    discount_minor: int
    promo_code: str | None
    refunded_minor: int
    waived_minor: int
    handed_back_minor: int
    settled_at: datetime | None
    created_at: datetime


class RefundRecord(msgspec.Struct, frozen=True):
    organisation_id: UUID
    payment_id: UUID
    id: UUID
    currency: str
    to_credits_minor: int
    at_desk_minor: int
    waived_minor: int
    reason: str
    created_at: datetime


class AuthorisationRecord(msgspec.Struct, frozen=True):
    """Credits that were set aside."""

    organisation_id: UUID
    at: datetime
    id: UUID
    payment_id: UUID
    currency: str
    price_minor: int
    discount_minor: int
    promo_code: str | None
    state: AuthorisationStatus
    expires_at: datetime
    ended_at: datetime | None


class RedemptionRecord(msgspec.Struct, frozen=True):
    """A promo code that was used; `released_at` when the use no longer counts."""

    organisation_id: UUID
    payment_id: UUID
    charge_id: UUID
    promo_id: UUID
    discount_minor: int
    at: datetime
    released_at: datetime | None


OWN_WALLETS = Query(
    WalletRecord,
    "select w.organisation_id, w.currency, w.balance from payments.wallet w where w.account_id = $1"
    " and w.organisation_id = any($2::uuid[]) and ($3::uuid is null or (w.organisation_id, w.currency) > ($3, $4::text))"
    " order by w.organisation_id, w.currency limit $5",
)
# The transfer that fills a lot has the lot's id.
OWN_CREDITS = Query(
    CreditsRecord,
    "select e.organisation_id, e.at, l.id, l.kind, l.currency, l.amount, l.remaining, l.reason, l.expires_at"
    " from payments.entry e"
    " join payments.lot l on l.organisation_id = e.organisation_id and l.id = e.lot_id and l.id = e.transfer_id"
    " where e.account = 'wallet' and e.account_id = $1 and e.organisation_id = any($2::uuid[])"
    " and ($3::uuid is null or (e.organisation_id, e.at, l.id) > ($3, $4::timestamptz, $5::uuid))"
    " order by e.organisation_id, e.at, l.id limit $6",
)
OWN_ENTRIES = Query(
    EntryRecord,
    "select e.organisation_id, e.at, e.transfer_id, e.seq::int, t.kind, e.currency, e.amount, t.reason, t.payment_id, e.lot_id"
    " from payments.entry e join payments.transfer t on t.organisation_id = e.organisation_id and t.id = e.transfer_id"
    " where e.account = 'wallet' and e.account_id = $1 and e.organisation_id = any($2::uuid[])"
    " and ($3::uuid is null or (e.organisation_id, e.at, e.transfer_id, e.seq) > ($3, $4::timestamptz, $5::uuid, $6::smallint))"
    " order by e.organisation_id, e.at, e.transfer_id, e.seq limit $7",
)
OWN_PAYMENTS = Query(
    PaymentRecord,
    "select p.organisation_id, p.id, p.currency, p.label, p.created_at from payments.payment p where p.account_id = $1"
    " and p.organisation_id = any($2::uuid[]) and ($3::uuid is null or (p.organisation_id, p.id) > ($3, $4::uuid))"
    " order by p.organisation_id, p.id limit $5",
)
OWN_CHARGES = Query(
    ChargeRecord,
    "select c.organisation_id, c.payment_id, c.id, c.pay_with, c.currency, c.price, c.discount, c.promo_code, c.refunded,"
    " c.waived, c.handed_back, c.settled_at, c.created_at from payments.charge c where c.account_id = $1"
    " and c.organisation_id = any($2::uuid[])"
    " and ($3::uuid is null or (c.organisation_id, c.payment_id, c.id) > ($3, $4::uuid, $5::uuid))"
    " order by c.organisation_id, c.payment_id, c.id limit $6",
)
OWN_REFUNDS = Query(
    RefundRecord,
    "select p.organisation_id, p.id, r.id, r.currency, r.to_credits, r.at_desk, r.waived, r.reason, r.created_at"
    " from payments.payment p join payments.refund r on r.organisation_id = p.organisation_id and r.payment_id = p.id"
    " where p.account_id = $1 and p.organisation_id = any($2::uuid[])"
    " and ($3::uuid is null or (p.organisation_id, p.id, r.id) > ($3, $4::uuid, $5::uuid))"
    " order by p.organisation_id, p.id, r.id limit $6",
)
# The first entry of the transfer that sets them aside stands for all: one for each lot.
OWN_AUTHORISATIONS = Query(
    AuthorisationRecord,
    "select e.organisation_id, e.at, a.id, a.payment_id, a.currency, a.price, a.discount,"
    " a.promo_code, a.state, a.expires_at, a.ended_at from payments.entry e"
    " join payments.transfer t on t.organisation_id = e.organisation_id and t.id = e.transfer_id and t.kind = 'reserve'"
    " join payments.authorisation a on a.organisation_id = t.organisation_id and a.id = t.charge_id"
    " where e.account = 'wallet' and e.account_id = $1 and e.seq = 1 and e.organisation_id = any($2::uuid[])"
    " and ($3::uuid is null or (e.organisation_id, e.at, a.id) > ($3, $4::timestamptz, $5::uuid))"
    " order by e.organisation_id, e.at, a.id limit $6",
)
OWN_REDEMPTIONS = Query(
    RedemptionRecord,
    "select c.organisation_id, c.payment_id, c.id, r.promo_id, r.discount, r.at, r.released_at from payments.charge c"
    " join payments.promo_redemption r on r.organisation_id = c.organisation_id and r.charge_id = c.id"
    " where c.account_id = $1 and c.organisation_id = any($2::uuid[])"
    " and ($3::uuid is null or (c.organisation_id, c.payment_id, c.id) > ($3, $4::uuid, $5::uuid))"
    " order by c.organisation_id, c.payment_id, c.id limit $6",
)


async def portion(
    tx: Tx, query: Query[Row], account_id: UUID, among: Sequence[UUID], after: tuple[object, ...], most: int
) -> list[Row]:
    """What follows `after`: the columns that the query is sorted by, each None at the beginning."""
    return await tx.all(query, account_id, list(among), *after, most)


# ------------------------------------------------------------------------------------------------------------ forgetting

_CAUSES = [cause.value for cause in Cause]

PLACES = Query(
    UUID,
    "select c.organisation_id from payments.customer c where c.account_id = $1 and ($2::uuid is null or c.organisation_id > $2)"
    " order by c.organisation_id limit $3",
)


class Moved(msgspec.Struct, frozen=True):
    at: datetime
    transfer_id: UUID
    seq: int


MOVED = Query(
    Moved,
    "select e.at, e.transfer_id, e.seq::int from payments.entry e where e.account = 'wallet' and e.account_id = $2"
    " and e.organisation_id = $1 and ($3::timestamptz is null or (e.at, e.transfer_id, e.seq) > ($3, $4::uuid, $5::smallint))"
    " order by e.at, e.transfer_id, e.seq limit $6",
)
PAID = Query(
    UUID,
    "select p.id from payments.payment p where p.organisation_id = $1 and p.account_id = $2 and ($3::uuid is null or p.id > $3)"
    " order by p.id limit $4",
)
FORGET_LOTS = Statement(
    "update payments.lot l set reason = $3 where l.organisation_id = $1 and l.id = any($2::uuid[]) and l.reason <> $3"
)
FORGET_REFUNDS = Statement(
    "update payments.refund r set reason = $3 where r.organisation_id = $1 and r.payment_id = any($2::uuid[]) and r.reason <> $3"
    " and r.reason <> all($4::text[])"
)
# What a charge is for is said by the house.
FORGET_TRANSFERS = Statement(
    "update payments.transfer t set reason = '' where t.organisation_id = $1 and t.id = any($2::uuid[])"
    " and t.kind in ('grant', 'reverse', 'refund') and t.reason <> '' and t.reason <> all($3::text[])"
)
FORGET_TRANSFERS_BACK = Statement(
    "update payments.transfer t set reason = '' where t.organisation_id = $1 and t.payment_id = any($2::uuid[])"
    " and t.kind = 'refund' and t.reason <> '' and t.reason <> all($3::text[])"
)


async def places(tx: Tx, account_id: UUID, after: UUID | None) -> list[UUID]:
    """The next organisations at which the person has anything, at most AT_ONCE."""
    return await tx.all(PLACES, account_id, after, AT_ONCE)


async def moved(tx: Tx, organisation_id: UUID, account_id: UUID, after: Moved | None) -> list[Moved]:
    """The next movements of the person's wallets, at most AT_ONCE."""
    key = (None, None, None) if after is None else (after.at, after.transfer_id, after.seq)
    return await tx.all(MOVED, organisation_id, account_id, *key, AT_ONCE)


async def paid(tx: Tx, organisation_id: UUID, account_id: UUID, after: UUID | None) -> list[UUID]:
    """The next payments of the person's, at most AT_ONCE."""
    return await tx.all(PAID, organisation_id, account_id, after, AT_ONCE)


async def forget_moves(tx: Tx, organisation_id: UUID, transfer_ids: Sequence[UUID]) -> None:
    """Why credits were given, taken back or returned, in somebody's words. The lot that a grant fills has the transfer's id."""
    await tx.run(FORGET_LOTS, organisation_id, list(transfer_ids), GONE)
    await tx.run(FORGET_TRANSFERS, organisation_id, list(transfer_ids), _CAUSES)


async def forget_refunds(tx: Tx, organisation_id: UUID, payment_ids: Sequence[UUID]) -> None:
    """Why these payments were given back, in somebody's words."""
    await tx.run(FORGET_REFUNDS, organisation_id, list(payment_ids), GONE, _CAUSES)
    await tx.run(FORGET_TRANSFERS_BACK, organisation_id, list(payment_ids), _CAUSES)
