"""Events: what happened, for whoever wants to know.

    class BookingConfirmed(Event, name="booking.confirmed"):
        organisation_id: UUID
        booking_id: UUID

    emit(tx, BookingConfirmed(organisation_id=..., booking_id=...))      # written with the transaction, or not at all

    AUDIT = Subscription("audit.trail", "audit", (BookingConfirmed,), record)

The log is append-only. Every subscriber has a cursor `(xid, id)` that only moves below the oldest transaction still
running: an id alone would skip what a slower transaction commits later. The cursor commits together with the effects of
the batch, so effects happen once. Order is kept within a subscriber; a failing event is tried again with growing pauses,
then set aside as a dead letter while the rest goes on. So is one that kills its process each time: a start is written before
a handler runs, once for as long as a worker gets on.

A subscriber may keep a state, made of events alone (`State`): then nothing leaves the log before a snapshot has what was made
of it, and the state can be made anew from the oldest snapshot and the log (`kernel/rebuild.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from enum import Enum
from types import MappingProxyType
from typing import Any, ClassVar, Generic, LiteralString, TypeVar, cast
from uuid import UUID

import msgspec
import structlog

from forecourt.kernel import telemetry
from forecourt.kernel.clock import JITTER, Clock, SystemClock
from forecourt.kernel.context import Actor, ActorKind, Context, service_context
from forecourt.kernel.db import Database, Query, Statement, Tx, module_role
from forecourt.kernel.doorbell import Topic, listen, ring
from forecourt.kernel.errors import Unavailable
from forecourt.kernel.faults import describe
from forecourt.kernel.ids import new_id
from forecourt.kernel.log import TRACE
from forecourt.kernel.metrics import Metrics
from forecourt.kernel.pool import is_lost
from forecourt.kernel.snapshots import HOLD, Position, State, forget_all, take

log = structlog.get_logger("forecourt.events")

BATCH = 500
"""At most so many events are handled in one transaction."""
SCAN = 2_000
"""At most so many events, wanted or not, are looked at in one statement."""
POLL_S = 1.0
BEHIND_S = 0.02
"""How soon to look again when the newest events wait for an older transaction to end."""
ATTEMPTS = 8
STARTS = 5
"""So many workers may die, or lose the database, over one event before it is set aside."""
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
        mcs,
        typename: str,
        bases: tuple[type, ...],
        namespace: dict[str, Any],
        *,
        name: str = "",
        version: int = 1,
        **options: Any,
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

    def __init__(cls, *_: object, **__: object) -> None:  # noqa: N805 # pyright: ignore[reportInconsistentConstructor]
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
    personal: ClassVar[tuple[str, ...]] = ()
    """Fields, texts or lists, in which somebody may have written about the person `account_id`. They are emptied when that
    account is erased (`forget_words`)."""


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
    xid: int = 0
    """The transaction that wrote it: with id and time, where it lies in the log."""


# --- writing ---------------------------------------------------------------------------------------------------------

INSERT_EVENT: LiteralString = (
    "insert into kernel.event"
    " (id, organisation_id, name, version, payload, actor_kind, account_id, key_id, service, trace_id, address)"
)
INSERT = Statement(
    INSERT_EVENT  # noqa: S608 - a constant
    + " select e.id, e.organisation_id, e.name, e.version, e.payload, e.actor_kind, e.account_id, e.key_id,"
    " e.service, e.trace_id, e.address"
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
        self._rows.append(_row(event, context))

    async def flush(self, tx: Tx) -> None:
        if self._rows:
            await tx.run(INSERT, *map(list, zip(*self._rows, strict=True)))

    def committed(self) -> None:
        if self._rows:
            _ring()


def _row(event: Event, context: Context) -> tuple[object, ...]:
    """The columns of INSERT_EVENT. Raises TypeError for an event without a name."""
    if not event.event_name:
        raise TypeError("only named events can be emitted")
    actor = context.actor
    return (
        new_id(),
        getattr(event, "organisation_id", context.organisation_id),
        event.event_name,
        event.event_version,
        _encode(event),
        actor.kind.value,
        actor.account_id,
        actor.key_id,
        next(iter(actor.scopes), "") if actor.kind is ActorKind.SERVICE else "",
        telemetry.here() or context.trace_id,
        context.address,
    )


def _ring() -> None:
    ring(Topic.EVENTS)


def emit(tx: Tx, event: Event) -> None:
    """Writes `event` to the log when `tx` commits: if the transaction does not happen, neither does the event."""
    tx.buffer(EventBuffer).add(event, tx.context)


def emit_with(tx: Tx, event: Event) -> tuple[object, ...]:
    """The eleven values of `event` for a statement of `tx` that writes it beside rows of its own, and so saves a round trip:

        with … , said as (" + INSERT_EVENT + " values ($12, $13, … $22)) select …

    The statement must run; the doorbell rings after the commit.
    """
    tx.after_commit(_ring)
    return _row(event, tx.context)


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
    state: State | None = None
    """What `handle` makes of the events, if it makes that of them alone. None: it acts (writes mails, records, tells), and what
    was done is not done again."""


REMEMBER = Statement("insert into kernel.inbox (subscriber, event_id) values ($1, $2) on conflict do nothing")


async def once(tx: Tx, subscriber: str, event_id: UUID) -> bool:
    """True the first time `subscriber` asks about `event_id`, in this transaction or any committed before.

    For handlers that hand an effect to something outside the database under their own transaction.
    """
    return await tx.run(REMEMBER, subscriber, event_id) == 1


# --- forgetting ------------------------------------------------------------------------------------------------------


class Logged(msgspec.Struct, frozen=True):
    """Where an event lies in the log."""

    xid: int
    id: UUID
    at: datetime


class _Payload(msgspec.Struct, frozen=True):
    xid: int
    id: UUID
    at: datetime
    name: str
    payload: bytes


EMPTY_ADDRESSES = Statement(
    "update kernel.event e set address = '' from unnest($1::xid8[], $2::uuid[], $3::timestamptz[]) as p (xid, id, at)"
    " where e.xid = p.xid and e.id = p.id and e.at = p.at and e.address <> ''"
)
PAYLOADS = Query(
    _Payload,
    "select e.xid, e.id, e.at, e.name, e.payload from unnest($1::xid8[], $2::uuid[], $3::timestamptz[]) as p (xid, id, at)"
    " join kernel.event e on e.xid = p.xid and e.id = p.id and e.at = p.at",
)
EMPTY_PAYLOADS = Statement(
    "update kernel.event e set payload = p.payload"
    " from unnest($1::xid8[], $2::uuid[], $3::timestamptz[], $4::bytea[]) as p (xid, id, at, payload)"
    " where e.xid = p.xid and e.id = p.id and e.at = p.at"
)


async def forget_addresses(tx: Tx, places: Sequence[Logged]) -> None:
    """Empties the network addresses of these events, as far as the log still has them. From then on `tx` is the kernel's."""
    if places:
        await tx.become(module_role("kernel"), None)
        await tx.run(EMPTY_ADDRESSES, *_columns(places))


