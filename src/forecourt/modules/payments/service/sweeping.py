"""What goes through every ledger: what ran out by the minute or hour, proof by night."""

from __future__ import annotations

from uuid import UUID

from forecourt.kernel.context import Context
from forecourt.kernel.events import emit
from forecourt.modules.payments import queries
from forecourt.modules.payments.contract import (
    LedgerDisagrees,
)
from forecourt.modules.payments.service.authorising import Authorising
from forecourt.modules.payments.service.reading import Reading

BOOKS_BATCH = 500
NIL = UUID(int=0)


class Sweeping(Authorising, Reading):
    async def expire_everywhere(self, ctx: Context) -> int:
        """Expires what is due at every organisation; returns how many lots."""
        return sum([await self.expire_due(ctx, org) for org in await self._books(ctx)])

    async def release_everywhere(self, ctx: Context) -> int:
        """Gives back what was set aside and nobody decided about in time, at every organisation; returns how many."""
        return sum([await self.release_expired(ctx, org) for org in await self._books(ctx)])

    async def prove_everywhere(self, ctx: Context) -> list[UUID]:
        """The nightly proof. Emits LedgerDisagrees for, and returns, every organisation whose books do not add up."""
        wrong: list[UUID] = []
        for org in await self._books(ctx):
            lines = await self.proof(ctx, org)
            faults = [f for line in lines.values() for f in line.faults]
            faults += [f"{currency} sums to {line.sum}" for currency, line in lines.items() if line.sum]
            if faults:
                wrong.append(org)
                async with self._db.tx(ctx.within(org)) as tx:
                    emit(tx, LedgerDisagrees(organisation_id=org, faults=faults))
        return wrong

    async def _books(self, ctx: Context) -> list[UUID]:
        found: list[UUID] = []
        while True:
            async with self._db.read(ctx.within(None)) as tx:
                batch = await queries.books(tx, found[-1] if found else NIL, BOOKS_BATCH)
            found += batch
            if len(batch) < BOOKS_BATCH:
                return found
