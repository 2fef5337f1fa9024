"""What a person chooses: channels by topic, quiet hours, digests, browsers that take pushes; and leaving by one click."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from forecourt.kernel.clock import Clock
from forecourt.kernel.context import Context, service_context
from forecourt.kernel.db import ModuleDatabase, Tx
from forecourt.kernel.egress import Egress
from forecourt.kernel.errors import Invalid, NotFound, Unavailable
from forecourt.kernel.ids import new_id
from forecourt.modules.notifications import rules
from forecourt.modules.notifications.channels.webpush import Vapid, point, unb64
from forecourt.modules.notifications.contract import Channel, Digest, Topic
from forecourt.modules.notifications.queries import choices as queries
from forecourt.modules.notifications.queries import leaving
from forecourt.modules.notifications.queries.choices import Browser, Chosen
from forecourt.modules.notifications.sealing import Leave, LeaveAddress, Links
from forecourt.modules.notifications.service.inbox import person
from forecourt.modules.people.contract import People, QuietHours

BROWSERS = 10
"""Browsers of one person; one more lets the oldest go."""
PERSONAL = tuple(channel for channel in Channel if channel is not Channel.WEBHOOK)

PushKey = Annotated[str, Meta(min_length=1, max_length=200, pattern=r"^[A-Za-z0-9_.:@-]+$")]
Endpoint = Annotated[str, Meta(min_length=12, max_length=1000, description="https address of the browser's push service")]
KeyText = Annotated[str, Meta(min_length=20, max_length=100, pattern=r"^[A-Za-z0-9_-]+=*$", description="base64url")]


class NotificationPreferences(Struct, frozen=True, forbid_unknown_fields=True):
    """`channels` says by topic where messages go; a topic left out has the house's defaults. Security always passes.

    Quiet hours and time zone are the person's own (`/v1/me/preferences`); here they are read and written too.
    """

    channels: dict[Topic, Annotated[list[Channel], Meta(max_length=7)]] = {}
    digest: Digest = Digest.OFF
    quiet_hours: QuietHours | None = None
    timezone: Annotated[str, Meta(min_length=1, max_length=64, description="IANA time zone")] | None = None
    push_key: PushKey | None = None


class BrowserKeys(Struct, frozen=True, forbid_unknown_fields=True):
    p256dh: KeyText
    auth: KeyText


class NewPushSubscription(
    Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, rename={"expiration_time": "expirationTime"}
):
    """What `PushSubscription.toJSON()` gives, in the browser's own words."""

    endpoint: Endpoint
    keys: BrowserKeys
    expiration_time: Annotated[int, Meta(ge=0, le=10**15)] | None = None
    """Unix milliseconds. The push service says when it is over; nothing is kept of this."""


class PushSubscriptionRef(Struct, frozen=True, forbid_unknown_fields=True):
    endpoint: Endpoint


class PushKeyOut(Struct, frozen=True):
    """The `applicationServerKey` that browsers subscribe with, and how many of one's browsers do."""

    public_key: str
    browsers: int


class MailLink(Struct, frozen=True):
    """Where the link in a mail leads. `locale` is the language of its reader, when they chose one. `what` is None for all mails
    to an address that has no account."""

    what: Topic | Digest | None
    ended: bool
    locale: str | None


