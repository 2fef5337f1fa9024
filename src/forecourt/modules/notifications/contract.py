"""What other modules may know of notifications: a mail, a text message, and the calls that send them."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Protocol
from uuid import UUID

from msgspec import Meta, Struct

from forecourt.kernel.context import Context
from forecourt.kernel.contracts import idempotent
from forecourt.kernel.errors import Conflict, Gone, Invalid, Way
from forecourt.kernel.records import PersonalRecords
from forecourt.kernel.topics import TopicSource


class Mail(Struct, frozen=True):
    """A finished mail. Its `id` is made by whoever writes it: the same mail handed over twice is one mail."""

    id: UUID
    to: Annotated[str, Meta(min_length=3, max_length=254)]
    subject: Annotated[str, Meta(min_length=1, max_length=200)]
    text: Annotated[str, Meta(min_length=1, max_length=100_000)]
    html: Annotated[str, Meta(max_length=400_000)] | None = None
    account_id: UUID | None = None
    """Whose mail it is, where an account's."""


class LetterKind(StrEnum):
    """What the house itself writes to an address, in words that ship with it."""

    CONFIRM_ADDRESS = "confirm_address"
    RESET_PASSWORD = "reset_password"  # noqa: S105 - a word
    ADDRESS_TAKEN = "address_taken"
    PASSWORD_CHANGED = "password_changed"  # noqa: S105 - a word
    INVITE_STAFF = "invite_staff"
    ADDED_TO_STAFF = "added_to_staff"
    ERASURE_ASKED = "erasure_asked"
    ERASURE_NEAR = "erasure_near"
    ERASED = "erased"
    KEPT_AS_OWNER = "kept_as_owner"
    KEPT_AS_ADMIN = "kept_as_admin"


class Letter(Struct, frozen=True):
    """A mail that is worded when it is sent, in its reader's language. Handed over twice it is one mail, as `id` says."""

    id: UUID
    to: Annotated[str, Meta(min_length=3, max_length=254)]
    kind: LetterKind
    link: str
    """Where its button leads."""
    values: dict[str, str]
    """What its words may name (`wording.LETTER_VALUES`)."""
    account_id: UUID | None = None
    """Whose language it is written in."""
    language: str = ""
    """Of the request that made it: for a reader without an account, or one who never chose a language."""


class Mailer(Protocol):
    @idempotent
    async def send(self, ctx: Context, mail: Mail) -> None:
        """Hands a mail to the mail server, or to the development outbox. Raises Unavailable; call it from a job, which retries.

        The job of the calling module carries the mail in its payload, which is gone when the mail is: secrets in a mail
        (codes, links) are in no log and in no event.
        """
        ...

    @idempotent
    async def write(self, ctx: Context, letter: Letter) -> None:
        """Words a letter in its reader's language and hands it over as `send` does. Raises Unavailable."""
        ...


class Text(Struct, frozen=True):
    """A finished text message (SMS). Its `id` is made by whoever writes it: the same text handed over twice is one text."""

    id: UUID
    to: Annotated[str, Meta(min_length=8, max_length=16, pattern=r"^\+[1-9][0-9]{6,14}$", description="A phone number, E.164")]
    text: Annotated[str, Meta(min_length=1, max_length=1_000)]
    account_id: UUID | None = None
    """Whose text it is, where an account's."""


class Texter(Protocol):
    @idempotent
    async def send_text(self, ctx: Context, text: Text) -> None:
        """Hands a text to the gateway, or to the development outbox. Raises Unavailable; call it from a job, which retries.

        As with mails, what is secret in it (a code) lives in the job's payload alone, which is gone when the text is.
        """
        ...


# --- words ---------------------------------------------------------------------------------------------------------------

NOBODYS = UUID(int=0)
"""Stands for the organisation where a notification is about none: an account, a direct message."""


class Channel(StrEnum):
    """NO-1. `webhook` goes to an organisation's programs, the others to people."""

    IN_APP = "in_app"
    EMAIL = "email"
    SMS = "sms"
    WHATSAPP = "whatsapp"
    PUSH = "push"
    WEB_PUSH = "web_push"
    WEBHOOK = "webhook"


class Topic(StrEnum):
    """What a person chooses about, channel by channel. `security` always passes."""

    BOOKINGS = "bookings"
    REMINDERS = "reminders"
    PAYMENTS = "payments"
    MESSAGES = "messages"
    MENTIONS = "mentions"
    TEAM = "team"
    SECURITY = "security"


class Urgency(StrEnum):
    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"


class Digest(StrEnum):
    """How mails that can wait are put together."""

    OFF = "off"
    """Each as it happens."""
    DAILY = "daily"
    WEEKLY = "weekly"
    NEVER = "never"
    """Not at all: what can wait is read in the inbox."""


class DeliveryStatus(StrEnum):
    """NO-4. `failed` is a dead letter until somebody replays it."""

    QUEUED = "queued"
    SENT = "sent"
    DELIVERED = "delivered"
    OPENED = "opened"
    FAILED = "failed"


class Notification(Struct, frozen=True):
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


# --- problems ------------------------------------------------------------------------------------------------------------


class TemplateInvalid(Invalid):
    """A template that does not parse, does what templates may not, or names what its event does not have."""

    code = "template_invalid"
    title = "This template cannot be used"


class TemplateExists(Conflict):
    code = "template_exists"
    title = "There is a template for this event, channel and language; change that one"


class NotReplayable(Conflict):
    code = "not_replayable"
    title = "This message cannot be sent again"


class LinkSpent(Gone):
    """A link whose signature does not hold."""

    code = "unsubscribe_link_invalid"
    title = "This link is not complete; use the whole link of the mail"
    ways = (Way("notif.choose", "/account/notifications"), Way("problem.home", "/"))


# --- calls ---------------------------------------------------------------------------------------------------------------


class InboxTopics(TopicSource, Protocol):
    """`inbox` (one's own) and `inbox:<account>`. `perform` knows `read`: everything up to `seq` counts as read.

    Events: `notification.created` {notification, unread}, `notification.changed` {notification, unread},
    `notification.removed` {id, unread}, `notification.all_read` {upto, unread}.
    """


class NotificationRecords(PersonalRecords, Protocol):
    """The inbox, what was sent to the person by which channel and what came of it, what waits for the next digest, what they
    chose, browsers that take their pushes, and whether their address has ended all mails."""
