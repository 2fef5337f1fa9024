"""A program that runs the engines, in a process of its own so that it can be killed, and eyes that do not trust it."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from forecourt.engines import start_engines

PATIENCE_S = 20
PROGRAM = """
import signal, sys
from pathlib import Path
from forecourt.engines import EngineError, start_engines
try:
    with start_engines(Path(sys.argv[1])) as engines:
        print(engines.database_url, engines.valkey_url, flush=True)
        signal.pause()
except KeyboardInterrupt:
    print("interrupted", flush=True)
except EngineError as error:
    print("refused:", error, flush=True)
"""


def memory_disk() -> Path | None:
    """A file system in memory, for speed: processes are killed here, not machines. None where it has no room."""
    place = Path("/dev/shm")
    return place if place.is_dir() and os.access(place, os.W_OK) and shutil.disk_usage(place).free > 4 * 1024**3 else None


def eventually(holds: Callable[[], bool]) -> bool:
    """Whether `holds()` becomes true in bounded time."""
    give_up = time.monotonic() + PATIENCE_S
    while not holds():
        if time.monotonic() > give_up:
            return False
        time.sleep(0.02)
    return True


def processes_of(data: Path) -> dict[int, str]:
    """Every living process but us that works below `data` or was started with its path: looked up without the code under test."""
    home = os.fsencode(data.resolve())
    found: dict[int, str] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            at = os.fsencode((entry / "cwd").readlink()).removesuffix(b" (deleted)")
            if at == home or at.startswith(home + b"/") or home in (entry / "cmdline").read_bytes():
                found[int(entry.name)] = (entry / "comm").read_text().strip()
    return found


@dataclass
class Program:
    """A running program with engines over `data`."""

    process: subprocess.Popen[str]
    data: Path

    def first_line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def addresses(self) -> tuple[str, str]:
        database_url, valkey_url = self.first_line().split()
        return database_url, valkey_url

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(PATIENCE_S)

    def interrupt(self) -> str:
        """Press Ctrl-C; the rest of what the program says."""
        self.process.send_signal(signal.SIGINT)
        return self.process.communicate(timeout=PATIENCE_S)[0]


RunProgram = Callable[..., Program]


def unmeasured() -> dict[str, str]:
    """Our environment without coverage: under its tracer a Ctrl-C is lost now and then, without a word (about one in ten)."""
    return {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}


@pytest.fixture
def run_program() -> Iterator[RunProgram]:
    started: list[Program] = []

    def run(data: Path, *, prefix: Sequence[str] = (), python: str = sys.executable, preamble: str = "") -> Program:
        process = subprocess.Popen(
            [*prefix, python, "-c", preamble + PROGRAM, str(data)],
            stdout=subprocess.PIPE,
            text=True,
            env=unmeasured() | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )
        started.append(Program(process, data))
        return started[-1]

    yield run
    for program in started:
        program.kill()
        assert program.process.stdout is not None
        program.process.stdout.close()
        assert eventually(lambda data=program.data: not processes_of(data)), processes_of(program.data)


@pytest.fixture(scope="session")
def made_once() -> Iterator[Path]:
    """A data directory that engines were started and stopped in."""
    base = Path(tempfile.mkdtemp(prefix="fc-test-", dir=memory_disk()))
    start_engines(base / "var").stop()
    yield base / "var"
    shutil.rmtree(base)


@pytest.fixture
def made(data: Path, made_once: Path) -> Path:
    """`data`, already made: for tests that are not about making it."""
    shutil.copytree(made_once, data, symlinks=True)
    return data


@pytest.fixture
def data() -> Iterator[Path]:
    """A place for a data directory which does not exist yet, short enough for sockets and open to other users."""
    base = Path(tempfile.mkdtemp(prefix="fc-test-", dir=memory_disk()))
    base.chmod(0o755)
    yield base / "var"
    assert eventually(lambda: not processes_of(base)), f"left behind: {processes_of(base)}"
    shutil.rmtree(base)
