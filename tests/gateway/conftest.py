"""One HAProxy before small servers that do what they are told, each on a port of its own."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import itertools
import json
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from uuid import uuid4

import httpx
import msgspec
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey
from tests.ports import free_port

from forecourt.gateway.haproxy import Gateway
from forecourt.gateway.plan import MAX_ROUTE_CHARS, Health, Limits, Plan, Service
from forecourt.kernel.settings import Secret

PER_ADDRESS, PER_ACCOUNT, PER_ORGANISATION, PER_ROUTE = 60, 20, 12, 5
_LONG = "/v1/venues/".ljust(MAX_ROUTE_CHARS - 1, "v")
LONGEST_ROUTES = (_LONG + "a", _LONG + "b")
"""As long as a path with a limit may be, and the same but for the last letter."""
MAX_BODY = 50_000
CONNECTIONS = 40
TRUSTED = "127.7.7.7"
APP = "https://app.example.org"
_addresses = itertools.count(2)


class Seen(msgspec.Struct):
    """A request as it arrived."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]


class Backend:
    """A service that answers 200 and its name, unless it is told otherwise."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.ready = True
        self.refuses = False
        """Answers 500."""
        self.dies = False
        """Takes a request and ends the connection without an answer."""
        self.waits: asyncio.Event | None = None
        """Answers when it is set."""
        self.type = "application/json"
        self.told: dict[str, str] = {}
        """More headers of its answers."""
        self.keys: list[dict[str, object]] = []
        self.seen: list[Seen] = []
        self.asked: list[Seen] = []
        """The gateway's own questions for the keys of tokens."""
        self.checked = 0
        self.takes = ""
        """The one proof that its health is told to; without it, whoever asks hears of it."""
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self.url = ""

    async def start(self, address: str = "127.0.0.1", port: int = 0) -> Backend:
        self._server = await asyncio.start_server(self._serve, address, port)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while await self._answer(reader, writer):
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, _ = head[0].split(" ")
        headers = [(k.lower(), v.strip()) for k, _, v in (line.partition(":") for line in head[1:] if line)]
        told = dict(headers)
        body = await reader.readexactly(int(told.get("content-length", "0")))
        if target == "/readyz":
            self.checked += 1
            known = not self.takes or told.get("x-forecourt-gateway", self.takes) == self.takes
            _write(writer, 401 if not known else 200 if self.ready else 503, b"")
            return True
        if target == "/.well-known/jwks.json":
            self.asked.append(Seen(method, target, headers, body))
            _write(writer, 200, json.dumps({"keys": self.keys}).encode())
            return True
        self.seen.append(Seen(method, target, headers, body))
        if "upgrade" in told:
            await _echo(reader, writer, told["sec-websocket-key"])
            return False
        if self.waits is not None:
            await self.waits.wait()
        if self.dies:
            return False
        answer = json.dumps({"from": self.name, "pad": "x" * 2000}).encode()
        headers = {"content-type": self.type, "x-request-id": "s", "etag": '"3"', **self.told}
        _write(writer, 500 if self.refuses else 200, answer, headers)
        return True


def _write(writer: asyncio.StreamWriter, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
    lines = [f"HTTP/1.1 {status} x", f"content-length: {len(body)}", *(f"{k}: {v}" for k, v in (headers or {}).items()), "", ""]
    writer.write("\r\n".join(lines).encode() + body)


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, key: str) -> None:
    """A WebSocket that says short frames again."""
    accept = base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()
    writer.write(
        f"HTTP/1.1 101 x\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: {accept}\r\n\r\n".encode()
    )
    while True:
        kind, length = await reader.readexactly(2)
        mask = await reader.readexactly(4)
        text = bytes(byte ^ mask[place % 4] for place, byte in enumerate(await reader.readexactly(length & 0x7F)))
        writer.write(bytes([kind, len(text)]) + text)
        await writer.drain()


class Signer:
    """A signing key of identity."""

    def __init__(self, kid: str | None = None) -> None:
        self.kid = kid or uuid4().hex
        self.key = ECKey.generate_key("P-256", {"kid": self.kid, "use": "sig", "alg": "ES256"}, private=True)

    @property
    def public(self) -> dict[str, object]:
        return dict(self.key.as_dict(private=False))

    def token(self, **claims: object) -> str:
        """An access token of somebody's, as identity makes them; a claim of None is left out."""
        now = int(time.time())
        whole = {"iss": "forecourt", "aud": "forecourt", "sub": str(uuid4()), "iat": now, "exp": now + 900, **claims}
        return jwt.encode({"alg": "ES256", "kid": self.kid}, {k: v for k, v in whole.items() if v is not None}, self.key)


