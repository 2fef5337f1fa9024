"""Partitions ahead of time, and what is forgotten of the erased."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import msgspec

from forecourt.kernel.context import Context
from forecourt.kernel.jobs import JobHandler, JobKind, Schedule, every
from forecourt.modules.audit.service import AuditService


class MakeRoom(msgspec.Struct, frozen=True):
    """Nothing to say: the years follow from the clock."""


class Forget(msgspec.Struct, frozen=True):
    """Somebody's account is erased."""

    account_id: UUID


MAKE_ROOM = JobKind("audit.make_room", MakeRoom, timeout_s=30, attempts=5)
FORGET = JobKind("audit.forget", Forget, timeout_s=3600, attempts=8)


def handlers(service: AuditService) -> list[JobHandler[Any]]:
    async def make_room(ctx: Context, _: MakeRoom) -> None:
        await service.make_room(ctx)

    async def forget(ctx: Context, erased: Forget) -> None:
        await service.forget(ctx, erased.account_id)

    return [JobHandler(MAKE_ROOM, make_room), JobHandler(FORGET, forget)]


def schedules() -> list[Schedule]:
    return [Schedule("audit.make_room", every(hours=24), MAKE_ROOM, MakeRoom())]
