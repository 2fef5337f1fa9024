"""What chat does when something happened elsewhere: the room of a booking follows the booking; who was erased is forgotten."""

from __future__ import annotations

from typing import Any

from forecourt.kernel.db import Tx
from forecourt.kernel.events import Envelope, Subscription
from forecourt.modules.booking.contract import (
    BookingCancelled,
    BookingConfirmed,
    BookingDeclined,
    BookingNoShow,
    BookingRescheduled,
    GuestInvited,
    InvitationAnswered,
    InvitationWithdrawn,
)
from forecourt.modules.chat.service import ChatService
from forecourt.modules.identity.contract import AccountErased


def subscriptions(service: ChatService) -> list[Subscription]:
    async def seat(tx: Tx, envelopes: list[Envelope[Any]]) -> None:
        for envelope in envelopes:
            service.seat_later(tx, envelope.event.booking_id)

    async def forget(tx: Tx, envelopes: list[Envelope[Any]]) -> None:
        for envelope in envelopes:
            service.forget_later(tx, envelope.event.account_id)

    stands = (BookingConfirmed, BookingRescheduled, BookingCancelled, BookingDeclined, BookingNoShow)
    events = (*stands, GuestInvited, InvitationAnswered, InvitationWithdrawn)
    return [
        Subscription("chat.parties", "chat", events, seat),
        Subscription("chat.forgetting", "chat", (AccountErased,), forget),
    ]
