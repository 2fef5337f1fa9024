"""What notifications keeps of a person, as they are told it: texts as they were sent; no keys."""

from __future__ import annotations

from datetime import datetime
from urllib.parse import urlsplit
from uuid import UUID

from msgspec import Struct

from forecourt.kernel.context import Context, service_context
from forecourt.kernel.db import ModuleDatabase
from forecourt.kernel.errors import Unauthenticated
from forecourt.kernel.paging import Keyset
from forecourt.kernel.records import RECORDS_AT_ONCE, Read, RecordKind, Records
from forecourt.modules.identity.contract import Identity
from forecourt.modules.notifications.contract import NOBODYS, Channel, DeliveryStatus, Digest, Topic
from forecourt.modules.notifications.queries import choices
from forecourt.modules.notifications.queries import leaving as queries
from forecourt.modules.notifications.sealing import Links
from forecourt.modules.notifications.service.choices import effective
from forecourt.modules.venues.contract import Venues

SENT_AT_ONCE = 50
"""Mails are long."""
PLACES_AT_ONCE = 500

ENTRIES = Keyset("records of entries", tuple[datetime, UUID])
WAITING = Keyset("records of digests", UUID)
SENT = Keyset("records of deliveries", tuple[UUID, datetime | None, UUID | None])
"""The last that was told; or, without a time, the last organisation that was asked for."""


class SentRecord(Struct, frozen=True):
    """A message to the person. `organisation_id` is None for the house's own. What it said is kept for a year."""

    id: UUID
    organisation_id: UUID | None
    kind: str
    channel: Channel
    to: str
    """Their address or number; of pushes and the inbox the id of the browser or the account."""
    language: str
    status: DeliveryStatus
    subject: str
    text: str
    created_at: datetime
    sent_at: datetime | None
    changed_at: datetime


class PreferenceRecord(Struct, frozen=True):
    """`phone_app`: whether an app on their phone takes pushes; its key is a secret."""

    channels: dict[Topic, list[Channel]]
    digest: Digest
    phone_app: bool
    updated_at: datetime


class BrowserRecord(Struct, frozen=True):
    """A browser that takes pushes. `service` is the host of its push service; the whole address and the keys are secrets."""

    id: UUID
    service: str
    agent: str
    created_at: datetime


class OptOutRecord(Struct, frozen=True):
    """An address that wants no mail from here as one without an account."""

    address: str
    since: datetime


class Kept:
    def __init__(self, db: ModuleDatabase, identity: Identity, venues: Venues, links: Links) -> None:
        self._db = db
        self._identity = identity
        self._venues = venues
        self._links = links

    async def entries(self, ctx: Context, after: str) -> Read:
        async with self._db.read(ctx.within(None)) as tx:
            rows = await queries.entries(tx, _person(ctx), ENTRIES.decode(after or None), RECORDS_AT_ONCE)
        full = len(rows) == RECORDS_AT_ONCE
        return Read(rows, ENTRIES.encode((rows[-1].created_at, rows[-1].id)) if full else "")

    async def sent(self, ctx: Context, after: str) -> Read:
        """Organisation by organisation, some hundreds at a time: of messages nobody keeps where a person has any."""
        place, at, id = SENT.decode(after or None) or (None, None, None)
        others = await self._venues.organisation_ids(service_context("notifications.records"), place, PLACES_AT_ONCE)
        last = None if place is None or at is None or id is None else (place, at, id)
        begun = [NOBODYS] if place is None else [] if last is None else [place]
        async with self._db.read(ctx.within(None)) as tx:
            rows = await queries.sent(tx, [*begun, *others], _person(ctx), last, SENT_AT_ONCE)
        told = [_told(row) for row in rows]
        if len(rows) == SENT_AT_ONCE:
            return Read(told, SENT.encode((rows[-1].organisation_id, rows[-1].created_at, rows[-1].id)))
        return Read(told, SENT.encode((others[-1], None, None)) if len(others) == PLACES_AT_ONCE else "")

    async def waiting(self, ctx: Context, after: str) -> Read:
        async with self._db.read(ctx.within(None)) as tx:
            rows = await queries.waiting(tx, _person(ctx), WAITING.decode(after or None), RECORDS_AT_ONCE)
        return Read(rows, WAITING.encode(rows[-1].id) if len(rows) == RECORDS_AT_ONCE else "")

    async def preferences(self, ctx: Context, after: str) -> Read:
        async with self._db.read(ctx.within(None)) as tx:
            row = await queries.chosen(tx, _person(ctx))
        if row is None:
            return Read([])
        chosen = row.chosen
        told = PreferenceRecord(effective(chosen.channels), chosen.digest, chosen.push_key is not None, row.updated_at)
        return Read([told])

    async def browsers(self, ctx: Context, after: str) -> Read:
        async with self._db.read(ctx.within(None)) as tx:
            rows = await choices.browsers(tx, _person(ctx))
        return Read([BrowserRecord(b.id, urlsplit(b.endpoint).hostname or "", b.agent, b.created_at) for b in rows])

    async def opt_outs(self, ctx: Context, after: str) -> Read:
        """The address that they have now; of others nobody could say that they are theirs."""
        cards = await self._identity.accounts(service_context("notifications.records"), [_person(ctx)])
        async with self._db.read(ctx.within(None)) as tx:
            found = [(card.email, await queries.unwanted_since(tx, self._links.digest(card.email))) for card in cards]
        return Read([OptOutRecord(address, since) for address, since in found if since is not None])


def records(db: ModuleDatabase, identity: Identity, venues: Venues, links: Links) -> Records:
    """Implements NotificationRecords."""
    kept = Kept(db, identity, venues, links)
    return Records(
        RecordKind("notifications", kept.entries),
        RecordKind("notifications_sent", kept.sent),
        RecordKind("notifications_waiting", kept.waiting),
        RecordKind("notification_preferences", kept.preferences),
        RecordKind("push_subscriptions", kept.browsers),
        RecordKind("mail_opt_outs", kept.opt_outs),
    )


def _person(ctx: Context) -> UUID:
    if ctx.account_id is None:
        raise Unauthenticated
    return ctx.account_id


def _told(row: queries.SentRow) -> SentRecord:
    place = None if row.organisation_id == NOBODYS else row.organisation_id
    return SentRecord(
        id=row.id,
        organisation_id=place,
        kind=row.kind,
        channel=row.channel,
        to=row.recipient,
        language=row.locale,
        status=row.status,
        subject=row.content.subject,
        text=row.content.text,
        created_at=row.created_at,
        sent_at=row.sent_at,
        changed_at=row.changed_at,
    )
