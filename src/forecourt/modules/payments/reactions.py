"""What payments do when something happened elsewhere."""

from __future__ import annotations

from typing import Any

from forecourt.kernel.clock import Clock
from forecourt.kernel.db import Tx
from forecourt.kernel.events import Envelope, Subscription
from forecourt.kernel.jobs import enqueue
from forecourt.modules.identity.contract import AccountErased
from forecourt.modules.payments.jobs import AGAIN_AFTER, FORGET, Forget


def subscriptions(clock: Clock) -> list[Subscription]:
    async def erased(tx: Tx, envelopes: list[Envelope[Any]]) -> None:
        """Twice, see `AGAIN_AFTER`."""
        for envelope in envelopes:
            wish = Forget(envelope.event.account_id)
            enqueue(tx, FORGET, wish)
            enqueue(tx, FORGET, wish, at=clock.now() + AGAIN_AFTER)

    return [Subscription("payments.forgetting", "payments", (AccountErased,), erased)]
