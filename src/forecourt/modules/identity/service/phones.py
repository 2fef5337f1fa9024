"""Phone numbers: given, shown to be one's own by a code that comes as a text, changed, removed (ID-1)."""

from __future__ import annotations

from datetime import timedelta
from hmac import compare_digest
from uuid import UUID

import asyncpg

from forecourt.kernel.clock import Clock
from forecourt.kernel.context import Context
from forecourt.kernel.db import ModuleDatabase, Tx, constraint_of
from forecourt.kernel.errors import TooManyRequests
from forecourt.kernel.events import emit
from forecourt.kernel.ids import new_id
from forecourt.kernel.jobs import enqueue
from forecourt.modules.identity import rules, texts
from forecourt.modules.identity.contract import CodeWrong, PhoneRemoved, PhoneTaken, PhoneVerified, SecurityKind
from forecourt.modules.identity.jobs import SEND_TEXT
from forecourt.modules.identity.phones import read_number
from forecourt.modules.identity.queries import accounts as counters
from forecourt.modules.identity.queries import phones as queries
from forecourt.modules.identity.queries.phones import NumberRow
from forecourt.modules.identity.secrecy import Vault, new_code
from forecourt.modules.identity.service.sessions import acting, note, person_of

HOUR = timedelta(hours=1)


class Phones:
    def __init__(self, db: ModuleDatabase, clock: Clock, vault: Vault) -> None:
        self._db = db
        self._clock = clock
        self._vault = vault

    async def mine(self, ctx: Context) -> NumberRow:
        """The person's verified number, and the one that waits for its code."""
        me = person_of(ctx)
        async with self._db.read(acting(ctx, me)) as tx:
            return await queries.numbers(tx, me, self._clock.now())

    async def of(self, ctx: Context, account_id: UUID) -> str | None:
        """Somebody's verified number, for modules that send texts. None without one."""
        async with self._db.read(acting(ctx, account_id)) as tx:
            return await queries.number(tx, account_id)

    async def ask_for_code(self, ctx: Context, text: str, language: str) -> str:
        """Sends a code to the number, which it answers in E.164; a code before it is void. The verified number stays meanwhile.

        At most five texts an hour for a person, and five to a number whoever asks: nobody's phone is flooded, and a number of
        somebody else's cannot be guessed at from many accounts. Whether another account has the number is not said here.
        Raises Invalid, TooManyRequests.
        """
        me, number, now = person_of(ctx), read_number(text), self._clock.now()
        challenge, code = new_id(), new_code()
        async with self._db.tx(acting(ctx, me)) as tx:
            # In this order everywhere, so that two who ask for one number wait for each other at the number alone.
            await self._count(tx, "texts of", str(me))
            await self._count(tx, "texts to", number)
            hashed = self._vault.code_digest(challenge, code)
            await queries.replace_code(tx, me, challenge, number, hashed, now + rules.PHONE_CODE_TTL)
            enqueue(tx, SEND_TEXT, texts.phone_code(me, number, code, language))
        return number

    async def _count(self, tx: Tx, what: str, whose: str) -> None:
        now = self._clock.now()
        counted = await counters.count(tx, self._vault.counter_key(what, whose), now, now + HOUR)
        if counted.count > rules.TEXTS_PER_HOUR:
            wait_s = max(1, int((counted.until - now).total_seconds()))
            raise TooManyRequests("too many texts were asked for; try again later", retry_after_s=wait_s)

    async def confirm(self, ctx: Context, code: str) -> None:
        """Makes the number that waits the person's own. Raises PhoneTaken, and CodeWrong: for a wrong code, an old one, one
        tried five times, and when none was sent.
        """
        me, now = person_of(ctx), self._clock.now()
        async with self._db.tx(acting(ctx, me)) as tx:
            tried = await queries.try_code(tx, me, now, rules.CODE_TRIES)
        if tried is None or not compare_digest(tried.code_hash, self._vault.code_digest(tried.id, code)):
            raise CodeWrong
        async with self._db.tx(acting(ctx, me)) as tx:
            if not await queries.use_code(tx, me, tried.id):
                raise CodeWrong
            try:
                await queries.set_number(tx, me, tried.number, now)
            except asyncpg.UniqueViolationError as e:
                if constraint_of(e) != "phone_number_key":
                    raise
                raise PhoneTaken from None
            await note(tx, me, SecurityKind.PHONE_VERIFIED, now)
            emit(tx, PhoneVerified(account_id=me))

    async def remove(self, ctx: Context) -> None:
        """Removes the number and the one that waits. Without either there is nothing to do."""
        me, now = person_of(ctx), self._clock.now()
        async with self._db.tx(acting(ctx, me)) as tx:
            if await queries.drop_number(tx, me):
                await note(tx, me, SecurityKind.PHONE_REMOVED, now)
                emit(tx, PhoneRemoved(account_id=me))
