"""The server's log of changes, streamed to another disk while the server runs: the last commit is there within milliseconds.

An archive tells one story: of one database, between two restores of it. The files of every database have the same names, so a
second one would write over the first, and neither could be restored.
"""

import contextlib
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from forecourt.engines import postgres as pg
from forecourt.engines.process import EngineError, Nursery, Owner, clear_leftovers, open_log
from forecourt.engines.sealing import Description, Story, describe, described, holds, keep, sealed_for, write
from forecourt.engines.stream import PROGRAM, SLOT, Order

NAME = "archive"
KEPT_WHERE = "archived_in"
"""In the data: where the archive is."""
STOP_STEPS = ((signal.SIGINT, 30.0), (signal.SIGKILL, 5.0))
ASK_LIMIT_S = 30
STORY = "select s.system_identifier, c.timeline_id from pg_control_system() s, pg_control_checkpoint() c"
STREAM_LIMIT_S = 10.0
STREAM_PAUSE_S, STREAM_PAUSE_MOST_S = 0.02, 0.5
"""Between two questions: each is a program that is started, while everything else starts as well."""
LOST = f"select 1 from pg_replication_slots where slot_name = '{SLOT}' and wal_status = 'lost' and not active"  # noqa: S608
STREAMED = f"select 1 from pg_replication_slots where slot_name = '{SLOT}' and active"  # noqa: S608
RESERVE = (
    f"select pg_create_physical_replication_slot('{SLOT}', true)"  # noqa: S608
    f" where not exists (select from pg_replication_slots where slot_name = '{SLOT}')"
)
_SEGMENT = re.compile(r"(?P<timeline>[0-9A-F]{8})[0-9A-F]{16}(\.partial)?")
_SYSTEM_AT = slice(24, 32)
"""In the first page of each file of the log: the number of the database that wrote it (XLogLongPageHeaderData)."""


def story_of(database_url: str) -> Story:
    """That of a running server. Raises EngineError."""
    system, timeline = ask(database_url, STORY).split("|")
    return Story(int(system), int(timeline))


def story_in(place: Path) -> Story | None:
    """That of an archive; None while it has none. Raises EngineError."""
    if (there := described(place)) is not None:
        return there.story
    try:
        return _story_of_log(place / "wal") or _story_of_copy(place / "base")
    except (OSError, ValueError, LookupError) as error:
        raise EngineError(
            f"The archive {place} cannot be read: {error}.", "Is the disk there, and is it ours to read?"
        ) from error


def _story_of_log(wal: Path) -> Story | None:
    for file in sorted(wal.glob("0*"), reverse=True):
        named = _SEGMENT.fullmatch(file.name)
        if named is not None:
            with file.open("rb") as log:
                system = int.from_bytes(log.read(_SYSTEM_AT.stop)[_SYSTEM_AT], sys.byteorder)
            if system:  # none as yet: it was only just made
                return Story(system, int(named["timeline"], 16))
    return None


def _story_of_copy(base: Path) -> Story | None:
    for note in sorted(base.glob("*[!t]/note.json"), reverse=True):  # not in *.part
        manifest = json.loads((note.parent / "copy" / "backup_manifest").read_bytes())
        return Story(int(manifest["System-Identifier"]), max(int(part["Timeline"]) for part in manifest["WAL-Ranges"]))
    return None


def refuse_another(place: Path, database_url: str) -> None:
    """Raises EngineError when an archive tells another story than the server."""
    there = story_in(place)
    if there is None or there == (here := story_of(database_url)):
        return
    whose = "another house" if there.system != here.system else "this house as it was before, or after, it was restored"
    raise EngineError(f"{place} is the archive of {whose}: one of the two would be lost.", "Name an empty directory.")


def ask(database_url: str, statement: str) -> str:
    """What a running server answers to one statement, columns parted by `|`. Raises EngineError."""
    command = [pg.program("psql"), "--no-psqlrc", "--no-password", "--quiet", "--no-align", "--tuples-only"]
    server = pg.asked(database_url)
    try:
        done = subprocess.run(  # noqa: S603
            [*command, "--dbname", server.database_url, "--command", statement],
            env=server.environ,
            check=False,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=ASK_LIMIT_S,
        )
    except subprocess.TimeoutExpired:
        raise EngineError(f"The database did not answer within {ASK_LIMIT_S} s.", "Look at log/postgres.log.") from None
    if done.returncode != 0:
        raise EngineError("The database does not answer.", done.stderr.strip()[-2000:])
    return done.stdout.strip()


def refuse_astray(place: Path) -> None:
    """Raises EngineError for an archive in a directory that is not there: its disk is not mounted, or its name is not right."""
    if not place.parent.is_dir():
        raise EngineError(
            f"There is no directory {place.parent}, so the archive {place.name} cannot be in it.",
            "Is its disk mounted, and its name right? If so, make that directory first; only the last one is made here.",
        )


def make_place(place: Path) -> None:
    """Make the directory of an archive, if there is none, and nothing above it. Raises EngineError, OSError."""
    refuse_astray(place)
    place.mkdir(mode=0o700, exist_ok=True)


def recognise(place: Path, data: Path) -> None:
    """Let the house over `data` remember where its archive is. Raises EngineError where it was and is not any more: in the mount
    point of a disk that is away a second one would begin, beside the data."""
    where, kept = str(place.resolve()), data / KEPT_WHERE
    if described(place) is not None or holds(place, "wal/*") or holds(place, "base/*"):
        if data.is_dir() and _where(kept) != where:
            write(kept, where.encode())
    elif _where(kept) == where:
        raise EngineError(
            f"The archive of this house was in {place}, and nothing is there now.",
            "Is its disk mounted? If what was there is lost, begin a new archive in another directory.",
        )


