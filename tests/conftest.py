"""One embedded PostgreSQL and one Valkey for the whole run, one database per worker, cloned from a migrated template.

The controller starts the engines and hands their addresses to the xdist workers; they die with it. Nothing is shared
between two databases except roles, and the horizon of running transactions: an open writer in one stalls events in all.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import functools
import gc
import os
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit
from uuid import uuid4

import asyncpg
import pytest
from tests.at_work import pytest_fixture_setup, pytest_pyfunc_call  # noqa: F401 - hooks
from tests.browser import chromium
from tests.house import client, door, house, world  # noqa: F401 - fixtures
from tests.strict import pytest_runtest_makereport  # noqa: F401 - a hook

from forecourt.engines import Engines, start_engines
from forecourt.kernel.db import Database
from forecourt.kernel.migrate import APP_ROLE, migrate
from forecourt.layout import migration_folders

OUTSIDE = os.environ.get("TESTS_DATABASE_URL")
"""A superuser's URL of a migrated database, on whatever it runs (docs/scale.md): every test that asks for a database gets this
one, which stays. For journeys, a file at a time; tests that count everything, migrate or break something need their own."""
TEMPLATE = "forecourt_template"
FAST = {
    # A test run keeps nothing; tests about crashes start engines of their own with the settings of production.
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "600",  # every test module may keep a house of its own
    "autovacuum_naptime": "5s",
    # The databases of a run are small and many. Each that is made or dropped walks these buffers; the log may lie in memory.
    "shared_buffers": "512MB",
    "max_wal_size": "256MB",
}
MEMORY = Path("/dev/shm")
PREFIX = "forecourt-run-"
ENOUGH_MEMORY_BYTES = 4 * 1024**3
ADDRESSES = pytest.StashKey[tuple[str, str]]()
ENGINES = pytest.StashKey[contextlib.ExitStack]()


def pytest_configure(config: pytest.Config) -> None:
    given = getattr(config, "workerinput", None)
    if given is not None:
        config.stash[ADDRESSES] = (given["forecourt_admin_url"], given["forecourt_valkey_url"])


def addresses(config: pytest.Config) -> tuple[str, str]:
    """The superuser's database URL and Valkey's. The first who asks, in the controller, starts the engines."""
    if ADDRESSES not in config.stash:
        stack = config.stash[ENGINES] = contextlib.ExitStack()
        engines: Engines = stack.enter_context(start_engines(quick_place(stack), database_url=OUTSIDE, postgres_settings=FAST))
        if OUTSIDE is None:
            asyncio.run(make_template(engines.database_url))
        config.stash[ADDRESSES] = (engines.database_url, engines.valkey_url)
    return config.stash[ADDRESSES]


def quick_place(stack: contextlib.ExitStack) -> Path:
    """Where the engines' files cost least, gone with `stack`: a copy of the template is a thousand small files, some twenty times
    cheaper to make in memory than on a disk. On the disk where there is little memory, as in most containers."""
    there = MEMORY if free_bytes(MEMORY) >= ENOUGH_MEMORY_BYTES else Path(tempfile.gettempdir())
    with held(there):
        for left in there.glob(f"{PREFIX}*"):
            with contextlib.suppress(OSError), held(left, fcntl.LOCK_NB):  # nobody's: its run was killed
                shutil.rmtree(left, ignore_errors=True)
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=PREFIX, dir=there, ignore_cleanup_errors=True)))
        stack.enter_context(held(place))
    return place


def free_bytes(folder: Path) -> int:
    """What may be written there; 0 where nothing may."""
    if not os.access(folder, os.W_OK):
        return 0
    facts = os.statvfs(folder)
    return facts.f_bavail * facts.f_frsize


@contextlib.contextmanager
def held(folder: Path, how: int = 0) -> Iterator[None]:
    """Locked by this process. Raises OSError where another has it and `how` says not to wait."""
    there = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(there, fcntl.LOCK_EX | how)
        yield
    finally:
        os.close(there)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: object) -> None:
    """xdist, in the controller: what a worker has to know."""
    admin_url, valkey_url = addresses(node.config)  # type: ignore[attr-defined]
    node.workerinput["forecourt_admin_url"] = admin_url  # type: ignore[attr-defined]
    node.workerinput["forecourt_valkey_url"] = valkey_url  # type: ignore[attr-defined]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object | None:
    """Tests of one `xdist_group` go to one worker. xdist itself hides a test's group in its id, where this pytest does not look
    for it: a group would silently be none, and each worker would make what its tests share."""
    if config.getvalue("dist") != "loadgroup":
        return None
    from xdist.scheduler import LoadScopeScheduling

    class ByGroup(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group_of(config.rootpath / nodeid.split("::", 1)[0]) or nodeid

    return ByGroup(config, log)  # type: ignore[arg-type]


@functools.cache
def group_of(file: Path) -> str:
    """The group that a file of tests says it is; empty when it says none."""
    found = re.search(r'xdist_group\("(\w+)"\)', file.read_text()) if file.is_file() else None
    return found[1] if found else ""


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """The tests themselves live until the end: half a million objects that the collector need look at neither now nor later."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_unconfigure(config: pytest.Config) -> None:
    if ENGINES in config.stash:
        config.stash[ENGINES].close()


