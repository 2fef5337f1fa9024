"""From a notice to what is sent: who it is for, in which words, by which channels, and when.

Reactions write notices in the transaction of the event. Here they are claimed in batches; names, languages, places and choices
are asked for outside any transaction; then the inbox's entry and the deliveries are written together, once.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from datetime import datetime, time
from typing import TypeVar, cast
from uuid import UUID, uuid5
from zoneinfo import ZoneInfo

import msgspec
import structlog
from msgspec import Struct

from forecourt.kernel.clock import Clock
from forecourt.kernel.context import Context, service_context
from forecourt.kernel.db import ModuleDatabase, Tx
from forecourt.kernel.jobs import enqueue
from forecourt.kernel.money import Money
from forecourt.kernel.web import formats
from forecourt.modules.booking.contract import BookingOut, Bookings, BookingStatus, Invitee, InviteeStatus
from forecourt.modules.chat.contract import Chat, MessagePreview
from forecourt.modules.identity.contract import AccountCard, Identity
from forecourt.modules.notifications import rules, wording
from forecourt.modules.notifications.calendar import calendar_of
from forecourt.modules.notifications.contract import (
    NOBODYS,
    Channel,
    DeliveryStatus,
    Digest,
    TemplateInvalid,
    Topic,
)
from forecourt.modules.notifications.jobs import DRAIN, WRITE, Drain, TellParty, TellStaff, WriteTo
from forecourt.modules.notifications.queries import choices, inbox, leaving, queue
from forecourt.modules.notifications.queries.choices import Browser, TemplateRow
from forecourt.modules.notifications.queries.inbox import DigestItem, Entry
from forecourt.modules.notifications.queries.queue import Content, Delivery, NewNotice, Notice
from forecourt.modules.notifications.rules import ANSWERED, INVITED, KINDS, NOISE, REMINDERS, SOON, UNINVITED, Kind, Quiet
from forecourt.modules.notifications.sealing import Leave, Links
from forecourt.modules.notifications.service.inbox import InboxService
from forecourt.modules.notifications.wording import Surround, Words
from forecourt.modules.people.contract import People, Preferences
from forecourt.modules.venues.contract import Organisation, VenueBook, Venues

AT_ONCE = 100
DIGEST = "digest"
"""Of deliveries that are digests; their topic says of which kind."""
APPROVAL_WAITS = "booking.approval_waits"
OVER_FOR_GUESTS = ("booking.cancelled", UNINVITED)
PHONES = (Channel.SMS, Channel.WHATSAPP)

log = structlog.get_logger("forecourt.notifications")

T = TypeVar("T")


class Reader(Struct, frozen=True):
    """A person as far as telling them something needs it."""

    card: AccountCard
    preferences: Preferences
    channels: Mapping[Topic, frozenset[Channel]]
    digest: Digest
    browsers: Sequence[Browser]
    phone: str | None
    push_key: str | None

    @property
    def quiet(self) -> Quiet | None:
        hours = self.preferences.quiet_hours
        return Quiet(time.fromisoformat(hours.start), time.fromisoformat(hours.end)) if hours else None


class Said(Struct, frozen=True):
    """A message of a room."""

    sender: str
    preview: MessagePreview

    def values(self, locale: str) -> dict[str, str]:
        """A room without a name is called by who wrote; a message without words shows that there is something."""
        room = self.preview.room_called(locale) or self.sender
        return {"sender": self.sender, "room": room, "text": self.preview.excerpt or "…"}


class Answer(Struct, frozen=True):
    """What a guest says; no name for whom nobody knows by one."""

    guest: str
    comes: bool
    account_id: UUID | None = None
    """Of the guest, if they have one."""

    def values(self, locale: str) -> dict[str, str]:
        return {"guest": self.guest or wording.word(locale, "somebody"), "comes": "yes" if self.comes else ""}


class Scene(Struct, frozen=True):
    """What a batch of one organisation's notices is about."""

    organisation: Organisation | None
    books: Mapping[UUID, VenueBook]
    bookings: Mapping[UUID, BookingOut]
    readers: Mapping[UUID, Reader]
    templates: Mapping[tuple[str, Channel, str], TemplateRow]
    said: Mapping[UUID, Said]
    """What was written, by the id of the notice; of messages that are gone or were read there is none."""
    hosts: Mapping[UUID, str] = {}
    """Names of those whose bookings others are invited to."""
    answers: Mapping[UUID, Answer] = {}
    """What guests say, by the id of the notice; of those who say otherwise by now, or what was told, there is none."""


