"""OpenTelemetry, when an exporter is configured; otherwise a span costs one look at a variable.

Set `OTEL_EXPORTER_OTLP_ENDPOINT` to switch it on. `traceparent` is read at the door and handed on in contract calls; events and
jobs keep the id of the span that wrote them. So one trace runs from the browser to the SQL statement, over any number of
processes and minutes. Spans hold names, routes, statements without their values, and the kinds of errors: nothing of what
anybody said.
"""

from __future__ import annotations

import re
import secrets
import threading
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from contextvars import ContextVar
from enum import IntEnum
from functools import lru_cache
from typing import TYPE_CHECKING

from forecourt.kernel.errors import Problem

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span, SpanContext, Tracer

STOP_S = 3.0
SENDING = "last-spans"
"""The thread that sends them."""
_TRACEPARENT = re.compile(r"^[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}$")
_MARK = re.compile(r"^([0-9a-f]{32})-([0-9a-f]{16})$")
_TABLE = re.compile(r"\b(?:from|into|update|join)\s+([a-z_]+\.[a-z_]+)")
_WRITES = re.compile(r"\b(insert|update|delete)(?: into| from)?\s+([a-z_]+\.[a-z_]+)")
_provider: TracerProvider | None = None
_tracer: Tracer | None = None
_next_trace: ContextVar[str] = ContextVar("next_trace", default="")
"""The trace id that the next span without a parent gets: the one that logs and answers already name."""

Attributes = dict[str, str | int]


class Side(IntEnum):
    """Where a span stands; the values are OpenTelemetry's kinds."""

    INSIDE = 0
    SERVER = 1
    CLIENT = 2
    PRODUCER = 3
    CONSUMER = 4


def start(service: str, endpoint: str | None, **about: str) -> None:
    """Begins exporting spans to `endpoint` (OTLP over HTTP); does nothing when it is None, or when it has begun.

    `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` go before `service` and `about`, which say what nobody else said. The
    library reads them, and `OTEL_TRACES_SAMPLER` and `OTEL_EXPORTER_OTLP_HEADERS` as well.
    """
    global _provider, _tracer  # noqa: PLW0603 - one tracer per process
    if not endpoint or _tracer is not None:
        return
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

    class Ids(RandomIdGenerator):
        def generate_trace_id(self) -> int:
            given = _next_trace.get()
            return int(given, 16) if given else super().generate_trace_id()

    said = OTELResourceDetector().detect().attributes
    resource = Resource.create({name: value for name, value in ({"service.name": service} | about).items() if name not in said})
    _provider = TracerProvider(resource=resource, id_generator=Ids(), shutdown_on_exit=False)
    _provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")))
    _tracer = _provider.get_tracer("forecourt")


def stop(patience_s: float = STOP_S) -> None:
    """Sends what is still waiting and ends the exporter. A collector that takes longer than `patience_s` keeps no process from
    ending."""
    global _provider, _tracer
    provider, _provider, _tracer = _provider, None, None
    if provider is not None:
        sending = threading.Thread(target=provider.shutdown, name=SENDING, daemon=True)
        sending.start()
        sending.join(patience_s)


def enabled() -> bool:
    return _tracer is not None


@contextmanager
def span(
    name: str,
    traceparent: str = "",
    *,
    side: Side = Side.INSIDE,
    trace_id: str = "",
    more: Attributes | None = None,
    links: Iterable[str] = (),
) -> Generator[Span | None, None, None]:
    """A span around the block: below `traceparent`, else below the span around it, else the first of the trace `trace_id`.

    `links` are marks of spans that led here too. Free when nothing is exported.
    """
    if _tracer is None:
        yield None
        return
    from opentelemetry import context, trace
    from opentelemetry.trace import Link, SpanKind

    above = context.get_current()
    far = _context_of(traceparent)
    if far is not None:
        above = trace.set_span_in_context(trace.NonRecordingSpan(far), above)
    named = _next_trace.set(trace_id if len(trace_id) == 32 else "")
    try:
        begun = _tracer.start_span(
            name,
            above,
            SpanKind(side.value),
            more,
            [Link(found) for mark in links if (found := _context_of(parent_of(mark))) is not None],
            record_exception=False,  # an error's text may quote what somebody sent
            set_status_on_exception=False,
        )
    finally:
        _next_trace.reset(named)
    token = context.attach(trace.set_span_in_context(begun, above))
    try:
        yield begun
    except BaseException as e:
        _note(begun, e)
        raise
    finally:
        context.detach(token)
        begun.end()


