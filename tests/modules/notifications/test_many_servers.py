"""What is due is claimed where several servers have the queue: looked for first, as nobody can lock on all of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from tests.conftest import FreshDatabase

from forecourt.kernel.context import service_context
from forecourt.modules.notifications.queries import queue

NOW = datetime(2026, 6, 2, 9, tzinfo=UTC)
UNTIL = NOW + timedelta(minutes=5)


@pytest.mark.parametrize("spread", [False, True], ids=["one server", "many"])
async def test_what_is_due_is_claimed_once_and_the_oldest_first(fresh_database: FreshDatabase, spread: bool) -> None:
    admin = await fresh_database.admin()
    put = "insert into notifications.due (organisation_id, id, what, due_at) values ($1, $2, 'notice', $3)"
    ids = [uuid4() for _ in range(4)]
    for minutes, id in enumerate(ids):
        await admin.execute(put, uuid4(), id, NOW + timedelta(minutes=minutes - 2))
    await admin.close()
    database = await fresh_database.connect(2)
    database.primary.spread = spread

    async def claimed(limit: int) -> set[UUID]:
        async with database.module("notifications").tx(service_context("test")) as tx:
            return {due.id for due in await queue.claim(tx, NOW, UNTIL, uuid4(), limit)}

    assert await claimed(2) == set(ids[:2])
    assert await claimed(10) == {ids[2]}, "the last is not due yet, the first two are somebody's"
    assert await claimed(10) == set()


async def test_whoever_comes_second_finds_what_was_looked_for_taken(fresh_database: FreshDatabase) -> None:
    """Two looked at the same moment, and the other has claimed."""
    organisation_id, id = uuid4(), uuid4()
    admin = await fresh_database.admin()
    put = "insert into notifications.due (organisation_id, id, what, due_at) values ($1, $2, 'notice', $3)"
    await admin.execute(put, organisation_id, id, NOW)
    await admin.close()
    database = await fresh_database.connect(2)
    for won in ([id], []):
        async with database.module("notifications").tx(service_context("test")) as tx:
            found = await tx.all(queue.CLAIM_THESE, NOW, UNTIL, uuid4(), [organisation_id], [id])
        assert [due.id for due in found] == won
