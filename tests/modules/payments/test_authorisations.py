"""Credits set aside until somebody has decided: taken once, or given back once, whoever asks at the same moment."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from tests.modules.payments.conftest import NOW, Club, gbp, guest_context

from forecourt.kernel.clock import FixedClock
from forecourt.kernel.context import service_context
from forecourt.kernel.errors import Invalid, NotFound
from forecourt.kernel.ids import new_id
from forecourt.modules.payments import queries
from forecourt.modules.payments.contract import (
    Authorisation,
    AuthorisationEnded,
    AuthorisationStatus,
    Authorise,
    Charge,
    ChargeMismatch,
    InsufficientCredits,
    LotKind,
    MeansNotSetUp,
    PaymentResult,
    PayWith,
    PromoRejected,
)

S = AuthorisationStatus


async def at_once(*calls: Coroutine[Any, Any, Any]) -> list[Any]:
    return await asyncio.gather(*calls, return_exceptions=True)


def kinds(results: list[Any]) -> Counter[str]:
    return Counter(type(r).__name__ for r in results)


async def has(club: Club, who: UUID) -> tuple[int, int]:
    """What can be spent, and what is set aside."""
    return await club.balance(who), await club.reserved(who)


async def test_what_is_set_aside_cannot_be_spent_and_is_no_revenue(club: Club, ana: UUID) -> None:
    await club.grant(ana, 3000)
    held = await club.authorise(ana, 2000)
    assert (held.status, held.amount) == (S.HELD, gbp(2000))
    assert await has(club, ana) == (1000, 2000)
    with pytest.raises(InsufficientCredits):
        await club.charge(ana, 1001)
    assert await club.payments.status(club.ctx, club.org, held.payment_id) is None, "nothing was charged"


async def test_a_capture_takes_what_was_set_aside_from_the_same_lots(club: Club, ana: UUID) -> None:
    bought = await club.grant(ana, 1500, kind=LotKind.PURCHASED)
    granted = await club.grant(ana, 1500)
    held = await club.authorise(ana, 2000)
    taken = await club.capture(held.id)
    assert (taken.paid, taken.charge_id) == (gbp(2000), held.id)
    assert await has(club, ana) == (1000, 0)
    assert await club.lots(ana) == {bought.id: 1000}
    await club.refund(held.payment_id, 600)
    assert await club.lots(ana) == {bought.id: 1500, granted.id: 100}, "the last lot that paid gets its money back first"


async def test_a_release_gives_it_back_to_the_lots_it_came_from(club: Club, ana: UUID) -> None:
    bought = await club.grant(ana, 1500, kind=LotKind.PURCHASED)
    granted = await club.grant(ana, 1500)
    held = await club.authorise(ana, 2000)
    assert (await club.release(held.id)).status is S.RELEASED
    assert await has(club, ana) == (3000, 0)
    assert await club.lots(ana) == {granted.id: 1500, bought.id: 1500}
    with pytest.raises(AuthorisationEnded):
        await club.capture(held.id)


async def test_a_lot_that_expires_meanwhile_is_good_for_a_while_when_its_money_comes_back(
    club: Club, ana: UUID, clock: FixedClock
) -> None:
    await club.grant(ana, 1000, days=2)
    held = await club.authorise(ana, 1000)
    clock.advance(timedelta(days=3))
    assert await club.payments.expire_due(club.ctx, club.org) == 0, "what is set aside is in no lot"
    await club.release(held.id)
    assert await has(club, ana) == (1000, 0)


async def test_more_than_there_is_cannot_be_set_aside(club: Club, ana: UUID) -> None:
    await club.grant(ana, 1000)
    with pytest.raises(InsufficientCredits) as caught:
        await club.authorise(ana, 1001)
    assert caught.value.extra["balance"]["amount"] == 1000
    assert await has(club, ana) == (1000, 0)
    await club.authorise(ana, 1000)


async def test_only_a_persons_credits_can_be_set_aside(club: Club, ana: UUID) -> None:
    with pytest.raises(MeansNotSetUp):
        await club.authorise(None, 100)
    at_the_desk = Charge(payment_id=new_id(), organisation_id=club.org, account_id=ana, amount=gbp(1), pay_with=PayWith.DESK)
    with pytest.raises(MeansNotSetUp):
        await club.payments.authorise(club.ctx, Authorise(charge=at_the_desk, expires_at=NOW + timedelta(days=1)))
    with pytest.raises(Invalid):
        await club.authorise(ana, -1)
    with pytest.raises(Invalid):
        await club.authorise(ana, 0, days=0)


async def test_repeating_each_step_has_one_effect(club: Club, ana: UUID) -> None:
    await club.grant(ana, 5000)
    id = new_id()
    assert await club.authorise(ana, 2000, id=id) == await club.authorise(ana, 2000, id=id)
    assert await has(club, ana) == (3000, 2000)
    assert await club.capture(id) == await club.capture(id)
    assert (await club.release(id)).status is S.CAPTURED, "a release that comes too late says so"
    assert (await club.authorise(ana, 2000, id=id)).status is S.CAPTURED
    assert await has(club, ana) == (3000, 0)


async def test_the_same_id_for_something_else_is_refused(club: Club, ana: UUID, ben: UUID) -> None:
    await club.grant(ana, 5000)
    await club.grant(ben, 5000)
    held = await club.authorise(ana, 2000)
    for who, amount in ((ana, 2001), (ben, 2000)):
        with pytest.raises(ChargeMismatch):
            await club.authorise(who, amount, id=held.id)
    await club.charge(ana, 100, payment_id=held.id)
    with pytest.raises(ChargeMismatch):
        await club.capture(held.id)
    await club.release(held.id)


async def test_an_authorisation_that_comes_after_its_release_comes_too_late(club: Club, ana: UUID) -> None:
    await club.grant(ana, 2000)
    id = new_id()
    assert (await club.release(id)).amount == gbp(0)
    assert (await club.release(id)).status is S.RELEASED
    with pytest.raises(AuthorisationEnded):
        await club.authorise(ana, 2000, id=id)
    assert await has(club, ana) == (2000, 0)
    await club.authorise(ana, 2000)


async def test_nothing_is_captured_that_was_never_set_aside(club: Club) -> None:
    with pytest.raises(NotFound):
        await club.capture(new_id())
    assert await club.payments.authorisation(club.ctx, club.org, new_id()) is None


async def test_captured_and_released_at_the_same_moment_it_is_one_of_them(club: Club, ana: UUID) -> None:
    await club.grant(ana, 100_000)
    seen: Counter[AuthorisationStatus] = Counter()
    for _ in range(20):
        before = await club.balance(ana)
        held = await club.authorise(ana, 1000)
        results = await at_once(*(f(held.id) for f in (club.capture, club.release) * 3))
        assert set(kinds(results)) <= {"PaymentResult", "Authorisation", "AuthorisationEnded"}
        ended = await club.payments.authorisation(club.ctx, club.org, held.id)
        assert isinstance(ended, Authorisation)
        seen[ended.status] += 1
        taken = ended.status is S.CAPTURED
        assert all(isinstance(r, PaymentResult) == taken for r in results[::2]), "both captures say the same"
        assert before - await club.balance(ana) == (1000 if taken else 0)
        assert await club.reserved(ana) == 0
    assert seen[S.HELD] == 0


async def test_without_the_lock_on_its_row_it_is_refused_by_the_database(
    club: Club, ana: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: deciding on what was read lets both in, and then the trigger that ends it once is what holds."""
    monkeypatch.setattr(queries, "lock_authorisation", queries.authorisation)
    await club.grant(ana, 100_000)
    failed: Counter[str] = Counter()
    for _ in range(10):
        held = await club.authorise(ana, 1000)
        failed += kinds(await at_once(*(f(held.id) for f in (club.capture, club.release) * 3)))
    assert failed["CheckViolationError"] + failed["UniqueViolationError"] + failed["ChargeMismatch"] > 0


