"""What the database refuses, whoever asks; and what row security hides."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import asyncpg
import pytest
from tests.modules.payments.conftest import Club, gbp

from forecourt.kernel.context import service_context
from forecourt.kernel.errors import Invalid
from forecourt.kernel.ids import new_id
from forecourt.modules.payments import queries
from forecourt.modules.payments.contract import PayWith
from forecourt.modules.payments.queries import Posting


async def write(club: Club, *postings: Posting, currency: str = "GBP") -> None:
    async with club.db.module("payments").tx(club.ctx) as tx:
        await queries.transfer(tx, club.org, new_id(), "desk_charge", currency, postings, club.clock.now())


async def test_a_transfer_that_does_not_sum_to_zero_is_refused(club: Club) -> None:
    await write(club, Posting("revenue", 10), Posting("desk_due", -10))
    with pytest.raises(asyncpg.CheckViolationError) as refusal:
        await write(club, Posting("revenue", 10), Posting("desk_due", -9))
    assert refusal.value.constraint_name == "transfer_sums_to_zero"


async def test_a_transfer_has_one_currency(club: Club, admin: Any) -> None:
    sql = (
        "with t as (insert into payments.transfer (organisation_id, id, kind, currency, at)"
        " values ($1, $2, 'desk_charge', 'GBP', now()))"
        " insert into payments.entry (organisation_id, transfer_id, seq, account, currency, amount, at)"
        " values ($1, $2, 1, 'revenue', $3, 5, now()), ($1, $2, 2, 'desk', $3, -5, now())"
    )
    with pytest.raises(asyncpg.CheckViolationError, match="in its currency"):
        await admin.execute(sql, club.org, new_id(), "EUR")
    await admin.execute(sql, club.org, new_id(), "GBP")


async def test_a_later_entry_cannot_unbalance_a_transfer(club: Club, admin: Any) -> None:
    await write(club, Posting("revenue", 10), Posting("desk_due", -10))
    transfer = await admin.fetchval("select id from payments.transfer where organisation_id = $1", club.org)
    with pytest.raises(asyncpg.CheckViolationError) as refusal:
        await admin.execute(
            "insert into payments.entry (organisation_id, transfer_id, seq, account, currency, amount, at)"
            " values ($1, $2, 9, 'revenue', 'GBP', 1, now())",
            club.org,
            transfer,
        )
    assert refusal.value.constraint_name == "transfer_sums_to_zero"


@pytest.mark.parametrize(
    "statement",
    [
        "update payments.entry set amount = amount",
        "delete from payments.entry",
        "truncate payments.entry",
        "update payments.transfer set reason = 'x'",
        "delete from payments.transfer",
        "truncate payments.transfer cascade",
    ],
)
async def test_the_ledger_refuses_change_even_to_a_superuser(club: Club, admin: Any, statement: str) -> None:
    await write(club, Posting("revenue", 10), Posting("desk_due", -10))
    with pytest.raises(asyncpg.CheckViolationError) as refusal:
        await admin.execute(statement)
    assert refusal.value.constraint_name == "ledger_is_append_only"


@pytest.mark.parametrize("statement", ["update payments.entry set amount = 1", "delete from payments.transfer"])
async def test_the_modules_role_may_not_even_try(club: Club, statement: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with club.db.module("payments").tx(club.ctx) as tx:
            await tx.connection.execute(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "update payments.wallet set balance = balance + 1",
        "update payments.lot set remaining = remaining - 1",
        "insert into payments.wallet (organisation_id, account_id, currency, balance)"
        " values (gen_random_uuid(), gen_random_uuid(), 'GBP', 1)",
    ],
)
async def test_what_a_wallet_holds_follows_from_entries_alone(club: Club, ana: UUID, admin: Any, statement: str) -> None:
    await club.grant(ana, 10)
    with pytest.raises(asyncpg.CheckViolationError) as refusal:
        await admin.execute(statement)
    assert refusal.value.constraint_name == "holdings_follow_entries"


async def test_an_entry_cannot_use_a_lot_of_another_wallet(club: Club, ana: UUID, ben: UUID) -> None:
    lot, other = await club.grant(ana, 10), await club.grant(ben, 10)
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await write(club, Posting("wallet", -5, ana, other.id), Posting("revenue", 5))
    await write(club, Posting("wallet", -5, ana, lot.id), Posting("revenue", 5))


async def test_the_proof_finds_a_wallet_that_was_tampered_with(fresh_database: Any, clock: Any, ana: UUID) -> None:
    club = Club(await fresh_database.connect(), clock)
    lot = await club.grant(ana, 10)
    assert await club.payments.prove_everywhere(service_context("payments")) == []
    admin = await fresh_database.admin()
    await admin.execute("set session_replication_role = replica")  # no triggers
    await admin.execute("update payments.wallet set balance = 11")
    await admin.execute("update payments.lot set remaining = 9")
    proof = await club.payments.proof(club.ctx, club.org)
    assert (proof["GBP"].entries, proof["GBP"].sum) == (2, 0)
    assert proof["GBP"].faults == [
        f"lot {lot.id} holds 9, its entries say 10",
        f"wallet of {ana} holds 11, its entries say 10",
        f"wallet of {ana} holds 11, its lots 9",
    ]
    assert await club.payments.prove_everywhere(service_context("payments")) == [club.org]
    events = await admin.fetch("select name from kernel.event where organisation_id = $1 order by id", club.org)
    assert [e["name"] for e in events] == ["credits.granted", "ledger.disagrees"]
    await admin.close()


TABLES = ["wallet", "lot", "payment", "charge", "refund", "transfer", "entry", "promo_code", "promo_person", "promo_redemption"]


async def rows_seen(club: Club, table: str, organisation_id: UUID | None, account_id: UUID | None) -> int:
    async with club.db.module("payments").tx(service_context("test")) as tx:
        await tx.become("fc_payments", organisation_id, account_id)
        return await tx.connection.fetchval(f"select count(*) from payments.{table}")


@pytest.mark.parametrize("table", TABLES)
async def test_rows_are_seen_by_their_organisation_and_their_person_alone(
    club: Club, other_club: Club, ana: UUID, ben: UUID, table: str
) -> None:
    await club.grant(ana, 100)
    code = await club.promo(person_limit=2)
    payment = await club.charge(ana, 50, code=code.code)
    await club.refund(payment.payment_id, 5)
    assert await rows_seen(club, table, club.org, None) > 0
    own = await rows_seen(club, table, None, ana)
    assert own == 0 if table in ("promo_code", "promo_person") else own > 0
    assert await rows_seen(club, table, other_club.org, ben) == 0
    assert await rows_seen(club, table, None, None) == 0


async def test_entries_are_read_by_account_and_time_and_in_pages(club: Club, ana: UUID) -> None:
    await club.grant(ana, 100)
    for _ in range(3):
        await club.charge(ana, 10)
    read = club.payments.entries
    seen: list[int] = []
    cursor = None
    while True:
        page = await read(club.ctx, club.org, f"wallet:{ana}", None, None, cursor, 2)
        seen += [e.amount for e in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert sorted(seen) == [-10, -10, -10, 100]
    assert [e.amount for e in (await read(club.ctx, club.org, "revenue", None, None, None, 100)).items] == [10, 10, 10]
    now = club.clock.now()
    assert (await read(club.ctx, club.org, None, None, now, None, 100)).items == []
    assert len((await read(club.ctx, club.org, None, now, None, None, 100)).items) == 8
    for wrong in ("wallets", "revenue:" + str(ana), "wallet:me"):
        with pytest.raises(Invalid):
            await read(club.ctx, club.org, wrong, None, None, None, 100)


async def test_money_taken_is_told_once(club: Club, ana: UUID, admin: Any) -> None:
    await club.grant(ana, 100)
    paid = await club.charge(ana, 40)
    await club.charge(ana, 40, payment_id=paid.payment_id)
    desk = await club.charge(ana, 25, PayWith.DESK)
    await club.payments.settle_desk(club.ctx, club.org, desk.payment_id)
    await club.payments.settle_desk(club.ctx, club.org, desk.payment_id)
    names = await admin.fetch("select name from kernel.event where organisation_id = $1 order by xid, id", club.org)
    assert [n["name"] for n in names] == ["credits.granted", "payment.captured", "payment.due", "payment.captured"]
    assert (await club.payments.status(club.ctx, club.org, desk.payment_id)).paid == gbp(25)  # type: ignore[union-attr]
