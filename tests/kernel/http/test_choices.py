"""A wrong word is answered with the right ones."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal
from uuid import UUID

import msgspec
import pytest
from msgspec import Meta

from forecourt.kernel.errors import BadRequest, Invalid
from forecourt.kernel.http.choices import MOST, words_at
from forecourt.kernel.http.decode import BodyDecoder, PageQueryDecoder, QueryDecoder


class Means(StrEnum):
    CREDITS = "credits"
    DESK = "desk"


Many = StrEnum("Many", [f"W{n}" for n in range(MOST + 1)])


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    per: Literal["hour", "booking"]


class Order(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, rename={"pay_": "pay"}):
    pay_: Means | None = None
    id: UUID | None = None
    rules: Annotated[list[Annotated[Rule, Meta(description="a rule")]], Meta(max_length=3)] = []
    by_day: dict[str, list[Means]] = {}
    many: Many | None = None
    minutes: int | None = None
    share: float | None = None
    note: str | None = None
    now: bool = False
    code: Annotated[str, Meta(pattern="^[0-9]{6}$")] | None = None


def said(body: bytes) -> tuple[str, str]:
    with pytest.raises(Invalid) as refused:
        BodyDecoder(Order)(body)
    return refused.value.errors[0].path, refused.value.errors[0].message


@pytest.mark.parametrize(
    ("body", "path", "message"),
    [
        (b'{"pay": "gold"}', "pay", "is one of credits, desk"),
        (b'{"rules": [{"per": "hour"}, {"per": "day"}]}', "rules[1].per", "is one of hour, booking"),
        (b'{"by_day": {"mon": ["desk", "gold"]}}', "by_day[...][1]", "is one of credits, desk"),
        (b'{"many": "w99"}', "many", "is not a word that is known here"),
        (b'{"minutes": 60.5}', "minutes", "is a whole number"),
        (b'{"minutes": "60"}', "minutes", "is a whole number"),
        (b'{"share": "half"}', "share", "is a number"),
        (b'{"note": 7}', "note", "is text"),
        (b'{"now": "yes"}', "now", "is true or false"),
        (b'{"rules": {}}', "rules", "is a list"),
        (b'[{"pay": "desk"}]', "", "is an object with named members"),
        (b'{"code": "12345x"}', "code", "is not written as it should be: ^[0-9]{6}$"),
    ],
)
def test_what_does_not_fit_is_said_in_words(body: bytes, path: str, message: str) -> None:
    assert said(body) == (path, message)


def test_a_query_is_answered_in_the_same_words() -> None:
    class Wanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
        status: list[Means] = []
        limit: int = 20

    for query, message in ((b"status=desk,gold", "is one of credits, desk"), (b"limit=x", "is a whole number")):
        with pytest.raises(Invalid) as refused:
            QueryDecoder(Wanted)(query)
        assert refused.value.errors[0].message == message


def test_a_page_passes_over_names_it_does_not_know_and_a_program_is_told_of_them() -> None:
    class Wanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
        limit: int = 20

    query = b"utm_source=letter&limit=5&utm_source=again"
    assert PageQueryDecoder(Wanted)(query) == Wanted(5)
    with pytest.raises(Invalid) as refused:
        QueryDecoder(Wanted)(query)
    assert refused.value.errors[0].path == "utm_source"
    with pytest.raises(Invalid):
        PageQueryDecoder(Wanted)(b"limit=5&limit=6")


def test_what_has_no_words_of_ours_is_said_as_the_reader_says_it() -> None:
    path, message = said(b'{"id": 7}')
    assert path == "id" and "uuid" in message


def test_what_is_no_text_at_all_is_said_to_be_none() -> None:
    with pytest.raises(BadRequest, match="not UTF-8"):
        BodyDecoder(Order)(b'{"note": "\xe9"}')


@pytest.mark.parametrize("path", ["", "nothing", "minutes", "rules.per.more", "pay.deeper", "rules[0]"])
def test_where_there_is_no_closed_set_there_are_no_words(path: str) -> None:
    assert words_at(Order, path) == []
    assert words_at(Order, "pay") == ["credits", "desk"], "or the test proves nothing"
