"""How processes end: a server finishes what it has begun, `up` brings back who died, and Ctrl-C leaves nobody behind."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from tests.journeys.conftest import Server, environ_for
from tests.journeys.world import PASSWORD, World

IN_FLIGHT = 8
PATIENCE_S = 60


@pytest.fixture
def own_server(house_database_url: str, house_admin_url: str, valkey_url: str, tmp_path: Path) -> Iterator[Server]:
    """A server that this test may stop."""
    server = Server(environ_for(tmp_path, house_database_url, house_admin_url, valkey_url), tmp_path / "server.log")
    yield server
    server.stop()


async def log_ins(server: Server, email: str, number: signal.Signals) -> list[httpx.Response | BaseException]:
    """So many log-ins, which take their time, and a signal while they run; what became of each."""
    async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
        body = {"email": email, "password": PASSWORD}
        asked = [asyncio.create_task(client.post("/v1/auth/login", json=body)) for _ in range(IN_FLIGHT)]
        # The server has read them all once it has answered one that was sent after them.
        await asyncio.sleep(0.05)
        await client.get("/livez")
        await client.get("/livez")
        assert not all(task.done() for task in asked), "they were too quick: nothing is in flight"
        server.processes["serve"].send_signal(number)
        return await asyncio.gather(*asked, return_exceptions=True)


@pytest.fixture
async def email(client: httpx.AsyncClient) -> str:
    return (await World(client).person("Ada", verify=False)).email


async def test_a_server_that_is_told_to_stop_answers_what_it_was_asked(own_server: Server, email: str) -> None:
    await asyncio.to_thread(own_server.start, "serve")
    answers = await log_ins(own_server, email, signal.SIGTERM)
    assert [a.status_code for a in answers if isinstance(a, httpx.Response)] == [200] * IN_FLIGHT, answers
    assert await asyncio.to_thread(own_server.processes["serve"].wait, PATIENCE_S) == 0
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{own_server.url}/livez")


async def test_one_that_is_killed_does_not(own_server: Server, email: str) -> None:
    """The control."""
    await asyncio.to_thread(own_server.start, "serve")
    answers = await log_ins(own_server, email, signal.SIGKILL)
    assert any(isinstance(a, httpx.TransportError) for a in answers)


# --- up ------------------------------------------------------------------------------------------------------------------


def children(pid: int) -> dict[int, str]:
    """The children of a process and the commands they run."""
    found: dict[int, str] = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            try:
                found[int(child)] = Path(f"/proc/{child}/cmdline").read_text().replace("\0", " ").strip()
            except OSError:
                continue
    return found


def duties(pid: int) -> dict[int, str]:
    """Which child serves and which works."""
    return {p: d for p, line in children(pid).items() for d in ("serve", "worker") if f"forecourt {d}" in line}


def eventually(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < until, "it did not come to be"
        time.sleep(0.05)


@pytest.mark.slow
def test_up_brings_back_who_died_and_leaves_nobody_behind(
    house_database_url: str, house_admin_url: str, valkey_url: str, tmp_path: Path
) -> None:
    server = Server(environ_for(tmp_path, house_database_url, house_admin_url, valkey_url), tmp_path / "up.log")
    command = [sys.executable, "-m", "forecourt", "up", "--workers", "2", "--no-demo", "--port", str(server.port)]
    with server.log.open("ab") as log:
        up = server.processes["serve"] = subprocess.Popen(command, env=server.environ, stdout=log, stderr=log)
    try:
        server.await_ready()
        eventually(lambda: sorted(duties(up.pid).values()) == ["serve", "serve", "worker"])
        for duty in ("serve", "worker"):
            first = duties(up.pid)
            victim = next(p for p, d in first.items() if d == duty)
            os.kill(victim, signal.SIGKILL)
            eventually(
                lambda first=first: (
                    sorted(duties(up.pid).values()) == ["serve", "serve", "worker"]
                    and len(duties(up.pid).keys() - first.keys()) == 1
                )
            )
            assert httpx.get(f"{server.url}/readyz", timeout=30).status_code == 200
        crew = duties(up.pid)
        up.send_signal(signal.SIGINT)
        assert up.wait(PATIENCE_S) == 0
        assert not [pid for pid in crew if Path(f"/proc/{pid}").exists()]
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{server.url}/livez")
    finally:
        up.kill()
        up.wait()
