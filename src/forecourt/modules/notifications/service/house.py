"""What staff do: templates, providers, webhook endpoints, the delivery log; and what providers tell afterwards."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, TypeVar
from uuid import UUID, uuid5

import asyncpg
import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from forecourt.kernel.clock import Clock
from forecourt.kernel.context import Context, service_context
from forecourt.kernel.db import ModuleDatabase, constraint_of
from forecourt.kernel.egress import Egress
from forecourt.kernel.errors import Invalid, NotFound, PreconditionFailed, Unauthenticated
from forecourt.kernel.ids import new_id
from forecourt.kernel.jobs import enqueue
from forecourt.kernel.paging import Keyset, Page
from forecourt.kernel.web import formats
from forecourt.modules.notifications import rules, wording
from forecourt.modules.notifications.channels import gateways
from forecourt.modules.notifications.channels.webhooks import shown_key, signature
from forecourt.modules.notifications.contract import (
    NOBODYS,
    Channel,
    DeliveryStatus,
    NotReplayable,
    TemplateExists,
)
from forecourt.modules.notifications.jobs import DRAIN, Drain
from forecourt.modules.notifications.queries import choices, queue
from forecourt.modules.notifications.queries.choices import EndpointRow, ProviderRow, TemplateRow
from forecourt.modules.notifications.queries.queue import Content, Delivery
from forecourt.modules.notifications.reactions import WEBHOOK_PREFIXES
from forecourt.modules.notifications.rules import KINDS
from forecourt.modules.notifications.sealing import Vault
from forecourt.modules.notifications.service.telling import Telling, addresses
from forecourt.modules.notifications.wording import Surround, Words

SHIPPED_IDS = UUID("6f0c5b9e-9d39-4f6a-8a55-3a2f3c1f5d10")
"""Ids of shipped templates follow from event, channel and language under this name."""
DELIVERIES = Keyset("deliveries", tuple[datetime, UUID])
TEMPLATES = Keyset("templates", tuple[str, str, str])
MAX_PROVIDERS, MAX_ENDPOINTS = 50, 20
CALLBACK_AGE = timedelta(minutes=5)

T = TypeVar("T")

Event = Annotated[str, Meta(min_length=3, max_length=60, pattern=r"^[a-z_]+\.[a-z0-9_]+$")]
EventFilter = Annotated[str, Meta(min_length=1, max_length=60, pattern=r"^(\*|[a-z_]+\.(\*|[a-z_]+))$")]
LocaleName = Annotated[str, Meta(min_length=2, max_length=2, pattern=r"^(en|pt|ur)$")]
Subject = Annotated[str, Meta(max_length=500)]
Body = Annotated[str, Meta(min_length=1, max_length=20_000)]
HtmlBody = Annotated[str, Meta(min_length=1, max_length=60_000)]
Name = Annotated[str, Meta(min_length=1, max_length=60, pattern=r"^[^\x00-\x1f\x7f]+$")]
Place = Annotated[int, Meta(ge=0, le=100)]
Url = Annotated[str, Meta(min_length=8, max_length=2000)]


# --- what goes in and out ------------------------------------------------------------------------------------------------


class TemplateOut(Struct, frozen=True):
    """`shipped`: the house's own words, which change with the program; an organisation's template takes their place."""

    id: UUID
    event: str
    channel: Channel
    locale: str
    subject: str
    text: str
    html: str | None
    shipped: bool
    enabled: bool
    version: int
    names: list[str]
    """What the template may name, as `{{ person }}`."""


class NewTemplate(Struct, frozen=True, forbid_unknown_fields=True):
    event: Event
    channel: Channel
    locale: LocaleName
    subject: Subject
    text: Body
    html: HtmlBody | None = None


class TemplatePatch(Struct, frozen=True, forbid_unknown_fields=True):
    """What is left out stays; `html` null takes the text instead. Switched off, the house's words are used."""

    subject: Subject | UnsetType = UNSET
    text: Body | UnsetType = UNSET
    html: HtmlBody | UnsetType | None = UNSET
    enabled: bool | UnsetType = UNSET


