"""People who have a page open: a socket each, that follows their inbox."""

from __future__ import annotations

import asyncio
import base64
import os
import threading
from collections.abc import Sequence
from typing import Self, cast

from bench.load import HOST

AT_ONCE = 50
OPEN_LIMIT_S = 60
_TEXT, _PING, _PONG = 0x81, 0x89, 0x8A
_FOLLOW = b'{"op":"subscribe","topic":"inbox"}'


class _Socket(asyncio.Protocol):
    """One person's. Answers pings, so that it is kept; `follows` is done when the server said that it does."""

    def __init__(self) -> None:
        self.follows: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.lost = False
        self.heard = 0
        self._in = bytearray()
        self._open = False
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def begin(self, token: str, address: str) -> None:
        assert self._transport is not None
        key = base64.b64encode(os.urandom(16)).decode()
        lines = (
            "GET /v1/socket HTTP/1.1",
            f"Host: {HOST}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Authorization: Bearer {token}",
            f"X-Forwarded-For: {address}",
            f"Sec-WebSocket-Key: {key}",
            "Sec-WebSocket-Version: 13",
        )
        self._transport.write(("\r\n".join(lines) + "\r\n\r\n").encode())

    def data_received(self, data: bytes) -> None:
        self._in += data
        if not self._open:
            end = self._in.find(b"\r\n\r\n")
            if end < 0:
                return
            if not self._in.startswith(b"HTTP/1.1 101"):
                self._fail(f"a socket was refused: {bytes(self._in[:200])!r}")
                return
            self._open = True
            del self._in[: end + 4]
            self._send(_TEXT, _FOLLOW)
        while (frame := self._frame()) is not None:
            self._hear(*frame)

    def _frame(self) -> tuple[int, bytes] | None:
        """The next whole frame, taken off what came in; a server's are not masked."""
        if len(self._in) < 2:
            return None
        size, head = self._in[1] & 127, 2
        if size == 126:
            size, head = int.from_bytes(self._in[2:4]), 4
        elif size == 127:
            size, head = int.from_bytes(self._in[2:10]), 10
        if len(self._in) < head + size:
            return None
        kind, body = self._in[0], bytes(self._in[head : head + size])
        del self._in[: head + size]
        return kind, body

    def _hear(self, kind: int, body: bytes) -> None:
        if kind == _PING:
            self._send(_PONG, body)
        elif b'"subscribed"' in body and not self.follows.done():
            self.follows.set_result(None)
        elif b'"error"' in body:
            self._fail(f"a socket heard {body!r}")
        else:
            self.heard += 1

    def _send(self, kind: int, body: bytes) -> None:
        assert self._transport is not None
        mask = b"\1\2\3\4"
        masked = bytes(b ^ mask[i & 3] for i, b in enumerate(body))
        self._transport.write(bytes((kind, 0x80 | len(body))) + mask + masked)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self._fail("a socket was closed before it followed anything")

    def _fail(self, why: str) -> None:
        if not self.follows.done():
            self.follows.set_exception(RuntimeError(why))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()


class Audience:
    """So many people's sockets, all through the gateway, in a thread of their own for as long as the block lasts."""

    def __init__(self, port: int, people: Sequence[tuple[str, str]]) -> None:
        """`people`: tokens, and the addresses they come from."""
        self._port = port
        self._people = list(people)
        self._sockets: list[_Socket] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="audience", daemon=True)

    def __enter__(self) -> Self:
        """Returns when everybody follows their inbox. Raises RuntimeError, TimeoutError."""
        self._thread.start()
        try:
            asyncio.run_coroutine_threadsafe(self._come(), self._loop).result()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._leave(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _come(self) -> None:
        async with asyncio.timeout(OPEN_LIMIT_S):
            for at in range(0, len(self._people), AT_ONCE):
                some = self._people[at : at + AT_ONCE]
                made = [(await self._loop.create_connection(_Socket, HOST, self._port))[1] for _ in some]
                for socket, (token, address) in zip(made, some, strict=True):
                    socket.begin(token, address)
                await asyncio.gather(*(socket.follows for socket in made))
                self._sockets += made

    @property
    def lost(self) -> int:
        """Whose socket ended although they did not leave."""
        return sum(socket.lost for socket in self._sockets)

    @property
    def heard(self) -> int:
        """Frames that came to all of them, those of following apart."""
        return sum(socket.heard for socket in self._sockets)

    async def _leave(self) -> None:
        for socket in self._sockets:
            socket.close()
