"""500 people want one slot at the same moment: one gets it, 499 hear that it is taken and what is free instead."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import asyncpg
import msgspec
import uvloop

from bench import seed
from bench.installation import Installation, forecourt, installation
from bench.load import Call, Client, Outcome
from bench.report import Options, Report, below, median

CLIENTS = 500


def measure(options: Options) -> None:
    report = Report.begin("contention", f"{CLIENTS} people want one slot at the same moment", options)
    rounds = 5 if options.quick else 15
    with installation() as at:
        world = seed.make(at, seed.Shape(clubs=1, courts=20, people=1_500, bookers=CLIENTS, days=90))
        with forecourt(at) as server:
            done = [Client(server.port, CLIENTS).run(_wishes(world, n), keep_bodies=CLIENTS) for n in range(rounds + 1)][1:]
        claims = uvloop.run(_claims(at))
    for outcome in done:
        _check(outcome)
    if claims != rounds + 1:
        raise AssertionError(f"{claims} claims for {rounds + 1} slots")
    report.add("time to hear, the slowest of a hundred", median([o.ms(99) for o in done]), "ms p99", below(1000))
    report.add("time to hear", median([o.ms(50) for o in done]), "ms p50")
    report.add("all have heard", median([o.took_s * 1000 for o in done]), "ms")
    report.add(
        "bookings a slot", 1, "", note=f"{rounds} slots, {CLIENTS - 1} answers of 409 each, one claim each in the database"
    )
    report.details = {"rounds": [{"p50_ms": o.ms(50), "p99_ms": o.ms(99), "took_s": o.took_s} for o in done]}
    report.finish()


def _wishes(world: seed.World, number: int) -> list[Call]:
    start = datetime.now(UTC).replace(hour=18, minute=0, second=0, microsecond=0) + timedelta(days=seed.FREE_FROM_DAYS + number)
    body = {
        "resource_id": str(world.clubs[0].courts[0]),
        "start": start.isoformat().replace("+00:00", "Z"),
        "duration_min": 60,
        "pay_with": "credits",
    }
    return [Call("/v1/bookings", p.token, msgspec.json.encode(body), "POST") for p in world.bookers]


def _check(outcome: Outcome) -> None:
    if outcome.statuses != {201: 1, 409: CLIENTS - 1} or outcome.lost:
        raise AssertionError(f"not one winner: {dict(outcome.statuses)}, {outcome.lost} lost; {outcome.bodies[-1:]!r}")
    codes = {msgspec.json.decode(body).get("code") for body in outcome.bodies} - {None}
    if codes != {"slot_taken"}:
        raise AssertionError(f"refused with {codes}")


async def _claims(at: Installation) -> int:
    db = await asyncpg.connect(at.admin_url)
    try:
        sql = "select count(*) from booking.occupancy where starts_at > now() + make_interval(days => $1)"
        return await db.fetchval(sql, seed.FREE_FROM_DAYS - 1)
    finally:
        await db.close()
