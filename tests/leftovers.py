"""What is left of somebody: every column that could hold words is searched for theirs."""

from __future__ import annotations

import asyncpg

COLUMNS = """
select c.table_schema, c.table_name, c.column_name, c.data_type
from information_schema.columns c join information_schema.tables t using (table_schema, table_name)
where c.table_schema = any($1) and t.table_type = 'BASE TABLE'
  and c.data_type in ('text', 'character varying', 'json', 'jsonb', 'bytea', 'ARRAY', 'USER-DEFINED')
order by 1, 2, 3
"""


async def leftovers(admin: asyncpg.Connection, schemas: list[str], words: list[str]) -> list[str]:
    """Where one of the words stands, whatever its case: `people.profile.bio: Left-handed`. `admin` sees every row."""
    found: list[str] = []
    for schema, table, column, kind in await admin.fetch(COLUMNS, schemas):
        # In bytes that are no text the words are looked for as bytes.
        value = f'"{column}"' if kind == "bytea" else f'lower("{column}"::text)'
        for word in words:
            sought: object = word.encode() if kind == "bytea" else word.lower()
            sql = f'select exists (select from "{schema}"."{table}" where position($1 in {value}) > 0)'
            if await admin.fetchval(sql, sought):
                found.append(f"{schema}.{table}.{column}: {word}")
    return found
