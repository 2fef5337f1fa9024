"""A streaming replica of an embedded server, to be stopped, frozen and killed at will."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import asyncpg

from forecourt.engines import backup, machine
from forecourt.engines import postgres as pg
from forecourt.engines.engines import make_home, socket_directory, unheard
from forecourt.engines.process import Nursery, living_in


class Standby:
    """`start` copies the server at `primary_url` into `place` once, and serves it there as long as it is not ended."""

    def __init__(self, place: Path, primary_url: str, sockets_of_primary: str) -> None:
        self.place = place
        self._nursery = Nursery()
        self._owner = make_home(place)
        self._sockets = socket_directory(place, self._owner)
        self._owner.mkdir(place / "log")
        conninfo = f"host={sockets_of_primary} port=5432 user={pg.USER} application_name=standby"
        settings = {
            **pg.settings_for(machine.memory_bytes(), machine.cores()),
            **pg.settings_here(),
            "primary_conninfo": conninfo,
        }
        sockets = self._sockets.__enter__()
        self._server = pg.Postgres(place, sockets, self._owner, self._nursery, {**settings, "shared_buffers": "32MB"})
        self.url = pg.database_url(sockets)
        backup.run(
            *(pg.binaries() / "pg_basebackup", "--dbname", primary_url, "--pgdata", place / "pg"),
            *("--wal-method=stream", "--checkpoint=fast", "--no-sync", "--no-password"),
        )
        (place / "pg" / "standby.signal").touch(mode=0o600)
        self._owner.give_all(place / "pg")

    def start(self) -> None:
        self._server.prepare(unheard)
        self._server.launch()
        self._server.await_ready(unheard)

    def kill(self) -> None:
        self._server.nursery.end(pg.NAME, ((signal.SIGKILL, 10.0),))

    def freeze(self) -> None:
        """It answers nothing any more, and no connection ends."""
        for pid in living_in(self.place / "pg", "postgres"):
            os.kill(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        for pid in living_in(self.place / "pg", "postgres"):
            os.kill(pid, signal.SIGCONT)

    def close(self) -> None:
        self.thaw()
        self._server.stop()
        self._nursery.close()
        self._sockets.__exit__(None, None, None)

    async def tell(self, statement: str) -> object:
        """As the superuser."""
        link = await asyncpg.connect(self.url)
        try:
            return await link.fetchval(statement)
        finally:
            await link.close()
