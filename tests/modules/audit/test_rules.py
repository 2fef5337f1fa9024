"""Which objects an event is about, and what a spreadsheet is given."""

from __future__ import annotations

from uuid import UUID

import pytest

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


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1", "＠x"])
def test_what_a_spreadsheet_would_run_is_made_text(cell: str) -> None:
    assert rules.as_cell(cell) == f"'{cell}"


@pytest.mark.parametrize("cell", ["", "booking.confirmed", "2001:db8::1", '{"a":"=1+1"}', "a=b"])
def test_what_no_spreadsheet_runs_stays_as_it_is(cell: str) -> None:
    assert rules.as_cell(cell) == cell
