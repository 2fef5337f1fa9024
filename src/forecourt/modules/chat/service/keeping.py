"""What the house does in rooms of itself: the rooms of bookings, and letting old words go."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4, uuid5

import msgspec
from msgspec import Struct

from forecourt.kernel.context import Context
from forecourt.kernel.db import Tx
from forecourt.kernel.errors import NotFound
from forecourt.kernel.events import emit
from forecourt.kernel.jobs import JobKind, enqueue
from forecourt.modules.booking.contract import BookingOut, Bookings, BookingStatus
from forecourt.modules.chat import queries
from forecourt.modules.chat.contract import Attachment, Leaving, RoomChanged, RoomCreated, RoomKind, RoomRole, RoomSubject
from forecourt.modules.chat.queries import Called
from forecourt.modules.chat.rules import RoomIs, Trimmed
from forecourt.modules.chat.service.attaching import Attaching
from forecourt.modules.chat.service.base import Turn
from forecourt.modules.chat.service.membership import Membership
from forecourt.modules.venues.contract import Venues

ROOMS_OF_BOOKINGS = UUID("0f0b4a52-5d0e-5b3a-9f64-6d0c2a7e51c3")
"""Names the room of a booking, so that whoever comes first makes it and everybody finds it."""
TALKING = (BookingStatus.UPCOMING, BookingStatus.IN_PROGRESS)
"""A booking in which its party is seated."""
OVER = (BookingStatus.CANCELLED, BookingStatus.DECLINED, BookingStatus.NO_SHOW)
EVENTS_KEPT_FOR = timedelta(days=14)
TIDIED_EVERY = timedelta(days=1)
ROOMS_AT_ONCE = 200
MESSAGES_AT_ONCE = 1_000
RESOURCE_CHARS = 70
"""Of a resource's name in a room's; the rest of it says when."""


class SeatParty(Struct, frozen=True):
    booking_id: UUID


class Tidy(Struct, frozen=True):
    """Nothing to say: which rooms are due follows from the clock."""


SEAT_PARTY = JobKind("chat.seat_party", SeatParty, timeout_s=30, attempts=8)
TIDY = JobKind("chat.tidy", Tidy, timeout_s=300, attempts=3)


def room_of_booking(booking_id: UUID) -> UUID:
    return uuid5(ROOMS_OF_BOOKINGS, str(booking_id))


class Keeping(Membership, Attaching):
    bookings: Bookings
    venues: Venues

    # --- the rooms of bookings

    def seat_later(self, tx: Tx, booking_id: UUID) -> None:
        """With the transaction: the booking's room is made to fit the booking.

        Each change has its job: one that is running may have looked at the booking before this change.
        """
        enqueue(tx, SEAT_PARTY, SeatParty(booking_id))

    async def seat_party(self, ctx: Context, booking_id: UUID) -> None:
        """Who is of a booking's party is in its room, as long as the booking stands; a party of one has none.

        Looks at the booking as it is, so it may run late, twice, in any order, or beside another: who looked first may write
        last, and so looks again afterwards.
        """
        seen = await self._look(ctx, booking_id)
        while seen is not None:
            await self._fit(ctx, *seen)
            before, seen = seen, await self._look(ctx, booking_id)
            if seen is not None and _fits(*seen) == _fits(*before):
                return

    async def _look(self, ctx: Context, booking_id: UUID) -> tuple[BookingOut, list[UUID]] | None:
        try:
            booking, party = await self.bookings.booking(ctx, booking_id), await self.bookings.party(ctx, booking_id)
        except NotFound:
            return None
        there = await self.names.of(ctx, party.account_ids)  # of who was erased the booking keeps an id
        return booking, [account_id for account_id in party.account_ids if account_id in there]

    async def _fit(self, ctx: Context, booking: BookingOut, party: list[UUID]) -> None:
        room_id = room_of_booking(booking.id)
        called = await self._called(ctx, booking)
        if booking.status in TALKING and len(party) > 1:
            await self._make_room(ctx, room_id, booking, called)
        try:
            async with self.house_turn(ctx, room_id) as turn:
                await self._seat(turn, booking, party)
                await self._call_it(turn, called, booking.status)
        except NotFound:
            return  # it never had a room

    async def _make_room(self, ctx: Context, room_id: UUID, booking: BookingOut, called: Called) -> None:
        async with self.db.tx(ctx.within(None)) as tx:
            await queries.open_as_the_house(tx, room_id)
            made = await queries.insert_room(
                tx,
                room_id,
                booking.organisation_id,
                RoomKind.BOOKING,
                called.name,
                "",
                False,
                booking.id,
                None,
                self.clock.now(),
                uuid4(),
                called,
            )
            if made:
                emit(
                    tx,
                    RoomCreated(organisation_id=booking.organisation_id, room_id=room_id, kind=RoomKind.BOOKING, member_ids=[]),
                )

    async def _called(self, ctx: Context, booking: BookingOut) -> Called:
        """Which court, and when by the clock on its wall: in the house's words, and so that readers have it in theirs."""
        book = await self.venues.book(ctx, booking.venue_id)
        resource = book.resource(booking.resource_id)
        where = (resource.name if resource else book.venue.name)[:RESOURCE_CHARS]
        subject = RoomSubject(where, booking.start.astimezone(UTC), book.venue.timezone)
        return Called(f"{where}, {booking.local_start:%d %b %H:%M}", subject)

    async def _seat(self, turn: Turn, booking: BookingOut, party: list[UUID]) -> None:
        present = {m.account_id for m in await queries.members(turn.tx, turn.room.id, None, 1_000)}
        wanted = [] if booking.status in OVER else party
        for account_id in sorted(present - set(party)):
            await self.let_go(turn, account_id, Leaving.LEFT)
        banned = set(await queries.banned_among(turn.tx, turn.room.id, wanted, self.clock.now()))
        coming = [a for a in wanted if a not in present and a not in banned]
        if coming:
            owner = booking.account_id
            await self.bring_in(turn, [(a, RoomRole.OWNER if a == owner else RoomRole.MEMBER) for a in coming])

    async def _call_it(self, turn: Turn, called: Called, status: BookingStatus) -> None:
        """The name follows the booking, unless a person chose one; a room whose booking is over can be read only."""
        room = turn.room
        archived_at = (room.archived_at or self.clock.now()) if status in OVER else None
        changed = msgspec.structs.replace(room, archived_at=archived_at)
        if not room.renamed:
            changed = msgspec.structs.replace(changed, name=called.name, called=called)
        if changed == room:
            return
        await queries.save_room(turn.tx, changed)
        turn.tell("room.changed", RoomIs(msgspec.structs.replace(changed, version=room.version + 1).facts()))
        fields = [
            f for f, of in (("name", "called"), ("archived_at", "archived_at")) if getattr(changed, of) != getattr(room, of)
        ]
        emit(turn.tx, RoomChanged(organisation_id=room.organisation_id, room_id=room.id, fields=fields))

    # --- letting go

    async def tidy(self, ctx: Context) -> int:
        """Messages past their room's retention go, and events too old to come back with. Returns how many rooms were due."""
        now = self.clock.now()
        async with self.db.read(ctx.within(None)) as tx:
            due = await queries.due_for_tidying(tx, now, ROOMS_AT_ONCE)
            old = await queries.kept_too_long(tx, now - EVENTS_KEPT_FOR, ROOMS_AT_ONCE)
        for room_id in due:
            await self._let_words_go(ctx, room_id, now)
        for room_id in old:
            async with self.house_turn(ctx, room_id) as turn:
                await queries.trim_events_before(turn.tx, room_id, now - EVENTS_KEPT_FOR)
        return len(due) + len(old)

    async def _let_words_go(self, ctx: Context, room_id: UUID, now: datetime) -> None:
        async with self.house_turn(ctx, room_id) as turn:
            days = turn.room.retention_days
            if days is None:
                await queries.set_tidy_at(turn.tx, room_id, None)
                return
            before = now - timedelta(days=days)
            gone = await queries.drop_old(turn.tx, room_id, before, MESSAGES_AT_ONCE)
            if gone:
                files: list[Attachment] = [a for row in gone for a in row.attachments]
                self.let_files_go(turn.tx, room_id, files)
                # What is kept for who comes back holds their words too.
                await queries.trim_events(turn.tx, room_id, gone[-1].seq)
                turn.tell("history.trimmed", Trimmed(gone[-1].seq + 1))
            more = len(gone) == MESSAGES_AT_ONCE
            await queries.set_tidy_at(turn.tx, room_id, now if more else now + TIDIED_EVERY)


def _fits(booking: BookingOut, party: list[UUID]) -> tuple[object, ...]:
    """What of a booking its room follows."""
    return booking.status, booking.resource_id, booking.local_start, party
