"""Whoever erased their account: told nothing any more, found nowhere; and what a person is told of all that is kept of them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import UUID, uuid4

import asyncpg
import pytest
from tests.conftest import FreshDatabase
from tests.modules.notifications.test_telling import NOON, ORG, VENUE, house
from tests.told import everything

from forecourt.kernel.clock import FixedClock
from forecourt.kernel.context import Actor, ActorKind, Context, service_context
from forecourt.kernel.db import Database, Lock, ModuleDatabase, Note, Plans, Tx
from forecourt.kernel.egress import Egress
from forecourt.kernel.errors import Invalid
from forecourt.kernel.events import Envelope
from forecourt.kernel.ids import new_id
from forecourt.kernel.live import Announcer
from forecourt.kernel.metrics import Metrics
from forecourt.kernel.money import Money
from forecourt.kernel.settings import MailSettings
from forecourt.modules.booking.contract import BookingOut, BookingStatus, Purpose
from forecourt.modules.chat.contract import MessagePreview, RoomKind
from forecourt.modules.identity.contract import AccountCard, AccountErased, AccountStatus, Identity
from forecourt.modules.notifications.channels import NO_QUEUE, Message, Refused
from forecourt.modules.notifications.channels.webpush import Vapid, WebPush
from forecourt.modules.notifications.contract import NOBODYS, Channel, DeliveryStatus, Digest, Letter, LetterKind, Text, Topic
from forecourt.modules.notifications.queries import choices, queue
from forecourt.modules.notifications.queries.choices import Browser, Chosen
from forecourt.modules.notifications.queries.queue import Content, Delivery, NewNotice
from forecourt.modules.notifications.reactions import Reactions
from forecourt.modules.notifications.records import records
from forecourt.modules.notifications.sealing import Leave, Links, Vault
from forecourt.modules.notifications.service import leaving
from forecourt.modules.notifications.service.carriers import Carriers
from forecourt.modules.notifications.service.choices import ChoicesService
from forecourt.modules.notifications.service.house import HouseService
from forecourt.modules.notifications.service.inbox import InboxService
from forecourt.modules.notifications.service.leaving import Forgetting
from forecourt.modules.notifications.service.letters import Letters
from forecourt.modules.notifications.service.outbox import NotificationsService
from forecourt.modules.notifications.service.sending import Sending
from forecourt.modules.notifications.service.telling import Sources, Telling
from forecourt.modules.people.contract import People, Preferences
from forecourt.modules.venues.contract import Organisation, VenueBook, Venues

SECRET, URL = b"s" * 32, "https://book.example.org"
ADA, BEN, CAS, ROOM, BOOKING = uuid4(), uuid4(), uuid4(), uuid4(), uuid4()
PEOPLE = {ADA: ("Ada Lovelace", "ada@ada.example"), BEN: ("Ben Okafor", "ben@ben.example"), CAS: ("Cas Silva", "cas@cas.example")}
HERS = ("ada lovelace", "ada@ada.example", "+447700900123", "push.hers.example", "my knee", "see you at six", "phone-of-ada")
HIS = ("ben okafor", "ben@ben.example", "push.his.example")


@dataclass
class Others:
    """What notifications asks other modules for."""

    erased: set[UUID] = field(default_factory=set[UUID])

    async def accounts(self, ctx: Context, ids: list[UUID]) -> list[AccountCard]:
        return [AccountCard(id, *PEOPLE[id], AccountStatus.ACTIVE) for id in ids if id not in self.erased]

    async def cards(self, ctx: Context, ids: list[UUID]) -> list[AccountCard]:
        return await self.accounts(ctx, ids)

    async def preferences(self, ctx: Context, ids: list[UUID]) -> list[Preferences]:
        return [Preferences() for _ in ids]

    async def phone(self, ctx: Context, id: UUID) -> str | None:
        return "+447700900123" if id == ADA else None

    async def organisation(self, ctx: Context, id: UUID) -> Organisation:
        return house().organisation

    async def organisation_ids(self, ctx: Context, after: UUID | None, limit: int) -> list[UUID]:
        return [ORG] if after is None or after < ORG else []

    async def bookings(self, ctx: Context, ids: list[UUID]) -> list[BookingOut]:
        free, start = Money(0, "GBP"), NOON + timedelta(days=1)
        return [
            BookingOut(
                id=id, organisation_id=ORG, venue_id=VENUE, resource_id=uuid4(), account_id=ADA, status=BookingStatus.UPCOMING,
                start=start, end=start + timedelta(hours=1), local_start=start, purpose=Purpose.WORKOUT, team_size=4,
                price=free, paid=free, version=1,
            )
            for id in ids
        ]  # fmt: skip

    async def books(self, ctx: Context, ids: list[UUID]) -> list[VenueBook]:
        return [house()]

    async def still_unread(self, ctx: Context, room: UUID, seq: int, ids: list[UUID]) -> list[UUID]:
        return ids

    async def preview(self, ctx: Context, room: UUID, message: UUID) -> MessagePreview:
        """Message 1 is Ada's, and others are Ben's."""
        sender, text = (ADA, "See you at six") if message.int == 1 else (BEN, "Bring balls")
        return MessagePreview(
            room_id=room, room_kind=RoomKind.BOOKING, room_name="Court 3", sender_id=sender, excerpt=text, attachments=0
        )


@dataclass
class Server:
    """Takes mail; of some it says to whom it does not go."""

    name: str = "mail"
    place: Any = NO_QUEUE
    refuses: str = ""
    taken: list[str] = field(default_factory=list[str])

    async def carry(self, message: Message) -> None:
        if message.recipient == self.refuses:
            raise Refused(f"550 <{message.recipient}> is unknown here")
        self.taken.append(message.recipient)


class Quiet:
    def publish(self, *_: object) -> None: ...


class World:
    """Ada, who leaves, and Ben and Cas, who stay."""

    def __init__(self, db: Database, fresh: FreshDatabase) -> None:
        self.fresh = fresh
        self.db, self.clock, self.others, self.server = db.module("notifications"), FixedClock(NOON), Others(), Server()
        self.ctx, self.links, egress = service_context("test", ORG), Links(SECRET), Egress()
        ask = Sources(*[cast("Any", self.others)] * 5)
        self.inbox = InboxService(self.db, self.clock, cast("Announcer", Quiet()))
        self.telling = Telling(self.db, self.clock, ask, self.inbox, self.links, URL)
        push = WebPush(Vapid(SECRET, "mailto:a@example.org"), egress, self.clock)
        house_ways = {channel: [self.server] for channel in (Channel.EMAIL, Channel.SMS, Channel.PUSH)}
        carriers = Carriers(Vault(SECRET), egress, self.clock, "f@example.org", house_ways, push)
        self.sending = Sending(self.db, self.clock, self.telling, carriers, self.links, URL, Metrics())
        self.house = HouseService(self.db, self.clock, Vault(SECRET), egress, self.telling, URL)
        self.choices = ChoicesService(self.db, self.clock, cast("People", self.others), self.links, self.sending_vapid(), egress)
        post = NotificationsService(self.db, self.clock, MailSettings(None, "f@example.org"), keep_outbox=True)
        self.letters, self.post = Letters(post, cast("People", self.others)), post
        self.records = records(self.db, cast("Identity", self.others), cast("Venues", self.others), self.links)

    @staticmethod
    def sending_vapid() -> Vapid:
        return Vapid(SECRET, "mailto:a@example.org")

    def forgetting(self, db: ModuleDatabase | None = None) -> Forgetting:
        return Forgetting(db or self.db, self.clock, self.telling)

    async def chose(self, id: UUID, chosen: Chosen) -> None:
        async with self.db.tx(service_context("test")) as tx:
            await tx.become("fc_notifications", None, id)
            await choices.choose(tx, id, chosen, NOON)

    async def browses(self, id: UUID, host: str) -> None:
        async with self.db.tx(service_context("test")) as tx:
            await tx.become("fc_notifications", None, id)
            browser = Browser(new_id(), f"https://{host}/x", "p" * 87, "a" * 22, "Firefox", NOON)
            await choices.add_browser(tx, id, browser, 10)

    async def notice(self, id: UUID, kind: str, about: UUID | None, at: datetime = NOON, **facts: object) -> None:
        notice = NewNotice(new_id(), id, kind, f"{kind} {uuid4()}", about, facts, at)
        async with self.db.tx(self.ctx) as tx:
            await queue.insert_notices(tx, ORG, [notice], NOON)

    async def said(self, by: UUID, *to: UUID) -> None:
        for id in to:
            message = UUID(int=1 if by == ADA else 2)
            await self.notice(id, "chat.mention", ROOM, message_id=str(message), seq=1)

    async def queued(self, to: UUID, due_at: datetime) -> UUID:
        """A mail that is to leave then."""
        mail = Delivery(
            ORG, new_id(), None, to, "booking.confirmed", "bookings", Channel.EMAIL, PEOPLE[to][1], "en",
            Content("Booked", f"Hello {PEOPLE[to][0]}"), DeliveryStatus.QUEUED, 0, "", "", NOON, None, NOON,
        )  # fmt: skip
        async with self.db.tx(self.ctx) as tx:
            await queue.insert_deliveries(tx, ORG, [mail], NOON)
            await queue.queue(tx, ORG, "delivery", {mail.id: due_at})
        return mail.id

    async def lives(self) -> None:
        """All that is said to these three, and of them."""
        everywhere = [Channel.IN_APP, Channel.EMAIL, Channel.SMS, Channel.PUSH, Channel.WEB_PUSH]
        hers = Chosen({Topic.BOOKINGS: everywhere, Topic.MENTIONS: everywhere}, push_key="phone-of-ada")
        await self.chose(ADA, hers)
        await self.chose(BEN, Chosen({Topic.MENTIONS: [Channel.IN_APP, Channel.EMAIL]}))
        await self.chose(CAS, Chosen({Topic.MENTIONS: [Channel.IN_APP, Channel.EMAIL]}, digest=Digest.DAILY))
        self.server.refuses = "ada@ada.example"
        await self.notice(ADA, "booking.cancelled", BOOKING, reason="my knee", refund=None)
        await self.said(BEN, ADA, CAS)
        await self.said(ADA, BEN, CAS)
        await self.notice(ADA, "booking.in_24_hours", BOOKING, NOON + timedelta(days=9), start="my knee")
        await self.sending.drain()
        await self.queued(ADA, NOON + timedelta(hours=9))
        await self.queued(BEN, NOON + timedelta(hours=9))
        await self.hooked("my knee")
        await self.browses(ADA, "push.hers.example")
        await self.browses(BEN, "push.his.example")
        await self.letters.write(Context(), Letter(new_id(), "ada@ada.example", LetterKind.PASSWORD_CHANGED, URL, {
            "person": "Ada Lovelace"}, ADA))  # fmt: skip
        await self.post.send_text(Context(), Text(new_id(), "+447700900123", "123456 is your code", ADA))

    async def hooked(self, reason: str) -> None:
        """Programs were sent why Ada does not come, and what Ben did."""
        for who, why in ((ADA, reason), (BEN, "rain")):
            body = json.dumps({"type": "booking.cancelled.v1", "data": {"account_id": str(who), "reason": why}})
            sent = Delivery(
                ORG, new_id(), None, None, "booking.cancelled", "webhooks", Channel.WEBHOOK, str(uuid4()), "en",
                Content("booking.cancelled", body=body), DeliveryStatus.SENT, 1, "", "", NOON, NOON, NOON,
            )  # fmt: skip
            async with self.db.tx(self.ctx) as tx:
                await queue.insert_deliveries(tx, ORG, [sent], NOON)

    async def erase(self) -> list[datetime]:
        """Identity has erased Ada, and notifications hears of it; returns when its jobs are to be done."""
        self.others.erased.add(ADA)
        envelope: Any = Envelope(
            new_id(), self.clock.now(), "account.erased", 1, None, Actor(), "", "", AccountErased(account_id=ADA)
        )
        async with self.db.tx(service_context("test")) as tx:
            for _ in range(2):  # an event may be taken twice
                await Reactions(self.clock).forget_person(tx, [envelope])
        admin = await self.fresh.admin()
        rows = await admin.fetch(
            "select payload, execute_after from kernel.job where entrypoint = 'notifications.forget_person' order by id"
        )
        await admin.close()
        assert {bytes(r["payload"]).decode() for r in rows} == {f'{{"account_id":"{ADA}"}}'}
        return [r["execute_after"] for r in rows]

    async def inbox_of(self, id: UUID) -> list[tuple[str, str]]:
        ctx = Context(actor=Actor(kind=ActorKind.PERSON, account_id=id))
        page = await self.inbox.mine(ctx, archived=False, topic=None, unread_only=False, limit=50, cursor=None)
        return sorted((n.title, n.body) for n in page.items)


@pytest.fixture
async def world(fresh_database: FreshDatabase) -> World:
    made = World(await fresh_database.connect(), fresh_database)
    await made.lives()
    return made


async def found(admin: asyncpg.Connection[Any], words: tuple[str, ...]) -> dict[str, set[str]]:
    """Which of these words stand in which columns of the module's tables."""
    columns = await admin.fetch(
        "select c.table_name, c.column_name, c.data_type from information_schema.columns c"
        " where c.table_schema = 'notifications' and c.data_type in ('text', 'jsonb', 'bytea', 'ARRAY')"
    )
    there: dict[str, set[str]] = {}
    for column in columns:
        name = f"{column['table_name']}.{column['column_name']}"
        text = (
            f"encode({column['column_name']}, 'escape')" if column["data_type"] == "bytea" else f"{column['column_name']}::text"
        )
        for word in words:
            # Every column of every table, by names of the catalogue.
            asked = f"select exists (select from notifications.{column['table_name']} where position($1 in lower({text})) > 0)"
            if await admin.fetchval(asked, word):
                there.setdefault(name, set()).add(word)
    return there


