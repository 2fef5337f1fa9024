from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from tests.conftest import FreshDatabase
from tests.kernel.relay import Relay

from forecourt.kernel import idempotency
from forecourt.kernel.clock import FixedClock
from forecourt.kernel.context import Actor, ActorKind, Context
from forecourt.kernel.db import Database, Tx
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
    assert isinstance(first, Fresh)
    assert [f.effect_id for f in found if isinstance(f, Fresh)] == [first.effect_id]


async def test_a_failure_of_ours_may_be_retried_at_once_with_the_same_effect(keys: Idempotency) -> None:
    ctx = person()
    first = await keys.claim(ctx, "k", b"a")
    assert isinstance(first, Fresh)
    await keys.forget(ctx, "k", first)
    assert await keys.claim(ctx, "k", b"a") == first
    await keys.keep(ctx, "k", 200, {}, b"x")
    await keys.forget(ctx, "k", first)
    assert await keys.claim(ctx, "k", b"a") == Replay(200, {}, b"x")


async def test_a_lease_that_was_taken_over_is_not_given_back_for_another(keys: Idempotency, clock: FixedClock) -> None:
    ctx = person()
    late = await keys.claim(ctx, "k", b"a")
    assert isinstance(late, Fresh)
    clock.advance(timedelta(seconds=61))
    taken = await keys.claim(ctx, "k", b"a")
    assert isinstance(taken, Fresh) and taken.effect_id == late.effect_id
    await keys.forget(ctx, "k", late)
    with pytest.raises(IdempotencyInFlight):
        await keys.claim(ctx, "k", b"a")
    await keys.forget(ctx, "k", taken)  # the control: its own
    assert isinstance(await keys.claim(ctx, "k", b"a"), Fresh)


class Town:
    """Keys over a database that can be out of reach, and the same keys as another process sees them. Time stands still."""

    def __init__(self, keys: Idempotency, others: Idempotency, relay: Relay) -> None:
        self.keys = keys
        self.others = others
        self.relay = relay

    async def free_at_last(self, ctx: Context, key: str) -> Fresh:
        """The key in the other process's hands, which only a lease given back brings about."""
        async with asyncio.timeout(30):
            while True:
                try:
                    found = await self.others.claim(ctx, key, b"a")
                except IdempotencyInFlight:
                    await asyncio.sleep(0.02)
                else:
                    assert isinstance(found, Fresh)
                    return found


@pytest.fixture
async def town(relayed: tuple[str, Relay], fresh_database: FreshDatabase, clock: FixedClock) -> AsyncIterator[Town]:
    url, relay = relayed
    database = await Database.connect(url, None, 4, "pool tests")
    others = await fresh_database.connect(2)
    keys = Idempotency(database.module("kernel"), clock)
    yield Town(keys, Idempotency(others.module("kernel"), clock), relay)
    await keys.close()
    await database.close()


async def test_a_lease_is_given_back_as_soon_as_the_database_answers_again(town: Town) -> None:
    ctx = person()
    first = await town.keys.claim(ctx, "k", b"a")
    held = await town.keys.claim(ctx, "held", b"a")
    assert isinstance(first, Fresh) and isinstance(held, Fresh)
    town.relay.shut()
    await town.keys.forget(ctx, "k", first)  # no error: the caller has one of its own to tell
    with pytest.raises(IdempotencyInFlight):
        await town.others.claim(ctx, "k", b"a")
    town.relay.open()
    assert (await town.free_at_last(ctx, "k")).effect_id == first.effect_id
    with pytest.raises(IdempotencyInFlight):  # the control: nobody gave this one back
        await town.others.claim(ctx, "held", b"a")


async def test_a_claim_of_which_nobody_knows_whether_it_was_committed_is_given_back(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection breaks between the commit and its confirmation."""
    ctx = person()
    real = Tx._commit

    async def commit(tx: Tx) -> None:
        await real(tx)
        if tx._pool is town.keys._database.database.primary:
            town.relay.shut()
            raise ConnectionResetError

    monkeypatch.setattr(Tx, "_commit", commit)
    with pytest.raises(ConnectionResetError):
        await town.keys.claim(ctx, "k", b"a")
    monkeypatch.setattr(Tx, "_commit", real)
    with pytest.raises(IdempotencyInFlight):
        await town.others.claim(ctx, "k", b"a")
    town.relay.open()
    await town.free_at_last(ctx, "k")


async def test_whoever_is_cancelled_while_giving_back_still_gives_back(town: Town) -> None:
    ctx = person()
    first = await town.keys.claim(ctx, "k", b"a")
    assert isinstance(first, Fresh)
    giving = asyncio.create_task(town.keys.forget(ctx, "k", first))
    await asyncio.sleep(0)
    giving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await giving
    await town.free_at_last(ctx, "k")


async def test_leases_that_cannot_be_given_back_are_left_to_run_out(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    ctx = person()
    claims = [await town.keys.claim(ctx, f"k{i}", b"a") for i in range(3)]
    monkeypatch.setattr(idempotency, "OWED", 2)
    town.relay.shut()
    for i, claim in enumerate(claims):
        assert isinstance(claim, Fresh)
        await town.keys.forget(ctx, f"k{i}", claim)
    assert len(town.keys._owed) == 2
    monkeypatch.setattr(idempotency, "LEASE_S", 0)
    async with asyncio.timeout(10):
        while town.keys._owed:
            await asyncio.sleep(0.02)
    town.relay.open()
    with pytest.raises(IdempotencyInFlight):
        await town.others.claim(ctx, "k2", b"a")


async def test_after_a_day_a_key_is_new(keys: Idempotency, clock: FixedClock) -> None:
    ctx = person()
    first = await keys.claim(ctx, "k", b"a")
    await keys.keep(ctx, "k", 200, {}, b"x")
    clock.advance(timedelta(hours=23))
    assert isinstance(await keys.claim(ctx, "k", b"a"), Replay)
    clock.advance(timedelta(hours=1))
    second = await keys.claim(ctx, "k", b"b")
    assert isinstance(second, Fresh) and second != first
