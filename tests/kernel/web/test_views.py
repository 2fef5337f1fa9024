"""What page views work out for themselves."""

from __future__ import annotations

from forecourt.kernel.money import Money
from forecourt.kernel.web.views import GridCell, GridRow, GridView, SlotState


def free(at: int, start: str) -> GridCell:
    return GridCell(at=at, start=start, end="", state=SlotState.FREE, price=Money(2000, "GBP"), href="/book")


def test_times_come_in_their_order_also_those_between_the_steps_and_past_midnight() -> None:
    first = GridRow("1", "Court 1", "", (free(6, "10:15"), free(34, "00:15")))
    second = GridRow("2", "Court 2", "", (free(5, "09:30"), free(6, "10:00"), free(33, "23:45")))
    grid = GridView(id="g", label="Sunday", steps=36, dur=2, length="60 min", times=(), rows=(first, second))
    assert [option.start for option in grid.starts()] == ["09:30", "10:00", "10:15", "23:45", "00:15"]
