"""Something that is done once a day, at an hour of UTC, for as long as a process runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import NoReturn

from forecourt.engines import EngineError
from forecourt.kernel.clock import Clock, SystemClock

DAY = timedelta(days=1)
TRIES = 4
BETWEEN_TRIES = timedelta(minutes=15)
LONGEST_PAUSE = timedelta(minutes=1)
"""Between two looks at the clock, which may be put right meanwhile."""


def next_at(hour: int, now: datetime) -> datetime:
    """The first moment after `now` at which it is `hour` o'clock."""
    today = now.astimezone(UTC).replace(hour=hour, minute=0, second=0, microsecond=0)
    return today if today > now else today + DAY


@dataclass(frozen=True)
class Daily:
    """`act` raises EngineError when it failed: that is told, and it is tried again for three quarters of an hour."""

    act: Callable[[], None]
    hour: int
    tell: Callable[[str], None]
    clock: Clock = field(default_factory=SystemClock)
    pause: Callable[[float], None] = time.sleep

    def run(self, last: datetime | None) -> NoReturn:
        """For ever, and at once when the `last` time was a day ago or more, or never."""
        if last is None or self.clock.now() - last >= DAY:
            self.attempt()
        while True:
            self.wait_until(next_at(self.hour, self.clock.now()))
            self.attempt()

    def attempt(self) -> None:
        for number in range(1, TRIES + 1):
            try:
                return self.act()
            except EngineError as error:
                self.tell(f"{error}\nThat was try {number} of {TRIES}.")
            if number < TRIES:
                self.wait_until(self.clock.now() + BETWEEN_TRIES)
        return None

    def wait_until(self, moment: datetime) -> None:
        while (left := moment - self.clock.now()) > timedelta(0):
            self.pause(min(left, LONGEST_PAUSE).total_seconds())
