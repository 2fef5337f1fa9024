"""Requests of many kinds at once, each kind told apart: how long its answers took, what they were, and what did not come.

Two ways to ask. *Closed*: so many clients, each with one request under way; what a full house of impatient people does. *Open*:
so many requests a second, come what may, each timed from the moment at which it was meant to be sent: a server that stands still
is late for everybody who came meanwhile, also for those who could not be sent.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec
import uvloop

from bench.load import HOST, Call, Connection
from bench.report import percentile

LOST = 0
"""The status of an answer that did not come."""
LANES = 512
"""Connections at most of open load: whoever finds none free waits, and the wait counts."""

Ask = Callable[[], Awaitable[int]]
"""Asks by a way of its own, and says the status."""


class Kind(msgspec.Struct, frozen=True):
    """One kind of request. `next` makes another one; `share`: of all requests, in any unit; `good`: the status it should have."""

    name: str
    share: float
    next: Callable[[], Call | Ask]
    good: int = 200


class Tally(msgspec.Struct):
    """What came back of one kind."""

    latencies_ms: list[float] = []
    statuses: Counter[int] = msgspec.field(default_factory=Counter[int])

    def note(self, began: float, status: int) -> None:
        """An answer to what was, or should have been, asked at `began`. One that did not come counts with its wait."""
        self.latencies_ms.append((time.perf_counter() - began) * 1000)
        self.statuses[status] += 1

    @property
    def asked(self) -> int:
        return self.statuses.total()

    @property
    def failed(self) -> int:
        """Answers of 500 and above, and those that did not come."""
        return sum(n for status, n in self.statuses.items() if status >= 500 or status == LOST)

    def ms(self, percent: float) -> float:
        return percentile(self.latencies_ms, percent)


class Heard(msgspec.Struct):
    """What came back in all."""

    took_s: float
    own_s: float
    """Processor time of this process meanwhile: what asking cost."""
    tallies: dict[str, Tally]

    @property
    def asked(self) -> int:
        return sum(t.asked for t in self.tallies.values())

    @property
    def failed(self) -> int:
        return sum(t.failed for t in self.tallies.values())

    @property
    def per_s(self) -> float:
        return self.asked / self.took_s

    @property
    def available_pct(self) -> float:
        """Of all answers, those that came and were no fault of the server's."""
        return 100 * (1 - self.failed / max(1, self.asked))

    def unfit(self, kinds: Sequence[Kind]) -> dict[str, dict[int, int]]:
        """By kind, answers below 500 that are not the good one: the questions were wrong then, and the figures mean nothing."""
        good = {kind.name: kind.good for kind in kinds}
        wrong = {
            name: {s: n for s, n in t.statuses.items() if s not in (good[name], LOST) and s < 500}
            for name, t in self.tallies.items()
        }
        return {name: found for name, found in wrong.items() if found}


class _Lane:
    """One client's connection, made anew when it broke."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._connection: Connection | None = None

    async def ask(self, question: Call | Ask) -> int:
        if not isinstance(question, Call):
            return await question()
        try:
            if self._connection is None or self._connection.ended:
                _, self._connection = await asyncio.get_running_loop().create_connection(Connection, HOST, self._port)
            status, _ = await self._connection.ask(question.wire())
        except (OSError, TimeoutError):
            self.close()
            return LOST
        return status

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None


class _Choice:
    """Which kind comes next, by their shares."""

    def __init__(self, kinds: Sequence[Kind], dice: random.Random) -> None:
        self._kinds = list(kinds)
        self._shares = [kind.share for kind in kinds]
        self._dice = dice

    def __call__(self) -> Kind:
        return self._dice.choices(self._kinds, self._shares)[0]


def closed(port: int, kinds: Sequence[Kind], clients: int, seconds: float, dice: random.Random) -> Heard:
    """`clients` at once, each asking as soon as it was answered."""
    return uvloop.run(_closed(port, kinds, clients, seconds, dice))


def open_at(ports: Sequence[int], kinds: Sequence[Kind], per_s: float, seconds: float, dice: random.Random) -> list[Heard]:
    """`open_load` at several servers at once, each of which gets its part of `per_s`."""

    async def all_of_them() -> list[Heard]:
        return await asyncio.gather(*(_open(port, kinds, per_s / len(ports), seconds, dice) for port in ports))

    return uvloop.run(all_of_them())


async def _closed(port: int, kinds: Sequence[Kind], clients: int, seconds: float, dice: random.Random) -> Heard:
    heard, own, began = _nothing(kinds), time.process_time(), time.perf_counter()
    choose, until = _Choice(kinds, dice), began + seconds

    async def client() -> None:
        lane = _Lane(port)
        while (at := time.perf_counter()) < until:
            kind = choose()
            heard.tallies[kind.name].note(at, await lane.ask(kind.next()))
        lane.close()

    await asyncio.gather(*(client() for _ in range(clients)))
    return _ended(heard, began, own)


def open_load(port: int, kinds: Sequence[Kind], per_s: float, seconds: float, dice: random.Random) -> Heard:
    """`per_s` requests a second at even distances."""
    return uvloop.run(_open(port, kinds, per_s, seconds, dice))


async def _open(port: int, kinds: Sequence[Kind], per_s: float, seconds: float, dice: random.Random) -> Heard:
    heard, own, began = _nothing(kinds), time.process_time(), time.perf_counter()
    choose, lanes, free = _Choice(kinds, dice), [_Lane(port) for _ in range(LANES)], asyncio.Semaphore(LANES)
    idle = list(lanes)

    async def one(kind: Kind, due: float) -> None:
        async with free:
            lane = idle.pop()  # the one that was used last: as few connections as will do
            status = await lane.ask(kind.next())
            idle.append(lane)
        heard.tallies[kind.name].note(due, status)

    async with asyncio.TaskGroup() as under_way:
        for n in range(int(per_s * seconds)):
            due = began + n / per_s
            if (early := due - time.perf_counter()) > 0:
                await asyncio.sleep(early)
            under_way.create_task(one(choose(), due))
    for lane in lanes:
        lane.close()
    return _ended(heard, began, own)


def _nothing(kinds: Sequence[Kind]) -> Heard:
    return Heard(0.0, 0.0, {kind.name: Tally() for kind in kinds})


def _ended(heard: Heard, began: float, own: float) -> Heard:
    heard.took_s, heard.own_s = time.perf_counter() - began, time.process_time() - own
    return heard


def alone(kind: Kind) -> list[Kind]:
    """This kind and no other."""
    return [msgspec.structs.replace(kind, share=1.0)]


def shares(kinds: Sequence[Kind]) -> Mapping[str, float]:
    """Of one request, by kind."""
    whole = sum(kind.share for kind in kinds)
    return {kind.name: kind.share / whole for kind in kinds}
