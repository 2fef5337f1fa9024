"""What `/metrics` looks up when it is asked: sizes and limits of this process, and, where background work is done, of the house.

Facts about the house (lags, queues, engines, sums) are read by every worker with a bounded few statements, at most once in five
seconds however many ask. Each worker tells the same, so a query takes their maximum. When the database or Valkey does not answer,
their facts are left out: an old figure that looks new is worse than none.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Iterable, Iterator
from math import inf
from typing import TYPE_CHECKING, TypeVar, cast

import asyncpg
import msgspec
import structlog
from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from valkey.asyncio import Valkey
from valkey.exceptions import ValkeyError

from forecourt import tallies
from forecourt.engines import machine
from forecourt.kernel.context import service_context
from forecourt.kernel.db import Query
from forecourt.kernel.errors import Problem
from forecourt.kernel.events import Lag
from forecourt.kernel.jobs import JobAge
from forecourt.realtime.server import MAX_CLIENTS

if TYPE_CHECKING:
    from forecourt.app import House

log = structlog.get_logger("forecourt.figures")

T = TypeVar("T")

KEPT_S = 5.0
LOOK_S = 2.0
"""A look that takes longer is given up."""
FAILURES = (Problem, asyncpg.PostgresError, OSError, TimeoutError, ValkeyError)


class DatabaseFacts(msgspec.Struct, frozen=True):
    size_bytes: int
    connections: int
    connections_limit: int
    deadlocks: int
    blocks_hit: int
    blocks_read: int
    archive_failures: int
    """Files of the log that `archive_command` could not put away; 0 without one."""
    archive_connected: bool | None
    """Whether somebody takes what is kept for the archive of changes; None: there is none (engines/archive.py)."""
    archive_behind_bytes: float | None
    """Changes that the archive has not got; None also when the server no longer keeps all of them."""
    copy_age_s: float | None
    """Since the last whole copy was finished; None: there never was one that we know of."""


DATABASE = Query(
    DatabaseFacts,
    "select pg_database_size(d.datid), (select count(*)::int from pg_stat_activity a where a.backend_type = 'client backend'),"
    " current_setting('max_connections')::int, d.deadlocks, d.blks_hit, d.blks_read,"
    " (select a.failed_count from pg_stat_archiver a),"
    # An encrypted archive has a stream that leaves the slot alone until what came is on the archive's disk (engines/stream.py).
    " s.active or (s.slot_name is not null and"
    " exists (select from pg_stat_activity r where r.application_name like 'forecourt\\_archive.%')),"
    " pg_wal_lsn_diff(pg_current_wal_lsn(), s.restart_lsn)::float8,"
    " (select extract(epoch from now() - c.finished_at)::float8 from kernel.last_copy c)"
    " from pg_stat_database d left join pg_replication_slots s on s.slot_name = 'forecourt_archive'"
    " where d.datname = current_database()",
)


class ValkeyFacts(msgspec.Struct, frozen=True):
    used_bytes: int
    limit_bytes: int
    """0: there is none."""
    evicted: int
    clients: int


class Facts(msgspec.Struct, frozen=True):
    """What a worker knows of the house; None or empty what could not be read."""

    lags: list[Lag] = []
    jobs: list[JobAge] = []
    tallies: list[tallies.Tally] | None = None
    database: DatabaseFacts | None = None
    valkey: ValkeyFacts | None = None


class Figures:
    """A source of metrics. `look` before it is collected."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._facts = Facts()
        self._looked_at = float("-inf")
        self._turn = asyncio.Lock()
        self._valkey: Valkey | None = None
        self.failures = 0

    async def look(self) -> None:
        """Reads the facts anew when the last look is too old; nothing in a process without background work. Never raises."""
        if not self._house.works:
            return
        async with self._turn:
            if time.monotonic() - self._looked_at < KEPT_S:
                return
            known, database, valkey = await asyncio.gather(
                self._attempt(self._known()), self._attempt(self._database()), self._attempt(self._engine())
            )
            lags, jobs, sums = known or ([], [], None)
            self._facts = Facts(lags, jobs, sums, database, valkey)
            self._looked_at = time.monotonic()

    def forget(self) -> None:
        """The next look reads everything anew."""
        self._looked_at = float("-inf")

    async def close(self) -> None:
        if self._valkey is not None:
            await self._valkey.aclose()

    async def _attempt(self, reading: Awaitable[T]) -> T | None:
        try:
            async with asyncio.timeout(LOOK_S):
                return await reading
        except FAILURES as e:
            self.failures += 1
            log.warning("figures_unread", error=type(e).__name__)
            return None

    async def _known(self) -> tuple[list[Lag], list[JobAge], list[tallies.Tally]]:
        lags, jobs = await self._house.dispatcher.lag(), await self._house.worker.ages()
        async with self._house.database.module("kernel").read(service_context("metrics")) as tx:
            return lags, jobs, await tx.all(tallies.ALL)

    async def _database(self) -> DatabaseFacts:
        async with self._house.database.module("kernel").tx(service_context("metrics")) as tx:
            return await tx.one(DATABASE)

    async def _engine(self) -> ValkeyFacts:
        if self._valkey is None:
            self._valkey = Valkey.from_url(self._house.at.valkey_url, socket_connect_timeout=LOOK_S)
        said = cast("dict[str, int]", await self._valkey.info())
        return ValkeyFacts(said["used_memory"], said.get("maxmemory", 0), said["evicted_keys"], said["connected_clients"])

    # --- telling

    def collect(self) -> Iterator[Metric]:
        yield from self._process()
        yield from self._pools()
        if not self._house.works:
            return
        yield from _queues(self._facts)
        yield from _engines(self._facts)
        if self._facts.tallies is not None:
            yield from tallies.families(self._facts.tallies)

    def _process(self) -> Iterator[Metric]:
        from forecourt.system import VERSION

        house = self._house
        info = GaugeMetricFamily("forecourt_info", "The program of this process", labels=("version",))
        info.add_metric((VERSION,), 1)
        yield info
        yield _gauge("machine_memory_limit_bytes", "Memory that this process and its neighbours may use", machine.memory_bytes())
        yield _gauge("machine_memory_used_bytes", "Memory that they use", machine.memory_used_bytes())
        yield _gauge("machine_cpu_limit_cores", "Processors that they may use", machine.cpu_limit())
        yield CounterMetricFamily("machine_cpu_seconds", "Processor time that they used", machine.cpu_seconds())
        disk = machine.disk(house.settings.data)
        yield _gauge("machine_disk_limit_bytes", "What the disk of the data directory may hold", disk and disk.limit_bytes)
        yield _gauge("machine_disk_used_bytes", "What it holds", disk and disk.used_bytes)
        yield _gauge("cache_limit_bytes", "What the first tier may take", house.cache.limit_bytes)
        if house.realtime is not None:
            yield _gauge("sockets_limit", "WebSockets at most", MAX_CLIENTS)
        yield CounterMetricFamily("figures_unread", "Looks at the house that failed", self.failures)

    def _pools(self) -> Iterator[Metric]:
        database = self._house.database
        named = [(("primary",), database.primary)]
        if database.replica is not None:
            named.append((("replica",), database.replica.pool))
            yield _gauge("db_replica_lag_seconds", "How old the newest is that the replica surely has", database.replica.lag_s)
        yield _gauges("db_pool_connections", "Open database connections", [(n, p.size) for n, p in named])
        yield _gauges("db_pool_idle_connections", "Database connections that nobody uses", [(n, p.idle) for n, p in named])
        yield _gauges("db_pool_limit", "Database connections at most", [(n, p.limit) for n, p in named])
        yield _gauges("db_pool_waiting", "Tasks that wait for a connection", [(n, p.waiting) for n, p in named])
        yield _counters("db_pool_waits", "Times a task had to wait for a connection", [(n, p.waits) for n, p in named])
        yield _counters("db_pool_refusals", "Times it waited in vain", [(n, p.refusals) for n, p in named])
        yield _counters("db_slow_statements", "Statements that took over a second", [(n, p.slow_statements) for n, p in named])


