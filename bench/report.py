"""Figures: said as a table with their targets, and kept as JSON."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from bench.machine import Machine

RESULTS = Path(__file__).resolve().parent / "results"
out = Console(highlight=False, width=None if Console().is_terminal else 150)


class Options(msgspec.Struct, frozen=True):
    """`quick`: the same measurement with less of it, a minute or two rather than five."""

    quick: bool = False


class Target(msgspec.Struct, frozen=True):
    """What a figure is held to; figures without one are for the reader."""

    bound: float
    at_least: bool

    def met(self, value: float) -> bool:
        return value >= self.bound if self.at_least else value <= self.bound

    def __str__(self) -> str:
        return f"{'≥' if self.at_least else '<'} {self.bound:g}"


def at_least(bound: float) -> Target:
    return Target(bound, at_least=True)


def below(bound: float) -> Target:
    return Target(bound, at_least=False)


class Figure(msgspec.Struct, frozen=True):
    name: str
    value: float
    unit: str
    target: Target | None = None
    note: str = ""

    @property
    def met(self) -> bool | None:
        return None if self.target is None else self.target.met(self.value)


class Report(msgspec.Struct):
    """The outcome of one program."""

    program: str
    title: str
    machine: Machine
    options: Options
    figures: list[Figure] = []
    details: dict[str, object] = {}
    """Rows and rounds behind the figures."""

    @classmethod
    def begin(cls, program: str, title: str, options: Options) -> Report:
        report = cls(program, title, Machine.look(), options, [], {})
        out.print(f"[bold]{title}[/]")
        return report

    def add(self, name: str, value: float, unit: str, target: Target | None = None, note: str = "") -> None:
        self.figures.append(Figure(name, value, unit, target, note))

    def finish(self) -> None:
        """Prints the table and writes `bench/results/<program>.json`."""
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for heading, side in (("figure", "left"), ("value", "right"), ("unit", "left"), ("target", "right"), ("", "left")):
            table.add_column(heading, justify=side, no_wrap=True)  # type: ignore[arg-type]
        for f in self.figures:
            verdict = "" if f.met is None else "[green]met[/]" if f.met else "[bold red]missed[/]"
            table.add_row(f.name, say(f.value), f.unit, str(f.target or ""), f"{verdict} [dim]{f.note}[/]".strip())
        out.print(table)
        m = self.machine
        load = " ".join(f"{n:.2f}" for n in m.load_before)
        out.print(f"[dim]{m.cores} cores, load {load}, others used {m.busy_before_pct:.0f} % · {m.commit} · {m.at}[/]\n")
        RESULTS.mkdir(parents=True, exist_ok=True)
        path = RESULTS / f"{self.program}.json"
        path.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=2))


def rows(headings: Sequence[str], lines: Sequence[Sequence[object]]) -> None:
    """Prints a plain table: text to the left, numbers to the right."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for i, heading in enumerate(headings):
        table.add_column(heading, justify="left" if i == 0 else "right", no_wrap=True)
    for line in lines:
        table.add_row(*(say(v) if isinstance(v, int | float) else str(v) for v in line))
    out.print(table)


def say(value: float) -> str:
    """As many digits as mean something."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that `percent` % of all values do not exceed; 0 of none."""
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100).__int__() - 1)]


def median(values: Sequence[float]) -> float:
    return statistics.median(values) if values else 0.0
