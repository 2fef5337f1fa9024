"""Every operation of the house, to be awaited.

Generated from the OpenAPI document by `make clients`; not to be edited.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import date, datetime
from uuid import UUID

from forecourt_client import models as m
from forecourt_client._door import AsyncDoor
from forecourt_client._wire import UNSET, Call, Content, File, Method, Page, Versioned, version_tag


class Audit:
    """Audit."""

    def __init__(self, door: AsyncDoor) -> None:
        self._door = door

    async def entries(
        self,
        org_id: UUID | str,
        *,
        object: str | None = None,
        actor: UUID | str | None = None,
        action: str | None = None,
        from_: datetime | None = None,
        to: datetime | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Page[m.AuditEntry]:
        """Who did what to which object, newest first.

        `object` narrows to entries that mention the object, `actor` to a person or a key; `from` is included, `to` is not.

        For staff with `audit.read`.
        """
        return await self._door.call(
            Call(
                Method("GET", "/v1/orgs/{org_id}/audit"),
                Page[m.AuditEntry],
                path={"org_id": org_id},
                query={
                    "object": object,
                    "actor": actor,
                    "action": action,
                    "from": from_,
                    "to": to,
                    "limit": limit,
                    "cursor": cursor,
                },
            )
        )

    def iter_entries(
        self,
        org_id: UUID | str,
        *,
        object: str | None = None,
        actor: UUID | str | None = None,
        action: str | None = None,
        from_: datetime | None = None,
        to: datetime | None = None,
        limit: int | None = None,
        page_size: int = 100,
    ) -> AsyncIterator[m.AuditEntry]:
        """Who did what to which object, newest first.

        Every entry, or the first `limit`; pages are fetched as entries are taken.
        """
        return self._door.pages(
            Call(
                Method("GET", "/v1/orgs/{org_id}/audit"),
                Page[m.AuditEntry],
                path={"org_id": org_id},
                query={"object": object, "actor": actor, "action": action, "from": from_, "to": to},
            ),
            limit,
            page_size,
        )

    async def export(
        self,
        org_id: UUID | str,
        *,
        format: m.ExportFormat | None = None,
        object: str | None = None,
        actor: UUID | str | None = None,
        action: str | None = None,
        from_: datetime | None = None,
        to: datetime | None = None,
    ) -> Content:
        """The entries as a file: CSV for a spreadsheet, or JSON lines.

        Oldest first, at most 366 days and 100,000 entries; without `from` and `to`, the last 366 days. `intact` says of
        each entry whether it is as it was sealed, `erased` what is gone because somebody's account was erased; a number
        that is left out in an export without filters is an entry that is gone. `X-Total-Count` says how many there are,
        `X-Audit-Head` where the chain ends. A file that breaks off breaks the connection. In CSV a cell that a spreadsheet
        would run has an apostrophe in front; JSON lines are exact. The export is an entry itself.

        For staff with `audit.read`.

        Raises ExportTooLarge.
        """
        return await self._door.call(
            Call(
                Method("GET", "/v1/orgs/{org_id}/audit/export"),
                Content,
                path={"org_id": org_id},
                query={"format": format, "object": object, "actor": actor, "action": action, "from": from_, "to": to},
            )
        )

    async def proof(self, org_id: UUID | str, *, noted: str | None = None) -> m.Proof:
        """Recomputes the organisation's chain and says whether it is intact.

        Note `head` somewhere else; `noted` later proves that everything up to it is unchanged.

        For staff with `audit.read`.
        """
        return await self._door.call(
            Call(Method("GET", "/v1/orgs/{org_id}/audit/proof"), m.Proof, path={"org_id": org_id}, query={"noted": noted})
        )


class Booking:
    """Booking."""

    def __init__(self, door: AsyncDoor) -> None:
        self._door = door

    async def accept_invitation(self, token: str) -> m.GuestInvitation:
        """Say yes. Signed in, the invitation becomes yours and you join the booking's room.

        Raises InvitationOver, InvitationTaken.
        """
        return await self._door.call(
            Call(Method("POST", "/v1/invitations/{token}/accept"), m.GuestInvitation, path={"token": token})
        )

    async def approve(self, org_id: UUID | str, id: UUID | str, *, idempotency_key: str | None = None) -> m.BookingOut:
        """Approve a booking that waits for it.

        For staff with `booking.approve`.

        Raises InvalidTransition.
        """
        return await self._door.call(
            Call(
                Method("POST", "/v1/orgs/{org_id}/bookings/{id}/approve", keyed=True),
                m.BookingOut,
                path={"org_id": org_id, "id": id},
                key=idempotency_key,
            )
        )

    async def ask_again(self, id: UUID | str, invitee_id: UUID | str, *, idempotency_key: str | None = None) -> m.Invitee:
        """Ask once more who said no, or was taken off; three times in all. Whoever is invited stays so.

        Raises AskedOften, EmailUnconfirmed, InvalidTransition, InvitationDeclined, TooManyInvitations.
        """
        return await self._door.call(
            Call(
                Method("POST", "/v1/bookings/{id}/invitees/{invitee_id}/ask", keyed=True),
                m.Invitee,
                path={"id": id, "invitee_id": invitee_id},
                key=idempotency_key,
            )
        )

    async def ask_any_again(
        self, org_id: UUID | str, id: UUID | str, invitee_id: UUID | str, *, idempotency_key: str | None = None
    ) -> m.Invitee:
        """Ask once more who said no to a booking that stands, or was taken off, in the name of whose it is.

        For staff with `booking.update_any`.

        Raises AskedOften, EmailUnconfirmed, InvalidTransition, InvitationDeclined, TooManyInvitations.
        """
        return await self._door.call(
            Call(
                Method("POST", "/v1/orgs/{org_id}/bookings/{id}/invitees/{invitee_id}/ask", keyed=True),
                m.Invitee,
                path={"org_id": org_id, "id": id, "invitee_id": invitee_id},
                key=idempotency_key,
            )
        )

    async def availabilities(
        self,
        *,
        from_: date,
        venue_ids: Sequence[UUID | str] | None = None,
        near: str | None = None,
        radius_km: float | None = None,
        to: date | None = None,
        duration_min: int | None = None,
        team_size: int | None = None,
        purpose: m.Purpose | None = None,
        sport: str | None = None,
    ) -> m.Availabilities:
        """Free starts at several venues, named or near a point.

        Unknown venues are left out. Near a point: the 20 nearest that are listed and have something for the sport, nearest
        first.
        """
        return await self._door.call(
            Call(
                Method("GET", "/v1/availability"),
                m.Availabilities,
                query={
                    "venue_ids": venue_ids,
                    "near": near,
                    "radius_km": radius_km,
                    "from": from_,
                    "to": to,
                    "duration_min": duration_min,
                    "team_size": team_size,
                    "purpose": purpose,
                    "sport": sport,
                },
            )
        )

    async def availability(
        self,
        venue_id: UUID | str,
        *,
        from_: date,
        to: date | None = None,
        duration_min: int | None = None,
        team_size: int | None = None,
        purpose: m.Purpose | None = None,
        resource_id: UUID | str | None = None,
        sport: str | None = None,
    ) -> m.Availability:
        """Free starts at a venue, with prices. At most 31 days and 100 things at once."""
        return await self._door.call(
            Call(
                Method("GET", "/v1/venues/{venue_id}/availability"),
                m.Availability,
                path={"venue_id": venue_id},
                query={
                    "from": from_,
                    "to": to,
                    "duration_min": duration_min,
                    "team_size": team_size,
                    "purpose": purpose,
                    "resource_id": resource_id,
                    "sport": sport,
                },
            )
        )

    async def blocks(
        self,
        org_id: UUID | str,
        *,
        limit: int | None = None,
        cursor: str | None = None,
        venue_id: UUID | str | None = None,
        from_: datetime | None = None,
    ) -> Page[m.Block]:
        """Blocks by their start.

        For staff with `booking.read_any`.
        """
        return await self._door.call(
            Call(
                Method("GET", "/v1/orgs/{org_id}/blocks"),
                Page[m.Block],
                path={"org_id": org_id},
                query={"limit": limit, "cursor": cursor, "venue_id": venue_id, "from": from_},
            )
        )

    def iter_blocks(
        self,
        org_id: UUID | str,
        *,
        venue_id: UUID | str | None = None,
        from_: datetime | None = None,
        limit: int | None = None,
        page_size: int = 100,
    ) -> AsyncIterator[m.Block]:
        """Blocks by their start.

        Every entry, or the first `limit`; pages are fetched as entries are taken.
        """
        return self._door.pages(
            Call(
                Method("GET", "/v1/orgs/{org_id}/blocks"),
                Page[m.Block],
                path={"org_id": org_id},
                query={"venue_id": venue_id, "from": from_},
            ),
            limit,
            page_size,
        )

    async def book(self, body: m.NewBooking, *, idempotency_key: str | None = None) -> m.BookingOut:
        """Book a place. Without `pay_with` it is held and paid for later; a refused payment holds nothing.

        Raises AdminCannotBook, CapacityExceeded, EmailUnconfirmed, HoldExpired, InsufficientCredits, InvalidTransition,
        MeansNotSetUp, OrganisationInactive, OutsideHorizon, PromoRejected, QuoteExpired, QuoteMismatch, ResourceInactive,
        SlotTaken, TooManyInvitations, TooManyOpenBookings, VenueClosed.
        """
        return await self._door.call(
            Call(Method("POST", "/v1/bookings", keyed=True), m.BookingOut, body=body, key=idempotency_key)
        )

    async def book_for(self, org_id: UUID | str, body: m.StaffBooking, *, idempotency_key: str | None = None) -> m.BookingOut:
        """Book for an account, an e-mail address or a walk-in.

        For staff with `booking.create_any`.

        Raises AdminCannotBook, CapacityExceeded, EmailUnconfirmed, HoldExpired, InsufficientCredits, InvalidTransition,
        MeansNotSetUp, OrganisationInactive, OutsideHorizon, PromoRejected, QuoteExpired, QuoteMismatch, ResourceInactive,
        SlotTaken, TooManyInvitations, TooManyOpenBookings, VenueClosed.
        """
        return await self._door.call(
            Call(
                Method("POST", "/v1/orgs/{org_id}/bookings", keyed=True),
                m.BookingOut,
                path={"org_id": org_id},
                body=body,
                key=idempotency_key,
            )
        )

    async def calendar_file(self, id: UUID | str) -> Content:
        """One booking as a calendar file."""
        return await self._door.call(Call(Method("GET", "/v1/bookings/{id}/calendar.ics"), Content, path={"id": id}))

    async def cancel(self, id: UUID | str, body: m.Cancel | None = None, *, idempotency_key: str | None = None) -> m.BookingOut:
        """Cancel. Of `refund`, what was still due falls away, as the refund preview says; the rest goes back.

        Raises BookingOvertaken, InvalidTransition, RefundChanged.
        """
        return await self._door.call(
            Call(
                Method("POST", "/v1/bookings/{id}/cancel", keyed=True),
                m.BookingOut,
                path={"id": id},
                body=UNSET if body is None else body,
                key=idempotency_key,
            )
        )

    async def cancel_any(
        self, org_id: UUID | str, id: UUID | str, body: m.Cancel | None = None, *, idempotency_key: str | None = None
    ) -> m.BookingOut:
        """Cancel a booking, with the refund of the policy.

        For staff with `booking.cancel_any`.

        Raises BookingOvertaken, InvalidTransition, RefundChanged.
        """
        return await self._door.call(
            Call(
                Method("POST", "/v1/orgs/{org_id}/bookings/{id}/cancel", keyed=True),
                m.BookingOut,
                path={"org_id": org_id, "id": id},
                body=UNSET if body is None else body,
                key=idempotency_key,
            )
        )

    async def day(self, org_id: UUID | str, id: UUID | str, *, date: date) -> m.DaySheet:
        """A venue's day: opening hours, bookings and blocks.

        For staff with `booking.read_any`.
        """
        return await self._door.call(
            Call(
                Method("GET", "/v1/orgs/{org_id}/venues/{id}/day"),
                m.DaySheet,
                path={"org_id": org_id, "id": id},
                query={"date": date},
            )
        )

    async def decline(
        self, org_id: UUID | str, id: UUID | str, body: m.Decline, *, idempotency_key: str | None = None
    ) -> m.BookingOut:
        """Decline a booking that waits for approval, and say why.

        For staff with `booking.approve`.

        Raises InvalidTransition.
        """
        return await self._door.call(
            Call(
                Method("POST", "/v1/orgs/{org_id}/bookings/{id}/decline", keyed=True),
                m.BookingOut,
                path={"org_id": org_id, "id": id},
                body=body,
                key=idempotency_key,
            )
        )

    async def decline_invitation(self, token: str) -> m.GuestInvitation:
        """Say no, also after a yes.

        Raises InvitationOver, InvitationTaken.
        """
        return await self._door.call(
            Call(Method("POST", "/v1/invitations/{token}/decline"), m.GuestInvitation, path={"token": token})
        )

    async def edit(
        self, id: UUID | str, body: m.BookingPatch | None = None, *, if_match: int | Versioned | None = None
    ) -> m.BookingOut:
        """Change purpose, party or note; the price follows.

        Raises BookingOvertaken, CapacityExceeded, InsufficientCredits, InvalidTransition, OrganisationInactive,
        OutsideHorizon, PriceChanged, ResourceInactive, SlotTaken, VenueClosed.
        """
        return await self._door.call(
            Call(
                Method("PATCH", "/v1/bookings/{id}"),
                m.BookingOut,
                path={"id": id},
                body=UNSET if body is None else body,
                headers={"If-Match": version_tag(if_match)},
            )
        )

    async def edit_any(
        self, org_id: UUID | str, id: UUID | str, body: m.BookingPatch | None = None, *, if_match: int | Versioned | None = None
    ) -> m.BookingOut:
        """Change purpose, party or note of a booking.

        For staff with `booking.update_any`.

        Raises BookingOvertaken, CapacityExceeded, InsufficientCredits, InvalidTransition, OrganisationInactive,
        OutsideHorizon, PriceChanged, ResourceInactive, SlotTaken, VenueClosed.
        """
        return await self._door.call(
            Call(
                Method("PATCH", "/v1/orgs/{org_id}/bookings/{id}"),
                m.BookingOut,
                path={"org_id": org_id, "id": id},
                body=UNSET if body is None else body,
                headers={"If-Match": version_tag(if_match)},
            )
        )

    async def end_feed(self) -> None:
        """Close the private address of your calendar."""
        return await self._door.call(Call(Method("DELETE", "/v1/me/calendar-feed"), type(None)))

    async def end_resource_feed(self, org_id: UUID | str, resource_id: UUID | str) -> None:
        """Close the private address of a resource's calendar.

        For staff with `booking.read_any`.
        """
        return await self._door.call(
            Call(
                Method("DELETE", "/v1/orgs/{org_id}/resources/{resource_id}/calendar-feed"),
                type(None),
                path={"org_id": org_id, "resource_id": resource_id},
            )
        )

    async def extend(
        self, id: UUID | str, body: m.Extend, *, if_match: int | Versioned | None = None, idempotency_key: str | None = None
    ) -> m.BookingOut:
        """Give it another length; `duration_min` is the whole.

        Raises BookingOvertaken, CapacityExceeded, InsufficientCredits, InvalidTransition, OrganisationInactive,
        OutsideHorizon, PriceChanged, ResourceInactive, SlotTaken, VenueClosed.
        """
        return await self._door.call(
            Call(
                Method("POST", "/v1/bookings/{id}/extend", keyed=True),
                m.BookingOut,
                path={"id": id},
                body=body,
                headers={"If-Match": version_tag(if_match)},
                key=idempotency_key,
            )
        )

    async def extend_any(
        self,
        org_id: UUID | str,
        id: UUID | str,
        body: m.Extend,
        *,
        if_match: int | Versioned | None = None,
        idempotency_key: str | None = None,
    ) -> m.BookingOut:
        """Give a booking another length.

        For staff with `booking.update_any`.

        Raises BookingOvertaken, CapacityExceeded, InsufficientCredits, InvalidTransition, OrganisationInactive,
        OutsideHorizon, PriceChanged, ResourceInactive, SlotTaken, VenueClosed.
        """
        return await self._door.call(
            Call(
                Method("POST", "/v1/orgs/{org_id}/bookings/{id}/extend", keyed=True),
                m.BookingOut,
                path={"org_id": org_id, "id": id},
                body=body,
                headers={"If-Match": version_tag(if_match)},
                key=idempotency_key,
            )
        )

    async def feed(self, *, token: str) -> Content:
        """The calendar behind a private address, for calendar programs."""
        return await self._door.call(Call(Method("GET", "/v1/me/calendar.ics"), Content, query={"token": token}))

    async def history(self, id: UUID | str) -> m.BookingHistory:
        """What happened to one of your bookings, the oldest first."""
        return await self._door.call(Call(Method("GET", "/v1/bookings/{id}/history"), m.BookingHistory, path={"id": id}))

    async def history_of_any(self, org_id: UUID | str, id: UUID | str) -> m.BookingHistory:
        """What happened to a booking, the oldest first.

        For staff with `booking.read_any`.
        """
        return await self._door.call(
            Call(Method("GET", "/v1/orgs/{org_id}/bookings/{id}/history"), m.BookingHistory, path={"org_id": org_id, "id": id})
        )

    async def invitation(self, token: str) -> m.GuestInvitation:
        """An invitation by the token of its link, without an account; or one of your own by its id.

        Raises InvitationOver, InvitationTaken.
        """
        return await self._door.call(Call(Method("GET", "/v1/invitations/{token}"), m.GuestInvitation, path={"token": token}))

    async def invite(self, id: UUID | str, body: m.NewInvitee | None = None, *, idempotency_key: str | None = None) -> m.Invitee:
        """Invite one more, by account or by e-mail address. Whoever is invited already stays so.

        Raises AskedOften, EmailUnconfirmed, InvalidTransition, InvitationDeclined, TooManyInvitations.
        """
        return await self._door.call(
            Call(
                Method("POST", "/v1/bookings/{id}/invitees", keyed=True),
                m.Invitee,
                path={"id": id},
                body=UNSET if body is None else body,
                key=idempotency_key,
            )
        )

    async def invite_to_any(
        self, org_id: UUID | str, id: UUID | str, body: m.NewInvitee | None = None, *, idempotency_key: str | None = None
    ) -> m.Invitee:
        """Invite one more to a booking that stands, in the name of whose it is.

        For staff with `booking.update_any`.

        Raises AskedOften, EmailUnconfirmed, InvalidTransition, InvitationDeclined, TooManyInvitations.
        """
        return await self._door.call(
            Call(
                Method("POST", "/v1/orgs/{org_id}/bookings/{id}/invitees", keyed=True),
                m.Invitee,
                path={"org_id": org_id, "id": id},
                body=UNSET if body is None else body,
                key=idempotency_key,
            )
        )

    async def invitees(self, id: UUID | str) -> m.Invitees:
        """Who is invited to one of your bookings, and how each invitation stands."""
        return await self._door.call(Call(Method("GET", "/v1/bookings/{id}/invitees"), m.Invitees, path={"id": id}))

    async def invitees_of_any(self, org_id: UUID | str, id: UUID | str) -> m.Invitees:
        """Who is invited to a booking, and how each invitation stands.

        For staff with `booking.read_any`.
        """
        return await self._door.call(
            Call(Method("GET", "/v1/orgs/{org_id}/bookings/{id}/invitees"), m.Invitees, path={"org_id": org_id, "id": id})
        )

    async def make_feed(self) -> m.Feed:
        """Make the private address of your calendar. The one before stops working."""
        return await self._door.call(Call(Method("POST", "/v1/me/calendar-feed"), m.Feed))

    async def make_resource_feed(self, org_id: UUID | str, resource_id: UUID | str) -> m.Feed:
        """Make the private address of a resource's calendar. The one before stops working.

        For staff with `booking.read_any`.
        """
        return await self._door.call(
            Call(
                Method("POST", "/v1/orgs/{org_id}/resources/{resource_id}/calendar-feed"),
                m.Feed,
                path={"org_id": org_id, "resource_id": resource_id},
            )
        )

    async def mine(
        self,
        *,
        limit: int | None = None,
        cursor: str | None = None,
        status: Sequence[m.BookingStatus] | None = None,
        from_: datetime | None = None,
        to: datetime | None = None,
        soonest: bool | None = None,
    ) -> Page[m.BookingOut]:
        """Your bookings, the latest start first, or with `soonest=true` the earliest."""
        return await self._door.call(
            Call(
                Method("GET", "/v1/bookings"),
                Page[m.BookingOut],
                query={"limit": limit, "cursor": cursor, "status": status, "from": from_, "to": to, "soonest": soonest},
            )
        )

    def iter_mine(
        self,
        *,
        status: Sequence[m.BookingStatus] | None = None,
        from_: datetime | None = None,
        to: datetime | None = None,
        soonest: bool | None = None,
        limit: int | None = None,
        page_size: int = 100,
    ) -> AsyncIterator[m.BookingOut]:
        """Your bookings, the latest start first, or with `soonest=true` the earliest.

        Every entry, or the first `limit`; pages are fetched as entries are taken.
        """
        return self._door.pages(
            Call(
                Method("GET", "/v1/bookings"),
                Page[m.BookingOut],
                query={"status": status, "from": from_, "to": to, "soonest": soonest},
            ),
            limit,
            page_size,
        )

    async def move_any(
        self,
        org_id: UUID | str,
        id: UUID | str,
        body: m.Reschedule,
        *,
        if_match: int | Versioned | None = None,
        idempotency_key: str | None = None,
    ) -> m.BookingOut:
        """Move a booking; moving it back undoes it. No fee is taken.

        For staff with `booking.update_any`.

        Raises BookingOvertaken, CapacityExceeded, InsufficientCredits, InvalidTransition, OrganisationInactive,
        OutsideHorizon, PriceChanged, ResourceInactive, SlotTaken, VenueClosed.
        """
        return await self._door.call(
            Call(
                Method("POST", "/v1/orgs/{org_id}/bookings/{id}/reschedule", keyed=True),
                m.BookingOut,
                path={"org_id": org_id, "id": id},
                body=body,
                headers={"If-Match": version_tag(if_match)},
                key=idempotency_key,
            )
        )

    async def my_invitations(self) -> m.GuestInvitations:
        """The bookings of others that you are invited to and have not declined, the earliest start first."""
        return await self._door.call(Call(Method("GET", "/v1/me/invitations"), m.GuestInvitations))

    async def no_show(self, org_id: UUID | str, id: UUID | str, *, idempotency_key: str | None = None) -> m.BookingOut:
        """Note that nobody came.

        For staff with `booking.update_any`.

        Raises InvalidTransition.
        """
        return await self._door.call(
            Call(
                Method("POST", "/v1/orgs/{org_id}/bookings/{id}/no-show", keyed=True),
                m.BookingOut,
                path={"org_id": org_id, "id": id},
                key=idempotency_key,
            )
        )

    async def of_organisation(
        self,
        org_id: UUID | str,
        *,
        limit: int | None = None,
        cursor: str | None = None,
        status: Sequence[m.BookingStatus] | None = None,
        from_: datetime | None = None,
        to: datetime | None = None,
        venue_id: UUID | str | None = None,
        resource_id: UUID | str | None = None,
        account_id: UUID | str | None = None,
    ) -> Page[m.BookingOut]:
        """An organisation's bookings, the earliest start first.

        For staff with `booking.read_any`.
        """
        return await self._door.call(
            Call(
                Method("GET", "/v1/orgs/{org_id}/bookings"),
                Page[m.BookingOut],
                path={"org_id": org_id},
                query={
                    "limit": limit,
                    "cursor": cursor,
                    "status": status,
                    "from": from_,
                    "to": to,
                    "venue_id": venue_id,
                    "resource_id": resource_id,
                    "account_id": account_id,
                },
            )
        )

    def iter_of_organisation(
        self,
        org_id: UUID | str,
        *,
        status: Sequence[m.BookingStatus] | None = None,
        from_: datetime | None = None,
        to: datetime | None = None,
        venue_id: UUID | str | None = None,
        resource_id: UUID | str | None = None,
        account_id: UUID | str | None = None,
        limit: int | None = None,
        page_size: int = 100,
    ) -> AsyncIterator[m.BookingOut]:
        """An organisation's bookings, the earliest start first.

        Every entry, or the first `limit`; pages are fetched as entries are taken.
        """
        return self._door.pages(
            Call(
                Method("GET", "/v1/orgs/{org_id}/bookings"),
                Page[m.BookingOut],
                path={"org_id": org_id},
                query={
                    "status": status,
                    "from": from_,
                    "to": to,
                    "venue_id": venue_id,
                    "resource_id": resource_id,
                    "account_id": account_id,
                },
            ),
            limit,
            page_size,
        )

    async def pay(self, id: UUID | str, body: m.Pay, *, idempotency_key: str | None = None) -> m.BookingOut:
        """Pay for a held booking. A refused payment leaves the hold.

        Raises EmailUnconfirmed, HoldExpired, InsufficientCredits, InvalidTransition, MeansNotSetUp, PromoRejected.
        """
        return await self._door.call(
            Call(
                Method("POST", "/v1/bookings/{id}/pay", keyed=True), m.BookingOut, path={"id": id}, body=body, key=idempotency_key
            )
        )

    async def pay_any(
        self, org_id: UUID | str, id: UUID | str, body: m.Pay, *, idempotency_key: str | None = None
    ) -> m.BookingOut:
        """Pay for a held booking, at the desk or from its person's credits.

        For staff with `booking.create_any`.

        Raises EmailUnconfirmed, HoldExpired, InsufficientCredits, InvalidTransition, MeansNotSetUp, PromoRejected.
        """
        return await self._door.call(
            Call(
                Method("POST", "/v1/orgs/{org_id}/bookings/{id}/pay", keyed=True),
                m.BookingOut,
                path={"org_id": org_id, "id": id},
                body=body,
                key=idempotency_key,
            )
        )

    async def place_block(self, org_id: UUID | str, body: m.NewBlock, *, idempotency_key: str | None = None) -> m.Block:
        """Take time out, once or by a rule. Bookings in the way are listed and stay.

        For staff with `booking.block`.

        Raises Blocked.
        """
        return await self._door.call(
            Call(
                Method("POST", "/v1/orgs/{org_id}/blocks", keyed=True),
                m.Block,
                path={"org_id": org_id},
                body=body,
                key=idempotency_key,
            )
        )

    async def preview_block(self, org_id: UUID | str, body: m.NewBlock) -> m.BlockPreview:
        """When a block would happen and which bookings it would hit, with places they could move to.

        For staff with `booking.block`.
        """
        return await self._door.call(
            Call(Method("POST", "/v1/orgs/{org_id}/blocks/preview"), m.BlockPreview, path={"org_id": org_id}, body=body)
        )

    async def quote(self, body: m.NewQuote, *, idempotency_key: str | None = None) -> m.Quote:
        """A price that holds for 15 minutes. The place is not held.

        Raises CapacityExceeded, OrganisationInactive, OutsideHorizon, PromoRejected, ResourceInactive, VenueClosed.
        """
        return await self._door.call(Call(Method("POST", "/v1/quotes", keyed=True), m.Quote, body=body, key=idempotency_key))

    async def read(self, id: UUID | str) -> m.BookingOut:
        """One of your bookings."""
        return await self._door.call(Call(Method("GET", "/v1/bookings/{id}"), m.BookingOut, path={"id": id}))

    async def read_any(self, org_id: UUID | str, id: UUID | str) -> m.BookingOut:
        """One of an organisation's bookings.

        For staff with `booking.read_any`.
        """
        return await self._door.call(
            Call(Method("GET", "/v1/orgs/{org_id}/bookings/{id}"), m.BookingOut, path={"org_id": org_id, "id": id})
        )

    async def refund_preview(self, id: UUID | str) -> m.RefundPreview:
        """What cancelling now would give back.

        Raises InvalidTransition.
        """
        return await self._door.call(Call(Method("GET", "/v1/bookings/{id}/refund-preview"), m.RefundPreview, path={"id": id}))

    async def refund_preview_any(self, org_id: UUID | str, id: UUID | str) -> m.RefundPreview:
        """What cancelling a booking now would give back.

        For staff with `booking.read_any`.

        Raises InvalidTransition.
        """
        return await self._door.call(
            Call(
                Method("GET", "/v1/orgs/{org_id}/bookings/{id}/refund-preview"),
                m.RefundPreview,
                path={"org_id": org_id, "id": id},
            )
        )

    async def remove_block(self, org_id: UUID | str, id: UUID | str) -> None:
        """Give blocked time back.

        For staff with `booking.block`.
        """
        return await self._door.call(
            Call(Method("DELETE", "/v1/orgs/{org_id}/blocks/{id}"), type(None), path={"org_id": org_id, "id": id})
        )

    async def reschedule(
        self, id: UUID | str, body: m.Reschedule, *, if_match: int | Versioned | None = None, idempotency_key: str | None = None
    ) -> m.BookingOut:
        """Move to another time or place. The old place is kept until the new one is won.

        Raises BookingOvertaken, CapacityExceeded, InsufficientCredits, InvalidTransition, OrganisationInactive,
        OutsideHorizon, PriceChanged, ResourceInactive, SlotTaken, VenueClosed.
        """
        return await self._door.call(
            Call(
                Method("POST", "/v1/bookings/{id}/reschedule", keyed=True),
                m.BookingOut,
                path={"id": id},
                body=body,
                headers={"If-Match": version_tag(if_match)},
                key=idempotency_key,
            )
        )

    async def resource_feed(self, *, token: str) -> Content:
        """What occupies a court, a room or a table, behind a private address of staff, for calendar programs."""
        return await self._door.call(Call(Method("GET", "/v1/resources/calendar.ics"), Content, query={"token": token}))

    async def withdraw(self, id: UUID | str, invitee_id: UUID | str) -> None:
        """Take an invitation back. Whoever had heard of it hears of this, and leaves the booking's room."""
        return await self._door.call(
            Call(
                Method("DELETE", "/v1/bookings/{id}/invitees/{invitee_id}"), type(None), path={"id": id, "invitee_id": invitee_id}
            )
        )

    async def withdraw_any(self, org_id: UUID | str, id: UUID | str, invitee_id: UUID | str) -> None:
        """Take an invitation of a booking back.

        For staff with `booking.update_any`.
        """
        return await self._door.call(
            Call(
                Method("DELETE", "/v1/orgs/{org_id}/bookings/{id}/invitees/{invitee_id}"),
                type(None),
                path={"org_id": org_id, "id": id, "invitee_id": invitee_id},
            )
        )


