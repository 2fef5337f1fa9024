"""HAProxy's runtime socket: what runs, how it does, and how requests are shared out, changed while they come in."""

from __future__ import annotations

import asyncio
import csv
import hashlib
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from forecourt.engines import EngineError
from forecourt.gateway.config import BACKEND, RUNTIME_SOCKET
from forecourt.gateway.weights import spread, wished

ANSWER_LIMIT_S = 5.0
GONE_WITHIN_S = 3.0
"""The HAProxy of a gateway that was killed."""
LOOK_S = 0.1
MAX_SOCKET_PATH = 85
"""Of 107 bytes; HAProxy adds its process id while it makes the socket."""
WEIGHTS = "weights.json"
_KINDS = ("1xx", "2xx", "3xx", "4xx", "5xx", "other")


class ServerState(msgspec.Struct, frozen=True):
    """One server of a service."""

    name: str
    """`v2.1`: the first server of version v2."""
    status: str
    """`UP`, `DOWN`, `DRAIN`, `MAINT` and what HAProxy says between them (`UP 1/2`)."""
    weight: int
    """As set, whatever its state."""
    requests: int
    """Served since HAProxy's start."""
    under_way: int
    answers: int = 0
    """Since HAProxy's start, with those that broke off or never came."""
    failures: int = 0
    """Among `answers`: 500 and above, and those that broke off or never came."""

    @property
    def version(self) -> str:
        return self.name.rsplit(".", 1)[0]


class Share(msgspec.Struct, frozen=True):
    """A version of a service."""

    version: str
    percent: float
    """Of the requests, by weight, while all its servers are up."""
    servers: tuple[ServerState, ...]


class NoSuchService(EngineError):
    """The gateway knows no service of this name."""


class Runtime:
    """The socket of a running gateway, in its `folder`."""

    def __init__(self, folder: Path, socket: Path | None = None) -> None:
        self._folder = folder
        self._socket = socket or socket_of(folder)

    async def command(self, text: str) -> str:
        """HAProxy's answer to one command, or to several with `;` between them. Raises EngineError when nobody answers."""
        try:
            async with asyncio.timeout(ANSWER_LIMIT_S):
                reader, writer = await asyncio.open_unix_connection(str(self._socket))
                try:
                    writer.write(text.encode() + b"\n")
                    answer = await reader.read(-1)
                finally:
                    writer.close()
        except (OSError, TimeoutError):
            raise EngineError(
                f"No gateway answers at {self._socket}.", "Start one with `forecourt gateway run` on the same data directory."
            ) from None
        return answer.decode(errors="replace").strip()

    async def pid(self) -> int:
        """The process that answers. Raises EngineError."""
        told = dict(line.split(": ", 1) for line in (await self.command("show info")).splitlines() if ": " in line)
        return int(told.get("Pid", "0"))

    async def refuse_another(self) -> None:
        """Raises EngineError when a gateway runs over this folder: the files of two would be one and the same."""
        pid = 0
        try:
            async with asyncio.timeout(GONE_WITHIN_S):
                while True:
                    pid = await self.pid()
                    await asyncio.sleep(LOOK_S)
        except TimeoutError:
            raise EngineError(
                f"Another gateway runs over {self._folder} (HAProxy is process {pid}).",
                "Stop it first, or choose another data directory with --data.",
            ) from None
        except EngineError:  # nobody answers
            return

    async def services(self) -> dict[str, list[Share]]:
        """Every service and its versions. Raises EngineError."""
        lines = (await self.command("show stat -1 4 -1")).removeprefix("# ").splitlines()
        found: dict[str, dict[str, list[ServerState]]] = {}
        for row in csv.DictReader(lines):
            if row["pxname"].startswith(BACKEND):
                lost = int(row["eresp"] or 0)
                state = ServerState(
                    name=row["svname"],
                    status=row["status"],
                    weight=int(row["uweight"] or 0),
                    requests=int(row["stot"] or 0),
                    under_way=int(row["scur"] or 0),
                    answers=lost + sum(int(row[f"hrsp_{kind}"] or 0) for kind in _KINDS),
                    failures=lost + int(row["hrsp_5xx"] or 0),
                )
                service = found.setdefault(row["pxname"].removeprefix(BACKEND), {})
                service.setdefault(state.version, []).append(state)
        return {name: _shares(versions) for name, versions in found.items()}

    async def shares(self, service: str) -> list[Share]:
        """The versions of a service. Raises NoSuchService, EngineError."""
        every = await self.services()
        if service not in every:
            raise NoSuchService(f"There is no service {service}.", f"There {_are(list(every))}.")
        return every[service]

    async def weigh(self, service: str, wishes: Sequence[str]) -> list[Share]:
        """Shares requests out anew, at once and for later starts: `weigh("booking", ["v2=10%"])`.

        Raises NoSuchService, WeightsWrong, EngineError.
        """
        before = await self.shares(service)
        now = {share.version: round(share.percent) for share in before}
        percents = wished(wishes, now)
        weights = spread(percents, {share.version: len(share.servers) for share in before})
        commands = [
            f"set server {BACKEND}{service}/{server.name} weight {weights[share.version]}"
            for share in before
            for server in share.servers
        ]
        refused = await self.command("; ".join(commands))
        if refused:
            raise EngineError("HAProxy refuses the weights.", refused)
        self._keep(service, percents)
        return await self.shares(service)

    async def drain(self, service: str, server: str) -> None:
        """No more requests for a server (`v1.1`), but for what is under way. Before it is stopped. Raises EngineError."""
        await self._state(service, server, "drain")

    async def resume(self, service: str, server: str) -> None:
        """The end of `drain`. Raises EngineError."""
        await self._state(service, server, "ready")

    async def _state(self, service: str, server: str, state: str) -> None:
        refused = await self.command(f"set server {BACKEND}{service}/{server} state {state}")
        if refused:
            raise NoSuchService(f"The gateway cannot let {service}/{server} {state}.", refused)

    def weights(self) -> dict[str, dict[str, int]]:
        """Percentages that were set by hand, by service and version."""
        try:
            return msgspec.json.decode((self._folder / WEIGHTS).read_bytes(), type=dict[str, dict[str, int]])
        except (OSError, msgspec.DecodeError):
            return {}

    def _keep(self, service: str, percents: Mapping[str, int]) -> None:
        kept = {**self.weights(), service: dict(percents)}
        new = self._folder / (WEIGHTS + ".new")
        new.write_text(json.dumps(kept, indent=1))
        new.replace(self._folder / WEIGHTS)


def socket_of(folder: Path) -> Path:
    """Where the runtime socket of a gateway lies: in its folder, or in a short one of our own when that path is too long.

    The same for every name of the folder, or a second gateway would not see the first.
    """
    folder = folder.resolve()
    wanted = folder / RUNTIME_SOCKET
    if len(os.fsencode(wanted)) <= MAX_SOCKET_PATH:
        return wanted
    name = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"forecourt-{os.getuid()}-{name}" / RUNTIME_SOCKET


def _shares(versions: Mapping[str, list[ServerState]]) -> list[Share]:
    whole = sum(server.weight for servers in versions.values() for server in servers) or 1
    return [
        Share(version, round(100 * sum(server.weight for server in servers) / whole, 1), tuple(servers))
        for version, servers in versions.items()
    ]


def _are(names: Sequence[str]) -> str:
    return f"{'is' if len(names) == 1 else 'are'} {', '.join(names)}"
