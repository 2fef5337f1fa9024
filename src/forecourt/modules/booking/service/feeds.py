"""Calendars: one booking as a file, and private addresses that show a person's bookings or, to staff, those of a resource."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from datetime import timedelta
from uuid import UUID

from forecourt.kernel.context import Actor, ActorKind, Context, service_context
from forecourt.kernel.errors import NotFound
from forecourt.modules.booking import queries
from forecourt.modules.booking.calendar import Entry, calendar
from forecourt.modules.booking.contract import BookingStatus
from forecourt.modules.booking.queries import BookingRow, ResourceFeed
from forecourt.modules.booking.rules import short_number
from forecourt.modules.booking.service.base import organisation, person
from forecourt.modules.booking.service.keeping import Keeping
from forecourt.modules.booking.slots import claimed_ids
from forecourt.modules.venues.contract import Resource, VenueBook

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
            among = await self.guests.read(tx, account_id)
            rows = await queries.feed_bookings(tx, account_id, among, since, IN_THE_FEED, MAX_FEED)
        return calendar([await self._entry(row) for row in rows])

    # --- of a court, a room or a table, for staff

    async def make_resource_feed(self, ctx: Context, resource_id: UUID) -> str:
        """A new token for the calendar of a resource; the one before stops working. Raises NotFound."""
        organisation_id = organisation(ctx)
        book, resource = await self._own_resource(organisation_id, resource_id)
        token = secrets.token_urlsafe(32)
        feed = ResourceFeed(organisation_id, book.venue.id, resource.id)
        async with self.db.tx(ctx) as tx:
            await queries.set_resource_feed(tx, feed, self._hash(token), ctx.account_id, self.clock.now())
        return token

    async def end_resource_feed(self, ctx: Context, resource_id: UUID) -> None:
        """The address stops working. Also for a resource that was removed."""
        async with self.db.tx(ctx) as tx:
            await queries.end_resource_feed(tx, organisation(ctx), resource_id)

    async def has_resource_feed(self, ctx: Context, resource_id: UUID) -> bool:
        """Whether there is an address that works. Raises NotFound."""
        organisation_id = organisation(ctx)
        await self._own_resource(organisation_id, resource_id)
        async with self.db.tx(ctx) as tx:
            return await queries.has_resource_feed(tx, organisation_id, resource_id)

    async def resource_feed(self, ctx: Context, token: str) -> bytes:
        """The calendar that a token of staff opens: what occupies the resource, with who comes. Raises NotFound."""
        async with self.db.read(ctx.within(None)) as tx:
            feed = await queries.resource_feed(tx, self._hash(token))
        # The token stands for its organisation here, and for nothing but this list.
        about = service_context("booking.resource_feed", feed.organisation_id, ctx.trace_id)
        book, resource = await self.books.of_resource(feed.resource_id)
        since = self.clock.now() - timedelta(days=FEED_DAYS_BACK)
        async with self.db.read(about) as tx:
            rows = await queries.resource_bookings(tx, feed, claimed_ids(book, resource), since, IN_THE_FEED, MAX_FEED)
        names = await self._names(about, rows)
        return calendar([self._staff_entry(book, row, names) for row in rows])

    async def _own_resource(self, organisation_id: UUID, resource_id: UUID) -> tuple[VenueBook, Resource]:
        book, resource = await self.books.of_resource(resource_id)
        if book.venue.organisation_id != organisation_id:
            raise NotFound
        return book, resource

    def _staff_entry(self, book: VenueBook, row: BookingRow, names: dict[UUID, str]) -> Entry:
        who = row.guest_name or ("" if row.account_id is None else names.get(row.account_id, "")) or short_number(row.id)
        place = book.resource(row.resource_id)
        title = f"{who}, {row.team_size}" if place is None else f"{who}, {row.team_size} · {place.name}"
        return Entry(row, title, book.venue.address, book.venue.location)

    def _hash(self, token: str) -> bytes:
        return hmac.new(self.secret, b"booking.feed:" + token.encode(), hashlib.sha256).digest()

    async def _entry(self, row: BookingRow) -> Entry:
        try:
            book, resource = await self.place(row)
        except NotFound:
            # Nobody knows any more where it was. Its number is the same in every language, and on its page.
            return Entry(row, short_number(row.id), "", None)
        return Entry(row, f"{resource.name}, {book.venue.name}", book.venue.address, book.venue.location)
