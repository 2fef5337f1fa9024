"""Organisations: founding one, its details, its policies, its standing with the platform."""

from __future__ import annotations

import secrets
from datetime import datetime
from enum import StrEnum
from uuid import UUID

import asyncpg
import msgspec

from forecourt.kernel.context import Actor, ActorKind, Context
from forecourt.kernel.db import Tx, constraint_of
from forecourt.kernel.errors import DeadlineExceeded, Forbidden, Invalid, Unavailable
from forecourt.kernel.events import emit
from forecourt.kernel.http.decode import single
from forecourt.kernel.ids import new_id
from forecourt.kernel.jobs import enqueue
from forecourt.kernel.paging import Keyset, Page
from forecourt.modules.venues import queries, rules
from forecourt.modules.venues.contract import (
    NewOrganisation,
    Organisation,
    OrganisationCard,
    OrganisationChanged,
    OrganisationCreated,
    OrganisationPatch,
    OrganisationStatus,
    Policies,
    PoliciesChanged,
    PoliciesPatch,
    SlugTaken,
    VenueChanged,
)
from forecourt.modules.venues.jobs import ADOPT, ADOPT_AFTER, Founded
from forecourt.modules.venues.listing import slug_of
from forecourt.modules.venues.queries import OrganisationRow, OrganisationsAfter
from forecourt.modules.venues.service.base import (
    MAX_BOOKS,
    Base,
    changes_between,
    check_version,
    log,
    organisation_of,
    patched,
)

ATTENTION = Keyset("organisations needing attention", tuple[datetime, UUID])
SLUG_TRIES = 20
MAX_IDS = 500
MAX_CHILDREN = 500
"""Of one franchise parent."""


class Step(StrEnum):
    VENUE = "venue"
    RESOURCE = "resource"
    PRICES = "prices"
    PHOTO = "photo"
    POLICIES = "policies"
    LISTED = "listed"


class OnboardingStep(msgspec.Struct, frozen=True):
    step: Step
    done: bool


