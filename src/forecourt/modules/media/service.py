"""Use cases: take a file, attach it, show it, let it go."""

from __future__ import annotations

import asyncio
import hashlib
import io
import mmap
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import BinaryIO, TypeVar, cast
from uuid import UUID

import msgspec
import structlog
from msgspec import Struct

from forecourt.kernel.clock import Clock
from forecourt.kernel.context import Context
from forecourt.kernel.db import ModuleDatabase, Tx
from forecourt.kernel.errors import Invalid, NotFound, TooLarge, Unauthenticated, Unavailable
from forecourt.kernel.events import emit
from forecourt.kernel.ids import new_id
from forecourt.kernel.jobs import JobKind, enqueue
from forecourt.modules.media import images, queries, rules
from forecourt.modules.media.contract import (
    MAX_CARDS,
    MAX_TAKEN_BYTES,
    Audience,
    MediaAttached,
    MediaCard,
    MediaInUse,
    MediaKind,
    MediaOwner,
    MediaQuotaFull,
    MediaRefused,
    MediaRemoved,
    Variant,
)
from forecourt.modules.media.queries import ContentRow, Doomed, FileRow, KeptVariant, Place
from forecourt.modules.media.store import Store

log = structlog.get_logger("forecourt.media")

T = TypeVar("T")

UNATTACHED_FOR = timedelta(days=1)
"""So long an upload waits for somebody to attach it."""
WRITING_FOR = timedelta(hours=1)
"""Objects whose row has not been committed after so long never get one."""
SWEEP_AT_ONCE = 200
FULL = "full"
MAX_ALT_CHARS = 500
MAX_NAME_CHARS = 200


class Sweep(Struct, frozen=True):
    """Nothing to say: what is doomed is written down."""


class Expire(Struct, frozen=True):
    """An upload, and who holds it."""

    id: UUID
    holder_id: UUID
    holder_kind: str


SWEEP = JobKind("media.sweep", Sweep, timeout_s=120, attempts=5)
EXPIRE = JobKind("media.expire", Expire, timeout_s=30, attempts=8)


class Quotas(Struct, frozen=True):
    """Bytes that are kept at most, variants included."""

    account_bytes: int
    organisation_bytes: int


class Holder(Struct, frozen=True):
    """Whom a file counts for: an organisation or a person."""

    id: UUID
    kind: str

    @property
    def organisation_id(self) -> UUID | None:
        return self.id if self.kind == "organisation" else None

    @property
    def account_id(self) -> UUID | None:
        return self.id if self.kind == "account" else None


class Sent(Struct, frozen=True):
    """A file as it came. `name` is for people; it decides nothing."""

    content: BinaryIO
    name: str = ""
    alt: str = ""


class Asked(Struct, frozen=True):
    """Which of a file's objects, and with what right. `width` None is the file itself."""

    id: UUID
    width: int | None = None
    version: str | None = None
    expires: int | None = None
    signature: str | None = None


class Opened(Struct, frozen=True):
    """An object that may be shown."""

    kind: MediaKind
    type: str
    name: str
    bytes: int
    tag: str
    """Changes when the bytes do."""
    key: str
    audience: Audience
    fresh_for_s: int
    """For how long an answer may be kept without asking again."""


class _Object(Struct):
    name: str
    content: BinaryIO
    bytes: int


class _Examined(Struct):
    """A file that was found good, and what is kept of it."""

    type: str
    digest: bytes
    objects: list[_Object]
    width: int | None = None
    height: int | None = None
    blur: str | None = None
    variants: list[KeptVariant] = []


