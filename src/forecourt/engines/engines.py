"""Both engines over one data directory: lock, places, start, watch, stop."""

import contextlib
import fcntl
import hashlib
import json
import os
import re
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from forecourt.engines import machine
from forecourt.engines import postgres as pg
from forecourt.engines import valkey as vk
from forecourt.engines.archive import Archiver
from forecourt.engines.process import EngineError, Nursery, Owner, bound_log, choose_owner

# A unix socket's address holds 107 bytes; the longest name below the directory is ".s.PGSQL.5432".
SOCKET_DIRECTORY_LIMIT_BYTES = 107 - len("/.s.PGSQL.5432")
LOCK_ATTEMPTS = 20
LOCK_PAUSE_S = 0.05
PLAIN_PATH = re.compile(r"[A-Za-z0-9/._-]+")

Engine = pg.Postgres | vk.Valkey | Archiver


@dataclass(frozen=True)
class Running:
    """What another process runs over a data directory."""

    pid: int
    database_url: str = field(repr=False)  # an outside one may hold a password
    valkey_url: str = field(repr=False)
    archive: str = ""
    """Where it brings every change; "" nowhere."""


class Undo(contextlib.ExitStack):
    """What has to be undone, undone at the latest when nobody knows of it any more.

    Ctrl-C may strike between the moment the engines serve and the moment the caller holds them.
    """

    def __init__(self) -> None:
        super().__init__()
        self._owner_pid = os.getpid()

    def __del__(self) -> None:
        # At the interpreter's end the kernel ends the children; a forked copy of us owns none.
        if os.getpid() == self._owner_pid and not sys.is_finalizing():
            self.close()


@dataclass(frozen=True, eq=False, repr=False)
class Engines:
    """Running engines, or the addresses of outside ones. Keep it: the engines stop when it goes, or with the program.

    `stop` may be called again and again. `poll` and `restart` are for a supervisor and may be called from any thread.
    """

    database_url: str
    valkey_url: str
    data: Path
    _owned: Mapping[str, Engine]
    _nursery: Nursery
    _leave: contextlib.ExitStack
    _owner_pid: int = field(default_factory=os.getpid)
    _turn: threading.RLock = field(default_factory=threading.RLock)

    def poll(self) -> list[str]:
        """Names of engines of ours that have died: "postgres", "valkey". Ask every second or so: it also bounds the logs."""
        if self._nursery.closing.is_set():
            return []
        for engine in self._owned.values():
            bound_log(engine.log)
        return [name for name in self._owned if self._nursery.died(name)]

    def restart(self, name: str) -> None:
        """Bring an engine back, ready to serve, and stop it first if it still runs. Addresses stay the same. Raises EngineError.

        Takes as long as a recovery does: a program with an event loop calls it through `asyncio.to_thread`.
        """
        with self._turn:
            if self._nursery.closing.is_set():
                raise EngineError("The engines are stopping.", "Start Forecourt again.")
            engine = self._owned[name]
            engine.stop()
            engine.prepare(unheard)
            engine.launch()
            engine.await_ready(unheard)

    def stop(self) -> None:
        """Stop what was started here, wait for it, and free the data directory."""
        if os.getpid() != self._owner_pid:
            return  # a forked copy of us owns nothing
        self._nursery.closing.set()  # a restart that is waiting gives up
        with self._turn:
            self._leave.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()


def start_engines(
    data: Path,
    *,
    database_url: str | None = None,
    valkey_url: str | None = None,
    report: Callable[[str], None] | None = None,
    postgres_settings: Mapping[str, str] | None = None,
    archive: Path | None = None,
    archive_recipients: Sequence[str] = (),
) -> Engines:
    """Start the engines that have no outside address, over `data`, and return when both serve.

    `report` hears, in plain words, what takes time. `postgres_settings` overrides what `postgres.settings_for` chose. With
    `archive`, a directory, our own PostgreSQL streams its changes there (see `backup.py`), encrypted for `archive_recipients`, or
    for those that the house was told last.
    Raises EngineError, and leaves nothing running, when the directory is in use or an engine cannot start.
    """
    try:
        return _start(
            data.resolve(), database_url, valkey_url, report or unheard, postgres_settings or {}, archive, archive_recipients
        )
    except OSError as error:
        raise EngineError(
            f"The engines could not be started over {data}: {error}.",
            "`forecourt doctor` looks for the cause: a full disk, missing rights, a path that is no local disk.",
        ) from error


def _start(
    data: Path,
    database_url: str | None,
    valkey_url: str | None,
    say: Callable[[str], None],
    postgres_settings: Mapping[str, str],
    archive: Path | None,
    archive_recipients: Sequence[str],
) -> Engines:
    nursery = Nursery()
    with Undo() as undo:
        undo.callback(nursery.close)
        owned: dict[str, Engine] = {}
        if database_url is None or valkey_url is None:
            require_linux()
            owner = make_home(data)
            lock = undo.enter_context(locked(data, owner))
            sockets = undo.enter_context(socket_directory(data, owner))
            owner.mkdir(data / "log")
            size_bytes = machine.memory_bytes()
            if valkey_url is None:
                owned[vk.NAME] = vk.Valkey(data, sockets, owner, nursery, size_bytes)
                valkey_url = vk.valkey_url(sockets)
            if database_url is None:
                settings = {**pg.settings_for(size_bytes, machine.cores()), **pg.settings_here(), **postgres_settings}
                owned[pg.NAME] = pg.Postgres(data, sockets, owner, nursery, settings)
                database_url = pg.database_url(sockets)
            archiver = None
            if archive is not None:
                if pg.NAME not in owned:
                    raise EngineError(
                        "Only the PostgreSQL that Forecourt runs itself can be archived here.",
                        "Leave --archive out, and archive the server of DATABASE_URL with `forecourt archive stream`.",
                    )
                archiver = Archiver(archive.resolve(), database_url, data, owner, nursery, archive_recipients)
                undo.callback(archiver.stop)  # after the server, whose last words it waits for
                archiver.prepare(say)
            start_all(list(owned.values()), undo, say)
            if archiver is not None:
                archiver.await_ready(say)
                owned[archiver.name] = archiver
            place = str(archive.resolve()) if archive is not None else ""
            write_note(lock, Running(os.getpid(), database_url, valkey_url, place))
        return Engines(database_url, valkey_url, data, owned, nursery, undo.pop_all())


