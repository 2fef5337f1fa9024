"""An installation that streams to an archive: copied while it is open, drilled, lost, restored and opened again."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from math import inf
from pathlib import Path

import httpx
import pytest
from tests.journeys.conftest import SECRET, Server

from forecourt.backups import note
from forecourt.engines import EngineError
from forecourt.engines.backup import Base
from forecourt.engines.sealing import read_identities


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path


class Installation(Server):
    """A house of its own, engines included."""

    def __init__(self, environ: dict[str, str], log: Path) -> None:
        super().__init__(environ, log)
        self.figures = self.url
        """Where a process shows its figures: the gateway of a split house (tests/topology) shows nobody's."""


def opened(data: Path, archive: Path, *more: str) -> Installation:
    """A house whose archive is encrypted for the identity `key` beside it, as every house is in production."""
    key = data.with_name("key")
    if not key.exists():
        made = told("archive", "keygen", key)
        assert made[0] == 0, made
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
    environ = {**os.environ, "FORECOURT_SECRET_KEY": SECRET, "FORECOURT_LOG_LEVEL": "warning"}
    server = Installation(environ, data.parent / f"{data.name}.log")
    command = [sys.executable, "-m", "forecourt", "up", "--no-demo", "--port", str(server.port)]
    with server.log.open("ab") as log:
        server.processes["serve"] = subprocess.Popen(
            [*command, "--data", str(data), "--archive", str(archive), *for_holder(key), *more],
            env=environ,
            stdout=log,
            stderr=log,
        )
    server.await_ready()
    return server


def for_holder(key: Path) -> tuple[str, str]:
    return "--archive-recipient", read_identities(key).recipients.pop()


def told(*arguments: str | Path) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "forecourt", *arguments], check=False, capture_output=True, text=True, timeout=120
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def house(place: Path) -> Iterator[Installation]:
    server = opened(place / "var", place / "archive")
    yield server
    server.stop()


def register(server: Server, email: str) -> int:
    body = {"email": email, "password": "a long enough pass phrase", "name": "Ada"}
    return httpx.post(f"{server.url}/v1/auth/register", json=body, timeout=30).status_code


def until_told(server: Installation, wanted: Mapping[str, Callable[[float], bool]]) -> None:
    """Wait until /metrics tells figures as wanted: they are up to five seconds old, and none when a look was too slow."""
    told = dict[str, float]()
    for _ in range(300):
        lines = [line for line in httpx.get(f"{server.figures}/metrics", timeout=30).text.splitlines() if line[:1] != "#"]
        told = {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines) if name in wanted}
        if told.keys() == wanted.keys() and all(fits(told[name]) for name, fits in wanted.items()):
            return
        time.sleep(0.1)
    raise AssertionError(told)


@pytest.mark.slow
def test_a_lost_installation_comes_back_with_everybody_in_it(house: Installation, place: Path) -> None:
    data, archive, back, key = (place / name for name in ("var", "archive", "back", "key"))
    assert register(house, "before@example.org") == 201
    code, said = told("drill", archive, "--data", data)
    assert (code, "There is no whole copy" in said) == (1, True), said
    streamed: dict[str, Callable[[float], bool]] = {
        "database_archive_connected": lambda n: n == 1,
        "database_archive_behind_bytes": lambda n: n < 2**24,
    }
    until_told(house, {**streamed, "database_copy_age_seconds": lambda n: n == inf})
    code, said = told("backup", archive, "--data", data)
    assert (code, "A copy of" in said) == (0, True), said
    assert register(house, "after@example.org") == 201
    code, said = told("drill", archive, "--data", data, "--identity", key)
    assert code == 0, said
    assert "The archive is good" in said
    assert said.count("ok ") == 6, said
    until_told(house, {**streamed, "database_copy_age_seconds": lambda n: n < 600})
    house.stop()
    shutil.rmtree(data)
    everything = b"".join(file.read_bytes() for file in archive.rglob("*") if file.is_file())
    assert b"example.org" not in everything, "nobody finds a guest who only has the archive"
    code, said = told("restore", archive, "--data", back)
    assert (code, "is encrypted" in said, back.exists()) == (1, True, False), said
    code, said = told("restore", archive, "--data", back, "--identity", key)
    assert code == 0, said
    again = opened(back, place / "archive-2")
    try:
        # 409: whoever was there is there; 201: the control.
        assert [register(again, f"{who}@example.org") for who in ("before", "after", "never")] == [409, 409, 201]
    finally:
        again.stop()


async def test_a_copy_that_the_house_could_not_be_told_of_is_whole_and_said_so(server_url: str, place: Path) -> None:
    """By a database that does not know the table: that of an earlier release, say."""
    now = datetime.now(UTC)
    with pytest.raises(EngineError, match=r"is whole, but the house could not be told"):
        await note(server_url, Base(place / "copy", now, now, "000000010000000000000001", 1))


def test_a_moment_without_an_offset_is_refused(place: Path) -> None:
    code, said = told("restore", place / "archive", "--data", place / "back", "--to", "2026-11-21T09:30:00")
    assert code == 1
    assert "Add an offset" in said


def test_nothing_is_copied_of_a_house_that_is_not_open(place: Path) -> None:
    code, said = told("backup", place / "archive", "--data", place / "var")
    assert (code, "No house is open" in said) == (1, True)
    assert not (place / "archive").exists()
