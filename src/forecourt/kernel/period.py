"""Half-open periods of time: `[start, end)`, always in UTC inside."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

import msgspec

MAX_CLAIM = timedelta(days=31)
"""No claim on a resource lasts longer; reads through stored bounds rely on it."""


class Period(msgspec.Struct, frozen=True, forbid_unknown_fields=True, order=True):
    """`[start, end)`; start before end, both aware. Raises ValueError otherwise."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        if self.start.tzinfo is None or self.end.tzinfo is None:
            raise ValueError("a period needs times with an offset")
        if self.start >= self.end:
            raise ValueError("a period ends after it starts")

    @classmethod
    def of(cls, start: datetime, duration_min: int) -> Period:
        start = start.astimezone(UTC)
        return cls(start, start + timedelta(minutes=duration_min))

    @property
    def duration_min(self) -> int:
        """Whole minutes, rounded down."""
        return int((self.end - self.start).total_seconds() // 60)

    def overlaps(self, other: Period) -> bool:
        """True when they share an instant; adjacent periods do not."""
        return self.start < other.end and other.start < self.end

    def contains(self, other: Period) -> bool:
        return self.start <= other.start and other.end <= self.end

    def padded(self, before_min: int, after_min: int) -> Period:
        """The period with buffers around it."""
        return Period(self.start - timedelta(minutes=before_min), self.end + timedelta(minutes=after_min))


def began_on(start: time, end: time, local: datetime) -> date | None:
    """The day on which the daily stretch `[start, end)` that `local` lies in began; None outside it.

    `end` at or before `start` runs past midnight. The clock on the wall decides: an hour that comes twice lies in it both times.
    """
    clock, day = local.time(), local.date()
    if start < end:
        return day if start <= clock < end else None
    if clock >= start:
        return day
    return day - timedelta(days=1) if clock < end else None
