"""What other modules may know of booking: values, errors, events and the calls they may make.

Instants are aware and leave the house in UTC; `local_start` is the same instant on the venue's wall clock, with its offset.
"""

from __future__ import annotations

from datetime import date, datetime
from enum import StrEnum
from typing import Annotated, Protocol
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from forecourt.kernel.context import Context
from forecourt.kernel.contracts import idempotent
from forecourt.kernel.errors import Conflict, Forbidden, Gone, Invalid, TooManyRequests
from forecourt.kernel.events import Event
from forecourt.kernel.money import Money
from forecourt.kernel.period import Period
from forecourt.kernel.records import PersonalRecords
from forecourt.kernel.topics import TopicSource
from forecourt.modules.venues.contract import DurationMin, People
from forecourt.modules.venues.contract import Purpose as Purpose  # noqa: PLC0414 - callers find it here

# ---------------------------------------------------------------------------------------------------------------- words

Instant = Annotated[datetime, Meta(tz=True, description="RFC 3339 with an offset")]
Note = Annotated[str, Meta(max_length=1000)]
Reason = Annotated[str, Meta(min_length=1, max_length=500)]
PromoCode = Annotated[str, Meta(min_length=1, max_length=40)]
Email = Annotated[str, Meta(min_length=3, max_length=254)]
PersonName = Annotated[str, Meta(min_length=1, max_length=120)]
Quantity = Annotated[int, Meta(ge=1, le=1000)]
ResourceIds = Annotated[list[UUID], Meta(min_length=1, max_length=100)]

MAX_AVAILABILITY_DAYS = 62
"""The longest date range of one availability question."""
MAX_INVITEES = 100


class BookingStatus(StrEnum):
    """BK-4. See `booking.rules.advance` for who may go where."""

    DRAFT = "draft"
    PENDING_APPROVAL = "pending_approval"
    PAYMENT_PENDING = "payment_pending"
    UPCOMING = "upcoming"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    DECLINED = "declined"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    NO_SHOW = "no_show"


OCCUPYING = frozenset(
    {BookingStatus.PENDING_APPROVAL, BookingStatus.PAYMENT_PENDING, BookingStatus.UPCOMING, BookingStatus.IN_PROGRESS}
)
"""The statuses in which a booking has a claim on its place."""
FINAL = frozenset(
    {BookingStatus.COMPLETED, BookingStatus.DECLINED, BookingStatus.CANCELLED, BookingStatus.EXPIRED, BookingStatus.NO_SHOW}
)


class BookingAction(StrEnum):
    """What can happen to a booking; each is one column of the state machine."""

    REQUEST_APPROVAL = "request_approval"
    HOLD = "hold"
    APPROVE = "approve"
    DECLINE = "decline"
    CONFIRM = "confirm"
    EXPIRE = "expire"
    CANCEL = "cancel"
    BEGIN = "begin"
    COMPLETE = "complete"
    MARK_NO_SHOW = "mark_no_show"
    RESCHEDULE = "reschedule"
    EXTEND = "extend"
    EDIT = "edit"


class BookingActor(StrEnum):
    """In which part someone acts on a booking. `house` is the program itself: jobs, reactions, payment."""

    CUSTOMER = "customer"
    STAFF = "staff"
    HOUSE = "house"


class Why(StrEnum):
    """Why a booking ended of which nobody wrote a reason. It stands in `reason` as it is and is worded when it is told; what
    people wrote stays as they wrote it."""

    UNDECIDED = "undecided"
    """Nobody answered the request before it was to begin."""
    NOT_POSSIBLE = "not_possible"
    """Staff said no, and nothing more."""
    UNPAID = "unpaid"
    REST_UNPAID = "rest_unpaid"
    """A part was paid; it goes back."""
    NOT_SET_ASIDE = "not_set_aside"
    """What the request costs was not set aside."""
    NOT_KEPT = "not_kept"
    """What was set aside for a request goes back."""
    HOST_LEFT = "host_left"
    """Whoever booked has had their account erased."""


class PayWith(StrEnum):
    CREDITS = "credits"
    CARD = "card"
    DESK = "desk"
    JAZZCASH = "jazzcash"
    EASYPAISA = "easypaisa"
    BANK_TRANSFER = "bank_transfer"


# --------------------------------------------------------------------------------------------------------- availability


class Slot(msgspec.Struct, frozen=True):
    """A free start for the duration that was asked for."""

    start: datetime
    end: datetime
    local_start: datetime
    price: Money


