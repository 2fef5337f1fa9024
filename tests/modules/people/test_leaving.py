"""A person takes with them what the house keeps of them, and leaves nothing behind."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import asyncpg
import msgspec
import pytest
import structlog
from tests.modules.media import samples
from tests.modules.media.conftest import Album
from tests.modules.people.test_people import Directory, handle, id_of
from tests.words import where_words_are_left

from forecourt.kernel.clock import FixedClock
from forecourt.kernel.context import Actor, Context, service_context
from forecourt.kernel.db import Database
from forecourt.kernel.errors import Internal, Invalid, Unauthenticated, Unavailable
from forecourt.kernel.events import Envelope
from forecourt.kernel.ids import new_id
from forecourt.kernel.records import PersonalRecords, Portion
from forecourt.modules.identity.contract import AccountErased, AccountRegistered, BadCredentials
from forecourt.modules.media.contract import FileRecord
from forecourt.modules.media.records import records as media_records
from forecourt.modules.people import exporting
from forecourt.modules.people.contract import ExportLinkInvalid, PlayedSport, Preferences
from forecourt.modules.people.exporting import Exporting
from forecourt.modules.people.jobs import Forget, handlers
from forecourt.modules.people.reactions import subscriptions
from forecourt.modules.people.records import records
from forecourt.modules.people.service import PeopleService, ProfilePatch

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


class Accounts(Directory):
    """The accounts, with the one password that they all have."""

    async def proves(self, ctx: Context, password: str) -> None:
        if password != "a password of hers":
            raise BadCredentials


class Shelf:
    """What another module keeps: these portions for everybody, and how often it was asked."""

    def __init__(self, *portions: tuple[str, list[bytes]], fails_at: int = -1, leads_on: bool = False) -> None:
        self._portions = portions
        self._fails_at = fails_at
        self._leads_on = leads_on
        self.asked = 0

    async def records(self, ctx: Context, after: str | None) -> Portion:
        place = int(after or 0)
        self.asked += 1
        if place == self._fails_at:
            raise Unavailable("a secret of the house does not answer")
        kind, rows = self._portions[place]
        following = place + 1 if place + 1 < len(self._portions) else None
        return Portion(kind, rows, str(place) if self._leads_on else None if following is None else str(following))


class Desk:
    """People and media on the database, and whoever asks for an archive."""

    def __init__(self, db: Database, root: Path) -> None:
        self.clock = FixedClock(NOW)
        self.accounts = Accounts()
        self.album = Album(db, root)
        self.db = db.module("people")
        self.people = PeopleService(self.db, self.clock, self.accounts, self.album.media)  # type: ignore[arg-type]
        self.ada, self.eve = self.accounts.add("Ada"), self.accounts.add("Eve")

    def exporting(self, *sources: PersonalRecords) -> Exporting:
        def readme(language: str, at: datetime, counted: dict[str, int]) -> str:
            return f"{language} {at:%Y} {json.dumps(counted)}"

        return Exporting(
            self.clock,
            self.people,
            self.accounts,  # type: ignore[arg-type]
            self.album.media,
            [records(self.db), *sources],
            media_records(self.album.db.module("media")),
            b"a secret",
            readme,
        )

    async def opened(self, exporting: Exporting, ctx: Context | None = None) -> AsyncIterator[bytes]:
        ctx = ctx or self.ada
        return await exporting.open(ctx, *signed((await exporting.ask(ctx, "a password of hers")).url))

    async def archive(self, *sources: PersonalRecords) -> zipfile.ZipFile:
        chunks = await self.opened(self.exporting(*sources))
        return zipfile.ZipFile(io.BytesIO(b"".join([chunk async for chunk in chunks])))


def signed(url: str) -> tuple[int, str]:
    """What a link says: until when, and its signature."""
    path, _, query = url.partition("?")
    assert path == "/v1/me/export"
    expires, signature = (part.partition("=")[2] for part in query.split("&"))
    return int(expires), signature


def rows(*texts: str) -> list[bytes]:
    return [msgspec.json.encode({"text": text}) for text in texts]


@pytest.fixture
def desk(db: Database, tmp_path: Path) -> Desk:
    return Desk(db, tmp_path)


@pytest.fixture
async def admin(admin_url: str, database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A superuser's connection, which sees every row."""
    connection = await asyncpg.connect(admin_url)
    yield connection
    await connection.close()


# --- taking it along -----------------------------------------------------------------------------------------------------


