"""Venues and what belongs to one: resources, prices, closures. Every edit holds the book, so edits of one venue queue up."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
from msgspec import UNSET

from forecourt.kernel.context import Context
from forecourt.kernel.db import Tx, constraint_of
from forecourt.kernel.errors import FieldError, Invalid, NotFound
from forecourt.kernel.events import emit
from forecourt.kernel.http.decode import single
from forecourt.kernel.ids import new_id
from forecourt.kernel.money import Money
from forecourt.kernel.paging import Keyset, Page
from forecourt.kernel.period import Period
from forecourt.modules.venues import queries, rules
from forecourt.modules.venues.contract import (
    MAX_CLOSURES,
    MAX_RESOURCES,
    MAX_VENUES,
    CapacityExceeded,
    Change,
    Closure,
    ClosureAdded,
    ClosureRemoved,
    NewClosure,
    NewResource,
    NewVenue,
    Photo,
    PriceList,
    PriceRule,
    PricesChanged,
    Purpose,
    Resource,
    ResourceChanged,
    ResourceCreated,
    ResourceInUse,
    ResourcePatch,
    SlugTaken,
    Venue,
    VenueBook,
    VenueCreated,
    VenuePatch,
    calendar,
    parts_of,
    tariff,
)
from forecourt.modules.venues.listing import slug_of
from forecourt.modules.venues.queries import BookRow
from forecourt.modules.venues.service.base import (
    changes_between,
    check_version,
    organisation_of,
    patched,
)
from forecourt.modules.venues.service.photos import (
    Photographed,
    described,
    resource_owner,
    showing,
    shown_by,
    venue_owner,
)

VENUES = Keyset("venues of an organisation", tuple[str, UUID])
RESOURCES = Keyset("resources", tuple[int, str, UUID])


class Prices(msgspec.Struct, frozen=True):
    rules: list[PriceRule]
    version: int


class PreviewSegment(msgspec.Struct, frozen=True):
    """A part of the time under one rule. `rule` is its place in the price list; none where no rule applies and it is free."""

    start: datetime
    end: datetime
    local_start: datetime
    amount: Money
    rule: int | None
    label: str | None


class PricePreview(msgspec.Struct, frozen=True):
    total: Money
    segments: list[PreviewSegment]


class Editing(Photographed):
    # --- venues

    async def create_venue(self, ctx: Context, new: NewVenue) -> Venue:
        """Raises NotFound, Invalid, SlugTaken."""
        organisation_id, venue_id = organisation_of(ctx), new_id()
        photos = showing(new.photo_ids, await self._hang(ctx, venue_owner(venue_id), new.photo_ids, None), None)
        try:
            async with self.db.tx(ctx) as tx:
                organisation = (await queries.lock_organisation(tx, organisation_id)).organisation
                slugs = await queries.venue_slugs(tx, organisation_id, MAX_VENUES + 1)
                if len(slugs) >= MAX_VENUES:
                    raise Invalid(f"an organisation has at most {MAX_VENUES} venues")
                slug = new.slug or _free_slug(slug_of(new.name), set(slugs))
                venue = _venue(organisation_id, venue_id, new, slug, photos)
                single(_venue_faults(venue, organisation.country))
                await queries.insert_venue(tx, venue)
                await self._list(tx, (await queries.book(tx, organisation_id, venue.id)).book)
                emit(tx, VenueCreated(organisation_id=organisation_id, venue_id=venue.id))
        except asyncpg.UniqueViolationError as e:
            raise _slug_taken(e) from e
        await self._forget([venue.id])
        return venue

    async def venues(self, ctx: Context, limit: int, cursor: str | None) -> Page[Venue]:
        """All venues of `ctx`'s organisation, unlisted ones too, by name."""
        after = VENUES.decode(cursor)
        async with self.db.tx(ctx) as tx:
            rows = await queries.venues(tx, organisation_of(ctx), after, limit + 1)
        return VENUES.page(rows, limit, lambda venue: (venue.name, venue.id))

    async def edit_venue(self, ctx: Context, venue_id: UUID, patch: VenuePatch, version: int | None) -> Venue:
        """Raises NotFound, PreconditionFailed, Invalid, SlugTaken."""
        hung: dict[UUID, Photo] = {}
        if patch.photo_ids is not UNSET:
            # Whose venue it is is known before anything is attached to it.
            now = (await self.fresh(ctx, venue_id)).book.venue
            hung = await self._hang(ctx, venue_owner(venue_id), patch.photo_ids, now)
        try:
            async with self.db.tx(ctx) as tx:
                book = (await self._open(tx, venue_id)).book
                check_version(book.venue.version, version)
                fields = patched(book.venue, patch) | {"version": book.venue.version + 1}
                if patch.photo_ids is not UNSET:
                    fields |= showing(patch.photo_ids, hung, book.venue)
                venue = msgspec.structs.replace(book.venue, **fields)
                single(_venue_faults(venue, book.organisation.country))
                await queries.update_venue(tx, venue)
                await self._publish(tx, msgspec.structs.replace(book, venue=venue), changes_between(book.venue, venue))
        except asyncpg.UniqueViolationError as e:
            raise _slug_taken(e) from e
        await self._forget([venue_id])
        await self._let_go(ctx, venue_owner(venue_id), book.venue, venue)
        return venue

    async def describe_photo(self, ctx: Context, venue_id: UUID, photo_id: UUID, alt: str) -> Photo:
        """Says in words what a photo of the venue, or of something there, shows. Raises NotFound, Invalid."""
        thing = shown_by((await self.fresh(ctx, venue_id)).book, photo_id)
        owner = venue_owner(venue_id) if isinstance(thing, Venue) else resource_owner(thing.id)
        await self._media().describe(ctx, owner, photo_id, alt)
        async with self.db.tx(ctx) as tx:
            book = (await self._open(tx, venue_id)).book
            thing = shown_by(book, photo_id)
            after = msgspec.structs.replace(thing, photos=described(thing.photos, photo_id, alt), version=thing.version + 1)
            if isinstance(thing, Venue) and isinstance(after, Venue):
                await queries.update_venue(tx, after)
                await self._publish(tx, msgspec.structs.replace(book, venue=after), changes_between(thing, after))
            elif isinstance(thing, Resource) and isinstance(after, Resource):
                await self._save_resource(tx, book, thing, after)
        await self._forget([venue_id])
        return next(photo for photo in after.photos if photo.id == photo_id)

    async def venue_by_slug(self, ctx: Context, organisation_slug: str, venue_slug: str) -> VenueBook:
        """Raises NotFound."""
        async with self.db.read(ctx.within(None)) as tx:
            organisation_id = await queries.organisation_by_slug(tx, organisation_slug)
            await tx.become(self.db.role, organisation_id)
            venue_id = await queries.venue_by_slug(tx, organisation_id, venue_slug)
        return await self.book(ctx, venue_id)

    # --- resources

    async def add_resource(self, ctx: Context, venue_id: UUID, new: NewResource) -> Resource:
        """Raises NotFound, Invalid."""
        resource_id = new_id()
        photos = showing(new.photo_ids, await self._hang(ctx, resource_owner(resource_id), new.photo_ids, None), None)
        async with self.db.tx(ctx) as tx:
            book = (await self._open(tx, venue_id)).book
            _check_room(book)
            fields: dict[str, Any] = msgspec.structs.asdict(new) | photos
            resource = Resource(id=resource_id, venue_id=venue_id, version=1, **fields)
            single(rules.validate_resource(resource, _present(book)))
            await queries.insert_resource(tx, book.venue.organisation_id, resource)
            created = ResourceCreated(organisation_id=book.venue.organisation_id, venue_id=venue_id, resource_id=resource.id)
            await self._publish(tx, _with(book, resource), (), created, _changed(book, resource, ()))
        await self._forget([venue_id])
        return resource

    async def resources(self, ctx: Context, venue_id: UUID, limit: int, cursor: str | None) -> Page[Resource]:
        """All resources of a venue of `ctx`'s organisation, inactive ones too, in the order the owner gave them."""
        return resource_page(_present((await self.fresh(ctx, venue_id)).book), limit, cursor)

    async def resource(self, ctx: Context, venue_id: UUID, resource_id: UUID) -> Resource:
        """Raises NotFound."""
        return _resource((await self.fresh(ctx, venue_id)).book, resource_id)

    async def edit_resource(
        self, ctx: Context, venue_id: UUID, resource_id: UUID, patch: ResourcePatch, version: int | None
    ) -> Resource:
        """Raises NotFound, PreconditionFailed, Invalid, ResourceInUse for more parts of what is booked."""
        known_from = await self._rearrange(ctx, venue_id, resource_id, patch, version)
        hung: dict[UUID, Photo] = {}
        if patch.photo_ids is not UNSET:
            now = await self.resource(ctx, venue_id, resource_id)
            hung = await self._hang(ctx, resource_owner(resource_id), patch.photo_ids, now)
        async with self.db.tx(ctx) as tx:
            book = (await self._open(tx, venue_id)).book
            before = _resource(book, resource_id)
            check_version(before.version, version)
            check_version(book.version, known_from)  # another edit in between made a book that does not know of them either
            fields = patched(before, patch) | {"version": before.version + 1}
            if patch.photo_ids is not UNSET:
                fields |= showing(patch.photo_ids, hung, before)
            resource = msgspec.structs.replace(before, **fields)
            single(rules.validate_resource(resource, _present(book)))
            await self._save_resource(tx, book, before, resource)
        await self._forget([venue_id])
        await self._let_go(ctx, resource_owner(resource_id), before, resource)
        return resource

    async def _rearrange(
        self, ctx: Context, venue_id: UUID, resource_id: UUID, patch: ResourcePatch, version: int | None
    ) -> int | None:
        """A booking has claims on the parts that there were when it was made; one added later would be free while the whole is
        booked. So what somebody has gets no more parts, and neither do its parts; and from then on nothing is claimed by a book
        that does not know of them. Returns the version of the first that does, None when there are no more parts.

        Raises NotFound, PreconditionFailed, Invalid, ResourceInUse.
        """
        if patch.part_ids is UNSET or self.availability is None:
            return None
        book = (await self.fresh(ctx, venue_id)).book
        before = _resource(book, resource_id)
        after = msgspec.structs.replace(before, part_ids=patch.part_ids)
        if parts_of(after, book.resource) <= parts_of(before, book.resource):
            return None
        # What would be refused afterwards is refused before anybody is kept out.
        check_version(before.version, version)
        fields = {name: value for name, value in patched(before, patch).items() if name not in ("photo_ids", "photos")}
        single(rules.validate_resource(msgspec.structs.replace(before, **fields), _present(book)))
        # What was removed keeps its bookings, and may contain this one.
        wholes = [r.id for r in book.resources if resource_id in parts_of(r, book.resource)]
        taken = await self.availability.rearrange(ctx, venue_id, [resource_id, *wholes], book.version)
        if taken:
            names = ", ".join(r.name for r in book.resources if r.id in taken)
            raise ResourceInUse(f"there are bookings or blocks of {names}; cancel, move or remove them before it gets more parts")
        return book.version + 1

    async def remove_resource(self, ctx: Context, venue_id: UUID, resource_id: UUID) -> None:
        """Takes it off every list for good. Bookings that exist stay as they are and keep its name.

        Raises NotFound; ResourceInUse when it is a part of a combined resource.
        """
        async with self.db.tx(ctx) as tx:
            book = (await self._open(tx, venue_id)).book
            before = _resource(book, resource_id)
            whole = next((r for r in _present(book) if resource_id in r.part_ids), None)
            if whole is not None:
                raise ResourceInUse(f"it is a part of {whole.name}")
            gone = msgspec.structs.replace(
                before, active=False, removed=True, photo_ids=[], photos=[], version=before.version + 1
            )
            await self._save_resource(tx, book, before, gone)
        await self._forget([venue_id])
        await self._let_go(ctx, resource_owner(resource_id), before, None)

    async def _save_resource(self, tx: Tx, book: VenueBook, before: Resource, after: Resource) -> None:
        await queries.update_resource(tx, book.venue.organisation_id, after)
        await self._publish(tx, _with(book, after), (), _changed(book, after, changes_between(before, after)))

    # --- prices

    async def prices(self, ctx: Context, venue_id: UUID) -> Prices:
        """The price list as it stands. Raises NotFound."""
        row = await self.fresh(ctx, venue_id)
        return Prices(row.book.rules, row.prices_version)

    async def set_prices(self, ctx: Context, venue_id: UUID, wanted: PriceList, version: int | None) -> Prices:
        """Replaces all rules. Raises NotFound, PreconditionFailed, Invalid."""
        async with self.db.tx(ctx) as tx:
            row = await self._open(tx, venue_id)
            book = row.book
            check_version(row.prices_version, version)
            single(rules.validate_rules(wanted.rules, book.organisation.currency, [r.id for r in book.resources]))
            saved = Prices(wanted.rules, row.prices_version + 1)
            await queries.update_prices(tx, book.venue.organisation_id, venue_id, saved.rules, saved.version)
            event = PricesChanged(
                organisation_id=book.venue.organisation_id, venue_id=venue_id, changes=_price_changes(book.rules, saved.rules)
            )
            await self._publish(tx, msgspec.structs.replace(book, rules=saved.rules), (), event)
        await self._forget([venue_id])
        return saved

    async def preview_price(
        self,
        ctx: Context,
        venue_id: UUID,
        resource_id: UUID,
        period: Period,
        *,
        purpose: Purpose,
        team_size: int,
        member_tier: str | None,
    ) -> PricePreview:
        """What this time costs by the list as it stands, and which rule wins when. Raises NotFound, CapacityExceeded."""
        book = (await self.fresh(ctx, venue_id)).book
        resource = _resource(book, resource_id)
        if team_size > resource.capacity:
            raise CapacityExceeded(f"{resource.name} holds {resource.capacity}")
        segments = tariff.price(book, resource, period, purpose=purpose, team_size=team_size, member_tier=member_tier)
        places = {id(rule): i for i, rule in enumerate(book.rules)}
        return PricePreview(
            tariff.total(segments, book.organisation.currency),
            [
                PreviewSegment(
                    s.period.start,
                    s.period.end,
                    calendar.local(book, s.period.start),
                    s.amount,
                    None if s.rule is None else places[id(s.rule)],
                    s.label,
                )
                for s in segments
            ],
        )

    # --- closures

    async def close(self, ctx: Context, venue_id: UUID, new: NewClosure) -> Closure:
        """Shuts the venue on dates or public holidays. Bookings that exist are not touched. Raises NotFound, Invalid."""
        single(rules.validate_closure(new))
        async with self.db.tx(ctx) as tx:
            book = (await self._open(tx, venue_id)).book
            if len(book.closures) >= MAX_CLOSURES:
                raise Invalid(f"a venue has at most {MAX_CLOSURES} closures; remove old ones")
            closure = Closure(new_id(), venue_id, new.reason, new.dates, new.holiday)
            await queries.insert_closure(tx, book.venue.organisation_id, closure)
            event = ClosureAdded(organisation_id=book.venue.organisation_id, venue_id=venue_id, closure=closure)
            await self._publish(tx, msgspec.structs.replace(book, closures=[*book.closures, closure]), (), event)
        await self._forget([venue_id])
        return closure

    async def closures(self, ctx: Context, venue_id: UUID) -> list[Closure]:
        """At most MAX_CLOSURES, holidays last. Raises NotFound."""
        return (await self.fresh(ctx, venue_id)).book.closures

    async def reopen(self, ctx: Context, venue_id: UUID, closure_id: UUID) -> None:
        """Takes a closure back. Raises NotFound."""
        async with self.db.tx(ctx) as tx:
            book = (await self._open(tx, venue_id)).book
            closure = next((c for c in book.closures if c.id == closure_id), None)
            if closure is None:
                raise NotFound
            await queries.delete_closure(tx, book.venue.organisation_id, closure)
            event = ClosureRemoved(organisation_id=book.venue.organisation_id, venue_id=venue_id, closure=closure)
            rest = [c for c in book.closures if c.id != closure_id]
            await self._publish(tx, msgspec.structs.replace(book, closures=rest), (), event)
        await self._forget([venue_id])