class Plan(Struct, frozen=True):
    """What becomes of one notice; nothing at all when it came to be void."""

    notice: Notice
    kind: Kind
    deliveries: list[Delivery]
    due: dict[UUID, datetime]
    entry: Entry | None = None
    digest: DigestItem | None = None
    digest_at: datetime | None = None
    names: UUID | None = None
    """Whom it names to its reader."""

    @property
    def says_something(self) -> bool:
        return bool(self.deliveries) or self.digest is not None


PLACES_AT_ONCE = 500


class Sources(Struct, frozen=True):
    """Who is asked."""

    identity: Identity
    people: People
    venues: Venues
    bookings: Bookings
    chat: Chat


class Telling:
    def __init__(
        self, db: ModuleDatabase, clock: Clock, sources: Sources, inbox_service: InboxService, links: Links, public_url: str
    ) -> None:
        self._db = db
        self._clock = clock
        self._ask = sources
        self._inbox = inbox_service
        self._links = links
        self._url = public_url

    async def places(self) -> AsyncGenerator[UUID, None]:
        """Whose messages there may be: the house's own, then those of every organisation."""
        yield NOBODYS
        after: UUID | None = None
        while ids := await self._ask.venues.organisation_ids(service_context("notifications"), after, PLACES_AT_ONCE):
            for organisation_id in ids:
                yield organisation_id
            after = ids[-1]

    async def tell(self, organisation_id: UUID, ids: Sequence[UUID], lease: UUID) -> None:
        """Tells the claimed notices of one organisation; those whose lease was lost meanwhile are left to their new holder."""
        ctx = service_context("notifications", organisation_id)
        async with self._db.read(ctx) as tx:
            notices = await queue.notices(tx, organisation_id, ids, lease)
        scene = await self._scene(ctx, organisation_id, notices)
        plans = [self._plan(scene, notice) for notice in notices]
        await self._write(ctx, organisation_id, plans, ids, lease)

    async def tell_staff(self, wish: TellStaff) -> None:
        """A notice for each of the staff whom it concerns. Once more writes nothing more: their ids follow from the event."""
        ctx, now = service_context("notifications", wish.organisation_id), self._clock.now()
        holders = await self._ask.identity.holders(ctx, wish.permission)
        notices = [
            NewNotice(
                uuid5(wish.event_id, f"{wish.kind} {account_id}"), account_id, wish.kind, f"{wish.kind} {wish.event_id}",
                wish.about_id, {}, now,
            )
            for account_id in holders
            if account_id != wish.besides
        ]  # fmt: skip
        if not notices:
            return
        async with self._db.tx(ctx) as tx:
            await queue.insert_notices(tx, wish.organisation_id, notices, now)
            enqueue(tx, DRAIN, Drain())

    async def tell_party(self, wish: TellParty) -> None:
        """A notice for each account that is invited to a booking, of changes only when the invitation was told; and a job for
        each who is invited by address alone."""
        ctx, now = service_context("notifications", wish.organisation_id), self._clock.now()
        party = await self._ask.bookings.party(ctx, wish.booking_id)
        notices = [party_notice(wish, account_id, now) for account_id in party.account_ids if account_id != wish.besides]
        if not notices and not party.invitation_ids:
            return
        async with self._db.tx(ctx) as tx:
            if notices and (wish.kind == INVITED or await queue.was_told(tx, wish.organisation_id, wish.booking_id, INVITED)):
                await queue.insert_notices(tx, wish.organisation_id, notices, now)
                enqueue(tx, DRAIN, Drain())
            for id in party.invitation_ids:
                one = WriteTo(wish.event_id, wish.organisation_id, wish.kind, wish.booking_id, wish.facts, id)
                enqueue(tx, WRITE, one, key=f"{wish.event_id} {id}")

    # --- asking

    async def _scene(self, ctx: Context, organisation_id: UUID, notices: Sequence[Notice]) -> Scene:
        readers = await self.readers(ctx, list(dict.fromkeys(n.account_id for n in notices)))
        said = await self._said(ctx, notices)
        if organisation_id == NOBODYS:
            return Scene(None, {}, {}, readers, {}, said)
        organisation = await self._ask.venues.organisation(ctx, organisation_id)
        about = list(dict.fromkeys(n.about_id for n in notices if n.about_id is not None and n.kind.startswith("booking.")))
        bookings = await _some(about, lambda part: self._ask.bookings.bookings(ctx, part))
        venues = list(dict.fromkeys(b.venue_id for b in bookings))
        books = await _some(venues, lambda part: self._ask.venues.books(ctx, part))
        invited = {n.about_id for n in notices if n.kind == INVITED}
        hosts = list({b.account_id for b in bookings if b.id in invited and b.account_id is not None})
        names = {c.id: c.name for c in await _some(hosts, lambda part: self._ask.people.cards(ctx, part))}
        answers = await self._answers(ctx, organisation_id, [n for n in notices if n.kind == ANSWERED])
        async with self._db.read(ctx) as tx:
            templates = await choices.templates(tx, organisation_id)
        return Scene(
            organisation,
            {b.venue.id: b for b in books},
            {b.id: b for b in bookings},
            readers,
            {(t.event, t.channel, t.locale): t for t in templates if t.enabled},
            said,
            names,
            answers,
        )

    async def _answers(self, ctx: Context, organisation_id: UUID, notices: Sequence[Notice]) -> dict[UUID, Answer]:
        """What these guests say, where it is still what the notice says and not what was told last."""
        about = list(dict.fromkeys(n.about_id for n in notices if n.about_id is not None))
        if not about:
            return {}
        async with self._db.read(ctx) as tx:
            before = await queue.told_of(tx, organisation_id, about, ANSWERED)
        # What was told longer ago than words are kept has no facts any more.
        told = {str(n.facts["invitation_id"]): n.facts["status"] for n in reversed(before) if n.facts}
        ids = list(dict.fromkeys(UUID(str(n.facts["invitation_id"])) for n in notices))
        guests = {str(g.id): g for g in await _some(ids, lambda part: self._ask.bookings.invitations(ctx, part))}
        true: dict[UUID, Invitee] = {}
        for notice in notices:
            id = str(notice.facts["invitation_id"])
            guest = guests.get(id)
            if guest is None or guest.status != notice.facts["status"]:
                continue
            if notice.facts["first"] or told.get(id) != guest.status:
                true[notice.id] = guest
                told[id] = guest.status.value
        known = list({g.account_id for g in true.values() if g.account_id is not None})
        names = {c.id: c.name for c in await _some(known, lambda part: self._ask.people.cards(ctx, part))}
        return {id: Answer(_called(g, names), g.status is InviteeStatus.ACCEPTED, g.account_id) for id, g in true.items()}

    async def _said(self, ctx: Context, notices: Sequence[Notice]) -> dict[UUID, Said]:
        """The messages that these notices are about, where they were not read meanwhile."""
        previews: dict[UUID, MessagePreview] = {}
        groups: dict[tuple[UUID, UUID, int], list[Notice]] = {}
        for n in notices:
            if n.kind.startswith("chat.") and n.about_id is not None:
                groups.setdefault((n.about_id, UUID(str(n.facts["message_id"])), int(str(n.facts["seq"]))), []).append(n)
        for (room_id, message_id, seq), told in groups.items():
            unread = set(await self._ask.chat.still_unread(ctx, room_id, seq, [n.account_id for n in told]))
            preview = await self._ask.chat.preview(ctx, room_id, message_id) if unread else None
            if preview is not None:
                previews |= {n.id: preview for n in told if n.account_id in unread}
        senders = list({p.sender_id for p in previews.values()})
        names = {c.id: c.name for c in await _some(senders, lambda part: self._ask.people.cards(ctx, part))}
        return {id: Said(names.get(p.sender_id, ""), p) for id, p in previews.items()}

    async def readers(self, ctx: Context, account_ids: list[UUID]) -> dict[UUID, Reader]:
        """These people; accounts that are gone or closed are left out."""
        cards = await _some(account_ids, lambda part: self._ask.identity.accounts(ctx, part))
        open_ = [card for card in cards if not card.status.closed]
        ids = [card.id for card in open_]
        preferences = await _some(ids, lambda part: self._ask.people.preferences(ctx, part))
        chosen: dict[UUID, tuple[choices.Chosen, list[Browser]]] = {}
        async with self._db.read(ctx) as tx:
            for id in ids:
                await tx.become(self._db.role, None, id)
                row = await choices.chosen(tx, id)
                chosen[id] = (row.chosen if row else choices.Chosen(), await choices.browsers(tx, id))
        readers: dict[UUID, Reader] = {}
        for card, prefers in zip(open_, preferences, strict=True):
            choice, browsers = chosen[card.id]
            channels = {topic: frozenset(picked) for topic, picked in choice.channels.items()}
            texts = any(channel in picked for picked in channels.values() for channel in PHONES)
            phone = await self._ask.identity.phone(ctx, card.id) if texts else None
            readers[card.id] = Reader(card, prefers, channels, choice.digest, browsers, phone, choice.push_key)
        return readers

    # --- deciding

    def _plan(self, scene: Scene, notice: Notice) -> Plan:
        kind, reader = KINDS[notice.kind], scene.readers.get(notice.account_id)
        nothing = Plan(notice, kind, [], {})
        if reader is None:
            return nothing
        said = scene.said.get(notice.id)
        if notice.kind.startswith("chat.") and said is None:
            return nothing
        locale = wording.locale_for(reader.preferences.locale, scene.organisation.locale if scene.organisation else None)
        booking = scene.bookings.get(notice.about_id) if notice.about_id else None
        if notice.kind.startswith("booking.") and (booking is None or not _still_true(notice, booking)):
            return nothing
        book = scene.books.get(booking.venue_id) if booking else None
        answer = scene.answers.get(notice.id)
        if notice.kind == ANSWERED and answer is None:
            return nothing
        if notice.kind == NOISE and not _too_loud(booking, book):
            return nothing
        values, names = self.values(notice, reader.card.name, locale, scene.organisation, booking, book), None
        if notice.kind == INVITED and booking is not None:
            host = scene.hosts.get(booking.account_id) if booking.account_id else None
            values["host"] = host or values["organisation"]
            names = booking.account_id if host else None
        if said is not None:
            values |= said.values(locale)
            names = said.preview.sender_id
        if answer is not None:
            values |= answer.values(locale)
            names = answer.account_id
        plan = self._spread(scene, notice, kind, reader, locale, values, booking, book)
        return msgspec.structs.replace(plan, names=names)

    def values(
        self,
        notice: Notice,
        name: str,
        locale: str,
        organisation: Organisation | None,
        booking: BookingOut | None,
        book: VenueBook | None,
    ) -> dict[str, str]:
        """What the templates of the notice's kind may name (`wording.SAMPLES`)."""
        facts = notice.facts
        found = {"person": name, "organisation": organisation.name if organisation else wording.HOUSE}
        if booking is not None and book is not None:
            found |= _booking_values(locale, booking, book)
            found["reason"] = wording.reason(locale, _text(facts.get("reason")))
            found["refund"] = _amount(locale, facts.get("refund"))
            if "from_start" in facts:
                found["was"] = _was(locale, facts, book)
        for field in ("amount", "paid"):
            if field in facts:
                found[field] = _amount(locale, facts[field])
        if "role" in facts:
            found["role"] = wording.role(locale, _text(facts["role"]))
        if notice.kind == "security.noted":
            found["what"] = wording.word(locale, _text(facts["what"]), "security")
        found["link"] = self._href(notice)
        return found

    def _href(self, notice: Notice, *, absolute: bool = True) -> str:
        match notice.kind.split(".")[0]:
            case "booking" if notice.kind == APPROVAL_WAITS:
                path = f"/orgs/{notice.organisation_id}/bookings?show=asks"
            case "booking" if notice.facts.get("party"):  # the booking is its owner's; an invitation is its guest's
                path = "/bookings" if notice.kind in OVER_FOR_GUESTS else f"/invitations/{notice.about_id}"
            case "booking" if notice.kind == ANSWERED:
                path = f"/bookings/{notice.about_id}#guests"
            case "booking":
                path = f"/bookings/{notice.about_id}"
            case "payment":
                path = "/bookings"
            case "chat":
                path = f"/chat/{notice.about_id}" if notice.about_id else "/chat"
            case "staff":
                path = "/orgs"
            case _:
                path = "/account"
        return f"{self._url}{path}" if absolute else path

    def _spread(
        self,
        scene: Scene,
        notice: Notice,
        kind: Kind,
        reader: Reader,
        locale: str,
        values: Mapping[str, str],
        booking: BookingOut | None,
        book: VenueBook | None,
    ) -> Plan:
        """One message for each channel and address that is wanted and there."""
        now = self._clock.now()
        tz = ZoneInfo(reader.preferences.timezone or (scene.organisation.timezone if scene.organisation else "UTC"))
        plan = Plan(notice, kind, [], {})
        for channel in rules.wanted(kind, reader.channels, reader.digest):
            content = self._content(scene, notice, kind, channel, locale, values, reader)
            at = rules.send_at(kind, channel, reader.quiet, tz, now)
            if booking is not None and notice.kind in REMINDERS and not _true_then(notice.kind, booking, book, now, at):
                continue
            if channel is Channel.IN_APP:
                plan = self._with_entry(plan, reader, locale, content, now)
                continue
            if channel is Channel.EMAIL and rules.in_digest(kind, reader.digest):
                item = DigestItem(notice.id, kind.topic.value, content.subject, self._href(notice, absolute=False), now)
                plan = msgspec.structs.replace(plan, digest=item, digest_at=rules.next_digest(reader.digest, tz, now))
                continue
            if channel is Channel.EMAIL and kind.calendar and booking is not None and book is not None:
                content = msgspec.structs.replace(content, calendar=calendar_of(booking, book, content.subject, now))
            for recipient in addresses(channel, reader):
                delivery = _delivery(notice, kind, channel, recipient, locale, content, now)
                plan.deliveries.append(delivery)
                plan.due[delivery.id] = at
        return plan

    def _content(
        self,
        scene: Scene,
        notice: Notice,
        kind: Kind,
        channel: Channel,
        locale: str,
        values: Mapping[str, str],
        reader: Reader,
    ) -> Content:
        token = self._links.token(Leave(reader.card.id, kind.topic))
        around = Surround(
            locale,
            values["organisation"],
            self._href(notice, absolute=channel is not Channel.IN_APP),
            "" if kind.weight is rules.Weight.CRITICAL else f"{self._url}/v1/unsubscribe/{token}",
            f"{self._url}/account/notifications",
        )
        shipped = wording.shipped(kind.name, channel, locale)
        own = scene.templates.get((kind.name, channel, locale))
        if own is not None:
            try:
                return wording.compose(channel, Words(own.subject, own.body, own.html), values, around)
            except TemplateInvalid as e:  # it fitted the sample and not this: better our words than none
                log.warning("template_failed", template=str(own.id), error=e.detail)
        return wording.compose(channel, shipped, values, around)

    @staticmethod
    def _with_entry(plan: Plan, reader: Reader, locale: str, content: Content, now: datetime) -> Plan:
        """The inbox: there at once, so its delivery is done."""
        notice, kind = plan.notice, plan.kind
        delivery = _delivery(notice, kind, Channel.IN_APP, str(reader.card.id), locale, content, now)
        delivery = msgspec.structs.replace(delivery, status=DeliveryStatus.DELIVERED, provider="inbox")
        entry = Entry(
            notice.id,
            0,
            kind.name,
            kind.topic,
            kind.urgency,
            notice.organisation_id,
            delivery.id,
            content.subject or kind.name,
            content.text,
            content.href,
            now,
            None,
            None,
        )
        plan.deliveries.append(delivery)
        return msgspec.structs.replace(plan, entry=entry)

    # --- writing

    async def _write(self, ctx: Context, organisation_id: UUID, plans: Sequence[Plan], ids: Sequence[UUID], lease: UUID) -> None:
        now = self._clock.now()
        async with self._db.tx(ctx) as tx:
            held = await queue.hold(tx, organisation_id, ids, lease)
            about = {id for p in plans for id in (p.notice.account_id, p.names) if id is not None}
            gone = await leaving.erased(tx, about)
            mine = [_unless_erased(p, gone) for p in plans if p.notice.id in held]
            made = await queue.insert_deliveries(tx, organisation_id, [d for p in mine for d in p.deliveries], now)
            await queue.queue(tx, organisation_id, "delivery", {id: at for p in mine for id, at in p.due.items() if id in made})
            await queue.told(tx, organisation_id, [p.notice.id for p in mine if p.says_something], now)
            named = {p.notice.id: p.names for p in mine if p.names is not None and p.says_something}
            await queue.names(tx, organisation_id, named)
            await queue.give_up(tx, organisation_id, [p.notice.id for p in mine if not p.says_something])
            await queue.done(tx, organisation_id, list(held), lease)
            # In the order of accounts: two workers with notices for the same people do not wait for each other in a circle.
            for plan in sorted(mine, key=lambda p: (p.notice.account_id, p.notice.id)):
                await self._write_personal(tx, plan)

    async def _write_personal(self, tx: Tx, plan: Plan) -> None:
        """What lies under the person's own id."""
        account_id = plan.notice.account_id
        if plan.entry is not None or plan.digest is not None:
            await tx.become(self._db.role, NOBODYS, account_id)
        if plan.entry is not None:
            await self._inbox.put(tx, account_id, plan.entry)
        if plan.digest is not None and plan.digest_at is not None:
            await inbox.digest_add(tx, account_id, plan.digest)
            await queue.queue_once(tx, NOBODYS, account_id, "digest", plan.digest_at)

    async def digest(self, account_id: UUID, lease: UUID) -> None:
        """Puts together what waited for a person's digest, as one mail."""
        ctx = service_context("notifications", NOBODYS)
        found = await self.readers(ctx, [account_id])
        reader, now = found.get(account_id), self._clock.now()
        async with self._db.tx(ctx) as tx:
            if not await queue.hold(tx, NOBODYS, [account_id], lease):
                return
            await tx.become(self._db.role, NOBODYS, account_id)
            items = await inbox.digest(tx, account_id, AT_ONCE)
            wanted = [item for item in items if reader is not None and _still_by_mail(reader, item)]
            if wanted and reader is not None:
                delivery = self._digest_mail(reader, wanted, now)
                await queue.insert_deliveries(tx, NOBODYS, [delivery], now)
                await queue.queue(tx, NOBODYS, "delivery", {delivery.id: now})
            await inbox.digested(tx, account_id, [item.id for item in items])
            if len(items) < AT_ONCE:
                await queue.done(tx, NOBODYS, [account_id], lease)
            else:  # there may be more
                await queue.later(tx, NOBODYS, {account_id: now}, lease)

    def _digest_mail(self, reader: Reader, items: Sequence[DigestItem], now: datetime) -> Delivery:
        locale = wording.locale_for(reader.preferences.locale)
        subject = wording.word(locale, "digest_subject_weekly" if reader.digest is Digest.WEEKLY else "digest_subject")
        intro = wording.render_text("text", wording.word(locale, "digest_intro"), {"person": reader.card.name}, 1000)
        text = "\n\n".join([intro, *(f"{item.title}\n{self._url}{item.href}" for item in items)])
        digest = reader.digest if reader.digest is Digest.WEEKLY else Digest.DAILY
        leave = f"{self._url}/v1/unsubscribe/{self._links.token(Leave(reader.card.id, digest))}"
        around = Surround(locale, wording.HOUSE, f"{self._url}/notifications", leave, f"{self._url}/account/notifications")
        content = wording.letter(subject, text, around)
        id = uuid5(items[-1].id, f"digest {reader.card.id}")
        return Delivery(
            NOBODYS,
            id,
            None,
            reader.card.id,
            DIGEST,
            digest.value,
            Channel.EMAIL,
            reader.card.email,
            locale,
            content,
            DeliveryStatus.QUEUED,
            0,
            "",
            "",
            now,
            None,
            now,
        )


