"""How the filling of the demo world looks while it happens."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

Report = Callable[[str, int, int], None]
"""`report(step, done, total)`: how far a step is. A step is finished when `done` reaches `total`."""


def unheard(step: str, done: int, total: int) -> None:
    """A report that nobody reads."""


@contextmanager
def progress(console: Console) -> Generator[Report]:
    """Bars on a terminal; elsewhere one line for each step that is finished."""
    if not console.is_terminal:
        yield _lines(console)
        return
    columns = (TextColumn("  {task.description}"), BarColumn(bar_width=24), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bars:
        tasks: dict[str, TaskID] = {}

        def report(step: str, done: int, total: int) -> None:
            if step not in tasks:
                tasks[step] = bars.add_task(step, total=total)
            bars.update(tasks[step], completed=done, total=total)

        yield report


def _lines(console: Console) -> Report:
    said: set[str] = set()

    def report(step: str, done: int, total: int) -> None:
        if done >= total and step not in said:
            said.add(step)
            console.print(f"  {step}: {total:,}", style="dim")

    return report
