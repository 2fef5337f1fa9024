"""Connections to PostgreSQL, kept open and lent to one task at a time.

A library's pool resets, wraps, times and shields every loan: 59 µs of processor time a transaction, more than its `begin` and
`commit` together (docs/performance.md). Nothing we do outlives a transaction, so a connection that is between transactions is
handed on as it is, without waiting; only one that is in the middle of something is mended first, aside.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import asyncpg

from forecourt.kernel.errors import Unavailable

STATEMENT_TIMEOUT_S = 10.0
ACQUIRE_TIMEOUT_S = 5.0
CONNECT_TIMEOUT_S = 10.0
MEND_TIMEOUT_S = 5.0
CLOSE_TIMEOUT_S = 5.0
BEGIN_TRIES = 4
KEPT_OPEN = 2
"""So many connections stay open however quiet it is."""
IS_SPREAD = "select exists (select from pg_catalog.pg_extension where extname = 'citus')"
IDLE_S = 300.0
"""Beyond those, a connection that nobody wanted for so long is closed."""
SESSION_LOST = (
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,  # the server is shutting down, or somebody ended the session
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # the goodbye of a closed session came, its end not yet
    ConnectionError,
)
"""What the driver says when the server went away."""
CONNECTION_LOST = (*SESSION_LOST, OSError)
"""The same where nothing but the driver can fail."""


def is_lost(error: BaseException) -> bool:
    """Whether the session is gone, or as good as gone: nothing more can be asked on its connection."""
    return isinstance(error, CONNECTION_LOST) and not isinstance(error, asyncpg.QueryCanceledError)


Connection = Any  # asyncpg.Connection[asyncpg.Record], whose stubs do not know all that is asked of it here


class Pool:
    """At most `limit` connections. The one used last is lent first, so that in quiet times the others can go."""

    def __init__(
        self, url: str, limit: int, application: str, admit: Callable[[Connection], Awaitable[None]] | None = None
    ) -> None:
        """`admit` looks at every new connection, and raises ConnectionError for one that must not be used."""
        self._url = url
        self._admit = admit
        self._limit = limit
        self._application = application
        self._idle: deque[tuple[Connection, float]] = deque()
        self._lent: set[Connection] = set()
        self._opening = 0
        self._waiting: deque[asyncio.Future[Connection | None]] = deque()
        self._aside: set[asyncio.Task[None]] = set()
        self._closing = False
        self.waits = 0
        """How often somebody had to wait for a connection, or for one to be opened …"""
        self.refusals = 0
        """… and how often in vain."""
        self.slow_statements = 0
        self.spread = False
        """Whether other servers have a part of the rows (docs/scale.md)."""

    @classmethod
    async def connect(cls, url: str, size: int, application: str) -> Pool:
        """A pool with its first connections open. Raises what `asyncpg.connect` raises."""
        pool = cls(url, size, application)
        for connection in await asyncio.gather(*(pool._open() for _ in range(min(KEPT_OPEN, size)))):
            pool._give(connection)
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            pool.spread = await pool._idle[-1][0].fetchval(IS_SPREAD)
        return pool

    # --- lending

    async def acquire(self) -> Connection:
        """A connection that is in no transaction. `release` it. Raises Unavailable."""
        connection = self._take()
        if connection is not None:
            return connection
        self.waits += 1
        try:
            async with asyncio.timeout(ACQUIRE_TIMEOUT_S):
                return await self._open_or_wait()
        except TimeoutError as e:
            self.refusals += 1
            raise Unavailable("every database connection is busy") from e
        except (OSError, asyncpg.CannotConnectNowError, asyncpg.PostgresConnectionError, asyncpg.TooManyConnectionsError) as e:
            raise Unavailable("the database does not answer") from e

    async def begin(self, statements: str) -> Connection:
        """A connection on which a transaction was begun. Raises Unavailable.

        One that the server has closed in the meantime is replaced: nothing was done on it yet.
        """
        lost: Exception | None = None
        for _ in range(BEGIN_TRIES):
            connection = self._take() or await self.acquire()
            try:
                await connection.execute(statements)
            except CONNECTION_LOST as e:
                connection.terminate()
                self.give_back(connection)
                lost = e
            except BaseException:
                self.give_back(connection)
                raise
            else:
                return connection
        raise Unavailable("the database does not answer") from lost

    async def release(self, connection: Connection) -> None:
        """`give_back`, for those who await it."""
        self.give_back(connection)

    def give_back(self, connection: Connection) -> None:
        """Takes a lent connection back, in whatever state it is; the next borrower finds it in order. Never waits."""
        self._lent.remove(connection)
        if connection.is_closed():
            connection.terminate()  # what is left of it
            self._make_room()
        elif is_cut_off(connection):
            self._lent.add(connection)  # it counts until its session has ended
            self._do_aside(self._see_off(connection))
        elif connection.is_in_transaction():
            self._lent.add(connection)  # nobody else's until it is mended
            self._do_aside(self._mend(connection))
        else:
            self._give(connection)

    def _take(self) -> Connection | None:
        """An idle connection, lent, or None."""
        while self._idle and not self._closing:
            connection, _ = self._idle.pop()
            if not connection.is_closed():
                self._lent.add(connection)
                return connection
        return None

    def _give(self, connection: Connection) -> None:
        """To whoever waits longest, else to the idle ones."""
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                self._lent.add(connection)
                waiter.set_result(connection)
                return
        now = time.monotonic()
        self._idle.append((connection, now))
        if len(self._idle) > KEPT_OPEN and now - self._idle[0][1] > IDLE_S:
            self._do_aside(_close(self._idle.popleft()[0]))

    def _make_room(self) -> None:
        """A connection is gone: whoever waits longest may open another."""
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    async def _open_or_wait(self) -> Connection:
        while True:
            if self._closing:
                raise Unavailable("the house is closing")
            connection = self._take()
            if connection is None:
                connection = await (self._lend_new() if self.size < self._limit else self._wait())
            if connection is not None:
                return connection

    async def _lend_new(self) -> Connection:
        try:
            connection = await self._open()
        except BaseException:
            self._make_room()
            raise
        self._lent.add(connection)
        return connection

    async def _wait(self) -> Connection | None:
        """What the next who gives back hands over; None: there is room to open one."""
        waiter: asyncio.Future[Connection | None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            return await waiter
        except BaseException:
            if waiter.done() and not waiter.cancelled():  # handed over at the very moment the borrower gave up
                connection = waiter.result()
                if connection is None:
                    self._make_room()
                else:
                    self.give_back(connection)
            raise

    # --- opening, mending, closing

    async def _open(self) -> Connection:
        self._opening += 1
        try:
            connection = await asyncpg.connect(
                self._url,
                command_timeout=STATEMENT_TIMEOUT_S + 5,
                timeout=CONNECT_TIMEOUT_S,
                statement_cache_size=512,
                server_settings={"application_name": self._application, "jit": "off"},
            )
            if self._admit is not None:
                try:
                    await self._admit(connection)
                except BaseException as e:
                    connection.terminate()
                    if isinstance(e, SESSION_LOST) and not isinstance(e, ConnectionError):
                        raise ConnectionError("the session ended before it was used") from e
                    raise
            return connection
        finally:
            self._opening -= 1

    async def _mend(self, connection: Connection) -> None:
        """A task left in the middle of its transaction, which must not hand its tenant to the next borrower."""
        try:
            async with asyncio.timeout(MEND_TIMEOUT_S):
                await connection.execute("rollback")
        except (*CONNECTION_LOST, asyncpg.PostgresError, TimeoutError):
            connection.terminate()
        self.give_back(connection)

    async def _see_off(self, connection: Connection) -> None:
        """A statement was cut off. Waits until the server has ended it and let go of its locks, then closes the connection: the
        driver's idea of where it stands is not to be relied on any more, so nothing else is asked on it."""
        with contextlib.suppress(*CONNECTION_LOST, asyncpg.PostgresError, TimeoutError):
            async with asyncio.timeout(MEND_TIMEOUT_S):
                await connection._protocol._wait_for_cancellation(MEND_TIMEOUT_S)
        connection.terminate()
        self.give_back(connection)

    def _do_aside(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._aside.add(task)
        task.add_done_callback(self._aside.discard)

    def cut_off(self) -> None:
        """Ends every connection at once. Who waits for an answer on one is told that it is lost; new ones may be opened."""
        for connection, _ in self._idle:
            connection.terminate()
        self._idle.clear()
        for connection in self._lent:
            connection.terminate()  # its borrower gives it back

    async def close(self) -> None:
        """Lends nothing more, waits a little for what is lent, and closes all."""
        self._closing = True
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_exception(Unavailable("the house is closing"))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                while self._lent or self._opening:  # noqa: ASYNC110 - once, at the end
                    await asyncio.sleep(0.005)
        for connection in self._lent:
            connection.terminate()
        idle = [connection for connection, _ in self._idle]
        self._idle.clear()
        await asyncio.gather(*(_close(connection) for connection in idle), *self._aside, return_exceptions=True)

    # --- figures

    @property
    def size(self) -> int:
        return len(self._idle) + len(self._lent) + self._opening

    @property
    def idle(self) -> int:
        return len(self._idle)

    @property
    def waiting(self) -> int:
        """How many wait for a connection now."""
        return sum(not waiter.done() for waiter in self._waiting)

    @property
    def limit(self) -> int:
        return self._limit


def is_cut_off(connection: Connection) -> bool:
    """Whether a statement on it was cancelled, or timed out, and has not been seen to end."""
    return connection._protocol._is_cancelling()  # asyncpg's own pool asks so


async def _close(connection: Connection) -> None:
    try:
        await connection.close(timeout=CLOSE_TIMEOUT_S)
    except (*CONNECTION_LOST, asyncpg.PostgresError, TimeoutError):
        connection.terminate()
