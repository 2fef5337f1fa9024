"""Files that come in parts, so that a line that breaks costs one part and not the whole (in the manner of tus 1.0)."""

from __future__ import annotations

import asyncio
import io
import tempfile
from datetime import timedelta
from typing import BinaryIO, cast
from uuid import UUID, uuid4

from forecourt.kernel.context import Context
from forecourt.kernel.errors import Invalid, NotFound, TooLarge, Unauthenticated
from forecourt.kernel.http.sent import plain_name
from forecourt.kernel.ids import new_id
from forecourt.modules.media import queries
from forecourt.modules.media.contract import (
    MediaCard,
    MediaQuotaFull,
    MediaRefused,
    MediaTooLarge,
    TooManyUploads,
    UploadIncomplete,
    UploadOffset,
)
from forecourt.modules.media.queries import Part, UploadRow
from forecourt.modules.media.service.base import Holder, object_key
from forecourt.modules.media.service.taking import Sent, Taking, UploadEnded

OPEN_AT_ONCE = 5
"""Uploads in parts that one person may have under way: their parts count for no quota yet."""
UPLOAD_FOR = timedelta(days=1)
MAX_PARTS = 1000
"""Each is an object in the store and a row."""
PARTS_FOR = UPLOAD_FOR + timedelta(hours=1)
"""Parts outlive their upload: whoever finishes at the last moment still finds them."""


class Resuming(Taking):
    async def begin(self, ctx: Context, size: int, name: str, alt: str) -> UploadRow:
        """Raises MediaQuotaFull, TooManyUploads."""
        me, now = _person(ctx), self._clock.now()
        row = UploadRow(me.id, new_id(), size, 0, plain_name(name), alt.strip(), now + UPLOAD_FOR)
        async with self._about(ctx, me) as tx:
            if await queries.open_uploads(tx, me.id, now) >= OPEN_AT_ONCE:
                raise TooManyUploads
            if await queries.held(tx, me.id) + size > self._limit(me):
                raise MediaQuotaFull
            await queries.doom(tx, me.id, row.id, now + PARTS_FOR)
            await queries.begin_upload(tx, row)
        return row

    async def progress(self, ctx: Context, id: UUID) -> UploadRow:
        """Raises NotFound once it is finished, discarded or a day old."""
        me = _person(ctx)
        async with self._about(ctx, me) as tx:
            row = await queries.upload(tx, me.id, id, self._clock.now())
        if row is None:
            raise NotFound
        return row

    async def receive(self, ctx: Context, id: UUID, offset: int, content: bytes) -> int:
        """The next part; returns how much is there. Raises NotFound, UploadOffset, Invalid beyond the announced size, and for one
        so small that there would be more than MAX_PARTS."""
        row = await self.progress(ctx, id)
        if offset != row.received:
            raise UploadOffset(received=row.received)
        if offset + len(content) > row.bytes:
            raise Invalid.field("Upload-Length", f"{row.bytes} bytes were announced")
        if not content:
            return offset
        least = -(-row.bytes // MAX_PARTS)
        if len(content) < least and offset + len(content) < row.bytes:
            raise Invalid(f"a part of this upload has at least {least} bytes, but for the last")
        # A name of its own: of two who send the same part at once, the loser's object is named by no row.
        part = Part(offset, len(content), f"part-{offset}-{uuid4().hex}")
        await self._store.put(object_key(row.holder_id, id, part.object), io.BytesIO(content))
        async with self._about(ctx, _person(ctx)) as tx:
            if await queries.receive(tx, row.holder_id, id, part, self._clock.now()):
                return offset + len(content)
            now = await queries.upload(tx, row.holder_id, id, self._clock.now())
            if now is None:  # it ended meanwhile, and its parts may have been swept before this one was there
                await queries.doom(tx, row.holder_id, id, self._clock.now())
        if now is None:
            raise NotFound
        raise UploadOffset(received=now.received)

    async def finish(self, ctx: Context, id: UUID) -> MediaCard:
        """The file of all parts, which has the upload's id; again, the same. Raises NotFound, UploadIncomplete, and what
        taking a file raises: what is refused is discarded."""
        me = _person(ctx)
        async with self._about(ctx, me) as tx:
            row = await queries.upload(tx, me.id, id, self._clock.now())
            parts = await queries.parts(tx, me.id, id)
        if row is None:
            return await self._finished(ctx, id)
        if row.received < row.bytes:
            raise UploadIncomplete(received=row.received)
        whole = await self._joined(row, parts)
        try:
            return await self._take(ctx, me, Sent(whole, row.name, row.alt, id))
        except UploadEnded:
            return await self._finished(ctx, id)
        except (MediaRefused, MediaTooLarge, TooLarge, Invalid):
            async with self._about(ctx, me) as tx:
                await self._end_upload(tx, me, id)
            raise
        finally:
            whole.close()

    async def _finished(self, ctx: Context, id: UUID) -> MediaCard:
        row = (await self._found(ctx, [id])).get(id)
        if row is None or not self._is_mine(ctx, row):
            raise NotFound
        return self._card(row)

    async def _joined(self, row: UploadRow, parts: list[Part]) -> BinaryIO:
        """All parts in one unnamed file, at its beginning."""
        whole = cast("BinaryIO", tempfile.TemporaryFile())  # noqa: SIM115 - the caller closes it
        for part in parts:
            async for chunk in await self._store.read(object_key(row.holder_id, row.id, part.object), 0, part.bytes):
                await asyncio.to_thread(whole.write, chunk)
        await asyncio.to_thread(whole.seek, 0)
        return whole


def _person(ctx: Context) -> Holder:
    if ctx.account_id is None:
        raise Unauthenticated
    return Holder(ctx.account_id, "account")
