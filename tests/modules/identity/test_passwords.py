"""Hashing stands back: who asks the same process for something else does not wait for somebody's log-in."""

from __future__ import annotations

import os
import sys
import threading

import argon2
import pytest

from forecourt.modules.identity.passwords import STANDS_BACK, Passwords

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere threads have no priority of their own")


def priority() -> int:
    """Of the thread that asks; 0 is everybody's."""
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


class Watched(argon2.PasswordHasher):
    """Notes who hashes, and with what priority a thread starts that hashing starts, as argon2 starts one for each lane."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.seen: list[tuple[str, int, int]] = []

    def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
        self._note("hash")
        return super().hash(password, salt=salt)

    def verify(self, hash: str | bytes, password: str | bytes) -> bool:  # type: ignore[override]
        self._note("verify")
        return super().verify(hash, password)

    def _note(self, what: str) -> None:
        lane: list[int] = []
        thread = threading.Thread(target=lambda: lane.append(priority()))
        thread.start()
        thread.join()
        self.seen.append((what, priority(), *lane))


async def test_a_password_is_hashed_and_checked_by_threads_that_let_others_go_first() -> None:
    here, hasher = priority(), Watched()
    passwords = Passwords(hasher)
    stored = await passwords.hash("correct horse")
    assert await passwords.fits(stored, "correct horse") and not await passwords.fits(stored, "wrong horse")
    assert not await passwords.fits(None, "correct horse")
    back = min(19, here + STANDS_BACK)
    assert hasher.seen == [(what, back, back) for what in ("hash", "verify", "verify", "verify")]
    assert priority() == here, "the control: whoever asked goes on as before"
