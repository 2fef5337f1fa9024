from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest

from forecourt.kernel.cache import Cache, Tier, fingerprint
from forecourt.kernel.errors import NotFound
from forecourt.kernel.ids import new_id
from forecourt.kernel.metrics import Metrics


class Card(msgspec.Struct, frozen=True):
    name: str


class Source:
    def __init__(self, name: str = "old") -> None:
        self.name, self.loads = name, 0
        self.go = asyncio.Event()
        self.go.set()

    async def __call__(self) -> Card:
        self.loads += 1
        card = Card(self.name)
        await self.go.wait()
        return card


@pytest.fixture
async def pair(valkey_url: str) -> AsyncIterator[tuple[Cache, Cache]]:
    caches = Cache(valkey_url, Metrics()), Cache(valkey_url, Metrics())
    for cache in caches:
        await cache.start()
        await asyncio.wait_for(cache.listening(), 5)
    yield caches
    for cache in caches:
        await cache.close()


async def read(cache: Cache, key: str, source: Source, tier: Tier = Tier.BOTH) -> str:
    return (await cache.get(key, Card, source, ttl_s=60, tier=tier)).name


async def test_many_askers_load_once_and_another_process_finds_it(pair: tuple[Cache, Cache]) -> None:
    key, source, other = f"t:{new_id()}", Source(), Source("other")
    assert set(await asyncio.gather(*(read(pair[0], key, source) for _ in range(50)))) == {"old"}
    assert await read(pair[1], key, other) == "old"
    assert (source.loads, other.loads) == (1, 0)
    assert await read(pair[1], f"t:{new_id()}", other) == "other"


async def test_invalidating_reaches_other_processes(pair: tuple[Cache, Cache]) -> None:
    key, source = f"t:{new_id()}", Source()
    assert [await read(c, key, source) for c in pair] == ["old", "old"]
    source.name = "new"
    assert await read(pair[1], key, source) == "old"  # the control: it was cached
    await pair[0].invalidate(key)
    for _ in range(100):
        if await read(pair[1], key, source) == "new":
            break
        await asyncio.sleep(0.02)
    assert [await read(c, key, source) for c in pair] == ["new", "new"]


@pytest.mark.parametrize("by", [0, 1])
async def test_a_load_that_was_overtaken_is_not_kept(pair: tuple[Cache, Cache], by: int) -> None:
    key, source = f"t:{new_id()}", Source()
    source.go.clear()
    slow = asyncio.create_task(read(pair[0], key, source, Tier.SHARED))
    while not source.loads:
        await asyncio.sleep(0.01)
    await pair[by].invalidate(key)
    source.name = "new"
    source.go.set()
    assert await slow == "old"
    assert await read(pair[0], key, source, Tier.SHARED) == "new"


async def test_without_valkey_it_is_a_miss() -> None:
    cache, source = Cache("unix:///nowhere/v.sock", Metrics()), Source()
    assert await read(cache, "t:a", source) == "old" and await read(cache, "t:a", source) == "old"
    await cache.invalidate("t:a")
    assert await read(cache, "t:a", source) == "old" and source.loads == 2
    await cache.close()


async def test_time_and_size_bound_the_first_tier() -> None:
    now = 0.0
    cache, source = Cache(None, Metrics(), max_entries=2, max_bytes=2_000, monotonic=lambda: now), Source()
    for key in ("t:1", "t:2", "t:3", "t:1"):
        await read(cache, key, source)
    assert source.loads == 4 and cache.local_bytes <= 2_000
    await read(cache, "t:1", source)
    assert source.loads == 4
    now = 60.0
    await read(cache, "t:1", source)
    assert source.loads == 5


async def test_absence_is_remembered_only_when_asked() -> None:
    cache, loads = Cache(None, Metrics()), 0

    async def load() -> Card:
        nonlocal loads
        loads += 1
        raise NotFound

    for absent_ttl_s, expected in ((0, 2), (5, 3)):
        for _ in range(2):
            with pytest.raises(NotFound):
                await cache.get("t:x", Card, load, ttl_s=60, tier=Tier.BOTH, absent_ttl_s=absent_ttl_s)
        assert loads == expected


def test_a_changed_struct_has_another_fingerprint() -> None:
    old = msgspec.defstruct("Card", [("name", str)])
    assert fingerprint(old) != fingerprint(msgspec.defstruct("Card", [("name", str), ("more", int)]))
    assert fingerprint(old) == fingerprint(msgspec.defstruct("Card", [("name", str)]))
