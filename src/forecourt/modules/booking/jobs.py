"""What booking does by itself: one job keeps time for every booking of every organisation, two look after guests' addresses, one
forgets whoever is erased."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec

from forecourt.kernel.context import Context
from forecourt.kernel.jobs import JobHandler, JobKind, Schedule, every
from forecourt.modules.booking.service import BookingService


class KeepTime(msgspec.Struct, frozen=True):
    """All organisations."""


class GiveOver(msgspec.Struct, frozen=True):
    """Somebody showed that their address is theirs: what was sent to it is theirs too."""

    account_id: UUID


class ForgetAddresses(msgspec.Struct, frozen=True):
    """Those of bookings that have long been over."""


class Forget(msgspec.Struct, frozen=True):
    """Somebody's account was erased."""

    account_id: UUID


KEEP_TIME = JobKind("booking.keep_time", KeepTime, timeout_s=300, attempts=3)

GIVE_OVER = JobKind("booking.give_over", GiveOver, timeout_s=60, attempts=8)
FORGET_ADDRESSES = JobKind("booking.forget_addresses", ForgetAddresses, timeout_s=300, attempts=3)

FORGET = JobKind("booking.forget", Forget, timeout_s=600, attempts=8)
AGAIN_AFTER = timedelta(minutes=10)
"""The account is shut before anybody hears that it is erased, but a request that passed the door before, or a message that was on
its way, may still book or write. None takes so long: what it left is found by a second round. So no booking has to ask on its
way whether its account still stands."""


def handlers(service: BookingService) -> list[JobHandler[Any]]:
    async def keep_time(ctx: Context, _: KeepTime) -> None:
        await service.keep_time(ctx)

    async def give_over(ctx: Context, wish: GiveOver) -> None:
        await service.give_over(ctx, wish.account_id)

    async def forget_addresses(ctx: Context, _: ForgetAddresses) -> None:
        await service.forget_addresses(ctx)

    async def forget(ctx: Context, wish: Forget) -> None:
        await service.forget_person(ctx, wish.account_id)

    return [
        JobHandler(KEEP_TIME, keep_time),
        JobHandler(GIVE_OVER, give_over),
        JobHandler(FORGET_ADDRESSES, forget_addresses),
        JobHandler(FORGET, forget),
    ]


def schedules(_: BookingService) -> list[Schedule]:
    # With SETTLE_AFTER this keeps "settled within a minute" true.
    return [
        Schedule("booking.keep_time", every(seconds=10), KEEP_TIME, KeepTime()),
        Schedule("booking.forget_addresses", every(hours=1), FORGET_ADDRESSES, ForgetAddresses()),
    ]
