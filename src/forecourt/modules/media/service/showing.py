"""Showing a file: its card, and its bytes to whoever may have them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import UUID

from msgspec import Struct

from forecourt.kernel.context import Context
from forecourt.kernel.errors import Invalid, NotFound, Unauthenticated
from forecourt.modules.media import queries
from forecourt.modules.media.contract import MAX_PIECE_BYTES, ORIGINAL, Audience, MediaCard, MediaKind
from forecourt.modules.media.queries import FileRow
from forecourt.modules.media.service.base import Base, log, object_key, version_of


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


class Showing(Base):
    async def cards(self, ctx: Context, ids: list[UUID]) -> list[MediaCard]:
        rows = await self._found(ctx, ids)
        wanted = [rows[id] for id in dict.fromkeys(ids) if id in rows]
        return [self._card(row) for row in wanted if row.owner is not None or self._is_mine(ctx, row)]

    async def open(self, ctx: Context, asked: Asked) -> Opened:
        """Raises NotFound for what is absent, not for the one who asks, or no longer to be opened by this address."""
        now = self._clock.now()
        row = (await self._found(ctx, [asked.id])).get(asked.id)
        if row is None:
            raise NotFound
        if row.audience is Audience.PUBLIC:
            return _opened(row, asked, 365 * 86400 if asked.version == version_of(row) else 300)
        if self._links.opens(str(row.id), asked.expires, asked.signature, now):
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

    async def piece(self, ctx: Context, id: UUID, start: int) -> bytes:
        if ctx.account_id is None:
            raise Unauthenticated
        if start < 0:
            raise Invalid.field("start", "is not before the beginning")
        async with self._db.read(ctx.within(None)) as tx:
            row = next(iter(await queries.files(tx, ctx.account_id, [id])), None)
        if row is None:
            raise NotFound
        if start >= row.bytes:
            return b""
        chunks = await self.read(_opened(row, Asked(id), 0), start, min(start + MAX_PIECE_BYTES, row.bytes))
        return b"".join([chunk async for chunk in chunks])


def _opened(row: FileRow, asked: Asked, fresh_for_s: int) -> Opened:
    """The variant that was asked for, or the file itself when it is not wider than that."""
    audience = row.audience or Audience.PRIVATE
    variant = next((v for v in row.variants if v.width == asked.width), None)
    name = ORIGINAL if variant is None else str(variant.width)
    return Opened(
        kind=row.kind,
        type=row.type if variant is None else "image/webp",
        name=row.name,
        bytes=row.bytes if variant is None else variant.bytes,
        tag=f"{version_of(row)}-{name}",
        key=object_key(row.holder_id, row.content_id, name),
        audience=audience,
        fresh_for_s=fresh_for_s,
    )
