"""Ephemeral topics as a module offers them: numbered and kept for a short while by Valkey, so that the module keeps nothing.

A module extends `EphemeralTopics`, says who may follow, and tells what happens with `Announcer.announce`. After a wipe of Valkey,
or an hour in which nobody looked, the epoch is another and clients read the state again.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from uuid import UUID

from valkey.exceptions import ValkeyError

from forecourt.kernel.context import Context
from forecourt.kernel.errors import NotFound, Unavailable
from forecourt.kernel.live import Hub
from forecourt.kernel.topics import Ack, Head, Position, Subscription, well_written

_AWAY = (ValkeyError, OSError, TimeoutError)


class EphemeralTopics(ABC):
    """A `TopicSource` but for who may follow."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    @abstractmethod
    async def admit(self, ctx: Context, topic: str) -> None:
        """Raises NotFound when the person in `ctx` may not follow, or there is no such topic."""

    @abstractmethod
    async def allowed(self, ctx: Context, topic: str, account_ids: list[UUID]) -> list[UUID]:
        """As `TopicSource.allowed`."""

    async def follow(self, ctx: Context, topic: str, since: Position | None) -> Subscription:
        await self.admit(ctx, well_written(topic))
        return await self._look(topic, since)

    async def after(self, ctx: Context, topic: str, since: Position) -> Subscription:
        return await self._look(topic, since)

    async def heads(self, ctx: Context, topics: list[str]) -> list[Head]:
        try:
            return await self._hub.heads(topics)
        except _AWAY as e:
            raise Unavailable from e

    async def discreet(self, ctx: Context, topic: str, account_ids: list[UUID]) -> list[UUID]:
        """Followers tell nothing of themselves here."""
        return []

    async def perform(self, ctx: Context, topic: str, op: str, body: bytes) -> Ack | None:
        """Nothing can be done in a topic that only tells."""
        raise NotFound

    async def _look(self, topic: str, since: Position | None) -> Subscription:
        try:
            position, events = await self._hub.look(topic, since)
        except _AWAY as e:
            raise Unavailable from e
        return Subscription(topic, position, events is not None, events or [])
