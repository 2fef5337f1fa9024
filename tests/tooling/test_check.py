"""`forecourt check` judges the house it is run in: a copy of this one, sound and with one fault."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The program and the plan it is held to, in a folder of their own."""
    leave = shutil.ignore_patterns("__pycache__", "static")
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=leave)
    shutil.copytree(ROOT / "tools", tmp_path / "tools", ignore=leave)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def check(house: Path) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "forecourt", "check"],
        cwd=house,
        env={**os.environ, "PYTHONPATH": str(house / "src"), "COLUMNS": "300"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return done.returncode, done.stdout + done.stderr


def test_the_house_as_it_stands_is_in_order(copy: Path) -> None:
    code, words = check(copy)
    assert code == 0, words
    assert "in order" in words


def test_a_broken_boundary_and_a_table_in_anothers_schema_are_named_and_nothing_else_is(copy: Path) -> None:
    people = copy / "src" / "forecourt" / "modules" / "people"
    (people / "short_cut.py").write_text("from forecourt.modules.venues import queries as queries\n")
    (people / "migrations" / "0099_stray.sql").write_text("create table venues.stray (id uuid primary key);\n")
    code, words = check(copy)
    assert code == 1
    assert "forecourt.modules.people.short_cut:1: imports forecourt.modules.venues.queries" in words
    assert "people: table venues.stray is in another module's schema" in words
    assert "2 faults" in words
