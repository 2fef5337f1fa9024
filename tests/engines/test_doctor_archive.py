"""The doctor says how the archive is: whether every change goes there, how old the last copy is, who can read it."""

import asyncio
import dataclasses
from pathlib import Path

import asyncpg
import pytest
from tests.engines.conftest import eventually
from tests.engines.test_doctor import by_name, faults

import forecourt
from forecourt.engines import engines_running_in, start_engines
from forecourt.engines.doctor import Finding
from forecourt.engines.doctor_archive import Archived, archives, directory, state
from forecourt.engines.sealing import make_identity
from forecourt.kernel.migrate import migrate

MIB = 1024**2
HOUR_S = 3600.0
KEPT = Archived(slot=True, lost=False, streamed=True, behind_bytes=0, commanded=False, failing="", copy_age_s=HOUR_S)
NEVER = Archived(slot=False, lost=False, streamed=False, behind_bytes=None, commanded=False, failing="", copy_age_s=None)


def warned(findings: list[Finding]) -> set[str]:
    return {finding.name for finding in findings if finding.warns}


@pytest.mark.parametrize(
    ("change", "name", "says", "cure"),
    [
        ({"lost": True, "streamed": False}, "Archive", "a gap that nothing closes", "new archive directory"),
        ({"streamed": False, "behind_bytes": 3 * MIB}, "Archive", "Nobody takes the changes kept for it: 3 MiB", "archive.log"),
        ({"behind_bytes": 300 * MIB}, "Archive", "300 MiB behind", "full, or slow"),
        ({"failing": "00000001000000000000000A"}, "Archive", "00000001000000000000000A", "archive_command"),
        ({"copy_age_s": 31 * HOUR_S}, "Last whole copy", "31 hours old", "forecourt backup"),
        ({"copy_age_s": None}, "Last whole copy", "none that the house knows of", "forecourt backup"),
    ],
)
def test_what_is_wrong_with_an_archive_is_told_with_what_to_do(
    change: dict[str, object], name: str, says: str, cure: str
) -> None:
    for production in (False, True):
        findings = state(dataclasses.replace(KEPT, **change), production=production)
        assert faults(findings) == {name}
        assert says in by_name(findings)[name].detail and cure in by_name(findings)[name].cure
        well = state(KEPT, production=production)
        assert faults(well) == warned(well) == set(), "the control"
        assert by_name(well)["Last whole copy"].detail == "1 hour old."


def test_a_house_that_never_archived_hears_of_it_and_is_warned_in_production_alone() -> None:
    (hint,) = state(NEVER, production=False)
    assert hint.ok and not hint.warns and "lost with this disk" in hint.detail and "forecourt up --archive" in hint.detail
    (warning,) = state(NEVER, production=True)
    assert warning.ok and warning.warns and "forecourt up --archive" in warning.cure


def test_a_server_that_is_archived_by_other_means_is_in_order_and_one_that_is_only_copied_is_warned_of() -> None:
    by_others = dataclasses.replace(NEVER, commanded=True)
    only_copied = dataclasses.replace(NEVER, copy_age_s=HOUR_S)
    for production in (False, True):
        assert faults(state(by_others, production=production)) == warned(state(by_others, production=production)) == set()
        findings = state(only_copied, production=production)
        assert all(finding.ok for finding in findings)
        assert warned(findings) == ({"Archive"} if production else set())
        assert "newer than the last whole copy" in by_name(findings)["Archive"].detail


def test_a_directory_is_looked_at_from_outside(tmp_path: Path) -> None:
    for place in (tmp_path / "away", tmp_path / "file"):
        (tmp_path / "file").write_text("")
        (gone,) = directory(place, production=True)
        assert (gone.name, gone.ok) == ("Archive directory", False)
        assert str(place) in gone.detail and "Mount its disk" in gone.cure
    (tmp_path / "empty").mkdir()
    (bare,) = directory(tmp_path / "empty", production=True)
    assert not bare.ok and "Nothing was ever brought" in bare.detail
    (tmp_path / "copies" / "base" / "20261122T030000Z").mkdir(parents=True)
    (tmp_path / "copies" / "base" / "20261122T030000Z" / "note.json").write_text("{}")
    assert by_name(directory(tmp_path / "copies", production=True))["Archive directory"].ok, "whole copies alone"
    (tmp_path / "open" / "wal").mkdir(parents=True)
    for production in (False, True):
        findings = directory(tmp_path / "open", production=production)
        assert faults([f for f in findings if not f.warns]) == set()
        assert warned(findings) == ({"Archive encryption"} if production else set())
        assert "reads everything" in by_name(findings)["Archive encryption"].detail
    (tmp_path / "open" / "archive.json").write_text("nonsense")
    assert {f.name for f in directory(tmp_path / "open", production=False) if not f.ok} == {"Archive encryption"}


def test_a_house_that_streams_is_asked_and_its_directory_found(made: Path, tmp_path: Path) -> None:
    place, recipient = made.parent / "archive", make_identity(tmp_path / "identity", "2026-11-22")
    with start_engines(made, archive=place, archive_recipients=(recipient,)) as engines:
        url = engines.database_url
        running = engines_running_in(made)
        assert running is not None and running.archive == str(place)

        def seen(at: Path | None = None) -> dict[str, Finding]:
            return by_name(archives(url, at or Path(running.archive), production=True))

        assert seen()["Archive"].ok, "a database without tables tells of its stream all the same"
        assert "Last whole copy" not in seen()
        asyncio.run(migrate(url, [("kernel", Path(forecourt.__file__).parent / "kernel" / "migrations")]))
        assert not seen()["Last whole copy"].ok
        asyncio.run(run(url, "insert into kernel.last_copy (finished_at, size_bytes) values (now() - interval '2 hours', 5)"))
        told = seen()
        assert faults(list(told.values())) == set()
        assert list(told) == ["Archive", "Last whole copy", "Archive directory", "Archive encryption"]
        assert told["Last whole copy"].detail == "2 hours old."
        assert told["Archive encryption"].detail == f"For {recipient}."
        place.rename(made.parent / "elsewhere")
        assert not seen()["Archive directory"].ok
        (made.parent / "elsewhere").rename(place)
        engines._owned["archive"].stop()
        assert eventually(lambda: not seen()["Archive"].ok)
        assert "Nobody takes" in seen()["Archive"].detail
    assert archives(url, None, production=True) == [], "what nobody can be asked of is not guessed"


async def run(url: str, statement: str) -> None:
    link = await asyncpg.connect(url)
    try:
        await link.execute(statement)
    finally:
        await link.close()
