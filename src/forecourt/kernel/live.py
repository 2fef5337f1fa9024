"""Announcements between processes: what happened in a topic, for whoever follows it now. Through Valkey.

An announcement may be lost. Who follows a topic is told when that may have been so (`missed`, or None from `listen`) and looks
again: at the topic's own numbers (`kernel/topics.py`) or at the page. What must not be lost is an event (`kernel/events.py`).

The number of what is told in an ephemeral topic is Valkey's: while Valkey does not answer there is nothing by which others could
find it missing. So it waits here, and is sent when Valkey is back, perhaps a second time; a topic in which too much waits begins
a new epoch instead, and everybody reads its state again.

There are two kinds of topics. What a *durable* one tells is numbered and kept by its module's database, and announced here with
`publish` after the commit. What an *ephemeral* one tells (free times of a venue) is numbered and kept for a short while by Valkey
itself: `announce`. A process hears only what somebody in it follows.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import deque
from collections.abc import AsyncIterator, Iterable
from typing import Any, Protocol
from uuid import UUID, uuid4

import msgspec
import structlog
from valkey.asyncio import Valkey
from valkey.asyncio.connection import AbstractConnection
from valkey.exceptions import ValkeyError

from forecourt.kernel.clock import JITTER
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
"""Announcements of durable topics that wait for Valkey; beyond, they are dropped and found missing by their numbers. As many of
ephemeral ones; beyond, their topics begin anew."""
PENDING_EACH = 500
"""Announcements that wait in one ephemeral topic; beyond, it begins anew."""
BATCH = 200
SEND_S = 1.0
PING_S = 1.0
SILENCE_S = 3.0
"""A connection that says nothing for so long, pings notwithstanding, is given up."""
SUBSCRIBED_S = 1.0

_EVENT, _REVOKED, _EXCHANGED, _CONFIDED, _TURNED = b"E", b"R", b"X", b"C", b"T"
_KEY = "forecourt:passing:{{{}}}"
_TOPIC_OF = re.compile(rb"forecourt:passing:\{(.+)\}")

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
_BEGIN_ANEW = """
redis.call('del', KEYS[1], KEYS[2])
redis.call('hset', KEYS[1], 'epoch', ARGV[1], 'seq', 0)
redis.call('expire', KEYS[1], ARGV[2])
redis.call('publish', ARGV[3], 'E' .. ARGV[1] .. ' 0\\n{"op":"event","topic":"' .. ARGV[4] .. '","epoch":"' .. ARGV[1]
  .. '","seq":0,"type":"begun","data":null}')
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

    def exchange(self, topic: str, account_id: UUID, event: TopicEvent) -> None:
        """In a durable topic: something that this person tells of themselves and nobody keeps (`seq` None). It reaches their own
        sockets, and those of others who are not discreet (`Subscription.discreet`)."""
        ...

    def confide(self, topic: str, account_id: UUID, event: TopicEvent) -> None:
        """As `exchange`, to the person's own sockets alone."""
        ...

    def turn(self, topic: str, account_id: UUID, *, discreet: bool) -> None:
        """From now on this follower is discreet, or no longer."""
        ...


class Ear(Protocol):
    """Hears for a whole process, called on its loop; must not wait."""

    def heard(self, topic: str, epoch: str, seq: int | None, frame: bytes) -> None:
        """`frame` is the event as clients get it. `epoch` is empty and `seq` None for what is not kept."""
        ...

    def revoked(self, topic: str, account_id: UUID) -> None: ...

    def exchanged(self, topic: str, account_id: UUID, frame: bytes) -> None: ...

    def confided(self, topic: str, account_id: UUID, frame: bytes) -> None: ...

    def turned(self, topic: str, account_id: UUID, *, discreet: bool) -> None: ...

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

_Said = tuple[str, bytes]
"""Type and data of an announcement in an ephemeral topic."""


