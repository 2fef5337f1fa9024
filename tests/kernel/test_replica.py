"""A real streaming replica of the embedded server: who reads there, who does not, and what its death does to readers.

Clocks are the tests' own and stand still until they are told otherwise: what depends on 100 ms does not depend on the machine.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
from tests.conftest import as_user
from tests.engines.conftest import memory_disk
from tests.journeys.conftest import settings_for
from tests.kernel.standby import Standby
from valkey.asyncio import Valkey

from forecourt.app import Addresses, House
from forecourt.engines import postgres, start_engines
from forecourt.kernel.context import Actor, ActorKind, Context, service_context
from forecourt.kernel.db import Database, Query, Statement
from forecourt.kernel.errors import NotFound
from forecourt.kernel.migrate import APP_ROLE, migrate
from forecourt.kernel.replica import KEY, Replica, newest
from forecourt.layout import migration_folders

pytestmark = pytest.mark.xdist_group("replica")

PATIENCE_S = 20
ON_REPLICA = Query(bool, "select pg_is_in_recovery()")
SINCE = Query(str, "select pg_postmaster_start_time()::text")
CHOSEN = Query(str, "select p.chosen ->> 'word' from people.preferences p where p.account_id = $1")
CHOOSE = Statement(
    "insert into people.preferences (account_id, chosen, updated_at) values ($1, jsonb_build_object('word', $2::text), now())"
    " on conflict (account_id) do update set chosen = excluded.chosen"
)
SLEEP = Query(str, "select pg_sleep(30)::text")
IMPATIENT = Statement("set local statement_timeout = '20ms'")
REMEMBER = Query(str, "select set_config('forecourt.room', $1, true)")
REMEMBERED = Query(str, "select current_setting('forecourt.room', true) || ' ' || current_user")


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class Pair:
    """A server, its replica and Valkey."""

    def __init__(self, admin_url: str, valkey_url: str, standby: Standby) -> None:
        self.admin_url = admin_url
        self.url = as_user(admin_url, APP_ROLE)
        self.replica_url = as_user(standby.url, APP_ROLE)
        self.valkey_url = valkey_url
        self.standby = standby


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    base = Path(tempfile.mkdtemp(prefix="fc-pair-", dir=memory_disk()))
    with start_engines(base / "var", postgres_settings={"shared_buffers": "32MB"}) as engines:
        asyncio.run(migrate(engines.database_url, migration_folders()))
        standby = Standby(base / "standby", engines.database_url, parse_qs(urlsplit(engines.database_url).query)["host"][0])
        standby.start()
        try:
            yield Pair(engines.database_url, engines.valkey_url, standby)
        finally:
            standby.close()
    shutil.rmtree(base, ignore_errors=True)


class Process:
    """One process's pools, under a clock of its own."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self.database = database
        self.clock = clock
        self.people = database.module("people")

    @property
    def replica(self) -> Replica:
        assert self.database.replica is not None
        return self.database.replica

    async def caught_up(self, by_s: float = 0.01) -> None:
        """Time goes on, and the replica is known to hold everything that was committed before."""
        self.clock.now += by_s
        await until(lambda: self.replica.holds_until == self.clock.now)

    async def choose(self, ctx: Context, word: str) -> None:
        async with self.people.tx(ctx) as tx:
            await tx.run(CHOOSE, ctx.account_id, word)

    async def chosen(self, ctx: Context) -> str | None:
        async with self.people.read(ctx) as tx:
            return await tx.maybe(CHOSEN, ctx.account_id)

    async def reads_replica(self, ctx: Context) -> bool:
        async with self.people.read(ctx) as tx:
            return await tx.one(ON_REPLICA)


Open = Callable[..., Awaitable[Process]]
Pause = Callable[[bool], Awaitable[None]]


@pytest.fixture
async def process(pair: Pair) -> AsyncIterator[Open]:
    opened: list[Database] = []

    async def start(*, valkey_url: str | None = None, monotonic: Callable[[], float] | None = None) -> Process:
        clock = Clock()
        database = await Database.connect(pair.url, None, 10, "forecourt tests")
        database.replica = Replica(pair.url, pair.replica_url, 10, "forecourt tests", valkey_url, monotonic or clock)
        await database.replica.start()
        opened.append(database)
        process = Process(database, clock)
        await until(lambda: process.replica.fresh)
        return process

    yield start
    for database in opened:
        await database.close()


@pytest.fixture
async def paused(pair: Pair) -> AsyncIterator[Pause]:
    """Stops what the replica replays, and lets it go on."""

    async def pause(stop: bool) -> None:
        await pair.standby.tell("select pg_wal_replay_pause()" if stop else "select pg_wal_replay_resume()")
        if stop:  # asked for; it happens between two records
            async with asyncio.timeout(PATIENCE_S):
                while await pair.standby.tell("select pg_get_wal_replay_pause_state()") != "paused":
                    await asyncio.sleep(0.01)

    yield pause
    await pause(False)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not holds():
            await asyncio.sleep(0.005)


def person(account_id: UUID | None = None) -> Context:
    return Context(Actor(ActorKind.PERSON, account_id or uuid4()))


