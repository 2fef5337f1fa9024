"""What all pages of chat know: who looks, who the others are, and how a problem reads in the reader's language."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast
from uuid import UUID

from forecourt.kernel.context import Context
from forecourt.kernel.errors import Conflict, Forbidden, Invalid, NotFound, PreconditionFailed, Problem, TooManyRequests
from forecourt.kernel.http.operation import Api, Person, Visit
from forecourt.kernel.presence import Presences
from forecourt.kernel.web import formats
from forecourt.kernel.web.forms import sentence
from forecourt.kernel.web.render import Language
from forecourt.kernel.web.surroundings import Surroundings
from forecourt.modules.chat.service import ChatService
from forecourt.modules.chat.views import Who, who
from forecourt.modules.people.contract import People

MENDABLE = (Invalid, Conflict, Forbidden, TooManyRequests, PreconditionFailed)


class Parlour(Api):
    """Pages extend it."""

    tag = "Pages"

    def __init__(self, service: ChatService, people: People, presences: Presences, pages: Surroundings) -> None:
        self._service = service
        self._people = people
        self._presences = presences
        self._pages = pages

    async def _who(self, visit: Visit, ids: Iterable[UUID]) -> dict[UUID, Who]:
        wanted = list(dict.fromkeys(ids))
        cards = await self._service.names.of(visit.ctx, wanted)
        presence = await self._presences.of(wanted)
        unknown = formats.deleted_account(visit.locale)
        return {id: who(id, cards, presence, unknown) for id in wanted}

    async def _called(self, ctx: Context, typed: str) -> list[UUID]:
        """Whose handles these are: with or without @, apart by blanks or commas. Raises Invalid at `handles`."""
        handles = [h.lstrip("@") for h in typed.replace(",", " ").split()]
        wanted = list(dict.fromkeys(h.lower() for h in handles if h))
        if not wanted:
            raise Invalid.field("handles", "name somebody")
        cards = {(card.handle or "").lower(): card for card in await self._people.by_handles(ctx, wanted[:50])}
        for handle in wanted:
            if handle not in cards:
                raise Invalid.field("handles", f"nobody is called @{handle}")
        return [cards[h].id for h in wanted]

    def _fault(self, visit: Visit, problem: Problem) -> str:
        """What went wrong, in the reader's language."""
        said = problem.errors[0].message if problem.errors else problem.detail or problem.title
        return sentence(self._pages.pages.said(cast("Language", visit.locale), said), visit.locale)

    def _say(self, visit: Visit, key: str, **values: object) -> str:
        return self._pages.text(visit, key, **values)


def me(visit: Visit) -> Person:
    """Who looks at a page that is for people who are signed in."""
    person = visit.person
    if person is None:  # the page's access says that there is one
        raise NotFound
    return person