class MediaService:
    def __init__(self, db: ModuleDatabase, clock: Clock, store: Store, quotas: Quotas, secret: bytes) -> None:
        self._db = db
        self._clock = clock
        self._store = store
        self._quotas = quotas
        self._key = rules.signing_key(secret)
        self._makers = ThreadPoolExecutor(2, thread_name_prefix="media")
        self._large = asyncio.Lock()

    def close(self) -> None:
        """Lets the threads that draw images end."""
        self._makers.shutdown(wait=False)

    # --- take ---

    async def take_for_person(self, ctx: Context, sent: Sent) -> MediaCard:
        """A file of `ctx`'s person. Raises MediaRefused, MediaTooLarge, TooLarge, MediaQuotaFull, Unauthenticated."""
        if ctx.account_id is None:
            raise Unauthenticated
        return await self._take(ctx, Holder(ctx.account_id, "account"), sent)

    async def take_for_organisation(self, ctx: Context, sent: Sent) -> MediaCard:
        """A file that `ctx`'s organisation holds, whoever sent it."""
        if ctx.organisation_id is None:
            raise NotFound
        return await self._take(ctx, Holder(ctx.organisation_id, "organisation"), sent)

    async def take(self, ctx: Context, content: bytes, name: str, alt: str) -> MediaCard:
        if len(content) > MAX_TAKEN_BYTES:
            raise TooLarge(f"at most {MAX_TAKEN_BYTES // rules.MIB} MiB; send what is larger to /v1/uploads")
        if len(alt) > MAX_ALT_CHARS:
            raise Invalid.field("alt", f"at most {MAX_ALT_CHARS} characters")
        sent = Sent(io.BytesIO(content), name, alt)
        return await (self.take_for_person(ctx, sent) if ctx.organisation_id is None else self.take_for_organisation(ctx, sent))

    async def _take(self, ctx: Context, holder: Holder, sent: Sent) -> MediaCard:
        digest = await self._in_thread(_digest, sent.content)
        row = await self._known(ctx, holder, sent, digest)
        if row is None:
            examined = await self._examine(sent.content, digest)
            row = await self._keep(ctx, holder, sent, digest, examined) or await self._known(ctx, holder, sent, digest)
        if row is None:
            raise Unavailable("the same file was removed at this moment; send it again")
        return self._card(row)

    async def _known(self, ctx: Context, holder: Holder, sent: Sent, digest: bytes) -> FileRow | None:
        """The file made of what the holder keeps already; None when these bytes are new."""
        async with self._about(ctx, holder) as tx:
            content_id = await queries.same_content(tx, holder.id, digest)
            if content_id is None:
                if await queries.held(tx, holder.id) >= self._limit(holder):
                    raise MediaQuotaFull
                return None
            return await self._add_file(tx, holder, content_id, sent)

    async def _keep(self, ctx: Context, holder: Holder, sent: Sent, digest: bytes, examined: _Examined) -> FileRow | None:
        """Objects first, then the row. None when somebody else kept the same bytes meanwhile."""
        content_id, now = new_id(), self._clock.now()
        async with self._about(ctx, holder) as tx:
            await queries.doom(tx, holder.id, content_id, now + WRITING_FOR)
        for made in examined.objects:
            made.content.seek(0)
            await self._store.put(object_key(holder.id, content_id, made.name), made.content)
        row = _content(holder.id, content_id, digest, examined)
        async with self._about(ctx, holder) as tx:
            if not await queries.spare(tx, holder.id, content_id):
                raise Unavailable("the file took too long to be kept; send it again")
            if not await queries.add_content(tx, row, now):
                await queries.doom(tx, holder.id, content_id, now)
                return None
            if not await queries.hold(tx, holder.id, row.all_bytes, self._limit(holder)):
                raise MediaQuotaFull
            return await self._add_file(tx, holder, content_id, sent)

    async def _add_file(self, tx: Tx, holder: Holder, content_id: UUID, sent: Sent) -> FileRow:
        id, now = new_id(), self._clock.now()
        place = Place(id, holder.id, holder.kind)
        name, alt = sent.name[-MAX_NAME_CHARS:], sent.alt
        await queries.add_file(tx, place, content_id, name, alt, tx.context.account_id, now)
        enqueue(tx, EXPIRE, Expire(id, holder.id, holder.kind), at=now + UNATTACHED_FOR)
        (row,) = await queries.files(tx, holder.id, [id])
        return row

    def _limit(self, holder: Holder) -> int:
        return self._quotas.account_bytes if holder.account_id else self._quotas.organisation_bytes

    def _about(self, ctx: Context, holder: Holder) -> _About:
        return _About(self._db, ctx, holder)

    # --- examine ---

    async def _in_thread(self, work: Callable[..., T], *args: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._makers, work, *args)

    async def _examine(self, content: BinaryIO, digest: bytes) -> _Examined:
        type_, size = await self._in_thread(_look, content)
        if type_ is None:
            raise MediaRefused(f"taken are {rules.TAKEN}; what a file is called does not matter")
        kind = rules.kind_of(type_)
        if size > rules.MAX_BYTES[kind]:
            raise TooLarge(f"a file of kind {kind} has at most {rules.MAX_BYTES[kind] // rules.MIB} MiB")
        if kind is not MediaKind.IMAGE:
            return _Examined(type_, digest, [_Object(FULL, content, size)])
        if await self._in_thread(images.pixels, content, type_) <= images.LARGE_PIXELS:
            return _drawn(await self._in_thread(images.make, content, type_))
        async with self._large:
            return _drawn(await self._in_thread(images.make, content, type_))

    # --- show ---

    async def cards(self, ctx: Context, ids: list[UUID]) -> list[MediaCard]:
        rows = await self._found(ctx, ids)
        wanted = [rows[id] for id in dict.fromkeys(ids) if id in rows]
        return [self._card(row) for row in wanted if row.owner is not None or self._is_mine(ctx, row)]

    async def _places(self, ctx: Context, ids: list[UUID]) -> list[tuple[Holder, list[UUID]]]:
        """Who holds which of these files. Raises Invalid above 200."""
        if len(ids) > MAX_CARDS:
            raise Invalid.field("ids", f"at most {MAX_CARDS} at once")
        if not ids:
            return []
        async with self._db.read(ctx) as tx:
            return _by_holder(await queries.locate(tx, list(dict.fromkeys(ids))))

    async def _found(self, ctx: Context, ids: list[UUID]) -> dict[UUID, FileRow]:
        """The files of these ids, whoever holds them. Raises Invalid above 200."""
        found: dict[UUID, FileRow] = {}
        places = await self._places(ctx, ids)
        if places:
            async with self._db.read(ctx) as tx:
                for holder, held in places:
                    await tx.become(self._db.role, holder.organisation_id, holder.account_id)
                    found |= {row.id: row for row in await queries.files(tx, holder.id, held)}
        return found

    @staticmethod
    def _is_mine(ctx: Context, row: FileRow) -> bool:
        """Whether the person holds the file, or sent it and nobody has attached it yet."""
        me = ctx.account_id
        return me is not None and (row.holder_id == me or (row.owner is None and row.sent_by == me))

    async def open(self, ctx: Context, asked: Asked) -> Opened:
        """Raises NotFound for what is absent, not for the one who asks, or no longer to be opened by this address."""
        now = self._clock.now()
        row = (await self._found(ctx, [asked.id])).get(asked.id)
        if row is None:
            raise NotFound
        if row.audience is Audience.PUBLIC:
            return _opened(row, asked, 365 * 86400 if asked.version == _version(row) else 300)
        if rules.opens(self._key, row.id, asked.expires, asked.signature, now):
            return _opened(row, asked, int((asked.expires or 0) - now.timestamp()))
        if self._is_mine(ctx, row):
            return _opened(row, asked, 0)
        raise NotFound

    async def read(self, opened: Opened, start: int, end: int) -> AsyncIterator[bytes]:
        """The bytes `[start, end)` of an object. Raises NotFound when the store has lost it."""
        try:
            return await self._store.read(opened.key, start, end)
        except FileNotFoundError:
            log.error("media_object_missing", key=opened.key)
            raise NotFound from None

    def _card(self, row: FileRow) -> MediaCard:
        expires_at: datetime | None = None
        query = f"v={_version(row)}"
        if row.audience is not Audience.PUBLIC:
            expires_at = rules.expiry(self._clock.now())
            expires = int(expires_at.timestamp())
            query = f"expires={expires}&signature={rules.signature(self._key, row.id, expires)}"
        url = f"/v1/media/{row.id}?{query}"
        return MediaCard(
            id=row.id,
            kind=row.kind,
            type=row.type,
            name=row.name,
            bytes=row.bytes,
            width=row.width,
            height=row.height,
            blur=row.blur,
            alt=row.alt,
            url=url,
            variants=[Variant(v.width, v.height, v.bytes, f"{url}&width={v.width}") for v in row.variants],
            expires_at=expires_at,
            owner=row.owner,
        )

    # --- attach and let go ---

    async def attach(self, ctx: Context, ids: list[UUID], owner: MediaOwner, audience: Audience) -> list[MediaCard]:
        wanted, now = list(dict.fromkeys(ids)), self._clock.now()
        places = await self._places(ctx, wanted)
        rows: dict[UUID, FileRow] = {}
        # Row security lets nothing through but what the person sent and what the organisation holds.
        async with self._db.tx(ctx) as tx:
            for holder, held in places:
                found = await queries.lock_files(tx, holder.id, held)
                if any(row.owner not in (None, owner) for row in found):
                    raise MediaInUse
                await queries.attach(tx, holder.id, held, owner, audience, now)
                rows |= {row.id: row for row in await queries.files(tx, holder.id, held)}
                fresh = [row.id for row in found if row.owner is None]
                if fresh:
                    emit(tx, _attached(holder, fresh, owner))
            if len(rows) < len(wanted):
                raise NotFound
        return [self._card(rows[id]) for id in wanted]

    async def describe(self, ctx: Context, owner: MediaOwner, id: UUID, alt: str) -> None:
        if len(alt) > MAX_ALT_CHARS:
            raise Invalid.field("alt", f"at most {MAX_ALT_CHARS} characters")
        for holder, _ in await self._places(ctx, [id]):
            async with self._about(ctx, holder) as tx:
                if await queries.describe(tx, holder.id, id, owner, alt):
                    return
        raise NotFound

    async def detach(self, ctx: Context, owner: MediaOwner, ids: list[UUID]) -> None:
        for holder, held in await self._places(ctx, ids):
            async with self._about(ctx, holder) as tx:
                rows = [row for row in await queries.lock_files(tx, holder.id, held) if row.owner == owner]
                if rows:
                    await self._remove(tx, holder, rows)
                    emit(tx, _removed(holder, [row.id for row in rows], owner))

    async def discard(self, ctx: Context, id: UUID) -> None:
        """An upload of one's own that was not attached. Raises NotFound, MediaInUse."""
        for holder, held in await self._places(ctx, [id]):
            async with self._about(ctx, holder) as tx:
                rows = [row for row in await queries.lock_files(tx, holder.id, held) if self._is_mine(ctx, row)]
                if any(row.owner is not None for row in rows):
                    raise MediaInUse
                if rows:
                    await self._remove(tx, holder, rows)
                    return
        raise NotFound

    async def expire(self, ctx: Context, due: Expire) -> None:
        """An upload that nobody attached within its day."""
        holder = Holder(due.holder_id, due.holder_kind)
        async with self._about(ctx, holder) as tx:
            rows = [row for row in await queries.lock_files(tx, holder.id, [due.id]) if row.owner is None]
            if rows:
                await self._remove(tx, holder, rows)

    async def _remove(self, tx: Tx, holder: Holder, rows: list[FileRow]) -> None:
        now = self._clock.now()
        await queries.remove(tx, holder.id, rows, now)
        enqueue(tx, SWEEP, Sweep(), at=now, key="now")

    # --- sweep ---

    async def sweep(self, ctx: Context) -> int:
        """Removes the objects of what is doomed; returns of how many contents. Safe to run beside itself and uploads."""
        now = self._clock.now()
        await self._store.tidy(now - WRITING_FOR)
        swept = 0
        while True:
            async with self._db.read(ctx) as tx:
                some = await queries.due(tx, now, SWEEP_AT_ONCE)
            for doomed in some:
                swept += await self._sweep_one(ctx, doomed, now)
            if len(some) < SWEEP_AT_ONCE:
                return swept

    async def _sweep_one(self, ctx: Context, doomed: Doomed, now: datetime) -> int:
        """First nobody can commit a row that names the objects any more, then they go, then the note that they must."""
        # Either setting opens the rows of a holder; which kind of holder it is does not matter here.
        about = Holder(doomed.holder_id, "organisation")
        async with self._about(ctx, about) as tx:
            if not await queries.condemn(tx, doomed, now, now + WRITING_FOR):
                return 0
        await self._store.remove_all(f"{doomed.holder_id}/{doomed.content_id}/")
        async with self._about(ctx, about) as tx:
            await queries.forget_doomed(tx, doomed)
        return 1


