"""All that is wrong with a body is said at once, each at its place, the first first."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
import pytest
from msgspec import UNSET, Meta, UnsetType

from forecourt.kernel.errors import Invalid
from forecourt.kernel.http.decode import BodyDecoder
from forecourt.kernel.http.faults import MOST


class Money(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    amount: Annotated[int, Meta(ge=0)]
    currency: Annotated[str, Meta(pattern="^[A-Z]{3}$")]


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"from_": "from"}):
    from_: datetime
    price: Money | None = None


class Text(msgspec.Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    text: str


class Number(msgspec.Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    number: int


class Order(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    id: UUID
    people: Annotated[int, Meta(ge=1)]
    rules: Annotated[list[Rule], Meta(max_length=30)] = []
    note: str | UnsetType = UNSET
    price: Annotated[Money | None, Meta(description="what it costs")] = None
    by_day: dict[str, int] = {}
    what: Text | Number | None = None


class Loose(msgspec.Struct, frozen=True):
    """Takes what it does not know."""

    n: int
    m: int = 0


def told(kind: object, raw: bytes) -> list[tuple[str, str]]:
    with pytest.raises(Invalid) as caught:
        BodyDecoder(kind)(raw)
    assert caught.value.detail == caught.value.errors[0].message
    return [(e.path, e.message) for e in caught.value.errors]


ID = b'"id": "0192a1b2-0000-7000-8000-000000000000"'


@pytest.mark.parametrize(
    ("raw", "paths"),
    [
        (b"{}", ["id", "people"]),
        (b'{"id": "x", "people": 0, "note": 7}', ["id", "people", "note"]),
        (b'{"admin": true, "people": 0}', ["admin", "id", "people"]),
        (b"{" + ID + b', "people": 1, "note": 7}', ["note"]),
        (
            b"{" + ID + b', "people": 0, "rules": [{"from": "soon"}, {"from": "2026-01-01T00:00:00Z", "price":'
            b' {"amount": -1, "currency": "pounds", "tip": 1}}, {}]}',
            [
                "people",
                "rules[0].from",
                "rules[1].price.amount",
                "rules[1].price.currency",
                "rules[1].price.tip",
                "rules[2].from",
            ],
        ),
        (b"{" + ID + b', "people": 0, "rules": {}, "price": 7}', ["people", "rules", "price"]),
        (b"{" + ID + b', "people": 0, "price": {"amount": "1", "currency": "GBP"}}', ["people", "price.amount"]),
        (b"{" + ID + b', "people": 0, "by_day": {"mon": "x"}}', ["people", "by_day[...]"]),
        (b"{" + ID + b', "people": 0, "what": {"type": "Number", "number": "x"}}', ["people", "what.number"]),
    ],
)
def test_every_fault_of_a_body_is_told_and_the_first_stays_the_first(raw: bytes, paths: list[str]) -> None:
    assert [path for path, _ in told(Order, raw)] == paths


def test_each_fault_says_what_to_do_as_it_would_alone() -> None:
    raw = b'{"id": "x", "people": 0, "rules": [{"from": "soon"}]}'
    said = dict(told(Order, raw))
    assert said == {"id": "not an id", "people": "at least 1", "rules[0].from": "not a time; write it like 2026-12-01T18:00:00Z"}
    for alone in (
        b'{"id": "x", "people": 1}',
        b"{" + ID + b', "people": 0}',
        b"{" + ID + b', "people": 1, "rules": [{"from": "soon"}]}',
    ):
        ((path, message),) = told(Order, alone)
        assert said[path] == message


def test_what_is_broken_after_its_first_fault_has_that_one() -> None:
    assert told(Order, b'{"id": "x", "people": 0, "rules": [') == [("id", "not an id")]
    assert told(Order, b'{"id": "x", "people": 0, "rules": ' + b"[" * 10_000 + b"]" * 10_000 + b"}") == [("id", "not an id")]


class Node(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    n: int = 0
    below: list[Node] = []


def test_refusing_costs_no_more_than_looking_a_little_way_down_and_along() -> None:
    deep = b'{"n": "x", "below": [' * 50 + b"{}" + b"]}" * 50
    paths = [path for path, _ in told(Node, deep)]
    assert paths[0] == "n" and 1 < len(paths) < 12
    long = b'{"n": "x", "below": [' + b"{}, " * 200 + b'{"n": "x"}]}'
    assert [path for path, _ in told(Node, long)] == ["n", "below[200].n"]
    short = b'{"n": "x", "below": [' + b"{}, " * 50 + b'{"n": "x"}]}'
    assert [path for path, _ in told(Node, short)] == ["n", "below[50].n"]


def test_a_list_of_faults_has_an_end() -> None:
    raw = b"[" + b",".join([b"{}"] * 500) + b"]"
    assert len(told(list[Money], raw)) == MOST
    assert [path for path, _ in told(list[Money], raw)][:2] == ["[0].amount", "[0].currency"]


def test_what_nobody_knows_is_no_fault_where_it_is_let_be() -> None:
    assert told(Loose, b'{"n": "1", "m": "2", "o": 3}') == [("n", "is a whole number"), ("m", "is a whole number")]
    assert BodyDecoder(Loose)(b'{"n": 1, "o": 3}') == Loose(1)
