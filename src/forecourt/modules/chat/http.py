"""Chat over HTTP: rooms, who is in them, what is said there."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta, Struct

from forecourt.kernel.context import Context
from forecourt.kernel.errors import Forbidden, NotFound, PreconditionFailed
from forecourt.kernel.http.operation import CONFIRMED, Api, By, Keyed, Limit, Raw, Reply, delete, get, patch, post, put, staff
from forecourt.kernel.paging import Page, Paged
from forecourt.kernel.presence import Presence, Presences
from forecourt.modules.chat.contract import (
    Banned,
    FixedMembership,
    LastRoomOwner,
    Member,
    Message,
    MessageDeleted,
    Muted,
    NotAMember,
    Notify,
    RoomArchived,
    RoomFull,
    Seq,
    SlowMode,
    TooMany,
    TooManyRooms,
    Unread,
)
from forecourt.modules.chat.queries import BanRow, EditRow, FoundRow
from forecourt.modules.chat.service import ChatService
from forecourt.modules.chat.service.membership import NewMembers, RoleChange
from forecourt.modules.chat.service.messages import History, HistoryQuery, MessageEdit, NewMessage, Thread, ThreadQuery
from forecourt.modules.chat.service.moderation import Moderation
from forecourt.modules.chat.service.previewing import HouseRule
from forecourt.modules.chat.service.reading import Read, ReadUpTo, SearchQuery, Setting
from forecourt.modules.chat.service.rooms import NewChannel, NewRoom, OpenRoom, RoomDetail, RoomPatch, RoomView
from forecourt.modules.media.contract import MediaCard

MANAGE = staff("chat.manage_channels")
SENDING = (Limit("600/minute", By.ACCOUNT),)
MAKING = (Limit("60/minute", By.ACCOUNT),)
NDJSON = "application/x-ndjson"


class ChannelsQuery(Paged, forbid_unknown_fields=True, kw_only=True):
    """Without `organisation_id`: of all, those first whose organisation I have a room of. `q` is in the name or topic."""

    organisation_id: UUID | None = None
    q: Annotated[str, Meta(max_length=100)] = ""


class WhoLeaves(Struct, frozen=True, forbid_unknown_fields=True):
    """Without it: I leave."""

    account_id: UUID | None = None


class Wanted(Struct, frozen=True, forbid_unknown_fields=True):
    notify: Notify


class ExportQuery(Struct, frozen=True, forbid_unknown_fields=True):
    after_seq: Seq = 0
    limit: Annotated[int, Meta(ge=1, le=5_000)] = 5_000


class Company(Struct, frozen=True):
    """At most 1,000 people. Of a person whose last time nobody knows there is none."""

    items: list[Presence]


class ChatApi(Api):
    tag = "Chat"

    def __init__(self, service: ChatService, presences: Presences) -> None:
        self._service = service
        self._presences = presences

    # --- rooms

    @post("/v1/rooms", status=201, access=CONFIRMED, keyed=Keyed.YES, limits=MAKING, problems=(TooManyRooms,))
    async def create(self, ctx: Context, body: NewRoom) -> Reply[RoomDetail]:
        """Make a room.

        A direct room of two people is always the same one: it is answered with 200 when they have it already. Organisations'
        channels are made at `/v1/orgs/{org_id}/channels`.
        """
        made = await self._service.create(ctx, body)
        return Reply(made.room, status=201 if made.fresh else 200)

    @post("/v1/orgs/{org_id}/channels", status=201, access=MANAGE, keyed=Keyed.YES, limits=MAKING, problems=(TooManyRooms,))
    async def create_channel(self, ctx: Context, org_id: UUID, body: NewChannel) -> RoomDetail:
        """Make a channel of the organisation."""
        return await self._service.create_channel(ctx, org_id, body)

    @get("/v1/orgs/{org_id}/chat", access=MANAGE)
    async def house_rule(self, ctx: Context, org_id: UUID) -> HouseRule:
        """What the organisation chose for its rooms."""
        return await self._service.house_rule(ctx, org_id)

    @put("/v1/orgs/{org_id}/chat", access=MANAGE)
    async def set_house_rule(self, ctx: Context, org_id: UUID, body: HouseRule) -> HouseRule:
        """Choose for the organisation's rooms."""
        return await self._service.set_house_rule(ctx, org_id, body)

    @get("/v1/rooms")
    async def mine(self, ctx: Context, query: Paged) -> Page[RoomView]:
        """My rooms, the one where something was said last first."""
        return await self._service.mine(ctx, query.limit, query.cursor)

    @get("/v1/rooms/{id}", problems=(NotFound,))
    async def look(self, ctx: Context, id: UUID) -> RoomDetail:
        """A room, as it is at `(epoch, last_seq)`."""
        return await self._service.look(ctx, id)

    @patch("/v1/rooms/{id}", access=CONFIRMED, problems=(NotFound, Forbidden, NotAMember, PreconditionFailed))
    async def change(self, ctx: Context, id: UUID, body: RoomPatch, if_match: int | None) -> RoomDetail:
        """Change a room, as one of its owners."""
        return await self._service.change(ctx, id, body, if_match)

    @get("/v1/chat/channels")
    async def channels(self, ctx: Context, query: ChannelsQuery) -> Page[OpenRoom]:
        """Find public channels of organisations."""
        return await self._service.open_rooms(ctx, query.organisation_id, query.q, query.limit, query.cursor)

    # --- members

    @get("/v1/rooms/{id}/members", problems=(NotFound,))
    async def members(self, ctx: Context, id: UUID, query: Paged) -> Page[Member]:
        """Who is in a room."""
        return await self._service.members(ctx, id, query.limit, query.cursor)

    @get("/v1/rooms/{id}/presence", problems=(NotFound,))
    async def presence(self, ctx: Context, id: UUID) -> Company:
        """Which members of a room of mine are here, and when the others were last."""
        wanted = await self._service.company(ctx, id)
        found = await self._presences.of(wanted)
        return Company([found[account_id] for account_id in wanted])

    @post(
        "/v1/rooms/{id}/members",
        access=CONFIRMED,
        limits=MAKING,
        problems=(NotFound, NotAMember, Forbidden, Banned, FixedMembership, RoomFull, RoomArchived, TooManyRooms),
    )
    async def add(self, ctx: Context, id: UUID, body: NewMembers) -> list[Member]:
        """Bring people into a room, or join a public one myself. Answers with those who were not there before."""
        return await self._service.add(ctx, id, body)

    @patch("/v1/rooms/{id}/members", access=CONFIRMED, problems=(NotFound, NotAMember, Forbidden, LastRoomOwner))
    async def set_role(self, ctx: Context, id: UUID, body: RoleChange) -> Member:
        """Give a member another role, as an owner."""
        return await self._service.set_role(ctx, id, body)

    @delete(
        "/v1/rooms/{id}/members",
        status=204,
        problems=(NotFound, NotAMember, Forbidden, FixedMembership, LastRoomOwner),
    )
    async def remove(self, ctx: Context, id: UUID, query: WhoLeaves) -> None:
        """Leave a room, or take somebody out as a moderator."""
        if query.account_id is None:
            await self._service.leave(ctx, id)
        else:
            await self._service.remove(ctx, id, query.account_id)

    @put("/v1/rooms/{id}/notify", status=204, problems=(NotFound,))
    async def notify(self, ctx: Context, id: UUID, body: Wanted) -> None:
        """Choose what of a room I want to be told of."""
        await self._service.notify(ctx, id, body.notify)

    # --- messages

    @post(
        "/v1/rooms/{id}/messages",
        status=201,
        access=CONFIRMED,
        limits=SENDING,
        problems=(NotFound, NotAMember, RoomArchived, Muted, SlowMode),
    )
    async def send(self, ctx: Context, id: UUID, body: NewMessage) -> Message:
        """Say something. The same `client_id` again is answered with the message that is there."""
        return await self._service.send(ctx, id, body)

    @get("/v1/rooms/{id}/messages", problems=(NotFound,))
    async def history(self, ctx: Context, id: UUID, query: HistoryQuery) -> History:
        """What was said in a room, ascending."""
        return await self._service.history(ctx, id, query)

    @get("/v1/rooms/{id}/files/{file_id}", problems=(NotFound,))
    async def file(self, ctx: Context, id: UUID, file_id: UUID) -> MediaCard:
        """A file that was attached in a room, with addresses that work for a while."""
        return await self._service.file(ctx, id, file_id)

    @patch(
        "/v1/messages/{id}",
        access=CONFIRMED,
        limits=SENDING,
        problems=(NotFound, NotAMember, Forbidden, RoomArchived, Muted, MessageDeleted),
    )
    async def edit(self, ctx: Context, id: UUID, body: MessageEdit) -> Message:
        """Say it differently. What it said before is kept."""
        return await self._service.edit(ctx, id, body)

    @delete("/v1/messages/{id}", status=204, problems=(NotFound, NotAMember, Forbidden))
    async def unsay(self, ctx: Context, id: UUID) -> None:
        """Delete a message: mine, or as a moderator."""
        await self._service.delete(ctx, id)

    @delete("/v1/messages/{id}/previews", status=204, problems=(NotFound, NotAMember, Forbidden))
    async def take_previews_away(self, ctx: Context, id: UUID) -> None:
        """Show nothing of what stands behind a message's links: mine, or as a moderator."""
        await self._service.take_previews_away(ctx, id)

    @get("/v1/messages/{id}/edits", problems=(NotFound,))
    async def edits(self, ctx: Context, id: UUID) -> list[EditRow]:
        """What a message said before it was edited, the latest first."""
        return await self._service.edits(ctx, id)

    @get("/v1/messages/{id}/thread", problems=(NotFound,))
    async def thread(self, ctx: Context, id: UUID, query: ThreadQuery) -> Thread:
        """The thread that a message begins or is in."""
        return await self._service.thread(ctx, id, query)

    @put(
        "/v1/messages/{id}/reactions/{emoji}",
        access=CONFIRMED,
        limits=SENDING,
        problems=(NotFound, NotAMember, RoomArchived, MessageDeleted, TooMany),
    )
    async def react(self, ctx: Context, id: UUID, emoji: str) -> Message:
        """React with an emoji."""
        return await self._service.react(ctx, id, emoji)

    @delete("/v1/messages/{id}/reactions/{emoji}", limits=SENDING, problems=(NotFound, NotAMember))
    async def unreact(self, ctx: Context, id: UUID, emoji: str) -> Message:
        """Take a reaction back."""
        return await self._service.unreact(ctx, id, emoji)

    @get("/v1/rooms/{id}/pins", problems=(NotFound,))
    async def pins(self, ctx: Context, id: UUID) -> list[Message]:
        """What is pinned in a room, the newest pin first."""
        return await self._service.pins(ctx, id)

    @put(
        "/v1/rooms/{id}/pins/{message_id}",
        access=CONFIRMED,
        problems=(NotFound, NotAMember, Forbidden, RoomArchived, MessageDeleted, TooMany),
    )
    async def pin(self, ctx: Context, id: UUID, message_id: UUID) -> Message:
        """Pin a message."""
        return await self._service.pin(ctx, id, message_id)

    @delete("/v1/rooms/{id}/pins/{message_id}", status=204, problems=(NotFound, NotAMember, Forbidden, RoomArchived))
    async def unpin(self, ctx: Context, id: UUID, message_id: UUID) -> None:
        """Unpin a message."""
        await self._service.unpin(ctx, id, message_id)

    # --- reading

    @put("/v1/rooms/{id}/read", problems=(NotFound,))
    async def read(self, ctx: Context, id: UUID, body: ReadUpTo) -> Read:
        """I have read as far as this. Positions only go forward."""
        return await self._service.read(ctx, id, body.seq)

    @get("/v1/chat/unread")
    async def unread(self, ctx: Context) -> Unread:
        """What waits for me in all rooms."""
        return await self._service.unread(ctx)

    @get("/v1/chat/search")
    async def search(self, ctx: Context, query: SearchQuery) -> Page[FoundRow]:
        """Find messages in my rooms, the newest first."""
        return await self._service.search(ctx, query)

    @get("/v1/me/chat")
    async def setting(self, ctx: Context) -> Setting:
        """What I chose for all my rooms."""
        return await self._service.setting(ctx)

    @put("/v1/me/chat")
    async def choose(self, ctx: Context, body: Setting) -> Setting:
        """Choose whether others see how far I have read, and when I am not to be disturbed."""
        return await self._service.choose(ctx, body)

    # --- looking after a room

    @post(
        "/v1/rooms/{id}/moderation",
        status=204,
        access=CONFIRMED,
        problems=(NotFound, NotAMember, Forbidden, FixedMembership),
    )
    async def moderate(self, ctx: Context, id: UUID, body: Moderation) -> None:
        """Mute, remove or ban somebody, or slow the room down."""
        await self._service.moderate(ctx, id, body)

    @get("/v1/rooms/{id}/bans", problems=(NotFound, NotAMember, Forbidden))
    async def bans(self, ctx: Context, id: UUID, query: Paged) -> Page[BanRow]:
        """Who is banned from a room, for its moderators."""
        return await self._service.bans(ctx, id, query.limit, query.cursor)

    @get("/v1/rooms/{id}/export", problems=(NotFound, Forbidden), content_type=NDJSON)
    async def export(self, ctx: Context, id: UUID, query: ExportQuery) -> Raw:
        """What was said in a room, one message of JSON a line, ascending.

        At most `limit` lines; the number of the last is in `X-Last-Seq`, to go on from with `after_seq`. Without the header there
        is nothing more.
        """
        found = await self._service.export(ctx, id, query.after_seq, query.limit)
        lines = b"".join(msgspec.json.encode(message) + b"\n" for message in found)
        more = {"X-Last-Seq": str(found[-1].seq)} if len(found) == query.limit else {}
        return Raw(lines, NDJSON, headers={"Content-Disposition": 'attachment; filename="room.ndjson"', **more})
