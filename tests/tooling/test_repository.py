"""What must be true of the repository itself: its locks, its migrations' names, the files a wheel carries."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from forecourt.kernel.migrate import MigrationError, read_migrations

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "forecourt"
LOCKS = ("requirements.lock", "requirements-dev.lock")
# In two halves, or this file would be the one that names them.
REGISTRY_HOSTS = tuple(
    "".join(halves) for halves in [("pypi", ".org"), ("python", "hosted.org"), ("npmjs", ".org"), ("deb.debian", ".org")]
)

_PIN = re.compile(
    r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s;]+)(?P<marker> ;[^\\]*)? ?(?P<hashes>(\\\n +--hash=sha256:[0-9a-f]{64} ?)+)$",
    re.MULTILINE,
)


def pins(lock: str) -> dict[str, set[Version]]:
    """Every pinned version by name; a name has several when they differ by Python version."""
    found: dict[str, set[Version]] = {}
    for match in _PIN.finditer(lock):
        found.setdefault(canonicalize_name(match["name"]), set()).add(Version(match["version"]))
    return found


def unpinned(requirements: list[str], lock: str) -> list[str]:
    pinned = pins(lock)
    return [
        text
        for text in requirements
        if not (versions := pinned.get(canonicalize_name(Requirement(text).name)))
        or not all(Requirement(text).specifier.contains(version, prereleases=True) for version in versions)
    ]


def project() -> dict[str, list[str]]:
    table = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return {
        "runtime": table["project"]["dependencies"],
        **table["project"]["optional-dependencies"],
        "build-system": table["build-system"]["requires"],
    }


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_names_no_place(name: str) -> None:
    lock = (ROOT / name).read_text()
    assert not re.findall(r"https?:|file:|^\s*-(?!-hash)", lock, re.MULTILINE)


@pytest.mark.parametrize("name", LOCKS)
def test_every_line_of_a_lock_is_a_pin_with_hashes(name: str) -> None:
    lock = (ROOT / name).read_text()
    assert _PIN.sub("", lock).strip() == ""


def test_a_pin_without_a_hash_is_not_taken_for_one() -> None:
    assert pins("anyio==4.1\n") == {}
    assert pins("anyio==4.1 \\\n    --hash=sha256:" + "0" * 64 + "\n") == {"anyio": {Version("4.1")}}


def test_the_locks_cover_every_dependency() -> None:
    wanted = project()
    runtime = (ROOT / "requirements.lock").read_text()
    tools = (ROOT / "requirements-dev.lock").read_text()
    installed = [*wanted["runtime"], *wanted["engines"], *wanted["build"]]
    assert unpinned([*installed, *wanted["build-system"]], runtime) == []
    assert unpinned([*installed, *wanted["dev"]], tools) == []


def test_a_dependency_outside_the_lock_is_noticed() -> None:
    lock = "anyio==4.1 \\\n    --hash=sha256:" + "0" * 64 + "\n"
    assert unpinned(["anyio>=4", "anyio>=5", "attrs"], lock) == ["anyio>=5", "attrs"]


def test_the_tools_run_beside_the_versions_that_are_shipped() -> None:
    runtime, tools = (pins((ROOT / name).read_text()) for name in LOCKS)
    assert runtime.items() <= tools.items()
    assert tools.keys() > runtime.keys()


def migration_folders() -> list[Path]:
    return sorted(folder for folder in PACKAGE.glob("**/migrations") if any(folder.iterdir()))


def test_migrations_are_numbered_without_gaps() -> None:
    for folder in migration_folders():
        files = sorted(path.name for path in folder.iterdir() if path.suffix == ".sql")
        assert len(read_migrations(folder.parent.name, folder)) == len(files) > 0


@pytest.mark.parametrize("names", [["0001_a.sql", "0003_b.sql"], ["0001_a.sql", "0001_b.sql"], ["1_a.sql"], ["0001-a.sql"]])
def test_a_gap_a_twin_or_a_bad_name_is_refused(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        (tmp_path / name).write_text("select 1;")
    with pytest.raises(MigrationError):
        read_migrations("venues", tmp_path)


def files_of_the_repository() -> list[Path]:
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    return [ROOT / name for name in names if name and (ROOT / name).is_file()]


def names_a_registry(text: bytes) -> bool:
    return any(host.encode() in text for host in REGISTRY_HOSTS)


def test_no_file_names_a_package_registry() -> None:
    files = files_of_the_repository()
    assert ROOT / "pyproject.toml" in files
    assert [path for path in files if names_a_registry(path.read_bytes())] == []


def test_a_registry_in_a_file_would_be_found() -> None:
    assert all(names_a_registry(f"--index-url=https://{host}/simple".encode()) for host in REGISTRY_HOSTS)


@pytest.mark.slow
def test_a_wheel_carries_every_file_of_the_package(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in ("pyproject.toml", "LICENSE", "README.md"):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, source)
    shutil.copytree(PACKAGE, source / "src" / "forecourt", ignore=shutil.ignore_patterns("__pycache__"))
    wanted = {path.relative_to(source / "src").as_posix() for path in (source / "src").rglob("*") if path.is_file()}

    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
        "-w",
        tmp_path,
        source,
    ]
    subprocess.run(build, check=True, timeout=120)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        carried = set(archive.namelist())
    assert wanted - carried == set(), "name the file's kind under [tool.setuptools.package-data]"
    assert any(name.endswith("/LICENSE") for name in carried)


def system_packages(folder: Path, present: list[str], ci: str) -> subprocess.CompletedProcess[str]:
    """tools/system-packages as someone who is not root, on a machine that has `present`."""
    for tool in ("bash", "env"):
        (folder / tool).symlink_to(str(shutil.which(tool)))
    for name, text in {"id": "echo 1000", **dict.fromkeys(present, "true")}.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
    # The script looks in the system's own folders as well; an empty root keeps this machine's programs out of sight.
    script = (ROOT / "tools" / "system-packages").read_text().replace(":/usr/sbin:/usr/local/sbin", "")
    environment = {"PATH": str(folder), "CI": ci}
    return subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize(
    ("present", "expression"),
    [
        ([], "not browser and not haproxy and not prometheus"),
        (["chromium", "promtool", "amtool", "ip"], "not haproxy"),
        (["haproxy", "promtool", "amtool", "ip"], "not browser"),
        (["chromium", "haproxy", "amtool", "ip"], "not prometheus"),
        (["chromium", "haproxy", "promtool", "ip"], "not prometheus"),
        (["chromium", "haproxy", "promtool", "amtool", "ip"], ""),
    ],
)
def test_only_the_tests_of_a_missing_program_are_left_out_and_it_says_so(
    tmp_path: Path, present: list[str], expression: str
) -> None:
    done = system_packages(tmp_path, present, ci="")
    assert (done.returncode, done.stdout.strip()) == (0, expression)
    assert ("NOT TESTED" in done.stderr) == bool(expression)


def test_network_hosts_leave_themselves_out_and_it_says_so(tmp_path: Path) -> None:
    done = system_packages(tmp_path, ["chromium", "haproxy", "promtool", "amtool"], ci="")
    assert (done.returncode, done.stdout.strip()) == (0, "")
    assert "NOT TESTED: iproute2" in done.stderr


def test_ci_refuses_to_test_less(tmp_path: Path) -> None:
    done = system_packages(tmp_path, ["chromium", "amtool"], ci="true")
    assert done.returncode == 1
    assert "haproxy prometheus iproute2." in done.stderr


SOME_TESTS = """
import pytest