async def forget_words(tx: Tx, places: Sequence[Logged]) -> None:
    """Empties what these events say of a person in words. From then on `tx` is the kernel's."""
    if places:
        await tx.become(module_role("kernel"), None)
        found = await tx.all(PAYLOADS, *_columns(places))
        await tx.run(EMPTY_PAYLOADS, *_columns(found), [wordless(row.name, row.payload) for row in found])


class _Letter(msgspec.Struct, frozen=True):
    id: int
    name: str
    payload: bytes


LETTERS_OF = Query(
    _Letter,
    "select d.id, d.name, d.payload from kernel.dead_letter d where d.id > $1"
    " and (d.account_id = $2 and d.address <> '' or d.name = any($3::text[]) and position($4::bytea in d.payload) > 0)"
    " order by d.id limit $5",
)
EMPTY_LETTERS = Statement(
    "update kernel.dead_letter d set address = case when d.account_id = $1 then '' else d.address end, payload = p.payload"
    " from unnest($2::bigint[], $3::bytea[]) as p (id, payload) where d.id = p.id"
)


async def forget_letters(database: Database, account_id: UUID) -> None:
    """Empties, of events that were set aside, from where an erased person acted and what was written about them."""
    about_people = [name for name, kind in EventMeta.registered.items() if kind.personal]
    named, after = f'"account_id":"{account_id}"'.encode(), 0
    while True:
        async with database.module("kernel").tx(service_context("kernel.forget")) as tx:
            found = await tx.all(LETTERS_OF, after, account_id, about_people, named, BATCH)
            if not found:
                return
            emptied = [wordless(d.name, d.payload) if named in d.payload else d.payload for d in found]
            await tx.run(EMPTY_LETTERS, account_id, [d.id for d in found], emptied)
        after = found[-1].id


