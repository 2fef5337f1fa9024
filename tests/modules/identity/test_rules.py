from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forecourt.modules.identity import rules
from forecourt.modules.identity.addresses import key_of, read_address
from forecourt.modules.identity.contract import AccountStatus
from forecourt.modules.identity.secrecy import Vault, new_code, new_placed_token, place_of_token

NOW = datetime(2026, 3, 29, 0, 59, tzinfo=UTC)


@given(st.frozensets(st.sampled_from(sorted(rules.PERMISSIONS))), st.frozensets(st.sampled_from(sorted(rules.PERMISSIONS))))
def test_nobody_grants_more_than_they_have(own: frozenset[str], wanted: frozenset[str]) -> None:
    assert rules.may_grant(own, wanted) == (wanted - own == frozenset())


def test_unknown_permissions_are_named() -> None:
    assert rules.unknown_permissions(["staff.read", "x.y", "a.b", "x.y"]) == ["a.b", "x.y"]
    assert rules.unknown_permissions(rules.PERMISSIONS) == []


@given(st.integers(0, 20), st.integers(-2000, 2000))
def test_a_lock_holds_from_the_tenth_failure_until_its_window_is_over(failures: int, left_s: int) -> None:
    wait = rules.locked(failures, NOW + timedelta(seconds=left_s), NOW)
    assert wait == (left_s if failures >= 10 and left_s > 0 else 0)


def test_without_failures_nothing_is_locked_and_a_part_of_a_second_counts_whole() -> None:
    assert rules.locked(10, None, NOW) == 0
    assert rules.locked(10, NOW + timedelta(milliseconds=1), NOW) == 1
    assert rules.locked(10, NOW + timedelta(milliseconds=1001), NOW) == 2


@pytest.mark.parametrize("status", AccountStatus)
def test_proof_of_the_address_opens_no_closed_account(status: AccountStatus) -> None:
    after = rules.status_after_proof(status)
    assert after is (AccountStatus.ACTIVE if status is AccountStatus.UNCONFIRMED else status)


def test_a_key_is_made_when_none_signs_and_a_day_before_the_last_one_ends() -> None:
    first = rules.next_span(None, NOW, signs_now=False)
    assert first is not None and first.signs_from == NOW and first.verifies_until > first.signs_until
    assert rules.next_span(first.signs_until, NOW, signs_now=True) is None
    late = first.signs_until - rules.PUBLISHED_AHEAD
    following = rules.next_span(first.signs_until, late, signs_now=True)
    assert following is not None and following.signs_from == first.signs_until
    assert rules.next_span(first.signs_until, late - timedelta(microseconds=1), signs_now=True) is None
    gap = rules.next_span(first.signs_until + timedelta(days=99), NOW, signs_now=False)
    assert gap is not None and gap.signs_from == NOW, "a key that signs later is of no use now"


@given(st.datetimes(timezones=st.just(UTC), min_value=datetime(2020, 1, 1), max_value=datetime(2090, 1, 1)))  # noqa: DTZ001
def test_every_token_of_a_key_dies_before_the_key_does(now: datetime) -> None:
    span = rules.next_span(None, now, signs_now=False)
    assert span is not None and span.verifies_until >= span.signs_until + rules.ACCESS_TTL


@given(st.text())
def test_any_text_has_a_key_and_folding_it_again_changes_nothing_for_addresses(text: str) -> None:
    key = key_of(text)
    assert key_of(key) == key or "@" not in text


def test_ways_of_writing_one_address_have_one_key() -> None:
    keys = {read_address(text).key for text in ("Ada@Example.org", " ada@example.ORG ", "ADA@EXAMPLE.ORG")}
    assert keys == {"ada@example.org"}


def test_a_placed_token_names_its_organisation_and_other_text_none() -> None:
    organisation = uuid4()
    assert place_of_token(new_placed_token(organisation)) == organisation
    assert {place_of_token(text) for text in ("", "x", "ж", "AAAA", "=" * 64)} == {None}


def test_what_is_sealed_opens_under_the_same_secret_and_name_only() -> None:
    vault = Vault("one secret")
    sealed = vault.seal(b"key", "k1")
    assert vault.unseal(sealed, "k1") == b"key"
    assert vault.unseal(sealed, "k2") is None
    assert Vault("another").unseal(sealed, "k1") is None
    assert vault.unseal(sealed[:-1] + bytes([sealed[-1] ^ 1]), "k1") is None


def test_codes_have_six_digits() -> None:
    assert all(len(code) == 6 and code.isdecimal() for code in (new_code() for _ in range(200)))
