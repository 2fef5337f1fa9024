"""What every command of `forecourt` stands on: where it prints, its settings, and the engines it asks."""

from __future__ import annotations

import asyncio
import errno
import os
import sys
import threading
import time
import traceback
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn
from urllib.parse import urlsplit

import asyncpg
import msgspec
from cyclopts import Parameter
from rich.console import Console

from forecourt.engines import EngineError, Engines, engines_running_in, start_engines
from forecourt.engines.archive import on_same_disk
from forecourt.engines.sealing import described, holds, sealed_for
from forecourt.kernel.log import configure
from forecourt.kernel.settings import Settings

if TYPE_CHECKING:
    from forecourt.app import House

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

Data = Annotated[Path | None, Parameter(help="Where everything is kept: databases, secrets, logs. Default: var/")]
Host = Annotated[str | None, Parameter(help="Address to listen on. Default: 127.0.0.1")]
Port = Annotated[int | None, Parameter(help="Port to listen on. Default: 8000")]
Modules = Annotated[str, Parameter(help="Only these modules, separated by commas. Default: all")]

TEND_S = 1.0
LOOKING_S = 10
"""For a database to let us in for a look; whoever goes on without one hears what is wrong with it later."""


NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})
NO_DATABASE = (
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
)
"""What a server says that does not let us in, or no longer."""


def refuse(text: str, status: int = 1) -> NoReturn:
    """Says why not, and ends."""
    err.print(text, style="bold red", markup=False, soft_wrap=True)
    sys.exit(status)


def trouble(error: Exception) -> str | None:
    """What an error of the machines around us means, and what to do; None for one of our own, whose traceback is wanted."""
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        return f"{error.filename or 'A disk'} cannot be written: {error.strerror}.\nMake room, or name another place."
    asked = (str(frame.f_globals.get("__name__", "")) for frame, _ in traceback.walk_tb(error.__traceback__))
    unheard = isinstance(error, OSError) and any(name.startswith("asyncpg.") for name in asked)
    if unheard or isinstance(error, NO_DATABASE):
        cure = "Does PostgreSQL run where DATABASE_URL and DATABASE_ADMIN_URL say? `forecourt doctor` looks for the cause."
        return f"The database cannot be used: {str(error) or 'nobody answers'}.\n{cure}"
    return None


def read_settings(data: Path | None = None, host: str | None = None, port: int | None = None, modules: str = "") -> Settings:
    """Settings from the environment, with what the command line says on top."""
    environ = dict(os.environ)
    for name, value in (("DATA", data), ("HOST", host), ("PORT", port), ("MODULES", modules)):
        if value not in (None, ""):  # a port of 0 is told that it is none
            environ[f"FORECOURT_{name}"] = str(value)
    settings = Settings.read(environ)
    configure(settings.log.level)
    return settings


@contextmanager
def steps() -> Generator[Callable[[str], None], None, None]:
    """A line that says what is being done, on a terminal; one line each elsewhere."""
    if not out.is_terminal:
        yield lambda text: out.print(f"  {text}", style="dim")
        return
    with out.status("Starting") as status:
        opened = False

        def report(text: str) -> None:
            nonlocal opened
            status.update(text)
            if text == "Opening the doors" and not opened:
                opened = True
                threading.Timer(0.5, status.stop).start()

        yield report


class Archiving(msgspec.Struct, frozen=True):
    """Where every change goes as it happens, and who can read it there; without recipients as the house was told last."""

    place: Path
    recipients: tuple[str, ...]


def archiving_of(settings: Settings, place: Path | None, recipients: tuple[str, ...], unencrypted: bool) -> Archiving | None:
    """What `up` was told about its archive. Raises EngineError for a new one in production that everybody could read."""
    if place is None:
        if recipients and not os.environ.get("FORECOURT_ARCHIVE_RECIPIENTS"):
            raise EngineError("--archive-recipient is for an archive.", "Say where it is: --archive.")
        return None
    readers_of(settings.production, settings.data, place, recipients, unencrypted)
    return Archiving(place, recipients)


def readers_of(production: bool, data: Path, place: Path, recipients: tuple[str, ...], unencrypted: bool) -> tuple[str, ...]:
    """For whom an archive is encrypted; without anybody, whoever has it reads it.

    Raises EngineError for a new one in production that is not, unless that is said.
    """
    told = sealed_for(place, data, recipients)
    new = not (holds(place, "wal/*") or holds(place, "base/*/note.json"))
    if production and new and not told and not unencrypted:
        raise EngineError(
            f"{place} would be a new archive that is not encrypted: whoever reads it reads everything, and could sign in as us.",
            "Name who may read it: --archive-recipient age1… (`forecourt archive keygen` makes a pair)."
            " Where its disk is encrypted and nobody else reads it, say --archive-unencrypted.",
        )
    return told


def warn_of_readers(recipients: tuple[str, ...]) -> None:
    """Says so when an archive is encrypted for nobody."""
    if not recipients:
        err.print("[yellow]The archive is not encrypted: whoever reads it reads everything (see --archive-recipient).[/]")


