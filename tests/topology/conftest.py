"""One house in several processes behind a gateway."""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from tests.conftest import as_user, clone, drop
from tests.gateway.conftest import free_port
from tests.journeys.conftest import Server, environ_for, settings_for
from tests.journeys.world import World
from tests.observability.conftest import Collector, collector  # noqa: F401 - a fixture
from tests.topology.proof import GATEWAY_KEYS, identity, proof

from forecourt.app import Addresses, House
from forecourt.gateway.haproxy import Gateway
from forecourt.gateway.plan import Health, Limits, Plan, Service
from forecourt.gateway.routes import Route, routing_table
from forecourt.kernel.migrate import APP_ROLE
from forecourt.wiring import MODULES

KEYS = "first:contracts-of-the-split-house-sign-5d1e,next:contracts-of-the-split-house-sign-9b77"
GUESTS = ("identity", "people", "notifications")
COURTS = ("venues", "booking", "payments")


class Way(httpx.AsyncBaseTransport):
    """Hands each request to the address that `home` says for its path, with `headers` beside its own."""

    def __init__(self, home: Callable[[str], str], headers: Mapping[str, str] | None = None) -> None:
        self._home = home
        self._headers = dict(headers or {})
        self._wire = httpx.AsyncHTTPTransport()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        home = httpx.URL(self._home(request.url.path))
        url = request.url.copy_with(scheme=home.scheme, host=home.host, port=home.port)
        # Another request: whose cookies they are goes by the address that was asked for.
        headers = [*request.headers.multi_items(), *self._headers.items()]
        there = httpx.Request(request.method, url, headers=headers, stream=request.stream, extensions=request.extensions)
        return await self._wire.handle_async_request(there)

    async def aclose(self) -> None:
        await self._wire.aclose()


def by_route(routes: Sequence[Route], homes: dict[str, str], first: str) -> Callable[[str], str]:
    """The process that answers a path, as a gateway would find it; the rest is the first one's."""
    compiled = [(re.compile(route.pattern), homes[route.module]) for route in routes]
    return lambda path: next((home for pattern, home in compiled if pattern.fullmatch(path)), first)


class SplitHouse:
    """A server and a worker for each group of modules; each knows the others by FORECOURT_PEERS only."""

    def __init__(self, groups: Sequence[Sequence[str]], environ: dict[str, str], data: Path) -> None:
        self.groups = groups
        self.database_url, self.admin_url = environ["DATABASE_URL"], environ["DATABASE_ADMIN_URL"]
        self.servers = [Server(dict(environ), data / f"{group[0]}.log") for group in groups]
        self.homes = {module: s.url for group, s in zip(groups, self.servers, strict=True) for module in group}
        for group, server in zip(groups, self.servers, strict=True):
            peers = ",".join(f"{module}={url}" for module, url in self.homes.items() if module not in group)
            server.environ |= {"FORECOURT_MODULES": ",".join(group), "FORECOURT_PEERS": peers, "FORECOURT_CONTRACT_KEYS": KEYS}
            server.environ["FORECOURT_GATEWAY_KEYS"] = GATEWAY_KEYS

    async def start(self) -> None:
        """All at once: no process may need another to be there first."""
        await asyncio.gather(*(asyncio.to_thread(server.start) for server in self.servers))

    async def stop(self) -> None:
        await asyncio.gather(*(asyncio.to_thread(server.stop) for server in self.servers))


@pytest.fixture(scope="session")
async def split_house(
    server_url: str,
    valkey_url: str,
    tmp_path_factory: pytest.TempPathFactory,
    collector: Collector,  # noqa: F811
) -> AsyncIterator[SplitHouse]:
    name = f"s_{uuid4().hex[:12]}"
    admin_url = await clone(server_url, name)
    rest = tuple(module for module in MODULES if module not in GUESTS + COURTS)
    data = tmp_path_factory.mktemp("split")
    # Traces are sent, but only those that a caller asks for.
    traced = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
        "OTEL_TRACES_SAMPLER_ARG": "0",
        "OTEL_BSP_SCHEDULE_DELAY": "200",
    }
    environ = environ_for(data, as_user(admin_url, APP_ROLE), admin_url, valkey_url) | traced
    house = SplitHouse((GUESTS, COURTS, rest), environ, data)
    try:
        await house.start()
        yield house
    finally:
        await house.stop()
        await drop(server_url, name)


