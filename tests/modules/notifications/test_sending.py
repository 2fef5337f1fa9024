"""The drain under bad luck: workers that die, providers that fail, leases that are lost."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any, cast
from uuid import UUID, uuid4

import icalendar
import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session
from tests.conftest import FreshDatabase

from forecourt.kernel.clock import FixedClock
from forecourt.kernel.context import service_context
from forecourt.kernel.db import Database
from forecourt.kernel.egress import Egress
from forecourt.kernel.ids import new_id
from forecourt.kernel.metrics import Metrics
from forecourt.kernel.settings import Secret
from forecourt.modules.notifications import rules
from forecourt.modules.notifications.channels import NO_QUEUE, Carrier, Message, NotTaken, Refused
from forecourt.modules.notifications.channels.breaker import FAILURES
from forecourt.modules.notifications.channels.mail import MailServer, persons_fault
from forecourt.modules.notifications.channels.webpush import Vapid, WebPush
from forecourt.modules.notifications.contract import Channel, DeliveryStatus, Digest, Topic
from forecourt.modules.notifications.queries import queue
from forecourt.modules.notifications.queries.queue import Content, Delivery
from forecourt.modules.notifications.sealing import Links, Vault
from forecourt.modules.notifications.service import sending
from forecourt.modules.notifications.service.carriers import Carriers
from forecourt.modules.notifications.service.sending import LEASE, Sending
from forecourt.modules.notifications.service.telling import Telling

SECRET = b"s" * 32
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
CALENDAR = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nMETHOD:PUBLISH\r\nEND:VCALENDAR\r\n"


@dataclass
class Provider:
    """One that the test holds in its hand."""

    name: str = "one"
    down: bool = False
    refuses: bool = False
    slow_s: float = 0.0
    taken: list[UUID] = field(default_factory=list)
    asked: int = 0
    place: AbstractAsyncContextManager[None] = NO_QUEUE
    in_hand: Counter[UUID] = field(default_factory=Counter)
    worst: int = 0
    dies_after_taking: bool = False

    async def carry(self, message: Message) -> None:
        self.asked += 1
        self.in_hand[message.id] += 1
        self.worst = max(self.worst, self.in_hand[message.id])
        try:
            await asyncio.sleep(self.slow_s)
            if self.down:
                raise NotTaken("it is down")
            if self.refuses:
                raise Refused("no such address")
            self.taken.append(message.id)
            if self.dies_after_taking:
                raise asyncio.CancelledError
        finally:
            self.in_hand[message.id] -= 1


class Desk:
    """A queue on a database of its own, and as many workers as a test wants."""

    def __init__(self, db: Database, clock: FixedClock) -> None:
        self.db = db
        self.clock = clock
        self.org = uuid4()

    def worker(self, *providers: Carrier) -> Sending:
        module, links, egress = self.db.module("notifications"), Links(SECRET), Egress()
        push = WebPush(Vapid(SECRET, "mailto:a@example.org"), egress, self.clock)
        carriers = Carriers(
            Vault(SECRET), egress, self.clock, "f@example.org", {Channel.SMS: providers, Channel.EMAIL: providers}, push
        )
        # Nothing here is told, only sent.
        return Sending(module, self.clock, cast("Telling", None), carriers, links, "https://book.example.org", Metrics())

    async def queued(
        self,
        count: int = 1,
        channel: Channel = Channel.SMS,
        content: Content | None = None,
        kind: str = "booking.confirmed",
        topic: str = "bookings",
    ) -> list[UUID]:
        now = self.clock.now()
        made = [
            Delivery(
                self.org,
                new_id(),
                None,
                uuid4(),
                kind,
                topic,
                channel,
                "+447700900123" if channel is Channel.SMS else "ada@example.org",
                "en",
                content or Content(text="Court 3"),
                DeliveryStatus.QUEUED,
                0,
                "",
                "",
                now,
                None,
                now,
            )
            for _ in range(count)
        ]
        async with self.db.module("notifications").tx(service_context("test", self.org)) as tx:
            await queue.insert_deliveries(tx, self.org, made, now)
            await queue.queue(tx, self.org, "delivery", {d.id: now for d in made})
        return [d.id for d in made]

    async def delivery(self, id: UUID) -> Delivery:
        async with self.db.module("notifications").tx(service_context("test", self.org)) as tx:
            return await queue.one(tx, self.org, id)

    async def tried(self, id: UUID) -> list[tuple[str, bool]]:
        async with self.db.module("notifications").tx(service_context("test", self.org)) as tx:
            return [(a.provider, a.taken) for a in reversed(await queue.attempts(tx, self.org, id))]

    async def claim(self) -> Sequence[Any]:
        """What a worker takes and then, being dead, does nothing about."""
        async with self.db.module("notifications").tx(service_context("test")) as tx:
            now = self.clock.now()
            return await queue.claim(tx, now, now + LEASE, new_id(), 1_000)


@pytest.fixture
async def desk(fresh_database: FreshDatabase) -> Desk:
    return Desk(await fresh_database.connect(), FixedClock(NOW))


async def test_a_message_is_sent_once_and_is_then_done(desk: Desk) -> None:
    provider = Provider()
    (id,) = await desk.queued()
    worker = desk.worker(provider)
    assert await worker.drain() == 1
    assert await worker.drain() == 0
    assert provider.taken == [id]
    assert (await desk.delivery(id)).status is DeliveryStatus.SENT
    assert await desk.tried(id) == [("one", True)]


async def test_what_a_dead_worker_had_claimed_is_sent_when_its_lease_is_over_and_not_before(desk: Desk) -> None:
    provider = Provider()
    (id,) = await desk.queued()
    assert len(await desk.claim()) == 1
    worker = desk.worker(provider)
    assert await worker.drain() == 0, "it may still be on its way"
    desk.clock.advance(LEASE + timedelta(seconds=1))
    assert await worker.drain() == 1
    assert provider.taken == [id]


async def test_who_dies_between_sending_and_noting_it_leaves_a_second_sending_under_the_same_id(desk: Desk) -> None:
    dying, provider = Provider(dies_after_taking=True), Provider()
    (id,) = await desk.queued()
    with pytest.raises(asyncio.CancelledError):
        await desk.worker(dying).drain()
    assert (await desk.delivery(id)).status is DeliveryStatus.QUEUED
    desk.clock.advance(LEASE + timedelta(seconds=1))
    await desk.worker(provider).drain()
    assert dying.taken == provider.taken == [id], "at least once; the id says that it is one message"
    assert (await desk.delivery(id)).status is DeliveryStatus.SENT


async def test_several_workers_never_have_the_same_message_in_hand_at_the_same_time(desk: Desk) -> None:
    provider = Provider(slow_s=0.002)
    ids = await desk.queued(700)
    workers = [desk.worker(provider) for _ in range(4)]
    await asyncio.gather(*(w.drain() for w in workers))
    assert provider.worst == 1
    assert sorted(provider.taken) == sorted(ids)


async def test_without_the_lease_they_do(desk: Desk) -> None:
    """The control: two workers that both believe to have claimed the same."""
    provider = Provider(slow_s=0.05)
    (id,) = await desk.queued()
    row = await desk.delivery(id)
    workers = [desk.worker(provider), desk.worker(provider)]

    async def send(worker: Sending) -> None:
        async with desk.db.module("notifications").read(service_context("test", desk.org)) as tx:
            routes = await worker._routes(tx, desk.org, [row])  # pyright: ignore[reportPrivateUsage]
        await worker._deliver(row, routes)  # pyright: ignore[reportPrivateUsage]

    await asyncio.gather(*(send(w) for w in workers))
    assert provider.worst == 2


async def test_who_lost_its_lease_does_not_undo_what_its_successor_has_planned(desk: Desk) -> None:
    (id,) = await desk.queued()
    (first,) = await desk.claim()
    desk.clock.advance(LEASE + timedelta(seconds=1))
    down = Provider(down=True)
    await desk.worker(down).drain()
    later = (await desk.delivery(id)).tries
    async with desk.db.module("notifications").tx(service_context("test", desk.org)) as tx:
        await queue.done(tx, desk.org, [first.id], new_id())
    desk.clock.advance(timedelta(minutes=1))
    working = Provider()
    assert await desk.worker(working).drain() == 1, "it was still queued"
    assert working.taken == [id]
    assert later == 1


async def test_when_the_first_provider_is_down_the_next_takes_over(desk: Desk) -> None:
    first, second = Provider("first", down=True), Provider("second")
    (id,) = await desk.queued()
    await desk.worker(first, second).drain()
    assert second.taken == [id]
    assert await desk.tried(id) == [("first", False), ("second", True)]
    assert (await desk.delivery(id)).provider == "second"


async def test_a_provider_that_does_not_answer_has_had_its_try(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "ONE_CARRIER_S", 0.05)
    sleeper, second = Provider("sleeper", slow_s=3600), Provider("second")
    (id,) = await desk.queued()
    await desk.worker(sleeper, second).drain()
    assert await desk.tried(id) == [("sleeper", False), ("second", True)], "the next takes over"
    assert (await desk.delivery(id)).status is DeliveryStatus.SENT
    (id,) = await desk.queued()
    for _ in range(rules.TRIES):
        assert (await desk.delivery(id)).status is DeliveryStatus.QUEUED
        await desk.worker(sleeper).drain()
        desk.clock.advance(timedelta(hours=1))
    row = await desk.delivery(id)
    assert (row.status, row.tries, row.error) == (DeliveryStatus.FAILED, rules.TRIES, "it took too long")


async def test_who_waits_for_a_place_at_a_provider_has_not_been_tried(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "ONE_CARRIER_S", 0.05)
    monkeypatch.setattr(sending, "ONE_DELIVERY_S", 0.1)
    places = asyncio.Semaphore(1)
    full, second = Provider("full", place=places), Provider("second")
    (id,) = await desk.queued()
    async with places:
        await desk.worker(full).drain()
        row = await desk.delivery(id)
        assert (row.status, row.tries, full.asked) == (DeliveryStatus.QUEUED, 0, 0)
    monkeypatch.undo()
    desk.clock.advance(timedelta(minutes=1))
    await desk.worker(full, second).drain()
    assert await desk.tried(id) == [("full", True)], "as soon as there is one"


async def test_a_provider_that_keeps_failing_is_left_alone_and_comes_back(desk: Desk) -> None:
    first, second = Provider("first", down=True), Provider("second")
    worker = desk.worker(first, second)
    for _ in range(FAILURES + 5):
        await desk.queued()
        await worker.drain()
    assert first.asked == FAILURES
    assert len(second.taken) == FAILURES + 5
    first.down = False
    desk.clock.advance(timedelta(minutes=11))
    await desk.queued()
    await worker.drain()
    assert len(first.taken) == 1


async def test_while_every_provider_rests_no_try_is_used_up(desk: Desk) -> None:
    provider = Provider(down=True)
    worker = desk.worker(provider)
    await desk.queued(FAILURES)
    await worker.drain()
    (id,) = await desk.queued()
    for _ in range(3):
        await worker.drain()
        desk.clock.advance(timedelta(seconds=6))
    row = await desk.delivery(id)
    assert (row.status, row.tries, await desk.tried(id)) == (DeliveryStatus.QUEUED, 0, [])
    provider.down = False
    desk.clock.advance(timedelta(minutes=11))
    await worker.drain()
    desk.clock.advance(timedelta(minutes=11))
    await worker.drain()
    assert (await desk.delivery(id)).status is DeliveryStatus.SENT


async def test_after_five_tries_it_is_a_dead_letter_until_somebody_replays_it(desk: Desk) -> None:
    provider = Provider(down=True)
    (id,) = await desk.queued()
    for _ in range(rules.TRIES):
        await desk.worker(provider).drain()
        desk.clock.advance(timedelta(hours=1))
    row = await desk.delivery(id)
    assert (row.status, row.tries, row.error) == (DeliveryStatus.FAILED, rules.TRIES, "it is down")
    assert await desk.worker(provider).drain() == 0
    assert provider.asked == rules.TRIES
    provider.down = False
    async with desk.db.module("notifications").tx(service_context("test", desk.org)) as tx:
        assert await queue.revive(tx, desk.org, id, desk.clock.now())
        assert not await queue.revive(tx, desk.org, id, desk.clock.now()), "once is enough"
        await queue.queue(tx, desk.org, "delivery", {id: desk.clock.now()})
    await desk.worker(provider).drain()
    assert (await desk.delivery(id)).status is DeliveryStatus.SENT


async def test_what_is_refused_for_good_is_not_tried_again(desk: Desk) -> None:
    first, second = Provider("first", refuses=True), Provider("second")
    (id,) = await desk.queued()
    await desk.worker(first, second).drain()
    row = await desk.delivery(id)
    assert (row.status, row.tries, second.asked) == (DeliveryStatus.FAILED, 1, 0)


async def test_a_channel_without_a_provider_says_so(desk: Desk) -> None:
    (id,) = await desk.queued()
    await desk.worker().drain()
    assert (await desk.delivery(id)).error == "no provider is set for this channel"


# --- mail, to a real server ----------------------------------------------------------------------------------------------


class Letterbox:
    """aiosmtpd's side: takes everything, or refuses an address."""

    def __init__(self) -> None:
        self.letters: list[EmailMessage] = []
        self.answer = "250 fine"

    async def handle_RCPT(self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]) -> str:
        envelope.rcpt_tos.append(address)
        return self.answer

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        content = cast("bytes", envelope.content)
        self.letters.append(cast("EmailMessage", message_from_bytes(content, policy=policy.default)))
        return "250 taken"


