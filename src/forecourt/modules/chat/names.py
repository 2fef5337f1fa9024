"""Who people are: their names and handles, asked of the people module and remembered for a minute."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Iterable
from uuid import UUID

from forecourt.kernel.context import Context
from forecourt.kernel.memory import remember
from forecourt.modules.people.contract import People, PersonCard

AT_ONCE = 200
KNOWN = 20_000
KNOWN_S = 60.0


class Names:
    def __init__(self, people: People) -> None:
        self._people = people
        self._known: OrderedDict[UUID, tuple[float, PersonCard | None]] = OrderedDict()

    async def of(self, ctx: Context, ids: Iterable[UUID]) -> dict[UUID, PersonCard]:
        """The cards of those who exist. A name may be a minute old."""
        now = time.monotonic()
        wanted = list(dict.fromkeys(ids))
        unknown = [i for i in wanted if (hit := self._known.get(i)) is None or hit[0] < now]
        pages = [unknown[i : i + AT_ONCE] for i in range(0, len(unknown), AT_ONCE)]
        for page, cards in zip(pages, await asyncio.gather(*(self._people.cards(ctx, p) for p in pages)), strict=True):
            self._remember(page, {card.id: card for card in cards}, now + KNOWN_S)
        return {i: card for i in wanted if (card := self._known[i][1]) is not None}

    def _remember(self, asked: list[UUID], found: dict[UUID, PersonCard], until: float) -> None:
        for id in asked:
            card = found.get(id)
            # Who is not there yet may be in a moment: absence is believed for the present question alone.
            remember(self._known, id, (until if card is not None else 0.0, card), KNOWN)
