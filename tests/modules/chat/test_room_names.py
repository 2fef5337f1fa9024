"""The room of a booking is called after it, for each reader in their language; a name that a person chose stays."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import msgspec
import pytest
from tests.modules.chat.conftest import Town, id_of

from forecourt.kernel.context import Context, service_context
from forecourt.kernel.db import Database
from forecourt.kernel.web import formats
from forecourt.modules.booking.contract import BookingStatus
from forecourt.modules.chat.contract import RoomSubject
from forecourt.modules.chat.service.keeping import room_of_booking
from forecourt.modules.chat.service.reading import SearchQuery
from forecourt.modules.chat.service.rooms import RoomPatch

LONDON = ZoneInfo("Europe/London")
EVENING = datetime(2026, 12, 3, 18, tzinfo=UTC)
WORDED = {
    "": "Court 3, 03 Dec 18:00",
    "en": "Court 3, 3 Dec, 18:00",
    "pt": "Court 3, 3 de dez., 18:00",
    "ur": "\u200f\u2068Court 3\u2069، 3 دسمبر، 18:00",
}


def reading(who: Context, language: str) -> Context:
    return msgspec.structs.replace(who, language=language)


async def party_room(town: Town) -> tuple[UUID, UUID, UUID]:
    """Ada's booking with Ben, of an organisation, and its room."""
    organisation = uuid4()
    booking = town.books.put(organisation, town.ada, town.ben)
    await seat(town, booking, organisation)
    return organisation, booking, room_of_booking(booking)


async def seat(town: Town, booking: UUID, organisation: UUID) -> None:
    await town.chat.seat_party(service_context("chat.seat_party", organisation), booking)


def move(town: Town, booking: UUID, start: datetime) -> None:
    town.books.move(booking, start, start.astimezone(LONDON))


async def titles(town: Town, room: UUID, language: str) -> set[str]:
    """What Ben is told the room is called, wherever it is said."""
    ben = reading(town.ben, language)
    [listed] = [r for r in (await town.chat.mine(ben, 20, None)).items if r.id == room]
    [found] = (await town.chat.search(ben, SearchQuery(q="rain", room_id=room))).items
    message = await town.chat.preview(service_context("tests"), room, found.id)
    assert message is not None
    detail, one = await town.chat.look(ben, room), await town.chat.mine_one(ben, room)
    return {listed.title, one.title, detail.title, found.room_name, message.room_called(language)}


@pytest.mark.parametrize("language", WORDED)
async def test_each_reader_is_told_the_name_in_their_language_wherever_it_stands(town: Town, language: str) -> None:
    _, _, room = await party_room(town)
    await town.say(town.ada, room, "Rain again")
    assert await titles(town, room, language) == {WORDED[language]}
    detail = await town.chat.look(reading(town.ben, language), room)
    assert detail.name == WORDED[""], "what events say is the same for everybody"
    assert detail.subject == RoomSubject("Court 3", EVENING, "Europe/London")


async def test_a_moved_booking_s_room_is_called_anew_for_all_and_an_older_picture_catches_up(town: Town) -> None:
    organisation, booking, room = await party_room(town)
    stale, since = await town.scene(town.ben, room)
    before = msgspec.json.decode(msgspec.json.encode(stale))
    move(town, booking, EVENING + timedelta(days=1, minutes=30))
    await seat(town, booking, organisation)
    told = [(await town.chat.look(reading(town.ben, language), room)).title for language in ("en", "pt")]
    assert told == ["Court 3, 4 Dec, 18:30", "Court 3, 4 de dez., 18:30"]
    fresh, position = await town.scene(reading(town.ben, "ur"), room)
    assert fresh.room.subject == RoomSubject("Court 3", EVENING + timedelta(days=1, minutes=30), "Europe/London")
    assert msgspec.json.decode(msgspec.json.encode(fresh)) != before, "or nothing happened"
    assert await town.caught_up(town.ben, room, stale, since) == fresh
    await seat(town, booking, organisation)
    assert (await town.scene(town.ben, room))[1] == position, "what is called so already is not called so again"


