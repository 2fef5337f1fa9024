"""What a notice becomes: one telling for one key, and reminders that are true when they arrive."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID, uuid4

import msgspec
import pytest
from tests.conftest import FreshDatabase

from forecourt.kernel.clock import FixedClock
from forecourt.kernel.context import Actor, Context, service_context
from forecourt.kernel.db import ModuleDatabase, Tx
from forecourt.kernel.events import Envelope, Event
from forecourt.kernel.ids import new_id
from forecourt.kernel.money import Money
from forecourt.modules.booking.contract import (
    BookingActor,
    BookingCancelled,
    BookingConfirmed,
    BookingDeclined,
    BookingOut,
    BookingRescheduled,
    BookingStatus,
    InvitationAnswered,
    Invitee,
    InviteeStatus,
    Party,
    Purpose,
)
from forecourt.modules.chat.contract import MessagePreview, RoomKind, RoomSubject
from forecourt.modules.identity.contract import AccountCard, AccountStatus
from forecourt.modules.notifications.contract import NOBODYS, Channel, DeliveryStatus, Digest, Topic
from forecourt.modules.notifications.jobs import TELL_PARTY, TellParty
from forecourt.modules.notifications.queries import inbox, queue
from forecourt.modules.notifications.queries.inbox import DigestItem
from forecourt.modules.notifications.queries.queue import Content, Delivery, NewNotice, Notice
from forecourt.modules.notifications.reactions import Reactions
from forecourt.modules.notifications.rules import ANSWER_PAUSE, KINDS, NOISE, REMINDERS, TOMORROW
from forecourt.modules.notifications.sealing import Links
from forecourt.modules.notifications.service import telling
from forecourt.modules.notifications.service.inbox import InboxService
from forecourt.modules.notifications.service.telling import Answer, Plan, Reader, Said, Scene, Sources, Telling
from forecourt.modules.payments.contract import PaymentRefunded
from forecourt.modules.people.contract import Preferences, QuietHours
from forecourt.modules.venues.contract import (
    Location,
    OpeningHours,
    Organisation,
    OrganisationKind,
    OrganisationStatus,
    Per,
    Policies,
    PriceRule,
    Venue,
    VenueBook,
)

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
ADA, BEN, ORG, VENUE = uuid4(), uuid4(), uuid4(), uuid4()
LEASE = timedelta(minutes=3)
HERSELF = Actor(account_id=ADA)

# --- reminders and quiet hours -------------------------------------------------------------------------------------------


def house() -> VenueBook:
    organisation = Organisation(
        id=ORG, name="Club", kind=OrganisationKind.CLUB, country="PK", currency="GBP", timezone="Asia/Karachi", locale="en",
        slug="club", status=OrganisationStatus.ACTIVE, created_at=NOON, version=1,
    )  # fmt: skip
    venue = Venue(
        id=VENUE, organisation_id=ORG, name="Club", slug="club", address="1 Quay", location=Location(24.8, 67.0),
        timezone="Asia/Karachi", opening_hours=OpeningHours(*[[("00:00", "24:00")]] * 7), version=1,
    )  # fmt: skip
    rules = [PriceRule(Per.HOUR, Money(2000, "GBP"))]
    return VenueBook(version=1, organisation=organisation, policies=Policies(), venue=venue, resources=[], rules=rules)


def karachi(day: int, hour: int) -> datetime:
    """Five hours before UTC, all year."""
    return datetime(2026, 11, day, hour, tzinfo=UTC) - timedelta(hours=5)


def told(
    kind: str,
    start: datetime,
    now: datetime,
    *,
    quiet: bool,
    status: BookingStatus = BookingStatus.UPCOMING,
    policies: Policies | None = None,
) -> Plan:
    """What becomes of a reminder of a booking at `start`, told at `now`, for who is not to be disturbed from 22 to 7."""
    free, book = Money(0, "GBP"), msgspec.structs.replace(house(), policies=policies or Policies())
    booking = BookingOut(
        id=uuid4(), organisation_id=ORG, venue_id=VENUE, resource_id=uuid4(), account_id=ADA, status=status,
        start=start, end=start + timedelta(hours=1), local_start=start, purpose=Purpose.WORKOUT, team_size=4, price=free,
        paid=free, version=1,
    )  # fmt: skip
    prefers = Preferences(timezone="Asia/Karachi", quiet_hours=QuietHours("22:00", "07:00") if quiet else None)
    channels = {Topic.REMINDERS: frozenset({Channel.IN_APP, Channel.EMAIL, Channel.SMS})}
    card = AccountCard(ADA, "Ada", "ada@example.org", AccountStatus.ACTIVE)
    reader = Reader(card, prefers, channels, Digest.OFF, [], "+447700900123", None)
    scene = Scene(book.organisation, {VENUE: book}, {booking.id: booking}, {ADA: reader}, {}, {})
    notice = Notice(ORG, new_id(), ADA, kind, "key", booking.id, {"start": start.isoformat()})
    return planner(now)(scene, notice)


def planner(now: datetime) -> Callable[[Scene, Notice], Plan]:
    nobody = cast("ModuleDatabase", None)  # deciding asks nobody
    telling = Telling(
        nobody, FixedClock(now), cast("Sources", None), cast("InboxService", None), Links(b"s" * 32), "https://b.example.org"
    )
    return telling._plan  # pyright: ignore[reportPrivateUsage]


def leaves(plan: Plan) -> dict[Channel, datetime]:
    return {d.channel: plan.due[d.id] for d in plan.deliveries if d.channel is not Channel.IN_APP}


@pytest.mark.parametrize("hour", [6, 8])
def test_in_two_hours_is_said_at_once_or_not_at_all(hour: int) -> None:
    """At seven, when the quiet is over, a booking at six has begun, and one at eight is an hour away."""
    start = karachi(25, hour)
    now = start - timedelta(hours=2)
    assert leaves(told("booking.in_2_hours", start, now, quiet=True)) == {}
    assert told("booking.in_2_hours", start, now, quiet=True).entry is not None, "the inbox disturbs nobody"
    assert leaves(told("booking.in_2_hours", start, now, quiet=False)) == {Channel.SMS: now}


def test_tomorrow_is_not_said_on_the_day_itself() -> None:
    late = karachi(25, 23)
    assert leaves(told("booking.in_24_hours", late, karachi(24, 23), quiet=True)) == {}
    assert set(leaves(told("booking.in_24_hours", late, karachi(24, 23), quiet=False))) == {Channel.EMAIL, Channel.SMS}
    early = karachi(25, 6)
    waits = told("booking.in_24_hours", early, karachi(24, 6), quiet=True)
    assert leaves(waits) == {Channel.EMAIL: karachi(24, 7), Channel.SMS: karachi(24, 7)}, "it waits, and is still true"


def test_guests_are_asked_for_quiet_where_and_when_the_house_says() -> None:
    def asked(hour: int, policies: Policies) -> bool:
        start = karachi(25, hour)
        return told("booking.noise_warning", start, start - timedelta(minutes=30), quiet=False, policies=policies).says_something

    night = Policies(noise_warning_venue_ids=[VENUE], quiet_hours=("22:00", "07:00"))
    assert [asked(hour, night) for hour in (6, 7, 20, 21, 22)] == [True, False, False, False, True]
    assert asked(12, Policies(noise_warning_venue_ids=[VENUE])), "always, where the house names no hours"
    assert not asked(22, Policies(quiet_hours=("22:00", "07:00"))), "only at venues that it names"
    start = karachi(25, 23)
    assert not told("booking.noise_warning", start, start, quiet=False, policies=night).says_something, "too late"


def test_a_reminder_that_comes_after_the_beginning_says_nothing() -> None:
    """A house that was away told nobody in time."""
    start = karachi(25, 12)
    for kind in ("booking.in_24_hours", "booking.in_2_hours"):
        late, in_time = told(kind, start, start, quiet=False), told(kind, start, karachi(24, 12), quiet=False)
        assert not late.says_something
        assert in_time.says_something


# --- the room a message was said in --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("language", "subject", "room"),
    [
        ("en", True, "Court 3, 25 Nov, 18:00"),
        ("ur", True, "\u200f\u2068Court 3\u2069، 25 نومبر، 18:00"),
        ("ur", False, "Sara's birthday"),
    ],
)
def test_the_room_of_a_booking_is_called_in_the_language_of_who_is_told(language: str, subject: bool, room: str) -> None:
    after = RoomSubject("Court 3", karachi(25, 18), "Asia/Karachi") if subject else None
    name = "Court 3, 25 Nov 18:00" if subject else "Sara's birthday"
    preview = MessagePreview(
        room_id=uuid4(), room_kind=RoomKind.BOOKING, room_name=name, sender_id=BEN, excerpt="Rain", attachments=0,
        room_subject=after,
    )  # fmt: skip
    reader = Reader(
        AccountCard(ADA, "Ada", "ada@example.org", AccountStatus.ACTIVE), Preferences(timezone="Europe/Lisbon", locale=language),
        {Topic.MENTIONS: frozenset({Channel.IN_APP, Channel.EMAIL})}, Digest.OFF, [], None, None,
    )  # fmt: skip
    notice = Notice(ORG, new_id(), ADA, "chat.mention", "key", preview.room_id, {"seq": 1})
    plan = planner(NOON)(Scene(None, {}, {}, {ADA: reader}, {}, {notice.id: Said("Ben", preview)}), notice)
    mail = next(d for d in plan.deliveries if d.channel is Channel.EMAIL)
    assert room in mail.content.text
    assert plan.entry is not None
    assert room in plan.entry.title + plan.entry.body


# --- the party -----------------------------------------------------------------------------------------------------------


class Booking:
    """Ada's booking, to which Ben is invited: what notifications asks booking for."""

    async def party(self, ctx: Context, booking_id: UUID) -> Party:
        return Party([ADA, BEN], [])


