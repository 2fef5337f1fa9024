"""deploy/compose on real engines: the settings that it gives them, who may connect, and that its archive can be restored."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

import asyncpg
import pytest
from tests.deploy.charting import named, render
from tests.deploy.composing import COMPOSE, production
from tests.deploy.test_compose import inside
from tests.engines.conftest import memory_disk, unmeasured
from valkey.asyncio import Valkey
from valkey.exceptions import ConnectionError

from forecourt import backups
from forecourt.backups import arrived
from forecourt.cli import app
from forecourt.engines import EngineError, Engines, backup, start_engines
from forecourt.engines import postgres as embedded
from forecourt.engines.sealing import make_identity
from forecourt.engines.valkey import binary
from forecourt.engines.valkey import settings_for as valkey_settings_for
from forecourt.kernel.migrate import APP_ROLE, MigrationError, admit, migrate, scram_verifier
from forecourt.layout import migration_folders

SIZES = {"shared_buffers", "effective_cache_size", "work_mem", "maintenance_work_mem", "max_connections", "max_wal_size"}
"""What depends on the machine."""
WHILE_TESTING = {"fsync": "off", "max_wal_senders": "10"}


def postgres_settings() -> dict[str, str]:
    """What compose.production.yaml gives to its server."""
    program, *arguments = production()["services"]["postgres"]["command"]
    assert program == "postgres" and all(argument.startswith("-c") for argument in arguments)
    return dict(argument.removeprefix("-c").partition("=")[::2] for argument in arguments)


@pytest.fixture(scope="module")
def disk() -> Iterator[Path]:
    """In memory where that has room: nobody loses power here."""
    with tempfile.TemporaryDirectory(prefix="fc-test-", dir=memory_disk()) as place:
        yield Path(place)


@pytest.fixture(scope="module")
def engines(disk: Path) -> Iterator[Engines]:
    """The embedded server, set up as the one in the container."""
    place = disk / "compose"
    place.mkdir()
    rules = place / "pg_hba.conf"
    # TCP, where the file asks for passwords and lets the archive in, is not open here: the socket stands for it.
    asked = "".join(f"local all {login} scram-sha-256\n" for login in (APP_ROLE, OWNER))
    here = f"{asked}local replication {OWNER} scram-sha-256\n"
    rules.write_text(here + (COMPOSE / "pg_hba.conf").read_text())
    for folder in (place, *place.parents):
        if folder.stat().st_mode & 0o001 == 0 and folder.owner() == "root":
            folder.chmod(0o711)  # the server may run as somebody else
    settings = postgres_settings() | {"hba_file": str(rules)} | WHILE_TESTING
    with start_engines(place / "var", postgres_settings=settings) as running:
        yield running


def test_the_server_is_set_up_as_the_embedded_one_is() -> None:
    ours = embedded.settings_for(8 * 2**30, 4) | embedded.settings_here()
    theirs = postgres_settings()
    assert set(ours) - {"fsync", "full_page_writes", "synchronous_commit", "dynamic_shared_memory_type"} - set(theirs) == {
        "max_parallel_workers",
        "max_parallel_workers_per_gather",
        "max_worker_processes",
    }
    same = {name for name in ours if name in theirs and name not in SIZES}
    assert {name: theirs[name] for name in same} == {name: ours[name] for name in same}


async def test_it_takes_every_setting_and_every_rule_about_who_may_connect(engines: Engines) -> None:
    connection = await asyncpg.connect(engines.database_url)
    try:
        asked = "select name from pg_settings where source = 'command line'"
        assert set(postgres_settings()) - {"hba_file"} <= {row["name"].lower() for row in await connection.fetch(asked)}
        assert await rule_faults(connection) == []
    finally:
        await connection.close()


async def rule_faults(connection: asyncpg.Connection) -> list[str]:
    """What the server says of pg_hba.conf as it stands, and who of the network comes in without a password, or not at all."""
    rules = await connection.fetch("select type, database, user_name, address, auth_method, error from pg_hba_file_rules")
    found = [rule["error"] for rule in rules if rule["error"] is not None]
    network = [rule for rule in rules if rule["type"] != "local" and rule["error"] is None]
    found += [f"{rule['auth_method']} for {rule['user_name']}" for rule in network if rule["auth_method"] != "scram-sha-256"]
    found += [f"{rule['address']} may knock" for rule in network if rule["address"] != "samenet"]
    who = sorted((rule["database"], rule["user_name"]) for rule in network)
    if who != [(["all"], ["all"]), (["replication"], ["forecourt"])]:
        found.append(f"it is for {who}")
    return found


async def test_a_rule_that_cannot_be_or_lets_anybody_in_is_found(engines: Engines) -> None:
    connection = await asyncpg.connect(engines.database_url)
    rules = Path(await connection.fetchval("show hba_file"))
    right = rules.read_text()
    try:
        for before, after, said in [
            ("samenet scram-sha-256", "samenet scram-sha256", 'invalid authentication method "scram-sha256"'),
            ("samenet scram-sha-256", "samenet trust", "trust for ['all']"),
            ("host all all samenet", "host all all all", "all may knock"),
            ("host replication forecourt", "host replication forecurt", "it is for"),
            ("host replication", "hst replication", "invalid connection type"),
        ]:
            assert before in right
            rules.write_text(right.replace(before, after, 1))  # the server reads it anew when the view is asked, and only then
            assert any(said in fault for fault in await rule_faults(connection)), (after, await rule_faults(connection))
    finally:
        rules.write_text(right)
        await connection.close()


async def test_the_charts_rules_let_in_the_owner_and_the_program_over_tls_and_nobody_else(engines: Engines) -> None:
    """The operator puts its own in front, for itself and for replicas."""
    (cluster,) = named(render(postgres={"enabled": True, "backup": {"enabled": False}}), "Cluster")
    connection = await asyncpg.connect(engines.database_url)
    place = Path(await connection.fetchval("show hba_file"))
    compose = place.read_text()
    try:
        place.write_text("\n".join(["local all all trust", *cluster["spec"]["postgresql"]["pg_hba"]]))
        rules = await connection.fetch("select type, database, user_name, address, auth_method, error from pg_hba_file_rules")
    finally:
        place.write_text(compose)
        await connection.close()
    # The embedded server is built without TLS, and says that such a rule is of no use to it.
    assert [rule["error"] for rule in rules if rule["error"] and "because SSL is" not in rule["error"]] == []
    owner = cluster["spec"]["bootstrap"]["initdb"]["owner"]
    assert [tuple(rule)[:5] for rule in rules[1:]] == [
        ("hostssl", ["forecourt"], [owner, APP_ROLE], "all", "scram-sha-256"),
        ("host", ["all"], ["all"], "all", "reject"),
    ]


@contextlib.contextmanager
def running(*command: str | Path, environ: Mapping[str, str] | None = None, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as said:
        process = subprocess.Popen(command, env=environ, stdout=said, stderr=said, stdin=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


async def test_valkey_takes_its_options_and_wants_its_password(secrets: Path, tmp_path: Path) -> None:
    program, conf, *options = production()["services"]["valkey"]["command"]
    assert (program, conf) == ("valkey-server", "/run/secrets/valkey_conf")
    ours = valkey_settings_for(8 * 2**30)
    here = ["--port", "0", "--unixsocket", str(tmp_path / "v.sock"), "--dir", str(tmp_path)]
    log = tmp_path / "log"
    with running(binary(), secrets / "valkey_conf", *options, *here, log=log) as process:
        until = time.monotonic() + 20
        while not (tmp_path / "v.sock").exists():
            assert process.poll() is None and time.monotonic() < until, log.read_text()
            await asyncio.sleep(0.01)
        password = urlsplit((secrets / "valkey_url").read_text().strip()).password
        async with Valkey(unix_socket_path=str(tmp_path / "v.sock")) as stranger:
            with pytest.raises(ConnectionError, match="Authentication required"):
                await stranger.ping()
        async with Valkey(unix_socket_path=str(tmp_path / "v.sock"), password=password, decode_responses=True) as valkey:
            for name in ("save", "appendonly", "maxmemory-policy"):
                assert (await valkey.config_get(name))[name] == ours[name]


async def test_the_program_gets_its_password_once_and_again_when_it_is_changed(engines: Engines) -> None:
    admin = await asyncpg.connect(engines.database_url)
    await admin.execute(f"create role {APP_ROLE} login")
    await admin.close()
    parts = urlsplit(engines.database_url)
    first, second = (
        urlunsplit(parts._replace(netloc=f"{APP_ROLE}:{quote(word)}@")) for word in ("one 'quoted' % word", "another word")
    )
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(first)
    assert await admit(engines.database_url, first)
    await (await asyncpg.connect(first)).close()
    assert not await admit(engines.database_url, first), "it is let in already"
    assert not await admit(engines.database_url, engines.database_url), "that is somebody else"
    assert await admit(engines.database_url, second)
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(first)
    with pytest.raises(MigrationError):
        scram_verifier("ﬁve", b"salt")


OWNER = "keeper"
PASSWORD = "a/b c%q:Zk3vN8wLr2"


@pytest.fixture(scope="module")
def owner_url(engines: Engines) -> str:
    """The address of a superuser who needs a password, as the owner in its container does."""
    statement = f"create role {OWNER} superuser login password '{PASSWORD}'"
    asyncio.run(execute(engines.database_url, statement))
    asyncio.run(migrate(engines.database_url, [folder for folder in migration_folders() if folder[0] == "kernel"]))
    return urlunsplit(urlsplit(engines.database_url)._replace(netloc=f"{OWNER}:{quote(PASSWORD, safe='')}@"))


async def execute(url: str, statement: str) -> None:
    link = await asyncpg.connect(url)
    try:
        await link.execute(statement)
    finally:
        await link.close()


@dataclass(frozen=True)
class Site:
    """What the containers `archive` and `backup` find, on this machine."""

    folder: Path
    environ: Mapping[str, str]

    @property
    def archive(self) -> Path:
        return self.folder / "archive"

    @property
    def identity(self) -> Path:
        return self.folder / "identity"

    def command(self, service: str) -> list[str]:
        """As compose starts it, in a place of this test's. The hour is far from now: nothing happens by chance."""
        found = {"/archive": str(self.archive), "3": str((datetime.now(UTC).hour + 12) % 24)}
        told = production()["services"][service]["command"]
        return [sys.executable, "-m", "forecourt", *(found.get(word, word) for word in told)]

    def once(self, keep: int = 7) -> None:
        """`docker compose exec backup forecourt backup /archive`, in this process."""
        told = {name: self.environ[f"FORECOURT_{name}"] for name in ("DATA", "ARCHIVE_FILES")}
        readers = tuple(self.environ.get("FORECOURT_ARCHIVE_RECIPIENTS", "").split())
        plain = self.environ.get("FORECOURT_ARCHIVE_UNENCRYPTED") == "true"
        backups.take(
            self.archive,
            data=Path(told["DATA"]),
            keep=keep,
            files=Path(told["ARCHIVE_FILES"]),
            archive_recipient=readers,
            archive_unencrypted=plain,
        )


