"""From an ASGI scope to an operation and back: who asks, what they sent, what they get, and what went wrong.

Litestar routes; each path has one `Dispatcher` that knows the operations of its methods. Nothing on this way is looked up by
reflection at request time: decoders, checks and encoders are made when the program starts.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import hashlib
import hmac
import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, Protocol, cast
from urllib.parse import parse_qs, parse_qsl, quote, unquote, urlencode
from uuid import UUID

import msgspec
import structlog

from forecourt.kernel.context import ANONYMOUS, Actor, ActorKind, Context
from forecourt.kernel.errors import (
    Forbidden,
    Invalid,
    NotFound,
    Problem,
    Unauthenticated,
    UnsupportedMedia,
)
from forecourt.kernel.faults import as_problem
from forecourt.kernel.http.decode import BodyDecoder, PageQueryDecoder, QueryDecoder
from forecourt.kernel.http.doorman import SERVED
from forecourt.kernel.http.gate import AccountClosed, Gate, KnownVisitor
from forecourt.kernel.http.operation import (
    AccessKind,
    By,
    Download,
    EventStream,
    Html,
    Keyed,
    Kind,
    Limit,
    Operation,
    Person,
    Raw,
    Redirect,
    Reply,
    Request,
    Streamed,
    Visit,
)
from forecourt.kernel.http.sent import Spool, read_body, read_form
from forecourt.kernel.idempotency import MAX_KEY_CHARS, Idempotency, Replay
from forecourt.kernel.limits import Allowance, Limiter, counted_as
from forecourt.kernel.web.addresses import inside

log = structlog.get_logger("forecourt.http")

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Header = tuple[bytes, bytes]

PROBLEM = b"application/problem+json"
SESSION_COOKIE = "fc_session"
VISIT_COOKIE = "fc_visit"
LOCALE_COOKIE = "fc_locale"
THEME_COOKIE = "theme"
TOAST_COOKIE = "fc_toast"
CSRF_FIELD = "csrf_token"
LANGUAGES = ("en", "pt", "ur")
COMPRESS_FROM_BYTES = 1024
STALLED_S = 60.0
"""A client that takes nothing of a download for so long is left."""
Body = bytes | EventStream | Download | Streamed
MAX_COOKIE_BYTES = 8192

_PATH = "/:@!$&'()*+,;="
"""What stands in a path as it is (RFC 3986), beside letters and digits."""
_ADDRESS = _PATH + "?#[]"

NOT_MODIFIED = 304
QUOTE = '"'
_A_VERSION = re.compile('"[0-9]+"')
SERVED_ORGANISATION = "fc.served"
_SERVED = SERVED.encode()

_encode = msgspec.json.Encoder().encode


class EmailUnconfirmed(Forbidden):
    """Until the address is verified an account may look, hold and edit itself (ID-1)."""

    code = "email_unconfirmed"
    title = "Verify your e-mail address first"


class CsrfRefused(Forbidden):
    code = "csrf_refused"
    title = "This form is too old or came from another site"


class ProblemPage(Protocol):
    """Draws a problem as a page."""

    def __call__(self, problem: Problem, visit: Visit | None, trace_id: str) -> str: ...


class Door:
    """What every dispatcher of a process shares."""

    def __init__(
        self,
        gate: Gate,
        idempotency: Idempotency,
        limiter: Limiter,
        *,
        secret: bytes,
        public_url: str,
        limit_addresses: bool,
        secure_cookies: bool,
        problem_page: ProblemPage,
        spool: Spool | None = None,
    ) -> None:
        self.gate = gate
        self.idempotency = idempotency
        self.limiter = limiter
        self.secret = secret
        self.public_url = public_url
        self.limit_addresses = limit_addresses
        self.secure_cookies = secure_cookies
        self.problem_page = problem_page
        self.spool = spool or Spool()

    def csrf_for(self, cookies: Mapping[str, str]) -> str:
        """The token that forms of this browser carry, as long as the same person is signed in there, or nobody.

        Whoever planted a cookie in somebody's browser knows the token of the visit; signing in makes it worthless.
        """
        whose = _encode([cookies.get(VISIT_COOKIE, ""), cookies.get(SESSION_COOKIE, "")])
        return hmac.new(self.secret, b"csrf:" + whose, hashlib.sha256).hexdigest()[:40]

    def cookie(self, name: str, value: str, max_age_s: int | None) -> str:
        """A Set-Cookie value; see `set_cookie`."""
        return set_cookie(name, value, max_age_s, secure=self.secure_cookies)


def set_cookie(name: str, value: str, max_age_s: int | None, *, secure: bool) -> str:
    """A Set-Cookie value: HttpOnly, same-site, for the whole site. `max_age_s` None lasts as long as the browser runs."""
    parts = [f"{name}={quote(value, safe='')}", "Path=/", "HttpOnly", "SameSite=Lax"]
    if max_age_s is not None:
        parts.append(f"Max-Age={max_age_s}")
    if secure:
        parts.append("Secure")
    return "; ".join(parts)


class _Bound:
    """An operation with its decoders."""

    __slots__ = ("account_limits", "address_limits", "body", "form", "op", "query", "special")

    def __init__(self, op: Operation) -> None:
        self.op = op
        self.body = BodyDecoder(op.body) if op.body is not None else None
        queries = PageQueryDecoder if op.declared.kind is Kind.PAGE else QueryDecoder
        self.query = queries(op.query) if op.query is not None else None
        self.form = QueryDecoder(op.form, ignore=frozenset({CSRF_FIELD})) if op.form is not None else None
        self.address_limits = [limit for limit in op.declared.limits if limit.by is By.ADDRESS]
        self.account_limits = [limit for limit in op.declared.limits if limit.by is By.ACCOUNT]
        self.special = op.wants


class Dispatcher:
    """The operations of one path, as an ASGI application."""

    def __init__(self, path: str, operations: Sequence[Operation], door: Door) -> None:
        self.path = path
        self.door = door
        self._bound = {op.method: _Bound(op) for op in operations}
        if len(self._bound) != len(operations):
            raise TypeError(f"{path}: a method is declared twice")
        if "GET" in self._bound:
            self._bound["HEAD"] = self._bound["GET"]

    @property
    def methods(self) -> list[str]:
        return sorted(self._bound)

    def serves(self, method: str) -> bool:
        return method in self._bound

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["fc.route"] = self.path
        bound = self._bound[scope["method"]]
        request = Request(scope, receive, dict(scope["headers"]), {}, scope.get("fc.address", ""))
        visit: Visit | None = None
        try:
            if bound.op.declared.kind is Kind.API:
                status, headers, body = unless_known(request, *await self._api(bound, request))
            elif bound.op.declared.kind is Kind.FILE:
                arguments = self._arguments(bound, request, scope["path_params"])
                status, headers, body = unless_known(request, *encode_result(await bound.op.call(**arguments), 200, request))
            else:
                visit, cookies = await self._visit(request)
                status, headers, body = await self._page(bound, request, visit)
                headers.extend((b"set-cookie", c.encode("latin-1")) for c in cookies)
        except Problem as problem:
            status, headers, body = self.answer_problem(problem, bound.op, visit, scope)
        except Exception as e:
            problem = as_problem(e)
            log.error("request_failed", route=self.path, method=scope["method"], error=type(e).__name__, exc_info=e)
            status, headers, body = self.answer_problem(problem, bound.op, visit, scope)
        finally:
            for file in request.files:
                file.file.close()
        if SERVED_ORGANISATION in scope:
            headers.append((_SERVED, scope[SERVED_ORGANISATION]))
        if isinstance(body, EventStream):
            await _stream(body, status, headers, receive, send)
            return
        if not isinstance(body, Streamed) and status != NOT_MODIFIED:
            headers.append((b"content-length", str(body.length if isinstance(body, Download) else len(body)).encode()))
        if scope["method"] == "HEAD":
            body = b""
        if isinstance(body, Download | Streamed):
            await _send_download(body, status, headers, receive, send)
            return
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    # --- JSON ---

    async def _api(self, bound: _Bound, request: Request) -> tuple[int, list[Header], Body]:
        op = bound.op
        declared = op.declared
        door = self.door
        scope = request.scope
        spent: list[Allowance] = []
        if bound.address_limits and door.limit_addresses:
            spent += await self._spend(bound.address_limits, counted_as(request.address))
        actor, permissions, by_cookie = await self._actor(request)
        if by_cookie and declared.method not in ("GET", "HEAD"):
            self._check_csrf(request, request.header("x-csrf-token"))
        ctx = Context(
            actor=actor,
            trace_id=scope.get("fc.trace", ""),
            address=request.address,
            agent=request.header("user-agent")[:200],
            language=language_of(request.cookies, request.header("accept-language")),
            permissions=permissions,
            organisation_id=actor.key_organisation_id,
        )
        path_params: dict[str, Any] = scope["path_params"]
        ctx = await self._admit(op, ctx, path_params)
        _note_organisation(scope, ctx)
        if bound.account_limits:
            spent += await self._spend(bound.account_limits, actor.account_id or actor.key_id or counted_as(request.address))
        status, headers, body = await self._answer(bound, request, ctx)
        if spent:
            headers += allowance_headers(spent)
        return status, headers, body

    async def _spend(self, limits: Sequence[Limit], who: object) -> list[Allowance]:
        """Counts a use of each limit. Raises TooManyRequests."""
        return [await self.door.limiter.hit(limit.rate, self.path, who) for limit in limits]

    async def _answer(self, bound: _Bound, request: Request, ctx: Context) -> tuple[int, list[Header], Body]:
        """What the operation answers to somebody who was let in."""
        op, declared, scope = bound.op, bound.op.declared, request.scope
        arguments = self._arguments(bound, request, scope["path_params"])
        if "files" in bound.special:
            fields = await self._receive_form(bound, request, arguments)
            if bound.form is not None:
                arguments["form"] = bound.form(fields)
        elif declared.method not in ("GET", "HEAD"):
            request.body = await read_body(request, declared.max_body_bytes, self.door.spool)
        key = request.headers.get(b"idempotency-key") if declared.keyed is Keyed.YES else None
        if bound.body is not None:
            _expect_json(request)
            arguments["body"] = bound.body(request.body)
        if bound.query is not None:
            arguments["query"] = bound.query(scope["query_string"])
        elif scope["query_string"] and "request" not in bound.special:
            name = scope["query_string"].decode("latin-1").split("=", 1)[0].split("&", 1)[0]
            raise Invalid.field(name, "is not known here")
        if key is not None:
            return await self._keyed(op, request, ctx, arguments, key)
        return await self._call(op, request, ctx, arguments)

    async def _receive_form(self, bound: _Bound, request: Request, arguments: dict[str, Any]) -> bytes:
        """Reads a form with files; its text fields as a query string."""
        sent = await read_form(request, bound.op.declared.max_body_bytes, self.door.spool)
        request.files = arguments["files"] = sent.files
        return sent.fields

    async def _call(
        self, op: Operation, request: Request, ctx: Context, arguments: dict[str, Any]
    ) -> tuple[int, list[Header], Body]:
        if "ctx" in op.wants:
            arguments["ctx"] = ctx
        return encode_result(await op.call(**arguments), op.declared.status, request)

    async def _keyed(
        self, op: Operation, request: Request, ctx: Context, arguments: dict[str, Any], raw_key: bytes
    ) -> tuple[int, list[Header], Body]:
        """Runs the operation once for its key; later requests get the stored answer."""
        key = raw_key.decode("latin-1")
        if not 0 < len(key) <= MAX_KEY_CHARS or not key.isprintable() or not key.isascii():
            raise Invalid.field("Idempotency-Key", f"1 to {MAX_KEY_CHARS} printable ASCII characters")
        store = self.door.idempotency
        text = f"{op.method} {request.path}\n".encode()
        claim = await store.claim(ctx, key, hashlib.sha256(text + request.body).digest())
        if isinstance(claim, Replay):
            headers = [(k.encode("latin-1"), v.encode("latin-1")) for k, v in claim.headers.items()]
            headers.append((b"idempotent-replayed", b"true"))
            return claim.status, headers, claim.body
        ctx = msgspec.structs.replace(ctx, idempotency_id=claim.effect_id)
        try:
            status, headers, body = await self._once(op, request, ctx, arguments)
            kept = {k.decode("latin-1"): v.decode("latin-1") for k, v in headers}
            await store.keep(ctx, key, status, kept, body)
        except BaseException:
            await store.forget(ctx, key, claim)
            raise
        return status, headers, body

    async def _once(
        self, op: Operation, request: Request, ctx: Context, arguments: dict[str, Any]
    ) -> tuple[int, list[Header], bytes]:
        """An answer to be kept: a refusal too, but none that another try might not get. Those are raised."""
        try:
            status, headers, body = await self._call(op, request, ctx, arguments)
        except Problem as problem:
            if problem.status >= 500 or problem.status in (401, 429):
                raise
            return self.answer_problem(problem, op, None, request.scope)
        if not isinstance(body, bytes):
            raise TypeError("a stream cannot be replayed")
        return status, headers, body

    # --- pages ---

    async def _visit(self, request: Request) -> tuple[Visit, list[str]]:
        """The surroundings of a page, and cookies to set."""
        cookies = request.cookies = read_cookies(request)
        fresh: list[str] = []
        visit_id = cookies.get(VISIT_COOKIE, "")
        if not 20 <= len(visit_id) <= 64 or not visit_id.isascii():
            visit_id = secrets.token_urlsafe(24)
            fresh.append(self.door.cookie(VISIT_COOKIE, visit_id, 400 * 86400))
            request.cookies[VISIT_COOKIE] = visit_id
        known = await self.door.gate.by_session(cookies.get(SESSION_COOKIE, ""))
        actor, person = ANONYMOUS, None
        if known is not None:
            actor = visitor(known)
            person = Person(known.account_id, known.name, known.email, actor.confirmed, known.erase_at)
        scope = request.scope
        language = language_of(cookies, request.header("accept-language"))
        toast = undo = ""
        if TOAST_COOKIE in cookies and scope["method"] == "GET" and b"hx-request" not in request.headers:
            toast, undo = _toast(cookies[TOAST_COOKIE])
            fresh.append(f"{TOAST_COOKIE}=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0")
        return (
            Visit(
                ctx=Context(
                    actor=actor,
                    trace_id=scope.get("fc.trace", ""),
                    address=request.address,
                    agent=request.header("user-agent")[:200],
                    language=language,
                ),
                person=person,
                locale=language,
                theme=theme_of(cookies),
                csrf=self.door.csrf_for(cookies),
                path=scope["path"],
                query=scope["query_string"].decode("latin-1"),
                toast=toast,
                undo=undo,
                partial=b"hx-request" in request.headers and b"hx-history-restore-request" not in request.headers,
            ),
            fresh,
        )

    async def _page(self, bound: _Bound, request: Request, visit: Visit) -> tuple[int, list[Header], Body]:
        op = bound.op
        door = self.door
        path_params: dict[str, Any] = request.scope["path_params"]
        if op.method == "GET" and "lang=" in visit.query and (switched := self._switch_language(visit)) is not None:
            return encode_result(switched, 303, request)
        if door.limit_addresses:
            await self._spend(bound.address_limits, counted_as(request.address))
        if op.declared.access.kind is not AccessKind.PUBLIC and visit.person is None:
            here = visit.path + (f"?{visit.query}" if visit.query and request.scope["method"] == "GET" else "")
            return encode_result(Redirect(f"/sign-in?next={quote(here)}"), 303, request)
        ctx = await self._admit(op, visit.ctx, path_params)
        _note_organisation(request.scope, ctx)
        if ctx is not visit.ctx:
            visit = msgspec.structs.replace(visit, ctx=ctx)
        await self._spend(bound.account_limits, ctx.account_id or counted_as(request.address))
        arguments = self._arguments(bound, request, path_params)
        if op.method == "POST":
            fields = await self._fields(bound, request, arguments)
            self._check_csrf(request, request.header("x-csrf-token") or _field(fields, CSRF_FIELD))
            if bound.form is not None:
                arguments["form"] = bound.form(fields)
        if bound.query is not None:
            arguments["query"] = bound.query(request.scope["query_string"])
        if "visit" in op.wants:
            arguments["visit"] = visit
        return await self._call(op, request, ctx, arguments)

    async def _fields(self, bound: _Bound, request: Request, arguments: dict[str, Any]) -> bytes:
        """The text fields of a page's form as a query string, whichever way the form was sent."""
        if "files" in bound.special:
            return await self._receive_form(bound, request, arguments)
        request.body = await read_body(request, bound.op.declared.max_body_bytes, self.door.spool)
        if bound.form is not None and not request.header("content-type").startswith("application/x-www-form-urlencoded"):
            raise UnsupportedMedia("this address takes a form")
        return request.body

    def _switch_language(self, visit: Visit) -> Redirect | None:
        """`?lang=pt` on any page: remembers the language and shows the same page in it. None for a language we do not speak."""
        pairs = parse_qsl(visit.query, max_num_fields=200)
        wanted = next((value for name, value in pairs if name == "lang"), "")
        if wanted not in LANGUAGES:
            return None
        rest = urlencode([pair for pair in pairs if pair[0] != "lang"])
        cookie = self.door.cookie(LOCALE_COOKIE, wanted, 400 * 86400)
        return Redirect(quote(visit.path, safe=_PATH) + (f"?{rest}" if rest else ""), cookies=[cookie])

    def _check_csrf(self, request: Request, sent: str) -> None:
        origin = request.header("origin")
        same_site = request.header("sec-fetch-site") in ("", "same-origin", "none")
        host = request.header("host")
        if origin and origin != "null" and origin.split("://", 1)[-1] != host and origin != self.door.public_url:
            raise CsrfRefused
        expected = self.door.csrf_for(request.cookies)
        if not same_site or not hmac.compare_digest(sent.encode(), expected.encode()):
            raise CsrfRefused("Open the page again and send it once more.")

    # --- both ---

    async def _actor(self, request: Request) -> tuple[Actor, frozenset[str], bool]:
        """Who asks: an access token, an API key, or the session cookie (then the third is true)."""
        headers = request.headers
        authorization = headers.get(b"authorization")
        if authorization is not None:
            scheme, _, token = authorization.decode("latin-1").partition(" ")
            if scheme.lower() != "bearer" or not token:
                raise Unauthenticated("send `Authorization: Bearer <access token>`")
            return await self.door.gate.by_token(token.strip()), frozenset(), False
        key = headers.get(b"x-api-key")
        if key is not None:
            actor, scopes = await self.door.gate.by_api_key(key.decode("latin-1"), request.address)
            return actor, scopes, False
        if b"cookie" in headers:
            request.cookies = read_cookies(request)
            known = await self.door.gate.by_session(request.cookies.get(SESSION_COOKIE, ""))
            if known is not None:
                return visitor(known), frozenset(), True
        return ANONYMOUS, frozenset(), False

    async def _admit(self, op: Operation, ctx: Context, path_params: dict[str, Any]) -> Context:
        """Lets the actor in, or says why not. For staff the context is about the organisation of the path."""
        access = op.declared.access
        kind = access.kind
        actor = ctx.actor
        if kind is AccessKind.PUBLIC:
            return ctx
        if actor.kind is ActorKind.ANONYMOUS:
            raise Unauthenticated
        if kind is AccessKind.PERSON:
            if actor.account_id is None:
                raise Forbidden("an API key has no account of its own; use the organisation's address")
            return ctx
        if kind is AccessKind.CONFIRMED:
            if actor.account_id is None:
                raise Forbidden("an API key has no account of its own; use the organisation's address")
            if not actor.confirmed:
                raise EmailUnconfirmed
            return ctx
        if kind is AccessKind.ADMIN:
            if not actor.platform_admin:
                raise NotFound
            return ctx
        organisation_id = _named(op, path_params, "org_id")
        permissions = await self.door.gate.permissions(actor, organisation_id, ctx.address)
        if permissions is None:
            raise NotFound
        if access.permission and access.permission not in permissions:
            raise Forbidden(f"this needs the permission {access.permission}")
        return msgspec.structs.replace(ctx, organisation_id=organisation_id, permissions=permissions)

    def _arguments(self, bound: _Bound, request: Request, path_params: dict[str, Any]) -> dict[str, Any]:
        arguments: dict[str, Any] = {}
        for position, name in enumerate(bound.op.path_types):
            value = path_params[f"p{position}"]
            if isinstance(value, str) and ("\x00" in value or len(value) > 200):
                raise NotFound
            arguments[name] = value
        if "request" in bound.special:
            arguments["request"] = request
        if "if_match" in bound.special:
            arguments["if_match"] = _version(request)
        return arguments

    def answer_problem(
        self, problem: Problem, op: Operation, visit: Visit | None, scope: Scope
    ) -> tuple[int, list[Header], bytes]:
        trace_id = scope.get("fc.trace", "")
        headers: list[Header] = [(k.lower().encode("latin-1"), v.encode("latin-1")) for k, v in problem.headers.items()]
        if problem.status == 401:
            headers.append((b"www-authenticate", b'Bearer realm="forecourt"'))
        if op.declared.kind is Kind.PAGE or _followed(op, scope):
            headers.append((b"content-type", b"text/html; charset=utf-8"))
            headers.append((b"cache-control", b"no-store"))
            visit = visit or passer_by(scope)
            return problem.status, headers, self.door.problem_page(problem, visit, trace_id).encode()
        headers.append((b"content-type", PROBLEM))
        return problem.status, headers, _encode(problem.document(trace_id))


