"""What is told when something happens. Notices are written in the transaction that takes the event, so each is written once."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

import msgspec

from forecourt.kernel.clock import Clock
from forecourt.kernel.db import Tx, module_role, to_json
from forecourt.kernel.events import Envelope, Event, Subscription
from forecourt.kernel.jobs import enqueue
from forecourt.modules.booking.contract import (
    ApprovalAsked,
    BookingActor,
    BookingCancelled,
    BookingConfirmed,
    BookingDeclined,
    BookingExpired,
    BookingHeld,
    BookingRescheduled,
    GuestInvited,
    InvitationAnswered,
    InvitationWithdrawn,
    InviteeStatus,
)
from forecourt.modules.chat.contract import MessageSent
from forecourt.modules.identity.contract import AccountErased, SecurityKind, SecurityNoted, SessionEnded, StaffJoined
from forecourt.modules.notifications.contract import NOBODYS, Channel, DeliveryStatus
from forecourt.modules.notifications.jobs import (
    DRAIN,
    FORGET_PERSON,
    TELL_PARTY,
    TELL_STAFF,
    WRITE,
    Drain,
    ForgetPerson,
    TellParty,
    TellStaff,
    WriteTo,
)
from forecourt.modules.notifications.queries import choices, leaving, queue
from forecourt.modules.notifications.queries.queue import Content, Delivery, NewNotice
from forecourt.modules.notifications.rules import ANSWER_PAUSE, ANSWERED, INVITED, NOISE, REMINDERS, UNINVITED
from forecourt.modules.payments.contract import PaymentDue, PaymentRefunded

TOLD_OF = frozenset({SecurityKind.NEW_DEVICE, SecurityKind.TOKEN_REUSED, SecurityKind.LOCKED_OUT})
MENTION_WAITS = timedelta(seconds=20)
MESSAGE_WAITS = timedelta(seconds=60)
ROOM_PAUSE = timedelta(minutes=5)
ASKED = "booking.approval_asked"
WAITS, APPROVE = "booking.approval_waits", "booking.approve"
"""What staff are told of a booking that asks for them, and the permission of those who are."""
LOOKED_AGAIN = timedelta(days=1)
STALE = timedelta(hours=12)
"""What happened longer ago is history, not news: a subscriber that begins with an old log, or a demo world, tells nobody of it.
So, too, when no worker ran for longer: confirmations, invitations and messages of before are told no more, for they would come as
if they were new; the app shows how things stand. Not so what is to come. Reminders are planned, and taken back, however late that
is; and while its time is ahead, whoever counts on a booking that others ended, refused or moved is told so: they would come in
vain.
"""

Told = (
    ApprovalAsked
    | BookingCancelled
    | BookingConfirmed
    | BookingDeclined
    | BookingExpired
    | BookingHeld
    | BookingRescheduled
    | GuestInvited
    | InvitationAnswered
    | InvitationWithdrawn
    | MessageSent
    | PaymentDue
    | PaymentRefunded
    | SecurityNoted
    | StaffJoined
)
_EVENTS: tuple[type[Event], ...] = (
    ApprovalAsked,
    BookingCancelled,
    BookingConfirmed,
    BookingDeclined,
    BookingExpired,
    BookingHeld,
    BookingRescheduled,
    GuestInvited,
    InvitationAnswered,
    InvitationWithdrawn,
    MessageSent,
    PaymentDue,
    PaymentRefunded,
    SecurityNoted,
    StaffJoined,
)
WEBHOOK_PREFIXES = ("booking.", "block.", "payment.", "refund.", "venue.", "resource.")
"""Events that an organisation's programs may hear."""


def subscriptions(clock: Clock, events: Iterable[type[Event]]) -> list[Subscription]:
    """`events` are all that exist."""
    heard = tuple(e for e in events if e.event_name.startswith(WEBHOOK_PREFIXES) and "organisation_id" in e.__struct_fields__)
    reactions = Reactions(clock)
    return [
        Subscription("notifications.people", "notifications", _EVENTS, reactions.tell),
        Subscription("notifications.sessions", "notifications", (SessionEnded,), reactions.forget_browsers),
        Subscription("notifications.forgetting", "notifications", (AccountErased,), reactions.forget_person),
        Subscription("notifications.webhooks", "notifications", heard, reactions.hook),
    ]


