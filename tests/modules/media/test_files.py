"""A file's life: sent, kept once, attached, shown, let go, swept. Each by those who may, and not by anybody else."""

from __future__ import annotations

import asyncio
import hashlib
import io
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import BinaryIO
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import obstore
import pytest
from obstore.store import MemoryStore
from tests.modules.media import samples
from tests.modules.media.conftest import DAY, HOUR, MINUTE, PLENTY, Album, person, staff_of

from forecourt.kernel.context import Context, service_context
from forecourt.kernel.db import Database
from forecourt.kernel.errors import Invalid, NotFound, TooLarge, Unauthenticated, Unavailable
from forecourt.kernel.ids import new_id
from forecourt.modules.media import rules
from forecourt.modules.media.contract import (
    MAX_TAKEN_BYTES,
    Audience,
    MediaCard,
    MediaInUse,
    MediaOwner,
    MediaQuotaFull,
    MediaRefused,
    MediaTooLarge,
)
from forecourt.modules.media.jobs import handlers, schedules
from forecourt.modules.media.service import EXPIRE, SWEEP, Asked, Expire, MediaService, Quotas, Sent, Sweep
from forecourt.modules.media.store import Bucket, Folder, open_store

NOBODY = Context()


def asked(url: str) -> Asked:
    """What a request for an address asks for."""
    parts = urlsplit(url)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    return Asked(
        UUID(parts.path.rsplit("/", 1)[1]),
        int(query["width"]) if "width" in query else None,
        query.get("v"),
        int(query["expires"]) if "expires" in query else None,
        query.get("signature"),
    )


# --- sending -------------------------------------------------------------------------------------------------------------


async def test_a_picture_is_kept_with_its_variants_and_described_on_its_card(album: Album) -> None:
    card = await album.send(samples.photo_with_a_place(1000, 500), name="Court 1.jpg", alt="Court 1 at night")
    assert (card.kind, card.type, card.name, card.alt) == ("image", "image/jpeg", "Court 1.jpg", "Court 1 at night")
    assert (card.width, card.height) == (500, 1000)  # it lay on its side
    assert [v.width for v in card.variants] == [320]
    assert card.srcset == f"{card.variants[0].url} 320w"
    assert card.owner is None
    assert card.expires_at == album.clock.now().replace(hour=13)
    assert sorted(key.rsplit("/", 1)[1] for key in album.objects()) == ["320", "full"]
    assert sum((album.root / key).stat().st_size for key in album.objects()) == card.bytes + card.variants[0].bytes


@pytest.mark.parametrize(
    ("content", "type_"),
    [(samples.PDF, "application/pdf"), (samples.mp4(b"vide"), "video/mp4"), (samples.webm(b"A_OPUS"), "audio/webm")],
)
async def test_what_is_no_image_is_kept_as_it_was_sent(album: Album, content: bytes, type_: str) -> None:
    card = await album.send(content)
    assert (card.type, card.bytes, card.width, card.blur, card.variants) == (type_, len(content), None, None, [])
    opened = await album.media.open(NOBODY, asked(card.url))
    assert await album.bytes_of(opened) == content


async def test_a_film_is_kept_without_the_place_where_it_was_taken(album: Album, tmp_path: Path) -> None:
    film = samples.film_with_places()
    assert film.count(samples.PLACE) == 7  # or the test proves nothing
    with (tmp_path / "film").open("w+b") as file:
        file.write(film)
        cards = [await album.send(film), await album.media.take_for_person(album.eve, Sent(file))]
    opened = [await album.media.open(ctx, asked(card.url)) for ctx, card in zip((album.ada, album.eve), cards, strict=True)]
    kept, same = [await album.bytes_of(one) for one in opened]
    assert kept == same and opened[0].tag == opened[1].tag
    assert samples.PLACE not in kept and b"com.apple" not in kept
    assert len(kept) == len(film) and kept.index(b"frames") == film.index(b"frames")  # its tables say where the frames lie
    assert cards[0].type == "video/mp4" and rules.type_of(kept) == "video/mp4"
    assert hashlib.sha256(kept).hexdigest().startswith(opened[0].tag.split("-")[0])
    again = await album.send(film)
    assert [key for key in album.objects() if str(album.ada.account_id) in key] and again.bytes == len(film)


