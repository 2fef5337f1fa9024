"""Announcements between processes: what happened in a topic, for whoever follows it now. Through Valkey.

An announcement may be lost. Who follows a topic is told when that may have been so (`missed`, or None from `listen`) and looks
again: at the topic's own numbers (`kernel/topics.py`) or at the page. What must not be lost is an event (`kernel/events.py`).

There are two kinds of topics. What a *durable* one tells is numbered and kept by its module's database, and announced here with
`publish` after the commit. What an *ephemeral* one tells (free times of a venue) is numbered and kept for a short while by Valkey
itself: `announce`. A process hears only what somebody in it follows.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Iterable
from typing import Any, Protocol
from uuid import UUID, uuid4

import msgspec
import structlog
from valkey.asyncio import Valkey
from valkey.asyncio.connection import AbstractConnection
from valkey.exceptions import ValkeyError

from forecourt.kernel.topics import Head, Position, TopicEvent

log = structlog.get_logger("forecourt.live")

CHANNEL = "forecourt:topic:"
KEPT = 64
"""Events of an ephemeral topic that a client can catch up with."""
KEPT_S = 3600
"""How long an ephemeral topic's numbers outlive the last who looked at it."""
QUEUE = 64
"""Announcements that wait for one listener; when more pile up it is told to look at everything again."""
HEARTBEAT_S = 20.0
PENDING = 10_000
"""Announcements that wait for Valkey; beyond, they are dropped and found missing by their numbers."""
BATCH = 200
SEND_S = 1.0
PING_S = 1.0
SILENCE_S = 3.0
"""A connection that says nothing for so long, pings notwithstanding, is given up."""
SUBSCRIBED_S = 1.0

_EVENT, _REVOKED = b"E", b"R"

# An ephemeral topic is a hash {epoch, seq} and a stream whose ids are the numbers; both share a slot of a cluster. Whoever looks
# first after a wipe begins an epoch.
_OPEN = """
local epoch = redis.call('hget', KEYS[1], 'epoch')
if not epoch then
  epoch = ARGV[1]
  redis.call('del', KEYS[2])
  redis.call('hset', KEYS[1], 'epoch', epoch, 'seq', 0)
end
redis.call('expire', KEYS[1], ARGV[2])
redis.call('expire', KEYS[2], ARGV[2])
"""
_ANNOUNCE = f"""{_OPEN}
local seq = redis.call('hincrby', KEYS[1], 'seq', 1)
redis.call('xadd', KEYS[2], 'maxlen', {KEPT}, seq .. '-0', 'type', ARGV[3], 'data', ARGV[4])
redis.call('expire', KEYS[2], ARGV[2])
redis.call('publish', ARGV[5], 'E' .. epoch .. ' ' .. seq .. '\\n{{"op":"event","topic":"' .. ARGV[6] .. '","epoch":"' .. epoch
  .. '","seq":' .. seq .. ',"type":"' .. ARGV[3] .. '","data":' .. ARGV[4] .. '}}')
return seq
"""
_LOOK = f"""{_OPEN}
local seq = redis.call('hget', KEYS[1], 'seq')
if ARGV[3] == '' then return {{epoch, seq, {{}}}} end
return {{epoch, seq, redis.call('xrange', KEYS[2], '(' .. ARGV[3] .. '-0', '+')}}
"""


class Announcer(Protocol):
    """Tells every process's followers of a topic. All methods return at once and are called after the commit."""

    def announce(self, topic: str, data: bytes, type: str = "changed") -> None:
        """In an ephemeral topic: `data` (JSON) gets the next number."""
        ...

    def publish(self, topic: str, epoch: str, event: TopicEvent) -> None:
        """In a durable topic: an event that its module has numbered and keeps, or one that nobody keeps (`seq` None)."""
        ...

    def revoke(self, topic: str, account_id: UUID) -> None:
        """This person may follow the topic no longer, or less of it: sockets ask again."""
        ...


