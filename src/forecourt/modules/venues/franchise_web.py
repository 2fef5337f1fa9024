"""A franchise parent's figures: for programs, and as a page."""

from __future__ import annotations

from datetime import date
from uuid import UUID

import msgspec

from forecourt.kernel.context import Context
from forecourt.kernel.errors import Invalid
from forecourt.kernel.http.operation import Api, Html, Visit, get, page, staff
from forecourt.kernel.web.forms import NO_FAULTS
from forecourt.kernel.web.surroundings import Surroundings, staff_bar
from forecourt.modules.venues.service.franchise import Franchise, FranchiseReport
from forecourt.modules.venues.service.organisations import Organisations

FIGURES = staff("analytics.read")


class FranchiseQuery(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, rename={"from_": "from"}):
    """Days of the parent's wall clock; `to` is not included."""

    from_: date | None = None
    to: date | None = None


class FranchiseApi(Api):
    tag = "Organisations"

    def __init__(self, franchise: Franchise) -> None:
        self._franchise = franchise

    @get("/v1/orgs/{org_id}/franchise", access=FIGURES)
    async def report(self, ctx: Context, org_id: UUID, query: FranchiseQuery) -> FranchiseReport:
        """What the organisations of a franchise come to

        For the parent: bookings that begin in the days, their time, and revenue by the ledger, per child and together. Without
        `from` and `to`, the last 30 days; at most 366. Amounts of different currencies are never added up.
        """
        return await self._franchise.report(ctx, query.from_, query.to)


class FranchisePages(Api):
    tag = "Console"

    def __init__(self, franchise: Franchise, organisations: Organisations, pages: Surroundings) -> None:
        self._franchise = franchise
        self._organisations = organisations
        self._pages = pages

    @page("/orgs/{org_id}/franchise", access=FIGURES)
    async def report(self, visit: Visit, org_id: UUID, query: FranchiseQuery) -> Html:
        """The same for people. Days that cannot be are said so, and the usual ones are shown."""
        organisation = await self._organisations.organisation(visit.ctx, org_id)
        wrong = NO_FAULTS
        try:
            report = await self._franchise.report(visit.ctx, query.from_, query.to)
        except Invalid as problem:
            wrong = self._pages.faults(visit, problem)
            report = await self._franchise.report(visit.ctx, None, None)
        return self._pages.page(
            "venues/franchise.html", visit, org=staff_bar(organisation, visit.ctx), report=report, wrong=wrong
        )
