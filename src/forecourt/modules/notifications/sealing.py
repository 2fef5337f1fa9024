"""Secrets at rest and signed links: keys derived from the house's secret."""

from __future__ import annotations

import hmac
import secrets
import unicodedata
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import sha256
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from msgspec import Struct

from forecourt.modules.notifications.contract import Digest, LinkSpent, Topic

NONCE_BYTES = 12
MAC_BYTES = 16
ADDRESS_BYTES = 32
"""Of an address's digest. No topic and no digest has a name of sixteen letters, so an account's link is never as long."""


def _derive(secret: bytes, purpose: bytes) -> bytes:
    return HKDF(SHA256(), length=32, salt=None, info=purpose).derive(secret)


class Vault:
    """Seals what an organisation entrusts to the house. `about` binds a seal to its row: it opens nowhere else."""

    def __init__(self, secret: bytes) -> None:
        self._seal = AESGCM(_derive(secret, b"notifications: providers"))

    def seal(self, plain: bytes, about: UUID) -> bytes:
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + self._seal.encrypt(nonce, plain, about.bytes)

    def unseal(self, sealed: bytes, about: UUID) -> bytes | None:
        """None when it was sealed under another secret, about something else, or altered."""
        try:
            return self._seal.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], about.bytes)
        except InvalidTag:
            return None


class Leave(Struct, frozen=True):
    """What a link in a mail lets its reader end: mails of one topic, or the digest that this mail is."""

    account_id: UUID
    what: Topic | Digest


class LeaveAddress(Struct, frozen=True):
    """A link that lets the owner of an address end all mails to it, where there is no account. `address` is its digest."""

    address: bytes


class Links:
    """Unsubscribe links (RFC 8058): they carry all there is to know, and a signature. They do not expire, as mails do not."""

    def __init__(self, secret: bytes) -> None:
        self._key = _derive(secret, b"notifications: unsubscribe")
        self._addresses = _derive(secret, b"notifications: addresses")

    def digest(self, email: str) -> bytes:
        """Of an address, the same for every way of writing it."""
        folded = unicodedata.normalize("NFKC", email.strip()).casefold()
        return hmac.digest(self._addresses, folded.encode(), sha256)

    def token(self, leave: Leave | LeaveAddress) -> str:
        body = leave.address if isinstance(leave, LeaveAddress) else leave.account_id.bytes + leave.what.value.encode()
        return urlsafe_b64encode(self._mac(body) + body).rstrip(b"=").decode()

    def read(self, token: str) -> Leave | LeaveAddress:
        """Raises LinkSpent."""
        try:
            raw = urlsafe_b64decode(token.encode("ascii") + b"=" * (-len(token) % 4))
            mac, body = raw[:MAC_BYTES], raw[MAC_BYTES:]
            if not hmac.compare_digest(mac, self._mac(body)) or self.token_of(raw) != token:
                raise LinkSpent
            if len(body) == ADDRESS_BYTES:
                return LeaveAddress(body)
            what = body[16:].decode()
            return Leave(UUID(bytes=body[:16]), Topic(what) if what in list(Topic) else Digest(what))
        except ValueError:
            raise LinkSpent from None

    @staticmethod
    def token_of(raw: bytes) -> str:
        return urlsafe_b64encode(raw).rstrip(b"=").decode()

    def _mac(self, body: bytes) -> bytes:
        return hmac.digest(self._key, body, sha256)[:MAC_BYTES]
