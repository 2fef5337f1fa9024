"""Hours and prices of one venue."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forecourt.kernel.errors import Invalid
from forecourt.kernel.money import Money
from forecourt.kernel.period import Period
from forecourt.modules.booking.contract import OutsideHorizon, TooManyOpenBookings
from forecourt.modules.booking.rules import check_request
from forecourt.modules.booking.slots import alternatives
from forecourt.modules.venues import rules
from forecourt.modules.venues.contract import (
    CapacityExceeded,
    Closure,
    DateRange,
    Location,
    OpeningHours,
    Organisation,
    OrganisationKind,
    OrganisationStatus,
    Per,
    Policies,
    PriceRule,
    Purpose,
    RefundTier,
    Resource,
    ResourceInactive,
    ResourceKind,
    Venue,
    VenueBook,
    VenueClosed,
    Weekday,
    calendar,
    tariff,
)

ID = UUID(int=1)
NOW = datetime(2026, 6, 1, tzinfo=UTC)
COURT = Resource(id=UUID(int=10), venue_id=ID, name="Court", kind=ResourceKind.COURT, capacity=4)
OTHER = msgspec.structs.replace(COURT, id=UUID(int=11), name="Other")
BASE = PriceRule(per=Per.HOUR, amount=Money(2400, "GBP"), label="Base")


def book(price_rules: list[PriceRule], hours: OpeningHours | None = None, **changes: object) -> VenueBook:
    o = Organisation(
        id=ID,
        name="Club",
        kind=OrganisationKind.CLUB,
        country="GB",
        currency="GBP",
        timezone="Europe/London",
        locale="en",
        slug="club",
        status=OrganisationStatus.ACTIVE,
        created_at=NOW,
        version=1,
    )
    v = Venue(
        id=ID,
        organisation_id=ID,
        name="Club",
        slug="club",
        address="1 Road",
        location=Location(51.5, 0.0),
        region="ENG",
        timezone="Europe/London",
        opening_hours=hours or OpeningHours(*[[("06:00", "23:00")]] * 7),
        version=1,
    )
    plain = VenueBook(version=1, organisation=o, policies=Policies(), venue=v, resources=[COURT, OTHER], rules=price_rules)
    return msgspec.structs.replace(plain, **changes)


def cost(price_rules: list[PriceRule], at: datetime, minutes: int = 60, team: int = 2) -> list[tuple[int, str | None]]:
    found = tariff.price(book(price_rules), COURT, Period.of(at, minutes), purpose=Purpose.MATCH, team_size=team)
    return [(s.amount.amount, s.label) for s in found]


@given(start=st.integers(0, 4 * 24 * 365), first=st.integers(1, 16), second=st.integers(1, 16))
def test_adjacent_periods_cost_together_what_they_cost_apart(start: int, first: int, second: int) -> None:
    b = book([BASE, msgspec.structs.replace(BASE, amount=Money(3600, "GBP"), from_="17:00", to="02:00")])
    at = NOW + timedelta(minutes=15 * start)

    def sum_of(begin: datetime, quarters: int) -> Money:
        found = tariff.price(b, COURT, Period.of(begin, 15 * quarters), purpose=Purpose.MATCH, team_size=2)
        return tariff.total(found, "GBP")

    assert sum_of(at, first) + sum_of(at + timedelta(minutes=15 * first), second) == sum_of(at, first + second) > Money(0, "GBP")


def test_the_more_specific_rule_wins_then_priority_then_order() -> None:
    evening = datetime(2026, 6, 1, 16, 30, tzinfo=UTC)  # Monday 17:30 in London
    peak = msgspec.structs.replace(
        BASE, amount=Money(3600, "GBP"), weekdays=[Weekday.MON], from_="18:00", to="22:00", label="Peak"
    )
    assert cost([BASE, peak], evening) == [(1200, "Base"), (1800, "Peak")]
    fair = msgspec.structs.replace(BASE, amount=Money(6000, "GBP"), dates=[date(2026, 6, 1)], label="Fair")
    summer = msgspec.structs.replace(fair, dates=DateRange(date(2026, 6, 1), date(2026, 8, 31)), label="Summer")
    assert cost([BASE, peak, summer, fair], evening) == [(6000, "Fair")]
    twin = msgspec.structs.replace(BASE, label="Twin")
    assert cost([BASE, twin], evening) == [(2400, "Base")]
    assert cost([BASE, msgspec.structs.replace(twin, priority=1)], evening) == [(2400, "Twin")]
    assert cost([], evening) == [(0, None)]


def test_amounts_are_per_what_they_say() -> None:
    at = datetime(2026, 6, 1, 9, tzinfo=UTC)
    rule = msgspec.structs.replace
    assert cost([rule(BASE, per=Per.BOOKING)], at, 90) == [(2400, "Base")]
    assert cost([rule(BASE, per=Per.PERSON)], at, 90, team=3) == [(7200, "Base")]
    assert cost([rule(BASE, per=Per.PERSON_HOUR)], at, 90, team=3) == [(10800, "Base")]
    assert cost([rule(BASE, multiplier="1.25", team_size=[3, 4])], at, 60, team=3) == [(3000, "Base")]
    assert cost([rule(BASE, team_size=[3, 4])], at, 60, team=2) == [(0, None)]
    lunch = rule(BASE, from_="12:00", to="13:00", label="Lunch")
    assert [a for a, _ in cost([rule(BASE, per=Per.BOOKING), lunch], at, 300)] == [2400, 2400, 0]


def test_holidays_close_the_venue_and_change_the_price_only_when_something_says_so() -> None:
    christmas = date(2026, 12, 25)
    assert calendar.open_periods(book([]), christmas)
    assert calendar.open_periods(book([], closures=[Closure(ID, ID, "holiday", holiday=True)]), christmas) == []
    feast = msgspec.structs.replace(BASE, holiday=True, amount=Money(9900, "GBP"), label="Holiday")
    assert cost([BASE, feast], datetime(2026, 12, 25, 10, tzinfo=UTC)) == [(9900, "Holiday")]
    assert cost([BASE, feast], datetime(2026, 12, 24, 10, tzinfo=UTC)) == [(2400, "Base")]


def test_a_rule_about_someone_else_costs_nobody_else() -> None:
    monday = datetime(2026, 6, 1, 10, tzinfo=UTC)
    dear = msgspec.structs.replace(BASE, amount=Money(9900, "GBP"), label="Dear")
    for condition, applies in (
        ({"resource_ids": [OTHER.id]}, False),
        ({"resource_ids": [COURT.id]}, True),
        ({"purpose": Purpose.SOCIAL}, False),
        ({"purpose": Purpose.MATCH}, True),
        ({"member_tier": "gold"}, False),
        ({"team_size": 3}, False),
        ({"team_size": 2}, True),
        ({"team_size": [3, 4]}, False),
        ({"team_size": [1, 2]}, True),
    ):
        found = cost([BASE, msgspec.structs.replace(dear, **condition)], monday)
        assert found == ([(9900, "Dear")] if applies else [(2400, "Base")]), condition


def test_a_members_price_is_the_members_alone() -> None:
    gold = msgspec.structs.replace(BASE, amount=Money(1000, "GBP"), member_tier="gold")
    place, hour = book([BASE, gold]), Period.of(datetime(2026, 6, 1, 10, tzinfo=UTC), 60)
    paid = [
        tariff.total(tariff.price(place, COURT, hour, purpose=Purpose.MATCH, team_size=2, member_tier=tier), "GBP").amount
        for tier in (None, "silver", "gold")
    ]
    assert paid == [2400, 2400, 1000]


def test_the_price_on_a_card_is_the_lowest_that_anyone_pays_by_the_hour() -> None:
    off_peak = msgspec.structs.replace(BASE, multiplier="0.5")
    member = msgspec.structs.replace(BASE, amount=Money(100, "GBP"), member_tier="gold")
    entry = msgspec.structs.replace(BASE, amount=Money(50, "GBP"), per=Per.BOOKING)
    assert tariff.from_price(book([BASE, member, off_peak, entry])) == Money(1200, "GBP")
    assert tariff.from_price(book([entry])) is None


def test_a_local_day_is_as_long_as_the_clocks_make_it() -> None:
    lengths = [
        calendar.day_bounds(book([]), day).duration_min for day in (date(2026, 3, 29), date(2026, 6, 1), date(2026, 10, 25))
    ]
    assert lengths == [23 * 60, 24 * 60, 25 * 60]


def test_a_country_without_a_known_calendar_has_no_holidays() -> None:
    new_year = date(2026, 1, 1)
    nowhere = msgspec.structs.replace(book([]), organisation=msgspec.structs.replace(book([]).organisation, country="XK0"))
    assert calendar.is_holiday(book([]), new_year)
    assert not calendar.is_holiday(nowhere, new_year)


def test_periods_that_overlap_are_one_and_hours_that_the_clocks_jump_over_add_nothing() -> None:
    long, short = Period.of(NOW, 120), Period.of(NOW + timedelta(minutes=30), 30)
    assert calendar.merged([short, long]) == [long]
    assert calendar.merged([Period.of(NOW + timedelta(minutes=60), 120), long]) == [Period.of(NOW, 180)]
    night = OpeningHours(sun=[("01:00", "02:00"), ("10:00", "11:00")])
    assert len(calendar.open_periods(book([], night), date(2026, 3, 22))) == 2
    assert len(calendar.open_periods(book([], night), date(2026, 3, 29))) == 1


def test_an_evening_ends_at_midnight_when_the_next_day_is_closed() -> None:
    late, sunday = OpeningHours(sun=[("18:00", "02:00")]), date(2026, 6, 7)
    shut = Closure(ID, ID, "Repairs", DateRange(date(2026, 6, 8), date(2026, 6, 8)))
    assert [p.duration_min for p in calendar.open_periods(book([], late), sunday)] == [8 * 60]
    assert [p.duration_min for p in calendar.open_periods(book([], late, closures=[shut]), sunday)] == [6 * 60]


def test_overlapping_hours_are_named_and_touching_ones_are_not() -> None:
    assert rules.validate_hours(OpeningHours(mon=[("06:00", "12:00"), ("12:00", "24:00")], tue=[("00:00", "02:00")])) == []
    assert len(rules.validate_hours(OpeningHours(mon=[("06:00", "12:00"), ("11:00", "13:00")]))) == 1
    assert len(rules.validate_hours(OpeningHours(sun=[("18:00", "02:00")], mon=[("01:00", "05:00")]))) == 1
    assert len(rules.validate_hours(OpeningHours(mon=[("06:00", "06:00")]))) == 1


def test_faults_that_types_cannot_see_are_found() -> None:
    assert (
        rules.validate_timezone("Europe/London")
        == []
        != rules.validate_timezone("Mars/Base")
        != rules.validate_timezone("../etc")
    )
    assert rules.validate_resource(COURT, [OTHER]) == []
    ring = msgspec.structs.replace(OTHER, part_ids=[COURT.id])
    for wrong in (
        {"part_ids": [COURT.id]},
        {"part_ids": [OTHER.id]},
        {"durations_min": [50]},
        {"slot_min": 7},
        {"part_ids": [ID]},
    ):
        assert rules.validate_resource(msgspec.structs.replace(COURT, **wrong), [ring]) != [], wrong
    assert rules.validate_policies(Policies()) == []
    assert rules.validate_policies(Policies(cancellation=[RefundTier(2, 50), RefundTier(24, 100)])) != []
    assert rules.validate_rules([BASE], "GBP", []) == [] != rules.validate_rules([BASE], "EUR", [])


def test_a_request_is_refused_for_each_reason_and_for_no_other() -> None:
    good = datetime(2026, 6, 2, 9, tzinfo=UTC)

    def ask(resource: Resource = COURT, start: datetime = good, minutes: int = 60, team: int = 2, count: int = 0) -> None:
        check_request(book([]), resource, Period.of(start, minutes), Purpose.MATCH, team, NOW, count)

    ask()
    for problem, wrong in [
        (Invalid, {"start": good + timedelta(minutes=1)}),
        (Invalid, {"start": NOW - timedelta(hours=10)}),
        (Invalid, {"minutes": 50}),
        (VenueClosed, {"start": good + timedelta(hours=13)}),
        (CapacityExceeded, {"team": 5}),
        (TooManyOpenBookings, {"count": 200}),
        (OutsideHorizon, {"start": good + timedelta(days=400)}),
        (ResourceInactive, {"resource": msgspec.structs.replace(COURT, active=False)}),
        (OutsideHorizon, {"resource": msgspec.structs.replace(COURT, lead_min=3000)}),
    ]:
        with pytest.raises(problem):
            ask(**wrong)


def test_instead_of_a_taken_place_come_its_neighbour_and_the_nearest_times() -> None:
    period = Period.of(datetime(2026, 6, 2, 9, tzinfo=UTC), 60)
    found = alternatives(
        book([BASE]),
        COURT,
        period,
        purpose=Purpose.MATCH,
        team_size=2,
        busy={COURT.id: [(period.start, period.end)]},
        now=NOW,
        limit=4,
    )
    assert (found[0].resource_id, found[0].start) == (OTHER.id, period.start)
    assert {a.start - period.start for a in found[1:3]} == {timedelta(hours=-1), timedelta(hours=1)}