@pytest.mark.skipif(True, reason="only root may")
def test_asks_a_condition(): ...

def test_finds_out():
    pytest.skip("no such program")

@pytest.mark.xfail
def test_is_known_to_fail():
    assert False

def test_passes(): ...
"""


@pytest.mark.parametrize(("no_skips", "outcome"), [("true", {"failed": 1, "error": 1}), ("", {"skipped": 2})])
def test_no_test_is_skipped_where_all_can_run_and_elsewhere_it_is_said_which(
    tmp_path: Path, no_skips: str, outcome: dict[str, int]
) -> None:
    (tmp_path / "test_some.py").write_text(SOME_TESTS)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    bare = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""}  # what others bring takes seconds to import
    environment = os.environ | bare | {"NO_SKIPS": no_skips, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "pytest", "-p", "tests.strict", "-rsf", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=60)
    counted = {word: int(number) for number, word in re.findall(r"(\d+) (passed|failed|skipped|xfailed|error)", done.stdout)}
    assert counted == {"passed": 1, "xfailed": 1, **outcome}, done.stdout
    assert done.returncode == (1 if no_skips else 0)
    assert "only root may" in done.stdout and "no such program" in done.stdout


def test_what_drives_the_tests_imports_that_rule() -> None:
    """Or it would hold for nobody."""
    from tests import conftest, strict

    assert conftest.pytest_runtest_makereport is strict.pytest_runtest_makereport


def test_make_lists_its_targets() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    listing = subprocess.run(["make"], cwd=ROOT, env=environment, capture_output=True, text=True, check=True, timeout=60).stdout
    assert {"setup", "up", "test", "check", "demo", "bench", "fmt"} <= set(re.findall(r"^  make (\S+)", listing, re.MULTILINE))