async def test_a_party_hears_of_changes_when_it_heard_of_the_invitation_and_its_owner_hears_otherwise(
    fresh_database: FreshDatabase,
) -> None:
    db, booking = (await fresh_database.connect()).module("notifications"), uuid4()
    ask = Sources(*[cast("Any", Booking())] * 5)
    telling = Telling(db, FixedClock(NOON), ask, cast("InboxService", None), Links(b"s" * 32), "https://b.example.org")

    async def told(kind: str) -> list[tuple[UUID, str]]:
        event, ctx = uuid4(), service_context("test", ORG)
        for _ in range(2):  # a job may run twice
            await telling.tell_party(TellParty(event, ORG, kind, booking, {}, ADA))
        async with db.tx(ctx) as tx:
            rows = await tx.connection.fetch("select account_id, kind from notifications.notice order by id")
        return sorted((row["account_id"], row["kind"]) for row in rows)

    assert await told("booking.cancelled") == []
    assert await told("booking.invited") == [(BEN, "booking.invited")]
    assert await told("booking.moved") == [(BEN, "booking.invited"), (BEN, "booking.moved")]


# --- what guests answer --------------------------------------------------------------------------------------------------


class Guests:
    """Who is invited to Ada's booking, and how each stands: what notifications asks booking and people for."""

    def __init__(self) -> None:
        self.stands: dict[UUID, Invitee] = {}
        self.asked: list[int] = []
        """Of how many invitations at once."""

    def say(self, id: UUID, status: InviteeStatus, account_id: UUID | None = None) -> None:
        email = "gus@example.org" if account_id is None else None
        self.stands[id] = Invitee(id=id, status=status, email=email, account_id=account_id, invited_at=NOON)

    async def invitations(self, ctx: Context, invitation_ids: list[UUID]) -> list[Invitee]:
        self.asked.append(len(invitation_ids))
        return [self.stands[id] for id in invitation_ids]

    async def cards(self, ctx: Context, ids: list[UUID]) -> list[AccountCard]:
        return [AccountCard(BEN, "Ben Okafor", "ben@example.org", AccountStatus.ACTIVE)] if BEN in ids else []


