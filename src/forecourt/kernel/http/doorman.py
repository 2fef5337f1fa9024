"""Who comes to a process that is one of several shows that the gateway let it in. Everybody else is answered 401.

The gateway adds `X-Forecourt-Gateway` to what it lets through, and throws away what a client puts there. Its value is a secret
that the gateway and the processes behind it share (`FORECOURT_GATEWAY_KEYS`). It is taken off a request here: nothing behind the
doorman can log it, trace it or send it on. Calls between processes have their own door, and their own proof (`peers.py`).
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Sequence

import msgspec

from forecourt.kernel.errors import Unauthenticated
from forecourt.kernel.http.front import App, Front, Receive, Scope, Send
from forecourt.kernel.metrics import Metrics
from forecourt.kernel.settings import Secret

HEADER = "x-forecourt-gateway"
SERVED = "x-forecourt-organisation"
"""In the answer to somebody who acts for an organisation: which. The gateway counts it, and takes it off."""
HEALTH = frozenset({"/livez", "/readyz", "/metrics"})
"""Probes of a container engine and Prometheus ask each process by itself, and can prove nothing. These say how the process is and
nothing of anybody; the gateway leads nobody to /metrics, and the network says who else comes there. Who shows something, though,
hears whether it is taken: the gateway leads nobody to a process that would turn everybody away."""
CHALLENGE = 'Gateway realm="forecourt"'
_HEADER = HEADER.encode()


def refusal() -> Unauthenticated:
    """What somebody hears who came by another way."""
    return Unauthenticated("this process is reached through the gateway only")


class GatewayKeys:
    """What a gateway may show. All are good: while they rotate, gateways and services do not change in one moment."""

    def __init__(self, keys: Sequence[Secret]) -> None:
        """Raises ValueError without a key: nobody could come in."""
        if not keys:
            raise ValueError("a doorman needs at least one key (FORECOURT_GATEWAY_KEYS)")
        self._keys = [key.reveal().encode() for key in keys]

    def know(self, shown: bytes) -> bool:
        """Whether it is one of the keys. How long that takes does not say how much of it was right."""
        known = False
        for key in self._keys:
            known |= hmac.compare_digest(shown, key)
        return known


class Doorman:
    """`app` for who comes through the gateway. No byte of anybody else's body is read."""

    def __init__(self, app: App, keys: GatewayKeys, metrics: Metrics) -> None:
        self._app = app
        self._keys = keys
        # Refusals are counted, and carry a request id and the headers of every other answer.
        self._refuse = Front(_refuse, metrics, origins=(), proxies=(), strict_transport=False)

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] == "http" and not self._lets_in(scope):
            return self._refuse(scope, receive, send)
        return self._app(scope, receive, send)

    def _lets_in(self, scope: Scope) -> bool:
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        for place, (name, value) in enumerate(headers):
            if name == _HEADER:
                del headers[place]
                return self._keys.know(value)
        return scope["path"] in HEALTH


async def _refuse(scope: Scope, _receive: Receive, send: Send) -> None:
    problem = refusal()
    body = msgspec.json.encode(problem.document(scope["fc.trace"]))
    headers = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        (b"www-authenticate", CHALLENGE.encode()),
    ]
    await send({"type": "http.response.start", "status": problem.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