class Chat:
    """Chat."""

    def __init__(self, door: AsyncDoor) -> None:
        self._door = door

    async def add(self, id: UUID | str, body: m.NewMembers | None = None) -> list[m.Member]:
        """Bring people into a room, or join a public one myself. Answers with those who were not there before.

        Raises Banned, FixedMembership, NotAMember, RoomArchived, RoomFull, TooManyRooms.
        """
        return await self._door.call(
            Call(Method("POST", "/v1/rooms/{id}/members"), list[m.Member], path={"id": id}, body=UNSET if body is None else body)
        )

    async def bans(self, id: UUID | str, *, limit: int | None = None, cursor: str | None = None) -> Page[m.BanRow]:
        """Who is banned from a room, for its moderators.

        Raises NotAMember.
        """
        return await self._door.call(
            Call(Method("GET", "/v1/rooms/{id}/bans"), Page[m.BanRow], path={"id": id}, query={"limit": limit, "cursor": cursor})
        )

    def iter_bans(self, id: UUID | str, *, limit: int | None = None, page_size: int = 100) -> AsyncIterator[m.BanRow]:
        """Who is banned from a room, for its moderators.

        Every entry, or the first `limit`; pages are fetched as entries are taken.
        """
        return self._door.pages(Call(Method("GET", "/v1/rooms/{id}/bans"), Page[m.BanRow], path={"id": id}), limit, page_size)

    async def change(
        self, id: UUID | str, body: m.RoomPatch | None = None, *, if_match: int | Versioned | None = None
    ) -> m.RoomDetail:
        """Change a room, as one of its owners.

        Raises NotAMember.
        """
        return await self._door.call(
            Call(
                Method("PATCH", "/v1/rooms/{id}"),
                m.RoomDetail,
                path={"id": id},
                body=UNSET if body is None else body,
                headers={"If-Match": version_tag(if_match)},
            )
        )

    async def channels(
        self,
        *,
        limit: int | None = None,
        cursor: str | None = None,
        organisation_id: UUID | str | None = None,
        q: str | None = None,
    ) -> Page[m.OpenRoom]:
        """Find public channels of organisations."""
        return await self._door.call(
            Call(
                Method("GET", "/v1/chat/channels"),
                Page[m.OpenRoom],
                query={"limit": limit, "cursor": cursor, "organisation_id": organisation_id, "q": q},
            )
        )

    def iter_channels(
        self, *, organisation_id: UUID | str | None = None, q: str | None = None, limit: int | None = None, page_size: int = 100
    ) -> AsyncIterator[m.OpenRoom]:
        """Find public channels of organisations.

        Every entry, or the first `limit`; pages are fetched as entries are taken.
        """
        return self._door.pages(
            Call(Method("GET", "/v1/chat/channels"), Page[m.OpenRoom], query={"organisation_id": organisation_id, "q": q}),
            limit,
            page_size,
        )

    async def choose(self, body: m.Setting | None = None) -> m.Setting:
        """Choose whether others see how far I have read, and when I am not to be disturbed."""
        return await self._door.call(Call(Method("PUT", "/v1/me/chat"), m.Setting, body=UNSET if body is None else body))

    async def create(self, body: m.NewRoom, *, idempotency_key: str | None = None) -> m.RoomDetail:
        """Make a room.

        A direct room of two people is always the same one: it is answered with 200 when they have it already.
        Organisations' channels are made at `/v1/orgs/{org_id}/channels`.

        Raises TooManyRooms.
        """
        return await self._door.call(Call(Method("POST", "/v1/rooms", keyed=True), m.RoomDetail, body=body, key=idempotency_key))

    async def create_channel(self, org_id: UUID | str, body: m.NewChannel, *, idempotency_key: str | None = None) -> m.RoomDetail:
        """Make a channel of the organisation.

        For staff with `chat.manage_channels`.

        Raises TooManyRooms.
        """
        return await self._door.call(
            Call(
                Method("POST", "/v1/orgs/{org_id}/channels", keyed=True),
                m.RoomDetail,
                path={"org_id": org_id},
                body=body,
                key=idempotency_key,
            )
        )

    async def edit(self, id: UUID | str, body: m.MessageEdit) -> m.Message:
        """Say it differently. What it said before is kept.

        Raises MessageDeleted, Muted, NotAMember, RoomArchived.
        """
        return await self._door.call(Call(Method("PATCH", "/v1/messages/{id}"), m.Message, path={"id": id}, body=body))

    async def edits(self, id: UUID | str) -> list[m.EditRow]:
        """What a message said before it was edited, the latest first."""
        return await self._door.call(Call(Method("GET", "/v1/messages/{id}/edits"), list[m.EditRow], path={"id": id}))

    async def export(self, id: UUID | str, *, after_seq: int | None = None, limit: int | None = None) -> Content:
        """What was said in a room, one message of JSON a line, ascending.

        At most `limit` lines; the number of the last is in `X-Last-Seq`, to go on from with `after_seq`. Without the header
        there is nothing more.
        """
        return await self._door.call(
            Call(Method("GET", "/v1/rooms/{id}/export"), Content, path={"id": id}, query={"after_seq": after_seq, "limit": limit})
        )

    async def file(self, id: UUID | str, file_id: UUID | str) -> m.MediaCard:
        """A file that was attached in a room, with addresses that work for a while."""
        return await self._door.call(
            Call(Method("GET", "/v1/rooms/{id}/files/{file_id}"), m.MediaCard, path={"id": id, "file_id": file_id})
        )

    async def history(
        self, id: UUID | str, *, before_seq: int | None = None, after_seq: int | None = None, limit: int | None = None
    ) -> m.ChatHistory:
        """What was said in a room, ascending."""
        return await self._door.call(
            Call(
                Method("GET", "/v1/rooms/{id}/messages"),
                m.ChatHistory,
                path={"id": id},
                query={"before_seq": before_seq, "after_seq": after_seq, "limit": limit},
            )
        )

    async def house_rule(self, org_id: UUID | str) -> m.HouseRule:
        """What the organisation chose for its rooms.

        For staff with `chat.manage_channels`.
        """
        return await self._door.call(Call(Method("GET", "/v1/orgs/{org_id}/chat"), m.HouseRule, path={"org_id": org_id}))

    async def look(self, id: UUID | str) -> m.RoomDetail:
        """A room, as it is at `(epoch, last_seq)`."""
        return await self._door.call(Call(Method("GET", "/v1/rooms/{id}"), m.RoomDetail, path={"id": id}))

    async def members(self, id: UUID | str, *, limit: int | None = None, cursor: str | None = None) -> Page[m.Member]:
        """Who is in a room."""
        return await self._door.call(
            Call(
                Method("GET", "/v1/rooms/{id}/members"), Page[m.Member], path={"id": id}, query={"limit": limit, "cursor": cursor}
            )
        )

    def iter_members(self, id: UUID | str, *, limit: int | None = None, page_size: int = 100) -> AsyncIterator[m.Member]:
        """Who is in a room.

        Every entry, or the first `limit`; pages are fetched as entries are taken.
        """
        return self._door.pages(Call(Method("GET", "/v1/rooms/{id}/members"), Page[m.Member], path={"id": id}), limit, page_size)

    async def mine(self, *, limit: int | None = None, cursor: str | None = None) -> Page[m.RoomView]:
        """My rooms, the one where something was said last first."""
        return await self._door.call(Call(Method("GET", "/v1/rooms"), Page[m.RoomView], query={"limit": limit, "cursor": cursor}))

    def iter_mine(self, *, limit: int | None = None, page_size: int = 100) -> AsyncIterator[m.RoomView]:
        """My rooms, the one where something was said last first.

        Every entry, or the first `limit`; pages are fetched as entries are taken.
        """
        return self._door.pages(Call(Method("GET", "/v1/rooms"), Page[m.RoomView]), limit, page_size)

    async def moderate(self, id: UUID | str, body: m.Moderation) -> None:
        """Mute, remove or ban somebody, or slow the room down.

        Raises FixedMembership, NotAMember.
        """
        return await self._door.call(Call(Method("POST", "/v1/rooms/{id}/moderation"), type(None), path={"id": id}, body=body))

    async def notify(self, id: UUID | str, body: m.Wanted) -> None:
        """Choose what of a room I want to be told of."""
        return await self._door.call(Call(Method("PUT", "/v1/rooms/{id}/notify"), type(None), path={"id": id}, body=body))

    async def pin(self, id: UUID | str, message_id: UUID | str) -> m.Message:
        """Pin a message.

        Raises MessageDeleted, NotAMember, RoomArchived, TooMany.
        """
        return await self._door.call(
            Call(Method("PUT", "/v1/rooms/{id}/pins/{message_id}"), m.Message, path={"id": id, "message_id": message_id})
        )

    async def pins(self, id: UUID | str) -> list[m.Message]:
        """What is pinned in a room, the newest pin first."""
        return await self._door.call(Call(Method("GET", "/v1/rooms/{id}/pins"), list[m.Message], path={"id": id}))

    async def presence(self, id: UUID | str) -> m.Company:
        """Which members of a room of mine are here, and when the others were last."""
        return await self._door.call(Call(Method("GET", "/v1/rooms/{id}/presence"), m.Company, path={"id": id}))

    async def react(self, id: UUID | str, emoji: str) -> m.Message:
        """React with an emoji.

        Raises MessageDeleted, NotAMember, RoomArchived, TooMany.
        """
        return await self._door.call(
            Call(Method("PUT", "/v1/messages/{id}/reactions/{emoji}"), m.Message, path={"id": id, "emoji": emoji})
        )

    async def read(self, id: UUID | str, body: m.ReadUpTo) -> m.Read:
        """I have read as far as this. Positions only go forward."""
        return await self._door.call(Call(Method("PUT", "/v1/rooms/{id}/read"), m.Read, path={"id": id}, body=body))

    async def remove(self, id: UUID | str, *, account_id: UUID | str | None = None) -> None:
        """Leave a room, or take somebody out as a moderator.

        Raises FixedMembership, LastRoomOwner, NotAMember.
        """
        return await self._door.call(
            Call(Method("DELETE", "/v1/rooms/{id}/members"), type(None), path={"id": id}, query={"account_id": account_id})
        )

    async def search(
        self, *, q: str, limit: int | None = None, cursor: str | None = None, room_id: UUID | str | None = None
    ) -> Page[m.FoundRow]:
        """Find messages in my rooms, the newest first."""
        return await self._door.call(
            Call(
                Method("GET", "/v1/chat/search"),
                Page[m.FoundRow],
                query={"limit": limit, "cursor": cursor, "q": q, "room_id": room_id},
            )
        )

    def iter_search(
        self, *, q: str, room_id: UUID | str | None = None, limit: int | None = None, page_size: int = 100
    ) -> AsyncIterator[m.FoundRow]:
        """Find messages in my rooms, the newest first.

        Every entry, or the first `limit`; pages are fetched as entries are taken.
        """
        return self._door.pages(
            Call(Method("GET", "/v1/chat/search"), Page[m.FoundRow], query={"q": q, "room_id": room_id}), limit, page_size
        )

    async def send(self, id: UUID | str, body: m.NewMessage) -> m.Message:
        """Say something. The same `client_id` again is answered with the message that is there.

        Raises Muted, NotAMember, RoomArchived, SlowMode.
        """
        return await self._door.call(Call(Method("POST", "/v1/rooms/{id}/messages"), m.Message, path={"id": id}, body=body))

    async def set_house_rule(self, org_id: UUID | str, body: m.HouseRule | None = None) -> m.HouseRule:
        """Choose for the organisation's rooms.

        For staff with `chat.manage_channels`.
        """
        return await self._door.call(
            Call(
                Method("PUT", "/v1/orgs/{org_id}/chat"),
                m.HouseRule,
                path={"org_id": org_id},
                body=UNSET if body is None else body,
            )
        )

    async def set_role(self, id: UUID | str, body: m.RoleChange) -> m.Member:
        """Give a member another role, as an owner.

        Raises LastRoomOwner, NotAMember.
        """
        return await self._door.call(Call(Method("PATCH", "/v1/rooms/{id}/members"), m.Member, path={"id": id}, body=body))

    async def setting(self) -> m.Setting:
        """What I chose for all my rooms."""
        return await self._door.call(Call(Method("GET", "/v1/me/chat"), m.Setting))

    async def take_previews_away(self, id: UUID | str) -> None:
        """Show nothing of what stands behind a message's links: mine, or as a moderator.

        Raises NotAMember.
        """
        return await self._door.call(Call(Method("DELETE", "/v1/messages/{id}/previews"), type(None), path={"id": id}))

    async def thread(self, id: UUID | str, *, after_seq: int | None = None, limit: int | None = None) -> m.Thread:
        """The thread that a message begins or is in."""
        return await self._door.call(
            Call(
                Method("GET", "/v1/messages/{id}/thread"),
                m.Thread,
                path={"id": id},
                query={"after_seq": after_seq, "limit": limit},
            )
        )

    async def unpin(self, id: UUID | str, message_id: UUID | str) -> None:
        """Unpin a message.

        Raises NotAMember, RoomArchived.
        """
        return await self._door.call(
            Call(Method("DELETE", "/v1/rooms/{id}/pins/{message_id}"), type(None), path={"id": id, "message_id": message_id})
        )

    async def unreact(self, id: UUID | str, emoji: str) -> m.Message:
        """Take a reaction back.

        Raises NotAMember.
        """
        return await self._door.call(
            Call(Method("DELETE", "/v1/messages/{id}/reactions/{emoji}"), m.Message, path={"id": id, "emoji": emoji})
        )

    async def unread(self) -> m.ChatUnread:
        """What waits for me in all rooms."""
        return await self._door.call(Call(Method("GET", "/v1/chat/unread"), m.ChatUnread))

    async def unsay(self, id: UUID | str) -> None:
        """Delete a message: mine, or as a moderator.

        Raises NotAMember.
        """
        return await self._door.call(Call(Method("DELETE", "/v1/messages/{id}"), type(None), path={"id": id}))


