"""What people and staff meet, through the real service, the real venues and the real till."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
from tests.statements import counted

from forecourt.kernel.context import ActorKind, service_context
from forecourt.kernel.errors import Forbidden, Invalid, NotFound, PreconditionFailed, Unauthenticated
from forecourt.kernel.ids import new_id
from forecourt.kernel.money import Money
from forecourt.kernel.period import Period
from forecourt.modules.booking import queries as quotes
from forecourt.modules.booking.contract import (
    AdminCannotBook,
    Availability,
    BookingPatch,
    BookingStatus,
    Cancel,
    Extend,
    HoldExpired,
    InvalidTransition,
    NewBlock,
    NewQuote,
    OutsideHorizon,
    Pay,
    PayWith,
    PlaceBlocked,
    QuoteExpired,
    QuoteMismatch,
    Reschedule,
    SlotTaken,
    StaffBooking,
)
from forecourt.modules.booking.service.reading import BookingsQuery, Free, OrgBookingsQuery
from forecourt.modules.identity.contract import EmailUnconfirmed
from forecourt.modules.payments.contract import InsufficientCredits, NewPromoCode, PromoKind, PromoRejected
from forecourt.modules.venues.contract import (
    OrganisationInactive,
    OrganisationStatus,
    Per,
    PriceRule,
    Purpose,
    RefundTier,
    ResourcePatch,
)

S = BookingStatus


async def free(world: Any, **more: Any) -> Availability:
    fields: dict[str, Any] = {"from_date": date(2026, 6, 2), "to_date": date(2026, 6, 2), "duration_min": 60}
    answer = await world.service.availability(world.newcomer(), world.venue_id, Free(**(fields | more)))
    return msgspec.json.decode(answer, type=Availability)


def starts_on(answer: Availability, resource: Any) -> set[datetime]:
    return {s.start for d in answer.days for r in d.resources if r.resource_id == resource.id for s in r.slots}


# --- paying


async def test_a_refused_payment_at_booking_holds_nothing_and_for_a_hold_it_leaves_the_hold(world: Any) -> None:
    poor = world.newcomer()
    with pytest.raises(InsufficientCredits):
        await world.book(poor)
    assert await world.claims() == []
    held = await world.hold(poor)
    with pytest.raises(InsufficientCredits):
        await world.service.pay(poor, held.id, Pay(PayWith.CREDITS))
    assert (await world.service.booking(poor, held.id)).status is S.PAYMENT_PENDING
    await world.give(poor, 2_000)
    assert (await world.service.pay(poor, held.id, Pay(PayWith.CREDITS))).status is S.UPCOMING


async def test_a_hold_that_is_over_cannot_be_paid_and_the_last_microsecond_can(world: Any) -> None:
    guest = await world.rich()
    one, two = await world.hold(guest), await world.hold(guest, resource_id=world.other_court.id)
    world.clock.advance(timedelta(minutes=10) - timedelta(microseconds=1))
    assert (await world.service.pay(guest, one.id, Pay(PayWith.CREDITS))).status is S.UPCOMING
    world.clock.advance(timedelta(microseconds=1))
    with pytest.raises(HoldExpired):
        await world.service.pay(guest, two.id, Pay(PayWith.CREDITS))


async def test_paying_at_the_desk_confirms_and_is_waived_when_cancelled_in_time(world: Any) -> None:
    await world.policies(cancellation=[RefundTier(1, 100)])
    guest = world.newcomer()
    booked = await world.book(guest, pay_with=PayWith.DESK)
    assert (booked.status, booked.paid.amount) == (S.UPCOMING, 0)
    assert (await world.payments.status(guest, world.organisation_id, booked.id)).due.amount == 2_000
    await world.service.cancel(guest, booked.id, Cancel())
    assert (await world.payments.status(guest, world.organisation_id, booked.id)).due.amount == 0


async def test_an_unconfirmed_address_may_hold_and_not_pay(world: Any) -> None:
    guest = await world.rich()
    newcomer = msgspec.structs.replace(guest, actor=msgspec.structs.replace(guest.actor, confirmed=False))
    with pytest.raises(EmailUnconfirmed):
        await world.book(newcomer)
    held = await world.hold(newcomer)
    with pytest.raises(EmailUnconfirmed):
        await world.service.pay(newcomer, held.id, Pay(PayWith.CREDITS))
    assert (await world.service.pay(guest, held.id, Pay(PayWith.CREDITS))).status is S.UPCOMING


async def test_platform_admins_keys_and_nobody_cannot_book_for_themselves(world: Any) -> None:
    guest = world.newcomer()
    admin = msgspec.structs.replace(guest, actor=msgspec.structs.replace(guest.actor, platform_admin=True))
    with pytest.raises(AdminCannotBook):
        await world.hold(admin)
    with pytest.raises(Unauthenticated):
        await world.hold(msgspec.structs.replace(guest, actor=type(guest.actor)()))
    with pytest.raises(Forbidden):
        await world.hold(msgspec.structs.replace(guest, actor=type(guest.actor)(kind=ActorKind.API_KEY, key_id=uuid4())))
    assert (await world.hold(guest)).status is S.PAYMENT_PENDING


async def test_a_suspended_organisation_takes_no_bookings(world: Any) -> None:
    await world.hold(world.newcomer())
    root = world.newcomer("Root")
    await world.venues_service.set_standing(root, world.organisation_id, OrganisationStatus.SUSPENDED, "fraud")
    world.service.books.drop(world.venue_id)
    with pytest.raises(OrganisationInactive):
        await world.hold(world.newcomer(), resource_id=world.other_court.id)


async def test_a_free_place_is_confirmed_at_once_when_one_says_how_to_pay(world: Any) -> None:
    await world.price(0)
    booked = await world.book(world.newcomer())
    assert (booked.status, booked.price.amount) == (S.UPCOMING, 0)


# --- quotes and codes


async def test_a_booking_from_a_quote_costs_the_quote_whatever_the_list_says_by_then(world: Any, words: Any) -> None:
    guest, other = await world.rich(), await world.rich("Other")
    quote = await world.service.quote(guest, NewQuote(world.court.id, words.TEN, 60))
    await world.price(9_000)
    with pytest.raises(NotFound):
        await world.book(other, quote_id=quote.id)
    with pytest.raises(QuoteMismatch):
        await world.book(guest, quote_id=quote.id, duration_min=75)
    booked = await world.book(guest, quote_id=quote.id)
    assert booked.price.amount == booked.paid.amount == quote.total.amount == 2_000
    assert (await world.hold(other, resource_id=world.other_court.id)).price.amount == 9_000


async def test_a_quote_runs_out_after_a_quarter_of_an_hour(world: Any, words: Any) -> None:
    guest = await world.rich()
    quote = await world.service.quote(guest, NewQuote(world.court.id, words.TEN, 60))
    assert quote.expires_at == words.NOW + timedelta(minutes=15)
    world.clock.set(quote.expires_at)
    with pytest.raises(QuoteExpired):
        await world.book(guest, quote_id=quote.id)


async def test_a_quote_is_one_statement_and_asked_for_again_under_its_key_it_is_the_same(world: Any, words: Any) -> None:
    guest, wish = msgspec.structs.replace(await world.rich(), idempotency_id=new_id()), NewQuote(world.court.id, words.TEN, 60)
    await world.service.quote(await world.rich("First"), wish)  # the venue's book is known from then on
    with counted() as asked:
        quote = await world.service.quote(guest, wish)
    assert len(asked) == 1 and quote.total.amount == 2_000
    await world.price(9_000)
    assert await world.service.quote(guest, wish) == quote
    with pytest.raises(NotFound):
        await world.service.quote(msgspec.structs.replace(await world.rich("Other"), idempotency_id=guest.idempotency_id), wish)
    fresh = await world.service.quote(msgspec.structs.replace(guest, idempotency_id=None), wish)
    assert (fresh.total.amount, fresh.id == quote.id) == (9_000, False), "the control: without the key it is another"


async def test_a_quote_takes_those_with_it_that_ran_out_a_day_ago(world: Any, words: Any) -> None:
    guest = await world.rich()
    old = await world.service.quote(guest, NewQuote(world.court.id, words.TEN, 60))
    kept = {"of": world.organisation_id, "who": guest.account_id}

    async def there(id: UUID) -> bool:
        async with world.service.db.tx(guest.within(kept["of"])) as tx:
            try:
                await quotes.quote(tx, kept["of"], id, kept["who"])
            except NotFound:
                return False
        return True

    world.clock.set(old.expires_at + timedelta(hours=23))
    middle = await world.service.quote(guest, NewQuote(world.court.id, words.TEN + timedelta(days=2), 60))
    assert await there(old.id) and await there(middle.id)
    world.clock.set(old.expires_at + timedelta(days=1))
    newest = await world.service.quote(guest, NewQuote(world.court.id, words.TEN + timedelta(days=2), 60))
    assert [await there(q.id) for q in (old, middle, newest)] == [False, True, True]


async def test_a_code_lowers_the_price_and_what_is_charged(world: Any) -> None:
    await world.till.make_promo(world.staff, world.organisation_id, NewPromoCode(code="HALF", kind=PromoKind.PERCENT, value=50))
    guest = await world.rich(amount=10_000)
    booked = await world.book(guest, promo_code="HALF")
    assert (booked.price.amount, booked.paid.amount, await world.balance(guest)) == (1_000, 1_000, 9_000)
    with pytest.raises(PromoRejected):
        await world.book(guest, promo_code="NONE", resource_id=world.other_court.id)


# --- free times


async def test_what_is_booked_is_not_free_on_the_court_and_on_what_shares_its_parts(world: Any, words: Any) -> None:
    before = await free(world)
    assert words.TEN in starts_on(before, world.left) & starts_on(before, world.hall) & starts_on(before, world.right)
    await world.hold(world.newcomer(), resource_id=world.left.id)
    after = await free(world)
    assert words.TEN not in starts_on(after, world.left) | starts_on(after, world.hall)
    assert words.TEN in starts_on(after, world.right)
    world.clock.advance(timedelta(minutes=10))
    assert words.TEN in starts_on(await free(world), world.hall), "an unpaid hold is over by itself"


async def test_free_times_are_bounded(world: Any) -> None:
    assert len((await free(world, to_date=date(2026, 7, 2))).days) == 31
    with pytest.raises(Invalid):
        await free(world, to_date=date(2026, 7, 3))
    with pytest.raises(NotFound):
        await free(world, resource_id=uuid4())


async def test_every_free_start_can_be_booked_and_no_other(world: Any) -> None:
    guest = world.newcomer()
    await world.hold(guest)
    open_starts = starts_on(await free(world, resource_id=world.court.id), world.court)
    for quarter in range(0, 24 * 4, 3):
        start = datetime(2026, 6, 1, 23, tzinfo=UTC) + timedelta(minutes=15 * quarter)
        if start in open_starts:
            held = await world.hold(guest, start=start)
            await world.service.cancel(guest, held.id, Cancel())
        else:
            with pytest.raises(SlotTaken):
                await world.hold(guest, start=start)


async def test_a_booking_across_the_night_the_clocks_change_is_as_long_as_it_says(world: Any) -> None:
    world.clock.set(datetime(2026, 10, 20, 12, tzinfo=UTC))
    guest = world.newcomer()
    held = await world.hold(guest, start=datetime(2026, 10, 25, 0, 30, tzinfo=UTC), duration_min=120)
    assert held.end - held.start == timedelta(hours=2)
    assert held.local_start.isoformat() == "2026-10-25T01:30:00+01:00"
    with pytest.raises(SlotTaken):  # 01:30 comes twice that night; the second one is inside
        await world.hold(guest, start=datetime(2026, 10, 25, 1, 30, tzinfo=UTC))
    second = await world.hold(guest, start=datetime(2026, 10, 25, 2, 30, tzinfo=UTC))
    assert second.local_start.isoformat() == "2026-10-25T02:30:00+00:00"


async def test_where_something_is_free_at_a_time(world: Any, words: Any) -> None:
    busy = await world.add_venue("Europe/London")
    only = await world.add_resource("Only court", venue_id=busy)
    await world.hold(world.newcomer(), resource_id=only.id)
    guest = world.newcomer()
    assert await world.service.free_venues(guest, [busy, world.venue_id, uuid4()], words.TEN, 60) == [world.venue_id]
    later = words.TEN + timedelta(hours=1)
    assert await world.service.free_venues(guest, [busy, world.venue_id], later, 60) == [busy, world.venue_id]


async def test_busy_time_is_told_with_its_buffers_and_cut_to_the_question(world: Any, words: Any) -> None:
    padded = await world.add_resource("Padded", buffer_before_min=15, buffer_after_min=30)
    world.service.books.drop(world.venue_id)
    await world.hold(world.newcomer(), resource_id=padded.id)
    asked = Period(words.TEN, words.TEN + timedelta(hours=2))
    busy = await world.service.busy(world.newcomer(), world.venue_id, [padded.id, world.court.id], asked)
    assert busy == {padded.id: [Period(words.TEN, words.TEN + timedelta(minutes=90))], world.court.id: []}


# --- changing


async def test_extending_charges_the_difference_and_shortening_gives_it_back(world: Any, words: Any) -> None:
    guest = await world.rich(amount=10_000)
    booked = await world.book(guest, start=words.TEN + timedelta(days=1))
    longer = await world.service.extend(guest, booked.id, Extend(90))
    assert (longer.price.amount, longer.paid.amount, await world.balance(guest)) == (3_000, 3_000, 7_000)
    shorter = await world.service.extend(guest, booked.id, Extend(60))
    assert (shorter.price.amount, shorter.paid.amount, await world.balance(guest)) == (2_000, 2_000, 8_000)
    assert len(await world.claims()) == 1


async def test_a_move_that_costs_more_than_there_are_credits_changes_nothing(world: Any) -> None:
    guest = await world.rich(amount=2_500)
    booked = await world.book(guest)
    with pytest.raises(InsufficientCredits):
        await world.service.extend(guest, booked.id, Extend(90))
    after = await world.service.booking(guest, booked.id)
    assert (after.end, after.version, await world.balance(guest)) == (booked.end, booked.version, 500)


async def test_moving_costs_the_policys_fee_for_customers_and_nothing_for_staff(world: Any, words: Any) -> None:
    await world.policies(reschedule_fee_pct=10)
    guest = await world.rich(amount=10_000)
    booked = await world.book(guest)
    moved = await world.service.reschedule(guest, booked.id, Reschedule(words.TEN + timedelta(hours=3)))
    assert (moved.price.amount, await world.balance(guest)) == (2_200, 7_800)
    again = await world.service.reschedule(guest, booked.id, Reschedule(words.TEN + timedelta(hours=3)))
    assert (again.version, await world.balance(guest)) == (moved.version, 7_800), "it is there already"


async def test_a_booking_moves_onto_a_part_of_its_own_old_time(world: Any, words: Any) -> None:
    guest = await world.rich()
    booked = await world.book(guest)
    later = words.TEN + timedelta(minutes=30)
    moved = await world.service.reschedule(guest, booked.id, Reschedule(later))
    assert moved.start == later
    assert [(c["starts_at"], c["expires_at"]) for c in await world.claims()] == [(later, None)]


async def test_an_old_version_changes_nothing(world: Any) -> None:
    staff, guest = world.staff, await world.rich()
    booked = await world.book(guest)
    after = await world.service.edit(staff, booked.id, BookingPatch(note="left-handed"), booked.version)
    assert (after.note, after.version) == ("left-handed", booked.version + 1)
    with pytest.raises(PreconditionFailed):
        await world.service.edit(staff, booked.id, BookingPatch(note="other"), booked.version)


async def test_what_is_over_stays_as_it_is(world: Any) -> None:
    guest = await world.rich()
    booked = await world.book(guest)
    await world.service.cancel(guest, booked.id, Cancel())
    with pytest.raises(InvalidTransition):
        await world.service.cancel(guest, booked.id, Cancel())
    with pytest.raises(InvalidTransition):
        await world.service.pay(guest, booked.id, Pay(PayWith.CREDITS))
    with pytest.raises(InvalidTransition):
        await world.service.extend(guest, booked.id, Extend(90))


async def test_the_preview_is_what_cancelling_gives(world: Any) -> None:
    guest = await world.rich()
    booked = await world.book(guest)
    preview = await world.service.refund_preview(guest, booked.id)
    cancelled = await world.service.cancel(guest, booked.id, Cancel())
    assert preview.refund == cancelled.refund


async def test_every_step_is_in_the_history_with_who_took_it(world: Any) -> None:
    guest = await world.rich()
    booked = await world.book(guest)
    await world.service.cancel(guest, booked.id, Cancel("rain"))
    steps = await world.service.history(guest, booked.id)
    told = [(s.from_status, s.to_status, s.actor.value) for s in steps]
    assert told == [
        (S.DRAFT, S.PAYMENT_PENDING, "customer"),
        (S.PAYMENT_PENDING, S.UPCOMING, "house"),
        (S.UPCOMING, S.CANCELLED, "customer"),
    ]
    assert steps[-1].detail == "rain"


async def test_time_begins_and_completes_bookings_and_gives_their_places_back(world: Any, words: Any) -> None:
    guest = await world.rich()
    booked = await world.book(guest)
    await world.keep_time(words.TEN - timedelta(seconds=1))
    assert (await world.service.booking(guest, booked.id)).status is S.UPCOMING
    await world.keep_time(words.TEN)
    assert (await world.service.booking(guest, booked.id)).status is S.IN_PROGRESS
    await world.keep_time(words.TEN + timedelta(hours=1))
    assert (await world.service.booking(guest, booked.id)).status is S.COMPLETED
    assert await world.claims() == []


# --- approval


async def test_content_waits_for_staff_who_approve_it_or_say_why_not(world: Any) -> None:
    guest, staff = await world.rich(amount=10_000), world.staff
    asked = await world.book(guest, purpose=Purpose.CONTENT)
    assert (asked.status, await world.balance(guest)) == (S.PENDING_APPROVAL, 8_000)
    with pytest.raises(SlotTaken):
        await world.hold(world.newcomer())
    approved = await world.service.approve(staff, asked.id)
    assert (approved.status, await world.balance(guest)) == (S.UPCOMING, 8_000)
    other = await world.hold(guest, purpose=Purpose.CONTENT, resource_id=world.other_court.id)
    declined = await world.service.decline(staff, other.id, "no cameras")
    assert declined.status is S.DECLINED
    with pytest.raises(NotFound):
        await world.service.approve(guest, uuid4())


async def test_nobody_approves_their_own_booking(world: Any) -> None:
    guest = await world.rich()
    asked = await world.hold(guest, purpose=Purpose.CONTENT)
    with pytest.raises(InvalidTransition):
        await world.service.approve(guest, asked.id)


# --- staff


async def test_staff_book_for_an_account_an_address_or_a_walk_in(world: Any, words: Any) -> None:
    staff, guest = world.staff, world.newcomer("Ada")
    email = world.people.cards[guest.account_id].email
    for i, who in enumerate(({"account_id": guest.account_id}, {"email": email}, {"name": "Bob at the door"})):
        start = words.TEN + timedelta(hours=i)
        made = await world.service.book_for(staff, StaffBooking(world.court.id, start, 60, pay_with=PayWith.DESK, **who))
        assert made.status is S.UPCOMING
    assert (made.account_id, made.guest_name) == (None, "Bob at the door")
    mine = await world.service.my_bookings(guest, BookingsQuery(soonest=True))
    assert len(mine.items) == 2
    with pytest.raises(Invalid):
        await world.service.book_for(staff, StaffBooking(world.court.id, words.TEN + timedelta(hours=5), 60))
    with pytest.raises(Invalid):
        await world.service.book_for(staff, StaffBooking(world.court.id, words.TEN + timedelta(hours=5), 60, email="x@y.z"))


async def test_notice_binds_guests_and_not_staff(world: Any, words: Any) -> None:
    await world.policies(lead_min=600)
    soon = words.NOW + timedelta(hours=2)
    with pytest.raises(OutsideHorizon):
        await world.hold(world.newcomer(), start=soon)
    made = await world.service.book_for(world.staff, StaffBooking(world.court.id, soon, 60, name="Bob", pay_with=PayWith.DESK))
    assert made.status is S.UPCOMING


async def test_the_day_sheet_shows_bookings_and_blocks_of_the_local_day_by_name(world: Any, words: Any) -> None:
    staff, guest = world.staff, await world.rich("Ada")
    booked = await world.book(guest)
    await world.service.place_block(staff, NewBlock([world.other_court.id], booked.start, booked.end, "Repairs"))
    sheet = await world.service.day(staff, world.venue_id, date(2026, 6, 2))
    assert (sheet.start, sheet.end) == (datetime(2026, 6, 1, 23, tzinfo=UTC), datetime(2026, 6, 2, 23, tzinfo=UTC))
    assert {(e.resource_id, e.title) for e in sheet.entries} == {(world.court.id, "Ada"), (world.other_court.id, "Repairs")}
    assert (await world.service.day(staff, world.venue_id, date(2026, 6, 3))).entries == []


async def test_lists_page_by_start_and_filter(world: Any, words: Any) -> None:
    guest = world.newcomer()
    made = [await world.hold(guest, start=words.TEN + timedelta(hours=i)) for i in range(5)]
    first = await world.service.my_bookings(guest, BookingsQuery(limit=3, soonest=True))
    rest = await world.service.my_bookings(guest, BookingsQuery(limit=3, soonest=True, cursor=first.next_cursor))
    assert [b.id for b in first.items + rest.items] == [b.id for b in made]
    assert rest.next_cursor is None
    latest = await world.service.my_bookings(guest, BookingsQuery())
    assert [b.id for b in latest.items] == [b.id for b in reversed(made)]
    ours = await world.service.org_bookings(world.staff, OrgBookingsQuery(account_id=guest.account_id, from_=made[3].start))
    assert [b.id for b in ours.items] == [b.id for b in made[3:]]
    assert (await world.service.my_bookings(guest, BookingsQuery(status=[S.UPCOMING]))).items == []


# --- blocks


async def test_a_block_lists_the_bookings_in_its_way_with_moves_and_never_overwrites_one(world: Any, words: Any) -> None:
    staff, guest = world.staff, await world.rich("Ada")
    booked = await world.book(guest, start=words.TEN + timedelta(days=7))
    every_week = NewBlock([world.court.id], words.TEN, words.TEN + timedelta(hours=2), "Coaching", "FREQ=WEEKLY;COUNT=3")
    preview = await world.service.preview_block(staff, every_week)
    assert [p.start for p in preview.occurrences] == [words.TEN + timedelta(days=7 * i) for i in range(3)]
    assert [h.booking.id for h in preview.hits] == [booked.id]
    assert {m.resource_id for m in preview.hits[0].moves} >= {world.other_court.id}
    assert all(
        not Period(m.start, m.end).overlaps(preview.occurrences[1])
        for m in preview.hits[0].moves
        if m.resource_id == world.court.id
    )
    with pytest.raises(PlaceBlocked) as refused:
        await world.service.place_block(staff, every_week)
    assert refused.value.extra["hits"][0]["booking"]["id"] == str(booked.id)
    assert len(await world.claims()) == 1, "none of the block was placed"
    await world.service.reschedule(staff, booked.id, Reschedule(booked.start, resource_id=world.other_court.id))
    placed = await world.service.place_block(staff, every_week)
    assert len(await world.claims(world.court)) == 3
    with pytest.raises(SlotTaken):
        await world.hold(guest)
    await world.service.remove_block(staff, placed.id)
    assert (await world.hold(guest)).status is S.PAYMENT_PENDING


async def test_a_weekly_block_keeps_its_place_on_the_wall_clock(world: Any) -> None:
    start = datetime(2026, 10, 19, 17, tzinfo=UTC)
    block = NewBlock([world.court.id], start, start + timedelta(hours=1), "League", "FREQ=WEEKLY;COUNT=2")
    preview = await world.service.preview_block(world.staff, block)
    assert [p.start for p in preview.occurrences] == [start, datetime(2026, 10, 26, 18, tzinfo=UTC)]


@pytest.mark.parametrize(
    "rule",
    ["FREQ=SECONDLY", "FREQ=YEARLY", "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30", "FREQ=WEEKLY;INTERVAL=0", "FREQ=DAILY;BYDAY=MO",
     "FREQ=WEEKLY;COUNT=1000000", "FREQ=WEEKLY;UNTIL=20261399", "nonsense", "FREQ=WEEKLY;COUNT=2;UNTIL=20270101", "FREQ=DAILY"],
)  # fmt: skip
async def test_a_rule_that_is_endless_or_not_understood_is_refused(world: Any, words: Any, rule: str) -> None:
    block = NewBlock([world.court.id], words.TEN, words.TEN + timedelta(hours=1), "x", rule)
    with pytest.raises(Invalid):
        await world.service.preview_block(world.staff, block)
    fine = NewBlock([world.court.id], words.TEN, words.TEN + timedelta(hours=1), "x", "FREQ=MONTHLY;BYDAY=1SA;COUNT=3")
    assert len((await world.service.preview_block(world.staff, fine)).occurrences) == 3


async def test_a_rule_may_end_in_any_year_wherever_the_venue_is(world: Any, words: Any) -> None:
    for timezone in ("Asia/Karachi", "America/Los_Angeles"):
        place = await world.add_resource("Court", venue_id=await world.add_venue(timezone))

        async def starts(until: str, place: Any = place, start: datetime = words.TEN) -> int:
            block = NewBlock([place.id], start, start + timedelta(hours=1), "x", f"FREQ=WEEKLY;UNTIL={until}")
            return len((await world.service.preview_block(world.staff, block)).occurrences)

        assert await starts("99991231T235959Z") == await starts("99991231") == 105, "two years, as without an end"
        assert await starts("20260609T120000Z") == 2
        for past in ("00010101T000000Z", "00010101", "٢٠٢٧٠١٠١"):
            with pytest.raises(Invalid):
                await starts(past)
        last = datetime(2199, 12, 20, 9, tzinfo=UTC)
        assert await starts("22050101", start=last) == 2, "not beyond the calendar of bookings"


async def test_what_costs_more_than_can_be_charged_at_once_is_refused_with_its_reason(world: Any) -> None:
    large = await world.add_resource("Stadium", durations_min=[60, 120])
    await world.venues_service.edit_resource(world.owner, world.venue_id, large.id, ResourcePatch(capacity=1000), None)
    await world.price(0, rules=[PriceRule(Per.PERSON_HOUR, Money(10**9, "GBP"))])
    many = {"resource_id": large.id, "duration_min": 120, "email": None, "account_id": None, "name": "A crowd"}
    with pytest.raises(Invalid, match="cost more"):
        await world.service.book_for(world.staff, StaffBooking(**many, start=world.wish().start, team_size=1000))
    fine = await world.service.book_for(world.staff, StaffBooking(**many, start=world.wish().start, team_size=500))
    assert fine.price.amount == 10**12


# --- what others hear


async def test_events_and_announcements_follow_what_was_committed(world: Any) -> None:
    guest = await world.rich()
    world.heard.said.clear()
    booked = await world.book(guest)
    assert world.heard.said == [
        (f"venue:{world.venue_id}:availability", {"venue_id": str(world.venue_id), "dates": ["2026-06-02"]})
    ]
    with pytest.raises(SlotTaken):
        await world.book(guest)
    assert len(world.heard.said) == 1
    async with world.db.module("kernel").tx(service_context("tests")) as tx:
        names = await tx.connection.fetch(
            "select name from kernel.event where organisation_id = $1 and name like 'booking.%' order by xid, id",
            world.organisation_id,
        )
    assert [n["name"] for n in names] == ["booking.held", "booking.confirmed"]
    assert booked.price == Money(2_000, "GBP")
