"""The ASGI application of one process: a path leads to its `Dispatcher`, by `Routes` when it can, by Litestar otherwise."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec
import structlog

from forecourt.kernel.errors import BadRequest, Internal, MethodNotAllowed, NotFound, Problem
from forecourt.kernel.http.dispatch import Dispatcher, Door, passer_by
from forecourt.kernel.http.front import App, Front
from forecourt.kernel.http.operation import Operation
from forecourt.kernel.http.routes import Routes
from forecourt.kernel.metrics import Metrics

if TYPE_CHECKING:
    from litestar import Litestar, Request, Response
    from litestar.handlers import HTTPRouteHandler
    from litestar.types import ASGIApp

log = structlog.get_logger("forecourt.http")

_CONVERTERS = {UUID: "uuid", str: "str", int: "int", date: "date"}


def site(operations: Sequence[Operation], door: Door) -> ASGIApp:
    """Routes every operation. Raises TypeError when two declare the same method on one path."""
    by_path: dict[str, list[Operation]] = {}
    for op in operations:
        by_path.setdefault(op.path, []).append(op)
    routes = Routes()
    dispatchers: dict[str, Dispatcher] = {}
    for path, ops in by_path.items():
        dispatchers[path] = Dispatcher(path, ops, door)
        routes.add(path, ops[0].path_types, dispatchers[path])
    places = {_route(path, ops[0]): dispatchers[path] for path, ops in by_path.items()}
    unusual = _Unusual(places, door)

    async def serve(scope: Any, receive: Any, send: Any) -> None:
        found = routes.find(scope["method"], scope["path"]) if scope["type"] == "http" else None
        if found is None:
            litestar = unusual.ready or await unusual.prepared()
            await litestar(scope, receive, send)
            return
        dispatcher, scope["path_params"] = found
        await dispatcher(scope, receive, send)

    return serve


class _Unusual:
    """Litestar for what `Routes` does not find.

    It takes as long to prepare as all else of a process, and workers never need it: it is prepared beside the loop for the first
    request that does.
    """

    def __init__(self, places: Mapping[str, Dispatcher], door: Door) -> None:
        self._places = places
        self._door = door
        self._preparing = asyncio.Lock()
        self.ready: Litestar | None = None

    async def prepared(self) -> Litestar:
        async with self._preparing:
            if self.ready is None:
                self.ready = await asyncio.to_thread(self._prepare)
        return self.ready

    def _prepare(self) -> Litestar:
        from litestar import Litestar
        from litestar.exceptions import HTTPException

        def answer(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
            return _answer(request, error, self._door)

        return Litestar(
            route_handlers=[_handler(place, dispatcher) for place, dispatcher in self._places.items()],
            openapi_config=None,
            logging_config=None,
            exception_handlers={Exception: answer, HTTPException: answer},
        )


def front(
    app: ASGIApp, metrics: Metrics, *, origins: Sequence[str], proxies: Sequence[str], strict_transport: bool, assets: str = ""
) -> App:
    inside: App = app  # type: ignore[assignment]
    return Front(inside, metrics, origins=origins, proxies=proxies, strict_transport=strict_transport, assets=assets)


def _route(path: str, op: Operation) -> str:
    """Parameters are named by position, because Litestar wants one name per place in all paths that share a beginning."""
    for position, (name, kind) in enumerate(op.path_types.items()):
        path = path.replace(f"{{{name}}}", f"{{p{position}:{_CONVERTERS[kind]}}}")
    return path


def _handler(path: str, dispatcher: Dispatcher) -> HTTPRouteHandler:
    from litestar.handlers import HTTPRouteHandler
    from litestar.types import ASGIApp

    # The handler takes nothing and returns the dispatcher, which Litestar then calls with the scope: routing is all we ask of it.
    async def handle():  # type: ignore[no-untyped-def]
        return dispatcher

    handle.__annotations__["return"] = ASGIApp
    return HTTPRouteHandler(path, http_method=dispatcher.methods, status_code=200)(handle)  # type: ignore[arg-type]


def _answer(request: Request[Any, Any, Any], error: Exception, door: Door) -> Response[bytes]:
    """What is answered when no operation was reached."""
    from litestar import Response
    from litestar.exceptions import HTTPException, MethodNotAllowedException, NotFoundException

    scope: dict[str, Any] = request.scope  # type: ignore[assignment]
    headers: dict[str, str] = {}
    problem: Problem
    if isinstance(error, NotFoundException):
        problem = NotFound()
    elif isinstance(error, MethodNotAllowedException):
        problem = MethodNotAllowed()
        headers["allow"] = (error.headers or {}).get("allow", "")
    elif isinstance(error, HTTPException) and error.status_code < 500:
        problem = BadRequest()
    else:
        log.error("request_failed", path=scope["path"], error=type(error).__name__, exc_info=error)
        problem = Internal()
    trace_id = scope.get("fc.trace", "")
    path: str = scope["path"]
    wants_page = not path.startswith(("/v1/", "/static/", "/.well-known/")) and "text/html" in request.headers.get("accept", "")
    if wants_page:
        content = door.problem_page(problem, passer_by(scope), trace_id).encode()
        return Response(content, status_code=problem.status, headers=headers, media_type="text/html")
    body = msgspec.json.encode(problem.document(trace_id))
    return Response(body, status_code=problem.status, headers=headers, media_type="application/problem+json")
