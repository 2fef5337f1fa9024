"""PostgreSQL: one-round-trip transactions that carry a role and a tenant, and queries that know their rows.

    COURTS = Query(Court, "select id, name from venues.court where venue_id = $1 order by name, id limit $2")

    async with db.tx(ctx) as tx:            # begin, role and row-security settings in one message
        courts = await tx.all(COURTS, venue_id, 100)

A transaction's role is its module's: it can touch that module's schema and nothing else. What row security sees is
`forecourt.org` and `forecourt.account`, set with `set local`, so nothing outlives the transaction and any pool is safe.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import re
import time
import types
from collections.abc import Awaitable, Callable, Iterable
from contextvars import ContextVar
from enum import Enum
from typing import (
    Annotated,
    Any,
    ClassVar,
    Generic,
    LiteralString,
    Protocol,
    Self,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)
from urllib.parse import urlsplit
from uuid import UUID

import asyncpg
import msgspec
import structlog

from forecourt.kernel import telemetry
from forecourt.kernel.context import ActorKind, Context
from forecourt.kernel.errors import NotFound, Unavailable
from forecourt.kernel.pool import CONNECTION_LOST, Pool, is_cut_off, is_lost
from forecourt.kernel.replica import AnotherReplica, Replica, writer_of

Row = TypeVar("Row")
T = TypeVar("T")
B = TypeVar("B", bound="Pending")

SLOW_S = 1.0
"""A statement that takes longer is written down (without its values) and counted."""
_log: structlog.stdlib.BoundLogger = structlog.get_logger("forecourt.db")

_CONSTRAINT_OF_A_PART = re.compile(r'constraint "(\w+?)_\d{6,}"')
_ROLE = re.compile(r"^[a-z][a-z0-9_]{0,40}$")
_open_transactions: ContextVar[int] = ContextVar("open_transactions", default=0)


class TransactionLost(Exception):
    """The database rolled back what it was asked to commit."""


def in_transaction() -> bool:
    """True while the current task holds an open transaction. Contract calls refuse to run then."""
    return _open_transactions.get() > 0


# --- queries ---------------------------------------------------------------------------------------------------------


class Statement:
    """SQL that returns no rows. Registered, so that a test can prepare it on the migrated schema."""

    registered: list[Statement] = []  # noqa: RUF012 - the registry is the point

    def __init__(self, sql: LiteralString) -> None:
        self.sql: str = sql
        Statement.registered.append(self)


class Query(Generic[Row]):
    """SQL and what one of its rows is: a struct filled by position, or a plain type when there is one column.

    Columns of JSON become the struct, list or dict that the field declares; enums are rebuilt from their value.
    Raises TypeError for a struct with fields that take their value by name only.
    """

    registered: list[Query[Any]] = []  # noqa: RUF012 - the registry is the point
    for_the_house_alone: ClassVar[bool] = False

    def __init__(self, row: type[Row], sql: LiteralString) -> None:
        self.row = row
        self.sql: str = sql
        self.fields: tuple[str, ...] = ()
        self.make: Callable[[asyncpg.Record], Row] = self._maker()
        Query.registered.append(cast("Query[Any]", self))

    def _maker(self) -> Callable[[asyncpg.Record], Row]:
        row = self.row
        # list[str] and the like are no types at run time
        if not (isinstance(row, type) and issubclass(row, msgspec.Struct)):  # pyright: ignore[reportUnnecessaryIsInstance]
            convert = _converter(row)
            if convert is None:
                return lambda record: record[0]
            return lambda record: cast("Row", convert(record[0]))
        _refuse_fields_by_name(row)
        hints = get_type_hints(row, include_extras=True)
        self.fields = row.__struct_fields__
        converters = [(i, c) for i, name in enumerate(self.fields) if (c := _converter(hints[name])) is not None]
        struct = cast("Callable[..., Row]", row)
        if not converters:
            return lambda record: struct(*record)

        def fill(record: asyncpg.Record) -> Row:
            values = list(record)
            for i, convert in converters:
                values[i] = convert(values[i])
            return struct(*values)

        return fill


class Sweep(Query[Row]):
    """A question that goes to every server wherever rows lie, because no value says where (docs/scale.md): what is due anywhere,
    which organisations there are. For jobs and operators; a transaction that serves a request refuses it (`AskedEverywhere`)."""

    for_the_house_alone = True


class LockingSweep(Sweep[Row]):
    """One that locks what it finds, which it can on one server alone: where several have the rows, its caller asks in another way
    (`Tx.spread`)."""


class AskedEverywhere(Exception):
    """A `Sweep` was to be run for a person, a visitor or an API key."""


def _refuse_fields_by_name(row: type[msgspec.Struct]) -> None:
    named = [p.name for p in inspect.signature(row).parameters.values() if p.kind is inspect.Parameter.KEYWORD_ONLY]
    if named:
        raise TypeError(
            f"{row.__qualname__} is kw_only, but a row fills its struct by position: {', '.join(named)}. "
            "Declare the row's struct without kw_only, columns in the order of its fields."
        )


def _converter(annotation: object) -> Callable[[Any], object] | None:
    """How a column's value becomes a value of `annotation`; None when it already is one."""
    bare = annotation
    while get_origin(bare) is Annotated:
        bare = get_args(bare)[0]
    optional = False
    if get_origin(bare) in (Union, types.UnionType):
        rest = [a for a in get_args(bare) if a is not type(None)]
        optional = len(rest) < len(get_args(bare))
        if len(rest) == 1:
            return _optional(_converter(rest[0])) if optional else _converter(rest[0])
    if isinstance(bare, type) and issubclass(bare, Enum):
        return bare
    origin = get_origin(bare) or bare
    is_struct = isinstance(origin, type) and issubclass(origin, msgspec.Struct)
    is_map = isinstance(origin, type) and issubclass(origin, dict)
    is_list_of_json = origin in (list, tuple) and any(_converter(a) is not None for a in get_args(bare))
    if is_struct or is_map or is_list_of_json:
        decoder = msgspec.json.Decoder(annotation)
        return lambda value: value if value is None else decoder.decode(value)
    return None


