"""Pure decisions about bookings: who may move them where, what may be asked, what comes back. Values in, values out."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import msgspec

from forecourt.kernel.errors import Invalid
from forecourt.kernel.money import Money
from forecourt.kernel.period import Period
from forecourt.modules.booking.contract import (
    FINAL,
    BookingAction,
    BookingActor,
    BookingStatus,
    InvalidTransition,
    OutsideHorizon,
    QuoteLine,
    RefundPreview,
    TaxLine,
    TooManyOpenBookings,
)
from forecourt.modules.venues.contract import (
    CapacityExceeded,
    OrganisationInactive,
    OrganisationStatus,
    Policies,
    Purpose,
    Resource,
    ResourceInactive,
    Tax,
    VenueBook,
    VenueClosed,
)
from forecourt.modules.venues.contract.calendar import is_open, local
from forecourt.modules.venues.contract.tariff import PricedSegment

# -------------------------------------------------------------------------------------------------------- state machine

_S, _A, _W = BookingStatus, BookingAction, BookingActor
_ANYONE = frozenset(BookingActor)
_STAFF = frozenset({_W.STAFF, _W.HOUSE})
_HOUSE = frozenset({_W.HOUSE})

TRANSITIONS: dict[tuple[BookingStatus, BookingAction], tuple[BookingStatus, frozenset[BookingActor]]] = {
    (_S.DRAFT, _A.REQUEST_APPROVAL): (_S.PENDING_APPROVAL, _ANYONE),
    (_S.DRAFT, _A.HOLD): (_S.PAYMENT_PENDING, _ANYONE),
    (_S.DRAFT, _A.CONFIRM): (_S.UPCOMING, _STAFF),
    (_S.DRAFT, _A.CANCEL): (_S.CANCELLED, _ANYONE),
    (_S.PENDING_APPROVAL, _A.APPROVE): (_S.PAYMENT_PENDING, _STAFF),
    (_S.PENDING_APPROVAL, _A.CONFIRM): (_S.UPCOMING, _STAFF),  # approved, and what was authorised on request covers it
    (_S.PENDING_APPROVAL, _A.DECLINE): (_S.DECLINED, _STAFF),
    (_S.PENDING_APPROVAL, _A.CANCEL): (_S.CANCELLED, _ANYONE),
    (_S.PENDING_APPROVAL, _A.EDIT): (_S.PENDING_APPROVAL, _ANYONE),
    (_S.PAYMENT_PENDING, _A.CONFIRM): (_S.UPCOMING, _STAFF),
    (_S.PAYMENT_PENDING, _A.EXPIRE): (_S.EXPIRED, _HOUSE),
    (_S.PAYMENT_PENDING, _A.CANCEL): (_S.CANCELLED, _ANYONE),
    (_S.PAYMENT_PENDING, _A.RESCHEDULE): (_S.PAYMENT_PENDING, _ANYONE),
    (_S.PAYMENT_PENDING, _A.EXTEND): (_S.PAYMENT_PENDING, _ANYONE),
    (_S.PAYMENT_PENDING, _A.EDIT): (_S.PAYMENT_PENDING, _ANYONE),
    (_S.UPCOMING, _A.BEGIN): (_S.IN_PROGRESS, _ANYONE),
    (_S.UPCOMING, _A.COMPLETE): (_S.COMPLETED, _HOUSE),  # nobody checked in and the time is over
    (_S.UPCOMING, _A.MARK_NO_SHOW): (_S.NO_SHOW, _STAFF),
    (_S.UPCOMING, _A.CANCEL): (_S.CANCELLED, _ANYONE),
    (_S.UPCOMING, _A.RESCHEDULE): (_S.UPCOMING, _ANYONE),
    (_S.UPCOMING, _A.EXTEND): (_S.UPCOMING, _ANYONE),
    (_S.UPCOMING, _A.EDIT): (_S.UPCOMING, _ANYONE),
    (_S.IN_PROGRESS, _A.EXTEND): (_S.IN_PROGRESS, _ANYONE),
    (_S.IN_PROGRESS, _A.EDIT): (_S.IN_PROGRESS, _STAFF),
    (_S.IN_PROGRESS, _A.COMPLETE): (_S.COMPLETED, _ANYONE),
    (_S.IN_PROGRESS, _A.CANCEL): (_S.CANCELLED, _STAFF),
    (_S.IN_PROGRESS, _A.MARK_NO_SHOW): (_S.NO_SHOW, _STAFF),
}
"""From a status by an action to a status, and who may do it. What is not here is illegal. A table, so that tests can read it."""


def advance(status: BookingStatus, action: BookingAction, actor: BookingActor) -> BookingStatus:
    """The status after `action`. Raises InvalidTransition when the status does not allow it, or not to this actor."""
    match TRANSITIONS.get((status, action)):
        case (after, actors) if actor in actors:
            return after
        case None if status in FINAL:
            raise InvalidTransition(f"The booking is {_words(status)}; nothing more can happen to it.")
        case _:
            raise InvalidTransition(f"A booking that is {_words(status)} does not allow: {_words(action)}.")


class Standing(msgspec.Struct, frozen=True):
    """A booking as it stands. `asked_for`: staff have to agree to what it is for, see `needs_approval`."""

    status: BookingStatus
    starts_at: datetime
    asked_for: bool


def permit(booking: Standing, action: BookingAction, actor: BookingActor, now: datetime) -> BookingStatus:
    """The status after `action`, if this actor may do it now. Raises InvalidTransition.

    Staff agreed to a time, a length and a place; another of these is a new wish, also of who has the booking already (BK-6).
    """
    after = advance(booking.status, action, actor)
    match action:
        case _A.MARK_NO_SHOW if booking.starts_at > now:
            raise InvalidTransition("The booking has not begun yet.")
        case _A.RESCHEDULE | _A.EXTEND if booking.asked_for:
            _check_agreed(booking.status, actor)
        case _:
            pass
    return after


def check_purpose(policies: Policies, status: BookingStatus, actor: BookingActor, purpose: Purpose) -> None:
    """Whether this actor may change a booking in `status` to `purpose`. Raises InvalidTransition."""
    if needs_approval(policies, purpose):
        _check_agreed(status, actor)


def _check_agreed(status: BookingStatus, actor: BookingActor) -> None:
    """What staff have to agree to is asked for, and not changed into by a customer; a request that still waits may change."""
    if actor is _W.CUSTOMER and status is not _S.PENDING_APPROVAL:
        raise InvalidTransition("Staff have to agree to this: withdraw the booking and ask again.")


def permitted(booking: Standing, action: BookingAction, actor: BookingActor, now: datetime) -> bool:
    """Whether `permit` would let it pass: what pages offer."""
    try:
        permit(booking, action, actor, now)
    except InvalidTransition:
        return False
    return True


def _words(value: BookingStatus | BookingAction) -> str:
    return value.value.replace("_", " ")


# ------------------------------------------------------------------------------------------------------------- requests

EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
LATEST = datetime(2200, 1, 1, tzinfo=UTC)


def requested_period(start: datetime, duration_min: int) -> Period:
    """The period asked for, in UTC. Raises Invalid for years outside 2000 to 2199, which no calendar here can hold."""
    if not EARLIEST <= start < LATEST:
        raise Invalid.field("start", "is not between the years 2000 and 2199")
    return Period.of(start, duration_min)


def party_limits(resource: Resource, purpose: Purpose) -> tuple[int, int]:
    """How many people may come there for that: the fewest and the most."""
    return resource.people.get(purpose, (1, resource.capacity))


def party(resource: Resource, purpose: Purpose, team_size: int | None) -> int:
    """How many people come: those named, else the fewest this purpose takes. Raises CapacityExceeded."""
    fewest, most = party_limits(resource, purpose)
    if team_size is None:
        return fewest
    if not fewest <= team_size <= most:
        raise CapacityExceeded.field("team_size", f"{resource.name} takes {fewest} to {most} people for {purpose.value}")
    return team_size


def lead_min(book: VenueBook, resource: Resource) -> int:
    return book.policies.lead_min if resource.lead_min is None else resource.lead_min


def horizon_days(book: VenueBook, resource: Resource) -> int:
    return book.policies.horizon_days if resource.horizon_days is None else resource.horizon_days


def check_request(
    book: VenueBook,
    resource: Resource,
    period: Period,
    purpose: Purpose,
    team_size: int,
    now: datetime,
    open_count: int,
) -> None:
    """Whether a customer may ask for this, apart from it being free. `open_count`: this person's open bookings here.

    Raises OrganisationInactive, ResourceInactive, Invalid, OutsideHorizon, VenueClosed, CapacityExceeded, TooManyOpenBookings.
    """
    check_place(book, resource, period, purpose, team_size)
    _check_notice(book, resource, period, now)
    if open_count >= book.policies.max_open_bookings:
        raise TooManyOpenBookings(f"{book.organisation.name} allows {book.policies.max_open_bookings} open bookings per person.")


def check_place(book: VenueBook, resource: Resource, period: Period, purpose: Purpose, team_size: int) -> None:
    """The part of `check_request` that also binds staff: the place exists, is open, and fits the party and the grid."""
    if book.organisation.status is not OrganisationStatus.ACTIVE:
        raise OrganisationInactive
    if not resource.active:
        raise ResourceInactive(f"{resource.name} is not bookable at present.")
    if period.duration_min not in resource.durations_min:
        allowed = ", ".join(str(d) for d in sorted(resource.durations_min))
        raise Invalid.field("duration_min", f"{resource.name} is booked for {allowed} minutes")
    if not on_grid(book, resource, period.start):
        raise Invalid.field("start", f"{resource.name} is booked from every {resource.slot_min} minutes, counted from midnight")
    party(resource, purpose, team_size)
    if not is_open(book, period):
        raise VenueClosed(f"{book.venue.name} is not open for the whole of that time.")


def on_grid(book: VenueBook, resource: Resource, start: datetime) -> bool:
    """True when the venue's clock shows a whole multiple of the slot grid after midnight."""
    at = local(book, start)
    return at.second == 0 and at.microsecond == 0 and (at.hour * 60 + at.minute) % resource.slot_min == 0


