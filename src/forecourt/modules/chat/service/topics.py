"""Rooms as topics of the socket: who follows, what was missed, what clients do there. See `kernel/topics.py`."""

from __future__ import annotations

from typing import Annotated, TypeVar
from uuid import UUID

import msgspec
from msgspec import Meta, Struct

from forecourt.kernel.context import Context
from forecourt.kernel.db import Tx
from forecourt.kernel.errors import FieldError, Invalid, NotFound
from forecourt.kernel.http.dispatch import EmailUnconfirmed
from forecourt.kernel.limits import Limiter
from forecourt.kernel.topics import MAX_CATCH_UP, Ack, Head, Position, Subscription, TopicEvent
from forecourt.modules.chat import queries
from forecourt.modules.chat.contract import MAX_ATTACHMENTS, ClientId, MessageText, Seq
from forecourt.modules.chat.service.base import person, topic_of
from forecourt.modules.chat.service.messages import Messages, NewMessage
from forecourt.modules.chat.service.reading import Reading

S = TypeVar("S", bound=Struct)

MAX_TOPICS = 1_000
PREFIX = "room:"
SENDING, SENT_TO = "600/minute", "/v1/rooms/{id}/messages"
"""What is said on a socket counts with what is posted: one limit for both."""


class Send(Struct, frozen=True):
    """What of a `send` frame is ours."""

    client_id: ClientId
    text: MessageText = ""
    attachment_ids: Annotated[list[UUID], Meta(max_length=MAX_ATTACHMENTS)] = []
    reply_to: UUID | None = None


class ReadFrame(Struct, frozen=True):
    seq: Seq


class Topics(Messages, Reading):
    limiter: Limiter

    async def follow(self, ctx: Context, topic: str, since: Position | None) -> Subscription:
        room_id = room_of(topic)
        async with self.seen(ctx, room_id) as (tx, _, part):
            if part.role is None:
                raise NotFound
            missed = await self._missed(tx, room_id, since)
            shows = (await queries.setting(tx, person(ctx))).receipts
            return msgspec.structs.replace(missed, discreet=not shows)

    async def after(self, ctx: Context, topic: str, since: Position) -> Subscription:
        room_id = room_of(topic)
        async with self.db.read(ctx.within(None)) as tx:
            await queries.open_as_the_house(tx, room_id)
            return await self._missed(tx, room_id, since)

    async def _missed(self, tx: Tx, room_id: UUID, since: Position | None) -> Subscription:
        """Everything after `since`, or that it cannot be told. Raises NotFound."""
        now = await queries.position(tx, room_id)
        topic, place = topic_of(room_id), Position(str(now.epoch), now.last_seq)
        if since is None or since.epoch != place.epoch or not now.last_seq - MAX_CATCH_UP <= since.seq <= now.last_seq:
            return Subscription(topic, place, recovered=False, presence=True)
        rows = await queries.events(tx, room_id, since.seq, MAX_CATCH_UP + 1)
        # A message may have come since the position was read; then it is among them.
        last = rows[-1].seq if rows else since.seq
        if last < now.last_seq or len(rows) != last - since.seq or len(rows) > MAX_CATCH_UP:
            return Subscription(topic, place, recovered=False, presence=True)
        events = [TopicEvent(row.seq, row.type, row.data.encode()) for row in rows]
        return Subscription(topic, Position(place.epoch, last), recovered=True, events=events, presence=True)

    async def heads(self, ctx: Context, topics: list[str]) -> list[Head]:
        rooms = [room_id for topic in topics[:MAX_TOPICS] if (room_id := maybe_room_of(topic)) is not None]
        async with self.db.read(ctx.within(None)) as tx:
            rows = await queries.heads(tx, rooms)
        return [Head(topic_of(row.room_id), Position(str(row.epoch), row.last_seq)) for row in rows]

    async def allowed(self, ctx: Context, topic: str, account_ids: list[UUID]) -> list[UUID]:
        room_id = maybe_room_of(topic)
        if room_id is None:
            return []
        async with self.db.read(ctx.within(None)) as tx:
            await queries.open_as_the_house(tx, room_id)
            return await queries.those_who_are_members(tx, room_id, account_ids[:MAX_TOPICS])

    async def discreet(self, ctx: Context, topic: str, account_ids: list[UUID]) -> list[UUID]:
        """Those who show no receipts."""
        room_id = maybe_room_of(topic)
        if room_id is None:
            return []
        async with self.db.read(ctx.within(None)) as tx:
            await queries.open_as_the_house(tx, room_id)
            return await queries.discreet(tx, room_id, account_ids[:MAX_TOPICS])

    async def perform(self, ctx: Context, topic: str, op: str, body: bytes) -> Ack | None:
        room_id = room_of(topic)
        match op:
            case "send":
                if not ctx.actor.confirmed:
                    raise EmailUnconfirmed
                wish = _decoded(body, Send)
                await self.limiter.hit(SENDING, SENT_TO, person(ctx))
                new = NewMessage(wish.client_id, wish.text, wish.attachment_ids, wish.reply_to)
                message = await self.send(ctx, room_id, new)
                return Ack(message.id, message.seq)
            case "read":
                await self.read(ctx, room_id, _decoded(body, ReadFrame).seq)
            case "typing":
                await self.typing(ctx, room_id)
            case _:
                raise NotFound
        return None


def maybe_room_of(topic: str) -> UUID | None:
    try:
        return UUID(topic.removeprefix(PREFIX)) if topic.startswith(PREFIX) else None
    except ValueError:
        return None


def room_of(topic: str) -> UUID:
    """Raises NotFound for what is no room."""
    room_id = maybe_room_of(topic)
    if room_id is None:
        raise NotFound
    return room_id


def _decoded(body: bytes, shape: type[S]) -> S:
    try:
        return msgspec.json.decode(body, type=shape)
    except msgspec.ValidationError as e:
        message, _, path = str(e).partition(" - at `$")
        raise Invalid(message, errors=[FieldError(path.strip(".`") or "frame", message)]) from e
    except msgspec.DecodeError as e:
        raise Invalid.field("frame", "is not JSON") from e
