"""A service that is killed in the middle of what somebody does only delays it: each in turn, in the middle of a write of its own.

Somebody new comes, books and pays, opens a room with a friend and says so there: every service writes something on that way.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from uuid import UUID, uuid4

import httpx
import pytest
from tests.journeys.books import Books
from tests.journeys.world import PASSWORD, Club, Person, World, at
from tests.topology.conftest import Entrance, SplitHouse

pytestmark = [pytest.mark.xdist_group("split"), pytest.mark.slow, pytest.mark.haproxy]

PATIENCE_S = 90
PRICE, CREDITS = 2_000, 10_000
TRY_AGAIN = {"502 no_answer", "503 unavailable", "504 deadline_exceeded", "409 idempotency_in_flight"}
"""What somebody who asks may be told while a service is away."""


class Patient:
    """Asks as a good client does: one key for one wish, sent until it is answered."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self.headers: dict[str, str] = {}
        self.refusals: Counter[str] = Counter()

    def of(self, person: Person) -> Patient:
        """The same, signed in."""
        self.headers = person.headers
        return self

    async def ask(self, path: str, body: dict[str, object]) -> httpx.Response:
        key = str(uuid4())
        while True:
            try:
                answer = await self._client.post(path, json=body, headers=self.headers | {"Idempotency-Key": key})
            except httpx.RemoteProtocolError:
                # On a connection that carried others before, HAProxy leaves it to clients what to make of a server that is gone.
                self.refusals["no answer"] += 1
            else:
                said = f"{answer.status_code} {answer.json()['code']}" if answer.status_code >= 400 else ""
                if said not in TRY_AGAIN:
                    assert not said, answer.text
                    return answer
                self.refusals[said] += 1
            await asyncio.sleep(0.1)


@dataclass(frozen=True)
class Way:
    """What came of it, as the guest was told."""

    guest: Person
    booking: str
    room: str
    message: str


async def way(world: World, asker: Patient, club: Club, friend: Person) -> Way:
    email = f"gil.{uuid4().hex}@example.org"
    made = (await asker.ask("/v1/auth/register", {"email": email, "password": PASSWORD, "name": "Gil"})).json()
    guest = Person(made["account"]["id"], email, made["access_token"], made["refresh_token"], world.client)
    await asker.of(guest).ask("/v1/auth/verify-email", {"email": email, "code": await world.code(email)})
    grant: dict[str, object] = {"account_id": guest.id, "amount": {"amount": CREDITS, "currency": "GBP"}, "reason": "a welcome"}
    await Patient(world.client).of(club.owner).ask(f"/v1/orgs/{club.id}/credits/grant", grant)
    wish: dict[str, object] = {"resource_id": club.courts[0], "start": at(3, 12), "duration_min": 60, "pay_with": "credits"}
    booking = (await asker.ask("/v1/bookings", wish)).json()
    room = (await asker.ask("/v1/rooms", {"kind": "group", "name": "Thursday", "member_ids": [friend.id]})).json()
    words: dict[str, object] = {"client_id": str(uuid4()), "text": "Booked, at noon"}
    message = (await asker.ask(f"/v1/rooms/{room['id']}/messages", words)).json()
    return Way(guest, booking["id"], room["id"], message["id"])


async def eventually(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not await holds():
            await asyncio.sleep(0.05)


async def once(books: Books, statement: str, *values: object) -> None:
    """It comes to be, and is there once."""
    await eventually(lambda: _some(books, statement, values))
    assert await books.number(statement, *values) == 1, statement


async def _some(books: Books, statement: str, values: tuple[object, ...]) -> bool:
    return await books.number(statement, *values) > 0


@pytest.mark.parametrize("table", ["identity.account", "booking.booking", "chat.message"])
async def test_a_service_that_is_killed_while_it_writes_delays_who_asked_and_nothing_is_lost_or_doubled(
    split_house: SplitHouse, server: Entrance, world: World, table: str
) -> None:
    books = Books(split_house.admin_url)
    (place,) = [i for i, group in enumerate(split_house.groups) if table.partition(".")[0] in group]
    struck, group = split_house.servers[place], split_house.groups[place]
    club, friend, asker = await world.club(), await world.person("Fay"), Patient(world.client)
    async with asyncio.TaskGroup() as going:
        try:
            async with books.held_up(table):
                journey = going.create_task(way(world, asker, club, friend))
                await eventually(lambda: _waits(books, table))
                struck.kill()
            # The control: without it nothing comes of the journey.
            await eventually(lambda: _refused(asker))
            assert not journey.done()
            await books.a_minute_goes_by()
        finally:
            if not struck.processes:
                await asyncio.to_thread(struck.start)
                await server.leads_to(group)
        await asyncio.wait_for(journey, PATIENCE_S)

    told = journey.result()
    guest = told.guest
    assert [b["id"] for b in (await guest.get("/v1/bookings")).json()["items"]] == [told.booking]
    assert (await guest.get(f"/v1/bookings/{told.booking}")).json()["status"] == "upcoming"
    assert await world.balance(club, guest) == CREDITS - PRICE
    proof = (await club.owner.get(f"/v1/orgs/{club.id}/ledger/proof")).json()["GBP"]
    assert (proof["sum"], proof["faults"]) == (0, []), proof
    for who in (guest, friend):
        assert [r["id"] for r in (await who.get("/v1/rooms")).json()["items"]] == [told.room]
        said = (await who.get(f"/v1/rooms/{told.room}/messages")).json()["items"]
        assert [(m["id"], m["text"]) for m in said] == [(told.message, "Booked, at noon")]
    # What the others heard of it, they heard once.
    await once(books, "select count(*) from identity.account where email = $1", guest.email)
    notice = "select count(*) from notifications.notice where account_id = $1 and kind = 'booking.confirmed'"
    await once(books, notice, UUID(guest.id))
    record = "select count(*) from audit.entry where organisation_id = $1 and name = 'booking.confirmed'"
    await once(books, record, UUID(club.id))
    subjects = [mail["subject"] for mail in await world.mail(guest.email, 2)]
    assert len(set(subjects)) == len(subjects), "a mail came twice"


async def _waits(books: Books, table: str) -> bool:
    return await books.waiting(table) > 0


async def _refused(asker: Patient) -> bool:
    return bool(asker.refusals)
