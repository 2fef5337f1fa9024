"""What people does later: it forgets whoever is erased."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from msgspec import Struct

from forecourt.kernel.context import Context
from forecourt.kernel.jobs import JobHandler, JobKind
from forecourt.modules.people.service import PeopleService


class Forget(Struct, frozen=True):
    """Whose profile and preferences go."""

    account_id: UUID


FORGET = JobKind("people.forget", Forget, timeout_s=60, attempts=10)


def handlers(service: PeopleService) -> list[JobHandler[Any]]:
    async def forget(ctx: Context, gone: Forget) -> None:
        await service.forget(ctx, gone.account_id)

    return [JobHandler(FORGET, forget)]
