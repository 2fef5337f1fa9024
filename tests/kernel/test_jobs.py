from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import msgspec
import pytest
from pgqueuer.adapters.persistence.queries import Queries
from tests.kernel.conftest import Scratch
from tests.kernel.test_events import NOTES, Counted
from tests.statements import counted, transactions

from forecourt.kernel import doorbell, jobs
from forecourt.kernel.clock import FixedClock, SystemClock
from forecourt.kernel.context import Context, service_context
from forecourt.kernel.db import ModuleDatabase, Query, Statement, Tx
from forecourt.kernel.errors import Unavailable
from forecourt.kernel.events import Dispatcher, emit
from forecourt.kernel.jobs import (
    DEATHS_BEFORE_SOLITUDE,
    STALE_DAYS,
    Company,
    JobHandler,
    JobKind,
    Schedule,
    Tidy,
    Worker,
    cron,
    enqueue,
    every,
    housekeeping,
    replay_jobs,
)


class Count(msgspec.Struct, frozen=True):
    n: int


COUNT = JobKind("probe.count", Count, timeout_s=5, attempts=3)
STALE = JobKind("probe.stale", Count, timeout_s=5, attempts=1, kept_days=STALE_DAYS)
LONG = JobKind("probe.long", Count, timeout_s=60, attempts=3)
FOREIGN = JobKind("other.count", Count, timeout_s=5, attempts=3)


class Ledger:
    """A handler that remembers what it ran."""

    def __init__(self) -> None:
        self.ran: list[int] = []
        self.contexts: list[Context] = []
        self.failing: set[int] = set()

    async def run(self, context: Context, payload: Count) -> None:
        self.ran.append(payload.n)
        self.contexts.append(context)
        if payload.n in self.failing:
            raise ValueError("no")


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def worker(scratch: Scratch, ledger: Ledger) -> Worker:
    return Worker(scratch.db, scratch.url, [JobHandler(COUNT, ledger.run)])


async def add(
    scratch: Scratch, *numbers: int, kind: JobKind[Count] = COUNT, at: datetime | None = None, key: str | None = None
) -> None:
    async with scratch.probe.tx(service_context("test")) as tx:
        for n in numbers:
            enqueue(tx, kind, Count(n), at=at, key=key)


async def left(scratch: Scratch) -> int:
    return (await scratch.sql("select count(*) from kernel.job"))[0][0]


async def test_a_job_runs_once_with_the_context_it_was_enqueued_in(scratch: Scratch, worker: Worker, ledger: Ledger) -> None:
    org = uuid4()
    async with scratch.probe.tx(service_context("till", org, "b" * 32)) as tx:
        enqueue(tx, COUNT, Count(1))
    assert await worker.drain() == 1
    assert await worker.drain() == 0
    assert ledger.ran == [1]
    assert (ledger.contexts[0].organisation_id, ledger.contexts[0].trace_id) == (org, "b" * 32)
    assert await left(scratch) == 0


async def test_a_job_of_a_rolled_back_transaction_never_runs(scratch: Scratch, worker: Worker, ledger: Ledger) -> None:
    with pytest.raises(ZeroDivisionError):
        async with scratch.probe.tx(service_context("test")) as tx:
            enqueue(tx, COUNT, Count(1))
            raise ZeroDivisionError
    await add(scratch, 2)
    await worker.drain()
    assert ledger.ran == [2]


async def test_a_job_waits_for_its_time(scratch: Scratch, worker: Worker, ledger: Ledger) -> None:
    await add(scratch, 1, at=datetime.now(UTC) + timedelta(hours=1))
    assert await worker.drain() == 0
    assert await worker.drain(within=timedelta(minutes=30)) == 0
    assert await worker.drain(within=timedelta(hours=2)) == 1
    assert ledger.ran == [1]


async def test_a_key_keeps_a_second_job_out_until_the_first_has_run(scratch: Scratch, worker: Worker, ledger: Ledger) -> None:
    await add(scratch, 1, key="same")
    await add(scratch, 2, key="same")
    await add(scratch, 3, key="another")
    await worker.drain()
    await add(scratch, 4, key="same")
    await worker.drain()
    assert ledger.ran == [1, 3, 4]