def unheard(news: str) -> None:
    """A report nobody asked for."""


def start_all(engines: list[Engine], undo: contextlib.ExitStack, say: Callable[[str], None]) -> None:
    """Start every engine before waiting for any: they come up side by side."""
    for engine in engines:
        undo.callback(engine.stop)
        engine.prepare(say)
        engine.launch()
    for engine in engines:
        engine.await_ready(say)


def require_linux() -> None:
    if sys.platform != "linux":
        raise EngineError(
            "The engines that come with Forecourt run on Linux only: elsewhere nothing would stop them when Forecourt is killed.",
            "Set DATABASE_URL and VALKEY_URL to a PostgreSQL 18 and a Valkey of your own, or use the container image.",
        )


def make_home(data: Path) -> Owner:
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        owner = choose_owner(data)
    except OSError as error:
        raise cannot_use(data, error) from error
    if not os.access(data, os.R_OK | os.W_OK | os.X_OK):
        raise cannot_use(data, PermissionError("permission denied"))
    return owner


def cannot_use(data: Path, error: OSError) -> EngineError:
    return EngineError(
        f"The data directory {data} cannot be used: {error.strerror or error}.",
        "Choose another with --data, or make this one writable for the user who runs Forecourt.",
    )


@contextlib.contextmanager
def locked(data: Path, owner: Owner) -> Generator[IO[str], None, None]:
    """Hold the data directory for this process alone. The kernel frees it when we die, however we die."""
    try:
        file = os.fdopen(os.open(data / "lock", os.O_RDWR | os.O_CREAT, 0o600), "r+")
    except OSError as error:
        raise cannot_use(data, error) from error
    with file:
        if not taken(file):
            holder = read_note(file)
            who = f"process {holder.pid}" if holder else "another process"
            raise EngineError(
                f"The data directory {data} is already in use by {who}.",
                "Stop that Forecourt first, or choose another data directory with --data.",
            )
        owner.give(data / "lock")
        write_note(file, Running(os.getpid(), "", ""))
        yield file


def taken(lock: IO[str]) -> bool:
    """Take the lock, with a little patience: a killed process needs a moment to be gone, a look at the lock is short."""
    for _ in range(LOCK_ATTEMPTS):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(LOCK_PAUSE_S)
        else:
            return True
    return False


def write_note(lock: IO[str], note: Running) -> None:
    lock.seek(0)
    lock.truncate()
    fields = {"pid": note.pid, "database_url": note.database_url, "valkey_url": note.valkey_url, "archive": note.archive}
    json.dump({name: value for name, value in fields.items() if name != "archive" or value}, lock)
    lock.flush()


def read_note(lock: IO[str]) -> Running | None:
    lock.seek(0)
    try:
        return Running(**json.loads(lock.read()))
    except (ValueError, TypeError):
        return None


def engines_running_in(data: Path) -> Running | None:
    """Who runs engines over `data` now, with the addresses to reach them (empty while they start); None when nobody does."""
    try:
        with (data / "lock").open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return read_note(file)
    except FileNotFoundError:
        pass
    return None


def socket_place(data: Path) -> Path:
    """Where the sockets of `data` go: `data/run`, or a short hashed name elsewhere when that path is too long or not plain.

    Plain means that no program on the way — URL, list of hosts, configuration — has to quote it.
    """
    inside = data / "run"
    digest = hashlib.sha256(os.fsencode(data)).hexdigest()[:12]
    name = f"forecourt-{os.geteuid()}-{digest}"
    bases = [Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()), Path(tempfile.gettempdir()), Path("/tmp")]  # noqa: S108 — checked below
    for place in (inside, *(base / name for base in bases if base.is_dir() and os.access(base, os.W_OK))):
        if len(os.fsencode(place)) <= SOCKET_DIRECTORY_LIMIT_BYTES and PLAIN_PATH.fullmatch(str(place)):
            return place
    raise EngineError(
        "No directory with a short enough path for sockets was found.",
        "Set XDG_RUNTIME_DIR or TMPDIR to a short one, such as /tmp.",
    )


@contextlib.contextmanager
def socket_directory(data: Path, owner: Owner) -> Generator[Path, None, None]:
    """The sockets' directory, ours alone: whoever may enter it may log in."""
    place = socket_place(data)
    with contextlib.suppress(FileExistsError):
        place.mkdir(mode=0o700)
    facts = place.lstat()
    if not place.is_dir() or place.is_symlink() or facts.st_uid not in (os.geteuid(), owner.user):
        raise EngineError(f"{place}, the place for our sockets, belongs to somebody else.", f"Remove it: rm -r {place}")
    owner.give(place)
    place.chmod(0o700)
    yield place
    if place.parent != data:
        with contextlib.suppress(OSError):
            place.rmdir()