def _optional(convert: Callable[[Any], object] | None) -> Callable[[Any], object] | None:
    if convert is None:
        return None
    return lambda value: None if value is None else convert(value)


def to_json(value: object) -> str:
    """A value as the text of a jsonb parameter."""
    return msgspec.json.encode(value).decode()


# --- transactions ----------------------------------------------------------------------------------------------------


class Pending(Protocol):
    """Something a transaction collects and writes once, just before it commits: events, jobs."""

    def __init__(self) -> None: ...

    async def flush(self, tx: Tx) -> None:
        """Write what was collected, in as few statements as possible."""
        ...

    def committed(self) -> None:
        """Called after the commit: ring doorbells. Must not fail or wait."""
        ...


class Tx:
    """An open transaction. Use it inside `async with db.tx(ctx)`; leaving the block commits, an exception rolls back."""

    __slots__ = ("_after", "_begin", "_buffers", "_connection", "_pool", "_token", "context", "writes")

    def __init__(self, pool: Pool, context: Context, begin: str, writes: Callable[[], Awaitable[None]] | None = None) -> None:
        self._pool = pool
        self._begin = begin
        self._buffers: dict[type, Pending] = {}
        self._after: list[Callable[[], None]] = []
        self._connection: Any = None
        self.context = context
        self.writes = writes

    async def __aenter__(self) -> Self:
        self._token = _open_transactions.set(_open_transactions.get() + 1)
        try:
            self._connection = await self._pool.begin(self._begin)
        except BaseException:
            _open_transactions.reset(self._token)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: types.TracebackType | None
    ) -> None:
        try:
            if kind is None:
                await self._commit()
            else:
                await self._roll_back()
        finally:
            self._leave()
        if kind is None:
            for buffer in self._buffers.values():
                buffer.committed()
            for call in self._after:
                call()
            if self.writes is not None:
                await self.writes()

    async def _commit(self) -> None:
        try:
            for buffer in self._buffers.values():
                await buffer.flush(self)
            # A transaction in which a statement failed answers a commit with a rollback, and no error.
            if await self._end() != "COMMIT":
                raise TransactionLost("a statement failed and its error was swallowed: nothing was written")
        except (asyncpg.PostgresError, TransactionLost):
            await self._roll_back()
            raise

    async def _end(self) -> str:
        return await self._connection.execute("commit")

    async def _roll_back(self) -> None:
        """Never hides the error that led here: a connection that cannot roll back is broken, and its transaction gone.

        On one whose statement was cut off nothing is asked at all: the pool closes it, and with it the transaction.
        """
        if self._connection.is_closed() or is_cut_off(self._connection):
            return
        try:
            await self._connection.execute("rollback")
        except (*CONNECTION_LOST, asyncpg.PostgresError, TimeoutError):
            self._connection.terminate()

    def _leave(self) -> None:
        _open_transactions.reset(self._token)
        self._pool.give_back(self._connection)

    @property
    def connection(self) -> asyncpg.Connection[asyncpg.Record]:
        """The driver's connection, for libraries that need one (COPY, the job queue)."""
        return self._connection

    async def all(self, query: Query[Row], *args: object) -> list[Row]:
        if query.for_the_house_alone:
            self._refuse_others()
        began = time.perf_counter()
        try:
            records = await self._connection.fetch(query.sql, *args)
        finally:
            if time.perf_counter() - began > SLOW_S:
                self._was_slow(query.sql, began)
        make = query.make
        return [make(r) for r in records]

    async def maybe(self, query: Query[Row], *args: object) -> Row | None:
        """The first row, or None."""
        if query.for_the_house_alone:
            self._refuse_others()
        record = await self._row(query.sql, args)
        return None if record is None else query.make(record)

    async def one(self, query: Query[Row], *args: object) -> Row:
        """The first row. Raises NotFound when there is none: absent and not yours look the same."""
        if query.for_the_house_alone:
            self._refuse_others()
        record = await self._row(query.sql, args)
        if record is None:
            raise NotFound
        return query.make(record)

    async def _row(self, sql: str, args: tuple[object, ...]) -> asyncpg.Record | None:
        began = time.perf_counter()
        try:
            return await self._connection.fetchrow(sql, *args)
        finally:
            if time.perf_counter() - began > SLOW_S:
                self._was_slow(sql, began)

    async def run(self, statement: Statement, *args: object) -> int:
        """Runs a statement; returns how many rows it touched."""
        began = time.perf_counter()
        try:
            status: str = await self._connection.execute(statement.sql, *args)
        finally:
            if time.perf_counter() - began > SLOW_S:
                self._was_slow(statement.sql, began)
        last = status.rsplit(" ", 1)[-1]
        return int(last) if last.isdigit() else 0

    def _refuse_others(self) -> None:
        if self.context.actor.kind is not ActorKind.SERVICE:
            raise AskedEverywhere("only jobs and operators may ask what goes to every server")

    def _was_slow(self, sql: str, began: float) -> None:
        self._pool.slow_statements += 1
        _log.warning("statement_slow", sql=sql[:500], took_ms=round((time.perf_counter() - began) * 1000))

    async def become(self, role: str, organisation_id: UUID | None, account_id: UUID | None = None) -> None:
        """Changes role and tenant inside the transaction. For the event dispatcher, which serves many tenants in one batch."""
        await self._connection.execute(begin_as(self._pool, role, organisation_id, account_id))

    @property
    def leaves_more(self) -> bool:
        """Whether something is still to be written with the commit, or done after it."""
        return bool(self._buffers or self._after)

    @property
    def spread(self) -> bool:
        """Whether other servers have a part of the rows, and have to be told what row security goes by."""
        return self._pool.spread

    async def pass_on(self, setting: LiteralString, ids: Iterable[UUID]) -> None:
        """Makes a setting of the transaction known on every server that it reaches. On a single one nothing is asked: there the
        setting was made by the statement that found it, or nobody goes by it."""
        if self._pool.spread:
            await self._connection.execute(f"set local {setting} = '{','.join(str(id) for id in ids)}'")

    def buffer(self, kind: type[B]) -> B:
        """The transaction's one collector of `kind`, flushed before the commit."""
        found = self._buffers.get(kind)
        if found is None:
            found = self._buffers[kind] = kind()
        return cast("B", found)

    def after_commit(self, call: Callable[[], None]) -> None:
        """Runs `call` once the commit is certain. It must be quick and must not raise."""
        self._after.append(call)


