"""What a booking costs after somebody changed it, or gave money of it back past it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from forecourt.kernel.context import service_context
from forecourt.kernel.events import Dispatcher
from forecourt.kernel.ids import new_id
from forecourt.kernel.money import Money
from forecourt.modules.booking import reactions
from forecourt.modules.booking.contract import (
    BookingOut,
    BookingPatch,
    BookingStatus,
    Cancel,
    Extend,
    InvalidTransition,
    Pay,
    PayWith,
    Purpose,
    QuoteLine,
    Reschedule,
    TaxLine,
)
from forecourt.modules.booking.service.pricing import plan
from forecourt.modules.payments.contract import NewPromoCode, PromoKind, Refund
from forecourt.modules.venues.contract import OrganisationPatch, RefundTier, Tax

S = BookingStatus


def gbp(amount: int) -> Money:
    return Money(amount, "GBP")


async def staff_refund(world: Any, booked: BookingOut, amount: int | None) -> None:
    """Staff give a part of the payment back, or all of it, on the payment's own page."""
    asked = None if amount is None else gbp(amount)
    refund = Refund(
        refund_id=new_id(), payment_id=booked.id, organisation_id=world.organisation_id, amount=asked, reason="cold showers"
    )
    await world.payments.refund(world.staff, refund)


async def money(world: Any, booked: BookingOut) -> tuple[int, int, int]:
    """Paid, due and refunded as the table has them."""
    rows = await world.sql(
        "select paid_minor, due_minor, refunded_minor from booking.booking where organisation_id = $1 and id = $2",
        world.organisation_id,
        booked.id,
    )
    return tuple(rows[0])


async def errands(world: Any) -> list[Any]:
    return await world.sql("select kind, amount_minor from booking.errand where organisation_id = $1", world.organisation_id)


# --- given back past the booking


async def test_what_staff_give_back_of_a_payment_is_no_longer_paid_on_the_booking(
    fresh_database: Any, make_world: Any, words: Any
) -> None:
    database = await fresh_database.connect(10)
    world = await make_world(database)
    await world.policies(cancellation=[RefundTier(0, 100)])
    guest = await world.rich(amount=10_000)
    part, whole, untouched = [await world.book(guest, start=words.TEN + i * words.HOUR) for i in range(3)]
    desk = await world.book(guest, resource_id=world.other_court.id, pay_with=PayWith.DESK)
    gone = await world.book(guest, start=words.TEN + 4 * words.HOUR)
    await staff_refund(world, part, 500)
    await staff_refund(world, whole, None)
    await staff_refund(world, desk, 500)
    await world.service.cancel(guest, gone.id, Cancel())
    dispatcher = Dispatcher(database, fresh_database.url, reactions.subscriptions(world.service), world.clock)
    for _ in range(2):  # a second round of everything changes nothing
        await dispatcher.drain()
        await world.keep_time()
        assert (await world.service.booking(guest, part.id)).paid == gbp(1_500)
        assert (await world.service.booking(guest, whole.id)).paid == gbp(0)
        assert (await world.service.booking(guest, untouched.id)).paid == gbp(2_000)
        assert await money(world, desk) == (0, 1_500, 0)
        assert await money(world, gone) == (2_000, 0, 2_000)
        await world.sql("update booking.due set at = '2026-01-01' where organisation_id = $1", world.organisation_id)
    await world.keep_time()
    due = await world.sql("select at from booking.due where booking_id = $1", part.id)
    assert [r["at"] for r in due] == [words.TEN], "it goes its own course again"


@pytest.mark.parametrize(("given", "rest"), [(500, 1_500), (None, 0)])
async def test_who_cancels_after_staff_gave_some_back_gets_the_rest_and_no_more(world: Any, given: int | None, rest: int) -> None:
    await world.policies(cancellation=[RefundTier(0, 100)])
    guest = await world.rich(amount=10_000)
    booked = await world.book(guest)
    await staff_refund(world, booked, given)
    cancelled = await world.service.cancel(guest, booked.id, Cancel())
    assert (cancelled.status, cancelled.refund, cancelled.paid) == (S.CANCELLED, gbp(rest), gbp(0))
    assert (await world.balance(guest), await errands(world)) == (10_000, [])


