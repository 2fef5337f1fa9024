"""Photos of venues and of what can be booked there.

The files are media's. One is attached before a venue names it and let go after the venue names it no more: what breaks in
between leaves a file that nobody sees, never a venue without its photo.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol
from uuid import UUID

import msgspec

from forecourt.kernel.cache import Cache
from forecourt.kernel.clock import Clock
from forecourt.kernel.context import Context
from forecourt.kernel.db import ModuleDatabase
from forecourt.kernel.errors import Invalid, NotFound
from forecourt.modules.media.contract import Audience, Media, MediaCard, MediaInUse, MediaKind, MediaOwner
from forecourt.modules.venues.contract import Photo, Resource, Venue, VenueBook
from forecourt.modules.venues.service.base import Base, FreeAt, Ownership


class Pictured(Protocol):
    @property
    def id(self) -> UUID: ...
    @property
    def photo_ids(self) -> list[UUID]: ...
    @property
    def photos(self) -> list[Photo]: ...


class Photographed(Base):
    def __init__(
        self,
        db: ModuleDatabase,
        clock: Clock,
        cache: Cache,
        identity: Ownership,
        availability: FreeAt | None = None,
        media: Media | None = None,
    ) -> None:
        """Without `media` there are no photos: naming one is refused."""
        super().__init__(db, clock, cache, identity, availability)
        self.media = media

    async def take_photo(self, ctx: Context, content: bytes, name: str, alt: str) -> UUID:
        """An image that came with a page's form, held by `ctx`'s organisation; name it in `photo_ids` next.

        Raises MediaRefused, MediaTooLarge, TooLarge, MediaQuotaFull, Invalid.
        """
        return (await self._media().take(ctx, content, name, alt)).id

    async def _hang(self, ctx: Context, owner: MediaOwner, photo_ids: Sequence[UUID], now: Pictured | None) -> dict[UUID, Photo]:
        """Those of the images that the owner does not show yet belong to it from now on.

        `now`: what the owner shows; none when it is new. Raises Invalid for what is no image, or is not theirs to show.
        """
        fresh = [id for id in dict.fromkeys(photo_ids) if now is None or id not in now.photo_ids]
        return {card.id: _photo(card) for card in await self._attached(ctx, fresh, owner)} if fresh else {}

    async def _attached(self, ctx: Context, ids: list[UUID], owner: MediaOwner) -> list[MediaCard]:
        cards = await self._media().cards(ctx, ids)
        if len(cards) < len(ids):
            raise Invalid.field("photo_ids", "names a file that you have not sent")
        if any(card.kind is not MediaKind.IMAGE for card in cards):
            raise Invalid.field("photo_ids", "names a file that is no image")
        try:
            return await self._media().attach(ctx, ids, owner, Audience.PUBLIC)
        except (NotFound, MediaInUse):
            raise Invalid.field("photo_ids", "names a file that you have not sent, or that is shown elsewhere") from None

    async def _let_go(self, ctx: Context, owner: MediaOwner, before: Pictured, after: Pictured | None) -> None:
        """After the commit: files that the owner does not show any more are removed."""
        gone = [id for id in before.photo_ids if after is None or id not in after.photo_ids]
        if gone:
            await self._media().detach(ctx, owner, gone)

    def _media(self) -> Media:
        if self.media is None:
            raise Invalid.field("photo_ids", "cannot be kept here")
        return self.media


def showing(photo_ids: Sequence[UUID], hung: Mapping[UUID, Photo], now: Pictured | None) -> dict[str, object]:
    """`photo_ids` and `photos` of what shows these from now on. Raises Invalid for one that somebody removed meanwhile."""
    known = dict(hung) | ({photo.id: photo for photo in now.photos} if now is not None else {})
    wanted = list(dict.fromkeys(photo_ids))
    if any(id not in known for id in wanted):
        raise Invalid.field("photo_ids", "names a photo that was removed meanwhile")
    return {"photo_ids": wanted, "photos": [known[id] for id in wanted]}


def venue_owner(venue_id: UUID) -> MediaOwner:
    return MediaOwner("venues", "venue", venue_id)


def resource_owner(resource_id: UUID) -> MediaOwner:
    return MediaOwner("venues", "resource", resource_id)


def shown_by(book: VenueBook, photo_id: UUID) -> Venue | Resource:
    """What of the venue shows this photo. Raises NotFound."""
    things: list[Venue | Resource] = [book.venue, *(r for r in book.resources if not r.removed)]
    for thing in things:
        if photo_id in thing.photo_ids:
            return thing
    raise NotFound


def described(photos: Sequence[Photo], photo_id: UUID, alt: str) -> list[Photo]:
    return [msgspec.structs.replace(photo, alt=alt) if photo.id == photo_id else photo for photo in photos]


def _photo(card: MediaCard) -> Photo:
    if card.width is None or card.height is None:
        raise Invalid.field("photo_ids", "names a file that is no image")
    return Photo(card.id, card.url, card.width, card.height, card.alt, card.blur, [v.width for v in card.variants])
