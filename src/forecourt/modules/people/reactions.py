"""What people does when something happened elsewhere: who is new is addressed as they came, who is erased forgotten."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from forecourt.kernel.db import Tx
from forecourt.kernel.events import Envelope, Subscription
from forecourt.kernel.jobs import enqueue
from forecourt.modules.identity.contract import AccountErased, AccountRegistered
from forecourt.modules.people.jobs import FORGET, Forget
from forecourt.modules.people.service import PeopleService

AGAIN_AFTER = timedelta(hours=1)
"""Longer than a request takes: what one that was under way wrote of somebody just erased goes then."""


def subscriptions(service: PeopleService) -> list[Subscription]:
    async def greet(tx: Tx, envelopes: list[Envelope[Any]]) -> None:
        for envelope in envelopes:
            new: AccountRegistered = envelope.event
            if new.language:
                await service.begin(tx, new.account_id, new.language)

    async def forget(tx: Tx, envelopes: list[Envelope[Any]]) -> None:
        for envelope in envelopes:
            gone: AccountErased = envelope.event
            enqueue(tx, FORGET, Forget(gone.account_id), key=f"forget {gone.account_id}")
            again_at = envelope.at + AGAIN_AFTER
            enqueue(tx, FORGET, Forget(gone.account_id), at=again_at, key=f"forget {gone.account_id} again")

    return [
        Subscription("people.languages", "people", (AccountRegistered,), greet),
        Subscription("people.forgetting", "people", (AccountErased,), forget),
    ]
