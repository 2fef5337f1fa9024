"""Booking over HTTP. Decisions are the service's; here are addresses, who may knock, and what can go wrong."""

from __future__ import annotations

import hashlib
from datetime import date
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from forecourt.kernel.context import Context
from forecourt.kernel.errors import Invalid, PreconditionFailed
from forecourt.kernel.http.operation import PUBLIC, Api, By, Keyed, Limit, Raw, delete, get, patch, post, staff
from forecourt.kernel.paging import Page
from forecourt.modules.booking.calendar import CONTENT_TYPE
from forecourt.modules.booking.contract import (
    AdminCannotBook,
    AskedOften,
    Availability,
    Block,
    BlockPreview,
    BookingOut,
    BookingPatch,
    Cancel,
    DaySheet,
    Decline,
    Extend,
    GuestInvitation,
    GuestInvitations,
    HoldExpired,
    InvalidTransition,
    InvitationDeclined,
    InvitationOver,
    InvitationTaken,
    Invitee,
    Invitees,
    NewBlock,
    NewBooking,
    NewInvitee,
    NewQuote,
    OutsideHorizon,
    Overtaken,
    Pay,
    PlaceBlocked,
    PriceChanged,
    Quote,
    QuoteExpired,
    QuoteMismatch,
    RefundChanged,
    RefundPreview,
    Reschedule,
    SlotTaken,
    StaffBooking,
    TooManyInvitations,
    TooManyOpenBookings,
)
from forecourt.modules.booking.queries import TransitionRow
from forecourt.modules.booking.service import BookingService
from forecourt.modules.booking.service.base import APPROVE, BLOCK, CANCEL_ANY, CHANGE_ANY, CREATE_ANY, READ_ANY
from forecourt.modules.booking.service.blocking import BlocksQuery
from forecourt.modules.booking.service.reading import MAX_VENUES, BookingsQuery, Free, OrgBookingsQuery
from forecourt.modules.identity.contract import EmailUnconfirmed
from forecourt.modules.payments.contract import InsufficientCredits, MeansNotSetUp, PromoRejected
from forecourt.modules.venues.contract import (
    CapacityExceeded,
    DurationMin,
    Location,
    OrganisationInactive,
    People,
    PointText,
    Purpose,
    ResourceInactive,
    Tag,
    VenueClosed,
    read_point,
)

_ASKING = (OutsideHorizon, CapacityExceeded, VenueClosed, ResourceInactive, OrganisationInactive)
_PAYING = (InsufficientCredits, MeansNotSetUp, PromoRejected, EmailUnconfirmed, HoldExpired, InvalidTransition)
_INVITING = (InvalidTransition, InvitationDeclined, AskedOften, TooManyInvitations, EmailUnconfirmed)
_ANSWERING = (InvitationOver, InvitationTaken)
_BOOKING = (SlotTaken, TooManyInvitations, TooManyOpenBookings, AdminCannotBook, QuoteExpired, QuoteMismatch, *_ASKING, *_PAYING)
_CANCELLING = (InvalidTransition, RefundChanged, Overtaken)
_MOVING = (SlotTaken, PriceChanged, InvalidTransition, InsufficientCredits, PreconditionFailed, Overtaken, *_ASKING)

INVITING = (Limit("60/hour", By.ACCOUNT),)
GUESSES = (Limit("60/minute", By.ADDRESS),)

NEAR_KM = 25
MAX_RADIUS_KM = 500


class AvailabilityQuery(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, rename={"from_": "from"}):
    """Dates are the venue's own, both included; without `to` one day."""

    from_: date
    to: date | None = None
    duration_min: DurationMin = 60
    team_size: People | None = None
    purpose: Purpose = Purpose.WORKOUT
    resource_id: UUID | None = None
    sport: Tag | None = None

    def ask(self) -> Free:
        last = self.from_ if self.to is None else self.to
        return Free(self.from_, last, self.duration_min, self.team_size, self.purpose, self.resource_id, self.sport)


