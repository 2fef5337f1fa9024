# ruff: noqa: S608 - statements are put together from constants of this file only
"""All SQL of booking. Every statement that changes a booking changes its claims, its history and its next due time with it.

A change names the version it was decided on: `where version = $3` makes the decision and the write one thing, and a writer
that comes second gets no row and decides again. Claims are never looked up before they are made; the primary key of
booking.occupancy decides (see `HOLD`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import LiteralString
from uuid import UUID

import msgspec

from forecourt.kernel.db import Query, Statement, Sweep, Tx, to_json
from forecourt.kernel.events import INSERT_EVENT, Event, emit_with
from forecourt.kernel.period import MAX_CLAIM, Period
from forecourt.modules.booking.contract import (
    BookingAction,
    BookingActor,
    BookingFigures,
    BookingStatus,
    NewInvitee,
    PayWith,
    Purpose,
    QuoteLine,
    TaxLine,
)

MAX_CLAIMS_READ = 50_000
"""Claims one question may depend on. 100 resources booked every hour of two months stay below it."""
MAX_DUE = 500
MAX_COUNTED = 20_000
MAX_COUNTED_EACH = 5_000
MAX_BUSIEST = 50

# ---------------------------------------------------------------------------------------------------------------- bookings


class BookingRow(msgspec.Struct, frozen=True):
    """A booking without its price lines."""

    organisation_id: UUID
    id: UUID
    venue_id: UUID
    resource_id: UUID
    account_id: UUID | None
    guest_name: str | None
    status: BookingStatus
    starts_at: datetime
    ends_at: datetime
    timezone: str
    purpose: Purpose
    team_size: int
    currency: str
    list_minor: int
    price_minor: int
    paid_minor: int
    due_minor: int
    refunded_minor: int
    authorised_minor: int
    pay_with: PayWith | None
    promo_code: str | None
    quote_id: UUID | None
    note: str | None
    hold_expires_at: datetime | None
    claimed: list[UUID]
    claim_starts_at: datetime
    claim_ends_at: datetime
    version: int
    created_at: datetime
    updated_at: datetime

    @property
    def period(self) -> Period:
        return Period(self.starts_at, self.ends_at)

    @property
    def claim(self) -> Period:
        return Period(self.claim_starts_at, self.claim_ends_at)


_COLUMNS = (
    "b.organisation_id, b.id, b.venue_id, b.resource_id, b.account_id, b.guest_name, b.status, b.starts_at, b.ends_at,"
    " b.timezone, b.purpose, b.team_size, b.currency, b.list_minor, b.price_minor, b.paid_minor, b.due_minor, b.refunded_minor,"
    " b.authorised_minor, b.pay_with, b.promo_code, b.quote_id, b.note, b.hold_expires_at,"
    " b.claimed, b.claim_starts_at, b.claim_ends_at, b.version, b.created_at, b.updated_at"
)
_SELECT = "select " + _COLUMNS + " from booking.booking b"

# A person's bookings are looked for where they have any: the organisations are named, which `Whereabouts` knows.
GUEST_OF = Query(
    UUID, "select g.organisation_id from booking.guest g where g.account_id = $1 order by g.organisation_id limit $2"
)
BOOKING_AMONG = Query(BookingRow, _SELECT + " where b.organisation_id = any($1::uuid[]) and b.id = $2")
BOOKINGS_AMONG = Query(BookingRow, _SELECT + " where b.organisation_id = any($1::uuid[]) and b.id = any($2::uuid[]) limit 100")
BOOKING_OF = Query(BookingRow, _SELECT + " where b.organisation_id = $1 and b.id = $2")
LOCK_BOOKING = Query(BookingRow, _SELECT + " where b.organisation_id = $1 and b.id = $2 for update of b")
# A booking lasts at most a day, so the lower bound on its start loses nothing, and an index can begin there.
OWN_LATEST = Query(
    BookingRow,
    _SELECT + " where b.account_id = $1 and ($2::text[] is null or b.status = any($2)) and b.ends_at > $3"
    " and b.starts_at > $3::timestamptz - interval '1 day' and b.starts_at < $4"
    " and (b.starts_at, b.id) < ($5, $6) and b.organisation_id = any($8::uuid[]) order by b.starts_at desc, b.id desc limit $7",
)
OWN_SOONEST = Query(
    BookingRow,
    _SELECT + " where b.account_id = $1 and ($2::text[] is null or b.status = any($2)) and b.ends_at > $3"
    " and b.starts_at > $3::timestamptz - interval '1 day' and b.starts_at < $4"
    " and (b.starts_at, b.id) > ($5, $6) and b.organisation_id = any($8::uuid[]) order by b.starts_at, b.id limit $7",
)
OF_ORGANISATION = Query(
    BookingRow,
    _SELECT + " where b.organisation_id = $1 and ($2::text[] is null or b.status = any($2)) and b.ends_at > $3"
    " and b.starts_at > $3::timestamptz - interval '1 day' and b.starts_at < $4"
    " and (b.starts_at, b.id) > ($5, $6) and ($7::uuid is null or b.venue_id = $7) and ($8::uuid is null or b.resource_id = $8)"
    " and ($9::uuid is null or b.account_id = $9) order by b.starts_at, b.id limit $10",
)
OF_VENUE = Query(
    BookingRow,
    _SELECT + " where b.organisation_id = $1 and b.venue_id = $2 and b.starts_at < $4 and b.starts_at > $3::timestamptz"
    " - interval '1 day' and b.ends_at > $3 and b.status = any($5::text[]) order by b.starts_at, b.id limit $6",
)
FEED_BOOKINGS = Query(
    BookingRow,
    _SELECT + " where b.account_id = $1 and b.starts_at > $2 and b.status = any($3::text[])"
    " and b.organisation_id = any($5::uuid[]) order by b.starts_at, b.id limit $4",
)


class Lines(msgspec.Struct, frozen=True):
    lines: list[QuoteLine]
    tax: list[TaxLine]


LINES = Query(Lines, "select b.lines, b.tax from booking.booking b where b.organisation_id = $1 and b.id = $2")


async def booking_among(tx: Tx, organisation_ids: Sequence[UUID], booking_id: UUID) -> BookingRow | None:
    """If it is one of these organisations' and row security shows it: as the organisation's own, or as the person's."""
    return await tx.maybe(BOOKING_AMONG, list(organisation_ids), booking_id)


async def bookings_among(tx: Tx, organisation_ids: Sequence[UUID], booking_ids: Sequence[UUID]) -> list[BookingRow]:
    """Those that are these organisations' and that row security shows. At most 100."""
    return await tx.all(BOOKINGS_AMONG, list(organisation_ids), list(booking_ids))


async def booking_of(tx: Tx, organisation_id: UUID, booking_id: UUID) -> BookingRow:
    """Raises NotFound."""
    return await tx.one(BOOKING_OF, organisation_id, booking_id)


