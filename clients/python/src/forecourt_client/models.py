"""What goes into requests and comes out of answers.

A request's field that is left out is not sent: the house takes its own default, and a change leaves it as it is.

Generated from the OpenAPI document by `make clients`; not to be edited.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, Literal
from uuid import UUID

import msgspec
from msgspec import UNSET, Struct, UnsetType

from forecourt_client._words import Word


class AccountStatus(Word):
    """`unconfirmed` may look, hold and edit itself (ID-1); `suspended` and `banned` may not sign in; `erased` is nobody."""

    ACTIVE = "active"
    BANNED = "banned"
    ERASED = "erased"
    SUSPENDED = "suspended"
    UNCONFIRMED = "unconfirmed"


class BookingActor(Word):
    """In which part someone acts on a booking. `house` is the program itself: jobs, reactions, payment."""

    CUSTOMER = "customer"
    HOUSE = "house"
    STAFF = "staff"


class BookingPayWith(Word):
    BANK_TRANSFER = "bank_transfer"
    CARD = "card"
    CREDITS = "credits"
    DESK = "desk"
    EASYPAISA = "easypaisa"
    JAZZCASH = "jazzcash"


class BookingStatus(Word):
    """BK-4. See `booking.rules.advance` for who may go where."""

    CANCELLED = "cancelled"
    COMPLETED = "completed"
    DECLINED = "declined"
    DRAFT = "draft"
    EXPIRED = "expired"
    IN_PROGRESS = "in_progress"
    NO_SHOW = "no_show"
    PAYMENT_PENDING = "payment_pending"
    PENDING_APPROVAL = "pending_approval"
    UPCOMING = "upcoming"


class Channel(Word):
    """NO-1. `webhook` goes to an organisation's programs, the others to people."""

    EMAIL = "email"
    IN_APP = "in_app"
    PUSH = "push"
    SMS = "sms"
    WEB_PUSH = "web_push"
    WEBHOOK = "webhook"
    WHATSAPP = "whatsapp"


class ChargeStatus(Word):
    DUE_AT_DESK = "due_at_desk"
    PAID = "paid"


class DeliveryStatus(Word):
    """NO-4. `failed` is a dead letter until somebody replays it."""

    DELIVERED = "delivered"
    FAILED = "failed"
    OPENED = "opened"
    QUEUED = "queued"
    SENT = "sent"


class Digest(Word):
    """How mails that can wait are put together."""

    DAILY = "daily"
    NEVER = "never"
    OFF = "off"
    WEEKLY = "weekly"


class Erasable(Word):
    """What an entry says of a person, and says no more when that person's account is erased (PE-8)."""

    ADDRESS = "address"
    WORDS = "words"


class ExportFormat(Word):
    CSV = "csv"
    JSONL = "jsonl"


class Frequency(Word):
    DAILY = "daily"
    MONTHLY = "monthly"
    RARELY = "rarely"
    WEEKLY = "weekly"


class InviteeStatus(Word):
    """How an invitation stands. Whoever declined may think better of it; what is withdrawn is over for its link."""

    ACCEPTED = "accepted"
    DECLINED = "declined"
    PENDING = "pending"
    WITHDRAWN = "withdrawn"


class LineKind(Word):
    """Parts of a price that the house itself names. A page words them for its reader; in `label` they are in English."""

    AGREED_BEFORE = "agreed_before"
    MOVING_FEE = "moving_fee"
    PROMO_CODE = "promo_code"


class LotKind(Word):
    """Where credits came from. `granted` ones are spent first."""

    GRANTED = "granted"
    PURCHASED = "purchased"
    SUBSCRIPTION = "subscription"


class MediaKind(Word):
    AUDIO = "audio"
    DOCUMENT = "document"
    IMAGE = "image"
    VIDEO = "video"


class ModerationAction(Word):
    BAN = "ban"
    MUTE = "mute"
    REMOVE = "remove"
    SLOW_MODE = "slow_mode"
    UNBAN = "unban"
    UNMUTE = "unmute"


class Notify(Word):
    """What of a room its member wants to be told of."""

    ALL = "all"
    MENTIONS = "mentions"
    NOTHING = "nothing"


class OrganisationKind(Word):
    CLUB = "club"
    COMMUNITY = "community"
    GYM = "gym"
    HOTEL = "hotel"
    TEAM = "team"


class OrganisationStatus(Word):
    """Only an active organisation takes bookings."""

    ACTIVE = "active"
    DEACTIVATED = "deactivated"
    SUSPENDED = "suspended"


class PaymentsPayWith(Word):
    """Values as in booking's contract. Those that no provider serves raise MeansNotSetUp."""

    BANK_TRANSFER = "bank_transfer"
    CARD = "card"
    CREDITS = "credits"
    DESK = "desk"
    EASYPAISA = "easypaisa"
    JAZZCASH = "jazzcash"


class Per(Word):
    """What an amount is for. `booking` and `person` are charged once per booking, however long the rule's part is."""

    BOOKING = "booking"
    HOUR = "hour"
    PERSON = "person"
    PERSON_HOUR = "person_hour"


class PromoKind(Word):
    FIXED = "fixed"
    FREE_MINUTES = "free_minutes"
    PERCENT = "percent"


class Purpose(Word):
    """What a booking is for (BK-5). It decides price, party and whether staff must approve."""

    ASSESSMENT = "assessment"
    CLASS = "class"
    CONTENT = "content"
    MATCH = "match"
    SOCIAL = "social"
    TRAINING = "training"
    WORKOUT = "workout"


class ResourceKind(Word):
    COURT = "court"
    EQUIPMENT = "equipment"
    LANE = "lane"
    POD = "pod"
    ROOM = "room"
    STUDIO = "studio"
    TABLE = "table"


class RoomKind(Word):
    BOOKING = "booking"
    CHANNEL = "channel"
    DIRECT = "direct"
    GROUP = "group"


class RoomRole(Word):
    MEMBER = "member"
    MODERATOR = "moderator"
    OWNER = "owner"


class SecurityKind(Word):
    """What a security event tells its owner (ID-11)."""

    EMAIL_CONFIRMED = "email_confirmed"
    ERASURE_ASKED = "erasure_asked"
    ERASURE_OFF = "erasure_off"
    ERASURE_TAKEN_BACK = "erasure_taken_back"
    KEY_CREATED = "key_created"
    LOCKED_OUT = "locked_out"
    LOGGED_IN = "logged_in"
    LOGGED_OUT_EVERYWHERE = "logged_out_everywhere"
    LOGIN_FAILED = "login_failed"
    NEW_DEVICE = "new_device"
    PASSWORD_CHANGED = "password_changed"
    PASSWORD_RESET = "password_reset"
    PHONE_REMOVED = "phone_removed"
    PHONE_VERIFIED = "phone_verified"
    REGISTERED = "registered"
    SESSION_ENDED = "session_ended"
    STATUS_CHANGED = "status_changed"
    TOKEN_REUSED = "token_reused"


class ServiceState(Word):
    DEGRADED = "degraded"
    DOWN = "down"
    OK = "ok"


class SessionKind(Word):
    BROWSER = "browser"
    TOKEN = "token"


class Sort(Word):
    DISTANCE = "distance"
    NAME = "name"
    PRICE = "price"
    RELEVANCE = "relevance"


class State(Word):
    """Of several sockets the most present one counts, in this order."""

    AWAY = "away"
    DND = "dnd"
    OFFLINE = "offline"
    ONLINE = "online"


