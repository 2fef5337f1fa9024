"""The journeys of tests/journeys/test_recovery.py in the split house: booking and payments are two processes, and each may die.

Booking asks payments over HTTP, signed, so there is more that can be lost: what payments did, and booking never hears of; what
booking heard of, and did not write down. Whoever dies, it is paid and confirmed in the end, or released and given back.
"""

from __future__ import annotations

import contextlib
import functools
import socket
import time
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import uuid4

import httpx
import msgspec
import pytest
from tests.conftest import as_user, clone, drop
from tests.journeys.dying import (
    Later,
    Order,
    Place,
    answering_dies,
    is_of_payments,
    server_dies,
    serving,
    visitor,
    work,
)
from tests.journeys.test_recovery import *  # noqa: F403 - the tests themselves
from tests.journeys.test_recovery import (
    CREDITS,
    MINUTE,
    PRICE,
    Shop,
    is_answered,
    is_given_back_once,
    is_left_to_the_next,
    is_survived,
    request,
    verified,
)
from tests.journeys.world import World
from tests.topology.conftest import KEYS, Way, by_route
from tests.topology.proof import GATEWAY_KEYS, identity

from forecourt.app import House
from forecourt.gateway.routes import routing_table
from forecourt.kernel import contracts
from forecourt.kernel.contracts import Breaker
from forecourt.kernel.migrate import APP_ROLE
from forecourt.wiring import MODULES

pytestmark = [pytest.mark.xdist_group("split_recovery"), pytest.mark.slow]
"""One worker makes what these tests share."""

LOCALHOST = "127.0.0.1"
PAYMENTS = ("payments",)
REST = tuple(module for module in MODULES if module not in PAYMENTS)


class Desk:
    """A port of one's own for processes that come and go. Who holds it without listening lets nobody else have it, and whoever
    calls while no process listens is refused."""

    def __init__(self) -> None:
        self._held = self._bound(0)
        self.port: int = self._held.getsockname()[1]
        self.url = f"http://{LOCALHOST}:{self.port}"

    @staticmethod
    def _bound(port: int) -> socket.socket:
        made = socket.socket()
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.bind((LOCALHOST, port))
        return made

    def listener(self) -> socket.socket:
        made = self._bound(self.port)
        made.listen()
        return made

    def close(self) -> None:
        self._held.close()


class Breath:
    """The time of breakers. It passes as the house's does, and does not go back when a test begins at the present."""

    def __init__(self) -> None:
        self.passed = timedelta()

    def __call__(self) -> float:
        return time.monotonic() + self.passed.total_seconds()


@dataclass(kw_only=True)
class Divided(Shop):
    """`place`, `house` and whoever dies there have everything but payments; payments live at `till`."""

    payments: House
    payments_place: Place
    till: Desk
    breath: Breath
    open_till: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack)

    async def start_payments(self) -> None:
        await self.open_till.enter_async_context(serving(self.payments, self.till.listener()))

    async def stop_payments(self) -> None:
        await self.open_till.aclose()

    async def work(self) -> None:
        await work(self.house)
        await work(self.payments)

    async def time_passes(self, by: timedelta) -> None:
        self.breath.passed += by
        await super().time_passes(by)

    @contextlib.asynccontextmanager
    async def payments_die(self, step: str) -> AsyncGenerator[None]:
        """Payments die at `step` of what they are asked meanwhile, and are gone; at the end they are back."""
        await self.stop_payments()
        try:
            async with answering_dies(self.payments_place, self.clock, step, self.till.listener()):
                yield
        finally:
            await self.start_payments()

    async def server_dies(self, step: str, order: Order) -> None:
        if not is_of_payments(step):
            await super().server_dies(step, order)
            return
        async with self.payments_die(step):
            answer = await order.send(self.world.client)
            assert refused(answer), answer.text

    async def worker_dies(self, step: str) -> None:
        if not is_of_payments(step):
            await super().worker_dies(step)
            return
        async with self.payments_die(step):
            await self.work()


