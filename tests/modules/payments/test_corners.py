"""What happens to money rarely: calls whose answer was lost, lots that ran dry, sweeps of more than one batch."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
from tests.modules.payments.conftest import Club, gbp

from forecourt.kernel.context import Context, service_context
from forecourt.kernel.errors import Unauthenticated
from forecourt.kernel.ids import new_id
from forecourt.modules.payments.contract import PayWith, PromoFault, PromoRejected, PromoUse, Reversal
from forecourt.modules.payments.service import credits, sweeping


async def test_nobody_has_no_wallet_of_their_own(club: Club) -> None:
    for ctx in (Context(), service_context("tests")):
        with pytest.raises(Unauthenticated):
            await club.payments.own_wallets(ctx)


async def test_a_charge_whose_answer_was_lost_is_not_refused_for_the_code_it_used_up_itself(club: Club, ana: UUID) -> None:
    await club.grant(ana, 1000)
    code = (await club.promo(total_limit=1)).code
    payment_id = new_id()
    first = await club.charge(ana, 100, payment_id=payment_id, code=code)
    assert await club.charge(ana, 100, payment_id=payment_id, code=code) == first
    assert (first.discount, await club.balance(ana)) == (gbp(20), 920)
    with pytest.raises(PromoRejected):  # another charge finds it used up
        await club.charge(ana, 100, code=code)


async def test_a_code_is_priced_for_somebody_without_an_account_too(club: Club, ana: UUID) -> None:
    code = (await club.promo()).code
    use = PromoUse(code, club.venue_id, club.clock.now(), 60)
    for who in (None, ana):
        assert (await club.payments.price_promo(club.ctx, club.org, who, gbp(100), use)).discount == gbp(20)
    personal = PromoUse((await club.promo(person_limit=1)).code, club.venue_id, club.clock.now(), 60)
    with pytest.raises(PromoRejected) as refused:
        await club.payments.price_promo(club.ctx, club.org, None, gbp(100), personal)
    assert refused.value.extra["fault"] == PromoFault.NEEDS_ACCOUNT
    assert await club.payments.price_promo(club.ctx, club.org, ana, gbp(100), personal)


async def test_a_reversal_sent_twice_takes_once(club: Club, ana: UUID) -> None:
    lot = await club.grant(ana, 100)
    wish = Reversal(reversal_id=new_id(), lot_id=lot.id, organisation_id=club.org, reason="a mistake")
    assert [await club.payments.reverse(club.ctx, wish) for _ in range(2)] == [gbp(100), gbp(100)]
    assert await club.balance(ana) == 0
    other = Reversal(reversal_id=new_id(), lot_id=lot.id, organisation_id=club.org, reason="a mistake")
    assert await club.payments.reverse(club.ctx, other) == gbp(0)


async def test_a_refund_to_a_lot_that_was_spent_to_the_end_and_then_expired_lives_on(club: Club, ana: UUID) -> None:
    lot = await club.grant(ana, 100, days=1)
    paid = await club.charge(ana, 100)
    club.clock.advance(timedelta(days=2))
    await club.refund(paid.payment_id, None)
    assert await club.lots(ana) == {lot.id: 100}
    club.clock.advance(timedelta(days=31))
    assert await club.payments.expire_due(club.ctx, club.org) == 1
    assert await club.balance(ana) == 0


async def test_a_desk_charge_that_was_waived_is_settled_without_a_penny(club: Club, ana: UUID) -> None:
    due = await club.charge(ana, 100, PayWith.DESK)
    await club.refund(due.payment_id, None)
    state = await club.payments.settle_desk(club.ctx, club.org, due.payment_id)
    assert (state.paid, state.due, state.owed) == (gbp(0), gbp(0), gbp(0))
    other = await club.charge(ana, 100, PayWith.DESK)
    assert (await club.payments.settle_desk(club.ctx, club.org, other.payment_id)).paid == gbp(100)


async def test_sweeps_go_on_until_a_batch_is_not_full(
    club: Club, other_club: Club, ana: UUID, ben: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credits, "EXPIRE_BATCH", 2)
    monkeypatch.setattr(sweeping, "BOOKS_BATCH", 1)
    for _ in range(3):
        await club.grant(ana, 10, days=1)
    await club.grant(ana, 5)
    await other_club.grant(ben, 10, days=1)
    club.clock.advance(timedelta(days=2))
    assert await club.payments.expire_everywhere(service_context("tests")) >= 4
    assert (await club.balance(ana), await other_club.balance(ben)) == (5, 0)
    wrong = await club.payments.prove_everywhere(service_context("tests"))
    assert club.org not in wrong and other_club.org not in wrong
