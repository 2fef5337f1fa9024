"""What `/api/status` says of the other processes of a house: well, half well, silent, slow, strange."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Sequence
from datetime import UTC, datetime

import msgspec
import pytest

from forecourt import status
from forecourt.kernel.clock import FixedClock
from forecourt.kernel.wire import Wire
from forecourt.status import Dependency, HouseStatus, Lookout, Readiness, ServiceState

NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)
WELL = [Dependency("database", True, 1.0), Dependency("valkey", True, 1.0)]
NO_VALKEY = [WELL[0], Dependency("valkey", False, 1.0, "ConnectionError")]
NO_DATABASE = [Dependency("database", False, 1.0, "OSError"), WELL[1]]


class Peer:
    """A process that answers /readyz with these bytes, or never."""

    def __init__(self, answer: bytes | None) -> None:
        self.answer = answer
        self.asked = 0

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            asked = await reader.readuntil(b"\r\n\r\n")
            assert asked.startswith(b"GET /readyz ")
            self.asked += 1
            if self.answer is None:
                await reader.read()
            else:
                writer.write(self.answer)
                await writer.drain()
        writer.close()

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncGenerator[str]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        try:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            server.close()


def says(readiness: Readiness, code: int = 200) -> bytes:
    body = msgspec.json.encode(readiness)
    return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (code, len(body), body)


ANSWERS: dict[str, tuple[bytes | None, ServiceState]] = {
    "well": (says(Readiness("ready", WELL)), ServiceState.OK),
    "without Valkey": (says(Readiness("ready", NO_VALKEY)), ServiceState.DEGRADED),
    "without a database": (says(Readiness("not ready", NO_DATABASE), 503), ServiceState.DOWN),
    "about to end": (says(Readiness("draining", WELL), 503), ServiceState.DOWN),
    "silent": (None, ServiceState.DOWN),
    "another program": (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", ServiceState.DOWN),
    "no HTTP": (b"SSH-2.0-OpenSSH_9.2\r\n", ServiceState.DOWN),
    "without end": (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b" " * 100_000, ServiceState.DOWN),
}


async def look(own: Sequence[Dependency], **peers: Sequence[str]) -> HouseStatus:
    async def here() -> Readiness:
        return Readiness("ready" if own[0].ok else "not ready", list(own))

    async with Wire(8, 10.0) as wire:
        return await Lookout(["venues"], peers, here, wire, FixedClock(NOW)).look()


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "PEER_TIMEOUT_S", 1.0)


def of(told: HouseStatus) -> dict[str, str]:
    return {s.name: s.status.value for s in told.services}


@pytest.mark.parametrize("kind", ANSWERS)
async def test_a_peer_is_as_it_answers(kind: str) -> None:
    answer, expected = ANSWERS[kind]
    async with Peer(answer).open() as url:
        told = await look(WELL, people=[url])
    assert of(told) == {"people": expected, "venues": "ok"}
    assert told.status is (ServiceState.OK if expected is ServiceState.OK else ServiceState.DEGRADED)
    assert told.checked_at == NOW


async def test_where_nobody_listens_the_service_is_down_and_the_address_is_not_told() -> None:
    async with Peer(None).open() as url:
        gone = url
    told = await look(WELL, people=[gone])
    assert of(told)["people"] == "down"
    port = gone.rsplit(":", 1)[1]
    words = msgspec.json.encode(told).decode()
    assert "127.0.0.1" not in words and f":{port}" not in words


async def test_a_service_of_several_processes_is_degraded_while_some_of_them_are_down() -> None:
    async with Peer(ANSWERS["well"][0]).open() as one, Peer(ANSWERS["well"][0]).open() as other:
        assert of(await look(WELL, people=[one, other]))["people"] == "ok"
    async with Peer(ANSWERS["well"][0]).open() as one:
        assert of(await look(WELL, people=[one, other]))["people"] == "degraded"
    assert of(await look(WELL, people=[one, other]))["people"] == "down"


async def test_slow_peers_are_waited_for_together() -> None:
    async with contextlib.AsyncExitStack() as stack:
        slow = [Peer(None) for _ in range(8)]
        urls = [await stack.enter_async_context(peer.open()) for peer in slow]
        told = await look(WELL, **{f"m{i}": [url] for i, url in enumerate(urls)})
    assert [peer.asked for peer in slow] == [1] * 8
    assert sum(s.took_ms for s in told.services) > 4_000, "each was waited for; one after the other would be beyond any patience"


async def test_without_its_database_the_house_is_down_and_without_valkey_it_limps() -> None:
    assert (await look(NO_DATABASE)).status is ServiceState.DOWN
    limping = await look(NO_VALKEY)
    assert (limping.status, of(limping)) == (ServiceState.DEGRADED, {"venues": "degraded"})
    assert (await look(WELL)).status is ServiceState.OK


async def test_one_look_serves_everybody_who_asks_within_two_seconds() -> None:
    now = time.monotonic()
    peer = Peer(ANSWERS["well"][0])

    async def here() -> Readiness:
        return Readiness("ready", WELL)

    async with peer.open() as url, Wire(8, 10.0) as wire:
        lookout = Lookout([], {"people": [url], "identity": [url]}, here, wire, FixedClock(NOW), lambda: now)
        seen = await asyncio.gather(*(lookout.look() for _ in range(50)))
        assert (peer.asked, len({id(s) for s in seen})) == (1, 1), "two services at one address are one question"
        now += status.KEPT_S
        await lookout.look()
        assert peer.asked == 2