class Organisations(Base):
    async def found(self, ctx: Context, new: NewOrganisation) -> Organisation:
        """Creates an organisation; `ctx`'s person becomes its owner. Raises Invalid, SlugTaken, Forbidden.

        The owner is made by a call after the commit, and once more by a job that is written with the organisation: should
        this process die in between, or identity be away, the organisation still finds its owner.
        """
        owner_id = ctx.account_id
        if owner_id is None:
            raise Forbidden("an organisation is founded by a person")
        single(rules.validate_timezone(new.timezone))
        id = new_id()
        about = ctx.within(id)
        try:
            async with self.db.tx(about) as tx:
                slug = new.slug or await self._free_slug(tx, new.name)
                await queries.insert_organisation(tx, id, new, slug, Policies(), owner_id, self.clock.now())
                emit(tx, OrganisationCreated(organisation_id=id, owner_id=owner_id, kind=new.kind))
                enqueue(tx, ADOPT, Founded(id, owner_id), at=self.clock.now() + ADOPT_AFTER, key=str(id))
                founded = (await queries.organisation(tx, id)).organisation
        except asyncpg.UniqueViolationError as e:
            raise _slug_taken(e) from e
        try:
            await self.identity.adopt(about, id)
        except (Unavailable, DeadlineExceeded):
            log.warning("organisation_adopted_later", organisation_id=str(id))
        return founded

    async def adopt(self, ctx: Context, organisation_id: UUID, owner_id: UUID) -> None:
        """Makes who founded the organisation its owner; does nothing when it has one."""
        founder = Actor(kind=ActorKind.PERSON, account_id=owner_id, confirmed=True)
        await self.identity.adopt(msgspec.structs.replace(ctx.within(organisation_id), actor=founder), organisation_id)

    async def _free_slug(self, tx: Tx, name: str) -> str:
        base = slug_of(name)
        wanted = [base, *(f"{base}-{i}" for i in range(2, SLUG_TRIES))]
        taken = await queries.taken_slugs(tx, wanted)
        return next((slug for slug in wanted if slug not in taken), f"{base}-{secrets.token_hex(4)}")

    async def organisation(self, ctx: Context, id: UUID) -> Organisation:
        """Raises NotFound."""
        async with self.db.read(ctx.within(id)) as tx:
            return (await queries.organisation(tx, id)).organisation

    async def organisations(self, ctx: Context, ids: list[UUID]) -> list[OrganisationCard]:
        """What anyone may know of these organisations, in the order asked; unknown ids are left out. At most 100 at once."""
        ids = ids[:MAX_BOOKS]
        async with self.db.read(ctx.within(None)) as tx:
            found = {card.id: card for card in await queries.organisation_cards(tx, ids)}
        return [found[id] for id in ids if id in found]

    async def organisation_ids(self, ctx: Context, after: UUID | None, limit: int) -> list[UUID]:
        async with self.db.read(ctx.within(None)) as tx:
            return await queries.organisation_ids(tx, after, min(limit, MAX_IDS))

    async def organisation_by_slug(self, ctx: Context, slug: str) -> OrganisationCard:
        """Raises NotFound."""
        async with self.db.read(ctx.within(None)) as tx:
            id = await queries.organisation_by_slug(tx, slug)
            return (await queries.organisation_cards(tx, [id]))[0]

    async def children(self, ctx: Context) -> list[OrganisationCard]:
        """The organisations of which `ctx`'s is the franchise parent now, by name."""
        async with self.db.read(ctx) as tx:
            return await queries.children(tx, organisation_of(ctx), MAX_CHILDREN)

    async def own(self, ctx: Context) -> OrganisationRow:
        """`ctx`'s organisation and its policies, for its staff. Raises NotFound."""
        id = organisation_of(ctx)
        async with self.db.tx(ctx) as tx:
            return await queries.organisation(tx, id)

    async def edit_organisation(self, ctx: Context, patch: OrganisationPatch, version: int | None) -> Organisation:
        """Raises NotFound, PreconditionFailed, Invalid, SlugTaken."""
        if isinstance(patch.timezone, str):
            single(rules.validate_timezone(patch.timezone))
        try:
            async with self.db.tx(ctx) as tx:
                before = await queries.lock_organisation(tx, organisation_of(ctx))
                check_version(before.organisation.version, version)
                after = msgspec.structs.replace(before.organisation, **patched(before.organisation, patch))
                after, stale = await self._save(tx, before, after, before.policies)
        except asyncpg.UniqueViolationError as e:
            raise _slug_taken(e) from e
        await self._forget(stale)
        return after

    async def edit_policies(self, ctx: Context, patch: PoliciesPatch, version: int | None) -> OrganisationRow:
        """Raises NotFound, PreconditionFailed, Invalid. Policies share the organisation's version."""
        async with self.db.tx(ctx) as tx:
            before = await queries.lock_organisation(tx, organisation_of(ctx))
            check_version(before.organisation.version, version)
            policies = msgspec.structs.replace(before.policies, **patched(before.policies, patch))
            single(rules.validate_policies(policies))
            await self._check_own_venues(tx, before.organisation.id, policies)
            after, stale = await self._save(tx, before, before.organisation, policies)
        await self._forget(stale)
        return OrganisationRow(after, policies)

    async def set_standing(
        self,
        ctx: Context,
        id: UUID,
        status: OrganisationStatus,
        reason: str,
        parent_id: UUID | msgspec.UnsetType | None = msgspec.UNSET,
    ) -> Organisation:
        """For the platform: suspend, deactivate or take back an organisation, or put it under a franchise parent.

        `reason` goes into the event. Raises NotFound, Invalid.
        """
        if isinstance(parent_id, UUID):
            await self._check_parent(ctx, id, parent_id)
        async with self.db.tx(ctx.within(id)) as tx:
            before = await queries.lock_organisation(tx, id)
            wanted: dict[str, object] = {"status": status}
            if parent_id is not msgspec.UNSET:
                wanted["parent_id"] = parent_id
            after = msgspec.structs.replace(before.organisation, **wanted)
            after, stale = await self._save(tx, before, after, before.policies, reason)
        await self._forget(stale)
        return after

    async def onboarding(self, ctx: Context) -> list[OnboardingStep]:
        """What an owner does before people can book, and what of it is done. Raises NotFound."""
        async with self.db.tx(ctx) as tx:
            await queries.organisation(tx, organisation_of(ctx))
            done = await queries.progress(tx, organisation_of(ctx))
        return [
            OnboardingStep(Step.VENUE, done.venues > 0),
            OnboardingStep(Step.RESOURCE, done.resources > 0),
            OnboardingStep(Step.PRICES, done.priced > 0),
            OnboardingStep(Step.PHOTO, done.photographed > 0),
            OnboardingStep(Step.POLICIES, done.policies_set),
            OnboardingStep(Step.LISTED, done.listed > 0),
        ]

    async def needing_attention(
        self, ctx: Context, status: OrganisationStatus | None, limit: int, cursor: str | None
    ) -> Page[OrganisationsAfter]:
        """For the platform: organisations that are not active, or that nobody can book yet; oldest first."""
        after = ATTENTION.decode(cursor)
        async with self.db.read(ctx.within(None)) as tx:
            rows = await queries.needing_attention(tx, status, after, limit + 1)
        return ATTENTION.page(rows, limit, lambda row: (row.created_at, row.card_id))

    async def _check_parent(self, ctx: Context, id: UUID, parent_id: UUID) -> None:
        """One level: a parent has no parent, and is not itself. Raises Invalid."""
        found = await self.organisations(ctx, [parent_id])
        if parent_id == id or not found:
            raise Invalid.field("parent_id", "is no other organisation")
        if (await self.organisation(ctx, parent_id)).parent_id is not None:
            raise Invalid.field("parent_id", "belongs to a franchise itself")
        if len(await self.children(ctx.within(parent_id))) >= MAX_CHILDREN:
            raise Invalid.field("parent_id", f"has {MAX_CHILDREN} organisations already")
        if await self.children(ctx.within(id)):
            raise Invalid.field("parent_id", "cannot be set on a parent")

    async def _check_own_venues(self, tx: Tx, organisation_id: UUID, policies: Policies) -> None:
        wanted = policies.noise_warning_venue_ids
        if wanted and set(wanted) - await queries.venue_ids(tx, organisation_id, wanted):
            raise Invalid.field("noise_warning_venue_ids", "names something that is not a venue of yours")

    async def _save(
        self, tx: Tx, before: OrganisationRow, after: Organisation, policies: Policies, reason: str = ""
    ) -> tuple[Organisation, list[UUID]]:
        """Writes the next version, makes every book new, and says so; returns it and the venues whose books are stale."""
        after = msgspec.structs.replace(after, version=before.organisation.version + 1)
        await queries.update_organisation(tx, after, policies)
        touched = await queries.touch_all(tx, after.id, after.status is OrganisationStatus.ACTIVE)
        changes = changes_between(before.organisation, after)
        emit(tx, OrganisationChanged(organisation_id=after.id, status=after.status, changes=changes, reason=reason))
        if policies != before.policies:
            emit(tx, PoliciesChanged(organisation_id=after.id, changes=changes_between(before.policies, policies)))
        for row in touched:
            emit(tx, VenueChanged(organisation_id=after.id, venue_id=row.venue_id, version=row.book_version))
        return after, [row.venue_id for row in touched]


def _slug_taken(error: asyncpg.UniqueViolationError) -> Exception:
    return SlugTaken() if constraint_of(error) == "organisation_slug" else error
