from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from tests.modules.payments.conftest import Club, gbp, guest_context

from forecourt.kernel.clock import FixedClock
from forecourt.kernel.errors import Invalid, NotFound
from forecourt.kernel.ids import new_id
from forecourt.kernel.money import Money
from forecourt.modules.payments.contract import (
    Charge,
    ChargeMismatch,
    ChargeStatus,
    Grant,
    GrantMismatch,
    InsufficientCredits,
    LotKind,
    MeansNotSetUp,
    PayWith,
    Refund,
    RefundExceedsPayment,
    RefundMismatch,
    Reversal,
)


async def test_granted_credits_are_spent_first_then_the_earliest_to_expire_then_the_oldest(club: Club, ana: UUID) -> None:
    old = await club.grant(ana, 100, kind=LotKind.PURCHASED)
    club.clock.advance(timedelta(seconds=1))
    young = await club.grant(ana, 100, kind=LotKind.PURCHASED)
    late = await club.grant(ana, 100, kind=LotKind.SUBSCRIPTION, days=20)
    soon = await club.grant(ana, 100, kind=LotKind.PURCHASED, days=10)
    gift = await club.grant(ana, 100)
    order = [gift.id, soon.id, late.id, old.id, young.id]
    (wallet,) = await club.payments.balance(club.ctx, ana)
    assert [lot.id for lot in wallet.lots] == order
    for spent in range(1, 6):
        await club.charge(ana, 70 if spent < 5 else 220)
        left = max(0, 500 - 70 * spent) if spent < 5 else 0
        assert await club.balance(ana) == left
        held = await club.lots(ana)
        # What is left lies in the last lots of the order.
        assert [held.get(id, 0) for id in order] == [min(100, max(0, left - 100 * (4 - i))) for i in range(5)]


async def test_credits_that_are_not_there_cannot_be_spent(club: Club, ana: UUID) -> None:
    await club.grant(ana, 50)
    with pytest.raises(InsufficientCredits) as refusal:
        await club.charge(ana, 51)
    assert refusal.value.extra == {"balance": {"amount": 50, "currency": "GBP"}, "needed": {"amount": 51, "currency": "GBP"}}
    assert await club.balance(ana) == 50
    assert (await club.charge(ana, 50)).paid == gbp(50)


async def test_a_refused_charge_leaves_no_trace_and_may_be_tried_again(club: Club, ana: UUID) -> None:
    payment_id = new_id()
    with pytest.raises(InsufficientCredits):
        await club.charge(ana, 10, payment_id=payment_id)
    assert await club.payments.status(club.ctx, club.org, payment_id) is None
    await club.grant(ana, 10)
    assert (await club.charge(ana, 10, payment_id=payment_id)).status is ChargeStatus.PAID


async def test_somebody_elses_credits_and_another_clubs_credits_do_not_pay(
    club: Club, other_club: Club, ana: UUID, ben: UUID
) -> None:
    await club.grant(ana, 100)
    with pytest.raises(InsufficientCredits):
        await club.charge(ben, 1)
    with pytest.raises(InsufficientCredits):
        await other_club.charge(ana, 1)
    assert (await club.charge(ana, 1)).paid == gbp(1)


async def test_a_charge_repeated_a_hundred_times_at_once_happens_once(club: Club, ana: UUID) -> None:
    await club.grant(ana, 1000)
    payment_id = new_id()
    results = await asyncio.gather(*(club.charge(ana, 30, payment_id=payment_id) for _ in range(100)))
    assert all(r == results[0] for r in results)
    assert await club.balance(ana) == 970
    # The control: as many charges with ids of their own each take their part.
    await asyncio.gather(*(club.charge(ana, 30) for _ in range(10)))
    assert await club.balance(ana) == 670


@pytest.mark.parametrize("change", [{"amount": gbp(31)}, {"pay_with": PayWith.DESK}, {"account_id": UUID(int=7)}])
async def test_the_same_id_with_other_details_is_a_mismatch(club: Club, ana: UUID, change: dict[str, Any]) -> None:
    await club.grant(ana, 100)
    same: dict[str, Any] = {
        "payment_id": new_id(),
        "organisation_id": club.org,
        "account_id": ana,
        "amount": gbp(30),
        "pay_with": PayWith.CREDITS,
    }
    await club.payments.charge(club.ctx, Charge(**same))
    await club.payments.charge(club.ctx, Charge(**same))
    with pytest.raises(ChargeMismatch):
        await club.payments.charge(club.ctx, Charge(**(same | change)))
    assert await club.balance(ana) == 70


