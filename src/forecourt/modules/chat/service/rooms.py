"""Making rooms, finding them, changing what they are."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated
from uuid import UUID, uuid4

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from forecourt.kernel.context import Context
from forecourt.kernel.errors import Invalid, NotFound, PreconditionFailed
from forecourt.kernel.events import emit
from forecourt.kernel.ids import new_id
from forecourt.kernel.paging import Keyset, Page
from forecourt.kernel.web import formats
from forecourt.modules.chat import queries, rules
from forecourt.modules.chat.contract import (
    MAX_ADDED,
    MAX_ROOMS,
    Attachment,
    Member,
    Notify,
    RoomChanged,
    RoomCreated,
    RoomKind,
    RoomName,
    RoomRole,
    RoomSubject,
    TooManyRooms,
    called,
)
from forecourt.modules.chat.queries import ListedRow, OwnChannelRow, ReaderRow, RoomRow
from forecourt.modules.chat.rules import RoomIs
from forecourt.modules.chat.service.base import Base, person
from forecourt.modules.people.contract import PersonCard

MINE = Keyset("rooms", tuple[datetime, UUID])
OPEN_ROOMS = Keyset("open rooms", tuple[bool, UUID, str, UUID])
MEMBERS_SHOWN = 100
READERS_SHOWN = 200


class NewRoom(Struct, frozen=True, forbid_unknown_fields=True):
    """`member_ids` are the others; the caller is always in the room."""

    kind: RoomKind
    name: RoomName | None = None
    member_ids: Annotated[list[UUID], Meta(max_length=MAX_ADDED)] = []
    about: Annotated[str, Meta(max_length=500)] = ""


class NewChannel(Struct, frozen=True, forbid_unknown_fields=True):
    """A channel of an organisation. Everybody who is signed in finds and may join a public one."""

    name: RoomName
    about: Annotated[str, Meta(max_length=500)] = ""
    public: bool = True
    member_ids: Annotated[list[UUID], Meta(max_length=MAX_ADDED)] = []


class RoomPatch(Struct, frozen=True, forbid_unknown_fields=True):
    """What is left out stays. `retention_days` null keeps messages for ever."""

    name: RoomName | UnsetType = UNSET
    about: Annotated[str, Meta(max_length=500)] | UnsetType = UNSET
    public: bool | UnsetType = UNSET
    retention_days: Annotated[int, Meta(ge=1, le=3650)] | UnsetType | None = UNSET
    archived: bool | UnsetType = UNSET


class LastMessage(Struct, frozen=True):
    """`text` holds the first 500 characters."""

    id: UUID
    seq: int
    sender_id: UUID
    text: str
    created_at: datetime
    deleted: bool
    attachments: list[Attachment]


class RoomView(Struct, frozen=True, kw_only=True):
    """A room in its member's list. `title` is what to call it, in the caller's words: its name, or the other person's, also when
    their account was deleted."""

    id: UUID
    kind: RoomKind
    name: str
    title: str
    organisation_id: UUID | None
    subject_id: UUID | None
    other_id: UUID | None
    public: bool
    archived: bool
    role: RoomRole
    notify: Notify
    epoch: str
    last_seq: int
    read_seq: int
    unread: int
    mentions: int
    last_message: LastMessage | None
    moved_at: datetime
    """When something was last said, or the room was entered."""
    subject: RoomSubject | None = None
    """What a room is called after that a booking names; null where a person chose the name."""


class RoomDetail(Struct, frozen=True, kw_only=True):
    """A room as it is at `(epoch, last_seq)`: a client that applies what happens afterwards stays right.

    `role` is null for who looks at a public room without being in it. `members` are the first 100 by id.
    """

    id: UUID
    kind: RoomKind
    name: str
    title: str
    about: str
    organisation_id: UUID | None
    subject_id: UUID | None
    other_id: UUID | None
    public: bool
    archived: bool
    slow_mode_s: int
    retention_days: int | None
    version: int
    epoch: str
    last_seq: int
    role: RoomRole | None
    notify: Notify
    muted_until: datetime | None
    read_seq: int
    unread: int
    mentions: int
    member_count: int
    members: list[Member]
    readers: list[ReaderRow]
    """How far members have read who show it; empty for who does not show it themselves."""
    pins: list[UUID]
    subject: RoomSubject | None = None
    """What a room is called after that a booking names; null where a person chose the name."""


class OpenRoom(Struct, frozen=True):
    """A public channel, for who looks for one."""

    id: UUID
    organisation_id: UUID
    name: str
    about: str
    joined: bool


class Made(Struct, frozen=True):
    room: RoomDetail
    fresh: bool
    """False when two people have had their direct room before."""


class Rooms(Base):
    # --- making

    async def create(self, ctx: Context, new: NewRoom) -> Made:
        """Raises Invalid, TooManyRooms."""
        me = person(ctx)
        others = [i for i in dict.fromkeys(new.member_ids) if i != me]
        match new.kind:
            case RoomKind.DIRECT:
                return await self._direct(ctx, me, others, new)
            case RoomKind.GROUP | RoomKind.CHANNEL:
                names = await self._existing(ctx, others)
                if new.kind is RoomKind.CHANNEL:
                    name = _of_channel(new.name)
                else:
                    name = (new.name or "").strip() or rules.group_name(
                        [card.name for card in (await self.names.of(ctx, [me])).values()] + names
                    )
                room_id = await self._make(ctx, None, new.kind, name, new.about, public=False, others=others)
                return Made(await self.look(ctx, room_id), fresh=True)
            case RoomKind.BOOKING:
                raise Invalid.field("kind", "rooms of bookings are made with the booking")

    async def create_channel(self, ctx: Context, organisation_id: UUID, new: NewChannel) -> RoomDetail:
        """Staff make one for their organisation; who may, the caller has decided. Raises Invalid, TooManyRooms."""
        me, name = person(ctx), _of_channel(new.name)
        others = [i for i in dict.fromkeys(new.member_ids) if i != me]
        await self._existing(ctx, others)
        room_id = await self._make(ctx, organisation_id, RoomKind.CHANNEL, name, new.about, public=new.public, others=others)
        return await self.look(ctx, room_id)

    async def _existing(self, ctx: Context, ids: list[UUID]) -> list[str]:
        """Their names. Raises Invalid at `member_ids` for who has no account."""
        cards = await self.names.of(ctx, ids)
        for n, id in enumerate(ids):
            if id not in cards:
                raise Invalid.field(f"member_ids[{n}]", "nobody has this account")
        return [cards[i].name for i in ids]

    async def _direct(self, ctx: Context, me: UUID, others: list[UUID], new: NewRoom) -> Made:
        if len(others) != 1:
            raise Invalid.field("member_ids", "name the one other person")
        if new.name is not None:
            raise Invalid.field("name", "a direct room is called by its people")
        await self._existing(ctx, others)
        one, other = sorted((me, others[0]))
        async with self.db.read(ctx.within(None)) as tx:
            known = await queries.pair(tx, one, other)
        if known is not None:
            return Made(await self.look(ctx, known), fresh=False)
        try:
            made = await self._make(ctx, None, RoomKind.DIRECT, "", "", public=False, others=others, pair=(one, other))
        except _PairTaken:
            # Both wrote to each other at once: the first room is theirs.
            return await self._direct(ctx, me, others, new)
        return Made(await self.look(ctx, made), fresh=True)

    async def _make(
        self,
        ctx: Context,
        organisation_id: UUID | None,
        kind: RoomKind,
        name: str,
        about: str,
        *,
        public: bool,
        others: list[UUID],
        pair: tuple[UUID, UUID] | None = None,
    ) -> UUID:
        me, now, room_id = person(ctx), self.clock.now(), ctx.idempotency_id or new_id()
        equals = kind is RoomKind.DIRECT
        joining = [(me, RoomRole.MEMBER if equals else RoomRole.OWNER), *((i, RoomRole.MEMBER) for i in others)]
        async with self.db.tx(ctx.within(None)) as tx:
            if await queries.rooms_of(tx, me) >= MAX_ROOMS:
                raise TooManyRooms
            await queries.open_as_the_house(tx, room_id)
            made = await queries.insert_room(tx, room_id, organisation_id, kind, name, about, public, None, me, now, uuid4())
            if not made:
                return room_id  # the same request, sent again
            if pair is not None and not await queries.insert_pair(tx, *pair, room_id):
                raise _PairTaken
            await queries.insert_members(tx, room_id, joining, now, 0)
            ids = [a for a, _ in joining]
            emit(tx, RoomCreated(organisation_id=organisation_id, room_id=room_id, kind=kind, member_ids=ids))
        return room_id

    # --- finding

    async def mine(self, ctx: Context, limit: int, cursor: str | None) -> Page[RoomView]:
        """The person's rooms, the one where something was said last first."""
        me = person(ctx)
        async with self.db.read(ctx.within(None)) as tx:
            rows = await queries.mine(tx, me, MINE.decode(cursor), limit + 1)
        names = await self.names.of(ctx, [r.other_id for r in rows if r.other_id is not None])
        return MINE.page(rows, limit, lambda row: (row.moved_at, row.id)).map(lambda row: view(row, names, ctx.language))

    async def mine_one(self, ctx: Context, room_id: UUID) -> RoomView:
        """One of the person's rooms as it stands in the list. Raises NotFound."""
        me = person(ctx)
        async with self.db.read(ctx.within(None)) as tx:
            rows = await queries.mine(tx, me, None, 1, only=room_id)
        if not rows:
            raise NotFound
        names = await self.names.of(ctx, [r.other_id for r in rows if r.other_id is not None])
        return view(rows[0], names, ctx.language)

    async def look(self, ctx: Context, room_id: UUID) -> RoomDetail:
        """Raises NotFound."""
        me = person(ctx)
        async with self.seen(ctx, room_id) as (tx, room, part):
            # The position first: what is read after it may only be newer, and applying an event twice changes nothing.
            position = await queries.position(tx, room_id)
            members = await queries.members(tx, room_id, None, MEMBERS_SHOWN)
            count = len(members) if len(members) < MEMBERS_SHOWN else await queries.member_count(tx, room_id)
            shows = (await queries.setting(tx, me)).receipts
            readers = await queries.read_as_far(tx, room_id, READERS_SHOWN) if shows and part.role else []
            pins = [m.id for m in await queries.pinned(tx, room_id, 50)]
            listed = await queries.mine(tx, me, None, 1, only=room_id) if part.role else []
        mine = listed[0] if listed else None
        other = mine.other_id if mine else None
        names = await self.names.of(ctx, [] if other is None else [other])
        return RoomDetail(
            id=room.id,
            kind=room.kind,
            name=room.name,
            title=called(room.name, room.subject, ctx.language) or name_of(other, names, ctx.language),
            about=room.about,
            organisation_id=room.organisation_id,
            subject_id=room.subject_id,
            other_id=other,
            public=room.public,
            archived=room.archived_at is not None,
            slow_mode_s=room.slow_mode_s,
            retention_days=room.retention_days,
            version=room.version,
            epoch=str(position.epoch),
            last_seq=position.last_seq,
            role=part.role,
            notify=part.notify or Notify.ALL,
            muted_until=part.muted_until,
            read_seq=part.read_seq or 0,
            unread=mine.unread if mine else 0,
            mentions=mine.mentions if mine else 0,
            member_count=count,
            members=[m.shown() for m in members],
            readers=readers,
            pins=pins,
            subject=room.subject,
        )

    async def open_rooms(
        self, ctx: Context, organisation_id: UUID | None, words: str, limit: int, cursor: str | None
    ) -> Page[OpenRoom]:
        """Public channels, of one organisation by name; of all, those of organisations first that the person has a room of."""
        me = person(ctx)
        if "\x00" in words:
            raise Invalid.field("q", "holds a character that no name has")
        async with self.db.read(ctx.within(None)) as tx:
            rows = await queries.open_rooms(tx, me, organisation_id, words.strip(), OPEN_ROOMS.decode(cursor), limit + 1)
        page = OPEN_ROOMS.page(rows, limit, lambda row: (row.far, row.organisation_id, row.name, row.id))
        return page.map(lambda row: OpenRoom(row.id, row.organisation_id, row.name, row.about, row.joined))

    async def channels_of(self, ctx: Context, organisation_id: UUID) -> list[OwnChannelRow]:
        """The organisation's channels that the person is in, by name."""
        me = person(ctx)
        async with self.db.read(ctx.within(None)) as tx:
            return await queries.channels_of(tx, me, organisation_id, MAX_ROOMS)

    # --- changing

    async def change(self, ctx: Context, room_id: UUID, patch: RoomPatch, if_match: int | None) -> RoomDetail:
        """By its owners. Raises NotFound, NotAMember, Forbidden, Invalid, PreconditionFailed."""
        async with self.turn(ctx, room_id) as turn:
            rules.may_own(turn.standing, turn.part)
            if if_match is not None and if_match != turn.room.version:
                raise PreconditionFailed
            changed = _changed(turn.room, patch, self.clock.now(), ctx.language)
            fields = [
                f
                for f in ("name", "about", "public", "retention_days", "archived_at")
                if getattr(changed, f) != getattr(turn.room, f)
            ]
            if fields:
                await queries.save_room(turn.tx, changed)
                if "retention_days" in fields:
                    await queries.set_tidy_at(turn.tx, room_id, None if changed.retention_days is None else self.clock.now())
                after = msgspec.structs.replace(changed, version=turn.room.version + 1)
                turn.tell("room.changed", RoomIs(after.facts()))
                emit(turn.tx, RoomChanged(organisation_id=changed.organisation_id, room_id=room_id, fields=fields))
        return await self.look(ctx, room_id)


