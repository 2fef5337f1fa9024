"""The socket: follow topics, send, and never lose a word. One connection that comes back by itself.

    async with house.socket() as socket:
        room = await socket.follow(f"room:{room_id}")
        async for happened in room:
            match happened:
                case Reset():                       # nothing known yet, or too much missed: read the state over HTTP
                    messages = await house.chat.messages(room_id)
                case Event(type="message.created", data=data):
                    print(data["message"]["text"])

Numbered events come once each and in order, over as many connections as it takes. The protocol: docs/api/socket.md of the house.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum, StrEnum
from functools import partial
from time import monotonic
from types import TracebackType
from typing import Any
from uuid import uuid4

import msgspec
from msgspec import Struct
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI
from websockets.typing import Subprotocol

from forecourt_client._grant import EARLY_S, Grant
from forecourt_client.errors import ConnectionLost, ForecourtError, NotSignedIn, RateLimited, ServerFault

SUBPROTOCOL = "forecourt.v1"
LEAST_S, MOST_S = 0.25, 15.0
OPEN_S = 15.0
WAITING = 1000
"""Events of a topic that wait to be taken, and messages that wait to be acknowledged, at most."""
MAX_TOPICS = 200
WINDOW, BURST, PER_S = 50, 190, 45.0
"""A house takes 200 frames at once and 50 a second. We stay below, and have so many questions open at a time."""
MAX_FRAME_BYTES = 4 * 1024 * 1024
_AGAIN = frozenset({"unavailable", "rate_limited", "internal", "deadline_exceeded"})
_REFUSALS = 2
"""How often in a row a token may be refused before the socket gives up."""


class Close(IntEnum):
    """Close codes with a meaning for the client."""

    BAD_TOKEN = 4401
    SUSPENDED = 4403
    TOO_MANY = 4409


class Presence(StrEnum):
    ONLINE = "online"
    AWAY = "away"
    DND = "dnd"
    OFFLINE = "offline"


class SocketOver(ForecourtError):
    """The socket ended for good: it was closed, or the account may not connect."""


class TopicGone(ForecourtError):
    """The topic may not be followed, or no longer; it ended, or never was."""

    def __init__(self, topic: str, code: str) -> None:
        super().__init__(f"{topic}: {code}")
        self.topic = topic
        self.code = code


class SendRefused(ForecourtError):
    """The house refused a message. `code` is that of the HTTP operation of the same meaning."""

    def __init__(self, code: str, title: str, detail: str) -> None:
        super().__init__(f"{code}: {detail or title}")
        self.code = code
        self.title = title
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a topic's history. Keep it to go on from there another day."""

    epoch: str
    seq: int


@dataclass(frozen=True, slots=True)
class Event:
    """Something happened. `position` is None for what is not kept: typing, presence."""

    topic: str
    type: str
    data: dict[str, Any]
    position: Position | None


@dataclass(frozen=True, slots=True)
class Reset:
    """Read the state again: nothing is known yet, or what was missed is too old. Events go on after `position`."""

    topic: str
    position: Position


@dataclass(frozen=True, slots=True)
class Ack:
    """What became of a message that was sent: its id and its number in the topic."""

    id: str
    seq: int


# --- frames of the server --------------------------------------------------------------------------------------------


class Subscribed(Struct, tag="subscribed", tag_field="op"):
    topic: str
    epoch: str
    seq: int
    recovered: bool


class Happened(Struct, tag="event", tag_field="op"):
    topic: str
    type: str
    data: dict[str, Any]
    epoch: str = ""
    seq: int | None = None


class WasReset(Struct, tag="reset", tag_field="op"):
    topic: str
    epoch: str
    seq: int


class Unsubscribed(Struct, tag="unsubscribed", tag_field="op"):
    topic: str
    code: str = ""


class Acked(Struct, tag="ack", tag_field="op"):
    client_id: str = ""
    ref: str = ""
    id: str = ""
    seq: int = 0


class Failed(Struct, tag="error", tag_field="op"):
    code: str
    title: str = ""
    ref: str = ""
    topic: str = ""
    client_id: str = ""
    detail: str = ""
    retry_after_s: float = 1.0


class Pong(Struct, tag="pong", tag_field="op"):
    pass


class Authenticated(Struct, tag="authenticated", tag_field="op"):
    expires_in: int


class Bye(Struct, tag="bye", tag_field="op"):
    reconnect_in_ms: int


HEARD = (Subscribed, Happened, WasReset, Unsubscribed, Acked, Failed, Pong, Authenticated, Bye)
Heard = Subscribed | Happened | WasReset | Unsubscribed | Acked | Failed | Pong | Authenticated | Bye
_heard = msgspec.json.Decoder(Heard)
_encode = msgspec.json.Encoder().encode


