"""What is kept of one person, wherever it lies: for who asks what that is, and for who is erased."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from msgspec import Struct

from forecourt.kernel.db import Query, Statement, Tx
from forecourt.modules.notifications.contract import Channel, DeliveryStatus, Topic, Urgency
from forecourt.modules.notifications.queries.choices import Chosen
from forecourt.modules.notifications.queries.queue import Content

# --- who is erased ------------------------------------------------------------------------------------------------------------

NOTE = Statement("insert into notifications.erased (account_id, at) values ($1, $2) on conflict do nothing")
AMONG = Query(UUID, "select e.account_id from notifications.erased e where e.account_id = any($1::uuid[])")


async def note(tx: Tx, account_id: UUID, at: datetime) -> None:
    await tx.run(NOTE, account_id, at)


async def erased(tx: Tx, account_ids: set[UUID]) -> set[UUID]:
    """Those of them that are erased."""
    return set(await tx.all(AMONG, list(account_ids))) if account_ids else set()


# --- where there is something -------------------------------------------------------------------------------------------------

TOLD_AT = Query(
    UUID,
    "select distinct n.organisation_id from notifications.notice n where n.organisation_id = any($1::uuid[])"
    " and n.account_id = $2 order by n.organisation_id limit 1000",
)
NAMED_AT = Query(
    UUID,
    "select distinct n.organisation_id from notifications.notice n where n.organisation_id = any($1::uuid[])"
    " and n.names_id = $2 order by n.organisation_id limit 1000",
)
SENT_AT = Query(
    UUID,
    "select distinct d.organisation_id from notifications.delivery d where d.organisation_id = any($1::uuid[])"
    " and d.account_id = $2 order by d.organisation_id limit 1000",
)


async def among(tx: Tx, organisation_ids: Sequence[UUID], account_id: UUID) -> list[UUID]:
    """Those of at most 1,000 organisations where something was told or sent to the person, or names them. `tx` is about them."""
    found: set[UUID] = set()
    for query in (TOLD_AT, NAMED_AT, SENT_AT):
        found.update(await tx.all(query, list(organisation_ids), account_id))
    return sorted(found)


# --- what a person was told ---------------------------------------------------------------------------------------------------

# Whoever is telling one of them holds its row: they are waited for, and what they wrote is found by what comes after.
EMPTY_NOTICES = Query(
    int,
    "with old as (select n.organisation_id, n.id from notifications.notice n where n.organisation_id = $1 and n.account_id = $2"
    " and (n.facts <> '{}'::jsonb or n.status = 'waiting') order by n.key limit $3 for update),"
    " gone as (update notifications.notice n set facts = '{}', status = case when n.status = 'waiting' then 'void' else n.status"
    " end from old where n.organisation_id = old.organisation_id and n.id = old.id returning n.organisation_id, n.id),"
    " off as (delete from notifications.due d using gone where d.organisation_id = gone.organisation_id and d.id = gone.id)"
    " select count(*)::int from gone",
)
EMPTY_DELIVERIES = Query(
    UUID,
    "with old as (select d.organisation_id, d.id from notifications.delivery d where d.organisation_id = $1 and d.account_id = $2"
    " order by d.created_at, d.id limit $3 for update),"
    " gone as (update notifications.delivery d set content = '{}', recipient = d.id::text, account_id = null, erased = true,"
    " error = case when d.status = 'queued' then 'the account is erased' else '' end,"
    " status = case when d.status = 'queued' then 'failed' else d.status end, changed_at = $4"
    " from old where d.organisation_id = old.organisation_id and d.id = old.id returning d.organisation_id, d.id),"
    " tries as (update notifications.attempt a set error = '' from gone"
    " where a.organisation_id = gone.organisation_id and a.delivery_id = gone.id and a.error <> ''),"
    " off as (delete from notifications.due q using gone where q.organisation_id = gone.organisation_id and q.id = gone.id)"
    " select gone.id from gone",
)


async def empty_notices(tx: Tx, organisation_id: UUID, account_id: UUID, limit: int) -> int:
    """Nothing that waits is told any more, and nothing is left of what is told but that it was; returns how many."""
    return await tx.one(EMPTY_NOTICES, organisation_id, account_id, limit)


async def empty_deliveries(tx: Tx, organisation_id: UUID, account_id: UUID, limit: int, now: datetime) -> list[UUID]:
    """Nothing that is queued is sent, and nothing is left of what was sent but that it was; returns which."""
    return await tx.all(EMPTY_DELIVERIES, organisation_id, account_id, limit, now)


# --- what others were told of them --------------------------------------------------------------------------------------------


class Naming(Struct, frozen=True):
    """A notice that names the person to another."""

    id: UUID
    account_id: UUID


class Emptied(Struct, frozen=True):
    """A delivery whose words are gone."""

    id: UUID
    notice_id: UUID
    channel: Channel
    locale: str


NAMING = Query(
    Naming,
    "select n.id, n.account_id from notifications.notice n where n.organisation_id = $1 and n.names_id = $2"
    " order by n.account_id, n.key limit $3 for update",
)
# They stay found by age, unlike what is emptied: whom they went to is forgotten after its year.
EMPTY_WORDS = Query(
    Emptied,
    "update notifications.delivery d set content = jsonb_build_object('subject', ''),"
    " error = case when d.status = 'queued' then 'it is no longer true' else d.error end,"
    " status = case when d.status = 'queued' then 'failed' else d.status end, changed_at = $3"
    " where d.organisation_id = $1 and d.notice_id = any($2::uuid[]) and not d.erased"
    " returning d.id, d.notice_id, d.channel, d.locale",
)
NAMES_NOBODY = Statement("update notifications.notice set names_id = null where organisation_id = $1 and id = any($2::uuid[])")
EMPTY_ENTRIES = Statement("update notifications.entry set title = $3, body = '' where account_id = $1 and id = any($2::uuid[])")
# A client that comes back and misses one reads the inbox anew.
DROP_EVENTS_ABOUT = Statement(
    "delete from notifications.inbox_event where account_id = $1 and data::jsonb #>> '{notification,id}' = any($2::text[])"
)


async def naming(tx: Tx, organisation_id: UUID, account_id: UUID, limit: int) -> list[Naming]:
    """Locked, in the order of their readers."""
    return await tx.all(NAMING, organisation_id, account_id, limit)


async def empty_words(tx: Tx, organisation_id: UUID, notice_ids: Sequence[UUID], now: datetime) -> list[Emptied]:
    """What these notices were said with is gone; what is still to be sent is not."""
    gone = await tx.all(EMPTY_WORDS, organisation_id, list(notice_ids), now)
    await tx.run(NAMES_NOBODY, organisation_id, list(notice_ids))
    return gone


async def empty_entries(tx: Tx, account_id: UUID, ids: Sequence[UUID], title: str) -> None:
    """In a reader's inbox: they stay, and say no more than `title`."""
    await tx.run(EMPTY_ENTRIES, account_id, list(ids), title)
    await tx.run(DROP_EVENTS_ABOUT, account_id, [str(id) for id in ids])


