"""Sessions: begin, refresh, list, end. A session is a family: one chain of refresh tokens, or one browser cookie."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from datetime import datetime
from enum import StrEnum
from uuid import UUID

import msgspec
from msgspec import Struct

from forecourt.kernel.clock import Clock
from forecourt.kernel.context import Actor, ActorKind, Context
from forecourt.kernel.db import ModuleDatabase, Tx
from forecourt.kernel.errors import NotFound, Unauthenticated
from forecourt.kernel.events import emit
from forecourt.kernel.ids import new_id
from forecourt.kernel.memory import remember
from forecourt.kernel.paging import Keyset, Page
from forecourt.modules.identity import rules
from forecourt.modules.identity.contract import (
    AccountCard,
    AccountStatus,
    KnownSession,
    SecurityKind,
    SecurityNoted,
    SessionEnded,
    TokenInvalid,
    TokenReused,
)
from forecourt.modules.identity.queries import accounts as queries
from forecourt.modules.identity.queries import phones
from forecourt.modules.identity.queries.accounts import AccountRow, AdminSecurityRow, SecurityRow, SecurityWanted, SessionRow
from forecourt.modules.identity.secrecy import digest, new_token
from forecourt.modules.identity.service.signing import Signing

MAX_AGENT_CHARS = 400
MAX_ADDRESS_CHARS = 100
SESSIONS = Keyset("sessions", tuple[UUID])
SECURITY_EVENTS = Keyset("security events", tuple[UUID])
ALL_SECURITY_EVENTS = Keyset("all security events", tuple[datetime, UUID])
FORGOTTEN_AT_ONCE = 5_000
PORTIONS_A_RUN = 20
"""Of what is forgotten in portions; the rest waits for the next hour."""
NOTED_AT_ONCE = 20_000


class Tokens(Struct, frozen=True):
    """What an API client signs in with. `expires_in`: seconds of the access token."""

    account: AccountCard
    access_token: str
    refresh_token: str
    token_type: str
    expires_in: int


class SessionKind(StrEnum):
    TOKEN = "token"  # noqa: S105 - a word
    BROWSER = "browser"


class Begun(Struct, frozen=True):
    """A session and its first secret, which is stored nowhere in the clear."""

    session_id: UUID
    token: str
    at: datetime
    expires_at: datetime


def acting(ctx: Context, account_id: UUID) -> Context:
    """`ctx` with the person that a password, a token or a code has just shown: row security then sees this person's rows."""
    if ctx.account_id == account_id:
        return ctx.within(None)
    return msgspec.structs.replace(
        ctx, actor=Actor(kind=ActorKind.PERSON, account_id=account_id), organisation_id=None, permissions=frozenset()
    )


def person_of(ctx: Context) -> UUID:
    """Raises Unauthenticated for keys and for nobody."""
    if ctx.account_id is None:
        raise Unauthenticated
    return ctx.account_id


async def note(tx: Tx, account_id: UUID, kind: SecurityKind, at: datetime, detail: str = "") -> None:
    """Writes a security event for the owner, and tells audit."""
    ctx = tx.context
    await queries.insert_security_event(
        tx, account_id, new_id(), kind.value, detail[:300], ctx.address[:MAX_ADDRESS_CHARS], ctx.agent[:MAX_AGENT_CHARS], at
    )
    emit(tx, SecurityNoted(account_id=account_id, kind=kind, detail=detail[:300]))


