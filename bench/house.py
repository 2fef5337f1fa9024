"""The divided house under measurement: every module in a process of its own behind HAProxy, as `forecourt up --split` starts
them, on the engines of an installation; and what each of them uses of the processor and the memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Generator, Mapping
from pathlib import Path
from uuid import UUID

import msgspec

from bench.installation import READY_LIMIT_S, Installation, free_port
from bench.load import HOST, await_answer
from bench.machine import ROOT, called, cpu_us, resident_mib, tree_of
from forecourt.app import peer_client
from forecourt.kernel.context import service_context
from forecourt.kernel.contracts import KeyRing, remote
from forecourt.kernel.errors import Problem
from forecourt.modules.identity.contract import Identity
from forecourt.process import Child, Crew
from forecourt.split import SplitHouse, groups_of, memory_bytes

POSTGRES, VALKEY = "PostgreSQL", "Valkey"
ENGINES = {POSTGRES: "postgres", VALKEY: "valkey-server"}
"""What their processes are called."""


class Memory(msgspec.Struct, frozen=True):
    """MiB. `own`: pages that several share count in parts (PSS); `resident`: they count whole with each (RSS)."""

    own: float
    resident: float


class Divided:
    """A house that is open. Its parts are the processes of the crew, the gateway and the engines."""

    def __init__(self, at: Installation, port: int, house: SplitHouse, crew: Crew) -> None:
        self.at = at
        self.port = port
        """Of the gateway."""
        self.urls = house.urls
        self._crew = crew
        self._pids = crew.running()

    @property
    def parts(self) -> list[str]:
        return [*self._pids, *ENGINES]

    def cpu(self) -> Processor:
        """What each part has used so far."""
        found = {name: cpu_us(tree_of(pid)) for name, pid in self._pids.items()}
        return Processor(found | {name: cpu_us(called(comm)) for name, comm in ENGINES.items()})

    def memory(self) -> dict[str, Memory]:
        roots = {**self._pids, **{name: called(comm)[0] for name, comm in ENGINES.items()}}
        mib = 1024 * 1024
        return {
            name: Memory(memory_bytes(pid) / mib, sum(_resident(each) for each in tree_of(pid))) for name, pid in roots.items()
        }

    def all_there(self) -> None:
        """Raises RuntimeError when a process has ended meanwhile: what was measured is of another house then."""
        gone = [name for name, pid in self._pids.items() if not Path(f"/proc/{pid}").exists()]
        if gone:
            raise RuntimeError(f"{', '.join(gone)} ended while it was measured; its last words are above")


def _resident(pid: int) -> float:
    with contextlib.suppress(OSError):
        return resident_mib(pid)
    return 0.0


class Processor(msgspec.Struct, frozen=True):
    """What the processes of each part have used since they began, µs."""

    used: dict[str, dict[int, float]]

    def since(self, before: Processor) -> dict[str, float]:
        """By part, what was used since then."""
        return {
            name: sum(us - before.used.get(name, {}).get(pid, 0.0) for pid, us in pids.items())
            for name, pids in self.used.items()
        }


@contextlib.contextmanager
def divided(at: Installation, altered: Mapping[str, Mapping[str, str]] | None = None) -> Generator[Divided]:
    """The house, open until the block ends. `altered`: processes that run as `bench.altered`, and what each is told."""
    port, environ = free_port(), _environ(at)
    house = SplitHouse(groups_of(""), environ)
    children = [
        _altered(child, altered[child.name]) if altered and child.name in altered else child for child in house.children()
    ]
    crew = Crew(children, environ)
    crew.start()
    try:
        for url in house.urls.values():
            _await(int(url.rsplit(":", 1)[1]), crew)
        crew.add(house.gateway(f"{HOST}:{port}", at.data / "gateway"))
        _await(port, crew)
        yield Divided(at, port, house, crew)
    finally:
        crew.stop()
        house.close()


def _environ(at: Installation) -> dict[str, str]:
    """As `up --split` tells its processes, pools included. Whose request it is, a proxy in front says: clients have addresses of
    their own, and are counted as people at home are, not as one office."""
    environ = at.environ(8000) | {"FORECOURT_CHILD": "1", "FORECOURT_TRUSTED_PROXIES": f"{HOST}/32"}
    del environ["FORECOURT_DATABASE_POOL"]
    return environ


def _altered(child: Child, told: Mapping[str, str]) -> Child:
    command = [sys.executable, "-m", "bench.altered", *child.command[3:]]
    environ = {**child.environ, **told, "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))}
    return msgspec.structs.replace(child, command=command, environ=environ)


def _await(port: int, crew: Crew) -> None:
    def alive() -> bool:
        crew.tend()  # whoever dies before the house is open is started again, or gives it up
        return True

    await_answer(port, "/readyz", READY_LIMIT_S, alive)


class Asker:
    """Asks identity as the other services do: the same client, the same signature, kept connections."""

    def __init__(self, house: Divided) -> None:
        self._url, self._keys = house.urls["identity"], KeyRing.of(house.at.settings.secrets.contract_keys)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._identity: Identity

    async def account(self, id: UUID) -> int:
        """Asks who that is. 200, or the status of the problem."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:  # every round of load has a loop of its own, and connections do not outlive theirs
            self._loop, self._identity = loop, remote(Identity, self._url, self._keys, peer_client())
        try:
            found = await self._identity.accounts(service_context("bench"), [id])
        except Problem as problem:
            return problem.status
        return 200 if [card.id for card in found] == [id] else 404
