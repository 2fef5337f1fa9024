"""The import-linter contracts bite: each is broken on purpose in a small house of its own, judged by the real linter."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LINTER = Path(sys.executable).parent / "lint-imports"

MODULES = "Modules reach each other only through their contracts"
KERNEL = "The kernel names no module, engine or application"
CONTRACT = "Contracts import the kernel, contracts and libraries that compute; they call no clock, no I/O"
RULES = "rules.py is pure: contracts, kernel values, no clock, no I/O"
WIRING = "Only the composition root reaches into modules"

SOUND: Mapping[str, str] = {
    "__init__.py": "",
    "app.py": "from forecourt.engines import postgres\nfrom forecourt.modules.booking import service\n",
    "cli.py": "from forecourt.modules.venues import jobs\n",
    "engines/__init__.py": "",
    "engines/postgres.py": "import subprocess\nfrom forecourt.kernel import errors\n",
    "gateway/__init__.py": "",
    "gateway/routing.py": "from forecourt.modules.venues.contract import Venue\n",
    "kernel/__init__.py": "",
    "kernel/clock.py": "",
    "kernel/db.py": "import asyncpg\nfrom forecourt.kernel import ids\n",
    "kernel/errors.py": "",
    "kernel/ids.py": "import os, time\n",
    "kernel/money.py": "import msgspec\nfrom forecourt.kernel.errors import *\n",
    "kernel/period.py": "from forecourt.kernel import errors\n",
    "realtime/__init__.py": "",
    "realtime/server.py": "import picows\nfrom forecourt.kernel import errors\n",
    "modules/__init__.py": "",
    "modules/venues/__init__.py": "",
    "modules/venues/contract.py": "import msgspec\nfrom forecourt.kernel import money, db\nclass Venue: ...\n",
    "modules/venues/jobs.py": "",
    "modules/venues/queries.py": "from forecourt.kernel import db\n",
    "modules/booking/__init__.py": "",
    "modules/booking/contract.py": "from enum import Enum\nfrom forecourt.modules.venues import contract\n",
    "modules/chat/__init__.py": "",
    "modules/chat/contract/__init__.py": (
        "from typing import Protocol\nfrom forecourt.modules.chat.contract.rooms import Room\n"
        "class Chat(Protocol):\n    async def room(self) -> Room: ...\n"
    ),
    "modules/chat/contract/calendar.py": (
        "import holidays\nfrom datetime import datetime\nfrom zoneinfo import ZoneInfo\n"
        "from forecourt.modules.chat.contract.rooms import Room\nfrom forecourt.modules.venues.contract import Venue\n"
        "def quiet(room: Room, now: datetime): return room.hours.open(now)\n"
    ),
    "modules/chat/contract/rooms.py": "import msgspec\nfrom forecourt.kernel import period\nclass Room: ...\n",
    "modules/chat/queries.py": "",
    "modules/chat/rules.py": "from forecourt.modules.chat.contract.calendar import quiet\n",
    "modules/booking/queries.py": "",
    "modules/booking/rules/__init__.py": "from forecourt.modules.booking.rules import prices\n",
    "modules/booking/rules/prices.py": (
        "from datetime import datetime\nimport msgspec\n"
        "from forecourt.kernel.money import *\nfrom forecourt.kernel import period\n"
        "from forecourt.modules.venues.contract import Venue\nfrom forecourt.modules.booking import contract\n"
        "def open_at(hours, now: datetime): return hours.open(now)\n"
    ),
    "modules/booking/service.py": (
        "from forecourt.modules.venues.contract import Venue\nfrom forecourt.modules.booking import queries, rules\n"
        "from forecourt.modules.chat.contract.calendar import quiet\nfrom forecourt.kernel import db\n"
    ),
    "demo/__init__.py": "",
    "demo/fill.py": "from forecourt.modules.booking import queries\n",
    "wiring.py": "from forecourt.modules.chat import queries\n",
}


def judge(folder: Path, broken: Mapping[str, str]) -> tuple[int, str]:
    """The linter's exit code and words over the sound house with the files of `broken` added to."""
    for name in {**SOUND, **broken}:
        path = folder / "src" / "forecourt" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(SOUND.get(name, "") + broken.get(name, ""))
    done = subprocess.run(
        [LINTER, "--config", ROOT / "pyproject.toml", "--no-cache", "--no-logo"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(folder / "src"), str(ROOT)]), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.returncode, done.stdout