# --- pieces ----------------------------------------------------------------------------------------------------------


def visitor(known: KnownVisitor) -> Actor:
    """The person of a browser session."""
    return Actor(
        kind=ActorKind.PERSON,
        account_id=known.account_id,
        session_id=known.session_id,
        confirmed=str(known.status) == "active",
        platform_admin=known.platform_admin,
    )


def _followed(op: Operation, scope: Scope) -> bool:
    """Whether a person followed a link, or pressed a button, to what is no JSON: a page, a calendar, a file. They read a page;
    programs, which do not ask for one before all else, get the problem document."""
    if op.declared.content_type == "application/json" or op.declared.kind is not Kind.API:
        return False
    accepted = dict(scope["headers"]).get(b"accept", b"").decode("latin-1")[:500]
    first = accepted.split(",", 1)[0].partition(";")
    return first[0].strip().lower() == "text/html" and "q=0" not in first[2].replace(" ", "").split(";")


def allowance_headers(spent: Sequence[Allowance]) -> list[Header]:
    """`RateLimit` and `RateLimit-Policy` of the limit with the least left: the one that a client meets first."""
    tightest = min(spent, key=lambda allowance: allowance.remaining)
    return [(k.lower().encode("latin-1"), v.encode("latin-1")) for k, v in tightest.headers().items()]


