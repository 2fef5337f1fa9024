"""Whoever erased their account: nothing more is said to them, and nothing stays of what was said to them or named them (PE-8).

The event notes the id, and from then on nothing leaves for it. A job goes through everything in portions, each a transaction of
its own that finds only what is left: wherever it dies, the next try goes on there. It comes once more a day later, for what
somebody may have been about to write.

What stays: that something was sent, when, by what means and with what result, as a message to nobody; notices without facts, for
what was told of a booking decides what others are told of it; an address's wish to get no mail, as a digest that names nobody.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from uuid import UUID

import structlog

from forecourt.kernel.clock import Clock
from forecourt.kernel.context import service_context
from forecourt.kernel.db import ModuleDatabase, Tx
from forecourt.kernel.web import formats
from forecourt.modules.notifications.contract import NOBODYS, Channel
from forecourt.modules.notifications.queries import inbox, leaving, outbox, queue
from forecourt.modules.notifications.service.telling import PLACES_AT_ONCE, Telling

SERVICE = "notifications.forget_person"
BATCH = 200
READERS = 50
"""Notices that name the person, of one portion: each may change another inbox."""
HOOKS = 500

log = structlog.get_logger("forecourt.notifications")


class Forgetting:
    def __init__(self, db: ModuleDatabase, clock: Clock, telling: Telling) -> None:
        self._db = db
        self._clock = clock
        self._telling = telling

    async def forget(self, account_id: UUID) -> None:
        """Everything, as often as it is asked for."""
        await self._own(account_id)
        async for organisation_id in self._places(account_id):
            await self._told(organisation_id, account_id)
            await self._named(organisation_id, account_id)
            await self._heard(organisation_id, account_id)
        log.info("person_forgotten", account=str(account_id))

    async def _own(self, account_id: UUID) -> None:
        """What lies under their own id. Entries last: until they are gone the job is known to have work."""
        async with self._db.tx(service_context(SERVICE, NOBODYS)) as tx:
            await tx.become(self._db.role, NOBODYS, account_id)
            await leaving.drop_own(tx, account_id)
            await queue.drop(tx, NOBODYS, [account_id])
            await outbox.drop_of(tx, account_id)
        while True:
            async with self._db.tx(service_context(SERVICE)) as tx:
                await tx.become(self._db.role, None, account_id)
                if await leaving.drop_entries(tx, account_id, BATCH) < BATCH:
                    return

    async def _places(self, account_id: UUID) -> AsyncGenerator[UUID, None]:
        """The house's own messages, and organisations where there is something of theirs."""
        async for some in self._portions():
            async with self._db.tx(service_context(SERVICE)) as tx:
                await tx.become(self._db.role, None, account_id)
                found = await leaving.among(tx, some, account_id)
            for organisation_id in found:
                yield organisation_id

    async def _portions(self) -> AsyncGenerator[list[UUID], None]:
        some: list[UUID] = []
        async for place_id in self._telling.places():
            some.append(place_id)
            if len(some) == PLACES_AT_ONCE:
                yield some
                some = []
        if some:
            yield some

    async def _told(self, organisation_id: UUID, account_id: UUID) -> None:
        """What they were told, and were to be told. Notices first: whoever is telling one is waited for."""
        ctx = service_context(SERVICE, organisation_id)
        while True:
            async with self._db.tx(ctx) as tx:
                if await leaving.empty_notices(tx, organisation_id, account_id, BATCH) < BATCH:
                    break
        while True:
            async with self._db.tx(ctx) as tx:
                gone = await leaving.empty_deliveries(tx, organisation_id, account_id, BATCH, self._clock.now())
                await outbox.drop(tx, gone)
            if len(gone) < BATCH:
                return

    async def _named(self, organisation_id: UUID, account_id: UUID) -> None:
        """What others were told with their name or their words. It stays in an inbox, where it leads to what it was about."""
        while True:
            async with self._db.tx(service_context(SERVICE, organisation_id)) as tx:
                notices = await leaving.naming(tx, organisation_id, account_id, READERS)
                if not notices:
                    return
                gone = await leaving.empty_words(tx, organisation_id, [n.id for n in notices], self._clock.now())
                await queue.drop(tx, organisation_id, [d.id for d in gone])
                await outbox.drop(tx, [d.id for d in gone])
                locales = {d.notice_id: d.locale for d in gone if d.channel is Channel.IN_APP}
                read: dict[UUID, list[UUID]] = {}
                for notice in notices:
                    read.setdefault(notice.account_id, []).append(notice.id)
                for reader_id in sorted(read):
                    await self._leave_inbox(tx, organisation_id, reader_id, read[reader_id], locales)

    async def _leave_inbox(
        self, tx: Tx, organisation_id: UUID, reader_id: UUID, ids: list[UUID], locales: dict[UUID, str]
    ) -> None:
        await tx.become(self._db.role, organisation_id, reader_id)
        await inbox.hold(tx, reader_id)
        await inbox.digested(tx, reader_id, ids)
        for locale in sorted({locales[id] for id in ids if id in locales}):
            title = formats.deleted_account(locale)
            await leaving.empty_entries(tx, reader_id, [id for id in ids if locales.get(id) == locale], title)

    async def _heard(self, organisation_id: UUID, account_id: UUID) -> None:
        """What an organisation's programs were sent of what they did, with the reasons that they gave for it."""
        ctx, after = service_context(SERVICE, organisation_id), None
        while True:
            async with self._db.tx(ctx) as tx:
                found = await leaving.hooks(tx, organisation_id, account_id, after, HOOKS)
                if about := [hook.id for hook in found if hook.names]:
                    await leaving.empty_hooks(tx, organisation_id, about)
            if len(found) < HOOKS:
                return
            after = (found[-1].created_at, found[-1].id)