class Host:
    """Ada, whose guests answer: from the event to what she is told."""

    def __init__(self, db: ModuleDatabase) -> None:
        self.shelf, self.guests, self.clock, self.booking = Shelf(db), Guests(), FixedClock(NOON), uuid4()
        ask = Sources(*[cast("Any", self.guests)] * 5)
        self.telling = Telling(db, self.clock, ask, cast("InboxService", None), Links(b"s" * 32), "https://b.example.org")

    async def answered(self, id: UUID, status: InviteeStatus, was: InviteeStatus | None, host: UUID | None = ADA) -> None:
        event = InvitationAnswered(
            organisation_id=ORG, venue_id=VENUE, booking_id=self.booking, invitation_id=id, account_id=None, status=status,
            was=was, host_id=host,
        )  # fmt: skip
        self.guests.say(id, status)
        envelope = Envelope(new_id(), self.clock.now(), "x", 1, ORG, Actor(), "", "", event)
        async with self.shelf.db.tx(self.shelf.ctx) as tx:
            for _ in range(2):  # an event may be taken twice
                await Reactions(self.clock).tell(tx, [envelope])

    async def hears(self, wait: timedelta = timedelta(0)) -> list[tuple[str, bool]]:
        """Waits, and tells what is due then: who comes, and who does not."""
        self.clock.advance(wait)
        lease, notices = await self.shelf.claim(self.clock.now())
        answers = await self.telling._answers(self.shelf.ctx, ORG, notices)  # pyright: ignore[reportPrivateUsage]
        async with self.shelf.db.tx(self.shelf.ctx) as tx:
            await queue.told(tx, ORG, list(answers), self.clock.now())
            await queue.give_up(tx, ORG, [n.id for n in notices if n.id not in answers])
            await queue.done(tx, ORG, [n.id for n in notices], lease)
        return [(a.guest, a.comes) for a in answers.values()]


