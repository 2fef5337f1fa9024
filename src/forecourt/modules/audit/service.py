"""Recording, asking, verifying."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from secrets import token_bytes
from typing import Any
from uuid import UUID

import msgspec

from forecourt.kernel.clock import Clock
from forecourt.kernel.context import Actor, ActorKind, Context, service_context
from forecourt.kernel.db import ModuleDatabase, Tx
from forecourt.kernel.errors import Invalid
from forecourt.kernel.events import Envelope, Event, Logged, emit, forget_addresses, forget_words
from forecourt.kernel.paging import Keyset, Page
from forecourt.modules.audit import queries
from forecourt.modules.audit.contract import (
    HOUSE,
    AuditActor,
    AuditEntry,
    AuditExported,
    AuditObject,
    ExportedEntry,
    ExportFormat,
    ExportTooLarge,
    Fault,
    Proof,
)
from forecourt.modules.audit.queries import Cut, Head, Place, Wanted
from forecourt.modules.audit.rules import START, Entry, break_in, covered, erased, follows, link, mentions, subject

STRETCH = 1_000
"""So many entries are verified at a time: a chain of any length fits in memory."""
CHAINS_AT_ONCE = 500
SALT_BYTES = 16
FORGOTTEN_AT_ONCE = 500
"""So many entries are emptied in one transaction."""
MAX_EXPORTED = 100_000
"""So many entries one export holds; a longer record is taken out piece by piece, by time."""
MAX_EXPORT_SPAN = timedelta(days=366)
BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)
END = datetime(2200, 1, 1, tzinfo=UTC)
LAST_SEQ = 2**62
FROM_THE_FIRST = (0, BEGINNING)

ENTRIES = Keyset("audit", int)
_encode = msgspec.json.Encoder().encode


class Export(msgspec.Struct, frozen=True):
    """Entries on their way out of the house, oldest first, in portions. `head` is the chain's end when the export began."""

    start: datetime
    end: datetime
    entries: int
    head: str
    portions: AsyncIterator[list[ExportedEntry]]


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
        details, words = apart(envelope.event)
        objects = mentioned(details)
        about = subject(envelope.name, objects)
        actor = envelope.actor
        address_salt = token_bytes(SALT_BYTES) if envelope.address else None
        words_salt = token_bytes(SALT_BYTES) if words else None
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
            details,
            address_salt=address_salt,
            address_digest=covered(envelope.address, address_salt),
            words=words or None,
            words_salt=words_salt,
            words_digest=covered(words, words_salt),
            xid=envelope.xid,
        )
        return entry, objects

    # --- forgetting

    async def forget(self, ctx: Context, account_id: UUID) -> None:
        """Empties what the records and the event log say of an erased person: from where they acted, what was written about them.

        Portion by portion, each in a transaction of its own. Done again it finds nothing; killed, it is to be done again.
        """
        them = msgspec.structs.replace(ctx, actor=Actor(kind=ActorKind.SERVICE, account_id=account_id, scopes=ctx.actor.scopes))
        async for organisation_id in self._with_somebody(them, account_id):
            there = them.within(organisation_id)
            await self._empty(there, partial(self._forget_addresses, organisation_id, account_id))
            await self._empty(there, partial(self._forget_words, organisation_id, account_id))

    async def _with_somebody(self, them: Context, account_id: UUID) -> AsyncIterator[UUID]:
        """Every organisation, and HOUSE, in whose record the person acted or is named."""
        last, some = HOUSE, [HOUSE]
        while some:
            async with self._db.tx(them) as tx:
                found = await queries.with_somebody(tx, some, account_id)
                some = await queries.chains(tx, last, CHAINS_AT_ONCE)
                last = some[-1] if some else last
            for organisation_id in found:
                yield organisation_id

    async def _empty(self, there: Context, portion: Callable[[Tx, int], Awaitable[list[Place]]]) -> None:
        last = 0
        while True:
            async with self._db.tx(there) as tx:
                places = await portion(tx, last)
            if len(places) < FORGOTTEN_AT_ONCE:
                return
            last = places[-1].seq

    @staticmethod
    async def _forget_addresses(organisation_id: UUID, account_id: UUID, tx: Tx, after_seq: int) -> list[Place]:
        places = await queries.done_by(tx, organisation_id, account_id, after_seq, FORGOTTEN_AT_ONCE)
        await queries.empty_addresses(tx, organisation_id, account_id, [place.seq for place in places])
        await forget_addresses(tx, _in_the_log(places))
        return places

    @staticmethod
    async def _forget_words(organisation_id: UUID, account_id: UUID, tx: Tx, after_seq: int) -> list[Place]:
        places = await queries.said_about(tx, organisation_id, account_id, after_seq, FORGOTTEN_AT_ONCE)
        await queries.empty_words(tx, organisation_id, [place.seq for place in places])
        await forget_words(tx, _in_the_log(places))
        return places

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

    # --- taking out

    async def export(
        self,
        ctx: Context,
        format: ExportFormat,
        *,
        about: AuditObject | None = None,
        actor: UUID | None = None,
        action: str = "",
        start: datetime | None = None,
        end: datetime | None = None,
    ) -> Export:
        """Entries of `ctx`'s organisation in the order of the chain, up to now; says so in the record itself.

        Times are `[start, end)`: without an end, up to now; without a start, the 366 days before the end. What is written while
        the export runs is not in it. Raises Invalid for a span that is longer or empty, ExportTooLarge beyond MAX_EXPORTED.
        """
        organisation_id = ctx.organisation_id or HOUSE
        until = end or self._clock.now()
        start = start or until - MAX_EXPORT_SPAN
        if not start < until:
            raise Invalid.field("to", "must come after `from`")
        if until - start > MAX_EXPORT_SPAN:
            raise Invalid.field("from", "at most 366 days before `to`")
        async with self._db.tx(ctx) as tx:
            # An entry added outside the chain has a number beyond its end. It is shown too, as what it is.
            top = await queries.top(tx, organisation_id)
            head = await queries.chain(tx, organisation_id)
            cut = Cut(max(top, head.seq), start, end or END, actor, action, about)
            entries = await queries.fitting(tx, organisation_id, cut, FROM_THE_FIRST, MAX_EXPORTED + 1)
            if entries > MAX_EXPORTED:
                raise ExportTooLarge(f"at most {MAX_EXPORTED:,} entries; choose a shorter time")
            emit(
                tx,
                AuditExported(
                    organisation_id=organisation_id,
                    format=format,
                    start=start,
                    end=until,
                    about=f"{about.kind}:{about.id}" if about else "",
                    by=str(actor or ""),
                    action=action,
                    entries=entries,
                    head=head.hash.hex(),
                ),
            )
        return Export(start, until, entries, head.hash.hex(), self._portions(ctx, organisation_id, cut, head.seq))

    async def _portions(self, ctx: Context, organisation_id: UUID, cut: Cut, head_seq: int) -> AsyncIterator[list[ExportedEntry]]:
        """Each portion in a transaction of its own: nothing is held while a slow reader reads, and entries do not change."""
        after = FROM_THE_FIRST
        while True:
            async with self._db.read(ctx) as tx:
                rows = await queries.following(tx, organisation_id, cut, after, STRETCH)
                before = {row.seq: row.hash for row in rows} | {0: START}
                others = [row.seq - 1 for row in rows if row.seq - 1 not in before]
                before |= await queries.hashes(tx, organisation_id, others) if others else {}
            if rows:
                yield [_leaving(row, intact=row.seq <= head_seq and follows(row, before.get(row.seq - 1))) for row in rows]
                after = (rows[-1].seq, rows[-1].at)
            if len(rows) < STRETCH:
                return

    # --- verifying

    async def verify(self, ctx: Context, *, noted: str = "") -> Proof:
        """Reads the whole chain of `ctx`'s organisation and recomputes it; each entry must be found by what it mentions, too.

        `noted` is the head of an earlier proof, kept outside: when no entry has that hash the chain was written anew.
        """
        organisation_id = ctx.organisation_id or HOUSE
        async with self._db.read(ctx) as tx:
            # The end is read after the highest number: an entry that is written meanwhile moves the end with it.
            top = await queries.top(tx, organisation_id)
            head = await queries.chain(tx, organisation_id)
            fault, emptied = await self._walk(tx, organisation_id, head, noted)
        if fault is None and top > head.seq:
            fault = Fault(head.seq + 1, "was added outside the chain")
        return Proof(organisation_id, head.seq, head.hash.hex(), intact=fault is None, fault=fault, erased=emptied)

    @staticmethod
    async def _walk(tx: Tx, organisation_id: UUID, head: Head, noted: str) -> tuple[Fault | None, int]:
        """The first fault on the way from the beginning to `head`, and of how many entries up to there something is erased."""
        last, met, emptied = Head(0, START), not noted, 0
        while rows := await queries.stretch(tx, organisation_id, last.seq, head.seq, STRETCH):
            fault = break_in(rows, last.seq, last.hash)
            if fault is not None:
                return fault, emptied
            hidden = await queries.unmentioned(tx, organisation_id, [(row, o) for row in rows for o in mentioned(row.details)])
            if hidden is not None:
                return Fault(hidden, "is not found by what it mentions"), emptied
            emptied += sum(1 for row in rows if erased(row))
            met = met or any(row.hash.hex() == noted for row in rows)
            last = Head(rows[-1].seq, rows[-1].hash)
        if last.seq < head.seq:
            return Fault(last.seq + 1, "is missing at the end"), emptied
        if last.hash != head.hash:
            return Fault(last.seq, "is not the entry that the chain ends with"), emptied
        return None if met else Fault(1, "the noted head is not in the chain: it was written anew"), emptied

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


