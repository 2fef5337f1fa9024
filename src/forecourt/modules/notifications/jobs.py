"""What notifications does by itself: empty the queue, and forget what is old."""

from __future__ import annotations

from typing import Any, Protocol
from uuid import UUID

import msgspec

from forecourt.kernel.context import Context
from forecourt.kernel.jobs import STALE_DAYS, JobHandler, JobKind, Schedule, every

KEPT_DAYS = 365


class Drain(msgspec.Struct, frozen=True):
    """Whatever is due, of every organisation."""


class TellStaff(msgspec.Struct, frozen=True):
    """Something waits for those of the staff who hold `permission`; not for `besides`, who did it."""

    event_id: UUID
    organisation_id: UUID
    kind: str
    about_id: UUID
    permission: str
    besides: UUID | None = None


class TellParty(msgspec.Struct, frozen=True):
    """Something happened to a booking that concerns those who are invited to it; not `besides`, whose it is."""

    event_id: UUID
    organisation_id: UUID
    kind: str
    booking_id: UUID
    facts: dict[str, str]
    besides: UUID | None = None


class WriteTo(msgspec.Struct, frozen=True):
    """The same, for one who is invited by address alone."""

    event_id: UUID
    organisation_id: UUID
    kind: str
    booking_id: UUID
    facts: dict[str, str]
    invitation_id: UUID


class Forget(msgspec.Struct, frozen=True):
    """How many days the words of a message are kept."""

    days: int = KEPT_DAYS


class ForgetPerson(msgspec.Struct, frozen=True):
    """Somebody whose account is erased."""

    account_id: UUID


DRAIN = JobKind("notifications.drain", Drain, timeout_s=240, attempts=3)
"""Enqueued with whatever is queued; by the clock for what becomes due later."""
FORGET = JobKind("notifications.forget", Forget, timeout_s=600, attempts=3)
"""Every night: what was said to whom is kept for a year (PE-8). Another try goes on where this one was."""
FORGET_PERSON = JobKind("notifications.forget_person", ForgetPerson, timeout_s=600, attempts=12)
"""Enqueued in the event's transaction. Another try goes on where this one was."""
TELL_STAFF = JobKind("notifications.tell_staff", TellStaff, timeout_s=30, attempts=5)
"""Enqueued in the event's transaction: who the staff are is asked outside it."""
TELL_PARTY = JobKind("notifications.tell_party", TellParty, timeout_s=30, attempts=5, kept_days=STALE_DAYS)
"""The same for those who are invited to a booking. Who is invited by address alone is written to by a job of its own."""
WRITE = JobKind("notifications.write_to_address", WriteTo, timeout_s=60, attempts=8, kept_days=STALE_DAYS)
"""A mail that is not kept: the link in it is a secret of its reader's. So nothing else sends it again."""


class Tells(Protocol):
    async def tell_staff(self, wish: TellStaff) -> None: ...

    async def tell_party(self, wish: TellParty) -> None: ...


class Writes(Protocol):
    async def write(self, wish: WriteTo) -> None: ...


class Forgets(Protocol):
    async def forget(self, account_id: UUID) -> None: ...


class Drains(Protocol):
    async def drain(self) -> int: ...

    async def forget(self, days: int) -> int: ...


def handlers(sending: Drains, telling: Tells, addresses: Writes, forgetting: Forgets) -> list[JobHandler[Any]]:
    async def drain(_: Context, __: Drain) -> None:
        await sending.drain()

    async def forget(_: Context, wish: Forget) -> None:
        await sending.forget(wish.days)

    async def forget_person(_: Context, wish: ForgetPerson) -> None:
        await forgetting.forget(wish.account_id)

    async def tell_staff(_: Context, wish: TellStaff) -> None:
        await telling.tell_staff(wish)

    async def tell_party(_: Context, wish: TellParty) -> None:
        await telling.tell_party(wish)

    async def write(_: Context, wish: WriteTo) -> None:
        await addresses.write(wish)

    return [
        JobHandler(WRITE, write),
        JobHandler(TELL_STAFF, tell_staff),
        JobHandler(TELL_PARTY, tell_party),
        JobHandler(DRAIN, drain),
        JobHandler(FORGET, forget),
        JobHandler(FORGET_PERSON, forget_person),
    ]


def schedules() -> list[Schedule]:
    return [
        Schedule("notifications.drain", every(seconds=5), DRAIN, Drain()),
        Schedule("notifications.forget", every(hours=24), FORGET, Forget()),
    ]