async def test_a_host_hears_a_first_answer_at_once_and_who_toggles_is_told_of_once_in_a_while(
    fresh_database: FreshDatabase,
) -> None:
    host = Host((await fresh_database.connect()).module("notifications"))
    gus, yes, no, asked = uuid4(), InviteeStatus.ACCEPTED, InviteeStatus.DECLINED, InviteeStatus.PENDING
    await host.answered(gus, yes, asked)
    assert await host.hears() == [("gus@example.org", True)]

    for before, after in [(yes, no), (no, yes)] * 5 + [(yes, no)]:
        await host.answered(gus, after, before)
    assert await host.hears() == [], "who thinks better of it may think better again"
    assert await host.hears(ANSWER_PAUSE) == [("gus@example.org", False)], "once, whatever was said how often"

    await host.answered(gus, yes, no)
    await host.answered(gus, no, yes)
    assert await host.hears(ANSWER_PAUSE) == [], "it stands as it was told"

    await host.answered(gus, no, asked)
    assert await host.hears() == [("gus@example.org", False)], "asked again, they said no again"

    async with host.shelf.db.tx(host.shelf.ctx) as tx:  # a booking may be two years ahead, and what was told is kept for one
        await tx.connection.execute("update notifications.notice set facts = '{}'")
    await host.answered(gus, yes, no)
    assert await host.hears(ANSWER_PAUSE) == [("gus@example.org", True)]


async def test_a_host_is_told_of_nothing_but_answers_and_each_guests_is_their_own(fresh_database: FreshDatabase) -> None:
    host = Host((await fresh_database.connect()).module("notifications"))
    gus, ben, yes, asked = uuid4(), uuid4(), InviteeStatus.ACCEPTED, InviteeStatus.PENDING
    await host.answered(gus, yes, yes)  # joined with an account after the yes
    await host.answered(gus, yes, None)  # told by the release before
    await host.answered(gus, yes, asked, None)  # a walk-in's booking is nobody's
    assert await host.hears() == []
    await host.answered(gus, yes, asked)
    await host.answered(ben, yes, asked)
    host.guests.say(ben, yes, BEN)
    assert sorted(await host.hears()) == [("Ben Okafor", True), ("gus@example.org", True)]


async def test_booking_is_asked_once_for_all_answers_whosever_bookings_they_are(fresh_database: FreshDatabase) -> None:
    host = Host((await fresh_database.connect()).module("notifications"))
    for _ in range(20):
        host.booking = uuid4()
        await host.answered(uuid4(), InviteeStatus.ACCEPTED, InviteeStatus.PENDING)
    assert len(await host.hears()) == 20
    assert host.guests.asked == [20]


@pytest.mark.parametrize(("language", "comes", "says"), [
    ("en", True, "Ben comes: "), ("en", False, "Ben does not come: "), ("pt", True, "Ben vem: "),
    ("ur", False, "Ben نہیں آ رہے: "),
])  # fmt: skip
def test_an_answer_is_worded_for_its_reader_and_waits_for_the_end_of_their_quiet(language: str, comes: bool, says: str) -> None:
    now, start = karachi(24, 23), karachi(25, 18)
    free, book = Money(0, "GBP"), house()
    booking = BookingOut(
        id=uuid4(), organisation_id=ORG, venue_id=VENUE, resource_id=uuid4(), account_id=ADA, status=BookingStatus.UPCOMING,
        start=start, end=start + timedelta(hours=1), local_start=start, purpose=Purpose.WORKOUT, team_size=4, price=free,
        paid=free, version=1,
    )  # fmt: skip
    prefers = Preferences(timezone="Asia/Karachi", locale=language, quiet_hours=QuietHours("22:00", "07:00"))
    card = AccountCard(ADA, "Ada", "ada@example.org", AccountStatus.ACTIVE)
    notice = Notice(ORG, new_id(), ADA, "booking.guest_answered", "key", booking.id, {})

    def plan(channels: set[Channel], answers: dict[UUID, Answer], at: BookingOut = booking) -> Plan:
        reader = Reader(card, prefers, {Topic.BOOKINGS: frozenset(channels)}, Digest.OFF, [], None, None)
        return planner(now)(Scene(book.organisation, {VENUE: book}, {at.id: at}, {ADA: reader}, {}, {}, {}, answers), notice)

    said = {notice.id: Answer("Ben", comes)}
    both = plan({Channel.IN_APP, Channel.EMAIL}, said)
    assert both.entry is not None and both.entry.title.startswith(says) and both.entry.href == f"/bookings/{booking.id}#guests"
    assert leaves(both) == {Channel.EMAIL: karachi(25, 7)}
    assert leaves(plan({Channel.IN_APP}, said)) == {}, "whoever wants no mails of bookings gets none of these"
    assert not plan({Channel.IN_APP}, {}).says_something, "an answer that is no longer true"
    off = msgspec.structs.replace(booking, status=BookingStatus.CANCELLED)
    assert not plan({Channel.IN_APP}, said, off).says_something


def changed(**more: object) -> BookingRescheduled:
    """A booking at noon that is changed as it says."""
    court, free = uuid4(), Money(0, "GBP")
    was: dict[str, Any] = {
        "organisation_id": ORG, "venue_id": VENUE, "resource_id": court, "booking_id": uuid4(), "account_id": ADA,
        "start": NOON, "end": NOON + timedelta(hours=1), "purpose": Purpose.WORKOUT, "team_size": 4, "price": free, "fee": free,
        "from_resource_id": court, "from_start": NOON, "from_end": NOON + timedelta(hours=1), "from_price": free,
    }  # fmt: skip
    return BookingRescheduled(**(was | more))


