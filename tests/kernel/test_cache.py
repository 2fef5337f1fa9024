from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest
from valkey.asyncio import Valkey

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


def counted(cache: Cache, metric: str, **labels: str) -> float:
    return cache.metrics.registry.get_sample_value(metric, labels) or 0


async def test_look_ups_are_counted_by_tier_and_by_what_is_looked_for(pair: tuple[Cache, Cache]) -> None:
    here, there = pair
    key, other, source = f"t:card:{new_id()}", f"t:menu:{new_id()}", Source()
    for _ in range(4):
        await read(here, key, source)
    await read(there, key, source)
    await read(there, other, source, Tier.LOCAL)

    def found(cache: Cache, tier: str, name: str) -> tuple[float, float]:
        return tuple(counted(cache, f"cache_{kind}_total", tier=tier, name=name) for kind in ("hits", "misses"))  # type: ignore[return-value]

    assert (found(here, "l1", "t:card"), found(here, "l2", "t:card")) == ((3, 1), (0, 1))
    assert (found(there, "l1", "t:card"), found(there, "l2", "t:card")) == ((0, 1), (1, 0))
    assert (found(there, "l1", "t:menu"), found(there, "l2", "t:menu")) == ((0, 1), (0, 0))
    assert counted(here, "cache_fetch_duration_seconds_count", found="source") == 1
    assert counted(there, "cache_fetch_duration_seconds_count", found="l2") == 1
    assert counted(here, "cache_kept_total") == 1


async def test_the_second_tier_may_keep_a_value_for_longer(valkey_url: str) -> None:
    now, source = 0.0, Source()
    cache = Cache(valkey_url, Metrics(), monotonic=lambda: now)
    lives: dict[str, int] = {}
    async with Valkey.from_url(valkey_url) as valkey:
        for shared_ttl_s in (None, 300):
            key = f"t:{new_id()}"
            await cache.get(key, Card, source, ttl_s=60, shared_ttl_s=shared_ttl_s, tier=Tier.BOTH)
            lives[str(shared_ttl_s)] = await valkey.pttl(f"fc:c:{{{key}}}:{fingerprint(Card)}")
    assert 0 < lives["None"] <= 60_000 < lives["300"] <= 300_000
    now = 61.0  # the first tier has forgotten it
    await cache.get(key, Card, source, ttl_s=60, shared_ttl_s=300, tier=Tier.BOTH)
    assert source.loads == 2
    with pytest.raises(ValueError, match="no shorter"):
        await cache.get(key, Card, source, ttl_s=60, shared_ttl_s=30, tier=Tier.BOTH)
    await cache.close()


async def test_what_is_asked_for_at_once_is_answered_each_by_its_own(pair: tuple[Cache, Cache]) -> None:
    keys = [f"t:{new_id()}" for _ in range(50)]
    sources = [Source(str(n)) for n in range(50)]
    await asyncio.gather(*(read(pair[0], *both) for both in zip(keys[:25], sources, strict=False)))
    others = [Source(f"other {n}") for n in range(50)]
    found = await asyncio.gather(*(read(pair[1], *both) for both in zip(keys, others, strict=True)))
    assert found == [*(str(n) for n in range(25)), *(f"other {n}" for n in range(25, 50))]
    assert [s.loads for s in others] == [0] * 25 + [1] * 25


async def test_who_watches_hears_what_is_invalidated_here_and_elsewhere(pair: tuple[Cache, Cache]) -> None:
    heard, elsewhere, key, far = asyncio.Queue[str](), asyncio.Queue[str](), f"t:{new_id()}", f"t:{new_id()}"
    pair[0].watch(heard.put_nowait)
    pair[1].watch(elsewhere.put_nowait)
    await read(pair[0], loaded := f"t:{new_id()}", Source())
    await pair[0].invalidate(key)
    said = [heard.get_nowait() for _ in range(heard.qsize())]  # other tests invalidate things as well
    assert key in said and loaded not in said
    async with asyncio.timeout(5):
        while await elsewhere.get() != key:
            pass
        await pair[1].invalidate(far)
        while await heard.get() != far:
            pass


async def test_one_may_look_at_what_is_held_without_loading_it(pair: tuple[Cache, Cache]) -> None:
    key, source = f"t:{new_id()}", Source()
    assert await pair[0].held(key, Card) == [] and pair[0].held_here(key, Card) is None
    await read(pair[0], key, source)
    assert await pair[0].held(key, Card) == [Card("old"), Card("old")]
    assert await pair[1].held(key, Card) == [Card("old")]  # in the second tier
    assert (pair[0].held_here(key, Card), pair[1].held_here(key, Card)) == (Card("old"), None)
    await pair[0].invalidate(key)
    assert await pair[0].held(key, Card) == [] and source.loads == 1


async def test_who_could_not_load_keeps_nobody_waiting(valkey_url: str) -> None:
    cache, key = Cache(valkey_url, Metrics()), f"t:{new_id()}"

    async def absent() -> Card:
        raise NotFound

    with pytest.raises(NotFound):
        await cache.get(key, Card, absent, ttl_s=60, tier=Tier.BOTH)
    async with Valkey.from_url(valkey_url) as valkey:
        assert await valkey.exists(f"fc:l:{{{key}}}:{fingerprint(Card)}") == 0
    await cache.close()


async def test_houses_that_share_a_valkey_do_not_share_values(valkey_url: str) -> None:
    key, sources, found = f"t:{new_id()}", [Source("one"), Source("two"), Source("three")], list[str]()
    for house, source in zip(("one", "two", "one"), sources, strict=True):
        cache = Cache(valkey_url, Metrics())
        await cache.start(house)
        await cache.listening()  # what was begun before is not kept
        found.append(await read(cache, key, source, Tier.SHARED))
        await cache.close()
    assert found == ["one", "two", "one"]


async def test_who_waits_when_the_cache_closes_is_let_go(valkey_url: str) -> None:
    cache, source = Cache(valkey_url, Metrics()), Source()
    waiting = asyncio.create_task(read(cache, f"t:{new_id()}", source))
    await asyncio.sleep(0)
    await cache.close()
    async with asyncio.timeout(5):
        assert await waiting == "old"
