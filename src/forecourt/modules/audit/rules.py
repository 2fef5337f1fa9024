"""The chain: how an entry is sealed, what of it may be erased, which objects it mentions, and where a chain breaks. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from uuid import UUID

import msgspec

from forecourt.modules.audit.contract import AuditObject, Erasable, Fault

START = hashlib.sha256(b"forecourt audit chain 1").digest()
"""What the first entry follows."""
SEALED, ADDRESS = 15, 10
"""How many fields of an entry a seal covers, and which of them is the address."""
MAX_MENTIONS = 50
FORMULA_SIGNS = "=+-@\t\r\n＝＋－＠"
"""What a spreadsheet takes for the beginning of a formula, full-width forms too."""

_encode = msgspec.json.Encoder().encode


class Entry(msgspec.Struct, frozen=True):
    """An entry as it is kept. The order of the fields up to `details` is part of the seal."""

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
    """The event's fields, without those in `words`."""
    hash: bytes = b""
    address_salt: bytes | None = None
    """None when there is no address: there was none, or it is erased."""
    address_digest: bytes | None = None
    """Empty when there was no address. None: sealed by release 0.1, whose seals cover the address itself."""
    words: str | None = None
    """What somebody wrote about a person: fields of the event, as JSON."""
    words_salt: bytes | None = None
    words_digest: bytes | None = None
    xid: int | None = None
    """With event and time, where the event lies in the log. Not sealed."""


def covered(text: str, salt: bytes | None) -> bytes:
    """What a seal covers of a text that may be erased: a digest, which tells nothing once the salt is gone. Empty without a
    salt."""
    return b"" if salt is None else hashlib.sha256(salt + text.encode()).digest()


def seal(entry: Entry, before: bytes) -> bytes:
    """SHA-256 over the hash before and every field of `entry` up to `details`, the address as it is `covered`, and the words."""
    fields = list(msgspec.structs.astuple(entry)[:SEALED])
    fields[2] = entry.at.astimezone(UTC).isoformat(timespec="microseconds")
    if entry.address_digest is not None:
        fields[ADDRESS] = entry.address_digest.hex()
        fields.append((entry.words_digest or b"").hex())
    return hashlib.sha256(before + _encode(fields)).digest()


def is_sound(entry: Entry, before: bytes) -> bool:
    """Whether `entry` is as it was sealed behind an entry with the hash `before`, but for what is erased."""
    if seal(entry, before) != entry.hash:
        return False
    if entry.address_digest is None:
        return entry.address_salt is entry.words is entry.words_salt is entry.words_digest is None
    return _as_covered(entry.address, entry.address_salt, entry.address_digest) and _as_covered(
        entry.words or "", entry.words_salt, entry.words_digest or b""
    )


def _as_covered(text: str, salt: bytes | None, digest: bytes) -> bool:
    """Without a salt there is no text: there was none, or it is erased."""
    return not text if salt is None else covered(text, salt) == digest


def erased(entry: Entry) -> list[Erasable]:
    """What an entry said and does not say any more."""
    gone = (
        (Erasable.ADDRESS, entry.address_digest and entry.address_salt is None),
        (Erasable.WORDS, entry.words_digest and entry.words_salt is None),
    )
    return [part for part, is_gone in gone if is_gone]


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
        if not is_sound(entry, before):
            return Fault(entry.seq, "does not match its seal: it, or the entry before it, was changed")
        seq, before = entry.seq, entry.hash
    return None


def follows(entry: Entry, before: bytes | None) -> bool:
    """Whether `entry` is as it was sealed behind an entry with the hash `before`; None when that entry is not there."""
    return before is not None and is_sound(entry, before)


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
