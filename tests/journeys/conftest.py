"""A whole house on the test engines, reached through its own front door."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from tests.journeys.world import World

from forecourt.app import Addresses, House
from forecourt.kernel.settings import Settings


def settings_for(data: Path, **more: str) -> Settings:
    return Settings.read({"FORECOURT_ENV": "dev", "FORECOURT_DATA": str(data), "FORECOURT_LOG_LEVEL": "warning", **more})


@pytest.fixture(scope="session")
async def house(database_url: str, valkey_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """One process that serves and works."""
    house = await House.open(settings_for(tmp_path_factory.mktemp("house")), Addresses(database_url, valkey_url))
    await house.start_work()
    yield house
    await house.close()


@pytest.fixture(scope="session")
async def client(house: House) -> AsyncIterator[httpx.AsyncClient]:
    # An error that escapes is an answer here too, as it is behind a real server.
    transport = httpx.ASGITransport(app=house.app, raise_app_exceptions=False)  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://house.test", timeout=30) as client:
        yield client


@pytest.fixture
async def world(client: httpx.AsyncClient) -> World:
    return World(client)
