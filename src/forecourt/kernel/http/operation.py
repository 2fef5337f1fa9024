"""An operation is one method on one path: who may, what comes in, what goes out, what can go wrong.

    class BookingApi(Api):
        tag = "Booking"

        @get("/v1/bookings/{id}")
        async def read(self, ctx: Context, id: UUID) -> BookingOut: ...

        @post("/v1/bookings", status=201, keyed=Keyed.YES, problems=(SlotTaken,))
        async def book(self, ctx: Context, body: NewBooking) -> BookingOut: ...

The parameters of the method say what it needs: `ctx`, `body` (JSON into a struct), `query` (a struct of query parameters),
`form` (an HTML form into a struct), `files` (those that a form brings), `visit` (a page's surroundings), `request`,
`if_match`, and the names in the path.
Everything that the document says is also what is enforced, because both are read from the same declaration.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from enum import Enum, StrEnum
from typing import Annotated, Any, BinaryIO, ClassVar, Generic, TypeVar, cast, get_args, get_origin, get_type_hints
from uuid import UUID

import msgspec

from forecourt.kernel.context import Context
from forecourt.kernel.errors import JSON, Problem

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Awaitable[object]])

MAX_BODY_BYTES = 256 * 1024
"""Unless an operation says otherwise, no request body is larger."""

_PATH_PARAM = re.compile(r"\{(\w+)\}")


class AccessKind(StrEnum):
    PUBLIC = "public"
    """Anyone; a signed-in person is recognised."""
    PERSON = "person"
    """Anyone who is signed in."""
    CONFIRMED = "confirmed"
    """A person whose e-mail address is verified (ID-1)."""
    STAFF = "staff"
    """Staff (or a key) of the organisation `org_id` of the path, with a named permission or any. To others it is 404."""
    ADMIN = "admin"
    """Platform admins."""


class Access(msgspec.Struct, frozen=True):
    kind: AccessKind
    permission: str = ""


PUBLIC = Access(AccessKind.PUBLIC)
PERSON = Access(AccessKind.PERSON)
CONFIRMED = Access(AccessKind.CONFIRMED)
ADMIN = Access(AccessKind.ADMIN)
ANY_STAFF = Access(AccessKind.STAFF)
"""Whoever works for the organisation of the path, whatever they may do: they see the place as it is set up."""


def staff(permission: str) -> Access:
    """Staff who have this permission. Raises ValueError without one; say ANY_STAFF to mean anyone of the staff."""
    if not permission:
        raise ValueError("name the permission, or say ANY_STAFF")
    return Access(AccessKind.STAFF, permission)


class Keyed(Enum):
    """Whether an operation takes `Idempotency-Key`."""

    NO = 0
    YES = 1


class By(StrEnum):
    ADDRESS = "address"
    """Per network address; off in development, where everyone has the same one."""
    ACCOUNT = "account"


class Limit(msgspec.Struct, frozen=True):
    """At most `rate` ("10/minute") of this operation by the same address or account."""

    rate: str
    by: By


# --- what a handler may return -----------------------------------------------------------------------------------------


class Reply(msgspec.Struct, Generic[T]):
    """A result with another status or more headers than the operation's own."""

    body: T
    status: int | None = None
    headers: dict[str, str] = {}


class Raw(msgspec.Struct):
    """Bytes of another type than JSON."""

    content: bytes
    content_type: str
    status: int = 200
    headers: dict[str, str] = {}
    cookies: list[str] = []


class Html(msgspec.Struct):
    """A page or a fragment of one."""

    content: str
    status: int = 200
    headers: dict[str, str] = {}
    cookies: list[str] = []


class Redirect(msgspec.Struct):
    """See other: the answer to a form. `to` is a path of this site."""

    to: str
    toast: str = ""
    """What the request did, shown once on the page that follows."""
    undo: str = ""
    """A path of this site that takes a POST and undoes it."""
    status: int = 303
    headers: dict[str, str] = {}
    cookies: list[str] = []


class EventStream(msgspec.Struct):
    """Server-sent events; each item is one already formatted event. Ends when the client leaves."""

    events: AsyncIterator[bytes]


class Download(msgspec.Struct):
    """Bytes that are sent as they are read, `length` of them. Ends when the client leaves."""

    chunks: AsyncIterator[bytes]
    length: int
    content_type: str
    status: int = 200
    headers: dict[str, str] = {}


