"""The divided house on all cores of this machine: how long each kind of request takes, what it costs whom, and what many need.

Thirty-two clients ask through the gateway, with tokens of people: first each kind alone, which tells what one costs every
process; then all kinds at once, which tells how long each takes in a full house. Then a thousand people ask at an even rate,
timed from when they meant to. All the while a thousand people have a page open, a socket each. Everything shares the cores, the
asking as well: its part is told.

All kinds at once are measured twice: as the house is, where a log-in takes a fifth of a second of a core and most of the clients
soon stand in line for one; and with argon2 apart, in a house whose hashes cost nothing, so that all clients ask for what is
measured. The targets are those of the second; what is asked of the first is told beside. In the second house one route is also
made slow and faulty: a measurement that would not see it would see nothing.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence

import msgspec
import uvloop

from bench import seed
from bench.house import POSTGRES, VALKEY, Divided, Memory, divided
from bench.installation import installation
from bench.machine import Busy, all_cores
from bench.mixed import Heard, Kind, Tally, alone, closed, open_load, shares
from bench.questions import LOG_IN, PASSWORD, Questions, Sort
from bench.report import Options, Report, at_least, below, median, out, rows, say
from bench.sockets import Audience
from forecourt.modules.identity.passwords import Passwords
from forecourt.split import GATEWAY

CLIENTS = 32
PEOPLE, PER_MINUTE = 1_000, 10_000
"""At once, and what they ask: a tenth of what is to be sized, which two cores carry."""
LIGHT_SHARE = 1.0
"""Log-ins among the others when their hashes cost nothing: twice as many as else, for a p95 of a hundred."""
SLOW_MS, FAULTY = 60, 20
SLOWED = "/v1/me/sessions"
"""Nobody asks for it here otherwise."""
ALTERED = {"BENCH_LIGHT_HASHES": "1", "BENCH_SLOW": f"{SLOWED}={SLOW_MS}", "BENCH_FAULTY": f"{SLOWED}={FAULTY}"}
SETTLE_S = 1.0
"""For the worker to end what the last requests left to it."""


class Length(msgspec.Struct, frozen=True):
    """How much of it there is; parts in seconds."""

    days: int
    venues: int
    warm: float
    standing: float
    alone: float
    mixed: float
    simulated: float
    apart: float
    """Argon2 apart."""
    control: float


WHOLE = Length(days=180, venues=10_000, warm=8, standing=10, alone=8, mixed=60, simulated=120, apart=40, control=6)
QUICK = Length(days=30, venues=2_000, warm=4, standing=4, alone=2.5, mixed=20, simulated=30, apart=20, control=4)


class Cost(msgspec.Struct, frozen=True):
    """One kind alone at 32 clients. `us`: of each part, for one request, without what it uses when nobody asks."""

    kind: str
    share: float
    tally: Tally
    per_s: float
    us: dict[str, float]
    asking_us: float
    busy_pct: float

    def of(self, *parts: str) -> float:
        return sum(self.us[part] for part in parts)

    @property
    def services(self) -> float:
        return sum(us for part, us in self.us.items() if part not in (GATEWAY, POSTGRES, VALKEY))


class Full(msgspec.Struct, frozen=True):
    """All kinds at once."""

    heard: Heard
    busy_pct: float


class Simulation(msgspec.Struct, frozen=True):
    """People who ask at an even rate. `cores`: used by each part meanwhile."""

    heard: Heard
    cores: dict[str, float]
    busy_pct: float


class Sockets(msgspec.Struct, frozen=True):
    """What people with a page open take. `kib`: of each part, for one; `heard`: what was announced to all of them."""

    kib: dict[str, float]
    heard: int
    lost: int


class Found(msgspec.Struct, frozen=True):
    """What the house in the middle of the measurement, which is the product as it is, was found to do."""

    standing: dict[str, float]
    """Cores that each part uses when nobody asks, with everybody's sockets open."""
    sockets: Sockets
    memory: dict[str, Memory]
    """When all that was asked is over."""
    costs: list[Cost]
    full: Full
    simulation: Simulation


