"""Forgetting whoever was erased (PE-8): they leave their rooms, what they wrote is deleted, what they chose is gone.

Room by room, and in a room in portions, each a turn that looks at what is there: so it may be killed at any line, run twice, or
run beside another. A portion is told as one event, `member.forgotten`, however many messages it holds: who follows a room in
which somebody said thousands of things hears of a few hundred, and who comes back from before is told to read again.

What others wrote stays as it is, a handle in it too; but the name that the house drew into a mention goes. The name and the topic
that they gave a room stay with the room.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator
from datetime import timedelta
from uuid import UUID

import msgspec
from msgspec import Struct

from forecourt.kernel.context import Actor, ActorKind, Context
from forecourt.kernel.db import Tx
from forecourt.kernel.events import emit
from forecourt.kernel.jobs import JobKind, enqueue
from forecourt.modules.chat import queries, rules
from forecourt.modules.chat.contract import MAX_GROUP, Leaving, RoomChanged, RoomKind, RoomRole
from forecourt.modules.chat.queries import NamingRow
from forecourt.modules.chat.rules import Forgotten, RoomIs
from forecourt.modules.chat.service.attaching import Attaching
from forecourt.modules.chat.service.base import Turn
from forecourt.modules.chat.service.membership import Membership

ROOMS_AT_ONCE = 200
WORDS_AT_ONCE = 500
"""Messages whose words one turn takes: nobody else can say anything in the room meanwhile."""
STRETCH = 20_000
"""Numbers of a room that are looked through at once."""
ONCE_MORE = timedelta(minutes=10)
"""After which all of it is done again: a request that was let in before the account was closed may end after the first time, and
for a minute a process goes on believing in a name. Nothing lets one in that came later."""


class Forget(Struct, frozen=True):
    account_id: UUID


FORGET = JobKind("chat.forget", Forget, timeout_s=600, attempts=8)


class Forgetting(Membership, Attaching):
    def forget_later(self, tx: Tx, account_id: UUID) -> None:
        """With the transaction: at once, and once more when nothing of theirs can be on its way any longer."""
        enqueue(tx, FORGET, Forget(account_id))
        enqueue(tx, FORGET, Forget(account_id), at=self.clock.now() + ONCE_MORE)

    async def forget(self, ctx: Context, account_id: UUID) -> None:
        """The job. What is forgotten already is left alone."""
        # Where somebody sits and what they chose is shown to themselves alone.
        themselves = msgspec.structs.replace(ctx, actor=Actor(ActorKind.PERSON, account_id=account_id), organisation_id=None)
        async for room_id in self._rooms_of(themselves, account_id):
            last = await self._end_membership(ctx, room_id, account_id)
            await self._take_words(ctx, room_id, account_id, last)
        async with self.db.tx(themselves) as tx:
            await queries.drop_setting(tx, account_id)

    async def _rooms_of(self, ctx: Context, account_id: UUID) -> AsyncGenerator[UUID, None]:
        after = queries.BEFORE_ALL
        while True:
            async with self.db.read(ctx) as tx:
                rooms = await queries.rooms_with_something_of(tx, account_id, after, ROOMS_AT_ONCE)
            for room_id in rooms:
                yield room_id
            if len(rooms) < ROOMS_AT_ONCE:
                return
            after = rooms[-1]

    # --- leaving

    async def _end_membership(self, ctx: Context, room_id: UUID, account_id: UUID) -> int:
        """As if they had left. Returns where the room is: from now on nothing new is theirs."""
        names = await self._names_of_others(ctx, room_id, account_id)
        async with self.house_turn(ctx, room_id) as turn:
            part = await queries.part(turn.tx, room_id, account_id)
            if part.role is RoomRole.OWNER and await queries.owners(turn.tx, room_id) == 1:
                heir = await queries.next_owner(turn.tx, room_id, account_id)
                if heir is not None:  # of a channel too: nobody is there to choose another
                    await self.give_role(turn, heir, RoomRole.OWNER)
            await self.let_go(turn, account_id, Leaving.LEFT)
            await queries.unban(turn.tx, room_id, account_id)
            await self._suit_who_is_left(turn, names)
            return turn.last_seq

    async def _names_of_others(self, ctx: Context, room_id: UUID, account_id: UUID) -> list[str]:
        """Of a group, which may be called by them."""
        async with self.db.read(ctx.within(None)) as tx:
            await queries.open_as_the_house(tx, room_id)
            if (await queries.room(tx, room_id)).kind is not RoomKind.GROUP:
                return []
            members = await queries.members(tx, room_id, None, MAX_GROUP)
        cards = await self.names.of(ctx, [m.account_id for m in members if m.account_id != account_id])
        return [card.name for card in cards.values()]

    async def _suit_who_is_left(self, turn: Turn, names: list[str]) -> None:
        """A direct room can be read only, and a group that was called by its people is called by those who are left."""
        room = turn.room
        changed = room
        if room.kind is RoomKind.DIRECT and room.archived_at is None:
            changed = msgspec.structs.replace(room, archived_at=self.clock.now())
        elif room.kind is RoomKind.GROUP:
            name = rules.group_name_without(room.name, names) if names else rules.group_name([])
            changed = msgspec.structs.replace(room, name=name)
        if changed == room:
            return
        if changed.name != room.name:
            await queries.trim_events(turn.tx, room.id, turn.last_seq)  # they say what it was called
        await queries.save_room(turn.tx, changed)
        turn.tell("room.changed", RoomIs(msgspec.structs.replace(changed, version=room.version + 1).facts()))
        field = "name" if changed.name != room.name else "archived_at"
        emit(turn.tx, RoomChanged(organisation_id=room.organisation_id, room_id=room.id, fields=[field]))

    # --- their words

    async def _take_words(self, ctx: Context, room_id: UUID, account_id: UUID, last: int) -> None:
        after = 0
        while after < last:
            through = min(after + STRETCH, last)
            async with self.db.read(ctx.within(None)) as tx:
                await queries.open_as_the_house(tx, room_id)
                words = await queries.words_of(tx, room_id, account_id, after, through, WORDS_AT_ONCE)
                reacted = await queries.reacted_by(tx, room_id, account_id, after, through, WORDS_AT_ONCE)
                mentioned = await queries.mentioned_in(tx, room_id, account_id, after, through, WORDS_AT_ONCE)
            theirs = sorted({*(row.seq for row in words), *reacted, *mentioned})[:WORDS_AT_ONCE]
            if theirs:
                through = through if len(theirs) < WORDS_AT_ONCE else theirs[-1]
                await self._take_portion(ctx, room_id, account_id, theirs[0] - 1, through)
            after = through

    async def _take_portion(self, ctx: Context, room_id: UUID, account_id: UUID, after: int, through: int) -> None:
        async with self.house_turn(ctx, room_id) as turn:
            tx = turn.tx
            words = await queries.words_of(tx, room_id, account_id, after, through, WORDS_AT_ONCE)
            unreacted = await queries.unreact_all(tx, room_id, account_id, after, through)
            unnamed = await self._unname(tx, room_id, account_id, after, through)
            if not words and not unreacted and not unnamed:
                return  # somebody else was here meanwhile
            await queries.blank_these(tx, room_id, [row.seq for row in words], self.clock.now())
            self.let_files_go(tx, room_id, [file for row in words for file in row.attachments])
            replies = await queries.count_replies(tx, room_id, Counter(row.thread_id for row in words if row.thread_id))
            # What is kept for who comes back holds their words too.
            told = await queries.last_told_of(tx, room_id, [row.id for row in words] + unnamed, account_id)
            if told:
                await queries.trim_events(tx, room_id, told)
            turn.tell("member.forgotten", Forgotten(account_id, after, through, replies, unnamed))
            await self._refresh_lists(turn, {row.seq for row in words})

    async def _refresh_lists(self, turn: Turn, gone: set[int]) -> None:
        """After the commit, lists of rooms that show one of these as the last message show it no longer; those of channels follow
        what happens there themselves."""
        newest = await queries.messages_before(turn.tx, turn.room.id, turn.next_seq, 1)
        if turn.room.kind is RoomKind.CHANNEL or not newest or newest[0].seq not in gone:
            return
        members = await queries.members(turn.tx, turn.room.id, None, rules.room_size(turn.room.kind))
        self.call(turn.tx, turn.room.id, newest[0].seq, [member.account_id for member in members])

    async def _unname(self, tx: Tx, room_id: UUID, account_id: UUID, after: int, through: int) -> list[UUID]:
        """Messages of others that mentioned them, which do so no longer."""
        rows = await queries.naming(tx, room_id, account_id, after, through, WORDS_AT_ONCE)
        if not rows:
            return []
        edits = await queries.said_before(tx, room_id, [row.seq for row in rows], account_id)
        bare = [NamingRow(row.id, row.seq, *rules.without_name(row.body, row.html, account_id)) for row in rows]
        before = [msgspec.structs.replace(e, body=rules.without_name(e.body, "", account_id)[0]) for e in edits]
        await queries.unname(tx, room_id, account_id, bare, before)
        return [row.id for row in rows]
