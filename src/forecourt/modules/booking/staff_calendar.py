"""The calendar address of a court, a room or a table, for those who work there."""

from __future__ import annotations

from uuid import UUID

from forecourt.kernel.errors import NotFound
from forecourt.kernel.http.operation import Api, Html, Redirect, Visit, action, page, staff
from forecourt.kernel.web.surroundings import Surroundings, staff_bar
from forecourt.modules.booking.service import BookingService
from forecourt.modules.booking.service.base import READ_ANY

READ = staff(READ_ANY)


class StaffCalendarPages(Api):
    tag = "Pages"

    def __init__(self, service: BookingService, pages: Surroundings, public_url: str) -> None:
        self._service = service
        self._pages = pages
        self._public_url = public_url

    @page("/orgs/{org_id}/places/{venue_id}/resources/{resource_id}/calendar", access=READ)
    async def calendar(self, visit: Visit, org_id: UUID, venue_id: UUID, resource_id: UUID) -> Html:
        """Whether there is an address, and how to get one."""
        return await self._page(visit, org_id, venue_id, resource_id, "")

    @action("/orgs/{org_id}/places/{venue_id}/resources/{resource_id}/calendar", access=READ)
    async def make(self, visit: Visit, org_id: UUID, venue_id: UUID, resource_id: UUID) -> Html:
        """Makes an address and shows it, once. The one before stops working."""
        token = await self._service.make_resource_feed(visit.ctx, resource_id)
        address = f"{self._public_url}/v1/resources/calendar.ics?token={token}"
        return await self._page(visit, org_id, venue_id, resource_id, address)

    @action("/orgs/{org_id}/places/{venue_id}/resources/{resource_id}/calendar/close", access=READ)
    async def close(self, visit: Visit, org_id: UUID, venue_id: UUID, resource_id: UUID) -> Redirect:
        """The address stops working."""
        await self._service.end_resource_feed(visit.ctx, resource_id)
        return Redirect(_here(org_id, venue_id, resource_id), toast=self._pages.text(visit, "feed.closed"))

    async def _page(self, visit: Visit, org_id: UUID, venue_id: UUID, resource_id: UUID, address: str) -> Html:
        has = await self._service.has_resource_feed(visit.ctx, resource_id)
        book, resource = await self._service.books.of_resource(resource_id)
        if book.venue.id != venue_id:
            raise NotFound
        return self._pages.page(
            "booking/staff_calendar.html",
            visit,
            org=staff_bar(book.organisation, visit.ctx),
            resource=resource,
            has=has,
            address=address,
            here=_here(org_id, venue_id, resource_id),
            back=f"/orgs/{org_id}/day?venue_id={venue_id}",
        )


def _here(org_id: UUID, venue_id: UUID, resource_id: UUID) -> str:
    return f"/orgs/{org_id}/places/{venue_id}/resources/{resource_id}/calendar"
