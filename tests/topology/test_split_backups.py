"""The journey of tests/journeys/test_backups.py in the split house: what several services write streams to one archive.

It is drilled, lost and restored, and opened again as one process: how a house is divided is no part of what is copied.
What is refused, and what is said then, is the command line's, and the same for every house.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.journeys.test_backups import (
    Installation,
    opened,
    place,  # noqa: F401  # pyright: ignore[reportUnusedImport]
    test_a_lost_installation_comes_back_with_everybody_in_it,  # noqa: F401  # pyright: ignore[reportUnusedImport]
)
from tests.topology.test_up_split import family

from forecourt.wiring import MODULES

pytestmark = [pytest.mark.xdist_group("split_backups"), pytest.mark.slow, pytest.mark.haproxy]

COURTS = ("venues", "booking", "payments")
GROUPS = ",".join("+".join(group) for group in (COURTS, [module for module in MODULES if module not in COURTS]))


def worker_of(up: int) -> str:
    """The address of the worker, which alone looks at the database; those who serve are told it, to ask how it is."""
    for child in family(up):
        with contextlib.suppress(OSError):  # one that has ended meanwhile
            found = re.search(rb"worker=(http://[\d.:]+)", Path(f"/proc/{child}/environ").read_bytes())
            if found:
                return found[1].decode()
    raise AssertionError("nobody was told of a worker")


@pytest.fixture
def house(place: Path) -> Iterator[Installation]:  # noqa: F811 - the fixture
    server = opened(place / "var", place / "archive", "--split", "--groups", GROUPS)
    server.figures = worker_of(server.processes["serve"].pid)
    yield server
    server.stop()
