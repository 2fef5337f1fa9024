"""The house on several network hosts: a booking's journey across them, and what it lives through on its way.

Every service has a network namespace and an address of its own, the gateway too. Only the engines are shared.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest
from tests.conftest import as_user, clone, drop
from tests.journeys.conftest import environ_for
from tests.journeys.world import Club, Person, World, at
from tests.topology.conftest import KEYS
from tests.topology.hosts import Host, Switch, has_in_hand, why_not
from tests.topology.proof import GATEWAY_KEYS, identity, proof

from forecourt.gateway.haproxy import Gateway
from forecourt.gateway.plan import Health, Limits, Plan, Service
from forecourt.kernel.migrate import APP_ROLE

WHY_NOT = why_not()
pytestmark = [
    pytest.mark.xdist_group("hosts"),
    pytest.mark.slow,
    pytest.mark.haproxy,
    pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT or "it can be here"),
]
"""One worker makes the network."""

PORT, DOOR = 8000, 8080
COURTS, PAYMENTS = ("venues", "booking"), ("payments",)
PEOPLE = ("identity", "people", "notifications", "media", "chat", "audit")
PRICE, CREDITS = 2_000, 10_000
PATIENCE_S = 90.0
BOOKERS, ROUNDS = 2, 3
DRAIN_S = 3
"""Longer than the gateway takes to notice: a question every second, and the second one without a good answer decides."""


class Process:
    """One `forecourt serve` or `worker` on a host of its own."""

    def __init__(self, host: Host, duty: list[str], environ: dict[str, str], log: Path) -> None:
        self.host = host
        self._command = [*host.prefix, sys.executable, "-m", "forecourt", *duty]
        self.environ = environ
        self.log = log
        self.child: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://{self.host.address}:{PORT}"

    @property
    def pid(self) -> int:
        assert self.child is not None
        return self.child.pid

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.child = subprocess.Popen(self._command, env=self.environ, stdout=log, stderr=log)

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    async def gone(self) -> int:
        """Its exit status."""
        assert self.child is not None
        return await asyncio.to_thread(self.child.wait, PATIENCE_S)

    def end(self) -> None:
        if self.child is not None and self.child.poll() is None:
            self.child.kill()
            self.child.wait()


async def eventually(holds: Callable[[], Coroutine[Any, Any, bool]], what: str) -> None:
    until = time.monotonic() + PATIENCE_S
    while not await holds():
        assert time.monotonic() < until, f"it did not come to be: {what}"
        await asyncio.sleep(0.02)


class Town:
    """The hosts, who runs on each, the gateway before them, and the database behind them."""

    def __init__(self, switch: Switch, environ: dict[str, str], folder: Path, admin_url: str) -> None:
        self.admin_url = admin_url
        self._door = door = switch.host("door")
        names = {"people": PEOPLE, "courts-a": COURTS, "courts-b": COURTS, "payments": PAYMENTS}
        hosts = {name: switch.host(name) for name in (*names, "worker")}
        urls = {name: f"http://{host.address}:{PORT}" for name, host in hosts.items()}
        homes = {m: "|".join(urls[name] for name, of in names.items() if m in of) for of in names.values() for m in of}
        common = environ | {
            "FORECOURT_CONTRACT_KEYS": KEYS,
            "FORECOURT_GATEWAY_KEYS": GATEWAY_KEYS,
            "FORECOURT_TRUSTED_PROXIES": f"{door.address}/32",
            "FORECOURT_PUBLIC_URL": f"http://{door.address}:{DOOR}",
            "FORECOURT_DATABASE_POOL": "5",
            "FORECOURT_DRAIN_S": str(DRAIN_S),
        }
        self.processes: dict[str, Process] = {}
        for name, modules in names.items():
            peers = ",".join(f"{module}={home}" for module, home in homes.items() if module not in modules)
            own = common | {"FORECOURT_MODULES": ",".join(modules), "FORECOURT_PEERS": peers}
            duty = ["serve", "--host", hosts[name].address, "--port", str(PORT)]
            self.processes[name] = Process(hosts[name], duty, own, folder / f"{name}.log")
        self.processes["worker"] = Process(hosts["worker"], ["worker"], common, folder / "worker.log")
        services = {"people": ("people",), "courts": ("courts-a", "courts-b"), "payments": ("payments",)}
        plan = Plan(
            services=tuple(Service(s, names[of[0]], {"v1": tuple(urls[name] for name in of)}) for s, of in services.items()),
            listen=(f"{door.address}:{DOOR}",),
            internal=f"{door.address}:9101",
            limits=Limits(requests_per_address=1_000_000, requests_per_account=1_000_000),
            health=Health(every_ms=1000, down_after=2),
        )
        self.url = f"http://{door.address}:{DOOR}"
        output = folder / "haproxy.log"
        self.gateway = Gateway(plan, folder / "gateway", proof=proof, prefix=door.prefix, output=output)

    async def open(self) -> None:
        for process in self.processes.values():
            process.start()
        await asyncio.gather(*(self.answers(name) for name in self.processes if name != "worker"))
        await self.gateway.start()
        await asyncio.gather(*(self.leads_to(name) for name in ("people", "courts-a", "courts-b", "payments")))

    async def close(self) -> None:
        await self.gateway.stop()
        for process in self.processes.values():
            process.end()

    async def answers(self, name: str) -> None:
        """Waits until it does."""
        process = self.processes[name]

        async def ready() -> bool:
            assert process.child is not None and process.child.poll() is None, process.log.read_text()[-3000:]
            with contextlib.suppress(httpx.HTTPError):
                return (await client.get(f"{process.url}/readyz", timeout=1)).status_code == 200
            return False

        async with httpx.AsyncClient() as client:
            await eventually(ready, f"{name} is ready")

    async def leads_to(self, name: str) -> None:
        """Waits until the gateway sends requests to one of the processes."""
        service, _, place = name.partition("-")

        async def up() -> bool:
            share, *_ = await self.gateway.runtime.shares(service)
            return share.servers["ab".index(place or "a")].status == "UP"

        await eventually(up, f"the gateway knows {name}")

    async def counts(self, statement: str, *values: object) -> int:
        connection = await asyncpg.connect(self.admin_url)
        try:
            return int(await connection.fetchval(statement, *values))
        finally:
            await connection.close()

    async def called(self, process: Process) -> bool:
        """Whether a call from one of the courts' processes waits there to be read."""
        courts = (self.processes[name].host.address for name in ("courts-a", "courts-b"))
        return any(has_in_hand(process.pid, PORT, address, 1) for address in courts)

    async def asked(self, process: Process) -> bool:
        """Whether a guest's request waits there to be read. The gateway's own questions are short."""
        return has_in_hand(process.pid, PORT, self._door.address, 400)

    async def held(self, guest: Person) -> bool:
        return await self.counts("select count(*) from booking.booking where account_id = $1", guest.id) == 1

    async def charges(self, guest: Person) -> int:
        return await self.counts("select count(*) from payments.charge where account_id = $1", guest.id)


