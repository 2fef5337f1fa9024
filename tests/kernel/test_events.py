from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar
from uuid import UUID, uuid4

import asyncpg
import msgspec
import pytest
from tests.kernel.conftest import Scratch

from forecourt.kernel import doorbell
from forecourt.kernel.clock import FixedClock
from forecourt.kernel.context import service_context
from forecourt.kernel.db import Database, Statement, Tx
from forecourt.kernel.events import (
    ATTEMPTS,
    STARTS,
    Delivery,
    Dispatcher,
    Envelope,
    Event,
    Subscription,
    Turn,
    UnknownVersion,
    asyncapi,
    decode,
    emit,
    once,
    replay,
)
from forecourt.kernel.pool import CONNECTION_LOST

NOTE = Statement("insert into probe.effect (organisation_id, note) values ($1, $2)")


class Counted(Event, name="probe.counted"):
    """A number was counted."""

    organisation_id: UUID | None
    n: int


class Ignored(Event, name="probe.ignored"):
    n: int


class Renamed(Event, name="probe.renamed", version=2):
    title: str
    upcast: ClassVar[Any] = {1: lambda old: {"title": old["name"]}}


async def note(tx: Tx, envelopes: list[Envelope[Any]]) -> None:
    for e in envelopes:
        await tx.run(NOTE, e.organisation_id, str(e.event.n))


NOTES = Subscription("probe.notes", "probe", (Counted,), note)


async def count(scratch: Scratch, *numbers: int, organisation_id: UUID | None = None) -> None:
    async with scratch.probe.tx(service_context("test", organisation_id)) as tx:
        for n in numbers:
            emit(tx, Counted(organisation_id=organisation_id, n=n))


async def test_an_event_reaches_its_subscriber_once_with_who_and_where(scratch: Scratch) -> None:
    org = uuid4()
    seen: list[Envelope[Any]] = []

    async def handle(tx: Tx, envelopes: list[Envelope[Any]]) -> None:
        assert tx.context.organisation_id == org
        seen.extend(envelopes)

    dispatcher = Dispatcher(scratch.db, scratch.url, [Subscription("probe.seen", "probe", (Counted,), handle)])
    async with scratch.probe.tx(service_context("till", org, "a" * 32)) as tx:
        emit(tx, Counted(organisation_id=org, n=7))
        emit(tx, Ignored(n=1))
    assert await dispatcher.drain() == 1
    assert await dispatcher.drain() == 0
    (envelope,) = seen
    assert (envelope.event, envelope.organisation_id, envelope.trace_id) == (Counted(organisation_id=org, n=7), org, "a" * 32)
    assert envelope.actor.scopes == {"till"}


async def test_an_event_of_a_rolled_back_transaction_never_happened(scratch: Scratch) -> None:
    with pytest.raises(ZeroDivisionError):
        async with scratch.probe.tx(service_context("test")) as tx:
            emit(tx, Counted(organisation_id=None, n=1))
            raise ZeroDivisionError
    await count(scratch, 2)
    await Dispatcher(scratch.db, scratch.url, [NOTES]).drain()
    assert await scratch.notes() == ["2"]


async def test_the_cursor_moves_past_events_nobody_wants(scratch: Scratch) -> None:
    async with scratch.probe.tx(service_context("test")) as tx:
        for n in range(5_000):  # more than one look takes in
            emit(tx, Ignored(n=n))
        emit(tx, Counted(organisation_id=None, n=1))
        emit(tx, Ignored(n=0))
    dispatcher = Dispatcher(scratch.db, scratch.url, [NOTES])
    assert await dispatcher.drain() == 1
    (lag,) = await dispatcher.lag()
    assert lag.behind_s == 0


