"""Saying something, and what may be done with what was said."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta, Struct

from forecourt.kernel.context import Context
from forecourt.kernel.db import Tx
from forecourt.kernel.errors import Forbidden, Invalid, NotFound
from forecourt.kernel.events import emit
from forecourt.kernel.ids import new_id
from forecourt.kernel.paging import MAX_LIMIT
from forecourt.modules.chat import markup, queries, rules
from forecourt.modules.chat.contract import (
    MAX_ATTACHMENTS,
    MAX_GROUP,
    MAX_PINS,
    MAX_REACTION_KINDS,
    MAX_REACTIONS,
    Attachment,
    ClientId,
    Message,
    MessageDeleted,
    MessageSent,
    MessageText,
    Moderated,
    RoomKind,
    Seq,
    TooMany,
)
from forecourt.modules.chat.markup import Rendered
from forecourt.modules.chat.queries import EditRow, MessageRow
from forecourt.modules.chat.rules import Created, Deleted, Edited, Pinned, Previewed, Reacted
from forecourt.modules.chat.service.base import Turn, person
from forecourt.modules.chat.service.previewing import Previewing

FAR = 2**62
EDITS_SHOWN = 100


class NewMessage(Struct, frozen=True, forbid_unknown_fields=True):
    """`client_id` is chosen by the client; the same message sent again under it is the same message."""

    client_id: ClientId
    text: MessageText = ""
    attachment_ids: Annotated[list[UUID], Meta(max_length=MAX_ATTACHMENTS)] = []
    reply_to: UUID | None = None


class MessageEdit(Struct, frozen=True, forbid_unknown_fields=True):
    text: MessageText


class HistoryQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Without positions: the newest. `before_seq` goes back from there, `after_seq` on."""

    before_seq: Seq | None = None
    after_seq: Seq | None = None
    limit: Annotated[int, Meta(ge=1, le=MAX_LIMIT)] = 50


class ThreadQuery(Struct, frozen=True, forbid_unknown_fields=True):
    after_seq: Seq = 0
    limit: Annotated[int, Meta(ge=1, le=MAX_LIMIT)] = 50


class History(Struct, frozen=True):
    """Ascending. `more` says whether there is more in the direction that was asked."""

    items: list[Message]
    more: bool


class Thread(Struct, frozen=True):
    """The message that a thread begins with (none once it is gone), and the replies, ascending."""

    first: Message | None
    items: list[Message]
    more: bool


class _AlreadySent(Exception):
    def __init__(self, row: MessageRow) -> None:
        self.row = row


