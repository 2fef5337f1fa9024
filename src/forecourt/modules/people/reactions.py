"""What people does when something happened elsewhere: whoever is new here is addressed as they came."""

from __future__ import annotations

from typing import Any

from forecourt.kernel.db import Tx
from forecourt.kernel.events import Envelope, Subscription
from forecourt.modules.identity.contract import AccountRegistered
from forecourt.modules.people.service import PeopleService


def subscriptions(service: PeopleService) -> list[Subscription]:
    async def greet(tx: Tx, envelopes: list[Envelope[Any]]) -> None:
        for envelope in envelopes:
            new: AccountRegistered = envelope.event
            if new.language:
                await service.begin(tx, new.account_id, new.language)

    return [Subscription("people.languages", "people", (AccountRegistered,), greet)]
