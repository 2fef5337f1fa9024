"""Sending mail and texts: to the servers that carry them, and outside production to the outbox that developers look at."""

from __future__ import annotations

import asyncio
import smtplib
import ssl
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr
from urllib.parse import unquote, urlsplit
from uuid import UUID

import structlog

from forecourt.kernel.clock import Clock
from forecourt.kernel.context import Context
from forecourt.kernel.db import ModuleDatabase
from forecourt.kernel.errors import Unavailable
from forecourt.kernel.paging import Keyset, Page
from forecourt.kernel.settings import MailSettings
from forecourt.modules.notifications import queries
from forecourt.modules.notifications.contract import Mail, Text
from forecourt.modules.notifications.queries import OutboxRow

SMTP_TIMEOUT_S = 15.0
CONNECTIONS = 4
KEPT = 5_000
"""Mails the outbox holds; older ones make room."""
TEXT_SUBJECT = "Text message"
"""What the outbox shows in place of a subject, which texts have none of."""
OUTBOX = Keyset("outbox", tuple[datetime, UUID])

log = structlog.get_logger("forecourt.notifications")


class NotificationsService:
    def __init__(self, db: ModuleDatabase, clock: Clock, settings: MailSettings, *, keep_outbox: bool) -> None:
        self._db = db
        self._clock = clock
        self._settings = settings
        self._keep_outbox = keep_outbox
        self._connections = asyncio.Semaphore(CONNECTIONS)

    async def send(self, ctx: Context, mail: Mail) -> None:
        """Raises Unavailable when the mail server does not take it now, or production has none."""
        url = self._settings.smtp_url
        if self._keep_outbox:
            async with self._db.tx(ctx.within(None)) as tx:
                await queries.keep(tx, mail, self._clock.now())
                await queries.trim(tx, KEPT)
        elif url is None:
            raise Unavailable("no mail server is set: FORECOURT_SMTP_URL")
        if url is not None:
            message = compose(mail, self._settings.sender, self._clock.now())
            try:
                async with self._connections:
                    await asyncio.to_thread(deliver, url.reveal(), message)
            except (OSError, smtplib.SMTPException) as e:
                log.warning("mail_not_taken", mail=str(mail.id), error=type(e).__name__)
                raise Unavailable("the mail server did not take the mail") from e

    async def send_text(self, ctx: Context, text: Text) -> None:
        """Raises Unavailable in production: there is no gateway for texts."""
        if not self._keep_outbox:
            raise Unavailable("no gateway for text messages is set")
        async with self._db.tx(ctx.within(None)) as tx:
            await queries.keep(tx, Mail(text.id, text.to, TEXT_SUBJECT, text.text), self._clock.now())
            await queries.trim(tx, KEPT)

    async def outbox(self, ctx: Context, to: str | None, limit: int, cursor: str | None) -> Page[OutboxRow]:
        """Mails that were kept, newest first; those to one address when `to` is given."""
        async with self._db.tx(ctx.within(None)) as tx:
            rows = await queries.outbox(tx, to.strip().lower() if to else None, OUTBOX.decode(cursor), limit + 1)
        return OUTBOX.page(rows, limit, lambda row: (row.created_at, row.id))


def compose(mail: Mail, sender: str, at: datetime) -> EmailMessage:
    """The message. Its Message-ID is the mail's id, so that a mail sent twice can be seen to be one."""
    message = EmailMessage()
    message["From"] = sender
    message["To"] = mail.to
    message["Subject"] = " ".join(mail.subject.split())
    message["Date"] = format_datetime(at)
    domain = parseaddr(sender)[1].rpartition("@")[2] or "localhost"
    message["Message-ID"] = f"<{mail.id}@{domain}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(mail.text)
    if mail.html is not None:
        message.add_alternative(mail.html, subtype="html")
    return message


def deliver(url: str, message: EmailMessage) -> None:
    """Hands `message` to `smtp[s]://user:password@host:port`. Raises OSError, SMTPException. Blocks."""
    parts = urlsplit(url)
    host = parts.hostname or "localhost"
    tls = ssl.create_default_context()
    if parts.scheme == "smtps":
        server: smtplib.SMTP = smtplib.SMTP_SSL(host, parts.port or 465, timeout=SMTP_TIMEOUT_S, context=tls)
    else:
        server = smtplib.SMTP(host, parts.port or 587, timeout=SMTP_TIMEOUT_S)
    with server:
        server.ehlo()
        if parts.scheme == "smtp" and server.has_extn("starttls"):
            server.starttls(context=tls)
        if parts.username is not None:
            if parts.scheme == "smtp" and not server.has_extn("starttls"):
                raise smtplib.SMTPNotSupportedError("the server offers no encryption: the password is not sent in the clear")
            server.login(unquote(parts.username), unquote(parts.password or ""))
        server.send_message(message)
