"""What chat keeps of a person: their rooms, what they wrote and said before, how they reacted, where they are banned, what they
chose. Also of rooms that they have left. What others wrote there is others'."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import NamedTuple, TypeVar
from uuid import UUID

from msgspec import Struct

from forecourt.kernel.context import Context
from forecourt.kernel.db import ModuleDatabase, Tx
from forecourt.kernel.errors import Invalid, Unauthenticated
from forecourt.kernel.records import RECORDS_AT_ONCE, Read, RecordKind, Records
from forecourt.modules.chat import queries
from forecourt.modules.chat.contract import Notify, QuietHours, RoomKind, RoomRole, called
from forecourt.modules.chat.names import Names
from forecourt.modules.chat.queries import BEFORE_ALL, KeptEditRow, KeptMessageRow, KeptReactionRow, KeptRoomRow
from forecourt.modules.chat.service.rooms import name_of

MESSAGES_AT_ONCE = 100
"""Sixteen kibibytes each at most."""
STRETCH = 20_000
"""Numbers of a room that are looked through at once."""
LOOKS = 50
"""Stretches of rooms that one portion looks at: a person may have written a word in each of many rooms."""
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
NO_PLACE = "is no place in these records"


class RoomRecord(Struct, frozen=True):
    """A room that they are in."""

    id: UUID
    kind: RoomKind
    name: str
    """As they see it: of a direct room the other person's."""
    organisation_id: UUID | None
    booking_id: UUID | None
    archived: bool
    role: RoomRole
    since: datetime
    muted_until: datetime | None
    read_seq: int
    """They have read as far as the message of this number."""
    notify: Notify


class MessageRecord(Struct, frozen=True):
    room_id: UUID
    seq: int
    id: UUID
    at: datetime
    text: str
    edited_at: datetime | None
    reply_to: UUID | None
    file_ids: list[UUID]


class SettingRecord(Struct, frozen=True):
    """What they chose for all their rooms."""

    receipts: bool
    quiet: QuietHours | None


class Place(NamedTuple):
    """Where a portion goes on: in this room, behind the message of this number; with a detail, behind that of what hangs on it
    (a moment, an emoji)."""

    room_id: UUID
    seq: int = 0
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.room_id} {self.seq} {self.detail}"


NOWHERE = Place(BEFORE_ALL)


class Mine(NamedTuple):
    """What is asked for in the room that is open: behind a place, up to a number."""

    account_id: UUID
    behind: Place
    through: int
    limit: int


Row = TypeVar("Row", KeptMessageRow, KeptEditRow, KeptReactionRow)


