"""A claim that meets another one in the very moment: the statement sees neither row, and is run again."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import pytest

from forecourt.kernel.clock import Clock
from forecourt.kernel.context import Actor, ActorKind, Context
from forecourt.kernel.db import Database
from forecourt.kernel.errors import Invalid
from forecourt.kernel.idempotency import MAX_STORED_BYTES, Fresh, Idempotency, IdempotencyInFlight, Replay
from forecourt.kernel.ids import new_id

NOW = datetime(2026, 12, 1, tzinfo=UTC)
INSERT = """
insert into kernel.idempotency
    (account_id, key, fingerprint, effect_id, state, status, headers, body, locked_until, expires_at)
values ($1, 'k', 'a', $2, 'done', 200, '{}', 'theirs', $3, $4)
"""
WAITS = "select count(*) from pg_locks where not granted and transactionid is not null"


class Rivals(Clock):
    """Each of the first `count` looks at the clock lets a rival in, who commits as soon as somebody waits for it."""

    def __init__(self, admin_url: str, account_id: UUID, count: int) -> None:
        self.admin_url = admin_url
        self.account_id = account_id
        self.left = count
        self.threads: list[threading.Thread] = []

    def now(self) -> datetime:
        if self.left:
            self.left -= 1
            inside = threading.Event()
            self.threads.append(threading.Thread(target=lambda: asyncio.run(self.rival(inside))))
            self.threads[-1].start()
            assert inside.wait(60)
        return NOW

    async def rival(self, inside: threading.Event) -> None:
        connection, watch = await asyncpg.connect(self.admin_url), await asyncpg.connect(self.admin_url)
        try:
            await connection.execute("delete from kernel.idempotency where account_id = $1", self.account_id)
            async with connection.transaction():
                later = NOW + timedelta(hours=1)
                await connection.execute(INSERT, self.account_id, new_id(), later, later)
                inside.set()
                while not await watch.fetchval(WAITS):
                    await asyncio.sleep(0.01)
        finally:
            await connection.close()
            await watch.close()


async def claim(db: Database, admin_url: str, count: int) -> Fresh | Replay:
    person = Context(actor=Actor(kind=ActorKind.PERSON, account_id=new_id()))
    assert person.account_id is not None
    clock = Rivals(admin_url, person.account_id, count)
    try:
        return await asyncio.wait_for(Idempotency(db.module("kernel"), clock).claim(person, "k", b"a"), 60)
    finally:
        for thread in clock.threads:
            await asyncio.to_thread(thread.join)


async def test_an_answer_written_in_that_very_moment_is_found_at_the_second_look(db: Database, admin_url: str) -> None:
    assert isinstance(await claim(db, admin_url, 0), Fresh)  # nobody there: the control
    assert await claim(db, admin_url, 1) == Replay(200, {}, b"theirs")


async def test_after_two_rivals_in_a_row_the_first_request_is_still_running(db: Database, admin_url: str) -> None:
    with pytest.raises(IdempotencyInFlight):
        await claim(db, admin_url, 2)


@pytest.mark.parametrize("key", ["", "x" * 256, "a\x00b"])
async def test_a_key_that_the_table_cannot_hold_is_refused(db: Database, admin_url: str, key: str) -> None:
    keys = Idempotency(db.module("kernel"), Rivals(admin_url, new_id(), 0))
    person = Context(actor=Actor(kind=ActorKind.PERSON, account_id=new_id()))
    with pytest.raises(Invalid):
        await keys.claim(person, key, b"a")
    assert isinstance(await keys.claim(person, "x" * 255, b"a"), Fresh)


async def test_an_answer_too_large_to_keep_is_a_mistake(db: Database, admin_url: str) -> None:
    keys = Idempotency(db.module("kernel"), Rivals(admin_url, new_id(), 0))
    person = Context(actor=Actor(kind=ActorKind.PERSON, account_id=new_id()))
    await keys.claim(person, "k", b"a")
    with pytest.raises(ValueError):
        await keys.keep(person, "k", 200, {}, b"x" * (MAX_STORED_BYTES + 1))
    await keys.keep(person, "k", 200, {}, b"x" * MAX_STORED_BYTES)
    assert isinstance(await keys.claim(person, "k", b"a"), Replay)
