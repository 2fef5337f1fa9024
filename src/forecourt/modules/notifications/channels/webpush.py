"""Web push: encryption for one browser (RFC 8291 in RFC 8188's aes128gcm), and who we are (VAPID, RFC 8292)."""

from __future__ import annotations

import json
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from forecourt.kernel.clock import Clock
from forecourt.kernel.egress import Egress
from forecourt.modules.notifications.channels import NO_QUEUE, Message, NotTaken, RecipientGone, Refused

RECORD = 4096
MAX_PLAIN = 3_900
"""Push services take 4,096 bytes of body; header, padding and tag need some of them."""
TTL_S = 24 * 3600
TOKEN_LIVES = timedelta(hours=12)
_CURVE_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def b64(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    """Raises ValueError."""
    return urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))


def public_point(key: ec.EllipticCurvePublicKey) -> bytes:
    """The 65 bytes of an uncompressed point."""
    return key.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)


def point(data: bytes) -> ec.EllipticCurvePublicKey:
    """Raises ValueError for what is no point of the curve."""
    return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), data)


def encrypt(
    plain: bytes, p256dh: bytes, auth: bytes, *, own: ec.EllipticCurvePrivateKey | None = None, salt: bytes | None = None
) -> bytes:
    """The body of a push to the browser with these keys; `own` and `salt` are fresh unless a test gives them.

    Raises ValueError for keys that are none, and for a message that is too long.
    """
    if len(plain) > MAX_PLAIN:
        raise ValueError("too long for a push")
    own = own or ec.generate_private_key(ec.SECP256R1())
    salt = salt or secrets.token_bytes(16)
    browser, ours = point(p256dh), public_point(own.public_key())
    shared = own.exchange(ec.ECDH(), browser)
    ikm = _hkdf(auth, shared, b"WebPush: info\x00" + p256dh + ours, 32)
    return aes128gcm(plain, ikm, salt, ours)


def aes128gcm(plain: bytes, ikm: bytes, salt: bytes, key_id: bytes) -> bytes:
    """RFC 8188, one record: header and sealed content."""
    key = _hkdf(salt, ikm, b"Content-Encoding: aes128gcm\x00", 16)
    nonce = _hkdf(salt, ikm, b"Content-Encoding: nonce\x00", 12)
    sealed = AESGCM(key).encrypt(nonce, plain + b"\x02", None)
    return salt + RECORD.to_bytes(4) + bytes([len(key_id)]) + key_id + sealed


def _hkdf(salt: bytes, ikm: bytes, info: bytes, length: int) -> bytes:
    return HKDF(hashes.SHA256(), length, salt, info).derive(ikm)


class Vapid:
    """The key by which push services know this installation: derived from the house's secret, so that all processes have it."""

    def __init__(self, secret: bytes, contact: str) -> None:
        seed = HKDF(hashes.SHA256(), 48, None, b"notifications: vapid").derive(secret)
        self._key = ec.derive_private_key(int.from_bytes(seed) % (_CURVE_ORDER - 1) + 1, ec.SECP256R1())
        self._contact = contact
        self.public = b64(public_point(self._key.public_key()))
        """What browsers are given as `applicationServerKey`."""

    def authorization(self, endpoint: str, now: datetime) -> str:
        parts = urlsplit(endpoint)
        head = b64(b'{"typ":"JWT","alg":"ES256"}')
        claims = {"aud": f"{parts.scheme}://{parts.netloc}", "exp": int((now + TOKEN_LIVES).timestamp()), "sub": self._contact}
        signed = f"{head}.{b64(json.dumps(claims, separators=(',', ':')).encode())}"
        r, s = decode_dss_signature(self._key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        return f"vapid t={signed}.{b64(r.to_bytes(32) + s.to_bytes(32))}, k={self.public}"


class WebPush:
    """Sends to the push service that the browser named. The recipient is `endpoint p256dh auth`."""

    name = "web push"
    """Of all push services together; each has a name of its own, see `of`."""
    place = NO_QUEUE

    def __init__(self, vapid: Vapid, egress: Egress, clock: Clock) -> None:
        self._vapid = vapid
        self._egress = egress
        self._clock = clock

    def of(self, recipient: str) -> WebPush:
        """The same for the one push service that the recipient names: what it does not take says nothing about the others."""
        named = WebPush(self._vapid, self._egress, self._clock)
        named.name = f"web push {urlsplit(recipient.partition(' ')[0]).hostname or ''}"
        return named

    async def carry(self, message: Message) -> None:
        endpoint, p256dh, auth = message.recipient.split(" ")
        content = message.content
        body = {
            "id": str(message.id),
            "title": content.subject,
            "body": content.text[:1000],
            "href": content.href,
            "lang": message.locale,
            "tag": message.kind,
        }
        try:
            sealed = encrypt(json.dumps(body, ensure_ascii=False).encode(), unb64(p256dh), unb64(auth))
        except ValueError:
            raise RecipientGone("the browser's keys are none") from None
        answer = await self._egress.post(
            endpoint,
            sealed,
            {
                "Authorization": self._vapid.authorization(endpoint, self._clock.now()),
                "Content-Encoding": "aes128gcm",
                "Content-Type": "application/octet-stream",
                "TTL": str(TTL_S),
                "Urgency": "high" if message.urgent else "normal",
                # The same message sent twice replaces itself while the browser is away.
                "Topic": b64(message.id.bytes),
            },
        )
        match answer.status:
            case 200 | 201 | 202 | 204:
                return
            case 404 | 410:
                raise RecipientGone("the browser takes no more pushes")
            case 400 | 401 | 403 | 413:
                raise Refused(f"the push service refuses it ({answer.status})")
            case _:
                raise NotTaken(f"the push service answered {answer.status}")
