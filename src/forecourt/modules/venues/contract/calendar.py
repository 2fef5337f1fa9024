"""When a venue is open, and what its wall clock shows: pure functions over its book, or over its terms.

An interval belongs to the weekday it begins on and may run into the next morning. A closed date has neither its own
hours nor the tail of the evening before: a sign that says "closed on the 25th" is true for anyone at the door on the 25th.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Protocol
from zoneinfo import ZoneInfo

import holidays

from forecourt.kernel.period import Period
from forecourt.modules.venues.contract.values import DateRange, OpeningHours

DAY = timedelta(days=1)


class Shut(Protocol):
    """Dates on which a venue is closed; or, with `holiday`, that it is closed on every public holiday."""

    @property
    def dates(self) -> DateRange | None: ...
    @property
    def holiday(self) -> bool: ...


class Hours(Protocol):
    """What decides when a venue is open: its book, or its terms."""

    @property
    def timezone(self) -> str: ...
    @property
    def country(self) -> str: ...
    @property
    def region(self) -> str | None: ...
    @property
    def opening_hours(self) -> OpeningHours: ...
    @property
    def closures(self) -> Sequence[Shut]: ...


# ---------------------------------------------------------------------------------------------------------- local time


def zone(name: str) -> ZoneInfo:
    """The time zone. Raises ZoneInfoNotFoundError, ValueError for names that are none."""
    return ZoneInfo(name)


def local(book: Hours, instant: datetime) -> datetime:
    """The instant on the venue's wall clock."""
    return instant.astimezone(zone(book.timezone))


def minutes_of(text: str) -> int:
    """`"06:30"` → 390; `"24:00"` → 1440."""
    return int(text[:2]) * 60 + int(text[3:])


def wall(tz: ZoneInfo, day: date, minute: int) -> datetime:
    """The instant, in UTC, at which the wall clock of `day` shows `minute` minutes after midnight; 1440 is the next midnight.

    A wall time that the clocks jump over is the instant as far after the jump; one that comes twice is its first coming.
    """
    days, minute = divmod(minute, 1440)
    day = day + days * DAY
    return datetime(day.year, day.month, day.day, minute // 60, minute % 60, tzinfo=tz).astimezone(UTC)


def day_bounds(book: Hours, day: date) -> Period:
    """The venue-local calendar day, 23 to 25 hours long, in UTC."""
    tz = zone(book.timezone)
    return Period(wall(tz, day, 0), wall(tz, day, 1440))


@lru_cache(maxsize=512)
def _holidays(country: str, region: str | None, year: int) -> frozenset[date]:
    try:
        return frozenset(holidays.country_holidays(country, subdiv=region, years=year))
    except NotImplementedError:
        return frozenset()


def is_holiday(book: Hours, day: date) -> bool:
    """A public holiday of the venue's country and region; none are known for countries the calendar does not cover."""
    return day in _holidays(book.country, book.region, day.year)


# ---------------------------------------------------------------------------------------------------------------- hours


def is_closed(book: Hours, day: date) -> bool:
    return any(
        (c.dates is not None and c.dates.from_ <= day <= c.dates.to) or (c.holiday and is_holiday(book, day))
        for c in book.closures
    )


def merged(periods: Iterable[Period]) -> list[Period]:
    """The same instants as few periods, in order; adjacent ones become one."""
    result: list[Period] = []
    for p in sorted(periods):
        if result and p.start <= result[-1].end:
            if p.end > result[-1].end:
                result[-1] = Period(result[-1].start, p.end)
        else:
            result.append(p)
    return result


def open_periods(book: Hours, day: date) -> list[Period]:
    """When the venue is open by the hours that begin on venue-local `day`, merged, in UTC. They may end the next morning."""
    if is_closed(book, day):
        return []
    tz = zone(book.timezone)
    tomorrow_closed = is_closed(book, day + DAY)
    found: list[Period] = []
    for opens, closes in book.opening_hours.on(day):
        first, last = minutes_of(opens), minutes_of(closes)
        if last <= first:
            last += 1440
        if tomorrow_closed:
            last = min(last, 1440)
        start, end = wall(tz, day, first), wall(tz, day, last)
        if start < end:  # an interval wholly inside the hour that the clocks jump over is no time at all
            found.append(Period(start, end))
    return merged(found)


def open_between(book: Hours, first: date, last: date) -> list[Period]:
    """Open time by the hours of all days from `first` to `last`, merged across midnights."""
    days = (last - first).days + 1
    return merged(p for i in range(days) for p in open_periods(book, first + i * DAY))


def is_open(book: Hours, period: Period) -> bool:
    """True when the venue is open without a break from start to end."""
    tz = zone(book.timezone)
    first = period.start.astimezone(tz).date() - DAY
    return any(p.contains(period) for p in open_between(book, first, period.end.astimezone(tz).date()))
