"""Whoever is erased is forgotten: what is ahead of them is let go by the rules, and of their words nothing is left."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, time, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import msgspec
import pytest
from tests.told import everything
from tests.words import where_words_are_left

from forecourt.kernel.context import ANONYMOUS, Context, service_context
from forecourt.kernel.contracts import local
from forecourt.kernel.errors import Invalid, NotFound, Unauthenticated
from forecourt.kernel.events import Dispatcher, emit
from forecourt.kernel.jobs import Worker
from forecourt.modules.booking import jobs, reactions, records
from forecourt.modules.booking.contract import (
    AskedOften,
    BookingOut,
    BookingRecords,
    BookingStatus,
    Cancel,
    InviteeStatus,
    NewInvitee,
    NewQuote,
    PayWith,
    Purpose,
    Reschedule,
    StaffBooking,
    Why,
)
from forecourt.modules.booking.service.forgetting import ADDRESSES_KEPT, Unforgotten
from forecourt.modules.identity.contract import AccountErased
from forecourt.modules.identity.rules import GRACE
from forecourt.modules.venues.contract import RefundTier

S = BookingStatus
HOUSE = service_context("tests")
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
SCHEMAS = ("booking", "payments")


@pytest.fixture
async def superuser(admin_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(admin_url)
    yield connection
    await connection.close()


@pytest.fixture
async def ada(world: Any) -> Any:
    """Somebody with a word that nobody else writes, an address, and credits."""
    word = f"quill{uuid4().hex[:10]}"
    ctx = await world.rich(word)
    card = world.people.cards[ctx.account_id]
    world.people.cards[ctx.account_id] = msgspec.structs.replace(card, email=f"{word}@example.org")
    return SimpleNamespace(ctx=ctx, id=ctx.account_id, word=word, email=f"{word}@example.org")


async def erase(world: Any, who: Any) -> None:
    """Identity knows them no more, and booking and payments are told."""
    world.people.cards.pop(who.id, None)
    await world.service.forget_person(HOUSE, who.id)
    await world.till.forget_person(HOUSE, who.id)


async def status(world: Any, booking: BookingOut) -> BookingStatus:
    return (await world.service.booking(world.staff, booking.id)).status


async def books_add_up(world: Any) -> None:
    for line in (await world.till.proof(HOUSE, world.organisation_id)).values():
        assert (line.sum, line.faults) == (0, [])


async def told(world: Any, booking_id: UUID, name: str) -> list[dict[str, Any]]:
    async with world.db.module("kernel").tx(HOUSE) as tx:
        rows = await tx.connection.fetch(
            "select payload from kernel.event where organisation_id = $1 and name = $2 order by xid, id",
            world.organisation_id,
            name,
        )
    payloads = [msgspec.json.decode(r[0]) for r in rows]
    return [p for p in payloads if p["booking_id"] == str(booking_id)]


# --- what they booked


async def test_what_is_ahead_is_cancelled_by_the_rules_what_was_stays_and_no_word_of_theirs_is_left(
    world: Any, ada: Any, superuser: Any
) -> None:
    await world.policies(cancellation=[RefundTier(12, 100), RefundTier(0, 50)])
    start, said = world.wish().start, f"for {ada.word}"
    past = await world.book(ada.ctx, note=said, start=start - 8 * HOUR)
    ended = await world.book(ada.ctx, resource_id=world.other_court.id)
    await world.service.cancel(ada.ctx, ended.id, Cancel(said))
    refused = await world.book(ada.ctx, purpose=Purpose.CONTENT, resource_id=world.other_court.id)
    await world.service.decline(world.staff, refused.id, f"not with {ada.word}")
    world.clock.set(start - 7 * HOUR - timedelta(minutes=30))
    await world.keep_time()
    assert await status(world, past) is S.IN_PROGRESS
    soon = await world.book(ada.ctx, start=start + HOUR, note=said)
    later = await world.book(ada.ctx, start=start + DAY, note=said, team_size=2)
    asked = await world.book(ada.ctx, start=start + 2 * DAY, purpose=Purpose.CONTENT, note=said)
    held = await world.hold(ada.ctx, start=start + 3 * DAY, note=said)
    desk = await world.service.book_for(
        world.staff,
        StaffBooking(world.court.id, start + 4 * DAY, 60, account_id=ada.id, pay_with=PayWith.DESK, note=f"call {ada.word}"),
    )
    somebodys = await world.book(await world.rich("Eve"), start=start + 5 * DAY, note="no matter")
    await world.service.quote(ada.ctx, NewQuote(world.court.id, start + 6 * DAY, 60))
    await world.service.make_feed(ada.ctx)
    await world.service.invite(ada.ctx, later.id, NewInvitee(email="friend@example.org"))
    assert await where_words_are_left(superuser, SCHEMAS, [ada.word]) == [
        "booking.booking note",
        "booking.transition detail",
        "payments.refund reason",
        "payments.transfer reason",
    ], "the control"
    before = await world.balance(ada.ctx)

    for _ in range(2):  # the second time changes nothing
        await erase(world, ada)
        cancelled = [await status(world, b) for b in (soon, later, asked, held, desk)]
        assert cancelled == [S.CANCELLED] * 5
        assert (await status(world, ended), await status(world, refused)) == (S.CANCELLED, S.DECLINED)
        assert await status(world, past) is S.IN_PROGRESS, "what has begun ends by itself"
        assert [c["booking_id"] for c in await world.claims()] == [past.id, somebodys.id]
        # Half of what begins soon, all of what is far, and what was set aside.
        assert await world.balance(ada.ctx) == before + 1_000 + 2_000 + 2_000
        assert await where_words_are_left(superuser, SCHEMAS, [ada.word, ada.email]) == []
        await books_add_up(world)

    (letter,) = await told(world, later.id, "booking.cancelled")
    assert (letter["reason"], letter["by"], letter["account_id"]) == (Why.HOST_LEFT, "house", str(ada.id))
    assert [s.detail for s in await world.service.history(world.staff, later.id)][-1] == Why.HOST_LEFT
    (guest,) = (await world.service.invitees(world.staff, later.id)).items
    assert guest.email == "friend@example.org", "whoever was invited is still told that it is off"
    kept = await world.service.booking(world.staff, past.id)
    assert (kept.account_id, kept.note, kept.paid.amount) == (ada.id, None, 2_000)
    assert (await world.service.booking(world.staff, somebodys.id)).note == "no matter"
    for table in ("feed", "quote"):
        assert await superuser.fetchval(f"select count(*) from booking.{table} where account_id = $1", ada.id) == 0


async def test_what_is_booked_with_a_last_token_is_found_by_the_second_round(fresh_database: Any, make_world: Any) -> None:
    database = await fresh_database.connect(10)
    world = await make_world(database)
    world.clock.set(datetime.now(UTC))  # as the queue's
    start = datetime.combine(datetime.now(UTC).date(), time(9), UTC) + 3 * DAY
    host = await world.rich("Ada")
    first = await world.book(host, start=start)
    dispatcher = Dispatcher(database, fresh_database.url, reactions.subscriptions(world.service), world.clock)
    workers = [Worker(database, fresh_database.url, jobs.handlers(world.service), [], world.clock) for _ in range(2)]
    async with database.module("identity").tx(HOUSE) as tx:
        emit(tx, AccountErased(account_id=host.account_id))
    await dispatcher.drain()
    await asyncio.gather(*(w.drain() for w in workers))
    assert await status(world, first) is S.CANCELLED
    late = await world.book(host, start=start, note="the last words")
    admin = await fresh_database.admin()
    moved = await admin.execute("update kernel.job set execute_after = now() where entrypoint = 'booking.forget'")
    await admin.close()
    assert moved == "UPDATE 1", "it comes again"
    await asyncio.gather(*(w.drain() for w in workers))
    found = await world.service.booking(world.staff, late.id)
    assert (found.status, found.note) == (S.CANCELLED, None)
    assert await world.balance(host) == 100_000


class Dead(BaseException):
    """The process died here: nobody catches that."""


class Dying:
    """A module's database as a process sees it that dies before its nth transaction."""

    def __init__(self, real: Any, at: int) -> None:
        self._real = real
        self.left = at

    def tx(self, *args: Any, **named: Any) -> Any:
        self.left -= 1
        if self.left == 0:
            raise Dead
        return self._real.tx(*args, **named)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


