"""Identity's use cases, by subject; `IdentityService` holds them together and answers the contract."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from msgspec import Struct

from forecourt.kernel.clock import Clock
from forecourt.kernel.context import Context
from forecourt.kernel.db import ModuleDatabase
from forecourt.modules.identity import rules
from forecourt.modules.identity.contract import (
    AccountCard,
    AccountStatus,
    KeySet,
    KnownKey,
    KnownSession,
    Revocations,
    Standing,
)
from forecourt.modules.identity.passwords import Passwords
from forecourt.modules.identity.queries import accounts as queries
from forecourt.modules.identity.queries.phones import NumberRow
from forecourt.modules.identity.secrecy import Vault
from forecourt.modules.identity.service.accounts import Accounts
from forecourt.modules.identity.service.erasing import Erasing
from forecourt.modules.identity.service.phones import Phones
from forecourt.modules.identity.service.sessions import Sessions, acting, person_of
from forecourt.modules.identity.service.signing import Signing
from forecourt.modules.identity.service.staff import Place, Staff


class Oneself(Struct, frozen=True):
    """All that a person is told about their own account."""

    card: AccountCard
    places: list[Place]
    numbers: NumberRow
    erase_at: datetime | None
    """When the account will be erased, as they asked."""


class IdentityService:
    """`secret` is the house's; `public_url` goes into links."""

    def __init__(
        self,
        db: ModuleDatabase,
        clock: Clock,
        *,
        secret: str,
        public_url: str,
        passwords: Passwords | None = None,
    ) -> None:
        vault = Vault(secret)
        self._db = db
        self._clock = clock
        self.signing = Signing(db, clock, vault)
        self.sessions = Sessions(db, clock, self.signing)
        self.persons = Accounts(db, clock, vault, self.sessions, passwords or Passwords(), public_url)
        self.erasing = Erasing(db, clock, self.persons, self.sessions, public_url)
        self.phones = Phones(db, clock, vault)
        self.staff = Staff(db, clock, public_url)

    async def oneself(self, ctx: Context) -> Oneself:
        """Raises Unauthenticated without a person, NotFound for one whose account is gone. Every page and app asks for it: one
        question answers, and one more for each place where they work."""
        me = person_of(ctx)
        async with self._db.read(ctx.within(None)) as tx:
            row = await queries.oneself(tx, me, self._clock.now())
            places = await self.staff.places_among(tx, me, row.places)
        return Oneself(row.card, places, NumberRow(row.verified, row.waiting), row.erase_at)

    # --- the contract ---

    async def key_set(self, ctx: Context) -> KeySet:
        return await self.signing.public_keys(ctx)

    async def revocations(self, ctx: Context, since: datetime | None) -> Revocations:
        now = self._clock.now()
        earliest = now - rules.REVOCATIONS_KEPT
        after = earliest if since is None else max(since, earliest)
        async with self._db.tx(ctx.within(None)) as tx:  # the primary: a replica may be behind
            changes = await queries.changes(tx, after, rules.REVOCATIONS_AT_ONCE)
            sessions = await queries.revoked(tx, after, rules.REVOCATIONS_AT_ONCE)
        # A list that is full ends somewhere before now; nothing after that may count as told.
        ends = [full[-1].at for full in (changes, sessions) if len(full) >= rules.REVOCATIONS_AT_ONCE]
        return Revocations(changes, sessions, min(ends, default=now), bool(ends))

    async def api_key(self, ctx: Context, hashed: bytes) -> KnownKey | None:
        return await self.staff.known_key(ctx, hashed)

    async def session(self, ctx: Context, hashed: bytes) -> KnownSession | None:
        return await self.sessions.visitor(ctx, hashed)

    async def standing(self, ctx: Context, account_id: UUID, organisation_id: UUID) -> Standing | None:
        return await self.staff.standing(ctx, account_id, organisation_id)

    async def workplaces(self, ctx: Context) -> list[UUID]:
        return [place.organisation_id for place in await self.staff.places(ctx)]

    async def holders(self, ctx: Context, permission: str) -> list[UUID]:
        return await self.staff.holders(ctx, permission)

    async def status(self, ctx: Context, account_id: UUID) -> AccountStatus:
        return (await self.persons.card(ctx, account_id)).status

    async def accounts(self, ctx: Context, ids: list[UUID]) -> list[AccountCard]:
        return await self.persons.cards(ctx, ids)

    async def account_by_email(self, ctx: Context, email: str) -> AccountCard | None:
        return await self.persons.by_email(ctx, email)

    async def phone(self, ctx: Context, account_id: UUID) -> str | None:
        return await self.phones.of(ctx, account_id)

    async def proves(self, ctx: Context, password: str) -> None:
        me = person_of(ctx)
        async with self._db.tx(acting(ctx, me)) as tx:
            account = await queries.account(tx, me)
        await self.persons.prove(ctx, account, password)

    async def adopt(self, ctx: Context, organisation_id: UUID) -> None:
        await self.staff.adopt(ctx, organisation_id)


__all__ = ["IdentityService"]
