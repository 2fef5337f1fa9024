"""The latest news of each organisation as events, so that the audit trail and whoever else listens has something to tell.

Only the latest: an event for every step of a year would keep every subscriber busy for minutes.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterable

import msgspec

from forecourt.demo.ids import id_at
from forecourt.demo.story import Booked, Step
from forecourt.demo.write import Connection, Row, copy
from forecourt.kernel.context import ActorKind
from forecourt.kernel.events import Event
from forecourt.kernel.money import Money
from forecourt.modules.booking.contract import (
    ApprovalAsked,
    BookingAction,
    BookingCancelled,
    BookingCompleted,
    BookingConfirmed,
    BookingDeclined,
    BookingExpired,
    BookingHeld,
    BookingNoShow,
    BookingStarted,
    PayWith,
)

MOST = 40
"""Events of one organisation."""
_A = BookingAction
_encode = msgspec.json.Encoder().encode

KINDS: dict[BookingAction, type[Event]] = {
    _A.HOLD: BookingHeld,
    _A.APPROVE: BookingHeld,
    _A.REQUEST_APPROVAL: ApprovalAsked,
    _A.CONFIRM: BookingConfirmed,
    _A.DECLINE: BookingDeclined,
    _A.CANCEL: BookingCancelled,
    _A.EXPIRE: BookingExpired,
    _A.BEGIN: BookingStarted,
    _A.COMPLETE: BookingCompleted,
    _A.MARK_NO_SHOW: BookingNoShow,
}


async def tell(connection: Connection, bookings: Iterable[Booked], dice: random.Random) -> None:
    """Writes the last steps of an organisation's bookings to the event log, oldest first."""
    steps = ((b, step) for b in bookings for step in b.steps)
    chosen = heapq.nlargest(MOST, steps, key=lambda n: (n[1].at, n[0].id))
    rows = [_row(b, step, dice) for b, step in reversed(chosen)]
    await copy(
        connection,
        "kernel.event",
        "id at organisation_id name version payload actor_kind account_id service",
        [row for row in rows if row is not None],
    )


def _row(b: Booked, step: Step, dice: random.Random) -> Row | None:
    event = _event(b, step)
    if event is None:
        return None
    person = step.account_id is not None
    return (
        id_at(dice, step.at),
        step.at,
        b.site.organisation_id,
        event.event_name,
        event.event_version,
        _encode(event),
        (ActorKind.PERSON if person else ActorKind.SERVICE).value,
        step.account_id,
        "" if person else "booking",
    )


def _event(b: Booked, step: Step) -> Event | None:
    currency = b.site.book.organisation.currency
    facts: dict[str, object] = {
        "organisation_id": b.site.organisation_id,
        "venue_id": b.site.book.venue.id,
        "resource_id": b.resource.id,
        "booking_id": b.id,
        "account_id": b.account_id,
        "start": b.starts_at,
        "end": b.ends_at,
        "purpose": b.purpose,
        "team_size": b.team_size,
        "price": Money(b.price, currency),
    }
    kind = KINDS.get(step.action)
    if kind is None or (kind is BookingHeld and b.hold_expires_at is None):
        return None  # the end of a hold that is long over is not kept
    return msgspec.convert(facts | _more(b, step), kind)


def _more(b: Booked, step: Step) -> dict[str, object]:
    """What some events say beyond the facts of every booking."""
    currency = b.site.book.organisation.currency
    match step.action:
        case _A.HOLD | _A.APPROVE:
            return {"hold_expires_at": b.hold_expires_at}
        case _A.CONFIRM:
            return {"paid": Money(b.price if b.pay_with is PayWith.CREDITS else 0, currency)}
        case _A.DECLINE:
            return {"reason": step.detail}
        case _A.CANCEL:
            return {"refund": Money(b.returned[1] if b.returned else 0, currency), "by": step.actor, "reason": step.detail}
        case _:
            return {}
