"""Announcements between processes: what changed, for whoever looks at it now. Through Valkey; nothing is kept.

An announcement may be lost, and then the page is stale until it is read again: every listener tells its client to look
again after a gap. What must not be lost is an event (`kernel/events.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from typing import Protocol

import structlog
from valkey.asyncio import Valkey
from valkey.exceptions import ValkeyError

log = structlog.get_logger("forecourt.live")

CHANNEL = "forecourt:live:"
QUEUE = 64
"""Announcements that wait for one listener; when more pile up it is told to look at everything again."""
HEARTBEAT_S = 20.0
PENDING = 10_000


class Announcer(Protocol):
    def announce(self, topic: str, data: bytes) -> None:
        """Tells every process's listeners of `topic`. Returns at once; may be called after a commit."""
        ...


class Hub:
    """Announces, and hands announcements to the listeners of this process over one Valkey connection."""

    def __init__(self, valkey_url: str) -> None:
        self._valkey = Valkey.from_url(valkey_url, socket_timeout=None, socket_connect_timeout=1)
        self._outgoing: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue(PENDING)
        self._listeners: dict[str, set[asyncio.Queue[bytes | None]]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._closing = False

    async def start(self) -> None:
        self._tasks = [
            asyncio.create_task(self._send(), name="live-send"),
            asyncio.create_task(self._receive(), name="live-receive"),
        ]

    def hang_up(self) -> None:
        """Ends every listener's stream, so that a server that stops need not wait for clients to leave."""
        self._closing = True
        for queues in self._listeners.values():
            for queue in queues:
                _tell(queue, None)

    async def stop(self) -> None:
        self.hang_up()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._valkey.aclose()

    def announce(self, topic: str, data: bytes) -> None:
        with contextlib.suppress(asyncio.QueueFull):
            self._outgoing.put_nowait((topic, data))

    async def listen(self, topic: str) -> AsyncIterator[bytes | None]:
        """Announcements of `topic`; None means: some may have been lost, look at everything again."""
        queue: asyncio.Queue[bytes | None] = asyncio.Queue(QUEUE)
        self._listeners.setdefault(topic, set()).add(queue)
        try:
            while not self._closing:
                data = await queue.get()
                if self._closing:
                    return
                yield data
        finally:
            queues = self._listeners.get(topic)
            if queues is not None:
                queues.discard(queue)
                if not queues:
                    del self._listeners[topic]

    @property
    def listeners(self) -> int:
        return sum(len(queues) for queues in self._listeners.values())

    async def _send(self) -> None:
        while True:
            topic, data = await self._outgoing.get()
            try:
                async with asyncio.timeout(1):
                    await self._valkey.publish(CHANNEL + topic, data)
            except (ValkeyError, OSError, TimeoutError):
                self._hand(topic, None)

    async def _receive(self) -> None:
        while True:
            try:
                pubsub = self._valkey.pubsub(ignore_subscribe_messages=True)
                try:
                    await pubsub.psubscribe(CHANNEL + "*")
                    self._everyone()
                    async for message in pubsub.listen():
                        topic = message["channel"].decode().removeprefix(CHANNEL)
                        self._hand(topic, message["data"])
                finally:
                    await pubsub.aclose()
            except (ValkeyError, OSError) as e:
                log.warning("live_connection_lost", error=type(e).__name__)
            await asyncio.sleep(0.2 + random.random() * 0.8)

    def _everyone(self) -> None:
        """After a gap: every listener looks again."""
        for topic in list(self._listeners):
            self._hand(topic, None)

    def _hand(self, topic: str, data: bytes | None) -> None:
        for queue in self._listeners.get(topic, ()):
            _tell(queue, data)


def _tell(queue: asyncio.Queue[bytes | None], data: bytes | None) -> None:
    try:
        queue.put_nowait(data)
    except asyncio.QueueFull:
        while not queue.empty():
            queue.get_nowait()
        queue.put_nowait(None)


async def server_sent(source: AsyncIterator[bytes | None], *, reset: bytes) -> AsyncIterator[bytes]:
    """Announcements as server-sent events, with a heartbeat so that proxies keep the connection. A gap becomes `reset`."""
    yield b"retry: 2000\n\n"
    pending: asyncio.Task[bytes | None] | None = None
    iterator = source.__aiter__()
    try:
        while True:
            pending = pending or asyncio.ensure_future(anext(iterator))
            done, _ = await asyncio.wait({pending}, timeout=HEARTBEAT_S)
            if not done:
                yield b": still here\n\n"
                continue
            data, pending = pending.result(), None
            yield reset if data is None else b"data: " + data.replace(b"\n", b"\ndata: ") + b"\n\n"
    except StopAsyncIteration:
        return
    finally:
        if pending is not None:
            pending.cancel()
            await asyncio.gather(pending, return_exceptions=True)
