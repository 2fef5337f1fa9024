"""The side door: who knocks without a signature is sent away before a byte of the body is read, and nobody meets the house."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol
from uuid import UUID

import httpx
import pytest

from forecourt.kernel.context import Context
from forecourt.kernel.contracts import MAX_BODY_BYTES, PREFIX, KeyRing, remote, serve
from forecourt.kernel.errors import Internal, NotFound, Problem, Unauthenticated
from forecourt.kernel.http import peers
from forecourt.kernel.http.peers import SideDoor
from forecourt.kernel.http.sent import Spool
from forecourt.kernel.ids import new_id
from forecourt.kernel.metrics import Metrics

KEY = ("first", b"k" * 32)


class Names(Protocol):
    async def name(self, ctx: Context, id: UUID) -> str: ...


class Register:
    def __init__(self) -> None:
        self.asked = 0
        self.says: Problem = NotFound("nobody")

    async def name(self, ctx: Context, id: UUID) -> str:
        self.asked += 1
        raise self.says


class Street:
    """A house with a side door, and what reached either door."""

    def __init__(self) -> None:
        self.register = Register()
        self.metrics = Metrics()
        self.visitors: list[str] = []
        self.door = SideDoor(self._house, serve(Names, self.register, KeyRing([KEY])), self.metrics)

    async def _house(self, scope: dict[str, Any], _receive: object, send: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
        self.visitors.append(scope["path"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=httpx.ASGITransport(app=self.door), base_url="http://house.test")  # type: ignore[arg-type]

    async def knock(
        self, headers: dict[str, str], parts: list[bytes], method: str = "POST", then: str = "end"
    ) -> tuple[int, int]:
        """The status, and how many messages were read: the parts of a body, and what comes `then` instead of its end."""
        read = 0
        answered: list[int] = []

        async def receive() -> dict[str, Any]:
            nonlocal read
            read += 1
            if read > len(parts):
                while then == "silence":
                    await asyncio.sleep(60)
                return {"type": then}
            return {"type": "http.request", "body": parts[read - 1], "more_body": then != "end" or read < len(parts)}

        async def send(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                answered.append(message["status"])

        fields = [(k.encode(), v.encode()) for k, v in headers.items()]
        scope = {"type": "http", "method": method, "path": f"{PREFIX}x.Names/name", "headers": fields}
        async with asyncio.timeout(30):
            await self.door(scope, receive, send)
        return answered[0], read


@pytest.fixture
def street() -> Street:
    return Street()


async def recorded(street: Street) -> dict[str, str]:
    """The headers of a call that is all right."""
    kept: list[httpx.Request] = []

    def take(request: httpx.Request) -> httpx.Response:
        kept.append(request)
        return httpx.Response(401)

    async with httpx.AsyncClient(transport=httpx.MockTransport(take)) as client:
        with pytest.raises(Internal):
            await remote(Names, "http://peer", KeyRing([KEY]), client).name(Context(), new_id())
    return dict(kept[0].headers)


async def test_a_signed_call_is_answered_and_counted_and_the_house_does_not_hear_of_it(street: Street) -> None:
    async with street.client() as client:
        with pytest.raises(NotFound, match="nobody"):
            await remote(Names, "http://house.test", KeyRing([KEY]), client).name(Context(), new_id())
        assert street.register.asked == 1 and street.visitors == []
        assert (await client.get("/v1/venues")).status_code == 200
    assert street.visitors == ["/v1/venues"]
    assert b'route="/_contract/test_peers.Names/name",status="404"' in street.metrics.render()


async def test_what_a_module_refuses_for_want_of_a_person_is_no_refusal_of_the_call(street: Street) -> None:
    street.register.says = Unauthenticated("this password is not theirs")
    async with street.client() as client:
        with pytest.raises(Unauthenticated, match="this password is not theirs"):
            await remote(Names, "http://house.test", KeyRing([KEY]), client).name(Context(), new_id())
        # The control: a caller with another key is refused, and hears nothing of what the module would say.
        with pytest.raises(Internal):
            await remote(Names, "http://house.test", KeyRing([("first", b"x" * 32)]), client).name(Context(), new_id())
    assert street.register.asked == 1


async def test_who_shows_no_plausible_signature_is_sent_away_unread(street: Street) -> None:
    good = await recorded(street)
    for headers in (
        {},
        good | {"x-forecourt-key": "unknown"},
        good | {"x-forecourt-time": "1.0"},
        good | {"x-forecourt-time": "nan"},
    ):
        assert await street.knock(headers, [b"x"] * 3) == (401, 0)
    assert await street.knock(good, [b"x"] * 3, method="GET") == (401, 0)
    # The control: one that looks right is read, and then refused for what it says.
    assert await street.knock(good, [b"x"] * 3) == (401, 3)
    assert street.register.asked == 0 and street.visitors == []


async def test_a_call_whose_sender_leaves_or_stalls_is_no_call_with_a_short_body(
    street: Street, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = await recorded(street)
    assert await street.knock(good, [b"x"], then="http.disconnect") == (400, 2)
    assert await street.knock(good, [], then="http.disconnect") == (400, 1)
    monkeypatch.setattr(peers, "PATIENCE", Spool(idle_s=0.05))
    assert await street.knock(good, [b"x"], then="silence") == (408, 2)
    # The control: the same bytes as a whole are read, and refused for the signature.
    assert await street.knock(good, [b"x"]) == (401, 1)
    assert street.register.asked == 0


async def test_a_call_longer_than_any_of_ours_is_not_read_to_its_end(street: Street) -> None:
    good = await recorded(street)
    part = bytes(MAX_BODY_BYTES // 2)
    assert await street.knock(good, [part, part, b"x", part, part]) == (413, 3)


async def test_paths_that_somebody_makes_up_do_not_become_labels(street: Street) -> None:
    async with street.client() as client:
        await asyncio.gather(*(client.post(f"{PREFIX}{i}") for i in range(5)))
    assert b'http_requests_total{method="POST",route="/_contract/other",status="401"} 5.0' in street.metrics.render()
