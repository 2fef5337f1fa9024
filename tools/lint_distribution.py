"""Whether the tables could be spread over many servers: `python -m tools.lint_distribution [--write]`.

Reads the catalogue of a database that was just migrated (its own, on memory's time, gone afterwards) and holds three things:

* every primary, unique and exclusion key and every foreign key of a spread table contains what its rows are spread by;
* every registered statement says for each spread table that it names which rows it means, by values of that column, or is a
  `Sweep`, which the kernel runs for jobs and operators alone;
* `deploy/citus/distribution.sql` is what follows from the catalogue; `--write` makes it so.

What it cannot see: statements that are put together at run time, what functions in the database do, and whether a statement
that names the column is planned as we think. docs/scale.md says what is left to be tried on a real cluster.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import asyncpg

from forecourt.kernel.db import Query, Statement
from forecourt.spread import TableFacts, distribution, faults, spread_by, tables
from forecourt.survey import load
from tools.reach import Reach

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "deploy" / "citus" / "distribution.sql"


def loose_tables(sql: str, by: dict[str, str]) -> list[str]:
    """Spread tables of a statement that it does not tie to values of what they are spread by."""
    return Reach(by).loose(sql)


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


async def look(url: str) -> list[TableFacts]:
    connection = await asyncpg.connect(url)
    try:
        return await tables(connection)
    finally:
        await connection.close()


def check(found: list[TableFacts], sqls: list[str], written: str) -> list[str]:
    """Everything that is wrong, a line each. `written` is what deploy/citus/distribution.sql says."""
    wrong = faults(found)
    if wrong:
        return wrong  # the rest would say the same in other words
    wrong = statement_faults(loose_statements(found, sqls), sweeps())
    if written != distribution(found):
        wrong.append(
            f"{TARGET.relative_to(ROOT)} is not what follows from the catalogue: python -m tools.lint_distribution --write"
        )
    return wrong


def main(arguments: list[str]) -> int:
    from tools.migrated import migrated

    with migrated() as url:
        found = asyncio.run(look(url))
    if arguments == ["--write"]:
        TARGET.parent.mkdir(parents=True, exist_ok=True)
        TARGET.write_text(distribution(found))
    wrong = check(found, sqls := statements(), TARGET.read_text() if TARGET.exists() else "")
    for line in wrong:
        print(line)
    spread = sum(spread_by(table) is not None for table in found)
    print(f"distribution: {len(found)} tables, {spread} of them spread; {len(sqls)} statements; {len(wrong) or 'no'} faults")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