def wordless(name: str, payload: bytes) -> bytes:
    """The fields of an event, its words about a person emptied."""
    fields: Payload = msgspec.json.decode(payload)
    kind = EventMeta.registered.get(name)
    for field in kind.personal if kind else ():
        if field in fields:
            fields[field] = type(fields[field])()
    return _encode(fields)


def _columns(places: Sequence[Logged | _Payload]) -> tuple[list[int], list[UUID], list[datetime]]:
    return [p.xid for p in places], [p.id for p in places], [p.at for p in places]


# --- reading ---------------------------------------------------------------------------------------------------------


class Cursor(msgspec.Struct, frozen=True):
    xid: int
    id: UUID
    careful_xid: int
    careful_id: UUID
    attempts: int
    retry_at: datetime | None
    starts: int
    begun_xid: int
    begun_id: UUID

    @property
    def place(self) -> Position:
        return Position(self.xid, self.id)

    @property
    def unended(self) -> int:
        """How often what comes next was begun, and neither handled nor seen to fail."""
        return self.starts if self.place == Position(self.begun_xid, self.begun_id) else 0

    @property
    def careful(self) -> bool:
        """True while the events of a batch that failed, or never ended, are handled one by one, to find the one that does it."""
        return (self.xid, self.id) < (self.careful_xid, self.careful_id)


class Written(msgspec.Struct, frozen=True):
    """A row of the log."""

    xid: int
    id: UUID
    at: datetime
    organisation_id: UUID | None
    name: str
    version: int
    payload: bytes
    actor_kind: str
    account_id: UUID | None
    key_id: UUID | None
    service: str
    trace_id: str
    """Of the span that wrote it, its mark: trace and span."""
    address: str


class Seen(msgspec.Struct, frozen=True):
    """How far one statement looked, and how many rows that were."""

    xid: int
    id: UUID
    rows: int


