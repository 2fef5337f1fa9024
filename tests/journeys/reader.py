"""A browser without scripts: cookies, pages, forms with their token."""

from __future__ import annotations

import html
import re
from types import TracebackType
from typing import Any, Self

import httpx
from tests.journeys.world import PASSWORD, Person

from forecourt.app import House


class Reader:
    """One person's browser at the house. Redirects are followed by hand, so that a test sees them."""

    def __init__(self, door: httpx.AsyncBaseTransport) -> None:
        self.http = httpx.AsyncClient(transport=door, base_url="http://house.test", timeout=30, headers={"Accept": "text/html"})
        self.csrf = ""

    @classmethod
    def at(cls, house: House) -> Self:
        """In the house itself, without a network."""
        return cls(httpx.ASGITransport(app=house.app, raise_app_exceptions=False))  # type: ignore[arg-type]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.http.aclose()

    async def look(self, path: str) -> httpx.Response:
        answer = await self.http.get(path)
        self._learn(answer)
        return answer

    async def send(
        self, path: str, *, headers: dict[str, str] | None = None, forged: str | None = None, **form: Any
    ) -> httpx.Response:
        """Sends a form; a list is sent as repeated names."""
        if not self.csrf:  # asked for as a part of a page, which leaves what was done to be said
            self._learn(await self.http.get("/forgot", headers={"HX-Request": "true"}))
        form["csrf_token"] = self.csrf if forged is None else forged
        answer = await self.http.post(path, data=form, headers=headers)
        self._learn(answer)
        if any(cookie.startswith("fc_session=") for cookie in answer.headers.get_list("set-cookie")):
            self.csrf = ""  # who signs in or out has other forms
        return answer

    async def follow(self, answer: httpx.Response) -> httpx.Response:
        """Where a form leads. The form must have been taken."""
        assert answer.status_code == 303, (answer.status_code, text(answer)[:600])
        return await self.look(answer.headers["location"])

    async def sign_in(self, who: Person | str, password: str = PASSWORD, next: str = "") -> httpx.Response:
        email = who if isinstance(who, str) else who.email
        return await self.send("/sign-in", email=email, password=password, next=next)

    def _learn(self, answer: httpx.Response) -> None:
        found = re.search(r'<meta name="csrf-token" content="([^"]+)"', answer.text)
        if found:
            self.csrf = found[1]

    @property
    def signed_in(self) -> bool:
        return bool(self.http.cookies.get("fc_session"))


def text(answer: httpx.Response) -> str:
    """What a page says, without its markup."""
    body = re.sub(r"(?s)<(script|style|head|template)\b.*?</\1>", " ", answer.text)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())


def said_at(answer: httpx.Response, field: str) -> str:
    """The message at a field; empty without one."""
    control = re.search(rf'<(?:input|select|textarea)[^>]*\bname="{re.escape(field)}"[^>]*>', answer.text)
    about = re.search(r'aria-describedby="([^"]+)"', control[0]) if control else None
    if about is None or 'aria-invalid="true"' not in control[0]:
        return ""
    found = re.search(rf'(?s)<p class="error" id="{re.escape(about[1])}">.*?<span>(.*?)</span>', answer.text)
    return html.unescape(found[1]) if found else ""


def typed_in(answer: httpx.Response, field: str) -> str:
    """The value that a field shows."""
    control = re.search(rf'<input[^>]*\bname="{re.escape(field)}"[^>]*>', answer.text)
    value = re.search(r'\bvalue="([^"]*)"', control[0]) if control else None
    return html.unescape(value[1]) if value else ""


def hidden(answer: httpx.Response, field: str) -> str:
    """A hidden value, such as a version."""
    return typed_in(answer, field)


def toast(answer: httpx.Response) -> str:
    """What the page says was done."""
    found = re.search(r"(?s)data-toast>.*?<span>(.*?)</span>", answer.text)
    return html.unescape(found[1]) if found else ""


def undo_of(answer: httpx.Response) -> str:
    """The address that takes it back."""
    found = re.search(r'action="([^"]+)" class="toast__undo"', answer.text)
    return html.unescape(found[1]) if found else ""