class _PairTaken(Exception):
    """Somebody made the direct room of these two a moment ago."""


def _of_channel(name: str | None) -> str:
    """Raises Invalid for none, and for one of spaces alone."""
    plain = (name or "").strip()
    if not plain:
        raise Invalid.field("name", "a channel needs a name")
    return plain


def _changed(room: RoomRow, patch: RoomPatch, now: datetime, language: str) -> RoomRow:
    """Raises Invalid for what does not fit the kind of room. Who sends back what they were told renames nothing."""
    changes: dict[str, object] = {}
    if isinstance(patch.name, str):
        if room.kind is RoomKind.DIRECT:
            raise Invalid.field("name", "a direct room is called by its people")
        typed = patch.name.strip()
        changes["name"] = room.name if typed in ("", called(room.name, room.subject, language)) else typed
    if isinstance(patch.about, str):
        changes["about"] = patch.about.strip()
    if isinstance(patch.public, bool):
        if patch.public and (room.kind is not RoomKind.CHANNEL or room.organisation_id is None):
            raise Invalid.field("public", "only an organisation's channels can be public")
        changes["public"] = patch.public
    if not isinstance(patch.retention_days, UnsetType):
        changes["retention_days"] = patch.retention_days
    if isinstance(patch.archived, bool) and patch.archived != (room.archived_at is not None):
        changes["archived_at"] = now if patch.archived else None
    return msgspec.structs.replace(room, **changes)


