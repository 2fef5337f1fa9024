"""Limits as owners type them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forecourt.kernel.errors import Invalid
from forecourt.kernel.reach import ANYWHERE, DAYS, Reach, Window
from forecourt.modules.identity.limits import hours_by_day, read_limits


def test_nothing_typed_is_anywhere_and_always() -> None:
    assert not read_limits("", {}, "").limited
    assert read_limits(" \n", dict.fromkeys(DAYS, " "), "Europe/London").limited is False


def test_days_with_the_same_hours_are_one_window() -> None:
    hours = dict.fromkeys(("mon", "tue", "fri"), "8:00 - 18:00") | {"sat": "09:00–12:00, 22:00–06:00"}
    reach = read_limits("192.0.2.0/24\n2001:db8::/32, 198.51.100.7", hours, "Europe/London")
    assert reach.networks == ["192.0.2.0/24", "2001:db8::/32", "198.51.100.7"]
    assert reach.hours == [
        Window(["mon", "tue", "fri"], "08:00", "18:00"),
        Window(["sat"], "09:00", "12:00"),
        Window(["sat"], "22:00", "06:00"),
    ]
    assert reach.time_zone == "Europe/London"


@pytest.mark.parametrize(
    ("networks", "hours", "zone", "place", "words"),
    [
        ("192.0.2.1/24", {}, "UTC", "networks", "the network is 192.0.2.0/24"),
        ("10.0.0.0/8 office", {}, "UTC", "networks", "office is not a network"),
        ("10.0.0.0/8 " * 21, {}, "UTC", "networks", "at most 20"),
        ("", {"tue": "early"}, "UTC", "tue", "write it like"),
        ("", {"tue": "08:00"}, "UTC", "tue", "write it like"),
        ("", {"wed": "08:00–25:00"}, "UTC", "wed", "write it like"),
        ("", {"wed": "24:00–08:00"}, "UTC", "wed", "ends at 24:00"),
        ("", {"wed": "08:00–24:30"}, "UTC", "wed", "ends at 24:00"),
        ("", {"mon": "1:00-2:00", "thu": "08:00–08:00"}, "UTC", "thu", "a whole day is 00:00 to 24:00"),
        ("", {"thu": "08:00–09:00," * 5}, "UTC", "thu", "write it like"),
        ("", {}, "Atlantis", "time_zone", "IANA"),
    ],
)
def test_what_cannot_be_is_refused_at_its_field(networks: str, hours: dict[str, str], zone: str, place: str, words: str) -> None:
    with pytest.raises(Invalid) as refused:
        read_limits(networks, hours, zone)
    assert [e.path for e in refused.value.errors] == [place]
    assert words in refused.value.errors[0].message


times = st.integers(0, 24 * 60 - 1).map(lambda m: f"{m // 60:02}:{m % 60:02}")
stretches = st.tuples(times, times).filter(lambda pair: pair[0] != pair[1])


@given(st.dictionaries(st.sampled_from(DAYS), st.lists(stretches, min_size=1, max_size=4, unique=True), max_size=7))
def test_what_was_kept_reads_back_as_it_was(days: dict[str, list[tuple[str, str]]]) -> None:
    windows = [Window([day], start, end) for day, pairs in days.items() for start, end in pairs]  # type: ignore[list-item]
    reach = Reach(["192.0.2.0/24"], windows, "Asia/Karachi")
    again = read_limits("192.0.2.0/24", hours_by_day(reach), "Asia/Karachi")
    assert hours_by_day(again) == hours_by_day(reach)
    assert hours_by_day(ANYWHERE) == dict.fromkeys(DAYS, "")
