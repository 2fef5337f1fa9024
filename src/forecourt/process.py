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
LONGEST_PAUSE_S = 30.0
QUICK_S = 5.0
"""A process that ends so soon after its start did not get to its work."""
QUICK_DEATHS = 4
"""So many of them in a row, before the house was ever open, and it is given up."""
SET_UP_WRONGLY = 78
"""How a process ends whose settings cannot be right (EX_CONFIG): starting it again does not help."""
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


class CrewLost(Exception):
    """A process of the crew does not stay. The text says which, and where it said why."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status


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


class _Post:
    """One place in the crew: what runs there, since when, and how often it ended at once."""

    def __init__(self, command: Sequence[str]) -> None:
        self.command = list(command)
        self.child: subprocess.Popen[bytes] | None = None
        self.at = 0.0
        """When the child was started; without one, when the next is due."""
        self.quick_deaths = 0


class Crew:
    """Child processes that share a listening socket. One that dies is started again, after a pause that grows with every quick
    death; one that cannot run as it is set up, or does not stay before the house was ever open, ends the crew."""

    def __init__(self, commands: Sequence[Sequence[str]], environ: Mapping[str, str], pass_fds: Sequence[int]) -> None:
        self._posts = [_Post(command) for command in commands]
        self._environ = dict(environ)
        self._fds = tuple(pass_fds)
        self.opened = False
        """Set it once the house has been open: from then on nobody is given up, whatever the database goes through."""

    def start(self) -> None:
        for post in self._posts:
            self._spawn(post)

    def _spawn(self, post: _Post) -> None:
        post.child = subprocess.Popen(post.command, env=self._environ, pass_fds=self._fds, stdin=subprocess.DEVNULL)  # noqa: S603
        post.at = time.monotonic()

    def tend(self) -> None:
        """Starts again whoever died. Call it about once a second. Raises CrewLost."""
        now = time.monotonic()
        for post in self._posts:
            if post.child is None:
                if post.at <= now:
                    self._spawn(post)
            elif post.child.poll() is not None:
                self._bury(post, post.child.returncode, now)

    def _bury(self, post: _Post, status: int, now: float) -> None:
        post.child = None
        post.quick_deaths = post.quick_deaths + 1 if now - post.at < QUICK_S else 0
        name = next((duty for duty in ("serve", "worker") if duty in post.command), post.command[-1])
        log.warning("process_died", command=name, code=status, quick_deaths=post.quick_deaths)
        if status == SET_UP_WRONGLY:
            raise CrewLost(f"`forecourt {name}` cannot run as it is set up; it says why above.", status)
        if post.quick_deaths >= QUICK_DEATHS and not self.opened:
            times = f"ended {post.quick_deaths} times within seconds of its start (exit status {status})"
            raise CrewLost(f"`forecourt {name}` {times}; its last words are above.", 1)
        post.at = now + min(RESTART_PAUSE_S * 2 ** max(0, post.quick_deaths - 1), LONGEST_PAUSE_S)

    def stop(self) -> None:
        children = [post.child for post in self._posts if post.child is not None]
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                child.send_signal(signal.SIGTERM)
        until = time.monotonic() + GRACE_S + 5
        for child in children:
            try:
                child.wait(max(0.1, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        for post in self._posts:
            post.child = None


def die_with_parent() -> None:
    """A child process ends when the one that started it does, however that one ended."""
    import ctypes

    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:
        sys.exit(1)
