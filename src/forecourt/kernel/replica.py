"""A streaming replica for reads: who may read there, what happens when it is behind, and when it is gone.

A read of a person, a key or a stranger goes there when the replica holds everything that was committed until 100 ms ago, and
everything that this person or key has written. The house's own work (jobs, reactions, the gate) reads the primary always: it
follows upon something that was just written. So does whoever was just told that something changed (`newest`).

How far the replica is, is measured beside the requests: every 30 ms the primary is asked where its log ends, and the replica how
far it has replayed. What follows is a moment of this process's own clock, `holds_until`: whatever was committed before it can be
seen there. An idle primary, a cut stream, a paused replay and a replica that hangs all end the same way: the moment grows old.

Behind one address there may be several replicas. What is measured is true of one of them, so all connections are to that one: a
new one that came to another is not used, and all are given up when another is measured.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Generator
from contextvars import ContextVar
from uuid import UUID

import asyncpg
import structlog
from valkey.asyncio import Valkey
from valkey.exceptions import ValkeyError

from forecourt.kernel.context import ActorKind, Context
from forecourt.kernel.pool import CONNECTION_LOST, Connection, Pool

LAG_LIMIT_S = 0.1
"""A replica that is not known to hold everything until then is not asked."""
WATCH_S = 0.03
ANSWER_S = 1.0
"""A replica that says nothing for so long is given up: its statements are cut off and repeated on the primary."""
RETRY_S = 0.5
WRITER_KEPT_MS = 1_000
"""How long Valkey remembers who wrote. Longer than LAG_LIMIT_S: a read after it finds the write wherever it is sent."""
MAX_WRITERS = 50_000
VALKEY_TIMEOUT_S = 0.25
VALKEY_PAUSE_S = 2.0
KEY = "fc:wrote:"

_END = "select (pg_current_wal_flush_lsn() - '0/0'::pg_lsn)::bigint"
_REPLAYED = "select case when pg_is_in_recovery() then (pg_last_wal_replay_lsn() - '0/0'::pg_lsn)::bigint end"
_SERVER = "select concat_ws(' ', host(inet_server_addr()), pg_postmaster_start_time())"
"""Which of the servers behind an address it is: where it is reached, and since when it runs."""
_FAILURES = (*CONNECTION_LOST, asyncpg.PostgresError, TimeoutError)


class _PrimaryAway(Exception):
    """Nobody can say where the primary's log ends."""


class AnotherReplica(ConnectionError):
    """A connection came to a replica of which nothing was measured."""


_newest: ContextVar[bool] = ContextVar("newest", default=False)
_log: structlog.stdlib.BoundLogger = structlog.get_logger("forecourt.replica")


@contextlib.contextmanager
def newest() -> Generator[None]:
    """Reads of this block, and of tasks it starts, are answered by the primary: who reads was just told of a change."""
    token = _newest.set(True)
    try:
        yield
    finally:
        _newest.reset(token)


def wants_newest() -> bool:
    return _newest.get()