class Hook(Struct, frozen=True):
    """A delivery to a program."""

    created_at: datetime
    id: UUID
    names: bool
    """Whether its event is about the person."""


HOOKS = Query(
    Hook,
    "select d.created_at, d.id, coalesce(position($2::text in d.content ->> 'body') > 0, false) from notifications.delivery d"
    " where d.organisation_id = $1 and d.channel = 'webhook' and d.status <> 'queued'"
    " and ($3::timestamptz is null or (d.created_at, d.id) > ($3, $4::uuid)) order by d.created_at, d.id limit $5",
)
EMPTY_HOOKS = Statement(
    "update notifications.delivery set content = jsonb_build_object('subject', coalesce(content ->> 'subject', ''))"
    " where organisation_id = $1 and id = any($2::uuid[])"
)


async def hooks(tx: Tx, organisation_id: UUID, account_id: UUID, after: tuple[datetime, UUID] | None, limit: int) -> list[Hook]:
    at, id = after or (None, None)
    return await tx.all(HOOKS, organisation_id, str(account_id), at, id, limit)


async def empty_hooks(tx: Tx, organisation_id: UUID, ids: Sequence[UUID]) -> None:
    await tx.run(EMPTY_HOOKS, organisation_id, list(ids))


# --- what lies under their own id ---------------------------------------------------------------------------------------------

