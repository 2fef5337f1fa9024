"""A small world: an identity of its own database role, a clock that moves when told, and a letter box."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import UUID, uuid4

import argon2
import asyncpg
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet
from tests.journeys.conftest import SECRET

from forecourt.kernel.clock import FixedClock
from forecourt.kernel.context import Actor, ActorKind, Context
from forecourt.kernel.db import Database
from forecourt.kernel.jobs import Worker
from forecourt.kernel.metrics import Metrics
from forecourt.modules.identity import jobs
from forecourt.modules.identity.passwords import Passwords
from forecourt.modules.identity.rules import PERMISSIONS
from forecourt.modules.identity.service import IdentityService
from forecourt.modules.identity.service.accounts import NewAccount
from forecourt.modules.identity.service.sessions import Tokens
from forecourt.modules.notifications.contract import Letter, Mail, Text
from forecourt.modules.notifications.wording import locale_for, written
from forecourt.modules.people.contract import Preferences

ISSUER = "http://localhost:8000"
PASSWORD = "correct horse battery staple 9"
CHEAP = argon2.PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1)
STRANGER = Context(address="203.0.113.7", agent="tests")


class LetterBox:
    """Takes mails and texts as the notifications module does, and knows who chose a language, as people does."""

    def __init__(self) -> None:
        self.languages: dict[UUID, str] = {}
        self.mails: list[Mail] = []
        self.texts: list[Text] = []

    async def send(self, ctx: Context, mail: Mail) -> None:
        self.mails.append(mail)

    async def write(self, ctx: Context, letter: Letter) -> None:
        chosen = None if letter.account_id is None else self.languages.get(letter.account_id)
        self.mails.append(written(letter, locale_for(chosen, letter.language)))

    async def send_text(self, ctx: Context, text: Text) -> None:
        self.texts.append(text)

    async def preferences(self, ctx: Context, account_ids: list[UUID]) -> list[Preferences]:
        return [Preferences(locale=self.languages.get(id)) for id in account_ids]

    def to(self, email: str) -> list[Mail]:
        return [mail for mail in self.mails if mail.to == email]


class World:
    def __init__(self, db: Database, url: str) -> None:
        self.db = db
        self.clock = FixedClock(datetime.now(UTC))
        self.metrics = Metrics()
        self.identity = self.another_process()
        self.box = LetterBox()
        self.handlers = jobs.handlers(self.identity, self.box, self.box, self.box)
        self.worker = Worker(db, url, self.handlers)

    def another_process(self, secret: str = SECRET) -> IdentityService:
        return IdentityService(
            self.db.module("identity"), self.clock, secret=secret, public_url=ISSUER, passwords=Passwords(CHEAP)
        )

    def address(self, name: str = "ada") -> str:
        return f"{name}-{uuid4().hex[:12]}@example.org"

    async def register(self, name: str = "ada", email: str | None = None) -> Tokens:
        return await self.identity.persons.register(STRANGER, NewAccount(email or self.address(name), PASSWORD, "Ada Lovelace"))

    async def confirmed(self, name: str = "ada") -> Tokens:
        tokens = await self.register(name)
        await self.identity.persons.confirm_by_code(STRANGER, tokens.account.email, await self.code(tokens.account.email))
        return tokens

    async def letters(self, email: str) -> list[Mail]:
        await self.worker.drain()
        return self.box.to(email)

    async def code(self, email: str) -> str:
        found = re.findall(r"\b\d{6}\b", (await self.letters(email))[-1].text)
        assert found, "no code in the newest mail"
        return found[0]

    async def link(self, email: str) -> str:
        found = re.search(r"token=([\w-]+)", (await self.letters(email))[-1].text)
        assert found is not None, "no link in the newest mail"
        return found[1]

    async def claims(self, tokens: Tokens) -> dict[str, object]:
        keys = await self.identity.key_set(STRANGER)
        return jwt.decode(tokens.access_token, KeySet.import_key_set({"keys": keys.keys}), algorithms=["ES256"]).claims

    async def as_(self, tokens: Tokens, organisation_id: UUID | None = None) -> Context:
        """What the gate makes of an access token."""
        sid = UUID(str((await self.claims(tokens))["sid"]))
        confirmed = await self.identity.status(STRANGER, tokens.account.id) == "active"
        actor = Actor(ActorKind.PERSON, account_id=tokens.account.id, session_id=sid, confirmed=confirmed)
        permissions = None
        if organisation_id is not None:
            permissions = await self.permissions(tokens, organisation_id)
        return Context(actor, organisation_id, frozenset(permissions or ()), address="203.0.113.7", agent="tests")

    async def permissions(self, tokens: Tokens, organisation_id: UUID | None) -> list[str] | None:
        """What a person may do there; None for anyone who is not staff."""
        assert organisation_id is not None
        standing = await self.identity.standing(STRANGER, tokens.account.id, organisation_id)
        return None if standing is None else standing.permissions

    async def owner(self, name: str = "owner") -> tuple[Tokens, Context]:
        """A person who has just made an organisation."""
        tokens = await self.confirmed(name)
        organisation = uuid4()
        await self.identity.adopt(await self.as_(tokens), organisation)
        ctx = await self.as_(tokens, organisation)
        assert ctx.permissions == frozenset(PERMISSIONS), "the owner may do everything"
        return tokens, ctx

    async def join(self, boss: Context, role: str, name: str = "bob") -> tuple[Tokens, Context]:
        """Somebody who accepted an invitation."""
        tokens = await self.confirmed(name)
        await self.identity.staff.invite(boss, tokens.account.email, role)
        letter = (await self.letters(tokens.account.email))[-1].text
        token = letter.split("/staff-invitations/")[1].split()[0]
        await self.identity.staff.accept(await self.as_(tokens), token)
        return tokens, await self.as_(tokens, boss.organisation_id)


@pytest.fixture
def world(db: Database, database_url: str) -> World:
    return World(db, database_url)


@pytest.fixture
async def admin(admin_url: str) -> Iterator[asyncpg.Connection]:
    """The superuser: to look behind the scenes, never to act."""
    connection = await asyncpg.connect(admin_url)
    yield connection
    await connection.close()