def measure(options: Options) -> None:
    report = Report.begin("split", "The divided house, 32 clients, everything on the same cores", options)
    length = QUICK if options.quick else WHOLE
    with installation(all_cores()) as at:
        questions = Questions(seed.make(at, seed.Shape(days=length.days)))
        uvloop.run(questions.prepare(at, length.venues))
        _say("opening the house")
        with divided(at) as house:
            questions.open_rooms(house.port)
            sorts = questions.sorts(house)
            found = _found(house, questions, [s.kind for s in sorts], length)
        hash_ms = uvloop.run(_hash_ms())
        _say("all kinds at once without argon2; a route that is slow and faulty")
        with divided(at, {"identity": ALTERED}) as house:
            kinds = [s.kind for s in questions.sorts(house) if s.target != LOG_IN]
            light = _light(house, questions, kinds, length)
            house.all_there()
            control = _control(house, questions, kinds, length)
    _tell_kinds(report, sorts, found, light)
    _tell_costs(found)
    _tell_rest(report, found, control, hash_ms)
    report.details = _details(found, light, control)
    report.finish()
    out.print("docs/performance.md:\n" + page(sorts, found, light), style="dim", soft_wrap=True)
    out.print("\ntools/scale.py:\n" + pasted(found), style="dim", soft_wrap=True)


# --- the product as it is -------------------------------------------------------------------------------------------------


def _found(house: Divided, questions: Questions, kinds: Sequence[Kind], length: Length) -> Found:
    _fit(closed(house.port, kinds, CLIENTS, length.warm, random.Random(0)), kinds)
    bare = house.memory()
    with Audience(house.port, questions.audience(PEOPLE)) as audience:
        grown = {part: 1024 * max(0.0, m.own - bare[part].own) / PEOPLE for part, m in house.memory().items()}
        standing = _standing(house, length.standing)
        _say(f"each of {len(kinds)} kinds alone")
        costs = [_alone(house, kind, shares(kinds)[kind.name], standing, length.alone) for kind in kinds]
        _say("all kinds at once")
        busy = Busy()
        full = Full(_fit(closed(house.port, kinds, CLIENTS, length.mixed, random.Random(1)), kinds), busy.percent())
        _say(f"{PER_MINUTE:,} requests a minute of {PEOPLE:,} people")
        time.sleep(SETTLE_S)
        simulation = _simulated(house, kinds, length.simulated)
        sockets = Sockets(grown, audience.heard, audience.lost)
    house.all_there()
    if not sockets.heard:
        raise AssertionError("people write to each other, and no socket heard of it")
    return Found(standing, sockets, house.memory(), costs, full, simulation)


def _say(what: str) -> None:
    out.print(f"[dim]{time.strftime('%H:%M:%S')} {what} …[/]")


def _fit(heard: Heard, kinds: Sequence[Kind]) -> Heard:
    """Itself. Raises AssertionError when our questions were wrong: the answers tell nothing then."""
    if wrong := heard.unfit(kinds):
        raise AssertionError(f"answers that nobody wanted, by kind and status: {wrong}")
    if empty := [name for name, tally in heard.tallies.items() if not tally.asked]:
        raise AssertionError(f"nobody asked for {', '.join(empty)}: it takes longer")
    return heard


def _standing(house: Divided, seconds: float) -> dict[str, float]:
    time.sleep(SETTLE_S)
    before, began = house.cpu(), time.perf_counter()
    time.sleep(seconds)
    took_us = (time.perf_counter() - began) * 1e6
    return {part: us / took_us for part, us in house.cpu().since(before).items()}


def _alone(house: Divided, kind: Kind, share: float, standing: Mapping[str, float], seconds: float) -> Cost:
    kinds = alone(kind)
    _fit(closed(house.port, kinds, CLIENTS, seconds / 5, random.Random(0)), kinds)
    time.sleep(SETTLE_S)
    busy, before, began = Busy(), house.cpu(), time.perf_counter()
    heard = _fit(closed(house.port, kinds, CLIENTS, seconds, random.Random(2)), kinds)
    busy_pct = busy.percent()
    time.sleep(SETTLE_S)
    used, took_us = house.cpu().since(before), (time.perf_counter() - began) * 1e6
    us = {part: max(0.0, spent - standing[part] * took_us) / heard.asked for part, spent in used.items()}
    return Cost(kind.name, share, heard.tallies[kind.name], heard.per_s, us, heard.own_s * 1e6 / heard.asked, busy_pct)


def _simulated(house: Divided, kinds: Sequence[Kind], seconds: float) -> Simulation:
    busy, before = Busy(), house.cpu()
    heard = _fit(open_load(house.port, kinds, PER_MINUTE / 60, seconds, random.Random(4)), kinds)
    cores = {part: us / 1e6 / heard.took_s for part, us in house.cpu().since(before).items()}
    return Simulation(heard, cores, busy.percent())