class Replica:
    """The replica of one process: its pool, and what is known about it. `start` it on the loop, `close` it at the end."""

    def __init__(
        self,
        primary_url: str,
        url: str,
        size: int,
        application: str,
        valkey_url: str | None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.pool = Pool(url, size, application, self._admit)
        self.holds_until = -math.inf
        self._server: str | None = None
        """The one that is measured."""
        self._primary_url = primary_url
        self._url = url
        self._application = application
        self._monotonic = monotonic
        self._ends: deque[tuple[float, int]] = deque(maxlen=1_000)
        """When the primary was asked, and where its log ended then; those the replica has not reached yet."""
        self._writers: OrderedDict[UUID, float] = OrderedDict()
        self._valkey = None
        if valkey_url is not None:
            self._valkey = Valkey.from_url(valkey_url, socket_timeout=VALKEY_TIMEOUT_S, socket_connect_timeout=VALKEY_TIMEOUT_S)
        self._valkey_away_until = -math.inf
        self._task: asyncio.Task[None] | None = None
        self._used: bool | None = None

    # --- who reads where

    async def may_answer(self, ctx: Context) -> bool:
        """Whether a read of `ctx` sees there what it has to see. Asks Valkey for who is known and has not written here."""
        if not self.fresh or _newest.get() or ctx.actor.kind is ActorKind.SERVICE:
            return False
        writer = writer_of(ctx)
        if writer is None:
            return True
        wrote_at = self._writers.get(writer)
        if wrote_at is not None:
            if wrote_at >= self.holds_until:
                return False
            del self._writers[writer]
        return not await self._wrote_elsewhere(writer)

    @property
    def fresh(self) -> bool:
        """Whether the replica holds everything that was committed until 100 ms ago."""
        return self._monotonic() - self.holds_until < LAG_LIMIT_S

    @property
    def lag_s(self) -> float:
        """How old the newest moment is that the replica is known to hold; infinite when nothing is known."""
        return self._monotonic() - self.holds_until

    def failed(self) -> None:
        """It did not answer: nobody is sent there until the next look."""
        self.holds_until = -math.inf

    # --- who wrote

    async def wrote(self, writer: UUID) -> None:
        """This person or key has committed something. All processes of the installation know it when this returns.

        Never fails. While Valkey is away, only this process knows.
        """
        self._writers[writer] = self._monotonic()
        self._writers.move_to_end(writer)
        while len(self._writers) > MAX_WRITERS or next(iter(self._writers.values())) < self.holds_until:
            self._writers.popitem(last=False)
        if self._valkey is None or self._monotonic() < self._valkey_away_until:
            return
        try:
            await self._valkey.set(KEY + str(writer), b"", px=WRITER_KEPT_MS)
        except (ValkeyError, OSError, TimeoutError) as e:
            self._leave_valkey(e)

    def forget_writers(self) -> None:
        """What a process knows that has just begun: nothing."""
        self._writers.clear()

    async def _wrote_elsewhere(self, writer: UUID) -> bool:
        """True as well when nobody can say."""
        if self._valkey is None:
            return False
        if self._monotonic() < self._valkey_away_until:
            return True
        try:
            return await self._valkey.exists(KEY + str(writer)) > 0
        except (ValkeyError, OSError, TimeoutError) as e:
            self._leave_valkey(e)
            return True

    def _leave_valkey(self, error: Exception) -> None:
        self._valkey_away_until = self._monotonic() + VALKEY_PAUSE_S
        _log.warning("replica_without_valkey", error=type(error).__name__)

    # --- watching it

    async def start(self) -> None:
        """Begins to watch. A replica that is not there keeps nobody from starting."""
        self._task = asyncio.create_task(self._keep_watching(), name="replica")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await self.pool.close()
        if self._valkey is not None:
            await self._valkey.aclose()

    async def _keep_watching(self) -> None:
        while True:
            async with contextlib.AsyncExitStack() as lines:
                try:
                    primary = await self._primary_line(lines)
                    replica = await self._line(self._url, lines)
                    await self._stay_with(replica)
                    await self._watch(primary, replica)
                except _PrimaryAway:
                    self.failed()  # what is asked there goes on: it is the replica that answers
                except _FAILURES as e:
                    self._give_up(type(e).__name__)
            self._ends.clear()
            await asyncio.sleep(RETRY_S)

    async def _line(self, url: str, lines: contextlib.AsyncExitStack) -> Connection:
        """A connection beside the pools: when those are busy is no time to stop looking."""
        application = {"application_name": f"{self._application} watch"}
        line: Connection = await asyncpg.connect(url, timeout=ANSWER_S, command_timeout=ANSWER_S, server_settings=application)
        lines.callback(line.terminate)
        return line

    async def _primary_line(self, lines: contextlib.AsyncExitStack) -> Connection:
        try:
            return await self._line(self._primary_url, lines)
        except _FAILURES as e:
            raise _PrimaryAway from e

    async def _stay_with(self, replica: Connection) -> None:
        """What is measured from now on is true of this one. Nobody is sent anywhere until then."""
        server: str = await replica.fetchval(_SERVER)
        if server != self._server:
            self._server = server
            self.pool.cut_off()

    async def _admit(self, connection: Connection) -> None:
        if await connection.fetchval(_SERVER) != self._server:
            raise AnotherReplica("the address led to another replica than the one that is measured")

    async def _watch(self, primary: Connection, replica: Connection) -> None:
        while True:
            asked_at = self._monotonic()
            try:
                end: int = await primary.fetchval(_END)
            except _FAILURES as e:
                raise _PrimaryAway from e
            replayed: int | None = await replica.fetchval(_REPLAYED)
            if replayed is None:
                raise asyncpg.ObjectNotInPrerequisiteStateError("DATABASE_REPLICA_URL leads to a server that is no replica")
            self._reached(asked_at, end, replayed)
            await asyncio.sleep(WATCH_S)

    def _reached(self, asked_at: float, end: int, replayed: int) -> None:
        self._ends.append((asked_at, end))
        while self._ends and self._ends[0][1] <= replayed:
            self.holds_until = self._ends.popleft()[0]
        if self.fresh is not self._used:
            self._used = self.fresh
            _log.info("replica_used" if self._used else "replica_is_behind")

    def _give_up(self, why: str) -> None:
        """Whatever waits there is cut off; who waits for it asks the primary."""
        self.failed()
        self.pool.cut_off()
        if self._used is not False:
            _log.warning("replica_away", why=why)
        self._used = False


def writer_of(ctx: Context) -> UUID | None:
    """Whose own writes a read has to see: a person's or a key's."""
    return ctx.actor.account_id or ctx.actor.key_id
