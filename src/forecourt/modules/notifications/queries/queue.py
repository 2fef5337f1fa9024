"""What is to be told, and what is due: notices, the queue, deliveries and what was tried."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from msgspec import Struct

from forecourt.kernel.db import LockingSweep, Query, Statement, Sweep, Tx, to_json
from forecourt.modules.notifications.contract import Channel, DeliveryStatus


class Notice(Struct, frozen=True):
    organisation_id: UUID
    id: UUID
    account_id: UUID
    kind: str
    key: str
    about_id: UUID | None
    facts: dict[str, object]


class DueId(Struct, frozen=True):
    """Something that is due, and may be claimed by somebody else yet."""

    organisation_id: UUID
    id: UUID


class Due(Struct, frozen=True):
    """Something a worker has claimed."""

    organisation_id: UUID
    id: UUID
    what: str
    claims: int


class Content(Struct, frozen=True, omit_defaults=True):
    """A rendered message. `body` is the JSON of a webhook, `calendar` an iCalendar file."""

    subject: str = ""
    text: str = ""
    html: str = ""
    href: str = ""
    calendar: str = ""
    body: str = ""
    sender: str = ""


class Delivery(Struct, frozen=True):
    organisation_id: UUID
    id: UUID
    notice_id: UUID | None
    account_id: UUID | None
    kind: str
    topic: str
    channel: Channel
    recipient: str
    locale: str
    content: Content
    status: DeliveryStatus
    tries: int
    provider: str
    error: str
    created_at: datetime
    sent_at: datetime | None
    changed_at: datetime
    erased: bool = False
    """Whether it was for somebody whose account is erased."""


class Attempt(Struct, frozen=True):
    id: UUID
    at: datetime
    provider: str
    taken: bool
    error: str


class Forgotten(Struct, frozen=True):
    """A message whose year is over."""

    channel: Channel
    notice_id: UUID | None
    account_id: UUID | None


class NewNotice(Struct, frozen=True):
    """A notice to write, and when it is due."""

    id: UUID
    account_id: UUID
    kind: str
    key: str
    about_id: UUID | None
    facts: dict[str, object]
    due_at: datetime


# One key is one telling: a later notice of the same key takes the place of one that waits or came to nothing, never of one that
# was told. The same notice written twice changes nothing. Whoever is at work on the old one loses its lease.
INSERT_NOTICES = Statement(
    "with wish as (select n.id, n.account_id, n.kind, n.key, n.about_id, n.facts, n.due_at"
    " from unnest($2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::uuid[], $7::text[], $9::timestamptz[])"
    " as n (id, account_id, kind, key, about_id, facts, due_at)),"
    " new as (insert into notifications.notice as old"
    " (organisation_id, id, account_id, kind, key, about_id, facts, created_at)"
    " select $1, w.id, w.account_id, w.kind, w.key, w.about_id, w.facts::jsonb, $8 from wish w order by w.account_id, w.key"
    " on conflict (organisation_id, account_id, key) do update set facts = excluded.facts, status = 'waiting'"
    " where old.status in ('waiting', 'void') and old.id <> excluded.id"
    " returning old.organisation_id, old.id, old.account_id, old.key)"
    " insert into notifications.due (organisation_id, id, what, due_at)"
    " select new.organisation_id, new.id, 'notice', w.due_at from new"
    " join wish w on w.account_id = new.account_id and w.key = new.key"
    " on conflict (organisation_id, id) do update set due_at = excluded.due_at, lease = null, claims = 0"
    " where notifications.due.lease is not null"
)
VOID = Statement(
    "with gone as (update notifications.notice set status = 'void' where organisation_id = $1 and about_id = any($2::uuid[])"
    " and kind = any($3::text[]) and status = 'waiting' returning id)"
    " delete from notifications.due d using gone where d.organisation_id = $1 and d.id = gone.id"
)
# After VOID and not in it: a notice that was being told meanwhile has its deliveries only now.
VOID_QUEUED = Statement(
    "with gone as (update notifications.delivery m set status = 'failed', error = 'it is no longer true', changed_at = $4"
    " from notifications.notice n where n.organisation_id = $1 and n.about_id = any($2::uuid[]) and n.kind = any($3::text[])"
    " and m.organisation_id = n.organisation_id and m.notice_id = n.id and m.status = 'queued' returning m.id)"
    " delete from notifications.due d using gone where d.organisation_id = $1 and d.id = gone.id"
)
CLAIM = LockingSweep(
    Due,
    "update notifications.due d set due_at = $2, lease = $3, claims = d.claims + 1 from ("
    " select q.organisation_id, q.id from notifications.due q where q.due_at <= $1 order by q.due_at, q.id limit $4"
    " for update skip locked) c where d.organisation_id = c.organisation_id and d.id = c.id"
    " returning d.organisation_id, d.id, d.what, d.claims",
)
# Where several servers have the rows, none can be locked before they are chosen: they are looked for first, and whoever comes
# second finds them taken.
DUE = Sweep(
    DueId, "select q.organisation_id, q.id from notifications.due q where q.due_at <= $1 order by q.due_at, q.id limit $2"
)
CLAIM_THESE = Query(
    Due,
    "update notifications.due d set due_at = $2, lease = $3, claims = d.claims + 1"
    " where d.organisation_id = any($4::uuid[]) and d.id = any($5::uuid[]) and d.due_at <= $1"
    " returning d.organisation_id, d.id, d.what, d.claims",
)
NEXT = Sweep(datetime, "select q.due_at from notifications.due q order by q.due_at, q.id limit 1")
NOTICES = Query(
    Notice,
    "select n.organisation_id, n.id, n.account_id, n.kind, n.key, n.about_id, n.facts from notifications.notice n"
    " join notifications.due d on d.organisation_id = n.organisation_id and d.id = n.id and d.lease = $3"
    " where n.organisation_id = $1 and n.id = any($2::uuid[]) and n.status = 'waiting' order by n.id limit 1000",
)
# Notices before their due rows, as everybody locks them who takes a notice back or puts another in its place.
LOCK_NOTICES = Query(
    UUID,
    "select n.id from notifications.notice n where n.organisation_id = $1 and n.id = any($2::uuid[])"
    " order by n.account_id, n.key for update",
)
# The lease is asked for again: who lost it, because it took too long, leaves the telling to its successor.
HOLD = Query(
    UUID,
    "select d.id from notifications.due d where d.organisation_id = $1 and d.id = any($2::uuid[]) and d.lease = $3"
    " order by d.id for update",
)
GIVE_UP = Statement(
    "with gone as (update notifications.notice set status = 'void', facts = '{}'"
    " where organisation_id = $1 and id = any($2::uuid[]) and status = 'waiting' returning id)"
    " delete from notifications.due d using gone where d.organisation_id = $1 and d.id = gone.id"
)
TOLD = Statement(
    "update notifications.notice set status = 'told', told_at = $3 where organisation_id = $1 and id = any($2::uuid[])"
)
NAMES = Statement(
    "update notifications.notice m set names_id = n.names_id from unnest($2::uuid[], $3::uuid[]) as n (id, names_id)"
    " where m.organisation_id = $1 and m.id = n.id"
)
TOLD_OF = Query(
    Notice,
    "select n.organisation_id, n.id, n.account_id, n.kind, n.key, n.about_id, n.facts from notifications.notice n"
    " where n.organisation_id = $1 and n.about_id = any($2::uuid[]) and n.kind = $3 and n.status = 'told'"
    " order by n.told_at desc, n.id desc limit 1000",
)
WAS_TOLD = Query(
    bool,
    "select exists (select from notifications.notice n where n.organisation_id = $1 and n.about_id = $2 and n.kind = $3)",
)
DONE = Statement("delete from notifications.due where organisation_id = $1 and id = any($2::uuid[])")
QUEUE = Statement(
    "insert into notifications.due (organisation_id, id, what, due_at)"
    " select $1, n.id, $4, n.due_at from unnest($2::uuid[], $3::timestamptz[]) as n (id, due_at)"
    " on conflict (organisation_id, id) do update set due_at = excluded.due_at, lease = null, claims = 0"
)
# Whoever is at work on the one that is there may just be done with it: then this waits, and makes another.
QUEUE_ONCE = Statement(
    "insert into notifications.due (organisation_id, id, what, due_at) values ($1, $2, $3, $4)"
    " on conflict (organisation_id, id) do update set due_at = notifications.due.due_at"
)
INSERT_DELIVERIES = Query(
    UUID,
    "insert into notifications.delivery (organisation_id, id, notice_id, account_id, kind, topic, channel, recipient, locale,"
    " content, status, created_at, changed_at, sent_at)"
    " select $1, n.id, n.notice_id, n.account_id, n.kind, n.topic, n.channel, n.recipient, n.locale, n.content::jsonb, n.status,"
    " $12::timestamptz, $12::timestamptz, case when n.status = 'queued' then null else $12::timestamptz end"
    " from unnest($2::uuid[], $3::uuid[], $4::uuid[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[],"
    " $11::text[]) as n (id, notice_id, account_id, kind, topic, channel, recipient, locale, content, status)"
    " on conflict do nothing returning id",
)
DELIVERIES = Query(
    Delivery,
    "select m.organisation_id, m.id, m.notice_id, m.account_id, m.kind, m.topic, m.channel, m.recipient, m.locale, m.content,"
    " m.status, m.tries::int, m.provider, m.error, m.created_at, m.sent_at, m.changed_at, m.erased"
    " from notifications.delivery m join notifications.due d on d.organisation_id = m.organisation_id and d.id = m.id"
    " and d.lease = $3 where m.organisation_id = $1 and m.id = any($2::uuid[]) order by m.id limit 1000",
)
SETTLE = Statement(
    "with said as (select s.id, s.status, s.tries, s.provider, s.error from"
    " unnest($2::uuid[], $3::text[], $4::smallint[], $5::text[], $6::text[]) as s (id, status, tries, provider, error))"
    " update notifications.delivery m set status = said.status, tries = said.tries, provider = said.provider,"
    " error = said.error, changed_at = $7::timestamptz,"
    # A digest names many, can be asked for by nobody and is never sent again: what it said ends with it.
    " content = case when m.kind = 'digest' and said.status <> 'queued'"
    " then jsonb_build_object('subject', coalesce(m.content ->> 'subject', '')) else m.content end,"
    " sent_at = case when said.status = 'sent' then $7::timestamptz else m.sent_at end"
    " from said where m.organisation_id = $1 and m.id = said.id and m.status = 'queued'"
)
ATTEMPTED = Statement(
    "insert into notifications.attempt (organisation_id, delivery_id, id, at, provider, taken, error)"
    " select $1, a.delivery_id, a.id, a.at, a.provider, a.taken, case when m.erased then '' else a.error end"
    " from unnest($2::uuid[], $3::uuid[], $4::timestamptz[], $5::text[], $6::boolean[], $7::text[])"
    " as a (delivery_id, id, at, provider, taken, error)"
    " join notifications.delivery m on m.organisation_id = $1 and m.id = a.delivery_id returning 1"
)
LEASED_DONE = Statement("delete from notifications.due where organisation_id = $1 and id = any($2::uuid[]) and lease = $3")
LEASED_LATER = Statement(
    "update notifications.due d set due_at = n.due_at, lease = null"
    " from unnest($2::uuid[], $3::timestamptz[]) as n (id, due_at)"
    " where d.organisation_id = $1 and d.id = n.id and d.lease = $4"
)
LOG = Query(
    Delivery,
    "select m.organisation_id, m.id, m.notice_id, m.account_id, m.kind, m.topic, m.channel, m.recipient, m.locale, m.content,"
    " m.status, m.tries::int, m.provider, m.error, m.created_at, m.sent_at, m.changed_at, m.erased"
    " from notifications.delivery m where m.organisation_id = $1 and ($2::text is null or m.status = $2)"
    " and ($3::text is null or m.channel = $3) and ($4::timestamptz is null or (m.created_at, m.id) < ($4, $5::uuid))"
    " order by m.created_at desc, m.id desc limit $6",
)
ONE = Query(
    Delivery,
    "select m.organisation_id, m.id, m.notice_id, m.account_id, m.kind, m.topic, m.channel, m.recipient, m.locale, m.content,"
    " m.status, m.tries::int, m.provider, m.error, m.created_at, m.sent_at, m.changed_at, m.erased"
    " from notifications.delivery m where m.organisation_id = $1 and m.id = $2 for update",
)
ATTEMPTS = Query(
    Attempt,
    "select a.id, a.at, a.provider, a.taken, a.error from notifications.attempt a"
    " where a.organisation_id = $1 and a.delivery_id = $2 order by a.id desc limit 50",
)
IS_THERE = Query(bool, "select exists (select from notifications.delivery m where m.organisation_id = $1 and m.id = $2)")
# What was forgotten, or never kept, has no words to be sent.
REVIVE = Statement(
    "update notifications.delivery set status = 'queued', tries = 0, error = '', changed_at = $3"
    " where organisation_id = $1 and id = $2 and status = 'failed' and content ?| array['text', 'html', 'body']"
)
# Those that REVIVE would send.
REPLAYABLE = Query(
    UUID,
    "select m.id from notifications.delivery m where m.organisation_id = $1 and m.id = any($2::uuid[]) and m.status = 'failed'"
    " and m.content ?| array['text', 'html', 'body']",
)
# What is still on its way keeps its words. The recipient becomes the id: two of one notice stay apart.
FORGET = Query(
    Forgotten,
    "with old as (select d.organisation_id, d.id from notifications.delivery d where d.organisation_id = $1 and d.created_at < $2"
    " and d.content <> '{}'::jsonb and d.status <> 'queued' order by d.created_at limit $3),"
    " gone as (update notifications.delivery d set content = '{}', recipient = d.id::text, error = '' from old"
    " where d.organisation_id = old.organisation_id and d.id = old.id"
    " returning d.organisation_id, d.id, d.notice_id, d.account_id, d.channel),"
    " facts as (update notifications.notice n set facts = '{}', names_id = null from gone"
    " where n.organisation_id = gone.organisation_id and n.id = gone.notice_id and n.status <> 'waiting'),"
    " tries as (update notifications.attempt a set error = '' from gone"
    " where a.organisation_id = gone.organisation_id and a.delivery_id = gone.id and a.error <> '')"
    " select gone.channel, gone.notice_id, gone.account_id from gone",
)
SAY = Statement(
    "update notifications.delivery set status = $3, changed_at = $4, error = case when erased then '' else $5 end"
    " where organisation_id = $1 and id = $2"
)
OPENED = Statement(
    "update notifications.delivery set status = 'opened', changed_at = $3"
    " where account_id = $1 and organisation_id = any($2::uuid[]) and id = any($4::uuid[])"
    " and status <> 'opened'"
)
CALLBACK = Statement(
    "insert into notifications.callback (organisation_id, provider_id, id, delivery_id, said, at) values ($1, $2, $3, $4, $5, $6)"
    " on conflict do nothing"
)


class Counted(Struct, frozen=True):
    status: DeliveryStatus
    n: int


COUNTS = Query(
    Counted,
    "select m.status, count(*)::int from notifications.delivery m where m.organisation_id = $1 and m.created_at >= $2"
    " group by m.status order by m.status",
)


async def insert_notices(tx: Tx, organisation_id: UUID, notices: Sequence[NewNotice], now: datetime) -> None:
    """Writes notices that are not there yet, and queues them. No two of them may have a person and a key in common.

    Where there is one of the same key that was not told, it says from now on what the new one says; it keeps its id.
    """
    await tx.run(
        INSERT_NOTICES,
        organisation_id,
        [n.id for n in notices],
        [n.account_id for n in notices],
        [n.kind for n in notices],
        [n.key for n in notices],
        [n.about_id for n in notices],
        [to_json(n.facts) for n in notices],
        now,
        [n.due_at for n in notices],
    )


async def void(tx: Tx, organisation_id: UUID, about_ids: Sequence[UUID], kinds: Sequence[str], now: datetime) -> None:
    """Takes back what was not told yet of these kinds about these objects, and what was told but is still to be sent."""
    await tx.run(VOID, organisation_id, list(about_ids), list(kinds))
    await tx.run(VOID_QUEUED, organisation_id, list(about_ids), list(kinds), now)


async def claim(tx: Tx, now: datetime, until: datetime, lease: UUID, limit: int) -> list[Due]:
    """At most `limit` of what is due, and nobody else's until then."""
    if not tx.spread:
        return await tx.all(CLAIM, now, until, lease, limit)
    due = await tx.all(DUE, now, limit)
    if not due:
        return []
    return await tx.all(CLAIM_THESE, now, until, lease, list({d.organisation_id for d in due}), [d.id for d in due])


