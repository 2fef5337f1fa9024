"""Servers known by name: their addresses are looked up as any program here does, and HAProxy is told when they change."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress

import structlog

from forecourt.engines import EngineError
from forecourt.gateway.config import BACKEND
from forecourt.gateway.plan import Endpoint, Plan, server_at
from forecourt.gateway.runtime import Runtime

LOOK_UP_LIMIT_S = 2.0
TAKEN = re.compile(r"changed from|no need to change")

log = structlog.get_logger("forecourt.gateway")

LookUp = Callable[[str], Awaitable[list[str]]]


async def look_up(host: str) -> list[str]:
    """The addresses a name stands for, best first; none when nobody knows it, or nobody says in time."""
    found: list[tuple[object, object, object, object, tuple[object, ...]]] = []
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(LOOK_UP_LIMIT_S):
            found = [*await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)]
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class Names:
    """What HAProxy was told of names, and tells it anew when they stand for something else."""

    def __init__(self, runtime: Runtime, names: LookUp) -> None:
        self._runtime = runtime
        self._names = names
        self._told: dict[str, str] = {}

    def forget(self) -> None:
        """Another process runs, which has been told nothing."""
        self._told.clear()

    async def follow(self, plan: Plan) -> None:
        """Looks every name up once. A name that is gone keeps its last address: health decides. Raises EngineError."""
        wanted = list(_named(plan))
        hosts = list(dict.fromkeys(at.host for _, at in wanted))
        known = dict(zip(hosts, await asyncio.gather(*(self._names(host) for host in hosts)), strict=True))
        for server, at in wanted:
            addresses = known[at.host]
            # One of several is as good as another, so the one it has stays for as long as it is one of them.
            if addresses and self._told.get(server) not in addresses:
                said = await self._runtime.command(f"set server {server} addr {addresses[0]} port {at.port}")
                if not TAKEN.search(said):
                    raise EngineError(f"HAProxy did not take {addresses[0]} for {server}: {said}", "Restart the gateway.")
                self._told[server] = addresses[0]
                log.info("gateway_name_followed", server=server, address=addresses[0])


def _named(plan: Plan) -> Iterator[tuple[str, Endpoint]]:
    for service in plan.services:
        for version, urls in service.versions.items():
            for place, url in enumerate(urls, 1):
                if not server_at(url).numeric:
                    yield f"{BACKEND}{service.name}/{version}.{place}", server_at(url)
