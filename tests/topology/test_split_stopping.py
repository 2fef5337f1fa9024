"""The journey of tests/journeys/test_stopping.py in the split house: each service is told to stop in the middle of a write.

What else there is of processes that end is not of any house: a worker's piece of work, and `up` (whose split kind ends in
test_up_split.py). One of two is restarted without a failed request in test_hosts.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from uuid import uuid4

import httpx
import pytest
from tests.journeys.books import Books
from tests.journeys.test_stopping import (
    Leaver,
    sign_ups,
    test_a_server_that_is_told_to_stop_answers_what_it_was_asked,  # noqa: F401  # pyright: ignore[reportUnusedImport]
)
from tests.journeys.world import World, at
from tests.topology.conftest import Entrance, SplitHouse

pytestmark = [pytest.mark.xdist_group("split"), pytest.mark.slow, pytest.mark.haproxy]


async def registrations(world: World, url: str) -> list[httpx.Request]:
    return sign_ups(url)


async def a_booking(world: World, url: str) -> list[httpx.Request]:
    club, guest = await world.club(courts=1), await world.person("Gil")
    await world.credits(club, guest)
    wish = {"resource_id": club.courts[0], "start": at(3, 12), "duration_min": 60, "pay_with": "credits"}
    return [httpx.Request("POST", f"{url}/v1/bookings", json=wish, headers=guest.headers)]


async def a_message(world: World, url: str) -> list[httpx.Request]:
    guest, friend = await world.person("Gil"), await world.person("Fay")
    room = (await guest.post("/v1/rooms", {"kind": "group", "name": "Thursday", "member_ids": [friend.id]})).json()
    words = {"client_id": str(uuid4()), "text": "Booked, at noon"}
    return [httpx.Request("POST", f"{url}/v1/rooms/{room['id']}/messages", json=words, headers=guest.headers)]


ASKED: dict[str, Callable[[World, str], Awaitable[list[httpx.Request]]]] = {
    "identity.account": registrations,
    "booking.booking": a_booking,
    "chat.message": a_message,
}
"""What each service is asked, by the table that it writes to."""


@dataclass(kw_only=True)
class Service(Leaver):
    entrance: Entrance
    group: tuple[str, ...]

    async def afterwards(self, first: httpx.Response) -> None:
        """The gateway says that nobody is there. Once somebody is, what was asked and answered is not done again."""
        async with httpx.AsyncClient(timeout=60) as client:
            refused = await client.send(self.requests[0])
            said = (refused.status_code, refused.headers["content-type"], refused.json()["code"])
            assert said == (503, "application/problem+json", "unavailable"), refused.text
            await self.comes_back()
            again = await client.send(self.requests[0])
        if self.table == "identity.account":
            assert again.status_code == 409, "that address has an account"
        else:
            assert again.json()["id"] == first.json()["id"], again.text

    async def comes_back(self) -> None:
        if self.server.processes["serve"].poll() is not None:
            await asyncio.to_thread(self.server.start, "serve")
            await self.entrance.leads_to(self.group)


@pytest.fixture(params=list(ASKED))
async def leaver(
    request: pytest.FixtureRequest, split_house: SplitHouse, server: Entrance, world: World
) -> AsyncIterator[Service]:
    table: str = request.param
    (place,) = [i for i, group in enumerate(split_house.groups) if table.partition(".")[0] in group]
    asked = await ASKED[table](world, server.url)
    for one in asked:
        one.headers["Idempotency-Key"] = str(uuid4())
    leaves, group = split_house.servers[place], tuple(split_house.groups[place])
    service = Service(leaves, server.url, Books(split_house.admin_url), table, asked, entrance=server, group=group)
    yield service
    await service.comes_back()
