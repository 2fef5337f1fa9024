"""A turn: one transaction in one room, in which things happen one after the other and are numbered.

    async with self.turn(ctx, room_id) as turn:         # the person's, judged by row security
        rules.may_write(turn.standing, turn.part, now)
        turn.tell("message.created", Created(message))

The room's position row is the lock: it is taken first, and what decides (role, ban, archive) is read after it, so that a ban
that came first is seen. The events are written, with the new position, in one statement when the turn ends well, and announced
after the commit. A turn in which nothing is told moves nothing.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from uuid import UUID

import msgspec

from forecourt.kernel.clock import Clock
from forecourt.kernel.context import ActorKind, Context
from forecourt.kernel.db import ModuleDatabase, Tx
from forecourt.kernel.errors import Forbidden, Unauthenticated
from forecourt.kernel.live import Announcer
from forecourt.kernel.topics import TopicEvent
from forecourt.modules.chat import queries
from forecourt.modules.chat.names import Names
from forecourt.modules.chat.queries import PartRow, PositionRow, RoomRow
from forecourt.modules.chat.rules import Happening, Part, Standing
from forecourt.modules.media.contract import Media

EVENTS_KEPT = 1_000
"""Of each room, for who comes back; at most a quarter more."""
TRIM_EVERY = 250

NOBODY = PartRow(None, None, None, None, None, None, banned=False, banned_until=None)


def topic_of(room_id: UUID) -> str:
    return f"room:{room_id}"


def person(ctx: Context) -> UUID:
    """The account that acts. Raises Unauthenticated; Forbidden for an API key, which talks to nobody."""
    if ctx.account_id is not None:
        return ctx.account_id
    if ctx.actor.kind is ActorKind.API_KEY:
        raise Forbidden("An API key has no rooms; people talk.")
    raise Unauthenticated


class Waiting(msgspec.Struct, frozen=True):
    """Something new in a room that calls for somebody."""

    room_id: UUID
    seq: int


class Turn:
    """See the module. `part` is the acting person's; the house acts without one."""

    def __init__(self, tx: Tx, room: RoomRow, position: PositionRow, part: PartRow) -> None:
        self.tx = tx
        self.room = room
        self.epoch = position.epoch
        self.last_seq = position.last_seq
        self.mine = part
        self.told: list[tuple[int, str, str, UUID | None]] = []

    @property
    def part(self) -> Part:
        row = self.mine
        return Part(row.role, row.muted_until, row.last_sent_at, row.banned, row.banned_until)

    @property
    def standing(self) -> Standing:
        room = self.room
        return Standing(room.kind, room.public, room.archived_at is not None, room.slow_mode_s)

    @property
    def next_seq(self) -> int:
        """The number of what is told next."""
        return self.last_seq + len(self.told) + 1

    def tell(self, kind: str, what: Happening, message_id: UUID | None = None) -> int:
        """Something happened. Returns its number."""
        seq = self.next_seq
        self.told.append((seq, kind, msgspec.json.encode(what).decode(), message_id))
        return seq


class Base:
    """Use cases extend it; `ChatService` is all of them together."""

    def __init__(self, db: ModuleDatabase, clock: Clock, announcer: Announcer, names: Names, media: Media) -> None:
        self.db = db
        self.clock = clock
        self.announcer = announcer
        self.names = names
        self.media = media

    @asynccontextmanager
    async def turn(self, ctx: Context, room_id: UUID) -> AsyncGenerator[Turn, None]:
        """`ctx`'s person acts in a room they can see. Raises NotFound, Unauthenticated."""
        account_id = person(ctx)
        async with self.db.tx(ctx.within(None)) as tx:
            await queries.open_room(tx, room_id)
            position = await queries.lock(tx, room_id)
            room = await queries.room(tx, room_id)
            turn = Turn(tx, room, position, await queries.part(tx, room_id, account_id))
            yield turn
            await self.end(turn)

    @asynccontextmanager
    async def house_turn(self, ctx: Context, room_id: UUID) -> AsyncGenerator[Turn, None]:
        """The house acts in a room. Raises NotFound for one that does not exist."""
        async with self.db.tx(ctx.within(None)) as tx:
            await queries.open_as_the_house(tx, room_id)
            position = await queries.lock(tx, room_id)
            turn = Turn(tx, await queries.room(tx, room_id), position, NOBODY)
            yield turn
            await self.end(turn)

    @asynccontextmanager
    async def seen(self, ctx: Context, room_id: UUID) -> AsyncGenerator[tuple[Tx, RoomRow, PartRow], None]:
        """`ctx`'s person looks at a room they can see: members, and anybody at a public one. Raises NotFound."""
        account_id = person(ctx)
        async with self.db.read(ctx.within(None)) as tx:
            await queries.open_room(tx, room_id)
            yield tx, await queries.room(tx, room_id), await queries.part(tx, room_id, account_id)

    async def address(self, ctx: Context, message_id: UUID) -> queries.AddressRow:
        """Where a message of one of `ctx`'s person's rooms is. Raises NotFound."""
        me = person(ctx)
        async with self.db.read(ctx.within(None)) as tx:
            return await queries.address(tx, me, message_id)

    async def end(self, turn: Turn) -> None:
        """Writes what the turn told, and announces it after the commit."""
        if not turn.told:
            return
        await queries.write_events(turn.tx, turn.room.id, self.clock.now(), turn.told)
        last = turn.told[-1][0]
        if last // TRIM_EVERY != turn.last_seq // TRIM_EVERY and last > EVENTS_KEPT:
            await queries.trim_events(turn.tx, turn.room.id, last - EVENTS_KEPT)
        topic, epoch, told = topic_of(turn.room.id), str(turn.epoch), turn.told

        def announce() -> None:
            for seq, kind, data, _ in told:
                self.announcer.publish(topic, epoch, TopicEvent(seq, kind, data.encode()))

        turn.tx.after_commit(announce)

    def whisper(self, tx: Tx, room_id: UUID, kind: str, what: msgspec.Struct) -> None:
        """After the commit, something that is not kept: that somebody is writing."""
        event = TopicEvent(None, kind, msgspec.json.encode(what))
        tx.after_commit(lambda: self.announcer.publish(topic_of(room_id), "", event))

    def call(self, tx: Tx, room_id: UUID, seq: int, account_ids: list[UUID]) -> None:
        """After the commit, pages of these people show that something waits. A hint: the counts are exact anyway."""
        event = TopicEvent(None, "chat.waiting", msgspec.json.encode(Waiting(room_id, seq)))

        def announce() -> None:
            for account_id in account_ids:
                self.announcer.publish(f"inbox:{account_id}", "", event)

        tx.after_commit(announce)

    def shut_out(self, tx: Tx, room_id: UUID, account_id: UUID) -> None:
        """After the commit, sockets of this person stop following the room."""
        tx.after_commit(lambda: self.announcer.revoke(topic_of(room_id), account_id))
