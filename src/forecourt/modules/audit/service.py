"""Recording, asking, verifying."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec

from forecourt.kernel.clock import Clock
from forecourt.kernel.context import Context, service_context
from forecourt.kernel.db import ModuleDatabase, Tx
from forecourt.kernel.events import Envelope
from forecourt.kernel.paging import Keyset, Page
from forecourt.modules.audit import queries
from forecourt.modules.audit.contract import HOUSE, AuditActor, AuditEntry, AuditObject, Fault, Proof
from forecourt.modules.audit.queries import Head, Wanted
from forecourt.modules.audit.rules import START, Entry, break_in, link, mentions, subject

STRETCH = 1_000
"""So many entries are verified at a time: a chain of any length fits in memory."""
CHAINS_AT_ONCE = 500
BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)
END = datetime(2200, 1, 1, tzinfo=UTC)
LAST_SEQ = 2**62

ENTRIES = Keyset("audit", int)
_encode = msgspec.json.Encoder().encode


class AuditService:
    """The record of one database."""

    def __init__(self, db: ModuleDatabase, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    # --- writing: the only writer is the event log

    async def record(self, tx: Tx, envelopes: list[Envelope[Any]]) -> None:
        """Appends an entry per event to the chain of their organisation. What is recorded already stays as it is."""
        organisation_id = envelopes[0].organisation_id or HOUSE
        head = await queries.hold_chain(tx, organisation_id)
        known = await queries.known(tx, organisation_id, [e.id for e in envelopes])
        fresh = [e for e in envelopes if e.id not in known]
        if not fresh:
            return
        plain = [self._entry(organisation_id, head.seq + i, e) for i, e in enumerate(fresh, 1)]
        linked = link([entry for entry, _ in plain], head.hash)
        found = [(entry, o) for entry, (_, objects) in zip(linked, plain, strict=True) for o in objects]
        await queries.append(tx, organisation_id, linked, found)

    @staticmethod
    def _entry(organisation_id: UUID, seq: int, envelope: Envelope[Any]) -> tuple[Entry, list[AuditObject]]:
        """The unsealed entry of an event, and every object it mentions."""
        details = _encode(envelope.event)
        objects = mentions(msgspec.json.decode(details, type=dict[str, object]))
        about = subject(envelope.name, objects)
        actor = envelope.actor
        entry = Entry(
            organisation_id,
            seq,
            envelope.at,
            envelope.id,
            envelope.name,
            envelope.version,
            actor.kind.value,
            actor.account_id,
            actor.key_id,
            next(iter(actor.scopes), ""),
            envelope.address,
            envelope.trace_id,
            about.kind,
            about.id,
            details.decode(),
        )
        return entry, objects

    # --- asking

    async def entries(
        self,
        ctx: Context,
        *,
        about: AuditObject | None = None,
        actor: UUID | None = None,
        action: str = "",
        start: datetime | None = None,
        end: datetime | None = None,
        limit: int,
        cursor: str | None = None,
    ) -> Page[AuditEntry]:
        """Entries of `ctx`'s organisation, newest first. Times are `[start, end)`; `action` is a name or its first part."""
        before = ENTRIES.decode(cursor)
        wanted = Wanted(LAST_SEQ if before is None else before, start or BEGINNING, end or END, actor, action, about)
        async with self._db.read(ctx) as tx:
            rows = await queries.latest(tx, ctx.organisation_id or HOUSE, wanted, limit + 1)
        return ENTRIES.page(rows, limit, lambda row: row.seq).map(shown)

    # --- verifying

    async def verify(self, ctx: Context, *, noted: str = "") -> Proof:
        """Reads the whole chain of `ctx`'s organisation and recomputes it.

        `noted` is the head of an earlier proof, kept outside: when no entry has that hash the chain was written anew.
        """
        organisation_id = ctx.organisation_id or HOUSE
        async with self._db.read(ctx) as tx:
            # The end is read after the highest number: an entry that is written meanwhile moves the end with it.
            top = await queries.top(tx, organisation_id)
            head = await queries.chain(tx, organisation_id)
            fault = await self._walk(tx, organisation_id, head, noted)
        if fault is None and top > head.seq:
            fault = Fault(head.seq + 1, "was added outside the chain")
        return Proof(organisation_id, head.seq, head.hash.hex(), intact=fault is None, fault=fault)

    @staticmethod
    async def _walk(tx: Tx, organisation_id: UUID, head: Head, noted: str) -> Fault | None:
        """The first fault on the way from the beginning to `head`."""
        last, met = Head(0, START), not noted
        while rows := await queries.stretch(tx, organisation_id, last.seq, head.seq, STRETCH):
            fault = break_in(rows, last.seq, last.hash)
            if fault is not None:
                return fault
            met = met or any(row.hash.hex() == noted for row in rows)
            last = Head(rows[-1].seq, rows[-1].hash)
        if last.seq < head.seq:
            return Fault(last.seq + 1, "is missing at the end")
        if last.hash != head.hash:
            return Fault(last.seq, "is not the entry that the chain ends with")
        return None if met else Fault(1, "the noted head is not in the chain: it was written anew")

    async def verify_all(self) -> AsyncIterator[Proof]:
        """Every chain of the database, the house's own first. For the command line."""
        house = service_context("audit.verify")
        yield await self.verify(house)
        after = HOUSE
        while True:
            async with self._db.read(house) as tx:
                some = await queries.chains(tx, after, CHAINS_AT_ONCE)
            for organisation_id in some:
                yield await self.verify(house.within(organisation_id))
            if len(some) < CHAINS_AT_ONCE:
                return
            after = some[-1]

    # --- housekeeping

    async def make_room(self, ctx: Context) -> None:
        """The partitions of this year and the next."""
        async with self._db.tx(ctx) as tx:
            await queries.make_partitions(tx)


def shown(entry: Entry) -> AuditEntry:
    """An entry as people and programs read it."""
    return AuditEntry(
        seq=entry.seq,
        at=entry.at,
        action=entry.name,
        actor=AuditActor(entry.actor_kind, entry.account_id, entry.key_id, entry.service),
        object=AuditObject(entry.object_kind, entry.object_id),
        details=msgspec.Raw(entry.details.encode()),
        address=entry.address,
        trace_id=entry.trace_id,
        hash=entry.hash.hex(),
    )