REGISTER = Statement(
    "with given as (select g.subscriber, g.empty from unnest($1::text[], $2::text[]) as g (subscriber, empty)),"
    " fresh as (insert into kernel.cursor (subscriber, keeps_state) select g.subscriber, g.empty is not null from given g"
    "  on conflict do nothing returning subscriber),"
    " changed as (update kernel.cursor c set keeps_state = g.empty is not null from given g"
    "  where c.subscriber = g.subscriber and c.keeps_state <> (g.empty is not null))"
    " insert into kernel.snapshot (subscriber, xid, id, state)"
    " select f.subscriber, '0'::xid8, '00000000-0000-0000-0000-000000000000'::uuid, g.empty"
    " from fresh f join given g on g.subscriber = f.subscriber where g.empty is not null"
)
"""Who is new begins at the beginning, with an empty state. One that kept none before has its first snapshot within the hour."""
LOCK_CURSOR = Query(
    Cursor,
    "select xid, id, careful_xid, careful_id, attempts, retry_at, starts, begun_xid, begun_id"
    " from kernel.cursor where subscriber = $1 for update skip locked",
)
WANTED = Query(
    Written,
    "with seen as materialized ("
    " select e.xid, e.id, e.at, e.organisation_id, e.name, e.version, e.payload, e.actor_kind, e.account_id, e.key_id, e.service,"
    " e.trace_id, e.address from kernel.event e"
    " where (e.xid, e.id) > ($1::xid8, $2::uuid) and e.xid < pg_snapshot_xmin(pg_current_snapshot()) and e.xid < $6::xid8"
    " order by e.xid, e.id limit $4)"
    " select s.xid, s.id, s.at, s.organisation_id, s.name, s.version::int, s.payload, s.actor_kind, s.account_id, s.key_id,"
    " s.service, s.trace_id, s.address"
    " from seen s where s.name = any($3::text[]) order by s.xid, s.id limit $5",
)
HORIZON = Query(int, "select pg_snapshot_xmin(pg_current_snapshot())")
LAST_SEEN = Query(
    Seen,
    "with seen as (select e.xid, e.id from kernel.event e"
    " where (e.xid, e.id) > ($1::xid8, $2::uuid) and e.xid < $3::xid8 order by e.xid, e.id limit $4)"
    " select s.xid, s.id, (select count(*) from seen)::int from seen s order by s.xid desc, s.id desc limit 1",
)
MOVE = Statement(
    "update kernel.cursor set xid = $2::xid8, id = $3, attempts = 0, starts = 0, retry_at = null, error = '', moved_at = now()"
    " where subscriber = $1"
)
BEGIN = Statement(
    "update kernel.cursor set starts = case when (begun_xid, begun_id) = (xid, id) then starts + 1 else 1 end,"
    " begun_xid = xid, begun_id = id where subscriber = $1"
)
BE_CAREFUL = Statement("update kernel.cursor set careful_xid = $2::xid8, careful_id = $3, error = $4 where subscriber = $1")
PAUSE = Statement("update kernel.cursor set attempts = $2, starts = 0, retry_at = $3, error = $4 where subscriber = $1")
BURY = Statement(
    "insert into kernel.dead_letter (subscriber, event_id, at, organisation_id, name, version, payload, actor_kind, account_id,"
    " key_id, service, trace_id, address, attempts, error)"
    " values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)"
    " on conflict (subscriber, event_id) do update set attempts = excluded.attempts, error = excluded.error, died_at = now()"
)
DEAD = Query(
    Written,
    "select '0'::xid8, d.event_id, d.at, d.organisation_id, d.name, d.version::int, d.payload, d.actor_kind, d.account_id,"
    " d.key_id, d.service, d.trace_id, d.address from kernel.dead_letter d"
    " where d.subscriber = $1 and ($2::uuid is null or d.event_id = $2) order by d.id limit $3",
)
RAISE_FROM_THE_DEAD = Statement("delete from kernel.dead_letter where subscriber = $1 and event_id = $2")


class Head(msgspec.Struct, frozen=True):
    """The transaction of the newest event (0: none), and the oldest transaction still running."""

    newest: int
    horizon: int


HEAD = Query(
    Head,
    "select coalesce((select e.xid from kernel.event e order by e.xid desc, e.id desc limit 1), '0'::xid8),"
    " pg_snapshot_xmin(pg_current_snapshot())",
)


MOST_COUNTED = 2_000
"""Whether two thousand wait or two million: that much is too much, and no more is read to know it."""


class Lag(msgspec.Struct, frozen=True):
    subscriber: str
    behind_s: float
    """Age of the oldest event the subscriber has not looked at; 0 when there is none."""
    waiting: int
    """Events it has not looked at, wanted or not; counted up to MOST_COUNTED."""
    attempts: int
    dead_letters: int


