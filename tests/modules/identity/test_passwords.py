"""Hashing stands back: who asks this process or another for something else does not wait for somebody's log-in."""

from __future__ import annotations

import asyncio
import os
import sys
import threading

import argon2
import pytest

from forecourt.modules.identity.passwords import FULL, STANDS_BACK, Passwords, hashes_at_once, hashing_cores

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere threads have no priority of their own")


def priority() -> int:
    """Of the thread that asks; 0 is everybody's."""
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


def cores() -> set[int]:
    """Where the thread that asks may run."""
    return os.sched_getaffinity(threading.get_native_id())


class Watched(argon2.PasswordHasher):
    """Notes who hashes, with what priority and where a thread runs that hashing starts, as argon2 starts one for each lane."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.seen: list[tuple[str, int, int]] = []
        self.cores: list[set[int]] = []

    def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
        self._note("hash")
        return super().hash(password, salt=salt)

    def verify(self, hash: str | bytes, password: str | bytes) -> bool:  # type: ignore[override]
        self._note("verify")
        return super().verify(hash, password)

    def _note(self, what: str) -> None:
        lane: list[tuple[int, set[int]]] = []
        thread = threading.Thread(target=lambda: lane.append((priority(), cores())))
        thread.start()
        thread.join()
        self.seen.append((what, priority(), lane[0][0]))
        self.cores.append(lane[0][1])


async def test_a_password_is_hashed_and_checked_by_threads_that_let_others_go_first() -> None:
    here, everywhere, hasher = priority(), cores(), Watched()
    passwords = Passwords(hasher)
    stored = await passwords.hash("correct horse")
    assert await passwords.fits(stored, "correct horse") and not await passwords.fits(stored, "wrong horse")
    assert not await passwords.fits(None, "correct horse")
    back = min(19, here + STANDS_BACK)
    assert hasher.seen == [(what, back, back) for what in ("hash", "verify", "verify", "verify")]
    assert all(0 < len(some) <= (len(everywhere) + 1) // 2 and some <= everywhere for some in hasher.cores)
    assert (priority(), cores()) == (here, everywhere), "the control: whoever asked goes on as before"


def test_hashing_has_half_of_the_cores_and_never_none() -> None:
    assert [hashing_cores(set(range(n))) for n in (1, 2, 3, 4)] == [{0}, {1}, {1, 2}, {2, 3}]
    assert hashing_cores({3, 9}) == {9}, "of those that the process has"
    assert [hashes_at_once(n, 8 << 30) for n in (1, 2, 4, 8)] == [1, 1, 2, 4]


@pytest.mark.parametrize(("memory_mib", "at_once"), [(256, 1), (512, 1), (1024, 2), (3072, 6), (65_536, 16)])
def test_many_cores_do_not_fill_a_small_memory(memory_mib: int, at_once: int) -> None:
    """A container without a limit on its cores sees all of its machine: whoever signs in at once must not end it."""
    assert hashes_at_once(32, memory_mib << 20) == at_once
    assert at_once * FULL.memory_cost * 1024 <= max(memory_mib << 20 >> 3, FULL.memory_cost * 1024)


class Slow(argon2.PasswordHasher):
    """Checks when it may, and notes how many are at it."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.go = threading.Event()
        self.lock = threading.Lock()
        self.here = self.most = 0

    def verify(self, hash: str | bytes, password: str | bytes) -> bool:  # type: ignore[override]
        with self.lock:
            self.here += 1
            self.most = max(self.most, self.here)
        self.go.wait(20)
        with self.lock:
            self.here -= 1
        return super().verify(hash, password)


async def test_many_who_sign_in_at_once_wait_for_each_other_and_are_all_let_in() -> None:
    hasher = Slow()
    passwords = Passwords(hasher)
    stored = await passwords.hash("correct horse")
    async with asyncio.timeout(30):
        storm = [asyncio.create_task(passwords.fits(stored, "correct horse")) for _ in range(4 * passwords.at_once)]
        while hasher.here < passwords.at_once:
            await asyncio.sleep(0)
        hasher.go.set()
        assert await asyncio.gather(*storm) == [True] * len(storm)
    assert hasher.most == passwords.at_once
