"""RFC 5545 recurrences of blocks, on the venue's wall clock. A small part of the standard, so that no rule can run for ever.

FREQ=DAILY, WEEKLY or MONTHLY; INTERVAL; COUNT or UNTIL; BYDAY with WEEKLY (`MO,WE`) and MONTHLY (`1SA`, `-1SU`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from typing import Literal
from zoneinfo import ZoneInfo

from dateutil.rrule import DAILY, FR, MO, MONTHLY, SA, SU, TH, TU, WE, WEEKLY, rrule, weekday

from forecourt.kernel.errors import Invalid
from forecourt.kernel.period import MAX_CLAIM, Period

MAX_OCCURRENCES = 400
MAX_AHEAD = timedelta(days=731)
LATEST = datetime(2200, 1, 1)  # noqa: DTZ001 - the wall clock's
"""No occurrence begins then or later: claims end with the calendar of bookings."""

_FREQ: dict[str, Literal[1, 2, 3]] = {"DAILY": DAILY, "WEEKLY": WEEKLY, "MONTHLY": MONTHLY}
_DAYS = {"MO": MO, "TU": TU, "WE": WE, "TH": TH, "FR": FR, "SA": SA, "SU": SU}
_BYDAY = re.compile(r"^(-?[1-5])?(MO|TU|WE|TH|FR|SA|SU)$")
_UNTIL = re.compile(r"([0-9]{8})(?:T([0-9]{6})(Z)?)?")


def occurrences(period: Period, rule: str | None, timezone: str) -> list[Period]:
    """When a block happens, in order; without a rule once. Raises Invalid.

    The start keeps its place on the wall clock and every occurrence is as long as the first. A rule without an end goes on for
    as long as anything can be booked ahead.
    """
    if period.end - period.start > MAX_CLAIM:
        raise Invalid.field("end", "is more than 31 days after the start")
    if rule is None:
        return [period]
    tz = ZoneInfo(timezone)
    first = period.start.astimezone(tz).replace(tzinfo=None)
    length = period.end - period.start
    starts = islice(_rule(rule, first, tz), MAX_OCCURRENCES + 1)
    found = [Period(at, at + length) for at in (s.replace(tzinfo=tz).astimezone(UTC) for s in starts)]
    if not found:
        raise Invalid.field("rrule", "names no time at all")
    if len(found) > MAX_OCCURRENCES:
        raise Invalid.field("rrule", f"names more than {MAX_OCCURRENCES} times; end it sooner")
    if any(a.end > b.start for a, b in pairwise(found)):
        raise Invalid.field("rrule", "comes again before it has ended")
    return found


def _rule(text: str, first: datetime, tz: ZoneInfo) -> Iterator[datetime]:
    parts = _parts(text)
    if parts["FREQ"] not in _FREQ:
        raise Invalid.field("rrule", "repeats DAILY, WEEKLY or MONTHLY")
    if "COUNT" in parts and "UNTIL" in parts:
        raise Invalid.field("rrule", "ends by COUNT or by UNTIL, not by both")
    limit = min(first + MAX_AHEAD, LATEST - timedelta(minutes=1))
    until = min(_until(parts["UNTIL"], tz), limit) if "UNTIL" in parts else limit
    interval = _number(parts.get("INTERVAL", "1"), "INTERVAL", 52)
    days = _byday(parts["FREQ"], parts["BYDAY"]) if "BYDAY" in parts else None
    made = rrule(_FREQ[parts["FREQ"]], dtstart=first, interval=interval, until=until, byweekday=days)
    return islice(made, _number(parts["COUNT"], "COUNT", MAX_OCCURRENCES)) if "COUNT" in parts else iter(made)


def _parts(text: str) -> dict[str, str]:
    parts: dict[str, str] = {}
    for part in text.removeprefix("RRULE:").upper().split(";"):
        name, equals, value = part.partition("=")
        if not equals or name in parts or name not in {"FREQ", "INTERVAL", "COUNT", "UNTIL", "BYDAY", "WKST"}:
            raise Invalid.field("rrule", f"{name[:20]!r} is not understood here")
        parts[name] = value
    if "FREQ" not in parts:
        raise Invalid.field("rrule", "says no FREQ")
    return parts


def _number(text: str, name: str, most: int) -> int:
    if not re.fullmatch(r"[0-9]{1,4}", text) or not 1 <= int(text) <= most:
        raise Invalid.field("rrule", f"{name} is a number from 1 to {most}")
    return int(text)


def _until(text: str, tz: ZoneInfo) -> datetime:
    match = _UNTIL.fullmatch(text)
    if match is None:
        raise Invalid.field("rrule", "UNTIL is a date like 20261231 or a time like 20261231T225959Z")
    try:
        at = datetime.strptime(match[1] + (match[2] or "235959"), "%Y%m%d%H%M%S")  # noqa: DTZ007 - the wall clock's
    except ValueError:
        raise Invalid.field("rrule", "UNTIL is not a date") from None
    if not match[3]:
        return at
    try:
        return at.replace(tzinfo=UTC).astimezone(tz).replace(tzinfo=None)
    except OverflowError:  # in the year 1 or 9999, which is before or after every occurrence on any clock
        return at


def _byday(freq: str, text: str) -> list[weekday]:
    days: list[weekday] = []
    for part in text.split(","):
        match = _BYDAY.match(part)
        if match is None or freq == "DAILY" or (match[1] is not None and freq != "MONTHLY") or len(days) >= 14:
            raise Invalid.field("rrule", f"BYDAY={part[:10]} does not go with FREQ={freq}")
        day = _DAYS[match[2]]
        days.append(day if match[1] is None else day(int(match[1])))
    return days