async def lock_booking(tx: Tx, organisation_id: UUID, booking_id: UUID) -> BookingRow:
    """Held against other changes until the transaction ends. Raises NotFound."""
    return await tx.one(LOCK_BOOKING, organisation_id, booking_id)


async def lines_of(tx: Tx, organisation_id: UUID, booking_id: UUID) -> Lines:
    return await tx.one(LINES, organisation_id, booking_id)


class Window(msgspec.Struct, frozen=True):
    """Which bookings a list shows, and after which row it goes on."""

    statuses: list[str] | None
    after: datetime
    before: datetime
    key_at: datetime
    key_id: UUID
    limit: int


async def own_latest(tx: Tx, account_id: UUID, among: Sequence[UUID], w: Window) -> list[BookingRow]:
    """Of the organisations `among`: all in which the person has bookings."""
    return await tx.all(OWN_LATEST, account_id, w.statuses, w.after, w.before, w.key_at, w.key_id, w.limit, list(among))


async def own_soonest(tx: Tx, account_id: UUID, among: Sequence[UUID], w: Window) -> list[BookingRow]:
    return await tx.all(OWN_SOONEST, account_id, w.statuses, w.after, w.before, w.key_at, w.key_id, w.limit, list(among))


async def of_organisation(
    tx: Tx, organisation_id: UUID, w: Window, venue_id: UUID | None, resource_id: UUID | None, account_id: UUID | None
) -> list[BookingRow]:
    return await tx.all(
        OF_ORGANISATION,
        organisation_id,
        w.statuses,
        w.after,
        w.before,
        w.key_at,
        w.key_id,
        venue_id,
        resource_id,
        account_id,
        w.limit,
    )


async def of_venue(
    tx: Tx, organisation_id: UUID, venue_id: UUID, period: Period, statuses: Sequence[BookingStatus], limit: int
) -> list[BookingRow]:
    """Bookings that overlap `period`; one lasts a day at most, so the index is entered a day early."""
    values = [s.value for s in statuses]
    return await tx.all(OF_VENUE, organisation_id, venue_id, period.start, period.end, values, limit)


async def feed_bookings(
    tx: Tx, account_id: UUID, among: Sequence[UUID], since: datetime, statuses: Sequence[BookingStatus], limit: int
) -> list[BookingRow]:
    return await tx.all(FEED_BOOKINGS, account_id, since, [s.value for s in statuses], limit, list(among))


# -------------------------------------------------------------------------------------------------------------------- claims


class Claim(msgspec.Struct, frozen=True):
    """Taken time of one resource, buffers included."""

    resource_id: UUID
    starts_at: datetime
    ends_at: datetime


class Claimant(msgspec.Struct, frozen=True):
    resource_id: UUID
    starts_at: datetime
    ends_at: datetime
    booking_id: UUID | None
    block_id: UUID | None


# Under row security an index is entered through leakproof comparisons only; the middle term ends the scan, which it may
# because no claim is longer than 31 days (occupancy_is_bounded).
_TAKEN = (
    " from booking.occupancy o where o.organisation_id = $1 and o.resource_id = any($2::uuid[])"
    " and o.ends_at > $3 and o.ends_at <= $4 and o.starts_at < $5 and (o.expires_at is null or o.expires_at > $6)"
)
BUSY = Query(Claim, "select o.resource_id, o.starts_at, o.ends_at" + _TAKEN + " order by o.resource_id, o.starts_at limit $7")
CLAIMANTS = Query(
    Claimant,
    "select o.resource_id, o.starts_at, o.ends_at, o.booking_id, o.block_id"
    + _TAKEN
    + " order by o.starts_at, o.resource_id limit $7",
)


async def busy(tx: Tx, organisation_id: UUID, resource_ids: Sequence[UUID], period: Period, now: datetime) -> list[Claim]:
    """Claims that overlap `period`; holds that are over do not count."""
    return await tx.all(
        BUSY,
        organisation_id,
        list(resource_ids),
        period.start,
        period.end + MAX_CLAIM,
        period.end,
        now,
        MAX_CLAIMS_READ,
    )


CLAIMED = Query(
    UUID,
    "select r.id from unnest($2::uuid[]) as r (id) where exists (select from booking.occupancy o where o.organisation_id = $1"
    " and o.resource_id = r.id and o.ends_at > $3 and (o.expires_at is null or o.expires_at > $3))",
)


async def claimed(tx: Tx, organisation_id: UUID, resource_ids: Sequence[UUID], now: datetime) -> list[UUID]:
    """Those on which there is a claim that is not over; holds that are over do not count."""
    return await tx.all(CLAIMED, organisation_id, list(resource_ids), now)


CLAIMS_AMONG = Query(Claim, "select c.resource_id, c.starts_at, c.ends_at from booking.claims_among($1, $2, $3, $4, $5, $6) c")


class Within(msgspec.Struct, frozen=True):
    """Where and when claims are looked for."""

    organisation_id: UUID
    resource_id: UUID
    period: Period


async def claims_among(tx: Tx, asked: Sequence[Within], now: datetime) -> list[Claim]:
    """Claims at places of any organisations, each inside its own time; holds that are over do not count. In no order."""
    return await tx.all(
        CLAIMS_AMONG,
        [w.organisation_id for w in asked],
        [w.resource_id for w in asked],
        [w.period.start for w in asked],
        [w.period.end for w in asked],
        now,
        MAX_CLAIMS_READ,
    )


async def claimants(tx: Tx, organisation_id: UUID, resource_ids: Sequence[UUID], period: Period, now: datetime) -> list[Claimant]:
    """Who has claims that overlap `period`."""
    return await tx.all(
        CLAIMANTS,
        organisation_id,
        list(resource_ids),
        period.start,
        period.end + MAX_CLAIM,
        period.end,
        now,
        MAX_CLAIMS_READ,
    )


class NewRow(msgspec.Struct, frozen=True, kw_only=True):
    """A booking that is to be made, with its claim."""

    organisation_id: UUID
    id: UUID
    venue_id: UUID
    resource_id: UUID
    account_id: UUID | None
    guest_name: str | None
    status: BookingStatus
    period: Period
    timezone: str
    purpose: Purpose
    team_size: int
    currency: str
    list_minor: int
    price_minor: int
    lines: list[QuoteLine]
    tax: list[TaxLine]
    pay_with: PayWith | None
    promo_code: str | None
    quote_id: UUID | None
    note: str | None
    invitees: list[NewInvitee]
    hold_expires_at: datetime | None
    claimed: list[UUID]
    claim: Period
    made_by: UUID | None
    action: BookingAction
    actor: BookingActor
    due_at: datetime
    max_open: int
    """No booking is made beyond so many open ones of the account."""
    book_version: int
    """Of the venue's book that says what is claimed."""


class Held(msgspec.Struct, frozen=True):
    """What came of it: how many bookings were open before, how many claims were won, and whether the booking was written.

    `current` is false when the venue's book was too old to claim anything from, see `keep_out`; then nothing is won.
    """

    open: int
    claims: int
    booked: bool
    current: bool