@pytest.mark.parametrize(("pct", "back", "falls_away"), [(100, 500, 1_500), (80, 100, 1_500), (50, 0, 1_000), (0, 0, 0)])
async def test_of_a_booking_that_is_paid_in_part_what_is_still_due_falls_away_first(
    world: Any, pct: int, back: int, falls_away: int
) -> None:
    await world.policies(cancellation=[RefundTier(0, pct)])
    guest = await world.rich(amount=1_000)
    held = await world.hold(guest)
    booked = await world.service.pay(guest, held.id, Pay(PayWith.DESK, credits_amount=500))
    assert (booked.paid, await money(world, booked)) == (gbp(500), (500, 1_500, 0))
    preview = await world.service.refund_preview(guest, booked.id)
    assert (preview.refund, preview.back, preview.falls_away) == (gbp(back + falls_away), gbp(back), gbp(falls_away))
    cancelled = await world.service.cancel(guest, booked.id, Cancel())
    assert cancelled.refund == preview.refund
    assert (await world.balance(guest), await money(world, booked)) == (500 + back, (500, 1_500 - falls_away, back))
    async with world.db.module("kernel").tx(service_context("tests")) as tx:
        rows = await tx.connection.fetch(
            "select convert_from(payload, 'utf8')::jsonb -> 'falls_away' ->> 'amount' as said from kernel.event"
            " where organisation_id = $1 and name = 'booking.cancelled'",
            world.organisation_id,
        )
    assert [int(row["said"]) for row in rows] == [falls_away]


async def test_what_is_due_at_the_desk_is_due_no_longer_when_staff_waived_a_part_and_the_guest_cancels(world: Any) -> None:
    await world.policies(cancellation=[RefundTier(0, 100)])
    guest = world.newcomer()
    booked = await world.book(guest, pay_with=PayWith.DESK)
    await staff_refund(world, booked, 500)
    cancelled = await world.service.cancel(guest, booked.id, Cancel())
    assert (cancelled.refund, await money(world, booked), await errands(world)) == (gbp(1_500), (0, 0, 0), [])
    assert (await world.payments.status(guest, world.organisation_id, booked.id)).due == gbp(0)


async def test_a_refund_that_staff_came_before_gives_back_what_is_left_however_often_it_is_tried(world: Any) -> None:
    await world.policies(cancellation=[RefundTier(0, 100)])
    guest = await world.rich(amount=10_000)
    booked, other = await world.book(guest), await world.book(guest, resource_id=world.other_court.id)

    class Dead:
        def __getattr__(self, name: str) -> Any:
            return getattr(world.payments, name)

        async def refund(self, ctx: Any, refund: Any) -> Any:
            raise ConnectionError("the process died here")

    with pytest.raises(ConnectionError):
        await world.another_process(Dead()).cancel(guest, booked.id, Cancel())
    await staff_refund(world, booked, 500)
    row, _ = await world.service.find(guest, booked.id)
    errand = (await world.sql("select id, amount_minor from booking.errand where booking_id = $1", booked.id))[0]
    assert errand["amount_minor"] == 2_000
    first = await world.service.till.give_back(guest, row, errand["id"], 2_000, "cancel")
    assert first == (1_500, 0) == await world.service.till.give_back(guest, row, errand["id"], 2_000, "cancel")
    await world.keep_time(world.clock.now() + timedelta(minutes=1))
    assert (await world.balance(guest), await errands(world)) == (8_000, [])
    assert await money(world, booked) == (2_000, 0, 2_000)
    # The control: where nobody was before, all of it goes back at once.
    row, _ = await world.service.find(guest, other.id)
    assert await world.service.till.give_back(guest, row, new_id(), 2_000, "cancel") == (2_000, 0)


