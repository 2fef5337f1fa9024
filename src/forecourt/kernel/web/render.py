"""Pages: the template environment. `pages.render("booking/venue.html", page, venue=venue)` → HTML.

Templates live in `kernel/web/templates` and in each module's `templates/` folder (`templates/booking/venue.html`).
There is one environment per language, because macros are imported without context: formats, texts and direction are
globals and filters of that language, everything else is an argument. A value that is missing is an error, not a blank.
"""

from __future__ import annotations

import marshal
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Literal, cast
from zlib import crc32

import msgspec
from jinja2 import BytecodeCache, Environment, FileSystemLoader, StrictUndefined, select_autoescape
from jinja2.bccache import Bucket

from forecourt.kernel.web import charts, formats
from forecourt.kernel.web.assets import Assets
from forecourt.kernel.web.catalogue import LANGUAGES, Catalogue
from forecourt.kernel.web.catalogue import OWN as OWN_MESSAGES
from forecourt.kernel.web.nav import STANDARD, Navigation

OWN_TEMPLATES = Path(__file__).parent / "templates"

Language = Literal["en", "pt", "ur"]
Direction = Literal["ltr", "rtl"]
Theme = Literal["system", "light", "dark"]


class Person(msgspec.Struct, frozen=True):
    """Who is signed in, as the bars show them. `unread` counts notifications."""

    id: str
    name: str
    initials: str
    email: str
    unread: int = 0
    erase_at: datetime | None = None
    """When the account will be erased, as they asked."""


class OrgNav(msgspec.Struct, frozen=True):
    """The organisation a page is about. `kind`: padel, gym, community, hotel. `role` is empty for guests.

    `hue` (0–359) and `chroma` (0–0.15) are the brand; lightness is ours. 0 chroma means: our own green.
    """

    id: str
    name: str
    kind: str
    role: str = ""
    hue: int = 161
    chroma: float = 0.092
    place: str = ""
    permissions: frozenset[str] = frozenset()
    """What the person may do there: the bars leave out what they may not open."""


class Toast(msgspec.Struct, frozen=True):
    """What the last request did, shown once on the next page. `undo_url` takes a POST."""

    text: str
    undo_url: str = ""


class PageContext(msgspec.Struct, frozen=True, kw_only=True):
    """What every page knows. `path` is the request's path without query; `csrf` goes into every form."""

    locale: Language = "en"
    direction: Direction = "ltr"
    theme: Theme = "system"
    csrf: str = ""
    path: str = "/"
    query: str = ""
    """The request's query without its question mark."""
    person: Person | None = None
    org: OrgNav | None = None
    env: str = "dev"
    now: datetime
    counts: dict[str, int] = {}
    """Unread numbers by the names NavItem.count uses: chat, desk, bookings."""
    toasts: tuple[Toast, ...] = ()
    live: str = ""
    """Address of the page's event stream; empty for none."""

    @property
    def here(self) -> str:
        """Path and query: where signing in leads back to."""
        return f"{self.path}?{self.query}" if self.query else self.path


class _Memory(BytecodeCache):
    """Compiled templates shared by the three languages, which differ in globals only."""

    def __init__(self) -> None:
        self._code: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        code = self._code.get(f"{bucket.key}{bucket.checksum}")
        if code is not None:
            bucket.code = marshal.loads(code)  # noqa: S302  # our own bytes, never out of this process

    def dump_bytecode(self, bucket: Bucket) -> None:
        if bucket.code is not None:
            self._code[f"{bucket.key}{bucket.checksum}"] = marshal.dumps(bucket.code)

    def clear(self) -> None:
        self._code.clear()


class Pages:
    """Renders pages and fragments. `folders` are the modules' `templates/` folders; texts lie in `messages/` beside each.

    `reload` watches files (development).
    """

    def __init__(
        self,
        assets: Assets,
        folders: Sequence[Path] = (),
        *,
        catalogue: Catalogue | None = None,
        navigation: Navigation = STANDARD,
        reload: bool = False,
    ) -> None:
        self.assets = assets
        self.catalogue = catalogue or Catalogue((OWN_MESSAGES, *(folder.parent / "messages" for folder in folders)))
        code = _Memory()
        paths = [OWN_TEMPLATES, *folders]
        self._environments = {
            language: self._environment(language, paths, code, navigation, reload=reload) for language in LANGUAGES
        }

    def render(self, name: str, page: PageContext, /, **values: object) -> str:
        """The HTML of template `name`. Raises jinja2.TemplateNotFound, and UndefinedError for a value not given."""
        return self._environments[page.locale].get_template(name).render(page=page, **values)

    def macro(self, name: str, macro: str, language: Language = "en", /, *args: object, **values: object) -> str:
        """One macro's HTML, for a live update of the part a page rendered with it: `macro("ui.html", "booking_block", …)`."""
        module = self._environments[language].get_template(name).module
        call: Callable[..., str] = getattr(module, macro)
        return str(call(*args, **values))

    def text(self, language: Language, key: str, /, **values: object) -> str:
        """A sentence of the catalogue, for toasts and notes made in Python."""
        return self.catalogue.say(language, key, values)

    def said(self, language: Language, english: str) -> str:
        """What a service said in English, in the reader's language; English for a sentence nobody translated."""
        return self.catalogue.said(language, english) or english

    def names(self) -> list[str]:
        """Every template there is."""
        return self._environments["en"].list_templates(extensions=["html"])

    def _environment(
        self, language: str, folders: list[Path], code: BytecodeCache, navigation: Navigation, *, reload: bool
    ) -> Environment:
        env = Environment(
            loader=FileSystemLoader([str(folder) for folder in folders]),
            autoescape=select_autoescape(default=True, default_for_string=True),
            undefined=StrictUndefined,
            bytecode_cache=code,
            auto_reload=reload,
            cache_size=-1,
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=["jinja2.ext.do"],
        )
        for name in ("money", "amount", "time", "time_range", "date", "duration", "distance", "relative", "number", "plural"):
            env.filters[name] = partial(_flip, getattr(formats, name), language)
        env.filters |= {"tint": tint, "initials": initials, "clock_left": formats.clock_left, "iso": _iso}
        ours: dict[str, Any] = {
            "asset": self.assets,
            "nav": navigation,
            "locale": language,
            "direction": "rtl" if language == "ur" else "ltr",
            "t": partial(self._say, language),
            "has_text": self.catalogue.has,
            "line_geometry": charts.line_geometry,
            "bar_geometry": charts.bar_geometry,
            "spark_points": charts.spark_points,
            "map_geometry": charts.map_geometry,
            "ring_dash": charts.ring_dash,
        }
        cast("dict[str, Any]", env.globals).update(ours)
        return env

    def _say(self, language: str, key: str, /, **values: object) -> str:
        return self.catalogue.say(language, key, values)


def page_direction(language: Language) -> Direction:
    return "rtl" if language == "ur" else "ltr"


def tint(identity: object) -> int:
    """Which of six quiet colours an avatar takes; the same person has the same one everywhere."""
    return crc32(str(identity).encode()) % 6 + 1


def initials(name: str) -> str:
    """Two letters at most: first of the first word and of the last. Letters only, so no emoji or control marks."""
    words = [word for word in ("".join(c for c in part if c.isalpha()) for part in name.split()) if word]
    if not words:
        return "?"
    return (words[0][0] + (words[-1][0] if len(words) > 1 else "")).upper()


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")


def _flip(function: Callable[..., str], language: str, value: object, *args: object, **options: object) -> str:
    return function(language, value, *args, **options)
