"""Use cases: look at a profile, edit one's own, choose preferences, be forgotten."""

from __future__ import annotations

import contextlib
from functools import cache
from typing import Annotated
from uuid import UUID
from zoneinfo import available_timezones

import asyncpg
import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from forecourt.kernel.clock import Clock
from forecourt.kernel.context import ActorKind, Context
from forecourt.kernel.db import ModuleDatabase, Tx, constraint_of
from forecourt.kernel.errors import Invalid, NotFound, PreconditionFailed, Unauthenticated
from forecourt.kernel.events import emit
from forecourt.kernel.names import tidy
from forecourt.modules.identity.contract import Identity
from forecourt.modules.media.contract import Audience, Media, MediaInUse, MediaKind, MediaOwner
from forecourt.modules.people import queries, rules
from forecourt.modules.people.contract import (
    DisplayName,
    Handle,
    HandleTaken,
    LanguageTag,
    PersonCard,
    PlayedSport,
    Preferences,
    PreferredTime,
    ProfileChanged,
    ProfileField,
    Visibility,
)
from forecourt.modules.people.queries import ProfileRow

MAX_CARDS = 200
MAX_HANDLES = 50
MIN_PHOTO_PX = 64
MAX_EDITS_AT_ONCE = 20
"""Of one person's profile: beyond that somebody's program is running wild."""


class Photo(Struct, frozen=True):
    """A person's photo. Its addresses work by themselves; those of a photo that not everybody sees, for less than an hour."""

    url: str
    srcset: str
    blur: str | None


class Profile(Struct, frozen=True):
    """One's own profile, with who sees what."""

    id: UUID
    name: str
    handle: str | None
    bio: str
    photo_id: UUID | None
    city: str
    sports: list[PlayedSport]
    preferred_times: list[PreferredTime]
    languages: list[str]
    photo: Photo | None
    visibility: dict[ProfileField, Visibility]
    version: int


class PersonView(Struct, frozen=True):
    """A person as somebody else sees it: null where the owner does not show a field, or has not filled it in."""

    id: UUID
    name: str
    handle: str | None
    bio: str | None = None
    photo_id: UUID | None = None
    city: str | None = None
    sports: list[PlayedSport] | None = None
    preferred_times: list[PreferredTime] | None = None
    languages: list[str] | None = None
    photo: Photo | None = None


class ProfilePatch(Struct, frozen=True, forbid_unknown_fields=True):
    """What is left out stays; null clears a handle or a photo. `visibility` is merged field by field.

    `photo_id` is that of an image its owner has sent to `/v1/uploads`; the photo before it is removed.
    """

    name: DisplayName | UnsetType = UNSET
    handle: Handle | UnsetType | None = UNSET
    bio: Annotated[str, Meta(max_length=2000)] | UnsetType = UNSET
    photo_id: UUID | UnsetType | None = UNSET
    city: Annotated[str, Meta(max_length=100)] | UnsetType = UNSET
    sports: Annotated[list[PlayedSport], Meta(max_length=20)] | UnsetType = UNSET
    preferred_times: Annotated[list[PreferredTime], Meta(max_length=50)] | UnsetType = UNSET
    languages: Annotated[list[LanguageTag], Meta(max_length=20)] | UnsetType = UNSET
    visibility: dict[ProfileField, Visibility] | UnsetType = UNSET


