"""Files that come in parts: where they go on, what is refused, and what is left behind."""

from __future__ import annotations

import asyncio
from typing import BinaryIO
from uuid import UUID

import pytest
from tests.modules.media import samples
from tests.modules.media.conftest import DAY, HOUR, Album

from forecourt.kernel.context import Context
from forecourt.kernel.db import Database
from forecourt.kernel.errors import Invalid, NotFound, TooLarge, Unauthenticated
from forecourt.kernel.ids import new_id
from forecourt.modules.media.contract import (
    MediaCard,
    MediaQuotaFull,
    MediaRefused,
    TooManyUploads,
    UploadIncomplete,
    UploadOffset,
)
from forecourt.modules.media.service import Asked, MediaService, Quotas
from forecourt.modules.media.store import Folder


async def sent(album: Album, content: bytes, size: int | None = None, part: int = 1000, ctx: Context | None = None) -> UUID:
    """Begins an upload and sends `content` part by part."""
    who = ctx or album.ada
    upload = await album.media.begin(who, len(content) if size is None else size, "../voice.mp3", " hello ")
    for at in range(0, len(content), part):
        assert await album.media.receive(who, upload.id, at, content[at : at + part]) == min(at + part, len(content))
    return upload.id


async def test_parts_become_a_file_of_the_uploads_id_and_are_gone(album: Album) -> None:
    content = samples.mp3(frames=10)
    id = await sent(album, content)
    assert len(album.objects()) == 5
    card = await album.media.finish(album.ada, id)
    assert (card.id, card.type, card.bytes, card.name, card.alt) == (id, "audio/mpeg", len(content), "voice.mp3", "hello")
    opened = await album.media.open(album.ada, Asked(id))
    assert await album.bytes_of(opened) == content
    await album.sweep()
    assert [key.rsplit("/", 1)[1] for key in album.objects()] == ["full"]
    again = await album.media.finish(album.ada, id)
    assert (again.id, again.url) == (card.id, card.url)
    with pytest.raises(NotFound):
        await album.media.progress(album.ada, id)


async def test_a_part_follows_the_last_one_or_is_refused_with_the_place_where_to_go_on(album: Album) -> None:
    id = await sent(album, b"x" * 100, size=300)
    for offset in (0, 50, 101):
        with pytest.raises(UploadOffset) as refused:
            await album.media.receive(album.ada, id, offset, b"y")
        assert refused.value.extra == {"received": 100}
    with pytest.raises(Invalid):
        await album.media.receive(album.ada, id, 100, b"y" * 201)
    with pytest.raises(UploadIncomplete) as early:
        await album.media.finish(album.ada, id)
    assert early.value.extra == {"received": 100}
    assert await album.media.receive(album.ada, id, 100, b"") == 100
    assert (await album.media.progress(album.ada, id)).received == 100


async def test_the_same_part_sent_twice_at_once_counts_once(album: Album) -> None:
    content = samples.PDF
    upload = await album.media.begin(album.ada, len(content), "", "")
    outcomes = await asyncio.gather(
        *(album.media.receive(album.ada, upload.id, 0, content) for _ in range(5)), return_exceptions=True
    )
    assert sum(o == len(content) for o in outcomes) == 1
    assert all(o == len(content) or isinstance(o, UploadOffset) for o in outcomes)
    cards = await asyncio.gather(*(album.media.finish(album.ada, upload.id) for _ in range(4)))
    assert {c.id for c in cards} == {upload.id}
    assert await album.bytes_of(await album.media.open(album.ada, Asked(upload.id))) == content
    await album.sweep()
    album.clock.advance(2 * HOUR)
    await album.sweep()
    assert len(album.objects()) == 1


async def test_what_is_refused_in_the_end_is_discarded(album: Album) -> None:
    id = await sent(album, samples.archive())
    with pytest.raises(MediaRefused):
        await album.media.finish(album.ada, id)
    large = await sent(album, samples.picture() + b"\0" * (20 * 1024 * 1024), part=5 * 1024 * 1024)
    with pytest.raises(TooLarge):
        await album.media.finish(album.ada, large)
    await album.sweep()
    assert album.objects() == []
    for gone in (id, large):
        with pytest.raises(NotFound):
            await album.media.finish(album.ada, gone)


