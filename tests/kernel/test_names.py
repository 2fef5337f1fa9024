from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forecourt.kernel.names import tidy


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("  Ada \t Lovelace\n", "Ada Lovelace"),
        ("Zoe\u0308", "Zoë"),
        ("\u202eevil\u202c", "evil"),
        ("Ada\u200b\u2060\ufeff", "Ada"),
        ("a\x07b", "a b"),
        ("محمد علی", "محمد علی"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("\U0001f469\u200d\U0001f52c", "\U0001f469\u200d\U0001f52c"),
        ("\u2066\u2069 \u200b", ""),
        ("<script>", "<script>"),
    ],
)
def test_a_name_keeps_what_can_be_seen(typed: str, kept: str) -> None:
    assert tidy(typed) == kept


@given(st.text(max_size=60))
def test_a_tidy_name_stays_as_it_is(typed: str) -> None:
    assert tidy(tidy(typed)) == tidy(typed)
