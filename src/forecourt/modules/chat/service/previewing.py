"""What stands behind the links of a message: asked for by a job once the message is there, shown under it, taken away again.

A room of an organisation that wants none has none. What came in the meantime decides: a job that finds the message deleted, the
link edited out or taken away, or the organisation of another mind, adds nothing.
"""

from __future__ import annotations

from uuid import UUID

from msgspec import Struct

from forecourt.kernel.context import Context
from forecourt.kernel.db import Tx
from forecourt.kernel.errors import Forbidden
from forecourt.kernel.jobs import STALE_DAYS, JobKind, enqueue
from forecourt.modules.chat import queries, rules
from forecourt.modules.chat.contract import LinkPreview
from forecourt.modules.chat.links import Links, worth_asking
from forecourt.modules.chat.queries import MessageRow, RoomRow
from forecourt.modules.chat.rules import Previewed
from forecourt.modules.chat.service.attaching import Attaching
from forecourt.modules.chat.service.base import Turn, person


class LookBehind(Struct, frozen=True):
    room_id: UUID
    message_id: UUID
    urls: list[str]


LOOK_BEHIND = JobKind("chat.look_behind", LookBehind, timeout_s=30, attempts=2, kept_days=STALE_DAYS)


class HouseRule(Struct, frozen=True, forbid_unknown_fields=True):
    """What an organisation chose for its rooms. With `previews` the pages that messages link to are asked what they are."""

    previews: bool = True


class Previewing(Attaching):
    links: Links

    async def ask_for_previews(self, turn: Turn, message_id: UUID, rendered: str, known: list[LinkPreview]) -> None:
        """With the transaction: links that nothing is known of are looked behind."""
        asked = {preview.url for preview in known}
        urls = [url for url in worth_asking(rendered) if url not in asked]
        if urls and await _wanted(turn.tx, turn.room):
            enqueue(turn.tx, LOOK_BEHIND, LookBehind(turn.room.id, message_id, urls))

    async def keep_previews(self, turn: Turn, row: MessageRow, rendered: str) -> None:
        """The message says something else now: what stood behind links that are gone goes, new ones are looked behind."""
        there = worth_asking(rendered)
        kept = [preview for preview in row.previews if preview.url in there]
        await self._become(turn, row, kept)
        await self.ask_for_previews(turn, row.id, rendered, kept)

    async def look_behind(self, ctx: Context, wanted: LookBehind) -> None:
        """The job. Once more changes nothing."""
        found = await self.links.look(wanted.urls)
        if not found:
            return
        async with self.house_turn(ctx, wanted.room_id) as turn:
            row = await queries.maybe_message(turn.tx, wanted.room_id, wanted.message_id)
            if row is None or row.deleted_at is not None or not await _wanted(turn.tx, turn.room):
                return
            known = {preview.url: preview for preview in [*found, *row.previews]}
            await self._become(turn, row, [known[url] for url in worth_asking(row.html) if url in known])

    async def take_previews_away(self, ctx: Context, message_id: UUID) -> None:
        """By who sent the message; they do not come back. Raises NotFound, NotAMember, Forbidden."""
        me = person(ctx)
        room_id = (await self.address(ctx, message_id)).room_id
        async with self.turn(ctx, room_id) as turn:
            row = await queries.message(turn.tx, room_id, message_id)
            rules.member(turn.standing, turn.part)
            if row.sender_id != me and not turn.part.moderates:
                raise Forbidden("Only who wrote it, or a moderator, takes a preview away.")
            await self._become(turn, row, [LinkPreview(p.url, "", "", "") for p in row.previews])

    async def _become(self, turn: Turn, row: MessageRow, previews: list[LinkPreview]) -> None:
        if previews == row.previews:
            return
        await queries.save_previews(turn.tx, row.room_id, row.seq, previews)
        shown = [preview for preview in previews if preview.title]
        if shown != [preview for preview in row.previews if preview.title]:
            turn.tell("message.previewed", Previewed(row.id, shown), row.id)

    # --- what an organisation chose

    async def house_rule(self, ctx: Context, organisation_id: UUID) -> HouseRule:
        """Who may ask, the caller has decided."""
        async with self.db.read(ctx.within(organisation_id)) as tx:
            return HouseRule(await queries.wants_previews(tx, organisation_id))

    async def set_house_rule(self, ctx: Context, organisation_id: UUID, rule: HouseRule) -> HouseRule:
        """Holds for messages from now on; what is shown stays. Who may, the caller has decided."""
        async with self.db.tx(ctx.within(organisation_id)) as tx:
            await queries.save_house_rule(tx, organisation_id, rule.previews, self.clock.now())
        return rule


async def _wanted(tx: Tx, room: RoomRow) -> bool:
    if room.organisation_id is None:
        return True
    await queries.name_house(tx, room.organisation_id)
    return await queries.wants_previews(tx, room.organisation_id)
