from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import msgspec
import pytest
from tests.modules.media.conftest import Album
from tests.modules.media.samples import picture

from forecourt.kernel.clock import FixedClock
from forecourt.kernel.context import Actor, ActorKind, Context
from forecourt.kernel.db import Database
from forecourt.kernel.errors import Invalid, NotFound, PreconditionFailed, Unauthenticated, Unavailable
from forecourt.modules.identity.contract import AccountCard, AccountStatus
from forecourt.modules.media.contract import Audience, MediaCard, MediaOwner
from forecourt.modules.media.service import Asked
from forecourt.modules.people import queries, rules
from forecourt.modules.people.contract import (
    HandleTaken,
    PlayedSport,
    Preferences,
    PreferredTime,
    ProfileField,
    QuietHours,
    Units,
    Visibility,
)
from forecourt.modules.people.service import PeopleService, ProfilePatch

STRANGER = Context()


class Directory:
    """The accounts of the tests: what people asks identity for."""

    def __init__(self) -> None:
        self.cards: dict[UUID, AccountCard] = {}

    def add(self, name: str) -> Context:
        card = AccountCard(uuid4(), name, f"{uuid4().hex}@example.org", AccountStatus.ACTIVE)
        self.cards[card.id] = card
        return Context(Actor(ActorKind.PERSON, account_id=card.id, confirmed=True))

    def close(self, id: UUID) -> None:
        self.cards[id] = msgspec.structs.replace(self.cards[id], status=AccountStatus.BANNED)

    async def accounts(self, ctx: Context, ids: list[UUID]) -> list[AccountCard]:
        return [self.cards[id] for id in ids if id in self.cards]


@pytest.fixture
def directory() -> Directory:
    return Directory()


@pytest.fixture
def album(db: Database, tmp_path: Path) -> Album:
    return Album(db, tmp_path)


@pytest.fixture
def people(db: Database, directory: Directory, album: Album) -> PeopleService:
    return PeopleService(db.module("people"), FixedClock(datetime.now(UTC)), directory, album.media)  # type: ignore[arg-type]


def id_of(ctx: Context) -> UUID:
    assert ctx.account_id is not None
    return ctx.account_id


def handle() -> str:
    return f"Ada_{uuid4().hex[:10]}"


async def test_who_never_edited_a_profile_is_shown_by_name_alone(people: PeopleService, directory: Directory) -> None:
    ada = directory.add("Ada Lovelace")
    seen = await people.look(STRANGER, str(id_of(ada)))
    assert (seen.name, seen.handle, seen.bio) == ("Ada Lovelace", None, None)
    assert (await people.mine(ada)).version == 1
    assert await people.edit(ada, ProfilePatch(city="London"), 1) == await people.mine(ada)
    for unknown in (str(uuid4()), "nonsense", f"@{handle()}"):
        with pytest.raises(NotFound):
            await people.look(STRANGER, unknown)


async def test_each_field_is_shown_to_those_its_owner_chose(people: PeopleService, directory: Directory, album: Album) -> None:
    ada, eve = directory.add("Ada"), directory.add("Eve")
    photo = await album.send(picture(64, 64), ada)
    everything = ProfilePatch(
        bio="b", photo_id=photo.id, city="c", sports=[PlayedSport("padel", 35)], languages=["en"],
        preferred_times=[PreferredTime(0, "18:00", "20:00")],
    )  # fmt: skip
    await people.edit(ada, everything, None)
    fields = {"bio", "photo_id", "city", "sports", "languages", "preferred_times"}
    for audience, seen_by_all, seen_by_members in (
        (Visibility.PUBLIC, fields, fields),
        (Visibility.MEMBERS, set[str](), fields),
        (Visibility.PRIVATE, set[str](), set[str]()),
    ):
        await people.edit(ada, ProfilePatch(visibility=dict.fromkeys(ProfileField, audience)), None)
        for ctx, expected in ((STRANGER, seen_by_all), (eve, seen_by_members), (ada, fields)):
            seen = await people.look(ctx, str(id_of(ada)))
            assert {f for f in fields if getattr(seen, f) is not None} == expected