@pytest.mark.parametrize("content", [samples.SVG, samples.HTML, samples.archive(), samples.PDF + samples.archive(), b"MZ" * 50])
async def test_what_is_not_taken_leaves_nothing_behind(album: Album, content: bytes) -> None:
    with pytest.raises(MediaRefused):
        await album.send(content, name="court.jpg")
    assert album.objects() == []
    with pytest.raises(Invalid):
        await album.send(b"")


async def test_a_bomb_a_giant_and_a_stranger_are_refused(album: Album) -> None:
    with pytest.raises(MediaTooLarge):
        await album.send(samples.png_that_says(30_000, 30_000))
    with pytest.raises(TooLarge):
        await album.send(samples.picture() + b"\0" * (20 * 1024 * 1024))
    with pytest.raises(Unauthenticated):
        await album.send(ctx=NOBODY)
    with pytest.raises(NotFound):
        await album.send_for_organisation(ctx=album.ada)
    assert album.objects() == []


async def test_large_pictures_are_drawn_one_after_the_other(album: Album) -> None:
    large = [samples.picture(4200, 3000, "JPEG"), samples.picture(3000, 4200, "JPEG")]
    cards = await asyncio.gather(*(album.send(content) for content in large))
    assert [(c.width, c.height) for c in cards] == [(2560, 1829), (1829, 2560)]


async def test_the_same_bytes_are_kept_once_for_each_holder(album: Album) -> None:
    first, again = await album.send(), await album.send(alt="again")
    assert first.id != again.id
    assert len(album.objects()) == 1
    hers = await album.send(ctx=album.eve)
    assert len({key.split("/")[0] for key in album.objects()}) == 2
    # Neither learns of the other, and what one lets go the other keeps.
    await album.media.discard(album.ada, first.id)
    await album.media.discard(album.ada, again.id)
    await album.sweep()
    assert [key.split("/")[0] for key in album.objects()] == [str(album.eve.account_id)]
    opened = await album.media.open(NOBODY, asked(hers.url))
    assert hashlib.sha256(await album.bytes_of(opened)).hexdigest().startswith(opened.tag.removesuffix("-full"))


async def test_the_same_bytes_sent_at_once_are_kept_once(album: Album) -> None:
    cards = await asyncio.gather(*(album.send(samples.picture(50, 51)) for _ in range(6)))
    assert len({c.id for c in cards}) == 6
    album.clock.advance(2 * HOUR)
    await album.sweep()
    assert len(album.objects()) == 1
    for card in cards:
        await album.media.discard(album.ada, card.id)
    await album.sweep()
    assert album.objects() == []


async def test_a_holder_keeps_so_much_and_what_is_let_go_makes_room(db: Database, tmp_path: Path) -> None:
    one, other = samples.PDF + b" " * 900 + b"%%EOF", samples.PDF + b"\n" * 900 + b"%%EOF"
    album = Album(db, tmp_path, quotas=Quotas(len(one) + 10, len(one) + 10))
    card = await album.send(one)
    with pytest.raises(MediaQuotaFull):
        await album.send(other)
    await album.send(one)  # the same takes no more room
    await album.send(other, ctx=album.eve)  # and everybody has their own
    await album.send_for_organisation(other)
    with pytest.raises(MediaQuotaFull):
        await album.send_for_organisation(one)
    await album.media.discard(album.ada, card.id)
    with pytest.raises(MediaQuotaFull):
        await album.send(other)  # still there for the second card
    album.media.close()


async def test_who_has_no_room_left_is_told_before_anything_is_examined(db: Database, tmp_path: Path) -> None:
    album = Album(db, tmp_path, quotas=Quotas(len(samples.PDF), 0))
    await album.send(samples.PDF)
    for content in (samples.SVG, samples.picture()):
        with pytest.raises(MediaQuotaFull):
            await album.send(content)
    with pytest.raises(MediaQuotaFull):
        await album.send_for_organisation(samples.PDF)
    album.media.close()


