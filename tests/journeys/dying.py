"""Processes that die at one exact step of book-and-pay, and a house whose time the test moves."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import multiprocessing
import os
import signal
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
import uvicorn
from tests.journeys.conftest import settings_for

from forecourt.app import Addresses, House
from forecourt.kernel.events import Dispatcher
from forecourt.kernel.http.doorman import HEADER
from forecourt.kernel.idempotency import Idempotency
from forecourt.kernel.jobs import Worker
from forecourt.layout import module_names
from forecourt.modules.booking import queries as booking_queries
from forecourt.modules.booking.service import BookingService
from forecourt.modules.booking.service.till import Till
from forecourt.modules.payments import queries as payments_queries
from forecourt.modules.payments.service import PaymentsService

SEAMS: dict[str, tuple[Any, str, bool]] = {
    "hold written": (booking_queries, "hold", True),
    "hold committed": (BookingService, "_insert", True),
    "charge written": (payments_queries, "take", True),
    "charge committed": (PaymentsService, "charge", True),
    "confirmation written": (booking_queries, "confirm", True),
    "confirmation committed": (BookingService, "_confirm", True),
    "answer kept": (Idempotency, "keep", True),
    "setting aside written": (payments_queries, "add_authorisation", True),
    "setting aside committed": (PaymentsService, "authorise", True),
    "what is set aside noted": (BookingService, "note_authorised", True),
    "capture written": (payments_queries, "end_authorisation", True),
    "capture committed": (PaymentsService, "capture", True),
    "refusal written": (booking_queries, "leave", True),
    "refusal committed": (PaymentsService, "release", False),
    "release committed": (PaymentsService, "release", True),
    "release noted": (BookingService, "run_errand", True),
    "payment looked up": (PaymentsService, "status", True),
    "expiry written": (booking_queries, "leave", True),
    "expiry committed": (BookingService, "send_back", False),
    "refund noted": (PaymentsService, "refund", False),
    "refund committed": (PaymentsService, "refund", True),
    "refund's end written": (booking_queries, "end_refund", True),
    "refund's end committed": (BookingService, "run_errand", True),
    # What payments did is one thing and that booking knows of it another, where they are two processes.
    "charge heard of": (Till, "collect", True),
    "setting aside heard of": (Till, "authorise", True),
    "capture heard of": (Till, "capture", True),
    "release heard of": (Till, "release", True),
    "payment heard of": (Till, "state", True),
    "refund heard of": (Till, "give_back", True),
    "nothing heard of": (Idempotency, "forget", False),
}
"""Where a process can die: what is called there, and whether death comes after it (else before)."""


def is_of_payments(step: str) -> bool:
    """Whether it is payments that makes this step; all others are booking's, and of the door before it."""
    return SEAMS[step][0] in (payments_queries, PaymentsService)


class Later:
    """The system's clock, and as much later as told."""

    def __init__(self, by: timedelta = timedelta()) -> None:
        self.by = by

    def now(self) -> datetime:
        return datetime.now(UTC) + self.by


class Place(msgspec.Struct, frozen=True):
    """Where a house stands, and what else its process is told: its modules, and where the others are."""

    database_url: str
    valkey_url: str
    data: str
    told: dict[str, str] = {}

    async def open(self, clock: Later) -> House:
        settings = settings_for(Path(self.data), **self.told)
        return await House.open(settings, Addresses(self.database_url, self.valkey_url), clock)


class Order(msgspec.Struct, frozen=True):
    """A request to book, or about a booking."""

    token: str
    key: str
    body: dict[str, Any]
    path: str = "/v1/bookings"

    async def send(self, client: httpx.AsyncClient) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.token}", "Idempotency-Key": self.key}
        return await client.post(self.path, json=self.body, headers=headers)


def visitor(house: House) -> httpx.AsyncClient:
    """Comes through the gateway where there has to be one."""
    transport = httpx.ASGITransport(app=house.app, raise_app_exceptions=False)  # type: ignore[arg-type]
    keys = house.settings.secrets.gateway_keys
    headers = {HEADER: keys[0].reveal()} if keys else {}
    return httpx.AsyncClient(transport=transport, base_url="http://house.test", timeout=30, headers=headers)


class _Server(uvicorn.Server):
    """uvicorn without its own signal handling: whoever runs it has another."""

    @contextlib.contextmanager
    def capture_signals(self):  # type: ignore[no-untyped-def]
        yield


