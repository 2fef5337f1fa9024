"""The door: uvicorn hands a connection over when it asks for WebSocket, and picows speaks on it.

One address serves both. `Http` is uvicorn's protocol, with two things it lacks: bytes that came in the same packet as the
handshake are passed on, and a connection that begins a request and does not finish its head is closed, the first request or any
other (how long a body may take is for whoever reads it, `kernel/http/sent.py`). `socket_door` makes the class that
uvicorn calls for the upgrade.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

import httptools
import msgspec
from picows import WSUpgradeRequest, WSUpgradeResponse, WSUpgradeResponseWithListener
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from forecourt.kernel.errors import Problem, Unavailable
from forecourt.kernel.http.dispatch import SESSION_COOKIE
from forecourt.kernel.http.doorman import CHALLENGE, GatewayKeys, refusal
from forecourt.kernel.http.doorman import HEADER as PROOF_HEADER
from forecourt.kernel.http.front import Proxies
from forecourt.kernel.telemetry import trace_id_of
from forecourt.realtime.client import Credentials
from forecourt.realtime.frames import MAX_FRAME_BYTES, SUBPROTOCOL
from forecourt.realtime.server import Realtime

PATH = "/v1/socket"
READ_BUFFER_BYTES = 1024
"""To begin with; it grows for whoever sends more. picows takes 2 KiB at least."""
SEND_BUFFER_BYTES = 128 * 1024
"""In the kernel, for each socket: without a limit it takes megabytes for a client that does not read."""
REQUEST_S = 10.0
"""For the head of a request, and for what still comes of a body after the answer."""

if TYPE_CHECKING:

    class WSProtocol(asyncio.BufferedProtocol):
        """What is used of picows' protocol, which its stubs leave out. A test holds the real one to it."""

        def __init__(
            self,
            host_port: str | None,
            ws_path: str | None,
            is_client_side: bool,
            ws_listener_factory: Callable[[WSUpgradeRequest], WSUpgradeResponseWithListener],
            logger: object,
            disconnect_on_exception: bool,
            websocket_handshake_timeout: float | None,
            enable_auto_ping: bool,
            auto_ping_idle_timeout: float,
            auto_ping_reply_timeout: float,
            auto_ping_strategy: int,
            enable_auto_pong: bool,
            max_frame_size: int,
            extra_headers: object,
            read_buffer_init_size: int,
        ) -> None: ...

        def get_buffer(self, sizehint: int) -> memoryview: ...

        def connection_made(self, transport: asyncio.BaseTransport) -> None: ...
else:
    from picows.picows import WSProtocol

_DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}


