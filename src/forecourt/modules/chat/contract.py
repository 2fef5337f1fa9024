"""What other modules may know of chat: values, errors, events and the calls they may make."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Protocol
from uuid import UUID

from msgspec import Meta, Struct

from forecourt.kernel.context import Context
from forecourt.kernel.contracts import idempotent
from forecourt.kernel.errors import Conflict, Forbidden, TooManyRequests
from forecourt.kernel.events import Event
from forecourt.kernel.records import PersonalRecords
from forecourt.kernel.topics import TopicSource
from forecourt.kernel.web import formats
from forecourt.modules.media.contract import MediaKind

# ---------------------------------------------------------------------------------------------------------------- words

MAX_TEXT_BYTES = 16 * 1024
"""Of a message's text in UTF-8."""
MAX_GROUP = 50
"""People in a group, the one who made it included."""
MAX_CHANNEL = 2_000
MAX_ROOMS = 500
"""Rooms that one person is in."""
MAX_ADDED = 50
"""People added at once."""
MAX_PINS = 50
MAX_REACTION_KINDS = 20
MAX_REACTIONS = 200
"""On one message, of all kinds together."""
MAX_ATTACHMENTS = 10
MAX_MENTIONS = 50
MAX_PREVIEWS = 3
"""Links of one message that are shown with what stands behind them."""