@contextlib.asynccontextmanager
async def serving(house: House, listener: socket.socket) -> AsyncGenerator[None]:
    """The house answers there meanwhile; at the end nobody listens, and nobody is connected."""
    config = uvicorn.Config(house.app, interface="asgi3", ws="none", lifespan="off", log_config=None)  # type: ignore[arg-type]
    server = _Server(config)
    task = asyncio.create_task(server.serve([listener]))
    try:
        while not server.started and not task.done():
            await asyncio.sleep(0.001)
        yield
    finally:
        server.should_exit = True
        await task


async def work(house: House) -> None:
    """Brings every event to its subscribers and runs every job that is due, then those that came of it."""
    subscriptions = [s for part in house.parts for s in part.subscriptions]
    handlers = [h for part in house.parts for h in part.handlers]
    schedules = [s for part in house.parts for s in part.schedules]
    dispatcher = Dispatcher(house.database, house.at.database_url, subscriptions, house.clock)
    worker = Worker(house.database, house.at.database_url, handlers, schedules, house.clock)
    await dispatcher.drain()
    await worker.drain()
    await dispatcher.drain()


def _die_at(step: str) -> None:
    owner, name, after = SEAMS[step]
    real: Callable[..., Awaitable[Any]] = getattr(owner, name)

    @functools.wraps(real)
    async def fatal(*args: Any, **named: Any) -> Any:
        if after:
            await real(*args, **named)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(owner, name, fatal)


def _serve_one(place: Place, by: timedelta, step: str, order: Order) -> None:
    async def run() -> None:
        house = await place.open(Later(by))
        async with visitor(house) as client:
            answer = await order.send(client)
            raise SystemExit(f"answered {answer.status_code}: {answer.text}")

    _die_at(step)
    asyncio.run(run())


def _work_once(place: Place, by: timedelta, step: str) -> None:
    async def run() -> None:
        await work(await place.open(Later(by)))

    _die_at(step)
    asyncio.run(run())


def _answer(place: Place, by: timedelta, step: str, listener: socket.socket) -> None:
    async def run() -> None:
        house = await place.open(Later(by))
        async with serving(house, listener):
            await asyncio.Event().wait()

    _die_at(step)
    asyncio.run(run())


_processes = multiprocessing.get_context("forkserver")
# What a house imports when it opens is imported once; each process that is going to die is a fork of that. Not every module has
# every room: a name that is none is passed over.
_rooms = [
    f"forecourt.modules.{name}.{room}" for name in module_names() for room in ("http", "web", "staff_web", "jobs", "service")
]
_processes.set_forkserver_preload(["tests.journeys.dying", *_rooms])


@contextlib.asynccontextmanager
async def _process(target: Callable[..., None], *args: Any) -> AsyncGenerator[Callable[[], Awaitable[int | None]]]:
    """Runs meanwhile, and not longer. Gives what waits for its end and tells its exit status."""
    process = _processes.Process(target=target, args=args)
    process.start()

    async def end() -> int | None:
        await asyncio.to_thread(process.join, 60)
        assert not process.is_alive(), "the process neither died nor ended"
        return process.exitcode

    try:
        yield end
    finally:
        process.kill()
        process.join()


async def server_dies(place: Place, clock: Later, step: str, order: Order) -> None:
    """A server takes the order and is killed at `step`."""
    async with _process(_serve_one, place, clock.by, step, order) as end:
        assert await end() == -signal.SIGKILL, f"it lived through: {step}"


async def worker_dies(place: Place, clock: Later, step: str) -> None:
    async with _process(_work_once, place, clock.by, step) as end:
        assert await end() == -signal.SIGKILL, f"it lived through: {step}"


@contextlib.asynccontextmanager
async def answering_dies(place: Place, clock: Later, step: str, listener: socket.socket) -> AsyncGenerator[None]:
    """A server answers at `listener`, which is its own from now on, and is killed at `step` of what it is asked meanwhile."""
    host, port = listener.getsockname()
    async with _process(_answer, place, clock.by, step, listener) as end:
        listener.close()
        async with httpx.AsyncClient(timeout=60, trust_env=False) as client:
            await client.get(f"http://{host}:{port}/livez")  # which waits until it answers
        yield
        assert await end() == -signal.SIGKILL, f"it lived through: {step}"
