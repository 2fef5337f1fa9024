"""Keeping a room pleasant: mute, slow mode, remove, ban."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta, Struct

from forecourt.kernel.context import Context
from forecourt.kernel.errors import Forbidden, Invalid
from forecourt.kernel.events import emit
from forecourt.kernel.paging import Keyset, Page
from forecourt.modules.chat import queries, rules
from forecourt.modules.chat.contract import Leaving, Moderated, RoomKind, RoomRole
from forecourt.modules.chat.queries import BanRow
from forecourt.modules.chat.rules import RoomIs
from forecourt.modules.chat.service.base import Turn, person
from forecourt.modules.chat.service.membership import Membership

BANS = Keyset("bans", tuple[UUID])
MUTE_MIN = 60
"""How long a mute lasts that nobody gave a length."""


class ModerationAction(StrEnum):
    MUTE = "mute"
    """For `minutes`, or an hour."""
    UNMUTE = "unmute"
    SLOW_MODE = "slow_mode"
    """One message every `seconds` from each member; 0 ends it."""
    REMOVE = "remove"
    """Out of the room; they may come back."""
    BAN = "ban"
    """Out of the room for `minutes`, or for good."""
    UNBAN = "unban"


class Moderation(Struct, frozen=True, forbid_unknown_fields=True):
    """Every action but `slow_mode` is about `account_id`."""

    action: ModerationAction
    account_id: UUID | None = None
    minutes: Annotated[int, Meta(ge=1, le=525_600)] | None = None
    seconds: Annotated[int, Meta(ge=0, le=3_600)] | None = None


class Moderating(Membership):
    async def moderate(self, ctx: Context, room_id: UUID, deed: Moderation) -> None:
        """Raises NotFound, NotAMember, Forbidden, Invalid, FixedMembership."""
        about = deed.account_id
        if (about is None) != (deed.action is ModerationAction.SLOW_MODE):
            raise Invalid.field("account_id", "say who" if about is None else "slow mode is everybody's")
        async with self.turn(ctx, room_id) as turn:
            rules.may_moderate(turn.standing, turn.part)
            if turn.room.kind is RoomKind.DIRECT:
                raise Forbidden("In a direct room both are equal.")
            await self._do(turn, person(ctx), deed, about)
            emit(
                turn.tx,
                Moderated(organisation_id=turn.room.organisation_id, room_id=room_id, action=deed.action.value, account_id=about),
            )

    async def _do(self, turn: Turn, me: UUID, deed: Moderation, about: UUID | None) -> None:
        now = self.clock.now()
        if about is None:
            await self._slow(turn, deed)
            return
        match deed.action:
            case ModerationAction.MUTE:
                await self.outranked(turn, about)
                await queries.mute(turn.tx, turn.room.id, about, now + timedelta(minutes=deed.minutes or MUTE_MIN))
                await self.tell_of(turn, about)
            case ModerationAction.UNMUTE:
                await self.outranked(turn, about)
                await queries.mute(turn.tx, turn.room.id, about, None)
                await self.tell_of(turn, about)
            case ModerationAction.REMOVE:
                await self.dismiss(turn, about, Leaving.REMOVED)
            case ModerationAction.BAN:
                # Also of who is not there: they shall not come.
                other = await queries.part(turn.tx, turn.room.id, about)
                rules.outranks(turn.part.role or RoomRole.MEMBER, other.role or RoomRole.MEMBER)
                until = None if deed.minutes is None else now + timedelta(minutes=deed.minutes)
                await queries.ban(turn.tx, turn.room.id, about, me, now, until)
                await self.let_go(turn, about, Leaving.BANNED)
            case ModerationAction.UNBAN:
                await queries.unban(turn.tx, turn.room.id, about)
            case ModerationAction.SLOW_MODE:
                raise AssertionError("slow mode is about nobody")

    async def _slow(self, turn: Turn, deed: Moderation) -> None:
        if deed.seconds is None:
            raise Invalid.field("seconds", "say how many; 0 ends slow mode")
        if deed.seconds != turn.room.slow_mode_s:
            changed = msgspec.structs.replace(turn.room, slow_mode_s=deed.seconds)
            await queries.save_room(turn.tx, changed)
            turn.tell("room.changed", RoomIs(msgspec.structs.replace(changed, version=changed.version + 1).facts()))

    async def bans(self, ctx: Context, room_id: UUID, limit: int, cursor: str | None) -> Page[BanRow]:
        """For moderators. Raises NotFound, NotAMember, Forbidden."""
        after = BANS.decode(cursor)
        async with self.seen(ctx, room_id) as (tx, room, part):
            standing = rules.Standing(room.kind, room.public, room.archived_at is not None, 0)
            rules.may_moderate(standing, rules.Part(part.role))
            rows = await queries.bans(tx, room_id, self.clock.now(), None if after is None else after[0], limit + 1)
        return BANS.page(rows, limit, lambda row: (row.account_id,))