async def make_template(admin_url: str) -> None:
    connection = await asyncpg.connect(admin_url)
    await connection.execute(f"create database {TEMPLATE}")
    await connection.close()
    await migrate(at_database(admin_url, TEMPLATE), migration_folders())


def at_database(url: str, name: str) -> str:
    """The same server, another database."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=f"/{name}"))


def as_user(url: str, user: str) -> str:
    """The same database, another login."""
    parts = urlsplit(url)
    host = parts.netloc.rsplit("@", 1)[-1]
    return urlunsplit(parts._replace(netloc=f"{quote(user)}@{host}"))


async def clone(admin_url: str, name: str) -> str:
    """A new database like the template; returns the superuser's URL of it."""
    if OUTSIDE is not None:
        return OUTSIDE
    connection = await asyncpg.connect(admin_url)
    try:
        await connection.execute(f"create database {name} template {TEMPLATE} strategy file_copy")
    finally:
        await connection.close()
    return at_database(admin_url, name)


async def make_empty(admin_url: str, name: str) -> str:
    """A new database with nothing in it; returns the superuser's URL of it."""
    connection = await asyncpg.connect(admin_url)
    try:
        await connection.execute(f"create database {name}")
    finally:
        await connection.close()
    return at_database(admin_url, name)


async def drop(admin_url: str, name: str) -> None:
    if OUTSIDE is not None:
        return
    connection = await asyncpg.connect(admin_url)
    try:
        await connection.execute(f"drop database if exists {name} with (force)")
    finally:
        await connection.close()


@pytest.fixture(scope="session")
def server_url(request: pytest.FixtureRequest) -> str:
    """The superuser's URL of the server's first database, which stays empty."""
    return addresses(request.config)[0]


@pytest.fixture(scope="session")
def valkey_url(request: pytest.FixtureRequest) -> str:
    return addresses(request.config)[1]


@pytest.fixture(scope="session")
def admin_url(server_url: str) -> Iterator[str]:
    """This worker's database as the superuser: to arrange a test, never to act in one."""
    name = f"t_{uuid4().hex[:12]}"
    yield asyncio.run(clone(server_url, name))
    asyncio.run(drop(server_url, name))


@pytest.fixture(scope="session")
def database_url(admin_url: str) -> str:
    """This worker's database as the role the program logs in with."""
    return as_user(admin_url, APP_ROLE)


@pytest.fixture(scope="session")
def house_admin_url(server_url: str) -> Iterator[str]:
    """The database of whole houses, as the superuser. Their workers run what they find, with the real clock: not beside tests
    that drain jobs themselves or stand on another day."""
    name = f"h_{uuid4().hex[:12]}"
    yield asyncio.run(clone(server_url, name))
    asyncio.run(drop(server_url, name))


@pytest.fixture(scope="session")
def house_database_url(house_admin_url: str) -> str:
    """The same as the role the program logs in with."""
    return as_user(house_admin_url, APP_ROLE)


@pytest.fixture(scope="session")
async def db(database_url: str) -> AsyncIterator[Database]:
    """The worker's database, shared by its tests: each makes its own organisation and looks at that alone."""
    database = await Database.connect(database_url, None, 20, "forecourt tests")
    yield database
    await database.close()


class FreshDatabase:
    """A database of one test's own."""

    def __init__(self, admin_url: str) -> None:
        self.admin_url = admin_url
        self.url = as_user(admin_url, APP_ROLE)
        self.opened: list[Database] = []

    async def connect(self, size: int = 10) -> Database:
        """Pools as the program has them; closed at the end of the test."""
        database = await Database.connect(self.url, None, size, "forecourt tests")
        self.opened.append(database)
        return database

    async def admin(self) -> asyncpg.Connection:
        """A superuser's connection. The caller closes it."""
        return await asyncpg.connect(self.admin_url)


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Any]:
    """This worker's Chromium. A test closes the contexts that it opened."""
    async with chromium() as browser:
        yield browser


@pytest.fixture
async def fresh_database(server_url: str) -> AsyncIterator[FreshDatabase]:
    """An own database for a test that counts everything, replays everything or breaks something."""
    name = f"f_{uuid4().hex[:12]}"
    fresh = FreshDatabase(await clone(server_url, name))
    yield fresh
    for database in fresh.opened:
        await database.close()
    await drop(server_url, name)