def apart(event: Event) -> tuple[str, str]:
    """An event as JSON without its words about a person, and these, empty when there are none."""
    whole = _encode(event)
    if not event.personal:
        return whole.decode(), ""
    fields: dict[str, object] = msgspec.json.decode(whole)
    words = {field: fields.pop(field) for field in event.personal if fields.get(field)}
    return _encode(fields).decode(), _encode(words).decode() if words else ""


def _in_the_log(places: list[Place]) -> list[Logged]:
    return [Logged(place.xid, place.event_id, place.at) for place in places if place.xid is not None]


def mentioned(details: str | bytes) -> list[AuditObject]:
    """The objects by which an entry with these details is found."""
    return mentions(msgspec.json.decode(details, type=dict[str, object]))


def _leaving(entry: Entry, *, intact: bool) -> ExportedEntry:
    return ExportedEntry(**msgspec.structs.asdict(shown(entry)), intact=intact)


def shown(entry: Entry) -> AuditEntry:
    """An entry as people and programs read it."""
    return AuditEntry(
        seq=entry.seq,
        at=entry.at,
        action=entry.name,
        actor=AuditActor(entry.actor_kind, entry.account_id, entry.key_id, entry.service),
        object=AuditObject(entry.object_kind, entry.object_id),
        details=msgspec.Raw(_whole(entry)),
        address=entry.address,
        trace_id=entry.trace_id,
        hash=entry.hash.hex(),
        erased=erased(entry),
    )


def _whole(entry: Entry) -> bytes:
    if entry.words is None:
        return entry.details.encode()
    return _encode(msgspec.json.decode(entry.details, type=dict[str, object]) | msgspec.json.decode(entry.words))
