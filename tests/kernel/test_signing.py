"""Addresses that open one thing until a moment."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from forecourt.kernel.signing import Signer

NOW = datetime(2026, 6, 1, 12, 10, tzinfo=UTC)


def test_an_address_opens_its_own_thing_until_it_expires() -> None:
    links = Signer(b"a secret", "media addresses")
    last = NOW + timedelta(hours=1)
    expires = int(last.timestamp())
    signed = links.sign("this", expires)
    assert links.opens("this", expires, signed, NOW)
    assert links.opens("this", expires, signed, last - timedelta(seconds=1))
    assert not links.opens("this", expires, signed, last)
    assert not links.opens("that", expires, signed, NOW)
    assert not links.opens("this", expires + 3600, signed, NOW)
    assert not links.opens("this", expires, signed[::-1], NOW)
    assert not links.opens("this", None, signed, NOW)
    assert not links.opens("this", expires, None, NOW)


def test_another_house_and_another_kind_of_address_sign_otherwise() -> None:
    expires = int(NOW.timestamp()) + 60
    signed = Signer(b"a secret", "media addresses").sign("this", expires)
    assert not Signer(b"another", "media addresses").opens("this", expires, signed, NOW)
    assert not Signer(b"a secret", "people exports").opens("this", expires, signed, NOW)
