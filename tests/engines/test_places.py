"""Data directories in awkward places, and under awkward users."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest
import valkey
from tests.engines.conftest import RunProgram, eventually, processes_of

from forecourt.engines import EngineError, start_engines
from forecourt.engines.engines import SOCKET_DIRECTORY_LIMIT_BYTES, socket_place

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="changes users, which only root may do")
ORDINARY = 65534  # a user with a name on every system
NAMELESS = 54321
START_ITSELF = "import subprocess, sys; sys.exit(sys.version_info < (3, 11) or subprocess.call([sys.executable, '-c', '']))"
NO_NAMESPACES = """
import ctypes, os
from pathlib import Path
# A user namespace with all users in it, which allows no further ones: what many containers look like to root.
def nest():
    libc = ctypes.CDLL(None)
    ready, go = os.pipe(), os.pipe()
    if (child := os.fork()) == 0:
        assert libc.unshare(0x10000000) == 0
        os.write(ready[1], b"x"); os.read(go[0], 1)
        os.setgroups([]); os.setgid(0); os.setuid(0)
        Path("/proc/sys/user/max_user_namespaces").write_text("0")
        libc.prctl(1, 9, 0, 0, 0)
        return
    os.read(ready[0], 1)
    Path(f"/proc/{child}/uid_map").write_text("0 0 4294967295")
    Path(f"/proc/{child}/gid_map").write_text("0 0 4294967295")
    os.write(go[1], b"x")
    try:
        os.waitpid(child, 0)
    except KeyboardInterrupt:
        import signal
        os.kill(child, signal.SIGINT)
        os.waitpid(child, 0)
    os._exit(0)
nest()
"""


async def answer(database_url: str, valkey_url: str) -> int:
    with valkey.Valkey.from_url(valkey_url) as link:
        assert link.ping()
    link = await asyncpg.connect(database_url)
    try:
        return await link.fetchval("select 42")
    finally:
        await link.close()


@pytest.mark.parametrize(
    "name",
    ["with a space", "čeština-ñ-日本", 'it\'s "quoted", 100% & more', "long-" + "x" * 200, "-dash"],
    ids=["space", "non-ascii", "punctuation", "long", "dash"],
)
async def test_engines_run_in_a_directory_with_an_awkward_name(data: Path, name: str) -> None:
    place = data / name
    with start_engines(place) as engines:
        sockets = socket_place(place.resolve())
        assert await answer(engines.database_url, engines.valkey_url) == 42
        assert (place / "pg" / "PG_VERSION").exists()
        assert sockets.stat().st_mode & 0o777 == 0o700
        engines.restart("valkey")
        assert await answer(engines.database_url, engines.valkey_url) == 42
    assert sockets.parent == place or not sockets.exists()


@pytest.mark.parametrize(("spare", "inside"), [(0, True), (-1, False)])
async def test_sockets_lie_in_the_data_directory_as_long_as_their_address_fits(data: Path, spare: int, inside: bool) -> None:
    room = SOCKET_DIRECTORY_LIMIT_BYTES - spare - len(os.fsencode(data)) - len("//run")
    place = data / ("x" * room)
    assert (socket_place(place) == place / "run") is inside
    with start_engines(place) as engines:
        assert await answer(engines.database_url, engines.valkey_url) == 42


def test_two_directories_never_share_a_place_for_sockets(data: Path) -> None:
    assert socket_place(data / "a b") != socket_place(data / "a c")
    assert socket_place(data / "a b") == socket_place(data / "a b")


def test_a_place_for_sockets_that_somebody_else_prepared_is_refused(data: Path, tmp_path: Path) -> None:
    place = socket_place(data / "a b")
    place.symlink_to(tmp_path)
    try:
        with pytest.raises(EngineError, match="belongs to somebody else"):
            start_engines(data / "a b")
    finally:
        place.unlink()
    start_engines(data / "a b", database_url="postgresql://elsewhere/x").stop()


def test_a_data_directory_that_is_a_file_is_refused_in_plain_words(data: Path) -> None:
    data.write_text("")
    with pytest.raises(EngineError, match="cannot be used: File exists"):
        start_engines(data)


def test_a_directory_of_other_files_is_not_taken_for_a_database(data: Path) -> None:
    (data / "pg").mkdir(parents=True)
    (data / "pg" / "thesis.txt").write_text("dear")
    with pytest.raises(EngineError, match="not a PostgreSQL data directory"):
        start_engines(data)
    assert (data / "pg" / "thesis.txt").read_text() == "dear"
    assert processes_of(data) == {}


def test_data_of_another_version_is_refused_and_left_alone(data: Path) -> None:
    (data / "pg").mkdir(parents=True)
    (data / "pg" / "PG_VERSION").write_text("17\n")
    with pytest.raises(EngineError, match="written by PostgreSQL 17"):
        start_engines(data)
    assert [path.name for path in (data / "pg").iterdir()] == ["PG_VERSION"]


def test_what_an_interrupted_preparation_left_is_cleared_away(data: Path) -> None:
    (data / "pg.unfinished" / "base").mkdir(parents=True)
    (data / "pg.unfinished" / "PG_VERSION").write_text("18\n")
    start_engines(data, valkey_url="valkey://elsewhere").stop()
    assert not (data / "pg.unfinished").exists()
    assert (data / "pg" / "global" / "pg_control").exists()


def owners(data: Path) -> set[int]:
    return {path.lstat().st_uid for path in data.rglob("*")}


def users(data: Path) -> set[int]:
    return {
        Path(f"/proc/{pid}").stat().st_uid for pid, name in processes_of(data).items() if name in ("postgres", "valkey-server")
    }


def python_for_everyone() -> str:
    """An interpreter that an ordinary user may run; ours may live in root's home."""
    for python in (sys.executable, "/usr/bin/python3", shutil.which("python3", path="/usr/local/bin:/usr/bin")):
        probe = ["setpriv", f"--reuid={ORDINARY}", "--clear-groups", str(python), "-c", START_ITSELF]
        if python and subprocess.run(probe, check=False, capture_output=True).returncode == 0:
            return str(python)
    pytest.skip("no Python 3.11 that an ordinary user may run")


