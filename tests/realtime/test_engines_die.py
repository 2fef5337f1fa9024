"""Valkey wiped and killed, PostgreSQL killed, while people write and follow: nothing is lost, and the sockets stay open."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import asyncpg
import httpx
import pytest
from tests.conftest import as_user
from tests.journeys.conftest import settings_for
from tests.journeys.world import Person, World
from tests.realtime.conftest import Node
from tests.realtime.diary import TABLES
from tests.realtime.wire import Socket
from valkey.asyncio import Valkey

from forecourt.app import Addresses, House
from forecourt.engines import Engines, start_engines
from forecourt.kernel.errors import Unavailable
from forecourt.kernel.migrate import APP_ROLE, migrate
from forecourt.layout import migration_folders
from forecourt.realtime.client import TYPING_S

pytestmark = pytest.mark.slow


class Town:
    def __init__(self, engines: Engines, node: Node, person: Person) -> None:
        self.engines, self.node, self.person = engines, node, person

    async def follow(self) -> tuple[str, Socket]:
        topic = await self.node.diary.make(UUID(self.person.id))
        ws = await self.node.open(self.person)
        assert (await ws.ask({"op": "subscribe", "topic": topic}))["op"] == "subscribed"
        await self.node.diary.write(topic, "before")
        assert (await ws.until("event"))["seq"] == 1
        return topic, ws

    async def write(self, topic: str, text: str) -> None:
        """Until the database takes it; the same `client_id` makes it once."""
        async with asyncio.timeout(60):
            while True:
                try:
                    await self.node.diary.write(topic, text, text)
                    return
                except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, Unavailable, TimeoutError):
                    await asyncio.sleep(0.1)

    async def kill(self, comm: str) -> None:
        name = "postgres" if comm == "postgres" else "valkey"
        for pid in self._pids(comm):
            os.kill(pid, signal.SIGKILL)
        await asyncio.to_thread(self.engines.restart, name)

    def _pids(self, comm: str) -> list[int]:
        found: list[int] = []
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and (entry / "comm").read_text().strip() == comm:
                    where = f"{(entry / 'cwd').resolve()} {(entry / 'cmdline').read_text()}"
                    if str(self.engines.data) in where:
                        found.append(int(entry.name))
            except OSError:
                continue
        assert found
        return found


@pytest.fixture(scope="module")
async def town(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    data = tmp_path_factory.mktemp("town")
    with start_engines(data / "engines") as engines:
        await migrate(engines.database_url, migration_folders())
        at = Addresses(as_user(engines.database_url, APP_ROLE), engines.valkey_url)
        house = await House.open(settings_for(data), at)
        pool = asyncpg.create_pool(engines.database_url, min_size=1, max_size=5)
        async with pool:
            await pool.execute(TABLES)
            transport = httpx.ASGITransport(app=house.app)  # type: ignore[arg-type]
            async with httpx.AsyncClient(transport=transport, base_url="http://house.test", timeout=30) as client:
                person = await World(client).person("Kim", verify=False)
            node = Node(house.gate, engines.valkey_url, pool)
            await node.start()
            yield Town(engines, node, person)
            await node.stop()
        await house.close()


async def test_a_wiped_valkey_loses_no_event_and_no_socket(town: Town) -> None:
    topic, ws = await town.follow()
    async with Valkey.from_url(town.engines.valkey_url) as valkey:
        await valkey.flushall()
    await town.write(topic, "after the wipe")
    event = await ws.until("event")
    assert (event["seq"], event["data"]["text"]) == (2, "after the wipe")


async def test_a_killed_valkey_loses_no_event_and_no_socket(town: Town) -> None:
    topic, ws = await town.follow()
    killing = asyncio.create_task(town.kill("valkey-server"))
    for n in range(5):
        await town.write(topic, str(n))
    await killing
    await town.write(topic, "after")
    heard = [await ws.until("event") for _ in range(6)]
    assert [(e["seq"], e["data"]["text"]) for e in heard] == [*((n + 2, str(n)) for n in range(5)), (7, "after")]
    # And announcements pass again: typing is never read from anywhere else.
    async with asyncio.timeout(30):
        while True:
            ws.send({"op": "typing", "topic": topic})
            try:
                async with asyncio.timeout(TYPING_S):
                    assert (await ws.until("event"))["type"] == "typing"
                break
            except TimeoutError:
                continue


async def test_a_killed_postgresql_loses_no_event_and_no_socket(town: Town) -> None:
    topic, ws = await town.follow()
    killing = asyncio.create_task(town.kill("postgres"))
    for n in range(5):
        await town.write(topic, str(n))
    await killing
    heard = [await ws.until("event") for _ in range(5)]
    assert [(e["seq"], e["data"]["text"]) for e in heard] == [(n + 2, str(n)) for n in range(5)]
    _, position = await town.node.diary.state(topic)
    assert await ws.ask({"op": "subscribe", "topic": topic, "since": {"epoch": position.epoch, "seq": 5}}) == {
        "op": "subscribed",
        "topic": topic,
        "epoch": position.epoch,
        "seq": 6,
        "recovered": True,
    }
