"""The module's doors: the contract as other modules call it, and the operations as HTTP declares them."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
from tests.modules.payments.conftest import Club, gbp

from forecourt.kernel.context import service_context
from forecourt.kernel.contracts import check_implementation, local
from forecourt.kernel.errors import Invalid
from forecourt.kernel.http.operation import AccessKind, Keyed
from forecourt.kernel.ids import new_id
from forecourt.modules.identity.rules import PERMISSIONS
from forecourt.modules.payments import jobs
from forecourt.modules.payments.contract import Charge, InsufficientCredits, Payments, PayWith, PromoFault
from forecourt.modules.payments.http import EntriesQuery, GrantBody, PaymentsApi, RefundBody
from forecourt.modules.payments.rules import FAULT_TEXTS


async def test_the_service_is_what_the_contract_says_and_errors_survive_the_trip(club: Club, ana: UUID) -> None:
    check_implementation(Payments, club.payments)
    payments = local(Payments, club.payments)
    wish = Charge(payment_id=new_id(), organisation_id=club.org, account_id=ana, amount=gbp(10), pay_with=PayWith.CREDITS)
    with pytest.raises(InsufficientCredits) as refusal:
        await payments.charge(club.ctx, wish)
    assert refusal.value.extra["needed"] == {"amount": 10, "currency": "GBP"}
    await club.grant(ana, 10)
    assert (await payments.charge(club.ctx, wish)).paid == gbp(10)
    assert (await payments.balance(club.ctx, ana))[0].balance == gbp(0)


async def test_operations_ask_for_permissions_that_exist_and_money_moves_under_a_key(club: Club) -> None:
    operations = PaymentsApi(club.payments).operations()
    for operation in operations:
        access = operation.declared.access
        assert ("{org_id}" in operation.path and "/orgs/" in operation.path) == (access.kind is AccessKind.STAFF)
        assert not access.permission or access.permission in PERMISSIONS
        if operation.method == "POST" and not operation.path.endswith("/check"):
            assert operation.declared.keyed is Keyed.YES
    assert len({(o.method, o.path) for o in operations}) == len(operations) == 14


async def test_staff_grant_refund_and_read_through_http(club: Club, ana: UUID) -> None:
    api = PaymentsApi(club.payments)
    lot = await api.grant(club.ctx, club.org, GrantBody(ana, gbp(100), "welcome"))
    with pytest.raises(Invalid):
        await api.grant(club.ctx, club.org, GrantBody(club.people.nobody, gbp(100), "welcome"))
    payment = await club.charge(ana, 60)
    assert (await api.refund(club.ctx, club.org, payment.payment_id, RefundBody("rain"))).amount == gbp(60)
    assert (await api.payment_for_staff(club.ctx, club.org, payment.payment_id)).refundable == gbp(0)
    entries = await api.entries(club.ctx, club.org, EntriesQuery(account="granted"))
    assert [(e.transfer_id, e.amount) for e in entries.items] == [(lot.id, -100)]
    assert (await api.proof(club.ctx, club.org))["GBP"].sum == 0


async def test_the_sweeps_are_scheduled_and_run(club: Club, ana: UUID) -> None:
    handlers = {h.kind.name: h for h in jobs.handlers(club.payments) if h.kind is not jobs.FORGET}
    assert {s.kind.name for s in jobs.schedules(club.payments)} == set(handlers)
    await club.grant(ana, 10, days=1)
    club.clock.advance(timedelta(days=2))
    for handler in handlers.values():
        await handler.run(service_context("payments"), jobs.Sweep())
    assert await club.payments.expire_due(club.ctx, club.org) == 0


def test_every_fault_of_a_code_has_its_text() -> None:
    assert set(FAULT_TEXTS) == set(PromoFault)