async def test_room_is_not_given_twice_to_two_who_ask_at_once(db: Database, tmp_path: Path) -> None:
    files = [samples.PDF + bytes([n]) * 900 + b"%%EOF" for n in range(65, 73)]
    album = Album(db, tmp_path, quotas=Quotas(3 * len(files[0]), 0))
    outcomes = await asyncio.gather(*(album.send(f) for f in files), return_exceptions=True)
    assert sum(isinstance(o, MediaCard) for o in outcomes) == 3
    assert all(isinstance(o, MediaCard | MediaQuotaFull) for o in outcomes)
    for card in outcomes:
        if isinstance(card, MediaCard):
            await album.media.discard(album.ada, card.id)
    album.clock.advance(2 * HOUR)
    await album.sweep()
    assert album.objects() == []
    await album.send(files[0])
    album.media.close()


async def test_a_page_hands_over_what_came_with_its_form(album: Album) -> None:
    mine = await album.media.take(album.ada, samples.picture(), "me.png", "Me")
    ours = await album.media.take(album.staff, samples.picture(), "court.png", "")
    holders = sorted(key.split("/")[0] for key in album.objects())
    assert holders == sorted([str(album.ada.account_id), str(album.org)])
    assert (mine.alt, ours.name) == ("Me", "court.png")
    with pytest.raises(TooLarge):
        await album.media.take(album.ada, b"x" * (MAX_TAKEN_BYTES + 1), "", "")
    with pytest.raises(Invalid):
        await album.media.take(album.ada, samples.picture(), "", "x" * 501)


# --- attaching -----------------------------------------------------------------------------------------------------------


async def test_what_is_attached_publicly_opens_to_everybody_at_an_address_that_stays(album: Album) -> None:
    card = await album.photo()
    assert card.expires_at is None
    assert card.owner == album.venue
    for later in (MINUTE, 400 * DAY):
        album.clock.advance(later)
        opened = await album.media.open(NOBODY, asked(card.url))
        assert opened.audience is Audience.PUBLIC
        assert opened.fresh_for_s > 300 * 86_400
    (again,) = await album.media.cards(NOBODY, [card.id])
    assert again.url == card.url
    bare = await album.media.open(NOBODY, Asked(card.id))
    assert bare.fresh_for_s == 300  # without the content's mark the address says nothing about what is there


async def test_what_is_private_opens_to_who_presents_its_address_and_not_for_long(album: Album) -> None:
    card = await album.attachment(samples.picture(500, 400))
    assert card.expires_at is not None
    for url in (card.url, card.variants[0].url):
        assert (await album.media.open(album.eve, asked(url))).audience is Audience.PRIVATE
    with pytest.raises(NotFound):
        await album.media.open(album.eve, Asked(card.id))
    with pytest.raises(NotFound):
        await album.media.open(NOBODY, Asked(card.id, expires=asked(card.url).expires, signature="0" * 32))
    album.clock.set(card.expires_at)
    with pytest.raises(NotFound):
        await album.media.open(album.eve, asked(card.url))
    (fresh,) = await album.media.cards(album.eve, [card.id])
    assert await album.media.open(album.eve, asked(fresh.url))
    assert await album.media.open(album.ada, Asked(card.id))  # whoever sent it needs no address


async def test_an_address_of_one_file_does_not_open_another(album: Album) -> None:
    first, second = await album.attachment(), await album.attachment(samples.PDF)
    crossed = asked(first.url)
    with pytest.raises(NotFound):
        await album.media.open(NOBODY, Asked(second.id, expires=crossed.expires, signature=crossed.signature))
    assert await album.media.open(NOBODY, crossed)


