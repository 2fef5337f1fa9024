"""The pages on which owners set up their organisation: places, hours, things, prices, policies."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Annotated, Any, Protocol, TypeVar
from uuid import UUID

import msgspec
from msgspec import Meta

from forecourt.kernel.clock import Clock
from forecourt.kernel.errors import Invalid, NotFound, PreconditionFailed, Problem, TooLarge, UnsupportedMedia
from forecourt.kernel.http.operation import (
    ANY_STAFF,
    CONFIRMED,
    PERSON,
    Api,
    By,
    Html,
    Limit,
    Redirect,
    SentFile,
    Visit,
    action,
    page,
    staff,
)
from forecourt.kernel.period import Period
from forecourt.kernel.web.formats import local
from forecourt.kernel.web.forms import NO_FAULTS, Faults
from forecourt.kernel.web.surroundings import Surroundings, staff_bar
from forecourt.kernel.web.views import Choice, Link
from forecourt.modules.media.contract import MAX_TAKEN_BYTES, MediaQuotaFull, MediaTooLarge
from forecourt.modules.venues.contract import (
    MAX_PHOTOS,
    WEEK,
    Closure,
    Organisation,
    Photo,
    PriceList,
    PriceRule,
    Purpose,
    Resource,
    ResourcePatch,
    Venue,
    VenueBook,
    VenuePatch,
)
from forecourt.modules.venues.contract.calendar import minutes_of, wall, zone
from forecourt.modules.venues.contract.tariff import specificity
from forecourt.modules.venues.service import VenuesService
from forecourt.modules.venues.service.organisations import OnboardingStep, Step
from forecourt.modules.venues.service.photos import shown_by
from forecourt.modules.venues.service.venues import PricePreview
from forecourt.modules.venues.staff_forms import (
    AMENITIES,
    ClosureForm,
    HoursForm,
    OrganisationForm,
    PoliciesForm,
    ResourceForm,
    RuleForm,
    SettingsForm,
    VenueForm,
    clock,
    hours_text,
)
from forecourt.modules.venues.staff_words import StaffWords

EDIT = staff("venues.edit")
MAX_SHOWN = 100
MAX_TAKEN_MB = MAX_TAKEN_BYTES // 1024 // 1024
MOST_AT_ONCE = 4
"""Photos of one form."""
ZONES = (
    "Europe/London", "Europe/Lisbon", "Europe/Madrid", "Europe/Paris", "Europe/Berlin", "Europe/Rome", "Europe/Stockholm",
    "Europe/Warsaw", "Europe/Athens", "Europe/Istanbul", "Africa/Cairo", "Africa/Lagos", "Africa/Nairobi", "Africa/Johannesburg",
    "Asia/Dubai", "Asia/Karachi", "Asia/Kolkata", "Asia/Dhaka", "Asia/Bangkok", "Asia/Singapore", "Asia/Hong_Kong", "Asia/Tokyo",
    "Australia/Sydney", "Pacific/Auckland", "America/Sao_Paulo", "America/Argentina/Buenos_Aires", "America/New_York",
    "America/Chicago", "America/Denver", "America/Los_Angeles", "America/Toronto", "America/Mexico_City", "UTC",
)  # fmt: skip
"""Offered while typing; any IANA zone is taken."""


class Todo(msgspec.Struct, frozen=True):
    """One step of setting up."""

    label: str
    hint: str
    done: bool
    href: str


class VenueRow(msgspec.Struct, frozen=True):
    """A venue in the list."""

    id: UUID
    name: str
    address: str
    listed: bool
    resources: int
    rules: int
    today: str


class DayRow(msgspec.Struct, frozen=True):
    """One weekday of the hours editor."""

    name: str
    label: str
    value: str
    error: str


class PurposeRow(msgspec.Struct, frozen=True):
    name: str
    label: str
    value: str
    error: str


class PricesQuery(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, rename={"from_": "from"}):
    """`rule` opens a rule's form (`new` an empty one); the rest is the preview's question."""

    rule: Annotated[str, Meta(max_length=6)] = ""
    resource_id: UUID | None = None
    day: date | None = None
    at: Annotated[str, Meta(max_length=5)] = "18:00"
    duration_min: Annotated[int, Meta(ge=15, le=1440)] = 60
    purpose: Purpose = Purpose.WORKOUT
    team_size: Annotated[int, Meta(ge=1, le=1000)] = 2
    member_tier: Annotated[str, Meta(max_length=40)] = ""


class ResourceQuery(msgspec.Struct, forbid_unknown_fields=True):
    edit: UUID | None = None
    new: Annotated[str, Meta(max_length=1)] = ""


class PhotoForm(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """New photos. `of`: something to book; none for the place itself."""

    of: Annotated[str, Meta(max_length=36, pattern="^([0-9a-f-]{36})?$")] = ""
    alt: Annotated[str, Meta(max_length=500)] = ""


class AltForm(msgspec.Struct, forbid_unknown_fields=True):
    alt: Annotated[str, Meta(max_length=500)] = ""


class MovePhoto(msgspec.Struct, forbid_unknown_fields=True):
    by: Annotated[int, Meta(ge=-1, le=1)]


class Album(msgspec.Struct, frozen=True):
    """The photos of the place, or of something to book."""

    of: str
    name: str
    photos: list[Photo]


class RemoveRule(msgspec.Struct, forbid_unknown_fields=True):
    place: Annotated[int, Meta(ge=0, le=500)]
    version: int


class StaffVenuePages(Api):
    tag = "Console"

    def __init__(self, service: VenuesService, pages: Surroundings, clock: Clock) -> None:
        self._venues = service
        self._pages = pages
        self._clock = clock

    # --- an organisation of one's own

    @page("/orgs/new", access=PERSON)
    async def new_organisation(self, visit: Visit) -> Html | Redirect:
        """Open a place."""
        if not visit.ctx.actor.confirmed:
            return Redirect("/verify?next=/orgs/new", toast=self._pages.said(visit)("Verify your e-mail address first"))
        return self._new_organisation(visit, OrganisationForm(), NO_FAULTS)

    @action("/orgs/new", access=CONFIRMED)
    async def found(self, visit: Visit, form: OrganisationForm) -> Html | Redirect:
        """Creates the organisation; its first place comes next."""
        try:
            organisation = await self._venues.found(visit.ctx, form.new())
        except Problem as problem:
            return self._new_organisation(visit, form, self._pages.faults(visit, problem))
        done = self._pages.text(visit, "neworg.done", name=organisation.name)
        return Redirect(f"/orgs/{organisation.id}/places/new", toast=done)

    def _new_organisation(self, visit: Visit, form: OrganisationForm, wrong: Faults) -> Html:
        return self._pages.page(
            "venues/staff_new_org.html",
            visit,
            status=wrong.status,
            form=form,
            wrong=wrong,
            kinds=self._words(visit).organisations(),
            zones=ZONES,
        )

    # --- places

    @page("/orgs/{org_id}/places", access=EDIT)
    async def places(self, visit: Visit, org_id: UUID) -> Html:
        """The organisation's venues, and what is left to set up."""
        found = (await self._venues.venues(visit.ctx, MAX_SHOWN, None)).items
        books = {book.venue.id: book for book in await self._venues.books(visit.ctx, [v.id for v in found])}
        organisation = (await self._venues.own(visit.ctx)).organisation
        steps = _todo(self._words(visit), await self._venues.onboarding(visit.ctx), org_id, found[0].id if found else None)
        return self._pages.page(
            "venues/staff_places.html",
            visit,
            org=staff_bar(organisation, visit.ctx),
            rows=[self._row(visit, books[v.id]) for v in found if v.id in books],
            steps=[] if all(step.done for step in steps) else steps,
            done=sum(step.done for step in steps),
        )

    def _row(self, visit: Visit, book: VenueBook) -> VenueRow:
        today = local(self._clock.now(), book.venue.timezone).date()
        return VenueRow(
            book.venue.id,
            book.venue.name,
            book.venue.address,
            book.venue.listed,
            sum(1 for r in book.resources if r.active and not r.removed),
            len(book.rules),
            hours_text(book.venue.opening_hours.on(today)) or self._say(visit, "venues.places.closed_today"),
        )

    @page("/orgs/{org_id}/places/new", access=EDIT)
    async def new_place(self, visit: Visit, org_id: UUID) -> Html:
        """Add a place."""
        organisation = (await self._venues.own(visit.ctx)).organisation
        return self._new_place(visit, organisation, VenueForm(timezone=organisation.timezone), NO_FAULTS)

    @action("/orgs/{org_id}/places/new", access=EDIT)
    async def add_place(self, visit: Visit, org_id: UUID, form: VenueForm) -> Html | Redirect:
        """Adds a place."""
        try:
            venue = await self._venues.create_venue(visit.ctx, form.new())
        except Problem as problem:
            organisation = (await self._venues.own(visit.ctx)).organisation
            return self._new_place(
                visit, organisation, form, self._pages.faults(visit, problem, {"location.lat": "lat", "location.lon": "lon"})
            )
        return Redirect(
            f"/orgs/{org_id}/places/{venue.id}/resources?new=1", toast=self._say(visit, "venues.place.added", name=venue.name)
        )

    def _new_place(self, visit: Visit, organisation: Organisation, form: VenueForm, wrong: Faults) -> Html:
        return self._pages.page(
            "venues/staff_new_place.html",
            visit,
            org=staff_bar(organisation, visit.ctx),
            status=wrong.status,
            form=form,
            wrong=wrong,
            zones=ZONES,
            amenities=self._words(visit).amenities(AMENITIES),
        )

    @page("/orgs/{org_id}/places/{venue_id}", access=EDIT)
    async def place(self, visit: Visit, org_id: UUID, venue_id: UUID) -> Html:
        """A place's details."""
        book = await self._book(visit, venue_id)
        return self._place(visit, book, VenueForm.of(book.venue), NO_FAULTS)

    @action("/orgs/{org_id}/places/{venue_id}", access=EDIT)
    async def edit_place(self, visit: Visit, org_id: UUID, venue_id: UUID, form: VenueForm) -> Html | Redirect:
        """Saves a place's details."""
        try:
            venue = await self._venues.edit_venue(visit.ctx, venue_id, form.patch(), form.version)
        except Problem as problem:
            book = await self._book(visit, venue_id)
            wrong = self._pages.faults(visit, problem, {"location.lat": "lat", "location.lon": "lon"})
            return self._place(visit, book, _fresher(form, book.venue.version, problem), wrong)
        return Redirect(f"/orgs/{org_id}/places/{venue_id}", toast=self._say(visit, "venues.saved_named", name=venue.name))

    def _place(self, visit: Visit, book: VenueBook, form: VenueForm, wrong: Faults) -> Html:
        amenities = self._words(visit).amenities(AMENITIES)
        return self._editor(visit, book, "details", wrong, "venues/staff_place.html", form=form, zones=ZONES, amenities=amenities)

    # --- hours

    @page("/orgs/{org_id}/places/{venue_id}/hours", access=EDIT)
    async def hours(self, visit: Visit, org_id: UUID, venue_id: UUID) -> Html:
        """Opening hours and closures."""
        book = await self._book(visit, venue_id)
        return self._hours(visit, book, HoursForm.of(book.venue), NO_FAULTS, ClosureForm(), NO_FAULTS)

    @action("/orgs/{org_id}/places/{venue_id}/hours", access=EDIT)
    async def edit_hours(self, visit: Visit, org_id: UUID, venue_id: UUID, form: HoursForm) -> Html | Redirect:
        """Saves the opening hours."""
        try:
            await self._venues.edit_venue(visit.ctx, venue_id, form.patch(), form.version)
        except Problem as problem:
            wrong = self._pages.faults(visit, problem)
            wrong = Faults(wrong.status, wrong.code, {k.removeprefix("opening_hours."): v for k, v in wrong.at.items()})
            fresh = await self._book(visit, venue_id)
            return self._hours(visit, fresh, _fresher(form, fresh.venue.version, problem), wrong, ClosureForm(), NO_FAULTS)
        return Redirect(f"/orgs/{org_id}/places/{venue_id}/hours", toast=self._say(visit, "venues.hours.saved"))

    @action("/orgs/{org_id}/places/{venue_id}/closures", access=EDIT)
    async def close(self, visit: Visit, org_id: UUID, venue_id: UUID, form: ClosureForm) -> Html | Redirect:
        """Closes the place on some days."""
        holiday = self._say(visit, "venues.closures.public_holiday")
        try:
            closure = await self._venues.close(visit.ctx, venue_id, form.new(holiday))
        except Problem as problem:
            book = await self._book(visit, venue_id)
            wrong = self._pages.faults(visit, problem, {"dates.from": "first", "dates.to": "last", "dates": "first"})
            return self._hours(visit, book, HoursForm.of(book.venue), NO_FAULTS, form, wrong)
        here = f"/orgs/{org_id}/places/{venue_id}"
        return Redirect(
            f"{here}/hours",
            toast=self._say(visit, "venues.closures.closed", reason=closure.reason),
            undo=f"{here}/closures/{closure.id}/remove",
        )

    @action("/orgs/{org_id}/places/{venue_id}/closures/{closure_id}/remove", access=EDIT)
    async def reopen(self, visit: Visit, org_id: UUID, venue_id: UUID, closure_id: UUID) -> Redirect:
        """Takes a closure back."""
        await self._venues.reopen(visit.ctx, venue_id, closure_id)
        return Redirect(f"/orgs/{org_id}/places/{venue_id}/hours", toast=self._say(visit, "venues.closures.reopened"))

    def _hours(
        self, visit: Visit, book: VenueBook, form: HoursForm, wrong: Faults, closure: ClosureForm, closure_wrong: Faults
    ) -> Html:
        rows = [
            DayRow(day.value, self._say(visit, f"venues.day.{day}"), getattr(form, day.value), wrong(day.value)) for day in WEEK
        ]
        return self._editor(
            visit,
            book,
            "hours",
            wrong if wrong is not NO_FAULTS else closure_wrong,
            "venues/staff_hours.html",
            form=form,
            days=rows,
            closures=sorted(book.closures, key=_closure_order),
            closure=closure,
            closure_wrong=closure_wrong,
        )

    # --- photos

    @page("/orgs/{org_id}/places/{venue_id}/photos", access=EDIT)
    async def photos(self, visit: Visit, org_id: UUID, venue_id: UUID) -> Html:
        """Photos of a place and of what can be booked there."""
        return self._photos(visit, await self._book(visit, venue_id), PhotoForm(), NO_FAULTS)

    @action(
        "/orgs/{org_id}/places/{venue_id}/photos",
        access=EDIT,
        limits=(Limit("60/minute", By.ACCOUNT),),
        max_body_bytes=MOST_AT_ONCE * MAX_TAKEN_BYTES,
    )
    async def add_photos(
        self, visit: Visit, org_id: UUID, venue_id: UUID, form: PhotoForm, files: list[SentFile]
    ) -> Html | Redirect:
        """Adds photos behind those that are there."""
        book = await self._book(visit, venue_id)
        sent = [file for file in files if file.field == "photo" and file.size][:MOST_AT_ONCE]
        try:
            if not sent:
                raise Invalid.field("photo", "Choose a picture first.")
            thing = _thing(book, form.of)
            taken = [await self._taken(visit, file, form.alt.strip()) for file in sent]
            await self._show(visit, book, thing, [*thing.photo_ids, *taken])
        except Problem as problem:
            return self._photos(
                visit,
                await self._book(visit, venue_id),
                form,
                self._pages.faults(visit, _at_photo(problem), {"photo_ids": "photo"}),
            )
        done = self._say(visit, "venues.photos.added", n=len(sent))
        return Redirect(f"/orgs/{org_id}/places/{venue_id}/photos", toast=done)

    @action("/orgs/{org_id}/places/{venue_id}/photos/{photo_id}", access=EDIT)
    async def describe_photo(self, visit: Visit, org_id: UUID, venue_id: UUID, photo_id: UUID, form: AltForm) -> Redirect:
        """Says in words what a photo shows."""
        await self._venues.describe_photo(visit.ctx, venue_id, photo_id, form.alt.strip())
        return Redirect(f"/orgs/{org_id}/places/{venue_id}/photos", toast=self._say(visit, "venues.saved"))

    @action("/orgs/{org_id}/places/{venue_id}/photos/{photo_id}/move", access=EDIT)
    async def move_photo(self, visit: Visit, org_id: UUID, venue_id: UUID, photo_id: UUID, form: MovePhoto) -> Redirect:
        """Shows a photo earlier or later."""
        book = await self._book(visit, venue_id)
        thing = shown_by(book, photo_id)
        rest = [id for id in thing.photo_ids if id != photo_id]
        at = min(max(thing.photo_ids.index(photo_id) + form.by, 0), len(rest))
        await self._show(visit, book, thing, [*rest[:at], photo_id, *rest[at:]])
        return Redirect(f"/orgs/{org_id}/places/{venue_id}/photos#photo-{photo_id}")

    @action("/orgs/{org_id}/places/{venue_id}/photos/{photo_id}/remove", access=EDIT)
    async def remove_photo(self, visit: Visit, org_id: UUID, venue_id: UUID, photo_id: UUID) -> Redirect:
        """Takes a photo down for good."""
        book = await self._book(visit, venue_id)
        thing = shown_by(book, photo_id)
        await self._show(visit, book, thing, [id for id in thing.photo_ids if id != photo_id])
        return Redirect(f"/orgs/{org_id}/places/{venue_id}/photos", toast=self._say(visit, "venues.photos.gone"))

    async def _taken(self, visit: Visit, file: SentFile, alt: str) -> UUID:
        if file.size > MAX_TAKEN_BYTES:
            if file.name:
                raise Invalid.field("photo", f"{file.name} is larger than {MAX_TAKEN_MB} MB.")
            raise Invalid.field("photo", f"This picture is larger than {MAX_TAKEN_MB} MB.")
        return await self._venues.take_photo(visit.ctx, file.file.read(), file.name, alt)

    async def _show(self, visit: Visit, book: VenueBook, thing: Venue | Resource, photo_ids: list[UUID]) -> None:
        if len(photo_ids) > MAX_PHOTOS:
            raise Invalid.field("photo", f"There is room for {MAX_PHOTOS} photos.")
        if isinstance(thing, Venue):
            await self._venues.edit_venue(visit.ctx, book.venue.id, VenuePatch(photo_ids=photo_ids), None)
        else:
            await self._venues.edit_resource(visit.ctx, book.venue.id, thing.id, ResourcePatch(photo_ids=photo_ids), None)

    def _photos(self, visit: Visit, book: VenueBook, form: PhotoForm, wrong: Faults) -> Html:
        things = [r for r in book.resources if not r.removed]
        return self._editor(
            visit,
            book,
            "photos",
            wrong,
            "venues/staff_photos.html",
            form=form,
            most=MAX_PHOTOS,
            albums=[
                Album("", book.venue.name, book.venue.photos),
                *(Album(str(r.id), r.name, r.photos) for r in things if r.photos),
            ],
            choices=[Choice(label=book.venue.name, value=""), *(Choice(label=r.name, value=str(r.id)) for r in things)],
        )

    # --- things

    @page("/orgs/{org_id}/places/{venue_id}/resources", access=EDIT)
    async def resources(self, visit: Visit, org_id: UUID, venue_id: UUID, query: ResourceQuery) -> Html:
        """What can be booked at a place."""
        book = await self._book(visit, venue_id)
        chosen = book.resource(query.edit) if query.edit else None
        if query.edit and (chosen is None or chosen.removed):
            raise NotFound
        form = ResourceForm.of(chosen) if chosen else ResourceForm.for_another(len(book.resources))
        return self._resources(visit, book, chosen, form, NO_FAULTS, adding=bool(query.new))

    @action("/orgs/{org_id}/places/{venue_id}/resources", access=EDIT)
    async def add_resource(self, visit: Visit, org_id: UUID, venue_id: UUID, form: ResourceForm) -> Html | Redirect:
        """Adds a thing."""
        try:
            resource = await self._venues.add_resource(visit.ctx, venue_id, form.new())
        except Problem as problem:
            wrong = self._pages.faults(visit, problem, _PARTY_PATHS)
            return self._resources(visit, await self._book(visit, venue_id), None, form, wrong, adding=True)
        here = f"/orgs/{org_id}/places/{venue_id}/resources"
        return Redirect(
            here, toast=self._say(visit, "venues.things.added", name=resource.name), undo=f"{here}/{resource.id}/remove"
        )

    @action("/orgs/{org_id}/places/{venue_id}/resources/{resource_id}", access=EDIT)
    async def edit_resource(
        self, visit: Visit, org_id: UUID, venue_id: UUID, resource_id: UUID, form: ResourceForm
    ) -> Html | Redirect:
        """Saves a thing."""
        try:
            resource = await self._venues.edit_resource(visit.ctx, venue_id, resource_id, form.patch(), form.version)
        except Problem as problem:
            book = await self._book(visit, venue_id)
            chosen = book.resource(resource_id)
            if chosen is None:
                raise
            form = _fresher(form, chosen.version, problem)
            return self._resources(visit, book, chosen, form, self._pages.faults(visit, problem, _PARTY_PATHS), adding=False)
        return Redirect(
            f"/orgs/{org_id}/places/{venue_id}/resources", toast=self._say(visit, "venues.saved_named", name=resource.name)
        )

    @action("/orgs/{org_id}/places/{venue_id}/resources/{resource_id}/remove", access=EDIT)
    async def remove_resource(self, visit: Visit, org_id: UUID, venue_id: UUID, resource_id: UUID) -> Html | Redirect:
        """Takes a thing off every list for good."""
        try:
            await self._venues.remove_resource(visit.ctx, venue_id, resource_id)
        except Problem as problem:
            book = await self._book(visit, venue_id)
            chosen = book.resource(resource_id)
            if chosen is None:
                raise
            return self._resources(visit, book, chosen, ResourceForm.of(chosen), self._pages.faults(visit, problem), adding=False)
        return Redirect(f"/orgs/{org_id}/places/{venue_id}/resources", toast=self._say(visit, "venues.things.removed"))

    def _resources(
        self, visit: Visit, book: VenueBook, chosen: Resource | None, form: ResourceForm, wrong: Faults, *, adding: bool
    ) -> Html:
        present = [r for r in book.resources if not r.removed]
        words = self._words(visit)
        return self._editor(
            visit,
            book,
            "resources",
            wrong,
            "venues/staff_resources.html",
            resources=[words.thing(r) for r in present],
            chosen=chosen,
            adding=adding or not present,
            form=form,
            kinds=words.kinds(),
            parts=[r for r in present if chosen is None or r.id != chosen.id],
            purposes=[
                PurposeRow(p.value, p.label, getattr(form, f"party_{p.value}"), wrong(f"party_{p.value}"))
                for p in words.purposes()
            ],
        )

    # --- prices

    @page("/orgs/{org_id}/places/{venue_id}/prices", access=EDIT)
    async def prices(self, visit: Visit, org_id: UUID, venue_id: UUID, query: PricesQuery) -> Html:
        """The price list, and what an hour costs by it."""
        book = await self._book(visit, venue_id)
        known = await self._venues.prices(visit.ctx, venue_id)
        form: RuleForm | None = None
        if query.rule == "new":
            form = RuleForm(version=known.version)
        elif query.rule.isdecimal() and int(query.rule) < len(known.rules):
            form = RuleForm.of(known.rules[int(query.rule)], int(query.rule))
            form.version = known.version
        return await self._prices(visit, book, known.rules, known.version, query, form, NO_FAULTS)

    @action("/orgs/{org_id}/places/{venue_id}/prices", access=EDIT)
    async def save_rule(self, visit: Visit, org_id: UUID, venue_id: UUID, form: RuleForm) -> Html | Redirect:
        """Adds a rule, or saves the one that was edited."""
        book = await self._book(visit, venue_id)
        known = await self._venues.prices(visit.ctx, venue_id)
        place = int(form.place) if form.place.isdecimal() else len(known.rules)
        try:
            if known.version != form.version:
                raise PreconditionFailed("Somebody changed the prices meanwhile. Look at the list, then save again.")
            rule = form.rule(book.organisation.currency)
            rules = [*known.rules[:place], rule, *known.rules[place + 1 :]]
            await self._venues.set_prices(visit.ctx, venue_id, PriceList(rules), form.version)
        except Problem as problem:
            form.version = known.version
            wrong = self._pages.faults(
                visit, problem, {f"rules[{place}].{name}": name for name in PriceRule.__struct_encode_fields__}
            )
            return await self._prices(visit, book, known.rules, known.version, PricesQuery(), form, _named(wrong))
        return Redirect(f"/orgs/{org_id}/places/{venue_id}/prices", toast=self._say(visit, "venues.prices.saved"))

    @action("/orgs/{org_id}/places/{venue_id}/prices/remove", access=EDIT)
    async def remove_rule(self, visit: Visit, org_id: UUID, venue_id: UUID, form: RemoveRule) -> Redirect:
        """Takes a rule off the list."""
        known = await self._venues.prices(visit.ctx, venue_id)
        if form.place >= len(known.rules):
            raise NotFound
        rest = [rule for i, rule in enumerate(known.rules) if i != form.place]
        await self._venues.set_prices(visit.ctx, venue_id, PriceList(rest), form.version)
        return Redirect(f"/orgs/{org_id}/places/{venue_id}/prices", toast=self._say(visit, "venues.prices.gone"))

    async def _prices(
        self,
        visit: Visit,
        book: VenueBook,
        rules: list[PriceRule],
        version: int,
        query: PricesQuery,
        form: RuleForm | None,
        wrong: Faults,
    ) -> Html:
        bookable = [r for r in book.resources if r.active and not r.removed]
        asked, asked_wrong, preview = query, NO_FAULTS, None
        if bookable:
            asked = self._question(book, query, bookable)
            try:
                preview = await self._preview(visit, book, asked)
            except Problem as problem:
                asked_wrong = self._pages.faults(visit, problem)
        winners = {segment.rule for segment in preview.segments} if preview else set[int | None]()
        names = {r.id: r.name for r in book.resources}
        words = self._words(visit)
        order = sorted(range(len(rules)), key=lambda i: (specificity(rules[i]), -i), reverse=True)
        return self._editor(
            visit,
            book,
            "prices",
            wrong,
            "venues/staff_prices.html",
            rows=[
                words.rule(rules[i], i, names, chosen=form is not None and form.place == str(i), wins=i in winners) for i in order
            ],
            version=version,
            form=form,
            resources=bookable,
            days=words.days(),
            pers=words.pers(),
            purposes=words.purposes(),
            asked=asked,
            asked_wrong=asked_wrong,
            preview=preview,
            currency=book.organisation.currency,
        )

    def _question(self, book: VenueBook, query: PricesQuery, bookable: Sequence[Resource]) -> PricesQuery:
        """The preview's question with what was left out filled in."""
        tomorrow = local(self._clock.now(), book.venue.timezone).date() + timedelta(days=1)
        resource_id = query.resource_id if any(r.id == query.resource_id for r in bookable) else bookable[0].id
        return msgspec.structs.replace(query, resource_id=resource_id, day=query.day or tomorrow)

    async def _preview(self, visit: Visit, book: VenueBook, asked: PricesQuery) -> PricePreview:
        if asked.day is None or asked.resource_id is None:
            raise Invalid.field("day", "is needed")
        at = clock(asked.at, "at")
        start = wall(zone(book.venue.timezone), asked.day, minutes_of(at))
        return await self._venues.preview_price(
            visit.ctx,
            book.venue.id,
            asked.resource_id,
            Period.of(start, asked.duration_min),
            purpose=asked.purpose,
            team_size=asked.team_size,
            member_tier=asked.member_tier or None,
        )

    # --- the organisation itself

    @page("/orgs/{org_id}/settings", access=EDIT)
    async def settings(self, visit: Visit, org_id: UUID) -> Html:
        """The organisation and its policies."""
        return await self._settings(visit, None, NO_FAULTS, None, NO_FAULTS)

    @action("/orgs/{org_id}/settings", access=EDIT)
    async def save_settings(self, visit: Visit, org_id: UUID, form: SettingsForm) -> Html | Redirect:
        """Saves the organisation."""
        try:
            await self._venues.edit_organisation(visit.ctx, form.patch(), form.version)
        except Problem as problem:
            return await self._settings(visit, form, self._pages.faults(visit, problem), None, NO_FAULTS)
        return Redirect(f"/orgs/{org_id}/settings", toast=self._say(visit, "venues.saved"))

    @action("/orgs/{org_id}/policies", access=EDIT)
    async def save_policies(self, visit: Visit, org_id: UUID, form: PoliciesForm) -> Html | Redirect:
        """Saves the policies."""
        try:
            await self._venues.edit_policies(visit.ctx, form.patch(), form.version)
        except Problem as problem:
            return await self._settings(visit, None, NO_FAULTS, form, self._pages.faults(visit, problem))
        return Redirect(f"/orgs/{org_id}/settings", toast=self._say(visit, "venues.policies.saved"))

    async def _settings(
        self, visit: Visit, form: SettingsForm | None, wrong: Faults, policies: PoliciesForm | None, policies_wrong: Faults
    ) -> Html:
        own = await self._venues.own(visit.ctx)
        organisation, stored = own.organisation, own.policies
        if form is None:
            form = SettingsForm(
                name=organisation.name,
                kind=organisation.kind.value,
                timezone=organisation.timezone,
                locale=organisation.locale,
                slug=organisation.slug,
                hue="" if organisation.branding.hue is None else str(organisation.branding.hue),
            )
        form.version = organisation.version
        if policies is None:
            tiers: dict[str, Any] = {
                f"tier_{i}_{key}": str(value)
                for i, tier in enumerate(stored.cancellation[:3], 1)
                for key, value in (("h", tier.before_h), ("pct", tier.refund_pct))
            }
            numbers = ("reschedule_fee_pct", "lead_min", "horizon_days", "hold_min", "max_open_bookings", "no_show_strikes")
            texts: dict[str, Any] = {name: str(getattr(stored, name)) for name in numbers}
            policies = PoliciesForm(
                **tiers,
                **texts,
                weather_refund_pct="" if stored.weather_refund_pct is None else str(stored.weather_refund_pct),
                requires_health_form="1" if stored.requires_health_form else "",
                approval_purposes=[p.value for p in stored.approval_purposes],
                quiet_hours=hours_text([stored.quiet_hours]) if stored.quiet_hours else "",
                noise_warning_venue_ids=[str(id) for id in stored.noise_warning_venue_ids],
            )
        policies.version = organisation.version
        return self._pages.page(
            "venues/staff_settings.html",
            visit,
            org=staff_bar(organisation, visit.ctx),
            status=max(wrong.status, policies_wrong.status),
            organisation=organisation,
            form=form,
            wrong=wrong,
            policies=policies,
            policies_wrong=policies_wrong,
            kinds=self._words(visit).organisations(),
            purposes=self._words(visit).purposes(),
            venues=(await self._venues.venues(visit.ctx, MAX_SHOWN, None)).items,
            zones=ZONES,
            franchise=visit.ctx.may("analytics.read") and bool(await self._venues.children(visit.ctx)),
        )

    @page("/orgs/{org_id}/more", access=ANY_STAFF)
    async def more(self, visit: Visit, org_id: UUID) -> Html:
        """Everything else, for phones: the side bar as a page."""
        organisation = await self._venues.organisation(visit.ctx, org_id)
        return self._pages.page("venues/staff_more.html", visit, org=staff_bar(organisation, visit.ctx))

    # --- shared

    def _say(self, visit: Visit, key: str, /, **values: object) -> str:
        return self._pages.text(visit, key, **values)

    def _words(self, visit: Visit) -> StaffWords:
        return StaffWords(self._pages, visit)

    async def _book(self, visit: Visit, venue_id: UUID) -> VenueBook:
        return (await self._venues.fresh(visit.ctx, venue_id)).book

    def _editor(self, visit: Visit, book: VenueBook, part: str, wrong: Faults, template: str, /, **values: object) -> Html:
        """A page of the venue editor: its head, its tabs, and one part."""
        here = f"/orgs/{book.organisation.id}/places/{book.venue.id}"
        tabs = (
            ("details", "venues.tab.details", here),
            ("photos", "venues.tab.photos", f"{here}/photos"),
            ("hours", "venues.tab.hours", f"{here}/hours"),
            ("resources", "venues.tab.things", f"{here}/resources"),
            ("prices", "venues.tab.prices", f"{here}/prices"),
        )
        places = Link(self._say(visit, "venues.places.title"), f"/orgs/{book.organisation.id}/places")
        return self._pages.page(
            template,
            visit,
            org=staff_bar(book.organisation, visit.ctx, book.venue.name),
            status=wrong.status,
            venue=book.venue,
            here=here,
            crumbs=[places, Link(book.venue.name, here)],
            tabs=[Choice(label=self._say(visit, label), href=href, chosen=key == part) for key, label, href in tabs],
            wrong=wrong,
            values=values,
        )


