"""Identifiers: UUIDv7 (RFC 9562), so that keys made one after another lie side by side in an index."""

from __future__ import annotations

import os
import time
from uuid import UUID

_last = 0


def new_id() -> UUID:
    """A new UUIDv7. Within one process ids never go backwards, even inside one millisecond.

    Layout: 48 bits of Unix milliseconds, then 12 bits of sub-millisecond time (RFC 9562 §6.2, method 3), then 62 random bits.
    """
    global _last  # noqa: PLW0603 - one counter per process is what makes ids monotonic
    now_ns = time.time_ns()
    ms, rest_ns = divmod(now_ns, 1_000_000)
    stamp = (ms << 12) | (rest_ns * 4096 // 1_000_000)
    if stamp <= _last:
        stamp = _last + 1
    _last = stamp
    rand = int.from_bytes(os.urandom(8), "big") & ((1 << 62) - 1)
    value = ((stamp >> 12) << 80) | (0x7 << 76) | ((stamp & 0xFFF) << 64) | (0b10 << 62) | rand
    return UUID(int=value)
