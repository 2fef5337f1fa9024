"""What is made ready before anybody asks: how much of it, in which order, and what happens when it changes or fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from uuid import UUID

import pytest

from forecourt.kernel.errors import NotFound
from forecourt.kernel.ids import new_id
from forecourt.kernel.metrics import Metrics
from forecourt.kernel.warming import Warmer

PIECE_BYTES = 10


class Shelf:
    """Things of three pieces each. `made` says who was begun, `versions` which version was read at the end."""

    name = "tests:shelf"

    def __init__(self, things: int) -> None:
        self.things = [new_id() for _ in range(things)]
        self.made: list[UUID] = []
        self.pieces = 0
        self.faults: dict[UUID, Exception] = {}
        self.away = False
        self.versions = dict.fromkeys(self.things, 1)
        self.ready: dict[UUID, int] = {}
        self.tell: Callable[[UUID], None]
        self.midway: Callable[[UUID], None] = lambda _: None
        self.all_made = asyncio.Event()

    async def popular(self) -> list[UUID]:
        if self.away:
            raise OSError("away")
        return self.things

    async def make_ready(self, id: UUID, /) -> AsyncGenerator[int]:
        self.made.append(id)
        if id in self.faults:
            raise self.faults[id]
        version = self.versions[id]
        for _ in range(3):
            self.pieces += 1
            yield PIECE_BYTES
        self.midway(id)
        self.ready[id] = version
        if len(self.ready) == len(self.things):
            self.all_made.set()

    def watch(self, hear: Callable[[UUID], None]) -> None:
        self.tell = hear

    def change(self, id: UUID) -> None:
        self.versions[id] += 1
        self.ready.pop(id, None)
        self.all_made.clear()
        self.tell(id)


def warmed(metrics: Metrics, outcome: str) -> float:
    return metrics.registry.get_sample_value("warmed_total", {"name": Shelf.name, "outcome": outcome}) or 0


@asynccontextmanager
async def running(warmer: Warmer) -> AsyncGenerator[None]:
    task = asyncio.create_task(warmer.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


async def test_the_most_popular_come_first_and_no_more_than_so_many(metrics: Metrics) -> None:
    shelf = Shelf(5)
    await Warmer(shelf, metrics, most=3, share=1).make_all_ready()
    assert shelf.made == shelf.things[:3]
    assert warmed(metrics, "ready") == 3


@pytest.mark.parametrize(("max_bytes", "pieces", "full"), [(1_000, 15, 0), (40, 4, 4)])
async def test_no_more_is_made_ready_than_may_be_kept(metrics: Metrics, max_bytes: int, pieces: int, full: int) -> None:
    shelf = Shelf(5)
    await Warmer(shelf, metrics, max_bytes=max_bytes, share=1).make_all_ready()
    assert shelf.pieces == pieces
    assert warmed(metrics, "full") == full


async def test_others_have_their_turn_between_any_two_pieces(metrics: Metrics) -> None:
    shelf, turns = Shelf(4), 0
    making = asyncio.create_task(Warmer(shelf, metrics, share=1).make_all_ready())
    while not making.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns >= shelf.pieces == 12


async def test_what_cannot_be_made_ready_leaves_the_rest_alone(metrics: Metrics) -> None:
    shelf = Shelf(3)
    shelf.faults = {shelf.things[0]: OSError("the database is away"), shelf.things[1]: NotFound()}
    await Warmer(shelf, metrics, share=1).make_all_ready()
    assert list(shelf.ready) == shelf.things[2:]
    assert [warmed(metrics, outcome) for outcome in ("failed", "gone", "ready")] == [1, 1, 1]


async def test_when_nobody_says_what_is_popular_it_is_asked_again(metrics: Metrics) -> None:
    shelf = Shelf(2)
    shelf.away = True
    async with running(Warmer(shelf, metrics, share=1, again_s=0.01)), asyncio.timeout(5):
        await asyncio.sleep(0)
        assert not shelf.made
        shelf.away = False
        await shelf.all_made.wait()
    assert set(shelf.made) == set(shelf.things)


async def test_what_changes_is_made_ready_again_and_nothing_else_is(metrics: Metrics) -> None:
    shelf = Shelf(3)
    async with running(Warmer(shelf, metrics, share=1, settle_s=0)), asyncio.timeout(5):
        await shelf.all_made.wait()
        shelf.tell(new_id())  # nobody made it ready
        shelf.change(shelf.things[1])
        await shelf.all_made.wait()
    assert shelf.made == [*shelf.things, shelf.things[1]]
    assert shelf.ready == shelf.versions


async def test_a_change_while_it_is_made_ready_is_not_missed(metrics: Metrics) -> None:
    shelf = Shelf(2)
    first = shelf.things[0]

    def change_once(id: UUID) -> None:
        shelf.midway = lambda _: None
        shelf.versions[id] += 1
        shelf.tell(id)

    shelf.midway = change_once
    async with running(Warmer(shelf, metrics, share=1, settle_s=0)), asyncio.timeout(5):
        await shelf.all_made.wait()
        assert shelf.ready[first] == 1 < shelf.versions[first]  # the change came after it had been read
        while shelf.ready[first] == 1:
            await asyncio.sleep(0)
    assert shelf.ready == shelf.versions
