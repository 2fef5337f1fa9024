"""Calendar files, read back by another program's parser, and the private address of a person's calendar."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import icalendar
import pytest

from forecourt.kernel.context import ANONYMOUS, Context
from forecourt.kernel.errors import NotFound
from forecourt.kernel.http.operation import Request
from forecourt.modules.booking.contract import Cancel
from forecourt.modules.booking.http import BookingApi, FeedQuery

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


async def test_an_unchanged_feed_is_not_sent_again(world: Any) -> None:
    guest = await world.rich()
    booked = await world.book(guest)
    api = BookingApi(world.service)
    query = FeedQuery(token=await world.service.make_feed(guest))

    def asking(tag: str) -> Request:
        return Request({}, None, {b"if-none-match": tag.encode()}, {}, "")  # type: ignore[arg-type]

    first = await api.feed(VISITOR, query, asking(""))
    tag = first.headers["ETag"]
    assert (first.status, (await api.feed(VISITOR, query, asking(tag))).status) == (200, 304)
    await world.service.cancel(guest, booked.id, Cancel())
    assert (await api.feed(VISITOR, query, asking(tag))).status == 200
