"""Every journey is made in both houses, or it is written here why the split house cannot tell anything new of it.

A twin is a file of this folder that takes tests from one of tests/journeys: `from tests.journeys.test_x import …`.
"""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path

import pytest
from tests.conftest import group_of

HERE = Path(__file__).resolve().parent
JOURNEYS = HERE.parent / "journeys"

IMPORT = re.compile(r"^from tests\.journeys\.(?P<journey>test_\w+) import (?P<names>\([^)]*\)|[^\n]*)", re.MULTILINE)

ALONE = {
    "test_command_line": "starts each command as its own process and reads what it says: no house answers it, divided or not;"
    " `up --split`, whose words are others, is in test_up_split.py",
    "test_policies": "asks row security in the database, which does not know how many processes there are",
}
"""Journeys without a twin, and why."""


def taken(file: Path) -> dict[str, list[str]]:
    """From which journeys a file takes what."""
    found: dict[str, list[str]] = {}
    for taking in IMPORT.finditer(re.sub("#.*", "", file.read_text())):
        found.setdefault(taking["journey"], []).extend(re.findall(r"[\w*]+", taking["names"]))
    return found


def makes(file: Path, journey: str) -> list[str]:
    """The tests of a journey that a file makes, as pytest finds them there."""
    module = importlib.import_module(f"tests.topology.{file.stem}")
    at_home = f"tests.journeys.{journey}"
    return [
        name
        for name, value in vars(module).items()
        if name.startswith("test_") and inspect.isfunction(value) and value.__module__ == at_home
    ]


def twins(folder: Path = HERE) -> dict[str, Path]:
    """The twin of each journey that has one: the file that takes everything there is. Others may borrow a word or two."""
    return {
        journey: file
        for file in sorted(folder.glob("test_*.py"))
        for journey, names in taken(file).items()
        if any(name == "*" or name.startswith("test_") for name in names)
    }


def faults(journeys: set[str], with_twin: set[str], alone: set[str]) -> list[str]:
    return [
        *(f"{name} has neither a twin in tests/topology nor a reason in ALONE" for name in sorted(journeys - with_twin - alone)),
        *(f"{name} is in ALONE and is no file of tests/journeys" for name in sorted(alone - journeys)),
        *(f"{name} is in ALONE and has a twin" for name in sorted(alone & with_twin)),
    ]


def test_every_journey_has_a_twin_or_a_reason() -> None:
    journeys = {file.stem for file in JOURNEYS.glob("test_*.py")}
    assert faults(journeys, set(twins()), set(ALONE)) == []
    assert len(journeys) > 20 and all(len(reason) > 20 for reason in ALONE.values())


@pytest.mark.parametrize("journey", sorted(twins()))
def test_a_twin_makes_journeys(journey: str) -> None:
    file = twins()[journey]
    assert makes(file, journey), f"{file.name} takes no test of {journey}"
    assert group_of(file).startswith("split"), "one worker starts the processes"


def test_what_is_missing_gone_or_twice_is_told(tmp_path: Path) -> None:
    """The control."""
    (tmp_path / "test_split_a.py").write_text("from tests.journeys.test_a import *\n")
    (tmp_path / "test_borrows.py").write_text(
        "from tests.journeys.test_b import Person\nfrom tests.journeys.world import World\n"
    )
    found = twins(tmp_path)
    assert set(found) == {"test_a"}
    assert faults({"test_a", "test_b"}, set(found), {"test_a", "test_gone"}) == [
        "test_b has neither a twin in tests/topology nor a reason in ALONE",
        "test_gone is in ALONE and is no file of tests/journeys",
        "test_a is in ALONE and has a twin",
    ]
    assert makes(HERE / "test_status.py", "test_chat") == []
    assert len(makes(HERE / "test_split_chat.py", "test_chat")) > 3
