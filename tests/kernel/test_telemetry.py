"""Traces reach a collector over OTLP, one from the caller's header through a contract call; without one nothing happens."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from forecourt.kernel import telemetry

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PROGRAM = f"""
import sys
from forecourt.kernel import telemetry

telemetry.start("forecourt", sys.argv[1])
assert telemetry.enabled()
with telemetry.span("POST /v1/bookings", "00-{TRACE}-{PARENT}-01", more={{"courts": 2}}):
    with telemetry.span("booking.hold", telemetry.traceparent("")):
        pass
telemetry.stop(patience_s=60)
assert not telemetry.enabled()
"""


class Collector:
    """Takes spans as an OpenTelemetry collector does."""

    def __init__(self) -> None:
        taken = self.taken = []
        answers = self.answers = threading.Event()
        """Unset, it takes what comes and does not say so."""
        answers.set()

        class Door(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                answers.wait(60)
                taken.append((self.path, ExportTraceServiceRequest.FromString(body)))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def spans(self) -> dict[str, tuple[str, str, str]]:
        """By name: trace, span and parent."""
        every = [s for _, r in self.taken for rs in r.resource_spans for ss in rs.scope_spans for s in ss.spans]
        return {s.name: (s.trace_id.hex(), s.span_id.hex(), s.parent_span_id.hex()) for s in every}


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    thread = threading.Thread(target=collector.server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield collector
    collector.server.shutdown()
    collector.server.server_close()
    thread.join()


def test_one_trace_runs_from_the_callers_header_through_a_call_to_the_collector(collector: Collector) -> None:
    # A process of its own: the library has one provider for the life of a process.
    source = str(Path(telemetry.__file__).parents[2])
    environ = os.environ | {"PYTHONPATH": source}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, collector.url + "/"], env=environ, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert {path for path, _ in collector.taken} == {"/v1/traces"}
    spans = collector.spans()
    outer, inner = spans["POST /v1/bookings"], spans["booking.hold"]
    assert (outer[0], outer[2]) == (TRACE, PARENT)
    assert (inner[0], inner[2]) == (TRACE, outer[1])
    names = {a.value.string_value for _, r in collector.taken for rs in r.resource_spans for a in rs.resource.attributes}
    assert "forecourt" in names


def test_a_collector_that_does_not_answer_keeps_no_process_from_ending(collector: Collector) -> None:
    collector.answers.clear()
    try:
        telemetry.start("forecourt", collector.url)
        with telemetry.span("booking.hold"):
            pass
        telemetry.stop(patience_s=0.01)
        assert not telemetry.enabled()
        (sending,) = [thread for thread in threading.enumerate() if thread.name == telemetry.SENDING]
        assert sending.daemon and collector.taken == []
    finally:
        collector.answers.set()
    sending.join(60)  # the control: while somebody waits, all of it arrives
    assert not sending.is_alive() and "booking.hold" in collector.spans()


def test_without_a_collector_a_span_is_nothing() -> None:
    telemetry.start("forecourt", None)
    assert not telemetry.enabled()
    with telemetry.span("x", more={"courts": 1}):
        pass
    telemetry.stop()


@pytest.mark.parametrize("header", [None, "", "00-zz", f"00-{'0' * 32}-{PARENT}-01", f"00-{TRACE}-{PARENT}-01-more"])
def test_a_header_that_is_none_starts_a_trace_of_its_own(header: str | None) -> None:
    made = telemetry.trace_id_of(header)
    assert len(made) == 32 and made not in (TRACE, "0" * 32)
    assert telemetry.trace_id_of(f"00-{TRACE}-{PARENT}-01") == TRACE
