"""All SQL of media, one typed function per statement."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from msgspec import Struct

from forecourt.kernel.db import Query, Statement, Sweep, Tx, to_json
from forecourt.modules.media.contract import Audience, MediaKind, MediaOwner


class Place(Struct, frozen=True):
    """Who holds a file."""

    id: UUID
    holder_id: UUID
    holder_kind: str


class KeptVariant(Struct, frozen=True):
    """A variant as a content remembers it; its object is named by its width."""

    width: int
    height: int
    bytes: int


class ContentRow(Struct, frozen=True):
    holder_id: UUID
    id: UUID
    sent_digest: bytes
    digest: bytes
    kind: MediaKind
    type: str
    bytes: int
    all_bytes: int
    width: int | None
    height: int | None
    blur: str | None
    variants: list[KeptVariant]


class FileRow(Struct, frozen=True):
    """A file with its content."""

    holder_id: UUID
    id: UUID
    content_id: UUID
    name: str
    alt: str
    sent_by: UUID | None
    sent_at: datetime
    audience: Audience | None
    owner_module: str | None
    owner_kind: str | None
    owner_id: UUID | None
    digest: bytes
    kind: MediaKind
    type: str
    bytes: int
    width: int | None
    height: int | None
    blur: str | None
    variants: list[KeptVariant]

    @property
    def owner(self) -> MediaOwner | None:
        if self.owner_module is None or self.owner_kind is None or self.owner_id is None:
            return None
        return MediaOwner(self.owner_module, self.owner_kind, self.owner_id)


class UploadRow(Struct, frozen=True):
    """An upload in parts, as far as it has come."""

    holder_id: UUID
    id: UUID
    bytes: int
    received: int
    name: str
    alt: str
    expires_at: datetime


class Part(Struct, frozen=True):
    starts_at: int
    bytes: int
    object: str


class Doomed(Struct, frozen=True):
    holder_id: UUID
    content_id: UUID


LOCATE = Query(Place, "select id, holder_id, holder_kind from media.locator where id = any($1::uuid[]) limit 200")
FILES = Query(
    FileRow,
    "select f.holder_id, f.id, f.content_id, f.name, f.alt, f.sent_by, f.sent_at, f.audience, f.owner_module, f.owner_kind,"
    " f.owner_id, c.digest, c.kind, c.type, c.bytes, c.width, c.height, c.blur, c.variants"
    " from media.file f join media.content c on c.holder_id = f.holder_id and c.id = f.content_id"
    " where f.holder_id = $1 and f.id = any($2::uuid[]) order by f.id limit 200",
)
LOCK_FILES = Query(
    FileRow,
    "select f.holder_id, f.id, f.content_id, f.name, f.alt, f.sent_by, f.sent_at, f.audience, f.owner_module, f.owner_kind,"
    " f.owner_id, c.digest, c.kind, c.type, c.bytes, c.width, c.height, c.blur, c.variants"
    " from media.file f join media.content c on c.holder_id = f.holder_id and c.id = f.content_id"
    " where f.holder_id = $1 and f.id = any($2::uuid[]) order by f.id limit 200 for update of f",
)
HELD_FILES = Query(
    FileRow,
    "select f.holder_id, f.id, f.content_id, f.name, f.alt, f.sent_by, f.sent_at, f.audience, f.owner_module, f.owner_kind,"
    " f.owner_id, c.digest, c.kind, c.type, c.bytes, c.width, c.height, c.blur, c.variants"
    " from media.file f join media.content c on c.holder_id = f.holder_id and c.id = f.content_id"
    " where f.holder_id = $1 and f.id > $2 order by f.id limit $3",
)
# The lock keeps the content from being removed until the file that is about to name it is there.
SAME_CONTENT = Query(UUID, "select id from media.content where holder_id = $1 and sent_digest = $2 for key share")
HELD = Query(int, "select bytes from media.holding where holder_id = $1")
HOLD = Statement(
    "insert into media.holding as h (holder_id, bytes) values ($1, $2)"
    " on conflict (holder_id) do update set bytes = h.bytes + excluded.bytes where h.bytes + excluded.bytes <= $3::bigint"
)
FORGET_HOLDING = Statement("delete from media.holding where holder_id = $1")
HOLD_LESS = Statement("update media.holding set bytes = bytes - $2 where holder_id = $1")
ADD_CONTENT = Statement(
    "insert into media.content (holder_id, id, sent_digest, digest, kind, type, bytes, all_bytes, width, height, blur,"
    " variants, created_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12::text::jsonb, $13)"
    " on conflict on constraint content_is_kept_once do nothing"
)
ADD_FILE = Statement(
    "insert into media.file (holder_id, id, content_id, name, alt, sent_by, sent_at) values ($1, $2, $3, $4, $5, $6, $7)"
)
ADD_PLACE = Statement("insert into media.locator (id, holder_id, holder_kind) values ($1, $2, $3)")
# Who sent it counts until it belongs to something: after that it is no business of its holder's, and nobody's to keep.
ATTACH = Statement(
    "update media.file set audience = $3, owner_module = $4, owner_kind = $5, owner_id = $6,"
    " attached_at = coalesce(attached_at, $7), sent_by = null where holder_id = $1 and id = any($2::uuid[])"
)
DESCRIBE = Statement(
    "update media.file set alt = $6 where holder_id = $1 and id = $2 and owner_module = $3 and owner_kind = $4 and owner_id = $5"
)
REMOVE_FILES = Statement("delete from media.file where holder_id = $1 and id = any($2::uuid[])")
REMOVE_PLACES = Statement("delete from media.locator where id = any($1::uuid[])")
# First the lock, then the look: a file that somebody adds to the content meanwhile is seen by the second statement.
LOCK_CONTENTS = Query(
    UUID, "select id from media.content where holder_id = $1 and id = any($2::uuid[]) order by id limit 200 for update"
)
REMOVE_CONTENTS = Query(
    Doomed,
    "delete from media.content c where c.holder_id = $1 and c.id = any($2::uuid[])"
    " and not exists (select from media.file f where f.holder_id = c.holder_id and f.content_id = c.id)"
    " returning c.holder_id, c.id",
)
BYTES_OF = Query(
    int, "select coalesce(sum(all_bytes), 0)::bigint from media.content where holder_id = $1 and id = any($2::uuid[])"
)
DOOM = Statement(
    "insert into media.doomed (holder_id, content_id, due_at) values ($1, $2, $3)"
    " on conflict (holder_id, content_id) do update set due_at = excluded.due_at"
)
SPARE = Statement("delete from media.doomed where holder_id = $1 and content_id = $2 and not condemned")
# Whoever dooms it anew moves the time: then it is not forgotten.
FORGET_DOOMED = Statement("delete from media.doomed where holder_id = $1 and content_id = $2 and due_at = $3")
DUE = Sweep(
    Doomed, "select holder_id, content_id from media.doomed where due_at <= $1 order by due_at, holder_id, content_id limit $2"
)
CONDEMN = Statement(
    "update media.doomed d set condemned = true, due_at = $4"
    " where d.holder_id = $1 and d.content_id = $2 and d.due_at <= $3"
    " and not exists (select from media.content c where c.holder_id = d.holder_id and c.id = d.content_id)"
)


# One at a time counts a holder's uploads, so that two together do not exceed the limit.
LOCK_HOLDING = Statement(
    "insert into media.holding as h (holder_id, bytes) values ($1, 0) on conflict (holder_id) do update set bytes = h.bytes"
)
OPEN_UPLOADS = Query(int, "select count(*)::int from media.upload where holder_id = $1 and expires_at > $2")
BEGIN_UPLOAD = Statement("insert into media.upload (holder_id, id, bytes, name, alt, expires_at) values ($1, $2, $3, $4, $5, $6)")
UPLOAD = Query(
    UploadRow,
    "select holder_id, id, bytes, received, name, alt, expires_at from media.upload"
    " where holder_id = $1 and id = $2 and expires_at > $3",
)
UPLOADS_OF = Query(
    UploadRow,
    "select holder_id, id, bytes, received, name, alt, expires_at from media.upload"
    " where holder_id = $1 and id > $2 order by id limit $3",
)
RECEIVE = Statement(
    "update media.upload set received = received + $4"
    " where holder_id = $1 and id = $2 and received = $3 and received + $4 <= bytes and expires_at > $5"
)
ADD_PART = Statement("insert into media.part (holder_id, upload_id, starts_at, bytes, object) values ($1, $2, $3, $4, $5)")
PARTS = Query(
    Part,
    "select starts_at, bytes, object from media.part where holder_id = $1 and upload_id = $2 order by starts_at limit 20000",
)
END_UPLOAD = Statement("delete from media.upload where holder_id = $1 and id = $2")


async def locate(tx: Tx, ids: list[UUID]) -> list[Place]:
    """Who holds which files; at most 200, in no order."""
    return await tx.all(LOCATE, ids)


async def files(tx: Tx, holder_id: UUID, ids: list[UUID]) -> list[FileRow]:
    return await tx.all(FILES, holder_id, ids)


async def held_files(tx: Tx, holder_id: UUID, after: UUID, limit: int) -> list[FileRow]:
    """A holder's files, in the order in which they came."""
    return await tx.all(HELD_FILES, holder_id, after, limit)