async def spend_all_at_once(club: Club, who: UUID, spenders: int) -> int:
    """How many of so many spenders of 1 succeed."""

    async def one() -> bool:
        try:
            await club.charge(who, 1)
        except (InsufficientCredits, asyncpg.CheckViolationError):
            return False
        return True

    return sum(await asyncio.gather(*(one() for _ in range(spenders))))


async def test_sixty_spenders_of_ten_credits_spend_ten(club: Club, ana: UUID) -> None:
    for _ in range(5):
        await club.grant(ana, 2)
    assert await spend_all_at_once(club, ana, 60) == 10
    assert await club.balance(ana) == 0


async def test_without_lock_and_constraints_sixty_spenders_overspend(fresh_database: Any, clock: FixedClock, ana: UUID) -> None:
    """The control: the race is real, and the lock is what decides it."""
    admin = await fresh_database.admin()
    body = await admin.fetchval("select pg_get_functiondef('payments.spend'::regproc)")
    assert "for no key update" in body
    slow = body.replace("for no key update", "").replace(
        "if taken < needed then", "perform pg_sleep(0.05); if taken < needed then"
    )
    await admin.execute(slow)
    await admin.execute(
        "alter table payments.lot drop constraint lot_holds_no_more_than_it_had;"
        "alter table payments.wallet drop constraint wallet_is_never_negative"
    )
    await admin.close()
    club = Club(await fresh_database.connect(20), clock)
    await club.grant(ana, 10)
    assert await spend_all_at_once(club, ana, 60) > 10


async def test_without_the_lock_the_constraint_still_refuses_to_overspend(
    fresh_database: Any, clock: FixedClock, ana: UUID
) -> None:
    admin = await fresh_database.admin()
    body = await admin.fetchval("select pg_get_functiondef('payments.spend'::regproc)")
    await admin.execute(body.replace("for no key update", ""))
    await admin.close()
    club = Club(await fresh_database.connect(20), clock)
    await club.grant(ana, 10)
    assert await spend_all_at_once(club, ana, 60) == 10
    await club.proven()


async def test_a_refund_goes_back_to_the_lots_it_came_from_the_last_spent_first(club: Club, ana: UUID) -> None:
    first, second = await club.grant(ana, 100, days=5), await club.grant(ana, 100, days=9)
    payment = await club.charge(ana, 150)
    assert await club.lots(ana) == {second.id: 50}
    await club.refund(payment.payment_id, 20)
    assert await club.lots(ana) == {second.id: 70}
    await club.refund(payment.payment_id, 40)
    assert await club.lots(ana) == {first.id: 10, second.id: 100}
    result = await club.refund(payment.payment_id, None)
    assert (result.amount, result.to_credits) == (gbp(90), gbp(90))
    assert await club.lots(ana) == {first.id: 100, second.id: 100}


async def test_no_more_comes_back_than_was_paid(club: Club, ana: UUID) -> None:
    await club.grant(ana, 100)
    payment = await club.charge(ana, 80)
    with pytest.raises(RefundExceedsPayment) as refusal:
        await club.refund(payment.payment_id, 81)
    assert refusal.value.extra["refundable"] == {"amount": 80, "currency": "GBP"}
    await club.refund(payment.payment_id, 80)
    with pytest.raises(RefundExceedsPayment):
        await club.refund(payment.payment_id, 1)


async def test_many_refunds_at_once_give_back_no_more_than_was_paid(club: Club, ana: UUID) -> None:
    await club.grant(ana, 100)
    payment = await club.charge(ana, 100)
    tries = await asyncio.gather(*(club.refund(payment.payment_id, 30) for _ in range(20)), return_exceptions=True)
    assert sum(not isinstance(t, Exception) for t in tries) == 3
    assert all(isinstance(t, RefundExceedsPayment) for t in tries if isinstance(t, Exception))
    assert await club.balance(ana) == 90