def _check_notice(book: VenueBook, resource: Resource, period: Period, now: datetime) -> None:
    if period.start < now:
        raise Invalid.field("start", "is in the past")
    lead = lead_min(book, resource)
    if period.start < now + timedelta(minutes=lead):
        raise OutsideHorizon.field("start", f"{resource.name} is booked at least {lead} minutes ahead")
    days = horizon_days(book, resource)
    if (local(book, period.start).date() - local(book, now).date()).days > days:
        raise OutsideHorizon.field("start", f"{resource.name} is booked at most {days} days ahead")


def needs_approval(policies: Policies, purpose: Purpose) -> bool:
    return purpose in policies.approval_purposes


def hold_expiry(policies: Policies, now: datetime) -> datetime:
    """When a hold made now gives the place back unpaid."""
    return now + timedelta(minutes=policies.hold_min)


def hold_is_over(hold_expires_at: datetime, now: datetime) -> bool:
    """The very instant of expiry is too late: a hold is half-open like every period."""
    return now >= hold_expires_at


# ---------------------------------------------------------------------------------------------------------------- money


def refund_pct(policies: Policies, start: datetime, now: datetime) -> int:
    """Percent that comes back by the tiers; a notice of exactly `before_h` hours is enough."""
    return next((t.refund_pct for t in policies.cancellation if start - now >= timedelta(hours=t.before_h)), 0)


