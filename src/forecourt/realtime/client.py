"""One socket: its frames in, its queue out, its limits."""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING
from uuid import UUID

import structlog
from picows import WSFrame, WSListener, WSMsgType, WSTransport

from forecourt.kernel.http.gate import Pass
from forecourt.realtime.frames import MAX_FRAME_BYTES, Close

if TYPE_CHECKING:
    from forecourt.realtime.channel import Channel
    from forecourt.realtime.server import Realtime

log = structlog.get_logger("forecourt.realtime")

MAX_BACKLOG_BYTES = 1024 * 1024
"""What waits in this process for a client that does not read; beyond, the socket is closed."""
BURST = 200
RATE_PER_S = 50.0
"""Frames a client may send: so many at once, and so many a second for as long as it likes."""
MAX_TOPICS = 200
"""What one client may follow."""
MAX_WAITING = BURST + MAX_TOPICS
"""A client's frames that wait for those before them: who comes back with every topic, and more to send, is let in."""
TYPING_S = 2.0
"""Of who writes in a topic, others are told once in so long; more is passed over."""
LINGER_S = 5.0
"""How long a closed socket may take to read what it was sent."""

_write = os.write
_TEXT, _BINARY, _CONTINUATION = WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.CONTINUATION
_PING, _PONG, _CLOSE = WSMsgType.PING, WSMsgType.PONG, WSMsgType.CLOSE


def write_all(frames: bytes, clients: Iterable[Client]) -> None:
    """Whole frames, the same to each, now; who is told something else in this turn gets them after it.

    One loop without calls of our own: of what a delivery costs outside the kernel, they are half.
    """
    write, size = _write, len(frames)
    for client in clients:
        if client.fd < 0 or client.out:
            client.queue(frames)
            continue
        try:
            sent = write(client.fd, frames)
        except OSError:
            sent = 0
        if sent < size:
            client.hand_over(frames[sent:])


class Credentials:
    """What a handshake brought to say who it is."""

    __slots__ = ("cookie", "token")

    def __init__(self, token: str = "", cookie: str = "") -> None:
        self.token = token
        self.cookie = cookie