class ResourceSlots(msgspec.Struct, frozen=True):
    resource_id: UUID
    slots: list[Slot]


class AvailabilityDay(msgspec.Struct, frozen=True):
    """Slots that *start* on this venue-local calendar date."""

    date: date
    resources: list[ResourceSlots]


class Availability(msgspec.Struct, frozen=True):
    venue_id: UUID
    timezone: str
    days: list[AvailabilityDay]


class Alternative(msgspec.Struct, frozen=True):
    """Another place or time instead of one that is taken."""

    resource_id: UUID
    start: datetime
    end: datetime
    local_start: datetime
    price: Money


class StartsAsked(msgspec.Struct, frozen=True):
    """The next free starts at some venues, on the venue-local day of `at` and perhaps the day after.

    Without `duration_min` each venue answers for its usual length.
    """

    venue_ids: list[UUID]
    at: datetime
    duration_min: int | None = None
    sport: str | None = None
    most: int = 3
    """Per venue."""
    tomorrow_too: bool = False


class FreeStart(msgspec.Struct, frozen=True, kw_only=True):
    """A start at a venue and the cheapest place free then, whose name is `place`."""

    venue_id: UUID
    resource_id: UUID
    place: str
    start: datetime
    duration_min: int
    price: Money


# --------------------------------------------------------------------------------------------------------------- quotes


class EquipmentWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    equipment_id: UUID
    quantity: Quantity = 1


EquipmentWishes = Annotated[list[EquipmentWish], Meta(max_length=50)]


