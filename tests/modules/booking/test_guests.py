"""A person's bookings are looked for where they have any: that is noted with the first of them, and takes no message more."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from msgspec.structs import replace

from forecourt.kernel.context import Context, service_context
from forecourt.kernel.db import Database
from forecourt.kernel.errors import NotFound
from forecourt.kernel.ids import new_id
from forecourt.layout import ROOT
from forecourt.modules.booking.contract import SlotTaken, StaffBooking
from forecourt.modules.booking.service import BookingService
from forecourt.modules.booking.service.books import Books
from forecourt.modules.booking.service.reading import BookingsQuery

MADE_BY_HAND = """
insert into booking.booking
    (organisation_id, id, venue_id, resource_id, account_id, status, starts_at, ends_at, timezone, purpose, team_size, currency,
     list_minor, price_minor, lines, tax, claimed, claim_starts_at, claim_ends_at, created_at, updated_at)
values ($1, $2, $3, $3, $4, 'completed', now(), now() + interval '1 hour', 'UTC', 'workout', 1, 'GBP', 0, 0, '[]', '[]',
        array[$3::uuid], now(), now() + interval '1 hour', now(), now())
"""


async def noted(world: Any, account_id: UUID | None) -> list[UUID]:
    """The organisations at which a person is known as a guest."""
    about = service_context("tests") if account_id is None else world.as_person(account_id)
    async with world.db.module("booking").read(about) as tx:
        rows = await tx.connection.fetch("select g.organisation_id from booking.guest g where g.account_id = $1", account_id)
    return [r[0] for r in rows]


async def elsewhere(world: Any) -> Any:
    """Another organisation, with the same people."""
    other = await type(world)(world.db, world.clock).build()
    other.people.cards.update(world.people.cards)
    return other


def ids(page: Any) -> list[UUID]:
    return [item.id for item in page.items]


async def test_the_first_booking_says_where_its_person_has_any_and_later_ones_say_no_more(world: Any) -> None:
    guest = await world.rich()
    assert await noted(world, guest.account_id) == []
    first = await world.book(guest)
    assert await noted(world, guest.account_id) == [world.organisation_id]
    later = await world.book(guest, start=first.start + timedelta(hours=2))
    assert await noted(world, guest.account_id) == [world.organisation_id]
    assert sorted(ids(await world.service.my_bookings(guest, BookingsQuery()))) == sorted([first.id, later.id])


async def test_who_did_not_get_the_place_is_noted_nowhere(world: Any) -> None:
    await world.book(await world.rich())
    late = await world.rich("Late")
    with pytest.raises(SlotTaken):
        await world.book(late)
    assert await noted(world, late.account_id) == []
    await world.book(late, resource_id=world.other_court.id)  # and is not taken for noted by the process either
    assert await noted(world, late.account_id) == [world.organisation_id]


async def test_what_staff_book_is_found_by_the_one_it_is_for(world: Any) -> None:
    staff, guest = world.staff, world.newcomer()
    start = world.wish().start
    made = await world.service.book_for(staff, StaffBooking(world.court.id, start, 60, account_id=guest.account_id))
    await world.service.book_for(staff, StaffBooking(world.other_court.id, start, 60, name="Somebody who walked in"))
    assert (await world.another_process().booking(guest, made.id)).id == made.id
    assert await noted(world, guest.account_id) == [world.organisation_id]
    assert await noted(world, staff.account_id) == []


async def test_a_process_that_knows_some_organisations_of_a_person_finds_what_another_made_elsewhere(world: Any) -> None:
    other = await elsewhere(world)
    guest = await world.rich()
    here, reader = await world.hold(guest), world.another_process()
    assert ids(await reader.my_bookings(guest, BookingsQuery())) == [here.id]
    there, later = await other.hold(guest), await other.hold(guest, resource_id=other.other_court.id)
    assert (await reader.booking(guest, there.id)).organisation_id == other.organisation_id
    assert (await reader.booking(guest, here.id)).organisation_id == world.organisation_id
    assert set(ids(await reader.my_bookings(guest, BookingsQuery()))) == {here.id, there.id, later.id}
    assert [b.id for b in await reader.bookings(guest, [later.id, new_id(), here.id])] == [later.id, here.id]


async def test_to_know_an_organisation_shows_nobody_elses_bookings_there(world: Any) -> None:
    guest, friend = await world.rich(), await world.rich("Friend")
    theirs = await world.hold(guest)
    await world.hold(friend, resource_id=world.other_court.id)
    with pytest.raises(NotFound):
        await world.service.booking(friend, theirs.id)
    assert await world.service.bookings(friend, [theirs.id]) == []
    assert (await world.service.booking(guest, theirs.id)).id == theirs.id  # the control
    async with world.db.module("booking").read(friend) as tx:
        rows = await tx.connection.fetch("select g.account_id from booking.guest g")
    assert [r[0] for r in rows] == [friend.account_id]


async def test_a_retry_finds_the_booking_that_the_first_attempt_made(world: Any) -> None:
    guest = replace(world.newcomer(), idempotency_id=new_id())
    first = await world.hold(guest)
    again = await world.another_process().book(guest, world.wish())
    assert again.id == first.id
    with pytest.raises(SlotTaken):
        await world.hold(replace(world.newcomer(), idempotency_id=new_id()))  # the control: somebody else's key finds nothing


# --- bookings that the program did not make: the release before this one, bulk


async def by_hand(world: Any, guest: Context, said: str) -> UUID:
    booking_id = new_id()
    async with world.db.module("booking").tx(service_context("tests", world.organisation_id)) as tx:
        await tx.connection.execute(f"set local forecourt.noted = '{said}'")
        await tx.connection.execute(MADE_BY_HAND, world.organisation_id, booking_id, world.venue_id, guest.account_id)
    return booking_id


async def test_a_booking_of_a_program_that_does_not_know_of_guests_is_found(world: Any) -> None:
    guest = world.newcomer()
    made = await by_hand(world, guest, "")
    assert await noted(world, guest.account_id) == [world.organisation_id]
    assert (await world.service.booking(guest, made)).id == made


async def test_only_whoever_says_that_they_note_this_person_is_left_to_it(world: Any) -> None:
    """The control of all above: what the program notes is not the trigger's doing."""
    guest, other = world.newcomer(), world.newcomer("Other")
    await by_hand(world, guest, str(guest.account_id))
    assert await noted(world, guest.account_id) == []
    await by_hand(world, other, str(guest.account_id))
    assert await noted(world, other.account_id) == [world.organisation_id]


