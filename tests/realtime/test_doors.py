"""Letting in and putting out: who a socket belongs to, and what ends it."""

from __future__ import annotations

import asyncio
import json
import struct
from base64 import b64encode
from collections.abc import Awaitable, Callable
from datetime import timedelta
from uuid import UUID

import pytest
from tests.journeys.reader import Reader
from tests.journeys.world import PASSWORD, Person, World
from tests.realtime.conftest import ORIGIN, Node
from tests.realtime.wire import BINARY, OPEN, PING, PONG, Closed, Refused, Socket, frame, handshake

from forecourt.app import House
from forecourt.kernel.clock import FixedClock, SystemClock
from forecourt.kernel.context import service_context
from forecourt.realtime import client as client_module
from forecourt.realtime import protocol, server
from forecourt.realtime.client import BURST, MAX_BACKLOG_BYTES
from forecourt.realtime.frames import MAX_FRAME_BYTES

PONGED = {"op": "pong"}


async def alive(ws: Socket) -> bool:
    return await ws.ask({"op": "ping"}) == PONGED


async def connection(node: Node) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
    OPEN.append(writer)
    return reader, writer


# --- who


async def test_a_token_lets_in_by_query_header_protocol_or_first_frame(node: Node, ada: Person) -> None:
    by_query = await Socket.open(node.port, ada.token)
    by_header = await Socket.open(node.port, headers={"Authorization": f"Bearer {ada.token}"})
    by_protocol = await Socket.open(node.port, headers={"Sec-WebSocket-Protocol": f"forecourt.v1, bearer.{ada.token}"})
    by_frame = await Socket.open(node.port)
    assert (await by_frame.ask({"op": "auth", "token": ada.token}))["op"] == "authenticated"
    for ws in (by_query, by_header, by_protocol, by_frame):
        assert await alive(ws)
        await ws.leave()
    assert "Sec-WebSocket-Protocol: forecourt.v1\r\n" in by_protocol.head
    assert "Sec-WebSocket-Protocol" not in by_query.head


