"""Brings the server's log of changes into an encrypted archive. A process of its own, started by `archive.Archiver`.

    python -P -c "from forecourt.engines.stream import main; main()" < ORDER

pg_receivewal writes the log to a spool beside the data, from where it is encrypted into the archive: whole files of the log as
they are done, and of the one that is being written what has come, each second.

    wal/<file>.age                  a whole file of the log
    wal/<file>.<from>-<to>.age      part of the one that is being written, until it is whole

The spool is never relied on: the server may forget what is on the archive's disk under its final name, and no more
(`pg_replication_slot_advance`), and each start begins with an empty spool and what the server has kept. So there is no moment at
which a death loses a change: of the server, of this process, of pg_receivewal, or of all of them.
"""

import asyncio
import contextlib
import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import asyncpg
import msgspec

from forecourt.engines.postgres import asked
from forecourt.engines.process import EngineError, Owner, clear_leftovers, guarded
from forecourt.engines.sealing import SUFFIX, Sealer

SLOT = "forecourt_archive"
PROGRAM = "pg_receivewal"
SEAL_S = 1.0
"""Between two looks at what has come: with the time that they take, what a lost disk takes along."""
RETRY_S = 5.0
ANSWER_LIMIT_S = 30.0
LEFT_LIMIT_S = 30.0
MOST_PARTS = 60
"""Of one file of the log. Then they are made one: a quiet house fills a file in hours."""
FULL_SPOOL, ROOMY_SPOOL = 32, 8
"""Whole files that wait for a slow archive: the stream is held up beyond the first, and let go on below the second."""
TEND_S = 0.2
ALONE_MOST = 30
BLOCK_BYTES = 1 << 16

START = (
    "select s.restart_lsn - '0/0'::pg_lsn, (select c.timeline_id from pg_control_checkpoint() c),"
    " (select g.setting::bigint from pg_settings g where g.name = 'wal_segment_size')"
    " from pg_replication_slots s where s.slot_name = $1"
)
WRITTEN = "select max(r.write_lsn) - '0/0'::pg_lsn from pg_stat_replication r where r.application_name = $1"
RELEASE = (
    "select pg_replication_slot_advance(s.slot_name, '0/0'::pg_lsn + $2::numeric) from pg_replication_slots s"
    " where s.slot_name = $1 and s.restart_lsn < '0/0'::pg_lsn + $2::numeric"
)


class Order(msgspec.Struct, frozen=True):
    """What this process is to do."""

    database_url: str
    program: str
    """Where pg_receivewal is."""
    spool: str
    wal: str
    """The archive's folder. It is there: one that is not means that the archive's disk is away."""
    recipients: tuple[str, ...]


class Position(msgspec.Struct, frozen=True):
    """A file of the log."""

    timeline: int
    number: int
    size_bytes: int

    @property
    def name(self) -> str:
        per_log = (1 << 32) // self.size_bytes
        return f"{self.timeline:08X}{self.number // per_log:08X}{self.number % per_log:08X}"

    def following(self) -> "Position":
        return Position(self.timeline, self.number + 1, self.size_bytes)