async def test_a_refund_repeated_is_one_refund_and_with_other_details_a_mismatch(club: Club, ana: UUID) -> None:
    await club.grant(ana, 100)
    payment, refund_id = await club.charge(ana, 100), new_id()
    results = await asyncio.gather(*(club.refund(payment.payment_id, 30, refund_id) for _ in range(30)))
    assert all(r == results[0] for r in results)
    assert await club.balance(ana) == 30
    with pytest.raises(RefundMismatch):
        await club.refund(payment.payment_id, 31, refund_id)


async def test_a_refund_to_an_expired_lot_makes_that_amount_good_for_thirty_days(club: Club, ana: UUID) -> None:
    lot = await club.grant(ana, 100, days=5)
    payment = await club.charge(ana, 40)
    club.clock.advance(timedelta(days=6))
    assert await club.balance(ana) == 0
    await club.refund(payment.payment_id, None)
    # The 60 that were never spent stay expired.
    (wallet,) = await club.payments.balance(club.ctx, ana)
    assert [(found.id, found.remaining) for found in wallet.lots] == [(lot.id, gbp(40))]
    assert wallet.lots[0].expires_at == club.clock.now() + timedelta(days=30)


async def test_expired_credits_cannot_be_spent_and_leave_the_wallet_once(club: Club, ana: UUID) -> None:
    await club.grant(ana, 100, days=1)
    await club.grant(ana, 7)
    club.clock.advance(timedelta(days=1))
    with pytest.raises(InsufficientCredits):
        await club.charge(ana, 8)
    assert await club.payments.expire_due(club.ctx, club.org) == 1
    assert await club.payments.expire_due(club.ctx, club.org) == 0
    page = await club.payments.history(guest_context(ana), club.org, None, 10)
    assert [(e.kind, e.amount) for e in page.items if e.kind == "expire"] == [("expire", -100)]


async def test_the_hourly_sweep_finds_every_organisation(club: Club, other_club: Club, ana: UUID) -> None:
    for one in (club, other_club):
        await one.grant(ana, 10, days=1)
    club.clock.advance(timedelta(days=2))
    assert await club.payments.expire_everywhere(club.ctx.within(None)) >= 2
    assert await other_club.payments.expire_due(other_club.ctx, other_club.org) == 0


async def test_a_grant_repeated_is_one_grant_and_with_another_amount_a_mismatch(club: Club, ana: UUID) -> None:
    wish = Grant(lot_id=new_id(), organisation_id=club.org, account_id=ana, amount=gbp(50), reason="sorry")
    lots = await asyncio.gather(*(club.payments.grant(club.ctx, wish) for _ in range(20)))
    assert all(lot == lots[0] for lot in lots)
    assert await club.balance(ana) == 50
    with pytest.raises(GrantMismatch):
        await club.payments.grant(
            club.ctx, Grant(lot_id=wish.lot_id, organisation_id=club.org, account_id=ana, amount=gbp(51), reason="sorry")
        )


@pytest.mark.parametrize(("amount", "days"), [(0, None), (-5, None), (10_000_001, None), (10, 0), (10, -1)])
async def test_grants_outside_the_bounds_are_refused(club: Club, ana: UUID, amount: int, days: int | None) -> None:
    with pytest.raises(Invalid):
        await club.grant(ana, amount, days=days)
    assert await club.payments.balance(club.ctx, ana) == []
    await club.grant(ana, 10_000_000, days=1)


async def test_a_reversal_takes_back_what_is_left_once(club: Club, ana: UUID) -> None:
    lot = await club.grant(ana, 100)
    await club.charge(ana, 30)
    reversal = Reversal(reversal_id=new_id(), lot_id=lot.id, organisation_id=club.org, reason="wrong person")
    assert await club.payments.reverse(club.ctx, reversal) == gbp(70)
    assert await club.payments.reverse(club.ctx, reversal) == gbp(70)
    assert await club.balance(ana) == 0


@pytest.mark.parametrize("means", [PayWith.CARD, PayWith.JAZZCASH, PayWith.EASYPAISA, PayWith.BANK_TRANSFER])
async def test_means_that_nobody_serves_are_refused_by_name(club: Club, ana: UUID, means: PayWith) -> None:
    with pytest.raises(MeansNotSetUp, match="payments are not set up at this organisation"):
        await club.charge(ana, 10, means)
    assert (await club.charge(ana, 10, PayWith.DESK)).due == gbp(10)


