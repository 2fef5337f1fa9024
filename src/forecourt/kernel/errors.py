"""Errors that are part of the contract: a class with a stable code, a status and a safe text (RFC 9457).

A module declares its own by subclassing one of these in its `contract.py`:

    class SlotTaken(Conflict):
        code = "slot_taken"
        title = "That time was just taken"

Every subclass registers itself by code, so that an error survives the trip between two processes as the same class.
"""

from __future__ import annotations

from typing import ClassVar

import msgspec

JSON = None | bool | int | float | str | list["JSON"] | dict[str, "JSON"]


class FieldError(msgspec.Struct, frozen=True):
    """One fault in the input: where (`duration_min`, `location.lat`, `rules[2].amount`) and what to do about it."""

    path: str
    message: str


class Way(msgspec.Struct, frozen=True):
    """Where a person goes from a problem: `label` is a key of the pages' catalogue, `href` a path of this site."""

    label: str
    href: str


class ProblemBody(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, rename={"type_": "type"}):
    """RFC 9457 problem details as they leave the house. Some problems carry more members; their operation says which."""

    type_: str
    title: str
    status: int
    code: str
    detail: str = ""
    trace_id: str = ""
    errors: list[FieldError] = []


class Problem(Exception):
    """Base of everything that is answered with a problem document rather than a result."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal"
    title: ClassVar[str] = "This did not work on our side"
    ways: ClassVar[tuple[Way, ...]] = ()
    """What a page offers to whoever meets it; none: the start page."""
    passes_in_s: ClassVar[int | None] = None
    """After so long the same request may succeed: `Retry-After` says it. None: somebody has to do something first."""

    _by_code: ClassVar[dict[str, type[Problem]]] = {}

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        other = Problem._by_code.get(cls.code)
        if other is not None and other.__qualname__ != cls.__qualname__ and "code" in cls.__dict__:
            raise TypeError(f"problem code {cls.code!r} is taken by {other.__qualname__}")
        if "code" in cls.__dict__:
            Problem._by_code[cls.code] = cls

    def __init__(self, detail: str = "", /, *, errors: list[FieldError] | None = None, **extra: JSON) -> None:
        super().__init__(detail or self.title)
        self.detail = detail
        self.errors = errors or []
        self.extra = extra
        """Further members of the problem document, such as `alternatives`. Plain JSON values."""
        self.headers: dict[str, str] = {} if self.passes_in_s is None else {"Retry-After": str(self.passes_in_s)}

    def document(self, trace_id: str) -> dict[str, object]:
        """The members of the problem document, extensions included."""
        body: dict[str, object] = {
            "type": f"https://forecourt.dev/problems/{self.code}",
            "title": self.title,
            "status": self.status,
            "code": self.code,
        }
        if self.detail:
            body["detail"] = self.detail
        if trace_id:
            body["trace_id"] = trace_id
        if self.errors:
            body["errors"] = self.errors
        return body | self.extra

    @classmethod
    def registered(cls, code: str) -> type[Problem] | None:
        return cls._by_code.get(code)


class BadRequest(Problem):
    status, code, title = 400, "bad_request", "The request could not be read"


class Unauthenticated(Problem):
    status, code, title = 401, "unauthenticated", "Sign in first"


class PaymentRequired(Problem):
    status, code, title = 402, "payment_required", "This needs to be paid for"


class Forbidden(Problem):
    status, code, title = 403, "forbidden", "You may not do this"


class NotFound(Problem):
    """Absent, not yours or another organisation's: they look the same from outside."""

    status, code, title = 404, "not_found", "There is nothing here for you"


class MethodNotAllowed(Problem):
    status, code, title = 405, "method_not_allowed", "This address does not answer that method"


class TooSlow(Problem):
    status, code, title = 408, "request_timeout", "The request took too long to arrive"


class Conflict(Problem):
    status, code, title = 409, "conflict", "This does not fit the present state"


class Gone(Problem):
    status, code, title = 410, "gone", "This is no longer here"


class PreconditionFailed(Problem):
    status, code, title = 412, "version_stale", "Someone else changed this in the meantime"


class TooLarge(Problem):
    status, code, title = 413, "too_large", "The request is too large"


class UnsupportedMedia(Problem):
    status, code, title = 415, "unsupported_media_type", "This content type is not understood here"


class RangeNotSatisfiable(Problem):
    status, code, title = 416, "range_not_satisfiable", "There are no bytes there"


class Invalid(Problem):
    """The input was read but breaks a rule; `errors` lists what is wrong, the first fault first."""

    status, code, title = 422, "invalid", "Some of this needs another look"

    @classmethod
    def field(cls, path: str, message: str) -> Invalid:
        return cls(message, errors=[FieldError(path, message)])


class TooManyRequests(Problem):
    status, code, title = 429, "rate_limited", "Too many requests"

    def __init__(self, detail: str = "", /, *, retry_after_s: int = 1, **extra: JSON) -> None:
        super().__init__(detail, errors=None, **extra)
        self.retry_after_s = retry_after_s
        self.headers["Retry-After"] = str(retry_after_s)


class Internal(Problem):
    status, code, title = 500, "internal", "This did not work on our side"


class Unavailable(Problem):
    status, code, title = 503, "unavailable", "This part of the house does not answer right now"
    passes_in_s = 1


class NoRoom(Unavailable):
    """A disk is full. Somebody makes room, which takes longer than a process takes to come back."""

    passes_in_s = 30


class Misconfigured(Unavailable):
    """The settings cannot be right; the text says which and what to do. A process that meets it at its start refuses to start."""

    code, title = "misconfigured", "This installation is not set up rightly"
    passes_in_s = None


class DeadlineExceeded(Problem):
    status, code, title = 504, "deadline_exceeded", "This took too long and was stopped"
    passes_in_s = 1


class AddressRefused(Invalid):
    """An address of this machine, a private network, or one that cannot be reached safely."""

    code = "address_refused"
    title = "This address cannot be used"