def told(modules: tuple[str, ...], peers: dict[str, str]) -> dict[str, str]:
    return {
        "FORECOURT_MODULES": ",".join(modules),
        "FORECOURT_PEERS": ",".join(f"{module}={url}" for module, url in peers.items()),
        "FORECOURT_CONTRACT_KEYS": KEYS,
        "FORECOURT_GATEWAY_KEYS": GATEWAY_KEYS,
    }


@pytest.fixture(scope="module")
async def the_shop(server_url: str, valkey_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Divided]:
    name = f"f_{uuid4().hex[:12]}"
    admin_url = await clone(server_url, name)
    data = str(tmp_path_factory.mktemp("recovery"))
    clock, breath = Later(), Breath()
    url = as_user(admin_url, APP_ROLE)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(drop, server_url, name)
        counter, till = (stack.enter_context(contextlib.closing(Desk())) for _ in range(2))
        place = Place(url, valkey_url, data, told(REST, {"payments": till.url}))
        payments_place = Place(url, valkey_url, data, told(PAYMENTS, dict.fromkeys(REST, counter.url)))
        homes = dict.fromkeys(REST, counter.url) | {"payments": till.url}
        way = Way(by_route(routing_table(), homes, counter.url), identity())
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        # One that waits for long from the start, so that payments are back while it is open.
        patch.setattr(contracts, "Breaker", functools.partial(Breaker, monotonic=breath, first_s=10.0))
        house = await place.open(clock)
        stack.push_async_callback(house.close)
        await stack.enter_async_context(serving(house, counter.listener()))
        payments = await payments_place.open(clock)
        stack.push_async_callback(payments.close)
        client = await stack.enter_async_context(httpx.AsyncClient(transport=way, base_url="http://house.test", timeout=30))
        world = World(client)
        club = await world.club(owner=await verified(lambda: work(house), world, "Olive"))
        shop = Divided(
            place,
            admin_url,
            clock,
            house,
            world,
            club,
            payments=payments,
            payments_place=payments_place,
            till=till,
            breath=breath,
        )
        await shop.start_payments()
        yield shop
        await shop.stop_payments()


@pytest.fixture
def divided(shop: Shop) -> Divided:
    """The shop, as what it is here."""
    assert isinstance(shop, Divided)
    return shop


def refused(answer: httpx.Response) -> bool:
    return (answer.status_code, answer.json()["code"]) == (503, "unavailable")


async def charges_asked(shop: Divided) -> int:
    """How often payments were asked for a charge, as long as they live."""
    async with httpx.AsyncClient(trust_env=False) as client:
        lines = (await client.get(f"{shop.till.url}/metrics")).text.splitlines()
    asked = [line for line in lines if line.startswith("http_requests_total{") and "payments.Payments/charge" in line]
    return sum(int(float(line.rsplit(" ", 1)[1])) for line in asked)


async def test_booking_asks_payments_over_the_network_and_nobody_else_may(divided: Divided) -> None:
    """The control of this whole file."""
    guest = await divided.guest()
    before = await charges_asked(divided)
    made = await (await divided.order(guest)).send(divided.world.client)
    assert (made.status_code, await charges_asked(divided)) == (201, before + 1), made.text
    assert [part.name for part in divided.payments.parts] == ["payments"]
    assert "payments" not in [part.name for part in divided.house.parts]
    async with httpx.AsyncClient(trust_env=False, headers=identity()) as client:
        unsigned = await client.post(f"{divided.till.url}/_contract/payments.Payments/charge", content=b"")
    assert unsigned.status_code == 401


# --- booking dies with payments' answer in its hands ------------------------------------------------------------------------


async def test_a_booking_that_dies_before_it_confirms_what_was_charged_is_confirmed(shop: Shop) -> None:
    await is_survived(shop, "charge heard of", ("payment_pending", CREDITS - PRICE))


async def test_a_booking_that_dies_before_it_notes_what_was_set_aside_keeps_the_request(shop: Shop) -> None:
    guest = await shop.guest()
    await shop.server_dies("setting aside heard of", await request(shop, guest))
    assert await shop.stands(guest) == ("pending_approval", CREDITS - PRICE)
    await shop.settles_within_a_minute()
    assert await shop.stands(guest) == ("pending_approval", CREDITS - PRICE)
    await shop.books_add_up()


