"""Kill −9 at every step of book-and-pay: paid and confirmed in the end, or released and given back; never both, never neither."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest
from tests.conftest import as_user, clone, drop
from tests.journeys.dying import Later, Order, Place, server_dies, visitor, work, worker_dies
from tests.journeys.world import Club, Person, World, at

from forecourt.app import House
from forecourt.kernel.context import service_context
from forecourt.kernel.migrate import APP_ROLE
from forecourt.kernel.money import Money
from forecourt.modules.payments.contract import Charge, Payments, PayWith

pytestmark = pytest.mark.xdist_group("recovery")
"""One worker makes what these tests share."""

MINUTE = timedelta(minutes=1)
PRICE, CREDITS = 2_000, 10_000
AT_DEATH: dict[str, tuple[str | None, int]] = {
    "hold written": (None, CREDITS),
    "hold committed": ("payment_pending", CREDITS),
    "charge written": ("payment_pending", CREDITS),
    "charge committed": ("payment_pending", CREDITS - PRICE),
    "confirmation written": ("payment_pending", CREDITS - PRICE),
    "confirmation committed": ("upcoming", CREDITS - PRICE),
    "answer kept": ("upcoming", CREDITS - PRICE),
}
"""What a killed server leaves behind: the booking's status, and the guest's credits."""


@dataclass
class Shop:
    """A club, its own database, and a house that serves and works only when the test says so.

    In the split house (tests/topology) it is two, and they die one by one.
    """

    place: Place
    admin_url: str
    clock: Later
    house: House
    world: World
    club: Club
    hours: int = 0

    async def order(self, guest: Person) -> Order:
        """An order for a time that no other test uses."""
        self.hours += 1
        start = at(3 + self.hours // 10, 8 + self.hours % 10)
        body = {"resource_id": self.club.courts[0], "start": start, "duration_min": 60, "pay_with": "credits"}
        return Order(guest.token, str(uuid4()), body)

    async def guest(self) -> Person:
        guest = await verified(self.work, self.world, "Gil")
        await self.world.credits(self.club, guest, CREDITS)
        return guest

    async def stands(self, guest: Person) -> tuple[str | None, int]:
        """The status of the guest's only booking, and the guest's credits."""
        mine = (await guest.get("/v1/bookings")).json()["items"]
        assert len(mine) <= 1, mine
        return (mine[0]["status"] if mine else None), await self.world.balance(self.club, guest)

    async def work(self) -> None:
        await work(self.house)

    async def server_dies(self, step: str, order: Order) -> None:
        await server_dies(self.place, self.clock, step, order)

    async def worker_dies(self, step: str) -> None:
        await worker_dies(self.place, self.clock, step)

    async def time_passes(self, by: timedelta) -> None:
        """The house's time and, as far as a killed worker's last sign of life goes, the database's."""
        self.clock.by += by
        connection = await asyncpg.connect(self.admin_url)
        await connection.execute("update kernel.job set heartbeat = heartbeat - $1::interval", by)
        await connection.execute("update kernel.job set execute_after = execute_after - $1::interval", by)
        await connection.close()

    async def settles_within_a_minute(self) -> None:
        """A worker that lives: hears what happened, and looks after what is due while a minute goes by."""
        await self.work()
        await self.time_passes(MINUTE)
        await self.work()

    async def books_add_up(self) -> None:
        then, self.clock.by = self.clock.by, timedelta()  # the owner's token is older than the test, and the books know no time
        proof = (await self.club.owner.get(f"/v1/orgs/{self.club.id}/ledger/proof")).json()
        self.clock.by = then
        assert (proof["GBP"]["sum"], proof["GBP"]["faults"]) == (0, []), proof
        assert proof["GBP"]["entries"] > 0


async def verified(work: Callable[[], Awaitable[None]], world: World, name: str) -> Person:
    """A person who has read the mail that a job sent."""
    person = await world.person(name, verify=False)
    await work()
    code = await world.code(person.email)
    answer = await world.client.post("/v1/auth/verify-email", json={"email": person.email, "code": code})
    assert answer.status_code == 204, answer.text
    return person


@pytest.fixture
async def shop(the_shop: Shop) -> Shop:
    """Back at the present: access tokens are made and checked by it."""
    the_shop.clock.by = timedelta()
    connection = await asyncpg.connect(the_shop.admin_url)
    await connection.execute("update kernel.schedule set next_at = now()")
    await connection.close()
    return the_shop


@pytest.fixture(scope="module")
async def the_shop(server_url: str, valkey_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shop]:
    name = f"f_{uuid4().hex[:12]}"
    admin_url = await clone(server_url, name)
    place = Place(as_user(admin_url, APP_ROLE), valkey_url, str(tmp_path_factory.mktemp("recovery")))
    clock = Later()
    house = await place.open(clock)
    async with visitor(house) as client:
        world = World(client)
        club = await world.club(owner=await verified(lambda: work(house), world, "Olive"))
        yield Shop(place, admin_url, clock, house, world, club)
    await house.close()
    await drop(server_url, name)


