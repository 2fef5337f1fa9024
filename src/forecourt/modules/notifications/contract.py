"""What other modules may know of notifications: a mail, and the call that sends it."""

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