async def test_bookings_from_before_are_filled_in(world: Any, admin_url: str) -> None:
    guest = world.newcomer()
    made = await by_hand(world, guest, str(guest.account_id))
    with pytest.raises(NotFound):
        await world.service.booking(guest, made)
    fill = (ROOT / "modules" / "booking" / "migrations" / "0007_fill_guests.sql").read_text()
    connection = await asyncpg.connect(admin_url)
    try:
        async with connection.transaction():
            await connection.execute(fill)
        async with connection.transaction():
            await connection.execute("set local role fc_booking")
            with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
                await connection.execute(fill)  # whoever sees a part of the rows fills in nothing
    finally:
        await connection.close()
    assert (await world.service.booking(guest, made)).id == made


# --- what it costs


@contextmanager
def counted(connection: Any) -> Generator[list[str]]:
    """The messages that go to the database meanwhile."""
    said: list[str] = []

    def hear(record: Any) -> None:
        said.append(record.query)

    connection.add_query_logger(hear)
    try:
        yield said
    finally:
        connection.remove_query_logger(hear)


@asynccontextmanager
async def on_one_connection(database_url: str, make_world: Callable[[Database], Any]) -> AsyncGenerator[tuple[Any, Any]]:
    """A world whose every message goes over one connection."""
    database = await Database.connect(database_url, None, 1, "forecourt tests")
    try:
        connection = await database.primary.acquire()
        await database.primary.release(connection)
        yield await make_world(database), connection
    finally:
        await database.close()


async def test_no_booking_takes_a_message_more_and_reading_takes_one_until_the_person_is_known(
    database_url: str, make_world: Callable[[Database], Any]
) -> None:
    async with on_one_connection(database_url, make_world) as (world, connection):
        world.service.books = Books(world.venues, monotonic=lambda: 0.0)  # kept from the next booking on, and never old
        guest = await world.rich()
        await world.hold(await world.rich("First"), start=world.wish().start + timedelta(days=1))
        messages: dict[str, list[str]] = {}

        async def count(what: str, doing: Any) -> Any:
            with counted(connection) as said:
                done = await doing
            messages[what] = said
            return done

        first = await count("the first booking", world.book(guest))
        await count("the next", world.book(guest, start=first.start + timedelta(hours=2)))
        await count("one", world.service.booking(guest, first.id))
        reader: BookingService = world.another_process()
        await count("one, unknown", reader.booking(guest, first.id))
        await count("one, known", reader.booking(guest, first.id))
        await count("list", reader.my_bookings(guest, BookingsQuery()))
    assert {what: len(said) for what, said in messages.items()} == {
        "the first booking": 9,
        "the next": 9,
        "one": 3,
        "one, unknown": 4,
        "one, known": 3,
        "list": 4,
    }
    assert "insert into booking.guest" in messages["the first booking"][0]
    assert not any("insert into booking.guest" in said for said in messages["the next"])
    assert not any("insert into payments.customer" in said for said in messages["the next"])