async def test_a_bad_token_is_4401_and_silence_is_4408(node: Node, ada: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    head, body, _ = ada.token.split(".")
    for token in ("nonsense", f"{head}.{body}.{'A' * 86}", "x" * 9000):
        assert await (await Socket.open(node.port, headers={"Authorization": f"Bearer {token}"})).closing() == 4401
    stranger = await Socket.open(node.port)
    stranger.send({"op": "subscribe", "topic": "inbox"})
    assert await stranger.closing() == 4401
    monkeypatch.setattr(server, "HANDSHAKE_S", 0.2)
    assert await (await Socket.open(node.port)).closing() == 4408


async def test_a_page_of_ours_is_let_in_by_its_session_and_no_other_page_is(node: Node, house: House, ada: Person) -> None:
    async with Reader.at(house) as reader:
        await reader.sign_in(ada)
        cookie = reader.http.cookies["fc_session"]
    session = {"Cookie": f"other=1; fc_session={cookie}"}
    here = f"http://127.0.0.1:{node.port}"
    ours = await Socket.open(node.port, headers=session | {"Origin": here})
    assert await alive(ours)
    await ours.leave()
    with pytest.raises(Refused) as refused:
        await Socket.open(node.port, headers=session | {"Origin": "https://elsewhere.example"})
    assert refused.value.status == 403
    # An application with a token may be on another site, if the house allows it; a cookie does not count there.
    theirs = await Socket.open(node.port, ada.token, headers={"Origin": ORIGIN})
    assert await alive(theirs)
    await theirs.leave()
    for origin in ({"Origin": ORIGIN}, {}):
        nobody = await Socket.open(node.port, headers=session | origin)
        nobody.send({"op": "ping"})
        assert await nobody.closing() == 4401


async def test_only_the_sockets_path_is_a_socket(node: Node, ada: Person) -> None:
    for path in ("/", "/v1/socket/", "/v1/sockets", "/v1/bookings"):
        with pytest.raises(Refused) as refused:
            await Socket.open(node.port, ada.token, path=path)
        assert refused.value.status == 404
    reader, writer = await connection(node)
    for _ in range(2):
        writer.write(b"GET /v1/socket HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await reader.readuntil(b"hello")).startswith(b"HTTP/1.1 200")
    # The same connection may become a socket afterwards.
    writer.write(handshake(f"/v1/socket?token={ada.token}", f"127.0.0.1:{node.port}") + frame(b'{"op":"ping"}'))
    ws = Socket(reader, writer, (await reader.readuntil(b"\r\n\r\n")).decode())
    assert await ws.recv() == PONGED
    await ws.leave()


async def test_a_connection_that_never_asks_is_closed(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "REQUEST_S", 0.2)
    reader, writer = await connection(node)
    writer.write(b"GET /v1/socket HTTP/1.1\r\nHos")
    assert await reader.read() == b""


async def test_a_connection_that_asks_again_and_stops_halfway_is_closed(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "REQUEST_S", 0.2)
    ask = b"GET /v1/socket HTTP/1.1\r\nHost: x\r\n\r\n"
    body = b"POST /v1/socket HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"
    # One letter of a second request, an empty line, and a body that goes on after the answer: each ends uvicorn's patience.
    for first, then in ((ask, b"G"), (ask, b"\r\n"), (body, b"x")):
        reader, writer = await connection(node)
        writer.write(first)
        assert (await reader.readuntil(b"hello")).startswith(b"HTTP/1.1 200")
        writer.write(then)
        async with asyncio.timeout(3):  # uvicorn's own patience, had it not ended, is 5 s
            assert await reader.read() == b""
    # Who asks in pieces and is done in time is answered as often as it asks.
    monkeypatch.setattr(protocol, "REQUEST_S", 30)
    reader, writer = await connection(node)
    for _ in range(3):
        writer.write(ask[:9])
        await writer.drain()
        writer.write(ask[9:])
        assert (await reader.readuntil(b"hello")).startswith(b"HTTP/1.1 200")
    here = writer.get_extra_info("sockname")
    [http] = [c for c in node._server.server_state.connections if getattr(c, "client", None) == here]
    assert http._patience is None


# --- what ends it


async def test_suspension_ends_a_socket_with_4403(node: Node, house: House, cleo: Person, ben: Person) -> None:
    ws, other = await node.open(cleo), await node.open(ben)
    assert await alive(ws)
    admin = await World(cleo.client).person("Root", verify=False)
    await house.identity.persons.make_admin(service_context("test"), admin.email)
    answer = await admin.client.post("/v1/auth/login", json={"email": admin.email, "password": PASSWORD})
    admin.token = answer.json()["access_token"]
    answer = await admin.send("PATCH", f"/v1/admin/accounts/{cleo.id}", {"status": "suspended", "reason": "a test"})
    assert answer.status_code == 200, answer.text
    async with asyncio.timeout(5):
        assert await ws.closing() == 4403
    assert await alive(other)
    assert await (await node.open(cleo)).closing() == 4403
    await other.leave()


async def test_logging_out_ends_the_sockets_of_that_session_with_4401(node: Node, cleo: Person) -> None:
    again = await cleo.client.post("/v1/auth/login", json={"email": cleo.email, "password": PASSWORD})
    ended, other = await node.open(cleo), await node.open(again.json()["access_token"])
    assert await alive(ended)
    assert (await cleo.post("/v1/auth/logout", {"refresh_token": cleo.refresh})).status_code == 204
    async with asyncio.timeout(5):
        assert await ended.closing() == 4401
    assert await alive(other)
    await other.leave()


async def test_an_expired_token_ends_the_socket_unless_it_is_renewed(
    nodes: Callable[..., Awaitable[Node]], ada: Person, ben: Person
) -> None:
    node = await nodes()
    renewed, forgotten = await node.open(ada), await node.open(ada)
    assert await alive(renewed)
    assert await alive(forgotten)
    # Somebody else's token renews nothing.
    thief = await node.open(ada)
    thief.send({"op": "auth", "token": ben.token})
    assert await thief.closing() == 4401
    fresh = (await ada.client.post("/v1/auth/login", json={"email": ada.email, "password": PASSWORD})).json()["access_token"]
    answer = await renewed.ask({"op": "auth", "token": fresh})
    assert answer["op"] == "authenticated"
    assert 0 < answer["expires_in"] <= 3600
    # The clock moves to a moment when the first token has expired and the fresh one has not.
    first, second = _expiry(ada.token), _expiry(fresh)
    now = SystemClock().now()
    if first == second:
        await asyncio.sleep(1)
        fresh = (await ada.client.post("/v1/auth/login", json={"email": ada.email, "password": PASSWORD})).json()["access_token"]
        await renewed.ask({"op": "auth", "token": fresh})
    node.realtime._clock = FixedClock(now + timedelta(seconds=first - now.timestamp() + 0.1))
    assert await forgotten.closing() == 4401
    assert await alive(renewed)
    await renewed.leave()


def _expiry(token: str) -> float:
    from base64 import urlsafe_b64decode

    body = token.split(".")[1]
    return json.loads(urlsafe_b64decode(body + "=" * (-len(body) % 4)))["exp"]


# --- how much


async def test_an_account_has_five_sockets_over_all_processes(
    nodes: Callable[..., Awaitable[Node]], ada: Person, ben: Person
) -> None:
    one, two = await nodes(), await nodes()
    sockets = [await (one if n % 2 else two).open(ada) for n in range(5)]
    for ws in sockets:
        assert await alive(ws)
    assert await (await one.open(ada)).closing() == 4409
    assert await (await two.open(ada)).closing() == 4409
    assert await alive(await one.open(ben))
    await sockets.pop().leave()
    for _ in range(100):
        last = await two.open(ada)
        try:
            assert await alive(last)
            break
        except Closed as e:
            assert e.code == 4409
    else:
        pytest.fail("the place was not given back")
    for ws in [*sockets, last]:
        await ws.leave()


async def test_a_large_frame_is_4413_whole_or_in_pieces(node: Node, ada: Person) -> None:
    ws = await node.open(ada)
    assert await alive(ws)
    largest = json.dumps({"op": "ping", "pad": "x" * (MAX_FRAME_BYTES - 25)}).encode()
    assert MAX_FRAME_BYTES - 10 < len(largest) <= MAX_FRAME_BYTES
    ws.raw(frame(largest))
    assert await ws.recv() == PONGED
    ws.raw(frame(largest[:9000], fin=False) + frame(largest[9000:], 0))
    assert await ws.recv() == PONGED
    ws.raw(frame(b"x" * (MAX_FRAME_BYTES + 1)))
    assert await ws.closing() == 4413
    ws = await node.open(ada)
    ws.raw(bytes([0x81, 0xFF]) + struct.pack("!Q", 1 << 40) + b"mask")
    assert await ws.closing() == 4413
    ws = await node.open(ada)
    ws.raw(frame(b"x" * 9000, fin=False) + frame(b"x" * 9000, 0, fin=False))
    assert await ws.closing() == 4413


async def test_a_flood_is_4429_and_a_burst_is_not(node: Node, ada: Person) -> None:
    ws = await node.open(ada)
    ping = frame(b'{"op":"ping"}')
    assert await alive(ws)
    ws.raw(ping * (BURST // 2))
    for _ in range(BURST // 2):
        assert await ws.recv() == PONGED
    ws.raw(ping * (BURST * 4))
    assert await ws.closing() == 4429
    # Pings of the protocol itself are frames like others.
    ws = await node.open(ada)
    ws.raw(frame(b"", PING) * (BURST * 4))
    assert await ws.closing() == 4429


async def test_a_client_that_does_not_read_is_4430_and_bounded(node: Node, ada: Person, ben: Person) -> None:
    topic = await node.diary.make(UUID(ada.id), UUID(ben.id))
    stalled, reading = await node.open(ada), await node.open(ben)
    for ws in (stalled, reading):
        await ws.ask({"op": "subscribe", "topic": topic})
    stalled.writer.transport.pause_reading()  # type: ignore[attr-defined]
    heard = 0
    [socket] = [c for c in node.realtime._clients if str(c.account_id) == ada.id]
    largest = 0
    while not socket.closing:
        await node.diary.write(topic, "x" * 50_000)
        assert (await reading.recv())["seq"] == heard + 1
        heard += 1
        transport = socket._transport
        largest = max(largest, transport.underlying_transport.get_write_buffer_size() if transport else 0)
        assert heard < 400
    assert largest < MAX_BACKLOG_BYTES + 200_000
    stalled.writer.transport.resume_reading()  # type: ignore[attr-defined]
    assert await stalled.closing() == 4430
    assert await alive(reading)
    await reading.leave()


async def test_who_never_reads_again_is_cut_off(node: Node, ada: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "LINGER_S", 0.2)
    topic = await node.diary.make(UUID(ada.id))
    ws = await node.open(ada)
    await ws.ask({"op": "subscribe", "topic": topic})
    ws.writer.transport.pause_reading()  # type: ignore[attr-defined]
    while node.realtime.open_sockets:
        await node.diary.write(topic, "x" * 100_000)
        await asyncio.sleep(0.001)


async def test_a_silent_client_is_pinged_and_a_lost_one_cut_off(
    node: Node, ada: Person, ben: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "IDLE_S", 0.5)
    monkeypatch.setattr(server, "LOST_S", 2.5)
    answering, lost = await node.open(ada), await node.open(ben)
    listening = asyncio.ensure_future(answering.closing())
    opcodes = []
    with pytest.raises(Closed) as closed:
        while True:
            opcodes.append((await lost.frame())[0])
    assert closed.value.code is None
    assert opcodes == [PING]
    assert answering.pings >= 2
    assert not listening.done()
    listening.cancel()
    answering.drop()


# --- what is no message


async def test_compression_is_never_agreed_on(node: Node, ada: Person) -> None:
    offer = {"Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits"}
    ws = await Socket.open(node.port, ada.token, headers=offer)
    assert "sec-websocket-extensions" not in ws.head.lower()
    assert await alive(ws)
    import zlib

    bomb = zlib.compress(b"0" * 10_000_000)[2:-4]
    ws.raw(frame(bomb, rsv=4))
    # Never inflated: what was not agreed on fails the connection (RFC 6455, 5.2).
    assert await ws.closing() == 1002


async def test_nonsense_is_answered_and_broken_frames_end_the_socket(node: Node, ada: Person) -> None:
    ws = await node.open(ada)
    for body in (b"", b"[]", b"null", b"{", b'{"op":1}', b"[" * 5000, b"\xff\xfe", b'{"op":"subscribe","topic":7}'):
        ws.raw(frame(body))
        assert (await ws.recv())["code"] == "bad_request"
    for op, code in (("dance", "invalid"), ("presence", "invalid"), ("send", "not_found"), ("unsubscribe", "not_found")):
        answer = await ws.ask({"op": op, "ref": "7"})
        assert (answer["code"], answer["ref"]) == (code, "7")
    ws.raw(frame(b'{"op":"ping"}', BINARY))
    assert await ws.recv() == PONGED
    ws.raw(frame(b"hello", PING))
    assert await ws.frame() == (PONG, b"hello")
    ws.raw(frame(b"anything", PONG))
    assert await alive(ws)
    await ws.leave()
    for broken in (frame(b"{}", masked=False), frame(b"{}", 3), frame(b"x", 0), frame(b"{", fin=False) + frame(b"{}")):
        ws = await node.open(ada)
        ws.raw(broken)
        assert await ws.closing() == 1002


async def test_a_handshake_that_is_none_is_refused(node: Node) -> None:
    key = b64encode(b"0" * 16).decode()
    for lines in ("Sec-WebSocket-Version: 7", f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 12", "X: y"):
        reader, writer = await connection(node)
        writer.write(
            f"GET /v1/socket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{lines}\r\n\r\n".encode()
        )
        assert (await reader.read()).startswith(b"HTTP/1.1 4")


async def test_a_process_that_is_full_says_when_to_come_again(node: Node, ada: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    first = await node.open(ada)
    monkeypatch.setattr(server, "MAX_CLIENTS", 1)
    with pytest.raises(Refused) as full:
        await node.open(ada)
    assert full.value.status == 503
    assert "Retry-After: 1" in full.value.head.splitlines()
    assert await alive(first), "whoever is there stays"


async def test_a_planned_end_says_when_to_come_back(nodes: Callable[..., Awaitable[Node]], ada: Person) -> None:
    node = await nodes()
    ws = await node.open(ada)
    assert await alive(ws)
    stopping = asyncio.ensure_future(node.stop())
    bye = await ws.recv()
    assert bye["op"] == "bye"
    assert 0 <= bye["reconnect_in_ms"] <= 5000
    with pytest.raises(Closed) as closed:
        await ws.recv()
    assert closed.value.code == 1012
    await stopping
