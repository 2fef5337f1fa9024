"""The development outbox. The composition root serves it outside production only."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from forecourt.kernel.context import Context
from forecourt.kernel.http.operation import PUBLIC, Api, get
from forecourt.kernel.paging import Page, Paged
from forecourt.modules.notifications.queries import OutboxRow
from forecourt.modules.notifications.service import NotificationsService


class OutboxQuery(Paged, forbid_unknown_fields=True, kw_only=True):
    to: Annotated[str, Meta(max_length=254, description="Only mails to this address")] | None = None


class OutboxApi(Api):
    tag = "Development"

    def __init__(self, service: NotificationsService) -> None:
        self._service = service

    @get("/dev/outbox", access=PUBLIC)
    async def outbox(self, ctx: Context, query: OutboxQuery) -> Page[OutboxRow]:
        """Mails that were sent, newest first."""
        return await self._service.outbox(ctx, query.to, query.limit, query.cursor)
