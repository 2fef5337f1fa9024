"""The cache under the mix of an evening: what it finds in either tier, how long it takes, and what a first question to a busy
venue costs a process that has just begun.

Four processes serve one house over one PostgreSQL and one Valkey, beside a worker. A thousand people's 10,000 requests a minute
come at an even rate, mostly to the best known clubs (the n-th is asked for 1/n as often as the first), while owners change
prices. The figures are the processes' own: `/metrics` before and after. Two controls: a house whose first tier holds five values,
which has to show as misses and evictions; and processes that make nothing ready beforehand.

A get of either tier is timed beside what one puts together in Python instead: cachetools over aiocache.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Generator, Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from uuid import UUID

import asyncpg
import httpx
import msgspec
import uvloop
from prometheus_client.parser import text_string_to_metric_families

from bench import seed
from bench.installation import Installation, Server, free_port, installation, running
from bench.load import HOST, Call, Client
from bench.machine import ROOT, all_cores
from bench.mixed import Heard, Kind, open_at
from bench.questions import Questions
from bench.report import Options, Report, at_least, below, out, percentile
from forecourt.kernel.cache import Cache, Tier
from forecourt.kernel.metrics import Metrics
from forecourt.modules.venues.contract import VenueBook

PROCESSES = 4
PER_S = 10_000 / 60
EDITS_PER_S = 1 / 3
"""Far more than owners do."""
FEW_ENTRIES = 5
SETTLE_S = 10
WEEK = 7
PEER = ROOT / "bench/peers/aiocache"
LIMIT_S = 120
OURS, THEIRS = "Forecourt", "cachetools + aiocache"


class Length(msgspec.Struct, frozen=True):
    """How much of it there is; parts in seconds. `warm` is longer than a book lives in the first tier."""

    clubs: int
    courts: int
    warm: float
    measured: float
    control: float
    edits: int
    gets: int


WHOLE = Length(clubs=50, courts=8, warm=90, measured=240, control=60, edits=20, gets=20_000)
QUICK = Length(clubs=30, courts=6, warm=65, measured=60, control=20, edits=8, gets=4_000)


class Skewed(random.Random):
    """Chooses among clubs as people do, the n-th of them 1/n as often as the first; all other things are as likely as another."""

    def __init__(self, number: int, clubs: Sequence[seed.Club]) -> None:
        super().__init__(number)
        self._clubs = clubs
        self._weights = [1 / n for n in range(1, len(clubs) + 1)]

    def choice(self, seq):  # type: ignore[no-untyped-def, override]
        return self.choices(self._clubs, self._weights)[0] if seq is self._clubs else super().choice(seq)


def measure(options: Options) -> None:
    report = Report.begin("cache", f"The cache, {PROCESSES} processes, {PER_S * 60:,.0f} requests a minute", options)
    length = QUICK if options.quick else WHOLE
    with installation(all_cores()) as at:
        world = seed.make(at, seed.Shape(clubs=length.clubs, courts=length.courts, people=5_000, bookers=200, days=30))
        questions = Questions(world, Skewed(3, world.clubs))
        asyncio.run(_everybody_is_due(at))
        uvloop.run(questions.prepare(at, 200))
        _tell_gets(report, {OURS: uvloop.run(_our_gets(at, world, length.gets)), THEIRS: _their_gets(at, world, length.gets)})
        first_cold = _first_questions(at, world, {"BENCH_COLD": "1"})
        first_warm = _first_questions(at, world, {})
        _tell_first(report, first_cold, first_warm)
        usual = _under_load(at, questions, length, length.warm, length.measured, {})
        few = _under_load(at, questions, length, SETTLE_S, length.control, {"BENCH_CACHE_ENTRIES": str(FEW_ENTRIES)})
        _tell(report, usual, few)
    report.details = {"usual": usual, "few entries": few, "cold": first_cold, "warm": first_warm}
    report.finish()


async def _everybody_is_due(at: Installation) -> None:
    """What the keeper of time would have noted, had these bookings been made one by one."""
    db = await asyncpg.connect(at.admin_url)
    try:
        await db.execute(
            "insert into booking.due (organisation_id, booking_id, at)"
            " select b.organisation_id, b.id, b.starts_at from booking.booking b where b.status = 'upcoming'"
            " on conflict do nothing"
        )
        await db.execute("analyze booking.due")
    finally:
        await db.close()


# --- a house ------------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _serving(at: Installation, altered: Mapping[str, str], count: int) -> Generator[list[Server]]:
    """So many serving processes, and a worker beside them."""
    paths = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    with contextlib.ExitStack() as stack:
        servers: list[Server] = []
        for n in range(count + 1):
            port = free_port()
            duty = "serve" if n < count else "worker"
            command = [sys.executable, "-m", "bench.altered", duty, "--port", str(port)]
            environ = at.environ(port) | {"PYTHONPATH": paths, "FORECOURT_DATABASE_POOL": "8"} | dict(altered)
            servers.append(stack.enter_context(running(f"{duty} {n}", command, port, environ, at.cores.server, "/readyz")))
        yield servers[:count]


class Counted(msgspec.Struct, frozen=True):
    """Samples of several processes, added up, by name and labels."""

    sums: dict[str, float]
    most: dict[str, float]
    """Of any one process."""

    @classmethod
    def look(cls, servers: Sequence[Server]) -> Counted:
        sums: dict[str, float] = {}
        most: dict[str, float] = {}
        for server in servers:
            text = httpx.get(f"http://{HOST}:{server.port}/metrics", timeout=10).raise_for_status().text
            for family in text_string_to_metric_families(text):
                for sample in family.samples:
                    if sample.name.startswith(("cache_", "warmed")):
                        key = _key(sample.name, **sample.labels)
                        sums[key] = sums.get(key, 0) + sample.value
                        most[key] = max(most.get(key, 0), sample.value)
        return cls(sums, most)

    def since(self, before: Counted) -> Counted:
        return Counted({key: value - before.sums.get(key, 0) for key, value in self.sums.items()}, self.most)

    def of(self, name: str, /, **labels: str) -> float:
        """The sum of all samples of that name that have these labels."""
        wanted = {f'{k}="{v}"' for k, v in labels.items()}
        return sum(
            v for key, v in self.sums.items() if key.split("{")[0] == name and wanted <= set(key[:-1].split("{")[1].split(","))
        )

    def found_pct(self, **labels: str) -> float:
        hits, misses = self.of("cache_hits_total", **labels), self.of("cache_misses_total", **labels)
        return 100 * hits / max(1, hits + misses)

    @property
    def names(self) -> list[str]:
        return sorted({key.split('name="')[1].split('"')[0] for key in self.sums if key.startswith("cache_hits_total{")})


def _key(name: str, /, **labels: str) -> str:
    return name + "{" + ",".join(f'{k}="{v}"' for k, v in sorted(labels.items())) + "}"


# --- the mix ------------------------------------------------------------------------------------------------------------------


class Found(msgspec.Struct, frozen=True):
    """What the processes counted while they were asked, and what was asked."""

    counted: Counted
    asked: int
    failed: int
    edits: int
    get_p95_ms: float
    """Of all gets of the cache, as an upper bound: the bucket that it falls in."""
    second_p95_ms: float
    """Of those that the second tier answered."""
    bytes_most: float
    seen_ms: list[float]
    """After an edit in one process: until every process answers with it."""


def _under_load(
    at: Installation, questions: Questions, length: Length, warm: float, seconds: float, altered: Mapping[str, str]
) -> Found:
    out.print(f"[dim]{PROCESSES} processes{' with ' + ' '.join(f'{k}={v}' for k, v in altered.items()) if altered else ''}[/]")
    with _serving(at, altered, PROCESSES) as servers:
        ports = [server.port for server in servers]
        if not questions.rooms:
            questions.open_rooms(ports[0])
        kinds = [sort.kind for sort in questions.of_people()]
        whole = sum(kind.share for kind in kinds)
        kinds.append(Kind("change prices", whole * EDITS_PER_S / PER_S, _edits(questions.world)))
        open_at(ports, kinds, PER_S, warm, random.Random(1))
        before = Counted.look(servers)
        heard = open_at(ports, kinds, PER_S, seconds, random.Random(2))
        counted = Counted.look(servers).since(before)
        _fit(heard, kinds)
        seen = [_until_seen(ports, questions.world, n) for n in range(length.edits)]
    tallies = [h.tallies["change prices"].asked for h in heard]
    return Found(
        counted,
        sum(h.asked for h in heard),
        sum(h.failed for h in heard),
        sum(tallies),
        _p95_ms(counted, of_first=True),
        _p95_ms(counted, of_first=False),
        max(value for key, value in counted.most.items() if key.startswith("cache_bytes")),
        seen,
    )


def _edits(world: seed.World):  # type: ignore[no-untyped-def]
    """An owner sets the price of a club's hours: now one, now another."""
    dice, turn = Skewed(5, world.clubs), 0

    def edit() -> Call:
        nonlocal turn
        turn += 1
        return _edit(world, dice.choice(world.clubs), seed.HOUR_MINOR + 100 * (turn % 5))

    return edit