class Draft(Struct, frozen=True, forbid_unknown_fields=True):
    """Words to try instead of the template's own."""

    subject: Subject | None = None
    text: Body | None = None
    html: HtmlBody | None = None


class Preview(Struct, frozen=True):
    subject: str
    text: str
    html: str


class ProviderOut(Struct, frozen=True):
    """`callback_url` takes signed callbacks; the address is never shown again."""

    id: UUID
    channel: Channel
    name: str
    scheme: str
    place: int
    enabled: bool
    callback_url: str
    created_at: datetime
    version: int


class NewProviderOut(Struct, frozen=True):
    provider: ProviderOut
    callback_key: str
    """What its callbacks are signed with. Shown this once."""


class NewProvider(Struct, frozen=True, forbid_unknown_fields=True):
    """`url`: an Apprise address in which `{to}` stands for the recipient; for mail `smtp[s]://user:password@host:port`."""

    channel: Channel
    name: Name
    url: Url
    place: Place = 0


class ProviderPatch(Struct, frozen=True, forbid_unknown_fields=True):
    name: Name | UnsetType = UNSET
    url: Url | UnsetType = UNSET
    place: Place | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET


class EndpointOut(Struct, frozen=True):
    id: UUID
    url: str
    events: list[str]
    enabled: bool
    created_at: datetime


class NewEndpointOut(Struct, frozen=True):
    endpoint: EndpointOut
    signing_key: str
    """`whsec_…`, as standardwebhooks.com says. Shown this once."""


class NewEndpoint(Struct, frozen=True, forbid_unknown_fields=True):
    """`events`: names such as `booking.confirmed`, `booking.*`, or `*`."""

    url: Url
    events: Annotated[list[EventFilter], Meta(min_length=1, max_length=50)]


class DeliveryOut(Struct, frozen=True):
    """A message on its way. `recipient` is masked. `erased`: its reader's account is; that it was sent is all that is known."""

    id: UUID
    kind: str
    topic: str
    channel: Channel
    recipient: str
    account_id: UUID | None
    locale: str
    status: DeliveryStatus
    tries: int
    provider: str
    error: str
    subject: str
    created_at: datetime
    sent_at: datetime | None
    changed_at: datetime
    erased: bool = False


class AttemptOut(Struct, frozen=True):
    at: datetime
    provider: str
    taken: bool
    error: str


class DeliveryDetail(Struct, frozen=True):
    delivery: DeliveryOut
    text: str
    attempts: list[AttemptOut]


class Callback(Struct, frozen=True):
    """What a provider tells of a message. `delivery_id` is the id in a mail's Message-ID and in a webhook's `webhook-id`."""

    delivery_id: UUID
    status: Annotated[str, Meta(max_length=20, pattern=r"^(delivered|opened|failed)$")]
    error: Annotated[str, Meta(max_length=200)] = ""


class Signed(Struct, frozen=True):
    """A callback's headers and bytes, as they were signed."""

    id: str
    timestamp: str
    signature: str
    body: bytes


class BadSignature(Unauthenticated):
    code = "bad_signature"
    title = "This callback is not signed as agreed, or too old"


