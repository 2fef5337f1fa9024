"""Ports for servers of tests: the kernel chooses."""

from __future__ import annotations

import socket


def free_port() -> int:
    """One that nobody listened at a moment ago."""
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return int(asked.getsockname()[1])
