"""What payments does by itself: releasing what was set aside too long, expiring credits, and proving the ledger every night."""

from __future__ import annotations

import msgspec

from forecourt.kernel.context import Context
from forecourt.kernel.jobs import JobHandler, JobKind, Schedule, cron, every
from forecourt.modules.payments.service import PaymentsService


class Sweep(msgspec.Struct, frozen=True):
    """All organisations."""


EXPIRE = JobKind("payments.expire_credits", Sweep, timeout_s=1800, attempts=3)
RELEASE = JobKind("payments.release_authorisations", Sweep, timeout_s=600, attempts=3)
PROVE = JobKind("payments.prove_ledger", Sweep, timeout_s=3600, attempts=3)


def handlers(service: PaymentsService) -> list[JobHandler[Sweep]]:
    async def expire(ctx: Context, _: Sweep) -> None:
        await service.expire_everywhere(ctx)

    async def prove(ctx: Context, _: Sweep) -> None:
        await service.prove_everywhere(ctx)

    async def release(ctx: Context, _: Sweep) -> None:
        await service.release_everywhere(ctx)

    return [JobHandler(EXPIRE, expire), JobHandler(PROVE, prove), JobHandler(RELEASE, release)]


def schedules(_: PaymentsService) -> list[Schedule]:
    return [
        Schedule("payments.expire_credits", every(hours=1), EXPIRE, Sweep()),
        Schedule("payments.release_authorisations", every(minutes=5), RELEASE, Sweep()),
        Schedule("payments.prove_ledger", cron("40 2 * * *"), PROVE, Sweep()),
    ]
