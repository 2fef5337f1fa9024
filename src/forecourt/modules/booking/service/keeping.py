"""The keeper of time: what becomes of bookings when nobody does anything. Every step of it may run twice."""

from __future__ import annotations

from uuid import UUID

import structlog

from forecourt.kernel.context import Context
from forecourt.kernel.events import emit
from forecourt.modules.booking import queries
from forecourt.modules.booking.contract import BookingActor, BookingCompleted, BookingStarted, BookingStatus
from forecourt.modules.booking.queries import MAX_DUE
from forecourt.modules.booking.service.base import SETTLE_AFTER, facts, natural_due
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
            by_organisation: dict[UUID, list[UUID]] = {}
            for entry in due:
                by_organisation.setdefault(entry.organisation_id, []).append(entry.booking_id)
            for organisation_id, booking_ids in by_organisation.items():
                await self._keep(ctx.within(organisation_id), organisation_id, booking_ids)
            seen += len(due)
            if len(due) < MAX_DUE:
                break
        return seen

    async def _keep(self, ctx: Context, organisation_id: UUID, booking_ids: list[UUID]) -> None:
        now = self.clock.now()
        async with self.db.tx(ctx) as tx:
            moved = await queries.pass_time(tx, organisation_id, booking_ids, now)
            for row in moved:
                completed = row.status is _S.COMPLETED
                emit(tx, BookingCompleted(**facts(row)) if completed else BookingStarted(**facts(row)))
        done = {row.id for row in moved}
        for booking_id in booking_ids:
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
            return
        match row.status:
            case _S.PAYMENT_PENDING:
                await self.settle_payment(ctx, row)
            case _S.PENDING_APPROVAL if row.starts_at <= self.clock.now():
                await self.decline_row(ctx, row, BookingActor.HOUSE, "Nobody decided in time")
            case _S.PENDING_APPROVAL:
                await self.settle_request(ctx, row)
            case _:
                if row.status in UNKEPT and row.paid_minor == 0 and row.due_minor == 0:
                    # Money may have come all the same; whoever ended the booking, or took the money, died before it went back.
                    await self.send_back(ctx, row)
                async with self.db.tx(ctx) as tx:
                    fresh = await queries.booking_of(tx, organisation_id, booking_id)
                    at = natural_due(fresh, fresh.status)
                    await queries.set_due(tx, organisation_id, booking_id, at)
