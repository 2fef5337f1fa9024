"""Why will it not start? Looks at everything the engines need, and says what to do about each thing it finds.

Starts no engine and changes nothing in the data directory.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

import asyncpg
import valkey
from valkey.exceptions import ValkeyError

from forecourt.engines import machine
from forecourt.engines import postgres as pg
from forecourt.engines import valkey as vk
from forecourt.engines.engines import Running, engines_running_in, socket_place
from forecourt.engines.process import EngineError, choose_owner

LEAST_PYTHON = (3, 11)
LEAST_FREE_BYTES = 2 * 1024**3
LEAST_POSTGRES = 180000
LEAST_VALKEY = (7, 0)  # sharded publish
EXTENSIONS = ("btree_gist", "pg_trgm", "unaccent", "citext", "cube", "earthdistance", "vector", "pg_stat_statements")
ANSWER_LIMIT_S = 5
CLOCK_SKEW_LIMIT_S = 5
PLAUSIBLE_TIME = (1_767_225_600, 4_102_444_800)  # 2026 to 2100, Unix seconds


@dataclass(frozen=True)
class Finding:
    """One thing looked at: whether it is as needed, what was seen, and what to do if it is not ("" when it is).

    What could be better and keeps nothing from working has something to do, and is ok: it warns.
    """

    name: str
    ok: bool
    detail: str
    cure: str = ""

    @property
    def warns(self) -> bool:
        return self.ok and bool(self.cure)


def finding(name: str, ok: bool, detail: str, cure: str = "") -> Finding:
    """A finding, without a cure where nothing is wrong."""
    return Finding(name, ok, detail, "" if ok else cure)


def warning(name: str, well: bool, detail: str, cure: str) -> Finding:
    """A finding that keeps nothing from working, and is to be thought of unless all is `well`."""
    return Finding(name, True, detail, "" if well else cure)


def examine(data: Path, database_url: str | None, valkey_url: str | None, port: int) -> list[Finding]:
    """Look at all that `start_engines(data, …)` and a server on `port` need. Never raises for what it finds."""
    data = data.resolve()
    running = engines_running_in(data) if readable(data) else None
    findings = [python_version(), clock(), directory(data), secret_files(data), free_disk(data), lock(data, running)]
    findings.append(port_free(port, running))
    if database_url is None or valkey_url is None:
        findings += [platform(), user(data), sockets(data), shared_memory()]
    if database_url is None:
        findings.append(program("PostgreSQL program", lambda: pg.binaries() / "postgres"))
    if valkey_url is None:
        findings.append(program("Valkey program", vk.binary))
    if answering := database_url or (running.database_url if running else ""):
        findings += asyncio.run(database(answering))
    if answering := valkey_url or (running.valkey_url if running else ""):
        findings.append(valkey_server(answering))
    return findings


def python_version() -> Finding:
    seen = ".".join(map(str, sys.version_info[:3]))
    least = ".".join(map(str, LEAST_PYTHON))
    return finding("Python", sys.version_info[:2] >= LEAST_PYTHON, seen, f"Use Python {least} or newer.")


def clock() -> Finding:
    now = time.time()
    seen = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now))
    earliest, latest = PLAUSIBLE_TIME
    return finding("Clock", earliest <= now < latest, seen, "Set the system clock, and let NTP keep it.")


def platform() -> Finding:
    cure = "Set DATABASE_URL and VALKEY_URL to engines of your own, or use the container image."
    return finding("System", sys.platform == "linux", sys.platform, cure)


def nearest(path: Path) -> Path:
    """The first directory on the way up from `path` that exists."""
    return next(place for place in (path, *path.parents) if place.is_dir())


def readable(data: Path) -> bool:
    return data.is_dir() and os.access(data, os.R_OK | os.X_OK)


def directory(data: Path) -> Finding:
    name = "Data directory"
    place = nearest(data)
    if data.exists() and not data.is_dir():
        return finding(name, False, f"{data} is a file.", "Choose another with --data.")
    if not os.access(place, os.W_OK | os.X_OK):
        return finding(
            name,
            False,
            f"{place} is not writable.",
            "Choose another with --data, or make this one writable.",
        )
    if place != data:
        return finding(name, True, f"{data} will be made in {place}.")
    if data.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return finding(name, False, f"Other users may write to {data}.", f"chmod go-w '{data}'")
    return finding(name, True, str(data))


def secret_files(data: Path) -> Finding:
    name, folder = "Secrets", data / "secrets"
    if not readable(data) or not folder.is_dir():
        return finding(name, True, "None are kept here.")
    if not readable(folder) or not all(os.access(file, os.R_OK) for file in folder.iterdir()):
        return finding(name, False, f"What is in {folder} may not be read by this user.", "Run as the user who owns it.")
    private = not folder.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)
    seen = str(folder) if private else f"Other users may read what is in {folder}."
    return finding(name, private, seen, f"chmod -R go= '{folder}', and make new ones if others may have read these.")


def free_disk(data: Path) -> Finding:
    free_bytes = shutil.disk_usage(nearest(data)).free
    seen = f"{free_bytes / 1024**3:.1f} GiB free"
    return finding("Disk", free_bytes >= LEAST_FREE_BYTES, seen, "Free some, or choose a larger disk with --data.")


def lock(data: Path, running: Running | None) -> Finding:
    if data.is_dir() and not readable(data):
        return finding("Lock", False, f"{data} may not be read by this user.", "Run as the user who owns it.")
    return finding(
        "Lock", True, f"Process {running.pid} runs its engines here." if running else "Nobody uses the data directory."
    )


def port_free(port: int, running: Running | None) -> Finding:
    try:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
    except OSError as error:
        if running:
            return finding("Port", True, f"{port} is in use; process {running.pid} runs over this data directory.")
        return finding(
            "Port", False, f"{port} cannot be used: {error.strerror}.", "Stop what listens there, or choose another with --port."
        )
    return finding("Port", True, f"{port} is free.")


def user(data: Path) -> Finding:
    try:
        owner = choose_owner(nearest(data))
    except EngineError as error:
        return finding("User", False, error.happened, error.cure)
    who = "Root" if os.geteuid() == 0 else f"Ordinary user {os.geteuid()}"
    where = " in a user namespace" if owner != owner.outside() else ""
    return finding("User", True, f"{who}; PostgreSQL's files belong to user {owner.user}, it runs{where} as an ordinary user.")


def sockets(data: Path) -> Finding:
    """Whether the place for the sockets is short enough and its file system knows sockets at all."""
    try:
        place = socket_place(data)
    except EngineError as error:
        return finding("Sockets", False, error.happened, error.cure)
    try:
        with tempfile.TemporaryDirectory(prefix=".fc", dir=nearest(place)) as folder, socket.socket(socket.AF_UNIX) as probe:
            probe.bind(str(Path(folder, "s")))
    except OSError as error:
        return finding(
            "Sockets",
            False,
            f"No socket can be made in {nearest(place)}: {error}.",
            "Choose a data directory on a local disk with --data.",
        )
    return finding("Sockets", True, str(place))


def shared_memory() -> Finding:
    size_bytes = machine.shared_memory_bytes()
    seen = f"Shared memory of {size_bytes / 1024**2:.0f} MiB"
    if size_bytes < pg.LEAST_SHARED_MEMORY_BYTES:
        return finding("Shared memory", True, f"{seen}; PostgreSQL uses files instead, which is slower for large queries.")
    return finding("Shared memory", True, seen)


def program(name: str, find: Callable[[], Path]) -> Finding:
    cure = "Install `forecourt[engines]`, on a system with glibc (not Alpine)."
    try:
        done = subprocess.run([find(), "--version"], check=False, capture_output=True, text=True, timeout=30)  # noqa: S603
    except EngineError as error:
        return finding(name, False, error.happened, error.cure)
    except (OSError, subprocess.TimeoutExpired) as error:
        return finding(name, False, f"It cannot be run: {error}.", cure)
    if done.returncode != 0:
        return finding(name, False, f"It cannot be run: {done.stderr.strip()[-300:] or signal_or_status(done.returncode)}.", cure)
    return finding(name, True, done.stdout.strip())


def signal_or_status(returncode: int) -> str:
    return signal.Signals(-returncode).name if returncode < 0 else f"exit status {returncode}"


def address(url: str) -> str:
    """A URL as it may be shown: without user, password and options."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "The address"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


