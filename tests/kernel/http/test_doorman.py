"""Who does not come through the gateway is sent away before a byte of the body is read, and no proof gets past the door."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from forecourt.kernel.http.doorman import HEADER, HEALTH, Doorman, GatewayKeys
from forecourt.kernel.http.front import Scope
from forecourt.kernel.log import is_secret
from forecourt.kernel.metrics import Metrics
from forecourt.kernel.settings import Secret

NEW, OLD = "n3w-7d1c4e9a2b5f8036", "0ld-1f2e3d4c5b6a7988"


class House:
    """A house whose doorman knows `keys`, and who got inside."""

    def __init__(self, *keys: str) -> None:
        self.metrics = Metrics()
        self.inside: list[Scope] = []
        self.door = Doorman(self._serve, GatewayKeys([Secret(key) for key in keys]), self.metrics)

    async def _serve(self, scope: Scope, _receive: object, send: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
        self.inside.append(scope)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def ask(self, *shown: str, path: str = "/v1/me", method: str = "GET", **more: str) -> httpx.Response:
        headers = [*((HEADER, value) for value in shown), *((name.replace("_", "-"), value) for name, value in more.items())]
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=self.door), base_url="http://house.test") as client:  # type: ignore[arg-type]
            return await client.request(method, path, headers=headers)


def refused(answer: httpx.Response) -> bool:
    """Whether somebody was sent away, and in good form."""
    if answer.status_code == 200:
        return False
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store" and answer.headers["x-request-id"]
    body = answer.json()
    assert answer.headers["www-authenticate"] == 'Gateway realm="forecourt"'
    assert (body["code"], body["status"], len(body["trace_id"])) == ("unauthenticated", 401, 32)
    return True


@pytest.mark.parametrize(
    "shown", ["", "x", NEW[:-1], NEW + "x", NEW.upper(), f" {OLD}", f"{NEW},{OLD}", "ключ".encode().decode("latin-1")]
)
async def test_who_shows_nothing_or_something_else_is_refused(shown: str) -> None:
    house = House(NEW, OLD)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=house.door), base_url="http://house.test") as client:  # type: ignore[arg-type]
        assert refused(await client.get("/v1/me", headers=[(HEADER.encode(), shown.encode("latin-1"))]))
        assert refused(await client.get("/v1/me"))
        assert house.inside == []
        assert not refused(await client.get("/v1/me", headers={HEADER: NEW}))


async def test_keys_rotate_without_a_refused_request_and_an_old_one_is_nothing_afterwards() -> None:
    for known, good, bad in (
        ([OLD], [OLD], [NEW]),
        ([OLD, NEW], [OLD, NEW], []),
        ([NEW, OLD], [OLD, NEW], []),
        ([NEW], [NEW], [OLD]),
    ):
        house = House(*known)
        assert [refused(await house.ask(key)) for key in good] == [False] * len(good)
        assert [refused(await house.ask(key)) for key in bad] == [True] * len(bad)


async def test_what_was_shown_is_not_passed_on() -> None:
    house = House(NEW)
    for path in ("/v1/me", *HEALTH):
        assert not refused(await house.ask(NEW, path=path, x_other="kept"))
        headers = dict(house.inside.pop()["headers"])
        assert HEADER.encode() not in headers and headers[b"x-other"] == b"kept"
    assert is_secret(HEADER) and not is_secret("x-request-id")


async def test_probes_and_prometheus_need_no_proof_and_paths_like_theirs_do() -> None:
    house = House(NEW)
    assert {path: refused(await house.ask(path=path)) for path in sorted(HEALTH)} == dict.fromkeys(sorted(HEALTH), False)
    for path in ("/livez/", "//livez", "/metrics/x", "/readyz;a", "/LIVEZ", "/", "/_contract/identity.Identity/status"):
        assert refused(await house.ask(path=path)), path
    assert not refused(await house.ask(path="/readyz?a=b"))


async def test_a_gateway_whose_proof_is_not_taken_hears_so_when_it_asks_how_the_process_is() -> None:
    """It leads nobody there then: people would be told to sign in first."""
    house = House(NEW)
    assert {path: refused(await house.ask(OLD, path=path)) for path in sorted(HEALTH)} == dict.fromkeys(sorted(HEALTH), True)
    assert not refused(await house.ask(NEW, path="/readyz"))


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS", "BREW"])
async def test_no_method_is_a_way_round_not_even_a_browsers_question_before_a_request(method: str) -> None:
    house = House(NEW)
    asks = {"origin": "https://app.example.org", "access_control_request_method": "POST"}
    answer = await house.ask(method=method, **asks)
    assert answer.status_code == 401 and "access-control-allow-origin" not in answer.headers
    assert (await house.ask(NEW, method=method, **asks)).status_code == 200


async def test_no_byte_of_a_strangers_body_is_read() -> None:
    house = House(NEW)
    answered: list[int] = []

    async def receive() -> dict[str, Any]:
        raise AssertionError("somebody read on")

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            answered.append(message["status"])

    await house.door({"type": "http", "method": "POST", "path": "/v1/me", "headers": []}, receive, send)
    assert answered == [401] and house.inside == []


async def test_refusals_are_counted() -> None:
    house = House(NEW)
    await house.ask()
    await house.ask(NEW)
    counted = [line for line in house.metrics.render().decode().splitlines() if line.startswith("http_requests_total")]
    assert sorted(counted) == ['http_requests_total{method="GET",route="other",status="401"} 1.0']


def test_a_doorman_without_a_key_cannot_be() -> None:
    with pytest.raises(ValueError, match="FORECOURT_GATEWAY_KEYS"):
        GatewayKeys([])
