"""Mails to who is invited by address alone: each is sent once, and what is refused for good is over."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, cast
from uuid import UUID, uuid4

import pytest
from tests.conftest import FreshDatabase
from tests.modules.notifications.test_sending import Provider
from tests.modules.notifications.test_telling import NOON, ORG, VENUE, house

from forecourt.kernel.clock import FixedClock
from forecourt.kernel.context import Context, service_context
from forecourt.kernel.db import Database
from forecourt.kernel.egress import Egress
from forecourt.kernel.errors import Unavailable
from forecourt.kernel.money import Money
from forecourt.modules.booking.contract import Addressee, BookingOut, BookingStatus, Purpose
from forecourt.modules.identity.contract import AccountCard, AccountStatus
from forecourt.modules.notifications.channels import Message, Refused
from forecourt.modules.notifications.channels.webpush import Vapid, WebPush
from forecourt.modules.notifications.contract import Channel, DeliveryStatus
from forecourt.modules.notifications.jobs import WriteTo
from forecourt.modules.notifications.queries import choices, queue
from forecourt.modules.notifications.queries.choices import TemplateRow
from forecourt.modules.notifications.rules import INVITED, INVITED_BY_ADDRESS
from forecourt.modules.notifications.sealing import Links, Vault
from forecourt.modules.notifications.service.addresses import Addresses
from forecourt.modules.notifications.service.carriers import Carriers
from forecourt.modules.notifications.service.house import shown_delivery
from forecourt.modules.notifications.service.telling import Sources, Telling
from forecourt.modules.people.contract import Preferences
from forecourt.modules.venues.contract import Organisation, VenueBook

SECRET, URL = b"s" * 32, "https://book.example.org"


@dataclass
class World:
    """A walk-in's booking, to which Gus is invited: what notifications asks booking, people and venues for."""

    booking_id: UUID
    host: UUID | None = None

    async def first_letter(self, ctx: Context, invitation_id: UUID) -> Addressee | None:
        return Addressee(email="gus@example.org", account_id=None, token="t" * 86, invited_by=self.host)

    async def bookings(self, ctx: Context, ids: list[UUID]) -> list[BookingOut]:
        free, start = Money(0, "GBP"), NOON + timedelta(days=1)
        return [
            BookingOut(
                id=self.booking_id, organisation_id=ORG, venue_id=VENUE, resource_id=uuid4(), account_id=None,
                status=BookingStatus.UPCOMING, start=start, end=start + timedelta(hours=1), local_start=start,
                purpose=Purpose.WORKOUT, team_size=4, price=free, paid=free, version=1,
            )
        ]  # fmt: skip

    async def cards(self, ctx: Context, ids: list[UUID]) -> list[AccountCard]:
        return [AccountCard(id, "Hina Malik", "hina@example.org", AccountStatus.ACTIVE) for id in ids]

    async def preferences(self, ctx: Context, ids: list[UUID]) -> list[Preferences]:
        return [Preferences() for _ in ids]

    async def books(self, ctx: Context, ids: list[UUID]) -> list[VenueBook]:
        return [house()]

    async def organisation(self, ctx: Context, id: UUID) -> Organisation:
        return house().organisation


class Desk:
    """Who writes to addresses, by providers that the test holds in its hand."""

    def __init__(self, db: Database, *providers: Provider) -> None:
        self.db, clock, egress, links = db.module("notifications"), FixedClock(NOON), Egress(), Links(SECRET)
        self.wish = WriteTo(uuid4(), ORG, INVITED, uuid4(), {}, uuid4())
        self.ctx = service_context("test", ORG)
        self.world = World(self.wish.booking_id)
        ask = Sources(*[cast("Any", self.world)] * 5)
        push = WebPush(Vapid(SECRET, "mailto:a@example.org"), egress, clock)
        carriers = Carriers(Vault(SECRET), egress, clock, "f@example.org", {Channel.EMAIL: providers}, push)
        telling = Telling(self.db, clock, ask, cast("Any", None), links, URL)
        self.addresses = Addresses(self.db, clock, ask, telling, carriers, links, URL)

    async def write(self) -> None:
        await self.addresses.write(self.wish)

    async def log(self) -> list[tuple[DeliveryStatus, str, str]]:
        async with self.db.tx(self.ctx) as tx:
            return [(d.status, d.provider, d.error) for d in await queue.log(tx, ORG, None, Channel.EMAIL, None, 10)]