class Entrance:
    """The gateway before a split house: an address like any server's, and the processes it leads to."""

    def __init__(self, split: SplitHouse, homes: Mapping[str, str], folder: Path, sockets: str) -> None:
        at = f"127.0.0.1:{free_port()}"
        self.url = f"http://{at}"
        plan = Plan(
            services=tuple(Service(g[0], tuple(g), {"v1": (homes[g[0]],)}, sockets=sockets in g) for g in split.groups),
            listen=(at,),
            internal=f"127.0.0.1:{free_port()}",
            limits=Limits(requests_per_address=1_000_000, requests_per_account=1_000_000),
            health=Health(every_ms=500),
        )
        self.gateway = Gateway(plan.checked(), folder, proof=proof, output=folder / "log")

    async def leads_to(self, group: Sequence[str]) -> None:
        """Waits until requests are sent to the process of these modules."""
        async with asyncio.timeout(60):
            while (await self.gateway.runtime.shares(group[0]))[0].servers[0].status != "UP":
                await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def entrance_to(split: SplitHouse, homes: Mapping[str, str], folder: Path, sockets: str = "") -> AsyncGenerator[Entrance]:
    """A gateway that leads to `homes`, process by module; open once it leads to all of them. Sockets go to the process of the
    module `sockets`, or where everything unclaimed goes."""
    entrance = Entrance(split, homes, folder, sockets)
    async with entrance.gateway:
        for group in split.groups:
            await entrance.leads_to(group)
        yield entrance


@pytest.fixture(scope="session")
async def entrance(split_house: SplitHouse, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Entrance | None]:
    """None where there is no HAProxy."""
    if shutil.which("haproxy") is None:
        yield None
        return
    async with entrance_to(split_house, split_house.homes, tmp_path_factory.mktemp("gateway")) as entrance:
        yield entrance


@pytest.fixture(scope="session")
def server(entrance: Entrance | None) -> Entrance:
    """Where journeys that want an address of a server are sent: browsers, for one. Their twins are marked `haproxy`."""
    assert entrance is not None, "HAProxy is not installed, and this test is not marked as one that needs it"
    return entrance


@pytest.fixture(scope="session")
async def door(split_house: SplitHouse, entrance: Entrance | None) -> AsyncIterator[httpx.AsyncBaseTransport]:
    """The gateway. Where there is no HAProxy, the routing table is followed as it would."""
    if entrance is None:
        way = Way(by_route(routing_table(), split_house.homes, split_house.servers[0].url), identity())
    else:
        way = Way(lambda path: entrance.url)
    yield way
    await way.aclose()


@pytest.fixture(scope="session")
async def client(door: httpx.AsyncBaseTransport) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=door, base_url="http://house.test", timeout=30) as client:
        yield client


@pytest.fixture(scope="session")
async def house(split_house: SplitHouse, valkey_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """For journeys that ask modules directly: one more process, with accounts alone; all else it asks for over the network."""
    peers = ",".join(f"{module}={url}" for module, url in split_house.homes.items() if module != "identity")
    told = {"FORECOURT_MODULES": "identity", "FORECOURT_PEERS": peers, "FORECOURT_CONTRACT_KEYS": KEYS}
    settings = settings_for(tmp_path_factory.mktemp("asking"), **told)
    house = await House.open(settings, Addresses(split_house.database_url, valkey_url))
    yield house
    await house.close()


@pytest.fixture(scope="session")
def house_admin_url(split_house: SplitHouse) -> str:
    return split_house.admin_url


@pytest.fixture
async def world(client: httpx.AsyncClient) -> World:
    return World(client)