async def test_credits_are_not_set_aside_twice(club: Club, ana: UUID) -> None:
    await club.grant(ana, 3000)
    results = await at_once(*(club.authorise(ana, 1000) for _ in range(6)), *(club.charge(ana, 1000) for _ in range(6)))
    assert kinds(results)["InsufficientCredits"] == 9
    assert sum(await has(club, ana)) + 1000 * kinds(results)["PaymentResult"] == 3000


async def test_a_hundred_requests_with_one_id_set_it_aside_once(club: Club, ana: UUID) -> None:
    await club.grant(ana, 5000)
    id = new_id()
    results = await at_once(*(club.authorise(ana, 2000, id=id) for _ in range(100)))
    assert kinds(results) == {"Authorisation": 100}
    assert await has(club, ana) == (3000, 2000)


async def test_nobody_decides_in_time_and_it_goes_back_by_itself(club: Club, ana: UUID, clock: FixedClock) -> None:
    await club.grant(ana, 3000)
    soon = await club.authorise(ana, 1000, days=1)
    later = await club.authorise(ana, 1000, days=3)
    clock.advance(timedelta(days=1))
    with pytest.raises(AuthorisationEnded):
        await club.capture(soon.id)
    assert await has(club, ana) == (1000, 2000)
    assert await club.payments.release_expired(club.ctx, club.org) == 1
    assert await has(club, ana) == (2000, 1000)
    assert await club.payments.release_expired(club.ctx, club.org) == 0
    assert (await club.capture(later.id)).paid == gbp(1000)


