"""All SQL of chat, one typed function per statement.

Statements that name no account work in the room that the transaction has opened; see migration 0001 for what row security adds.

What asks about all rooms of a person asks `chat.seat` first where they sit, and then these rooms alone: on many servers it goes
to those that have them (docs/scale.md). Row security and the membership itself decide all the same.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from msgspec import Struct

from forecourt.kernel.db import Query, Statement, Sweep, Tx, to_json
from forecourt.kernel.errors import NotFound
from forecourt.modules.chat.contract import (
    Attachment,
    LinkPreview,
    Member,
    Message,
    Notify,
    QuietHours,
    Reaction,
    RoomKind,
    RoomRole,
    RoomSubject,
)
from forecourt.modules.chat.rules import RoomFacts

BEFORE_ALL = UUID(int=0)
"""Where a list by id begins."""
MAX_SEATS = 10_000
"""Rooms of one person that are looked at. People make or join no more than `contract.MAX_ROOMS`; bookings and others may add to
them. Whoever sits in more finds what lies in the first of them."""

# ----------------------------------------------------------------------------------------------------------------- rows


class Called(Struct, frozen=True):
    """What the house last called the room of a booking, and after what."""

    name: str
    subject: RoomSubject


class RoomRow(Struct, frozen=True):
    id: UUID
    organisation_id: UUID | None
    kind: RoomKind
    name: str
    about: str
    public: bool
    subject_id: UUID | None
    slow_mode_s: int
    retention_days: int | None
    archived_at: datetime | None
    version: int
    called: Called | None

    @property
    def renamed(self) -> bool:
        """Somebody chose another name than the house did."""
        return self.called is not None and self.called.name != self.name

    @property
    def subject(self) -> RoomSubject | None:
        """What it is called after; None where a person chose the name, or nothing was heard of the booking for long."""
        return None if self.called is None or self.renamed else self.called.subject

    def facts(self) -> RoomFacts:
        return RoomFacts(
            id=self.id,
            kind=self.kind,
            organisation_id=self.organisation_id,
            name=self.name,
            about=self.about,
            public=self.public,
            subject_id=self.subject_id,
            slow_mode_s=self.slow_mode_s,
            retention_days=self.retention_days,
            archived=self.archived_at is not None,
            version=self.version,
            subject=self.subject,
        )


class PartRow(Struct, frozen=True):
    """Somebody in a room, and what holds them back; `role` is None for who is no member."""

    role: RoomRole | None
    read_seq: int | None
    notify: Notify | None
    joined_at: datetime | None
    muted_until: datetime | None
    last_sent_at: datetime | None
    banned: bool
    banned_until: datetime | None


class PositionRow(Struct, frozen=True):
    epoch: UUID
    last_seq: int


class MemberRow(Struct, frozen=True):
    account_id: UUID
    role: RoomRole
    joined_at: datetime
    muted_until: datetime | None
    read_seq: int
    notify: Notify

    def shown(self) -> Member:
        return Member(account_id=self.account_id, role=self.role, joined_at=self.joined_at, muted_until=self.muted_until)


class MessageRow(Struct, frozen=True):
    room_id: UUID
    seq: int
    id: UUID
    sender_id: UUID
    client_id: str
    body: str
    html: str
    reply_to: UUID | None
    thread_id: UUID | None
    replies: int
    attachments: list[Attachment]
    mentioned: list[UUID]
    created_at: datetime
    edited_at: datetime | None
    deleted_at: datetime | None
    pinned_at: datetime | None
    previews: list[LinkPreview]
    """One without a title was taken away by who sent the message, and does not come back."""

    def shown(self, reactions: list[Reaction]) -> Message:
        return Message(
            id=self.id,
            room_id=self.room_id,
            seq=self.seq,
            sender_id=self.sender_id,
            text=self.body,
            html=self.html,
            created_at=self.created_at,
            client_id=self.client_id,
            reply_to=self.reply_to,
            thread_id=self.thread_id,
            replies=self.replies,
            edited_at=self.edited_at,
            deleted=self.deleted_at is not None,
            pinned=self.pinned_at is not None,
            mentions=self.mentioned,
            reactions=reactions,
            attachments=self.attachments,
            previews=[p for p in self.previews if p.title],
        )


class GoneRow(Struct, frozen=True):
    """A message that is no more."""

    seq: int
    attachments: list[Attachment]


class WordsRow(Struct, frozen=True):
    """What of a message has to be known to take its words away."""

    id: UUID
    seq: int
    thread_id: UUID | None
    attachments: list[Attachment]


class NamingRow(Struct, frozen=True):
    """A message that mentions somebody."""

    id: UUID
    seq: int
    body: str
    html: str


class SaidRow(Struct, frozen=True):
    """What a message said until it was edited at that moment."""

    seq: int
    edited_at: datetime
    body: str


class RepliesRow(Struct, frozen=True):
    """How many replies the thread has that begins with this message."""

    id: UUID
    replies: int


class ReactionRow(Struct, frozen=True):
    seq: int
    emoji: str
    account_id: UUID


class EventRow(Struct, frozen=True):
    seq: int
    type: str
    data: str


class HeadRow(Struct, frozen=True):
    room_id: UUID
    epoch: UUID
    last_seq: int


class ListedRow(Struct, frozen=True):
    """A room in its member's list."""

    id: UUID
    organisation_id: UUID | None
    kind: RoomKind
    name: str
    public: bool
    subject_id: UUID | None
    archived: bool
    role: RoomRole
    notify: Notify
    epoch: UUID
    last_seq: int
    read_seq: int
    unread: int
    mentions: int
    moved_at: datetime
    last_id: UUID | None
    last_seq_of_message: int | None
    last_sender_id: UUID | None
    last_body: str | None
    last_attachments: list[Attachment] | None
    last_created_at: datetime | None
    last_deleted: bool | None
    other_id: UUID | None
    """The other person of a direct room."""
    subject: RoomSubject | None


class FoundRow(Struct, frozen=True):
    room_id: UUID
    room_kind: RoomKind
    room_name: str
    id: UUID
    seq: int
    sender_id: UUID
    body: str
    created_at: datetime
    room_subject: RoomSubject | None = None


class EditRow(Struct, frozen=True):
    edited_at: datetime
    body: str


class BanRow(Struct, frozen=True):
    account_id: UUID
    banned_by: UUID
    banned_at: datetime
    until: datetime | None


class AddressRow(Struct, frozen=True):
    """Where a message is."""

    room_id: UUID
    seq: int


class SettingRow(Struct, frozen=True):
    account_id: UUID
    receipts: bool
    quiet: QuietHours | None


class PlaceRow(Struct, frozen=True):
    """How far somebody has read in one of their rooms."""

    room_id: UUID
    read_seq: int


class ReaderRow(Struct, frozen=True):
    account_id: UUID
    read_seq: int


class NotifyRow(Struct, frozen=True):
    account_id: UUID
    notify: Notify


class UnreadRow(Struct, frozen=True):
    messages: int
    mentions: int
    rooms: int
    waiting: int


class KeptRoomRow(Struct, frozen=True):
    """A room that a person is in, for them to keep."""

    id: UUID
    organisation_id: UUID | None
    kind: RoomKind
    name: str
    subject_id: UUID | None
    archived_at: datetime | None
    role: RoomRole
    joined_at: datetime
    muted_until: datetime | None
    read_seq: int
    notify: Notify
    other_id: UUID | None
    """The other person of a direct room."""
    subject: RoomSubject | None