class Streamed(msgspec.Struct):
    """Bytes that are sent as they are made; how many, nobody knows yet. Ends when the client leaves.

    A source that raises breaks the connection, which is the only way to say that what was sent is not all. An operation that may
    answer several types declares them together: `content_type="text/csv, application/jsonl"`.
    """

    chunks: AsyncIterator[bytes]
    content_type: str
    headers: dict[str, str] = {}


# --- the declaration -------------------------------------------------------------------------------------------------


class Kind(StrEnum):
    API = "api"
    """JSON for programs; in the OpenAPI document."""
    PAGE = "page"
    """HTML for people; known by the session cookie."""
    FILE = "file"
    """The same bytes for everyone: nobody is looked up."""


class Declared(msgspec.Struct, frozen=True):
    """What a decorator said about a method."""

    method: str
    path: str
    kind: Kind
    access: Access
    status: int
    keyed: Keyed
    problems: tuple[type[Problem], ...]
    limits: tuple[Limit, ...]
    max_body_bytes: int
    content_type: str
    takes: str = ""
    """The media type of a body that the operation reads itself, from `request`."""
    shows: object | None = None
    """What the JSON is that the operation answers as bytes."""


class Operation(msgspec.Struct, frozen=True):
    """A declared method bound to its instance, with its types resolved."""

    declared: Declared
    call: Callable[..., Awaitable[object]]
    name: str
    tag: str
    summary: str
    description: str
    path_types: dict[str, type]
    body: object | None
    query: type[msgspec.Struct] | None
    form: type[msgspec.Struct] | None
    wants: frozenset[str]
    returns: object

    @property
    def method(self) -> str:
        return self.declared.method

    @property
    def path(self) -> str:
        return self.declared.path


_SPECIAL = {"ctx", "body", "query", "form", "files", "visit", "request", "if_match"}


def _declare(
    method: str,
    path: str,
    kind: Kind,
    access: Access,
    status: int,
    keyed: Keyed,
    problems: tuple[type[Problem], ...],
    limits: tuple[Limit, ...],
    max_body_bytes: int,
    content_type: str,
    takes: str = "",
    shows: object | None = None,
) -> Callable[[F], F]:
    declared = Declared(method, path, kind, access, status, keyed, problems, limits, max_body_bytes, content_type, takes, shows)

    def mark(function: F) -> F:
        function.__operation__ = declared  # type: ignore[attr-defined]
        return function

    return mark


def get(
    path: str,
    *,
    access: Access = PERSON,
    problems: tuple[type[Problem], ...] = (),
    limits: tuple[Limit, ...] = (),
    content_type: str = "application/json",
    shows: object | None = None,
) -> Callable[[F], F]:
    """A read. `shows` is the type of what it answers, when it answers bytes that are JSON already."""
    return _declare("GET", path, Kind.API, access, 200, Keyed.NO, problems, limits, 0, content_type, shows=shows)


def _writer(method: str) -> Callable[..., Callable[[F], F]]:
    def write(
        path: str,
        *,
        status: int = 200,
        access: Access = PERSON,
        keyed: Keyed = Keyed.NO,
        problems: tuple[type[Problem], ...] = (),
        limits: tuple[Limit, ...] = (),
        max_body_bytes: int = MAX_BODY_BYTES,
        content_type: str = "application/json",
        takes: str = "",
    ) -> Callable[[F], F]:
        return _declare(method, path, Kind.API, access, status, keyed, problems, limits, max_body_bytes, content_type, takes)

    return write


post = _writer("POST")
put = _writer("PUT")
patch = _writer("PATCH")
delete = _writer("DELETE")


def page(path: str, *, access: Access = PUBLIC) -> Callable[[F], F]:
    """A page: answers GET with HTML, knows the visitor by the session cookie."""
    return _declare("GET", path, Kind.PAGE, access, 200, Keyed.NO, (), (), 0, "text/html")


def file(path: str) -> Callable[[F], F]:
    """A public file."""
    return _declare("GET", path, Kind.FILE, PUBLIC, 200, Keyed.NO, (), (), 0, "application/octet-stream")


def action(
    path: str, *, access: Access = PERSON, limits: tuple[Limit, ...] = (), max_body_bytes: int = MAX_BODY_BYTES
) -> Callable[[F], F]:
    """What a form of a page is sent to. Needs the page's CSRF token."""
    return _declare("POST", path, Kind.PAGE, access, 200, Keyed.NO, (), limits, max_body_bytes, "text/html")


