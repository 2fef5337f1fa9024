"""Who is at the door: access tokens, API keys and browser sessions become an `Actor`.

A token's signature is checked once and remembered until it expires; whether it is still valid is asked of memory at every
request. Each process reads revocations every two seconds (and at once when told), so that suspension, log-out and theft act
everywhere within five. When the source of revocations is silent for longer than that, remembered tokens stop counting.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
from collections import OrderedDict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

import structlog
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet as JoseKeySet

from forecourt.kernel.clock import Clock, SystemClock
from forecourt.kernel.context import ANONYMOUS, Actor, ActorKind, Context, service_context
from forecourt.kernel.errors import DeadlineExceeded, Forbidden, Misconfigured, Problem, Unauthenticated, Unavailable
from forecourt.kernel.memory import remember
from forecourt.kernel.reach import Bounds, Reach

log = structlog.get_logger("forecourt.gate")

POLL_S = 2.0
SILENCE_S = 5.0
OVERLAP_S = 75
"""So far back each look at revocations begins before the last one. A revocation bears the time at which its transaction was asked
for: that may have waited for a connection (5 s), and is committed within the minute that a transaction may take, or never."""
ASK_FOR_KEYS_S = 1.0
"""A token that names an unknown key makes the gate read them, at most so often."""
KEYS_KEPT_S = 300.0
"""Keys are published a day before they sign. Read again so often, a key is known before its first token comes, and one that was
taken away stops counting."""
MANY, FORGOTTEN_S = 10_000, 3600.0
"""Of more ended sessions and changed accounts than this, those of an hour ago are forgotten: their tokens are dead by then, and
what stays open was told."""
KNOWN_TOKENS = 20_000
KNOWN_KEYS = 5_000
KEY_TTL_S = 2.0
STAFF_TTL_S = 2.0
MAX_TOKEN_CHARS = 4096
MAX_HEAD_CHARS = 512
"""Ours have a hundred. What is read before the signature is checked is short, so that it cannot be deep."""
ISSUER = "forecourt"
"""Who signs access tokens: the installation, whatever address people reach it by. Which installation it is, its keys tell."""
AUDIENCE = "forecourt"


class TokenExpired(Unauthenticated):
    code = "token_expired"
    title = "The access token has expired"


class TokenRefused(Unauthenticated):
    code = "token_refused"
    title = "The access token is not valid"


class KeyOutOfReach(Unauthenticated):
    code = "key_out_of_reach"
    title = "This API key does not count from this network or at this hour"


class OutOfReach(Forbidden):
    code = "out_of_reach"
    title = "Your role here does not count from this network or at this hour"


class AccountClosed(Problem):
    status, code, title = 403, "account_suspended", "This account is suspended"


# --- what the gate needs of whoever keeps accounts; identity's contract has these methods and these fields ---------------


class _Keys(Protocol):
    @property
    def keys(self) -> list[dict[str, str]]: ...


class _Change(Protocol):
    @property
    def account_id(self) -> UUID: ...
    @property
    def status(self) -> str: ...
    @property
    def revoked_before(self) -> datetime | None: ...


class _Ended(Protocol):
    @property
    def session_id(self) -> UUID: ...


class _Revocations(Protocol):
    @property
    def changes(self) -> Sequence[_Change]: ...
    @property
    def sessions(self) -> Sequence[_Ended]: ...
    @property
    def as_of(self) -> datetime: ...
    @property
    def more(self) -> bool: ...


class _Key(Protocol):
    @property
    def id(self) -> UUID: ...
    @property
    def organisation_id(self) -> UUID: ...
    @property
    def permissions(self) -> list[str]: ...
    @property
    def expires_at(self) -> datetime | None: ...
    @property
    def limited_to(self) -> Reach: ...


class _Standing(Protocol):
    @property
    def permissions(self) -> list[str]: ...
    @property
    def limited_to(self) -> list[Reach]: ...


class KnownVisitor(Protocol):
    """A browser session that is alive."""

    @property
    def session_id(self) -> UUID: ...
    @property
    def account_id(self) -> UUID: ...
    @property
    def name(self) -> str: ...
    @property
    def email(self) -> str: ...
    @property
    def status(self) -> str: ...
    @property
    def platform_admin(self) -> bool: ...
    @property
    def expires_at(self) -> datetime: ...
    @property
    def erase_at(self) -> datetime | None: ...


class Doorkeeper(Protocol):
    """Answers the gate's questions; `identity.contract.Identity` is one."""

    async def key_set(self, ctx: Context) -> _Keys: ...
    async def revocations(self, ctx: Context, since: datetime | None) -> _Revocations: ...
    async def api_key(self, ctx: Context, hashed: bytes) -> _Key | None: ...
    async def session(self, ctx: Context, hashed: bytes) -> KnownVisitor | None: ...
    async def standing(self, ctx: Context, account_id: UUID, organisation_id: UUID) -> _Standing | None: ...
    async def status(self, ctx: Context, account_id: UUID) -> str: ...


