"""Chat as people see it: their rooms, a room from the inside, finding words, beginning a conversation.

The pages read and send without a script. With one, `js/chat-room.js` takes the room over where the page leaves it.
"""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta, Struct

from forecourt.kernel.context import Context
from forecourt.kernel.errors import NotFound
from forecourt.kernel.http.operation import CONFIRMED, PERSON, By, Html, Limit, Redirect, Visit, action, page
from forecourt.kernel.ids import new_id
from forecourt.kernel.paging import Paged
from forecourt.kernel.web import formats
from forecourt.kernel.web.addresses import with_query
from forecourt.kernel.web.views import Choice
from forecourt.modules.chat import rules
from forecourt.modules.chat.contract import Message, Notify, RoomKind, Seq
from forecourt.modules.chat.pages import MENDABLE, Parlour, me
from forecourt.modules.chat.service.membership import NewMembers
from forecourt.modules.chat.service.messages import HistoryQuery, NewMessage, ThreadQuery
from forecourt.modules.chat.service.reading import SearchQuery, Setting
from forecourt.modules.chat.service.rooms import NewRoom, RoomDetail
from forecourt.modules.chat.views import Boot, Line, Row, Who, lines, row, seated, sections

SHOWN = 50
"""Messages on a page."""
ROOMS_SHOWN = 100
THREAD_SHOWN = 100
FOUND = 20
SENDING = (Limit("600/minute", By.ACCOUNT),)

TEXTS = (
    "sending", "not_sent", "again", "edited", "deleted", "pinned", "read_by", "read", "reply", "thread", "replies",
    "react", "edit", "delete", "delete_sure", "pin", "unpin", "more", "typing_one", "typing_two", "typing_many",
    "new_since", "today", "yesterday", "you", "offline", "back", "joined", "left", "someone", "here_now", "arrived",
    "uploading", "upload_failed", "recording", "voice_note", "play", "attachment", "mute", "unmute", "remove", "ban",
    "sure_remove", "sure_ban", "muted", "slow", "save", "cancel", "editing", "replying", "latest", "new_messages", "on",
    "away", "off", "dnd", "last_seen", "download", "copied", "copy", "unpreview", "message_to",
)  # fmt: skip
"""What the script says; keys of the catalogue below `chat.js.`."""


class At(Struct, frozen=True, forbid_unknown_fields=True):
    """Where in a room: the newest, or around a message; with a thread beside it, or an answer begun."""

    at: Seq | None = None
    thread: UUID | None = None
    reply: UUID | None = None


class Saying(Struct, frozen=True, forbid_unknown_fields=True):
    client_id: Annotated[str, Meta(max_length=100)] = ""
    text: Annotated[str, Meta(max_length=20_000)] = ""
    reply_to: UUID | None = None
    thread: UUID | None = None


class Beginning(Struct, frozen=True, forbid_unknown_fields=True):
    """Handles, with or without @, apart from each other by spaces or commas."""

    handles: Annotated[str, Meta(max_length=2_000)] = ""
    name: Annotated[str, Meta(max_length=100)] = ""


class Finding(Paged, forbid_unknown_fields=True, kw_only=True):
    q: Annotated[str, Meta(max_length=200)] = ""


class Choosing(Struct, frozen=True, forbid_unknown_fields=True):
    notify: Notify = Notify.ALL
    receipts: bool = False


class FileQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """`width`: of an image, the narrowest variant that is as wide."""

    width: Annotated[int, Meta(ge=1, le=4_000)] | None = None


class Inside(Struct, frozen=True):
    """A room with its people and a stretch of what was said."""

    room: RoomDetail
    messages: list[Message]
    older: bool
    newer: bool
    people: dict[UUID, Who]
    shown: list[Line]
    setting: Setting


