"""A booking is told of in the inbox, live, and by a mail with a calendar file; what is cancelled or moved, too."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import icalendar
from tests.journeys.world import Club, Person, World, at

from forecourt.app import House
from forecourt.kernel.context import Actor, ActorKind, Context
from forecourt.kernel.topics import Position
from forecourt.modules.notifications.contract import InboxTopics


def of(person: Person) -> Context:
    return Context(actor=Actor(kind=ActorKind.PERSON, account_id=UUID(person.id), confirmed=True))


async def booked(world: World, club: Club, person: Person, hour: int = 12, days: int = 3) -> dict[str, Any]:
    await world.credits(club, person)
    wish = {"resource_id": club.courts[0], "start": at(days, hour), "duration_min": 60, "pay_with": "credits"}
    answer = await person.post("/v1/bookings", wish)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def mails_about(world: World, person: Person, word: str) -> list[dict[str, Any]]:
    """Mails whose subject begins so, as soon as there is one."""
    for _ in range(400):
        answer = await world.client.get("/dev/outbox", params={"to": person.email}, headers={"Accept": "application/json"})
        found = [m for m in answer.json()["items"] if m["subject"].startswith(word)]
        if found:
            return found
        await asyncio.sleep(0.05)
    raise AssertionError(f"no mail {word!r}: {[m['subject'] for m in answer.json()['items']]}")


async def test_a_confirmed_booking_comes_as_a_mail_with_a_calendar_file_and_lies_in_the_inbox(world: World, house: House) -> None:
    club, ada = await world.club(), await world.person("Ada")
    topics = house.board.call(InboxTopics)
    before = await topics.follow(of(ada), "inbox", None)
    booking = await booked(world, club, ada)

    (mail,) = await mails_about(world, ada, "Booked: Court 1")
    assert "Riverside Courts" in mail["text"]
    assert "£20.00" in mail["text"]
    assert mail["headers"]["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    event = next(c for c in icalendar.Calendar.from_ical(mail["calendar"]).walk("VEVENT"))
    assert event["UID"] == f"{booking['id']}@forecourt"
    assert event["DTSTART"].dt.isoformat().replace("+00:00", "Z") == booking["start"]

    missed = await topics.follow(of(ada), f"inbox:{ada.id}", before.position)
    assert missed.recovered
    assert [e.seq for e in missed.events] == list(range(before.position.seq + 1, missed.position.seq + 1))
    assert b"Booked: Court 1" in b"".join(e.data for e in missed.events)
    nowhere = await topics.follow(of(ada), "inbox", Position("another epoch", 0))
    assert not nowhere.recovered


async def test_a_cancelled_booking_is_told_with_what_goes_back_and_leaves_the_calendar(world: World) -> None:
    club, ada = await world.club(), await world.person("Ada")
    booking = await booked(world, club, ada)
    assert (await ada.post(f"/v1/bookings/{booking['id']}/cancel", {})).status_code == 200
    (mail,) = await mails_about(world, ada, "Cancelled: Court 1")
    assert "£20.00 goes back to you" in mail["text"]
    calendar = icalendar.Calendar.from_ical(mail["calendar"])
    assert calendar["METHOD"] == "CANCEL"
    assert next(iter(calendar.walk("VEVENT")))["STATUS"] == "CANCELLED"


async def test_a_moved_booking_says_where_it_was(world: World) -> None:
    club, ada = await world.club(), await world.person("Ada")
    booking = await booked(world, club, ada, hour=12)
    answer = await ada.post(f"/v1/bookings/{booking['id']}/reschedule", {"start": at(3, 15)})
    assert answer.status_code == 200, answer.text
    (mail,) = await mails_about(world, ada, "Moved: Court 1")
    assert "Before: Court 1" in mail["text"]
    event = next(c for c in icalendar.Calendar.from_ical(mail["calendar"]).walk("VEVENT"))
    assert event["DTSTART"].dt.isoformat().replace("+00:00", "Z") == at(3, 15)
