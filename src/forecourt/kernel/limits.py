"""Rate limits, counted in Valkey for all processes together; in this process alone while Valkey is away.

await limiter.hit("10/minute", "login", account_id)
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import cast

import msgspec
import structlog
from limits import RateLimitItem, parse
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.storage.redis.valkey import ValkeyBridge
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from valkey.asyncio import Valkey

from forecourt.kernel.errors import TooManyRequests
from forecourt.kernel.metrics import Metrics

COMMAND_TIMEOUT_S = 1.0
RETRY_VALKEY_S = 2.0
"""After a failure Valkey is left alone for this long, so that requests do not each wait for its timeout."""

_log: structlog.stdlib.BoundLogger = structlog.get_logger("forecourt.limits")


class Allowance(msgspec.Struct, frozen=True):
    """What is left of a limit after a hit."""

    limit: int
    remaining: int
    reset_after_s: int
    window_s: int

    def headers(self) -> dict[str, str]:
        """`RateLimit` and `RateLimit-Policy`, as the IETF draft writes them."""
        return {
            "RateLimit": f"limit={self.limit}, remaining={self.remaining}, reset={self.reset_after_s}",
            "RateLimit-Policy": f"{self.limit};w={self.window_s}",
        }


class Limiter:
    """Sliding-window limits. Fails safe: without Valkey each process counts for itself, and nobody is let in uncounted."""

    def __init__(self, valkey_url: str | None, metrics: Metrics, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._metrics = metrics
        self._monotonic = monotonic
        self._away_until = -math.inf
        self._memory = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._storage: RedisStorage | None = None
        self._shared: SlidingWindowCounterRateLimiter | None = None
        if valkey_url is not None:
            self._storage = RedisStorage(
                _storage_url(valkey_url),
                wrap_exceptions=True,
                implementation="valkey",
                key_prefix="fc:limit",
                socket_timeout=COMMAND_TIMEOUT_S,
                socket_connect_timeout=COMMAND_TIMEOUT_S,
            )
            self._shared = SlidingWindowCounterRateLimiter(self._storage)

    async def hit(self, limit: str, *parts: object) -> Allowance:
        """Counts one use of `limit` (`"10/minute"`) by whoever `parts` name.

        Raises TooManyRequests, with `Retry-After` and `RateLimit` headers, when nothing is left; a refused use is not counted.
        """
        item = _parsed(limit)
        names = tuple(str(part) for part in parts)
        if self._shared is not None and self._monotonic() >= self._away_until:
            try:
                async with asyncio.timeout(COMMAND_TIMEOUT_S):
                    allowed, allowance = await _hit(self._shared, item, names)
            except Exception as e:
                # Whatever the reason, the answer is the same: count here.
                self._away_until = self._monotonic() + RETRY_VALKEY_S
                self._metrics.valkey_failures.inc()
                _log.warning("limits_without_valkey", error=type(e).__name__)
            else:
                return self._judge(allowed, allowance)
        return self._judge(*await _hit(self._memory, item, names))

    def _judge(self, allowed: bool, allowance: Allowance) -> Allowance:
        if allowed:
            return allowance
        self._metrics.rate_limited.inc()
        problem = TooManyRequests("try again later", retry_after_s=max(1, allowance.reset_after_s))
        problem.headers.update(allowance.headers())
        raise problem

    async def close(self) -> None:
        if self._storage is not None:
            bridge = cast("ValkeyBridge", self._storage.bridge)
            await cast("Valkey", bridge.get_connection()).aclose()


@lru_cache(maxsize=10_000)
def counted_as(address: str) -> str:
    """Whom a limit counts when it counts addresses. An IPv6 client has a whole /64 to choose from, so that is counted as one; an
    IPv4 address counts as itself, also when it is written as IPv6. What is no address counts as it is."""
    try:
        ip = ip_address(address)
    except ValueError:
        return address
    if not isinstance(ip, IPv6Address):
        return str(ip)
    if ip.ipv4_mapped is not None:
        return str(ip.ipv4_mapped)
    return f"{IPv6Address(int(ip) >> 64 << 64)}/64"


@lru_cache(maxsize=200)
def _parsed(limit: str) -> RateLimitItem:
    return parse(limit)


async def _hit(limiter: SlidingWindowCounterRateLimiter, item: RateLimitItem, names: tuple[str, ...]) -> tuple[bool, Allowance]:
    allowed = await limiter.hit(item, *names)
    stats = await limiter.get_window_stats(item, *names)
    reset_after_s = max(0, math.ceil(stats.reset_time - time.time()))
    return allowed, Allowance(item.amount, max(0, stats.remaining), reset_after_s, item.get_expiry())


def _storage_url(url: str) -> str:
    """A Valkey address as the library writes it: `async+valkey://…`, `async+valkey+unix:///path`."""
    scheme, _, rest = url.partition("://")
    scheme = {"unix": "valkey+unix", "redis": "valkey", "rediss": "valkeys"}.get(scheme, scheme)
    return f"async+{scheme}://{rest}"
