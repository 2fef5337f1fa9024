"""While a version is brought out, programs of the release before it go on with the new schema: their statements still fit it.

`queries.json` holds the statements of the last release with the types of what went in and came out; `python -m
tools.release_queries` writes it when a release is made. A release may take away only what the one before it no longer asks for.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from pglast import ast, parse_sql
from pglast.visitors import Visitor
from tests.conftest import FreshDatabase

Connection = asyncpg.Connection
KEPT = json.loads((Path(__file__).parent / "queries.json").read_text())


class Inserts(Visitor):
    """The tables that a statement adds rows to, with the columns it fills."""

    def __init__(self) -> None:
        self.found: list[tuple[str, set[str]]] = []

    def visit_InsertStmt(self, _: Any, node: ast.InsertStmt) -> None:
        target, columns = node.relation, node.cols or ()
        self.found.append((f"{target.schemaname}.{target.relname}", {column.name for column in columns}))  # type: ignore[union-attr]


NEEDED = """
select n.nspname || '.' || c.relname as name, array_agg(a.attname::text) as columns
  from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace
 where a.attnum > 0 and not a.attisdropped and a.attnotnull and not a.atthasdef and a.attidentity = '' and a.attgenerated = ''
   and c.relkind in ('r', 'p') group by 1
"""


async def unfit(connection: Connection) -> list[str]:
    """The statements of the last release that the schema no longer answers as it did, and why."""
    needed = {row["name"]: set(row["columns"]) for row in await connection.fetch(NEEDED)}
    wrong: list[str] = []
    for kept in KEPT["statements"]:
        wrong += [f"{kept['place']}: {why}" for why in await _unfit(connection, kept, needed)]
    return wrong


async def _unfit(connection: Connection, kept: dict[str, Any], needed: dict[str, set[str]]) -> list[str]:
    aside = connection.transaction()
    await aside.start()
    try:
        await connection.execute(f"set local role {kept['role']}")
        asked = await connection.prepare(kept["sql"])
        wrong = [
            f"{what} were {before}, and are {now}"
            for what, before, now in (
                ("parameters", kept["parameters"], [p.name for p in asked.get_parameters()]),
                ("columns", kept["columns"], [c.type.name for c in asked.get_attributes()]),
            )
            if before != now
        ]
    except asyncpg.PostgresError as e:
        return [str(e)]
    finally:
        await aside.rollback()
    inserts = Inserts()
    inserts(parse_sql(kept["sql"]))
    return wrong + [
        f"it leaves {table}.{column} empty, which may not be any more"
        for table, filled in inserts.found
        for column in sorted(needed.get(table, set()) - filled)
    ]


@pytest.fixture
async def catalogue(admin_url: str) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(admin_url)
    yield connection
    await connection.close()


async def test_the_statements_of_the_last_release_fit_the_schema(catalogue: Connection) -> None:
    assert len(KEPT["statements"]) > 200
    assert {kept["role"] for kept in KEPT["statements"]} >= {"fc_booking", "fc_kernel", "fc_payments", "fc_venues"}
    assert await unfit(catalogue) == []


async def test_no_statement_breaks_a_rule_of_columns_that_the_release_did_not_know(catalogue: Connection) -> None:
    """What it fills is there, and may be filled by its role: an insert is prepared without a look at rights."""
    missing: list[str] = []
    for kept in KEPT["statements"]:
        inserts = Inserts()
        inserts(parse_sql(kept["sql"]))
        for table, columns in inserts.found:
            rights = [
                await catalogue.fetchval("select has_column_privilege($1, $2, $3, 'insert')", kept["role"], table, column)
                for column in columns
            ]
            missing += [f"{kept['place']} may not fill {table}"] if not all(rights) else []
    assert missing == []


BROKEN = [
    ("alter table booking.booking drop column note", "note"),
    ("alter table booking.booking rename column purpose to sport", "purpose"),
    ("alter table venues.venue alter column version type bigint", "parameters were"),
    ("alter table identity.session alter column agent type varchar(400)", "columns were"),
    ("alter table booking.quote add column channel text not null", "it leaves booking.quote.channel empty"),
    ("drop function payments.spend", "payments.spend"),
]


async def test_a_contraction_that_comes_too_soon_is_told(fresh_database: FreshDatabase) -> None:
    connection = await fresh_database.admin()
    try:
        for statement, word in BROKEN:
            broken = connection.transaction()
            await broken.start()
            await connection.execute(statement)
            told = await unfit(connection)
            await broken.rollback()
            assert any(word in line for line in told), (statement, told)
        # What nobody of that release knew may go, and what is added may be left out.
        harmless = connection.transaction()
        await harmless.start()
        await connection.execute("alter table booking.quote add column channel text; create table booking.new (id uuid)")
        assert await unfit(connection) == []
        await harmless.rollback()
    finally:
        await connection.close()