def _queues(facts: Facts) -> Iterator[Metric]:
    subscribers = [((lag.subscriber,), lag) for lag in facts.lags]
    label = "subscriber"
    yield _gauges("event_lag_seconds", "Age of the oldest event not seen", [(n, x.behind_s) for n, x in subscribers], label)
    yield _gauges("event_waiting", "Events not seen, up to 2,000", [(n, x.waiting) for n, x in subscribers], label)
    yield _gauges("event_dead_letters", "Events set aside, up to 2,000", [(n, x.dead_letters) for n, x in subscribers], label)
    kinds = [((job.kind,), job) for job in facts.jobs]
    yield _gauges("job_waiting", "Jobs that are due", [(n, x.due) for n, x in kinds], "kind")
    yield _gauges("job_later", "Jobs that are due later", [(n, x.later) for n, x in kinds], "kind")
    yield _gauges("job_oldest_age_seconds", "How long the oldest due job waits", [(n, x.oldest_s) for n, x in kinds], "kind")
    yield _gauges("job_dead", "Jobs set aside", [(n, x.dead) for n, x in kinds], "kind")


def _engines(facts: Facts) -> Iterator[Metric]:
    found = facts.database
    if found is not None:
        yield _gauge("database_size_bytes", "Size of the database", found.size_bytes)
        yield _gauge("database_connections", "Connections of everybody to the server", found.connections)
        yield _gauge("database_connections_limit", "Connections that the server takes", found.connections_limit)
        yield CounterMetricFamily("database_deadlocks", "Deadlocks ended by the server", found.deadlocks)
        yield CounterMetricFamily("database_blocks_hit", "Blocks found in the server's memory", found.blocks_hit)
        yield CounterMetricFamily("database_blocks_read", "Blocks read from disk", found.blocks_read)
        yield from _archive(found)
    valkey = facts.valkey
    if valkey is not None:
        yield _gauge("valkey_memory_used_bytes", "Memory that Valkey uses", valkey.used_bytes)
        yield _gauge("valkey_memory_limit_bytes", "Memory that Valkey may use; 0: there is no limit", valkey.limit_bytes)
        yield CounterMetricFamily("valkey_evicted_keys", "Keys thrown out for want of memory", valkey.evicted)
        yield _gauge("valkey_clients", "Connections to Valkey", valkey.clients)