async def _hash_ms() -> float:
    """One check of a password by itself, as the product makes it."""
    passwords, took = Passwords(), list[float]()
    stored = await passwords.hash(PASSWORD)
    for _ in range(10):
        began = time.perf_counter()
        await passwords.fits(stored, PASSWORD)
        took.append((time.perf_counter() - began) * 1000)
    return median(took)


# --- a house that was altered ---------------------------------------------------------------------------------------------


def _light(house: Divided, questions: Questions, kinds: Sequence[Kind], length: Length) -> Heard:
    """All kinds at once, log-ins among them, without what argon2 takes."""
    mix = [*kinds, questions.light_log_in(LIGHT_SHARE)]
    _fit(closed(house.port, mix, CLIENTS, length.warm, random.Random(5)), mix)
    return _fit(closed(house.port, mix, CLIENTS, length.apart, random.Random(6)), mix)


def _control(house: Divided, questions: Questions, kinds: Sequence[Kind], length: Length) -> Tally:
    """What was heard of the route that is slow and faulty."""
    slow = questions.slowed(SLOWED, 5)
    mix = [*kinds, slow]
    return _fit(closed(house.port, mix, CLIENTS, length.control, random.Random(7)), mix).tallies[slow.name]


# --- telling --------------------------------------------------------------------------------------------------------------


def _tell_kinds(report: Report, sorts: Sequence[Sort], found: Found, light: Heard) -> None:
    tallies, lines = found.full.heard.tallies, []
    for sort, cost in zip(sorts, found.costs, strict=True):
        name, t, open_ = sort.kind.name, tallies[sort.kind.name], found.simulation.heard.tallies[sort.kind.name]
        lines.append(
            [
                f"{sort.target}: {name}",
                t.asked,
                t.failed,
                t.ms(50),
                t.ms(95),
                t.ms(99),
                light.tallies[name].ms(95),
                cost.per_s,
                cost.tally.ms(50),
                cost.tally.ms(95),
                open_.ms(95),
            ]
        )
        apart = light.tallies[name]
        note = (
            f"argon2 apart; p50 {apart.ms(50):.1f}, p99 {apart.ms(99):.1f}, {apart.asked} of them; alone {cost.tally.ms(95):.1f}"
        )
        report.add(f"{sort.target}: {name}", apart.ms(95), "ms p95", below(sort.bound_ms), note)
        report.add("… beside log-ins with argon2", t.ms(95), "ms p95", None, f"p50 {t.ms(50):.1f}, p99 {t.ms(99):.1f}")
    headings = [
        "32 clients, all kinds at once",
        "asked",
        "failed",
        "p50 ms",
        "p95 ms",
        "p99 ms",
        "p95, argon2 apart",
        "alone /s",
        "alone p50",
        "alone p95",
        "simulated p95",
    ]
    rows(headings, lines)


def _tell_costs(found: Found) -> None:
    lines = [
        [c.kind, c.services, c.of(GATEWAY), c.of(POSTGRES), c.of(VALKEY), c.asking_us, _most(c), f"{c.busy_pct:.0f} %"]
        for c in found.costs
    ]
    rows(
        ["µs of a core for one request", "services", "gateway", "PostgreSQL", "Valkey", "asking", "of the services", "busy"],
        lines,
    )
    parts = [[p, 1000 * found.standing[p], m.own, m.resident, found.sockets.kib[p]] for p, m in found.memory.items()]
    rows(["part", "standing, m cores", "own MiB", "resident MiB", "KiB a socket"], parts)


def _most(cost: Cost) -> str:
    """The services that do most of it."""
    services = {part: us for part, us in cost.us.items() if part not in (GATEWAY, POSTGRES, VALKEY)}
    heavy = sorted(services.items(), key=lambda pair: -pair[1])[:3]
    return ", ".join(f"{part} {us:,.0f}" for part, us in heavy if us >= 1)