async def test_defaults_show_the_photo_to_all_the_rest_to_members_and_times_to_nobody(
    people: PeopleService, directory: Directory
) -> None:
    ada = directory.add("Ada")
    await people.edit(ada, ProfilePatch(visibility={ProfileField.CITY: Visibility.PRIVATE}), None)
    chosen = (await people.mine(ada)).visibility
    assert chosen == {**rules.DEFAULT_VISIBILITY, ProfileField.CITY: Visibility.PRIVATE}
    await people.edit(ada, ProfilePatch(visibility={ProfileField.BIO: Visibility.PUBLIC}), None)
    assert (await people.mine(ada)).visibility[ProfileField.CITY] is Visibility.PRIVATE, "merged, not replaced"


class Files:
    """Media, which can go away, and can be slow to show a photo to everybody."""

    def __init__(self, album: Album) -> None:
        self._media = album.media
        self.away = False
        self.reached, self.go_on = asyncio.Event(), asyncio.Event()
        self.go_on.set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._media, name)

    async def attach(self, ctx: Context, ids: list[UUID], owner: MediaOwner, audience: Audience) -> list[MediaCard]:
        if self.away:
            raise Unavailable
        if audience is Audience.PUBLIC:
            self.reached.set()
            async with asyncio.timeout(20):
                await self.go_on.wait()
        return await self._media.attach(ctx, ids, owner, audience)


@pytest.fixture
async def files(album: Album, people: PeopleService) -> Files:
    files = Files(album)
    people._media = files  # type: ignore[assignment]
    return files


async def opens(album: Album, photo: UUID) -> bool:
    """Whether everybody may fetch the photo."""
    try:
        await album.media.open(STRANGER, Asked(photo))
    except NotFound:
        return False
    return True


def photo_for(audience: Visibility) -> ProfilePatch:
    return ProfilePatch(visibility={ProfileField.PHOTO: audience})


