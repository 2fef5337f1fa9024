"""The development outbox. The composition root serves it outside production only."""

from __future__ import annotations

import re
from typing import Annotated

from msgspec import Meta, Struct

from forecourt.kernel.context import Context
from forecourt.kernel.http.operation import PUBLIC, Api, Html, Request, get
from forecourt.kernel.paging import Page, Paged
from forecourt.kernel.web.surroundings import Surroundings
from forecourt.modules.notifications.queries.outbox import OutboxRow
from forecourt.modules.notifications.service import NotificationsService


class OutboxQuery(Paged, forbid_unknown_fields=True, kw_only=True):
    to: Annotated[str, Meta(max_length=254, description="Only mails to this address")] | None = None


class Piece(Struct, frozen=True):
    """A stretch of a mail's text; `href` when it is an address to follow."""

    text: str
    href: str = ""


class Shown(Struct, frozen=True):
    row: OutboxRow
    pieces: list[Piece]


_LINK = re.compile(r"(https?://[^\s<>]+)")


def _parts(text: str) -> list[Piece]:
    """The text with its addresses told apart."""
    return [Piece(part, part if i % 2 else "") for i, part in enumerate(_LINK.split(text)) if part]


class OutboxApi(Api):
    tag = "Development"

    def __init__(self, service: NotificationsService, pages: Surroundings) -> None:
        self._service = service
        self._pages = pages

    @get("/dev/outbox", access=PUBLIC)
    async def outbox(self, ctx: Context, request: Request, query: OutboxQuery) -> Page[OutboxRow]:
        """Mails that were sent, newest first. A browser gets a page."""
        found = await self._service.outbox(ctx, query.to, query.limit, query.cursor)
        if "text/html" not in request.header("accept"):
            return found
        return self._page(found, query)  # type: ignore[return-value]  # the document describes the JSON

    def _page(self, found: Page[OutboxRow], query: OutboxQuery) -> Html:
        mails = [Shown(row, _parts(row.text)) for row in found.items]
        return self._pages.plain("notifications/outbox.html", mails=mails, query=query, next_cursor=found.next_cursor)
