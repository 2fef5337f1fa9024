"""How many statements something sends, whatever else runs in this process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from typing import Any
from unittest.mock import patch

from forecourt.kernel.db import Tx

_sent: ContextVar[list[str] | None] = ContextVar("sent", default=None)
_begun: ContextVar[list[Tx] | None] = ContextVar("begun", default=None)


@contextmanager
def counted() -> Iterator[list[str]]:
    """The statements of this block and of the tasks it starts, but for those that begin and end transactions."""
    found: list[str] = []
    token = _sent.set(found)
    with ExitStack() as patched:
        for name in ("all", "maybe", "one", "run", "become"):
            patched.enter_context(patch.object(Tx, name, _heard(getattr(Tx, name))))
        yield found
    _sent.reset(token)


@contextmanager
def transactions() -> Iterator[list[Tx]]:
    """The transactions that this block and the tasks it starts have begun."""
    found: list[Tx] = []
    token = _begun.set(found)
    begin = Tx.__aenter__

    async def hear(self: Tx) -> Tx:
        begun = _begun.get()
        if begun is not None:
            begun.append(self)
        return await begin(self)

    with patch.object(Tx, "__aenter__", hear):
        yield found
    _begun.reset(token)


def _heard(original: Any) -> Any:
    def hear(self: Tx, statement: Any, *args: object) -> Any:
        found = _sent.get()
        if found is not None:
            found.append(getattr(statement, "sql", "become"))
        return original(self, statement, *args)

    return hear
