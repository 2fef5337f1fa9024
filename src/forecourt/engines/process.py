"""Child processes that cannot outlive us, and whatever an earlier, killed run left behind."""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TypeVar, cast

GUARD = Path(__file__).with_name("_guard.py")
NAMESPACE_REFUSED = 77  # the guard's exit status
UNPRIVILEGED_USER = 65534
POLL_S = 0.01
NOTICE_S = 0.05
LOG_LIMIT_BYTES = 10 * 1024 * 1024
LOG_TAIL_LINES = 12


T = TypeVar("T")


class EngineError(Exception):
    """An engine could not be started or kept: what happened, and what to do now, in plain words."""

    def __init__(self, happened: str, cure: str) -> None:
        super().__init__(f"{happened}\n{cure}")
        self.happened = happened
        self.cure = cure


@dataclass(frozen=True)
class Owner:
    """How an engine gets its user (OWNER in `_guard.py`), and the number of the user who owns its files on disk."""

    mode: str
    user: int

    def in_namespace(self) -> "Owner":
        return Owner(f"{self.mode}+namespace", self.user)

    def outside(self) -> "Owner":
        """The same user without a namespace, for an engine that does not mind being root."""
        return Owner(self.mode.partition("+")[0], self.user)

    def mkdir(self, path: Path) -> Path:
        """Make `path` a directory that only the engine's user may enter."""
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.give(path)
        path.chmod(0o700)
        return path

    def give(self, path: Path) -> None:
        if os.geteuid() == 0 and path.stat().st_uid != self.user:
            os.chown(path, self.user, self.user)

    def give_all(self, top: Path) -> None:
        """Hand over a whole tree, as when a data directory moves to a machine that refuses user namespaces."""
        if os.geteuid() != 0 or not top.exists() or top.stat().st_uid == self.user:
            return
        for folder, _, files in os.walk(top):
            for name in files:
                os.chown(Path(folder, name), self.user, self.user, follow_symlinks=False)
        for folder, _, _ in os.walk(top, topdown=False):  # the top last: its owner tells that the work is complete
            os.chown(folder, self.user, self.user)


def choose_owner(data: Path) -> Owner:
    """Who runs the engines over `data`: an ordinary user itself; root in a user namespace, or as the directory's ordinary owner.

    Where root may not make user namespaces (many containers), the engines run as user 65534 and own their directories. A user
    whom the system has no name for (containers again) needs a namespace too. Raises EngineError when it may not have one.
    """
    if os.geteuid() != 0:
        return named(Owner("self", os.geteuid()))
    found = data / "pg" if (data / "pg").exists() else data
    if (user := found.stat().st_uid) != 0:
        return named(Owner(str(user), user))
    if namespaces_allowed(Owner("self", 0)):
        return Owner("self+namespace", 0)
    return named(Owner(str(UNPRIVILEGED_USER), UNPRIVILEGED_USER))


def named(owner: Owner) -> Owner:
    """`owner`, in a namespace if the system knows no name for the number: initdb insists on one."""
    try:
        pwd.getpwuid(owner.user)
    except KeyError:
        if not namespaces_allowed(owner):
            raise EngineError(
                f"User {owner.user} has no name on this system, and PostgreSQL needs one.",
                f"Add a line to /etc/passwd, such as forecourt:x:{owner.user}:{owner.user}::/:/bin/false, or set DATABASE_URL.",
            ) from None
        return owner.in_namespace()
    return owner


def namespaces_allowed(owner: Owner) -> bool:
    """Whether this process may put a child that runs as `owner` into a user namespace."""
    command = guarded(["/bin/true"], owner.in_namespace(), signal.SIGKILL)
    return subprocess.run(command, check=False, capture_output=True, timeout=30).returncode != NAMESPACE_REFUSED  # noqa: S603


def guarded(command: Sequence[str | Path], owner: Owner, death_signal: signal.Signals) -> list[str]:
    """`command`, to be run as `owner` and to get `death_signal` when the starting thread ends."""
    prefix = [sys.executable, "-I", "-S", str(GUARD), str(os.getpid()), str(int(death_signal)), owner.mode, "--"]
    return prefix + [os.fspath(part) for part in command]


