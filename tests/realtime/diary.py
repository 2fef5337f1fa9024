"""A module with topics, as small as one can be: a diary that those who are let in write and read. On the real database.

Entries are numbered densely in the writer's transaction, as a module is asked to do it, and kept in a table made for the tests.
"""

from __future__ import annotations

from typing import Protocol
from uuid import UUID, uuid4

import asyncpg
import msgspec

from forecourt.kernel.context import Context
from forecourt.kernel.errors import NotFound, Unavailable
from forecourt.kernel.live import Announcer
from forecourt.kernel.topics import MAX_CATCH_UP, Ack, Head, Position, Subscription, TopicEvent, TopicSource

TABLES = """
create schema if not exists diary;
create table if not exists diary.diary (id uuid primary key, epoch text not null, seq bigint not null default 0);
create table if not exists diary.entry (diary_id uuid, seq bigint, id uuid, client_id text, type text, data text,
  primary key (diary_id, seq), unique (diary_id, client_id));
create table if not exists diary.reader (diary_id uuid, account_id uuid, primary key (diary_id, account_id));
"""


class Entry(msgspec.Struct):
    text: str = ""
    client_id: str = ""


class Diaries(TopicSource, Protocol):
    """The diary's contract."""


class Diary:
    """`announces` is False for a process that always dies between commit and announcement."""

    def __init__(self, pool: asyncpg.Pool, announcer: Announcer, *, kept: int = 10_000) -> None:
        self.pool = pool
        self.announcer = announcer
        self.kept = kept
        self.announces = True
        self.presence = False
        self.hidden: set[UUID] | None = None
        """Who tells nothing of themselves, in a diary in which readers do."""
        self.asked: list[str] = []

    # --- arranging

    async def make(self, *readers: UUID) -> str:
        diary = uuid4()
        await self.pool.execute("insert into diary.diary (id, epoch) values ($1, $2)", diary, uuid4().hex)
        topic = f"diary:{diary}"
        for reader in readers:
            await self.let_in(topic, reader)
        return topic

    async def let_in(self, topic: str, reader: UUID) -> None:
        await self.pool.execute("insert into diary.reader values ($1, $2) on conflict do nothing", _id(topic), reader)

    async def put_out(self, topic: str, reader: UUID) -> None:
        await self.pool.execute("delete from diary.reader where diary_id = $1 and account_id = $2", _id(topic), reader)
        self.announcer.revoke(topic, reader)

    async def begin_anew(self, topic: str) -> None:
        await self.pool.execute("update diary.diary set epoch = $2, seq = 0 where id = $1", _id(topic), uuid4().hex)
        await self.pool.execute("delete from diary.entry where diary_id = $1", _id(topic))

    async def write(self, topic: str, text: str, client_id: str = "") -> Ack:
        diary, data = _id(topic), msgspec.json.encode({"text": text}).decode()
        async with self.pool.acquire() as connection, connection.transaction():
            epoch, seq = await connection.fetchrow(
                "update diary.diary set seq = seq + 1 where id = $1 returning epoch, seq", diary
            )
            client_id = client_id or uuid4().hex
            known = await connection.fetchrow(
                "select id, seq from diary.entry where diary_id = $1 and client_id = $2", diary, client_id
            )
            if known is not None:
                await connection.execute("update diary.diary set seq = seq - 1 where id = $1", diary)
                return Ack(known[0], known[1])
            ack = Ack(uuid4(), seq)
            await connection.execute(
                "insert into diary.entry values ($1, $2, $3, $4, 'entry.written', $5)", diary, seq, ack.id, client_id, data
            )
        if self.announces:
            self.announcer.publish(topic, epoch, TopicEvent(seq, "entry.written", data.encode()))
        return ack

    async def state(self, topic: str) -> tuple[list[str], Position]:
        """What is written, and as of which number."""
        async with self.pool.acquire() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
            rows = await connection.fetch("select data from diary.entry where diary_id = $1 order by seq", _id(topic))
            epoch, seq = await connection.fetchrow("select epoch, seq from diary.diary where id = $1", _id(topic))
        return [msgspec.json.decode(r[0])["text"] for r in rows], Position(epoch, seq)

    def tell_reading(self, topic: str, reader: UUID, seq: int) -> None:
        """How far somebody has read, as chat tells it."""
        event = TopicEvent(None, "read", msgspec.json.encode({"account_id": reader, "seq": seq}))
        tell = self.announcer.confide if self.hidden and reader in self.hidden else self.announcer.exchange
        tell(topic, reader, event)

    # --- TopicSource

    async def follow(self, ctx: Context, topic: str, since: Position | None) -> Subscription:
        if ctx.account_id is None or not await self.allowed(ctx, topic, [ctx.account_id]):
            raise NotFound
        found = await self._after(topic, since)
        return found if self.hidden is None else msgspec.structs.replace(found, discreet=ctx.account_id in self.hidden)

    async def discreet(self, ctx: Context, topic: str, account_ids: list[UUID]) -> list[UUID]:
        return [a for a in account_ids if a in (self.hidden or ())]

    async def heads(self, ctx: Context, topics: list[str]) -> list[Head]:
        self.asked.append("heads")
        async with self._connected() as connection:
            rows = await connection.fetch("select id, epoch, seq from diary.diary where id = any($1)", [_id(t) for t in topics])
        return [Head(f"diary:{r[0]}", Position(r[1], r[2])) for r in rows]

    async def after(self, ctx: Context, topic: str, since: Position) -> Subscription:
        self.asked.append("after")
        return await self._after(topic, since)

    async def allowed(self, ctx: Context, topic: str, account_ids: list[UUID]) -> list[UUID]:
        async with self._connected() as connection:
            rows = await connection.fetch(
                "select account_id from diary.reader where diary_id = $1 and account_id = any($2)", _id(topic), account_ids
            )
        return [r[0] for r in rows]

    async def perform(self, ctx: Context, topic: str, op: str, body: bytes) -> Ack | None:
        if ctx.account_id is None or not await self.allowed(ctx, topic, [ctx.account_id]):
            raise NotFound
        entry = msgspec.json.decode(body, type=Entry)
        match op:
            case "send":
                return await self.write(topic, entry.text, entry.client_id)
            case "typing":
                who = msgspec.json.encode({"account_id": ctx.account_id})
                self.announcer.publish(topic, "", TopicEvent(None, "typing", who))
                return None
            case _:
                raise NotFound

    async def _after(self, topic: str, since: Position | None) -> Subscription:
        async with self._connected() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
            found = await connection.fetchrow("select epoch, seq from diary.diary where id = $1", _id(topic))
            if found is None:
                raise NotFound
            position = Position(found[0], found[1])
            reachable = (
                since is not None
                and since.epoch == position.epoch
                and 0 <= position.seq - since.seq <= min(self.kept, MAX_CATCH_UP)
            )
            if since is None or not reachable:
                return Subscription(topic, position, False, presence=self.presence)
            rows = await connection.fetch(
                "select seq, type, data from diary.entry where diary_id = $1 and seq > $2 order by seq", _id(topic), since.seq
            )
        events = [TopicEvent(r[0], r[1], r[2].encode()) for r in rows]
        return Subscription(topic, position, True, events, presence=self.presence)

    def _connected(self) -> _Connected:
        return _Connected(self.pool)


class _Connected:
    """A connection; what PostgreSQL refuses while it restarts is Unavailable, as the kernel's database has it."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def __aenter__(self) -> asyncpg.Connection:
        try:
            self._connection = await self._pool.acquire(timeout=2)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError) as e:
            raise Unavailable from e
        return self._connection

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        await self._pool.release(self._connection)
        if isinstance(error, OSError | asyncpg.PostgresError | asyncpg.InterfaceError):
            raise Unavailable from error


def _id(topic: str) -> UUID:
    try:
        return UUID(topic.split(":", 1)[1])
    except (IndexError, ValueError):
        raise NotFound from None