def encode_result(result: object, status: int, request: Request) -> tuple[int, list[Header], Body]:
    """A handler's result as status, headers and body."""
    headers: list[Header] = []
    if isinstance(result, Reply):
        reply = cast("Reply[object]", result)
        status = reply.status or status
        headers.extend((k.lower().encode("latin-1"), v.encode("latin-1")) for k, v in reply.headers.items())
        result = reply.body
    if isinstance(result, Raw | Html):
        content = result.content.encode() if isinstance(result, Html) else result.content
        kind = "text/html; charset=utf-8" if isinstance(result, Html) else result.content_type
        headers.append((b"content-type", kind.encode("latin-1")))
        headers.extend((k.lower().encode("latin-1"), v.encode("latin-1")) for k, v in result.headers.items())
        headers.extend((b"set-cookie", c.encode("latin-1")) for c in result.cookies)
        if isinstance(result, Html):
            if not any(k == b"cache-control" for k, _ in headers):
                headers.append((b"cache-control", b"no-store"))
            headers.append((b"vary", b"cookie, hx-request, accept-encoding"))
            if len(content) >= COMPRESS_FROM_BYTES and "gzip" in request.header("accept-encoding"):
                content = gzip.compress(content, 4, mtime=0)
                headers.append((b"content-encoding", b"gzip"))
        return result.status if result.status != 200 else status, headers, content
    if isinstance(result, Redirect):
        to = result.to if result.to.startswith("/") and not result.to.startswith(("//", "/\\")) else "/"
        # What is quoted already stays; what no header may hold, and what a browser passes over (a tab), is quoted here.
        there = quote(to, safe=_ADDRESS + "%").encode()
        headers.append((b"hx-redirect" if b"hx-request" in request.headers else b"location", there))
        headers.extend((b"set-cookie", c.encode("latin-1")) for c in result.cookies)
        if result.toast:
            said = quote(_encode([result.toast, result.undo]).decode(), safe="")
            headers.append((b"set-cookie", f"{TOAST_COOKIE}={said}; Path=/; HttpOnly; SameSite=Lax; Max-Age=30".encode()))
        headers.extend((k.lower().encode("latin-1"), v.encode("latin-1")) for k, v in result.headers.items())
        return 200 if b"hx-request" in request.headers else result.status, headers, b""
    if isinstance(result, Download | EventStream | Streamed):
        return _encode_stream(result, headers)
    if result is None:
        return (204 if status == 200 else status), headers, b""
    version = getattr(result, "version", None)
    if version is not None:
        headers.append((b"etag", f'"{version}"'.encode()))
    headers.append((b"content-type", b"application/json"))
    return status, headers, _encode(result)


