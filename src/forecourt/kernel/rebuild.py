"""Making a subscriber's state anew, while the house goes on.

The oldest snapshot is put in place and the log since then handed over again, some of it at a time, each time in a transaction
that is rolled back and of which only the saved state is kept. The step that arrives where the subscriber is now is committed
instead. So readers see the old state until they see the new one, a rebuild that ends early has changed nothing, and no old event
has an effect beside the state. What was set aside stays set aside, for `replay`.

A step holds the subscriber's cursor: it is passed over meanwhile, and has its turn between two steps.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from datetime import datetime

import asyncpg
import msgspec

from forecourt.kernel.context import service_context
from forecourt.kernel.db import Database, Query, Tx, module_role
from forecourt.kernel.doorbell import Topic, ring
from forecourt.kernel.errors import Unavailable
from forecourt.kernel.events import BATCH, SCAN, Delivery, Seen, Subscription, Written, serve, wanted_names
from forecourt.kernel.faults import describe
from forecourt.kernel.pool import is_lost
from forecourt.kernel.snapshots import FORGET_LATER, HELD, HOLD, OLDEST, Position, Snapshot, State

STEP_S = 0.5
"""So long a step hands events over: other subscribers wait for its transaction, and this one for its cursor."""
PAUSE_S = 0.1
"""Between two steps, for the worker."""
PATIENCE_S = 5.0
"""So long a step waits for somebody else who holds what it needs."""

WAIT = Query(str, "select set_config('lock_timeout', $1, true)")

UP_TO = Query(
    Seen,
    "with seen as (select e.xid, e.id from kernel.event e"
    " where (e.xid, e.id) > ($1::xid8, $2::uuid) and (e.xid, e.id) <= ($3::xid8, $4::uuid) order by e.xid, e.id limit $5)"
    " select s.xid, s.id, (select count(*) from seen)::int from seen s order by s.xid desc, s.id desc limit 1",
)
AGAIN = Query(
    Written,
    "select e.xid, e.id, e.at, e.organisation_id, e.name, e.version::int, e.payload, e.actor_kind, e.account_id, e.key_id,"
    " e.service, e.trace_id, e.address from kernel.event e"
    " where (e.xid, e.id) > ($1::xid8, $2::uuid) and (e.xid, e.id) <= ($3::xid8, $4::uuid) and e.name = any($5::text[])"
    " and not exists (select from kernel.dead_letter d where d.subscriber = $6 and d.event_id = e.id)"
    " order by e.xid, e.id",
)


class CannotRebuild(Exception):
    """Why not, in words for an operator. Nothing was changed."""


class Progress(msgspec.Struct, frozen=True):
    """How many events were handed over so far, and when the last of them happened."""

    handled: int
    at: datetime | None


class Rebuilt(msgspec.Struct, frozen=True):
    """From a snapshot of when, and how many events on top of it. A snapshot of the beginning is empty."""

    snapshot_at: datetime
    from_the_beginning: bool
    handled: int


class _Undone(Exception):
    """Rolls a step back."""


async def rebuild(
    database: Database, subscription: Subscription, told: Callable[[Progress], None] = lambda _: None, *, step_s: float = STEP_S
) -> Rebuilt:
    """Makes the state of a subscriber anew from its oldest snapshot and the log since then. Returns what it was made of.

    Raises CannotRebuild for a subscriber that acts, one without a snapshot, and when an event fails, the log is shortened
    meanwhile, or somebody else holds what it needs for longer than `PATIENCE_S`.
    """
    if subscription.state is None:
        raise CannotRebuild(
            f"{subscription.subscriber} acts on events and keeps no state that is made of them alone: "
            "to hand it old events would do once more what was done then."
        )
    name = subscription.subscriber
    async with database.module("kernel").tx(service_context(name)) as tx:
        base = await tx.maybe(OLDEST, name)
    if base is None:
        raise CannotRebuild(f"There is no snapshot of {name} yet. The hourly work of a worker takes one.")
    work = _Rebuilding(database, subscription, subscription.state, base, step_s)
    try:
        while not await work.step():
            told(Progress(work.handled, work.at))
            ring(Topic.EVENTS)
            await asyncio.sleep(PAUSE_S)
    except asyncpg.LockNotAvailableError as e:
        raise CannotRebuild(
            f"{name} or its rows were held by somebody else for {PATIENCE_S:g} s: a worker in the middle of its events, another"
            " rebuild or replay, or somebody at the database. Start again when they are done."
        ) from e
    return Rebuilt(base.made_at, base.xid == 0, work.handled)


class _Rebuilding:
    """What is known between two steps: how far it came, and the state there."""

    def __init__(self, database: Database, subscription: Subscription, state: State, base: Snapshot, step_s: float) -> None:
        self._kernel = database.module("kernel")
        self._subscription = subscription
        self._state = state
        self._base = base
        self._step_s = step_s
        self._place = base.place
        self._saved = base.state
        self.handled = 0
        self.at: datetime | None = None

    async def step(self) -> bool:
        """One transaction. True when it arrived and was committed."""
        name = self._subscription.subscriber
        with contextlib.suppress(_Undone):
            async with self._kernel.tx(service_context(name)) as tx:
                await tx.one(WAIT, f"{PATIENCE_S * 1000:.0f}ms")
                goal = await tx.one(HOLD, name)
                await self._as_module(tx)
                await self._state.restore(tx, self._saved)
                await self._as_kernel(tx)
                place = await self._hand_over(tx, goal)
                if tx.leaves_more:
                    raise CannotRebuild(f"{name} does more than keep a state: it asks for events, jobs or doorbells.")
                if place == goal:
                    await self._settle(tx)
                    return True
                await self._as_module(tx)
                self._saved = await self._state.save(tx)
                self._place = place
                raise _Undone
        return False

    async def _as_module(self, tx: Tx) -> None:
        await tx.become(module_role(self._subscription.module), None)

    async def _as_kernel(self, tx: Tx) -> None:
        await tx.become(module_role("kernel"), None)

    async def _hand_over(self, tx: Tx, goal: Position) -> Position:
        """Events up to `goal`, or until the step's time is over; returns how far it came."""
        name, wanted = self._subscription.subscriber, wanted_names(self._subscription)
        place, until = self._place, time.monotonic() + self._step_s
        while place != goal:
            seen = await tx.maybe(UP_TO, place.xid, place.id, goal.xid, goal.id, SCAN)
            end = Position(seen.xid, seen.id) if seen and seen.rows == SCAN else goal
            rows = await tx.all(AGAIN, place.xid, place.id, end.xid, end.id, wanted, name)
            most = 1 if self._subscription.delivery is Delivery.EACH else BATCH
            for i in range(0, len(rows), most):
                await self._serve(tx, rows[i : i + most])
            place = end
            if time.monotonic() >= until:
                break
        return place

    async def _serve(self, tx: Tx, rows: list[Written]) -> None:
        try:
            await serve(tx, self._subscription, rows)
        except Exception as e:
            if isinstance(e, Unavailable | asyncpg.LockNotAvailableError) or is_lost(e):
                raise
            among = f"{rows[0].id} ({rows[0].name})" + (f" to {rows[-1].id}" if len(rows) > 1 else "")
            raise CannotRebuild(f"It fails over what happened: event {among}: {describe(e)}") from e
        self.handled += len(rows)
        self.at = rows[-1].at

    async def _settle(self, tx: Tx) -> None:
        """Later snapshots are of the old state. Without its own, months that it read from may be gone."""
        name, base = self._subscription.subscriber, self._base
        if await tx.maybe(HELD, name, base.xid, base.id, base.made_at) is None:
            raise CannotRebuild("The log was shortened, or another rebuild or replay ended, meanwhile. Start again.")
        await tx.run(FORGET_LATER, name, base.xid, base.id)