class Ear(Protocol):
    """Hears for a whole process, called on its loop; must not wait."""

    def heard(self, topic: str, epoch: str, seq: int | None, frame: bytes) -> None:
        """`frame` is the event as clients get it. `epoch` is empty and `seq` None for what is not kept."""
        ...

    def revoked(self, topic: str, account_id: UUID) -> None: ...

    def missed(self) -> None:
        """Anything may have happened meanwhile, in any topic."""
        ...


def frame_of(topic: str, epoch: str, event: TopicEvent) -> bytes:
    """An event as clients get it. `topic`, `epoch` and `type` are names without quotes."""
    place = b"" if event.seq is None else b'"epoch":"%s","seq":%d,' % (epoch.encode(), event.seq)
    return b'{"op":"event","topic":"%s",%s"type":"%s","data":%s}' % (topic.encode(), place, event.type.encode(), event.data)


class _Frame(msgspec.Struct):
    data: msgspec.Raw


_decode_frame = msgspec.json.Decoder(_Frame).decode


class Hub:
    """Announces, and brings announcements to those in this process who follow, over one Valkey connection."""

    def __init__(self, valkey_url: str) -> None:
        self._valkey = Valkey.from_url(valkey_url, socket_timeout=None, socket_connect_timeout=1)
        self._announce_script = self._valkey.register_script(_ANNOUNCE)
        self._look_script = self._valkey.register_script(_LOOK)
        self._outgoing: asyncio.Queue[tuple[str, bytes | tuple[str, bytes]]] = asyncio.Queue(PENDING)
        self._listeners: dict[str, set[asyncio.Queue[bytes | None]]] = {}
        self._ears: list[Ear] = []
        self._follows: dict[str, int] = {}
        self._standing: dict[str, asyncio.Event | None] = {}
        """Topics asked for on the present connection; None once Valkey has confirmed."""
        self._line: AbstractConnection | None = None
        self._heard_at = 0.0
        self._tasks: list[asyncio.Task[None]] = []
        self._errands: set[asyncio.Future[None]] = set()
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
        await end([*self._tasks, *self._errands])
        await self._valkey.aclose()

    # --- telling

    def announce(self, topic: str, data: bytes, type: str = "changed") -> None:
        self._put(topic, (type, data))

    def publish(self, topic: str, epoch: str, event: TopicEvent) -> None:
        place = b" " if event.seq is None else b"%s %d" % (epoch.encode(), event.seq)
        self._put(topic, b"%s%s\n%s" % (_EVENT, place, frame_of(topic, epoch, event)))

    def revoke(self, topic: str, account_id: UUID) -> None:
        self._put(topic, _REVOKED + str(account_id).encode())

    def _put(self, topic: str, what: bytes | tuple[str, bytes]) -> None:
        with contextlib.suppress(asyncio.QueueFull):
            self._outgoing.put_nowait((topic, what))

    async def _send(self) -> None:
        while True:
            batch = [await self._outgoing.get()]
            while len(batch) < BATCH and not self._outgoing.empty():
                batch.append(self._outgoing.get_nowait())
            try:
                async with asyncio.timeout(SEND_S):
                    await self._send_all(batch)
            except (ValkeyError, OSError, TimeoutError) as e:
                log.warning("announcements_unsent", error=type(e).__name__, count=len(batch))
                self._to_ourselves(batch)

    async def _send_all(self, batch: list[tuple[str, bytes | tuple[str, bytes]]]) -> None:
        async with self._valkey.pipeline(transaction=False) as pipe:
            for topic, what in batch:
                if isinstance(what, bytes):
                    pipe.publish(CHANNEL + topic, what)
                else:
                    kind, data = what
                    arguments = [uuid4().hex, KEPT_S, kind, data, CHANNEL + topic, topic]
                    await self._announce_script(keys=_keys(topic), args=arguments, client=pipe)
            await pipe.execute(raise_on_error=True)

    def _to_ourselves(self, batch: list[tuple[str, bytes | tuple[str, bytes]]]) -> None:
        """Valkey does not answer: those in this process at least hear of it."""
        for topic, what in batch:
            if isinstance(what, bytes):
                self._take(topic, what)
            else:
                self._hand(topic, None)

    # --- ephemeral topics

    async def look(self, topic: str, since: Position | None = None) -> tuple[Position, list[TopicEvent] | None]:
        """Where an ephemeral topic is, and what happened after `since`; None when that cannot be said any more.

        Raises ValkeyError, OSError, TimeoutError.
        """
        known = since if since is not None and since.seq >= 0 else None
        async with asyncio.timeout(SEND_S):
            found: Any = await self._look_script(
                keys=_keys(topic), args=[uuid4().hex, KEPT_S, "" if known is None else str(known.seq)]
            )
        position = Position(found[0].decode(), int(found[1]))
        if known is None or known.epoch != position.epoch:
            return position, None
        events = [_stored(identifier, fields) for identifier, fields in found[2]]
        return position, events if len(events) == position.seq - known.seq else None

    async def heads(self, topics: list[str]) -> list[Head]:
        """Where these ephemeral topics are. Raises as `look` does."""
        async with asyncio.timeout(SEND_S), self._valkey.pipeline(transaction=False) as pipe:
            for topic in topics:
                await self._look_script(keys=_keys(topic), args=[uuid4().hex, KEPT_S, ""], client=pipe)
            found: list[Any] = await pipe.execute(raise_on_error=True)
        return [Head(topic, Position(f[0].decode(), int(f[1]))) for topic, f in zip(topics, found, strict=True)]

    # --- following

    def attach(self, ear: Ear) -> None:
        self._ears.append(ear)

    def detach(self, ear: Ear) -> None:
        self._ears.remove(ear)

    async def follow(self, topic: str) -> bool:
        """From now on this process hears `topic`; True once nothing announced later can be missed. Goes with one `leave`.

        False when Valkey does not answer: then `missed` is called when it is back.
        """
        self._follows[topic] = self._follows.get(topic, 0) + 1
        if topic not in self._standing:
            self._standing[topic] = asyncio.Event()
            await self._say("SUBSCRIBE", CHANNEL + topic)
        standing = self._standing.get(topic)
        if standing is None:
            return True
        try:
            async with asyncio.timeout(SUBSCRIBED_S):
                await standing.wait()
        except TimeoutError:
            return False
        return True

    def leave(self, topic: str) -> None:
        left = self._follows[topic] - 1
        if left:
            self._follows[topic] = left
            return
        del self._follows[topic]
        self._standing.pop(topic, None)
        errand = asyncio.ensure_future(self._give_up(topic))
        self._errands.add(errand)
        errand.add_done_callback(self._errands.discard)

    async def _give_up(self, topic: str) -> None:
        if topic not in self._follows:
            await self._say("UNSUBSCRIBE", CHANNEL + topic)

    async def listen(self, topic: str) -> AsyncIterator[bytes | None]:
        """What is announced in `topic`, without its frame; None means: some may have been lost, look at everything again."""
        queue: asyncio.Queue[bytes | None] = asyncio.Queue(QUEUE)
        self._listeners.setdefault(topic, set()).add(queue)
        try:
            await self.follow(topic)
            while not self._closing:
                data = await queue.get()
                if self._closing:
                    return
                yield data
        finally:
            self.leave(topic)
            queues = self._listeners[topic]
            queues.discard(queue)
            if not queues:
                del self._listeners[topic]

    @property
    def listeners(self) -> int:
        return sum(len(queues) for queues in self._listeners.values())

    # --- the line

    async def _say(self, *words: str) -> None:
        line = self._line
        if line is None:
            return
        try:
            await line.send_packed_command(line.pack_command(*words), check_health=False)
        except (ValkeyError, OSError):
            # The reader of the line finds out too, and asks for everything again on a new one.
            return

    async def _receive(self) -> None:
        while True:
            try:
                await self._converse()
            except (ValkeyError, OSError, TimeoutError) as e:
                log.warning("live_connection_lost", error=type(e).__name__)
            await asyncio.sleep(0.1 + random.random() * 0.4)

    async def _converse(self) -> None:
        line: AbstractConnection = self._valkey.connection_pool.make_connection()
        try:
            await line.connect()
            # A channel of our own keeps the line in the mode in which it may be pinged.
            names = [CHANNEL, *(CHANNEL + topic for topic in self._follows)]
            self._standing = {topic: self._standing.get(topic) or asyncio.Event() for topic in self._follows}
            self._line = line
            self._heard_at = time.monotonic()
            await line.send_packed_command(line.pack_command("SUBSCRIBE", *names), check_health=False)
            async with asyncio.timeout(SILENCE_S):
                for _ in names:
                    self._answered(await line.read_response(disable_decoding=True))
            self._everyone()
            reading = asyncio.ensure_future(self._read(line))
            minding = asyncio.ensure_future(self._mind(line))
            try:
                await asyncio.wait({reading, minding}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                reading.cancel()
                minding.cancel()
                ended = await asyncio.gather(reading, minding, return_exceptions=True)
            for end in ended:
                if isinstance(end, Exception):
                    raise end
        finally:
            self._line = None
            self._standing = {topic: standing for topic, standing in self._standing.items() if standing is not None}
            await line.disconnect(nowait=True)

    async def _read(self, line: AbstractConnection) -> None:
        while True:
            self._answered(await line.read_response(disable_decoding=True))

    async def _mind(self, line: AbstractConnection) -> None:
        """A line that was cut without a word is found dead by its silence."""
        while True:
            await asyncio.sleep(PING_S)
            if time.monotonic() - self._heard_at > SILENCE_S:
                raise TimeoutError
            await line.send_packed_command(line.pack_command("PING"), check_health=False)

    def _answered(self, answer: Any) -> None:
        self._heard_at = time.monotonic()
        match answer:
            case [b"message", channel, payload]:
                self._take(channel[len(CHANNEL) :].decode(), payload)
            case [b"subscribe", channel, _]:
                topic = channel[len(CHANNEL) :].decode()
                standing = self._standing.get(topic)
                if standing is not None:
                    standing.set()
                    self._standing[topic] = None
            case _:
                return

    def _take(self, topic: str, payload: bytes) -> None:
        if payload[:1] == _REVOKED:
            account_id = UUID(payload[1:].decode())
            for ear in self._ears:
                ear.revoked(topic, account_id)
            return
        head, _, frame = payload[1:].partition(b"\n")
        epoch, _, number = head.decode().partition(" ")
        for ear in self._ears:
            ear.heard(topic, epoch, int(number) if number else None, frame)
        if topic in self._listeners:
            self._hand(topic, bytes(_decode_frame(frame).data))

    def _everyone(self) -> None:
        """After a gap: every listener looks again."""
        for topic in list(self._listeners):
            self._hand(topic, None)
        for ear in self._ears:
            ear.missed()

    def _hand(self, topic: str, data: bytes | None) -> None:
        for queue in self._listeners.get(topic, ()):
            _tell(queue, data)


async def end(tasks: Iterable[asyncio.Future[None]]) -> None:
    """Cancels until they have ended: a cancellation that meets an answer in `wait_for` is lost (Python 3.11)."""
    left = {task for task in tasks if not task.done()}
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=0.5)


def _keys(topic: str) -> list[str]:
    return [f"forecourt:passing:{{{topic}}}", f"forecourt:passing:{{{topic}}}:log"]


def _stored(identifier: bytes, fields: list[bytes]) -> TopicEvent:
    named = dict(zip(fields[::2], fields[1::2], strict=True))
    return TopicEvent(int(identifier.partition(b"-")[0]), named[b"type"].decode(), named[b"data"])


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
