"""An installation that streams to an archive: copied while it is open, drilled, lost, restored and opened again."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.journeys.conftest import SECRET, Server


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path


def opened(data: Path, archive: Path) -> Server:
    """A house of its own, engines included."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
    environ = {**os.environ, "FORECOURT_SECRET_KEY": SECRET, "FORECOURT_LOG_LEVEL": "warning"}
    server = Server(environ, data.parent / f"{data.name}.log")
    command = [sys.executable, "-m", "forecourt", "up", "--no-demo", "--port", str(server.port)]
    with server.log.open("ab") as log:
        server.processes["serve"] = subprocess.Popen(
            [*command, "--data", str(data), "--archive", str(archive)], env=environ, stdout=log, stderr=log
        )
    server.await_ready()
    return server


def told(*arguments: str | Path) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "forecourt", *arguments], check=False, capture_output=True, text=True, timeout=120
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def house(place: Path) -> Iterator[Server]:
    server = opened(place / "var", place / "archive")
    yield server
    server.stop()


def register(server: Server, email: str) -> int:
    body = {"email": email, "password": "a long enough pass phrase", "name": "Ada"}
    return httpx.post(f"{server.url}/v1/auth/register", json=body, timeout=30).status_code


@pytest.mark.slow
def test_a_lost_installation_comes_back_with_everybody_in_it(house: Server, place: Path) -> None:
    data, archive, back = place / "var", place / "archive", place / "back"
    assert register(house, "before@example.org") == 201
    code, said = told("drill", archive, "--data", data)
    assert (code, "There is no whole copy" in said) == (1, True), said
    code, said = told("backup", archive, "--data", data)
    assert (code, "A copy of" in said) == (0, True), said
    assert register(house, "after@example.org") == 201
    code, said = told("drill", archive, "--data", data)
    assert code == 0, said
    assert "The archive is good" in said
    assert said.count("ok ") == 6, said
    house.stop()
    shutil.rmtree(data)
    code, said = told("restore", archive, "--data", back)
    assert code == 0, said
    again = opened(back, place / "archive-2")
    try:
        # 409: whoever was there is there; 201: the control.
        assert [register(again, f"{who}@example.org") for who in ("before", "after", "never")] == [409, 409, 201]
    finally:
        again.stop()


def test_a_moment_without_an_offset_is_refused(place: Path) -> None:
    code, said = told("restore", place / "archive", "--data", place / "back", "--to", "2026-11-21T09:30:00")
    assert code == 1
    assert "Add an offset" in said


def test_nothing_is_copied_of_a_house_that_is_not_open(place: Path) -> None:
    code, said = told("backup", place / "archive", "--data", place / "var")
    assert (code, "No house is open" in said) == (1, True)
    assert not (place / "archive").exists()
