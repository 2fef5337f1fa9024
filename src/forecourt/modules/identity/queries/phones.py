"""SQL about phone numbers and their codes."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from msgspec import Struct

from forecourt.kernel.db import Query, Statement, Tx


class ChallengeRow(Struct, frozen=True):
    id: UUID
    number: str
    code_hash: bytes


class NumberRow(Struct, frozen=True):
    """The number that was shown to be the person's, and the one that waits for its code."""

    verified: str | None
    waiting: str | None


NUMBERS = Query(
    NumberRow,
    "select (select p.number from identity.phone p where p.account_id = $1),"
    " (select c.number from identity.phone_challenge c where c.account_id = $1 and c.expires_at > $2)",
)
NUMBER = Query(str, "select p.number from identity.phone p where p.account_id = $1")
REPLACE_CODE = Statement(
    "insert into identity.phone_challenge as c (account_id, id, number, code_hash, expires_at) values ($1, $2, $3, $4, $5)"
    " on conflict (account_id) do update set id = excluded.id, number = excluded.number, code_hash = excluded.code_hash,"
    " tries = 0, expires_at = excluded.expires_at"
)
# Counted before the code is compared: of a hundred guesses at the same moment five are looked at.
TRY_CODE = Query(
    ChallengeRow,
    "update identity.phone_challenge set tries = tries + 1 where account_id = $1 and expires_at > $2 and tries < $3"
    " returning id, number, code_hash",
)
USE_CODE = Statement("delete from identity.phone_challenge where account_id = $1 and id = $2")
SET_NUMBER = Statement(
    "insert into identity.phone as p (account_id, number, verified_at) values ($1, $2, $3)"
    " on conflict (account_id) do update set number = excluded.number, verified_at = excluded.verified_at"
)
DROP_NUMBER = Statement("delete from identity.phone where account_id = $1")
DROP_CODE = Statement("delete from identity.phone_challenge where account_id = $1")
FORGET_CODES = Statement("delete from identity.phone_challenge where expires_at < $1")


async def numbers(tx: Tx, account_id: UUID, now: datetime) -> NumberRow:
    return await tx.one(NUMBERS, account_id, now)


async def number(tx: Tx, account_id: UUID) -> str | None:
    return await tx.maybe(NUMBER, account_id)


async def replace_code(tx: Tx, account_id: UUID, id: UUID, number: str, hashed: bytes, expires_at: datetime) -> None:
    """The newest replaces the one before."""
    await tx.run(REPLACE_CODE, account_id, id, number, hashed, expires_at)


async def try_code(tx: Tx, account_id: UUID, now: datetime, tries: int) -> ChallengeRow | None:
    """The newest code, with one try fewer left; None when there is none."""
    return await tx.maybe(TRY_CODE, account_id, now, tries)


async def use_code(tx: Tx, account_id: UUID, id: UUID) -> bool:
    """False when it was used or replaced."""
    return await tx.run(USE_CODE, account_id, id) == 1


async def set_number(tx: Tx, account_id: UUID, number: str, at: datetime) -> None:
    """Raises UniqueViolationError (`phone_number_key`) when the number is another's."""
    await tx.run(SET_NUMBER, account_id, number, at)


async def drop_number(tx: Tx, account_id: UUID) -> bool:
    """False when there was none that was verified."""
    await tx.run(DROP_CODE, account_id)
    return await tx.run(DROP_NUMBER, account_id) == 1


async def forget_codes(tx: Tx, before: datetime) -> None:
    await tx.run(FORGET_CODES, before)
