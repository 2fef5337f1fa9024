"""Partitions ahead of time."""

from __future__ import annotations

from typing import Any

import msgspec

from forecourt.kernel.context import Context
from forecourt.kernel.jobs import JobHandler, JobKind, Schedule, every
from forecourt.modules.audit.service import AuditService


class MakeRoom(msgspec.Struct, frozen=True):
    """Nothing to say: the years follow from the clock."""


MAKE_ROOM = JobKind("audit.make_room", MakeRoom, timeout_s=30, attempts=5)


def handlers(service: AuditService) -> list[JobHandler[Any]]:
    async def make_room(ctx: Context, _: MakeRoom) -> None:
        await service.make_room(ctx)

    return [JobHandler(MAKE_ROOM, make_room)]


def schedules() -> list[Schedule]:
    return [Schedule("audit.make_room", every(hours=24), MAKE_ROOM, MakeRoom())]