LAG = Query(
    Lag,
    "select c.subscriber, coalesce(extract(epoch from clock_timestamp() - (select e.at from kernel.event e"
    " where (e.xid, e.id) > (c.xid, c.id) order by e.xid, e.id limit 1)), 0)::float8,"
    " (select count(*)::int from (select from kernel.event e where (e.xid, e.id) > (c.xid, c.id)"
    "  order by e.xid, e.id limit $1) w), c.attempts,"
    " (select count(*)::int from (select from kernel.dead_letter d where d.subscriber = c.subscriber limit $1) d)"
    " from kernel.cursor c order by c.subscriber",
)


def envelope_of(row: Written) -> Envelope[Event]:
    """Raises UnknownVersion or msgspec.ValidationError when the row does not fit its class."""
    kind = EventMeta.registered[row.name]
    actor = Actor(
        kind=ActorKind(row.actor_kind),
        account_id=row.account_id,
        key_id=row.key_id,
        scopes=frozenset({row.service}) if row.service else frozenset(),
    )
    return Envelope(
        row.id,
        row.at,
        row.name,
        row.version,
        row.organisation_id,
        actor,
        telemetry.trace_of(row.trace_id),
        row.address,
        decode(kind, row.version, row.payload),
        row.xid,
    )


async def serve(tx: Tx, subscription: Subscription, rows: Sequence[Written]) -> None:
    """Hands `rows` to the subscriber: per organisation, under its module's role; afterwards the kernel's role is back."""
    groups: dict[UUID | None, list[Written]] = {}
    for row in rows:
        groups.setdefault(row.organisation_id, []).append(row)
    outside = tx.context
    for organisation_id, group in groups.items():
        envelopes = [envelope_of(row) for row in group]
        await tx.become(module_role(subscription.module), organisation_id)
        with _following(subscription.subscriber, group) as trace_id:
            tx.context = service_context(subscription.subscriber, organisation_id, trace_id)
            await subscription.handle(tx, envelopes)
    tx.context = outside
    await tx.become(module_role("kernel"), None)


@contextmanager
def _following(subscriber: str, rows: Sequence[Written]) -> Generator[str, None, None]:
    """What is done for `rows` belongs to the trace that wrote the first of them; gives its id.

    Each other trace gets a span that links to where its events were handled too.
    """
    marks = list(dict.fromkeys(row.trace_id for row in rows if telemetry.parent_of(row.trace_id))) if telemetry.enabled() else []
    trace_id = telemetry.trace_of(marks[0] if marks else rows[0].trace_id)
    told = TRACE.set(trace_id)
    try:
        if not marks:
            yield trace_id
            return
        where = ""
        about: telemetry.Attributes = {"messaging.system": "forecourt", "messaging.batch.message_count": len(rows)}
        with telemetry.span(subscriber, telemetry.parent_of(marks[0]), side=telemetry.Side.CONSUMER, more=about):
            where = telemetry.here()
            yield trace_id
        for mark in marks[1:]:
            with telemetry.span(subscriber, telemetry.parent_of(mark), side=telemetry.Side.CONSUMER, links=(where,)):
                pass
    finally:
        TRACE.reset(told)


class Turn(Enum):
    """What one transaction of a subscriber came to."""

    MORE = "more"
    """Moved on; there may be more."""
    IDLE = "idle"
    """Nothing left to see."""
    BUSY = "busy"
    """Another worker has it."""
    PAUSED = "paused"
    """The next event failed; its turn comes again at `retry_at`."""


