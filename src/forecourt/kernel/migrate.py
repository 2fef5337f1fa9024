"""Migrations: plain SQL files per module, applied once, in order, under one lock, with checksums.

A module's files lie in `modules/<name>/migrations/NNNN_name.sql`; the kernel's in `kernel/migrations/`. Each runs in a
transaction of its own with a lock timeout; a file whose first line is `-- forecourt: no transaction` runs statement by
statement outside one (concurrent index builds). Applied files never change: a differing checksum stops the run.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

import asyncpg
import msgspec

from forecourt.kernel.db import module_role

SCRAM_ROUNDS = 4096
LOCK = 0x464F5245  # "FORE": one migration run at a time in a database
NO_TRANSACTION = "-- forecourt: no transaction"
SEES_EVERYTHING = "set local row_security = off"
"""Stands in a migration that has to see every row; without it an owner whom policies bind would see none, and not notice."""
_NAME = re.compile(r"^(\d{4})_([a-z0-9_]+)\.sql$")

APP_ROLE = "forecourt_app"
"""The role the program logs in as: owns nothing, bypasses nothing, may become each module's role and no other."""
MODULES_ROLE = "fc_module"
"""What every module's role inherits: writing to the event log and the job queue."""


APP_LIMITS = (
    "statement_timeout = '10s'",
    "idle_in_transaction_session_timeout = '15s'",
    "lock_timeout = '5s'",
    "transaction_timeout = '60s'",  # one long writer holds back every event subscriber
)


class MigrationError(Exception):
    """A migration cannot be applied; the text says which and what to do."""


SETTINGS = {
    "application_name": "forecourt migrate",
    # Waiting for another run, or building an index, may take longer than any transaction of the program.
    "transaction_timeout": "0",
    "statement_timeout": "0",
}


class Migration(msgspec.Struct, frozen=True):
    module: str
    number: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


def read_migrations(module: str, folder: Path) -> list[Migration]:
    """The files of one module in order. Raises MigrationError for a bad name or a gap in the numbers."""
    found: list[Migration] = []
    for path in sorted(folder.glob("*.sql")):
        match = _NAME.match(path.name)
        if match is None:
            raise MigrationError(f"{path.name} is not named like 0001_what_it_does.sql")
        found.append(Migration(module, int(match[1]), match[2], path.read_text()))
    for want, migration in enumerate(found, start=1):
        if migration.number != want:
            raise MigrationError(f"{module}: migration {want:04} is missing or {migration.number:04} is there twice")
    return found


async def migrate(url: str, modules: Sequence[tuple[str, Path]], report: Callable[[str], None] | None = None) -> list[Migration]:
    """Brings the database at `url` up to date; returns what was applied. The first of `modules` is the kernel.

    The login needs to own the database and be allowed to create roles. Safe to run from many processes at once.
    """
    wanted = [m for name, folder in modules for m in read_migrations(name, folder)]
    connection = await asyncpg.connect(url, server_settings=SETTINGS)
    try:
        await connection.execute("select pg_advisory_lock($1)", LOCK)
        await _prepare(connection, [name for name, _ in modules])
        done = {
            (r["module"], r["number"]): r for r in await connection.fetch("select module, number, checksum from kernel.migration")
        }
        applied: list[Migration] = []
        for migration in wanted:
            before = done.get((migration.module, migration.number))
            if before is None:
                if report:
                    report(f"{migration.module} {migration.number:04} {migration.name.replace('_', ' ')}")
                await _apply(connection, migration)
                applied.append(migration)
            elif before["checksum"] != migration.checksum:
                raise MigrationError(
                    f"{migration.module} {migration.number:04} was changed after it was applied."
                    " Restore the file and add a new one."
                )
        return applied
    finally:
        await connection.close()


async def pending(url: str, modules: Sequence[tuple[str, Path]]) -> list[Migration]:
    """What `migrate` would apply."""
    wanted = [m for name, folder in modules for m in read_migrations(name, folder)]
    connection = await asyncpg.connect(url)
    try:
        if await connection.fetchval("select to_regclass('kernel.migration')") is None:
            return wanted
        done = {(r["module"], r["number"]) for r in await connection.fetch("select module, number from kernel.migration")}
        return [m for m in wanted if (m.module, m.number) not in done]
    finally:
        await connection.close()


async def admit(admin_url: str, app_url: str) -> bool:
    """Gives the program's role the password of `app_url`, if the server does not let it in with that; True when it did.

    Does nothing for an address without a password, or for another login. Raises MigrationError for a password that could mean
    two things.
    """
    parts = urlsplit(app_url)
    if parts.username is None or unquote(parts.username) != APP_ROLE or not parts.password:
        return False
    try:
        await (await asyncpg.connect(app_url)).close()
    except asyncpg.InvalidPasswordError:
        verifier = scram_verifier(unquote(parts.password), secrets.token_bytes(16))
    except OSError:
        return False  # a pooler, say, that cannot be reached from here
    else:
        return False
    connection = await asyncpg.connect(admin_url, server_settings=SETTINGS)
    try:
        await connection.execute(f"alter role {APP_ROLE} password '{verifier}'")
    finally:
        await connection.close()
    return True


