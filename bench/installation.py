"""A fresh installation for one measurement: engines with production settings, the schema, and a server on its own core."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path

import msgspec

from bench.load import HOST, await_answer
from bench.machine import Cores, Used, resident_mib, split_cores
from forecourt.app import Addresses, app_url
from forecourt.engines import start_engines
from forecourt.kernel.migrate import migrate
from forecourt.kernel.settings import Settings
from forecourt.layout import migration_folders

READY_LIMIT_S = 60
STOP_LIMIT_S = 20


class Installation(msgspec.Struct, frozen=True):
    """Running engines with an up-to-date, empty database."""

    data: Path
    admin_url: str
    """The owner: fills tables, and never serves."""
    valkey_url: str
    cores: Cores

    @property
    def at(self) -> Addresses:
        return Addresses(app_url(self.admin_url), self.valkey_url)

    def environ(self, port: int) -> dict[str, str]:
        """What a server of this installation is told."""
        return {
            **os.environ,
            "FORECOURT_DATA": str(self.data),
            "FORECOURT_PORT": str(port),
            "FORECOURT_PUBLIC_URL": "http://localhost:8000",
            "FORECOURT_LOG_LEVEL": "error",
            "FORECOURT_DATABASE_POOL": "16",
            "DATABASE_URL": app_url(self.admin_url),
            "DATABASE_ADMIN_URL": self.admin_url,
            "VALKEY_URL": self.valkey_url,
        }

    @property
    def settings(self) -> Settings:
        """As the servers read them."""
        return Settings.read(self.environ(8000))


@contextlib.contextmanager
def installation(cores: Cores | None = None) -> Generator[Installation]:
    """Engines in a temporary directory, on the cores that the server under test does not have. This process moves there too.

    `cores`: who has which, when it is not one server that is tested.
    """
    cores = cores or split_cores()
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores.others)
    try:
        with (
            tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as place,
            start_engines(Path(place)) as engines,
        ):
            asyncio.run(migrate(engines.database_url, migration_folders()))
            yield Installation(Path(place), engines.database_url, engines.valkey_url, cores)
    finally:
        os.sched_setaffinity(0, before)


class Server(msgspec.Struct, frozen=True):
    """A process that serves on a port of the loopback."""

    name: str
    port: int
    process: subprocess.Popen[bytes]

    @property
    def pid(self) -> int:
        return self.process.pid

    def used(self) -> Used:
        return Used.by(self.pid)

    def resident_mib(self) -> float:
        return resident_mib(self.pid)


def free_port() -> int:
    with socket.socket() as s:
        s.bind((HOST, 0))
        return s.getsockname()[1]


@contextlib.contextmanager
def running(
    name: str, command: Sequence[str], port: int, environ: Mapping[str, str], cores: set[int], probe: str, cwd: Path | None = None
) -> Generator[Server]:
    """A server pinned to `cores`; it is asked to stop, and then made to, when the block ends."""
    mine = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)  # a child has the cores of the thread that starts it
    try:
        process = subprocess.Popen(list(command), env=dict(environ), cwd=cwd, stdin=subprocess.DEVNULL)
    finally:
        os.sched_setaffinity(0, mine)
    try:
        await_answer(port, probe, READY_LIMIT_S, lambda: process.poll() is None)
        yield Server(name, port, process)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def forecourt(at: Installation, *, cores: set[int] | None = None) -> Generator[Server]:
    """One serving process of the installation, without background work, on the server's core."""
    port = free_port()
    command = [sys.executable, "-m", "forecourt", "serve", "--port", str(port)]
    with running("Forecourt", command, port, at.environ(port), cores or at.cores.server, "/readyz") as server:
        yield server
