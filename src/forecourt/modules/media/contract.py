"""What other modules may know of media: cards, owners, errors, events and the calls they may make.

A person sends a file (`POST /v1/uploads`, or `POST /v1/orgs/{org_id}/uploads` for what shall belong to an organisation) and
gets a card with its id. The module whose object it is for attaches it, after it has checked that the actor may change the
object; an upload that nobody attaches is gone after a day. Whoever may see the object gets cards from the module that owns
it: a card carries addresses that work by themselves.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from msgspec import Struct

from forecourt.kernel.context import Context
from forecourt.kernel.contracts import idempotent
from forecourt.kernel.errors import Conflict, Invalid, UnsupportedMedia
from forecourt.kernel.events import Event
from forecourt.kernel.records import PersonalRecords

MAX_CARDS = 200
ORIGINAL = "full"
"""Under this name the object lies that is a file itself; variants lie beside it under their widths."""
MAX_TAKEN_BYTES = 7 * 1024 * 1024
"""Of a file that one module hands to this one; what is larger is sent to `/v1/uploads`."""
MAX_PIECE_BYTES = 1024 * 1024
FILES = "files"
"""The kind of record that a file is whose bytes its person may have: each is a FileRecord."""


class MediaKind(StrEnum):
    IMAGE = "image"
    DOCUMENT = "document"
    AUDIO = "audio"
    VIDEO = "video"


class Audience(StrEnum):
    """Who may see what is attached."""

    PUBLIC = "public"
    """Everybody, at an address that never changes and may be kept for a year: a venue's photos."""
    PRIVATE = "private"
    """Who presents a signed address, for less than an hour: a room's attachments."""


class MediaOwner(Struct, frozen=True):
    """The object that a file belongs to: `MediaOwner("venues", "venue", venue.id)`."""

    module: str
    kind: str
    id: UUID


class Variant(Struct, frozen=True):
    """An image made smaller, as WebP. Widths are 320, 800 and 1600, as far as the image is wider."""

    width: int
    height: int
    bytes: int
    url: str


class MediaCard(Struct, frozen=True):
    """A file as pages and programs show it. Sizes in pixels are those of images alone."""

    id: UUID
    kind: MediaKind
    type: str
    """The media type of what is kept: `image/jpeg`."""
    name: str
    """What its sender called it; may be empty."""
    bytes: int
    width: int | None
    height: int | None
    blur: str | None
    """A `data:` address of a few dozen bytes: a blurred image to show until the real one is there."""
    alt: str
    """What an image shows, in words; empty when nobody said."""
    url: str
    """A path of this site. Works by itself until `expires_at`; for ever when that is null."""
    variants: list[Variant]
    """Narrowest first; none for what is no image."""
    expires_at: datetime | None
    owner: MediaOwner | None
    """None until it is attached."""

    @property
    def srcset(self) -> str:
        """The variants as the attribute of an `<img>`."""
        return ", ".join(f"{v.url} {v.width}w" for v in self.variants)


class FileRecord(Struct, frozen=True):
    """A file that a person holds, as `MediaRecords` tells its person. Its bytes come piece by piece."""

    id: UUID
    saved_as: str
    """Where it lies among what the person downloads, `files/…`: a path that no other file has, and any system takes."""
    name: str
    """What its sender called it; may be empty."""
    type: str
    bytes: int
    alt: str
    sent_at: datetime
    audience: Audience | None
    belongs_to: MediaOwner | None


class MediaRefused(UnsupportedMedia):
    """What is in the file is none of the kinds that are taken, or not what it seems to be."""

    code = "media_refused"
    title = "This file is not taken"


class MediaTooLarge(Invalid):
    """An image with more pixels than are decoded."""

    code = "media_too_large"
    title = "This image has too many pixels"


class MediaQuotaFull(Conflict):
    """Whoever it is for keeps as much as they may. Removing something makes room."""

    code = "media_quota_full"
    title = "There is no room for more files"


class MediaInUse(Conflict):
    """It is attached: its owner lets go of it, nobody else."""

    code = "media_in_use"
    title = "This file is attached to something"


class UploadOffset(Conflict):
    """A part begins elsewhere than where the last one ended; `received` says where that is."""

    code = "upload_offset"
    title = "This part does not follow what is there"


class UploadIncomplete(Conflict):
    """`received` says how much is there."""

    code = "upload_incomplete"
    title = "The last part is not there yet"


class TooManyUploads(Conflict):
    """Finish or discard one of those that were begun."""

    code = "too_many_uploads"
    title = "Too many uploads are under way"


class MediaAttached(Event, frozen=True, name="media.attached"):
    organisation_id: UUID | None
    """Of the organisation that holds the files; None when a person does."""
    media_ids: list[UUID]
    owner_module: str
    owner_kind: str
    owner_id: UUID


class MediaRemoved(Event, frozen=True, name="media.removed"):
    """Attached files are gone, with all their variants."""

    organisation_id: UUID | None
    media_ids: list[UUID]
    owner_module: str
    owner_kind: str
    owner_id: UUID


class Media(Protocol):
    async def take(self, ctx: Context, content: bytes, name: str, alt: str) -> MediaCard:
        """A file that came with the form of a page, at most 7 MiB: of `ctx`'s organisation, or of its person when there is none.

        Attach it next, or it is gone after a day. Raises MediaRefused, MediaTooLarge, TooLarge, MediaQuotaFull, Invalid.
        """
        ...

    @idempotent
    async def cards(self, ctx: Context, ids: list[UUID]) -> list[MediaCard]:
        """In the order asked; unknown ids, and uploads of others that are not attached, are left out. At most 200 at once.

        The caller has checked that `ctx` may see the objects that the files belong to: the cards open them.
        """
        ...

    @idempotent
    async def attach(self, ctx: Context, ids: list[UUID], owner: MediaOwner, audience: Audience) -> list[MediaCard]:
        """Files that the actor sent, or that `ctx`'s organisation holds, belong to `owner` from now on; in the order given.

        All or none; attaching again to the same owner changes nothing but the audience. Raises NotFound for ids that are not
        the actor's to attach, MediaInUse for one that belongs to another owner, Invalid above 200.
        """
        ...

    @idempotent
    async def detach(self, ctx: Context, owner: MediaOwner, ids: list[UUID]) -> None:
        """The owner lets go: the files and all their variants are removed. Ids that it does not own are left alone."""
        ...

    @idempotent
    async def describe(self, ctx: Context, owner: MediaOwner, id: UUID, alt: str) -> None:
        """Says in words what an image of `owner` shows, in at most 500 characters. Raises NotFound, Invalid."""
        ...

    @idempotent
    async def piece(self, ctx: Context, id: UUID, start: int) -> bytes:
        """Bytes of a file that `ctx`'s person holds, from `start` on, at most MAX_PIECE_BYTES; none behind its end.

        Raises NotFound for every other file, and for one that is gone; Unauthenticated without a person; Invalid.
        """
        ...


class MediaRecords(PersonalRecords, Protocol):
    """What a person keeps here: the files that they hold, and uploads under way."""