def refund_due(policies: Policies, paid: Money, start: datetime, now: datetime) -> Money:
    """Refund at `now` of what was paid, rounded half to even; 0 after the last tier. Tiers: VE-8."""
    return paid.percent(refund_pct(policies, start, now))


def falls_away(refund: Money, due: Money) -> Money:
    """What of a refund nobody paid: what is still due goes first, for nobody has it (`payments.rules.portions`)."""
    return min(refund, due, key=_amount)


def refund_preview(policies: Policies, charged: Money, due: Money, start: datetime, now: datetime) -> RefundPreview:
    """What is given back now of what was charged, `due` included, and until when that holds; an instant later it is less."""
    pct = refund_pct(policies, start, now)
    tier = next((t for t in policies.cancellation if start - now >= timedelta(hours=t.before_h)), None)
    until = None if tier is None else start - timedelta(hours=tier.before_h)
    refund = charged.percent(pct)
    return RefundPreview(refund, pct, falls_away(refund, due), until)


class Repricing(msgspec.Struct, frozen=True):
    """What a change of a booking means in money. `due` is still to be paid; `back` goes back; one of them is zero."""

    price: Money
    fee: Money
    due: Money
    back: Money


class Agreed(msgspec.Struct, frozen=True):
    """What a booking costs as it stands. A code, a fee or a gift lie between the venue's list and the price.

    `charged` is what its payment holds: taken or due at the desk, and not given back.
    """

    list_price: Money
    price: Money
    charged: Money


def reprice(was: Agreed, list_price: Money, fee: Money, less: Money) -> Repricing:
    """The booking that was agreed on so costs `list_price` by the venue's list from now on. What the list asks more, and the fee,
    is to be paid; `less` falls away, see `fallen` and `given_up`. What was agreed otherwise stays agreed."""
    zero = Money.zero(was.price.currency)
    more = max(list_price - was.list_price, zero, key=_amount) + fee
    due = max(more - less, zero, key=_amount)
    back = min(max(less - more, zero, key=_amount), was.charged, key=_amount)
    return Repricing(was.price + more - less, fee, due, back)


