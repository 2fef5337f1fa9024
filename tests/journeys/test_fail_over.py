"""The database's machine dies for good while people book, and its replica takes its place: nothing acknowledged is missing.

What an operator does in Kubernetes (deploy/helm, postgres.enabled) is done here by hand: the primary is killed, the replica that
every commit waited for is promoted, and the one address that the program knows leads to it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import asyncpg
import httpx
import pytest
from tests.conftest import as_user
from tests.engines.conftest import memory_disk
from tests.journeys.conftest import settings_for
from tests.journeys.test_engines_die import Crowd, Town, check, settlers, several
from tests.journeys.world import World, at
from tests.kernel.standby import Standby

from forecourt.app import Addresses, House
from forecourt.engines import Engines, postgres, start_engines
from forecourt.engines.process import living_in
from forecourt.kernel.migrate import APP_ROLE, migrate
from forecourt.layout import migration_folders

pytestmark = pytest.mark.xdist_group("fail_over")

PATIENCE_S = 30


class Address:
    """The one place at which the program asks for its database, wherever that leads."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self.url = postgres.database_url(place)

    def lead_to(self, server_url: str) -> None:
        """Who connects from now on comes to that server."""
        new = self._place.with_suffix(".new")
        new.symlink_to(parse_qs(urlsplit(server_url).query)["host"][0])
        new.rename(self._place)

    async def sql(self, statement: str, *args: object) -> list[asyncpg.Record]:
        connection = await asyncpg.connect(self.url)
        try:
            return await connection.fetch(statement, *args)
        finally:
            await connection.close()

    async def until(self, statement: str) -> None:
        """Waits until what is asked is true."""
        async with asyncio.timeout(PATIENCE_S):
            while not (await self.sql(statement))[0][0]:
                await asyncio.sleep(0.01)


@dataclass(kw_only=True)
class Twofold(Town):
    address: Address
    standby: Standby

    async def sql(self, statement: str, *args: object) -> list[asyncpg.Record]:
        return await self.address.sql(statement, *args)


@dataclass
class Pair:
    """A primary whose every commit waits for its replica, and the one address of whichever leads."""

    base: Path
    engines: Engines
    address: Address
    standby: Standby


@contextlib.asynccontextmanager
async def pair() -> AsyncGenerator[Pair]:
    base = Path(tempfile.mkdtemp(prefix="fc-fail-over-", dir=memory_disk()))
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, base, ignore_errors=True)
        engines = stack.enter_context(start_engines(base / "engines", postgres_settings={"shared_buffers": "32MB"}))
        await migrate(engines.database_url, migration_folders())
        standby = Standby(base / "standby", engines.database_url, parse_qs(urlsplit(engines.database_url).query)["host"][0])
        stack.callback(standby.close)
        standby.start()
        address = Address(base / "address")
        address.lead_to(engines.database_url)
        await address.sql("alter system set synchronous_standby_names = 'any 1 (standby)'")
        await address.sql("select pg_reload_conf()")
        await address.until("select count(*) = 1 from pg_stat_replication where sync_state = 'quorum'")
        yield Pair(base, engines, address, standby)


@pytest.fixture
async def town() -> AsyncIterator[Twofold]:
    async with pair() as two, contextlib.AsyncExitStack() as stack:
        address, standby, valkey_url = two.address, two.standby, two.engines.valkey_url
        addresses = Addresses(as_user(address.url, APP_ROLE), valkey_url, as_user(standby.url, APP_ROLE))
        house = await House.open(settings_for(two.base), addresses)
        stack.push_async_callback(house.close)
        await house.start_work()
        transport = httpx.ASGITransport(app=house.app, raise_app_exceptions=False)  # type: ignore[arg-type]
        client = await stack.enter_async_context(httpx.AsyncClient(transport=transport, base_url="http://house.test", timeout=30))
        world = World(client)
        yield Twofold(two.engines, [], "http://house.test", world, *await settlers(world), address=address, standby=standby)


async def test_the_primary_dies_for_good_and_no_acknowledged_booking_with_it(town: Twofold) -> None:
    guest, court = town.guests[0], town.club.courts[0]
    wish: dict[str, object] = {"resource_id": court, "start": at(100, 12), "duration_min": 60, "pay_with": "credits"}
    town.standby.freeze()
    asked = asyncio.create_task(guest.post("/v1/bookings", wish, Idempotency_Key=str(uuid4())))
    await town.address.until("select count(*) > 0 from pg_stat_activity where wait_event = 'SyncRep'")
    assert not asked.done(), "it would be acknowledged while one machine alone has it"
    town.standby.thaw()
    assert (await asked).status_code == 201

    crowd = Crowd(town, 3)
    running = asyncio.create_task(crowd.run())
    await several(crowd.tally, 6)
    for pid in living_in(town.engines.data / "pg", "postgres"):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    acknowledged = dict(crowd.tally.made)
    await town.standby.tell("select pg_promote()")
    town.address.lead_to(town.standby.url)
    done = (await town.sql("select coalesce(max(id), 0) from kernel.job_log"))[0][0]
    await several(crowd.tally, 6)
    crowd.stop.set()
    tally = await running

    assert tally.refusals, "nobody noticed: the test proves nothing"
    assert len(acknowledged) >= 6 and acknowledged.items() <= tally.made.items()
    await town.address.until("select pg_walfile_name(pg_current_wal_lsn()) like '00000002%'")
    await town.address.until(f"select count(*) > 0 from kernel.job_log where id > {done} and status = 'successful'")
    tally.made["while its replica was frozen"] = (await asked).json()["id"]
    await check(town, tally)