class PeopleService:
    def __init__(self, db: ModuleDatabase, clock: Clock, identity: Identity, media: Media) -> None:
        self._db = db
        self._clock = clock
        self._identity = identity
        self._media = media

    # --- look ---

    async def look(self, ctx: Context, who: str) -> PersonView:
        """A person by id or `@handle`, as the actor may see it. Raises NotFound."""
        row = await self._find(ctx, who)
        if row is None:
            return await self._by_account(ctx, who)
        (card,) = await self._identity.accounts(ctx, [row.account_id]) or [None]
        if card is None or card.status.closed:
            raise NotFound
        shown = frozenset(ProfileField)
        if row.account_id != ctx.account_id:
            shown = rules.visible(row.visibility, signed_in=ctx.actor.kind is not ActorKind.ANONYMOUS)
        return view(row, shown, await self._photo(ctx, row) if ProfileField.PHOTO in shown else None)

    async def _photo(self, ctx: Context, row: ProfileRow) -> Photo | None:
        if row.photo_id is None:
            return None
        cards = await self._media.cards(ctx, [row.photo_id])
        return Photo(cards[0].url, cards[0].srcset, cards[0].blur) if cards else None

    async def _find(self, ctx: Context, who: str) -> ProfileRow | None:
        async with self._db.read(ctx) as tx:
            if who.startswith("@"):
                return await queries.profile_by_handle(tx, rules.handle_key(who[1:]))
            return await queries.profile(tx, id_of(who))

    async def _by_account(self, ctx: Context, who: str) -> PersonView:
        """Somebody who never edited a profile: only the name is known."""
        if who.startswith("@"):
            raise NotFound
        cards = await self._identity.accounts(ctx, [id_of(who)])
        if not cards or cards[0].status.closed:
            raise NotFound
        return PersonView(cards[0].id, cards[0].name, None)

    async def by_handles(self, ctx: Context, handles: list[str]) -> list[PersonCard]:
        if len(handles) > MAX_HANDLES:
            raise Invalid.field("handles", f"at most {MAX_HANDLES} at once")
        async with self._db.read(ctx) as tx:
            rows = await queries.profiles_by_handle(tx, [rules.handle_key(handle) for handle in handles])
        return [card_of(row) for row in rows]

    async def cards(self, ctx: Context, ids: list[UUID]) -> list[PersonCard]:
        if len(ids) > MAX_CARDS:
            raise Invalid.field("ids", f"at most {MAX_CARDS} at once")
        async with self._db.read(ctx) as tx:
            rows = {row.account_id: row for row in await queries.profiles(tx, ids)}
        missing = [id for id in dict.fromkeys(ids) if id not in rows]
        cards = {id: card_of(row) for id, row in rows.items()}
        for account in await self._identity.accounts(ctx, missing) if missing else []:
            cards[account.id] = PersonCard(account.id, account.name, None, None)
        return [cards[id] for id in dict.fromkeys(ids) if id in cards]

    # --- one's own profile ---

    async def mine(self, ctx: Context) -> Profile:
        me = person_of(ctx)
        async with self._db.read(ctx) as tx:
            row = await queries.profile(tx, me)
        row = row or blank(me, await self._account_name(ctx, me))
        return own(row, await self._photo(ctx, row))

    async def edit(self, ctx: Context, patch: ProfilePatch, if_match: int | None) -> Profile:
        """Raises Invalid, HandleTaken, PreconditionFailed."""
        me = person_of(ctx)
        refuse_bad(patch)
        name = await self._account_name(ctx, me)
        if isinstance(patch.photo_id, UUID):
            await self._hang(ctx, patch.photo_id)
        hidden = await self._hide_photo(ctx, patch)
        try:
            before, row = await self._save(ctx, patch, if_match, blank(me, name))
        except Exception:
            if hidden or isinstance(patch.photo_id, UUID):
                await self._show_photo(ctx)
            raise
        if before.photo_id is not None and before.photo_id != row.photo_id:
            await self._media.detach(ctx.within(None), photo_owner(me), [before.photo_id])
        if patch.photo_id is not UNSET or patch.visibility is not UNSET:
            await self._show_photo(ctx)
        return own(row, await self._photo(ctx, row))

    async def _save(
        self, ctx: Context, patch: ProfilePatch, if_match: int | None, first: ProfileRow
    ) -> tuple[ProfileRow, ProfileRow]:
        """The profile before and after; who never had one begins with `first`."""
        me, now = first.account_id, self._clock.now()
        try:
            async with self._db.tx(ctx) as tx:
                await queries.begin_profile(tx, me, first.display_name, now)
                before = await queries.lock_profile(tx, me)
                if if_match is not None and if_match != before.version:
                    raise PreconditionFailed
                row = edited(before, patch)
                await queries.save_profile(tx, row, None if row.handle is None else rules.handle_key(row.handle), now)
                emit(tx, ProfileChanged(account_id=me))
        except asyncpg.UniqueViolationError as e:
            if constraint_of(e) == "profile_handle_key":
                raise HandleTaken from None
            raise
        return before, row

    # The photo is a file of media's. It is attached before the profile names it and let go after the profile named another: a
    # crash in between leaves a file that nobody sees, never a profile without its photo. It is hidden before the profile says
    # so, and shown after: a crash in between leaves a photo that fewer people see than may.

    async def _hide_photo(self, ctx: Context, patch: ProfilePatch) -> bool:
        """Closes the photo when not everybody shall see it any more. False when there is nothing to close."""
        if isinstance(patch.visibility, UnsetType):
            return False
        if patch.visibility.get(ProfileField.PHOTO, Visibility.PUBLIC) is Visibility.PUBLIC:
            return False
        row = await self._newest(ctx)
        if row is None or row.photo_id is None:
            return False
        await self._attach_photo(ctx, row.photo_id, Audience.PRIVATE)
        return True

    async def _show_photo(self, ctx: Context) -> None:
        """Opens or closes the photo as the profile says. Of two edits at once both come here, so the profile is looked at again
        after each time: who is last leaves it as it was last chosen."""
        row = await self._newest(ctx)
        for _ in range(MAX_EDITS_AT_ONCE):
            if row is None or row.photo_id is None:
                return
            everybody = rules.full_visibility(row.visibility)[ProfileField.PHOTO] is Visibility.PUBLIC
            await self._attach_photo(ctx, row.photo_id, Audience.PUBLIC if everybody else Audience.PRIVATE)
            shown, row = row, await self._newest(ctx)
            if row is None or (row.photo_id, row.visibility) == (shown.photo_id, shown.visibility):
                return

    async def _attach_photo(self, ctx: Context, photo_id: UUID, audience: Audience) -> None:
        # Another edit may have replaced it at this moment.
        with contextlib.suppress(NotFound):
            await self._media.attach(ctx.within(None), [photo_id], photo_owner(person_of(ctx)), audience)

    async def _newest(self, ctx: Context) -> ProfileRow | None:
        async with self._db.tx(ctx) as tx:  # the primary: what somebody else has just kept counts
            return await queries.profile(tx, person_of(ctx))

    async def _hang(self, ctx: Context, photo_id: UUID) -> None:
        """Raises Invalid for what is no image of `ctx`'s person."""
        ctx = ctx.within(None)
        card = next(iter(await self._media.cards(ctx, [photo_id])), None)
        if card is None:
            raise Invalid.field("photo_id", "is no file that you have sent")
        if card.kind is not MediaKind.IMAGE:
            raise Invalid.field("photo_id", "is no image")
        if min(card.width or 0, card.height or 0) < MIN_PHOTO_PX:
            raise Invalid.field("photo_id", f"is smaller than {MIN_PHOTO_PX} × {MIN_PHOTO_PX} pixels")
        try:
            await self._media.attach(ctx, [photo_id], photo_owner(person_of(ctx)), Audience.PRIVATE)
        except (NotFound, MediaInUse):
            raise Invalid.field("photo_id", "is no file that you have sent") from None

    async def _account_name(self, ctx: Context, me: UUID) -> str:
        cards = await self._identity.accounts(ctx, [me])
        if not cards:
            raise NotFound
        return cards[0].name

    # --- preferences ---

    async def my_preferences(self, ctx: Context) -> Preferences:
        me = person_of(ctx)
        async with self._db.read(ctx) as tx:
            return await queries.preferences(tx, me) or Preferences()

    async def prefer(self, ctx: Context, chosen: Preferences) -> Preferences:
        """Replaces the person's preferences. Raises Invalid for an unknown time zone."""
        me = person_of(ctx)
        if chosen.timezone is not None and chosen.timezone not in time_zones():
            raise Invalid.field("timezone", "is not an IANA time zone, such as Europe/London")
        async with self._db.tx(ctx) as tx:
            await queries.save_preferences(tx, me, chosen, self._clock.now())
        return chosen

    async def begin(self, tx: Tx, account_id: UUID, language: str) -> None:
        """In the transaction of an event: a new person is written to in the language they came in, until they choose one."""
        await tx.become(self._db.role, None, account_id)
        await queries.begin_preferences(tx, account_id, Preferences(locale=language), self._clock.now())

    async def preferences(self, ctx: Context, account_ids: list[UUID]) -> list[Preferences]:
        """For modules that write to people. Each person's row is read in that person's name."""
        if len(account_ids) > MAX_CARDS:
            raise Invalid.field("account_ids", f"at most {MAX_CARDS} at once")
        found: list[Preferences] = []
        async with self._db.read(ctx) as tx:
            for account_id in account_ids:
                await tx.become(self._db.role, ctx.organisation_id, account_id)
                found.append(await queries.preferences(tx, account_id) or Preferences())
        return found

    # --- leaving ---

    async def forget(self, ctx: Context, account_id: UUID) -> None:
        """Profile, photo and preferences of whoever is erased go; again, nothing is left to go."""
        async with self._db.tx(ctx.within(None)) as tx:
            await tx.become(self._db.role, None, account_id)
            row = await queries.profile(tx, account_id)
        if row is not None and row.photo_id is not None:
            await self._media.detach(ctx.within(None), photo_owner(account_id), [row.photo_id])
        async with self._db.tx(ctx.within(None)) as tx:
            await tx.become(self._db.role, None, account_id)
            await queries.remove(tx, account_id)


