"""Requests that staff have to agree to: paid for by setting credits aside, taken on approval, given back otherwise. Once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from forecourt.kernel.context import service_context
from forecourt.kernel.events import Dispatcher
from forecourt.kernel.ids import new_id
from forecourt.modules.booking import queries, reactions
from forecourt.modules.booking.contract import (
    BookingOut,
    BookingPatch,
    BookingStatus,
    Cancel,
    Extend,
    InvalidTransition,
    NewQuote,
    Overtaken,
    PayWith,
    Purpose,
    Reschedule,
)
from forecourt.modules.payments.contract import InsufficientCredits, NewPromoCode, PromoCode, PromoKind
from forecourt.modules.venues.contract import RefundTier

S = BookingStatus
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


async def ask(world: Any, ctx: Any, **more: Any) -> BookingOut:
    return await world.book(ctx, purpose=Purpose.CONTENT, **more)


async def money(world: Any, ctx: Any) -> tuple[int, int]:
    """What can be spent, and what is set aside."""
    wallets = await world.payments.balance(ctx.within(world.organisation_id), ctx.account_id)
    return sum(w.balance.amount for w in wallets), sum(w.reserved.amount for w in wallets)


async def books_add_up(world: Any) -> None:
    for line in (await world.till.proof(service_context("tests"), world.organisation_id)).values():
        assert (line.sum, line.faults) == (0, [])


async def settles(world: Any) -> None:
    """A minute goes by, and what is due is looked after; then nothing is left to do for now."""
    await world.keep_time(world.clock.now() + MINUTE)
    left = await world.sql("select kind from booking.errand where organisation_id = $1", world.organisation_id)
    assert left == []
    await books_add_up(world)


async def half_price_once(world: Any) -> PromoCode:
    new = NewPromoCode(code=f"C{new_id().hex[-8:]}", kind=PromoKind.PERCENT, value=50, total_limit=1)
    return await world.till.make_promo(world.staff, world.organisation_id, new)


async def at_once(*calls: Awaitable[Any]) -> list[Any]:
    return await asyncio.gather(*calls, return_exceptions=True)


def kinds(results: list[Any]) -> Counter[str]:
    return Counter(type(r).__name__ for r in results)


class Dying:
    """Payments as a process sees them that dies at one call: before it, or just after it has worked."""

    def __init__(self, world: Any, at: str, *, after: bool) -> None:
        self._payments = world.payments
        self._at = at
        self._after = after

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._payments, name)
        if name != self._at:
            return real

        async def fatal(*args: Any, **named: Any) -> Any:
            if self._after:
                await real(*args, **named)
            raise ConnectionError("the process died here")

        return fatal


# --- one after another


async def test_a_request_sets_its_price_aside_and_approval_takes_it(world: Any) -> None:
    guest = await world.rich(amount=10_000)
    asked = await ask(world, guest)
    assert (asked.status, asked.paid.amount, asked.authorised and asked.authorised.amount) == (S.PENDING_APPROVAL, 0, 2_000)
    assert await money(world, guest) == (8_000, 2_000)
    approved = await world.service.approve(world.staff, asked.id)
    assert (approved.status, approved.paid.amount, approved.authorised) == (S.UPCOMING, 2_000, None)
    assert await money(world, guest) == (8_000, 0)
    assert (await world.service.history(guest, asked.id))[-1].actor == "staff"
    await settles(world)
    assert await world.service.booking(guest, asked.id) == approved


async def test_a_declined_request_costs_nothing(world: Any) -> None:
    guest = await world.rich(amount=10_000)
    asked = await ask(world, guest)
    declined = await world.service.decline(world.staff, asked.id, "no cameras")
    assert (declined.status, declined.authorised) == (S.DECLINED, None)
    assert await money(world, guest) == (10_000, 0)
    assert await world.claims() == []
    with pytest.raises(InvalidTransition):
        await world.service.approve(world.staff, asked.id)


async def test_who_withdraws_a_request_gets_all_of_it_back_whatever_the_policy(world: Any) -> None:
    await world.policies(cancellation=[RefundTier(1000, 50)])
    guest = await world.rich(amount=10_000)
    asked = await ask(world, guest)
    assert (await world.service.refund_preview(guest, asked.id)).refund.amount == 2_000
    withdrawn = await world.service.cancel(guest, asked.id, Cancel())
    assert (withdrawn.status, withdrawn.refund and withdrawn.refund.amount) == (S.CANCELLED, 2_000)
    assert await money(world, guest) == (10_000, 0)
    booked = await world.book(guest)  # the control: a booking that nobody had to agree to goes by the policy
    assert (await world.service.cancel(guest, booked.id, Cancel())).refund.amount == 0


async def test_a_request_that_nobody_answers_is_given_back_when_it_would_begin(world: Any, words: Any) -> None:
    guest = await world.rich(amount=10_000)
    asked = await ask(world, guest)
    await world.keep_time(words.TEN - MINUTE)
    assert (await world.service.booking(guest, asked.id)).status is S.PENDING_APPROVAL
    await world.keep_time(words.TEN)
    assert (await world.service.booking(guest, asked.id)).status is S.DECLINED
    assert await money(world, guest) == (10_000, 0)
    await settles(world)


async def test_without_enough_credits_nothing_is_asked_and_the_place_is_free(world: Any) -> None:
    guest = await world.rich(amount=1_999)
    with pytest.raises(InsufficientCredits):
        await ask(world, guest)
    assert await world.claims() == []
    assert await money(world, guest) == (1_999, 0)
    await settles(world)


async def test_a_request_that_is_paid_for_later_sets_nothing_aside(world: Any) -> None:
    guest = await world.rich(amount=10_000)
    for more in ({"pay_with": None}, {"pay_with": PayWith.DESK, "resource_id": world.other_court.id}):
        asked = await ask(world, guest, **more)
        assert (asked.status, asked.authorised) == (S.PENDING_APPROVAL, None)
        await settles(world)
        approved = await world.service.approve(world.staff, asked.id)
        assert approved.status is (S.PAYMENT_PENDING if more["pay_with"] is None else S.UPCOMING)
    assert await money(world, guest) == (10_000, 0)


async def test_what_costs_nothing_sets_nothing_aside(world: Any) -> None:
    await world.price(0)
    guest = world.newcomer()
    asked = await ask(world, guest)
    assert asked.authorised is None
    assert (await world.service.approve(world.staff, asked.id)).status is S.UPCOMING


async def test_a_request_whose_price_is_set_aside_keeps_that_price(world: Any) -> None:
    guest = await world.rich(amount=10_000)
    asked = await ask(world, guest)
    noted = await world.service.edit(guest, asked.id, BookingPatch(note="with a dog", team_size=2))
    assert (noted.note, noted.team_size, noted.authorised) == ("with a dog", 2, asked.authorised)
    await world.price(3_000)
    with pytest.raises(InvalidTransition):
        await world.service.edit(guest, asked.id, BookingPatch(team_size=3))
    assert (await world.service.approve(world.staff, asked.id)).paid.amount == 2_000


async def test_a_code_is_used_with_the_request_and_free_again_when_it_is_declined(world: Any) -> None:
    guest, other = await world.rich(amount=10_000), await world.rich(amount=10_000)
    made = await world.till.make_promo(
        world.staff,
        world.organisation_id,
        NewPromoCode(code=f"C{new_id().hex[-8:]}", kind=PromoKind.PERCENT, value=50, total_limit=1),
    )
    asked = await ask(world, guest, promo_code=made.code)
    assert (asked.price.amount, asked.authorised and asked.authorised.amount) == (1_000, 1_000)
    await world.service.decline(world.staff, asked.id, "no")
    again = await ask(world, other, promo_code=made.code)
    assert (await world.service.approve(world.staff, again.id)).paid.amount == 1_000
    assert await money(world, guest) == (10_000, 0)
    await books_add_up(world)


async def test_a_quote_holds_for_a_request_even_when_its_code_is_used_up(world: Any) -> None:
    guest, other = await world.rich(amount=10_000), await world.rich(amount=10_000)
    made = await world.till.make_promo(
        world.staff,
        world.organisation_id,
        NewPromoCode(code=f"C{new_id().hex[-8:]}", kind=PromoKind.PERCENT, value=50, total_limit=1),
    )
    wish = world.wish(purpose=Purpose.CONTENT)
    quote = await world.service.quote(
        guest, NewQuote(wish.resource_id, wish.start, wish.duration_min, Purpose.CONTENT, promo_code=made.code)
    )
    await world.book(other, resource_id=world.other_court.id, promo_code=made.code)
    asked = await ask(world, guest, quote_id=quote.id)
    assert asked.authorised is not None
    assert asked.authorised.amount == 1_000
    assert (await world.service.approve(world.staff, asked.id)).paid.amount == 1_000


async def test_an_approved_request_is_refunded_like_any_booking(world: Any) -> None:
    await world.policies(cancellation=[RefundTier(0, 50)])
    guest = await world.rich(amount=10_000)
    asked = await ask(world, guest)
    await world.service.approve(world.staff, asked.id)
    assert (await world.service.cancel(guest, asked.id, Cancel())).refund.amount == 1_000
    assert await money(world, guest) == (9_000, 0)
    await settles(world)


# --- at the same moment


async def test_approved_twice_at_the_same_moment_it_is_taken_once(world: Any) -> None:
    guest = await world.rich(amount=10_000)
    asked = await ask(world, guest)
    other = world.another_process()
    staff = world.staff
    results = await at_once(*(s.approve(staff, asked.id) for s in [world.service, other] * 4))
    assert set(kinds(results)) <= {"BookingOut", "InvalidTransition"}
    assert all(r.status is S.UPCOMING for r in results if isinstance(r, BookingOut))
    assert await money(world, guest) == (8_000, 0)
    await settles(world)


async def test_two_requests_are_both_taken(world: Any) -> None:
    """The control: it is the booking's id that makes the second capture none."""
    guest = await world.rich(amount=10_000)
    asked = [await ask(world, guest), await ask(world, guest, resource_id=world.other_court.id)]
    await at_once(*(world.service.approve(world.staff, b.id) for b in asked))
    assert await money(world, guest) == (6_000, 0)


