"""Many at once. Each test has a control that shows the race is real, or that the guard is what decides."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from forecourt.kernel.db import Lock
from forecourt.modules.booking.contract import (
    BookingOut,
    BookingStatus,
    Cancel,
    HoldExpired,
    InvalidTransition,
    NewBlock,
    Pay,
    PayWith,
    PlaceBlocked,
    Reschedule,
    SlotTaken,
)
from forecourt.modules.venues.contract import RefundTier

CLIENTS = 200
TEN = datetime(2026, 6, 2, 9, tzinfo=UTC)


async def all_at_once(*calls: Awaitable[Any]) -> list[Any]:
    return await asyncio.gather(*calls, return_exceptions=True)


def kinds(results: list[Any]) -> Counter[str]:
    return Counter(type(r).__name__ for r in results)


async def test_two_hundred_clients_for_one_place_make_one_booking_and_clean_refusals(world: Any, words: Any) -> None:
    guests = [world.newcomer(f"Guest {i}") for i in range(CLIENTS)]
    for round_ in range(20):
        start = words.TEN + timedelta(hours=2 * round_)
        results = await all_at_once(*(world.hold(g, start=start) for g in guests))
        assert kinds(results) == {"BookingOut": 1, "SlotTaken": CLIENTS - 1}
        refused = next(r for r in results if isinstance(r, SlotTaken))
        assert refused.extra["alternatives"], "there is a second court"
    assert len(await world.claims()) == 20
    assert await world.overlaps() == 0


async def test_without_the_primary_key_the_same_race_double_books(fresh_database: Any, make_world: Any) -> None:
    """The control: the constraint is what decides."""
    world = await make_world(await fresh_database.connect(10))
    admin = await fresh_database.admin()
    await admin.execute("alter table booking.occupancy drop constraint occupancy_pkey")
    await admin.close()
    results = await all_at_once(*(world.hold(world.newcomer()) for _ in range(10)))
    assert kinds(results)["BookingOut"] > 1
    assert await world.overlaps() > 0


async def test_neighbours_in_time_never_refuse_each_other(world: Any, words: Any) -> None:
    starts = [words.TEN + timedelta(hours=i) for i in range(8)]
    results = await all_at_once(*(world.hold(world.newcomer(), start=s) for s in starts))
    assert kinds(results) == {"BookingOut": 8}
    again = await all_at_once(*(world.hold(world.newcomer(), start=s + timedelta(minutes=45)) for s in starts))
    assert kinds(again)["SlotTaken"] == 8, "a quarter of an hour less is an overlap"


async def test_a_hall_and_its_halves_booked_from_both_ends_never_deadlock(world: Any, words: Any) -> None:
    deadlocks = 0
    for i in range(100):
        start = words.TEN + timedelta(hours=i)
        wishes = [world.hall, world.left, world.right, world.hall]
        random.Random(i).shuffle(wishes)
        results = await all_at_once(*(world.hold(world.newcomer(), start=start, resource_id=r.id) for r in wishes))
        deadlocks += sum(not isinstance(r, BookingOut | SlotTaken) for r in results)
        won = {r.resource_id for r in results if isinstance(r, BookingOut)}
        assert won
        assert won == {world.hall.id} or world.hall.id not in won, "the hall, or halves of it"
    assert deadlocks == 0
    assert await world.overlaps() == 0


async def test_five_hundred_random_attempts_leave_no_overlap_and_refuse_nobody_without_cause(world: Any, words: Any) -> None:
    dice = random.Random(7)
    places = [world.court, world.other_court, world.left, world.right, world.hall]
    guests = [world.newcomer(f"Guest {i}") for i in range(25)]
    taken: list[BookingOut] = []
    for _ in range(25):
        calls = [
            world.hold(
                dice.choice(guests),
                resource_id=dice.choice(places).id,
                start=words.TEN + timedelta(minutes=15 * dice.randrange(96)),
                duration_min=dice.choice([60, 75, 90, 120]),
            )
            for _ in range(20)
        ]
        results = await all_at_once(*calls)
        assert set(kinds(results)) <= {"BookingOut", "SlotTaken"}
        taken += [r for r in results if isinstance(r, BookingOut)]
    assert len(taken) > 20
    assert await world.overlaps() == 0
    parts = {world.hall.id: {world.hall.id, world.left.id, world.right.id}}
    for i, a in enumerate(taken):
        for b in taken[i + 1 :]:
            together = parts.get(a.resource_id, {a.resource_id}) & parts.get(b.resource_id, {b.resource_id})
            assert not (together and a.start < b.end and b.start < a.end)


async def test_paying_twice_at_the_same_moment_charges_once(world: Any) -> None:
    guest = await world.rich(amount=10_000)
    held = await world.hold(guest)
    other = world.another_process()
    results = await all_at_once(*(s.pay(guest, held.id, Pay(PayWith.CREDITS)) for s in [world.service, other] * 3))
    paid = [r for r in results if isinstance(r, BookingOut)]
    assert paid
    assert all(isinstance(r, BookingOut | InvalidTransition) for r in results)
    assert await world.balance(guest) == 8_000
    assert (await world.service.booking(guest, held.id)).paid.amount == 2_000


async def test_two_people_paying_for_their_own_holds_are_both_charged(world: Any) -> None:
    """The control: it is the booking's id that makes the second charge none."""
    guest = await world.rich(amount=10_000)
    one, two = await world.hold(guest), await world.hold(guest, resource_id=world.other_court.id)
    await all_at_once(*(world.service.pay(guest, b.id, Pay(PayWith.CREDITS)) for b in (one, two)))
    assert await world.balance(guest) == 6_000