# One statement, the event included. Holds that are over and in the way go first; the insert depends on the delete, so nothing
# waits for a sweeper. Claims are made in sorted order and skip what is taken: one winner, no deadlock. The booking is written
# only when every claim was won; the caller rolls back otherwise.
SAID_WITH_HOLD: LiteralString = ", said as (" + INSERT_EVENT + " values ($35, $36, $37, $38, $39, $40, $41, $42, $43, $44, $45))"
HOLD = Query(
    Held,
    """
    with gone as (
        delete from booking.occupancy o
         where o.organisation_id = $1 and o.resource_id = any($20::uuid[]) and o.ends_at > $21 and o.ends_at <= $24
           and o.starts_at < $22 and o.expires_at <= $23
        returning 1
    ), opened as (
        select count(*)::int as n from booking.booking b
         where b.account_id = $5 and b.organisation_id = $1 and b.starts_at > $23::timestamptz - interval '1 day'
           and b.ends_at > $23 and b.status = any($25::text[])
    ), known as (
        select not exists (select from booking.layout l where l.organisation_id = $1 and l.venue_id = $3 and l.version >= $46
                              and l.until > $23) as current
    ), claims as (
        insert into booking.occupancy (organisation_id, resource_id, during, booking_id, expires_at)
        select $1, r.id, tstzrange($21, $22, '[)'), $2, $19
          from unnest($20::uuid[]) with ordinality as r (id, n)
         where (select count(*) from gone) >= 0 and (select o.n from opened o) < $26 and (select k.current from known k)
         order by r.n
        on conflict do nothing
        returning 1
    ), booked as (
        insert into booking.booking
            (organisation_id, id, venue_id, resource_id, account_id, guest_name, status, starts_at, ends_at, timezone, purpose,
             team_size, currency, price_minor, lines, tax, pay_with, quote_id, hold_expires_at, claimed, claim_starts_at,
             claim_ends_at, note, invitees, made_by, created_at, updated_at, list_minor, promo_code)
        select $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15::text::jsonb, $16::text::jsonb, $17, $18, $19,
               $20, $21, $22, $27, $28::text::jsonb, $29, $23, $23, $33, $34
         where (select count(*) from claims) = cardinality($20::uuid[])
        on conflict do nothing
        returning 1
    ), told as (
        insert into booking.transition
            (organisation_id, booking_id, version, at, action, from_status, to_status, actor, account_id)
        select $1, $2, 1, $23, $30, 'draft', $7, $31, $29 from booked returning 1
    ), timed as (
        insert into booking.due (organisation_id, booking_id, at) select $1, $2, $32 from booked returning 1
    )"""
    + SAID_WITH_HOLD
    + """
    select (select o.n from opened o), (select count(*)::int from claims), exists (select from booked),
           (select k.current from known k)
    """,
)
_OPEN = [
    s.value
    for s in (BookingStatus.PENDING_APPROVAL, BookingStatus.PAYMENT_PENDING, BookingStatus.UPCOMING, BookingStatus.IN_PROGRESS)
]


async def hold(tx: Tx, new: NewRow, event: Event, now: datetime) -> Held:
    """Claims the place, writes the booking and tells of it. One round trip; see `HOLD`."""
    return await tx.one(
        HOLD,
        new.organisation_id,
        new.id,
        new.venue_id,
        new.resource_id,
        new.account_id,
        new.guest_name,
        new.status.value,
        new.period.start,
        new.period.end,
        new.timezone,
        new.purpose.value,
        new.team_size,
        new.currency,
        new.price_minor,
        to_json(new.lines),
        to_json(new.tax),
        None if new.pay_with is None else new.pay_with.value,
        new.quote_id,
        new.hold_expires_at,
        new.claimed,
        new.claim.start,
        new.claim.end,
        now,
        new.claim.end + MAX_CLAIM,
        _OPEN,
        new.max_open,
        new.note,
        to_json(new.invitees),
        new.made_by,
        new.action.value,
        new.actor.value,
        new.due_at,
        new.list_minor,
        new.promo_code,
        *emit_with(tx, event),
        new.book_version,
    )


KEEP_OUT = Statement(
    "insert into booking.layout as l (organisation_id, venue_id, version, until) values ($1, $2, $3, $4)"
    " on conflict (organisation_id, venue_id)"
    " do update set version = greatest(l.version, excluded.version), until = excluded.until"
)
CURRENT = Query(
    bool,
    "select not exists (select from booking.layout l where l.organisation_id = $1 and l.venue_id = $2 and l.version >= $3"
    " and l.until > $4)",
)


async def keep_out(tx: Tx, organisation_id: UUID, venue_id: UUID, version: int, until: datetime) -> None:
    """Until then nobody claims anything at the venue from a book of this version or an older one. Under the venue's lock."""
    await tx.run(KEEP_OUT, organisation_id, venue_id, version, until)


async def is_current(tx: Tx, organisation_id: UUID, venue_id: UUID, version: int, now: datetime) -> bool:
    """Whether something may be claimed from a book of this version. Under the venue's shared lock; a hold asks with its claim."""
    return await tx.one(CURRENT, organisation_id, venue_id, version, now)


