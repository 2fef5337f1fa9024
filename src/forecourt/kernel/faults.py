"""What a caller is told of an exception that is not a problem itself, over HTTP and over a contract alike."""

from __future__ import annotations

import asyncpg

from forecourt.kernel.errors import DeadlineExceeded, Internal, Problem, Unavailable
from forecourt.kernel.pool import SESSION_LOST


def as_problem(error: Exception) -> Problem:
    """DeadlineExceeded for a statement that took too long, Unavailable for a database that went away, else Internal."""
    if isinstance(error, (asyncpg.QueryCanceledError, TimeoutError)):
        return DeadlineExceeded()
    if isinstance(error, SESSION_LOST):
        return Unavailable("the database does not answer right now")
    return Internal()
