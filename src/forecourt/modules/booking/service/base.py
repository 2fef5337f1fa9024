"""What all use cases of booking share: who acts, what they may see, how a row becomes an answer and what is told to others."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import TypedDict
from uuid import UUID
from zoneinfo import ZoneInfo

from forecourt.kernel.cache import Cache
from forecourt.kernel.clock import Clock
from forecourt.kernel.context import ActorKind, Context
from forecourt.kernel.db import Lock, ModuleDatabase, Tx
from forecourt.kernel.errors import Forbidden, NotFound, PreconditionFailed, Unauthenticated
from forecourt.kernel.live import Announcer
from forecourt.kernel.metrics import Metrics
from forecourt.kernel.money import Money
from forecourt.kernel.whereabouts import Whereabouts
from forecourt.modules.booking import invited, queries
from forecourt.modules.booking.announcements import AVAILABILITY_CHANGED, availability_changed, availability_topic
from forecourt.modules.booking.contract import (
    BookingActor,
    BookingOut,
    BookingStatus,
    NewInvitee,
    Overtaken,
    Payment,
    PayWith,
    Purpose,
    TooManyInvitations,
)
from forecourt.modules.booking.queries import BookingRow
from forecourt.modules.booking.rules import Standing, needs_approval
from forecourt.modules.booking.service.alternatives import Alternatives
from forecourt.modules.booking.service.books import Books, Terms
from forecourt.modules.booking.service.till import Till
from forecourt.modules.booking.service.warming import Week
from forecourt.modules.identity.contract import EmailUnconfirmed, Identity
from forecourt.modules.payments.contract import Payments
from forecourt.modules.venues.contract import Resource, VenueBook, Venues

READ_ANY = "booking.read_any"
CREATE_ANY = "booking.create_any"
CHANGE_ANY = "booking.update_any"
CANCEL_ANY = "booking.cancel_any"
APPROVE = "booking.approve"
BLOCK = "booking.block"

MOST_ADDRESSES_A_DAY = 60
"""Whom one person may have the house write to for one organisation."""
DECISIONS = 6
"""A change that others overtake is decided again at most so often."""
SETTLE_AFTER = timedelta(seconds=45)
"""When the house looks after money that is under way. With the keeper's own interval it stays below a minute."""


class Facts(TypedDict):
    """What every event of a booking says."""

    organisation_id: UUID
    venue_id: UUID
    resource_id: UUID
    booking_id: UUID
    account_id: UUID | None
    start: datetime
    end: datetime
    purpose: Purpose
    team_size: int
    price: Money