async def test_cancelling_twice_at_the_same_moment_refunds_once(world: Any) -> None:
    guest = await world.rich(amount=10_000)
    await world.policies(cancellation=[RefundTier(0, 100)])
    booked = await world.book(guest)
    assert await world.balance(guest) == 8_000
    other = world.another_process()
    results = await all_at_once(*(s.cancel(guest, booked.id, Cancel()) for s in [world.service, other] * 3))
    assert kinds(results) == {"BookingOut": 1, "InvalidTransition": 5}
    assert await world.balance(guest) == 10_000
    assert await world.sql("select 1 from booking.errand where organisation_id = $1", world.organisation_id) == []


async def test_a_hold_that_is_over_gives_way_and_its_late_payment_comes_back(world: Any) -> None:
    late, quick = await world.rich("Late", 10_000), await world.rich("Quick", 10_000)
    held = await world.hold(late)
    row = await _row(world, late, held.id)
    receipt = await world.service.till.collect(late, row, Pay(PayWith.CREDITS))
    assert await world.balance(late) == 8_000
    world.clock.advance(timedelta(minutes=10))
    taken = await world.book(quick)
    assert taken.status is BookingStatus.UPCOMING
    with pytest.raises(HoldExpired):
        await world.service.confirm_paid(late, row, receipt)
    assert await world.balance(late) == 10_000
    assert (await world.service.booking(late, held.id)).status is BookingStatus.EXPIRED
    assert [c["booking_id"] for c in await world.claims()] == [taken.id]


async def test_a_payment_that_began_in_time_is_confirmed_when_nobody_took_the_place(world: Any) -> None:
    """The control: what loses the place is the other claim, not the clock."""
    guest = await world.rich(amount=10_000)
    held = await world.hold(guest)
    row = await _row(world, guest, held.id)
    receipt = await world.service.till.collect(guest, row, Pay(PayWith.CREDITS))
    world.clock.advance(timedelta(minutes=10))
    assert (await world.service.confirm_paid(guest, row, receipt)).status is BookingStatus.UPCOMING


async def _row(world: Any, ctx: Any, booking_id: Any) -> Any:
    row, _ = await world.service.find(ctx, booking_id)
    return row


async def test_expiry_and_payment_at_the_same_moment_agree_on_one_outcome(world: Any) -> None:
    for i in range(8):
        guest = await world.rich(amount=10_000)
        held = await world.hold(guest, start=TEN + timedelta(hours=2 * i))
        row = await _row(world, guest, held.id)
        receipt = await world.service.till.collect(guest, row, Pay(PayWith.CREDITS))
        await all_at_once(
            world.service.confirm_paid(guest, row, receipt),
            world.another_process()._expire(guest, row, None),
        )
        after = await world.service.booking(guest, held.id)
        claims = [c for c in await world.claims() if c["booking_id"] == held.id]
        if after.status is BookingStatus.UPCOMING:
            assert (len(claims), await world.balance(guest)) == (1, 8_000)
        else:
            assert (after.status, claims, await world.balance(guest)) == (BookingStatus.EXPIRED, [], 10_000)


async def test_two_bookings_that_move_to_one_free_place_leave_each_with_a_place(world: Any, words: Any) -> None:
    one, two = await world.rich("One"), await world.rich("Two")
    a = await world.book(one)
    b = await world.book(two, resource_id=world.other_court.id)
    goal = Reschedule(words.TEN + timedelta(hours=5), resource_id=world.court.id)
    results = await all_at_once(world.service.reschedule(one, a.id, goal), world.service.reschedule(two, b.id, goal))
    assert kinds(results) == {"BookingOut": 1, "SlotTaken": 1}
    rows = await world.claims()
    assert {r["booking_id"] for r in rows} == {a.id, b.id}
    assert len(rows) == 2
    assert await world.overlaps() == 0