class Client(WSListener):
    """picows calls `on_ws_…`; everything happens on the loop of the process."""

    __slots__ = (
        "_partial",
        "_refilled_at",
        "_server",
        "_tokens",
        "_transport",
        "_typed",
        "_waiting",
        "_wire",
        "_working",
        "account_id",
        "address",
        "channels",
        "closing",
        "credentials",
        "fd",
        "heard_at",
        "held",
        "id",
        "opened_at",
        "out",
        "pinged",
    )

    def __init__(self, server: Realtime, number: int, credentials: Credentials, address: str) -> None:
        self.id = number
        self.address = address
        self.credentials: Credentials | None = credentials
        self.account_id: UUID | None = None
        self.held: Pass | None = None
        self.channels: dict[str, Channel] = {}
        """What this client follows, by canonical name."""
        self.closing = False
        self.opened_at = self.heard_at = time.monotonic()
        self.pinged = False
        self._server = server
        self._transport: WSTransport | None = None
        self._wire: asyncio.Transport | None = None
        self.fd = -1
        """Where what comes next may be written at once; -1 while something waits before it, or nothing may follow."""
        self.out = b""
        """What this turn of the loop has for the client."""
        self._waiting: deque[bytes] | None = None
        self._working = False
        self._partial: bytearray | None = None
        self._typed: dict[str, float] = {}
        self._tokens = float(BURST)
        self._refilled_at = self.opened_at

    # --- out

    def queue(self, frames: bytes) -> None:
        """Whole frames, written at the end of this turn of the loop together with what else it has for this client."""
        if self.closing:
            return
        if self.out:
            self.out += frames
        else:
            self._server.dirty(self)
            self.out = frames

    def flush(self) -> None:
        frames, self.out = self.out, b""
        if not frames:
            return
        try:
            # Straight to the kernel while nothing waits before it: half the cost of a write through the loop's transport.
            sent = _write(self.fd, frames) if self.fd >= 0 else 0
        except OSError:
            sent = 0  # full, or broken: the transport finds out which
        if sent < len(frames):
            self.hand_over(frames[sent:])

    def hand_over(self, frames: bytes) -> None:
        """What the kernel does not take now waits in the transport."""
        wire = self._wire
        if wire is None:
            return
        wire.write(frames)
        if wire.get_write_buffer_size() > MAX_BACKLOG_BYTES:
            self.close(Close.TOO_SLOW)

    def ping(self) -> None:
        if self._transport is not None and not self.closing:
            self.pinged = True
            self._transport.send_ping()

    def close(self, code: Close, *, last: bytes = b"") -> None:
        """Says why, after what was queued; whoever does not read it within `LINGER_S` is cut off."""
        if self.closing:
            return
        if last:
            self.queue(last)
        if self.out:
            self.closing = True  # before the flush, which may find the backlog too large
            self.flush()
        self._end()
        self._waiting = None
        self._server.closed_with(code)
        transport = self._transport
        if transport is None:
            return
        transport.send_close(code, code.name.lower())  # pyright: ignore[reportArgumentType] - any code may be sent
        asyncio.get_running_loop().call_later(LINGER_S, self.cut)

    def cut(self) -> None:
        if self._transport is not None:
            self._end()
            self._transport.disconnect(graceful=False)

    def _end(self) -> None:
        """Nothing more is written from here."""
        self.closing = True
        self.fd = -1

    # --- in

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport
        self._wire = wire = transport.underlying_transport
        # From now on the transport says whenever anything waits in it. Asking it before each write would cost as much as a tenth
        # of the write.
        wire.set_write_buffer_limits(0)
        if not wire.get_write_buffer_size():
            self.resume_writing()
        self._server.opened(self)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self._end()
        self._transport = self._wire = None
        self._waiting = None
        self.out = b""
        self._server.gone(self)

    def pause_writing(self) -> None:
        """Something waits in the transport: what comes next goes there too. The bound is the backlog itself."""
        self.fd = -1

    def resume_writing(self) -> None:
        if self._wire is not None and not self.closing:
            self.fd = self._wire.get_extra_info("socket").fileno()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        self.heard_at = time.monotonic()
        self.pinged = False
        kind = frame.msg_type
        if kind == _CLOSE:
            if not self.closing:
                self._end()
                transport.send_close(frame.get_close_code())
            transport.disconnect()
            return
        if self.closing or kind == _PONG:
            return
        if frame.rsv1 or frame.rsv2 or frame.rsv3:
            # An extension, such as compression, that was not agreed on (RFC 6455, 5.2).
            self.close_wire(1002)
            return
        if not self._afford():
            self.close(Close.TOO_FAST)
            return
        if kind == _PING:
            transport.send_pong(frame.get_payload_as_bytes())
            return
        message = self._whole(frame)
        if message is not None:
            self._take(message)

    def _afford(self) -> bool:
        now = self.heard_at
        self._tokens = min(BURST, self._tokens + (now - self._refilled_at) * RATE_PER_S) - 1
        self._refilled_at = now
        return self._tokens >= 0

    def _whole(self, frame: WSFrame) -> bytes | None:
        """The message that this frame completes."""
        if frame.fin and self._partial is None and frame.msg_type != _CONTINUATION:
            return frame.get_payload_as_bytes()
        if (self._partial is None) == (frame.msg_type == _CONTINUATION):
            # A continuation of nothing, or a new message inside another (RFC 6455, 5.4).
            self.close_wire(1002)
            return None
        if self._partial is None:
            self._partial = bytearray()
        self._partial += frame.get_payload_as_bytes()
        if len(self._partial) > MAX_FRAME_BYTES:
            self.close(Close.TOO_LARGE)
            return None
        if not frame.fin:
            return None
        message, self._partial = bytes(self._partial), None
        return message

    def close_wire(self, code: int) -> None:
        """For faults of the WebSocket protocol itself."""
        self._end()
        if self._transport is not None:
            self._transport.send_close(code)  # pyright: ignore[reportArgumentType]
            asyncio.get_running_loop().call_later(LINGER_S, self.cut)

    def _take(self, message: bytes) -> None:
        if self._working or self.held is None:
            if self._waiting is None:
                self._waiting = deque()
            if len(self._waiting) >= MAX_WAITING:
                self.close(Close.TOO_FAST)
                return
            self._waiting.append(message)
            if self.held is None:
                self._server.unknown_said(self, message)
            return
        self._server.said(self, message)

    def types(self, topic: str, now: float) -> bool:
        """Whether it is worth saying, at a monotonic time, that the client writes in `topic`."""
        last = self._typed.get(topic)
        if last is not None and now - last < TYPING_S:
            return False
        if last is None and len(self._typed) >= MAX_TOPICS:
            self._typed.clear()
        self._typed[topic] = now
        return True

    # One frame at a time, in the order in which they came.

    def begin(self) -> None:
        self._working = True

    def done(self) -> bytes | None:
        """The frame that waited longest; None when the client can rest."""
        if self._waiting:
            return self._waiting.popleft()
        self._waiting = None
        self._working = False
        return None

    # --- what picows has to say: it calls what it was given as its logger

    def isEnabledFor(self, _level: int) -> bool:  # noqa: N802 - the name that logging has
        return False

    def error(self, _message: str, *arguments: object) -> None:
        """picows refuses a frame. It would say 1009 for what is too large; our code goes first, and is the only one sent."""
        reason = arguments[0] if arguments else None
        if isinstance(reason, tuple) and reason and reason[0] == 1009:
            self.close(Close.TOO_LARGE)

    def exception(self, message: str, *_arguments: object) -> None:
        log.exception("socket_fault", what=message)

    def info(self, _message: str, *_arguments: object) -> None:
        """Comings and goings are counted, not logged."""

    debug = warning = log = info
