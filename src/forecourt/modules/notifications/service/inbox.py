"""A person's inbox, and the same as a topic of the socket. Every change is numbered in its transaction and published after."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

import msgspec
from msgspec import Raw, Struct

from forecourt.kernel.clock import Clock
from forecourt.kernel.context import Context, service_context
from forecourt.kernel.db import ModuleDatabase, Tx
from forecourt.kernel.errors import BadRequest, Invalid, NotFound, Unauthenticated
from forecourt.kernel.ids import new_id
from forecourt.kernel.live import Announcer
from forecourt.kernel.paging import Keyset, Page
from forecourt.kernel.topics import MAX_CATCH_UP, Ack, Head, Position, Subscription, TopicEvent
from forecourt.modules.notifications.contract import Notification, Topic
from forecourt.modules.notifications.queries import inbox as queries
from forecourt.modules.notifications.queries import queue
from forecourt.modules.notifications.queries.inbox import Entry

KEPT_EVENTS = MAX_CATCH_UP
"""Events of an inbox that a client can catch up with."""
STATISTICS = timedelta(days=30)
PREFIX = "inbox:"
ENTRIES = Keyset("notifications", tuple[datetime, UUID])
MAX_AT_ONCE = 100

_encode = msgspec.json.Encoder().encode


class Told(Struct, frozen=True):
    """The data of `notification.created` and `notification.changed`."""

    notification: Notification
    unread: int


class Removed(Struct, frozen=True):
    id: UUID
    unread: int


class AllRead(Struct, frozen=True):
    """Everything up to the event `upto` was read."""

    upto: int
    unread: int


class ReadFrame(Struct):
    """A client's `{"op": "read", "topic": …, "seq": 45}`."""

    seq: int


class TopicFigure(Struct, frozen=True):
    topic: Topic
    total: int
    unread: int


class InboxStatistics(Struct, frozen=True):
    """How much came within the last 30 days, and how much waits."""

    unread: int
    total: int
    topics: list[TopicFigure]


def person(ctx: Context) -> UUID:
    """Raises Unauthenticated for keys and for nobody."""
    if ctx.account_id is None:
        raise Unauthenticated
    return ctx.account_id


def shown(e: Entry) -> Notification:
    return Notification(e.id, e.seq, e.kind, e.topic, e.urgency, e.title, e.body, e.href, e.created_at, e.read_at, e.archived_at)