async def lock_files(tx: Tx, holder_id: UUID, ids: list[UUID]) -> list[FileRow]:
    """The files, which nobody else changes until the transaction ends."""
    return await tx.all(LOCK_FILES, holder_id, ids)


async def same_content(tx: Tx, holder_id: UUID, sent_digest: bytes) -> UUID | None:
    """What the holder keeps of these bytes already; it stays at least as long as the transaction."""
    return await tx.maybe(SAME_CONTENT, holder_id, sent_digest)


async def held(tx: Tx, holder_id: UUID) -> int:
    """Bytes that count for a holder."""
    return await tx.maybe(HELD, holder_id) or 0


async def forget_holding(tx: Tx, holder_id: UUID) -> None:
    """What a holder keeps is counted no longer."""
    await tx.run(FORGET_HOLDING, holder_id)


async def hold(tx: Tx, holder_id: UUID, more: int, limit: int) -> bool:
    """Counts `more` bytes; False when that would be above `limit`."""
    return more <= limit and await tx.run(HOLD, holder_id, more, limit) == 1


async def add_content(tx: Tx, row: ContentRow, at: datetime) -> bool:
    """False when the holder keeps something made of the same bytes."""
    added = await tx.run(
        ADD_CONTENT,
        row.holder_id,
        row.id,
        row.sent_digest,
        row.digest,
        row.kind.value,
        row.type,
        row.bytes,
        row.all_bytes,
        row.width,
        row.height,
        row.blur,
        to_json(row.variants),
        at,
    )
    return added == 1