async def test_a_failing_job_is_tried_again_then_kept_for_replay(scratch: Scratch, worker: Worker, ledger: Ledger) -> None:
    ledger.failing = {13}
    await add(scratch, 13, 14)
    for _ in range(COUNT.attempts):
        assert await left(scratch) > 0
        await worker.drain(within=timedelta(minutes=10))
    assert ledger.ran.count(13) == COUNT.attempts
    assert ledger.ran.count(14) == 1
    assert await left(scratch) == 0
    (dead,) = await scratch.sql("select kind, starts, error from kernel.dead_job")
    assert (dead["kind"], dead["starts"], dead["error"]) == ("probe.count", 3, "ValueError: no")
    assert [a.dead for a in await worker.ages()] == [1]

    ledger.failing = set()
    assert await replay_jobs(scratch.db, kind="probe.other") == 0
    assert await replay_jobs(scratch.db) == 1
    await worker.drain()
    assert ledger.ran.count(13) == COUNT.attempts + 1
    assert not await scratch.sql("select id from kernel.dead_job")


async def test_a_job_is_late_until_somebody_is_at_it_and_again_when_that_worker_is_gone(scratch: Scratch) -> None:
    told: list[tuple[int, bool]] = []

    async def run(_: Context, __: Count) -> None:
        for gone in (False, True):
            if gone:
                await scratch.sql("update kernel.job set heartbeat = now() - interval '1 minute'")
            (age,) = await worker.ages()
            told.append((age.due, age.oldest_s > 0))

    worker = Worker(scratch.db, scratch.url, [JobHandler(COUNT, run)])
    await add(scratch, 1, at=datetime.now(UTC) - timedelta(hours=1))
    (before,) = await worker.ages()
    assert before.due == 1 and before.oldest_s >= 3600
    await worker.drain()
    assert told == [(0, False), (1, True)]


async def test_a_job_that_takes_too_long_is_stopped(scratch: Scratch) -> None:
    slow = JobKind("probe.slow", Count, timeout_s=0.05, attempts=1)

    async def run(_: Context, __: Count) -> None:
        await asyncio.Event().wait()

    async with scratch.probe.tx(service_context("test")) as tx:
        enqueue(tx, slow, Count(1))
    await Worker(scratch.db, scratch.url, [JobHandler(slow, run)]).drain()
    (dead,) = await scratch.sql("select error from kernel.dead_job")
    assert dead["error"].startswith("TimeoutError")


async def test_a_module_enqueues_its_own_jobs_only_and_reads_none(scratch: Scratch) -> None:
    await add(scratch, 1)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with scratch.probe.tx(service_context("test")) as tx:
            enqueue(tx, FOREIGN, Count(1))
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with scratch.probe.tx(service_context("test")) as tx:
            await tx.connection.fetch("select id from kernel.job")


async def test_a_running_worker_is_woken_by_the_doorbell_and_stops_when_told(
    scratch: Scratch, worker: Worker, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "DEQUEUE_TIMEOUT", timedelta(hours=1))  # so that only the bell can wake it
    bell = doorbell.Doorbell(scratch.db)
    await bell.start()
    running = asyncio.create_task(worker.run())
    try:
        async with asyncio.timeout(20):
            for n in range(5):
                await add(scratch, n)
                while n not in ledger.ran:
                    await asyncio.sleep(0.01)
    finally:
        await worker.stop()
        await asyncio.wait_for(running, 20)
        await bell.stop()
    assert ledger.ran == list(range(5))
    assert await left(scratch) == 0


async def test_a_schedule_fires_once_for_two_workers_and_makes_up_for_a_pause_once(scratch: Scratch, ledger: Ledger) -> None:
    clock = FixedClock(datetime(2026, 5, 1, 12, 0, 30, tzinfo=UTC))
    schedule = Schedule("probe.minute", every(minutes=1), COUNT, Count(1))
    workers = [Worker(scratch.db, scratch.url, [JobHandler(COUNT, ledger.run)], [schedule], clock) for _ in range(2)]
    for w in workers:
        await w.drain()
    assert ledger.ran == [], "its first time has not come"
    clock.advance(timedelta(minutes=1))
    for w in workers:
        await w.drain()
    assert ledger.ran == [1]
    clock.advance(timedelta(hours=5))
    for w in workers:
        await w.drain()
    assert ledger.ran == [1, 1]


ALL_DUE = Query(str, "select ''::text where $1::text[] is null and $2::timestamptz is null")
"""As whoever looks before another has fired it finds a schedule."""
UNGUARDED = Statement("update kernel.schedule set next_at = $3, fired_at = $2 where name = $1")


