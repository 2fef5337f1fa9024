"""A process of a split house, reached without its gateway: 401, whatever is asked of it. Each has a control that is served."""

from __future__ import annotations

import asyncio
import re
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from tests.journeys.conftest import Server
from tests.journeys.world import World
from tests.observability.conftest import Collector
from tests.observability.traces import PARENT
from tests.realtime.wire import handshake
from tests.topology.conftest import SplitHouse
from tests.topology.proof import FORMER, NEXT, SHOWN, identity

from forecourt import survey
from forecourt.kernel.http.doorman import HEADER, HEALTH, refusal
from forecourt.kernel.web.assets import Assets

pytestmark = [pytest.mark.xdist_group("split"), pytest.mark.slow]
"""One worker starts the processes."""

PATIENCE_S = 60
STYLES = Assets()("forecourt.css")
KINDS = {
    "an operation": ("GET", "/v1/me"),
    "a change": ("POST", "/v1/auth/login"),
    "a page": ("GET", "/sign-in"),
    "the first page": ("GET", "/"),
    "a stylesheet": ("GET", STYLES),
    "an icon": ("GET", "/favicon.ico"),
    "the reference": ("GET", "/docs"),
    "a chapter of it": ("GET", "/docs/booking"),
    "the document": ("GET", "/openapi.json"),
    "the document of events": ("GET", "/asyncapi.json"),
    "the keys of tokens": ("GET", "/.well-known/jwks.json"),
    "how the house is": ("GET", "/api/status"),
    "what is nowhere": ("GET", "/nothing/at/all"),
    "a method that nothing has": ("PROPFIND", "/v1/me"),
    "a browser's question": ("OPTIONS", "/v1/me"),
    "the socket without a handshake": ("GET", "/v1/socket"),
    "the parts": ("GET", "/dev/ui"),
}
EVERYWHERE = ("/docs", "/docs/booking", "/openapi.json", "/asyncapi.json", "/api/status", "/favicon.ico", "/dev/ui", STYLES)
"""What every process serves whoever comes through the gateway."""
STRANGERS: dict[str, list[tuple[str, str]]] = {
    "nothing": [],
    "an empty one": [(HEADER, "")],
    "a guess": [(HEADER, SHOWN[:-1] + "d")],
    "one that was taken out": [(HEADER, FORMER)],
    "several, of which one is right": [(HEADER, "x"), (HEADER, SHOWN)],
    "the right one in another place": [("authorization", f"Bearer {SHOWN}"), ("x-gateway", SHOWN), ("forecourt-gateway", SHOWN)],
}


@pytest.fixture
async def straight() -> AsyncIterator[httpx.AsyncClient]:
    """Somebody who has found a way round the gateway."""
    async with httpx.AsyncClient(timeout=PATIENCE_S, trust_env=False) as client:
        yield client


def sent_away(answer: httpx.Response) -> bool:
    """Whether the doorman said no, in good form. Others may say 401 for reasons of their own."""
    if answer.status_code != 401 or answer.headers["content-type"] != "application/problem+json":
        return False
    body = answer.json()
    if body.get("detail") != refusal().detail:
        return False
    assert (body["code"], body["type"].rsplit("/", 1)[-1], len(body["trace_id"])) == ("unauthenticated", "unauthenticated", 32)
    return True


async def test_each_kind_of_route_of_each_process_is_closed_to_strangers(
    split_house: SplitHouse, straight: httpx.AsyncClient
) -> None:
    for server in split_house.servers:
        for shown, headers in STRANGERS.items():
            for kind, (method, path) in KINDS.items():
                answer = await straight.request(
                    method, server.url + path, headers=[*headers, ("origin", "http://localhost:8000")]
                )
                assert sent_away(answer), (kind, shown, answer.status_code)


async def test_each_process_serves_who_comes_through_the_gateway_with_any_of_its_keys(
    split_house: SplitHouse, straight: httpx.AsyncClient
) -> None:
    for server in split_house.servers:
        for kind, (method, path) in KINDS.items():
            answer = await straight.request(method, server.url + path, headers=identity())
            assert not sent_away(answer) and answer.status_code < 500, kind
            assert path not in EVERYWHERE or answer.status_code == 200, kind
        assert (await straight.get(server.url + STYLES, headers=identity(NEXT))).status_code == 200


async def test_every_operation_of_the_house_is_behind_the_gateway(split_house: SplitHouse, straight: httpx.AsyncClient) -> None:
    found = {(op.method, re.sub(r"\{[a-z_]+\}", str(uuid4()), op.path)) for op in survey.operations(production=False)}
    found -= {("GET", path) for path in HEALTH}
    assert len(found) > 300
    for place, (method, path) in enumerate(sorted(found)):
        url = split_house.servers[place % len(split_house.servers)].url + path
        assert sent_away(await straight.request(method, url, content=b"{}")), (method, path)


