"""Accounts: register, log in, confirm the address, recover and change the password, status."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from uuid import UUID

import msgspec
from msgspec import Struct

from forecourt.kernel.clock import Clock
from forecourt.kernel.context import Context
from forecourt.kernel.db import ModuleDatabase, Plans, Tx
from forecourt.kernel.errors import Conflict, FieldError, Invalid, NotFound
from forecourt.kernel.events import emit
from forecourt.kernel.ids import new_id
from forecourt.kernel.jobs import enqueue
from forecourt.kernel.names import tidy
from forecourt.kernel.paging import Keyset, Page
from forecourt.kernel.web.addresses import inside
from forecourt.modules.identity import mails, rules
from forecourt.modules.identity.addresses import fold, key_of, read_address
from forecourt.modules.identity.contract import (
    AccountCard,
    AccountConfirmed,
    AccountRegistered,
    AccountStatus,
    AccountStatusChanged,
    AccountSuspended,
    BadCredentials,
    CodeWrong,
    EmailTaken,
    KnownSession,
    LinkInvalid,
    LockedOut,
    PhoneRemoved,
    SecurityKind,
)
from forecourt.modules.identity.jobs import ANSWER_WISH, WRITE, Asked, Wish
from forecourt.modules.identity.passwords import Passwords, refuse
from forecourt.modules.identity.queries import accounts as queries
from forecourt.modules.identity.queries import phones
from forecourt.modules.identity.queries.accounts import AccountRow, AdminRow
from forecourt.modules.identity.secrecy import Vault, digest, new_code, new_token
from forecourt.modules.identity.service.sessions import (
    Begun,
    SessionKind,
    Sessions,
    Tokens,
    acting,
    known_session,
    note,
    person_of,
)

ACCOUNTS = Keyset("accounts", tuple[UUID])
HOUR = timedelta(hours=1)


class NewAccount(Struct, frozen=True):
    """`onward` is a path of this site: where the person was on the way to."""

    email: str
    password: str
    name: str
    onward: str = ""


class Accounts:
    def __init__(
        self,
        db: ModuleDatabase,
        clock: Clock,
        vault: Vault,
        sessions: Sessions,
        passwords: Passwords,
        public_url: str,
    ) -> None:
        self._db = db
        self._clock = clock
        self._vault = vault
        self._sessions = sessions
        self._passwords = passwords
        self._url = public_url
        # Looking at the counter, checking the password and counting a failure happen in one turn: however many guesses come
        # at once, at most so many per process get past the lock.
        self._turns = asyncio.Semaphore(passwords.at_once)

    # --- register ---

    async def register(self, ctx: Context, new: NewAccount) -> Tokens:
        """Makes an account and signs it in. Raises EmailTaken, Invalid."""
        account, begun = await self._register(ctx, new, SessionKind.TOKEN)
        return await self._sessions.tokens(account, begun.session_id, begun.token, begun.at)

    async def register_browser(self, ctx: Context, new: NewAccount) -> tuple[str, KnownSession]:
        """The same for a page: the cookie's token and whose session it is."""
        account, begun = await self._register(ctx, new, SessionKind.BROWSER)
        return begun.token, known_session(account, begun)

    async def faults(self, new: NewAccount) -> list[FieldError]:
        """Everything that is wrong with a new account, field by field. Whether the address has one already is not among it."""
        name = tidy(new.name)
        found = [] if name else [FieldError("name", "must not be empty")]
        try:
            read_address(new.email)
        except Invalid as e:
            found += e.errors
        return found + await self._passwords.faults(new.password, new.email, name)

    async def _register(self, ctx: Context, new: NewAccount, kind: SessionKind) -> tuple[AccountRow, Begun]:
        refuse(await self.faults(new))
        address, name = read_address(new.email), tidy(new.name)
        hashed = await self._passwords.hash(new.password)
        account = AccountRow(new_id(), address.email, name, AccountStatus.UNCONFIRMED, False, hashed)
        now = self._clock.now()
        begun: Begun | None = None
        async with self._db.tx(acting(ctx, account.id)) as tx:
            if await queries.insert_account(tx, account.id, address.email, address.key, name, hashed, now):
                await self._send_code(tx, account, now, new.onward)
                begun = await self._sessions.begin(tx, account, kind)
                await note(tx, account.id, SecurityKind.REGISTERED, now)
                read_in = ctx.language if kind is SessionKind.BROWSER else ""
                emit(tx, AccountRegistered(account_id=account.id, language=read_in))
        if begun is None:
            await self._tell_owner(ctx, address.key)
            raise EmailTaken
        return account, begun

    async def _tell_owner(self, ctx: Context, key: str) -> None:
        """Somebody tried to register an address that has an account: its owner learns of it, at most once an hour."""
        now = self._clock.now()
        async with self._db.tx(ctx.within(None)) as tx:
            account = await queries.account_by_key(tx, key)
            counted = await queries.count(tx, self._vault.counter_key("taken", key), now, now + HOUR)
            if account is not None and counted.count == 1:
                enqueue(tx, WRITE, mails.address_taken(ctx, account, self._url))

    # --- log in ---

    async def log_in(self, ctx: Context, email: str, password: str) -> Tokens:
        """Raises BadCredentials, LockedOut, AccountSuspended (to whoever knows the password only)."""
        account, begun = await self._log_in(ctx, email, password, SessionKind.TOKEN)
        return await self._sessions.tokens(account, begun.session_id, begun.token, begun.at)

    async def start_browser_session(self, ctx: Context, email: str, password: str) -> tuple[str, KnownSession]:
        """Logs in for a page: the cookie's token and whose session it is. Raises as `log_in` does."""
        account, begun = await self._log_in(ctx, email, password, SessionKind.BROWSER)
        return begun.token, known_session(account, begun)

    async def end_session(self, ctx: Context, token: str) -> None:
        """Ends the browser session of a cookie's token."""
        await self._sessions.log_out(ctx, token, SessionKind.BROWSER)

    async def _log_in(self, ctx: Context, email: str, password: str, kind: SessionKind) -> tuple[AccountRow, Begun]:
        key = key_of(email)
        counter = self._vault.counter_key("login", key)
        for _ in range(2):
            async with self._turns:
                account = await self._authenticate(ctx, key, counter, password)
            if account.status.closed:
                raise AccountSuspended
            account = await self._renew_hash(ctx, account, password)
            entered = await self._enter(ctx, account, counter, kind)
            if entered is not None:
                return entered
            # The hash changed while it was checked: another log-in renewed it, or the password is another now.
        raise BadCredentials

    async def _renew_hash(self, ctx: Context, account: AccountRow, password: str) -> AccountRow:
        """The account, with a hash of today's parameters unless somebody else has changed it."""
        stored = account.password_hash or ""
        if not self._passwords.outdated(stored):
            return account
        fresh = await self._passwords.hash(password)
        # A transaction of its own: two that hold the account while they begin a session would wait for each other for ever.
        async with self._db.tx(acting(ctx, account.id)) as tx:
            renewed = await queries.rehash(tx, account.id, stored, fresh)
        return msgspec.structs.replace(account, password_hash=fresh) if renewed else account

    async def _enter(
        self, ctx: Context, account: AccountRow, counter: bytes, kind: SessionKind
    ) -> tuple[AccountRow, Begun] | None:
        """Begins a session; None when the password's hash is no longer the one that was checked. Raises AccountSuspended."""
        now = self._clock.now()
        async with self._db.tx(acting(ctx, account.id)) as tx:
            held = await queries.hold_account(tx, account.id)
            if held.status.closed:
                raise AccountSuspended
            if held.password_hash != account.password_hash:
                return None
            await queries.clear_count(tx, counter)
            begun = await self._sessions.begin(tx, held, kind)
            await note(tx, account.id, SecurityKind.LOGGED_IN, now)
        return held, begun

    async def _authenticate(self, ctx: Context, key: str, counter: bytes, password: str) -> AccountRow:
        """The account whose password this is. The same answers and the same work whether it exists or not."""
        now = self._clock.now()
        async with self._db.tx(ctx.within(None)) as tx:
            account = await queries.account_by_key(tx, key)
            refuse_locked(await queries.counted(tx, counter, now), now)
        if await self._passwords.fits(None if account is None else account.password_hash, password) and account is not None:
            return account
        await self._count_failure(ctx, account, counter)
        raise BadCredentials

    async def _count_failure(self, ctx: Context, account: AccountRow | None, counter: bytes) -> None:
        now = self._clock.now()
        # About the account, and done by whoever guessed: audit must not say that its owner did.
        async with self._db.tx(ctx.within(None)) as tx:
            await tx.become(self._db.role, None, None if account is None else account.id)
            counted = await queries.count(tx, counter, now, now + rules.FAILURE_WINDOW)
            if account is not None:
                await note(tx, account.id, SecurityKind.LOGIN_FAILED, now)
                if counted.count == rules.MAX_FAILURES:
                    await note(tx, account.id, SecurityKind.LOCKED_OUT, now)

    # --- confirm the address ---

    async def look_at_link(self, ctx: Context, wish: Wish, token: str) -> None:
        """Raises LinkInvalid for a link that no longer does what it says. Looking uses nothing."""
        async with self._db.read(ctx.within(None)) as tx:
            if await queries.link(tx, digest(token), wish.value, self._clock.now()) is None:
                raise LinkInvalid

    async def confirm_by_link(self, ctx: Context, token: str) -> str:
        """Where its reader was on the way to. Raises LinkInvalid."""
        now = self._clock.now()
        async with self._db.tx(ctx.within(None)) as tx:
            account_id = await queries.link(tx, digest(token), "confirm", now)
        if account_id is None:
            raise LinkInvalid
        async with self._db.tx(acting(ctx, account_id)) as tx:
            account = await queries.lock_account(tx, account_id)
            onward = await queries.use_link(tx, digest(token), "confirm", now)
            if onward is None:
                raise LinkInvalid
            await self._confirm(tx, account, now)
        return inside(onward)

    async def confirm_by_code(self, ctx: Context, email: str, code: str) -> str:
        """As `confirm_by_link`. Raises CodeWrong: for a wrong code, an old one, one tried five times, and an address without an
        account."""
        now = self._clock.now()
        async with self._db.tx(ctx.within(None)) as tx:
            account = await queries.account_by_key(tx, key_of(email))
            tried = None if account is None else await queries.try_code(tx, account.id, now, rules.CODE_TRIES)
        if tried is None or tried.code_hash != self._vault.code_digest(tried.id, code):
            raise CodeWrong
        async with self._db.tx(acting(ctx, tried.account_id)) as tx:
            held = await queries.lock_account(tx, tried.account_id)
            onward = await queries.use_challenge(tx, tried.id, now)
            if onward is None:
                raise CodeWrong
            await self._confirm(tx, held, now)
        return inside(onward)

    async def _confirm(self, tx: Tx, account: AccountRow, now: datetime) -> None:
        status = rules.status_after_proof(account.status)
        if status is account.status:
            return
        await queries.set_status(tx, account.id, status, "", now, tokens_die=False)
        await note(tx, account.id, SecurityKind.EMAIL_CONFIRMED, now)
        emit(tx, AccountConfirmed(account_id=account.id))

    async def ask_for_code(self, ctx: Context, email: str, onward: str = "") -> None:
        """`onward` as in NewAccount; without one, where the code before it led."""
        await self._ask(ctx, Asked(Wish.CONFIRM, email, ctx.language, onward))

    async def ask_for_reset(self, ctx: Context, email: str) -> None:
        await self._ask(ctx, Asked(Wish.RESET, email, ctx.language))

    async def _ask(self, ctx: Context, asked: Asked) -> None:
        """Notes the wish. Whether the address has an account is looked up later, so that nobody can tell from the answer."""
        key = fold(asked.email)
        async with self._db.tx(ctx.within(None)) as tx:
            enqueue(tx, ANSWER_WISH, asked, key=f"{asked.wish} {self._vault.counter_key('wish', key).hex()}")

    async def send_code(self, ctx: Context, email: str, onward: str = "") -> None:
        """A new code for an account that waits for one, at most five an hour; earlier codes are void."""
        async with self._db.tx(ctx.within(None)) as tx:
            account = await self._wished(tx, "code", email)
            if account is not None and account.status is AccountStatus.UNCONFIRMED:
                await self._send_code(tx, account, self._clock.now(), onward or await queries.onward(tx, account.id))

    async def send_reset(self, ctx: Context, email: str) -> None:
        """A link to choose a new password, at most five an hour; earlier links are void."""
        now = self._clock.now()
        async with self._db.tx(ctx.within(None)) as tx:
            account = await self._wished(tx, "reset", email)
            if account is None or account.status.closed:
                return
            token = new_token()
            await queries.replace_challenge(tx, new_id(), account.id, "reset", digest(token), None, now + rules.RESET_TTL)
            enqueue(tx, WRITE, mails.reset_password(ctx, account, self._url, token))

    async def _wished(self, tx: Tx, what: str, email: str) -> AccountRow | None:
        """The account of the address, locked; None without one or when it got enough mail this hour."""
        now = self._clock.now()
        key = key_of(email)
        found = await queries.account_by_key(tx, key)
        if found is None:
            return None
        counted = await queries.count(tx, self._vault.counter_key(what, key), now, now + HOUR)
        return None if counted.count > rules.MAILS_PER_HOUR else await queries.lock_account(tx, found.id)

    async def _send_code(self, tx: Tx, account: AccountRow, now: datetime, onward: str) -> None:
        challenge, code, token = new_id(), new_code(), new_token()
        hashed = self._vault.code_digest(challenge, code)
        ends = now + rules.CODE_TTL
        await queries.replace_challenge(tx, challenge, account.id, "confirm", digest(token), hashed, ends, inside(onward))
        enqueue(tx, WRITE, mails.confirm_address(tx.context, account, code, self._url, token))

    # --- passwords ---

    async def reset_password(self, ctx: Context, token: str, password: str) -> None:
        """Sets a new password by the link's token; every session ends. Raises LinkInvalid, Invalid.

        Whoever reads the mail has shown that the address is theirs: the account is confirmed as well.
        """
        async with self._db.tx(ctx.within(None)) as tx:
            account_id = await queries.link(tx, digest(token), "reset", self._clock.now())
            account = None if account_id is None else await queries.account(tx, account_id)
        if account is None:
            raise LinkInvalid
        await self._passwords.refuse_weak(password, account.email, account.name)
        hashed = await self._passwords.hash(password)
        now = self._clock.now()  # hashing may have waited for its turn, and gates do not look back for ever
        async with self._db.tx(acting(ctx, account.id)) as tx:
            account = await queries.lock_account(tx, account.id)
            if account.status.closed or await queries.use_link(tx, digest(token), "reset", now) is None:
                raise LinkInvalid
            await queries.set_password(tx, account.id, hashed)
            await self._sessions.end_others(tx, account.id, None, now)
            await forget_first_comer(tx, account, now)
            await queries.clear_count(tx, self._vault.counter_key("login", fold(account.email)))
            await note(tx, account.id, SecurityKind.PASSWORD_RESET, now)
            await self._confirm(tx, account, now)
            enqueue(tx, WRITE, mails.password_changed(ctx, account, self._url))

    async def change_password(self, ctx: Context, current: str, password: str) -> None:
        """Every other session ends. A wrong current password counts like a failed log-in.

        Raises Invalid (at `current_password`, `password`), LockedOut.
        """
        me = person_of(ctx)
        async with self._db.tx(acting(ctx, me)) as tx:
            account = await queries.account(tx, me)
        try:
            await self.prove(ctx, account, current)
        except BadCredentials:
            faults = await self._passwords.faults(password, account.email, account.name)
            refuse([FieldError("current_password", "is not your password"), *faults])
        await self._passwords.refuse_weak(password, account.email, account.name)
        hashed = await self._passwords.hash(password)
        now = self._clock.now()
        async with self._db.tx(acting(ctx, me)) as tx:
            held = await queries.lock_account(tx, me)
            if held.password_hash != account.password_hash:
                raise Invalid.field("current_password", "was changed a moment ago")
            await queries.set_password(tx, me, hashed)
            # Whoever changes it because somebody reads their mail must not be overtaken by a link that lies there.
            await queries.drop_challenges(tx, me, "reset")
            await self._sessions.end_others(tx, me, ctx.actor.session_id, now)
            await note(tx, me, SecurityKind.PASSWORD_CHANGED, now)
            enqueue(tx, WRITE, mails.password_changed(ctx, account, self._url))

    async def prove(self, ctx: Context, account: AccountRow, password: str) -> None:
        """That whoever is signed in knows the account's password. A wrong one counts like a failed log-in.

        Raises BadCredentials, LockedOut.
        """
        key = fold(account.email)
        async with self._turns:
            await self._authenticate(ctx, key, self._vault.counter_key("login", key), password)

    # --- look up ---

    async def card(self, ctx: Context, account_id: UUID) -> AccountCard:
        """Raises NotFound."""
        async with self._db.read(ctx) as tx:
            return (await queries.account(tx, account_id)).card

    async def cards(self, ctx: Context, ids: list[UUID]) -> list[AccountCard]:
        """In the order asked; unknown ids are left out, and so are erased accounts."""
        if len(ids) > 200:
            raise Invalid.field("ids", "at most 200 at once")
        async with self._db.read(ctx, plans=Plans.KEPT) as tx:
            found = {card.id: card for card in await queries.cards(tx, ids)}
        return [found[id] for id in dict.fromkeys(ids) if id in found]

    async def by_email(self, ctx: Context, email: str) -> AccountCard | None:
        async with self._db.read(ctx) as tx:
            found = await queries.account_by_key(tx, key_of(email))
        return None if found is None else found.card

    # --- what platform admins do ---

    async def list(
        self, ctx: Context, part: str | None, status: AccountStatus | None, limit: int, cursor: str | None
    ) -> Page[AdminRow]:
        """Accounts, newest first, whose address or name contains `part`."""
        after = ACCOUNTS.decode(cursor)
        async with self._db.read(ctx) as tx:
            rows = await queries.admin_list(tx, fold(part) if part else None, status, after[0] if after else None, limit + 1)
        return ACCOUNTS.page(rows, limit, lambda row: (row.id,))

    async def set_status(self, ctx: Context, account_id: UUID, status: AccountStatus, reason: str) -> AdminRow:
        """Suspends, bans or reinstates; closing an account ends its sessions. Raises NotFound, Invalid, Conflict."""
        if account_id == ctx.account_id:
            raise Invalid.field("status", "another admin has to do this: it is your own account")
        if status is AccountStatus.ERASED:
            raise Invalid.field("status", "only who has an account can have it erased")
        now = self._clock.now()
        # The actor stays who it is in the event log; row security is about the person whose sessions end.
        async with self._db.tx(ctx.within(None)) as tx:
            account = await queries.lock_account(tx, account_id)
            if account.status is AccountStatus.ERASED:
                raise Conflict("this account was erased; there is nobody to let in again")
            await tx.become(self._db.role, None, account_id)
            await queries.set_status(tx, account_id, status, reason, now, tokens_die=status.closed)
            if status.closed:
                await self._sessions.end_others(tx, account_id, None, now)
            await note(tx, account_id, SecurityKind.STATUS_CHANGED, now, status.value)
            emit(tx, AccountStatusChanged(account_id=account_id, status=status, before=account.status, reason=reason))
            return await queries.admin_one(tx, account_id)

    async def make_admin(self, ctx: Context, email: str) -> None:
        """Makes the account a platform admin, which its owner and audit are told. Raises NotFound."""
        now = self._clock.now()
        async with self._db.tx(ctx.within(None)) as tx:
            account = await queries.account_by_key(tx, key_of(email))
            if account is None:
                raise NotFound
            await tx.become(self._db.role, None, account.id)
            await queries.make_admin(tx, account.id, now)
            await note(tx, account.id, SecurityKind.STATUS_CHANGED, now, "platform administrator")

    async def appoint_admin(self, ctx: Context, new: NewAccount) -> bool:
        """Makes whoever has the address a platform admin; for the command line. Raises Invalid.

        True when `new.password` is the account's from now on. False for an account whose address was proven: it keeps its own.
        One that nobody has proven may be anybody's who typed the address first: it gets the password, and its sessions end.
        """
        async with self._db.tx(ctx.within(None)) as tx:
            account = await queries.account_by_key(tx, key_of(new.email))
        if account is None:
            await self.register(ctx, new)
        taken_over = account is not None and account.status is AccountStatus.UNCONFIRMED
        if account is not None and taken_over:
            await self._take_over(ctx, account, new.password)
        await self.make_admin(ctx, new.email)
        return account is None or taken_over

    async def _take_over(self, ctx: Context, account: AccountRow, password: str) -> None:
        await self._passwords.refuse_weak(password, account.email, account.name)
        hashed = await self._passwords.hash(password)
        now = self._clock.now()
        async with self._db.tx(acting(ctx, account.id)) as tx:
            await queries.lock_account(tx, account.id)
            await queries.set_password(tx, account.id, hashed)
            await queries.drop_challenges(tx, account.id, "reset")
            await self._sessions.end_others(tx, account.id, None, now)
            await forget_first_comer(tx, account, now)
            await note(tx, account.id, SecurityKind.PASSWORD_CHANGED, now)


async def forget_first_comer(tx: Tx, account: AccountRow, now: datetime) -> None:
    """Whoever typed an address first need not be who reads its mail: a phone that the former gave hears nothing of the latter."""
    if account.status is AccountStatus.UNCONFIRMED and await phones.drop_number(tx, account.id):
        await note(tx, account.id, SecurityKind.PHONE_REMOVED, now)
        emit(tx, PhoneRemoved(account_id=account.id))


def refuse_locked(counted: queries.Counted | None, now: datetime) -> None:
    """Raises LockedOut."""
    if counted is None:
        return
    wait_s = rules.locked(counted.count, counted.until, now)
    if wait_s:
        raise LockedOut("try again later, or ask for a new password", retry_after_s=wait_s)