async def turns(workers: Sequence[Worker], ledger: Ledger) -> Counter[int]:
    """What two workers run when both look and work at the same time, and then one after the other once more."""
    before = Counter(ledger.ran)
    await asyncio.gather(*(w.drain() for w in workers))
    for w in workers:
        await w.drain()
    return Counter(ledger.ran) - before


@pytest.mark.parametrize("guarded", [True, False])
async def test_two_workers_at_once_fire_each_of_many_schedules_once_for_each_of_its_times(
    scratch: Scratch, ledger: Ledger, monkeypatch: pytest.MonkeyPatch, guarded: bool
) -> None:
    clock = FixedClock(datetime(2026, 5, 1, 12, 0, 30, tzinfo=UTC))
    schedules = [Schedule(f"probe.every{n}", every(minutes=n), COUNT, Count(n)) for n in (1, 2, 3)]
    workers = [Worker(scratch.db, scratch.url, [JobHandler(COUNT, ledger.run)], schedules, clock) for _ in range(2)]
    assert await turns(workers, ledger) == {}, "no time has come"
    monkeypatch.setattr(jobs, "NOT_YET", ALL_DUE)
    if not guarded:
        monkeypatch.setattr(jobs, "FIRE", UNGUARDED)
    fired: list[dict[int, int]] = []
    for _ in range(6):
        clock.advance(timedelta(minutes=1))
        fired.append(dict(await turns(workers, ledger)))
    once = [{n: 1 for n in (1, 2, 3) if minute % n == 0} for minute in range(1, 7)]
    assert (fired == once) is guarded, fired  # the control: without the row's own word each worker fires


async def test_a_worker_asks_once_for_all_schedules_while_none_is_due(scratch: Scratch, ledger: Ledger) -> None:
    clock = FixedClock(datetime(2026, 5, 1, 12, 0, 30, tzinfo=UTC))
    schedules = [Schedule(f"probe.every{n}", every(minutes=n), COUNT, Count(n)) for n in (1, 2, 3)]
    worker = Worker(scratch.db, scratch.url, [JobHandler(COUNT, ledger.run)], schedules, clock)
    await worker.fire_schedules()
    with counted() as statements, transactions() as begun:
        await worker.fire_schedules()
    assert (len(statements), len(begun)) == (1, 1), statements
    clock.advance(timedelta(minutes=1))
    with counted() as statements:  # the control: one is due
        await worker.drain()
    assert jobs.FIRE.sql in statements and ledger.ran == [1]


def test_times_of_schedules() -> None:
    noon = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
    assert every(minutes=5)(noon) == noon + timedelta(minutes=5)
    assert every(minutes=5)(noon + timedelta(seconds=1)) == noon + timedelta(minutes=5)
    assert cron("15 3 * * *")(noon) == datetime(2026, 5, 2, 3, 15, tzinfo=UTC)
    with pytest.raises(ValueError, match="cron"):
        cron("now and then")


async def test_housekeeping_runs_on_the_real_tables(scratch: Scratch) -> None:
    handler, schedule = housekeeping(scratch.db, SystemClock())
    await scratch.sql(
        "insert into kernel.idempotency (key, fingerprint, effect_id, locked_until, expires_at)"
        " values ('old', '', gen_random_uuid(), now(), now() - interval '1 day'),"
        " ('new', '', gen_random_uuid(), now(), now() + interval '1 day')"
    )
    await handler.run(service_context("kernel.tidy"), schedule.payload)  # type: ignore[arg-type]
    assert [r["key"] for r in await scratch.sql("select key from kernel.idempotency")] == ["new"]


PAST = """
with keys as (
    insert into kernel.idempotency (key, fingerprint, effect_id, locked_until, expires_at)
    select n::text, '', gen_random_uuid(), now(), now() - interval '1 day' from generate_series(1, 25) n
), inbox as (
    insert into kernel.inbox (subscriber, event_id, at)
    select 'probe.slow', gen_random_uuid(), now() - interval '1 year' from generate_series(1, 25)
), log as (
    insert into kernel.job_log (job_id, status, priority, entrypoint, created, aggregated)
    select n, 'successful', 0, 'probe.count', now() - interval '1 year', n > 1 from generate_series(0, 26) n
)
insert into kernel.job_statistics (count, priority, status, entrypoint, created)
select 1, n, 'successful', 'probe.count', now() - interval '1 year' from generate_series(1, 25) n
"""
KEPT = """
select (select count(*) from kernel.idempotency), (select count(*) from kernel.inbox),
    (select count(*) from kernel.job_log where aggregated), (select count(*) from kernel.job_statistics)
"""


