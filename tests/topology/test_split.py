"""The journeys of one process, in three: the same tests, with every call between modules on the network.

`world` and `client` are this folder's: what is imported below meets a split house instead of the one it was written for.
"""

from __future__ import annotations

import asyncio
import secrets
import subprocess
import sys

import httpx
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from tests.journeys.test_first_booking import *  # noqa: F403 - the tests themselves
from tests.journeys.world import World, at
from tests.observability.conftest import Collector
from tests.observability.traces import PARENT, Trace
from tests.topology.conftest import SplitHouse
from tests.topology.proof import identity

from forecourt.gateway.routes import routing_table
from forecourt.process import SET_UP_WRONGLY
from forecourt.wiring import MODULES
from tools.clients.source import read_document

pytestmark = [pytest.mark.xdist_group("split"), pytest.mark.slow]
"""One worker starts the processes."""


async def test_each_process_serves_its_own_modules_only(split_house: SplitHouse) -> None:
    guests, courts, _ = split_house.servers
    async with httpx.AsyncClient(headers=identity()) as client:
        assert (await client.get(f"{courts.url}/v1/venues")).status_code == 200
        assert (await client.get(f"{guests.url}/v1/venues")).status_code == 404
        assert (await client.get(f"{guests.url}/.well-known/jwks.json")).status_code == 200
        assert (await client.get(f"{courts.url}/.well-known/jwks.json")).status_code == 404


async def test_what_happens_in_one_process_is_in_the_records_of_another(world: World) -> None:
    club = await world.club()
    ada = await world.person("Ada")
    await world.credits(club, ada, 5_000)
    wanted = {"resource_id": club.courts[0], "start": at(8, 12), "duration_min": 60, "pay_with": "credits"}
    booking = (await ada.post("/v1/bookings", wanted)).json()
    async with asyncio.timeout(30):
        while True:
            trail = (await club.owner.get(f"/v1/orgs/{club.id}/audit", limit=100)).json()["items"]
            if any(booking["id"] in str(entry) for entry in trail):
                break
            await asyncio.sleep(0.05)


async def test_every_process_tells_of_the_whole_house(split_house: SplitHouse) -> None:
    whole = read_document()["paths"].keys()
    async with httpx.AsyncClient(headers=identity(), timeout=30) as client:
        for server in split_house.servers:
            told = (await client.get(f"{server.url}/openapi.json")).json()["paths"]
            assert {path for path in told if not path.startswith("/dev/")} == whole
            events = (await client.get(f"{server.url}/asyncapi.json")).json()["channels"]
            assert {"room", "booking", "inbox"} <= events.keys() or len(events) > 40, sorted(events)
            assert (await client.get(f"{server.url}/docs/booking", headers={"Accept": "text/html"})).status_code == 200


def callers(found: Trace) -> list[Span]:
    """The calls to venues, as those who made them saw them."""
    calls = [s for s in found.spans if s.kind == Span.SPAN_KIND_CLIENT and s.name.startswith("venues.Venues.")]
    assert calls
    return calls


async def test_one_trace_runs_through_every_process(world: World, collector: Collector) -> None:
    club, ada = await world.club(), await world.person("Ada")
    await world.credits(club, ada, 5_000)
    trace_id = secrets.token_hex(16)
    wanted = {"resource_id": club.courts[0], "start": at(9, 12), "duration_min": 60, "pay_with": "credits"}
    booked = await ada.post("/v1/bookings", wanted, traceparent=f"00-{trace_id}-{PARENT}-01")
    assert booked.status_code == 201, booked.text
    # Answered in the second process; its event is handled by workers of all three, and one of them asks the second again.
    found = await collector.whole(trace_id, "notifications.drain", "audit.trail", "venues.Venues.organisation")
    (job,) = found.named("notifications.drain", Span.SPAN_KIND_CONSUMER)[:1]
    assert found.line(job)[-1] == "POST /v1/bookings"
    async with asyncio.timeout(30):  # whoever answered sends its part in its own time
        while not all(found.below(caller) for caller in callers(found)):
            await asyncio.sleep(0.05)
            found = await collector.whole(trace_id)
    for caller in callers(found):
        (answered,) = found.below(caller)
        assert (answered.name, answered.kind) == (caller.name, Span.SPAN_KIND_SERVER)
        assert "POST /v1/bookings" in found.line(answered)
    assert any(s.name.startswith("select venues.") for s in found.spans)


async def test_no_process_answers_a_call_between_modules_that_is_not_signed(split_house: SplitHouse) -> None:
    async with httpx.AsyncClient() as client:
        for server in split_house.servers:
            for path in ("/_contract/identity.Identity/status", "/_contract/none", "/_contract/"):
                answer = await client.post(f"{server.url}{path}", content=b"\x80")
                assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")


async def test_a_process_with_another_key_is_told_so_and_does_not_start(split_house: SplitHouse) -> None:
    environ = split_house.servers[1].environ | {"FORECOURT_CONTRACT_KEYS": "first:of-another-house-altogether-77c1b0"}
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "forecourt", "worker"],
        env=environ,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == SET_UP_WRONGLY, done.stderr
    assert "FORECOURT_CONTRACT_KEYS" in done.stderr and "Traceback" not in done.stdout


async def test_the_calls_did_go_over_the_network(world: World, split_house: SplitHouse) -> None:
    """The control of this whole file."""
    await world.club()
    async with httpx.AsyncClient() as client:
        told = [(await client.get(f"{server.url}/metrics")).text for server in split_house.servers[:2]]
    assert 'route="/_contract/identity.Identity/' in told[0] and 'route="/_contract/identity.Identity/' not in told[1]


def test_every_module_has_a_route_and_every_route_a_module() -> None:
    table = routing_table()
    assert {route.module for route in table} <= set(MODULES)
    assert len({route.path for route in table}) == len(table) > 100
