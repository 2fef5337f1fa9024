"""Jobs: work that is done later, or regularly, and must not be forgotten.

    SETTLE = JobKind("booking.settle_hold", SettleHold, timeout_s=30, attempts=5)

    enqueue(tx, SETTLE, SettleHold(hold_id), at=hold.expires_at, key=f"settle {hold_id}")     # with the transaction

    worker = Worker(database, url, [JobHandler(SETTLE, settle)], [Schedule("venues.tidy", every(hours=1), TIDY, Tidy())])

A thin layer over pgqueuer on the same PostgreSQL. A body may run more than once (a worker can die after the work and before
it is noted), so every body is idempotent. A job is started at most `attempts` times, and the count is written before the
body runs: one that kills its worker is parked in `kernel.dead_job` like one that keeps failing.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar
from uuid import UUID, uuid4

import asyncpg
import msgspec
import structlog
from croniter import croniter
from pgqueuer.adapters.drivers.asyncpg import AsyncpgDriver
from pgqueuer.adapters.persistence.qb import QueryBuilderEnvironment, QueryQueueBuilder, QuerySchedulerBuilder
from pgqueuer.adapters.persistence.queries import Queries
from pgqueuer.core.buffers import JobStatusLogBuffer
from pgqueuer.core.executors import AbstractEntrypointExecutor, EntrypointExecutorParameters
from pgqueuer.core.qm import QueueManager
from pgqueuer.domain import models
from pgqueuer.domain.errors import RetryRequested
from pgqueuer.domain.settings import DBSettings
from pgqueuer.domain.types import Channel, QueueEntrypoint, QueueManagerId
from pgqueuer.ports.repository import EntrypointExecutionParameter

from forecourt.kernel import telemetry
from forecourt.kernel.clock import JITTER, Clock, SystemClock
from forecourt.kernel.context import Context, service_context
from forecourt.kernel.db import Database, ModuleDatabase, Query, Statement, Tx
from forecourt.kernel.doorbell import JOBS_CHANNEL, Topic, ring
from forecourt.kernel.events import Subscription
from forecourt.kernel.faults import describe
from forecourt.kernel.log import TRACE
from forecourt.kernel.metrics import Metrics
from forecourt.kernel.snapshots import HURRY, keep

log = structlog.get_logger("forecourt.jobs")

P = TypeVar("P", bound=msgspec.Struct)
Row = TypeVar("Row")

HEARTBEAT_TIMEOUT = timedelta(seconds=10)
"""A job whose worker has not been heard of for so long is given to another."""
DEQUEUE_TIMEOUT = timedelta(seconds=5)
BATCH = 10
CONCURRENT = 20
SCHEDULE_POLL_S = 1.0
LONGEST_PAUSE_S = 300.0
DEATHS_BEFORE_SOLITUDE = 2
"""After so many starts without an outcome a job is suspected of killing its worker, and runs with no other beside it …"""
SOLITUDE_S = 5.0
"""… for so long, having waited as long at most for those that ran: what kills does so soon, and much that does not takes long."""
KEEP_LOG_DAYS = 7
KEEP_SET_ASIDE_DAYS = 90
"""Events and jobs that were set aside, from then on: they hold what the log may not keep, and nobody has replayed them."""
STALE_DAYS = 7

# Our own names, whatever PGQUEUER_* variables say.
_SETTINGS = DBSettings(
    prefix="",
    db_schema="kernel",
    channel=Channel(JOBS_CHANNEL),
    function="job_changed",
    statistics_table="job_statistics",
    queue_status_type="job_status",
    queue_table="job",
    queue_table_log="job_log",
    trigger="job_changed",
    schedules_table="job_schedules",
)


class JobKind(Generic[P]):
    """A kind of job: its stable name (`booking.settle_hold`, the module first), payload, time limit and number of starts.

    `kept_days`: for so long it is kept when it was given up. STALE_DAYS for one that carries a person's address or words: what
    could not be told in a week is stale, and it is not found when that person is erased.
    """

    def __init__(
        self, name: str, payload: type[P], *, timeout_s: float, attempts: int, kept_days: int = KEEP_SET_ASIDE_DAYS
    ) -> None:
        self.name = name
        self.payload = payload
        self.timeout_s = timeout_s
        self.attempts = attempts
        self.kept_days = kept_days
        self.decoder = msgspec.json.Decoder(payload)


class JobHandler(Generic[P]):
    """What a kind of job does. `run` gets a context of the service, about the organisation the job was enqueued for."""

    def __init__(self, kind: JobKind[P], run: Callable[[Context, P], Awaitable[None]]) -> None:
        self.kind = kind
        self.run = run


class Headers(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a job knows of the transaction that enqueued it."""

    organisation_id: UUID | None = None
    trace_id: str = ""
    mark: str = ""
    """Of the span that enqueued it, when that was recorded."""