async def test_the_sweep_goes_through_every_ledger(club: Club, other_club: Club, ana: UUID, clock: FixedClock) -> None:
    for place in (club, other_club):
        await place.grant(ana, 1000)
        await place.authorise(ana, 1000, days=1)
    clock.advance(timedelta(days=2))
    assert await club.payments.release_everywhere(service_context("payments.release")) >= 2
    assert [await has(c, ana) for c in (club, other_club)] == [(1000, 0), (1000, 0)]


# --- promo codes


async def test_a_code_is_used_when_it_is_set_aside_and_free_again_when_released(club: Club, ana: UUID, ben: UUID) -> None:
    for who in (ana, ben):
        await club.grant(who, 5000)
    promo = await club.promo(value=50, total_limit=1, person_limit=1)
    held = await club.authorise(ana, 2000, code=promo.code)
    assert (held.amount, held.discount) == (gbp(1000), gbp(1000))
    assert await club.authorise(ana, 2000, code=promo.code, id=held.id) == held, "the code is used up by this very one"
    with pytest.raises(PromoRejected):
        await club.authorise(ben, 2000, code=promo.code)
    await club.release(held.id)
    second = await club.authorise(ana, 2000, code=promo.code)
    await club.capture(second.id)
    with pytest.raises(PromoRejected):
        await club.authorise(ben, 2000, code=promo.code)
    await club.refund(second.payment_id, None)
    assert (await club.authorise(ben, 2000, code=promo.code)).discount == gbp(1000)


async def test_a_code_that_takes_all_of_it_off_is_captured_for_nothing(club: Club, ana: UUID) -> None:
    promo = await club.promo(value=100)
    held = await club.authorise(ana, 2000, code=promo.code)
    assert held.amount == gbp(0)
    taken = await club.capture(held.id)
    assert (taken.amount, taken.discount) == (gbp(0), gbp(2000))


# --- the ledger and its guards


async def test_the_history_says_what_was_set_aside_and_what_came_back(club: Club, ana: UUID, clock: FixedClock) -> None:
    await club.grant(ana, 3000)
    clock.advance(timedelta(seconds=1))
    held = await club.authorise(ana, 1000)
    clock.advance(timedelta(seconds=1))
    await club.release(held.id)
    page = await club.payments.history(guest_context(ana), club.org, None, 10)
    assert [(e.kind, e.amount) for e in page.items] == [("release", 1000), ("reserve", -1000), ("grant", 3000)]
    assert page.items[0].payment_id == held.payment_id


async def test_what_is_set_aside_is_seen_by_its_person_and_nobody_else(club: Club, ana: UUID, ben: UUID) -> None:
    await club.grant(ana, 1000)
    await club.grant(ben, 1000)
    await club.authorise(ana, 400)
    assert [w.reserved for w in await club.payments.own_wallets(guest_context(ana))] == [gbp(400)]
    assert [w.reserved for w in await club.payments.own_wallets(guest_context(ben))] == [gbp(0)]


async def test_the_proof_finds_a_hold_that_the_ledger_does_not_know(club: Club, ana: UUID, admin: Any) -> None:
    await club.grant(ana, 1000)
    held = await club.authorise(ana, 400)
    transaction = admin.transaction()
    await transaction.start()
    await admin.execute("update payments.authorisation set state = 'released', ended_at = now() where id = $1", held.id)
    faults = await admin.fetch(queries.FAULTS.sql, club.org, 10)
    assert [f["text"] for f in faults] == [f"authorisation {held.id} has set aside 0, the ledger says 400"]
    await transaction.rollback()


async def test_what_has_ended_cannot_begin_again(club: Club, ana: UUID, admin: Any) -> None:
    await club.grant(ana, 1000)
    held = await club.authorise(ana, 400)
    await club.release(held.id)
    with pytest.raises(asyncpg.CheckViolationError) as caught:
        await admin.execute("update payments.authorisation set state = 'held', ended_at = null where id = $1", held.id)
    assert caught.value.constraint_name == "authorisation_ends_once"