class _About:
    """A transaction about one holder, whoever acts."""

    def __init__(self, db: ModuleDatabase, ctx: Context, holder: Holder) -> None:
        self._db = db
        self._holder = holder
        self._tx = db.tx(ctx)

    async def __aenter__(self) -> Tx:
        tx = await self._tx.__aenter__()
        try:
            await tx.become(self._db.role, self._holder.organisation_id, self._holder.account_id)
        except BaseException as e:
            await self._tx.__aexit__(type(e), e, e.__traceback__)
            raise
        return tx

    async def __aexit__(self, *error: object) -> None:
        await self._tx.__aexit__(*error)  # type: ignore[arg-type]


# --- pieces ----------------------------------------------------------------------------------------------------------


def object_key(holder_id: UUID, content_id: UUID, name: str) -> str:
    return f"{holder_id}/{content_id}/{name}"


def _digest(content: BinaryIO) -> bytes:
    content.seek(0)
    return hashlib.file_digest(content, "sha256").digest()  # type: ignore[arg-type]


def _look(content: BinaryIO) -> tuple[str | None, int]:
    """The media type and the size of a file, without reading it into memory."""
    size = content.seek(0, io.SEEK_END)
    if not size:
        raise Invalid.field("file", "is empty")
    if isinstance(content, io.BytesIO):
        return rules.type_of(content.getvalue()), size
    with mmap.mmap(content.fileno(), 0, access=mmap.ACCESS_READ) as view:
        return rules.type_of(cast("rules.Bytes", view)), size


