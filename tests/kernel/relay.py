"""A relay between a client and the server, that keeps back the end of a connection: as a network may."""

from __future__ import annotations

import asyncio

from tests.conftest import FreshDatabase


class Relay:
    """Between a client and the server: passes everything on, but for the end of a connection. As a network may."""

    def __init__(self, upstream: str) -> None:
        self._upstream = upstream
        self.goodbyes = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    async def meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_unix_connection(self._upstream)
        out = asyncio.create_task(self._pass_on(reader, up_writer))
        back = asyncio.create_task(self._pass_on(up_reader, writer))
        self._tasks |= {out, back}
        await back
        self.goodbyes.set()
        await out
        writer.close()
        up_writer.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while part := await reader.read(65536):
            writer.write(part)
            await writer.drain()


async def end_sessions(fresh: FreshDatabase, relay: Relay) -> None:
    """The server ends every session; its last words have reached the clients, the end of their connections has not."""
    admin = await fresh.admin()
    await admin.execute("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'pool tests'")
    await admin.close()
    await relay.goodbyes.wait()
    for _ in range(5):  # what was sent is there to be read at once; the client reads it in its next turns
        await asyncio.sleep(0)