async def write_slowly(scratch: Scratch, writers: int, each: int) -> set[str]:
    """Many writers whose transactions end in another order than they began."""

    async def one(writer: int) -> None:
        for i in range(each):
            async with scratch.probe.tx(service_context("test")) as tx:
                emit(tx, Counted(organisation_id=None, n=writer * 1_000 + i))
                for buffer in tx._buffers.values():  # written now, committed later: the id is older than its commit
                    await buffer.flush(tx)
                    buffer._rows.clear()
                await asyncio.sleep((writer * 7 + i * 3) % 10 / 1000)

    await asyncio.gather(*(one(w) for w in range(writers)))
    return {str(w * 1_000 + i) for w in range(writers) for i in range(each)}


async def test_no_event_is_lost_with_sixteen_concurrent_writers(scratch: Scratch) -> None:
    dispatcher = Dispatcher(scratch.db, scratch.url, [NOTES])
    by_id: list[int] = []
    done = asyncio.Event()

    async def naive() -> None:
        """The control: a subscriber that remembers the last id only."""
        connection = await scratch.fresh.admin()
        last = UUID(int=0)
        while True:
            over = done.is_set()
            rows = await connection.fetch("select id, payload from kernel.event where id > $1 order by id", last)
            if rows:
                last = rows[-1]["id"]
                by_id.extend(msgspec.json.decode(r["payload"])["n"] for r in rows)
            elif over:
                break
        await connection.close()

    async def ours() -> None:
        while not done.is_set():
            await dispatcher.drain()

    control, running = asyncio.create_task(naive()), asyncio.create_task(ours())
    wanted = await write_slowly(scratch, 16, 25)
    done.set()
    await asyncio.gather(control, running)
    await dispatcher.drain()
    assert len(by_id) < len(wanted), "the control lost nothing, so this test proves nothing"
    notes = await scratch.notes()
    assert len(notes) == len(wanted)
    assert set(notes) == wanted


async def test_two_workers_on_one_subscriber_keep_order_and_handle_once(scratch: Scratch) -> None:
    orgs = [uuid4() for _ in range(3)]
    workers = [Dispatcher(scratch.db, scratch.url, [NOTES]) for _ in range(2)]
    running = [asyncio.create_task(w.run()) for w in workers]
    for n in range(60):
        await count(scratch, n, organisation_id=orgs[n % 3])
    await workers[0].drain()
    for worker in workers:
        await worker.stop()
    await asyncio.gather(*running)
    rows = await scratch.sql("select organisation_id, note from probe.effect order by seq")
    assert len(rows) == 60
    for i, org in enumerate(orgs):
        assert [int(r["note"]) for r in rows if r["organisation_id"] == org] == list(range(i, 60, 3))


async def test_a_poison_event_is_set_aside_and_the_rest_goes_on(scratch: Scratch) -> None:
    cured = False

    async def handle(tx: Tx, envelopes: list[Envelope[Any]]) -> None:
        await note(tx, envelopes)
        if not cured and any(e.event.n == 13 for e in envelopes):
            raise ValueError("thirteen")

    subscription = Subscription("probe.notes", "probe", (Counted,), handle)
    clock = FixedClock(datetime(2026, 5, 1, tzinfo=UTC))
    dispatcher = Dispatcher(scratch.db, scratch.url, [subscription], clock)
    await count(scratch, *range(20))
    for attempt in range(ATTEMPTS):
        await dispatcher.drain()
        if attempt < ATTEMPTS - 1:
            assert await scratch.notes() == [str(n) for n in range(13)], "order is kept while the poison waits"
        clock.advance(timedelta(minutes=2))
    assert await scratch.notes() == [str(n) for n in range(20) if n != 13]
    (letter,) = await scratch.sql("select event_id, attempts, error from kernel.dead_letter")
    assert (letter["attempts"], letter["error"]) == (ATTEMPTS, "ValueError: thirteen")

    assert await replay(scratch.db, subscription) == (0, 1), "still poisonous: it stays dead"
    cured = True
    assert await replay(scratch.db, subscription, letter["event_id"]) == (1, 0)
    assert (await scratch.notes())[-1] == "13"
    assert await replay(scratch.db, subscription) == (0, 0)


