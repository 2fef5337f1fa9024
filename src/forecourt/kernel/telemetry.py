"""OpenTelemetry, when an exporter is configured; otherwise spans cost one attribute look-up.

Set `OTEL_EXPORTER_OTLP_ENDPOINT` to switch it on. `traceparent` is read at the door and handed on in contract calls,
events and jobs, so that one trace runs from the browser to the SQL statement.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

_TRACEPARENT = re.compile(r"^[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}$")
_tracer: Tracer | None = None


def start(service: str, endpoint: str | None) -> None:
    """Begins exporting spans to `endpoint` (OTLP over HTTP); does nothing when it is None."""
    global _tracer  # noqa: PLW0603 - one tracer per process, as the library has it
    if not endpoint:
        return
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=Resource.create({"service.name": service}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")))
    trace.set_tracer_provider(provider)
    _tracer = trace.get_tracer("forecourt")


def stop() -> None:
    """Sends what is still waiting and ends the exporter."""
    global _tracer  # noqa: PLW0603
    if _tracer is None:
        return
    from opentelemetry import trace

    provider = trace.get_tracer_provider()
    shutdown = getattr(provider, "shutdown", None)
    if shutdown is not None:
        shutdown()
    _tracer = None


@contextmanager
def span(name: str, traceparent: str = "", **attributes: str | int) -> Generator[None, None, None]:
    """A span around the block; free when nothing is exported."""
    if _tracer is None:
        yield
        return
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    parent = TraceContextTextMapPropagator().extract({"traceparent": traceparent}) if traceparent else None
    with _tracer.start_as_current_span(name, context=parent, attributes=dict(attributes)):
        yield


def enabled() -> bool:
    return _tracer is not None


def trace_id_of(traceparent: str | None) -> str:
    """The trace id in a `traceparent` header, or a fresh one when the header is absent or malformed."""
    if traceparent:
        match = _TRACEPARENT.match(traceparent)
        if match and match[1] != "0" * 32:
            return match[1]
    return secrets.token_hex(16)