async def test_an_archive_holds_every_kind_as_an_array_and_the_files_that_the_person_sent(desk: Desk) -> None:
    await desk.people.edit(desk.ada, ProfilePatch(name="Ada", bio="Left-handed", sports=[PlayedSport("padel", 35)]), None)
    await desk.people.prefer(desk.ada, Preferences(locale="pt-BR"))
    await desk.people.edit(desk.eve, ProfilePatch(bio="a secret of hers"), None)
    mine = [
        await desk.album.send(samples.PDF, ctx=desk.ada, name="../🎾 rules.pdf"),
        await desk.album.send(samples.picture(), ctx=desk.ada, name="same.png"),
        await desk.album.send(samples.picture(), ctx=desk.ada, name="same.png"),
    ]
    await desk.album.send(samples.picture(9, 9), ctx=desk.eve, name="hers.png")
    shelf = Shelf(("bookings", rows("one", "two")), ("bookings", []), ("bookings", rows("three")), ("invitations", []))
    archive = await desk.archive(shelf, Shelf(("bookings", rows("again"))))
    assert archive.testzip() is None
    kinds = ["profile", "preferences", "bookings", "invitations", "bookings-2", "files", "uploads"]
    found = archive.namelist()
    assert found == [*(f"{kind}.json" for kind in kinds), *found[len(kinds) : -1], "README.txt"]
    arrays = {kind: json.loads(archive.read(f"{kind}.json")) for kind in kinds}
    assert [len(arrays[kind]) for kind in kinds] == [1, 1, 3, 0, 1, 3, 0]
    assert [row["text"] for row in arrays["bookings"]] == ["one", "two", "three"]
    assert (arrays["profile"][0]["bio"], arrays["profile"][0]["sports"][0]["level_tenths"]) == ("Left-handed", 35)
    assert arrays["preferences"][0]["locale"] == "pt-BR"
    files = msgspec.convert(arrays["files"], list[FileRecord])
    assert [(f.id, f.name) for f in files] == [(mine[0].id, "🎾 rules.pdf"), (mine[1].id, "same.png"), (mine[2].id, "same.png")]
    assert {f.saved_as for f in files} == set(found[len(kinds) : -1]) and len({f.saved_as for f in files}) == 3
    assert archive.read(files[0].saved_as) == samples.PDF
    assert len(archive.read(files[1].saved_as)) == mine[1].bytes
    assert archive.read("README.txt").decode().startswith('pt-BR 2026 {"profile.json": 1,')
    everything = b"".join(archive.read(name) for name in found)
    assert (
        b"a secret of hers" not in everything
        and b"hers.png" not in everything
        and str(id_of(desk.eve)).encode() not in everything
    )


async def test_a_link_opens_for_its_person_alone_unaltered_and_for_an_hour(desk: Desk) -> None:
    exporting = desk.exporting()
    with pytest.raises(Invalid) as refused:
        await exporting.ask(desk.ada, "another")
    assert [error.path for error in refused.value.errors] == ["password"]
    link = await exporting.ask(desk.ada, "a password of hers")
    assert link.expires_at == NOW + timedelta(hours=1)
    expires, signature = signed(link.url)
    assert exporting.link(desk.ada, expires, signature) == link
    for ctx, *shown in (
        (desk.eve, expires, signature),
        (desk.ada, expires + 60, signature),
        (desk.ada, expires, signature[::-1]),
        (desk.ada, None, signature),
        (desk.ada, expires, None),
    ):
        assert exporting.link(ctx, *shown) is None  # type: ignore[arg-type]
        with pytest.raises(ExportLinkInvalid):
            await exporting.open(ctx, *shown)  # type: ignore[arg-type]
    with pytest.raises(Unauthenticated):
        await exporting.open(Context(), expires, signature)
    desk.clock.advance(timedelta(minutes=59))
    assert [chunk async for chunk in await exporting.open(desk.ada, expires, signature)]
    desk.clock.advance(timedelta(minutes=1))
    with pytest.raises(ExportLinkInvalid):
        await exporting.open(desk.ada, expires, signature)


async def test_a_source_that_fails_breaks_the_archive_off_and_the_log_says_so_without_words_of_the_person(desk: Desk) -> None:
    await desk.people.edit(desk.ada, ProfilePatch(bio="Left-handed"), None)
    noise = [msgspec.json.encode(os.urandom(50_000).hex())]
    exporting = desk.exporting(Shelf(("bookings", noise), ("bookings", []), fails_at=1))
    sent: list[bytes] = []
    with structlog.testing.capture_logs() as logged, pytest.raises(Unavailable):
        async for chunk in await desk.opened(exporting):
            sent += [chunk]
    assert sent and not zipfile.is_zipfile(io.BytesIO(b"".join(sent)))
    assert [(entry["event"], entry["error"]) for entry in logged] == [("export_broke_off", "unavailable")]
    assert "Left-handed" not in str(logged) and str(id_of(desk.ada)) not in str(logged)
    with pytest.raises(Internal):
        await desk.archive(Shelf(("bookings", []), ("bookings", []), leads_on=True))


