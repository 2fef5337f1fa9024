"""What ten times the bookings does to reads: a hundred thousand, measured; a million, measured again.

The same clubs and the same people get their past: years of completed bookings with their claims. So every table, every index
and every person's list is ten times as long, and nothing else has changed. Answers are as long as before: a page of one's own
bookings has five, which almost everybody has from the beginning.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import date, timedelta

import asyncpg
import uvloop

from bench import seed
from bench.installation import Installation, Server, forecourt, installation
from bench.load import Call, Client
from bench.report import Options, Report, below, median

CONNECTIONS = 4
DAYS = 182
"""200 courts × 182 days × 2.76 are 100,000 bookings."""
SHAPE = seed.Shape(clubs=10, courts=20, people=10_000, bookers=100, days=DAYS)


def measure(options: Options) -> None:
    report = Report.begin("growth", "Ten times the bookings: 100,000, then 1,000,000", options)
    times = 3 if options.quick else 10
    with installation() as at:
        world = seed.make(at, SHAPE)
        questions = _questions(world)
        with forecourt(at) as server:
            count = uvloop.run(_count(at))
            small = {name: _p95(server, ask, options) for name, ask in questions.items()}
            uvloop.run(_grow(at, world, times))
            grown = uvloop.run(_count(at))
            large = {name: _p95(server, ask, options) for name, ask in questions.items()}
    target = below(20) if times == 10 else None
    for name in questions:
        change = 100 * (large[name] / small[name] - 1)
        report.add(f"{name}, change of p95", change, "%", target, f"{small[name]:.2f} → {large[name]:.2f} ms")
    report.add("bookings before", count, "")
    report.add("bookings after", grown, "", note="" if times == 10 else "a quick run grows three times only")
    report.finish()


def _questions(world: seed.World) -> dict[str, Callable[[random.Random], list[Call]]]:
    def staff_day(dice: random.Random) -> list[Call]:
        calls: list[Call] = []
        for _ in range(500):
            club, day = dice.choice(world.clubs), date.today() + timedelta(days=dice.randint(1, DAYS - 2))
            period = f"from={day}T00:00:00Z&to={day + timedelta(days=1)}T00:00:00Z"
            calls.append(Call(f"/v1/orgs/{club.organisation_id}/bookings?{period}&limit=50", world.owner.token))
        return calls

    return {
        "one booking": lambda dice: world.read_one(500, dice),
        "availability of a day": lambda dice: world.day_of_one_court(500, dice),
        "my bookings": lambda dice: [Call("/v1/bookings?limit=5", dice.choice(world.readers)[1]) for _ in range(500)],
        "a day of the club's bookings": staff_day,
    }


def _p95(server: Server, ask: Callable[[random.Random], list[Call]], options: Options) -> float:
    """The middle p95 of several rounds with the same questions: one slow moment of the machine counts once."""
    Client(server.port, CONNECTIONS).run(ask(random.Random(0))).only(200)
    rounds = [Client(server.port, CONNECTIONS).run(ask(random.Random(n))).only(200) for n in range(3 if options.quick else 7)]
    return median([o.ms(95) for o in rounds])


async def _grow(at: Installation, world: seed.World, times: int) -> None:
    db = await asyncpg.connect(at.admin_url, server_settings={"transaction_timeout": "0", "jit": "off"})
    try:
        people = [r["account_id"] for r in await db.fetch("select distinct b.account_id from booking.booking b limit 20000")]
        for n in range(1, times):
            first = date.today() - timedelta(days=n * DAYS)
            await seed.book_in_bulk(db, world.clubs, people, first, DAYS, tidy=n == times - 1)
        await db.execute("checkpoint")
    finally:
        await db.close()


async def _count(at: Installation) -> int:
    db = await asyncpg.connect(at.admin_url)
    try:
        return await db.fetchval("select count(*) from booking.booking")
    finally:
        await db.close()
