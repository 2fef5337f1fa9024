"""What the doctor says of an archive: whether every change goes there, how old the last copy is, who can read it."""

import asyncio
import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from forecourt.engines.doctor import ANSWER_LIMIT_S, Finding, finding, warning
from forecourt.engines.process import EngineError
from forecourt.engines.sealing import SUFFIX, described, holds
from forecourt.engines.stream import SLOT

MIB = 1024**2
MOST_BEHIND_BYTES = 256 * MIB
OLDEST_COPY_S = 30 * 3600.0
"""The same as the alerts ArchiveStalls and CopyOld (docs/runbooks)."""
NEW_ARCHIVE = "Open the house with a new archive directory, `forecourt up --archive …`, then `forecourt backup …`."
KEEP_ONE = "`forecourt up --archive …` brings every change to another disk, `forecourt backup …` adds a whole copy each day."

STATE = (
    "select s.slot_name is not null as slot, coalesce(s.wal_status = 'lost' and not s.active, false) as lost,"
    # An encrypted archive has a stream that leaves the slot alone until what came is on the archive's disk (stream.py).
    " coalesce(s.active, false)"
    "  or exists (select from pg_stat_activity r where starts_with(r.application_name, $1 || '.')) as streamed,"
    " pg_wal_lsn_diff(pg_current_wal_lsn(), s.restart_lsn)::bigint as behind_bytes,"
    " current_setting('archive_mode') <> 'off' as commanded,"
    " case when a.last_failed_time > coalesce(a.last_archived_time, '-infinity') then a.last_failed_wal else '' end as failing"
    " from pg_stat_archiver a left join pg_replication_slots s on s.slot_name = $1"
)
COPY_AGE = "select extract(epoch from now() - c.finished_at)::float8 from kernel.last_copy c"


@dataclass(frozen=True)
class Archived:
    """What a server says of its archive."""

    slot: bool
    """Whether it keeps changes for our stream."""
    lost: bool
    """Whether it no longer keeps all that the archive has not got."""
    streamed: bool
    behind_bytes: int | None
    commanded: bool
    """Whether it has an `archive_command`, by whoever set it up."""
    failing: str
    """The file of the log that the command cannot put away; "" when it can."""
    copy_age_s: float | None
    """Since the last whole copy was finished; None: there is none that the house knows of."""
    prepared: bool = True
    """Whether it has the tables in which a copy would be noted."""


def archives(database_url: str | None, place: Path | None, *, production: bool) -> list[Finding]:
    """How the archive of the server is, and its directory when that is known. What nobody can be asked of is left out."""
    there = asyncio.run(ask(database_url)) if database_url else None
    findings = state(there, production=production) if there else []
    return findings + (directory(place, production=production) if place else [])


