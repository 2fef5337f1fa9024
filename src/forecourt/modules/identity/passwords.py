"""Passwords: how strong they must be, and how they are kept (argon2id, RFC 9106's second choice)."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import sys
import threading
from base64 import b64encode
from collections.abc import Set
from concurrent.futures import ThreadPoolExecutor
from typing import cast

import argon2
from argon2.exceptions import InvalidHashError, VerificationError
from zxcvbn import zxcvbn

from forecourt.kernel.errors import FieldError, Invalid
from forecourt.kernel.settings import Env

MIN_SCORE = 3
MAX_CHARS = 128
JUDGED_CHARS = 72
"""The estimate of strength looks at no more, to bound its work; the hash takes all of them."""
STANDS_BACK = 5
"""How much less urgent hashing is than all else (nice): a third of the weight. A log-in keeps four threads busy for a tenth of a
second; without this, whoever asks who somebody is waits until the loop's one thread has its turn among them. With much more, a
machine that is full would let nobody in."""
MEMORY_PARTS = 8
"""One of so many parts of the memory may be for hashing."""
GIB = 1 << 30

FULL = argon2.PasswordHasher(time_cost=3, memory_cost=65_536, parallelism=4)
QUICK = argon2.PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1)
"""For a house under test (`FORECOURT_ENV=test`), where thousands sign in and nobody has anything to lose."""


def hashing_cores(all_cores: Set[int]) -> set[int]:
    """Where passwords are hashed: half of the cores, also while many sign in at once. All else may have every core, and goes
    where there is room; hashing has its part there, however full the machine is."""
    return set(sorted(all_cores)[len(all_cores) // 2 :])


def hashes_at_once(cores: int, memory_bytes: int) -> int:
    """On so many cores. Each takes 64 MiB and four threads: more at once only make each other late, and all else with them. And
    they must not fill the memory: a container that has little of it may see many cores, and anybody may ask to be let in."""
    return max(1, min(cores // 2, memory_bytes // MEMORY_PARTS // (FULL.memory_cost * 1024)))


_CORES = hashing_cores(os.sched_getaffinity(0)) if sys.platform == "linux" else set(range((os.cpu_count() or 2) // 2))


class Passwords:
    """Hashes and checks, off the event loop and a few at a time."""

    def __init__(self, hasher: argon2.PasswordHasher = FULL, memory_bytes: int = GIB) -> None:
        """`memory_bytes`: what this process and its neighbours may use."""
        self._hasher = hasher
        self.at_once = hashes_at_once(len(_CORES), memory_bytes)
        self._turns = asyncio.Semaphore(self.at_once)
        self._hands = ThreadPoolExecutor(self.at_once, "passwords", _stand_back)
        self._dummy = nobodys(hasher)

    async def hash(self, password: str) -> str:
        async with self._turns:
            return await asyncio.get_running_loop().run_in_executor(self._hands, self._hasher.hash, password)

    async def fits(self, stored: str | None, password: str) -> bool:
        """Whether `password` is the one that was hashed. Without a hash it costs the same and is False."""
        async with self._turns:
            loop, kept = asyncio.get_running_loop(), stored or self._dummy
            fits = await loop.run_in_executor(self._hands, self._verify, kept, password)
        return fits and stored is not None

    def outdated(self, stored: str) -> bool:
        """True when the hash was made with other parameters than today's."""
        return self._hasher.check_needs_rehash(stored)

    def _verify(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except (VerificationError, InvalidHashError):
            return False

    async def refuse_weak(self, password: str, *about: str) -> None:
        """Raises Invalid at `password`, with reasons. `about`: name and address, which make poor passwords."""
        refuse(await self.faults(password, *about))

    async def faults(self, password: str, *about: str) -> list[FieldError]:
        """Why a password will not do, at `password`; nothing for a good one."""
        if len(password) > MAX_CHARS:
            return [FieldError("password", f"at most {MAX_CHARS} characters")]
        if not password:
            return [FieldError("password", "must not be empty")]
        return [FieldError("password", reason) for reason in await asyncio.to_thread(_reasons, password, about)]


def refuse(faults: list[FieldError]) -> None:
    """Raises Invalid with all of them, when there are any."""
    if faults:
        raise Invalid(faults[0].message, errors=faults)


def _stand_back() -> None:
    """For this thread and those that it starts. Where threads have no priority and no cores of their own, nothing happens."""
    if sys.platform == "linux":
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + STANDS_BACK)
        with contextlib.suppress(OSError):  # those cores were taken from us meanwhile: then anywhere
            os.sched_setaffinity(thread, _CORES)


def hasher_for(env: Env) -> argon2.PasswordHasher:
    """In full, whatever the house is for; quickly only in one that says it is under test."""
    return QUICK if env is Env.TEST else FULL


def nobodys(hasher: argon2.PasswordHasher) -> str:
    """What looks like a hash of `hasher` and costs as much to check; no password is known for it. Made up, not computed: a
    computed one costs each start of the program a tenth of a second."""

    def made_up(size: int) -> str:
        return b64encode(secrets.token_bytes(size)).rstrip(b"=").decode()

    costs = f"m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}"
    return f"$argon2id$v=19${costs}${made_up(hasher.salt_len)}${made_up(hasher.hash_len)}"


def _reasons(password: str, about: tuple[str, ...]) -> list[str]:
    """Why the password is too weak, in zxcvbn's words; empty when it is not."""
    words = [word for text in about for word in (text, *text.replace("@", " ").replace(".", " ").split()) if word]
    found = zxcvbn(password[:JUDGED_CHARS], user_inputs=words[:20])
    if found["score"] >= MIN_SCORE:
        return []
    feedback = cast("dict[str, object]", found["feedback"])
    warning, suggestions = str(feedback["warning"] or ""), cast("list[str]", feedback["suggestions"])
    return [text for text in (warning, *suggestions) if text][:5] or ["This is too easy to guess."]