async def test_a_move_to_a_taken_place_keeps_the_old_one_and_costs_nothing(world: Any, words: Any) -> None:
    guest, other = await world.rich(amount=10_000), await world.rich("Other")
    a = await world.book(guest)
    await world.book(other, start=words.TEN + timedelta(hours=2))
    with pytest.raises(SlotTaken):
        await world.service.reschedule(guest, a.id, Reschedule(words.TEN + timedelta(hours=1), 120))
    assert (await world.service.booking(guest, a.id)).start == words.TEN
    assert await world.balance(guest) == 8_000
    assert len(await world.claims()) == 2
    # The control: the same move where nobody is costs its hour more.
    moved = await world.service.reschedule(guest, a.id, Reschedule(words.TEN + timedelta(hours=4), 120))
    assert (moved.price.amount, moved.paid.amount, await world.balance(guest)) == (4_000, 4_000, 6_000)


async def test_a_place_taken_between_the_charge_and_the_move_gives_the_difference_back(world: Any, words: Any) -> None:
    guest, other = await world.rich(amount=10_000), await world.rich("Other")
    a = await world.book(guest)

    class Meanwhile:
        """The till, in front of which somebody takes the place."""

        def __getattr__(self, name: str) -> Any:
            return getattr(world.payments, name)

        async def charge(self, ctx: Any, charge: Any) -> Any:
            done = await world.payments.charge(ctx, charge)
            await world.book(other, start=words.TEN + timedelta(hours=4))
            return done

    service = world.another_process(Meanwhile())  # type: ignore[arg-type]
    with pytest.raises(SlotTaken):
        await service.reschedule(guest, a.id, Reschedule(words.TEN + timedelta(hours=3), 120))
    assert await world.balance(guest) == 8_000
    assert (await world.service.booking(guest, a.id)).start == words.TEN
    assert await world.sql("select 1 from booking.errand where organisation_id = $1", world.organisation_id) == []


async def test_a_person_cannot_have_more_open_bookings_than_allowed_however_many_at_once(world: Any, words: Any) -> None:
    await world.policies(max_open_bookings=2)
    guest = world.newcomer()
    results = await all_at_once(*(world.hold(guest, start=words.TEN + timedelta(hours=i)) for i in range(12)))
    assert kinds(results) == {"BookingOut": 2, "TooManyOpenBookings": 10}


async def test_without_the_lock_the_same_person_gets_past_the_limit(world: Any, words: Any, monkeypatch: Any) -> None:
    """The control: counting alone does not hold."""
    await world.policies(max_open_bookings=2)
    guest = world.newcomer()
    # Instead of one after another they go on at the same moment, and count.
    monkeypatch.setattr(Lock, "sql", f"; select pg_sleep_until('{datetime.now(UTC) + timedelta(seconds=1.5)}')")
    results = await all_at_once(*(world.hold(guest, start=words.TEN + timedelta(hours=i)) for i in range(12)))
    assert kinds(results)["BookingOut"] > 2


async def test_a_block_and_a_booking_at_the_same_moment_never_lie_on_each_other(world: Any, words: Any) -> None:
    outcomes: Counter[str] = Counter()
    for i in range(10):
        start = words.TEN + timedelta(hours=3 * i)
        block = NewBlock([world.court.id], start, start + timedelta(hours=2), "Repairs")
        held, placed = await all_at_once(
            world.hold(world.newcomer(), start=start + timedelta(hours=1)), world.service.place_block(world.staff, block)
        )
        assert isinstance(held, SlotTaken) != isinstance(placed, PlaceBlocked)
        outcomes[type(held).__name__] += 1
    assert await world.overlaps() == 0
    assert outcomes


async def test_a_retry_with_the_same_key_goes_on_with_its_own_booking(world: Any) -> None:
    guest = await world.rich(amount=10_000)
    keyed = msgspec.structs.replace(guest, idempotency_id=uuid4())
    held = await world.hold(keyed)
    assert held.id == keyed.idempotency_id
    again = await world.book(keyed)
    assert (again.id, again.status) == (held.id, BookingStatus.UPCOMING)
    third = await world.book(keyed)
    assert (third.id, third.status, await world.balance(guest)) == (held.id, BookingStatus.UPCOMING, 8_000)
    with pytest.raises(SlotTaken):  # the control: without the key it is somebody else's place
        await world.book(guest)