def clean_environment() -> dict[str, str]:
    """Ours without what would steer PostgreSQL (PGDATA, PGOPTIONS, …) or make its messages and dates local."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_"))}
    return kept | {"LC_ALL": "C", "LANG": "C", "TZ": "UTC"}


class Hand:
    """A thread that does one thing after another, and an asker whom Ctrl-C may stop at any moment: what was asked is done all the
    same, and the next who asks is answered after it.

    No executor: Ctrl-C inside one can leave behind a lock that is held for ever, or a thread that nobody remembers. Here the two
    meet in queues whose `put` and `get` are whole to the interpreter. The thread does not keep a program from ending.
    """

    def __init__(self, name: str) -> None:
        self._asked: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def ask(self, work: Callable[[], T]) -> T:
        """What `work` returns or raises, done in the thread."""
        answer: SimpleQueue[tuple[bool, object]] = SimpleQueue()

        def attempt() -> None:
            try:
                answer.put((True, work()))
            except BaseException as error:
                answer.put((False, error))

        self._asked.put(attempt)
        while True:
            # Not for ever at once: a Ctrl-C that comes just before the wait begins is noticed only between two instructions.
            try:
                well, outcome = answer.get(timeout=NOTICE_S)
                break
            except Empty:
                continue
        if well:
            return cast("T", outcome)
        raise cast("BaseException", outcome)

    def finish(self) -> None:
        """Ends the thread once it has done all that it was asked."""
        self._asked.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (work := self._asked.get()) is not None:
            work()


@dataclass
class Nursery:
    """Starts children from one thread that lives as long as the nursery does.

    The kernel ties a child's parent-death signal to the *thread* that forked it: a child started from a passing worker thread
    would be killed with it. It also keeps Ctrl-C out of the middle of a fork, so no child is ever lost from sight.
    """

    children: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict[str, "subprocess.Popen[bytes]"])
    closing: threading.Event = field(default_factory=threading.Event)
    _hand: Hand = field(default_factory=lambda: Hand("engines"))

    def start(
        self,
        name: str,
        command: Sequence[str | Path],
        owner: Owner,
        *,
        cwd: Path,
        log: Path,
        death_signal: signal.Signals,
        stdin: bytes = b"",
    ) -> subprocess.Popen[bytes]:
        """Start `command` as child `name`, its output appended to `log`. The terminal's Ctrl-C does not reach it."""

        def start() -> None:
            with log.open("ab") as output:
                child = subprocess.Popen(  # noqa: S603
                    guarded(command, owner, death_signal),
                    cwd=cwd,
                    env=clean_environment(),
                    stdin=subprocess.PIPE,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
            self.children[name] = child
            if child.stdin:
                child.stdin.write(stdin)  # a few bytes: never more than a pipe takes at once
                child.stdin.close()

        self._hand.ask(start)
        return self.children[name]

    def run(
        self, name: str, command: Sequence[str | Path], owner: Owner, *, cwd: Path, log: Path, stdin: bytes = b"", limit_s: float
    ) -> None:
        """Run `command` to its end. Raises EngineError with the end of its log when it fails or outlasts `limit_s`."""
        child = self.start(name, command, owner, cwd=cwd, log=log, death_signal=signal.SIGKILL, stdin=stdin)
        try:
            status = child.wait(limit_s)
        except subprocess.TimeoutExpired:
            raise EngineError(
                f"{name} did not finish within {limit_s:.0f} s.", f"{tail(log)}\nIs the disk slow or full?"
            ) from None
        finally:
            self.end(name, [(signal.SIGKILL, 5)])
        if status != 0:
            raise EngineError(f"{name} failed (exit status {status}).", tail(log))

    def status_of(self, command: Sequence[str | Path]) -> int:
        """The exit status of a command that takes a moment. Ctrl-C in the middle of starting it would lose it from sight."""

        def run() -> int:
            return subprocess.run(command, check=False, capture_output=True, stdin=subprocess.DEVNULL, timeout=30).returncode  # noqa: S603

        return self._hand.ask(run)

    def end(self, name: str, steps: Sequence[tuple[signal.Signals, float]]) -> None:
        """Send child `name` each signal in turn until it is gone, waiting for the seconds given with it."""
        # Asked in the nursery's thread, the answer includes a start that Ctrl-C kept the caller from seeing.
        child = self._hand.ask(lambda: self.children.get(name))
        if child is None:
            return
        for number, patience_s in steps:
            if child.poll() is not None:
                break
            if number == signal.SIGKILL:
                kill_group(child.pid)  # initdb's helpers must not write on behind its back
            else:
                child.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(patience_s)
        self.children.pop(name, None)

    def died(self, name: str) -> bool:
        """Whether child `name` is not running."""
        child = self.children.get(name)
        return child is None or child.poll() is not None

    def wait_until(self, ready: Callable[[], bool], name: str, *, log: Path, limit_s: float) -> None:
        """Wait until child `name` is `ready()`. Raises EngineError with the end of its log when it dies or `limit_s` passes."""
        give_up = time.monotonic() + limit_s
        while not ready():
            if self.died(name):
                raise EngineError(f"{name} stopped while starting.", f"The end of {log}:\n{tail(log)}")
            if self.closing.is_set():
                raise EngineError(f"{name} was asked to stop while it was starting.", "Start Forecourt again.")
            if time.monotonic() > give_up:
                raise EngineError(f"{name} did not answer within {limit_s:.0f} s.", f"The end of {log}:\n{tail(log)}")
            time.sleep(POLL_S)

    def close(self) -> None:
        """End every child that is left, and the thread."""
        self.closing.set()
        try:
            for name in self._hand.ask(lambda: list(self.children)):
                self.end(name, [(signal.SIGKILL, 5)])
        finally:
            self._hand.finish()


def living_in(directory: Path, program: str) -> list[int]:
    """Process ids of every `program` that works in `directory`: the engine and its helpers, whoever started them."""
    home = os.fsencode(directory.resolve())
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal() and works_in(entry, home, program)]


