"""Shapes of input that few operations have, and what is true of them all."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Annotated, Any

import msgspec
import pytest
from msgspec import Meta

from forecourt.kernel.errors import BadRequest, FieldError, Invalid, Problem
from forecourt.kernel.http.decode import BodyDecoder, QueryDecoder, checker, nothing_needed, single


class Stay(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    night: date


class Visit(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag=True):
    at: datetime


class Note(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag=True):
    text: str


class Node(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    children: list[Node] = []


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    by_day: dict[str, Stay] = {}
    counts: dict[str, int] = {}
    days: dict[int, date] = {}
    what: Visit | Note | None = None
    either: list[str] | str | None = None
    numbers: list[int] = []
    size: int | None = None
    root: Node | None = None
    anything: list = []  # type: ignore[type-arg]


def fault_of(kind: object, raw: bytes) -> tuple[str, str]:
    with pytest.raises(Invalid) as caught:
        BodyDecoder(kind)(raw)
    return caught.value.errors[0].path, caught.value.errors[0].message


@pytest.mark.parametrize(
    ("raw", "path", "says"),
    [
        (b'{"by_day": {"mon": {"night": "1999-12-31"}}}', "by_day.mon.night", "years"),
        (b'{"by_day": {"m\\u0000n": {"night": "2026-01-01"}}}', "by_day", "NUL"),
        (b'{"counts": {"\\u0000": 1}}', "counts", "NUL"),
        (b'{"days": {"1": "1999-01-01"}}', "days.1", "years"),
        (b'{"what": {"type": "Visit", "at": "1999-01-01T00:00:00Z"}}', "what.at", "years"),
        (b'{"what": {"type": "Note", "text": "\\u0000"}}', "what.text", "NUL"),
        (b'{"either": ["a", "\\u0000"]}', "either[1]", "NUL"),
        (b'{"either": "\\u0000"}', "either", "NUL"),
        (b'{"root": {"name": "\\u0000"}}', "root.name", "NUL"),
        (b'{"numbers": [1, "2"]}', "numbers[1]", "whole number"),
    ],
)
def test_a_fault_deep_inside_names_its_place(raw: bytes, path: str, says: str) -> None:
    where, what = fault_of(Plan, raw)
    assert where == path and says in what


def test_every_shape_passes_when_nothing_is_wrong() -> None:
    found: Any = BodyDecoder(Plan)(
        b'{"by_day": {"mon": {"night": "2026-01-01"}}, "counts": {"a": 1}, "days": {"1": "2026-01-01"}, "either": "x",'
        b' "what": {"type": "Note", "text": "hello"}, "size": 3, "numbers": [1], "anything": [1],'
        b' "root": {"name": "a", "children": [{"name": "b"}]}}'
    )
    assert (found.by_day["mon"].night, found.what, found.either) == (date(2026, 1, 1), Note("hello"), "x")


def test_what_needs_no_check_has_none() -> None:
    assert [checker(kind) for kind in (int, int | None, list[int], list, bool)] == [None] * 5
    assert all(checker(kind) is not None for kind in (str, str | None, list[str], Annotated[str, Meta(max_length=3)], date))
    assert BodyDecoder(int)(b"7") == 7
    with pytest.raises(BadRequest):
        BodyDecoder(int)(b"")
    assert not nothing_needed(int) and not nothing_needed(Stay) and nothing_needed(Plan)


def test_a_time_without_an_offset_is_refused_whatever_the_type_says() -> None:
    class Loose(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
        at: datetime

    assert fault_of(Loose, b'{"at": "2026-01-01T10:00:00"}') == ("at", "a time needs an offset, such as 2026-12-01T18:00:00Z")
    assert BodyDecoder(Loose)(b'{"at": "2026-01-01T10:00:00Z"}') == Loose(datetime(2026, 1, 1, 10, tzinfo=UTC))


def test_nesting_without_end_is_refused_where_any_depth_is_allowed() -> None:
    with pytest.raises(BadRequest, match="deep"):
        BodyDecoder(Any)(b"[" * 100_000 + b"]" * 100_000)
    assert BodyDecoder(Any)(b"[[[]]]") == [[[]]]


def test_a_struct_that_is_given_as_something_else_is_left_to_its_own_check() -> None:
    # A union of a struct and text: the struct's check meets text, and lets it be.
    check = checker(Stay | str)
    assert check is not None
    check("text", "what")
    with pytest.raises(Invalid):
        check("\x00", "what")
    entries = checker(dict[str, str] | str)
    assert entries is not None
    entries("text", "what")


class Counting(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    n: int = 0
    ids: list[int] | None = None


def test_a_query_of_numbers_takes_lists_in_both_ways_and_leaves_blanks_out() -> None:
    query = QueryDecoder(Counting, ignore=frozenset({"csrf_token"}))
    assert query(b"n=3&ids=1,2&ids=3&csrf_token=x&csrf_token=y") == Counting(3, [1, 2, 3])
    assert query(b"n=&ids=") == Counting(0, [])

    class Numbers(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
        n: int

    assert QueryDecoder(Numbers)(b"n=7") == Numbers(7)  # a struct whose fields need no check
    with pytest.raises(Invalid) as caught:
        query(b"nope=")
    assert caught.value.errors[0].path == "nope"


def test_a_list_of_faults_is_one_problem_and_an_empty_one_is_none() -> None:
    single([])
    with pytest.raises(Invalid) as caught:
        single([FieldError("a", "first"), FieldError("b", "second")])
    assert [e.path for e in caught.value.errors] == ["a", "b"] and caught.value.detail == "first"


def test_a_problem_without_a_code_of_its_own_goes_by_that_of_its_kind() -> None:
    class Refined(Invalid):
        title = "More precisely"

    assert Refined().document("")["code"] == "invalid"
    assert Problem.registered("invalid") is Invalid
