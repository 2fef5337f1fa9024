"""Events per second, produced and handled, with one worker. `python bench/events.py [seconds] [events per transaction]`.

Producers and the worker share this process and its event loop; the engines are the embedded ones with production settings.
Prints one line of JSON: rates, and the worst lag that was seen while both were at work.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from forecourt.engines import start_engines
from forecourt.kernel import doorbell
from forecourt.kernel.context import service_context
from forecourt.kernel.db import Database, Tx
from forecourt.kernel.events import Dispatcher, Envelope, Event, Subscription, emit
from forecourt.kernel.migrate import migrate
from forecourt.layout import migration_folders

PRODUCERS = 8


class Passed(Event, name="bench.passed"):
    organisation_id: UUID
    booking_id: UUID
    amount_minor: int
    note: str = "court 3, 18:00"


async def measure(url: str, seconds: float, per_transaction: int) -> dict[str, object]:
    db = await Database.connect(url, None, 16)
    bell = doorbell.Doorbell(db)
    await bell.start()
    doorbell.install(bell)
    handled, written, orgs = 0, 0, [uuid4() for _ in range(20)]

    async def handle(_: Tx, envelopes: list[Envelope[Any]]) -> None:
        nonlocal handled
        handled += len(envelopes)

    dispatcher = Dispatcher(db, url, [Subscription("kernel.bench", "kernel", (Passed,), handle)])
    running = asyncio.create_task(dispatcher.run())
    began, lags = time.perf_counter(), [0.0]

    async def produce(org: UUID) -> None:
        nonlocal written
        while time.perf_counter() - began < seconds:
            async with db.module("kernel").tx(service_context("bench", org)) as tx:
                for n in range(per_transaction):
                    emit(tx, Passed(organisation_id=org, booking_id=orgs[0], amount_minor=n))
            written += per_transaction

    async def watch() -> None:
        while time.perf_counter() - began < seconds:
            await asyncio.sleep(0.2)
            lags.extend(lag.behind_s for lag in await dispatcher.lag())

    await asyncio.gather(*(produce(orgs[i % 20]) for i in range(PRODUCERS)), watch())
    produced_s = time.perf_counter() - began
    while handled < written:
        await asyncio.sleep(0.005)
    handled_s = time.perf_counter() - began
    await dispatcher.stop()
    await running
    doorbell.install(None)
    await bell.stop()
    await db.close()
    return {
        "events": written,
        "per_transaction": per_transaction,
        "produced_per_s": round(written / produced_s),
        "handled_per_s": round(handled / handled_s),
        "left_at_the_end_ms": round((handled_s - produced_s) * 1000),
        "worst_lag_ms": round(max(lags) * 1000),
    }


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 5
    per_transaction = int(sys.argv[2]) if len(sys.argv) > 2 else 20
    with tempfile.TemporaryDirectory() as place, start_engines(Path(place)) as engines:
        asyncio.run(migrate(engines.database_url, migration_folders()))
        print(json.dumps(asyncio.run(measure(engines.database_url, seconds, per_transaction))))


if __name__ == "__main__":
    main()