class Media:
    """Media."""

    def __init__(self, door: AsyncDoor) -> None:
        self._door = door

    async def begin(self, body: m.NewUpload) -> m.Upload:
        """Begin an upload in parts.

        Send the parts to the address in `Location`, in order, then finish it. It may take a day.

        Raises MediaQuotaFull, TooManyUploads.
        """
        return await self._door.call(Call(Method("POST", "/v1/uploads/resumable"), m.Upload, body=body))

    async def discard(self, id: UUID | str) -> None:
        """Take back a file that is not attached to anything, or an upload that is under way.

        Raises MediaInUse.
        """
        return await self._door.call(Call(Method("DELETE", "/v1/uploads/{id}"), type(None), path={"id": id}))

    async def fetch(
        self,
        id: UUID | str,
        *,
        width: m.Width | None = None,
        v: str | None = None,
        expires: int | None = None,
        signature: str | None = None,
        range: str | None = None,
        if_none_match: str | None = None,
    ) -> Content:
        """The bytes of a file, or of the variant of a width.

        Public files open to everybody; others by the signed address of their card, or to whoever sent them.
        """
        return await self._door.call(
            Call(
                Method("GET", "/v1/media/{id}"),
                Content,
                path={"id": id},
                query={"width": width, "v": v, "expires": expires, "signature": signature},
                headers={"Range": range, "If-None-Match": if_none_match},
            )
        )

    async def finish(self, id: UUID | str) -> m.MediaCard:
        """Make the parts a file, which has the upload's id. Asked again, it answers the same.

        Raises MediaQuotaFull, MediaRefused, MediaTooLarge, UploadIncomplete.
        """
        return await self._door.call(Call(Method("POST", "/v1/uploads/{id}/finish"), m.MediaCard, path={"id": id}))

    async def progress(self, id: UUID | str) -> m.Upload:
        """How far an upload in parts has come: where the next part begins. HEAD tells it in `Upload-Offset`."""
        return await self._door.call(Call(Method("GET", "/v1/uploads/{id}"), m.Upload, path={"id": id}))

    async def receive(self, id: UUID | str, content: bytes) -> None:
        """Send the next part, at most 4 MiB, as `application/offset+octet-stream`.

        `Upload-Offset` says where it begins. A part that breaks off has not been sent; ask where to go on.

        Raises UploadOffset.
        """
        return await self._door.call(
            Call(
                Method("PATCH", "/v1/uploads/{id}"),
                type(None),
                path={"id": id},
                headers={"Content-Type": "application/offset+octet-stream"},
                content=content,
            )
        )

    async def send(self, file: File, *, alt: str | None = None) -> m.MediaCard:
        """Send a file of one's own.

        Taken are JPEG, PNG, WebP and GIF images (20 MiB, 40 million pixels), PDF (20 MiB), MP3, M4A and Ogg (25 MiB), WebM
        and MP4 (100 MiB), by what is in them. Of an image a copy is kept that says neither where nor with what it was
        taken. Name the id where the file belongs within a day; after that it is gone.

        Raises MediaQuotaFull, MediaRefused, MediaTooLarge.
        """
        return await self._door.call(Call(Method("POST", "/v1/uploads"), m.MediaCard, file=file, form={"alt": alt}))

    async def send_for_organisation(self, org_id: UUID | str, file: File, *, alt: str | None = None) -> m.MediaCard:
        """Send a file that the organisation holds, such as a photo of a venue.

        Raises MediaQuotaFull, MediaRefused, MediaTooLarge.
        """
        return await self._door.call(
            Call(Method("POST", "/v1/orgs/{org_id}/uploads"), m.MediaCard, path={"org_id": org_id}, file=file, form={"alt": alt})
        )


