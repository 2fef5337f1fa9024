"""How far people have read, what waits for them, who is typing, what they chose; and finding what was said."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated
from uuid import UUID
from zoneinfo import available_timezones

import msgspec
from msgspec import Meta, Struct

from forecourt.kernel.context import Context
from forecourt.kernel.db import Tx
from forecourt.kernel.errors import Invalid, NotFound
from forecourt.kernel.paging import Keyset, Page, Paged
from forecourt.kernel.topics import TopicEvent
from forecourt.modules.chat import queries, rules
from forecourt.modules.chat.contract import MAX_ROOMS, QuietHours, Seq, Unread, called
from forecourt.modules.chat.queries import FoundRow, PlaceRow, SettingRow
from forecourt.modules.chat.service.base import Base, person, topic_of

SEARCHED = Keyset("found messages", tuple[datetime, UUID])


class ReadUpTo(Struct, frozen=True, forbid_unknown_fields=True):
    seq: Seq


class Setting(Struct, frozen=True, forbid_unknown_fields=True):
    """What I chose for all my rooms. With `receipts` others see how far I have read, and I how far they have."""

    receipts: bool = True
    quiet: QuietHours | None = None


class SearchQuery(Paged, forbid_unknown_fields=True, kw_only=True):
    q: Annotated[str, Meta(min_length=1, max_length=200, description='Words; "a phrase", or, -without')]
    room_id: UUID | None = None


class HasRead(Struct, frozen=True):
    """How far somebody has read; 0: they show it no longer."""

    account_id: UUID
    seq: int


class IsTyping(Struct, frozen=True):
    account_id: UUID


class Read(Struct, frozen=True):
    read_seq: int
    unread: int
    mentions: int


class Reading(Base):
    async def read(self, ctx: Context, room_id: UUID, seq: int) -> Read:
        """The person has read as far as `seq`; positions only go forward. Raises NotFound."""
        me = person(ctx)
        async with self.db.tx(ctx.within(None)) as tx:
            await queries.open_room(tx, room_id)
            if (await queries.part(tx, room_id, me)).role is None:
                raise NotFound
            last = (await queries.position(tx, room_id)).last_seq
            moved = await queries.read(tx, room_id, me, min(seq, last))
            if moved:
                shows = (await queries.setting(tx, me)).receipts
                self._note(tx, room_id, HasRead(me, min(seq, last)), self.announcer.exchange if shows else self.announcer.confide)
            row = (await queries.mine(tx, me, None, 1, only=room_id))[0]
        return Read(row.read_seq, row.unread, row.mentions)

    def _note(self, tx: Tx, room_id: UUID, what: HasRead, tell: Callable[[str, UUID, TopicEvent], None]) -> None:
        """After the commit, to the person's own sockets; and to whom `tell` tells it besides."""
        event = TopicEvent(None, "read", msgspec.json.encode(what))
        tx.after_commit(lambda: tell(topic_of(room_id), what.account_id, event))

    async def typing(self, ctx: Context, room_id: UUID) -> None:
        """Others see it for some seconds. Raises as sending does: who may not write types nothing."""
        me = person(ctx)
        async with self.seen(ctx, room_id) as (tx, room, row):
            part = rules.Part(row.role, row.muted_until, None, row.banned, row.banned_until)
            standing = rules.Standing(room.kind, room.public, room.archived_at is not None, 0)
            rules.may_write(standing, part, self.clock.now())
            self.whisper(tx, room_id, "typing", IsTyping(me))

    async def unread(self, ctx: Context) -> Unread:
        me = person(ctx)
        async with self.db.read(ctx.within(None)) as tx:
            row = await queries.unread(tx, me)
        return Unread(row.messages, row.mentions, row.rooms, row.waiting)

    async def still_unread(self, ctx: Context, room_id: UUID, seq: int, account_ids: list[UUID]) -> list[UUID]:
        async with self.db.read(ctx.within(None)) as tx:
            await queries.open_as_the_house(tx, room_id)
            return await queries.unread_by(tx, room_id, account_ids[:200], seq)

    async def quiet_hours(self, ctx: Context) -> QuietHours | None:
        return (await self.setting(ctx)).quiet

    async def setting(self, ctx: Context) -> Setting:
        me = person(ctx)
        async with self.db.read(ctx.within(None)) as tx:
            row = await queries.setting(tx, me)
        return Setting(row.receipts, row.quiet)

    async def choose(self, ctx: Context, setting: Setting) -> Setting:
        """Raises Invalid at `quiet.timezone`."""
        me = person(ctx)
        if setting.quiet is not None and setting.quiet.timezone not in available_timezones():
            raise Invalid.field("quiet.timezone", "is not an IANA time zone")
        async with self.db.tx(ctx.within(None)) as tx:
            shown = (await queries.setting(tx, me)).receipts
            await queries.save_setting(tx, SettingRow(me, setting.receipts, setting.quiet), self.clock.now())
            if setting.receipts != shown:
                for place in await queries.places(tx, me, MAX_ROOMS):
                    self._show(tx, me, place, setting)
        return setting

    def _show(self, tx: Tx, me: UUID, place: PlaceRow, setting: Setting) -> None:
        """After the commit, others in the room see from now on how far I have read, or no longer, and I how far they have."""
        topic, discreet = topic_of(place.room_id), not setting.receipts
        tx.after_commit(lambda: self.announcer.turn(topic, me, discreet=discreet))
        self._note(tx, place.room_id, HasRead(me, 0 if discreet else place.read_seq), self.announcer.exchange)

    async def search(self, ctx: Context, query: SearchQuery) -> Page[FoundRow]:
        """Messages of the person's rooms that hold the words, the newest first."""
        me = person(ctx)
        if "\x00" in query.q:
            raise Invalid.field("q", "holds a character that no message has")
        async with self.db.read(ctx.within(None)) as tx:
            rows = await queries.search(tx, me, query.q, query.room_id, SEARCHED.decode(query.cursor), query.limit + 1)
        page = SEARCHED.page(rows, query.limit, lambda row: (row.created_at, row.id))
        return page.map(lambda row: _told(row, ctx.language))

    async def readers(self, ctx: Context, room_id: UUID, seq: int) -> list[UUID]:
        """Who has read as far as `seq` and shows it. Empty for who does not show it themselves. Raises NotFound."""
        me = person(ctx)
        async with self.seen(ctx, room_id) as (tx, _, part):
            if part.role is None or not (await queries.setting(tx, me)).receipts:
                return []
            return [r.account_id for r in await queries.read_as_far(tx, room_id, 200) if r.read_seq >= seq]


def _told(row: FoundRow, language: str) -> FoundRow:
    """With the room's name in the words of who looks."""
    return msgspec.structs.replace(row, room_name=called(row.room_name, row.room_subject, language))
