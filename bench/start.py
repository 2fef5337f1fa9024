"""`forecourt up` on a fresh data directory, and again on the same one: seconds until it is ready, and its memory.

Ready is the first 200 of `/readyz`. Memory is the Python process that serves and works, half a minute after it opened; the
engines are told apart.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from pathlib import Path

import msgspec

from bench.installation import free_port
from bench.load import await_answer
from bench.machine import resident_mib, tree_of
from bench.report import Options, Report, below, median

LIMIT_S = 120
STOP_LIMIT_S = 60


class Start(msgspec.Struct, frozen=True):
    ready_s: float
    resident_mib: float
    engines_mib: float


def measure(options: Options) -> None:
    report = Report.begin("start", "`forecourt up`", options)
    fresh, again = [], []
    for _ in range(1 if options.quick else 3):
        with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as place:
            data = Path(place)
            with _up(data, demo=True) as (began, process, port):
                fresh.append(_look(process, began, port, settle_s=10 if options.quick else 30))
            for _ in range(2):
                with _up(data, demo=True) as (began, process, port):
                    again.append(_look(process, began, port, settle_s=2))
    report.add("fresh data directory", median([s.ready_s for s in fresh]), "s", below(10), "the demo world fills in meanwhile")
    report.add("again", median([s.ready_s for s in again]), "s", below(3))
    report.add("memory of the Python process", max(s.resident_mib for s in [*fresh, *again]), "MiB", below(250))
    report.add("memory of the engines", max(s.engines_mib for s in again), "MiB", note="shared pages counted once a process")
    report.details = {"fresh": fresh, "again": again}
    report.finish()


@contextlib.contextmanager
def _up(data: Path, *, demo: bool) -> Generator[tuple[float, subprocess.Popen[bytes], int]]:
    port = free_port()
    command = [sys.executable, "-m", "forecourt", "up", "--port", str(port), "--data", str(data)]
    if not demo:
        command.append("--no-demo")
    # What it says is not measured, and the filling of the demo world is cut short when it is told to stop.
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("DATABASE_", "VALKEY_", "FORECOURT_"))}
    began = time.perf_counter()
    process = subprocess.Popen(
        command, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield began, process, port
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _look(process: subprocess.Popen[bytes], began: float, port: int, *, settle_s: float) -> Start:
    await_answer(port, "/readyz", LIMIT_S, lambda: process.poll() is None)
    ready_s = time.perf_counter() - began
    time.sleep(settle_s)
    others = 0.0
    for pid in tree_of(process.pid)[1:]:
        with contextlib.suppress(OSError):
            if b"python" not in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0]:
                others += resident_mib(pid)
    return Start(ready_s, resident_mib(process.pid), others)