def _unless_erased(plan: Plan, gone: set[UUID]) -> Plan:
    """Whose account was erased while this was worded is told nothing, and named to nobody."""
    return plan if gone.isdisjoint((plan.notice.account_id, plan.names)) else Plan(plan.notice, plan.kind, [], {})


def _still_by_mail(reader: Reader, item: DigestItem) -> bool:
    """Whoever ended mails of a topic, or all that can wait, has ended those that waited."""
    topic = Topic(item.topic)
    return reader.digest is not Digest.NEVER and Channel.EMAIL in reader.channels.get(topic, rules.DEFAULTS[topic])


async def _some(ids: list[UUID], ask: Callable[[list[UUID]], Awaitable[list[T]]]) -> list[T]:
    """Asks for so many at once as contracts answer."""
    found: list[T] = []
    for start in range(0, len(ids), AT_ONCE):
        found += await ask(ids[start : start + AT_ONCE])
    return found


def addresses(channel: Channel, reader: Reader) -> list[str]:
    """Where a message for the reader goes: an address, a number, the ids of browsers. None: the channel is left out."""
    match channel:
        case Channel.EMAIL:
            return [reader.card.email]
        case Channel.SMS | Channel.WHATSAPP:
            return [reader.phone] if reader.phone else []
        case Channel.PUSH:
            return [reader.push_key] if reader.push_key else []
        case Channel.WEB_PUSH:
            return [str(browser.id) for browser in reader.browsers]
        case Channel.IN_APP | Channel.WEBHOOK:
            return []


