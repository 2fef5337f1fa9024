"""The keeper of time: what becomes of bookings when nobody does anything. Every step of it may run twice."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import structlog

from forecourt.kernel.context import Context
from forecourt.kernel.events import emit
from forecourt.modules.booking import queries
from forecourt.modules.booking.contract import BookingActor, BookingCompleted, BookingStarted, BookingStatus, Why
from forecourt.modules.booking.queries import MAX_DUE
from forecourt.modules.booking.service.base import SETTLE_AFTER, facts
from forecourt.modules.booking.service.blocking import Blocking
from forecourt.modules.booking.service.holding import UNKEPT

log = structlog.get_logger("forecourt.booking")

ROUNDS = 20
_S = BookingStatus


class Keeping(Blocking):
    async def keep_time(self, ctx: Context) -> int:
        """Looks after every booking whose time has come, at most ROUNDS batches; returns how many. `ctx` is about nobody."""
        seen = 0
        for _ in range(ROUNDS):
            async with self.db.tx(ctx.within(None)) as tx:
                due = await queries.due(tx, self.clock.now())
            by_organisation: dict[UUID, dict[UUID, datetime]] = {}
            for entry in due:
                by_organisation.setdefault(entry.organisation_id, {})[entry.booking_id] = entry.at
            for organisation_id, dues in by_organisation.items():
                await self._keep(ctx.within(organisation_id), organisation_id, dues)
            seen += len(due)
            if len(due) < MAX_DUE:
                break
        return seen

    async def _keep(self, ctx: Context, organisation_id: UUID, dues: dict[UUID, datetime]) -> None:
        now = self.clock.now()
        async with self.db.tx(ctx) as tx:
            moved = await queries.pass_time(tx, organisation_id, list(dues), now)
            for row in moved:
                completed = row.status is _S.COMPLETED
                emit(tx, BookingCompleted(**facts(row)) if completed else BookingStarted(**facts(row)))
        # One that was due for another reason than its time is looked at as well: its money may have moved.
        done = {row.id for row in moved if dues[row.id] in (row.starts_at, row.ends_at)}
        for booking_id in dues:
            if booking_id in done:
                continue
            try:
                await self._settle(ctx, organisation_id, booking_id)
            except Exception as e:  # one booking that cannot be settled now must not keep the others waiting
                log.warning("booking_unsettled", booking_id=str(booking_id), error=type(e).__name__, exc_info=e)
                async with self.db.tx(ctx) as tx:
                    await queries.set_due(tx, organisation_id, booking_id, self.clock.now() + SETTLE_AFTER)

    async def _settle(self, ctx: Context, organisation_id: UUID, booking_id: UUID) -> None:
        async with self.db.tx(ctx) as tx:
            row = await queries.booking_of(tx, organisation_id, booking_id)
            errands = await queries.errands(tx, organisation_id, booking_id)
        for errand in errands:
            await self.run_errand(ctx, row, errand)
        if errands:
            await self.square(ctx, await self.reread(ctx, row))
            return
        match row.status:
            case _S.PAYMENT_PENDING:
                await self.settle_payment(ctx, row)
            case _S.PENDING_APPROVAL if row.starts_at <= self.clock.now():
                await self.decline_row(ctx, row, BookingActor.HOUSE, Why.UNDECIDED)
            case _S.PENDING_APPROVAL:
                await self.settle_request(ctx, row)
            case _:
                if row.status in UNKEPT and row.paid_minor == 0 and row.due_minor == 0:
                    # Money may have come all the same; whoever ended the booking, or took the money, died before it went back.
                    await self.send_back(ctx, row)
                else:
                    await self.square(ctx, row)
                async with self.db.tx(ctx) as tx:
                    await self.on_course(tx, await queries.lock_booking(tx, organisation_id, booking_id))