def _edit(world: seed.World, club: seed.Club, hour_minor: int) -> Call:
    rule = {"per": "hour", "amount": {"amount": hour_minor, "currency": "GBP"}, "label": seed.LABEL, "priority": 0}
    path = f"/v1/orgs/{club.organisation_id}/venues/{club.venue_id}/prices"
    return Call(path, world.owner.token, msgspec.json.encode({"rules": [rule]}), "PUT")


def _fit(heard: Sequence[Heard], kinds: Sequence[Kind]) -> None:
    """Raises AssertionError when questions were wrong: the figures mean nothing then."""
    wrong = [unfit for h in heard if (unfit := h.unfit(kinds))]
    if wrong:
        raise AssertionError(f"unexpected answers: {wrong}")


def _until_seen(ports: Sequence[int], world: seed.World, turn: int) -> float:
    """ms from the answer to an edit until the last process tells the new price."""
    club = world.clubs[turn % 3]
    hour_minor = 7_000 + 100 * turn
    Client(ports[0], 1).run([_edit(world, club, hour_minor)]).only(200)
    began = time.perf_counter()
    day = date.today() + timedelta(days=400)
    path = f"/v1/venues/{club.venue_id}/availability?from={day}&to={day}&resource_id={club.courts[0]}&duration_min=60"
    call = Call(path, world.readers[0][1])
    for port in ports:
        while f'"amount":{hour_minor}'.encode() not in Client(port, 1).run([call]).only(200).bodies[-1]:
            if time.perf_counter() - began > LIMIT_S:
                raise AssertionError("an edit is never seen")
    return 1000 * (time.perf_counter() - began)


