"""The development outbox."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from msgspec import Struct

from forecourt.kernel.db import Query, Statement, Tx, to_json
from forecourt.modules.notifications.contract import Mail


class OutboxRow(Struct, frozen=True):
    id: UUID
    to: str
    subject: str
    text: str
    html: str | None
    created_at: datetime
    calendar: str | None
    """The calendar file that came with it."""
    headers: dict[str, str]
    """Header fields beyond the usual ones, such as List-Unsubscribe."""


INSERT = Statement(
    "insert into notifications.outbox (id, recipient, subject, body, html, created_at, calendar, headers, account_id)"
    " values ($1, $2, $3, $4, $5, $6, $7, $8::text::jsonb, $9)"
    " on conflict (id) do nothing"
)
TRIM = Statement(
    "delete from notifications.outbox where (created_at, id) <="
    " (select created_at, id from notifications.outbox order by created_at desc, id desc offset $1 limit 1)"
)
DROP_OF = Statement("delete from notifications.outbox where account_id = $1")
DROP = Statement("delete from notifications.outbox where id = any($1::uuid[])")
OUTBOX = Query(
    OutboxRow,
    "select id, recipient, subject, body, html, created_at, calendar, headers from notifications.outbox"
    " where ($1::text is null or lower(recipient) = $1)"
    " and ($2::timestamptz is null or (created_at, id) < ($2, $3::uuid))"
    " order by created_at desc, id desc limit $4",
)


async def keep(tx: Tx, mail: Mail, at: datetime, calendar: str | None, headers: dict[str, str]) -> None:
    await tx.run(INSERT, mail.id, mail.to, mail.subject, mail.text, mail.html, at, calendar, to_json(headers), mail.account_id)


async def drop_of(tx: Tx, account_id: UUID) -> None:
    await tx.run(DROP_OF, account_id)


async def drop(tx: Tx, ids: Sequence[UUID]) -> None:
    await tx.run(DROP, list(ids))


async def trim(tx: Tx, kept: int) -> None:
    """Leaves the newest `kept`."""
    await tx.run(TRIM, kept)


async def outbox(tx: Tx, to: str | None, after: tuple[datetime, UUID] | None, limit: int) -> list[OutboxRow]:
    at, id = after or (None, None)
    return await tx.all(OUTBOX, to, at, id, limit)
