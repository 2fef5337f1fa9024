"""Mail: the message, and handing it to a mail server through aiosmtplib."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import ssl
from collections.abc import Mapping
from datetime import datetime
from email.errors import HeaderParseError
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr
from urllib.parse import unquote, urlsplit
from uuid import UUID

import aiosmtplib

from forecourt.kernel.clock import Clock
from forecourt.kernel.egress import Egress
from forecourt.kernel.settings import Secret
from forecourt.modules.notifications.channels import Message, NotTaken, Refused

TIMEOUT_S = 15.0
CONNECTIONS = 4
HELLO = "localhost"
"""How we name ourselves; looking up the machine's own name may block."""
_ENHANCED = re.compile(r"\s*([245])\.(\d{1,3})\.(\d{1,3})\b")
NO_SUCH_PERSON = frozenset({550, 551, 553})
"""Answers to an address by which a server without enhanced codes means the address itself."""
OUR_OWN = frozenset({"7", "8"})
"""Of the enhanced codes 5.1.x, those that speak of the sender's address (RFC 3463, 3.2)."""


def compose(
    id: UUID,
    sender: str,
    to: str,
    subject: str,
    text: str,
    html: str | None,
    at: datetime,
    *,
    name: str = "",
    calendar: str = "",
    headers: Mapping[str, str] | None = None,
) -> EmailMessage:
    """The message. Its Message-ID is `id`, so that a mail sent twice can be seen to be one. Raises ValueError for a bad address.

    `name` stands for the sender's own name before the house's address.
    """
    message = EmailMessage()
    own_name, address = parseaddr(sender)
    message["From"] = Address(one_line(name or own_name), addr_spec=address)
    message["To"] = Address(addr_spec=to)
    message["Subject"] = one_line(subject)
    message["Date"] = format_datetime(at)
    message["Message-ID"] = f"<{id}@{address.rpartition('@')[2] or 'localhost'}>"
    message["Auto-Submitted"] = "auto-generated"
    for field, value in (headers or {}).items():
        message[field] = one_line(value)
    message.set_content(text)
    if html:
        message.add_alternative(html, subtype="html")
    if calendar:
        message.add_attachment(calendar.encode(), maintype="text", subtype="calendar", filename="booking.ics")
        attached = list(message.iter_attachments())[-1]
        attached.set_param("method", "CANCEL" if "\nMETHOD:CANCEL" in calendar.replace("\r", "") else "PUBLISH")
        attached.set_param("charset", "utf-8")
    return message


def one_line(text: str) -> str:
    """No line break in a value can begin a header of its own."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def persons_fault(code: int, said: str) -> bool:
    """Whether a server's answer to an address means the address. Anything else (a block list, a policy, who we are) another
    server may see otherwise."""
    found = _ENHANCED.match(said)
    if found is None:
        return code in NO_SUCH_PERSON
    return found[1] == "5" and found[2] == "1" and found[3] not in OUR_OWN


class MailServer:
    """`smtp[s]://user:password@host:port`. A connection for each mail, a few at a time."""

    def __init__(self, url: Secret, sender: str, clock: Clock, name: str, egress: Egress | None = None) -> None:
        """With `egress` the server is one that an organisation names: its address is judged before every connection."""
        self.name = name
        self._url = url
        self._sender = sender
        self._clock = clock
        self._egress = egress
        self._tls = ssl.create_default_context()
        self.place = asyncio.Semaphore(CONNECTIONS)

    async def carry(self, message: Message) -> None:
        try:
            mail = compose(
                message.id,
                self._sender,
                message.recipient,
                message.content.subject,
                message.content.text,
                message.content.html or None,
                self._clock.now(),
                name=message.sender,
                calendar=message.content.calendar,
                headers=message.headers,
            )
        except (ValueError, IndexError, HeaderParseError):
            raise Refused("no mail can be addressed so") from None
        try:
            await self._hand(mail)
        except aiosmtplib.SMTPRecipientsRefused as e:
            code, said = (e.recipients[0].code, e.recipients[0].message) if e.recipients else (550, "")
            if persons_fault(code, said):
                raise Refused(f"the mail server refuses the address ({code})") from None
            raise NotTaken(f"the mail server does not take the address now ({code})") from None
        except aiosmtplib.SMTPResponseException as e:
            # Whatever the server objects to (a policy, a quota, us), another server may not.
            raise NotTaken(f"the mail server did not take it ({e.code})") from None
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as e:
            raise NotTaken(f"the mail server cannot be reached ({type(e).__name__})") from None

    async def _hand(self, mail: EmailMessage) -> None:
        parts = urlsplit(self._url.reveal())
        host, secure = parts.hostname or "localhost", parts.scheme == "smtps"
        port = parts.port or (465 if secure else 587)
        sock = await self._connected(self._egress, host, port) if self._egress is not None else None
        client = aiosmtplib.SMTP(
            hostname=host,
            port=None if sock is not None else port,
            sock=sock,
            timeout=TIMEOUT_S,
            use_tls=secure,
            start_tls=False,
            tls_context=self._tls,
            local_hostname=HELLO,
        )
        try:
            await client.connect()
            if not secure:
                await client.ehlo()
                if client.supports_extension("starttls"):
                    await client.starttls(server_hostname=host, tls_context=self._tls)
                    secure = True
            if parts.username is not None:
                if not secure:
                    raise NotTaken("the mail server offers no encryption: the password is not sent in the clear")
                await client.login(unquote(parts.username), unquote(parts.password or ""))
            await client.send_message(mail)
            with contextlib.suppress(aiosmtplib.SMTPException, OSError, TimeoutError):
                await client.quit()  # it is taken, whatever comes of the farewell
        finally:
            client.close()

    @staticmethod
    async def _connected(egress: Egress, host: str, port: int) -> socket.socket:
        """A connection to the very address that was judged. Raises NotTaken for one that is not reached from here: it says
        nothing of whom the mail is for, and another server may take it."""
        try:
            address = await egress.pin(host, port)
        except Refused as e:
            raise NotTaken(f"the mail server is not reached: {e}") from None
        sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
        sock.setblocking(False)
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await asyncio.get_running_loop().sock_connect(sock, (address, port))
        except BaseException:
            sock.close()
            raise
        return sock
