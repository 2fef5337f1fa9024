"""Events: what happened, for whoever wants to know.

    class BookingConfirmed(Event, name="booking.confirmed"):
        organisation_id: UUID
        booking_id: UUID

    emit(tx, BookingConfirmed(organisation_id=..., booking_id=...))      # written with the transaction, or not at all

    AUDIT = Subscription("audit.trail", "audit", (BookingConfirmed,), record)

The log is append-only. Every subscriber has a cursor `(xid, id)` that only moves below the oldest transaction still
running: an id alone would skip what a slower transaction commits later. The cursor commits together with the effects of
the batch, so effects happen once. Order is kept within a subscriber; a failing event is tried again with growing pauses,
then set aside as a dead letter while the rest goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from enum import Enum
from types import MappingProxyType
from typing import Any, ClassVar, Generic, TypeVar, cast
from uuid import UUID

import asyncpg
import msgspec
import structlog

from forecourt.kernel.clock import Clock, SystemClock
from forecourt.kernel.context import Actor, ActorKind, Context, service_context
from forecourt.kernel.db import Database, Query, Statement, Tx, module_role
from forecourt.kernel.doorbell import Topic, listen, ring
from forecourt.kernel.ids import new_id

log = structlog.get_logger("forecourt.events")

BATCH = 500
"""At most so many events are handled in one transaction."""
SCAN = 2_000
"""At most so many events, wanted or not, are looked at in one statement."""
POLL_S = 1.0
BEHIND_S = 0.02
"""How soon to look again when the newest events wait for an older transaction to end."""
ATTEMPTS = 8
LONGEST_PAUSE_S = 60.0
TURNS_AT_ONCE = 4
"""Subscribers served at the same time by one process: each holds a database connection."""
NIL = UUID(int=0)

Payload = dict[str, Any]
Upcast = Callable[[Payload], Payload]
E_co = TypeVar("E_co", bound="Event", covariant=True)


class EventMeta(msgspec.StructMeta):
    """Takes `name` and `version` in the class line and registers the class under its name."""

    registered: ClassVar[dict[str, type[Event]]] = {}

    def __new__(
        mcs, typename: str, bases: tuple[type, ...], namespace: dict[str, Any], *, name: str = "", version: int = 1, **options: Any
    ) -> EventMeta:
        cls = super().__new__(mcs, typename, bases, namespace, **options)
        if not bases or bases == (msgspec.Struct,):
            return cls
        if not name:
            raise TypeError(f"{typename} needs a name: class {typename}(Event, name='module.what_happened')")
        other = EventMeta.registered.get(name)
        if other is not None and (other.__module__, other.__qualname__) != (namespace.get("__module__"), typename):
            raise TypeError(f"event name {name!r} is taken by {other.__module__}.{other.__qualname__}")
        event = cast("type[Event]", cls)
        event.event_name, event.event_version = name, version
        EventMeta.registered[name] = event
        return cls

    def __init__(cls, *_: object, **__: object) -> None:
        """The options were for `__new__`."""


class Event(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, metaclass=EventMeta):
    """Something that happened, in the past tense. Fields may be added with a default; any other change is a new version.

    A class of version 3 reads older rows through `upcast = {1: to_second, 2: to_third}`: each function takes the plain
    fields of its version and returns those of the next.

    When the event has a field `organisation_id`, that is whose event it is; otherwise it is the transaction's organisation.
    """

    event_name: ClassVar[str] = ""
    event_version: ClassVar[int] = 1
    upcast: ClassVar[MappingProxyType[int, Upcast] | dict[int, Upcast]] = MappingProxyType({})


def registered_events() -> dict[str, type[Event]]:
    """Every event class imported so far, by name."""
    return dict(sorted(EventMeta.registered.items()))


class UnknownVersion(Exception):
    """An event was written by a newer program, or its upcast is missing. It waits as a dead letter for `replay`."""


def decode(kind: type[E_co], version: int, payload: bytes) -> E_co:
    """The event in `payload`, lifted to the present version. Raises UnknownVersion, msgspec.ValidationError."""
    if version == kind.event_version:
        return msgspec.json.decode(payload, type=kind)
    fields: Payload = msgspec.json.decode(payload, type=dict)
    for step in range(version, kind.event_version):
        lift = kind.upcast.get(step)
        if lift is None:
            raise UnknownVersion(f"{kind.event_name} has no upcast from version {step}")
        fields = lift(fields)
    if version > kind.event_version:
        raise UnknownVersion(f"{kind.event_name} version {version} is newer than {kind.event_version}")
    return msgspec.convert(fields, kind)


class Envelope(msgspec.Struct, Generic[E_co], frozen=True):
    """An event and what was known when it was written."""

    id: UUID
    at: datetime
    name: str
    version: int
    organisation_id: UUID | None
    actor: Actor
    """`kind`, `account_id`, `key_id`; for a service its name is the only scope."""
    trace_id: str
    address: str
    event: E_co


# --- writing ---------------------------------------------------------------------------------------------------------

INSERT = Statement(
    "insert into kernel.event"
    " (id, organisation_id, name, version, payload, actor_kind, account_id, key_id, service, trace_id, address)"
    " select e.id, e.organisation_id, e.name, e.version, e.payload, e.actor_kind, e.account_id, e.key_id, e.service,"
    " e.trace_id, e.address"
    " from unnest($1::uuid[], $2::uuid[], $3::text[], $4::smallint[], $5::bytea[], $6::text[], $7::uuid[], $8::uuid[],"
    " $9::text[], $10::text[], $11::text[])"
    " as e (id, organisation_id, name, version, payload, actor_kind, account_id, key_id, service, trace_id, address)"
)

_encode = msgspec.json.Encoder().encode


class EventBuffer:
    """The events of one transaction, written by one statement just before it commits."""

    def __init__(self) -> None:
        self._rows: list[tuple[object, ...]] = []

    def add(self, event: Event, context: Context) -> None:
        if not event.event_name:
            raise TypeError("only named events can be emitted")
        actor = context.actor
        self._rows.append((
            new_id(),
            getattr(event, "organisation_id", context.organisation_id),
            event.event_name,
            event.event_version,
            _encode(event),
            actor.kind.value,
            actor.account_id,
            actor.key_id,
            next(iter(actor.scopes), "") if actor.kind is ActorKind.SERVICE else "",
            context.trace_id,
            context.address,
        ))

    async def flush(self, tx: Tx) -> None:
        if self._rows:
            await tx.run(INSERT, *map(list, zip(*self._rows, strict=True)))

    def committed(self) -> None:
        if self._rows:
            ring(Topic.EVENTS)


def emit(tx: Tx, event: Event) -> None:
    """Writes `event` to the log when `tx` commits: if the transaction does not happen, neither does the event."""
    tx.buffer(EventBuffer).add(event, tx.context)


# --- subscribing -----------------------------------------------------------------------------------------------------

Handle = Callable[[Tx, list[Envelope[Any]]], Awaitable[None]]


class Delivery(Enum):
    """How many events share a transaction."""

    BATCH = "batch"
    """As many as there are, one call per organisation. The rule."""
    EACH = "each"
    """One. For handlers whose effect on one event must not wait for, or fail with, another's."""


class Subscription(msgspec.Struct, frozen=True):
    """Who wants which events. `handle` gets events of one organisation at a time, in order, under the module's role.

    `subscriber` (`audit.trail`) names the cursor: a new name starts at the beginning of the log.
    """

    subscriber: str
    module: str
    events: tuple[type[Event], ...]
    handle: Handle
    delivery: Delivery = Delivery.BATCH


REMEMBER = Statement("insert into kernel.inbox (subscriber, event_id) values ($1, $2) on conflict do nothing")


async def once(tx: Tx, subscriber: str, event_id: UUID) -> bool:
    """True the first time `subscriber` asks about `event_id`, in this transaction or any committed before.

    For handlers that hand an effect to something outside the database under their own transaction.
    """
    return await tx.run(REMEMBER, subscriber, event_id) == 1
