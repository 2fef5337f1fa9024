"""What the README promises a stranger: its tour, line by line, in a shell, against the demo world."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from uuid import uuid4

import pytest
from tests.conftest import as_user, clone, drop
from tests.journeys.conftest import Server, environ_for

from forecourt.demo import fill, unheard
from forecourt.kernel.migrate import APP_ROLE

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("readme")]

README = Path(__file__).resolve().parents[2] / "README.md"
PYTHON_README = README.parent / "clients" / "python" / "README.md"
PRINTED = "http://localhost:8000"
"""Where `make up` opens the doors."""


@pytest.fixture(scope="module")
def doors(server_url: str, valkey_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a house with the demo world in it, its past cut to a day."""
    name = f"r_{uuid4().hex[:12]}"
    admin_url = asyncio.run(clone(server_url, name))
    asyncio.run(fill(admin_url, seed=7, scale=0, report=unheard, past_days=1))
    data = tmp_path_factory.mktemp("readme")
    server = Server(environ_for(data, as_user(admin_url, APP_ROLE), admin_url, valkey_url), data / "server.log")
    try:
        server.start()
        yield server.url
    finally:
        server.stop()
        asyncio.run(drop(server_url, name))


def tour() -> str:
    blocks = re.findall(r"^```sh\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 1, "the tour is the README's one block of shell commands"
    assert blocks[0].count(PRINTED) == 1
    return blocks[0]


def run(commands: str) -> subprocess.CompletedProcess[str]:
    """In a shell that stops at the first command that fails."""
    return subprocess.run(["bash", "-euo", "pipefail", "-c", commands], capture_output=True, text=True, check=False, timeout=60)


def test_the_tour_of_the_readme_works_line_by_line(doors: str) -> None:
    done = run(tour().replace(PRINTED, doors))
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""

    held, end = json.JSONDecoder().raw_decode(done.stdout)
    assert held["status"] == "payment_pending"
    assert datetime.fromisoformat(held["hold_expires_at"]) < datetime.fromisoformat(held["start"])

    refused, paid, *calendar = done.stdout[end:].strip().splitlines()
    assert json.loads(refused).items() >= {"status": 409, "code": "slot_taken"}.items()
    assert json.loads(refused)["alternatives"] >= 0  # what else is free that day is the demo world's chance
    booking = json.loads(paid)
    assert booking["status"] == "upcoming"
    assert booking["paid"] == booking["price"]
    assert booking["price"]["amount"] > 0
    assert calendar[0] == "BEGIN:VCALENDAR"
    start = datetime.fromisoformat(booking["local_start"])
    assert any(line.startswith("DTSTART") and f"{start:T%H%M}" in line for line in calendar)


def test_the_tour_stops_where_a_line_of_it_is_wrong(doors: str) -> None:
    done = run(tour().replace(PRINTED, doors).replace("open-forecourt", "not-the-password"))
    assert done.returncode != 0
    assert "payment_pending" in done.stdout
    assert "slot_taken" not in done.stdout


def test_the_tour_of_the_python_client_works(doors: str) -> None:
    programs = re.findall(r"^```python\n(.*?)^```$", PYTHON_README.read_text(), re.MULTILINE | re.DOTALL)
    [waiting, awaiting] = [program for program in programs if PRINTED in program]
    booked, taken, cancelled = run_python(waiting.replace(PRINTED, doors)).splitlines()
    assert re.search(r" 20\d\d-\d\d-\d\d \d\d:\d\d:00\+0[01]:00 \d+ GBP$", booked)
    assert re.fullmatch(r"That time was just taken \d+", taken)
    assert cancelled.startswith("cancelled Money(amount=")
    mine = run_python(awaiting.replace(PRINTED, doors)).splitlines()
    assert 1 <= len(mine) <= 5
    assert all(re.fullmatch(r"20\d\d-\S+ \d\d:\d\d:00\+0[01]:00 [a-z_]+", line) for line in mine)


def run_python(program: str) -> str:
    environ = {**os.environ, "PYTHONPATH": str(PYTHON_README.parent / "src")}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], env=environ, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
