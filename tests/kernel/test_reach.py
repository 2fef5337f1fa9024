"""Networks and hours that a right is limited to."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from forecourt.kernel.reach import ANYWHERE, Bounds, Reach, Window, faults

NOW = datetime(2026, 11, 18, 12, tzinfo=UTC)  # a Wednesday
WEEK = ["mon", "tue", "wed", "thu", "fri"]


def admits(reach: Reach, address: str = "192.0.2.7", now: datetime = NOW) -> bool:
    return Bounds(reach).admit(address, now)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_without_limits_a_right_counts_from_anywhere_and_always() -> None:
    assert not ANYWHERE.limited and admits(ANYWHERE) and admits(ANYWHERE, address="")
    assert Reach(networks=["192.0.2.0/24"]).limited and Reach(hours=[Window(["mon"], "09:00", "17:00")]).limited


@pytest.mark.parametrize(
    ("address", "inside"),
    [
        ("192.0.2.0", True),
        ("192.0.2.255", True),
        ("192.0.3.0", False),
        ("2001:db8:1::9", True),
        ("2001:db8:2::9", False),
        ("::ffff:192.0.2.7", True),
        ("::ffff:198.51.100.1", False),
        ("203.0.113.9", True),
        ("203.0.113.10", False),
        ("", False),
        ("unknown", False),
        ("192.0.2.7:443", False),
    ],
)
def test_an_address_lies_in_one_of_the_networks_or_outside(address: str, inside: bool) -> None:
    office = Reach(networks=["192.0.2.0/24", "2001:db8:1::/48", "203.0.113.9/32"])
    assert admits(office, address) is inside


@pytest.mark.parametrize(
    ("at", "open_"),
    [
        ("2026-11-18T08:59:59.999999", False),
        ("2026-11-18T09:00:00", True),
        ("2026-11-18T16:59:59.999999", True),
        ("2026-11-18T17:00:00", False),
        ("2026-11-21T12:00:00", False),  # Saturday
    ],
)
def test_hours_are_half_open(at: str, open_: bool) -> None:
    assert admits(Reach(hours=[Window(WEEK, "09:00", "17:00")]), now=utc(at)) is open_


@pytest.mark.parametrize(
    ("at", "open_"),
    [
        # Clocks go forward on 29 March 2026 at 01:00 UTC: from then on 09:00 in London is 08:00 UTC.
        ("2026-03-28T08:30", False),
        ("2026-03-28T09:00", True),
        ("2026-03-29T08:00", True),
        ("2026-03-29T07:59", False),
        ("2026-03-29T16:00", False),
        # And back on 25 October at 01:00 UTC.
        ("2026-10-24T08:00", True),
        ("2026-10-25T08:59", False),
        ("2026-10-25T09:00", True),
        ("2026-10-25T16:59", True),
    ],
)
def test_hours_follow_the_clock_on_the_wall_across_both_changes(at: str, open_: bool) -> None:
    shop = Reach(hours=[Window(["sat", "sun"], "09:00", "17:00")], time_zone="Europe/London")
    assert admits(shop, now=utc(at)) is open_


def test_an_hour_that_comes_twice_counts_twice_and_one_that_is_skipped_does_not_come() -> None:
    night = Reach(hours=[Window(["sun"], "01:00", "02:00")], time_zone="Europe/London")
    assert [admits(night, now=utc(f"2026-10-25T0{h}:30")) for h in (0, 1, 2)] == [True, True, False]
    assert [admits(night, now=utc(f"2026-03-29T0{h}:30")) for h in (0, 1, 2)] == [False, False, False]


def test_a_window_over_midnight_belongs_to_the_day_it_starts_on() -> None:
    guard = Reach(hours=[Window(["fri"], "22:00", "06:00")])
    hours = ("2026-11-20T21:59", "2026-11-20T22:00", "2026-11-21T05:59", "2026-11-21T06:00", "2026-11-20T03:00")
    assert [admits(guard, now=utc(at)) for at in hours] == [False, True, True, False, False]


def test_a_whole_day_ends_at_midnight() -> None:
    sunday = Reach(hours=[Window(["sun"], "00:00", "24:00")], time_zone="Asia/Karachi")
    hours = ("2026-11-21T18:59", "2026-11-21T19:00", "2026-11-22T18:59", "2026-11-22T19:00")
    assert [admits(sunday, now=utc(at)) for at in hours] == [False, True, True, False]


def test_both_network_and_hour_must_fit() -> None:
    reach = Reach(networks=["192.0.2.0/24"], hours=[Window(WEEK, "09:00", "17:00")])
    evening = utc("2026-11-18T20:00")
    assert [admits(reach, a, t) for a in ("192.0.2.1", "198.51.100.1") for t in (NOW, evening)] == [True, False, False, False]


@pytest.mark.parametrize(
    ("reach", "path"),
    [
        (Reach(networks=["192.0.2.0/24", "office"]), "limited_to.networks[1]"),
        (Reach(networks=["192.0.2.7/24"]), "limited_to.networks[0]"),
        (Reach(networks=["::ffff:192.0.2.0/120"]), "limited_to.networks[0]"),
        (Reach(networks=["192.0.2.0/33"]), "limited_to.networks[0]"),
        (Reach(hours=[Window(["mon"], "09:00", "09:00")]), "limited_to.hours[0].end"),
        (Reach(time_zone="Europe/Atlantis"), "limited_to.time_zone"),
        (Reach(time_zone="../../etc/passwd"), "limited_to.time_zone"),
    ],
)
def test_limits_that_cannot_be_meant_are_named_by_their_place(reach: Reach, path: str) -> None:
    good = Reach(networks=["192.0.2.0/24", "2001:db8::/32", "192.0.2.7"], hours=[Window(["mon"], "22:00", "06:00")])
    assert faults(good, "limited_to") == []
    assert [fault.path for fault in faults(reach, "limited_to")] == [path]
