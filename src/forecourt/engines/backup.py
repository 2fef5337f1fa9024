"""What a lost disk does not take along: a copy of every change as it happens, beside whole copies made from time to time.

    ARCHIVE/
      wal/        the server's log of changes, streamed while it runs: the last commit arrives within milliseconds
      base/<when>/copy/     a whole copy of the database at one moment, checked against its manifest
      base/<when>/secrets/  the generated secrets of that moment: without them signed and sealed things cannot be read
      media/      uploaded files, which never change once they are there

An encrypted archive (`sealing.py`) has the same in files that end in `.age`, and says in `archive.json` that it is one. Only
moments, sizes and names of log files can be read there. Nothing reaches its disk in plain, not even for a moment.

A restore takes the newest whole copy before the moment asked for and replays the changes after it.
"""

import contextlib
import fcntl
import json
import os
import shlex
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO
from urllib.parse import parse_qs, urlsplit

from forecourt.engines import machine, plain_log, sealed_log, whole
from forecourt.engines import postgres as pg
from forecourt.engines.archive import encrypt, make_place, recognise, refuse_another
from forecourt.engines.engines import locked, make_home, require_linux, socket_directory, unheard
from forecourt.engines.gaps import Brought, brought_by
from forecourt.engines.process import EngineError, Nursery, Owner, remove_tree, tail
from forecourt.engines.sealing import (
    SUFFIX,
    Identities,
    Sealer,
    as_tar,
    described,
    hidden_name,
    read_identities,
    sealed_for,
)

COPY, SECRETS, MEDIA = "copy", "secrets", "media"
SEALED_COPY = "base.tar.gz" + SUFFIX
INCOMING = ".incoming"
"""What media calls the folder of files that are not whole yet."""
NAME_FORMAT = "%Y%m%dT%H%M%SZ"
NOT_REACHED = "recovery ended before configured recovery target was reached"


@dataclass(frozen=True)
class Base:
    """A whole copy. Changes from `started` on are replayed over it; it is consistent from `finished` on."""

    path: Path
    started: datetime
    finished: datetime
    first_wal: str
    """The oldest file of the log that a restore from this copy needs."""
    size_bytes: int

    @property
    def encrypted(self) -> bool:
        return (self.path / SEALED_COPY).exists()


@dataclass(frozen=True)
class Beside:
    """What goes along with a copy of the database and is not in the directory in which the house remembers things."""

    files: Path | None = None
    """The directory in which `media/` is, where it is another one."""
    secrets: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    """Those that the house was given, by the names of their files. An archive that is not encrypted gets none of them."""


def take(
    database_url: str,
    data: Path,
    place: Path,
    say: Callable[[str], None] = unheard,
    recipients: Sequence[str] = (),
    beside: Beside = Beside(),
) -> Base:
    """Copy the whole database of a running server, and the files beside it, into `place`. Raises EngineError.

    The copy is checked against its manifest before it gets its name: what is listed by `bases` is whole. One that fails leaves
    nothing, for the changes need the room. It is encrypted for `recipients`, or for those that the house was told last.
    """
    wanted = sealed_for(place, data, recipients)
    recognise(place, data)
    refuse_another(place, database_url)
    media = (beside.files or data) / MEDIA
    uploaded(media)  # what nobody here may read is said now, and not after the database has been copied
    base = place / "base"
    with alone(place):
        with reasons(place):
            for unfinished in base.glob("*.part"):
                shutil.rmtree(unfinished)
        encrypt(place, data, wanted, database_url)
        started = datetime.now(UTC)
        part = base / f"{started:{NAME_FORMAT}}.part"
        if part.with_suffix("").exists():
            raise EngineError(f"There is a copy of this very second: {part.with_suffix('')}.", "Try again.")
        try:
            if wanted:
                return _take_sealed(database_url, data, media, beside.secrets, place, started, part, Sealer(wanted), say)
            return _take(database_url, data, media, place, started, part, say)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise


def uploaded(media: Path) -> list[str]:
    """Names of the uploaded files. Raises EngineError where they cannot be read: a copy without them would look whole."""
    try:
        return arrived(media)
    except OSError as error:
        raise EngineError(
            f"The uploaded files in {media} cannot be read: {error}. A copy would lack them.",
            "Is their disk there, and are they ours to read?",
        ) from error


