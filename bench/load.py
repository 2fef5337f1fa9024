"""Load over HTTP/1.1 with kept connections: `wrk` for rates when the machine has it, our own client for every answer's time.

Our own client keeps each latency and each status; it costs about 60 µs a request, so rates come from `wrk`, which costs five.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import cast

import msgspec
import uvloop

from bench.report import percentile

HOST = "127.0.0.1"
ANSWER_LIMIT_S = 30.0


class Call(msgspec.Struct, frozen=True):
    """One request. `token`: an access token, or none. `address`: whose request it is, as a proxy in front would say it."""

    path: str
    token: str = ""
    body: bytes = b""
    method: str = "GET"
    cookie: str = ""
    accept: str = "application/json"
    address: str = ""

    def wire(self) -> bytes:
        lines = [f"{self.method} {self.path} HTTP/1.1", f"Host: {HOST}", f"Accept: {self.accept}"]
        if self.token:
            lines.append(f"Authorization: Bearer {self.token}")
        if self.cookie:
            lines.append(f"Cookie: {self.cookie}")
        if self.address:
            lines.append(f"X-Forwarded-For: {self.address}")
        if self.body or self.method == "POST":
            lines += ["Content-Type: application/json", f"Content-Length: {len(self.body)}"]
        return ("\r\n".join(lines) + "\r\n\r\n").encode() + self.body


class Outcome(msgspec.Struct):
    """What came back. Latencies in ms, in the order of the answers."""

    took_s: float
    latencies_ms: list[float]
    statuses: Counter[int]
    lost: int = 0
    """Connections that broke and answers that did not come."""
    bodies: list[bytes] = []

    @property
    def answered(self) -> int:
        return len(self.latencies_ms)

    @property
    def per_s(self) -> float:
        return self.answered / self.took_s

    def ms(self, percent: float) -> float:
        return percentile(self.latencies_ms, percent)

    def only(self, *allowed: int) -> Outcome:
        """Itself, when every answer had one of these statuses. Raises AssertionError: a rate of errors is no rate."""
        wrong = {s: n for s, n in self.statuses.items() if s not in allowed}
        if wrong or self.lost:
            raise AssertionError(f"unexpected answers: {wrong}, {self.lost} lost; the last one said {self.bodies[-1:]!r}")
        return self


class Connection(asyncio.Protocol):
    """Sends one request at a time and hands back status and body."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._whole = 0
        """How long the answer is that is coming in; 0 until its head is there."""
        self._head = 0
        self._waiting: asyncio.Future[tuple[int, bytes]] | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's does not inherit from it

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._whole:
            self._head = self._buffer.find(b"\r\n\r\n")
            if self._head < 0:
                return
            self._whole = self._head + 4 + _content_length(bytes(self._buffer[: self._head]))
        if len(self._buffer) < self._whole:
            return
        status, body = int(self._buffer[9:12]), bytes(self._buffer[self._head + 4 : self._whole])
        del self._buffer[: self._whole]
        self._whole = 0
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result((status, body))

    @property
    def ended(self) -> bool:
        """The server has closed it, as it does with those that were silent for long."""
        return self._transport is not None and self._transport.is_closing()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(ConnectionResetError("the server closed the connection"))

    async def ask(self, wire: bytes) -> tuple[int, bytes]:
        assert self._transport is not None
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(wire)
        return await asyncio.wait_for(self._waiting, ANSWER_LIMIT_S)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()


def _content_length(head: bytes) -> int:
    at = head.lower().find(b"\r\ncontent-length:")
    if at < 0:
        return 0
    end = head.find(b"\r\n", at + 17)
    return int(head[at + 17 : end if end >= 0 else None])


class Client:
    """Our own client: `connections` at once, each with one request under way."""

    def __init__(self, port: int, connections: int) -> None:
        self._port = port
        self._size = connections

    def run(self, calls: Sequence[Call], seconds: float | None = None, *, keep_bodies: int = 1) -> Outcome:
        """Each call once and in order; with `seconds`, round and round until the time is over."""
        wires = [c.wire() for c in calls]
        source = iter(wires) if seconds is None else itertools.cycle(wires)
        return uvloop.run(self._run(source, seconds, keep_bodies))

    async def _run(self, source: Iterator[bytes], seconds: float | None, keep_bodies: int) -> Outcome:
        loop = asyncio.get_running_loop()
        made = [await loop.create_connection(Connection, HOST, self._port) for _ in range(self._size)]
        outcome = Outcome(0.0, [], Counter(), 0, [])
        began = time.perf_counter()
        until = None if seconds is None else began + seconds
        await asyncio.gather(*(self._drive(c, source, until, outcome, keep_bodies) for _, c in made))
        outcome.took_s = time.perf_counter() - began
        for _, connection in made:
            connection.close()
        return outcome

    async def _drive(
        self, connection: Connection, source: Iterator[bytes], until: float | None, outcome: Outcome, keep_bodies: int
    ) -> None:
        for wire in source:
            began = time.perf_counter()
            if until is not None and began >= until:
                return
            try:
                status, body = await connection.ask(wire)
            except (OSError, TimeoutError):
                outcome.lost += 1
                return
            outcome.latencies_ms.append((time.perf_counter() - began) * 1000)
            outcome.statuses[status] += 1
            if status >= 400 or len(outcome.bodies) < keep_bodies:
                outcome.bodies.append(body)
                del outcome.bodies[: -max(keep_bodies, 1)]


