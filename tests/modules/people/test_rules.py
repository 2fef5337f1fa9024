from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from forecourt.modules.people import rules
from forecourt.modules.people.contract import ProfileField, Visibility

CHOICES = st.dictionaries(st.sampled_from(ProfileField), st.sampled_from(Visibility))


@given(CHOICES)
def test_members_see_what_anyone_sees_and_nobody_sees_what_is_private(chosen: dict[ProfileField, Visibility]) -> None:
    anyone, members = rules.visible(chosen, signed_in=False), rules.visible(chosen, signed_in=True)
    audience = rules.full_visibility(chosen)
    assert anyone <= members
    assert anyone == {f for f in ProfileField if audience[f] is Visibility.PUBLIC}
    assert members == {f for f in ProfileField if audience[f] is not Visibility.PRIVATE}


def test_every_field_has_a_default() -> None:
    assert rules.full_visibility({}).keys() == set(ProfileField)


def test_reserved_words_are_reserved_whatever_their_case() -> None:
    assert rules.reserved("ADMIN") and rules.reserved("me")
    assert not rules.reserved("ada")