# --- the server dies -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", list(AT_DEATH))
async def test_a_server_that_dies_is_survived_by_the_booking(shop: Shop, step: str) -> None:
    await is_survived(shop, step, AT_DEATH[step])


async def is_survived(shop: Shop, step: str, at_death: tuple[str | None, int]) -> None:
    guest = await shop.guest()
    order = await shop.order(guest)
    await shop.server_dies(step, order)
    assert await shop.stands(guest) == at_death  # it died there and nowhere else
    paid = at_death[1] < CREDITS

    await shop.settles_within_a_minute()
    after = ("upcoming", CREDITS - PRICE) if paid else at_death
    assert await shop.stands(guest) == after
    await shop.books_add_up()

    # The guest, who never heard, asks again with the same key: one booking, paid once.
    again = await order.send(shop.world.client)
    assert again.status_code == 201, again.text
    assert again.json()["status"] == "upcoming"
    assert await shop.stands(guest) == ("upcoming", CREDITS - PRICE)
    assert (await order.send(shop.world.client)).json()["id"] == again.json()["id"]
    assert await shop.stands(guest) == ("upcoming", CREDITS - PRICE)
    await shop.books_add_up()


@pytest.mark.parametrize("step", ["hold committed", "charge written"])
async def test_a_hold_whose_server_died_before_the_money_moved_runs_out(shop: Shop, step: str) -> None:
    guest, other = await shop.guest(), await shop.guest()
    order = await shop.order(guest)
    await shop.server_dies(step, order)
    wanted = Order(other.token, str(uuid4()), order.body)
    taken = await wanted.send(shop.world.client)
    assert (taken.status_code, taken.json()["code"]) == (409, "slot_taken")  # the control: it was held

    await shop.time_passes(11 * MINUTE)
    await shop.work()
    await shop.settles_within_a_minute()
    assert await shop.stands(guest) == ("expired", CREDITS)
    free = await Order(other.token, str(uuid4()), order.body).send(shop.world.client)
    assert free.status_code == 201, free.text
    await shop.books_add_up()


# --- a request that staff have to agree to -----------------------------------------------------------------------------------


async def request(shop: Shop, guest: Person) -> Order:
    order = await shop.order(guest)
    return Order(order.token, order.key, order.body | {"purpose": "content"})


@pytest.mark.parametrize(
    ("step", "at_death", "settled"),
    [
        ("hold committed", CREDITS, ("cancelled", CREDITS)),
        ("setting aside written", CREDITS, ("cancelled", CREDITS)),
        ("setting aside committed", CREDITS - PRICE, ("pending_approval", CREDITS - PRICE)),
        ("what is set aside noted", CREDITS - PRICE, ("pending_approval", CREDITS - PRICE)),
    ],
)
async def test_a_server_that_dies_taking_a_request_leaves_it_whole_or_not_at_all(
    shop: Shop, step: str, at_death: int, settled: tuple[str, int]
) -> None:
    guest = await shop.guest()
    await shop.server_dies(step, await request(shop, guest))
    assert await shop.stands(guest) == ("pending_approval", at_death)
    await shop.settles_within_a_minute()
    assert await shop.stands(guest) == settled
    await shop.settles_within_a_minute()
    assert await shop.stands(guest) == settled
    await shop.books_add_up()


@pytest.mark.parametrize(
    ("step", "answer", "at_death", "settled"),
    [
        ("capture written", "approve", "pending_approval", ("pending_approval", CREDITS - PRICE)),
        ("capture committed", "approve", "pending_approval", ("upcoming", CREDITS - PRICE)),
        ("confirmation written", "approve", "pending_approval", ("upcoming", CREDITS - PRICE)),
        ("confirmation committed", "approve", "upcoming", ("upcoming", CREDITS - PRICE)),
        ("refusal written", "decline", "pending_approval", ("pending_approval", CREDITS - PRICE)),
        ("refusal committed", "decline", "declined", ("declined", CREDITS)),
        ("release committed", "decline", "declined", ("declined", CREDITS)),
        ("release noted", "decline", "declined", ("declined", CREDITS)),
    ],
)
async def test_a_server_that_dies_answering_a_request_takes_its_money_once_or_gives_it_back_once(
    shop: Shop, step: str, answer: str, at_death: str, settled: tuple[str, int]
) -> None:
    await is_answered(shop, step, answer, at_death, settled)