async def test_only_what_one_sent_or_ones_organisation_holds_can_be_attached(album: Album) -> None:
    hers, ours = await album.send(ctx=album.eve), await album.send_for_organisation()
    mine = await album.send()
    for ctx, ids in (
        (album.ada, [hers.id]),
        (album.ada, [ours.id]),
        (album.ada, [mine.id, hers.id]),  # all or none
        (staff_of(new_id()), [ours.id]),
        (album.ada, [new_id()]),
        (NOBODY, [mine.id]),
    ):
        with pytest.raises(NotFound):
            await album.media.attach(ctx, ids, album.message, Audience.PRIVATE)
    (still,) = await album.media.cards(album.ada, [mine.id])
    assert still.owner is None
    both = await album.media.attach(album.ada.within(album.org), [ours.id, mine.id], album.venue, Audience.PUBLIC)
    assert [c.id for c in both] == [ours.id, mine.id]


async def test_a_file_has_one_owner_and_attaching_it_again_changes_the_audience_alone(album: Album) -> None:
    card = await album.attachment()
    with pytest.raises(MediaInUse):
        await album.media.attach(album.ada, [card.id], album.venue, Audience.PUBLIC)
    (again,) = await album.media.attach(album.ada, [card.id, card.id], album.message, Audience.PUBLIC)
    assert again.expires_at is None
    assert await album.media.open(NOBODY, Asked(card.id))
    assert await album.media.attach(album.ada, [], album.message, Audience.PUBLIC) == []


async def test_cards_come_in_the_order_asked_and_nobody_learns_of_uploads_of_others(album: Album) -> None:
    photo, attachment, loose = await album.photo(), await album.attachment(), await album.send(samples.PDF)
    wanted = [loose.id, new_id(), attachment.id, photo.id, attachment.id]
    assert [c.id for c in await album.media.cards(album.ada, wanted)] == [loose.id, attachment.id, photo.id]
    assert [c.id for c in await album.media.cards(album.eve, wanted)] == [attachment.id, photo.id]
    assert await album.media.cards(album.ada, []) == []
    with pytest.raises(Invalid):
        await album.media.cards(album.ada, [new_id() for _ in range(201)])


async def test_an_owner_says_what_an_image_shows(album: Album) -> None:
    card = await album.photo()
    await album.media.describe(album.staff, album.venue, card.id, "Two courts under a roof")
    assert (await album.media.cards(NOBODY, [card.id]))[0].alt == "Two courts under a roof"
    for owner, id, problem, text in (
        (album.message, card.id, NotFound, "x"),
        (album.venue, new_id(), NotFound, "x"),
        (album.venue, card.id, Invalid, "x" * 501),
    ):
        with pytest.raises(problem):
            await album.media.describe(album.staff, owner, id, text)


# --- letting go ----------------------------------------------------------------------------------------------------------


async def test_what_its_owner_lets_go_is_gone_with_every_variant(album: Album) -> None:
    photo, attachment = await album.photo(samples.picture(900, 500)), await album.attachment()
    await album.media.detach(album.staff, album.message, [photo.id])  # not that owner's
    assert len(album.objects()) == 4
    await album.media.detach(album.staff, album.venue, [photo.id, attachment.id, new_id()])
    for url in (photo.url, *(v.url for v in photo.variants)):
        with pytest.raises(NotFound):
            await album.media.open(NOBODY, asked(url))
    await album.sweep()
    assert len(album.objects()) == 1
    assert await album.media.open(NOBODY, asked(attachment.url))
    await album.media.detach(album.staff, album.venue, [photo.id])  # again is harmless


async def test_what_belongs_to_an_owner_cannot_be_taken_back_and_what_is_loose_only_by_its_sender(album: Album) -> None:
    attached, loose = await album.attachment(), await album.send(samples.PDF)
    ours = await album.send_for_organisation()
    with pytest.raises(MediaInUse):
        await album.media.discard(album.ada, attached.id)
    for id in (attached.id, loose.id, ours.id, new_id()):
        with pytest.raises(NotFound):
            await album.media.discard(album.eve, id)
    await album.media.discard(album.ada, loose.id)
    await album.media.discard(album.staff, ours.id)
    with pytest.raises(NotFound):
        await album.media.open(album.ada, Asked(loose.id))