# --- enqueueing ------------------------------------------------------------------------------------------------------

INSERT = Statement(
    "insert into kernel.job (entrypoint, payload, headers, dedupe_key, execute_after)"
    " select j.kind, j.payload, j.headers::jsonb, j.key, coalesce(j.at, now())"
    " from unnest($1::text[], $2::bytea[], $3::text[], $4::text[], $5::timestamptz[]) as j (kind, payload, headers, key, at)"
    " on conflict do nothing"
)


class JobBuffer:
    """The jobs of one transaction, written by one statement just before it commits."""

    def __init__(self) -> None:
        self._rows: list[tuple[object, ...]] = []

    def add(self, kind: str, payload: bytes, headers: str, key: str | None, at: datetime | None) -> None:
        self._rows.append((kind, payload, headers, key, at))

    async def flush(self, tx: Tx) -> None:
        if self._rows:
            await tx.run(INSERT, *map(list, zip(*self._rows, strict=True)))

    def committed(self) -> None:
        if self._rows:
            ring(Topic.JOBS)


def enqueue(tx: Tx, kind: JobKind[P], payload: P, *, at: datetime | None = None, key: str | None = None) -> None:
    """Adds a job that exists if and only if `tx` commits, and runs at `at` or soon.

    While a job with the same `key` waits or runs, another is not added. So a key is for work that need not be done again, not
    for "look at it again": the one that runs may have looked already.
    """
    headers = msgspec.json.encode(Headers(tx.context.organisation_id, tx.context.trace_id, telemetry.here())).decode()
    tx.buffer(JobBuffer).add(kind.name, msgspec.json.encode(payload), headers, f"{kind.name} {key}" if key else None, at)


# --- schedules -------------------------------------------------------------------------------------------------------

Times = Callable[[datetime], datetime]
"""The next time after a given one."""


