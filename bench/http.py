"""Read one booking, availability of a day, book with credits: ours beside Express + pg and NestJS + Prisma.

All serve from one worker on one core, in turn, against the same tables of the same PostgreSQL, with the same tokens; every
answer is first compared with ours. The tuned Express shows what its own two gains are worth (see peers/express/app.js).
Rounds are interleaved, because a shared machine drifts; ratios are of rounds that followed each other.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

import msgspec

from bench import peers, seed
from bench.installation import Installation, Server, forecourt, installation
from bench.load import Call, Client, Rounds
from bench.machine import Busy, postgres_cpu_us
from bench.peers import EXPRESS, EXPRESS_TUNED, NEST, PeerMissing
from bench.report import Options, Report, at_least, below, median, out, rows

CONNECTIONS = 32
OURS = "Forecourt"


class Round(msgspec.Struct, frozen=True):
    server: str
    operation: str
    per_s: float
    cpu_us: float
    """Of the server's own process, per request."""
    database_us: float
    """Of PostgreSQL, per request."""
    p50_ms: float
    p99_ms: float
    resident_mib: float
    machine_busy_pct: float

    @property
    def per_core(self) -> float:
        """Requests/s of a core that does nothing else and waits for nobody."""
        return 1e6 / self.cpu_us


class Operation(msgspec.Struct, frozen=True):
    name: str
    rounds: Rounds
    advance: bool


def measure(options: Options) -> None:
    report = Report.begin("http", "Requests per second of one core, 32 connections", options)
    shape = seed.Shape(days=90 if options.quick else 365)
    with installation() as at:
        world = seed.make(at, shape)
        with servers(at, world) as (servers_, missing):
            same_answers(world, servers_)
            done = _rounds(at, world, servers_, options)
    _tell(report, done, missing)


@contextlib.contextmanager
def servers(at: Installation, world: seed.World):
    """Ours and every peer that can be built here, all running; and why the others cannot."""
    missing: list[str] = []
    place = at.data / "world.json"
    world.for_peers(place)
    with contextlib.ExitStack() as stack:
        started = [stack.enter_context(forecourt(at))]
        for peer in (EXPRESS, EXPRESS_TUNED, NEST):
            try:
                peers.build(peer)
            except PeerMissing as e:
                missing.append(f"{peer.name}: {e}")
                continue
            started.append(stack.enter_context(peers.serving(peer, at, place)))
        yield started, missing


# --- the same work: the same answers --------------------------------------------------------------------------------------


def same_answers(world: seed.World, servers_: Iterable[Server]) -> None:
    """Every server answers the same to the same reads, and to a booking but for its id. Raises AssertionError."""
    dice = random.Random(1)
    calls = [*world.read_one(20, dice), *world.day_of_one_court(20, dice)]
    ours, *others = servers_
    expected = _ask(ours, calls)
    for other in others:
        for call, want, got in zip(calls, expected, _ask(other, calls), strict=True):
            if _plain(want) != _plain(got):
                raise AssertionError(f"{other.name} answers {call.path} otherwise:\n{got!r}\nand not\n{want!r}")
    last = world.book(200 * 17 * 20)[-1 - len(others) :]
    booked = [_plain(_ask(server, [call], 201)[0]) for server, call in zip((ours, *others), last, strict=True)]
    for server, got in zip(others, booked[1:], strict=True):
        if _shape(got) != _shape(booked[0]):
            raise AssertionError(f"{server.name} books otherwise:\n{got!r}\nand not\n{booked[0]!r}")


def _ask(server: Server, calls: list[Call], status: int = 200) -> list[bytes]:
    return Client(server.port, 1).run(calls, keep_bodies=len(calls)).only(status).bodies


def _plain(body: bytes) -> Any:
    """JSON with instants as instants: `10:00:00Z` and `10:00:00.000Z` are the same."""

    def walk(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: walk(v) for k, v in sorted(value.items())}
        if isinstance(value, list):
            return [walk(v) for v in value]
        if isinstance(value, str) and len(value) >= 20 and value[10] == "T":
            return datetime.fromisoformat(value)
        return value

    return walk(msgspec.json.decode(body))


def _shape(booking: dict[str, Any]) -> dict[str, Any]:
    own = ("id", "start", "end", "local_start", "resource_id", "account_id", "organisation_id", "venue_id")
    return {k: None if k in own else v for k, v in booking.items()}


