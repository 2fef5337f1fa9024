"""What the gateway adds to a request, and how many it takes per core: ours beside Express with http-proxy-middleware, in one run.

Both do the same before the same upstream: the access token verified (ES256), requests counted by address and by account, the path
led on over kept connections. The upstream is a second HAProxy that answers from memory, so that the proxies are what is measured.
Each proxy has one thread on a core of its own; rounds of the two follow each other, and ratios are of such rounds.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
from collections.abc import Generator
from pathlib import Path
from uuid import uuid4

import msgspec
from joserfc import jwt
from joserfc.jwk import ECKey

from bench.installation import Server, free_port, running
from bench.load import HOST, Call, Client, Outcome, Rounds
from bench.machine import Busy, split_cores
from bench.peers import FOLDER, PROXY, PeerMissing, build
from bench.report import Options, Report, at_least, below, median, out, rows
from forecourt.gateway.haproxy import check, haproxy_program
from forecourt.gateway.haproxy import render as rendered
from forecourt.gateway.plan import Limits, Plan, Service
from forecourt.gateway.runtime import socket_of
from forecourt.kernel.http.gate import AUDIENCE, ISSUER
from forecourt.layout import module_names

OURS, DIRECT = "Forecourt's gateway", "no gateway"
CONNECTIONS = 32
PEOPLE = 200
BODY = msgspec.json.encode({"id": str(uuid4()), "status": "confirmed", "note": "x" * 400}).decode()
NEVER = 1_000_000_000
"""A limit that is counted towards and not reached."""


class Round(msgspec.Struct, frozen=True):
    server: str
    kind: str
    per_s: float
    cpu_us: float
    p50_ms: float
    p99_ms: float
    machine_busy_pct: float

    @property
    def per_core(self) -> float:
        return 1e6 / self.cpu_us


class Alone(msgspec.Struct, frozen=True):
    """One request at a time."""

    server: str
    kind: str
    p50_ms: float
    p95_ms: float


def measure(options: Options) -> None:
    report = Report.begin("gateway", "What a gateway adds, and how many requests a core of it takes", options)
    missing: list[str] = []
    key = ECKey.generate_key("P-256", {"kid": uuid4().hex, "use": "sig", "alg": "ES256"}, private=True)
    calls = {"with a token": _calls(key), "without": [Call("/v1/bookings/1")]}
    with tempfile.TemporaryDirectory(prefix="bench-") as place, contextlib.ExitStack() as stack:
        servers = [*_started(Path(place), key, stack, missing)]
        alone = _alone(servers, calls, options)
        done = _rounds([s for s in servers if s.name != DIRECT], calls, options)
    _tell(report, alone, done, missing)


def _calls(key: ECKey) -> list[Call]:
    """Of many people, whose tokens were made within the last minutes."""
    kid = key.kid
    claims = {"iss": ISSUER, "aud": AUDIENCE, "st": "active", "exp": 4_000_000_000}
    tokens = [
        jwt.encode({"alg": "ES256", "kid": kid}, {**claims, "sub": str(uuid4()), "sid": str(uuid4())}, key) for _ in range(PEOPLE)
    ]
    return [Call(f"/v1/bookings/{n}", token) for n, token in enumerate(tokens)]


# --- servers -------------------------------------------------------------------------------------------------------------


def _started(place: Path, key: ECKey, stack: contextlib.ExitStack, missing: list[str]) -> Generator[Server]:
    cores = split_cores()
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores.others)
    stack.callback(os.sched_setaffinity, 0, before)
    upstream = stack.enter_context(_upstream(place, cores.others))
    yield upstream
    yield stack.enter_context(_ours(place, key, upstream, cores.server))
    try:
        build(PROXY)
    except PeerMissing as e:
        missing.append(f"{PROXY.name}: {e}")
        return
    port = free_port()
    (place / "keys.json").write_bytes(
        msgspec.json.encode({"keys": [key.as_dict(private=False)], "issuer": ISSUER, "audience": AUDIENCE})
    )
    environ = {
        **os.environ,
        "NODE_ENV": "production",
        "PORT": str(port),
        "BENCH_KEYS": str(place / "keys.json"),
        "UPSTREAM": f"http://{HOST}:{upstream.port}",
    }
    folder = FOLDER / PROXY.folder
    yield stack.enter_context(running(PROXY.name, ["node", PROXY.program], port, environ, cores.server, "/readyz", folder))


@contextlib.contextmanager
def _upstream(place: Path, cores: set[int]) -> Generator[Server]:
    port = free_port()
    config = place / "upstream.cfg"
    config.write_text(
        "global\n  nbthread 1\ndefaults\n  mode http\n  timeout client 60s\n  timeout server 60s\n  timeout connect 1s\n"
        f"frontend all\n  bind {HOST}:{port}\n"
        f"  http-request return status 200 content-type application/json string '{BODY}' hdr X-Request-Id u\n"
    )
    with running(DIRECT, [haproxy_program(), "-db", "-q", "-f", str(config)], port, os.environ, cores, "/readyz") as server:
        yield server


@contextlib.contextmanager
def _ours(place: Path, key: ECKey, upstream: Server, cores: set[int]) -> Generator[Server]:
    """As `forecourt gateway run` starts it, with a service for each module, on one thread."""
    port = free_port()
    folder = place / "gateway"
    folder.mkdir()
    at = f"http://{HOST}:{upstream.port}"
    limits = Limits(requests_per_address=NEVER, requests_per_account=NEVER)
    plan = Plan(
        services=tuple(Service(name, (name,), {"v1": (at,)}) for name in module_names()),
        listen=(f"{HOST}:{port}",),
        internal=f"{HOST}:{free_port()}",
        threads=1,
        limits=limits,
    ).checked()
    made = rendered(plan, folder, keys=[msgspec.convert(key.as_dict(private=False), dict[str, str])], runtime=socket_of(folder))
    config = made.write(folder)
    asyncio.run(check(config))
    with running(OURS, [haproxy_program(), "-db", "-q", "-f", str(config)], port, os.environ, cores, "/v1/me") as server:
        yield server


# --- rounds ---------------------------------------------------------------------------------------------------------------


def _alone(servers: list[Server], calls: dict[str, list[Call]], options: Options) -> list[Alone]:
    """Rounds of all servers follow each other; each server's middle one counts."""
    seconds, count = (1.0, 5) if options.quick else (3.0, 7)
    found: list[Alone] = []
    for kind, asked in calls.items():
        clients = {server.name: Client(server.port, 1) for server in servers}
        for client in clients.values():
            client.run(asked).only(200)
        took: dict[str, list[Outcome]] = {name: [] for name in clients}
        for _ in range(count):
            for name, client in clients.items():
                took[name].append(client.run(asked, seconds).only(200))
        for name, each in took.items():
            found.append(Alone(name, kind, median([o.ms(50) for o in each]), median([o.ms(95) for o in each])))
    return found


