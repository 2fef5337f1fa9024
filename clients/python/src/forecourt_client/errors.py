"""What can go wrong, as exceptions.

ForecourtError
├── ConnectionLost          no answer came
│   └── TimedOut            … in time
├── UnexpectedAnswer        an answer came, but not one of a Forecourt house
├── NotSignedIn             there is nobody to sign the request for
└── Problem                 the house said no (RFC 9457): `code`, `detail`, `errors`, `trace_id`
    ├── BadRequest, Unauthenticated, PaymentRequired, Forbidden, NotFound, Conflict, …   by status
    └── forecourt_client.problems: SlotTaken, InsufficientCredits, …                     by code
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, cast

import msgspec


class ForecourtError(Exception):
    """Base of everything that this package raises."""


class ConnectionLost(ForecourtError):
    """No answer came. Whether the house did what was asked is unknown, unless the request could be repeated safely: then it was,
    and in the end gave up."""


class TimedOut(ConnectionLost):
    """No answer came in time."""


class UnexpectedAnswer(ForecourtError):
    """What answered is not a Forecourt house, or of a version that this client cannot read."""


class NotSignedIn(ForecourtError):
    """The client has neither a key nor tokens."""


class FieldError(msgspec.Struct, frozen=True):
    """One fault in the input: where (`duration_min`, `rules[2].amount`) and what to do about it."""

    path: str
    message: str


class Problem(ForecourtError):
    """The house said no. Decide by the class or by `code`; `title` and `detail` are for people."""

    _by_status: ClassVar[dict[int, type[Problem]]] = {}
    _by_code: ClassVar[dict[str, type[Problem]]] = {}

    def __init_subclass__(cls, *, status: int = 0, code: str = "") -> None:
        super().__init_subclass__()
        if status:
            Problem._by_status[status] = cls
        if code:
            Problem._by_code[code] = cls

    def __init__(self, status: int, members: Mapping[str, object], headers: Mapping[str, str]) -> None:
        rest = dict(members)
        self.status = status
        self.code = _text(rest.pop("code", ""))
        """Stable: `slot_taken`."""
        self.title = _text(rest.pop("title", ""))
        self.detail = _text(rest.pop("detail", ""))
        self.trace_id = _text(rest.pop("trace_id", ""))
        self.request_id = headers.get("x-request-id", "")
        """Name it, or `trace_id`, when you ask the house what happened."""
        self.errors = _errors(rest.pop("errors", None))
        """Of 422: which fields, and why."""
        self.retry_after_s = _seconds(headers.get("retry-after", ""))
        rest.pop("type", None)
        rest.pop("status", None)
        self.more: dict[str, object] = rest
        """What else this problem carries, such as `alternatives`; plain JSON values."""
        super().__init__(f"{status} {self.code}: {self._words()}")

    def _words(self) -> str:
        faults = "; ".join(f"{e.path} {e.message}" for e in self.errors)
        return faults or self.detail or self.title

    @classmethod
    def of(cls, status: int, members: Mapping[str, object], headers: Mapping[str, str]) -> Problem:
        """The problem as the class of its code, or of its status."""
        kind = cls._by_code.get(_text(members.get("code", ""))) or cls._by_status.get(status)
        if kind is None:
            kind = ServerFault if status >= 500 else Problem
        return kind(status, members, headers)


class BadRequest(Problem, status=400, code="bad_request"):
    """The request cannot be read."""


class Unauthenticated(Problem, status=401, code="unauthenticated"):
    """Nobody is signed in, or the token is over and could not be renewed."""


class PaymentRequired(Problem, status=402, code="payment_required"):
    """Credits or a payment are missing."""


class Forbidden(Problem, status=403, code="forbidden"):
    """You see it, but may not."""


class NotFound(Problem, status=404, code="not_found"):
    """It is not there, or not yours: both look the same."""


class MethodNotAllowed(Problem, status=405, code="method_not_allowed"):
    """This address does not answer that method: the house is of another version."""


class TooSlow(Problem, status=408, code="request_timeout"):
    """The request took too long to arrive."""


class Conflict(Problem, status=409, code="conflict"):
    """The world moved."""


class Gone(Problem, status=410, code="gone"):
    """It is no longer here."""


class PreconditionFailed(Problem, status=412, code="version_stale"):
    """Somebody edited it since you read it: read again, then decide."""


class TooLarge(Problem, status=413, code="too_large"):
    """The request is too large."""


class UnsupportedMedia(Problem, status=415, code="unsupported_media_type"):
    """This content type is not understood."""


class RangeNotSatisfiable(Problem, status=416, code="range_not_satisfiable"):
    """There are no bytes there."""


class Invalid(Problem, status=422, code="invalid"):
    """`errors` says which field, and why."""


class RateLimited(Problem, status=429, code="rate_limited"):
    """Too many; `retry_after_s` says how long to wait. It was longer than the client's patience."""


class ServerFault(Problem, status=500, code="internal"):
    """The house's fault. What can be repeated safely was repeated."""


class Unavailable(ServerFault, status=503, code="unavailable"):
    """A part of the house is away."""


class DeadlineExceeded(ServerFault, status=504, code="deadline_exceeded"):
    """It took too long and was stopped."""


class IdempotencyInFlight(Conflict, code="idempotency_in_flight"):
    """The first request with that key is still running. It was waited for, but not for so long."""


class IdempotencyMismatch(Invalid, code="idempotency_mismatch"):
    """That key belongs to another request: one key is for one intent."""


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _errors(value: object) -> tuple[FieldError, ...]:
    if not isinstance(value, list):
        return ()
    found = [cast("dict[str, object]", e) for e in cast("list[object]", value) if isinstance(e, dict)]
    return tuple(FieldError(_text(e.get("path", "")), _text(e.get("message", ""))) for e in found)


def _seconds(header: str) -> float | None:
    """`Retry-After` in seconds. The form with a date is not sent by a house; it counts as none."""
    return float(header) if header.isascii() and header.isdigit() else None