class Base:
    """Use cases extend it; `BookingService` is all of them together."""

    def __init__(
        self,
        db: ModuleDatabase,
        clock: Clock,
        venues: Venues,
        payments: Payments,
        identity: Identity,
        announcer: Announcer,
        secret: bytes,
        cache: Cache | None = None,
    ) -> None:
        """Without `cache` nobody tells it of changed venues, and it looks at their versions only."""
        cache = cache or Cache(None, Metrics())
        self.db = db
        self.clock = clock
        self.venues = venues
        self.books = Books(venues, metrics=cache.metrics)
        self.terms = Terms(venues, metrics=cache.metrics)
        self.week = Week(db, clock, cache, lambda: self.books)
        """What is made ready before anybody asks."""
        self.week.watch(self.forget)
        self.till = Till(payments)
        self.identity = identity
        self.alternatives = Alternatives(db, clock)
        self.announcer = announcer
        self.secret = secret
        self.guests = Whereabouts("booking.guest", queries.GUEST_OF)

    def forget(self, venue_id: UUID) -> None:
        """The venue is another: the next question reads its book again."""
        self.books.drop(venue_id)
        self.terms.drop(venue_id)

    # --- who

    def find_actor(self, ctx: Context, permission: str) -> BookingActor:
        """As whom `ctx` acts: the house, staff of the organisation it is about, or a customer with their own bookings."""
        if ctx.actor.kind is ActorKind.SERVICE and ctx.organisation_id is not None:
            return BookingActor.HOUSE
        if ctx.organisation_id is not None and ctx.may(permission):
            return BookingActor.STAFF
        return BookingActor.CUSTOMER

    async def find(self, ctx: Context, booking_id: UUID, permission: str = READ_ANY) -> tuple[BookingRow, BookingActor]:
        """The booking and as whom `ctx` acts on it. Raises NotFound for what is absent or not theirs to see."""
        actor = self.find_actor(ctx, permission)
        if actor is BookingActor.CUSTOMER:
            account_id = person(ctx)
            async with self.db.read(ctx.within(None)) as tx:
                found = await self.find_own(tx, account_id, booking_id)
            if found is None:
                raise NotFound
            return found, actor
        async with self.db.read(ctx) as tx:
            return await queries.booking_of(tx, organisation(ctx), booking_id), actor

    async def find_own(self, tx: Tx, account_id: UUID, booking_id: UUID) -> BookingRow | None:
        """A booking of the person's own, at whatever organisation."""
        return await self.guests.find(tx, account_id, lambda among: queries.booking_among(tx, among, booking_id))

    async def place(self, row: BookingRow) -> tuple[VenueBook, Resource]:
        """The book and the resource of a booking, the latter also when it was removed since."""
        book = await self.books.of_venue(row.venue_id)
        resource = book.resource(row.resource_id)
        if resource is None:
            raise NotFound
        return book, resource

    async def check_current(self, tx: Tx, book: VenueBook) -> None:
        """Whether something may be claimed by this book, in a transaction under `claiming`. Raises Overtaken."""
        venue = book.venue
        if not await queries.is_current(tx, venue.organisation_id, venue.id, book.version, self.clock.now()):
            raise self.rearranged(venue.id)

    def rearranged(self, venue_id: UUID) -> Overtaken:
        """What is said to whoever had a book that did not know of a resource's new parts; the next to ask reads it again."""
        self.books.drop(venue_id)
        return Overtaken("The place is being rearranged at this moment; look again.")

    # --- guests

    async def refuse_too_many(self, tx: Tx, organisation_id: UUID, inviter: UUID | None, wishes: Sequence[NewInvitee]) -> None:
        """Raises TooManyInvitations when these addresses are more than one person may have written to in a day."""
        count = sum(wish.email is not None for wish in wishes)
        if not count or inviter is None:
            return
        day = timedelta(days=1)
        if await invited.sent_since(tx, organisation_id, inviter, self.clock.now() - day) + count > MOST_ADDRESSES_A_DAY:
            raise TooManyInvitations(retry_after_s=int(day.total_seconds()))

    # --- what others see

    def announce(self, tx: Tx, venue_id: UUID, timezone: str, *claims: tuple[datetime, datetime]) -> None:
        """After the commit: the free times of these days are others now."""
        tz = ZoneInfo(timezone)
        days: set[date] = set()
        for start, end in claims:
            first, last = start.astimezone(tz).date(), (end - timedelta(microseconds=1)).astimezone(tz).date()
            days.update(first + timedelta(days=i) for i in range(min((last - first).days, 31) + 1))
        if not days:
            return
        topic, data = availability_topic(venue_id), availability_changed(venue_id, days)
        tx.after_commit(lambda: self.announcer.announce(topic, data, AVAILABILITY_CHANGED))


# ------------------------------------------------------------------------------------------------------------------ values


def person(ctx: Context) -> UUID:
    """The account that acts. Raises Unauthenticated; Forbidden for an API key, which has no account of its own."""
    if ctx.account_id is not None:
        return ctx.account_id
    if ctx.actor.kind is ActorKind.API_KEY:
        raise Forbidden("An API key has no bookings of its own; use the organisation's address.")
    raise Unauthenticated