class Step(Word):
    LISTED = "listed"
    PHOTO = "photo"
    POLICIES = "policies"
    PRICES = "prices"
    RESOURCE = "resource"
    VENUE = "venue"


class SuggestionKind(Word):
    CITY = "city"
    VENUE = "venue"


class Topic(Word):
    """What a person chooses about, channel by channel. `security` always passes."""

    BOOKINGS = "bookings"
    MENTIONS = "mentions"
    MESSAGES = "messages"
    PAYMENTS = "payments"
    REMINDERS = "reminders"
    SECURITY = "security"
    TEAM = "team"


class Units(Word):
    IMPERIAL = "imperial"
    METRIC = "metric"


class Urgency(Word):
    HIGH = "high"
    LOW = "low"
    NORMAL = "normal"


class Visibility(Word):
    """Who sees a field: anyone, people who are signed in, or its owner alone."""

    MEMBERS = "members"
    PRIVATE = "private"
    PUBLIC = "public"


class Weekday(Word):
    FRI = "fri"
    MON = "mon"
    SAT = "sat"
    SUN = "sun"
    THU = "thu"
    TUE = "tue"
    WED = "wed"


class Width(Word):
    """Of a variant, in pixels."""

    _1600 = "1600"
    _320 = "320"
    _800 = "800"


class Access(Struct, frozen=True, kw_only=True, omit_defaults=True):
    pin: str


