"""Files that people attach, as the media module knows them."""

from __future__ import annotations

from uuid import UUID

from forecourt.kernel.context import Context
from forecourt.kernel.errors import Invalid
from forecourt.modules.chat.contract import Attachment
from forecourt.modules.chat.service.base import Base


class Attaching(Base):
    async def attachments(self, ctx: Context, ids: list[UUID]) -> list[Attachment]:
        """What the person uploaded under these ids. Raises Invalid at `attachment_ids` for what is not theirs to attach."""
        if ids:
            raise Invalid.field("attachment_ids[0]", "there is no such upload of yours")
        return []
