"""HTTP between processes of the house, at a tenth of what a client for all of HTTP costs.

A call between modules is a few hundred bytes on a connection that is open already. This writes a head, feeds what comes to the
parser that our servers use, and keeps the connection. HTTP/1.1 alone, whole answers. Why not a library's client: docs/adr/0004.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import deque
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import NamedTuple, Self, cast

import httptools
import httpx

MAX_ANSWER_BYTES = 64 * 1024 * 1024

_Where = tuple[str, int, bool]
"""Host, port, and whether it speaks TLS."""
_Told = tuple[int, list[tuple[bytes, bytes]], bytes]
"""Status, headers and body of an answer."""


class Answer(NamedTuple):
    """What came back, whole. Names of headers are in lower case."""

    status_code: int
    headers: Mapping[str, str]
    content: bytes


class Wire:
    """At most `most` connections at once, each kept until nobody wanted it for `idle_s`. The one used last is taken first.

    Whoever asks names the seconds within which the answer has to be there, from the wait for a connection on. Raises what httpx
    raises: PoolTimeout, ConnectError and ConnectTimeout before anything was sent, then ReadTimeout, and RemoteProtocolError for
    an answer that is none; UnsupportedProtocol and LocalProtocolError for what cannot be asked.
    """

    def __init__(self, most: int, idle_s: float, marks: Callable[[], Mapping[str, str]] = dict[str, str]) -> None:
        """`marks`: headers that every `post` has beside its own, asked for at each."""
        self._free = asyncio.Semaphore(most)
        self._marks = marks
        self._idle_s = idle_s
        self._kept: dict[_Where, deque[_Line]] = {}
        self._tls: ssl.SSLContext | None = None

    @property
    def kept(self) -> int:
        """Connections that are open and have nothing to do."""
        return sum(not line.closed for lines in self._kept.values() for line in lines)

    async def post(
        self,
        url: str,
        *,
        content: bytes,
        headers: Mapping[str, str],
        timeout: float,  # noqa: ASYNC109 - httpx calls it so
    ) -> Answer:
        place = _place("POST", url)
        wire = _posted(place.begun, {**headers, **self._marks()}, content)
        return await self._ask(url, place.where, wire, timeout, MAX_ANSWER_BYTES)

    async def get(self, url: str, *, timeout: float, most_bytes: int = MAX_ANSWER_BYTES) -> Answer:  # noqa: ASYNC109 - as in `post`
        """`most_bytes`: a longer body is no answer."""
        place = _place("GET", url)
        return await self._ask(url, place.where, place.begun + b"\r\n", timeout, most_bytes)

    async def _ask(self, url: str, where: _Where, wire: bytes, timeout_s: float, most_bytes: int) -> Answer:
        late: type[httpx.TimeoutException] = httpx.PoolTimeout
        try:
            async with asyncio.timeout(timeout_s), self._free:
                late = httpx.ConnectTimeout
                line = self._open(where) or await self._dial(where)
                late = httpx.ReadTimeout
                status, told, body = await self._put(line, where, wire, most_bytes)
        except TimeoutError as e:
            raise late(f"no answer from {url} in time") from e
        except OSError as e:  # a name that is not known as well, and a certificate that is not theirs
            raise httpx.ConnectError(str(e)) from e
        except _Broken as e:
            raise httpx.RemoteProtocolError(str(e)) from e
        return Answer(status, {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in told}, body)

    async def _put(self, line: _Line, where: _Where, wire: bytes, most_bytes: int) -> _Told:
        """What is answered; the connection is kept when it can be asked again. Raises _Broken."""
        try:
            return await line.ask(wire, most_bytes)
        finally:
            if line.ready:
                line.since = time.monotonic()
                self._kept.setdefault(where, deque()).append(line)
            else:
                line.close()  # also when nobody waits any more: its answer would be taken for the next one's

    def _open(self, where: _Where) -> _Line | None:
        """A kept connection; those that have ended, or were idle for too long, are let go."""
        lines = self._kept.get(where)
        while lines:
            line = lines.pop()
            if line.ready and time.monotonic() - line.since < self._idle_s:
                return line
            line.close()
        return None

    async def _dial(self, where: _Where) -> _Line:
        """Raises OSError."""
        host, port, secure = where
        if secure and self._tls is None:
            self._tls = ssl.create_default_context()
        _, line = await asyncio.get_running_loop().create_connection(_Line, host, port, ssl=self._tls if secure else None)
        return line

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        for lines in self._kept.values():
            for line in lines:
                line.close()
        self._kept.clear()


def _where(url: httpx.URL) -> _Where:
    if url.scheme not in ("http", "https"):
        raise httpx.UnsupportedProtocol(f"{url.scheme}:// is not spoken here")
    secure = url.scheme == "https"
    return url.host, url.port or (443 if secure else 80), secure


class _Place(NamedTuple):
    """What is the same whenever an address is asked."""

    where: _Where
    begun: bytes


@lru_cache(maxsize=2_000)
def _place(method: str, url: str) -> _Place:
    """Raises UnsupportedProtocol."""
    parsed = httpx.URL(url)
    return _Place(_where(parsed), b"%s %s HTTP/1.1\r\nhost: %s\r\n" % (method.encode(), parsed.raw_path, parsed.netloc))


def _posted(begun: bytes, headers: Mapping[str, str], body: bytes) -> bytes:
    """Raises LocalProtocolError for a header that would be two."""
    told = "".join([f"\r\n{name}: {value}" for name, value in headers.items()])
    if told.count("\n") != len(headers) or told.count("\r") != len(headers):
        raise httpx.LocalProtocolError("a header has a line break in it")
    return b"%scontent-length: %d%s\r\n\r\n%s" % (begun, len(body), told.encode("latin-1"), body)


class _Broken(Exception):
    """The peer's answer is none."""


