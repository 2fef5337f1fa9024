"""From a visit to a page: what every page knows, how it is drawn, and how a problem looks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Protocol, cast
from uuid import UUID

from forecourt.kernel.clock import Clock
from forecourt.kernel.context import Context
from forecourt.kernel.errors import Problem
from forecourt.kernel.http.operation import Html, Visit
from forecourt.kernel.web.forms import Faults, faults, sentence
from forecourt.kernel.web.render import Language, OrgNav, PageContext, Pages, Person, Theme, Toast, initials, page_direction
from forecourt.kernel.web.views import Link


class Branded(Protocol):
    """The look of an organisation."""

    @property
    def hue(self) -> int | None: ...


class Organised(Protocol):
    """An organisation, as its bar shows it."""

    @property
    def id(self) -> UUID: ...
    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def branding(self) -> Branded: ...


def staff_bar(organisation: Organised, ctx: Context, place: str = "") -> OrgNav:
    """The bar of staff who may do what `ctx` says."""
    hue = organisation.branding.hue
    return OrgNav(
        str(organisation.id),
        organisation.name,
        str(organisation.kind),
        role="staff",
        hue=161 if hue is None else hue,
        place=place,
        permissions=ctx.permissions,
    )


class Surroundings:
    """Draws the pages of one process. Modules' `web.py` get it as `pages`."""

    def __init__(self, pages: Pages, env: str, clock: Clock) -> None:
        self.pages = pages
        self._env = env
        self._clock = clock

    def context(
        self,
        visit: Visit,
        *,
        org: OrgNav | None = None,
        toasts: tuple[Toast, ...] = (),
        live: str = "",
        counts: dict[str, int] | None = None,
    ) -> PageContext:
        """What the layouts need. `live` is the address of the page's event stream."""
        language = cast("Language", visit.locale)
        person = visit.person
        return PageContext(
            locale=language,
            direction=page_direction(language),
            theme=cast("Theme", visit.theme),
            csrf=visit.csrf,
            path=visit.path,
            query=visit.query,
            person=Person(str(person.id), person.name, initials(person.name), person.email, erase_at=person.erase_at)
            if person
            else None,
            org=org,
            env=self._env,
            now=self._clock.now(),
            toasts=(*toasts, Toast(visit.toast, visit.undo)) if visit.toast else toasts,
            live=live,
            counts=counts or {},
        )

    def page(
        self,
        name: str,
        visit: Visit,
        /,
        *,
        org: OrgNav | None = None,
        toasts: tuple[Toast, ...] = (),
        live: str = "",
        status: int = 200,
        values: Mapping[str, object] | None = None,
        **more: object,
    ) -> Html:
        """The template `name` with `values` and `more`, as an answer."""
        context = self.context(visit, org=org, toasts=toasts, live=live)
        return Html(self.pages.render(name, context, **(values or {}), **more), status=status)

    def plain(self, name: str, /, *, language: str = "en", **values: object) -> Html:
        """A page that knows nobody: for what programs and browsers read at the same address."""
        locale = cast("Language", language)
        context = PageContext(locale=locale, direction=page_direction(locale), now=self._clock.now(), env=self._env)
        return Html(self.pages.render(name, context, **values))

    def text(self, visit: Visit, key: str, /, **values: object) -> str:
        """A sentence of the catalogue in the visitor's language."""
        return self.pages.text(cast("Language", visit.locale), key, **values)

    def faults(self, visit: Visit, problem: Problem, fields: Mapping[str, str] | None = None) -> Faults:
        """What a problem means for a form, in the visitor's language. `fields` renames paths to the form's own names.

        Raises the problem when nobody can mend it there.
        """
        return faults(problem, fields, self.said(visit), visit.locale)

    def said(self, visit: Visit) -> Callable[[str], str]:
        """Says in the visitor's language what services say in English."""
        return lambda english: self.pages.said(cast("Language", visit.locale), english)

    def words(self, visit: Visit, problem: Problem) -> str:
        """What a problem says to this visitor in a sentence: what is wrong where, else its detail, else its title."""
        language = cast("Language", visit.locale)
        return self._words(language, problem) or sentence(self.pages.said(language, problem.title), language)

    def _words(self, language: Language, problem: Problem) -> str:
        said = partial(self.pages.said, language)
        if not problem.errors:
            return sentence(said(problem.detail), language) if problem.detail else ""
        named = ((self._field(language, error.path), said(error.message)) for error in problem.errors)
        return " ".join(sentence(f"{name}: {text}", language) for name, text in named)

    def _field(self, language: Language, path: str) -> str:
        """A field's name for readers; the path itself when it has none."""
        key = f"field.{path}"
        return self.pages.text(language, key) if self.pages.catalogue.has(key) else path

    def problem(self, problem: Problem, visit: Visit | None, trace_id: str) -> str:
        """A problem as a page: what happened, and where to go from here."""
        context = PageContext(now=self._clock.now(), env=self._env) if visit is None else self.context(visit)
        return self.pages.render(
            "errors/problem.html",
            context,
            status=problem.status,
            title=self.pages.said(context.locale, problem.title),
            detail=self._words(context.locale, problem),
            code=problem.code,
            trace_id=trace_id,
            actions=[Link(self.pages.text(context.locale, way.label), way.href) for way in problem.ways],
        )
