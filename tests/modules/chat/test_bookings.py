"""The room of a booking follows its party, whatever comes first and however often."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest
from tests.modules.chat.conftest import Town, id_of

from forecourt.kernel.context import Context, service_context
from forecourt.kernel.db import Database
from forecourt.kernel.errors import NotFound
from forecourt.modules.booking.contract import BookingStatus
from forecourt.modules.chat.contract import FixedMembership, RoomArchived, RoomRole
from forecourt.modules.chat.service.keeping import room_of_booking
from forecourt.modules.chat.service.membership import NewMembers


async def seat(town: Town, booking: object, organisation: object) -> None:
    await town.chat.seat_party(service_context("chat.seat_party", organisation), booking)  # type: ignore[arg-type]


async def test_a_party_has_its_room_and_who_leaves_the_party_leaves_the_room(town: Town) -> None:
    organisation = uuid4()
    booking = town.books.put(organisation, town.ada, town.ben, town.cleo)
    for _ in range(2):
        await seat(town, booking, organisation)
    room = room_of_booking(booking)
    seen = await town.chat.look(town.ben, room)
    assert seen.name == "Court 3, 03 Dec 18:00"
    assert {m.account_id: m.role for m in seen.members} == {
        id_of(town.ada): RoomRole.OWNER,
        id_of(town.ben): RoomRole.MEMBER,
        id_of(town.cleo): RoomRole.MEMBER,
    }
    with pytest.raises(FixedMembership):
        await town.chat.add(town.ada, room, NewMembers([id_of(town.dan)]))
    await town.say(town.cleo, room, "I cannot come")
    town.books.parties[booking].remove(id_of(town.cleo))
    await seat(town, booking, organisation)
    with pytest.raises(NotFound):
        await town.chat.look(town.cleo, room)
    assert (f"room:{room}", id_of(town.cleo)) in town.wire.revoked
    assert (await town.chat.look(town.ben, room)).member_count == 2


async def test_a_cancelled_booking_s_room_can_be_read_only(town: Town) -> None:
    organisation = uuid4()
    booking = town.books.put(organisation, town.ada, town.ben)
    await seat(town, booking, organisation)
    room = room_of_booking(booking)
    await town.say(town.ada, room, "Rain")
    town.books.become(booking, BookingStatus.CANCELLED)
    await seat(town, booking, organisation)
    with pytest.raises(RoomArchived):
        await town.say(town.ben, room, "Pity")
    assert (await town.chat.look(town.ben, room)).archived


async def test_who_looked_before_the_booking_was_cancelled_and_writes_afterwards_does_not_bring_the_room_back(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    organisation = uuid4()
    booking = town.books.put(organisation, town.ada, town.ben)
    book, meanwhile = town.books.book, [True]

    async def slowly(ctx: Context, venue_id: UUID) -> Any:
        """Between the look at the booking and what is written of it."""
        if meanwhile and meanwhile.pop():
            town.books.become(booking, BookingStatus.CANCELLED)
            await seat(town, booking, organisation)
        return await book(ctx, venue_id)

    await seat(town, booking, organisation)
    monkeypatch.setattr(town.books, "book", slowly)
    await seat(town, booking, organisation)
    assert not meanwhile, "or nothing came between"
    assert (await town.chat.look(town.ben, room_of_booking(booking))).archived


async def test_each_change_of_a_booking_has_a_job_of_its_own(town: Town, db: Database) -> None:
    """One that runs may have looked already: a change that found it running would be lost."""
    booking = uuid4()
    for _ in range(2):
        async with db.module("chat").tx(service_context("tests", uuid4())) as tx:
            town.chat.seat_later(tx, booking)
    async with db.module("kernel").read(service_context("tests")) as tx:
        sql = "select count(*) from kernel.job where convert_from(payload, 'utf8') like $1"
        found = await tx.connection.fetchval(sql, f"%{booking}%")
    assert found == 2


async def test_a_booking_of_one_has_no_room(town: Town) -> None:
    organisation = uuid4()
    booking = town.books.put(organisation, town.ada)
    await seat(town, booking, organisation)
    await seat(town, uuid4(), organisation)
    with pytest.raises(NotFound):
        await town.chat.look(town.ada, room_of_booking(booking))