async def test_who_comes_along_moves_nothing_and_what_was_not_paid_does_not_come_back(fresh_database: FreshDatabase) -> None:
    shelf = Shelf((await fresh_database.connect()).module("notifications"))
    start = changed().start - timedelta(days=1)

    async def told(event: Event) -> list[tuple[str, object]]:
        envelope = Envelope(new_id(), start, "x", 1, ORG, Actor(), "", "", event)
        async with shelf.db.tx(shelf.ctx) as tx:
            await Reactions(FixedClock(start)).tell(tx, [envelope])
        _, notices = await shelf.claim(start)
        return [(n.kind, n.facts.get("refund") or n.facts.get("amount")) for n in notices]

    assert await told(changed(team_size=2)) == []
    assert await told(changed(end=NOON + timedelta(hours=2))) == [("booking.moved", None)]
    back = {name: getattr(changed(), name) for name in BookingCancelled.__struct_fields__ if hasattr(changed(), name)}
    for paid, refund in ((0, None), (500, {"amount": 500, "currency": "GBP"})):
        gone = BookingCancelled(**back, refund=Money(500, "GBP"), by=BookingActor.CUSTOMER, paid=Money(paid, "GBP"))
        assert await told(gone) == [("booking.cancelled", refund)]
    some = {"amount": 100, "currency": "GBP"}
    gone = msgspec.structs.replace(gone, falls_away=Money(400, "GBP"))
    assert await told(gone) == [("booking.cancelled", some)], "the rest was still due"
    returned = PaymentRefunded(
        organisation_id=ORG, payment_id=uuid4(), refund_id=uuid4(), account_id=ADA, amount=Money(500, "GBP"),
        to_credits=Money(100, "GBP"), at_desk=Money(0, "GBP"), waived=Money(400, "GBP"), reason="rain",
    )  # fmt: skip
    assert await told(returned) == [("payment.refunded", some)]
    assert await told(msgspec.structs.replace(returned, to_credits=Money(0, "GBP"), waived=Money(500, "GBP"))) == []


async def test_who_comes_along_takes_no_reminder_back_and_brings_none_a_second_time(fresh_database: FreshDatabase) -> None:
    """One reminder was told and is still to be sent, another waits for its time."""
    shelf = Shelf((await fresh_database.connect()).module("notifications"))
    party = changed(team_size=2)
    late = party.start - timedelta(minutes=20)
    begins: dict[str, object] = {"start": party.start.isoformat()}
    tomorrow, soon = (NewNotice(new_id(), ADA, kind, kind, party.booking_id, begins, NOON) for kind in REMINDERS if kind != NOISE)
    mail = Delivery(
        ORG, new_id(), tomorrow.id, ADA, tomorrow.kind, "reminders", Channel.EMAIL, "ada@example.org", "en", Content(text="x"),
        DeliveryStatus.QUEUED, 0, "", "", NOON, None, NOON,
    )  # fmt: skip
    async with shelf.db.tx(shelf.ctx) as tx:
        await queue.insert_notices(tx, ORG, [tomorrow, soon], NOON)
        await queue.told(tx, ORG, [tomorrow.id], NOON)
        await queue.insert_deliveries(tx, ORG, [mail], NOON)

    async def after(event: BookingRescheduled) -> tuple[DeliveryStatus, set[str]]:
        """How the mail stands, and what waits to be told."""
        envelope = Envelope(new_id(), late, "x", 1, ORG, Actor(), "", "", event)
        async with shelf.db.tx(shelf.ctx) as tx:
            await Reactions(FixedClock(late)).tell(tx, [envelope])
            waiting = await tx.connection.fetch("select kind from notifications.notice where status = 'waiting'")
            return (await queue.one(tx, ORG, mail.id)).status, {row["kind"] for row in waiting}

    assert await after(party) == (DeliveryStatus.QUEUED, {soon.kind})
    elsewhere = msgspec.structs.replace(party, resource_id=uuid4())
    assert await after(elsewhere) == (DeliveryStatus.FAILED, {NOISE, "booking.moved"}), "the control: who moves is told anew"


