"""What is no longer needed goes: uploads that nobody attached, objects that belong to nobody, files of whoever is erased."""

from __future__ import annotations

from typing import Any

from forecourt.kernel.context import Context
from forecourt.kernel.jobs import JobHandler, Schedule, every
from forecourt.modules.media.service import EXPIRE, FORGET, SWEEP, Expire, Forget, MediaService, Sweep


def handlers(service: MediaService) -> list[JobHandler[Any]]:
    async def sweep(ctx: Context, _: Sweep) -> None:
        await service.sweep(ctx.within(None))

    async def expire(ctx: Context, due: Expire) -> None:
        await service.expire(ctx, due)

    async def forget(ctx: Context, gone: Forget) -> None:
        await service.forget(ctx, gone.account_id)

    return [JobHandler(SWEEP, sweep), JobHandler(EXPIRE, expire), JobHandler(FORGET, forget)]


def schedules() -> list[Schedule]:
    return [Schedule("media.sweep", every(minutes=10), SWEEP, Sweep())]
