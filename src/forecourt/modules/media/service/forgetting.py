"""Of whoever is erased nothing stays: the files that they held, their uploads under way, what was counted for them."""

from __future__ import annotations

from uuid import UUID

from forecourt.kernel.context import Context
from forecourt.kernel.db import Tx
from forecourt.kernel.events import emit
from forecourt.modules.media import queries
from forecourt.modules.media.contract import MediaOwner
from forecourt.modules.media.queries import FileRow
from forecourt.modules.media.service.base import Base, Holder
from forecourt.modules.media.service.owning import removed

FORGET_AT_ONCE = 200
FIRST = UUID(int=0)


class Forgetting(Base):
    async def forget(self, ctx: Context, account_id: UUID) -> None:
        """Everything that a person holds goes, a portion in each transaction; again, nothing is left to go.

        Objects of the store go with the next sweep, which is enqueued with each portion.
        """
        holder = Holder(account_id, "account")
        while await self._forget_some(ctx, holder):
            pass

    async def _forget_some(self, ctx: Context, holder: Holder) -> bool:
        """False when that was the last."""
        async with self._about(ctx, holder) as tx:
            uploads = await queries.uploads_of(tx, holder.id, FIRST, FORGET_AT_ONCE)
            for upload in uploads:
                await self._end_upload(tx, holder, upload.id)
            some = await queries.held_files(tx, holder.id, FIRST, FORGET_AT_ONCE)
            rows = await queries.lock_files(tx, holder.id, [row.id for row in some])
            if rows:
                await self._remove(tx, holder, rows)
                _say(tx, holder, rows)
            if uploads or some:
                return True
            await queries.forget_holding(tx, holder.id)
            return False


def _say(tx: Tx, holder: Holder, rows: list[FileRow]) -> None:
    by_owner: dict[MediaOwner, list[UUID]] = {}
    for row in rows:
        if row.owner is not None:
            by_owner.setdefault(row.owner, []).append(row.id)
    for owner, ids in by_owner.items():
        emit(tx, removed(holder, ids, owner))
