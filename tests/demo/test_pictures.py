"""The demo world's pictures: the same for a seed, small, and hung where the world says."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from pathlib import Path

import pytest
from PIL import Image

from forecourt.demo.ids import Fate
from forecourt.demo.pictures import COURTS, HEIGHT, WIDTH, hang, picture, words_for
from forecourt.demo.world import World, build
from forecourt.kernel.clock import SystemClock
from forecourt.kernel.context import Context
from forecourt.kernel.db import Database
from forecourt.modules.media.service import MediaService, Quotas
from forecourt.modules.media.store import open_store


@pytest.mark.parametrize("sport", [*COURTS, "yoga", None])
@pytest.mark.parametrize("view", [0, 1, 2])
def test_a_picture_is_small_and_the_same_for_a_seed(sport: str | None, view: int) -> None:
    drawn = picture(sport, view, Fate(7).dice("picture", "x", view))
    assert drawn == picture(sport, view, Fate(7).dice("picture", "x", view))
    assert drawn != picture(sport, view, Fate(8).dice("picture", "x", view))
    assert len(drawn) < 120_000
    image = Image.open(io.BytesIO(drawn))
    assert image.size == (WIDTH, HEIGHT)
    assert len(image.resize((40, 30)).getcolors(1200) or ()) > 20, "something is on it"


def test_what_is_drawn_is_said_in_words() -> None:
    assert words_for("padel", 0) != words_for("padel", 1) != words_for("yoga", 0)


async def test_pictures_are_kept_by_media_and_shown_to_everybody(db: Database, tmp_path: Path) -> None:
    world: World = build(7, datetime(2026, 11, 3, 12, tzinfo=UTC))
    media = MediaService(db.module("media"), SystemClock(), open_store(None, tmp_path), Quotas(10**8, 10**8), b"secret")
    book = await hang(media, world.fate, world.sites[0].book)
    assert [p.id for p in book.venue.photos] == book.venue.photo_ids and len(book.venue.photos) == 2
    assert book.resources[0].photos and not book.resources[1].photos
    for photo in (*book.venue.photos, *book.resources[0].photos):
        assert (photo.width, photo.height, photo.widths) == (WIDTH, HEIGHT, [320, 800])
        (card,) = await media.cards(Context(), [photo.id])
        assert (card.url, card.alt, card.expires_at) == (photo.url, photo.alt, None), "public, for ever"
    media.close()