async def next_due(tx: Tx) -> datetime | None:
    return await tx.maybe(NEXT)


async def notices(tx: Tx, organisation_id: UUID, ids: Sequence[UUID], lease: UUID) -> list[Notice]:
    return await tx.all(NOTICES, organisation_id, list(ids), lease)


async def hold(tx: Tx, organisation_id: UUID, ids: Sequence[UUID], lease: UUID) -> set[UUID]:
    """Those whose lease still holds, locked; notices among them with their due rows."""
    await tx.all(LOCK_NOTICES, organisation_id, list(ids))
    return set(await tx.all(HOLD, organisation_id, list(ids), lease))


async def told(tx: Tx, organisation_id: UUID, ids: Sequence[UUID], now: datetime) -> None:
    await tx.run(TOLD, organisation_id, list(ids), now)
    await tx.run(DONE, organisation_id, list(ids))


async def names(tx: Tx, organisation_id: UUID, named: dict[UUID, UUID]) -> None:
    """Whom these notices name to their readers."""
    if named:
        await tx.run(NAMES, organisation_id, list(named), list(named.values()))


async def give_up(tx: Tx, organisation_id: UUID, ids: Sequence[UUID]) -> None:
    """Notices that came to nothing, or could not be told for too long."""
    await tx.run(GIVE_UP, organisation_id, list(ids))