class KeptMessageRow(Struct, frozen=True):
    """A message that a person wrote, for them to keep."""

    room_id: UUID
    seq: int
    id: UUID
    created_at: datetime
    text: str
    edited_at: datetime | None
    reply_to: UUID | None
    attachments: list[Attachment]


class KeptEditRow(Struct, frozen=True):
    """What a message of a person's said until it was edited."""

    room_id: UUID
    seq: int
    said_at: datetime
    text: str


class KeptReactionRow(Struct, frozen=True):
    room_id: UUID
    seq: int
    """Of the message."""
    emoji: str
    reacted_at: datetime


class KeptBanRow(Struct, frozen=True):
    """A room that a person may not be in; for good without `until`."""

    room_id: UUID
    banned_at: datetime
    until: datetime | None


class OwnChannelRow(Struct, frozen=True):
    """A channel of an organisation that the person is in."""

    id: UUID
    name: str
    about: str
    public: bool
    archived: bool
    role: RoomRole


class OpenRoomRow(Struct, frozen=True):
    """A public channel, for who looks for one."""

    id: UUID
    organisation_id: UUID
    name: str
    about: str
    joined: bool
    far: bool
    """Of an organisation that the person has no room of."""


# -------------------------------------------------------------------------------------------------------- opening a room

# Row security judges `r` before its id opens the room.
OPEN = Query(str, "select set_config('forecourt.room', r.id::text, true) from chat.room r where r.id = $1")
OPEN_AS_THE_HOUSE = Query(str, "select set_config('forecourt.room', $1::uuid::text, true)")
LOCK = Query(PositionRow, "select p.epoch, p.last_seq from chat.position p where p.room_id = $1 for update")
POSITION = Query(PositionRow, "select p.epoch, p.last_seq from chat.position p where p.room_id = $1")
ROOM = Query(
    RoomRow,
    "select r.id, r.organisation_id, r.kind, r.name, r.about, r.public, r.subject_id, r.slow_mode_s, r.retention_days,"
    " r.archived_at, r.version, r.called from chat.room r where r.id = $1",
)
PART = Query(
    PartRow,
    "select m.role, m.read_seq, m.notify, m.joined_at, m.muted_until, m.last_sent_at, b.account_id is not null,"
    " b.until"
    " from (values ($1::uuid, $2::uuid)) as a (room_id, account_id)"
    " left join chat.member m on m.room_id = a.room_id and m.account_id = a.account_id"
    " left join chat.ban b on b.room_id = a.room_id and b.account_id = a.account_id",
)


async def open_room(tx: Tx, room_id: UUID) -> None:
    """Raises NotFound for a room that `tx`'s person cannot see."""
    if tx.spread and (account_id := tx.context.actor.account_id) is not None:
        await _seat_in(tx, account_id, room_id)
    await tx.one(OPEN, room_id)
    await tx.pass_on("forecourt.room", [room_id])


async def open_as_the_house(tx: Tx, room_id: UUID) -> None:
    """Whether there is such a room or not: for what the house does of itself, and for making one."""
    await tx.one(OPEN_AS_THE_HOUSE, room_id)
    await tx.pass_on("forecourt.room", [room_id])


async def lock(tx: Tx, room_id: UUID) -> PositionRow:
    """Nothing else happens in the room until the transaction ends. Raises NotFound."""
    return await tx.one(LOCK, room_id)


async def position(tx: Tx, room_id: UUID) -> PositionRow:
    return await tx.one(POSITION, room_id)


async def room(tx: Tx, room_id: UUID) -> RoomRow:
    return await tx.one(ROOM, room_id)


async def part(tx: Tx, room_id: UUID, account_id: UUID) -> PartRow:
    return await tx.one(PART, room_id, account_id)


# ----------------------------------------------------------------------------------------------------- rooms and members

INSERT_ROOM = Statement(
    "insert into chat.room (id, organisation_id, kind, name, about, public, subject_id, created_by, created_at, called)"
    " values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10::text::jsonb) on conflict do nothing"
)
INSERT_POSITION = Statement("insert into chat.position (room_id, epoch) values ($1, $2)")
INSERT_PAIR = Statement(
    "insert into chat.pair (one_id, other_id, room_id) values ($1, $2, $3) on conflict (one_id, other_id) do nothing"
)
PAIR = Query(UUID, "select p.room_id from chat.pair p where p.one_id = $1 and p.other_id = $2")
ROOM_OF_SUBJECT = Query(UUID, "select r.id from chat.room r where r.id = $1 and r.organisation_id = $2 and r.subject_id = $3")
SAVE_ROOM = Statement(
    "update chat.room set name = $2, about = $3, public = $4, slow_mode_s = $5, retention_days = $6, archived_at = $7,"
    " called = $8::text::jsonb, version = version + 1 where id = $1"
)
TIDY_AT = Statement("update chat.position set tidy_at = $2 where room_id = $1")
INSERT_MEMBERS = Query(
    MemberRow,
    "insert into chat.member (room_id, account_id, role, joined_at, read_seq)"
    " select $1, a.id, a.role, $4, $5 from unnest($2::uuid[], $3::text[]) as a (id, role)"
    " on conflict (room_id, account_id) do nothing"
    " returning account_id, role, joined_at, muted_until, read_seq, notify",
)
DELETE_MEMBER = Statement("delete from chat.member where room_id = $1 and account_id = $2")
TAKE_SEATS = Statement(
    "insert into chat.seat (account_id, room_id) select a.id, $1 from unnest($2::uuid[]) as a (id) on conflict do nothing"
)
LEAVE_SEAT = Statement("delete from chat.seat where account_id = $1 and room_id = $2")
LEAVE_TRACE = Statement("insert into chat.trace (account_id, room_id) values ($1, $2) on conflict do nothing")
SEATS = Query(UUID, "select s.room_id from chat.seat s where s.account_id = $1 order by s.room_id limit $2")
# They lie by person, and nothing says that both lie side by side: two questions.
SEATS_AFTER = Query(
    UUID,
    "select s.room_id from chat.seat s where s.account_id = $1 and s.room_id > $2 order by s.room_id limit $3",
)
TRACES_AFTER = Query(
    UUID,
    "select t.room_id from chat.trace t where t.account_id = $1 and t.room_id > $2 order by t.room_id limit $3",
)
SEAT_IN = Query(UUID, "select s.room_id from chat.seat s where s.account_id = $1 and s.room_id = $2")
MEMBERS = Query(
    MemberRow,
    "select m.account_id, m.role, m.joined_at, m.muted_until, m.read_seq, m.notify from chat.member m"
    " where m.room_id = $1 and ($2::uuid is null or m.account_id > $2) order by m.account_id limit $3",
)
MEMBER = Query(
    MemberRow,
    "select m.account_id, m.role, m.joined_at, m.muted_until, m.read_seq, m.notify from chat.member m"
    " where m.room_id = $1 and m.account_id = $2",
)
MEMBER_COUNT = Query(int, "select count(*)::int from chat.member m where m.room_id = $1")
OWNERS = Query(int, "select count(*)::int from chat.member m where m.room_id = $1 and m.role = 'owner'")
NEXT_OWNER = Query(
    UUID,
    "select m.account_id from chat.member m where m.room_id = $1 and m.account_id <> $2"
    " order by m.role = 'moderator' desc, m.joined_at, m.account_id limit 1",
)
SET_ROLE = Statement("update chat.member set role = $3 where room_id = $1 and account_id = $2")
MUTE = Statement("update chat.member set muted_until = $3 where room_id = $1 and account_id = $2")
SET_NOTIFY = Statement("update chat.member set notify = $3 where room_id = $1 and account_id = $2")
ROOMS_OF = Query(int, "select count(*)::int from chat.seat s where s.account_id = $1")
PLACES = Query(
    PlaceRow,
    "select m.room_id, m.read_seq from chat.member m where m.account_id = $1 and m.room_id = any($3::uuid[])"
    " order by m.room_id limit $2",
)
SETTING = Query(SettingRow, "select s.account_id, s.receipts, s.quiet from chat.setting s where s.account_id = $1")
SAVE_SETTING = Statement(
    "insert into chat.setting (account_id, receipts, quiet, updated_at) values ($1, $2, $3::text::jsonb, $4)"
    " on conflict (account_id) do update set receipts = excluded.receipts, quiet = excluded.quiet,"
    " updated_at = excluded.updated_at"
)
DROP_SETTING = Statement("delete from chat.setting where account_id = $1")
DISCREET = Query(
    UUID,
    "select m.account_id from chat.member m join chat.setting s on s.account_id = m.account_id"
    " where m.room_id = $1 and m.account_id = any($2::uuid[]) and not s.receipts",
)
READ_AS_FAR = Query(
    ReaderRow,
    "select m.account_id, m.read_seq from chat.member m left join chat.setting s on s.account_id = m.account_id"
    " where m.room_id = $1 and coalesce(s.receipts, true) order by m.account_id limit $2",
)
UNREAD_BY = Query(
    UUID,
    "select m.account_id from chat.member m where m.room_id = $1 and m.account_id = any($2::uuid[]) and m.read_seq < $3",
)
MEMBER_NOTIFIES = Query(
    NotifyRow,
    "select m.account_id, m.notify from chat.member m where m.room_id = $1 and m.account_id <> $2"
    " and ($3::uuid[] is null or m.account_id = any($3)) limit $4",
)
THOSE_WHO_ARE = Query(UUID, "select m.account_id from chat.member m where m.room_id = $1 and m.account_id = any($2::uuid[])")
BAN = Statement(
    "insert into chat.ban (room_id, account_id, banned_by, banned_at, until) values ($1, $2, $3, $4, $5)"
    " on conflict (room_id, account_id) do update set banned_by = excluded.banned_by, banned_at = excluded.banned_at,"
    " until = excluded.until"
)
UNBAN = Statement("delete from chat.ban where room_id = $1 and account_id = $2")
BANS = Query(
    BanRow,
    "select b.account_id, b.banned_by, b.banned_at, b.until from chat.ban b where b.room_id = $1"
    " and (b.until is null or b.until > $2) and ($3::uuid is null or b.account_id > $3) order by b.account_id limit $4",
)
BANNED_AMONG = Query(
    UUID,
    "select b.account_id from chat.ban b where b.room_id = $1 and b.account_id = any($2::uuid[])"
    " and (b.until is null or b.until > $3)",
)


