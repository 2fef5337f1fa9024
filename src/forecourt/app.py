"""The composition root: settings → engines' addresses → modules → one ASGI application. The only place that wires.

A `House` is one process's share of the whole: its modules, its pools, and, when it is asked to, its background work. Every
module is built by one function below; a module that lives elsewhere is reached through the switchboard and is not built here.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit, urlunsplit

import msgspec
import structlog

from forecourt import forgetting, tallies
from forecourt.figures import Figures
from forecourt.kernel import telemetry
from forecourt.kernel.cache import Cache
from forecourt.kernel.clock import Clock, SystemClock
from forecourt.kernel.context import service_context
from forecourt.kernel.contracts import SIGNATURE_WINDOW_S, CallRefused, KeyRing, Switchboard
from forecourt.kernel.db import Database, Query
from forecourt.kernel.doorbell import Doorbell
from forecourt.kernel.errors import Internal, Misconfigured, Problem, Unavailable
from forecourt.kernel.events import Dispatcher as EventDispatcher
from forecourt.kernel.events import Subscription
from forecourt.kernel.http.dispatch import Door
from forecourt.kernel.http.doorman import Doorman, GatewayKeys
from forecourt.kernel.http.front import App
from forecourt.kernel.http.gate import Gate
from forecourt.kernel.http.newest import Newest, marks
from forecourt.kernel.http.operation import Operation, Visit
from forecourt.kernel.http.peers import SideDoor
from forecourt.kernel.http.site import front, site
from forecourt.kernel.idempotency import Idempotency
from forecourt.kernel.jobs import JobHandler, Schedule, Worker, housekeeping
from forecourt.kernel.limits import Limiter
from forecourt.kernel.live import Hub
from forecourt.kernel.metrics import Metrics
from forecourt.kernel.migrate import APP_ROLE
from forecourt.kernel.presence import Presences
from forecourt.kernel.settings import Settings
from forecourt.kernel.warming import Warmer, Warmth
from forecourt.kernel.web.assets import Assets
from forecourt.kernel.web.language import LanguageApi
from forecourt.kernel.web.render import Pages
from forecourt.kernel.web.surroundings import Surroundings
from forecourt.kernel.wire import Wire
from forecourt.layout import template_folders
from forecourt.system import SystemApi

if TYPE_CHECKING:
    from forecourt.modules.identity.service import IdentityService
    from forecourt.realtime.server import Realtime

log = structlog.get_logger("forecourt.app")

GRACE_S = 10
"""So long a process that stops lets requests, events and jobs end what they have begun. What has not ended by then is cut off."""
CUTS_S = (0.1, 3.0, 1.0)
"""Whoever is late is told, then cut off, and has so long to put its job back; then it is cut off once more, and left."""
CLOSER_S = 10
"""For each part to be told to end, and to let go of what it holds."""
PEER_CONNECTIONS = 64
PEER_IDLE_S = 10.0
"""Shorter than a server keeps a silent connection open (`process.KEEP_ALIVE_S`), so that no call meets one that just closed."""


class Part(msgspec.Struct, frozen=True):
    """What one module brings into the house."""

    name: str
    operations: list[Operation] = []
    subscriptions: list[Subscription] = []
    handlers: list[JobHandler[Any]] = []
    schedules: list[Schedule] = []
    warmths: list[Warmth] = []


class Addresses(msgspec.Struct, frozen=True):
    """Where the engines are."""

    database_url: str
    valkey_url: str
    replica_url: str | None = None


NAME = Query(str, "select current_database()::text")


class House:
    """Open with `await House.open(...)`, then serve `house.app`; `start_work` runs events and jobs; `close` ends everything."""

    def __init__(self, settings: Settings, at: Addresses, database: Database, clock: Clock) -> None:
        self.settings = settings
        self.at = at
        self.clock = clock
        self.metrics = Metrics()
        self.database = database
        self.limiter = Limiter(at.valkey_url, self.metrics)
        self.cache = Cache(at.valkey_url, self.metrics)
        self.idempotency = Idempotency(database.module("kernel"), clock)
        self.hub = Hub(at.valkey_url)
        self.presences = Presences(at.valkey_url)
        self.realtime: Realtime | None = None
        """The socket server; `open_sockets` makes it in a process that has one."""
        self.doorbell = Doorbell(database)
        keys = settings.secrets.contract_keys
        self.peers = peer_client() if settings.topology.peers else None
        self.board = Switchboard(settings.topology.called, KeyRing.of(keys) if keys else None, self.peers, clock)
        gateway = settings.secrets.gateway_keys
        self.gateways = GatewayKeys(gateway) if gateway else None
        """What gateways show; None where people come straight to the process."""
        self.secret = settings.secrets.secret_key.reveal().encode()
        self.assets = Assets(address=settings.http.assets_url)
        self.pages = Pages(self.assets, template_folders(), reload=False)
        self.surroundings = Surroundings(self.pages, settings.env.value, clock)
        self.draining = False
        """Set when the process has been told to stop: `/readyz` says so, and nobody new should come."""
        self.parts: list[Part] = []
        self._work: list[asyncio.Task[None]] = []
        self._warming: list[asyncio.Task[None]] = []
        self._closing = False
        self.figures = Figures(self)
        self.metrics.tell(self.figures)
        self._dispatcher: EventDispatcher | None = None
        self._worker: Worker | None = None
        self.app: App
        self.gate: Gate
        self.identity: IdentityService
        """For the command line, which makes the first administrator."""
        self.operations: list[Operation] = []

    @classmethod
    async def open(cls, settings: Settings, at: Addresses, clock: Clock | None = None, name: str = "forecourt") -> House:
        """Builds and starts a process's share. Raises when the database does not answer or a contract has no provider.

        `name` is what traces call the process, unless its environment does.
        """
        telemetry.start(name, settings.telemetry.endpoint, **{"deployment.environment.name": settings.env.value})
        size = settings.database.pool_size
        database = await Database.connect(at.database_url, at.replica_url, size, valkey_url=at.valkey_url)
        house = cls(settings, at, database, clock or SystemClock())
        try:
            house._build()
            await house._start()
        except BaseException:
            await house.close()
            raise
        return house

    def _build(self) -> None:
        from forecourt import wiring

        for name in wiring.MODULES:  # also of modules that live elsewhere: what they announce and refuse has to be known here
            importlib.import_module(f"forecourt.modules.{name}.contract")
        wanted = self.settings.topology.modules or tuple(wiring.MODULES)
        unknown = sorted(set(wanted) - wiring.MODULES.keys())
        if unknown:
            raise Misconfigured(
                f"FORECOURT_MODULES: there is no module {', '.join(unknown)}; there are {', '.join(wiring.MODULES)}"
            )
        self.parts = [build(self) for name, build in wiring.MODULES.items() if name in wanted]
        missing = self.board.missing()
        if missing:
            raise Misconfigured(f"nobody answers {', '.join(missing)}: serve the module here or name it in FORECOURT_PEERS")
        self.gate = wiring.gate(self)
        door = Door(
            self.gate,
            self.idempotency,
            self.limiter,
            secret=self.secret,
            public_url=self.settings.http.public_url,
            limit_addresses=self.settings.production,
            secure_cookies=self.settings.http.public_url.startswith("https://"),
            problem_page=self._problem_page,
        )
        system = SystemApi(self)
        own = [*system.operations(), *LanguageApi().operations()]
        self.operations = [*(op for part in self.parts for op in part.operations), *own]
        self.app = self.guarded(
            front(
                site(self.operations, door),
                self.metrics,
                origins=self.settings.http.cors_origins,
                proxies=self.settings.http.trusted_proxies,
                strict_transport=self.settings.http.public_url.startswith("https://"),
                assets=self.settings.http.assets_url,
            )
        )
        if self.board.exchange is not None:
            self.app = SideDoor(self.app, self.board.exchange, self.metrics)
        if self.database.replica is not None:
            self.app = Newest(self.app)

    def guarded(self, app: App) -> App:
        """`app`, for who comes through a gateway where there is one."""
        return app if self.gateways is None else Doorman(app, self.gateways, self.metrics)

    def _problem_page(self, problem: Problem, visit: Visit | None, trace_id: str) -> str:
        return self.surroundings.problem(problem, visit, trace_id)

    async def _start(self) -> None:
        await self.doorbell.start()
        async with self.database.module("kernel").read(service_context("start")) as tx:
            await self.cache.start(await tx.one(NAME))
        await self.hub.start()
        try:
            await self.gate.start()
        except Internal as e:
            if not isinstance(e.__cause__, CallRefused):
                raise
            if e.__cause__.by_clock:  # that mends itself, or is mended elsewhere: starting again helps
                apart = f"the clock of the process that keeps accounts is {e.__cause__.clocks_apart_s:.0f} s from ours"
                raise Unavailable(f"{apart}: calls are good for {SIGNATURE_WINDOW_S:.0f} s, so keep clocks in step (NTP)") from e
            words = "the process that keeps accounts does not take our calls: give all processes the same FORECOURT_CONTRACT_KEYS"
            raise Misconfigured(words) from e

    async def start_work(self) -> None:
        """Runs events and jobs in this process."""
        subscriptions = self.subscriptions
        tidy, hourly = housekeeping(self.database, self.clock, subscriptions)
        handlers = [*(h for part in self.parts for h in part.handlers), tidy, forgetting.handler(self.database)]
        schedules = [*(s for part in self.parts for s in part.schedules), hourly]
        self._dispatcher = EventDispatcher(self.database, self.at.database_url, subscriptions, self.clock, self.metrics)
        self._worker = Worker(self.database, self.at.database_url, handlers, schedules, self.clock, self.metrics)
        self._work = [
            asyncio.create_task(self._keep("events", self._dispatcher.run), name="events"),
            asyncio.create_task(self._keep("jobs", self._worker.run), name="jobs"),
        ]

    def start_warming(self) -> None:
        """Makes ready what this process's modules will be asked for most, in the background, until it closes."""
        warmers = [Warmer(warmth, self.metrics) for part in self.parts for warmth in part.warmths]
        self._warming = [asyncio.create_task(warmer.run(), name="warming") for warmer in warmers]

    async def _keep(self, what: str, run: Callable[[], Any]) -> None:
        """Background work comes back after a fault: a lost connection must not end it for good."""
        while not self._closing:
            try:
                await run()
                return
            except asyncio.CancelledError:
                raise
            except Exception as e:  # whatever it was, the work is durable and is taken up again
                log.error("work_interrupted", what=what, error=type(e).__name__, exc_info=e)
                await asyncio.sleep(1)

    async def open_sockets(self) -> type[asyncio.BufferedProtocol]:
        """Makes this process a realtime server; returns what uvicorn takes for `ws=`."""
        from forecourt import wiring
        from forecourt.realtime.protocol import socket_door
        from forecourt.realtime.server import Realtime

        self.realtime = Realtime(
            self.hub, self.gate, wiring.topics(self), wiring.quiet_hours(self), self.at.valkey_url, self.metrics, self.clock
        )
        await self.realtime.start()
        http = self.settings.http
        return socket_door(self.realtime, http.public_url, http.cors_origins, http.trusted_proxies, self.gateways)

    @property
    def subscriptions(self) -> list[Subscription]:
        """Who in this process wants to hear of events."""
        return [*(s for part in self.parts for s in part.subscriptions), tallies.subscription(), forgetting.subscription()]

    @property
    def works(self) -> bool:
        """Whether events and jobs run in this process."""
        return self._worker is not None

    @property
    def dispatcher(self) -> EventDispatcher:
        if self._dispatcher is None:
            raise RuntimeError("start_work was not called")
        return self._dispatcher

    @property
    def worker(self) -> Worker:
        if self._worker is None:
            raise RuntimeError("start_work was not called")
        return self._worker

    async def close(self) -> None:
        for task in self._warming:
            task.cancel()
        await asyncio.gather(*self._warming, return_exceptions=True)
        await self._end_work()
        closers: Sequence[Callable[[], Any]] = (
            _nothing if self.realtime is None else self.realtime.stop,
            getattr(getattr(self, "gate", None), "stop", _nothing),
            self.idempotency.close,
            self.hub.stop,
            self.presences.close,
            self.figures.close,
            self.cache.close,
            self.limiter.close,
            self.doorbell.stop,
            self.database.close,
            _nothing if self.peers is None else self.peers.aclose,
        )
        for closer in closers:
            with contextlib.suppress(Exception):
                await asyncio.wait_for(closer(), CLOSER_S)
        telemetry.stop()

    async def _end_work(self) -> None:
        """Events and jobs end what they are at, for GRACE_S. What takes longer is cut off and nothing of it is lost: a batch of
        events that did not commit is read again, and a job is put back into the queue with its start, for whoever works on."""
        self._closing = True
        for stop in (self._dispatcher, self._worker):
            if stop is not None:
                with contextlib.suppress(Exception):
                    await asyncio.wait_for(stop.stop(), CLOSER_S)
        late = await _ended(self._work, GRACE_S)
        if late:
            log.warning("work_cut_off", what=sorted(task.get_name() for task in late), after_s=GRACE_S)
        for within_s in CUTS_S:
            for task in late:
                task.cancel()
            late = await _ended(late, within_s)


def peer_client() -> Wire:
    """For calls to other processes of the house."""
    return Wire(PEER_CONNECTIONS, PEER_IDLE_S, marks)


async def _ended(tasks: Collection[asyncio.Task[None]], within_s: float) -> Collection[asyncio.Task[None]]:
    """Waits for the tasks, however they end; those that have not `within_s`."""
    if not tasks:
        return tasks
    ended, late = await asyncio.wait(tasks, timeout=within_s)
    await asyncio.gather(*ended, return_exceptions=True)
    return late


async def _nothing() -> None:
    """There was nothing to stop."""


def app_url(admin_url: str) -> str:
    """The address under which the program itself logs in: the same database as `admin_url`, as the role that owns nothing."""
    parts = urlsplit(admin_url)
    host = parts.netloc.rsplit("@", 1)[-1]
    return urlunsplit(parts._replace(netloc=f"{quote(APP_ROLE)}@{host}"))
