"""What else is free, for those who lost a place. Many lose the same place in the same moment: they share one answer."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from forecourt.kernel.clock import Clock
from forecourt.kernel.context import Context, service_context
from forecourt.kernel.db import ModuleDatabase, Plans
from forecourt.kernel.memory import remember
from forecourt.kernel.period import Period
from forecourt.modules.booking import queries, slots
from forecourt.modules.booking.contract import Alternative
from forecourt.modules.booking.queries import Claim
from forecourt.modules.booking.service.pricing import Plan
from forecourt.modules.booking.slots import Busy, busy_window, claimed_ids
from forecourt.modules.venues.contract import Resource, VenueBook
from forecourt.modules.venues.contract.calendar import local

SHARE_S = 0.25
"""An answer is a hint, and a hint may be so old."""
MAX_SHARED = 500

_Key = tuple[UUID, UUID, Period, str, int]


class Alternatives:
    def __init__(self, db: ModuleDatabase, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        self._shared: OrderedDict[_Key, tuple[float, asyncio.Task[list[Alternative]]]] = OrderedDict()

    async def instead_of(self, ctx: Context, planned: Plan) -> list[Alternative]:
        """At most six other places or times of the same local day."""
        book = planned.book
        key = (book.venue.organisation_id, planned.resource.id, planned.period, planned.purpose.value, planned.team_size)
        found = self._shared.get(key)
        if found is None or found[0] < time.monotonic():
            found = (time.monotonic() + SHARE_S, asyncio.create_task(self._look(ctx, planned)))
            remember(self._shared, key, found, MAX_SHARED)
        return await asyncio.shield(found[1])

    async def _look(self, ctx: Context, planned: Plan) -> list[Alternative]:
        book = planned.book
        day = local(book, planned.period.start).date()
        now = self._clock.now()
        alike = [r for r in book.resources if r.active and r.kind is planned.resource.kind and r.sport == planned.resource.sport]
        about = service_context("booking.alternatives", book.venue.organisation_id, ctx.trace_id)
        window = busy_window(book, alike, day, day, planned.period.duration_min)
        busy = await read_busy(self._db, about, book, alike, window, self._clock)
        return slots.alternatives(
            book,
            planned.resource,
            planned.period,
            purpose=planned.purpose,
            team_size=planned.team_size,
            busy=busy,
            now=now,
        )


async def read_busy(
    db: ModuleDatabase, ctx: Context, book: VenueBook, resources: list[Resource], window: Period, clock: Clock
) -> dict[UUID, Busy]:
    """What makes each resource busy inside `window`: claims on itself and on its parts. One read."""
    lies_on = {r.id: claimed_ids(book, r) for r in resources}
    wanted = sorted({i for ids in lies_on.values() for i in ids})
    async with db.read(ctx.within(book.venue.organisation_id), plans=Plans.KEPT) as tx:
        claims = await queries.busy(tx, book.venue.organisation_id, wanted, window, clock.now())
    return by_resource(lies_on, claims)


class BusyAsked(msgspec.Struct, frozen=True):
    """What `read_busy` is asked of one venue."""

    book: VenueBook
    resources: list[Resource]
    window: Period


async def read_busy_of_many(db: ModuleDatabase, ctx: Context, asked: Sequence[BusyAsked], clock: Clock) -> list[dict[UUID, Busy]]:
    """`read_busy` of several venues, of any organisations: the answers in the order asked. One read."""
    lies_on = [{r.id: claimed_ids(a.book, r) for r in a.resources} for a in asked]
    wanted = [
        queries.Within(a.book.venue.organisation_id, id, a.window)
        for a, on in zip(asked, lies_on, strict=True)
        for id in sorted({i for ids in on.values() for i in ids})
    ]
    if not wanted:
        return [{} for _ in asked]
    async with db.read(ctx.within(None)) as tx:
        claims = await queries.claims_among(tx, wanted, clock.now())
    on_resource: dict[UUID, list[tuple[datetime, datetime]]] = {}
    for claim in claims:
        on_resource.setdefault(claim.resource_id, []).append((claim.starts_at, claim.ends_at))
    return [{r: [c for i in ids for c in on_resource.get(i, ())] for r, ids in on.items()} for on in lies_on]


def by_resource(lies_on: dict[UUID, list[UUID]], claims: list[Claim]) -> dict[UUID, Busy]:
    """The claims that make each resource busy: those on any of the resources it lies on."""
    on: dict[UUID, list[tuple[datetime, datetime]]] = {}
    for claim in claims:
        on.setdefault(claim.resource_id, []).append((claim.starts_at, claim.ends_at))
    return {r: [c for i in ids for c in on.get(i, ())] for r, ids in lies_on.items()}