_PARTY_PATHS = {f"people.{p.value}": f"party_{p.value}" for p in Purpose}


def _thing(book: VenueBook, of: str) -> Venue | Resource:
    """Raises NotFound."""
    if not of:
        return book.venue
    found = book.resource(UUID(of))
    if found is None or found.removed:
        raise NotFound
    return found


def _at_photo(problem: Problem) -> Problem:
    """What is wrong with a file is said at the field it was chosen in."""
    if isinstance(problem, UnsupportedMedia | TooLarge | MediaTooLarge | MediaQuotaFull):
        return Invalid.field("photo", problem.detail or problem.title)
    return problem


class Versioned(Protocol):
    version: int


V = TypeVar("V", bound=Versioned)


def _fresher(form: V, version: int, problem: Problem) -> V:
    """After somebody else's edit the form goes on from the present version: what was typed stays, the owner decides."""
    if isinstance(problem, PreconditionFailed):
        form.version = version
    return form


def _named(wrong: Faults) -> Faults:
    """A rule's own names for the fields of its form."""
    names = {"dates.from": "first", "dates.to": "last", "dates": "first", "team_size": "people"}
    return Faults(wrong.status, wrong.code, {names.get(path, path): text for path, text in wrong.at.items()})


def _closure_order(closure: Closure) -> tuple[bool, date]:
    return (closure.dates is None, closure.dates.from_ if closure.dates else date.max)


def _todo(words: StaffWords, steps: list[OnboardingStep], org_id: UUID, venue_id: UUID | None) -> list[Todo]:
    """The steps with where to take them."""
    place = f"/orgs/{org_id}/places/{venue_id}" if venue_id else f"/orgs/{org_id}/places/new"
    where = {
        Step.VENUE: f"/orgs/{org_id}/places/new",
        Step.RESOURCE: f"{place}/resources?new=1" if venue_id else place,
        Step.PRICES: f"{place}/prices?rule=new" if venue_id else place,
        Step.PHOTO: f"{place}/photos" if venue_id else place,
        Step.POLICIES: f"/orgs/{org_id}/settings",
        Step.LISTED: place,
    }
    return [Todo(words.t(f"venues.step.{s.step}"), words.t(f"venues.step.{s.step}_hint"), s.done, where[s.step]) for s in steps]
