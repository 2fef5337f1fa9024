"""A server that answers what it was told to, over real connections: what no house does on demand."""

from __future__ import annotations

import asyncio
import json
from types import TracebackType

HANG_UP = b""
"""Take the request and end the connection without a word."""


def answer(status: int, body: object, **headers: str) -> bytes:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    kind = "application/problem+json" if status >= 400 else "application/json"
    lines = {"Content-Type": kind, "Content-Length": str(len(content)), "Connection": "close"}
    lines |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status} Word\r\n{head}\r\n".encode() + content


class Scripted:
    """Gives its answers in order, one a connection; `heard` keeps the heads of the requests."""

    def __init__(self, *answers: bytes) -> None:
        self._answers = list(answers)
        self.heard: list[str] = []

    async def __aenter__(self) -> Scripted:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.heard.append(head)
            length = next(
                (int(line.split(":")[1]) for line in head.split("\r\n") if line.lower().startswith("content-length")), 0
            )
            await reader.readexactly(length)
            writer.write(self._answers.pop(0) if self._answers else HANG_UP)
            await writer.drain()
        finally:
            writer.close()

    def header(self, name: str) -> list[str]:
        """That header of each request; empty where it was not sent."""
        found: list[str] = []
        for head in self.heard:
            lines = [line.partition(":") for line in head.split("\r\n")[1:]]
            found.append(next((value.strip() for key, _, value in lines if key.lower() == name.lower()), ""))
        return found