async def test_an_upload_that_nobody_attaches_is_gone_after_its_day(album: Album) -> None:
    loose, attached = await album.send(samples.PDF), await album.attachment()
    assert album.ada.account_id is not None
    for card in (loose, attached):
        await album.expire(card, album.ada.account_id)
        await album.expire(card, album.ada.account_id)
    await album.sweep()
    assert [c.id for c in await album.media.cards(album.ada, [loose.id, attached.id])] == [attached.id]
    assert len(album.objects()) == 1


async def test_the_jobs_do_what_the_service_does(album: Album) -> None:
    run = {handler.kind: handler.run for handler in handlers(album.media)}
    card = await album.send()
    assert album.ada.account_id is not None
    await run[EXPIRE](service_context("media.expire"), Expire(card.id, album.ada.account_id, "account"))
    await run[SWEEP](service_context("media.sweep", album.org), Sweep())
    assert album.objects() == []
    assert [schedule.kind for schedule in schedules()] == [SWEEP]


# --- what dies in between ------------------------------------------------------------------------------------------------


class Torn(Folder):
    """A folder whose disk fails when so many objects have been written."""

    def __init__(self, root: Path, after: int) -> None:
        super().__init__(root)
        self.left = after

    async def put(self, key: str, content: BinaryIO) -> None:
        if not self.left:
            raise OSError("the disk is full")
        self.left -= 1
        await super().put(key, content)


@pytest.mark.parametrize("written", [0, 1])
async def test_objects_without_a_row_are_swept_and_rows_without_an_object_never_are(
    db: Database, tmp_path: Path, written: int
) -> None:
    album = Album(db, tmp_path, Torn(tmp_path, written))
    with pytest.raises(OSError, match="full"):
        await album.send(samples.picture(500, 500))
    assert len(album.objects()) == written
    await album.sweep()  # others' things may be due; ours is not yet
    assert len(album.objects()) == written
    album.clock.advance(2 * HOUR)
    assert await album.sweep() >= 1
    assert album.objects() == []
    album.media.close()


DYING = """
import asyncio, io, os, signal, sys
from pathlib import Path
from uuid import UUID
from forecourt.kernel.clock import SystemClock
from forecourt.kernel.context import Actor, ActorKind, Context
from forecourt.kernel.db import Database
from forecourt.modules.media.service import MediaService, Quotas, Sent
from forecourt.modules.media.store import Folder
from tests.modules.media import samples

url, folder, who = sys.argv[1:]

class Last(Folder):
    async def put(self, key, content):
        await super().put(key, content)
        if key.endswith("/320"):
            os.kill(os.getpid(), signal.SIGKILL)

async def main():
    database = await Database.connect(url, None, 2, "dying")
    media = MediaService(database.module("media"), SystemClock(), Last(Path(folder)), Quotas(10**9, 10**9), b"secret")
    ctx = Context(actor=Actor(kind=ActorKind.PERSON, account_id=UUID(who)))
    await media.take_for_person(ctx, Sent(io.BytesIO(samples.picture(500, 500))))

asyncio.run(main())
"""


async def test_a_process_killed_between_object_and_row_leaves_no_row_and_what_it_wrote_is_swept(
    album: Album, database_url: str
) -> None:
    command = [sys.executable, "-c", DYING, database_url, str(album.root), str(album.ada.account_id)]
    died = await asyncio.to_thread(subprocess.run, command, check=False, timeout=60, cwd=Path(__file__).parents[3])
    assert died.returncode == -9
    assert len(album.objects()) == 2
    again = await album.send(samples.picture(500, 500))  # the same bytes: nothing of the dead is taken for theirs
    assert len(album.objects()) == 4
    album.clock.set(datetime.now(album.clock.now().tzinfo) + 2 * HOUR)
    await album.sweep()
    assert len(album.objects()) == 2
    assert await album.bytes_of(await album.media.open(album.ada, Asked(again.id)))


