"""Forgetting a person whose account was erased (PE-8).

What they have booked and has not begun is cancelled as they could have done it themselves, and what they were invited to they
decline: others are told, places are free, money goes back by the rules. What they and others wrote about it goes, their
addresses and their calendar too. What happened stays, with an id that is nobody's any more.

Every step may be repeated and looks for itself what is left, so whoever is interrupted begins again. It is done twice, some
minutes apart (`jobs.FORGET`): what the person, or staff, had under way at the moment of the first time is found by the second.
"""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from uuid import UUID

import structlog

from forecourt.kernel.context import Actor, ActorKind, Context, service_context
from forecourt.kernel.db import Tx
from forecourt.modules.booking import guests, invited, personal, queries
from forecourt.modules.booking.contract import BookingActor, InvalidTransition, InviteeStatus, Why
from forecourt.modules.booking.invited import FORGOTTEN, LEFT, MOST_ASKED, InvitationRow, Noted
from forecourt.modules.booking.personal import AT_ONCE, Held, Received
from forecourt.modules.booking.queries import BookingRow
from forecourt.modules.booking.service.inviting import OPEN, SALT_BYTES, STANDING, Inviting
from forecourt.modules.payments.contract import Cause

ADDRESSES_KEPT = timedelta(days=28)
"""So long after a booking is over its guests' addresses are kept, for those who had no account then: that is less than the thirty
days after which somebody is erased, who may have made one since. Whose they are known to be goes with that account."""

log = structlog.get_logger("forecourt.booking")

_CAUSES = [cause.value for cause in Cause]


class Unforgotten(Exception):
    """Some bookings could not be cancelled; everything else is forgotten. The job comes again."""


