"""What a guest sees of an invitation, with or without an account, and how the booking's owner looks after their guests."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from forecourt.kernel.context import Context, service_context
from forecourt.kernel.errors import Conflict, Forbidden, Invalid, Problem, TooManyRequests
from forecourt.kernel.http.operation import PERSON, PUBLIC, Api, By, Html, Limit, Redirect, Visit, action, page
from forecourt.kernel.web.surroundings import Surroundings
from forecourt.modules.booking.contract import (
    BookingOut,
    BookingStatus,
    GuestInvitation,
    InvitationOver,
    Invitee,
    InviteeStatus,
)
from forecourt.modules.booking.guest_views import Speaker
from forecourt.modules.booking.service import BookingService
from forecourt.modules.booking.service.base import CHANGE_ANY
from forecourt.modules.booking.service.desk import ASKED_AT_ONCE
from forecourt.modules.booking.service.inviting import OPEN, STANDING

MENDABLE = (Invalid, Conflict, Forbidden, TooManyRequests)
GUESSES = (Limit("60/minute", By.ADDRESS),)
INVITING = (Limit("60/hour", By.ACCOUNT),)
STATES = {
    InviteeStatus.PENDING: "pending_approval",
    InviteeStatus.ACCEPTED: "upcoming",
    InviteeStatus.DECLINED: "declined",
    InviteeStatus.WITHDRAWN: "completed",
}
"""The colour of each; the word stands beside it."""


class GuestRow(msgspec.Struct, frozen=True):
    """A guest on the page of a booking. `may_withdraw` is false for who is off the list, `may_ask` for who has not said no or was
    asked as often as one may."""

    id: UUID
    name: str
    state: str
    label: str
    may_withdraw: bool
    may_ask: bool


class GuestsView(msgspec.Struct, frozen=True):
    """`open` says whether the reader can invite more, `places` how many; `coming` have said yes, with whose booking it is."""

    rows: list[GuestRow]
    places: int
    open: bool
    coming: int
    problem: str = ""
    email: str = ""


class InvitationRow(msgspec.Struct, frozen=True):
    """One of the reader's invitations."""

    href: str
    when: str
    place: str
    host: str
    state: str
    label: str


class NewGuest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    email: Annotated[str, Meta(max_length=254)] = ""


class Guests:
    """The part of a booking's page, or of its panel at the desk, that is about its guests."""

    def __init__(self, service: BookingService, pages: Surroundings) -> None:
        self._service = service
        self._pages = pages

    async def of(
        self, visit: Visit, say: Speaker, booking: BookingOut, problem: Problem | None = None, email: str = ""
    ) -> GuestsView | None:
        """None where there is nobody and nobody can come: a party of one, or a booking that is over."""
        return await self._view(visit, say, booking, OPEN, "" if problem is None else self._pages.words(visit, problem), email)

    async def at_the_desk(self, visit: Visit, say: Speaker, booking: BookingOut) -> GuestsView | None:
        """The same for staff, who may change who is invited with the permission to, once the booking stands."""
        return await self._view(visit, say, booking, STANDING if visit.ctx.may(CHANGE_ANY) else (), "", "")

    async def _view(
        self, visit: Visit, say: Speaker, booking: BookingOut, while_it_is: Sequence[BookingStatus], problem: str, email: str
    ) -> GuestsView | None:
        found = await self._service.invitees(visit.ctx, booking.id)
        open = booking.status in while_it_is and booking.end > self._service.clock.now()
        if not found.items and (not open or found.places < 1):
            return None
        house = service_context("booking.pages", booking.organisation_id, visit.ctx.trace_id)
        ids = [i.account_id for i in found.items if i.account_id is not None]
        names: dict[UUID, str] = {}
        for i in range(0, len(ids), ASKED_AT_ONCE):
            names |= {c.id: c.name for c in await self._service.identity.accounts(house, ids[i : i + ASKED_AT_ONCE])}
        rows = [_row(say, i, names, open=open, places=found.places) for i in found.items]
        coming = 1 + sum(i.status is InviteeStatus.ACCEPTED for i in found.items)
        return GuestsView(rows, found.places, open, coming, problem, email)

    async def invitations(self, visit: Visit, say: Speaker) -> list[InvitationRow]:
        """The reader's own."""
        found = await self._service.my_invitations(visit.ctx)
        return [
            InvitationRow(
                f"/invitations/{i.id}", _when(self._pages, visit, i), f"{i.place}, {i.venue}", i.host, STATES[i.status],
                say.t(f"guests.mine.{i.status.value}"),
            )
            for i in found
        ]  # fmt: skip


