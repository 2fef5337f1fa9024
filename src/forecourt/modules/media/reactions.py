"""What media does when something happened elsewhere: of whoever is erased nothing stays."""

from __future__ import annotations

from typing import Any

from forecourt.kernel.db import Tx
from forecourt.kernel.events import Envelope, Subscription
from forecourt.kernel.jobs import enqueue
from forecourt.modules.identity.contract import AccountErased
from forecourt.modules.media.service import FORGET, Forget


def subscriptions() -> list[Subscription]:
    async def forget(tx: Tx, envelopes: list[Envelope[Any]]) -> None:
        for envelope in envelopes:
            gone: AccountErased = envelope.event
            enqueue(tx, FORGET, Forget(gone.account_id), key=f"forget {gone.account_id}")

    return [Subscription("media.forgetting", "media", (AccountErased,), forget)]
