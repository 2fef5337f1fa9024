"""All SQL about one person: what is kept of them, as they are told (PE-8), and how it is forgotten.

What people are told they read themselves, so row security shows them nothing that is not theirs. Forgetting is the house's, one
organisation at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import LiteralString
from uuid import UUID

import msgspec

from forecourt.kernel.db import Query, Statement, Tx, to_json
from forecourt.modules.booking.contract import BookingActor, BookingStatus, InviteeStatus, NewInvitee, PayWith, Purpose, Why
from forecourt.modules.booking.invited import FORGOTTEN, LEFT, InvitationRow
from forecourt.modules.booking.queries import BookingRow

BOOKINGS_AT_ONCE = 50
"""Each with what was written about it: a portion stays within what a call carries."""
MOST_STEPS = 5_000
AT_ONCE = 200
NOT_OVER = tuple(s.value for s in (BookingStatus.PENDING_APPROVAL, BookingStatus.PAYMENT_PENDING, BookingStatus.UPCOMING))
_KEPT_WORDS = [why.value for why in Why]

# --------------------------------------------------------------------------------------------------------------- telling


class BookingRecord(msgspec.Struct, frozen=True):
    """A booking as its own person is told of it. Amounts are minor units."""

    organisation_id: UUID
    id: UUID
    venue_id: UUID
    resource_id: UUID
    status: BookingStatus
    starts_at: datetime
    ends_at: datetime
    timezone: str
    purpose: Purpose
    team_size: int
    currency: str
    price_minor: int
    paid_minor: int
    refunded_minor: int
    due_minor: int
    pay_with: PayWith | None
    promo_code: str | None
    note: str | None
    created_at: datetime


class StepRecord(msgspec.Struct, frozen=True):
    """What happened to a booking, and what was written about it."""

    booking_id: UUID
    at: datetime
    action: str
    by: BookingActor
    words: str


class InvitationRecord(msgspec.Struct, frozen=True):
    """`email` is where it was sent: one's own address, or the one that one wrote."""

    organisation_id: UUID
    id: UUID
    booking_id: UUID
    status: InviteeStatus
    email: str | None
    invited_by: UUID | None
    account_id: UUID | None
    created_at: datetime
    answered_at: datetime | None


class CalendarRecord(msgspec.Struct, frozen=True):
    """That there is a private calendar address. The address itself is kept nowhere."""

    made_at: datetime


OWN_BOOKINGS = Query(
    BookingRecord,
    "select b.organisation_id, b.id, b.venue_id, b.resource_id, b.status, b.starts_at, b.ends_at, b.timezone, b.purpose,"
    " b.team_size, b.currency, b.price_minor, b.paid_minor, b.refunded_minor, b.due_minor, b.pay_with, b.promo_code, b.note,"
    " b.created_at from booking.booking b where b.account_id = $1 and b.organisation_id = any($2::uuid[])"
    " and ($3::timestamptz is null or (b.starts_at, b.id) > ($3, $4::uuid)) order by b.starts_at, b.id limit $5",
)
STEPS = Query(
    StepRecord,
    "select t.booking_id, t.at, t.action, t.actor, t.detail from booking.transition t"
    " where t.organisation_id = $1 and t.booking_id = any($2::uuid[]) order by t.booking_id, t.version limit $3",
)
_INVITATION: LiteralString = (
    "select i.organisation_id, i.id, i.booking_id, i.status, i.email, i.invited_by, i.account_id, i.created_at, i.answered_at"
    " from booking.invitation i where i.organisation_id = any($2::uuid[])"
    " and ($3::uuid is null or (i.organisation_id, i.id) > ($3, $4::uuid))"
)
RECEIVED = Query(InvitationRecord, _INVITATION + " and i.account_id = $1 order by i.organisation_id, i.id limit $5")
SENT = Query(InvitationRecord, _INVITATION + " and i.invited_by = $1 order by i.organisation_id, i.id limit $5")
CALENDAR = Query(CalendarRecord, "select f.created_at from booking.feed f where f.account_id = $1")


async def own_bookings(
    tx: Tx, account_id: UUID, among: Sequence[UUID], after: tuple[datetime, UUID] | None
) -> list[BookingRecord]:
    """One more than a portion holds."""
    return await tx.all(OWN_BOOKINGS, account_id, list(among), *(after or (None, None)), BOOKINGS_AT_ONCE + 1)


async def steps(tx: Tx, organisation_id: UUID, booking_ids: Sequence[UUID]) -> list[StepRecord]:
    return await tx.all(STEPS, organisation_id, list(booking_ids), MOST_STEPS)


async def received(
    tx: Tx, account_id: UUID, among: Sequence[UUID], after: tuple[UUID, UUID] | None, most: int
) -> list[InvitationRecord]:
    return await tx.all(RECEIVED, account_id, list(among), *(after or (None, None)), most)


async def sent(
    tx: Tx, account_id: UUID, among: Sequence[UUID], after: tuple[UUID, UUID] | None, most: int
) -> list[InvitationRecord]:
    return await tx.all(SENT, account_id, list(among), *(after or (None, None)), most)