# ------------------------------------------------------------------------------------------------------------------- changes


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a booking, decided on the row that was read. `due_at` None: the house has nothing more to do with it."""

    row: BookingRow
    to: BookingStatus
    action: BookingAction
    actor: BookingActor
    account_id: UUID | None
    now: datetime
    due_at: datetime | None
    detail: str = ""


_TOLD = """
    told as (
        insert into booking.transition
            (organisation_id, booking_id, version, at, action, from_status, to_status, actor, account_id, detail)
        select b.organisation_id, b.id, b.version, $5, $6, $7, b.status, $8, $9, $10 from changed b
        returning 1
    ), timed as (
        insert into booking.due (organisation_id, booking_id, at)
        select b.organisation_id, b.id, $12 from changed b where $12::timestamptz is not null
        on conflict (organisation_id, booking_id) do update set at = excluded.at
    ), untimed as (
        delete from booking.due d where d.organisation_id = $1 and d.booking_id = $2 and $12::timestamptz is null
           and exists (select from changed)
    )"""

ADVANCE = Query(
    BookingRow,
    "with changed as (update booking.booking b set status = $4, version = b.version + 1, updated_at = $5, hold_expires_at = $11,"
    " authorised_minor = 0"
    " where b.organisation_id = $1 and b.id = $2 and b.version = $3 returning b.*),"
    + _TOLD
    + " select "
    + _COLUMNS
    + " from changed b",
)
# Gives the place back with the step. Who was named with a booking that never stood was asked nothing, and is not kept.
LEAVE = Query(
    BookingRow,
    "with changed as (update booking.booking b set status = $4, version = b.version + 1, updated_at = $5, hold_expires_at = $11,"
    " authorised_minor = 0,"
    " invitees = case when b.status in ('pending_approval', 'payment_pending') then '[]'::jsonb else b.invitees end"
    " where b.organisation_id = $1 and b.id = $2 and b.version = $3 returning b.*), released as ("
    " delete from booking.occupancy o where o.organisation_id = $1 and o.resource_id = any($13::uuid[]) and o.ends_at = $15"
    " and o.starts_at = $14 and o.booking_id = $2 and exists (select from changed)),"
    + _TOLD
    + " select "
    + _COLUMNS
    + " from changed b",
)


# The claims become the customer's for good, and the event says so. A hold that was over and whose place somebody took has fewer
# claims than it made, and a booking that somebody else changed gives no row: the caller rolls back.
SAID_WITH_CONFIRM: LiteralString = (
    ", said as (" + INSERT_EVENT + " values ($20, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30))"
)
CONFIRM = Query(
    int,
    "with changed as (update booking.booking b set status = $4, version = b.version + 1, updated_at = $5, hold_expires_at = $11,"
    " paid_minor = $16, pay_with = $17, due_minor = $18, price_minor = $19, authorised_minor = 0"
    " where b.organisation_id = $1 and b.id = $2 and b.version = $3 returning b.*), kept as ("
    " update booking.occupancy o set expires_at = null where o.organisation_id = $1 and o.resource_id = any($13::uuid[])"
    " and o.ends_at = $15 and o.starts_at = $14 and o.booking_id = $2 and exists (select from changed) returning 1),"
    + _TOLD
    + SAID_WITH_CONFIRM
    + " select (select count(*)::int from kept) from changed b",
)


def _step(step: Step, hold_expires_at: datetime | None) -> tuple[object, ...]:
    row = step.row
    return (
        row.organisation_id,
        row.id,
        row.version,
        step.to.value,
        step.now,
        step.action.value,
        row.status.value,
        step.actor.value,
        step.account_id,
        step.detail,
        hold_expires_at,
        step.due_at,
    )


async def advance(tx: Tx, step: Step, hold_expires_at: datetime | None = None) -> BookingRow | None:
    """The booking after the step, its claims untouched; None when somebody else changed it first."""
    return await tx.maybe(ADVANCE, *_step(step, hold_expires_at))


async def leave(tx: Tx, step: Step) -> BookingRow | None:
    """The booking after a step that gives its place back; None when somebody else changed it first."""
    row = step.row
    return await tx.maybe(LEAVE, *_step(step, None), row.claimed, row.claim_starts_at, row.claim_ends_at)


class Receipt(msgspec.Struct, frozen=True):
    """What a booking was charged: `price_minor` is what it costs after a promo code, paid or due at the desk."""

    price_minor: int
    paid_minor: int
    due_minor: int
    pay_with: PayWith | None


async def confirm(tx: Tx, step: Step, receipt: Receipt, event: Event) -> int | None:
    """How many of its claims the booking still had; None when somebody else changed it first. The event is written all the
    same, so the caller rolls back then."""
    row = step.row
    return await tx.maybe(
        CONFIRM,
        *_step(step, None),
        row.claimed,
        row.claim_starts_at,
        row.claim_ends_at,
        receipt.paid_minor,
        None if receipt.pay_with is None else receipt.pay_with.value,
        receipt.due_minor,
        receipt.price_minor,
        *emit_with(tx, event),
    )


NOTE_AUTHORISED = Query(
    BookingRow,
    "with changed as (update booking.booking b set authorised_minor = $4, price_minor = $4, version = b.version + 1,"
    " updated_at = $5 where b.organisation_id = $1 and b.id = $2 and b.version = $3 and b.status = 'pending_approval'"
    " returning b.*), timed as (insert into booking.due (organisation_id, booking_id, at)"
    " select b.organisation_id, b.id, b.starts_at from changed b"
    " on conflict (organisation_id, booking_id) do update set at = excluded.at) select " + _COLUMNS + " from changed b",
)


async def note_authorised(tx: Tx, row: BookingRow, amount_minor: int, now: datetime) -> BookingRow | None:
    """So much is set aside for the request, which now waits for staff until it would begin. None when somebody else changed the
    booking first."""
    return await tx.maybe(NOTE_AUTHORISED, row.organisation_id, row.id, row.version, amount_minor, now)


CLAIM_HOLD = Statement(
    "update booking.occupancy o set expires_at = $6 where o.organisation_id = $1 and o.resource_id = any($2::uuid[])"
    " and o.ends_at = $4 and o.starts_at = $3 and o.booking_id = $5"
)


async def limit_claim(tx: Tx, row: BookingRow, expires_at: datetime) -> None:
    """The claims of a booking become a hold."""
    await tx.run(CLAIM_HOLD, row.organisation_id, row.claimed, row.claim_starts_at, row.claim_ends_at, row.id, expires_at)


# --- moving ---


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """Where a booking goes and what it costs there."""

    venue_id: UUID
    resource_id: UUID
    period: Period
    claimed: list[UUID]
    claim: Period
    timezone: str
    purpose: Purpose
    team_size: int
    list_minor: int
    price_minor: int
    paid_minor: int
    due_minor: int
    lines: list[QuoteLine]
    tax: list[TaxLine]


class Moved(msgspec.Struct, frozen=True):
    claims: int
    version: int


# The old claims go and the new ones are made in one statement, so a booking may move onto a part of its own old time. When
# somebody has the new place there are fewer claims than asked: the caller rolls back, and the old place was never lost.
RELEASE_FOR_MOVE = Statement(
    "delete from booking.occupancy o where o.organisation_id = $1 and o.resource_id = any($2::uuid[]) and o.ends_at = $4"
    " and o.starts_at = $3 and o.booking_id = $5"
)
MOVE = Query(
    Moved,
    """
    with changed as (
        update booking.booking b
           set venue_id = $13, resource_id = $14, starts_at = $15, ends_at = $16, claimed = $17, claim_starts_at = $18,
               claim_ends_at = $19, timezone = $20, purpose = $21, team_size = $22, price_minor = $23, paid_minor = $24,
               lines = $25::text::jsonb, tax = $26::text::jsonb, status = $4, version = b.version + 1, updated_at = $5,
               hold_expires_at = $11, due_minor = $28, list_minor = $29
         where b.organisation_id = $1 and b.id = $2 and b.version = $3 returning b.*
    ), gone as (
        delete from booking.occupancy o
         where o.organisation_id = $1 and o.resource_id = any($17::uuid[]) and o.ends_at > $18 and o.ends_at <= $27
           and o.starts_at < $19 and o.expires_at <= $5 and o.booking_id is distinct from $2
        returning 1
    ), claims as (
        insert into booking.occupancy (organisation_id, resource_id, during, booking_id, expires_at)
        select $1, r.id, tstzrange($18, $19, '[)'), $2, $11
          from unnest($17::uuid[]) with ordinality as r (id, n)
         where (select count(*) from gone) >= 0 and exists (select from changed)
         order by r.n
        on conflict do nothing
        returning 1
    ),"""
    + _TOLD
    + " select (select count(*)::int from claims), b.version from changed b",
)


async def move(tx: Tx, step: Step, to: Move, hold_expires_at: datetime | None) -> Moved | None:
    """Moves the booking; fewer claims than asked means that the new place is taken. None: somebody else changed it first."""
    row = step.row
    await tx.run(RELEASE_FOR_MOVE, row.organisation_id, row.claimed, row.claim_starts_at, row.claim_ends_at, row.id)
    return await tx.maybe(
        MOVE,
        *_step(step, hold_expires_at),
        to.venue_id,
        to.resource_id,
        to.period.start,
        to.period.end,
        to.claimed,
        to.claim.start,
        to.claim.end,
        to.timezone,
        to.purpose.value,
        to.team_size,
        to.price_minor,
        to.paid_minor,
        to_json(to.lines),
        to_json(to.tax),
        to.claim.end + MAX_CLAIM,
        to.due_minor,
        to.list_minor,
    )


NOTE_PAID = Query(
    int,
    "update booking.booking b set paid_minor = $3, due_minor = $4, version = b.version + 1, updated_at = $5"
    " where b.organisation_id = $1 and b.id = $2 and b.paid_minor = 0 and b.due_minor = 0 returning b.version",
)
DESK_PAID = Statement(
    "update booking.booking b set paid_minor = b.paid_minor + least($3, b.due_minor),"
    " due_minor = b.due_minor - least($3, b.due_minor),"
    " version = b.version + 1, updated_at = $4 where b.organisation_id = $1 and b.id = $2"
)
HURRY = Statement(
    "insert into booking.due as d (organisation_id, booking_id, at) select b.organisation_id, b.id, $3 from booking.booking b"
    " where b.organisation_id = $1 and b.id = any($2::uuid[]) and (b.status in ('payment_pending', 'pending_approval')"
    "  or (b.status in ('expired', 'cancelled', 'declined') and b.paid_minor = 0 and b.due_minor = 0))"
    " on conflict (organisation_id, booking_id) do update set at = excluded.at where d.at > excluded.at"
)

HURRY_REFUNDED = Statement(
    "insert into booking.due as d (organisation_id, booking_id, at) select b.organisation_id, b.id, $3 from booking.booking b"
    " where b.organisation_id = $1 and b.id = any($2::uuid[]) and b.paid_minor + b.due_minor > b.refunded_minor"
    " on conflict (organisation_id, booking_id) do update set at = excluded.at where d.at > excluded.at"
)
SET_BILL = Statement(
    "update booking.booking b set lines = $3::text::jsonb, tax = $4::text::jsonb where b.organisation_id = $1 and b.id = $2"
)
NOTE_GIVEN_BACK = Query(
    BookingRow,
    "with changed as (update booking.booking b set refunded_minor = b.refunded_minor + $4::bigint,"
    " due_minor = b.due_minor - $5::bigint, version = b.version + 1, updated_at = $6"
    " where b.organisation_id = $1 and b.id = $2 and b.version = $3 returning b.*) select " + _COLUMNS + " from changed b",
)


SET_PAID = Query(
    BookingRow,
    "with changed as (update booking.booking b set paid_minor = greatest($4, b.refunded_minor), version = b.version + 1,"
    " updated_at = $5 where b.organisation_id = $1 and b.id = $2 and b.version = $3 returning b.*) select "
    + _COLUMNS
    + " from changed b",
)


async def set_paid(tx: Tx, row: BookingRow, paid_minor: int, now: datetime) -> BookingRow | None:
    """What has been paid in all. None when somebody else changed the booking first."""
    return await tx.maybe(SET_PAID, row.organisation_id, row.id, row.version, paid_minor, now)


async def note_paid(tx: Tx, row: BookingRow, receipt: Receipt, now: datetime) -> None:
    """Money that came for a booking which no longer takes any; it goes back by an errand."""
    await tx.maybe(NOTE_PAID, row.organisation_id, row.id, receipt.paid_minor, receipt.due_minor, now)


async def desk_paid(tx: Tx, organisation_id: UUID, booking_id: UUID, amount_minor: int, now: datetime) -> None:
    """What was due at the desk was received there."""
    await tx.run(DESK_PAID, organisation_id, booking_id, amount_minor, now)


async def hurry(tx: Tx, organisation_id: UUID, booking_ids: Sequence[UUID], at: datetime) -> None:
    """Those that still wait for payment, or no longer do, are looked at by `at`: their money has come."""
    await tx.run(HURRY, organisation_id, list(booking_ids), at)


async def hurry_refunded(tx: Tx, organisation_id: UUID, booking_ids: Sequence[UUID], at: datetime) -> None:
    """Those that still count on money are looked at by `at`: some of it was given back."""
    await tx.run(HURRY_REFUNDED, organisation_id, list(booking_ids), at)


async def set_bill(tx: Tx, row: BookingRow, lines: list[QuoteLine], tax: list[TaxLine]) -> None:
    """Goes with the step that changes the price, in its transaction."""
    await tx.run(SET_BILL, row.organisation_id, row.id, to_json(lines), to_json(tax))


async def note_given_back(tx: Tx, row: BookingRow, back_minor: int, waived_minor: int, now: datetime) -> BookingRow | None:
    """What went back, and what is no longer due, past the booking. None when somebody else changed it first."""
    return await tx.maybe(NOTE_GIVEN_BACK, row.organisation_id, row.id, row.version, back_minor, waived_minor, now)


SET_NOTE = Query(
    BookingRow,
    "with changed as (update booking.booking b set note = $4, version = b.version + 1, updated_at = $5"
    " where b.organisation_id = $1 and b.id = $2 and b.version = $3 returning b.*) select " + _COLUMNS + " from changed b",
)


async def set_note(tx: Tx, row: BookingRow, note: str | None, now: datetime) -> BookingRow | None:
    """None when somebody else changed it first."""
    return await tx.maybe(SET_NOTE, row.organisation_id, row.id, row.version, note, now)


# -------------------------------------------------------------------------------------------------------------------- history


class TransitionRow(msgspec.Struct, frozen=True):
    version: int
    at: datetime
    action: str
    from_status: BookingStatus
    to_status: BookingStatus
    actor: BookingActor
    account_id: UUID | None
    detail: str


HISTORY = Query(
    TransitionRow,
    "select t.version, t.at, t.action, t.from_status, t.to_status, t.actor, t.account_id, t.detail from booking.transition t"
    " where t.organisation_id = $1 and t.booking_id = $2 order by t.version limit 500",
)


async def history(tx: Tx, organisation_id: UUID, booking_id: UUID) -> list[TransitionRow]:
    """At most 500 steps."""
    return await tx.all(HISTORY, organisation_id, booking_id)


# --------------------------------------------------------------------------------------------------------------------- errands


class Errand(msgspec.Struct, frozen=True):
    """Money on its way because of a change; `kind` is `charge`, `back`, `refund` or `release` (see booking.errand)."""

    id: UUID
    booking_id: UUID
    kind: str
    amount_minor: int
    currency: str
    reason: str


ADD_ERRAND = Statement(
    "insert into booking.errand (organisation_id, id, booking_id, kind, amount_minor, currency, reason, created_at)"
    " values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict do nothing"
)
ERRANDS = Query(
    Errand,
    "select e.id, e.booking_id, e.kind, e.amount_minor, e.currency, e.reason from booking.errand e"
    " where e.organisation_id = $1 and e.booking_id = $2 order by e.created_at, e.id limit 50",
)
END_CHARGE = Statement("delete from booking.errand where organisation_id = $1 and id = $2 and kind = 'charge'")
TURN_BACK = Statement("update booking.errand set kind = 'back' where organisation_id = $1 and id = $2 and kind = 'charge'")
END_REFUND = Query(
    int,
    "with done as (delete from booking.errand e where e.organisation_id = $1 and e.id = $2 and e.kind = 'refund'"
    " returning e.booking_id) update booking.booking b set refunded_minor = b.refunded_minor + $3::bigint,"
    " due_minor = b.due_minor - $4::bigint"
    " from done d where b.organisation_id = $1 and b.id = d.booking_id returning 1",
)
DROP_ERRAND = Statement("delete from booking.errand where organisation_id = $1 and id = $2")


async def add_errand(tx: Tx, row: BookingRow, errand: Errand, now: datetime) -> None:
    await tx.run(
        ADD_ERRAND,
        row.organisation_id,
        errand.id,
        errand.booking_id,
        errand.kind,
        errand.amount_minor,
        errand.currency,
        errand.reason,
        now,
    )


async def errands(tx: Tx, organisation_id: UUID, booking_id: UUID) -> list[Errand]:
    return await tx.all(ERRANDS, organisation_id, booking_id)


async def end_charge(tx: Tx, organisation_id: UUID, errand_id: UUID) -> bool:
    """The change that was charged for is being written. False when the money is being given back already."""
    return await tx.run(END_CHARGE, organisation_id, errand_id) == 1


async def turn_back(tx: Tx, organisation_id: UUID, errand_id: UUID) -> bool:
    """The change did not happen: what was charged goes back. False when the change did happen."""
    return await tx.run(TURN_BACK, organisation_id, errand_id) == 1


async def end_refund(tx: Tx, organisation_id: UUID, errand_id: UUID, back_minor: int, waived_minor: int) -> None:
    """The money is back, or no longer due: noted once, on the booking."""
    await tx.maybe(END_REFUND, organisation_id, errand_id, back_minor, waived_minor)


async def drop_errand(tx: Tx, organisation_id: UUID, errand_id: UUID) -> None:
    await tx.run(DROP_ERRAND, organisation_id, errand_id)


# ------------------------------------------------------------------------------------------------------------------------- due


class Due(msgspec.Struct, frozen=True):
    organisation_id: UUID
    booking_id: UUID
    at: datetime


DUE = Sweep(
    Due,
    "select d.organisation_id, d.booking_id, d.at from booking.due d where d.at <= $1"
    " order by d.at, d.organisation_id, d.booking_id limit $2",
)


class Busiest(msgspec.Struct, frozen=True):
    """An organisation."""

    id: UUID
    due: int


class Booked(msgspec.Struct, frozen=True):
    """A venue."""

    id: UUID
    bookings: int


BUSIEST = Sweep(
    Busiest,
    "select s.organisation_id, count(*)::int from (select d.organisation_id from booking.due d"
    " where d.at >= $1 and d.at < $2 order by d.at limit $3) s"
    " group by s.organisation_id order by count(*) desc, s.organisation_id limit $4",
)
BUSIEST_VENUES = Query(
    Booked,
    "select s.venue_id, count(*)::int from (select b.venue_id from booking.booking b where b.organisation_id = $1"
    " and b.starts_at >= $2 and b.starts_at < $3 and b.status = 'upcoming' order by b.starts_at, b.id limit $4) s"
    " group by s.venue_id order by count(*) desc, s.venue_id limit $5",
)
SET_DUE = Statement(
    "insert into booking.due (organisation_id, booking_id, at) values ($1, $2, $3)"
    " on conflict (organisation_id, booking_id) do update set at = excluded.at"
)
NOT_DUE = Statement("delete from booking.due where organisation_id = $1 and booking_id = $2")
# What time alone does, for many bookings at once: those whose time has come begin, those whose time is over are completed and
# give their place back. A booking with money on its way is left to be looked at by itself. The buffer after a booking outlives
# it: its claims end by themselves when the buffer does, and the booking is due once more then, so that `swept` removes them.
PASS_TIME = Query(
    BookingRow,
    """
    with chosen as (
        select b.organisation_id, b.id, b.status as before,
               case when b.ends_at <= $3 then 'completed' else 'in_progress' end as after
          from booking.booking b
         where b.organisation_id = $1 and b.id = any($2::uuid[]) and b.starts_at <= $3
           and (b.status = 'upcoming' or (b.status = 'in_progress' and b.ends_at <= $3))
           and not exists (select from booking.errand e where e.organisation_id = $1 and e.booking_id = b.id)
         order by b.id for update
    ), changed as (
        update booking.booking b set status = c.after, version = b.version + 1, updated_at = $3
          from chosen c where b.organisation_id = c.organisation_id and b.id = c.id
        returning b.*
    ), released as (
        delete from booking.occupancy o using changed b
         where o.organisation_id = $1 and b.status = 'completed' and b.claim_ends_at <= $3 and o.resource_id = any(b.claimed)
           and o.ends_at = b.claim_ends_at and o.starts_at = b.claim_starts_at and o.booking_id = b.id
    ), buffered as (
        update booking.occupancy o set expires_at = b.claim_ends_at from changed b
         where o.organisation_id = $1 and b.status = 'completed' and b.claim_ends_at > $3 and o.resource_id = any(b.claimed)
           and o.ends_at = b.claim_ends_at and o.starts_at = b.claim_starts_at and o.booking_id = b.id
    ), swept as (
        delete from booking.occupancy o using booking.booking b
         where b.organisation_id = $1 and b.id = any($2::uuid[]) and b.status = 'completed' and b.claim_ends_at <= $3
           and o.organisation_id = $1 and o.resource_id = any(b.claimed)
           and o.ends_at = b.claim_ends_at and o.starts_at = b.claim_starts_at and o.booking_id = b.id
    ), told as (
        insert into booking.transition (organisation_id, booking_id, version, at, action, from_status, to_status, actor)
        select b.organisation_id, b.id, b.version, $3, case when b.status = 'completed' then 'complete' else 'begin' end,
               c.before, b.status, 'house'
          from changed b join chosen c on c.id = b.id
        returning 1
    ), timed as (
        update booking.due d set at = case when b.status = 'completed' then b.claim_ends_at else b.ends_at end from changed b
         where d.organisation_id = $1 and d.booking_id = b.id and (b.status = 'in_progress' or b.claim_ends_at > $3)
    ), untimed as (
        delete from booking.due d using changed b
         where d.organisation_id = $1 and d.booking_id = b.id and b.status = 'completed' and b.claim_ends_at <= $3
    )
    select """
    + _COLUMNS
    + " from changed b",
)


async def due(tx: Tx, now: datetime) -> list[Due]:
    """Bookings of every organisation that need the house now, longest due first, at most MAX_DUE. Not about anybody."""
    return await tx.all(DUE, now, MAX_DUE)


async def busiest_organisations(tx: Tx, after: datetime, before: datetime) -> list[Busiest]:
    """By what is booked there between these times, most first; of very full ones the beginning counts. Not about anybody."""
    return await tx.all(BUSIEST, after, before, MAX_COUNTED, MAX_BUSIEST)


async def busiest_venues(tx: Tx, organisation_id: UUID, after: datetime, before: datetime) -> list[Booked]:
    """Of one organisation, in the same way."""
    return await tx.all(BUSIEST_VENUES, organisation_id, after, before, MAX_COUNTED_EACH, MAX_BUSIEST)


async def set_due(tx: Tx, organisation_id: UUID, booking_id: UUID, at: datetime | None) -> None:
    if at is None:
        await tx.run(NOT_DUE, organisation_id, booking_id)
    else:
        await tx.run(SET_DUE, organisation_id, booking_id, at)


async def pass_time(tx: Tx, organisation_id: UUID, booking_ids: Sequence[UUID], now: datetime) -> list[BookingRow]:
    """Begins and completes those of the bookings whose time has come; returns them as they are now."""
    return await tx.all(PASS_TIME, organisation_id, list(booking_ids), now)


# ---------------------------------------------------------------------------------------------------------------------- quotes


class QuoteRow(msgspec.Struct, frozen=True):
    id: UUID
    account_id: UUID
    resource_id: UUID
    starts_at: datetime
    duration_min: int
    purpose: Purpose
    team_size: int
    promo_code: str | None
    currency: str
    list_minor: int
    total_minor: int
    lines: list[QuoteLine]
    tax: list[TaxLine]
    expires_at: datetime


QUOTE_KEPT = timedelta(days=1)
# Those of the organisation that ran out long ago go with it.
ADD_QUOTE = Query(
    QuoteRow,
    "with gone as (delete from booking.quote o where o.organisation_id = $1 and o.expires_at < $16)"
    " insert into booking.quote as q (organisation_id, id, account_id, resource_id, starts_at, duration_min, purpose, team_size,"
    " promo_code, currency, list_minor, total_minor, lines, tax, expires_at)"
    " values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13::text::jsonb, $14::text::jsonb, $15) on conflict do nothing"
    " returning q.id, q.account_id, q.resource_id, q.starts_at, q.duration_min, q.purpose, q.team_size, q.promo_code, q.currency,"
    " q.list_minor, q.total_minor, q.lines, q.tax, q.expires_at",
)
QUOTE = Query(
    QuoteRow,
    "select q.id, q.account_id, q.resource_id, q.starts_at, q.duration_min, q.purpose, q.team_size, q.promo_code, q.currency,"
    " q.list_minor, q.total_minor, q.lines, q.tax, q.expires_at from booking.quote q"
    " where q.organisation_id = $1 and q.id = $2 and q.account_id = $3",
)


async def add_quote(tx: Tx, organisation_id: UUID, made: QuoteRow) -> QuoteRow:
    """The quote; what was said before, when it was made under the same id. Raises NotFound when that was somebody else's."""
    kept = await tx.maybe(
        ADD_QUOTE,
        organisation_id,
        made.id,
        made.account_id,
        made.resource_id,
        made.starts_at,
        made.duration_min,
        made.purpose.value,
        made.team_size,
        made.promo_code,
        made.currency,
        made.list_minor,
        made.total_minor,
        to_json(made.lines),
        to_json(made.tax),
        made.expires_at,
        made.expires_at - QUOTE_KEPT,
    )
    return kept or await quote(tx, organisation_id, made.id, made.account_id)


