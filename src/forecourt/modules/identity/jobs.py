"""Identity's delayed and scheduled work.

A mail or a text is a job of its own, enqueued with the change that it tells of: its payload may hold a code or a link, and
is gone when it is sent. Asking for a code or a new password is a job too, so that the answer takes the same time whether the
account exists or not.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec
from msgspec import Struct

from forecourt.kernel.context import Context, service_context
from forecourt.kernel.jobs import STALE_DAYS, JobHandler, JobKind, Schedule, every
from forecourt.modules.notifications.contract import Letter, Mail, Mailer, Text, Texter
from forecourt.modules.people.contract import People

if TYPE_CHECKING:
    from forecourt.modules.identity.service import IdentityService


class Wish(StrEnum):
    CONFIRM = "confirm"
    RESET = "reset"


class Asked(Struct, frozen=True):
    """Somebody asked that a mail be sent to this address, if it has an account."""

    wish: Wish
    email: str
    language: str = ""
    """Of whoever asked."""
    onward: str = ""
    """A path of this site, where they were on the way to."""


class Tidy(Struct, frozen=True):
    pass


WRITE = JobKind("identity.write_letter", Letter, timeout_s=30, attempts=8, kept_days=STALE_DAYS)
# What the release before this one left in the queue: mails that were worded when they were asked for.
SEND_MAIL = JobKind("identity.send_mail", Mail, timeout_s=30, attempts=8, kept_days=STALE_DAYS)
SEND_TEXT = JobKind("identity.send_text", Text, timeout_s=30, attempts=5, kept_days=STALE_DAYS)
ANSWER_WISH = JobKind("identity.answer_wish", Asked, timeout_s=15, attempts=4, kept_days=STALE_DAYS)
ROTATE_KEYS = JobKind("identity.rotate_keys", Tidy, timeout_s=30, attempts=3)
TIDY = JobKind("identity.tidy", Tidy, timeout_s=60, attempts=3)
ERASE_DUE = JobKind("identity.erase_due", Tidy, timeout_s=300, attempts=3)


def handlers(service: IdentityService, mailer: Mailer, texter: Texter, people: People) -> list[JobHandler[Any]]:
    async def send_mail(ctx: Context, mail: Mail) -> None:
        await mailer.send(ctx, mail)

    async def write(ctx: Context, letter: Letter) -> None:
        await mailer.write(ctx, letter)

    async def send_text(ctx: Context, text: Text) -> None:
        await texter.send_text(ctx, text)

    async def answer_wish(ctx: Context, asked: Asked) -> None:
        ctx = msgspec.structs.replace(ctx, language=asked.language)
        match asked.wish:
            case Wish.CONFIRM:
                await service.persons.send_code(ctx, asked.email, asked.onward)
            case Wish.RESET:
                await service.persons.send_reset(ctx, asked.email)

    async def rotate_keys(ctx: Context, _: Tidy) -> None:
        await service.signing.prepare(ctx)

    async def tidy(ctx: Context, _: Tidy) -> None:
        await service.sessions.tidy(ctx)

    async def languages(ids: list[UUID]) -> list[str]:
        return [chosen.locale or "" for chosen in await people.preferences(service_context("identity.erase_due"), ids)]

    async def erase_due(ctx: Context, _: Tidy) -> None:
        await service.erasing.remind(ctx)
        await service.erasing.erase_due(ctx, languages)

    return [
        JobHandler(WRITE, write),
        JobHandler(SEND_MAIL, send_mail),
        JobHandler(SEND_TEXT, send_text),
        JobHandler(ANSWER_WISH, answer_wish),
        JobHandler(ROTATE_KEYS, rotate_keys),
        JobHandler(TIDY, tidy),
        JobHandler(ERASE_DUE, erase_due),
    ]


def schedules() -> list[Schedule]:
    return [
        Schedule("identity.rotate_keys", every(hours=1), ROTATE_KEYS, Tidy()),
        Schedule("identity.tidy", every(hours=1), TIDY, Tidy()),
        Schedule("identity.erase_due", every(hours=1), ERASE_DUE, Tidy()),
    ]
