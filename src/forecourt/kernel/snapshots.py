"""What subscribers have made of the events, kept for when the events are gone.

The log is kept for 90 days. A subscriber with a state has a snapshot of it from each month's end that the log still reaches; the
oldest of them and the log that follows give the state anew (`kernel/rebuild.py`). A month leaves the log only when every such
subscriber has a snapshot of what it made of it (`kernel.drop_event_partitions`), and takes with it the snapshots that need it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from uuid import UUID

import msgspec

from forecourt.kernel.context import service_context
from forecourt.kernel.db import ModuleDatabase, Query, Statement, Tx, module_role


class State(msgspec.Struct, frozen=True):
    """What a subscriber makes of its events, and of nothing else: no clock, no other table, no call. The same events handled in
    the same order, in whatever batches, give the same state.

    `save` gives the whole of it as JSON, `restore` puts what was saved in its place; both run under the module's role, of no
    organisation. `empty` is what was saved before the first event. A handler that keeps a state does nothing beside: no event, no
    job, no doorbell, no `once`.

    A state names nobody: a snapshot is as old as the log, and erasing a person reaches neither. Sums and ids, never words.
    """

    save: Callable[[Tx], Awaitable[str]]
    restore: Callable[[Tx, str], Awaitable[None]]
    empty: str


class Position(msgspec.Struct, frozen=True, order=True):
    """A place in the log: everything up to and including it has been handled."""

    xid: int
    id: UUID


class Snapshot(msgspec.Struct, frozen=True):
    xid: int
    id: UUID
    made_at: datetime
    state: str

    @property
    def place(self) -> Position:
        return Position(self.xid, self.id)


HOLD = Query(Position, "select xid, id from kernel.cursor where subscriber = $1 for update")
"""The subscriber's place, and nobody moves it before the transaction ends: dispatchers pass it over meanwhile."""
DUE = Query(
    bool,
    "select not exists (select from kernel.snapshot s where s.subscriber = $1) or exists ("
    " select from (select e.xid, e.id from kernel.event e where e.at < $2 order by e.xid desc, e.id desc limit 1) l"
    " join kernel.cursor c on c.subscriber = $1 and (c.xid, c.id) >= (l.xid, l.id)"
    " where not exists (select from kernel.snapshot s where s.subscriber = $1 and (s.xid, s.id) >= (l.xid, l.id)))",
)
TAKE = Statement(
    "insert into kernel.snapshot (subscriber, xid, id, state) values ($1, $2::xid8, $3, $4)"
    " on conflict (subscriber, xid, id) do update set state = excluded.state, made_at = excluded.made_at"
)
OLDEST = Query(Snapshot, "select xid, id, made_at, state from kernel.snapshot where subscriber = $1 order by xid, id limit 1")
FORGET_ALL = Statement("delete from kernel.snapshot where subscriber = $1")
FORGET_LATER = Statement("delete from kernel.snapshot where subscriber = $1 and (xid, id) > ($2::xid8, $3::uuid)")
HELD = Query(
    int, "select 1 from kernel.snapshot where subscriber = $1 and xid = $2::xid8 and id = $3 and made_at = $4 for update"
)
HURRY = Query(str, "select set_config('lock_timeout', '1s', true)")


async def take(tx: Tx, subscriber: str, module: str, state: State, place: Position) -> None:
    """Keeps the state as it is; `place` is the subscriber's, held by `tx`. Afterwards the kernel's role is back."""
    await tx.become(module_role(module), None)
    saved = await state.save(tx)
    await tx.become(module_role("kernel"), None)
    await tx.run(TAKE, subscriber, place.xid, place.id, saved)


async def forget_all(tx: Tx, subscriber: str) -> None:
    await tx.run(FORGET_ALL, subscriber)


async def keep(kernel: ModuleDatabase, subscriber: str, module: str, state: State, month: datetime) -> bool:
    """Takes a snapshot when there is none, or when what happened before `month` is handled and none has it. True when it did.

    Raises asyncpg.LockNotAvailableError when the subscriber is at work on one batch for longer than a second.
    """
    ctx = service_context(subscriber)
    async with kernel.tx(ctx) as tx:
        if not await tx.one(DUE, subscriber, month):
            return False
    async with kernel.tx(ctx) as tx:
        await tx.one(HURRY)
        place = await tx.maybe(HOLD, subscriber)
        if place is None or not await tx.one(DUE, subscriber, month):
            return False  # not registered yet; or another worker did it
        await take(tx, subscriber, module, state, place)
    return True
