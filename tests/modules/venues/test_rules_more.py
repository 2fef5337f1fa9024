"""What may be written into a venue's book, fault by fault, and the corners of its calendar and tariff."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace
from tests.modules.venues.test_rules import BASE, COURT, ID, NOW, OTHER, book

from forecourt.kernel.money import Money
from forecourt.kernel.period import Period
from forecourt.modules.venues import rules
from forecourt.modules.venues.contract import (
    Closure,
    DateRange,
    NewClosure,
    OpeningHours,
    Per,
    Policies,
    PriceRule,
    Purpose,
    RefundTier,
    Resource,
    VenueBook,
    Weekday,
    calendar,
    tariff,
)

MONDAY = date(2026, 6, 1)


def paths(faults: list[Any]) -> list[str]:
    return [fault.path for fault in faults]


# --- what may be written ----------------------------------------------------------------------------------------------


def test_a_region_is_one_whose_holidays_are_known() -> None:
    assert rules.validate_region("GB", None) == []
    assert rules.validate_region("GB", "ENG") == []
    assert paths(rules.validate_region("GB", "Narnia")) == ["region"]
    assert paths(rules.validate_region("XX", "ENG", "venue.region")) == ["venue.region"]


def test_a_range_of_dates_ends_no_earlier_than_it_begins() -> None:
    assert rules.validate_dates(DateRange(MONDAY, MONDAY)) == []
    assert paths(rules.validate_dates(DateRange(MONDAY, MONDAY - timedelta(days=1)), "rules[0].dates")) == ["rules[0].dates.to"]


def test_a_closure_is_about_dates_or_holidays_and_never_both() -> None:
    day = DateRange(MONDAY, MONDAY)
    assert rules.validate_closure(NewClosure("works", dates=day)) == []
    assert rules.validate_closure(NewClosure("holidays", holiday=True)) == []
    assert paths(rules.validate_closure(NewClosure("both", dates=day, holiday=True))) == ["dates"]
    assert paths(rules.validate_closure(NewClosure("neither"))) == ["dates"]
    backwards = NewClosure("backwards", dates=DateRange(MONDAY, MONDAY - timedelta(days=1)))
    assert paths(rules.validate_closure(backwards)) == ["dates.to"]


@pytest.mark.parametrize(
    ("wrong", "path"),
    [
        ({"amount": Money(2400, "EUR")}, "rules[1].amount.currency"),
        ({"amount": Money(-1, "GBP")}, "rules[1].amount.amount"),
        ({"amount": Money(10**12, "GBP")}, "rules[1].amount.amount"),
        ({"amount": Money(10**10 + 1, "GBP"), "multiplier": "0.5"}, "rules[1].amount.amount"),
        ({"amount": Money(10**10, "GBP"), "multiplier": "1.0001"}, "rules[1].multiplier"),
        ({"dates": DateRange(MONDAY, MONDAY - timedelta(days=1))}, "rules[1].dates.to"),
        ({"team_size": [4, 2]}, "rules[1].team_size"),
        ({"from_": "09:00", "to": "09:00"}, "rules[1].to"),
        ({"resource_ids": [ID]}, "rules[1].resource_ids"),
    ],
)
def test_a_price_rule_with_a_fault_is_named_by_its_place(wrong: dict[str, Any], path: str) -> None:
    assert paths(rules.validate_rules([BASE, replace(BASE, **wrong)], "GBP", [COURT.id])) == [path]


def test_price_rules_that_look_odd_and_are_right_pass() -> None:
    right = [
        replace(BASE, amount=Money(0, "GBP")),
        replace(BASE, amount=Money(10**10, "GBP"), multiplier="1"),
        replace(BASE, dates=[MONDAY]),
        replace(BASE, dates=DateRange(MONDAY, MONDAY)),
        replace(BASE, team_size=2),
        replace(BASE, team_size=[3, 3]),
        replace(BASE, from_="22:00", to="02:00"),
        replace(BASE, resource_ids=[COURT.id]),
    ]
    assert rules.validate_rules(right, "GBP", [COURT.id]) == []


@pytest.mark.parametrize(
    ("wrong", "path"),
    [
        ({"cancellation": [RefundTier(24, 100), RefundTier(24, 50)]}, "cancellation[1].before_h"),
        ({"cancellation": [RefundTier(24, 50), RefundTier(2, 60)]}, "cancellation[1].refund_pct"),
        ({"quiet_hours": ("22:00", "22:00")}, "quiet_hours"),
        ({"lead_min": 1441, "horizon_days": 1}, "lead_min"),
    ],
)
def test_policies_that_contradict_themselves_are_named(wrong: dict[str, Any], path: str) -> None:
    assert paths(rules.validate_policies(replace(Policies(), **wrong))) == [path]


def test_policies_at_their_bounds_pass() -> None:
    edge = replace(
        Policies(),
        cancellation=[RefundTier(24, 50), RefundTier(2, 50)],
        quiet_hours=("22:00", "07:00"),
        lead_min=1440,
        horizon_days=1,
    )
    assert rules.validate_policies(edge) == []


@pytest.mark.parametrize(
    ("wrong", "path"),
    [
        ({"slot_min": 50, "durations_min": [50]}, "slot_min"),
        ({"durations_min": [60, 50]}, "durations_min"),
        ({"durations_min": [60, 60]}, "durations_min"),
        ({"people": {Purpose.MATCH: (4, 2)}}, "people.match"),
        ({"people": {Purpose.MATCH: (2, 5)}}, "people.match"),
        ({"part_ids": [COURT.id]}, "part_ids"),
        ({"part_ids": [OTHER.id, OTHER.id]}, "part_ids"),
        ({"part_ids": [ID]}, "part_ids"),
    ],
)
def test_a_resource_with_a_fault_is_named_by_its_field(wrong: dict[str, Any], path: str) -> None:
    assert paths(rules.validate_resource(replace(COURT, **wrong), [OTHER])) == [path]


def test_a_resource_may_have_parts_that_have_parts_and_no_circle() -> None:
    third = replace(COURT, id=UUID(int=12))
    whole = replace(COURT, part_ids=[OTHER.id], people={Purpose.MATCH: (2, 4)})
    assert rules.validate_resource(whole, [replace(OTHER, part_ids=[third.id]), third]) == []
    circle = [replace(OTHER, part_ids=[third.id]), replace(third, part_ids=[COURT.id])]
    assert paths(rules.validate_resource(whole, circle)) == ["part_ids"]


def test_a_time_zone_is_an_iana_name() -> None:
    assert rules.validate_timezone("Asia/Karachi") == []
    for name in ("Mars/Base", "../etc/passwd", ""):
        assert paths(rules.validate_timezone(name, "venue.timezone")) == ["venue.timezone"]


def test_hours_round_the_end_of_the_week_touch_and_do_not_overlap() -> None:
    assert rules.validate_hours(OpeningHours(sun=[("18:00", "02:00")], mon=[("02:00", "05:00")])) == []
    assert rules.validate_hours(OpeningHours()) == []


# --- the calendar -----------------------------------------------------------------------------------------------------


def in_country(country: str, region: str | None = None, **changes: Any) -> VenueBook:
    plain = book([BASE], **changes)
    venue = replace(plain.venue, region=region)
    return replace(plain, organisation=replace(plain.organisation, country=country), venue=venue)


def test_a_country_that_the_calendar_does_not_cover_has_no_holidays() -> None:
    christmas = date(2026, 12, 25)
    shut = {"closures": [Closure(ID, ID, "holidays", holiday=True)]}
    assert calendar.is_holiday(in_country("GB"), christmas)
    assert not calendar.is_holiday(in_country("XX"), christmas)
    assert calendar.open_periods(in_country("GB", **shut), christmas) == []
    assert calendar.open_periods(in_country("XX", **shut), christmas) != []


def test_a_region_has_its_own_holidays() -> None:
    st_andrew = date(2026, 11, 30)
    assert calendar.is_holiday(in_country("GB", "SCT"), st_andrew)
    assert not calendar.is_holiday(in_country("GB", "ENG"), st_andrew)


def test_a_closed_date_takes_the_tail_of_the_evening_before() -> None:
    late = OpeningHours(*[[("18:00", "02:00")]] * 7)
    day = MONDAY
    shut = book([], late, closures=[Closure(ID, ID, "works", dates=DateRange(day + timedelta(days=1), day + timedelta(days=1)))])
    (open_late,) = calendar.open_periods(book([], late), day)
    (cut,) = calendar.open_periods(shut, day)
    assert (open_late.duration_min, cut.duration_min) == (480, 360)
    assert calendar.open_periods(shut, day + timedelta(days=1)) == []


def test_an_interval_inside_the_hour_that_the_clocks_jump_over_is_no_time() -> None:
    spring = date(2026, 3, 29)
    night = book([], OpeningHours(*[[("01:00", "02:00"), ("06:00", "07:00")]] * 7))
    assert [p.duration_min for p in calendar.open_periods(night, spring)] == [60]
    assert [p.duration_min for p in calendar.open_periods(night, spring - timedelta(days=1))] == [60, 60]


def test_periods_merge_where_they_touch_overlap_or_contain_each_other() -> None:
    def hours(first: int, last: int) -> Period:
        return Period(NOW + timedelta(hours=first), NOW + timedelta(hours=last))

    assert calendar.merged([hours(5, 6), hours(0, 4), hours(1, 2), hours(4, 5)]) == [hours(0, 6)]
    assert calendar.merged([hours(0, 1), hours(2, 3)]) == [hours(0, 1), hours(2, 3)]
    assert calendar.merged([]) == []


def test_a_day_has_as_many_hours_as_the_clocks_leave_it() -> None:
    lengths = [calendar.day_bounds(book([]), day).duration_min // 60 for day in (date(2026, 3, 29), date(2026, 10, 25), MONDAY)]
    assert lengths == [23, 25, 24]


def test_open_means_without_a_break() -> None:
    split = book([], OpeningHours(*[[("06:00", "12:00"), ("13:00", "23:00")]] * 7))
    at = datetime(2026, 6, 1, 10, tzinfo=UTC)  # 11:00 in London
    assert calendar.is_open(split, Period.of(at, 60))
    assert not calendar.is_open(split, Period.of(at, 61))
    assert calendar.is_open(split, Period.of(at + timedelta(hours=2), 60))


# --- the tariff -------------------------------------------------------------------------------------------------------


def cheapest(price_rules: list[PriceRule], start: datetime, resource: Resource = COURT, **party: Any) -> list[int]:
    asked: dict[str, Any] = {"purpose": Purpose.MATCH, "team_size": 2} | party
    return [s.amount.amount for s in tariff.price(book(price_rules), resource, Period.of(start, 60), **asked)]


NOON = datetime(2026, 6, 1, 11, tzinfo=UTC)
DEAR = replace(BASE, amount=Money(9900, "GBP"), label="Dear")


@pytest.mark.parametrize(
    ("condition", "party", "applies"),
    [
        ({"resource_ids": [COURT.id]}, {}, True),
        ({"resource_ids": [OTHER.id]}, {}, False),
        ({"purpose": Purpose.MATCH}, {}, True),
        ({"purpose": Purpose.CONTENT}, {}, False),
        ({"member_tier": "gold"}, {"member_tier": "gold"}, True),
        ({"member_tier": "gold"}, {}, False),
        ({"team_size": 2}, {}, True),
        ({"team_size": 3}, {}, False),
        ({"team_size": [2, 3]}, {}, True),
        ({"team_size": [3, 4]}, {}, False),
        ({"weekdays": [Weekday.MON]}, {}, True),
        ({"weekdays": [Weekday.TUE]}, {}, False),
        ({"dates": [MONDAY]}, {}, True),
        ({"dates": [MONDAY + timedelta(days=1)]}, {}, False),
        ({"dates": DateRange(MONDAY, MONDAY)}, {}, True),
        ({"dates": DateRange(MONDAY + timedelta(days=1), MONDAY + timedelta(days=2))}, {}, False),
        ({"holiday": False}, {}, True),
        ({"holiday": True}, {}, False),
        ({"from_": "12:00"}, {}, True),
        ({"to": "13:00"}, {}, True),
        ({"from_": "14:00"}, {}, False),
        ({"from_": "22:00", "to": "02:00"}, {}, False),
    ],
)
def test_a_rule_holds_when_all_it_says_is_true(condition: dict[str, Any], party: dict[str, Any], applies: bool) -> None:
    found = cheapest([BASE, replace(DEAR, **condition)], NOON, **party)
    assert found == ([9900] if applies else [2400])


def test_single_dates_beat_holidays_beat_a_season_beats_a_week() -> None:
    single = replace(BASE, dates=[MONDAY, MONDAY])
    feast = replace(BASE, holiday=True)
    season = replace(BASE, dates=DateRange(MONDAY, MONDAY + timedelta(days=90)))
    weekday = replace(BASE, weekdays=[Weekday.MON], from_="09:00", purpose=Purpose.MATCH)
    until = replace(BASE, to="09:00")
    ordered = [single, feast, season, weekday, until, BASE]
    assert sorted(ordered, key=tariff.specificity, reverse=True) == ordered
    assert tariff.specificity(single)[0] == -1  # the same date twice is one day


def test_a_window_inside_the_hour_that_is_jumped_over_is_none() -> None:
    spring = date(2026, 3, 29)
    rule = replace(BASE, from_="01:00", to="02:00")
    assert tariff.rule_window(book([rule]), rule, spring) is None
    found = tariff.rule_window(book([rule]), rule, spring - timedelta(days=1))
    assert found is not None and found.duration_min == 60


def test_an_amount_per_person_or_booking_is_charged_once_however_often_its_rule_returns() -> None:
    lunch = replace(BASE, from_="12:30", to="12:45", label="Lunch")
    per_person = replace(BASE, per=Per.PERSON, amount=Money(500, "GBP"))
    assert cheapest([per_person, lunch], NOON, team_size=3) == [1500, 600, 0]
    assert cheapest([per_person], NOON, team_size=3) == [1500]


def test_the_price_on_a_card_is_the_lowest_anyone_pays_for_an_hour() -> None:
    member = replace(BASE, amount=Money(100, "GBP"), member_tier="gold")
    flat = replace(BASE, per=Per.BOOKING, amount=Money(1, "GBP"))
    half = replace(BASE, multiplier="0.5")
    assert tariff.from_price(book([BASE, member, flat, half])) == Money(1200, "GBP")
    assert tariff.from_price(book([member, flat])) is None


def test_the_same_rule_on_both_sides_of_midnight_is_one_segment() -> None:
    late = datetime(2026, 6, 1, 22, 30, tzinfo=UTC)  # 23:30 to 00:30 in London
    assert cheapest([BASE], late) == [2400]
    assert tariff.total(
        tariff.price(book([BASE]), COURT, Period.of(late, 60), purpose=Purpose.MATCH, team_size=2), "GBP"
    ) == Money(2400, "GBP")