def every(**units: float) -> Times:
    """At whole multiples of an interval since the epoch: `every(minutes=5)` fires at :00, :05, … for any number of workers."""
    step_s = timedelta(**units).total_seconds()
    if step_s < 1:
        raise ValueError("a schedule fires at most once a second")
    return lambda after: datetime.fromtimestamp((after.timestamp() // step_s + 1) * step_s, after.tzinfo)


def cron(expression: str) -> Times:
    """At the times of a cron expression, in UTC: `cron("15 3 * * *")`."""
    if not croniter.is_valid(expression):
        raise ValueError(f"{expression!r} is no cron expression")
    return lambda after: croniter(expression, after).get_next(datetime)


class Schedule(msgspec.Struct, frozen=True):
    """Enqueues a job at its times. A firing missed while nothing ran is made up once, not once for each time."""

    name: str
    times: Times
    kind: JobKind[Any]
    payload: msgspec.Struct


NOT_YET = Query(str, "select s.name from kernel.schedule s where s.name = any($1::text[]) and s.next_at > $2")
LEARN = Statement("insert into kernel.schedule (name, next_at) values ($1, $2) on conflict do nothing")
FIRE = Statement("update kernel.schedule set next_at = $3, fired_at = $2 where name = $1 and next_at <= $2")


# --- running ---------------------------------------------------------------------------------------------------------


class Started(msgspec.Struct, frozen=True):
    starts: int
    attempts: int


STARTED = Query(Started, "select starts, attempts from kernel.job where id = $1")
COUNT_START = Statement("update kernel.job set starts = starts + 1 where id = $1")
ACQUIT = Statement("update kernel.job set starts = least(starts, attempts) where id = $1")
"""Forgets the starts that ended in nobody's failure, in a worker's death."""
GIVE_BACK = Statement("update kernel.job set starts = starts - 1 where id = any($1::bigint[])")
BURY = Statement(
    "insert into kernel.dead_job (id, kind, payload, headers, dedupe_key, starts, error, enqueued_at, keep_until)"
    " select id, entrypoint, payload, coalesce(headers, '{}'::jsonb), dedupe_key, starts, $2, created,"
    " now() + make_interval(days => $3::int) from kernel.job where id = $1"
    " on conflict (id) do update set starts = excluded.starts, error = excluded.error, died_at = now(),"
    " keep_until = excluded.keep_until"
)
REPLAY = Statement(
    "with raised as (delete from kernel.dead_job where id = any(select d.id from kernel.dead_job d"
    " where ($1::bigint is null or d.id = $1) and ($2::text is null or d.kind = $2) order by d.id limit $3)"
    " returning id, kind, payload, headers, dedupe_key)"
    " insert into kernel.job (entrypoint, payload, headers, dedupe_key)"
    " select r.kind, r.payload, r.headers, r.dedupe_key from raised r order by r.id on conflict do nothing"
)
HASTEN = Statement(
    "update kernel.job set execute_after = now() - interval '1 millisecond' where status = 'queued'"
    " and execute_after between now() and now() + $1::interval"
)
FORGET_LOG = Statement(
    "delete from kernel.job_log where id = any(array("
    "select l.id from kernel.job_log l where l.created < $1 and l.aggregated order by l.created limit $2))"
)
FORGET_STATISTICS = Statement(
    "delete from kernel.job_statistics where id = any(array("
    "select s.id from kernel.job_statistics s where s.created < $1 order by s.id limit $2))"
)


class JobAge(msgspec.Struct, frozen=True):
    """How one kind of job is doing. `due`: those that wait for a worker; one that a living worker is at does not wait.

    `oldest_s`: for how long the oldest of them has been due.
    """

    kind: str
    due: int
    later: int
    oldest_s: float
    dead: int


AGES = Query(
    JobAge,
    "select k.kind, coalesce(j.due, 0)::int, coalesce(j.later, 0)::int, coalesce(j.oldest_s, 0)::float8, coalesce(d.dead, 0)::int"
    " from (select entrypoint as kind from kernel.job union select kind from kernel.dead_job) k"
    " left join (select w.kind, count(*) filter (where w.waits and w.at <= now()) as due,"
    "  count(*) filter (where w.at > now()) as later,"
    "  extract(epoch from now() - min(w.at) filter (where w.waits and w.at <= now())) as oldest_s"
    "  from (select q.entrypoint as kind, q.execute_after as at,"
    "   q.status = 'queued' or q.heartbeat < now() - $1::interval as waits from kernel.job q) w"
    "  group by w.kind) j on j.kind = k.kind"
    " left join (select kind, count(*) as dead from kernel.dead_job group by kind) d on d.kind = k.kind"
    " order by k.kind",
)


class Company:
    """Who may run beside whom in one process: any number together, or for a while one alone.

    A job that kills its process takes its neighbours' starts with it. Run alone, it can only use up its own. But most suspects
    were only near when somebody else died, and some take an hour: one waits for its neighbours for SOLITUDE_S at most, and after
    as much again it is one of them. Whoever waits outside meanwhile comes in before the next suspect.
    """

    def __init__(self) -> None:
        self._changed = asyncio.Event()
        self._together = 0
        self._outside = 0
        self._suspect: object | None = None

    @asynccontextmanager
    async def together(self) -> AsyncGenerator[None, None]:
        self._outside += 1
        try:
            await self._until(lambda: self._suspect is None)
        finally:
            self._outside -= 1
            self._change()
        with self._among_others():
            yield

    @asynccontextmanager
    async def alone(self) -> AsyncGenerator[None, None]:
        await self._until(lambda: self._suspect is None and not self._outside)
        me = self._suspect = object()
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SOLITUDE_S):
                    await self._until(lambda: not self._together)
            opening = asyncio.get_running_loop().call_later(SOLITUDE_S, self._open, me)
            try:
                with self._among_others():
                    yield
            finally:
                opening.cancel()
        finally:
            self._open(me)

    @contextmanager
    def _among_others(self) -> Generator[None, None, None]:
        self._together += 1
        try:
            yield
        finally:
            self._together -= 1
            self._change()

    def _open(self, suspect: object) -> None:
        if self._suspect is suspect:
            self._suspect = None
            self._change()

    def _change(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _until(self, holds: Callable[[], bool]) -> None:
        while not holds():
            await self._changed.wait()


class Roster:
    """Which jobs a worker is at, so that none loses a start because the worker is told to stop."""

    def __init__(self) -> None:
        self._counted: set[int] = set()
        self._leaving = False

    @contextmanager
    def at(self, job: int) -> Generator[bool, None, None]:
        """While a job runs. Gives whether its start counts: not once the worker leaves, which may be killed over any of them."""
        counts = not self._leaving
        if counts:
            self._counted.add(job)
        try:
            yield counts
        finally:
            self._counted.discard(job)

    def stay(self) -> None:
        self._leaving = False

    def leave(self) -> list[int]:
        """The jobs at work whose start is to be given back. No other is counted from now on."""
        self._leaving = True
        counted = sorted(self._counted)
        self._counted.clear()
        return counted


class Executor(AbstractEntrypointExecutor):
    """Runs jobs of one kind for pgqueuer: counts the start, keeps the time limit, decides what a failure means.

    pgqueuer deletes a job that ends in any error but RetryRequested, and one that is cancelled. So nothing else leaves here: a
    job whose start could not be written, or whose burial failed, is as it was and comes again.
    """

    def __init__(
        self, kernel: ModuleDatabase, handler: JobHandler[Any], company: Company, roster: Roster, metrics: Metrics
    ) -> None:
        super().__init__(EntrypointExecutorParameters(concurrency_limit=0, func=self.attempt))
        self._kernel = kernel
        self._handler = handler
        self._company = company
        self._roster = roster
        self._metrics = metrics

    async def execute(self, job: models.Job, context: models.Context) -> None:
        """`attempt`, for pgqueuer: a job that is cut off, because its worker is, goes to the next one at once."""
        try:
            await self.attempt(job)
        except asyncio.CancelledError as e:
            raise RetryRequested(reason="its worker was cut off") from e

    async def attempt(self, job: models.Job) -> None:
        """Runs the job if it is still there. Returns when it is done or buried; raises RetryRequested for it to come again."""
        try:
            await self._start(job)
        except RetryRequested:
            raise
        except Exception as e:
            error = describe(e)
            log.warning("job_not_noted", kind=job.entrypoint, job=job.id, error=error)
            raise RetryRequested(delay=pause_after(1), reason=error) from e

    async def _start(self, job: models.Job) -> None:
        service = service_context(self._handler.kind.name)
        async with self._kernel.read(service) as tx:
            before = await tx.maybe(STARTED, job.id)
        if before is None:
            return  # finished by another worker, which had taken it for dead
        suspect = before.starts - before.attempts >= DEATHS_BEFORE_SOLITUDE
        if not suspect:
            async with self._company.together():
                await self._run(job, before.starts + 1)
            return
        async with self._company.alone():
            await self._run(job, before.starts + 1)
            await self._acquit(job)

    async def _acquit(self, job: models.Job) -> None:
        """That it is done is noted a little later, with others. Should the next suspect kill the worker before, this one is
        started again, and must not be buried for it. A database that is away now does not undo that it is done."""
        try:
            async with self._kernel.tx(service_context(self._handler.kind.name)) as tx:
                await tx.run(ACQUIT, job.id)
        except Exception as e:
            log.warning("job_not_acquitted", kind=job.entrypoint, job=job.id, error=describe(e))

    async def _run(self, job: models.Job, start: int) -> None:
        kind = self._handler.kind
        if start > kind.attempts:
            await self._bury(job, start - 1, "it was started and never ended: its worker died, or was cut off, each time")
            return
        with self._roster.at(int(job.id)) as counts:
            if counts:
                async with self._kernel.tx(service_context(kind.name)) as tx:
                    await tx.run(COUNT_START, job.id)
            await self._try(job, start)

    async def _try(self, job: models.Job, start: int) -> None:
        kind = self._handler.kind
        began = time.perf_counter()
        try:
            await self._do(job)
        except Exception as e:
            error = describe(e)
            if start >= kind.attempts:
                await self._bury(job, start, error)
                self._metrics.ran(kind.name, "buried", time.perf_counter() - began)
                return
            self._metrics.ran(kind.name, "failed", time.perf_counter() - began)
            pause = pause_after(start)
            log.warning("job_failed", kind=kind.name, job=job.id, start=start, again_in_s=pause.total_seconds(), error=error)
            raise RetryRequested(delay=pause, reason=error) from e
        self._metrics.ran(kind.name, "done", time.perf_counter() - began)

    async def _do(self, job: models.Job) -> None:
        """The work itself, in the trace of what enqueued it; by the clock, in one of its own."""
        kind = self._handler.kind
        headers = msgspec.convert(job.headers or {}, Headers)
        payload = kind.decoder.decode(job.payload or b"{}")
        trace_id = headers.trace_id or telemetry.trace_id_of(None)
        above, about = telemetry.parent_of(headers.mark), telemetry.Attributes(job_id=int(job.id))
        told = TRACE.set(trace_id)
        try:
            with telemetry.span(kind.name, above, side=telemetry.Side.CONSUMER, trace_id=trace_id, more=about):
                async with asyncio.timeout(kind.timeout_s):
                    await self._handler.run(service_context(kind.name, headers.organisation_id, trace_id), payload)
        finally:
            TRACE.reset(told)

    async def _bury(self, job: models.Job, starts: int, error: str) -> None:
        log.error("job_buried", kind=job.entrypoint, job=job.id, starts=starts, error=error)
        async with self._kernel.tx(service_context(self._handler.kind.name)) as tx:
            await tx.run(BURY, job.id, error, self._handler.kind.kept_days)


def pause_after(start: int) -> timedelta:
    """One second, then twice as long each time, at most five minutes; up to a quarter more so that failures spread out."""
    return timedelta(seconds=min(2.0 ** (start - 1), LONGEST_PAUSE_S) * JITTER.uniform(1, 1.25))


class Manager(QueueManager):
    """pgqueuer's, which deletes a job that it could not put back into the queue: a failing connection would lose the job."""

    async def log_failure(
        self, job: models.Job, executor: AbstractEntrypointExecutor, exc: Exception, jbuff: JobStatusLogBuffer
    ) -> None:
        """Leaves the job to be found: its heartbeat has stopped, so it is taken again like one whose worker died."""
        log.warning("job_not_put_back", kind=job.entrypoint, job=job.id, error=describe(exc))


class Worker:
    """Runs jobs and fires schedules. Any number of workers may run, in any processes.

    `url` is for a connection of the worker's own, on which it takes jobs and listens: not through a transaction pooler.
    """

    def __init__(
        self,
        database: Database,
        url: str,
        handlers: Sequence[JobHandler[Any]],
        schedules: Sequence[Schedule] = (),
        clock: Clock | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        self._database = database
        self._kernel = database.module("kernel")
        self._url = url
        self._clock = clock or SystemClock()
        self._schedules = schedules
        company, metrics = Company(), metrics or Metrics()
        self._roster = Roster()
        self._executors = {h.kind.name: Executor(self._kernel, h, company, self._roster, metrics) for h in handlers}
        if len(self._executors) != len(handlers):
            raise ValueError("two handlers for one kind of job")
        missing = {s.kind.name for s in schedules} - self._executors.keys()
        if missing:
            raise ValueError(f"scheduled, but nobody handles it: {', '.join(sorted(missing))}")
        self._manager: QueueManager | None = None
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Works until `stop`. A database that goes away is waited for. Cancelled, it still lets those at work finish."""
        self._stopping.clear()
        self._roster.stay()
        clockwork = asyncio.create_task(self._keep_schedules(), name="schedules")
        try:
            while not self._stopping.is_set():
                try:
                    await self._work()
                except Exception as e:
                    log.warning("job_worker_interrupted", error=describe(e))
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._stopping.wait(), 1)
        finally:
            clockwork.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await clockwork

    async def stop(self) -> None:
        """Takes no more jobs and lets those at work finish, then `run` returns.

        First it gives them their start back: whoever stops a worker kills it when it takes too long, and that is not their fault.
        """
        self._stopping.set()
        if self._manager is not None:
            self._manager.shutdown.set()
        await self._give_back(self._roster.leave())

    async def drain(self, *, within: timedelta = timedelta(0), most: int = 1_000) -> int:
        """Fires schedules that are due and runs every job due now or `within` that time, and what they enqueue for now.

        For tests and commands; returns how many were run. A job that fails waits for its next try as ever.
        """
        self._roster.stay()
        await self.fire_schedules()
        entrypoints = {QueueEntrypoint(n): EntrypointExecutionParameter(concurrency_limit=0) for n in self._executors}
        me = QueueManagerId(uuid4())
        ran = 0
        async with self._queries() as queries:
            await self._hasten(within)
            while ran < most:
                jobs = await queries.dequeue(BATCH, entrypoints, me, None, HEARTBEAT_TIMEOUT)
                if not jobs:
                    break
                ran += len(jobs)
                for job in jobs:
                    await self._run_now(queries, job)
        return ran

    @property
    def leaving(self) -> bool:
        """Whether it has been told to stop."""
        return self._stopping.is_set()

    @property
    def kinds(self) -> list[str]:
        """The kinds of jobs that it runs."""
        return list(self._executors)

    async def ages(self) -> list[JobAge]:
        """How many jobs wait, and for how long, per kind. For metrics and health."""
        async with self._kernel.read(service_context("kernel.jobs")) as tx:
            return await tx.all(AGES, HEARTBEAT_TIMEOUT)

    async def fire_schedules(self) -> None:
        """Enqueues the job of every schedule that is due. Of several workers one fires.

        Nearly always none is, and every worker asks once a second: so that is one question.
        """
        now = self._clock.now()
        async with self._kernel.read(service_context("kernel.schedules")) as tx:
            waiting = set(await tx.all(NOT_YET, [s.name for s in self._schedules], now))
        for schedule in self._schedules:
            if schedule.name in waiting:
                continue
            following = schedule.times(now)
            async with self._kernel.tx(service_context("kernel.schedules")) as tx:
                await tx.run(LEARN, schedule.name, following)
                if await tx.run(FIRE, schedule.name, now, following):
                    enqueue(tx, schedule.kind, schedule.payload, key=f"schedule {schedule.name}")

    async def _keep_schedules(self) -> None:
        while True:
            try:
                await self.fire_schedules()
            except Exception as e:
                log.warning("schedules_interrupted", error=describe(e))
            await asyncio.sleep(SCHEDULE_POLL_S)

    async def _work(self) -> None:
        async with self._queries() as queries:
            manager = self._manager = Manager(queries, channel=_SETTINGS.channel)
            if self._stopping.is_set():
                return
            for name, executor in self._executors.items():
                manager.register_executor(name, executor)
            running = asyncio.create_task(
                manager.run(
                    dequeue_timeout=DEQUEUE_TIMEOUT,
                    batch_size=BATCH,
                    max_concurrent_tasks=CONCURRENT,
                    shutdown_on_listener_failure=True,
                    heartbeat_timeout=HEARTBEAT_TIMEOUT,
                ),
                name="job queue",
            )
            try:
                await asyncio.shield(running)
            except asyncio.CancelledError:
                manager.shutdown.set()
                with contextlib.suppress(Exception):
                    await running  # whoever cancels once more cuts off what is at work
                raise

    async def _run_now(self, queries: Queries, job: models.Job) -> None:
        try:
            await self._executors[job.entrypoint].attempt(job)
        except RetryRequested as again:
            await queries.retry_job(job, again.delay, models.TracebackRecord.from_exception(again, job.id, {}))
        else:
            await queries.log_jobs([(job, "successful", None)])

    async def _give_back(self, at_work: list[int]) -> None:
        if not at_work:
            return
        try:
            async with self._kernel.tx(service_context("kernel.jobs")) as tx:
                await tx.run(GIVE_BACK, at_work)
        except Exception as e:
            log.warning("starts_not_given_back", jobs=at_work, error=describe(e))

    async def _hasten(self, within: timedelta) -> None:
        if within:
            async with self._kernel.tx(service_context("kernel.jobs")) as tx:
                await tx.run(HASTEN, within)

    @asynccontextmanager
    async def _queries(self) -> AsyncGenerator[Queries, None]:
        """pgqueuer over a connection of its own, under the kernel's role for as long as it lives."""
        connection = await asyncpg.connect(
            self._url, timeout=10, command_timeout=15, server_settings={"application_name": "forecourt jobs", "role": "fc_kernel"}
        )
        try:
            yield Queries(
                AsyncpgDriver(connection),
                QueryBuilderEnvironment(_SETTINGS),
                QueryQueueBuilder(_SETTINGS),
                QuerySchedulerBuilder(_SETTINGS),
            )
        finally:
            connection.terminate()


async def replay_jobs(database: Database, *, job_id: int | None = None, kind: str | None = None, most: int = 1_000) -> int:
    """Puts dead jobs back into the queue with all their starts; returns how many. One whose key is taken again is dropped."""
    async with database.module("kernel").tx(service_context("kernel.jobs")) as tx:
        raised = await tx.run(REPLAY, job_id, kind, most)
    ring(Topic.JOBS)
    return raised


# --- the kernel's own housekeeping -----------------------------------------------------------------------------------


class Tidy(msgspec.Struct, frozen=True):
    pass


TIDY = JobKind("kernel.tidy", Tidy, timeout_s=180, attempts=3)
KEEP_EVENTS_DAYS = 90
KEEP_INBOX_DAYS = 90
MAKE_PARTITIONS = Query(int, "select kernel.make_event_partitions(3)")
DROP_PARTITIONS = Query(str, "select array_to_string(kernel.drop_event_partitions($1), ' ')")
FORGET_KEYS = Query(int, "select kernel.forget_idempotency($1, $2)")
FORGET_INBOX = Statement(
    "delete from kernel.inbox where ctid = any(array(select i.ctid from kernel.inbox i where i.at < $1 order by i.at limit $2))"
)
FORGET_LETTERS = Statement(
    "delete from kernel.dead_letter where id = any(array(select d.id from kernel.dead_letter d where d.died_at < $1"
    " and to_regclass('kernel.event_' || to_char(d.at at time zone 'UTC', 'YYYY_MM')) is null order by d.id limit $2))"
)
"""Not while the log has their month: a rebuild would come upon the event and not know that it was set aside."""
FORGET_DEAD_JOBS = Statement(
    "delete from kernel.dead_job where id = any(array("
    "select j.id from kernel.dead_job j where j.keep_until < $1"
    " or j.keep_until is null and j.died_at < $1 - make_interval(days => 90) order by j.id limit $2))"
)
"""Those from before release 0.2 do not say for how long."""
HOLDERS = Query(
    str,
    "select c.subscriber from kernel.cursor c where exists"
    " (select from kernel.event e where e.at < $1 and (e.xid, e.id) > (c.xid, c.id)) order by c.subscriber",
)
"""Who has not read what is past its keeping: a subscriber that fails, or one that is no longer there."""
SWEEP = 5_000
"""So many rows at a time: each batch is far from the limit of a statement, and holds nobody up."""
SWEEP_S = 20.0
"""Of each kind of row, nothing new is begun after so long; the next hour goes on."""


class Housekeeper:
    """Makes room ahead and lets go of what is past its keeping. Each step commits by itself: one that fails undoes no other."""

    def __init__(self, kernel: ModuleDatabase, subscriptions: Sequence[Subscription], sweep: int, sweep_s: float) -> None:
        self._kernel = kernel
        self._subscriptions = subscriptions
        self._sweep = sweep
        self._sweep_s = sweep_s

    async def tidy(self, ctx: Context, now: datetime) -> None:
        await self._hurried(ctx, MAKE_PARTITIONS)
        unkept = await self._take_snapshots(now)
        dropped = await self._drop_partitions(ctx, now - timedelta(days=KEEP_EVENTS_DAYS))
        keys = await self._forget(ctx, FORGET_KEYS, now)
        inbox = await self._forget(ctx, FORGET_INBOX, now - timedelta(days=KEEP_INBOX_DAYS))
        lines = await self._forget(ctx, FORGET_LOG, now - timedelta(days=KEEP_LOG_DAYS))
        figures = await self._forget(ctx, FORGET_STATISTICS, now - timedelta(days=KEEP_EVENTS_DAYS))
        letters = await self._forget(ctx, FORGET_LETTERS, now - timedelta(days=KEEP_SET_ASIDE_DAYS))
        jobs = await self._forget(ctx, FORGET_DEAD_JOBS, now)
        log.info("tidied", dropped=dropped, keys=keys, inbox=inbox, log=lines, statistics=figures)
        if letters or jobs:
            log.warning("set_aside_forgotten", events=letters, jobs=jobs)
        if unkept:
            raise unkept[0]  # the months that need it stay; what else there was to do is done

    async def _take_snapshots(self, now: datetime) -> list[Exception]:
        """What has to be kept before months go, of those subscribers that this process knows; the log waits for the others."""
        failed: list[Exception] = []
        month = now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        for s in self._subscriptions:
            if s.state is not None:
                try:
                    if await keep(self._kernel, s.subscriber, s.module, s.state, month):
                        log.info("snapshot_taken", subscriber=s.subscriber)
                except asyncpg.LockNotAvailableError:
                    log.warning("snapshot_put_off", subscriber=s.subscriber)
                except Exception as e:
                    log.error("snapshot_failed", subscriber=s.subscriber, error=describe(e))
                    failed.append(e)
        return failed

    async def _drop_partitions(self, ctx: Context, before: datetime) -> str:
        """The names of the months that went."""
        dropped = await self._hurried(ctx, DROP_PARTITIONS, before)
        async with self._kernel.tx(ctx) as tx:
            holders = await tx.all(HOLDERS, before)
        if holders:
            log.warning("events_held_back", subscribers=holders, before=before)
        return dropped or ""

    async def _hurried(self, ctx: Context, query: Query[Row], *args: object) -> Row | None:
        """It locks the log against everybody, and who emits waits behind it for as long as it waits itself: when somebody reads
        for longer than a second, it is left for another hour, and the answer is None."""
        try:
            async with self._kernel.tx(ctx) as tx:
                await tx.one(HURRY)
                return await tx.one(query, *args)
        except asyncpg.LockNotAvailableError:
            log.warning("partitions_in_use", statement=query.sql)
            return None

    async def _forget(self, ctx: Context, old: Query[int] | Statement, before: datetime) -> int:
        """Batch by batch; returns how many rows went."""
        gone, until = 0, time.monotonic() + self._sweep_s
        while True:
            async with self._kernel.tx(ctx) as tx:
                args = (before, self._sweep)
                batch = await tx.run(old, *args) if isinstance(old, Statement) else await tx.one(old, *args)
            gone += batch
            if batch < self._sweep:
                return gone
            if time.monotonic() >= until:
                log.warning("more_to_forget", gone=gone, statement=old.sql)
                return gone


def housekeeping(
    database: Database,
    clock: Clock,
    subscriptions: Sequence[Subscription] = (),
    *,
    sweep: int = SWEEP,
    sweep_s: float = SWEEP_S,
) -> tuple[JobHandler[Tidy], Schedule]:
    """The kernel's hourly job: partitions ahead, months past their time, old keys and logs. The app gives both to its worker.

    Of `subscriptions`, those with a state have it kept before months go. Rows go `sweep` at a time, of each kind for `sweep_s`
    seconds.
    """
    housekeeper = Housekeeper(database.module("kernel"), subscriptions, sweep, sweep_s)

    async def tidy(ctx: Context, _: Tidy) -> None:
        await housekeeper.tidy(ctx, clock.now())

    return JobHandler(TIDY, tidy), Schedule("kernel.tidy", every(hours=1), TIDY, Tidy())