class HouseService:
    def __init__(self, db: ModuleDatabase, clock: Clock, vault: Vault, out: Egress, telling: Telling, public_url: str) -> None:
        self._db = db
        self._clock = clock
        self._vault = vault
        self._egress = out
        self._telling = telling
        self._url = public_url

    # --- templates

    async def templates(
        self, ctx: Context, event: str | None, channel: Channel | None, locale: str | None, limit: int, cursor: str | None
    ) -> Page[TemplateOut]:
        """Every template by event, channel and language: the organisation's where it has one, else the house's."""
        after = TEMPLATES.decode(cursor)
        own = {(t.event, t.channel, t.locale): t for t in await self._own_templates(ctx)}
        keys = sorted(
            (e, c, lang)
            for e, kind in KINDS.items()
            for c in kind.channels
            for lang in wording.LOCALES
            if event in (None, e) and channel in (None, c) and locale in (None, lang)
        )
        rest = [k for k in keys if after is None or (k[0], k[1].value, k[2]) > after]
        found = [self._shown(own[k]) if k in own else shipped_template(*k) for k in rest[: limit + 1]]
        return TEMPLATES.page(found, limit, lambda t: (t.event, t.channel.value, t.locale))

    async def template(self, ctx: Context, id: UUID) -> TemplateOut:
        """One's own or a shipped one. Raises NotFound."""
        for row in await self._own_templates(ctx):
            if row.id == id:
                return self._shown(row)
        return shipped_by_id(id)

    async def _own_templates(self, ctx: Context) -> list[TemplateRow]:
        async with self._db.read(ctx) as tx:
            return await choices.templates(tx, organisation(ctx))

    async def add_template(self, ctx: Context, wish: NewTemplate) -> TemplateOut:
        """Raises TemplateInvalid, TemplateExists, Invalid for an event or channel without words."""
        kind = KINDS.get(wish.event)
        if kind is None:
            raise Invalid.field("event", f"must be one of {', '.join(KINDS)}")
        if wish.channel not in kind.channels:
            raise Invalid.field("channel", f"{wish.event} goes by {', '.join(c.value for c in kind.channels)}")
        if wish.html is not None and wish.channel is not Channel.EMAIL:
            raise Invalid.field("html", "is for mails")
        wording.check(Words(wish.subject, wish.text, wish.html), wording.SAMPLES[wish.event])
        row = TemplateRow(
            new_id(), wish.event, wish.channel, wish.locale, True, 1, wish.subject, wish.text, wish.html, self._clock.now()
        )
        try:
            async with self._db.tx(ctx) as tx:
                await choices.add_template(tx, organisation(ctx), row, ctx.account_id)
        except asyncpg.UniqueViolationError as e:
            if constraint_of(e) == "template_once":
                raise TemplateExists from None
            raise
        return self._shown(row)

    async def edit_template(self, ctx: Context, id: UUID, patch: TemplatePatch, if_match: int | None) -> TemplateOut:
        """A new version. Raises TemplateInvalid, PreconditionFailed, NotFound (shipped ones are changed by adding one's own)."""
        async with self._db.tx(ctx) as tx:
            before = await choices.template(tx, organisation(ctx), id)
            if if_match is not None and if_match != before.version:
                raise PreconditionFailed
            row = msgspec.structs.replace(
                before,
                version=before.version + 1,
                subject=kept(patch.subject, before.subject),
                body=kept(patch.text, before.body),
                html=kept(patch.html, before.html),
                enabled=kept(patch.enabled, before.enabled),
                created_at=self._clock.now(),
            )
            if row.html is not None and row.channel is not Channel.EMAIL:
                raise Invalid.field("html", "is for mails")
            wording.check(Words(row.subject, row.body, row.html), wording.SAMPLES[row.event])
            await choices.edit_template(tx, organisation(ctx), row, ctx.account_id)
        return self._shown(row)

    async def preview(self, ctx: Context, id: UUID, draft: Draft) -> Preview:
        """The template, or a draft of it, with sample values. Raises TemplateInvalid, NotFound."""
        template = await self.template(ctx, id)
        content = await self._sample(template, draft)
        return Preview(content.subject, content.text, content.html)

    async def _sample(self, template: TemplateOut, draft: Draft) -> Content:
        words = Words(
            template.subject if draft.subject is None else draft.subject,
            draft.text or template.text,
            draft.html or (template.html if draft.text is None else None),
        )
        values = wording.SAMPLES[template.event]
        around = Surround(template.locale, values["organisation"], values["link"], f"{self._url}/v1/unsubscribe/…")
        return wording.compose(template.channel, words, values, around)

    async def test(self, ctx: Context, id: UUID, draft: Draft) -> DeliveryOut:
        """Sends it, with sample values, to the person who asks. Raises Invalid when the channel has no address of theirs."""
        if ctx.account_id is None:
            raise Unauthenticated("a test goes to the person who asks: sign in")
        template = await self.template(ctx, id)
        content = await self._sample(template, draft)
        reader = (await self._telling.readers(service_context("notifications", ctx.organisation_id), [ctx.account_id])).get(
            ctx.account_id
        )
        found = addresses(template.channel, reader) if reader is not None else []
        if not found:
            raise Invalid.field("id", f"you have no address for {template.channel.value}")
        now, org = self._clock.now(), organisation(ctx)
        delivery = Delivery(
            org,
            new_id(),
            None,
            ctx.account_id,
            template.event,
            KINDS[template.event].topic.value,
            template.channel,
            found[0],
            template.locale,
            content,
            DeliveryStatus.QUEUED,
            0,
            "",
            "",
            now,
            None,
            now,
        )
        async with self._db.tx(ctx) as tx:
            await queue.insert_deliveries(tx, org, [delivery], now)
            await queue.queue(tx, org, "delivery", {delivery.id: now})
            enqueue(tx, DRAIN, Drain())
        return shown_delivery(delivery)

    @staticmethod
    def _shown(row: TemplateRow) -> TemplateOut:
        names = sorted(wording.SAMPLES[row.event])
        return TemplateOut(
            row.id, row.event, row.channel, row.locale, row.subject, row.body, row.html, False, row.enabled, row.version, names
        )

    # --- providers

    async def providers(self, ctx: Context) -> list[ProviderOut]:
        """By channel, in the order in which they are tried."""
        async with self._db.read(ctx) as tx:
            rows = await choices.providers(tx, organisation(ctx))
        return [self._provider(ctx, row) for row in rows]

    async def add_provider(self, ctx: Context, wish: NewProvider) -> NewProviderOut:
        """Raises Invalid for an address that the channel cannot use."""
        org, id, key = organisation(ctx), new_id(), secrets.token_bytes(32)
        scheme = self._scheme(wish.channel, wish.url)
        row = ProviderRow(
            id,
            wish.channel,
            wish.name,
            wish.place,
            True,
            self._vault.seal(wish.url.encode(), id),
            self._vault.seal(key, id),
            scheme,
            1,
            self._clock.now(),
        )
        async with self._db.tx(ctx) as tx:
            if len(await choices.providers(tx, org)) >= MAX_PROVIDERS:
                raise Invalid(f"at most {MAX_PROVIDERS} providers")
            await choices.add_provider(tx, org, row)
        return NewProviderOut(self._provider(ctx, row), shown_key(key))

    async def edit_provider(self, ctx: Context, id: UUID, patch: ProviderPatch, if_match: int | None) -> ProviderOut:
        """Raises Invalid, NotFound, PreconditionFailed."""
        async with self._db.tx(ctx) as tx:
            before = await choices.provider(tx, organisation(ctx), id)
            if if_match is not None and if_match != before.version:
                raise PreconditionFailed
            row = msgspec.structs.replace(
                before,
                name=kept(patch.name, before.name),
                place=kept(patch.place, before.place),
                enabled=kept(patch.enabled, before.enabled),
            )
            if not isinstance(patch.url, UnsetType):
                scheme = self._scheme(before.channel, patch.url)
                row = msgspec.structs.replace(row, scheme=scheme, sealed_url=self._vault.seal(patch.url.encode(), id))
            if not await choices.edit_provider(tx, organisation(ctx), row):
                raise PreconditionFailed
        return self._provider(ctx, msgspec.structs.replace(row, version=before.version + 1))

    async def drop_provider(self, ctx: Context, id: UUID) -> None:
        """Raises NotFound."""
        async with self._db.tx(ctx) as tx:
            if not await choices.drop_provider(tx, organisation(ctx), id):
                raise NotFound

    def _scheme(self, channel: Channel, url: str) -> str:
        """Raises Invalid at `channel` or `url`."""
        if channel is Channel.EMAIL:
            scheme, _, rest = url.partition("://")
            if scheme not in ("smtp", "smtps"):
                raise Invalid.field("url", "must be smtp[s]://user:password@host:port")
            self._egress.check("https://" + rest.rpartition("@")[2])
            return scheme
        if channel not in gateways.ALLOWED:
            raise Invalid.field("channel", "must be email, sms, whatsapp or push")
        return gateways.check(channel, url)

    def _provider(self, ctx: Context, row: ProviderRow) -> ProviderOut:
        callback = f"{self._url}/v1/notifications/callbacks/{organisation(ctx)}.{row.id}"
        return ProviderOut(
            row.id, row.channel, row.name, row.scheme, row.place, row.enabled, callback, row.created_at, row.version
        )

    # --- webhook endpoints

    async def endpoints(self, ctx: Context) -> list[EndpointOut]:
        async with self._db.read(ctx) as tx:
            rows = await choices.endpoints(tx, organisation(ctx))
        return [EndpointOut(r.id, r.url, r.events, r.enabled, r.created_at) for r in rows]

    async def add_endpoint(self, ctx: Context, wish: NewEndpoint) -> NewEndpointOut:
        """Raises AddressRefused for an address of this house or a private network, Invalid for events that are not sent."""
        org, id, key = organisation(ctx), new_id(), secrets.token_bytes(32)
        self._egress.check(wish.url)
        for n, event in enumerate(wish.events):
            if event != "*" and not event.startswith(WEBHOOK_PREFIXES):
                raise Invalid.field(f"events[{n}]", f"must be * or begin with one of {', '.join(WEBHOOK_PREFIXES)}")
        row = EndpointRow(id, wish.url, sorted(set(wish.events)), self._vault.seal(key, id), True, self._clock.now())
        async with self._db.tx(ctx) as tx:
            if len(await choices.endpoints(tx, org)) >= MAX_ENDPOINTS:
                raise Invalid(f"at most {MAX_ENDPOINTS} endpoints")
            await choices.add_endpoint(tx, org, row)
        out = EndpointOut(row.id, row.url, row.events, row.enabled, row.created_at)
        return NewEndpointOut(out, shown_key(key))

    async def drop_endpoint(self, ctx: Context, id: UUID) -> None:
        """Raises NotFound."""
        async with self._db.tx(ctx) as tx:
            if not await choices.drop_endpoint(tx, organisation(ctx), id):
                raise NotFound

    # --- deliveries

    async def deliveries(
        self, ctx: Context, status: DeliveryStatus | None, channel: Channel | None, limit: int, cursor: str | None
    ) -> Page[DeliveryOut]:
        """The newest first."""
        async with self._db.read(ctx) as tx:
            rows = await queue.log(tx, organisation(ctx), status, channel, DELIVERIES.decode(cursor), limit + 1)
        return DELIVERIES.page(rows, limit, lambda d: (d.created_at, d.id)).map(shown_delivery)

    async def counts(self, ctx: Context, since: datetime) -> dict[DeliveryStatus, int]:
        async with self._db.read(ctx) as tx:
            return await queue.counts(tx, organisation(ctx), since)

    async def delivery(self, ctx: Context, id: UUID) -> DeliveryDetail:
        """With what was tried, the latest first. Raises NotFound."""
        async with self._db.tx(ctx) as tx:
            row = await queue.one(tx, organisation(ctx), id)
            tried = await queue.attempts(tx, organisation(ctx), id)
        attempts = [AttemptOut(a.at, a.provider, a.taken, a.error) for a in tried]
        return DeliveryDetail(shown_delivery(row), row.content.text or row.content.body, attempts)

    async def replayable(self, ctx: Context, shown: Sequence[DeliveryOut]) -> set[UUID]:
        """Which of these can be sent again: those that failed, while it is kept what they said."""
        failed = [d.id for d in shown if d.status is DeliveryStatus.FAILED]
        if not failed:
            return set()
        async with self._db.read(ctx) as tx:
            return set(await queue.replayable(tx, organisation(ctx), failed))

    async def replay(self, ctx: Context, id: UUID) -> DeliveryOut:
        """Sends a dead letter again, with all its tries. Raises NotFound; NotReplayable for what did not fail, and for what is
        no longer kept."""
        now, org = self._clock.now(), organisation(ctx)
        async with self._db.tx(ctx) as tx:
            before = await queue.one(tx, org, id)
            if before.status is not DeliveryStatus.FAILED:
                raise NotReplayable("only what failed can be sent again")
            if not await queue.revive(tx, org, id, now):
                raise NotReplayable("what it said is no longer kept")
            await queue.queue(tx, org, "delivery", {id: now})
            enqueue(tx, DRAIN, Drain())
            row = await queue.one(tx, org, id)
        return shown_delivery(row)

    # --- callbacks

    async def hear(self, provider: str, signed: Signed, said: Callback) -> None:
        """Notes what a provider says, once. Raises BadSignature, NotFound for a provider or a message that is not there."""
        org, provider_id = placed(provider)
        ctx = service_context("notifications.callback", org)
        async with self._db.read(ctx) as tx:
            row = await choices.provider(tx, org, provider_id)
        key = self._vault.unseal(row.sealed_callback_key, row.id)
        now = self._clock.now()
        if key is None or not verified(key, signed, now):
            raise BadSignature
        status = DeliveryStatus(said.status)
        async with self._db.tx(ctx) as tx:
            delivery = await queue.one(tx, org, said.delivery_id)
            if delivery.channel is not row.channel:
                raise NotFound
            if await queue.heard(tx, org, provider_id, signed.id, delivery.id, status, now):
                after = rules.heard(delivery.status, status)
                if after is not delivery.status:
                    await queue.say(tx, org, delivery.id, after, now, said.error if after is DeliveryStatus.FAILED else "")


