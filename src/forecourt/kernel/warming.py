"""Making ready what many will ask for before anybody does: in the background, a piece at a time, with a part of one core.

A module says which of its things are popular and how one is made ready (`Warmth`). A `Warmer` does that when the process has
begun, again after a while, and soon after one of them has changed. Nothing depends on it: what it makes is made in the same way
when somebody asks, and what fails is left until then.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, suppress
from typing import Protocol
from uuid import UUID

import structlog

from forecourt.kernel.errors import NotFound
from forecourt.kernel.metrics import Metrics

log: structlog.stdlib.BoundLogger = structlog.get_logger("forecourt.warming")

MOST = 50
"""Things that one warmer makes ready."""
MAX_BYTES = 24 * 1024 * 1024
"""What they may take together, by estimate. The most popular come first."""
SHARE = 0.2
"""Of the time of a core, at most: those who ask now come first."""
AGAIN_S = 300.0
"""What is popular changes, what is kept is forgotten, and each day another one is next."""
SETTLE_S = 1.0
"""Who changes something often changes it again: so long after a change it is made ready anew."""


class Warmth(Protocol):
    """What a module has to make ready."""

    @property
    def name(self) -> str:
        """For metrics and the log."""
        ...

    async def popular(self) -> Sequence[UUID]:
        """What is asked for most, the most popular first."""
        ...

    def make_ready(self, id: UUID, /) -> AsyncGenerator[int]:
        """One of them, a piece at a time: yields what each takes, in bytes. Raises NotFound when it is no more."""
        ...

    def watch(self, hear: Callable[[UUID], None]) -> None:
        """`hear` is told who has changed."""
        ...


class Warmer:
    """`run` until cancelled."""

    def __init__(
        self,
        warmth: Warmth,
        metrics: Metrics,
        *,
        most: int = MOST,
        max_bytes: int = MAX_BYTES,
        share: float = SHARE,
        again_s: float = AGAIN_S,
        settle_s: float = SETTLE_S,
    ) -> None:
        self._warmth = warmth
        self._metrics = metrics
        self._most = most
        self._max_bytes = max_bytes
        self._share = share
        self._again_s = again_s
        self._settle_s = settle_s
        self._ready: dict[UUID, int] = {}
        """What was made ready, and what it takes."""
        self._changed: set[UUID] = set()
        self._hurry = asyncio.Event()
        warmth.watch(self.changed)

    def changed(self, id: UUID) -> None:
        """What was made ready of it is no longer what is asked for."""
        if id in self._ready:
            self._changed.add(id)
            self._hurry.set()

    async def run(self) -> None:
        """Never raises: what goes wrong is logged, and tried again in its time."""
        while True:
            await self.make_all_ready()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._again_s):
                    while True:
                        await self._hurry.wait()
                        # Not all processes at once: the first reads it for the others.
                        await asyncio.sleep(self._settle_s * random.uniform(1, 2))
                        await self.make_changed_ready()

    async def make_all_ready(self) -> None:
        """Once, whatever is popular now."""
        began = time.monotonic()
        try:
            popular = list(dict.fromkeys(await self._warmth.popular()))[: self._most]
        except Exception as e:  # the database, another process: they come back, and so do we
            log.warning("warming_failed", what=self._warmth.name, error=type(e).__name__)
            return
        self._changed.clear()
        self._ready = dict.fromkeys(popular, 0)  # whoever changes from now on is heard
        for id in popular:
            await self._make_ready(id)
        count, taken = sum(1 for taken in self._ready.values() if taken), sum(self._ready.values())
        log.info("warmed", what=self._warmth.name, count=count, bytes=taken, took_s=round(time.monotonic() - began, 2))

    async def make_changed_ready(self) -> None:
        """Those that changed since they were made ready."""
        self._hurry.clear()
        changed, self._changed = self._changed, set()
        for id in [id for id in self._ready if id in changed]:
            await self._make_ready(id)

    async def _make_ready(self, id: UUID) -> None:
        others = sum(taken for other, taken in self._ready.items() if other != id)
        taken, outcome = 0, "ready"
        try:
            async with aclosing(self._warmth.make_ready(id)) as pieces:
                while others + taken < self._max_bytes:
                    began = time.perf_counter()
                    piece = await anext(pieces, None)
                    if piece is None:
                        break
                    taken += piece
                    await asyncio.sleep((time.perf_counter() - began) * (1 / self._share - 1))
                else:
                    outcome = "full"
        except NotFound:
            outcome = "gone"
        except Exception as e:  # made when somebody asks, or the next time
            outcome = "failed"
            log.warning("warming_failed", what=self._warmth.name, id=str(id), error=type(e).__name__)
        if id in self._ready:
            self._ready[id] = taken
        self._metrics.warmed.labels(self._warmth.name, outcome).inc()


__all__ = ["Warmer", "Warmth"]
