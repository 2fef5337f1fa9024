"""A cache in two tiers: this process (L1) over Valkey (L2). A Valkey that fails is a miss, never an error.

    card = await cache.get(f"venues:card:{id}", VenueCard, load, ttl_s=300, tier=Tier.BOTH)
    await cache.invalidate(f"venues:card:{id}")

Keys begin with their module's name. Each key has a generation in Valkey; a value is stored with the generation seen *before*
it was loaded, and `invalidate` changes the generation, so an old value that arrives late is never read. Cached values are
shared: do not change them. A key without what follows its last colon is the name under which metrics tell of its values.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
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
LOCK_FIRST_POLL_S, LOCK_POLL_S = 0.002, 0.05
"""Most loads take some milliseconds, so the first looks are soon after each other."""
LOCK_POLLS = 22
RECONNECT_S = 1.0
MAX_OWED = 10_000
MAX_TOGETHER = 500
"""Commands that are sent to Valkey in one piece."""
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


class _Lives(msgspec.Struct, frozen=True):
    """How long a value is kept: here, in the second tier, and the knowledge that there is none."""

    here_s: float
    shared_s: float
    absent_s: float


class _Asked(msgspec.Struct):
    """A command that waits to be sent."""

    command: str
    args: tuple[object, ...]
    named: dict[str, object]
    answer: asyncio.Future[object]


class _Line:
    """To Valkey. Commands that are given in the same turn of the loop go together, on one connection: a hundred values that are
    looked up at once are one question."""

    def __init__(self, valkey: Valkey) -> None:
        self._valkey = valkey
        self._waiting: list[_Asked] = []
        self._sending: set[asyncio.Task[None]] = set()
        self._closed = False

    async def ask(self, command: str, *args: object, **named: object) -> object:
        """Raises what the client raises."""
        if self._closed:
            raise ConnectionError("closed")
        asked = _Asked(command, args, named, asyncio.get_running_loop().create_future())
        self._waiting.append(asked)
        if len(self._waiting) == 1:
            # A task begins in the next turn: by then, all that were given in this one are here.
            task = asyncio.create_task(self._send())
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)
        return await asked.answer

    async def _send(self) -> None:
        waiting, self._waiting = self._waiting, []
        for first in range(0, len(waiting), MAX_TOGETHER):
            await self._send_some([asked for asked in waiting[first : first + MAX_TOGETHER] if not asked.answer.done()])

    async def _send_some(self, some: list[_Asked]) -> None:
        try:
            async with asyncio.timeout(COMMAND_TIMEOUT_S), self._valkey.pipeline(transaction=False) as pipe:
                for asked in some:
                    getattr(pipe, asked.command)(*asked.args, **asked.named)
                answers = cast("list[object]", await pipe.execute(raise_on_error=False))
        except Exception as e:  # whatever it was, it is for those who wait
            answers = [e] * len(some)
        for asked, answer in zip(some, answers, strict=True):
            if asked.answer.done():
                continue
            if isinstance(answer, Exception):
                asked.answer.set_exception(answer)
            else:
                asked.answer.set_result(answer)

    async def close(self) -> None:
        """What was given before is answered, which takes no longer than a command may; nothing more is taken."""
        self._closed = True
        await asyncio.gather(*self._sending, return_exceptions=True)
        await self._valkey.aclose()


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
        self._house = ""
        self._bytes = 0
        self._entries = 0
        self._flights: dict[tuple[str, str, Tier], _Flight] = {}
        self._owed: set[str] = set()
        self._watchers: list[Callable[[str], None]] = []
        self._listener: asyncio.Task[None] | None = None
        self._listening = asyncio.Event()
        self._valkey: _Line | None = None
        if valkey_url is not None:
            self._valkey = _Line(
                Valkey.from_url(valkey_url, socket_timeout=COMMAND_TIMEOUT_S, socket_connect_timeout=COMMAND_TIMEOUT_S)
            )
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
        shared_ttl_s: float | None = None,
    ) -> T:
        """The value at `key`, loaded at most once at a time. Raises what `load` raises.

        `absent_ttl_s` above 0 also remembers NotFound for that long. `shared_ttl_s`: how long the second tier keeps it, when that
        is longer than `ttl_s`.
        """
        lives = _Lives(ttl_s, ttl_s if shared_ttl_s is None else shared_ttl_s, absent_ttl_s)
        if not 0 < ttl_s <= lives.shared_s <= MAX_TTL_S or not 0 <= absent_ttl_s <= MAX_TTL_S:
            raise ValueError(f"a value is cached for more than 0 and at most {MAX_TTL_S} s, in the second tier no shorter")
        shape = fingerprint(kind)
        entry = None if tier is Tier.SHARED else self._look(key, shape)
        if entry is None:
            entry = await self._fly(key, shape, tier, kind, load, lives)
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
        lives: _Lives,
    ) -> _Entry:
        place = (key, shape, tier)
        flight = self._flights.get(place)
        if flight is None:
            flight = self._flights[place] = _Flight()
            flight.task = asyncio.create_task(self._fetch(flight, key, shape, tier, kind, load, lives))
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
        lives: _Lives,
    ) -> _Entry:
        began = self._monotonic()
        shared = self._valkey if tier is not Tier.LOCAL else None
        seen: tuple[bytes, _Entry | None] | None = None
        locked = False
        if shared is not None:
            seen = await self._look_shared(key, shape, kind, lives.here_s)
            if seen is not None and seen[1] is None:
                seen, locked = await self._await_turn(key, shape, kind, lives.here_s, seen)
            # What another process was just loading was found as well: nobody else asked for it.
            self._metrics.cache_lookup("l2", _name(key), hit=seen is not None and seen[1] is not None)
        entry = seen[1] if seen is not None else None
        found = "l2"
        if entry is None:
            found = "source"
            try:
                entry = await self._load(load, lives)
            except BaseException:
                if locked:
                    await self._ask("delete", self._lock(key, shape))
                raise
            left: list[Awaitable[object]] = [self._ask("delete", self._lock(key, shape))] if locked else []
            if seen is not None and not flight.stale and entry.until > self._monotonic():
                left.insert(0, self._store_shared(key, shape, seen[0], entry, lives))
            await asyncio.gather(*left)
        self._metrics.cache_fetch.labels(found).observe(max(0.0, self._monotonic() - began))
        if tier is not Tier.SHARED and not flight.stale:
            self._keep(key, shape, entry)
        return entry

    async def _load(self, load: Callable[[], Awaitable[T]], lives: _Lives) -> _Entry:
        try:
            value = await load()
        except NotFound:
            if lives.absent_s <= 0:
                raise
            return _Entry(None, absent=True, until=self._monotonic() + lives.absent_s, size_bytes=ENTRY_OVERHEAD_BYTES)
        return _Entry(value, absent=False, until=self._monotonic() + lives.here_s, size_bytes=_size(len(_encode(value))))

    # --- the first tier

    def _look(self, key: str, shape: str) -> _Entry | None:
        entry = self._local.get(key, {}).get(shape)
        if entry is not None and entry.until <= self._monotonic():
            self._drop(key)
            entry = None
        if entry is not None:
            self._local.move_to_end(key)
        self._metrics.cache_lookup("l1", _name(key), hit=entry is not None)
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
        self._metrics.cache_kept.inc()
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

    async def held(self, key: str, kind: type[T]) -> list[T]:
        """What the tiers have at `key` now, this process's first; nothing is loaded, and nothing of it counts as a look-up.

        For whoever knows what is true and wants to see whether the cache does.
        """
        shape = fingerprint(kind)
        here = self._local.get(key, {}).get(shape)
        there = None if self._valkey is None else await self._look_shared(key, shape, kind, MAX_TTL_S)
        entries = [here, None if there is None else there[1]]
        return [cast("T", e.value) for e in entries if e is not None and not e.absent]

    def held_here(self, key: str, kind: type[T]) -> T | None:
        """What this process has at `key`, as `held`."""
        here = self._local.get(key, {}).get(fingerprint(kind))
        return None if here is None or here.absent else cast("T", here.value)

    def watch(self, hear: Callable[[str], None]) -> None:
        """`hear` is told each key that is invalidated, here or elsewhere, once it is forgotten. What is said while Valkey is away
        is not heard: this is for who wants to be quick, not for who has to be right."""
        self._watchers.append(hear)

    def clear_local(self) -> None:
        """Empties L1; loads under way are not kept."""
        self._forget([*self._local, *(place[0] for place in self._flights)])

    @property
    def limit_bytes(self) -> int:
        """What the first tier may take."""
        return self._max_bytes

    @property
    def metrics(self) -> Metrics:
        """Where look-ups are counted, also those of who keeps values by itself."""
        return self._metrics

    @property
    def local_bytes(self) -> int:
        return self._bytes

    # --- the second tier

    async def _look_shared(self, key: str, shape: str, kind: Any, ttl_s: float) -> tuple[bytes, _Entry | None] | None:
        """The key's generation and its value, if there is one of that generation; None when Valkey does not answer."""
        asked = await asyncio.gather(
            self._ask("mget", [self._generation(key), self._place(key, shape)]), self._ask("pttl", self._place(key, shape))
        )
        values, left_ms = cast("tuple[list[bytes | None] | None, int | None]", asked)
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
        left_s = min(ttl_s, (left_ms or 0) / 1000)
        return generation, _Entry(value, stored.absent, self._monotonic() + left_s, _size(len(data)))

    async def _await_turn(
        self, key: str, shape: str, kind: Any, ttl_s: float, seen: tuple[bytes, _Entry | None]
    ) -> tuple[tuple[bytes, _Entry | None], bool]:
        """Lets one process load: the others wait a little for its value, then load themselves. True: this one has the lock."""
        for n in range(LOCK_POLLS):
            if await self._ask("set", self._lock(key, shape), b"1", nx=True, px=LOCK_MS):
                return seen, True
            await asyncio.sleep(min(LOCK_FIRST_POLL_S * 2**n, LOCK_POLL_S))
            again = await self._look_shared(key, shape, kind, ttl_s)
            if again is None:
                break
            seen = again
            if seen[1] is not None:
                break
        return seen, False

    async def _store_shared(self, key: str, shape: str, generation: bytes, entry: _Entry, lives: _Lives) -> None:
        data = _encode(_Stored(generation, entry.absent, msgspec.Raw(_encode(entry.value))))
        more_s = 0.0 if entry.absent else lives.shared_s - lives.here_s
        left_ms = max(1, int((entry.until + more_s - self._monotonic()) * 1000))
        await self._ask("set", self._place(key, shape), data, px=left_ms)

    async def _ask(self, command: str, *args: object, **named: object) -> object:
        """A command's answer, or None when Valkey fails or takes longer than a second."""
        if self._valkey is None:
            return None
        try:
            async with asyncio.timeout(COMMAND_TIMEOUT_S):
                return await self._valkey.ask(command, *args, **named)
        except _FAILURES:
            self._metrics.valkey_failures.inc()
            return None

    # The braces keep all that belongs to one key in one slot of a cluster.
    def _generation(self, key: str) -> str:
        return f"fc:g:{self._house}{{{key}}}"

    def _place(self, key: str, shape: str) -> str:
        return f"fc:c:{self._house}{{{key}}}:{shape}"

    def _lock(self, key: str, shape: str) -> str:
        return f"fc:l:{self._house}{{{key}}}:{shape}"

    # --- invalidation

    async def invalidate(self, *keys: str) -> None:
        """Forgets `keys` here and in every process. Call it after the commit that changed what they hold.

        While Valkey is away this process remembers what it owes and says so when Valkey is back.
        """
        self._forget(list(keys))
        self._say(keys)
        if keys and self._valkey is not None and not await self._announce(list(keys)):
            self._owed.update(keys)
            while len(self._owed) > MAX_OWED:
                self._owed.pop()

    async def _announce(self, keys: list[str]) -> bool:
        renewed = [self._ask("set", self._generation(key), secrets.token_bytes(8), ex=GENERATION_TTL_S) for key in keys]
        if None in await asyncio.gather(*renewed):
            return False
        return await self._ask("publish", CHANNEL, _encode(keys)) is not None

    async def start(self, house: str = "") -> None:
        """`house`: whose values these are, where several houses share one Valkey: the name of their database."""
        self._house = f"{house}:" if house else ""
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
            await self._valkey.close()
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
        try:
            keys = _keys_of(data)
        except msgspec.MsgspecError:
            return
        self._forget(keys)
        self._say(keys)

    def _say(self, keys: Sequence[str]) -> None:
        for hear in self._watchers:
            for key in keys:
                hear(key)


def _name(key: str) -> str:
    return key.rpartition(":")[0] or key


def _size(encoded_bytes: int) -> int:
    return ENTRY_OVERHEAD_BYTES + DECODED_FACTOR * encoded_bytes