def organisation(ctx: Context) -> UUID:
    """Raises NotFound when the request is about none."""
    if ctx.organisation_id is None or ctx.organisation_id == NOBODYS:
        raise NotFound
    return ctx.organisation_id


def kept(new: T | UnsetType, before: T) -> T:
    return before if isinstance(new, UnsetType) else new


def shipped_template(event: str, channel: Channel, locale: str) -> TemplateOut:
    words = wording.shipped(event, channel, locale)
    id = uuid5(SHIPPED_IDS, f"{event} {channel.value} {locale}")
    names = sorted(wording.SAMPLES[event])
    return TemplateOut(id, event, channel, locale, words.subject, words.body, words.html, True, True, 0, names)


def shipped_by_id(id: UUID) -> TemplateOut:
    """Raises NotFound."""
    for event, kind in KINDS.items():
        for channel in kind.channels:
            for locale in wording.LOCALES:
                if uuid5(SHIPPED_IDS, f"{event} {channel.value} {locale}") == id:
                    return shipped_template(event, channel, locale)
    raise NotFound


def shown_delivery(d: Delivery) -> DeliveryOut:
    return DeliveryOut(
        d.id,
        d.kind,
        d.topic,
        d.channel,
        _to(d),
        d.account_id,
        d.locale,
        d.status,
        d.tries,
        d.provider,
        d.error,
        d.content.subject,
        d.created_at,
        d.sent_at,
        d.changed_at,
        d.erased,
    )


def _to(d: Delivery) -> str:
    if d.erased:
        return formats.deleted_account("en")
    return "…" if d.recipient == str(d.id) else rules.masked(d.channel, d.recipient)  # a year later it is nobody's


def placed(provider: str) -> tuple[UUID, UUID]:
    """Organisation and provider of a callback's address. Raises NotFound."""
    org, _, id = provider.partition(".")
    try:
        return UUID(org), UUID(id)
    except ValueError:
        raise NotFound from None


def verified(key: bytes, signed: Signed, now: datetime) -> bool:
    """Whether one of the signatures is right and the time is near."""
    if not signed.timestamp.isascii() or not signed.timestamp.isdigit() or len(signed.timestamp) > 11 or not signed.id:
        return False
    at = datetime.fromtimestamp(int(signed.timestamp), UTC)
    if abs(now - at) > CALLBACK_AGE:
        return False
    right = signature(key, signed.id, int(signed.timestamp), signed.body).encode()
    return any(hmac.compare_digest(right, given.encode()) for given in signed.signature.split(" ")[:5])