class InvitationPages(Api):
    tag = "Pages"

    def __init__(self, service: BookingService, pages: Surroundings) -> None:
        self._service = service
        self._pages = pages

    @page("/invitations/{ref}")
    async def invitation(self, visit: Visit, ref: str) -> Html:
        """An invitation, for who has its link or whose it is."""
        return await self._shown(visit, ref, None)

    async def _shown(self, visit: Visit, ref: str, problem: Problem | None) -> Html:
        found = await self._service.invitation(visit.ctx, ref)
        say = Speaker(self._pages.pages, visit.locale, found.timezone)
        return self._pages.page(
            "booking/invitation.html",
            msgspec.structs.replace(visit, path=f"/invitations/{ref}", query=""),
            status=200 if problem is None else problem.status,
            invitation=found,
            ref=ref,
            when=say.span(found.start, found.end),
            day=say.date(found.start),
            said=say.t(f"guests.you.{found.status.value}"),
            state=STATES[found.status],
            host=found.host or found.organisation,
            problem="" if problem is None else self._pages.words(visit, problem),
        )

    @action("/invitations/{ref}/accept", access=PUBLIC, limits=GUESSES)
    async def accept(self, visit: Visit, ref: str) -> Html | Redirect:
        """Says yes; signed in, it becomes one's own."""
        return await self._answered(visit, ref, self._service.accept_invitation)

    @action("/invitations/{ref}/decline", access=PUBLIC, limits=GUESSES)
    async def decline(self, visit: Visit, ref: str) -> Html | Redirect:
        """Says no; it can be taken back."""
        return await self._answered(visit, ref, self._service.decline_invitation)

    async def _answered(
        self, visit: Visit, ref: str, answer: Callable[[Context, str], Awaitable[GuestInvitation]]
    ) -> Html | Redirect:
        try:
            await answer(visit.ctx, ref)
        except InvitationOver:
            raise
        except MENDABLE as problem:
            return await self._shown(visit, ref, problem)
        return Redirect(f"/invitations/{ref}")

    @action("/bookings/{id}/invitees/{invitee_id}/withdraw", access=PERSON)
    async def withdraw(self, visit: Visit, id: UUID, invitee_id: UUID) -> Redirect:
        """Takes an invitation back; the page has asked before."""
        await self._service.withdraw(visit.ctx, id, invitee_id)
        say = Speaker(self._pages.pages, visit.locale, "UTC")
        return Redirect(f"/bookings/{id}#guests", toast=say.t("guests.withdrawn"))


def _row(say: Speaker, invitee: Invitee, names: dict[UUID, str], *, open: bool, places: int) -> GuestRow:
    known = names.get(invitee.account_id, "") if invitee.account_id is not None else ""
    nobody = say.t("guests.somebody" if invitee.account_id is None else "guests.deleted")
    name = " · ".join(part for part in (known, invitee.email or "") if part) or nobody
    may = open and invitee.status is not InviteeStatus.WITHDRAWN
    again = open and places > 0 and invitee.may_ask_again
    return GuestRow(invitee.id, name, STATES[invitee.status], say.t(f"guests.state.{invitee.status.value}"), may, again)


def _when(pages: Surroundings, visit: Visit, i: GuestInvitation) -> str:
    say = Speaker(pages.pages, visit.locale, i.timezone)
    return f"{say.date(i.start, 'day')}, {say.span(i.start, i.end)}"
