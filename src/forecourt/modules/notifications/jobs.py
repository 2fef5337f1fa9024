"""What notifications does by itself: empty the queue, and forget what is old."""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

from forecourt.kernel.context import Context
from forecourt.kernel.jobs import JobHandler, JobKind, Schedule, every

KEPT_DAYS = 365


class Drain(msgspec.Struct, frozen=True):
    """Whatever is due, of every organisation."""


class Forget(msgspec.Struct, frozen=True):
    """How many days the words of a message are kept."""

    days: int = KEPT_DAYS


DRAIN = JobKind("notifications.drain", Drain, timeout_s=240, attempts=3)
"""Enqueued with whatever is queued; by the clock for what becomes due later."""
FORGET = JobKind("notifications.forget", Forget, timeout_s=600, attempts=3)
"""Every night: what was said to whom is kept for a year (PE-8). Another try goes on where this one was."""


class Drains(Protocol):
    async def drain(self) -> int: ...

    async def forget(self, days: int) -> int: ...


def handlers(sending: Drains) -> list[JobHandler[Any]]:
    async def drain(_: Context, __: Drain) -> None:
        await sending.drain()

    async def forget(_: Context, wish: Forget) -> None:
        await sending.forget(wish.days)

    return [JobHandler(DRAIN, drain), JobHandler(FORGET, forget)]


def schedules() -> list[Schedule]:
    return [
        Schedule("notifications.drain", every(seconds=5), DRAIN, Drain()),
        Schedule("notifications.forget", every(hours=24), FORGET, Forget()),
    ]
