from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.kernel.http.desk import Desk

from forecourt.kernel.db import Database


@pytest.fixture
async def desk(db: Database, database_url: str, valkey_url: str) -> AsyncIterator[Desk]:
    desk = await Desk(db, database_url, valkey_url).open()
    yield desk
    await desk.close()


@pytest.fixture
async def production(db: Database, database_url: str, valkey_url: str) -> AsyncIterator[Desk]:
    """As in production: addresses are limited and cookies travel encrypted only."""
    desk = await Desk(db, database_url, valkey_url, production=True).open()
    yield desk
    await desk.close()
