"""Whether a distributed PostgreSQL takes what the program asks: `python -m tools.try_cluster postgresql://postgres@host/database`.

The address is a superuser's, of a database on the first server that was migrated and spread with deploy/citus/distribution.sql
and holds nothing dear. Three things are tried, and everything is taken back:

* every registered statement, as the module's role, with a value for each parameter: what the servers refuse is told;
* the same place claimed by many sessions at once: one may have it;
* the other servers do not see more than the first: another organisation's claim stays unseen.

What a row refuses (a key that is not there, a check) is no fault of the servers and is passed over.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg

from forecourt.kernel.db import LockingSweep, Query, Statement, passed_on_sql
from forecourt.survey import load

RIVALS = 20
NOW = datetime(2030, 1, 1, 9, tzinfo=UTC)
SOMEBODY = UUID(int=7)
VALUES: Mapping[str, object] = {
    "uuid": SOMEBODY,
    "text": "2",
    "timestamptz": NOW,
    "date": NOW.date(),
    "time": NOW.time(),
    "interval": timedelta(hours=1),
    "int2": 1,
    "int4": 1,
    "int8": 1,
    "float8": 1.0,
    "numeric": 1,
    "bool": True,
    "bytea": b"x",
    "json": "{}",
    "jsonb": "{}",
    "tsquery": "x",
    "inet": "127.0.0.1",
    "name": "x",
    "xid8": 5,
    "tstzrange": asyncpg.Range(NOW, NOW + timedelta(hours=1)),
}
REFUSED = (asyncpg.FeatureNotSupportedError, asyncpg.InternalServerError, asyncpg.SyntaxOrAccessError)
"""What is no refusal of a row. A missing right is one of the last kind, and means that the role was guessed wrongly."""
Connection = Any  # asyncpg.Connection[asyncpg.Record], whose stubs leave half of it open


def value_for(type_name: str) -> object:
    """Something of a type, by its name in the catalogue; a list of one for an array. Raises KeyError for a type that is new."""
    bare = type_name.removesuffix("[]").lstrip("_")
    return VALUES[bare] if bare == type_name else [VALUES[bare]]


def role_for(sql: str) -> str:
    """Of the module whose table a statement names first; the kernel's own for what names only the kernel's."""
    named = re.findall(r"\b(?:from|into|update|join)\s+(?:only\s+)?(\w+)\.\w+", sql)
    return f"fc_{next((name for name in named if name != 'kernel'), 'kernel')}"


async def refused(connection: Connection, sql: str) -> str | None:
    """What the servers say against a statement, or None."""
    step = connection.transaction()
    await step.start()
    try:
        await connection.execute(passed_on_sql(role_for(sql), SOMEBODY, SOMEBODY))
        prepared = await connection.prepare(sql)
        await prepared.fetch(*(value_for(parameter.name) for parameter in prepared.get_parameters()))
    except asyncpg.InsufficientPrivilegeError:
        return None
    except REFUSED as e:
        return None if "violates" in str(e) else str(e).partition("\n")[0]
    except asyncpg.PostgresError:
        return None
    finally:
        await step.rollback()
    return None


async def refused_statements(url: str) -> dict[str, str]:
    """By statement. What locks everywhere is for one server, and its caller knows (`LockingSweep`)."""
    load()
    alone = {query.sql for query in Query.registered if isinstance(query, LockingSweep)}
    sqls = {thing.sql for thing in (*Query.registered, *Statement.registered)} - alone
    connection = await asyncpg.connect(url, statement_cache_size=0)
    try:
        await connection.execute("set plan_cache_mode = force_custom_plan")
        return {sql: said for sql in sorted(sqls) if (said := await refused(connection, sql)) is not None}
    finally:
        await connection.close()


async def claim(url: str, organisation_id: UUID, resource_id: UUID) -> bool:
    """Whether a session got the place. The claim stays until the organisation's are removed."""
    connection = await asyncpg.connect(url)
    try:
        block = uuid4()
        async with connection.transaction():
            await connection.execute(passed_on_sql("fc_booking", organisation_id, None))
            await connection.execute(
                "insert into booking.block (organisation_id, id, venue_id, resource_ids, starts_at, ends_at, until, reason,"
                " created_at) values ($1, $2, $3, array[$3::uuid], $4, $5, $5, 'try_cluster', $4)",
                organisation_id, block, resource_id, NOW, NOW + timedelta(hours=1),
            )  # fmt: skip
            await connection.execute(
                "insert into booking.occupancy (organisation_id, resource_id, during, block_id)"
                " values ($1, $2, tstzrange($3, $4, '[)'), $5)",
                organisation_id, resource_id, NOW, NOW + timedelta(hours=1), block,
            )  # fmt: skip
    except (asyncpg.ExclusionViolationError, asyncpg.DeadlockDetectedError):
        return False
    finally:
        await connection.close()
    return True


async def race(url: str) -> tuple[int, int]:
    """How many of RIVALS had one place, and how many of its claims another organisation sees."""
    organisation_id, resource_id = uuid4(), uuid4()
    connection = await asyncpg.connect(url)
    try:
        won = await asyncio.gather(*(claim(url, organisation_id, resource_id) for _ in range(RIVALS)))
        async with connection.transaction():
            await connection.execute(passed_on_sql("fc_booking", uuid4(), None))
            count = "select count(*) from booking.occupancy o where o.organisation_id = $1"
            seen = await connection.fetchval(count, organisation_id)
        return sum(won), seen
    finally:
        await connection.execute("delete from booking.occupancy where organisation_id = $1", organisation_id)
        await connection.execute("delete from booking.block where organisation_id = $1", organisation_id)
        await connection.close()


async def report(url: str) -> int:
    wrong = await refused_statements(url)
    for sql, said in wrong.items():
        print(f"{said}: {' '.join(sql.split())}")
    won, seen = await race(url)
    print(f"cluster: {len(wrong) or 'no'} statements refused; {won} of {RIVALS} had one place; another organisation sees {seen}")
    return 1 if wrong or won != 1 or seen else 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(asyncio.run(report(sys.argv[1])))
