"""Who is in a room: joining, bringing others, leaving, roles; and what a member wants to be told of."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from msgspec import Meta, Struct

from forecourt.kernel.context import Context
from forecourt.kernel.errors import Forbidden, Invalid, NotFound
from forecourt.kernel.events import emit
from forecourt.kernel.paging import Keyset, Page
from forecourt.kernel.presence import MAX_PEOPLE
from forecourt.modules.chat import queries, rules
from forecourt.modules.chat.contract import (
    MAX_ADDED,
    MAX_ROOMS,
    LastRoomOwner,
    Leaving,
    Member,
    MemberJoined,
    MemberLeft,
    Notify,
    RoomFull,
    RoomKind,
    RoomRole,
    TooManyRooms,
)
from forecourt.modules.chat.rules import Gone, MemberIs
from forecourt.modules.chat.service.base import Base, Turn, person

MEMBERS = Keyset("members", tuple[UUID])


class NewMembers(Struct, frozen=True, forbid_unknown_fields=True):
    """Without ids: I join myself."""

    account_ids: Annotated[list[UUID], Meta(max_length=MAX_ADDED)] = []


class RoleChange(Struct, frozen=True, forbid_unknown_fields=True):
    account_id: UUID
    role: RoomRole


class Membership(Base):
    async def members(self, ctx: Context, room_id: UUID, limit: int, cursor: str | None) -> Page[Member]:
        """By id. Raises NotFound."""
        after = MEMBERS.decode(cursor)
        async with self.seen(ctx, room_id) as (tx, _, _):
            rows = await queries.members(tx, room_id, None if after is None else after[0], limit + 1)
        return MEMBERS.page(rows, limit, lambda row: (row.account_id,)).map(lambda row: row.shown())

    async def company(self, ctx: Context, room_id: UUID) -> list[UUID]:
        """The members of a room of mine, who may see each other come and go; at most 1,000, by id. Raises NotFound."""
        async with self.seen(ctx, room_id) as (tx, _, part):
            if part.role is None:
                raise NotFound
            rows = await queries.members(tx, room_id, None, MAX_PEOPLE)
        return [row.account_id for row in rows]

    async def add(self, ctx: Context, room_id: UUID, new: NewMembers) -> list[Member]:
        """Those who joined. Raises NotFound, NotAMember, Forbidden, Banned, FixedMembership, RoomFull, Invalid, RoomArchived."""
        me = person(ctx)
        wanted = list(dict.fromkeys(new.account_ids))
        if not wanted or wanted == [me]:
            return await self._join(ctx, room_id, me)
        known = await self.names.of(ctx, wanted)
        async with self.turn(ctx, room_id) as turn:
            rules.may_add(turn.standing, turn.part)
            for n, id in enumerate(wanted):
                if id not in known:
                    raise Invalid.field(f"account_ids[{n}]", "nobody has this account")
            banned = await queries.banned_among(turn.tx, room_id, wanted, self.clock.now())
            if banned:
                raise Invalid.field(f"account_ids[{wanted.index(banned[0])}]", "is banned from this room")
            return await self.bring_in(turn, [(i, RoomRole.MEMBER) for i in wanted])

    async def _join(self, ctx: Context, room_id: UUID, me: UUID) -> list[Member]:
        async with self.turn(ctx, room_id) as turn:
            if turn.part.role is not None:
                return []
            rules.may_join(turn.standing, turn.part, self.clock.now())
            if await queries.rooms_of(turn.tx, me) >= MAX_ROOMS:
                raise TooManyRooms
            return await self.bring_in(turn, [(me, RoomRole.MEMBER)])

    async def bring_in(self, turn: Turn, joining: list[tuple[UUID, RoomRole]]) -> list[Member]:
        """Those of them who were not there. They have nothing unread. Raises RoomFull."""
        room = turn.room
        rows = await queries.insert_members(turn.tx, room.id, joining, self.clock.now(), turn.last_seq)
        if rows and await queries.member_count(turn.tx, room.id) > rules.room_size(room.kind):
            raise RoomFull
        for row in rows:
            turn.tell("member.joined", MemberIs(row.shown()))
            emit(turn.tx, MemberJoined(organisation_id=room.organisation_id, room_id=room.id, account_id=row.account_id))
        return [row.shown() for row in rows]

    async def leave(self, ctx: Context, room_id: UUID) -> None:
        """Raises NotFound, NotAMember, FixedMembership; LastRoomOwner while others stay whom nobody would look after."""
        me = person(ctx)
        async with self.turn(ctx, room_id) as turn:
            rules.may_leave(turn.standing, turn.part)
            if turn.part.role is RoomRole.OWNER and await queries.owners(turn.tx, room_id) == 1:
                await self._hand_on(turn, me)
            await self.let_go(turn, me, Leaving.LEFT)

    async def _hand_on(self, turn: Turn, me: UUID) -> None:
        """The last owner of a group leaves it to who has been there longest; that of a channel has to choose."""
        heir = await queries.next_owner(turn.tx, turn.room.id, me)
        if heir is None:
            return
        if turn.room.kind is RoomKind.CHANNEL:
            raise LastRoomOwner
        await self.give_role(turn, heir, RoomRole.OWNER)

    async def remove(self, ctx: Context, room_id: UUID, account_id: UUID) -> None:
        """A moderator takes somebody out; oneself is leaving. Raises NotFound, NotAMember, Forbidden, FixedMembership."""
        if account_id == person(ctx):
            await self.leave(ctx, room_id)
            return
        async with self.turn(ctx, room_id) as turn:
            await self.dismiss(turn, account_id, Leaving.REMOVED)

    async def dismiss(self, turn: Turn, account_id: UUID, how: Leaving) -> None:
        """Raises Forbidden for who has as much to say, NotFound for who is not there."""
        rules.may_leave(turn.standing, turn.part)
        rules.may_moderate(turn.standing, turn.part)
        await self.outranked(turn, account_id)
        await self.let_go(turn, account_id, how)

    async def outranked(self, turn: Turn, account_id: UUID) -> RoomRole:
        """The role of a member whom the acting person may deal with. Raises Forbidden, NotFound."""
        other = await queries.part(turn.tx, turn.room.id, account_id)
        if other.role is None:
            raise NotFound
        rules.outranks(rules.member(turn.standing, turn.part), other.role)
        return other.role

    async def let_go(self, turn: Turn, account_id: UUID, how: Leaving) -> None:
        room = turn.room
        if await queries.delete_member(turn.tx, room.id, account_id):
            turn.tell("member.left", Gone(account_id))
            emit(turn.tx, MemberLeft(organisation_id=room.organisation_id, room_id=room.id, account_id=account_id, how=how))
            self.shut_out(turn.tx, room.id, account_id)

    async def set_role(self, ctx: Context, room_id: UUID, change: RoleChange) -> Member:
        """Owners give and take roles. Raises NotFound, NotAMember, Forbidden, LastRoomOwner."""
        async with self.turn(ctx, room_id) as turn:
            rules.may_own(turn.standing, turn.part)
            if turn.room.kind is RoomKind.DIRECT:
                raise Forbidden("In a direct room both are equal.")
            other = await queries.part(turn.tx, room_id, change.account_id)
            if other.role is None:
                raise NotFound
            if other.role is RoomRole.OWNER and change.role is not RoomRole.OWNER and await queries.owners(turn.tx, room_id) == 1:
                raise LastRoomOwner
            return await self.give_role(turn, change.account_id, change.role)

    async def give_role(self, turn: Turn, account_id: UUID, role: RoomRole) -> Member:
        await queries.set_role(turn.tx, turn.room.id, account_id, role)
        return await self.tell_of(turn, account_id)

    async def tell_of(self, turn: Turn, account_id: UUID) -> Member:
        """Tells how a member is now."""
        member = (await queries.member(turn.tx, turn.room.id, account_id)).shown()
        turn.tell("member.changed", MemberIs(member))
        return member

    async def notify(self, ctx: Context, room_id: UUID, wanted: Notify) -> None:
        """What of the room its member wants to be told of. Their own affair: nobody else is told. Raises NotFound."""
        me = person(ctx)
        async with self.db.tx(ctx.within(None)) as tx:
            await queries.open_room(tx, room_id)
            if (await queries.part(tx, room_id, me)).role is None:
                raise NotFound
            await queries.set_notify(tx, room_id, me, wanted)
