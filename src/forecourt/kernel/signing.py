"""Addresses that open one thing until a moment, and nothing else.

    links = Signer(secret, "people exports")
    url = f"/v1/me/export?expires={expires}&signature={links.sign(str(account_id), expires)}"
    links.opens(str(account_id), query.expires, query.signature, clock.now())

What is signed stands in no table: an address that is altered, or too old, opens nothing.
"""

from __future__ import annotations

import hashlib
import hmac
from datetime import datetime

SIGNATURE_CHARS = 32
"""128 bits, as hex."""


class Signer:
    """Of one kind of address. The key that it makes of the house's secret is of use for no other kind."""

    def __init__(self, secret: bytes, kind: str) -> None:
        self._key = hmac.digest(secret, kind.encode(), "sha256")

    def sign(self, what: str, expires: int) -> str:
        """The signature of an address of `what` that works before `expires`, in Unix seconds."""
        return hmac.new(self._key, f"{what}.{expires}".encode(), hashlib.sha256).hexdigest()[:SIGNATURE_CHARS]

    def opens(self, what: str, expires: int | None, presented: str | None, now: datetime) -> bool:
        """Whether an address with this signature works at `now`."""
        if expires is None or presented is None or expires <= now.timestamp():
            return False
        return hmac.compare_digest(self.sign(what, expires).encode(), presented.encode())


__all__ = ["SIGNATURE_CHARS", "Signer"]
