"""What a caller is told of an exception that is no problem itself, over HTTP and over a contract alike; what is noted of one."""

from __future__ import annotations

import errno

import asyncpg

from forecourt.kernel.errors import DeadlineExceeded, Internal, NoRoom, Problem, Unavailable
from forecourt.kernel.log import without_rows
from forecourt.kernel.pool import SESSION_LOST

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


def as_problem(error: Exception) -> Problem:
    """DeadlineExceeded for a statement that took or waited too long, NoRoom for a full disk, be it the database's or our own,
    Unavailable for a database that went away or has nothing left, such as connections; else Internal."""
    if isinstance(error, (asyncpg.QueryCanceledError, asyncpg.LockNotAvailableError, TimeoutError)):
        return DeadlineExceeded()
    if isinstance(error, SESSION_LOST):
        return Unavailable("the database does not answer right now")
    if isinstance(error, asyncpg.DiskFullError) or (isinstance(error, OSError) and error.errno in _FULL):
        return NoRoom("nothing can be written right now")
    if isinstance(error, asyncpg.InsufficientResourcesError):
        return Unavailable("nothing can be written right now")
    return Internal()


def describe(error: BaseException) -> str:
    """An error for the record: its kind and text without rows, bounded, of characters that PostgreSQL keeps."""
    return without_rows(f"{type(error).__name__}: {error}")[:500].encode(errors="replace").decode().replace("\0", "")