@as_root
@pytest.mark.parametrize("user", [ORDINARY, NAMELESS])
async def test_an_ordinary_user_runs_the_engines_as_itself(data: Path, run_program: RunProgram, user: int) -> None:
    data.mkdir()
    os.chown(data, user, user)
    prefix = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"]
    program = run_program(data, prefix=prefix, python=python_for_everyone())
    assert await answer(*program.addresses()) == 42
    assert users(data) == {user}
    assert owners(data) == {user}
    program.kill()
    assert eventually(lambda: not processes_of(data)), processes_of(data)
    again = run_program(data, prefix=prefix, python=python_for_everyone())
    assert await answer(*again.addresses()) == 42
    assert again.interrupt() == "interrupted\n"


@as_root
def test_an_ordinary_user_is_told_when_the_directory_is_not_writable(data: Path, run_program: RunProgram) -> None:
    data.mkdir(mode=0o755)
    program = run_program(data, prefix=["setpriv", f"--reuid={ORDINARY}", "--clear-groups"], python=python_for_everyone())
    assert program.first_line() == f"refused: The data directory {data} cannot be used: permission denied."


@as_root
@pytest.mark.parametrize("user", [ORDINARY, NAMELESS])
async def test_root_works_as_the_owner_in_an_ordinary_users_directory(data: Path, run_program: RunProgram, user: int) -> None:
    data.mkdir()
    os.chown(data, user, user)
    program = run_program(data)
    assert await answer(*program.addresses()) == 42
    assert users(data) == {user}
    assert owners(data) == {user}  # or the user could not start again without root
    program.kill()
    assert eventually(lambda: not processes_of(data)), processes_of(data)


@as_root
async def test_root_owns_everything_where_user_namespaces_are_allowed(data: Path) -> None:
    with start_engines(data) as engines:
        assert await answer(engines.database_url, engines.valkey_url) == 42
        assert owners(data) == {0}


@as_root
async def test_root_without_user_namespaces_steps_down_and_takes_the_data_along(data: Path, run_program: RunProgram) -> None:
    with start_engines(data) as engines:  # made where namespaces were allowed
        link = await asyncpg.connect(engines.database_url)
        await link.execute("create table kept as select 42 as answer")
        await link.close()
    program = run_program(data, preamble=NO_NAMESPACES)
    database_url, valkey_url = program.addresses()
    assert await answer(database_url, valkey_url) == 42
    link = await asyncpg.connect(database_url)
    assert await link.fetchval("select answer from kept") == 42
    await link.close()
    assert users(data) == {65534}
    assert {path.lstat().st_uid for path in (data / "pg").rglob("*")} == {65534}
    program.kill()
    assert eventually(lambda: not processes_of(data)), processes_of(data)


@as_root
def test_a_user_without_a_name_and_without_namespaces_is_told_so(data: Path, run_program: RunProgram) -> None:
    data.mkdir()
    os.chown(data, NAMELESS, NAMELESS)
    program = run_program(data, preamble=NO_NAMESPACES)
    assert program.first_line() == f"refused: User {NAMELESS} has no name on this system, and PostgreSQL needs one."


@as_root
async def test_root_without_user_namespaces_reaches_data_in_a_closed_home(data: Path, run_program: RunProgram) -> None:
    home = data / "root"
    home.mkdir(mode=0o700, parents=True)
    program = run_program(home / "var", preamble=NO_NAMESPACES)
    assert await answer(*program.addresses()) == 42
    assert users(home) == {65534}


def test_a_database_that_could_not_be_made_is_told_of_and_made_at_the_next_start(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a disk that was full, say: the server's files were whole, and the next start took them for a database."""
    with monkeypatch.context() as broken:
        broken.setattr("forecourt.engines.postgres.DATABASE", "template1")  # which is there already
        with pytest.raises(EngineError, match="Creating the database failed") as refused, start_engines(data):
            pass
        assert "already exists" in str(refused.value) and not (data / "pg").exists()
    start_engines(data, valkey_url="valkey://elsewhere").stop()
    assert (data / "pg" / "PG_VERSION").exists()
