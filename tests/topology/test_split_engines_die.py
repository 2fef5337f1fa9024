"""The journeys of tests/journeys/test_engines_die.py in the split house: two services behind the gateway lose what they share.

Whoever books hears of it as of anything that passes: a problem that says to try again, whether a service says it or the gateway.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import uuid4

import httpx
import pytest
from tests.conftest import as_user
from tests.journeys.conftest import environ_for
from tests.journeys.test_engines_die import *  # noqa: F403 - the tests themselves
from tests.journeys.test_engines_die import PRICE, Town, settlers, strike
from tests.journeys.world import World, at
from tests.topology.conftest import Entrance, SplitHouse, entrance_to

from forecourt.engines import start_engines
from forecourt.kernel.migrate import APP_ROLE, migrate
from forecourt.layout import migration_folders
from forecourt.wiring import MODULES

pytestmark = [pytest.mark.xdist_group("split_engines"), pytest.mark.slow, pytest.mark.haproxy]
"""One worker makes what these tests share."""

PAYMENTS = ("payments",)
REST = tuple(module for module in MODULES if module not in PAYMENTS)


@dataclass(kw_only=True)
class Divided(Town):
    split: SplitHouse
    entrance: Entrance

    async def is_open(self) -> bool:
        """The gateway has taken back whoever was not ready, and each says that it is well."""
        for group in self.split.groups:
            await self.entrance.leads_to(group)
        answers = [httpx.get(f"{server.url}/readyz") for server in self.servers]
        return {answer.status_code for answer in answers} == {200} and await super().is_open()


@pytest.fixture(scope="module")
async def town(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Divided]:
    """Engines of its own, with the settings of production, a server and a worker for each service, and the gateway."""
    data = tmp_path_factory.mktemp("town")
    with start_engines(data / "engines") as engines:
        await migrate(engines.database_url, migration_folders())
        environ = environ_for(data, as_user(engines.database_url, APP_ROLE), engines.database_url, engines.valkey_url)
        split = SplitHouse((REST, PAYMENTS), environ, data)
        try:
            await split.start()
            async with (
                entrance_to(split, split.homes, data / "gateway") as entrance,
                httpx.AsyncClient(base_url=entrance.url, timeout=30) as client,
            ):
                world = World(client)
                club, guests = await settlers(world)
                yield Divided(engines, split.servers, entrance.url, world, club, guests, split=split, entrance=entrance)
        finally:
            await split.stop()


async def left_out(town: Divided) -> None:
    """Waits until the gateway sends nobody anything any more."""
    async with asyncio.timeout(60):
        for group in town.split.groups:
            while (await town.entrance.gateway.runtime.shares(group[0]))[0].servers[0].status == "UP":
                await asyncio.sleep(0.05)


async def test_while_the_database_is_away_the_gateway_says_so_itself_and_then_takes_everybody_back(town: Divided) -> None:
    guest = town.guests[0]
    before, credits = town.alive, await town.world.balance(town.club, guest)
    wish: dict[str, object] = {"resource_id": town.club.courts[0], "start": at(80, 12), "duration_min": 60, "pay_with": "credits"}
    key = str(uuid4())
    strike(town, "postgres")
    await left_out(town)
    for accept in ("application/json", "text/html"):
        answer = await town.world.client.get("/v1/wallets", headers=guest.headers | {"Accept": accept})
        assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json"), answer.text
    refused = await guest.post("/v1/bookings", wish, Idempotency_Key=key)
    assert (refused.status_code, refused.json()["code"]) == (503, "unavailable"), refused.text

    await asyncio.to_thread(town.engines.restart, "postgres")
    async with asyncio.timeout(60):
        while not await town.is_open():
            await asyncio.sleep(0.05)
    made = await guest.post("/v1/bookings", wish, Idempotency_Key=key)
    assert (made.status_code, made.json()["status"]) == (201, "upcoming"), made.text
    assert await town.world.balance(town.club, guest) == credits - PRICE
    assert town.alive == before