def _delivery(
    notice: Notice, kind: Kind, channel: Channel, recipient: str, locale: str, content: Content, now: datetime
) -> Delivery:
    """Its id follows from what it is: told twice, it is one."""
    return Delivery(
        notice.organisation_id,
        uuid5(notice.id, f"{channel.value} {recipient}"),
        notice.id,
        notice.account_id,
        kind.name,
        kind.topic.value,
        channel,
        recipient,
        locale,
        content,
        DeliveryStatus.QUEUED,
        0,
        "",
        "",
        now,
        None,
        now,
    )


def party_notice(wish: TellParty | WriteTo, account_id: UUID, now: datetime) -> NewNotice:
    """What a guest with an account is told. Of one event it is the same notice, however often it is made."""
    id = uuid5(wish.event_id, f"{wish.kind} {account_id}")
    facts: dict[str, object] = {"party": True, **wish.facts}
    return NewNotice(id, account_id, wish.kind, f"{wish.kind} {wish.event_id}", wish.booking_id, facts, now)


def _still_true(notice: Notice, booking: BookingOut) -> bool:
    """A reminder of a booking that was moved or cancelled says nothing true; nor does that an answered question waits."""
    if notice.kind in (INVITED, ANSWERED):
        return booking.status is BookingStatus.UPCOMING
    if notice.kind == APPROVAL_WAITS:
        return booking.status is BookingStatus.PENDING_APPROVAL
    if notice.kind in REMINDERS:
        start = notice.facts.get("start")
        return booking.status is BookingStatus.UPCOMING and start == booking.start.isoformat()
    return True