async def quote(tx: Tx, organisation_id: UUID, quote_id: UUID, account_id: UUID) -> QuoteRow:
    """Raises NotFound for a quote that is absent or somebody else's."""
    return await tx.one(QUOTE, organisation_id, quote_id, account_id)


# ---------------------------------------------------------------------------------------------------------------------- blocks


class BlockRow(msgspec.Struct, frozen=True):
    organisation_id: UUID
    id: UUID
    venue_id: UUID
    resource_ids: list[UUID]
    starts_at: datetime
    ends_at: datetime
    until: datetime
    reason: str
    rrule: str | None


_BLOCK = "k.organisation_id, k.id, k.venue_id, k.resource_ids, k.starts_at, k.ends_at, k.until, k.reason, k.rrule"
ADD_BLOCK = Statement(
    "insert into booking.block (organisation_id, id, venue_id, resource_ids, starts_at, ends_at, until, reason, rrule, made_by,"
    " created_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"
)
CLAIM_BLOCK = Query(
    int,
    """
    with gone as (
        delete from booking.occupancy o
         using unnest($4::timestamptz[], $5::timestamptz[], $7::timestamptz[]) as p (starts_at, ends_at, until)
         where o.organisation_id = $1 and o.resource_id = any($2::uuid[]) and o.ends_at > p.starts_at
           and o.ends_at <= p.until and o.starts_at < p.ends_at and o.expires_at <= $6
        returning 1
    ), claims as (
        insert into booking.occupancy (organisation_id, resource_id, during, block_id)
        select $1, r.id, tstzrange(p.starts_at, p.ends_at, '[)'), $3
          from unnest($2::uuid[]) as r (id), unnest($4::timestamptz[], $5::timestamptz[]) as p (starts_at, ends_at)
         where (select count(*) from gone) >= 0
         order by r.id, p.starts_at
        on conflict do nothing
        returning 1
    )
    select count(*)::int from claims
    """,
)
BLOCK = Query(BlockRow, "select " + _BLOCK + " from booking.block k where k.organisation_id = $1 and k.id = $2")
BLOCKS = Query(
    BlockRow,
    "select " + _BLOCK + " from booking.block k where k.organisation_id = $1 and ($2::uuid is null or k.venue_id = $2)"
    " and k.until > $3 and (k.starts_at, k.id) > ($4, $5) order by k.starts_at, k.id limit $6",
)
RELEASE_BLOCK = Statement("delete from booking.occupancy o where o.organisation_id = $1 and o.block_id = $2")
END_BLOCK = Statement("delete from booking.block k where k.organisation_id = $1 and k.id = $2")