class Dispatcher:
    """Brings events to subscribers. Any number may run, in any processes: a subscriber is served by one at a time."""

    def __init__(
        self,
        database: Database,
        url_for_listen: str,
        subscriptions: Sequence[Subscription],
        clock: Clock | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        self._database = database
        self._metrics = metrics or Metrics()
        self._kernel = database.module("kernel")
        self._url = url_for_listen
        self._clock = clock or SystemClock()
        self._subscriptions = {s.subscriber: s for s in subscriptions}
        if len(self._subscriptions) != len(subscriptions):
            raise ValueError("two subscriptions share a name")
        self._woken = asyncio.Event()
        self._stopping = asyncio.Event()
        self._slots = asyncio.Semaphore(TURNS_AT_ONCE)
        self._begun: dict[str, Position] = {}
        """Subscribers that this process is at work for, and the place before which it wrote that it begins."""
        self.handled: dict[str, int] = dict.fromkeys(self._subscriptions, 0)
        """Events handled by this process, per subscriber."""

    async def run(self) -> None:
        """Serves until `stop`. A database that goes away is waited for."""
        self._stopping.clear()
        async with listen(self._url, self._heard):
            settled = -1
            while not self._stopping.is_set():
                pause_s = POLL_S
                try:
                    await self._register()
                    settled, pause_s = await self._round(settled)
                except Exception as e:  # a worker outlives whatever a handler or the database does
                    log.warning("event_round_failed", error=describe(e))
                    settled = -1
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._woken.wait(), pause_s)
                self._woken.clear()

    async def stop(self) -> None:
        """Lets the batches at work finish, then `run` returns."""
        self._stopping.set()
        self._woken.set()

    async def drain(self, subscriber: str | None = None, *, limit_s: float = 30.0) -> int:
        """Handles everything committed before the call, and what that emits; returns how many events. For tests and commands.

        A subscriber that pauses after a failure is left there. Raises TimeoutError when an older transaction never ends.
        """
        await self._register()
        names = [subscriber] if subscriber else list(self._subscriptions)
        before = sum(self.handled.values())
        async with asyncio.timeout(limit_s):
            while True:
                # Asked before the turns: a horizon that rises behind them says nothing of what they saw.
                head = await self._head()
                moved = 0
                for name in names:
                    while (turn := await self._turn(name)) in (Turn.MORE, Turn.BUSY):
                        moved += turn is Turn.MORE
                        if turn is Turn.BUSY:
                            await asyncio.sleep(BEHIND_S)
                if not moved and head.newest < head.horizon:
                    return sum(self.handled.values()) - before
                if not moved:
                    await asyncio.sleep(BEHIND_S)

    async def lag(self) -> list[Lag]:
        """How far behind each subscriber is. For metrics and health."""
        async with self._kernel.read(service_context("kernel.events")) as tx:
            return await tx.all(LAG, MOST_COUNTED)

    def _heard(self, topic: Topic) -> None:
        if topic is Topic.EVENTS:
            self._woken.set()

    async def _register(self) -> None:
        async with self._kernel.tx(service_context("kernel.events")) as tx:
            empty = [s.state.empty if s.state else None for s in self._subscriptions.values()]
            await tx.run(REGISTER, list(self._subscriptions), empty)

    async def _head(self) -> Head:
        async with self._kernel.read(service_context("kernel.events")) as tx:
            return await tx.one(HEAD)

    async def _round(self, settled: int) -> tuple[int, float]:
        """Serves every subscriber until it has seen all; returns up to which transaction that holds, and how long to wait."""
        head = await self._head()
        if head.newest == settled:
            return settled, POLL_S
        found = await asyncio.gather(*(self._catch_up(name) for name in self._subscriptions), return_exceptions=True)
        turns = [turn for turn in found if not isinstance(turn, BaseException)]
        for failure in found:  # only now: no turn may go on beside the next round's
            if isinstance(failure, BaseException):
                raise failure
        if head.newest >= head.horizon:
            return -1, BEHIND_S  # the newest wait for an older transaction, which rings no bell when it ends
        return (head.newest if all(t is Turn.IDLE for t in turns) else -1), POLL_S

    async def _catch_up(self, name: str) -> Turn:
        turn = Turn.MORE
        while turn is Turn.MORE and not self._stopping.is_set():
            async with self._slots:
                turn = await self._turn(name)
        return turn

    async def _turn(self, name: str) -> Turn:
        """One transaction. While turns follow each other without a pause, that they were begun is written once."""
        turn = Turn.IDLE
        try:
            turn = await self._take_turn(self._subscriptions[name])
        finally:
            if turn is not Turn.MORE:
                self._begun.pop(name, None)
        return turn

    async def _take_turn(self, subscription: Subscription) -> Turn:
        """Lock the cursor, read, handle, move the cursor, commit; or, before the first of several turns, write that it begins."""
        name = subscription.subscriber
        rows: list[Written] = []
        try:
            async with self._kernel.tx(service_context(name)) as tx:
                cursor = await tx.maybe(LOCK_CURSOR, name)
                if cursor is None:
                    return Turn.BUSY
                if cursor.retry_at is not None and cursor.retry_at > self._clock.now():
                    return Turn.PAUSED
                begun = self._has_begun(name, cursor)
                suspect = cursor.unended > 0 and not begun
                each = cursor.careful or cursor.attempts or suspect or subscription.delivery is Delivery.EACH
                most = 1 if each else BATCH
                horizon = await tx.one(HORIZON)
                rows = await tx.all(WANTED, cursor.xid, cursor.id, wanted_names(subscription), SCAN, most, horizon)
                end = await self._end(tx, cursor, rows, most, horizon)
                if end == cursor.place:
                    return Turn.IDLE
                if rows and not begun:
                    return await self._begin(tx, name, cursor, rows[0], horizon)
                if rows:
                    await serve(tx, subscription, rows)
                await tx.run(MOVE, name, end.xid, end.id)
        except Exception as e:
            if not rows or isinstance(e, Unavailable) or is_lost(e):
                raise  # nobody's fault, or that of an event which ends its session each time: then its starts tell
            return await self._failed(subscription, rows, describe(e))
        self.handled[name] += len(rows)
        self._metrics.events_handled.labels(name).inc(len(rows))
        return Turn.MORE

    def _has_begun(self, name: str, cursor: Cursor) -> bool:
        begun = self._begun.get(name)
        return begun == cursor.place if cursor.careful else begun is not None

    async def _begin(self, tx: Tx, name: str, cursor: Cursor, row: Written, horizon: int) -> Turn:
        """Notes that a worker begins with `row`; or that enough of them have, and none came to an end."""
        if cursor.unended >= STARTS:
            error = "it was begun and never ended: its worker died, or lost the database, each time"
            await tx.run(BURY, name, *dead_letter(row), cursor.unended, error)
            await tx.run(MOVE, name, row.xid, row.id)
            log.error("event_buried", subscriber=name, name=row.name, event_id=str(row.id), error=error)
            return Turn.MORE
        if cursor.unended and not cursor.careful:
            seen = await tx.one(LAST_SEEN, cursor.xid, cursor.id, horizon, SCAN)
            await tx.run(BE_CAREFUL, name, seen.xid, seen.id, "its worker died, or lost the database")
        await tx.run(BEGIN, name)
        self._begun[name] = cursor.place
        return Turn.MORE

    @staticmethod
    async def _end(tx: Tx, cursor: Cursor, rows: list[Written], most: int, horizon: int) -> Position:
        """Where the cursor goes: the last event taken, or past everything that was looked at and not wanted."""
        if len(rows) == most:
            return Position(rows[-1].xid, rows[-1].id)
        seen = await tx.maybe(LAST_SEEN, cursor.xid, cursor.id, horizon, SCAN)
        return Position(seen.xid, seen.id) if seen else cursor.place

    async def _failed(self, subscription: Subscription, rows: list[Written], error: str) -> Turn:
        """Everything of the batch was rolled back. Find the event that fails, let it pause, in the end set it aside."""
        name, row = subscription.subscriber, rows[0]
        self._metrics.event_failures.labels(name).inc()
        async with self._kernel.tx(service_context(name)) as tx:
            cursor = await tx.maybe(LOCK_CURSOR, name)
            if cursor is None or (cursor.xid, cursor.id) >= (row.xid, row.id):
                return Turn.BUSY  # another worker took over in the meantime
            if len(rows) > 1:
                await tx.run(BE_CAREFUL, name, rows[-1].xid, rows[-1].id, error)
                return Turn.MORE
            attempts = cursor.attempts + 1
            log.warning("event_failed", subscriber=name, name=row.name, event_id=str(row.id), attempts=attempts, error=error)
            if attempts < ATTEMPTS:
                await tx.run(PAUSE, name, attempts, self._clock.now() + pause_after(attempts), error)
                return Turn.PAUSED
            await tx.run(BURY, name, *dead_letter(row), attempts, error)
            await tx.run(MOVE, name, row.xid, row.id)
        log.error("event_buried", subscriber=name, name=row.name, event_id=str(row.id), error=error)
        return Turn.MORE