@pytest.fixture
async def letterbox() -> AsyncIterator[tuple[Letterbox, str]]:
    box = Letterbox()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(box, hostname="localhost"), "127.0.0.1", 0)
    yield box, f"smtp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()
    await server.wait_closed()


async def test_a_mail_arrives_in_all_its_parts(desk: Desk, letterbox: tuple[Letterbox, str]) -> None:
    box, url = letterbox
    content = Content(
        subject="Booked: Zürich\r\nBcc: eve@example.org",
        text="Court 3\n",
        html="<p>Court 3</p>",
        calendar=CALENDAR,
        sender="Baradari\r\nBcc: eve@example.org",
    )
    (id,) = await desk.queued(1, Channel.EMAIL, content)
    await desk.worker(MailServer(Secret(url), "Forecourt <f@house.example>", desk.clock, "mail server")).drain()
    (letter,) = box.letters
    assert letter["Bcc"] is None, "a line break in a value makes no header"
    assert letter["Subject"] == "Booked: Zürich Bcc: eve@example.org"
    assert letter["Message-ID"] == f"<{id}@house.example>"
    assert letter["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert letter["List-Unsubscribe"].startswith("<https://book.example.org/v1/unsubscribe/")
    assert letter.get_body(("plain",)).get_content().strip() == "Court 3"  # type: ignore[union-attr]
    assert letter.get_body(("html",)).get_content().strip() == "<p>Court 3</p>"  # type: ignore[union-attr]
    (file,) = [part for part in letter.iter_attachments() if part.get_content_type() == "text/calendar"]
    assert icalendar.Calendar.from_ical(file.get_payload(decode=True))["METHOD"] == "PUBLISH"
    assert (await desk.delivery(id)).status is DeliveryStatus.SENT


@pytest.mark.parametrize(
    ("kind", "topic", "ends"),
    [
        ("digest", "daily", Digest.DAILY),
        ("digest", "weekly", Digest.WEEKLY),
        ("digest", "digest", Digest.DAILY),  # from before digests said which
        ("chat.mention", "mentions", Topic.MENTIONS),
        ("security.noted", "security", None),
    ],
)
async def test_every_mail_that_can_be_ended_is_ended_by_one_click(
    desk: Desk, letterbox: tuple[Letterbox, str], kind: str, topic: str, ends: Topic | Digest | None
) -> None:
    box, url = letterbox
    await desk.queued(1, Channel.EMAIL, kind=kind, topic=topic)
    await desk.worker(MailServer(Secret(url), "Forecourt <f@house.example>", desk.clock, "mail server")).drain()
    (letter,) = box.letters
    if ends is None:
        assert letter["List-Unsubscribe"] is letter["List-Unsubscribe-Post"] is None
        return
    assert letter["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    token = letter["List-Unsubscribe"].strip("<>").rsplit("/", 1)[1]
    assert Links(SECRET).read(token).what is ends


async def test_an_address_that_the_server_refuses_is_a_dead_letter_and_a_busy_one_is_tried_again(
    desk: Desk, letterbox: tuple[Letterbox, str]
) -> None:
    box, url = letterbox
    server = MailServer(Secret(url), "f@house.example", desk.clock, "mail server")
    box.answer = "550 no such person"
    (gone,) = await desk.queued(1, Channel.EMAIL)
    await desk.worker(server).drain()
    assert (await desk.delivery(gone)).status is DeliveryStatus.FAILED
    box.answer = "451 later"
    (busy,) = await desk.queued(1, Channel.EMAIL)
    await desk.worker(server).drain()
    assert (await desk.delivery(busy)).status is DeliveryStatus.QUEUED
    assert box.letters == []


@pytest.mark.parametrize(
    ("code", "said", "fault"),
    [
        (550, "no such person", True),
        (551, "", True),
        (553, "not one of ours", True),
        (554, "5.1.1 no such person", True),
        (550, "5.1.10 takes no mail", True),
        (554, "no", False),
        (552, "full", False),
        (550, "5.7.26 who are you", False),
        (554, "5.7.1 blocked", False),
        (550, "5.1.8 no such sender", False),
        (450, "4.1.1 not now", False),
    ],
)
def test_whose_fault_a_refused_address_is(code: int, said: str, *, fault: bool) -> None:
    assert persons_fault(code, said) is fault


async def test_a_server_that_refuses_us_is_not_the_end_and_one_that_knows_nobody_there_is(
    desk: Desk, letterbox: tuple[Letterbox, str]
) -> None:
    box, url = letterbox
    server, second = MailServer(Secret(url), "f@house.example", desk.clock, "mail server"), Provider("second")
    box.answer = "554 5.7.1 blocked"
    (blocked,) = await desk.queued(1, Channel.EMAIL)
    await desk.worker(server, second).drain()
    box.answer = "554 5.1.1 no such person"
    (nobody,) = await desk.queued(1, Channel.EMAIL)
    await desk.worker(server, second).drain()
    assert (await desk.delivery(blocked)).status is DeliveryStatus.SENT
    assert (await desk.delivery(nobody)).status is DeliveryStatus.FAILED
    assert second.taken == [blocked]


async def test_an_organisations_mail_server_inside_our_network_is_not_reached_and_the_houses_own_takes_the_mail(
    desk: Desk, letterbox: tuple[Letterbox, str]
) -> None:
    box, url = letterbox
    server = MailServer(Secret(url), "f@house.example", FixedClock(NOW), "own", Egress())
    (id,) = await desk.queued(channel=Channel.EMAIL, content=Content(subject="a", text="b"))
    await desk.worker(server, house := Provider("house")).drain()
    assert box.letters == []
    assert await desk.tried(id) == [("own", False), ("house", True)]
    assert house.taken == [id]