def resource_page(resources: list[Resource], limit: int, cursor: str | None) -> Page[Resource]:
    """A page of resources by position, then name."""

    def key(r: Resource) -> tuple[int, str, UUID]:
        return (r.position, r.name, r.id)

    after = RESOURCES.decode(cursor)
    rows = sorted((r for r in resources if after is None or key(r) > after), key=key)
    return RESOURCES.page(rows[: limit + 1], limit, key)


def _venue(organisation_id: UUID, venue_id: UUID, new: NewVenue, slug: str, photos: dict[str, object]) -> Venue:
    fields: dict[str, Any] = msgspec.structs.asdict(new) | {"slug": slug} | photos
    return Venue(id=venue_id, organisation_id=organisation_id, version=1, **fields)


def _venue_faults(venue: Venue, country: str) -> list[FieldError]:
    faults = rules.validate_timezone(venue.timezone) + rules.validate_hours(venue.opening_hours)
    return faults + rules.validate_region(country, venue.region)


def _free_slug(base: str, taken: set[str]) -> str:
    wanted = [base, *(f"{base}-{i}" for i in range(2, MAX_VENUES + 2))]
    return next(slug for slug in wanted if slug not in taken)


def _present(book: VenueBook) -> list[Resource]:
    return [r for r in book.resources if not r.removed]


