"""Attaching files to the objects they belong to, and letting them go."""

from __future__ import annotations

from uuid import UUID

import msgspec

from forecourt.kernel.context import Context
from forecourt.kernel.errors import Invalid, NotFound
from forecourt.kernel.events import emit
from forecourt.modules.media import queries
from forecourt.modules.media.contract import Audience, MediaAttached, MediaCard, MediaInUse, MediaOwner, MediaRemoved
from forecourt.modules.media.queries import FileRow
from forecourt.modules.media.service.base import MAX_ALT_CHARS, Base, Expire, Holder


class Owning(Base):
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
                    emit(tx, removed(holder, [row.id for row in rows], owner))

    async def discard(self, ctx: Context, id: UUID) -> None:
        """An upload of one's own that was not attached, or has not ended. Raises NotFound, MediaInUse."""
        if ctx.account_id is not None:
            me = Holder(ctx.account_id, "account")
            async with self._about(ctx, me) as tx:
                if await self._end_upload(tx, me, id):
                    return
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


def _attached(holder: Holder, ids: list[UUID], owner: MediaOwner) -> MediaAttached:
    return MediaAttached(
        organisation_id=holder.organisation_id,
        media_ids=ids,
        owner_module=owner.module,
        owner_kind=owner.kind,
        owner_id=owner.id,
    )


def removed(holder: Holder, ids: list[UUID], owner: MediaOwner) -> MediaRemoved:
    """The news that attached files are gone."""
    attached = _attached(holder, ids, owner)
    return msgspec.convert(attached, MediaRemoved, from_attributes=True)
