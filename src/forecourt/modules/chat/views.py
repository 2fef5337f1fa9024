"""What the pages of chat show: a room as a list entry, a room from the inside."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from uuid import UUID

from msgspec import Struct

from forecourt.kernel.presence import Presence, State
from forecourt.kernel.web.render import initials, tint
from forecourt.modules.chat import rules
from forecourt.modules.chat.contract import Member, Message, RoomKind
from forecourt.modules.chat.service.rooms import RoomDetail, RoomView
from forecourt.modules.people.contract import PersonCard

TOGETHER = timedelta(minutes=5)
"""Messages of one person within so long stand under one name."""
SHOWN = {State.ONLINE: "on", State.AWAY: "away", State.OFFLINE: "off", State.DO_NOT_DISTURB: "dnd"}
ART = {RoomKind.GROUP: "users", RoomKind.CHANNEL: "chat", RoomKind.BOOKING: "court", RoomKind.DIRECT: "user"}


class Who(Struct, frozen=True):
    """Somebody on a page of chat. `presence`: on, away, dnd, off; empty where it is not shown. `seen` is when they left."""

    id: str
    name: str
    initials: str
    tint: int
    handle: str
    presence: str = ""
    seen: datetime | None = None


def who(id: UUID, cards: Mapping[UUID, PersonCard], presence: Mapping[UUID, Presence], unknown: str) -> Who:
    card = cards.get(id)
    name = card.name if card else unknown
    here = presence.get(id)
    state, seen = (SHOWN[here.state], here.last_seen) if here else ("", None)
    return Who(str(id), name, initials(name), tint(id), (card.handle or "") if card else "", state, seen)


class Row(Struct, frozen=True):
    """A room in the list."""

    room: RoomView
    other: Who | None
    icon: str
    last_who: str
    """Who said the last thing; empty for oneself, and in a room of two."""
    last_mine: bool
    last_text: str
    href: str
    current: bool


class Section(Struct, frozen=True):
    label: str
    rows: list[Row]


def row(room: RoomView, me: UUID, people: Mapping[UUID, Who], current: UUID | None) -> Row:
    last = room.last_message
    speaker = people.get(last.sender_id) if last else None
    mine = last is not None and last.sender_id == me
    named = last is not None and not mine and room.kind is not RoomKind.DIRECT and speaker is not None
    return Row(
        room,
        people.get(room.other_id) if room.other_id else None,
        ART[room.kind],
        speaker.name.split(" ")[0] if named and speaker else "",
        mine,
        rules.excerpt(last.text, 90) if last else "",
        f"/chat/{room.id}",
        room.id == current,
    )


def sections(rows: list[Row]) -> list[Section]:
    """Bookings first, then people, then channels; a section that has none is left out.

    The room of a booking in which nobody has written waits below: what is new is not looked for under silence.
    """
    silent = [r for r in rows if _silent(r.room)]
    spoken = [r for r in rows if not _silent(r.room)]
    kinds = (
        ("chat.bookings", (RoomKind.BOOKING,)),
        ("chat.people", (RoomKind.DIRECT, RoomKind.GROUP)),
        ("chat.channels", (RoomKind.CHANNEL,)),
    )
    found = [Section(label, [r for r in spoken if r.room.kind in wanted]) for label, wanted in kinds]
    return [section for section in (*found, Section("chat.bookings_silent", silent)) if section.rows]


def _silent(room: RoomView) -> bool:
    return room.kind is RoomKind.BOOKING and room.last_message is None and not room.unread


class Quote(Struct, frozen=True):
    """The message that another one answers, in one line."""

    seq: int
    name: str
    text: str


class Line(Struct, frozen=True):
    """A message on the page."""

    message: Message
    who: Who
    mine: bool
    more: bool
    """Goes on under the name above."""
    day: datetime | None
    """The first of its day."""
    fresh: bool
    """The first that was not read."""
    quote: Quote | None
    read_by: int


def lines(
    messages: list[Message],
    quoted: Mapping[UUID, Message],
    people: Mapping[UUID, Who],
    me: UUID,
    read_seq: int,
    readers: Mapping[UUID, int],
) -> list[Line]:
    """Ascending, as they stand on the page. `read_seq` is how far the reader had come."""
    found: list[Line] = []
    before: Message | None = None
    marked = False
    for message in messages:
        mine = message.sender_id == me
        new_day = before is None or before.created_at.date() != message.created_at.date()
        fresh = not marked and not mine and not message.deleted and message.seq > read_seq
        marked = marked or fresh
        together = (
            before is not None
            and not new_day
            and not fresh
            and before.sender_id == message.sender_id
            and message.created_at - before.created_at < TOGETHER
        )
        found.append(
            Line(
                message,
                people[message.sender_id],
                mine,
                together,
                message.created_at if new_day else None,
                fresh,
                _quote(message, quoted, people),
                sum(1 for account_id, seq in readers.items() if seq >= message.seq and account_id != me) if mine else 0,
            )
        )
        before = message
    return found


def _quote(message: Message, quoted: Mapping[UUID, Message], people: Mapping[UUID, Who]) -> Quote | None:
    parent = quoted.get(message.reply_to) if message.reply_to else None
    if parent is None:
        return None
    speaker = people.get(parent.sender_id)
    return Quote(parent.seq, speaker.name if speaker else "", rules.excerpt(parent.text, 120))


class Boot(Struct, frozen=True):
    """What the page's script begins with. It goes on from `(epoch, seq)`."""

    room_id: str
    kind: str
    me: str
    role: str
    epoch: str
    seq: int
    read_seq: int
    unread: int
    first_seq: int
    """Of the messages on the page; there may be older ones."""
    last_message_seq: int
    newer: bool
    """The page ends before the newest message."""
    receipts: bool
    archived: bool
    slow_mode_s: int
    people: dict[str, Who]
    members: list[Member]
    readers: dict[str, int]
    messages: list[Message]
    texts: dict[str, str]
    locale: str


class Seated(Struct, frozen=True):
    """A member in the details."""

    who: Who
    member: Member
    me: bool
    manageable: bool
    """The reader may mute, remove or ban them."""


def seated(room: RoomDetail, people: Mapping[UUID, Who], me: UUID) -> list[Seated]:
    rank = {"member": 0, "moderator": 1, "owner": 2}
    mine = rank[room.role.value] if room.role else -1
    rows = [
        Seated(
            people[m.account_id],
            m,
            m.account_id == me,
            mine > rank[m.role.value] and mine > 0 and room.kind is not RoomKind.DIRECT and m.account_id != me,
        )
        for m in room.members
    ]
    return sorted(rows, key=lambda s: (s.who.presence not in ("on", "dnd"), s.who.name.lower()))
