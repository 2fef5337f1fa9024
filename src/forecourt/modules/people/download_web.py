"""Pages: taking with one everything that the house keeps of oneself.

The form stands on the page about one's data as well, which is identity's: it includes `people/_download.html`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import Annotated, cast
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from forecourt.kernel.errors import Invalid, Problem
from forecourt.kernel.http.dispatch import preferred_language
from forecourt.kernel.http.operation import PERSON, Api, Html, Redirect, Visit, action, page
from forecourt.kernel.web.forms import NO_FAULTS, Faults
from forecourt.kernel.web.render import Language, Pages
from forecourt.kernel.web.surroundings import Surroundings
from forecourt.kernel.web.views import Link
from forecourt.modules.people.exporting import Exporting, ExportLink, Readme
from forecourt.modules.people.http import LINKS, ExportQuery

HERE = "/account/data/download"


class DownloadForm(msgspec.Struct, forbid_unknown_fields=True):
    password: Annotated[str, Meta(max_length=200)] = ""


class DownloadPages(Api):
    tag = "Pages"

    def __init__(self, exporting: Exporting, pages: Surroundings) -> None:
        self._exporting = exporting
        self._pages = pages

    @page(HERE, access=PERSON)
    async def download(self, visit: Visit, query: ExportQuery) -> Html:
        """The link to one's data, or the form that asks for it."""
        return self._page(visit, self._exporting.link(visit.ctx, query.expires, query.signature))

    @action(HERE, limits=LINKS)
    async def ask(self, visit: Visit, form: DownloadForm) -> Html | Redirect:
        """Asks for the link with one's password."""
        try:
            if not form.password:
                raise Invalid.field("password", "must not be empty")
            link = await self._exporting.ask(visit.ctx, form.password)
        except Problem as problem:
            return self._page(visit, wrong=self._pages.faults(visit, problem))
        return Redirect(f"{HERE}?{urlsplit(link.url).query}")

    def _page(self, visit: Visit, link: ExportLink | None = None, wrong: Faults = NO_FAULTS) -> Html:
        text = partial(self._pages.text, visit)
        return self._pages.page(
            "people/download.html",
            visit,
            status=wrong.status,
            account=visit.person,
            link=link,
            download_wrong=wrong,
            crumbs=[Link(text("identity.account"), "/account"), Link(text("identity.data"), "/account/data")],
        )


def readme(pages: Pages) -> Readme:
    """What stands in an archive beside the data, in a language that the house speaks."""

    def written(language: str, at: datetime, counted: dict[str, int]) -> str:
        say = partial(pages.text, cast("Language", preferred_language(language)))
        taken = say("people.export_taken", at=f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC")
        told = [say(f"people.export_{part}") for part in ("how", "files", "left_out")]
        listed = [f"{name}: {n}" for name, n in counted.items()]
        return "\n\n".join([taken, *told, "\n".join(listed)]) + "\n"

    return written