def _take(
    database_url: str, data: Path, media: Path, place: Path, started: datetime, part: Path, say: Callable[[str], None]
) -> Base:
    """A whole copy in `part`, which gets its name at the end."""
    final = part.with_suffix("")
    say("Copying the database")
    server = pg.asked(database_url)
    run(
        pg.program("pg_basebackup"),
        *("--dbname", server.database_url, "--pgdata", part / COPY),
        *("--format=tar", "--gzip", "--wal-method=stream", "--checkpoint=fast", "--no-password"),
        environ=server.environ,
    )
    say("Checking the copy")
    check(part / COPY)
    say("Copying files")
    with reasons(place):
        (part / SECRETS).mkdir(mode=0o700)  # without any, too: then there are none to be sought elsewhere
        copy_new(data / SECRETS, part / SECRETS)
        copy_new(media, place / MEDIA)
        size = sum(file.stat().st_size for file in (part / COPY).iterdir())
        made = Base(final, started, datetime.now(UTC), first_wal(part / COPY), size)
        name_it(made, part)
    return made


def _take_sealed(
    database_url: str,
    data: Path,
    media: Path,
    given: Mapping[str, str],
    place: Path,
    started: datetime,
    part: Path,
    sealer: Sealer,
    say: Callable[[str], None],
) -> Base:
    """A whole encrypted copy in `part`, which gets its name at the end."""
    final = part.with_suffix("")
    with reasons(place):
        (part / SECRETS).mkdir(mode=0o700, parents=True)
        say("Copying and checking the database")
        first = whole.copy(database_url, lambda content: sealer.stream(content, part / SEALED_COPY))
        say("Copying files")
        for name in uploaded(media):
            target = place / MEDIA / hidden_name(data, name)
            if not target.exists():
                target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                with as_tar(media / name, name) as content:
                    sealer.stream(content, target)
        for name in arrived(data / SECRETS):  # last: what the names of files are made with is among them
            sealer.file(data / SECRETS / name, part / SECRETS / (name + SUFFIX))
        for name, secret in given.items():
            sealer.content(secret.encode(), part / SECRETS / (name + SUFFIX))
        made = Base(final, started, datetime.now(UTC), first, (part / SEALED_COPY).stat().st_size)
        name_it(made, part)
    return made


def name_it(made: Base, part: Path) -> None:
    """Give a whole copy its name: from here on it is listed."""
    note = part / "note.json"
    note.write_text(json.dumps(asdict(made), default=str))
    sync_file(note)
    part.rename(made.path)
    pg.sync_directory(made.path.parent)


@contextlib.contextmanager
def alone(place: Path) -> Generator[None, None, None]:
    """Hold the copies in `place`: a second run would clear away what the first is about to make. Raises EngineError."""
    with reasons(place), contextlib.ExitStack() as held:
        make_place(place)
        (place / "base").mkdir(mode=0o700, exist_ok=True)
        lock = held.enter_context((place / "base" / "lock").open("a"))
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise EngineError(f"A copy is being made in {place} already.", "Wait until it is there.") from None
        keep = held.pop_all()
    with keep:
        yield


def bases(place: Path) -> list[Base]:
    """The whole copies in `place`, oldest first."""
    found: list[Base] = []
    for note in sorted((place / "base").glob("*/note.json")):
        if note.parent.suffix == ".part":
            continue
        fields = json.loads(note.read_text())
        started, finished = (datetime.fromisoformat(fields[name]) for name in ("started", "finished"))
        found.append(Base(note.parent, started, finished, fields["first_wal"], fields["size_bytes"]))
    return found


def trim(place: Path, keep: int) -> list[Base]:
    """Throw away all whole copies but the newest `keep`, 1 or more, and the changes that only those needed. Returns what went."""
    there = bases(place)
    gone, kept = there[:-keep], there[-keep:]
    if not gone:
        return []
    for base in gone:
        (base.path / "note.json").unlink()  # first: half a copy is not listed
        shutil.rmtree(base.path)
    oldest = min(base.first_wal for base in kept)
    if described(place) is not None:
        sealed_log.clean_up(place / "wal", oldest)
    elif (place / "wal").is_dir():  # whole copies may be all there is
        run(pg.program("pg_archivecleanup"), place / "wal", oldest)
    return gone