def _rounds(servers: list[Server], calls: dict[str, list[Call]], options: Options) -> list[Round]:
    seconds, count = (3.0, 3) if options.quick else (6.0, 5)
    done: list[Round] = []
    for kind, asked in calls.items():
        load = Rounds(asked)
        for server in servers:
            load.run(server.port, 1.0, CONNECTIONS, advance=False)
        for _ in range(count):
            for server in servers:
                busy, before = Busy(), server.used()
                rate = load.run(server.port, seconds, CONNECTIONS, advance=False)
                cpu_us = (server.used().cpu_us - before.cpu_us) / max(1, rate.answered)
                if rate.refused or rate.lost or not rate.answered:
                    raise AssertionError(f"{server.name}, {kind}: {rate.refused} refused, {rate.lost} lost of {rate.answered}")
                done.append(Round(server.name, kind, rate.per_s, cpu_us, rate.p50_ms, rate.p99_ms, busy.percent()))
        load.close()
    return done


def _tell(report: Report, alone: list[Alone], done: list[Round], missing: list[str]) -> None:
    names = list(dict.fromkeys(r.server for r in done))
    lines: list[list[object]] = []
    for kind in dict.fromkeys(r.kind for r in done):
        straight = next(a for a in alone if (a.server, a.kind) == (DIRECT, kind))
        for name in names:
            mine = [r for r in done if (r.server, r.kind) == (name, kind)]
            one = next(a for a in alone if (a.server, a.kind) == (name, kind))
            added = one.p95_ms - straight.p95_ms
            lines.append(
                [
                    f"{kind}: {name}",
                    median([r.per_s for r in mine]),
                    median([r.cpu_us for r in mine]),
                    median([r.per_core for r in mine]),
                    one.p50_ms - straight.p50_ms,
                    added,
                    median([r.p99_ms for r in mine]),
                ]
            )
            report.add(
                f"{kind}, {name}: added", added, "ms p95", below(5) if name == OURS else None, f"{straight.p95_ms:.2f} without"
            )
        if len(names) == 2:
            theirs = [r for r in done if (r.server, r.kind) == (PROXY.name, kind)]
            ours = [r for r in done if (r.server, r.kind) == (OURS, kind)]
            ratio = median([a.per_core / b.per_core for a, b in zip(ours, theirs, strict=True)])
            measured = median([a.per_s / b.per_s for a, b in zip(ours, theirs, strict=True)])
            report.add(
                f"{kind}, ours : {PROXY.name}", ratio, "× per core", at_least(2), f"{measured:.2f}× in requests/s measured"
            )
    rows(["", "requests/s", "CPU µs each", "per core /s", "added p50 ms", "added p95 ms", "p99 ms at 32"], lines)
    for reason in missing:
        out.print(f"[yellow]not compared with {reason}[/]")
    report.details = {"rounds": done, "alone": alone, "missing": missing}
    report.finish()
