"""Webhooks to an organisation's programs, signed as standardwebhooks.com says: `webhook-id`, `-timestamp`, `-signature`."""

from __future__ import annotations

import hmac
from base64 import b64encode
from hashlib import sha256

from forecourt.kernel.clock import Clock
from forecourt.kernel.egress import Egress
from forecourt.modules.notifications.channels import NO_QUEUE, Message, NotTaken

KEY_PREFIX = "whsec_"


def shown_key(key: bytes) -> str:
    """A signing key as its owner gets to see it, once."""
    return KEY_PREFIX + b64encode(key).decode()


def signature(key: bytes, id: str, timestamp: int, body: bytes) -> str:
    """`v1,<base64>` of HMAC-SHA256 over `id.timestamp.body`."""
    return "v1," + b64encode(hmac.digest(key, f"{id}.{timestamp}.".encode() + body, sha256)).decode()


class Webhook:
    """One endpoint."""

    place = NO_QUEUE

    def __init__(self, name: str, key: bytes, egress: Egress, clock: Clock) -> None:
        self.name = name
        self._key = key
        self._egress = egress
        self._clock = clock

    async def carry(self, message: Message) -> None:
        """Taken is what is answered with 2xx. A redirect is not followed."""
        body, timestamp = message.content.body.encode(), int(self._clock.now().timestamp())
        answer = await self._egress.post(
            message.recipient,
            body,
            {
                "Content-Type": "application/json",
                "User-Agent": "Forecourt-Webhook/1",
                "webhook-id": str(message.id),
                "webhook-timestamp": str(timestamp),
                "webhook-signature": signature(self._key, str(message.id), timestamp, body),
            },
        )
        if not 200 <= answer.status < 300:
            raise NotTaken(f"the endpoint answered {answer.status}")