@cache
def time_zones() -> frozenset[str]:
    """The names of all time zones; reading them takes some hundred files."""
    return frozenset(available_timezones())


def person_of(ctx: Context) -> UUID:
    """Raises Unauthenticated for keys and for nobody."""
    if ctx.account_id is None:
        raise Unauthenticated
    return ctx.account_id


def id_of(text: str) -> UUID:
    """Raises NotFound for what is no id."""
    try:
        return UUID(text)
    except ValueError:
        raise NotFound from None


def refuse_bad(patch: ProfilePatch) -> None:
    """Raises Invalid for what types do not say."""
    if isinstance(patch.name, str) and not tidy(patch.name):
        raise Invalid.field("name", "must not be empty")
    if isinstance(patch.handle, str):
        if patch.handle.endswith("\n"):  # `$` in a pattern lets one through
            raise Invalid.field("handle", "has a line break")
        if rules.reserved(patch.handle):
            raise Invalid.field("handle", "is a word that the house keeps for itself")
    if not isinstance(patch.sports, UnsetType):
        names = [played.sport for played in patch.sports]
        if len(set(names)) < len(names):
            raise Invalid.field("sports", "name each sport once")


def edited(before: ProfileRow, patch: ProfilePatch) -> ProfileRow:
    changes: dict[str, object] = {
        field: value
        for field in ("handle", "bio", "photo_id", "city", "sports", "preferred_times", "languages")
        if (value := getattr(patch, field)) is not UNSET
    }
    if isinstance(patch.name, str):
        changes["display_name"] = tidy(patch.name)
    if not isinstance(patch.visibility, UnsetType):
        changes["visibility"] = {**before.visibility, **patch.visibility}
    return msgspec.structs.replace(before, version=before.version + 1, **changes)