async def insert_room(
    tx: Tx,
    id: UUID,
    organisation_id: UUID | None,
    kind: RoomKind,
    name: str,
    about: str,
    public: bool,
    subject_id: UUID | None,
    created_by: UUID | None,
    at: datetime,
    epoch: UUID,
    called: Called | None = None,
) -> bool:
    """False when the subject has its room already."""
    after = None if called is None else to_json(called)
    made = await tx.run(INSERT_ROOM, id, organisation_id, kind, name, about, public, subject_id, created_by, at, after)
    if made:
        await tx.run(INSERT_POSITION, id, epoch)
    return bool(made)


async def insert_pair(tx: Tx, one_id: UUID, other_id: UUID, room_id: UUID) -> bool:
    """False when the two have their room already."""
    return bool(await tx.run(INSERT_PAIR, one_id, other_id, room_id))


async def pair(tx: Tx, one_id: UUID, other_id: UUID) -> UUID | None:
    return await tx.maybe(PAIR, one_id, other_id)


async def save_room(tx: Tx, row: RoomRow) -> None:
    await tx.run(
        SAVE_ROOM, row.id, row.name, row.about, row.public, row.slow_mode_s, row.retention_days, row.archived_at,
        None if row.called is None else to_json(row.called),
    )  # fmt: skip


async def set_tidy_at(tx: Tx, room_id: UUID, at: datetime | None) -> None:
    await tx.run(TIDY_AT, room_id, at)


async def insert_members(
    tx: Tx, room_id: UUID, joining: list[tuple[UUID, RoomRole]], at: datetime, read_seq: int
) -> list[MemberRow]:
    """Those who were not there already. All of them sit in the room then."""
    ids = [a for a, _ in joining]
    rows = await tx.all(INSERT_MEMBERS, room_id, ids, [r.value for _, r in joining], at, read_seq)
    await tx.run(TAKE_SEATS, room_id, ids)
    return rows


async def delete_member(tx: Tx, room_id: UUID, account_id: UUID) -> bool:
    """With their seat; a trace of them stays. False for who was not there."""
    gone = await tx.run(DELETE_MEMBER, room_id, account_id)
    await tx.run(LEAVE_SEAT, account_id, room_id)
    if gone:
        await tx.run(LEAVE_TRACE, account_id, room_id)
    return bool(gone)


async def seats(tx: Tx, account_id: UUID) -> list[UUID]:
    """The rooms that somebody is in; of the transaction's own person alone. Where other servers have a part of them, row security
    goes by what is named here: a policy cannot ask `chat.member` there."""
    rooms = await tx.all(SEATS, account_id, MAX_SEATS)
    await tx.pass_on("forecourt.rooms", rooms)
    return rooms


async def _seat_in(tx: Tx, account_id: UUID, room_id: UUID) -> None:
    """The same for one room: nothing is named when they are not in it."""
    await tx.pass_on("forecourt.rooms", await tx.all(SEAT_IN, account_id, room_id))


async def members(tx: Tx, room_id: UUID, after: UUID | None, limit: int) -> list[MemberRow]:
    return await tx.all(MEMBERS, room_id, after, limit)


async def member(tx: Tx, room_id: UUID, account_id: UUID) -> MemberRow:
    """Raises NotFound."""
    return await tx.one(MEMBER, room_id, account_id)


async def member_count(tx: Tx, room_id: UUID) -> int:
    return await tx.one(MEMBER_COUNT, room_id)


async def owners(tx: Tx, room_id: UUID) -> int:
    return await tx.one(OWNERS, room_id)


async def next_owner(tx: Tx, room_id: UUID, besides: UUID) -> UUID | None:
    """Who has been there longest, moderators first."""
    return await tx.maybe(NEXT_OWNER, room_id, besides)


async def set_role(tx: Tx, room_id: UUID, account_id: UUID, role: RoomRole) -> None:
    await tx.run(SET_ROLE, room_id, account_id, role)


async def mute(tx: Tx, room_id: UUID, account_id: UUID, until: datetime | None) -> None:
    await tx.run(MUTE, room_id, account_id, until)


async def set_notify(tx: Tx, room_id: UUID, account_id: UUID, notify: Notify) -> None:
    await tx.run(SET_NOTIFY, room_id, account_id, notify)


async def rooms_of(tx: Tx, account_id: UUID) -> int:
    """How many rooms they are in; of the transaction's own person alone."""
    return await tx.one(ROOMS_OF, account_id)


async def places(tx: Tx, account_id: UUID, limit: int) -> list[PlaceRow]:
    """The rooms that somebody is in."""
    rooms = await seats(tx, account_id)
    return await tx.all(PLACES, account_id, limit, rooms) if rooms else []