async def test_housekeeping_goes_on_until_all_that_is_old_is_gone_or_its_time_is_up(scratch: Scratch) -> None:
    await scratch.sql(PAST)
    hurried, _ = housekeeping(scratch.db, SystemClock(), sweep=10, sweep_s=0)
    await hurried.run(service_context("kernel.tidy"), Tidy())
    assert [tuple(r) for r in await scratch.sql(KEPT)] == [(15, 15, 15, 15)], "the control: one batch of each"
    handler, _ = housekeeping(scratch.db, SystemClock(), sweep=10)
    await handler.run(service_context("kernel.tidy"), Tidy())
    assert [tuple(r) for r in await scratch.sql(KEPT)] == [(0, 0, 0, 0)]
    assert len(await scratch.sql("select id from kernel.job_log")) == 2, "what is not in the statistics yet stays"


SET_ASIDE = """
with old (note, at, died) as (
    values ('long ago', '2019-12-10'::timestamptz, interval '91 days'),
           ('lately', '2019-12-10', interval '89 days'),
           ('of a month that the log has', '2020-01-10', interval '2 years')
), letters as (
    insert into kernel.dead_letter (subscriber, event_id, at, name, version, payload, actor_kind, service, trace_id, address,
                                    attempts, error, died_at)
    select 'probe.slow', gen_random_uuid(), o.at, 'probe.counted', 1, '', 'service', '', '', '', 8, o.note, now() - o.died
    from old o
)
insert into kernel.dead_job (id, kind, payload, headers, starts, error, enqueued_at, died_at)
select row_number() over (), 'probe.count', '', '{}', 3, o.note, o.at, now() - o.died from old o where o.at < '2020-01-01'
"""
LEFT = "select d.error from kernel.dead_letter d union all select 'job ' || j.error from kernel.dead_job j order by 1"


async def test_what_was_set_aside_goes_after_ninety_days_but_never_before_its_event_leaves_the_log(scratch: Scratch) -> None:
    """A rebuild passes over what was set aside: it must not find the event again without its letter."""
    await scratch.sql(OLD_MONTH)
    await scratch.sql(
        "insert into kernel.event (id, at, name, version, payload, actor_kind)"
        " values (gen_random_uuid(), '2020-01-10', 'probe.counted', 1, '', 'service')"
    )
    await scratch.sql("insert into kernel.cursor (subscriber) values ('probe.gone')")  # holds the month back
    await scratch.sql(SET_ASIDE)
    handler, _ = housekeeping(scratch.db, SystemClock())
    await handler.run(service_context("kernel.tidy"), Tidy())
    assert [r["error"] for r in await scratch.sql(LEFT)] == ["job lately", "lately", "of a month that the log has"]
    await scratch.sql("delete from kernel.cursor")
    await handler.run(service_context("kernel.tidy"), Tidy())
    assert not await scratch.sql(MONTHS)
    assert [r["error"] for r in await scratch.sql(LEFT)] == ["job lately", "lately"]


async def test_a_job_that_was_given_up_goes_sooner_when_it_carries_what_a_person_may_want_gone(
    scratch: Scratch, ledger: Ledger
) -> None:
    ledger.failing = {1}
    worker = Worker(scratch.db, scratch.url, [JobHandler(STALE, ledger.run), JobHandler(COUNT, ledger.run)])
    async with scratch.probe.tx(service_context("tests")) as tx:
        enqueue(tx, STALE, Count(1))
        enqueue(tx, COUNT, Count(1))
    for _ in range(COUNT.attempts):
        await worker.drain(within=timedelta(minutes=10))
    kinds = "select kind from kernel.dead_job order by kind"
    now = datetime.now(UTC)
    for days, left in ((6, ["probe.count", "probe.stale"]), (8, ["probe.count"]), (89, ["probe.count"]), (91, [])):
        handler, _ = housekeeping(scratch.db, FixedClock(now + timedelta(days=days)))
        await handler.run(service_context("kernel.tidy"), Tidy())
        assert [r["kind"] for r in await scratch.sql(kinds)] == left


