"""All SQL of audit."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import LiteralString
from uuid import UUID

import msgspec

from forecourt.kernel.db import Query, Statement, Sweep, Tx
from forecourt.modules.audit.contract import AuditObject
from forecourt.modules.audit.rules import START, Entry

READ_ENTRY: LiteralString = (
    "select e.organisation_id, e.seq, e.at, e.event_id, e.name, e.version::int, e.actor_kind, e.account_id, e.key_id, e.service,"
    " e.address, e.trace_id, e.object_kind, e.object_id, e.details, e.hash, e.address_salt, e.address_digest, e.words,"
    " e.words_salt, e.words_digest, e.xid"
)


class Head(msgspec.Struct, frozen=True):
    """The last entry of a chain."""

    seq: int
    hash: bytes


class Sealed(msgspec.Struct, frozen=True):
    """The seal of an entry."""

    seq: int
    hash: bytes


class Place(msgspec.Struct, frozen=True):
    """Where an entry is, and where its event lies in the log; that is not known of entries of release 0.1."""

    seq: int
    at: datetime
    event_id: UUID
    xid: int | None


BEGIN_CHAIN = Statement("insert into audit.chain (organisation_id, hash) values ($1, $2) on conflict do nothing")
HOLD_CHAIN = Query(Head, "select c.seq, c.hash from audit.chain c where c.organisation_id = $1 for update")
CHAIN = Query(Head, "select c.seq, c.hash from audit.chain c where c.organisation_id = $1")
CHAINS = Sweep(
    UUID, "select c.organisation_id from audit.chain c where c.organisation_id > $1 order by c.organisation_id limit $2"
)
MOVE_HEAD = Statement("update audit.chain set seq = $2, hash = $3 where organisation_id = $1")
KNOWN = Query(UUID, "select e.event_id from audit.entry e where e.organisation_id = $1 and e.event_id = any($2::uuid[])")
INSERT = Statement(
    "insert into audit.entry (organisation_id, seq, at, event_id, name, version, actor_kind, account_id, key_id, service,"
    " address, trace_id, object_kind, object_id, details, hash, address_salt, address_digest, words, words_salt, words_digest,"
    " xid) select n.organisation_id, n.seq, n.at, n.event_id, n.name, n.version, n.actor_kind, n.account_id, n.key_id, n.service,"
    " n.address, n.trace_id, n.object_kind, n.object_id, n.details, n.hash, n.address_salt, n.address_digest, n.words,"
    " n.words_salt, n.words_digest, n.xid"
    " from unnest($1::uuid[], $2::bigint[], $3::timestamptz[], $4::uuid[], $5::text[], $6::smallint[], $7::text[], $8::uuid[],"
    " $9::uuid[], $10::text[], $11::text[], $12::text[], $13::text[], $14::uuid[], $15::text[], $16::bytea[], $17::bytea[],"
    " $18::bytea[], $19::text[], $20::bytea[], $21::bytea[], $22::xid8[])"
    " as n (organisation_id, seq, at, event_id, name, version, actor_kind, account_id, key_id, service, address, trace_id,"
    " object_kind, object_id, details, hash, address_salt, address_digest, words, words_salt, words_digest, xid) returning 1"
)
MENTION = Statement(
    "insert into audit.mention (organisation_id, object_id, seq, object_kind, at)"
    " select $1, m.object_id, m.seq, m.object_kind, m.at"
    " from unnest($2::uuid[], $3::bigint[], $4::text[], $5::timestamptz[]) as m (object_id, seq, object_kind, at)"
    " on conflict do nothing"
)
UNMENTIONED = Query(
    int,
    "select m.seq from unnest($2::uuid[], $3::bigint[], $4::text[], $5::timestamptz[]) as m (object_id, seq, object_kind, at)"
    " where not exists (select from audit.mention t where t.organisation_id = $1 and t.object_id = m.object_id and t.seq = m.seq"
    " and t.object_kind = m.object_kind and t.at = m.at) order by m.seq limit 1",
)
STRETCH = Query(
    Entry,
    READ_ENTRY + " from audit.entry e where e.organisation_id = $1 and e.seq > $2 and e.seq <= $3 order by e.seq, e.at limit $4",
)
LATEST = Query(
    Entry,
    READ_ENTRY + " from audit.entry e where e.organisation_id = $1 and e.seq < $2 and e.at >= $3 and e.at < $4"
    " and ($5::uuid is null or e.account_id = $5 or e.key_id = $5) and ($6 = '' or e.name = $6 or starts_with(e.name, $6 || '.'))"
    " order by e.seq desc limit $7",
)
LATEST_ABOUT = Query(
    Entry,
    READ_ENTRY
    + " from audit.mention m join audit.entry e on e.organisation_id = m.organisation_id and e.seq = m.seq and e.at = m.at"
    " where m.organisation_id = $1 and m.object_id = $8 and ($9 = '' or m.object_kind = $9) and m.seq < $2 and m.at >= $3"
    " and m.at < $4"
    " and ($5::uuid is null or e.account_id = $5 or e.key_id = $5) and ($6 = '' or e.name = $6 or starts_with(e.name, $6 || '.'))"
    " order by m.seq desc limit $7",
)
FOLLOWING = Query(
    Entry,
    READ_ENTRY
    + " from audit.entry e where e.organisation_id = $1 and (e.seq, e.at) > ($2, $3) and e.seq <= $4 and e.at >= $5 and e.at < $6"
    " and ($7::uuid is null or e.account_id = $7 or e.key_id = $7) and ($8 = '' or e.name = $8 or starts_with(e.name, $8 || '.'))"
    " order by e.seq, e.at limit $9",
)
FOLLOWING_ABOUT = Query(
    Entry,
    READ_ENTRY  # noqa: S608 - a constant
    + " from (select distinct m.seq, m.at from audit.mention m where m.organisation_id = $1 and m.object_id = $10"
    " and ($11 = '' or m.object_kind = $11) and (m.seq, m.at) > ($2, $3) and m.seq <= $4 and m.at >= $5 and m.at < $6) m"
    " join audit.entry e on e.organisation_id = $1 and e.seq = m.seq and e.at = m.at"
    " where ($7::uuid is null or e.account_id = $7 or e.key_id = $7)"
    " and ($8 = '' or e.name = $8 or starts_with(e.name, $8 || '.'))"
    " order by e.seq, e.at limit $9",
)
FITTING = Query(
    int,
    "select count(*)::int from (select 1 from audit.entry e where e.organisation_id = $1 and (e.seq, e.at) > ($2, $3)"
    " and e.seq <= $4 and e.at >= $5 and e.at < $6 and ($7::uuid is null or e.account_id = $7 or e.key_id = $7)"
    " and ($8 = '' or e.name = $8 or starts_with(e.name, $8 || '.')) limit $9) f",
)
FITTING_ABOUT = Query(
    int,
    "select count(*)::int from (select 1 from (select distinct m.seq, m.at from audit.mention m where m.organisation_id = $1"
    " and m.object_id = $10 and ($11 = '' or m.object_kind = $11) and (m.seq, m.at) > ($2, $3) and m.seq <= $4 and m.at >= $5"
    " and m.at < $6) m join audit.entry e on e.organisation_id = $1 and e.seq = m.seq and e.at = m.at"
    " where ($7::uuid is null or e.account_id = $7 or e.key_id = $7)"
    " and ($8 = '' or e.name = $8 or starts_with(e.name, $8 || '.')) limit $9) f",
)
HASHES = Query(
    Sealed, "select e.seq, e.hash from audit.entry e where e.organisation_id = $1 and e.seq = any($2::bigint[]) limit $3"
)
TOP = Query(int, "select coalesce(max(e.seq), 0) from audit.entry e where e.organisation_id = $1")
WITH_SOMEBODY = Query(
    UUID,
    "select e.organisation_id from audit.entry e where e.organisation_id = any($1::uuid[]) and e.account_id = $2"
    " group by e.organisation_id union"
    " select m.organisation_id from audit.mention m where m.organisation_id = any($1::uuid[]) and m.object_id = $2"
    " group by m.organisation_id",
)
DONE_BY = Query(
    Place,
    "select e.seq, e.at, e.event_id, e.xid from audit.entry e where e.organisation_id = $1 and e.account_id = $2 and e.seq > $3"
    " and e.address_digest is not null and e.address_salt is not null order by e.seq limit $4",
)
SAID_ABOUT = Query(
    Place,
    "select e.seq, e.at, e.event_id, e.xid from audit.mention m"
    " join audit.entry e on e.organisation_id = m.organisation_id and e.seq = m.seq and e.at = m.at"
    " where m.organisation_id = $1 and m.object_id = $2 and m.object_kind = 'account' and m.seq > $3 and e.words is not null"
    " order by m.seq limit $4",
)
EMPTY_ADDRESSES = Statement(
    "update audit.entry set address = '', address_salt = null where organisation_id = $1 and account_id = $2"
    " and seq = any($3::bigint[])"
)
EMPTY_WORDS = Statement(
    "update audit.entry set words = null, words_salt = null where organisation_id = $1 and seq = any($2::bigint[])"
)
MAKE_PARTITIONS = Query(int, "select audit.make_entry_partitions(1)")


class Wanted(msgspec.Struct, frozen=True):
    """Which entries: all bounds hold. `before_seq` is the page's cursor."""

    before_seq: int
    start: datetime
    end: datetime
    actor: UUID | None
    action: str
    about: AuditObject | None