class Blocked(msgspec.Struct, frozen=True):
    """One stretch of a block on one resource."""

    resource_id: UUID
    starts_at: datetime
    ends_at: datetime
    block_id: UUID
    reason: str


BLOCKED = Query(
    Blocked,
    "select o.resource_id, o.starts_at, o.ends_at, k.id, k.reason from booking.occupancy o"
    " join booking.block k on k.organisation_id = o.organisation_id and k.id = o.block_id"
    " where o.organisation_id = $1 and o.resource_id = any($2::uuid[]) and o.ends_at > $3 and o.ends_at <= $4"
    " and o.starts_at < $5 order by o.starts_at, o.resource_id limit 5000",
)


async def add_block(tx: Tx, block: BlockRow, made_by: UUID | None, now: datetime) -> None:
    await tx.run(
        ADD_BLOCK,
        block.organisation_id,
        block.id,
        block.venue_id,
        block.resource_ids,
        block.starts_at,
        block.ends_at,
        block.until,
        block.reason,
        block.rrule,
        made_by,
        now,
    )


async def claim_block(tx: Tx, block: BlockRow, claimed: Sequence[UUID], times: Sequence[Period], now: datetime) -> int:
    """Claims every time on every resource; returns how many claims were won. Fewer than asked: roll back."""
    starts, ends = [p.start for p in times], [p.end for p in times]
    untils = [end + MAX_CLAIM for end in ends]
    return await tx.one(CLAIM_BLOCK, block.organisation_id, list(claimed), block.id, starts, ends, now, untils)


