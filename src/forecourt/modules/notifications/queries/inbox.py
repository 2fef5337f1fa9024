"""A person's inbox: entries, the topic's numbers and events, and what waits for a digest. All under the person's own id."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from uuid import UUID

from msgspec import Struct

from forecourt.kernel.db import Query, Statement, Tx
from forecourt.kernel.topics import Position
from forecourt.modules.notifications.contract import Topic, Urgency


class Entry(Struct, frozen=True):
    id: UUID
    seq: int
    kind: str
    topic: Topic
    urgency: Urgency
    place_id: UUID
    delivery_id: UUID
    title: str
    body: str
    href: str
    created_at: datetime
    read_at: datetime | None
    archived_at: datetime | None


class Kept(Struct, frozen=True):
    seq: int
    type: str
    data: str


class HeadRow(Struct, frozen=True):
    account_id: UUID
    epoch: str
    seq: int


class DigestItem(Struct, frozen=True):
    id: UUID
    topic: str
    title: str
    href: str
    at: datetime


class Figure(Struct, frozen=True):
    topic: Topic
    total: int
    unread: int


BUMP = Query(
    Position,
    "insert into notifications.inbox (account_id, epoch, seq, changed_at) values ($1, $2, 1, $3)"
    " on conflict (account_id) do update set seq = notifications.inbox.seq + 1, changed_at = excluded.changed_at"
    " returning epoch, seq",
)
HEAD = Query(Position, "select i.epoch, i.seq from notifications.inbox i where i.account_id = $1")
OPEN = Query(
    Position,
    "insert into notifications.inbox (account_id, epoch, seq, changed_at) values ($1, $2, 0, $3)"
    " on conflict (account_id) do update set epoch = notifications.inbox.epoch returning epoch, seq",
)
HEADS = Query(
    HeadRow,
    "select i.account_id, i.epoch, i.seq from notifications.inbox i where i.account_id = any($1::uuid[])"
    " order by i.account_id limit 1000",
)
INSERT = Statement(
    "insert into notifications.entry (account_id, id, seq, kind, topic, urgency, place_id, delivery_id, title, body, href,"
    " created_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) on conflict do nothing"
)
HAS = Query(bool, "select exists (select from notifications.entry e where e.account_id = $1 and e.id = $2)")
NOTE = Statement("insert into notifications.inbox_event (account_id, seq, type, data, at) values ($1, $2, $3, $4, $5)")
FORGET = Statement("delete from notifications.inbox_event where account_id = $1 and seq <= $2")
AFTER = Query(
    Kept,
    "select k.seq, k.type, k.data from notifications.inbox_event k where k.account_id = $1 and k.seq > $2"
    " order by k.seq limit $3",
)
UNREAD = Query(
    int,
    "select count(*)::int from (select from notifications.entry e where e.account_id = $1 and e.read_at is null"
    " and e.archived_at is null limit 1000) u",
)
ENTRIES = Query(
    Entry,
    "select e.id, e.seq, e.kind, e.topic, e.urgency, e.place_id, e.delivery_id, e.title, e.body, e.href, e.created_at, e.read_at,"
    " e.archived_at from notifications.entry e where e.account_id = $1"
    " and (e.archived_at is not null) = $2 and ($3::text is null or e.topic = $3) and (not $4 or e.read_at is null)"
    " and ($5::timestamptz is null or (e.created_at, e.id) < ($5, $6::uuid))"
    " order by e.created_at desc, e.id desc limit $7",
)
ONE = Query(
    Entry,
    "select e.id, e.seq, e.kind, e.topic, e.urgency, e.place_id, e.delivery_id, e.title, e.body, e.href, e.created_at, e.read_at,"
    " e.archived_at from notifications.entry e where e.account_id = $1 and e.id = $2 for update",
)
READ_SOME = Query(
    Entry,
    "update notifications.entry e set read_at = $3 where e.account_id = $1 and e.id = any($2::uuid[]) and e.read_at is null"
    " returning e.id, e.seq, e.kind, e.topic, e.urgency, e.place_id, e.delivery_id, e.title, e.body, e.href, e.created_at,"
    " e.read_at, e.archived_at",
)
READ_UPTO = Query(
    Entry,
    "update notifications.entry e set read_at = $3 where e.account_id = $1 and e.seq <= $2 and e.read_at is null"
    " and e.archived_at is null"
    " returning e.id, e.seq, e.kind, e.topic, e.urgency, e.place_id, e.delivery_id, e.title, e.body, e.href, e.created_at,"
    " e.read_at, e.archived_at",
)
UNREAD_ONE = Statement("update notifications.entry set read_at = null where account_id = $1 and id = $2 and read_at is not null")
ARCHIVE = Statement(
    "update notifications.entry set archived_at = $3, read_at = coalesce(read_at, $3) where account_id = $1 and id = $2"
    " and archived_at is null"
)
UNARCHIVE = Statement(
    "update notifications.entry set archived_at = null where account_id = $1 and id = $2 and archived_at is not null"
)
DROP = Statement("delete from notifications.entry where account_id = $1 and id = any($2::uuid[])")
DROP_EVENTS = Statement("delete from notifications.inbox_event where account_id = $1 and at < $2")
DISMISS = Statement("delete from notifications.entry where account_id = $1 and id = $2")
FIGURES = Query(
    Figure,
    "select e.topic, count(*)::int, (count(*) filter (where e.read_at is null and e.archived_at is null))::int"
    " from notifications.entry e where e.account_id = $1 and e.created_at >= $2 group by e.topic order by e.topic",
)
DIGEST_ADD = Statement(
    "insert into notifications.digest_item (account_id, id, topic, title, href, at) values ($1, $2, $3, $4, $5, $6)"
    " on conflict do nothing"
)
DIGEST = Query(
    DigestItem,
    "select d.id, d.topic, d.title, d.href, d.at from notifications.digest_item d where d.account_id = $1"
    " order by d.at, d.id limit $2",
)
DIGESTED = Statement("delete from notifications.digest_item where account_id = $1 and id = any($2::uuid[])")


async def bump(tx: Tx, account_id: UUID, epoch: str, now: datetime) -> Position:
    """The next number of the person's inbox; holds it until the transaction ends. `epoch` counts for a new inbox alone."""
    return await tx.one(BUMP, account_id, epoch, now)


