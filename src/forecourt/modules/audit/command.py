"""What the command line asks of the record: proofs, without opening a house."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import UUID

from forecourt.kernel.clock import SystemClock
from forecourt.kernel.context import service_context
from forecourt.kernel.db import Database
from forecourt.modules.audit.contract import Proof
from forecourt.modules.audit.service import AuditService


async def proofs(database_url: str, organisation_id: UUID | None, noted: str = "") -> AsyncIterator[Proof]:
    """The proof of one organisation's record, or of every record there is, the house's own first.

    `noted` is the end of that one record as it was noted earlier.
    """
    database = await Database.connect(database_url, None, 2, "forecourt audit")
    try:
        service = AuditService(database.module("audit"), SystemClock())
        if organisation_id is not None:
            yield await service.verify(service_context("audit.verify", organisation_id), noted=noted)
            return
        async for proof in service.verify_all():
            yield proof
    finally:
        await database.close()
