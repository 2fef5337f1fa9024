"""Identifiers and chance that depend on the seed alone."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

FOUNDED_MS = 1_735_689_600_000
"""The time part of ids that do not depend on the day: the start of 2025."""


@dataclass(frozen=True)
class Fate:
    """Everything that looks like chance in the demo world. One part's draws do not shift another's."""

    seed: int

    def dice(self, *about: object) -> random.Random:
        """A source of chance for one purpose."""
        return random.Random(self._digest("dice", *about))

    def id(self, *about: object) -> UUID:
        """A UUIDv7 that is the same on every day."""
        return _v7(FOUNDED_MS, int.from_bytes(self._digest("id", *about)[:10], "big"))

    def secret(self, *about: object) -> bytes:
        """32 bytes in the place of a digest that nobody knows the secret of."""
        return self._digest("secret", *about)

    def _digest(self, *about: object) -> bytes:
        return hashlib.blake2b(repr((self.seed, *about)).encode(), digest_size=32).digest()


def id_at(dice: random.Random, at: datetime) -> UUID:
    """A UUIDv7 as it would have been made at that instant."""
    return _v7(int(at.timestamp() * 1000), dice.getrandbits(80))


def _v7(ms: int, bits: int) -> UUID:
    return UUID(int=(ms << 80) | (0x7 << 76) | ((bits >> 62 & 0xFFF) << 64) | (0b10 << 62) | (bits & ((1 << 62) - 1)))
