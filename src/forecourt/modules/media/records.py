"""What media keeps of a person: the files that they hold, and the uploads that they have begun."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from msgspec import Struct

from forecourt.kernel.context import Context
from forecourt.kernel.db import ModuleDatabase
from forecourt.kernel.errors import Invalid, Unauthenticated
from forecourt.kernel.http.sent import plain_name
from forecourt.kernel.records import RECORDS_AT_ONCE, Read, RecordKind, Records
from forecourt.modules.media import queries, rules
from forecourt.modules.media.contract import FILES, FileRecord
from forecourt.modules.media.queries import FileRow

MAX_STEM_BYTES = 120
"""Of a name in UTF-8, beside the id and the ending: no system takes more than 255 of a whole."""
FIRST = UUID(int=0)


class UploadRecord(Struct, frozen=True):
    """An upload in parts that has not come to its end."""

    id: UUID
    name: str
    alt: str
    bytes: int
    received: int
    expires_at: datetime


class Belongings:
    def __init__(self, db: ModuleDatabase) -> None:
        self._db = db

    async def files(self, ctx: Context, after: str) -> Read:
        me = _person(ctx)
        async with self._db.read(ctx.within(None)) as tx:
            rows = await queries.held_files(tx, me, _place(after), RECORDS_AT_ONCE)
        return Read([told(row) for row in rows], _after([row.id for row in rows]))

    async def uploads(self, ctx: Context, after: str) -> Read:
        me = _person(ctx)
        async with self._db.read(ctx.within(None)) as tx:
            rows = await queries.uploads_of(tx, me, _place(after), RECORDS_AT_ONCE)
        told = [UploadRecord(row.id, row.name, row.alt, row.bytes, row.received, row.expires_at) for row in rows]
        return Read(told, _after([row.id for row in rows]))


def records(db: ModuleDatabase) -> Records:
    """Implements MediaRecords."""
    kept = Belongings(db)
    return Records(RecordKind(FILES, kept.files), RecordKind("uploads", kept.uploads))


def told(row: FileRow) -> FileRecord:
    return FileRecord(
        id=row.id,
        saved_as=saved_as(row.id, row.name, row.type),
        name=row.name,
        type=row.type,
        bytes=row.bytes,
        alt=row.alt,
        sent_at=row.sent_at,
        audience=row.audience,
        belongs_to=row.owner,
    )


def saved_as(id: UUID, name: str, type_: str) -> str:
    """`files/<id> holiday.jpg`: unique by its id and in the order of sending; a path of one folder, whatever the name."""
    stem, _, ending = rules.file_name(plain_name(name), type_).rpartition(".")
    short = stem.encode()[:MAX_STEM_BYTES].decode(errors="ignore").rstrip(" .")
    return f"files/{id} {short}.{ending}"


def _person(ctx: Context) -> UUID:
    if ctx.account_id is None:
        raise Unauthenticated
    return ctx.account_id


def _place(after: str) -> UUID:
    try:
        return UUID(after) if after else FIRST
    except ValueError:
        raise Invalid.field("after", "is no place in these records") from None


def _after(ids: list[UUID]) -> str:
    """Where the next portion begins: a portion that is not full was the last."""
    return str(ids[-1]) if len(ids) == RECORDS_AT_ONCE else ""