def unless_known(request: Request, status: int, headers: list[Header], body: Body) -> tuple[int, list[Header], Body]:
    """A read's answer with a tag of its bytes, or 304 and nothing when `If-None-Match` names them.

    A version alone would not do as a tag: what stands beside it may differ by who asks and when. It goes before the print of the
    bytes, so that the tag of a read will do for `If-Match`.
    """
    told = dict(headers)
    reads = request.scope["method"] in ("GET", "HEAD") and status == 200 and isinstance(body, bytes)
    if not reads or b"no-store" in told.get(b"cache-control", b""):
        return status, headers, body
    tag = told.get(b"etag", b"").decode("latin-1")
    if told.get(b"content-type") == b"application/json" and (not tag or _A_VERSION.fullmatch(tag)):
        print_ = hashlib.blake2b(cast("bytes", body), digest_size=12).hexdigest()
        tag = f'"{tag.strip(QUOTE)}-{print_}"' if tag else f'"{print_}"'
        headers = [*((k, v) for k, v in headers if k != b"etag"), (b"etag", tag.encode())]
    if b"cache-control" not in told:
        # Kept by who asked, if at all, and never shown again without asking whether it is still so.
        headers.append((b"cache-control", b"private, no-cache"))
    known = tag and names_tag(request.header("if-none-match"), tag)
    return (NOT_MODIFIED, headers, b"") if known else (status, headers, body)


