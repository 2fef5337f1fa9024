"""How processes end: a server finishes what it has begun, `up` brings back who died, and Ctrl-C leaves nobody behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import asyncpg
import httpx
import msgspec
import pytest
from tests.conftest import FreshDatabase, as_user, clone, drop
from tests.journeys.books import Books
from tests.journeys.conftest import Server, environ_for, settings_for
from tests.journeys.world import PASSWORD

from forecourt import app, process
from forecourt.app import Addresses, House, Part
from forecourt.kernel.context import Context, service_context
from forecourt.kernel.jobs import JobHandler, JobKind, enqueue
from forecourt.kernel.migrate import APP_ROLE
from forecourt.process import QUICK_DEATHS, SET_UP_WRONGLY, Child, Crew, CrewLost

IN_FLIGHT = 4
PATIENCE_S = 60


@pytest.fixture
def own_server(house_database_url: str, house_admin_url: str, valkey_url: str, tmp_path: Path) -> Iterator[Server]:
    """A server that this test may stop."""
    server = Server(environ_for(tmp_path, house_database_url, house_admin_url, valkey_url), tmp_path / "server.log")
    yield server
    server.stop()


@dataclass
class Leaver:
    """A server that has requests in hand when it is told to end: so many that write to one table, and wait there.

    In the split house (tests/topology) it is one of several, and is asked through the gateway.
    """

    server: Server
    url: str
    books: Books
    table: str
    requests: list[httpx.Request]

    async def afterwards(self, first: httpx.Response) -> None:
        """What who comes then finds. `first` is what the first of them was answered."""
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{self.url}/livez")

    async def told(self, number: signal.Signals) -> list[httpx.Response | BaseException]:
        """It is told while it has all of them in hand, and does not listen any more when they go on; what became of each."""
        async with httpx.AsyncClient(timeout=60) as client, asyncio.timeout(PATIENCE_S):
            async with self.books.held_up(self.table):
                asked = [asyncio.create_task(client.send(request)) for request in self.requests]
                while await self.books.waiting(self.table) < len(asked):
                    await asyncio.sleep(0.02)
                self.server.processes["serve"].send_signal(number)
                while self._listens():
                    await asyncio.sleep(0.02)
            return await asyncio.gather(*asked, return_exceptions=True)

    def _listens(self) -> bool:
        with socket.socket() as caller:
            return caller.connect_ex(("127.0.0.1", self.server.port)) == 0


def sign_ups(url: str) -> list[httpx.Request]:
    people = [{"email": f"in.{uuid4().hex}@example.org", "password": PASSWORD, "name": "Ada"} for _ in range(IN_FLIGHT)]
    return [httpx.Request("POST", f"{url}/v1/auth/register", json=person) for person in people]


@pytest.fixture
async def leaver(own_server: Server, house_admin_url: str) -> Leaver:
    await asyncio.to_thread(own_server.start, "serve")
    return Leaver(own_server, own_server.url, Books(house_admin_url), "identity.account", sign_ups(own_server.url))


async def test_a_server_that_is_told_to_stop_answers_what_it_was_asked(leaver: Leaver) -> None:
    answers = await leaver.told(signal.SIGTERM)
    answered = [a for a in answers if isinstance(a, httpx.Response)]
    assert [a.status_code for a in answered] == [201] * len(leaver.requests), answers
    assert await asyncio.to_thread(leaver.server.processes["serve"].wait, PATIENCE_S) == 0
    await leaver.afterwards(answered[0])


async def test_a_server_that_leaves_slowly_says_so_first_and_hurries_when_told_again(own_server: Server) -> None:
    own_server.environ["FORECOURT_DRAIN_S"] = "300"
    await asyncio.to_thread(own_server.start, "serve")
    process = own_server.processes["serve"]
    async with httpx.AsyncClient(base_url=own_server.url, timeout=60) as client:
        assert "connection" not in (await client.get("/livez")).headers
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(PATIENCE_S):
            while (leaving := await client.get("/readyz")).status_code == 200:
                await asyncio.sleep(0.01)
        assert (leaving.status_code, leaving.json()["status"]) == (503, "draining")
        served = await client.get("/v1/venues")
        assert (served.status_code, served.headers["connection"]) == (200, "close")
    process.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(process.wait, PATIENCE_S) == 0


async def test_one_that_is_killed_does_not(leaver: Leaver) -> None:
    """The control."""
    answers = await leaver.told(signal.SIGKILL)
    assert all(isinstance(a, httpx.TransportError) for a in answers), answers


# --- work that is under way ---------------------------------------------------------------------------------------------


class Piece(msgspec.Struct, frozen=True):
    pass


PIECE = JobKind("tests.piece", Piece, timeout_s=600, attempts=1)
"""Done at its first start: one that counted although it was cut off would bury it."""


class Bench:
    """A piece of work that lasts until somebody says that it may end."""

    def __init__(self) -> None:
        self.begun, self.may_end = asyncio.Event(), asyncio.Event()
        self.done = 0

    async def run(self, _: Context, __: Piece) -> None:
        self.begun.set()
        await self.may_end.wait()
        self.done += 1


@contextlib.asynccontextmanager
async def at_work(data: Path, fresh: FreshDatabase, valkey_url: str, bench: Bench) -> AsyncGenerator[House]:
    """A house whose workers do such pieces."""
    house = await House.open(settings_for(data), Addresses(fresh.url, valkey_url))
    try:
        house.parts.append(Part("tests", handlers=[JobHandler(PIECE, bench.run)]))
        await house.start_work()
        yield house
    finally:
        await asyncio.wait_for(house.close(), PATIENCE_S)


async def left(fresh: FreshDatabase) -> list[tuple[str, int]]:
    """The state and the starts of the piece in the queue."""
    admin = await fresh.admin()
    try:
        sql = "select status::text as status, starts from kernel.job where entrypoint = $1"
        return [(row["status"], row["starts"]) for row in await admin.fetch(sql, PIECE.name)]
    finally:
        await admin.close()


async def test_a_job_that_does_not_end_holds_up_no_stop_and_is_done_by_the_next(
    fresh_database: FreshDatabase, valkey_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench()
    async with asyncio.timeout(PATIENCE_S):
        async with at_work(tmp_path, fresh_database, valkey_url, bench) as house:
            async with house.database.module("kernel").tx(service_context("tests")) as tx:
                enqueue(tx, PIECE, Piece())
            await bench.begun.wait()
            monkeypatch.setattr(app, "GRACE_S", 0.2)
        assert (bench.done, await left(fresh_database)) == (0, [("queued", 0)])
        monkeypatch.undo()
        bench.may_end.set()
        async with at_work(tmp_path, fresh_database, valkey_url, bench):
            while await left(fresh_database):
                await asyncio.sleep(0.02)
    assert bench.done == 1


async def test_a_job_that_ends_in_time_is_not_cut_off(fresh_database: FreshDatabase, valkey_url: str, tmp_path: Path) -> None:
    """The control."""
    bench = Bench()
    async with asyncio.timeout(PATIENCE_S):
        async with at_work(tmp_path, fresh_database, valkey_url, bench) as house:
            async with house.database.module("kernel").tx(service_context("tests")) as tx:
                enqueue(tx, PIECE, Piece())
            await bench.begun.wait()
            closing = asyncio.create_task(house.close())
            while not house.worker.leaving:
                await asyncio.sleep(0)
            bench.may_end.set()
            await closing
        assert (bench.done, await left(fresh_database)) == (1, [])


# --- up ------------------------------------------------------------------------------------------------------------------


def children(pid: int) -> dict[int, str]:
    """The children of a process and the commands they run."""
    found: dict[int, str] = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):  # a thread, or a child, that has ended meanwhile
            for child in (task / "children").read_text().split():
                found[int(child)] = Path(f"/proc/{child}/cmdline").read_text().replace("\0", " ").strip()
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


# --- a crew that cannot be --------------------------------------------------------------------------------------------


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "RESTART_PAUSE_S", 0.001)
    monkeypatch.setattr(process, "LONGEST_PAUSE_S", 0.002)


def crew_of(script: str, tmp_path: Path) -> Crew:
    """A crew of one who writes down each start."""
    return Crew([Child("somebody", ["/bin/sh", "-c", f"echo >> {tmp_path}/starts; {script}"])], os.environ)


def tend_until(crew: Crew, holds: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < until, "it did not come to be"
        crew.tend()
        time.sleep(0.005)


def starts(tmp_path: Path) -> int:
    return len((tmp_path / "starts").read_text().splitlines()) if (tmp_path / "starts").exists() else 0


@pytest.mark.usefixtures("hasty")
def test_one_who_dies_at_once_each_time_is_given_up_before_the_house_was_open(tmp_path: Path) -> None:
    crew = crew_of("exit 3", tmp_path)
    crew.start()
    with pytest.raises(CrewLost, match=r"exit status 3") as lost:
        tend_until(crew, lambda: False)
    assert (starts(tmp_path), lost.value.status) == (QUICK_DEATHS, 1)
    crew.stop()


@pytest.mark.usefixtures("hasty")
def test_one_who_dies_at_once_after_the_house_was_open_is_not_given_up(tmp_path: Path) -> None:
    """Its database may be recovering."""
    crew = crew_of("exit 3", tmp_path)
    crew.opened = True
    crew.start()
    tend_until(crew, lambda: starts(tmp_path) > 2 * QUICK_DEATHS)
    crew.stop()


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("opened", [False, True])
def test_one_who_says_that_its_settings_cannot_be_right_is_started_once(tmp_path: Path, opened: bool) -> None:
    crew = crew_of(f"exit {SET_UP_WRONGLY}", tmp_path)
    crew.opened = opened
    crew.start()
    with pytest.raises(CrewLost, match="set up") as lost:
        tend_until(crew, lambda: False)
    assert (starts(tmp_path), lost.value.status) == (1, SET_UP_WRONGLY)
    crew.stop()


@pytest.mark.slow
@pytest.mark.usefixtures("house")
def test_up_with_a_secret_that_opens_nothing_says_so_and_ends(
    house_database_url: str, house_admin_url: str, valkey_url: str, tmp_path: Path
) -> None:
    server = Server(environ_for(tmp_path, house_database_url, house_admin_url, valkey_url), tmp_path / "up.log")
    environ = server.environ | {"FORECOURT_SECRET_KEY": "another-secret-than-the-one-that-sealed-the-keys-77"}
    command = [sys.executable, "-m", "forecourt", "up", "--workers", "2", "--no-demo", "--port", str(server.port)]
    done = subprocess.run(command, env=environ, check=False, capture_output=True, text=True, timeout=PATIENCE_S)
    words = done.stdout + done.stderr
    assert done.returncode == SET_UP_WRONGLY, words
    assert "were sealed with another FORECOURT_SECRET_KEY" in words and "it says why above" in words
    assert "Traceback" not in words


@pytest.mark.slow
def test_a_port_that_is_taken_is_said_in_words(
    house_database_url: str, house_admin_url: str, valkey_url: str, tmp_path: Path
) -> None:
    environ = environ_for(tmp_path, house_database_url, house_admin_url, valkey_url)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        command = [sys.executable, "-m", "forecourt", "serve", "--port", str(taken.getsockname()[1])]
        done = subprocess.run(command, env=environ, check=False, capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 1
    assert "--port" in done.stderr and "Traceback" not in done.stderr


# --- the demo world, half made -----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_stopping_up_while_the_demo_world_is_being_made_is_quiet_and_leaves_nobody_behind(
    server_url: str, valkey_url: str, tmp_path: Path
) -> None:
    name = f"u_{uuid4().hex[:12]}"
    admin_url = asyncio.run(clone(server_url, name))
    server = Server(environ_for(tmp_path, as_user(admin_url, APP_ROLE), admin_url, valkey_url), tmp_path / "up.log")
    command = [sys.executable, "-m", "forecourt", "up", "--port", str(server.port)]
    with server.log.open("ab") as log:
        # A group of its own, so that it can be interrupted as a terminal does: everybody in it at once.
        up = subprocess.Popen(command, env=server.environ, stdout=log, stderr=log, start_new_session=True)
    try:
        eventually(lambda: any("forecourt demo" in line for line in children(up.pid).values()))
        filling = next(pid for pid, line in children(up.pid).items() if "forecourt demo" in line)
        # It has begun to write: what it imports is imported.
        eventually(lambda: asyncio.run(wrote(admin_url)))
        os.killpg(up.pid, signal.SIGINT)
        assert up.wait(PATIENCE_S) == 0, server.log.read_text()
        assert not Path(f"/proc/{filling}").exists()
        words = server.log.read_text()
        assert "Traceback" not in words and "Stopping." in words, words
    finally:
        up.kill()
        up.wait()
        asyncio.run(drop(server_url, name))


async def wrote(admin_url: str) -> bool:
    connection = await asyncpg.connect(admin_url)
    try:
        return bool(await connection.fetchval("select exists (select from venues.venue)"))
    finally:
        await connection.close()
