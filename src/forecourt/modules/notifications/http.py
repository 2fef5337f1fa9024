"""The HTTP surface: the person's inbox and choices, the organisation's side, callbacks, and the development outbox."""

from __future__ import annotations

import re
from typing import Annotated, cast
from uuid import UUID

from msgspec import UNSET, Meta, Struct, UnsetType

from forecourt.kernel.context import Context
from forecourt.kernel.errors import AddressRefused, Invalid
from forecourt.kernel.http.dispatch import preferred_language
from forecourt.kernel.http.operation import PUBLIC, Api, By, Html, Limit, Request, delete, get, patch, post, put, staff
from forecourt.kernel.paging import Page, Paged
from forecourt.kernel.web.surroundings import Surroundings
from forecourt.modules.notifications import wording
from forecourt.modules.notifications.contract import (
    Channel,
    DeliveryStatus,
    Digest,
    LinkSpent,
    Notification,
    NotReplayable,
    TemplateExists,
    TemplateInvalid,
    Topic,
)
from forecourt.modules.notifications.queries.outbox import OutboxRow
from forecourt.modules.notifications.service.choices import (
    ChoicesService,
    MailLink,
    NewPushSubscription,
    NotificationPreferences,
    PushKeyOut,
    PushSubscriptionRef,
)
from forecourt.modules.notifications.service.house import (
    BadSignature,
    Callback,
    DeliveryDetail,
    DeliveryOut,
    Draft,
    EndpointOut,
    Event,
    HouseService,
    LocaleName,
    NewEndpoint,
    NewEndpointOut,
    NewProvider,
    NewProviderOut,
    NewTemplate,
    Preview,
    ProviderOut,
    ProviderPatch,
    Signed,
    TemplateOut,
    TemplatePatch,
)
from forecourt.modules.notifications.service.inbox import MAX_AT_ONCE, InboxService, InboxStatistics
from forecourt.modules.notifications.service.outbox import NotificationsService


class OutboxQuery(Paged, forbid_unknown_fields=True, kw_only=True):
    to: Annotated[str, Meta(max_length=254, description="Only mails to this address")] | None = None


class Piece(Struct, frozen=True):
    """A stretch of a mail's text; `href` when it is an address to follow."""

    text: str
    href: str = ""


class Shown(Struct, frozen=True):
    row: OutboxRow
    pieces: list[Piece]


_LINK = re.compile(r"(https?://[^\s<>]+)")


def _parts(text: str) -> list[Piece]:
    """The text with its addresses told apart."""
    return [Piece(part, part if i % 2 else "") for i, part in enumerate(_LINK.split(text)) if part]


class OutboxApi(Api):
    tag = "Development"

    def __init__(self, service: NotificationsService, pages: Surroundings) -> None:
        self._service = service
        self._pages = pages

    @get("/dev/outbox", access=PUBLIC)
    async def outbox(self, ctx: Context, request: Request, query: OutboxQuery) -> Page[OutboxRow]:
        """Mails that were sent, newest first. A browser gets a page."""
        found = await self._service.outbox(ctx, query.to, query.limit, query.cursor)
        if "text/html" not in request.header("accept"):
            return found
        return self._page(found, query)  # type: ignore[return-value]  # the document describes the JSON

    def _page(self, found: Page[OutboxRow], query: OutboxQuery) -> Html:
        mails = [Shown(row, _parts(row.text)) for row in found.items]
        return self._pages.plain("notifications/outbox.html", mails=mails, query=query, next_cursor=found.next_cursor)


# --- the person's own ----------------------------------------------------------------------------------------------------


class InboxQuery(Paged, forbid_unknown_fields=True, kw_only=True):
    archived: bool = False
    unread: bool = False
    """Only what is not read yet."""
    topic: Topic | None = None


