"""What a booking asks of its place, what its quote says, and what free time looks like at the edges."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.modules.booking.test_rules import gbp
from tests.modules.booking.test_slots_oracle import court, day_before, make_book

from forecourt.kernel.errors import Invalid
from forecourt.kernel.period import Period
from forecourt.modules.booking import rules, slots
from forecourt.modules.booking.contract import LineKind, OutsideHorizon, QuoteLine, TaxLine, TooManyOpenBookings
from forecourt.modules.booking.service.pricing import Bill, plan, rebill
from forecourt.modules.venues.contract import (
    CapacityExceeded,
    OrganisationInactive,
    OrganisationStatus,
    Policies,
    Purpose,
    Resource,
    ResourceInactive,
    Tax,
    VenueBook,
    VenueClosed,
    tariff,
)

NOW = datetime(2026, 6, 1, 9, tzinfo=UTC)
TEN = datetime(2026, 6, 2, 9, tzinfo=UTC)
"""10:00 in London."""
COURT = court(people={Purpose.MATCH: (2, 4)}, durations_min=[60, 90])
BOOK = make_book("Europe/London", [("06:00", "23:00")], [COURT])


# --- asking -----------------------------------------------------------------------------------------------------------


def ask(book: VenueBook = BOOK, resource: Resource = COURT, start: datetime = TEN, minutes: int = 60, **more: Any) -> None:
    given: dict[str, Any] = {"purpose": Purpose.MATCH, "team_size": 2, "now": NOW, "open_count": 0} | more
    rules.check_request(book, resource, Period.of(start, minutes), **given)


def with_policies(**changes: Any) -> VenueBook:
    return replace(BOOK, policies=replace(Policies(), **changes))


@pytest.mark.parametrize(
    ("problem", "wrong"),
    [
        (
            OrganisationInactive,
            {"book": replace(BOOK, organisation=replace(BOOK.organisation, status=OrganisationStatus.SUSPENDED))},
        ),
        (ResourceInactive, {"resource": replace(COURT, active=False)}),
        (Invalid, {"minutes": 75}),
        (Invalid, {"start": TEN + timedelta(minutes=5)}),
        (Invalid, {"start": TEN + timedelta(seconds=1)}),
        (Invalid, {"start": TEN + timedelta(microseconds=1)}),
        (CapacityExceeded, {"team_size": 1}),
        (CapacityExceeded, {"team_size": 5}),
        (VenueClosed, {"start": datetime(2026, 6, 2, 21, 30, tzinfo=UTC)}),
        (Invalid, {"start": NOW - timedelta(hours=1)}),
        (OutsideHorizon, {"book": with_policies(lead_min=24 * 60 + 1)}),
        (OutsideHorizon, {"book": with_policies(horizon_days=0)}),
        (OutsideHorizon, {"resource": replace(COURT, horizon_days=0)}),
        (TooManyOpenBookings, {"open_count": Policies().max_open_bookings}),
    ],
)
def test_a_request_is_refused_for_its_one_fault(problem: type[Exception], wrong: dict[str, Any]) -> None:
    ask()
    with pytest.raises(problem):
        ask(**wrong)


def test_notice_and_horizon_hold_to_the_minute_and_a_resources_own_come_first() -> None:
    ask(with_policies(lead_min=24 * 60))
    ask(with_policies(horizon_days=1))
    ask(with_policies(lead_min=9999, horizon_days=0), replace(COURT, lead_min=0, horizon_days=1))
    assert (rules.lead_min(BOOK, COURT), rules.horizon_days(BOOK, COURT)) == (BOOK.policies.lead_min, BOOK.policies.horizon_days)


def test_as_many_come_as_are_named_or_the_fewest_that_may() -> None:
    assert rules.party(COURT, Purpose.MATCH, None) == 2
    assert rules.party(COURT, Purpose.WORKOUT, None) == 1
    assert rules.party(COURT, Purpose.MATCH, 4) == 4
    with pytest.raises(CapacityExceeded):
        rules.party(COURT, Purpose.WORKOUT, COURT.capacity + 1)


def test_the_grid_is_what_the_clock_on_the_wall_shows() -> None:
    half_past = make_book("Asia/Kolkata", [("00:00", "24:00")], [COURT])
    hourly = replace(COURT, slot_min=60)
    assert rules.on_grid(half_past, hourly, datetime(2026, 6, 2, 4, 30, tzinfo=UTC))  # 10:00 there
    assert not rules.on_grid(half_past, hourly, datetime(2026, 6, 2, 4, 0, tzinfo=UTC))


# --- quotes -----------------------------------------------------------------------------------------------------------


def test_a_quote_has_a_line_for_each_price_with_the_times_of_the_place() -> None:
    period = Period.of(datetime(2026, 6, 2, 15, 30, tzinfo=UTC), 60)  # 16:30 in London
    segments = tariff.price(BOOK, COURT, period, purpose=Purpose.MATCH, team_size=2)
    lines = rules.quote_lines(BOOK, COURT, segments)
    assert lines == [
        QuoteLine("Court 10, 16:30–17:00", gbp(1000), rule=None),
        QuoteLine("Peak, 17:00–17:30", gbp(1500), rule="Peak"),
    ]
    assert rules.quote_lines(BOOK, COURT, []) == []


def test_included_and_added_taxes_stand_beside_each_other() -> None:
    tax = rules.tax_lines([Tax("20"), Tax("5", included=False)], gbp(1200))
    assert tax == [TaxLine("20", gbp(200), True), TaxLine("5", gbp(50), False)]
    assert rules.quote_total([QuoteLine("Court", gbp(1200))], tax, "GBP") == gbp(1250)
    assert rules.tax_lines([], gbp(1200)) == []
    assert rules.tax_lines([Tax("0")], gbp(1200)) == [TaxLine("0", gbp(0), True)]


TAXES = st.lists(st.builds(Tax, st.sampled_from(["0", "5", "7.7", "20"]), included=st.booleans()), max_size=3)


def adds_up(bill: Bill, taxes: list[Tax]) -> None:
    """The lines and the added taxes come to the total, and each tax is its rate of the net, but for a penny of rounding each."""
    assert (
        sum(line.amount.amount for line in bill.lines) + sum(t.amount.amount for t in bill.tax if not t.included)
        == bill.total.amount
    )
    net = Decimal(bill.total.amount) * 100 / (100 + sum(Decimal(t.rate) for t in taxes))
    assert [t.rate for t in bill.tax] == [t.rate for t in taxes]
    assert all(abs(t.amount.amount - net * Decimal(t.rate) / 100) <= 2 for t in bill.tax)


@settings(max_examples=60, deadline=None)
@given(taxes=TAXES, total=st.integers(0, 10**6), fee=st.integers(0, 10**4))
def test_a_bill_adds_up_whatever_was_agreed_and_its_tax_is_that_of_the_total(taxes: list[Tax], total: int, fee: int) -> None:
    book = replace(BOOK, organisation=replace(BOOK.organisation, tax=taxes))
    planned = plan(book, COURT, TEN, 90, Purpose.WORKOUT, 2)
    adds_up(planned.bill, taxes)
    adds_up(rebill(taxes, planned.bill.lines, gbp(total), [(LineKind.MOVING, gbp(min(fee, total)))], "Code"), taxes)
    assert rebill(taxes, planned.bill.lines, planned.bill.total, [], "Code").total == planned.bill.total


def test_half_of_a_price_has_half_of_its_tax() -> None:
    book = replace(BOOK, organisation=replace(BOOK.organisation, tax=[Tax("20")]))
    planned = plan(book, COURT, TEN, 60, Purpose.WORKOUT, 2)
    half = rebill([Tax("20")], planned.bill.lines, gbp(1000), [], "HALF")
    assert (planned.bill.tax[0].amount, half.tax[0].amount) == (gbp(333), gbp(167))
    assert [(line.label, line.amount) for line in half.lines][1:] == [("HALF", gbp(-1000))]


@settings(max_examples=25, deadline=None)
@given(taxes=TAXES, length=st.sampled_from([60, 90]))
def test_a_free_slot_costs_what_its_quote_says(taxes: list[Tax], length: int) -> None:
    slots.plans.clear()
    book = replace(BOOK, organisation=replace(BOOK.organisation, tax=taxes))
    free = slots.free_slots(book, COURT, date(2026, 6, 2), duration_min=length, busy=[], now=NOW)
    assert len({s.price.amount for s in free}) > 1, "peak and not"
    for slot in free:
        assert slot.price == plan(book, COURT, slot.start, length, Purpose.WORKOUT, None).bill.total


# --- free time --------------------------------------------------------------------------------------------------------

DAY = date(2026, 6, 2)


def free(resource: Resource, busy: slots.Busy = (), now: datetime | None = None, minutes: int = 60) -> list[datetime]:
    now = now or day_before(DAY)
    return [s.start for s in slots.free_slots(BOOK, resource, DAY, duration_min=minutes, busy=busy, now=now)]


def test_a_date_beyond_the_horizon_or_in_the_past_has_no_free_start() -> None:
    plain = court()
    assert free(plain)
    assert free(plain, now=day_before(DAY) - timedelta(days=400)) == []
    assert free(plain, now=datetime(2026, 6, 9, tzinfo=UTC)) == []
    assert free(replace(plain, horizon_days=1)) == []
    assert len(free(replace(plain, lead_min=3 * 24 * 60))) < len(free(plain))


def test_claims_that_contain_touch_or_lie_outside_each_other_strike_what_they_cover() -> None:
    plain = court()
    noon = datetime(2026, 6, 2, 11, tzinfo=UTC)
    hour = timedelta(hours=1)
    one = free(plain, [(noon, noon + 2 * hour)])
    assert noon not in one and noon + 2 * hour in one and noon - hour in one
    assert free(plain, [(noon, noon + 2 * hour), (noon + hour / 2, noon + hour)]) == one
    assert free(plain, [(noon, noon + hour), (noon + hour, noon + 2 * hour)]) == one
    week = timedelta(days=7)
    assert free(plain, [(noon - week, noon - week + hour), (noon + week, noon + week + hour)]) == free(plain)


def test_availability_is_the_same_asked_for_one_date_or_for_many_in_any_order() -> None:
    plain = court()
    slots.plans.clear()
    asked = (BOOK, [plain], DAY - timedelta(days=1), DAY + timedelta(days=1), 60, None, {}, day_before(DAY))
    alone = free(plain)
    together = slots.availability(*asked)  # one date is known by now, its neighbours are made
    again = slots.availability(*asked)  # all are known
    assert together == again and [s.start for s in together.days[1].resources[0].slots] == alone


def test_the_time_that_can_matter_is_the_day_with_the_buffers_and_the_length() -> None:
    padded = court(buffer_before_min=30, buffer_after_min=15)
    window = slots.busy_window(BOOK, [court(), padded], DAY, DAY, 90)
    midnight = datetime(DAY.year, DAY.month, DAY.day, tzinfo=ZoneInfo("Europe/London"))
    assert window == Period(midnight - timedelta(minutes=30), midnight + timedelta(days=1, minutes=105))


@pytest.mark.parametrize("day", [DAY, date(2026, 3, 28), date(2026, 3, 29), date(2026, 10, 24), date(2026, 10, 25)])
def test_a_claim_at_the_edge_of_that_time_matters_and_one_outside_it_does_not(day: date) -> None:
    """Also around the nights in which the clocks change."""
    padded = court(buffer_before_min=30, buffer_after_min=15, durations_min=[180])
    book = make_book("Europe/London", [("00:00", "24:00")], [padded])
    window = slots.busy_window(book, [padded], day, day, 180)
    minute = timedelta(minutes=1)

    def starts(busy: list[tuple[datetime, datetime]]) -> list[datetime]:
        found = slots.free_slots(book, padded, day, duration_min=180, busy=busy, now=day_before(day))
        return [s.start for s in found]

    everything = starts([])
    assert starts([(window.start - 60 * minute, window.start)]) == everything
    assert starts([(window.end, window.end + 60 * minute)]) == everything
    assert everything[0] not in starts([(window.start - 60 * minute, window.start + minute)])
    claim_ends = everything[-1] + timedelta(minutes=195)
    assert claim_ends <= window.end
    assert everything[-1] not in starts([(claim_ends - minute, claim_ends + 60 * minute)])


def test_instead_of_a_taken_time_come_only_places_like_it_and_no_more_than_asked() -> None:
    asked = court(10)
    alike = [court(n) for n in (11, 12)]
    other = court(13, sport="tennis")
    closed = court(14, active=False)
    book = make_book("Europe/London", [("06:00", "23:00")], [asked, *alike, other, closed])
    period = Period.of(TEN, 60)

    def instead(limit: int, busy: dict[UUID, Any]) -> list[tuple[int, datetime]]:
        found = slots.alternatives(book, asked, period, purpose=Purpose.WORKOUT, team_size=1, busy=busy, now=NOW, limit=limit)
        return [(a.resource_id.int, a.start) for a in found]

    taken = {asked.id: [(TEN, TEN + timedelta(hours=1))]}
    both = instead(6, taken)
    assert both[:2] == [(11, TEN), (12, TEN)] and {n for n, _ in both[2:]} == {10} and len(both) == 6
    assert [n for n, _ in instead(2, taken)] == [11, 10]
    full = taken | {r.id: taken[asked.id] for r in alike}
    assert {n for n, _ in instead(6, full)} == {10}