class ChatPages(Parlour):
    # --- looking

    @page("/chat", access=PERSON)
    async def rooms(self, visit: Visit) -> Html:
        """My rooms."""
        return self._pages.page("chat/rooms.html", visit, sections=await self._sections(visit, None), room=None)

    @page("/chat/parts/rooms", access=PERSON)
    async def rooms_part(self, visit: Visit, query: At) -> Html:
        """The list alone, for a page whose list is old."""
        return self._pages.page("chat/_rooms.html", visit, sections=await self._sections(visit, query.thread))

    @page("/chat/find", access=PERSON)
    async def find(self, visit: Visit, query: Finding) -> Html:
        """Messages that hold some words."""
        ctx, found, names, next_href = visit.ctx, [], {}, ""
        if query.q.strip():
            page = await self._service.search(ctx, SearchQuery(q=query.q, limit=FOUND, cursor=query.cursor))
            found = page.items
            titles = {r.id: r.title for r in (await self._service.mine(ctx, ROOMS_SHOWN, None)).items}
            people = await self._who(visit, (hit.sender_id for hit in found))
            names = {hit.id: (people[hit.sender_id], titles.get(hit.room_id, hit.room_name)) for hit in found}
            next_href = with_query("/chat/find", {"q": query.q, "cursor": page.next_cursor}) if page.next_cursor else ""
        hits = [(hit, *names[hit.id], rules.excerpt(hit.body, 300)) for hit in found]
        return self._pages.page("chat/find.html", visit, query=query, hits=hits, next_href=next_href)

    @page("/chat/new", access=PERSON)
    async def new(self, visit: Visit) -> Html:
        """Begin a conversation."""
        return self._new(visit, Beginning(), "")

    @page("/chat/{id}", access=PERSON)
    async def room(self, visit: Visit, id: UUID, query: At) -> Html:
        """A room from the inside."""
        return await self._room(visit, id, query, Saying(reply_to=query.reply, thread=query.thread), "")

    @page("/chat/{id}/files/{file_id}", access=PERSON)
    async def file(self, visit: Visit, id: UUID, file_id: UUID, query: FileQuery) -> Redirect:
        """To a file of the room, at the address it has now."""
        card = await self._service.file(visit.ctx, id, file_id)
        wide = [v.url for v in card.variants if query.width is not None and v.width >= query.width]
        return Redirect(wide[0] if wide else card.url)

    # --- doing

    @action("/chat/{id}", access=CONFIRMED, limits=SENDING)
    async def say(self, visit: Visit, id: UUID, form: Saying) -> Html | Redirect:
        """Say something, without a script."""
        new = NewMessage(form.client_id or str(new_id()), form.text, [], form.reply_to)
        try:
            message = await self._service.send(visit.ctx, id, new)
        except MENDABLE as problem:
            return await self._room(visit, id, At(thread=form.thread, reply=form.reply_to), form, self._fault(visit, problem))
        await self._service.read(visit.ctx, id, message.seq)
        return Redirect(with_query(f"/chat/{id}", {"thread": form.thread}) + f"#m-{message.seq}")

    @action("/chat/new", access=CONFIRMED)
    async def begin(self, visit: Visit, form: Beginning) -> Html | Redirect:
        """One handle begins a direct conversation, several a group."""
        try:
            room_id = await self._begin(visit.ctx, form)
        except MENDABLE as problem:
            return self._new(visit, form, self._fault(visit, problem))
        return Redirect(f"/chat/{room_id}")

    @action("/chat/with/{account_id}", access=CONFIRMED)
    async def with_person(self, visit: Visit, account_id: UUID) -> Redirect:
        """To the direct room with somebody."""
        made = await self._service.create(visit.ctx, NewRoom(RoomKind.DIRECT, member_ids=[account_id]))
        return Redirect(f"/chat/{made.room.id}")

    @action("/chat/{id}/join", access=CONFIRMED)
    async def join(self, visit: Visit, id: UUID) -> Redirect:
        """Join a public room."""
        await self._service.add(visit.ctx, id, NewMembers())
        return Redirect(f"/chat/{id}")

    @action("/chat/{id}/leave")
    async def leave(self, visit: Visit, id: UUID) -> Redirect:
        """Leave a room."""
        title = (await self._service.look(visit.ctx, id)).title
        try:
            await self._service.leave(visit.ctx, id)
        except MENDABLE as problem:
            return Redirect(f"/chat/{id}/settings", toast=self._fault(visit, problem))
        return Redirect("/chat", toast=self._say(visit, "chat.you_left", room=title))

    @action("/chat/{id}/choose")
    async def choose(self, visit: Visit, id: UUID, form: Choosing) -> Redirect:
        """What of this room I hear, and whether others see that I read."""
        setting = await self._service.setting(visit.ctx)
        await self._service.notify(visit.ctx, id, form.notify)
        await self._service.choose(visit.ctx, msgspec.structs.replace(setting, receipts=form.receipts))
        return Redirect(f"/chat/{id}", toast=self._say(visit, "chat.saved"))

    # --- parts

    async def _begin(self, ctx: Context, form: Beginning) -> UUID:
        """Raises Invalid at `handles`, and as making rooms does."""
        ids = await self._called(ctx, form.handles)
        if len(ids) == 1 and not form.name.strip():
            return (await self._service.create(ctx, NewRoom(RoomKind.DIRECT, member_ids=ids))).room.id
        return (await self._service.create(ctx, NewRoom(RoomKind.GROUP, form.name.strip() or None, ids))).room.id

    def _new(self, visit: Visit, form: Beginning, fault: str) -> Html:
        return self._pages.page("chat/new.html", visit, form=form, fault=fault, status=422 if fault else 200)

    async def _room(self, visit: Visit, id: UUID, at: At, form: Saying, fault: str) -> Html:
        inside = await self._inside(visit, id, at)
        thread = await self._thread(visit, at.thread, inside) if at.thread else None
        answered = None
        if form.reply_to is not None:
            answered = next(iter(await self._service.some(visit.ctx, id, [form.reply_to])), None)
        room, reader = inside.room, me(visit)
        pins = await self._service.pins(visit.ctx, id) if room.pins else []
        return self._pages.page(
            "chat/room.html",
            visit,
            sections=await self._sections(visit, id),
            room=room,
            inside=inside,
            thread=thread,
            boot=msgspec.json.encode(self._boot(visit, inside)).decode().replace("<", "\\u003c"),
            members=seated(room, inside.people, reader.id),
            pins=[(m, inside.people[m.sender_id], rules.excerpt(m.text)) for m in pins],
            form=form,
            fault=fault,
            answered=answered and (inside.people.get(answered.sender_id), rules.excerpt(answered.text, 120)),
            client_id=str(new_id()),
            notifies=[Choice(label=self._say(visit, f"chat.notify.{n.value}"), value=n.value) for n in Notify],
            status=422 if fault else 200,
        )

    async def _inside(self, visit: Visit, id: UUID, at: At) -> Inside:
        ctx, reader = visit.ctx, me(visit)
        room = await self._service.look(ctx, id)
        # Opened at what is new: a page that begins below it would hide how much there is.
        wanted = at.at or (room.read_seq if room.unread >= SHOWN // 2 else None)
        if wanted is not None:
            found = await self._service.around(ctx, id, wanted, SHOWN)
            messages = found.items
            older = bool(messages) and messages[0].seq > 1
            newer = bool(messages) and messages[-1].seq < await self._newest(ctx, id)
        else:
            found = await self._service.history(ctx, id, HistoryQuery(limit=SHOWN))
            messages, older, newer = found.items, found.more, False
        known = {m.id: m for m in messages}
        asked = {m.reply_to for m in messages if m.reply_to and m.reply_to not in known}
        quoted = known | {m.id: m for m in await self._service.some(ctx, id, list(asked))}
        pinned = await self._service.some(ctx, id, room.pins)
        everybody = [m.sender_id for m in (*quoted.values(), *pinned)] + [m.account_id for m in room.members]
        people = await self._who(visit, [reader.id, *everybody])
        readers = {r.account_id: r.read_seq for r in room.readers}
        shown = lines(messages, quoted, people, reader.id, room.read_seq, readers)
        return Inside(room, messages, older, newer, people, shown, await self._service.setting(ctx))

    async def _newest(self, ctx: Context, id: UUID) -> int:
        last = (await self._service.history(ctx, id, HistoryQuery(limit=1))).items
        return last[0].seq if last else 0

    async def _thread(self, visit: Visit, id: UUID, inside: Inside) -> list[Line]:
        thread = await self._service.thread(visit.ctx, id, ThreadQuery(limit=THREAD_SHOWN))
        messages = ([thread.first] if thread.first else []) + thread.items
        if any(m.room_id != inside.room.id for m in messages):
            raise NotFound
        people = inside.people | await self._who(visit, [m.sender_id for m in messages])
        return lines(messages, {}, people, me(visit).id, 2**53, {})

    async def _sections(self, visit: Visit, current: UUID | None) -> object:
        reader = me(visit)
        rooms = (await self._service.mine(visit.ctx, ROOMS_SHOWN, None)).items
        wanted = [r.other_id for r in rooms if r.other_id] + [r.last_message.sender_id for r in rooms if r.last_message]
        people = await self._who(visit, wanted)
        found: list[Row] = [row(r, reader.id, people, current) for r in rooms]
        return sections(found)

    def _boot(self, visit: Visit, inside: Inside) -> Boot:
        room, reader = inside.room, me(visit)
        return Boot(
            room_id=str(room.id),
            kind=room.kind.value,
            me=str(reader.id),
            role=room.role.value if room.role else "",
            epoch=room.epoch,
            seq=room.last_seq,
            read_seq=room.read_seq,
            unread=room.unread,
            first_seq=inside.messages[0].seq if inside.messages else 0,
            last_message_seq=inside.messages[-1].seq if inside.messages else 0,
            newer=inside.newer,
            receipts=inside.setting.receipts,
            archived=room.archived,
            slow_mode_s=room.slow_mode_s,
            people={str(id): one for id, one in inside.people.items()},
            members=room.members,
            readers={str(r.account_id): r.read_seq for r in room.readers},
            messages=inside.messages,
            texts={
                **{key: self._say_raw(visit, f"chat.js.{key}") for key in TEXTS},
                "erased": formats.deleted_account(visit.locale),
            },
            locale=visit.locale,
        )

    def _say_raw(self, visit: Visit, key: str) -> str:
        """With its placeholders still in it, for the script to fill."""
        return self._say(visit, key, **{name: f"{{{name}}}" for name in ("name", "other", "n", "time")})
