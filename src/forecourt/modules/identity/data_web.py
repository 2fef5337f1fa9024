"""The page about one's own data: what the house keeps of a person, and being erased."""

from __future__ import annotations

from typing import Annotated, cast
from uuid import UUID

import msgspec
from msgspec import Meta

from forecourt.kernel.errors import FieldError, Invalid, NotFound, Problem
from forecourt.kernel.http.operation import PERSON, Api, By, Html, Limit, Redirect, Visit, action, page
from forecourt.kernel.web.forms import NO_FAULTS, Faults
from forecourt.kernel.web.surroundings import Surroundings
from forecourt.kernel.web.views import Link
from forecourt.modules.identity.contract import LastOwner
from forecourt.modules.identity.service import IdentityService
from forecourt.modules.venues.contract import Venues

HERE = "/account/data"
SHOWN = 100


class EraseForm(msgspec.Struct, forbid_unknown_fields=True):
    password: Annotated[str, Meta(max_length=200)] = ""


class DataPages(Api):
    tag = "Pages"

    def __init__(self, service: IdentityService, pages: Surroundings, venues: Venues) -> None:
        self._erasing = service.erasing
        self._pages = pages
        self._venues = venues

    @page(HERE, access=PERSON)
    async def data(self, visit: Visit) -> Html:
        """What is kept of oneself, and being erased."""
        return await self._data(visit)

    @action("/account/erase", limits=(Limit("10/minute", By.ACCOUNT),))
    async def erase(self, visit: Visit, form: EraseForm) -> Html | Redirect:
        """Asks to be erased, thirty days from now."""
        if not form.password:
            missing = self._pages.faults(visit, Invalid(errors=[FieldError("password", "must not be empty")]))
            return await self._data(visit, missing)
        try:
            await self._erasing.ask(visit.ctx, form.password)
        except LastOwner as problem:
            return await self._data(visit, self._pages.faults(visit, problem), await self._owned(visit, problem))
        except Problem as problem:
            return await self._data(visit, self._pages.faults(visit, problem))
        return Redirect(HERE, toast=self._pages.text(visit, "identity.erase_asked"))

    @action("/account/erase/keep")
    async def keep(self, visit: Visit) -> Redirect:
        """Keeps the account after all."""
        await self._erasing.take_back(visit.ctx)
        return Redirect(HERE, toast=self._pages.text(visit, "identity.erase_kept"))

    async def _owned(self, visit: Visit, problem: LastOwner) -> list[Link]:
        """Where somebody else has to be made owner first."""
        ids = [UUID(id) for id in cast("list[str]", problem.extra["organisation_ids"])][:SHOWN]
        cards = await self._venues.organisations(visit.ctx, ids)
        return [Link(card.name, f"/orgs/{card.id}/people") for card in cards]

    async def _data(self, visit: Visit, wrong: Faults = NO_FAULTS, owned: list[Link] | None = None) -> Html:
        if visit.person is None:
            raise NotFound
        return self._pages.page(
            "identity/data.html",
            visit,
            status=wrong.status,
            account=visit.person,
            erase_at=await self._erasing.asked_for(visit.ctx),
            crumbs=[Link(self._pages.text(visit, "identity.account"), "/account")],
            wrong=wrong,
            owned=owned or [],
        )