async def block(tx: Tx, organisation_id: UUID, block_id: UUID) -> BlockRow:
    """Raises NotFound."""
    return await tx.one(BLOCK, organisation_id, block_id)


async def blocks(
    tx: Tx, organisation_id: UUID, venue_id: UUID | None, ending_after: datetime, key: tuple[datetime, UUID], limit: int
) -> list[BlockRow]:
    return await tx.all(BLOCKS, organisation_id, venue_id, ending_after, *key, limit)


async def end_block(tx: Tx, organisation_id: UUID, block_id: UUID) -> None:
    await tx.run(RELEASE_BLOCK, organisation_id, block_id)
    await tx.run(END_BLOCK, organisation_id, block_id)


async def blocked(tx: Tx, organisation_id: UUID, resource_ids: Sequence[UUID], period: Period) -> list[Blocked]:
    """Stretches of blocks that overlap `period`."""
    return await tx.all(BLOCKED, organisation_id, list(resource_ids), period.start, period.end + MAX_CLAIM, period.end)


# ------------------------------------------------------------------------------------------------------------------------ feed

SET_FEED = Statement(
    "insert into booking.feed (account_id, token_hash, created_at) values ($1, $2, $3)"
    " on conflict (account_id) do update set token_hash = excluded.token_hash, created_at = excluded.created_at"
)
END_FEED = Statement("delete from booking.feed where account_id = $1")
FEED_OWNER = Query(UUID, "select f.account_id from booking.feed f where f.token_hash = $1")


