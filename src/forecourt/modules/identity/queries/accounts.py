"""SQL about accounts, sessions, tokens, codes, counters and signing keys."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from msgspec import Struct

from forecourt.kernel.db import Query, Statement, Tx
from forecourt.modules.identity.contract import (
    AccountCard,
    AccountChange,
    AccountStatus,
    KnownSession,
    RevokedSession,
    SecurityKind,
)

# --- accounts --------------------------------------------------------------------------------------------------------


class AccountRow(Struct, frozen=True):
    id: UUID
    email: str
    name: str
    status: AccountStatus
    platform_admin: bool
    password_hash: str | None

    @property
    def called(self) -> str:
        """How mails address them; empty until they have shown that the address is theirs."""
        return "" if self.status is AccountStatus.UNCONFIRMED else self.name

    @property
    def card(self) -> AccountCard:
        return AccountCard(self.id, self.name, self.email, self.status)


class OneselfRow(Struct, frozen=True):
    """An account as its owner sees it. `waiting`: a number that waits for its code; `places`: where they are staff."""

    id: UUID
    name: str
    email: str
    status: AccountStatus
    verified: str | None
    waiting: str | None
    places: list[UUID]
    erase_at: datetime | None

    @property
    def card(self) -> AccountCard:
        return AccountCard(self.id, self.name, self.email, self.status)


class AdminRow(Struct, frozen=True):
    """An account as platform admins see it."""

    id: UUID
    email: str
    name: str
    status: AccountStatus
    status_reason: str
    platform_admin: bool
    created_at: datetime


INSERT_ACCOUNT = Statement(
    "insert into identity.account (id, email, email_key, name, password_hash, created_at)"
    " values ($1, $2, $3, $4, $5, $6) on conflict (email_key) do nothing"
)
ACCOUNT_BY_KEY = Query(
    AccountRow,
    "select id, email, name, status, platform_admin, password_hash from identity.account"
    " where email_key = $1 and status <> 'erased'",
)
ACCOUNT = Query(AccountRow, "select id, email, name, status, platform_admin, password_hash from identity.account where id = $1")
# Asked for by every page and app: one question. Row security shows the person's own numbers and places.
ONESELF = Query(
    OneselfRow,
    "select a.id, a.name, a.email, a.status, p.number, c.number,"
    " array(select s.organisation_id from identity.staff s where s.account_id = a.id order by s.organisation_id limit 100),"
    " a.erase_at from identity.account a left join identity.phone p on p.account_id = a.id"
    " left join identity.phone_challenge c on c.account_id = a.id and c.expires_at > $2"
    " where a.id = $1",
)
# Held while a session begins, so that a suspension either comes first and is seen, or comes after and ends the session.
HOLD_ACCOUNT = Query(
    AccountRow,
    "select id, email, name, status, platform_admin, password_hash from identity.account where id = $1 for share",
)
LOCK_ACCOUNT = Query(
    AccountRow,
    "select id, email, name, status, platform_admin, password_hash from identity.account where id = $1 for update",
)
CARDS = Query(
    AccountCard,
    "select id, name, email, status from identity.account where id = any($1::uuid[]) and status <> 'erased' limit 200",
)
SET_PASSWORD = Statement("update identity.account set password_hash = $2 where id = $1")
REHASH = Statement("update identity.account set password_hash = $3 where id = $1 and password_hash = $2")
SET_STATUS = Statement(
    "update identity.account set status = $2, status_reason = $3, changed_at = $4,"
    " revoked_before = case when $5 then $4 else revoked_before end where id = $1"
)
SET_ADMIN = Statement("update identity.account set platform_admin = true, changed_at = $2 where id = $1")
# With ties: whoever goes on from the last moment of a portion leaves nothing of that moment out.
CHANGES = Query(
    AccountChange,
    "select id, changed_at, status, revoked_before from identity.account where changed_at > $1"
    " order by changed_at fetch first ($2::int) rows with ties",
)
ADMIN_LIST = Query(
    AdminRow,
    "select id, email, name, status, status_reason, platform_admin, created_at from identity.account"
    " where ($1::text is null or strpos(email_key, $1) > 0 or strpos(lower(name), $1) > 0)"
    " and ($2::text is null or status = $2)"
    " and ($3::uuid is null or id < $3) order by id desc limit $4",
)
ADMIN_ONE = Query(
    AdminRow,
    "select id, email, name, status, status_reason, platform_admin, created_at from identity.account where id = $1",
)


async def insert_account(tx: Tx, id: UUID, email: str, key: str, name: str, password_hash: str, at: datetime) -> bool:
    """False when the address has an account."""
    return await tx.run(INSERT_ACCOUNT, id, email, key, name, password_hash, at) == 1


async def account_by_key(tx: Tx, key: str) -> AccountRow | None:
    return await tx.maybe(ACCOUNT_BY_KEY, key)


async def account(tx: Tx, id: UUID) -> AccountRow:
    return await tx.one(ACCOUNT, id)


async def oneself(tx: Tx, id: UUID, now: datetime) -> OneselfRow:
    return await tx.one(ONESELF, id, now)


async def hold_account(tx: Tx, id: UUID) -> AccountRow:
    return await tx.one(HOLD_ACCOUNT, id)


async def lock_account(tx: Tx, id: UUID) -> AccountRow:
    return await tx.one(LOCK_ACCOUNT, id)


async def cards(tx: Tx, ids: list[UUID]) -> list[AccountCard]:
    return await tx.all(CARDS, ids)


async def set_password(tx: Tx, id: UUID, password_hash: str) -> None:
    await tx.run(SET_PASSWORD, id, password_hash)


async def rehash(tx: Tx, id: UUID, before: str, after: str) -> bool:
    """False when the hash is no longer `before`."""
    return await tx.run(REHASH, id, before, after) == 1


async def set_status(tx: Tx, id: UUID, status: AccountStatus, reason: str, at: datetime, *, tokens_die: bool) -> None:
    await tx.run(SET_STATUS, id, status.value, reason, at, tokens_die)


async def make_admin(tx: Tx, id: UUID, at: datetime) -> None:
    await tx.run(SET_ADMIN, id, at)


async def changes(tx: Tx, since: datetime, limit: int) -> list[AccountChange]:
    """The first `limit` after `since`, and whatever else happened at the moment of the last."""
    return await tx.all(CHANGES, since, limit)


async def admin_list(tx: Tx, part: str | None, status: AccountStatus | None, after: UUID | None, limit: int) -> list[AdminRow]:
    return await tx.all(ADMIN_LIST, part, None if status is None else status.value, after, limit)


async def admin_one(tx: Tx, id: UUID) -> AdminRow:
    return await tx.one(ADMIN_ONE, id)


# --- sessions and tokens ---------------------------------------------------------------------------------------------


class TokenRow(Struct, frozen=True):
    account_id: UUID
    session_id: UUID
    expires_at: datetime
    spent_at: datetime | None


class SessionRow(Struct, frozen=True):
    id: UUID
    kind: str
    address: str
    agent: str
    created_at: datetime
    used_at: datetime
    expires_at: datetime


class Devices(Struct, frozen=True):
    """How many sessions the account ever had (as far as they are kept), and how many with this agent."""

    all: int
    same: int


INSERT_SESSION = Statement(
    "insert into identity.session (account_id, id, kind, address, agent, created_at, used_at, expires_at)"
    " values ($1, $2, $3, $4, $5, $6, $6, $7)"
)
INSERT_TOKEN = Statement(
    "insert into identity.token (hash, kind, account_id, session_id, expires_at) values ($1, $2, $3, $4, $5)"
)
TOKEN = Query(TokenRow, "select account_id, session_id, expires_at, spent_at from identity.token where hash = $1 and kind = $2")
SPEND_TOKEN = Statement("update identity.token set spent_at = $2 where hash = $1 and spent_at is null")
LOCK_SESSION = Query(
    SessionRow,
    "select id, kind, address, agent, created_at, used_at, expires_at from identity.session"
    " where account_id = $1 and id = $2 and ended_at is null and expires_at > $3 for update",
)
TOUCH_SESSION = Statement(
    "update identity.session set used_at = $3, expires_at = $4, address = $5, agent = $6 where account_id = $1 and id = $2"
)
NOTE_USE = Statement("update identity.session set used_at = $3 where account_id = $1 and id = $2 and used_at <= $4")
LIVE_SESSIONS = Query(
    SessionRow,
    "select id, kind, address, agent, created_at, used_at, expires_at from identity.session"
    " where account_id = $1 and ended_at is null and expires_at > $2 and ($3::uuid is null or id < $3)"
    " order by id desc limit $4",
)
END_SESSIONS = Query(
    UUID,
    "update identity.session set ended_at = $3 where account_id = $1 and ended_at is null and expires_at > $3"
    " and id = any($2::uuid[]) returning id",
)
END_ALL_SESSIONS = Query(
    UUID,
    "update identity.session set ended_at = $2 where account_id = $1 and ended_at is null and expires_at > $2"
    " and ($3::uuid is null or id <> $3) returning id",
)
SURPLUS_SESSIONS = Query(
    UUID,
    "select id from identity.session where account_id = $1 and ended_at is null and expires_at > $2"
    " order by used_at desc, id desc offset $3 limit 50",
)
DROP_TOKENS = Statement("delete from identity.token where account_id = $1 and session_id = any($2::uuid[])")
REVOKE = Statement(
    "insert into identity.revocation (session_id, at) select unnest($1::uuid[]), $2 on conflict (session_id) do nothing"
)
REVOKED = Query(
    RevokedSession,
    "select session_id, at from identity.revocation where at > $1 order by at fetch first ($2::int) rows with ties",
)
VISITOR = Query(
    KnownSession,
    "select t.session_id, a.id, a.name, a.email, a.status, a.platform_admin, t.expires_at, a.erase_at from identity.token t"
    " join identity.account a on a.id = t.account_id where t.hash = $1 and t.kind = 'browser' and t.expires_at > $2",
)
FORGET_SESSIONS = Statement("delete from identity.session where account_id = $1 and (ended_at < $2 or expires_at < $2)")
FORGET_OLD_SESSIONS = Statement(
    "delete from identity.session where (account_id, id) in"
    " (select s.account_id, s.id from identity.session s where s.expires_at < $1 order by s.expires_at limit $2)"
)
DEVICES = Query(
    Devices,
    "select count(*)::int, count(*) filter (where agent = $2)::int from identity.session where account_id = $1",
)
FORGET_REVOCATIONS = Statement("delete from identity.revocation where at < $1")
FORGET_TOKENS = Statement("delete from identity.token where expires_at < $1")
FORGET_CHALLENGES = Statement("delete from identity.challenge where expires_at < $1")
FORGET_COUNTERS = Statement("delete from identity.throttle where until < $1")


async def insert_session(
    tx: Tx, account_id: UUID, id: UUID, kind: str, address: str, agent: str, at: datetime, expires_at: datetime
) -> None:
    await tx.run(INSERT_SESSION, account_id, id, kind, address, agent, at, expires_at)


async def insert_token(tx: Tx, hashed: bytes, kind: str, account_id: UUID, session_id: UUID, expires_at: datetime) -> None:
    await tx.run(INSERT_TOKEN, hashed, kind, account_id, session_id, expires_at)


async def token(tx: Tx, hashed: bytes, kind: str) -> TokenRow | None:
    return await tx.maybe(TOKEN, hashed, kind)


async def spend_token(tx: Tx, hashed: bytes, at: datetime) -> bool:
    """False when it was spent before."""
    return await tx.run(SPEND_TOKEN, hashed, at) == 1


async def lock_session(tx: Tx, account_id: UUID, id: UUID, now: datetime) -> SessionRow | None:
    return await tx.maybe(LOCK_SESSION, account_id, id, now)


async def touch_session(tx: Tx, account_id: UUID, id: UUID, at: datetime, expires_at: datetime, address: str, agent: str) -> None:
    await tx.run(TOUCH_SESSION, account_id, id, at, expires_at, address, agent)


async def note_use(tx: Tx, account_id: UUID, id: UUID, at: datetime, unless_since: datetime) -> None:
    await tx.run(NOTE_USE, account_id, id, at, unless_since)


async def live_sessions(tx: Tx, account_id: UUID, now: datetime, after: UUID | None, limit: int) -> list[SessionRow]:
    return await tx.all(LIVE_SESSIONS, account_id, now, after, limit)


async def end_sessions(tx: Tx, account_id: UUID, ids: list[UUID], at: datetime) -> list[UUID]:
    """Those of `ids` that were alive."""
    return await tx.all(END_SESSIONS, account_id, ids, at)


async def end_all_sessions(tx: Tx, account_id: UUID, at: datetime, but: UUID | None) -> list[UUID]:
    return await tx.all(END_ALL_SESSIONS, account_id, at, but)


async def surplus_sessions(tx: Tx, account_id: UUID, now: datetime, allowed: int) -> list[UUID]:
    return await tx.all(SURPLUS_SESSIONS, account_id, now, allowed)


async def drop_tokens(tx: Tx, account_id: UUID, session_ids: list[UUID]) -> None:
    await tx.run(DROP_TOKENS, account_id, session_ids)


async def revoke(tx: Tx, session_ids: list[UUID], at: datetime) -> None:
    await tx.run(REVOKE, session_ids, at)


async def revoked(tx: Tx, since: datetime, limit: int) -> list[RevokedSession]:
    """As `changes`."""
    return await tx.all(REVOKED, since, limit)


async def visitor(tx: Tx, hashed: bytes, now: datetime) -> KnownSession | None:
    return await tx.maybe(VISITOR, hashed, now)


async def devices(tx: Tx, account_id: UUID, agent: str) -> Devices:
    return await tx.one(DEVICES, account_id, agent)


async def forget_sessions(tx: Tx, account_id: UUID, before: datetime) -> None:
    await tx.run(FORGET_SESSIONS, account_id, before)


async def forget_old_sessions(tx: Tx, before: datetime, limit: int) -> int:
    """Those of anybody whose time ended before; how many went."""
    return await tx.run(FORGET_OLD_SESSIONS, before, limit)


async def forget(tx: Tx, now: datetime, revocations_before: datetime) -> None:
    """Removes what can no longer matter."""
    await tx.run(FORGET_REVOCATIONS, revocations_before)
    await tx.run(FORGET_TOKENS, now)
    await tx.run(FORGET_CHALLENGES, now)
    await tx.run(FORGET_COUNTERS, now)


# --- codes and links -------------------------------------------------------------------------------------------------


class ChallengeRow(Struct, frozen=True):
    id: UUID
    account_id: UUID
    code_hash: bytes | None


DROP_CHALLENGES = Statement("delete from identity.challenge where account_id = $1 and purpose = $2 and used_at is null")
INSERT_CHALLENGE = Statement(
    "insert into identity.challenge (id, account_id, purpose, token_hash, code_hash, expires_at, onward)"
    " values ($1, $2, $3, $4, $5, $6, $7)"
)
ONWARD = Query(str, "select onward from identity.challenge where account_id = $1 and purpose = 'confirm' and used_at is null")
USE_LINK = Query(
    str,
    "update identity.challenge set used_at = $3"
    " where token_hash = $1 and purpose = $2 and used_at is null and expires_at > $3 returning onward",
)
LINK = Query(
    UUID,
    "select account_id from identity.challenge where token_hash = $1 and purpose = $2 and used_at is null and expires_at > $3",
)
# Counted before the code is compared: of a hundred guesses at the same moment five are looked at.
TRY_CODE = Query(
    ChallengeRow,
    "update identity.challenge set tries = tries + 1 where account_id = $1 and purpose = 'confirm' and used_at is null"
    " and expires_at > $2 and tries < $3 returning id, account_id, code_hash",
)
USE_CHALLENGE = Query(str, "update identity.challenge set used_at = $2 where id = $1 and used_at is null returning onward")


async def replace_challenge(
    tx: Tx,
    id: UUID,
    account_id: UUID,
    purpose: str,
    token_hash: bytes,
    code_hash: bytes | None,
    expires_at: datetime,
    onward: str = "",
) -> None:
    """The newest replaces those before. Call with the account locked."""
    await tx.run(DROP_CHALLENGES, account_id, purpose)
    await tx.run(INSERT_CHALLENGE, id, account_id, purpose, token_hash, code_hash, expires_at, onward)


async def onward(tx: Tx, account_id: UUID) -> str:
    """Where the code that waits leads on to."""
    return await tx.maybe(ONWARD, account_id) or ""


async def drop_challenges(tx: Tx, account_id: UUID, purpose: str) -> None:
    """Links and codes that were not used are of no use any more."""
    await tx.run(DROP_CHALLENGES, account_id, purpose)


async def use_link(tx: Tx, hashed: bytes, purpose: str, now: datetime) -> str | None:
    """Where it leads on to; once, then None."""
    return await tx.maybe(USE_LINK, hashed, purpose, now)


async def link(tx: Tx, hashed: bytes, purpose: str, now: datetime) -> UUID | None:
    """Whose link it is, without using it."""
    return await tx.maybe(LINK, hashed, purpose, now)


async def try_code(tx: Tx, account_id: UUID, now: datetime, tries: int) -> ChallengeRow | None:
    """The challenge, with one try fewer left; None when there is none."""
    return await tx.maybe(TRY_CODE, account_id, now, tries)


async def use_challenge(tx: Tx, id: UUID, at: datetime) -> str | None:
    """As `use_link`."""
    return await tx.maybe(USE_CHALLENGE, id, at)


# --- counters --------------------------------------------------------------------------------------------------------


class Counted(Struct, frozen=True):
    count: int
    until: datetime


COUNT = Query(
    Counted,
    "insert into identity.throttle as t (key, count, until) values ($1, 1, $3)"
    " on conflict (key) do update set"
    " count = case when t.until <= $2 then 1 else least(t.count + 1, 1000000) end,"
    " until = case when t.until <= $2 then excluded.until else t.until end"
    " returning count, until",
)
COUNTED = Query(Counted, "select count, until from identity.throttle where key = $1 and until > $2")
CLEAR_COUNT = Statement("delete from identity.throttle where key = $1")


async def count(tx: Tx, key: bytes, now: datetime, until: datetime) -> Counted:
    """One more; a window that is over begins again."""
    return await tx.one(COUNT, key, now, until)


async def counted(tx: Tx, key: bytes, now: datetime) -> Counted | None:
    return await tx.maybe(COUNTED, key, now)


async def clear_count(tx: Tx, key: bytes) -> None:
    await tx.run(CLEAR_COUNT, key)


# --- security events -------------------------------------------------------------------------------------------------


class SecurityRow(Struct, frozen=True):
    id: UUID
    kind: str
    detail: str
    address: str
    agent: str
    at: datetime


INSERT_SECURITY_EVENT = Statement(
    "insert into identity.security_event (account_id, id, kind, detail, address, agent, at) values ($1, $2, $3, $4, $5, $6, $7)"
)
SECURITY_EVENTS = Query(
    SecurityRow,
    "select id, kind, detail, address, agent, at from identity.security_event"
    " where account_id = $1 and ($2::uuid is null or id < $2) order by id desc limit $3",
)


class SecurityWanted(Struct, frozen=True, kw_only=True):
    """Which security events an admin asks for. Times are `[start, end)`; None is any."""

    account_id: UUID | None = None
    kind: SecurityKind | None = None
    start: datetime | None = None
    end: datetime | None = None


class AdminSecurityRow(Struct, frozen=True):
    """A security event, and of whose account."""

    id: UUID
    account_id: UUID
    email: str
    kind: str
    detail: str
    address: str
    agent: str
    at: datetime


ALL_SECURITY_EVENTS = Query(
    AdminSecurityRow,
    "select e.id, e.account_id, a.email, e.kind, e.detail, e.address, e.agent, e.at"
    " from identity.security_event e join identity.account a on a.id = e.account_id"
    " where ($1::uuid is null or e.account_id = $1) and ($2::text is null or e.kind = $2)"
    " and ($3::timestamptz is null or e.at >= $3) and ($4::timestamptz is null or e.at < $4)"
    " and ($5::timestamptz is null or (e.at, e.id) < ($5, $6::uuid)) order by e.at desc, e.id desc limit $7",
)
FORGET_SECURITY_EVENTS = Statement(
    "delete from identity.security_event where (account_id, id) in"
    " (select e.account_id, e.id from identity.security_event e where e.at < $1 order by e.at, e.id limit $2)"
)


async def all_security_events(
    tx: Tx, wanted: SecurityWanted, after: tuple[datetime, UUID] | None, limit: int
) -> list[AdminSecurityRow]:
    """Newest first. Row security shows them to platform admins."""
    w = wanted
    kind = None if w.kind is None else w.kind.value
    return await tx.all(ALL_SECURITY_EVENTS, w.account_id, kind, w.start, w.end, *(after or (None, None)), limit)


async def forget_security_events(tx: Tx, before: datetime, limit: int) -> int:
    """How many of the oldest were removed."""
    return await tx.run(FORGET_SECURITY_EVENTS, before, limit)


async def insert_security_event(
    tx: Tx, account_id: UUID, id: UUID, kind: str, detail: str, address: str, agent: str, at: datetime
) -> None:
    await tx.run(INSERT_SECURITY_EVENT, account_id, id, kind, detail, address, agent, at)


async def security_events(tx: Tx, account_id: UUID, after: UUID | None, limit: int) -> list[SecurityRow]:
    return await tx.all(SECURITY_EVENTS, account_id, after, limit)


# --- signing keys ----------------------------------------------------------------------------------------------------


class KeyRow(Struct, frozen=True):
    id: str
    public_key: dict[str, str]
    sealed_private_key: bytes
    signs_from: datetime
    signs_until: datetime


ONE_AT_A_TIME = Statement("select pg_advisory_xact_lock(7310868735422914)")
KEYS = Query(
    KeyRow,
    "select id, public_key, sealed_private_key, signs_from, signs_until from identity.signing_key"
    " where verifies_until > $1 order by signs_from limit 20",
)
INSERT_KEY = Statement(
    "insert into identity.signing_key (id, public_key, sealed_private_key, made_at, signs_from, signs_until, verifies_until)"
    " values ($1, $2::text::jsonb, $3, $4, $5, $6, $7)"
)
FORGET_KEYS = Statement("delete from identity.signing_key where verifies_until <= $1")


async def one_at_a_time(tx: Tx) -> None:
    """Of processes that start together one makes the first key."""
    await tx.run(ONE_AT_A_TIME)


async def keys(tx: Tx, now: datetime) -> list[KeyRow]:
    return await tx.all(KEYS, now)


async def insert_key(
    tx: Tx,
    id: str,
    public_key: str,
    sealed: bytes,
    made_at: datetime,
    signs_from: datetime,
    signs_until: datetime,
    verifies_until: datetime,
) -> None:
    await tx.run(INSERT_KEY, id, public_key, sealed, made_at, signs_from, signs_until, verifies_until)


async def forget_keys(tx: Tx, now: datetime) -> None:
    await tx.run(FORGET_KEYS, now)