def next_name(name: str, size_bytes: int) -> str:
    """The file of the log after `name`."""
    timeline, log, part = (int(name[at : at + 8], 16) for at in (0, 8, 16))
    return Position(timeline, log * ((1 << 32) // size_bytes) + part, size_bytes).following().name


class Spool:
    """What has come and is not in the archive yet, in the order of the log."""

    def __init__(self, spool: Path, wal: Path, sealer: Sealer, begin: Position) -> None:
        self._spool, self._wal, self._sealer = spool, wal, sealer
        self._at = begin
        self._sealed_bytes = 0
        """Of the file that is being written."""
        self._looked_at_ns = 0
        """When it had been written to last."""
        self._parts: list[Path] | None = None
        """What the archive has of it; None: not looked up yet."""

    def stirred(self) -> bool:
        """Whether anything may have come since the last look. The clock of a disk is coarse: what comes just after a look is told
        of by the server, a little later."""
        try:
            return self._looked_at_ns != (self._spool / f"{self._at.name}.partial").stat().st_mtime_ns
        except FileNotFoundError:
            return True

    def waiting(self) -> int:
        """Whole files of the log."""
        return sum(1 for file in self._spool.iterdir() if len(file.name) == len(self._at.name))

    def seal(self) -> None:
        """Bring all that has come. Raises OSError."""
        self._seal_histories()
        while self.seal_next():
            pass

    def seal_next(self) -> bool:
        """Bring one whole file, or what has come of the one that is being written; whether there may be more. Raises OSError."""
        whole, growing = self._spool / self._at.name, self._spool / f"{self._at.name}.partial"
        try:
            if whole.exists():
                self._whole(whole)
                return True
            if growing.exists():
                self._part(growing)
                return whole.exists()
        except FileNotFoundError:
            if not self._wal.is_dir():
                raise
            return True  # it was done meanwhile, and has its final name now
        return whole.exists()

    def _seal_histories(self) -> None:
        """What timelines came from. Few and small, and they do not change."""
        for file in self._spool.glob("*.history"):
            target = self._wal / (file.name + SUFFIX)
            if not target.exists():
                self._sealer.file(file, target)

    def _whole(self, file: Path) -> None:
        target = self._wal / (file.name + SUFFIX)
        if not target.exists():
            self._sealer.file(file, target)
        for part in self._wal.glob(f"{file.name}.*-*{SUFFIX}"):
            part.unlink(missing_ok=True)
        file.unlink()
        self._at, self._sealed_bytes, self._parts = self._at.following(), 0, None

    def _part(self, file: Path) -> None:
        with file.open("rb") as log:
            self._looked_at_ns = os.fstat(log.fileno()).st_mtime_ns
            end = end_of(log.fileno())
            if end <= self._sealed_bytes:
                return
            if self._parts is None:
                self._parts = list(self._wal.glob(f"{self._at.name}.*-*{SUFFIX}"))
            begin = self._sealed_bytes if len(self._parts) < MOST_PARTS else 0
            content = os.pread(log.fileno(), end - begin, begin)
        made = self._wal / part_name(self._at.name, begin, end)
        self._sealer.content(content, made)
        self._sealed_bytes = end
        needless = {part for part in self._parts if part != made and covers(made, part)}
        for part in needless:
            part.unlink(missing_ok=True)
        self._parts = [part for part in self._parts if part not in needless and part != made] + [made]


def part_name(file: str, begin: int, end: int) -> str:
    return f"{file}.{begin:08x}-{end:08x}{SUFFIX}"


def span(part: Path) -> tuple[int, int]:
    """From where to where in its file of the log a part goes."""
    begin, _, end = part.name.removesuffix(SUFFIX).partition(".")[2].partition("-")
    return int(begin, 16), int(end, 16)


def covers(made: Path, part: Path) -> bool:
    return span(made)[0] <= span(part)[0] and span(part)[1] <= span(made)[1]


def end_of(log: int) -> int:
    """How far a file of the log has been written that was filled with zeros first.

    Looked for from its end: it is written forwards, so what lies before the last that is there is there as well, even while it
    goes on. Zeros at the end of a record are left out: whoever reads the file fills it up again.
    """
    at = os.fstat(log).st_size
    while at > 0:
        begin = max(0, at - BLOCK_BYTES)
        if found := len(os.pread(log, at - begin, begin).rstrip(b"\0")):
            return begin + found
        at = begin
    return 0


class Stream:
    """One run of pg_receivewal into an empty spool."""

    def __init__(self, order: Order, stop: asyncio.Event) -> None:
        self._order, self._stop = order, stop
        self._spool, self._wal = Path(order.spool), Path(order.wal)
        self._name = f"{SLOT}.{os.getpid()}.{os.urandom(4).hex()}"
        """Another each time: an earlier stream, which the server may not miss yet, tells what came into a spool that is gone.
        `archive.py` knows it by our process id."""
        self._released = 0
        self._alone = 0
        """Rounds without a connection. A server that is stopping ends them first, and streams its last words after that."""

    async def run(self) -> None:
        """Until it is told to stop or the server ends the stream. Raises EngineError, OSError, asyncpg.PostgresError."""
        link = await asyncpg.connect(self._order.database_url, timeout=ANSWER_LIMIT_S, command_timeout=ANSWER_LIMIT_S)
        try:
            begin = await self._begin(link)
            self._empty(begin)
            with self._receiving() as child:
                spool = Spool(self._spool, self._wal, Sealer(self._order.recipients), begin)
                tending = asyncio.create_task(tend(child, spool))
                try:
                    while child.poll() is None and not self._stop.is_set():
                        await self._round(link, spool)
                        with contextlib.suppress(TimeoutError):
                            await asyncio.wait_for(self._stop.wait(), SEAL_S)
                finally:
                    tending.cancel()
                end(child)
                await asyncio.to_thread(spool.seal)
        finally:
            link.terminate()

    async def _begin(self, link: "asyncpg.Connection[asyncpg.Record]") -> Position:
        found = await link.fetchrow(START, SLOT)
        if found is None or found[0] is None:
            raise EngineError(
                "The server no longer keeps what the archive has not got: it has a gap from here on.",
                "Open the house with a new archive directory, and make a whole copy.",
            )
        at, timeline, size_bytes = (int(value) for value in found)
        return Position(timeline, at // size_bytes, size_bytes)

    def _empty(self, begin: Position) -> None:
        """Leave only the name of the file to begin with: pg_receivewal goes on with the last that it finds in the spool."""
        clear_leftovers(self._spool, PROGRAM, patience_s=0)
        for file in self._spool.iterdir():
            file.unlink()
        for part in self._wal.glob(f"*{SUFFIX}.*.part"):
            part.unlink()
        (self._spool / f"{begin.name}.partial").touch(mode=0o600)

    @contextlib.contextmanager
    def _receiving(self) -> "Generator[subprocess.Popen[bytes], None, None]":
        server = asked(self._order.database_url, self._name)
        command = [self._order.program, "--dbname", server.database_url, "--directory", self._order.spool]
        # Not to the disk: the spool is thrown away whenever anything ends.
        command += ["--no-sync", "--no-loop", "--no-password", "--status-interval=1"]
        child = subprocess.Popen(  # noqa: S603
            # Killed, for it may be held up when we die, and a held-up process hears of nothing else.
            guarded(command, Owner("self", os.geteuid()), signal.SIGKILL),
            cwd=self._spool,
            env=server.environ,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            yield child
        finally:
            child.kill()
            child.wait()

    async def _round(self, link: "asyncpg.Connection[asyncpg.Record]", spool: Spool) -> None:
        """Bring what has come into the archive; then, and only then, let the server forget it."""
        told = await self._written(link)  # asked first: this much is in the spool now
        if told is not None and told == self._released and not spool.stirred():
            return
        await asyncio.to_thread(spool.seal)
        if link.is_closed():
            self._alone += 1
            if self._alone > ALONE_MOST:
                raise EngineError("The server does not answer, though it streams.", "The stream begins anew.")
        elif told is not None:
            with contextlib.suppress(asyncpg.InterfaceError, OSError, asyncpg.PostgresConnectionError):
                await link.execute(RELEASE, SLOT, told)
                self._released = told

    async def _written(self, link: "asyncpg.Connection[asyncpg.Record]") -> int | None:
        """How far the stream has come. None: nobody knows; the server may be leaving, its last words still on their way."""
        try:
            told = await link.fetchval(WRITTEN, self._name)
        except (asyncpg.InterfaceError, OSError, asyncpg.PostgresConnectionError, asyncpg.OperatorInterventionError):
            return None
        return None if told is None else int(told)


async def tend(child: "subprocess.Popen[bytes]", spool: Spool) -> None:
    """Hold the stream up while the archive takes what came more slowly, or not at all: the spool is on the house's disk."""
    held = False
    while True:
        waiting = spool.waiting()
        if not held and waiting > FULL_SPOOL:
            held = True
            child.send_signal(signal.SIGSTOP)
        elif held and waiting < ROOMY_SPOOL:
            held = False
            child.send_signal(signal.SIGCONT)
        await asyncio.sleep(TEND_S)


def end(child: "subprocess.Popen[bytes]") -> None:
    """Let it write what it has in hand."""
    child.send_signal(signal.SIGCONT)
    child.send_signal(signal.SIGINT)
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(LEFT_LIMIT_S / 3)


async def work(order: Order) -> None:
    """Stream until told to stop; what goes wrong is said and tried again."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    while not stop.is_set():
        try:
            await Stream(order, stop).run()
        except (EngineError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            sys.stderr.write(f"{type(error).__name__}: {error}\n")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), RETRY_S)


async def alone(order: Order) -> None:
    """One process at a time uses a spool: an earlier one, whose house was killed, brings what it has and leaves."""
    handle = os.open(order.spool, os.O_RDONLY)
    for _ in range(int(LEFT_LIMIT_S * 10)):
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            await asyncio.sleep(0.1)
        else:
            return await work(order)
    sys.exit(f"Another process still streams into {order.spool}.")


def main() -> None:
    """Do what the order on standard input says. The interpreter's exit status is 0 when it was told to stop."""
    asyncio.run(alone(msgspec.json.decode(sys.stdin.buffer.read(), type=Order)))
