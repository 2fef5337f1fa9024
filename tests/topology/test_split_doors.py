"""The journeys of tests/journeys/test_doors_shut.py in the split house: each service shuts its own door."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.journeys.test_doors_shut import *  # noqa: F403 - the tests themselves
from tests.journeys.test_doors_shut import HALLS, OFFICES, Pair
from tests.topology.conftest import Entrance, SplitHouse

from forecourt.gateway.routes import routing_table

pytestmark = [pytest.mark.xdist_group("split"), pytest.mark.slow, pytest.mark.haproxy]


@pytest.fixture(scope="module")
async def pair(server: Entrance) -> AsyncIterator[Pair]:
    pair = Pair([server.url])
    yield pair
    for client in pair.clients:
        await client.aclose()


def test_what_is_asked_is_asked_of_every_service(split_house: SplitHouse) -> None:
    """The control of this whole file."""
    modules = {route.path: route.module for route in routing_table()}
    offices = [f"/v1/orgs/{{org_id}}/{name}" for name in OFFICES]
    for asked in (HALLS, offices):
        assert {split_house.homes[modules[path]] for path in asked} == set(split_house.homes.values())