async def test_approved_and_withdrawn_at_the_same_moment_it_is_paid_and_kept_or_free_and_given_back(world: Any) -> None:
    await world.policies(cancellation=[RefundTier(0, 100)])  # a withdrawal that comes after the approval is a cancellation
    guest = await world.rich(amount=100_000)
    staff = world.staff
    for i in range(16):
        before = await money(world, guest)
        asked = await ask(world, guest, start=world.wish().start + timedelta(hours=i))
        other = world.another_process()
        calls = [world.service.approve(staff, asked.id), other.cancel(guest, asked.id, Cancel())]
        calls += [other.approve(staff, asked.id), world.service.decline(staff, asked.id, "no")]
        order = calls if i % 2 else calls[::-1]
        results = await at_once(*order)
        assert all(isinstance(r, BookingOut | InvalidTransition | Overtaken) for r in results), results
        await settles(world)
        stands = await world.service.booking(guest, asked.id)
        kept = stands.status is S.UPCOMING
        assert kept or stands.status in (S.CANCELLED, S.DECLINED)
        assert await money(world, guest) == (before[0] - (2_000 if kept else 0), 0)
        assert len(await world.sql("select 1 from booking.occupancy where booking_id = $1", asked.id)) == kept


async def test_approved_at_the_moment_its_time_is_over_it_is_one_of_the_two(world: Any, words: Any) -> None:
    guest = await world.rich(amount=100_000)
    staff = world.staff
    for i in range(6):
        start = words.TEN + timedelta(days=i)
        before = await world.balance(guest)
        asked = await ask(world, guest, start=start)
        world.clock.set(start)
        results = await at_once(
            world.service.approve(staff, asked.id), world.keep_time(), world.another_process().approve(staff, asked.id)
        )
        assert all(isinstance(r, BookingOut | InvalidTransition | Overtaken | int) for r in results), results
        await settles(world)
        stands = await world.service.booking(guest, asked.id)
        kept = stands.status is not S.DECLINED
        assert await money(world, guest) == (before - (2_000 if kept else 0), 0)


