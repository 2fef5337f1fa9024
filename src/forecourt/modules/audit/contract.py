"""What other modules and the outside may know of audit: an entry, what a check of a chain found, an export."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from uuid import UUID

import msgspec

from forecourt.kernel.errors import Invalid
from forecourt.kernel.events import Event

HOUSE = UUID(int=0)
"""The chain of what happened to no organisation: accounts and sessions."""


class AuditActor(msgspec.Struct, frozen=True):
    """Who acted: a person, an API key, or a part of the house by its name."""

    kind: str
    account_id: UUID | None = None
    key_id: UUID | None = None
    service: str = ""


class AuditObject(msgspec.Struct, frozen=True):
    """What it was done to: `booking`, `venue`, `account` and its id."""

    kind: str
    id: UUID | None = None


class Erasable(StrEnum):
    """What an entry says of a person, and says no more when that person's account is erased (PE-8)."""

    ADDRESS = "address"
    WORDS = "words"
    """What somebody wrote about them."""


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was done. `details` are the event's fields; `changes` in them says each field's before and after."""

    seq: int
    at: datetime
    action: str
    actor: AuditActor
    object: AuditObject
    details: msgspec.Raw
    address: str
    """Network address; empty for the house itself, and when it is `erased`."""
    trace_id: str
    hash: str
    """SHA-256 over this entry and the hash before it, in hexadecimal."""
    erased: list[Erasable] = []
    """What is gone since somebody's account was erased. The rest is as it was sealed."""


class ExportedEntry(AuditEntry, frozen=True, kw_only=True):
    """An entry that leaves the house. `intact`: neither it nor the entry before it was changed or is gone. What is `erased`
    was no change."""

    intact: bool


class ExportFormat(StrEnum):
    CSV = "csv"
    JSONL = "jsonl"


class ExportTooLarge(Invalid):
    code = "export_too_large"
    title = "That is too much for one export"


class AuditExported(Event, name="audit.exported", frozen=True, kw_only=True):
    """Somebody took entries of the record out of the house: which, in which form, and where the chain ended then."""

    organisation_id: UUID
    format: ExportFormat
    start: datetime
    end: datetime
    about: str = ""
    """`booking:<id>` when only what mentions one object was asked for."""
    by: str = ""
    """The person's or key's id when only their entries were."""
    action: str = ""
    entries: int
    head: str


class Fault(msgspec.Struct, frozen=True):
    """Where a chain is broken, and how."""

    seq: int
    what: str


class Proof(msgspec.Struct, frozen=True):
    """The state of one chain. `head` is the last entry's hash: noted elsewhere, it later proves that all before is unchanged."""

    organisation_id: UUID
    entries: int
    head: str
    intact: bool
    fault: Fault | None = None
    erased: int = 0
    """Of so many entries something is erased, because somebody's account is: no fault."""


__all__ = [
    "HOUSE",
    "AuditActor",
    "AuditEntry",
    "AuditExported",
    "AuditObject",
    "Erasable",
    "ExportFormat",
    "ExportTooLarge",
    "ExportedEntry",
    "Fault",
    "Proof",
]