class Pass:
    """Somebody who was let in, from `issued` until `expires` (seconds since the epoch). `Gate.admit` says if it still counts."""

    __slots__ = ("actor", "expires", "issued")

    def __init__(self, actor: Actor, issued: float, expires: float) -> None:
        self.actor = actor
        self.issued = issued
        self.expires = expires


class Gate:
    """The door of one process. Call `start` before serving and `stop` after."""

    def __init__(self, identity: Doorkeeper, clock: Clock | None = None) -> None:
        """`clock` decides what has expired and whether the hours have come that a role or key is limited to; that of the system
        without one."""
        self._clock = clock or SystemClock()
        self._identity = identity
        self._ctx = service_context("gate")
        self._tokens: OrderedDict[str, Pass] = OrderedDict()
        self._keys: JoseKeySet | None = None
        self._keys_read = self._asked_keys = 0.0
        self._key_ids: frozenset[str] = frozenset()
        self._ended: dict[UUID, float] = {}
        self._revoked_before: dict[UUID, float] = {}
        self._status: dict[UUID, str] = {}
        self._changed: dict[UUID, float] = {}
        """When the two above heard of an account."""
        self._api_keys: OrderedDict[bytes, tuple[float, _Key | None, tuple[Bounds, ...]]] = OrderedDict()
        self._staff: OrderedDict[tuple[UUID, UUID], tuple[float, frozenset[str] | None, tuple[Bounds, ...]]] = OrderedDict()
        self._visitors: OrderedDict[bytes, tuple[float, KnownVisitor | None]] = OrderedDict()
        self._as_of: datetime | None = None
        self._heard = 0.0
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Raises what the source raises, but for its silence: it may live in another process that starts after this one. Until
        it answers, tokens and sessions are answered with 503."""
        try:
            await self.refresh()
        except Misconfigured:
            raise
        except (Unavailable, DeadlineExceeded) as e:
            log.warning("accounts_unreached", error=type(e).__name__)
        self._task = asyncio.create_task(self._listen(), name="gate")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def look_again(self) -> None:
        """Something changed about accounts, keys or staff: forget what is remembered and ask at once."""
        self._staff.clear()
        self._api_keys.clear()
        self._visitors.clear()
        self._wake.set()

    async def _listen(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), POLL_S)
            self._wake.clear()
            try:
                await self.refresh()
            except Exception as e:
                log.warning("revocations_unread", error=type(e).__name__)

    async def refresh(self) -> None:
        """Reads keys and revocations, to the last of them: after an hour in which many ended they come in portions."""
        began = time.monotonic()
        since = None if self._as_of is None else self._as_of - timedelta(seconds=OVERLAP_S)
        news = await self._identity.revocations(self._ctx, since)
        self._hear(news)
        while news.more:
            news = await self._identity.revocations(self._ctx, news.as_of)
            self._hear(news)
        if self._keys is None:
            await self._read_keys()
        self._heard = began
        if began - self._keys_read >= KEYS_KEPT_S:
            await self._read_keys()

    def _hear(self, news: _Revocations) -> None:
        now = self._now_s()
        for change in news.changes:
            self._status[change.account_id] = change.status
            self._changed[change.account_id] = now
            if change.revoked_before is not None:
                self._revoked_before[change.account_id] = change.revoked_before.timestamp()
        for ended in news.sessions:
            self._ended[ended.session_id] = now
        if news.changes or news.sessions:
            self._visitors.clear()
        if len(self._ended) > MANY:
            self._ended = {k: at for k, at in self._ended.items() if now - at < FORGOTTEN_S}
        if len(self._changed) > MANY:
            self._changed = {k: at for k, at in self._changed.items() if now - at < FORGOTTEN_S}
            self._status = {k: status for k, status in self._status.items() if k in self._changed}
            self._revoked_before = {k: before for k, before in self._revoked_before.items() if k in self._changed}
        self._as_of = news.as_of

    async def _read_keys(self) -> None:
        began = time.monotonic()
        found = await self._identity.key_set(self._ctx)
        self._keys = JoseKeySet.import_key_set({"keys": [dict(k) for k in found.keys]})
        self._key_ids = frozenset(k["kid"] for k in found.keys)
        self._keys_read = began

    # --- access tokens ---

    async def by_token(self, token: str) -> Actor:
        """The person of an access token. Raises TokenRefused, TokenExpired, AccountClosed."""
        known = self._tokens.get(token)
        if known is None:
            known = await self._verify(token)
            remember(self._tokens, token, known, KNOWN_TOKENS)
        if self._now_s() >= known.expires:
            self._tokens.pop(token, None)
            raise TokenExpired
        return await self._alive(known)

    # --- what stays open: a socket is let in once, and asked about as long as it lives ---

    async def pass_of_token(self, token: str) -> Pass:
        """What an access token gives. Raises TokenRefused, TokenExpired, AccountClosed."""
        held = await self._verify(token)
        self._refuse_closed(held)
        await self._alive(held)
        return held

    async def pass_of_session(self, cookie: str) -> Pass:
        """What a browser's session gives. Raises TokenRefused."""
        known = await self.by_session(cookie)
        if known is None:
            raise TokenRefused
        actor = Actor(
            kind=ActorKind.PERSON,
            account_id=known.account_id,
            session_id=known.session_id,
            confirmed=str(known.status) == "active",
            platform_admin=known.platform_admin,
        )
        return Pass(actor, self._now_s(), known.expires_at.timestamp())

    async def admit(self, held: Pass) -> Actor:
        """Who holds a pass, as of now. Raises TokenRefused, TokenExpired, AccountClosed, Unavailable."""
        if self._now_s() >= held.expires:
            raise TokenExpired
        self._refuse_closed(held)
        return await self._alive(held)

    def _refuse_closed(self, held: Pass) -> None:
        # Suspension ends the sessions too; to a socket the suspension is the reason.
        account = held.actor.account_id
        if account is not None and self._status.get(account) in ("suspended", "banned"):
            raise AccountClosed

    def doubts(self, held: Pass) -> bool:
        """Whether something was heard that may end this pass: then `admit` says. Costs nothing, unlike that."""
        actor = held.actor
        account = actor.account_id
        before = None if account is None else self._revoked_before.get(account)
        return (
            account is None
            or actor.session_id in self._ended
            or self._status.get(account) in ("suspended", "banned")
            or (before is not None and held.issued < before)
        )

    @property
    def silent_s(self) -> float:
        """For how long nobody could say which accounts, sessions and tokens have ended."""
        return time.monotonic() - self._heard

    async def _alive(self, token: Pass) -> Actor:
        if time.monotonic() - self._heard > SILENCE_S:
            try:
                await asyncio.wait_for(self.refresh(), 2)
            except Exception as e:
                raise Unavailable("accounts cannot be checked right now") from e
        actor = token.actor
        account = actor.account_id
        if account is None or actor.session_id in self._ended:
            raise TokenRefused
        before = self._revoked_before.get(account)
        if before is not None and token.issued < before:
            raise TokenRefused
        status = self._status.get(account)
        if status is not None or not actor.confirmed:
            if status is None or (status == "unconfirmed"):
                # A token made before the address was verified stays useful: few accounts are in this state, so ask.
                status = str(await self._identity.status(self._ctx, account))
            if status in ("suspended", "banned"):
                raise AccountClosed
            if status == "erased":
                raise TokenRefused
            if (status == "active") != actor.confirmed:
                token.actor = actor = Actor(
                    kind=ActorKind.PERSON,
                    account_id=account,
                    session_id=actor.session_id,
                    confirmed=status == "active",
                    platform_admin=actor.platform_admin,
                )
        return actor

    async def _verify(self, token: str) -> Pass:
        if len(token) > MAX_TOKEN_CHARS or len(token.partition(".")[0]) > MAX_HEAD_CHARS:
            raise TokenRefused
        claims = await self._claims(token)
        try:
            issued, expires = float(claims["iat"]), float(claims["exp"])
            if claims["iss"] != ISSUER or claims["aud"] != AUDIENCE or issued > self._now_s() + 60:
                raise TokenRefused
            actor = Actor(
                kind=ActorKind.PERSON,
                account_id=UUID(claims["sub"]),
                session_id=UUID(claims["sid"]),
                confirmed=claims["st"] == "active",
                platform_admin=claims.get("adm") is True,
            )
        except (KeyError, ValueError, TypeError, AttributeError):
            raise TokenRefused from None
        if self._now_s() >= expires:
            raise TokenExpired
        return Pass(actor, issued, expires)

    async def _claims(self, token: str) -> dict[str, Any]:
        keys = self._keys
        if keys is None:
            await self._read_keys()
            keys = self._keys
        assert keys is not None  # noqa: S101 - read above
        try:
            return jwt.decode(token, keys, algorithms=["ES256"]).claims
        except (JoseError, ValueError, KeyError, TypeError):
            pass
        # Perhaps signed by a key made a moment ago: read the keys again, once, if the header names one we do not know.
        if not self._names_new_key(token):
            raise TokenRefused
        await self._read_keys()
        try:
            return jwt.decode(token, self._keys, algorithms=["ES256"]).claims  # type: ignore[arg-type]
        except (JoseError, ValueError, KeyError, TypeError):
            raise TokenRefused from None

    def _names_new_key(self, token: str) -> bool:
        import base64
        import json

        head = token.split(".", 1)[0]
        try:
            kid = json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4))).get("kid")
        except (ValueError, AttributeError):
            return False
        if not isinstance(kid, str) or kid in self._key_ids or time.monotonic() - self._heard > SILENCE_S:
            return False
        # Only what is asked counts: else whoever invents keys faster than that keeps a new one from ever being read.
        now = time.monotonic()
        if now - self._asked_keys <= ASK_FOR_KEYS_S:
            return False
        self._asked_keys = now
        return True

    # --- keys, browsers, staff ---

    async def by_api_key(self, key: str, address: str = "") -> tuple[Actor, frozenset[str]]:
        """The key's actor and its permissions in its organisation, for a request from `address` at this moment.

        Raises TokenRefused, KeyOutOfReach.
        """
        hashed = hashlib.sha256(key.encode()).digest()
        now = time.monotonic()
        hit = self._api_keys.get(hashed)
        if hit is None or hit[0] < now:
            known = await self._identity.api_key(self._ctx, hashed)
            hit = (now + KEY_TTL_S, known, () if known is None else _bounds([known.limited_to]))
            remember(self._api_keys, hashed, hit, KNOWN_KEYS)
        found = hit[1]
        if found is None or (found.expires_at is not None and found.expires_at <= self._clock.now()):
            raise TokenRefused
        if not self._within(hit[2], address):
            raise KeyOutOfReach
        scopes = frozenset(found.permissions)
        actor = Actor(
            kind=ActorKind.API_KEY, key_id=found.id, key_organisation_id=found.organisation_id, scopes=scopes, confirmed=True
        )
        return actor, scopes

    async def by_session(self, cookie: str) -> KnownVisitor | None:
        """The visitor of a session cookie; None when it has ended or never was."""
        if not cookie or len(cookie) > 200:
            return None
        hashed = hashlib.sha256(cookie.encode()).digest()
        now = time.monotonic()
        hit = self._visitors.get(hashed)
        if hit is None or hit[0] < now:
            visitor = await self._identity.session(self._ctx, hashed)
            # Who waits for the code is asked about each time: the page after the code must know that it was right.
            waits = visitor is not None and str(visitor.status) == "unconfirmed"
            hit = (now if waits else now + KEY_TTL_S, visitor)
            remember(self._visitors, hashed, hit, KNOWN_KEYS)
        found = hit[1]
        if found is None or found.expires_at <= self._clock.now() or found.session_id in self._ended:
            return None
        if str(found.status) in ("suspended", "banned", "erased"):
            return None
        return found

    async def permissions(self, actor: Actor, organisation_id: UUID, address: str = "") -> frozenset[str] | None:
        """What `actor` may do as staff (or key) of the organisation, from `address` and at this moment; None when it is neither.

        What is remembered is judged at every request: somebody may have gone home since. Raises OutOfReach.
        """
        if actor.kind is ActorKind.API_KEY:
            return actor.scopes if actor.key_organisation_id == organisation_id else None
        account = actor.account_id
        if account is None:
            return None
        now = time.monotonic()
        key = (account, organisation_id)
        hit = self._staff.get(key)
        if hit is None or hit[0] < now:
            found = await self._identity.standing(self._ctx, account, organisation_id)
            if found is None:
                hit = (now + STAFF_TTL_S, None, ())
            else:
                hit = (now + STAFF_TTL_S, frozenset(found.permissions), _bounds(found.limited_to))
            remember(self._staff, key, hit, KNOWN_TOKENS)
        if not self._within(hit[2], address):
            raise OutOfReach
        return hit[1]

    def _now_s(self) -> float:
        return self._clock.now().timestamp()

    def _within(self, bounds: tuple[Bounds, ...], address: str) -> bool:
        return not bounds or all(bound.admit(address, self._clock.now()) for bound in bounds)


def _bounds(reaches: Sequence[Reach]) -> tuple[Bounds, ...]:
    return tuple(Bounds(reach) for reach in reaches if reach.limited)


__all__ = [
    "ANONYMOUS",
    "AUDIENCE",
    "ISSUER",
    "AccountClosed",
    "Doorkeeper",
    "Gate",
    "KeyOutOfReach",
    "KnownVisitor",
    "OutOfReach",
    "Pass",
    "TokenExpired",
    "TokenRefused",
]
