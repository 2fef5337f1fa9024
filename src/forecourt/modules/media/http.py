"""Media over HTTP: sending a file, fetching it, discarding it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from enum import StrEnum
from typing import Annotated
from urllib.parse import quote
from uuid import UUID

import msgspec
from msgspec import Meta

from forecourt.kernel.context import Context
from forecourt.kernel.errors import Invalid, NotFound, UnsupportedMedia
from forecourt.kernel.http.dispatch import names_tag
from forecourt.kernel.http.operation import (
    ANY_STAFF,
    PUBLIC,
    Api,
    By,
    Download,
    Limit,
    Reply,
    Request,
    SentFile,
    delete,
    get,
    patch,
    post,
)
from forecourt.modules.media import rules
from forecourt.modules.media.contract import (
    Audience,
    MediaCard,
    MediaInUse,
    MediaKind,
    MediaQuotaFull,
    MediaRefused,
    MediaTooLarge,
    TooManyUploads,
    UploadIncomplete,
    UploadOffset,
)
from forecourt.modules.media.queries import UploadRow
from forecourt.modules.media.service import Asked, MediaService, Opened, Sent

FORM_BYTES = 64 * 1024
"""What a form has around its file."""
MAX_UPLOAD_BYTES = max(rules.MAX_BYTES.values()) + FORM_BYTES
MAX_PART_BYTES = 4 * rules.MIB
PART = "application/offset+octet-stream"
PARTS = (Limit("600/minute", By.ACCOUNT),)
UPLOADS = (Limit("60/minute", By.ACCOUNT), Limit("1000/day", By.ACCOUNT))
REFUSALS = (MediaRefused, MediaTooLarge, MediaQuotaFull)
IMMUTABLE_FROM_S = 86_400
SHOWN_IN_PLACE = frozenset({MediaKind.IMAGE, MediaKind.AUDIO, MediaKind.VIDEO})


class Width(StrEnum):
    """Of a variant, in pixels."""

    SMALL = "320"
    MEDIUM = "800"
    LARGE = "1600"


class UploadForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    alt: Annotated[str, Meta(max_length=500, description="What an image shows, in words")] = ""


class NewUpload(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    bytes: Annotated[int, Meta(ge=1, le=max(rules.MAX_BYTES.values()))]
    name: Annotated[str, Meta(max_length=200)] = ""
    alt: Annotated[str, Meta(max_length=500, description="What an image shows, in words")] = ""


class Upload(msgspec.Struct, frozen=True):
    """An upload in parts. `received` is where the next part begins."""

    id: UUID
    bytes: int
    received: int
    expires_at: datetime


class MediaQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    width: Width | None = None
    v: Annotated[str, Meta(max_length=16, pattern=r"^[0-9a-f]{16}$", description="Of a public file: which content")] | None = None
    expires: Annotated[int, Meta(ge=0, le=10**11, description="Unix seconds")] | None = None
    signature: Annotated[str, Meta(max_length=32, pattern=r"^[0-9a-f]{32}$")] | None = None


class MediaApi(Api):
    tag = "Media"

    def __init__(self, service: MediaService) -> None:
        self._service = service

    @post("/v1/uploads", status=201, problems=REFUSALS, limits=UPLOADS, max_body_bytes=MAX_UPLOAD_BYTES)
    async def send(self, ctx: Context, form: UploadForm, files: list[SentFile]) -> MediaCard:
        """Send a file of one's own.

        Taken are JPEG, PNG, WebP and GIF images (20 MiB, 40 million pixels), PDF (20 MiB), MP3, M4A and Ogg (25 MiB), WebM and
        MP4 (100 MiB), by what is in them. Of an image a copy is kept that says neither where nor with what it was taken. Name
        the id where the file belongs within a day; after that it is gone.
        """
        return await self._service.take_for_person(ctx, _the_one(files, form))

    @post(
        "/v1/orgs/{org_id}/uploads",
        status=201,
        access=ANY_STAFF,
        problems=REFUSALS,
        limits=UPLOADS,
        max_body_bytes=MAX_UPLOAD_BYTES,
    )
    async def send_for_organisation(self, ctx: Context, org_id: UUID, form: UploadForm, files: list[SentFile]) -> MediaCard:
        """Send a file that the organisation holds, such as a photo of a venue."""
        return await self._service.take_for_organisation(ctx, _the_one(files, form))

    @post("/v1/uploads/resumable", status=201, problems=(MediaQuotaFull, TooManyUploads), limits=UPLOADS)
    async def begin(self, ctx: Context, body: NewUpload) -> Reply[Upload]:
        """Begin an upload in parts.

        Send the parts to the address in `Location`, in order, then finish it. It may take a day.
        """
        row = await self._service.begin(ctx, body.bytes, body.name, body.alt)
        return Reply(_upload(row), headers={"Location": f"/v1/uploads/{row.id}"} | _progress(row.received, row.bytes))

    @get("/v1/uploads/{id}", problems=(NotFound,))
    async def progress(self, ctx: Context, id: UUID) -> Reply[Upload]:
        """How far an upload in parts has come: where the next part begins. HEAD tells it in `Upload-Offset`."""
        row = await self._service.progress(ctx, id)
        return Reply(_upload(row), headers={"Cache-Control": "no-store"} | _progress(row.received, row.bytes))

    @patch(
        "/v1/uploads/{id}",
        problems=(NotFound, UploadOffset),
        limits=PARTS,
        max_body_bytes=MAX_PART_BYTES,
        takes=PART,
    )
    async def receive(self, ctx: Context, request: Request, id: UUID) -> Reply[None]:
        """Send the next part, at most 4 MiB, as `application/offset+octet-stream`.

        `Upload-Offset` says where it begins. A part that breaks off has not been sent; ask where to go on.
        """
        if request.header("content-type").split(";", 1)[0].strip().lower() != PART:
            raise UnsupportedMedia(f"send {PART}")
        offset = request.header("upload-offset")
        if not (offset.isascii() and offset.isdigit() and len(offset) <= 12):
            raise Invalid.field("Upload-Offset", "how many bytes came before this part")
        received = await self._service.receive(ctx, id, int(offset), request.body)
        return Reply(None, headers=_progress(received))

    @post("/v1/uploads/{id}/finish", status=201, problems=(NotFound, UploadIncomplete, *REFUSALS))
    async def finish(self, ctx: Context, id: UUID) -> MediaCard:
        """Make the parts a file, which has the upload's id. Asked again, it answers the same."""
        return await self._service.finish(ctx, id)

    @delete("/v1/uploads/{id}", problems=(NotFound, MediaInUse))
    async def discard(self, ctx: Context, id: UUID) -> None:
        """Take back a file that is not attached to anything, or an upload that is under way."""
        await self._service.discard(ctx, id)

    @get("/v1/media/{id}", access=PUBLIC, problems=(NotFound,), content_type="*/*")
    async def fetch(self, ctx: Context, request: Request, id: UUID, query: MediaQuery) -> Download:
        """The bytes of a file, or of the variant of a width.

        Public files open to everybody; others by the signed address of their card, or to whoever sent them.
        """
        width = int(query.width) if query.width is not None else None
        opened = await self._service.open(ctx, Asked(id, width, query.v, query.expires, query.signature))
        headers = _headers(opened)
        if names_tag(request.header("if-none-match"), headers["ETag"]):
            return Download(_nothing(), 0, opened.type, 304, headers)
        asked = request.header("range") if rules.may_be_partial(request.header("if-range"), opened.tag) else ""
        part = rules.part_of(asked, opened.bytes)
        start, end = part or (0, opened.bytes)
        if part is not None:
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{opened.bytes}"
        chunks = _nothing() if request.scope["method"] == "HEAD" else await self._service.read(opened, start, end)
        return Download(chunks, end - start, opened.type, 200 if part is None else 206, headers)


