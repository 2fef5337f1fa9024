"""How much machine there is: what this process may use, not what the hardware has."""

import os
from dataclasses import dataclass
from pathlib import Path


def memory_bytes() -> int:
    """Physical memory, or the control group's limit where that is less."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([physical, *control_group_limits()])


def control_group_limits() -> list[int]:
    limits: list[int] = []
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            text = Path(path).read_text().strip()
        except OSError:
            continue
        if text.isdecimal():
            limits.append(int(text))
    return limits


def cores() -> int:
    """Processors this process may run on, at least 1."""
    return len(os.sched_getaffinity(0)) or 1


def shared_memory_bytes() -> int:
    """Size of the shared memory file system, 0 when there is none."""
    try:
        facts = os.statvfs("/dev/shm")  # noqa: S108 — asked for its size
    except OSError:
        return 0
    return facts.f_frsize * facts.f_blocks


CONTROL_GROUP = Path("/sys/fs/cgroup")
MEMINFO = Path("/proc/meminfo")
STAT = Path("/proc/stat")


def memory_used_bytes() -> int:
    """What cannot be given to somebody else: of the control group when that is limited, otherwise of the machine."""
    group = _number(CONTROL_GROUP / "memory.current") if control_group_limits() else None
    if group is not None:
        # Files that were read are dropped when memory is wanted.
        return max(0, group - _fields(CONTROL_GROUP / "memory.stat").get("inactive_file", 0))
    facts = _fields(MEMINFO)
    return max(0, facts.get("MemTotal", 0) - facts.get("MemAvailable", 0)) * 1024


def cpu_seconds() -> float:
    """Processor time used so far: by the control group when that is limited, otherwise by all of the machine."""
    if _quota() is not None:
        return _fields(CONTROL_GROUP / "cpu.stat").get("usage_usec", 0) / 1e6
    try:
        ticks = [int(part) for part in STAT.read_text().split("\n", 1)[0].split()[1:9]]
    except (OSError, ValueError):
        return 0.0
    return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")  # neither idle nor waiting for a disk


def cpu_limit() -> float:
    """How many seconds of processor time there are in a second."""
    quota = _quota()
    if quota is not None:
        return quota
    return float(os.cpu_count() or 1)


@dataclass(frozen=True)
class Disk:
    used_bytes: int
    limit_bytes: int
    """What a program without root's rights can fill."""


def disk(place: Path) -> Disk | None:
    """The disk that `place` is on, or will be when it is made; None when that cannot be said."""
    there = next((folder for folder in (place, *place.parents) if folder.exists()), place)
    try:
        facts = os.statvfs(there)
    except OSError:
        return None
    used = (facts.f_blocks - facts.f_bfree) * facts.f_frsize
    return Disk(used, used + facts.f_bavail * facts.f_frsize)


def _quota() -> float | None:
    try:
        quota, period = (CONTROL_GROUP / "cpu.max").read_text().split()
    except (OSError, ValueError):
        return None
    return int(quota) / int(period) if quota.isdecimal() else None


def _number(path: Path) -> int | None:
    try:
        text = path.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdecimal() else None


def _fields(path: Path) -> dict[str, int]:
    """Lines of a name and a number."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return {}
    pairs = (line.replace(":", " ").split() for line in lines)
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) >= 2 and pair[1].isdecimal()}