class _Line(asyncio.Protocol):
    """One connection. Asks one thing at a time."""

    def __init__(self) -> None:
        self.since = 0.0
        """When it was last used."""
        self.closed = False
        self._transport: asyncio.Transport | None = None
        self._waiting: asyncio.Future[_Told] | None = None
        self._parser: httptools.HttpResponseParser
        self._headers: list[tuple[bytes, bytes]]
        self._body: list[bytes]
        self._size = self._most = 0
        self._keeps = True

    @property
    def ready(self) -> bool:
        """Whether something can be asked."""
        return not self.closed and self._keeps and self._waiting is None

    async def ask(self, wire: bytes, most_bytes: int) -> _Told:
        """Raises _Broken."""
        assert self._transport is not None  # noqa: S101 - a connection that was made has one
        self._parser = httptools.HttpResponseParser(self)
        self._keeps = False  # until a whole answer says otherwise
        self._most = most_bytes
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(wire)
        return await self._waiting

    def close(self) -> None:
        self.closed = True
        if self._transport is not None:
            self._transport.abort()

    # --- what the loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's does not inherit from it

    def data_received(self, data: bytes) -> None:
        if self._waiting is None:
            self.close()  # nobody asked
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as e:
            self._break(f"the answer cannot be read: {e}")

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self._break("the peer ended the connection before its answer was there")

    # --- what the parser calls

    def on_message_begin(self) -> None:
        if self._waiting is None:
            self.close()  # a second answer to one question
        self._headers, self._body, self._size = [], [], 0

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name, value))
        if name.lower() == b"content-length" and int(value) > self._most:
            self._break("the answer is too long")

    def on_body(self, body: bytes) -> None:
        self._size += len(body)
        if self._size > self._most:
            self._break("the answer is too long")
            return
        self._body.append(body)

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        waiting = self._waiting
        if status < 200 or waiting is None:  # "go on", before the answer itself
            return
        self._waiting, self._keeps = None, self._parser.should_keep_alive()
        if not waiting.done():
            waiting.set_result((status, self._headers, b"".join(self._body)))

    def _break(self, why: str) -> None:
        waiting, self._waiting = self._waiting, None
        self.close()
        if waiting is not None and not waiting.done():
            waiting.set_exception(_Broken(why))
