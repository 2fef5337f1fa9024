"""A WebSocket client made of bytes: it does what it is told, also what no client should."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import struct
from base64 import b64encode
from typing import Any
from urllib.parse import quote

PATIENCE_S = 30
"""A test that waits longer than this for anything has failed."""
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


def frame(payload: bytes, opcode: int = TEXT, *, fin: bool = True, rsv: int = 0, masked: bool = True) -> bytes:
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    flag = 0x80 if masked else 0
    size = len(payload)
    if size < 126:
        head += bytes([flag | size])
    elif size < 65536:
        head += bytes([flag | 126]) + struct.pack("!H", size)
    else:
        head += bytes([flag | 127]) + struct.pack("!Q", size)
    if not masked:
        return head + payload
    mask = os.urandom(4)
    return head + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(payload))


def handshake(path: str, host: str, headers: dict[str, str] | None = None) -> bytes:
    lines = [
        f"GET {path} HTTP/1.1",
        f"Host: {host}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {b64encode(os.urandom(16)).decode()}",
        "Sec-WebSocket-Version: 13",
        *(f"{name}: {value}" for name, value in (headers or {}).items()),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


OPEN: list[asyncio.StreamWriter] = []
"""Every connection of the present test; they end with it."""


async def hang_up() -> None:
    while OPEN:
        writer = OPEN.pop()
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


class Closed(Exception):
    """The server closed: with a code, or None when the connection just ended."""

    def __init__(self, code: int | None) -> None:
        super().__init__(code)
        self.code = code


class Refused(Exception):
    def __init__(self, status: int, head: str) -> None:
        super().__init__(status)
        self.status = status
        self.head = head


class Socket:
    """One connection. `recv` gives parsed frames in order and raises Closed."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: str) -> None:
        self.reader = reader
        self.writer = writer
        self.head = head
        self.pings = 0
        OPEN.append(writer)

    @classmethod
    async def open(
        cls,
        port: int,
        token: str | None = None,
        *,
        headers: dict[str, str] | None = None,
        path: str = "/v1/socket",
        early: bytes = b"",
    ) -> Socket:
        """`early` is sent in one packet with the handshake. Raises Refused."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=4 * 1024 * 1024)
        if token is not None:
            path = f"{path}?token={quote(token)}"
        writer.write(handshake(path, f"127.0.0.1:{port}", headers) + early)
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        status = int(head.split(" ", 2)[1])
        if status != 101:
            OPEN.append(writer)
            raise Refused(status, head)
        return cls(reader, writer, head)

    def send(self, body: object) -> None:
        self.writer.write(frame(json.dumps(body).encode()))

    def raw(self, data: bytes) -> None:
        self.writer.write(data)

    async def frame(self) -> tuple[int, bytes]:
        try:
            async with asyncio.timeout(PATIENCE_S):
                first, second = await self.reader.readexactly(2)
            size = second & 0x7F
            if size == 126:
                (size,) = struct.unpack("!H", await self.reader.readexactly(2))
            elif size == 127:
                (size,) = struct.unpack("!Q", await self.reader.readexactly(8))
            payload = await self.reader.readexactly(size)
        except (asyncio.IncompleteReadError, ConnectionError) as e:
            raise Closed(None) from e
        assert not second & 0x80
        assert not first & 0x70
        return first & 0x0F, payload

    async def recv(self) -> dict[str, Any]:
        """The next message. Pings on the way are answered, but do not make the wait longer."""
        async with asyncio.timeout(PATIENCE_S):
            return await self._message()

    async def _message(self) -> dict[str, Any]:
        while True:
            opcode, payload = await self.frame()
            if opcode == CLOSE:
                (code,) = struct.unpack("!H", payload[:2])
                self.writer.write(frame(payload[:2], CLOSE))
                raise Closed(code)
            if opcode == PING:
                self.pings += 1
                self.writer.write(frame(payload, PONG))
            elif opcode == TEXT:
                return json.loads(payload)

    async def until(self, op: str, **fields: object) -> dict[str, Any]:
        """The next frame of this kind with these fields; others are passed over."""
        while True:
            found = await self.recv()
            if found["op"] == op and all(found.get(k) == v for k, v in fields.items()):
                return found

    async def closing(self) -> int | None:
        """The code with which the server closes, whatever it says before."""
        try:
            while True:
                await self.recv()
        except Closed as e:
            return e.code

    async def ask(self, body: dict[str, Any]) -> dict[str, Any]:
        self.send(body)
        return await self.recv()

    def drop(self) -> None:
        """Ends without a word."""
        self.writer.transport.abort()

    async def leave(self) -> None:
        self.writer.write(frame(struct.pack("!H", 1000), CLOSE))
        try:
            while True:
                await self.frame()
        except Closed:
            self.writer.close()
