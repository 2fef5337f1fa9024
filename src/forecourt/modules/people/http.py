"""People over HTTP: looking at somebody, and one's own profile and preferences."""

from __future__ import annotations

from forecourt.kernel.context import Context
from forecourt.kernel.errors import NotFound, PreconditionFailed
from forecourt.kernel.http.operation import PUBLIC, Api, get, patch, put
from forecourt.modules.people.contract import HandleTaken, Preferences
from forecourt.modules.people.service import PeopleService, PersonView, Profile, ProfilePatch


class PeopleApi(Api):
    tag = "People"

    def __init__(self, service: PeopleService) -> None:
        self._service = service

    @get("/v1/people/{id}", access=PUBLIC, problems=(NotFound,))
    async def look(self, ctx: Context, id: str) -> PersonView:
        """A person, by id or by @handle. Each field is shown to those its owner chose."""
        return await self._service.look(ctx, id)

    @get("/v1/me/profile")
    async def mine(self, ctx: Context) -> Profile:
        """My profile, and who sees which part of it."""
        return await self._service.mine(ctx)

    @patch("/v1/me/profile", problems=(HandleTaken, PreconditionFailed))
    async def edit(self, ctx: Context, body: ProfilePatch, if_match: int | None) -> Profile:
        """Edit my profile."""
        return await self._service.edit(ctx, body, if_match)

    @get("/v1/me/preferences")
    async def preferences(self, ctx: Context) -> Preferences:
        """My preferences."""
        return await self._service.my_preferences(ctx)

    @put("/v1/me/preferences")
    async def prefer(self, ctx: Context, body: Preferences) -> Preferences:
        """Replace my preferences."""
        return await self._service.prefer(ctx, body)