class Forgetting(Inviting):
    async def forget_person(self, ctx: Context, account_id: UUID) -> None:
        """Raises Unforgotten. `ctx` is about nobody."""
        about = Context(actor=Actor(kind=ActorKind.PERSON, account_id=account_id), trace_id=ctx.trace_id)
        async with self.db.tx(about) as tx:
            await queries.end_feed(tx, account_id)
        after: UUID | None = None
        left = 0
        while True:
            async with self.db.tx(about) as tx:
                places = await personal.places(tx, account_id, after)
            for organisation_id in places:
                house = service_context("booking.forget", organisation_id, ctx.trace_id)
                left += await self._forget_bookings(house, organisation_id, account_id)
                await self._forget_invitations(house, organisation_id, account_id)
            if len(places) < AT_ONCE:
                break
            after = places[-1]
        if left:
            raise Unforgotten(f"{left} bookings could not be cancelled")

    # --- what they booked

    async def _forget_bookings(self, house: Context, organisation_id: UUID, account_id: UUID) -> int:
        """How many could not be cancelled."""
        after: tuple[datetime, UUID] | None = None
        left = 0
        async with self.db.tx(house) as tx:
            await personal.drop_quotes(tx, organisation_id, account_id)
        while True:
            async with self.db.tx(house) as tx:
                held = await personal.held(tx, organisation_id, account_id, after, self.clock.now())
                # Before anything is cancelled: money that is on its way takes with it why.
                await personal.forget_words(tx, organisation_id, [h.id for h in held], _CAUSES)
            left += sum([not await self._let_go(house, organisation_id, h) for h in held if h.is_ahead])
            if len(held) < AT_ONCE:
                return left
            after = held[-1].starts_at, held[-1].id

    async def _let_go(self, house: Context, organisation_id: UUID, held: Held) -> bool:
        """Cancels it as its person could have. What has begun ends by itself. False when it could not be done now."""
        async with self.db.tx(house) as tx:
            row = await queries.booking_of(tx, organisation_id, held.id)
        try:
            await self._cancel(house, row, BookingActor.HOUSE, Why.HOST_LEFT, self._refund_by_policy)
        except InvalidTransition:
            pass  # somebody ended it at this moment
        except Exception as e:  # one booking that cannot be cancelled now must not keep the rest from being forgotten
            log.warning("booking_not_let_go", booking_id=str(held.id), error=type(e).__name__, exc_info=e)
            return False
        return True

    # --- what they were invited to

    async def _forget_invitations(self, house: Context, organisation_id: UUID, account_id: UUID) -> None:
        after: UUID | None = None
        while True:
            async with self.db.tx(house) as tx:
                found = await personal.to_forget(tx, organisation_id, account_id, after)
            for received in found:
                await self._forget_invitation(house, organisation_id, account_id, received)
            if len(found) < AT_ONCE:
                return
            after = found[-1].id

    async def _forget_invitation(self, house: Context, organisation_id: UUID, account_id: UUID, received: Received) -> None:
        if received.address is not None:
            async with self.db.tx(house.within(None)) as tx:
                await invited.drop_address(tx, Noted(received.address, organisation_id, received.id))
        async with self.db.tx(house) as tx:
            booking = await queries.lock_booking(tx, organisation_id, received.booking_id)
            row = await invited.locked(tx, organisation_id, received.id)
            if row.account_id != account_id:
                return  # somebody was invited anew by that address at this moment
            instead = FORGOTTEN if row.in_the_party is None else LEFT
            if row.takes_a_place and booking.status in OPEN and booking.ends_at > self.clock.now():
                row = await self._decline(tx, booking, row)
            await self._forget_address(tx, booking, row, instead)

    async def _decline(self, tx: Tx, booking: BookingRow, row: InvitationRow) -> InvitationRow:
        if booking.status in STANDING:
            return await self.answer_as(tx, booking, row, InviteeStatus.DECLINED, row.account_id)
        # Nobody has been told of it yet.
        await invited.answer(tx, row, InviteeStatus.DECLINED, row.account_id, self.clock.now())
        return await invited.locked(tx, row.organisation_id, row.id)

    async def _forget_address(self, tx: Tx, booking: BookingRow, row: InvitationRow, instead: str) -> None:
        """The address goes from the booking and the invitation together, or the one would make the other anew."""
        if row.is_forgotten:
            instead = row.email or instead
        elif row.email is not None:
            address = guests.folded(row.email)
            wished = (await invited.wished(tx, booking.organisation_id, booking.id)).invitees
            others = [w for w in wished if w.email is None or guests.folded(w.email) != address]
            if len(others) < len(wished):
                await personal.set_wished(tx, booking, others)
        await personal.forget_invitation(tx, row, instead, secrets.token_bytes(SALT_BYTES), MOST_ASKED)

    # --- addresses that became nobody's

    async def forget_addresses(self, ctx: Context) -> int:
        """Empties those whose bookings were over ADDRESSES_KEPT ago; returns how many were looked at. `ctx` is about nobody."""
        before = self.clock.now() - ADDRESSES_KEPT
        async with self.db.tx(ctx.within(None)) as tx:
            over = await invited.over(tx, before)
        for noted in over:
            house = service_context("booking.forget", noted.organisation_id, ctx.trace_id)
            until = await self._forget_over(house, noted, before)
            async with self.db.tx(house.within(None)) as tx:
                await invited.drop_address(tx, noted)
            if until is not None:
                async with self.db.tx(house) as tx:
                    await invited.note_address(tx, noted, until)
        return len(over)

    async def _forget_over(self, house: Context, noted: Noted, before: datetime) -> datetime | None:
        """The booking's end when it was moved and the address is kept, else None."""
        async with self.db.tx(house) as tx:
            found = await invited.one(tx, noted.organisation_id, noted.invitation_id)
            if found is None:
                return None
            booking = await queries.lock_booking(tx, noted.organisation_id, found.booking_id)
            if booking.ends_at >= before:
                return booking.ends_at
            await self._forget_address(tx, booking, await invited.locked(tx, noted.organisation_id, found.id), FORGOTTEN)
            return None
