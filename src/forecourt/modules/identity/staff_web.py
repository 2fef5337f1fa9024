"""The pages about who works where: my organisations, the staff of one, its API keys, an invitation."""

from __future__ import annotations

from datetime import UTC, datetime, time
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from forecourt.kernel.errors import FieldError, Invalid, Problem
from forecourt.kernel.http.operation import (
    ANY_STAFF,
    CONFIRMED,
    PERSON,
    PUBLIC,
    Api,
    By,
    Html,
    Limit,
    Redirect,
    Visit,
    action,
    page,
    staff,
)
from forecourt.kernel.reach import DAYS
from forecourt.kernel.web.forms import FORM, NO_FAULTS, Faults
from forecourt.kernel.web.surroundings import Surroundings, staff_bar
from forecourt.kernel.web.views import Choice, Link
from forecourt.modules.identity.contract import LinkInvalid
from forecourt.modules.identity.http import MemberView, member_view
from forecourt.modules.identity.limits import hours_by_day, read_limits
from forecourt.modules.identity.passwords import refuse
from forecourt.modules.identity.rules import PERMISSIONS, ROLE_PERMISSIONS, BuiltInRole, may_grant
from forecourt.modules.identity.service import IdentityService
from forecourt.modules.identity.service.staff import Invited
from forecourt.modules.venues.contract import OrganisationCard, OrganisationStatus, Venues

Typed = Annotated[str, Meta(max_length=254)]
Hours = Annotated[str, Meta(max_length=60)]
SHOWN = 100
BUILT_IN = frozenset(role.value for role in BuiltInRole)
GROUPS = {
    "booking": "booking",
    "venues": "venues",
    "payments": "payments",
    "memberships": "memberships",
    "staff": "staff",
    "keys": "staff",
    "audit": "records",
    "analytics": "records",
}
"""The subject a permission stands under on the page of keys, by its first word."""
ELSE = "else"


class Invite(msgspec.Struct, forbid_unknown_fields=True):
    email: Typed = ""
    role: Annotated[str, Meta(max_length=40)] = BuiltInRole.AGENT.value


class GiveRole(msgspec.Struct, forbid_unknown_fields=True):
    role: Annotated[str, Meta(max_length=40)]
    version: int


class LimitsForm(msgspec.Struct, forbid_unknown_fields=True):
    """Limits as they are typed: hours by day."""

    networks: Annotated[str, Meta(max_length=1000)] = ""
    mon: Hours = ""
    tue: Hours = ""
    wed: Hours = ""
    thu: Hours = ""
    fri: Hours = ""
    sat: Hours = ""
    sun: Hours = ""
    time_zone: Annotated[str, Meta(max_length=64)] = ""
    version: int = 1

    @property
    def hours(self) -> dict[str, str]:
        return {day: str(getattr(self, day)) for day in DAYS}

    @classmethod
    def of(cls, member: MemberView, time_zone: str) -> LimitsForm:
        """What is kept, as a form; `time_zone` is offered where no hours are."""
        reach = member.limited_to
        zone = reach.time_zone if reach.hours else time_zone
        return cls("\n".join(reach.networks), **hours_by_day(reach), time_zone=zone, version=member.version)


class DayHours(msgspec.Struct, frozen=True):
    name: str
    label: str
    value: str
    error: str


class KeyForm(msgspec.Struct, forbid_unknown_fields=True):
    name: Annotated[str, Meta(max_length=80)] = ""
    permissions: Annotated[list[Annotated[str, Meta(max_length=60)]], Meta(max_length=100)] = []
    expires: Annotated[str, Meta(max_length=10)] = ""


class MyPlace(msgspec.Struct, frozen=True):
    """An organisation that the visitor works for; `role` in words, and `status` too, empty while it is active."""

    card: OrganisationCard
    role: str
    status: str
    href: str


class StaffRow(msgspec.Struct, frozen=True):
    """Somebody who works here; `role` in words. `may_give`: whether the visitor may give and take this role."""

    member: MemberView
    role: str
    may_give: bool


class InvitedRow(msgspec.Struct, frozen=True):
    """Somebody who has not answered; `role` in words. `may_give`: whether the visitor may give and take this role."""

    invitation: Invited
    role: str
    may_give: bool


class PermissionGroup(msgspec.Struct, frozen=True):
    label: str
    items: list[Choice]


