"""The load of `python -m bench split`: what it says of each kind is so, and nobody's slowness or fault is anybody else's."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from bench import mixed
from bench.altered import slowed
from bench.load import Call
from bench.mixed import LANES, LOST, Heard, Kind, Tally, _closed, _open, shares

SLOW_S = 0.05
Answer = Callable[[str], Awaitable[bytes]]


@asynccontextmanager
async def server(answer: Answer) -> AsyncIterator[int]:
    """Answers each request on kept connections as `answer` says for its path; nothing ends a connection."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                said = await answer(head.split(b" ", 2)[1].decode())
                if not said:
                    break
                writer.write(said)
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield listening.sockets[0].getsockname()[1]
    finally:
        listening.close()


def said(status: int) -> bytes:
    return f"HTTP/1.1 {status} said\r\nContent-Length: 0\r\n\r\n".encode()


def kind(name: str, share: float = 1.0, good: int = 200) -> Kind:
    return Kind(name, share, lambda: Call(f"/{name}"), good)


class Watch:
    """A clock that only the server moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now

    def process_time(self) -> float:
        return self.now / 2


async def test_a_slow_route_is_seen_in_its_own_kind_and_in_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    watch = Watch()
    monkeypatch.setattr(mixed, "time", watch)

    async def answer(path: str) -> bytes:
        watch.now += 0.25 if path == "/slow" else 0.125
        return said(200)

    async with server(answer) as port:
        heard = await _closed(port, [kind("quick"), kind("slow")], 1, 20, random.Random(1))
    slow, quick = heard.tallies["slow"], heard.tallies["quick"]
    assert set(slow.latencies_ms) == {250.0} and set(quick.latencies_ms) == {125.0}
    assert heard.took_s == slow.asked / 4 + quick.asked / 8 == heard.own_s * 2
    assert (heard.per_s, heard.available_pct) == (pytest.approx(heard.asked / heard.took_s), 100)


async def test_faults_and_lost_answers_count_against_availability_and_wrong_questions_do_not() -> None:
    async def answer(path: str) -> bytes:
        return {"/good": said(200), "/fault": said(503), "/refused": said(409)}.get(path, b"")

    kinds = [kind("good"), kind("fault"), kind("refused"), kind("cut")]
    async with server(answer) as port:
        heard = await _closed(port, kinds, 2, 0.2, random.Random(1))
    found = {name: set(t.statuses) for name, t in heard.tallies.items()}
    assert found == {"good": {200}, "fault": {503}, "refused": {409}, "cut": {LOST}}
    t = heard.tallies
    assert heard.failed == t["fault"].asked + t["cut"].asked and t["good"].failed == t["refused"].failed == 0
    assert heard.available_pct == pytest.approx(100 * (t["good"].asked + t["refused"].asked) / heard.asked)
    assert heard.unfit(kinds) == {"refused": {409: t["refused"].asked}}


async def test_open_load_does_not_wait_for_answers_and_times_from_when_it_should_have_asked() -> None:
    count, arrived, all_there = 20, 0, asyncio.Event()

    async def answer(path: str) -> bytes:
        nonlocal arrived
        arrived += 1
        if arrived == count:
            all_there.set()
        await all_there.wait()  # whoever waits for an answer before asking again, waits here for ever
        return said(200)

    async with server(answer) as port, asyncio.timeout(30):
        heard = await _open(port, [kind("any")], 100.0, count / 100.0, random.Random(1))
    took = heard.tallies["any"].latencies_ms
    assert len(took) == count
    # Nobody was answered before the last was due: the first of all waited as long as that.
    assert max(took) >= 1000 * (count - 1) / 100.0


async def test_whoever_finds_no_free_connection_waits_and_the_wait_counts() -> None:
    first, held = asyncio.Event(), 0

    async def answer(path: str) -> bytes:
        nonlocal held
        if not first.is_set():
            held += 1
            if held == LANES:
                await asyncio.sleep(SLOW_S)
                first.set()
            await first.wait()
        return said(200)

    async with server(answer) as port, asyncio.timeout(60):
        heard = await _open(port, [kind("any")], 100_000.0, (LANES + 50) / 100_000.0, random.Random(1))
    assert held == LANES and heard.asked == LANES + 50
    # The last to come could not even be sent before the first were let go.
    assert min(heard.tallies["any"].latencies_ms) >= SLOW_S * 1000


async def test_kinds_come_as_often_as_their_shares_say() -> None:
    kinds, seen = [kind("often", 9.0), kind("seldom", 1.0)], Counter[str]()

    async def answer(path: str) -> bytes:
        seen[path] += 1
        return said(200)

    async with server(answer) as port, asyncio.timeout(30):
        heard = await _open(port, kinds, 20_000.0, 0.05, random.Random(1))
    assert shares(kinds) == {"often": pytest.approx(0.9), "seldom": pytest.approx(0.1)}
    assert seen == {"/often": heard.tallies["often"].asked, "/seldom": heard.tallies["seldom"].asked}
    assert heard.asked == 1000 and 50 <= heard.tallies["seldom"].asked <= 150


def test_nothing_asked_is_nothing_failed() -> None:
    heard = Heard(1.0, 0.0, {"any": Tally()})
    assert (heard.asked, heard.available_pct, heard.tallies["any"].ms(95)) == (0, 100, 0)


async def test_a_route_that_is_made_faulty_fails_each_so_manieth_time_however_many_ask_at_once() -> None:
    async def well(scope: dict[str, Any], receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    app = slowed(well, "/slow", 1, 20)
    heard = dict[str, list[int]](slow=[], other=[])

    async def ask(path: str) -> None:
        async def send(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                heard[path].append(message["status"])

        await app({"type": "http", "path": f"/{path}"}, None, send)  # type: ignore[arg-type]

    await asyncio.gather(*(ask(path) for path in ("slow", "other") for _ in range(50)))
    assert Counter(heard["slow"]) == {200: 48, 500: 2} and Counter(heard["other"]) == {200: 50}