def _where(kept: Path) -> str:
    try:
        return kept.read_text()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise EngineError(f"{kept} cannot be read: {error}.", "Is it ours to read?") from error


def on_same_disk(place: Path, data: Path) -> bool:
    """Whether an archive is, or would be, on the file system of the data. What cannot be asked is not."""
    try:
        return (place if place.exists() else place.parent).stat().st_dev == data.stat().st_dev
    except OSError:
        return False


def reserve(place: Path, database_url: str) -> bool:
    """Make the server keep what the archive has not got. Returns whether it has all of it: else the archive has a gap.

    An archive that was away for too long, and this is the new one: there is none. In the old one nothing closes it.
    """
    lost = bool(ask(database_url, LOST))
    anew = lost and not any((place / "wal").iterdir())
    if anew:
        ask(database_url, f"select pg_drop_replication_slot('{SLOT}')")
    ask(database_url, RESERVE)
    return anew or not lost


def encrypt(place: Path, data: Path, recipients: Sequence[str], database_url: str) -> None:
    """Make `place` an encrypted archive of the server's changes, if it is none yet, and let the house remember for whom.

    `recipients` are those of `sealed_for`; without any nothing is done. Raises EngineError.
    """
    if not recipients:
        return
    try:
        if described(place) is None:
            describe(place, Description(tuple(recipients), story_of(database_url)))
        keep(data, recipients)
    except OSError as error:
        raise EngineError(f"{place} cannot be written: {error}.", "Is the disk there, and has it room?") from error


def receiving(database_url: str, wal: Path) -> list[str | Path]:
    """The command that writes the log into an archive which is not encrypted."""
    command = [pg.program(PROGRAM), "--dbname", database_url, "--directory", wal, "--slot", SLOT]
    return [*command, "--synchronous", "--no-password", "--status-interval=1"]


def await_stream(database_url: str, streamed: str, nursery: Nursery) -> None:
    """Wait until the server answers to `streamed`, and so knows of the stream: from then on it does not end without handing over
    its last words. One that does not come keeps no house from opening, or from closing; an alert tells of it."""
    give_up, pause_s = time.monotonic() + STREAM_LIMIT_S, STREAM_PAUSE_S
    while not (nursery.closing.is_set() or nursery.died(NAME) or time.monotonic() > give_up or ask(database_url, streamed)):
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, STREAM_PAUSE_MOST_S)


class Archiver:
    """Streams the server's log of changes into `place/wal` while the server runs. An engine like the others.

    With `recipients` what arrives is encrypted for them (`stream.py`); else pg_receivewal writes into the archive itself.
    """

    name = NAME

    def __init__(
        self, place: Path, database_url: str, data: Path, owner: Owner, nursery: Nursery, recipients: Sequence[str] = ()
    ) -> None:
        self.place = place
        self.wal = place / "wal"
        self.spool = data / "spool"
        self.database_url = database_url
        self.owner = owner.outside()
        self.nursery = nursery
        self.data = data
        self.log = data / "log" / "archive.log"
        self.recipients = sealed_for(place, data, recipients)

    def prepare(self, report: Callable[[str], None]) -> None:
        """Find the archive's place usable before anything else starts. Raises EngineError."""
        try:
            recognise(self.place, self.data)
            make_place(self.place)
            self.owner.mkdir(self.wal)
            if self.recipients:
                self.owner.mkdir(self.spool)
        except OSError as error:
            raise EngineError(
                f"The archive {self.place} cannot be used: {error.strerror or error}.",
                "Mount its disk, or name another place with --archive.",
            ) from error
        open_log(self.log, self.owner)

    def launch(self) -> None:
        """Nothing yet: the server has to be there first."""

    def await_ready(self, report: Callable[[str], None]) -> None:
        """Make the server keep what the archive has not got, and start the stream."""
        refuse_another(self.place, self.database_url)
        clear_leftovers(self.wal, PROGRAM, patience_s=5)
        kept = reserve(self.place, self.database_url)
        streamed = self._stream_encrypted() if self.recipients else self._stream()
        if kept:
            await_stream(self.database_url, streamed, self.nursery)

    def _stream(self) -> str:
        """Start pg_receivewal. Returns the question whether the server knows of it."""
        self.nursery.start(
            NAME,
            receiving(self.database_url, self.wal),
            self.owner,
            cwd=self.wal,
            log=self.log,
            death_signal=signal.SIGINT,
        )
        return STREAMED

    def _stream_encrypted(self) -> str:
        """Start what encrypts (`stream.py`). Returns the question whether the server knows of this very stream."""
        encrypt(self.place, self.data, self.recipients, self.database_url)
        order = Order(self.database_url, str(pg.program(PROGRAM)), str(self.spool), str(self.wal), tuple(self.recipients))
        child = self.nursery.start(
            NAME,
            # -P: what lies in a working directory is no part of the program.
            [sys.executable, "-P", "-c", "from forecourt.engines.stream import main; main()"],
            self.owner,
            cwd=self.spool,
            log=self.log,
            death_signal=signal.SIGINT,
            stdin=msgspec.json.encode(order),
        )
        return (
            f"select 1 from pg_stat_replication where application_name like '{SLOT}.{child.pid}.%'"  # noqa: S608
            " and state in ('catchup', 'streaming')"
        )

    def stop(self) -> None:
        self.nursery.end(NAME, STOP_STEPS)
        with contextlib.suppress(EngineError, OSError):  # that the disk went away meanwhile is said at the next start
            recognise(self.place, self.data)
