"""The record as files: CSV that a spreadsheet may open, and JSON lines."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Callable, Iterable
from datetime import UTC

import msgspec

from forecourt.modules.audit.contract import ExportedEntry, ExportFormat
from forecourt.modules.audit.rules import as_cell
from forecourt.modules.audit.service import Export

TYPES = {ExportFormat.CSV: "text/csv; charset=utf-8; header=present", ExportFormat.JSONL: "application/jsonl"}
COLUMNS = (
    "seq",
    "at",
    "action",
    "actor_kind",
    "actor_account_id",
    "actor_key_id",
    "actor_service",
    "object_kind",
    "object_id",
    "address",
    "trace_id",
    "details",
    "hash",
    "intact",
    "erased",
)

_encoder = msgspec.json.Encoder()


async def written(export: Export, format: ExportFormat) -> AsyncIterator[bytes]:
    """The file, portion by portion; a CSV file begins with the names of its columns."""
    write: Callable[[list[ExportedEntry]], bytes] = _csv if format is ExportFormat.CSV else _encoder.encode_lines
    if format is ExportFormat.CSV:
        yield _rows([COLUMNS])
    async for portion in export.portions:
        yield write(portion)


def file_name(export: Export, format: ExportFormat) -> str:
    """`audit-2026-01-01-to-2026-11-02.csv`, by days of UTC."""
    days = (moment.astimezone(UTC).date().isoformat() for moment in (export.start, export.end))
    return f"audit-{'-to-'.join(days)}.{format}"


def _csv(portion: list[ExportedEntry]) -> bytes:
    return _rows(_cells(entry) for entry in portion)


def _cells(entry: ExportedEntry) -> list[str]:
    actor, about = entry.actor, entry.object
    cells = (
        str(entry.seq),
        entry.at.astimezone(UTC).isoformat(timespec="microseconds"),
        entry.action,
        actor.kind,
        str(actor.account_id or ""),
        str(actor.key_id or ""),
        actor.service,
        about.kind,
        str(about.id or ""),
        entry.address,
        entry.trace_id,
        bytes(entry.details).decode(),
        entry.hash,
        "yes" if entry.intact else "no",
        " ".join(entry.erased),
    )
    return [as_cell(cell) for cell in cells]


def _rows(rows: Iterable[Iterable[str]]) -> bytes:
    """RFC 4180."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerows(rows)
    return out.getvalue().encode()