def _too_loud(booking: BookingOut | None, book: VenueBook | None) -> bool:
    """Whether guests of a booking are asked for quiet: at a venue that its house names, in its quiet hours if it has any."""
    if booking is None or book is None or book.venue.id not in book.policies.noise_warning_venue_ids:
        return False
    hours = book.policies.quiet_hours
    return hours is None or rules.in_quiet_hours(hours, booking.start, booking.end, ZoneInfo(book.venue.timezone))


def _true_then(kind: str, booking: BookingOut, book: VenueBook | None, now: datetime, at: datetime) -> bool:
    """Whether a reminder that leaves at `at` is true then: before the booking begins, "in two hours" when it need not wait, and
    "tomorrow" on no day but an earlier one of the venue."""
    if at >= booking.start:
        return False
    if kind == SOON:
        return at <= now
    if kind == NOISE:
        return True
    tz = ZoneInfo(book.venue.timezone) if book is not None else ZoneInfo("UTC")
    return at.astimezone(tz).date() < booking.start.astimezone(tz).date()


def _booking_values(locale: str, booking: BookingOut, book: VenueBook) -> dict[str, str]:
    venue, resource = book.venue, book.resource(booking.resource_id)
    day = formats.date(locale, booking.start, venue.timezone)
    hours = formats.time_range(locale, booking.start, booking.end, venue.timezone)
    return {
        "venue": venue.name,
        "place": resource.name if resource else venue.name,
        "address": venue.address,
        "date": day,
        "time": hours,
        "when": f"{day}, {hours}",
        "price": formats.money(locale, booking.price),
        "team_size": formats.number(locale, booking.team_size),
    }


def _was(locale: str, facts: Mapping[str, object], book: VenueBook) -> str:
    """Place and time before a move."""
    start, end = (datetime.fromisoformat(str(facts[field])) for field in ("from_start", "from_end"))
    resource = book.resource(UUID(str(facts["from_resource_id"])))
    hours = formats.time_range(locale, start, end, book.venue.timezone)
    return f"{resource.name if resource else book.venue.name}, {formats.date(locale, start, book.venue.timezone)}, {hours}"


def _called(guest: Invitee, names: Mapping[UUID, str]) -> str:
    """By name who has an account and shows it, else as they were invited."""
    return (names.get(guest.account_id, "") if guest.account_id is not None else "") or guest.email or ""


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _amount(locale: str, value: object) -> str:
    """An amount that is nothing is not worth a word."""
    if not isinstance(value, dict):
        return ""
    money = msgspec.convert(cast("dict[str, object]", value), Money)
    return formats.money(locale, money) if money.amount else ""