# --- rounds ---------------------------------------------------------------------------------------------------------------


def _rounds(at: Installation, world: seed.World, servers_: list[Server], options: Options) -> list[Round]:
    dice = random.Random(2)
    operations = [
        Operation("read one", Rounds(world.read_one(4_000, dice)), advance=False),
        Operation("availability", Rounds(world.day_of_one_court(4_000, dice)), advance=False),
        Operation("book", Rounds(world.book(150_000)), advance=True),
    ]
    seconds, count = (3.0, 3) if options.quick else (6.0, 5)
    done: list[Round] = []
    tokens = [Call(world.read_one(1, dice)[0].path, token) for token in world.tokens]
    for server in servers_:
        Client(server.port, 8).run(tokens).only(200, 404)  # each has seen every token once: people stay for more than a request
    for operation in operations:
        for server in servers_:
            operation.rounds.run(server.port, 2.0, CONNECTIONS, advance=operation.advance)
        for _ in range(count):
            done += [_round(operation, server, seconds) for server in servers_]
        operation.rounds.close()
    return done


def _round(operation: Operation, server: Server, seconds: float) -> Round:
    busy, before, database = Busy(), server.used(), postgres_cpu_us()
    rate = operation.rounds.run(server.port, seconds, CONNECTIONS, advance=operation.advance)
    cpu_us = (server.used().cpu_us - before.cpu_us) / max(1, rate.answered)
    database_us = sum(used - database.get(pid, 0.0) for pid, used in postgres_cpu_us().items()) / max(1, rate.answered)
    if rate.refused or rate.lost or not rate.answered:
        raise AssertionError(f"{server.name}, {operation.name}: {rate.refused} refused and {rate.lost} lost of {rate.answered}")
    return Round(
        server.name,
        operation.name,
        rate.per_s,
        cpu_us,
        database_us,
        rate.p50_ms,
        rate.p99_ms,
        server.resident_mib(),
        busy.percent(),
    )


def _of(done: list[Round], server: str, operation: str) -> list[Round]:
    return [r for r in done if (r.server, r.operation) == (server, operation)]


def _middle(done: list[Round], value: Callable[[Round], float]) -> float:
    return median([value(r) for r in done])


def _ratio(done: list[Round], peer: str, operation: str, value: Callable[[Round], float]) -> float:
    """Ours to theirs, round by round; the middle one."""
    pairs = zip(_of(done, OURS, operation), _of(done, peer, operation), strict=True)
    return median([value(ours) / value(theirs) for ours, theirs in pairs])


def _tell(report: Report, done: list[Round], missing: list[str]) -> None:
    names = list(dict.fromkeys(r.server for r in done))
    lines: list[list[object]] = []
    for operation in dict.fromkeys(r.operation for r in done):
        for name in names:
            mine = _of(done, name, operation)
            lines.append(
                [
                    f"{operation}: {name}",
                    _middle(mine, lambda r: r.per_s),
                    _middle(mine, lambda r: r.cpu_us),
                    _middle(mine, lambda r: r.per_core),
                    _middle(mine, lambda r: r.database_us),
                    _middle(mine, lambda r: r.p50_ms),
                    _middle(mine, lambda r: r.p99_ms),
                    _middle(mine, lambda r: r.resident_mib),
                ]
            )
        for name, bound in ((NEST.name, 4.0), (EXPRESS.name, 1.8), (EXPRESS_TUNED.name, None)):
            if name not in names:
                continue
            target = None if bound is None else at_least(bound)
            measured = _ratio(done, name, operation, lambda r: r.per_s)
            note = f"{measured:.2f}× in requests/s measured"
            report.add(
                f"{operation}, ours : {name}", _ratio(done, name, operation, lambda r: r.per_core), "× per core", target, note
            )
    ours = _of(done, OURS, "book")
    report.add("book with credits", _middle(ours, lambda r: r.per_core), "/s per core", at_least(250))
    report.add("book with credits, 32 clients", _middle(ours, lambda r: r.p99_ms), "ms p99", below(150))
    report.add("memory of our process", _middle(ours, lambda r: r.resident_mib), "MiB", below(250))
    rows(["", "requests/s", "CPU µs each", "per core /s", "database µs", "p50 ms", "p99 ms", "RSS MiB"], lines)
    for reason in missing:
        out.print(f"[yellow]not compared with {reason}[/]")
    report.details = {"rounds": done, "missing": missing}
    report.finish()
