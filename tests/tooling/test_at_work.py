"""Houses of a test's process do not stand still in the middle of a transaction, and there is one for all who want the same."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.at_work import at_work, in_use
from tests.conftest import FreshDatabase

from forecourt.kernel.context import service_context
from forecourt.kernel.db import Database


@pytest.fixture
async def begun(db: Database, fresh_database: FreshDatabase) -> AsyncIterator[tuple[Database, Database]]:
    """Two who write and are not done: one has begun, and its end is what the other waits for."""
    later = await fresh_database.connect()

    async def write(database: Database, begins: asyncio.Event) -> None:
        async with database.module("kernel").tx(service_context("test")):
            begins.set()
            await asyncio.sleep(0.05)

    async def write_both() -> None:
        await write(db, there)
        await write(later, asyncio.Event())

    there = asyncio.Event()
    async with at_work(later), at_work(db), asyncio.TaskGroup() as others:
        others.create_task(write_both())
        await there.wait()
        yield db, later


def test_a_test_that_stops_the_loop_begins_when_their_transactions_have_ended(begun: tuple[Database, Database]) -> None:
    assert [in_use(database) for database in begun] == [0, 0]


OF_ITS_OWN = re.compile(r"^from tests\.house import .*\b(house|door|client)\b", re.MULTILINE)


def test_no_file_has_a_house_of_its_own_where_the_shared_one_would_do() -> None:
    """A fixture that is imported belongs to the file that imports it, and lives until the run ends."""
    tests = Path(__file__).parents[1]
    files = sorted(file for file in tests.rglob("*.py") if OF_ITS_OWN.search(file.read_text()))
    assert files == [tests / "conftest.py"]