class MarkRead(Struct, frozen=True, forbid_unknown_fields=True):
    """Some by id, or all; one of the two."""

    ids: Annotated[list[UUID], Meta(max_length=MAX_AT_ONCE)] | None = None
    all: bool = False


class Unread(Struct, frozen=True):
    unread: int
    """At most 1,000."""


class NotificationPatch(Struct, frozen=True, forbid_unknown_fields=True):
    read: bool | UnsetType = UNSET
    archived: bool | UnsetType = UNSET


class NotificationsApi(Api):
    tag = "Notifications"

    def __init__(self, inbox: InboxService, choices: ChoicesService, house: HouseService, pages: Surroundings) -> None:
        self._inbox = inbox
        self._choices = choices
        self._house = house
        self._pages = pages

    @get("/v1/notifications")
    async def inbox(self, ctx: Context, query: InboxQuery) -> Page[Notification]:
        """What the house told the person, newest first."""
        return await self._inbox.mine(
            ctx, archived=query.archived, topic=query.topic, unread_only=query.unread, limit=query.limit, cursor=query.cursor
        )

    @get("/v1/notifications/statistics")
    async def statistics(self, ctx: Context) -> InboxStatistics:
        """How much came in 30 days, by topic, and how much is unread."""
        return await self._inbox.statistics(ctx)

    @post("/v1/notifications/read")
    async def read(self, ctx: Context, body: MarkRead) -> Unread:
        """Marks some or all as read; returns how many are not."""
        if body.all == (body.ids is not None):
            raise Invalid.field("ids", "give ids, or all")
        unread = await (self._inbox.read_all(ctx) if body.ids is None else self._inbox.read(ctx, body.ids))
        return Unread(unread)

    @patch("/v1/notifications/{id}")
    async def edit(self, ctx: Context, id: UUID, body: NotificationPatch) -> Notification:
        """Marks one as read or unread, puts it away or takes it back."""
        if isinstance(body.read, UnsetType) and isinstance(body.archived, UnsetType):
            raise Invalid.field("read", "say what is to change: read or archived")
        changed: Notification | None = None
        if not isinstance(body.archived, UnsetType):
            changed = await (self._inbox.archive(ctx, id) if body.archived else self._inbox.unarchive(ctx, id))
        if not isinstance(body.read, UnsetType):
            changed = await (self._inbox.read_one(ctx, id) if body.read else self._inbox.unread_again(ctx, id))
        return cast("Notification", changed)

    @delete("/v1/notifications/{id}")
    async def dismiss(self, ctx: Context, id: UUID) -> None:
        """Removes one for good."""
        await self._inbox.dismiss(ctx, id)

    @get("/v1/me/notification-preferences")
    async def preferences(self, ctx: Context) -> NotificationPreferences:
        """Which channels carry which topics, quiet hours and digest."""
        return await self._choices.mine(ctx)

    @put("/v1/me/notification-preferences")
    async def prefer(self, ctx: Context, body: NotificationPreferences) -> NotificationPreferences:
        """Replaces them."""
        return await self._choices.prefer(ctx, body)

    @get("/v1/me/push-subscriptions")
    async def push_key(self, ctx: Context) -> PushKeyOut:
        """The key that browsers subscribe to pushes with."""
        return await self._choices.push_key(ctx)

    @post("/v1/me/push-subscriptions", status=201, problems=(AddressRefused,))
    async def subscribe(self, ctx: Context, body: NewPushSubscription) -> PushKeyOut:
        """Sends pushes to a browser from now on."""
        return await self._choices.subscribe(ctx, body)

    @delete("/v1/me/push-subscriptions")
    async def unsubscribe_browser(self, ctx: Context, body: PushSubscriptionRef) -> None:
        """Sends no more pushes to a browser."""
        await self._choices.unsubscribe_browser(ctx, body)

    @get("/v1/unsubscribe/{token}", access=PUBLIC, problems=(LinkSpent,), content_type="text/html")
    async def ask_to_leave(self, ctx: Context, request: Request, token: str) -> Html:
        """Asks whether mails of the link's topic, digests, or all to an address without an account shall end, or says that they
        have. It changes nothing."""
        return self._leaving(request, token, await self._choices.link(token), asked=False)

    @post("/v1/unsubscribe/{token}", access=PUBLIC, problems=(LinkSpent,), content_type="text/html")
    async def leave(self, ctx: Context, request: Request, token: str) -> Html:
        """Ends mails of the link's topic, digests, or all to an address without an account (RFC 8058, one click)."""
        return self._leaving(request, token, await self._choices.leave(token), asked=True)

    @post("/v1/unsubscribe/{token}/undo", access=PUBLIC, problems=(LinkSpent,), content_type="text/html")
    async def stay(self, ctx: Context, request: Request, token: str) -> Html:
        """Takes back what an unsubscribe link has ended."""
        return self._leaving(request, token, await self._choices.stay(token), asked=True)

    def _leaving(self, request: Request, token: str, link: MailLink, *, asked: bool) -> Html:
        """In the language of the mail's reader; of one who never chose, in the browser's."""
        language = wording.locale_for(link.locale, preferred_language(request.header("accept-language")))
        about = "address" if link.what is None else "digest" if isinstance(link.what, Digest) else "topic"
        return self._pages.plain(
            "notifications/unsubscribe.html",
            language=language,
            token=token,
            what="" if link.what is None else link.what.value,
            about=about,
            ended=link.ended,
            back=asked and not link.ended,
        )

    @post("/v1/notifications/callbacks/{provider}", access=PUBLIC, status=204, problems=(BadSignature,))
    async def hear(self, ctx: Context, request: Request, provider: str, body: Callback) -> None:
        """What a provider tells of a message, signed as standardwebhooks.com says."""
        signed = Signed(
            request.header("webhook-id")[:200],
            request.header("webhook-timestamp"),
            request.header("webhook-signature"),
            request.body,
        )
        await self._house.hear(provider, signed, body)