class Messages(Previewing):
    # --- saying

    async def send(self, ctx: Context, room_id: UUID, new: NewMessage) -> Message:
        """Raises NotFound, NotAMember, RoomArchived, Muted, SlowMode, Invalid."""
        me = person(ctx)
        text = rules.checked_text(new.text, len(new.attachment_ids))
        rendered = await self._render(ctx, room_id, text)
        attachments = await self.attachments(ctx, room_id, new.attachment_ids)
        try:
            async with self.turn(ctx, room_id) as turn:
                return await self._say(turn, me, new, text, rendered, attachments)
        except _AlreadySent as sent:
            return await self._shown(ctx, sent.row)

    async def _say(
        self, turn: Turn, me: UUID, new: NewMessage, text: str, rendered: Rendered, attachments: list[Attachment]
    ) -> Message:
        tx, room, now = turn.tx, turn.room, self.clock.now()
        rules.member(turn.standing, turn.part)
        before = await queries.resent(tx, room.id, me, new.client_id)
        if before is not None:
            raise _AlreadySent(before)
        rules.may_write(turn.standing, turn.part, now)
        thread_id = await self._thread_of(turn, new.reply_to)
        row = MessageRow(
            room.id, turn.next_seq, new_id(), me, new.client_id, text, rendered.html, new.reply_to, thread_id, 0, attachments,
            rendered.mentioned, now, None, None, None, [],
        )  # fmt: skip
        await queries.insert_message(tx, row)
        replies = None if thread_id is None else await queries.count_reply(tx, room.id, thread_id, 1)
        named = await queries.insert_mentions(tx, room.id, row.seq, rendered.mentioned, me) if rendered.mentioned else []
        message = row.shown([])
        turn.tell("message.created", Created(message, replies), row.id)
        await self.ask_for_previews(turn, row.id, rendered.html, [])
        await self._spread(turn, message, named)
        return message

    async def _thread_of(self, turn: Turn, reply_to: UUID | None) -> UUID | None:
        """A reply to a reply belongs to the thread that is there. Raises Invalid for what is not in this room."""
        if reply_to is None:
            return None
        parent = await queries.maybe_message(turn.tx, turn.room.id, reply_to)
        if parent is None:
            raise Invalid.field("reply_to", "is not a message of this room")
        return parent.thread_id or parent.id

    async def _spread(self, turn: Turn, message: Message, named: list[UUID]) -> None:
        """Tells the rest of the house whom it concerns, and open pages that something waits."""
        room = turn.room
        small = room.kind is not RoomKind.CHANNEL
        if not small and not named:
            return
        rows = await queries.member_notifies(
            turn.tx, room.id, message.sender_id, None if small else named, 2 * MAX_GROUP if small else len(named)
        )
        mentioned = [r.account_id for r in rows if r.account_id in named and rules.told(room.kind, r.notify, mentioned=True)]
        others = [r.account_id for r in rows if r.account_id not in named and rules.told(room.kind, r.notify, mentioned=False)]
        if not mentioned and not others:
            return
        emit(
            turn.tx,
            MessageSent(
                organisation_id=room.organisation_id,
                room_id=room.id,
                room_kind=room.kind,
                message_id=message.id,
                seq=message.seq,
                sender_id=message.sender_id,
                mentioned_ids=mentioned,
                notify_ids=others,
            ),
        )
        self.call(turn.tx, room.id, message.seq, [*mentioned, *others])

    async def _render(self, ctx: Context, room_id: UUID, text: str) -> Rendered:
        """The text as HTML, with the members it names. Asks for people only when something looks like a name."""
        if "@" not in text:
            return markup.render(text)
        handles, ids = rules.handles_in(text), rules.ids_in(text)
        if not handles and not ids:
            return markup.render(text)
        async with self.seen(ctx, room_id) as (tx, _, _):
            if handles:
                known = [m.account_id for m in await queries.members(tx, room_id, None, rules.room_size(RoomKind.CHANNEL))]
            else:
                known = await queries.those_who_are_members(tx, room_id, ids)
        cards = await self.names.of(ctx, known)
        return markup.render(
            text,
            {i: card.name for i, card in cards.items()},
            {card.handle.lower(): i for i, card in cards.items() if card.handle},
        )

    # --- changing

    async def edit(self, ctx: Context, message_id: UUID, edit: MessageEdit) -> Message:
        """One's own words; what they were is kept. Raises NotFound, Forbidden, MessageDeleted, RoomArchived, Muted, Invalid."""
        me = person(ctx)
        room_id = (await self.address(ctx, message_id)).room_id
        rendered = await self._render(ctx, room_id, edit.text)
        async with self.turn(ctx, room_id) as turn:
            row = await self._living(turn, message_id)
            if row.sender_id != me:
                raise Forbidden("Only who wrote it edits a message.")
            rules.member(turn.standing, turn.part)
            rules.writable(turn.standing)
            rules.unmuted(turn.part, self.clock.now())
            text = rules.checked_text(edit.text, len(row.attachments))
            if text == row.body:
                return await self._with_reactions(turn.tx, row)
            now = self.clock.now()
            await queries.save_edit(turn.tx, room_id, row.seq, text, rendered.html, rendered.mentioned, now)
            await queries.delete_mentions(turn.tx, room_id, row.seq)
            if rendered.mentioned:
                await queries.insert_mentions(turn.tx, room_id, row.seq, rendered.mentioned, me)
            turn.tell("message.edited", Edited(row.id, text, rendered.html, rendered.mentioned, now), row.id)
            await self.keep_previews(turn, row, rendered.html)
            return await self._with_reactions(turn.tx, await queries.message(turn.tx, room_id, message_id))

    async def delete(self, ctx: Context, message_id: UUID) -> None:
        """By who wrote it or a moderator; a second time changes nothing. Raises NotFound, Forbidden."""
        me = person(ctx)
        room_id = (await self.address(ctx, message_id)).room_id
        async with self.turn(ctx, room_id) as turn:
            row = await queries.message(turn.tx, room_id, message_id)
            rules.member(turn.standing, turn.part)
            if row.sender_id != me and not turn.part.moderates:
                raise Forbidden("Only who wrote it, or a moderator, deletes a message.")
            if row.deleted_at is not None:
                return
            await queries.blank(turn.tx, room_id, row.seq, self.clock.now())
            self.let_files_go(turn.tx, room_id, row.attachments)
            replies = None if row.thread_id is None else await queries.count_reply(turn.tx, room_id, row.thread_id, -1)
            await self._forget_words(turn, row, replies)
            turn.tell("message.deleted", Deleted(row.id, row.thread_id, replies), row.id)
            if row.sender_id != me:
                emit(
                    turn.tx,
                    Moderated(
                        organisation_id=turn.room.organisation_id,
                        room_id=room_id,
                        action="delete",
                        account_id=row.sender_id,
                        message_id=row.id,
                    ),
                )

    async def _forget_words(self, turn: Turn, row: MessageRow, replies: int | None) -> None:
        """Who comes back and is told what happened meanwhile does not learn what was taken back."""
        gone = rules.without_words(row.shown([]))
        created = msgspec.json.encode(Created(gone, replies)).decode()
        edited = msgspec.json.encode(Edited(row.id, "", "", [], row.edited_at or row.created_at)).decode()
        previewed = msgspec.json.encode(Previewed(row.id, [])).decode()
        await queries.rewrite_events(turn.tx, row.room_id, row.id, created, edited, previewed)

    async def react(self, ctx: Context, message_id: UUID, emoji: str) -> Message:
        """Raises NotFound, NotAMember, Invalid, MessageDeleted, RoomArchived, TooMany."""
        me = person(ctx)
        emoji = rules.checked_emoji(emoji)
        room_id = (await self.address(ctx, message_id)).room_id
        async with self.turn(ctx, room_id) as turn:
            row = await self._living(turn, message_id)
            rules.member(turn.standing, turn.part)
            rules.writable(turn.standing)
            before = (await queries.reactions(turn.tx, room_id, [row.seq])).get(row.seq, [])
            if not any(r.emoji == emoji and me in r.account_ids for r in before):
                kinds = {r.emoji for r in before} | {emoji}
                if len(kinds) > MAX_REACTION_KINDS or sum(len(r.account_ids) for r in before) >= MAX_REACTIONS:
                    raise TooMany
                await queries.react(turn.tx, room_id, row.seq, emoji, me, self.clock.now())
                turn.tell("reaction.added", Reacted(row.id, emoji, me), row.id)
            return row.shown(rules.with_reaction(before, emoji, me))

    async def unreact(self, ctx: Context, message_id: UUID, emoji: str) -> Message:
        """Taking back what is not there changes nothing. Raises NotFound, NotAMember, Invalid."""
        me = person(ctx)
        emoji = rules.checked_emoji(emoji)
        room_id = (await self.address(ctx, message_id)).room_id
        async with self.turn(ctx, room_id) as turn:
            row = await queries.message(turn.tx, room_id, message_id)
            rules.member(turn.standing, turn.part)
            if await queries.unreact(turn.tx, room_id, row.seq, emoji, me):
                turn.tell("reaction.removed", Reacted(row.id, emoji, me), row.id)
            return await self._with_reactions(turn.tx, row)

    async def pin(self, ctx: Context, room_id: UUID, message_id: UUID) -> Message:
        """In a channel by moderators. Raises NotFound, NotAMember, Forbidden, MessageDeleted, RoomArchived, TooMany."""
        me = person(ctx)
        async with self.turn(ctx, room_id) as turn:
            row = await self._pinnable(turn, message_id)
            if row.deleted_at is not None:
                raise MessageDeleted
            if row.pinned_at is None:
                if await queries.pin_count(turn.tx, room_id) >= MAX_PINS:
                    raise TooMany
                await queries.pin(turn.tx, room_id, row.seq, self.clock.now(), me)
                turn.tell("message.pinned", Pinned(row.id), row.id)
            return await self._with_reactions(turn.tx, await queries.message(turn.tx, room_id, message_id))

    async def unpin(self, ctx: Context, room_id: UUID, message_id: UUID) -> None:
        """Raises NotFound, NotAMember, Forbidden, RoomArchived."""
        async with self.turn(ctx, room_id) as turn:
            row = await self._pinnable(turn, message_id)
            if row.pinned_at is not None:
                await queries.pin(turn.tx, room_id, row.seq, None, None)
                turn.tell("message.unpinned", Pinned(row.id), row.id)

    async def _pinnable(self, turn: Turn, message_id: UUID) -> MessageRow:
        rules.member(turn.standing, turn.part)
        if turn.room.kind is RoomKind.CHANNEL:
            rules.may_moderate(turn.standing, turn.part)
        rules.writable(turn.standing)
        return await queries.message(turn.tx, turn.room.id, message_id)

    async def _living(self, turn: Turn, message_id: UUID) -> MessageRow:
        """Raises NotFound, MessageDeleted."""
        row = await queries.message(turn.tx, turn.room.id, message_id)
        if row.deleted_at is not None:
            raise MessageDeleted
        return row

    # --- reading

    async def history(self, ctx: Context, room_id: UUID, query: HistoryQuery) -> History:
        """A stretch of what was said. Raises NotFound."""
        async with self.seen(ctx, room_id) as (tx, _, _):
            if query.after_seq is not None:
                rows = await queries.messages_after(tx, room_id, query.after_seq, query.before_seq or FAR, query.limit + 1)
                more, rows = len(rows) > query.limit, rows[: query.limit]
            else:
                rows = await queries.messages_before(tx, room_id, query.before_seq or FAR, query.limit + 1)
                more, rows = len(rows) > query.limit, rows[: query.limit][::-1]
            return History(await self._all_with_reactions(tx, room_id, rows), more)

    async def around(self, ctx: Context, room_id: UUID, seq: int, limit: int) -> History:
        """Half of `limit` before the message numbered `seq` or next to it, the rest from there. Raises NotFound."""
        async with self.seen(ctx, room_id) as (tx, _, _):
            before = (await queries.messages_before(tx, room_id, seq, limit // 2))[::-1]
            rows = before + await queries.messages_after(tx, room_id, seq - 1, FAR, limit - len(before))
            return History(await self._all_with_reactions(tx, room_id, rows), more=True)

    async def some(self, ctx: Context, room_id: UUID, ids: list[UUID]) -> list[Message]:
        """Those of the messages that are there. Raises NotFound for the room."""
        async with self.seen(ctx, room_id) as (tx, _, _):
            return await self._all_with_reactions(tx, room_id, await queries.messages_by_id(tx, room_id, ids))

    async def thread(self, ctx: Context, message_id: UUID, query: ThreadQuery) -> Thread:
        """The thread that a message begins or is in. Raises NotFound."""
        room_id = (await self.address(ctx, message_id)).room_id
        async with self.seen(ctx, room_id) as (tx, _, _):
            asked = await queries.message(tx, room_id, message_id)
            first = asked if asked.thread_id is None else await queries.maybe_message(tx, room_id, asked.thread_id)
            rows = await queries.thread(tx, room_id, asked.thread_id or asked.id, query.after_seq, query.limit + 1)
            shown = await self._all_with_reactions(tx, room_id, ([first] if first else []) + rows[: query.limit])
        return Thread(shown[0] if first else None, shown[1:] if first else shown, len(rows) > query.limit)

    async def pins(self, ctx: Context, room_id: UUID) -> list[Message]:
        """What is pinned, the newest pin first. Raises NotFound."""
        async with self.seen(ctx, room_id) as (tx, _, _):
            return await self._all_with_reactions(tx, room_id, await queries.pinned(tx, room_id, MAX_PINS))

    async def edits(self, ctx: Context, message_id: UUID) -> list[EditRow]:
        """What a message said before, the latest first. Raises NotFound."""
        at = await self.address(ctx, message_id)
        async with self.seen(ctx, at.room_id) as (tx, _, _):
            return await queries.edits(tx, at.room_id, at.seq, EDITS_SHOWN)

    async def export(self, ctx: Context, room_id: UUID, after_seq: int, limit: int) -> list[Message]:
        """What was said, in order, for who moderates the room or is one of the two. Raises NotFound, Forbidden."""
        async with self.seen(ctx, room_id) as (tx, room, _):
            part = await queries.part(tx, room_id, person(ctx))
            if part.role is None:
                raise NotFound
            if room.kind is not RoomKind.DIRECT and not rules.Part(part.role).moderates:
                raise Forbidden("Owners and moderators of the room export it.")
            rows = await queries.messages_after(tx, room_id, after_seq, FAR, limit)
            return await self._all_with_reactions(tx, room_id, rows)

    async def _shown(self, ctx: Context, row: MessageRow) -> Message:
        async with self.seen(ctx, row.room_id) as (tx, _, _):
            return await self._with_reactions(tx, row)

    async def _with_reactions(self, tx: Tx, row: MessageRow) -> Message:
        return (await self._all_with_reactions(tx, row.room_id, [row]))[0]

    async def _all_with_reactions(self, tx: Tx, room_id: UUID, rows: list[MessageRow]) -> list[Message]:
        if not rows:
            return []
        found = await queries.reactions(tx, room_id, [row.seq for row in rows])
        return [row.shown(found.get(row.seq, [])) for row in rows]
