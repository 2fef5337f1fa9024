"""The pool: who gets which connection when, and that none is lost or lent in the middle of something."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from tests.conftest import FreshDatabase
from tests.kernel.relay import END_OURS, Relay, end_sessions

from forecourt.kernel import pool as pool_module
from forecourt.kernel.context import Context
from forecourt.kernel.db import Database, Query
from forecourt.kernel.errors import Unavailable
from forecourt.kernel.faults import as_problem
from forecourt.kernel.pool import CONNECTION_LOST, Pool, is_lost

ONE = Query(int, "select 1")
NUMBER = Query(int, "select $1::int")
SLEEP = Query(str, "select pg_sleep(60)::text")


@pytest.fixture
async def pool(fresh_database: FreshDatabase) -> AsyncIterator[Pool]:
    made = await Pool.connect(fresh_database.url, 2, "pool tests")
    yield made
    await made.close()


async def backends(fresh: FreshDatabase) -> int:
    connection = await fresh.admin()
    try:
        return await connection.fetchval("select count(*) from pg_stat_activity where application_name = 'pool tests'")
    finally:
        await connection.close()


async def until(true: Any) -> None:
    async with asyncio.timeout(5):
        while not await true():
            await asyncio.sleep(0.01)


async def test_the_connection_used_last_is_lent_first(pool: Pool) -> None:
    first, second = await pool.acquire(), await pool.acquire()
    assert first is not second
    await pool.release(second)
    await pool.release(first)
    assert await pool.acquire() is first
    assert await pool.acquire() is second
    for connection in (first, second):
        await pool.release(connection)


async def test_whoever_waits_longest_is_next(pool: Pool) -> None:
    lent = [await pool.acquire(), await pool.acquire()]
    came: list[str] = []

    async def borrow(name: str) -> None:
        connection = await pool.acquire()
        came.append(name)
        await pool.release(connection)

    waiting = []
    for name in ("Ada", "Ben", "Cy"):
        waiting.append(asyncio.create_task(borrow(name)))
        await asyncio.sleep(0)
    assert came == [], "nobody has one yet, or this test proves nothing"
    await pool.release(lent[0])
    await asyncio.gather(*waiting)
    assert came == ["Ada", "Ben", "Cy"]
    await pool.release(lent[1])
    assert (pool.size, pool.idle) == (2, 2)


async def test_waiting_ends_and_what_is_given_back_later_is_not_lost(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "ACQUIRE_TIMEOUT_S", 0.05)
    lent = [await pool.acquire(), await pool.acquire()]
    with pytest.raises(Unavailable):
        await pool.acquire()
    for connection in lent:
        await pool.release(connection)
    assert pool.idle == 2
    await pool.release(await pool.acquire())


@pytest.mark.parametrize("turns", range(4))
async def test_a_borrower_who_gives_up_as_it_is_handed_over_loses_nothing(pool: Pool, turns: int) -> None:
    lent = [await pool.acquire(), await pool.acquire()]
    waiting = asyncio.create_task(pool.acquire())
    await asyncio.sleep(0)
    await pool.release(lent[0])
    for _ in range(turns):
        await asyncio.sleep(0)
    if waiting.cancel():
        with pytest.raises(asyncio.CancelledError):
            await waiting
    else:
        await pool.release(await waiting)
    assert pool.idle == 1
    await pool.release(lent[1])
    assert pool.idle == 2


async def test_one_that_the_server_closed_makes_room_for_another(pool: Pool, fresh_database: FreshDatabase) -> None:
    lent = [await pool.acquire(), await pool.acquire()]
    waiting = asyncio.create_task(pool.acquire())
    await asyncio.sleep(0)
    admin = await fresh_database.admin()
    await admin.execute(END_OURS)
    await admin.close()
    for connection in lent:
        with pytest.raises(CONNECTION_LOST):
            await connection.fetchval("select 1")
        await pool.release(connection)
    fresh = await waiting
    assert await fresh.fetchval("select 1") == 1
    await pool.release(fresh)
    assert pool.size == 1


async def test_begin_goes_on_with_another_when_idle_ones_have_died(pool: Pool, fresh_database: FreshDatabase) -> None:
    admin = await fresh_database.admin()
    await admin.execute(END_OURS)
    await admin.close()
    connection = await pool.begin("begin")
    assert await connection.fetchval("select 1") == 1
    await connection.execute("rollback")
    await pool.release(connection)


async def test_one_given_back_inside_a_transaction_is_nobodys_until_it_is_mended(fresh_database: FreshDatabase) -> None:
    pool = await Pool.connect(fresh_database.url, 1, "pool tests")
    connection = await pool.begin("begin")
    await connection.execute("set local forecourt.org = 'mine'")
    await pool.release(connection)
    assert pool.idle == 0
    again = await pool.acquire()
    assert again is connection
    assert await again.fetchval("select current_setting('forecourt.org', true)") in ("", None)
    await pool.release(again)
    await pool.close()


async def test_giving_back_twice_is_an_error(pool: Pool) -> None:
    connection = await pool.acquire()
    await pool.release(connection)
    with pytest.raises(KeyError):
        await pool.release(connection)


async def test_what_nobody_wants_for_long_is_closed_but_for_a_few(
    fresh_database: FreshDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = await Pool.connect(fresh_database.url, 4, "pool tests")
    lent = [await pool.acquire() for _ in range(4)]
    for connection in lent:
        await pool.release(connection)
    for _ in range(5):
        await pool.release(await pool.acquire())
    assert pool.size == 4, "they are kept for a while, or this test proves nothing"
    monkeypatch.setattr(pool_module, "IDLE_S", 0.0)
    for _ in range(5):
        await pool.release(await pool.acquire())
    assert pool.size == 2

    async def gone() -> bool:
        return await backends(fresh_database) == 2

    await until(gone)
    await pool.close()


async def test_closing_ends_every_session_and_lends_nothing_more(
    fresh_database: FreshDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "CLOSE_TIMEOUT_S", 0.1)
    pool = await Pool.connect(fresh_database.url, 3, "pool tests")
    kept = await pool.acquire()
    await pool.release(await pool.acquire())
    assert await backends(fresh_database) >= 2
    await pool.close()
    assert kept.is_closed()
    with pytest.raises(Unavailable):
        await pool.acquire()

    async def gone() -> bool:
        return await backends(fresh_database) == 0

    await until(gone)


async def test_without_a_server_the_answer_is_unavailable(fresh_database: FreshDatabase, tmp_path: Any) -> None:
    nowhere = Pool(f"postgresql://nobody@/nothing?host={tmp_path}", 2, "pool tests")
    with pytest.raises(Unavailable):
        await nowhere.acquire()
    assert nowhere.size == 0
    await nowhere.close()


async def test_a_session_that_ends_before_it_is_looked_at_is_of_a_server_that_does_not_answer(
    fresh_database: FreshDatabase,
) -> None:
    """Whoever reads at a replica asks the primary then, and notices nothing."""
    ends = True

    async def look(connection: Any) -> None:
        if ends:
            with contextlib.suppress(asyncpg.ConnectionDoesNotExistError):
                await connection.execute("select pg_terminate_backend(pg_backend_pid())")
        await connection.execute("select 1")

    looked_at = Pool(fresh_database.url, 2, "pool tests", look)
    with pytest.raises(Unavailable):
        await looked_at.acquire()
    assert looked_at.size == 0
    ends = False
    await looked_at.release(await looked_at.acquire())  # the control
    await looked_at.close()


# --- sessions that are over before their connection is ---------------------------------------------------------------


async def test_the_driver_knows_no_way_on_after_the_servers_last_word(
    relayed: tuple[str, Relay], fresh_database: FreshDatabase
) -> None:
    """The control of the next two."""
    url, relay = relayed
    relay.keeps_ends_back = True
    connection = await asyncpg.connect(url, server_settings={"application_name": "pool tests"})
    await end_sessions(fresh_database, relay)
    assert not connection.is_closed()
    with pytest.raises(asyncpg.InternalClientError, match="cannot switch to state"):
        await connection.fetchval("select $1::int", 1)


async def test_a_transaction_whose_session_ended_says_why_and_leaves_no_connection_behind(
    relayed: tuple[str, Relay], fresh_database: FreshDatabase
) -> None:
    url, relay = relayed
    relay.keeps_ends_back = True
    database = await Database.connect(url, None, 1, "pool tests")
    kernel = database.module("kernel")
    with pytest.raises(ZeroDivisionError):  # what went wrong first, and not that it could not be rolled back
        async with kernel.tx(Context()) as tx:
            await tx.one(ONE)
            await end_sessions(fresh_database, relay)
            raise ZeroDivisionError
    assert database.primary.size == 0
    relay.goodbyes.clear()
    lost: list[Exception] = []
    try:
        async with kernel.tx(Context()) as tx:
            await end_sessions(fresh_database, relay)
            await tx.one(ONE)
    except Exception as e:
        lost.append(e)
    assert is_lost(lost[0]) and as_problem(lost[0]).status == 503
    async with kernel.tx(Context()) as tx:  # on a new connection
        assert await tx.one(ONE) == 1
    relay.shut()  # it would keep back this end too
    await database.close()


async def test_a_value_that_does_not_fit_is_our_fault_and_no_lost_database(fresh_database: FreshDatabase) -> None:
    database = await Database.connect(fresh_database.url, None, 1, "pool tests")
    with pytest.raises(asyncpg.DataError, match="invalid input") as wrong:  # the driver's own, before anything is sent
        async with database.module("kernel").tx(Context()) as tx:
            await tx.one(NUMBER, "seven")
    assert not is_lost(wrong.value) and as_problem(wrong.value).status == 500
    closed = asyncpg.InterfaceError("connection is closed")  # the control
    assert is_lost(closed) and as_problem(closed).status == 503
    await database.close()


async def test_a_database_without_room_is_no_fault_of_the_programs_and_keeps_its_sessions(pool: Pool) -> None:
    """A full disk: others may still read, and whoever wrote may send it once more."""
    connection = await pool.acquire()
    for state, status in (("53100", 503), ("53200", 503), ("22012", 500)):
        with pytest.raises(asyncpg.PostgresError) as refused:
            await connection.execute(f"do $$ begin raise exception 'none' using errcode = '{state}'; end $$")
        assert as_problem(refused.value).status == status and not is_lost(refused.value)
    await pool.release(connection)


@pytest.mark.parametrize("how", ["cancelled", "timed out"])
async def test_a_connection_whose_statement_was_cut_off_is_closed_and_nothing_is_asked_on_it(
    fresh_database: FreshDatabase, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    if how == "timed out":
        monkeypatch.setattr(pool_module, "STATEMENT_TIMEOUT_S", -4.9)
    database = await Database.connect(fresh_database.url, None, 1, "pool tests")
    asked: list[str] = []
    connections: list[Any] = []

    async def sleep() -> None:
        async with database.module("kernel").tx(Context()) as tx:
            tx.connection.add_query_logger(lambda record: asked.append(record.query))
            connections.append(tx.connection)
            await tx.one(SLEEP)

    task = asyncio.create_task(sleep())
    while not connections:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.02)
    if how == "cancelled":
        task.cancel()
    with pytest.raises((asyncio.CancelledError, TimeoutError)):
        await task

    async def ended() -> bool:
        return await backends(fresh_database) == 0

    await until(ended)  # and the server did not go on with it for the rest of the minute
    assert connections[0].is_closed()
    assert set(asked) <= {SLEEP.sql}
    assert (database.primary.size, database.primary.idle) == (0, 0)
    async with database.module("kernel").tx(Context()) as tx:
        assert await tx.one(ONE) == 1
    await database.close()


async def test_who_waits_too_long_for_somebody_elses_lock_is_told_that_it_took_too_long(fresh_database: FreshDatabase) -> None:
    holder, waiter = await fresh_database.admin(), await fresh_database.admin()
    await waiter.execute("set lock_timeout = '10ms'")
    async with holder.transaction():
        await holder.execute("lock table kernel.job in access exclusive mode")
        with pytest.raises(asyncpg.LockNotAvailableError) as waited:
            await waiter.execute("select from kernel.job")
    assert as_problem(waited.value).status == 504
    await waiter.execute("select from kernel.job")  # the control
    for connection in (holder, waiter):
        await connection.close()