async def test_nobody_else_sees_continues_finishes_or_discards_it(album: Album) -> None:
    id = await sent(album, samples.PDF)
    for who, problem in ((album.eve, NotFound), (Context(), Unauthenticated)):
        with pytest.raises(problem):
            await album.media.progress(who, id)
        with pytest.raises(problem):
            await album.media.receive(who, id, len(samples.PDF), b"")
        with pytest.raises(problem):
            await album.media.finish(who, id)
        with pytest.raises(NotFound):
            await album.media.discard(who, id)
    with pytest.raises(NotFound):
        await album.media.finish(album.ada, new_id())
    assert await album.media.finish(album.ada, id)
    with pytest.raises(NotFound):
        await album.media.finish(album.eve, id)


async def test_what_is_discarded_or_a_day_old_is_gone_with_its_parts(album: Album) -> None:
    first, second = await sent(album, b"x" * 50, size=100), await sent(album, b"y" * 50, size=100)
    await album.media.discard(album.ada, first)
    await album.sweep()
    assert len(album.objects()) == 1
    album.clock.advance(DAY)
    for call in (
        album.media.progress(album.ada, second),
        album.media.receive(album.ada, second, 50, b"y"),
        album.media.finish(album.ada, second),
    ):
        with pytest.raises(NotFound):
            await call
    album.clock.advance(HOUR)
    await album.sweep()
    assert album.objects() == []
    with pytest.raises(NotFound):
        await album.media.discard(album.ada, second)


async def test_a_part_that_arrives_after_its_upload_ended_leaves_nothing_behind(db: Database, album: Album) -> None:
    upload = await album.media.begin(album.ada, 10, "", "")

    class Late(Folder):
        async def put(self, key: str, content: BinaryIO) -> None:
            await album.media.discard(album.ada, upload.id)
            await album.sweep()
            await super().put(key, content)

    late = MediaService(db.module("media"), album.clock, Late(album.root), Quotas(100, 100), b"secret")
    with pytest.raises(NotFound):
        await late.receive(album.ada, upload.id, 0, b"hello")
    assert len(album.objects()) == 1
    await album.sweep()
    assert album.objects() == []
    late.close()


async def test_a_file_comes_in_a_thousand_parts_and_not_in_a_million(album: Album) -> None:
    content = samples.mp3(frames=100)
    upload = await album.media.begin(album.ada, len(content), "voice.mp3", "")
    least = -(-len(content) // 1000)
    with pytest.raises(Invalid, match=f"at least {least} bytes"):
        await album.media.receive(album.ada, upload.id, 0, content[: least - 1])
    assert album.objects() == []
    assert await album.media.receive(album.ada, upload.id, 0, content[:least]) == least
    assert await album.media.receive(album.ada, upload.id, least, content[least:-1]) == len(content) - 1
    assert await album.media.receive(album.ada, upload.id, len(content) - 1, content[-1:]) == len(content)  # the last is as it is
    assert (await album.media.finish(album.ada, upload.id)).bytes == len(content)


async def test_a_person_has_five_under_way_and_no_more_than_they_may_keep(album: Album) -> None:
    outcomes = await asyncio.gather(*(album.media.begin(album.ada, 10, "", "") for _ in range(8)), return_exceptions=True)
    begun = [o for o in outcomes if not isinstance(o, BaseException)]
    assert len(begun) == 5
    assert all(isinstance(o, TooManyUploads) for o in outcomes if isinstance(o, BaseException))
    await album.media.begin(album.eve, 10, "", "")
    await album.media.discard(album.ada, begun[0].id)
    with pytest.raises(MediaQuotaFull):
        await album.media.begin(album.ada, 10**9, "", "")
    assert await album.media.begin(album.ada, 10, "", "")


async def test_a_full_house_refuses_the_file_and_keeps_the_parts(db: Database, album: Album) -> None:
    content = samples.PDF
    id = await sent(album, content)
    tight = MediaService(db.module("media"), album.clock, Folder(album.root), Quotas(10, 10), b"secret")
    with pytest.raises(MediaQuotaFull):
        await tight.finish(album.ada, id)
    assert isinstance(await album.media.finish(album.ada, id), MediaCard)
    tight.close()