def test_a_house_built_to_the_plan_passes(tmp_path: Path) -> None:
    code, words = judge(tmp_path, {})
    assert code == 0, words
    assert "5 kept, 0 broken" in words


# Each culprit stands in the small house only, so a linter that judged the installed package instead would not name it.
@pytest.mark.parametrize(
    ("file", "line", "contract", "culprit"),
    [
        (
            "modules/booking/service.py",
            "from forecourt.modules.venues import queries as q",
            MODULES,
            "imports forecourt.modules.venues.queries",
        ),
        ("modules/booking/service.py", "import forecourt.modules.venues", MODULES, "imports forecourt.modules.venues"),
        (
            "modules/booking/http.py",
            "def f():\n    from forecourt.modules.venues import jobs",
            MODULES,
            "forecourt.modules.booking.http:2",
        ),
        ("modules/chat/service.py", "from forecourt.modules.venues import queries", MODULES, "forecourt.modules.chat.service:1"),
        ("kernel/db.py", "from forecourt.modules.venues import contract", KERNEL, "imports forecourt.modules.venues.contract"),
        ("kernel/db.py", "from forecourt.engines import postgres", KERNEL, "imports forecourt.engines.postgres"),
        ("kernel/db.py", "import forecourt.app", KERNEL, "imports forecourt.app"),
        ("engines/postgres.py", "from forecourt.gateway import routing", KERNEL, "imports forecourt.gateway.routing"),
        (
            "realtime/server.py",
            "from forecourt.modules.venues import contract",
            KERNEL,
            "imports forecourt.modules.venues.contract",
        ),
        (
            "modules/venues/contract.py",
            "from forecourt.modules.venues import queries",
            CONTRACT,
            "imports forecourt.modules.venues.queries",
        ),
        ("modules/venues/contract.py", "import asyncpg", CONTRACT, "imports asyncpg"),
        (
            "modules/chat/contract/calendar.py",
            "from forecourt.modules.chat import queries",
            CONTRACT,
            "forecourt.modules.chat.contract.calendar:7: imports forecourt.modules.chat.queries",
        ),
        ("modules/chat/contract/rooms.py", "import time", CONTRACT, "forecourt.modules.chat.contract.rooms:4: imports time"),
        (
            "modules/chat/contract/calendar.py",
            "x = datetime.now()",
            CONTRACT,
            "forecourt.modules.chat.contract.calendar:7: calls now()",
        ),
        ("modules/venues/contract.py", "x = open('/etc/hostname')", CONTRACT, "calls open()"),
        (
            "modules/booking/service.py",
            "from forecourt.modules.chat.rules import quiet",
            MODULES,
            "imports forecourt.modules.chat.rules",
        ),
        (
            "modules/booking/rules/prices.py",
            "from forecourt.modules.booking import queries",
            RULES,
            "imports forecourt.modules.booking.queries",
        ),
        ("modules/booking/rules/prices.py", "from forecourt.kernel import db", RULES, "imports forecourt.kernel.db"),
        ("modules/booking/rules/prices.py", "import asyncpg", RULES, "imports asyncpg"),
        ("modules/booking/rules/prices.py", "import time", RULES, "imports time"),
        (
            "modules/venues/rules.py",
            "from datetime import datetime as d\nx = d.now()",
            RULES,
            "forecourt.modules.venues.rules:2: calls now()",
        ),
        ("modules/venues/rules.py", "x = open('/etc/hostname')", RULES, "calls open()"),
        ("modules/venues/rules.py", "n = 0\ndef f():\n    global n", RULES, "changes the global n"),
        ("modules/venues/rules.py", "async def f(): ...", RULES, "declares async f()"),
        ("kernel/money.py", "from forecourt.kernel import db", RULES, "imports forecourt.kernel.db"),
        ("gateway/routing.py", "from forecourt.modules.venues import jobs", WIRING, "imports forecourt.modules.venues.jobs"),
        ("survey.py", "from forecourt.modules.booking import service", WIRING, "imports forecourt.modules.booking.service"),
    ],
)
def test_a_broken_boundary_is_named(tmp_path: Path, file: str, line: str, contract: str, culprit: str) -> None:
    packages = {f"{Path(file).parent}/__init__.py": ""}
    code, words = judge(tmp_path, {**packages, file: f"{line}\n"})
    assert code == 1
    assert f"{contract} BROKEN" in words
    assert "4 kept, 1 broken" in words, "the fault belongs to one contract alone"
    assert culprit in words