async def add_file(tx: Tx, place: Place, content_id: UUID, name: str, alt: str, sent_by: UUID | None, at: datetime) -> None:
    await tx.run(ADD_PLACE, place.id, place.holder_id, place.holder_kind)
    await tx.run(ADD_FILE, place.holder_id, place.id, content_id, name, alt, sent_by, at)


async def attach(tx: Tx, holder_id: UUID, ids: list[UUID], owner: MediaOwner, audience: Audience, at: datetime) -> None:
    await tx.run(ATTACH, holder_id, ids, audience.value, owner.module, owner.kind, owner.id, at)


async def describe(tx: Tx, holder_id: UUID, id: UUID, owner: MediaOwner, alt: str) -> bool:
    return await tx.run(DESCRIBE, holder_id, id, owner.module, owner.kind, owner.id, alt) == 1


async def remove(tx: Tx, holder_id: UUID, files: list[FileRow], at: datetime) -> None:
    """Removes files, and what nobody needs any more: that is doomed from `at` on."""
    content_ids = sorted({f.content_id for f in files})
    ids = [f.id for f in files]
    await tx.run(REMOVE_FILES, holder_id, ids)
    await tx.run(REMOVE_PLACES, ids)
    await tx.all(LOCK_CONTENTS, holder_id, content_ids)
    before = await tx.one(BYTES_OF, holder_id, content_ids)
    for gone in await tx.all(REMOVE_CONTENTS, holder_id, content_ids):
        await doom(tx, gone.holder_id, gone.content_id, at)
    after = await tx.one(BYTES_OF, holder_id, content_ids)
    await tx.run(HOLD_LESS, holder_id, before - after)


async def doom(tx: Tx, holder_id: UUID, content_id: UUID, at: datetime) -> None:
    await tx.run(DOOM, holder_id, content_id, at)


async def spare(tx: Tx, holder_id: UUID, content_id: UUID) -> bool:
    """False when it was too late."""
    return await tx.run(SPARE, holder_id, content_id) == 1


async def due(tx: Tx, now: datetime, limit: int) -> list[Doomed]:
    """What is doomed by now, of all holders. In a transaction that is about nobody."""
    return await tx.all(DUE, now, limit)


async def condemn(tx: Tx, doomed: Doomed, now: datetime, again_at: datetime) -> bool:
    """From its commit on nobody can commit a row that names these objects. They are due again at `again_at`, in case that
    whoever is to remove them does not come to it. False when there is nothing to be done."""
    return await tx.run(CONDEMN, doomed.holder_id, doomed.content_id, now, again_at) == 1


async def forget_doomed(tx: Tx, doomed: Doomed, due_at: datetime) -> None:
    """When it is still due at the time that it was condemned until."""
    await tx.run(FORGET_DOOMED, doomed.holder_id, doomed.content_id, due_at)


async def open_uploads(tx: Tx, holder_id: UUID, now: datetime) -> int:
    """How many uploads in parts are under way; nobody begins another for the holder until the transaction ends."""
    await tx.run(LOCK_HOLDING, holder_id)
    return await tx.one(OPEN_UPLOADS, holder_id, now)


async def begin_upload(tx: Tx, row: UploadRow) -> None:
    await tx.run(BEGIN_UPLOAD, row.holder_id, row.id, row.bytes, row.name, row.alt, row.expires_at)


async def upload(tx: Tx, holder_id: UUID, id: UUID, now: datetime) -> UploadRow | None:
    return await tx.maybe(UPLOAD, holder_id, id, now)


async def uploads_of(tx: Tx, holder_id: UUID, after: UUID, limit: int) -> list[UploadRow]:
    """Every upload of a holder's that has not ended, also such as are too old to go on."""
    return await tx.all(UPLOADS_OF, holder_id, after, limit)


async def receive(tx: Tx, holder_id: UUID, id: UUID, part: Part, now: datetime) -> bool:
    """False when the part does not begin where the last one ended, or goes beyond the end."""
    if await tx.run(RECEIVE, holder_id, id, part.starts_at, part.bytes, now) == 0:
        return False
    await tx.run(ADD_PART, holder_id, id, part.starts_at, part.bytes, part.object)
    return True


async def parts(tx: Tx, holder_id: UUID, id: UUID) -> list[Part]:
    return await tx.all(PARTS, holder_id, id)


async def end_upload(tx: Tx, holder_id: UUID, id: UUID) -> bool:
    """False when it has ended already."""
    return await tx.run(END_UPLOAD, holder_id, id) == 1