def _p95_ms(counted: Counted, *, of_first: bool) -> float:
    """The upper bound of the bucket that the 95th of 100 gets falls in. What the first tier has counts as the quickest."""
    name = "cache_fetch_duration_seconds_bucket"
    bounds = sorted({key.split('le="')[1].split('"')[0] for key in counted.sums if key.startswith(name)}, key=float)
    own = [n for n in counted.names if not n.startswith("booking:") or n == "booking:popular"]
    quick = sum(counted.of("cache_hits_total", tier="l1", name=n) for n in own) if of_first else 0
    labels: dict[str, str] = {} if of_first else {"found": "l2"}
    total = quick + counted.of(name, le="+Inf", **labels)
    if quick >= 0.95 * total:
        return 0.0
    return 1000 * next(float(b) for b in bounds if quick + counted.of(name, le=b, **labels) >= 0.95 * total)


# --- first questions ----------------------------------------------------------------------------------------------------------


class First(msgspec.Struct, frozen=True):
    """A process that has just begun. `ms`: the first question about each venue, for its week; `again_ms`: the second."""

    ms: list[float]
    again_ms: list[float]
    ready_s: float
    """Until it had made ready what it wanted to; 0 for one that does not."""
    resident_mib: float


def _first_questions(at: Installation, world: seed.World, altered: Mapping[str, str]) -> First:
    with _serving(at, altered, 1) as (server,):
        began = time.monotonic()
        while not altered and Counted.look([server]).of("warmed_total", outcome="ready") < len(world.clubs):
            if time.monotonic() - began > LIMIT_S:
                raise TimeoutError("nothing was made ready")
            time.sleep(0.2)
        ready_s = time.monotonic() - began
        # Each place in the program and each statement is used once before, by a question about another length.
        Client(server.port, 1).run([_week(world, club.venue_id, 120) for club in world.clubs[:5]]).only(200)
        calls = [_week(world, club.venue_id, 60) for club in world.clubs]
        first = Client(server.port, 1).run(calls).only(200)
        again = Client(server.port, 1).run(calls).only(200)
        return First(first.latencies_ms, again.latencies_ms, 0.0 if altered else ready_s, server.resident_mib())


def _week(world: seed.World, venue_id: UUID, duration_min: int) -> Call:
    first = date.today()
    last = first + timedelta(days=WEEK - 1)
    path = f"/v1/venues/{venue_id}/availability?from={first}&to={last}&duration_min={duration_min}"
    return Call(path, world.readers[0][1])


# --- one get ------------------------------------------------------------------------------------------------------------------


async def _book(at: Installation, world: seed.World) -> VenueBook:
    """A venue's book as the house gives it, for either cache to keep."""
    from forecourt.app import House
    from forecourt.kernel.context import Context
    from forecourt.modules.venues.contract import Venues

    house = await House.open(at.settings, at.at)
    try:
        return await house.board.call(Venues).book(Context(), world.clubs[0].venue_id)
    finally:
        await house.close()


