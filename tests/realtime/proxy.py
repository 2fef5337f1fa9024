"""What stands between a process and Valkey, to be cut and healed: a pipe that passes bytes on, or does not."""

from __future__ import annotations

import asyncio
import contextlib
from urllib.parse import parse_qs, urlsplit


class Proxy:
    """Listens on TCP; `url` is Valkey as seen through it."""

    def __init__(self, valkey_url: str) -> None:
        self._parts = urlsplit(valkey_url)
        self._cut = False
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Proxy:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.drop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def url(self) -> str:
        database = parse_qs(self._parts.query).get("db", ["0"])[0]
        return f"valkey://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/{database}"

    def cut(self) -> None:
        """From now on nothing passes in either direction, and nobody is told."""
        self._cut = True

    def heal(self) -> None:
        """A network that was cut for so long has forgotten its connections; new ones pass."""
        self._cut = False
        self.drop()

    def drop(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._parts.scheme == "unix":
            there = await asyncio.open_unix_connection(self._parts.path)
        else:
            there = await asyncio.open_connection(self._parts.hostname, self._parts.port)
        for source, target in ((reader, there[1]), (there[0], writer)):
            self._writers.add(target)
            task = asyncio.ensure_future(self._pass_on(source, target))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pass_on(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(OSError):
                while data := await source.read(65536):
                    if not self._cut:
                        target.write(data)
        finally:
            self._writers.discard(target)
            target.transport.abort()
