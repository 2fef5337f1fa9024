"""Houses that work in the process of the tests, on its loop.

The loop stands still while something runs that is not on it: a test without `async`, a fixture that starts a server. A house
stands still with it, in the middle of a transaction perhaps, and events of every database of the engine wait for that one to end,
those of the other workers' tests too: half a minute behind the README's tour. So each house's transactions end before.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator

import pytest

from forecourt.kernel.db import Database

LIMIT_S = 5.0
_there: list[tuple[asyncio.AbstractEventLoop, Database]] = []


@contextlib.asynccontextmanager
async def at_work(database: Database) -> AsyncGenerator[None]:
    """Whoever has `database` goes on by itself between tests, as a house with workers does."""
    entry = (asyncio.get_running_loop(), database)
    _there.append(entry)
    try:
        yield
    finally:
        _there.remove(entry)


@pytest.hookimpl(tryfirst=True)
def pytest_fixture_setup() -> None:
    let_transactions_end()


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call() -> None:
    let_transactions_end()


def let_transactions_end() -> None:
    """Until none is open while the loops stand still: what runs in a loop's last turn may have begun another."""
    give_up = time.monotonic() + LIMIT_S
    while time.monotonic() < give_up:
        busy = [(loop, database) for loop, database in _there if not loop.is_running() and in_use(database)]
        if not busy:
            return
        for loop, database in busy:
            loop.run_until_complete(_ended(database, give_up))


async def _ended(database: Database, give_up: float) -> None:
    while in_use(database) and time.monotonic() < give_up:
        await asyncio.sleep(0.005)


def in_use(database: Database) -> int:
    """Connections that somebody has, or is opening."""
    return database.primary.size - database.primary.idle
