"""The bell rings again after its connection broke, however it broke, and so does the ear."""

from __future__ import annotations

import asyncio

import pytest
from tests.conftest import FreshDatabase
from tests.kernel.relay import Relay, end_sessions

from forecourt.kernel import doorbell
from forecourt.kernel.db import Database
from forecourt.kernel.doorbell import Doorbell, Topic


async def test_a_bell_whose_session_ended_under_it_rings_again(relayed: tuple[str, Relay], fresh_database: FreshDatabase) -> None:
    url, relay = relayed
    relay.keeps_ends_back = True
    database = await Database.connect(url, None, 1, "pool tests")
    bell = Doorbell(database)
    await bell.start()
    heard: asyncio.Queue[Topic] = asyncio.Queue()
    async with asyncio.timeout(20), doorbell.listen(fresh_database.url, heard.put_nowait):
        assert {await heard.get(), await heard.get()} == set(Topic)  # it listens
        await end_sessions(fresh_database, relay)
        bell.ring(Topic.JOBS)  # the one that is lost with the connection
        while heard.empty():
            bell.ring(Topic.EVENTS)
            await asyncio.sleep(0.02)
        assert await heard.get() is Topic.EVENTS
    await bell.stop()
    relay.shut()  # it would keep back this end too
    await database.close()


async def test_an_ear_that_the_driver_fails_listens_again(fresh_database: FreshDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doorbell, "RECONNECT_S", 0.01)
    real, failed = doorbell.asyncpg.connect, []

    async def connect(*args: object, **named: object) -> object:
        if not failed:
            failed.append(True)
            raise doorbell.asyncpg.InternalClientError("the driver does not know its way")
        return await real(*args, **named)

    monkeypatch.setattr(doorbell.asyncpg, "connect", connect)
    heard: asyncio.Queue[Topic] = asyncio.Queue()
    async with asyncio.timeout(20), doorbell.listen(fresh_database.url, heard.put_nowait):
        assert {await heard.get(), await heard.get()} == set(Topic)
    assert failed
