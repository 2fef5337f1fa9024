"""The keys that access tokens are signed with: kept sealed in the database, rotated with overlap."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import cast

import structlog
from joserfc import jwt
from joserfc.jwk import ECKey

from forecourt.kernel.clock import Clock
from forecourt.kernel.context import Context, service_context
from forecourt.kernel.db import ModuleDatabase, Tx, to_json
from forecourt.kernel.http.gate import AUDIENCE, ISSUER
from forecourt.kernel.ids import new_id
from forecourt.modules.identity import rules
from forecourt.modules.identity.contract import KeySet, SecretChanged
from forecourt.modules.identity.queries import accounts as queries
from forecourt.modules.identity.secrecy import Vault

CURE = (
    "The signing keys in this database were sealed with another FORECOURT_SECRET_KEY. Start every process with the one that was"
    " used before. If it is lost or must change, remove the keys (docs/operations.md, Changing secrets); new ones are made at the"
    " next start."
)
LOOK_AGAIN = timedelta(minutes=5)

log = structlog.get_logger("forecourt.identity")


class Signing:
    """Signs claims with the current key. Every process reads the keys from the database; one makes the next."""

    def __init__(self, db: ModuleDatabase, clock: Clock, vault: Vault) -> None:
        self._db = db
        self._clock = clock
        self._vault = vault
        self._key: ECKey | None = None
        self._good_until: datetime | None = None

    async def public_keys(self, ctx: Context) -> KeySet:
        """Keys whose tokens may be alive, and the next one. Raises SecretChanged."""
        now = self._clock.now()
        async with self._db.read(ctx.within(None)) as tx:
            rows = await queries.keys(tx, now)
        if not rows:
            await self.prepare(ctx)
            async with self._db.tx(ctx.within(None)) as tx:
                rows = await queries.keys(tx, now)
        self._usable(rows)
        return KeySet([row.public_key for row in rows])

    async def sign(self, claims: dict[str, object]) -> str:
        """A compact JWS over `claims`, our issuer and audience. Not to be called inside a transaction. Raises SecretChanged."""
        key = await self._current()
        kid = key.kid
        assert kid is not None  # noqa: S101 - every key of ours has one
        return jwt.encode({"alg": "ES256", "kid": kid, "typ": "JWT"}, {"iss": ISSUER, "aud": AUDIENCE, **claims}, key)

    async def prepare(self, ctx: Context) -> None:
        """Makes the first key, and each next one a day before it signs; forgets those whose tokens are all dead.

        Raises SecretChanged: a process with the wrong secret must not make keys that no other can use.
        """
        now = self._clock.now()
        async with self._db.tx(ctx.within(None)) as tx:
            await queries.one_at_a_time(tx)
            usable = self._usable(await queries.keys(tx, now))
            last = max((row.signs_until for row in usable), default=None)
            span = rules.next_span(last, now, signs_now=any(row.signs_from <= now < row.signs_until for row in usable))
            if span is not None:
                await self._make(tx, span, now)
            await queries.forget_keys(tx, now)

    async def _current(self) -> ECKey:
        now = self._clock.now()
        if self._key is not None and self._good_until is not None and now < self._good_until:
            return self._key
        found = await self._read(now)
        if found is None:
            await self.prepare(service_context("identity.signing"))
            found = await self._read(self._clock.now())  # it signs from the moment it was made, which `now` is before
        if found is None:
            raise RuntimeError("a signing key was made and is not there")
        self._key, self._good_until = found
        return self._key

    async def _read(self, now: datetime) -> tuple[ECKey, datetime] | None:
        async with self._db.tx(service_context("identity.signing")) as tx:
            rows = await queries.keys(tx, now)
        for row in reversed(rows):
            key = self._open(row) if row.signs_from <= now < row.signs_until else None
            if key is not None:
                return key, min(row.signs_until, now + LOOK_AGAIN)
        return None

    def _usable(self, rows: list[queries.KeyRow]) -> list[queries.KeyRow]:
        """Those that open with our secret. Raises SecretChanged when there are keys and none does."""
        usable = [row for row in rows if self._open(row) is not None]
        if rows and not usable:
            raise SecretChanged(CURE)
        return usable

    def _open(self, row: queries.KeyRow) -> ECKey | None:
        """None for a key sealed under another secret: tokens it signed verify by its public half, and it signs no more."""
        private = self._vault.unseal(row.sealed_private_key, row.id)
        return None if private is None else ECKey.import_key(json.loads(private))

    async def _make(self, tx: Tx, span: rules.KeySpan, now: datetime) -> None:
        kid = new_id().hex
        key = ECKey.generate_key("P-256", {"kid": kid, "use": "sig", "alg": "ES256"}, private=True)
        public = cast("dict[str, str]", key.as_dict(private=False))
        private = json.dumps(key.as_dict(private=True)).encode()
        await queries.insert_key(
            tx, kid, to_json(public), self._vault.seal(private, kid), now, span.signs_from, span.signs_until, span.verifies_until
        )
        log.info("signing_key_made", kid=kid, signs_from=span.signs_from.isoformat())
