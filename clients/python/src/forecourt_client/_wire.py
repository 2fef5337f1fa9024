"""A call and its answer, without any input or output: what the sync and the async client have in common."""

from __future__ import annotations

import functools
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from enum import Enum
from pathlib import Path
from typing import IO, Any, Generic, Protocol, Self, TypeVar, cast, runtime_checkable
from urllib.parse import quote
from uuid import UUID, uuid4

import httpx
import msgspec
from msgspec import UNSET, UnsetType

from forecourt_client.errors import ConnectionLost, Problem, TimedOut, UnexpectedAnswer

VERSION = "0.1.0"
PROBLEM_JSON = "application/problem+json"
MAX_PAGE = 100
"""Entries that a house puts on one page, at most."""
_REPEATABLE = frozenset({"GET", "HEAD", "PUT", "DELETE"})
_OUR_FAULT = frozenset({500, 502, 503, 504})
_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)

T = TypeVar("T")


class Page(msgspec.Struct, Generic[T], frozen=True):
    """A part of a list, in its order. `next_cursor` is None on the last page."""

    items: list[T]
    next_cursor: str | None = None


class Content(msgspec.Struct, frozen=True):
    """Bytes of another type than JSON."""

    body: bytes
    media_type: str
    etag: str = ""
    file_name: str = ""
    not_modified: bool = False
    """It is what `if_none_match` names; `body` is empty."""


@runtime_checkable
class Versioned(Protocol):
    """Anything that a house gave with a `version`; it can be handed back as `if_match`."""

    @property
    def version(self) -> int: ...


@dataclass(frozen=True, slots=True)
class File:
    """A file to send. `content` is bytes, an open binary file, or a path; files are read as they are sent, not before."""

    content: bytes | IO[bytes] | Path
    name: str = ""
    type: str = "application/octet-stream"

    def opened(self) -> IO[bytes] | bytes:
        return self.content.open("rb") if isinstance(self.content, Path) else self.content

    @property
    def shown(self) -> str:
        """What the house is told that the file is called."""
        named = self.content.name if isinstance(self.content, Path) else getattr(self.content, "name", "")
        return self.name or (Path(named).name if isinstance(named, str) else "") or "file"


@dataclass(frozen=True, slots=True)
class Policy:
    """How much trouble a call takes. A try that may be repeated is, after growing pauses with jitter."""

    tries: int = 4
    timeout_s: float = 30.0
    """For connecting, and for each wait for bytes."""
    patience_s: float = 60.0
    """Seconds after which no further try begins, and the longest `Retry-After` that is waited for."""
    first_pause_s: float = 0.25
    longest_pause_s: float = 8.0

    def __post_init__(self) -> None:
        if self.tries < 1:
            raise ValueError("a call takes at least one try")