async def test_a_dead_letter_that_two_replay_at_once_has_its_effect_once(scratch: Scratch) -> None:
    mended = False
    handing, go_on = asyncio.Event(), asyncio.Event()

    async def handle(tx: Tx, envelopes: list[Envelope[Any]]) -> None:
        if not mended:
            raise ValueError("\0 thirteen \udcff")  # of what PostgreSQL keeps neither
        await note(tx, envelopes)
        handing.set()
        await go_on.wait()

    subscription = Subscription("probe.notes", "probe", (Counted,), handle)
    clock = FixedClock(datetime(2026, 5, 1, tzinfo=UTC))
    dispatcher = Dispatcher(scratch.db, scratch.url, [subscription], clock)
    await count(scratch, 13)
    for _ in range(ATTEMPTS):
        await dispatcher.drain()
        clock.advance(timedelta(minutes=2))
    assert [r["error"] for r in await scratch.sql("select error from kernel.dead_letter")] == ["ValueError:  thirteen ?"]

    mended = True
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        first = group.create_task(replay(scratch.db, subscription))
        await handing.wait()
        second = group.create_task(replay(scratch.db, subscription))
        waits = "select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
        while not await scratch.sql(waits):
            await asyncio.sleep(0.01)
        go_on.set()
    assert (first.result(), second.result()) == ((1, 0), (0, 0))
    assert await scratch.notes() == ["13"]


async def test_delivery_of_each_gives_every_event_its_own_transaction(scratch: Scratch) -> None:
    sizes: list[int] = []

    async def handle(tx: Tx, envelopes: list[Envelope[Any]]) -> None:
        sizes.append(len(envelopes))

    await count(scratch, 1, 2, 3)
    each = Subscription("probe.each", "probe", (Counted,), handle, Delivery.EACH)
    batch = Subscription("probe.batch", "probe", (Counted,), handle)
    await Dispatcher(scratch.db, scratch.url, [each]).drain()
    assert sizes == [1, 1, 1]
    await Dispatcher(scratch.db, scratch.url, [batch]).drain()
    assert sizes[3:] == [3]


async def test_what_a_handler_emits_is_part_of_its_batch(scratch: Scratch) -> None:
    async def echo(tx: Tx, envelopes: list[Envelope[Any]]) -> None:
        for e in envelopes:
            if e.event.n < 3:
                emit(tx, Counted(organisation_id=None, n=e.event.n + 1))
        await note(tx, envelopes)

    await count(scratch, 0)
    await Dispatcher(scratch.db, scratch.url, [Subscription("probe.echo", "probe", (Counted,), echo)]).drain()
    assert await scratch.notes() == ["0", "1", "2", "3"]


async def test_the_inbox_says_yes_once_and_to_its_own_module_only(scratch: Scratch) -> None:
    event_id = uuid4()
    async with scratch.probe.tx(service_context("test")) as tx:
        assert await once(tx, "probe.mail", event_id)
        assert not await once(tx, "probe.mail", event_id)
        assert await once(tx, "probe.push", event_id)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with scratch.probe.tx(service_context("test")) as tx:
            await once(tx, "other.mail", event_id)


