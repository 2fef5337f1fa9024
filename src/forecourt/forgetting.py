"""What the kernel keeps of somebody, once their account is erased: answers under their keys, and events that were set aside.

Events in the log are emptied by whoever knows where they lie: audit, which has an entry for each (PE-8). Jobs that were given up
name a person by id; those that carry more go by themselves within a week (`JobKind.kept_days`).
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec

from forecourt.kernel.context import Context
from forecourt.kernel.db import Database, Tx
from forecourt.kernel.events import Envelope, Subscription, forget_letters
from forecourt.kernel.idempotency import forget_answers
from forecourt.kernel.jobs import JobHandler, JobKind, enqueue
from forecourt.modules.identity.contract import AccountErased

LATE = timedelta(days=1)
"""After so long it is looked again: a request that was at work during the erasure has its answer by then."""


class Forget(msgspec.Struct, frozen=True):
    """Somebody's account is erased."""

    account_id: UUID


FORGET = JobKind("kernel.forget", Forget, timeout_s=600, attempts=8)


async def begin(tx: Tx, envelopes: list[Envelope[AccountErased]]) -> None:
    for envelope in envelopes:
        erased = Forget(envelope.event.account_id)
        enqueue(tx, FORGET, erased)
        enqueue(tx, FORGET, erased, at=envelope.at + LATE)


def subscription() -> Subscription:
    return Subscription("kernel.forgetting", "kernel", (AccountErased,), begin)


def handler(database: Database) -> JobHandler[Any]:
    async def forget(_: Context, erased: Forget) -> None:
        await forget_answers(database, erased.account_id)
        await forget_letters(database, erased.account_id)

    return JobHandler(FORGET, forget)