def _tell_rest(report: Report, found: Found, control: Tally, hash_ms: float) -> None:
    full, simulation = found.full.heard, found.simulation
    asked, failed = full.asked + simulation.heard.asked, full.failed + simulation.heard.failed
    report.add("available", 100 * (1 - failed / asked), "%", at_least(99.9), f"{failed} of {asked:,} failed")
    report.add("argon2 by itself", hash_ms, "ms", None, "one check of a password, nobody else asks")
    share = 100 * full.own_s / full.took_s
    report.add(
        "all kinds at once",
        full.per_s,
        "/s",
        None,
        f"asking took {share:.0f} % of a core; all cores {found.full.busy_pct:.0f} % busy",
    )
    took = [ms for tally in simulation.heard.tallies.values() for ms in tally.latencies_ms]
    everybody = Tally(took, simulation.heard.tallies["a venue"].statuses)
    note = f"{PER_MINUTE:,} requests/min, p50 {everybody.ms(50):.1f}, p99 {everybody.ms(99):.1f}"
    note += f"; {found.sockets.lost} sockets lost"
    report.add(f"{PEOPLE:,} people at once, all kinds", everybody.ms(95), "ms p95", None, note)
    used, said = sum(simulation.cores.values()), expected_cores(found)
    report.add(
        "the simulation's cores",
        used,
        "cores",
        None,
        f"{said:.2f} by the sum of kinds; all cores {simulation.busy_pct:.0f} % busy",
    )
    quickest, seen = control.ms(0), 100 * control.failed / max(1, control.asked // FAULTY)
    report.add("control: a route made slow, its quickest answer", quickest, "ms", at_least(SLOW_MS), f"{control.asked} asked")
    report.add(f"control: its faults, each {FAULTY}th answer, that were counted", seen, "%", at_least(100))


class Times(msgspec.Struct, frozen=True):
    """A tally without its every answer."""

    asked: int
    failed: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    most_ms: float

    @classmethod
    def of(cls, tally: Tally) -> Times:
        return cls(tally.asked, tally.failed, *(round(tally.ms(p), 2) for p in (50, 95, 99, 100)))


def _details(found: Found, light: Heard, control: Tally) -> dict[str, object]:
    def times(heard: Heard) -> dict[str, Times]:
        return {name: Times.of(tally) for name, tally in heard.tallies.items()}

    return {
        "full": times(found.full.heard),
        "simulated": times(found.simulation.heard),
        "alone": {c.kind: Times.of(c.tally) for c in found.costs},
        "us": {c.kind: {part: round(us, 1) for part, us in c.us.items()} for c in found.costs},
        "standing_cores": found.standing,
        "simulated_cores": found.simulation.cores,
        "sockets": found.sockets,
        "memory_mib": found.memory,
        "light": times(light),
        "control": Times.of(control),
    }


def expected_cores(found: Found) -> float:
    """What the simulation should have used, by what kinds cost and what stands: what sums for more people rest upon."""
    a_request = sum(c.share * sum(c.us.values()) for c in found.costs)
    return a_request * PER_MINUTE / 60 / 1e6 + sum(found.standing.values())


def page(sorts: Sequence[Sort], found: Found, light: Heard) -> str:
    """The table of `docs/performance.md`."""
    lines = [
        "| `split`, 32 clients, all kinds at once | argon2 apart, p50 ms | p95 ms | target p95"
        " | beside argon2, p50 ms | p95 ms | alone, p95 ms | µs of all processes |"
    ]
    lines.append("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for sort, cost in zip(sorts, found.costs, strict=True):
        name = sort.kind.name
        times = [say(heard.tallies[name].ms(p)) for heard in (light, found.full.heard) for p in (50, 95)]
        figures = [*times[:2], f"< {sort.bound_ms:g}", *times[2:], say(cost.tally.ms(95)), f"{sum(cost.us.values()):,.0f}"]
        lines.append(f"| {sort.target}: {name} | {' | '.join(figures)} |")
    return "\n".join(lines)


def pasted(found: Found) -> str:
    """The figures as `tools/scale.py` has them."""
    lines = ["ASKED = ("]
    for c in found.costs:
        worth_telling = max(1.0, sum(c.us.values()) / 100)
        us = ", ".join(f'"{part}": {us:.0f}' for part, us in c.us.items() if us >= worth_telling)
        lines.append(f'    Asked("{c.kind}", {100 * c.share:.3g}, {{{us}}}),')
    lines += [")", "PARTS = ("]
    for part, memory in found.memory.items():
        socket = found.sockets.kib[part]
        lines.append(
            f'    Part("{part}", standing_m={1000 * found.standing[part]:.1f}, mib={memory.own:.0f}, socket_kib={socket:.1f}),'
        )
    return "\n".join([*lines, ")"])