# --- changed


async def half_off(world: Any) -> None:
    await world.till.make_promo(world.staff, world.organisation_id, NewPromoCode(code="HALF", kind=PromoKind.PERCENT, value=50))


async def test_what_a_code_took_off_stays_off_when_the_booking_moves(world: Any, words: Any) -> None:
    await half_off(world)
    await world.policies(cancellation=[RefundTier(0, 100)])
    guest = await world.rich(amount=10_000)
    booked = await world.book(guest, promo_code="HALF", duration_min=120)
    assert (booked.price, await world.balance(guest)) == (gbp(2_000), 8_000)
    moved = await world.service.reschedule(guest, booked.id, Reschedule(words.TEN + 3 * words.HOUR))
    assert (moved.price, moved.paid, await world.balance(guest)) == (gbp(2_000), gbp(2_000), 8_000)
    shorter = await world.service.extend(guest, booked.id, Extend(60))
    assert (shorter.price, await world.balance(guest)) == (gbp(1_000), 9_000), "half of what was paid, as half of the time went"
    # The control: what the list asks more is to be paid.
    longer = await world.service.extend(guest, booked.id, Extend(90))
    assert (longer.price, longer.paid, await world.balance(guest)) == (gbp(2_000), gbp(2_000), 8_000)


async def test_the_fee_for_moving_is_not_given_back_by_the_next_change(world: Any, words: Any) -> None:
    await world.policies(reschedule_fee_pct=10, cancellation=[RefundTier(0, 100)])
    guest = await world.rich(amount=10_000)
    booked = await world.book(guest, team_size=2)
    moved = await world.service.reschedule(guest, booked.id, Reschedule(words.TEN + 3 * words.HOUR))
    assert (moved.price, await world.balance(guest)) == (gbp(2_200), 7_800)
    edited = await world.service.edit(guest, booked.id, BookingPatch(team_size=3))
    assert (edited.team_size, edited.price, await world.balance(guest)) == (3, gbp(2_200), 7_800)


async def test_a_held_booking_with_a_code_shows_after_a_move_what_it_takes(world: Any, words: Any) -> None:
    await half_off(world)
    guest = await world.rich(amount=10_000)
    held = await world.hold(guest, promo_code="HALF")
    for length, price in ((60, 1_000), (90, 1_500)):
        moved = await world.service.reschedule(guest, held.id, Reschedule(words.TEN + 3 * words.HOUR, length))
        assert (moved.status, moved.price) == (S.PAYMENT_PENDING, gbp(price))
    paid = await world.service.pay(guest, held.id, Pay(PayWith.CREDITS))
    assert (paid.price, paid.paid, await world.balance(guest)) == (gbp(1_500), gbp(1_500), 8_500)


async def test_a_move_by_staff_and_back_costs_nothing_whatever_was_agreed(world: Any, words: Any) -> None:
    await half_off(world)
    guest = await world.rich(amount=10_000)
    coded, given = await world.book(guest, promo_code="HALF"), await world.book(guest, resource_id=world.other_court.id)
    await staff_refund(world, given, 500)
    before = await world.balance(guest)
    for booked, price, paid in ((coded, 1_000, 1_000), (given, 2_000, 1_500)):
        away = await world.service.reschedule(world.staff, booked.id, Reschedule(words.TEN + 3 * words.HOUR, 90))
        assert (away.price, away.paid) == (gbp(price + 1_000), gbp(paid + 1_000))
        back = await world.service.reschedule(world.staff, booked.id, Reschedule(words.TEN, 60))
        assert (back.price, back.paid, await world.balance(guest)) == (gbp(price), gbp(paid), before)


