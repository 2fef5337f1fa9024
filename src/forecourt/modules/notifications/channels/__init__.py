"""The ways out of the house. A carrier hands one message to one provider, and says whether it was taken."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Final, Protocol
from uuid import UUID

from msgspec import Struct

from forecourt.kernel.egress import NotTaken as NotTaken
from forecourt.kernel.egress import Refused as Refused
from forecourt.modules.notifications.queries.queue import Content

MAX_ERROR = 300
NO_QUEUE: Final[AbstractAsyncContextManager[None]] = nullcontext()
"""The place of a carrier that takes any number at a time."""


class Message(Struct, frozen=True):
    """What a carrier gets. `id` is the delivery's: a provider that hears it twice can know that it is one message."""

    id: UUID
    kind: str
    recipient: str
    content: Content
    locale: str = "en"
    urgent: bool = False
    sender: str = ""
    """The organisation's name, as the one who writes."""
    headers: Mapping[str, str] = {}
    account_id: UUID | None = None
    """Whose message it is, where an account's."""


class RecipientGone(Refused):
    """The address exists no longer and is to be forgotten."""


class Carrier(Protocol):
    @property
    def name(self) -> str:
        """Stable and safe to show: what the log calls the provider, and what its breaker is kept under."""
        ...

    @property
    def place(self) -> AbstractAsyncContextManager[None]:
        """Held around `carry`, by the caller: who waits for a place is not being carried yet."""
        ...

    async def carry(self, message: Message) -> None:
        """Raises Refused, NotTaken; may be called again for the same message."""
        ...
