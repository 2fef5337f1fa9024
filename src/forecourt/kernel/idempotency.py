"""`Idempotency-Key`: one effect and one answer, however often a request is sent.

A claim is a lease on `(account, key)` with an `effect_id`: the id that the thing being made shall have. A process that dies
leaves the lease to run out; the retry takes over with the *same* effect id and so finds its own half-done work. The answer is
kept for 24 hours and replayed. A failure on our side gives the lease back at once and keeps the effect id; when it is the
database that failed, the lease is given back as soon as it answers again. Keys that ran out are cleared by the kernel's
housekeeping (`jobs.Housekeeper`), every hour.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from datetime import datetime, timedelta
from uuid import UUID

import msgspec
import structlog

from forecourt.kernel.clock import Clock
from forecourt.kernel.context import Actor, ActorKind, Context
from forecourt.kernel.db import Database, ModuleDatabase, Query, Statement, to_json
from forecourt.kernel.errors import Conflict, Invalid
from forecourt.kernel.ids import new_id

log = structlog.get_logger("forecourt.idempotency")

LEASE_S = 60
AT_ONCE_S = 1.0
"""How long whoever asked waits for a lease to be given back; after that it is done aside."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 2.0
OWED = 10_000
"""Leases given back aside at the same time, at most; beyond it they run out by themselves."""
KEEP_H = 24
MAX_KEY_CHARS = 255
MAX_STORED_BYTES = 1024 * 1024

NOBODY = UUID(int=0)
"""Stands for the account when nobody is signed in."""


class IdempotencyMismatch(Invalid):
    code = "idempotency_mismatch"
    title = "That Idempotency-Key belongs to another request"


class IdempotencyInFlight(Conflict):
    code = "idempotency_in_flight"
    title = "The first request with that Idempotency-Key is still running"
    passes_in_s = 1


class Fresh(msgspec.Struct, frozen=True):
    """This caller does the work until `until`. What it makes gets `effect_id`; on a take-over it may already exist."""

    effect_id: UUID
    until: datetime


class Replay(msgspec.Struct, frozen=True):
    """The work is done; this was the answer."""

    status: int
    headers: dict[str, str]
    body: bytes


class _Found(msgspec.Struct, frozen=True):
    claimed: bool
    effect_id: UUID
    fingerprint: bytes
    state: str
    status: int | None
    headers: dict[str, str] | None
    body: bytes | None


# The insert decides; the second half reads what stood in its way. Both see one snapshot, so a row written in that very moment
# appears in neither, and a row that ran out is not read: then the statement gives nothing and is run again.
_CLAIM = Query(
    _Found,
    """
    with claimed as (
        insert into kernel.idempotency as i
            (account_id, key, fingerprint, effect_id, state, locked_until, expires_at)
        values ($1, $2, $3, $4, 'working', $6, $7)
        on conflict (account_id, key) do update
            set fingerprint = excluded.fingerprint,
                effect_id = case when i.expires_at <= $5 then excluded.effect_id else i.effect_id end,
                state = 'working', status = null, headers = null, body = null,
                locked_until = excluded.locked_until,
                expires_at = excluded.expires_at
            where i.expires_at <= $5
               or (i.state = 'working' and i.locked_until <= $5 and i.fingerprint = excluded.fingerprint)
        returning i.effect_id, i.fingerprint
    )
    select true as claimed, c.effect_id, c.fingerprint, 'working' as state,
           null::int as status, null::jsonb as headers, null::bytea as body
      from claimed c
    union all
    select false, i.effect_id, i.fingerprint, i.state, i.status, i.headers, i.body
      from kernel.idempotency i
     where i.account_id = $1 and i.key = $2 and i.expires_at > $5
       and not exists (select 1 from claimed)
    """,
)

_KEEP = Statement(
    """
    update kernel.idempotency
       set state = 'done', status = $3, headers = $4, body = $5
     where account_id = $1 and key = $2 and state = 'working'
    """
)

# `locked_until` says whose lease it is: one that ran out may have been taken over, and must not be given back for another.
_LET_GO = Statement(
    """
    update kernel.idempotency set locked_until = $4
     where account_id = $1 and key = $2 and state = 'working' and locked_until = $3
    """
)


_FORGET = Statement(
    """
    delete from kernel.idempotency
     where account_id = $1 and key = any(array(select i.key from kernel.idempotency i where i.account_id = $1 limit $2))
    """
)
FORGOTTEN_AT_ONCE = 500


