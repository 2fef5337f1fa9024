"""What the tests of deploy/ share."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from tests.deploy.composing import COMPOSE


@pytest.fixture(scope="session")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What deploy/compose/make-secrets makes."""
    folder = tmp_path_factory.mktemp("made")
    shutil.copy(COMPOSE / "make-secrets", folder)
    subprocess.run([folder / "make-secrets", "book.example.org"], check=True, capture_output=True, timeout=60)
    return folder / "secrets"
