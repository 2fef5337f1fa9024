"""Frames go straight to the kernel while nothing waits before them, else through the loop's transport: in one order."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from typing import cast
from uuid import UUID

import pytest
import uvloop
from tests.journeys.world import Person
from tests.realtime.conftest import Node
from tests.realtime.wire import CLOSE, Socket

from forecourt.realtime import client as client_module
from forecourt.realtime.client import Client
from forecourt.realtime.frames import framed

LARGE = 300_000
"""Characters of an entry: more than the kernel takes at once for somebody who does not read."""


def client_of(node: Node, person: Person) -> Client:
    [found] = [c for c in node.realtime._clients if str(c.account_id) == person.id]  # pyright: ignore[reportPrivateUsage]
    return found


def waiting_for(client: Client) -> int:
    wire = client._wire  # pyright: ignore[reportPrivateUsage]
    return wire.get_write_buffer_size() if wire is not None else 0


async def following(node: Node, person: Person, *topics: str) -> Socket:
    ws = await node.open(person)
    for topic in topics:
        assert (await ws.ask({"op": "subscribe", "topic": topic}))["op"] == "subscribed"
    return ws


async def hold_up(node: Node, topic: str, reading: Socket, client: Client) -> int:
    """Writes until something waits for a client that does not read; returns the number of the last entry."""
    for seq in range(1, 100):
        await node.diary.write(topic, "x" * LARGE)
        assert (await reading.until("event", topic=topic))["seq"] == seq
        if waiting_for(client):
            return seq
    raise AssertionError("the kernel took everything")


async def test_what_waits_comes_first_and_no_frame_is_torn(node: Node, ada: Person, ben: Person) -> None:
    topic = await node.diary.make(UUID(ada.id), UUID(ben.id))
    slow, reading = await following(node, ada, topic), await following(node, ben, topic)
    client = client_of(node, ada)
    assert client.fd >= 0
    slow.writer.transport.pause_reading()  # type: ignore[attr-defined]
    last = await hold_up(node, topic, reading, client)
    assert client.fd == -1, "what is written straight to the kernel would come in the middle of what waits"
    assert client_of(node, ben).fd >= 0
    for n in range(3):
        last += 1
        await node.diary.write(topic, f"small {n}")
        assert (await reading.recv())["seq"] == last
    client.ping()
    client.queue(b'\x81\x0d{"op":"pong"}')
    slow.writer.transport.resume_reading()  # type: ignore[attr-defined]
    heard: list[int] = []
    while (found := await slow.recv())["op"] == "event":
        heard.append(found["seq"])
    assert heard == list(range(1, last + 1))
    assert (found["op"], slow.pings) == ("pong", 1)
    # Nothing waits any more: what follows is written at once again.
    assert client.fd >= 0
    await node.diary.write(topic, "after")
    assert (await slow.recv())["seq"] == (await reading.recv())["seq"] == last + 1


async def test_what_one_turn_of_the_loop_has_for_a_client_is_one_write(
    node: Node, ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = await node.diary.make(UUID(ada.id)), await node.diary.make(UUID(ada.id))
    ws = await following(node, ada, one, two)
    client = client_of(node, ada)
    channels = node.realtime._channels  # pyright: ignore[reportPrivateUsage]
    written: list[bytes] = []

    def write(fd: int, frames: bytes) -> int:
        written.append(frames)
        return os.write(fd, frames)

    def end_the_turn() -> list[bytes]:
        written.clear()
        node.realtime._flush()  # pyright: ignore[reportPrivateUsage]
        return [bytes(c for c in frames if c in b"abcdef") for frames in written]

    monkeypatch.setattr(client_module, "_write", write)
    channels[one].heard("", None, b"a")
    assert end_the_turn() == [b"a"]
    channels[one].heard("", None, b"b")
    channels[two].heard("", None, b"c")
    assert end_the_turn() == [b"bc"]
    client.queue(framed(b"d"))
    channels[two].heard("", None, b"e")
    channels[two].heard("", None, b"f")
    assert end_the_turn() == [b"def"]
    assert end_the_turn() == []
    assert [(await ws.frame())[1] for _ in range(6)] == [b"%c" % c for c in b"abcdef"]


@pytest.mark.parametrize("end", ["cut", "leave", "drop", "faulty"])
async def test_nothing_is_written_to_the_number_of_a_socket_that_is_over(node: Node, ada: Person, end: str) -> None:
    """The kernel gives it to the next connection."""
    topic = await node.diary.make(UUID(ada.id))
    ws = await following(node, ada, topic)
    client = client_of(node, ada)
    assert client.fd >= 0
    if end == "cut":
        client.cut()
        assert client.fd == -1
    elif end == "leave":
        await ws.leave()
    elif end == "drop":
        ws.drop()
    else:
        client.close_wire(1002)
        assert client.fd == -1
        assert (await ws.frame())[0] == CLOSE
        ws.drop()
    async with asyncio.timeout(10):
        while node.realtime.open_sockets:
            await asyncio.sleep(0.001)
    client.resume_writing()
    assert client.fd == -1
    client.queue(b"\x81\x02{}")
    assert client.out == b""


# --- what we rely on, of both loops that may run us


class Talker(asyncio.Protocol):
    """Says what its transport tells it."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.open_at_the_end: bool | None = None
        self.here, self.gone = asyncio.Event(), asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(0)
        self.fd = transport.get_extra_info("socket").fileno()
        self.file = os.fstat(self.fd).st_ino
        self.here.set()

    def pause_writing(self) -> None:
        self.told.append("pause")

    def resume_writing(self) -> None:
        self.told.append("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        self.open_at_the_end = os.fstat(self.fd).st_ino == self.file
        self.gone.set()


async def _talk(with_it: Callable[[Talker, socket.socket], Awaitable[None]]) -> None:
    loop, talker = asyncio.get_running_loop(), Talker()
    server = await loop.create_server(lambda: talker, "127.0.0.1", 0)
    try:
        with socket.socket() as peer:
            peer.setblocking(False)
            async with asyncio.timeout(10):
                await loop.sock_connect(peer, server.sockets[0].getsockname())
                await talker.here.wait()
                await with_it(talker, peer)
    finally:
        server.close()


async def _says_when_anything_waits(talker: Talker, peer: socket.socket) -> None:
    talker.transport.write(b"small")
    assert (talker.told, talker.transport.get_write_buffer_size()) == ([], 0)
    total = 5
    while not talker.told:
        talker.transport.write(b"x" * 100_000)
        total += 100_000
        assert bool(talker.told) == bool(talker.transport.get_write_buffer_size())
    assert talker.told == ["pause"]
    loop = asyncio.get_running_loop()
    while total:
        total -= len(await loop.sock_recv(peer, 1 << 20))
    while talker.transport.get_write_buffer_size():
        await asyncio.sleep(0)
    assert talker.told == ["pause", "resume"]
    talker.transport.abort()
    await talker.gone.wait()


def _ends_by(how: str) -> Callable[[Talker, socket.socket], Awaitable[None]]:
    async def end(talker: Talker, peer: socket.socket) -> None:
        if how == "close":
            talker.transport.close()
        elif how == "abort":
            talker.transport.abort()
        else:
            peer.close()
        await talker.gone.wait()
        assert talker.open_at_the_end

    return end


LOOPS = [uvloop.new_event_loop, asyncio.new_event_loop]


@pytest.mark.parametrize("loop", LOOPS)
def test_a_transport_without_room_says_whenever_something_waits_in_it(loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(_talk(_says_when_anything_waits))


@pytest.mark.parametrize("how", ["close", "abort", "peer"])
@pytest.mark.parametrize("loop", LOOPS)
def test_a_sockets_number_is_its_own_until_its_protocol_has_heard_of_its_end(
    loop: Callable[[], asyncio.AbstractEventLoop], how: str
) -> None:
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(_talk(_ends_by(how)))
