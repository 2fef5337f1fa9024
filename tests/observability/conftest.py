"""One house with everything switched on, for what it tells about itself; and a collector that takes its traces."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from tests.at_work import at_work
from tests.journeys.conftest import settings_for
from tests.journeys.world import World
from tests.observability.traces import Trace

from forecourt.app import Addresses, House


@pytest.fixture(scope="session")
async def house(house_database_url: str, valkey_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """One process that serves, works and takes sockets. Its replica is none, so that all reads go to the primary."""
    at = Addresses(house_database_url, valkey_url, house_database_url)
    house = await House.open(settings_for(tmp_path_factory.mktemp("observed")), at)
    await house.start_work()
    await house.open_sockets()
    async with at_work(house.database):
        yield house
    await house.close()


@pytest.fixture(scope="session")
async def client(house: House) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=house.app, raise_app_exceptions=False)  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://house.test", timeout=30) as client:
        yield client


@pytest.fixture
async def world(client: httpx.AsyncClient) -> World:
    return World(client)


class Told:
    """What `/metrics` said."""

    def __init__(self, text: str) -> None:
        self.families: dict[str, Metric] = {}
        self.samples: dict[str, list[tuple[dict[str, str], float]]] = {}
        for family in text_string_to_metric_families(text):
            self.families[family.name] = family
            for sample in family.samples:
                self.samples.setdefault(sample.name, []).append((sample.labels, sample.value))

    def value(self, name: str, **labels: str) -> float | None:
        """The first sample with at least these labels."""
        found = (v for has, v in self.samples.get(name, ()) if labels.items() <= has.items())
        return next(found, None)

    def labels(self, name: str) -> set[str]:
        """The names of labels that its samples carry."""
        return {label for has, _ in self.samples.get(name, ()) for label in has}


async def told(client: httpx.AsyncClient, house: House) -> Told:
    """What the house says now; not what was kept for others who asked."""
    house.figures.forget()
    answer = await client.get("/metrics")
    assert answer.status_code == 200
    return Told(answer.text)


async def told_all(client: httpx.AsyncClient, house: House) -> Told:
    """With the facts of both engines, which are left out when a look at them takes over two seconds."""
    async with asyncio.timeout(60):
        while (
            not {"event_lag_seconds", "database_size_bytes", "valkey_memory_used_bytes"}
            <= (found := await told(client, house)).samples.keys()
        ):
            await asyncio.sleep(0.05)
    return found


class Collector:
    """Takes spans as an OpenTelemetry collector does."""

    def __init__(self) -> None:
        self._came = threading.Condition()
        self._spans: list[Span] = []
        mine = self

        class Door(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                mine.take(self.path, ExportTraceServiceRequest.FromString(body))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def take(self, path: str, request: ExportTraceServiceRequest) -> None:
        assert path == "/v1/traces"
        with self._came:
            self._spans += [s for rs in request.resource_spans for ss in rs.scope_spans for s in ss.spans]
            self._came.notify_all()

    def trace(self, trace_id: str) -> list[Span]:
        with self._came:
            return [s for s in self._spans if s.trace_id.hex() == trace_id]

    async def whole(self, trace_id: str, *names: str, within_s: float = 30.0) -> Trace:
        """A trace, as soon as it has spans whose names match each of `names`, and the parents of all it has."""
        return await asyncio.to_thread(self._whole, trace_id, names, within_s)

    def _whole(self, trace_id: str, names: tuple[str, ...], within_s: float) -> Trace:
        found = Trace([])

        def there() -> bool:
            nonlocal found
            found = Trace(s for s in self._spans if s.trace_id.hex() == trace_id)
            has = {s.name for s in found.spans}
            return all(any(re.fullmatch(name, one) for one in has) for name in names) and not found.orphans()

        with self._came:
            came = self._came.wait_for(there, within_s)
        assert came, (
            f"{names} of {trace_id}; there are {sorted({s.name for s in found.spans})}, without parents {found.orphans()}"
        )
        return found


@pytest.fixture(scope="session")
def collector() -> Iterator[Collector]:
    collector = Collector()
    thread = threading.Thread(target=collector.server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield collector
    collector.server.shutdown()
    collector.server.server_close()
    thread.join()
