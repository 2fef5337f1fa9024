"""Houses of a test's process do not stand still in the middle of a transaction."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from tests.at_work import at_work, in_use

from forecourt.kernel.context import service_context
from forecourt.kernel.db import Database


@pytest.fixture
async def begun(db: Database) -> AsyncIterator[None]:
    """Somebody who writes, and is not done."""

    async def write() -> None:
        async with db.module("kernel").tx(service_context("test")):
            there.set()
            await asyncio.sleep(0.05)

    there = asyncio.Event()
    async with at_work(db), asyncio.TaskGroup() as others:
        others.create_task(write())
        await there.wait()
        yield


def test_a_test_that_stops_the_loop_begins_when_their_transactions_have_ended(begun: None, db: Database) -> None:
    assert in_use(db) == 0