class MyAccount:
    """My account."""

    def __init__(self, door: AsyncDoor) -> None:
        self._door = door

    async def ask_for_erasure(self, body: m.Erasure) -> m.ErasureView:
        """Ask to be erased, thirty days from now; asked again, the day stays.

        Until then the account works as before, and the wish can be taken back. On the day upcoming bookings are cancelled
        by the rules of their places, credits are lost, and what says who the person was is removed; figures stay without a
        name.

        A wrong password counts like a failed log-in. `last_owner` carries `organisation_ids`: somebody else has to be made
        owner of these first.

        Raises LastAdmin, LastOwner, LockedOut.
        """
        return await self._door.call(Call(Method("POST", "/v1/me/erase"), m.ErasureView, body=body))

    async def end_session(self, id: UUID | str) -> None:
        """End one session. Its tokens stop working within seconds."""
        return await self._door.call(Call(Method("DELETE", "/v1/me/sessions/{id}"), type(None), path={"id": id}))

    async def give_phone(self, body: m.NewPhone) -> None:
        """Give a phone number, or ask for another code.

        A six-digit code goes there as a text and works for 10 minutes; one sent before is void. A number that is verified
        stays until the new one is. At most five texts an hour.
        """
        return await self._door.call(Call(Method("POST", "/v1/me/phone"), type(None), body=body))

    async def keep_account(self) -> None:
        """Keep the account after all. Without a wish there is nothing to do."""
        return await self._door.call(Call(Method("DELETE", "/v1/me/erase"), type(None)))

    async def me(self) -> m.Me:
        """The account, and its roles per organisation."""
        return await self._door.call(Call(Method("GET", "/v1/me"), m.Me))

    async def remove_phone(self) -> None:
        """Remove the number, and one that waits for its code. Without a number there is nothing to do."""
        return await self._door.call(Call(Method("DELETE", "/v1/me/phone"), type(None)))

    async def security_events(self, *, limit: int | None = None, cursor: str | None = None) -> Page[m.SecurityRow]:
        """What happened to the account's security, newest first."""
        return await self._door.call(
            Call(Method("GET", "/v1/me/security-events"), Page[m.SecurityRow], query={"limit": limit, "cursor": cursor})
        )

    def iter_security_events(self, *, limit: int | None = None, page_size: int = 100) -> AsyncIterator[m.SecurityRow]:
        """What happened to the account's security, newest first.

        Every entry, or the first `limit`; pages are fetched as entries are taken.
        """
        return self._door.pages(Call(Method("GET", "/v1/me/security-events"), Page[m.SecurityRow]), limit, page_size)

    async def sessions(self, *, limit: int | None = None, cursor: str | None = None) -> Page[m.SessionView]:
        """Where the account is signed in, newest first."""
        return await self._door.call(
            Call(Method("GET", "/v1/me/sessions"), Page[m.SessionView], query={"limit": limit, "cursor": cursor})
        )

    def iter_sessions(self, *, limit: int | None = None, page_size: int = 100) -> AsyncIterator[m.SessionView]:
        """Where the account is signed in, newest first.

        Every entry, or the first `limit`; pages are fetched as entries are taken.
        """
        return self._door.pages(Call(Method("GET", "/v1/me/sessions"), Page[m.SessionView]), limit, page_size)

    async def verify_phone(self, body: m.PhoneCode) -> None:
        """Show by the code that the number is one's own. A code is good for five tries; a number belongs to one account.

        Raises CodeWrong, PhoneTaken.
        """
        return await self._door.call(Call(Method("POST", "/v1/me/phone/verify"), type(None), body=body))