async def open_inbox(tx: Tx, account_id: UUID, epoch: str, now: datetime) -> Position:
    return await tx.maybe(HEAD, account_id) or await tx.one(OPEN, account_id, epoch, now)


async def head(tx: Tx, account_id: UUID) -> Position | None:
    return await tx.maybe(HEAD, account_id)


async def heads(tx: Tx, account_ids: Sequence[UUID]) -> list[HeadRow]:
    return await tx.all(HEADS, list(account_ids))


async def has(tx: Tx, account_id: UUID, id: UUID) -> bool:
    return await tx.one(HAS, account_id, id)


async def insert(tx: Tx, account_id: UUID, e: Entry) -> None:
    await tx.run(
        INSERT,
        account_id,
        e.id,
        e.seq,
        e.kind,
        e.topic.value,
        e.urgency.value,
        e.place_id,
        e.delivery_id,
        e.title,
        e.body,
        e.href,
        e.created_at,
    )


async def note(tx: Tx, account_id: UUID, seq: int, type: str, data: bytes, now: datetime, kept: int) -> None:
    """Keeps the event, and forgets those more than `kept` before it, a hundred at a time."""
    await tx.run(NOTE, account_id, seq, type, data.decode(), now)
    if seq > kept and seq % 100 == 0:
        await tx.run(FORGET, account_id, seq - kept)


async def after(tx: Tx, account_id: UUID, seq: int, limit: int) -> list[Kept]:
    return await tx.all(AFTER, account_id, seq, limit)


async def unread(tx: Tx, account_id: UUID) -> int:
    """At most 1,000."""
    return await tx.one(UNREAD, account_id)


async def entries(
    tx: Tx,
    account_id: UUID,
    archived: bool,
    topic: Topic | None,
    unread_only: bool,
    after: tuple[datetime, UUID] | None,
    limit: int,
) -> list[Entry]:
    at, id = after or (None, None)
    return await tx.all(ENTRIES, account_id, archived, topic, unread_only, at, id, limit)


async def one(tx: Tx, account_id: UUID, id: UUID) -> Entry:
    """Locked. Raises NotFound."""
    return await tx.one(ONE, account_id, id)


async def read_some(tx: Tx, account_id: UUID, ids: Sequence[UUID], now: datetime) -> list[Entry]:
    return await tx.all(READ_SOME, account_id, list(ids), now)


async def read_upto(tx: Tx, account_id: UUID, seq: int, now: datetime) -> list[Entry]:
    return await tx.all(READ_UPTO, account_id, seq, now)


async def figures(tx: Tx, account_id: UUID, since: datetime) -> list[Figure]:
    return await tx.all(FIGURES, account_id, since)


async def digest_add(tx: Tx, account_id: UUID, item: DigestItem) -> None:
    await tx.run(DIGEST_ADD, account_id, item.id, item.topic, item.title, item.href, item.at)


async def digest(tx: Tx, account_id: UUID, limit: int) -> list[DigestItem]:
    return await tx.all(DIGEST, account_id, limit)


async def digested(tx: Tx, account_id: UUID, ids: Sequence[UUID]) -> None:
    await tx.run(DIGESTED, account_id, list(ids))


HOLD = Query(Position, "select i.epoch, i.seq from notifications.inbox i where i.account_id = $1 for update")

Change = Callable[[Tx, UUID, UUID], Awaitable[bool]]
"""Changes one entry of a person; False when it was so already."""


async def hold(tx: Tx, account_id: UUID) -> None:
    """Locks the inbox until the transaction ends."""
    await tx.maybe(HOLD, account_id)


async def drop(tx: Tx, account_id: UUID, ids: Sequence[UUID], before: datetime) -> None:
    """Removes entries whose time is over, and what happened in the inbox before `before`."""
    await tx.run(DROP, account_id, list(ids))
    await tx.run(DROP_EVENTS, account_id, before)


async def unread_one(tx: Tx, account_id: UUID, id: UUID) -> bool:
    return await tx.run(UNREAD_ONE, account_id, id) == 1


async def archive(tx: Tx, account_id: UUID, id: UUID, now: datetime) -> bool:
    return await tx.run(ARCHIVE, account_id, id, now) == 1


async def unarchive(tx: Tx, account_id: UUID, id: UUID) -> bool:
    return await tx.run(UNARCHIVE, account_id, id) == 1


async def dismiss(tx: Tx, account_id: UUID, id: UUID) -> None:
    await tx.run(DISMISS, account_id, id)
