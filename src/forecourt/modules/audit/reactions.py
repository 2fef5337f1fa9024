"""Every event of the house is recorded."""

from __future__ import annotations

from collections.abc import Iterable

from forecourt.kernel.events import Event, Subscription
from forecourt.modules.audit.service import AuditService


def subscriptions(service: AuditService, events: Iterable[type[Event]]) -> list[Subscription]:
    """`events` are all that exist: the composition root knows them once every module's contract is imported."""
    return [Subscription("audit.trail", "audit", tuple(events), service.record)]
