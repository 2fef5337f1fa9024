"""Whether words are left anywhere in the database: in whatever column, of whatever table, as text, in JSON or in bytes."""

from __future__ import annotations

from collections.abc import Sequence

import asyncpg

COLUMNS = """
select n.nspname, c.relname, a.attname
  from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace
  join pg_type t on t.oid = a.atttypid left join pg_type of on of.oid = t.typelem
 where n.nspname = any($1) and c.relkind in ('r', 'p') and not c.relispartition and a.attnum > 0 and not a.attisdropped
   and ('S' in (t.typcategory, of.typcategory) or 'bytea' in (t.typname, of.typname) or t.typname in ('json', 'jsonb'))
 order by 1, 2, a.attnum
"""


async def where_words_are_left(
    superuser: asyncpg.Connection[asyncpg.Record], schemas: Sequence[str], words: Sequence[str]
) -> list[str]:
    """The columns, as `schema.table column`, in which one of the words stands, however it is written."""
    found: list[str] = []
    wanted = [word.casefold() for word in words]
    written = [word.encode().hex() for word in words]
    for schema, table, column in await superuser.fetch(COLUMNS, list(schemas)):
        is_there = await superuser.fetchval(
            f'select exists (select from "{schema}"."{table}" t where exists (select from unnest($1::text[], $2::text[])'
            f' w (word, hex) where position(w.word in lower(t."{column}"::text)) > 0'
            f' or position(w.hex in t."{column}"::text) > 0))',
            wanted,
            written,
        )
        if is_there:
            found.append(f"{schema}.{table} {column}")
    return found


TABLES = """
select n.nspname, c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
 where n.nspname = any($1) and c.relkind in ('r', 'p') and not c.relispartition order by 1, 2
"""


async def rows_that_say(
    superuser: asyncpg.Connection[asyncpg.Record], schemas: Sequence[str], words: Sequence[str]
) -> dict[str, str]:
    """The tables of which a row says one of the words, in whatever column and however it is written, and what is around it."""
    wanted = [word.casefold() for word in words] + [word.encode().hex() for word in words]
    found: dict[str, str] = {}
    for schema, table in await superuser.fetch(TABLES, list(schemas)):
        row = await superuser.fetchval(
            "select substring(r.row from greatest(position(w.word in r.row) - 80, 1) for 200)"
            f' from (select lower(t::text) as row from "{schema}"."{table}" t) r, unnest($1::text[]) as w (word)'
            " where position(w.word in r.row) > 0 limit 1",
            wanted,
        )
        if row is not None:
            found[f"{schema}.{table}"] = row
    return found