def answered(begun: Span, method: str, route: str, status: int) -> None:
    """What is known of a request at its end. A refusal is an answer, no failure."""
    from opentelemetry.trace import StatusCode

    begun.update_name(f"{method} {route}")
    begun.set_attributes({"http.request.method": method, "http.route": route, "http.response.status_code": status})
    if status >= 500:
        begun.set_status(StatusCode.ERROR)


def _note(begun: Span, error: BaseException) -> None:
    """The kind of an error. A refusal is an answer, no failure."""
    from opentelemetry.trace import StatusCode

    begun.set_attribute("error.type", type(error).__name__)
    if not (isinstance(error, Problem) and error.status < 500):
        begun.set_status(StatusCode.ERROR, type(error).__name__)


def _context_of(traceparent: str) -> SpanContext | None:
    found = _TRACEPARENT.match(traceparent)
    if found is None:
        return None
    from opentelemetry.trace import SpanContext, TraceFlags

    return SpanContext(int(found[1], 16), int(found[2], 16), True, TraceFlags(int(traceparent[-2:], 16) & 1))


@contextmanager
def statement(sql: str) -> Generator[None, None, None]:
    """A span for a statement, below the one that is open; without one, such as where a worker looks for work, none."""
    if here() == "":
        yield
        return
    more: Attributes = {"db.system.name": "postgresql", "db.query.text": sql[:2000]}
    with span(title_of(sql), side=Side.CLIENT, more=more):
        yield


@lru_cache(maxsize=2_000)
def title_of(sql: str) -> str:
    """What a statement does, in two words: `insert booking.booking`."""
    verb = sql.split(None, 1)[0].lower().rstrip(";")
    writes = _WRITES.search(sql) if verb == "with" else None
    if writes is not None:
        return f"{writes[1]} {writes[2]}"
    table = _TABLE.search(sql)
    return f"{verb} {table[1]}" if table else verb


def here() -> str:
    """The mark of the open span, `trace-span`, to be kept beside what it wrote; empty when nothing is recorded."""
    if _tracer is None:
        return ""
    from opentelemetry import trace

    current = trace.get_current_span()
    if not current.is_recording():
        return ""
    found = current.get_span_context()
    return f"{found.trace_id:032x}-{found.span_id:016x}"


def parent_of(mark: str) -> str:
    """The `traceparent` of a span's mark; empty when it is none."""
    return f"00-{mark}-01" if _MARK.match(mark) else ""


def trace_of(mark: str) -> str:
    """The trace id in a mark, or in what is a trace id alone."""
    return mark.partition("-")[0]


def traceparent(trace_id: str) -> str:
    """What is sent along with a call: the open span, or a name for the caller in a trace that nobody records."""
    found = parent_of(here())
    if found:
        return found
    return f"00-{trace_id}-{secrets.token_hex(8)}-{'00' if enabled() else '01'}" if len(trace_id) == 32 else ""


def trace_id_of(traceparent: str | None) -> str:
    """The trace id in a `traceparent` header, or a fresh one when the header is absent or malformed."""
    if traceparent:
        match = _TRACEPARENT.match(traceparent)
        if match and match[1] != "0" * 32:
            return match[1]
    return secrets.token_hex(16)
