"""The side door: signed contract calls from other processes of the house, below `/_contract/`. Nobody else gets past it.

It stands before everything that is for people (pages, tokens, CORS), and a gateway does not lead to it. Whoever sends no
plausible signature is answered before a byte of the body is read.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from forecourt.kernel.contracts import MAX_BODY_BYTES, PREFIX, Exchange
from forecourt.kernel.errors import Problem, TooLarge, Unauthenticated
from forecourt.kernel.metrics import Metrics

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class SideDoor:
    """`app`, with the contracts of `exchange` beside it."""

    def __init__(self, app: App, exchange: Exchange, metrics: Metrics) -> None:
        self._app = app
        self._exchange = exchange
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(PREFIX):
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        status, headers, body = await self._answer(scope, receive)
        self._metrics.answered("POST", self._exchange.route(scope["path"]), status, time.perf_counter() - began)
        fields = [(k.encode("latin-1"), v.encode("latin-1")) for k, v in headers.items()]
        fields.append((b"content-length", str(len(body)).encode()))
        await send({"type": "http.response.start", "status": status, "headers": fields})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, scope: Scope, receive: Receive) -> tuple[int, dict[str, str], bytes]:
        headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]}
        if scope["method"] != "POST" or not self._exchange.plausible(headers):
            return _refusal(Unauthenticated())
        body = await _read(receive)
        if body is None:
            return _refusal(TooLarge())
        status, more, answer = await self._exchange.handle(scope["path"], headers, body)
        return _refusal(Unauthenticated()) if status == 401 else (status, more, answer)


async def _read(receive: Receive) -> bytes | None:
    """The body; None when it is longer than a call may be."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > MAX_BODY_BYTES:
            return None
        if not message.get("more_body"):
            return b"".join(parts)


def _refusal(problem: Problem) -> tuple[int, dict[str, str], bytes]:
    return problem.status, {"content-type": "application/problem+json"}, msgspec.json.encode(problem.document(""))