OLD_MONTH = """
create table kernel.event_2020_01 partition of kernel.event
    for values from ('2020-01-01 00:00+00') to ('2020-02-01 00:00+00')
"""
MONTHS = "select relname from pg_class where relname = 'event_2020_01'"


async def test_each_step_of_housekeeping_commits_by_itself(scratch: Scratch) -> None:
    await scratch.sql(PAST)
    await scratch.sql(OLD_MONTH)
    await scratch.sql("revoke delete on kernel.inbox from fc_kernel")
    handler, _ = housekeeping(scratch.db, SystemClock(), sweep=10)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await handler.run(service_context("kernel.tidy"), Tidy())
    assert not await scratch.sql(MONTHS)
    assert [tuple(r) for r in await scratch.sql(KEPT)] == [(0, 25, 25, 25)]


async def test_a_month_that_somebody_reads_for_long_stays_for_another_hour_and_holds_up_nothing(scratch: Scratch) -> None:
    await scratch.sql(PAST)
    await scratch.sql(OLD_MONTH)
    handler, _ = housekeeping(scratch.db, SystemClock(), sweep=10)
    reader = await scratch.fresh.admin()
    try:
        async with reader.transaction():
            await reader.execute("lock table kernel.event in access share mode")
            await handler.run(service_context("kernel.tidy"), Tidy())
        assert await scratch.sql(MONTHS)
        assert [tuple(r) for r in await scratch.sql(KEPT)] == [(0, 0, 0, 0)]
    finally:
        await reader.close()
    await handler.run(service_context("kernel.tidy"), Tidy())
    assert not await scratch.sql(MONTHS)


async def test_a_suspect_runs_with_nobody_beside_it() -> None:
    company = Company()
    present: list[str] = []

    async def ordinary() -> None:
        async with company.together():
            present.append("in")
            await asyncio.sleep(0.005)
            present.append("out")

    async def suspect() -> None:
        async with company.alone():
            assert present.count("in") == present.count("out")
            before = len(present)
            await asyncio.sleep(0.01)
            assert len(present) == before

    await asyncio.gather(*(ordinary() for _ in range(5)), suspect(), suspect(), *(ordinary() for _ in range(5)))
    assert present.count("out") == 10


KILLER = """
import asyncio, os, signal, sys
from forecourt.kernel import jobs
from forecourt.kernel.db import Database
from tests.kernel.test_jobs import COUNT
from datetime import timedelta

jobs.HEARTBEAT_TIMEOUT = jobs.DEQUEUE_TIMEOUT = timedelta(seconds=0.2)

async def run(context, payload):
    if payload.n == 13:
        await asyncio.sleep(0.05)
        os.kill(os.getpid(), signal.SIGKILL)
    await asyncio.sleep(0.02)

async def main():
    db = await Database.connect(sys.argv[1], None, 5)
    worker = jobs.Worker(db, sys.argv[1], [jobs.JobHandler(COUNT, run)])
    running = asyncio.create_task(worker.run())
    connection = await jobs.asyncpg.connect(sys.argv[2])
    while await connection.fetchval("select count(*) from kernel.job"):
        await asyncio.sleep(0.05)
    await worker.stop()
    await running

asyncio.run(main())
"""


async def test_a_job_that_kills_its_worker_is_parked_and_its_neighbours_finish(scratch: Scratch) -> None:
    await add(scratch, 1, 2, 13, 3, 4)
    root = Path(__file__).parents[2]
    codes: list[int] = []
    async with asyncio.timeout(60):
        while not codes or codes[-1] != 0:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-c",
                KILLER,
                scratch.url,
                scratch.fresh.admin_url,
                cwd=root,
                env={**os.environ, "PYTHONPATH": str(root)},
                stderr=subprocess.DEVNULL,
            )
            codes.append(await process.wait())
            assert codes[-1] in (0, -9)
    assert codes == [-9] * COUNT.attempts + [0]
    assert [r["starts"] for r in await scratch.sql("select starts from kernel.dead_job")] == [COUNT.attempts]
    (dead,) = await scratch.sql("select convert_from(payload, 'utf8') as payload from kernel.dead_job")
    assert dead["payload"] == '{"n":13}'