async def test_what_took_too_long_to_be_written_is_refused_rather_than_lost(album: Album) -> None:
    class Slow(Folder):
        async def put(self, key: str, content: BinaryIO) -> None:
            album.clock.advance(2 * HOUR)
            assert await album.sweep() >= 1
            await super().put(key, content)

    slow = MediaService(album.db.module("media"), album.clock, Slow(album.root), PLENTY, b"secret")
    with pytest.raises(Unavailable):
        await slow.take(album.ada, samples.PDF, "", "")
    assert len(album.objects()) == 1  # written after the sweep
    await album.sweep()
    assert album.objects() == []
    slow.close()


async def test_a_sweep_that_dies_halfway_is_taken_up_again(album: Album) -> None:
    class Stuck(Folder):
        async def remove_all(self, prefix: str) -> None:
            raise OSError("the disk does not answer")

    stuck = MediaService(album.db.module("media"), album.clock, Stuck(album.root), PLENTY, b"secret")
    card = await album.send()
    await album.media.discard(album.ada, card.id)
    with pytest.raises(OSError, match="does not answer"):
        await stuck.sweep(service_context("media.sweep"))
    assert len(album.objects()) == 1
    album.clock.advance(2 * HOUR)
    await album.sweep()
    assert album.objects() == []
    stuck.close()


async def test_an_object_that_the_store_has_lost_is_absent(album: Album) -> None:
    card = await album.photo()
    for key in album.objects():
        (album.root / key).unlink()
    with pytest.raises(NotFound):
        await album.bytes_of(await album.media.open(NOBODY, asked(card.url)))


# --- stores --------------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["folder", "bucket"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Folder | Bucket:
    return Folder(tmp_path / "media") if request.param == "folder" else Bucket(MemoryStore())


async def whole(chunks: AsyncIterator[bytes]) -> bytes:
    return b"".join([chunk async for chunk in chunks])


async def test_a_store_keeps_what_it_is_given_in_parts_and_forgets_it(store: Folder | Bucket) -> None:
    content = bytes(range(256)) * 4000
    for name in ("full", "320"):
        await store.put(f"a/b/{name}", io.BytesIO(content))
    await store.put("a/bb/full", io.BytesIO(b"another"))
    assert await whole(await store.read("a/b/full", 0, len(content))) == content
    assert await whole(await store.read("a/b/320", 300_000, 600_001)) == content[300_000:600_001]
    await store.remove_all("a/b/")
    await store.remove_all("a/b/")
    for name in ("full", "320"):
        with pytest.raises(FileNotFoundError):
            await store.read(f"a/b/{name}", 0, 1)
    assert await whole(await store.read("a/bb/full", 0, 7)) == b"another"
    await store.tidy(datetime.now().astimezone())


async def test_what_was_never_completed_is_cleared_away_and_what_is_being_written_is_not(tmp_path: Path) -> None:
    store = Folder(tmp_path)
    (tmp_path / ".incoming" / "old").write_bytes(b"half")
    now = datetime.now().astimezone()
    await store.tidy(now - HOUR)
    assert (tmp_path / ".incoming" / "old").exists()
    await store.tidy(now + HOUR)
    assert not (tmp_path / ".incoming" / "old").exists()


async def test_objects_come_and_go_side_by_side_although_empty_folders_are_cleared(tmp_path: Path) -> None:
    store = Folder(tmp_path)

    async def one(n: int) -> None:
        await store.put(f"a/{n}/full", io.BytesIO(b"x"))
        await store.remove_all(f"a/{n}/")

    await asyncio.gather(*(one(n) for n in range(60)))
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


def test_a_store_is_a_folder_or_a_bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    assert isinstance(open_store(None, tmp_path), Folder)
    assert (tmp_path / "media" / ".incoming").is_dir()
    assert isinstance(open_store("s3://bucket/some/prefix", tmp_path), Bucket)
    for wrong in ("https://bucket", "s3://"):
        with pytest.raises(ValueError, match="not an address"):
            open_store(wrong, tmp_path)
    assert obstore.__version__.startswith("0.12")  # pinned: its interface still moves
    assert person().account_id
    assert MediaOwner("a", "b", new_id()) != MediaOwner("a", "b", new_id())
