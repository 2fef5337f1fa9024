"""`forecourt`, altered: a process of the house that is slower, worse or better than it is, to see whether a measurement tells.

`python -m bench.altered serve --fd 7` runs what `forecourt serve --fd 7` runs. What is different, the environment says:

- `BENCH_SLOW=/v1/wallets=60`: answers to this path come so many milliseconds later;
- `BENCH_FAULTY=/v1/wallets=20`: every so-manieth of them is a 500;
- `BENCH_CACHE_ENTRIES=5`: the first tier of the cache holds no more values than that;
- `BENCH_COLD=1`: nothing is made ready before somebody asks;
- `BENCH_LIGHT_HASHES=1`: passwords are hashed with parameters that cost nothing, so that what is left of a log-in shows.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import argon2

from forecourt import app, cli, process
from forecourt.kernel.cache import Cache
from forecourt.kernel.http.front import App, Receive, Send
from forecourt.modules.identity import passwords

LIGHT = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


def slowed(served: App, path: str, late_ms: float, every: int) -> App:
    """`served`, which answers to `path` so much later, and each `every`-th time not at all well; 0: never."""
    count = 0

    async def serve(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        nonlocal count
        if scope["type"] != "http" or scope["path"] != path:
            await served(scope, receive, send)
            return
        count += 1
        faulty = bool(every) and count % every == 0
        await asyncio.sleep(late_ms / 1000)
        if faulty:
            await send({"type": "http.response.start", "status": 500, "headers": [(b"content-length", b"0")]})
            await send({"type": "http.response.body", "body": b""})
            return
        await served(scope, receive, send)

    return serve


def _told(name: str) -> tuple[str, float]:
    path, _, number = os.environ.get(name, "").partition("=")
    return path, float(number or 0)


def main() -> None:
    (slow, late_ms), (faulty, every) = _told("BENCH_SLOW"), _told("BENCH_FAULTY")
    whole: Callable[..., Callable[..., Awaitable[None]]] = process.parting
    if slow or faulty:
        process.parting = lambda served, house: slowed(whole(served, house), slow or faulty, late_ms, int(every))
    if os.environ.get("BENCH_LIGHT_HASHES"):
        passwords.FULL = LIGHT
    if entries := os.environ.get("BENCH_CACHE_ENTRIES"):
        app.Cache = partial(Cache, max_entries=int(entries))  # type: ignore[misc]
    if os.environ.get("BENCH_COLD"):
        app.House.start_warming = lambda house: None  # type: ignore[method-assign]
    cli.main()


if __name__ == "__main__":
    main()