async def test_workers_and_dispatchers_outlive_the_death_of_every_connection(
    scratch: Scratch, worker: Worker, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "DEQUEUE_TIMEOUT", timedelta(seconds=0.2))
    dispatcher = Dispatcher(scratch.db, scratch.url, [NOTES])
    running = [asyncio.create_task(worker.run()), asyncio.create_task(dispatcher.run())]
    try:
        async with asyncio.timeout(30):
            for n in (1, 2):
                async with scratch.probe.tx(service_context("test")) as tx:
                    enqueue(tx, COUNT, Count(n))
                    emit(tx, Counted(organisation_id=None, n=n))
                while n not in ledger.ran or str(n) not in await scratch.notes():
                    await asyncio.sleep(0.02)
                killed = await scratch.sql(
                    "select pg_terminate_backend(pid) from pg_stat_activity"
                    " where datname = current_database() and pid <> pg_backend_pid()"
                )
                assert len(killed) >= 3, "the pool, the worker and the listener were connected"
    finally:
        await worker.stop()
        await dispatcher.stop()
        await asyncio.wait_for(asyncio.gather(*running), 20)
    assert ledger.ran == [1, 2]
    assert await scratch.notes() == ["1", "2"]


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers that look, and try again, at once."""
    monkeypatch.setattr(jobs, "DEQUEUE_TIMEOUT", timedelta(seconds=0.1))

    def at_once(_: int) -> timedelta:
        return timedelta(0)

    monkeypatch.setattr(jobs, "pause_after", at_once)


@asynccontextmanager
async def at_work(worker: Worker) -> AsyncGenerator[asyncio.Task[None]]:
    running = asyncio.create_task(worker.run())
    try:
        async with asyncio.timeout(30):
            yield running
    finally:
        await worker.stop()
        await asyncio.wait([running], timeout=20)
        assert running.done()


async def until_gone(scratch: Scratch) -> None:
    while await left(scratch):
        await asyncio.sleep(0.02)


class Unsteady:
    """The kernel's database, of which some transactions, counted from the first, do not come about."""

    def __init__(self, kernel: ModuleDatabase, *refused: int) -> None:
        self.kernel = kernel
        self.refused = set(refused)
        self.asked = 0

    def read(self, ctx: Context) -> Tx:
        return self._lend(self.kernel.read, ctx)

    def tx(self, ctx: Context) -> Tx:
        return self._lend(self.kernel.tx, ctx)

    def _lend(self, lend: Callable[[Context], Tx], ctx: Context) -> Tx:
        self.asked += 1
        if self.asked in self.refused:
            self.refused.remove(self.asked)
            raise Unavailable("every database connection is busy")
        return lend(ctx)


@pytest.mark.usefixtures("hasty")
async def test_no_job_is_lost_when_the_database_does_not_answer_its_worker(scratch: Scratch, ledger: Ledger) -> None:
    refused = [(), (1,), (2,), (), (3,)]  # of reading its starts, writing its start, burying it
    ledger.failing = {3, 4}
    kinds = [JobKind(f"probe.once_{n}", Count, timeout_s=5, attempts=1) for n in range(len(refused))]
    worker = Worker(scratch.db, scratch.url, [JobHandler(kind, ledger.run) for kind in kinds])
    kernels = [Unsteady(scratch.db.module("kernel"), *which) for which in refused]
    async with scratch.probe.tx(service_context("test")) as tx:
        for n, (kind, kernel) in enumerate(zip(kinds, kernels, strict=True)):
            worker._executors[kind.name]._kernel = kernel  # type: ignore[assignment]
            enqueue(tx, kind, Count(n))
    async with at_work(worker):
        await until_gone(scratch)
    assert sorted(ledger.ran) == [0, 1, 2, 3, 4]
    assert [k.refused for k in kernels] == [set()] * 5, "what was to be refused was asked"
    dead = await scratch.sql("select kind, error from kernel.dead_job order by kind")
    assert [(r["kind"], r["error"][:24]) for r in dead] == [
        ("probe.once_3", "ValueError: no"),
        ("probe.once_4", "it was started and never"),
    ]