async def test_a_photo_that_is_hidden_stays_hidden_when_the_process_dies_behind_the_commit(
    people: PeopleService, directory: Directory, album: Album, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = directory.add("Ada")
    photo = (await album.send(picture(64, 64), ada)).id
    await people.edit(ada, ProfilePatch(photo_id=photo), None)
    assert await opens(album, photo)
    save = queries.save_profile

    async def save_and_die(*args: Any) -> None:
        await save(*args)
        files.away = True

    for audience, shown in ((Visibility.PRIVATE, False), (Visibility.PUBLIC, True)):
        monkeypatch.setattr(queries, "save_profile", save_and_die)
        with pytest.raises(Unavailable):
            await people.edit(ada, photo_for(audience), None)
        assert (await people.mine(ada)).visibility[ProfileField.PHOTO] is audience, "it was committed"
        assert not await opens(album, photo), "whatever was chosen, not more than that is shown"
        monkeypatch.setattr(queries, "save_profile", save)
        files.away = False
        await people.edit(ada, photo_for(audience), None)  # the same again
        assert await opens(album, photo) is shown


async def test_of_two_windows_that_choose_who_sees_the_photo_the_last_to_be_kept_decides(
    people: PeopleService, directory: Directory, album: Album, files: Files
) -> None:
    ada = directory.add("Ada")
    photo = (await album.send(picture(64, 64), ada)).id
    await people.edit(ada, ProfilePatch(photo_id=photo, visibility={ProfileField.PHOTO: Visibility.MEMBERS}), None)
    files.go_on.clear()
    slow = asyncio.create_task(people.edit(ada, photo_for(Visibility.PUBLIC), None))
    async with asyncio.timeout(20):
        await files.reached.wait()
    await people.edit(ada, photo_for(Visibility.MEMBERS), None)
    files.go_on.set()
    await slow
    assert (await people.mine(ada)).visibility[ProfileField.PHOTO] is Visibility.MEMBERS
    assert not await opens(album, photo)
    await people.edit(ada, photo_for(Visibility.PUBLIC), None)
    assert await opens(album, photo)


async def test_an_edit_that_is_refused_leaves_the_photo_to_those_who_saw_it(
    people: PeopleService, directory: Directory, album: Album
) -> None:
    ada = directory.add("Ada")
    photo = (await album.send(picture(64, 64), ada)).id
    await people.edit(ada, ProfilePatch(photo_id=photo), None)
    for refused in (photo_for(Visibility.PRIVATE), ProfilePatch(photo_id=photo)):
        with pytest.raises(PreconditionFailed):
            await people.edit(ada, refused, 1)
        assert await opens(album, photo)


async def test_a_handle_is_unique_whatever_its_case_and_finds_its_owner(people: PeopleService, directory: Directory) -> None:
    ada, eve, name = directory.add("Ada"), directory.add("Eve"), handle()
    await people.edit(ada, ProfilePatch(handle=name), None)
    assert (await people.look(STRANGER, f"@{name.upper()}")).id == ada.account_id
    with pytest.raises(HandleTaken):
        await people.edit(eve, ProfilePatch(handle=name.lower()), None)
    await people.edit(ada, ProfilePatch(handle=None), None)
    await people.edit(eve, ProfilePatch(handle=name.lower()), None)
    assert (await people.look(STRANGER, f"@{name}")).id == eve.account_id


async def test_of_many_who_want_one_handle_one_gets_it(people: PeopleService, directory: Directory) -> None:
    name = handle()
    wishes = [people.edit(directory.add(f"p{n}"), ProfilePatch(handle=name), None) for n in range(8)]
    results = await asyncio.gather(*wishes, return_exceptions=True)
    assert sum(isinstance(r, HandleTaken) for r in results) == 7
    assert sum(isinstance(r, BaseException) for r in results) == 7


@pytest.mark.parametrize("word", ["admin", "Support", "ME", "forecourt"])
async def test_reserved_words_are_no_handles(people: PeopleService, directory: Directory, word: str) -> None:
    with pytest.raises(Invalid) as refused:
        await people.edit(directory.add("Ada"), ProfilePatch(handle=word), None)
    assert refused.value.errors[0].path == "handle"


@pytest.mark.parametrize("text", ["a b", "ab", "1abc", "a" * 31, "é_accent", "x-y-z"])
def test_a_handle_has_plain_letters(text: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(msgspec.json.encode({"handle": text}), type=ProfilePatch)


async def test_a_stale_edit_is_refused(people: PeopleService, directory: Directory) -> None:
    ada = directory.add("Ada")
    version = (await people.edit(ada, ProfilePatch(city="London"), None)).version
    await people.edit(ada, ProfilePatch(city="Paris"), version)
    with pytest.raises(PreconditionFailed):
        await people.edit(ada, ProfilePatch(city="Rome"), version)
    assert (await people.mine(ada)).city == "Paris"


@pytest.mark.parametrize(
    "patch",
    [
        ProfilePatch(name="   "),
        ProfilePatch(name="\u200b\u2066"),
        ProfilePatch(handle="abcd\n"),
        ProfilePatch(sports=[PlayedSport("padel"), PlayedSport("padel")]),
    ],
)
async def test_what_makes_no_sense_is_refused(people: PeopleService, directory: Directory, patch: ProfilePatch) -> None:
    with pytest.raises(Invalid):
        await people.edit(directory.add("Ada"), patch, None)


async def test_a_closed_account_has_no_page(people: PeopleService, directory: Directory) -> None:
    plain, edited = directory.add("Ada"), directory.add("Eve")
    await people.edit(edited, ProfilePatch(city="London"), None)
    for ctx in (plain, edited):
        assert await people.look(STRANGER, str(id_of(ctx)))
        directory.close(id_of(ctx))
        with pytest.raises(NotFound):
            await people.look(STRANGER, str(id_of(ctx)))


async def test_cards_come_in_the_order_asked_without_hidden_photos(
    people: PeopleService, directory: Directory, album: Album
) -> None:
    ada, eve = directory.add("Ada"), directory.add("Eve")
    photo = (await album.send(picture(64, 64), ada)).id
    await people.edit(ada, ProfilePatch(photo_id=photo), None)
    cards = await people.cards(STRANGER, [id_of(eve), uuid4(), id_of(ada)])
    assert [(c.name, c.photo_id) for c in cards] == [("Eve", None), ("Ada", photo)]
    await people.edit(ada, ProfilePatch(visibility={ProfileField.PHOTO: Visibility.PRIVATE}), None)
    assert (await people.cards(STRANGER, [id_of(ada)]))[0].photo_id is None
    with pytest.raises(Invalid):
        await people.cards(STRANGER, [uuid4()] * 201)


# --- preferences ---


async def test_preferences_are_replaced_as_a_whole(people: PeopleService, directory: Directory) -> None:
    ada, eve = directory.add("Ada"), directory.add("Eve")
    assert await people.my_preferences(ada) == Preferences()
    chosen = Preferences("pt", "Europe/Lisbon", "EUR", Units.IMPERIAL, QuietHours("22:00", "07:00"))
    await people.prefer(ada, chosen)
    assert await people.my_preferences(ada) == chosen
    assert await people.preferences(STRANGER, [id_of(eve), id_of(ada)]) == [Preferences(), chosen]
    await people.prefer(ada, Preferences(locale="ur"))
    assert await people.my_preferences(ada) == Preferences(locale="ur")


@pytest.mark.parametrize("zone", ["Europe/Atlantis", "../etc/passwd", "europe/london\n", "UTC+1"])
async def test_a_time_zone_must_exist(people: PeopleService, directory: Directory, zone: str) -> None:
    with pytest.raises(Invalid) as refused:
        await people.prefer(directory.add("Ada"), Preferences(timezone=zone))
    assert refused.value.errors[0].path == "timezone"


async def test_nobody_has_neither_profile_nor_preferences(people: PeopleService) -> None:
    for call in (people.mine(STRANGER), people.my_preferences(STRANGER), people.prefer(STRANGER, Preferences())):
        with pytest.raises(Unauthenticated):
            await call


# --- row security: each policy, so that one replaced by `true` fails here ---


async def test_row_security_keeps_preferences_to_their_owner(people: PeopleService, directory: Directory, db: Database) -> None:
    ada, eve = directory.add("Ada"), directory.add("Eve")
    await people.prefer(ada, Preferences(locale="pt"))
    count = "select count(*) from people.preferences where account_id = $1"
    for ctx, expected in ((ada, 1), (eve, 0), (STRANGER, 0)):
        async with db.module("people").tx(ctx) as tx:
            assert await tx.connection.fetchval(count, ada.account_id) == expected
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with db.module("people").tx(ada) as tx:
            await tx.connection.execute("insert into people.preferences values ($1, '{}', now())", uuid4())


async def test_row_security_lets_only_the_owner_write_a_profile(
    people: PeopleService, directory: Directory, db: Database
) -> None:
    ada, eve = directory.add("Ada"), directory.add("Eve")
    await people.edit(ada, ProfilePatch(city="London"), None)
    change = "update people.profile set city = 'Rome' where account_id = $1"
    for ctx, expected in ((eve, "UPDATE 0"), (ada, "UPDATE 1")):
        async with db.module("people").tx(ctx) as tx:
            assert await tx.connection.execute(change, ada.account_id) == expected
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with db.module("people").tx(ada) as tx:
            await tx.connection.execute(
                "insert into people.profile (account_id, display_name, updated_at) values ($1, 'x', now())", uuid4()
            )
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with db.module("people").tx(ada) as tx:
            await tx.connection.execute(
                "update people.profile set account_id = $2 where account_id = $1", ada.account_id, uuid4()
            )