def works_in(entry: Path, home: bytes, program: str) -> bool:
    try:
        if (entry / "comm").read_text().strip() != program:
            return False
        try:
            return os.fsencode((entry / "cwd").readlink()).removesuffix(b" (deleted)") == home
        except PermissionError:  # root in a container may not look at another user's processes this closely
            return home in (entry / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return False  # gone meanwhile


def clear_leftovers(directory: Path, program: str, *, patience_s: float = 20) -> None:
    """Wait until an earlier run's `program` has left `directory`, then insist. The caller holds the lock of the data directory.

    A killed program's PostgreSQL gets SIGINT from the kernel and writes a last checkpoint; that is worth waiting for.
    """
    give_up = time.monotonic() + patience_s
    while living_in(directory, program):
        if time.monotonic() > give_up:
            break
        time.sleep(POLL_S * 2)
    for insist in (signal.SIGQUIT, signal.SIGKILL):
        give_up = time.monotonic() + 5
        while leftovers := living_in(directory, program):
            for pid in leftovers:
                send(pid, insist)
            if time.monotonic() > give_up:
                break
            time.sleep(POLL_S * 10)
    if leftovers := living_in(directory, program):
        raise EngineError(
            f"An earlier {program} still runs in {directory} (process {leftovers[0]}) and cannot be stopped.",
            f"Stop it as the user who started it: kill -9 {' '.join(map(str, leftovers))}",
        )


def kill_group(leader: int) -> None:
    """Kill the process group of a child that leads it, and give the kernel a moment to bury all of it."""
    give_up = time.monotonic() + 1
    with contextlib.suppress(ProcessLookupError, PermissionError):
        while time.monotonic() < give_up:
            os.killpg(leader, signal.SIGKILL)
            if not others_in_group(leader):
                return
            time.sleep(POLL_S)


def others_in_group(leader: int) -> bool:
    """Whether the group has members besides its leader that are not yet dead."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != leader:
            with contextlib.suppress(OSError):
                state, _, group = (entry / "stat").read_text().rpartition(")")[2].split()[:3]
                if int(group) == leader and state not in "ZX":
                    return True
    return False


def send(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return


def tail(log: Path) -> str:
    """The last lines of a log, or words saying that there are none."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 4096))
            lines = file.read().decode(errors="replace").splitlines()[-LOG_TAIL_LINES:]
    except OSError:
        lines = []
    return "\n".join(lines) or "(the log is empty)"


def open_log(path: Path, owner: Owner) -> None:
    """Make the log at `path` ready for an engine of `owner`."""
    path.touch(mode=0o600)
    owner.give(path)


def bound_log(path: Path) -> None:
    """Move a log that has grown past the limit to `*.1`: two files at most. The engine appends, so it goes on from the start."""
    if path.exists() and path.stat().st_size > LOG_LIMIT_BYTES:
        shutil.copyfile(path, path.with_name(path.name + ".1"))
        os.truncate(path, 0)


def remove_tree(path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)


def as_arguments(settings: Mapping[str, str]) -> list[str]:
    """`-c name=value` for each setting."""
    return [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