async def told_of(tx: Tx, organisation_id: UUID, about_ids: Sequence[UUID], kind: str) -> list[Notice]:
    """What was told of these, the last first."""
    return await tx.all(TOLD_OF, organisation_id, list(about_ids), kind)


async def was_told(tx: Tx, organisation_id: UUID, about_id: UUID, kind: str) -> bool:
    return await tx.one(WAS_TOLD, organisation_id, about_id, kind)


async def queue(tx: Tx, organisation_id: UUID, what: str, times: dict[UUID, datetime]) -> None:
    if times:
        await tx.run(QUEUE, organisation_id, list(times), list(times.values()), what)


async def queue_once(tx: Tx, organisation_id: UUID, id: UUID, what: str, at: datetime) -> None:
    """Nothing changes when it is there already."""
    await tx.run(QUEUE_ONCE, organisation_id, id, what, at)


async def done(tx: Tx, organisation_id: UUID, ids: Sequence[UUID], lease: UUID) -> None:
    await tx.run(LEASED_DONE, organisation_id, list(ids), lease)


async def drop(tx: Tx, organisation_id: UUID, ids: Sequence[UUID]) -> None:
    """Nothing more is to be done about them, whoever has claimed them."""
    await tx.run(DONE, organisation_id, list(ids))


async def later(tx: Tx, organisation_id: UUID, times: dict[UUID, datetime], lease: UUID) -> None:
    await tx.run(LEASED_LATER, organisation_id, list(times), list(times.values()), lease)


