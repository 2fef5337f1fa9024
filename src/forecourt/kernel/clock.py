"""The one source of `now`, passed in, so that tests can stand on a DST night; and the chance by which pauses spread out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random
from typing import Protocol

JITTER = Random()
"""Not the generator that everybody shares: whoever seeds that one must not make processes march in step."""


class Clock(Protocol):
    def now(self) -> datetime:
        """The present instant, aware, in UTC."""
        ...


class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)


class FixedClock:
    """A clock that moves only when told."""

    def __init__(self, at: datetime) -> None:
        self._at = at.astimezone(UTC)

    def now(self) -> datetime:
        return self._at

    def advance(self, by: timedelta) -> None:
        self._at += by

    def set(self, at: datetime) -> None:
        self._at = at.astimezone(UTC)