class _Outbox:
    """What waits for Valkey: announcements of durable topics in their order, and those of ephemeral ones by topic."""

    def __init__(self) -> None:
        self._numbered: deque[tuple[str, bytes]] = deque()
        self._passing: dict[str, list[_Said] | None] = {}
        """None: too many waited, the topic begins anew."""
        self._waiting = 0
        """Announcements in `_passing`."""
        self._stirred = asyncio.Event()
        self.overflown = False
        """More topics would begin anew than can be remembered: all do."""

    def put(self, topic: str, payload: bytes) -> None:
        if len(self._numbered) < PENDING:
            self._numbered.append((topic, payload))
            self._stirred.set()

    def keep(self, topic: str, said: _Said) -> None:
        waiting = self._passing.setdefault(topic, [])
        if waiting is not None and len(waiting) < PENDING_EACH and self._waiting < PENDING:
            waiting.append(said)
            self._waiting += 1
        else:
            self.begin_anew(topic)
        self._stirred.set()

    def begin_anew(self, topic: str) -> None:
        self._waiting -= len(self._passing.get(topic) or ())
        self._passing[topic] = None
        if len(self._passing) > 2 * PENDING:
            self._passing.clear()
            self._waiting = 0
            self.overflown = True
        self._stirred.set()

    async def take(self) -> list[tuple[str, bytes | _Said | None]]:
        """The next to be sent, once there is something; None for a topic that begins anew."""
        await self._stirred.wait()
        batch: list[tuple[str, bytes | _Said | None]] = []
        while self._numbered and len(batch) < BATCH:
            batch.append(self._numbered.popleft())
        until = len(batch) + BATCH
        while self._passing and len(batch) < until:
            topic = next(iter(self._passing))
            said = self._passing.pop(topic)
            self._waiting -= len(said or ())
            batch += [(topic, None)] if said is None else [(topic, one) for one in said]
        if not self._numbered and not self._passing:
            self._stirred.clear()
        return batch

    def give_back(self, unsent: Iterable[tuple[str, bytes | _Said | None]]) -> None:
        """What was taken and not sent comes before what was announced since; durable topics do without."""
        newer, self._passing, self._waiting = self._passing, {}, 0
        for topic, what in unsent:
            if what is None:
                self.begin_anew(topic)
            elif isinstance(what, tuple):
                self.keep(topic, what)
        for topic, waiting in newer.items():
            if waiting is None:
                self.begin_anew(topic)
            for said in waiting or ():
                self.keep(topic, said)
        if self.overflown:
            self._stirred.set()

    @property
    def passing(self) -> list[str]:
        """Ephemeral topics of which something waits."""
        return list(self._passing)