async def is_answered(shop: Shop, step: str, answer: str, at_death: str, settled: tuple[str, int]) -> None:
    guest = await shop.guest()
    asked = await (await request(shop, guest)).send(shop.world.client)
    assert asked.status_code == 201, asked.text
    path = f"/v1/orgs/{shop.club.id}/bookings/{asked.json()['id']}/{answer}"
    said = Order(shop.club.owner.token, str(uuid4()), {"reason": "no cameras"} if answer == "decline" else {}, path)
    await shop.server_dies(step, said)
    assert (await shop.stands(guest))[0] == at_death
    await shop.settles_within_a_minute()
    assert await shop.stands(guest) == settled
    if settled[0] == "pending_approval":  # nothing came of it: staff say it again
        again = await said.send(shop.world.client)
        assert again.status_code == 200, again.text
        assert await shop.stands(guest) == (("upcoming", CREDITS - PRICE) if answer == "approve" else ("declined", CREDITS))
    await shop.books_add_up()


# --- the worker dies -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", ["payment looked up", "confirmation written", "confirmation committed"])
async def test_a_worker_that_dies_while_it_confirms_leaves_it_to_the_next(shop: Shop, step: str) -> None:
    await is_left_to_the_next(shop, step)


async def is_left_to_the_next(shop: Shop, step: str) -> None:
    guest = await shop.guest()
    await shop.server_dies("charge committed", await shop.order(guest))
    await shop.work()  # the payment is heard of
    await shop.time_passes(MINUTE)
    await shop.worker_dies(step)
    confirmed = step == "confirmation committed"
    assert await shop.stands(guest) == ("upcoming" if confirmed else "payment_pending", CREDITS - PRICE)

    await shop.settles_within_a_minute()
    assert await shop.stands(guest) == ("upcoming", CREDITS - PRICE)
    await shop.books_add_up()


@pytest.mark.parametrize(
    ("step", "status", "credits"),
    [
        ("payment looked up", "payment_pending", CREDITS - PRICE),
        ("expiry written", "payment_pending", CREDITS - PRICE),
        ("expiry committed", "expired", CREDITS - PRICE),
        ("refund noted", "expired", CREDITS - PRICE),
        ("refund committed", "expired", CREDITS),
        ("refund's end written", "expired", CREDITS),
        ("refund's end committed", "expired", CREDITS),
    ],
)
async def test_a_worker_that_dies_while_money_goes_back_gives_it_back_once(
    shop: Shop, step: str, status: str, credits: int
) -> None:
    await is_given_back_once(shop, step, status, credits)


async def is_given_back_once(shop: Shop, step: str, status: str, credits: int) -> None:
    """The server died after the charge, nobody worked until the hold was over, and somebody else has the place by then."""
    guest, other = await shop.guest(), await shop.guest()
    order = await shop.order(guest)
    await shop.server_dies("charge committed", order)
    await shop.time_passes(11 * MINUTE)
    second = await Order(other.token, str(uuid4()), order.body).send(shop.world.client)
    assert second.status_code == 201, second.text

    await shop.worker_dies(step)
    assert await shop.stands(guest) == (status, credits)
    await shop.settles_within_a_minute()
    assert await shop.stands(guest) == ("expired", CREDITS)
    assert await shop.stands(other) == ("upcoming", CREDITS - PRICE)
    await shop.settles_within_a_minute()
    assert await shop.stands(guest) == ("expired", CREDITS)
    await shop.books_add_up()


async def test_money_that_comes_after_the_hold_was_over_goes_back(shop: Shop) -> None:
    """A server asked for the charge in time, the answer took longer than the hold, and then the server was gone."""
    guest = await shop.guest()
    await shop.server_dies("hold committed", await shop.order(guest))
    booking = (await guest.get("/v1/bookings")).json()["items"][0]
    await shop.time_passes(11 * MINUTE)
    await shop.work()
    await shop.settles_within_a_minute()
    assert await shop.stands(guest) == ("expired", CREDITS)

    late = Charge(
        payment_id=UUID(booking["id"]),
        organisation_id=UUID(shop.club.id),
        account_id=UUID(guest.id),
        amount=Money(PRICE, "GBP"),
        pay_with=PayWith.CREDITS,
    )
    await shop.house.board.call(Payments).charge(service_context("a server that is gone"), late)
    assert await shop.stands(guest) == ("expired", CREDITS - PRICE)
    await shop.settles_within_a_minute()
    assert await shop.stands(guest) == ("expired", CREDITS)
    await shop.settles_within_a_minute()
    assert await shop.stands(guest) == ("expired", CREDITS)
    await shop.books_add_up()


async def test_without_a_worker_nothing_settles_itself(shop: Shop) -> None:
    """The control: what the tests above see is the worker's doing."""
    guest = await shop.guest()
    await shop.server_dies("charge committed", await shop.order(guest))
    await shop.time_passes(11 * MINUTE)
    assert await shop.stands(guest) == ("payment_pending", CREDITS - PRICE)
    await shop.work()
    await shop.settles_within_a_minute()
    assert await shop.stands(guest) == ("upcoming", CREDITS - PRICE)