async def calendar(tx: Tx, account_id: UUID) -> CalendarRecord | None:
    return await tx.maybe(CALENDAR, account_id)


# ------------------------------------------------------------------------------------------------------------ forgetting

PLACES = Query(
    UUID,
    "select g.organisation_id from booking.guest g where g.account_id = $1 and ($2::uuid is null or g.organisation_id > $2)"
    " order by g.organisation_id limit $3",
)
DROP_QUOTES = Statement("delete from booking.quote q where q.organisation_id = $1 and q.account_id = $2")


class Held(msgspec.Struct, frozen=True):
    """A booking of the person's. `is_ahead`: it has not begun, and nothing has ended it."""

    id: UUID
    starts_at: datetime
    is_ahead: bool


HELD = Query(
    Held,
    "select b.id, b.starts_at, b.starts_at > $5 and b.status = any($6::text[]) from booking.booking b"
    " where b.organisation_id = $1 and b.account_id = $2"
    " and ($3::timestamptz is null or (b.starts_at, b.id) > ($3, $4::uuid)) order by b.starts_at, b.id limit $7",
)
FORGET_NOTES = Statement(
    "update booking.booking b set note = null where b.organisation_id = $1 and b.id = any($2::uuid[]) and b.note is not null"
)
FORGET_DETAILS = Statement(
    "update booking.transition t set detail = '' where t.organisation_id = $1 and t.booking_id = any($2::uuid[])"
    " and t.detail <> '' and t.detail <> all($3::text[])"
)
FORGET_REASONS = Statement(
    "update booking.errand e set reason = '' where e.organisation_id = $1 and e.booking_id = any($2::uuid[])"
    " and e.kind = 'refund' and e.reason <> '' and e.reason <> all($3::text[])"
)


class Received(msgspec.Struct, frozen=True):
    id: UUID
    booking_id: UUID
    address: bytes | None


# Those that still have a place or an address; of bookings that are over some keep the place.
TO_FORGET = Query(
    Received,
    "select i.id, i.booking_id, i.address from booking.invitation i where i.organisation_id = $1 and i.account_id = $2"
    " and (i.email <> all($3::text[]) or i.status in ('pending', 'accepted')) and ($4::uuid is null or i.id > $4)"
    " order by i.id limit $5",
)
# Its own id stands for the digest of the address: it has to be another for each.
FORGET_INVITATION = Statement(
    "update booking.invitation i set email = case when i.email is not null then $3 end,"
    " address = case when i.email is not null then sha256(i.id::text::bytea) end, salt = $4, asked = $5"
    " where i.organisation_id = $1 and i.id = $2"
)
SET_WISHED = Statement("update booking.booking b set invitees = $3::text::jsonb where b.organisation_id = $1 and b.id = $2")


async def places(tx: Tx, account_id: UUID, after: UUID | None) -> list[UUID]:
    """The next organisations in which the person has anything, at most AT_ONCE."""
    return await tx.all(PLACES, account_id, after, AT_ONCE)


async def drop_quotes(tx: Tx, organisation_id: UUID, account_id: UUID) -> None:
    await tx.run(DROP_QUOTES, organisation_id, account_id)


async def held(tx: Tx, organisation_id: UUID, account_id: UUID, after: tuple[datetime, UUID] | None, now: datetime) -> list[Held]:
    """The next bookings of the person's, at most AT_ONCE."""
    return await tx.all(HELD, organisation_id, account_id, *(after or (None, None)), now, list(NOT_OVER), AT_ONCE)


async def forget_words(tx: Tx, organisation_id: UUID, booking_ids: Sequence[UUID], kept: Sequence[str]) -> None:
    """What was written on these bookings, about their steps and why money goes back; what the house itself notes stays.
    `kept`: the kinds of reasons that money on its way has."""
    ids = list(booking_ids)
    await tx.run(FORGET_NOTES, organisation_id, ids)
    await tx.run(FORGET_DETAILS, organisation_id, ids, _KEPT_WORDS)
    await tx.run(FORGET_REASONS, organisation_id, ids, [*_KEPT_WORDS, *kept])


async def to_forget(tx: Tx, organisation_id: UUID, account_id: UUID, after: UUID | None) -> list[Received]:
    """The next invitations of the person's, at most AT_ONCE."""
    return await tx.all(TO_FORGET, organisation_id, account_id, [FORGOTTEN, LEFT], after, AT_ONCE)


async def forget_invitation(tx: Tx, row: InvitationRow, instead: str, salt: bytes, asked: int) -> None:
    """Its address, for which there is `instead`, and with another salt its link. `asked`: so often that nobody is asked again."""
    await tx.run(FORGET_INVITATION, row.organisation_id, row.id, instead, salt, asked)


async def set_wished(tx: Tx, booking: BookingRow, invitees: Sequence[NewInvitee]) -> None:
    """Who is named with a booking. It is locked."""
    await tx.run(SET_WISHED, booking.organisation_id, booking.id, to_json(list(invitees)))
