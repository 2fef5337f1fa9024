"""What identity keeps of a person, told to that person (PE-8)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, get_args
from uuid import UUID

import msgspec

from forecourt.kernel.context import Context
from forecourt.kernel.db import ModuleDatabase, Query
from forecourt.kernel.paging import Keyset
from forecourt.kernel.records import RECORDS_AT_ONCE, Read, RecordKind, Records
from forecourt.modules.identity.queries import records as queries
from forecourt.modules.identity.service.sessions import acting, person_of

R = TypeVar("R", bound=msgspec.Struct)
K = TypeVar("K", bound=tuple[object, ...])


def records(db: ModuleDatabase) -> Records:
    """Accounts are looked up whatever the organisation: the house's own tables, which stay on one server."""

    def kind(name: str, query: Query[R], key: type[K], key_of: Callable[[R], K]) -> RecordKind:
        """`key`: the columns that the query is sorted by."""
        keyset = Keyset(f"all {name} of a person", key)
        beginning = (None,) * len(get_args(key))

        async def read(ctx: Context, after: str) -> Read:
            me = person_of(ctx)
            async with db.read(acting(ctx, me)) as tx:
                rows = await tx.all(query, me, *(keyset.decode(after or None) or beginning), RECORDS_AT_ONCE + 1)
            page = keyset.page(rows, RECORDS_AT_ONCE, key_of)
            return Read(page.items, page.next_cursor or "")

        return RecordKind(name, read)

    return Records(
        kind("account", queries.OWN_ACCOUNT, tuple[UUID], lambda a: (a.id,)),
        kind("phone_numbers", queries.OWN_NUMBERS, tuple[str], lambda n: (n.number,)),
        kind("sessions", queries.OWN_SESSIONS, tuple[UUID], lambda s: (s.id,)),
        kind("security_events", queries.OWN_EVENTS, tuple[UUID], lambda e: (e.id,)),
        kind("staff", queries.OWN_PLACES, tuple[UUID], lambda p: (p.organisation_id,)),
        kind("staff_invitations", queries.OWN_INVITATIONS, tuple[UUID, UUID], lambda i: (i.organisation_id, i.id)),
        kind("api_keys_made", queries.OWN_KEYS, tuple[UUID, UUID], lambda k: (k.organisation_id, k.id)),
    )