async def insert_deliveries(tx: Tx, organisation_id: UUID, made: Sequence[Delivery], now: datetime) -> set[UUID]:
    """Writes those that are not there yet; returns their ids."""
    if not made:
        return set()
    return set(
        await tx.all(
            INSERT_DELIVERIES,
            organisation_id,
            [d.id for d in made],
            [d.notice_id for d in made],
            [d.account_id for d in made],
            [d.kind for d in made],
            [d.topic for d in made],
            [d.channel.value for d in made],
            [d.recipient for d in made],
            [d.locale for d in made],
            [to_json(d.content) for d in made],
            [d.status.value for d in made],
            now,
        )
    )


async def deliveries(tx: Tx, organisation_id: UUID, ids: Sequence[UUID], lease: UUID) -> list[Delivery]:
    return await tx.all(DELIVERIES, organisation_id, list(ids), lease)


class Settled(Struct, frozen=True):
    """What came of one delivery this time."""

    id: UUID
    status: DeliveryStatus
    tries: int
    provider: str
    error: str


class Tried(Struct, frozen=True):
    """One provider's answer."""

    delivery_id: UUID
    id: UUID
    at: datetime
    provider: str
    taken: bool
    error: str


async def settle(tx: Tx, organisation_id: UUID, settled: Sequence[Settled], tried: Sequence[Tried], now: datetime) -> None:
    await tx.run(
        SETTLE,
        organisation_id,
        [s.id for s in settled],
        [s.status.value for s in settled],
        [s.tries for s in settled],
        [s.provider for s in settled],
        [s.error for s in settled],
        now,
    )
    if tried:
        await tx.run(
            ATTEMPTED,
            organisation_id,
            [t.delivery_id for t in tried],
            [t.id for t in tried],
            [t.at for t in tried],
            [t.provider for t in tried],
            [t.taken for t in tried],
            [t.error for t in tried],
        )


