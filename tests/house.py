"""The worker's house: `house`, `door`, `client` and `world` for everybody, unless a nearer `conftest.py` has its own.

Take them from here only through `tests/conftest.py`. A fixture that a file imports is that file's own: a dozen files would each
open a house on the same database, all of them at work on every event until the run ends.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from tests.at_work import at_work
from tests.journeys.conftest import settings_for
from tests.journeys.world import World

from forecourt.app import Addresses, House


@pytest.fixture(scope="session")
async def house(house_database_url: str, valkey_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """One process that serves and works."""
    house = await House.open(settings_for(tmp_path_factory.mktemp("house")), Addresses(house_database_url, valkey_url))
    await house.start_work()
    async with at_work(house.database):
        yield house
    await house.close()


@pytest.fixture(scope="session")
def door(house: House) -> httpx.AsyncBaseTransport:
    """The way in. Journeys that use it, and not the house, are made in the split house too (tests/topology)."""
    # An error that escapes is an answer here too, as it is behind a real server.
    return httpx.ASGITransport(app=house.app, raise_app_exceptions=False)  # type: ignore[arg-type]


@pytest.fixture(scope="session")
async def client(door: httpx.AsyncBaseTransport) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=door, base_url="http://house.test", timeout=30) as client:
        yield client


@pytest.fixture
async def world(client: httpx.AsyncClient) -> World:
    """Holds nothing: a file may import it, where a nearer `conftest.py` means another world."""
    return World(client)
