"""What booking keeps of a person, told to that person (PE-8). Quotes are left out: they last for minutes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from forecourt.kernel.context import Context
from forecourt.kernel.db import Tx
from forecourt.kernel.paging import Keyset
from forecourt.kernel.records import RECORDS_AT_ONCE, Read, RecordKind, Records
from forecourt.modules.booking import personal
from forecourt.modules.booking.personal import BOOKINGS_AT_ONCE, BookingRecord, InvitationRecord, StepRecord
from forecourt.modules.booking.service import BookingService
from forecourt.modules.booking.service.base import person

_BOOKINGS = Keyset("all bookings of a person", tuple[datetime, UUID])
_RECEIVED = Keyset("all invitations to a person", tuple[UUID, UUID])
_SENT = Keyset("all invitations by a person", tuple[UUID, UUID])

Page = Callable[[Tx, UUID, Sequence[UUID], tuple[UUID, UUID] | None, int], Awaitable[list[InvitationRecord]]]


class Booked(msgspec.Struct, frozen=True):
    """A booking with everything that happened to it."""

    booking: BookingRecord
    history: list[StepRecord]


def records(service: BookingService) -> Records:
    async def bookings(ctx: Context, after: str) -> Read:
        me = person(ctx)
        async with service.db.read(ctx.within(None)) as tx:
            among = await service.guests.read(tx, me)
            rows = await personal.own_bookings(tx, me, among, _BOOKINGS.decode(after or None))
            page = _BOOKINGS.page(rows, BOOKINGS_AT_ONCE, lambda b: (b.starts_at, b.id))
            told = await _history(tx, page.items)
        return Read([Booked(b, told.get(b.id, [])) for b in page.items], page.next_cursor or "")

    async def _history(tx: Tx, bookings: Sequence[BookingRecord]) -> dict[UUID, list[StepRecord]]:
        """What happened is the organisation's: each is asked as itself, for bookings that are this person's."""
        told: dict[UUID, list[StepRecord]] = {}
        for organisation_id in dict.fromkeys(b.organisation_id for b in bookings):
            await tx.become(service.db.role, organisation_id)
            ids = [b.id for b in bookings if b.organisation_id == organisation_id]
            for step in await personal.steps(tx, organisation_id, ids):
                told.setdefault(step.booking_id, []).append(step)
        return told

    def invitations(keyset: Keyset[tuple[UUID, UUID]], ask: Page) -> Callable[[Context, str], Awaitable[Read]]:
        async def read(ctx: Context, after: str) -> Read:
            me = person(ctx)
            async with service.db.read(ctx.within(None)) as tx:
                among = await service.guests.read(tx, me)
                rows = await ask(tx, me, among, keyset.decode(after or None), RECORDS_AT_ONCE + 1)
            page = keyset.page(rows, RECORDS_AT_ONCE, lambda i: (i.organisation_id, i.id))
            return Read(page.items, page.next_cursor or "")

        return read

    async def calendar(ctx: Context, _: str) -> Read:
        async with service.db.read(ctx.within(None)) as tx:
            found = await personal.calendar(tx, person(ctx))
        return Read([] if found is None else [found])

    return Records(
        RecordKind("bookings", bookings),
        RecordKind("invitations_received", invitations(_RECEIVED, personal.received)),
        RecordKind("invitations_sent", invitations(_SENT, personal.sent)),
        RecordKind("calendar", calendar),
    )
