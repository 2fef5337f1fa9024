"""How much machine there is: what this process may use, not what the hardware has."""

import os
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