class Api:
    """A set of operations around one service. Subclasses set `tag`, the heading in the document."""

    tag: ClassVar[str] = ""

    @classmethod
    def declared(cls) -> list[tuple[str, Declared]]:
        """The operations of the class without an instance, for `forecourt check --map`."""
        found: list[tuple[str, Declared]] = []
        for name, member in inspect.getmembers(cls, inspect.isfunction):
            declared = getattr(member, "__operation__", None)
            if isinstance(declared, Declared):
                found.append((name, declared))
        return found

    def operations(self) -> list[Operation]:
        return [self._operation(name, declared) for name, declared in type(self).declared()]

    def _operation(self, name: str, declared: Declared) -> Operation:
        function = getattr(type(self), name)
        hints = get_type_hints(function, include_extras=True)
        returns = hints.pop("return", None)
        in_path = _PATH_PARAM.findall(declared.path)
        missing = set(in_path) - set(hints)
        unknown = set(hints) - set(in_path) - _SPECIAL
        if missing or unknown:
            raise TypeError(f"{type(self).__name__}.{name}: path and parameters differ: {sorted(missing | unknown)}")
        doc = inspect.getdoc(function) or ""
        summary, _, description = doc.partition("\n")
        return Operation(
            declared=declared,
            call=getattr(self, name),
            name=name,
            tag=self.tag,
            summary=summary.strip().rstrip("."),
            description=description.strip(),
            path_types={p: bare_type(hints[p]) for p in in_path},
            body=hints.get("body"),
            query=hints.get("query"),
            form=hints.get("form"),
            wants=frozenset(set(hints) & _SPECIAL),
            returns=returns,
        )


def shown_body(operation: Operation) -> object:
    """What the document shows for an operation's answer."""
    return reply_body(operation.returns) if operation.declared.shows is None else operation.declared.shows


def bare_type(annotation: object) -> type:
    """`Annotated[T, …]` without its annotations."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    return cast("type", annotation)


def reply_body(returns: object) -> object:
    """What the document shows for a handler's return type: the T of `Reply[T]`, or the type itself."""
    if get_origin(returns) is Reply:
        return get_args(returns)[0]
    return returns


class Request(msgspec.Struct):
    """What the dispatcher knows of a request; handlers rarely need it."""

    scope: dict[str, Any]
    receive: Callable[[], Awaitable[dict[str, Any]]]
    headers: dict[bytes, bytes]
    cookies: dict[str, str]
    address: str
    body: bytes = b""
    files: list[SentFile] = []

    @property
    def path(self) -> str:
        return self.scope["path"]

    def header(self, name: str) -> str:
        """A header by its lower-case name; empty when absent."""
        return self.headers.get(name.encode("latin-1"), b"").decode("latin-1")


class SentFile(msgspec.Struct):
    """A file of a form. It is gone when the operation has ended."""

    field: str
    """The form's name for it."""
    name: str
    """What its sender calls it, without folders; may be empty, and says nothing about what is in it."""
    type: str
    """What its sender says it is; not checked."""
    size: int
    file: BinaryIO
    """At its beginning, and seekable."""


class Person(msgspec.Struct, frozen=True):
    """The signed-in visitor of a page."""

    id: UUID
    name: str
    email: str
    confirmed: bool
    erase_at: datetime | None = None
    """When the account will be erased, as they asked."""


class Visit(msgspec.Struct, frozen=True):
    """A page's surroundings: who looks, in which language and theme, and the token that its forms must carry."""

    ctx: Context
    person: Person | None
    locale: str
    theme: str
    csrf: str
    path: str
    query: str
    toast: str
    """What the last request did; shown once."""
    undo: str
    partial: bool
    """True when htmx asks for a fragment only."""


__all__ = [
    "ADMIN",
    "CONFIRMED",
    "JSON",
    "PERSON",
    "PUBLIC",
    "Access",
    "AccessKind",
    "Api",
    "By",
    "Declared",
    "Download",
    "EventStream",
    "Html",
    "Keyed",
    "Kind",
    "Limit",
    "Operation",
    "Person",
    "Raw",
    "Redirect",
    "Reply",
    "Request",
    "SentFile",
    "Streamed",
    "Visit",
    "action",
    "bare_type",
    "delete",
    "file",
    "get",
    "page",
    "patch",
    "post",
    "put",
    "reply_body",
    "shown_body",
    "staff",
]
