"""Search through 10,000 venues in twenty cities: by words, by words with a typo, by place, by what is free; suggestions.

The words and places are those of the directory itself, as people type them: beginnings, one typo in four, a city now and then.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import uvloop

from bench.installation import Server, forecourt, installation
from bench.load import Call, Client, Outcome
from bench.report import Options, Report, below, out
from forecourt.demo.many import CITIES, FIRST, LAST, SPORTS, fill_venues

VENUES = 10_000
CLIENTS = 4

Ask = Callable[[random.Random], str]


def measure(options: Options) -> None:
    report = Report.begin("search", f"Search through {VENUES:,} venues", options)
    count = 200 if options.quick else 1000
    with installation() as at:
        made = uvloop.run(fill_venues(at.admin_url, VENUES))
        out.print(f"[dim]{made:,} venues[/]")
        with forecourt(at) as server:
            for name, ask in QUESTIONS.items():
                asked = count // 5 if "free" in name else count
                alone, four = _round(server, ask, asked, 1), _round(server, ask, asked, CLIENTS)
                target = below(30) if name.startswith("suggest") else below(60)
                note = f"p50 {alone.ms(50):.1f} ms; four at a time p95 {four.ms(95):.1f} ms, {four.per_s:.0f}/s"
                report.add(name, alone.ms(95), "ms p95", target, note)
    report.finish()


def _round(server: Server, ask: Ask, count: int, clients: int) -> Outcome:
    dice = random.Random(11)
    Client(server.port, clients).run([Call(ask(dice)) for _ in range(20)]).only(200)
    return Client(server.port, clients).run([Call(ask(dice)) for _ in range(count)]).only(200)


def _near(dice: random.Random) -> str:
    *_, lat, lon = dice.choice(CITIES)
    return f"near={lat + dice.gauss(0, 0.05):.4f},{lon + dice.gauss(0, 0.05):.4f}"


def _words(dice: random.Random) -> str:
    words = [dice.choice(FIRST), dice.choice((*LAST, *SPORTS, dice.choice(CITIES)[0]))]
    return " ".join(words[: dice.choice((1, 2, 2))]).lower()


def _typo(dice: random.Random) -> str:
    word = dice.choice(FIRST).lower()
    at = dice.randrange(1, len(word))
    return word[:at] + word[at + 1 :]


def _free(dice: random.Random) -> str:
    at = datetime.now(UTC).replace(hour=9, minute=0, second=0, microsecond=0) + timedelta(days=dice.randint(1, 30))
    return f"{_near(dice)}&radius_km=10&free_at={at:%Y-%m-%dT%H:%M:%SZ}&duration_min=60"


QUESTIONS: dict[str, Ask] = {
    "by words": lambda dice: f"/v1/venues?q={quote(_words(dice))}",
    "by a word with a typo": lambda dice: f"/v1/venues?q={quote(_typo(dice))}",
    "near a point": lambda dice: f"/v1/venues?{_near(dice)}&radius_km=10",
    "near a point, a sport": lambda dice: f"/v1/venues?{_near(dice)}&radius_km=25&sport={dice.choice(SPORTS)}",
    "near a point, free at a time": lambda dice: f"/v1/venues?{_free(dice)}",
    "suggestions": lambda dice: f"{SUGGEST}?q={quote(_beginning(dice))}",
}


def _beginning(dice: random.Random) -> str:
    word = dice.choice((*FIRST, *(c[0] for c in CITIES))).lower()
    return word[: dice.randint(2, len(word))]


SUGGEST = "/v1/venues/suggest"
