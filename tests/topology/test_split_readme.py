"""The tours of tests/journeys/test_readme.py in the split house: line by line, through the gateway."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from tests.conftest import as_user, clone, drop
from tests.journeys.conftest import environ_for
from tests.journeys.test_readme import *  # noqa: F403 - the tests themselves
from tests.topology.conftest import COURTS, SplitHouse, entrance_to

from forecourt.demo import fill, unheard
from forecourt.kernel.migrate import APP_ROLE
from forecourt.wiring import MODULES

pytestmark = [pytest.mark.xdist_group("split_readme"), pytest.mark.slow, pytest.mark.haproxy]
"""One worker makes what these tests share."""

REST = tuple(module for module in MODULES if module not in COURTS)


@pytest.fixture(scope="module")
async def doors(server_url: str, valkey_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """The address of the gateway before a divided house with the demo world in it, its past cut to a day."""
    name = f"r_{uuid4().hex[:12]}"
    admin_url = await clone(server_url, name)
    data = tmp_path_factory.mktemp("readme")
    try:
        await fill(admin_url, seed=7, scale=0, report=unheard, past_days=1)
        split = SplitHouse((COURTS, REST), environ_for(data, as_user(admin_url, APP_ROLE), admin_url, valkey_url), data)
        try:
            await split.start()
            async with entrance_to(split, split.homes, data / "gateway") as entrance:
                yield entrance.url
        finally:
            await split.stop()
    finally:
        await drop(server_url, name)


# The control of the tour stays with its journey: that a shell stops at a line that fails has nothing to do with the house.
del test_the_tour_stops_where_a_line_of_it_is_wrong  # noqa: F821
