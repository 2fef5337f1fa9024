"""Chat as it is where other servers have a part of its rooms: with the policies that `deploy/citus` makes, and transactions that
name what row security goes by. All of it holds on one server too, so the tests of chat are run once more that way."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from uuid import uuid4

import asyncpg
import pytest
from tests.conftest import as_user, clone, drop
from tests.modules.chat import test_leaving, test_list, test_messages, test_previews, test_rooms
from tests.modules.chat.conftest import Town, town_on

from forecourt.kernel.db import Database
from forecourt.kernel.migrate import APP_ROLE
from forecourt.spread import POLICIES_MENDED, WRITES_ELSEWHERE

Test = Callable[[Town], Awaitable[None]]
TESTS = [
    pytest.param(test, id=f"{module.__name__.rsplit('.', 1)[-1]} {name.removeprefix('test_')}")
    for module in (test_leaving, test_list, test_messages, test_previews, test_rooms)
    for name, test in inspect.getmembers(module, inspect.iscoroutinefunction)
    if name.startswith("test_") and list(inspect.signature(test).parameters) == ["town"]
]


@pytest.fixture(scope="module")
async def spread_database(server_url: str) -> AsyncIterator[Database]:
    name = f"s_{uuid4().hex[:12]}"
    url = await clone(server_url, name)
    admin = await asyncpg.connect(url)
    for line in (line for mend in POLICIES_MENDED.values() for line in mend.instead):
        await admin.execute(line)
    for table, trigger in (name.split() for name in WRITES_ELSEWHERE):
        await admin.execute(f"drop trigger {trigger} on {table}")
    await admin.close()
    database = await Database.connect(as_user(url, APP_ROLE), None, 10, "forecourt tests")
    database.primary.spread = True
    yield database
    await database.close()
    await drop(server_url, name)


@pytest.mark.parametrize("test", TESTS)
async def test_as_on_one_server(test: Test, spread_database: Database) -> None:
    await test(town_on(spread_database))


async def test_who_does_not_name_their_rooms_sees_none(spread_database: Database) -> None:
    town = town_on(spread_database)
    room = await town.group(town.ben)
    assert [r.id for r in (await town.chat.mine(town.ada, 100, None)).items] == [room]
    spread_database.primary.spread = False
    try:
        assert (await town.chat.mine(town.ada, 100, None)).items == []
    finally:
        spread_database.primary.spread = True