class ChoicesService:
    def __init__(self, db: ModuleDatabase, clock: Clock, people: People, links: Links, vapid: Vapid, egress: Egress) -> None:
        self._db = db
        self._clock = clock
        self._people = people
        self._links = links
        self._vapid = vapid
        self._egress = egress

    async def mine(self, ctx: Context) -> NotificationPreferences:
        """With every topic filled in."""
        me = person(ctx)
        prefers = await self._people.my_preferences(ctx)
        async with self._db.read(ctx.within(None)) as tx:
            row = await queries.chosen(tx, me)
        chosen = row.chosen if row else Chosen()
        return NotificationPreferences(
            effective(chosen.channels), chosen.digest, prefers.quiet_hours, prefers.timezone, chosen.push_key
        )

    async def prefer(self, ctx: Context, wish: NotificationPreferences) -> NotificationPreferences:
        """Replaces the person's choices. Raises Invalid."""
        me = person(ctx)
        for topic, channels in wish.channels.items():
            if Channel.WEBHOOK in channels:
                raise Invalid.field(f"channels.{topic.value}", "webhooks are for organisations")
        prefers = await self._people.my_preferences(ctx)
        if (prefers.quiet_hours, prefers.timezone) != (wish.quiet_hours, wish.timezone):
            changed = msgspec.structs.replace(prefers, quiet_hours=wish.quiet_hours, timezone=wish.timezone)
            await self._people.prefer(ctx, changed)
        channels = {topic: sorted(set(picked)) for topic, picked in wish.channels.items()}
        async with self._db.tx(ctx.within(None)) as tx:
            await queries.choose(tx, me, Chosen(channels, wish.digest, wish.push_key), self._clock.now())
        return await self.mine(ctx)

    # --- browsers

    async def push_key(self, ctx: Context) -> PushKeyOut:
        me = person(ctx)
        async with self._db.read(ctx.within(None)) as tx:
            found = await queries.browsers(tx, me)
        return PushKeyOut(self._vapid.public, len(found))

    async def subscribe(self, ctx: Context, wish: NewPushSubscription) -> PushKeyOut:
        """Raises Invalid for keys that are none, AddressRefused for an endpoint that is not reached from here."""
        me = person(ctx)
        self._egress.check(wish.endpoint, "endpoint")
        try:
            point(unb64(wish.keys.p256dh))
        except ValueError:
            raise Invalid.field("keys.p256dh", "is no public key of a browser") from None
        if len(wish.keys.auth.rstrip("=")) != 22:
            raise Invalid.field("keys.auth", "is no secret of a browser")
        p256dh, auth = wish.keys.p256dh.rstrip("="), wish.keys.auth.rstrip("=")
        browser = Browser(new_id(), wish.endpoint, p256dh, auth, ctx.agent[:300], self._clock.now(), ctx.actor.session_id)
        async with self._db.tx(ctx.within(None)) as tx:
            await queries.add_browser(tx, me, browser, BROWSERS)
        return await self.push_key(ctx)

    async def renew(self, ctx: Context, wish: NewPushSubscription) -> None:
        """The browser is still there, maybe in another session. Raises NotFound when it is not one of the person's."""
        me = person(ctx)
        async with self._db.read(ctx.within(None)) as tx:
            known = any(b.endpoint == wish.endpoint for b in await queries.browsers(tx, me))
        if not known:
            raise NotFound
        await self.subscribe(ctx, wish)

    async def unsubscribe_browser(self, ctx: Context, wish: PushSubscriptionRef) -> None:
        """Raises NotFound for an endpoint that is not one of the person's."""
        me = person(ctx)
        async with self._db.tx(ctx.within(None)) as tx:
            if not await queries.drop_browser(tx, me, wish.endpoint):
                raise NotFound

    # --- leaving

    async def link(self, token: str) -> MailLink:
        """What a link ends, and whether it is ended. Raises LinkSpent. Nothing changes: programs that look at mails open every
        link."""
        leave = self._links.read(token)
        if isinstance(leave, LeaveAddress):
            async with self._db.read(service_context("notifications.unsubscribe")) as tx:
                return MailLink(None, await queries.is_unwanted(tx, leave.address), None)
        async with self._theirs(leave) as (tx, chosen):
            if await leaving.erased(tx, {leave.account_id}):
                return MailLink(leave.what, True, None)
            ended = comes_by_mail(chosen, leave.what)
        return await self._shown(leave, ended=not ended)

    async def leave(self, token: str) -> MailLink:
        """Ends, for the person whom the mail was sent to, what its link is about. Raises LinkSpent."""
        leave = self._links.read(token)
        if isinstance(leave, LeaveAddress):
            async with self._db.tx(service_context("notifications.unsubscribe")) as tx:
                await queries.refuse_mail(tx, leave.address, self._clock.now())
            return MailLink(None, True, None)
        async with self._theirs(leave) as (tx, chosen):
            if await leaving.erased(tx, {leave.account_id}):
                return MailLink(leave.what, True, None)  # whoever erased their account gets no mail of any kind
            await queries.choose(tx, leave.account_id, without_mail(chosen, leave.what), self._clock.now())
        return await self._shown(leave, ended=True)

    async def stay(self, token: str) -> MailLink:
        """Takes that back. Raises LinkSpent."""
        leave = self._links.read(token)
        if isinstance(leave, LeaveAddress):
            async with self._db.tx(service_context("notifications.unsubscribe")) as tx:
                await queries.take_mail(tx, leave.address)
            return MailLink(None, False, None)
        async with self._theirs(leave) as (tx, chosen):
            if await leaving.erased(tx, {leave.account_id}):
                return MailLink(leave.what, True, None)
            await queries.choose(tx, leave.account_id, with_mail(chosen, leave.what), self._clock.now())
        return await self._shown(leave, ended=False)

    @asynccontextmanager
    async def _theirs(self, leave: Leave) -> AsyncGenerator[tuple[Tx, Chosen], None]:
        async with self._db.tx(service_context("notifications.unsubscribe")) as tx:
            await tx.become(self._db.role, None, leave.account_id)
            row = await queries.chosen(tx, leave.account_id)
            yield tx, row.chosen if row else Chosen()

    async def _shown(self, leave: Leave, *, ended: bool) -> MailLink:
        locale = None
        with suppress(Unavailable):  # it is done all the same, and said in the browser's language
            [prefers] = await self._people.preferences(service_context("notifications.unsubscribe"), [leave.account_id])
            locale = prefers.locale
        return MailLink(leave.what, ended, locale)


def comes_by_mail(chosen: Chosen, what: Topic | Digest) -> bool:
    if isinstance(what, Digest):
        return chosen.digest is not Digest.NEVER
    return Channel.EMAIL in effective(chosen.channels)[what]


def without_mail(chosen: Chosen, what: Topic | Digest) -> Chosen:
    """Who wants no digest wants none of its mails one by one either."""
    if isinstance(what, Digest):
        return msgspec.structs.replace(chosen, digest=Digest.NEVER)
    rest = [c for c in effective(chosen.channels)[what] if c is not Channel.EMAIL]
    return msgspec.structs.replace(chosen, channels={**chosen.channels, what: rest})


def with_mail(chosen: Chosen, what: Topic | Digest) -> Chosen:
    """What was chosen otherwise since stays."""
    if comes_by_mail(chosen, what):
        return chosen
    if isinstance(what, Digest):
        return msgspec.structs.replace(chosen, digest=what)
    channels = sorted({*effective(chosen.channels)[what], Channel.EMAIL})
    return msgspec.structs.replace(chosen, channels={**chosen.channels, what: channels})


def effective(chosen: Mapping[Topic, list[Channel]]) -> dict[Topic, list[Channel]]:
    """Every topic with its channels; security with those that cannot be given up."""
    full = {topic: frozenset(chosen.get(topic, rules.DEFAULTS[topic])) for topic in Topic}
    full[Topic.SECURITY] |= rules.DEFAULTS[Topic.SECURITY]
    return {topic: [c for c in PERSONAL if c in picked] for topic, picked in full.items()}
