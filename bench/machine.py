"""The machine under the measurement: which cores do what, and what a process used."""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path

import msgspec

ROOT = Path(__file__).resolve().parent.parent
TICK_US = 1_000_000 / os.sysconf("SC_CLK_TCK")


class Cores(msgspec.Struct, frozen=True):
    """The server under test has a core of its own; load programs, PostgreSQL and Valkey share the others."""

    server: set[int]
    others: set[int]


def split_cores() -> Cores:
    """With a single core there is nothing to split, and figures per core mean little."""
    mine = sorted(os.sched_getaffinity(0))
    return Cores({mine[0]}, set(mine[1:])) if len(mine) > 1 else Cores(set(mine), set(mine))


def all_cores() -> Cores:
    """Everybody shares all of them, as on a machine that runs the whole house."""
    mine = set(os.sched_getaffinity(0))
    return Cores(mine, mine)


class Used(msgspec.Struct, frozen=True):
    """What a process has used of the processor since it began."""

    cpu_us: float

    @classmethod
    def by(cls, pid: int) -> Used:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        return cls((int(fields[11]) + int(fields[12])) * TICK_US)


def resident_mib(pid: int) -> float:
    """Resident memory of a process, MiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def tree_of(pid: int) -> list[int]:
    """The process and all its descendants."""
    found = [pid]
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                found += tree_of(int(child))
    return found


def called(name: str) -> list[int]:
    """This process's descendants of that name, the eldest first."""
    found: list[int] = []
    for pid in tree_of(os.getpid()):
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/comm").read_text().strip() == name:
                found.append(pid)
    return found


def cpu_us(pids: Iterable[int]) -> dict[int, float]:
    """What each of these processes has used since it began; those that have ended are left out."""
    found: dict[int, float] = {}
    for pid in pids:
        with contextlib.suppress(OSError):
            found[pid] = Used.by(pid).cpu_us
    return found


def postgres_cpu_us() -> dict[int, float]:
    """What each of this process's PostgreSQL processes has used since it began."""
    return cpu_us(called("postgres"))


class Busy:
    """How busy the machine is beside us: taken before a measurement, so that a reader can judge the figures."""

    def __init__(self) -> None:
        self._before = self._read()

    @staticmethod
    def _read() -> tuple[int, int]:
        fields = [int(n) for n in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
        return sum(fields), fields[3] + fields[4]

    def percent(self) -> float:
        """Of all cores, since this object was made."""
        total, idle = self._read()
        return round(100 * (1 - (idle - self._before[1]) / max(1, total - self._before[0])), 1)


def quiet(seconds: float = 1.0) -> float:
    """Percent of all cores in use while we do nothing for `seconds`."""
    busy = Busy()
    time.sleep(seconds)
    return busy.percent()


class Machine(msgspec.Struct, frozen=True):
    """Where and when a figure was taken."""

    at: str
    cores: int
    processor: str
    memory_mib: int
    kernel: str
    python: str
    commit: str
    load_before: tuple[float, float, float]
    busy_before_pct: float
    """Percent of all cores that others used in the second before."""

    @classmethod
    def look(cls) -> Machine:
        return cls(
            at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            cores=len(os.sched_getaffinity(0)),
            processor=_processor(),
            memory_mib=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // (1024 * 1024),
            kernel=platform.release(),
            python=platform.python_version(),
            commit=_commit(),
            load_before=os.getloadavg(),
            busy_before_pct=quiet(),
        )


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _commit() -> str:
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        done = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=True)
        return done.stdout.strip()
    return "unknown"