def restore(
    place: Path,
    data: Path,
    to: datetime | None = None,
    say: Callable[[str], None] = unheard,
    identity: Path | None = None,
) -> Base:
    """Make `data` the installation that was archived in `place`, as it was at `to`, or as late as the archive knows.

    `data` must hold no database. Every transaction committed at or before `to` is there afterwards, and none after it. Nothing is
    left behind by a restore that fails. An encrypted archive is opened with the file `identity`.
    Raises EngineError: no copy before `to`, the archive ends before it, a damaged copy, an identity that does not open it.
    Without `to` also Gap: a file of the log is missing though later ones are there.
    """
    require_linux()
    base = newest(place, to)
    keys = keys_for(base, place, identity)
    owner = make_home(data)
    with locked(data, owner), socket_directory(data, owner) as sockets:
        if (data / "pg").exists():
            raise EngineError(
                f"{data} holds a database already; a restore replaces nothing.", "Name an empty directory with --data."
            )
        owner.mkdir(data / "log")
        home = data / "pg.restoring"
        remove_tree(home)
        try:
            home.mkdir(mode=0o700)
            if keys is None:
                unpack_copy(base, home, say)
            else:
                open_copy(base, home, keys, say)
            (home / "recovery.signal").touch(mode=0o600)
            owner.give_all(home)
            say("Replaying what happened since")
            with reasons(data):
                brought = brought_by(home / "pg_wal")
            with readable_wal(place, data, owner, base.first_wal, brought, keys, to) as wal:
                replay(home, data, sockets, owner, recovery_settings(wal, to))
            with reasons(data):
                if keys is None:
                    copy_new(secrets_of(base, place), data / SECRETS)
                    copy_new(place / MEDIA, data / MEDIA)
                else:
                    open_files(base, place, data, keys)
            home.rename(data / "pg")
            pg.sync_directory(data)
        except BaseException:
            remove_tree(home)
            raise
    return base


def keys_for(base: Base, place: Path, identity: Path | None) -> Identities | None:
    """What opens a copy; None for one that is not encrypted. Raises EngineError: no identity, or not the right one."""
    if not base.encrypted:
        return None
    if identity is None:
        raise EngineError(
            f"The archive {place} is encrypted.",
            "Name the file with its identity: --identity. It is not in the house.",
        )
    keys = read_identities(identity)
    there = described(place)
    if there is not None and not keys.recipients & set(there.recipients):
        raise EngineError(
            f"No identity in {identity} opens {place}: it is encrypted for {' and '.join(there.recipients)}.",
            "Name the file with the right one: --identity.",
        )
    return keys


def unpack_copy(base: Base, home: Path, say: Callable[[str], None]) -> None:
    say("Checking the copy")
    check(base.path / COPY)
    say(f"Unpacking the copy of {base.finished:%Y-%m-%d %H:%M:%S} UTC")
    unpack(base.path / COPY / "base.tar.gz", home)
    unpack(base.path / COPY / "pg_wal.tar.gz", home / "pg_wal")


def open_copy(base: Base, home: Path, keys: Identities, say: Callable[[str], None]) -> None:
    """Unpack an encrypted copy, and check what came of it against the manifest that came with it."""
    say(f"Opening the copy of {base.finished:%Y-%m-%d %H:%M:%S} UTC")
    with reasons(base.path), keys.opened(base.path / SEALED_COPY) as stream:
        unpack(stream, home)
    say("Checking the copy")
    check(home)
    (home / whole.MANIFEST).unlink()


def open_files(base: Base, place: Path, data: Path, keys: Identities) -> None:
    """Bring back the secrets of a copy's moment, and the uploaded files. Raises EngineError, OSError."""
    secrets, media = data / SECRETS, data / MEDIA
    secrets.mkdir(mode=0o700, parents=True, exist_ok=True)
    for sealed in sorted((base.path / SECRETS).rglob("*" + SUFFIX)):
        put_new(keys.content(sealed), secrets / sealed.relative_to(base.path / SECRETS).with_suffix(""))
    for sealed in sorted((place / MEDIA).rglob("*" + SUFFIX)):
        media.mkdir(mode=0o700, parents=True, exist_ok=True)
        with keys.opened(sealed) as stream:
            unpack(stream, media)


