"""What a module tells somebody of all that it keeps of them."""

from __future__ import annotations

from typing import Any

import msgspec

from forecourt.kernel.context import Context
from forecourt.kernel.records import PersonalRecords


async def everything(kept: PersonalRecords, ctx: Context) -> dict[str, list[dict[str, Any]]]:
    """All portions, joined by kind, which have an end."""
    told: dict[str, list[dict[str, Any]]] = {}
    after: str | None = None
    for _ in range(1_000):
        portion = await kept.records(ctx, after)
        told.setdefault(portion.kind, []).extend(msgspec.json.decode(r) for r in portion.records)
        if portion.after is None:
            return told
        after = portion.after
    raise AssertionError("the records have no end")
