"""What people were told: the latest messages of each organisation in its log, one of them stuck, and the inboxes they lie in."""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterable
from datetime import timedelta
from uuid import UUID

from forecourt.demo.ids import id_at
from forecourt.demo.story import Booked, Step
from forecourt.demo.world import World
from forecourt.demo.write import Connection, Row, copy, to_json
from forecourt.kernel.money import Money
from forecourt.kernel.web import formats
from forecourt.modules.booking.contract import BookingAction
from forecourt.modules.notifications import wording
from forecourt.modules.notifications.contract import Channel
from forecourt.modules.notifications.queries.queue import Content
from forecourt.modules.notifications.rules import KINDS
from forecourt.modules.notifications.wording import Surround

MOST = 60
"""Happenings of one organisation that were told."""
STUCK = "the mail server refuses the address (550)"
LATELY = timedelta(hours=36)
"""Older messages were read."""
_TOLD = {
    BookingAction.CONFIRM: "booking.confirmed",
    BookingAction.CANCEL: "booking.cancelled",
    BookingAction.REQUEST_APPROVAL: "booking.approval_asked",
    BookingAction.DECLINE: "booking.declined",
}
_Happening = tuple[Booked, Step, UUID]


async def tell_people(connection: Connection, world: World, bookings: Iterable[Booked], dice: random.Random) -> None:
    """Deliveries and inbox entries for the last happenings of an organisation's bookings."""
    told = [
        (b, step, b.account_id)
        for b in bookings
        for step in b.steps
        if step.action in _TOLD and b.account_id is not None and step.at <= world.now
    ]
    chosen = heapq.nlargest(MOST, told, key=lambda n: (n[1].at, n[0].id))
    # Whoever the demo shows has something to read, however long ago they booked.
    mahnoor = world.person("mahnoor@example.org").id
    hers = heapq.nlargest(8, (n for n in told if n[2] == mahnoor), key=lambda n: (n[1].at, n[0].id))
    chosen += [n for n in hers if n not in chosen]
    news = hers[:2]
    for number, happening in enumerate(sorted(chosen, key=lambda n: (n[1].at, n[0].id))):
        read = happening not in news and (happening[1].at < world.now - LATELY or dice.random() < 0.3)
        await _one(connection, happening, dice, stuck=number == len(chosen) // 2, read=read)


async def _one(connection: Connection, happening: _Happening, dice: random.Random, *, stuck: bool, read: bool) -> None:
    booked, step, account_id = happening
    kind, org, at = KINDS[_TOLD[step.action]], booked.site.organisation_id, step.at + timedelta(seconds=2)
    mail, inbox = id_at(dice, at), id_at(dice, at)
    email = booked.person.email if booked.person else ""
    letter, short = (_content(kind.name, channel, booked) for channel in (Channel.EMAIL, Channel.IN_APP))
    rows: list[Row] = [
        (org, mail, account_id, kind.name, kind.topic.value, "email", email, "en", to_json(letter), "failed" if stuck else "sent",
         1, "mail server", STUCK if stuck else "", at, None if stuck else at, at),
        (org, inbox, account_id, kind.name, kind.topic.value, "in_app", str(account_id), "en", to_json(short),
         "opened" if read else "delivered", 0, "inbox", "", at, at, at),
    ]  # fmt: skip
    await copy(
        connection,
        "notifications.delivery",
        "organisation_id id account_id kind topic channel recipient locale content status tries provider error created_at sent_at"
        " changed_at",
        rows,
    )
    await copy(
        connection,
        "notifications.attempt",
        "organisation_id delivery_id id at provider taken error",
        [(org, mail, id_at(dice, at), at, "mail server", not stuck, STUCK if stuck else "")],
    )
    seq: int = await connection.fetchval(
        "insert into notifications.inbox (account_id, epoch, seq, changed_at) values ($1, 'demo', 1, $2)"
        " on conflict (account_id) do update set seq = notifications.inbox.seq + 1 returning seq",
        account_id,
        at,
    )
    await copy(
        connection,
        "notifications.entry",
        "account_id id seq kind topic urgency place_id delivery_id title body href created_at read_at",
        [
            (account_id, id_at(dice, at), seq, kind.name, kind.topic.value, kind.urgency.value, org, inbox, short.subject,
             short.text, short.href, at, at + timedelta(minutes=20) if read else None)
        ],
    )  # fmt: skip


def _content(kind: str, channel: Channel, b: Booked) -> Content:
    venue, currency = b.site.book.venue, b.site.book.organisation.currency
    day = formats.date("en", b.starts_at, venue.timezone)
    hours = formats.time_range("en", b.starts_at, b.ends_at, venue.timezone)
    back = b.returned[1] if b.returned else 0
    values = {
        "person": b.person.name if b.person else "",
        "organisation": b.site.book.organisation.name,
        "venue": venue.name,
        "place": b.resource.name,
        "address": venue.address,
        "date": day,
        "time": hours,
        "when": f"{day}, {hours}",
        "price": formats.money("en", Money(b.price, currency)),
        "team_size": str(b.team_size),
        "reason": b.steps[-1].detail if kind == "booking.declined" else "",
        "refund": formats.money("en", Money(back, currency)) if back else "",
        "link": f"/bookings/{b.id}",
    }
    around = Surround("en", b.site.book.organisation.name, f"/bookings/{b.id}")
    return wording.compose(channel, wording.shipped(kind, channel, "en"), values, around)