async def test_what_was_heard_of_too_late_to_be_news_still_brings_reminders_of_what_is_to_come(
    fresh_database: FreshDatabase,
) -> None:
    """A worker that was away for longer than news is news, and comes upon what happened meanwhile."""
    shelf = Shelf((await fresh_database.connect()).module("notifications"))
    happened, played = NOON - timedelta(days=2), NOON - timedelta(hours=3)

    def booked(start: datetime, account_id: UUID | None = ADA) -> BookingConfirmed:
        return BookingConfirmed(
            organisation_id=ORG, venue_id=VENUE, resource_id=uuid4(), booking_id=uuid4(), account_id=account_id, start=start,
            end=start + timedelta(hours=1), purpose=Purpose.WORKOUT, team_size=4, price=Money(0, "GBP"),
            paid=Money(0, "GBP"),
        )  # fmt: skip

    def off(booking: BookingConfirmed) -> BookingCancelled:
        same = {name: getattr(booking, name) for name in BookingCancelled.__struct_fields__ if hasattr(booking, name)}
        return BookingCancelled(**same, refund=Money(0, "GBP"), by=BookingActor.CUSTOMER)

    async def waits(at: datetime, *events: Event) -> set[tuple[str, UUID]]:
        """What waits to be told of these bookings once this has been taken."""
        about = {cast("BookingConfirmed", event).booking_id for event in events}
        async with shelf.db.tx(shelf.ctx) as tx:
            await Reactions(FixedClock(NOON)).tell(tx, [Envelope(new_id(), at, "x", 1, ORG, HERSELF, "", "", e) for e in events])
            rows = await tx.connection.fetch("select kind, about_id from notifications.notice where status = 'waiting'")
        return {(row["kind"], row["about_id"]) for row in rows if row["about_id"] in about}

    def all_of(booking: BookingConfirmed) -> set[tuple[str, UUID]]:
        return {(kind, booking.booking_id) for kind in REMINDERS}

    def moved(booking: BookingConfirmed, **more: object) -> BookingRescheduled:
        return changed(booking_id=booking.booking_id, **more)

    in_two_days = NOON + timedelta(days=2)
    soon, later, gone = booked(NOON + timedelta(hours=3)), booked(in_two_days), booked(in_two_days)
    found = await waits(happened, soon, later, booked(played), gone, booked(in_two_days, None), off(gone))
    assert found == all_of(later) | {(kind, soon.booking_id) for kind in REMINDERS if kind != TOMORROW}, (
        "what can be said in time"
    )
    put_off, brought_in, known = booked(in_two_days), booked(in_two_days), booked(in_two_days)
    next_day = {"start": in_two_days + timedelta(days=1), "end": in_two_days + timedelta(days=1, hours=1)}
    over = {"start": played, "end": played + timedelta(hours=1)}
    assert await waits(happened, put_off, moved(put_off, **next_day)) == all_of(put_off)
    assert await waits(happened, brought_in, moved(brought_in, **over)) == set()
    assert await waits(happened, known, moved(known, team_size=2)) == all_of(known), "that moves nothing"
    fresh = booked(in_two_days)
    news = {("booking.confirmed", fresh.booking_id)}
    assert await waits(NOON - timedelta(hours=11), fresh) == all_of(fresh) | news, "the control: that is news"


async def test_who_counts_on_what_is_off_or_elsewhere_hears_of_it_however_late_while_its_time_is_ahead(
    fresh_database: FreshDatabase,
) -> None:
    shelf, admin = Shelf((await fresh_database.connect()).module("notifications")), await fresh_database.admin()
    happened, ahead, over = NOON - timedelta(days=2), NOON + timedelta(days=1), NOON - timedelta(hours=3)

    async def told(event: BookingCancelled | BookingDeclined | BookingRescheduled, actor: Actor) -> tuple[set[str], bool]:
        """What its owner is told besides reminders, and whether its guests are."""
        envelope = Envelope(new_id(), happened, "x", 1, ORG, actor, "", "", event)
        async with shelf.db.tx(shelf.ctx) as tx:
            await Reactions(FixedClock(NOON)).tell(tx, [envelope])
            rows = await tx.connection.fetch("select kind from notifications.notice where about_id = $1", event.booking_id)
        asked = "select count(*) from kernel.job where entrypoint = $2 and position($1 in encode(payload, 'escape')) > 0"
        return {row["kind"] for row in rows} - set(REMINDERS), await admin.fetchval(
            asked, str(event.booking_id), TELL_PARTY.name
        ) == 1

    def at(start: datetime, **more: object) -> dict[str, Any]:
        return {"booking_id": uuid4(), "start": start, "end": start + timedelta(hours=1), **more}

    def gone(start: datetime, by: BookingActor) -> BookingCancelled:
        was = changed(**at(start))
        same: dict[str, Any] = {name: getattr(was, name) for name in BookingCancelled.__struct_fields__ if hasattr(was, name)}
        return BookingCancelled(**same, refund=Money(0, "GBP"), by=by)

    def refused(start: datetime) -> BookingDeclined:
        was = changed(**at(start))
        same: dict[str, Any] = {name: getattr(was, name) for name in BookingDeclined.__struct_fields__ if hasattr(was, name)}
        return BookingDeclined(**same, reason="The court is being repaired")

    staff, customer, desk = BookingActor.STAFF, BookingActor.CUSTOMER, Actor(account_id=BEN)
    assert await told(gone(ahead, staff), desk) == ({"booking.cancelled"}, True)
    assert await told(gone(ahead, customer), HERSELF) == (set(), True), "she knows, her guests do not"
    assert await told(gone(over, staff), desk) == (set(), False), "nobody can come in vain any more"
    assert await told(refused(ahead), desk) == ({"booking.declined"}, False)
    assert await told(refused(over), desk) == (set(), False)
    there, then = {"from_start": over, "from_end": over}, {"from_start": ahead, "from_end": ahead + timedelta(hours=1)}
    assert await told(changed(**at(ahead, **there)), desk) == ({"booking.moved"}, True)
    assert await told(changed(**at(over, **then)), desk) == ({"booking.moved"}, True), "who would come at the old time"
    assert await told(changed(**at(ahead, **there)), HERSELF) == (set(), True)
    assert await told(changed(**at(over, **there)), desk) == (set(), False)
    await admin.close()


