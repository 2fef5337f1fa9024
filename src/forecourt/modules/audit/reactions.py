"""Every event of the house is recorded; what was recorded of somebody whose account is erased is forgotten."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from forecourt.kernel.db import Tx
from forecourt.kernel.events import Envelope, Event, Subscription
from forecourt.kernel.jobs import enqueue
from forecourt.modules.audit.jobs import FORGET, Forget
from forecourt.modules.audit.service import AuditService
from forecourt.modules.identity.contract import AccountErased

LATE = timedelta(days=1)
"""After so long it is looked again: a request that was at work during the erasure may have been recorded after it."""


def subscriptions(service: AuditService, events: Iterable[type[Event]]) -> list[Subscription]:
    """`events` are all that exist: the composition root knows them once every module's contract is imported.

    Forgetting is begun by the same subscriber: then all that the person did before is in the record already.
    """

    async def record(tx: Tx, envelopes: list[Envelope[Any]]) -> None:
        await service.record(tx, envelopes)
        for envelope in envelopes:
            if isinstance(envelope.event, AccountErased):
                erased = Forget(envelope.event.account_id)
                enqueue(tx, FORGET, erased)
                enqueue(tx, FORGET, erased, at=envelope.at + LATE)

    return [Subscription("audit.trail", "audit", tuple(events), record)]
