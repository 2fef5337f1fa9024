"""The person's pages: the inbox, what reaches them, and the bell."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from forecourt.kernel.errors import Invalid, Problem
from forecourt.kernel.http.operation import PERSON, PUBLIC, Api, Html, Raw, Redirect, Visit, action, file, page
from forecourt.kernel.paging import Paged
from forecourt.kernel.web.addresses import with_query
from forecourt.kernel.web.forms import NO_FAULTS, Faults
from forecourt.kernel.web.surroundings import Surroundings
from forecourt.kernel.web.views import Choice
from forecourt.modules.notifications.contract import Channel, Digest, LinkSpent, Notification, Topic
from forecourt.modules.notifications.rules import DEFAULTS
from forecourt.modules.notifications.service.choices import (
    PERSONAL,
    BrowserKeys,
    ChoicesService,
    NewPushSubscription,
    NotificationPreferences,
    PushSubscriptionRef,
)
from forecourt.modules.notifications.service.inbox import InboxService
from forecourt.modules.people.contract import QuietHours

SHOWN = 30
VIEWS = ("all", "unread", "archived")
ICONS = {
    Topic.BOOKINGS: "calendar",
    Topic.REMINDERS: "clock",
    Topic.PAYMENTS: "wallet",
    Topic.MESSAGES: "chat",
    Topic.MENTIONS: "chat",
    Topic.TEAM: "users",
    Topic.SECURITY: "lock",
}
WORKER = Path(__file__).parent / "shipped" / "push-worker.js"

View = Annotated[str, Meta(max_length=10, pattern=r"^(all|unread|archived)$")]
Typed = Annotated[str, Meta(max_length=1000)]


class InboxPageQuery(Paged, kw_only=True):
    view: View = "all"


class PreferencesForm(msgspec.Struct, forbid_unknown_fields=True):
    """`on` are the ticked boxes, as `bookings:email`."""

    on: Annotated[list[Annotated[str, Meta(max_length=40)]], Meta(max_length=60)] = []
    digest: Annotated[str, Meta(max_length=10)] = Digest.OFF.value
    quiet_from: Annotated[str, Meta(max_length=8)] = ""
    quiet_to: Annotated[str, Meta(max_length=8)] = ""
    timezone: Annotated[str, Meta(max_length=64)] = ""


class PushForm(msgspec.Struct, forbid_unknown_fields=True):
    """With `renew`, one that is to be known already."""

    endpoint: Typed = ""
    p256dh: Typed = ""
    auth: Typed = ""
    renew: Typed = ""


class Row(msgspec.Struct, frozen=True):
    """A topic of the table, with its boxes; None where nothing of the topic goes by that channel."""

    topic: Topic
    boxes: list[Box]


class Box(msgspec.Struct, frozen=True):
    channel: Channel
    on: bool
    fixed: bool = False


class NotificationPages(Api):
    tag = "Pages"

    def __init__(self, inbox: InboxService, choices: ChoicesService, pages: Surroundings) -> None:
        self._inbox = inbox
        self._choices = choices
        self._pages = pages

    # --- the inbox

    @page("/notifications", access=PERSON)
    async def inbox(self, visit: Visit, query: InboxPageQuery) -> Html:
        """What was told, newest first."""
        found = await self._inbox.mine(
            visit.ctx,
            archived=query.view == "archived",
            topic=None,
            unread_only=query.view == "unread",
            limit=SHOWN,
            cursor=query.cursor,
        )
        prefers = await self._choices.mine(visit.ctx)
        statistics = await self._inbox.statistics(visit.ctx)
        say = self._pages.pages.text
        labels = {"all": "notif.all", "unread": "notif.unread", "archived": "notif.archived"}
        tabs = [
            Choice(
                label=say(visit.locale, labels[view]),  # type: ignore[arg-type]
                href=with_query("/notifications", {"view": view if view != "all" else None}),
                chosen=view == query.view,
                count=statistics.unread or None if view == "unread" else None,
            )
            for view in VIEWS
        ]
        return self._pages.page(
            "notifications/inbox.html",
            visit,
            rows=found.items,
            tabs=tabs,
            view=query.view,
            unread=statistics.unread,
            icons=ICONS,
            tz=prefers.timezone or "UTC",
            next_href=with_query("/notifications", {"view": query.view, "cursor": found.next_cursor})
            if found.next_cursor
            else "",
        )

    @page("/notifications/bell", access=PUBLIC)
    async def bell(self, visit: Visit) -> Html:
        """The bell with its number, as a fragment for every page."""
        unread = await self._inbox.unread(visit.ctx)
        newest: list[Notification] = []
        if visit.person is not None and unread:
            found = await self._inbox.mine(visit.ctx, archived=False, topic=None, unread_only=True, limit=1, cursor=None)
            newest = found.items
        return self._pages.page("notifications/bell.html", visit, unread=unread, newest=newest[0] if newest else None)

    @action("/notifications/read-all")
    async def read_all(self, visit: Visit) -> Redirect:
        """Nothing is unread any more."""
        await self._inbox.read_all(visit.ctx)
        return Redirect("/notifications", toast=self._say(visit, "notif.read_done"))

    @action("/notifications/{id}/read")
    async def read(self, visit: Visit, id: UUID) -> Redirect:
        await self._inbox.read_one(visit.ctx, id)
        return Redirect(f"/notifications#n-{id}")

    @action("/notifications/{id}/unread")
    async def unread(self, visit: Visit, id: UUID) -> Redirect:
        await self._inbox.unread_again(visit.ctx, id)
        return Redirect(f"/notifications#n-{id}")

    @action("/notifications/{id}/archive")
    async def archive(self, visit: Visit, id: UUID) -> Redirect:
        await self._inbox.archive(visit.ctx, id)
        return Redirect("/notifications", toast=self._say(visit, "notif.archived"), undo=f"/notifications/{id}/unarchive")

    @action("/notifications/{id}/unarchive")
    async def unarchive(self, visit: Visit, id: UUID) -> Redirect:
        await self._inbox.unarchive(visit.ctx, id)
        return Redirect("/notifications")

    @action("/notifications/{id}/dismiss")
    async def dismiss(self, visit: Visit, id: UUID) -> Redirect:
        await self._inbox.dismiss(visit.ctx, id)
        return Redirect("/notifications", toast=self._say(visit, "notif.dismissed"))

    # --- what reaches me

    @page("/account/notifications", access=PERSON)
    async def preferences(self, visit: Visit) -> Html:
        """Which channels carry which topics."""
        return await self._preferences(visit, await self._choices.mine(visit.ctx), NO_FAULTS)

    @action("/account/notifications")
    async def prefer(self, visit: Visit, form: PreferencesForm) -> Html | Redirect:
        """Saves them."""
        before = await self._choices.mine(visit.ctx)
        try:
            wish = preferences_of(form, before)
            await self._choices.prefer(visit.ctx, wish)
        except Problem as problem:
            names = {"quiet_hours.start": "quiet_from", "quiet_hours.end": "quiet_to"}
            return await self._preferences(visit, before, self._pages.faults(visit, problem, names), form)
        return Redirect("/account/notifications", toast=self._say(visit, "notif.prefs.saved"))

    async def _preferences(
        self, visit: Visit, chosen: NotificationPreferences, wrong: Faults, form: PreferencesForm | None = None
    ) -> Html:
        on = set(form.on) if form else {f"{t.value}:{c.value}" for t, cs in chosen.channels.items() for c in cs}
        quiet = chosen.quiet_hours
        push = await self._choices.push_key(visit.ctx)
        say = self._pages.pages.text
        return self._pages.page(
            "notifications/preferences.html",
            visit,
            status=wrong.status,
            channels=PERSONAL,
            rows=[Row(topic, [_box(topic, channel, on) for channel in PERSONAL]) for topic in Topic],
            digest=form.digest if form else chosen.digest.value,
            digests=[Choice(label=say(visit.locale, f"notif.prefs.digest_{d.value}"), value=d.value) for d in Digest],  # type: ignore[arg-type]
            quiet_from=form.quiet_from if form else (quiet.start if quiet else ""),
            quiet_to=form.quiet_to if form else (quiet.end if quiet else ""),
            timezone=form.timezone if form else (chosen.timezone or ""),
            push_key=push.public_key,
            wrong=wrong,
        )

    @action("/account/notifications/push")
    async def push(self, visit: Visit, form: PushForm) -> Raw:
        """A browser subscribes; sent by the script that asked it."""
        wish = NewPushSubscription(endpoint=form.endpoint, keys=BrowserKeys(form.p256dh, form.auth))
        await (self._choices.renew if form.renew else self._choices.subscribe)(visit.ctx, wish)
        return Raw(b"", "text/plain", status=204)

    @action("/account/notifications/push-off")
    async def push_off(self, visit: Visit, form: PushForm) -> Raw:
        """The browser has unsubscribed; one that was forgotten here already is no fault."""
        try:
            await self._choices.unsubscribe_browser(visit.ctx, PushSubscriptionRef(form.endpoint))
        except Problem as problem:
            if problem.status != 404:
                raise
        return Raw(b"", "text/plain", status=204)

    @page("/v1/unsubscribe")
    async def cut(self) -> Html:
        """A link that a mail program cut before its end."""
        raise LinkSpent

    @file("/push-worker.js")
    async def worker(self) -> Raw:
        """The service worker that shows pushes. At the root, so that the whole site is its scope."""
        return Raw(_worker(), "text/javascript; charset=utf-8", headers={"Cache-Control": "no-cache"})

    def _say(self, visit: Visit, key: str) -> str:
        return self._pages.pages.text(visit.locale, key)  # type: ignore[arg-type]


def preferences_of(form: PreferencesForm, before: NotificationPreferences) -> NotificationPreferences:
    """Raises Invalid for times and digests that are none."""
    channels: dict[Topic, list[Channel]] = {
        topic: [c for c in PERSONAL if f"{topic.value}:{c.value}" in form.on] for topic in Topic
    }
    quiet = None
    if form.quiet_from or form.quiet_to:
        quiet = _quiet(form.quiet_from[:5], form.quiet_to[:5])
    if form.digest not in {d.value for d in Digest}:
        raise Invalid.field("digest", "is not one of these")
    return NotificationPreferences(channels, Digest(form.digest), quiet, form.timezone.strip() or None, before.push_key)


def _quiet(start: str, end: str) -> QuietHours:
    try:
        return msgspec.convert({"start": start, "end": end}, QuietHours)
    except msgspec.ValidationError as e:
        raise Invalid.field("quiet_from" if "start" in str(e) else "quiet_to", "write it like 22:00") from None


def _box(topic: Topic, channel: Channel, on: set[str]) -> Box:
    fixed = topic is Topic.SECURITY and channel in DEFAULTS[topic]
    return Box(channel, fixed or f"{topic.value}:{channel.value}" in on, fixed)


@cache
def _worker() -> bytes:
    return WORKER.read_bytes()
