"""What booking does when something happened elsewhere, through the real event log."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from forecourt.kernel.context import service_context
from forecourt.kernel.contracts import local
from forecourt.kernel.events import Dispatcher
from forecourt.kernel.jobs import Worker
from forecourt.kernel.money import Money
from forecourt.modules.booking import jobs, reactions
from forecourt.modules.booking.contract import BookingOut, Bookings, BookingStatus, Pay, PayWith
from forecourt.modules.venues.contract import Per, PriceList, PriceRule


async def test_what_is_received_at_the_desk_is_paid_on_the_booking(fresh_database: Any, make_world: Any) -> None:
    database = await fresh_database.connect(10)
    world = await make_world(database)
    guest = world.newcomer()
    booked = await world.book(guest, pay_with=PayWith.DESK)
    dispatcher = Dispatcher(database, fresh_database.url, reactions.subscriptions(world.service), world.clock)
    await dispatcher.drain()
    assert (await world.service.booking(guest, booked.id)).paid.amount == 0
    await world.payments.settle_desk(world.staff, world.organisation_id, booked.id)
    await dispatcher.drain()
    await dispatcher.drain()
    assert (await world.service.booking(guest, booked.id)).paid.amount == 2_000


async def test_a_payment_whose_process_died_is_confirmed_within_a_minute(fresh_database: Any, make_world: Any) -> None:
    database = await fresh_database.connect(10)
    world = await make_world(database)
    guest = await world.rich()
    held, unpaid = await world.hold(guest), await world.hold(guest, resource_id=world.other_court.id)
    row, _ = await world.service.find(guest, held.id)
    await world.service.till.collect(guest, row, Pay(PayWith.CREDITS))
    await Dispatcher(database, fresh_database.url, reactions.subscriptions(world.service), world.clock).drain()
    await world.keep_time(world.clock.now() + timedelta(seconds=50))
    assert (await world.service.booking(guest, held.id)).status is BookingStatus.UPCOMING
    assert (await world.service.booking(guest, unpaid.id)).status is BookingStatus.PAYMENT_PENDING, "its time is not over"


async def test_an_edit_of_the_venue_is_known_at_once_where_it_is_heard(fresh_database: Any, make_world: Any) -> None:
    database = await fresh_database.connect(10)
    world = await make_world(database)
    dispatcher = Dispatcher(database, fresh_database.url, reactions.subscriptions(world.service), world.clock)
    await dispatcher.drain()
    book = await world.service.books.of_venue(world.venue_id)
    await world.venues_service.set_prices(
        world.owner, world.venue_id, PriceList([PriceRule(Per.HOUR, Money(9_000, "GBP"))]), None
    )
    assert (await world.service.books.of_venue(world.venue_id)) is book  # kept for up to two seconds
    await dispatcher.drain()
    assert (await world.service.books.of_venue(world.venue_id)).version > book.version


async def test_the_worker_keeps_time(fresh_database: Any, make_world: Any, words: Any) -> None:
    database = await fresh_database.connect(10)
    world = await make_world(database)
    guest = await world.rich()
    booked = await world.book(guest)
    worker = Worker(database, fresh_database.url, jobs.handlers(world.service), jobs.schedules(world.service), world.clock)
    await worker.fire_schedules()
    world.clock.set(words.TEN)
    await worker.drain()
    assert (await world.service.booking(guest, booked.id)).status is BookingStatus.IN_PROGRESS


async def test_other_modules_reach_booking_through_its_contract(world: Any) -> None:
    calls: Bookings = local(Bookings, world.service)  # type: ignore[type-abstract]
    guest = await world.rich()
    held = await calls.hold(guest, world.wish())
    assert isinstance(held, BookingOut)
    assert await calls.booking(guest, held.id) == held
    house = service_context("shares", world.organisation_id)
    assert (await calls.paid(house, held.id, Money(500, "GBP"))).status is BookingStatus.PAYMENT_PENDING
    assert (await calls.paid(house, held.id, Money(2_000, "GBP"))).status is BookingStatus.UPCOMING
    assert (await calls.release(house, held.id, "nobody paid the rest")).status is BookingStatus.CANCELLED
    assert (await calls.release(house, held.id, "again")).status is BookingStatus.CANCELLED
