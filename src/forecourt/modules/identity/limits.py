"""Limits of a member as owners type them: networks one a line, hours per day as `08:00–18:00`. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from forecourt.kernel.errors import FieldError, Invalid
from forecourt.kernel.reach import DAYS, MAX_NETWORKS, Day, Reach, Window, faults

_TIME = r"([01]?[0-9]|2[0-4]):([0-5][0-9])"
_STRETCH = re.compile(rf"{_TIME}\s*(?:–|—|-|to)\s*{_TIME}")
_APART = re.compile(r"[\s,;]+")


def read_limits(networks: str, hours: Mapping[str, str], time_zone: str) -> Reach:
    """A reach from what a form sent; `hours` by day, an empty text is no hour of that day, and all empty is any time.

    Raises Invalid at `networks`, at a day, or at `time_zone`.
    """
    found: dict[tuple[str, str], list[Day]] = {}
    for day in DAYS:
        for stretch in _stretches(hours.get(day, ""), day):
            found.setdefault(stretch, []).append(day)  # type: ignore[arg-type]  # DAYS are the words of Day
    windows = [Window(days, start, end) for (start, end), days in found.items()]
    named = [text for text in _APART.split(networks) if text]
    if len(named) > MAX_NETWORKS:
        raise Invalid.field("networks", f"at most {MAX_NETWORKS} entries")
    reach = Reach(named, windows, time_zone.strip() or "UTC")
    wrong = [_placed(error, reach) for error in faults(reach, "")]
    if wrong:
        raise Invalid(wrong[0].message, errors=wrong)
    return reach


def _stretches(text: str, day: str) -> list[tuple[str, str]]:
    """`08:00–12:00, 14:00–18:00` as pairs."""
    pieces = [piece.strip() for piece in text.replace(";", ",").split(",") if piece.strip()]
    matches = [_STRETCH.fullmatch(piece) for piece in pieces]
    if len(pieces) > 4 or any(m is None for m in matches):
        raise Invalid.field(day, "write it like 08:00–18:00, or 08:00–12:00, 14:00–18:00")
    read = [(f"{int(m[1]):02}:{m[2]}", f"{int(m[3]):02}:{m[4]}") for m in matches if m is not None]
    if any(start >= "24:00" or end > "24:00" for start, end in read):
        raise Invalid.field(day, "a day ends at 24:00; what runs past midnight ends the next morning, such as 22:00–06:00")
    return read


def _placed(error: FieldError, reach: Reach) -> FieldError:
    """The same fault at the form's own field: `.networks[0]` at `networks`, `.hours[2].end` at the first day of that window."""
    name = error.path.removeprefix(".")
    if name.startswith("networks["):
        said = f"{reach.networks[int(name[9:-1])]} {error.message}"
        return FieldError("networks", said)
    if name.startswith("hours["):
        return FieldError(reach.hours[int(name[6:].partition("]")[0])].days[0], error.message)
    return FieldError(name, error.message)


def hours_by_day(reach: Reach) -> dict[str, str]:
    """The text of each day, as `read_limits` reads it."""
    found: dict[str, list[str]] = {day: [] for day in DAYS}
    for window in sorted(reach.hours, key=lambda w: w.start):
        for day in window.days:
            found[day].append(f"{window.start}–{window.end}")
    return {day: ", ".join(texts) for day, texts in found.items()}
