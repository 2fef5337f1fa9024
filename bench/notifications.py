"""Queued notifications drained per minute by one worker, on the log channel (NO-8).

Deliveries of twenty organisations are queued beforehand, as a campaign or a busy evening queues them; then one worker process's
drain empties the queue: claims, loads, hands each to its carrier, settles, and writes what was tried. The carrier only logs, so
the figure is the house's own work. The second part starts one step earlier: at notices, for which names, places, languages and
choices are asked for, words are rendered and inboxes are written.
"""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import msgspec
import structlog
import uvloop

from bench.installation import installation
from bench.report import Options, Report, at_least
from forecourt.app import Addresses, House
from forecourt.kernel.clock import SystemClock
from forecourt.kernel.context import service_context
from forecourt.kernel.db import ModuleDatabase
from forecourt.kernel.ids import new_id
from forecourt.kernel.settings import Settings
from forecourt.modules.identity.contract import AccountCard, AccountStatus
from forecourt.modules.notifications.contract import NOBODYS, Channel, DeliveryStatus
from forecourt.modules.notifications.queries import queue
from forecourt.modules.notifications.queries.queue import Content, Delivery, NewNotice
from forecourt.modules.notifications.service import Notifications, Sources
from forecourt.modules.people.contract import Preferences

ORGANISATIONS = 20
MINUTE = 60


class Run(msgspec.Struct, frozen=True):
    count: int
    wall_s: float
    cpu_s: float
    """Of the worker; PostgreSQL has its own."""

    @property
    def per_minute(self) -> float:
        return self.count / self.wall_s * MINUTE

    @property
    def per_cpu_minute(self) -> float:
        return self.count / self.cpu_s * MINUTE


class Strangers:
    """Identity and people as far as telling needs them: what they take to answer is measured elsewhere."""

    async def accounts(self, ctx: object, ids: list[UUID]) -> list[AccountCard]:
        return [AccountCard(id, "Ada", f"{id.hex}@example.org", AccountStatus.ACTIVE) for id in ids]

    async def preferences(self, ctx: object, account_ids: list[UUID]) -> list[Preferences]:
        return [Preferences() for _ in account_ids]


def measure(options: Options) -> None:
    report = Report.begin("notifications", "Notifications drained by one worker", options)
    count = 10_000 if options.quick else 40_000
    with installation() as at, Path(os.devnull).open("w") as nowhere:
        # The log channel really logs, as production does; only the reader is spared.
        structlog.configure(
            processors=[structlog.processors.TimeStamper(fmt="iso"), structlog.processors.JSONRenderer()],
            logger_factory=structlog.WriteLoggerFactory(nowhere),
        )
        settings = Settings.read(at.environ(8000) | {"FORECOURT_SMS_URL": "log://"})
        sent = uvloop.run(_sent(at.at, settings, count))
        told = uvloop.run(_told(at.at, settings, count // 4))
    report.add("sent on the log channel", sent.per_minute, "/min", at_least(10_000), f"{sent.count:,}")
    report.add("sent per minute of the worker's CPU", sent.per_cpu_minute, "/min", None, f"{sent.cpu_s:.1f} s of CPU")
    report.add("told: rendered, in the inbox, a mail queued", told.per_minute, "/min", at_least(10_000), f"{told.count:,}")
    report.add("told per minute of the worker's CPU", told.per_cpu_minute, "/min", None, f"{told.cpu_s:.1f} s of CPU")
    report.details = {"sent": sent, "told": told}
    report.finish()


async def _sent(at: Addresses, settings: Settings, count: int) -> Run:
    house = await House.open(settings, at)
    try:
        module = house.database.module("notifications")
        for _ in range(ORGANISATIONS):
            await _queue(module, uuid4(), count // ORGANISATIONS)
        # Nobody is asked for anything: deliveries are ready to go.
        return await _timed(_service(house, settings, Strangers()), count)
    finally:
        await house.close()


async def _told(at: Addresses, settings: Settings, count: int) -> Run:
    house = await House.open(settings, at)
    try:
        module, now = house.database.module("notifications"), datetime.now(UTC)
        for _ in range(ORGANISATIONS):
            notices = [
                NewNotice(new_id(), uuid4(), "security.noted", str(n), None, {"what": "new_device"}, now)
                for n in range(count // ORGANISATIONS)
            ]
            async with module.tx(service_context("bench", NOBODYS)) as tx:
                await queue.insert_notices(tx, NOBODYS, notices, now)
        return await _timed(_service(house, settings, Strangers()), count)
    finally:
        await house.close()


def _service(house: House, settings: Settings, strangers: object) -> Notifications:
    return Notifications(
        house.database.module("notifications"),
        SystemClock(),
        Sources(strangers, strangers, strangers, strangers, strangers),  # type: ignore[arg-type]
        house.hub,
        settings,
    )


async def _timed(service: Notifications, count: int) -> Run:
    wall, cpu, done = time.perf_counter(), time.process_time(), 0
    while done < count:  # what telling queues is claimed with it and counts too: the second part ends a little before
        batch = await service.sending.batch()
        if not batch:
            raise RuntimeError(f"the queue is empty after {done} of {count}")
        done += batch
    return Run(done, time.perf_counter() - wall, time.process_time() - cpu)


async def _queue(module: ModuleDatabase, organisation_id: UUID, count: int) -> None:
    now = datetime.now(UTC)
    made = [
        Delivery(
            organisation_id,
            new_id(),
            None,
            uuid4(),
            "booking.confirmed",
            "bookings",
            Channel.SMS,
            "+447700900123",
            "en",
            Content(text="Booked: Court 3, Sat 21 Nov, 19:30–21:00. Baradari Clifton. Rs 10,500."),
            DeliveryStatus.QUEUED,
            0,
            "",
            "",
            now,
            None,
            now,
        )
        for _ in range(count)
    ]
    async with module.tx(service_context("bench", organisation_id)) as tx:
        await queue.insert_deliveries(tx, organisation_id, made, now)
        await queue.queue(tx, organisation_id, "delivery", {d.id: now for d in made})
