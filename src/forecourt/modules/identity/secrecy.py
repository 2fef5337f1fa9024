"""Tokens, digests and sealing: everything that turns a secret into what may be stored."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

NONCE_BYTES = 12
API_KEY_PREFIX = "fck_"


def digest(token: str) -> bytes:
    """SHA-256 of a token that has 256 random bits, so that no slower hash is needed."""
    return hashlib.sha256(token.encode()).digest()


def new_token() -> str:
    return secrets.token_urlsafe(32)


def new_code() -> str:
    """Six digits."""
    return f"{secrets.randbelow(1_000_000):06}"


def new_placed_token(organisation_id: UUID) -> str:
    """A token that says which organisation to look in; the rest is 256 random bits."""
    return urlsafe_b64encode(organisation_id.bytes + secrets.token_bytes(32)).decode()


def place_of_token(token: str) -> UUID | None:
    """The organisation named in a token of `new_placed_token`; None for anything else."""
    try:
        raw = urlsafe_b64decode(token.encode("ascii"))
    except ValueError:
        return None
    return UUID(bytes=raw[:16]) if len(raw) == 48 else None


def new_api_key() -> str:
    return API_KEY_PREFIX + new_token()


class Vault:
    """Keys derived from the house's secret: one seals, one makes digests of short codes."""

    def __init__(self, secret: str) -> None:
        self._seal = AESGCM(_derive(secret, b"identity: signing keys"))
        self._codes = _derive(secret, b"identity: codes")
        self._names = _derive(secret, b"identity: counters")

    def seal(self, plain: bytes, about: str) -> bytes:
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + self._seal.encrypt(nonce, plain, about.encode())

    def unseal(self, sealed: bytes, about: str) -> bytes | None:
        """None when it was sealed under another secret, about something else, or altered."""
        try:
            return self._seal.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], about.encode())
        except InvalidTag:
            return None

    def code_digest(self, challenge_id: UUID, code: str) -> bytes:
        return hmac.digest(self._codes, challenge_id.bytes + code.encode(), "sha256")

    def counter_key(self, what: str, whose: str) -> bytes:
        """The name of a counter, from which `whose` cannot be read back."""
        return hmac.digest(self._names, f"{what} {whose}".encode(), "sha256")


def _derive(secret: str, purpose: bytes) -> bytes:
    return HKDF(SHA256(), length=32, salt=None, info=purpose).derive(secret.encode())
