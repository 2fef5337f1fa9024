"""GET /v1/orgs/{org_id}/audit, its proof, and its export."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from forecourt.kernel.context import Context
from forecourt.kernel.errors import MethodNotAllowed
from forecourt.kernel.http.operation import Api, By, Limit, Request, Streamed, get, staff
from forecourt.kernel.paging import Page, Paged
from forecourt.modules.audit.contract import AuditEntry, AuditObject, ExportFormat, ExportTooLarge, Proof
from forecourt.modules.audit.leaving import TYPES, file_name, written
from forecourt.modules.audit.service import AuditService

EXPORTS = (Limit("60/hour", By.ACCOUNT),)
PROOFS = (Limit("60/hour", By.ACCOUNT),)
"""Each reads a whole chain, however long it is."""

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


class ExportQuery(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, rename={"from_": "from"}):
    format: ExportFormat = ExportFormat.CSV
    object: ObjectRef | None = None
    actor: UUID | None = None
    action: Action | None = None
    from_: Instant | None = None
    to: Instant | None = None


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

    @get(
        "/v1/orgs/{org_id}/audit/export",
        access=staff("audit.read"),
        problems=(ExportTooLarge,),
        limits=EXPORTS,
        content_type="text/csv, application/jsonl",
    )
    async def export(self, ctx: Context, request: Request, org_id: UUID, query: ExportQuery) -> Streamed:
        """The entries as a file: CSV for a spreadsheet, or JSON lines.

        Oldest first, at most 366 days and 100,000 entries; without `from` and `to`, the last 366 days. `intact` says of each
        entry whether it is as it was sealed, `erased` what is gone because somebody's account was erased; a number that is left
        out in an export without filters is an entry that is gone. `X-Total-Count` says how many there are, `X-Audit-Head` where
        the chain ends. A file that breaks off breaks the connection. In CSV a cell that a spreadsheet would run has an apostrophe
        in front; JSON lines are exact. The export is an entry itself.
        """
        if request.scope["method"] == "HEAD":
            raise MethodNotAllowed("every export is recorded, so none is begun for its headers alone")
        export = await self._service.export(
            ctx,
            query.format,
            about=object_of(query.object) if query.object else None,
            actor=query.actor,
            action=query.action or "",
            start=query.from_,
            end=query.to,
        )
        headers = {
            "Content-Disposition": f'attachment; filename="{file_name(export, query.format)}"',
            "Cache-Control": "no-store",
            "X-Total-Count": str(export.entries),
            "X-Audit-Head": export.head,
        }
        return Streamed(written(export, query.format), TYPES[query.format], headers)

    @get("/v1/orgs/{org_id}/audit/proof", access=staff("audit.read"), limits=PROOFS)
    async def proof(self, ctx: Context, org_id: UUID, query: ProofQuery) -> Proof:
        """Recomputes the organisation's chain and says whether it is intact.

        Note `head` somewhere else; `noted` later proves that everything up to it is unchanged.
        """
        return await self._service.verify(ctx, noted=query.noted or "")


def object_of(ref: str) -> AuditObject:
    """`booking:<id>` or `<id>`."""
    kind, _, id = ref.rpartition(":")
    return AuditObject(kind, UUID(id))