async def rows(admin: asyncpg.Connection[Any], id: UUID) -> dict[str, int]:
    """How many rows of which tables are a person's."""
    tables = await admin.fetch(
        "select table_name from information_schema.columns where table_schema = 'notifications' and column_name = 'account_id'"
    )
    counts = {t[0]: await admin.fetchval(f"select count(*) from notifications.{t[0]} where account_id = $1", id) for t in tables}
    return {name: count for name, count in counts.items() if count}


async def test_of_whoever_is_erased_nothing_is_left_and_others_keep_what_is_theirs(
    fresh_database: FreshDatabase, world: World
) -> None:
    admin = await fresh_database.admin()
    before = await found(admin, HERS)
    assert {word for words in before.values() for word in words} == set(HERS), "or the test proves nothing"
    assert {"delivery.content", "delivery.recipient", "delivery.error", "attempt.error", "entry.title", "entry.body",
            "inbox_event.data", "digest_item.title", "notice.facts", "outbox.recipient", "outbox.body", "preference.chosen",
            "push_subscription.endpoint"} <= set(before)  # fmt: skip
    his, bens, casss = await found(admin, HIS), await rows(admin, BEN), await rows(admin, CAS)
    mails = await admin.fetchval("select count(*) from notifications.delivery where organisation_id = $1", ORG)
    assert ("Ben Okafor mentioned you in Court 3", "Bring balls") in [(t, b.split("\n")[0]) for t, b in await world.inbox_of(CAS)]

    jobs = await world.erase()
    assert len(jobs) == 2 and NOON + timedelta(days=1) in jobs, "once now, and once to look again"
    await world.forgetting().forget(ADA)

    assert await found(admin, HERS) == {}
    left = await rows(admin, ADA)
    assert set(left) == {"erased", "notice"}, "its id, which is nobody's, and that there was something to tell"
    assert await admin.fetchval("select count(*) from notifications.notice where account_id = $1 and facts <> '{}'", ADA) == 0
    assert await found(admin, HIS) == his, "the mail to him that waits for the evening, too"
    assert await found(admin, ("bring balls", "rain", "cas@cas.example")) != {}
    assert await rows(admin, BEN) == {name: count for name, count in bens.items() if name != "inbox_event"}
    assert await rows(admin, CAS) == casss | {
        "digest_item": casss["digest_item"] - 1, "inbox_event": casss["inbox_event"] - 1}  # fmt: skip
    assert await admin.fetchval("select count(*) from notifications.delivery where organisation_id = $1", ORG) == mails
    assert await world.inbox_of(BEN) == [("Deleted account", "")], "it is still there, and leads where it led"
    assert [title for title, _ in await world.inbox_of(CAS)] == ["Ben Okafor mentioned you in Court 3", "Deleted account"]
    await admin.close()