class Notifications:
    """Notifications."""

    def __init__(self, door: AsyncDoor) -> None:
        self._door = door

    async def ask_to_leave(self, token: str) -> Content:
        """Asks whether mails of the link's topic, digests, or all to an address without an account shall end, or says that
        they.

        have. It changes nothing.

        Raises UnsubscribeLinkInvalid.
        """
        return await self._door.call(Call(Method("GET", "/v1/unsubscribe/{token}"), Content, path={"token": token}))

    async def dismiss(self, id: UUID | str) -> None:
        """Removes one for good."""
        return await self._door.call(Call(Method("DELETE", "/v1/notifications/{id}"), type(None), path={"id": id}))

    async def edit(self, id: UUID | str, body: m.NotificationPatch | None = None) -> m.Notification:
        """Marks one as read or unread, puts it away or takes it back."""
        return await self._door.call(
            Call(Method("PATCH", "/v1/notifications/{id}"), m.Notification, path={"id": id}, body=UNSET if body is None else body)
        )

    async def hear(self, provider: str, body: m.Callback) -> None:
        """What a provider tells of a message, signed as standardwebhooks.com says.

        Raises BadSignature.
        """
        return await self._door.call(
            Call(Method("POST", "/v1/notifications/callbacks/{provider}"), type(None), path={"provider": provider}, body=body)
        )

    async def inbox(
        self,
        *,
        limit: int | None = None,
        cursor: str | None = None,
        archived: bool | None = None,
        unread: bool | None = None,
        topic: m.Topic | None = None,
    ) -> Page[m.Notification]:
        """What the house told the person, newest first."""
        return await self._door.call(
            Call(
                Method("GET", "/v1/notifications"),
                Page[m.Notification],
                query={"limit": limit, "cursor": cursor, "archived": archived, "unread": unread, "topic": topic},
            )
        )

    def iter_inbox(
        self,
        *,
        archived: bool | None = None,
        unread: bool | None = None,
        topic: m.Topic | None = None,
        limit: int | None = None,
        page_size: int = 100,
    ) -> AsyncIterator[m.Notification]:
        """What the house told the person, newest first.

        Every entry, or the first `limit`; pages are fetched as entries are taken.
        """
        return self._door.pages(
            Call(
                Method("GET", "/v1/notifications"),
                Page[m.Notification],
                query={"archived": archived, "unread": unread, "topic": topic},
            ),
            limit,
            page_size,
        )

    async def leave(self, token: str) -> Content:
        """Ends mails of the link's topic, digests, or all to an address without an account (RFC 8058, one click).

        Raises UnsubscribeLinkInvalid.
        """
        return await self._door.call(Call(Method("POST", "/v1/unsubscribe/{token}"), Content, path={"token": token}))

    async def prefer(self, body: m.NotificationPreferences | None = None) -> m.NotificationPreferences:
        """Replaces them."""
        return await self._door.call(
            Call(
                Method("PUT", "/v1/me/notification-preferences"), m.NotificationPreferences, body=UNSET if body is None else body
            )
        )

    async def preferences(self) -> m.NotificationPreferences:
        """Which channels carry which topics, quiet hours and digest."""
        return await self._door.call(Call(Method("GET", "/v1/me/notification-preferences"), m.NotificationPreferences))

    async def push_key(self) -> m.PushKeyOut:
        """The key that browsers subscribe to pushes with."""
        return await self._door.call(Call(Method("GET", "/v1/me/push-subscriptions"), m.PushKeyOut))

    async def read(self, body: m.MarkRead | None = None) -> m.NotificationsUnread:
        """Marks some or all as read; returns how many are not."""
        return await self._door.call(
            Call(Method("POST", "/v1/notifications/read"), m.NotificationsUnread, body=UNSET if body is None else body)
        )

    async def statistics(self) -> m.InboxStatistics:
        """How much came in 30 days, by topic, and how much is unread."""
        return await self._door.call(Call(Method("GET", "/v1/notifications/statistics"), m.InboxStatistics))

    async def stay(self, token: str) -> Content:
        """Takes back what an unsubscribe link has ended.

        Raises UnsubscribeLinkInvalid.
        """
        return await self._door.call(Call(Method("POST", "/v1/unsubscribe/{token}/undo"), Content, path={"token": token}))

    async def subscribe(self, body: m.NewPushSubscription) -> m.PushKeyOut:
        """Sends pushes to a browser from now on.

        Raises AddressRefused.
        """
        return await self._door.call(Call(Method("POST", "/v1/me/push-subscriptions"), m.PushKeyOut, body=body))

    async def unsubscribe_browser(self, body: m.PushSubscriptionRef) -> None:
        """Sends no more pushes to a browser."""
        return await self._door.call(Call(Method("DELETE", "/v1/me/push-subscriptions"), type(None), body=body))


class NotificationsOfAnOrganisation:
    """Notifications of an organisation."""

    def __init__(self, door: AsyncDoor) -> None:
        self._door = door

    async def add_endpoint(self, org_id: UUID | str, body: m.NewEndpoint) -> m.NewEndpointOut:
        """Sends events to an address from now on, signed with the key in the answer.

        For staff with `webhooks.manage`.

        Raises AddressRefused.
        """
        return await self._door.call(
            Call(Method("POST", "/v1/orgs/{org_id}/webhook-endpoints"), m.NewEndpointOut, path={"org_id": org_id}, body=body)
        )

    async def add_provider(self, org_id: UUID | str, body: m.NewProvider) -> m.NewProviderOut:
        """Adds a gateway; its address is sealed.

        For staff with `notifications.manage`.

        Raises AddressRefused.
        """
        return await self._door.call(
            Call(Method("POST", "/v1/orgs/{org_id}/notification-providers"), m.NewProviderOut, path={"org_id": org_id}, body=body)
        )

    async def add_template(self, org_id: UUID | str, body: m.NewTemplate) -> m.TemplateOut:
        """Puts the organisation's own words in place of the shipped ones.

        For staff with `notifications.manage`.

        Raises TemplateExists, TemplateInvalid.
        """
        return await self._door.call(
            Call(Method("POST", "/v1/orgs/{org_id}/templates"), m.TemplateOut, path={"org_id": org_id}, body=body)
        )

    async def deliveries(
        self,
        org_id: UUID | str,
        *,
        limit: int | None = None,
        cursor: str | None = None,
        status: m.DeliveryStatus | None = None,
        channel: m.Channel | None = None,
    ) -> Page[m.DeliveryOut]:
        """What was sent, newest first.

        For staff with `notifications.manage`.
        """
        return await self._door.call(
            Call(
                Method("GET", "/v1/orgs/{org_id}/deliveries"),
                Page[m.DeliveryOut],
                path={"org_id": org_id},
                query={"limit": limit, "cursor": cursor, "status": status, "channel": channel},
            )
        )

    def iter_deliveries(
        self,
        org_id: UUID | str,
        *,
        status: m.DeliveryStatus | None = None,
        channel: m.Channel | None = None,
        limit: int | None = None,
        page_size: int = 100,
    ) -> AsyncIterator[m.DeliveryOut]:
        """What was sent, newest first.

        Every entry, or the first `limit`; pages are fetched as entries are taken.
        """
        return self._door.pages(
            Call(
                Method("GET", "/v1/orgs/{org_id}/deliveries"),
                Page[m.DeliveryOut],
                path={"org_id": org_id},
                query={"status": status, "channel": channel},
            ),
            limit,
            page_size,
        )

    async def delivery(self, org_id: UUID | str, id: UUID | str) -> m.DeliveryDetail:
        """One message with every try.

        For staff with `notifications.manage`.
        """
        return await self._door.call(
            Call(Method("GET", "/v1/orgs/{org_id}/deliveries/{id}"), m.DeliveryDetail, path={"org_id": org_id, "id": id})
        )

    async def drop_endpoint(self, org_id: UUID | str, id: UUID | str) -> None:
        """Sends nothing there any more.

        For staff with `webhooks.manage`.
        """
        return await self._door.call(
            Call(Method("DELETE", "/v1/orgs/{org_id}/webhook-endpoints/{id}"), type(None), path={"org_id": org_id, "id": id})
        )

    async def drop_provider(self, org_id: UUID | str, id: UUID | str) -> None:
        """Removes a gateway.

        For staff with `notifications.manage`.
        """
        return await self._door.call(
            Call(Method("DELETE", "/v1/orgs/{org_id}/notification-providers/{id}"), type(None), path={"org_id": org_id, "id": id})
        )

    async def edit_provider(
        self, org_id: UUID | str, id: UUID | str, body: m.ProviderPatch | None = None, *, if_match: int | Versioned | None = None
    ) -> m.ProviderOut:
        """Changes its name, place or address, or switches it off.

        For staff with `notifications.manage`.

        Raises AddressRefused.
        """
        return await self._door.call(
            Call(
                Method("PATCH", "/v1/orgs/{org_id}/notification-providers/{id}"),
                m.ProviderOut,
                path={"org_id": org_id, "id": id},
                body=UNSET if body is None else body,
                headers={"If-Match": version_tag(if_match)},
            )
        )

    async def edit_template(
        self, org_id: UUID | str, id: UUID | str, body: m.TemplatePatch | None = None, *, if_match: int | Versioned | None = None
    ) -> m.TemplateOut:
        """A new version of it; every version is kept.

        For staff with `notifications.manage`.

        Raises TemplateInvalid.
        """
        return await self._door.call(
            Call(
                Method("PATCH", "/v1/orgs/{org_id}/templates/{id}"),
                m.TemplateOut,
                path={"org_id": org_id, "id": id},
                body=UNSET if body is None else body,
                headers={"If-Match": version_tag(if_match)},
            )
        )

    async def endpoints(self, org_id: UUID | str) -> m.Endpoints:
        """Where the organisation's events are sent.

        For staff with `webhooks.manage`.
        """
        return await self._door.call(
            Call(Method("GET", "/v1/orgs/{org_id}/webhook-endpoints"), m.Endpoints, path={"org_id": org_id})
        )

    async def preview(self, org_id: UUID | str, id: UUID | str, body: m.Draft | None = None) -> m.Preview:
        """The template, or a draft of it, with sample values.

        For staff with `notifications.manage`.

        Raises TemplateInvalid.
        """
        return await self._door.call(
            Call(
                Method("POST", "/v1/orgs/{org_id}/templates/{id}/preview"),
                m.Preview,
                path={"org_id": org_id, "id": id},
                body=UNSET if body is None else body,
            )
        )

    async def providers(self, org_id: UUID | str) -> m.Providers:
        """The organisation's gateways, in the order in which they are tried. Addresses are never shown.

        For staff with `notifications.manage`.
        """
        return await self._door.call(
            Call(Method("GET", "/v1/orgs/{org_id}/notification-providers"), m.Providers, path={"org_id": org_id})
        )

    async def replay(self, org_id: UUID | str, id: UUID | str) -> m.DeliveryOut:
        """Sends a failed message again.

        For staff with `notifications.manage`.

        Raises NotReplayable.
        """
        return await self._door.call(
            Call(Method("POST", "/v1/orgs/{org_id}/deliveries/{id}/replay"), m.DeliveryOut, path={"org_id": org_id, "id": id})
        )

    async def templates(
        self,
        org_id: UUID | str,
        *,
        limit: int | None = None,
        cursor: str | None = None,
        event: str | None = None,
        channel: m.Channel | None = None,
        locale: str | None = None,
    ) -> Page[m.TemplateOut]:
        """Every template: the organisation's where it has one, else the one that ships.

        For staff with `notifications.manage`.
        """
        return await self._door.call(
            Call(
                Method("GET", "/v1/orgs/{org_id}/templates"),
                Page[m.TemplateOut],
                path={"org_id": org_id},
                query={"limit": limit, "cursor": cursor, "event": event, "channel": channel, "locale": locale},
            )
        )

    def iter_templates(
        self,
        org_id: UUID | str,
        *,
        event: str | None = None,
        channel: m.Channel | None = None,
        locale: str | None = None,
        limit: int | None = None,
        page_size: int = 100,
    ) -> AsyncIterator[m.TemplateOut]:
        """Every template: the organisation's where it has one, else the one that ships.

        Every entry, or the first `limit`; pages are fetched as entries are taken.
        """
        return self._door.pages(
            Call(
                Method("GET", "/v1/orgs/{org_id}/templates"),
                Page[m.TemplateOut],
                path={"org_id": org_id},
                query={"event": event, "channel": channel, "locale": locale},
            ),
            limit,
            page_size,
        )

    async def test(self, org_id: UUID | str, id: UUID | str, body: m.Draft | None = None) -> m.DeliveryOut:
        """Sends it with sample values to the person who asks.

        For staff with `notifications.manage`.

        Raises TemplateInvalid.
        """
        return await self._door.call(
            Call(
                Method("POST", "/v1/orgs/{org_id}/templates/{id}/test"),
                m.DeliveryOut,
                path={"org_id": org_id, "id": id},
                body=UNSET if body is None else body,
            )
        )


class Organisations:
    """Organisations."""

    def __init__(self, door: AsyncDoor) -> None:
        self._door = door

    async def report(self, org_id: UUID | str, *, from_: date | None = None, to: date | None = None) -> m.FranchiseReport:
        """What the organisations of a franchise come to.

        For the parent: bookings that begin in the days, their time, and revenue by the ledger, per child and together.
        Without `from` and `to`, the last 30 days; at most 366. Amounts of different currencies are never added up.

        For staff with `analytics.read`.
        """
        return await self._door.call(
            Call(
                Method("GET", "/v1/orgs/{org_id}/franchise"),
                m.FranchiseReport,
                path={"org_id": org_id},
                query={"from": from_, "to": to},
            )
        )


