from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import cast
from uuid import uuid4

import pytest

from forecourt.kernel.clock import FixedClock
from forecourt.kernel.context import Context
from forecourt.kernel.db import Database
from forecourt.kernel.errors import Invalid, Unavailable
from forecourt.kernel.ids import new_id
from forecourt.kernel.settings import MailSettings, Secret
from forecourt.modules.notifications.contract import Mail, Text
from forecourt.modules.notifications.service import NotificationsService

CTX = Context()


def mail(to: str, subject: str = "Hello", html: str | None = None) -> Mail:
    return Mail(new_id(), to, subject, "text\n", html)


def address() -> str:
    return f"ada-{uuid4().hex}@example.org"


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(datetime.now(UTC))


@pytest.fixture
def service(db: Database, clock: FixedClock) -> NotificationsService:
    return NotificationsService(
        db.module("notifications"), clock, MailSettings(None, "Forecourt <f@example.org>"), keep_outbox=True
    )


async def test_the_outbox_shows_the_newest_mail_first_and_each_once(service: NotificationsService, clock: FixedClock) -> None:
    ada, eve = address(), address()
    sent = [mail(ada, f"number {n}") for n in range(3)]
    for letter in [*sent, sent[0], mail(eve)]:
        await service.send(CTX, letter)
        clock.advance(timedelta(seconds=1))
    page = await service.outbox(CTX, ada.upper(), 2, None)
    assert [row.subject for row in page.items] == ["number 2", "number 1"]
    rest = await service.outbox(CTX, ada, 2, page.next_cursor)
    assert [row.subject for row in rest.items] == ["number 0"]
    assert rest.next_cursor is None
    with pytest.raises(Invalid):
        await service.outbox(CTX, None, 2, "nonsense")


async def test_production_without_a_mail_server_says_so_and_keeps_nothing(db: Database, clock: FixedClock) -> None:
    production = NotificationsService(db.module("notifications"), clock, MailSettings(None, "f@example.org"), keep_outbox=False)
    letter = mail(address())
    with pytest.raises(Unavailable):
        await production.send(CTX, letter)
    assert (await production.outbox(CTX, letter.to, 20, None)).items == []


class SmtpServer(ThreadingTCPServer):
    """A mail server with as much SMTP as a mail needs."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Conversation)
        self.refuse = False
        self.taken: list[EmailMessage] = []

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.server_address[1]}"


class Conversation(StreamRequestHandler):
    def say(self, line: str) -> None:
        self.wfile.write(line.encode() + b"\r\n")

    def handle(self) -> None:
        server = cast("SmtpServer", self.server)
        self.say("220 ready")
        while line := self.rfile.readline():
            match line[:4].upper():
                case b"EHLO":
                    self.say("250 8BITMIME")
                case b"RCPT" if server.refuse:
                    self.say("451 not now")
                case b"DATA":
                    self.say("354 go on")
                    body = b"".join(iter(self.rfile.readline, b".\r\n"))
                    server.taken.append(cast("EmailMessage", message_from_bytes(body, policy=policy.default)))
                    self.say("250 taken")
                case b"QUIT":
                    self.say("221 bye")
                    return
                case _:
                    self.say("250 fine")


@pytest.fixture
def smtp() -> Iterator[SmtpServer]:
    with SmtpServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


async def test_a_mail_goes_to_the_mail_server_with_its_id(db: Database, clock: FixedClock, smtp: SmtpServer) -> None:
    settings = MailSettings(Secret(smtp.url), "Forecourt <f@house.example>")
    service = NotificationsService(db.module("notifications"), clock, settings, keep_outbox=False)
    letter = mail(address(), "Zürich\r\nBcc: eve@example.org", "<p>text</p>")
    await asyncio.wait_for(service.send(CTX, letter), 20)
    (taken,) = smtp.taken
    assert (taken["To"], taken["Bcc"]) == (letter.to, None), "a line break in a subject makes no header"
    assert taken["Subject"] == "Zürich Bcc: eve@example.org"
    assert taken["Message-ID"] == f"<{letter.id}@house.example>"
    assert taken.get_body(("plain",)).get_content().strip() == "text"  # type: ignore[union-attr]
    assert taken.get_body(("html",)).get_content().strip() == "<p>text</p>"  # type: ignore[union-attr]


async def test_a_mail_server_that_refuses_or_is_away_is_tried_again(db: Database, clock: FixedClock, smtp: SmtpServer) -> None:
    smtp.refuse = True
    for url in (smtp.url, "smtp://127.0.0.1:1"):
        service = NotificationsService(
            db.module("notifications"), clock, MailSettings(Secret(url), "f@example.org"), keep_outbox=False
        )
        with pytest.raises(Unavailable):
            await service.send(CTX, mail(address()))
    assert smtp.taken == []


async def test_a_password_is_not_sent_in_the_clear(db: Database, clock: FixedClock, smtp: SmtpServer) -> None:
    url = smtp.url.replace("smtp://", "smtp://user:secret@")
    service = NotificationsService(
        db.module("notifications"), clock, MailSettings(Secret(url), "f@example.org"), keep_outbox=False
    )
    with pytest.raises(Unavailable):
        await service.send(CTX, mail(address()))
    assert smtp.taken == []


async def test_a_text_is_kept_like_a_mail_and_once(service: NotificationsService) -> None:
    number = f"+4477{uuid4().int % 10**8:08}"
    text = Text(new_id(), number, "482913 is your code")
    for _ in range(2):
        await service.send_text(CTX, text)
    found = (await service.outbox(CTX, number, 5, None)).items
    assert [(row.id, row.text) for row in found] == [(text.id, "482913 is your code")]


async def test_production_without_a_gateway_takes_no_text(db: Database, clock: FixedClock) -> None:
    service = NotificationsService(db.module("notifications"), clock, MailSettings(None, "f@example.org"), keep_outbox=False)
    with pytest.raises(Unavailable):
        await service.send_text(CTX, Text(new_id(), "+447700900123", "hello"))
    assert (await service.outbox(CTX, "+447700900123", 5, None)).items == []
