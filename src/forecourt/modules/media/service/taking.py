"""Taking a file: what it is, whether it is kept already, its objects, and then its row."""

from __future__ import annotations

import contextlib
import hashlib
import io
import mmap
from collections.abc import Generator
from typing import BinaryIO, cast
from uuid import UUID

from msgspec import Struct

from forecourt.kernel.context import Context
from forecourt.kernel.db import Tx
from forecourt.kernel.errors import Invalid, NotFound, TooLarge, Unauthenticated, Unavailable
from forecourt.kernel.http.sent import plain_name
from forecourt.kernel.ids import new_id
from forecourt.kernel.jobs import enqueue
from forecourt.modules.media import images, queries, rules
from forecourt.modules.media.contract import MAX_TAKEN_BYTES, ORIGINAL, MediaCard, MediaKind, MediaQuotaFull, MediaRefused
from forecourt.modules.media.queries import ContentRow, FileRow, KeptVariant, Place
from forecourt.modules.media.service.base import (
    EXPIRE,
    MAX_ALT_CHARS,
    UNATTACHED_FOR,
    WRITING_FOR,
    Base,
    Expire,
    Holder,
    object_key,
)

BLANK_BYTES = 256 * 1024


class Sent(Struct, frozen=True):
    """A file as it came. `name` is for people; it decides nothing."""

    content: BinaryIO
    name: str = ""
    alt: str = ""
    upload_id: UUID | None = None
    """Of the upload that brought it in parts: the file has the same id, and the upload ends when the file is there."""


class UploadEnded(Exception):
    """Somebody else made the file of these parts at the same moment."""


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


class Taking(Base):
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
            if await queries.spare(tx, holder.id, content_id):
                if not await queries.add_content(tx, row, now):
                    await queries.doom(tx, holder.id, content_id, now)
                    return None
                if not await queries.hold(tx, holder.id, row.all_bytes, self._limit(holder)):
                    raise MediaQuotaFull
                return await self._add_file(tx, holder, content_id, sent)
            # The sweep was faster. What came after it is still there.
            await queries.doom(tx, holder.id, content_id, self._clock.now())
        raise Unavailable("the file took too long to be kept; send it again")

    async def _add_file(self, tx: Tx, holder: Holder, content_id: UUID, sent: Sent) -> FileRow:
        id, now = sent.upload_id or new_id(), self._clock.now()
        if sent.upload_id is not None and not await self._end_upload(tx, holder, sent.upload_id):
            raise UploadEnded
        place = Place(id, holder.id, holder.kind)
        await queries.add_file(tx, place, content_id, plain_name(sent.name), sent.alt.strip(), tx.context.account_id, now)
        enqueue(tx, EXPIRE, Expire(id, holder.id, holder.kind), at=now + UNATTACHED_FOR)
        (row,) = await queries.files(tx, holder.id, [id])
        return row

    async def _examine(self, content: BinaryIO, digest: bytes) -> _Examined:
        type_, size = await self._in_thread(_look, content)
        if type_ is None:
            raise MediaRefused(f"taken are {rules.TAKEN}; what a file is called does not matter")
        kind = rules.kind_of(type_)
        if size > rules.MAX_BYTES[kind]:
            raise TooLarge(f"a file of kind {kind} has at most {rules.MAX_BYTES[kind] // rules.MIB} MiB")
        if type_ in rules.WITH_NOTES and await self._in_thread(_forget_notes, content):
            digest = await self._in_thread(_digest, content)
        if kind is not MediaKind.IMAGE:
            return _Examined(type_, digest, [_Object(ORIGINAL, content, size)])
        if await self._in_thread(images.pixels, content, type_) <= images.LARGE_PIXELS:
            return _drawn(await self._in_thread(images.make, content, type_))
        async with self._large:
            return _drawn(await self._in_thread(images.make, content, type_))


def _digest(content: BinaryIO) -> bytes:
    content.seek(0)
    return hashlib.file_digest(content, "sha256").digest()  # type: ignore[arg-type]


def _look(content: BinaryIO) -> tuple[str | None, int]:
    """The media type and the size of a file, without reading it into memory."""
    size = content.seek(0, io.SEEK_END)
    if not size:
        raise Invalid.field("file", "is empty")
    with _view(content) as view:
        return rules.type_of(view), size


@contextlib.contextmanager
def _view(content: BinaryIO) -> Generator[rules.Bytes]:
    """What is in a file, to look at."""
    if isinstance(content, io.BytesIO):
        yield content.getvalue()
        return
    with mmap.mmap(content.fileno(), 0, access=mmap.ACCESS_READ) as view:
        yield cast("rules.Bytes", view)


def _forget_notes(content: BinaryIO) -> bool:
    """Makes blank what a film says of where and with what it was taken. False when it says nothing."""
    with _view(content) as view:
        notes = rules.notes_of(view)
    for name_at, start, end in notes:
        content.seek(name_at)
        content.write(rules.BLANK)
        content.seek(start)
        content.writelines(bytes(min(BLANK_BYTES, end - at)) for at in range(start, end, BLANK_BYTES))
    content.flush()
    return bool(notes)


def _drawn(made: images.Made) -> _Examined:
    variants = [KeptVariant(v.width, v.height, len(v.content)) for v in made.variants]
    pictures = [(ORIGINAL, made.full), *((str(v.width), v) for v in made.variants)]
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