class Following:
    """One topic, as an async iterator. Ends when it is stopped; raises TopicGone, and SocketOver."""

    def __init__(self, topic: str, since: Position | None, socket: Socket) -> None:
        self.topic = topic
        self.position = since
        """Of the last event that was taken."""
        self._socket = socket
        self._items: deque[Event | Reset] = deque()
        self._changed = asyncio.Event()
        self._ended = False
        self._error: ForecourtError | None = None
        self.received = since
        """Of the last event that came; it may still wait to be taken."""
        self.paused = False
        """Too much waited to be taken: the topic is not followed until there is room, and then from `received` on."""

    def __aiter__(self) -> Following:
        return self

    async def __anext__(self) -> Event | Reset:
        while not self._items:
            if self._ended:
                raise self._error or StopAsyncIteration
            self._changed.clear()
            await self._changed.wait()
        taken = self._items.popleft()
        if taken.position is not None:
            self.position = taken.position
        if self.paused and len(self._items) <= WAITING // 2:
            self.paused = False
            await self._socket.resume(self)
        return taken

    async def stop(self) -> None:
        """Follows no longer."""
        await self._socket.unfollow(self)

    @property
    def full(self) -> bool:
        return len(self._items) >= WAITING

    def put(self, what: Event | Reset) -> None:
        if what.position is not None:
            self.received = what.position
        self._items.append(what)
        self._changed.set()

    def end(self, error: ForecourtError | None) -> None:
        """What came before the end is still to be taken."""
        if not self._ended:
            self._ended, self._error = True, error
            self._changed.set()


class Pace:
    """How fast frames are said: `BURST` at once, then `PER_S` a second."""

    def __init__(self) -> None:
        self._left, self._at = float(BURST), monotonic()

    def spend(self) -> None:
        self._left -= 1

    def pause_s(self) -> float:
        """How long until the next frame may be said; 0 for now."""
        now = monotonic()
        self._left, self._at = min(float(BURST), self._left + (now - self._at) * PER_S), now
        return max(0.0, (1 - self._left) / PER_S)


def _topic(name: str) -> str:
    return f"topic {name}"


def _message(client_id: str) -> str:
    return f"message {client_id}"