@pytest.mark.parametrize(
    ("step", "answer", "at_death", "settled"),
    [
        ("capture heard of", "approve", "pending_approval", ("upcoming", CREDITS - PRICE)),
        ("release heard of", "decline", "declined", ("declined", CREDITS)),
    ],
)
async def test_a_booking_that_dies_with_the_answer_to_a_request_settles_it_once(
    shop: Shop, step: str, answer: str, at_death: str, settled: tuple[str, int]
) -> None:
    await is_answered(shop, step, answer, at_death, settled)


async def test_a_worker_of_booking_that_dies_with_the_state_of_the_payment_leaves_it_to_the_next(shop: Shop) -> None:
    await is_left_to_the_next(shop, "payment heard of")


async def test_a_worker_of_booking_that_dies_with_the_refund_gives_it_back_once(shop: Shop) -> None:
    await is_given_back_once(shop, "refund heard of", "expired", CREDITS)


# --- both die, one of two dies, and one that is back ------------------------------------------------------------------------


async def test_both_die_and_the_guest_who_has_the_key_gets_one_effect(divided: Divided) -> None:
    """Payments have taken the money, and booking neither heard of it nor could give the key back."""
    guest = await divided.guest()
    order = await divided.order(guest)
    async with divided.payments_die("charge committed"):
        await server_dies(divided.place, divided.clock, "nothing heard of", order)
    assert await divided.stands(guest) == ("payment_pending", CREDITS - PRICE)
    held = await order.send(divided.world.client)
    assert (held.status_code, held.json()["code"]) == (409, "idempotency_in_flight")

    await divided.settles_within_a_minute()
    assert await divided.stands(guest) == ("upcoming", CREDITS - PRICE)
    again = await order.send(divided.world.client)
    assert (again.status_code, again.json()["status"]) == (201, "upcoming"), again.text
    assert await divided.stands(guest) == ("upcoming", CREDITS - PRICE)
    await divided.books_add_up()


async def test_where_payments_are_two_the_other_answers_for_the_one_that_died_and_takes_nothing_twice(divided: Divided) -> None:
    guests = [await divided.guest() for _ in range(2)]
    with contextlib.closing(Desk()) as first:
        peers = {"payments": f"{first.url}|{divided.till.url}"}
        house = await msgspec.structs.replace(divided.place, told=told(REST, peers)).open(divided.clock)
        try:
            dying = answering_dies(divided.payments_place, divided.clock, "charge committed", first.listener())
            async with visitor(house) as client, dying:
                # They are asked in turn: with the second booking the one that dies has been asked.
                made = [await (await divided.order(guest)).send(client) for guest in guests]
        finally:
            await house.close()
    assert [(answer.status_code, answer.json()["status"]) for answer in made] == [(201, "upcoming")] * 2
    assert [await divided.stands(guest) for guest in guests] == [("upcoming", CREDITS - PRICE)] * 2
    await divided.books_add_up()


async def test_payments_that_are_back_and_still_taken_for_dead_are_found_by_who_looks_later(divided: Divided) -> None:
    """Nobody is asked while the breaker is open; neither the guest nor the worker makes anything of that but to try again."""
    guest = await divided.guest()
    order = await divided.order(guest)
    client = divided.world.client
    async with divided.payments_die("charge committed"):
        assert refused(await order.send(client)) and refused(await order.send(client)), "five failures and one more"
    asked = await charges_asked(divided)
    assert refused(await order.send(client))
    assert await charges_asked(divided) == asked, "payments are there, and were not asked"
    await divided.work()
    await Shop.time_passes(divided, MINUTE)  # and the breaker's time does not
    await divided.work()
    assert await divided.stands(guest) == ("payment_pending", CREDITS - PRICE)

    await divided.settles_within_a_minute()
    assert await divided.stands(guest) == ("upcoming", CREDITS - PRICE)
    again = await order.send(client)
    assert (again.status_code, again.json()["status"]) == (201, "upcoming"), again.text
    assert await divided.stands(guest) == ("upcoming", CREDITS - PRICE)
    await divided.books_add_up()