def wanted_names(subscription: Subscription) -> list[str]:
    return [kind.event_name for kind in subscription.events]


def dead_letter(row: Written) -> tuple[object, ...]:
    return msgspec.structs.astuple(row)[1:]


def pause_after(attempts: int) -> timedelta:
    """Half a second, then twice as long each time, at most a minute; up to a quarter more so that failures spread out."""
    longest = min(0.5 * 2 ** (attempts - 1), LONGEST_PAUSE_S)
    return timedelta(seconds=longest * JITTER.uniform(1, 1.25))


async def replay(
    database: Database, subscription: Subscription, event_id: UUID | None = None, *, most: int = 1_000
) -> tuple[int, int]:
    """Hands dead letters to their subscriber again, oldest first: one, or up to `most`. Returns (handled, still dead).

    One that somebody else hands over meanwhile is neither. Snapshots of a state lack what was set aside, so they are replaced by
    one that has it.
    """
    kernel = database.module("kernel")
    name = subscription.subscriber
    async with kernel.read(service_context(name)) as tx:
        letters = await tx.all(DEAD, name, event_id, most)
    handled = dead = 0
    for letter in letters:
        try:
            async with kernel.tx(service_context(name)) as tx:
                place = await tx.maybe(HOLD, name) if subscription.state else None  # before its rows, as the dispatcher does
                raised = await tx.run(RAISE_FROM_THE_DEAD, name, letter.id)
                if raised:
                    await serve(tx, subscription, [letter])
                    if subscription.state and place:
                        await forget_all(tx, name)
                        await take(tx, name, subscription.module, subscription.state, place)
            handled += raised
        except Exception as e:
            dead += 1
            log.warning("replay_failed", subscriber=name, event_id=str(letter.id), error=describe(e))
    return handled, dead


def asyncapi(version: str) -> dict[str, object]:
    """The AsyncAPI 3 document of every registered event."""
    events = registered_events()
    schemas, parts = msgspec.json.schema_components(list(events.values()), ref_template="#/components/schemas/{name}")
    messages: dict[str, object] = {}
    channels: dict[str, object] = {}
    operations: dict[str, object] = {}
    for (name, kind), schema in zip(events.items(), schemas, strict=True):
        address = f"{name}.v{kind.event_version}"
        summary = (kind.__doc__ or "").strip().split("\n", 1)[0]
        messages[address] = {"name": address, "contentType": "application/json", "summary": summary, "payload": schema}
        channels[address] = {"address": address, "messages": {address: {"$ref": f"#/components/messages/{address}"}}}
        operations[f"on.{address}"] = {"action": "receive", "channel": {"$ref": f"#/channels/{address}"}}
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Forecourt events", "version": version},
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages, "schemas": parts},
    }
