"""A version that fails more than the one beside it gets no more requests. Pure: told what was counted, it says whom to withdraw.

What most requests of a service go to is its main version, the first named of several alike. That one stays whatever it does: with
nobody to compare it with, a failure may be anybody's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from forecourt.gateway.plan import Health
from forecourt.gateway.runtime import Share

LOOKS = 13
"""Kept of each version. One is taken every five seconds: a minute lies between the first and the last."""
TIMES_WORSE = 3


class Count(msgspec.Struct, frozen=True):
    """What the servers of a version answered."""

    answers: int
    failures: int
    """Among them: 500 and above, and what broke off or never came."""

    @property
    def rate(self) -> float:
        return self.failures / self.answers if self.answers else 0.0


class Failing(msgspec.Struct, frozen=True):
    """A version that does worse than its service's main version."""

    service: str
    version: str
    count: Count
    main: Count
    """What that one did meanwhile."""


class Watch:
    """Looks at the counts of every version again and again."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], deque[Count]] = {}

    def look(self, services: Mapping[str, Sequence[Share]], health: Health) -> list[Failing]:
        """Which versions are to be withdrawn, as things are now. What they did before is forgotten then."""
        now = {(name, share.version): count_of(share) for name, shares in services.items() for share in shares}
        self._seen = {key: self._seen.get(key, deque(maxlen=LOOKS)) for key in now}
        for key, count in now.items():
            self._keep(self._seen[key], count)
        found = [failing for name, shares in services.items() for failing in self._failing(name, shares, health)]
        for failing in found:
            self._seen.pop((failing.service, failing.version))
        return found

    @staticmethod
    def _keep(seen: deque[Count], count: Count) -> None:
        if seen and count.answers < seen[-1].answers:  # another process counts from nought
            seen.clear()
        seen.append(count)

    def _failing(self, service: str, shares: Sequence[Share], health: Health) -> Iterator[Failing]:
        main = max(shares, key=lambda share: share.percent)
        beside = self._lately(service, main.version)
        for share in shares:
            count = self._lately(service, share.version)
            worse = count.rate > max(health.withdrawn_percent / 100, TIMES_WORSE * beside.rate)
            if share is not main and share.percent and worse and count.failures >= health.withdrawn_after:
                yield Failing(service, share.version, count, beside)

    def _lately(self, service: str, version: str) -> Count:
        seen = self._seen[service, version]
        return Count(seen[-1].answers - seen[0].answers, seen[-1].failures - seen[0].failures)


def count_of(share: Share) -> Count:
    return Count(sum(s.answers for s in share.servers), sum(s.failures for s in share.servers))
