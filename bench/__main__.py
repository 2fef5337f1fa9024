"""`python -m bench PROGRAM|all [--quick]`: the programs are below."""

from __future__ import annotations

import argparse
import importlib
import sys
import time
import traceback

from bench.report import Options, out

PROGRAMS = {
    "http": "read one, availability of a day, book: beside Express + pg and NestJS + Prisma",
    "availability": "20 courts × 31 days",
    "search": "10,000 venues: by text, by place, by free time; suggestions",
    "contention": "500 people want one slot",
    "events": "events per second, produced and handled, with one worker",
    "notifications": "queued notifications drained per minute by one worker",
    "growth": "what ten times the bookings does to reads",
    "live": "fan-out in one room, beside Socket.IO and python-socketio; idle sockets; a storm of reconnections",
    "gateway": "what a gateway adds to a request, and how many a core of it takes, beside Express + http-proxy-middleware",
    "split": "the divided house: every kind of request at 32 clients, what each costs, and a thousand people at once",
    "cache": "the cache under the mix of an evening, in several processes: what it finds, and first questions to busy venues",
    "pages": "what pages of the demo world take",
    "start": "`forecourt up`, fresh and again",
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure Forecourt on this machine.")
    parser.add_argument("program", nargs="?", default="all", choices=[*PROGRAMS, "all"], help="default: all, one after another")
    parser.add_argument("--quick", action="store_true", help="less of the same: about a minute for each program")
    given = parser.parse_args()
    names = list(PROGRAMS) if given.program == "all" else [given.program]
    options = Options(quick=given.quick)
    failed: list[str] = []
    for name in names:
        began = time.monotonic()
        try:
            importlib.import_module(f"bench.{name}").measure(options)
        except Exception:
            if len(names) == 1:
                raise
            traceback.print_exc()
            failed.append(name)
        out.print(f"[dim]{name}: {time.monotonic() - began:.0f} s[/]\n")
    if failed:
        out.print(f"[bold red]could not be measured: {', '.join(failed)}[/]")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
