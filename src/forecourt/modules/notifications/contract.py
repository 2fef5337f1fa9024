"""What other modules may know of notifications: a mail, a text message, and the calls that send them."""

from __future__ import annotations

from typing import Annotated, Protocol
from uuid import UUID

from msgspec import Meta, Struct

from forecourt.kernel.context import Context
from forecourt.kernel.contracts import idempotent


class Mail(Struct, frozen=True):
    """A finished mail. Its `id` is made by whoever writes it: the same mail handed over twice is one mail."""

    id: UUID
    to: Annotated[str, Meta(min_length=3, max_length=254)]
    subject: Annotated[str, Meta(min_length=1, max_length=200)]
    text: Annotated[str, Meta(min_length=1, max_length=100_000)]
    html: Annotated[str, Meta(max_length=400_000)] | None = None


class Mailer(Protocol):
    @idempotent
    async def send(self, ctx: Context, mail: Mail) -> None:
        """Hands a mail to the mail server, or to the development outbox. Raises Unavailable; call it from a job, which retries.

        The job of the calling module carries the mail in its payload, which is gone when the mail is: secrets in a mail
        (codes, links) are in no log and in no event.
        """
        ...


class Text(Struct, frozen=True):
    """A finished text message (SMS). Its `id` is made by whoever writes it: the same text handed over twice is one text."""

    id: UUID
    to: Annotated[str, Meta(min_length=8, max_length=16, pattern=r"^\+[1-9][0-9]{6,14}$", description="A phone number, E.164")]
    text: Annotated[str, Meta(min_length=1, max_length=1_000)]


class Texter(Protocol):
    @idempotent
    async def send_text(self, ctx: Context, text: Text) -> None:
        """Hands a text to the gateway, or to the development outbox. Raises Unavailable; call it from a job, which retries.

        As with mails, what is secret in it (a code) lives in the job's payload alone, which is gone when the text is.
        """
        ...
