"""Bad input is refused with the place and the remedy, and nothing at the door is a 500."""

from datetime import date, datetime
from typing import Annotated
from uuid import UUID

import msgspec
import pytest
from msgspec import Meta

from forecourt.kernel.errors import BadRequest, Invalid, Problem
from forecourt.kernel.http.decode import BodyDecoder, QueryDecoder


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: Annotated[str, Meta(min_length=1, max_length=10)]
    at: Annotated[datetime, Meta(tz=True)] | None = None


class Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    duration_min: Annotated[int, Meta(ge=15, le=240, multiple_of=15)]
    parts: Annotated[list[Part], Meta(max_length=3)] = []
    note: str | None = None


class Query(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"from_": "from"}):
    from_: date
    limit: Annotated[int, Meta(ge=1, le=100)] = 20
    ids: Annotated[list[UUID], Meta(max_length=3)] = []
    q: Annotated[str, Meta(max_length=5)] | None = None


body = BodyDecoder(Body)
query = QueryDecoder(Query)


def refused(raw: bytes) -> Problem:
    with pytest.raises(Problem) as caught:
        body(raw)
    return caught.value


def test_good_input_passes() -> None:
    assert body(b'{"duration_min": 60, "parts": [{"name": "a", "at": "2026-12-01T18:00:00+05:00"}]}').duration_min == 60  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("raw", "path", "says"),
    [
        (b"{}", "duration_min", "is needed"),
        (b'{"duration_min": 17}', "duration_min", "a multiple of 15"),
        (b'{"duration_min": 0}', "duration_min", "at least 15"),
        (b'{"duration_min": 100000}', "duration_min", "at most 240"),
        (b'{"duration_min": 60, "admin": true}', "admin", "not known"),
        (b'{"duration_min": 60, "parts": [{"name": ""}]}', "parts[0].name", "empty"),
        (b'{"duration_min": 60, "parts": [{"name": "a"}, {"name": "b", "x": 1}]}', "parts[1].x", "not known"),
        (b'{"duration_min": 60, "parts": [{"name": "a", "at": "2026-12-01T18:00:00"}]}', "parts[0].at", "offset"),
        (b'{"duration_min": 60, "parts": [{"name": "a", "at": "soon"}]}', "parts[0].at", "not a time"),
        (b'{"duration_min": 60, "parts": [{"name": "a", "at": "0001-01-01T00:00:00+14:00"}]}', "parts[0].at", "years"),
        (b'{"duration_min": 60, "parts": [{"name": "a", "at": "9999-12-31T23:59:59-12:00"}]}', "parts[0].at", "years"),
        (b'{"duration_min": 60, "note": "a\\u0000b"}', "note", "NUL"),
        (b'{"duration_min": "60"}', "duration_min", "whole number"),
        (b"[]", "", "object"),
    ],
)
def test_a_fault_names_its_place(raw: bytes, path: str, says: str) -> None:
    problem = refused(raw)
    assert isinstance(problem, Invalid)
    assert problem.errors[0].path == path
    assert says in problem.errors[0].message


@pytest.mark.parametrize("raw", [b"", b"{", b"nonsense", b"\xff\xfe", b'{"duration_min": 60', b'{"note": "\\ud800"}'])
def test_what_is_not_json_is_a_400(raw: bytes) -> None:
    assert isinstance(refused(raw), BadRequest)


@pytest.mark.parametrize(
    "raw", [b"[" * 100_000, b'{"parts":' + b"[" * 100_000, b'{"zzz":' + b"[" * 100_000 + b"]" * 100_000 + b"}"]
)
def test_deep_nesting_is_refused_and_not_fatal(raw: bytes) -> None:
    assert refused(raw).status in (400, 422)


def test_a_body_may_be_left_out_when_nothing_in_it_is_needed() -> None:
    class Reason(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
        reason: str = ""

    assert BodyDecoder(Reason)(b"").reason == ""  # type: ignore[attr-defined]
    assert isinstance(refused(b""), BadRequest)  # Body needs a duration


def test_a_query_is_read_from_text() -> None:
    a, b = UUID(int=1), UUID(int=2)
    found = query(f"from=2026-12-01&limit=5&ids={a},{b}&q=".encode())
    assert isinstance(found, Query)
    assert (found.from_, found.limit, found.ids, found.q) == (date(2026, 12, 1), 5, [a, b], None)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        (b"", "from"),
        (b"from=2026-13-01", "from"),
        (b"from=2026-12-01&limit=0", "limit"),
        (b"from=2026-12-01&limit=101", "limit"),
        (b"from=2026-12-01&limit=1e3", "limit"),
        (b"from=2026-12-01&limit=99999999999999999999", "limit"),
        (b"from=2026-12-01&nope=1", "nope"),
        (b"from=2026-12-01&from=2026-12-02", "from"),
        (b"from=1200-01-01", "from"),
        (b"from=2026-12-01&q=abcdef", "q"),
        (b"from=2026-12-01&q=a%00b", "q"),
    ],
)
def test_a_bad_query_names_its_parameter(text: bytes, path: str) -> None:
    with pytest.raises(Invalid) as caught:
        query(text)
    assert caught.value.errors[0].path == path


@pytest.mark.parametrize("text", [b"q=%ff", b"&".join(b"a%d=1" % i for i in range(500))])
def test_an_unreadable_query_is_a_400(text: bytes) -> None:
    with pytest.raises(BadRequest):
        query(text)