# --- the party of what is off --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("status", "says"), [(BookingStatus.UPCOMING, True), (BookingStatus.CANCELLED, False)])
def test_an_invitation_to_what_is_off_says_nothing(status: BookingStatus, says: bool) -> None:
    plan = told("booking.invited", karachi(25, 18), NOON, quiet=False, status=status)
    assert plan.says_something is says


# --- the queue -----------------------------------------------------------------------------------------------------------


class Shelf:
    """Notices on a database of its own."""

    def __init__(self, db: ModuleDatabase) -> None:
        self.db = db
        self.ctx = service_context("test", ORG)

    async def write(self, seq: int, key: str = "a stretch", due_at: datetime = NOON, *, id: UUID | None = None) -> UUID:
        notice = NewNotice(id or new_id(), ADA, "chat.message", key, None, {"seq": seq}, due_at)
        async with self.db.tx(self.ctx) as tx:
            await queue.insert_notices(tx, ORG, [notice], NOON)
        return notice.id

    async def claim(self, now: datetime = NOON) -> tuple[UUID, list[Notice]]:
        lease = new_id()
        async with self.db.tx(service_context("test")) as tx:
            found = await queue.claim(tx, now, now + LEASE, lease, 100)
        async with self.db.tx(self.ctx) as tx:
            return lease, await queue.notices(tx, ORG, [d.id for d in found], lease)

    async def waiting(self, now: datetime) -> list[object]:
        return [n.facts["seq"] for n in (await self.claim(now))[1]]


async def test_one_key_is_told_once_and_what_came_to_nothing_was_not_told(fresh_database: FreshDatabase) -> None:
    shelf = Shelf((await fresh_database.connect()).module("notifications"))
    first = await shelf.write(1)
    await shelf.write(2, due_at=NOON + timedelta(minutes=4))
    _, [waiting] = await shelf.claim()
    assert (waiting.id, waiting.facts) == (first, {"seq": 2}), "the newest, at the time of the first"

    # While it is told, a third is written: whoever tells has lost the lease and writes nothing.
    lease, [_] = await shelf.claim(NOON + LEASE)
    await shelf.write(3, due_at=NOON + LEASE)
    async with shelf.db.tx(shelf.ctx) as tx:
        assert await queue.hold(tx, ORG, [first], lease) == set()
    lease, [third] = await shelf.claim(NOON + LEASE)
    assert third.facts == {"seq": 3}

    async with shelf.db.tx(shelf.ctx) as tx:  # it was read meanwhile
        assert await queue.hold(tx, ORG, [first], lease) == {first}
        await queue.give_up(tx, ORG, [first])
    await shelf.write(3, id=first)
    assert await shelf.waiting(NOON + timedelta(hours=1)) == [], "the same once more is nothing new"
    await shelf.write(4)
    lease, [fourth] = await shelf.claim(NOON + timedelta(hours=1))
    assert (fourth.id, fourth.facts) == (first, {"seq": 4})

    async with shelf.db.tx(shelf.ctx) as tx:
        await queue.told(tx, ORG, [first], NOON)
    await shelf.write(5)
    assert await shelf.waiting(NOON + timedelta(hours=2)) == [], "told is told"
    await shelf.write(6, key="the next stretch")
    assert await shelf.waiting(NOON + timedelta(hours=2)) == [6]


