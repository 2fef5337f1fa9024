"""The doorbell: tells sleeping workers, in this process or another, that there is something to do.

`NOTIFY` inside a business transaction takes a lock on the whole server at commit and halves throughput. So the commit only
rings here; a background task sends at most one `NOTIFY` per 20 ms for everything that rang. A lost ring costs one poll
(1 s for an event, 5 s for a job), never an event.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from enum import StrEnum

import asyncpg
import msgspec
import structlog

from forecourt.kernel.db import Database
from forecourt.kernel.faults import describe

log = structlog.get_logger("forecourt.doorbell")

CHANNEL = "forecourt"
JOBS_CHANNEL = "forecourt_jobs"
"""Where pgqueuer listens, in its own format."""
PAUSE_S = 0.02
RECONNECT_S = 1.0


class Topic(StrEnum):
    EVENTS = "events"
    JOBS = "jobs"


class Doorbell:
    """The bell of one house: from `start` to `stop` every commit of this process rings it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._rung: set[Topic] = set()
        self._awake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def ring(self, topic: Topic) -> None:
        """Never waits and never fails."""
        self._rung.add(topic)
        self._awake.set()

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="doorbell")
        _started.append(self)

    async def stop(self) -> None:
        if self._task is not None:
            _started.remove(self)
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _run(self) -> None:
        while True:
            await self._awake.wait()
            self._awake.clear()
            rung, self._rung = self._rung, set()
            try:
                await self._send(rung)
            except Exception as e:  # whatever it was, whoever waits looks by itself within a second; the bell must ring again
                log.warning("doorbell_unsent", error=describe(e))
            await asyncio.sleep(PAUSE_S)

    async def _send(self, topics: set[Topic]) -> None:
        connection = await self._database.primary.acquire()
        try:
            if Topic.EVENTS in topics:
                await connection.execute("select pg_notify($1, $2)", CHANNEL, Topic.EVENTS.value)
            if Topic.JOBS in topics:
                await connection.execute("select pg_notify($1, $2)", JOBS_CHANNEL, jobs_changed())
        finally:
            await self._database.primary.release(connection)


def jobs_changed() -> str:
    """What pgqueuer's own trigger would say."""
    sent_at = datetime.now(UTC).isoformat()
    change = {"channel": JOBS_CHANNEL, "sent_at": sent_at, "type": "table_changed_event", "operation": "insert", "table": "job"}
    return msgspec.json.encode(change).decode()


_started: list[Doorbell] = []
"""A process is one house. Where it is several, as in tests, a commit does not know whose it is: all hear of it."""


def ring(topic: Topic) -> None:
    """Where no bell is started, workers find their work by polling."""
    for bell in _started:
        bell.ring(topic)


@asynccontextmanager
async def listen(url: str, heard: Callable[[Topic], None]) -> AsyncGenerator[None, None]:
    """Calls `heard` for every ring while the block runs. A broken connection is made again; until then polling serves."""
    task = asyncio.create_task(_listen(url, heard), name="doorbell listener")
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _listen(url: str, heard: Callable[[Topic], None]) -> None:
    def receive(_connection: object, _pid: int, _channel: str, payload: object) -> None:
        with contextlib.suppress(ValueError):
            heard(Topic(str(payload)))

    while True:
        try:
            connection = await asyncpg.connect(url, timeout=10, server_settings={"application_name": "forecourt listener"})
            try:
                lost = asyncio.Event()
                connection.add_termination_listener(lambda _, lost=lost: lost.set())
                await connection.add_listener(CHANNEL, receive)
                for topic in Topic:  # what rang before we listened
                    heard(topic)
                await lost.wait()
            finally:
                connection.terminate()
        except Exception as e:  # whatever it was, the ear must be there again
            log.warning("doorbell_listener_lost", error=describe(e))
        await asyncio.sleep(RECONNECT_S)
