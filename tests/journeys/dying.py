"""Processes that die at one exact step of book-and-pay, and a house whose time the test moves."""

from __future__ import annotations

import asyncio
import functools
import multiprocessing
import os
import signal
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
from tests.journeys.conftest import settings_for

from forecourt.app import Addresses, House
from forecourt.kernel.events import Dispatcher
from forecourt.kernel.idempotency import Idempotency
from forecourt.kernel.jobs import Worker
from forecourt.layout import module_names
from forecourt.modules.booking import queries as booking_queries
from forecourt.modules.booking.service import BookingService
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
}
"""Where a process can die: what is called there, and whether death comes after it (else before)."""


class Later:
    """The system's clock, and as much later as told."""

    def __init__(self, by: timedelta = timedelta()) -> None:
        self.by = by

    def now(self) -> datetime:
        return datetime.now(UTC) + self.by


class Place(msgspec.Struct, frozen=True):
    """Where a house stands."""

    database_url: str
    valkey_url: str
    data: str

    async def open(self, clock: Later) -> House:
        return await House.open(settings_for(Path(self.data)), Addresses(self.database_url, self.valkey_url), clock)


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
    transport = httpx.ASGITransport(app=house.app, raise_app_exceptions=False)  # type: ignore[arg-type]
    return httpx.AsyncClient(transport=transport, base_url="http://house.test", timeout=30)


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


_processes = multiprocessing.get_context("forkserver")
# What a house imports when it opens is imported once; each process that is going to die is a fork of that. Not every module has
# every room: a name that is none is passed over.
_rooms = [
    f"forecourt.modules.{name}.{room}" for name in module_names() for room in ("http", "web", "staff_web", "jobs", "service")
]
_processes.set_forkserver_preload(["tests.journeys.dying", *_rooms])


async def _end_of(target: Callable[..., None], *args: Any) -> int | None:
    process = _processes.Process(target=target, args=args)
    process.start()
    await asyncio.to_thread(process.join, 60)
    if process.is_alive():
        process.kill()
        process.join()
        raise AssertionError("the process neither died nor ended")
    return process.exitcode


async def server_dies(place: Place, clock: Later, step: str, order: Order) -> None:
    """A server takes the order and is killed at `step`."""
    assert await _end_of(_serve_one, place, clock.by, step, order) == -signal.SIGKILL, f"it lived through: {step}"


async def worker_dies(place: Place, clock: Later, step: str) -> None:
    assert await _end_of(_work_once, place, clock.by, step) == -signal.SIGKILL, f"it lived through: {step}"
