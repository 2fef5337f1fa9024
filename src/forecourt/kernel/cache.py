"""A cache in two tiers: this process (L1) over Valkey (L2). A Valkey that fails is a miss, never an error.

    card = await cache.get(f"venues:card:{id}", VenueCard, load, ttl_s=300, tier=Tier.BOTH)
    await cache.invalidate(f"venues:card:{id}")

Keys begin with their module's name. Each key has a generation in Valkey; a value is stored with the generation seen *before*
it was loaded, and `invalidate` changes the generation, so an old value that arrives late is never read. Cached values are
shared: do not change them.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from enum import StrEnum
from functools import lru_cache
from typing import Any, TypeVar, cast

import msgspec
import structlog
from valkey.asyncio import Valkey
from valkey.exceptions import ValkeyError

from forecourt.kernel.errors import NotFound
from forecourt.kernel.metrics import Metrics

T = TypeVar("T")

COMMAND_TIMEOUT_S = 1.0
MAX_TTL_S = 86_400
GENERATION_TTL_S = 2 * MAX_TTL_S
"""Longer than any value lives: a generation that ran out cannot bring one back."""
AWAY_TTL_S = 5.0
"""How long L1 keeps a value while invalidations of other processes cannot be heard."""
LOCK_MS = 2_000
LOCK_POLL_S = 0.05
LOCK_POLLS = 20
RECONNECT_S = 1.0
MAX_OWED = 10_000
ENTRY_OVERHEAD_BYTES = 400
DECODED_FACTOR = 3
"""A decoded value takes about this many times its encoded size."""
CHANNEL = "fc:cache:invalidate"

_log: structlog.stdlib.BoundLogger = structlog.get_logger("forecourt.cache")
_FAILURES = (ValkeyError, OSError, TimeoutError)
_encode = msgspec.msgpack.Encoder().encode
_keys_of = msgspec.msgpack.Decoder(list[str]).decode


class Tier(StrEnum):
    LOCAL = "local"
    """This process only."""
    SHARED = "shared"
    """Valkey only: large values."""
    BOTH = "both"


class _Entry(msgspec.Struct):
    value: object
    """None with `absent`: the thing is known not to exist."""
    absent: bool
    until: float
    size_bytes: int


class _Stored(msgspec.Struct, array_like=True):
    generation: bytes
    absent: bool
    value: msgspec.Raw


class _Flight:
    """A load that is under way. `stale` once its key was invalidated: its result is handed out but not kept."""

    __slots__ = ("stale", "task")

    def __init__(self) -> None:
        self.stale = False
        self.task: asyncio.Task[_Entry] | None = None


_read_stored = msgspec.msgpack.Decoder(_Stored).decode


@lru_cache(maxsize=1_000)
def fingerprint(kind: Any) -> str:
    """Changes when the shape of `kind` does, so that a new version does not read bytes of the old one."""
    schema = msgspec.json.encode(msgspec.json.schema(kind), order="deterministic")
    return hashlib.blake2s(schema, digest_size=6).hexdigest()


@lru_cache(maxsize=1_000)
def _decoder(kind: Any) -> Callable[[msgspec.Raw], object]:
    return msgspec.msgpack.Decoder(kind).decode


class Cache:
    """Call `start` once and `close` at the end; between them it listens for what other processes invalidate."""

    def __init__(
        self,
        valkey_url: str | None,
        metrics: Metrics,
        *,
        max_entries: int = 50_000,
        max_bytes: int = 100_000_000,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._metrics = metrics
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._monotonic = monotonic
        self._local: OrderedDict[str, dict[str, _Entry]] = OrderedDict()
        self._bytes = 0
        self._entries = 0
        self._flights: dict[tuple[str, str, Tier], _Flight] = {}
        self._owed: set[str] = set()
        self._listener: asyncio.Task[None] | None = None
        self._listening = asyncio.Event()
        self._valkey: Valkey | None = None
        if valkey_url is not None:
            self._valkey = Valkey.from_url(valkey_url, socket_timeout=COMMAND_TIMEOUT_S, socket_connect_timeout=COMMAND_TIMEOUT_S)
            # A subscription waits without end, so it has a connection of its own without a read timeout.
            self._subscriber = Valkey.from_url(valkey_url, socket_connect_timeout=COMMAND_TIMEOUT_S, health_check_interval=5)

    # --- reading

    async def get(
        self,
        key: str,
        kind: type[T],
        load: Callable[[], Awaitable[T]],
        *,
        ttl_s: float,
        tier: Tier,
        absent_ttl_s: float = 0,
    ) -> T:
        """The value at `key`, loaded at most once at a time. Raises what `load` raises.

        `absent_ttl_s` above 0 also remembers NotFound for that long.
        """
        if not 0 < ttl_s <= MAX_TTL_S or not 0 <= absent_ttl_s <= MAX_TTL_S:
            raise ValueError(f"a value is cached for more than 0 and at most {MAX_TTL_S} s")
        shape = fingerprint(kind)
        entry = None if tier is Tier.SHARED else self._look(key, shape)
        if entry is None:
            entry = await self._fly(key, shape, tier, kind, load, ttl_s, absent_ttl_s)
        if entry.absent:
            raise NotFound
        return cast("T", entry.value)

    async def _fly(
        self,
        key: str,
        shape: str,
        tier: Tier,
        kind: type[T],
        load: Callable[[], Awaitable[T]],
        ttl_s: float,
        absent_ttl_s: float,
    ) -> _Entry:
        place = (key, shape, tier)
        flight = self._flights.get(place)
        if flight is None:
            flight = self._flights[place] = _Flight()
            flight.task = asyncio.create_task(self._fetch(flight, key, shape, tier, kind, load, ttl_s, absent_ttl_s))
            flight.task.add_done_callback(lambda task: self._landed(place, flight, task))
        assert flight.task is not None  # noqa: S101 - set in the same step as the flight
        # Shielded: the first to ask may give up without taking the answer from the others.
        return await asyncio.shield(flight.task)

    def _landed(self, place: tuple[str, str, Tier], flight: _Flight, task: asyncio.Task[_Entry]) -> None:
        if self._flights.get(place) is flight:
            del self._flights[place]
        if not task.cancelled():
            task.exception()  # seen: those who wait for it raise it

    async def _fetch(
        self,
        flight: _Flight,
        key: str,
        shape: str,
        tier: Tier,
        kind: type[T],
        load: Callable[[], Awaitable[T]],
        ttl_s: float,
        absent_ttl_s: float,
    ) -> _Entry:
        shared = self._valkey if tier is not Tier.LOCAL else None
        seen: tuple[bytes, _Entry | None] | None = None
        locked = False
        if shared is not None:
            seen = await self._look_shared(key, shape, kind, ttl_s)
            self._metrics.cache_lookup("l2", hit=seen is not None and seen[1] is not None)
            if seen is not None and seen[1] is None:
                seen, locked = await self._await_turn(key, shape, kind, ttl_s, seen)
        entry = seen[1] if seen is not None else None
        if entry is None:
            entry = await self._load(load, ttl_s, absent_ttl_s)
            if seen is not None and not flight.stale and entry.until > self._monotonic():
                await self._store_shared(key, shape, seen[0], entry, locked=locked)
        if tier is not Tier.SHARED and not flight.stale:
            self._keep(key, shape, entry)
        return entry

    async def _load(self, load: Callable[[], Awaitable[T]], ttl_s: float, absent_ttl_s: float) -> _Entry:
        try:
            value = await load()
        except NotFound:
            if absent_ttl_s <= 0:
                raise
            return _Entry(None, absent=True, until=self._monotonic() + absent_ttl_s, size_bytes=ENTRY_OVERHEAD_BYTES)
        return _Entry(value, absent=False, until=self._monotonic() + ttl_s, size_bytes=_size(len(_encode(value))))

    # --- the first tier

    def _look(self, key: str, shape: str) -> _Entry | None:
        entry = self._local.get(key, {}).get(shape)
        if entry is not None and entry.until <= self._monotonic():
            self._drop(key)
            entry = None
        if entry is not None:
            self._local.move_to_end(key)
        self._metrics.cache_lookup("l1", hit=entry is not None)
        return entry

    def _keep(self, key: str, shape: str, entry: _Entry) -> None:
        if entry.size_bytes > self._max_bytes:
            return
        if self._valkey is not None and not self._listening.is_set():
            soon = self._monotonic() + AWAY_TTL_S
            entry = _Entry(entry.value, entry.absent, min(entry.until, soon), entry.size_bytes)
        shapes = self._local.setdefault(key, {})
        old = shapes.get(shape)
        self._bytes += entry.size_bytes - (old.size_bytes if old else 0)
        self._entries += 0 if old else 1
        shapes[shape] = entry
        self._local.move_to_end(key)
        while self._bytes > self._max_bytes or self._entries > self._max_entries:
            self._drop(next(iter(self._local)))
            self._metrics.cache_evictions.inc()
        self._metrics.cache_bytes.set(self._bytes)

    def _drop(self, key: str) -> None:
        for entry in self._local.pop(key, {}).values():
            self._bytes -= entry.size_bytes
            self._entries -= 1

    def _forget(self, keys: list[str]) -> None:
        gone = set(keys)
        for key in gone:
            self._drop(key)
        for place in [p for p in self._flights if p[0] in gone]:
            # Who asks from now on starts a load of its own.
            self._flights.pop(place).stale = True

    def clear_local(self) -> None:
        """Empties L1; loads under way are not kept."""
        self._forget([*self._local, *(place[0] for place in self._flights)])

    @property
    def limit_bytes(self) -> int:
        """What the first tier may take."""
        return self._max_bytes

    @property
    def local_bytes(self) -> int:
        return self._bytes

    # --- the second tier

    async def _look_shared(self, key: str, shape: str, kind: Any, ttl_s: float) -> tuple[bytes, _Entry | None] | None:
        """The key's generation and its value, if there is one of that generation; None when Valkey does not answer."""
        values = cast("list[bytes | None] | None", await self._ask("mget", [_generation(key), _place(key, shape)]))
        if values is None:
            return None
        generation, data = values[0] or b"", values[1]
        if data is None:
            return generation, None
        try:
            stored = _read_stored(data)
            if stored.generation != generation:
                return generation, None
            value = None if stored.absent else _decoder(kind)(stored.value)
        except msgspec.MsgspecError:
            return generation, None
        left_ms = cast("int | None", await self._ask("pttl", _place(key, shape)))
        left_s = min(ttl_s, (left_ms or 0) / 1000)
        return generation, _Entry(value, stored.absent, self._monotonic() + left_s, _size(len(data)))

    async def _await_turn(
        self, key: str, shape: str, kind: Any, ttl_s: float, seen: tuple[bytes, _Entry | None]
    ) -> tuple[tuple[bytes, _Entry | None], bool]:
        """Lets one process load: the others wait a little for its value, then load themselves. True: this one has the lock."""
        for _ in range(LOCK_POLLS):
            if await self._ask("set", _lock(key, shape), b"1", nx=True, px=LOCK_MS):
                return seen, True
            await asyncio.sleep(LOCK_POLL_S)
            again = await self._look_shared(key, shape, kind, ttl_s)
            if again is None:
                break
            seen = again
            if seen[1] is not None:
                break
        return seen, False

    async def _store_shared(self, key: str, shape: str, generation: bytes, entry: _Entry, *, locked: bool) -> None:
        data = _encode(_Stored(generation, entry.absent, msgspec.Raw(_encode(entry.value))))
        left_ms = max(1, int((entry.until - self._monotonic()) * 1000))
        await self._ask("set", _place(key, shape), data, px=left_ms)
        if locked:
            await self._ask("delete", _lock(key, shape))

    async def _ask(self, command: str, *args: object, **named: object) -> object:
        """A command's answer, or None when Valkey fails or takes longer than a second."""
        if self._valkey is None:
            return None
        try:
            async with asyncio.timeout(COMMAND_TIMEOUT_S):
                return await getattr(self._valkey, command)(*args, **named)
        except _FAILURES:
            self._metrics.valkey_failures.inc()
            return None

    # --- invalidation

    async def invalidate(self, *keys: str) -> None:
        """Forgets `keys` here and in every process. Call it after the commit that changed what they hold.

        While Valkey is away this process remembers what it owes and says so when Valkey is back.
        """
        self._forget(list(keys))
        if keys and self._valkey is not None and not await self._announce(list(keys)):
            self._owed.update(keys)
            while len(self._owed) > MAX_OWED:
                self._owed.pop()

    async def _announce(self, keys: list[str]) -> bool:
        for key in keys:
            token = secrets.token_bytes(8)
            if await self._ask("set", _generation(key), token, ex=GENERATION_TTL_S) is None:
                return False
        return await self._ask("publish", CHANNEL, _encode(keys)) is not None

    async def start(self) -> None:
        if self._valkey is not None and self._listener is None:
            self._listener = asyncio.create_task(self._listen())

    async def listening(self) -> None:
        """Returns once other processes can be heard."""
        await self._listening.wait()

    async def close(self) -> None:
        if self._listener is not None:
            self._listener.cancel()
            with suppress(asyncio.CancelledError):
                await self._listener
            self._listener = None
        if self._valkey is not None:
            await self._valkey.aclose()
            await self._subscriber.aclose()

    async def _listen(self) -> None:
        while True:
            try:
                async with self._subscriber.pubsub(ignore_subscribe_messages=True) as channel:
                    await channel.subscribe(CHANNEL)
                    await channel.get_message(ignore_subscribe_messages=True, timeout=COMMAND_TIMEOUT_S)
                    owed, self._owed = list(self._owed), set()
                    if owed and not await self._announce(owed):
                        self._owed.update(owed)
                        raise TimeoutError
                    # What was said while nobody listened is lost, so nothing from then may stay.
                    self.clear_local()
                    self._listening.set()
                    while True:
                        message = await channel.get_message(ignore_subscribe_messages=True, timeout=5.0)
                        if message is not None:
                            self._hear(cast("bytes", message["data"]))
            except _FAILURES as e:
                if self._listening.is_set():
                    _log.warning("cache_without_valkey", error=type(e).__name__)
                self._listening.clear()
                self.clear_local()
                await asyncio.sleep(RECONNECT_S)

    def _hear(self, data: bytes) -> None:
        with suppress(msgspec.MsgspecError):
            self._forget(_keys_of(data))


def _size(encoded_bytes: int) -> int:
    return ENTRY_OVERHEAD_BYTES + DECODED_FACTOR * encoded_bytes


# The braces keep all that belongs to one key in one slot of a cluster.
def _generation(key: str) -> str:
    return f"fc:g:{{{key}}}"


def _place(key: str, shape: str) -> str:
    return f"fc:c:{{{key}}}:{shape}"


def _lock(key: str, shape: str) -> str:
    return f"fc:l:{{{key}}}:{shape}"