def _archive(found: DatabaseFacts) -> Iterator[Metric]:
    """Of what is not there nothing is told, but that an archive of changes needs a whole copy to begin with."""
    failures = found.archive_failures
    yield CounterMetricFamily("database_archive_failures", "Files of the log that archive_command could not put away", failures)
    yield _gauge("database_archive_connected", "1: the archive of changes is streamed to", found.archive_connected)
    yield _gauge("database_archive_behind_bytes", "Changes that the archive has not got", found.archive_behind_bytes)
    age = inf if found.copy_age_s is None and found.archive_connected is not None else found.copy_age_s
    yield _gauge("database_copy_age_seconds", "Since the last whole copy was made; +Inf: there is none", age)


def _gauge(name: str, words: str, value: float | None) -> Metric:
    """None: the name is told, and no value."""
    return GaugeMetricFamily(name, words, value)


def _gauges(name: str, words: str, values: Iterable[tuple[tuple[str], float]], label: str = "pool") -> Metric:
    family = GaugeMetricFamily(name, words, labels=(label,))
    for labels, value in values:
        family.add_metric(labels, value)
    return family


def _counters(name: str, words: str, values: Iterable[tuple[tuple[str], float]]) -> Metric:
    family = CounterMetricFamily(name, words, labels=("pool",))
    for labels, value in values:
        family.add_metric(labels, value)
    return family
