"""deploy/compose on real engines: the settings that it gives them, who may connect, and that its archive can be restored."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit, urlunsplit

import asyncpg
import pytest
from tests.deploy.charting import named, render
from tests.deploy.composing import COMPOSE, production
from valkey.asyncio import Valkey
from valkey.exceptions import ConnectionError

from forecourt.backups import arrived
from forecourt.engines import Engines, backup, start_engines
from forecourt.engines import postgres as embedded
from forecourt.engines.valkey import binary
from forecourt.engines.valkey import settings_for as valkey_settings_for
from forecourt.kernel.migrate import APP_ROLE, MigrationError, admit, migrate, scram_verifier
from forecourt.layout import migration_folders

SIZES = {"shared_buffers", "effective_cache_size", "work_mem", "maintenance_work_mem", "max_connections", "max_wal_size"}
"""What depends on the machine."""
POSTGRES_IN_ITS_IMAGE = 999
DOCKERFILE = COMPOSE.parent / "docker" / "Dockerfile"
WHILE_TESTING = {"fsync": "off", "max_wal_senders": "10"}


def postgres_settings() -> dict[str, str]:
    """What compose.production.yaml gives to its server."""
    program, *arguments = production()["services"]["postgres"]["command"]
    assert program == "postgres" and all(argument.startswith("-c") for argument in arguments)
    return dict(argument.removeprefix("-c").partition("=")[::2] for argument in arguments)


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engines]:
    """The embedded server, set up as the one in the container."""
    place = tmp_path_factory.mktemp("compose")
    rules = place / "pg_hba.conf"
    # TCP, where the file asks for passwords and lets the archive in, is not open here: the socket stands for it.
    here = f"local all {APP_ROLE} scram-sha-256\nlocal replication {embedded.USER} trust\n"
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
def running(*command: str | Path, environ: dict[str, str] | None = None, log: Path) -> Iterator[subprocess.Popen[bytes]]:
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


async def test_its_archive_is_one_that_restore_reads(engines: Engines, tmp_path: Path) -> None:
    """The program of the services `archive` and `backup`, with the server's own tools, against the real server."""
    archive, files = tmp_path / "archive", tmp_path / "files"
    (files / "media").mkdir(parents=True)
    (files / "media" / "photo").write_bytes(b"court one")
    (files / "media" / "photo2.part").write_bytes(b"half")
    environ = backing_up(engines, archive, files)
    program = production()["services"]["backup"]["entrypoint"]
    assert program[0] == "bash"

    def once() -> str:
        command = [program[0], COMPOSE / "backup", "once"]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    await migrate(engines.database_url, [folder for folder in migration_folders() if folder[0] == "kernel"])
    link = await asyncpg.connect(engines.database_url)
    try:
        await link.execute("create table public.proof (word text)")
        with running(program[0], COMPOSE / "backup", "stream", environ=environ, log=tmp_path / "log"):
            await until_streamed(link)
            await asyncio.to_thread(once)
            with backup.alone(archive):  # one at a time, whoever makes it
                (archive / "base" / "another.part").mkdir()
                with pytest.raises(AssertionError, match="is being made already"):
                    await asyncio.to_thread(once)
                assert (archive / "base" / "another.part").is_dir()
            await link.execute("insert into public.proof values ('before the second copy')")
            assert "A whole copy is in" in await asyncio.to_thread(once)
            (made,) = backup.bases(archive)  # the first has made room
            noted = await link.fetchrow("select c.finished_at, c.size_bytes from kernel.last_copy c")
            assert noted is not None and tuple(noted) == (made.finished, made.size_bytes)
            await link.execute("insert into public.proof values ('after every copy')")
            await arrived(link)
    finally:
        await link.execute("select pg_drop_replication_slot('forecourt_archive')")
        await link.close()
    assert [path.name for path in (archive / "media").iterdir()] == ["photo"]

    for beside in ("wal", "base"):  # each tells alone whose archive it is, as a server on an empty volume finds out
        another = tmp_path / f"{beside} of another"
        (another / beside).mkdir(parents=True)
        if beside == "wal":
            newest = max(path for path in (archive / "wal").iterdir() if path.stat().st_size)
            with newest.open("rb") as segment:
                head = bytearray(segment.read(40))
            head[24] ^= 1
            (another / "wal" / "000000010000000000000009").write_bytes(head)
        else:
            shutil.copytree(made.path, another / "base" / made.path.name)
            manifest = another / "base" / made.path.name / "copy" / "backup_manifest"
            manifest.write_text(re.sub(r'("System-Identifier": )(\d)', r"\g<1>1\2", manifest.read_text()))
        for what in ("stream", "once"):
            told = subprocess.run(
                [program[0], COMPOSE / "backup", what],
                env=environ | {"ARCHIVE": str(another)},
                capture_output=True,
                text=True,
                check=False,
                timeout=60,
            )
            assert (told.returncode, "archive of another house" in told.stderr) == (1, True), told.stdout + told.stderr

    await asyncio.to_thread(backup.restore, archive, tmp_path / "restored")
    with start_engines(tmp_path / "restored", valkey_url=engines.valkey_url) as restored:
        link = await asyncpg.connect(restored.database_url)
        try:
            rows = await link.fetch("select word from public.proof order by word")
        finally:
            await link.close()
    assert [row["word"] for row in rows] == ["after every copy", "before the second copy"]
    assert (tmp_path / "restored" / "media" / "photo").read_bytes() == b"court one"


