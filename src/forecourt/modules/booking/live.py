"""Who may follow what booking announces (`announcements.py`)."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from uuid import UUID

import msgspec

from forecourt.kernel.context import Actor, ActorKind, Context
from forecourt.kernel.ephemeral import EphemeralTopics
from forecourt.kernel.errors import Forbidden, NotFound
from forecourt.kernel.live import Hub
from forecourt.modules.booking.contract import Bookings
from forecourt.modules.booking.service.base import READ_ANY
from forecourt.modules.booking.showing import Showing
from forecourt.modules.identity.contract import Identity

Standings = Callable[[Actor, UUID, str], Awaitable[frozenset[str] | None]]
"""What somebody may do as staff of an organisation, from an address; None for others. Raises Forbidden out of their reach."""


class Topics(EphemeralTopics):
    """Satisfies `BookingTopics`."""

    def __init__(self, hub: Hub, bookings: Bookings, showing: Showing, identity: Identity, standing: Standings) -> None:
        super().__init__(hub)
        self._bookings = bookings
        self._identity = identity
        self._standing = standing
        self._showing = showing

    async def admit(self, ctx: Context, topic: str) -> None:
        match topic.split(":"):
            case ["venue", venue_id, "availability"]:
                await self._showing.venue(_id(venue_id))
            case ["booking", booking_id]:
                await self._see(ctx, _id(booking_id))
            case _:
                raise NotFound

    async def _see(self, ctx: Context, booking_id: UUID) -> None:
        """One's own booking, or one of an organisation in which one may see any. Raises NotFound, Unauthenticated."""
        with contextlib.suppress(NotFound):
            await self._bookings.booking(ctx.within(None), booking_id)
            return
        for organisation_id in await self._identity.workplaces(ctx):
            try:
                permissions = await self._standing(ctx.actor, organisation_id, ctx.address)
            except Forbidden:
                continue  # staff there, but not from here or not at this hour
            if permissions is None or READ_ANY not in permissions:
                continue
            staff = msgspec.structs.replace(ctx, organisation_id=organisation_id, permissions=permissions)
            with contextlib.suppress(NotFound):
                await self._bookings.booking(staff, booking_id)
                return
        raise NotFound

    async def allowed(self, ctx: Context, topic: str, account_ids: list[UUID]) -> list[UUID]:
        """A place's free times are everybody's; a booking is asked for in the name of each, from no address: staff who may work
        from some addresses alone follow it until they are asked about, a minute at most."""
        if topic.startswith("venue:"):
            return account_ids
        return [account_id for account_id in account_ids if await self._may_see(ctx, topic, account_id)]

    async def _may_see(self, ctx: Context, topic: str, account_id: UUID) -> bool:
        person = Actor(kind=ActorKind.PERSON, account_id=account_id, confirmed=True)
        try:
            await self.admit(msgspec.structs.replace(ctx, actor=person, organisation_id=None, permissions=frozenset()), topic)
        except NotFound:
            return False
        return True


def _id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise NotFound from None