async def test_the_hour_that_comes_twice_and_the_day_after_it_are_told_by_the_venue_s_clock(town: Town) -> None:
    """In London the clock goes from 02:00 back to 01:00 on 25 October 2026."""
    organisation, booking, room = await party_room(town)
    ben = reading(town.ben, "en")
    told: list[str] = []
    for minutes in (0, 60, 120):
        move(town, booking, datetime(2026, 10, 25, 0, 30, tzinfo=UTC) + timedelta(minutes=minutes))
        await seat(town, booking, organisation)
        told.append((await town.chat.look(ben, room)).title)
    assert told == ["Court 3, 25 Oct, 01:30", "Court 3, 25 Oct, 01:30", "Court 3, 25 Oct, 02:30"]


async def test_a_row_from_before_keeps_its_name_until_something_is_heard_of_its_booking(town: Town, db: Database) -> None:
    organisation, booking, room = await party_room(town)
    await town.say(town.ada, room, "Rain again")
    async with db.module("chat").tx(service_context("tests")) as tx:
        await tx.connection.execute("select set_config('forecourt.room', $1, true)", str(room))
        await tx.connection.execute("update chat.room set called = null where id = $1", room)
    assert await titles(town, room, "ur") == {WORDED[""]}
    stale, since = await town.scene(town.ben, room)
    assert stale.room.subject is None
    await seat(town, booking, organisation)
    assert await titles(town, room, "ur") == {WORDED["ur"]}
    assert await town.caught_up(town.ben, room, stale, since) == (await town.scene(town.ben, room))[0]


async def test_a_room_that_a_person_named_keeps_that_name_whatever_becomes_of_the_booking(town: Town) -> None:
    organisation, booking, room = await party_room(town)
    await town.say(town.ada, room, "Rain again")
    stale, since = await town.scene(town.ben, room)
    await town.chat.change(town.ada, room, RoomPatch(name="Sara's birthday"), None)
    assert await titles(town, room, "ur") == {"Sara's birthday"}
    move(town, booking, EVENING + timedelta(days=1))
    await seat(town, booking, organisation)
    assert await titles(town, room, "ur") == {"Sara's birthday"}
    town.books.become(booking, BookingStatus.CANCELLED)
    await seat(town, booking, organisation)
    seen = await town.chat.look(town.ben, room)
    assert (seen.name, seen.subject, seen.archived) == ("Sara's birthday", None, True)
    assert await town.caught_up(town.ben, room, stale, since) == (await town.scene(town.ben, room))[0]


async def test_who_sends_the_name_back_as_it_was_told_has_named_nothing(town: Town) -> None:
    organisation, booking, room = await party_room(town)
    ada = reading(town.ada, "ur")
    told = await town.chat.look(ada, room)
    for name in (told.title, told.name):
        changed = await town.chat.change(ada, room, RoomPatch(name=name, about=f"Bring {len(name)} balls"), None)
        assert (changed.title, changed.about) == (WORDED["ur"], f"Bring {len(name)} balls")
        assert changed.subject is not None
    move(town, booking, EVENING + timedelta(days=1))
    await seat(town, booking, organisation)
    assert (await town.chat.look(reading(town.ben, "en"), room)).title == "Court 3, 4 Dec, 18:00", "it follows the booking still"
    assert id_of(ada) == id_of(town.ada)


@pytest.mark.parametrize(
    ("language", "place", "shown"),
    [
        ("en", "Court 3", "Court 3, 3 Dec, 18:00"),
        ("en", "کورٹ 3", "\u200e\u2068کورٹ 3\u2069, 3 Dec, 18:00"),
        ("ur", "کورٹ 3", "کورٹ 3، 3 دسمبر، 18:00"),
        ("ur", "3", "3، 3 دسمبر، 18:00"),
    ],
)
def test_a_place_is_set_apart_where_its_script_runs_against_the_language(language: str, place: str, shown: str) -> None:
    assert formats.occasion(language, place, EVENING, "Europe/London") == shown