async def test_whoever_dies_at_any_transaction_is_followed_by_one_who_ends_it_and_two_at_once_do_it_once(
    world: Any, superuser: Any
) -> None:
    await world.policies(cancellation=[RefundTier(0, 100)])
    house, start = service_context("tests", world.organisation_id), world.wish().start
    friend = await world.book(await world.rich("Friend"), start=start + DAY, team_size=4)
    people: list[tuple[Context, BookingOut, UUID]] = []
    died, at = True, 0
    while died:
        at, died = at + 1, False
        me = await world.rich("Somebody")
        booked = await world.book(me, note=f"word {me.account_id}")
        mail = world.people.cards[me.account_id].email
        made = await world.service.invite(world.staff, friend.id, NewInvitee(email=mail))
        await world.service.first_letter(house, made.id)
        dying = world.another_process()
        dying.db = Dying(dying.db, at)
        try:
            await dying.forget_person(HOUSE, me.account_id)
        except Dead:
            died = True
        await asyncio.gather(*(world.another_process().forget_person(HOUSE, me.account_id) for _ in range(2)))
        people.append((me, booked, made.id))
    assert at > 8, "the control"
    await world.keep_time(world.clock.now() + timedelta(minutes=2))
    answers = [a["invitation_id"] for a in await told(world, friend.id, "booking.invitation_answered")]
    assert sorted(answers) == sorted(str(made) for *_, made in people)
    for me, booked, _ in people:
        assert (await status(world, booked), await world.balance(me)) == (S.CANCELLED, 100_000)
        assert len(await told(world, booked.id, "booking.cancelled")) == 1
    written = [str(me.account_id) for me, *_ in people]
    left = await where_words_are_left(superuser, SCHEMAS, [f"word {w}" for w in written] + [f"{w}@" for w in written])
    assert left == []
    assert await world.sql("select kind from booking.errand where organisation_id = $1", world.organisation_id) == []
    await books_add_up(world)