async def forget_answers(database: Database, account_id: UUID) -> None:
    """Removes every key of a person whose account is erased, and what was answered under it."""
    them = Context(actor=Actor(kind=ActorKind.SERVICE, account_id=account_id))
    gone = FORGOTTEN_AT_ONCE
    while gone == FORGOTTEN_AT_ONCE:
        async with database.module("kernel").tx(them) as tx:
            gone = await tx.run(_FORGET, account_id, FORGOTTEN_AT_ONCE)


class Idempotency:
    """The keys of every account. `database` is the kernel's (`db.module("kernel")`)."""

    def __init__(self, database: ModuleDatabase, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._owed: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Leaves the leases that could not be given back to run out."""
        for task in self._owed:
            task.cancel()
        await asyncio.gather(*self._owed, return_exceptions=True)

    async def claim(self, ctx: Context, key: str, fingerprint: bytes) -> Fresh | Replay:
        """Either the right to do the work, for LEASE_S, or the answer it had.

        `fingerprint` is a digest of method, path and body. Raises IdempotencyMismatch when the key was used for another
        request and IdempotencyInFlight while the first one runs.
        """
        if not 1 <= len(key) <= MAX_KEY_CHARS or "\x00" in key:
            raise Invalid.field("Idempotency-Key", f"has 1 to {MAX_KEY_CHARS} characters")
        owner = _owner(ctx)
        effect_id = new_id()
        for _ in range(2):
            now = self._clock.now()
            until = now + timedelta(seconds=LEASE_S)
            try:
                async with self._database.tx(_about(owner, ctx)) as tx:
                    found = await tx.maybe(_CLAIM, owner, key, fingerprint, effect_id, now, until, now + timedelta(hours=KEEP_H))
            except BaseException:
                self._owe(ctx, key, until)  # nobody knows whether it was committed
                raise
            if found is not None:
                return _answer(found, fingerprint, until)
        raise IdempotencyInFlight

    async def keep(self, ctx: Context, key: str, status: int, headers: dict[str, str], body: bytes) -> None:
        """Stores the answer for every retry of the next KEEP_H. The first answer kept stays."""
        if len(body) > MAX_STORED_BYTES:
            raise ValueError("an answer that is replayed is at most 1 MiB")
        owner = _owner(ctx)
        async with self._database.tx(_about(owner, ctx)) as tx:
            await tx.run(_KEEP, owner, key, status, to_json(headers), body)

    async def forget(self, ctx: Context, key: str, claim: Fresh) -> None:
        """Gives the lease back after a failure on our side, so that a retry may run now. Does not raise: when the database does
        not answer, it is asked again, aside, for as long as the lease would last.

        The effect id stays: the failed attempt may have committed part of its work, and the retry has to find it.
        """
        try:
            async with asyncio.timeout(AT_ONCE_S):
                await self._let_go(ctx, key, claim.until)
        except Exception:
            self._owe(ctx, key, claim.until)
        except BaseException:
            self._owe(ctx, key, claim.until)
            raise

    def _owe(self, ctx: Context, key: str, until: datetime) -> None:
        if len(self._owed) < OWED:
            task = asyncio.get_running_loop().create_task(self._let_go_in_time(ctx, key, until))
            self._owed.add(task)
            task.add_done_callback(self._owed.discard)

    async def _let_go_in_time(self, ctx: Context, key: str, until: datetime) -> None:
        began, pause_s = time.monotonic(), FIRST_PAUSE_S
        while time.monotonic() - began < LEASE_S:
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            with contextlib.suppress(Exception):
                await self._let_go(ctx, key, until)
                return
        log.warning("lease_not_given_back", after_s=LEASE_S)

    async def _let_go(self, ctx: Context, key: str, until: datetime) -> None:
        owner = _owner(ctx)
        async with self._database.tx(_about(owner, ctx)) as tx:
            await tx.run(_LET_GO, owner, key, until, self._clock.now())


def _answer(found: _Found, fingerprint: bytes, until: datetime) -> Fresh | Replay:
    if found.claimed:
        return Fresh(found.effect_id, until)
    if found.fingerprint != fingerprint:
        raise IdempotencyMismatch
    if found.state != "done" or found.status is None:
        raise IdempotencyInFlight
    return Replay(found.status, found.headers or {}, found.body or b"")


def _owner(ctx: Context) -> UUID:
    """Whose key it is. An API key is an owner of its own: organisations must not meet in one name space."""
    return ctx.actor.account_id or ctx.actor.key_id or NOBODY


def _about(owner: UUID, ctx: Context) -> Context:
    # Row security shows the rows of `forecourt.account`; for an API key and for nobody that is the owner as well.
    return Context(actor=Actor(kind=ActorKind.SERVICE, account_id=owner), trace_id=ctx.trace_id)
