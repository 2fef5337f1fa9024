"""E-mail addresses: read, tidied, and folded into the key by which two of them are the same."""

from __future__ import annotations

import unicodedata

from email_validator import EmailNotValidError, validate_email
from msgspec import Struct

from forecourt.kernel.errors import Invalid


class Address(Struct, frozen=True):
    email: str
    """As its owner writes it, tidied."""
    key: str
    """The same for every way of writing it."""


def fold(email: str) -> str:
    return unicodedata.normalize("NFKC", email.strip()).casefold()


def read_address(text: str, path: str = "email") -> Address:
    """Raises Invalid at `path`. No network is asked: whether a mailbox exists is seen when its owner confirms."""
    try:
        email = validate_email(text.strip(), check_deliverability=False, globally_deliverable=False).normalized
    except EmailNotValidError as e:
        raise Invalid.field(path, str(e)) from None
    if "." not in email.rpartition("@")[2] or len(email) > 254:
        raise Invalid.field(path, "not a full e-mail address, such as ada@example.org")
    return Address(email, fold(email))


def key_of(text: str) -> str:
    """The key for looking an address up. What is no address gets a key that nothing has."""
    try:
        return read_address(text).key
    except Invalid:
        return fold(text)
