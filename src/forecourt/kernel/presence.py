"""Who is here: `(state, last seen)` of people, as the sockets of all processes together say it. Lives in Valkey only.

The realtime processes write it (`realtime/people.py`); everyone else reads it here. Who may see whose presence is decided by
whoever shows it. A process that dies takes its sockets with it within `DEAD_S` seconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import msgspec
import structlog
from valkey.asyncio import Valkey
from valkey.exceptions import ValkeyError

log = structlog.get_logger("forecourt.presence")

NODES = "forecourt:realtime:nodes"
"""Sorted set: a realtime process → when it last said that it lives, milliseconds of Valkey's clock."""
DEAD_S = 3.0
"""A process that has said nothing for so long is dead."""
SEEN_S = 30 * 86400
"""How long the moment is remembered at which somebody left."""
READ_S = 0.5
MAX_PEOPLE = 1_000


class State(StrEnum):
    """Of several sockets the most present one counts, in this order."""

    OFFLINE = "offline"
    AWAY = "away"
    ONLINE = "online"
    DO_NOT_DISTURB = "dnd"


class Presence(msgspec.Struct, frozen=True):
    """`last_seen` is when the person left; None while they are here, and when nobody knows any more."""

    account_id: UUID
    state: State
    last_seen: datetime | None = None


def here_key(account_id: UUID) -> str:
    """Hash: `s:<node>:<socket>` → state, `t:<node>:<topic>` → topics whose followers are told, `said` → the state told last."""
    return f"forecourt:here:{{{account_id}}}"


def seen_key(account_id: UUID) -> str:
    return f"forecourt:here:{{{account_id}}}:seen"


class Presences:
    """Reads presence. What Valkey cannot say is `offline`, last seen never: nobody's page fails for it."""

    def __init__(self, valkey_url: str) -> None:
        self._valkey = Valkey.from_url(valkey_url, socket_timeout=None, socket_connect_timeout=READ_S)

    async def close(self) -> None:
        await self._valkey.aclose()

    async def of(self, account_ids: Iterable[UUID]) -> dict[UUID, Presence]:
        """The presence of each of these accounts (at most 1,000)."""
        wanted = list(dict.fromkeys(account_ids))[:MAX_PEOPLE]
        found = {account_id: Presence(account_id, State.OFFLINE) for account_id in wanted}
        if not wanted:
            return found
        try:
            async with asyncio.timeout(READ_S):
                answers = await self._ask(wanted)
        except (ValkeyError, OSError, TimeoutError) as e:
            log.warning("presence_unread", error=type(e).__name__)
            return found
        now_ms = int(answers[0][0]) * 1000 + int(answers[0][1]) // 1000
        beats = {node.decode(): beat_ms for node, beat_ms in answers[1]}
        dead = {node for node, beat_ms in beats.items() if now_ms - beat_ms > DEAD_S * 1000}
        for i, account_id in enumerate(wanted):
            found[account_id] = _presence(account_id, answers[2 + 2 * i], answers[3 + 2 * i], beats, dead)
        return found

    async def forget(self, account_id: UUID) -> None:
        """Of somebody who is no more: whether they are here, and when they left. Raises what Valkey raises."""
        async with asyncio.timeout(READ_S):
            await self._valkey.delete(here_key(account_id), seen_key(account_id))

    async def _ask(self, wanted: list[UUID]) -> list[Any]:
        async with self._valkey.pipeline(transaction=False) as pipe:
            pipe.time()
            pipe.zrange(NODES, 0, -1, withscores=True)
            for account_id in wanted:
                pipe.hgetall(here_key(account_id))
                pipe.get(seen_key(account_id))
            return await pipe.execute(raise_on_error=True)


_ORDER = list(State)


def _presence(
    account_id: UUID, fields: dict[bytes, bytes], seen_ms: bytes | None, beats: dict[str, float], dead: set[str]
) -> Presence:
    state = State.OFFLINE
    last_ms = float(seen_ms) if seen_ms is not None else None
    for field, value in fields.items():
        kind, _, rest = field.decode().partition(":")
        if kind != "s":
            continue
        node = rest.partition(":")[0]
        if node in dead:
            last_ms = max(last_ms or 0.0, beats[node])
        else:
            state = max(state, State(value.decode()), key=_ORDER.index)
    if state is not State.OFFLINE or last_ms is None:
        return Presence(account_id, state)
    return Presence(account_id, state, datetime.fromtimestamp(last_ms / 1000, UTC))