class Reactions:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def tell(self, tx: Tx, envelopes: list[Envelope[Any]]) -> None:
        """Events of one organisation, in order, become notices; what was still to be said and is no longer true is taken back."""
        organisation_id = envelopes[0].organisation_id or NOBODYS
        now = self._clock.now()
        if organisation_id == NOBODYS:
            # About no organisation: those rows have the nil id, and so has the transaction that writes them.
            await tx.become(module_role("notifications"), NOBODYS)
        for envelope in envelopes:
            if isinstance(envelope.event, BookingRescheduled) and not _moved(envelope.event):
                continue
            await self._take_back(tx, organisation_id, envelope, now)
            if envelope.at >= now - STALE:
                await self._one(tx, organisation_id, envelope, now)
            else:
                await self._late(tx, organisation_id, envelope, now)
        enqueue(tx, DRAIN, Drain())

    async def forget_browsers(self, tx: Tx, envelopes: list[Envelope[SessionEnded]]) -> None:
        """Whoever signed out, or was signed out, is pushed to no more in that browser."""
        for envelope in envelopes:
            event = envelope.event
            await tx.become(module_role("notifications"), NOBODYS, event.account_id)
            await choices.drop_session(tx, event.account_id, event.session_id)

    async def forget_person(self, tx: Tx, envelopes: list[Envelope[AccountErased]]) -> None:
        """From now on nothing leaves for whoever is erased; and soon nothing of them is left. A day later it is looked once more,
        for what somebody was about to write."""
        now = self._clock.now()
        for envelope in envelopes:
            account_id = envelope.event.account_id
            await leaving.note(tx, account_id, now)
            enqueue(tx, FORGET_PERSON, ForgetPerson(account_id), key=f"{account_id}")
            enqueue(tx, FORGET_PERSON, ForgetPerson(account_id), at=now + LOOKED_AGAIN, key=f"{account_id} again")

    @staticmethod
    async def _take_back(tx: Tx, organisation_id: UUID, envelope: Envelope[Told], now: datetime) -> None:
        """Reminders of what is off or elsewhere, however long ago that was said."""
        event = envelope.event
        if isinstance(event, BookingCancelled | BookingDeclined | BookingExpired | BookingRescheduled):
            await queue.void(tx, organisation_id, [event.booking_id], list(REMINDERS), now)

    async def _late(self, tx: Tx, organisation_id: UUID, envelope: Envelope[Told], now: datetime) -> None:
        """What is still worth saying of what is no news any more."""
        event, notices = envelope.event, self._reminders(envelope, now)
        if isinstance(event, BookingCancelled | BookingDeclined | BookingRescheduled) and _turned_away(event, now):
            self._ask_for_the_party(tx, organisation_id, envelope)
            themselves = isinstance(event, BookingCancelled) and event.by is BookingActor.CUSTOMER
            if not themselves and envelope.actor.account_id != event.account_id:
                notices += self._news(envelope, now)
        if notices:
            await queue.insert_notices(tx, organisation_id, notices, now)

    @staticmethod
    def _ask_for_the_party(tx: Tx, organisation_id: UUID, envelope: Envelope[Any]) -> None:
        """Those who are invited to a booking hear of it too. Who they are is asked outside the event's transaction."""
        event = envelope.event
        if isinstance(event, BookingConfirmed | BookingCancelled | BookingRescheduled):
            kind, facts = _for_the_party(event)
            party = TellParty(envelope.id, organisation_id, kind, event.booking_id, facts, event.account_id)
            enqueue(tx, TELL_PARTY, party, key=f"tell party {envelope.id}")

    async def _one(self, tx: Tx, organisation_id: UUID, envelope: Envelope[Told], now: datetime) -> None:
        event = envelope.event
        if isinstance(event, MessageSent):
            await queue.insert_notices(tx, organisation_id, _messages(envelope, event, now), now)
            return
        if isinstance(event, InvitationAnswered):
            await queue.insert_notices(tx, organisation_id, _answer(envelope, event, now), now)
            return
        if isinstance(event, ApprovalAsked):
            wish = TellStaff(envelope.id, organisation_id, WAITS, event.booking_id, APPROVE, event.account_id)
            enqueue(tx, TELL_STAFF, wish, key=f"tell staff {envelope.id}")
        self._ask_for_the_party(tx, organisation_id, envelope)
        if isinstance(event, GuestInvited | InvitationWithdrawn) and event.account_id is None:
            kind = INVITED if isinstance(event, GuestInvited) else UNINVITED
            enqueue(tx, WRITE, WriteTo(envelope.id, organisation_id, kind, event.booking_id, {}, event.invitation_id))
        if isinstance(event, InvitationWithdrawn) and not await queue.was_told(tx, organisation_id, event.booking_id, INVITED):
            return
        notices = [*self._news(envelope, now), *self._reminders(envelope, now)]
        who = event.account_id
        # A hold that follows a question is staff's yes.
        asked = isinstance(event, BookingHeld) and await queue.was_told(tx, organisation_id, event.booking_id, ASKED)
        if isinstance(event, BookingHeld) and asked and who is not None:
            notices.append(_notice(envelope, who, "booking.approved", event.booking_id, {}, now))
        if notices:
            await queue.insert_notices(tx, organisation_id, notices, now)

    def _news(self, envelope: Envelope[Told], now: datetime) -> list[NewNotice]:  # noqa: PLR0911, PLR0912 - one return per event
        """What the person it happened to hears of it. Who did it themselves in the app need not be told, but wants the mail."""
        event = envelope.event
        if isinstance(event, MessageSent | InvitationAnswered) or event.account_id is None:
            return []
        who = event.account_id
        match event:
            case BookingConfirmed():
                return [_notice(envelope, who, "booking.confirmed", event.booking_id, {}, now)]
            case BookingCancelled():
                reason = event.reason if event.by is not BookingActor.CUSTOMER else ""
                back = event.refund - event.falls_away if event.falls_away else event.refund
                if event.paid is not None and not event.paid:
                    back = None  # what was not paid does not come back
                facts: dict[str, object] = {"reason": reason, "refund": msgspec.to_builtins(back)}
                return [_notice(envelope, who, "booking.cancelled", event.booking_id, facts, now)]
            case BookingRescheduled():
                facts = {**_from(event)}
                return [_notice(envelope, who, "booking.moved", event.booking_id, facts, now)]
            case ApprovalAsked():
                return [_notice(envelope, who, "booking.approval_asked", event.booking_id, {}, now)]
            case BookingDeclined():
                return [_notice(envelope, who, "booking.declined", event.booking_id, {"reason": event.reason}, now)]
            case PaymentDue():
                facts = {"amount": msgspec.to_builtins(event.amount)}
                return [_notice(envelope, who, "payment.due", event.payment_id, facts, now)] if event.amount.amount else []
            case PaymentRefunded():
                sent = event.amount - event.waived  # what was still due, and is so no longer, went nowhere
                facts = {"amount": msgspec.to_builtins(sent)}
                return [_notice(envelope, who, "payment.refunded", event.payment_id, facts, now)] if sent else []
            case StaffJoined():
                return [_notice(envelope, who, "staff.joined", None, {"role": event.role}, now)]
            case SecurityNoted():
                told = event.kind in TOLD_OF
                return [_notice(envelope, who, "security.noted", None, {"what": event.kind.value}, now)] if told else []
            case GuestInvited():
                return [_notice(envelope, who, INVITED, event.booking_id, {"party": True}, now)]
            case InvitationWithdrawn():
                return [_notice(envelope, who, UNINVITED, event.booking_id, {"party": True}, now)]
            case BookingExpired() | BookingHeld():
                return []

    @staticmethod
    def _reminders(envelope: Envelope[Told], now: datetime) -> list[NewNotice]:
        """Before a booking that stands: a day and two hours before unless that has passed, and for quiet half an hour before, or
        at once. Whether quiet has to be asked for is seen then: nobody asks for a house's policies here."""
        event = envelope.event
        if not isinstance(event, BookingConfirmed | BookingRescheduled) or event.account_id is None:
            return []
        start = event.start.isoformat()
        return [
            _notice(envelope, event.account_id, kind, event.booking_id, {"start": start}, max(event.start - before, now))
            for kind, before in REMINDERS.items()
            if event.start - before > now or (kind == NOISE and event.start > now)
        ]

    # --- webhooks

    async def hook(self, tx: Tx, envelopes: list[Envelope[Any]]) -> None:
        """Each event becomes a delivery to every endpoint of its organisation that asked for it."""
        organisation_id, now = envelopes[0].organisation_id, self._clock.now()
        if organisation_id is None:
            return
        endpoints = [e for e in await choices.endpoints(tx, organisation_id) if e.enabled]
        if not endpoints:
            return
        made = [
            _hook_delivery(organisation_id, endpoint.id, envelope, now)
            for envelope in envelopes
            for endpoint in endpoints
            if envelope.at >= endpoint.created_at and hears(endpoint.events, envelope.name)
        ]
        ids = await queue.insert_deliveries(tx, organisation_id, made, now)
        await queue.queue(tx, organisation_id, "delivery", dict.fromkeys(ids, now))
        if ids:
            enqueue(tx, DRAIN, Drain())


