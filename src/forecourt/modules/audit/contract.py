"""What other modules and the outside may know of audit: an entry, and what a check of a chain found."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import msgspec

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


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was done. `details` are the event's fields; `changes` in them says each field's before and after."""

    seq: int
    at: datetime
    action: str
    actor: AuditActor
    object: AuditObject
    details: msgspec.Raw
    address: str
    """Network address; empty for the house itself."""
    trace_id: str
    hash: str
    """SHA-256 over this entry and the hash before it, in hexadecimal."""


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


__all__ = ["HOUSE", "AuditActor", "AuditEntry", "AuditObject", "Fault", "Proof"]
