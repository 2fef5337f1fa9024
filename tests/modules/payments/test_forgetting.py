"""Whoever is erased is forgotten: numbers stay and add up, words go, and nobody can put others in their place."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from tests.modules.payments.conftest import Club, gbp, guest_context
from tests.told import everything
from tests.words import where_words_are_left

from forecourt.kernel.context import service_context
from forecourt.kernel.contracts import local
from forecourt.kernel.errors import Invalid, Unauthenticated
from forecourt.kernel.events import Dispatcher, emit
from forecourt.kernel.ids import new_id
from forecourt.kernel.jobs import Worker
from forecourt.modules.identity.contract import AccountErased
from forecourt.modules.payments import jobs, reactions, records
from forecourt.modules.payments.contract import Cause, Grant, LotKind, PaymentRecords, PayWith, Refund, Reversal

HOUSE = service_context("tests")


async def written_about(club: Club, who: UUID, word: str) -> UUID:
    """Credits given and taken back, payments given back to credits and at the desk, with a word about them; a payment's id."""
    said = f"for {word}"
    lots = [new_id(), new_id()]
    for lot_id in lots:
        await club.payments.grant(
            club.ctx,
            Grant(lot_id=lot_id, organisation_id=club.org, account_id=who, amount=gbp(5_000), kind=LotKind.GRANTED, reason=said),
        )
    await club.payments.reverse(club.ctx, Reversal(reversal_id=new_id(), organisation_id=club.org, lot_id=lots[1], reason=said))
    paid, at_desk = await club.charge(who, 2_000), await club.charge(who, 1_000, PayWith.DESK)
    await club.payments.settle_desk(club.ctx, club.org, at_desk.payment_id)
    for payment, reason in ((paid, said), (at_desk, said), (paid, Cause.CANCELLED.value)):
        await club.payments.refund(
            club.ctx,
            Refund(refund_id=new_id(), payment_id=payment.payment_id, organisation_id=club.org, amount=gbp(300), reason=reason),
        )
    return paid.payment_id


async def test_words_go_and_numbers_stay(club: Club, other_club: Club, admin: Any) -> None:
    who, other, word, others = new_id(), new_id(), f"quill{uuid4().hex[:10]}", f"quill{uuid4().hex[:10]}"
    for each in (club, other_club):
        await written_about(each, who, word)
    await written_about(club, other, others)
    was = ["payments.lot reason", "payments.refund reason", "payments.transfer reason"]
    assert await where_words_are_left(admin, ["payments"], [word]) == was, "the control"
    entries = "select count(*), sum(abs(amount)) from payments.entry where organisation_id = $1"
    before = await admin.fetchrow(entries, club.org)
    balances = [await club.payments.balance(club.ctx, id) for id in (who, other)]
    for _ in range(2):  # the second time changes nothing
        await club.payments.forget_person(HOUSE, who)
        assert await where_words_are_left(admin, ["payments"], [word]) == []
        assert await where_words_are_left(admin, ["payments"], [others]) == was, "another's"
        assert await admin.fetchrow(entries, club.org) == before
        assert [await club.payments.balance(club.ctx, id) for id in (who, other)] == balances
        for each in (club, other_club):
            for line in (await each.payments.proof(each.ctx, each.org)).values():
                assert (line.sum, line.faults) == (0, [])
    causes = "select count(*) from payments.transfer where organisation_id = $1 and account_id = $2 and reason = 'cancel'"
    assert await admin.fetchval(causes, club.org, who) == 1, "what the house itself notes stays"


async def test_credits_of_nobody_stay_in_the_books_are_listed_and_expire(club: Club) -> None:
    who = new_id()
    await club.grant(who, 1_000, days=1)
    await club.charge(who, 400)
    await club.payments.forget_person(HOUSE, who)
    page = await club.payments.entries(club.ctx, club.org, f"wallet:{who}", None, None, None, 50)
    assert [e.amount for e in page.items] == [1_000, -400]
    club.clock.set(club.clock.now() + timedelta(days=2))
    assert await club.payments.expire_due(club.ctx, club.org) == 1
    for line in (await club.payments.proof(club.ctx, club.org)).values():
        assert (line.sum, line.faults) == (0, [])


@pytest.mark.parametrize("change", ["reason = 'other words'", "reason = '', at = now()", "reason = '', account_id = null"])
async def test_words_of_the_ledger_can_be_taken_away_and_nothing_else(club: Club, admin: Any, change: str) -> None:
    who = new_id()
    lot = await club.grant(who, 1_000)
    with pytest.raises(asyncpg.CheckViolationError) as refusal:
        await admin.execute(f"update payments.transfer set {change} where id = $1", lot.id)
    assert refusal.value.constraint_name == "ledger_is_append_only"
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with club.db.module("payments").tx(club.ctx) as tx:
            await tx.connection.execute("update payments.transfer set account_id = null")


async def test_the_news_is_acted_on_twice(fresh_database: Any, clock: Any) -> None:
    database = await fresh_database.connect(10)
    clock.set(datetime.now(UTC))  # as the queue's
    club = Club(database, clock)
    who, admin = new_id(), await fresh_database.admin()
    await club.grant(who, 1_000)
    async with database.module("identity").tx(HOUSE) as tx:
        emit(tx, AccountErased(account_id=who))
    await Dispatcher(database, fresh_database.url, reactions.subscriptions(clock), clock).drain()
    worker = Worker(database, fresh_database.url, jobs.handlers(club.payments), [], clock)
    await worker.drain()
    assert await where_words_are_left(admin, ["payments"], ["welcome"]) == []
    await club.grant(who, 2_000)  # by somebody who was at it
    assert await admin.execute("update kernel.job set execute_after = now()") == "UPDATE 1", "it comes again"
    await worker.drain()
    assert await where_words_are_left(admin, ["payments"], ["welcome"]) == []
    await admin.close()


async def test_people_are_told_all_that_is_kept_of_them_and_nothing_of_others(
    club: Club, other_club: Club, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "RECORDS_AT_ONCE", 1)
    kept = local(PaymentRecords, records.records(club.payments))  # type: ignore[type-abstract]
    who, other = new_id(), new_id()
    assert set(map(len, (await everything(kept, guest_context(who))).values())) == {0}
    code = await club.promo()
    payment_id = await written_about(club, who, "Ada")
    await written_about(other_club, who, "Ada")
    await written_about(club, other, "Eve")
    used = await club.charge(who, 1_000, code=code.code)
    aside = await club.authorise(who, 700)
    told = await everything(kept, guest_context(who))
    assert {name: len(rows) for name, rows in told.items()} == {
        "wallets": 2,
        "credits": 4,
        "wallet_entries": 2 * 6 + 2,
        "payments": 5,
        "charges": 5,
        "refunds": 6,
        "credits_set_aside": 1,
        "promo_codes_used": 1,
    }
    assert sum(w["balance_minor"] for w in told["wallets"]) == sum(e["amount_minor"] for e in told["wallet_entries"])
    assert {c["reason"] for c in told["credits"]} == {"for Ada"}
    assert str(payment_id) in {p["id"] for p in told["payments"]}
    assert told["promo_codes_used"][0]["charge_id"] == str(used.charge_id)
    assert (told["credits_set_aside"][0]["id"], told["credits_set_aside"][0]["state"]) == (str(aside.id), "held")
    assert "Eve" not in str(told) and str(other) not in str(told)
    with pytest.raises(Unauthenticated):
        await kept.records(HOUSE, None)
    with pytest.raises(Invalid):
        await kept.records(guest_context(who), "nothing of mine")
