"""`forecourt up --split`: every module in a process of its own, on one machine and behind one address.

The listening sockets belong to the program that starts the processes, and they inherit them. A process that dies leaves its
socket open: who calls it in that moment waits until it is back, and is not turned away.
"""

from __future__ import annotations

import json
import secrets
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from forecourt.kernel.errors import Misconfigured
from forecourt.process import Child, bind
from forecourt.wiring import MODULES

HOST = "127.0.0.1"
REALTIME, WORKER, GATEWAY = "realtime", "worker", "gateway"
POOL = 4
"""Database connections of one process, unless FORECOURT_DATABASE_POOL says otherwise: there are many processes."""


class Group(msgspec.Struct, frozen=True):
    """Modules that live in one process, which is named for the first of them."""

    modules: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.modules[0]


def groups_of(text: str) -> list[Group]:
    """`venues+booking+payments,identity+people`: two processes; each module that is not named gets one of its own.

    Raises Misconfigured for a module that does not exist or is named twice.
    """
    groups = [Group(tuple(name.strip() for name in part.split("+"))) for part in text.split(",") if part.strip()]
    named = [module for group in groups for module in group.modules]
    if unknown := sorted(set(named) - MODULES.keys()):
        raise Misconfigured(f"--groups: there is no module {', '.join(map(repr, unknown))}; there are {', '.join(MODULES)}")
    if twice := sorted({module for module in named if named.count(module) > 1}):
        raise Misconfigured(f"--groups: {', '.join(twice)} can live in one process only")
    return groups + [Group((module,)) for module in MODULES if module not in named]


class SplitHouse:
    """The processes of a split house on this machine, and where each of them listens. `close` lets the addresses go."""

    def __init__(self, groups: Sequence[Group], environ: Mapping[str, str]) -> None:
        """`environ` is the program's own: what it says about pools and proxies holds for every process."""
        self._groups = list(groups)
        self._listeners = {name: bind(HOST, 0) for name in (*(group.name for group in groups), REALTIME, WORKER)}
        self.urls: dict[str, str] = {name: f"http://{HOST}:{s.getsockname()[1]}" for name, s in self._listeners.items()}
        """Of every process that answers, by name."""
        self._proxies = ",".join(filter(None, (environ.get("FORECOURT_TRUSTED_PROXIES", ""), f"{HOST}/32")))
        self._in_front = _listed(environ.get("FORECOURT_TRUSTED_PROXIES", ""))
        self._origins = _listed(environ.get("FORECOURT_CORS_ORIGINS", ""))
        self._pool = environ.get("FORECOURT_DATABASE_POOL", "") or str(POOL)
        told = environ.get("FORECOURT_GATEWAY_KEYS") or environ.get("FORECOURT_GATEWAY_KEYS_FILE")
        # As good as any for as long as this house is open: everybody who needs it is started from here.
        self._keys = {} if told else {"FORECOURT_GATEWAY_KEYS": secrets.token_urlsafe(48)}

    def children(self) -> list[Child]:
        """Everybody behind the gateway. The worker and the socket server have all modules at hand and call nobody."""
        servers = [self._server(group) for group in self._groups]
        return [*servers, self._child(REALTIME, [REALTIME], {}), self._child(WORKER, [WORKER], {})]

    def _server(self, group: Group) -> Child:
        homes = {module: self.urls[other.name] for other in self._groups for module in other.modules}
        peers = {name: url for name, url in homes.items() if name not in group.modules}
        # They answer no calls; /api/status asks them how they are.
        peers |= {name: self.urls[name] for name in (REALTIME, WORKER)}
        topology = {
            "FORECOURT_MODULES": ",".join(group.modules),
            "FORECOURT_PEERS": ",".join(f"{name}={url}" for name, url in peers.items()),
        }
        return self._child(group.name, ["serve"], topology)

    def _child(self, name: str, duty: Sequence[str], more: Mapping[str, str]) -> Child:
        common = {
            "FORECOURT_DATABASE_POOL": self._pool,
            "FORECOURT_TRUSTED_PROXIES": self._proxies,
            # The gateway goes first: by the time a server is told to stop, nobody is led to it any more.
            "FORECOURT_DRAIN_S": "0",
            **self._keys,
        }
        listener = self._listeners[name].fileno()
        return Child(name, [*me(), *duty, "--fd", str(listener)], common | dict(more), [listener])

    def gateway(self, listen: str, folder: Path) -> Child:
        """The one door. What it is told lies in `folder`, for whoever wants to look."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        plan = folder / "gateway.toml"
        plan.write_text(self._plan(listen))
        return Child(GATEWAY, [*me(), "gateway", "run", str(plan)], self._keys, goes_first=True, quiet=True)

    def _plan(self, listen: str) -> str:
        with socket.create_server((HOST, 0)) as free:
            internal = f"{HOST}:{free.getsockname()[1]}"
        lines = [
            "# Written by `forecourt up --split` at every start.",
            f"listen = {_quoted(listen)}",
            f"internal = {_quoted(internal)}",
            # Who the gateway believes, and who may read what it answers, as of one process alone.
            f"trusted_proxies = [{', '.join(map(_quoted, self._in_front))}]",
            f"cors_origins = [{', '.join(map(_quoted, self._origins))}]",
        ]
        for group in self._groups:
            lines += self._service(group.name, group.modules)
        lines += [*self._service(REALTIME, None), "sockets = true"]
        return "\n".join(lines) + "\n"

    def _service(self, name: str, modules: Sequence[str] | None) -> list[str]:
        served = [] if modules is None else [f"modules = [{', '.join(map(_quoted, modules))}]"]
        return ["", f"[services.{name}]", *served, f"versions.v1 = [{_quoted(self.urls[name])}]"]

    def close(self) -> None:
        for listener in self._listeners.values():
            listener.close()


def me() -> list[str]:
    """This program, to be started once more."""
    return [sys.executable, "-m", "forecourt"]


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _quoted(text: str) -> str:
    return json.dumps(text)  # a TOML basic string has the same escapes


def memory_bytes(pid: int) -> int:
    """What a process and its children take of the machine: pages that several share count in parts. 0 when it is gone."""
    return _own_bytes(pid) + sum(memory_bytes(child) for child in _children(pid))


def _own_bytes(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += map(int, path.read_text().split())
        except OSError:  # a thread that has ended meanwhile
            continue
    return found
