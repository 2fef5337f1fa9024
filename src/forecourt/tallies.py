"""What the house counts of its own business, from its events: each once, whichever processes run, and over every restart.

The sums lie in `kernel.tally` and move together with the cursor of the subscriber that counts. They are made of events alone, so
they can be made anew (`forecourt events rebuild`). Every worker tells the same sums, so a query takes their maximum,
never their total.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import msgspec
from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily

from forecourt.kernel.db import Query, Statement, Tx
from forecourt.kernel.events import Envelope, Event, Subscription
from forecourt.kernel.money import Money
from forecourt.kernel.snapshots import State
from forecourt.modules.booking.contract import (
    BookingCancelled,
    BookingCompleted,
    BookingConfirmed,
    BookingExpired,
    BookingHeld,
    BookingNoShow,
)
from forecourt.modules.identity.contract import AccountRegistered
from forecourt.modules.payments.contract import PaymentCaptured, PaymentRefunded

SUBSCRIBER = "kernel.tallies"
MAX_LABELS = 200
"""Of one tally, and one more for the rest; there are fewer currencies than that."""

COUNTED: dict[type[Event], tuple[str, str]] = {
    AccountRegistered: ("users_registered", "Accounts made"),
    BookingHeld: ("bookings_held", "Places claimed until they are paid"),
    BookingConfirmed: ("bookings_created", "Bookings made"),
    BookingCancelled: ("bookings_cancelled", "Bookings cancelled"),
    BookingExpired: ("bookings_expired", "Places given back because nobody paid in time"),
    BookingCompleted: ("bookings_completed", "Bookings that took place"),
    BookingNoShow: ("bookings_no_show", "Bookings to which nobody came"),
    PaymentCaptured: ("payments_captured", "Payments received"),
    PaymentRefunded: ("payments_refunded", "Refunds given"),
}
"""Events whose number is told, under which name."""

SUMMED: dict[str, str] = {
    "revenue_minor": "Money taken, in minor units; refunds are not subtracted",
    "refunds_minor": "Money given back, in minor units",
}
"""Amounts, by currency."""


class Tally(msgspec.Struct, frozen=True):
    name: str
    label: str
    total: int


ADD = Statement(
    "insert into kernel.tally as t (name, label, total)"
    " select a.name, a.label, a.more from unnest($1::text[], $2::text[], $3::bigint[]) as a (name, label, more)"
    " on conflict (name, label) do update set total = t.total + excluded.total"
)
SAVE = Query(
    str,
    "select coalesce(json_agg(json_build_array(t.name, t.label, t.total) order by t.name, t.label), '[]')::text"
    " from kernel.tally t",
)
CLEAR = Statement("delete from kernel.tally")
RESTORE = Statement(
    "insert into kernel.tally (name, label, total)"
    " select s.t ->> 0, s.t ->> 1, (s.t ->> 2)::numeric from json_array_elements($1::json) as s (t)"
)
ALL = Query(Tally, "select t.name, t.label, t.total::bigint from kernel.tally t order by t.name, t.label limit 1000")


async def count(tx: Tx, envelopes: list[Envelope[Any]]) -> None:
    sums: Counter[tuple[str, str]] = Counter()
    for envelope in envelopes:
        event = envelope.event
        sums[COUNTED[type(event)][0], ""] += 1
        match event:
            case PaymentCaptured(amount=Money(amount=amount, currency=currency)):
                sums["revenue_minor", currency] += amount
            case PaymentRefunded(amount=Money(amount=amount, currency=currency)):
                sums["refunds_minor", currency] += amount
            case _:
                pass
    places = sorted(sums)
    await tx.run(ADD, [name for name, _ in places], [label for _, label in places], [sums[place] for place in places])


async def save(tx: Tx) -> str:
    return await tx.one(SAVE)


async def restore(tx: Tx, saved: str) -> None:
    await tx.run(CLEAR)
    await tx.run(RESTORE, saved)


def subscription() -> Subscription:
    return Subscription(SUBSCRIBER, "kernel", tuple(COUNTED), count, state=State(save, restore, "[]"))


def families(tallies: Iterable[Tally]) -> Iterable[Metric]:
    """The sums as counters, with their stable names. What was never counted is 0, so that a rate has somewhere to begin."""
    found = {(t.name, t.label): t.total for t in tallies}
    for name, words in COUNTED.values():
        family = CounterMetricFamily(name, words)
        family.add_metric((), found.get((name, ""), 0))
        yield family
    for name, words in SUMMED.items():
        family = CounterMetricFamily(name, words, labels=("currency",))
        sums = [(label, total) for (tally, label), total in found.items() if tally == name]
        for label, total in sums[:MAX_LABELS]:
            family.add_metric((label,), total)
        if len(sums) > MAX_LABELS:
            family.add_metric(("other",), sum(total for _, total in sums[MAX_LABELS:]))
        yield family
