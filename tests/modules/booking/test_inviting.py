"""Asking again: who said no, or was taken off, and how often."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from forecourt.kernel.context import ANONYMOUS, Context, service_context
from forecourt.kernel.errors import Invalid, NotFound
from forecourt.modules.booking.contract import (
    AskedOften,
    BookingStatus,
    Cancel,
    InvalidTransition,
    InvitationDeclined,
    InviteeStatus,
    NewInvitee,
)
from forecourt.modules.identity.contract import EmailUnconfirmed

GIL = NewInvitee(email="gil@example.org")
VISITOR = Context(actor=ANONYMOUS)


async def link(world: Any, invitation_id: Any) -> str:
    """As the letter has it that goes out now."""
    house = service_context("tests", world.organisation_id)
    letter = await world.service.first_letter(house, invitation_id)
    assert letter is not None
    return letter.token


async def test_who_said_no_is_asked_again_by_the_link_they_have_and_not_as_often_as_one_likes(world: Any) -> None:
    host = await world.rich("Ada")
    booked = await world.book(host, team_size=2)
    made = await world.service.invite(host, booked.id, GIL)
    assert not made.may_ask_again, "who has not answered is asked already"
    first = await link(world, made.id)
    for _ in range(2):
        await world.service.decline_invitation(VISITOR, first)
        with pytest.raises(InvitationDeclined):
            await world.service.invite(host, booked.id, GIL)
        (declined,) = (await world.service.invitees(host, booked.id)).items
        assert declined.may_ask_again
        asked = await world.service.ask_again(host, booked.id, made.id)
        assert (asked.status, asked.answered_at) == (InviteeStatus.PENDING, None)
        assert await world.service.ask_again(host, booked.id, made.id) == asked, "once more is the same"
        assert await link(world, made.id) == first
    await world.service.decline_invitation(VISITOR, first)
    (declined,) = (await world.service.invitees(host, booked.id)).items
    assert not declined.may_ask_again
    for ask in (world.service.invite(host, booked.id, GIL), world.service.ask_again(host, booked.id, made.id)):
        with pytest.raises(AskedOften):
            await ask
    # Nor by taking them off and inviting them anew.
    await world.service.withdraw(host, booked.id, made.id)
    for ask in (world.service.invite(host, booked.id, GIL), world.service.ask_again(host, booked.id, made.id)):
        with pytest.raises(AskedOften):
            await ask
    assert (await world.service.invite(host, booked.id, NewInvitee(email="other@example.org"))).status is InviteeStatus.PENDING


async def test_the_house_asks_how_invitations_of_several_bookings_stand_and_nobody_else_does(world: Any) -> None:
    host = await world.rich("Ada")
    booked = [
        await world.book(host, team_size=2),
        await world.book(host, start=world.wish().start + timedelta(hours=3), team_size=2),
    ]
    first, second = [await world.service.invite(host, b.id, GIL) for b in booked]
    await world.service.decline_invitation(VISITOR, await link(world, second.id))
    house = service_context("tests", world.organisation_id)
    found = await world.service.invitations(house, [second.id, uuid4(), first.id])
    assert [(i.id, i.status) for i in found] == [(second.id, InviteeStatus.DECLINED), (first.id, InviteeStatus.PENDING)]
    assert found[1] == first
    assert await world.service.invitations(service_context("tests", uuid4()), [first.id]) == [], "another organisation's"
    with pytest.raises(NotFound):
        await world.service.invitations(host, [first.id])


async def test_who_was_taken_off_is_asked_by_a_new_link(world: Any) -> None:
    host = await world.rich("Ada")
    booked = await world.book(host, team_size=2)
    made = await world.service.invite(host, booked.id, GIL)
    before = await link(world, made.id)
    await world.service.withdraw(host, booked.id, made.id)
    assert (await world.service.ask_again(host, booked.id, made.id)).status is InviteeStatus.PENDING
    assert await link(world, made.id) != before
    with pytest.raises(NotFound):
        await world.service.invitation(VISITOR, before)


async def test_nobody_is_asked_again_without_a_place_a_booking_that_stands_or_a_right_to(world: Any) -> None:
    host, eve = await world.rich("Ada"), world.newcomer("Eve")
    booked = await world.book(host, team_size=2)
    made = await world.service.invite(host, booked.id, GIL)
    await world.service.decline_invitation(VISITOR, await link(world, made.id))
    for who, id in ((eve, made.id), (host, uuid4())):
        with pytest.raises(NotFound):
            await world.service.ask_again(who, booked.id, id)
    unconfirmed = msgspec.structs.replace(host, actor=msgspec.structs.replace(host.actor, confirmed=False))
    with pytest.raises(EmailUnconfirmed):
        await world.service.ask_again(unconfirmed, booked.id, made.id)
    await world.service.invite(host, booked.id, NewInvitee(email="other@example.org"))
    with pytest.raises(Invalid):
        await world.service.ask_again(host, booked.id, made.id)
    await world.service.cancel(host, booked.id, Cancel())
    with pytest.raises(InvalidTransition):
        await world.service.ask_again(host, booked.id, made.id)


async def on_record(world: Any, host: Context) -> list[bool]:
    """For each invitation that was told, in order, whether the host did it."""
    async with world.db.module("kernel").tx(service_context("tests")) as tx:
        rows = await tx.connection.fetch(
            "select account_id from kernel.event where organisation_id = $1 and name = 'booking.guest_invited' order by xid, id",
            world.organisation_id,
        )
    return [row["account_id"] == host.account_id for row in rows]


async def test_staff_ask_again_in_the_name_of_whose_booking_it_is_and_no_oftener_than_the_host(world: Any, words: Any) -> None:
    host, elsewhere = await world.rich("Ada"), msgspec.structs.replace(world.staff, organisation_id=uuid4())
    booked, other = await world.book(host, team_size=2), await world.book(host, team_size=2, start=words.TEN + words.HOUR * 3)
    made = await world.service.invite(host, booked.id, GIL)
    first = await link(world, made.id)
    await world.service.decline_invitation(VISITOR, first)
    for who, booking in ((elsewhere, booked.id), (world.staff, other.id)):
        with pytest.raises(NotFound):
            await world.service.ask_again(who, booking, made.id)
    assert (await world.service.ask_again(world.staff, booked.id, made.id)).status is InviteeStatus.PENDING
    assert (await world.service.invitation(VISITOR, first)).host == "Ada"
    await world.service.decline_invitation(VISITOR, first)
    await world.service.ask_again(host, booked.id, made.id)
    assert await on_record(world, host) == [True, False, True], "what staff do is on record as theirs"
    await world.service.decline_invitation(VISITOR, first)
    for who in (world.staff, host):
        with pytest.raises(AskedOften):
            await world.service.ask_again(who, booked.id, made.id)


async def test_staff_invite_in_the_name_of_whose_booking_it_is_once_it_stands(world: Any, words: Any) -> None:
    host = await world.rich("Ada")
    booked, held = await world.book(host, team_size=3), await world.hold(host, team_size=3, start=words.TEN + words.HOUR * 3)
    made = await world.service.invite(world.staff, booked.id, GIL)
    seen = await world.service.invitation(VISITOR, await link(world, made.id))
    assert seen.host == "Ada"
    assert held.status is BookingStatus.PAYMENT_PENDING
    with pytest.raises(InvalidTransition):
        await world.service.invite(world.staff, held.id, GIL)
    assert (await world.service.invite(host, held.id, GIL)).status is InviteeStatus.PENDING
    assert await on_record(world, host) == [False], "what staff do is on record as theirs"