async def test_who_shortens_gets_back_what_cancelling_would_give_and_no_more_with_the_next_change(world: Any, words: Any) -> None:
    await world.policies(cancellation=[RefundTier(24, 100), RefundTier(2, 50)])
    guest = await world.rich(amount=10_000)
    booked = await world.book(guest, duration_min=120)
    world.clock.set(words.TEN - words.HOUR)
    shorter = await world.service.extend(guest, booked.id, Extend(60))
    assert (shorter.end - shorter.start, shorter.price, shorter.refund) == (words.HOUR, gbp(4_000), None)
    assert await world.balance(guest) == 6_000
    smaller = await world.service.edit(guest, booked.id, BookingPatch(team_size=2))
    assert (smaller.price, smaller.paid, await world.balance(guest)) == (gbp(4_000), gbp(4_000), 6_000)
    # The controls: hours before, half goes back, and staff give all of it back at any time.
    other = await world.book(guest, duration_min=180, start=words.TEN + 6 * words.HOUR, resource_id=world.other_court.id)
    half = await world.service.extend(guest, other.id, Extend(120))
    assert (half.price, half.refund, await world.balance(guest)) == (gbp(5_000), gbp(1_000), 1_000)
    late = await world.service.extend(world.staff, other.id, Extend(60))
    assert (late.price, late.refund, await world.balance(guest)) == (gbp(3_000), gbp(2_000), 3_000)


async def test_what_was_played_is_not_shortened_away(world: Any, words: Any) -> None:
    await world.policies(cancellation=[RefundTier(0, 100)])
    guest = await world.rich(amount=10_000)
    booked = await world.book(guest, duration_min=120)
    await world.keep_time(words.TEN + words.HOUR)
    for who in (guest, world.staff):
        with pytest.raises(InvalidTransition):
            await world.service.extend(who, booked.id, Extend(60))
    assert (await world.balance(guest), (await world.service.booking(guest, booked.id)).version) == (6_000, booked.version + 1)
    shorter = await world.service.extend(guest, booked.id, Extend(75))  # the control: a quarter of an hour is still to come
    assert (shorter.status, shorter.price, await world.balance(guest)) == (S.IN_PROGRESS, gbp(4_000), 6_000)


async def test_the_lines_and_the_tax_of_a_booking_are_those_of_its_price(world: Any, words: Any) -> None:
    await half_off(world)
    await world.venues_service.edit_organisation(world.owner, OrganisationPatch(tax=[Tax("20")]), None)
    await world.policies(reschedule_fee_pct=10)
    guest = await world.rich(amount=10_000)

    async def billed(booked: BookingOut) -> tuple[list[int], int]:
        kept = (await world.sql("select lines::text, tax::text from booking.booking where id = $1", booked.id))[0]
        lines, tax = (
            msgspec.json.decode(kept["lines"], type=list[QuoteLine]),
            msgspec.json.decode(kept["tax"], type=list[TaxLine]),
        )
        return [line.amount.amount for line in lines], tax[0].amount.amount

    plain, coded = await world.book(guest), await world.book(guest, promo_code="HALF", resource_id=world.other_court.id)
    assert (await billed(plain), await billed(coded)) == (([2_000], 333), ([2_000, -1_000], 167))
    held = await world.hold(guest, start=words.TEN + 6 * words.HOUR)
    assert await billed(held) == ([2_000], 333)
    named = await world.service.pay(guest, held.id, Pay(PayWith.CREDITS, promo_code="HALF"))
    assert (named.price, await billed(held)) == (gbp(1_000), ([2_000, -1_000], 167)), "the code came with the payment"
    later = words.TEN + 3 * words.HOUR
    target = plan(await world.service.books.of_venue(world.venue_id), world.court, later, 60, Purpose.WORKOUT, 1)
    shown = await world.service.move_preview(guest, plain.id, target)
    assert (shown.asked.fee, shown.asked.due, shown.bill.total) == (gbp(200), gbp(200), gbp(2_200))
    for booked, bill in ((plain, ([2_000, 200], 367)), (coded, ([2_000, 100, -1_000], 183))):
        await world.service.reschedule(guest, booked.id, Reschedule(later))
        assert await billed(booked) == bill
