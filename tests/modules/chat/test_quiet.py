"""When somebody is not to be disturbed: by the clock of where they are, also in the nights when it is changed."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from forecourt.modules.chat.contract import QuietHours
from forecourt.modules.chat.rules import quiet_at

LONDON, KARACHI = "Europe/London", "Asia/Karachi"
FRIDAY, SATURDAY, SUNDAY, MONDAY = (datetime(2026, 11, day, tzinfo=UTC) for day in (20, 21, 22, 23))


def local(day: datetime, clock: str, zone: str = LONDON, fold: int = 0) -> datetime:
    hour, minute = map(int, clock.split(":"))
    return day.replace(hour=hour, minute=minute, tzinfo=ZoneInfo(zone), fold=fold).astimezone(UTC)


@pytest.mark.parametrize(
    ("clock", "quiet"), [("12:59", False), ("13:00", True), ("14:59", True), ("15:00", False), ("00:00", False)]
)
def test_within_a_day(clock: str, quiet: bool) -> None:
    assert quiet_at(QuietHours("13:00", "15:00", LONDON), local(FRIDAY, clock)) is quiet


@pytest.mark.parametrize(
    ("clock", "quiet"), [("21:59", False), ("22:00", True), ("23:59", True), ("00:00", True), ("06:59", True), ("07:00", False)]
)
def test_past_midnight(clock: str, quiet: bool) -> None:
    assert quiet_at(QuietHours("22:00", "07:00", LONDON), local(FRIDAY, clock)) is quiet


def test_the_clock_is_that_of_the_zone_chosen() -> None:
    hours = QuietHours("22:00", "07:00", KARACHI)
    assert quiet_at(hours, local(FRIDAY, "23:00", KARACHI))
    assert not quiet_at(hours, local(FRIDAY, "07:30", KARACHI))
    assert quiet_at(hours, local(FRIDAY, "18:30"))  # in London; in Karachi it is half past eleven at night


def test_a_weekday_is_that_of_the_beginning() -> None:
    weekend = QuietHours("22:00", "07:00", LONDON, [4, 5])  # the nights that begin on Friday and Saturday
    for day, clock, quiet in (
        (FRIDAY, "06:00", False), (FRIDAY, "22:00", True), (SATURDAY, "06:00", True), (SATURDAY, "22:00", True),
        (SUNDAY, "06:59", True), (SUNDAY, "07:00", False), (SUNDAY, "22:00", False), (MONDAY, "06:00", False),
    ):  # fmt: skip
        assert quiet_at(weekend, local(day, clock)) is quiet, (day, clock)
    sundays = QuietHours("22:00", "07:00", LONDON, [6])
    assert quiet_at(sundays, local(MONDAY, "06:00"))  # of the night that began on the last day of the week before
    noon = QuietHours("13:00", "15:00", LONDON, [4])
    assert [quiet_at(noon, local(day, "14:00")) for day in (FRIDAY, SATURDAY)] == [True, False]


def test_the_same_clock_twice_is_the_whole_day() -> None:
    assert all(quiet_at(QuietHours("00:00", "00:00", LONDON), local(FRIDAY, clock)) for clock in ("00:00", "12:00", "23:59"))


def test_an_hour_that_comes_twice_is_quiet_both_times() -> None:
    hours, night = QuietHours("01:00", "01:45", LONDON), datetime(2026, 10, 25, tzinfo=UTC)
    assert quiet_at(hours, local(night, "01:30", fold=0))
    assert quiet_at(hours, local(night, "01:30", fold=1))
    assert local(night, "01:30", fold=0) != local(night, "01:30", fold=1)
    assert not quiet_at(hours, local(night, "01:45", fold=0))
