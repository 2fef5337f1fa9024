from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from forecourt.kernel.clock import FixedClock
from forecourt.kernel.context import Actor, ActorKind, Context
from forecourt.kernel.db import Database
from forecourt.kernel.idempotency import Fresh, Idempotency, IdempotencyInFlight, IdempotencyMismatch, Replay
from forecourt.kernel.ids import new_id


def person() -> Context:
    return Context(actor=Actor(kind=ActorKind.PERSON, account_id=new_id()))


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(datetime(2026, 12, 1, tzinfo=UTC))


@pytest.fixture
def keys(db: Database, clock: FixedClock) -> Idempotency:
    return Idempotency(db.module("kernel"), clock)


async def test_of_a_hundred_at_once_one_does_the_work(keys: Idempotency) -> None:
    ctx = person()
    found = await asyncio.gather(*(keys.claim(ctx, "k", b"a") for _ in range(100)), return_exceptions=True)
    assert sum(isinstance(f, Fresh) for f in found) == 1
    assert sum(isinstance(f, IdempotencyInFlight) for f in found) == 99
    await keys.keep(ctx, "k", 201, {"location": "/x"}, b"done")
    again = await asyncio.gather(*(keys.claim(ctx, "k", b"a") for _ in range(20)))
    assert again == [Replay(201, {"location": "/x"}, b"done")] * 20
    others = await asyncio.gather(*(keys.claim(ctx, f"k{i}", b"a") for i in range(20)))
    assert all(isinstance(f, Fresh) for f in others)  # the control: it is the key that decides


async def test_another_body_is_refused_while_running_and_after(keys: Idempotency) -> None:
    ctx = person()
    await keys.claim(ctx, "k", b"a")
    with pytest.raises(IdempotencyMismatch):
        await keys.claim(ctx, "k", b"b")
    await keys.keep(ctx, "k", 200, {}, b"")
    with pytest.raises(IdempotencyMismatch):
        await keys.claim(ctx, "k", b"b")


async def test_accounts_api_keys_and_nobody_do_not_meet(keys: Idempotency) -> None:
    api_key = Context(actor=Actor(kind=ActorKind.API_KEY, key_id=new_id()))
    key = str(new_id())
    for ctx in (person(), person(), api_key, Context()):
        assert isinstance(await keys.claim(ctx, key, b"a"), Fresh)
    with pytest.raises(IdempotencyInFlight):
        await keys.claim(api_key, key, b"a")


async def test_after_a_crash_the_retry_gets_the_same_effect(keys: Idempotency, clock: FixedClock) -> None:
    ctx = person()
    first = await keys.claim(ctx, "k", b"a")
    clock.advance(timedelta(seconds=59))
    with pytest.raises(IdempotencyInFlight):
        await keys.claim(ctx, "k", b"a")
    clock.advance(timedelta(seconds=2))
    with pytest.raises(IdempotencyMismatch):
        await keys.claim(ctx, "k", b"b")
    found = await asyncio.gather(*(keys.claim(ctx, "k", b"a") for _ in range(10)), return_exceptions=True)
    assert [f for f in found if isinstance(f, Fresh)] == [first]


async def test_a_failure_of_ours_may_be_retried_at_once_with_the_same_effect(keys: Idempotency) -> None:
    ctx = person()
    first = await keys.claim(ctx, "k", b"a")
    await keys.forget(ctx, "k")
    assert await keys.claim(ctx, "k", b"a") == first
    await keys.keep(ctx, "k", 200, {}, b"x")
    await keys.forget(ctx, "k")
    assert await keys.claim(ctx, "k", b"a") == Replay(200, {}, b"x")


async def test_after_a_day_a_key_is_new_and_can_be_purged(keys: Idempotency, clock: FixedClock) -> None:
    ctx = person()
    first = await keys.claim(ctx, "k", b"a")
    await keys.keep(ctx, "k", 200, {}, b"x")
    clock.advance(timedelta(hours=23))
    assert isinstance(await keys.claim(ctx, "k", b"a"), Replay)
    clock.advance(timedelta(hours=1))
    second = await keys.claim(ctx, "k", b"b")
    assert isinstance(second, Fresh) and second != first
    clock.advance(timedelta(hours=25))
    assert await keys.purge(Context()) >= 1
