"""What venues do when something happened."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from forecourt.kernel.db import Tx
from forecourt.kernel.events import Envelope, Subscription
from forecourt.modules.venues.contract import VenueChanged
from forecourt.modules.venues.service import VenuesService


def subscriptions(service: VenuesService) -> list[Subscription]:
    async def overtaken(_: Tx, envelopes: list[Envelope[Any]]) -> None:
        """Whoever changed the venue said so when it committed, unless it died just then: the event always comes."""
        versions: dict[UUID, int] = {}
        for envelope in envelopes:
            changed: VenueChanged = envelope.event
            versions[changed.venue_id] = max(changed.version, versions.get(changed.venue_id, 0))
        await service.overtaken(versions)

    return [Subscription("venues.books", "venues", (VenueChanged,), overtaken)]
