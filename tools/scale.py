"""The sums of docs/scale.md: `python -m tools.scale` prints its tables from the figures and assumptions below.

The first two tables are of a day in the life of all who have an account; the last two of the divided house under a given load.

Change a figure when it was measured again, an assumption when you know better, and paste what this prints into the document;
tests/tooling/test_scale.py holds the two together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import ceil

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


# --- the divided house: so many people at once, so many requests a minute -------------------------------------------------

PEOPLE, PER_MINUTE = 10_000, 100_000


@dataclass(frozen=True)
class Asked:
    """A kind of request: how many of a hundred are of it, and what one costs each part of the house, in µs of a core."""

    kind: str
    of_100: float
    us: dict[str, float]


@dataclass(frozen=True)
class Part:
    """A process of the divided house. `standing_m`: thousandths of a core when nobody asks; `mib`: its share of the memory."""

    name: str
    standing_m: float
    mib: float
    socket_kib: float


ENGINES = ("gateway", "PostgreSQL", "Valkey")
"""One of each, however many cores it takes. The others are processes of a core each, as many as are needed."""
# bench/split.py, which prints these two.
ASKED = (
    Asked("a booking", 12.1, {"booking": 442, "gateway": 175, "PostgreSQL": 176}),
    Asked("my bookings", 10.1, {"booking": 575, "gateway": 195, "PostgreSQL": 265}),
    Asked("a court's day", 20.1, {"booking": 466, "gateway": 176, "PostgreSQL": 181}),
    Asked("a venue", 14.1, {"venues": 163, "gateway": 120}),
    Asked(
        "book with credits",
        3.02,
        {"booking": 3073, "payments": 948, "worker": 4224, "gateway": 973, "PostgreSQL": 7224, "Valkey": 248},
    ),
    Asked(
        "say something", 3.02, {"chat": 2355, "realtime": 199, "worker": 2565, "gateway": 875, "PostgreSQL": 4104, "Valkey": 233}
    ),
    Asked("search by words", 5.03, {"venues": 595, "gateway": 284, "PostgreSQL": 602}),
    Asked("search near a point", 3.02, {"venues": 545, "gateway": 251, "PostgreSQL": 598}),
    Asked("my account", 12.1, {"identity": 459, "gateway": 200, "PostgreSQL": 252}),
    Asked("an account, for a service", 2.01, {"identity": 393, "gateway": 34, "PostgreSQL": 229}),
    Asked("my wallets", 8.04, {"payments": 595, "gateway": 243, "PostgreSQL": 434}),
    Asked("a price", 7.04, {"booking": 615, "gateway": 248, "PostgreSQL": 351}),
    Asked("log in", 0.503, {"identity": 178472, "worker": 13047, "gateway": 2925, "PostgreSQL": 16893}),
)
PARTS = (
    Part("identity", standing_m=12.5, mib=85, socket_kib=0.0),
    Part("people", standing_m=7.5, mib=68, socket_kib=0.0),
    Part("notifications", standing_m=7.5, mib=75, socket_kib=0.0),
    Part("venues", standing_m=10.0, mib=73, socket_kib=0.0),
    Part("booking", standing_m=10.0, mib=89, socket_kib=0.0),
    Part("payments", standing_m=7.5, mib=71, socket_kib=0.0),
    Part("media", standing_m=10.0, mib=71, socket_kib=0.0),
    Part("chat", standing_m=7.5, mib=74, socket_kib=0.0),
    Part("audit", standing_m=10.0, mib=68, socket_kib=0.0),
    Part("realtime", standing_m=15.0, mib=118, socket_kib=17.5),
    Part("worker", standing_m=10.0, mib=113, socket_kib=0.0),
    Part("gateway", standing_m=2.5, mib=130, socket_kib=7.6),
    Part("PostgreSQL", standing_m=10.0, mib=351, socket_kib=9.6),
    Part("Valkey", standing_m=5.0, mib=10, socket_kib=1.1),
)


@dataclass(frozen=True)
class Needed:
    """What a part needs for the load, its cores planned to be as full as `FULL` says."""

    part: Part
    us: float
    """Of one request of the mix."""
    processes: int
    cores: float
    mib: float


def needed() -> list[Needed]:
    return [_needed(part) for part in PARTS]


def _needed(part: Part) -> Needed:
    us = sum(asked.of_100 / 100 * asked.us.get(part.name, 0) for asked in ASKED)
    busy = us * PER_MINUTE / 60 / 1e6
    processes = 1 if part.name in ENGINES else max(1, ceil(busy / FULL))
    cores = (busy + processes * part.standing_m / 1000) / FULL
    return Needed(part, us, processes, cores, processes * part.mib + PEOPLE * part.socket_kib / 1024)


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


def asked_table() -> str:
    """What each kind of request costs the services together, and the engines."""
    lines = [
        "| a request | of 100 | services' µs | gateway's | PostgreSQL's | Valkey's |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for asked in ASKED:
        services = sum(us for part, us in asked.us.items() if part not in ENGINES)
        engines = " | ".join(f"{asked.us.get(part, 0):,.0f}" for part in ENGINES)
        lines.append(f"| {asked.kind} | {asked.of_100:g} | {services:,.0f} | {engines} |")
    return "\n".join(lines) + "\n"


def needed_table() -> str:
    """What each part needs for the load, and all of them."""
    found = needed()
    lines = ["| part | µs of a request | MiB of one | KiB a socket | → processes | cores | GiB |", "| --- |" + " --- |" * 6]
    for n in found:
        measured = f"{n.us:,.0f} | {n.part.mib:,.0f} | {n.part.socket_kib:.1f}"
        lines.append(f"| {n.part.name} | {measured} | {n.processes} | {number(n.cores)} | {number(n.mib / 1024)} |")
    us, kib = sum(n.us for n in found), sum(n.part.socket_kib for n in found)
    cores, mib = sum(n.cores for n in found), sum(n.mib for n in found)
    lines.append(
        f"| all | {us:,.0f} | | {kib:.1f} | {sum(n.processes for n in found)} | {number(cores)} | {number(mib / 1024)} |"
    )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(costs())
    print(table())
    print(asked_table())
    print(needed_table())
