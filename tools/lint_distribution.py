"""Whether the tables could be spread over many servers: `python -m tools.lint_distribution [--write]`.

Reads the catalogue of a database that was just migrated (its own, on memory's time, gone afterwards) and holds three things:

* every primary, unique and exclusion key and every foreign key of a spread table contains what its rows are spread by;
* every registered statement says for each spread table that it names which rows it means, by that column, or is named below
  with the reason why it asks everybody;
* `deploy/citus/distribution.sql` is what follows from the catalogue; `--write` makes it so.

What it cannot see: statements that are put together at run time, what functions in the database do, and whether a statement
that names the column is planned as we think. docs/scale.md says what is left to be tried on a real cluster.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
from pglast import ast, parse_sql
from pglast.visitors import Visitor

from forecourt.kernel.db import Query, Statement
from forecourt.spread import TableFacts, distribution, faults, spread_by, tables
from forecourt.survey import load

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "deploy" / "citus" / "distribution.sql"


ASKS_EVERYBODY = {
    (
        "booking.booking",
        "where b.account_id = $1",
    ): "a person's own bookings: few, wherever they are; one server a page would need a copy by person",
    ("booking.booking", "where b.id = $1"): "a link to a booking names no organisation: ids are looked up in an index everywhere",
    ("booking.booking", "where b.id = any($1::uuid[]) limit 100"): "the same for many",
    ("payments.payment", "where p.id = $1 and p.account_id = $2"): "the same for a payment of one's own",
    ("booking.due", "where d.at <= $1"): "the keeper of time asks what is due anywhere, once a second",
    ("notifications.due", "from notifications.due q"): "the keeper of the queue takes what is due anywhere",
    ("media.doomed", "where due_at <= $1"): "the sweep asks what is to go anywhere, every ten minutes",
    ("chat.position", "where p.kept_since < $1"): "the sweep asks which rooms keep too much",
    ("chat.position", "where p.tidy_at <= $1"): "the sweep asks which rooms are to be tidied",
    ("chat.member", "where m.account_id = $1"): "in how many rooms a person is, when one more is made",
    ("chat.message", "where m.id = $1"): "a link to a message names no room",
    ("audit.chain", "where c.organisation_id > $1"): "the proof of every record goes from one to the next",
    ("payments.book", "where b.organisation_id > $1"): "the sweep goes from one ledger to the next",
}
"""A table, and words of the statements that ask for its rows wherever they lie: the reason."""


class _Names(Visitor):
    """The spread tables that a statement names, and which of their names are tied to the column."""

    def __init__(self, by: dict[str, str]) -> None:
        self.by = by
        self.named: dict[str, str] = {}
        """What a table is called in the statement → the table."""
        self.tied: set[str] = set()
        self.bare: set[str] = set()
        """Columns that are compared without a table's name before them."""

    def visit_RangeVar(self, _: Any, node: Any) -> None:  # noqa: N802 - pglast's names
        table = f"{node.schemaname}.{node.relname}"
        if table in self.by:
            self.named[node.alias.aliasname if node.alias else node.relname] = table

    def visit_A_Expr(self, _: Any, node: Any) -> None:  # noqa: N802 - pglast's names
        if node.name[-1].sval in ("=", "IN"):
            for side in (node.lexpr, node.rexpr):
                for column in _columns(side):
                    self._tie(column)

    def visit_InsertStmt(self, _: Any, node: Any) -> None:  # noqa: N802 - pglast's names
        table = f"{node.relation.schemaname}.{node.relation.relname}"
        if table in self.by and self.by[table] in {column.name for column in node.cols or ()}:
            alias = node.relation.alias
            self.tied.add(alias.aliasname if alias else node.relation.relname)

    def visit_JoinExpr(self, _: Any, node: Any) -> None:  # noqa: N802 - pglast's names
        self.bare |= {name.sval for name in node.usingClause or ()}

    def visit_SubLink(self, _: Any, node: Any) -> None:  # noqa: N802 - pglast's names
        if node.testexpr is not None:
            for column in _columns(node.testexpr):
                self._tie(column)

    def _tie(self, column: tuple[str, ...]) -> None:
        if not column:
            return  # a star
        if len(column) == 1:
            self.bare.add(column[0])
        elif self.by.get(self.named.get(column[-2], "")) == column[-1] or column[-2] not in self.named:
            self.tied.add(f"{column[-2]}.{column[-1]}")

    def loose(self) -> list[str]:
        """Tables whose rows the statement does not narrow down."""
        return sorted(
            {
                table
                for name, table in self.named.items()
                if name not in self.tied and f"{name}.{self.by[table]}" not in self.tied and self.by[table] not in self.bare
            }
        )


def _columns(node: Any) -> Iterator[tuple[str, ...]]:
    """The columns of one side of a comparison, those of a row one by one."""
    if isinstance(node, ast.ColumnRef):
        fields: Any = node.fields
        yield tuple(str(field.sval) for field in fields if isinstance(field, ast.String))
    elif isinstance(node, ast.RowExpr):
        parts: Any = node.args
        for part in parts:
            yield from _columns(part)
    elif isinstance(node, ast.TypeCast):
        yield from _columns(node.arg)


def loose_tables(sql: str, by: dict[str, str]) -> list[str]:
    """Spread tables of a statement that it does not tie to what they are spread by."""
    found = _Names(by)
    found(parse_sql(sql))
    return found.loose()


def statements() -> list[str]:
    """Every statement that the program has registered, once."""
    load()
    return sorted({thing.sql for thing in (*Query.registered, *Statement.registered)})


def loose_statements(found: list[TableFacts], sqls: list[str]) -> dict[str, list[str]]:
    """Statements that ask everybody, with the tables."""
    by = {table.name: column for table in found if (column := spread_by(table)) is not None}
    return {sql: loose for sql in sqls if (loose := loose_tables(sql, by))}


def statement_faults(loose: dict[str, list[str]]) -> list[str]:
    """Those that ask everybody without a reason, and reasons that nobody needs."""
    needed: set[tuple[str, str]] = set()
    wrong: list[str] = []
    for sql, names in loose.items():
        for name in names:
            reasons = {(table, words) for table, words in ASKS_EVERYBODY if table == name and words in sql}
            needed |= reasons
            if not reasons:
                wrong.append(f"does not say which rows of {name} it means: {' '.join(sql.split())}")
    return wrong + [f"no statement asks {table} {words!r} any more" for table, words in ASKS_EVERYBODY.keys() - needed]


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
    wrong = statement_faults(loose_statements(found, sqls))
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
