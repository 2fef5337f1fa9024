"""Reading what a collector got."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from opentelemetry.proto.trace.v1.trace_pb2 import Span

PARENT = "00f067aa0ba902b7"


class Trace:
    """The spans of one trace, as a tree that hangs on the caller's header."""

    def __init__(self, spans: Iterable[Span]) -> None:
        self.spans = list(spans)
        self._by_id = {s.span_id.hex(): s for s in self.spans}

    def orphans(self) -> list[str]:
        """Spans whose parent nobody sent, and that is not the caller's."""
        parents = [(s.name, s.parent_span_id.hex()) for s in self.spans]
        return [name for name, parent in parents if parent != PARENT and parent not in self._by_id]

    def line(self, span: Span) -> list[str]:
        """The names from the span up to the first."""
        return [s.name for s in self._up(span)]

    def _up(self, span: Span) -> Iterator[Span]:
        at: Span | None = span
        while at is not None:
            yield at
            at = self._by_id.get(at.parent_span_id.hex())

    def named(self, name: str, kind: Span.SpanKind.ValueType | None = None) -> list[Span]:
        return [s for s in self.spans if s.name == name and (kind is None or s.kind == kind)]

    def below(self, span: Span) -> list[Span]:
        return [s for s in self.spans if s.parent_span_id == span.span_id]


def attributes(span: Span) -> dict[str, str]:
    return {a.key: a.value.string_value or str(a.value.int_value) for a in span.attributes}