async def test_what_is_taken_back_is_not_sent_though_it_waits_for_the_morning(fresh_database: FreshDatabase) -> None:
    shelf = Shelf((await fresh_database.connect()).module("notifications"))
    booking, other = uuid4(), uuid4()
    kinds = [("booking.in_24_hours", booking), ("booking.confirmed", booking), ("booking.in_24_hours", other)]
    notices = [NewNotice(new_id(), ADA, kind, f"{kind} {about}", about, {}, NOON) for kind, about in kinds]
    deliveries = [
        Delivery(
            ORG, new_id(), n.id, ADA, n.kind, "bookings", Channel.EMAIL, "ada@example.org", "en", Content(text="x"),
            DeliveryStatus.QUEUED, 0, "", "", NOON, None, NOON,
        )
        for n in notices
    ]  # fmt: skip
    async with shelf.db.tx(shelf.ctx) as tx:
        await queue.insert_notices(tx, ORG, notices, NOON)
        await queue.told(tx, ORG, [n.id for n in notices], NOON)
        await queue.insert_deliveries(tx, ORG, deliveries, NOON)
        await queue.queue(tx, ORG, "delivery", {d.id: NOON + timedelta(hours=9) for d in deliveries})
    async with shelf.db.tx(shelf.ctx) as tx:
        await queue.void(tx, ORG, [booking], ["booking.in_24_hours", "booking.in_2_hours"], NOON)
        found = [await queue.one(tx, ORG, d.id) for d in deliveries]
    assert [d.status for d in found] == [DeliveryStatus.FAILED, DeliveryStatus.QUEUED, DeliveryStatus.QUEUED]
    assert found[0].error == "it is no longer true"
    async with shelf.db.tx(service_context("test")) as tx:
        due = await queue.claim(tx, NOON + timedelta(hours=9), NOON + timedelta(hours=10), new_id(), 10)
    assert {d.id for d in due} == {d.id for d in deliveries[1:]}


# --- digests -------------------------------------------------------------------------------------------------------------


class Patient:
    """Ada, who wants one mail a day: what notifications asks identity and people for."""

    async def accounts(self, ctx: Context, ids: list[UUID]) -> list[AccountCard]:
        return [AccountCard(ADA, "Ada", "ada@example.org", AccountStatus.ACTIVE)]

    async def preferences(self, ctx: Context, ids: list[UUID]) -> list[Preferences]:
        return [Preferences()]


class Waiting:
    """What waits for Ada's digest, and the digest."""

    def __init__(self, db: ModuleDatabase) -> None:
        self.db = db
        ask = Sources(*[cast("Any", Patient())] * 5)
        self.telling = Telling(db, FixedClock(NOON), ask, cast("InboxService", None), Links(b"s" * 32), "https://b.example.org")

    async def add(self, *titles: str) -> None:
        async with self.db.tx(service_context("test", ORG)) as tx:
            for n, title in enumerate(titles):
                notice = Notice(ORG, new_id(), ADA, "payment.due", title, None, {})
                item = DigestItem(notice.id, Topic.PAYMENTS.value, title, "/bookings", NOON + timedelta(seconds=n))
                plan = Plan(notice, KINDS[notice.kind], [], {}, digest=item, digest_at=NOON)
                await self.telling._write_personal(tx, plan)  # pyright: ignore[reportPrivateUsage]

    async def send(self) -> int:
        """Sends what is due; returns how many digests were."""
        lease = new_id()
        async with self.db.tx(service_context("test")) as tx:
            found = [d for d in await queue.claim(tx, NOON, NOON + LEASE, lease, 100) if d.what == "digest"]
        for due in found:
            await self.telling.digest(due.id, lease)
        return len(found)

    async def mails(self, *titles: str) -> list[list[str]]:
        """Which of these titles are in which mail."""
        async with self.db.tx(service_context("test", NOBODYS)) as tx:
            texts = [d.content.text for d in await queue.log(tx, NOBODYS, None, None, None, 10)]
        return sorted([title for title in titles if title in text] for text in texts)


async def test_what_comes_while_a_digest_is_written_is_in_the_next(
    fresh_database: FreshDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = Waiting((await fresh_database.connect()).module("notifications"))
    await waiting.add("the first")
    real, late = inbox.digest, list[asyncio.Task[None]]()

    async def read(tx: Tx, account_id: UUID, limit: int) -> list[DigestItem]:
        items = await real(tx, account_id, limit)
        if not late:
            late.append(asyncio.create_task(waiting.add("the second")))
            watch = await fresh_database.admin()
            while not late[0].done() and not await watch.fetchval(
                "select exists (select from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database())"
            ):
                await asyncio.sleep(0.005)
            await watch.close()
        return items

    monkeypatch.setattr(inbox, "digest", read)
    async with asyncio.timeout(20):
        assert await waiting.send() == 1
        await late[0]
        assert await waiting.send() == 1
    assert await waiting.mails("the first", "the second") == [["the first"], ["the second"]]
    assert await waiting.send() == 0, "the control: when nothing waits there is none"


async def test_more_than_a_mail_holds_goes_on_in_another(fresh_database: FreshDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "AT_ONCE", 2)
    waiting = Waiting((await fresh_database.connect()).module("notifications"))
    await waiting.add("bill 1", "bill 2", "bill 3")
    assert [await waiting.send() for _ in range(3)] == [1, 1, 0]
    assert await waiting.mails("bill 1", "bill 2", "bill 3") == [["bill 1", "bill 2"], ["bill 3"]]