def refuse_unconfirmed(ctx: Context, actor: BookingActor, wishes: Sequence[NewInvitee]) -> None:
    """Whose own address is not verified invites nobody (ID-1). Raises EmailUnconfirmed."""
    if wishes and actor is BookingActor.CUSTOMER and not ctx.actor.confirmed:
        raise EmailUnconfirmed


def claiming(venue_id: UUID) -> Lock:
    """The lock under which claims at a venue are made, all at once; whoever gives its resources more parts has it alone."""
    return Lock.sharing(venue_id)


def organisation(ctx: Context) -> UUID:
    """The organisation that `ctx` is about. Raises NotFound without one."""
    if ctx.organisation_id is None:
        raise NotFound
    return ctx.organisation_id


def present(row: BookingRow, *, payment: Payment | None = None, refund: Money | None = None) -> BookingOut:
    """The booking as it leaves the house. `paid` is what came in less what went back."""
    return BookingOut(
        id=row.id,
        organisation_id=row.organisation_id,
        venue_id=row.venue_id,
        resource_id=row.resource_id,
        account_id=row.account_id,
        status=row.status,
        start=row.starts_at,
        end=row.ends_at,
        local_start=row.starts_at.astimezone(ZoneInfo(row.timezone)),
        purpose=row.purpose,
        team_size=row.team_size,
        price=Money(row.price_minor, row.currency),
        paid=paid_of(row),
        hold_expires_at=row.hold_expires_at,
        payment=payment,
        authorised=Money(row.authorised_minor, row.currency) if row.authorised_minor else None,
        refund=refund,
        note=row.note,
        guest_name=row.guest_name,
        version=row.version,
    )


def standing(book: VenueBook, booking: BookingRow | BookingOut) -> Standing:
    """The booking as the rules see it."""
    starts_at = booking.starts_at if isinstance(booking, BookingRow) else booking.start
    return Standing(booking.status, starts_at, needs_approval(book.policies, booking.purpose))


def is_authorised_first(row: BookingRow) -> bool:
    """Whether this request is paid for before staff answer it: its credits are set aside, or are about to be.

    Without a way to pay, or to be paid at the desk, it is paid for afterwards.
    """
    asked = row.status is BookingStatus.PENDING_APPROVAL and row.pay_with is PayWith.CREDITS
    return asked and row.account_id is not None and (row.price_minor > 0 or row.promo_code is not None)


def paid_of(row: BookingRow) -> Money:
    return Money(row.paid_minor - row.refunded_minor, row.currency)


def due_of(row: BookingRow) -> Money:
    """What is still to be paid at the desk."""
    return Money(row.due_minor, row.currency)


def price_of(row: BookingRow) -> Money:
    return Money(row.price_minor, row.currency)


def facts(row: BookingRow) -> Facts:
    return Facts(
        organisation_id=row.organisation_id,
        venue_id=row.venue_id,
        resource_id=row.resource_id,
        booking_id=row.id,
        account_id=row.account_id,
        start=row.starts_at,
        end=row.ends_at,
        purpose=row.purpose,
        team_size=row.team_size,
        price=price_of(row),
    )


def natural_due(row: BookingRow, status: BookingStatus) -> datetime | None:
    """When a booking in `status` next needs the house, money apart."""
    match status:
        case BookingStatus.PAYMENT_PENDING:
            return row.hold_expires_at
        case BookingStatus.PENDING_APPROVAL | BookingStatus.UPCOMING:
            return row.starts_at
        case BookingStatus.IN_PROGRESS:
            return row.ends_at
        case _:
            return None


def check_version(row: BookingRow, if_match: int | None) -> None:
    """Raises PreconditionFailed when the caller saw an older version."""
    if if_match is not None and if_match != row.version:
        raise PreconditionFailed(f"The booking is at version {row.version} by now.")


def statuses(wanted: Sequence[BookingStatus] | None) -> list[str] | None:
    return None if wanted is None else [s.value for s in wanted]


def utc(at: datetime) -> datetime:
    return at.astimezone(UTC)
