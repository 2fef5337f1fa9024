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
from forecourt.kernel.errors import Problem, Unauthenticated
from forecourt.kernel.http.operation import Request
from forecourt.kernel.http.sent import Spool, read_body
from forecourt.kernel.metrics import Metrics

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


PATIENCE = Spool(idle_s=5.0, grace_s=10.0)
"""A call is under way for some seconds; and who can only be told by the whole body whether they are one of us waits no longer."""


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
        request = Request(scope, receive, dict(scope["headers"]), {}, "")
        try:
            body = await read_body(request, MAX_BODY_BYTES, PATIENCE)
        except Problem as problem:  # too long, too slow, or its sender has left
            return _refusal(problem)
        status, more, answer = await self._exchange.handle(scope["path"], headers, body)
        # A bare 401 is the call's; what a module says to its caller, such as of a wrong password, travels as it is.
        return _refusal(Unauthenticated()) if status == 401 and not answer else (status, more, answer)


def _refusal(problem: Problem) -> tuple[int, dict[str, str], bytes]:
    headers = {"content-type": "application/problem+json", **problem.headers}
    return problem.status, headers, msgspec.json.encode(problem.document(""))