def put_new(content: bytes, target: Path) -> None:
    """Write a file that is not there yet."""
    if target.exists():
        return
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
        os.fsync(file.fileno())
    part.rename(target)


def secrets_of(base: Base, place: Path) -> Path:
    """Those that were in use when the copy was made. Copies of earlier releases have none of their own: there is one for all."""
    own = base.path / SECRETS
    return own if own.is_dir() else place / SECRETS


def newest(place: Path, to: datetime | None) -> Base:
    there = bases(place)
    if not there:
        raise EngineError(f"There is no whole copy in {place}.", "Make one with `forecourt backup`, while the house is open.")
    fit = [base for base in there if to is None or base.finished <= to]
    if not fit:
        raise EngineError(
            f"The oldest whole copy in {place} is from {there[0].finished:%Y-%m-%d %H:%M:%S} UTC, after the moment asked for.",
            "Name a later moment with --to.",
        )
    return fit[-1]


@contextlib.contextmanager
def readable_wal(
    place: Path, data: Path, owner: Owner, first: str, brought: Brought | None, keys: Identities | None, to: datetime | None
) -> Generator[Path, None, None]:
    """Where the server finds the log from `first` on. Raises Gap when it is to be replayed to its end, and part of it is missing.

    It is not root, even where we are: it could not open an archive that belongs to somebody else, as that of a container does,
    and would take it for ended. So it gets a copy for the while; of an encrypted one as well, for it has no identity.
    """
    wal = place / "wal"
    if keys is None and (os.geteuid() != 0 or not wal.is_dir() or wal.stat().st_uid == owner.user):
        with reasons(place):
            if to is None and wal.is_dir():
                plain_log.refuse_gap(wal, first, brought)
        yield wal
        return
    mine = data / "wal.restoring"
    remove_tree(mine)
    try:
        with reasons(data):
            mine.mkdir(mode=0o700)
            if keys is not None:
                sealed_log.open_log(wal, mine, first, keys, until_end=to is None, brought=brought)
            else:
                plain_log.copy(wal, mine, first, until_end=to is None, brought=brought)
        owner.give_all(mine)
        yield mine
    finally:
        remove_tree(mine)


def recovery_settings(wal: Path, to: datetime | None) -> dict[str, str]:
    place = shlex.quote(str(wal.resolve()).replace("%", "%%") + "/")
    # 1 is the end of the log. Above 125 the server gives up: a log that cannot be read has no end yet.
    whole_file = f'cp {place}%f "%p" || exit 255'
    # A file that is not there is looked for again: it may have got its name just now.
    other = f'if ! cp {place}%f.partial "%p" 2>/dev/null; then [ -e {place}%f ] || exit 1; {whole_file}; fi'
    given = f"if [ -e {place}%f ]; then {whole_file}; else {other}; fi"
    settings = {
        "restore_command": f"ls {place} >/dev/null || exit 255; {given}" if wal.is_dir() else "exit 1",
        "recovery_target_timeline": "latest",
        "recovery_target_action": "promote",
        "hot_standby": "off",  # answers only when all is replayed
    }
    return settings if to is None else settings | {"recovery_target_time": to.astimezone(UTC).isoformat(sep=" ")}


def replay(home: Path, data: Path, sockets: Path, owner: Owner, settings: Mapping[str, str]) -> None:
    """Run a server over the copy in `home` until everything wanted is in it, and stop it in good order."""
    nursery = Nursery()
    server = pg.Postgres(
        data,
        sockets,
        owner,
        nursery,
        {**pg.settings_for(machine.memory_bytes(), machine.cores()), **pg.settings_here(), **settings},
    )
    server.home = home
    server.log = data / "log" / "restore.log"
    server.log.unlink(missing_ok=True)
    try:
        server.prepare(unheard)
        server.launch()
        server.await_ready(unheard)
    except EngineError as error:
        said = tail(server.log)
        if NOT_REACHED in said:
            last = next(
                (line.rpartition("log time ")[2] for line in said.splitlines() if "last completed transaction" in line), ""
            )
            raise EngineError(
                f"The archive's last change is from {last or 'before the moment asked for'}: the moment asked for is later.",
                "Restore without --to to get all that is there.",
            ) from error
        raise
    finally:
        server.stop()
        nursery.close()
    if (home / "recovery.signal").exists():
        raise EngineError("The server stopped before everything was replayed.", tail(server.log))


