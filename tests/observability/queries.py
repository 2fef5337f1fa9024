"""Reading PromQL: which metrics a query asks, and which labels its answer has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import promql_parser as promql

SCRAPED = frozenset({"job", "instance", "role"})
"""What Prometheus adds to every series of a target (deploy/observability/prometheus)."""
COMPARES = {"and", "unless", ">", "<", ">=", "<=", "==", "!="}


class Wrong(Exception):
    """The query asks for what nobody tells."""


class Reader:
    """`known`: for each series that is told, its labels."""

    def __init__(self, known: Mapping[str, frozenset[str]]) -> None:
        self._known = known
        self.asked: list[tuple[str, str, str]] = []
        """Series, label and value of every matcher that wants one value."""

    def labels(self, query: str) -> frozenset[str] | None:
        """The labels of the answer; None for a number. Raises Wrong."""
        try:
            parsed = promql.parse(query)
        except ValueError as e:
            raise Wrong(f"{query}: {e}") from e
        return self._of(parsed)

    def _of(self, e: Any) -> frozenset[str] | None:
        match type(e).__name__:
            case "NumberLiteral" | "StringLiteral":
                return None
            case "ParenExpr" | "UnaryExpr" | "SubqueryExpr":
                return self._of(e.expr)
            case "MatrixSelector":
                return self._selected(e.vector_selector)
            case "VectorSelector":
                return self._selected(e)
            case "AggregateExpr":
                return self._aggregated(e)
            case "Call":
                return self._called(e)
            case "BinaryExpr":
                return self._joined(e)
            case other:
                raise Wrong(f"{other} is not read here")

    def _selected(self, e: Any) -> frozenset[str]:
        labels = self._known.get(e.name)
        if labels is None:
            raise Wrong(f"nobody tells {e.name}")
        for matcher in e.matchers.matchers:
            self._has(labels, [matcher.name], e.name)
            if str(matcher.op) == "MatchOp.Equal":
                self.asked.append((e.name, matcher.name, matcher.value))
        return labels

    def _aggregated(self, e: Any) -> frozenset[str]:
        inner = self._of(e.expr) or frozenset()
        if e.modifier is None:
            return inner if e.param is not None else frozenset()  # topk keeps them
        self._has(inner, e.modifier.labels, "aggregation")
        named = frozenset(e.modifier.labels)
        return named if e.modifier.type == promql.AggModifierType.By else inner - named

    def _called(self, e: Any) -> frozenset[str] | None:
        inner = [found for found in map(self._of, e.args) if found is not None]
        match e.func.name:
            case "time":
                return None
            case "vector":
                return frozenset()
            case "absent":
                return frozenset(m.name for m in e.args[0].matchers.matchers)
            case "histogram_quantile":
                self._has(inner[0], ["le"], "histogram_quantile")
                return inner[0] - {"le"}
            case _:
                return inner[0]

    def _joined(self, e: Any) -> frozenset[str] | None:
        left, right = self._of(e.lhs), self._of(e.rhs)
        if left is None or right is None:
            return left if right is None else right
        matching = e.modifier.matching if e.modifier is not None else None
        on = frozenset(matching.labels) if matching is not None else None
        if on is not None:
            self._has(left, on, "on")
            self._has(right, on, "on")
        elif str(e.op) != "or" and left != right:
            raise Wrong(f"{sorted(left)} meet {sorted(right)}: nothing would match")
        if str(e.op) in COMPARES:
            return left
        return left if on is None else on

    @staticmethod
    def _has(labels: frozenset[str], wanted: Any, where: str) -> None:
        missing = sorted(set(wanted) - labels)
        if missing:
            raise Wrong(f"{where}: no label {', '.join(missing)}; there are {', '.join(sorted(labels))}")
