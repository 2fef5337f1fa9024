"""A person takes what they keep here with them, and leaves nothing behind."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import asyncpg
import msgspec
import pytest
from tests.modules.media import samples
from tests.modules.media.conftest import Album
from tests.words import where_words_are_left

from forecourt.kernel.context import Actor, Context, service_context
from forecourt.kernel.db import Database
from forecourt.kernel.errors import Invalid, NotFound, Unauthenticated
from forecourt.kernel.events import Envelope
from forecourt.kernel.ids import new_id
from forecourt.kernel.records import RECORDS_AT_ONCE
from forecourt.modules.identity.contract import AccountErased
from forecourt.modules.media import queries
from forecourt.modules.media.contract import FILES, MAX_PIECE_BYTES, Audience, FileRecord
from forecourt.modules.media.jobs import handlers
from forecourt.modules.media.queries import Place
from forecourt.modules.media.reactions import subscriptions
from forecourt.modules.media.records import records, saved_as
from forecourt.modules.media.service import FORGET, Forget


def id_of(ctx: Context) -> UUID:
    assert ctx.account_id is not None
    return ctx.account_id


async def told(album: Album, ctx: Context) -> dict[str, list[bytes]]:
    """Everything that media tells a person of theirs, by kind."""
    kept, after = records(album.db.module("media")), None
    found: dict[str, list[bytes]] = {}
    while True:
        portion = await kept.records(ctx, after)
        found.setdefault(portion.kind, []).extend(portion.records)
        if portion.after is None:
            return found
        after = portion.after


async def whole(album: Album, ctx: Context, id: UUID) -> bytes:
    content = b""
    while piece := await album.media.piece(ctx, id, len(content)):
        assert len(piece) <= MAX_PIECE_BYTES
        content += piece
    return content


async def forgotten(album: Album, ctx: Context) -> None:
    """As the workers do it: the job that forgets, then the sweep."""
    (forget,) = (h for h in handlers(album.media) if h.kind is FORGET)
    await forget.run(service_context("media.forget"), Forget(id_of(ctx)))
    await album.sweep()


async def test_a_person_is_told_of_the_files_they_hold_and_the_uploads_they_began(album: Album) -> None:
    photo = await album.attachment()
    loose = await album.send(samples.PDF, name="Über uns.pdf", alt="a page")
    begun = await album.media.begin(album.ada, 5000, "film.mp4", "")
    await album.send(ctx=album.eve, name="hers.png")
    await album.send_for_organisation(ctx=album.ada.within(album.org))
    kept = await told(album, album.ada)
    assert list(kept) == [FILES, "uploads"]
    files = [msgspec.json.decode(record, type=FileRecord) for record in kept[FILES]]
    assert [f.id for f in files] == [photo.id, loose.id]
    assert (files[0].belongs_to, files[0].audience) == (album.message, "private")
    assert (files[1].name, files[1].alt, files[1].bytes, files[1].belongs_to) == ("Über uns.pdf", "a page", loose.bytes, None)
    assert files[1].saved_as == f"files/{loose.id} Über uns.pdf"
    (upload,) = (msgspec.json.decode(record) for record in kept["uploads"])
    assert (upload["id"], upload["bytes"], upload["received"]) == (str(begun.id), 5000, 0)


async def test_many_files_come_in_portions_and_each_once(album: Album) -> None:
    card = await album.send()
    async with album.db.module("media").tx(album.ada) as tx:
        (row,) = await queries.files(tx, id_of(album.ada), [card.id])
        for n in range(RECORDS_AT_ONCE + 5):
            place = Place(new_id(), row.holder_id, "account")
            await queries.add_file(tx, place, row.content_id, f"{n}.png", "", row.sent_by, row.sent_at)
    first = await records(album.db.module("media")).records(album.ada, None)
    assert len(first.records) == RECORDS_AT_ONCE and first.after
    names = [msgspec.json.decode(record)["name"] for record in (await told(album, album.ada))[FILES]]
    assert names == ["", *(f"{n}.png" for n in range(RECORDS_AT_ONCE + 5))]
    await forgotten(album, album.ada)
    assert (await told(album, album.ada))[FILES] == []


async def test_who_is_nobody_and_what_was_never_given_is_refused(album: Album) -> None:
    kept = records(album.db.module("media"))
    for after in ("nonsense", "files nonsense", "elsewhere "):
        with pytest.raises(Invalid):
            await kept.records(album.ada, after)
    with pytest.raises(Unauthenticated):
        await kept.records(Context(), None)
    with pytest.raises(Unauthenticated):
        await album.media.piece(Context(), new_id(), 0)


async def test_bytes_come_in_pieces_and_only_to_who_holds_them(album: Album) -> None:
    large = samples.PDF[:-6] + b"0" * (2 * MAX_PIECE_BYTES) + samples.PDF[-6:]
    card = await album.send(large)
    assert len(await album.media.piece(album.ada, card.id, 0)) == MAX_PIECE_BYTES
    assert await whole(album, album.ada, card.id) == large
    assert await album.media.piece(album.ada, card.id, len(large) + 1) == b""
    with pytest.raises(Invalid):
        await album.media.piece(album.ada, card.id, -1)
    ours = await album.send_for_organisation(ctx=album.ada.within(album.org))
    for ctx, id in ((album.eve, card.id), (album.ada.within(album.org), ours.id), (album.ada, new_id())):
        with pytest.raises(NotFound):
            await album.media.piece(ctx, id, 0)


@pytest.mark.parametrize(
    ("name", "type_", "saved"),
    [
        ("", "image/png", "file.png"),
        ("../../etc/passwd", "image/png", "passwd.png"),
        ("..\\..\\boot.ini\x00", "application/pdf", "boot.ini.pdf"),
        ("a/b:c?.jpg", "image/jpeg", "bc.jpg"),
        (" . ", "audio/mpeg", "file.mp3"),
        ("🏓🎾.JPG", "image/jpeg", "🏓🎾.JPG"),
        ("پیڈل.webm", "video/webm", "پیڈل.webm"),
        ("🎾" * 100, "image/webp", "🎾" * 30 + ".webp"),
    ],
)
def test_a_file_is_saved_under_a_name_of_its_own_in_one_folder(name: str, type_: str, saved: str) -> None:
    id = new_id()
    path = saved_as(id, name, type_)
    assert path == f"files/{id} {saved}"
    assert len(path.encode()) < 200


async def test_of_whoever_is_erased_nothing_is_left_and_others_keep_theirs(album: Album, admin: asyncpg.Connection) -> None:
    word = f"kept-{new_id().hex}"
    await album.attachment()
    await album.send(samples.PDF, name=f"{word}.pdf", alt=word)
    begun = await album.media.begin(album.ada, 5000, word, word)
    await album.media.receive(album.ada, begun.id, 0, b"a part")
    hers = await album.send(ctx=album.eve)
    theirs = await album.photo()
    said = ["media.file name", "media.file alt", "media.upload name", "media.upload alt"]
    assert await where_words_are_left(admin, ["media"], [word]) == said, "or the rest proves nothing"
    for _ in range(2):
        await forgotten(album, album.ada)
        assert await where_words_are_left(admin, ["media"], [word, str(album.ada.account_id)]) == []
        for table in ("locator", "holding", "content", "file", "doomed", "upload", "part"):
            sql = f"select count(*) from media.{table} where holder_id = $1"
            assert await admin.fetchval(sql, album.ada.account_id) == 0, table
        assert not [key for key in album.objects() if str(album.ada.account_id) in key]
    assert len(await album.media.cards(album.eve, [hers.id])) == len(await album.media.cards(album.staff, [theirs.id])) == 1


async def test_who_sent_an_organisations_file_is_kept_until_it_belongs_to_something(
    album: Album, admin: asyncpg.Connection
) -> None:
    card = await album.send_for_organisation()
    of = "select sent_by from media.file where id = $1"
    assert await admin.fetchval(of, card.id) == album.staff.account_id
    await album.media.attach(album.staff, [card.id], album.venue, Audience.PUBLIC)
    assert await admin.fetchval(of, card.id) is None


async def test_the_news_of_an_erased_account_makes_a_job_that_forgets_now_and_one_for_what_came_late(
    db: Database, admin: asyncpg.Connection
) -> None:
    (subscription,) = subscriptions()
    assert subscription.events == (AccountErased,)
    gone = AccountErased(account_id=new_id())
    news = Envelope(new_id(), datetime.now(UTC), gone.event_name, 1, None, Actor(), "", "", gone)
    for _ in range(2):
        async with db.module("media").tx(service_context("media")) as tx:
            await subscription.handle(tx, [news])
    of = "select dedupe_key from kernel.job where entrypoint = 'media.forget' and payload = $1 order by execute_after"
    keys = [job["dedupe_key"] for job in await admin.fetch(of, msgspec.json.encode(Forget(gone.account_id)))]
    assert keys == [f"media.forget forget {gone.account_id}", f"media.forget forget {gone.account_id} again"]