def scram_verifier(password: str, salt: bytes) -> str:
    """What PostgreSQL keeps of a password (RFC 5803). Made here, so that the password itself is in no statement and no log."""
    if not password.isascii() or not password.isprintable():
        raise MigrationError("The password in DATABASE_URL has characters that can be written in several ways: use ASCII only.")
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, SCRAM_ROUNDS)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    encoded = [base64.b64encode(part).decode() for part in (salt, stored, server)]
    return f"SCRAM-SHA-256${SCRAM_ROUNDS}:{encoded[0]}${encoded[1]}:{encoded[2]}"


async def _prepare(connection: asyncpg.Connection[asyncpg.Record], modules: Sequence[str]) -> None:
    """Roles, schemas and the table of what was applied. Everything here may run again and again."""
    roles = {r["rolname"] for r in await connection.fetch("select rolname from pg_roles")}
    for role in (MODULES_ROLE, *(module_role(name) for name in modules)):
        if role not in roles:
            await _create_role(connection, f"create role {role} nologin")
    if APP_ROLE not in roles:
        await _create_role(connection, f"create role {APP_ROLE} login")
        for limit in APP_LIMITS:
            await connection.execute(f"alter role {APP_ROLE} set {limit}")
    members = {
        (r["granted"], r["member"])
        for r in await connection.fetch(
            "select roleid::regrole::text as granted, member::regrole::text as member from pg_auth_members"
        )
    }
    for name in modules:
        role = module_role(name)
        # revoked from public: a stray join into another module's schema fails in the database too
        await connection.execute(
            f"create schema if not exists {name}; revoke all on schema {name} from public; grant usage on schema {name} to {role}"
        )
        if (role, APP_ROLE) not in members:
            await connection.execute(f"grant {role} to {APP_ROLE} with inherit false, set true")
        if name != modules[0] and (MODULES_ROLE, role) not in members:
            await connection.execute(f"grant {MODULES_ROLE} to {role} with inherit true, set false")
    await connection.execute(
        "create table if not exists kernel.migration ("
        " module text not null, number int not null, name text not null, checksum text not null,"
        " applied_at timestamptz not null default now(), primary key (module, number))"
    )


async def _create_role(connection: asyncpg.Connection[asyncpg.Record], statement: str) -> None:
    # Roles belong to the server, not the database: another database's migration may create it at this moment.
    await connection.execute(f"do $$ begin {statement}; exception when duplicate_object or unique_violation then null; end $$")


async def _hidden(connection: asyncpg.Connection[asyncpg.Record], migration: Migration) -> list[str]:
    """The tables of which a migration has to see every row, when row security hides them from their owner: one that is no
    superuser, as managed servers have it. Whoever else reads such a table waits until the migration is done."""
    if SEES_EVERYTHING not in migration.sql:
        return []
    rows = await connection.fetch(
        "select c.oid::regclass::text as name from pg_class c join pg_namespace n on n.oid = c.relnamespace"
        " join pg_roles me on me.rolname = current_user"
        " where not me.rolsuper and not me.rolbypassrls and n.nspname = $1 and c.relforcerowsecurity and c.relowner = me.oid"
        " and $2 ~ ('\\m' || n.nspname || '\\.' || c.relname || '\\M') order by 1",
        migration.module,
        migration.sql,
    )
    return [r["name"] for r in rows]


async def _apply(connection: asyncpg.Connection[asyncpg.Record], migration: Migration) -> None:
    record = "insert into kernel.migration (module, number, name, checksum) values ($1, $2, $3, $4)"
    values = (migration.module, migration.number, migration.name, migration.checksum)
    try:
        if migration.sql.startswith(NO_TRANSACTION):
            for statement in migration.sql.split(";\n"):
                if statement.strip():
                    await connection.execute(statement)
            await connection.execute(record, *values)
            return
        async with connection.transaction():
            await connection.execute("set local lock_timeout = '3s'; set local statement_timeout = '10min'")
            hidden = await _hidden(connection, migration)
            for table in hidden:
                await connection.execute(f"alter table {table} no force row level security")
            await connection.execute(migration.sql)
            for table in hidden:
                await connection.execute(f"set constraints all immediate; alter table {table} force row level security")
            await connection.execute(record, *values)
    except asyncpg.PostgresError as e:
        raise MigrationError(f"{migration.module} {migration.number:04} {migration.name}: {e}") from e
