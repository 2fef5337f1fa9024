"""GET /v1/orgs/{org_id}/audit and its proof."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from forecourt.kernel.context import Context
from forecourt.kernel.http.operation import Api, get, staff
from forecourt.kernel.paging import Page, Paged
from forecourt.modules.audit.contract import AuditEntry, AuditObject, Proof
from forecourt.modules.audit.service import AuditService

Instant = Annotated[datetime, Meta(tz=True)]
ObjectRef = Annotated[
    str,
    Meta(
        min_length=32,
        max_length=80,
        pattern=r"^([a-z_]{1,40}:)?[0-9a-fA-F]{8}-?([0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}$",
        description="`booking:<id>`, or the id alone",
    ),
]
Action = Annotated[str, Meta(max_length=60, pattern=r"^[a-z_]+(\.[a-z_]+)?$", description="`booking.cancelled`, or `booking`")]


class AuditQuery(Paged, rename={"from_": "from"}):
    object: ObjectRef | None = None
    actor: UUID | None = None
    action: Action | None = None
    from_: Instant | None = None
    to: Instant | None = None


class ProofQuery(msgspec.Struct, forbid_unknown_fields=True):
    noted: (
        Annotated[str, Meta(min_length=64, max_length=64, pattern="^[0-9a-f]+$", description="`head` of an earlier proof")] | None
    ) = None


class AuditApi(Api):
    tag = "Audit"

    def __init__(self, service: AuditService) -> None:
        self._service = service

    @get("/v1/orgs/{org_id}/audit", access=staff("audit.read"))
    async def entries(self, ctx: Context, org_id: UUID, query: AuditQuery) -> Page[AuditEntry]:
        """Who did what to which object, newest first.

        `object` narrows to entries that mention the object, `actor` to a person or a key; `from` is included, `to` is not.
        """
        return await self._service.entries(
            ctx,
            about=object_of(query.object) if query.object else None,
            actor=query.actor,
            action=query.action or "",
            start=query.from_,
            end=query.to,
            limit=query.limit,
            cursor=query.cursor,
        )

    @get("/v1/orgs/{org_id}/audit/proof", access=staff("audit.read"))
    async def proof(self, ctx: Context, org_id: UUID, query: ProofQuery) -> Proof:
        """Recomputes the organisation's chain and says whether it is intact.

        Note `head` somewhere else; `noted` later proves that everything up to it is unchanged.
        """
        return await self._service.verify(ctx, noted=query.noted or "")


def object_of(ref: str) -> AuditObject:
    """`booking:<id>` or `<id>`."""
    kind, _, id = ref.rpartition(":")
    return AuditObject(kind, UUID(id))
