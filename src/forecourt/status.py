"""How the house is, in one answer for everybody: every service, and what all of them need.

In one process the services are its modules, and they are as well as what they need. A split house asks each of its other
processes, all at once and briefly. The answer says names and words only: neither where a service runs nor why it does not.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from itertools import chain

import httpx
import msgspec

from forecourt.kernel.clock import Clock
from forecourt.kernel.wire import Wire

CHECK_TIMEOUT_S = 2.0
PEER_TIMEOUT_S = 2.5
"""For one process of the house to say how it is: a little longer than its own checks take at most."""
KEPT_S = 2.0
"""So long one look serves everybody who asks."""
MAX_ANSWER_BYTES = 16 * 1024
DATABASE, VALKEY = "database", "valkey"


class Dependency(msgspec.Struct, frozen=True):
    """An engine that a process needs, as that process finds it."""

    name: str
    ok: bool
    took_ms: float
    detail: str = ""


class Readiness(msgspec.Struct, frozen=True):
    """What `/readyz` answers. `status` is `ready`, `not ready`, or `draining` in a process that is about to end."""

    status: str
    dependencies: list[Dependency]


class ServiceState(StrEnum):
    OK = "ok"
    DEGRADED = "degraded"
    """It answers, but something that it can do without is away, or some of its processes are."""
    DOWN = "down"


class ServiceStatus(msgspec.Struct, frozen=True):
    """One service or engine. `took_ms` is how long it took to say so, or how long it was waited for."""

    name: str
    status: ServiceState
    took_ms: float


class HouseStatus(msgspec.Struct, frozen=True):
    """`status` is `ok` when everything is, `down` when nothing is or the database is away, `degraded` in between."""

    status: ServiceState
    checked_at: datetime
    services: list[ServiceStatus]
    dependencies: list[ServiceStatus]


class Lookout:
    """Keeps an eye on the house for `/api/status`. One look at a time, and one for all who ask within two seconds."""

    def __init__(
        self,
        modules: Iterable[str],
        peers: Mapping[str, Sequence[str]],
        own: Callable[[], Awaitable[Readiness]],
        wire: Wire | None,
        clock: Clock,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`modules` live here, and `own` says how this process is; `peers` are the other services and their addresses."""
        if peers and wire is None:
            raise ValueError("peers are asked over a wire")
        self._modules = sorted(modules)
        self._peers = {name: tuple(urls) for name, urls in peers.items()}
        self._own = own
        self._wire = wire
        self._clock = clock
        self._monotonic = monotonic
        self._turn = asyncio.Lock()
        self._seen: HouseStatus | None = None
        self._seen_at = 0.0

    async def look(self) -> HouseStatus:
        """How the house is, or was at most two seconds ago."""
        async with self._turn:
            if self._seen is None or self._monotonic() - self._seen_at >= KEPT_S:
                self._seen = await self._look()
                self._seen_at = self._monotonic()
            return self._seen

    async def _look(self) -> HouseStatus:
        urls = list(dict.fromkeys(chain.from_iterable(self._peers.values())))
        (readiness, own), there = await asyncio.gather(self._here(), asyncio.gather(*(self._there(url) for url in urls)))
        found = dict(zip(urls, there, strict=True))
        services = [ServiceStatus(name, own[0], own[1]) for name in self._modules]
        services += [_together(name, [found[url] for url in of]) for name, of in self._peers.items()]
        services.sort(key=lambda s: s.name)
        engines = [
            ServiceStatus(d.name, ServiceState.OK if d.ok else ServiceState.DOWN, d.took_ms) for d in readiness.dependencies
        ]
        return HouseStatus(_overall(services, engines), self._clock.now(), services, engines)

    async def _here(self) -> tuple[Readiness, tuple[ServiceState, float]]:
        began = time.perf_counter()
        readiness = await self._own()
        return readiness, (_state(readiness), took_ms(began))

    async def _there(self, url: str) -> tuple[ServiceState, float]:
        began = time.perf_counter()
        try:
            readiness = await self._ask(url)
        except (httpx.HTTPError, httpx.InvalidURL, msgspec.MsgspecError):
            return ServiceState.DOWN, took_ms(began)
        return _state(readiness), took_ms(began)

    async def _ask(self, url: str) -> Readiness:
        assert self._wire is not None  # noqa: S101 - there are no peers without one
        answer = await self._wire.get(f"{url}/readyz", timeout=PEER_TIMEOUT_S, most_bytes=MAX_ANSWER_BYTES)
        return msgspec.json.decode(answer.content, type=Readiness)


def _state(readiness: Readiness) -> ServiceState:
    if readiness.status != "ready":
        return ServiceState.DOWN
    return ServiceState.OK if all(d.ok for d in readiness.dependencies) else ServiceState.DEGRADED


def _together(name: str, found: Sequence[tuple[ServiceState, float]]) -> ServiceStatus:
    """A service of several processes is well when all are, down when all are; it is as slow as its slowest."""
    states = {state for state, _ in found}
    state = states.pop() if len(states) == 1 else ServiceState.DEGRADED
    return ServiceStatus(name, state, max(took for _, took in found))


def _overall(services: Sequence[ServiceStatus], engines: Sequence[ServiceStatus]) -> ServiceState:
    states = [s.status for s in chain(services, engines)]
    if all(state is ServiceState.OK for state in states):
        return ServiceState.OK
    without_database = any(e.name == DATABASE and e.status is ServiceState.DOWN for e in engines)
    nobody_left = all(s.status is ServiceState.DOWN for s in services)
    return ServiceState.DOWN if without_database or nobody_left else ServiceState.DEGRADED


def took_ms(began: float) -> float:
    """Milliseconds since `began`, a value of `time.perf_counter`."""
    return round((time.perf_counter() - began) * 1000, 2)