async def _our_gets(at: Installation, world: seed.World, gets: int) -> dict[str, list[float]]:
    book = await _book(at, world)
    cache = Cache(at.valkey_url, Metrics())
    await cache.start("bench")
    await cache.listening()
    keys = [f"bench:book:{n}" for n in range(len(world.clubs))]

    async def load() -> VenueBook:
        return book

    async def missing() -> VenueBook:
        raise AssertionError("it is not there")

    for key in keys:
        await cache.get(key, VenueBook, load, ttl_s=60, shared_ttl_s=300, tier=Tier.BOTH)
    found: dict[str, list[float]] = {"first": [], "second": []}
    for tier, took in found.items():
        while len(took) < gets:
            if tier == "second":
                cache.clear_local()
            for key in keys:
                began = time.perf_counter()
                await cache.get(key, VenueBook, missing, ttl_s=60, shared_ttl_s=300, tier=Tier.BOTH)
                took.append((time.perf_counter() - began) * 1e6)
    await cache.close()
    return found


def _their_gets(at: Installation, world: seed.World, gets: int) -> dict[str, list[float]] | None:
    """None when the peer cannot be built here."""
    python = PEER / ".venv/bin/python"
    if not python.exists():
        uv = str(Path(sys.executable).parent / "uv")
        for command in (
            [uv, "venv", "--quiet", "--python", sys.executable, ".venv"],
            [uv, "pip", "install", "--quiet", "--require-hashes", "--python", ".venv/bin/python", "-r", "requirements.lock"],
        ):
            done = subprocess.run(command, cwd=PEER, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                out.print(f"[dim]{THEIRS} is left out: {done.stderr.strip()[-200:]}[/]")
                return None
    value = at.data / "book.json"
    value.write_bytes(msgspec.json.encode(uvloop.run(_book(at, world))))
    command = [str(python), "gets.py", at.valkey_url, str(len(world.clubs)), str(gets), str(value)]
    done = subprocess.run(command, cwd=PEER, capture_output=True, text=True, check=True, timeout=LIMIT_S)
    return json.loads(done.stdout)


# --- telling ------------------------------------------------------------------------------------------------------------------


def _tell(report: Report, usual: Found, few: Found) -> None:
    counted = usual.counted
    names = ", ".join(f"{n} {counted.found_pct(tier='l1', name=n):.1f}" for n in counted.names)
    report.add("found in the first tier", counted.found_pct(tier="l1"), "%", at_least(85), names)
    checks = counted.of("cache_checks_total")
    hits = counted.of("cache_hits_total", tier="l1")
    report.add("of these, asked whether they still hold", 100 * checks / max(1, hits), "%", note="one version for a whole book")
    seconds = counted.of("cache_hits_total", tier="l2") + counted.of("cache_misses_total", tier="l2")
    report.add("found in the second tier", counted.found_pct(tier="l2"), "%", at_least(75), f"of {seconds:,.0f} look-ups")
    report.add("a get, at most", usual.get_p95_ms, "ms p95", below(2.0001), f"of the second tier {usual.second_p95_ms:g} at most")
    kept, gone = counted.of("cache_kept_total"), counted.of("cache_evictions_total")
    report.add("pushed out of what was kept", 100 * gone / max(1, kept), "%", below(10), f"{gone:,.0f} of {kept:,.0f}")
    report.add("the first tier of a process", usual.bytes_most / 1e6, "MB", below(100), "the most of four")
    report.add("an edit is seen by all processes", percentile(usual.seen_ms, 95), "ms p95", note=f"{len(usual.seen_ms)} edits")
    report.add("requests", usual.asked, "", note=f"{usual.failed} failed, {usual.edits} changed prices")
    fewer, pushed = few.counted.found_pct(tier="l1", name="venues:book"), few.counted.of("cache_evictions_total")
    share = 100 * pushed / max(1, few.counted.of("cache_kept_total"))
    report.add(
        f"control: a first tier of {FEW_ENTRIES} values",
        fewer,
        "%",
        below(counted.found_pct(tier="l1", name="venues:book")),
        f"of books found; {share:.0f} % pushed out",
    )


def _tell_first(report: Report, cold: First, warm: First) -> None:
    report.add("first question about a venue's week, made ready", percentile(warm.ms, 95), "ms p95", note=_spread(warm))
    report.add("control: not made ready", percentile(cold.ms, 95), "ms p95", note=_spread(cold))
    venues = len(warm.ms)
    report.add("to make them ready", warm.ready_s, "s", note=f"{venues} venues, a fifth of a core at most")
    report.add("resident memory after it", warm.resident_mib, "MiB", below(250), f"not made ready {cold.resident_mib:.0f}")


def _spread(first: First) -> str:
    return f"p50 {percentile(first.ms, 50):.1f}; the second question p50 {percentile(first.again_ms, 50):.1f}"


def _tell_gets(report: Report, gets: Mapping[str, dict[str, list[float]] | None]) -> None:
    for who, found in gets.items():
        if found is None:
            continue
        for tier, took in found.items():
            report.add(
                f"a get from the {tier} tier: {who}", percentile(took, 95), "µs p95", note=f"p50 {percentile(took, 50):.1f}"
            )
