"""Venues over HTTP: the public directory, and what owners edit."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from forecourt.kernel.context import Context
from forecourt.kernel.errors import Invalid, NotFound, PreconditionFailed
from forecourt.kernel.http.operation import ADMIN, ANY_STAFF, CONFIRMED, PUBLIC, Api, delete, get, patch, post, put, staff
from forecourt.kernel.money import Currency
from forecourt.kernel.paging import Page, Paged
from forecourt.kernel.period import Period
from forecourt.modules.venues.contract import (
    AltText,
    CapacityExceeded,
    Closure,
    DurationMin,
    Location,
    NewClosure,
    NewOrganisation,
    NewResource,
    NewVenue,
    Organisation,
    OrganisationCard,
    OrganisationPatch,
    OrganisationStatus,
    People,
    Photo,
    PointText,
    Policies,
    PoliciesPatch,
    PriceList,
    Purpose,
    Resource,
    ResourceInUse,
    ResourcePatch,
    SlugTaken,
    Tag,
    Tier,
    Venue,
    VenueBook,
    VenueCard,
    VenuePatch,
    read_point,
)
from forecourt.modules.venues.queries import OrganisationsAfter, Wanted
from forecourt.modules.venues.service import VenuesService
from forecourt.modules.venues.service.organisations import OnboardingStep
from forecourt.modules.venues.service.search import FreeTime, Sort, Suggestion
from forecourt.modules.venues.service.venues import PricePreview, Prices, resource_page

EDIT = staff("venues.edit")

DEFAULT_DURATION_MIN = 60
MAX_PRICES_BYTES = 1024 * 1024
"""A full price list: five hundred rules that each name many resources."""

Words = Annotated[str, Meta(max_length=100)]
Minor = Annotated[int, Meta(ge=0, le=10**12, description="Integer minor units per hour")]


class PoliciesView(Policies, frozen=True, kw_only=True):
    """`version` is the organisation's: its details and its policies share it."""

    version: int


class VenueView(Venue, frozen=True, kw_only=True):
    """A venue with what a visitor wants to know of it."""

    organisation: OrganisationCard
    policies: Policies
    closures: list[Closure]
    sports: list[str]


class SearchQuery(Paged, forbid_unknown_fields=True, kw_only=True):
    near: PointText | None = None
    radius_km: Annotated[float, Meta(gt=0, le=20_000)] | None = None
    sport: Tag | None = None
    amenities: Annotated[list[Tag], Meta(max_length=20)] = msgspec.field(default_factory=list[str])
    indoor: bool | None = None
    """True: with something under a roof; false: with something in the open air."""
    min_price: Minor | None = None
    max_price: Minor | None = None
    currency: Currency | None = None
    free_at: Annotated[datetime, Meta(tz=True)] | None = None
    duration_min: DurationMin | None = None
    q: Words | None = None
    sort: Sort | None = None
    organisation_id: UUID | None = None


