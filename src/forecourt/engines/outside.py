"""The archive of a server that somebody else runs, as a container of its own streams it: `forecourt archive stream`."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from forecourt.engines import postgres as pg
from forecourt.engines.archive import encrypt, make_place, receiving, recognise, refuse_another, reserve
from forecourt.engines.process import EngineError
from forecourt.engines.sealing import sealed_for
from forecourt.engines.stream import PROGRAM, Order, alone


def refuse_foreign(place: Path) -> None:
    """Raises EngineError for an archive that belongs to somebody else, or part of it: a folder that is shut would seem empty."""
    for folder in (place, place / "wal", place / "base"):
        if os.access(folder, os.F_OK) and not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
            raise EngineError(
                f"{folder} is not ours to read and write: we are user {os.geteuid()}.",
                f"Give us the archive, on the machine that has its disk: chown -R {os.geteuid()}:{os.getegid()} …",
            )


def stream(database_url: str, data: Path, place: Path, recipients: Sequence[str] = ()) -> None:
    """Bring every change into the archive `place`, in this process, until SIGTERM or Ctrl-C.

    Encrypted for `recipients`, or for those that the house was told last, which `data` remembers: what has come waits in `spool`
    there. `database_url` is of a superuser. A server that goes away is waited for. Raises EngineError: another house's archive,
    a disk that is away, a server that does not answer to begin with.
    """
    wanted = sealed_for(place, data, recipients)
    wal, spool = place / "wal", data / "spool"
    try:
        recognise(place, data)
        make_place(place)
        wal.mkdir(mode=0o700, exist_ok=True)
        if wanted:
            spool.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise EngineError(f"{error.filename} cannot be made: {error.strerror}.", "Is its disk there, and is it ours?") from error
    refuse_another(place, database_url)
    reserve(place, database_url)
    if not wanted:
        _become(pg.asked(database_url), wal)
    encrypt(place, data, wanted, database_url)
    asyncio.run(alone(Order(database_url, str(pg.program(PROGRAM)), str(spool), str(wal), wanted)))


def _become(server: pg.Asked, wal: Path) -> NoReturn:
    """pg_receivewal itself: it says what goes wrong, tries again, and ends with a signal."""
    command = [os.fspath(part) for part in receiving(server.database_url, wal)]
    os.execve(command[0], command, dict(server.environ))  # noqa: S606 — no shell is wanted