class Method(msgspec.Struct, frozen=True):
    """What an operation is on the wire."""

    verb: str
    path: str
    keyed: bool = False
    """Whether it takes `Idempotency-Key`."""


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One intent. Every try of it carries the same key."""

    method: Method
    answer: type[T]
    path: Mapping[str, object] = field(default_factory=dict[str, object])
    query: Mapping[str, object] = field(default_factory=dict[str, object])
    headers: Mapping[str, str | None] = field(default_factory=dict[str, str | None])
    body: object = UNSET
    content: bytes | None = None
    form: Mapping[str, object] = field(default_factory=dict[str, object])
    file: File | None = None
    key: str | None = None

    def asking(self, **query: object) -> Call[T]:
        """The same with other query parameters."""
        return replace(self, query={**self.query, **query})

    @property
    def repeatable(self) -> bool:
        """Whether two of it do what one does."""
        return self.method.verb in _REPEATABLE or self.method.keyed

    @property
    def rewindable(self) -> bool:
        """Whether its file can be sent from the beginning again."""
        if self.file is None or isinstance(self.file.content, bytes | Path):
            return True
        return self.file.content.seekable()

    def address(self) -> str:
        return self.method.path.format_map({name: quote(_plain(value), safe="") for name, value in self.path.items()})

    def parameters(self) -> dict[str, str]:
        return {name: _plain(value) for name, value in self.query.items() if not _absent(value)}


def _absent(value: object) -> bool:
    return value is None or value is UNSET or (isinstance(value, Sequence) and not isinstance(value, str) and not value)


def _plain(value: object) -> str:
    """A value as it stands in an address. Lists are joined by commas."""
    match value:
        case bool():
            return "true" if value else "false"
        case Enum():
            return str(value.value)
        case str():
            return value
        case date():
            return cast("str", msgspec.to_builtins(value))
        case UUID() | int() | float():
            return str(value)
        case Sequence():
            return ",".join(_plain(v) for v in cast("Sequence[object]", value))
        case _:
            raise TypeError(f"{type(value).__name__} cannot stand in an address")


def version_tag(wanted: int | Versioned | None) -> str | None:
    """`If-Match` for a version, or for the thing that was read."""
    if wanted is None:
        return None
    return f'"{wanted.version if isinstance(wanted, Versioned) else wanted}"'


class Attempts:
    """The tries of one call, with one key: which request goes out, and whether another try follows. The caller pauses.

    Leaving it closes a file that was opened for this call; one that the caller opened stays open.
    """

    def __init__(self, call: Call[Any], policy: Policy) -> None:
        self._call = call
        self._policy = policy
        self._key = call.key or str(uuid4())
        self._tried = 0
        self._file = call.file.opened() if call.file is not None else b""
        self._until = time.monotonic() + policy.patience_s

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._call.file is not None and isinstance(self._call.file.content, Path) and not isinstance(self._file, bytes):
            self._file.close()

    def request(self, http: httpx.Client | httpx.AsyncClient, signed: Mapping[str, str]) -> httpx.Request:
        """The next try."""
        call = self._call
        self._tried += 1
        headers = {
            "User-Agent": f"forecourt-client/{VERSION}",
            "Accept": f"application/json, {PROBLEM_JSON}, */*;q=0.1",
            **signed,
        }
        headers |= {name: value for name, value in call.headers.items() if value is not None}
        if call.method.keyed:
            headers["Idempotency-Key"] = self._key
        content: bytes | None = call.content
        if call.body is not UNSET:
            content = msgspec.json.encode(call.body)
            headers["Content-Type"] = "application/json"
        return http.build_request(
            call.method.verb,
            call.address(),
            params=call.parameters() or None,
            headers=headers,
            content=content,
            timeout=self._policy.timeout_s,
            **self._form(),
        )

    def _form(self) -> dict[str, Any]:
        file = self._call.file
        if file is None:
            return {}
        if self._tried > 1 and not isinstance(self._file, bytes):
            self._file.seek(0)
        data = {name: _plain(value) for name, value in self._call.form.items() if not _absent(value)}
        return {"data": data, "files": {"file": (file.shown, self._file, file.type)}}

    def lost(self, error: httpx.TransportError) -> float:
        """Seconds until the next try after no answer came. Raises ConnectionLost when there is none."""
        unsent = isinstance(error, _NEVER_SENT)
        hopeless = isinstance(error, httpx.UnsupportedProtocol | httpx.LocalProtocolError)
        if not hopeless and self._call.rewindable and (unsent or self._call.repeatable):
            pause = self._pause()
            if pause is not None:
                return pause
        kind = TimedOut if isinstance(error, httpx.TimeoutException) else ConnectionLost
        raise kind(f"{self._call.method.verb} {self._call.method.path}: {error or type(error).__name__}") from error

    def judge(self, response: httpx.Response) -> float | None:
        """Seconds until the next try; None when this is the answer."""
        call = self._call
        if response.status_code < 400 or not call.rewindable:
            return None
        refused = response.status_code == 429 or (call.method.keyed and _code(response) == "idempotency_in_flight")
        if refused or (response.status_code in _OUR_FAULT and call.repeatable):
            return self._pause(_retry_after(response))
        return None

    def _pause(self, asked: float | None = None) -> float | None:
        """None when there is no next try. What the house asks for is kept, and a little more: not all shall come back at once."""
        policy = self._policy
        if self._tried >= policy.tries:
            return None
        grown = min(policy.longest_pause_s, policy.first_pause_s * 2 ** (self._tried - 1))
        jitter = grown * (0.5 + random.random() / 2)
        pause = jitter if asked is None else asked + jitter / 2
        return None if time.monotonic() + pause > self._until else pause


def _retry_after(response: httpx.Response) -> float | None:
    text = response.headers.get("retry-after", "")
    return float(text) if text.isascii() and text.isdigit() else None


def _code(response: httpx.Response) -> str:
    return str(_members(response).get("code", ""))


def _members(response: httpx.Response) -> Mapping[str, object]:
    """The members of a problem; none when it is not one."""
    if not response.headers.get("content-type", "").startswith(PROBLEM_JSON):
        return {}
    try:
        return msgspec.json.decode(response.content, type=dict[str, Any])
    except msgspec.DecodeError:
        return {}


@functools.cache
def _decoder(kind: object) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(cast("type[Any]", kind))


def read(kind: type[T], response: httpx.Response) -> T:
    """The result in an answer. Raises Problem, and UnexpectedAnswer for what no house answers."""
    if response.status_code >= 400:
        members = _members(response)
        if not members:
            members = {"title": response.reason_phrase, "detail": f"answered with {response.status_code} and no problem document"}
        raise Problem.of(response.status_code, members, response.headers)
    if kind is type(None):
        return cast("T", None)
    if kind is Content:
        return cast("T", _content(response))
    if response.status_code >= 300:
        raise UnexpectedAnswer(f"answered with {response.status_code} to {response.headers.get('location', 'nowhere')}")
    try:
        return cast("T", _decoder(kind).decode(response.content))
    except msgspec.DecodeError as e:
        raise UnexpectedAnswer(f"{response.request.method} {response.request.url.path}: {e}") from e


def _content(response: httpx.Response) -> Content:
    disposition = response.headers.get("content-disposition", "")
    name = disposition.partition('filename="')[2].partition('"')[0]
    return Content(
        response.content,
        response.headers.get("content-type", ""),
        response.headers.get("etag", ""),
        name,
        response.status_code == 304,
    )


def next_page(page: Page[Any], before: str | None) -> str | None:
    """The cursor of the page after `page`. Raises UnexpectedAnswer when it would be the same page for ever."""
    if page.next_cursor is not None and page.next_cursor == before:
        raise UnexpectedAnswer("a page names itself as the next one")
    return page.next_cursor


def page_size(limit: int | None, size: int, given: int) -> int:
    """How many entries to ask for when `given` of `limit` were given."""
    if not 1 <= size <= MAX_PAGE:
        raise ValueError(f"a page has 1 to {MAX_PAGE} entries")
    return size if limit is None else min(size, limit - given)


__all__ = ["UNSET", "Attempts", "Call", "Content", "File", "Method", "Page", "Policy", "UnsetType", "Versioned", "version_tag"]
