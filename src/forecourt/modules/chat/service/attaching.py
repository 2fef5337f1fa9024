"""Files that people attach. The media module keeps them; a room is their owner, and shows them to its members."""

from __future__ import annotations

from uuid import UUID

from msgspec import Struct

from forecourt.kernel.context import Context
from forecourt.kernel.db import Tx
from forecourt.kernel.errors import Invalid, NotFound
from forecourt.kernel.jobs import JobKind, enqueue
from forecourt.modules.chat import rules
from forecourt.modules.chat.contract import Attachment
from forecourt.modules.chat.service.base import Base
from forecourt.modules.media.contract import Audience, MediaCard, MediaInUse, MediaOwner

DETACHED_AT_ONCE = 200


class LetGo(Struct, frozen=True):
    room_id: UUID
    file_ids: list[UUID]


LET_GO = JobKind("chat.let_go", LetGo, timeout_s=30, attempts=8)


def owner_of(room_id: UUID) -> MediaOwner:
    return MediaOwner("chat", "room", room_id)


class Attaching(Base):
    async def attachments(self, ctx: Context, room_id: UUID, ids: list[UUID]) -> list[Attachment]:
        """What the person uploaded, now the room's. Raises Invalid at `attachment_ids`, and as sending does.

        Attached before the message is written: a file that nothing mentions is found by nobody, one that a message mentions and
        that is gone would be missed.
        """
        if not ids:
            return []
        async with self.seen(ctx, room_id) as (_, room, row):
            part = rules.Part(row.role, row.muted_until, row.last_sent_at, row.banned, row.banned_until)
            standing = rules.Standing(room.kind, room.public, room.archived_at is not None, 0)
            rules.may_write(standing, part, self.clock.now())
        try:
            cards = await self.media.attach(ctx.within(None), ids, owner_of(room_id), Audience.PRIVATE)
        except (NotFound, MediaInUse):
            raise Invalid.field("attachment_ids", "holds an upload that is not yours to attach") from None
        return [Attachment(c.id, c.kind, c.type, c.name, c.bytes, c.width, c.height) for c in cards]

    async def file(self, ctx: Context, room_id: UUID, file_id: UUID) -> MediaCard:
        """A file of the room, with addresses that work for a while. Raises NotFound."""
        async with self.seen(ctx, room_id):
            pass  # whoever sees the room sees its files
        for card in await self.media.cards(ctx.within(None), [file_id]):
            if card.owner == owner_of(room_id):
                return card
        raise NotFound

    def let_files_go(self, tx: Tx, room_id: UUID, attachments: list[Attachment]) -> None:
        """With the transaction: the files of messages that are gone go too."""
        ids = [a.id for a in attachments]
        for start in range(0, len(ids), DETACHED_AT_ONCE):
            enqueue(tx, LET_GO, LetGo(room_id, ids[start : start + DETACHED_AT_ONCE]))

    async def detach(self, ctx: Context, gone: LetGo) -> None:
        await self.media.detach(ctx.within(None), owner_of(gone.room_id), gone.file_ids)
