"""Looking after rooms: a room's settings and people, finding and making channels, and what a person chose for all of theirs."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Never
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, Struct

from forecourt.kernel.errors import Invalid
from forecourt.kernel.http.operation import CONFIRMED, PERSON, Html, Redirect, Visit, action, page, staff
from forecourt.kernel.paging import Paged
from forecourt.kernel.presence import Presences
from forecourt.kernel.web.addresses import with_query
from forecourt.kernel.web.forms import NO_FAULTS, Faults
from forecourt.kernel.web.surroundings import Surroundings, staff_bar
from forecourt.kernel.web.views import Choice
from forecourt.modules.chat.contract import Member, QuietHours, RoomKind, RoomRole
from forecourt.modules.chat.pages import MENDABLE, Parlour, me
from forecourt.modules.chat.queries import BanRow
from forecourt.modules.chat.service import ChatService
from forecourt.modules.chat.service.membership import NewMembers, RoleChange
from forecourt.modules.chat.service.moderation import Moderation, ModerationAction
from forecourt.modules.chat.service.previewing import HouseRule
from forecourt.modules.chat.service.reading import Setting
from forecourt.modules.chat.service.rooms import NewChannel, OpenRoom, RoomDetail, RoomPatch
from forecourt.modules.chat.views import Who
from forecourt.modules.people.contract import People
from forecourt.modules.venues.contract import Venues

MANAGE = staff("chat.manage_channels")
MEMBERS_SHOWN = 50
BANS_SHOWN = 50
CHANNELS_SHOWN = 40
KEPT_DAYS = (7, 30, 90, 365, 1095)
SLOW_S = (0, 5, 15, 60, 300, 900, 3600)
HOUR_MIN, DAY_MIN = 60, 1_440
RANK = {RoomRole.MEMBER: 0, RoomRole.MODERATOR: 1, RoomRole.OWNER: 2}
Text = Annotated[str, Meta(max_length=2_000)]


class MembersQuery(Struct, frozen=True, forbid_unknown_fields=True):
    cursor: Annotated[str, Meta(max_length=200)] | None = None


class ChannelsPageQuery(Paged, forbid_unknown_fields=True, kw_only=True):
    q: Annotated[str, Meta(max_length=100)] = ""
    org: UUID | None = None


class RoomForm(Struct, frozen=True, forbid_unknown_fields=True):
    """`keep` is a number of days; empty for ever."""

    version: int
    name: Text = ""
    about: Text = ""
    public: bool = False
    keep: Annotated[str, Meta(max_length=5)] = ""


class SlowForm(Struct, frozen=True, forbid_unknown_fields=True):
    seconds: Annotated[int, Meta(ge=0, le=3_600)] = 0


class PeopleForm(Struct, frozen=True, forbid_unknown_fields=True):
    handles: Text = ""


class DealForm(Struct, frozen=True, forbid_unknown_fields=True):
    act: Annotated[str, Meta(max_length=20)]


class BanForm(Struct, frozen=True, forbid_unknown_fields=True):
    account_id: UUID


class ArchiveForm(Struct, frozen=True, forbid_unknown_fields=True):
    archived: bool


class ChannelForm(Struct, frozen=True, forbid_unknown_fields=True):
    name: Text = ""
    about: Text = ""
    public: bool = False


class HouseRuleForm(Struct, frozen=True, forbid_unknown_fields=True):
    previews: bool = False


class QuietForm(Struct, frozen=True, forbid_unknown_fields=True):
    """Without times nobody is kept from disturbing."""

    receipts: bool = False
    start: Annotated[str, Meta(max_length=8)] = ""
    end: Annotated[str, Meta(max_length=8)] = ""
    timezone: Annotated[str, Meta(max_length=64)] = ""
    days: Annotated[list[Annotated[int, Meta(ge=0, le=6)]], Meta(max_length=7)] = []


class Act(Struct, frozen=True):
    """Something the reader may do with a member."""

    value: str
    label: str
    sure: str = ""
    """What is asked first."""


class Row(Struct, frozen=True):
    """A member in the settings."""

    who: Who
    member: Member
    mine: bool
    muted: bool
    acts: list[Act]


class BanView(Struct, frozen=True):
    who: Who
    by: Who
    ban: BanRow


class Found(Struct, frozen=True):
    """The channels of one organisation."""

    id: UUID
    name: str
    rooms: list[OpenRoom]


class RoomPages(Parlour):
    def __init__(self, service: ChatService, people: People, presences: Presences, pages: Surroundings, venues: Venues) -> None:
        super().__init__(service, people, presences, pages)
        self._venues = venues

    # --- a room

    @page("/chat/{id}/settings", access=PERSON)
    async def settings(self, visit: Visit, id: UUID, query: MembersQuery) -> Html:
        """A room's settings, and who is in it."""
        return await self._settings(visit, id, cursor=query.cursor)

    @action("/chat/{id}/settings", access=CONFIRMED)
    async def change(self, visit: Visit, id: UUID, form: RoomForm) -> Html | Redirect:
        """Name, description, who finds it, how long words are kept."""
        try:
            patch = RoomPatch(
                name=_named(form.name) if form.name.strip() else UNSET,
                about=form.about if len(form.about) <= 500 else _refuse("about", "at most 500 characters"),
                public=form.public,
                retention_days=_days(form.keep),
            )
            await self._service.change(visit.ctx, id, patch, form.version)
        except MENDABLE as problem:
            wrong = self._pages.faults(visit, problem, {"retention_days": "keep"})
            return await self._settings(visit, id, form=form, wrong=wrong)
        return Redirect(f"/chat/{id}/settings", toast=self._say(visit, "chat.saved"))

    @action("/chat/{id}/slow", access=CONFIRMED)
    async def slow(self, visit: Visit, id: UUID, form: SlowForm) -> Redirect:
        """How often a member may write."""
        return await self._done(visit, id, Moderation(ModerationAction.SLOW_MODE, seconds=form.seconds))

    @action("/chat/{id}/archive", access=CONFIRMED)
    async def archive(self, visit: Visit, id: UUID, form: ArchiveForm) -> Redirect:
        """Closes the room for writing, or opens it again."""
        try:
            await self._service.change(visit.ctx, id, RoomPatch(archived=form.archived), None)
        except MENDABLE as problem:
            return Redirect(f"/chat/{id}/settings", toast=self._fault(visit, problem))
        said = self._say(visit, "chat.set.archived" if form.archived else "chat.set.restored")
        return Redirect(f"/chat/{id}/settings", toast=said)

    @action("/chat/{id}/members", access=CONFIRMED)
    async def bring(self, visit: Visit, id: UUID, form: PeopleForm) -> Html | Redirect:
        """Brings people in."""
        try:
            came = await self._service.add(visit.ctx, id, NewMembers(await self._called(visit.ctx, form.handles)))
        except MENDABLE as problem:
            at = {e.path: "handles" for e in problem.errors if e.path.startswith("account_ids")}
            wrong = self._pages.faults(visit, problem, at)
            return await self._settings(visit, id, wrong=wrong, handles=form.handles)
        return Redirect(f"/chat/{id}/settings#members", toast=self._say(visit, "chat.set.came", n=len(came)))

    @action("/chat/{id}/members/{account_id}", access=CONFIRMED)
    async def deal(self, visit: Visit, id: UUID, account_id: UUID, form: DealForm) -> Redirect:
        """Gives a role, mutes, removes or bans."""
        if form.act in {role.value for role in RoomRole}:
            try:
                await self._service.set_role(visit.ctx, id, RoleChange(account_id, RoomRole(form.act)))
            except MENDABLE as problem:
                return Redirect(f"/chat/{id}/settings#members", toast=self._fault(visit, problem))
            return Redirect(f"/chat/{id}/settings#members", toast=self._say(visit, "chat.saved"))
        deeds = {
            "mute-hour": Moderation(ModerationAction.MUTE, account_id, HOUR_MIN),
            "mute-day": Moderation(ModerationAction.MUTE, account_id, DAY_MIN),
            "unmute": Moderation(ModerationAction.UNMUTE, account_id),
            "remove": Moderation(ModerationAction.REMOVE, account_id),
            "ban": Moderation(ModerationAction.BAN, account_id),
        }
        if form.act not in deeds:
            raise Invalid.field("act", "is nothing that can be done here")
        return await self._done(visit, id, deeds[form.act], "#members")

    @action("/chat/{id}/unban", access=CONFIRMED)
    async def unban(self, visit: Visit, id: UUID, form: BanForm) -> Redirect:
        """Lets somebody come back."""
        return await self._done(visit, id, Moderation(ModerationAction.UNBAN, form.account_id), "#bans")

    async def _done(self, visit: Visit, id: UUID, deed: Moderation, at: str = "") -> Redirect:
        try:
            await self._service.moderate(visit.ctx, id, deed)
        except MENDABLE as problem:
            return Redirect(f"/chat/{id}/settings{at}", toast=self._fault(visit, problem))
        return Redirect(f"/chat/{id}/settings{at}", toast=self._say(visit, "chat.saved"))

    async def _settings(
        self,
        visit: Visit,
        id: UUID,
        *,
        cursor: str | None = None,
        form: RoomForm | None = None,
        wrong: Faults = NO_FAULTS,
        handles: str = "",
    ) -> Html:
        ctx, reader = visit.ctx, me(visit)
        room = await self._service.look(ctx, id)
        members = await self._service.members(ctx, id, MEMBERS_SHOWN, cursor)
        moderates = room.kind is not RoomKind.DIRECT and room.role in (RoomRole.OWNER, RoomRole.MODERATOR)
        bans = (await self._service.bans(ctx, id, BANS_SHOWN, None)).items if moderates else []
        people = await self._who(
            visit, [*(m.account_id for m in members.items), *(b.account_id for b in bans), *(b.banned_by for b in bans)]
        )
        now = self._service.clock.now()
        return self._pages.page(
            "chat/settings.html",
            visit,
            status=wrong.status,
            room=room,
            owns=room.role is RoomRole.OWNER,
            moderates=moderates,
            adds=_adds(room, moderates=moderates),
            form=form or RoomForm(room.version, room.name, room.about, room.public, str(room.retention_days or "")),
            wrong=wrong,
            handles=handles,
            keeps=self._keeps(visit, room.retention_days),
            slows=self._slows(visit, room.slow_mode_s),
            rows=[self._row(visit, room, m, people[m.account_id], reader.id, now) for m in members.items],
            bans=[BanView(people[b.account_id], people[b.banned_by], b) for b in bans],
            next_href=with_query(f"/chat/{id}/settings", {"cursor": members.next_cursor}) + "#members"
            if members.next_cursor
            else "",
            first=cursor is None,
        )

    def _row(self, visit: Visit, room: RoomDetail, member: Member, who: Who, reader_id: UUID, now: datetime) -> Row:
        mine = member.account_id == reader_id
        muted = member.muted_until is not None and member.muted_until > now
        acts: list[Act] = []
        if not mine and room.role is not None and room.kind is not RoomKind.DIRECT and not room.archived:
            acts = self._acts(visit, room.role, room.kind, member, who.name, muted=muted)
        return Row(who, member, mine, muted, acts)

    def _acts(self, visit: Visit, role: RoomRole, kind: RoomKind, member: Member, name: str, *, muted: bool) -> list[Act]:
        found: list[Act] = []
        if role is RoomRole.OWNER:
            found += [Act(r.value, self._say(visit, f"chat.set.make.{r.value}")) for r in RoomRole if r is not member.role]
        if RANK[role] > max(RANK[member.role], 0):
            found += (
                [Act("unmute", self._say(visit, "chat.js.unmute"))]
                if muted
                else [Act(f"mute-{length}", self._say(visit, f"chat.set.mute_{length}")) for length in ("hour", "day")]
            )
            ends = ("ban",) if kind is RoomKind.BOOKING else ("remove", "ban")
            found += [Act(e, self._say(visit, f"chat.js.{e}"), self._say(visit, f"chat.js.sure_{e}", name=name)) for e in ends]
        return found

    def _keeps(self, visit: Visit, days: int | None) -> list[Choice]:
        known = sorted({*KEPT_DAYS, *([days] if days else [])})
        ever = Choice(label=self._say(visit, "chat.set.keep_ever"), value="")
        return [ever, *(Choice(label=self._say(visit, "chat.set.keep_days", n=d), value=str(d)) for d in known)]

    def _slows(self, visit: Visit, seconds: int) -> list[Choice]:
        def label(s: int) -> str:
            if not s:
                return self._say(visit, "chat.set.slow_off")
            minutes, rest = divmod(s, 60)
            return self._say(visit, "chat.set.slow_s", n=s) if rest else self._say(visit, "chat.set.slow_min", n=minutes)

        return [Choice(label=label(s), value=str(s)) for s in sorted({*SLOW_S, seconds})]

    # --- channels

    @page("/chat/channels", access=PERSON)
    async def channels(self, visit: Visit, query: ChannelsPageQuery) -> Html:
        """Public channels of organisations."""
        found = await self._service.open_rooms(visit.ctx, query.org, query.q, CHANNELS_SHOWN, query.cursor)
        ids = list(dict.fromkeys(room.organisation_id for room in found.items))
        wanted = [*ids, query.org] if query.org and query.org not in ids else ids
        cards = {card.id: card.name for card in await self._venues.organisations(visit.ctx, wanted)}
        return self._pages.page(
            "chat/channels.html",
            visit,
            query=query,
            org_name=cards.get(query.org, "") if query.org else "",
            found=[Found(id, cards.get(id, ""), [room for room in found.items if room.organisation_id == id]) for id in ids],
            next_href=with_query("/chat/channels", {"q": query.q or None, "org": query.org, "cursor": found.next_cursor})
            if found.next_cursor
            else "",
        )

    @page("/orgs/{org_id}/channels", access=MANAGE)
    async def of_organisation(self, visit: Visit, org_id: UUID) -> Html:
        """The organisation's channels, for who makes them."""
        return await self._of_organisation(visit, org_id, ChannelForm(public=True), NO_FAULTS)

    @action("/orgs/{org_id}/channels", access=MANAGE)
    async def make(self, visit: Visit, org_id: UUID, form: ChannelForm) -> Html | Redirect:
        """Makes a channel."""
        try:
            about = form.about.strip() if len(form.about) <= 500 else _refuse("about", "at most 500 characters")
            new = NewChannel(_named(form.name), about, form.public)
            room = await self._service.create_channel(visit.ctx, org_id, new)
        except MENDABLE as problem:
            return await self._of_organisation(visit, org_id, form, self._pages.faults(visit, problem))
        return Redirect(f"/chat/{room.id}", toast=self._say(visit, "chat.org.made", name=room.title))

    @action("/orgs/{org_id}/channels/rule", access=MANAGE)
    async def rule(self, visit: Visit, org_id: UUID, form: HouseRuleForm) -> Redirect:
        """What holds in the organisation's rooms."""
        await self._service.set_house_rule(visit.ctx, org_id, HouseRule(form.previews))
        return Redirect(f"/orgs/{org_id}/channels", toast=self._say(visit, "chat.saved"))

    async def _of_organisation(self, visit: Visit, org_id: UUID, form: ChannelForm, wrong: Faults) -> Html:
        organisation = await self._venues.organisation(visit.ctx, org_id)
        public = (await self._service.open_rooms(visit.ctx, org_id, "", 100, None)).items
        mine = await self._service.channels_of(visit.ctx, org_id)
        known = {room.id for room in mine}
        return self._pages.page(
            "chat/org_channels.html",
            visit,
            status=wrong.status,
            org=staff_bar(organisation, visit.ctx),
            here=f"/orgs/{org_id}/channels",
            mine=mine,
            rule=await self._service.house_rule(visit.ctx, org_id),
            others=[room for room in public if room.id not in known],
            form=form,
            wrong=wrong,
        )

    # --- what a person chose

    @page("/chat/settings", access=PERSON)
    async def mine(self, visit: Visit) -> Html:
        """Receipts, and hours in which I am not to be disturbed."""
        setting = await self._service.setting(visit.ctx)
        zone = (await self._people.my_preferences(visit.ctx)).timezone or ""
        quiet = setting.quiet
        form = QuietForm(setting.receipts, timezone=zone)
        if quiet is not None:
            form = QuietForm(setting.receipts, quiet.start, quiet.end, quiet.timezone, quiet.weekdays)
        return self._mine(visit, form, NO_FAULTS)

    @action("/chat/settings")
    async def choose_mine(self, visit: Visit, form: QuietForm) -> Html | Redirect:
        """Saves them."""
        try:
            await self._service.choose(visit.ctx, Setting(form.receipts, _quiet(form)))
        except MENDABLE as problem:
            wrong = self._pages.faults(visit, problem, {"quiet.timezone": "timezone"})
            return self._mine(visit, form, wrong)
        return Redirect("/chat/settings", toast=self._say(visit, "chat.saved"))

    def _mine(self, visit: Visit, form: QuietForm, wrong: Faults) -> Html:
        days = [Choice(label=self._say(visit, f"chat.day.{d}"), value=str(d), chosen=d in form.days) for d in range(7)]
        return self._pages.page("chat/mine.html", visit, status=wrong.status, form=form, wrong=wrong, days=days)