class ManyQuery(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, rename={"from_": "from"}):
    """Where: either `venue_ids`, or `near` a point."""

    venue_ids: Annotated[list[UUID], Meta(max_length=MAX_VENUES)] = msgspec.field(default_factory=list[UUID])
    near: PointText | None = None
    radius_km: Annotated[float, Meta(gt=0, le=MAX_RADIUS_KM, description=f"Around `near`; {NEAR_KM} without")] | None = None
    from_: date
    to: date | None = None
    duration_min: DurationMin = 60
    team_size: People | None = None
    purpose: Purpose = Purpose.WORKOUT
    sport: Tag | None = None

    def ask(self) -> Free:
        last = self.from_ if self.to is None else self.to
        return Free(self.from_, last, self.duration_min, self.team_size, self.purpose, None, self.sport)


def _named_venues(query: ManyQuery) -> list[UUID]:
    """Raises Invalid when none is named, or a radius without its point."""
    if query.radius_km is not None:
        raise Invalid.field("radius_km", "needs a point: near=51.5,-0.12")
    if not query.venue_ids:
        raise Invalid.field("venue_ids", "say which venues, or near which point: near=51.5,-0.12")
    return query.venue_ids


def _point(query: ManyQuery) -> Location:
    """Raises Invalid for what is no point, and when venues are named too."""
    if query.venue_ids:
        raise Invalid.field("near", "say either near or venue_ids")
    point = read_point(query.near or "")
    if point is None:
        raise Invalid.field("near", "is not a point; write it like 51.5,-0.12")
    return point