class SuggestQuery(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    q: Words = ""


class PreviewQuery(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    resource_id: UUID
    start: Annotated[datetime, Meta(tz=True)]
    duration_min: DurationMin = DEFAULT_DURATION_MIN
    team_size: People = 1
    purpose: Purpose = Purpose.WORKOUT
    member_tier: Tier | None = None


class AttentionQuery(Paged, forbid_unknown_fields=True, kw_only=True):
    status: OrganisationStatus | None = None


class Description(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    alt: AltText


class Standing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`reason` is kept with the event, for those who ask later."""

    status: OrganisationStatus
    reason: Annotated[str, Meta(min_length=1, max_length=500)]
    parent_id: UUID | UnsetType | None = UNSET


class Closures(msgspec.Struct, frozen=True):
    items: list[Closure]


class Onboarding(msgspec.Struct, frozen=True):
    steps: list[OnboardingStep]


class Suggestions(msgspec.Struct, frozen=True):
    items: list[Suggestion]


class VenuesApi(Api):
    tag = "Venues"

    def __init__(self, service: VenuesService) -> None:
        self.service = service

    # --- the public directory

    @get("/v1/venues", access=PUBLIC)
    async def search(self, ctx: Context, query: SearchQuery) -> Page[VenueCard]:
        """Find venues

        Nearest first when `near` is given, best match when `q` is, otherwise by name. A page that asks for free time may be
        short and still have a next one.
        """
        return await self.service.search(
            ctx,
            _wanted(query),
            text=query.q or "",
            free=_free_time(query),
            sort=query.sort,
            limit=query.limit,
            cursor=query.cursor,
        )

    @get("/v1/venues/suggest", access=PUBLIC)
    async def suggest(self, ctx: Context, query: SuggestQuery) -> Suggestions:
        """Complete what someone types: cities and venues"""
        return Suggestions(await self.service.suggest(ctx, query.q))

    @get("/v1/venues/{id}", access=PUBLIC)
    async def read(self, ctx: Context, id: UUID) -> VenueView:
        """Read a venue"""
        return _view(_visible(await self.service.book(ctx, id)))

    @get("/v1/venues/{id}/resources", access=PUBLIC)
    async def public_resources(self, ctx: Context, id: UUID, query: Paged) -> Page[Resource]:
        """List what can be booked at a venue"""
        book = _visible(await self.service.book(ctx, id))
        return resource_page([r for r in book.resources if r.active], query.limit, query.cursor)

    # --- organisations

    @post("/v1/orgs", status=201, access=CONFIRMED, problems=(SlugTaken,))
    async def found(self, ctx: Context, body: NewOrganisation) -> Organisation:
        """Create an organisation; you become its owner"""
        return await self.service.found(ctx, body)

    @get("/v1/orgs/{org_id}", access=ANY_STAFF)
    async def organisation(self, ctx: Context, org_id: UUID) -> Organisation:
        """Read an organisation"""
        return (await self.service.own(ctx)).organisation

    @patch("/v1/orgs/{org_id}", access=EDIT, problems=(SlugTaken, PreconditionFailed))
    async def edit_organisation(
        self, ctx: Context, org_id: UUID, body: OrganisationPatch, if_match: int | None = None
    ) -> Organisation:
        """Change an organisation's details"""
        return await self.service.edit_organisation(ctx, body, if_match)

    @get("/v1/orgs/{org_id}/policies", access=ANY_STAFF)
    async def policies(self, ctx: Context, org_id: UUID) -> PoliciesView:
        """Read an organisation's policies"""
        row = await self.service.own(ctx)
        return _policies_view(row.policies, row.organisation.version)

    @patch("/v1/orgs/{org_id}/policies", access=EDIT, problems=(PreconditionFailed,))
    async def edit_policies(self, ctx: Context, org_id: UUID, body: PoliciesPatch, if_match: int | None = None) -> PoliciesView:
        """Change an organisation's policies"""
        row = await self.service.edit_policies(ctx, body, if_match)
        return _policies_view(row.policies, row.organisation.version)

    @get("/v1/orgs/{org_id}/onboarding", access=ANY_STAFF)
    async def onboarding(self, ctx: Context, org_id: UUID) -> Onboarding:
        """What is still to do before people can book"""
        return Onboarding(await self.service.onboarding(ctx))

    @get("/v1/admin/orgs", access=ADMIN)
    async def needing_attention(self, ctx: Context, query: AttentionQuery) -> Page[OrganisationsAfter]:
        """List organisations that nobody can book

        Those that are not active, and those without a listed venue that has a price.
        """
        return await self.service.needing_attention(ctx, query.status, query.limit, query.cursor)

    @patch("/v1/admin/orgs/{id}", access=ADMIN)
    async def set_standing(self, ctx: Context, id: UUID, body: Standing) -> Organisation:
        """Suspend, deactivate or take back an organisation"""
        return await self.service.set_standing(ctx, id, body.status, body.reason, body.parent_id)

    # --- venues

    @post("/v1/orgs/{org_id}/venues", status=201, access=EDIT, problems=(SlugTaken,))
    async def create(self, ctx: Context, org_id: UUID, body: NewVenue) -> Venue:
        """Create a venue"""
        return await self.service.create_venue(ctx, body)

    @get("/v1/orgs/{org_id}/venues", access=ANY_STAFF)
    async def venues(self, ctx: Context, org_id: UUID, query: Paged) -> Page[Venue]:
        """List an organisation's venues, unlisted ones too"""
        return await self.service.venues(ctx, query.limit, query.cursor)

    @get("/v1/orgs/{org_id}/venues/{id}", access=ANY_STAFF)
    async def venue(self, ctx: Context, org_id: UUID, id: UUID) -> Venue:
        """Read a venue as its owner"""
        return (await self.service.fresh(ctx, id)).book.venue

    @patch("/v1/orgs/{org_id}/venues/{id}", access=EDIT, problems=(SlugTaken, PreconditionFailed))
    async def edit(self, ctx: Context, org_id: UUID, id: UUID, body: VenuePatch, if_match: int | None = None) -> Venue:
        """Change a venue

        `photo_ids` names images that were sent to the organisation's uploads, in the order shown; those left out are removed.
        """
        return await self.service.edit_venue(ctx, id, body, if_match)

    @put("/v1/orgs/{org_id}/venues/{id}/photos/{photo_id}", access=EDIT)
    async def describe_photo(self, ctx: Context, org_id: UUID, id: UUID, photo_id: UUID, body: Description) -> Photo:
        """Say in words what a photo shows, of the venue or of something that can be booked there"""
        return await self.service.describe_photo(ctx, id, photo_id, body.alt)

    # --- resources

    @post("/v1/orgs/{org_id}/venues/{id}/resources", status=201, access=EDIT)
    async def add_resource(self, ctx: Context, org_id: UUID, id: UUID, body: NewResource) -> Resource:
        """Add something that can be booked"""
        return await self.service.add_resource(ctx, id, body)

    @get("/v1/orgs/{org_id}/venues/{id}/resources", access=ANY_STAFF)
    async def resources(self, ctx: Context, org_id: UUID, id: UUID, query: Paged) -> Page[Resource]:
        """List a venue's resources, inactive ones too"""
        return await self.service.resources(ctx, id, query.limit, query.cursor)

    @get("/v1/orgs/{org_id}/venues/{id}/resources/{resource_id}", access=ANY_STAFF)
    async def resource(self, ctx: Context, org_id: UUID, id: UUID, resource_id: UUID) -> Resource:
        """Read a resource as its owner"""
        return await self.service.resource(ctx, id, resource_id)

    @patch("/v1/orgs/{org_id}/venues/{id}/resources/{resource_id}", access=EDIT, problems=(ResourceInUse, PreconditionFailed))
    async def edit_resource(
        self, ctx: Context, org_id: UUID, id: UUID, resource_id: UUID, body: ResourcePatch, if_match: int | None = None
    ) -> Resource:
        """Change a resource, switch it off or on

        It gets no more parts while it is booked or blocked at any time to come, itself or as a part of something.
        """
        return await self.service.edit_resource(ctx, id, resource_id, body, if_match)

    @delete("/v1/orgs/{org_id}/venues/{id}/resources/{resource_id}", status=204, access=EDIT, problems=(ResourceInUse,))
    async def remove_resource(self, ctx: Context, org_id: UUID, id: UUID, resource_id: UUID) -> None:
        """Remove a resource for good

        Bookings that exist stay as they are.
        """
        await self.service.remove_resource(ctx, id, resource_id)

    # --- prices

    @get("/v1/orgs/{org_id}/venues/{id}/prices", access=ANY_STAFF)
    async def prices(self, ctx: Context, org_id: UUID, id: UUID) -> Prices:
        """Read a venue's price list"""
        return await self.service.prices(ctx, id)

    @put(
        "/v1/orgs/{org_id}/venues/{id}/prices",
        access=EDIT,
        problems=(PreconditionFailed,),
        max_body_bytes=MAX_PRICES_BYTES,
    )
    async def set_prices(self, ctx: Context, org_id: UUID, id: UUID, body: PriceList, if_match: int | None = None) -> Prices:
        """Replace a venue's price list"""
        return await self.service.set_prices(ctx, id, body, if_match)

    @get("/v1/orgs/{org_id}/venues/{id}/prices/preview", access=ANY_STAFF, problems=(CapacityExceeded,))
    async def preview_price(self, ctx: Context, org_id: UUID, id: UUID, query: PreviewQuery) -> PricePreview:
        """See what a time would cost, and which rule wins"""
        return await self.service.preview_price(
            ctx,
            id,
            query.resource_id,
            Period.of(query.start, query.duration_min),
            purpose=query.purpose,
            team_size=query.team_size,
            member_tier=query.member_tier,
        )

    # --- closures

    @post("/v1/orgs/{org_id}/venues/{id}/closures", status=201, access=EDIT)
    async def close(self, ctx: Context, org_id: UUID, id: UUID, body: NewClosure) -> Closure:
        """Shut a venue on some dates or on public holidays

        Bookings that exist are not touched.
        """
        return await self.service.close(ctx, id, body)

    @get("/v1/orgs/{org_id}/venues/{id}/closures", access=ANY_STAFF)
    async def closures(self, ctx: Context, org_id: UUID, id: UUID) -> Closures:
        """List a venue's closures"""
        return Closures(await self.service.closures(ctx, id))

    @delete("/v1/orgs/{org_id}/venues/{id}/closures/{closure_id}", status=204, access=EDIT)
    async def reopen(self, ctx: Context, org_id: UUID, id: UUID, closure_id: UUID) -> None:
        """Take a closure back"""
        await self.service.reopen(ctx, id, closure_id)


def _wanted(query: SearchQuery) -> Wanted:
    near = None if query.near is None else _point(query.near)
    if query.radius_km is not None and near is None:
        raise Invalid.field("radius_km", "needs a point: near=51.5,-0.12")
    return Wanted(
        near=near,
        radius_km=query.radius_km,
        sport=query.sport,
        amenities=query.amenities or None,
        indoor=True if query.indoor is True else None,
        outdoor=True if query.indoor is False else None,
        min_minor=query.min_price,
        max_minor=query.max_price,
        currency=query.currency,
        organisation_id=query.organisation_id,
    )


def _point(text: str) -> Location:
    point = read_point(text)
    if point is None:
        raise Invalid.field("near", "is not a point; write it like 51.5,-0.12")
    return point


def _free_time(query: SearchQuery) -> FreeTime | None:
    if query.free_at is None:
        if query.duration_min is not None:
            raise Invalid.field("duration_min", "belongs to free_at")
        return None
    return FreeTime(query.free_at, query.duration_min or DEFAULT_DURATION_MIN)


def _policies_view(policies: Policies, version: int) -> PoliciesView:
    return PoliciesView(**msgspec.structs.asdict(policies), version=version)


def _visible(book: VenueBook) -> VenueBook:
    """Raises NotFound for what belongs to an organisation that is no more; a suspended one is still to be seen."""
    if book.organisation.status is OrganisationStatus.DEACTIVATED:
        raise NotFound
    return book


def _view(book: VenueBook) -> VenueView:
    o = book.organisation
    return VenueView(
        **msgspec.structs.asdict(book.venue),
        organisation=OrganisationCard(o.id, o.name, o.slug, o.kind, o.status, o.country, o.currency),
        policies=book.policies,
        closures=book.closures,
        sports=sorted({r.sport for r in book.resources if r.active and r.sport is not None}),
    )
