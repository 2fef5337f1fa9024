"""The buffer after a booking is kept when the booking is over, and no longer."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec

from forecourt.modules.booking.contract import Availability, BookingStatus
from forecourt.modules.booking.service.reading import Free


async def first_free(world: Any, resource_id: Any, words: Any) -> Any:
    day = words.TEN.date()
    ask = Free(from_date=day, to_date=day, duration_min=60, resource_id=resource_id)
    answer = msgspec.json.decode(await world.service.availability(world.newcomer(), world.venue_id, ask), type=Availability)
    return min(slot.start for d in answer.days for r in d.resources for slot in r.slots)


async def test_the_buffer_after_a_booking_is_kept_when_the_booking_is_over(world: Any, words: Any) -> None:
    court = await world.add_resource("Padded", buffer_after_min=30)
    world.service.books.drop(world.venue_id)
    guest = await world.rich()
    booked = await world.book(guest, resource_id=court.id)
    bare = await world.book(guest)
    end, ready = booked.end, booked.end + timedelta(minutes=30)
    for at in (words.TEN, end + timedelta(seconds=10)):
        await world.keep_time(at)
    assert (await world.service.booking(guest, booked.id)).status is BookingStatus.COMPLETED
    assert await first_free(world, court.id, words) == ready
    assert await first_free(world, world.court.id, words) == end + timedelta(minutes=15), (
        "without a buffer it ends with the booking"
    )
    assert [c["booking_id"] for c in await world.claims()] == [booked.id] != [bare.id]
    world.clock.set(ready)
    assert await first_free(world, court.id, words) == ready, "whether or not somebody kept time since"
    await world.keep_time(ready)
    assert await world.claims() == []
    assert await world.sql("select 1 from booking.due d where d.booking_id = any($1)", [booked.id, bare.id]) == []


async def test_who_keeps_time_late_gives_the_place_back_at_once(world: Any, words: Any) -> None:
    court = await world.add_resource("Padded", buffer_after_min=30)
    world.service.books.drop(world.venue_id)
    guest = await world.rich()
    booked = await world.book(guest, resource_id=court.id)
    await world.keep_time(booked.end + timedelta(minutes=30))
    assert (await world.service.booking(guest, booked.id)).status is BookingStatus.COMPLETED
    assert await world.claims() == []
    assert await world.sql("select 1 from booking.due d where d.booking_id = $1", booked.id) == []
