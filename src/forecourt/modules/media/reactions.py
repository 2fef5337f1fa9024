"""What media does when something happened elsewhere: of whoever is erased nothing stays."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from forecourt.kernel.db import Tx
from forecourt.kernel.events import Envelope, Subscription
from forecourt.kernel.jobs import enqueue
from forecourt.modules.identity.contract import AccountErased
from forecourt.modules.media.service import FORGET, Forget

AGAIN_AFTER = timedelta(hours=1)
"""Longer than a request takes: what one that was under way wrote of somebody just erased goes then."""


def subscriptions() -> list[Subscription]:
    async def forget(tx: Tx, envelopes: list[Envelope[Any]]) -> None:
        for envelope in envelopes:
            gone: AccountErased = envelope.event
            enqueue(tx, FORGET, Forget(gone.account_id), key=f"forget {gone.account_id}")
            again_at = envelope.at + AGAIN_AFTER
            enqueue(tx, FORGET, Forget(gone.account_id), at=again_at, key=f"forget {gone.account_id} again")

    return [Subscription("media.forgetting", "media", (AccountErased,), forget)]