def check(copy: Path) -> None:
    """Raises EngineError when a whole copy is not what its manifest says. The log in it proves itself when it is replayed."""
    run(pg.program("pg_verifybackup"), "--no-parse-wal", "--quiet", copy)


def damage(database_url: str) -> str:
    """What is wrong with the pages and indexes of a server of ours, every one read and compared; empty when nothing is."""
    sockets = parse_qs(urlsplit(database_url).query)["host"][0]
    where = ("--host", sockets, "--username", pg.USER, "--database", pg.DATABASE, "--no-password")
    command = [str(pg.binaries() / "pg_amcheck"), *where, "--install-missing=public", "--heapallindexed", "--jobs=2"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL)  # noqa: S603
    return "" if done.returncode == 0 else (done.stdout + done.stderr).strip()[-2000:] or f"exit status {done.returncode}"


def first_wal(copy: Path) -> str:
    """The first file of the log that belongs to a copy. Its label says `START WAL LOCATION: 0/2000028 (file 0000…)`."""
    with tarfile.open(copy / "base.tar.gz") as archive:
        for member in archive:
            if member.name.removeprefix("./") == "backup_label":
                label = archive.extractfile(member)
                line = label.readline().decode() if label else ""
                return line.partition("(file ")[2].rstrip(")\n")
    raise EngineError(f"{copy} has no backup_label.", "It was not made by pg_basebackup.")


def unpack(archive: Path | IO[bytes], into: Path) -> None:
    """What is in a tar archive, a file or a stream of one. Raises EngineError."""

    def ours(member: tarfile.TarInfo, path: str) -> tarfile.TarInfo:
        """Without the server's idea of who it is, which in a user namespace is somebody else."""
        return tarfile.tar_filter(member, path).replace(uid=os.geteuid(), gid=os.getegid(), uname="", gname="")

    with reasons(into), opened_tar(archive) as content:
        content.extractall(into, filter=ours)  # noqa: S202 — the filter refuses paths that lead out


def opened_tar(archive: Path | IO[bytes]) -> tarfile.TarFile:
    return tarfile.open(archive) if isinstance(archive, Path) else tarfile.open(fileobj=archive, mode="r|*")


def arrived(source: Path) -> list[str]:
    """Names of the files below a folder, if there is one. What is still on its way in belongs to nobody yet, and is left out.

    Raises OSError for a folder that we may not look into: it would seem empty.
    """

    def unseen(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):  # none there, or gone meanwhile
            raise error

    names: list[str] = []
    for folder, folders, files in os.walk(source, onerror=unseen):
        folders[:] = [name for name in folders if name != INCOMING]
        names += [str(Path(folder, name).relative_to(source)) for name in files if Path(folder, name).is_file()]
    return sorted(names)


def copy_new(source: Path, target: Path) -> None:
    """Copy files that `target` has not got. What is there already has the same name because it has the same content.

    Without a `source` there is nothing to copy.
    """
    for name in arrived(source):
        file, copy = source / name, target / name
        if not copy.exists():
            copy.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            part = copy.with_name(copy.name + ".part")
            shutil.copy2(file, part)
            sync_file(part)  # once it has its name nobody copies it again
            part.rename(copy)


def sync_file(path: Path) -> None:
    """Make what is in a file survive a loss of power."""
    with path.open("rb") as file:
        os.fsync(file)


def run(*command: str | Path, environ: Mapping[str, str] | None = None) -> None:
    """Run one of the server's own programs. Raises EngineError with what it said."""
    done = subprocess.run(  # noqa: S603
        [str(part) for part in command], env=environ, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    if done.returncode != 0:
        raise EngineError(f"{Path(command[0]).name} failed (exit status {done.returncode}).", done.stderr.strip()[-2000:])


class reasons(contextlib.AbstractContextManager[None]):  # noqa: N801 — reads as a verb where it is used
    """Turns what the disk says into plain words."""

    def __init__(self, place: Path) -> None:
        self._place = place

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError | tarfile.TarError):
            raise EngineError(
                f"{self._place} cannot be written or read: {error}.", "Is the disk there, and has it room?"
            ) from error
