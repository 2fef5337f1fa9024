"""From a visit to a page: what every page knows, how it is drawn, and how a problem looks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, cast
from uuid import UUID

import msgspec

from forecourt.kernel.clock import Clock
from forecourt.kernel.context import Context
from forecourt.kernel.errors import Problem
from forecourt.kernel.http.operation import Html, Visit
from forecourt.kernel.web.render import Language, OrgNav, PageContext, Pages, Person, Theme, Toast, initials, page_direction


class Step(msgspec.Struct, frozen=True):
    """A way on from a problem page."""

    label: str
    href: str


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
            person=Person(str(person.id), person.name, initials(person.name), person.email) if person else None,
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

    def plain(self, name: str, /, **values: object) -> Html:
        """A page that knows nobody: for what programs and browsers read at the same address."""
        return Html(self.pages.render(name, PageContext(now=self._clock.now(), env=self._env), **values))

    def problem(self, problem: Problem, visit: Visit | None, trace_id: str) -> str:
        """A problem as a page: what happened, and where to go from here."""
        context = PageContext(now=self._clock.now(), env=self._env) if visit is None else self.context(visit)
        actions = [Step("Find a place", "/discover")]
        if problem.status == 401:
            actions.insert(0, Step("Sign in", "/sign-in"))
        return self.pages.render(
            "errors/problem.html",
            context,
            status=problem.status,
            title=problem.title,
            detail=problem.detail,
            code=problem.code,
            trace_id=trace_id,
            actions=actions,
        )
