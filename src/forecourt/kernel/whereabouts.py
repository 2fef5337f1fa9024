"""In which organisations a person has rows of a module: a question about a person names them, and on many servers it goes to
those that have the rows (docs/scale.md).

A module keeps a table `(account_id, organisation_id)` for it. A row is written with the first thing that a person has at an
organisation, in the transaction of that thing and in the message that begins it, and never goes. So what a process has once
seen stays true, and it remembers; what it has not seen yet may be there all the same.

    async with db.tx(ctx, note=self.guests.note(account_id, organisation_id)) as tx: ...
    row = await self.guests.find(tx, account_id, lambda among: queries.booking_among(tx, among, booking_id))
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TypeVar
from uuid import UUID

from forecourt.kernel.db import Note, Query, Tx
from forecourt.kernel.memory import remember

T = TypeVar("T")

REMEMBERED = 10_000
"""People whose organisations one process knows by heart: a few megabytes."""
MAX_ORGANISATIONS = 1_000
"""Of one person that are looked at. Whoever has something in more finds what lies in the first of them."""


class Whereabouts:
    """Of one table. `query` gives the organisations of an account: `$1`, at most `$2`."""

    def __init__(self, table: str, query: Query[UUID]) -> None:
        self._table = table
        self._query = query
        self._known: OrderedDict[UUID, frozenset[UUID]] = OrderedDict()

    def note(self, account_id: UUID | None, organisation_id: UUID, *, is_there: bool = False) -> Note | None:
        """What a transaction begins with so that what it makes is found; None when it makes nothing of a person's.

        `is_there` when what the transaction does is refused unless the row was written long ago.
        """
        if account_id is None:
            return None
        # Whoever notes a person says so; for everybody else a trigger of the table does.
        said = f"; set local forecourt.noted = '{account_id}'"
        sql = ""
        if not is_there and organisation_id not in self._known.get(account_id, ()):
            sql = f"; insert into {self._table} (account_id, organisation_id)"
            sql += f" values ('{account_id}', '{organisation_id}') on conflict do nothing"
        return Note(said, sql, lambda: self._remember(account_id, {organisation_id}))

    async def read(self, tx: Tx, account_id: UUID) -> list[UUID]:
        """Every organisation, as the database has it now. For lists: one that is missing would be missed by nobody."""
        found = await tx.all(self._query, account_id, MAX_ORGANISATIONS)
        self._remember(account_id, found)
        return found

    async def find(self, tx: Tx, account_id: UUID, ask: Callable[[Sequence[UUID]], Awaitable[T | None]]) -> T | None:
        """What `ask` finds among the organisations that are remembered, or else among those that are new to this process."""
        known = self._known.get(account_id, frozenset())
        if known and (found := await ask(list(known))) is not None:
            return found
        others = [id for id in await self.read(tx, account_id) if id not in known]
        return await ask(others) if others else None

    def _remember(self, account_id: UUID, organisations: Iterable[UUID]) -> None:
        known = self._known.get(account_id, frozenset()).union(organisations)
        remember(self._known, account_id, known, REMEMBERED)
