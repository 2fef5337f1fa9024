"""Real processes: `forecourt realtime`, twice, beside whoever writes. One of them is killed in the middle of a conversation."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from tests.journeys.conftest import environ_for
from tests.journeys.world import Person, World
from tests.realtime.conftest import bound
from tests.realtime.wire import PATIENCE_S, Closed, Socket

from forecourt.app import House
from forecourt.kernel.presence import DEAD_S, State


class Process:
    def __init__(self, environ: dict[str, str], log: Path) -> None:
        listener, self.port = bound()
        listener.set_inheritable(True)
        listener.listen(100)
        with log.open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "forecourt", "realtime", "--fd", str(listener.fileno())],
                env=environ,
                stdout=out,
                stderr=out,
                pass_fds=[listener.fileno()],
            )
        listener.close()
        self.log = log

    async def ready(self) -> None:
        async with httpx.AsyncClient() as client, asyncio.timeout(90):
            while True:
                assert self.process.poll() is None, self.log.read_text()[-3000:]
                try:
                    if (await client.get(f"http://127.0.0.1:{self.port}/readyz", timeout=2)).status_code == 200:
                        return
                except httpx.HTTPError:
                    await asyncio.sleep(0.05)


@pytest.fixture
def two(house_database_url: str, house_admin_url: str, valkey_url: str, tmp_path: Path) -> Iterator[list[Process]]:
    environ = environ_for(tmp_path, house_database_url, house_admin_url, valkey_url)
    processes = [Process(environ, tmp_path / f"{n}.log") for n in range(2)]
    yield processes
    for process in processes:
        process.process.kill()
        process.process.wait()


@pytest.fixture
async def pair(world: World) -> AsyncIterator[tuple[Person, Person]]:
    yield await world.person("Ira"), await world.person("Joe")


@pytest.fixture
async def kim(world: World) -> Person:
    return await world.person("Kim", verify=False)


class Reader:
    """Follows a room wherever a server lives, from where it was."""

    def __init__(self, ports: list[int], person: Person, topic: str) -> None:
        self.ports, self.person, self.topic = ports, person, topic
        self.position: dict[str, Any] | None = None
        self.texts: list[str] = []
        self.ws: Socket | None = None
        self.lost = 0
        self.presence: dict[str, tuple[str, str | None]] = {}
        """The state last told of each account, and when it was last seen."""

    async def told(self, account_id: str, state: str) -> None:
        while self.presence.get(account_id, ("", None))[0] != state:
            await self._next()

    async def hear(self, count: int) -> None:
        while len(self.texts) < count:
            try:
                await self._next()
            except (Closed, ConnectionError, asyncio.IncompleteReadError):
                self.lost += 1
                self.ws = None
                self.ports.append(self.ports.pop(0))
                await asyncio.sleep(0.1)

    async def _next(self) -> None:
        if self.ws is None:
            self.ws = await Socket.open(self.ports[0], self.person.token)
            since = {} if self.position is None else {"since": self.position}
            self.ws.send({"op": "subscribe", "topic": self.topic, **since})
        frame = await self.ws.recv()
        match frame:
            case {"op": "subscribed", "recovered": False}:
                assert self.position is None
                self.position = {"epoch": frame["epoch"], "seq": frame["seq"]}
            case {"op": "event", "seq": seq, "epoch": epoch}:
                assert self.position is not None
                assert (epoch, seq) == (self.position["epoch"], self.position["seq"] + 1)
                self.position["seq"] = seq
                if frame["type"] == "message.created":
                    self.texts.append(frame["data"]["message"]["text"])
            case {"op": "event", "type": "presence.changed", "data": data}:
                self.presence[data["account_id"]] = (data["state"], data["last_seen"])
            case {"op": "reset"} | {"op": "error"}:
                raise AssertionError(frame)


async def test_a_killed_process_loses_no_message_and_clients_go_on_at_the_other(
    house: House, two: list[Process], pair: tuple[Person, Person], kim: Person
) -> None:
    ira, joe = pair
    made = await ira.post("/v1/rooms", {"kind": "group", "name": "Two processes", "member_ids": [joe.id, kim.id]})
    assert made.status_code == 201, made.text
    room = made.json()["id"]
    for process in two:
        await process.ready()
    ports = [p.port for p in two]
    readers = [Reader(list(ports), ira, f"room:{room}"), Reader(list(reversed(ports)), joe, f"room:{room}")]
    await asyncio.gather(*(r._next() for r in readers))
    assert all(r.position is not None for r in readers)
    # Somebody else is at the process that will die, and will not come back.
    began = datetime.now(UTC)
    gone = Reader(list(ports), kim, f"room:{room}")
    await gone._next()
    async with asyncio.timeout(PATIENCE_S):
        await readers[1].told(kim.id, "online")
    wanted = [f"message {n}" for n in range(30)]

    async def write() -> None:
        for n, text in enumerate(wanted):
            if n == 10:
                two[0].process.send_signal(signal.SIGKILL)
            answer = await ira.post(f"/v1/rooms/{room}/messages", {"client_id": f"c{n}", "text": text})
            assert answer.status_code == 201, answer.text

    async with asyncio.timeout(60):
        await asyncio.gather(write(), *(r.hear(len(wanted)) for r in readers))
    for reader in readers:
        assert reader.texts == wanted
    assert readers[0].lost >= 1
    assert readers[1].lost == 0  # the control: at the other process nothing happened
    # The one that lives on tells its followers who went with the other, and says so to who asks.
    async with asyncio.timeout(PATIENCE_S):
        await readers[1].told(kim.id, "offline")
    last_seen = readers[1].presence[kim.id][1]
    assert last_seen is not None
    assert began - timedelta(seconds=DEAD_S) <= datetime.fromisoformat(last_seen) <= datetime.now(UTC)
    asked = await house.presences.of([UUID(kim.id), UUID(joe.id)])
    assert [asked[UUID(p.id)].state for p in (kim, joe)] == [State.OFFLINE, State.ONLINE]
    # Five sockets an account: those of the dead process do not count for long.
    assert readers[1].ws is not None
    two[1].process.send_signal(signal.SIGTERM)
    bye = await readers[1].ws.until("bye")
    assert bye["reconnect_in_ms"] >= 0
    assert await readers[1].ws.closing() == 1012
    assert await asyncio.to_thread(two[1].process.wait, 20) == 0


def test_the_command_says_how_it_is_used() -> None:
    said = subprocess.run(
        [sys.executable, "-m", "forecourt", "realtime", "--help"], capture_output=True, text=True, env={**os.environ}, check=True
    ).stdout
    assert "forecourt realtime --port 8002" in " ".join(said.split())
    assert "--port" in said
