"""Work of venues that must not be forgotten."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec

from forecourt.kernel.context import Context
from forecourt.kernel.jobs import JobHandler, JobKind

if TYPE_CHECKING:
    from forecourt.modules.venues.service import VenuesService

ADOPT_AFTER = timedelta(seconds=10)
"""By then the process that founded the organisation has made its owner itself, or never will."""


class Founded(msgspec.Struct, frozen=True):
    """Somebody founded an organisation and is to be its owner."""

    organisation_id: UUID
    owner_id: UUID


ADOPT = JobKind("venues.adopt", Founded, timeout_s=15, attempts=12)


def handlers(service: VenuesService) -> list[JobHandler[Any]]:
    async def adopt(ctx: Context, founded: Founded) -> None:
        await service.adopt(ctx, founded.organisation_id, founded.owner_id)

    return [JobHandler(ADOPT, adopt)]