class Payments:
    """Payments."""

    def __init__(self, door: AsyncDoor) -> None:
        self._door = door

    async def change_promo_code(
        self, org_id: UUID | str, id: UUID | str, body: m.PromoCodePatch | None = None, *, if_match: int | Versioned | None = None
    ) -> m.PromoCode:
        """Change when, where and how often a promo code can be used, or switch it off.

        For staff with `payments.manage`.
        """
        return await self._door.call(
            Call(
                Method("PATCH", "/v1/orgs/{org_id}/promo-codes/{id}"),
                m.PromoCode,
                path={"org_id": org_id, "id": id},
                body=UNSET if body is None else body,
                headers={"If-Match": version_tag(if_match)},
            )
        )

    async def check(self, body: m.CheckBody) -> m.PromoDiscount:
        """What a promo code would take off. Reserves nothing.

        Raises PromoRejected.
        """
        return await self._door.call(Call(Method("POST", "/v1/promo-codes/check"), m.PromoDiscount, body=body))

    async def entries(
        self,
        org_id: UUID | str,
        *,
        account: str | None = None,
        from_: datetime | None = None,
        to: datetime | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Page[m.EntryRow]:
        """The ledger, oldest first; `from` is included, `to` is not.

        Positive amounts are what the organisation owes or has earned, negative ones what it holds or has given away.

        For staff with `payments.read`.
        """
        return await self._door.call(
            Call(
                Method("GET", "/v1/orgs/{org_id}/ledger/entries"),
                Page[m.EntryRow],
                path={"org_id": org_id},
                query={"account": account, "from": from_, "to": to, "limit": limit, "cursor": cursor},
            )
        )

    def iter_entries(
        self,
        org_id: UUID | str,
        *,
        account: str | None = None,
        from_: datetime | None = None,
        to: datetime | None = None,
        limit: int | None = None,
        page_size: int = 100,
    ) -> AsyncIterator[m.EntryRow]:
        """The ledger, oldest first; `from` is included, `to` is not.

        Every entry, or the first `limit`; pages are fetched as entries are taken.
        """
        return self._door.pages(
            Call(
                Method("GET", "/v1/orgs/{org_id}/ledger/entries"),
                Page[m.EntryRow],
                path={"org_id": org_id},
                query={"account": account, "from": from_, "to": to},
            ),
            limit,
            page_size,
        )

    async def grant(self, org_id: UUID | str, body: m.GrantBody, *, idempotency_key: str | None = None) -> m.Lot:
        """Give someone credits. An `account_id` that nobody has is refused.

        For staff with `payments.grant_credits`.

        Raises GrantMismatch.
        """
        return await self._door.call(
            Call(
                Method("POST", "/v1/orgs/{org_id}/credits/grant", keyed=True),
                m.Lot,
                path={"org_id": org_id},
                body=body,
                key=idempotency_key,
            )
        )

    async def history(self, org_id: UUID | str, *, limit: int | None = None, cursor: str | None = None) -> Page[m.WalletEntry]:
        """What happened to your credits at an organisation, newest first."""
        return await self._door.call(
            Call(
                Method("GET", "/v1/wallets/{org_id}/history"),
                Page[m.WalletEntry],
                path={"org_id": org_id},
                query={"limit": limit, "cursor": cursor},
            )
        )

    def iter_history(self, org_id: UUID | str, *, limit: int | None = None, page_size: int = 100) -> AsyncIterator[m.WalletEntry]:
        """What happened to your credits at an organisation, newest first.

        Every entry, or the first `limit`; pages are fetched as entries are taken.
        """
        return self._door.pages(
            Call(Method("GET", "/v1/wallets/{org_id}/history"), Page[m.WalletEntry], path={"org_id": org_id}), limit, page_size
        )

    async def make_promo_code(
        self, org_id: UUID | str, body: m.NewPromoCode, *, idempotency_key: str | None = None
    ) -> m.PromoCode:
        """Make a promo code.

        For staff with `payments.manage`.

        Raises PromoCodeTaken.
        """
        return await self._door.call(
            Call(
                Method("POST", "/v1/orgs/{org_id}/promo-codes", keyed=True),
                m.PromoCode,
                path={"org_id": org_id},
                body=body,
                key=idempotency_key,
            )
        )

    async def payment(self, id: UUID | str) -> m.PaymentState:
        """One of your payments: its charges, what was given back, what is due at the desk."""
        return await self._door.call(Call(Method("GET", "/v1/payments/{id}"), m.PaymentState, path={"id": id}))

    async def payment_for_staff(self, org_id: UUID | str, id: UUID | str) -> m.PaymentState:
        """A payment made here.

        For staff with `payments.read`.
        """
        return await self._door.call(
            Call(Method("GET", "/v1/orgs/{org_id}/payments/{id}"), m.PaymentState, path={"org_id": org_id, "id": id})
        )

    async def promo_codes(self, org_id: UUID | str, *, limit: int | None = None, cursor: str | None = None) -> Page[m.PromoCode]:
        """Promo codes, by code.

        For staff with `payments.manage`.
        """
        return await self._door.call(
            Call(
                Method("GET", "/v1/orgs/{org_id}/promo-codes"),
                Page[m.PromoCode],
                path={"org_id": org_id},
                query={"limit": limit, "cursor": cursor},
            )
        )

    def iter_promo_codes(
        self, org_id: UUID | str, *, limit: int | None = None, page_size: int = 100
    ) -> AsyncIterator[m.PromoCode]:
        """Promo codes, by code.

        Every entry, or the first `limit`; pages are fetched as entries are taken.
        """
        return self._door.pages(
            Call(Method("GET", "/v1/orgs/{org_id}/promo-codes"), Page[m.PromoCode], path={"org_id": org_id}), limit, page_size
        )

    async def proof(self, org_id: UUID | str) -> dict[str, m.ProofLine]:
        """Whether the books add up, per currency.

        For staff with `payments.read`.
        """
        return await self._door.call(
            Call(Method("GET", "/v1/orgs/{org_id}/ledger/proof"), dict[str, m.ProofLine], path={"org_id": org_id})
        )

    async def refund(
        self, org_id: UUID | str, id: UUID | str, body: m.RefundBody, *, idempotency_key: str | None = None
    ) -> m.RefundResult:
        """Give back a payment or a part of it, to where it came from.

        Credits return to the lots they were spent from; one that has expired is good for 30 more days. What was received at
        the desk is handed back there; what is still due there is due no longer.

        For staff with `payments.refund`.

        Raises RefundExceedsPayment, RefundMismatch.
        """
        return await self._door.call(
            Call(
                Method("POST", "/v1/orgs/{org_id}/payments/{id}/refund", keyed=True),
                m.RefundResult,
                path={"org_id": org_id, "id": id},
                body=body,
                key=idempotency_key,
            )
        )

    async def reverse(
        self, org_id: UUID | str, lot_id: UUID | str, body: m.ReverseBody, *, idempotency_key: str | None = None
    ) -> m.TakenBack:
        """Take back what is left of credits that should not have been given.

        For staff with `payments.grant_credits`.
        """
        return await self._door.call(
            Call(
                Method("POST", "/v1/orgs/{org_id}/credits/{lot_id}/reverse", keyed=True),
                m.TakenBack,
                path={"org_id": org_id, "lot_id": lot_id},
                body=body,
                key=idempotency_key,
            )
        )

    async def settle(self, org_id: UUID | str, id: UUID | str, *, idempotency_key: str | None = None) -> m.PaymentState:
        """Note that what is due was received, and what is owed was handed back, at the desk.

        For staff with `booking.check_in`.
        """
        return await self._door.call(
            Call(
                Method("POST", "/v1/orgs/{org_id}/payments/{id}/settle", keyed=True),
                m.PaymentState,
                path={"org_id": org_id, "id": id},
                key=idempotency_key,
            )
        )

    async def wallets(self) -> list[m.Wallet]:
        """Your credits at every organisation, lots in the order in which they are spent."""
        return await self._door.call(Call(Method("GET", "/v1/wallets"), list[m.Wallet]))


class People:
    """People."""

    def __init__(self, door: AsyncDoor) -> None:
        self._door = door

    async def ask_for_export(self, body: m.ExportWish) -> m.ExportLink:
        """Ask for a copy of everything that is kept of me.

        The link is for whoever asked, signed in as now, and works for an hour. A wrong password counts like a failed
        log-in.

        Raises LockedOut.
        """
        return await self._door.call(Call(Method("POST", "/v1/me/export"), m.ExportLink, body=body))

    async def edit(self, body: m.ProfilePatch | None = None, *, if_match: int | Versioned | None = None) -> m.Profile:
        """Edit my profile.

        Raises HandleTaken.
        """
        return await self._door.call(
            Call(
                Method("PATCH", "/v1/me/profile"),
                m.Profile,
                body=UNSET if body is None else body,
                headers={"If-Match": version_tag(if_match)},
            )
        )

    async def export(self, *, expires: int | None = None, signature: str | None = None) -> Content:
        """Everything that is kept of me, as a ZIP archive.

        A JSON file, an array, for each kind of record; the files that I sent, below `files/`; and a README in my language.
        Passwords, keys and other secrets are left out, and others appear as ids, or by the names that I see. The archive is
        made while it is sent. One that breaks off breaks the connection, and does not open.

        Raises ExportLinkInvalid.
        """
        return await self._door.call(
            Call(Method("GET", "/v1/me/export"), Content, query={"expires": expires, "signature": signature})
        )

    async def look(self, id: str) -> m.PersonView:
        """A person, by id or by @handle. Each field is shown to those its owner chose."""
        return await self._door.call(Call(Method("GET", "/v1/people/{id}"), m.PersonView, path={"id": id}))

    async def mine(self) -> m.Profile:
        """My profile, and who sees which part of it."""
        return await self._door.call(Call(Method("GET", "/v1/me/profile"), m.Profile))

    async def prefer(self, body: m.Preferences | None = None) -> m.Preferences:
        """Replace my preferences."""
        return await self._door.call(
            Call(Method("PUT", "/v1/me/preferences"), m.Preferences, body=UNSET if body is None else body)
        )

    async def preferences(self) -> m.Preferences:
        """My preferences."""
        return await self._door.call(Call(Method("GET", "/v1/me/preferences"), m.Preferences))


class Platform:
    """Platform."""

    def __init__(self, door: AsyncDoor) -> None:
        self._door = door

    async def accounts(
        self, *, limit: int | None = None, cursor: str | None = None, q: str | None = None, status: m.AccountStatus | None = None
    ) -> Page[m.AdminRow]:
        """Accounts, newest first."""
        return await self._door.call(
            Call(
                Method("GET", "/v1/admin/accounts"),
                Page[m.AdminRow],
                query={"limit": limit, "cursor": cursor, "q": q, "status": status},
            )
        )

    def iter_accounts(
        self, *, q: str | None = None, status: m.AccountStatus | None = None, limit: int | None = None, page_size: int = 100
    ) -> AsyncIterator[m.AdminRow]:
        """Accounts, newest first.

        Every entry, or the first `limit`; pages are fetched as entries are taken.
        """
        return self._door.pages(
            Call(Method("GET", "/v1/admin/accounts"), Page[m.AdminRow], query={"q": q, "status": status}), limit, page_size
        )

    async def security_events(
        self,
        *,
        limit: int | None = None,
        cursor: str | None = None,
        account_id: UUID | str | None = None,
        kind: m.SecurityKind | None = None,
        from_: datetime | None = None,
        to: datetime | None = None,
    ) -> Page[m.AdminSecurityRow]:
        """What happened to the security of accounts in the last year, newest first."""
        return await self._door.call(
            Call(
                Method("GET", "/v1/admin/security-events"),
                Page[m.AdminSecurityRow],
                query={"limit": limit, "cursor": cursor, "account_id": account_id, "kind": kind, "from": from_, "to": to},
            )
        )

    def iter_security_events(
        self,
        *,
        account_id: UUID | str | None = None,
        kind: m.SecurityKind | None = None,
        from_: datetime | None = None,
        to: datetime | None = None,
        limit: int | None = None,
        page_size: int = 100,
    ) -> AsyncIterator[m.AdminSecurityRow]:
        """What happened to the security of accounts in the last year, newest first.

        Every entry, or the first `limit`; pages are fetched as entries are taken.
        """
        return self._door.pages(
            Call(
                Method("GET", "/v1/admin/security-events"),
                Page[m.AdminSecurityRow],
                query={"account_id": account_id, "kind": kind, "from": from_, "to": to},
            ),
            limit,
            page_size,
        )

    async def set_status(self, id: UUID | str, body: m.StatusPatch) -> m.AdminRow:
        """Suspend, ban or reinstate an account. Suspension ends its sessions and sockets within seconds.

        What was erased stays it, and nobody erases but the person: `erased` is no status to set.
        """
        return await self._door.call(Call(Method("PATCH", "/v1/admin/accounts/{id}"), m.AdminRow, path={"id": id}, body=body))


class SigningIn:
    """Signing in."""

    def __init__(self, door: AsyncDoor) -> None:
        self._door = door

    async def ask_for_code(self, body: m.Asking) -> None:
        """Send a new code. Always 202."""
        return await self._door.call(Call(Method("POST", "/v1/auth/verify-email/resend"), type(None), body=body))

    async def ask_for_reset(self, body: m.Asking) -> None:
        """Send a link to choose a new password. Always 202."""
        return await self._door.call(Call(Method("POST", "/v1/auth/forgot-password"), type(None), body=body))

    async def change_password(self, body: m.ChangedPassword) -> None:
        """Change the password. Every other session ends.

        Raises LockedOut.
        """
        return await self._door.call(Call(Method("POST", "/v1/auth/change-password"), type(None), body=body))

    async def confirm(self, body: m.Confirmation | None = None) -> None:
        """Verify an address by the link's token, or by address and code.

        Raises CodeWrong, LinkInvalid.
        """
        return await self._door.call(
            Call(Method("POST", "/v1/auth/verify-email"), type(None), body=UNSET if body is None else body)
        )

    async def keys(self) -> m.KeySet:
        """Public keys that access tokens are signed with."""
        return await self._door.call(Call(Method("GET", "/.well-known/jwks.json"), m.KeySet))

    async def log_in(self, body: m.Login) -> m.Tokens:
        """Sign in.

        The answer to a wrong password is the same whether the account exists or not. Ten failures lock for 15 minutes.

        Raises AccountSuspended, BadCredentials, LockedOut.
        """
        return await self._door.call(Call(Method("POST", "/v1/auth/login"), m.Tokens, body=body))

    async def log_out(self, body: m.RefreshToken) -> None:
        """End the session of a refresh token."""
        return await self._door.call(Call(Method("POST", "/v1/auth/logout"), type(None), body=body))

    async def log_out_everywhere(self) -> None:
        """End every session of the account, this one included."""
        return await self._door.call(Call(Method("POST", "/v1/auth/logout-all"), type(None)))

    async def refresh(self, body: m.RefreshToken) -> m.Tokens:
        """New tokens for a refresh token, which is spent by this.

        A refresh token that comes a second time ends its session: refresh once, and share the answer.

        Raises TokenInvalid, TokenReused.
        """
        return await self._door.call(Call(Method("POST", "/v1/auth/refresh"), m.Tokens, body=body))

    async def register(self, body: m.Registration) -> m.Tokens:
        """Make an account and sign in.

        The account is `unconfirmed` until its address is verified by the code or the link in the mail.

        Raises EmailTaken.
        """
        return await self._door.call(Call(Method("POST", "/v1/auth/register"), m.Tokens, body=body))

    async def reset_password(self, body: m.NewPassword) -> None:
        """Choose a new password by the link's token. Every session ends.

        Raises LinkInvalid.
        """
        return await self._door.call(Call(Method("POST", "/v1/auth/reset-password"), type(None), body=body))


class StaffAndKeys:
    """Staff and keys."""

    def __init__(self, door: AsyncDoor) -> None:
        self._door = door

    async def accept(self, token: str) -> m.Place:
        """Join the staff by the token of an invitation to one's own address.

        Raises LinkInvalid, NotInvited.
        """
        return await self._door.call(Call(Method("POST", "/v1/staff-invitations/{token}/accept"), m.Place, path={"token": token}))

    async def add(self, org_id: UUID | str, body: m.NewMember) -> m.MemberView:
        """Add an account to the staff at once. To invite somebody by e-mail, use invitations.

        The person is told by mail, and may leave. Their `email` stays empty until they accepted by the link in it.

        For staff with `staff.manage`.

        Raises EmailUnconfirmed.
        """
        return await self._door.call(
            Call(Method("POST", "/v1/orgs/{org_id}/staff"), m.MemberView, path={"org_id": org_id}, body=body)
        )

    async def api_keys(self, org_id: UUID | str, *, limit: int | None = None, cursor: str | None = None) -> Page[m.ApiKeyRow]:
        """Keys in use, newest first.

        For staff with `keys.manage`.
        """
        return await self._door.call(
            Call(
                Method("GET", "/v1/orgs/{org_id}/api-keys"),
                Page[m.ApiKeyRow],
                path={"org_id": org_id},
                query={"limit": limit, "cursor": cursor},
            )
        )

    def iter_api_keys(self, org_id: UUID | str, *, limit: int | None = None, page_size: int = 100) -> AsyncIterator[m.ApiKeyRow]:
        """Keys in use, newest first.

        Every entry, or the first `limit`; pages are fetched as entries are taken.
        """
        return self._door.pages(
            Call(Method("GET", "/v1/orgs/{org_id}/api-keys"), Page[m.ApiKeyRow], path={"org_id": org_id}), limit, page_size
        )

    async def change_role(
        self,
        org_id: UUID | str,
        account_id: UUID | str,
        body: m.MemberPatch | None = None,
        *,
        if_match: int | Versioned | None = None,
    ) -> m.MemberView:
        """Give somebody another role, or other limits: networks and hours to which the role is limited; `{}` lifts them.

        Nobody gives or takes more than they have themselves, changes their own limits, or gives anything while limited.

        For staff with `staff.manage`.

        Raises LastOwner.
        """
        return await self._door.call(
            Call(
                Method("PATCH", "/v1/orgs/{org_id}/staff/{account_id}"),
                m.MemberView,
                path={"org_id": org_id, "account_id": account_id},
                body=UNSET if body is None else body,
                headers={"If-Match": version_tag(if_match)},
            )
        )

    async def define_role(self, org_id: UUID | str, body: m.NewRole) -> m.RoleView:
        """Define a role of the organisation's own, if wanted limited to networks and hours.

        For staff with `staff.manage`.

        Raises RoleNameTaken.
        """
        return await self._door.call(
            Call(Method("POST", "/v1/orgs/{org_id}/roles"), m.RoleView, path={"org_id": org_id}, body=body)
        )

    async def edit_role(
        self, org_id: UUID | str, id: UUID | str, body: m.RolePatch | None = None, *, if_match: int | Versioned | None = None
    ) -> m.RoleView:
        """Edit a role; everybody who has it is affected at once.

        For staff with `staff.manage`.

        Raises RoleNameTaken.
        """
        return await self._door.call(
            Call(
                Method("PATCH", "/v1/orgs/{org_id}/roles/{id}"),
                m.RoleView,
                path={"org_id": org_id, "id": id},
                body=UNSET if body is None else body,
                headers={"If-Match": version_tag(if_match)},
            )
        )

    async def invitations(self, org_id: UUID | str) -> m.OpenInvitations:
        """The invitations that somebody may still accept, the newest first.

        For staff with `staff.manage`.
        """
        return await self._door.call(
            Call(Method("GET", "/v1/orgs/{org_id}/staff/invitations"), m.OpenInvitations, path={"org_id": org_id})
        )

    async def invite(self, org_id: UUID | str, body: m.Invitation) -> m.Invited:
        """Invite somebody by e-mail. The link works for seven days, for that address.

        For staff with `staff.manage`.

        Raises EmailUnconfirmed.
        """
        return await self._door.call(
            Call(Method("POST", "/v1/orgs/{org_id}/staff/invitations"), m.Invited, path={"org_id": org_id}, body=body)
        )

    async def invite_again(self, org_id: UUID | str, invitation_id: UUID | str) -> m.Invited:
        """Send an open invitation anew. It has another id and another link, for seven days; the link of before opens nothing.

        For staff with `staff.manage`.

        Raises EmailUnconfirmed.
        """
        return await self._door.call(
            Call(
                Method("POST", "/v1/orgs/{org_id}/staff/invitations/{invitation_id}/resend"),
                m.Invited,
                path={"org_id": org_id, "invitation_id": invitation_id},
            )
        )

    async def make_key(self, org_id: UUID | str, body: m.NewKey) -> m.NewKeyView:
        """Make a key. It is shown once, and may at most what its maker may; outside its limits it is refused with 401.

        For staff with `keys.manage`.
        """
        return await self._door.call(
            Call(Method("POST", "/v1/orgs/{org_id}/api-keys"), m.NewKeyView, path={"org_id": org_id}, body=body)
        )

    async def members(self, org_id: UUID | str, *, limit: int | None = None, cursor: str | None = None) -> Page[m.MemberView]:
        """Who works here.

        For staff with `staff.read`.
        """
        return await self._door.call(
            Call(
                Method("GET", "/v1/orgs/{org_id}/staff"),
                Page[m.MemberView],
                path={"org_id": org_id},
                query={"limit": limit, "cursor": cursor},
            )
        )

    def iter_members(self, org_id: UUID | str, *, limit: int | None = None, page_size: int = 100) -> AsyncIterator[m.MemberView]:
        """Who works here.

        Every entry, or the first `limit`; pages are fetched as entries are taken.
        """
        return self._door.pages(
            Call(Method("GET", "/v1/orgs/{org_id}/staff"), Page[m.MemberView], path={"org_id": org_id}), limit, page_size
        )

    async def remove(self, org_id: UUID | str, account_id: UUID | str) -> None:
        """Remove somebody from the staff, or leave. The last owner cannot leave.

        Raises LastOwner.
        """
        return await self._door.call(
            Call(
                Method("DELETE", "/v1/orgs/{org_id}/staff/{account_id}"),
                type(None),
                path={"org_id": org_id, "account_id": account_id},
            )
        )

    async def remove_role(self, org_id: UUID | str, id: UUID | str) -> None:
        """Remove a role that nobody has.

        For staff with `staff.manage`.

        Raises RoleInUse.
        """
        return await self._door.call(
            Call(Method("DELETE", "/v1/orgs/{org_id}/roles/{id}"), type(None), path={"org_id": org_id, "id": id})
        )

    async def revoke_key(self, org_id: UUID | str, id: UUID | str) -> None:
        """Revoke a key. It stops working within seconds.

        For staff with `keys.manage`.
        """
        return await self._door.call(
            Call(Method("DELETE", "/v1/orgs/{org_id}/api-keys/{id}"), type(None), path={"org_id": org_id, "id": id})
        )

    async def roles(self, org_id: UUID | str, *, limit: int | None = None, cursor: str | None = None) -> Page[m.RoleView]:
        """Roles that can be given.

        The first page begins with the built-in ones, on top of `limit` of the organisation's own.

        For staff with `staff.read`.
        """
        return await self._door.call(
            Call(
                Method("GET", "/v1/orgs/{org_id}/roles"),
                Page[m.RoleView],
                path={"org_id": org_id},
                query={"limit": limit, "cursor": cursor},
            )
        )

    def iter_roles(self, org_id: UUID | str, *, limit: int | None = None, page_size: int = 100) -> AsyncIterator[m.RoleView]:
        """Roles that can be given.

        Every entry, or the first `limit`; pages are fetched as entries are taken.
        """
        return self._door.pages(
            Call(Method("GET", "/v1/orgs/{org_id}/roles"), Page[m.RoleView], path={"org_id": org_id}), limit, page_size
        )

    async def uninvite(self, org_id: UUID | str, invitation_id: UUID | str) -> None:
        """Take an open invitation back: its link opens nothing any more.

        For staff with `staff.manage`.
        """
        return await self._door.call(
            Call(
                Method("DELETE", "/v1/orgs/{org_id}/staff/invitations/{invitation_id}"),
                type(None),
                path={"org_id": org_id, "invitation_id": invitation_id},
            )
        )


class System:
    """System."""

    def __init__(self, door: AsyncDoor) -> None:
        self._door = door

    async def alive(self) -> m.Health:
        """The process runs."""
        return await self._door.call(Call(Method("GET", "/livez"), m.Health))

    async def asyncapi(self) -> Content:
        """The events of the house and the frames of its socket, as an AsyncAPI document."""
        return await self._door.call(Call(Method("GET", "/asyncapi.json"), Content))

    async def metrics(self) -> Content:
        """Prometheus metrics of this process, and, where background work is done, of the house."""
        return await self._door.call(Call(Method("GET", "/metrics"), Content))

    async def openapi(self) -> Content:
        """This document."""
        return await self._door.call(Call(Method("GET", "/openapi.json"), Content))

    async def ready(self) -> m.Readiness:
        """The process and what it needs work; 503 when something does not, or when the process is about to end."""
        return await self._door.call(Call(Method("GET", "/readyz"), m.Readiness))

    async def status(self) -> m.HouseStatus:
        """How every service is, and what all of them need.

        Always 200: `status` says it. In a house of several processes each of them is asked; the answer is up to two seconds
        old.
        """
        return await self._door.call(Call(Method("GET", "/api/status"), m.HouseStatus))


class Venues:
    """Venues."""

    def __init__(self, door: AsyncDoor) -> None:
        self._door = door

    async def add_resource(self, org_id: UUID | str, id: UUID | str, body: m.NewResource) -> m.Resource:
        """Add something that can be booked.

        For staff with `venues.edit`.
        """
        return await self._door.call(
            Call(
                Method("POST", "/v1/orgs/{org_id}/venues/{id}/resources"),
                m.Resource,
                path={"org_id": org_id, "id": id},
                body=body,
            )
        )

    async def close(self, org_id: UUID | str, id: UUID | str, body: m.NewClosure) -> m.Closure:
        """Shut a venue on some dates or on public holidays.

        Bookings that exist are not touched.

        For staff with `venues.edit`.
        """
        return await self._door.call(
            Call(
                Method("POST", "/v1/orgs/{org_id}/venues/{id}/closures"), m.Closure, path={"org_id": org_id, "id": id}, body=body
            )
        )

    async def closures(self, org_id: UUID | str, id: UUID | str) -> m.Closures:
        """List a venue's closures."""
        return await self._door.call(
            Call(Method("GET", "/v1/orgs/{org_id}/venues/{id}/closures"), m.Closures, path={"org_id": org_id, "id": id})
        )

    async def create(self, org_id: UUID | str, body: m.NewVenue) -> m.Venue:
        """Create a venue.

        For staff with `venues.edit`.

        Raises SlugTaken.
        """
        return await self._door.call(
            Call(Method("POST", "/v1/orgs/{org_id}/venues"), m.Venue, path={"org_id": org_id}, body=body)
        )

    async def describe_photo(
        self, org_id: UUID | str, id: UUID | str, photo_id: UUID | str, body: m.Description
    ) -> m.VenuesPhoto:
        """Say in words what a photo shows, of the venue or of something that can be booked there.

        For staff with `venues.edit`.
        """
        return await self._door.call(
            Call(
                Method("PUT", "/v1/orgs/{org_id}/venues/{id}/photos/{photo_id}"),
                m.VenuesPhoto,
                path={"org_id": org_id, "id": id, "photo_id": photo_id},
                body=body,
            )
        )

    async def edit(
        self, org_id: UUID | str, id: UUID | str, body: m.VenuePatch | None = None, *, if_match: int | Versioned | None = None
    ) -> m.Venue:
        """Change a venue.

        `photo_ids` names images that were sent to the organisation's uploads, in the order shown; those left out are
        removed.

        For staff with `venues.edit`.

        Raises SlugTaken.
        """
        return await self._door.call(
            Call(
                Method("PATCH", "/v1/orgs/{org_id}/venues/{id}"),
                m.Venue,
                path={"org_id": org_id, "id": id},
                body=UNSET if body is None else body,
                headers={"If-Match": version_tag(if_match)},
            )
        )

    async def edit_organisation(
        self, org_id: UUID | str, body: m.OrganisationPatch | None = None, *, if_match: int | Versioned | None = None
    ) -> m.Organisation:
        """Change an organisation's details.

        For staff with `venues.edit`.

        Raises SlugTaken.
        """
        return await self._door.call(
            Call(
                Method("PATCH", "/v1/orgs/{org_id}"),
                m.Organisation,
                path={"org_id": org_id},
                body=UNSET if body is None else body,
                headers={"If-Match": version_tag(if_match)},
            )
        )

    async def edit_policies(
        self, org_id: UUID | str, body: m.PoliciesPatch | None = None, *, if_match: int | Versioned | None = None
    ) -> m.PoliciesView:
        """Change an organisation's policies.

        For staff with `venues.edit`.
        """
        return await self._door.call(
            Call(
                Method("PATCH", "/v1/orgs/{org_id}/policies"),
                m.PoliciesView,
                path={"org_id": org_id},
                body=UNSET if body is None else body,
                headers={"If-Match": version_tag(if_match)},
            )
        )

    async def edit_resource(
        self,
        org_id: UUID | str,
        id: UUID | str,
        resource_id: UUID | str,
        body: m.ResourcePatch | None = None,
        *,
        if_match: int | Versioned | None = None,
    ) -> m.Resource:
        """Change a resource, switch it off or on.

        It gets no more parts while it is booked or blocked at any time to come, itself or as a part of something.

        For staff with `venues.edit`.

        Raises ResourceInUse.
        """
        return await self._door.call(
            Call(
                Method("PATCH", "/v1/orgs/{org_id}/venues/{id}/resources/{resource_id}"),
                m.Resource,
                path={"org_id": org_id, "id": id, "resource_id": resource_id},
                body=UNSET if body is None else body,
                headers={"If-Match": version_tag(if_match)},
            )
        )

    async def found(self, body: m.NewOrganisation) -> m.Organisation:
        """Create an organisation; you become its owner.

        Raises SlugTaken.
        """
        return await self._door.call(Call(Method("POST", "/v1/orgs"), m.Organisation, body=body))

    async def needing_attention(
        self, *, limit: int | None = None, cursor: str | None = None, status: m.OrganisationStatus | None = None
    ) -> Page[m.OrganisationsAfter]:
        """List organisations that nobody can book.

        Those that are not active, and those without a listed venue that has a price.
        """
        return await self._door.call(
            Call(
                Method("GET", "/v1/admin/orgs"),
                Page[m.OrganisationsAfter],
                query={"limit": limit, "cursor": cursor, "status": status},
            )
        )

    def iter_needing_attention(
        self, *, status: m.OrganisationStatus | None = None, limit: int | None = None, page_size: int = 100
    ) -> AsyncIterator[m.OrganisationsAfter]:
        """List organisations that nobody can book.

        Every entry, or the first `limit`; pages are fetched as entries are taken.
        """
        return self._door.pages(
            Call(Method("GET", "/v1/admin/orgs"), Page[m.OrganisationsAfter], query={"status": status}), limit, page_size
        )

    async def onboarding(self, org_id: UUID | str) -> m.Onboarding:
        """What is still to do before people can book."""
        return await self._door.call(Call(Method("GET", "/v1/orgs/{org_id}/onboarding"), m.Onboarding, path={"org_id": org_id}))

    async def organisation(self, org_id: UUID | str) -> m.Organisation:
        """Read an organisation."""
        return await self._door.call(Call(Method("GET", "/v1/orgs/{org_id}"), m.Organisation, path={"org_id": org_id}))

    async def policies(self, org_id: UUID | str) -> m.PoliciesView:
        """Read an organisation's policies."""
        return await self._door.call(Call(Method("GET", "/v1/orgs/{org_id}/policies"), m.PoliciesView, path={"org_id": org_id}))

    async def preview_price(
        self,
        org_id: UUID | str,
        id: UUID | str,
        *,
        resource_id: UUID | str,
        start: datetime,
        duration_min: int | None = None,
        team_size: int | None = None,
        purpose: m.Purpose | None = None,
        member_tier: str | None = None,
    ) -> m.PricePreview:
        """See what a time would cost, and which rule wins.

        Raises CapacityExceeded.
        """
        return await self._door.call(
            Call(
                Method("GET", "/v1/orgs/{org_id}/venues/{id}/prices/preview"),
                m.PricePreview,
                path={"org_id": org_id, "id": id},
                query={
                    "resource_id": resource_id,
                    "start": start,
                    "duration_min": duration_min,
                    "team_size": team_size,
                    "purpose": purpose,
                    "member_tier": member_tier,
                },
            )
        )

    async def prices(self, org_id: UUID | str, id: UUID | str) -> m.Prices:
        """Read a venue's price list."""
        return await self._door.call(
            Call(Method("GET", "/v1/orgs/{org_id}/venues/{id}/prices"), m.Prices, path={"org_id": org_id, "id": id})
        )

    async def public_resources(self, id: UUID | str, *, limit: int | None = None, cursor: str | None = None) -> Page[m.Resource]:
        """List what can be booked at a venue."""
        return await self._door.call(
            Call(
                Method("GET", "/v1/venues/{id}/resources"),
                Page[m.Resource],
                path={"id": id},
                query={"limit": limit, "cursor": cursor},
            )
        )

    def iter_public_resources(
        self, id: UUID | str, *, limit: int | None = None, page_size: int = 100
    ) -> AsyncIterator[m.Resource]:
        """List what can be booked at a venue.

        Every entry, or the first `limit`; pages are fetched as entries are taken.
        """
        return self._door.pages(
            Call(Method("GET", "/v1/venues/{id}/resources"), Page[m.Resource], path={"id": id}), limit, page_size
        )

    async def read(self, id: UUID | str) -> m.VenueView:
        """Read a venue."""
        return await self._door.call(Call(Method("GET", "/v1/venues/{id}"), m.VenueView, path={"id": id}))

    async def remove_resource(self, org_id: UUID | str, id: UUID | str, resource_id: UUID | str) -> None:
        """Remove a resource for good.

        Bookings that exist stay as they are.

        For staff with `venues.edit`.

        Raises ResourceInUse.
        """
        return await self._door.call(
            Call(
                Method("DELETE", "/v1/orgs/{org_id}/venues/{id}/resources/{resource_id}"),
                type(None),
                path={"org_id": org_id, "id": id, "resource_id": resource_id},
            )
        )

    async def reopen(self, org_id: UUID | str, id: UUID | str, closure_id: UUID | str) -> None:
        """Take a closure back.

        For staff with `venues.edit`.
        """
        return await self._door.call(
            Call(
                Method("DELETE", "/v1/orgs/{org_id}/venues/{id}/closures/{closure_id}"),
                type(None),
                path={"org_id": org_id, "id": id, "closure_id": closure_id},
            )
        )

    async def resource(self, org_id: UUID | str, id: UUID | str, resource_id: UUID | str) -> m.Resource:
        """Read a resource as its owner."""
        return await self._door.call(
            Call(
                Method("GET", "/v1/orgs/{org_id}/venues/{id}/resources/{resource_id}"),
                m.Resource,
                path={"org_id": org_id, "id": id, "resource_id": resource_id},
            )
        )

    async def resources(
        self, org_id: UUID | str, id: UUID | str, *, limit: int | None = None, cursor: str | None = None
    ) -> Page[m.Resource]:
        """List a venue's resources, inactive ones too."""
        return await self._door.call(
            Call(
                Method("GET", "/v1/orgs/{org_id}/venues/{id}/resources"),
                Page[m.Resource],
                path={"org_id": org_id, "id": id},
                query={"limit": limit, "cursor": cursor},
            )
        )

    def iter_resources(
        self, org_id: UUID | str, id: UUID | str, *, limit: int | None = None, page_size: int = 100
    ) -> AsyncIterator[m.Resource]:
        """List a venue's resources, inactive ones too.

        Every entry, or the first `limit`; pages are fetched as entries are taken.
        """
        return self._door.pages(
            Call(Method("GET", "/v1/orgs/{org_id}/venues/{id}/resources"), Page[m.Resource], path={"org_id": org_id, "id": id}),
            limit,
            page_size,
        )

    async def search(
        self,
        *,
        limit: int | None = None,
        cursor: str | None = None,
        near: str | None = None,
        radius_km: float | None = None,
        sport: str | None = None,
        amenities: Sequence[str] | None = None,
        indoor: bool | None = None,
        min_price: int | None = None,
        max_price: int | None = None,
        currency: str | None = None,
        free_at: datetime | None = None,
        duration_min: int | None = None,
        q: str | None = None,
        sort: m.Sort | None = None,
        organisation_id: UUID | str | None = None,
    ) -> Page[m.VenueCard]:
        """Find venues.

        Nearest first when `near` is given, best match when `q` is, otherwise by name. A page that asks for free time may be
        short and still have a next one.
        """
        return await self._door.call(
            Call(
                Method("GET", "/v1/venues"),
                Page[m.VenueCard],
                query={
                    "limit": limit,
                    "cursor": cursor,
                    "near": near,
                    "radius_km": radius_km,
                    "sport": sport,
                    "amenities": amenities,
                    "indoor": indoor,
                    "min_price": min_price,
                    "max_price": max_price,
                    "currency": currency,
                    "free_at": free_at,
                    "duration_min": duration_min,
                    "q": q,
                    "sort": sort,
                    "organisation_id": organisation_id,
                },
            )
        )

    def iter_search(
        self,
        *,
        near: str | None = None,
        radius_km: float | None = None,
        sport: str | None = None,
        amenities: Sequence[str] | None = None,
        indoor: bool | None = None,
        min_price: int | None = None,
        max_price: int | None = None,
        currency: str | None = None,
        free_at: datetime | None = None,
        duration_min: int | None = None,
        q: str | None = None,
        sort: m.Sort | None = None,
        organisation_id: UUID | str | None = None,
        limit: int | None = None,
        page_size: int = 100,
    ) -> AsyncIterator[m.VenueCard]:
        """Find venues.

        Every entry, or the first `limit`; pages are fetched as entries are taken.
        """
        return self._door.pages(
            Call(
                Method("GET", "/v1/venues"),
                Page[m.VenueCard],
                query={
                    "near": near,
                    "radius_km": radius_km,
                    "sport": sport,
                    "amenities": amenities,
                    "indoor": indoor,
                    "min_price": min_price,
                    "max_price": max_price,
                    "currency": currency,
                    "free_at": free_at,
                    "duration_min": duration_min,
                    "q": q,
                    "sort": sort,
                    "organisation_id": organisation_id,
                },
            ),
            limit,
            page_size,
        )

    async def set_prices(
        self, org_id: UUID | str, id: UUID | str, body: m.PriceList, *, if_match: int | Versioned | None = None
    ) -> m.Prices:
        """Replace a venue's price list.

        For staff with `venues.edit`.
        """
        return await self._door.call(
            Call(
                Method("PUT", "/v1/orgs/{org_id}/venues/{id}/prices"),
                m.Prices,
                path={"org_id": org_id, "id": id},
                body=body,
                headers={"If-Match": version_tag(if_match)},
            )
        )

    async def set_standing(self, id: UUID | str, body: m.Standing) -> m.Organisation:
        """Suspend, deactivate or take back an organisation."""
        return await self._door.call(Call(Method("PATCH", "/v1/admin/orgs/{id}"), m.Organisation, path={"id": id}, body=body))

    async def suggest(self, *, q: str | None = None) -> m.Suggestions:
        """Complete what someone types: cities and venues."""
        return await self._door.call(Call(Method("GET", "/v1/venues/suggest"), m.Suggestions, query={"q": q}))

    async def venue(self, org_id: UUID | str, id: UUID | str) -> m.Venue:
        """Read a venue as its owner."""
        return await self._door.call(
            Call(Method("GET", "/v1/orgs/{org_id}/venues/{id}"), m.Venue, path={"org_id": org_id, "id": id})
        )

    async def venues(self, org_id: UUID | str, *, limit: int | None = None, cursor: str | None = None) -> Page[m.Venue]:
        """List an organisation's venues, unlisted ones too."""
        return await self._door.call(
            Call(
                Method("GET", "/v1/orgs/{org_id}/venues"),
                Page[m.Venue],
                path={"org_id": org_id},
                query={"limit": limit, "cursor": cursor},
            )
        )

    def iter_venues(self, org_id: UUID | str, *, limit: int | None = None, page_size: int = 100) -> AsyncIterator[m.Venue]:
        """List an organisation's venues, unlisted ones too.

        Every entry, or the first `limit`; pages are fetched as entries are taken.
        """
        return self._door.pages(
            Call(Method("GET", "/v1/orgs/{org_id}/venues"), Page[m.Venue], path={"org_id": org_id}), limit, page_size
        )


class Operations:
    """The groups."""

    def __init__(self, door: AsyncDoor) -> None:
        self._door = door
        self.audit = Audit(door)
        self.booking = Booking(door)
        self.chat = Chat(door)
        self.media = Media(door)
        self.my_account = MyAccount(door)
        self.notifications = Notifications(door)
        self.notifications_of_an_organisation = NotificationsOfAnOrganisation(door)
        self.organisations = Organisations(door)
        self.payments = Payments(door)
        self.people = People(door)
        self.platform = Platform(door)
        self.signing_in = SigningIn(door)
        self.staff_and_keys = StaffAndKeys(door)
        self.system = System(door)
        self.venues = Venues(door)
