"""One world for all tests of this folder: thirty days of it, made once. Who breaks something makes a world of their own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from uuid import uuid4

import asyncpg
import pytest
from tests.conftest import as_user, clone, drop

from forecourt.demo import Made, fill, unheard
from forecourt.demo.world import World, build
from forecourt.kernel.db import Database
from forecourt.kernel.migrate import APP_ROLE

SEED = 7
PAST_DAYS = 30
NOW = datetime(2026, 11, 19, 14, 12, tzinfo=UTC)
"""19:12 in Karachi, 14:12 in London: every house is open."""


class Filled:
    """A database with the world in it."""

    def __init__(self, admin_url: str, made: Made) -> None:
        self.admin_url = admin_url
        self.made = made
        self.world: World = build(SEED, NOW, PAST_DAYS)


@pytest.fixture(scope="session")
def filled(server_url: str) -> Iterator[Filled]:
    name = f"d_{uuid4().hex[:12]}"
    url = asyncio.run(clone(server_url, name))
    made = asyncio.run(fill(url, seed=SEED, scale=0, report=unheard, now=NOW, past_days=PAST_DAYS))
    yield Filled(url, made)
    asyncio.run(drop(server_url, name))


@pytest.fixture
async def rows(filled: Filled) -> AsyncIterator[asyncpg.Connection]:
    """The filled database as the superuser."""
    connection = await asyncpg.connect(filled.admin_url)
    yield connection
    await connection.close()


@pytest.fixture
async def house(filled: Filled) -> AsyncIterator[Database]:
    """The filled database as the program has it."""
    database = await Database.connect(as_user(filled.admin_url, APP_ROLE), None, 10, "forecourt tests")
    yield database
    await database.close()
