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

import msgspec
import structlog
import uvicorn
import uvloop

from forecourt.app import GRACE_S, Addresses, House
from forecourt.engines.process import Owner, guarded, kill_group
from forecourt.kernel.contracts import LEAVING, PREFIX
from forecourt.kernel.http.doorman import HEALTH
from forecourt.kernel.http.front import App, Receive, Send
from forecourt.kernel.settings import Settings

log = structlog.get_logger("forecourt.process")

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


class Duty(Flag):
    """What a process does."""

    SERVE = auto()
    """Pages, API and sockets, on one address."""
    SOCKETS = auto()
    """Sockets alone, beside health and metrics."""
    WORK = auto()
    """Events and jobs. With an address: health and metrics there."""


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


def health_only(app: App) -> App:
    """What a realtime server and a worker answer over HTTP: how they are. Pages and the API are elsewhere."""

    async def serve(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in HEALTH:
            await send({"type": "http.response.start", "status": 404, "headers": [(b"content-length", b"0")]})
            await send({"type": "http.response.body", "body": b""})
            return
        await app(scope, receive, send)

    return serve


def parting(app: App, house: House) -> App:
    """Once the process has been told to stop, answers end their connection, and other processes of the house hear that it leaves:
    when its door closes, nobody has a connection left on which a next request might be lost."""

    async def last(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        more = [(b"connection", b"close")]
        if scope["path"].startswith(PREFIX):
            more.append((LEAVING.encode(), b"1"))

        async def answer(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *more]
            await send(message)

        await app(scope, receive, answer)

    def serve(scope: dict[str, Any], receive: Receive, send: Send) -> Awaitable[None]:
        return last(scope, receive, send) if house.draining and scope["type"] == "http" else app(scope, receive, send)

    return serve


def name_of(duty: Duty, modules: Sequence[str]) -> str:
    """What traces call a process: by what it does, and where only some of the modules are served, by the first of them."""
    if Duty.SERVE in duty:
        return f"forecourt-{modules[0]}" if modules else "forecourt"
    return "forecourt-realtime" if Duty.SOCKETS in duty else "forecourt-worker"


async def live(
    settings: Settings,
    at: Addresses,
    duty: Duty,
    listener: socket.socket | None,
    ready: Callable[[House], Awaitable[None]] | None = None,
) -> None:
    """One process's life: open, serve and work until told to stop, then finish what is under way and close.

    Told to stop, a server goes on for `drain_s` while `/readyz` answers 503, so that whoever leads requests to it looks elsewhere
    first. Told a second time, it does not wait.
    """
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    stop, hurry = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def told_to_stop() -> None:
        (hurry if stop.is_set() else stop).set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, told_to_stop)
    house = await House.open(settings, at, name=name_of(duty, settings.topology.modules))
    receives = bool(duty & (Duty.SERVE | Duty.SOCKETS))
    try:
        if Duty.WORK in duty:
            await house.start_work()
        server: _Server | None = None
        serving: asyncio.Task[None] | None = None
        if listener is not None:
            from forecourt.realtime.protocol import Http

            config = uvicorn.Config(
                parting(house.app if Duty.SERVE in duty else house.guarded(health_only(house.app)), house),  # type: ignore[arg-type]
                interface="asgi3",
                http=Http,
                ws=await house.open_sockets() if receives else "none",  # type: ignore[arg-type] - uvicorn hands it to picows
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
        if Duty.SERVE in duty:
            house.start_warming()
        waiting = asyncio.create_task(stop.wait())
        await asyncio.wait({waiting, *([serving] if serving else [])}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if receives and settings.http.drain_s and stop.is_set():
            house.draining = True
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(hurry.wait(), settings.http.drain_s)
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


class Child(msgspec.Struct, frozen=True):
    """One process of a crew: how people call it, and how it is started."""

    name: str
    command: Sequence[str]
    """The program by its whole path, and its arguments."""
    environ: Mapping[str, str] = {}
    """Beside what all of the crew have."""
    fds: Sequence[int] = ()
    """What it inherits beside its standard streams, such as a listening socket."""
    goes_first: bool = False
    """It is stopped, and has ended, before anybody else is told: the door before what lies behind it."""
    quiet: bool = False
    """What it says on standard output is for nobody; what goes wrong it says on standard error."""


class _Post:
    """One place in the crew: who belongs there, who runs there, since when, and how often it ended at once."""

    def __init__(self, child: Child) -> None:
        self.child = child
        self.process: subprocess.Popen[bytes] | None = None
        self.at = 0.0
        """When the process was started; without one, when the next is due."""
        self.quick_deaths = 0


class Crew:
    """Processes that make up a house together. One that dies is started again, after a pause that grows with every quick death;
    one that cannot run as it is set up, or does not stay before the house was ever open, ends the crew.

    Start and tend it from the main thread, which lives as long as the program: whoever was started gets SIGTERM when that thread
    ends, also when the program is killed. The terminal's Ctrl-C does not reach them; `stop` does.
    """

    def __init__(self, children: Sequence[Child], environ: Mapping[str, str], say: Callable[[str], None] | None = None) -> None:
        """`say` hears, in plain words, who died and when it is started again."""
        self._posts = [_Post(child) for child in children]
        self._environ = dict(environ)
        self._say = say
        self.opened = False
        """Set it once the house has been open: from then on nobody is given up, whatever the database goes through."""

    def start(self) -> None:
        for post in self._posts:
            self._spawn(post)

    def add(self, child: Child) -> None:
        """One more, who is started at once."""
        post = _Post(child)
        self._posts.append(post)
        self._spawn(post)

    def running(self) -> dict[str, int]:
        """Who runs, by name, and its process id."""
        return {post.child.name: post.process.pid for post in self._posts if post.process is not None}

    def _spawn(self, post: _Post) -> None:
        owner = Owner("self", os.geteuid())
        post.process = subprocess.Popen(  # noqa: S603
            guarded(post.child.command, owner, signal.SIGTERM),
            env=self._environ | dict(post.child.environ),
            pass_fds=post.child.fds,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL if post.child.quiet else None,
            start_new_session=True,
        )
        post.at = time.monotonic()

    def tend(self) -> None:
        """Starts again whoever died. Call it about once a second. Raises CrewLost."""
        now = time.monotonic()
        for post in self._posts:
            if post.process is None:
                if post.at <= now:
                    self._spawn(post)
            elif post.process.poll() is not None:
                self._bury(post, post.process.returncode, now)

    def _bury(self, post: _Post, status: int, now: float) -> None:
        post.process = None
        post.quick_deaths = post.quick_deaths + 1 if now - post.at < QUICK_S else 0
        name = post.child.name
        log.warning("process_died", name=name, code=status, quick_deaths=post.quick_deaths)
        if status == SET_UP_WRONGLY:
            raise CrewLost(f"{name} cannot run as it is set up; it says why above.", status)
        if post.quick_deaths >= QUICK_DEATHS and not self.opened:
            times = f"ended {post.quick_deaths} times within seconds of its start (exit status {status})"
            raise CrewLost(f"{name} {times}; its last words are above.", 1)
        pause_s = min(RESTART_PAUSE_S * 2 ** max(0, post.quick_deaths - 1), LONGEST_PAUSE_S)
        post.at = now + pause_s
        if self._say is not None:
            self._say(f"{name} {_ended(status)} and is started again in {pause_s:.0f} s.")

    def stop(self, patience_s: float = GRACE_S + 5) -> None:
        """Ends everybody; who has not ended after `patience_s` is killed."""
        for first in (True, False):
            self._end([post for post in self._posts if post.child.goes_first is first], patience_s)

    def _end(self, posts: Sequence[_Post], patience_s: float) -> None:
        processes = [post.process for post in posts if post.process is not None]
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
        until = time.monotonic() + patience_s
        for process in processes:
            try:
                process.wait(max(0.1, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                kill_group(process.pid)
                process.wait()
        for post in posts:
            post.process = None


def _ended(status: int) -> str:
    if status >= 0:
        return f"ended with exit status {status}"
    return f"was killed by signal {-status} ({signal.strsignal(-status) or 'unknown'})"


def die_with_parent() -> None:
    """A child process ends when the one that started it does, however that one ended."""
    import ctypes

    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:
        sys.exit(1)
