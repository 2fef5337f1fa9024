"""Topics: what a client may follow on the socket, and who answers for it.

A topic is an address such as `room:<id>`. What happens there is numbered `1, 2, 3, …` within an *epoch*; a client that knows its
last position `(epoch, seq)` gets everything after it, or is told to read the state again. The epoch changes only when numbering
starts anew (a restored database, a wiped Valkey), so that an old position is never taken for a new one.

A module that has topics offers a `TopicSource` in its contract. The realtime server asks it through the switchboard, so the
module may live in another process. What happened is announced after commit with `Announcer.publish` (`kernel/live.py`); an
announcement may be lost, and then the server notices the missing number, or compares `heads`, and reads what is missing.
"""

from __future__ import annotations

import re
from typing import Annotated, Protocol
from uuid import UUID

from msgspec import Meta, Struct

from forecourt.kernel.context import Context
from forecourt.kernel.contracts import idempotent
from forecourt.kernel.errors import Invalid, NotFound

MAX_TOPIC = 120
"""Characters of a topic."""
MAX_CATCH_UP = 500
"""Events sent to one client that comes back; whoever missed more reads the state again."""

_SPELLED = re.compile(r"([a-z]+)(?::([0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12})(:[a-z]+)?)?", re.IGNORECASE | re.ASCII)
TopicName = Annotated[str, Meta(max_length=MAX_TOPIC, pattern=r"^[a-z]+(:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}(:[a-z]+)?)?$")]


def canonical(topic: str) -> str:
    """A topic's one name: lower case, its id with hyphens. Raises NotFound for what is no topic however it is written."""
    spelled = _SPELLED.fullmatch(topic) if len(topic) <= MAX_TOPIC else None
    if spelled is None:
        raise NotFound
    prefix, id, rest = spelled.groups()
    return (prefix if id is None else f"{prefix}:{UUID(id)}{rest or ''}").lower()


def well_written(topic: str) -> str:
    """The topic, when that is its one name: another spelling would be another topic, in which nothing is ever heard.

    Raises Invalid, which says how it is written; NotFound as `canonical`.
    """
    name = canonical(topic)
    if name != topic:
        raise Invalid.field("topic", f"write it {name}")
    return name


class Position(Struct, frozen=True):
    """A place in a topic's history. `seq` is the number of the last event known; 0 before the first."""

    epoch: str
    seq: int


class TopicEvent(Struct, frozen=True):
    """Something that happened in a topic. `data` is JSON, encoded once by whoever announced it.

    `seq` is None for what is not kept: typing, presence. The bytes are JSON also where the rest travels as msgpack.
    """

    seq: int | None
    type: str
    data: bytes


class Subscription(Struct, frozen=True):
    """The answer to a client that asks to follow `topic`.

    `topic` is the canonical name (`inbox` becomes `inbox:<account>`). With `recovered`, `events` are all that happened after the
    position the client knew, ascending and dense; without, the client has to read the state again and goes on from `position`.
    """

    topic: str
    position: Position
    recovered: bool
    events: list[TopicEvent] = []
    presence: bool = False
    """Whether the followers of this topic may see each other come and go."""
    discreet: bool | None = None
    """Whether this person keeps to themselves what followers tell of themselves (how far they have read), and so hears nothing
    of it from others; None where nothing of the kind is told."""


class Head(Struct, frozen=True):
    topic: str
    position: Position


class Ack(Struct, frozen=True):
    """What became of a client's `send`: the message's id and its number in the topic."""

    id: UUID
    seq: int


class TopicSource(Protocol):
    """One module's topics. What the person in `ctx` may not see is NotFound, as if it did not exist."""

    @idempotent
    async def follow(self, ctx: Context, topic: str, since: Position | None) -> Subscription:
        """Lets `ctx.account_id` follow `topic`. Raises NotFound."""
        ...

    @idempotent
    async def heads(self, ctx: Context, topics: list[str]) -> list[Head]:
        """Where these canonical topics (at most 1,000) are now; those that ended are left out. Asked by the server."""
        ...

    @idempotent
    async def after(self, ctx: Context, topic: str, since: Position) -> Subscription:
        """What happened in a canonical topic after `since`. Asked by the server to fill a gap, not by a person."""
        ...

    @idempotent
    async def allowed(self, ctx: Context, topic: str, account_ids: list[UUID]) -> list[UUID]:
        """Which of these accounts (at most 1,000) may still follow the canonical topic. Asked by the server."""
        ...

    @idempotent
    async def discreet(self, ctx: Context, topic: str, account_ids: list[UUID]) -> list[UUID]:
        """Which of these followers (at most 1,000) are discreet (`Subscription.discreet`). Asked by the server, of topics that
        have such followers."""
        ...

    async def perform(self, ctx: Context, topic: str, op: str, body: bytes) -> Ack | None:
        """Does what a client asked on the socket: `send`, `read` or `typing` on `topic`. `body` is the client's frame, JSON.

        Raises Problem as the HTTP operation of the same meaning does; NotFound for an `op` the topic does not know.
        """
        ...