async def test_a_module_can_neither_read_nor_rewrite_the_log(scratch: Scratch) -> None:
    await count(scratch, 1)
    for statement in ("select id from kernel.event", "delete from kernel.event", "update kernel.event set name = 'x'"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with scratch.probe.tx(service_context("test")) as tx:
                await tx.connection.execute(statement)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with scratch.db.module("kernel").tx(service_context("test")) as tx:
            await tx.connection.execute("delete from kernel.event")


async def test_a_transaction_about_one_organisation_cannot_speak_for_another(scratch: Scratch) -> None:
    mine, yours = uuid4(), uuid4()
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with scratch.probe.tx(service_context("test", mine)) as tx:
            emit(tx, Counted(organisation_id=yours, n=1))
    await count(scratch, 1, organisation_id=mine)
    assert len(await scratch.sql("select id from kernel.event")) == 1


def test_an_old_version_is_lifted_and_a_newer_one_refused() -> None:
    assert decode(Renamed, 1, b'{"name":"Court 1"}') == Renamed(title="Court 1")
    with pytest.raises(UnknownVersion):
        decode(Renamed, 3, b'{"title":"Court 1"}')
    with pytest.raises(msgspec.ValidationError):
        decode(Renamed, 2, b'{"title":"Court 1","colour":"red"}')


def test_two_events_cannot_share_a_name() -> None:
    with pytest.raises(TypeError, match="taken"):

        class Other(Event, name="probe.counted"):
            n: int

    with pytest.raises(TypeError, match="needs a name"):

        class Nameless(Event):
            n: int


def test_the_document_lists_every_event_with_its_schema() -> None:
    document: Any = asyncapi("1.0")
    assert document["channels"]["probe.renamed.v2"]["address"] == "probe.renamed.v2"
    assert document["components"]["messages"]["probe.counted.v1"]["summary"] == "A number was counted."
    assert document["components"]["schemas"]["Counted"]["required"] == ["organisation_id", "n"]


async def test_partitions_are_made_ahead_and_dropped_only_when_everyone_has_read_them(scratch: Scratch) -> None:
    await scratch.sql(
        "create table kernel.event_2020_01 partition of kernel.event for values from ('2020-01-01') to ('2020-02-01')"
    )
    await scratch.sql(
        "insert into kernel.event (id, at, name, version, payload, actor_kind)"
        " values (gen_random_uuid(), '2020-01-05', 'probe.counted', 1, '{\"organisation_id\":null,\"n\":1}', 'service')"
    )
    dispatcher = Dispatcher(scratch.db, scratch.url, [NOTES])
    await dispatcher._register()
    drop = "select kernel.drop_event_partitions('2021-01-01') as names"
    assert (await scratch.sql(drop))[0]["names"] == []
    await dispatcher.drain()
    assert (await scratch.sql(drop))[0]["names"] == ["event_2020_01"]
    assert (await scratch.sql("select kernel.make_event_partitions(3) as n"))[0]["n"] == 0


@pytest.mark.parametrize("another_house", ["none", "opened later", "opened later and closed"])
async def test_a_ring_wakes_a_dispatcher_in_another_place(scratch: Scratch, db: Database, another_house: str) -> None:
    bell, other = doorbell.Doorbell(scratch.db), doorbell.Doorbell(db)
    await bell.start()
    if another_house != "none":
        await other.start()
    if another_house == "opened later and closed":
        await other.stop()
    heard: asyncio.Queue[doorbell.Topic] = asyncio.Queue()
    try:
        async with doorbell.listen(scratch.url, heard.put_nowait), asyncio.timeout(10):
            first = {await heard.get(), await heard.get()}  # what may have rung before we listened
            assert first == set(doorbell.Topic)
            await count(scratch, 1)
            assert await heard.get() is doorbell.Topic.EVENTS
    finally:
        await bell.stop()
        await other.stop()


def with_tests(root: Path) -> dict[str, str]:
    """The environment of a program that imports from here."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(root), *filter(None, [os.environ.get("PYTHONPATH")])])}


KILLED = """
import asyncio, os, sys
from forecourt.kernel.db import Database
from forecourt.kernel.events import Dispatcher, Subscription
from tests.kernel.test_events import Counted, note

async def handle(tx, envelopes):
    await note(tx, envelopes)
    print("in the middle", flush=True)
    await asyncio.sleep(60)

async def main():
    db = await Database.connect(sys.argv[1], None, 5)
    await Dispatcher(db, sys.argv[1], [Subscription("probe.notes", "probe", (Counted,), handle)]).run()

asyncio.run(main())
"""


async def test_effects_happen_once_when_the_worker_is_killed_in_the_middle_of_a_batch(scratch: Scratch) -> None:
    await count(scratch, *range(10))
    root = Path(__file__).parents[2]
    worker = await asyncio.create_subprocess_exec(
        sys.executable, "-c", KILLED, scratch.url, cwd=root, env=with_tests(root), stdout=subprocess.PIPE
    )
    assert worker.stdout is not None
    async with asyncio.timeout(30):
        assert await worker.stdout.readline() == b"in the middle\n"
        worker.send_signal(signal.SIGKILL)
        assert await worker.wait() == -signal.SIGKILL
    assert await Dispatcher(scratch.db, scratch.url, [NOTES]).drain() == 10
    assert await scratch.notes() == [str(n) for n in range(10)]


DEADLY = """
import asyncio, os, signal, sys
from forecourt.kernel.db import Database
from forecourt.kernel.events import Dispatcher, Subscription
from tests.kernel.test_events import Counted, note

async def handle(tx, envelopes):
    await note(tx, envelopes)
    if any(e.event.n == 13 for e in envelopes):
        os.kill(os.getpid(), signal.SIGKILL)

async def main():
    db = await Database.connect(sys.argv[1], None, 5)
    await Dispatcher(db, sys.argv[1], [Subscription("probe.notes", "probe", (Counted,), handle)]).drain()

asyncio.run(main())
"""


async def test_an_event_that_kills_its_worker_each_time_is_set_aside_and_the_rest_goes_on(scratch: Scratch) -> None:
    await count(scratch, *range(20))
    root = Path(__file__).parents[2]
    ends: list[int] = []
    async with asyncio.timeout(120):
        while not ends or ends[-1]:
            assert len(ends) <= STARTS + 1, "it goes on for ever"
            worker = await asyncio.create_subprocess_exec(
                sys.executable, "-c", DEADLY, scratch.url, cwd=root, env=with_tests(root)
            )
            ends.append(await worker.wait())
    assert ends == [-signal.SIGKILL] * (STARTS + 1) + [0], "one more than its own: the first took the whole batch"
    assert await scratch.notes() == [str(n) for n in range(20) if n != 13]
    letters = await scratch.sql("select payload, attempts, error from kernel.dead_letter")
    assert [(msgspec.json.decode(r["payload"])["n"], r["attempts"]) for r in letters] == [(13, STARTS)]
    assert "never ended" in letters[0]["error"]
    assert await replay(scratch.db, NOTES) == (1, 0)  # a mended handler takes it after all
    assert (await scratch.notes())[-1] == "13"


async def test_an_event_that_ends_its_session_each_time_is_set_aside_too(scratch: Scratch) -> None:
    """It takes its connection with it, as one does that runs into the limit of a transaction: no failure can be written."""
    begun: list[int] = []

    async def handle(tx: Tx, envelopes: list[Envelope[Any]]) -> None:
        begun.append(len(envelopes))
        if any(e.event.n == 3 for e in envelopes):
            pid = await tx.connection.fetchval("select pg_backend_pid()")
            await scratch.sql("select pg_terminate_backend($1, 5000)", pid)
        await note(tx, envelopes)

    await count(scratch, *range(6))
    dispatcher = Dispatcher(scratch.db, scratch.url, [Subscription("probe.notes", "probe", (Counted,), handle)])
    for _ in range(STARTS + 1):
        with pytest.raises(CONNECTION_LOST):
            await dispatcher.drain()
    assert await dispatcher.drain() == 2
    assert await scratch.notes() == ["0", "1", "2", "4", "5"]
    assert begun == [6, 1, 1, 1, *[1] * STARTS, 1, 1]


async def test_a_subscriber_that_gets_on_writes_once_that_it_begins(scratch: Scratch) -> None:
    each = Subscription("probe.notes", "probe", (Counted,), note, Delivery.EACH)
    await count(scratch, *range(50))
    dispatcher = Dispatcher(scratch.db, scratch.url, [each])
    turns: list[Turn] = []
    real = dispatcher._take_turn

    async def take(subscription: Subscription) -> Turn:
        turns.append(await real(subscription))
        return turns[-1]

    dispatcher._take_turn = take  # type: ignore[method-assign]
    assert await dispatcher.drain() == 50
    assert turns.count(Turn.MORE) == 51
    assert await scratch.sql("select starts from kernel.cursor where subscriber = 'probe.notes'") == [(0,)]
