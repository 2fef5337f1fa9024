"""What notifications does by itself: empty the queue, and forget what is old."""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

from forecourt.kernel.context import Context
from forecourt.kernel.jobs import JobHandler, JobKind, Schedule, every


class Drain(msgspec.Struct, frozen=True):
    """Whatever is due, of every organisation."""


DRAIN = JobKind("notifications.drain", Drain, timeout_s=240, attempts=3)
"""Enqueued with whatever is queued; by the clock for what becomes due later."""


class Drains(Protocol):
    async def drain(self) -> int: ...


def handlers(sending: Drains) -> list[JobHandler[Any]]:
    async def drain(_: Context, __: Drain) -> None:
        await sending.drain()

    return [JobHandler(DRAIN, drain)]


def schedules() -> list[Schedule]:
    return [Schedule("notifications.drain", every(seconds=5), DRAIN, Drain())]
