"""Blocks: time that staff take out, once or by a rule. A block never overwrites a booking: those in its way are listed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Annotated
from uuid import UUID

import asyncpg
import msgspec
from msgspec import Meta

from forecourt.kernel.context import Context
from forecourt.kernel.errors import Invalid, NotFound
from forecourt.kernel.events import emit
from forecourt.kernel.ids import new_id
from forecourt.kernel.paging import Keyset, Page, Paged
from forecourt.kernel.period import Period
from forecourt.modules.booking import queries, rules, slots
from forecourt.modules.booking.contract import (
    Alternative,
    Block,
    BlockHit,
    BlockPlaced,
    BlockPreview,
    BlockRemoved,
    NewBlock,
    PlaceBlocked,
)
from forecourt.modules.booking.queries import BlockRow, BookingRow
from forecourt.modules.booking.service.alternatives import read_busy
from forecourt.modules.booking.service.base import claiming, organisation, present
from forecourt.modules.booking.service.desk import Desk
from forecourt.modules.booking.service.holding import DEADLOCK_TRIES
from forecourt.modules.booking.service.reading import bounded
from forecourt.modules.booking.service.recurrence import occurrences
from forecourt.modules.booking.slots import Busy, busy_window, claimed_ids
from forecourt.modules.venues.contract import VenueBook
from forecourt.modules.venues.contract.calendar import local

MAX_CLAIMS = 10_000
LONGEST_MIN = 1440
"""No booking lasts longer than a day."""
MAX_HITS = 100
MAX_DAYS_OF_MOVES = 20
MOVES = 3

BLOCKS = Keyset("blocks", tuple[datetime, UUID])
_FIRST, _NIL = datetime(1970, 1, 1, tzinfo=UTC), UUID(int=0)


class BlocksQuery(Paged, forbid_unknown_fields=True, kw_only=True, rename={"from_": "from"}):
    """Blocks that end after `from`, by their start."""

    venue_id: UUID | None = None
    from_: Annotated[datetime, Meta(tz=True)] | None = None


class _Draft(msgspec.Struct, frozen=True):
    book: VenueBook
    row: BlockRow
    claimed: list[UUID]
    times: list[Period]


class _InTheWay(Exception):
    """Somebody has a claim. Leaves the transaction, so that none of the block is placed."""


class Blocking(Desk):
    async def preview_block(self, ctx: Context, new: NewBlock) -> BlockPreview:
        """When the block would happen and which bookings it would hit, with places they could move to. Writes nothing."""
        draft = await self._draft(ctx, new)
        return BlockPreview(draft.times, await self._hits(ctx, draft))

    async def place_block(self, ctx: Context, new: NewBlock) -> Block:
        """Takes the time out, all of it or nothing. Raises PlaceBlocked with the bookings in the way, NotFound, Invalid."""
        draft = await self._draft(ctx, new)
        for attempt in range(DEADLOCK_TRIES):
            try:
                await self._claim_block(ctx, draft)
                return _block(draft.row)
            except asyncpg.DeadlockDetectedError:
                if attempt == DEADLOCK_TRIES - 1:
                    raise
            except asyncpg.UniqueViolationError:
                return await self._block_made_before(ctx, draft.row.id)
            except _InTheWay:
                break
        hits = await self._hits(ctx, draft)
        raise PlaceBlocked(
            "Bookings are in the way; move or cancel them first." if hits else "Another block is there already.",
            hits=msgspec.to_builtins(hits),
        )

    async def _block_made_before(self, ctx: Context, block_id: UUID) -> Block:
        """A retry with the same Idempotency-Key finds the block of its first attempt."""
        async with self.db.read(ctx) as tx:
            return _block(await queries.block(tx, organisation(ctx), block_id))

    async def _claim_block(self, ctx: Context, draft: _Draft) -> None:
        row, now = draft.row, self.clock.now()
        async with self.db.tx(ctx, lock=claiming(row.venue_id)) as tx:
            await self.check_current(tx, draft.book)
            await queries.add_block(tx, row, ctx.account_id, now)
            won = await queries.claim_block(tx, row, draft.claimed, draft.times, now)
            if won < len(draft.claimed) * len(draft.times):
                raise _InTheWay
            emit(
                tx,
                BlockPlaced(
                    organisation_id=row.organisation_id,
                    venue_id=row.venue_id,
                    resource_ids=row.resource_ids,
                    block_id=row.id,
                    start=row.starts_at,
                    end=row.until,
                    reason=row.reason,
                ),
            )
            self.announce(tx, row.venue_id, draft.book.venue.timezone, *((p.start, p.end) for p in draft.times))

    async def blocks(self, ctx: Context, query: BlocksQuery) -> Page[Block]:
        key = BLOCKS.decode(query.cursor) or (_FIRST, _NIL)
        after = bounded(query.from_, _FIRST)
        async with self.db.read(ctx) as tx:
            rows = await queries.blocks(tx, organisation(ctx), query.venue_id, after, key, query.limit + 1)
        return BLOCKS.page(rows, query.limit, lambda row: (row.starts_at, row.id)).map(_block)

    async def remove_block(self, ctx: Context, block_id: UUID) -> None:
        """Gives the time back, past occurrences included. Raises NotFound."""
        organisation_id = organisation(ctx)
        async with self.db.read(ctx) as tx:
            row = await queries.block(tx, organisation_id, block_id)
        book = await self.books.of_venue(row.venue_id)
        times = occurrences(Period(row.starts_at, row.ends_at), row.rrule, book.venue.timezone)
        async with self.db.tx(ctx) as tx:
            await queries.block(tx, organisation_id, block_id)
            await queries.end_block(tx, organisation_id, block_id)
            emit(
                tx,
                BlockRemoved(
                    organisation_id=organisation_id,
                    venue_id=row.venue_id,
                    resource_ids=row.resource_ids,
                    block_id=row.id,
                    start=row.starts_at,
                    end=row.until,
                ),
            )
            self.announce(tx, row.venue_id, book.venue.timezone, *((p.start, p.end) for p in times))

    # --- what is in the way

    async def _draft(self, ctx: Context, new: NewBlock) -> _Draft:
        organisation_id = organisation(ctx)
        if new.end <= new.start:
            raise Invalid.field("end", "is not after the start")
        for name, at in (("start", new.start), ("end", new.end)):
            if not rules.EARLIEST <= at < rules.LATEST:
                raise Invalid.field(name, "is not between the years 2000 and 2199")
        resource_ids = sorted(set(new.resource_ids))
        book, _ = await self.books.of_resource(resource_ids[0])
        resources = [book.resource(i) for i in resource_ids]
        if book.venue.organisation_id != organisation_id:
            raise NotFound
        if any(r is None or r.removed for r in resources):
            raise Invalid.field("resource_ids", "are not all things of one venue")
        claimed = sorted({i for r in resources if r is not None for i in claimed_ids(book, r)})
        period = Period(new.start.astimezone(UTC), new.end.astimezone(UTC))
        times = occurrences(period, new.rrule, book.venue.timezone)
        if len(times) * len(claimed) > MAX_CLAIMS:
            raise Invalid.field("rrule", f"{len(times)} times on {len(claimed)} things are too many at once; make several blocks")
        row = BlockRow(
            organisation_id=organisation_id,
            id=ctx.idempotency_id or new_id(),
            venue_id=book.venue.id,
            resource_ids=resource_ids,
            starts_at=times[0].start,
            ends_at=times[0].end,
            until=times[-1].end,
            reason=new.reason,
            rrule=new.rrule,
        )
        return _Draft(book, row, claimed, times)

    async def _hits(self, ctx: Context, draft: _Draft) -> list[BlockHit]:
        """Bookings in the way, in order of their start, at most MAX_HITS."""
        rows = await self._bookings_in(ctx, draft)
        days = sorted({local(draft.book, row.starts_at).date() for row in rows})[:MAX_DAYS_OF_MOVES]
        hits: list[BlockHit] = []
        busy_on: dict[date, dict[UUID, Busy]] = {}
        for row in rows:
            day = local(draft.book, row.starts_at).date()
            if day in days and day not in busy_on:
                busy_on[day] = await self._busy_with(ctx, draft, day)
            hits.append(BlockHit(present(row), self._moves(draft, row, busy_on.get(day))))
        return hits

    async def _bookings_in(self, ctx: Context, draft: _Draft) -> list[BookingRow]:
        whole = Period(draft.row.starts_at, draft.row.until)
        async with self.db.read(ctx) as tx:
            there = await queries.claimants(tx, draft.row.organisation_id, draft.claimed, whole, self.clock.now())
            hit = {
                c.booking_id
                for c in there
                if c.booking_id is not None and _overlaps_any(Period(c.starts_at, c.ends_at), draft.times)
            }
            rows = await queries.bookings_among(tx, [draft.row.organisation_id], sorted(hit)[:MAX_HITS])
        return sorted(rows, key=lambda row: (row.starts_at, row.id))

    async def _busy_with(self, ctx: Context, draft: _Draft, day: date) -> dict[UUID, Busy]:
        """What is taken on that day, the block included."""
        book = draft.book
        resources = [r for r in book.resources if r.active]
        window = busy_window(book, resources, day, day, LONGEST_MIN)
        busy = await read_busy(self.db, ctx, book, resources, window, self.clock)
        mine = [(p.start, p.end) for p in draft.times if p.overlaps(window)]
        blocked = set(draft.claimed)
        return {
            r.id: [*busy.get(r.id, ()), *mine] if blocked.intersection(claimed_ids(book, r)) else busy.get(r.id, ())
            for r in resources
        }

    def _moves(self, draft: _Draft, row: BookingRow, busy: dict[UUID, Busy] | None) -> list[Alternative]:
        resource = draft.book.resource(row.resource_id)
        if busy is None or resource is None:
            return []
        return slots.alternatives(
            draft.book,
            resource,
            row.period,
            purpose=row.purpose,
            team_size=row.team_size,
            busy=busy,
            now=self.clock.now(),
            limit=MOVES,
        )


def _overlaps_any(period: Period, times: Sequence[Period]) -> bool:
    return any(period.overlaps(t) for t in times)


def _block(row: BlockRow) -> Block:
    return Block(row.id, row.organisation_id, row.venue_id, row.resource_ids, row.starts_at, row.ends_at, row.reason, row.rrule)