async def setting(tx: Tx, account_id: UUID) -> SettingRow:
    """Of who never chose, the defaults."""
    return await tx.maybe(SETTING, account_id) or SettingRow(account_id, True, None)


async def save_setting(tx: Tx, row: SettingRow, at: datetime) -> None:
    await tx.run(SAVE_SETTING, row.account_id, row.receipts, None if row.quiet is None else to_json(row.quiet), at)


async def drop_setting(tx: Tx, account_id: UUID) -> None:
    await tx.run(DROP_SETTING, account_id)


async def discreet(tx: Tx, room_id: UUID, account_ids: list[UUID]) -> list[UUID]:
    """Those of these members who show no receipts."""
    if tx.spread:
        await tx.pass_on("forecourt.people", await those_who_are_members(tx, room_id, account_ids))
    return await tx.all(DISCREET, room_id, account_ids)


async def read_as_far(tx: Tx, room_id: UUID, limit: int) -> list[ReaderRow]:
    """Of the members who show it."""
    if not tx.spread:
        return await tx.all(READ_AS_FAR, room_id, limit)
    # What somebody who is not named chose is not seen, and would be taken for nothing chosen.
    named = {m.account_id for m in await members(tx, room_id, None, limit)}
    await tx.pass_on("forecourt.people", named)
    return [reader for reader in await tx.all(READ_AS_FAR, room_id, limit) if reader.account_id in named]


async def unread_by(tx: Tx, room_id: UUID, account_ids: list[UUID], seq: int) -> list[UUID]:
    return await tx.all(UNREAD_BY, room_id, account_ids, seq)


async def member_notifies(tx: Tx, room_id: UUID, besides: UUID, only: list[UUID] | None, limit: int) -> list[NotifyRow]:
    """What the members (`only` these) want to be told of."""
    return await tx.all(MEMBER_NOTIFIES, room_id, besides, only, limit)


async def rooms_with_something_of(tx: Tx, account_id: UUID, after: UUID, limit: int) -> list[UUID]:
    """Rooms that somebody sits in or has left a trace in, by id; of the transaction's own person alone."""
    found = {*await tx.all(SEATS_AFTER, account_id, after, limit), *await tx.all(TRACES_AFTER, account_id, after, limit)}
    return sorted(found)[:limit]


async def those_who_are_members(tx: Tx, room_id: UUID, account_ids: list[UUID]) -> list[UUID]:
    return await tx.all(THOSE_WHO_ARE, room_id, account_ids)


async def ban(tx: Tx, room_id: UUID, account_id: UUID, by: UUID, at: datetime, until: datetime | None) -> None:
    """Also of who never was in the room: a trace leads to it."""
    await tx.run(BAN, room_id, account_id, by, at, until)
    await tx.run(LEAVE_TRACE, account_id, room_id)


async def unban(tx: Tx, room_id: UUID, account_id: UUID) -> bool:
    return bool(await tx.run(UNBAN, room_id, account_id))


async def bans(tx: Tx, room_id: UUID, now: datetime, after: UUID | None, limit: int) -> list[BanRow]:
    return await tx.all(BANS, room_id, now, after, limit)


async def banned_among(tx: Tx, room_id: UUID, account_ids: list[UUID], now: datetime) -> list[UUID]:
    return await tx.all(BANNED_AMONG, room_id, account_ids, now)


# ------------------------------------------------------------------------------------------------------- what is numbered

WRITE_EVENTS = Statement(
    "with moved as (update chat.position set last_seq = $2, kept_since = coalesce(kept_since, $3) where room_id = $1)"
    " insert into chat.event (room_id, seq, type, data, message_id, at)"
    " select $1, e.seq, e.type, e.data, e.message_id, $3"
    " from unnest($4::bigint[], $5::text[], $6::text[], $7::uuid[]) as e (seq, type, data, message_id) returning 1"
)
TRIM_EVENTS = Statement("delete from chat.event where room_id = $1 and seq <= $2")
TRIM_EVENTS_BEFORE = Statement("delete from chat.event where room_id = $1 and at < $2")
KEPT_SINCE = Statement(
    "update chat.position set kept_since = (select e.at from chat.event e where e.room_id = $1 order by e.seq limit 1)"
    " where room_id = $1"
)
REWRITE_EVENTS = Statement(
    "update chat.event set data = case when type = 'message.created' then $3 when type = 'message.edited' then $4 else $5 end"
    " where room_id = $1 and message_id = $2 and type in ('message.created', 'message.edited', 'message.previewed')"
)
# Words and reactions of theirs, and words of others that mention them.
LAST_TOLD_OF = Query(
    int,
    "select coalesce(max(e.seq), 0) from chat.event e where e.room_id = $1 and (e.message_id = any($2::uuid[])"
    " or (e.type in ('message.created', 'message.edited', 'reaction.added', 'reaction.removed')"
    " and strpos(e.data, $3::uuid::text) > 0))",
)
EVENTS = Query(
    EventRow,
    "select e.seq, e.type, e.data from chat.event e where e.room_id = $1 and e.seq > $2 order by e.seq limit $3",
)
HEADS = Query(HeadRow, "select p.room_id, p.epoch, p.last_seq from chat.position p where p.room_id = any($1::uuid[]) limit 1000")


async def write_events(tx: Tx, room_id: UUID, at: datetime, events: list[tuple[int, str, str, UUID | None]]) -> None:
    """(seq, type, data, the message it is about), ascending."""
    seqs, types, data, messages = (list(column) for column in zip(*events, strict=True))
    await tx.run(WRITE_EVENTS, room_id, events[-1][0], at, seqs, types, data, messages)


async def trim_events(tx: Tx, room_id: UUID, through_seq: int) -> None:
    await tx.run(TRIM_EVENTS, room_id, through_seq)
    await tx.run(KEPT_SINCE, room_id)


async def trim_events_before(tx: Tx, room_id: UUID, at: datetime) -> None:
    await tx.run(TRIM_EVENTS_BEFORE, room_id, at)
    await tx.run(KEPT_SINCE, room_id)


async def rewrite_events(tx: Tx, room_id: UUID, message_id: UUID, created: str, edited: str, previewed: str) -> None:
    """Takes the words of a deleted message out of what is kept for who comes back."""
    await tx.run(REWRITE_EVENTS, room_id, message_id, created, edited, previewed)


async def last_told_of(tx: Tx, room_id: UUID, message_ids: list[UUID], account_id: UUID) -> int:
    """The number of the last kept event that may hold words of these messages, or what this person did; 0 when none does."""
    return await tx.one(LAST_TOLD_OF, room_id, message_ids, account_id)


async def events(tx: Tx, room_id: UUID, after: int, limit: int) -> list[EventRow]:
    return await tx.all(EVENTS, room_id, after, limit)


async def heads(tx: Tx, room_ids: list[UUID]) -> list[HeadRow]:
    return await tx.all(HEADS, room_ids)


# --------------------------------------------------------------------------------------------------------------- messages