def warn_of_same_disk(place: Path, data: Path) -> None:
    """Says so when an archive is where the data are: whatever takes them takes it along."""
    if on_same_disk(place, data):
        text = f"The archive {place} is on the same disk as the data in {data}: one loss takes both."
        err.print(text, style="yellow", markup=False, soft_wrap=True)


@contextmanager
def engines(
    settings: Settings, report: Callable[[str], None], archiving: Archiving | None = None
) -> Generator[Engines, None, None]:
    """The engines of the installation: those outside, those that an `up` already runs, or our own while the block lasts."""
    archive, recipients = (archiving.place, archiving.recipients) if archiving else (None, ())
    database = settings.database.url.reveal() if settings.database.url else None
    valkey = settings.valkey.url.reveal() if settings.valkey.url else None
    if database is None or valkey is None:
        there = engines_running_in(settings.data)
        if there is not None:
            database, valkey = database or there.database_url, valkey or there.valkey_url
    with start_engines(
        settings.data,
        database_url=database,
        valkey_url=valkey,
        report=report,
        archive=archive,
        archive_recipients=recipients,
    ) as running:
        if archive is not None:
            there = described(archive)
            warn_of_readers(there.recipients if there else ())
            warn_of_same_disk(archive, settings.data)
        yield running


def as_owner(settings: Settings, running: Engines) -> bool:
    """Whether we can log in as the database's owner; in a container that serves we cannot."""
    from forecourt.kernel.migrate import APP_ROLE

    return settings.database.admin_url is not None or urlsplit(running.database_url).username != APP_ROLE


def admin_url(settings: Settings, running: Engines) -> str:
    """The address of the database, logging in as its owner. Raises EngineError when nobody has said who that is."""
    if not as_owner(settings, running):
        raise EngineError("forecourt_app owns nothing in this database.", "Set DATABASE_ADMIN_URL to its owner's address.")
    return settings.database.admin_url.reveal() if settings.database.admin_url else running.database_url


def migrate_now(settings: Settings, running: Engines, report: Callable[[str], None]) -> int:
    """Applies what is missing; returns how many files."""
    from forecourt.kernel.migrate import migrate as apply
    from forecourt.layout import migration_folders

    url = admin_url(settings, running)
    report("Bringing the database up to date")
    return len(asyncio.run(apply(url, migration_folders(), lambda what: report(f"Database: {what}"))))


def addresses(settings: Settings, running: Engines):
    """Where this process finds its engines, logging in as the role that owns nothing when the server is our own."""
    from forecourt.app import Addresses, app_url

    database = running.database_url if settings.database.url is not None else app_url(running.database_url)
    replica = settings.database.replica_url
    return Addresses(database, running.valkey_url, replica.reveal() if replica else None)


def outside(settings: Settings):
    """The engines of a process that starts none: from the environment, or those of an `up` on the same data directory."""
    from forecourt.app import Addresses, app_url

    database = settings.database.url.reveal() if settings.database.url else None
    valkey = settings.valkey.url.reveal() if settings.valkey.url else None
    there = engines_running_in(settings.data) if database is None or valkey is None else None
    if there is not None:
        database, valkey = database or app_url(there.database_url), valkey or there.valkey_url
    if database is None or valkey is None:
        raise EngineError(
            f"Nothing serves PostgreSQL and Valkey for {settings.data}.",
            "Set DATABASE_URL and VALKEY_URL, or start `forecourt up` on that data directory first.",
        )
    asyncio.run(prepared(database))
    replica = settings.database.replica_url
    return Addresses(database, valkey, replica.reveal() if replica else None)


async def prepared(database_url: str) -> None:
    """Raises EngineError when nobody has prepared the database. One that does not answer is for whoever opens it to tell."""
    try:
        link = await asyncpg.connect(database_url, timeout=LOOKING_S)
    except (asyncpg.PostgresError, OSError, TimeoutError):
        return
    try:
        there = await link.fetchval("select exists (select from pg_namespace n where n.nspname = 'kernel')")
    finally:
        await link.close()
    if not there:
        cure = "Prepare it with `forecourt migrate`, as its owner (DATABASE_ADMIN_URL)."
        raise EngineError("This database has no tables yet.", cure)


def supervise(running: Engines) -> None:
    """Brings back an engine that died, for as long as the program runs."""

    def watch() -> None:
        while True:
            time.sleep(TEND_S)
            for name in running.poll():
                err.print(f"[yellow]{name} died and is started again[/]")
                try:
                    running.restart(name)
                except EngineError as e:
                    err.print(f"[bold red]{e}[/]", soft_wrap=True)

    threading.Thread(target=watch, name="engines", daemon=True).start()


async def in_house(settings: Settings, running: Engines, act: Callable[[House], Awaitable[None]]) -> None:
    """Does one thing in an open house that serves nobody."""
    from forecourt.app import House as Open

    at = addresses(settings, running)
    await prepared(at.database_url)
    house = await Open.open(settings, at)
    try:
        await act(house)
    finally:
        await house.close()
