"""A provider that keeps failing is left alone for a while, so that others are tried at once and it can come back."""

from __future__ import annotations

from datetime import datetime, timedelta

FAILURES = 5
"""So many in a row open the breaker."""
PAUSE = timedelta(seconds=30)
LONGEST = timedelta(minutes=10)
KNOWN = 5_000


class Breaker:
    """The breakers of one process, by provider. Open: not asked. After its pause one message tries; its luck decides."""

    def __init__(self) -> None:
        self._failures: dict[str, int] = {}
        self._closed_again: dict[str, datetime] = {}

    def lets(self, provider: str, now: datetime) -> bool:
        """Whether `provider` may be asked. The one who is let through while it is on trial is the only one until it answered."""
        until = self._closed_again.get(provider)
        if until is None:
            return True
        if now < until:
            return False
        self._closed_again[provider] = now + PAUSE
        return True

    def opens_again(self, provider: str) -> datetime | None:
        """When an open breaker may be asked again."""
        return self._closed_again.get(provider)

    def worked(self, provider: str) -> None:
        self._failures.pop(provider, None)
        self._closed_again.pop(provider, None)

    def failed(self, provider: str, now: datetime) -> None:
        if len(self._failures) >= KNOWN:
            self._failures.clear()
            self._closed_again.clear()
        count = self._failures[provider] = self._failures.get(provider, 0) + 1
        if count >= FAILURES:
            self._closed_again[provider] = now + min(PAUSE * 2 ** min(count - FAILURES, 10), LONGEST)
