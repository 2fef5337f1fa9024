"""What the kernel itself keeps of a person goes when their account is erased, and nothing of anybody else's."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import msgspec
from tests.kernel.conftest import Scratch

from forecourt import forgetting
from forecourt.kernel.clock import SystemClock
from forecourt.kernel.context import Actor, ActorKind, Context, service_context
from forecourt.kernel.events import Dispatcher, emit
from forecourt.kernel.idempotency import Fresh, Idempotency, Replay
from forecourt.kernel.jobs import Worker
from forecourt.modules.identity.contract import AccountErased, SecurityKind, SecurityNoted

LETTER = """
insert into kernel.dead_letter (subscriber, event_id, at, name, version, payload, actor_kind, account_id, service, trace_id,
                                address, attempts, error)
values ('probe.slow', gen_random_uuid(), now(), $1, 1, $2, 'person', $3, '', '', '192.0.2.7', 8, '')
"""
LETTERS = "select address, convert_from(payload, 'UTF8') as payload from kernel.dead_letter order by id"


async def test_answers_and_what_was_set_aside_say_nothing_any_more_of_who_is_erased(scratch: Scratch) -> None:
    them, other = uuid4(), uuid4()
    keys = Idempotency(scratch.db.module("kernel"), SystemClock())
    contexts = {id: Context(actor=Actor(kind=ActorKind.PERSON, account_id=id)) for id in (them, other)}
    for id, ctx in contexts.items():
        await keys.claim(ctx, "a key", b"asked")
        await keys.keep(ctx, "a key", 201, {}, b"a name")
        for about in (them, other):
            noted = SecurityNoted(account_id=about, kind=SecurityKind.NEW_DEVICE, detail="Firefox")
            await scratch.sql(LETTER, noted.event_name, msgspec.json.encode(noted), id)

    async with scratch.db.module("kernel").tx(service_context("tests")) as tx:
        emit(tx, AccountErased(account_id=them))
    await Dispatcher(scratch.db, scratch.url, [forgetting.subscription()]).drain()
    worker = Worker(scratch.db, scratch.url, [forgetting.handler(scratch.db)])
    assert await worker.drain(within=timedelta(days=2)) == 2, "at once, and again when what was late has come in"

    left = [(row["address"], "Firefox" in row["payload"]) for row in await scratch.sql(LETTERS)]
    assert left == [("", False), ("", True), ("192.0.2.7", False), ("192.0.2.7", True)]
    assert isinstance(await keys.claim(contexts[them], "a key", b"asked"), Fresh)
    assert isinstance(await keys.claim(contexts[other], "a key", b"asked"), Replay), "the control"
    await keys.close()