async def test_a_process_that_dies_between_charge_and_confirmation_is_settled_by_the_keeper(world: Any) -> None:
    guest = await world.rich(amount=10_000)
    held = await world.hold(guest)
    await world.service.till.collect(guest, await _row(world, guest, held.id), Pay(PayWith.CREDITS))
    assert (await world.service.booking(guest, held.id)).status is BookingStatus.PAYMENT_PENDING
    await world.keep_time(world.clock.now() + timedelta(minutes=11))
    settled = await world.service.booking(guest, held.id)
    assert (settled.status, settled.paid.amount) == (BookingStatus.UPCOMING, 2_000)
    unpaid = await world.hold(guest, resource_id=world.other_court.id)
    await world.keep_time(world.clock.now() + timedelta(minutes=11))
    assert (await world.service.booking(guest, unpaid.id)).status is BookingStatus.EXPIRED


async def test_a_process_that_dies_before_the_refund_leaves_it_to_the_keeper(world: Any) -> None:
    guest = await world.rich(amount=10_000)
    await world.policies(cancellation=[RefundTier(0, 100)])
    booked = await world.book(guest)

    class Dead:
        def __getattr__(self, name: str) -> Any:
            return getattr(world.payments, name)

        async def refund(self, ctx: Any, refund: Any) -> Any:
            raise ConnectionError("the process died here")

    with pytest.raises(ConnectionError):
        await world.another_process(Dead()).cancel(guest, booked.id, Cancel())  # type: ignore[arg-type]
    assert await world.balance(guest) == 8_000
    await world.keep_time(world.clock.now() + timedelta(minutes=1))
    assert await world.balance(guest) == 10_000
    await world.keep_time(world.clock.now() + timedelta(minutes=1))
    assert await world.balance(guest) == 10_000
    assert await world.sql("select 1 from booking.due where organisation_id = $1", world.organisation_id) == []


async def test_a_process_that_dies_after_charging_for_a_move_gives_the_difference_back(world: Any, words: Any) -> None:
    guest = await world.rich(amount=10_000)
    booked = await world.book(guest)

    class Dead:
        def __getattr__(self, name: str) -> Any:
            return getattr(world.payments, name)

        async def charge(self, ctx: Any, charge: Any) -> Any:
            await world.payments.charge(ctx, charge)
            raise ConnectionError("the process died here")

    with pytest.raises(ConnectionError):
        await world.another_process(Dead()).reschedule(  # type: ignore[arg-type]
            guest, booked.id, Reschedule(words.TEN + timedelta(hours=4), 120)
        )
    assert await world.balance(guest) == 6_000
    await world.keep_time(world.clock.now() + timedelta(minutes=1))
    assert await world.balance(guest) == 8_000
    after = await world.service.booking(guest, booked.id)
    assert (after.start, after.paid.amount, after.status) == (words.TEN, 2_000, BookingStatus.UPCOMING)


async def test_a_cancellation_after_a_refund_that_never_arrived_gives_back_no_more_than_was_paid(world: Any, words: Any) -> None:
    guest = await world.rich(amount=10_000)
    await world.policies(cancellation=[RefundTier(0, 100)])
    booked = await world.book(guest, duration_min=120)

    class Dead:
        def __getattr__(self, name: str) -> Any:
            return getattr(world.payments, name)

        async def refund(self, ctx: Any, refund: Any) -> Any:
            raise ConnectionError("the process died here")

    with pytest.raises(ConnectionError):
        await world.another_process(Dead()).reschedule(guest, booked.id, Reschedule(words.TEN, 60))  # type: ignore[arg-type]
    assert await world.balance(guest) == 6_000
    cancelled = await world.service.cancel(guest, booked.id, Cancel())
    assert cancelled.refund is not None
    assert (cancelled.refund.amount, await world.balance(guest)) == (2_000, 10_000)
    assert await world.sql("select 1 from booking.errand where organisation_id = $1", world.organisation_id) == []


async def test_two_who_swap_places_at_the_same_moment_both_keep_one(world: Any, words: Any) -> None:
    one, two = await world.rich("One"), await world.rich("Two")
    a = await world.book(one)
    b = await world.book(two, resource_id=world.other_court.id)
    results = await all_at_once(
        world.service.reschedule(one, a.id, Reschedule(words.TEN, resource_id=world.other_court.id)),
        world.service.reschedule(two, b.id, Reschedule(words.TEN, resource_id=world.court.id)),
    )
    assert set(kinds(results)) <= {"BookingOut", "SlotTaken"}
    assert {c["booking_id"] for c in await world.claims()} == {a.id, b.id}
    assert await world.overlaps() == 0
    # The control: into a place that somebody has given up, the same move goes through.
    await world.service.cancel(two, b.id, Cancel())
    assert (
        await world.service.reschedule(one, a.id, Reschedule(words.TEN, resource_id=world.other_court.id))
    ).version > a.version