def _the_one(files: list[SentFile], form: UploadForm) -> Sent:
    """Raises Invalid unless there is exactly one file, sent as `file`."""
    if [f.field for f in files] != ["file"]:
        raise Invalid.field("file", "send one file under this name")
    return Sent(files[0].file, files[0].name, form.alt)


def _upload(row: UploadRow) -> Upload:
    return Upload(row.id, row.bytes, row.received, row.expires_at)


def _progress(received: int, whole: int | None = None) -> dict[str, str]:
    """As tus 1.0 names it."""
    length = {} if whole is None else {"Upload-Length": str(whole)}
    return {"Tus-Resumable": "1.0.0", "Upload-Offset": str(received)} | length


async def _nothing() -> AsyncIterator[bytes]:
    for chunk in ():
        yield chunk


def _headers(opened: Opened) -> dict[str, str]:
    public = opened.audience is Audience.PUBLIC
    in_place = opened.kind in SHOWN_IN_PLACE
    kept = f"{'public' if public else 'private'}, max-age={opened.fresh_for_s}"
    headers = {
        "ETag": f'"{opened.tag}"',
        "Cache-Control": f"{kept}, immutable" if public and opened.fresh_for_s > IMMUTABLE_FROM_S else kept,
        "Accept-Ranges": "bytes",
        "Content-Disposition": _disposition(rules.file_name(opened.name, opened.type), in_place=in_place),
        "Cross-Origin-Resource-Policy": "cross-origin" if public else "same-site",
    }
    if not in_place:
        headers["Content-Security-Policy"] = "default-src 'none'; sandbox"
    return headers


def _disposition(name: str, *, in_place: bool) -> str:
    """RFC 6266: the name in ASCII for old clients, and as it is."""
    plain = "".join(c if c.isascii() and c not in '"\\%' else "_" for c in name)
    return f"{'inline' if in_place else 'attachment'}; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