async def database(url: str) -> list[Finding]:
    """Reachable, new enough, with the extensions we need, and agreeing about the time."""
    name = "PostgreSQL"
    try:
        link = await asyncpg.connect(url, timeout=ANSWER_LIMIT_S, command_timeout=ANSWER_LIMIT_S)
    except (OSError, TimeoutError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        cure = "Check DATABASE_URL, that the server runs, and that it lets this user in."
        return [finding(name, False, f"{address(url)} cannot be reached: {error or type(error).__name__}.", cure)]
    try:
        version = int(await link.fetchval("select current_setting('server_version_num')"))
        rows = await link.fetch("select e.name from pg_catalog.pg_available_extensions e limit 1000")
        database_time_s = float(await link.fetchval("select extract(epoch from clock_timestamp())"))
    finally:
        with contextlib.suppress(OSError, TimeoutError, asyncpg.PostgresError):
            await link.close(timeout=ANSWER_LIMIT_S)
    skew_s = abs(database_time_s - time.time())
    missing = sorted(set(EXTENSIONS) - {row["name"] for row in rows})
    return [
        finding(name, version >= LEAST_POSTGRES, f"Version {version // 10000}.", "Use PostgreSQL 18 or newer."),
        finding(
            "PostgreSQL extensions",
            not missing,
            f"Missing: {', '.join(missing)}." if missing else "All there.",
            "Install them on the server; vector is packaged as pgvector, the others as postgresql-contrib.",
        ),
        finding("PostgreSQL clock", skew_s < CLOCK_SKEW_LIMIT_S, f"{skew_s:.1f} s apart from ours.", "Let NTP keep both clocks."),
    ]


def valkey_server(url: str) -> Finding:
    name = "Valkey"
    try:
        with valkey.Valkey.from_url(url, socket_connect_timeout=ANSWER_LIMIT_S, socket_timeout=ANSWER_LIMIT_S) as link:
            told = cast("dict[str, object]", link.info("server"))
    except (ValkeyError, OSError, ValueError) as error:
        cure = "Check VALKEY_URL, that the server runs, and that it lets this user in."
        return finding(name, False, f"{address(url)} cannot be reached: {error or type(error).__name__}.", cure)
    version = str(told.get("valkey_version") or told.get("redis_version"))
    new_enough = tuple(int(part) for part in version.split(".")[:2]) >= LEAST_VALKEY
    return finding(name, new_enough, f"Version {version}.", "Use Valkey 7.2 or Redis 7.0, or newer.")
