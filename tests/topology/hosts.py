"""Network hosts on one machine: each a network namespace with its own address, all of them on one switch whose cables can be cut.

Needs root (CAP_NET_ADMIN and CAP_SYS_ADMIN) and Debian's iproute2. `why_not` says why it cannot be here.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import subprocess
from pathlib import Path
from uuid import uuid4

ESTABLISHED = "01"
PREFIX = "198.18"
"""Of networks that are for measuring devices (RFC 2544) and so are nobody's."""


def why_not() -> str:
    """Why there can be no hosts here; empty when there can."""
    if shutil.which("ip") is None:
        return "iproute2 is not installed"
    if os.geteuid() != 0:
        return "only root makes network namespaces"
    probe = f"fcprobe{uuid4().hex[:6]}"
    made = subprocess.run(["ip", "netns", "add", probe], capture_output=True, text=True, check=False, timeout=30)
    if made.returncode != 0:
        return f"network namespaces cannot be made here: {made.stderr.strip()}"
    try:
        bridge = subprocess.run(
            ["ip", "-n", probe, "link", "add", "fcbridge", "type", "bridge"],
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
    finally:
        subprocess.run(["ip", "netns", "del", probe], capture_output=True, check=False, timeout=30)
    return "" if bridge.returncode == 0 else f"a bridge cannot be made here: {bridge.stderr.strip()}"


def ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, f"ip {' '.join(arguments)}: {done.stderr}"


class Host:
    def __init__(self, namespace: str, address: str, port: str) -> None:
        self.namespace = namespace
        self.address = address
        self._port = port

    @property
    def prefix(self) -> list[str]:
        """Stands before a command that shall run here. The process keeps its id: `ip` makes way for it."""
        return ["ip", "netns", "exec", self.namespace]

    def cut(self) -> None:
        """Nothing comes here or goes from here any more; whoever is connected is not told."""
        ip("link", "set", self._port, "down")

    def heal(self) -> None:
        ip("link", "set", self._port, "up")


class Switch:
    """Hosts with the addresses .1, .2 and so on; this machine itself is .254."""

    def __init__(self) -> None:
        self._tag = uuid4().hex[:6]
        self._net = f"{PREFIX}.{random.randrange(256)}"
        self._bridge = f"fcb{self._tag}"
        self._hosts: list[Host] = []
        ip("link", "add", self._bridge, "type", "bridge")
        ip("addr", "add", f"{self._net}.254/24", "dev", self._bridge)
        ip("link", "set", self._bridge, "up")

    @property
    def network(self) -> str:
        return f"{self._net}.0/24"

    def host(self, name: str) -> Host:
        number = len(self._hosts) + 1
        host = Host(f"fc{self._tag}-{name}", f"{self._net}.{number}", f"fc{self._tag}p{number}")
        self._hosts.append(host)
        ip("netns", "add", host.namespace)
        inner = f"fc{self._tag}i{number}"
        ip("link", "add", f"fc{self._tag}p{number}", "type", "veth", "peer", "name", inner)
        ip("link", "set", inner, "netns", host.namespace)
        ip("-n", host.namespace, "link", "set", "lo", "up")
        ip("-n", host.namespace, "addr", "add", f"{host.address}/24", "dev", inner)
        ip("-n", host.namespace, "link", "set", inner, "up")
        ip("link", "set", f"fc{self._tag}p{number}", "master", self._bridge)
        host.heal()
        return host

    def close(self) -> None:
        """The cables go with the namespaces."""
        for host in self._hosts:
            with contextlib.suppress(AssertionError):
                ip("netns", "del", host.namespace)
        with contextlib.suppress(AssertionError):
            ip("link", "del", self._bridge)


def has_in_hand(pid: int, port: int, sender: str, least_bytes: int) -> bool:
    """Whether so much has arrived from `sender` on one connection to a process's port, and has not been read."""
    for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, state, queues, *_ = line.split()
        theirs = int(local.split(":")[1], 16) == port and _address(remote.split(":")[0]) == sender
        if state == ESTABLISHED and theirs and int(queues.split(":")[1], 16) >= least_bytes:
            return True
    return False


def _address(written: str) -> str:
    """An address as the kernel writes it there: in hexadecimal, the last byte first."""
    return ".".join(str(byte) for byte in reversed(bytes.fromhex(written)))
