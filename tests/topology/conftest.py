"""One house in several processes, reached through the routing table as a gateway reaches it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from tests.conftest import as_user, clone, drop
from tests.journeys.conftest import Server, environ_for
from tests.journeys.world import World
from tests.observability.conftest import Collector, collector  # noqa: F401 - a fixture

from forecourt.gateway.routes import Route, routing_table
from forecourt.kernel.migrate import APP_ROLE
from forecourt.wiring import MODULES

KEYS = "first:contracts-of-the-split-house-sign-5d1e,next:contracts-of-the-split-house-sign-9b77"
GUESTS = ("identity", "people", "notifications")
COURTS = ("venues", "booking", "payments")


class ByRoute(httpx.AsyncBaseTransport):
    """Hands each request to the process that answers its path, as a gateway would; the rest to the first."""

    def __init__(self, routes: Sequence[Route], homes: dict[str, str], first: str) -> None:
        self._routes = [(re.compile(route.pattern), homes[route.module]) for route in routes]
        self._first = first
        self._wire = httpx.AsyncHTTPTransport()

    def home(self, path: str) -> str:
        return next((home for pattern, home in self._routes if pattern.fullmatch(path)), self._first)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        home = httpx.URL(self.home(request.url.path))
        request.url = request.url.copy_with(scheme=home.scheme, host=home.host, port=home.port)
        return await self._wire.handle_async_request(request)

    async def aclose(self) -> None:
        await self._wire.aclose()


class SplitHouse:
    """A server and a worker for each group of modules; each knows the others by FORECOURT_PEERS only."""

    def __init__(self, groups: Sequence[Sequence[str]], environ: dict[str, str], data: Path) -> None:
        self.servers = [Server(dict(environ), data / f"{group[0]}.log") for group in groups]
        self.homes = {module: s.url for group, s in zip(groups, self.servers, strict=True) for module in group}
        for group, server in zip(groups, self.servers, strict=True):
            peers = ",".join(f"{module}={url}" for module, url in self.homes.items() if module not in group)
            server.environ |= {"FORECOURT_MODULES": ",".join(group), "FORECOURT_PEERS": peers, "FORECOURT_CONTRACT_KEYS": KEYS}

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


@pytest.fixture(scope="session")
async def client(split_house: SplitHouse) -> AsyncIterator[httpx.AsyncClient]:
    transport = ByRoute(routing_table(), split_house.homes, split_house.servers[0].url)
    async with httpx.AsyncClient(transport=transport, base_url="http://house.test", timeout=30) as client:
        yield client


@pytest.fixture
async def world(client: httpx.AsyncClient) -> World:
    return World(client)