DROP_ENTRIES = Statement(
    "delete from notifications.entry where account_id = $1 and id = any(array("
    "select e.id from notifications.entry e where e.account_id = $1 limit $2))"
)
DROP_EVENTS = Statement("delete from notifications.inbox_event where account_id = $1")
DROP_INBOX = Statement("delete from notifications.inbox where account_id = $1")
DROP_PREFERENCE = Statement("delete from notifications.preference where account_id = $1")
DROP_BROWSERS = Statement("delete from notifications.push_subscription where account_id = $1")
DROP_DIGEST = Statement("delete from notifications.digest_item where account_id = $1")


async def drop_entries(tx: Tx, account_id: UUID, limit: int) -> int:
    """Removes some of the inbox; returns how many."""
    return await tx.run(DROP_ENTRIES, account_id, limit)


async def drop_own(tx: Tx, account_id: UUID) -> None:
    """Removes what the person chose, and what is bounded of their inbox."""
    for statement in (DROP_BROWSERS, DROP_PREFERENCE, DROP_DIGEST, DROP_EVENTS, DROP_INBOX):
        await tx.run(statement, account_id)


# --- what they are told of it all ---------------------------------------------------------------------------------------------


class EntryRow(Struct, frozen=True):
    id: UUID
    kind: str
    topic: Topic
    urgency: Urgency
    title: str
    body: str
    href: str
    created_at: datetime
    read_at: datetime | None
    archived_at: datetime | None


class SentRow(Struct, frozen=True):
    organisation_id: UUID
    id: UUID
    kind: str
    channel: Channel
    recipient: str
    locale: str
    status: DeliveryStatus
    content: Content
    created_at: datetime
    sent_at: datetime | None
    changed_at: datetime


class WaitingRow(Struct, frozen=True):
    id: UUID
    topic: Topic
    title: str
    href: str
    at: datetime


class ChosenAt(Struct, frozen=True):
    chosen: Chosen
    updated_at: datetime


ENTRIES = Query(
    EntryRow,
    "select e.id, e.kind, e.topic, e.urgency, e.title, e.body, e.href, e.created_at, e.read_at, e.archived_at"
    " from notifications.entry e where e.account_id = $1"
    " and ($2::timestamptz is null or (e.created_at, e.id) > ($2, $3::uuid)) order by e.created_at, e.id limit $4",
)
SENT = Query(
    SentRow,
    "select d.organisation_id, d.id, d.kind, d.channel, d.recipient, d.locale, d.status, d.content, d.created_at, d.sent_at,"
    " d.changed_at from notifications.delivery d where d.organisation_id = any($1::uuid[]) and d.account_id = $2"
    " and ($3::uuid is null or (d.organisation_id, d.created_at, d.id) > ($3, $4::timestamptz, $5::uuid))"
    " order by d.organisation_id, d.created_at, d.id limit $6",
)
WAITING = Query(
    WaitingRow,
    "select i.id, i.topic, i.title, i.href, i.at from notifications.digest_item i where i.account_id = $1"
    " and ($2::uuid is null or i.id > $2) order by i.id limit $3",
)
CHOSEN = Query(ChosenAt, "select p.chosen, p.updated_at from notifications.preference p where p.account_id = $1")
UNWANTED_SINCE = Query(datetime, "select u.since from notifications.unwanted u where u.address = $1")


async def entries(tx: Tx, account_id: UUID, after: tuple[datetime, UUID] | None, limit: int) -> list[EntryRow]:
    at, id = after or (None, None)
    return await tx.all(ENTRIES, account_id, at, id, limit)


async def sent(
    tx: Tx, organisation_ids: Sequence[UUID], account_id: UUID, after: tuple[UUID, datetime, UUID] | None, limit: int
) -> list[SentRow]:
    """By organisation and time."""
    place, at, id = after or (None, None, None)
    return await tx.all(SENT, list(organisation_ids), account_id, place, at, id, limit)


async def waiting(tx: Tx, account_id: UUID, after: UUID | None, limit: int) -> list[WaitingRow]:
    return await tx.all(WAITING, account_id, after, limit)


async def chosen(tx: Tx, account_id: UUID) -> ChosenAt | None:
    return await tx.maybe(CHOSEN, account_id)


async def unwanted_since(tx: Tx, address: bytes) -> datetime | None:
    return await tx.maybe(UNWANTED_SINCE, address)