ADDRESS = Query(AddressRow, "select m.room_id, m.seq from chat.message m where m.id = $1 and m.room_id = any($2::uuid[])")
INSERT_MESSAGE = Statement(
    "with said as (update chat.member set last_sent_at = $12 where room_id = $1 and account_id = $4)"
    " insert into chat.message (room_id, seq, id, sender_id, client_id, body, html, reply_to, thread_id, attachments, mentioned,"
    " created_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10::text::jsonb, $11, $12)"
)
INSERT_MENTIONS = Query(
    UUID,
    "insert into chat.mention (account_id, room_id, seq)"
    " select m.account_id, $1, $2 from chat.member m where m.room_id = $1 and m.account_id = any($3::uuid[])"
    " and m.account_id <> $4 on conflict do nothing returning account_id",
)
DELETE_MENTIONS = Statement("delete from chat.mention where room_id = $1 and seq = $2")
COUNT_REPLY = Query(
    int, "update chat.message set replies = greatest(replies + $3, 0) where room_id = $1 and id = $2 returning replies"
)
RESENT = Query(
    MessageRow,
    "select m.room_id, m.seq, m.id, m.sender_id, m.client_id, m.body, m.html, m.reply_to, m.thread_id, m.replies,"
    " m.attachments, m.mentioned, m.created_at, m.edited_at, m.deleted_at, m.pinned_at, m.previews"
    " from chat.message m where m.room_id = $1 and m.sender_id = $2 and m.client_id = $3",
)
MESSAGE = Query(
    MessageRow,
    "select m.room_id, m.seq, m.id, m.sender_id, m.client_id, m.body, m.html, m.reply_to, m.thread_id, m.replies,"
    " m.attachments, m.mentioned, m.created_at, m.edited_at, m.deleted_at, m.pinned_at, m.previews"
    " from chat.message m where m.room_id = $1 and m.id = $2",
)
MESSAGES_BY_ID = Query(
    MessageRow,
    "select m.room_id, m.seq, m.id, m.sender_id, m.client_id, m.body, m.html, m.reply_to, m.thread_id, m.replies,"
    " m.attachments, m.mentioned, m.created_at, m.edited_at, m.deleted_at, m.pinned_at, m.previews"
    " from chat.message m where m.room_id = $1 and m.id = any($2::uuid[]) limit 200",
)
MESSAGES_BEFORE = Query(
    MessageRow,
    "select m.room_id, m.seq, m.id, m.sender_id, m.client_id, m.body, m.html, m.reply_to, m.thread_id, m.replies,"
    " m.attachments, m.mentioned, m.created_at, m.edited_at, m.deleted_at, m.pinned_at, m.previews"
    " from chat.message m where m.room_id = $1 and m.seq < $2 order by m.seq desc limit $3",
)
MESSAGES_AFTER = Query(
    MessageRow,
    "select m.room_id, m.seq, m.id, m.sender_id, m.client_id, m.body, m.html, m.reply_to, m.thread_id, m.replies,"
    " m.attachments, m.mentioned, m.created_at, m.edited_at, m.deleted_at, m.pinned_at, m.previews"
    " from chat.message m where m.room_id = $1 and m.seq > $2 and m.seq < $3 order by m.seq limit $4",
)
THREAD = Query(
    MessageRow,
    "select m.room_id, m.seq, m.id, m.sender_id, m.client_id, m.body, m.html, m.reply_to, m.thread_id, m.replies,"
    " m.attachments, m.mentioned, m.created_at, m.edited_at, m.deleted_at, m.pinned_at, m.previews"
    " from chat.message m where m.room_id = $1 and m.thread_id = $2 and m.seq > $3 order by m.seq limit $4",
)
PINNED = Query(
    MessageRow,
    "select m.room_id, m.seq, m.id, m.sender_id, m.client_id, m.body, m.html, m.reply_to, m.thread_id, m.replies,"
    " m.attachments, m.mentioned, m.created_at, m.edited_at, m.deleted_at, m.pinned_at, m.previews"
    " from chat.message m where m.room_id = $1 and m.pinned_at is not null order by m.pinned_at desc, m.seq desc limit $2",
)
REACTIONS = Query(
    ReactionRow,
    "select r.seq, r.emoji, r.account_id from chat.reaction r where r.room_id = $1 and r.seq = any($2::bigint[])"
    " order by r.seq, r.reacted_at, r.emoji, r.account_id",
)
SAVE_EDIT = Statement(
    "with before as (insert into chat.edit (room_id, seq, edited_at, body)"
    " select m.room_id, m.seq, coalesce(m.edited_at, m.created_at), m.body from chat.message m"
    " where m.room_id = $1 and m.seq = $2"
    " on conflict do nothing)"
    " update chat.message set body = $3, html = $4, mentioned = $5, edited_at = $6 where room_id = $1 and seq = $2"
)
EDITS = Query(
    EditRow,
    "select e.edited_at, e.body from chat.edit e where e.room_id = $1 and e.seq = $2 order by e.edited_at desc limit $3",
)
BLANK = Statement(
    "with e as (delete from chat.edit where room_id = $1 and seq = $2),"
    " r as (delete from chat.reaction where room_id = $1 and seq = $2),"
    " n as (delete from chat.mention where room_id = $1 and seq = $2)"
    " update chat.message set body = '', html = '', attachments = '[]', previews = '[]', mentioned = '{}',"
    " deleted_at = $3, edited_at = null, pinned_at = null, pinned_by = null where room_id = $1 and seq = $2"
)
# Everything of one person is looked for in stretches of a room's numbers, which the keys give in order: a stretch costs the same
# in a room of a million messages, whether they wrote all of them or one.
WORDS_OF = Query(
    WordsRow,
    "select m.id, m.seq, m.thread_id, m.attachments from chat.message m where m.room_id = $1 and m.seq > $2 and m.seq <= $3"
    " and m.sender_id = $4 and m.deleted_at is null order by m.seq limit $5",
)
REACTED_BY = Query(
    int,
    "select r.seq from chat.reaction r where r.room_id = $1 and r.seq > $2 and r.seq <= $3 and r.account_id = $4"
    " order by r.seq limit $5",
)
MENTIONED_IN = Query(
    int,
    "select n.seq from chat.mention n where n.room_id = $1 and n.seq > $2 and n.seq <= $3 and n.account_id = $4"
    " order by n.seq limit $5",
)
NAMING = Query(
    NamingRow,
    "select m.id, m.seq, m.body, m.html from chat.mention n join chat.message m on m.room_id = n.room_id and m.seq = n.seq"
    " where n.room_id = $1 and n.seq > $2 and n.seq <= $3 and n.account_id = $4 order by n.seq limit $5",
)
SAID_BEFORE = Query(
    SaidRow,
    "select e.seq, e.edited_at, e.body from chat.edit e where e.room_id = $1 and e.seq = any($2::bigint[])"
    " and strpos(lower(e.body), $3::uuid::text) > 0",
)
UNNAME = Statement(
    "with n as (delete from chat.mention where room_id = $1 and account_id = $5 and seq = any($2::bigint[]))"
    " update chat.message m set body = c.body, html = c.html"
    " from unnest($2::bigint[], $3::text[], $4::text[]) as c (seq, body, html) where m.room_id = $1 and m.seq = c.seq"
)
UNNAME_EDITS = Statement(
    "update chat.edit e set body = c.body from unnest($2::bigint[], $3::timestamptz[], $4::text[]) as c (seq, edited_at, body)"
    " where e.room_id = $1 and e.seq = c.seq and e.edited_at = c.edited_at"
)
BLANK_THESE = Statement(
    "with e as (delete from chat.edit where room_id = $1 and seq = any($2::bigint[])),"
    " r as (delete from chat.reaction where room_id = $1 and seq = any($2::bigint[])),"
    " n as (delete from chat.mention where room_id = $1 and seq = any($2::bigint[]))"
    " update chat.message set body = '', html = '', attachments = '[]', previews = '[]', mentioned = '{}',"
    " deleted_at = $3, edited_at = null, pinned_at = null, pinned_by = null where room_id = $1 and seq = any($2::bigint[])"
)
UNREACT_ALL = Statement("delete from chat.reaction where room_id = $1 and seq > $2 and seq <= $3 and account_id = $4")
COUNT_REPLIES = Query(
    RepliesRow,
    "update chat.message m set replies = greatest(m.replies - c.gone, 0) from unnest($2::uuid[], $3::int[]) as c (id, gone)"
    " where m.room_id = $1 and m.id = c.id returning m.id, m.replies",
)
KEPT_ROOMS = Query(
    KeptRoomRow,
    "select m.room_id, r.organisation_id, r.kind, r.name, r.subject_id, r.archived_at, m.role, m.joined_at, m.muted_until,"
    " m.read_seq, m.notify, case when pr.one_id = $1 then pr.other_id else pr.one_id end,"
    " case when r.called ->> 'name' = r.name then r.called -> 'subject' end"
    " from chat.member m join chat.room r on r.id = m.room_id left join chat.pair pr on pr.room_id = m.room_id"
    " where m.account_id = $1 and m.room_id = any($2::uuid[]) order by m.room_id",
)
KEPT_MESSAGES = Query(
    KeptMessageRow,
    "select m.room_id, m.seq, m.id, m.created_at, m.body, m.edited_at, m.reply_to, m.attachments from chat.message m"
    " where m.room_id = $1 and m.seq > $2 and m.seq <= $3 and m.sender_id = $4 and m.deleted_at is null order by m.seq limit $5",
)
KEPT_EDITS = Query(
    KeptEditRow,
    "select e.room_id, e.seq, e.edited_at, e.body from chat.edit e"
    " join chat.message m on m.room_id = e.room_id and m.seq = e.seq"
    " where e.room_id = $1 and (e.seq, e.edited_at) > ($2, $6::timestamptz) and e.seq <= $3 and m.sender_id = $4"
    " order by e.seq, e.edited_at limit $5",
)
KEPT_REACTIONS = Query(
    KeptReactionRow,
    "select r.room_id, r.seq, r.emoji, r.reacted_at from chat.reaction r"
    " where r.room_id = $1 and (r.seq, r.emoji) > ($2, $6::text) and r.seq <= $3 and r.account_id = $4"
    " order by r.seq, r.emoji limit $5",
)
KEPT_BANS = Query(
    KeptBanRow,
    "select b.room_id, b.banned_at, b.until from chat.ban b where b.account_id = $1 and b.room_id = any($2::uuid[])"
    " order by b.room_id",
)
SAVE_PREVIEWS = Statement("update chat.message set previews = $3::text::jsonb where room_id = $1 and seq = $2")
PREVIEWS = Query(bool, "select h.previews from chat.house_rule h where h.organisation_id = $1")
SAVE_HOUSE_RULE = Statement(
    "insert into chat.house_rule (organisation_id, previews, updated_at) values ($1, $2, $3)"
    " on conflict (organisation_id) do update set previews = excluded.previews, updated_at = excluded.updated_at"
)
PIN = Statement("update chat.message set pinned_at = $3, pinned_by = $4 where room_id = $1 and seq = $2")
PIN_COUNT = Query(int, "select count(*)::int from chat.message m where m.room_id = $1 and m.pinned_at is not null")
REACT = Statement(
    "insert into chat.reaction (room_id, seq, emoji, account_id, reacted_at) values ($1, $2, $3, $4, $5) on conflict do nothing"
)
UNREACT = Statement("delete from chat.reaction where room_id = $1 and seq = $2 and emoji = $3 and account_id = $4")
# Numbers and times rise together, except where two machines' clocks differ: what goes is everything up to a number.
DROP_OLD = Query(
    GoneRow,
    "with last as (select max(m.seq) as seq from chat.message m where m.room_id = $1 and m.created_at < $2),"
    " old as (select m.seq from chat.message m, last where m.room_id = $1 and m.seq <= last.seq order by m.seq limit $3),"
    " gone as (delete from chat.message m using old where m.room_id = $1 and m.seq = old.seq returning m.seq, m.attachments)"
    " select g.seq, g.attachments from gone g order by g.seq",
)
DUE_FOR_TIDYING = Sweep(
    UUID, "select p.room_id from chat.position p where p.tidy_at <= $1 order by p.tidy_at, p.room_id limit $2"
)
KEPT_TOO_LONG = Sweep(
    UUID, "select p.room_id from chat.position p where p.kept_since < $1 order by p.kept_since, p.room_id limit $2"
)