RoomName = Annotated[str, Meta(min_length=1, max_length=100)]
ClientId = Annotated[str, Meta(min_length=1, max_length=100, description="Chosen by the client; the same on every resend")]
MessageText = Annotated[str, Meta(max_length=MAX_TEXT_BYTES, description="A subset of Markdown; at most 16 KiB in UTF-8")]
LocalTime = Annotated[str, Meta(min_length=5, max_length=5, pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$", description="HH:MM")]
TimeZone = Annotated[str, Meta(min_length=1, max_length=64, description="IANA time zone")]
Seq = Annotated[int, Meta(ge=0, le=2**53)]


class RoomKind(StrEnum):
    DIRECT = "direct"
    """Two people, always the same room."""
    GROUP = "group"
    CHANNEL = "channel"
    BOOKING = "booking"
    """The party of a booking; who is in it follows the booking."""


class RoomRole(StrEnum):
    OWNER = "owner"
    MODERATOR = "moderator"
    MEMBER = "member"


class Notify(StrEnum):
    """What of a room its member wants to be told of."""

    ALL = "all"
    MENTIONS = "mentions"
    NOTHING = "nothing"


# --------------------------------------------------------------------------------------------------------------- values


class Attachment(Struct, frozen=True):
    """A file that the media module keeps. Where it can be had is asked at `/v1/rooms/{id}/files/{file_id}`."""

    id: UUID
    kind: MediaKind
    type: str
    """The media type: `image/jpeg`."""
    name: str
    bytes: int
    width: int | None = None
    height: int | None = None


class LinkPreview(Struct, frozen=True):
    """What stands behind a link of a message, in the page's own words: plain text, nobody vouches for it."""

    url: str
    title: str
    about: str
    site: str
    """Its host, after the site's own name when it gives one."""


class Reaction(Struct, frozen=True):
    emoji: str
    account_ids: list[UUID]
    """Who reacted so, the first of them first."""


class Message(Struct, frozen=True, kw_only=True):
    """A message as everybody in its room sees it. A deleted one keeps its place, without words."""

    id: UUID
    room_id: UUID
    seq: int
    sender_id: UUID
    text: str
    html: str
    """The text rendered and sanitised."""
    created_at: datetime
    client_id: str
    reply_to: UUID | None = None
    thread_id: UUID | None = None
    """The first message of the thread that this one is a reply in."""
    replies: int = 0
    """How many replies the thread that begins here has."""
    edited_at: datetime | None = None
    deleted: bool = False
    pinned: bool = False
    mentions: list[UUID] = []
    reactions: list[Reaction] = []
    attachments: list[Attachment] = []
    previews: list[LinkPreview] = []


class Member(Struct, frozen=True, kw_only=True):
    account_id: UUID
    role: RoomRole
    joined_at: datetime
    muted_until: datetime | None = None
    """May not write before."""


class QuietHours(Struct, frozen=True, forbid_unknown_fields=True):
    """Local hours in which a person is not to be disturbed; `end` at or before `start` runs past midnight."""

    start: LocalTime
    end: LocalTime
    timezone: TimeZone
    weekdays: Annotated[list[Annotated[int, Meta(ge=0, le=6)]], Meta(max_length=7)] = []
    """On which it begins, 0 is Monday; every day when there are none."""


class RoomSubject(Struct, frozen=True):
    """What the room of a booking is called after."""

    resource: str
    start: datetime
    timezone: str
    """The venue's, by IANA: a reader is told the time on its clock."""


def called(name: str, subject: RoomSubject | None, language: str) -> str:
    """What to call a room for who reads `language`: its name, worded for them where it follows from a booking.

    Inside the house, which reads no language, as it is kept.
    """
    if subject is None or language not in formats.DATE_PATTERNS:
        return name
    return formats.occasion(language, subject.resource, subject.start, subject.timezone)


class MessagePreview(Struct, frozen=True, kw_only=True):
    """A message as it may stand in a notification."""

    room_id: UUID
    room_kind: RoomKind
    room_name: str
    """Empty for a room without a name: its people name it."""
    sender_id: UUID
    excerpt: str
    """The first of its words, plain; empty when it was deleted or has none."""
    attachments: int
    room_subject: RoomSubject | None = None

    def room_called(self, language: str) -> str:
        """The room's name for who reads `language`."""
        return called(self.room_name, self.room_subject, language)


class Unread(Struct, frozen=True):
    """What waits for a person: messages and mentions in all rooms, and how many rooms have any."""

    messages: int
    mentions: int
    rooms: int
    waiting: int
    """What calls for them: messages of people and groups, and mentions in channels."""


# --------------------------------------------------------------------------------------------------------------- errors


class NotAMember(Forbidden):
    """The room can be seen, but only its members do this there."""

    code = "not_a_member"
    title = "Join the room first"


class Banned(Forbidden):
    code = "banned"
    title = "You may not be in this room"


class Muted(Forbidden):
    """Carries `until`."""

    code = "muted"
    title = "You may not write in this room for a while"


class RoomArchived(Conflict):
    code = "room_archived"
    title = "This room is archived; it can be read only"


class RoomFull(Conflict):
    code = "room_full"
    title = "There are as many people in this room as it holds"


class TooManyRooms(Conflict):
    code = "too_many_rooms"
    title = "That person is in as many rooms as one can be"


class LastRoomOwner(Conflict):
    code = "last_room_owner"
    title = "Make somebody else owner of the room first"


class FixedMembership(Conflict):
    """Of a direct room, or one whose people follow a booking."""

    code = "fixed_membership"
    title = "Who is in this room cannot be changed here"


class MessageDeleted(Conflict):
    code = "message_deleted"
    title = "This message was deleted"


class TooMany(Conflict):
    """Pins, or reactions on one message."""

    code = "too_many"
    title = "There are as many as there can be"


class SlowMode(TooManyRequests):
    """`Retry-After` says when the next message may be sent."""

    code = "slow_mode"
    title = "This room is in slow mode"


# --------------------------------------------------------- events: ids alone, because the log cannot forget what was said


class RoomCreated(Event, frozen=True, name="chat.room_created"):
    organisation_id: UUID | None
    room_id: UUID
    kind: RoomKind
    member_ids: list[UUID]


class RoomChanged(Event, frozen=True, name="chat.room_changed"):
    """Name, description, openness, slow mode, retention or the archive."""

    organisation_id: UUID | None
    room_id: UUID
    fields: list[str]


class MemberJoined(Event, frozen=True, name="chat.member_joined"):
    organisation_id: UUID | None
    room_id: UUID
    account_id: UUID


class Leaving(StrEnum):
    LEFT = "left"
    REMOVED = "removed"
    BANNED = "banned"


class MemberLeft(Event, frozen=True, name="chat.member_left"):
    organisation_id: UUID | None
    room_id: UUID
    account_id: UUID
    how: Leaving


class Moderated(Event, frozen=True, name="chat.moderated"):
    """A moderator muted, unmuted, banned, unbanned or set slow mode, or deleted somebody else's message."""

    organisation_id: UUID | None
    room_id: UUID
    action: str
    account_id: UUID | None
    message_id: UUID | None = None


class MessageSent(Event, frozen=True, name="chat.message_sent"):
    """Written when there is somebody to be told; what was said is asked with `Chat.preview`.

    `mentioned_ids` are named in it; `notify_ids` are others who want to hear of every message (of rooms small enough: no
    channel). Neither holds the sender or whoever wants to hear nothing of this room.
    """

    organisation_id: UUID | None
    room_id: UUID
    room_kind: RoomKind
    message_id: UUID
    seq: int
    sender_id: UUID
    mentioned_ids: list[UUID]
    notify_ids: list[UUID]


# ---------------------------------------------------------------------------------------------------------------- calls


class ChatTopics(TopicSource, Protocol):
    """`room:<id>`: what happens in a room, for its members.

    Numbered: `message.created`, `message.edited`, `message.deleted`, `message.previewed`, `message.pinned`, `message.unpinned`,
    `reaction.added`, `reaction.removed`, `member.joined`, `member.changed`, `member.left`, `member.forgotten`, `room.changed`,
    `history.trimmed`. Not numbered: `typing` and `read`. Clients may `send`, `read` and `typing`.
    """


class Chat(Protocol):
    @idempotent
    async def preview(self, ctx: Context, room_id: UUID, message_id: UUID) -> MessagePreview | None:
        """For notifications, which decided who may see it. None when the message is gone."""
        ...

    @idempotent
    async def still_unread(self, ctx: Context, room_id: UUID, seq: int, account_ids: list[UUID]) -> list[UUID]:
        """Those of the members (at most 200 are looked at) who have not read as far as `seq`."""
        ...

    @idempotent
    async def quiet_hours(self, ctx: Context) -> QuietHours | None:
        """When `ctx`'s person is not to be disturbed. Raises Unauthenticated without one."""
        ...

    @idempotent
    async def unread(self, ctx: Context) -> Unread:
        """What waits for `ctx`'s person. Raises Unauthenticated without one."""
        ...


class ChatRecords(PersonalRecords, Protocol):
    """Rooms, messages and what they said before, reactions, bans and choices of a person."""