async def ask(database_url: str) -> Archived | None:
    """None when the server cannot be reached: that is told elsewhere."""
    try:
        link = await asyncpg.connect(database_url, timeout=ANSWER_LIMIT_S, command_timeout=ANSWER_LIMIT_S)
    except (OSError, TimeoutError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return None
    try:
        row = (await link.fetch(STATE, SLOT))[0]
        age_s, prepared = await copy_age(link)
        return Archived(
            row["slot"],
            row["lost"],
            row["streamed"],
            row["behind_bytes"],
            row["commanded"],
            row["failing"],
            age_s,
            prepared,
        )
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return None
    finally:
        with contextlib.suppress(OSError, TimeoutError, asyncpg.PostgresError):
            await link.close(timeout=ANSWER_LIMIT_S)


async def copy_age(link: "asyncpg.Connection[asyncpg.Record]") -> tuple[float | None, bool]:
    """How old the last whole copy is, and whether the database could have noted one."""
    try:
        await link.execute("set role fc_kernel")  # rows are shown to no other
        return await link.fetchval(COPY_AGE), True
    except (
        asyncpg.UndefinedObjectError,
        asyncpg.InvalidParameterValueError,
        asyncpg.UndefinedTableError,
        asyncpg.InvalidSchemaNameError,
        asyncpg.InsufficientPrivilegeError,
    ):
        return None, False


def state(there: Archived, *, production: bool) -> list[Finding]:
    """What follows from what a server says."""
    known_copy = there.copy_age_s is not None
    if not (there.slot or there.commanded or known_copy):
        return [never(production=production)]
    return [changes(there, production=production), *([last_copy(there)] if there.prepared and (there.slot or known_copy) else [])]


def never(*, production: bool) -> Finding:
    seen = "There is none: what is lost with this disk is lost."
    if production:
        return warning("Archive", False, seen, KEEP_ONE)
    return finding("Archive", True, f"{seen} {KEEP_ONE}")


def changes(there: Archived, *, production: bool) -> Finding:
    """Whether every change goes to the archive."""
    name = "Archive"
    behind = f"{(there.behind_bytes or 0) / MIB:.0f} MiB"
    if there.failing:
        cure = "Mend the server's archive_command: its own log says why. Until then its disk fills."
        return finding(name, False, f"The server cannot put {there.failing} of its log away.", cure)
    if not there.slot and there.commanded:
        return finding(name, True, "The server's own archive_command takes every change.")
    if not there.slot:
        seen = "No changes are kept: what is newer than the last whole copy is lost with this disk."
        return warning(name, not production, seen, KEEP_ONE)
    if there.lost:
        return finding(name, False, "The server no longer keeps what it has not got: a gap that nothing closes.", NEW_ARCHIVE)
    if not there.streamed:
        cure = (
            "Is its disk there? See log/archive.log, and start the house with `forecourt up --archive …`."
            f" If there is to be none any more: select pg_drop_replication_slot('{SLOT}')."
        )
        return finding(name, False, f"Nobody takes the changes kept for it: {behind} wait.", cure)
    late = (there.behind_bytes or 0) > MOST_BEHIND_BYTES
    seen = f"It is {behind} behind." if late else "Every change goes there."
    return finding(name, not late, seen, "Is its disk full, or slow? See log/archive.log.")


def last_copy(there: Archived) -> Finding:
    name, cure = "Last whole copy", "Make one with `forecourt backup …`, and let something make one each day."
    if there.copy_age_s is None:
        return finding(name, False, "There is none that the house knows of: changes alone restore nothing.", cure)
    hours = int(there.copy_age_s // 3600)
    age = "Less than an hour" if hours < 1 else "1 hour" if hours == 1 else f"{hours} hours"
    return finding(name, there.copy_age_s <= OLDEST_COPY_S, f"{age} old.", cure)


def directory(place: Path, *, production: bool) -> list[Finding]:
    """Whether an archive's directory is there and ours to write to, and who can read what is in it."""
    name, cure = "Archive directory", "Mount its disk, with its owner, or name the right one with --archive."
    if not place.is_dir():
        return [finding(name, False, f"{place} is not there.", cure)]
    parts = [part for part in (place / "wal", place / "base") if part.is_dir()]
    if not parts:
        return [finding(name, False, f"Nothing was ever brought to {place}.", cure)]
    if not all(os.access(part, os.R_OK | os.W_OK | os.X_OK) for part in parts):
        return [finding(name, False, f"This user may not read and write in {place}.", "Run as the user who owns it.")]
    return [finding(name, True, str(place)), encryption(place, production=production)]


def encryption(place: Path, *, production: bool) -> Finding:
    name = "Archive encryption"
    try:
        there = described(place)
    except EngineError as error:
        return finding(name, False, error.happened, error.cure)
    if there is not None:
        return finding(name, True, f"For {' and '.join(there.recipients)}.")
    if holds(place, f"wal/*{SUFFIX}"):
        return finding(name, False, f"It has lost its list of recipients ({place}).", NEW_ARCHIVE)
    seen = "None: whoever reads it reads everything."
    cure = "Begin a new one, for somebody: --archive-recipient age1… (`forecourt archive keygen`). Or encrypt its disk."
    return warning(name, False, seen, cure) if production else finding(name, True, seen)