async def address(tx: Tx, account_id: UUID, message_id: UUID) -> AddressRow:
    """Of a message in one of the person's rooms. Raises NotFound."""
    rooms = await seats(tx, account_id)
    if not rooms:
        raise NotFound
    return await tx.one(ADDRESS, message_id, rooms)


async def insert_message(tx: Tx, row: MessageRow) -> None:
    """Notes for slow mode when the sender last wrote."""
    await tx.run(
        INSERT_MESSAGE, row.room_id, row.seq, row.id, row.sender_id, row.client_id, row.body, row.html, row.reply_to,
        row.thread_id, to_json(row.attachments), row.mentioned, row.created_at,
    )  # fmt: skip


async def insert_mentions(tx: Tx, room_id: UUID, seq: int, mentioned: list[UUID], sender_id: UUID) -> list[UUID]:
    """Those of them who are members, the sender left out."""
    return await tx.all(INSERT_MENTIONS, room_id, seq, mentioned, sender_id)


async def delete_mentions(tx: Tx, room_id: UUID, seq: int) -> None:
    await tx.run(DELETE_MENTIONS, room_id, seq)


async def count_reply(tx: Tx, room_id: UUID, thread_id: UUID, by: int) -> int | None:
    """How many replies the thread has now; None when its first message is gone."""
    return await tx.maybe(COUNT_REPLY, room_id, thread_id, by)


async def resent(tx: Tx, room_id: UUID, sender_id: UUID, client_id: str) -> MessageRow | None:
    return await tx.maybe(RESENT, room_id, sender_id, client_id)


async def message(tx: Tx, room_id: UUID, message_id: UUID) -> MessageRow:
    """Raises NotFound."""
    return await tx.one(MESSAGE, room_id, message_id)


async def maybe_message(tx: Tx, room_id: UUID, message_id: UUID) -> MessageRow | None:
    return await tx.maybe(MESSAGE, room_id, message_id)


async def messages_by_id(tx: Tx, room_id: UUID, ids: list[UUID]) -> list[MessageRow]:
    return await tx.all(MESSAGES_BY_ID, room_id, ids)


async def messages_before(tx: Tx, room_id: UUID, before_seq: int, limit: int) -> list[MessageRow]:
    """The newest first."""
    return await tx.all(MESSAGES_BEFORE, room_id, before_seq, limit)


async def messages_after(tx: Tx, room_id: UUID, after_seq: int, before_seq: int, limit: int) -> list[MessageRow]:
    """The oldest first."""
    return await tx.all(MESSAGES_AFTER, room_id, after_seq, before_seq, limit)


async def thread(tx: Tx, room_id: UUID, thread_id: UUID, after_seq: int, limit: int) -> list[MessageRow]:
    return await tx.all(THREAD, room_id, thread_id, after_seq, limit)


async def pinned(tx: Tx, room_id: UUID, limit: int) -> list[MessageRow]:
    return await tx.all(PINNED, room_id, limit)


async def reactions(tx: Tx, room_id: UUID, seqs: list[int]) -> dict[int, list[Reaction]]:
    """By message, the kinds in the order in which they first appeared, and within one, the people."""
    found: dict[int, dict[str, list[UUID]]] = {}
    for row in await tx.all(REACTIONS, room_id, seqs):
        found.setdefault(row.seq, {}).setdefault(row.emoji, []).append(row.account_id)
    return {seq: [Reaction(emoji, ids) for emoji, ids in kinds.items()] for seq, kinds in found.items()}


