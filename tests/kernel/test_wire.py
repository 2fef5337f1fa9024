"""The wire between processes of the house: what it carries, how it keeps connections, what its callers hear when it breaks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

import httpx
import pytest

from forecourt.kernel import wire
from forecourt.kernel.wire import Answer, Wire

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Peer:
    """Somebody who answers, and how often and with what it was spoken to."""

    def __init__(self, serve: Callable[[Peer, bytes, bytes, asyncio.StreamWriter], Awaitable[None]]) -> None:
        self._serve = serve
        self.heads: list[bytes] = []
        self.connections = 0
        self.closed = asyncio.Event()
        self.url = ""

    async def speak(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while not writer.is_closing():
                head = await reader.readuntil(b"\r\n\r\n")
                self.heads.append(head)
                size = next(
                    (int(v) for k, _, v in (f.partition(b":") for f in head.lower().split(b"\r\n")) if k == b"content-length"), 0
                )
                await self._serve(self, head, await reader.readexactly(size), writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.closed.set()
            writer.close()


@asynccontextmanager
async def peer(serve: Callable[[Peer, bytes, bytes, asyncio.StreamWriter], Awaitable[None]]) -> AsyncGenerator[Peer]:
    there = Peer(serve)
    server = await asyncio.start_server(there.speak, "127.0.0.1", 0)
    there.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield there
    finally:
        server.close()


NO_HEADERS: Mapping[str, str] = {}


async def post(
    wire: Wire,
    url: str,
    content: bytes = b"",
    headers: Mapping[str, str] = NO_HEADERS,
    timeout: float = 20,
) -> Answer:
    return await wire.post(url, content=content, headers=headers, timeout=timeout)


async def echo(_peer: Peer, head: bytes, body: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: %d\r\n\r\n" % len(body) + body)


async def test_a_call_and_its_answer_come_through_and_the_next_takes_the_same_connection() -> None:
    async with peer(echo) as there, Wire(8, 10.0) as asking:
        for body in (b"first", b"", b"x" * 300_000):
            answer = await post(asking, f"{there.url}/a/b?c=%20d", body, {"x-told": "yes"})
            assert (answer.status_code, answer.content, answer.headers["content-type"]) == (200, body, "text/plain")
    assert there.connections == 1
    assert all(head.startswith(b"POST /a/b?c=%20d HTTP/1.1\r\n") for head in there.heads)
    assert all(b"x-told: yes\r\n" in head and b"host: 127.0.0.1:" in head.lower() for head in there.heads)


async def test_calls_at_the_same_time_have_connections_of_their_own_and_no_more_than_allowed() -> None:
    here, go = 0, asyncio.Event()

    async def hold(_peer: Peer, head: bytes, body: bytes, writer: asyncio.StreamWriter) -> None:
        nonlocal here
        here += 1
        if here == 3:
            go.set()
        await go.wait()
        await echo(_peer, head, body, writer)

    async with peer(hold) as there, Wire(3, 10.0) as asking, asyncio.timeout(30):
        answers = await asyncio.gather(*(post(asking, there.url, str(n).encode()) for n in range(9)))
    assert [a.content for a in answers] == [str(n).encode() for n in range(9)]
    assert there.connections == 3


async def test_chunks_are_put_together_and_what_comes_in_pieces_as_well() -> None:
    async def chunked(_peer: Peer, head: bytes, body: bytes, writer: asyncio.StreamWriter) -> None:
        said = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
        for at in range(len(said)):
            writer.write(said[at : at + 1])
            await writer.drain()

    async with peer(chunked) as there, Wire(8, 10.0) as asking:
        assert [(await post(asking, there.url)).content for _ in range(2)] == [b"abcde"] * 2
    assert there.connections == 1


async def test_a_peer_that_ends_the_connection_with_its_answer_is_dialled_anew() -> None:
    async def last(_peer: Peer, head: bytes, body: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")

    async with peer(last) as there, Wire(8, 10.0) as asking:
        assert [(await post(asking, there.url)).status_code for _ in range(3)] == [204] * 3
    assert there.connections == 3


async def test_a_connection_that_the_peer_closed_meanwhile_is_not_used_again() -> None:
    async def once(_peer: Peer, head: bytes, body: bytes, writer: asyncio.StreamWriter) -> None:
        await echo(_peer, head, body, writer)
        await writer.drain()
        writer.close()

    async with peer(once) as there, Wire(8, 10.0) as asking:
        assert (await post(asking, there.url, b"a")).content == b"a"
        async with asyncio.timeout(10):
            while asking.kept:
                await asyncio.sleep(0)
        assert (await post(asking, there.url, b"b")).content == b"b"
    assert there.connections == 2


async def test_a_connection_that_was_idle_for_too_long_is_not_used_again() -> None:
    async with peer(echo) as there, Wire(8, 0.0) as asking:
        for _ in range(2):
            await post(asking, there.url, b"a")
    assert there.connections == 2


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (b"", httpx.RemoteProtocolError),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf", httpx.RemoteProtocolError),
        (b"no answer at all\r\n\r\n", httpx.RemoteProtocolError),
        (b"HTTP/1.1 200 OK\r\n\r\nuntil it ends", httpx.RemoteProtocolError),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n", httpx.RemoteProtocolError),
    ],
    ids=["nothing", "half", "nonsense", "no length", "too long"],
)
async def test_an_answer_that_is_none_is_a_fault_of_the_peer_and_not_a_connection_that_failed(
    said: bytes, error: type[Exception]
) -> None:
    async def cut(_peer: Peer, head: bytes, body: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        await writer.drain()
        writer.close()

    async with peer(cut) as there, Wire(8, 10.0) as asking:
        with pytest.raises(error):
            await post(asking, there.url)
        assert asking.kept == 0


async def test_nobody_there_is_a_connection_that_failed() -> None:
    async with peer(echo) as there:
        url = there.url
    async with Wire(8, 10.0) as asking:
        with pytest.raises(httpx.ConnectError):
            await post(asking, url)


def echo_when(begun: asyncio.Event, go: asyncio.Event) -> Callable[[Peer, bytes, bytes, asyncio.StreamWriter], Awaitable[None]]:
    """Says that it was asked, and answers when it may."""

    async def serve(_peer: Peer, head: bytes, body: bytes, writer: asyncio.StreamWriter) -> None:
        begun.set()
        await go.wait()
        await echo(_peer, head, body, writer)

    return serve


async def test_a_call_that_was_given_up_takes_its_connection_with_it() -> None:
    """Its late answer would be taken for the next one's."""
    begun, go = asyncio.Event(), asyncio.Event()
    async with peer(echo_when(begun, go)) as there, Wire(1, 10.0) as asking, asyncio.timeout(30):
        call = asyncio.create_task(post(asking, there.url, b"given up"))
        await begun.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        go.set()
        assert (await post(asking, there.url, b"next")).content == b"next"
    assert there.connections == 2


