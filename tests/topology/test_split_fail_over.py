"""The journey of tests/journeys/test_fail_over.py in the split house: every service finds the new primary at the old address."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from tests.conftest import as_user
from tests.journeys.conftest import environ_for
from tests.journeys.test_engines_die import settlers
from tests.journeys.test_fail_over import *  # noqa: F403 - the test itself
from tests.journeys.test_fail_over import Twofold, pair
from tests.journeys.world import World
from tests.topology.conftest import SplitHouse, entrance_to

from forecourt.kernel.migrate import APP_ROLE
from forecourt.wiring import MODULES

pytestmark = [pytest.mark.xdist_group("split_engines"), pytest.mark.slow, pytest.mark.haproxy]

PAYMENTS = ("payments",)
REST = tuple(module for module in MODULES if module not in PAYMENTS)


@pytest.fixture
async def town() -> AsyncIterator[Twofold]:
    """Two services, a server and a worker for each, behind the gateway."""
    async with pair() as two:
        environ = environ_for(two.base, as_user(two.address.url, APP_ROLE), two.address.url, two.engines.valkey_url)
        environ["DATABASE_REPLICA_URL"] = as_user(two.standby.url, APP_ROLE)
        split = SplitHouse((REST, PAYMENTS), environ, two.base)
        try:
            await split.start()
            async with (
                entrance_to(split, split.homes, two.base / "gateway") as entrance,
                httpx.AsyncClient(base_url=entrance.url, timeout=30) as client,
            ):
                world = World(client)
                club, guests = await settlers(world)
                yield Twofold(
                    two.engines, split.servers, entrance.url, world, club, guests, address=two.address, standby=two.standby
                )
        finally:
            await split.stop()