async def save_edit(tx: Tx, room_id: UUID, seq: int, body: str, html: str, mentioned: list[UUID], at: datetime) -> None:
    """Keeps what it said before."""
    await tx.run(SAVE_EDIT, room_id, seq, body, html, mentioned, at)


async def edits(tx: Tx, room_id: UUID, seq: int, limit: int) -> list[EditRow]:
    return await tx.all(EDITS, room_id, seq, limit)


async def blank(tx: Tx, room_id: UUID, seq: int, at: datetime) -> None:
    """Takes the words, the history, the reactions and the mentions; the place stays."""
    await tx.run(BLANK, room_id, seq, at)


async def words_of(tx: Tx, room_id: UUID, account_id: UUID, after: int, through: int, limit: int) -> list[WordsRow]:
    """Messages of a person's in the room that is open, numbered above `after` and up to `through`, ascending."""
    return await tx.all(WORDS_OF, room_id, after, through, account_id, limit)


async def reacted_by(tx: Tx, room_id: UUID, account_id: UUID, after: int, through: int, limit: int) -> list[int]:
    """The numbers of messages that a person reacted to, ascending."""
    return await tx.all(REACTED_BY, room_id, after, through, account_id, limit)


async def mentioned_in(tx: Tx, room_id: UUID, account_id: UUID, after: int, through: int, limit: int) -> list[int]:
    """The numbers of messages that mention a person, ascending."""
    return await tx.all(MENTIONED_IN, room_id, after, through, account_id, limit)


async def naming(tx: Tx, room_id: UUID, account_id: UUID, after: int, through: int, limit: int) -> list[NamingRow]:
    """Messages that mention a person, ascending."""
    return await tx.all(NAMING, room_id, after, through, account_id, limit)


async def said_before(tx: Tx, room_id: UUID, seqs: list[int], account_id: UUID) -> list[SaidRow]:
    """What these messages said before, where it holds the person's id."""
    return await tx.all(SAID_BEFORE, room_id, seqs, account_id)


async def unname(tx: Tx, room_id: UUID, account_id: UUID, rows: list[NamingRow], edits: list[SaidRow]) -> None:
    """Messages and what they said before become these; they mention the person no longer."""
    await tx.run(UNNAME, room_id, [r.seq for r in rows], [r.body for r in rows], [r.html for r in rows], account_id)
    if edits:
        await tx.run(UNNAME_EDITS, room_id, [e.seq for e in edits], [e.edited_at for e in edits], [e.body for e in edits])


async def blank_these(tx: Tx, room_id: UUID, seqs: list[int], at: datetime) -> None:
    """As `blank`, many at once."""
    await tx.run(BLANK_THESE, room_id, seqs, at)


async def unreact_all(tx: Tx, room_id: UUID, account_id: UUID, after: int, through: int) -> int:
    """A person's reactions to messages so numbered go. How many there were."""
    return await tx.run(UNREACT_ALL, room_id, after, through, account_id)


async def count_replies(tx: Tx, room_id: UUID, gone: dict[UUID, int]) -> dict[UUID, int]:
    """By the first message of a thread, how many replies it has left when so many are gone. Threads without one are left out."""
    rows = await tx.all(COUNT_REPLIES, room_id, list(gone), list(gone.values())) if gone else []
    return {row.id: row.replies for row in rows}


async def save_previews(tx: Tx, room_id: UUID, seq: int, previews: list[LinkPreview]) -> None:
    await tx.run(SAVE_PREVIEWS, room_id, seq, to_json(previews))


async def wants_previews(tx: Tx, organisation_id: UUID) -> bool:
    """Whether the organisation wants links of its rooms shown; who never chose does."""
    chosen = await tx.maybe(PREVIEWS, organisation_id)
    return chosen is None or chosen


async def name_house(tx: Tx, organisation_id: UUID) -> None:
    """The organisation of the room that is open, before its rule is asked for."""
    await tx.pass_on("forecourt.house", [organisation_id])


async def save_house_rule(tx: Tx, organisation_id: UUID, previews: bool, at: datetime) -> None:
    await tx.run(SAVE_HOUSE_RULE, organisation_id, previews, at)


async def pin(tx: Tx, room_id: UUID, seq: int, at: datetime | None, by: UUID | None) -> None:
    await tx.run(PIN, room_id, seq, at, by)


async def pin_count(tx: Tx, room_id: UUID) -> int:
    return await tx.one(PIN_COUNT, room_id)


async def react(tx: Tx, room_id: UUID, seq: int, emoji: str, account_id: UUID, at: datetime) -> bool:
    """False when it was there."""
    return bool(await tx.run(REACT, room_id, seq, emoji, account_id, at))


async def unreact(tx: Tx, room_id: UUID, seq: int, emoji: str, account_id: UUID) -> bool:
    return bool(await tx.run(UNREACT, room_id, seq, emoji, account_id))


async def drop_old(tx: Tx, room_id: UUID, before: datetime, limit: int) -> list[GoneRow]:
    """What went, ascending."""
    return await tx.all(DROP_OLD, room_id, before, limit)


async def due_for_tidying(tx: Tx, now: datetime, limit: int) -> list[UUID]:
    return await tx.all(DUE_FOR_TIDYING, now, limit)


async def kept_too_long(tx: Tx, before: datetime, limit: int) -> list[UUID]:
    return await tx.all(KEPT_TOO_LONG, before, limit)


# ------------------------------------------------------------------------------------------------------ reading, counting

