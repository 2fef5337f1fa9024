"""Seating parties in the rooms of their bookings; files, words and people that go."""

from __future__ import annotations

from typing import Any

from forecourt.kernel.context import Context
from forecourt.kernel.jobs import JobHandler, Schedule, every
from forecourt.kernel.presence import Presences
from forecourt.modules.chat.service import ChatService
from forecourt.modules.chat.service.attaching import LET_GO, LetGo
from forecourt.modules.chat.service.forgetting import FORGET, Forget
from forecourt.modules.chat.service.keeping import SEAT_PARTY, TIDY, SeatParty, Tidy
from forecourt.modules.chat.service.previewing import LOOK_BEHIND, LookBehind


def handlers(service: ChatService, presences: Presences) -> list[JobHandler[Any]]:
    async def seat(ctx: Context, wanted: SeatParty) -> None:
        await service.seat_party(ctx, wanted.booking_id)

    async def let_go(ctx: Context, gone: LetGo) -> None:
        await service.detach(ctx, gone)

    async def tidy(ctx: Context, _: Tidy) -> None:
        await service.tidy(ctx)

    async def look_behind(ctx: Context, wanted: LookBehind) -> None:
        await service.look_behind(ctx, wanted)

    async def forget(ctx: Context, wanted: Forget) -> None:
        await service.forget(ctx, wanted.account_id)
        await presences.forget(wanted.account_id)

    return [
        JobHandler(FORGET, forget),
        JobHandler(LOOK_BEHIND, look_behind),
        JobHandler(SEAT_PARTY, seat),
        JobHandler(LET_GO, let_go),
        JobHandler(TIDY, tidy),
    ]


def schedules() -> list[Schedule]:
    return [Schedule("chat.tidy", every(minutes=10), TIDY, Tidy())]