# --- the organisation's --------------------------------------------------------------------------------------------------

MANAGE = staff("notifications.manage")
HOOKS = staff("webhooks.manage")


class TemplatesQuery(Paged, forbid_unknown_fields=True, kw_only=True):
    event: Event | None = None
    channel: Channel | None = None
    locale: LocaleName | None = None


class DeliveriesQuery(Paged, forbid_unknown_fields=True, kw_only=True):
    status: DeliveryStatus | None = None
    channel: Channel | None = None


class Providers(Struct, frozen=True):
    items: list[ProviderOut]


class Endpoints(Struct, frozen=True):
    items: list[EndpointOut]


class HouseApi(Api):
    tag = "Notifications of an organisation"

    def __init__(self, house: HouseService) -> None:
        self._house = house

    @get("/v1/orgs/{org_id}/templates", access=MANAGE)
    async def templates(self, ctx: Context, org_id: UUID, query: TemplatesQuery) -> Page[TemplateOut]:
        """Every template: the organisation's where it has one, else the one that ships."""
        return await self._house.templates(ctx, query.event, query.channel, query.locale, query.limit, query.cursor)

    @post("/v1/orgs/{org_id}/templates", access=MANAGE, status=201, problems=(TemplateInvalid, TemplateExists))
    async def add_template(self, ctx: Context, org_id: UUID, body: NewTemplate) -> TemplateOut:
        """Puts the organisation's own words in place of the shipped ones."""
        return await self._house.add_template(ctx, body)

    @patch("/v1/orgs/{org_id}/templates/{id}", access=MANAGE, problems=(TemplateInvalid,))
    async def edit_template(self, ctx: Context, org_id: UUID, id: UUID, body: TemplatePatch, if_match: int | None) -> TemplateOut:
        """A new version of it; every version is kept."""
        return await self._house.edit_template(ctx, id, body, if_match)

    @post("/v1/orgs/{org_id}/templates/{id}/preview", access=MANAGE, problems=(TemplateInvalid,))
    async def preview(self, ctx: Context, org_id: UUID, id: UUID, body: Draft) -> Preview:
        """The template, or a draft of it, with sample values."""
        return await self._house.preview(ctx, id, body)

    @post(
        "/v1/orgs/{org_id}/templates/{id}/test",
        access=MANAGE,
        status=202,
        problems=(TemplateInvalid,),
        limits=(Limit("30/hour", By.ACCOUNT),),
    )
    async def test(self, ctx: Context, org_id: UUID, id: UUID, body: Draft) -> DeliveryOut:
        """Sends it with sample values to the person who asks."""
        return await self._house.test(ctx, id, body)

    @get("/v1/orgs/{org_id}/deliveries", access=MANAGE)
    async def deliveries(self, ctx: Context, org_id: UUID, query: DeliveriesQuery) -> Page[DeliveryOut]:
        """What was sent, newest first."""
        return await self._house.deliveries(ctx, query.status, query.channel, query.limit, query.cursor)

    @get("/v1/orgs/{org_id}/deliveries/{id}", access=MANAGE)
    async def delivery(self, ctx: Context, org_id: UUID, id: UUID) -> DeliveryDetail:
        """One message with every try."""
        return await self._house.delivery(ctx, id)

    @post("/v1/orgs/{org_id}/deliveries/{id}/replay", access=MANAGE, status=202, problems=(NotReplayable,))
    async def replay(self, ctx: Context, org_id: UUID, id: UUID) -> DeliveryOut:
        """Sends a failed message again."""
        return await self._house.replay(ctx, id)

    @get("/v1/orgs/{org_id}/notification-providers", access=MANAGE)
    async def providers(self, ctx: Context, org_id: UUID) -> Providers:
        """The organisation's gateways, in the order in which they are tried. Addresses are never shown."""
        return Providers(await self._house.providers(ctx))

    @post("/v1/orgs/{org_id}/notification-providers", access=MANAGE, status=201, problems=(AddressRefused,))
    async def add_provider(self, ctx: Context, org_id: UUID, body: NewProvider) -> NewProviderOut:
        """Adds a gateway; its address is sealed."""
        return await self._house.add_provider(ctx, body)

    @patch("/v1/orgs/{org_id}/notification-providers/{id}", access=MANAGE, problems=(AddressRefused,))
    async def edit_provider(self, ctx: Context, org_id: UUID, id: UUID, body: ProviderPatch, if_match: int | None) -> ProviderOut:
        """Changes its name, place or address, or switches it off."""
        return await self._house.edit_provider(ctx, id, body, if_match)

    @delete("/v1/orgs/{org_id}/notification-providers/{id}", access=MANAGE)
    async def drop_provider(self, ctx: Context, org_id: UUID, id: UUID) -> None:
        """Removes a gateway."""
        await self._house.drop_provider(ctx, id)

    @get("/v1/orgs/{org_id}/webhook-endpoints", access=HOOKS)
    async def endpoints(self, ctx: Context, org_id: UUID) -> Endpoints:
        """Where the organisation's events are sent."""
        return Endpoints(await self._house.endpoints(ctx))

    @post("/v1/orgs/{org_id}/webhook-endpoints", access=HOOKS, status=201, problems=(AddressRefused,))
    async def add_endpoint(self, ctx: Context, org_id: UUID, body: NewEndpoint) -> NewEndpointOut:
        """Sends events to an address from now on, signed with the key in the answer."""
        return await self._house.add_endpoint(ctx, body)

    @delete("/v1/orgs/{org_id}/webhook-endpoints/{id}", access=HOOKS)
    async def drop_endpoint(self, ctx: Context, org_id: UUID, id: UUID) -> None:
        """Sends nothing there any more."""
        await self._house.drop_endpoint(ctx, id)
