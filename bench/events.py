"""Events per second, written by transactions and handled by a subscriber, with one worker.

Producers and the worker share this process and its event loop. Each transaction writes twenty events, as an import or a draw
of a tournament does. First as many as go through; then ten thousand a second, steadily, which is what the promised lag is
about: producers that write faster than anyone reads make any lag. The last lines have one event a transaction, where the rate
is that of commits. A commit of the production settings waits for the disk.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any
from uuid import UUID, uuid4

import msgspec
import uvloop

from bench.installation import installation
from bench.report import Options, Report, at_least, below
from forecourt.kernel import doorbell
from forecourt.kernel.context import service_context
from forecourt.kernel.db import Database, Tx
from forecourt.kernel.events import Dispatcher, Envelope, Event, Subscription, emit

PRODUCERS = 8
ORGANISATIONS = 20
STEADY_PER_S = 10_000


class Passed(Event, name="bench.passed"):
    organisation_id: UUID
    booking_id: UUID
    amount_minor: int
    note: str = "court 3, 18:00"


class Run(msgspec.Struct, frozen=True):
    events: int
    produced_per_s: float
    handled_per_s: float
    """Until the last one was handled."""
    worst_lag_s: float
    left_s: float
    """How long the last ones took when no more came."""


def measure(options: Options) -> None:
    report = Report.begin("events", "Events: produced and handled, one worker", options)
    seconds = 4.0 if options.quick else 15.0
    with installation() as at:
        many = uvloop.run(_run(at.at.database_url, seconds, 20))
        steady = uvloop.run(_run(at.at.database_url, seconds, 20, STEADY_PER_S))
        single = uvloop.run(_run(at.at.database_url, seconds / 2, 1))
    report.add("handled, 20 a transaction", many.handled_per_s, "/s", at_least(10_000), f"{many.events:,} events")
    report.add(
        "worst lag meanwhile", many.worst_lag_s, "s", None, f"all were handled {many.left_s * 1000:.0f} ms after the last commit"
    )
    note = f"{steady.left_s * 1000:.0f} ms after the last commit"
    report.add("handled, 10,000 a second wanted", steady.handled_per_s, "/s", at_least(STEADY_PER_S * 0.98))
    report.add("worst lag at that rate", steady.worst_lag_s, "s", below(1), note)
    report.add("handled, one a transaction", single.handled_per_s, "/s", None, f"{PRODUCERS} producers")
    report.add("worst lag meanwhile (one)", single.worst_lag_s, "s", below(1))
    report.details = {"many": many, "steady": steady, "single": single}
    report.finish()


async def _run(url: str, seconds: float, per_transaction: int, per_s: float | None = None) -> Run:
    """`per_s`: how many events are written each second; None: as many as go."""
    db = await Database.connect(url, None, 16)
    bell = doorbell.Doorbell(db)
    await bell.start()
    doorbell.install(bell)
    handled, written, orgs = 0, 0, [uuid4() for _ in range(ORGANISATIONS)]

    async def handle(_: Tx, envelopes: list[Envelope[Any]]) -> None:
        nonlocal handled
        handled += sum(e.event.organisation_id in mine for e in envelopes)

    mine = set(orgs)
    # The same subscriber in every run: its cursor stands where the run before ended.
    dispatcher = Dispatcher(db, url, [Subscription("kernel.bench", "kernel", (Passed,), handle)])
    running = asyncio.create_task(dispatcher.run())
    began, lags = time.perf_counter(), [0.0]

    async def produce(org: UUID) -> None:
        nonlocal written
        while (passed := time.perf_counter() - began) < seconds:
            if per_s is not None and written >= per_s * passed:
                await asyncio.sleep(0.001)
                continue
            written += per_transaction
            async with db.module("kernel").tx(service_context("bench", org)) as tx:
                for n in range(per_transaction):
                    emit(tx, Passed(organisation_id=org, booking_id=orgs[0], amount_minor=n))

    async def watch() -> None:
        while time.perf_counter() - began < seconds:
            await asyncio.sleep(0.2)
            lags.extend(lag.behind_s for lag in await dispatcher.lag())

    await asyncio.gather(*(produce(orgs[i % ORGANISATIONS]) for i in range(PRODUCERS)), watch())
    produced_s = time.perf_counter() - began
    async with asyncio.timeout(60):
        while handled < written:
            await asyncio.sleep(0.005)
    handled_s = time.perf_counter() - began
    await dispatcher.stop()
    await running
    doorbell.install(None)
    await bell.stop()
    await db.close()
    return Run(written, written / produced_s, handled / handled_s, max(lags), handled_s - produced_s)
