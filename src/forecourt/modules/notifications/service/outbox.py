"""Mail and texts on behalf of other modules, and the development outbox that shows what would have been sent."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from uuid import UUID

import structlog

from forecourt.kernel.clock import Clock
from forecourt.kernel.context import Context
from forecourt.kernel.db import ModuleDatabase
from forecourt.kernel.errors import Unavailable
from forecourt.kernel.paging import Keyset, Page
from forecourt.kernel.settings import MailSettings
from forecourt.modules.notifications.channels import NO_QUEUE, Carrier, Message, NotTaken, Refused
from forecourt.modules.notifications.channels.mail import MailServer
from forecourt.modules.notifications.contract import Mail, Text
from forecourt.modules.notifications.queries import outbox as queries
from forecourt.modules.notifications.queries.outbox import OutboxRow
from forecourt.modules.notifications.queries.queue import Content

KEPT = 5_000
"""Mails the outbox holds; older ones make room."""
TEXT_SUBJECT = "Text message"
"""What the outbox shows in place of a subject, which texts have none of."""
OUTBOX = Keyset("outbox", tuple[datetime, UUID])

log = structlog.get_logger("forecourt.notifications")


class NotificationsService:
    """The house's own mail server and gateways. Outside production everything is also kept in the outbox."""

    def __init__(
        self, db: ModuleDatabase, clock: Clock, settings: MailSettings, *, keep_outbox: bool, gateways: Sequence[Carrier] = ()
    ) -> None:
        """`gateways` carry texts, the first that takes one."""
        self._db = db
        self._clock = clock
        self._keep_outbox = keep_outbox
        self._gateways = gateways
        url = settings.smtp_url
        self._server = MailServer(url, settings.sender, clock, "mail server") if url is not None else None

    @property
    def name(self) -> str:
        return "mail server" if self._server is not None else "outbox"

    @property
    def place(self) -> AbstractAsyncContextManager[None]:
        return self._server.place if self._server is not None else NO_QUEUE

    async def carry(self, message: Message) -> None:
        """A mail: to the outbox, the mail server, or both. Raises NotTaken when production has no mail server."""
        if self._keep_outbox:
            await self.keep(message)
        elif self._server is None:
            raise NotTaken("no mail server is set: FORECOURT_SMTP_URL")
        if self._server is not None:
            await self._server.carry(message)

    async def keep(self, message: Message) -> None:
        """Puts a message of any channel into the outbox."""
        content = message.content
        async with self._db.tx(Context()) as tx:
            await queries.keep(
                tx,
                Mail(
                    message.id,
                    message.recipient,
                    content.subject or TEXT_SUBJECT,
                    content.text,
                    content.html or None,
                    message.account_id,
                ),
                self._clock.now(),
                content.calendar or None,
                dict(message.headers),
            )
            await queries.trim(tx, KEPT)

    async def send(self, ctx: Context, mail: Mail) -> None:
        """Raises Unavailable when the mail server does not take it now, or production has none."""
        try:
            content = Content(subject=mail.subject, text=mail.text, html=mail.html or "")
            async with self.place:
                await self.carry(Message(mail.id, "mail", mail.to, content, account_id=mail.account_id))
        except (NotTaken, Refused) as e:
            log.warning("mail_not_taken", mail=str(mail.id), error=str(e))
            raise Unavailable("the mail server did not take the mail") from None

    async def send_text(self, ctx: Context, text: Text) -> None:
        """Raises Unavailable when no gateway takes it, or production has none."""
        message = Message(text.id, "text", text.to, Content(text=text.text), account_id=text.account_id)
        if self._keep_outbox:
            await self.keep(message)
        elif not self._gateways:
            raise Unavailable("no gateway for text messages is set: FORECOURT_SMS_URL")
        for gateway in self._gateways:
            try:
                async with gateway.place:
                    await gateway.carry(message)
            except (NotTaken, Refused) as e:
                log.warning("text_not_taken", text=str(text.id), gateway=gateway.name, error=str(e))
            else:
                return
        if self._gateways:
            raise Unavailable("no gateway took the text")

    async def outbox(self, ctx: Context, to: str | None, limit: int, cursor: str | None) -> Page[OutboxRow]:
        """Mails that were kept, newest first; those to one address when `to` is given."""
        async with self._db.tx(ctx.within(None)) as tx:
            rows = await queries.outbox(tx, to.strip().lower() if to else None, OUTBOX.decode(cursor), limit + 1)
        return OUTBOX.page(rows, limit, lambda row: (row.created_at, row.id))


class OutboxChannel:
    """Where texts, WhatsApp messages and pushes go while developing."""

    name = "outbox"
    place = NO_QUEUE

    def __init__(self, post: NotificationsService) -> None:
        self._post = post

    async def carry(self, message: Message) -> None:
        await self._post.keep(message)
