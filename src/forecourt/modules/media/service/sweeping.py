"""Removing the objects of what is doomed."""

from __future__ import annotations

from datetime import datetime

from forecourt.kernel.context import Context
from forecourt.modules.media import queries
from forecourt.modules.media.queries import Doomed
from forecourt.modules.media.service.base import WRITING_FOR, Base, Holder

SWEEP_AT_ONCE = 200


class Sweeping(Base):
    async def sweep(self, ctx: Context) -> int:
        """Removes the objects of what is doomed; returns of how many contents. Safe to run beside itself and uploads."""
        now = self._clock.now()
        await self._store.tidy(now - WRITING_FOR)
        swept = 0
        while True:
            async with self._db.read(ctx) as tx:
                some = await queries.due(tx, now, SWEEP_AT_ONCE)
            done = sum([await self._sweep_one(ctx, doomed, now) for doomed in some])
            swept += done
            # Another sweep at the same moment may have been faster with all of them.
            if len(some) < SWEEP_AT_ONCE or not done:
                return swept

    async def _sweep_one(self, ctx: Context, doomed: Doomed, now: datetime) -> int:
        """First nobody can commit a row that names the objects any more, then they go, then the note that they must."""
        # Either setting opens the rows of a holder; which kind of holder it is does not matter here.
        about = Holder(doomed.holder_id, "organisation")
        again_at = now + WRITING_FOR
        async with self._about(ctx, about) as tx:
            if not await queries.condemn(tx, doomed, now, again_at):
                return 0
        await self._store.remove_all(f"{doomed.holder_id}/{doomed.content_id}/")
        async with self._about(ctx, about) as tx:
            await queries.end_upload(tx, doomed.holder_id, doomed.content_id)
            await queries.forget_doomed(tx, doomed, again_at)
        return 1