async def test_deciding_on_what_was_read_alone_pays_for_what_is_not_kept(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: without the version in the step and the errand of whoever said no, a withdrawn request stays paid."""

    async def forgotten(*_: object) -> None:
        return None

    guest = await world.rich(amount=10_000)
    asked = await ask(world, guest)
    row, _ = await world.service.find(guest, asked.id)
    monkeypatch.setattr(queries, "add_errand", forgotten)
    monkeypatch.setattr(type(world.service), "run_errand", forgotten)
    await world.service.cancel(guest, asked.id, Cancel())
    await world.service.till.capture(world.staff, row)
    assert (await world.service.booking(guest, asked.id)).status is S.CANCELLED
    assert await money(world, guest) == (8_000, 0), "neither the place nor the money"


# --- whoever dies


@pytest.mark.parametrize("after", [False, True])
async def test_who_dies_setting_it_aside_leaves_a_request_or_a_free_place(world: Any, after: bool) -> None:
    guest = await world.rich(amount=10_000)
    with pytest.raises(ConnectionError):
        await ask_through(world, guest, Dying(world, "authorise", after=after))
    assert await money(world, guest) == ((8_000, 2_000) if after else (10_000, 0))
    await settles(world)
    mine = (await world.sql("select status, authorised_minor from booking.booking where account_id = $1", guest.account_id))[0]
    assert tuple(mine) == (("pending_approval", 2_000) if after else ("cancelled", 0))
    assert len(await world.claims()) == after
    assert await money(world, guest) == ((8_000, 2_000) if after else (10_000, 0))
    before = world.clock.now()
    await world.keep_time(before + MINUTE)
    assert await money(world, guest) == ((8_000, 2_000) if after else (10_000, 0))


async def ask_through(world: Any, guest: Any, payments: Any) -> BookingOut:
    return await world.another_process(payments).book(guest, world.wish(purpose=Purpose.CONTENT, pay_with=PayWith.CREDITS))


@pytest.mark.parametrize("after", [False, True])
async def test_who_dies_and_asks_again_with_the_same_key_has_one_request(world: Any, after: bool) -> None:
    guest = msgspec.structs.replace(await world.rich(amount=10_000), idempotency_id=new_id())
    with pytest.raises(ConnectionError):
        await ask_through(world, guest, Dying(world, "authorise", after=after))
    again = await ask(world, guest)
    assert (again.status, again.authorised and again.authorised.amount) == (S.PENDING_APPROVAL, 2_000)
    assert (await ask(world, guest)).id == again.id
    assert await money(world, guest) == (8_000, 2_000)
    assert len(await world.claims()) == 1


async def test_the_money_of_one_who_died_comes_too_late_for_a_place_that_was_given_back(world: Any) -> None:
    guest = await world.rich(amount=10_000)
    with pytest.raises(ConnectionError):
        await ask_through(world, guest, Dying(world, "authorise", after=False))
    await settles(world)
    gone = (await world.sql("select id from booking.booking where account_id = $1", guest.account_id))[0]["id"]
    row, _ = await world.service.find(guest, gone)
    late = msgspec.structs.replace(row, status=S.PENDING_APPROVAL)
    with pytest.raises(InvalidTransition):
        await world.service._authorise_or_release(guest, late)
    assert await money(world, guest) == (10_000, 0)


@pytest.mark.parametrize("after", [False, True])
async def test_who_dies_approving_leaves_a_request_or_a_booking(fresh_database: Any, make_world: Any, after: bool) -> None:
    database = await fresh_database.connect(10)
    world = await make_world(database)
    guest = await world.rich(amount=10_000)
    asked = await ask(world, guest)
    with pytest.raises(ConnectionError):
        await world.another_process(Dying(world, "capture", after=after)).approve(world.staff, asked.id)  # type: ignore[arg-type]
    assert (await world.service.booking(guest, asked.id)).status is S.PENDING_APPROVAL
    await Dispatcher(database, fresh_database.url, reactions.subscriptions(world.service), world.clock).drain()
    await settles(world)
    stands = await world.service.booking(guest, asked.id)
    assert stands.status is (S.UPCOMING if after else S.PENDING_APPROVAL)
    assert await money(world, guest) == (8_000, 0 if after else 2_000)
    if not after:
        assert (await world.service.approve(world.staff, asked.id)).status is S.UPCOMING


@pytest.mark.parametrize("after", [False, True])
async def test_who_dies_saying_no_leaves_the_rest_to_the_keeper(world: Any, after: bool) -> None:
    guest = await world.rich(amount=10_000)
    asked = await ask(world, guest)
    with pytest.raises(ConnectionError):
        await world.another_process(Dying(world, "release", after=after)).decline(world.staff, asked.id, "no")  # type: ignore[arg-type]
    assert (await world.service.booking(guest, asked.id)).status is S.DECLINED
    await settles(world)
    assert await money(world, guest) == (10_000, 0)
    await world.keep_time(world.clock.now() + MINUTE)
    assert await money(world, guest) == (10_000, 0)
    assert await world.sql("select 1 from booking.due where organisation_id = $1", world.organisation_id) == []


# --- past approval


async def test_a_booking_is_not_changed_by_its_guest_into_what_staff_have_to_agree_to(world: Any) -> None:
    guest = await world.rich()
    booked, held = await world.book(guest), await world.hold(guest, resource_id=world.other_court.id)
    for mine in (booked, held):
        with pytest.raises(InvalidTransition, match="ask again"):
            await world.service.edit(guest, mine.id, BookingPatch(purpose=Purpose.CONTENT, note="a film"))
        after = await world.service.booking(guest, mine.id)
        assert (after.purpose, after.note, after.version) == (Purpose.WORKOUT, None, mine.version)
    # The controls: another purpose is theirs to choose, and staff may change it into any.
    assert (await world.service.edit(guest, booked.id, BookingPatch(purpose=Purpose.SOCIAL))).purpose is Purpose.SOCIAL
    filmed = await world.service.edit(world.staff, booked.id, BookingPatch(purpose=Purpose.CONTENT))
    assert (filmed.purpose, filmed.status) == (Purpose.CONTENT, S.UPCOMING)


async def test_what_staff_agreed_to_is_moved_by_staff_alone_and_its_party_by_the_guest_too(world: Any, words: Any) -> None:
    guest = await world.rich()
    asked = await world.book(guest, purpose=Purpose.CONTENT)
    await world.service.approve(world.staff, asked.id)
    later = Reschedule(words.TEN + 3 * words.HOUR)
    with pytest.raises(InvalidTransition, match="ask again"):
        await world.service.reschedule(guest, asked.id, later)
    assert (await world.service.edit(guest, asked.id, BookingPatch(team_size=2))).team_size == 2
    assert (await world.service.reschedule(world.staff, asked.id, later)).start == words.TEN + 3 * words.HOUR


async def test_what_staff_agreed_to_is_extended_by_staff_alone(world: Any) -> None:
    guest = await world.rich()
    asked = await world.book(guest, purpose=Purpose.CONTENT)
    await world.service.approve(world.staff, asked.id)
    before = await money(world, guest)
    with pytest.raises(InvalidTransition, match="ask again"):
        await world.service.extend(guest, asked.id, Extend(120))
    kept = await world.service.booking(guest, asked.id)
    assert (kept.end - kept.start, kept.version, await money(world, guest)) == (HOUR, kept.version, before)
    # The controls: staff may, and what nobody had to agree to a guest makes longer alone.
    longer = await world.service.extend(world.staff, asked.id, Extend(120))
    assert (longer.end - longer.start, longer.status) == (2 * HOUR, S.UPCOMING)
    mine = await world.book(guest, resource_id=world.other_court.id)
    longer = await world.service.extend(guest, mine.id, Extend(120))
    assert longer.end - longer.start == 2 * HOUR


async def test_a_request_that_waits_is_neither_moved_nor_extended_by_anybody(world: Any, words: Any) -> None:
    guest = await world.rich()
    asked = await world.book(guest, purpose=Purpose.CONTENT)
    for who in (guest, world.staff):
        with pytest.raises(InvalidTransition):
            await world.service.extend(who, asked.id, Extend(120))
        with pytest.raises(InvalidTransition):
            await world.service.reschedule(who, asked.id, Reschedule(words.TEN + 3 * HOUR))
