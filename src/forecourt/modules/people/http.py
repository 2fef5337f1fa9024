"""People over HTTP: looking at somebody, one's own profile and preferences, and everything that is kept of oneself."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from forecourt.kernel.context import Context
from forecourt.kernel.errors import NotFound, PreconditionFailed, Unavailable
from forecourt.kernel.http.operation import PUBLIC, Api, By, Limit, Streamed, get, patch, post, put
from forecourt.kernel.signing import SIGNATURE_CHARS
from forecourt.modules.identity.contract import LockedOut, Password
from forecourt.modules.people.contract import ExportLinkInvalid, HandleTaken, Preferences
from forecourt.modules.people.exporting import Exporting, ExportLink
from forecourt.modules.people.service import PeopleService, PersonView, Profile, ProfilePatch

EXPORTS = (Limit("5/hour", By.ACCOUNT),)
LINKS = (Limit("20/hour", By.ACCOUNT),)
FILE_NAME = "my-forecourt-data.zip"


class ExportWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    password: Password


class ExportQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    expires: Annotated[int, Meta(ge=0, le=10**11, description="Unix seconds")] | None = None
    signature: Annotated[str, Meta(max_length=SIGNATURE_CHARS, pattern=r"^[0-9a-f]{32}$")] | None = None


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


class ExportApi(Api):
    tag = "People"

    def __init__(self, exporting: Exporting) -> None:
        self._exporting = exporting

    @post("/v1/me/export", status=202, problems=(LockedOut,), limits=LINKS)
    async def ask_for_export(self, ctx: Context, body: ExportWish) -> ExportLink:
        """Ask for a copy of everything that is kept of me.

        The link is for whoever asked, signed in as now, and works for an hour. A wrong password counts like a failed log-in.
        """
        return await self._exporting.ask(ctx, body.password)

    @get(
        "/v1/me/export",
        problems=(ExportLinkInvalid, Unavailable),
        limits=EXPORTS,
        content_type="application/zip",
    )
    async def export(self, ctx: Context, query: ExportQuery) -> Streamed:
        """Everything that is kept of me, as a ZIP archive.

        A JSON file, an array, for each kind of record; the files that I sent, below `files/`; and a README in my language.
        Passwords, keys and other secrets are left out, and others appear as ids, or by the names that I see. The archive is made
        while it is sent. One that breaks off breaks the connection, and does not open.
        """
        chunks = await self._exporting.open(ctx, query.expires, query.signature)
        headers = {"Content-Disposition": f'attachment; filename="{FILE_NAME}"', "Cache-Control": "no-store"}
        return Streamed(chunks, "application/zip", headers)