class TracedTx(Tx):
    """A transaction whose statements are spans, while traces are exported."""

    __slots__ = ()

    async def all(self, query: Query[Row], *args: object) -> list[Row]:
        with telemetry.statement(query.sql):
            return await super().all(query, *args)

    async def _row(self, sql: str, args: tuple[object, ...]) -> asyncpg.Record | None:
        with telemetry.statement(sql):
            return await super()._row(sql, args)

    async def run(self, statement: Statement, *args: object) -> int:
        with telemetry.statement(statement.sql):
            return await super().run(statement, *args)

    async def _end(self) -> str:
        with telemetry.statement("commit"):
            return await super()._end()


class ReplicaTx(TracedTx):
    """A read-only transaction on the replica, or on the primary when the replica must not answer.

    When the replica goes away in the middle of it, or has to let go of what is read because the primary has removed it, what was
    asked until then is asked again on the primary, in the same order and under the same role, and nobody notices. `connection`
    has no such protection.
    """

    __slots__ = ("_asked", "_primary", "_replica", "_there")

    def __init__(self, primary: Pool, replica: Replica, context: Context, begin: str) -> None:
        super().__init__(primary, context, begin)
        self._primary = primary
        self._replica = replica
        self._there = False
        self._asked: list[Callable[[], Awaitable[object]]] = []

    async def __aenter__(self) -> Self:
        self._there = await self._replica.may_answer(self.context)
        if self._there:
            self._pool = self._replica.pool
            try:
                return await super().__aenter__()
            except Unavailable as e:
                if not isinstance(e.__cause__, AnotherReplica):
                    self._replica.failed()
                self._there, self._pool = False, self._primary
        return await super().__aenter__()

    async def _commit(self) -> None:
        try:
            await super()._commit()
        except CONNECTION_LOST:
            if not self._there:
                raise
            self._connection.terminate()  # it was read; there is nothing to lose

    async def all(self, query: Query[Row], *args: object) -> list[Row]:
        return await self._ask(lambda: TracedTx.all(self, query, *args))

    async def maybe(self, query: Query[Row], *args: object) -> Row | None:
        return await self._ask(lambda: TracedTx.maybe(self, query, *args))

    async def one(self, query: Query[Row], *args: object) -> Row:
        return await self._ask(lambda: TracedTx.one(self, query, *args))

    async def run(self, statement: Statement, *args: object) -> int:
        return await self._ask(lambda: TracedTx.run(self, statement, *args))

    async def become(self, role: str, organisation_id: UUID | None, account_id: UUID | None = None) -> None:
        await self._ask(lambda: TracedTx.become(self, role, organisation_id, account_id))

    async def _ask(self, ask: Callable[[], Awaitable[T]]) -> T:
        if not self._there:
            return await ask()
        self._asked.append(ask)
        try:
            return await ask()
        except (*CONNECTION_LOST, asyncpg.SerializationError, asyncpg.DeadlockDetectedError) as e:
            if isinstance(e, CONNECTION_LOST) and not is_lost(e):
                raise  # it took too long, there as anywhere
            await self._move()
        return await ask()

    async def _move(self) -> None:
        """Begins on the primary, and asks what had been answered: a setting or a role may have been among it."""
        self._there = False
        self._pool.give_back(self._connection)
        self._pool = self._primary
        self._connection = await self._pool.begin(self._begin)
        for ask in self._asked[:-1]:
            with contextlib.suppress(NotFound):
                await ask()