class FeedQuery(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    token: Annotated[str, Meta(min_length=1, max_length=100)]


class DayQuery(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    date: date


class Feed(msgspec.Struct, frozen=True):
    """`path` is the private address of a calendar: who knows it can read it."""

    token: str
    path: str


class History(msgspec.Struct, frozen=True):
    items: list[TransitionRow]


class Availabilities(msgspec.Struct, frozen=True):
    """The free times of several venues."""

    items: list[Availability]


def _calendar(content: bytes) -> Raw:
    """With a tag: calendar programs ask again and again, and hear that nothing changed."""
    return Raw(content, CONTENT_TYPE, headers={"ETag": f'"{hashlib.sha256(content).hexdigest()[:32]}"'})


class BookingApi(Api):
    tag = "Booking"

    def __init__(self, service: BookingService) -> None:
        self.service = service

    # --- free times and prices

    @get("/v1/venues/{venue_id}/availability", access=PUBLIC, shows=Availability)
    async def availability(self, ctx: Context, venue_id: UUID, query: AvailabilityQuery) -> Raw:
        """Free starts at a venue, with prices. At most 31 days and 100 things at once."""
        return Raw(await self.service.availability(ctx, venue_id, query.ask()), "application/json")

    @get("/v1/availability", access=PUBLIC, shows=Availabilities)
    async def availabilities(self, ctx: Context, query: ManyQuery) -> Raw:
        """Free starts at several venues, named or near a point.

        Unknown venues are left out. Near a point: the 20 nearest that are listed and have something for the sport, nearest first.
        """
        if query.near is None:
            found = await self.service.availabilities(ctx, _named_venues(query), query.ask())
        else:
            found = await self.service.availabilities_near(ctx, _point(query), query.radius_km or NEAR_KM, query.ask())
        return Raw(found, "application/json")

    @post("/v1/quotes", status=201, keyed=Keyed.YES, problems=(*_ASKING, PromoRejected))
    async def quote(self, ctx: Context, body: NewQuote) -> Quote:
        """A price that holds for 15 minutes. The place is not held."""
        return await self.service.quote(ctx, body)

    # --- one's own bookings

    @post("/v1/bookings", status=201, keyed=Keyed.YES, problems=_BOOKING)
    async def book(self, ctx: Context, body: NewBooking) -> BookingOut:
        """Book a place. Without `pay_with` it is held and paid for later; a refused payment holds nothing."""
        return await self.service.book(ctx, body)

    @get("/v1/bookings")
    async def mine(self, ctx: Context, query: BookingsQuery) -> Page[BookingOut]:
        """Your bookings, the latest start first, or with `soonest=true` the earliest."""
        return await self.service.my_bookings(ctx, query)

    @get("/v1/bookings/{id}")
    async def read(self, ctx: Context, id: UUID) -> BookingOut:
        """One of your bookings."""
        return await self.service.booking(ctx, id)

    @get("/v1/bookings/{id}/history")
    async def history(self, ctx: Context, id: UUID) -> History:
        """What happened to one of your bookings, the oldest first."""
        return History(await self.service.history(ctx, id))

    @post("/v1/bookings/{id}/pay", keyed=Keyed.YES, problems=_PAYING)
    async def pay(self, ctx: Context, id: UUID, body: Pay) -> BookingOut:
        """Pay for a held booking. A refused payment leaves the hold."""
        return await self.service.pay(ctx, id, body)

    @patch("/v1/bookings/{id}", problems=_MOVING)
    async def edit(self, ctx: Context, id: UUID, body: BookingPatch, if_match: int | None = None) -> BookingOut:
        """Change purpose, party or note; the price follows."""
        return await self.service.edit(ctx, id, body, if_match)

    @post("/v1/bookings/{id}/cancel", keyed=Keyed.YES, problems=_CANCELLING)
    async def cancel(self, ctx: Context, id: UUID, body: Cancel) -> BookingOut:
        """Cancel. Of `refund`, what was still due falls away, as the refund preview says; the rest goes back."""
        return await self.service.cancel(ctx, id, body)

    @get("/v1/bookings/{id}/refund-preview", problems=(InvalidTransition,))
    async def refund_preview(self, ctx: Context, id: UUID) -> RefundPreview:
        """What cancelling now would give back."""
        return await self.service.refund_preview(ctx, id)

    @post("/v1/bookings/{id}/reschedule", keyed=Keyed.YES, problems=_MOVING)
    async def reschedule(self, ctx: Context, id: UUID, body: Reschedule, if_match: int | None = None) -> BookingOut:
        """Move to another time or place. The old place is kept until the new one is won."""
        return await self.service.reschedule(ctx, id, body, if_match)

    @post("/v1/bookings/{id}/extend", keyed=Keyed.YES, problems=_MOVING)
    async def extend(self, ctx: Context, id: UUID, body: Extend, if_match: int | None = None) -> BookingOut:
        """Give it another length; `duration_min` is the whole."""
        return await self.service.extend(ctx, id, body, if_match)

    # --- guests

    @get("/v1/bookings/{id}/invitees")
    async def invitees(self, ctx: Context, id: UUID) -> Invitees:
        """Who is invited to one of your bookings, and how each invitation stands."""
        return await self.service.invitees(ctx, id)

    @post("/v1/bookings/{id}/invitees", status=201, keyed=Keyed.YES, limits=INVITING, problems=_INVITING)
    async def invite(self, ctx: Context, id: UUID, body: NewInvitee) -> Invitee:
        """Invite one more, by account or by e-mail address. Whoever is invited already stays so."""
        return await self.service.invite(ctx, id, body)

    @post("/v1/bookings/{id}/invitees/{invitee_id}/ask", keyed=Keyed.YES, limits=INVITING, problems=_INVITING)
    async def ask_again(self, ctx: Context, id: UUID, invitee_id: UUID) -> Invitee:
        """Ask once more who said no, or was taken off; three times in all. Whoever is invited stays so."""
        return await self.service.ask_again(ctx, id, invitee_id)

    @delete("/v1/bookings/{id}/invitees/{invitee_id}", status=204)
    async def withdraw(self, ctx: Context, id: UUID, invitee_id: UUID) -> None:
        """Take an invitation back. Whoever had heard of it hears of this, and leaves the booking's room."""
        await self.service.withdraw(ctx, id, invitee_id)

    @get("/v1/me/invitations")
    async def my_invitations(self, ctx: Context) -> GuestInvitations:
        """The bookings of others that you are invited to and have not declined, the earliest start first."""
        return GuestInvitations(await self.service.my_invitations(ctx))

    @get("/v1/invitations/{token}", access=PUBLIC, limits=GUESSES, problems=_ANSWERING)
    async def invitation(self, ctx: Context, token: str) -> GuestInvitation:
        """An invitation by the token of its link, without an account; or one of your own by its id."""
        return await self.service.invitation(ctx, token)

    @post("/v1/invitations/{token}/accept", access=PUBLIC, limits=GUESSES, problems=_ANSWERING)
    async def accept_invitation(self, ctx: Context, token: str) -> GuestInvitation:
        """Say yes. Signed in, the invitation becomes yours and you join the booking's room."""
        return await self.service.accept_invitation(ctx, token)

    @post("/v1/invitations/{token}/decline", access=PUBLIC, limits=GUESSES, problems=_ANSWERING)
    async def decline_invitation(self, ctx: Context, token: str) -> GuestInvitation:
        """Say no, also after a yes."""
        return await self.service.decline_invitation(ctx, token)

    # --- calendars

    @get("/v1/bookings/{id}/calendar.ics", content_type=CONTENT_TYPE)
    async def calendar_file(self, ctx: Context, id: UUID) -> Raw:
        """One booking as a calendar file."""
        name = {"Content-Disposition": f'attachment; filename="booking-{id}.ics"'}
        return Raw(await self.service.calendar_file(ctx, id), CONTENT_TYPE, headers=name)

    @get("/v1/me/calendar.ics", access=PUBLIC, content_type=CONTENT_TYPE)
    async def feed(self, ctx: Context, query: FeedQuery) -> Raw:
        """The calendar behind a private address, for calendar programs."""
        return _calendar(await self.service.feed(ctx, query.token))

    @post("/v1/me/calendar-feed", status=201)
    async def make_feed(self, ctx: Context) -> Feed:
        """Make the private address of your calendar. The one before stops working."""
        token = await self.service.make_feed(ctx)
        return Feed(token, f"/v1/me/calendar.ics?token={token}")

    @delete("/v1/me/calendar-feed", status=204)
    async def end_feed(self, ctx: Context) -> None:
        """Close the private address of your calendar."""
        await self.service.end_feed(ctx)

    @get("/v1/resources/calendar.ics", access=PUBLIC, content_type=CONTENT_TYPE)
    async def resource_feed(self, ctx: Context, query: FeedQuery) -> Raw:
        """What occupies a court, a room or a table, behind a private address of staff, for calendar programs."""
        return _calendar(await self.service.resource_feed(ctx, query.token))

    @post("/v1/orgs/{org_id}/resources/{resource_id}/calendar-feed", status=201, access=staff(READ_ANY))
    async def make_resource_feed(self, ctx: Context, org_id: UUID, resource_id: UUID) -> Feed:
        """Make the private address of a resource's calendar. The one before stops working."""
        token = await self.service.make_resource_feed(ctx, resource_id)
        return Feed(token, f"/v1/resources/calendar.ics?token={token}")

    @delete("/v1/orgs/{org_id}/resources/{resource_id}/calendar-feed", status=204, access=staff(READ_ANY))
    async def end_resource_feed(self, ctx: Context, org_id: UUID, resource_id: UUID) -> None:
        """Close the private address of a resource's calendar."""
        await self.service.end_resource_feed(ctx, resource_id)

    # --- staff: bookings

    @get("/v1/orgs/{org_id}/bookings", access=staff(READ_ANY))
    async def of_organisation(self, ctx: Context, org_id: UUID, query: OrgBookingsQuery) -> Page[BookingOut]:
        """An organisation's bookings, the earliest start first."""
        return await self.service.org_bookings(ctx, query)

    @post("/v1/orgs/{org_id}/bookings", status=201, access=staff(CREATE_ANY), keyed=Keyed.YES, problems=_BOOKING)
    async def book_for(self, ctx: Context, org_id: UUID, body: StaffBooking) -> BookingOut:
        """Book for an account, an e-mail address or a walk-in."""
        return await self.service.book_for(ctx, body)

    @get("/v1/orgs/{org_id}/bookings/{id}", access=staff(READ_ANY))
    async def read_any(self, ctx: Context, org_id: UUID, id: UUID) -> BookingOut:
        """One of an organisation's bookings."""
        return await self.service.booking(ctx, id)

    @get("/v1/orgs/{org_id}/bookings/{id}/history", access=staff(READ_ANY))
    async def history_of_any(self, ctx: Context, org_id: UUID, id: UUID) -> History:
        """What happened to a booking, the oldest first."""
        return History(await self.service.history(ctx, id))

    @get("/v1/orgs/{org_id}/bookings/{id}/invitees", access=staff(READ_ANY))
    async def invitees_of_any(self, ctx: Context, org_id: UUID, id: UUID) -> Invitees:
        """Who is invited to a booking, and how each invitation stands."""
        return await self.service.invitees(ctx, id)

    @post(
        "/v1/orgs/{org_id}/bookings/{id}/invitees",
        status=201,
        access=staff(CHANGE_ANY),
        keyed=Keyed.YES,
        limits=INVITING,
        problems=_INVITING,
    )
    async def invite_to_any(self, ctx: Context, org_id: UUID, id: UUID, body: NewInvitee) -> Invitee:
        """Invite one more to a booking that stands, in the name of whose it is."""
        return await self.service.invite(ctx, id, body)

    @post(
        "/v1/orgs/{org_id}/bookings/{id}/invitees/{invitee_id}/ask",
        access=staff(CHANGE_ANY),
        keyed=Keyed.YES,
        limits=INVITING,
        problems=_INVITING,
    )
    async def ask_any_again(self, ctx: Context, org_id: UUID, id: UUID, invitee_id: UUID) -> Invitee:
        """Ask once more who said no to a booking that stands, or was taken off, in the name of whose it is."""
        return await self.service.ask_again(ctx, id, invitee_id)

    @delete("/v1/orgs/{org_id}/bookings/{id}/invitees/{invitee_id}", status=204, access=staff(CHANGE_ANY))
    async def withdraw_any(self, ctx: Context, org_id: UUID, id: UUID, invitee_id: UUID) -> None:
        """Take an invitation of a booking back."""
        await self.service.withdraw(ctx, id, invitee_id)

    @patch("/v1/orgs/{org_id}/bookings/{id}", access=staff(CHANGE_ANY), problems=_MOVING)
    async def edit_any(self, ctx: Context, org_id: UUID, id: UUID, body: BookingPatch, if_match: int | None = None) -> BookingOut:
        """Change purpose, party or note of a booking."""
        return await self.service.edit(ctx, id, body, if_match)

    @post("/v1/orgs/{org_id}/bookings/{id}/pay", access=staff(CREATE_ANY), keyed=Keyed.YES, problems=_PAYING)
    async def pay_any(self, ctx: Context, org_id: UUID, id: UUID, body: Pay) -> BookingOut:
        """Pay for a held booking, at the desk or from its person's credits."""
        return await self.service.pay(ctx, id, body)

    @post("/v1/orgs/{org_id}/bookings/{id}/cancel", access=staff(CANCEL_ANY), keyed=Keyed.YES, problems=_CANCELLING)
    async def cancel_any(self, ctx: Context, org_id: UUID, id: UUID, body: Cancel) -> BookingOut:
        """Cancel a booking, with the refund of the policy."""
        return await self.service.cancel(ctx, id, body)

    @get("/v1/orgs/{org_id}/bookings/{id}/refund-preview", access=staff(READ_ANY), problems=(InvalidTransition,))
    async def refund_preview_any(self, ctx: Context, org_id: UUID, id: UUID) -> RefundPreview:
        """What cancelling a booking now would give back."""
        return await self.service.refund_preview(ctx, id)

    @post("/v1/orgs/{org_id}/bookings/{id}/reschedule", access=staff(CHANGE_ANY), keyed=Keyed.YES, problems=_MOVING)
    async def move_any(self, ctx: Context, org_id: UUID, id: UUID, body: Reschedule, if_match: int | None = None) -> BookingOut:
        """Move a booking; moving it back undoes it. No fee is taken."""
        return await self.service.reschedule(ctx, id, body, if_match)

    @post("/v1/orgs/{org_id}/bookings/{id}/extend", access=staff(CHANGE_ANY), keyed=Keyed.YES, problems=_MOVING)
    async def extend_any(self, ctx: Context, org_id: UUID, id: UUID, body: Extend, if_match: int | None = None) -> BookingOut:
        """Give a booking another length."""
        return await self.service.extend(ctx, id, body, if_match)

    @post("/v1/orgs/{org_id}/bookings/{id}/approve", access=staff(APPROVE), keyed=Keyed.YES, problems=(InvalidTransition,))
    async def approve(self, ctx: Context, org_id: UUID, id: UUID) -> BookingOut:
        """Approve a booking that waits for it."""
        return await self.service.approve(ctx, id)

    @post("/v1/orgs/{org_id}/bookings/{id}/decline", access=staff(APPROVE), keyed=Keyed.YES, problems=(InvalidTransition,))
    async def decline(self, ctx: Context, org_id: UUID, id: UUID, body: Decline) -> BookingOut:
        """Decline a booking that waits for approval, and say why."""
        return await self.service.decline(ctx, id, body.reason)

    @post("/v1/orgs/{org_id}/bookings/{id}/no-show", access=staff(CHANGE_ANY), keyed=Keyed.YES, problems=(InvalidTransition,))
    async def no_show(self, ctx: Context, org_id: UUID, id: UUID) -> BookingOut:
        """Note that nobody came."""
        return await self.service.no_show(ctx, id)

    # --- staff: blocks and the day

    @post("/v1/orgs/{org_id}/blocks/preview", access=staff(BLOCK))
    async def preview_block(self, ctx: Context, org_id: UUID, body: NewBlock) -> BlockPreview:
        """When a block would happen and which bookings it would hit, with places they could move to."""
        return await self.service.preview_block(ctx, body)

    @post("/v1/orgs/{org_id}/blocks", status=201, access=staff(BLOCK), keyed=Keyed.YES, problems=(PlaceBlocked,))
    async def place_block(self, ctx: Context, org_id: UUID, body: NewBlock) -> Block:
        """Take time out, once or by a rule. Bookings in the way are listed and stay."""
        return await self.service.place_block(ctx, body)

    @get("/v1/orgs/{org_id}/blocks", access=staff(READ_ANY))
    async def blocks(self, ctx: Context, org_id: UUID, query: BlocksQuery) -> Page[Block]:
        """Blocks by their start."""
        return await self.service.blocks(ctx, query)

    @delete("/v1/orgs/{org_id}/blocks/{id}", status=204, access=staff(BLOCK))
    async def remove_block(self, ctx: Context, org_id: UUID, id: UUID) -> None:
        """Give blocked time back."""
        await self.service.remove_block(ctx, id)

    @get("/v1/orgs/{org_id}/venues/{id}/day", access=staff(READ_ANY))
    async def day(self, ctx: Context, org_id: UUID, id: UUID, query: DayQuery) -> DaySheet:
        """A venue's day: opening hours, bookings and blocks."""
        return await self.service.day(ctx, id, query.date)
