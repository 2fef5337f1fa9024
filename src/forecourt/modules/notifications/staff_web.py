"""The console's pages about messages: what was sent, in which words, and through whom."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from forecourt.kernel.clock import Clock
from forecourt.kernel.errors import Problem
from forecourt.kernel.http.operation import Api, Html, Redirect, Visit, action, page, staff
from forecourt.kernel.paging import Paged
from forecourt.kernel.web import formats
from forecourt.kernel.web.addresses import with_query
from forecourt.kernel.web.forms import NO_FAULTS, Faults, read
from forecourt.kernel.web.render import OrgNav
from forecourt.kernel.web.surroundings import Surroundings, staff_bar
from forecourt.kernel.web.views import Choice
from forecourt.modules.notifications import wording
from forecourt.modules.notifications.contract import Channel, DeliveryStatus
from forecourt.modules.notifications.rules import KINDS, TRIES
from forecourt.modules.notifications.service.choices import PERSONAL
from forecourt.modules.notifications.service.house import (
    Draft,
    HouseService,
    NewEndpoint,
    NewProvider,
    NewTemplate,
    Preview,
    TemplateOut,
    TemplatePatch,
    shipped_template,
)
from forecourt.modules.venues.contract import Venues

MANAGE = staff("notifications.manage")
SHOWN = 50
COUNTED = timedelta(days=7)
LANGUAGES = {"en": "English", "pt": "Português", "ur": "اردو"}
STATES = {
    DeliveryStatus.QUEUED: "hold",
    DeliveryStatus.SENT: "upcoming",
    DeliveryStatus.DELIVERED: "upcoming",
    DeliveryStatus.OPENED: "completed",
    DeliveryStatus.FAILED: "no_show",
}
TABS = {
    "deliveries": "console.messages.sent",
    "templates": "console.messages.words",
    "providers": "console.messages.providers",
}
Typed = Annotated[str, Meta(max_length=2000)]


class LogQuery(Paged, kw_only=True):
    status: DeliveryStatus | None = None
    channel: Channel | None = None


class WordsQuery(msgspec.Struct, forbid_unknown_fields=True):
    event: Annotated[str, Meta(max_length=60)] = "booking.confirmed"
    channel: Channel = Channel.EMAIL
    locale: Annotated[str, Meta(max_length=2)] = "en"


class WordsForm(msgspec.Struct, forbid_unknown_fields=True):
    event: Annotated[str, Meta(max_length=60)]
    channel: Channel
    locale: Annotated[str, Meta(max_length=2)]
    subject: Annotated[str, Meta(max_length=500)] = ""
    text: Annotated[str, Meta(max_length=20_000)] = ""
    do: Annotated[str, Meta(max_length=10)] = "save"


class ProviderForm(msgspec.Struct, forbid_unknown_fields=True):
    channel: Typed = "sms"
    name: Typed = ""
    url: Typed = ""
    place: Annotated[int, Meta(ge=0, le=100)] = 0


class EndpointForm(msgspec.Struct, forbid_unknown_fields=True):
    url: Typed = ""
    events: Typed = "*"


class Once(msgspec.Struct, frozen=True):
    """A key that is shown this one time."""

    what: str
    key: str


class MessagePages(Api):
    tag = "Console"

    def __init__(self, house: HouseService, venues: Venues, pages: Surroundings, clock: Clock) -> None:
        self._house = house
        self._venues = venues
        self._pages = pages
        self._clock = clock

    async def _org(self, visit: Visit, org_id: UUID) -> tuple[OrgNav, str]:
        organisation = await self._venues.organisation(visit.ctx, org_id)
        return staff_bar(organisation, visit.ctx), organisation.timezone

    def _say(self, visit: Visit, key: str, /, **values: object) -> str:
        return self._pages.text(visit, key, **values)

    def _kinds(self, visit: Visit) -> dict[str, str]:
        """What each kind of message is called; a webhook's are events, which keep their names."""
        return {name: self._say(visit, f"notif.kind.{name}") for name in KINDS}

    def _names(self, visit: Visit) -> dict[Channel, str]:
        """What the channels are called."""
        return {channel: self._say(visit, f"notif.channel.{channel.value}") for channel in Channel}

    def _tabs(self, visit: Visit, org_id: UUID, at: str) -> list[Choice]:
        return [
            Choice(label=self._say(visit, key), href=f"/orgs/{org_id}/{name}", chosen=name == at) for name, key in TABS.items()
        ]

    # --- the log

    @page("/orgs/{org_id}/deliveries", access=MANAGE)
    async def deliveries(self, visit: Visit, org_id: UUID, query: LogQuery) -> Html:
        """What was sent, newest first."""
        org, tz = await self._org(visit, org_id)
        found = await self._house.deliveries(visit.ctx, query.status, query.channel, SHOWN, query.cursor)
        counts = await self._house.counts(visit.ctx, self._clock.now() - COUNTED)
        here = f"/orgs/{org_id}/deliveries"
        names = self._names(visit)

        def href(status: DeliveryStatus | None, channel: Channel | None, cursor: str | None = None) -> str:
            return with_query(here, {"status": status, "channel": channel, "cursor": cursor})

        return self._pages.page(
            "notifications/deliveries.html",
            visit,
            org=org,
            tabs=self._tabs(visit, org_id, "deliveries"),
            rows=found.items,
            replayable=await self._house.replayable(visit.ctx, found.items),
            erased=formats.deleted_account(visit.locale),
            states=STATES,
            names=names,
            kinds=self._kinds(visit),
            tz=tz,
            here=here,
            most_tries=TRIES,
            by_status=[
                Choice(
                    label=self._say(visit, f"notif.status.{s.value}"),
                    href=href(None if query.status is s else s, query.channel),
                    chosen=query.status is s,
                    count=counts.get(s, 0) or None,
                )
                for s in DeliveryStatus
            ],
            by_channel=[
                Choice(label=name, href=href(query.status, None if query.channel is c else c), chosen=query.channel is c)
                for c, name in names.items()
            ],
            narrowed=bool(query.status or query.channel),
            next_href=href(query.status, query.channel, found.next_cursor) if found.next_cursor else "",
        )

    @page("/orgs/{org_id}/deliveries/{id}", access=MANAGE)
    async def delivery(self, visit: Visit, org_id: UUID, id: UUID) -> Html:
        """One message with every try."""
        org, tz = await self._org(visit, org_id)
        detail = await self._house.delivery(visit.ctx, id)
        return self._pages.page(
            "notifications/delivery.html",
            visit,
            org=org,
            detail=detail,
            replayable=await self._house.replayable(visit.ctx, [detail.delivery]),
            erased=formats.deleted_account(visit.locale),
            states=STATES,
            names=self._names(visit),
            kinds=self._kinds(visit),
            tz=tz,
            here=f"/orgs/{org_id}/deliveries",
        )

    @action("/orgs/{org_id}/deliveries/{id}/replay", access=MANAGE)
    async def replay(self, visit: Visit, org_id: UUID, id: UUID) -> Redirect:
        """Sends it again."""
        try:
            await self._house.replay(visit.ctx, id)
        except Problem as problem:
            if problem.status != 409:
                raise
            return Redirect(f"/orgs/{org_id}/deliveries/{id}", toast=self._pages.said(visit)(problem.detail or problem.title))
        return Redirect(f"/orgs/{org_id}/deliveries/{id}", toast=self._say(visit, "notif.log.replayed"))

    # --- words

    @page("/orgs/{org_id}/templates", access=MANAGE)
    async def templates(self, visit: Visit, org_id: UUID, query: WordsQuery) -> Html:
        """An event's words in one channel and language, with a preview."""
        template = await self._template(visit, query.event, query.channel, query.locale)
        preview = await self._house.preview(visit.ctx, template.id, Draft())
        return await self._words(visit, org_id, template, template.subject, template.text, preview, NO_FAULTS)

    @action("/orgs/{org_id}/templates", access=MANAGE)
    async def edit(self, visit: Visit, org_id: UUID, form: WordsForm) -> Html | Redirect:
        """Saves the words, shows them, sends them to who asks, or goes back to the house's."""
        template = await self._template(visit, form.event, form.channel, form.locale)
        here = with_query(
            f"/orgs/{org_id}/templates", {"event": template.event, "channel": template.channel, "locale": template.locale}
        )
        draft = Draft(form.subject or None, form.text or None)
        try:
            match form.do:
                case "show":
                    preview = await self._house.preview(visit.ctx, template.id, draft)
                    return await self._words(visit, org_id, template, form.subject, form.text, preview, NO_FAULTS)
                case "test":
                    await self._house.test(visit.ctx, template.id, draft)
                    return Redirect(here, toast=self._say(visit, "notif.words.tested"))
                case "back":
                    if not template.shipped:
                        await self._house.edit_template(visit.ctx, template.id, TemplatePatch(enabled=False), None)
                    return Redirect(here, toast=self._say(visit, "notif.words.back_done"))
                case _:
                    await self._save(visit, template, form)
                    return Redirect(here, toast=self._say(visit, "notif.words.saved"))
        except Problem as problem:
            wrong = self._pages.faults(visit, problem)
            return await self._words(visit, org_id, template, form.subject, form.text, Preview("", "", ""), wrong)

    async def _save(self, visit: Visit, template: TemplateOut, form: WordsForm) -> None:
        if template.shipped:
            values = {
                "event": template.event,
                "channel": template.channel.value,
                "locale": template.locale,
                "subject": form.subject,
                "text": form.text,
            }
            await self._house.add_template(visit.ctx, read(NewTemplate, values))
        else:
            text = read(
                NewTemplate, {"event": template.event, "channel": "email", "locale": "en", "subject": "", "text": form.text}
            )
            change = TemplatePatch(subject=form.subject, text=text.text, html=None, enabled=True)
            await self._house.edit_template(visit.ctx, template.id, change, None)

    async def _template(self, visit: Visit, event: str, channel: Channel, locale: str) -> TemplateOut:
        """The organisation's or the shipped one; what does not exist becomes the nearest that does."""
        kind = KINDS.get(event) or KINDS["booking.confirmed"]
        channel = channel if channel in kind.channels else kind.channels[0]
        locale = locale if locale in wording.LOCALES else wording.FALLBACK
        found = await self._house.templates(visit.ctx, kind.name, channel, locale, 1, None)
        return found.items[0] if found.items else shipped_template(kind.name, channel, locale)

    async def _words(
        self, visit: Visit, org_id: UUID, template: TemplateOut, subject: str, text: str, preview: Preview, wrong: Faults
    ) -> Html:
        org, _ = await self._org(visit, org_id)
        kind, names = KINDS[template.event], self._names(visit)
        return self._pages.page(
            "notifications/words_preview.html" if visit.partial else "notifications/words.html",
            visit,
            status=200 if visit.partial else wrong.status,
            org=org,
            tabs=self._tabs(visit, org_id, "templates"),
            here=f"/orgs/{org_id}/templates",
            template=template,
            subject=subject,
            text=text,
            preview=preview,
            wrong=wrong,
            rtl=template.locale == "ur",
            events=[Choice(label=label, value=name) for name, label in self._kinds(visit).items()],
            channels=[Choice(label=names[c], value=c.value) for c in PERSONAL if c in kind.channels],
            locales=[Choice(label=name, value=code) for code, name in LANGUAGES.items()],
        )

    # --- providers and webhooks

    @page("/orgs/{org_id}/providers", access=MANAGE)
    async def providers(self, visit: Visit, org_id: UUID) -> Html:
        """Through whom messages leave."""
        return await self._providers(visit, org_id)

    @action("/orgs/{org_id}/providers", access=MANAGE)
    async def add_provider(self, visit: Visit, org_id: UUID, form: ProviderForm) -> Html:
        """Adds a gateway."""
        try:
            wish = read(NewProvider, {"channel": form.channel, "name": form.name, "url": form.url, "place": form.place})
            made = await self._house.add_provider(visit.ctx, wish)
        except Problem as problem:
            return await self._providers(visit, org_id, form=form, wrong=self._pages.faults(visit, problem))
        once = Once(self._say(visit, "notif.ways.callback_key", name=made.provider.name), made.callback_key)
        return await self._providers(visit, org_id, once=once)

    @action("/orgs/{org_id}/providers/{id}/remove", access=MANAGE)
    async def drop_provider(self, visit: Visit, org_id: UUID, id: UUID) -> Redirect:
        await self._house.drop_provider(visit.ctx, id)
        return Redirect(f"/orgs/{org_id}/providers", toast=self._say(visit, "notif.ways.removed"))

    @action("/orgs/{org_id}/webhooks", access=staff("webhooks.manage"))
    async def add_endpoint(self, visit: Visit, org_id: UUID, form: EndpointForm) -> Html:
        """Sends events to an address from now on."""
        try:
            wish = read(NewEndpoint, {"url": form.url, "events": form.events.replace(",", " ").split()})
            made = await self._house.add_endpoint(visit.ctx, wish)
        except Problem as problem:
            return await self._providers(visit, org_id, hook=form, hook_wrong=self._pages.faults(visit, problem))
        once = Once(self._say(visit, "notif.ways.signing_key", url=made.endpoint.url), made.signing_key)
        return await self._providers(visit, org_id, once=once)

    @action("/orgs/{org_id}/webhooks/{id}/remove", access=staff("webhooks.manage"))
    async def drop_endpoint(self, visit: Visit, org_id: UUID, id: UUID) -> Redirect:
        await self._house.drop_endpoint(visit.ctx, id)
        return Redirect(f"/orgs/{org_id}/providers", toast=self._say(visit, "notif.ways.removed"))

    async def _providers(
        self,
        visit: Visit,
        org_id: UUID,
        form: ProviderForm | None = None,
        wrong: Faults = NO_FAULTS,
        hook: EndpointForm | None = None,
        hook_wrong: Faults = NO_FAULTS,
        once: Once | None = None,
    ) -> Html:
        org, tz = await self._org(visit, org_id)
        names = self._names(visit)
        return self._pages.page(
            "notifications/providers.html",
            visit,
            status=max(wrong.status, hook_wrong.status),
            org=org,
            tabs=self._tabs(visit, org_id, "providers"),
            here=f"/orgs/{org_id}",
            providers=await self._house.providers(visit.ctx),
            endpoints=await self._house.endpoints(visit.ctx) if visit.ctx.may("webhooks.manage") else [],
            may_hook=visit.ctx.may("webhooks.manage"),
            names=names,
            channels=[
                Choice(label=names[c], value=c.value) for c in (Channel.SMS, Channel.WHATSAPP, Channel.PUSH, Channel.EMAIL)
            ],
            form=form or ProviderForm(),
            wrong=wrong,
            hook=hook or EndpointForm(),
            hook_wrong=hook_wrong,
            once=once,
            tz=tz,
        )
