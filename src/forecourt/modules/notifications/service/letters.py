"""The house's own letters: worded in the language of whoever reads them, and sent."""

from __future__ import annotations

from contextlib import suppress

from forecourt.kernel.context import Context, service_context
from forecourt.kernel.errors import Unavailable
from forecourt.modules.notifications import wording
from forecourt.modules.notifications.contract import Letter, Mail
from forecourt.modules.notifications.service.outbox import NotificationsService
from forecourt.modules.people.contract import People


class Letters:
    """Satisfies `Mailer`."""

    def __init__(self, post: NotificationsService, people: People) -> None:
        self._post = post
        self._people = people

    async def send(self, ctx: Context, mail: Mail) -> None:
        """Raises Unavailable."""
        await self._post.send(ctx, mail)

    async def write(self, ctx: Context, letter: Letter) -> None:
        """Raises Unavailable."""
        locale = wording.locale_for(await self._chosen(letter), letter.language)
        await self._post.send(ctx, wording.written(letter, locale))

    async def _chosen(self, letter: Letter) -> str | None:
        """The language that the reader has chosen, if any."""
        if letter.account_id is None:
            return None
        with suppress(Unavailable):  # a code is worth more than its language
            [prefers] = await self._people.preferences(service_context("notifications.letters"), [letter.account_id])
            return prefers.locale
        return None