# ---------------------------------------------------------------------------------------------------------------------- wrk


class Rate(msgspec.Struct, frozen=True):
    """What a load program saw in one round."""

    answered: int
    took_s: float
    p50_ms: float
    p99_ms: float
    refused: int
    """Answers of status 400 and above."""
    lost: int

    @property
    def per_s(self) -> float:
        return self.answered / self.took_s


# Lines, not a table in Lua: one of its functions holds 65,536 constants at most.
_SCRIPT = """
local calls, tokens = {}, {}
for line in io.lines("tokens") do tokens[#tokens + 1] = line end
for line in io.lines("calls") do calls[#calls + 1] = line end
local at, ends = tonumber(os.getenv("BENCH_OFFSET")), "\\r\\n"
request = function()
  at = at % #calls + 1
  local before, token, after, body = calls[at]:match("^([^\\t]*)\\t(%d+)\\t([^\\t]*)\\t(.*)$")
  return before:gsub("|", ends) .. tokens[tonumber(token)] .. after:gsub("|", ends) .. body
end
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format("RESULT %d %d %d %d %d %d\\n", summary.requests, summary.duration, latency:percentile(50),
    latency:percentile(99), e.status, e.connect + e.read + e.write + e.timeout))
end
"""


class Rounds:
    """A sequence of calls that rounds of load take up where the one before stopped, so that no place is booked twice."""

    def __init__(self, calls: Sequence[Call]) -> None:
        self.calls = calls
        self._at = 0
        self._folder = tempfile.TemporaryDirectory(prefix="bench-")
        self._wrk = shutil.which("wrk")
        if self._wrk:
            self._write()

    def close(self) -> None:
        self._folder.cleanup()

    def _write(self) -> None:
        numbers: dict[str, int] = {}
        folder = Path(self._folder.name)
        with (folder / "calls").open("w", newline="") as file:
            for c in self.calls:
                number = numbers.setdefault(c.token, len(numbers) + 1)
                head, body = c.wire().decode().split("\r\n\r\n", 1)
                before, _, after = head.partition(f"Bearer {c.token}" if c.token else "\0")
                line = [before.replace("\r\n", "|"), str(number), (after + "\r\n\r\n").replace("\r\n", "|"), body]
                file.write("\t".join(line) + "\n")
        (folder / "tokens").write_text("".join(f"Bearer {token}\n" if token else "\n" for token in numbers))
        (folder / "load.lua").write_text(_SCRIPT)

    def run(self, port: int, seconds: float, connections: int, *, advance: bool) -> Rate:
        """One round. `advance`: the next round goes on behind this one's calls (bookings), else it begins anew (reads)."""
        rate = self._by_wrk(port, seconds, connections) if self._wrk else self._by_client(port, seconds, connections)
        if advance:
            # wrk asks ahead by what is under way when it stops
            self._at = (self._at + rate.answered + 4 * connections) % len(self.calls)
        return rate

    def _by_wrk(self, port: int, seconds: float, connections: int) -> Rate:
        assert self._wrk is not None
        command = [self._wrk, "-t1", f"-c{connections}", f"-d{seconds:g}s", "--timeout", "10s", "-s", "load.lua"]
        command.append(f"http://{HOST}:{port}/")
        environ = {**os.environ, "BENCH_OFFSET": str(self._at)}
        limit = seconds + 60
        done = subprocess.run(
            command, cwd=self._folder.name, env=environ, capture_output=True, text=True, check=True, timeout=limit
        )
        line = next((line for line in done.stdout.splitlines() if line.startswith("RESULT ")), None)
        if line is None:
            raise RuntimeError(f"wrk gave no result: {(done.stderr or done.stdout).strip()[-300:]}")
        answered, took_us, p50_us, p99_us, refused, lost = (int(n) for n in line.split()[1:])
        return Rate(answered, took_us / 1e6, p50_us / 1000, p99_us / 1000, refused, lost)

    def _by_client(self, port: int, seconds: float, connections: int) -> Rate:
        rest = [*self.calls[self._at :], *self.calls[: self._at]]
        o = Client(port, connections).run(rest, seconds)
        refused = sum(n for status, n in o.statuses.items() if status >= 400)
        return Rate(o.answered, o.took_s, o.ms(50), o.ms(99), refused, o.lost)


def await_answer(port: int, path: str, limit_s: float, alive: Callable[[], bool]) -> None:
    """Returns when a 200 comes from there. Raises TimeoutError, or RuntimeError when the server has ended."""
    until = time.monotonic() + limit_s
    while time.monotonic() < until:
        if not alive():
            raise RuntimeError("the server ended before it answered; its output is above")
        try:
            if Client(port, 1).run([Call(path)]).statuses[200]:
                return
        except OSError:
            pass
        time.sleep(0.02)
    raise TimeoutError(f"nothing answered on port {port} within {limit_s:g} s")
