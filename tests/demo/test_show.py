"""Progress, as people see it."""

from __future__ import annotations

import io

from rich.console import Console

from forecourt.demo import Made
from forecourt.demo.show import progress


def test_without_a_terminal_each_step_is_one_line_when_it_is_finished() -> None:
    text = io.StringIO()
    with progress(Console(file=text, width=100)) as report:
        report("Places", 0, 1)
        assert text.getvalue() == ""
        report("Places", 1, 1)
        report("Bookings", 500, 1200)
        report("Bookings", 1200, 1200)
        report("Bookings", 1200, 1200)
    assert text.getvalue().splitlines() == ["  Places: 1", "  Bookings: 1,200"]


def test_on_a_terminal_there_are_bars() -> None:
    text = io.StringIO()
    with progress(Console(file=text, width=100, force_terminal=True)) as report:
        report("Bookings", 500, 1200)
        report("Bookings", 1200, 1200)
    assert "Bookings" in text.getvalue()
    assert "1200/1200" in text.getvalue()


def test_the_summary_is_a_sentence_of_numbers() -> None:
    assert (
        Made(7, 8, 41, 627, 48_508).summary() == "7 organisations, 8 venues with 41 places to book, 627 people, 48,508 bookings"
    )