def _drawn(made: images.Made) -> _Examined:
    variants = [KeptVariant(v.width, v.height, len(v.content)) for v in made.variants]
    pictures = [(FULL, made.full), *((str(v.width), v) for v in made.variants)]
    return _Examined(
        made.type,
        hashlib.sha256(made.full.content).digest(),
        [_Object(name, io.BytesIO(picture.content), len(picture.content)) for name, picture in pictures],
        made.full.width,
        made.full.height,
        made.blur,
        variants,
    )


def _content(holder_id: UUID, id: UUID, sent_digest: bytes, examined: _Examined) -> ContentRow:
    return ContentRow(
        holder_id=holder_id,
        id=id,
        sent_digest=sent_digest,
        digest=examined.digest,
        kind=rules.kind_of(examined.type),
        type=examined.type,
        bytes=examined.objects[0].bytes,
        all_bytes=sum(o.bytes for o in examined.objects),
        width=examined.width,
        height=examined.height,
        blur=examined.blur,
        variants=examined.variants,
    )


def _by_holder(places: Sequence[Place]) -> list[tuple[Holder, list[UUID]]]:
    """Always in the same order, so that two who lock the same files do not wait for each other."""
    found: dict[Holder, list[UUID]] = {}
    for place in places:
        found.setdefault(Holder(place.holder_id, place.holder_kind), []).append(place.id)
    return sorted(found.items(), key=lambda place: place[0].id)


def _version(row: FileRow) -> str:
    return row.digest.hex()[:16]


def _opened(row: FileRow, asked: Asked, fresh_for_s: int) -> Opened:
    """The variant that was asked for, or the file itself when it is not wider than that."""
    audience = row.audience or Audience.PRIVATE
    variant = next((v for v in row.variants if v.width == asked.width), None)
    name = FULL if variant is None else str(variant.width)
    return Opened(
        kind=row.kind,
        type=row.type if variant is None else "image/webp",
        name=row.name,
        bytes=row.bytes if variant is None else variant.bytes,
        tag=f"{_version(row)}-{name}",
        key=object_key(row.holder_id, row.content_id, name),
        audience=audience,
        fresh_for_s=fresh_for_s,
    )


def _attached(holder: Holder, ids: list[UUID], owner: MediaOwner) -> MediaAttached:
    return MediaAttached(
        organisation_id=holder.organisation_id,
        media_ids=ids,
        owner_module=owner.module,
        owner_kind=owner.kind,
        owner_id=owner.id,
    )


def _removed(holder: Holder, ids: list[UUID], owner: MediaOwner) -> MediaRemoved:
    attached = _attached(holder, ids, owner)
    return msgspec.convert(attached, MediaRemoved, from_attributes=True)
