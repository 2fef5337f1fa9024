"""A house's database, as its superuser: to hold somebody up in the middle of what they do, and to count what came of it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator

import asyncpg


class Books:
    def __init__(self, url: str) -> None:
        self._url = url

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncGenerator[asyncpg.Connection]:
        connection = await asyncpg.connect(self._url)
        try:
            yield connection
        finally:
            await connection.close()

    async def number(self, statement: str, *values: object) -> int:
        async with self.opened() as connection:
            return int(await connection.fetchval(statement, *values))

    @contextlib.asynccontextmanager
    async def held_up(self, table: str) -> AsyncGenerator[None]:
        """Whoever writes a row of it waits meanwhile, in the middle of what it does."""
        async with self.opened() as connection, connection.transaction():
            await connection.execute(f"lock table {table} in share mode")
            yield

    async def waiting(self, table: str) -> int:
        """How many wait to add a row: whoever looks after those that are there may wait too."""
        statement = """select count(*) from pg_locks l join pg_stat_activity a using (pid)
            where l.relation = $1::text::regclass and not l.granted and a.query !~ ('update ' || $1)"""
        return await self.number(statement, table)

    async def a_minute_goes_by(self) -> None:
        """For the keys of requests that were cut off: who died with them has had its time."""
        async with self.opened() as connection:
            await connection.execute("update kernel.idempotency set locked_until = now() where state = 'working'")