class Cut(msgspec.Struct, frozen=True):
    """Which entries leave the house: all bounds hold, `last_seq` included."""

    last_seq: int
    start: datetime
    end: datetime
    actor: UUID | None
    action: str
    about: AuditObject | None


async def hold_chain(tx: Tx, organisation_id: UUID) -> Head:
    """The end of the chain, held until the transaction ends; begins the chain when there is none."""
    await tx.run(BEGIN_CHAIN, organisation_id, START)
    return await tx.one(HOLD_CHAIN, organisation_id)


async def chain(tx: Tx, organisation_id: UUID) -> Head:
    return await tx.maybe(CHAIN, organisation_id) or Head(0, START)


async def chains(tx: Tx, after: UUID, limit: int) -> list[UUID]:
    """Organisations that have a chain, by id. The house's own has the nil id and comes before all others."""
    return await tx.all(CHAINS, after, limit)


async def known(tx: Tx, organisation_id: UUID, event_ids: Sequence[UUID]) -> set[UUID]:
    """Those of `event_ids` that have an entry."""
    return set(await tx.all(KNOWN, organisation_id, list(event_ids)))


async def append(tx: Tx, organisation_id: UUID, entries: Sequence[Entry], found: Sequence[tuple[Entry, AuditObject]]) -> None:
    """Writes sealed entries with what they mention, and moves the end of the chain."""
    await tx.run(INSERT, *map(list, zip(*(msgspec.structs.astuple(e) for e in entries), strict=True)))
    if found:
        await tx.run(
            MENTION,
            organisation_id,
            [o.id for _, o in found],
            [e.seq for e, _ in found],
            [o.kind for _, o in found],
            [e.at for e, _ in found],
        )
    await tx.run(MOVE_HEAD, organisation_id, entries[-1].seq, entries[-1].hash)