def _last(row: ListedRow) -> LastMessage | None:
    id, seq, sender_id, at = row.last_id, row.last_seq_of_message, row.last_sender_id, row.last_created_at
    if id is None or seq is None or sender_id is None or at is None:
        return None
    return LastMessage(id, seq, sender_id, row.last_body or "", at, bool(row.last_deleted), row.last_attachments or [])


def name_of(account_id: UUID | None, names: Mapping[UUID, PersonCard], language: str) -> str:
    """Of the other person of a direct room, also of who was erased; empty where nobody is asked about."""
    if account_id is None:
        return ""
    return names[account_id].name if account_id in names else formats.deleted_account(language)


def view(row: ListedRow, names: Mapping[UUID, PersonCard], language: str) -> RoomView:
    return RoomView(
        id=row.id,
        kind=row.kind,
        name=row.name,
        title=called(row.name, row.subject, language) or name_of(row.other_id, names, language),
        organisation_id=row.organisation_id,
        subject_id=row.subject_id,
        other_id=row.other_id,
        public=row.public,
        archived=row.archived,
        role=row.role,
        notify=row.notify,
        epoch=str(row.epoch),
        last_seq=row.last_seq,
        read_seq=row.read_seq,
        unread=row.unread,
        mentions=row.mentions,
        last_message=_last(row),
        moved_at=row.moved_at,
        subject=row.subject,
    )