STRANGER = Context()


async def test_reads_go_to_the_replica_and_commands_to_the_primary(process: Open) -> None:
    here = await process()
    somebody = person()
    assert await here.reads_replica(somebody)
    assert await here.reads_replica(STRANGER)
    async with here.people.tx(somebody) as tx:
        assert not await tx.one(ON_REPLICA)
    with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
        async with here.people.read(STRANGER) as tx:
            await tx.run(CHOOSE, somebody.account_id, "nothing")


async def test_a_process_without_a_replica_asks_the_primary(pair: Pair) -> None:
    database = await Database.connect(pair.url, None, 2, "forecourt tests")
    async with database.module("people").read(person()) as tx:
        assert not await tx.one(ON_REPLICA)
    await database.close()


async def test_the_house_itself_and_who_was_told_of_a_change_read_the_primary(process: Open) -> None:
    here = await process()
    assert not await here.reads_replica(service_context("test"))
    with newest():
        assert not await here.reads_replica(person())
    assert await here.reads_replica(person())


async def test_a_writer_sees_what_it_wrote_while_others_still_read_the_replica(process: Open, paused: Pause) -> None:
    here, writer, other = await process(), person(), person()
    await here.choose(writer, "old")
    await here.caught_up()
    await paused(True)
    await here.choose(writer, "new")
    assert await here.chosen(writer) == "new"
    assert await here.reads_replica(other)
    # The control: on the replica the old word still stands.
    here.replica.forget_writers()
    assert await here.chosen(writer) == "old"
    await here.choose(writer, "newest")
    await paused(False)
    await here.caught_up()
    assert await here.reads_replica(writer)
    assert await here.chosen(writer) == "newest"


async def test_a_writer_sees_what_it_wrote_from_another_process_too(pair: Pair, process: Open, paused: Pause) -> None:
    one, two = await process(valkey_url=pair.valkey_url), await process(valkey_url=pair.valkey_url)
    key = Context(Actor(ActorKind.API_KEY, key_id=uuid4(), account_id=None))
    writer = person()
    await paused(True)
    await one.choose(writer, "new")
    async with one.people.tx(key):
        pass
    assert await two.chosen(writer) == "new"
    assert not await two.reads_replica(key)
    assert await two.reads_replica(person())
    # The control: what tells them is Valkey.
    async with Valkey.from_url(pair.valkey_url) as valkey:
        assert 0 < await valkey.pttl(KEY + str(writer.account_id)) <= 1_000
        await valkey.delete(KEY + str(writer.account_id))
    assert await two.chosen(writer) is None


async def test_who_may_have_written_reads_the_primary_while_valkey_is_away(process: Open) -> None:
    here = await process(valkey_url="unix:///nowhere/valkey.sock")
    assert not await here.reads_replica(person())
    assert await here.reads_replica(STRANGER)
    await here.choose(writer := person(), "word")
    assert await here.chosen(writer) == "word"


async def test_a_replica_that_is_more_than_100_ms_behind_is_not_asked(process: Open, paused: Pause) -> None:
    here = await process()
    writer = person()
    await here.caught_up()
    await paused(True)
    await here.choose(writer, "word")
    here.clock.now += 0.09
    assert await here.reads_replica(STRANGER)
    here.clock.now += 0.02
    assert not await here.reads_replica(STRANGER)
    assert here.replica.lag_s > 0.1
    await paused(False)
    await here.caught_up()
    assert await here.reads_replica(STRANGER)


async def test_no_reader_notices_that_the_replica_is_killed_and_they_come_back_to_it(pair: Pair, process: Open) -> None:
    here = await process(monotonic=asyncio.get_running_loop().time)
    answers: list[bool] = []
    reading = True

    async def read() -> None:
        while reading:
            answers.append(await here.reads_replica(STRANGER))

    readers = [asyncio.create_task(read()) for _ in range(4)]
    await until(lambda: True in answers)
    pair.standby.kill()
    answers.clear()
    await until(lambda: answers[-50:] == [False] * 50)
    pair.standby.start()
    answers.clear()
    await until(lambda: True in answers)
    reading = False
    await asyncio.gather(*readers)