def blank(account_id: UUID, name: str) -> ProfileRow:
    return ProfileRow(account_id, name, None, "", None, "", [], [], [], {}, 1)


def photo_owner(account_id: UUID) -> MediaOwner:
    return MediaOwner("people", "profile", account_id)


def own(row: ProfileRow, photo: Photo | None) -> Profile:
    return Profile(
        row.account_id,
        row.display_name,
        row.handle,
        row.bio,
        row.photo_id,
        row.city,
        row.sports,
        row.preferred_times,
        row.languages,
        photo,
        rules.full_visibility(row.visibility),
        row.version,
    )


def view(row: ProfileRow, shown: frozenset[ProfileField], photo: Photo | None) -> PersonView:
    """Name and handle, and of the rest what is shown."""
    values = {field.value: getattr(row, field.value) or None for field in shown if field is not ProfileField.PHOTO}
    if ProfileField.PHOTO in shown:
        values["photo_id"] = row.photo_id
    return PersonView(row.account_id, row.display_name, row.handle, photo=photo, **values)


def card_of(row: ProfileRow) -> PersonCard:
    photo_shown = ProfileField.PHOTO in rules.visible(row.visibility, signed_in=True)
    return PersonCard(row.account_id, row.display_name, row.handle, row.photo_id if photo_shown else None)