@pytest.fixture
def public() -> Iterator[Path]:
    """A directory that other users of this machine get into, which stand for other containers."""
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o711)
        yield Path(place)


def backing_up(engines: Engines, archive: Path, files: Path) -> dict[str, str]:
    """What the services `archive` and `backup` are told, about the server here."""
    at = {name: values[0] for name, values in parse_qs(urlsplit(engines.database_url).query).items()}
    return {
        "PATH": f"{embedded.binaries()}:{os.environ['PATH']}",
        "PGHOST": at["host"],
        "PGPORT": at["port"],
        "PGUSER": embedded.USER,
        "PGDATABASE": embedded.DATABASE,
        "ARCHIVE": str(archive),
        "FILES": str(files),
        "KEEP": "1",
    }


@pytest.mark.skipif(os.geteuid() != 0, reason="changes users, which only root may do")
def test_the_archives_user_may_read_the_uploaded_files_and_a_copy_without_them_is_none(engines: Engines, public: Path) -> None:
    """As in its container: the user of PostgreSQL's image, without any rights of root, with the groups that the project adds."""
    found = re.search(r"install --directory --owner=(\d+) --group=(\d+) --mode=(\d+) /var/lib/forecourt", DOCKERFILE.read_text())
    assert found is not None
    owner, group, mode = int(found[1]), int(found[2]), int(found[3], 8)
    archive, files = public / "archive", public / "files"
    archive.mkdir()
    os.chown(archive, POSTGRES_IN_ITS_IMAGE, POSTGRES_IN_ITS_IMAGE)
    (files / "media" / ".incoming").mkdir(parents=True)
    (files / "media" / ".incoming").chmod(0o700)
    (files / "media" / "photo").write_bytes(b"court one")
    (files / "media" / ".incoming" / "half").write_bytes(b"half")
    for path in (files, *files.rglob("*")):
        os.chown(path, owner, group)
    environ = backing_up(engines, archive, files)
    name = f".s.PGSQL.{environ['PGPORT']}"
    server, environ["PGHOST"] = Path(environ["PGHOST"], name), str(public)
    os.link(server, public / name)
    service = production()["services"]["backup"]
    groups = ",".join(service["group_add"])
    nobody_special = ("--inh-caps=-all", "--bounding-set=-all", "--no-new-privs")
    user = (f"--reuid={POSTGRES_IN_ITS_IMAGE}", f"--regid={POSTGRES_IN_ITS_IMAGE}", f"--groups={groups}", *nobody_special)
    assert (service["user"], service["cap_drop"]) == ("postgres", ["ALL"])

    def once() -> subprocess.CompletedProcess[str]:
        command = ["setpriv", *user, "bash", str(COMPOSE / "backup"), "once"]
        return subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=60)

    files.chmod(0o700)
    refused = once()
    assert refused.returncode != 0 and "cannot be read" in refused.stderr and "A whole copy" not in refused.stdout
    assert backup.bases(archive) == []
    files.chmod(mode)
    server.chmod(0o777)
    try:
        done = once()
    finally:
        server.chmod(0o700)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [path.name for path in (archive / "media").iterdir()] == ["photo"]


async def until_streamed(link: asyncpg.Connection) -> None:
    for _ in range(200):
        if await link.fetchval("select count(*) from pg_stat_replication where application_name = 'pg_receivewal'"):
            return
        await asyncio.sleep(0.05)
    raise AssertionError("nothing is streamed")


def test_a_copy_that_cannot_be_made_is_no_copy_and_said_so(tmp_path: Path) -> None:
    environ = {
        "PATH": f"{embedded.binaries()}:{os.environ['PATH']}",
        "PGHOST": str(tmp_path),
        "ARCHIVE": str(tmp_path / "archive"),
        "FILES": str(tmp_path),
    }
    command = ["bash", COMPOSE / "backup", "once"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode != 0
    assert "could not connect" in done.stderr or "failed" in done.stderr
    assert backup.bases(tmp_path / "archive") == []
    assert (
        subprocess.run(["bash", COMPOSE / "backup"], env=environ, check=False, capture_output=True, timeout=60).returncode == 64
    )
