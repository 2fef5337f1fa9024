"""The drain: what is due is claimed in batches, told or sent, and settled.

A claim is a lease: until it runs out nobody else works on the same thing, and a worker that dies gives everything back. A
delivery is begun only while enough of the lease is left for it to end, so that two workers never send the same one at the same
time. It is sent at least once: who dies between sending and settling leaves it to be sent again, under the same id.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from time import monotonic
from uuid import UUID

import structlog
from msgspec import Struct

from forecourt.kernel.clock import JITTER, Clock
from forecourt.kernel.context import service_context
from forecourt.kernel.db import ModuleDatabase, Tx
from forecourt.kernel.faults import describe
from forecourt.kernel.ids import new_id
from forecourt.kernel.metrics import Metrics
from forecourt.modules.notifications import rules
from forecourt.modules.notifications.channels import MAX_ERROR, Carrier, Message, NotTaken, RecipientGone, Refused
from forecourt.modules.notifications.channels.breaker import Breaker
from forecourt.modules.notifications.channels.webpush import WebPush
from forecourt.modules.notifications.contract import Channel, DeliveryStatus, Digest, Topic, Urgency
from forecourt.modules.notifications.queries import choices, inbox, leaving, queue
from forecourt.modules.notifications.queries.queue import Delivery, Due, Forgotten, Settled, Tried
from forecourt.modules.notifications.rules import KINDS
from forecourt.modules.notifications.sealing import Leave, Links
from forecourt.modules.notifications.service.carriers import Carriers
from forecourt.modules.notifications.service.telling import DIGEST, Telling

BATCH = 200
LEASE = timedelta(seconds=180)
ONE_CARRIER_S = 25.0
"""The longest that one provider may take over one delivery; waiting for a place at it not included."""
ONE_DELIVERY_S = 80.0
"""The longest that one delivery may take, fail-over included."""
AT_ONCE = 32
"""Deliveries of one organisation on their way at the same time."""
ORGANISATIONS_AT_ONCE = 4
TURN_S = 45.0
"""After so long a drain ends; what is left is taken up by the next one."""
TROUBLE = timedelta(seconds=5)
"""When names and places could not be asked for, telling is tried again after some of this, and longer each time."""
MOST_CLAIMS = 20
DRAINS = 4
"""Drains of one process at the same time: a batch that waits for slow providers does not hold up the others."""

log = structlog.get_logger("forecourt.notifications")


class Fate(Struct, frozen=True):
    """What came of one delivery this time. `again_at`: when it is tried again; `void_browser`: one that is gone."""

    settled: Settled
    tried: list[Tried]
    again_at: datetime | None = None
    void_browser: UUID | None = None


class Routes(Struct, frozen=True):
    """How the deliveries of one batch and organisation get out. Addresses that are secrets are looked up at the last moment."""

    carriers: Mapping[Channel, Sequence[Carrier]]
    endpoints: Mapping[UUID, tuple[choices.EndpointRow, Carrier]]
    browsers: Mapping[UUID, str]


class Sending:
    def __init__(
        self,
        db: ModuleDatabase,
        clock: Clock,
        telling: Telling,
        carriers: Carriers,
        links: Links,
        public_url: str,
        metrics: Metrics,
    ) -> None:
        self._db = db
        self._clock = clock
        self._telling = telling
        self._carriers = carriers
        self._links = links
        self._url = public_url
        self._metrics = metrics
        self.breaker = Breaker()
        self._running = 0

    async def drain(self) -> int:
        """Works until nothing is due, or its turn is over; returns how many things were done."""
        if self._running >= DRAINS:
            return 0
        self._running += 1
        try:
            done, until = 0, monotonic() + TURN_S
            while monotonic() < until:
                count = await self.batch()
                done += count
                if not count:
                    break
            return done
        finally:
            self._running -= 1

    async def forget(self, days: int) -> int:
        """Empties messages older than so many days, of every organisation and of the house itself, and takes them out of
        inboxes; returns how many."""
        before, count = self._clock.now() - timedelta(days=days), 0
        async for place_id in self._telling.places():
            ctx = service_context("notifications.forget", place_id)
            while True:
                async with self._db.tx(ctx) as tx:
                    gone = await queue.forget(tx, place_id, before, BATCH)
                    await self._forget_entries(tx, place_id, gone, before)
                count += len(gone)
                if len(gone) < BATCH:
                    break
        if count:
            log.info("messages_forgotten", count=count, before=before.isoformat())
        return count

    async def _forget_entries(self, tx: Tx, place_id: UUID, gone: Sequence[Forgotten], before: datetime) -> None:
        """What the inbox says of them goes with them."""
        read: dict[UUID, list[UUID]] = {}
        for one in gone:
            if one.channel is Channel.IN_APP and one.account_id is not None and one.notice_id is not None:
                read.setdefault(one.account_id, []).append(one.notice_id)
        for account_id in sorted(read):
            await tx.become(self._db.role, place_id, account_id)
            await inbox.drop(tx, account_id, read[account_id], before)

    async def batch(self) -> int:
        """Claims once and does what it got; returns how many."""
        lease, ends, now = new_id(), monotonic() + LEASE.total_seconds(), self._clock.now()
        async with self._db.tx(service_context("notifications")) as tx:
            claimed = await queue.claim(tx, now, now + LEASE, lease, BATCH)
        by_organisation: dict[UUID, list[Due]] = {}
        for due in claimed:
            by_organisation.setdefault(due.organisation_id, []).append(due)
        slots = asyncio.Semaphore(ORGANISATIONS_AT_ONCE)

        async def one(organisation_id: UUID, items: list[Due]) -> None:
            async with slots:
                await self._one(organisation_id, items, lease, ends)

        await asyncio.gather(*(one(id, items) for id, items in by_organisation.items()))
        return len(claimed)

    async def _one(self, organisation_id: UUID, items: Sequence[Due], lease: UUID, ends: float) -> None:
        notices = [d.id for d in items if d.what == "notice"]
        digests = [d.id for d in items if d.what == "digest"]
        deliveries = [d.id for d in items if d.what == "delivery"]
        try:
            if notices:
                await self._telling.tell(organisation_id, notices, lease)
            for account_id in digests:
                await self._telling.digest(account_id, lease)
        except Exception as e:  # whoever was asked does not answer, or one of them cannot be told: none is lost
            log.warning("not_told", organisation=str(organisation_id), notices=len(notices), error=describe(e))
            await self._put_off(organisation_id, [d for d in items if d.what != "delivery"], lease)
        if deliveries:
            await self._send(organisation_id, deliveries, lease, ends)

    async def _put_off(self, organisation_id: UUID, items: Sequence[Due], lease: UUID) -> None:
        """Later, each at a time of its own: one that cannot be told is soon alone with its fault, and given up in the end."""
        now = self._clock.now()
        lost = [d.id for d in items if d.what == "notice" and d.claims >= MOST_CLAIMS]
        times = {d.id: now + TROUBLE * (2 ** min(d.claims, 6) * (1 + JITTER.random())) for d in items if d.id not in lost}
        async with self._db.tx(service_context("notifications", organisation_id)) as tx:
            await queue.later(tx, organisation_id, times, lease)
            if lost:
                log.error("notices_given_up", organisation=str(organisation_id), notices=[str(id) for id in lost])
                await queue.give_up(tx, organisation_id, lost)

    # --- sending

    async def _send(self, organisation_id: UUID, ids: Sequence[UUID], lease: UUID, ends: float) -> None:
        ctx = service_context("notifications", organisation_id)
        async with self._db.read(ctx) as tx:
            deliveries = await queue.deliveries(tx, organisation_id, ids, lease)
            gone = await leaving.erased(tx, {d.account_id for d in deliveries if d.account_id is not None})
            routes = await self._routes(tx, organisation_id, deliveries)
        slots = asyncio.Semaphore(AT_ONCE)

        async def carried(delivery: Delivery) -> Fate | None:
            async with slots:
                if monotonic() > ends - ONE_DELIVERY_S:
                    return None  # too little of the lease is left: it is somebody's again when the lease is over
                return await self._deliver(delivery, routes)

        queued = [d for d in deliveries if d.status is DeliveryStatus.QUEUED and d.account_id not in gone]
        fates = [f for f in await asyncio.gather(*(carried(d) for d in queued)) if f is not None]
        await self._settle(organisation_id, fates, [id for id in ids if id not in {d.id for d in queued}], lease, queued)

    async def _routes(self, tx: Tx, organisation_id: UUID, deliveries: Sequence[Delivery]) -> Routes:
        carriers = await self._carriers.of(tx, organisation_id)
        hooks = any(d.channel is Channel.WEBHOOK for d in deliveries)
        endpoints = await self._carriers.endpoints(tx, organisation_id) if hooks else {}
        browsers: dict[UUID, str] = {}
        for account_id in {d.account_id for d in deliveries if d.channel is Channel.WEB_PUSH and d.account_id}:
            await tx.become(self._db.role, organisation_id, account_id)
            browsers |= {b.id: f"{b.endpoint} {b.p256dh} {b.auth}" for b in await choices.browsers(tx, account_id)}
        return Routes(carriers, endpoints, browsers)

    async def _deliver(self, delivery: Delivery, routes: Routes) -> Fate:
        """Asks one provider after another until one takes it."""
        tried: list[Tried] = []
        try:
            message, carriers = self._message(delivery, routes)
        except Refused as e:
            return self._failed(delivery, tried, "", str(e))
        last, until = ("", "no provider is set for this channel"), monotonic() + ONE_DELIVERY_S
        for carrier in carriers:
            if not self.breaker.lets(carrier.name, self._clock.now()):
                continue
            spare = until - ONE_CARRIER_S - monotonic()
            if spare < 0:
                break  # a provider is asked only while there is time for all of its answer
            async with AsyncExitStack() as held:
                try:
                    async with asyncio.timeout(spare):
                        await held.enter_async_context(carrier.place)
                except TimeoutError:
                    continue
                fate, last = await self._ask(delivery, carrier, message, tried)
            if fate is not None:
                return fate
        if carriers and not tried:
            return self._rested(delivery, carriers)
        tries = delivery.tries + 1
        pause = rules.pause_after(tries, JITTER.random())
        if pause is None:
            return self._failed(delivery, tried, *last)
        settled = Settled(delivery.id, DeliveryStatus.QUEUED, tries, last[0], last[1][:MAX_ERROR])
        return Fate(settled, tried, again_at=self._clock.now() + pause)

    def _rested(self, delivery: Delivery, carriers: Sequence[Carrier]) -> Fate:
        """Every provider's breaker is open, or its places are taken: nobody was asked, so this was no try."""
        times = [at for carrier in carriers if (at := self.breaker.opens_again(carrier.name)) is not None]
        settled = Settled(delivery.id, DeliveryStatus.QUEUED, delivery.tries, "", "every provider is taking a rest")
        return Fate(settled, [], again_at=max(min(times, default=self._clock.now()), self._clock.now() + TROUBLE))

    async def _ask(
        self, delivery: Delivery, carrier: Carrier, message: Message, tried: list[Tried]
    ) -> tuple[Fate | None, tuple[str, str]]:
        """One provider's answer: the delivery's fate, or nothing but what went wrong."""
        name = carrier.name[:80]
        try:
            async with asyncio.timeout(ONE_CARRIER_S):
                await carrier.carry(message)
        except Refused as e:
            self.breaker.worked(carrier.name)
            tried.append(self._tried(delivery, name, str(e)))
            gone = UUID(delivery.recipient) if isinstance(e, RecipientGone) and delivery.channel is Channel.WEB_PUSH else None
            return self._failed(delivery, tried, name, str(e), gone), (name, str(e))
        except NotTaken as e:
            said = str(e)
        except TimeoutError:
            said = "it took too long"
        except Exception as e:  # a carrier's own fault is a fault of the provider; its text may hold an address
            log.error("carrier_failed", provider=name, delivery=str(delivery.id), error=type(e).__name__)
            said = f"it failed ({type(e).__name__})"
        else:
            self.breaker.worked(carrier.name)
            tried.append(self._tried(delivery, name, ""))
            settled = Settled(delivery.id, DeliveryStatus.SENT, delivery.tries + 1, name, "")
            return Fate(settled, tried), (name, "")
        self.breaker.failed(carrier.name, self._clock.now())
        tried.append(self._tried(delivery, name, said))
        return None, (name, said)

    def _message(self, delivery: Delivery, routes: Routes) -> tuple[Message, Sequence[Carrier]]:
        """The message and who may carry it. Raises Refused when there is nobody to carry it to."""
        recipient, carriers = delivery.recipient, routes.carriers[delivery.channel]
        if delivery.channel is Channel.WEBHOOK:
            endpoint = routes.endpoints.get(UUID(recipient))
            if endpoint is None:
                raise Refused("the endpoint is gone or switched off")
            recipient, carriers = endpoint[0].url, [endpoint[1]]
        elif delivery.channel is Channel.WEB_PUSH:
            browser = routes.browsers.get(UUID(recipient))
            if browser is None:
                raise Refused("the browser takes no more pushes")
            recipient = browser
            carriers = [c.of(recipient) if isinstance(c, WebPush) else c for c in carriers]
        kind = KINDS.get(delivery.kind)
        urgent = kind is not None and kind.urgency is Urgency.HIGH
        headers = self._headers(delivery) if delivery.channel is Channel.EMAIL else {}
        content = delivery.content
        message = Message(
            delivery.id, delivery.kind, recipient, content, delivery.locale, urgent, content.sender, headers, delivery.account_id
        )
        return message, carriers

    def _headers(self, delivery: Delivery) -> dict[str, str]:
        """One click ends mails of the topic, or digests (RFC 8058); what is critical cannot be ended."""
        what = _ended_by_one_click(delivery)
        if what is None or delivery.account_id is None:
            return {}
        token = self._links.token(Leave(delivery.account_id, what))
        return {
            "List-Unsubscribe": f"<{self._url}/v1/unsubscribe/{token}>",
            "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        }

    def _tried(self, delivery: Delivery, provider: str, error: str) -> Tried:
        return Tried(delivery.id, new_id(), self._clock.now(), provider, not error, error[:MAX_ERROR])

    @staticmethod
    def _failed(delivery: Delivery, tried: list[Tried], provider: str, error: str, gone: UUID | None = None) -> Fate:
        settled = Settled(delivery.id, DeliveryStatus.FAILED, delivery.tries + 1, provider, error[:MAX_ERROR])
        return Fate(settled, tried, void_browser=gone)

    async def _settle(
        self, organisation_id: UUID, fates: Sequence[Fate], over: Sequence[UUID], lease: UUID, sent: Sequence[Delivery]
    ) -> None:
        """Writes what came of them. `over` had nothing left to do."""
        again = {f.settled.id: f.again_at for f in fates if f.again_at is not None}
        done = [f.settled.id for f in fates if f.again_at is None] + list(over)
        owners = {d.id: d.account_id for d in sent}
        async with self._db.tx(service_context("notifications", organisation_id)) as tx:
            if fates:
                tried = [t for f in fates for t in f.tried]
                await queue.settle(tx, organisation_id, [f.settled for f in fates], tried, self._clock.now())
            if done:
                await queue.done(tx, organisation_id, done, lease)
            if again:
                await queue.later(tx, organisation_id, again, lease)
            for fate in fates:
                owner = owners.get(fate.settled.id)
                if fate.void_browser is not None and owner is not None:
                    await tx.become(self._db.role, organisation_id, owner)
                    await choices.drop_browser_id(tx, owner, fate.void_browser)
        channels = {d.id: d.channel for d in sent}
        for fate in fates:
            self._metrics.deliveries.labels(channels[fate.settled.id].value, _outcome(fate)).inc()


def _ended_by_one_click(delivery: Delivery) -> Topic | Digest | None:
    if delivery.kind == DIGEST:
        return Digest.WEEKLY if delivery.topic == Digest.WEEKLY else Digest.DAILY
    kind = KINDS.get(delivery.kind)
    return None if kind is None or kind.weight is rules.Weight.CRITICAL else Topic(delivery.topic)


def _outcome(fate: Fate) -> str:
    """For metrics: `sent`, `failed` for good, or `put_off` to be tried again."""
    if fate.again_at is not None:
        return "put_off"
    return "sent" if fate.settled.status is DeliveryStatus.SENT else "failed"