class Belongings:
    def __init__(self, db: ModuleDatabase, names: Names) -> None:
        self._db = db
        self._names = names

    async def rooms(self, ctx: Context, after: str) -> Read:
        me = _person(ctx)
        async with self._db.read(ctx.within(None)) as tx:
            rows, following = await queries.kept_rooms(tx, me, _id(after) if after else BEFORE_ALL, RECORDS_AT_ONCE)
        names = await self._names.of(ctx, [row.other_id for row in rows if row.other_id is not None])

        def told(row: KeptRoomRow) -> RoomRecord:
            return RoomRecord(
                id=row.id,
                kind=row.kind,
                name=called(row.name, row.subject, ctx.language) or name_of(row.other_id, names, ctx.language),
                organisation_id=row.organisation_id,
                booking_id=row.subject_id,
                archived=row.archived_at is not None,
                role=row.role,
                since=row.joined_at,
                muted_until=row.muted_until,
                read_seq=row.read_seq,
                notify=row.notify,
            )

        return Read([told(row) for row in rows], str(following or ""))

    async def messages(self, ctx: Context, after: str) -> Read:
        async def read(tx: Tx, mine: Mine) -> list[KeptMessageRow]:
            at = mine.behind
            return await queries.kept_messages(tx, at.room_id, mine.account_id, at.seq, mine.through, mine.limit)

        rows, following = await self._through_rooms(ctx, after, read, lambda _: "")
        return Read([_message(row) for row in rows], following)

    async def edits(self, ctx: Context, after: str) -> Read:
        async def read(tx: Tx, mine: Mine) -> list[KeptEditRow]:
            at = mine.behind
            key = (at.seq, _moment(at.detail)) if at.detail else (at.seq + 1, LONG_AGO)
            return await queries.kept_edits(tx, at.room_id, mine.account_id, key, mine.through, mine.limit)

        return Read(*await self._through_rooms(ctx, after, read, lambda row: row.said_at.isoformat()))

    async def reactions(self, ctx: Context, after: str) -> Read:
        async def read(tx: Tx, mine: Mine) -> list[KeptReactionRow]:
            at = mine.behind
            key = (at.seq, at.detail) if at.detail else (at.seq + 1, "")
            return await queries.kept_reactions(tx, at.room_id, mine.account_id, key, mine.through, mine.limit)

        return Read(*await self._through_rooms(ctx, after, read, lambda row: row.emoji))

    async def bans(self, ctx: Context, after: str) -> Read:
        me = _person(ctx)
        async with self._db.read(ctx.within(None)) as tx:
            rows, following = await queries.kept_bans(tx, me, _id(after) if after else BEFORE_ALL, RECORDS_AT_ONCE)
        return Read(rows, str(following or ""))

    async def settings(self, ctx: Context, after: str) -> Read:
        me = _person(ctx)
        async with self._db.read(ctx.within(None)) as tx:
            row = await queries.setting(tx, me)
        return Read([SettingRecord(row.receipts, row.quiet)])

    async def _through_rooms(
        self,
        ctx: Context,
        after: str,
        read: Callable[[Tx, Mine], Awaitable[list[Row]]],
        detail: Callable[[Row], str],
    ) -> tuple[list[Row], str]:
        """The next of them, room by room. Looks at a part of the rooms alone, and so may find none and yet not be at the end."""
        me, found, looks = _person(ctx), list[Row](), 0
        place = _place(after)
        async with self._db.read(ctx.within(None)) as tx:
            rooms = await queries.rooms_with_something_of(tx, me, _just_before(place.room_id), LOOKS)
            for room_id in rooms:
                # Also of a room that they have left, where nothing but their own is asked for.
                await queries.open_as_the_house(tx, room_id)
                last = (await queries.position(tx, room_id)).last_seq
                place = place if place.room_id == room_id else Place(room_id)
                while place.seq < last or place.detail:
                    if looks == LOOKS:
                        return found, str(place)
                    looks += 1
                    through = min(place.seq + STRETCH, last)
                    rows = await read(tx, Mine(me, place, through, MESSAGES_AT_ONCE - len(found)))
                    found += rows
                    if len(found) == MESSAGES_AT_ONCE:
                        return found, str(Place(room_id, rows[-1].seq, detail(rows[-1])))
                    place = Place(room_id, through)
        return found, str(place) if len(rooms) == LOOKS else ""


def records(db: ModuleDatabase, names: Names) -> Records:
    """Implements ChatRecords."""
    kept = Belongings(db, names)
    return Records(
        RecordKind("rooms", kept.rooms),
        RecordKind("messages", kept.messages),
        RecordKind("message_edits", kept.edits),
        RecordKind("reactions", kept.reactions),
        RecordKind("room_bans", kept.bans),
        RecordKind("chat_settings", kept.settings),
    )


def _message(row: KeptMessageRow) -> MessageRecord:
    return MessageRecord(
        room_id=row.room_id,
        seq=row.seq,
        id=row.id,
        at=row.created_at,
        text=row.text,
        edited_at=row.edited_at,
        reply_to=row.reply_to,
        file_ids=[file.id for file in row.attachments],
    )


def _person(ctx: Context) -> UUID:
    if ctx.account_id is None:
        raise Unauthenticated
    return ctx.account_id


def _place(after: str) -> Place:
    if not after:
        return NOWHERE
    room_id, _, rest = after.partition(" ")
    seq, _, detail = rest.partition(" ")
    if not seq.isdecimal():
        raise Invalid.field("after", NO_PLACE)
    return Place(_id(room_id), int(seq), detail)


def _id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise Invalid.field("after", NO_PLACE) from None


def _moment(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise Invalid.field("after", NO_PLACE) from None


def _just_before(room_id: UUID) -> UUID:
    """So that the room itself comes first, when something of theirs is still in it."""
    return UUID(int=max(room_id.int - 1, 0))
