"""Two tiers as one puts them together in Python: cachetools' TTLCache over aiocache's Redis backend with JSON.

`python gets.py URL COUNT GETS VALUE`: writes COUNT copies of the JSON in the file VALUE through the cache, then times GETS
that the first tier answers and GETS that the second does, one at a time. Prints one line of JSON, in µs.
"""

import json
import sys
import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import redis.asyncio
import uvloop
from aiocache import RedisCache
from aiocache.serializers import JsonSerializer
from cachetools import TTLCache

TTL_S = 300


class TwoTiers:
    def __init__(self, client: redis.asyncio.Redis) -> None:
        self._first: TTLCache[str, object] = TTLCache(50_000, 60)
        self._second = RedisCache(serializer=JsonSerializer(), namespace="peer:")
        self._second.client = client  # it takes a host and a port, and no socket

    async def get(self, key: str, load) -> object:
        value = self._first.get(key)
        if value is None:
            value = await self._second.get(key)
            if value is None:
                value = await load()
                await self._second.set(key, value, ttl=TTL_S)
            self._first[key] = value
        return value

    def forget(self) -> None:
        self._first.clear()


def client_of(url: str) -> redis.asyncio.Redis:
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return redis.asyncio.Redis(unix_socket_path=parts.path, db=int(parse_qs(parts.query).get("db", ["0"])[0]))
    return redis.asyncio.Redis(host=parts.hostname, port=parts.port)


async def main() -> None:
    url, count, gets, path = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
    value = json.loads(path.read_bytes())
    client = client_of(url)
    cache = TwoTiers(client)

    async def load() -> object:
        return value

    async def missing() -> object:
        raise AssertionError("it is not there")

    keys = [f"venue:{n}" for n in range(count)]
    for key in keys:
        await cache.get(key, load)
    found = {"first": await timed(cache, keys, gets, missing, forget=False)}
    found["second"] = await timed(cache, keys, gets, missing, forget=True)
    print(json.dumps(found))
    await client.delete(*(f"peer:{key}" for key in keys))
    await client.aclose()


async def timed(cache: TwoTiers, keys: list[str], gets: int, missing, *, forget: bool) -> list[float]:
    took: list[float] = []
    while len(took) < gets:
        if forget:
            cache.forget()
        for key in keys:
            began = time.perf_counter()
            await cache.get(key, missing)
            took.append((time.perf_counter() - began) * 1e6)
    return took


uvloop.run(main())
