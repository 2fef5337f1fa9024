"""What other modules may know of payments: values, errors, events and the calls they may make.

A *payment* gathers everything that is charged and refunded for one subject; its id is the subject's (booking id = payment id).
It has one or more *charges*. The first charge's id is the payment's own; for a further one (a reschedule that costs more, the
rest of a part-payment) the caller derives an id that is the same on every retry. A reschedule that costs less is a `refund`
under an id derived in the same way. Amounts are minor units of the organisation's currency and never negative here.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Protocol
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from forecourt.kernel.context import Context
from forecourt.kernel.contracts import idempotent
from forecourt.kernel.errors import Conflict, Invalid, PaymentRequired
from forecourt.kernel.events import Event
from forecourt.kernel.money import Currency, Money
from forecourt.kernel.period import Period
from forecourt.kernel.records import PersonalRecords

# ---------------------------------------------------------------------------------------------------------------- words

Instant = Annotated[datetime, Meta(tz=True, description="RFC 3339 with an offset")]
Reason = Annotated[str, Meta(min_length=1, max_length=500)]
Label = Annotated[str, Meta(max_length=200)]
Code = Annotated[str, Meta(min_length=1, max_length=40, description="A promo code; upper and lower case are the same")]
DurationMin = Annotated[int, Meta(ge=1, le=44_640, description="Whole minutes")]
VenueIds = Annotated[list[UUID], Meta(max_length=1000)]

MAX_GRANT_MINOR = 10_000_000
"""The largest single grant: 100,000.00 of a two-decimal currency."""
GRACE_DAYS = 30
"""A refund to a lot that has expired makes the lot good for so many days more."""


class PayWith(StrEnum):
    """Values as in booking's contract. Those that no provider serves raise MeansNotSetUp."""

    CREDITS = "credits"
    CARD = "card"
    DESK = "desk"
    JAZZCASH = "jazzcash"
    EASYPAISA = "easypaisa"
    BANK_TRANSFER = "bank_transfer"


class LotKind(StrEnum):
    """Where credits came from. `granted` ones are spent first."""

    GRANTED = "granted"
    PURCHASED = "purchased"
    SUBSCRIPTION = "subscription"


class ChargeStatus(StrEnum):
    PAID = "paid"
    DUE_AT_DESK = "due_at_desk"


class PromoKind(StrEnum):
    PERCENT = "percent"
    FIXED = "fixed"
    FREE_MINUTES = "free_minutes"


class PromoFault(StrEnum):
    """Why a code does not hold."""

    UNKNOWN = "unknown"
    INACTIVE = "inactive"
    NOT_YET = "not_yet"
    OVER = "over"
    OTHER_VENUE = "other_venue"
    USED_UP = "used_up"
    USED_UP_BY_PERSON = "used_up_by_person"
    NOT_FIRST_TIME = "not_first_time"
    NEEDS_ACCOUNT = "needs_account"
    DOES_NOT_STACK = "does_not_stack"
    OTHER_CURRENCY = "other_currency"


# -------------------------------------------------------------------------------------------------------------- charges


