"""Calendar files, read back by another program's parser, and the private address of a person's calendar."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import icalendar
import pytest

from forecourt.kernel.context import ANONYMOUS, Context
from forecourt.kernel.errors import NotFound
from forecourt.modules.booking.contract import Cancel
from forecourt.modules.booking.http import BookingApi, FeedQuery
from forecourt.modules.booking.rules import short_number
from forecourt.modules.booking.service.books import Books
from forecourt.modules.venues.contract import VenueBook

VISITOR = Context(actor=ANONYMOUS)


def events(content: bytes) -> list[Any]:
    return list(icalendar.Calendar.from_ical(content).walk("VEVENT"))


async def test_a_booking_is_a_calendar_file_that_others_read(world: Any) -> None:
    guest = await world.rich()
    booked = await world.book(guest)
    content = await world.service.calendar_file(guest, booked.id)
    assert b"\r\n" in content
    (event,) = events(content)
    assert event["uid"] == f"{booked.id}@forecourt"
    assert (event.start, event.end) == (booked.start, booked.end)
    assert str(event["summary"]).startswith("Court 1, ")
    assert event["status"] == "CONFIRMED"
    with pytest.raises(NotFound):
        await world.service.calendar_file(world.newcomer("Stranger"), booked.id)


async def test_a_feed_shows_its_persons_bookings_to_who_has_its_address(world: Any, words: Any) -> None:
    guest, other = await world.rich(), await world.rich("Other")
    booked = await world.book(guest)
    await world.book(other, start=words.TEN + timedelta(hours=2))
    token = await world.service.make_feed(guest)
    (event,) = events(await world.service.feed(VISITOR, token))
    assert event["uid"] == f"{booked.id}@forecourt"
    await world.service.cancel(guest, booked.id, Cancel())
    (event,) = events(await world.service.feed(VISITOR, token))
    assert (event["status"], event["sequence"]) == ("CANCELLED", 3)


class Nowhere:
    """Venues that know of none."""

    async def books(self, ctx: Context, venue_ids: list[UUID]) -> list[VenueBook]:
        return []


async def test_what_nobody_can_place_any_more_is_called_by_its_number_in_whatever_language(world: Any) -> None:
    guest = await world.rich("Ada")
    booked = await world.book(guest)
    number = short_number(booked.id)
    service = world.another_process()
    placed = await service.calendar_file(guest, booked.id)
    service.books = Books(Nowhere())  # type: ignore[arg-type]
    lost = await service.calendar_file(guest, booked.id)
    assert [str(e["summary"]) == number for e in (*events(placed), *events(lost))] == [False, True]
    token = await world.service.make_resource_feed(world.staff, world.court.id)
    del world.people.cards[guest.account_id]
    (event,) = events(await world.service.resource_feed(VISITOR, token))
    assert str(event["summary"]) == f"{number}, 1 · Court 1", "whose account is gone has no name either"


async def test_a_new_address_closes_the_old_one_and_an_invented_one_opens_nothing(world: Any) -> None:
    guest = world.newcomer()
    old = await world.service.make_feed(guest)
    assert events(await world.service.feed(VISITOR, old)) == []
    new = await world.service.make_feed(guest)
    for closed in (old, "invented", ""):
        with pytest.raises(NotFound):
            await world.service.feed(VISITOR, closed)
    await world.service.feed(VISITOR, new)
    await world.service.end_feed(guest)
    with pytest.raises(NotFound):
        await world.service.feed(VISITOR, new)


async def test_a_feed_keeps_its_tag_until_it_is_another(world: Any) -> None:
    guest = await world.rich()
    booked = await world.book(guest)
    api = BookingApi(world.service)
    query = FeedQuery(token=await world.service.make_feed(guest))

    first, again = await api.feed(VISITOR, query), await api.feed(VISITOR, query)
    assert first.headers["ETag"] == again.headers["ETag"]
    await world.service.cancel(guest, booked.id, Cancel())
    assert (await api.feed(VISITOR, query)).headers["ETag"] != first.headers["ETag"]


# --- of a resource, for staff


async def test_a_resources_address_shows_who_comes_also_through_the_whole_it_is_a_part_of(world: Any, words: Any) -> None:
    guest = await world.rich("Ada Lovelace")
    token = await world.service.make_resource_feed(world.staff, world.left.id)
    booked = await world.book(guest, resource_id=world.left.id)
    whole = await world.book(guest, resource_id=world.hall.id, start=words.TEN + timedelta(hours=2))
    await world.book(guest, resource_id=world.right.id)
    await world.book(guest, resource_id=world.court.id)
    seen = events(await world.service.resource_feed(VISITOR, token))
    assert [e["uid"] for e in seen] == [f"{b.id}@forecourt" for b in (booked, whole)]
    assert [str(e["summary"]) for e in seen] == ["Ada Lovelace, 1 · Left half", "Ada Lovelace, 1 · Hall"]
    await world.service.cancel(guest, booked.id, Cancel())
    assert events(await world.service.resource_feed(VISITOR, token))[0]["status"] == "CANCELLED"


async def test_a_resources_address_is_replaced_and_closed(world: Any) -> None:
    staff = world.staff
    assert not await world.service.has_resource_feed(staff, world.court.id)
    old = await world.service.make_resource_feed(staff, world.court.id)
    new = await world.service.make_resource_feed(staff, world.court.id)
    assert await world.service.has_resource_feed(staff, world.court.id)
    for closed in (old, "invented", await world.service.make_feed(world.newcomer())):
        with pytest.raises(NotFound):
            await world.service.resource_feed(VISITOR, closed)
    await world.service.resource_feed(VISITOR, new)
    await world.service.end_resource_feed(staff, world.court.id)
    with pytest.raises(NotFound):
        await world.service.resource_feed(VISITOR, new)


async def test_staff_of_another_house_neither_make_nor_close_it(world: Any, make_world: Any, db: Any) -> None:
    other = await make_world(db)
    token = await world.service.make_resource_feed(world.staff, world.court.id)
    with pytest.raises(NotFound):
        await other.service.make_resource_feed(other.staff, world.court.id)
    with pytest.raises(NotFound):
        await other.service.has_resource_feed(other.staff, world.court.id)
    await other.service.end_resource_feed(other.staff, world.court.id)
    await world.service.resource_feed(VISITOR, token)
