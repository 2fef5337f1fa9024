"""The sums of docs/scale.md: `python -m tools.scale` prints its tables from the figures and assumptions below.

Change a figure when it was measured again, an assumption when you know better, and paste what this prints into the document;
tests/tooling/test_scale.py holds the two together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

SIZES = {"10 k": 10_000, "100 k": 100_000, "10 M": 10_000_000}


@dataclass(frozen=True)
class Kind:
    """Something people do: how often a day, and what one costs, in µs of a core of our processes and of PostgreSQL."""

    name: str
    a_day: float
    ours_us: float
    database_us: float
    writes: bool
    measured: str


# bench/http.py on the quiet machine at 30cdbb4: middle of the rounds.
KINDS = (
    Kind("read", 40, 176, 87, writes=False, measured="`http`, read one"),
    Kind("look for a time", 8, 302, 123, writes=False, measured="`http`, availability"),
    Kind("open a page", 12, 4_850, 1_250, writes=False, measured="`pages`, on average"),
    Kind("book", 0.25, 1_133, 2_397, writes=True, measured="`http`, book with credits"),
    Kind("say something", 8, 1_133, 2_397, writes=True, measured="not measured: taken as a booking"),
)
ACTIVE = 0.10
"""Of the people who have an account, those who come on a day."""
IN_THE_HOUR = 0.20
"""Of a day, what happens in its busiest hour."""
BUSIEST_DAY = 2.0
"""The busiest day of a week, to a middling one."""
FULL = 0.5
"""How much of a core is planned to be used."""
AT_ONCE = 0.15
"""Of those who come, those with a page open in the busiest hour."""
HEARERS = 20
"""Sockets that hear a message."""
FAN_OUT = 103_000
"""Deliveries a core and second, one message in flight (`live`)."""
SOCKET_KIB = 6.7
EVENTS_EACH = 3
"""Events of a write; a worker handles 19,000 a second (`events`)."""
EVENTS_A_WORKER = 19_000
ROW_KIB = 12
"""A booking with its claim, history, charge, ledger, audit and notices, indexes included: an estimate."""
MESSAGE_KIB = 1.5
"""A message with its event and indexes: an estimate."""
ON_REPLICAS = 0.8
"""Of the reads, those that go to a replica where there is one: the gate's, jobs' and fresh writers' do not."""


@dataclass(frozen=True)
class Sums:
    """At the busiest hour of the busiest day."""

    rates: dict[str, float]
    app_cores: float
    read_cores: float
    write_cores: float
    sockets: int
    socket_cores: float
    events: float
    gib_a_year: float

    @property
    def primary_with_replicas(self) -> float:
        return self.write_cores + self.read_cores * (1 - ON_REPLICAS)


def sums(people: int) -> Sums:
    come = people * ACTIVE * BUSIEST_DAY
    rates = {kind.name: come * kind.a_day * IN_THE_HOUR / 3600 for kind in KINDS}

    def cores(kinds: list[Kind], cost: str) -> float:
        return sum(rates[kind.name] * getattr(kind, cost) for kind in kinds) / 1e6 / FULL

    writes = [kind for kind in KINDS if kind.writes]
    sockets = int(come * AT_ONCE)
    a_year = people * ACTIVE * 365 * (0.25 * ROW_KIB + 8 * MESSAGE_KIB) / 1024**2
    return Sums(
        rates=rates,
        app_cores=cores(list(KINDS), "ours_us"),
        read_cores=cores([kind for kind in KINDS if not kind.writes], "database_us"),
        write_cores=cores(writes, "database_us"),
        sockets=sockets,
        socket_cores=rates["say something"] * HEARERS / FAN_OUT / FULL,
        events=sum(rates[kind.name] for kind in writes) * EVENTS_EACH,
        gib_a_year=a_year,
    )


def number(value: float) -> str:
    """Two figures that count: no more was measured."""
    if value < 0.1:
        return "< 0.1"
    return f"{float(f'{value:.2g}'):,.{1 if value < 9.95 else 0}f}"


def _rate(kind: str, found: Sums) -> float:
    return found.rates[kind]


def table() -> str:
    found = {name: sums(people) for name, people in SIZES.items()}
    lines = [
        f"| in the busiest hour | {' | '.join(f'{name} people' for name in SIZES)} |",
        f"| --- | {' | '.join('---' for _ in SIZES)} |",
    ]
    rows: list[tuple[str, Callable[[Sums], float]]] = [
        *((f"{kind.name}, a second", partial(_rate, kind.name)) for kind in KINDS),
        ("our processes, cores", lambda s: s.app_cores),
        ("PostgreSQL, cores for reads", lambda s: s.read_cores),
        ("PostgreSQL, cores for writes", lambda s: s.write_cores),
        ("the primary's cores with replicas", lambda s: s.primary_with_replicas),
        ("events a second", lambda s: s.events),
        ("sockets", lambda s: s.sockets),
        ("sockets' memory, GiB", lambda s: s.sockets * SOCKET_KIB / 1024**2),
        ("sockets, cores", lambda s: s.socket_cores),
        ("rows of a year, GiB", lambda s: s.gib_a_year),
    ]
    lines += [f"| {what} | {' | '.join(number(of(found[name])) for name in SIZES)} |" for what, of in rows]
    return "\n".join(lines) + "\n"


def costs() -> str:
    lines = [
        "| what people do | a day | our µs | PostgreSQL's µs | from |",
        "| --- | --- | --- | --- | --- |",
        *(f"| {k.name} | {k.a_day:g} | {k.ours_us:,.0f} | {k.database_us:,.0f} | {k.measured} |" for k in KINDS),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(costs())
    print(table())
