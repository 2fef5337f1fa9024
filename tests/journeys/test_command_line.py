"""The command line as an operator meets it: what it does, and what it says when it cannot."""

from __future__ import annotations

import asyncio
import gzip
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from tests.conftest import as_user, drop, make_empty
from tests.journeys.conftest import environ_for
from tests.journeys.world import PASSWORD

from forecourt.cli import create_admin
from forecourt.engines import EngineError
from forecourt.gateway.routes import routing_table
from forecourt.kernel.migrate import APP_ROLE
from forecourt.layout import migration_folders
from forecourt.process import SET_UP_WRONGLY
from forecourt.terminal import trouble

pytestmark = pytest.mark.slow


def forecourt(environ: dict[str, str], *arguments: str) -> tuple[int, str]:
    """The exit status and everything that was said, in one line."""
    done = subprocess.run(
        [sys.executable, "-m", "forecourt", *arguments], env=environ, check=False, capture_output=True, text=True, timeout=120
    )
    words = " ".join((done.stdout + done.stderr).split())
    assert "Traceback" not in words, words
    return done.returncode, words


@pytest.fixture
def bare(tmp_path: Path) -> dict[str, str]:
    """Nothing but a data directory in which nothing runs."""
    outer = {k: v for k, v in os.environ.items() if not k.startswith(("FORECOURT_", "DATABASE_", "VALKEY_"))}
    return outer | {"FORECOURT_DATA": str(tmp_path / "var"), "COLUMNS": "200"}


@pytest.fixture
def here(house_database_url: str, house_admin_url: str, valkey_url: str, tmp_path: Path) -> dict[str, str]:
    """The installation of the journeys."""
    return environ_for(tmp_path, house_database_url, house_admin_url, valkey_url) | {"COLUMNS": "200"}


@pytest.fixture
def fresh(server_url: str, valkey_url: str, tmp_path: Path) -> Iterator[dict[str, str]]:
    """An installation whose database is empty."""
    name = f"c_{uuid4().hex[:12]}"
    admin_url = asyncio.run(make_empty(server_url, name))
    yield environ_for(tmp_path, as_user(admin_url, APP_ROLE), admin_url, valkey_url) | {"COLUMNS": "200"}
    asyncio.run(drop(server_url, name))


def test_a_database_that_nobody_prepared_is_named_with_what_to_do(
    fresh: dict[str, str], here: dict[str, str], tmp_path: Path
) -> None:
    """Not by what fails first in it: the tables of some module."""
    (tmp_path / "club.forecourt").write_bytes(gzip.compress(b'{"format":"forecourt organisation 1"'))
    commands = [["worker"], ["replay", "audit.trail"], ["org", "import", str(tmp_path / "club.forecourt")]]
    with ThreadPoolExecutor(5) as side_by_side:
        told = [side_by_side.submit(forecourt, fresh, *command) for command in commands]
        empty, prepared = (side_by_side.submit(forecourt, which, "doctor") for which in (fresh, here))
    cure = "Prepare it with `forecourt migrate`, as its owner (DATABASE_ADMIN_URL)."
    assert [done.result() for done in told] == [(1, f"This database has no tables yet. {cure}")] * 3
    waiting = r"PostgreSQL tables \d+ migrations wait, from kernel 0001 on\. → Run `forecourt migrate`\."
    assert re.search(waiting, empty.result()[1]), empty.result()
    assert "ok PostgreSQL tables Up to date." in prepared.result()[1], prepared.result()


def test_a_database_that_is_away_or_does_not_let_us_in_is_said_in_words(bare: dict[str, str], here: dict[str, str]) -> None:
    """What an operator sees in the night: no answer here may be a traceback."""
    nobody = "postgresql://forecourt_app:secret-word@127.0.0.1:1/forecourt"
    away = bare | {"DATABASE_URL": nobody, "DATABASE_ADMIN_URL": nobody, "VALKEY_URL": here["VALKEY_URL"]}
    stranger = here | {"DATABASE_URL": as_user(here["DATABASE_URL"], "nobody_at_all")}
    with ThreadPoolExecutor(3) as side_by_side:
        told = [side_by_side.submit(forecourt, away, *command) for command in (["serve", "--port", "1024"], ["migrate"])]
        kept_out = side_by_side.submit(forecourt, stranger, "worker")
    for status, words in (*(done.result() for done in told), kept_out.result()):
        assert status == 1 and "The database cannot be used" in words and "forecourt doctor" in words, words
        assert "secret-word" not in words
    assert "nobody_at_all" in kept_out.result()[1]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no disk that is always full")
def test_a_full_disk_is_said_in_words_and_a_fault_of_our_own_is_not_hidden() -> None:
    with pytest.raises(OSError) as full, Path("/dev/full").open("wb", buffering=0) as file:
        file.write(b"x")
    assert "No space left on device" in (trouble(full.value) or "")
    with pytest.raises(FileNotFoundError) as ours:
        Path("/nowhere/at/all").read_bytes()
    assert trouble(ours.value) is None


