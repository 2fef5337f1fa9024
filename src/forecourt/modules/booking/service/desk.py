"""What staff do: book for others and for whoever walks in, and see the day."""

from __future__ import annotations

from datetime import date, datetime
from uuid import UUID

from forecourt.kernel.context import Context
from forecourt.kernel.errors import Invalid, NotFound
from forecourt.kernel.ids import new_id
from forecourt.modules.booking import queries, rules
from forecourt.modules.booking.contract import (
    BookingActor,
    BookingOut,
    BookingStatus,
    DaySheet,
    NewBooking,
    Pay,
    SheetEntry,
    StaffBooking,
)
from forecourt.modules.booking.queries import BookingRow
from forecourt.modules.booking.service.base import organisation, present
from forecourt.modules.booking.service.pricing import plan
from forecourt.modules.booking.service.reading import Reading
from forecourt.modules.venues.contract.calendar import day_bounds, open_periods

MAX_ENTRIES = 5_000
ASKED_AT_ONCE = 200
ON_THE_SHEET = (
    BookingStatus.PENDING_APPROVAL,
    BookingStatus.PAYMENT_PENDING,
    BookingStatus.UPCOMING,
    BookingStatus.IN_PROGRESS,
    BookingStatus.COMPLETED,
    BookingStatus.NO_SHOW,
)


class Desk(Reading):
    async def book_for(self, ctx: Context, wish: StaffBooking) -> BookingOut:
        """Books for an account, an e-mail address that has one, or a walk-in by name. Notice and limits do not bind staff.

        Raises SlotTaken, VenueClosed, CapacityExceeded, Invalid, NotFound, and what `Payments.charge` raises.
        """
        organisation_id = organisation(ctx)
        account_id, guest_name = await self._guest(ctx, wish)
        book, resource = await self.books.of_resource(wish.resource_id)
        if book.venue.organisation_id != organisation_id:
            raise NotFound
        planned = plan(book, resource, wish.start, wish.duration_min, wish.purpose, wish.team_size)
        rules.check_place(book, resource, planned.period, wish.purpose, planned.team_size)
        if planned.period.end <= self.clock.now():
            raise Invalid.field("start", "lies in the past, and so does the end")
        ask = NewBooking(
            wish.resource_id, wish.start, wish.duration_min, wish.purpose, wish.team_size, pay_with=wish.pay_with, note=wish.note
        )
        booking_id = ctx.idempotency_id or new_id()
        row = await self._again(
            ctx,
            booking_id,
            lambda: self._hold(
                ctx,
                planned,
                booking_id,
                bill=planned.bill,
                list_minor=planned.bill.total.amount,
                promo_code=None,
                account_id=account_id,
                guest_name=guest_name,
                wish=ask,
                actor=BookingActor.STAFF,
            ),
            staff_of=organisation_id,
        )
        if wish.pay_with is None or row.status is not BookingStatus.PAYMENT_PENDING:
            return present(row)
        return await self._pay_or_release(ctx, row, Pay(wish.pay_with))

    async def _guest(self, ctx: Context, wish: StaffBooking) -> tuple[UUID | None, str | None]:
        """The account, or the walk-in's name."""
        if sum(given is not None for given in (wish.account_id, wish.email, wish.name)) != 1:
            raise Invalid.field("account_id", "name one: an account, an e-mail address, or a walk-in")
        if wish.name is not None:
            return None, wish.name
        if wish.email is not None:
            card = await self.identity.account_by_email(ctx, wish.email)
            if card is None:
                raise Invalid.field("email", "belongs to no account; book by name instead")
            return card.id, None
        cards = await self.identity.accounts(ctx, [] if wish.account_id is None else [wish.account_id])
        if not cards:
            raise Invalid.field("account_id", "is not an account")
        return cards[0].id, None

    # --- the day sheet

    async def day(self, ctx: Context, venue_id: UUID, day: date) -> DaySheet:
        """A venue's local day: when it is open, and every booking and block on it. Raises NotFound."""
        organisation_id = organisation(ctx)
        book = await self.books.of_venue(venue_id)
        if book.venue.organisation_id != organisation_id:
            raise NotFound
        if not 2000 <= day.year <= 2199:
            raise Invalid.field("date", "is not between the years 2000 and 2199")
        bounds = day_bounds(book, day)
        resource_ids = [r.id for r in book.resources]
        async with self.db.read(ctx) as tx:
            rows = await queries.of_venue(tx, organisation_id, venue_id, bounds, ON_THE_SHEET, MAX_ENTRIES)
            blocked = await queries.blocked(tx, organisation_id, resource_ids, bounds)
        names = await self._names(ctx, rows)
        now = self.clock.now()
        entries = [_booked(row, names) for row in rows if not _is_over(row, now)]
        entries += [
            SheetEntry(resource_id=b.resource_id, start=b.starts_at, end=b.ends_at, block_id=b.block_id, title=b.reason)
            for b in blocked
        ]
        opened = [p for p in open_periods(book, day) if p.overlaps(bounds)]
        return DaySheet(venue_id, day, book.venue.timezone, bounds.start, bounds.end, opened, entries)

    async def _names(self, ctx: Context, rows: list[BookingRow]) -> dict[UUID, str]:
        ids = list({row.account_id for row in rows if row.account_id is not None})
        names: dict[UUID, str] = {}
        for i in range(0, len(ids), ASKED_AT_ONCE):
            names |= {card.id: card.name for card in await self.identity.accounts(ctx, ids[i : i + ASKED_AT_ONCE])}
        return names


def _is_over(row: BookingRow, now: datetime) -> bool:
    """A hold that ran out no longer has its place, whether or not somebody noted it."""
    expires = row.hold_expires_at
    return row.status is BookingStatus.PAYMENT_PENDING and expires is not None and rules.hold_is_over(expires, now)


def _booked(row: BookingRow, names: dict[UUID, str]) -> SheetEntry:
    title = row.guest_name or ("" if row.account_id is None else names.get(row.account_id, ""))
    return SheetEntry(
        resource_id=row.resource_id,
        start=row.starts_at,
        end=row.ends_at,
        booking_id=row.id,
        status=row.status,
        title=title or row.purpose.value,
        version=row.version,
    )
