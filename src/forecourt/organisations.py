"""`forecourt org export` and `import`: an organisation that moves to another installation."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

from cyclopts import App, Parameter

from forecourt.terminal import Data, admin_url, engines, out, prepared, read_settings, steps

if TYPE_CHECKING:
    from forecourt.kernel.settings import Settings
    from forecourt.moving import Moved, Objects


def add_to(app: App) -> None:
    """Make the commands part of `forecourt org`."""
    app.command(export, name="export")
    app.command(bring_in, name="import")


def export(
    org: UUID,
    *,
    to: Annotated[Path, Parameter(help="The file to write. Whoever can read it can read everything of the organisation.")],
    data: Data = None,
) -> None:
    """Write everything of one organisation to a file, as it is at one moment. Changes nothing.

    Suspend it first when it is to move: what happens afterwards is not in the file.

    Example: forecourt org export 01a1fcc0-c4a5-7253-9344-54cc95d009c8 --to club.forecourt
    """
    from forecourt import moving

    moving.refuse_place(to)
    settings = read_settings(data)
    with steps() as report, engines(settings, report) as running:
        url = admin_url(settings, running)
        asyncio.run(prepared(url))
        moved = asyncio.run(moving.take(url, org, to, store_of(settings), report))
    tell(f"{moved.name} is in {to} ({to.stat().st_size / 1e6:,.1f} MB).", moved)
    out.print(f"  digest {moved.digest}", soft_wrap=True)


def bring_in(
    source: Path,
    *,
    digest: Annotated[str, Parameter(help="What the export said: proves that this is its file and nobody changed it.")] = "",
    data: Data = None,
) -> None:
    """Read an organisation from a file that another installation wrote. All of it, proven, or nothing.

    Example: forecourt org import club.forecourt --digest 9f86d081884c7d65…
    """
    from forecourt import moving

    moving.refuse_no_export(source)
    settings = read_settings(data)
    with steps() as report, engines(settings, report) as running:
        url = admin_url(settings, running)
        asyncio.run(prepared(url))
        moved = asyncio.run(moving.bring(url, source, store_of(settings), digest.strip().lower(), report))
    tell(f"{moved.name} is here, row for row as it was there.", moved)
    for table, why in moving.STAYS.items():
        if "entered again" in why:
            out.print(f"  {table}: {why}", soft_wrap=True)


def tell(what: str, moved: Moved) -> None:
    out.print(what, soft_wrap=True)
    out.print(f"  {moved.rows:,} rows, {moved.objects:,} files, {moved.people:,} people")
    totals: dict[str, tuple[int, int]] = {}
    for entry in moved.ledger:
        entries, total = totals.get(entry.currency, (0, 0))
        totals[entry.currency] = entries + entry.entries, total + int(entry.total)
    for currency, (entries, total) in totals.items():
        out.print(f"  ledger in {currency}: {entries:,} entries, sum {total}")


def store_of(settings: Settings) -> Objects:
    from forecourt.wiring import objects

    return objects(settings)
