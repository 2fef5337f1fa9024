"""Which objects an event is about."""

from __future__ import annotations

from uuid import UUID

from forecourt.modules.audit import rules
from forecourt.modules.audit.contract import AuditObject

ONE, TWO = UUID(int=1), UUID(int=2)


def test_an_event_mentions_what_its_ids_name_and_nothing_that_is_no_id() -> None:
    details = {
        "organisation_id": str(TWO),
        "booking_id": str(ONE),
        "resource_ids": [str(TWO), "no id"],
        "key_id": "x",
        "note": "y",
    }
    found = rules.mentions(details)
    assert found == [AuditObject("booking", ONE), AuditObject("resource", TWO)]
    assert rules.subject("resource.closed", found) == AuditObject("resource", TWO)
    assert rules.subject("payment.made", found) == AuditObject("booking", ONE)
    assert rules.subject("payment.made", []) == AuditObject("payment")