class Plans(Enum):
    """How PostgreSQL plans a transaction's statements; the value goes behind its `begin`."""

    BY_COST = ""
    """The server's rule: anew for each call while that seems cheaper."""
    KEPT = "; set local plan_cache_mode = force_generic_plan"
    """Once per connection. For statements that find all their rows by key, so that no value changes how: the rule above expects
    ten elements of every array, never settles on the general plan, and planning costs more than running."""


class Lock(msgspec.Struct, frozen=True):
    """An advisory lock that a transaction takes with its `begin` and keeps to its end.

    What follows is another statement, so it sees what the lock's last holder committed.
    """

    key: int
    shared: bool = False
    then: Lock | None = None

    @classmethod
    def on(cls, *ids: UUID) -> Lock:
        """The lock on these ids together. Two sets of ids share one by chance once in 2⁶⁴: they wait, and no more."""
        digest = hashlib.blake2b(b"".join(i.bytes for i in ids), digest_size=8).digest()
        return cls(int.from_bytes(digest, "big", signed=True))

    @classmethod
    def sharing(cls, *ids: UUID) -> Lock:
        """The same lock, held by any number at once: they wait for whoever has it alone (`on`), and are waited for."""
        return cls(cls.on(*ids).key, shared=True)

    def and_then(self, other: Lock) -> Lock:
        """Both, this one first."""
        return Lock(self.key, self.shared, other)

    @property
    def sql(self) -> str:
        one = f"; select pg_advisory_xact_lock{'_shared' if self.shared else ''}({self.key})"
        return one if self.then is None else one + self.then.sql


class Note(msgspec.Struct, frozen=True):
    """That a person has something at an organisation, written with a transaction's `begin`: see `kernel/whereabouts.py`."""

    said: str
    """That whoever writes does it, for the triggers that would do it otherwise; many servers do not have them."""
    sql: str
    committed: Callable[[], None]


def settings_sql(role: str, organisation_id: UUID | None, account_id: UUID | None) -> str:
    """`set local` statements for role and tenant. Only parsed UUIDs and known role names are ever written into it."""
    return (
        f"set local role {role}; "
        f"set local forecourt.org = '{organisation_id or ''}'; "
        f"set local forecourt.account = '{account_id or ''}'"
    )