async def test_it_may_die_anywhere_and_goes_on_where_it_was(
    fresh_database: FreshDatabase, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("BATCH", "READERS", "HOOKS"):
        monkeypatch.setattr(leaving, name, 1)
    await world.erase()
    deaths = 0
    while deaths < 200:
        try:
            await world.forgetting(cast("ModuleDatabase", Mortal(world.db, deaths))).forget(ADA)
            break
        except Died:
            deaths += 1
    assert deaths > 5
    admin = await fresh_database.admin()
    assert await found(admin, HERS) == {}
    assert set(await rows(admin, ADA)) == {"erased", "notice"}
    await world.forgetting().forget(ADA)
    await admin.close()


class Died(Exception):
    """The worker's process was killed."""


class Mortal:
    """A database whose program dies before its transaction number `lives` commits."""

    def __init__(self, db: ModuleDatabase, lives: int) -> None:
        self.role, self._db, self._lives = db.role, db, lives

    def tx(self, ctx: Context, *, lock: Lock | None = None, plans: Plans = Plans.BY_COST, note: Note | None = None) -> Tx:
        tx = self._db.tx(ctx, lock=lock, plans=plans, note=note)
        self._lives -= 1
        if self._lives < 0:
            tx.buffer(Killer)
        return tx

    def read(self, ctx: Context, *, plans: Plans = Plans.BY_COST) -> Tx:
        return self._db.read(ctx, plans=plans)


class Killer:
    async def flush(self, tx: Tx) -> None:
        raise Died

    def committed(self) -> None: ...


async def test_nothing_leaves_for_them_and_what_is_said_of_them_later_is_dropped_quietly(world: World) -> None:
    await world.erase()
    world.server.refuses, world.server.taken = "", []
    world.clock.advance(timedelta(hours=10))
    await world.sending.drain()  # before anybody forgot anything
    assert world.server.taken == ["ben@ben.example"], "the control: his leaves"

    await world.forgetting().forget(ADA)
    await world.notice(ADA, "booking.cancelled", BOOKING, reason="my knee", refund=None)
    await world.said(ADA, BEN)
    world.clock.advance(timedelta(days=10))
    await world.sending.drain()
    async with world.db.tx(world.ctx) as tx:
        told = await tx.connection.fetch("select status, facts::text from notifications.notice where account_id = $1", ADA)
        due = await tx.connection.fetchval("select count(*) from notifications.due")
        dead = await tx.connection.fetchval("select count(*) from notifications.delivery where status = 'queued'")
    assert {(r["status"], r["facts"]) for r in told} <= {("void", "{}"), ("told", "{}")}
    assert (due, dead) == (0, 0)
    assert "ada@ada.example" not in world.server.taken

    last = Letter(new_id(), "ada@ada.example", LetterKind.ERASED, URL, {"person": "Ada Lovelace"}, None, "en")
    await world.letters.write(Context(), last)
    await world.forgetting().forget(ADA)
    assert [m.id for m in (await world.post.outbox(Context(), None, 10, None)).items] == [last.id], "identity's last word"

    token = world.links.token(Leave(ADA, Topic.BOOKINGS))
    for ask in (world.choices.link, world.choices.leave, world.choices.stay):
        assert (await ask(token)).ended, "an old mail's link leads to what is so"
    assert [row.ended for row in [await world.choices.link(world.links.token(Leave(CAS, Topic.MENTIONS)))]] == [False]


async def test_the_log_of_messages_calls_them_a_deleted_account(world: World) -> None:
    await world.erase()
    await world.forgetting().forget(ADA)
    staff = Context(actor=Actor(kind=ActorKind.PERSON, account_id=CAS), organisation_id=ORG)
    page = await world.house.deliveries(staff, None, None, 50, None)
    gone = [d for d in page.items if d.erased]
    assert len(gone) > 3
    assert {(d.recipient, d.account_id, d.subject) for d in gone} == {("Deleted account", None, "")}
    assert {d.account_id for d in page.items if not d.erased and d.channel is not Channel.WEBHOOK} == {BEN, CAS}
    for d in gone:
        detail = await world.house.delivery(staff, d.id)
        assert (detail.text, {a.error for a in detail.attempts} - {""}) == ("", set())
    assert await world.house.replayable(staff, page.items) == set()


async def test_who_asks_is_told_all_that_is_kept_of_them_and_no_key(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("forecourt.modules.notifications.records.SENT_AT_ONCE", 2)
    async with world.db.tx(service_context("test")) as tx:
        await choices.refuse_mail(tx, world.links.digest("ada@ada.example"), NOON)

    async def told(id: UUID) -> dict[str, list[dict[str, Any]]]:
        return await everything(world.records, Context(actor=Actor(kind=ActorKind.PERSON, account_id=id)))

    hers, his = await told(ADA), await told(BEN)
    assert list(hers) == [
        "notifications", "notifications_sent", "notifications_waiting", "notification_preferences", "push_subscriptions",
        "mail_opt_outs",
    ]  # fmt: skip
    async with world.db.tx(world.ctx) as tx:
        sent = await tx.connection.fetch("select id::text from notifications.delivery where account_id = $1", ADA)
    assert sorted(s["id"] for s in hers["notifications_sent"]) == sorted(r["id"] for r in sent)
    assert len(sent) > 4
    mail = next(s for s in hers["notifications_sent"] if s["channel"] == "email" and s["kind"] == "booking.cancelled")
    assert (mail["to"], mail["status"], mail["organisation_id"]) == ("ada@ada.example", "failed", str(ORG))
    assert "my knee" in mail["text"]
    assert {e["title"] for e in hers["notifications"]} >= {"Ben Okafor mentioned you in Court 3"}
    assert [b["service"] for b in hers["push_subscriptions"]] == ["push.hers.example"]
    assert [p["phone_app"] for p in hers["notification_preferences"]] == [True]
    assert [o["address"] for o in hers["mail_opt_outs"]] == ["ada@ada.example"]
    assert "phone-of-ada" not in str({k: v for k, v in hers.items() if k != "notifications_sent"})
    assert "p" * 87 not in str(hers)
    assert his["mail_opt_outs"] == []
    assert "ada@ada.example" not in str(his), "the control: his are his"
    assert len((await told(CAS))["notifications_waiting"]) == 2
    with pytest.raises(Invalid):
        await world.records.records(Context(actor=Actor(kind=ActorKind.PERSON, account_id=ADA)), "notifications_sent garbage")


async def test_after_a_year_an_inbox_forgets_too_and_what_providers_said(fresh_database: FreshDatabase, world: World) -> None:
    young = await world.queued(BEN, NOON + timedelta(days=500))
    admin = await fresh_database.admin()
    await admin.execute("update notifications.delivery set created_at = created_at - interval '400 days' where id <> $1", young)
    await admin.execute("update notifications.inbox_event set at = at - interval '400 days'")
    await admin.execute("update notifications.delivery set status = 'sent' where status = 'queued' and id <> $1", young)
    assert await world.sending.forget(365) > 5
    left = await found(admin, ("ada@ada.example", "my knee", "see you at six", "bring balls"))
    assert set(left) == {"outbox.recipient", "notice.facts", "digest_item.title"} & set(left), "what waits is not a year old"
    assert await admin.fetchval("select count(*) from notifications.entry") == 0
    assert await admin.fetchval("select count(*) from notifications.inbox_event") == 0
    staff = Context(actor=Actor(kind=ActorKind.PERSON, account_id=CAS), organisation_id=ORG)
    assert {d.recipient for d in (await world.house.deliveries(staff, None, None, 50, None)).items} == {"…", "be…@ben.example"}
    kept = await admin.fetchval("select content ->> 'text' from notifications.delivery where id = $1", young)
    assert kept == "Hello Ben Okafor", "the control: the young is kept"
    await admin.close()


async def test_a_digest_that_is_sent_keeps_none_of_the_names_in_it(fresh_database: FreshDatabase, world: World) -> None:
    world.clock.advance(timedelta(days=1))
    await world.sending.drain()
    assert "cas@cas.example" in world.server.taken
    admin = await fresh_database.admin()
    digest = await admin.fetchrow(
        "select status, content::text from notifications.delivery where organisation_id = $1 and kind = 'digest'", NOBODYS
    )
    assert digest is not None
    assert (digest["status"], json.loads(digest["content"])) == ("sent", {"subject": "What happened since yesterday"})
    await admin.close()