def _adds(room: RoomDetail, *, moderates: bool) -> bool:
    """Whether the reader may bring others."""
    if room.role is None or room.archived or room.kind in (RoomKind.DIRECT, RoomKind.BOOKING):
        return False
    return moderates or room.kind is RoomKind.GROUP


def _named(name: str) -> str:
    """Raises Invalid for an empty name or one of more than 100 characters."""
    name = name.strip()
    return name if 1 <= len(name) <= 100 else _refuse("name", "between 1 and 100 characters")


def _days(text: str) -> int | None:
    """Raises Invalid for what is no number of days a room can keep words."""
    if not text:
        return None
    return int(text) if text.isdecimal() and 1 <= int(text) <= 3_650 else _refuse("retention_days", "between 1 and 3,650 days")


def _quiet(form: QuietForm) -> QuietHours | None:
    """Raises Invalid for times that are none, and for one without the other."""
    if not form.start and not form.end:
        return None
    for name, value in (("start", form.start), ("end", form.end)):
        if not value:
            _refuse(name, "is needed with the other one")
    if not form.timezone.strip():
        _refuse("timezone", "is needed")
    given = {
        "start": form.start[:5], "end": form.end[:5], "timezone": form.timezone.strip(), "weekdays": sorted(set(form.days)),
    }  # fmt: skip
    try:
        return msgspec.convert(given, QuietHours)
    except msgspec.ValidationError as e:
        raise Invalid.field("end" if "$.end" in str(e) else "start", "write it like 22:00") from None


def _refuse(field: str, why: str) -> Never:
    raise Invalid.field(field, why)