def passed_on_sql(role: str, organisation_id: UUID | None, account_id: UUID | None) -> str:
    """The same where other servers have a part of the rows. Citus sends them the whole message that a `set local` stands in,
    whatever else is in it; in a block each statement is a message of its own. The role stays here: sessions on other servers are
    logged in as the role that asks, which may become no other."""
    return (
        f"do $settings$ begin perform set_config('role', '{role}', true);"
        f" set local forecourt.org = '{organisation_id or ''}';"
        f" set local forecourt.account = '{account_id or ''}'; end $settings$"
    )


def begin_as(pool: Pool, role: str, organisation_id: UUID | None, account_id: UUID | None) -> str:
    """What gives a transaction of `pool` its role and tenant."""
    return (passed_on_sql if pool.spread else settings_sql)(role, organisation_id, account_id)


# --- pools -----------------------------------------------------------------------------------------------------------


class Database:
    """The pools of one process, and a door for each module."""

    def __init__(self, primary: Pool, replica: Replica | None = None) -> None:
        self.primary = primary
        self.replica = replica

    @classmethod
    async def connect(
        cls, url: str, replica_url: str | None, size: int, application: str = "forecourt", valkey_url: str | None = None
    ) -> Database:
        """Raises when the primary does not answer; a replica that does not is waited for while its readers use the primary.

        `valkey_url` is where processes tell each other who wrote. Without it each knows of its own writers only.
        """
        primary = await Pool.connect(url, size, application)
        if not replica_url:
            return cls(primary)
        replica = Replica(url, replica_url, size, application, valkey_url)
        replica.pool.spread = primary.spread
        await replica.start()
        return cls(primary, replica)

    async def close(self) -> None:
        await self.primary.close()
        if self.replica is not None:
            await self.replica.close()

    def module(self, name: str) -> ModuleDatabase:
        """The database as one module sees it: under its own role, which can touch its own schema only."""
        return ModuleDatabase(self, module_role(name))


class ModuleDatabase:
    """Transactions under one role."""

    def __init__(self, database: Database, role: str) -> None:
        if not _ROLE.match(role):
            raise ValueError(f"{role!r} is not a role name")
        self.database = database
        self.role = role

    def tx(self, ctx: Context, *, lock: Lock | None = None, plans: Plans = Plans.BY_COST, note: Note | None = None) -> Tx:
        """A read-write transaction on the primary, about `ctx`'s organisation and person. All of its beginning is one message."""
        primary = self.database.primary
        begin = "begin; " + begin_as(primary, self.role, ctx.organisation_id, ctx.actor.account_id)
        if not primary.spread:  # there every statement is planned for the server that it goes to
            begin += plans.value
        if lock is not None:
            begin += lock.sql
        if note is not None:
            begin += note.sql if primary.spread else note.said + note.sql
        replica = self.database.replica
        kind = TracedTx if telemetry.enabled() else Tx
        writer = None if replica is None else writer_of(ctx)
        writes = None if replica is None or writer is None else lambda: replica.wrote(writer)
        tx = kind(primary, ctx, begin, writes)
        if note is not None:
            tx.after_commit(note.committed)
        return tx

    def read(self, ctx: Context, *, plans: Plans = Plans.BY_COST) -> Tx:
        """A read-only transaction; on a replica when there is one and it holds what `ctx` has to see (`kernel/replica.py`)."""
        primary = self.database.primary
        begin = "begin read only; " + begin_as(primary, self.role, ctx.organisation_id, ctx.actor.account_id)
        if not primary.spread:
            begin += plans.value
        replica = self.database.replica
        if replica is None:
            kind = TracedTx if telemetry.enabled() else Tx
            return kind(primary, ctx, begin)
        return ReplicaTx(primary, replica, ctx, begin)


def module_role(name: str) -> str:
    """The role of a module: it may touch the schema of the same name and nothing else."""
    return f"fc_{name}"


def constraint_of(error: asyncpg.PostgresError) -> str:
    """The name of the constraint that refused a row, or an empty string. Other servers name it in words alone, and as their part
    of the table has it: with a number behind."""
    name = getattr(error, "constraint_name", None)
    if name is None and (said := _CONSTRAINT_OF_A_PART.search(str(error))):
        name = said[1]
    return name or ""


def describe_url(url: str) -> str:
    """A database address without its secret, for logs."""
    parts = urlsplit(url)
    return f"{parts.hostname or 'socket'}{parts.path}"


__all__ = [
    "AskedEverywhere",
    "Database",
    "Lock",
    "LockingSweep",
    "ModuleDatabase",
    "Note",
    "Pending",
    "Plans",
    "Pool",
    "Query",
    "Statement",
    "Sweep",
    "TransactionLost",
    "Tx",
    "constraint_of",
    "describe_url",
    "in_transaction",
    "module_role",
    "settings_sql",
    "to_json",
]
