"""What booking does by itself: one job keeps time for every booking of every organisation."""

from __future__ import annotations

import msgspec

from forecourt.kernel.context import Context
from forecourt.kernel.jobs import JobHandler, JobKind, Schedule, every
from forecourt.modules.booking.service import BookingService


class KeepTime(msgspec.Struct, frozen=True):
    """All organisations."""


KEEP_TIME = JobKind("booking.keep_time", KeepTime, timeout_s=300, attempts=3)


def handlers(service: BookingService) -> list[JobHandler[KeepTime]]:
    async def keep_time(ctx: Context, _: KeepTime) -> None:
        await service.keep_time(ctx)

    return [JobHandler(KEEP_TIME, keep_time)]


def schedules(_: BookingService) -> list[Schedule]:
    # With SETTLE_AFTER this keeps "settled within a minute" true.
    return [Schedule("booking.keep_time", every(seconds=10), KEEP_TIME, KeepTime())]
