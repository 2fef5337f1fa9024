"""What travels on the socket: JSON in WebSocket text frames."""

from __future__ import annotations

from enum import IntEnum
from uuid import UUID

import msgspec
from msgspec import UNSET, Struct, UnsetType

from forecourt.kernel.errors import Problem
from forecourt.kernel.topics import Ack, Position, Subscription

MAX_FRAME_BYTES = 16 * 1024
"""Of a client's message, fragments together."""
SUBPROTOCOL = "forecourt.v1"


class Close(IntEnum):
    """Why the server closes a socket."""

    GOING = 1012
    """The server restarts: come back after what `bye` said."""
    TRY_LATER = 1013
    """Accounts cannot be checked right now."""
    BAD_TOKEN = 4401
    SUSPENDED = 4403
    IDLE_HANDSHAKE = 4408
    TOO_MANY = 4409
    TOO_LARGE = 4413
    TOO_FAST = 4429
    TOO_SLOW = 4430


class Op(Struct):
    """A client's frame, as far as the server reads it; the topic's module reads the rest."""

    op: str
    topic: str = ""
    since: Position | None = None
    client_id: str = ""
    ref: str = ""
    """Comes back in `error` and `ack`."""
    state: str = ""
    token: str = ""


decode_op = msgspec.json.Decoder(Op).decode
_encode = msgspec.json.Encoder().encode


class Subscribed(Struct, tag="subscribed", tag_field="op"):
    topic: str
    epoch: str
    seq: int
    recovered: bool


class Reset(Struct, tag="reset", tag_field="op"):
    topic: str
    epoch: str
    seq: int


class Unsubscribed(Struct, tag="unsubscribed", tag_field="op"):
    topic: str
    code: str | UnsetType = UNSET
    """Why, when the client did not ask for it: `not_found`."""


class Acked(Struct, tag="ack", tag_field="op"):
    client_id: str | UnsetType = UNSET
    ref: str | UnsetType = UNSET
    id: UUID | UnsetType = UNSET
    seq: int | UnsetType = UNSET


class Failed(Struct, tag="error", tag_field="op"):
    code: str
    title: str
    ref: str | UnsetType = UNSET
    topic: str | UnsetType = UNSET
    client_id: str | UnsetType = UNSET
    detail: str | UnsetType = UNSET
    retry_after_s: float | UnsetType = UNSET


class Bye(Struct, tag="bye", tag_field="op"):
    reconnect_in_ms: int


class Authenticated(Struct, tag="authenticated", tag_field="op"):
    expires_in: int
    """Seconds until the token has to be renewed with `auth`."""


def framed(payload: bytes) -> bytes:
    """A whole text frame from the server: final, unmasked (RFC 6455, 5.2)."""
    length = len(payload)
    if length < 126:
        return b"\x81" + length.to_bytes(1, "big") + payload
    if length < 65536:
        return b"\x81\x7e" + length.to_bytes(2, "big") + payload
    return b"\x81\x7f" + length.to_bytes(8, "big") + payload


PONG = framed(b'{"op":"pong"}')


def say(what: Subscribed | Reset | Unsubscribed | Acked | Failed | Bye | Authenticated) -> bytes:
    return framed(_encode(what))


def subscribed(shown: str, answer: Subscription, position: Position) -> bytes:
    return say(Subscribed(shown, position.epoch, position.seq, answer.recovered))


def acked(op: Op, ack: Ack | None) -> bytes:
    return say(
        Acked(
            client_id=op.client_id or UNSET,
            ref=op.ref or UNSET,
            id=ack.id if ack is not None else UNSET,
            seq=ack.seq if ack is not None else UNSET,
        )
    )


def failed(problem: Problem, op: Op | None) -> bytes:
    """`ref` is what the client gave as `ref`, or the `client_id` of its message, or the topic."""
    retry = problem.headers.get("Retry-After")
    return say(
        Failed(
            code=problem.code,
            title=problem.title,
            ref=(op.ref or op.client_id or op.topic or UNSET) if op is not None else UNSET,
            topic=(op.topic or UNSET) if op is not None else UNSET,
            client_id=(op.client_id or UNSET) if op is not None else UNSET,
            detail=problem.detail or UNSET,
            retry_after_s=float(retry) if retry else UNSET,
        )
    )
