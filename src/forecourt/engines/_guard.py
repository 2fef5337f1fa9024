"""Become an engine that dies with the program which started it.

    python -I -S _guard.py PARENT_PID DEATH_SIGNAL OWNER -- PROGRAM [ARGUMENT...]

Runs as a process of its own, before the engine takes its place by `exec`, because the three steps here are unsafe in a forked
copy of a program with threads. OWNER is `self` or, for root, the number of the user to become; with `+namespace` behind it the
engine believes to be user 65534 while its files belong to the OWNER. Exits with 77 when the system refuses a user namespace.
Standard library only.
"""

import ctypes
import os
import signal
import sys

NAMESPACE_REFUSED = 77
PARENT_IS_GONE = 78
PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_KEEPCAPS = 8
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
CLONE_NEWUSER = 0x10000000
CAPABILITY_VERSION_3 = 0x20080522
CAP_DAC_OVERRIDE = 1
UNPRIVILEGED = 65534

libc = ctypes.CDLL(None, use_errno=True)


def enter_namespace() -> None:
    """PostgreSQL refuses to be user 0 or a user without a name; here it sees another number and owns the same files."""
    group = os.getegid()
    user = os.geteuid()
    libc.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)  # after a change of user our own /proc entries would not be ours to write
    if libc.unshare(CLONE_NEWUSER) != 0:
        sys.exit(NAMESPACE_REFUSED)
    try:
        for name, line in (
            ("setgroups", "deny"),
            ("uid_map", f"{UNPRIVILEGED} {user} 1"),
            ("gid_map", f"{UNPRIVILEGED} {group} 1"),
        ):
            with open(f"/proc/self/{name}", "w") as file:  # noqa: PTH123 — pathlib would double the start-up time
                file.write(line)
    except OSError:
        sys.exit(NAMESPACE_REFUSED)


def become(user: int) -> None:
    """Drop from root to `user`, keeping one right: to walk through directories such as /root that lead to the data."""
    libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setgroups([])
    os.setgid(user)
    os.setuid(user)
    bit = 1 << CAP_DAC_OVERRIDE
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    rights = (ctypes.c_uint32 * 6)(bit, bit, bit, 0, 0, 0)  # effective, permitted, inheritable; low words, then high words
    # A container may have taken the right away for good; then the path must be open to the user, and PostgreSQL says so.
    if libc.capset(header, rights) == 0:
        libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_OVERRIDE, 0, 0)


def main(arguments: list[str]) -> None:
    # Python's own handler would only take note, and `exec` would forget the note: the signal would be lost, the engine live on.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    parent, death_signal, owner, _, *command = arguments
    user, _, place = owner.partition("+")
    if user != "self":
        become(int(user))
    if place == "namespace":
        enter_namespace()
    # Last, because a change of user clears it; and the parent may have died before it was set.
    libc.prctl(PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
    if os.getppid() != int(parent):
        sys.exit(PARENT_IS_GONE)
    os.execv(command[0], command)  # noqa: S606 — no shell is wanted


if __name__ == "__main__":
    main(sys.argv[1:])
