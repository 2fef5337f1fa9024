"""What travels with `begin`: the lock of a transaction and how its statements are planned; and events inside a statement."""

from __future__ import annotations

import asyncio
from uuid import UUID

import pytest

from forecourt.kernel.context import service_context
from forecourt.kernel.db import Database, Lock, Plans, Query, Tx
from forecourt.kernel.events import INSERT_EVENT, Event, emit_with
from forecourt.kernel.ids import new_id

CTX = service_context("tests")
PLANNING = Query(str, "select current_setting('plan_cache_mode')")
TELL = Query(
    int,
    "with said as (" + INSERT_EVENT + " values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) returning 1) select 1 from said",
)
WAITING = Query(
    bool,
    "select exists (select from pg_locks l join pg_database d on d.oid = l.database"
    " where l.locktype = 'advisory' and not l.granted and d.datname = current_database())",
)
TOLD = Query(int, "select count(*)::int from kernel.event where id = $1")


class BellRang(Event, name="tests.bell_rang"):
    organisation_id: UUID


async def overtakes(db: Database, first: Lock, second: Lock) -> bool:
    """Whether a transaction with `second` gets in while one with `first` is open."""
    inside = asyncio.Event()

    async def come_later() -> None:
        async with db.module("kernel").tx(CTX, lock=second):
            inside.set()

    async with db.module("kernel").tx(CTX, lock=first) as tx:
        later = asyncio.create_task(come_later())
        while not inside.is_set():  # either it is in, or the server says that it waits for the lock
            waits = await tx.one(WAITING)
            if waits:
                break
        got_in = inside.is_set()
    await later
    return got_in


async def test_transactions_with_the_same_lock_follow_one_another(db: Database) -> None:
    one, other = new_id(), new_id()
    assert not await overtakes(db, Lock.on(one, other), Lock.on(one, other))


async def test_another_lock_does_not_wait(db: Database) -> None:
    """The control."""
    one, other = new_id(), new_id()
    assert await overtakes(db, Lock.on(one, other), Lock.on(other, one))


async def test_kept_plans_are_for_this_transaction_alone(db: Database) -> None:
    kernel = db.module("kernel")
    async with kernel.tx(CTX, plans=Plans.KEPT) as tx:
        assert await tx.one(PLANNING) == "force_generic_plan"
    async with kernel.tx(CTX) as tx:
        assert await tx.one(PLANNING) == "auto"


async def tell(tx: Tx) -> UUID:
    values = emit_with(tx, BellRang(organisation_id=new_id()))
    assert await tx.one(TELL, *values) == 1
    event_id = values[0]
    assert isinstance(event_id, UUID)
    return event_id


async def test_an_event_inside_a_statement_is_in_the_log_with_its_commit(db: Database) -> None:
    async with db.module("kernel").tx(CTX) as tx:
        event_id = await tell(tx)
    async with db.module("kernel").read(CTX) as tx:
        assert await tx.one(TOLD, event_id) == 1


async def test_an_event_inside_a_statement_is_gone_with_its_rollback(db: Database) -> None:
    told: list[UUID] = []
    with pytest.raises(ZeroDivisionError):
        async with db.module("kernel").tx(CTX) as tx:
            told.append(await tell(tx))
            raise ZeroDivisionError
    async with db.module("kernel").read(CTX) as tx:
        assert await tx.one(TOLD, told[0]) == 0
