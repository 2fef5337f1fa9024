"""What a module keeps of a person, told to that person: every module answers the same question (PE-8).

    class BookingRecords(PersonalRecords, Protocol): ...

A module says of which kinds its records are and how a portion of each is read; `Records` asks one kind after the other.

    records = Records(RecordKind("bookings", service.bookings_of), RecordKind("invitations", service.invitations_of))
    board.provide(BookingRecords, records)
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, Protocol

import msgspec
from msgspec import Struct

from forecourt.kernel.context import Context
from forecourt.kernel.contracts import idempotent
from forecourt.kernel.errors import Invalid, Unauthenticated

RECORDS_AT_ONCE = 200
MAX_PORTION_BYTES = 4 * 1024 * 1024
"""Half of what a call may carry. A reader whose records are long gives fewer of them."""

_encode = msgspec.json.encode


class Portion(Struct, frozen=True):
    """Some of the records of one kind, each a JSON object."""

    kind: str
    """What they are, and how the file is called that they go into: `bookings`."""
    records: list[bytes]
    after: str | None
    """Where the next portion begins; None when this was the last."""


class PersonalRecords(Protocol):
    """A module's contract extends it under a name of its own."""

    @idempotent
    async def records(self, ctx: Context, after: str | None) -> Portion:
        """What the module keeps of `ctx`'s person, portion by portion; None begins. Secrets are left out.

        Raises Unauthenticated without a person, Invalid for an `after` that it never gave.
        """
        ...


class Read(NamedTuple):
    """Rows of one kind, at most RECORDS_AT_ONCE, and where to go on; an empty `after`: that was all."""

    rows: Sequence[Struct]
    after: str = ""


class RecordKind(NamedTuple):
    name: str
    read: Callable[[Context, str], Awaitable[Read]]
    """Given the `after` of the portion before, empty at first."""


class Records:
    """A module's answer, made of its kinds; they follow one another in this order."""

    def __init__(self, *kinds: RecordKind) -> None:
        self._kinds = kinds
        self._place = {kind.name: place for place, kind in enumerate(kinds)}

    async def records(self, ctx: Context, after: str | None) -> Portion:
        if ctx.account_id is None:
            raise Unauthenticated
        name, _, cursor = (f"{self._kinds[0].name} " if after is None else after).partition(" ")
        place = self._place.get(name)
        if place is None:
            raise Invalid.field("after", "is no place in these records")
        found = await self._kinds[place].read(ctx, cursor)
        if found.after:
            following: str | None = f"{name} {found.after}"
        else:
            following = f"{self._kinds[place + 1].name} " if place + 1 < len(self._kinds) else None
        return Portion(name, [_encode(row) for row in found.rows], following)


__all__ = ["RECORDS_AT_ONCE", "PersonalRecords", "Portion", "Read", "RecordKind", "Records"]
