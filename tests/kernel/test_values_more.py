"""The rest of what money, periods and pages can do."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from forecourt.kernel.money import CurrencyMismatch, Money
from forecourt.kernel.paging import MAX_CURSOR_CHARS, Keyset, Page, page
from forecourt.kernel.period import Period, began_on

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


def gbp(amount: int) -> Money:
    return Money(amount, "GBP")


def test_money_is_taken_away_turned_round_and_compared() -> None:
    assert gbp(5) - gbp(7) == gbp(-2) == -gbp(2)
    assert bool(gbp(1)) and bool(gbp(-1)) and not gbp(0)
    assert gbp(1) < gbp(2) and not gbp(2) < gbp(2)
    assert gbp(2) <= gbp(2) and not gbp(3) <= gbp(2)
    for compare in (lambda a, b: a - b, lambda a, b: a <= b):
        with pytest.raises(CurrencyMismatch):
            compare(gbp(1), Money(1, "PKR"))


def test_a_total_of_nothing_is_nothing_of_that_currency() -> None:
    assert Money.total([], "PKR") == Money(0, "PKR")
    with pytest.raises(CurrencyMismatch):
        Money.total([gbp(1)], "PKR")


def test_a_negative_amount_splits_as_its_opposite_does() -> None:
    assert [p.amount for p in gbp(-100).split([1, 1, 1])] == [-34, -33, -33]
    assert [p.amount for p in gbp(0).split([2, 1])] == [0, 0]


def test_a_period_contains_itself_and_what_lies_within() -> None:
    hour = Period.of(NOON, 60)
    assert hour.contains(hour) and hour.contains(Period.of(NOON + timedelta(minutes=15), 45))
    assert not hour.contains(Period.of(NOON + timedelta(minutes=15), 46))
    assert not hour.contains(Period.of(NOON - timedelta(minutes=1), 30))


@pytest.mark.parametrize(
    ("start", "end", "clock", "began"),
    [
        (22, 7, 22, 0), (22, 7, 6, -1), (22, 7, 7, None), (22, 7, 21, None),
        (13, 15, 13, 0), (13, 15, 15, None), (13, 15, 12, None), (9, 9, 9, 0), (9, 9, 8, -1),
    ],
)  # fmt: skip
def test_a_daily_stretch_began_on_the_day_its_start_was(start: int, end: int, clock: int, began: int | None) -> None:
    day = date(2026, 6, 1)
    found = began_on(time(start), time(end), datetime.combine(day, time(clock), ZoneInfo("Asia/Karachi")))
    assert found == (None if began is None else day + timedelta(days=began))


def test_a_page_keeps_its_cursor_when_its_items_change() -> None:
    assert Page([1, 2], "next").map(str) == Page(["1", "2"], "next")


def test_a_page_without_room_is_a_mistake() -> None:
    assert page([1], 1, str) == Page([1], None)
    with pytest.raises(ValueError):
        page([1], 0, str)


def test_a_key_too_long_for_a_cursor_is_found_when_it_is_made() -> None:
    keys = Keyset("long", tuple[str])
    assert len(keys.encode(("x" * 300,))) <= MAX_CURSOR_CHARS
    with pytest.raises(ValueError, match="too long"):
        keys.encode(("x" * MAX_CURSOR_CHARS,))


def test_a_cursor_may_be_one_value_and_its_date_is_one_that_a_database_holds() -> None:
    names = Keyset("names", str)
    assert names.decode(names.encode("Ada")) == "Ada"
    days = Keyset("days", tuple[datetime])
    assert days.decode(days.encode((NOON,))) == (NOON,)
    from forecourt.kernel.errors import Invalid

    with pytest.raises(Invalid):
        days.decode(days.encode((NOON.replace(year=2500),)))
