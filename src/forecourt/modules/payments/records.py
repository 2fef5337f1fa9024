"""What payments keep of a person, told to that person (PE-8)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TypeVar, get_args
from uuid import UUID

import msgspec

from forecourt.kernel.context import Context
from forecourt.kernel.db import Query
from forecourt.kernel.paging import Keyset
from forecourt.kernel.records import RECORDS_AT_ONCE, Read, RecordKind, Records
from forecourt.modules.payments import personal
from forecourt.modules.payments.service import PaymentsService

R = TypeVar("R", bound=msgspec.Struct)
K = TypeVar("K", bound=tuple[object, ...])


def records(service: PaymentsService) -> Records:
    def kind(name: str, query: Query[R], key: type[K], key_of: Callable[[R], K]) -> RecordKind:
        """`key`: the columns that the query is sorted by."""
        keyset = Keyset(f"all {name} of a person", key)
        beginning = (None,) * len(get_args(key))

        async def read(ctx: Context, after: str) -> Read:
            rows = await service.kept_of(ctx, query, keyset.decode(after or None) or beginning, RECORDS_AT_ONCE + 1)
            page = keyset.page(rows, RECORDS_AT_ONCE, key_of)
            return Read(page.items, page.next_cursor or "")

        return RecordKind(name, read)

    return Records(
        kind("wallets", personal.OWN_WALLETS, tuple[UUID, str], lambda w: (w.organisation_id, w.currency)),
        kind("credits", personal.OWN_CREDITS, tuple[UUID, datetime, UUID], lambda c: (c.organisation_id, c.at, c.id)),
        kind(
            "wallet_entries",
            personal.OWN_ENTRIES,
            tuple[UUID, datetime, UUID, int],
            lambda e: (e.organisation_id, e.at, e.transfer_id, e.seq),
        ),
        kind("payments", personal.OWN_PAYMENTS, tuple[UUID, UUID], lambda p: (p.organisation_id, p.id)),
        kind("charges", personal.OWN_CHARGES, tuple[UUID, UUID, UUID], lambda c: (c.organisation_id, c.payment_id, c.id)),
        kind("refunds", personal.OWN_REFUNDS, tuple[UUID, UUID, UUID], lambda r: (r.organisation_id, r.payment_id, r.id)),
        kind(
            "credits_set_aside",
            personal.OWN_AUTHORISATIONS,
            tuple[UUID, datetime, UUID],
            lambda a: (a.organisation_id, a.at, a.id),
        ),
        kind(
            "promo_codes_used",
            personal.OWN_REDEMPTIONS,
            tuple[UUID, UUID, UUID],
            lambda r: (r.organisation_id, r.payment_id, r.charge_id),
        ),
    )