class AccountCard(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An account as other modules show it."""

    id: UUID
    name: str
    email: str
    status: AccountStatus


class AdminRow(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An account as platform admins see it."""

    id: UUID
    email: str
    name: str
    status: AccountStatus
    status_reason: str
    platform_admin: bool
    created_at: datetime


class AdminSecurityRow(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A security event, and of whose account."""

    id: UUID
    account_id: UUID
    email: str
    kind: str
    detail: str
    address: str
    agent: str
    at: datetime


class Alternative(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Another place or time instead of one that is taken."""

    resource_id: UUID
    start: datetime
    end: datetime
    local_start: datetime
    price: Money


class ApiKeyRow(Struct, frozen=True, kw_only=True, omit_defaults=True):
    id: UUID
    name: str
    hint: str
    permissions: list[str]
    created_by: UUID | None
    created_at: datetime
    expires_at: datetime | None
    used_at: datetime | None
    limited_to: Reach


class Asking(Struct, frozen=True, kw_only=True, omit_defaults=True):
    email: str


class Attachment(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A file that the media module keeps. Where it can be had is asked at `/v1/rooms/{id}/files/{file_id}`."""

    id: UUID
    kind: MediaKind
    type: str
    name: str
    bytes: int
    width: int | None = None
    height: int | None = None


class AttemptOut(Struct, frozen=True, kw_only=True, omit_defaults=True):
    at: datetime
    provider: str
    taken: bool
    error: str


class AuditActor(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who acted: a person, an API key, or a part of the house by its name."""

    kind: str
    account_id: UUID | None = None
    key_id: UUID | None = None
    service: str = ""


class AuditEntry(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that was done. `details` are the event's fields; `changes` in them says each field's before and after."""

    seq: int
    at: datetime
    action: str
    actor: AuditActor
    object: AuditObject
    details: Any
    address: str
    trace_id: str
    hash: str
    erased: list[Erasable] = []


class AuditObject(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What it was done to: `booking`, `venue`, `account` and its id."""

    kind: str
    id: UUID | None = None


class Availabilities(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The free times of several venues."""

    items: list[Availability]


class Availability(Struct, frozen=True, kw_only=True, omit_defaults=True):
    venue_id: UUID
    timezone: str
    days: list[AvailabilityDay]


class AvailabilityDay(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Slots that *start* on this venue-local calendar date."""

    date: date
    resources: list[ResourceSlots]


class BanRow(Struct, frozen=True, kw_only=True, omit_defaults=True):
    account_id: UUID
    banned_by: UUID
    banned_at: datetime
    until: datetime | None


class Block(Struct, frozen=True, kw_only=True, omit_defaults=True):
    id: UUID
    organisation_id: UUID
    venue_id: UUID
    resource_ids: list[UUID]
    start: datetime
    end: datetime
    reason: str
    rrule: str | None = None


class BlockHit(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A booking that a block would push out, with places it could move to."""

    booking: BookingOut
    moves: list[Alternative]


class BlockPreview(Struct, frozen=True, kw_only=True, omit_defaults=True):
    occurrences: list[Period]
    hits: list[BlockHit]


class BookingHistory(Struct, frozen=True, kw_only=True, omit_defaults=True):
    items: list[TransitionRow]


class BookingOut(Struct, frozen=True, kw_only=True, omit_defaults=True):
    id: UUID
    organisation_id: UUID
    venue_id: UUID
    resource_id: UUID
    account_id: UUID | None
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
    refund: Money | None = None
    note: str | None = None
    guest_name: str | None = None
    version: int


class BookingPatch(Struct, frozen=True, kw_only=True, omit_defaults=True):
    purpose: Purpose | UnsetType = UNSET
    team_size: int | UnsetType = UNSET
    equipment: list[EquipmentWish] | UnsetType = UNSET
    note: str | UnsetType | None = UNSET
    price_at_most: Money | None = None


class Branding(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`hue` is the angle of the brand colour in degrees; the design system does the rest."""

    hue: int | None = None
    logo_id: UUID | None = None


class BrowserKeys(Struct, frozen=True, kw_only=True, omit_defaults=True):
    p256dh: str
    """base64url"""
    auth: str
    """base64url"""


class Callback(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a provider tells of a message. `delivery_id` is the id in a mail's Message-ID and in a webhook's `webhook-id`."""

    delivery_id: UUID
    status: str
    error: str = ""


class Cancel(Struct, frozen=True, kw_only=True, omit_defaults=True):
    reason: str | None = None
    refund_at_least: Money | None = None


class ChangedPassword(Struct, frozen=True, kw_only=True, omit_defaults=True):
    current_password: str
    password: str


class ChargeState(Struct, frozen=True, kw_only=True, omit_defaults=True):
    id: UUID
    pay_with: PaymentsPayWith
    status: ChargeStatus
    amount: Money
    discount: Money
    refunded: Money
    promo_code: str | None = None
    created_at: datetime


class ChatHistory(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Ascending. `more` says whether there is more in the direction that was asked."""

    items: list[Message]
    more: bool


class ChatQuietHours(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Local hours in which a person is not to be disturbed; `end` at or before `start` runs past midnight."""

    start: str
    """HH:MM"""
    end: str
    """HH:MM"""
    timezone: str
    """IANA time zone"""
    weekdays: list[int] = []


class ChatUnread(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What waits for a person: messages and mentions in all rooms, and how many rooms have any."""

    messages: int
    mentions: int
    rooms: int
    waiting: int


class CheckBody(Struct, frozen=True, kw_only=True, omit_defaults=True):
    organisation_id: UUID
    code: str
    """A promo code; upper and lower case are the same"""
    venue_id: UUID
    start: datetime
    """RFC 3339 with an offset"""
    duration_min: int
    """Whole minutes"""
    total: Money


class ChildFigures(Struct, frozen=True, kw_only=True, omit_defaults=True):
    organisation: OrganisationCard
    figures: Figures


class Closure(Struct, frozen=True, kw_only=True, omit_defaults=True):
    id: UUID
    venue_id: UUID
    reason: str
    dates: DateRange | None = None
    holiday: bool = False


class Closures(Struct, frozen=True, kw_only=True, omit_defaults=True):
    items: list[Closure]


class Company(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """At most 1,000 people. Of a person whose last time nobody knows there is none."""

    items: list[Presence]


class Confirmation(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Either the link's token, or the address and the code that was sent to it."""

    token: str | None = None
    email: str | None = None
    code: str | None = None


class DateRange(Struct, frozen=True, kw_only=True, omit_defaults=True, rename={"from_": "from"}):
    """Calendar dates from `from` to `to`, both included."""

    from_: date
    to: date


class DaySheet(Struct, frozen=True, kw_only=True, omit_defaults=True):
    venue_id: UUID
    date: date
    timezone: str
    start: datetime
    end: datetime
    open: list[Period]
    entries: list[SheetEntry]


class Decline(Struct, frozen=True, kw_only=True, omit_defaults=True):
    reason: str


class DeliveryDetail(Struct, frozen=True, kw_only=True, omit_defaults=True):
    delivery: DeliveryOut
    text: str
    attempts: list[AttemptOut]


class DeliveryOut(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A message on its way. `recipient` is masked. `erased`: its reader's account is; that it was sent is all that is known."""

    id: UUID
    kind: str
    topic: str
    channel: Channel
    recipient: str
    account_id: UUID | None
    locale: str
    status: DeliveryStatus
    tries: int
    provider: str
    error: str
    subject: str
    created_at: datetime
    sent_at: datetime | None
    changed_at: datetime
    erased: bool = False


class Dependency(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An engine that a process needs, as that process finds it."""

    name: str
    ok: bool
    took_ms: float
    detail: str = ""


class Description(Struct, frozen=True, kw_only=True, omit_defaults=True):
    alt: str


class Draft(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Words to try instead of the template's own."""

    subject: str | None = None
    text: str | None = None
    html: str | None = None


class EditRow(Struct, frozen=True, kw_only=True, omit_defaults=True):
    edited_at: datetime
    body: str


class EndpointOut(Struct, frozen=True, kw_only=True, omit_defaults=True):
    id: UUID
    url: str
    events: list[str]
    enabled: bool
    created_at: datetime


class Endpoints(Struct, frozen=True, kw_only=True, omit_defaults=True):
    items: list[EndpointOut]


class EntryRow(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of the ledger. Positive: owed or earned by the organisation; negative: held or given away."""

    transfer_id: UUID
    seq: int
    at: datetime
    kind: str
    account: str
    account_id: UUID | None
    lot_id: UUID | None
    payment_id: UUID | None
    amount: int
    currency: str
    reason: str


class EquipmentWish(Struct, frozen=True, kw_only=True, omit_defaults=True):
    equipment_id: UUID
    quantity: int = 1


class Erasure(Struct, frozen=True, kw_only=True, omit_defaults=True):
    password: str


class ErasureView(Struct, frozen=True, kw_only=True, omit_defaults=True):
    erase_at: datetime


class ExportLink(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a person's data are fetched. A path of this site, for the person who asked alone."""

    url: str
    expires_at: datetime


class ExportWish(Struct, frozen=True, kw_only=True, omit_defaults=True):
    password: str


class Extend(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`duration_min` is the new whole length, not what is added."""

    duration_min: int
    """Whole minutes"""
    price_at_most: Money | None = None


class Fault(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a chain is broken, and how."""

    seq: int
    what: str


class Feed(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`path` is the private address of a calendar: who knows it can read it."""

    token: str
    path: str


class Figures(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`bookings` stand and begin in the period, `minutes` are theirs; `revenue` was taken in it less what was given back, an
    amount per currency: currencies are never added up.
    """

    bookings: int
    minutes: int
    cancelled: int
    no_shows: int
    revenue: list[Money]


class FoundRow(Struct, frozen=True, kw_only=True, omit_defaults=True):
    room_id: UUID
    room_kind: RoomKind
    room_name: str
    id: UUID
    seq: int
    sender_id: UUID
    body: str
    created_at: datetime
    room_subject: RoomSubject | None = None


class FranchiseReport(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Days are the parent's, `to` not included."""

    from_date: date
    to_date: date
    timezone: str
    children: list[ChildFigures]
    total: Figures


class GrantBody(Struct, frozen=True, kw_only=True, omit_defaults=True):
    account_id: UUID
    amount: Money
    reason: str
    expires_at: datetime | None = None
    """RFC 3339 with an offset"""


class GuestInvitation(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An invitation as its guest sees it; times are the venue's. Nothing of price or payment, nor who else comes."""

    id: UUID
    booking_id: UUID
    status: InviteeStatus
    host: str
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


class GuestInvitations(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The earliest start first."""

    items: list[GuestInvitation]


class Health(Struct, frozen=True, kw_only=True, omit_defaults=True):
    status: str


class HouseRule(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an organisation chose for its rooms. With `previews` the pages that messages link to are asked what they are."""

    previews: bool = True


class HouseStatus(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`status` is `ok` when everything is, `down` when nothing is or the database is away, `degraded` in between."""

    status: ServiceState
    checked_at: datetime
    services: list[ServiceStatus]
    dependencies: list[ServiceStatus]


class InboxStatistics(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How much came within the last 30 days, and how much waits."""

    unread: int
    total: int
    topics: list[TopicFigure]


class Invitation(Struct, frozen=True, kw_only=True, omit_defaults=True):
    email: str
    """An e-mail address; case does not matter"""
    role: str
    limited_to: Reach = msgspec.field(default_factory=lambda: Reach())  # noqa: PLW0108 - it may stand below


class Invited(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An invitation that was sent. Its token is in the mail alone."""

    id: UUID
    email: str
    role: str
    expires_at: datetime


class Invitee(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Somebody who is invited, as those who look after the booking see it.

    Of who was invited by address the account is there once they have accepted with it: an address says nothing about
    accounts. The address is forgotten 28 days after the booking, or with its account; of who accepted the account stays.
    """

    id: UUID
    status: InviteeStatus
    email: str | None = None
    account_id: UUID | None = None
    invited_at: datetime
    answered_at: datetime | None = None
    may_ask_again: bool = False


class Invitees(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The first to be invited first. `places` is how many more the party has room for."""

    items: list[Invitee]
    places: int


class KeySet(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Public ES256 keys as a JWKS, each with its `kid`: the one that signs, the next one, and those whose tokens may live."""

    keys: list[dict[str, str]]


class LastMessage(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`text` holds the first 500 characters."""

    id: UUID
    seq: int
    sender_id: UUID
    text: str
    created_at: datetime
    deleted: bool
    attachments: list[Attachment]


class LinkPreview(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What stands behind a link of a message, in the page's own words: plain text, nobody vouches for it."""

    url: str
    title: str
    about: str
    site: str


class Location(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A point on Earth, WGS 84 degrees."""

    lat: float
    lon: float


class Login(Struct, frozen=True, kw_only=True, omit_defaults=True):
    email: str
    password: str


class Lot(Struct, frozen=True, kw_only=True, omit_defaults=True):
    id: UUID
    organisation_id: UUID
    account_id: UUID
    kind: LotKind
    amount: Money
    remaining: Money
    expires_at: datetime | None
    created_at: datetime


class MarkRead(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Some by id, or all; one of the two."""

    ids: list[UUID] | None = None
    all: bool = False


class Me(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The person and where it works.

    `phone` is the verified number, or without one the number that waits for its code; `phone_waiting` is a number that
    waits, a first one or another one.
    """

    id: UUID
    email: str
    name: str
    status: AccountStatus
    platform_admin: bool
    roles: list[Place]
    phone: str | None
    phone_verified: bool
    phone_waiting: str | None
    erase_at: datetime | None


class MediaCard(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A file as pages and programs show it. Sizes in pixels are those of images alone."""

    id: UUID
    kind: MediaKind
    type: str
    name: str
    bytes: int
    width: int | None
    height: int | None
    blur: str | None
    alt: str
    url: str
    variants: list[Variant]
    expires_at: datetime | None
    owner: MediaOwner | None


class MediaOwner(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The object that a file belongs to: `MediaOwner("venues", "venue", venue.id)`."""

    module: str
    kind: str
    id: UUID


class Member(Struct, frozen=True, kw_only=True, omit_defaults=True):
    account_id: UUID
    role: RoomRole
    joined_at: datetime
    muted_until: datetime | None = None


class MemberPatch(Struct, frozen=True, kw_only=True, omit_defaults=True):
    role: str | UnsetType = UNSET
    limited_to: Reach | UnsetType = UNSET


class MemberView(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`limited_to` is the member's own; a role may have limits too, and both count.

    `email` is empty for who was added by account and has not accepted.
    """

    account_id: UUID
    name: str
    email: str
    role: str
    permissions: list[str]
    limited_to: Reach
    joined_at: datetime
    version: int


class Message(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A message as everybody in its room sees it. A deleted one keeps its place, without words."""

    id: UUID
    room_id: UUID
    seq: int
    sender_id: UUID
    text: str
    html: str
    created_at: datetime
    client_id: str
    reply_to: UUID | None = None
    thread_id: UUID | None = None
    replies: int = 0
    edited_at: datetime | None = None
    deleted: bool = False
    pinned: bool = False
    mentions: list[UUID] = []
    reactions: list[Reaction] = []
    attachments: list[Attachment] = []
    previews: list[LinkPreview] = []


class MessageEdit(Struct, frozen=True, kw_only=True, omit_defaults=True):
    text: str
    """A subset of Markdown; at most 16 KiB in UTF-8"""


class Moderation(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Every action but `slow_mode` is about `account_id`."""

    action: ModerationAction
    account_id: UUID | None = None
    minutes: int | None = None
    seconds: int | None = None


class Money(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An amount of `currency` in minor units (pence, cents, paisa)."""

    amount: int
    """Integer minor units: 1250 is 12.50 in GBP"""
    currency: str
    """ISO 4217 code"""


class NewBlock(Struct, frozen=True, kw_only=True, omit_defaults=True):
    resource_ids: list[UUID]
    start: datetime
    """RFC 3339 with an offset"""
    end: datetime
    """RFC 3339 with an offset"""
    reason: str
    rrule: str | None = None


class NewBooking(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Without `pay_with` the place is held and paid for later."""

    resource_id: UUID
    start: datetime
    """RFC 3339 with an offset"""
    duration_min: int
    """Whole minutes"""
    purpose: Purpose = Purpose.WORKOUT
    team_size: int | None = None
    quote_id: UUID | None = None
    promo_code: str | None = None
    invitees: list[NewInvitee] = []
    pay_with: BookingPayWith | None = None
    note: str | None = None


class NewChannel(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A channel of an organisation. Everybody who is signed in finds and may join a public one."""

    name: str
    about: str = ""
    public: bool = True
    member_ids: list[UUID] = []


class NewClosure(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The venue is shut on these dates, or (`holiday`) on every public holiday of its country and region. One of the two."""

    reason: str
    dates: DateRange | None = None
    holiday: bool = False


class NewEndpoint(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`events`: names such as `booking.confirmed`, `booking.*`, or `*`."""

    url: str
    events: list[str]


class NewEndpointOut(Struct, frozen=True, kw_only=True, omit_defaults=True):
    endpoint: EndpointOut
    signing_key: str


class NewInvitee(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """By account or by e-mail, one of the two."""

    email: str | None = None
    account_id: UUID | None = None


class NewKey(Struct, frozen=True, kw_only=True, omit_defaults=True):
    name: str
    permissions: list[str]
    expires_at: datetime | None = None
    limited_to: Reach = msgspec.field(default_factory=lambda: Reach())  # noqa: PLW0108 - it may stand below


class NewKeyView(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A key just made. `key` is shown this once."""

    id: UUID
    name: str
    hint: str
    permissions: list[str]
    limited_to: Reach
    created_at: datetime
    expires_at: datetime | None
    key: str


class NewMember(Struct, frozen=True, kw_only=True, omit_defaults=True):
    account_id: UUID
    role: str
    limited_to: Reach = msgspec.field(default_factory=lambda: Reach())  # noqa: PLW0108 - it may stand below


class NewMembers(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Without ids: I join myself."""

    account_ids: list[UUID] = []


class NewMessage(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`client_id` is chosen by the client; the same message sent again under it is the same message."""

    client_id: str
    """Chosen by the client; the same on every resend"""
    text: str = ""
    """A subset of Markdown; at most 16 KiB in UTF-8"""
    attachment_ids: list[UUID] = []
    reply_to: UUID | None = None


class NewOrganisation(Struct, frozen=True, kw_only=True, omit_defaults=True):
    name: str
    kind: OrganisationKind
    country: str
    """ISO 3166-1 alpha-2"""
    currency: str
    """ISO 4217 code"""
    timezone: str
    """IANA time zone, such as Europe/London"""
    locale: str = "en"
    slug: str | None = None


class NewPassword(Struct, frozen=True, kw_only=True, omit_defaults=True):
    token: str
    password: str


class NewPhone(Struct, frozen=True, kw_only=True, omit_defaults=True):
    phone: str
    """With + and the country code; spaces do not matter"""


class NewPromoCode(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`value` is percent (1 to 100), minor units of the organisation's currency, or minutes, as `kind` says.

    `starts_at` and `ends_at` bound when the code can be used, half-open. An empty `venue_ids` means every venue. `stacks`:
    may be used on a payment that has another code, if that one stacks too.
    """

    code: str
    """Letters, digits, - and _"""
    kind: PromoKind
    value: int
    label: str = ""
    starts_at: datetime | None = None
    """RFC 3339 with an offset"""
    ends_at: datetime | None = None
    """RFC 3339 with an offset"""
    total_limit: int | None = None
    person_limit: int | None = None
    first_time_only: bool = False
    venue_ids: list[UUID] = []
    stacks: bool = False


class NewProvider(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`url`: an Apprise address in which `{to}` stands for the recipient; for mail `smtp[s]://user:password@host:port`."""

    channel: Channel
    name: str
    url: str
    place: int = 0


class NewProviderOut(Struct, frozen=True, kw_only=True, omit_defaults=True):
    provider: ProviderOut
    callback_key: str


class NewPushSubscription(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What `PushSubscription.toJSON()` gives, in the browser's own words."""

    endpoint: str
    """https address of the browser's push service"""
    keys: BrowserKeys
    expirationTime: int | None = None


class NewQuote(Struct, frozen=True, kw_only=True, omit_defaults=True):
    resource_id: UUID
    start: datetime
    """RFC 3339 with an offset"""
    duration_min: int
    """Whole minutes"""
    purpose: Purpose = Purpose.WORKOUT
    team_size: int | None = None
    promo_code: str | None = None
    equipment: list[EquipmentWish] = []


class NewResource(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A thing that can be booked. `people` bounds the party per purpose, `[min, max]`; elsewhere 1 to `capacity`."""

    name: str
    kind: ResourceKind
    capacity: int
    sport: str | None = None
    surface: str | None = None
    indoor: bool | None = None
    people: dict[str, tuple[int, int]] = {}
    slot_min: int = 15
    """Whole minutes between two possible starts"""
    durations_min: list[int] | UnsetType = UNSET
    buffer_before_min: int = 0
    """Whole minutes"""
    buffer_after_min: int = 0
    """Whole minutes"""
    lead_min: int | None = None
    """Whole minutes"""
    horizon_days: int | None = None
    """Whole days"""
    part_ids: list[UUID] = []
    photo_ids: list[UUID] = []
    """Ids of images that were sent to `uploads`, in the order shown"""
    position: int = 0
    active: bool = True


class NewRole(Struct, frozen=True, kw_only=True, omit_defaults=True):
    name: str
    permissions: list[str]
    limited_to: Reach = msgspec.field(default_factory=lambda: Reach())  # noqa: PLW0108 - it may stand below


class NewRoom(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`member_ids` are the others; the caller is always in the room."""

    kind: RoomKind
    name: str | None = None
    member_ids: list[UUID] = []
    about: str = ""


class NewTemplate(Struct, frozen=True, kw_only=True, omit_defaults=True):
    event: str
    channel: Channel
    locale: str
    subject: str
    text: str
    html: str | None = None


class NewUpload(Struct, frozen=True, kw_only=True, omit_defaults=True):
    bytes: int
    name: str = ""
    alt: str = ""
    """What an image shows, in words"""


class NewVenue(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Country is the organisation's; `region` narrows public holidays."""

    name: str
    address: str
    location: Location
    timezone: str
    """IANA time zone, such as Europe/London"""
    opening_hours: OpeningHours
    amenities: list[str] = []
    city: str | None = None
    region: str | None = None
    """Subdivision as public holidays know it: ENG, BY, CA"""
    description: str = ""
    house_rules: str = ""
    photo_ids: list[UUID] = []
    """Ids of images that were sent to `uploads`, in the order shown"""
    listed: bool = True
    slug: str | None = None


class Notification(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a person finds in the inbox. `seq` is the number of the topic's event that brought it."""

    id: UUID
    seq: int
    kind: str
    topic: Topic
    urgency: Urgency
    title: str
    body: str
    href: str
    created_at: datetime
    read_at: datetime | None = None
    archived_at: datetime | None = None


class NotificationPatch(Struct, frozen=True, kw_only=True, omit_defaults=True):
    read: bool | UnsetType = UNSET
    archived: bool | UnsetType = UNSET


class NotificationPreferences(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`channels` says by topic where messages go; a topic left out has the house's defaults. Security always passes.

    Quiet hours and time zone are the person's own (`/v1/me/preferences`); here they are read and written too.
    """

    channels: dict[str, list[Channel]] = {}
    digest: Digest = Digest.OFF
    quiet_hours: PeopleQuietHours | None = None
    timezone: str | None = None
    """IANA time zone"""
    push_key: str | None = None


class NotificationsUnread(Struct, frozen=True, kw_only=True, omit_defaults=True):
    unread: int


class Onboarding(Struct, frozen=True, kw_only=True, omit_defaults=True):
    steps: list[OnboardingStep]


class OnboardingStep(Struct, frozen=True, kw_only=True, omit_defaults=True):
    step: Step
    done: bool


class OpenInvitations(Struct, frozen=True, kw_only=True, omit_defaults=True):
    items: list[Invited]


class OpenRoom(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A public channel, for who looks for one."""

    id: UUID
    organisation_id: UUID
    name: str
    about: str
    joined: bool


class OpeningHours(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Open intervals by weekday, local time; a day without intervals is closed."""

    mon: list[tuple[str, str]] = []
    tue: list[tuple[str, str]] = []
    wed: list[tuple[str, str]] = []
    thu: list[tuple[str, str]] = []
    fri: list[tuple[str, str]] = []
    sat: list[tuple[str, str]] = []
    sun: list[tuple[str, str]] = []


class Organisation(Struct, frozen=True, kw_only=True, omit_defaults=True):
    id: UUID
    name: str
    kind: OrganisationKind
    country: str
    currency: str
    timezone: str
    locale: str
    slug: str
    status: OrganisationStatus
    branding: Branding | UnsetType = UNSET
    tax: list[Tax] = []
    parent_id: UUID | None = None
    created_at: datetime
    version: int


class OrganisationCard(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What anyone may know of an organisation."""

    id: UUID
    name: str
    slug: str
    kind: OrganisationKind
    status: OrganisationStatus
    country: str
    currency: str


class OrganisationPatch(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Currency and country stay: amounts and holidays were written in them."""

    name: str | UnsetType = UNSET
    kind: OrganisationKind | UnsetType = UNSET
    timezone: str | UnsetType = UNSET
    """IANA time zone, such as Europe/London"""
    locale: str | UnsetType = UNSET
    slug: str | UnsetType = UNSET
    branding: Branding | UnsetType = UNSET
    tax: list[Tax] | UnsetType = UNSET


class OrganisationsAfter(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A row of the platform's list: the card, and what the organisation still lacks."""

    card_id: UUID
    name: str
    slug: str
    kind: str
    status: OrganisationStatus
    country: str
    currency: str
    created_at: datetime
    listed_venues: int
    priced_venues: int


class Pay(Struct, frozen=True, kw_only=True, omit_defaults=True):
    pay_with: BookingPayWith
    credits_amount: int | None = None
    promo_code: str | None = None


class Payment(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the customer's device needs to finish paying: one of the two."""

    client_secret: str | None = None
    redirect: str | None = None


class PaymentState(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Sums over all charges. `paid` is what was taken and not given back, `due` what is still to be received at the desk,
    `owed` what is still to be handed back there. `refundable` = `paid` + `due`.
    """

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


class PeoplePhoto(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A person's photo. Its addresses work by themselves; those of a photo that not everybody sees, for less than an hour."""

    url: str
    srcset: str
    blur: str | None


class PeopleQuietHours(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Local time of day without notifications; `end` at or before `start` runs past midnight."""

    start: str
    """HH:MM"""
    end: str
    """HH:MM"""


class Period(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`[start, end)`; start before end, both aware. Raises ValueError otherwise."""

    start: datetime
    end: datetime


class PersonView(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A person as somebody else sees it: null where the owner does not show a field, or has not filled it in."""

    id: UUID
    name: str
    handle: str | None
    bio: str | None = None
    photo_id: UUID | None = None
    city: str | None = None
    sports: list[PlayedSport] | None = None
    preferred_times: list[PreferredTime] | None = None
    languages: list[str] | None = None
    photo: PeoplePhoto | None = None


class PhoneCode(Struct, frozen=True, kw_only=True, omit_defaults=True):
    code: str


class Place(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a person works and as what."""

    organisation_id: UUID
    role: str
    permissions: list[str]


class PlayedSport(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A sport, how well (0.0 beginner to 7.0 professional, in tenths) and how often it is played."""

    sport: str
    level_tenths: int | None = None
    frequency: Frequency | None = None


class Policies(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An organisation's rules as data (VE-8). A resource may override `lead_min` and `horizon_days`."""

    cancellation: list[RefundTier] = []
    reschedule_fee_pct: int = 0
    lead_min: int = 0
    """Whole minutes"""
    horizon_days: int = 365
    """Whole days"""
    max_open_bookings: int = 200
    hold_min: int = 10
    no_show_strikes: int = 3
    requires_health_form: bool = False
    approval_purposes: list[Purpose] = []
    weather_refund_pct: int | None = None
    noise_warning_venue_ids: list[UUID] = []
    quiet_hours: tuple[str, str] | None = None


class PoliciesPatch(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Merge semantics: what is absent stays."""

    cancellation: list[RefundTier] | UnsetType = UNSET
    reschedule_fee_pct: int | UnsetType = UNSET
    lead_min: int | UnsetType = UNSET
    """Whole minutes"""
    horizon_days: int | UnsetType = UNSET
    """Whole days"""
    max_open_bookings: int | UnsetType = UNSET
    hold_min: int | UnsetType = UNSET
    no_show_strikes: int | UnsetType = UNSET
    requires_health_form: bool | UnsetType = UNSET
    approval_purposes: list[Purpose] | UnsetType = UNSET
    weather_refund_pct: int | UnsetType | None = UNSET
    noise_warning_venue_ids: list[UUID] | UnsetType = UNSET
    quiet_hours: tuple[str, str] | UnsetType | None = UNSET


class PoliciesView(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`version` is the organisation's: its details and its policies share it."""

    cancellation: list[RefundTier] = []
    reschedule_fee_pct: int = 0
    lead_min: int = 0
    """Whole minutes"""
    horizon_days: int = 365
    """Whole days"""
    max_open_bookings: int = 200
    hold_min: int = 10
    no_show_strikes: int = 3
    requires_health_form: bool = False
    approval_purposes: list[Purpose] = []
    weather_refund_pct: int | None = None
    noise_warning_venue_ids: list[UUID] = []
    quiet_hours: tuple[str, str] | None = None
    version: int


class Preferences(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a person wants to be addressed. None: as the organisation or the browser says."""

    locale: str | None = None
    timezone: str | None = None
    """IANA time zone"""
    currency: str | None = None
    units: Units = Units.METRIC
    quiet_hours: PeopleQuietHours | None = None


class PreferredTime(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A time of the week the person likes to play, local. `end` at or before `start` runs past midnight."""

    weekday: int
    """0 is Monday"""
    start: str
    """HH:MM"""
    end: str
    """HH:MM"""


class Presence(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`last_seen` is when the person left; None while they are here, and when nobody knows any more."""

    account_id: UUID
    state: State
    last_seen: datetime | None = None


class Preview(Struct, frozen=True, kw_only=True, omit_defaults=True):
    subject: str
    text: str
    html: str


class PreviewSegment(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A part of the time under one rule. `rule` is its place in the price list; none where no rule applies and it is free."""

    start: datetime
    end: datetime
    local_start: datetime
    amount: Money
    rule: int | None
    label: str | None


class PriceList(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All price rules of a venue; replaces those before."""

    rules: list[PriceRule]


class PricePreview(Struct, frozen=True, kw_only=True, omit_defaults=True):
    total: Money
    segments: list[PreviewSegment]


class PriceRule(Struct, frozen=True, kw_only=True, omit_defaults=True, rename={"from_": "from"}):
    """What a time costs when every condition that is stated holds. Which of several wins: `contract.tariff`."""

    per: Per
    amount: Money
    resource_ids: list[UUID] | None = None
    weekdays: list[Weekday] | None = None
    from_: str | None = None
    """Local HH:MM"""
    to: str | None = None
    """Local HH:MM, or 24:00"""
    dates: list[date] | DateRange | None = None
    holiday: bool | None = None
    purpose: Purpose | None = None
    team_size: int | list[int] | None = None
    member_tier: str | None = None
    multiplier: str | None = None
    label: str | None = None
    priority: int = 0


class Prices(Struct, frozen=True, kw_only=True, omit_defaults=True):
    rules: list[PriceRule]
    version: int


class Profile(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One's own profile, with who sees what."""

    id: UUID
    name: str
    handle: str | None
    bio: str
    photo_id: UUID | None
    city: str
    sports: list[PlayedSport]
    preferred_times: list[PreferredTime]
    languages: list[str]
    photo: PeoplePhoto | None
    visibility: dict[str, Visibility]
    version: int


class ProfilePatch(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is left out stays; null clears a handle or a photo. `visibility` is merged field by field.

    `photo_id` is that of an image its owner has sent to `/v1/uploads`; the photo before it is removed.
    """

    name: str | UnsetType = UNSET
    handle: str | UnsetType | None = UNSET
    """Unique, whatever its case"""
    bio: str | UnsetType = UNSET
    photo_id: UUID | UnsetType | None = UNSET
    city: str | UnsetType = UNSET
    sports: list[PlayedSport] | UnsetType = UNSET
    preferred_times: list[PreferredTime] | UnsetType = UNSET
    languages: list[str] | UnsetType = UNSET
    visibility: dict[str, Visibility] | UnsetType = UNSET


class PromoCode(Struct, frozen=True, kw_only=True, omit_defaults=True):
    id: UUID
    organisation_id: UUID
    code: str
    kind: PromoKind
    value: int
    currency: str
    """ISO 4217 code"""
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


class PromoCodePatch(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a code is worth stays: people were told. Make another code instead."""

    label: str | UnsetType = UNSET
    starts_at: datetime | UnsetType | None = UNSET
    """RFC 3339 with an offset"""
    ends_at: datetime | UnsetType | None = UNSET
    """RFC 3339 with an offset"""
    total_limit: int | UnsetType | None = UNSET
    person_limit: int | UnsetType | None = UNSET
    first_time_only: bool | UnsetType = UNSET
    venue_ids: list[UUID] | UnsetType = UNSET
    stacks: bool | UnsetType = UNSET
    active: bool | UnsetType = UNSET


class PromoDiscount(Struct, frozen=True, kw_only=True, omit_defaults=True):
    code: str
    label: str
    discount: Money
    total: Money


class Proof(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The state of one chain. `head` is the last entry's hash: noted elsewhere, it later proves that all before is unchanged."""

    organisation_id: UUID
    entries: int
    head: str
    intact: bool
    fault: Fault | None = None
    erased: int = 0


class ProofLine(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the books of one currency say: entries, their sum (zero), and whatever does not add up (nothing)."""

    entries: int
    sum: int
    faults: list[str]


class ProviderOut(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`callback_url` takes signed callbacks; the address is never shown again."""

    id: UUID
    channel: Channel
    name: str
    scheme: str
    place: int
    enabled: bool
    callback_url: str
    created_at: datetime
    version: int


class ProviderPatch(Struct, frozen=True, kw_only=True, omit_defaults=True):
    name: str | UnsetType = UNSET
    url: str | UnsetType = UNSET
    place: int | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET


class Providers(Struct, frozen=True, kw_only=True, omit_defaults=True):
    items: list[ProviderOut]


class PushKeyOut(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The `applicationServerKey` that browsers subscribe with, and how many of one's browsers do."""

    public_key: str
    browsers: int


class PushSubscriptionRef(Struct, frozen=True, kw_only=True, omit_defaults=True):
    endpoint: str
    """https address of the browser's push service"""


class Quote(Struct, frozen=True, kw_only=True, omit_defaults=True):
    id: UUID
    lines: list[QuoteLine]
    tax: list[TaxLine]
    total: Money
    expires_at: datetime


class QuoteLine(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One part of the price; `rule` names the price rule that won. Reductions are negative.

    Without `kind` the label is as the owner wrote it: a place, a price rule, a promo code.
    """

    label: str
    amount: Money
    rule: str | None = None
    kind: LineKind | None = None


class Reach(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Limits of a right. Without networks it counts from anywhere, without hours at any time."""

    networks: list[str] = []
    hours: list[Window] = []
    time_zone: str = "UTC"
    """IANA time zone of the hours"""


class Reaction(Struct, frozen=True, kw_only=True, omit_defaults=True):
    emoji: str
    account_ids: list[UUID]


class Read(Struct, frozen=True, kw_only=True, omit_defaults=True):
    read_seq: int
    unread: int
    mentions: int


class ReadUpTo(Struct, frozen=True, kw_only=True, omit_defaults=True):
    seq: int


class ReaderRow(Struct, frozen=True, kw_only=True, omit_defaults=True):
    account_id: UUID
    read_seq: int


class Readiness(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What `/readyz` answers. `status` is `ready`, `not ready`, or `draining` in a process that is about to end."""

    status: str
    dependencies: list[Dependency]


class RefreshToken(Struct, frozen=True, kw_only=True, omit_defaults=True):
    refresh_token: str


class RefundBody(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Without `amount` everything that is left is given back."""

    reason: str
    amount: Money | None = None


class RefundPreview(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What would be given back if the booking were cancelled now; `refund_pct` is the tier that holds until `until`, if one
    does.

    Of `refund`, `falls_away` is what is still due and was never paid; the rest comes back.
    """

    refund: Money
    refund_pct: int
    falls_away: Money
    until: datetime | None = None


class RefundResult(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`amount` = `to_credits` + `at_desk` + `waived`.

    `at_desk` was received at the desk and is to be handed back there; `waived` was due at the desk and no longer is.
    """

    refund_id: UUID
    payment_id: UUID
    amount: Money
    to_credits: Money
    at_desk: Money
    waived: Money


class RefundTier(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """At least `before_h` hours before the start, `refund_pct` percent comes back."""

    before_h: int
    refund_pct: int


class Registration(Struct, frozen=True, kw_only=True, omit_defaults=True):
    email: str
    """An e-mail address; case does not matter"""
    password: str
    name: str


class Reschedule(Struct, frozen=True, kw_only=True, omit_defaults=True):
    start: datetime
    """RFC 3339 with an offset"""
    duration_min: int | None = None
    """Whole minutes"""
    resource_id: UUID | None = None
    price_at_most: Money | None = None


class Resource(Struct, frozen=True, kw_only=True, omit_defaults=True):
    id: UUID
    venue_id: UUID
    name: str
    kind: ResourceKind
    sport: str | None = None
    surface: str | None = None
    indoor: bool | None = None
    capacity: int
    people: dict[str, tuple[int, int]] = {}
    slot_min: int = 15
    durations_min: list[int] = []
    buffer_before_min: int = 0
    buffer_after_min: int = 0
    lead_min: int | None = None
    horizon_days: int | None = None
    part_ids: list[UUID] = []
    photo_ids: list[UUID] = []
    photos: list[VenuesPhoto] = []
    position: int = 0
    active: bool = True
    removed: bool = False
    version: int = 1


class ResourcePatch(Struct, frozen=True, kw_only=True, omit_defaults=True):
    name: str | UnsetType = UNSET
    kind: ResourceKind | UnsetType = UNSET
    capacity: int | UnsetType = UNSET
    sport: str | UnsetType | None = UNSET
    surface: str | UnsetType | None = UNSET
    indoor: bool | UnsetType | None = UNSET
    people: dict[str, tuple[int, int]] | UnsetType = UNSET
    slot_min: int | UnsetType = UNSET
    """Whole minutes between two possible starts"""
    durations_min: list[int] | UnsetType = UNSET
    buffer_before_min: int | UnsetType = UNSET
    """Whole minutes"""
    buffer_after_min: int | UnsetType = UNSET
    """Whole minutes"""
    lead_min: int | UnsetType | None = UNSET
    """Whole minutes"""
    horizon_days: int | UnsetType | None = UNSET
    """Whole days"""
    part_ids: list[UUID] | UnsetType = UNSET
    photo_ids: list[UUID] | UnsetType = UNSET
    """Ids of images that were sent to `uploads`, in the order shown"""
    position: int | UnsetType = UNSET
    active: bool | UnsetType = UNSET


class ResourceSlots(Struct, frozen=True, kw_only=True, omit_defaults=True):
    resource_id: UUID
    slots: list[Slot]


class ReverseBody(Struct, frozen=True, kw_only=True, omit_defaults=True):
    reason: str


class RoleChange(Struct, frozen=True, kw_only=True, omit_defaults=True):
    account_id: UUID
    role: RoomRole


class RolePatch(Struct, frozen=True, kw_only=True, omit_defaults=True):
    name: str | UnsetType = UNSET
    permissions: list[str] | UnsetType = UNSET
    limited_to: Reach | UnsetType = UNSET


class RoleView(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`id` is null for built-in roles, which cannot be edited."""

    id: UUID | None
    name: str
    permissions: list[str]
    limited_to: Reach
    version: int


class RoomDetail(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A room as it is at `(epoch, last_seq)`: a client that applies what happens afterwards stays right.

    `role` is null for who looks at a public room without being in it. `members` are the first 100 by id.
    """

    id: UUID
    kind: RoomKind
    name: str
    title: str
    about: str
    organisation_id: UUID | None
    subject_id: UUID | None
    other_id: UUID | None
    public: bool
    archived: bool
    slow_mode_s: int
    retention_days: int | None
    version: int
    epoch: str
    last_seq: int
    role: RoomRole | None
    notify: Notify
    muted_until: datetime | None
    read_seq: int
    unread: int
    mentions: int
    member_count: int
    members: list[Member]
    readers: list[ReaderRow]
    pins: list[UUID]
    subject: RoomSubject | None = None


class RoomPatch(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is left out stays. `retention_days` null keeps messages for ever."""

    name: str | UnsetType = UNSET
    about: str | UnsetType = UNSET
    public: bool | UnsetType = UNSET
    retention_days: int | UnsetType | None = UNSET
    archived: bool | UnsetType = UNSET


class RoomSubject(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the room of a booking is called after."""

    resource: str
    start: datetime
    timezone: str


class RoomView(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A room in its member's list. `title` is what to call it, in the caller's words: its name, or the other person's, also
    when their account was deleted.
    """

    id: UUID
    kind: RoomKind
    name: str
    title: str
    organisation_id: UUID | None
    subject_id: UUID | None
    other_id: UUID | None
    public: bool
    archived: bool
    role: RoomRole
    notify: Notify
    epoch: str
    last_seq: int
    read_seq: int
    unread: int
    mentions: int
    last_message: LastMessage | None
    moved_at: datetime
    subject: RoomSubject | None = None


class SecurityRow(Struct, frozen=True, kw_only=True, omit_defaults=True):
    id: UUID
    kind: str
    detail: str
    address: str
    agent: str
    at: datetime


class ServiceStatus(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One service or engine. `took_ms` is how long it took to say so, or how long it was waited for."""

    name: str
    status: ServiceState
    took_ms: float


class SessionView(Struct, frozen=True, kw_only=True, omit_defaults=True):
    id: UUID
    kind: SessionKind
    address: str
    agent: str
    created_at: datetime
    used_at: datetime
    expires_at: datetime
    current: bool


class Setting(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What I chose for all my rooms. With `receipts` others see how far I have read, and I how far they have."""

    receipts: bool = True
    quiet: ChatQuietHours | None = None


class SheetEntry(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One bar on the day sheet: a booking or a block."""

    resource_id: UUID
    start: datetime
    end: datetime
    booking_id: UUID | None = None
    block_id: UUID | None = None
    status: BookingStatus | None = None
    title: str
    version: int = 0


class Slot(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A free start for the duration that was asked for."""

    start: datetime
    end: datetime
    local_start: datetime
    price: Money


class StaffBooking(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A booking that staff make for someone: an account, an e-mail address, or a walk-in's name. Exactly one of the three."""

    resource_id: UUID
    start: datetime
    """RFC 3339 with an offset"""
    duration_min: int
    """Whole minutes"""
    account_id: UUID | None = None
    email: str | None = None
    name: str | None = None
    purpose: Purpose = Purpose.WORKOUT
    team_size: int | None = None
    pay_with: BookingPayWith | None = None
    note: str | None = None


class Standing(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`reason` is kept with the event, for those who ask later."""

    status: OrganisationStatus
    reason: str
    parent_id: UUID | UnsetType | None = UNSET


class StatusPatch(Struct, frozen=True, kw_only=True, omit_defaults=True):
    status: AccountStatus
    reason: str


class Suggestion(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What someone may have begun to type. A venue has an id."""

    kind: SuggestionKind
    text: str
    venue_id: UUID | None = None


class Suggestions(Struct, frozen=True, kw_only=True, omit_defaults=True):
    items: list[Suggestion]


class TakenBack(Struct, frozen=True, kw_only=True, omit_defaults=True):
    amount: Money


class Tax(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A tax on what is sold. `rate` is a percentage, `"20"` or `"7.7"`; `included` means prices contain it already."""

    rate: str
    included: bool = True
    label: str = "VAT"


class TaxLine(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`amount` of tax at `rate` percent; `included` when the lines contain it already, else it is added to the total."""

    rate: str
    amount: Money
    included: bool


class TemplateOut(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`shipped`: the house's own words, which change with the program; an organisation's template takes their place."""

    id: UUID
    event: str
    channel: Channel
    locale: str
    subject: str
    text: str
    html: str | None
    shipped: bool
    enabled: bool
    version: int
    names: list[str]


class TemplatePatch(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is left out stays; `html` null takes the text instead. Switched off, the house's words are used."""

    subject: str | UnsetType = UNSET
    text: str | UnsetType = UNSET
    html: str | UnsetType | None = UNSET
    enabled: bool | UnsetType = UNSET


class Thread(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The message that a thread begins with (none once it is gone), and the replies, ascending."""

    first: Message | None
    items: list[Message]
    more: bool


class Tokens(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an API client signs in with. `expires_in`: seconds of the access token."""

    account: AccountCard
    access_token: str
    refresh_token: str
    token_type: str
    expires_in: int


class TopicFigure(Struct, frozen=True, kw_only=True, omit_defaults=True):
    topic: Topic
    total: int
    unread: int


class TransitionRow(Struct, frozen=True, kw_only=True, omit_defaults=True):
    version: int
    at: datetime
    action: str
    from_status: BookingStatus
    to_status: BookingStatus
    actor: BookingActor
    account_id: UUID | None
    detail: str


class Upload(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An upload in parts. `received` is where the next part begins."""

    id: UUID
    bytes: int
    received: int
    expires_at: datetime


class Variant(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An image made smaller, as WebP. Widths are 320, 800 and 1600, as far as the image is wider."""

    width: int
    height: int
    bytes: int
    url: str


class Venue(Struct, frozen=True, kw_only=True, omit_defaults=True):
    id: UUID
    organisation_id: UUID
    name: str
    slug: str
    address: str
    city: str | None = None
    region: str | None = None
    location: Location
    timezone: str
    opening_hours: OpeningHours
    amenities: list[str] = []
    description: str = ""
    house_rules: str = ""
    photo_ids: list[UUID] = []
    photos: list[VenuesPhoto] = []
    listed: bool = True
    version: int


class VenueCard(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a list or a search result shows of a venue."""

    id: UUID
    organisation_id: UUID
    name: str
    slug: str
    address: str
    city: str | None = None
    location: Location
    timezone: str
    sports: list[str] = []
    amenities: list[str] = []
    listed: bool = True
    from_price: Money | None = None
    distance_km: float | None = None
    photo: UUID | None = None
    cover: VenuesPhoto | None = None


class VenuePatch(Struct, frozen=True, kw_only=True, omit_defaults=True):
    name: str | UnsetType = UNSET
    address: str | UnsetType = UNSET
    location: Location | UnsetType = UNSET
    timezone: str | UnsetType = UNSET
    """IANA time zone, such as Europe/London"""
    opening_hours: OpeningHours | UnsetType = UNSET
    amenities: list[str] | UnsetType = UNSET
    city: str | UnsetType | None = UNSET
    region: str | UnsetType | None = UNSET
    """Subdivision as public holidays know it: ENG, BY, CA"""
    description: str | UnsetType = UNSET
    house_rules: str | UnsetType = UNSET
    photo_ids: list[UUID] | UnsetType = UNSET
    """Ids of images that were sent to `uploads`, in the order shown"""
    listed: bool | UnsetType = UNSET
    slug: str | UnsetType = UNSET


class VenueView(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A venue with what a visitor wants to know of it."""

    id: UUID
    organisation_id: UUID
    name: str
    slug: str
    address: str
    city: str | None = None
    region: str | None = None
    location: Location
    timezone: str
    opening_hours: OpeningHours
    amenities: list[str] = []
    description: str = ""
    house_rules: str = ""
    photo_ids: list[UUID] = []
    photos: list[VenuesPhoto] = []
    listed: bool = True
    version: int
    organisation: OrganisationCard
    policies: Policies
    closures: list[Closure]
    sports: list[str]


class VenuesPhoto(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A picture as pages and programs show it. `url` is a path of this site that never changes and opens to everybody."""

    id: UUID
    url: str
    width: int
    height: int
    alt: str = ""
    blur: str | None = None
    widths: list[int] = []


class Wallet(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Credits a person can spend at one organisation now. `lots` are in the order in which they are spent.

    `reserved` is set aside for what the organisation has not agreed to yet; it is no part of `balance`.
    """

    organisation_id: UUID
    account_id: UUID
    balance: Money
    reserved: Money
    lots: list[Lot]


class WalletEntry(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One movement of a wallet; `amount` is negative for what was spent, expired or taken back."""

    transfer_id: UUID
    seq: int
    at: datetime
    kind: str
    amount: int
    currency: str
    reason: str
    payment_id: UUID | None
    lot_id: UUID


class Wanted(Struct, frozen=True, kw_only=True, omit_defaults=True):
    notify: Notify


class Window(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """From `start` until just before `end` by the clock on the wall; an end before the start is the next morning's."""

    days: list[Literal["fri", "mon", "sat", "sun", "thu", "tue", "wed"]]
    """Days on which the window starts"""
    start: str
    end: str