async def test_the_next_portion_is_asked_for_when_the_last_is_on_its_way_and_whoever_leaves_lets_go(desk: Desk) -> None:
    noise: Sequence[tuple[str, list[bytes]]] = [("bookings", [os.urandom(100_000).hex().encode()]) for _ in range(50)]
    shelf = Shelf(*noise)
    exporting = desk.exporting(shelf)
    chunks = await desk.opened(exporting)
    taken = 0
    async for _ in chunks:
        taken += 1
        assert shelf.asked <= taken, "nothing is asked for before the reader wants it"
        if shelf.asked == 3:
            break
    await chunks.aclose()  # type: ignore[attr-defined]
    assert shelf.asked == 3


async def test_a_file_that_goes_meanwhile_is_named_as_missing_and_the_rest_is_whole(desk: Desk) -> None:
    gone = await desk.album.send(samples.PDF, ctx=desk.ada, name="gone.pdf")
    kept = await desk.album.send(samples.picture(), ctx=desk.ada, name="kept.png")
    for key in desk.album.objects():
        if (desk.album.root / key).read_bytes() == samples.PDF:
            (desk.album.root / key).unlink()
    archive = await desk.archive()
    assert json.loads(archive.read("missing-files.json")) == [f"files/{gone.id} gone.pdf"]
    assert f"files/{kept.id} kept.png" in archive.namelist() and archive.testzip() is None


async def test_so_many_at_once_and_no_more(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "UNDER_WAY", 1)
    house = desk.exporting(Shelf(("bookings", [os.urandom(200_000).hex().encode()])))
    first = await desk.opened(house)
    await anext(first)
    with pytest.raises(Unavailable):
        await desk.opened(house, desk.eve)
    await first.aclose()  # type: ignore[attr-defined]
    assert [chunk async for chunk in await desk.opened(house, desk.eve)]


# --- being forgotten -----------------------------------------------------------------------------------------------------


async def test_of_whoever_is_erased_no_profile_is_left_and_the_handle_is_free(desk: Desk, admin: asyncpg.Connection) -> None:
    word, wanted = f"word-{uuid4().hex}", handle()
    photo = await desk.album.send(samples.picture(64, 64), ctx=desk.ada, name=f"{word}.png")
    everything = ProfilePatch(
        name=word, handle=wanted, bio=word, photo_id=photo.id, city=word, sports=[PlayedSport(word)], languages=["en"]
    )
    await desk.people.edit(desk.ada, everything, None)
    await desk.people.prefer(desk.ada, Preferences(timezone="Asia/Karachi"))
    await desk.people.edit(desk.eve, ProfilePatch(bio="hers"), None)
    assert len(await where_words_are_left(admin, ["people", "media"], [word])) == 5, "or the rest proves nothing"
    (forget,) = handlers(desk.people)
    for _ in range(2):
        await forget.run(service_context("people.forget"), Forget(id_of(desk.ada)))
        await desk.album.sweep()
        assert await where_words_are_left(admin, ["people", "media"], [word, wanted]) == []
        for table in ("profile", "preferences"):
            assert not await admin.fetchval(f"select count(*) from people.{table} where account_id = $1", id_of(desk.ada))
        assert not [key for key in desk.album.objects() if str(id_of(desk.ada)) in key]
    assert (await desk.people.edit(desk.eve, ProfilePatch(handle=wanted), None)).bio == "hers"
    desk.accounts.cards.pop(id_of(desk.ada))
    assert await desk.people.cards(desk.eve, [id_of(desk.ada)]) == []


async def test_the_news_of_an_erased_account_makes_a_job_now_and_one_for_what_came_late(
    desk: Desk, db: Database, admin: asyncpg.Connection
) -> None:
    greeting, forgetting = subscriptions(desk.people)
    assert (greeting.events, forgetting.events) == ((AccountRegistered,), (AccountErased,))
    gone = AccountErased(account_id=new_id())
    news = Envelope(new_id(), NOW, gone.event_name, 1, None, Actor(), "", "", gone)
    for _ in range(2):
        async with db.module("people").tx(service_context("people")) as tx:
            await forgetting.handle(tx, [news])
    of = "select execute_after from kernel.job where entrypoint = 'people.forget' and payload = $1 order by execute_after"
    times = [job["execute_after"] for job in await admin.fetch(of, msgspec.json.encode(Forget(gone.account_id)))]
    assert len(times) == 2 and NOW + timedelta(hours=1) in times