@pytest.mark.parametrize("duty", ["serve", "worker"])
def test_a_process_that_finds_no_engines_says_what_to_do(bare: dict[str, str], duty: str) -> None:
    status, words = forecourt(bare, duty)
    assert status == 1
    assert "DATABASE_URL and VALKEY_URL" in words and "forecourt up" in words


def test_settings_that_cannot_be_right_are_all_named_at_once(bare: dict[str, str]) -> None:
    wrong = {"FORECOURT_ENV": "production", "FORECOURT_PORT": "many", "FORECOURT_SECRET_KEY": "changeme"}
    status, words = forecourt(bare | wrong, "serve")
    assert status == SET_UP_WRONGLY
    assert all(name in words for name in (*(wrong.keys() - {"FORECOURT_ENV"}), "FORECOURT_PUBLIC_URL")), words


def test_a_module_that_nobody_answers_or_that_does_not_exist_is_named(here: dict[str, str]) -> None:
    status, words = forecourt(here, "serve", "--port", "1024", "--modules", "booking")
    assert status == SET_UP_WRONGLY and "nobody answers" in words and "FORECOURT_PEERS" in words
    status, words = forecourt(here, "worker", "--modules", "bookings")
    assert status == SET_UP_WRONGLY and "there is no module bookings" in words


def test_migrations_are_listed_then_applied_then_nothing_is_left(fresh: dict[str, str]) -> None:
    files = sum(len(list(folder.glob("*.sql"))) for _, folder in migration_folders())
    assert f"{files} to apply" in forecourt(fresh, "migrate", "--dry-run")[1]
    assert f"Applied {files}" in forecourt(fresh, "migrate")[1]
    assert "Up to date." in forecourt(fresh, "migrate", "--dry-run")[1]


@pytest.fixture
def without_owner(here: dict[str, str]) -> dict[str, str]:
    """The installation as a container of `serve` knows it."""
    return {name: value for name, value in here.items() if name != "DATABASE_ADMIN_URL"}


def test_what_only_the_owner_of_the_database_may_do_says_so(without_owner: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "club.forecourt").write_bytes(gzip.compress(b'{"format":"forecourt organisation 1"'))
    commands = [["migrate"], ["migrate", "--dry-run"], ["demo"], ["org", "import", str(tmp_path / "club.forecourt")]]
    with ThreadPoolExecutor(4) as side_by_side:
        told = [side_by_side.submit(forecourt, without_owner, *command) for command in commands]
    cure = "Set DATABASE_ADMIN_URL to its owner's address."
    assert [done.result() for done in told] == [(1, f"forecourt_app owns nothing in this database. {cure}")] * 4


async def test_an_administrator_made_here_may_look_at_every_account(
    without_owner: dict[str, str], client: httpx.AsyncClient
) -> None:
    here, email = without_owner, f"root.{uuid4().hex[:8]}@example.org"
    environ = here | {"FORECOURT_ADMIN_PASSWORD": PASSWORD}
    status, words = await asyncio.to_thread(forecourt, environ, "account", "create-admin", email, "Ada Root")
    assert (status, f"{email} is a platform administrator." in words) == (0, True), words
    tokens = (await client.post("/v1/auth/login", json={"email": email, "password": PASSWORD})).json()
    as_admin = {"Authorization": f"Bearer {tokens['access_token']}"}
    assert (await client.get("/v1/admin/accounts", headers=as_admin)).status_code == 200
    status, words = await asyncio.to_thread(
        forecourt, here | {"FORECOURT_ADMIN_PASSWORD": "short"}, "account", "create-admin", f"x{email}"
    )
    assert status != 0 and "password" in words.lower()


def test_an_administrator_without_a_password_is_not_made(bare: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """No terminal to ask on, as in a container or from cron."""

    def nobody_there(_: str) -> str:
        raise EOFError

    monkeypatch.setattr("getpass.getpass", nobody_there)
    monkeypatch.delenv("FORECOURT_ADMIN_PASSWORD", raising=False)
    with pytest.raises(EngineError, match="FORECOURT_ADMIN_PASSWORD"):
        create_admin("ada@example.org", data=Path(bare["FORECOURT_DATA"]))
    assert not Path(bare["FORECOURT_DATA"]).exists(), "nothing was started for it"


def test_the_map_and_the_routing_table_tell_the_same_routes(bare: dict[str, str]) -> None:
    status, table = forecourt(bare, "gateway", "routes")
    assert status == 0
    pairs = re.findall(r"(\^\S+\$) (\w+)", table)
    assert pairs == [(route.pattern, route.module) for route in routing_table()]
    status, shown = forecourt(bare, "check", "--map")
    assert status == 0 and "in order" in shown
    assert all(route.path in shown for route in routing_table() if route.path.startswith("/v1/"))


def test_the_doctor_says_what_is_wrong_and_what_to_do(bare: dict[str, str]) -> None:
    status, words = forecourt(
        bare | {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing"}, "doctor", "--archive", "/nowhere"
    )
    assert status == 1 and "→" in words and "to mend" in words
    assert "no Archive directory /nowhere is not there. → Mount its disk" in words
