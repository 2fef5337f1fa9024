"""Forgetting a person whose account was erased (PE-8).

The ledger, lots, payments and refunds keep their numbers, with an id that is nobody's any more; what somebody wrote about them
goes. Credits that are left stay in the books as they are: nobody can spend them, and they expire as they would have. Every step
may be repeated and looks for itself what is left.
"""

from __future__ import annotations

from uuid import UUID

from forecourt.kernel.context import Actor, ActorKind, Context, service_context
from forecourt.modules.payments import personal
from forecourt.modules.payments.personal import AT_ONCE, Moved
from forecourt.modules.payments.service.base import Base


class Forgetting(Base):
    async def forget_person(self, ctx: Context, account_id: UUID) -> None:
        """`ctx` is about nobody."""
        about = Context(actor=Actor(kind=ActorKind.PERSON, account_id=account_id), trace_id=ctx.trace_id)
        after: UUID | None = None
        while True:
            async with self._db.tx(about) as tx:
                places = await personal.places(tx, account_id, after)
            for organisation_id in places:
                house = service_context("payments.forget", organisation_id, ctx.trace_id)
                await self._forget_moves(house, organisation_id, account_id)
                await self._forget_refunds(house, organisation_id, account_id)
            if len(places) < AT_ONCE:
                return
            after = places[-1]

    async def _forget_moves(self, house: Context, organisation_id: UUID, account_id: UUID) -> None:
        after: Moved | None = None
        while True:
            async with self._db.tx(house) as tx:
                moves = await personal.moved(tx, organisation_id, account_id, after)
                await personal.forget_moves(tx, organisation_id, [m.transfer_id for m in moves])
            if len(moves) < AT_ONCE:
                return
            after = moves[-1]

    async def _forget_refunds(self, house: Context, organisation_id: UUID, account_id: UUID) -> None:
        after: UUID | None = None
        while True:
            async with self._db.tx(house) as tx:
                paid = await personal.paid(tx, organisation_id, account_id, after)
                await personal.forget_refunds(tx, organisation_id, paid)
            if len(paid) < AT_ONCE:
                return
            after = paid[-1]