@pytest.fixture(scope="module")
async def town(server_url: str, valkey_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    name = f"n_{uuid4().hex[:12]}"
    admin_url = await clone(server_url, name)
    folder = tmp_path_factory.mktemp("hosts")
    switch = Switch()
    town = Town(switch, environ_for(folder, as_user(admin_url, APP_ROLE), admin_url, valkey_url), folder, admin_url)
    try:
        await town.open()
        yield town
    finally:
        await town.close()
        switch.close()
        await drop(server_url, name)


@pytest.fixture(scope="module")
async def world(town: Town) -> AsyncIterator[World]:
    async with httpx.AsyncClient(base_url=town.url, timeout=60, trust_env=False) as client:
        yield World(client)


@pytest.fixture(scope="module")
async def club(world: World) -> Club:
    return await world.club()


_hours = iter((day, hour) for day in range(2, 9) for hour in range(7, 21))


def wish(club: Club, court: int = 0) -> dict[str, object]:
    """A time that nobody else asks for."""
    return {"resource_id": club.courts[court], "start": at(*next(_hours)), "duration_min": 60, "pay_with": "credits"}


async def guest_of(world: World, club: Club, name: str = "Gil") -> Person:
    guest = await world.person(name)
    await world.credits(club, guest, CREDITS)
    return guest


async def patiently(world: World, guest: Person, body: dict[str, object]) -> tuple[httpx.Response, int]:
    """As a good client books: one key; while payments are away it waits until they are back, and asks again."""
    key = str(uuid4())
    async with asyncio.timeout(PATIENCE_S):
        tries = 0
        while True:
            tries += 1
            answer = await guest.post("/v1/bookings", body, Idempotency_Key=key)
            if answer.status_code < 500 and answer.json().get("code") != "idempotency_in_flight":
                return answer, tries
            while not await told(world, "payments", "ok"):
                await asyncio.sleep(0.1)


async def came_through_once(town: Town, world: World, club: Club, guest: Person, answer: httpx.Response) -> None:
    """One booking, paid once, and books that add up."""
    assert answer.status_code == 201, answer.text
    assert answer.json()["status"] == "upcoming"
    await town.answers("payments")
    await eventually(lambda: pays(guest), "the gateway has noticed that payments are back")
    mine = (await guest.get("/v1/bookings")).json()["items"]
    assert [b["id"] for b in mine] == [answer.json()["id"]]
    assert (await town.charges(guest), await world.balance(club, guest)) == (1, CREDITS - PRICE)
    proof = (await club.owner.get(f"/v1/orgs/{club.id}/ledger/proof")).json()
    assert (proof["GBP"]["sum"], proof["GBP"]["faults"]) == (0, []), proof


async def pays(guest: Person) -> bool:
    return (await guest.get("/v1/wallets")).status_code == 200


async def test_a_booking_is_made_across_network_hosts(town: Town, world: World, club: Club) -> None:
    guest = await guest_of(world, club, "Ada")
    found = (await guest.get("/v1/venues", near="51.5,-0.12", radius_km=5, limit=100)).json()
    assert club.venue in [v["id"] for v in found["items"]]
    wanted = wish(club)
    answer = await guest.post("/v1/bookings", wanted)
    await came_through_once(town, world, club, guest, answer)
    assert (await guest.post("/v1/bookings", wanted)).json()["code"] == "slot_taken"
    told = (await world.client.get("/api/status")).json()
    assert {s["status"] for s in told["services"]} == {"ok"} and len(told["services"]) == len((*PEOPLE, *COURTS, *PAYMENTS))
    # The controls: the calls did cross the network, and a host's own address is its only way in.
    payments = town.processes["payments"]
    assert 'route="/_contract/payments.Payments/charge"' in httpx.get(f"{payments.url}/metrics").text
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{PORT}/livez", timeout=2)


# --- one after the other, under load -------------------------------------------------------------------------------------


class Load:
    """Guests who book, look and cancel, and one who only looks, each as fast as they are answered; every answer is counted."""

    def __init__(self, world: World, club: Club) -> None:
        self._world = world
        self._club = club
        self.answers: Counter[tuple[str, int]] = Counter()
        self.wrong: list[str] = []
        self._rounds: Counter[int] = Counter()
        self._tasks: list[asyncio.Task[None]] = []

    async def _ask(self, what: str, request: Coroutine[Any, Any, httpx.Response], expected: int) -> httpx.Response | None:
        try:
            answer = await request
        except httpx.HTTPError as e:
            self.wrong.append(f"{what}: {type(e).__name__} {e}")
            return None
        self.answers[what, answer.status_code] += 1
        if answer.status_code != expected:
            self.wrong.append(f"{what}: {answer.status_code} {answer.text[:200]}")
            return None
        return answer

    async def _book(self, number: int, guest: Person) -> None:
        wanted = wish(self._club, number % 2)
        while True:
            made = await self._ask("book", guest.post("/v1/bookings", wanted, Idempotency_Key=str(uuid4())), 201)
            if made is not None:
                path = f"/v1/bookings/{made.json()['id']}"
                await self._ask("read", guest.get(path), 200)
                await self._ask("cancel", guest.post(f"{path}/cancel", {}, Idempotency_Key=str(uuid4())), 200)
            self._rounds[number] += 1

    async def _look(self, number: int, guest: Person) -> None:
        while True:
            await self._ask("venue", guest.get(f"/v1/venues/{self._club.venue}"), 200)
            await self._ask("wallet", guest.get("/v1/wallets"), 200)
            await self._ask("own bookings", guest.get("/v1/bookings"), 200)
            self._rounds[number] += 1

    async def start(self) -> None:
        guests = [await guest_of(self._world, self._club, f"L{i}") for i in range(BOOKERS + 1)]
        self._tasks = [asyncio.create_task(self._book(i, guest)) for i, guest in enumerate(guests[:BOOKERS])]
        self._tasks.append(asyncio.create_task(self._look(BOOKERS, guests[BOOKERS])))

    async def goes_on(self, rounds: int = ROUNDS) -> None:
        """Waits until everybody has gone round so often once more."""
        before = dict(self._rounds)

        async def all_round() -> bool:
            for task in self._tasks:
                if task.done():
                    task.result()
            return all(self._rounds[n] >= before.get(n, 0) + rounds for n in range(BOOKERS + 1))

        await eventually(all_round, "everybody goes round")

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def served(town: Town, name: str) -> int:
    """What a process has answered since its start, calls from its peers and the gateway's questions left out."""
    async with httpx.AsyncClient() as client:
        text = (await client.get(f"{town.processes[name].url}/metrics")).text
    lines = [line for line in text.splitlines() if line.startswith("http_requests_total{") and 'route="/v1/' in line]
    return sum(int(float(line.rsplit(" ", 1)[1])) for line in lines)


async def leaving(process: Process, client: httpx.AsyncClient) -> bool:
    answer = await client.get(f"{process.url}/readyz")
    return (answer.status_code, answer.json()["status"]) == (503, "draining")


async def test_a_service_is_restarted_under_load_without_one_failed_request(town: Town, world: World, club: Club) -> None:
    await asyncio.gather(*(town.answers(name) for name in town.processes if name != "worker"))
    load = Load(world, club)
    await load.start()
    try:
        await load.goes_on()
        for name in ("courts-a", "courts-b"):
            process = town.processes[name]
            first = process.pid
            process.signal(signal.SIGTERM)
            async with httpx.AsyncClient(headers=identity()) as client:
                await eventually(lambda process=process, client=client: leaving(process, client), "it says so before it goes")
                assert (await client.get(f"{process.url}/v1/venues/{club.venue}")).status_code == 200, "and still answers"
            assert await process.gone() == 0
            await load.goes_on()
            process.start()
            await town.answers(name)
            await town.leads_to(name)
            await load.goes_on()
            assert process.pid != first and await served(town, name) > 0, "the new one has its part of the work"
    finally:
        await load.stop()
    assert load.wrong == []
    assert {code for _, code in load.answers} == {200, 201}
    assert load.answers["book", 201] >= BOOKERS * 5 * ROUNDS, load.answers


async def test_one_that_is_killed_under_load_loses_what_it_had_in_hand(town: Town, world: World, club: Club) -> None:
    """The control: the test above would have seen it."""
    guest = await guest_of(world, club)
    process = town.processes["courts-a"]
    await town.leads_to("courts-a")
    process.signal(signal.SIGSTOP)
    wanted = wish(club)
    asked = [asyncio.create_task(guest.post("/v1/bookings", wanted | {"pay_with": "desk"})) for _ in range(6)]
    await eventually(lambda: town.asked(process), "requests are in its hands")
    process.signal(signal.SIGKILL)
    answers = await asyncio.gather(*asked, return_exceptions=True)
    await process.gone()
    process.start()
    lost = [a for a in answers if isinstance(a, httpx.TransportError) or (isinstance(a, httpx.Response) and a.status_code >= 500)]
    assert lost, answers
    await town.answers("courts-a")
    await town.leads_to("courts-a")


# --- in the middle of a journey -------------------------------------------------------------------------------------------


async def charged(town: Town, guest: Person) -> bool:
    return await town.charges(guest) == 1


async def told(world: World, service: str, state: str) -> bool:
    services = (await world.client.get("/api/status")).json()["services"]
    return {s["name"]: s["status"] for s in services}[service] == state


async def test_a_payment_that_was_taken_but_not_heard_of_before_the_service_was_killed_is_taken_once(
    town: Town, world: World, club: Club
) -> None:
    guest = await guest_of(world, club)
    payments = town.processes["payments"]
    payments.signal(signal.SIGSTOP)
    journey = asyncio.create_task(patiently(world, guest, wish(club)))
    await eventually(lambda: town.held(guest), "the place is held")
    await eventually(lambda: town.called(payments), "the charge has arrived at payments")
    assert not journey.done() and await town.charges(guest) == 0
    payments.host.cut()
    payments.signal(signal.SIGCONT)
    await eventually(lambda: charged(town, guest), "the charge is in the books")
    assert not journey.done(), "nobody can have heard of it"
    payments.signal(signal.SIGKILL)
    await payments.gone()
    payments.host.heal()
    # The rest of the house goes on meanwhile.
    assert (await world.client.get(f"/v1/venues/{club.venue}")).status_code == 200
    assert not journey.done()
    payments.start()
    answer, _ = await journey
    await came_through_once(town, world, club, guest, answer)


async def test_a_service_that_is_killed_before_it_did_anything_delays_the_journey(town: Town, world: World, club: Club) -> None:
    await town.answers("payments")
    guest = await guest_of(world, club)
    payments = town.processes["payments"]
    payments.signal(signal.SIGSTOP)
    journey = asyncio.create_task(patiently(world, guest, wish(club)))
    await eventually(lambda: town.called(payments), "the charge has arrived at payments")
    payments.signal(signal.SIGKILL)
    await payments.gone()
    assert await town.charges(guest) == 0
    # The control: without it nothing comes of the journey, and the house says which part of it is missing.
    await eventually(lambda: told(world, "payments", "down"), "it is known that payments is down")
    assert not journey.done()
    payments.start()
    answer, tries = await journey
    assert tries > 1, "it was refused meanwhile, and asked again"
    await came_through_once(town, world, club, guest, answer)


async def test_a_link_that_is_cut_and_healed_delays_the_journey(town: Town, world: World, club: Club) -> None:
    await town.answers("payments")
    guest = await guest_of(world, club)
    payments = town.processes["payments"]
    payments.signal(signal.SIGSTOP)
    journey = asyncio.create_task(patiently(world, guest, wish(club)))
    await eventually(lambda: town.called(payments), "the charge has arrived at payments")
    payments.host.cut()
    payments.signal(signal.SIGCONT)
    await eventually(lambda: charged(town, guest), "the charge is in the books")
    with pytest.raises(httpx.TransportError):  # the control: it is cut
        await world.client.get(f"{payments.url}/livez", timeout=0.5)
    assert not journey.done()
    payments.host.heal()
    answer, _ = await journey
    await came_through_once(town, world, club, guest, answer)
