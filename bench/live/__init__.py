"""Fan-out in one room: ours beside Socket.IO with its Redis adapter and python-socketio with its Redis manager, in one run.

Each serves from one process on one core, fans out through the same Valkey, and has the same load program before it. Deliveries
per core are deliveries over what the server's own process used of the processor; rounds of the three follow each other, and
ratios are of such rounds. With one message in flight every delivery is a write of its own; with eight, ours joins what falls into
one turn of the loop, and Socket.IO does not. A room's database is left out: the peers keep nothing.

With one message in flight most of the time is the kernel's, whoever asks: `floor.c` only writes, and its figure is what a server
that writes once per delivery can reach at most.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from uuid import UUID, uuid4

import msgspec
from joserfc import jwt
from joserfc.jwk import ECKey

from bench.installation import Installation, Server, free_port, installation, running
from bench.machine import ROOT
from bench.peers import FOLDER, SOCKETIO, PeerMissing, build
from bench.report import Options, Report, at_least, below, median, out, rows
from forecourt.kernel.http.gate import AUDIENCE, ISSUER
from forecourt.realtime.people import MAX_SOCKETS

HERE = Path(__file__).resolve().parent
OURS, NODE, PYTHON = "Forecourt", "Socket.IO + Redis adapter", "python-socketio + Redis"
MEMBERS = (500, 2000)
IN_FLIGHT = (1, 8)
IDLE = 5000
STORM = 2000
CALM_PER_S = 10_000
FRAME_BYTES = 340
"""A message of the load program as our clients get it."""


class Round(msgspec.Struct, frozen=True):
    server: str
    members: int
    in_flight: int
    """0: at 10,000 deliveries a second."""
    deliveries_per_s: float
    per_core: float
    p50_ms: float
    p99_ms: float


class Load:
    """The load program, built once."""

    def __init__(self, folder: Path, tokens: Path) -> None:
        self.program, self._floor = _compiled(folder, "wsload"), _compiled(folder, "floor")
        self.tokens = tokens

    def floor(self, members: int, seconds: float) -> float:
        """Writes per second of one core's time by a program that does nothing else."""
        said = subprocess.run(
            [str(self._floor), str(members), str(FRAME_BYTES), str(seconds)],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        return float(said.stdout.split()[1])

    def start(self, server: Server, members: int, mode: str, parameter: float, seconds: float) -> subprocess.Popen[str]:
        kind = "ours" if server.name == OURS else "sio"
        command = [str(self.program), str(server.port), kind, str(members), mode, str(parameter), str(seconds)]
        command += [str(self.tokens)] if kind == "ours" else []
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def _compiled(folder: Path, name: str) -> Path:
    program = folder / name
    command = ["cc", "-O2", "-o", str(program), str(HERE / f"{name}.c")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise PeerMissing(f"no C compiler: {done.stderr[-200:]}")
    return program


def measure(options: Options) -> None:
    report = Report.begin("live", "Fan-out in one room, deliveries per second of one core", options)
    with installation() as at:
        tokens, keys = _tokens(at.data)
        load = Load(at.data, tokens)
        with servers(at, keys) as (started, missing):
            floor = {members: load.floor(members, 2.0) for members in MEMBERS}
            done = _rounds(started, load, options)
            idle = {s.name: _idle(s, load, options) for s in started if s.name != PYTHON or not options.quick}
        storm = _storms(at, keys, load, options)
    _tell(report, done, floor, missing, idle, storm)


# --- servers


@contextlib.contextmanager
def servers(at: Installation, keys: Path) -> Generator[tuple[list[Server], list[str]]]:
    missing: list[str] = []
    with contextlib.ExitStack() as stack:
        started = [stack.enter_context(ours(at, keys))]
        for start in (_node, _python):
            try:
                started.append(stack.enter_context(start(at)))
            except PeerMissing as e:
                missing.append(str(e))
        yield started, missing


@contextlib.contextmanager
def ours(at: Installation, keys: Path) -> Generator[Server]:
    port = free_port()
    command = [sys.executable, "-m", "bench.live.ours", str(port), at.valkey_url, str(keys)]
    with running(OURS, command, port, os.environ, at.cores.server, "/readyz", ROOT) as server:
        yield server


@contextlib.contextmanager
def _node(at: Installation) -> Generator[Server]:
    build(SOCKETIO)
    port = free_port()
    environ = {**os.environ, "NODE_ENV": "production", "PORT": str(port), **_valkey(at)}
    with running(NODE, ["node", SOCKETIO.program], port, environ, at.cores.server, "/readyz", FOLDER / SOCKETIO.folder) as server:
        yield server


@contextlib.contextmanager
def _python(at: Installation) -> Generator[Server]:
    folder = FOLDER / "python-socketio"
    python = folder / ".venv/bin/python"
    if not python.exists():
        uv = str(Path(sys.executable).parent / "uv")
        for command in (
            [uv, "venv", "--quiet", "--python", sys.executable, ".venv"],
            [uv, "pip", "install", "--quiet", "--require-hashes", "--python", ".venv/bin/python", "-r", "requirements.lock"],
        ):
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise PeerMissing(f"python-socketio: {done.stderr.strip()[-200:]}")
    port = free_port()
    with running(
        PYTHON,
        [str(python), "server.py"],
        port,
        {**os.environ, "PORT": str(port), **_valkey(at)},
        at.cores.server,
        "/readyz",
        folder,
    ) as server:
        yield server


def _valkey(at: Installation) -> dict[str, str]:
    parts = urlsplit(at.valkey_url)
    if parts.scheme == "unix":
        database = parse_qs(parts.query).get("db", ["0"])[0]
        return {"VALKEY_SOCKET": parts.path, "VALKEY_URL": f"unix://{parts.path}?db={database}"}
    return {"VALKEY_URL": at.valkey_url.replace("valkey://", "redis://")}


def _tokens(folder: Path) -> tuple[Path, Path]:
    """An access token for each socket, five of an account, and the keys they are signed with."""
    key = ECKey.generate_key("P-256", {"kid": "bench", "alg": "ES256", "use": "sig"})
    now = int(time.time())
    lines: list[str] = []
    for i in range(-(-IDLE // MAX_SOCKETS)):
        claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": str(UUID(int=i + 1)), "sid": str(uuid4()), "st": "active"}
        token = jwt.encode({"alg": "ES256", "kid": "bench"}, claims | {"iat": now - 5, "exp": now + 7200}, key)
        lines += [token] * MAX_SOCKETS
    tokens, keys = folder / "tokens.txt", folder / "keys.json"
    tokens.write_text("\n".join(lines) + "\n")
    keys.write_bytes(msgspec.json.encode([key.as_dict(private=False)]))
    return tokens, keys


# --- rounds


def _rounds(started: list[Server], load: Load, options: Options) -> list[Round]:
    times, seconds = (1, 2.0) if options.quick else (3, 6.0)
    done: list[Round] = []
    for members in MEMBERS:
        for in_flight in IN_FLIGHT:
            for _ in range(times):
                done += [_round(s, load, members, in_flight, seconds) for s in started]
    for _ in range(times):
        done += [_round(s, load, MEMBERS[0], 0, seconds) for s in started]
    return done


def _round(server: Server, load: Load, members: int, in_flight: int, seconds: float) -> Round:
    mode, parameter = ("sat", in_flight) if in_flight else ("rate", CALM_PER_S / members)
    process = load.start(server, members, mode, parameter, seconds)
    assert process.stdout is not None
    limit = threading.Timer(60 + seconds, process.kill)  # a server that stands still
    limit.start()
    used = 0.0
    result: list[float] = []
    for line in process.stdout:
        word, *numbers = line.split()
        if word == "MEASURING":
            used = server.used().cpu_us
        elif word == "RESULT":
            result = [float(n) for n in numbers]
    used = server.used().cpu_us - used
    limit.cancel()
    if process.wait() != 0 or not result:
        raise RuntimeError(
            f"{server.name}: {members} members, {mode} {parameter}: the load program ended with {process.returncode}"
        )
    per_s, _, p50, p99, _, deliveries = result
    return Round(server.name, members, in_flight, per_s, deliveries / (used / 1e6), p50, p99)


def _idle(server: Server, load: Load, options: Options) -> float:
    """KiB of the server per socket that follows a room in which nothing happens."""
    before = server.resident_mib()
    process = load.start(server, IDLE, "idle", 0, 4 if options.quick else 10)
    assert process.stdout is not None
    if process.stdout.readline().strip() != "READY":
        raise RuntimeError(f"{server.name}: {IDLE} sockets could not be opened")
    time.sleep(3)
    grown = (server.resident_mib() - before) * 1024 / IDLE
    process.wait()
    return grown


def _storms(at: Installation, keys: Path, load: Load, options: Options) -> list[float]:
    """Seconds until 2,000 clients that lost their sockets at the same moment are let in and follow again."""
    found: list[float] = []
    for _ in range(1 if options.quick else 3):
        with ours(at, keys) as server:
            process = load.start(server, STORM, "storm", 0, 0)
            said, _ = process.communicate(timeout=120)
            found.append(float(said.split()[-1]))
    return found


def _tell(
    report: Report,
    done: list[Round],
    floor: dict[int, float],
    missing: list[str],
    idle: dict[str, float],
    storm: list[float],
) -> None:
    lines: list[list[object]] = []
    for members in MEMBERS:
        for in_flight in (*IN_FLIGHT, 0):
            for name in dict.fromkeys(r.server for r in done):
                some = [r for r in done if (r.server, r.members, r.in_flight) == (name, members, in_flight)]
                if some:
                    calm = "10,000/s" if in_flight == 0 else str(in_flight)
                    figures = [
                        median([getattr(r, f) for r in some]) for f in ("deliveries_per_s", "per_core", "p50_ms", "p99_ms")
                    ]
                    lines.append([name, members, calm, *figures])
    rows(["server", "members", "in flight", "deliveries/s", "per core", "p50 ms", "p99 ms"], lines)
    for what in missing:
        out.print(f"[yellow]not measured: {what}[/]")
    for members in MEMBERS:
        for in_flight, bound in zip(IN_FLIGHT, (1.8, 5.0), strict=True):
            ratio = _ratio(done, members, in_flight, NODE)
            if ratio:
                note = "frames joined per turn of the loop" if in_flight > 1 else ""
                report.add(f"{members} members, {in_flight} in flight, × Socket.IO", ratio, "×", at_least(bound), note)
            if ratio := _ratio(done, members, in_flight, PYTHON):
                report.add(f"{members} members, {in_flight} in flight, × python-socketio", ratio, "×")
        mine = [r.per_core for r in done if (r.server, r.members, r.in_flight) == (OURS, members, 1)]
        report.add(
            f"{members} members, of what bare writes reach",
            100 * median(mine) / floor[members],
            "%",
            None,
            f"{floor[members]:,.0f}/s",
        )
    calm = [r.p99_ms for r in done if r.server == OURS and r.in_flight == 0]
    report.add("p99 at 10,000 deliveries/s", median(calm), "ms", below(10))
    report.add("idle socket, of 5,000", idle[OURS], "KiB", below(20), "follows a room")
    report.add("2,000 clients back after a storm", median(storm), "s", below(5))
    report.details = {"rounds": done, "floor": floor, "idle_kib": idle, "storm_s": storm, "missing": missing}
    report.finish()


def _ratio(done: list[Round], members: int, in_flight: int, peer: str) -> float:
    def of(name: str) -> list[float]:
        return [r.per_core for r in done if (r.server, r.members, r.in_flight) == (name, members, in_flight)]

    pairs = list(zip(of(OURS), of(peer), strict=False))
    return median([mine / theirs for mine, theirs in pairs])
