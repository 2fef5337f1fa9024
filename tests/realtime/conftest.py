"""Realtime servers on the test engines, with a diary to follow."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from uuid import UUID

import asyncpg
import httpx
import pytest
import uvicorn
from tests.at_work import at_work
from tests.journeys.conftest import settings_for
from tests.journeys.world import Person, World
from tests.realtime.diary import TABLES, Diaries, Diary
from tests.realtime.wire import Socket, hang_up

from forecourt.app import Addresses, House
from forecourt.kernel.clock import SystemClock
from forecourt.kernel.contracts import local
from forecourt.kernel.http.gate import Gate
from forecourt.kernel.live import Hub
from forecourt.kernel.metrics import Metrics
from forecourt.realtime.people import Quiet
from forecourt.realtime.protocol import Http, socket_door
from forecourt.realtime.server import Realtime

ORIGIN = "https://app.example.org"


def bound() -> tuple[socket.socket, int]:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    return listener, listener.getsockname()[1]


class Node:
    """One realtime server: what a process is, as far as others can tell."""

    def __init__(self, gate: Gate, valkey_url: str, pool: asyncpg.Pool) -> None:
        self.hub = Hub(valkey_url)
        self.metrics = Metrics()
        self.diary = Diary(pool, self.hub)
        sources = {"diary": local(Diaries, self.diary)}  # type: ignore[type-abstract]
        self.realtime = Realtime(self.hub, gate, sources, self.hours_of, valkey_url, self.metrics, SystemClock())
        self.port = 0
        self.quiet: dict[UUID, Quiet] = {}
        """Who is not to be disturbed, and when."""

    async def hours_of(self, account_id: UUID) -> Quiet | None:
        return self.quiet.get(account_id)

    async def start(self) -> None:
        await self.hub.start()
        await self.realtime.start()
        listener, self.port = bound()
        door = socket_door(self.realtime, f"http://127.0.0.1:{self.port}", [ORIGIN], ["127.0.0.1"])
        config = uvicorn.Config(_hello, http=Http, ws=door, lifespan="off", log_config=None, timeout_graceful_shutdown=2)  # type: ignore[arg-type]
        self._server = uvicorn.Server(config)
        # Not `serve`, which would take the test run's signals.
        self._serving = asyncio.create_task(self._server._serve([listener]))
        while not self._server.started:
            await asyncio.sleep(0.001)

    async def stop(self) -> None:
        if self.port == 0:
            return
        self.port = 0
        await self.realtime.drain()
        self._server.should_exit = True
        await self._serving
        await self.realtime.stop()
        await self.hub.stop()

    async def open(self, person: Person | str, **more: object) -> Socket:
        return await Socket.open(self.port, person if isinstance(person, str) else person.token, **more)  # type: ignore[arg-type]


async def _hello(scope: dict, receive: Callable[[], Awaitable[dict]], send: Callable[[dict], Awaitable[None]]) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
    await send({"type": "http.response.body", "body": b"hello"})


@pytest.fixture(scope="session")
async def house(house_database_url: str, valkey_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """Keeps the accounts; works, so that mail with codes goes out."""
    house = await House.open(settings_for(tmp_path_factory.mktemp("house")), Addresses(house_database_url, valkey_url))
    await house.start_work()
    async with at_work(house.database):
        yield house
    await house.close()


@pytest.fixture(scope="session")
async def client(house: House) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=house.app, raise_app_exceptions=False)  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://house.test", timeout=30) as client:
        yield client


@pytest.fixture(scope="session")
async def port(house: House) -> AsyncIterator[int]:
    """The house, served as `forecourt serve` does."""
    listener, port = bound()
    config = uvicorn.Config(
        house.app,  # type: ignore[arg-type]
        http=Http,
        ws=await house.open_sockets(),  # type: ignore[arg-type]
        lifespan="off",
        log_config=None,
        timeout_graceful_shutdown=2,
    )
    server = uvicorn.Server(config)
    serving = asyncio.ensure_future(server._serve([listener]))
    while not server.started:
        await asyncio.sleep(0.001)
    yield port
    assert house.realtime is not None
    await house.realtime.drain()
    server.should_exit = True
    await serving


@pytest.fixture(scope="session")
async def world(client: httpx.AsyncClient) -> World:
    return World(client)


@pytest.fixture(scope="session")
async def pool(house_admin_url: str) -> AsyncIterator[asyncpg.Pool]:
    async with asyncpg.create_pool(house_admin_url, min_size=1, max_size=10) as pool:
        await pool.execute(TABLES)
        yield pool


@pytest.fixture
async def nodes(house: House, valkey_url: str, pool: asyncpg.Pool) -> AsyncIterator[Callable[..., Awaitable[Node]]]:
    """Starts servers."""
    started: list[Node] = []

    async def start(through: str = valkey_url, *, presence: bool = False) -> Node:
        node = Node(house.gate, through, pool)
        node.diary.presence = presence
        started.append(node)
        await node.start()
        return node

    yield start
    await hang_up()  # or each server waits for clients that do not answer its goodbye
    for node in started:
        await node.stop()


@pytest.fixture(autouse=True)
async def hung_up() -> AsyncIterator[None]:
    """Connections end with their test."""
    yield
    await hang_up()


@pytest.fixture
async def node(nodes: Callable[..., Awaitable[Node]]) -> Node:
    return await nodes()


@pytest.fixture(scope="session")
async def ada(world: World) -> Person:
    """Shared by the tests, as `ben` is: whoever ends somebody's sessions takes `cleo`."""
    return await world.person("Ada", verify=False)


@pytest.fixture(scope="session")
async def ben(world: World) -> Person:
    return await world.person("Ben", verify=False)


@pytest.fixture
async def cleo(world: World) -> Person:
    return await world.person("Cleo", verify=False)


def account(person: Person) -> UUID:
    return UUID(person.id)
