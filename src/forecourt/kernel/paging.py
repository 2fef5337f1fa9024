"""Keyset paging: a page of a list, and the opaque cursor that says where the next one starts.

    BOOKINGS = Keyset("bookings", tuple[datetime, UUID])

    after = BOOKINGS.decode(query.cursor)                       # (starts_at, id) of the last row seen, or None
    rows = await queries.bookings(tx, after, query.limit + 1)   # one more than asked says whether there is more
    return BOOKINGS.page(rows, query.limit, lambda row: (row.starts_at, row.id))

A cursor is not a secret and grants nothing: row security decides what its page shows. It is checked, so that a damaged or
invented one is refused before it reaches SQL.
"""

from __future__ import annotations

import binascii
import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from datetime import date
from typing import Annotated, Generic, TypeVar, cast

import msgspec
from msgspec import Meta

from forecourt.kernel.errors import Invalid

Item = TypeVar("Item")
Other = TypeVar("Other")
Key = TypeVar("Key")

DEFAULT_LIMIT = 20
MAX_LIMIT = 100
MAX_CURSOR_CHARS = 500
CHECK_BYTES = 6

_FIRST_YEAR, _LAST_YEAR = 1970, 2200
_INT64 = 2**63


class Paged(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The query parameters of a list. A list with filters extends it."""

    limit: Annotated[int, Meta(ge=1, le=MAX_LIMIT, description="Entries per page")] = DEFAULT_LIMIT
    cursor: Annotated[str, Meta(max_length=MAX_CURSOR_CHARS, description="`next_cursor` of the page before")] | None = None


class Page(msgspec.Struct, Generic[Item], frozen=True):
    """A part of a list, in its order. `next_cursor` is null on the last page."""

    items: list[Item]
    next_cursor: str | None = None

    def map(self, change: Callable[[Item], Other]) -> Page[Other]:
        """The same page with each item changed."""
        return Page([change(item) for item in self.items], self.next_cursor)


def page(rows: Sequence[Item], limit: int, cursor_of: Callable[[Item], str]) -> Page[Item]:
    """The page that `rows` makes, read with a limit of `limit + 1`: the surplus row only says that there is more."""
    if limit < 1:
        raise ValueError("a page holds at least one row")
    items = list(rows[:limit])
    return Page(items, cursor_of(items[-1]) if len(rows) > limit else None)


class Keyset(Generic[Key]):
    """The order of one list: its name, and the type of the columns it is sorted by, tie-break last."""

    def __init__(self, name: str, kind: type[Key]) -> None:
        self.name = name
        self._decoder = msgspec.msgpack.Decoder(kind)
        self._salt = hashlib.blake2s(name.encode(), digest_size=16).digest()

    def encode(self, key: Key) -> str:
        """The cursor that continues after the row with `key`. Raises ValueError when it would be too long to be taken back."""
        body = msgspec.msgpack.encode(key)
        cursor = urlsafe_b64encode(self._check(body) + body).rstrip(b"=").decode()
        if len(cursor) > MAX_CURSOR_CHARS:
            raise ValueError(f"the keys of {self.name} are too long for a cursor; sort by something shorter")
        return cursor

    def decode(self, cursor: str | None) -> Key | None:
        """The key to continue after; None on the first page. Raises Invalid at `cursor` for anything this list did not give."""
        if cursor is None:
            return None
        try:
            if len(cursor) > MAX_CURSOR_CHARS:
                raise ValueError
            data = urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
            check, body = data[:CHECK_BYTES], data[CHECK_BYTES:]
            if check != self._check(body):
                raise ValueError
            key = self._decoder.decode(body)
            _bounded(key)
        except (ValueError, binascii.Error, msgspec.MsgspecError, RecursionError):
            raise Invalid.field("cursor", "is not a cursor of this list; leave it out to start from the beginning") from None
        return key

    def page(self, rows: Sequence[Item], limit: int, key_of: Callable[[Item], Key]) -> Page[Item]:
        """The page that `rows` makes, read with a limit of `limit + 1`."""
        return page(rows, limit, lambda row: self.encode(key_of(row)))

    def _check(self, body: bytes) -> bytes:
        return hashlib.blake2s(body, key=self._salt, digest_size=CHECK_BYTES).digest()


def _bounded(key: object) -> None:
    """Raises ValueError for what PostgreSQL would refuse: the check sum can be computed by anyone who reads this file."""
    for value in cast("tuple[object, ...]", key) if isinstance(key, tuple) else (key,):
        if isinstance(value, str) and "\x00" in value:
            raise ValueError
        if isinstance(value, int) and not -_INT64 <= value < _INT64:
            raise ValueError
        if isinstance(value, date) and not _FIRST_YEAR <= value.year <= _LAST_YEAR:
            raise ValueError
