"""The use cases of chat, together."""

from __future__ import annotations

from uuid import UUID

from forecourt.kernel.clock import Clock
from forecourt.kernel.context import Context
from forecourt.kernel.db import ModuleDatabase
from forecourt.kernel.limits import Limiter
from forecourt.kernel.live import Announcer
from forecourt.modules.booking.contract import Bookings
from forecourt.modules.chat import queries, rules
from forecourt.modules.chat.contract import MessagePreview
from forecourt.modules.chat.links import Links
from forecourt.modules.chat.names import Names
from forecourt.modules.chat.service.forgetting import Forgetting
from forecourt.modules.chat.service.keeping import Keeping
from forecourt.modules.chat.service.moderation import Moderating
from forecourt.modules.chat.service.rooms import Rooms
from forecourt.modules.chat.service.topics import Topics
from forecourt.modules.media.contract import Media
from forecourt.modules.venues.contract import Venues


class ChatService(Rooms, Moderating, Topics, Keeping, Forgetting):
    """Satisfies `Chat` and `ChatTopics`."""

    def __init__(
        self,
        db: ModuleDatabase,
        clock: Clock,
        announcer: Announcer,
        names: Names,
        media: Media,
        bookings: Bookings,
        venues: Venues,
        links: Links,
        limiter: Limiter,
    ) -> None:
        super().__init__(db, clock, announcer, names, media)
        self.bookings = bookings
        self.venues = venues
        self.links = links
        self.limiter = limiter

    async def preview(self, ctx: Context, room_id: UUID, message_id: UUID) -> MessagePreview | None:
        async with self.db.read(ctx.within(None)) as tx:
            await queries.open_as_the_house(tx, room_id)
            row = await queries.maybe_message(tx, room_id, message_id)
            if row is None:
                return None
            room = await queries.room(tx, room_id)
        return MessagePreview(
            room_id=room_id,
            room_kind=room.kind,
            room_name=room.name,
            sender_id=row.sender_id,
            excerpt=rules.excerpt(row.body),
            attachments=len(row.attachments),
            room_subject=room.subject,
        )