def _resource(book: VenueBook, resource_id: UUID) -> Resource:
    """Raises NotFound, also for what was removed."""
    found = book.resource(resource_id)
    if found is None or found.removed:
        raise NotFound
    return found


def _check_room(book: VenueBook) -> None:
    if len(_present(book)) >= MAX_RESOURCES or len(book.resources) >= 2 * MAX_RESOURCES:
        raise Invalid(f"a venue has at most {MAX_RESOURCES} resources")


def _with(book: VenueBook, resource: Resource) -> VenueBook:
    rest = [r for r in book.resources if r.id != resource.id]
    return msgspec.structs.replace(book, resources=[*rest, resource])


def _changed(book: VenueBook, resource: Resource, changes: tuple[Change, ...]) -> ResourceChanged:
    return ResourceChanged(
        organisation_id=book.venue.organisation_id,
        venue_id=book.venue.id,
        resource_id=resource.id,
        active=resource.active,
        removed=resource.removed,
        changes=changes,
    )


def _price_changes(before: list[PriceRule], after: list[PriceRule]) -> tuple[Change, ...]:
    """The rules that went and the rules that came, the first hundred of each."""
    gone = [r for r in before if r not in after][:100]
    come = [r for r in after if r not in before][:100]
    return changes_between(PriceList(gone), PriceList(come))


def _slug_taken(error: asyncpg.UniqueViolationError) -> Exception:
    return SlugTaken() if constraint_of(error) == "venue_slug" else error


__all__ = ["BookRow", "Editing", "PricePreview", "Prices", "resource_page"]
