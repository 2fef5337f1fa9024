"""The socket server under measurement: the real one, with the real gate and hub, and a room that keeps its last events in memory.

A room's database is left out on purpose: the peers keep nothing either. Frames a client may send are not limited here.
"""

from __future__ import annotations

import resource
import sys
from collections import deque
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import msgspec
import uvicorn
import uvloop

from forecourt.kernel.clock import SystemClock
from forecourt.kernel.context import Context
from forecourt.kernel.http.gate import Gate
from forecourt.kernel.live import Hub
from forecourt.kernel.metrics import Metrics
from forecourt.kernel.topics import Ack, Head, Position, Subscription, TopicEvent
from forecourt.modules.identity.contract import AccountStatus, KeySet, Revocations
from forecourt.realtime import client
from forecourt.realtime.protocol import Http, socket_door
from forecourt.realtime.server import Realtime


class Text(msgspec.Struct):
    text: str = ""


class Room:
    """Numbers what is said in it. A TopicSource."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._epoch = uuid4().hex
        self._seq = 0
        self._last: deque[TopicEvent] = deque(maxlen=500)

    async def follow(self, ctx: Context, topic: str, since: Position | None) -> Subscription:
        return self._after(topic, since)

    async def after(self, ctx: Context, topic: str, since: Position) -> Subscription:
        return self._after(topic, since)

    def _after(self, topic: str, since: Position | None) -> Subscription:
        here = Position(self._epoch, self._seq)
        if since is None or since.epoch != self._epoch or self._seq - since.seq > len(self._last):
            return Subscription(topic, here, False)
        return Subscription(topic, here, True, [e for e in self._last if e.seq is not None and e.seq > since.seq])

    async def heads(self, ctx: Context, topics: list[str]) -> list[Head]:
        return [Head(topic, Position(self._epoch, self._seq)) for topic in topics]

    async def allowed(self, ctx: Context, topic: str, account_ids: list[UUID]) -> list[UUID]:
        return account_ids

    async def discreet(self, ctx: Context, topic: str, account_ids: list[UUID]) -> list[UUID]:
        return []

    async def perform(self, ctx: Context, topic: str, op: str, body: bytes) -> Ack | None:
        text = msgspec.json.decode(body, type=Text)
        self._seq += 1
        event = TopicEvent(self._seq, "message.created", msgspec.json.encode(text))
        self._last.append(event)
        self._hub.publish(topic, self._epoch, event)
        return Ack(uuid4(), self._seq)


class Accounts:
    """Says which keys sign tokens; nobody is ever suspended."""

    def __init__(self, keys: list[dict[str, str]]) -> None:
        self._keys = keys

    async def key_set(self, ctx: Context) -> KeySet:
        return KeySet(self._keys)

    async def revocations(self, ctx: Context, since: datetime | None) -> Revocations:
        return Revocations(changes=[], sessions=[], as_of=datetime.now(UTC))

    async def status(self, ctx: Context, account_id: UUID) -> AccountStatus:
        return AccountStatus.ACTIVE


async def _never_quiet(account_id: UUID) -> None:
    return None


async def _ready(scope: dict[str, Any], receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


async def main(port: int, valkey_url: str, keys: Path) -> None:
    hub, metrics, clock = Hub(valkey_url), Metrics(), SystemClock()
    gate = Gate(Accounts(msgspec.json.decode(keys.read_bytes())), clock)  # type: ignore[arg-type]
    await hub.start()
    await gate.start()
    realtime = Realtime(hub, gate, {"room": Room(hub)}, _never_quiet, valkey_url, metrics, clock)
    await realtime.start()
    door = socket_door(realtime, f"http://127.0.0.1:{port}", [], [])
    config = uvicorn.Config(
        _ready, port=port, http=Http, ws=door, lifespan="off", log_config=None, backlog=4096, access_log=False
    )  # type: ignore[arg-type]
    await uvicorn.Server(config).serve()
    await realtime.stop()
    await gate.stop()
    await hub.stop()


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    client.BURST, client.RATE_PER_S = 10**9, 1e9  # type: ignore[misc]
    uvloop.run(main(int(sys.argv[1]), sys.argv[2], Path(sys.argv[3])))