@pytest.mark.usefixtures("hasty")
async def test_a_job_that_could_not_be_put_back_is_found_again(
    scratch: Scratch, ledger: Ledger, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused: list[int] = []
    put_back = Queries.retry_job

    async def retry_job(*args: Any) -> None:
        if not refused:
            refused.append(1)
            raise asyncpg.InterfaceError("connection is closed")
        await put_back(*args)

    monkeypatch.setattr(Queries, "retry_job", retry_job)
    monkeypatch.setattr(jobs, "HEARTBEAT_TIMEOUT", timedelta(seconds=1))  # after which it is found
    ledger.failing = {1}
    await add(scratch, 1)
    async with at_work(worker):
        await until_gone(scratch)
    assert refused == [1]
    assert ledger.ran == [1] * COUNT.attempts
    assert [r["error"] for r in await scratch.sql("select error from kernel.dead_job")] == ["ValueError: no"]


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("insistent", [False, True])
async def test_a_worker_that_is_cancelled_lets_its_jobs_finish_or_puts_them_back(scratch: Scratch, insistent: bool) -> None:
    begun, end, over = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def run(_: Context, __: Count) -> None:
        begun.set()
        try:
            await end.wait()
        finally:
            over.set()

    worker = Worker(scratch.db, scratch.url, [JobHandler(LONG, run)])
    await add(scratch, 1, kind=LONG)
    async with at_work(worker) as running:
        await begun.wait()
        await worker.stop()
        running.cancel()  # as a house does that closes
        await scratch.sql("select 1")  # meanwhile the worker has gone as far as it goes by itself
        assert not over.is_set() and not running.done()
        while insistent and not over.is_set():
            running.cancel()
            await asyncio.sleep(0.01)
        end.set()
        with pytest.raises(asyncio.CancelledError):
            await running
    assert over.is_set()
    assert [r["status"] for r in await scratch.sql("select status::text from kernel.job")] == ["queued"] * insistent


async def test_a_suspect_that_runs_on_lets_the_others_in_and_waits_for_none_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "SOLITUDE_S", 0.2)
    company = Company()
    end = asyncio.Event()
    came: list[str] = []

    async def stay(name: str, way: Callable[[], AbstractAsyncContextManager[None]]) -> None:
        async with way():
            came.append(name)
            await end.wait()

    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        group.create_task(stay("neighbour", company.together))
        group.create_task(stay("suspect", company.alone))
        await asyncio.sleep(0)
        group.create_task(stay("outside", company.together))
        group.create_task(stay("next suspect", company.alone))
        group.create_task(stay("outside too", company.together))
        await asyncio.sleep(0)
        assert came == ["neighbour"], "the suspect waits for it, and the others for the suspect"
        while len(came) < 5:
            await asyncio.sleep(0.01)
        end.set()
    assert came == ["neighbour", "suspect", "outside", "outside too", "next suspect"]
    async with asyncio.timeout(20), company.alone():
        pass  # everybody has left


@pytest.mark.usefixtures("hasty")
async def test_a_long_job_whose_workers_were_killed_holds_up_no_other(scratch: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "SOLITUDE_S", 0.1)
    begun, end = asyncio.Event(), asyncio.Event()
    ran: list[int] = []

    async def run(_: Context, payload: Count) -> None:
        if payload.n == 1:
            begun.set()
            await end.wait()
        ran.append(payload.n)

    worker = Worker(scratch.db, scratch.url, [JobHandler(LONG, run)])
    await add(scratch, 1, kind=LONG)
    await scratch.sql("update kernel.job set starts = $1", DEATHS_BEFORE_SOLITUDE)
    async with at_work(worker):
        await begun.wait()
        await add(scratch, 2, kind=LONG)
        while ran != [2]:
            await asyncio.sleep(0.01)
        end.set()
        await until_gone(scratch)
    assert ran == [2, 1]


@pytest.mark.usefixtures("hasty")
async def test_a_worker_told_to_stop_gives_back_the_start_of_what_it_is_at(scratch: Scratch) -> None:
    """So nobody who is killed for taking too long at a deploy is suspected of having killed its worker."""
    begun, end = asyncio.Event(), asyncio.Event()

    async def run(_: Context, __: Count) -> None:
        begun.set()
        await end.wait()

    async def starts() -> list[int]:
        return [r["starts"] for r in await scratch.sql("select starts from kernel.job")]

    worker = Worker(scratch.db, scratch.url, [JobHandler(LONG, run)])
    await add(scratch, 1, kind=LONG)
    await scratch.sql("update kernel.job set starts = 1")
    async with at_work(worker):
        await begun.wait()
        assert await starts() == [2], "the control: it counts while nobody stops the worker"
        await worker.stop()
        assert await starts() == [1]
        await worker.stop()
        assert await starts() == [1], "told twice, it gives back once"
        end.set()
    assert await starts() == []
