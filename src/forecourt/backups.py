"""`forecourt backup`, `restore` and `drill`: what keeps an installation when its disk is lost, and the proof that it would."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import asyncpg
from cyclopts import App, Parameter
from rich.table import Table

from forecourt.daily import Daily
from forecourt.engines import EngineError, backup, engines_running_in, outside, start_engines
from forecourt.engines.archive import refuse_another, refuse_astray
from forecourt.engines.sealing import make_identity
from forecourt.kernel.settings import Environment
from forecourt.terminal import err, out, readers_of, steps, warn_of_readers, warn_of_same_disk

GROWING = ("kernel.event", "payments.entry", "booking.transition", "audit.entry")
"""Tables to which rows are only ever added: a restored one lacks none that the archive had received."""
LEDGER = "select currency, count(*), sum(amount) from payments.entry group by currency order by currency"
ARRIVAL_LIMIT_S = 60.0
NOTED = (
    "insert into kernel.last_copy (finished_at, size_bytes) values ($1, $2)"
    " on conflict (id) do update set finished_at = excluded.finished_at, size_bytes = excluded.size_bytes"
)

HOURS = range(24)

Archive = Annotated[Path, Parameter(help="Where the archive is: a directory on another disk.")]
Recipients = Annotated[
    tuple[str, ...],
    Parameter(
        name="--archive-recipient",
        negative="",
        env_var="FORECOURT_ARCHIVE_RECIPIENTS",
        help="Who can read the archive (age1…), once for each: it is encrypted for them. Default: as last time.",
    ),
]
Unencrypted = Annotated[
    bool,
    Parameter(
        negative="",
        env_var="FORECOURT_ARCHIVE_UNENCRYPTED",
        help="In production too, let a new archive be one that everybody can read who has it.",
    ),
]
Data = Annotated[
    Path, Parameter(env_var="FORECOURT_DATA", help="The data directory of the open house, or what remembers for one outside.")
]
Files = Annotated[
    Path | None,
    Parameter(env_var="FORECOURT_ARCHIVE_FILES", help="The data directory in which uploaded files are, where it is another one."),
]
Identity = Annotated[
    Path | None, Parameter(help="The file that opens an encrypted archive. Bring it when it is needed; keep it elsewhere.")
]


def add_to(app: App) -> None:
    """Make the commands part of `forecourt`."""
    for command in (take, restore, drill):
        app.command(command, name={"take": "backup"}.get(command.__name__, command.__name__))
    archive = App(name="archive", help="Who can read an archive, and what streams the changes of a server outside into it.")
    app.command(archive)
    archive.command(keygen)
    archive.command(stream)


def take(
    archive: Archive,
    *,
    data: Data = Path("var"),
    keep: Annotated[int, Parameter(help="How many whole copies to keep; older ones go, with the changes only they need.")] = 7,
    daily: Annotated[
        int | None,
        Parameter(
            help="Stay, and make one each day at this hour (UTC); at once, too, when the last is a day old, or there is none."
        ),
    ] = None,
    files: Files = None,
    archive_recipient: Recipients = (),
    archive_unencrypted: Unencrypted = False,
) -> None:
    """Make a whole copy of an open house. Once a day, say; `forecourt up --archive` adds every change in between.

    It is encrypted for those for whom the house encrypts already, or for those named here when the archive is new.
    With DATABASE_ADMIN_URL, a superuser's, it is a copy of the server there; `forecourt archive stream` adds its changes.

    Example: forecourt backup /mnt/other/forecourt

    Example: forecourt backup /mnt/other/forecourt --daily 3
    """
    if keep < 1:
        raise EngineError("--keep must be 1 or more: a copy that is not kept is none.", "Leave it out to keep 7.")
    if daily is not None and daily not in HOURS:
        raise EngineError(f"There is no {daily} o'clock.", "Give --daily an hour from 0 to 23.")
    if files is not None and not files.is_dir():
        raise EngineError(f"There is no directory {files}.", "Name the one in which `media/` is, or will be, with --files.")
    place = archive.resolve()
    refuse_astray(place)
    house = Outside.read(os.environ)
    if house is not None:
        outside.refuse_foreign(place)
        readers_of(house.production, data.resolve(), place, archive_recipient, archive_unencrypted)
    beside = backup.Beside(files, house.secrets if house else {})
    copying = Copying(house, data.resolve(), beside, place, archive_recipient, keep)
    if house is None:  # where the data of another are nobody here knows
        warn_of_same_disk(place, data)
    if daily is None:
        copying.make()
        return
    leave_when_told()
    Daily(copying.make_and_go_on, daily, tell_trouble).run(copying.last())


@dataclass(frozen=True)
class Outside:
    """A server that somebody else runs, and what its house was given."""

    database_url: str = field(repr=False)
    production: bool
    secrets: Mapping[str, str] = field(repr=False)

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> Outside | None:
        """The one that DATABASE_ADMIN_URL names, or DATABASE_ADMIN_URL_FILE; None when nobody does. Raises SettingsError."""
        e = Environment(environ)
        url = e.address("DATABASE_ADMIN_URL", ("postgresql", "postgres"))
        # Without it a house that is restored cannot open what it has sealed.
        secrets = {name.lower(): e.secret(name).reveal() for name in ("FORECOURT_SECRET_KEY",) if e.given(name)}
        e.refuse_faults()
        return None if url is None else cls(url.reveal(), e.production, secrets)


@dataclass(frozen=True)
class Copying:
    """How whole copies of a house are made."""

    house: Outside | None
    """None: the one that an `up` runs over `data`."""
    data: Path
    beside: backup.Beside
    place: Path
    recipients: tuple[str, ...]
    keep: int

    def make(self) -> None:
        """One copy, of which is told. Raises EngineError; Untold when there is one all the same."""
        url = self.house.database_url if self.house else open_house(self.data)
        with steps() as report, backup.reasons(self.place):
            refuse_another(self.place, url)  # first: the copies of another house make no room for ours
            gone = backup.trim(self.place, self.keep)  # a full disk is given room by a smaller --keep
            made = backup.take(url, self.data, self.place, report, self.recipients, self.beside)
            gone += backup.trim(self.place, self.keep)
        tell_copy(made, gone, self.place)
        asyncio.run(note(url, made))

    def last(self) -> datetime | None:
        """When the newest copy was finished. Raises EngineError."""
        with backup.reasons(self.place):
            return max((made.finished for made in backup.bases(self.place)), default=None)

    def make_and_go_on(self) -> None:
        """One copy of many: one that the house could not be told of need not be made again. Raises EngineError."""
        try:
            self.make()
        except Untold as untold:
            tell_trouble(str(untold))


def tell_copy(made: backup.Base, gone: list[backup.Base], place: Path) -> None:
    moment = f"{made.finished:%Y-%m-%d %H:%M:%S} UTC"
    out.print(f"A copy of {moment} is in {made.path} ({made.size_bytes / 1e6:,.1f} MB).", soft_wrap=True)
    if gone:
        out.print(f"{len(gone)} older {'copy' if len(gone) == 1 else 'copies'} made room.")
    if not made.encrypted:
        out.print("It is not encrypted: whoever reads it reads everything. A new archive can be: --archive-recipient age1…")
    if not (place / "wal").is_dir():
        out.print("Changes from now on are not in it: start the house with `forecourt up --archive` to have every one.")


def tell_trouble(text: str) -> None:
    err.print(text, style="bold red", markup=False, soft_wrap=True)


def leave_when_told() -> None:
    """SIGTERM ends this process, even the first of a container, and what is half done is cleared away."""

    def leave(*_: object) -> None:
        sys.exit(0)

    signal.signal(signal.SIGTERM, leave)


def stream(
    archive: Archive,
    *,
    data: Data = Path("var"),
    archive_recipient: Recipients = (),
    archive_unencrypted: Unencrypted = False,
) -> None:
    """Bring every change of the server of DATABASE_ADMIN_URL, a superuser's, into an archive, until told to stop.

    For a house whose PostgreSQL somebody else runs; `forecourt up --archive` does it for its own. `forecourt backup` adds whole
    copies.

    Example: DATABASE_ADMIN_URL_FILE=/run/secrets/database_admin_url forecourt archive stream /mnt/other/forecourt
    """
    house = Outside.read(os.environ)
    if house is None:
        raise EngineError(
            "DATABASE_ADMIN_URL is missing.", "Say where the server is. `forecourt up --archive` streams the changes of its own."
        )
    place = archive.resolve()
    refuse_astray(place)
    outside.refuse_foreign(place)
    warn_of_readers(readers_of(house.production, data.resolve(), place, archive_recipient, archive_unencrypted))
    leave_when_told()
    outside.stream(house.database_url, data.resolve(), place, archive_recipient)


def restore(
    archive: Archive,
    *,
    data: Annotated[Path, Parameter(help="A directory that holds no installation yet.")],
    to: Annotated[
        datetime | None,
        Parameter(help="The moment to go back to, such as 2026-11-21T09:30:00Z. Default: the latest there is."),
    ] = None,
    identity: Identity = None,
) -> None:
    """Make an installation from an archive, as it was at one moment. Touches neither the archive nor another installation.

    Example: forecourt restore /mnt/other/forecourt --data var-restored --to 2026-11-21T09:30:00Z

    Example: forecourt restore /mnt/other/forecourt --data var-restored --identity /media/key/forecourt.txt
    """
    if to is not None and to.tzinfo is None:
        raise EngineError(f"{to.isoformat()} could be any of 24 moments.", "Add an offset: +00:00 or Z.")
    with steps() as report:
        base = backup.restore(archive.resolve(), data.resolve(), to, report, identity)
    moment = "as late as the archive knows" if to is None else f"as it was at {to.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    out.print(f"{data} is the house {moment}, from the copy of {base.finished:%Y-%m-%d %H:%M:%S} UTC.", soft_wrap=True)
    out.print("Open it with its own, new archive: forecourt up --data … --archive …", soft_wrap=True)


def drill(
    archive: Archive,
    *,
    data: Annotated[Path, Parameter(env_var="FORECOURT_DATA", help="The data directory of the open house.")] = Path("var"),
    space: Annotated[Path | None, Parameter(help="Where to restore to. Default: the system's temporary directory.")] = None,
    identity: Identity = None,
) -> None:
    """Restore an open house beside itself and prove the result: nothing missing, no damaged page, the ledger sums to zero.

    Example: forecourt drill /mnt/other/forecourt

    Example: forecourt drill /mnt/other/forecourt --identity /media/key/forecourt.txt
    """
    began = time.perf_counter()
    if not archive.is_dir():
        raise EngineError(f"There is no archive {archive}.", "Is its disk mounted, and its name right?")
    url = open_house(data)
    place = Path(tempfile.mkdtemp(prefix="forecourt-drill-", dir=space))
    try:
        with steps() as report:
            findings = asyncio.run(prove(url, archive.resolve(), place / "var", report, identity))
    finally:
        shutil.rmtree(place, ignore_errors=True)
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for name, fine, detail in findings:
        table.add_row("[green]ok[/]" if fine else "[bold red]no[/]", name, detail)
    out.print(table)
    wrong = sum(not fine for _, fine, _ in findings)
    out.print(f"{'The archive is good' if not wrong else f'{wrong} to mend'}. {time.perf_counter() - began:.0f} s.")
    sys.exit(1 if wrong else 0)


def keygen(
    file: Annotated[Path, Parameter(help="Where to write the identity. Nothing there is replaced.")],
) -> None:
    """Make the pair of keys that an encrypted archive needs: an identity, which opens it, and its recipient, for `forecourt up`.

    The file has the form of age-keygen. Keep it where the house is not, twice: nobody opens the archive without it.

    Example: forecourt archive keygen /media/key/forecourt.txt
    """
    recipient = make_identity(file, f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}")
    out.print(recipient, soft_wrap=True)
    err.print(
        f"The identity is in {file}. Keep it, and a second copy of it, away from the house and from the archive.", soft_wrap=True
    )


class Untold(EngineError):
    """A copy of which the house does not know."""


async def note(url: str, made: backup.Base) -> None:
    """Tell the house, whose workers tell how old its last copy is. Raises Untold."""
    try:
        link = await asyncpg.connect(url)
        try:
            await link.execute(NOTED, made.finished, made.size_bytes)
        finally:
            await link.close()
    except (asyncpg.PostgresError, OSError) as error:
        raise Untold(
            f"The copy in {made.path} is whole, but the house could not be told of it: {error}.",
            "Its alerts will take it for missing. Does the house run this release?",
        ) from error


def open_house(data: Path) -> str:
    """The address of the PostgreSQL that an `up` runs over `data`. Raises EngineError when none does."""
    there = engines_running_in(data)
    if there is None or not there.database_url:
        raise EngineError(f"No house is open over {data}.", "Start `forecourt up` first, or name its directory with --data.")
    return there.database_url


Finding = tuple[str, bool, str]


async def prove(url: str, archive: Path, place: Path, report: Callable[[str], None], identity: Path | None) -> list[Finding]:
    """Restore the house at `url` from `archive` into `place` and compare. The house goes on meanwhile."""
    live = await asyncpg.connect(url)
    try:
        report("Waiting for the last change to arrive")
        before = await counts(live)
        await arrived(live)
        await asyncio.to_thread(backup.restore, archive, place, None, report, identity)
        after = await counts(live)
    finally:
        await live.close()
    report("Opening what was restored")
    with start_engines(place) as engines:
        restored = await asyncpg.connect(engines.database_url)
        try:
            there = await counts(restored)
            findings: list[Finding] = [
                (
                    table,
                    before[table] <= there[table] <= after[table],
                    f"{there[table]:,} rows; {before[table]:,} when the drill began",
                )
                for table in GROWING
            ]
            findings += [
                (f"ledger in {currency}", total == 0, f"{entries:,} entries, sum {total}")
                for currency, entries, total in await restored.fetch(LEDGER)
            ]
        finally:
            await restored.close()
        report("Reading the audit record")
        findings += await audit(engines.database_url)
        report("Reading every page and index")
        damaged = await asyncio.to_thread(backup.damage, engines.database_url)
        findings.append(("pages and indexes", not damaged, damaged or "every one read and compared"))
    return findings


async def counts(link: asyncpg.Connection[asyncpg.Record]) -> dict[str, int]:
    rows = await link.fetch(" union all ".join(f"select '{table}' as name, count(*) as n from {table}" for table in GROWING))  # noqa: S608
    return {row["name"]: row["n"] for row in rows}


async def arrived(link: asyncpg.Connection[asyncpg.Record]) -> None:
    """Wait until the archive has every change of this moment. Raises EngineError."""
    wanted = await link.fetchval("select pg_current_wal_flush_lsn()")
    there = (
        "select max(s.restart_lsn) >= $1 from pg_replication_slots s where s.slot_name = 'forecourt_archive' and (s.active or"
        " exists (select from pg_stat_replication r where r.application_name like 'forecourt\\_archive.%'))"
    )
    give_up = datetime.now(UTC) + timedelta(seconds=ARRIVAL_LIMIT_S)
    while not (here := await link.fetchval(there, wanted)):
        if here is None:
            raise EngineError("The house does not stream its changes.", "Start it with `forecourt up --archive …`.")
        if datetime.now(UTC) > give_up:
            raise EngineError("The archive is far behind the house.", "Is its disk full or slow? See log/archive.log.")
        await asyncio.sleep(0.1)


async def audit(url: str) -> list[Finding]:
    from forecourt.app import app_url
    from forecourt.modules.audit.command import proofs

    records = entries = 0
    broken: list[str] = []
    async for proof in proofs(app_url(url), None):
        records, entries = records + 1, entries + proof.entries
        if not proof.intact:
            broken.append(str(proof.organisation_id))
    return [
        (
            "audit record",
            not broken,
            f"broken: {', '.join(broken)}" if broken else f"{records:,} records, {entries:,} entries, whole",
        )
    ]