class Socket:
    """One connection to a house. Made by `AsyncForecourt.socket()`, used as `async with`."""

    def __init__(self, url: str, current: Callable[..., Awaitable[Grant | None]]) -> None:
        self._url = url
        self._current = current
        self._topics: dict[str, Following] = {}
        self._sends: dict[str, tuple[dict[str, object], asyncio.Future[Ack]]] = {}
        self._connection: ClientConnection | None = None
        self._line: dict[str, dict[str, object]] = {}
        self._asked: set[str] = set()
        self._moved = asyncio.Event()
        self._pace = Pace()
        self._presence: Presence | None = None
        self._running: asyncio.Task[None] | None = None
        self._aside: set[asyncio.Task[None]] = set()
        self._over: ForecourtError | None = None
        self._wait_s: float | None = None
        self._failures = 0
        self._refusals = 0
        self.connections = 0
        """How many were opened so far."""

    async def __aenter__(self) -> Socket:
        self._running = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends the connection, every topic, and what was not acknowledged yet."""
        if self._running is not None:
            self._running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._running
        self._end(SocketOver("the socket was closed"))

    # --- what a program says

    async def follow(self, topic: str, since: Position | None = None) -> Following:
        """Follows a topic from `since` on; without it, from a Reset on. Raises SocketOver; ValueError if it is followed."""
        self._usable()
        if topic in self._topics:
            raise ValueError(f"{topic} is followed already")
        if len(self._topics) >= MAX_TOPICS:
            raise ValueError(f"a socket follows {MAX_TOPICS} topics")
        following = self._topics[topic] = Following(topic, since, self)
        self._subscribe(following)
        return following

    async def send(self, topic: str, *, client_id: str | None = None, **fields: object) -> Ack:
        """Sends a message until it is acknowledged; the house makes one of it, however often it is sent.

        `fields` are those of the HTTP operation: `text`, `reply_to`, … Raises SendRefused, SocketOver.
        """
        self._usable()
        if len(self._sends) >= WAITING:
            raise SocketOver("too many messages wait to be sent")
        name = client_id or str(uuid4())
        frame: dict[str, object] = {**fields, "op": "send", "topic": topic, "client_id": name}
        done: asyncio.Future[Ack] = asyncio.get_running_loop().create_future()
        self._sends[name] = (frame, done)
        try:
            self._ask(_message(name), frame)
            return await done
        finally:
            self._sends.pop(name, None)
            self._line.pop(_message(name), None)

    async def typing(self, topic: str) -> None:
        """The person is writing."""
        await self._say({"op": "typing", "topic": topic})

    async def read(self, topic: str, seq: int) -> None:
        """How far the person has read."""
        await self._say({"op": "read", "topic": topic, "seq": seq})

    async def presence(self, state: Presence) -> None:
        """What the person wants to be seen as. Said again after each reconnection."""
        self._presence = state
        await self._say({"op": "presence", "state": state})

    def _usable(self) -> None:
        if self._over is not None:
            raise self._over
        if self._running is None:
            raise SocketOver("use it as `async with house.socket() as socket`")

    async def unfollow(self, following: Following) -> None:
        """Following.stop() in one word."""
        if self._topics.get(following.topic) is following:
            del self._topics[following.topic]
            following.end(None)
            self._line.pop(_topic(following.topic), None)
            await self._say({"op": "unsubscribe", "topic": following.topic})

    async def resume(self, following: Following) -> None:
        """There is room for events of a topic again."""
        if self._topics.get(following.topic) is following:
            self._subscribe(following)

    # --- the connection

    async def _run(self) -> None:
        """Connects, listens, and comes back, until the account may not."""
        refused: Grant | None = None
        while True:
            code: int | None = None
            grant: Grant | None = None
            try:
                grant = await self._current(refused=refused)
                if grant is None:
                    raise NotSignedIn("a socket needs a grant: log in first")
                code = await self._session(grant)
            except NotSignedIn as e:
                self._end(e)
                return
            except (OSError, TimeoutError, InvalidHandshake, ConnectionClosed):
                pass  # The house is away; it comes back, or is called again.
            except (ConnectionLost, RateLimited, ServerFault):
                pass  # A token that could not be renewed now may be renewed later.
            except (ForecourtError, InvalidURI) as e:
                self._end(SocketOver(str(e)))
                return
            refused = grant if code == Close.BAD_TOKEN else None
            self._refusals = self._refusals + 1 if refused else 0
            if code == Close.SUSPENDED or self._refusals > _REFUSALS:
                self._end(SocketOver(f"the house closed the socket with {code}"))
                return
            await asyncio.sleep(self._pause(code))

    def _pause(self, code: int | None) -> float:
        if self._wait_s is not None:
            pause, self._wait_s = self._wait_s, None
            return pause
        most = MOST_S if code == Close.TOO_MANY else min(MOST_S, LEAST_S * 2 ** min(self._failures, 10))
        self._failures += 1
        return most * (0.5 + random.random() / 2)

    async def _session(self, grant: Grant) -> int | None:
        """One connection, from its opening to its end. Returns the close code."""
        headers = {"Authorization": f"Bearer {grant.access_token}"}
        async with connect(
            self._url,
            additional_headers=headers,
            subprotocols=[Subprotocol(SUBPROTOCOL)],
            open_timeout=OPEN_S,
            max_size=MAX_FRAME_BYTES,
            compression=None,
        ) as connection:
            self.connections += 1
            self._line.clear()
            self._asked.clear()
            self._pace = Pace()
            aside = [asyncio.create_task(self._renew(connection, grant)), asyncio.create_task(self._advance(connection))]
            try:
                self._connection = connection
                await self._opened()
                async for message in connection:
                    await self._hear(message)
            except ConnectionClosed:
                pass  # Its code says what follows.
            finally:
                self._connection = None
                for task in aside:
                    task.cancel()
            return connection.close_code

    async def _opened(self) -> None:
        if self._presence is not None:
            await self._say({"op": "presence", "state": self._presence})
        for following in list(self._topics.values()):
            if not following.paused:
                self._subscribe(following)
        for name, (frame, _) in self._sends.items():
            self._ask(_message(name), frame)

    async def _renew(self, connection: ClientConnection, grant: Grant) -> None:
        """Says who this is again before each token ends, so that the socket stays open."""
        while True:
            await asyncio.sleep(max(1.0, (grant.expires_at - datetime.now(UTC)).total_seconds() - EARLY_S))
            with contextlib.suppress(ForecourtError, ConnectionClosed):
                fresh = await self._current()
                if fresh is None or fresh is grant:
                    continue
                grant = fresh
                await connection.send(_encode({"op": "auth", "token": fresh.access_token}), text=True)

    async def _say(self, frame: dict[str, object]) -> None:
        """Now, if there is a connection; what matters is said again when there is one."""
        if self._connection is not None:
            self._pace.spend()
            with contextlib.suppress(ConnectionClosed):
                await self._connection.send(_encode(frame), text=True)

    def _ask(self, key: str, frame: dict[str, object]) -> None:
        """Says what is answered, when it is its turn. Without a connection nothing: whoever opens one asks for all of it."""
        if self._connection is not None:
            self._line[key] = frame
            self._moved.set()

    def _answered(self, key: str) -> None:
        self._asked.discard(key)
        self._moved.set()

    async def _advance(self, connection: ClientConnection) -> None:
        """Says what stands in line, for as long as the connection lives."""
        with contextlib.suppress(ConnectionClosed):
            while True:
                self._moved.clear()
                while self._line and len(self._asked) < WINDOW:
                    pause = self._pace.pause_s()
                    if pause:
                        await asyncio.sleep(pause)
                        continue
                    key = next(iter(self._line))
                    frame = self._line.pop(key)
                    self._asked.add(key)
                    self._pace.spend()
                    await connection.send(_encode(frame), text=True)
                await self._moved.wait()

    def _subscribe(self, following: Following) -> None:
        since = following.received
        known = {} if since is None else {"since": {"epoch": since.epoch, "seq": since.seq}}
        self._ask(_topic(following.topic), {"op": "subscribe", "topic": following.topic, **known})

    def _end(self, error: ForecourtError) -> None:
        if self._over is None:
            self._over = error
        for task in self._aside:
            task.cancel()
        for following in self._topics.values():
            following.end(error)
        self._topics.clear()
        for _, done in self._sends.values():
            if not done.done():
                done.set_exception(error)

    # --- what the house says

    async def _hear(self, message: str | bytes) -> None:
        try:
            frame = _heard.decode(message)
        except msgspec.ValidationError:
            return  # A later version's house says more than this client knows.
        await self._take(frame)

    async def _take(self, frame: Heard) -> None:
        self._failures = self._refusals = 0
        # Also typing and reading are refused by the topic's name: only an answer to `subscribe` is about following it.
        asked = isinstance(frame, Failed) and _topic(frame.topic) in self._asked
        if isinstance(frame, Acked) or (isinstance(frame, Failed) and frame.client_id):
            self._answered(_message(frame.client_id))
        elif isinstance(frame, Subscribed | WasReset | Unsubscribed | Failed):
            self._answered(_topic(frame.topic))
        match frame:
            case Happened():
                await self._happened(frame)
            case Subscribed(recovered=False) | WasReset():
                self._reset(frame.topic, Position(frame.epoch, frame.seq))
            case Unsubscribed(code=code) if code:
                self._gone(frame.topic, code)
            case Acked():
                self._acked(frame)
            case Failed():
                self._failed(frame, asked)
            case Bye():
                self._wait_s = frame.reconnect_in_ms / 1000
            case _:
                pass

    async def _happened(self, frame: Happened) -> None:
        following = self._topics.get(frame.topic)
        if following is None or following.paused:
            return
        if following.full:
            following.paused = True
            self._line.pop(_topic(frame.topic), None)
            await self._say({"op": "unsubscribe", "topic": frame.topic})
            return
        if frame.seq is None:
            following.put(Event(frame.topic, frame.type, frame.data, None))
            return
        known = following.received
        if known is not None and known.epoch == frame.epoch:
            if frame.seq <= known.seq:
                return
            if frame.seq > known.seq + 1:  # Cannot happen; if it does, nothing is lost.
                self._subscribe(following)
                return
        following.put(Event(frame.topic, frame.type, frame.data, Position(frame.epoch, frame.seq)))

    def _reset(self, topic: str, position: Position) -> None:
        following = self._topics.get(topic)
        if following is not None:
            following.put(Reset(topic, position))

    def _gone(self, topic: str, code: str) -> None:
        following = self._topics.pop(topic, None)
        if following is not None:
            following.end(TopicGone(topic, code))

    def _acked(self, frame: Acked) -> None:
        sent = self._sends.get(frame.client_id)
        if sent is not None and not sent[1].done():
            sent[1].set_result(Ack(frame.id, frame.seq))

    def _failed(self, frame: Failed, asked: bool) -> None:
        again = frame.code in _AGAIN
        sent = self._sends.get(frame.client_id)
        following = self._topics.get(frame.topic) if asked and frame.ref == frame.topic else None
        if sent is not None and again:
            self._later(frame.retry_after_s, partial(self._resend, frame.client_id))
        elif sent is not None:
            if not sent[1].done():
                sent[1].set_exception(SendRefused(frame.code, frame.title, frame.detail))
        elif following is not None and again:
            self._later(frame.retry_after_s, partial(self.resume, following))
        elif following is not None:
            self._gone(frame.topic, frame.code)

    async def _resend(self, name: str) -> None:
        if name in self._sends:
            self._ask(_message(name), self._sends[name][0])

    def _later(self, pause_s: float, what: Callable[[], Awaitable[None]]) -> None:
        async def wait() -> None:
            await asyncio.sleep(pause_s * (1 + random.random()))
            await what()

        task = asyncio.create_task(wait())
        self._aside.add(task)
        task.add_done_callback(self._aside.discard)