async def test_a_booking_that_cannot_be_cancelled_keeps_no_other_from_being_forgotten(
    world: Any, ada: Any, superuser: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = world.wish().start
    stuck, ahead = [await world.book(ada.ctx, start=start + i * DAY, note=ada.word) for i in range(2)]
    real = world.service._refund_by_policy

    async def refuse(row: Any) -> Any:
        if row.id == stuck.id:
            raise NotFound
        return await real(row)

    monkeypatch.setattr(world.service, "_refund_by_policy", refuse)
    with pytest.raises(Unforgotten):
        await world.service.forget_person(HOUSE, ada.id)
    assert (await status(world, stuck), await status(world, ahead)) == (S.UPCOMING, S.CANCELLED)
    assert await where_words_are_left(superuser, SCHEMAS, [ada.word]) == []
    monkeypatch.undo()
    await world.service.forget_person(HOUSE, ada.id)
    assert await status(world, stuck) is S.CANCELLED


# --- what they were invited to


async def test_what_they_were_invited_to_they_leave_and_neither_their_address_nor_their_link_is_left(
    world: Any, ada: Any, superuser: Any
) -> None:
    host, start = await world.rich("Host"), world.wish().start
    house = service_context("tests", world.organisation_id)
    invitees = [NewInvitee(email=f" {ada.email.upper()}"), NewInvitee(email="other@example.org")]
    ahead = await world.book(host, start=start, team_size=4, invitees=invitees)
    by_account = await world.book(host, start=start + DAY, team_size=2)
    await world.service.invite(host, by_account.id, NewInvitee(account_id=ada.id))
    was = await world.book(host, start=start - 8 * HOUR, team_size=2, invitees=[NewInvitee(email=ada.email)])
    held = await world.book(
        host, start=start + 2 * DAY, team_size=2, purpose=Purpose.CONTENT, invitees=[NewInvitee(account_id=ada.id)]
    )
    silent = await world.book(host, start=start + 3 * DAY, team_size=2, invitees=[NewInvitee(email=ada.email)])
    (asked,) = (await world.service.invitees(host, silent.id)).items
    await world.service.first_letter(house, asked.id)
    links: list[str] = []
    for booking in (ahead, was):
        for guest in (await world.service.invitees(host, booking.id)).items:
            letter = await world.service.first_letter(house, guest.id)
            if guest.email != "other@example.org":
                links.append(letter.token)
                await world.service.accept_invitation(ada.ctx, letter.token)
    await world.service.invitees(host, held.id)
    world.clock.set(start - HOUR)
    await world.keep_time()
    assert set(await where_words_are_left(superuser, SCHEMAS, [ada.word])) == {
        "booking.booking invitees",
        "booking.invitation email",
    }

    for _ in range(2):
        await erase(world, ada)
        assert await where_words_are_left(superuser, SCHEMAS, [ada.word]) == []

    mine, other = sorted((await world.service.invitees(host, ahead.id)).items, key=lambda i: i.email or "")
    assert (mine.status, mine.email, mine.account_id, mine.may_ask_again) == (InviteeStatus.DECLINED, None, ada.id, False)
    assert (other.status, other.email) == (InviteeStatus.PENDING, "other@example.org")
    assert len(await told(world, ahead.id, "booking.invitation_answered")) == 2, "yes, and no"
    (there,) = (await world.service.invitees(host, by_account.id)).items
    assert (there.status, there.may_ask_again) == (InviteeStatus.DECLINED, False)
    (unanswered,) = (await world.service.invitees(host, silent.id)).items
    assert (unanswered.status, unanswered.account_id) == (InviteeStatus.DECLINED, None), "an address says nothing of accounts"
    (past,) = (await world.service.invitees(host, was.id)).items
    assert (past.status, past.email, past.account_id) == (InviteeStatus.ACCEPTED, None, ada.id), "they did come"
    (asked,) = (await world.service.invitees(host, held.id)).items
    assert asked.status is InviteeStatus.DECLINED
    assert await told(world, held.id, "booking.invitation_answered") == [], "nobody had asked them yet"
    for token in links:
        with pytest.raises(NotFound):
            await world.service.invitation(Context(actor=ANONYMOUS), token)
    with pytest.raises(AskedOften):
        await world.service.invite(host, by_account.id, NewInvitee(account_id=ada.id))
    party = await world.service.party(house, ahead.id)
    assert (party.account_ids, party.invitation_ids) == ([host.account_id], [other.id])
    assert await world.service.letter(house, past.id) is None and await world.service.first_letter(house, mine.id) is None
    assert await superuser.fetchval("select count(*) from booking.invited_address where invitation_id = $1", mine.id) == 0


async def test_addresses_that_nobody_had_an_account_for_go_before_anybody_who_made_one_since_can_be_erased(
    world: Any, superuser: Any
) -> None:
    host, house, word = await world.rich("Host"), service_context("tests", world.organisation_id), f"quill{uuid4().hex[:10]}"
    email, start = f"{word}@example.org", world.wish().start
    guest = NewInvitee(email=email)
    over = await world.book(host, team_size=3, invitees=[guest, NewInvitee(account_id=(friend := world.people.add("Friend")))])
    moved = await world.book(host, start=start + DAY, team_size=2, invitees=[guest])
    declined = await world.book(host, start=start + 2 * DAY, team_size=2, purpose=Purpose.CONTENT, invitees=[guest])
    unpaid = await world.hold(host, start=start + 3 * DAY, team_size=2, invitees=[guest])
    for booking in (over, moved, declined):
        for invitation in (await world.service.invitees(host, booking.id)).items:
            if booking is not declined:
                await world.service.first_letter(house, invitation.id)
    await world.service.decline(world.staff, declined.id, "not then")
    await world.service.cancel(host, unpaid.id, Cancel())
    await world.service.reschedule(host, moved.id, Reschedule(start + 6 * DAY))
    world.clock.set(start + 32 * DAY)
    await world.keep_time()
    assert await world.service.forget_addresses(HOUSE) >= 3
    (kept,) = (await world.service.invitees(host, moved.id)).items
    assert kept.email == email, "that one was over later"
    world.clock.set(start + 35 * DAY)
    assert await world.service.forget_addresses(HOUSE) >= 1
    assert await world.service.forget_addresses(HOUSE) == 0
    assert await where_words_are_left(superuser, SCHEMAS, [word]) == []
    items = (await world.service.invitees(host, over.id)).items
    assert {(i.email, i.account_id) for i in items} == {(None, None), (None, friend)}, "who came is known still"
    assert ADDRESSES_KEPT < GRACE


async def test_what_names_its_own_host_by_address_or_was_taken_back_before_they_had_an_account_goes_with_them(
    world: Any, ada: Any, superuser: Any
) -> None:
    house, host = service_context("tests", world.organisation_id), await world.rich("Host")
    own = await world.book(ada.ctx, team_size=2, invitees=[NewInvitee(email=ada.email)])
    (to_herself,) = (await world.service.invitees(ada.ctx, own.id)).items
    assert await world.service.first_letter(house, to_herself.id) is None
    assert await world.service.my_invitations(ada.ctx) == []
    card = world.people.cards.pop(ada.id)  # of whom nobody had heard then
    theirs = await world.book(host, start=world.wish().start + DAY, team_size=2)
    before = await world.service.invite(host, theirs.id, NewInvitee(email=ada.email))
    await world.service.first_letter(house, before.id)
    await world.service.withdraw(host, theirs.id, before.id)
    world.people.cards[ada.id] = card
    await world.service.give_over(HOUSE, ada.id)
    assert await where_words_are_left(superuser, SCHEMAS, [ada.word]) != [], "the control"
    await erase(world, ada)
    assert await where_words_are_left(superuser, SCHEMAS, [ada.word]) == []


# --- what is kept, told


async def test_people_are_told_all_that_is_kept_of_them_and_nothing_of_others(
    world: Any, ada: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "BOOKINGS_AT_ONCE", 2)
    monkeypatch.setattr(records, "RECORDS_AT_ONCE", 1)
    kept = local(BookingRecords, records.records(world.service))  # type: ignore[type-abstract]
    assert await everything(kept, ada.ctx) == {"bookings": [], "invitations_received": [], "invitations_sent": [], "calendar": []}
    start, eve = world.wish().start, await world.rich("Eve")
    mine = [await world.book(ada.ctx, start=start + i * DAY, note=f"day {i}", team_size=3) for i in range(3)]
    await world.service.cancel(ada.ctx, mine[0].id, Cancel("it rains"))
    for who in ("a@example.org", "b@example.org"):
        await world.service.invite(ada.ctx, mine[1].id, NewInvitee(email=who))
    theirs = [await world.book(eve, start=start + i * DAY, resource_id=world.other_court.id, team_size=2) for i in range(2)]
    for booking in theirs:
        await world.service.invite(eve, booking.id, NewInvitee(account_id=ada.id))
    await world.service.make_feed(ada.ctx)

    told = await everything(kept, ada.ctx)
    assert [b["booking"]["id"] for b in told["bookings"]] == [str(b.id) for b in mine]
    assert [b["booking"]["note"] for b in told["bookings"]] == ["day 0", "day 1", "day 2"]
    assert [(h["action"], h["by"], h["words"]) for h in told["bookings"][0]["history"]] == [
        ("hold", "customer", ""),
        ("confirm", "house", ""),
        ("cancel", "customer", "it rains"),
    ]
    assert {i["booking_id"] for i in told["invitations_received"]} == {str(b.id) for b in theirs}
    assert sorted(i["email"] for i in told["invitations_sent"]) == ["a@example.org", "b@example.org"]
    assert [set(c) for c in told["calendar"]] == [{"made_at"}]
    others = await everything(kept, eve)
    assert [b["booking"]["id"] for b in others["bookings"]] == [str(b.id) for b in theirs]
    assert (others["invitations_received"], len(others["invitations_sent"]), others["calendar"]) == ([], 2, [])
    with pytest.raises(Unauthenticated):
        await kept.records(HOUSE, None)
    with pytest.raises(Invalid):
        await kept.records(ada.ctx, "bookings made-up")
