"""What booking does when something happened elsewhere."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from forecourt.kernel.db import Tx
from forecourt.kernel.events import Envelope, Subscription
from forecourt.kernel.jobs import enqueue
from forecourt.modules.booking import queries
from forecourt.modules.booking.announcements import booking_topic, told
from forecourt.modules.booking.contract import (
    ApprovalAsked,
    BookingCancelled,
    BookingCompleted,
    BookingConfirmed,
    BookingDeclined,
    BookingExpired,
    BookingHeld,
    BookingNoShow,
    BookingRescheduled,
    BookingStarted,
    GuestInvited,
    InvitationAnswered,
    InvitationWithdrawn,
)
from forecourt.modules.booking.jobs import AGAIN_AFTER, FORGET, GIVE_OVER, Forget, GiveOver
from forecourt.modules.booking.service import BookingService
from forecourt.modules.booking.service.holding import is_own_refund
from forecourt.modules.identity.contract import AccountConfirmed, AccountErased
from forecourt.modules.payments.contract import PaymentCaptured, PaymentDue, PaymentRefunded, PayWith
from forecourt.modules.venues.contract import VenueChanged

TOLD = (
    BookingHeld,
    ApprovalAsked,
    BookingConfirmed,
    BookingDeclined,
    BookingCancelled,
    BookingRescheduled,
    BookingExpired,
    BookingStarted,
    BookingCompleted,
    BookingNoShow,
    GuestInvited,
    InvitationAnswered,
    InvitationWithdrawn,
)
"""What those hear who look at a booking."""


def subscriptions(service: BookingService) -> list[Subscription]:
    async def forget_books(_: Tx, envelopes: list[Envelope[Any]]) -> None:
        """This process reads the changed books again, should it not have heard of the change; others notice by their version."""
        for envelope in envelopes:
            if isinstance(envelope.event, VenueChanged):
                service.forget(envelope.event.venue_id)

    async def hurry(tx: Tx, envelopes: list[Envelope[Any]]) -> None:
        """Money came for a booking. Should whoever took it be gone, the keeper of time confirms the booking soon."""
        events: list[PaymentCaptured | PaymentDue] = [e.event for e in envelopes]
        by_organisation: dict[Any, list[Any]] = {}
        for event in events:
            if event.charge_id == event.payment_id:
                by_organisation.setdefault(event.organisation_id, []).append(event.payment_id)
        for organisation_id, payment_ids in by_organisation.items():
            await queries.hurry(tx, organisation_id, payment_ids, service.soon())

    async def received(tx: Tx, envelopes: list[Envelope[Any]]) -> None:
        """What was due at the desk was received there."""
        for envelope in envelopes:
            event: PaymentCaptured = envelope.event
            if event.pay_with is PayWith.DESK:
                now = service.clock.now()
                await queries.desk_paid(tx, event.organisation_id, event.payment_id, event.amount.amount, now)

    async def given_back(tx: Tx, envelopes: list[Envelope[Any]]) -> None:
        """Money of a booking went back, perhaps by staff and past the booking. The keeper of time holds the two against each
        other at its next round; comparing, it may do so as often as it likes."""
        by_organisation: dict[UUID, set[UUID]] = {}
        for envelope in envelopes:
            event: PaymentRefunded = envelope.event
            if not is_own_refund(event.payment_id, event.refund_id):
                by_organisation.setdefault(event.organisation_id, set()).add(event.payment_id)
        for organisation_id, payment_ids in by_organisation.items():
            await queries.hurry_refunded(tx, organisation_id, sorted(payment_ids), service.clock.now())

    async def tell(tx: Tx, envelopes: list[Envelope[Any]]) -> None:
        """Whoever looks at one of these bookings hears that it is another now."""

        def announce() -> None:
            for envelope in envelopes:
                booking_id: UUID = envelope.event.booking_id
                service.announcer.announce(booking_topic(booking_id), told(booking_id), envelope.event.event_name)

        tx.after_commit(announce)

    async def confirmed(tx: Tx, envelopes: list[Envelope[Any]]) -> None:
        """Invitations that were sent to a verified address are its owner's."""
        for envelope in envelopes:
            enqueue(tx, GIVE_OVER, GiveOver(envelope.event.account_id))

    async def erased(tx: Tx, envelopes: list[Envelope[Any]]) -> None:
        """Twice, see `AGAIN_AFTER`."""
        for envelope in envelopes:
            wish = Forget(envelope.event.account_id)
            enqueue(tx, FORGET, wish)
            enqueue(tx, FORGET, wish, at=service.clock.now() + AGAIN_AFTER)

    return [
        Subscription("booking.forgetting", "booking", (AccountErased,), erased),
        Subscription("booking.addresses", "booking", (AccountConfirmed,), confirmed),
        Subscription("booking.live", "booking", TOLD, tell),
        Subscription("booking.books", "booking", (VenueChanged,), forget_books),
        Subscription("booking.payments", "booking", (PaymentCaptured, PaymentDue), hurry),
        Subscription("booking.desk", "booking", (PaymentCaptured,), received),
        Subscription("booking.refunds", "booking", (PaymentRefunded,), given_back),
    ]
