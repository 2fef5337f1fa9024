"""The outermost layer: request ids, traces, security headers, CORS, metrics, and a last answer to anything that escaped."""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any

import msgspec
import structlog

from forecourt.kernel import telemetry
from forecourt.kernel.errors import Internal
from forecourt.kernel.log import TRACE
from forecourt.kernel.metrics import METHODS, Metrics
from forecourt.kernel.telemetry import Side, trace_id_of

log = structlog.get_logger("forecourt.http")

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

SLOW_S = 1.0


def policy(assets: str = "") -> bytes:
    """Where pages may get anything from: the house, and `assets`, the one address beside it that keeps its static files."""
    files = f" {assets}/static/" if assets else ""
    return (
        f"default-src 'none'; script-src 'self'{files}; style-src 'self'{files}; img-src 'self' data: blob:{files}; "
        f"media-src 'self' blob:; font-src 'self'{files}; connect-src 'self'; manifest-src 'self'; worker-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ).encode()


_REQUEST_ID = re.compile(rb"^[A-Za-z0-9_.:-]{1,80}$")
_FIXED: list[tuple[bytes, bytes]] = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"strict-origin-when-cross-origin"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(self), payment=(), geolocation=(self)"),
]
_CORS_METHODS = b"GET, HEAD, POST, PUT, PATCH, DELETE"
_CORS_HEADERS = b"authorization, content-type, idempotency-key, if-match, if-none-match, x-api-key, x-request-id, traceparent"
_CORS_EXPOSED = b"etag, idempotent-replayed, ratelimit, ratelimit-policy, retry-after, x-request-id"


class Proxies:
    """The networks whose `X-Forwarded-For` is believed."""

    def __init__(self, networks: Sequence[str]) -> None:
        self._networks = [ip_network(n, strict=False) for n in networks]

    def address(self, peer: str, forwarded: str | None) -> str:
        """Where a request comes from: the last address that none of our own proxies added."""
        if forwarded is None or not self._trusted(peer):
            return peer
        address = peer
        for hop in reversed(forwarded.split(",")):
            address = hop.strip()
            if not self._trusted(address):
                break
        return address[:64]

    def _trusted(self, address: str) -> bool:
        try:
            ip = ip_address(address)
        except ValueError:
            return False
        if isinstance(ip, IPv6Address):
            ip = ip.ipv4_mapped or ip
        return any(ip in network for network in self._networks)


class Front:
    """Wraps the whole application."""

    def __init__(
        self,
        app: App,
        metrics: Metrics,
        *,
        origins: Sequence[str],
        proxies: Sequence[str],
        strict_transport: bool,
        assets: str = "",
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._origins = frozenset(o.encode("latin-1") for o in origins)
        self._proxies = Proxies(proxies)
        self._fixed = [*_FIXED, (b"content-security-policy", policy(assets))]
        if strict_transport:
            self._fixed.append((b"strict-transport-security", b"max-age=63072000; includeSubDomains"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: PLR0912, PLR0915 - one pass over the headers
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        request_id = traceparent = origin = forwarded = None
        for name, value in headers:
            if name == b"x-request-id":
                request_id = value
            elif name == b"traceparent":
                traceparent = value
            elif name == b"origin":
                origin = value
            elif name == b"x-forwarded-for":
                forwarded = value
        trace_id = trace_id_of(traceparent.decode("latin-1") if traceparent else None)
        if request_id is None or not _REQUEST_ID.match(request_id):
            request_id = trace_id.encode()
        scope["fc.trace"] = trace_id
        scope["fc.address"] = self._address(scope, forwarded)
        more = [*self._fixed, (b"x-request-id", request_id)]
        if origin is not None and origin in self._origins:
            more += [
                (b"access-control-allow-origin", origin),
                (b"vary", b"origin"),
                (b"access-control-expose-headers", _CORS_EXPOSED),
            ]
            if scope["method"] == "OPTIONS":
                await _preflight(send, more)
                return
        status = 0

        async def answer(message: dict[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), *more]
            await send(message)

        told = TRACE.set(trace_id)
        try:
            if telemetry.enabled():
                await self._traced(scope, receive, answer, traceparent)
            else:
                await self._app(scope, receive, answer)
        except Exception as e:
            log.error("request_escaped", path=scope["path"], error=type(e).__name__, exc_info=e)
            if status == 0:
                status = 500
                body = msgspec.json.encode(Internal().document(scope["fc.trace"]))
                kind = (b"content-type", b"application/problem+json")
                await answer({"type": "http.response.start", "status": 500, "headers": [kind]})
                await answer({"type": "http.response.body", "body": body})
        finally:
            took = time.perf_counter() - began
            route = scope.get("fc.route", "other")
            self._metrics.answered(scope["method"], route, status, took)
            if took > SLOW_S and not route.endswith("/live"):
                log.warning("request_slow", route=route, method=scope["method"], status=status, took_ms=round(took * 1000))
            TRACE.reset(told)

    async def _traced(self, scope: Scope, receive: Receive, send: Send, traceparent: bytes | None) -> None:
        """The same with a span around it, named by the route once that is known: a path may hold what is nobody's business."""
        method = scope["method"] if scope["method"] in METHODS else "other"
        above = traceparent.decode("latin-1") if traceparent else ""
        with telemetry.span(method, above, side=Side.SERVER, trace_id=scope["fc.trace"]) as span:

            async def answer(message: dict[str, Any]) -> None:
                if message["type"] == "http.response.start" and span is not None:
                    telemetry.answered(span, method, scope.get("fc.route", "other"), message["status"])
                await send(message)

            await self._app(scope, receive, answer)

    def _address(self, scope: Scope, forwarded: bytes | None) -> str:
        client = scope.get("client")
        return self._proxies.address(client[0] if client else "", forwarded.decode("latin-1") if forwarded is not None else None)


async def _preflight(send: Send, headers: list[tuple[bytes, bytes]]) -> None:
    more = [
        (b"access-control-allow-methods", _CORS_METHODS),
        (b"access-control-allow-headers", _CORS_HEADERS),
        (b"access-control-max-age", b"600"),
    ]
    await send({"type": "http.response.start", "status": 204, "headers": [*headers, *more]})
    await send({"type": "http.response.body", "body": b""})
