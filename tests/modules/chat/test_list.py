"""The list of rooms: what is new stands above rooms in which nobody has written."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest

from forecourt.modules.chat.contract import Notify, RoomKind, RoomRole
from forecourt.modules.chat.service.rooms import LastMessage, RoomView
from forecourt.modules.chat.views import row, sections

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
ME = UUID(int=1)
SAID = LastMessage(uuid4(), 3, UUID(int=2), "Running late", NOW, False, [])


def room(kind: RoomKind, name: str, *, said: LastMessage | None = SAID, unread: int = 0) -> RoomView:
    return RoomView(
        id=uuid4(), kind=kind, name=name, title=name, organisation_id=None, subject_id=None, other_id=None, public=False,
        archived=False, role=RoomRole.MEMBER, notify=Notify.ALL, epoch="e", last_seq=3, read_seq=3 - unread, unread=unread,
        mentions=0, last_message=said, moved_at=NOW,
    )  # fmt: skip


def listed(*rooms: RoomView) -> list[tuple[str, list[str]]]:
    found = sections([row(r, ME, {}, None) for r in rooms])
    return [(section.label, [r.room.name for r in section.rows]) for section in found]


def test_bookings_in_which_nobody_has_written_wait_below_what_was_said() -> None:
    silent = [room(RoomKind.BOOKING, f"Court {n}", said=None) for n in (1, 2)]
    assert listed(*silent, room(RoomKind.GROUP, "Thursday four", unread=1), room(RoomKind.CHANNEL, "News")) == [
        ("chat.people", ["Thursday four"]),
        ("chat.channels", ["News"]),
        ("chat.bookings_silent", ["Court 1", "Court 2"]),
    ]


@pytest.mark.parametrize(("said", "unread"), [(SAID, 0), (None, 1)], ids=["something was said", "something waits"])
def test_a_booking_that_is_spoken_of_stays_above_everything(said: LastMessage | None, unread: int) -> None:
    spoken = room(RoomKind.BOOKING, "Court 1", said=said, unread=unread)
    assert listed(room(RoomKind.GROUP, "Thursday four", unread=1), spoken) == [
        ("chat.bookings", ["Court 1"]),
        ("chat.people", ["Thursday four"]),
    ]


def test_a_silent_room_of_people_stays_with_the_people() -> None:
    assert listed(room(RoomKind.DIRECT, "Ayesha", said=None)) == [("chat.people", ["Ayesha"])]
