"""Prometheus metrics with stable names (OP-2). Dashboards and alerts are built on these names: add, do not rename."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric, ProcessCollector
from prometheus_client.exposition import generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
MAX_CHILDREN = 5_000
"""Label sets per metric that are remembered; beyond it, everything counts as `other`."""
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
"""Any other method counts as `other`: its name is the client's to choose."""

_LATENCY_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.5, 5.0, 10.0)
_FETCH_S = (0.00025, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
_JOB_S = (0.01, 0.05, 0.25, 1.0, 5.0, 30.0, 120.0)


class Source(Protocol):
    """What is only looked up when somebody asks: sizes, ages, sums that are kept elsewhere."""

    def collect(self) -> Iterable[Metric]: ...


class Metrics:
    """The metrics of one process, each with its own registry so that two of them can live side by side."""

    def __init__(self) -> None:
        r = self.registry = CollectorRegistry()
        ProcessCollector(registry=r)
        self._requests = Counter("http_requests", "Requests answered", ("method", "route", "status"), registry=r)
        self._duration = Histogram(
            "http_request_duration_seconds", "Time to answer", ("method", "route"), buckets=_LATENCY_S, registry=r
        )
        self._cache_hits = Counter("cache_hits", "Values found, by tier and what they are", ("tier", "name"), registry=r)
        self._cache_misses = Counter("cache_misses", "Values not found, by tier and what they are", ("tier", "name"), registry=r)
        self._cache_checks = Counter(
            "cache_checks", "Values found that had to be asked whether they still hold", ("name",), registry=r
        )
        self.cache_fetch = Histogram(
            "cache_fetch_duration_seconds",
            "Time to get what the first tier had not: from the second (l2), or made anew (source)",
            ("found",),
            buckets=_FETCH_S,
            registry=r,
        )
        self.cache_evictions = Counter("cache_evictions", "Values pushed out of the first tier", registry=r)
        self.cache_kept = Counter("cache_kept", "Values put into the first tier", registry=r)
        self.cache_bytes = Gauge("cache_bytes", "Approximate size of the first tier", registry=r)
        self.valkey_failures = Counter("valkey_failures", "Valkey commands that failed or took too long", registry=r)
        self.warmed = Counter(
            "warmed", "Things made ready before anybody asked, by what they are and how it went", ("name", "outcome"), registry=r
        )
        self.rate_limited = Counter("rate_limited", "Requests refused by a rate limit", registry=r)
        self.job_runs = Counter("job_runs", "Runs of jobs, by how they ended", ("kind", "outcome"), registry=r)
        self.job_duration = Histogram("job_duration_seconds", "How long runs of jobs took", ("kind",), buckets=_JOB_S, registry=r)
        self.events_handled = Counter("events_handled", "Events brought to a subscriber", ("subscriber",), registry=r)
        self.event_failures = Counter("event_failures", "Times a subscriber failed over an event", ("subscriber",), registry=r)
        self.deliveries = Counter(
            "notification_deliveries", "Deliveries tried, by what came of them", ("channel", "outcome"), registry=r
        )
        self.sockets = Gauge("sockets_open", "Open WebSockets", registry=r)
        self.socket_events = Counter("socket_events", "Events written to sockets", registry=r)
        self._socket_closes = Counter("socket_closes", "Sockets closed by the server", ("why",), registry=r)
        self._answered: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self._cache: dict[tuple[str, str, bool], Counter] = {}

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """One request. `route` is the template (`/v1/bookings/{id}`), never the path: labels must be few."""
        children = self._answered.get((method, route, status))
        if children is None:
            children = self._children(method if method in METHODS else "other", route, status)
        children[0].inc()
        children[1].observe(seconds)

    def _children(self, method: str, route: str, status: int) -> tuple[Counter, Histogram]:
        if len(self._answered) >= MAX_CHILDREN:
            return self._requests.labels("other", "other", str(status)), self._duration.labels("other", "other")
        found = self._requests.labels(method, route, str(status)), self._duration.labels(method, route)
        if method != "other":
            self._answered[(method, route, status)] = found
        return found

    def cache_lookup(self, tier: str, name: str, *, hit: bool) -> None:
        """One look into a `tier`: `l1` is this process's memory, `l2` Valkey. `name`: what was looked for (`venues:book`)."""
        place = (tier, name, hit)
        counter = self._cache.get(place)
        if counter is None:
            if len(self._cache) >= MAX_CHILDREN:
                place = (tier, "other", hit)
            counter = self._cache[place] = (self._cache_hits if hit else self._cache_misses).labels(*place[:2])
        counter.inc()

    def cache_checked(self, name: str, times: int) -> None:
        """So many values were there, and whoever owns them was asked whether they still hold."""
        self._cache_checks.labels(name).inc(times)

    def ran(self, kind: str, outcome: str, seconds: float) -> None:
        """One run of a job. `outcome` is `done`, `failed` (it is tried again) or `buried`."""
        self.job_runs.labels(kind, outcome).inc()
        self.job_duration.labels(kind).observe(seconds)

    def tell(self, source: Source) -> None:
        """Adds what `source` finds out to every rendering."""
        self.registry.register(source)  # pyright: ignore[reportArgumentType] - it asks no more of a collector

    def socket_closed(self, why: str) -> None:
        """`why` is the name of a close code."""
        self._socket_closes.labels(why).inc()

    def render(self) -> bytes:
        """The text exposition format."""
        return generate_latest(self.registry)