class InboxService:
    def __init__(self, db: ModuleDatabase, clock: Clock, announcer: Announcer) -> None:
        self._db = db
        self._clock = clock
        self._announcer = announcer

    # --- writing: the caller's transaction is about the person

    async def put(self, tx: Tx, account_id: UUID, entry: Entry) -> bool:
        """Adds an entry, whose `seq` it gives; False when it is there already."""
        if await queries.has(tx, account_id, entry.id):
            return False
        position = await queries.bump(tx, account_id, str(new_id()), entry.created_at)
        numbered = msgspec.structs.replace(entry, seq=position.seq)
        await queries.insert(tx, account_id, numbered)
        unread = await queries.unread(tx, account_id)
        await self._note(tx, account_id, position, "notification.created", Told(shown(numbered), unread), entry.created_at)
        return True

    async def _note(self, tx: Tx, account_id: UUID, at: Position, type: str, data: Struct, now: datetime) -> None:
        event = TopicEvent(at.seq, type, _encode(data))
        await queries.note(tx, account_id, at.seq, type, event.data, now, KEPT_EVENTS)
        tx.after_commit(lambda: self._announcer.publish(f"{PREFIX}{account_id}", at.epoch, event))

    async def _changed(self, tx: Tx, account_id: UUID, type: str, data: Struct, now: datetime) -> None:
        position = await queries.bump(tx, account_id, str(new_id()), now)
        await self._note(tx, account_id, position, type, data, now)

    # --- what its owner does

    async def mine(
        self, ctx: Context, *, archived: bool, topic: Topic | None, unread_only: bool, limit: int, cursor: str | None
    ) -> Page[Notification]:
        """The newest first."""
        me = person(ctx)
        async with self._db.read(ctx.within(None)) as tx:
            rows = await queries.entries(tx, me, archived, topic, unread_only, ENTRIES.decode(cursor), limit + 1)
        return ENTRIES.page(rows, limit, lambda e: (e.created_at, e.id)).map(shown)

    async def unread(self, ctx: Context) -> int:
        """At most 1,000; 0 for nobody."""
        if ctx.account_id is None:
            return 0
        async with self._db.read(ctx.within(None)) as tx:
            return await queries.unread(tx, ctx.account_id)

    async def position(self, ctx: Context) -> Position:
        """Where the inbox is: what a page that was just drawn goes on from."""
        me = person(ctx)
        async with self._db.tx(ctx.within(None)) as tx:
            return await queries.open_inbox(tx, me, str(new_id()), self._clock.now())

    async def statistics(self, ctx: Context) -> InboxStatistics:
        me = person(ctx)
        async with self._db.read(ctx.within(None)) as tx:
            figures = await queries.figures(tx, me, self._clock.now() - STATISTICS)
            unread = await queries.unread(tx, me)
        topics = [TopicFigure(f.topic, f.total, f.unread) for f in figures]
        return InboxStatistics(unread, sum(f.total for f in topics), topics)

    async def read(self, ctx: Context, ids: Sequence[UUID]) -> int:
        """Marks these as read; those of others and unknown ones are passed over. Returns what is still unread."""
        me, now = person(ctx), self._clock.now()
        if len(ids) > MAX_AT_ONCE:
            raise Invalid.field("ids", f"at most {MAX_AT_ONCE} at once")
        async with self._db.tx(ctx.within(None)) as tx:
            position = await queries.open_inbox(tx, me, str(new_id()), now)
            # The inbox is held before its entries, as it is when one arrives: nobody waits in a circle.
            await queries.hold(tx, me)
            entries = await queries.read_some(tx, me, ids, now)
            unread = await queries.unread(tx, me)
            for entry in sorted(entries, key=lambda e: e.seq):
                position = await queries.bump(tx, me, position.epoch, now)
                await self._note(tx, me, position, "notification.changed", Told(shown(entry), unread), now)
            await self._opened(tx, me, entries, now)
        return unread

    async def read_all(self, ctx: Context, upto: int | None = None) -> int:
        """Marks everything as read, or everything up to the event `upto` of the topic. Returns what is still unread."""
        me, now = person(ctx), self._clock.now()
        async with self._db.tx(ctx.within(None)) as tx:
            position = await queries.open_inbox(tx, me, str(new_id()), now)
            await queries.hold(tx, me)
            entries = await queries.read_upto(tx, me, position.seq if upto is None else upto, now)
            unread = await queries.unread(tx, me)
            if entries:
                last = max(e.seq for e in entries)
                await self._changed(tx, me, "notification.all_read", AllRead(last, unread), now)
            await self._opened(tx, me, entries, now)
        return unread

    async def _opened(self, tx: Tx, me: UUID, entries: Sequence[Entry], now: datetime) -> None:
        """Their deliveries count as opened."""
        if entries:
            await queue.opened(tx, me, [(e.place_id, e.delivery_id) for e in entries], now)

    async def read_one(self, ctx: Context, id: UUID) -> Notification:
        """Raises NotFound."""
        await self.read(ctx, [id])
        async with self._db.tx(ctx.within(None)) as tx:
            return shown(await queries.one(tx, person(ctx), id))

    async def unread_again(self, ctx: Context, id: UUID) -> Notification:
        """Raises NotFound."""
        return await self._edit(ctx, id, queries.unread_one)

    async def archive(self, ctx: Context, id: UUID) -> Notification:
        """Puts it away, read. Raises NotFound."""
        now = self._clock.now()
        return await self._edit(ctx, id, lambda tx, me, id: queries.archive(tx, me, id, now))

    async def unarchive(self, ctx: Context, id: UUID) -> Notification:
        """Raises NotFound."""
        return await self._edit(ctx, id, queries.unarchive)

    async def _edit(self, ctx: Context, id: UUID, change: queries.Change) -> Notification:
        me, now = person(ctx), self._clock.now()
        async with self._db.tx(ctx.within(None)) as tx:
            await queries.hold(tx, me)
            await queries.one(tx, me, id)
            changed = await change(tx, me, id)
            entry = shown(await queries.one(tx, me, id))
            if changed:
                await self._changed(tx, me, "notification.changed", Told(entry, await queries.unread(tx, me)), now)
        return entry

    async def dismiss(self, ctx: Context, id: UUID) -> None:
        """Removes it for good. Raises NotFound."""
        me, now = person(ctx), self._clock.now()
        async with self._db.tx(ctx.within(None)) as tx:
            await queries.hold(tx, me)
            await queries.one(tx, me, id)
            await queries.dismiss(tx, me, id)
            await self._changed(tx, me, "notification.removed", Removed(id, await queries.unread(tx, me)), now)

    # --- the topic

    async def follow(self, ctx: Context, topic: str, since: Position | None) -> Subscription:
        """Raises NotFound for an inbox that is not one's own."""
        me = ctx.account_id
        if me is None or topic not in ("inbox", f"{PREFIX}{me}"):
            raise NotFound
        async with self._db.tx(ctx.within(None)) as tx:
            return await self._since(tx, me, since)

    async def after(self, ctx: Context, topic: str, since: Position) -> Subscription:
        account_id = account_of(topic)
        async with self._db.tx(service_context("notifications.topics")) as tx:
            await tx.become(self._db.role, None, account_id)
            return await self._since(tx, account_id, since)

    async def _since(self, tx: Tx, account_id: UUID, since: Position | None) -> Subscription:
        topic = f"{PREFIX}{account_id}"
        head = await queries.open_inbox(tx, account_id, str(new_id()), self._clock.now())
        if since is None or since.epoch != head.epoch or not head.seq - MAX_CATCH_UP <= since.seq <= head.seq:
            return Subscription(topic, head, recovered=False)
        kept = [k for k in await queries.after(tx, account_id, since.seq, MAX_CATCH_UP) if k.seq <= head.seq]
        if [k.seq for k in kept] != list(range(since.seq + 1, head.seq + 1)):
            return Subscription(topic, head, recovered=False)
        events = [TopicEvent(k.seq, k.type, k.data.encode()) for k in kept]
        return Subscription(topic, head, recovered=True, events=events)

    async def heads(self, ctx: Context, topics: list[str]) -> list[Head]:
        async with self._db.tx(service_context("notifications.topics")) as tx:
            rows = await queries.heads(tx, [account_of(topic) for topic in topics[:1000]])
        return [Head(f"{PREFIX}{row.account_id}", Position(row.epoch, row.seq)) for row in rows]

    async def allowed(self, ctx: Context, topic: str, account_ids: list[UUID]) -> list[UUID]:
        return [account_of(topic)] if account_of(topic) in account_ids else []

    async def discreet(self, ctx: Context, topic: str, account_ids: list[UUID]) -> list[UUID]:
        """An inbox is its owner's alone."""
        return []

    async def perform(self, ctx: Context, topic: str, op: str, body: Raw) -> Ack | None:
        """`read`: everything up to `seq`. Raises NotFound for another's inbox and any other deed, BadRequest."""
        if op != "read" or ctx.account_id is None or topic not in ("inbox", f"{PREFIX}{ctx.account_id}"):
            raise NotFound
        try:
            frame = msgspec.json.decode(body, type=ReadFrame)
        except msgspec.MsgspecError:
            raise BadRequest("read takes seq, a whole number") from None
        if not 0 <= frame.seq < 2**62:
            raise BadRequest("read takes seq, a whole number")
        await self.read_all(ctx, frame.seq)
        return None


def account_of(topic: str) -> UUID:
    """Raises NotFound for what is no inbox."""
    try:
        return UUID(topic.removeprefix(PREFIX))
    except ValueError:
        raise NotFound from None