@pytest.fixture
def site(owner_url: str, secrets: Path, disk: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], Site]:
    """The containers' mounts and settings; encrypted for the identity `identity`, or said to be readable."""

    def made(encrypted: bool) -> Site:
        place = Path(tempfile.mkdtemp(dir=disk))
        (place / "house" / "media" / ".incoming").mkdir(parents=True)
        (place / "house" / "media" / "photo").write_bytes(b"court one")
        (place / "house" / "media" / ".incoming" / "half").write_bytes(b"half")
        (place / "url").write_text(f"{owner_url}\n")
        recipient = make_identity(place / "identity", "2026-11-22")
        told = inside(production(), "backup", secrets) | {
            "DATABASE_ADMIN_URL_FILE": str(place / "url"),
            "FORECOURT_ARCHIVE_FILES": str(place / "house"),
            "FORECOURT_DATA": str(place / "memory"),
            **({"FORECOURT_ARCHIVE_RECIPIENTS": recipient} if encrypted else {"FORECOURT_ARCHIVE_UNENCRYPTED": "true"}),
        }
        for name, value in told.items():
            monkeypatch.setenv(name, value)
        return Site(place, {**unmeasured(), **told})

    return made


@pytest.mark.parametrize("encrypted", [True, False])
async def test_its_archive_is_one_that_restore_reads(
    encrypted: bool, engines: Engines, site: Callable[[bool], Site], secrets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The services `archive` and `backup` as compose starts them, against the real server, until they are told to stop."""
    house = site(encrypted)
    started = list[str]()
    monkeypatch.setattr(subprocess, "Popen", remembering(started))
    link = await asyncpg.connect(engines.database_url)
    try:
        await link.execute("create table public.proof (word text)")
        with (
            running(*house.command("archive"), environ=house.environ, log=house.folder / "archive.log") as stream,
            running(*house.command("backup"), environ=house.environ, log=house.folder / "backup.log") as daily,
        ):
            await until_streamed(link, stream, house.folder / "archive.log")
            first = await until_noted(link, daily, house.folder / "backup.log")
            with backup.alone(house.archive), pytest.raises(EngineError, match="is being made in"):
                await asyncio.to_thread(house.once)
            await link.execute("insert into public.proof values ('before the second copy')")
            await another_second(house.archive / "base")
            await asyncio.to_thread(house.once, keep=1)
            (made,) = backup.bases(house.archive)  # the first has made room
            noted = await link.fetchrow("select c.finished_at, c.size_bytes from kernel.last_copy c")
            assert noted is not None and first < noted[0] and tuple(noted) == (made.finished, made.size_bytes)
            await link.execute("insert into public.proof values ('after every copy')")
            await arrived(link)
            seen = "\0".join([*started, *everybodys_command_lines()])
            assert "pg_receivewal" in seen and "pg_basebackup" in seen and f"{OWNER}@" in seen
            for process in (stream, daily):
                process.send_signal(signal.SIGTERM)
                assert process.wait(20) == 0
    finally:
        await link.execute("drop table public.proof; delete from kernel.last_copy")
        await link.execute("select pg_drop_replication_slot(slot_name) from pg_replication_slots where not active")
        await link.close()
    said = "".join((house.folder / f"{service}.log").read_text() for service in ("archive", "backup"))
    assert f"is in {house.archive}" in said
    for secret in (PASSWORD, quote(PASSWORD, safe="")):
        assert secret not in seen and secret not in said
    everything = b"".join(str(file).encode() + file.read_bytes() for file in house.archive.rglob("*") if file.is_file())
    assert (b"court one" in everything, "not encrypted" in said) == (not encrypted, not encrypted)
    assert b"half" not in everything

    back = house.folder / "restored"
    await asyncio.to_thread(backup.restore, house.archive, back, identity=house.identity if encrypted else None)
    with start_engines(back, valkey_url=engines.valkey_url) as restored:
        link = await asyncpg.connect(restored.database_url)
        try:
            rows = await link.fetch("select word from public.proof order by word")
        finally:
            await link.close()
    assert [row["word"] for row in rows] == ["after every copy", "before the second copy"]
    assert (back / "media" / "photo").read_bytes() == b"court one"
    # What opens what the house has sealed comes along where nobody else can read it.
    key = back / "secrets" / "forecourt_secret_key"
    assert (key.read_text() if key.exists() else None) == ((secrets / "secret_key").read_text().strip() if encrypted else None)


def remembering(started: list[str]) -> type[subprocess.Popen[bytes]]:
    """What starts programs, and keeps their command lines in `started`."""

    class Remembering(subprocess.Popen[bytes]):
        def __init__(self, args: Sequence[str | Path], *more: Any, **named: Any) -> None:
            started.extend(map(str, args))
            super().__init__(args, *more, **named)

    return Remembering


def everybodys_command_lines() -> Iterator[str]:
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            yield (process / "cmdline").read_text(errors="replace")


async def another_second(copies: Path) -> None:
    """Copies are called by the second in which they began."""
    while f"{datetime.now(UTC):{backup.NAME_FORMAT}}" in {path.name for path in copies.iterdir()}:
        await asyncio.sleep(0.02)


async def until_streamed(link: asyncpg.Connection, process: subprocess.Popen[bytes], log: Path) -> None:
    """The server knows of the stream, whichever of the two it is."""
    streamed = (
        "select count(*) from pg_stat_replication r where r.state = 'streaming'"
        " and (r.application_name = 'pg_receivewal' or r.application_name like 'forecourt\\_archive.%')"
    )
    for _ in range(1200):
        assert process.poll() is None, log.read_text()
        if await link.fetchval(streamed):
            return
        await asyncio.sleep(0.05)
    raise AssertionError(log.read_text())


async def until_noted(link: asyncpg.Connection, process: subprocess.Popen[bytes], log: Path) -> datetime:
    """When the first copy was finished."""
    for _ in range(1200):
        assert process.poll() is None, log.read_text()
        if (noted := await link.fetchval("select c.finished_at from kernel.last_copy c")) is not None:
            return noted
        await asyncio.sleep(0.05)
    raise AssertionError(log.read_text())


def test_an_archive_of_another_house_stays_as_it_is(site: Callable[[bool], Site], monkeypatch: pytest.MonkeyPatch) -> None:
    """As a server on an empty volume finds it. The copies and the log tell whose it is, each alone."""
    house = site(False)
    house.once()
    (made,) = backup.bases(house.archive)
    earlier = Path(shutil.copytree(made.path, made.path.with_name("20260101T030000Z")))
    for base in (earlier, made.path):
        manifest = base / "copy" / "backup_manifest"
        manifest.write_text(re.sub(r'("System-Identifier": )(\d)', r"\g<1>1\2", manifest.read_text()))
    monkeypatch.setattr(os, "execve", refuse_to_become)
    for _ in range(2):
        with pytest.raises(EngineError, match="is the archive of another house"):
            house.once(keep=1)
        with pytest.raises(EngineError, match="is the archive of another house"):
            backups.stream(house.archive, data=house.folder / "memory", archive_unencrypted=True)
        if len(backup.bases(house.archive)) == 2:
            shutil.rmtree(house.archive / "base")
            head = bytearray(40)
            head[24] = 1
            (house.archive / "wal" / "000000010000000000000009").write_bytes(head)
    assert [path.name for path in (house.archive / "wal").iterdir()] == ["000000010000000000000009"]


def refuse_to_become(*_: object) -> None:
    raise AssertionError("it streams")


def test_in_production_a_new_archive_that_everybody_could_read_is_refused_unless_that_is_said(
    site: Callable[[bool], Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    house = site(False)
    for command in ("backup", "archive stream"):
        _, bound, _ = app.parse_args([*command.split(), str(house.archive)], exit_on_error=False)
        assert bound.arguments["archive_unencrypted"] is True, "its name in the environment"
        monkeypatch.delenv("FORECOURT_ARCHIVE_UNENCRYPTED")
        act, bound, _ = app.parse_args([*command.split(), str(house.archive)], exit_on_error=False)
        with pytest.raises(EngineError, match="would be a new archive that is not encrypted"):
            act(*bound.args, **bound.kwargs)
        monkeypatch.setenv("FORECOURT_ARCHIVE_UNENCRYPTED", "true")
    assert not house.archive.exists()


def test_a_copy_that_cannot_be_made_is_no_copy_and_said_so(
    tmp_path: Path, site: Callable[[bool], Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    house = site(True)
    monkeypatch.delenv("DATABASE_ADMIN_URL_FILE")
    monkeypatch.setenv("DATABASE_ADMIN_URL", f"postgresql://{OWNER}:{quote(PASSWORD, safe='')}@/forecourt?host={tmp_path}&port=1")
    with pytest.raises(EngineError, match="does not answer") as refused:
        house.once()
    assert "is the server running" in str(refused.value).lower() and PASSWORD not in str(refused.value)
    assert backup.bases(house.archive) == []
    monkeypatch.delenv("DATABASE_ADMIN_URL")
    with pytest.raises(EngineError, match="DATABASE_ADMIN_URL is missing"):
        backups.stream(house.archive)
