"""The chain: how an entry is sealed, which objects it mentions, and where a chain breaks. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from uuid import UUID

import msgspec

from forecourt.modules.audit.contract import AuditObject, Fault

START = hashlib.sha256(b"forecourt audit chain 1").digest()
"""What the first entry follows."""
MAX_MENTIONS = 50
FORMULA_SIGNS = "=+-@\t\r\n＝＋－＠"
"""What a spreadsheet takes for the beginning of a formula, full-width forms too."""

_encode = msgspec.json.Encoder().encode


class Entry(msgspec.Struct, frozen=True):
    """An entry as it is kept. The order of the fields is part of the seal: new ones go to the end, with a new `START`."""

    organisation_id: UUID
    seq: int
    at: datetime
    event_id: UUID
    name: str
    version: int
    actor_kind: str
    account_id: UUID | None
    key_id: UUID | None
    service: str
    address: str
    trace_id: str
    object_kind: str
    object_id: UUID | None
    details: str
    hash: bytes = b""


def seal(entry: Entry, before: bytes) -> bytes:
    """SHA-256 over the hash before and every field of `entry` but its own hash."""
    fields = list(msgspec.structs.astuple(entry)[:-1])
    fields[2] = entry.at.astimezone(UTC).isoformat(timespec="microseconds")
    return hashlib.sha256(before + _encode(fields)).digest()


def link(entries: Iterable[Entry], before: bytes) -> list[Entry]:
    """The entries with their hashes, the first following `before`."""
    linked: list[Entry] = []
    for entry in entries:
        before = seal(entry, before)
        linked.append(msgspec.structs.replace(entry, hash=before))
    return linked


def break_in(entries: Iterable[Entry], seq: int, before: bytes) -> Fault | None:
    """The first fault of consecutive entries that should follow number `seq` with hash `before`."""
    for entry in entries:
        if entry.seq != seq + 1:
            return Fault(seq + 1, "is missing" if entry.seq > seq + 1 else "is there twice")
        if seal(entry, before) != entry.hash:
            return Fault(entry.seq, "does not match its seal: it, or the entry before it, was changed")
        seq, before = entry.seq, entry.hash
    return None


def follows(entry: Entry, before: bytes | None) -> bool:
    """Whether `entry` is as it was sealed behind an entry with the hash `before`; None when that entry is not there."""
    return before is not None and seal(entry, before) == entry.hash


def as_cell(text: str) -> str:
    """`text` as a cell that no spreadsheet runs: one that looks like a formula gets an apostrophe in front."""
    return f"'{text}" if text.startswith(tuple(FORMULA_SIGNS)) else text


def mentions(details: Mapping[str, object]) -> list[AuditObject]:
    """Every object that the fields of an event name: `booking_id` is a booking, `resource_ids` are resources.

    Verifying asks this of entries of any age: what is found here may become more for new events, never for old ones.
    """
    found: list[AuditObject] = []
    for field, value in details.items():
        if field == "organisation_id":
            continue
        if field.endswith("_id") and isinstance(value, str):
            found += _object(field.removesuffix("_id"), value)
        elif field.endswith("_ids") and isinstance(value, list):
            for one in value:
                found += _object(field.removesuffix("_ids"), one)
    return found[:MAX_MENTIONS]


def subject(name: str, found: list[AuditObject]) -> AuditObject:
    """What the event `name` happened to: the object of its own kind, else the first it mentions."""
    kind = name.partition(".")[0]
    return next((o for o in found if o.kind == kind), found[0] if found else AuditObject(kind))


def _object(kind: str, text: object) -> list[AuditObject]:
    try:
        return [AuditObject(kind, UUID(str(text)))]
    except ValueError:
        return []