class House:
    """Small servers behind a gateway: guests has identity, courts comes in two versions, the rest is the rest."""

    def __init__(self) -> None:
        self.guests, self.rest, self.live = Backend("guests"), Backend("rest"), Backend("live")
        self.courts = [Backend("courts v1"), Backend("courts v2")]
        self.pair = [Backend("first"), Backend("second")]
        self.signer, self.next_signer = Signer(), Signer()
        self.port, self.internal = free_port(), free_port()
        self.proof: Secret | None = Secret("w%[env(HOME)]'$x\"y\\z-4b7e19c05a2d8f63")
        """What the gateway shows to services: signs that mean something to HAProxy mean nothing in it."""
        self.gateway: Gateway
        self.log: Path

    @property
    def backends(self) -> list[Backend]:
        return [self.guests, self.rest, self.live, *self.courts, *self.pair]

    @property
    def seen(self) -> list[Seen]:
        return [seen for backend in self.backends for seen in backend.seen]

    def plan(self) -> Plan:
        return Plan(
            services=(
                Service("guests", ("identity", "people"), {"v1": (self.guests.url,)}),
                Service("courts", ("booking",), {"v1": (self.courts[0].url,), "v2": (self.courts[1].url,)}),
                Service("pair", ("venues",), {"v1": tuple(b.url for b in self.pair)}),
                Service("live", (), {"v1": (self.live.url,)}, sockets=True),
                Service("rest", (), {"v1": (self.rest.url,)}),
            ),
            listen=(f"127.0.0.1:{self.port}",),
            internal=f"127.0.0.1:{self.internal}",
            trusted_proxies=(f"{TRUSTED}/32",),
            cors_origins=(APP,),
            threads=1,
            limits=Limits(
                window_s=60,
                requests_per_address=PER_ADDRESS,
                connections_per_address=CONNECTIONS,
                requests_per_account=PER_ACCOUNT,
                requests_per_organisation=PER_ORGANISATION,
                routes={"/v1/auth": PER_ROUTE, "/v1/auth/refresh/": PER_ROUTE + 2, **dict.fromkeys(LONGEST_ROUTES, PER_ROUTE)},
                max_body_bytes=MAX_BODY,
                header_s=2,
                answer_s=3,
            ),
            health=Health(every_ms=200, errors_in_a_row=5, withdrawn_after=3),
        ).checked()


@pytest.fixture(scope="session")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    house = House()
    for backend in house.backends:
        await backend.start()
    house.guests.keys = [house.signer.public, house.next_signer.public]
    folder = tmp_path_factory.mktemp("gateway")
    house.log = folder / "haproxy.log"
    try:
        async with Gateway(house.plan(), folder, proof=lambda _: house.proof, output=house.log) as gateway:
            house.gateway = gateway
            yield house
    finally:
        for backend in house.backends:
            await backend.stop()


@pytest.fixture
def house(shared: House) -> House:
    """The house with nothing seen yet, and everybody well."""
    for backend in shared.backends:
        backend.seen.clear()
        backend.told = {}
        assert backend.ready and not (backend.refuses or backend.dies or backend.waits), "a test left this house in disorder"
    return shared


@pytest.fixture
async def call(house: House) -> AsyncIterator[Callable[..., httpx.AsyncClient]]:
    """Clients of the gateway, each at an address of its own: limits are counted by address."""
    made: list[httpx.AsyncClient] = []

    def client(address: str = "", **more: object) -> httpx.AsyncClient:
        place = next(_addresses)
        transport = httpx.AsyncHTTPTransport(local_address=address or f"127.0.{place // 250 + 1}.{place % 250 + 2}")
        base = f"http://127.0.0.1:{house.port}"
        made.append(httpx.AsyncClient(transport=transport, base_url=base, timeout=20, **more))  # type: ignore[arg-type]
        return made[-1]

    yield client
    for client_ in made:
        await client_.aclose()


@pytest.fixture
def anyone(call: Callable[..., httpx.AsyncClient]) -> httpx.AsyncClient:
    return call()


async def until(holds: Callable[[], object], limit_s: float = 20) -> None:
    async with asyncio.timeout(limit_s):
        while not holds():
            await asyncio.sleep(0.02)
