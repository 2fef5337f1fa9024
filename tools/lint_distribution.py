"""Whether the tables could be spread over many servers: `python -m tools.lint_distribution [--write]`.

Reads the catalogue of a database that was just migrated (its own, on memory's time, gone afterwards) and holds four things:

* every primary, unique and exclusion key and every foreign key of a spread table contains what its rows are spread by;
* every registered statement says for each spread table that it names which rows it means, by values of that column, or is a
  `Sweep`, which the kernel runs for jobs and operators alone;
* no policy and no function of a spread table, and none of these statements, is written in a way that Citus refuses (see
  `refusals`; each was met when the program was run there);
* `deploy/citus/distribution.sql` is what follows from the catalogue; `--write` makes it so.

What it cannot see: statements that are put together at run time, most of what functions in the database do, and whether a
statement that names the column is planned as we think: `python -m tools.try_cluster` runs every one on a real cluster.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Container, Sequence
from pathlib import Path
from typing import Any

import asyncpg
from pglast import ast, parse_sql

from forecourt.kernel.db import LockingSweep, Query, Statement
from forecourt.spread import TableFacts, at_home, distribution, faults, quiet_functions, spread_by, tables
from forecourt.survey import load
from tools.reach import Reach, nodes

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "deploy" / "citus" / "distribution.sql"


def loose_tables(sql: str, by: dict[str, str]) -> list[str]:
    """Spread tables of a statement that it does not tie to values of what they are spread by."""
    return Reach(by).loose(sql)


def refusals(sql: str, spread: Container[str]) -> list[str]:
    """What Citus refuses of a statement. `spread`: the tables that do not lie on the first server alone."""
    parts = list(nodes(parse_sql(sql)))
    if not any(isinstance(part, ast.RangeVar) and _table(part) in spread for part in parts):
        return []
    wrong = [
        f"copies rows into {_table(part.relation)}, which row security forbids there: let the insert give back something"
        for part in parts
        if isinstance(part, ast.InsertStmt) and _table(part.relation) in spread and _copies(part)
    ]
    if any(isinstance(part, ast.CaseExpr) and part.arg is not None for part in parts):
        wrong.append("has a `case … when` that other servers read wrongly: compare in each `when`")
    return wrong


def _table(name: Any) -> str:
    return f"{name.schemaname}.{name.relname}"


def _copies(insert: Any) -> bool:
    rows = insert.selectStmt
    return bool(rows and not rows.valuesLists and not insert.returningClause and not insert.onConflictClause)


def locks(sql: str) -> bool:
    """Whether it keeps rows from others."""
    return any(isinstance(part, ast.LockingClause) for part in nodes(parse_sql(sql)))


def refused_statements(found: list[TableFacts], sqls: list[str]) -> list[str]:
    spread = {table.name for table in found if not at_home(table.name)}
    wrong = [f"{fault}: {' '.join(sql.split())}" for sql in sqls for fault in refusals(sql, spread)]
    elsewhere = {query.sql for query in Query.registered if isinstance(query, LockingSweep)}
    swept = sweeps()
    return wrong + [
        f"locks rows on every server and is no LockingSweep: {' '.join(sql.split())}"
        for sql in sqls
        if sql in swept and sql not in elsewhere and locks(sql)
    ]


def statements() -> list[str]:
    """Every statement that the program has registered, once."""
    load()
    return sorted({thing.sql for thing in (*Query.registered, *Statement.registered)})


def loose_statements(found: list[TableFacts], sqls: list[str]) -> dict[str, list[str]]:
    """Statements that ask everybody, with the tables."""
    by = {table.name: column for table in found if (column := spread_by(table)) is not None}
    return {sql: loose for sql in sqls if (loose := loose_tables(sql, by))}


def sweeps() -> set[str]:
    """Those that the kernel keeps from requests."""
    load()
    return {query.sql for query in Query.registered if query.for_the_house_alone}


def statement_faults(loose: dict[str, list[str]], swept: set[str]) -> list[str]:
    """Those that ask everybody for whoever asks; sweeps that need not be one."""
    wrong = [f"says which rows it means and need be no sweep: {' '.join(sql.split())}" for sql in sorted(swept - set(loose))]
    for sql, names in loose.items():
        if sql not in swept:
            wrong += [f"does not say which rows of {name} it means: {' '.join(sql.split())}" for name in names]
    return wrong


async def look(url: str) -> tuple[list[TableFacts], list[str]]:
    connection = await asyncpg.connect(url)
    try:
        return await tables(connection), await quiet_functions(connection)
    finally:
        await connection.close()


def check(found: list[TableFacts], sqls: list[str], written: str, quiet: Sequence[str] = ()) -> list[str]:
    """Everything that is wrong, a line each. `written` is what deploy/citus/distribution.sql says, `quiet` are the functions that
    tell no other server whom they act for."""
    wrong = faults(found)
    if wrong:
        return wrong  # the rest would say the same in other words
    wrong = statement_faults(loose_statements(found, sqls), sweeps()) + refused_statements(found, sqls)
    wrong += [f"{name} sets a tenant with set_config, of which no other server hears: `set local`" for name in quiet]
    if written != distribution(found):
        wrong.append(
            f"{TARGET.relative_to(ROOT)} is not what follows from the catalogue: python -m tools.lint_distribution --write"
        )
    return wrong


def main(arguments: list[str]) -> int:
    from tools.migrated import migrated

    with migrated() as url:
        found, quiet = asyncio.run(look(url))
    if arguments == ["--write"]:
        TARGET.parent.mkdir(parents=True, exist_ok=True)
        TARGET.write_text(distribution(found))
    wrong = check(found, sqls := statements(), TARGET.read_text() if TARGET.exists() else "", quiet)
    for line in wrong:
        print(line)
    spread = sum(spread_by(table) is not None for table in found)
    print(f"distribution: {len(found)} tables, {spread} of them spread; {len(sqls)} statements; {len(wrong) or 'no'} faults")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
