"""Mails about a booking to who was invited by address alone: the invitation, and what becomes of it.

Where the address turns out to be an account's, the account is told as any other. Else the mail is made when it leaves and is kept
nowhere, because its link opens the invitation for whoever has it; the delivery log gets its subject without who invites, and as
much of the address as it shows: nobody could find these again when one of the two erases an account. The mail goes by the
organisation's own servers and then the house's, as all its mails do.
"""

from __future__ import annotations

import re
from uuid import UUID, uuid5

import msgspec
import structlog
from msgspec import Struct

from forecourt.kernel.clock import Clock
from forecourt.kernel.context import Context, service_context
from forecourt.kernel.db import ModuleDatabase
from forecourt.kernel.errors import Unavailable
from forecourt.kernel.ids import new_id
from forecourt.kernel.jobs import enqueue
from forecourt.modules.booking.contract import Addressee
from forecourt.modules.notifications import rules, wording
from forecourt.modules.notifications.calendar import calendar_of
from forecourt.modules.notifications.channels import MAX_ERROR, Message, NotTaken, Refused
from forecourt.modules.notifications.contract import NOBODYS, Channel, DeliveryStatus
from forecourt.modules.notifications.jobs import DRAIN, Drain, WriteTo
from forecourt.modules.notifications.queries import choices, queue
from forecourt.modules.notifications.queries.queue import Content, Delivery, Notice, Settled, Tried
from forecourt.modules.notifications.rules import INVITED, INVITED_BY_ADDRESS, KINDS
from forecourt.modules.notifications.sealing import LeaveAddress, Links
from forecourt.modules.notifications.service.carriers import Carriers
from forecourt.modules.notifications.service.telling import Sources, Telling, party_notice
from forecourt.modules.notifications.wording import Surround, Words

NO_NAME = re.compile(r"[/\\@<>:]|\bwww\b|\w\.\w", re.IGNORECASE)
"""What no name has and an advertisement does: whoever types an address has the house write their name to it."""
MOST_NAME = 60
STILL_OPEN = (INVITED, "booking.moved")
"""What is told of an invitation that can be answered."""

log = structlog.get_logger("forecourt.notifications")


class Written(Struct, frozen=True):
    """A mail that is made."""

    wish: WriteTo
    id: UUID
    to: str
    locale: str
    content: Content
    shown: str
    """What the delivery log calls it."""