async def test_what_comes_unasked_ends_the_connection() -> None:
    async def twice(_peer: Peer, head: bytes, body: bytes, writer: asyncio.StreamWriter) -> None:
        await echo(_peer, head, body, writer)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nother")

    async with peer(twice) as there, Wire(8, 10.0) as asking, asyncio.timeout(30):
        assert (await post(asking, there.url, b"a")).content == b"a"
        while asking.kept:
            await asyncio.sleep(0)
        assert (await post(asking, there.url, b"b")).content == b"b"
    assert there.connections == 2


async def test_no_line_can_be_smuggled_into_a_head() -> None:
    async with peer(echo) as there, Wire(8, 10.0) as asking:
        with pytest.raises(httpx.LocalProtocolError):
            await post(asking, there.url, headers={"x-told": "a\r\nx-more: b"})
        assert there.heads == []


async def test_a_call_that_finds_no_free_connection_waits_no_longer_than_it_may() -> None:
    begun, go = asyncio.Event(), asyncio.Event()
    async with peer(echo_when(begun, go)) as there, Wire(1, 10.0) as asking, asyncio.timeout(30):
        first = asyncio.create_task(post(asking, there.url, b"first"))
        await begun.wait()
        with pytest.raises(httpx.PoolTimeout):
            await post(asking, there.url, b"second", timeout=0.01)
        go.set()
        assert (await first).content == b"first"


async def test_a_peer_that_does_not_answer_in_time_is_a_read_that_timed_out() -> None:
    """It may have seen the call, which is not made again then."""
    begun, go = asyncio.Event(), asyncio.Event()
    go.set()
    async with peer(echo_when(begun, go)) as there, Wire(8, 10.0) as asking, asyncio.timeout(30):
        await post(asking, there.url)  # so that no connection has to be made in so short a time
        go.clear()
        with pytest.raises(httpx.ReadTimeout):
            await post(asking, there.url, timeout=0.01)
        assert (asking.kept, there.connections) == (0, 1)
        go.set()


async def test_a_call_bears_its_own_headers_and_the_marks_of_the_moment_and_is_answered_whole() -> None:
    marked = {"x-mark": "1"}
    async with peer(echo) as there, Wire(8, 10.0, lambda: marked) as asking:
        first = await asking.post(f"{there.url}/a/b", content=b"first", headers={"x-told": "yes"}, timeout=20)
        marked.clear()
        again = await asking.post(f"{there.url}/a/b", content=b"", headers={}, timeout=20)
    assert first == (200, {"content-type": "text/plain", "content-length": "5"}, b"first")
    assert (again.status_code, again.content) == (200, b"")
    assert there.connections == 1
    one, other = (head.split(b"\r\n") for head in there.heads)
    assert one[0] == other[0] == b"POST /a/b HTTP/1.1"
    host = b"host: " + there.url.removeprefix("http://").encode()
    assert set(one[1:-2]) == {host, b"x-told: yes", b"x-mark: 1", b"content-length: 5"}
    assert set(other[1:-2]) == {host, b"content-length: 0"}


async def test_a_question_bears_no_marks_and_its_answer_is_as_long_as_it_may_be() -> None:
    async def long(_peer: Peer, _head: bytes, _body: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n" + b"x" * 100)

    async with peer(long) as there, Wire(8, 10.0, lambda: {"x-mark": "1"}) as asking:
        assert (await asking.get(f"{there.url}/readyz", timeout=20, most_bytes=100)).content == b"x" * 100
        with pytest.raises(httpx.RemoteProtocolError):
            await asking.get(f"{there.url}/readyz", timeout=20, most_bytes=99)
        assert asking.kept == 0
        assert (await post(asking, there.url)).content == b"x" * 100, "what one may not have, the next may"
    host = b"host: " + there.url.removeprefix("http://").encode()
    assert there.heads[0] == b"GET /readyz HTTP/1.1\r\n" + host + b"\r\n\r\n"


async def test_no_other_language_is_spoken_and_an_answer_may_be_as_long_as_any_of_ours() -> None:
    async with Wire(8, 10.0) as asking:
        with pytest.raises(httpx.UnsupportedProtocol):
            await post(asking, "ftp://127.0.0.1:9")
    assert wire.MAX_ANSWER_BYTES >= 8 * 1024 * 1024
