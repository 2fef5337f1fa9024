"""What every use case of payments stands on."""

from __future__ import annotations

from uuid import UUID

from forecourt.kernel.clock import Clock
from forecourt.kernel.context import Context
from forecourt.kernel.db import ModuleDatabase, Tx
from forecourt.kernel.errors import Unauthenticated
from forecourt.kernel.events import emit
from forecourt.kernel.whereabouts import Whereabouts
from forecourt.modules.identity.contract import Identity
from forecourt.modules.payments import queries
from forecourt.modules.payments.contract import PaymentCaptured
from forecourt.modules.venues.contract import Venues


class Base:
    """The database, the clock, venues (for an organisation's currency) and identity (for who there is)."""

    def __init__(self, db: ModuleDatabase, clock: Clock, venues: Venues, identity: Identity) -> None:
        self._db = db
        self._clock = clock
        self._venues = venues
        self._identity = identity
        self._customers = Whereabouts("payments.customer", queries.CUSTOMER_OF)

    def _told(self, tx: Tx, captured: PaymentCaptured) -> None:
        """Tells of money that came."""
        emit(tx, captured)


def person_of(ctx: Context) -> UUID:
    if ctx.account_id is None:
        raise Unauthenticated
    return ctx.account_id
