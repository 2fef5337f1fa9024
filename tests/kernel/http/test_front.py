"""The outermost layer: whose address counts, which origins may ask, and what becomes of what nobody caught."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from forecourt.kernel.http import front as fronts
from forecourt.kernel.http.front import Front
from forecourt.kernel.metrics import Metrics

OURS, THEIRS = "https://app.example.org", "https://evil.example"
Send = Callable[[dict[str, Any]], Awaitable[None]]


class Street:
    """A front before an application that does what its path says."""

    def __init__(self, **options: Any) -> None:
        self.metrics = Metrics()
        self.seen: list[dict[str, Any]] = []
        settings: dict[str, Any] = {"origins": [OURS], "proxies": ["10.0.0.0/8", "fd00::/8"], "strict_transport": False} | options
        self.front = Front(self._app, self.metrics, **settings)

    async def _app(self, scope: dict[str, Any], _receive: object, send: Send) -> None:
        self.seen.append(scope)
        scope["fc.route"] = scope["path"]
        if scope["path"] == "/breaks":
            raise RuntimeError("the password is hunter2")
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        if scope["path"] == "/breaks-late":
            raise RuntimeError("half of it was sent")
        await send({"type": "http.response.body", "body": b"hello"})

    async def ask(self, path: str = "/", method: str = "GET", client: str = "203.0.113.9", **headers: str) -> httpx.Response:
        transport = httpx.ASGITransport(app=self.front, client=(client, 1), raise_app_exceptions=False)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://house.test") as asker:
            return await asker.request(method, path, headers={k.replace("_", "-"): v for k, v in headers.items()})

    async def address(self, client: str, forwarded: str) -> str:
        await self.ask(client=client, X_Forwarded_For=forwarded)
        return self.seen[-1]["fc.address"]


@pytest.fixture
def street() -> Street:
    return Street()


async def test_pages_get_files_from_the_house_and_from_the_one_other_address_that_keeps_them(street: Street) -> None:
    def allowed(answer: httpx.Response) -> dict[str, set[str]]:
        parts = (part.split() for part in answer.headers["content-security-policy"].split(";"))
        return {name: set(sources) for name, *sources in parts}

    near, far = allowed(await street.ask()), allowed(await Street(assets="https://cdn.example.org/shop").ask())
    changed = {"script-src", "style-src", "img-src", "font-src"}
    assert {name for name in near if near[name] != far[name]} == changed
    assert all(far[name] - near[name] == {"https://cdn.example.org/shop/static/"} for name in changed)


async def test_only_our_own_proxies_say_whose_address_it_is(street: Street) -> None:
    assert await street.address("203.0.113.9", "198.51.100.1") == "203.0.113.9"  # no proxy of ours: it may say what it likes
    assert await street.address("10.0.0.1", "198.51.100.1") == "198.51.100.1"
    assert await street.address("10.0.0.1", "192.0.2.66, 198.51.100.1, 10.0.0.7") == "198.51.100.1"  # the first was made up
    assert await street.address("fd00::1", "2001:db8::5") == "2001:db8::5"
    assert await street.address("10.0.0.1", "10.0.0.2, 10.0.0.3") == "10.0.0.2"  # somebody of the house itself
    assert await street.address("::ffff:10.0.0.1", "192.0.2.66, 198.51.100.1, ::ffff:10.0.0.7") == "198.51.100.1"
    assert await street.address("::ffff:203.0.113.9", "198.51.100.1") == "::ffff:203.0.113.9"
    assert await street.address("10.0.0.1", "x" * 200) == "x" * 64
    assert await street.address("testclient", "198.51.100.1") == "testclient"  # no address at all, such as a socket


async def test_our_origins_may_ask_and_others_learn_nothing(street: Street) -> None:
    ours = await street.ask(Origin=OURS)
    assert ours.headers["access-control-allow-origin"] == OURS
    assert "retry-after" in ours.headers["access-control-expose-headers"]
    assert "access-control-allow-origin" not in (await street.ask(Origin=THEIRS)).headers
    assert "access-control-allow-origin" not in (await street.ask()).headers


async def test_a_preflight_is_answered_for_our_origins_without_the_application(street: Street) -> None:
    allowed = await street.ask(method="OPTIONS", Origin=OURS, Access_Control_Request_Method="PATCH")
    assert allowed.status_code == 204
    assert "PATCH" in allowed.headers["access-control-allow-methods"]
    assert "idempotency-key" in allowed.headers["access-control-allow-headers"]
    assert "content-security-policy" in allowed.headers
    assert street.seen == []
    refused = await street.ask(method="OPTIONS", Origin=THEIRS, Access_Control_Request_Method="PATCH")
    assert "access-control-allow-methods" not in refused.headers and len(street.seen) == 1


async def test_what_nobody_caught_is_a_problem_without_details(street: Street) -> None:
    answer = await street.ask("/breaks", traceparent=f"00-{'a' * 32}-{'b' * 16}-01")
    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/problem+json")
    assert (answer.json()["code"], answer.json()["trace_id"]) == ("internal", "a" * 32)
    assert "hunter2" not in answer.text and "content-security-policy" in answer.headers
    assert b'http_requests_total{method="GET",route="/breaks",status="500"} 1.0' in street.metrics.render()


async def test_an_answer_that_breaks_off_is_not_begun_a_second_time(street: Street) -> None:
    """The status was sent: all that is left is to stop."""
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/breaks-late", "headers": [], "client": None}
    await street.front(scope, lambda: None, send)  # type: ignore[arg-type, return-value]
    assert [m["type"] for m in sent] == ["http.response.start"]
    assert b'route="/breaks-late",status="200"' in street.metrics.render()


@pytest.mark.parametrize(
    ("given", "kept"), [("req-1.2:3_4", True), ("x" * 81, False), ("a b", False), ("<script>", False), ("", False)]
)
async def test_a_request_id_is_kept_when_it_is_plain_and_made_otherwise(street: Street, given: str, kept: bool) -> None:
    answer = await street.ask(X_Request_Id=given)
    assert (answer.headers["x-request-id"] == given) is kept
    assert kept or re.fullmatch(r"[0-9a-f]{32}", answer.headers["x-request-id"])


async def test_only_a_house_behind_tls_tells_browsers_to_insist_on_it(street: Street) -> None:
    assert "strict-transport-security" not in (await street.ask()).headers
    assert "max-age" in (await Street(strict_transport=True).ask()).headers["strict-transport-security"]


async def test_what_takes_long_is_said_in_the_log_but_for_streams(
    street: Street, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    said: list[str] = []
    monkeypatch.setattr(fronts, "SLOW_S", -1.0)
    monkeypatch.setattr(fronts.log, "warning", lambda event, **fields: said.append(f"{event} {fields['route']}"), raising=False)
    await street.ask("/slow")
    await street.ask("/venues/1/live")
    assert said == ["request_slow /slow"]


async def test_what_is_no_request_goes_through_untouched() -> None:
    passed: list[str] = []

    async def app(scope: dict[str, Any], _receive: object, _send: object) -> None:
        passed.append(scope["type"])

    front = Front(app, Metrics(), origins=[], proxies=[], strict_transport=False)  # type: ignore[arg-type]
    await front({"type": "lifespan"}, None, None)  # type: ignore[arg-type]
    assert passed == ["lifespan"]
