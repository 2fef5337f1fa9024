"""Houses on the test engines: how their processes are set up, started and killed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.ports import free_port

from forecourt.kernel.settings import Settings

SECRET = "journeys-share-one-database-and-so-one-key-4f1a9c"
"""Processes on one database seal its signing keys with one key."""


def settings_for(data: Path, **more: str) -> Settings:
    return Settings.read(
        {
            "FORECOURT_SECRET_KEY": SECRET,
            "FORECOURT_ENV": "test",
            "FORECOURT_DATA": str(data),
            "FORECOURT_LOG_LEVEL": "warning",
            **more,
        }
    )


class Server:
    """`forecourt serve` (and `worker`) as real processes on the test engines, to be killed at will."""

    def __init__(self, environ: dict[str, str], log: Path) -> None:
        self.environ = environ
        self.log = log
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, *duties: str) -> None:
        for duty in duties or ("serve", "worker"):
            command = [sys.executable, "-m", "forecourt", duty]
            if duty == "serve":
                command += ["--port", str(self.port)]
            with self.log.open("ab") as log:
                self.processes[duty] = subprocess.Popen(command, env=self.environ, stdout=log, stderr=log)
        if "serve" in (duties or ("serve",)):
            self.await_ready()

    def await_ready(self) -> None:
        until = time.monotonic() + 120
        while time.monotonic() < until:
            if self.processes["serve"].poll() is not None:
                raise AssertionError(self.log.read_text()[-3000:])
            try:
                if httpx.get(f"{self.url}/readyz", timeout=2).status_code == 200:
                    return
            except httpx.HTTPError:
                time.sleep(0.05)
        raise AssertionError("not ready: " + self.log.read_text()[-3000:])

    def kill(self, *duties: str) -> None:
        for duty in duties or tuple(self.processes):
            process = self.processes.pop(duty)
            process.kill()
            process.wait()

    def stop(self) -> None:
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.processes.clear()


def environ_for(data: Path, database_url: str, admin_url: str, valkey_url: str) -> dict[str, str]:
    return {
        **os.environ,
        "FORECOURT_ENV": "test",
        "FORECOURT_DATA": str(data),
        "FORECOURT_LOG_LEVEL": "warning",
        "FORECOURT_SECRET_KEY": SECRET,
        "DATABASE_URL": database_url,
        "DATABASE_ADMIN_URL": admin_url,
        "VALKEY_URL": valkey_url,
    }


@pytest.fixture(scope="session")
def server(
    house_database_url: str, house_admin_url: str, valkey_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A server and a worker that live as long as the run."""
    data = tmp_path_factory.mktemp("server")
    server = Server(environ_for(data, house_database_url, house_admin_url, valkey_url), data / "server.log")
    server.start()
    yield server
    server.stop()
