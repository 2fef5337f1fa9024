"""How processes run: one that serves and works, or several that serve on one socket beside one that works."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from enum import Flag, auto
from typing import Any

import structlog
import uvicorn
import uvloop

from forecourt.app import Addresses, House
from forecourt.kernel.http.front import App, Receive, Send
from forecourt.kernel.settings import Settings

log = structlog.get_logger("forecourt.process")

GRACE_S = 10
KEEP_ALIVE_S = 30
BACKLOG = 2048
RESTART_PAUSE_S = 1.0
SOCKET_SERVERS_ANSWER = ("/livez", "/readyz", "/metrics")


class Duty(Flag):
    """What a process does."""

    SERVE = auto()
    """Pages, API and sockets, on one address."""
    SOCKETS = auto()
    """Sockets alone, beside health and metrics."""
    WORK = auto()


class PortTaken(Exception):
    """Someone else listens there."""


def bind(host: str, port: int) -> socket.socket:
    """The listening socket. Raises PortTaken, with what to do."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as e:
        listener.close()
        raise PortTaken(
            f"{host}:{port} cannot be used ({e.strerror}). Stop what runs there, or choose another with --port."
        ) from e
    listener.listen(BACKLOG)
    listener.set_inheritable(True)
    return listener


class _Server(uvicorn.Server):
    """uvicorn without its own signal handling: the process decides when to stop."""

    @contextlib.contextmanager
    def capture_signals(self):  # type: ignore[no-untyped-def]
        yield


def sockets_only(app: App) -> App:
    """What a realtime server answers over HTTP: how it is. Pages and the API are elsewhere."""

    async def serve(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in SOCKET_SERVERS_ANSWER:
            await send({"type": "http.response.start", "status": 404, "headers": [(b"content-length", b"0")]})
            await send({"type": "http.response.body", "body": b""})
            return
        await app(scope, receive, send)

    return serve


async def live(
    settings: Settings,
    at: Addresses,
    duty: Duty,
    listener: socket.socket | None,
    ready: Callable[[House], Awaitable[None]] | None = None,
) -> None:
    """One process's life: open, serve and work until told to stop, then finish what is under way and close."""
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    house = await House.open(settings, at)
    try:
        if Duty.WORK in duty:
            await house.start_work()
        server: _Server | None = None
        serving: asyncio.Task[None] | None = None
        if listener is not None:
            from forecourt.realtime.protocol import Http

            config = uvicorn.Config(
                house.app if Duty.SERVE in duty else sockets_only(house.app),  # type: ignore[arg-type]
                http=Http,
                ws=await house.open_sockets(),  # type: ignore[arg-type] - uvicorn hands it to picows
                lifespan="off",
                access_log=False,
                log_config=None,
                server_header=False,
                date_header=True,
                proxy_headers=False,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=GRACE_S,
                backlog=BACKLOG,
                h11_max_incomplete_event_size=64 * 1024,
            )
            server = _Server(config)
            serving = asyncio.create_task(server.serve(sockets=[listener]), name="http")
            while not server.started and not serving.done():  # noqa: ASYNC110 - uvicorn tells by a flag only
                await asyncio.sleep(0.005)
        # What was made while starting lives for good: the collector need not look at it again.
        gc.collect()
        gc.freeze()
        gc.set_threshold(20_000, 20, 20)
        if ready is not None:
            await ready(house)
        waiting = asyncio.create_task(stop.wait())
        await asyncio.wait({waiting, *([serving] if serving else [])}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        house.hub.hang_up()
        if house.realtime is not None:
            await house.realtime.drain()
        if server is not None and serving is not None:
            server.should_exit = True
            await serving
    finally:
        await house.close()


def run(
    settings: Settings,
    at: Addresses,
    duty: Duty,
    listener: socket.socket | None = None,
    ready: Callable[[House], Awaitable[None]] | None = None,
) -> None:
    """`live` on uvloop."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(live(settings, at, duty, listener, ready))


class Crew:
    """Child processes that share a listening socket. One that dies is started again, after a pause."""

    def __init__(self, commands: Sequence[Sequence[str]], environ: Mapping[str, str], pass_fds: Sequence[int]) -> None:
        self._commands = [list(c) for c in commands]
        self._environ = dict(environ)
        self._fds = tuple(pass_fds)
        self._children: list[tuple[list[str], subprocess.Popen[bytes]]] = []
        self._due: list[tuple[float, list[str]]] = []

    def start(self) -> None:
        for command in self._commands:
            self._spawn(command)

    def _spawn(self, command: list[str]) -> None:
        child = subprocess.Popen(command, env=self._environ, pass_fds=self._fds, stdin=subprocess.DEVNULL)  # noqa: S603
        self._children.append((command, child))

    def tend(self) -> None:
        """Starts again whoever died. Call it about once a second."""
        now = time.monotonic()
        for command, child in list(self._children):
            if child.poll() is not None:
                log.warning("process_died", command=command[-3:], code=child.returncode)
                self._children.remove((command, child))
                self._due.append((now + RESTART_PAUSE_S, command))
        for at, command in list(self._due):
            if at <= now:
                self._due.remove((at, command))
                self._spawn(command)

    def stop(self) -> None:
        for _, child in self._children:
            with contextlib.suppress(ProcessLookupError):
                child.send_signal(signal.SIGTERM)
        until = time.monotonic() + GRACE_S + 5
        for _, child in self._children:
            try:
                child.wait(max(0.1, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        self._children.clear()


def die_with_parent() -> None:
    """A child process ends when the one that started it does, however that one ended."""
    import ctypes

    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:
        sys.exit(1)