async def test_what_is_known_of_one_replica_is_not_taken_for_another_behind_the_same_address(
    pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As behind a Service of Kubernetes: each new connection may come to another server."""
    here = parse_qs(urlsplit(pair.admin_url).query)["host"][0]
    base = Path(tempfile.mkdtemp(prefix="fc-third-", dir=memory_disk()))
    third, given_up = Standby(base / "standby", pair.admin_url, here), list[bool]()
    address = base / "address"
    database = await Database.connect(pair.url, None, 10, "forecourt tests")
    try:
        third.start()
        since = {standby: str(await standby.tell(SINCE.sql)) for standby in (pair.standby, third)}
        lead(address, pair.standby)
        replica = database.replica = Replica(
            pair.url, as_user(postgres.database_url(address), APP_ROLE), 10, "forecourt tests", None, clock := Clock()
        )
        await replica.start()
        people = database.module("people")
        await until(lambda: replica.holds_until == clock.now)
        async with people.read(STRANGER) as first:
            assert await first.one(SINCE) == since[pair.standby]
            lead(address, third)
            with monkeypatch.context() as patched:
                patched.setattr(replica, "failed", lambda: given_up.append(True))
                async with people.read(STRANGER) as second:  # needs a connection of its own, which comes to the other replica
                    assert not await second.one(ON_REPLICA)
            assert not given_up, "the one that is measured did not fail: others still read there"

        async with people.read(STRANGER) as again:
            assert await again.one(SINCE) == since[pair.standby], "the control: its connection is kept"
        primary = await asyncpg.connect(pair.admin_url)
        assert await primary.fetchval(
            "select count(pg_terminate_backend(pid)) from pg_stat_activity where application_name = 'forecourt tests watch'"
        )
        await primary.close()
        await until(lambda: replica._server == since[third])  # type: ignore[reportPrivateUsage]
        await until(lambda: replica.holds_until == clock.now)
        async with people.read(STRANGER) as last:
            assert await last.one(SINCE) == since[third], "its old connection was to a replica that nobody measures now"
    finally:
        await database.close()
        third.close()
        shutil.rmtree(base, ignore_errors=True)


def lead(address: Path, standby: Standby) -> None:
    """What connects to `address` from now on comes to that replica."""
    new = address.with_suffix(".new")
    new.symlink_to(parse_qs(urlsplit(standby.url).query)["host"][0])
    new.rename(address)


async def test_a_transaction_on_a_replica_that_dies_goes_on_where_it_was(pair: Pair, process: Open) -> None:
    here = await process()
    async with here.people.read(person()) as tx:
        assert await tx.one(ON_REPLICA)
        await tx.one(REMEMBER, "the blue room")
        with pytest.raises(NotFound):
            await tx.one(CHOSEN, uuid4())
        await tx.become("fc_chat", None)
        pair.standby.kill()
        try:
            assert await tx.one(REMEMBERED) == "the blue room fc_chat"
            assert not await tx.one(ON_REPLICA)
        finally:
            pair.standby.start()
    await until(lambda: here.replica.fresh)
    # It may also die when all was read.
    async with here.people.read(person()) as tx:
        assert await tx.one(ON_REPLICA)
        pair.standby.kill()
    pair.standby.start()


async def test_a_statement_on_a_replica_that_hangs_is_repeated_on_the_primary(pair: Pair, process: Open) -> None:
    here = await process()
    async with here.people.read(person()) as tx:
        assert await tx.one(ON_REPLICA)
        pair.standby.freeze()
        try:
            assert not await tx.one(ON_REPLICA)
        finally:
            pair.standby.thaw()


async def test_a_statement_that_takes_too_long_is_not_repeated(process: Open) -> None:
    here = await process()
    with pytest.raises(asyncpg.QueryCanceledError):
        async with here.people.read(person()) as tx:
            await tx.run(IMPATIENT)
            await tx.one(SLEEP)


async def test_a_house_opens_without_its_replica_and_refuses_to_read_from_a_second_primary(pair: Pair) -> None:
    for nowhere in ("postgresql://forecourt_app@/forecourt?host=/nowhere", pair.url):
        database = await Database.connect(pair.url, nowhere, 2, "forecourt tests")
        assert database.replica is not None
        people = database.module("people")
        for _ in range(20):
            async with people.read(STRANGER) as tx:
                assert not await tx.one(ON_REPLICA)
            await asyncio.sleep(0.01)
        await database.close()


async def test_who_registers_with_one_process_is_known_to_the_next_before_the_replica_knows(
    pair: Pair, paused: Pause, tmp_path: Path
) -> None:
    houses = [await House.open(settings_for(tmp_path), Addresses(pair.url, pair.valkey_url, pair.replica_url)) for _ in "12"]
    clock = Clock()
    for house in houses:
        assert house.database.replica is not None
        house.database.replica._monotonic = clock  # type: ignore[reportPrivateUsage]
        await until(lambda replica=house.database.replica: replica.holds_until == clock.now)
    one, two = (
        httpx.AsyncClient(transport=httpx.ASGITransport(app=house.app), base_url="http://house.test")  # type: ignore[arg-type]
        for house in houses
    )
    await paused(True)
    body = {"email": f"{uuid4().hex}@example.org", "password": "a long enough pass phrase", "name": "Ada"}
    answer = await one.post("/v1/auth/register", json=body)
    assert answer.status_code == 201, answer.text
    bearer = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    assert (await two.get("/v1/me", headers=bearer)).json()["email"] == body["email"]
    # The control: once Valkey forgets who wrote, the replica is asked, and does not know them yet; the primary does.
    async with Valkey.from_url(pair.valkey_url) as valkey:
        for key in await valkey.keys(KEY + "*"):
            await valkey.delete(key)
    assert (await two.get("/v1/me", headers=bearer)).status_code == 404
    assert (await two.get("/v1/me", headers=bearer | {"HX-Request": "true"})).status_code == 200
    for client in (one, two):
        await client.aclose()
    for house in houses:
        await house.close()