READ = Statement("update chat.member set read_seq = $3 where room_id = $1 and account_id = $2 and read_seq < $3")
MINE = Query(
    ListedRow,
    "with mine as ("
    " select m.room_id as id, r.organisation_id, r.kind, r.name, r.public, r.subject_id,"
    " r.archived_at is not null as archived, m.role, m.notify, p.epoch, p.last_seq, m.read_seq,"
    " coalesce(l.created_at, m.joined_at) as moved_at,"
    " l.id as last_id, l.seq as message_seq, l.sender_id, left(l.body, 500) as body, l.attachments, l.created_at,"
    " l.deleted_at is not null as deleted,"
    " case when pr.one_id = $1 then pr.other_id else pr.one_id end as other_id,"
    " case when r.called ->> 'name' = r.name then r.called -> 'subject' end as subject"
    " from chat.member m join chat.room r on r.id = m.room_id join chat.position p on p.room_id = m.room_id"
    " left join chat.pair pr on pr.room_id = m.room_id"
    " left join lateral (select s.id, s.seq, s.sender_id, s.body, s.attachments, s.created_at, s.deleted_at from chat.message s"
    "  where s.room_id = m.room_id order by s.seq desc limit 1) l on true"
    " where m.account_id = $1 and m.room_id = any($5::uuid[]))"
    " select i.id, i.organisation_id, i.kind, i.name, i.public, i.subject_id, i.archived, i.role, i.notify, i.epoch, i.last_seq,"
    " i.read_seq,"
    " (select count(*) from chat.message u where u.room_id = i.id and u.seq > i.read_seq and u.deleted_at is null"
    "  and u.sender_id <> $1)::int,"
    " (select count(*) from chat.mention n where n.account_id = $1 and n.room_id = i.id and n.seq > i.read_seq)::int,"
    " i.moved_at, i.last_id, i.message_seq, i.sender_id, i.body, i.attachments, i.created_at, i.deleted, i.other_id,"
    " i.subject"
    " from mine i where ($2::timestamptz is null or (i.moved_at, i.id) < ($2, $3::uuid))"
    " order by i.moved_at desc, i.id desc limit $4",
)
UNREAD = Query(
    UnreadRow,
    "select coalesce(sum(c.unread), 0)::int, coalesce(sum(c.mentions), 0)::int, (count(*) filter (where c.unread > 0))::int,"
    " coalesce(sum(case when c.kind = 'channel' then c.mentions else c.unread end), 0)::int"
    " from (select r.kind, (select count(*) from chat.message u where u.room_id = m.room_id and u.seq > m.read_seq"
    "  and u.deleted_at is null and u.sender_id <> $1) as unread,"
    "  (select count(*) from chat.mention n where n.account_id = $1 and n.room_id = m.room_id and n.seq > m.read_seq) as mentions"
    "  from chat.member m join chat.room r on r.id = m.room_id"
    "  where m.account_id = $1 and m.room_id = any($2::uuid[]) and m.notify <> 'nothing') c",
)
SEARCH = Query(
    FoundRow,
    "select f.room_id, r.kind, r.name, f.id, f.seq, f.sender_id, f.body, f.created_at,"
    " case when r.called ->> 'name' = r.name then r.called -> 'subject' end"
    " from chat.member m join chat.room r on r.id = m.room_id"
    " join lateral (select s.room_id, s.id, s.seq, s.sender_id, s.body, s.created_at from chat.message s"
    "  where s.room_id = m.room_id and s.deleted_at is null and s.words @@ websearch_to_tsquery('simple'::regconfig, $2)"
    "  and ($4::timestamptz is null or (s.created_at, s.id) < ($4, $5::uuid)) order by s.seq desc limit $6) f on true"
    " where m.account_id = $1 and m.room_id = any($3::uuid[])"
    " order by f.created_at desc, f.id desc limit $6",
)
CHANNELS_OF = Query(
    OwnChannelRow,
    "select r.id, r.name, r.about, r.public, r.archived_at is not null, m.role"
    " from chat.member m join chat.room r on r.id = m.room_id"
    " where m.account_id = $1 and m.room_id = any($4::uuid[]) and r.organisation_id = $2 and r.kind = 'channel'"
    " order by r.archived_at is not null, r.name, r.id limit $3",
)
# Those of organisations that the person has a room of come first.
OPEN_ROOMS = Query(
    OpenRoomRow,
    "with mine as (select x.id as room_id, x.organisation_id from chat.room x"
    "  where x.id = any($1::uuid[]) and x.organisation_id is not null)"
    " select f.id, f.organisation_id, f.name, f.about, f.joined, f.far from ("
    " select r.id, r.organisation_id, r.name, r.about, r.id in (select i.room_id from mine i) as joined,"
    "  r.organisation_id not in (select i.organisation_id from mine i) as far"
    "  from chat.room r where r.public and r.archived_at is null and r.organisation_id is not null"
    "  and ($2::uuid is null or r.organisation_id = $2)"
    "  and ($3::text is null or r.name ilike $3 or r.about ilike $3)) f"
    " where ($4::boolean is null or (f.far, f.organisation_id, f.name, f.id) > ($4, $5::uuid, $6::text, $7::uuid))"
    " order by f.far, f.organisation_id, f.name, f.id limit $8",
)


async def read(tx: Tx, room_id: UUID, account_id: UUID, seq: int) -> bool:
    """Positions go forward alone; False when it was as far already."""
    return bool(await tx.run(READ, room_id, account_id, seq))


async def mine(
    tx: Tx, account_id: UUID, after: tuple[datetime, UUID] | None, limit: int, only: UUID | None = None
) -> list[ListedRow]:
    """The person's rooms, the one where something was said last first; `only` one of them."""
    rooms = await _among(tx, account_id, only)
    at, id = after or (None, None)
    return await tx.all(MINE, account_id, at, id, limit, rooms) if rooms else []


async def _among(tx: Tx, account_id: UUID, only: UUID | None) -> list[UUID]:
    """The rooms to ask for what is the person's: a room that is named lies where it lies, whoever is in it."""
    if only is None:
        return await seats(tx, account_id)
    if tx.spread:
        await _seat_in(tx, account_id, only)
    return [only]


async def unread(tx: Tx, account_id: UUID) -> UnreadRow:
    rooms = await seats(tx, account_id)
    return await tx.one(UNREAD, account_id, rooms) if rooms else UnreadRow(0, 0, 0, 0)


async def search(
    tx: Tx, account_id: UUID, words: str, room_id: UUID | None, after: tuple[datetime, UUID] | None, limit: int
) -> list[FoundRow]:
    rooms = await _among(tx, account_id, room_id)
    at, id = after or (None, None)
    return await tx.all(SEARCH, account_id, words, rooms, at, id, limit) if rooms else []


async def channels_of(tx: Tx, account_id: UUID, organisation_id: UUID, limit: int) -> list[OwnChannelRow]:
    """By name, archived ones last."""
    rooms = await seats(tx, account_id)
    return await tx.all(CHANNELS_OF, account_id, organisation_id, limit, rooms) if rooms else []


async def open_rooms(
    tx: Tx,
    account_id: UUID,
    organisation_id: UUID | None,
    words: str,
    after: tuple[bool, UUID, str, UUID] | None,
    limit: int,
) -> list[OpenRoomRow]:
    """Whose name or description holds `words` as they are; of all organisations without one."""
    pattern = "%" + words.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_") + "%" if words else None
    far, org, name, id = after or (None, None, None, None)
    return await tx.all(OPEN_ROOMS, await seats(tx, account_id), organisation_id, pattern, far, org, name, id, limit)


# ------------------------------------------------------------------------------------------- all that is kept of somebody


async def kept_rooms(tx: Tx, account_id: UUID, after: UUID, limit: int) -> tuple[list[KeptRoomRow], UUID | None]:
    """Rooms that the transaction's own person is in, by id; and where the next begin, None after the last."""
    rooms = await tx.all(SEATS_AFTER, account_id, after, limit)
    await tx.pass_on("forecourt.rooms", rooms)
    rows = await tx.all(KEPT_ROOMS, account_id, rooms) if rooms else []
    return rows, rooms[-1] if len(rooms) == limit else None


async def kept_bans(tx: Tx, account_id: UUID, after: UUID, limit: int) -> tuple[list[KeptBanRow], UUID | None]:
    """Likewise where they are banned."""
    rooms = await rooms_with_something_of(tx, account_id, after, limit)
    rows = await tx.all(KEPT_BANS, account_id, rooms) if rooms else []
    return rows, rooms[-1] if len(rooms) == limit else None


async def kept_messages(tx: Tx, room_id: UUID, account_id: UUID, after: int, through: int, limit: int) -> list[KeptMessageRow]:
    """In the room that is open, numbered above `after` and up to `through`."""
    return await tx.all(KEPT_MESSAGES, room_id, after, through, account_id, limit)


async def kept_edits(
    tx: Tx, room_id: UUID, account_id: UUID, after: tuple[int, datetime], through: int, limit: int
) -> list[KeptEditRow]:
    return await tx.all(KEPT_EDITS, room_id, after[0], through, account_id, limit, after[1])


async def kept_reactions(
    tx: Tx, room_id: UUID, account_id: UUID, after: tuple[int, str], through: int, limit: int
) -> list[KeptReactionRow]:
    return await tx.all(KEPT_REACTIONS, room_id, after[0], through, account_id, limit, after[1])
