"""picows' protocol is built by us, and its constructor is no public promise: this says when a new version changes it."""

from __future__ import annotations

import asyncio
import re
from importlib.metadata import version
from pathlib import Path

import picows
import pytest
from picows.picows import WSProtocol

ROOT = Path(__file__).resolve().parents[2]
PARAMETERS = (
    "host_port, ws_path, is_client_side, ws_listener_factory, logger, disconnect_on_exception, websocket_handshake_timeout, "
    "enable_auto_ping, auto_ping_idle_timeout, auto_ping_reply_timeout, auto_ping_strategy, enable_auto_pong, max_frame_size, "
    "extra_headers, read_buffer_init_size"
).split(", ")


def test_the_version_is_the_one_that_was_looked_at() -> None:
    pinned = re.search(r'"picows==([\d.]+)"', (ROOT / "pyproject.toml").read_text())
    assert pinned is not None
    assert version("picows") == pinned[1]


def test_the_constructor_takes_what_we_give_it() -> None:
    source = (Path(picows.__file__).parent / "picows.pyx").read_text()
    declared = re.search(r"cdef class WSProtocol\(.*?def __init__\(self,(.*?)\):", source, re.DOTALL)
    assert declared is not None
    names = [part.split()[-1] for part in declared[1].replace("\n", " ").split(",")]
    assert names == PARAMETERS


async def test_it_is_a_protocol_that_reads_into_its_own_buffer() -> None:
    class Quiet:
        def isEnabledFor(self, level: int) -> bool:
            return False

    arguments = (None, None, False, lambda request: None, Quiet(), True, 5, False, 20, 20, 1, False, 16384, None, 1024)
    protocol = WSProtocol(*arguments)
    assert isinstance(protocol, asyncio.BufferedProtocol)
    assert 1024 <= len(protocol.get_buffer(-1)) < 4096
    with pytest.raises(TypeError):
        WSProtocol(*arguments[:-1])