def _messages(envelope: Envelope[Any], event: MessageSent, now: datetime) -> list[NewNotice]:
    """A message waits a moment for its reader: who is there reads it, and is told nothing. One room is told of at most every
    few minutes, whoever writes how often; what was read untold does not count as told. A mention is told always."""
    facts: dict[str, object] = {"message_id": str(event.message_id), "seq": event.seq}
    mentions = [_notice(envelope, who, "chat.mention", event.room_id, facts, now + MENTION_WAITS) for who in event.mentioned_ids]
    stretch = int(envelope.at.timestamp() // ROOM_PAUSE.total_seconds())
    others = [_notice(envelope, who, "chat.message", event.room_id, facts, now + MESSAGE_WAITS) for who in event.notify_ids]
    key = f"chat.message {event.room_id} {stretch}"
    return [*mentions, *(msgspec.structs.replace(n, key=key) for n in others)]


def _answer(envelope: Envelope[Any], event: InvitationAnswered, now: datetime) -> list[NewNotice]:
    """For whose booking it is: a first answer at once. Of who thinks better of it there is one notice in a stretch, at its end,
    whatever they say how often; it tells how they stand then."""
    if event.host_id is None or event.was in (None, event.status):
        return []
    facts: dict[str, object] = {
        "invitation_id": str(event.invitation_id),
        "status": event.status.value,
        "first": event.was is InviteeStatus.PENDING,
    }
    notice = _notice(envelope, event.host_id, ANSWERED, event.booking_id, facts, now)
    if event.was is InviteeStatus.PENDING:
        return [notice]
    pause_s = ANSWER_PAUSE.total_seconds()
    stretch = int(envelope.at.timestamp() // pause_s)
    end = max(datetime.fromtimestamp((stretch + 1) * pause_s, UTC), now)
    return [msgspec.structs.replace(notice, key=f"{ANSWERED} {event.invitation_id} {stretch}", due_at=end)]


def _moved(event: BookingRescheduled) -> bool:
    """Whether it is elsewhere or at another time: how many come, and what for, concerns whoever changed it alone."""
    before = (event.from_resource_id, event.from_start, event.from_end)
    return (event.resource_id, event.start, event.end) != before


def _turned_away(event: BookingCancelled | BookingDeclined | BookingRescheduled, now: datetime) -> bool:
    """Whether somebody may still come in vain: its time is ahead; of one that was moved the old or the new."""
    return event.start > now or (isinstance(event, BookingRescheduled) and event.from_start > now)


def _from(event: BookingRescheduled) -> dict[str, str]:
    """Place and time before a move."""
    return {
        "from_start": event.from_start.isoformat(),
        "from_end": event.from_end.isoformat(),
        "from_resource_id": str(event.from_resource_id),
    }


def _for_the_party(event: BookingConfirmed | BookingCancelled | BookingRescheduled) -> tuple[str, dict[str, str]]:
    """What those who are invited hear of it: nothing of money, nor of why its owner does not come."""
    match event:
        case BookingConfirmed():
            return INVITED, {}
        case BookingCancelled():
            return "booking.cancelled", {"reason": event.reason if event.by is not BookingActor.CUSTOMER else ""}
        case BookingRescheduled():
            return "booking.moved", _from(event)


def hears(wanted: list[str], name: str) -> bool:
    """Whether an endpoint that asked for `wanted` gets an event: `booking.confirmed`, `booking.*` or `*`."""
    return any(w in ("*", name) or (w.endswith(".*") and name.startswith(w[:-1])) for w in wanted)


def _hook_delivery(organisation_id: UUID, endpoint_id: UUID, envelope: Envelope[Any], now: datetime) -> Delivery:
    body = {
        "id": str(envelope.id),
        "type": f"{envelope.name}.v{envelope.version}",
        "timestamp": envelope.at.isoformat(),
        "organisation_id": str(organisation_id),
        "data": msgspec.to_builtins(envelope.event),
    }
    return Delivery(
        organisation_id,
        uuid5(envelope.id, f"webhook {endpoint_id}"),
        None,
        None,
        envelope.name,
        "webhooks",
        Channel.WEBHOOK,
        str(endpoint_id),
        "en",
        Content(subject=envelope.name, body=to_json(body)),
        DeliveryStatus.QUEUED,
        0,
        "",
        "",
        now,
        None,
        now,
    )


def _notice(
    envelope: Envelope[Any], account_id: UUID, kind: str, about_id: UUID | None, facts: dict[str, object], at: datetime
) -> NewNotice:
    """Its id follows from the event: the same event taken twice is one notice."""
    key = f"{kind} {envelope.id}"
    return NewNotice(uuid5(envelope.id, f"{kind} {account_id}"), account_id, kind, key, about_id, facts, at)
