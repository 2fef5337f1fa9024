"""What people keeps of a person: the profile, and the preferences."""

from __future__ import annotations

from forecourt.kernel.context import Context
from forecourt.kernel.db import ModuleDatabase
from forecourt.kernel.errors import Unauthenticated
from forecourt.kernel.records import Read, RecordKind, Records
from forecourt.modules.people import queries


class Belongings:
    def __init__(self, db: ModuleDatabase) -> None:
        self._db = db

    async def profile(self, ctx: Context, _: str) -> Read:
        if ctx.account_id is None:
            raise Unauthenticated
        async with self._db.read(ctx) as tx:
            row = await queries.profile(tx, ctx.account_id)
        return Read([] if row is None else [row])

    async def preferences(self, ctx: Context, _: str) -> Read:
        if ctx.account_id is None:
            raise Unauthenticated
        async with self._db.read(ctx) as tx:
            chosen = await queries.preferences(tx, ctx.account_id)
        return Read([] if chosen is None else [chosen])


def records(db: ModuleDatabase) -> Records:
    """In the way of every module; people asks itself."""
    kept = Belongings(db)
    return Records(RecordKind("profile", kept.profile), RecordKind("preferences", kept.preferences))
