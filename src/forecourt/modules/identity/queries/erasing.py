"""SQL about accounts that are to be erased, and about what goes with one."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from msgspec import Struct

from forecourt.kernel.db import Query, Statement, Tx
from forecourt.modules.identity.queries.accounts import AccountRow


class DueRow(Struct, frozen=True):
    id: UUID
    erase_at: datetime


class LeftRow(Struct, frozen=True):
    """`comes_again`: rows of theirs came after they had been erased, with an organisation from another installation."""

    id: UUID
    comes_again: bool


_ACCOUNT = "select id, email, name, status, platform_admin, password_hash from identity.account"
ERASE_AT = Query(DueRow, "select id, erase_at from identity.account where id = $1 and erase_at is not null")
ASK = Statement("update identity.account set erase_at = $2, erase_reminded_at = null where id = $1")
KEEP = Statement(
    "update identity.account set erase_at = null, erase_reminded_at = null"
    " where id = $1 and erase_at is not null and status <> 'erased'"
)
OTHER_ADMIN = Query(
    bool,
    "select exists (select from identity.account"
    " where platform_admin and id <> $1 and status not in ('suspended', 'banned', 'erased'))",
)
OWNED = Query(
    UUID,
    "select organisation_id from identity.staff where account_id = $1 and role = 'owner' order by organisation_id limit 1000",
)
ONE_AT_A_TIME = Statement("select pg_advisory_xact_lock(7310868735422915)")
DUE = Query(
    DueRow,
    "select id, erase_at from identity.account where erase_at is not null and erase_at <= $1 and status <> 'erased'"
    " and (erase_at, id) > ($2, $3::uuid) order by erase_at, id limit $4",
)
LOCK_DUE = Query(AccountRow, _ACCOUNT + " where id = $1 and erase_at <= $2 and status <> 'erased' for update")
NEAR = Query(
    DueRow,
    "select id, erase_at from identity.account where erase_at is not null and erase_at > $1 and erase_at <= $2"
    " and erase_reminded_at is null and status <> 'erased' order by erase_at, id limit $3",
)
REMIND = Query(
    AccountRow,
    "update identity.account set erase_reminded_at = $2 where id = $1 and erase_at = $3 and erase_reminded_at is null"
    " and status <> 'erased' returning id, email, name, status, platform_admin, password_hash",
)
# A key that no address folds to: nobody can have it before.
ERASE = Statement(
    "update identity.account set status = 'erased', erased_at = $2, changed_at = $2, revoked_before = $2,"
    " email = 'erased-' || id || '@erased.invalid', email_key = 'erased ' || id, name = '—', password_hash = null,"
    " status_reason = '', platform_admin = false, erase_reminded_at = null where id = $1"
)
DROP_INVITATIONS_TO = Statement(
    "delete from identity.staff_invitation i using identity.account a where a.id = $1 and i.email_key = a.email_key"
)
LEFTOVERS = Query(
    LeftRow,
    "select id, erase_at > erased_at from identity.account where erase_at is not null and erase_at <= $1 and status = 'erased'"
    " and erased_at <= $1 order by erase_at, id limit $2",
)
SWEPT = Statement("update identity.account set erase_at = null where id = $1 and status = 'erased'")
# What belongs to one account. Tokens go with their session.
OF_THE_ACCOUNT = (
    Statement("delete from identity.session where account_id = $1"),
    Statement("delete from identity.challenge where account_id = $1"),
    Statement("delete from identity.phone where account_id = $1"),
    Statement("delete from identity.phone_challenge where account_id = $1"),
    Statement("delete from identity.security_event where account_id = $1"),
)


async def erase_at(tx: Tx, account_id: UUID) -> datetime | None:
    """When the account is to be erased; None when nobody asked."""
    row = await tx.maybe(ERASE_AT, account_id)
    return None if row is None else row.erase_at


async def ask(tx: Tx, account_id: UUID, due: datetime) -> None:
    await tx.run(ASK, account_id, due)


async def keep(tx: Tx, account_id: UUID) -> bool:
    """False when nobody had asked."""
    return await tx.run(KEEP, account_id) == 1


async def has_other_admin(tx: Tx, account_id: UUID) -> bool:
    return await tx.one(OTHER_ADMIN, account_id)


async def owned(tx: Tx, account_id: UUID) -> list[UUID]:
    """Organisations that the account is an owner of, with others or alone."""
    return await tx.all(OWNED, account_id)


async def one_at_a_time(tx: Tx) -> None:
    """Of two last admins, or owners, who are erased at the same moment the second sees that the first is gone."""
    await tx.run(ONE_AT_A_TIME)


async def due(tx: Tx, now: datetime, after: DueRow | None, limit: int) -> list[DueRow]:
    """Whose day has come, the earliest first."""
    at, id = (datetime.min.replace(tzinfo=now.tzinfo), UUID(int=0)) if after is None else (after.erase_at, after.id)
    return await tx.all(DUE, now, at, id, limit)


async def lock_due(tx: Tx, account_id: UUID, now: datetime) -> AccountRow | None:
    """None for whoever took it back, or was erased, meanwhile."""
    return await tx.maybe(LOCK_DUE, account_id, now)


async def near(tx: Tx, now: datetime, until: datetime, limit: int) -> list[DueRow]:
    """Whose day comes before `until` and who were not reminded of it."""
    return await tx.all(NEAR, now, until, limit)


async def remind(tx: Tx, row: DueRow, now: datetime) -> AccountRow | None:
    """Notes that this day was told; None when it was, or is another now."""
    return await tx.maybe(REMIND, row.id, now, row.erase_at)


async def drop_invitations_to(tx: Tx, account_id: UUID) -> None:
    """Every invitation to the account's address, if that was shown to be theirs; before the address goes."""
    await tx.run(DROP_INVITATIONS_TO, account_id)


async def erase(tx: Tx, account_id: UUID, at: datetime) -> None:
    """Nothing in the row says any more who it was."""
    await tx.run(ERASE, account_id, at)


async def drop_all_of(tx: Tx, account_id: UUID) -> None:
    """What hangs on an account that is erased. The transaction has to be about it."""
    for statement in OF_THE_ACCOUNT:
        await tx.run(statement, account_id)


async def leftovers(tx: Tx, before: datetime, limit: int) -> list[LeftRow]:
    """Who was erased before then, and was not looked after since."""
    return await tx.all(LEFTOVERS, before, limit)


async def swept(tx: Tx, account_id: UUID) -> None:
    await tx.run(SWEPT, account_id)