class Sessions:
    def __init__(self, db: ModuleDatabase, clock: Clock, signing: Signing) -> None:
        self._db = db
        self._clock = clock
        self._signing = signing
        self._noted: OrderedDict[UUID, datetime] = OrderedDict()
        """When this process last noted the use of a browser's session."""

    # --- begin ---

    async def begin(self, tx: Tx, account: AccountRow, kind: SessionKind) -> Begun:
        """A new session of `account`, which the transaction holds locked and is about."""
        now = self._clock.now()
        ttl = rules.REFRESH_TTL if kind is SessionKind.TOKEN else rules.BROWSER_TTL
        token_kind = "refresh" if kind is SessionKind.TOKEN else "browser"
        begun = Begun(new_id(), new_token(), now, now + ttl)
        agent = tx.context.agent[:MAX_AGENT_CHARS]
        seen = await queries.devices(tx, account.id, agent)
        if seen.all and not seen.same:
            await note(tx, account.id, SecurityKind.NEW_DEVICE, now, agent)
        address = tx.context.address[:MAX_ADDRESS_CHARS]
        await queries.insert_session(tx, account.id, begun.session_id, kind.value, address, agent, now, begun.expires_at)
        await queries.insert_token(tx, digest(begun.token), token_kind, account.id, begun.session_id, begun.expires_at)
        remember(self._noted, begun.session_id, now, NOTED_AT_ONCE)
        if seen.all >= rules.MAX_SESSIONS:
            surplus = await queries.surplus_sessions(tx, account.id, now, rules.MAX_SESSIONS)
            await self._close(tx, account.id, await queries.end_sessions(tx, account.id, surplus, now), now)
            await queries.forget_sessions(tx, account.id, now - rules.REFRESH_TTL)
        return begun

    async def tokens(self, account: AccountRow, session_id: UUID, refresh_token: str, at: datetime) -> Tokens:
        """Signs the access token. Called after the commit: a token of a session that does not exist would be worthless."""
        access = await self._signing.sign(
            {
                "sub": str(account.id),
                "sid": str(session_id),
                "iat": int(at.timestamp()),
                "exp": int((at + rules.ACCESS_TTL).timestamp()),
                "st": account.status.value,
                "adm": account.platform_admin,
            }
        )
        return Tokens(account.card, access, refresh_token, "Bearer", int(rules.ACCESS_TTL.total_seconds()))

    # --- refresh ---

    async def refresh(self, ctx: Context, refresh_token: str) -> Tokens:
        """New tokens for an unspent refresh token.

        Strict: a token that comes twice, were it at the same moment, ends its session, because of the two who had it one may
        be a thief. Clients refresh once and share the answer. Raises TokenReused, TokenInvalid.
        """
        now = self._clock.now()
        hashed = digest(refresh_token)
        async with self._db.tx(ctx.within(None)) as tx:
            found = await queries.token(tx, hashed, "refresh")
        if found is None:
            raise TokenInvalid
        renewed = await self._renew(acting(ctx, found.account_id), hashed, found, now)
        if renewed is None:
            raise TokenReused
        account, begun = renewed
        return await self.tokens(account, begun.session_id, begun.token, begun.at)

    async def _renew(
        self, ctx: Context, hashed: bytes, found: queries.TokenRow, now: datetime
    ) -> tuple[AccountRow, Begun] | None:
        """The account and the next token; None when the token was spent before, and the session has ended for it."""
        async with self._db.tx(ctx) as tx:
            account = await queries.hold_account(tx, found.account_id)
            # The session's lock orders refreshing and ending: no token is added to a session that has ended.
            session = await queries.lock_session(tx, found.account_id, found.session_id, now)
            if session is None or account.status.closed:
                raise TokenInvalid
            if not await queries.spend_token(tx, hashed, now):
                await self._close(tx, account.id, await queries.end_sessions(tx, account.id, [found.session_id], now), now)
                await note(tx, account.id, SecurityKind.TOKEN_REUSED, now)
                return None
            if found.expires_at <= now:
                raise TokenInvalid
            begun = Begun(session.id, new_token(), now, now + rules.REFRESH_TTL)
            await queries.insert_token(tx, digest(begun.token), "refresh", account.id, session.id, begun.expires_at)
            await queries.touch_session(
                tx, account.id, session.id, now, begun.expires_at, ctx.address[:MAX_ADDRESS_CHARS], ctx.agent[:MAX_AGENT_CHARS]
            )
        return account, begun

    # --- who is it ---

    async def visitor(self, ctx: Context, hashed: bytes) -> KnownSession | None:
        """The browser session of a cookie, by its digest. Notes its use, so that its owner sees which device is in use."""
        now = self._clock.now()
        async with self._db.read(ctx.within(None)) as tx:
            found = await queries.visitor(tx, hashed, now)
        if found is None or found.status.closed:
            return None
        noted = self._noted.get(found.session_id)
        if noted is None or now - noted >= rules.NOTE_USE_EVERY:
            remember(self._noted, found.session_id, now, NOTED_AT_ONCE)
            async with self._db.tx(acting(ctx, found.account_id)) as tx:
                await queries.note_use(tx, found.account_id, found.session_id, now, now - rules.NOTE_USE_EVERY)
        return found

    # --- list and end ---

    async def mine(self, ctx: Context, limit: int, cursor: str | None) -> Page[SessionRow]:
        """The person's live sessions, newest first."""
        me = person_of(ctx)
        after = SESSIONS.decode(cursor)
        async with self._db.read(acting(ctx, me)) as tx:
            rows = await queries.live_sessions(tx, me, self._clock.now(), after[0] if after else None, limit + 1)
        return SESSIONS.page(rows, limit, lambda row: (row.id,))

    async def end(self, ctx: Context, session_id: UUID) -> None:
        """Ends one of the person's own sessions. Raises NotFound."""
        me, now = person_of(ctx), self._clock.now()
        async with self._db.tx(acting(ctx, me)) as tx:
            ended = await queries.end_sessions(tx, me, [session_id], now)
            if not ended:
                raise NotFound
            await self._close(tx, me, ended, now)
            await note(tx, me, SecurityKind.SESSION_ENDED, now)

    async def end_all(self, ctx: Context) -> None:
        """Log out everywhere."""
        me, now = person_of(ctx), self._clock.now()
        async with self._db.tx(acting(ctx, me)) as tx:
            await self.end_others(tx, me, None, now)
            await note(tx, me, SecurityKind.LOGGED_OUT_EVERYWHERE, now)

    async def end_others(self, tx: Tx, account_id: UUID, but: UUID | None, now: datetime) -> None:
        """Ends every session of the account that the transaction is about, except `but`."""
        await self._close(tx, account_id, await queries.end_all_sessions(tx, account_id, now, but), now)

    async def log_out(self, ctx: Context, token: str, kind: SessionKind) -> None:
        """Ends the session of a refresh token or cookie. One that is unknown has nothing to end."""
        now = self._clock.now()
        async with self._db.tx(ctx.within(None)) as tx:
            found = await queries.token(tx, digest(token), "refresh" if kind is SessionKind.TOKEN else "browser")
        if found is None:
            return
        async with self._db.tx(acting(ctx, found.account_id)) as tx:
            ended = await queries.end_sessions(tx, found.account_id, [found.session_id], now)
            await self._close(tx, found.account_id, ended, now)

    async def _close(self, tx: Tx, account_id: UUID, ended: list[UUID], now: datetime) -> None:
        """What follows from sessions having ended: no token of theirs works, in any process, within seconds."""
        if not ended:
            return
        await queries.drop_tokens(tx, account_id, ended)
        await queries.revoke(tx, ended, now)
        for session_id in ended:
            emit(tx, SessionEnded(account_id=account_id, session_id=session_id))

    # --- security events ---

    async def security_events(self, ctx: Context, limit: int, cursor: str | None) -> Page[SecurityRow]:
        """What happened to the person's account, newest first."""
        me = person_of(ctx)
        after = SECURITY_EVENTS.decode(cursor)
        async with self._db.read(acting(ctx, me)) as tx:
            rows = await queries.security_events(tx, me, after[0] if after else None, limit + 1)
        return SECURITY_EVENTS.page(rows, limit, lambda row: (row.id,))

    async def all_security_events(
        self, ctx: Context, wanted: SecurityWanted, limit: int, cursor: str | None
    ) -> Page[AdminSecurityRow]:
        """What happened to anybody's account, newest first. To all but platform admins there is nothing but their own."""
        me = person_of(ctx)
        after = ALL_SECURITY_EVENTS.decode(cursor)
        async with self._db.read(acting(ctx, me)) as tx:
            rows = await queries.all_security_events(tx, wanted, after, limit + 1)
        return ALL_SECURITY_EVENTS.page(rows, limit, lambda row: (row.at, row.id))

    async def tidy(self, ctx: Context) -> None:
        """Removes what can no longer matter: dead tokens, old codes, counters whose window is over, sessions that are long over,
        events of a year ago."""
        now = self._clock.now()
        async with self._db.tx(ctx.within(None)) as tx:
            await phones.forget_codes(tx, now)
            await queries.forget(tx, now, now - 2 * rules.REVOCATIONS_KEPT)
        await self._in_portions(ctx, queries.forget_old_sessions, now - rules.SESSIONS_KEPT)
        await self._in_portions(ctx, queries.forget_security_events, now - rules.SECURITY_EVENTS_KEPT)

    async def _in_portions(self, ctx: Context, forget: Callable[[Tx, datetime, int], Awaitable[int]], before: datetime) -> None:
        """Each portion in a transaction of its own, and not more of them than a run has time for."""
        for _ in range(PORTIONS_A_RUN):
            async with self._db.tx(ctx.within(None)) as tx:
                if await forget(tx, before, FORGOTTEN_AT_ONCE) < FORGOTTEN_AT_ONCE:
                    return


def known_session(account: AccountRow, begun: Begun) -> KnownSession:
    return KnownSession(
        begun.session_id, account.id, account.name, account.email, account.status, account.platform_admin, begun.expires_at
    )


__all__ = ["AccountStatus", "Begun", "SessionKind", "Sessions", "Tokens", "acting", "known_session", "note", "person_of"]
