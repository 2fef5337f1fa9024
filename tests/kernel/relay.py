"""A relay between clients and the server that can do what networks do: keep back the end of a connection, or break them all."""

from __future__ import annotations

import asyncio
import contextlib

from tests.conftest import FreshDatabase

END_OURS = (
    "select pg_terminate_backend(pid) from pg_stat_activity"
    " where application_name = 'pool tests' and datname = current_database()"  # others run the same tests beside us
)


class Relay:
    """Passes everything on between clients and the socket `upstream`; what else it does is up to the test."""

    def __init__(self, upstream: str) -> None:
        self._upstream = upstream
        self._reachable = True
        self._pairs: set[asyncio.Task[None]] = set()
        self.keeps_ends_back = False
        """Whether clients do not hear that the server has ended a connection."""
        self.goodbyes = asyncio.Event()
        """Set when the server has ended a connection, and the client has been sent all that it said."""

    def shut(self) -> None:
        """The server is out of reach: every connection breaks, and new ones break at once."""
        self._reachable = False
        for pair in self._pairs:
            pair.cancel()

    def open(self) -> None:
        self._reachable = True

    async def close(self) -> None:
        self.shut()
        await asyncio.gather(*self._pairs, return_exceptions=True)

    async def meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pair = asyncio.create_task(self._serve(reader, writer))
        self._pairs.add(pair)
        pair.add_done_callback(self._pairs.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers = [writer]
        try:
            if self._reachable:
                up_reader, up_writer = await asyncio.open_unix_connection(self._upstream)
                writers.append(up_writer)
                there = asyncio.create_task(pass_on(reader, up_writer))
                back = asyncio.create_task(self._answers(up_reader, writer))
                try:
                    await asyncio.wait({there} if self.keeps_ends_back else {there, back}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    there.cancel()
                    back.cancel()
                    await asyncio.gather(there, back, return_exceptions=True)
        finally:
            for each in writers:
                each.transport.abort()

    async def _answers(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await pass_on(reader, writer)
        self.goodbyes.set()


async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while part := await reader.read(65536):
            writer.write(part)
            await writer.drain()


async def end_sessions(fresh: FreshDatabase, relay: Relay) -> None:
    """The server ends every session; its last words have reached the clients, the end of their connections has not.

    For connections made since `relay.keeps_ends_back`.
    """
    assert relay.keeps_ends_back
    admin = await fresh.admin()
    await admin.execute(END_OURS)
    await admin.close()
    await relay.goodbyes.wait()
    for _ in range(5):  # what was sent is there to be read at once; the client reads it in its next turns
        await asyncio.sleep(0)
