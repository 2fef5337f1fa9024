"""Which language the pages speak: a person's choice, kept in a cookie."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from forecourt.kernel.http.operation import PUBLIC, Api, Redirect, action

LOCALE_COOKIE = "fc_locale"
YEAR_S = 31_536_000


class Spoken(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`back` is the page the choice was made on."""

    language: Literal["en", "pt", "ur"]
    back: Annotated[str, Meta(max_length=2000)] = "/"


class LanguageApi(Api):
    tag = "Pages"

    @action("/language", access=PUBLIC)
    async def choose(self, form: Spoken) -> Redirect:
        """Speak another language from now on."""
        cookie = f"{LOCALE_COOKIE}={form.language}; Path=/; SameSite=Lax; Max-Age={YEAR_S}"
        return Redirect(form.back, cookies=[cookie])