class NewQuote(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    resource_id: UUID
    start: Instant
    duration_min: DurationMin
    purpose: Purpose = Purpose.WORKOUT
    team_size: People | None = None
    """Left out: the fewest people this purpose takes on this resource."""
    promo_code: PromoCode | None = None
    equipment: EquipmentWishes = []


class LineKind(StrEnum):
    """Parts of a price that the house itself names. A page words them for its reader; in `label` they are in English."""

    MOVING = "moving_fee"
    AGREED = "agreed_before"
    """What lies between the venue's list and the price that was agreed on earlier."""
    CODE = "promo_code"
    """What a code took off whose name is not known."""


class QuoteLine(msgspec.Struct, frozen=True, omit_defaults=True):
    """One part of the price; `rule` names the price rule that won. Reductions are negative.

    Without `kind` the label is as the owner wrote it: a place, a price rule, a promo code.
    """

    label: str
    amount: Money
    rule: str | None = None
    kind: LineKind | None = None


class TaxLine(msgspec.Struct, frozen=True):
    """`amount` of tax at `rate` percent; `included` when the lines contain it already, else it is added to the total."""

    rate: str
    amount: Money
    included: bool


class Quote(msgspec.Struct, frozen=True):
    id: UUID
    lines: list[QuoteLine]
    tax: list[TaxLine]
    total: Money
    expires_at: datetime


# ------------------------------------------------------------------------------------------------------------- bookings


class NewInvitee(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """By account or by e-mail, one of the two."""

    email: Email | None = None
    account_id: UUID | None = None


class InviteeStatus(StrEnum):
    """How an invitation stands. Whoever declined may think better of it; what is withdrawn is over for its link."""

    PENDING = "pending"
    ACCEPTED = "accepted"
    DECLINED = "declined"
    WITHDRAWN = "withdrawn"


class Invitee(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Somebody who is invited, as those who look after the booking see it.

    Of who was invited by address the account is there once they have accepted with it: an address says nothing about accounts.
    The address is forgotten 28 days after the booking, or with its account; of who accepted the account stays.
    """

    id: UUID
    status: InviteeStatus
    email: str | None = None
    account_id: UUID | None = None
    invited_at: datetime
    answered_at: datetime | None = None
    may_ask_again: bool = False
    """Whether they said no or were taken off, and have not been asked as often as one may yet."""


class Party(msgspec.Struct, frozen=True):
    """Who is told of a booking.

    `account_ids`: whose it is, then who is invited and has not declined; of those invited by address who has accepted.
    `invitation_ids`: the invitations that are told by address: not declined, not withdrawn, and not of one of those accounts.
    """

    account_ids: list[UUID]
    invitation_ids: list[UUID]


class Invitees(msgspec.Struct, frozen=True):
    """The first to be invited first. `places` is how many more the party has room for."""

    items: list[Invitee]
    places: int


class GuestInvitation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An invitation as its guest sees it; times are the venue's. Nothing of price or payment, nor who else comes."""

    id: UUID
    booking_id: UUID
    status: InviteeStatus
    host: str
    """Who invites, by name; empty for who has none here."""
    organisation: str
    venue_id: UUID
    venue: str
    address: str
    resource_id: UUID
    place: str
    start: datetime
    end: datetime
    local_start: datetime
    timezone: str
    joined: bool = False
    """Whether it is an account's: then it is in that account's list, and accepting seats it in the booking's room."""


class GuestInvitations(msgspec.Struct, frozen=True):
    """The earliest start first."""

    items: list[GuestInvitation]


class Addressee(msgspec.Struct, frozen=True):
    """What is needed to write to who was invited by address: to their account when the address is one's, else to the address.

    `token` opens the invitation; it is kept nowhere and must not be.
    """

    email: str
    token: str
    account_id: UUID | None
    invited_by: UUID | None


class NewBooking(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Without `pay_with` the place is held and paid for later."""

    resource_id: UUID
    start: Instant
    duration_min: DurationMin
    purpose: Purpose = Purpose.WORKOUT
    team_size: People | None = None
    quote_id: UUID | None = None
    promo_code: PromoCode | None = None
    invitees: Annotated[list[NewInvitee], Meta(max_length=MAX_INVITEES)] = []
    pay_with: PayWith | None = None
    note: Note | None = None


class StaffBooking(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A booking that staff make for someone: an account, an e-mail address, or a walk-in's name. Exactly one of the three."""

    resource_id: UUID
    start: Instant
    duration_min: DurationMin
    account_id: UUID | None = None
    email: Email | None = None
    name: PersonName | None = None
    purpose: Purpose = Purpose.WORKOUT
    team_size: People | None = None
    pay_with: PayWith | None = None
    note: Note | None = None


class Payment(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the customer's device needs to finish paying: one of the two."""

    client_secret: str | None = None
    redirect: str | None = None


class Access(msgspec.Struct, frozen=True):
    pin: str


class BookingOut(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    id: UUID
    organisation_id: UUID
    venue_id: UUID
    resource_id: UUID
    account_id: UUID | None
    """None for a walk-in."""
    status: BookingStatus
    start: datetime
    end: datetime
    local_start: datetime
    purpose: Purpose
    team_size: int
    price: Money
    paid: Money
    hold_expires_at: datetime | None = None
    payment: Payment | None = None
    access: Access | None = None
    authorised: Money | None = None
    """Set aside for a request that staff have not answered yet: taken when they approve, given back otherwise."""
    refund: Money | None = None
    """In the answer to a cancellation or a change: what is given up of the price. What of it was still due falls away (of a
    cancellation `falls_away` in the refund preview); the rest goes back."""
    note: str | None = None
    guest_name: str | None = None
    version: int


class Pay(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pay_with: PayWith
    credits_amount: Annotated[int, Meta(ge=1, le=10**12)] | None = None
    """Minor units to take from credits first; the rest by `pay_with`."""
    promo_code: PromoCode | None = None


PriceAtMost = Annotated[
    Money,
    Meta(
        description="What the booking may cost in all after this change, its fee included: what you showed who asks for it. "
        "When it would be more (so also when less would go back), nothing is changed or charged: 409 `price_changed`."
    ),
]


class BookingPatch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    purpose: Purpose | UnsetType = UNSET
    team_size: People | UnsetType = UNSET
    equipment: EquipmentWishes | UnsetType = UNSET
    note: Note | UnsetType | None = UNSET
    price_at_most: PriceAtMost | None = None


class Reschedule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    start: Instant
    duration_min: DurationMin | None = None
    resource_id: UUID | None = None
    price_at_most: PriceAtMost | None = None


class Extend(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`duration_min` is the new whole length, not what is added."""

    duration_min: DurationMin
    price_at_most: PriceAtMost | None = None


RefundAtLeast = Annotated[
    Money,
    Meta(
        description="What has to come back: the `refund` of the preview that you showed who asks for it. When it would be less, "
        "because the time for it has passed meanwhile, nothing is cancelled: 409 `refund_changed`."
    ),
]


class Cancel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    reason: Reason | None = None
    refund_at_least: RefundAtLeast | None = None


class Decline(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    reason: Reason


class RefundPreview(msgspec.Struct, frozen=True):
    """What would be given back if the booking were cancelled now; `refund_pct` is the tier that holds until `until`, if one does.

    Of `refund`, `falls_away` is what is still due and was never paid; the rest comes back.
    """

    refund: Money
    refund_pct: int
    falls_away: Money
    until: datetime | None = None

    @property
    def back(self) -> Money:
        return self.refund - self.falls_away


# --------------------------------------------------------------------------------------------------- blocks, the day sheet


class NewBlock(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    resource_ids: ResourceIds
    start: Instant
    end: Instant
    reason: Reason
    rrule: Annotated[str, Meta(min_length=1, max_length=500)] | None = None
    """RFC 5545 recurrence on the venue's wall clock; without it the block happens once."""


class Block(msgspec.Struct, frozen=True):
    id: UUID
    organisation_id: UUID
    venue_id: UUID
    resource_ids: list[UUID]
    start: datetime
    end: datetime
    reason: str
    rrule: str | None = None


class BlockHit(msgspec.Struct, frozen=True):
    """A booking that a block would push out, with places it could move to."""

    booking: BookingOut
    moves: list[Alternative]


class BlockPreview(msgspec.Struct, frozen=True):
    occurrences: list[Period]
    hits: list[BlockHit]


class SheetEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One bar on the day sheet: a booking or a block."""

    resource_id: UUID
    start: datetime
    end: datetime
    booking_id: UUID | None = None
    block_id: UUID | None = None
    status: BookingStatus | None = None
    title: str
    version: int = 0


class DaySheet(msgspec.Struct, frozen=True):
    venue_id: UUID
    date: date
    timezone: str
    start: datetime
    """The first instant of the local day; `end` is the first of the next, 23 to 25 hours later."""
    end: datetime
    open: list[Period]
    entries: list[SheetEntry]


# --------------------------------------------------------------------------------------------------------------- errors


class SlotTaken(Conflict):
    """Another live claim overlaps. Carries `alternatives`."""

    code = "slot_taken"
    title = "That time was just taken"

    @classmethod
    def instead(cls, alternatives: list[Alternative]) -> SlotTaken:
        return cls(alternatives=msgspec.to_builtins(alternatives))


class PlaceBlocked(Conflict):
    """A block would lie on bookings or on another block. Carries `hits`: the bookings, with places they could move to."""

    code = "blocked"
    title = "Something is there already"


class InvalidTransition(Conflict):
    code = "invalid_transition"
    title = "The booking is past the point where this was possible"


class Overtaken(Conflict):
    """Others kept changing the booking while this change was being decided."""

    code = "booking_overtaken"
    title = "The booking was changed at the same time; look again"


class PriceChanged(Conflict):
    """The change would cost more than `price_at_most`. Carries `price`: what the booking would cost in all now."""

    code = "price_changed"
    title = "The price is higher now than it was shown; look again"

    @classmethod
    def to(cls, price: Money) -> PriceChanged:
        return cls(price=msgspec.to_builtins(price))


class RefundChanged(Conflict):
    """Cancelling would give back less than `refund_at_least`. Carries `refund`: what it would give back now."""

    code = "refund_changed"
    title = "Less comes back now than was shown; look again"

    @classmethod
    def to(cls, refund: Money) -> RefundChanged:
        return cls(refund=msgspec.to_builtins(refund))


class HoldExpired(Conflict):
    code = "hold_expired"
    title = "The time to pay ran out and the place was given back"


class QuoteExpired(Gone):
    code = "quote_expired"
    title = "This quote has run out; ask for a new one"


class QuoteMismatch(Invalid):
    """The booking asks for something else than its quote was for."""

    code = "quote_mismatch"
    title = "The quote is for something else"


class TooManyOpenBookings(Conflict):
    code = "too_many_open_bookings"
    title = "You have as many open bookings as this organisation allows"


class OutsideHorizon(Invalid):
    """Before the lead time or past the booking horizon."""

    code = "outside_horizon"
    title = "That time cannot be booked yet, or no longer"


class AdminCannotBook(Forbidden):
    code = "admin_cannot_book"
    title = "Platform administrators cannot book for themselves"


class InvitationOver(Gone):
    """Taken back, or its booking is cancelled or over."""

    code = "invitation_over"
    title = "This invitation is over"


class InvitationTaken(Conflict):
    code = "invitation_taken"
    title = "Somebody else has joined with this invitation"


class InvitationDeclined(Conflict):
    """Nobody is asked a second time by the way; the link they have still lets them say yes."""

    code = "invitation_declined"
    title = "They have said no; ask them again beside their name"


class AskedOften(Conflict):
    """Nobody is asked to the same booking as often as somebody likes."""

    code = "asked_often"
    title = "They have been asked as often as one may"


class TooManyInvitations(TooManyRequests):
    code = "too_many_invitations"
    title = "You have invited as many people as one may in a day"


# --------------------------------------------------------------------------------------------------------------- events


class BookingHeld(Event, name="booking.held", version=1, frozen=True, kw_only=True):
    """The place is claimed and waits for payment until `hold_expires_at`."""

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
    hold_expires_at: datetime


class ApprovalAsked(Event, name="booking.approval_asked", version=1, frozen=True, kw_only=True):
    """The place is claimed and waits for staff."""

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


class BookingConfirmed(Event, name="booking.confirmed", version=1, frozen=True, kw_only=True):
    """The place is the customer's."""

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
    paid: Money


class BookingDeclined(Event, name="booking.declined", version=1, frozen=True, kw_only=True):
    """Staff said no; the place is free again."""

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
    reason: str
    """What somebody wrote, or a Why."""

    personal = ("reason",)


class BookingCancelled(Event, name="booking.cancelled", version=1, frozen=True, kw_only=True):
    """The place is free again. Of `refund`, `falls_away` is what was still due; the rest goes back to the guest."""

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
    refund: Money
    by: BookingActor
    reason: str = ""
    """What somebody wrote, or a Why."""
    paid: Money | None = None
    falls_away: Money | None = None

    personal = ("reason",)


class BookingRescheduled(Event, name="booking.rescheduled", version=1, frozen=True, kw_only=True):
    """Moved or extended; `start`, `end`, `resource_id` and `price` are the new ones."""

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
    from_resource_id: UUID
    from_start: datetime
    from_end: datetime
    from_price: Money
    fee: Money


class BookingExpired(Event, name="booking.expired", version=1, frozen=True, kw_only=True):
    """Nobody paid in time; the place is free again."""

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


class BookingStarted(Event, name="booking.started", version=1, frozen=True, kw_only=True):
    """The booked time began."""

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


class BookingCompleted(Event, name="booking.completed", version=1, frozen=True, kw_only=True):
    """The booked time is over."""

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


class BookingNoShow(Event, name="booking.no_show", version=1, frozen=True, kw_only=True):
    """Nobody came."""

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


class GuestInvited(Event, name="booking.guest_invited", version=1, frozen=True, kw_only=True):
    """Somebody was invited to a booking that stands, or an invitation turned out to be an account's. By address alone there is
    no `account_id`."""

    organisation_id: UUID
    venue_id: UUID
    booking_id: UUID
    invitation_id: UUID
    account_id: UUID | None


class InvitationAnswered(Event, name="booking.invitation_answered", version=1, frozen=True, kw_only=True):
    """`account_id` is the guest's, `host_id` whose booking it is. `was` is how the invitation stood before."""

    organisation_id: UUID
    venue_id: UUID
    booking_id: UUID
    invitation_id: UUID
    account_id: UUID | None
    status: InviteeStatus
    was: InviteeStatus | None = None
    host_id: UUID | None = None


class InvitationWithdrawn(Event, name="booking.invitation_withdrawn", version=1, frozen=True, kw_only=True):
    """Taken back. By address alone there is no `account_id`."""

    organisation_id: UUID
    venue_id: UUID
    booking_id: UUID
    invitation_id: UUID
    account_id: UUID | None


class BlockPlaced(Event, name="block.placed", version=1, frozen=True, kw_only=True):
    organisation_id: UUID
    venue_id: UUID
    resource_ids: list[UUID]
    block_id: UUID
    start: datetime
    end: datetime
    reason: str


class BlockRemoved(Event, name="block.removed", version=1, frozen=True, kw_only=True):
    organisation_id: UUID
    venue_id: UUID
    resource_ids: list[UUID]
    block_id: UUID
    start: datetime
    end: datetime


# ---------------------------------------------------------------------------------------------------------------- calls


class BookingTopics(TopicSource, Protocol):
    """What may be followed on the socket: `venue:<id>:availability` by anyone, `booking:<id>` by those whose
    booking it is, and by staff who may see it."""


class Bookings(Protocol):
    async def booking(self, ctx: Context, booking_id: UUID) -> BookingOut:
        """Raises NotFound for a booking that is absent or not the actor's to see."""
        ...

    async def bookings(self, ctx: Context, booking_ids: list[UUID]) -> list[BookingOut]:
        """In the order asked; those absent or not the actor's to see are left out. At most 100 at once."""
        ...

    async def party(self, ctx: Context, booking_id: UUID) -> Party:
        """Who is told of a booking, for the house alone. Raises NotFound."""
        ...

    async def invitees(self, ctx: Context, booking_id: UUID) -> Invitees:
        """Everybody who is or was invited to a booking that the actor may see. Raises NotFound.

        Asked by notifications of the release before `invitations`."""
        ...

    @idempotent
    async def invitations(self, ctx: Context, invitation_ids: list[UUID]) -> list[Invitee]:
        """For the house alone: how these invitations of an organisation stand, in the order asked; those absent are left out. At
        most 100 at once."""
        ...

    @idempotent
    async def first_letter(self, ctx: Context, invitation_id: UUID) -> Addressee | None:
        """For the house alone: to whom the invitation itself is sent. None when it is over, answered, or its booking does not
        stand. Notes that it was told, and whose account the address is."""
        ...

    @idempotent
    async def letter(self, ctx: Context, invitation_id: UUID) -> Addressee | None:
        """For the house alone: to whom news of it is sent. None when the invitation itself never was."""
        ...

    async def busy(self, ctx: Context, venue_id: UUID, resource_ids: list[UUID], period: Period) -> dict[UUID, list[Period]]:
        """Claimed time, buffers included, per resource inside `period`. Raises NotFound."""
        ...

    async def hold(self, ctx: Context, wish: NewBooking) -> BookingOut:
        """Hold a place for the actor until it is paid for. Raises SlotTaken and what `check_request` raises."""
        ...

    async def paid(self, ctx: Context, booking_id: UUID, amount: Money) -> BookingOut:
        """`amount` in all has been paid; confirmed when that covers the price. Raises HoldExpired, InvalidTransition."""
        ...

    async def release(self, ctx: Context, booking_id: UUID, reason: str) -> BookingOut:
        """Give the place back without asking the customer; a second call changes nothing. Raises InvalidTransition, NotFound."""
        ...


class BookingFigures(msgspec.Struct, frozen=True):
    """What an organisation's bookings that begin in a period come to. Those asked for, held, declined or expired do not count."""

    organisation_id: UUID
    bookings: int
    """Upcoming, under way, or completed."""
    minutes: int
    """Of those, from their start to their end, without buffers."""
    cancelled: int
    no_shows: int


class BookingTotals(Protocol):
    """For who answers for several organisations."""

    @idempotent
    async def figures(self, ctx: Context, organisation_ids: list[UUID], period: Period) -> list[BookingFigures]:
        """Of each organisation, in the order asked. The caller decides who may ask. At most 100 at once."""
        ...


class BookingRecords(PersonalRecords, Protocol):
    """What people booked, what happened to it and what was written about it; whom they invited and who invited them; whether they
    have a calendar address."""


class FreeTimes(Protocol):
    """For pages that list venues."""

    @idempotent
    async def free_starts(self, ctx: Context, asked: StartsAsked) -> list[FreeStart]:
        """By venue in the order asked, then by start; unknown venues and those with nothing free are left out."""
        ...


class Proposal(msgspec.Struct, frozen=True, kw_only=True):
    """What a way onward leads to book. The times are shown on the clock of `timezone`."""

    place: str
    venue: str
    timezone: str
    start: datetime
    end: datetime
    people: int
    price: Money


class Proposals(Protocol):
    """For pages that stand between a choice and booking it, such as signing in."""

    @idempotent
    async def proposed(self, ctx: Context, onward: str) -> Proposal | None:
        """What would be booked at `onward`, a path of this site with its query; None for any other path, and for what cannot be
        booked as it is asked for, now."""
        ...


class FreeAt(Protocol):
    """For venues: who has room, and what is taken."""

    @idempotent
    async def free_venues(
        self, ctx: Context, venue_ids: list[UUID], start: datetime, duration_min: int, sport: str | None = None
    ) -> list[UUID]:
        """Those of the venues that have something (of the sport) free from `start` for so long. At most 300 are looked at."""
        ...

    @idempotent
    async def rearrange(self, ctx: Context, venue_id: UUID, resource_ids: list[UUID], version: int) -> list[UUID]:
        """Before these resources of the organisation's venue, or parts of theirs, get more parts. Those of them that somebody has
        at some time that is not over; then nothing changes. When it is nobody, nothing is claimed at the venue for a minute from
        a book of `version` or an older one, which does not know of the parts: whoever has one is told to look again."""
        ...

    @idempotent
    async def claimed(self, ctx: Context, resource_ids: list[UUID]) -> list[UUID]:
        """Those of the organisation's resources that somebody has at some time that is not over: held, booked or blocked.

        Asked by venues of the release before `rearrange`."""
        ...
