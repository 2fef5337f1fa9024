"""The server's log of changes, streamed to another disk while the server runs: the last commit is there within milliseconds."""

import signal
from collections.abc import Callable
from pathlib import Path

from forecourt.engines import postgres as pg
from forecourt.engines.process import EngineError, Nursery, Owner, clear_leftovers, open_log

NAME = "archive"
PROGRAM = "pg_receivewal"
SLOT = "forecourt_archive"
STOP_STEPS = ((signal.SIGINT, 10.0), (signal.SIGKILL, 5.0))


class Archiver:
    """Streams the server's log of changes into `place/wal` while the server runs. An engine like the others."""

    name = NAME

    def __init__(self, place: Path, database_url: str, data: Path, owner: Owner, nursery: Nursery) -> None:
        self.place = place
        self.wal = place / "wal"
        self.database_url = database_url
        self.owner = owner.outside()
        self.nursery = nursery
        self.log = data / "log" / "archive.log"

    def prepare(self, report: Callable[[str], None]) -> None:
        try:
            self.place.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.owner.mkdir(self.wal)
        except OSError as error:
            raise EngineError(
                f"The archive {self.place} cannot be used: {error.strerror or error}.",
                "Mount its disk, or name another place with --archive.",
            ) from error
        open_log(self.log, self.owner)
        clear_leftovers(self.wal, PROGRAM, patience_s=5)

    def launch(self) -> None:
        """Nothing yet: the server has to be there first."""

    def await_ready(self, report: Callable[[str], None]) -> None:
        """Make the server keep what the archive has not got, and start the stream."""
        common = [pg.binaries() / PROGRAM, "--dbname", self.database_url, "--directory", self.wal, "--slot", SLOT]
        self.nursery.run(
            "Preparing the archive",
            [*common, "--create-slot", "--if-not-exists"],
            self.owner,
            cwd=self.wal,
            log=self.log,
            limit_s=60,
        )
        self.nursery.start(
            NAME,
            [*common, "--synchronous", "--no-password", "--status-interval=1"],
            self.owner,
            cwd=self.wal,
            log=self.log,
            death_signal=signal.SIGINT,
        )

    def stop(self) -> None:
        self.nursery.end(NAME, STOP_STEPS)