def fallen(was: Agreed, list_price: Money) -> Money:
    """By how much the list asks less than before, at most the price. A move there and back costs nothing in the end."""
    return min(max(was.list_price - list_price, Money.zero(list_price.currency), key=_amount), was.price, key=_amount)


def over_already(period: Period, now: datetime) -> bool:
    """Whether a booking of that time would be over: what was played is not changed afterwards."""
    return period.end <= now


def given_up(was: Agreed, list_price: Money) -> Money:
    """What of the price is for the part that falls away: who pays half of the list by a code gives up half of what the list asks
    less, or a shorter time would be free."""
    falls = max(was.list_price - list_price, Money.zero(list_price.currency), key=_amount)
    if not falls or was.price.amount >= was.list_price.amount:
        return falls
    return falls.times(was.price.amount, was.list_price.amount)


def reschedule_fee(policies: Policies, old_price: Money) -> Money:
    """The fee for moving a booking, a share of what it cost before; extending and editing are free of it."""
    return old_price.percent(policies.reschedule_fee_pct)


def _amount(money: Money) -> int:
    return money.amount


def quote_lines(book: VenueBook, resource: Resource, segments: Sequence[PricedSegment]) -> list[QuoteLine]:
    """One line per segment, named by its rule and local time: `Peak, 18:00–19:00`."""
    return [
        QuoteLine(
            label=f"{s.label or resource.name}, {local(book, s.period.start):%H:%M}–{local(book, s.period.end):%H:%M}",
            amount=s.amount,
            rule=s.label,
        )
        for s in segments
    ]


def tax_lines(taxes: Sequence[Tax], net_or_gross: Money) -> list[TaxLine]:
    """Tax on the sum of the lines. Included taxes are taken out of it together, added ones come on top of what is left.

    Gross G with included rates i₁…iₙ holds the net N = G ÷ (1 + Σi); each tax is N × its rate. Rounded half to even,
    the included ones so that net and taxes add up to G.
    """
    included = [Decimal(t.rate) for t in taxes if t.included]
    share = 100 + sum(included, Decimal(0))
    net = Money(net_or_gross.times(Decimal(100) / share).amount, net_or_gross.currency)
    weights = [int(rate * 10_000) for rate in included]
    parts = iter((net_or_gross - net).split(weights) if any(weights) else [Money.zero(net.currency)] * len(weights))
    return [TaxLine(t.rate, next(parts) if t.included else net.times(Decimal(t.rate), 100), t.included) for t in taxes]


def with_added_tax(taxes: Sequence[Tax], lines_total: Money) -> Money:
    """What is to be paid for lines of that sum, as `quote_total` says."""
    added = (t.amount for t in tax_lines(taxes, lines_total) if not t.included)
    return lines_total + Money.total(added, lines_total.currency)


def taxes_within(taxes: Sequence[Tax], total: Money) -> tuple[Money, list[TaxLine]]:
    """What the lines of a bill over `total` add up to, and its tax: `tax_lines` the other way round.

    A total T with rates r₁…rₙ, included and added, holds the net N = T ÷ (1 + Σr). Net and taxes add up to T, and so do the lines
    and the added taxes.
    """
    rates = [Decimal(t.rate) for t in taxes]
    net = total.times(Decimal(100) / (100 + sum(rates, Decimal(0))))
    weights = [int(rate * 10_000) for rate in rates]
    parts = (total - net).split(weights) if any(weights) else [Money.zero(total.currency)] * len(weights)
    tax = [TaxLine(t.rate, part, t.included) for t, part in zip(taxes, parts, strict=True)]
    return total - Money.total((t.amount for t in tax if not t.included), total.currency), tax


def quote_total(lines: Sequence[QuoteLine], tax: Sequence[TaxLine], currency: str) -> Money:
    """What is to be paid: the lines and the taxes that they do not include; never below zero."""
    whole = Money.total([line.amount for line in lines] + [t.amount for t in tax if not t.included], currency)
    return max(whole, Money.zero(currency), key=_amount)


def short_number(booking_id: UUID) -> str:
    """The last digits of the id in fours, to say on the telephone: `9F3A-04C1`."""
    tail = booking_id.hex[-8:].upper()
    return f"{tail[:4]}-{tail[4:]}"
