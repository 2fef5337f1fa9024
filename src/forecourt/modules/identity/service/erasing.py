"""Being erased: asked for, taken back within thirty days, and then done (PE-8).

The account's row stays under its id, without anything that says who it was. Whatever else identity has of the person goes in the
same transaction, and so does the event by which every other module forgets them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from uuid import UUID

import structlog

from forecourt.kernel.clock import Clock
from forecourt.kernel.context import Context
from forecourt.kernel.db import ModuleDatabase, Tx
from forecourt.kernel.errors import Invalid, Problem, Unauthenticated
from forecourt.kernel.events import emit
from forecourt.kernel.jobs import enqueue
from forecourt.modules.identity import mails, rules
from forecourt.modules.identity.contract import (
    AccountErased,
    AccountStatus,
    BadCredentials,
    LastAdmin,
    LastOwner,
    SecurityKind,
    StaffLeft,
)
from forecourt.modules.identity.jobs import WRITE
from forecourt.modules.identity.queries import accounts, staff
from forecourt.modules.identity.queries import erasing as queries
from forecourt.modules.identity.queries.accounts import AccountRow
from forecourt.modules.identity.queries.erasing import DueRow
from forecourt.modules.identity.service.accounts import Accounts
from forecourt.modules.identity.service.sessions import Sessions, acting, note, person_of

AT_ONCE = 50
"""Accounts of which a run asks at once how to address them."""

log = structlog.get_logger("forecourt.identity")

Languages = Callable[[list[UUID]], Awaitable[list[str]]]
"""The language that each of these accounts wants to be written in; empty for who never chose one. Raises Unavailable."""


class Erasing:
    def __init__(self, db: ModuleDatabase, clock: Clock, persons: Accounts, sessions: Sessions, public_url: str) -> None:
        self._db = db
        self._clock = clock
        self._persons = persons
        self._sessions = sessions
        self._url = public_url

    # --- what its owner does ---

    async def asked_for(self, ctx: Context) -> datetime | None:
        """When the person's account is to be erased; None when they did not ask."""
        me = person_of(ctx)
        async with self._db.tx(acting(ctx, me)) as tx:
            return await queries.erase_at(tx, me)

    async def ask(self, ctx: Context, password: str) -> datetime:
        """When the account will be erased: thirty days from now. Whoever asks again learns the day that was said first.

        A wrong password counts like a failed log-in. Raises Invalid (at `password`), LockedOut, LastOwner (with the
        `organisation_ids`), LastAdmin.
        """
        me = person_of(ctx)
        async with self._db.tx(acting(ctx, me)) as tx:
            proven = await accounts.account(tx, me)
        try:
            await self._persons.prove(ctx, proven, password)
        except BadCredentials:
            raise Invalid.field("password", "is not your password") from None
        now = self._clock.now()
        async with self._db.tx(acting(ctx, me)) as tx:
            account = await accounts.lock_account(tx, me)
            if account.status.closed:
                raise Unauthenticated
            if account.password_hash != proven.password_hash:
                raise Invalid.field("password", "was changed a moment ago")
            known = await queries.erase_at(tx, me)
            if known is not None:
                return known
            await self._refuse_indispensable(tx, account)
            due = now + rules.GRACE
            await queries.ask(tx, me, due)
            await note(tx, me, SecurityKind.ERASURE_ASKED, now)
            enqueue(tx, WRITE, mails.erasure_asked(ctx, account, self._url, due))
        return due

    async def take_back(self, ctx: Context) -> None:
        """The account stays. For whoever did not ask there is nothing to do. Raises Unauthenticated when it is erased already."""
        me, now = person_of(ctx), self._clock.now()
        async with self._db.tx(acting(ctx, me)) as tx:
            if (await accounts.lock_account(tx, me)).status is AccountStatus.ERASED:
                raise Unauthenticated
            if await queries.keep(tx, me):
                await note(tx, me, SecurityKind.ERASURE_TAKEN_BACK, now)

    async def _refuse_indispensable(self, tx: Tx, account: AccountRow) -> None:
        """Raises LastOwner, LastAdmin."""
        if account.platform_admin and not await queries.has_other_admin(tx, account.id):
            raise LastAdmin
        alone = [str(organisation_id) for organisation_id in await self._owned_alone(tx, account.id)]
        if alone:
            raise LastOwner("first make somebody else owner of what only you own", organisation_ids=list(alone))

    async def _owned_alone(self, tx: Tx, account_id: UUID) -> list[UUID]:
        """Organisations that have no other owner; their owners are held, so that it stays so."""
        found: list[UUID] = []
        for organisation_id in await queries.owned(tx, account_id):
            await tx.become(self._db.role, organisation_id, account_id)
            if await staff.lock_owners(tx, organisation_id) == [account_id]:
                found.append(organisation_id)
        await tx.become(self._db.role, None, account_id)
        return found

    # --- what the house does, every hour ---

    async def remind(self, ctx: Context) -> None:
        """Tells everybody whose day is near, once."""
        while True:
            now = self._clock.now()
            async with self._db.tx(ctx.within(None)) as tx:
                rows = await queries.near(tx, now, now + rules.REMINDED_BEFORE, AT_ONCE)
                for row in rows:
                    account = await queries.remind(tx, row, now)
                    if account is not None:
                        enqueue(tx, WRITE, mails.erasure_near(ctx, account, self._url, row.erase_at))
            if len(rows) < AT_ONCE:
                return

    async def erase_due(self, ctx: Context, languages: Languages) -> None:
        """Erases everybody whose day has come, each in a transaction of their own.

        One who cannot be erased keeps nobody else from it: the rest are, and then what went wrong is raised.
        """
        now, after, wrong = self._clock.now(), None, list[Exception]()
        while True:
            async with self._db.tx(ctx.within(None)) as tx:
                rows = await queries.due(tx, now, after, AT_ONCE)
            if not rows:
                break
            for row, language in zip(rows, await languages([row.id for row in rows]), strict=True):
                try:
                    await self._erase(ctx, row, language)
                except Exception as e:
                    log.exception("account_not_erased", account_id=str(row.id))
                    wrong.append(e)
            after = rows[-1]
        await self._sweep(ctx, now)
        if wrong:
            raise wrong[0]

    async def _erase(self, ctx: Context, row: DueRow, language: str) -> None:
        now = self._clock.now()
        async with self._db.tx(ctx.within(None)) as tx:
            await queries.one_at_a_time(tx)
            account = await queries.lock_due(tx, row.id, now)
            if account is None:
                return
            # The house does it, as audit will say; row security is about the person who goes.
            await tx.become(self._db.role, None, account.id)
            try:
                await self._refuse_indispensable(tx, account)
            except (LastOwner, LastAdmin) as problem:
                await self._call_off(tx, account, problem)
                return
            await self._forget(tx, account, language, now)
            emit(tx, AccountErased(account_id=account.id))

    async def _call_off(self, tx: Tx, account: AccountRow, why: Problem) -> None:
        """The wish ends, and its owner learns why: they have to hand over first, and can ask again."""
        await queries.keep(tx, account.id)
        await note(tx, account.id, SecurityKind.ERASURE_OFF, self._clock.now(), why.code)
        write = mails.kept_as_admin if isinstance(why, LastAdmin) else mails.kept_as_owner
        enqueue(tx, WRITE, write(tx.context, account, self._url))

    async def _forget(self, tx: Tx, account: AccountRow, language: str, now: datetime) -> None:
        await self._sessions.end_others(tx, account.id, None, now)
        await self._leave(tx, account.id)
        await queries.drop_invitations_to(tx, account.id)
        enqueue(tx, WRITE, mails.erased(account, self._url, language))
        await queries.erase(tx, account.id, now)
        await queries.drop_all_of(tx, account.id)

    async def _leave(self, tx: Tx, account_id: UUID) -> None:
        """Leaves the staff of every organisation."""
        while places := await staff.places(tx, account_id):
            for organisation_id in places:
                await tx.become(self._db.role, organisation_id, account_id)
                await staff.delete_staff(tx, organisation_id, account_id)
                emit(tx, StaffLeft(organisation_id=organisation_id, account_id=account_id))
            await tx.become(self._db.role, None, account_id)

    async def _sweep(self, ctx: Context, now: datetime) -> None:
        """Removes what requests that were under way wrote after their person had been erased: a failed log-in, a code. Of whom an
        organisation from another installation brought rows, every module forgets once more."""
        before = now - rules.SWEPT_AFTER
        while True:
            async with self._db.tx(ctx.within(None)) as tx:
                found = await queries.leftovers(tx, before, AT_ONCE)
                for row in found:
                    await tx.become(self._db.role, None, row.id)
                    await queries.drop_all_of(tx, row.id)
                    await queries.swept(tx, row.id)
                    if row.comes_again:
                        emit(tx, AccountErased(account_id=row.id))
            if len(found) < AT_ONCE:
                return


__all__ = ["Erasing", "Languages"]