class StaffPages(Api):
    tag = "Console"

    def __init__(self, service: IdentityService, pages: Surroundings, venues: Venues) -> None:
        self._staff = service.staff
        self._pages = pages
        self._venues = venues

    @page("/orgs", access=PERSON)
    async def mine(self, visit: Visit) -> Html:
        """The organisations the visitor works for."""
        places = await self._staff.places(visit.ctx)
        cards = {card.id: card for card in await self._venues.organisations(visit.ctx, [p.organisation_id for p in places])}
        rows = [
            MyPlace(
                card,
                self._role(visit, p.role),
                "" if card.status == OrganisationStatus.ACTIVE else self._say(visit, f"orgs.status.{card.status}"),
                _front(p.organisation_id, p.permissions),
            )
            for p in places
            if (card := cards.get(p.organisation_id)) is not None
        ]
        return self._pages.page("identity/orgs.html", visit, rows=rows)

    @page("/staff-invitations/{token}", access=PUBLIC)
    async def invitation(self, visit: Visit, token: str) -> Html:
        """An invitation to join the staff."""
        try:
            await self._staff.look_at_invitation(visit.ctx, token)
        except LinkInvalid as problem:
            return self._invitation(visit, token, problem)
        return self._pages.page("identity/invitation.html", visit, token=token, wrong=NO_FAULTS)

    @action("/staff-invitations/{token}", access=CONFIRMED)
    async def accept(self, visit: Visit, token: str) -> Html | Redirect:
        """Joins."""
        try:
            place = await self._staff.accept(visit.ctx, token)
        except Problem as problem:
            return self._invitation(visit, token, problem)
        joined = self._say(visit, "invitation.in", role=self._role_inside(visit, place.role))
        return Redirect(_front(place.organisation_id, place.permissions), toast=joined)

    def _invitation(self, visit: Visit, token: str, problem: Problem) -> Html:
        wrong = self._pages.faults(visit, problem)
        if isinstance(problem, LinkInvalid):
            wrong = Faults(problem.status, problem.code, {FORM: self._say(visit, "invitation.old")})
        return self._pages.page("identity/invitation.html", visit, status=wrong.status, token=token, wrong=wrong)

    # --- people

    @page("/orgs/{org_id}/people", access=staff("staff.read"))
    async def people(self, visit: Visit, org_id: UUID) -> Html:
        """Who works here."""
        return await self._people(visit, org_id, Invite(), NO_FAULTS)

    @action("/orgs/{org_id}/people", access=staff("staff.manage"), limits=(Limit("60/hour", By.ACCOUNT),))
    async def invite(self, visit: Visit, org_id: UUID, form: Invite) -> Html | Redirect:
        """Sends an invitation."""
        try:
            if not form.email.strip():
                raise Invalid.field("email", "is needed")
            invited = await self._staff.invite(visit.ctx, form.email, form.role)
        except Problem as problem:
            return await self._people(visit, org_id, form, self._pages.faults(visit, problem))
        return Redirect(f"/orgs/{org_id}/people", toast=self._say(visit, "identity.people.invited", email=invited.email))

    @action(
        "/orgs/{org_id}/people/invitations/{invitation_id}/resend",
        access=staff("staff.manage"),
        limits=(Limit("60/hour", By.ACCOUNT),),
    )
    async def invite_again(self, visit: Visit, org_id: UUID, invitation_id: UUID) -> Html | Redirect:
        """Sends an open invitation anew."""
        try:
            invited = await self._staff.invite_again(visit.ctx, invitation_id)
        except Problem as problem:
            return await self._people(visit, org_id, Invite(), self._pages.faults(visit, problem, {"role": FORM}))
        return Redirect(f"/orgs/{org_id}/people", toast=self._say(visit, "identity.people.invited", email=invited.email))

    @action("/orgs/{org_id}/people/invitations/{invitation_id}/withdraw", access=staff("staff.manage"))
    async def uninvite(self, visit: Visit, org_id: UUID, invitation_id: UUID) -> Html | Redirect:
        """Takes an open invitation back."""
        try:
            await self._staff.uninvite(visit.ctx, invitation_id)
        except Problem as problem:
            return await self._people(visit, org_id, Invite(), self._pages.faults(visit, problem, {"role": FORM}))
        return Redirect(f"/orgs/{org_id}/people", toast=self._say(visit, "identity.people.uninvited"))

    @action("/orgs/{org_id}/people/{account_id}/role", access=staff("staff.manage"))
    async def change_role(self, visit: Visit, org_id: UUID, account_id: UUID, form: GiveRole) -> Html | Redirect:
        """Gives another role."""
        try:
            row = await self._staff.change_role(visit.ctx, account_id, form.role, form.version)
        except Problem as problem:
            return await self._people(visit, org_id, Invite(), self._pages.faults(visit, problem))
        now = self._say(visit, "identity.people.role_is", name=row.name, role=self._role_inside(visit, form.role))
        return Redirect(f"/orgs/{org_id}/people", toast=now)

    @page("/orgs/{org_id}/people/{account_id}/limits", access=staff("staff.manage"))
    async def limits(self, visit: Visit, org_id: UUID, account_id: UUID) -> Html:
        """From where and when a member's rights count."""
        return await self._limits(visit, org_id, account_id, None, NO_FAULTS)

    @action("/orgs/{org_id}/people/{account_id}/limits", access=staff("staff.manage"))
    async def limit(self, visit: Visit, org_id: UUID, account_id: UUID, form: LimitsForm) -> Html | Redirect:
        """Limits a member to networks and hours, or to neither."""
        try:
            reach = read_limits(form.networks, form.hours, form.time_zone)
            row = await self._staff.change_role(visit.ctx, account_id, None, form.version, reach)
        except Problem as problem:
            return await self._limits(visit, org_id, account_id, form, self._pages.faults(visit, problem, {"limited_to": FORM}))
        done = self._say(visit, "identity.limits.set" if reach.limited else "identity.limits.gone", name=row.name)
        return Redirect(f"/orgs/{org_id}/people", toast=done)

    async def _limits(self, visit: Visit, org_id: UUID, account_id: UUID, form: LimitsForm | None, wrong: Faults) -> Html:
        organisation = await self._venues.organisation(visit.ctx, org_id)
        member = member_view(await self._staff.member(visit.ctx, account_id))
        form = form or LimitsForm.of(member, organisation.timezone)
        texts = form.hours
        return self._pages.page(
            "identity/limits.html",
            visit,
            org=staff_bar(organisation, visit.ctx),
            status=wrong.status,
            member=member,
            role=self._role(visit, member.role),
            form=form,
            days=[DayHours(day, self._say(visit, f"identity.day.{day}"), texts[day], wrong(day)) for day in DAYS],
            crumbs=[Link(self._say(visit, "nav.people"), f"/orgs/{org_id}/people")],
            wrong=wrong,
        )

    @action("/orgs/{org_id}/people/{account_id}/remove", access=ANY_STAFF)
    async def remove(self, visit: Visit, org_id: UUID, account_id: UUID) -> Html | Redirect:
        """Removes somebody, or the visitor itself."""
        try:
            await self._staff.remove(visit.ctx, account_id)
        except Problem as problem:
            return await self._people(visit, org_id, Invite(), self._pages.faults(visit, problem))
        if account_id == visit.ctx.account_id:
            return Redirect("/orgs", toast=self._say(visit, "identity.people.left"))
        return Redirect(f"/orgs/{org_id}/people", toast=self._say(visit, "identity.people.removed"))

    async def _people(self, visit: Visit, org_id: UUID, form: Invite, wrong: Faults) -> Html:
        members = [member_view(row) for row in (await self._staff.list(visit.ctx, SHOWN, None)).items]
        organisation = await self._venues.organisation(visit.ctx, org_id)
        own = (await self._staff.roles(visit.ctx, SHOWN, None)).items
        offered = [
            Choice(label=self._role(visit, role), value=role.value, hint=self._say(visit, f"identity.role.{role}_hint"))
            for role in BuiltInRole
            if may_grant(visit.ctx.permissions, ROLE_PERMISSIONS[role])
        ]
        offered += [Choice(label=row.name, value=row.name) for row in own if may_grant(visit.ctx.permissions, row.permissions)]
        given, may_manage = {r.value for r in offered}, visit.ctx.may("staff.manage")
        open = await self._staff.open_invitations(visit.ctx) if may_manage else []
        return self._pages.page(
            "identity/people.html",
            visit,
            org=staff_bar(organisation, visit.ctx),
            status=wrong.status,
            rows=[StaffRow(m, self._role(visit, m.role), m.role in given) for m in sorted(members, key=_standing)],
            roles=offered,
            form=form,
            wrong=wrong,
            me=visit.ctx.account_id,
            may_manage=may_manage,
            tz=organisation.timezone,
            invited=[InvitedRow(i, self._role(visit, i.role), i.role in given) for i in open],
        )

    # --- keys

    @page("/orgs/{org_id}/keys", access=staff("keys.manage"))
    async def keys(self, visit: Visit, org_id: UUID) -> Html:
        """API keys in use."""
        return await self._keys(visit, org_id, KeyForm(), NO_FAULTS, "")

    @action("/orgs/{org_id}/keys", access=staff("keys.manage"))
    async def make_key(self, visit: Visit, org_id: UUID, form: KeyForm) -> Html:
        """Makes a key and shows it, this once."""
        try:
            faults = [] if form.name.strip() else [FieldError("name", "is needed")]
            faults += [] if form.permissions else [FieldError("permissions", "tick at least one")]
            refuse(faults)
            _, key = await self._staff.make_key(visit.ctx, form.name, form.permissions, _end_of(form.expires))
        except Problem as problem:
            return await self._keys(visit, org_id, form, self._pages.faults(visit, problem, {"expires_at": "expires"}), "")
        return await self._keys(visit, org_id, KeyForm(), NO_FAULTS, key)

    @action("/orgs/{org_id}/keys/{key_id}/revoke", access=staff("keys.manage"))
    async def revoke_key(self, visit: Visit, org_id: UUID, key_id: UUID) -> Redirect:
        """Ends a key."""
        await self._staff.revoke_key(visit.ctx, key_id)
        return Redirect(f"/orgs/{org_id}/keys", toast=self._say(visit, "identity.keys.revoked"))

    async def _keys(self, visit: Visit, org_id: UUID, form: KeyForm, wrong: Faults, made: str) -> Html:
        organisation = await self._venues.organisation(visit.ctx, org_id)
        return self._pages.page(
            "identity/keys.html",
            visit,
            org=staff_bar(organisation, visit.ctx),
            status=wrong.status,
            keys=(await self._staff.keys(visit.ctx, SHOWN, None)).items,
            groups=self._groups(visit, form.permissions),
            form=form,
            wrong=wrong,
            made=made,
            tz=organisation.timezone,
        )

    def _groups(self, visit: Visit, ticked: list[str]) -> list[PermissionGroup]:
        """What a key may be given: what its maker has, by subject."""
        found: dict[str, list[Choice]] = {group: [] for group in (*dict.fromkeys(GROUPS.values()), ELSE)}
        said = self._pages.said(visit)
        for permission, hint in PERMISSIONS.items():
            if permission in visit.ctx.permissions:
                group = GROUPS.get(permission.partition(".")[0], ELSE)
                found[group].append(Choice(label=said(hint), value=permission, chosen=permission in ticked))
        return [PermissionGroup(self._say(visit, f"identity.group.{group}"), items) for group, items in found.items() if items]

    # --- words

    def _say(self, visit: Visit, key: str, /, **values: object) -> str:
        return self._pages.text(visit, key, **values)

    def _role(self, visit: Visit, name: str) -> str:
        """A role as a label; one of the organisation's own as it was named."""
        return self._say(visit, f"identity.role.{name}") if name in BUILT_IN else name.capitalize()

    def _role_inside(self, visit: Visit, name: str) -> str:
        """A role within a sentence."""
        return self._role(visit, name).lower() if name in BUILT_IN else name


def _front(organisation_id: UUID, permissions: list[str]) -> str:
    """Where work begins: at the day sheet for who may see it."""
    return f"/orgs/{organisation_id}/{'day' if 'booking.read_any' in permissions else 'more'}"


def _standing(member: MemberView) -> tuple[int, str]:
    order = [role.value for role in BuiltInRole]
    return (order.index(member.role) if member.role in order else len(order), member.name.casefold())


def _end_of(text: str) -> datetime | None:
    """The last moment of a day, in UTC; None for no day. Raises Invalid."""
    if not text:
        return None
    try:
        return datetime.combine(datetime.fromisoformat(text).date(), time(23, 59, 59), UTC)
    except ValueError:
        raise Invalid.field("expires", "not a date; write it like 2027-01-31") from None