async def unmentioned(tx: Tx, organisation_id: UUID, found: Sequence[tuple[Entry, AuditObject]]) -> int | None:
    """The first entry that is not found by an object which it mentions."""
    return await tx.maybe(
        UNMENTIONED,
        organisation_id,
        [o.id for _, o in found],
        [e.seq for e, _ in found],
        [o.kind for _, o in found],
        [e.at for e, _ in found],
    )


async def stretch(tx: Tx, organisation_id: UUID, after_seq: int, last_seq: int, limit: int) -> list[Entry]:
    """Entries after one number and up to another, in order."""
    return await tx.all(STRETCH, organisation_id, after_seq, last_seq, limit)


async def top(tx: Tx, organisation_id: UUID) -> int:
    """The highest number of any entry; 0 without one."""
    return await tx.one(TOP, organisation_id)


async def latest(tx: Tx, organisation_id: UUID, wanted: Wanted, limit: int) -> list[Entry]:
    """The newest entries first."""
    bounds = (organisation_id, wanted.before_seq, wanted.start, wanted.end, wanted.actor, wanted.action, limit)
    if wanted.about is None:
        return await tx.all(LATEST, *bounds)
    return await tx.all(LATEST_ABOUT, *bounds, wanted.about.id, wanted.about.kind)


async def following(tx: Tx, organisation_id: UUID, cut: Cut, after: tuple[int, datetime], limit: int) -> list[Entry]:
    """Entries of `cut` after the number and time `after`, oldest first."""
    bounds = (organisation_id, *after, cut.last_seq, cut.start, cut.end, cut.actor, cut.action, limit)
    if cut.about is None:
        return await tx.all(FOLLOWING, *bounds)
    return await tx.all(FOLLOWING_ABOUT, *bounds, cut.about.id, cut.about.kind)


async def fitting(tx: Tx, organisation_id: UUID, cut: Cut, after: tuple[int, datetime], limit: int) -> int:
    """How many entries `cut` has after the number and time `after`, counted up to `limit`."""
    bounds = (organisation_id, *after, cut.last_seq, cut.start, cut.end, cut.actor, cut.action, limit)
    if cut.about is None:
        return await tx.one(FITTING, *bounds)
    return await tx.one(FITTING_ABOUT, *bounds, cut.about.id, cut.about.kind)


async def hashes(tx: Tx, organisation_id: UUID, numbers: Sequence[int]) -> dict[int, bytes]:
    """The seals of the entries with these numbers, as far as they are there."""
    found = await tx.all(HASHES, organisation_id, list(numbers), 2 * len(numbers))
    return {sealed.seq: sealed.hash for sealed in found}


async def make_partitions(tx: Tx) -> int:
    return await tx.one(MAKE_PARTITIONS)


async def with_somebody(tx: Tx, organisations: Sequence[UUID], account_id: UUID) -> list[UUID]:
    """Those of `organisations` in whose record the person acted or is named. `tx` is about the person."""
    return await tx.all(WITH_SOMEBODY, list(organisations), account_id)


async def done_by(tx: Tx, organisation_id: UUID, account_id: UUID, after_seq: int, limit: int) -> list[Place]:
    """Entries that say from where the person acted, in order."""
    return await tx.all(DONE_BY, organisation_id, account_id, after_seq, limit)


async def said_about(tx: Tx, organisation_id: UUID, account_id: UUID, after_seq: int, limit: int) -> list[Place]:
    """Entries with words that somebody wrote about the person, in order."""
    return await tx.all(SAID_ABOUT, organisation_id, account_id, after_seq, limit)


async def empty_addresses(tx: Tx, organisation_id: UUID, account_id: UUID, numbers: Sequence[int]) -> None:
    await tx.run(EMPTY_ADDRESSES, organisation_id, account_id, list(numbers))


async def empty_words(tx: Tx, organisation_id: UUID, numbers: Sequence[int]) -> None:
    await tx.run(EMPTY_WORDS, organisation_id, list(numbers))
