from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest

from forecourt.kernel.errors import Invalid
from forecourt.kernel.paging import Keyset

KEYS = Keyset("bookings", tuple[datetime, UUID])
KEY = (datetime(2026, 12, 1, tzinfo=UTC), UUID("0198c0de-0000-7000-8000-00000000000a"))


def test_a_cursor_comes_back_as_its_key() -> None:
    assert KEYS.decode(KEYS.encode(KEY)) == KEY
    assert KEYS.decode(None) is None


@pytest.mark.parametrize(
    "cursor", ["", "x", "é", "A" * 600, "AAAA", KEYS.encode(KEY)[:-2], Keyset("rooms", tuple[datetime, UUID]).encode(KEY)]
)
def test_a_cursor_of_nobody_or_of_another_list_is_refused(cursor: str) -> None:
    with pytest.raises(Invalid) as caught:
        KEYS.decode(cursor)
    assert caught.value.errors[0].path == "cursor"


@pytest.mark.parametrize("key", [(2**63, ""), (0, "a\x00")])
def test_a_forged_cursor_cannot_carry_what_the_database_refuses(key: tuple[int, str]) -> None:
    keys = Keyset("forged", tuple[int, str])
    with pytest.raises(Invalid):
        keys.decode(keys.encode(key))
    assert keys.decode(keys.encode((2**63 - 1, "a"))) == (2**63 - 1, "a")


def test_the_surplus_row_says_that_there_is_more() -> None:
    numbers = Keyset("numbers", tuple[int])
    first = numbers.page([1, 2, 3], 2, lambda n: (n,))
    assert first.items == [1, 2] and numbers.decode(first.next_cursor) == (2,)
    assert numbers.page([1, 2], 2, lambda n: (n,)).next_cursor is None
