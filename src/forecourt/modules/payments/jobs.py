"""What payments does by itself: releasing what was set aside too long, expiring credits, proving the ledger every night, and
forgetting whoever is erased."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec

from forecourt.kernel.context import Context
from forecourt.kernel.jobs import JobHandler, JobKind, Schedule, cron, every
from forecourt.modules.payments.service import PaymentsService


class Sweep(msgspec.Struct, frozen=True):
    """All organisations."""


class Forget(msgspec.Struct, frozen=True):
    """Somebody's account was erased."""

    account_id: UUID


EXPIRE = JobKind("payments.expire_credits", Sweep, timeout_s=1800, attempts=3)
RELEASE = JobKind("payments.release_authorisations", Sweep, timeout_s=600, attempts=3)
PROVE = JobKind("payments.prove_ledger", Sweep, timeout_s=3600, attempts=3)
FORGET = JobKind("payments.forget", Forget, timeout_s=600, attempts=8)
AGAIN_AFTER = timedelta(minutes=15)
"""What was under way when the account was erased, a refund with somebody's words among it, is found by a second round: after the
one of bookings (`booking.jobs.AGAIN_AFTER`), whose cancellations give money back."""


def handlers(service: PaymentsService) -> list[JobHandler[Any]]:
    async def expire(ctx: Context, _: Sweep) -> None:
        await service.expire_everywhere(ctx)

    async def prove(ctx: Context, _: Sweep) -> None:
        await service.prove_everywhere(ctx)

    async def release(ctx: Context, _: Sweep) -> None:
        await service.release_everywhere(ctx)

    async def forget(ctx: Context, wish: Forget) -> None:
        await service.forget_person(ctx, wish.account_id)

    return [JobHandler(EXPIRE, expire), JobHandler(PROVE, prove), JobHandler(RELEASE, release), JobHandler(FORGET, forget)]


def schedules(_: PaymentsService) -> list[Schedule]:
    return [
        Schedule("payments.expire_credits", every(hours=1), EXPIRE, Sweep()),
        Schedule("payments.release_authorisations", every(minutes=5), RELEASE, Sweep()),
        Schedule("payments.prove_ledger", cron("40 2 * * *"), PROVE, Sweep()),
    ]