class Addresses:
    def __init__(
        self,
        db: ModuleDatabase,
        clock: Clock,
        sources: Sources,
        telling: Telling,
        carriers: Carriers,
        links: Links,
        public_url: str,
    ) -> None:
        self._db = db
        self._clock = clock
        self._ask = sources
        self._telling = telling
        self._carriers = carriers
        self._links = links
        self._url = public_url

    async def write(self, wish: WriteTo) -> None:
        """Once, however often it is asked for. Raises Unavailable when no mail server takes it now."""
        ctx = service_context("notifications", wish.organisation_id)
        ask = self._ask.bookings.first_letter if wish.kind == INVITED else self._ask.bookings.letter
        found = await ask(ctx, wish.invitation_id)
        if found is None:
            return
        if found.account_id is not None:
            await self._tell_account(ctx, wish, found.account_id)
            return
        address, id = self._links.digest(found.email), uuid5(wish.event_id, f"{wish.kind} {wish.invitation_id}")
        async with self._db.read(ctx) as tx:
            if await choices.is_unwanted(tx, address) or await queue.is_there(tx, wish.organisation_id, id):
                return
        leave = f"{self._url}/v1/unsubscribe/{self._links.token(LeaveAddress(address))}"
        locale, content, shown = await self._content(ctx, wish, found, leave)
        await self._send(ctx, Written(wish, id, found.email, locale, content, shown), leave)

    async def _tell_account(self, ctx: Context, wish: WriteTo, account_id: UUID) -> None:
        now = self._clock.now()
        notice = party_notice(wish, account_id, now)
        async with self._db.tx(ctx) as tx:
            await queue.insert_notices(tx, wish.organisation_id, [notice], now)
            enqueue(tx, DRAIN, Drain())

    async def _content(self, ctx: Context, wish: WriteTo, found: Addressee, leave: str) -> tuple[str, Content, str]:
        """The mail, in the language of who invites or else the organisation's; and its subject without the two."""
        [booking] = await self._ask.bookings.bookings(ctx, [wish.booking_id])
        [book] = await self._ask.venues.books(ctx, [booking.venue_id])
        organisation = await self._ask.venues.organisation(ctx, wish.organisation_id)
        host, chosen = await self._host(ctx, found.invited_by or booking.account_id)
        locale = wording.locale_for(chosen, organisation.locale)
        name = INVITED_BY_ADDRESS if wish.kind == INVITED else wish.kind
        notice = Notice(wish.organisation_id, wish.event_id, wish.invitation_id, name, "", wish.booking_id, dict(wish.facts))
        link = f"{self._url}/invitations/{found.token}" if wish.kind in STILL_OPEN else ""
        values = self._telling.values(notice, found.email, locale, organisation, booking, book)
        values |= {"host": host or organisation.name, "link": link}
        foot = wording.word(locale, "footer_address")
        around = Surround(locale, organisation.name, link, leave, foot=foot)
        words = await self._words(ctx, name, locale)
        content = wording.compose(Channel.EMAIL, words, values, around)
        shown = wording.compose(
            Channel.EMAIL, words, values | {"host": organisation.name, "person": rules.masked(Channel.EMAIL, found.email)}, around
        )
        calendar = calendar_of(booking, book, content.subject, self._clock.now())
        return locale, msgspec.structs.replace(content, calendar=calendar), shown.subject

    async def _host(self, ctx: Context, account_id: UUID | None) -> tuple[str, str | None]:
        """Name and language of who invites; no name where it is none."""
        if account_id is None:
            return "", None
        cards = await self._ask.people.cards(ctx, [account_id])
        prefers = await self._ask.people.preferences(ctx, [account_id])
        name = cards[0].name if cards else ""
        return "" if NO_NAME.search(name) else name[:MOST_NAME], prefers[0].locale if prefers else None

    async def _words(self, ctx: Context, name: str, locale: str) -> Words:
        """The organisation's own where it has some that fit, else those that ship."""
        async with self._db.read(ctx) as tx:
            templates = await choices.templates(tx, ctx.organisation_id or NOBODYS)
        own = next((t for t in templates if t.enabled and (t.event, t.channel, t.locale) == (name, Channel.EMAIL, locale)), None)
        if own is None:
            return wording.shipped(name, Channel.EMAIL, locale)
        return Words(own.subject, own.body, own.html)

    async def _send(self, ctx: Context, mail: Written, leave_url: str) -> None:
        headers = {"List-Unsubscribe": f"<{leave_url}>", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}
        content = mail.content
        message = Message(mail.id, mail.wish.kind, mail.to, content, mail.locale, sender=content.sender, headers=headers)
        async with self._db.read(ctx) as tx:
            carriers = (await self._carriers.of(tx, mail.wish.organisation_id))[Channel.EMAIL]
        refused: list[tuple[str, str]] = []
        for carrier in carriers:
            try:
                async with carrier.place:
                    await carrier.carry(message)
            except (NotTaken, Refused) as e:
                log.warning("mail_not_taken", delivery=str(mail.id), provider=carrier.name, error=str(e))
                if isinstance(e, Refused):
                    refused.append((carrier.name, str(e)))
            else:
                await self._log(ctx, mail, carrier.name, "")
                return
        if not refused or len(refused) < len(carriers):
            raise Unavailable("no mail server took the mail")
        # None of them will ever: somebody mistyped an address.
        await self._log(ctx, mail, *refused[-1])

    async def _log(self, ctx: Context, mail: Written, provider: str, error: str) -> None:
        """For the delivery log: that it was sent, and to whom about; or why it was not, which may repeat the address."""
        now, wish, id = self._clock.now(), mail.wish, mail.id
        recipient = rules.masked(Channel.EMAIL, mail.to)
        error = re.sub(re.escape(mail.to), recipient, error, flags=re.IGNORECASE)
        kind = KINDS[INVITED_BY_ADDRESS if wish.kind == INVITED else wish.kind]
        made = Delivery(
            wish.organisation_id,
            id,
            None,
            None,
            kind.name,
            kind.topic.value,
            Channel.EMAIL,
            recipient,
            mail.locale,
            Content(subject=mail.shown),
            DeliveryStatus.QUEUED,
            0,
            "",
            "",
            now,
            None,
            now,
        )
        status = DeliveryStatus.FAILED if error else DeliveryStatus.SENT
        settled = Settled(id, status, 1, provider[:80], error[:MAX_ERROR])
        tried = Tried(id, new_id(), now, provider[:80], not error, error[:MAX_ERROR])
        async with self._db.tx(ctx) as tx:
            if await queue.insert_deliveries(tx, wish.organisation_id, [made], now):
                await queue.settle(tx, wish.organisation_id, [settled], [tried], now)
