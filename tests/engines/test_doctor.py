"""The doctor names what is wrong and what to do, and is content where nothing is."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.engines.conftest import processes_of
from tests.ports import free_port

from forecourt.engines import start_engines
from forecourt.engines.doctor import Finding, examine, program


@pytest.fixture(name="free_port")
def a_free_port() -> int:
    return free_port()


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def by_name(findings: list[Finding]) -> dict[str, Finding]:
    assert len({finding.name for finding in findings}) == len(findings)
    return {finding.name: finding for finding in findings}


def faults(findings: list[Finding]) -> set[str]:
    for finding in findings:
        assert bool(finding.cure) is not finding.ok, finding  # a cure exactly where something is wrong
    return {finding.name for finding in findings if not finding.ok}


def test_a_healthy_machine_has_no_faults_and_nothing_is_started_or_made(data: Path, free_port: int) -> None:
    findings = examine(data, None, None, free_port)
    assert faults(findings) == set()
    assert "18." in by_name(findings)["PostgreSQL program"].detail
    assert "Valkey server v=9" in by_name(findings)["Valkey program"].detail
    assert processes_of(data) == {}
    assert not data.exists()


def test_secrets_that_others_may_read_are_named(data: Path, free_port: int) -> None:
    folder = data / "secrets"
    folder.mkdir(mode=0o700, parents=True)
    data.chmod(0o755)
    (folder / "forecourt_secret_key").write_text("x")
    assert faults(examine(data, None, None, free_port)) == set()
    folder.chmod(0o755)
    findings = examine(data, None, None, free_port)
    assert faults(findings) == {"Secrets"}
    assert f"chmod -R go= '{folder.resolve()}'" in by_name(findings)["Secrets"].cure


def test_a_taken_port_is_named(data: Path, taken_port: int) -> None:
    findings = examine(data, None, None, taken_port)
    assert faults(findings) == {"Port"}
    assert str(taken_port) in by_name(findings)["Port"].detail


def test_running_engines_are_asked_and_not_started_again(data: Path, taken_port: int) -> None:
    with start_engines(data):
        before = processes_of(data)
        findings = examine(data, None, None, taken_port)  # the port is taken by the Forecourt that runs here
        assert faults(findings) == set()
        seen = by_name(findings)
        assert str(os.getpid()) in seen["Lock"].detail
        assert seen["PostgreSQL"].detail == "Version 18."
        assert seen["PostgreSQL extensions"].ok
        assert seen["Valkey"].ok
        assert {pid for pid, name in processes_of(data).items() if name == "valkey-server"} <= set(before)


def test_outside_engines_that_cannot_be_reached_are_named_without_their_password(data: Path, free_port: int) -> None:
    database_url = f"postgresql://someone:s3cret@127.0.0.1:{free_port}/forecourt"
    valkey_url = f"valkey://:s3cret@127.0.0.1:{free_port}/0"
    findings = examine(data, database_url, valkey_url, free_port)
    assert faults(findings) == {"PostgreSQL", "Valkey"}
    assert "DATABASE_URL" in by_name(findings)["PostgreSQL"].cure
    assert "s3cret" not in str(findings)


@pytest.mark.parametrize("url", ["", "nonsense", "http://127.0.0.1/x", "postgresql://[broken", "postgresql://h:port/x"])
def test_an_address_that_is_none_is_a_finding_and_not_a_crash(data: Path, free_port: int, url: str) -> None:
    if url:
        assert faults(examine(data, url, url, free_port)) == {"PostgreSQL", "Valkey"}
    else:
        assert faults(examine(data, None, None, free_port)) == set()


def test_outside_engines_in_good_order_are_accepted(data: Path, free_port: int) -> None:
    with start_engines(data) as engines:
        elsewhere = data.with_name("elsewhere")
        findings = examine(elsewhere, engines.database_url, engines.valkey_url, free_port)
        assert faults(findings) == set()
        assert by_name(findings)["PostgreSQL extensions"].detail == "All there."


def test_a_directory_others_may_write_to_is_a_fault(data: Path, free_port: int) -> None:
    data.mkdir()
    data.chmod(0o777)
    assert faults(examine(data, None, None, free_port)) == {"Data directory"}
    data.chmod(0o755)
    assert faults(examine(data, None, None, free_port)) == set()


def test_a_file_in_place_of_the_directory_is_a_fault(data: Path, free_port: int) -> None:
    data.write_text("")
    findings = examine(data, None, None, free_port)
    assert faults(findings) == {"Data directory"}
    assert "is a file" in by_name(findings)["Data directory"].detail


def test_a_program_that_is_missing_or_broken_is_a_fault(tmp_path: Path) -> None:
    assert not program("Valkey program", lambda: tmp_path / "absent").ok
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho no such library >&2\nexit 127\n")
    broken.chmod(0o755)
    found = program("Valkey program", lambda: broken)
    assert not found.ok
    assert "no such library" in found.detail
    assert program("Echo", lambda: Path("/bin/echo")).ok