async def test_probes_and_prometheus_ask_each_process_by_itself(split_house: SplitHouse, straight: httpx.AsyncClient) -> None:
    for server in split_house.servers:
        assert {path: (await straight.get(server.url + path)).status_code for path in HEALTH} == dict.fromkeys(HEALTH, 200)
        assert (await straight.get(f"{server.url}/readyz", headers=identity())).status_code == 200
        assert sent_away(await straight.get(f"{server.url}/readyz", headers=identity(FORMER)))


async def upgraded(url: str, shown: dict[str, str], path: str = "/v1/socket") -> bytes:
    """What a process answers to a WebSocket's handshake, as far as its head goes."""
    address = httpx.URL(url)
    reader, writer = await asyncio.open_connection(address.host, address.port)
    try:
        writer.write(handshake(path, f"{address.host}:{address.port}", shown))
        async with asyncio.timeout(PATIENCE_S):
            head = await reader.readuntil(b"\r\n\r\n")
            body = b"" if head.startswith(b"HTTP/1.1 101") else await reader.read()
        return head + body
    finally:
        writer.close()


async def test_a_socket_is_opened_through_the_gateway_only(split_house: SplitHouse) -> None:
    for server in split_house.servers:
        for shown in ({}, identity("x"), identity(FORMER), {"authorization": f"Bearer {SHOWN}"}):
            for path in ("/v1/socket", f"/v1/socket?token={SHOWN}", "/", "/livez"):
                answer = await upgraded(server.url, shown, path)
                assert answer.startswith(b"HTTP/1.1 401") and b'"code":"unauthenticated"' in answer, answer
        for shown in (SHOWN, NEXT):
            assert (await upgraded(server.url, identity(shown))).startswith(b"HTTP/1.1 101")
        assert (await upgraded(server.url, identity(), "/")).startswith(b"HTTP/1.1 404")


async def test_an_event_stream_is_opened_through_the_gateway_only(
    split_house: SplitHouse, straight: httpx.AsyncClient, world: World
) -> None:
    club = await world.club()
    url = f"{split_house.homes['booking']}/venues/{club.venue}/live"
    assert sent_away(await straight.get(url))
    async with straight.stream("GET", url, headers=identity()) as answer:
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream")


@pytest.mark.haproxy
async def test_a_client_that_shows_something_itself_gains_nothing_at_the_gateway(
    split_house: SplitHouse, client: httpx.AsyncClient
) -> None:
    for headers in ({}, identity(), identity("x"), identity(FORMER)):
        assert (await client.get("/docs", headers=headers)).status_code == 200
        assert (await client.get("/v1/me", headers=headers)).json()["code"] == "unauthenticated"
        for path in ("/metrics", "/_contract/identity.Identity/status"):
            assert (await client.get(path, headers=headers)).status_code == 404


async def test_what_the_gateway_shows_is_in_no_log_and_no_trace(
    split_house: SplitHouse, straight: httpx.AsyncClient, collector: Collector
) -> None:
    trace_id = secrets.token_hex(16)
    told = {"traceparent": f"00-{trace_id}-{PARENT}-01"}
    for server in split_house.servers:
        await straight.post(f"{server.url}/v1/auth/login", headers=identity() | told, content=b"{")
        await straight.get(f"{server.url}/v1/me", headers=identity("shown-by-a-stranger") | told)
    # The control: they were traced, what was let in and what was sent away.
    found = await collector.whole(trace_id, "POST /v1/auth/login", "POST other", "GET other")
    text = "".join(map(str, found.spans)) + "".join(server.log.read_text() for server in split_house.servers)
    assert not [word for word in (SHOWN, NEXT, "shown-by-a-stranger") if word in text]


async def test_a_server_of_sockets_takes_no_key_that_was_taken_out(
    split_house: SplitHouse, straight: httpx.AsyncClient, tmp_path: Path
) -> None:
    """It has all modules at hand and calls nobody: that it stands behind a gateway, the keys alone say."""
    alone = {"FORECOURT_MODULES": "", "FORECOURT_PEERS": "", "FORECOURT_GATEWAY_KEYS": f"next:{NEXT}"}
    realtime = Server(split_house.servers[0].environ | alone, tmp_path / "realtime.log")
    command = [sys.executable, "-m", "forecourt", "realtime", "--port", str(realtime.port)]
    with realtime.log.open("ab") as log:
        realtime.processes["serve"] = subprocess.Popen(command, env=realtime.environ, stdout=log, stderr=log)
    try:
        await asyncio.to_thread(realtime.await_ready)
        for method, path in (("GET", "/v1/socket"), ("GET", "/docs"), ("POST", "/_contract/identity.Identity/status")):
            for headers in ({}, identity(SHOWN)):
                assert sent_away(await straight.request(method, realtime.url + path, headers=headers)), path
            assert (await straight.request(method, realtime.url + path, headers=identity(NEXT))).status_code == 404, path
        for shown in ({}, identity(SHOWN)):
            assert (await upgraded(realtime.url, shown)).startswith(b"HTTP/1.1 401")
        assert (await upgraded(realtime.url, identity(NEXT))).startswith(b"HTTP/1.1 101")
        assert (await straight.get(f"{realtime.url}/readyz")).status_code == 200
    finally:
        await asyncio.to_thread(realtime.stop)
