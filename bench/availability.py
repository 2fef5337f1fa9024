"""Availability of a venue: 20 courts × 31 days, with claims as a busy club has them. The answer is about a megabyte."""

from __future__ import annotations

import random
from datetime import date, timedelta

from bench import seed
from bench.installation import forecourt, installation
from bench.load import Call, Client
from bench.report import Options, Report, below

COURTS, DAYS = 20, 31


def measure(options: Options) -> None:
    report = Report.begin("availability", f"Availability of {COURTS} courts × {DAYS} days", options)
    with installation() as at:
        world = seed.make(at, seed.Shape(clubs=10, courts=COURTS, people=2_500, bookers=20, days=90))
        with forecourt(at) as server:
            calls = _calls(world, random.Random(3))
            # The first answers fill the day plans of each club, as they do after every edit of a price.
            cold = Client(server.port, 1).run(calls[: len(world.clubs)]).only(200)
            alone = Client(server.port, 1).run(calls[: 100 if options.quick else 400]).only(200)
            four = Client(server.port, 4).run(calls[: 200 if options.quick else 800]).only(200)
            before = server.used()
            again = Client(server.port, 1).run(calls[:100]).only(200)
            cpu_ms = (server.used().cpu_us - before.cpu_us) / again.answered / 1000
    size_kib = len(alone.bodies[-1]) / 1024
    report.add("one at a time", alone.ms(95), "ms p95", below(50), f"p50 {alone.ms(50):.1f} ms")
    report.add("four at a time, one core", four.ms(95), "ms p95", note=f"p50 {four.ms(50):.1f} ms, {four.per_s:.0f}/s")
    report.add("first question about a venue", cold.ms(95), "ms p95", note="its prices are worked out")
    report.add("processor time of an answer", cpu_ms, "ms")
    report.add("size of an answer", size_kib, "KiB")
    report.finish()


def _calls(world: seed.World, dice: random.Random) -> list[Call]:
    """Every club in turn, for windows of 31 days in the booked part of the year, for lengths people ask for."""
    calls: list[Call] = []
    for n in range(800):
        club = world.clubs[n % len(world.clubs)]
        first = date.today() + timedelta(days=1 if n < len(world.clubs) else dice.randint(1, world.days - DAYS))
        last = first + timedelta(days=DAYS - 1)
        path = f"/v1/venues/{club.venue_id}/availability?from={first}&to={last}&duration_min={dice.choice((60, 60, 90))}"
        calls.append(Call(path, dice.choice(world.readers)[1]))
    return calls