def names_tag(header: str, tag: str) -> bool:
    """Whether an `If-None-Match` header names `tag`, which is quoted; a weak one is as good."""
    return any(named.strip().removeprefix("W/") in (tag, "*") for named in header.split(","))


def _note_organisation(scope: Scope, ctx: Context) -> None:
    """Whoever was let in acts for this organisation, and the gateway counts that."""
    if ctx.organisation_id is not None:
        scope[SERVED_ORGANISATION] = ctx.organisation_id.hex.encode()


def _encode_stream(result: Download | EventStream | Streamed, headers: list[Header]) -> tuple[int, list[Header], Body]:
    if isinstance(result, EventStream):
        headers += [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store"), (b"x-accel-buffering", b"no")]
        return 200, headers, result
    headers.append((b"content-type", result.content_type.encode("latin-1")))
    headers.extend((k.lower().encode("latin-1"), v.encode("latin-1")) for k, v in result.headers.items())
    return result.status if isinstance(result, Download) else 200, headers, result


def read_cookies(request: Request) -> dict[str, str]:
    """Cookies by name, the first of each. A pair that cannot be read is passed over: other programs of the same host, and
    extensions of browsers, write what no grammar allows, and that must sign nobody out.
    """
    return cookies_in(request.headers.get(b"cookie"))


def cookies_in(raw: bytes | None) -> dict[str, str]:
    """Those of a `Cookie` header."""
    if raw is None or len(raw) > MAX_COOKIE_BYTES:
        return {}
    found: dict[str, str] = {}
    for pair in raw.decode("latin-1").split(";"):
        name, equals, value = pair.partition("=")
        name, value = name.strip(), value.strip()
        if not equals or not name or name in found:
            continue
        if len(value) >= 2 and value[0] == value[-1] == '"':
            value = value[1:-1]
        found[name] = unquote(value)
    return found


def language_of(cookies: Mapping[str, str], accepted: str) -> str:
    """The language that a visitor chose, else the first they accept that we speak."""
    chosen = cookies.get(LOCALE_COOKIE, "")
    return chosen if chosen in LANGUAGES else preferred_language(accepted)


def theme_of(cookies: Mapping[str, str]) -> str:
    chosen = cookies.get(THEME_COOKIE, "")
    return chosen if chosen in ("light", "dark") else "system"


def passer_by(scope: Scope) -> Visit:
    """Somebody at an address where there is no page: nobody is looked up, but their language and theme are known."""
    headers: dict[bytes, bytes] = dict(scope["headers"])
    cookies = cookies_in(headers.get(b"cookie"))
    return Visit(
        ctx=Context(trace_id=scope.get("fc.trace", "")),
        person=None,
        locale=language_of(cookies, headers.get(b"accept-language", b"").decode("latin-1")),
        theme=theme_of(cookies),
        csrf="",
        path=scope["path"],
        query=scope["query_string"].decode("latin-1"),
        toast="",
        undo="",
        partial=False,
    )


def _expect_json(request: Request) -> None:
    kind = request.headers.get(b"content-type")
    if kind is None:
        return
    bare = kind.split(b";", 1)[0].strip().lower()
    if bare != b"application/json" and not bare.endswith(b"+json"):
        raise UnsupportedMedia("send application/json")


def _version(request: Request) -> int | None:
    """The version in `If-Match`; None when absent or `*`."""
    text = request.header("if-match").strip()
    if text in ("", "*"):
        return None
    digits = text.removeprefix("W/").strip('"').partition("-")[0]  # behind it stands a read's print
    if not digits.isascii() or not digits.isdecimal() or len(digits) > 9:
        raise Invalid.field("If-Match", 'a version such as "3"')
    return int(digits)


def _named(op: Operation, path_params: dict[str, Any], name: str) -> UUID:
    position = list(op.path_types).index(name)
    value = path_params[f"p{position}"]
    if not isinstance(value, UUID):
        raise NotFound
    return value


def _field(body: bytes, name: str) -> str:
    try:
        return parse_qs(body.decode("utf-8"), max_num_fields=500).get(name, [""])[0]
    except (ValueError, UnicodeDecodeError):
        return ""


def _toast(cookie: str) -> tuple[str, str]:
    """Text and way back of a toast. The cookie is the visitor's own; what cannot be read says nothing."""
    try:
        text, undo = msgspec.json.decode(cookie, type=tuple[str, str])
    except msgspec.DecodeError:
        return "", ""
    return text[:300], inside(undo)


def preferred_language(header: str) -> str:
    """The first language of `Accept-Language` that we speak."""
    ranked: list[tuple[float, int, str]] = []
    for i, part in enumerate(header[:500].split(",")):
        tag, _, q = part.strip().partition(";q=")
        try:
            weight = float(q) if q else 1.0
        except ValueError:
            weight = 0.0
        ranked.append((-weight, i, tag.split("-")[0].lower()))
    for _, _, tag in sorted(ranked):
        if tag in LANGUAGES:
            return tag
    return "en"


async def _stream(stream: EventStream, status: int, headers: list[Header], receive: Receive, send: Send) -> None:
    """Sends events until the source ends or the client leaves."""
    await send({"type": "http.response.start", "status": status, "headers": headers})

    async def pump() -> None:
        async for event in stream.events:
            await send({"type": "http.response.body", "body": event, "more_body": True})

    await _while_there(pump(), stream.events, receive)
    with contextlib.suppress(OSError):
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _send_download(download: Download | Streamed, status: int, headers: list[Header], receive: Receive, send: Send) -> None:
    """Sends bytes as they are read, until the last or until the client leaves. Raises what the source raises: then the
    connection breaks, which is the only way to say that what was sent is not all."""
    await send({"type": "http.response.start", "status": status, "headers": headers})

    async def pump() -> None:
        async for chunk in download.chunks:
            async with asyncio.timeout(STALLED_S):
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    pumping = await _while_there(pump(), download.chunks, receive)
    if not pumping.cancelled():
        pumping.result()


async def _while_there(work: Coroutine[Any, Any, None], source: AsyncIterator[bytes], receive: Receive) -> asyncio.Task[None]:
    """Runs `work` until it ends or the client leaves, then lets go of `source`."""

    async def gone() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    working = asyncio.create_task(work)
    tasks = {working, asyncio.create_task(gone())}
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        aclose = getattr(source, "aclose", None)
        if aclose is not None:
            with contextlib.suppress(RuntimeError):
                await aclose()
    return working


__all__ = [
    "AccountClosed",
    "CsrfRefused",
    "Dispatcher",
    "Door",
    "EmailUnconfirmed",
    "passer_by",
    "preferred_language",
    "set_cookie",
]