async def log(
    tx: Tx,
    organisation_id: UUID,
    status: DeliveryStatus | None,
    channel: Channel | None,
    after: tuple[datetime, UUID] | None,
    limit: int,
) -> list[Delivery]:
    """The newest first."""
    at, id = after or (None, None)
    return await tx.all(LOG, organisation_id, status, channel, at, id, limit)


async def one(tx: Tx, organisation_id: UUID, id: UUID) -> Delivery:
    """Locked. Raises NotFound."""
    return await tx.one(ONE, organisation_id, id)


async def is_there(tx: Tx, organisation_id: UUID, id: UUID) -> bool:
    return await tx.one(IS_THERE, organisation_id, id)


async def attempts(tx: Tx, organisation_id: UUID, id: UUID) -> list[Attempt]:
    return await tx.all(ATTEMPTS, organisation_id, id)


async def replayable(tx: Tx, organisation_id: UUID, ids: Sequence[UUID]) -> list[UUID]:
    """Those that failed and whose words are kept."""
    return await tx.all(REPLAYABLE, organisation_id, list(ids))


async def revive(tx: Tx, organisation_id: UUID, id: UUID, now: datetime) -> bool:
    return await tx.run(REVIVE, organisation_id, id, now) == 1


async def say(tx: Tx, organisation_id: UUID, id: UUID, status: DeliveryStatus, now: datetime, error: str) -> None:
    await tx.run(SAY, organisation_id, id, status.value, now, error)


async def opened(tx: Tx, account_id: UUID, refs: Sequence[tuple[UUID, UUID]], now: datetime) -> None:
    """`refs` are (organisation, delivery) of the person's own."""
    await tx.run(OPENED, account_id, [r[0] for r in refs], now, [r[1] for r in refs])


async def heard(
    tx: Tx, organisation_id: UUID, provider_id: UUID, id: str, delivery_id: UUID, said: DeliveryStatus, at: datetime
) -> bool:
    """False when this callback was heard before."""
    return await tx.run(CALLBACK, organisation_id, provider_id, id, delivery_id, said.value, at) == 1


async def counts(tx: Tx, organisation_id: UUID, since: datetime) -> dict[DeliveryStatus, int]:
    return {c.status: c.n for c in await tx.all(COUNTS, organisation_id, since)}


async def forget(tx: Tx, organisation_id: UUID, before: datetime, limit: int) -> list[Forgotten]:
    """Empties the oldest messages made before a time, what they were made of, and what providers said to them."""
    return await tx.all(FORGET, organisation_id, before, limit)