async def test_a_walk_in_pays_at_the_desk_and_not_with_credits(club: Club) -> None:
    with pytest.raises(Invalid):
        await club.charge(None, 10)
    result = await club.charge(None, 10, PayWith.DESK)
    assert (result.status, result.paid, result.due) == (ChargeStatus.DUE_AT_DESK, gbp(0), gbp(10))


async def test_money_at_the_desk_is_due_then_received_then_owed_then_handed_back(club: Club, ana: UUID) -> None:
    payment_id = (await club.charge(ana, 100, PayWith.DESK)).payment_id
    assert (await club.refund(payment_id, 10)).waived == gbp(10)
    state = await club.payments.settle_desk(club.ctx, club.org, payment_id)
    assert (state.paid, state.due, state.owed) == (gbp(90), gbp(0), gbp(0))
    assert (await club.refund(payment_id, 40)).at_desk == gbp(40)
    owing = await club.payments.status(club.ctx, club.org, payment_id)
    assert owing is not None
    assert (owing.paid, owing.owed, owing.refundable) == (gbp(50), gbp(40), gbp(50))
    for _ in range(2):
        state = await club.payments.settle_desk(club.ctx, club.org, payment_id)
        assert (state.paid, state.owed) == (gbp(50), gbp(0))
    entries = await club.payments.entries(club.ctx, club.org, "desk", None, None, None, 100)
    assert [e.amount for e in entries.items] == [-90, 40]


async def test_a_payment_in_parts_gives_back_what_is_still_due_first(club: Club, ana: UUID) -> None:
    await club.grant(ana, 60)
    payment_id = (await club.charge(ana, 60)).payment_id
    await club.charge(ana, 40, PayWith.DESK, payment_id=payment_id, charge_id=new_id())
    result = await club.refund(payment_id, 70)
    assert (result.waived, result.to_credits) == (gbp(40), gbp(30))
    assert await club.balance(ana) == 30


async def test_a_second_charge_in_another_currency_is_a_mismatch(club: Club, ana: UUID) -> None:
    payment_id = (await club.charge(ana, 10, PayWith.DESK)).payment_id
    euros = Charge(
        payment_id=payment_id,
        organisation_id=club.org,
        account_id=ana,
        amount=Money(5, "EUR"),
        pay_with=PayWith.DESK,
        charge_id=new_id(),
    )
    with pytest.raises(ChargeMismatch):
        await club.payments.charge(club.ctx, euros)


async def test_a_person_sees_their_own_wallets_and_payments_and_nobody_elses(
    club: Club, other_club: Club, ana: UUID, ben: UUID
) -> None:
    for one in (club, other_club):
        await one.grant(ana, 100)
    payment = await club.charge(ana, 25)
    mine = guest_context(ana)
    assert {w.organisation_id for w in await club.payments.own_wallets(mine)} == {club.org, other_club.org}
    assert (await club.payments.own_payment(mine, payment.payment_id)).paid == gbp(25)
    assert [e.amount for e in (await club.payments.history(mine, club.org, None, 10)).items] == [-25, 100]
    stranger = guest_context(ben)
    assert await club.payments.balance(stranger, ana) == []
    assert (await club.payments.history(stranger, club.org, None, 10)).items == []
    with pytest.raises(NotFound):
        await club.payments.own_payment(stranger, payment.payment_id)
    with pytest.raises(NotFound):
        await other_club.payments.payment(other_club.ctx, other_club.org, payment.payment_id)
    with pytest.raises(NotFound):
        await other_club.refund(payment.payment_id, 1)


async def test_amounts_below_nothing_and_other_currencies_are_refused(club: Club, ana: UUID) -> None:
    await club.grant(ana, 100)
    payment = await club.charge(ana, 50)
    for wrong in (club.charge(ana, -1), club.refund(payment.payment_id, -1)):
        with pytest.raises(Invalid):
            await wrong
    euros = Grant(lot_id=new_id(), organisation_id=club.org, account_id=ana, amount=Money(5, "EUR"), reason="gift")
    with pytest.raises(Invalid):
        await club.payments.grant(club.ctx, euros)
    back = Refund(refund_id=new_id(), payment_id=payment.payment_id, organisation_id=club.org, amount=Money(5, "EUR"), reason="x")
    with pytest.raises(Invalid):
        await club.payments.refund(club.ctx, back)
    assert await club.balance(ana) == 50