class PromoUse(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A code and what it is used for; `start` and `duration_min` are those of the booked time."""

    code: Code
    venue_id: UUID
    start: Instant
    duration_min: DurationMin


class Charge(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`amount` is the price before the promo code. `account_id` is None for a walk-in, who can pay at the desk only."""

    payment_id: UUID
    organisation_id: UUID
    account_id: UUID | None
    amount: Money
    pay_with: PayWith
    label: Label = ""
    """What it is for, in words of the house and never of a person: it stays when one is erased."""
    promo: PromoUse | None = None
    charge_id: UUID | None = None
    """None: the payment's first charge, whose id is `payment_id`."""


class Authorise(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Sets aside what `charge` would take, for somebody still has to agree. From `expires_at` on it can no longer be captured."""

    charge: Charge
    expires_at: Instant


class AuthorisationStatus(StrEnum):
    HELD = "held"
    CAPTURED = "captured"
    RELEASED = "released"


class Authorisation(msgspec.Struct, frozen=True, kw_only=True):
    """What was set aside: `amount` is the price less `discount`. `id` is the charge's that capturing it makes."""

    id: UUID
    payment_id: UUID
    status: AuthorisationStatus
    amount: Money
    discount: Money
    expires_at: datetime


class PaymentResult(msgspec.Struct, frozen=True, kw_only=True):
    """What one charge came to: `amount` = `paid` + `due` is the price less `discount`."""

    payment_id: UUID
    charge_id: UUID
    status: ChargeStatus
    amount: Money
    paid: Money
    due: Money
    discount: Money


class Cause(StrEnum):
    """Why money goes back of which nobody wrote a reason. It is stored as it is and worded when it is shown; what people wrote
    stays as they wrote it."""

    CANCELLED = "cancel"
    DECLINED = "decline"
    MOVED = "reschedule"
    EXTENDED = "extend"
    EDITED = "edit"
    LATE = "late"
    """It was paid when the place could no longer be kept."""
    CHANGED = "booking changed"


class Refund(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`amount` goes back to where it came from, the newest charge first. None: all that is left."""

    refund_id: UUID
    payment_id: UUID
    organisation_id: UUID
    amount: Money | None
    reason: Reason
    """What somebody wrote, or a Cause."""


class RefundResult(msgspec.Struct, frozen=True, kw_only=True):
    """`amount` = `to_credits` + `at_desk` + `waived`.

    `at_desk` was received at the desk and is to be handed back there; `waived` was due at the desk and no longer is.
    """

    refund_id: UUID
    payment_id: UUID
    amount: Money
    to_credits: Money
    at_desk: Money
    waived: Money


class ChargeState(msgspec.Struct, frozen=True, kw_only=True):
    id: UUID
    pay_with: PayWith
    status: ChargeStatus
    amount: Money
    discount: Money
    refunded: Money
    promo_code: str | None = None
    created_at: datetime


class PaymentState(msgspec.Struct, frozen=True, kw_only=True):
    """Sums over all charges. `paid` is what was taken and not given back, `due` what is still to be received at the desk,
    `owed` what is still to be handed back there. `refundable` = `paid` + `due`."""

    id: UUID
    organisation_id: UUID
    account_id: UUID | None
    label: str
    charged: Money
    discount: Money
    refunded: Money
    paid: Money
    due: Money
    owed: Money
    refundable: Money
    charges: list[ChargeState]
    created_at: datetime


# -------------------------------------------------------------------------------------------------------------- credits


class Grant(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Credits for a person, as one lot whose id is `lot_id`."""

    lot_id: UUID
    organisation_id: UUID
    account_id: UUID
    amount: Money
    kind: LotKind = LotKind.GRANTED
    reason: Reason
    expires_at: Instant | None = None


class Reversal(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Takes back what is left of a lot that should not have been given."""

    reversal_id: UUID
    lot_id: UUID
    organisation_id: UUID
    reason: Reason


class Lot(msgspec.Struct, frozen=True, kw_only=True):
    id: UUID
    organisation_id: UUID
    account_id: UUID
    kind: LotKind
    amount: Money
    remaining: Money
    expires_at: datetime | None
    created_at: datetime


class Wallet(msgspec.Struct, frozen=True, kw_only=True):
    """Credits a person can spend at one organisation now. `lots` are in the order in which they are spent.

    `reserved` is set aside for what the organisation has not agreed to yet; it is no part of `balance`.
    """

    organisation_id: UUID
    account_id: UUID
    balance: Money
    reserved: Money
    lots: list[Lot]


# ---------------------------------------------------------------------------------------------------------- promo codes


class PromoDiscount(msgspec.Struct, frozen=True, kw_only=True):
    code: str
    label: str
    discount: Money
    total: Money
    """What is left to pay."""


UsageLimit = Annotated[int, Meta(ge=1, le=10_000_000)]
NewCode = Annotated[
    str, Meta(min_length=3, max_length=40, pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*\Z", description="Letters, digits, - and _")
]


class NewPromoCode(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`value` is percent (1 to 100), minor units of the organisation's currency, or minutes, as `kind` says.

    `starts_at` and `ends_at` bound when the code can be used, half-open. An empty `venue_ids` means every venue.
    `stacks`: may be used on a payment that has another code, if that one stacks too.
    """

    code: NewCode
    kind: PromoKind
    value: Annotated[int, Meta(ge=1, le=10**9)]
    label: Label = ""
    starts_at: Instant | None = None
    ends_at: Instant | None = None
    total_limit: UsageLimit | None = None
    person_limit: UsageLimit | None = None
    first_time_only: bool = False
    venue_ids: VenueIds = []
    stacks: bool = False


class PromoCodePatch(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a code is worth stays: people were told. Make another code instead."""

    label: Label | UnsetType = UNSET
    starts_at: Instant | UnsetType | None = UNSET
    ends_at: Instant | UnsetType | None = UNSET
    total_limit: UsageLimit | UnsetType | None = UNSET
    person_limit: UsageLimit | UnsetType | None = UNSET
    first_time_only: bool | UnsetType = UNSET
    venue_ids: VenueIds | UnsetType = UNSET
    stacks: bool | UnsetType = UNSET
    active: bool | UnsetType = UNSET


class PromoCode(msgspec.Struct, frozen=True):
    id: UUID
    organisation_id: UUID
    code: str
    kind: PromoKind
    value: int
    currency: Currency
    label: str
    starts_at: datetime | None
    ends_at: datetime | None
    total_limit: int | None
    person_limit: int | None
    first_time_only: bool
    venue_ids: list[UUID]
    stacks: bool
    active: bool
    used: int
    version: int
    created_at: datetime


# --------------------------------------------------------------------------------------------------------------- errors


class InsufficientCredits(PaymentRequired):
    """Carries `balance` and `needed`, both money."""

    code = "insufficient_credits"
    title = "There are not enough credits"

    @classmethod
    def short(cls, balance: Money, needed: Money) -> InsufficientCredits:
        return cls(balance=msgspec.to_builtins(balance), needed=msgspec.to_builtins(needed))


class MeansNotSetUp(Invalid):
    """No provider serves this way of paying at the organisation."""

    code = "means_not_set_up"
    title = "This way of paying is not set up at this organisation"


class PromoRejected(Invalid):
    """Carries `fault`, a PromoFault."""

    code = "promo_rejected"
    title = "This code cannot be used here"

    @classmethod
    def because(cls, fault: PromoFault, detail: str) -> PromoRejected:
        return cls(detail, fault=fault.value)


class ChargeMismatch(Conflict):
    """The id was used for another charge: other amount, means, person, code or payment."""

    code = "charge_mismatch"
    title = "That payment was already made with other details"


class AuthorisationEnded(Conflict):
    """It was released or has expired: nothing is set aside any more."""

    code = "authorisation_ended"
    title = "What was set aside has been given back"


class RefundMismatch(Conflict):
    code = "refund_mismatch"
    title = "That refund was already made with other details"


class GrantMismatch(Conflict):
    code = "grant_mismatch"
    title = "Those credits were already given with other details"


class RefundExceedsPayment(Conflict):
    """Carries `refundable`, money."""

    code = "refund_exceeds_payment"
    title = "More than was paid cannot be given back"

    @classmethod
    def beyond(cls, refundable: Money) -> RefundExceedsPayment:
        return cls(refundable=msgspec.to_builtins(refundable))


class PromoCodeTaken(Conflict):
    code = "promo_code_taken"
    title = "There is a code of that name"


# --------------------------------------------------------------------------------------------------------------- events


class PaymentCaptured(Event, name="payment.captured", version=1, frozen=True, kw_only=True):
    """Money or credits were taken."""

    organisation_id: UUID
    payment_id: UUID
    charge_id: UUID
    account_id: UUID | None
    pay_with: PayWith
    amount: Money
    discount: Money


class PaymentAuthorised(Event, name="payment.authorised", version=1, frozen=True, kw_only=True):
    """Credits were set aside; `payment.captured` or `payment.released` follows."""

    organisation_id: UUID
    payment_id: UUID
    charge_id: UUID
    account_id: UUID
    amount: Money
    discount: Money
    expires_at: datetime


class PaymentReleased(Event, name="payment.released", version=1, frozen=True, kw_only=True):
    """What was set aside is the person's again."""

    organisation_id: UUID
    payment_id: UUID
    charge_id: UUID
    account_id: UUID
    amount: Money


class PaymentDue(Event, name="payment.due", version=1, frozen=True, kw_only=True):
    """To be received at the desk."""

    organisation_id: UUID
    payment_id: UUID
    charge_id: UUID
    account_id: UUID | None
    amount: Money
    discount: Money


class PaymentRefunded(Event, name="payment.refunded", version=1, frozen=True, kw_only=True):
    organisation_id: UUID
    payment_id: UUID
    refund_id: UUID
    account_id: UUID | None
    amount: Money
    to_credits: Money
    at_desk: Money
    waived: Money
    reason: str

    personal = ("reason",)


class DeskRefundPaid(Event, name="payment.desk_refund_paid", version=1, frozen=True, kw_only=True):
    """Money was handed back at the desk."""

    organisation_id: UUID
    payment_id: UUID
    account_id: UUID | None
    amount: Money


class CreditsGranted(Event, name="credits.granted", version=1, frozen=True, kw_only=True):
    organisation_id: UUID
    account_id: UUID
    lot_id: UUID
    kind: LotKind
    amount: Money
    reason: str
    expires_at: datetime | None

    personal = ("reason",)


class CreditsExpired(Event, name="credits.expired", version=1, frozen=True, kw_only=True):
    organisation_id: UUID
    account_id: UUID
    lot_id: UUID
    amount: Money


class CreditsReversed(Event, name="credits.reversed", version=1, frozen=True, kw_only=True):
    organisation_id: UUID
    account_id: UUID
    lot_id: UUID
    amount: Money
    reason: str

    personal = ("reason",)


class PromoRedeemed(Event, name="promo.redeemed", version=1, frozen=True, kw_only=True):
    organisation_id: UUID
    promo_id: UUID
    payment_id: UUID
    charge_id: UUID
    account_id: UUID | None
    discount: Money


class PromoReleased(Event, name="promo.released", version=1, frozen=True, kw_only=True):
    """The payment was given back in full, so the use no longer counts."""

    organisation_id: UUID
    promo_id: UUID
    payment_id: UUID
    charge_id: UUID
    account_id: UUID | None


class PromoCodeChanged(Event, name="promo.changed", version=1, frozen=True, kw_only=True):
    """Made or edited."""

    organisation_id: UUID
    promo_id: UUID
    code: str
    active: bool


class LedgerDisagrees(Event, name="ledger.disagrees", version=1, frozen=True, kw_only=True):
    """The nightly proof found something that does not add up. Somebody has to look."""

    organisation_id: UUID
    faults: list[str]


# ---------------------------------------------------------------------------------------------------------------- calls


class Revenue(msgspec.Struct, frozen=True):
    """What an organisation took in a period, less what it gave back: an amount per currency, by its code."""

    organisation_id: UUID
    amounts: list[Money]


class PaymentRecords(PersonalRecords, Protocol):
    """People's wallets and credits, what moved them and why; their payments, charges and refunds; the promo codes they used."""


class Takings(Protocol):
    """For who answers for several organisations."""

    @idempotent
    async def revenue(self, ctx: Context, organisation_ids: list[UUID], period: Period) -> list[Revenue]:
        """Of each organisation, in the order asked, by the ledger. The caller decides who may ask. At most 100 at once."""
        ...


class Payments(Protocol):
    """Called outside any transaction. A call that is repeated with the same id has one effect and the same result."""

    @idempotent
    async def charge(self, ctx: Context, charge: Charge) -> PaymentResult:
        """Raises InsufficientCredits, MeansNotSetUp, PromoRejected, ChargeMismatch, Invalid. Nothing is written then."""
        ...

    @idempotent
    async def authorise(self, ctx: Context, wish: Authorise) -> Authorisation:
        """Sets credits aside. Repeated, it answers with what there is, also when that has ended since.

        Raises InsufficientCredits, MeansNotSetUp, PromoRejected, ChargeMismatch, AuthorisationEnded (it was released before it
        came), Invalid. Nothing is written then.
        """
        ...

    @idempotent
    async def capture(self, ctx: Context, organisation_id: UUID, authorisation_id: UUID) -> PaymentResult:
        """Takes what was set aside. Raises AuthorisationEnded, NotFound."""
        ...

    @idempotent
    async def release(self, ctx: Context, organisation_id: UUID, authorisation_id: UUID, currency: str) -> Authorisation:
        """Gives back what was set aside; a captured one stays, and the answer says so.

        One that was never made is refused from then on: whoever is about to make it comes too late.
        """
        ...

    @idempotent
    async def authorisation(self, ctx: Context, organisation_id: UUID, authorisation_id: UUID) -> Authorisation | None:
        """As it is now; None when there never was one. For recovery."""
        ...

    @idempotent
    async def refund(self, ctx: Context, refund: Refund) -> RefundResult:
        """To source. When everything is given back, the payment's promo codes count as unused again.

        Zero is allowed: it frees the code of a payment that a code made free. Raises RefundExceedsPayment, RefundMismatch,
        NotFound.
        """
        ...

    @idempotent
    async def settle_desk(self, ctx: Context, organisation_id: UUID, payment_id: UUID) -> PaymentState:
        """What is due was received, and what is owed was handed back, at the desk. Raises NotFound."""
        ...

    @idempotent
    async def status(self, ctx: Context, organisation_id: UUID, payment_id: UUID) -> PaymentState | None:
        """The payment as it is now; None when nothing was ever charged under that id. For recovery."""
        ...

    @idempotent
    async def balance(self, ctx: Context, account_id: UUID) -> list[Wallet]:
        """A person's wallets: at `ctx`'s organisation, or everywhere when the actor is that person."""
        ...

    @idempotent
    async def grant(self, ctx: Context, grant: Grant) -> Lot:
        """Raises GrantMismatch, Invalid (bounds, another currency, an expiry in the past). The caller decides who may."""
        ...

    @idempotent
    async def reverse(self, ctx: Context, reversal: Reversal) -> Money:
        """Takes back what is left of a lot; returns how much that was. Raises NotFound."""
        ...

    @idempotent
    async def price_promo(
        self, ctx: Context, organisation_id: UUID, account_id: UUID | None, total: Money, promo: PromoUse
    ) -> PromoDiscount:
        """What a code would take off `total`. Reserves nothing. Raises PromoRejected."""
        ...