async def test_a_mail_to_an_address_is_sent_once_however_often_its_job_runs(fresh_database: FreshDatabase) -> None:
    one = Provider()
    desk = Desk(await fresh_database.connect(), one)
    one.down = True
    with pytest.raises(Unavailable):
        await desk.write()
    assert await desk.log() == [], "it was not sent, and is tried again"
    one.down = False
    for _ in range(2):  # a worker may die before it is noted that its job is done
        await desk.write()
    assert len(one.taken) == 1
    assert await desk.log() == [(DeliveryStatus.SENT, "one", "")]
    desk.wish = WriteTo(uuid4(), ORG, INVITED, desk.wish.booking_id, {}, desk.wish.invitation_id)
    await desk.write()
    assert len(one.taken) == 2, "the control: asked once more is another mail"


async def test_an_address_that_is_refused_for_good_is_over_and_told_of(fresh_database: FreshDatabase) -> None:
    one, two = Provider("one", refuses=True), Provider("two", down=True)
    desk = Desk(await fresh_database.connect(), one, two)
    with pytest.raises(Unavailable):
        await desk.write()
    two.down, two.refuses = False, True
    for _ in range(2):
        await desk.write()  # who mistypes an address leaves no job that fails and fails
    assert (one.asked, two.asked) == (2, 2)
    assert await desk.log() == [(DeliveryStatus.FAILED, "two", "no such address")]
    two.refuses, desk.wish = False, WriteTo(uuid4(), ORG, INVITED, desk.wish.booking_id, {}, uuid4())
    await desk.write()
    assert (DeliveryStatus.SENT, "two", "") in await desk.log(), "the control: what one refuses another may take"


async def test_a_mail_whose_words_are_not_kept_is_not_sent_again_without_them(fresh_database: FreshDatabase) -> None:
    desk = Desk(await fresh_database.connect(), Provider())
    await desk.write()
    async with desk.db.tx(desk.ctx) as tx:
        (sent,) = await queue.log(tx, ORG, None, Channel.EMAIL, None, 10)
        await queue.say(tx, ORG, sent.id, DeliveryStatus.FAILED, NOON, "it came back")
        assert not await queue.revive(tx, ORG, sent.id, NOON)
        whole = 'update notifications.delivery set content = content || \'{"text": "You are invited."}\''
        await tx.connection.execute(whole)
        assert await queue.revive(tx, ORG, sent.id, NOON), "the control: one that has its words"


class Babbling(Provider):
    """One that repeats the address in what it says of it."""

    said = ""

    async def carry(self, message: Message) -> None:
        self.said = message.content.subject
        raise Refused(f"550 <{message.recipient.upper()}> is unknown here")


async def test_the_log_of_a_mail_to_an_address_has_neither_the_address_nor_who_invites(fresh_database: FreshDatabase) -> None:
    """When either of the two erases an account, nobody could find it by them."""
    desk = Desk(await fresh_database.connect(), babbling := Babbling())
    desk.world.host = uuid4()
    named = TemplateRow(
        uuid4(),
        INVITED_BY_ADDRESS,
        Channel.EMAIL,
        "en",
        True,
        1,
        "{{ host }} asks {{ person }} to {{ place }}",
        "Come.",
        None,
        NOON,
    )
    async with desk.db.tx(desk.ctx) as tx:
        await choices.add_template(tx, ORG, named, None)
    await desk.write()
    assert babbling.said == "Hina Malik asks gus@example.org to Club", "the control: the mail itself says it"
    async with desk.db.tx(desk.ctx) as tx:
        (sent,) = await queue.log(tx, ORG, None, Channel.EMAIL, None, 10)
        (tried,) = await queue.attempts(tx, ORG, sent.id)
    assert (sent.recipient, sent.content.subject) == ("gu…@example.org", "Club asks gu…@example.org to Club")
    assert sent.error == tried.error == "550 <gu…@example.org> is unknown here"
    assert shown_delivery(sent).recipient == sent.recipient
