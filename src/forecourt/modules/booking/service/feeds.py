"""Calendars: one booking as a file, and a private address that shows a person's bookings to their calendar program."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from datetime import timedelta
from uuid import UUID

from forecourt.kernel.context import Actor, ActorKind, Context
from forecourt.kernel.errors import NotFound
from forecourt.modules.booking import queries
from forecourt.modules.booking.calendar import Entry, calendar
from forecourt.modules.booking.contract import BookingStatus
from forecourt.modules.booking.queries import BookingRow
from forecourt.modules.booking.service.base import person
from forecourt.modules.booking.service.keeping import Keeping

FEED_DAYS_BACK = 90
MAX_FEED = 1_000
IN_THE_FEED = (
    BookingStatus.PENDING_APPROVAL,
    BookingStatus.PAYMENT_PENDING,
    BookingStatus.UPCOMING,
    BookingStatus.IN_PROGRESS,
    BookingStatus.COMPLETED,
    BookingStatus.CANCELLED,
)


class Feeds(Keeping):
    async def calendar_file(self, ctx: Context, booking_id: UUID) -> bytes:
        """The booking as an .ics file. Raises NotFound."""
        row, _ = await self.find(ctx, booking_id)
        return calendar([await self._entry(row)])

    async def make_feed(self, ctx: Context) -> str:
        """A new token for the person's calendar address; the one before stops working."""
        account_id = person(ctx)
        token = secrets.token_urlsafe(32)
        async with self.db.tx(ctx.within(None)) as tx:
            await queries.set_feed(tx, account_id, self._hash(token), self.clock.now())
        return token

    async def end_feed(self, ctx: Context) -> None:
        """The address stops working."""
        account_id = person(ctx)
        async with self.db.tx(ctx.within(None)) as tx:
            await queries.end_feed(tx, account_id)

    async def feed(self, ctx: Context, token: str) -> bytes:
        """The calendar that a token opens: its person's bookings of the last quarter and all to come. Raises NotFound."""
        async with self.db.read(ctx.within(None)) as tx:
            account_id = await queries.feed_owner(tx, self._hash(token))
        # The token stands for its person here, and for nothing but this list.
        about = Context(actor=Actor(kind=ActorKind.PERSON, account_id=account_id), trace_id=ctx.trace_id)
        since = self.clock.now() - timedelta(days=FEED_DAYS_BACK)
        async with self.db.read(about) as tx:
            rows = await queries.feed_bookings(tx, account_id, since, IN_THE_FEED, MAX_FEED)
        return calendar([await self._entry(row) for row in rows])

    def _hash(self, token: str) -> bytes:
        return hmac.new(self.secret, b"booking.feed:" + token.encode(), hashlib.sha256).digest()

    async def _entry(self, row: BookingRow) -> Entry:
        try:
            book, resource = await self.place(row)
        except NotFound:
            return Entry(row, "Booking", "", None)
        return Entry(row, f"{resource.name}, {book.venue.name}", book.venue.address, book.venue.location)