class Http(HttpToolsProtocol):
    """HTTP until somebody asks for a WebSocket."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._patience: asyncio.TimerHandle | None = None
        self._mind()

    def _mind(self) -> None:
        """Bytes have ended uvicorn's own patience with a connection on which nothing goes on; from then on it is this one. More
        bytes do not prolong it, the head of a request ends it."""
        begun = self.cycle is not None  # pyright: ignore[reportUnnecessaryComparison] - there is none before the first request
        idle = not begun or self.cycle.response_complete
        if idle and self._patience is None and not self.transport.is_closing():
            self._patience = self.loop.call_later(REQUEST_S, self._impatient)

    def connection_lost(self, exc: Exception | None) -> None:
        self._calm()
        super().connection_lost(exc)

    def on_headers_complete(self) -> None:
        self._calm()
        super().on_headers_complete()

    def _calm(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _impatient(self) -> None:
        self._patience = None
        if not self.transport.is_closing():
            self.transport.close()

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)  # pyright: ignore[reportOptionalMemberAccess] - there while connected
            self._mind()
        except httptools.HttpParserUpgrade as e:
            if not self._should_upgrade():
                self._unsupported_upgrade_warning()
                return
            self.handle_websocket_upgrade()
            rest = data[e.args[0] :]
            taken = self.transport.get_protocol()
            if rest and isinstance(taken, WSProtocol) and not self.transport.is_closing():
                replay(taken, rest)
        except httptools.HttpParserError:
            self.send_400_response("Invalid HTTP request received.")


def replay(protocol: WSProtocol, data: bytes) -> None:
    """Gives bytes that were read before to a protocol that reads into its own buffer."""
    left = memoryview(data)
    while left:
        buffer = protocol.get_buffer(-1)
        taken = min(len(buffer), len(left))
        buffer[:taken] = left[:taken]
        protocol.buffer_updated(taken)
        left = left[taken:]


def socket_door(
    realtime: Realtime,
    public_url: str,
    origins: Sequence[str],
    proxies: Sequence[str],
    gateways: GatewayKeys | None = None,
) -> type[WSProtocol]:
    """The class of protocols that uvicorn makes for `ws=`. `origins` may connect from their pages with a token; where there are
    `gateways`, everybody comes through one of them."""
    own = _origin(public_url)
    allowed = {_origin(o) for o in origins} | {own}
    believed = Proxies(proxies)

    class Door(WSProtocol):
        """What uvicorn calls: the same three arguments as of its own, then connection_made, data_received, set_protocol."""

        def __init__(self, config: object, server_state: Any, app_state: object) -> None:
            del config, app_state
            self._state = server_state
            self._peer = ""
            # picows asks its logger for nothing but to be told things; the client is told of the faults that concern it.
            self._client = client = realtime.client_for(Credentials(), "")
            super().__init__(
                None,  # host and port, of a client
                None,  # path, of a client
                False,  # is_client_side
                self._admit,
                client,
                True,  # disconnect_on_exception
                REQUEST_S,
                False,  # enable_auto_ping: the server's tick does, without a task for each socket
                20,
                20,
                1,
                False,  # enable_auto_pong: pings count as frames
                MAX_FRAME_BYTES,
                None,  # extra headers, of a client
                READ_BUFFER_BYTES,
            )

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self._state.connections.add(self)
            wire = transport.get_extra_info("socket")
            if wire is not None and wire.family != socket.AF_UNIX:
                wire.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
            peer = transport.get_extra_info("peername")
            self._peer = peer[0] if isinstance(peer, tuple) else ""
            super().connection_made(transport)

        def connection_lost(self, exc: Exception | None) -> None:
            self._state.connections.discard(self)
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            replay(self, data)

        def shutdown(self) -> None:
            """uvicorn stops. Clients were told before (`Realtime.drain`); who is still here is cut off."""
            self._client.cut()

        def _admit(self, request: WSUpgradeRequest) -> WSUpgradeResponseWithListener:
            path = request.path.decode("latin-1")
            url = urlsplit(path)
            headers = {name.lower(): value for name, value in request.headers.items()}
            if gateways is not None and not gateways.know(headers.pop(PROOF_HEADER, "").encode()):
                return _tell(refusal(), trace_id_of(headers.get("traceparent")))
            if url.path != PATH:
                return _refuse(HTTPStatus.NOT_FOUND)
            origin = headers.get("origin")
            host = headers.get("host", "")
            same = origin is not None and (_origin(origin) == own or _same_host(origin, host))
            if origin is not None and not same and _origin(origin) not in allowed:
                return _refuse(HTTPStatus.FORBIDDEN)
            if realtime.full:
                return _tell(Unavailable(), trace_id_of(headers.get("traceparent")))
            offered = [p.strip() for p in headers.get("sec-websocket-protocol", "").split(",") if p.strip()]
            client = self._client
            client.address = believed.address(self._peer, headers.get("x-forwarded-for"))
            client.credentials = _credentials(url.query, headers, offered, same_origin=same)
            response = WSUpgradeResponse.create_101_response()
            if SUBPROTOCOL in offered:
                response.headers["Sec-WebSocket-Protocol"] = SUBPROTOCOL
            return WSUpgradeResponseWithListener(response, client)

    return Door


def _refuse(status: HTTPStatus) -> WSUpgradeResponseWithListener:
    return _say(status, {"title": status.phrase, "status": status.value}, {})


def _tell(problem: Problem, trace_id: str) -> WSUpgradeResponseWithListener:
    status = HTTPStatus(problem.status)
    challenge = {"WWW-Authenticate": CHALLENGE} if status == HTTPStatus.UNAUTHORIZED else {}
    return _say(status, problem.document(trace_id), problem.headers | challenge)


def _say(status: HTTPStatus, document: Mapping[str, object], headers: Mapping[str, str]) -> WSUpgradeResponseWithListener:
    told = {"Content-Type": "application/problem+json", **headers}
    return WSUpgradeResponseWithListener(
        WSUpgradeResponse.create_error_response(status, msgspec.json.encode(document), told), None
    )


def _credentials(query: str, headers: dict[str, str], offered: list[str], *, same_origin: bool) -> Credentials:
    """The token of the query, the header or the protocol; a session's cookie only for a page of our own.

    A browser sends cookies wherever a page tells it to connect, and says in `Origin` whose page that was.
    """
    token = parse_qs(query, max_num_fields=20).get("token", [""])[0] if len(query) < 8192 else ""
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if not token and scheme.lower() == "bearer":
        token = value.strip()
    if not token:
        token = next((p.removeprefix("bearer.") for p in offered if p.startswith("bearer.")), "")
    if token:
        return Credentials(unquote(token))
    return Credentials(cookie=_session(headers.get("cookie", "")) if same_origin else "")


def _session(cookies: str) -> str:
    pairs = (pair.partition("=") for pair in cookies.split(";"))
    return next((unquote(value.strip().strip('"')) for name, _, value in pairs if name.strip() == SESSION_COOKIE), "")


def _origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port. What is no origin is nobody's."""
    try:
        parts = urlsplit(url)
        port = parts.port or _DEFAULT_PORTS.get(parts.scheme, 0)
    except ValueError:
        return ("", "", 0)
    return (parts.scheme, (parts.hostname or "").lower(), port)


def _same_host(origin: str, host: str) -> bool:
    """A page is ours when it was loaded from the very host it connects to."""
    scheme, name, port = _origin(origin)
    return bool(name) and (name, port) == _origin(f"{scheme}://{host}")[1:]