class Hub:
    """Announces, and brings announcements to those in this process who follow, over one Valkey connection."""

    def __init__(self, valkey_url: str) -> None:
        self._valkey = Valkey.from_url(valkey_url, socket_timeout=None, socket_connect_timeout=1)
        self._announce_script = self._valkey.register_script(_ANNOUNCE)
        self._anew_script = self._valkey.register_script(_BEGIN_ANEW)
        self._look_script = self._valkey.register_script(_LOOK)
        self._outbox = _Outbox()
        self._away = False
        """Valkey did not take what was last sent."""
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
        self._outbox.keep(topic, (type, data))
        if self._away:
            self._hand(topic, None)

    def publish(self, topic: str, epoch: str, event: TopicEvent) -> None:
        place = b" " if event.seq is None else b"%s %d" % (epoch.encode(), event.seq)
        self._outbox.put(topic, b"%s%s\n%s" % (_EVENT, place, frame_of(topic, epoch, event)))

    def revoke(self, topic: str, account_id: UUID) -> None:
        self._outbox.put(topic, _REVOKED + str(account_id).encode())

    def exchange(self, topic: str, account_id: UUID, event: TopicEvent) -> None:
        self._outbox.put(topic, b"%s%s\n%s" % (_EXCHANGED, str(account_id).encode(), frame_of(topic, "", event)))

    def confide(self, topic: str, account_id: UUID, event: TopicEvent) -> None:
        self._outbox.put(topic, b"%s%s\n%s" % (_CONFIDED, str(account_id).encode(), frame_of(topic, "", event)))

    def turn(self, topic: str, account_id: UUID, *, discreet: bool) -> None:
        self._outbox.put(topic, b"%s%s\n%d" % (_TURNED, str(account_id).encode(), discreet))

    async def _send(self) -> None:
        while True:
            batch = await self._outbox.take()
            try:
                if self._outbox.overflown:
                    await self._begin_all_anew()
                async with asyncio.timeout(SEND_S):
                    refused = await self._send_all(batch)
            except (ValkeyError, OSError, TimeoutError) as e:
                self._unsent(batch, type(e).__name__)
            else:
                if not refused:
                    self._away = False
                    continue
                # Valkey answers, but takes these not, nor would it if they were said again: full memory, or a key in the way.
                anew: dict[str, None] = dict.fromkeys(topic for topic, what in refused if not isinstance(what, bytes))
                self._unsent([*((t, w) for t, w in refused if isinstance(w, bytes)), *((t, None) for t in anew)], "refused")
            await asyncio.sleep(0.1 + JITTER.random() * 0.4)

    async def _send_all(self, batch: list[tuple[str, bytes | _Said | None]]) -> list[tuple[str, bytes | _Said | None]]:
        """Those of the batch that Valkey refused."""
        async with self._valkey.pipeline(transaction=False) as pipe:
            for topic, what in batch:
                if isinstance(what, bytes):
                    pipe.publish(CHANNEL + topic, what)
                elif what is None:
                    arguments = [uuid4().hex, KEPT_S, CHANNEL + topic, topic]
                    await self._anew_script(keys=_keys(topic), args=arguments, client=pipe)
                else:
                    kind, data = what
                    arguments = [uuid4().hex, KEPT_S, kind, data, CHANNEL + topic, topic]
                    await self._announce_script(keys=_keys(topic), args=arguments, client=pipe)
            answers: list[Any] = await pipe.execute(raise_on_error=False)
        return [one for one, answer in zip(batch, answers, strict=True) if isinstance(answer, Exception)]

    async def _begin_all_anew(self) -> None:
        """Every ephemeral topic that somebody may follow."""
        self._outbox.overflown = False
        cursor = 0
        try:
            while True:
                async with asyncio.timeout(SEND_S):
                    cursor, keys = await self._valkey.scan(cursor, match=_KEY.format("*"), count=1000)
                    topics = {match[1].decode() for key in keys if (match := _TOPIC_OF.fullmatch(key))}
                    self._outbox.give_back(await self._send_all([(topic, None) for topic in topics]))
                if cursor == 0:
                    return
        except BaseException:
            self._outbox.overflown = True
            raise

    def _unsent(self, batch: list[tuple[str, bytes | _Said | None]], why: str) -> None:
        """Valkey does not answer: those in this process at least hear of it. What nobody could find missing waits."""
        log.warning("announcements_unsent", error=why, count=len(batch))
        was_away, self._away = self._away, True
        self._outbox.give_back(batch)
        for topic, what in batch:
            if isinstance(what, bytes):
                self._take(topic, what)
        if not was_away:
            for topic in self._outbox.passing:
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
            await asyncio.sleep(0.1 + JITTER.random() * 0.4)

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
                self._take(channel[len(CHANNEL) :].decode(errors="replace"), payload)
            case [b"subscribe", channel, _]:
                topic = channel[len(CHANNEL) :].decode()
                standing = self._standing.get(topic)
                if standing is not None:
                    standing.set()
                    self._standing[topic] = None
            case _:
                return

    def _take(self, topic: str, payload: bytes) -> None:
        """Passes on what was announced. What cannot be read is passed over: those after it are to be heard."""
        try:
            self._tell_followers(topic, payload)
        except Exception as e:
            log.error("announcement_unreadable", topic=topic, error=type(e).__name__)
            self._hand(topic, None)

    def _tell_followers(self, topic: str, payload: bytes) -> None:
        kind = payload[:1]
        head, _, frame = payload[1:].partition(b"\n")
        if kind != _EVENT:
            self._tell_of(topic, kind, UUID(head.decode()), frame)
            return
        epoch, _, number = head.decode().partition(" ")
        seq = int(number) if number else None
        for ear in self._ears:
            ear.heard(topic, epoch, seq, frame)
        if topic in self._listeners:
            begun = seq == 0
            self._hand(topic, None if begun else bytes(_decode_frame(frame).data))

    def _tell_of(self, topic: str, kind: bytes, account_id: UUID, what: bytes) -> None:
        """Of one person."""
        for ear in self._ears:
            if kind == _REVOKED:
                ear.revoked(topic, account_id)
            elif kind == _EXCHANGED:
                ear.exchanged(topic, account_id, what)
            elif kind == _CONFIDED:
                ear.confided(topic, account_id, what)
            elif kind == _TURNED:
                ear.turned(topic, account_id, discreet=what == b"1")
            else:
                raise ValueError(kind)

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
    key = _KEY.format(topic)
    return [key, f"{key}:log"]


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
