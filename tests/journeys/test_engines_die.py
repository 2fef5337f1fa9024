"""Kill −9 of Valkey and of every database process while people book: what was acknowledged is there, nothing happens twice."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import asyncpg
import httpx
import pytest
from tests.conftest import as_user
from tests.journeys.conftest import Server, environ_for
from tests.journeys.world import Club, Person, World, at

from forecourt.engines import Engines, start_engines
from forecourt.kernel.migrate import APP_ROLE, migrate
from forecourt.layout import migration_folders

pytestmark = pytest.mark.xdist_group("engines_die")
"""One worker makes what these tests share."""

PRICE, CREDITS, GUESTS = 2_000, 1_000_000, 4


IN_FLIGHT = "409 idempotency_in_flight"
"""A key whose request was cut off is taken for running until its lease is given back, as soon as the database answers again."""


CLEAN = {"503 unavailable", IN_FLIGHT}
"""What may be said while an engine is away: try again."""


@dataclass
class Town:
    """In the split house (tests/topology) it has several servers, and its door is a gateway."""

    engines: Engines
    servers: list[Server]
    url: str
    world: World
    club: Club
    guests: list[Person]

    @property
    def alive(self) -> set[int]:
        """The processes that serve and work, as long as they do."""
        return {p.pid for server in self.servers for p in server.processes.values() if p.poll() is None}

    async def is_open(self) -> bool:
        return httpx.get(f"{self.url}/readyz").status_code == 200

    async def sql(self, statement: str, *args: object) -> list[asyncpg.Record]:
        connection = await asyncpg.connect(self.engines.database_url)
        try:
            return await connection.fetch(statement, *args)
        finally:
            await connection.close()


@pytest.fixture(scope="module")
async def town(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    """Engines of its own, with the settings of production, a server and a worker."""
    data = tmp_path_factory.mktemp("town")
    with start_engines(data / "engines") as engines:
        await migrate(engines.database_url, migration_folders())
        environ = environ_for(data, as_user(engines.database_url, APP_ROLE), engines.database_url, engines.valkey_url)
        server = Server(environ, data / "server.log")
        await asyncio.to_thread(server.start)
        try:
            async with httpx.AsyncClient(base_url=server.url, timeout=30) as client:
                world = World(client)
                yield Town(engines, [server], server.url, world, *await settlers(world))
        finally:
            await asyncio.to_thread(server.stop)


async def settlers(world: World) -> tuple[Club, list[Person]]:
    """A club and its guests, who may book as often as they like."""
    club = await world.club(courts=GUESTS)
    org = f"/v1/orgs/{club.id}"
    answer = await club.owner.send("PATCH", f"{org}/policies", {"max_open_bookings": 500, "horizon_days": 365})
    assert answer.status_code == 200, answer.text
    guests = [await world.person(f"Gil{i}") for i in range(GUESTS)]
    for guest in guests:
        await world.credits(club, guest, CREDITS)
    return club, guests


@dataclass
class Tally:
    """What the clients were told."""

    made: dict[str, str]
    """Booking by Idempotency-Key, as acknowledged."""
    refusals: Counter[str]


class Crowd:
    """Guests who book one hour after another, each with a key of its own, and ask again with it until they are answered."""

    def __init__(self, town: Town, first_day: int) -> None:
        self.town = town
        self.tally = Tally({}, Counter())
        self.stop = asyncio.Event()
        self._first_day = first_day

    async def run(self) -> Tally:
        async with asyncio.timeout(120):
            await asyncio.gather(*(self._book(i, guest) for i, guest in enumerate(self.town.guests)))
        return self.tally

    async def _book(self, court: int, guest: Person) -> None:
        hour = 0
        while not self.stop.is_set():
            start = at(self._first_day + hour // 12, 8 + hour % 12)
            body: dict[str, object] = {
                "resource_id": self.town.club.courts[court],
                "start": start,
                "duration_min": 60,
                "pay_with": "credits",
            }
            await self._until_answered(guest, body, str(uuid4()))
            hour += 1

    async def _until_answered(self, guest: Person, body: dict[str, object], key: str) -> None:
        while True:
            try:
                answer = await guest.post("/v1/bookings", body, Idempotency_Key=key)
            except httpx.TransportError as e:
                self.tally.refusals[type(e).__name__] += 1
            else:
                if answer.status_code == 201:
                    self.tally.made[key] = answer.json()["id"]
                    return
                assert answer.headers["content-type"] == "application/problem+json", answer.text
                self.tally.refusals[f"{answer.status_code} {answer.json()['code']}"] += 1
            await asyncio.sleep(0.05)


async def several(tally: Tally, more: int) -> None:
    """Waits until so many further bookings were acknowledged."""
    wanted = len(tally.made) + more
    async with asyncio.timeout(60):
        while len(tally.made) < wanted:
            await asyncio.sleep(0.02)


async def check(town: Town, tally: Tally) -> None:
    assert set(tally.refusals) <= CLEAN, tally.refusals
    ids = list(tally.made.values())
    assert len(set(ids)) == len(ids)
    kept = await town.sql("select id::text, status, paid_minor from booking.booking where id = any($1::uuid[])", ids)
    assert {r["id"] for r in kept} == set(ids)  # nothing acknowledged is lost
    assert {(r["status"], r["paid_minor"]) for r in kept} == {("upcoming", PRICE)}
    paid = await town.sql("select account_id::text, count(*) as n from booking.booking where status = 'upcoming' group by 1")
    spent = {r["account_id"]: r["n"] * PRICE for r in paid}
    for guest in town.guests:
        assert await town.world.balance(town.club, guest) == CREDITS - spent.get(guest.id, 0)  # nothing happened twice
    claims = await town.sql("select count(*) as n, count(distinct booking_id) as b from booking.occupancy")
    assert claims[0]["n"] == claims[0]["b"] == sum(r["n"] for r in paid)
    proof = (await town.club.owner.get(f"/v1/orgs/{town.club.id}/ledger/proof")).json()["GBP"]
    assert (proof["sum"], proof["faults"]) == (0, [])


def processes(town: Town, name: str) -> list[int]:
    """Those of this town's engines: they run over its directory."""
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and (entry / "comm").read_text().strip() == name:
                place = (entry / "cwd").resolve(), (entry / "cmdline").read_text()
                if str(town.engines.data) in f"{place[0]} {place[1]}":
                    found.append(int(entry.name))
        except OSError:
            continue
    return found


def strike(town: Town, name: str) -> None:
    struck = processes(town, name)
    assert struck
    for pid in struck:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


async def under_load(town: Town, first_day: int, blow: str) -> Tally:
    """Strikes twice while the crowd books, and lets it go on afterwards."""
    crowd = Crowd(town, first_day)
    running = asyncio.create_task(crowd.run())
    for _ in range(2):
        await several(crowd.tally, 6)
        strike(town, blow)
        await asyncio.to_thread(town.engines.restart, "postgres" if blow == "postgres" else "valkey")
    await several(crowd.tally, 6)
    crowd.stop.set()
    return await running


@pytest.mark.slow
async def test_every_database_process_dies_under_load(town: Town) -> None:
    before = town.alive
    tally = await under_load(town, 3, "postgres")
    assert tally.refusals, "nobody noticed: the test proves nothing"
    await check(town, tally)
    # Nobody had to start a server or a worker again.
    assert town.alive == before
    assert await town.is_open()


@pytest.mark.slow
async def test_valkey_dies_under_load(town: Town) -> None:
    """It holds nothing that may not vanish: booking goes on."""
    before = town.alive
    tally = await under_load(town, 40, "valkey-server")
    await check(town, tally)
    assert town.alive == before
    assert await town.is_open()