async def set_feed(tx: Tx, account_id: UUID, token_hash: bytes, now: datetime) -> None:
    await tx.run(SET_FEED, account_id, token_hash, now)


async def end_feed(tx: Tx, account_id: UUID) -> None:
    await tx.run(END_FEED, account_id)


async def feed_owner(tx: Tx, token_hash: bytes) -> UUID:
    """Whose calendar a token opens. Raises NotFound."""
    return await tx.one(FEED_OWNER, token_hash)


class ResourceFeed(msgspec.Struct, frozen=True):
    """What a token of staff opens."""

    organisation_id: UUID
    venue_id: UUID
    resource_id: UUID


SET_RESOURCE_FEED = Statement(
    "insert into booking.resource_feed (organisation_id, resource_id, venue_id, token_hash, made_by, created_at)"
    " values ($1, $2, $3, $4, $5, $6) on conflict (organisation_id, resource_id) do update"
    " set token_hash = excluded.token_hash, made_by = excluded.made_by, created_at = excluded.created_at"
)
END_RESOURCE_FEED = Statement("delete from booking.resource_feed where organisation_id = $1 and resource_id = $2")
HAS_RESOURCE_FEED = Query(
    bool, "select exists (select from booking.resource_feed f where f.organisation_id = $1 and f.resource_id = $2)"
)
RESOURCE_FEED = Query(
    ResourceFeed, "select f.organisation_id, f.venue_id, f.resource_id from booking.resource_feed f where f.token_hash = $1"
)
# Also what was booked as a part of something larger, or as a whole of which this is a part.
RESOURCE_BOOKINGS = Query(
    BookingRow,
    _SELECT + " where b.organisation_id = $1 and b.venue_id = $2 and b.starts_at > $4 and b.status = any($5::text[])"
    " and b.claimed && $3::uuid[] order by b.starts_at, b.id limit $6",
)


FIGURES = Query(
    BookingFigures,
    "select $1::uuid, (count(*) filter (where b.status = any($4::text[])))::int,"
    " coalesce(sum(extract(epoch from b.ends_at - b.starts_at) / 60) filter (where b.status = any($4::text[])), 0)::bigint,"
    " (count(*) filter (where b.status = 'cancelled'))::int, (count(*) filter (where b.status = 'no_show'))::int"
    " from booking.booking b where b.organisation_id = $1 and b.starts_at >= $2 and b.starts_at < $3",
)


async def figures(tx: Tx, organisation_id: UUID, period: Period, counted: Sequence[BookingStatus]) -> BookingFigures:
    """`counted` are the statuses of bookings that stand."""
    return await tx.one(FIGURES, organisation_id, period.start, period.end, [s.value for s in counted])


async def set_resource_feed(tx: Tx, feed: ResourceFeed, token_hash: bytes, made_by: UUID | None, now: datetime) -> None:
    await tx.run(SET_RESOURCE_FEED, feed.organisation_id, feed.resource_id, feed.venue_id, token_hash, made_by, now)


async def end_resource_feed(tx: Tx, organisation_id: UUID, resource_id: UUID) -> None:
    await tx.run(END_RESOURCE_FEED, organisation_id, resource_id)


async def has_resource_feed(tx: Tx, organisation_id: UUID, resource_id: UUID) -> bool:
    return await tx.one(HAS_RESOURCE_FEED, organisation_id, resource_id)


async def resource_feed(tx: Tx, token_hash: bytes) -> ResourceFeed:
    """What a token opens. Raises NotFound."""
    return await tx.one(RESOURCE_FEED, token_hash)


async def resource_bookings(
    tx: Tx, feed: ResourceFeed, claimed: Sequence[UUID], since: datetime, statuses: Sequence[BookingStatus], limit: int
) -> list[BookingRow]:
    """Bookings that have a claim on any of `claimed`."""
    values = [s.value for s in statuses]
    return await tx.all(RESOURCE_BOOKINGS, feed.organisation_id, feed.venue_id, list(claimed), since, values, limit)
