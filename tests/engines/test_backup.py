"""Back up, destroy, restore: to a marked second, and to the last word."""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import asyncpg
import pytest
from tests.engines.conftest import RunProgram, eventually, processes_of

from forecourt import backups
from forecourt.engines import EngineError, backup, plain_log, start_engines
from forecourt.engines import archive as archives
from forecourt.engines.archive import PROGRAM, recognise, story_in, story_of
from forecourt.engines.gaps import Brought, Gap
from forecourt.engines.process import Nursery, Owner, living_in
from forecourt.engines.sealed_log import open_log
from forecourt.engines.sealing import kept, make_identity, read_identities
from forecourt.terminal import warn_of_same_disk

PHOTO = "media/photos/court-one"
OLD = "what the house had before"
MARK = "Ada Lovelace of court one"
"""Something that only who may read the archive is to find in it."""


@pytest.fixture
def archive(data: Path) -> Path:
    return data.with_name("archive")


@pytest.fixture
def identity(data: Path) -> Path:
    return data.with_name("identity")


@pytest.fixture
def recipients(identity: Path) -> list[str]:
    return [make_identity(identity, "2026-11-22")]


def found_in(archive: Path, *texts: str) -> set[str]:
    """Which of the texts anybody finds in an archive's files or their names."""
    there = b"".join(str(file).encode() + file.read_bytes() for file in archive.rglob("*") if file.is_file())
    return {text for text in texts if text.encode() in there}


def run(url: str, *statements: str) -> object:
    async def work() -> object:
        link = await asyncpg.connect(url)
        try:
            for statement in statements[:-1]:
                await link.execute(statement)
            return await link.fetchval(statements[-1])
        finally:
            await link.close()

    return asyncio.run(work())


class Writer:
    """Commits one row after another and knows what was acknowledged, and when."""

    def __init__(self, url: str) -> None:
        self.acknowledged: dict[int, tuple[datetime, datetime]] = {}
        self._stop = threading.Event()
        self._url = url
        self._thread = threading.Thread(target=lambda: asyncio.run(self._write()))

    async def _write(self) -> None:
        link = await asyncpg.connect(self._url)
        number = 0
        while not self._stop.is_set():
            number += 1
            began = datetime.now(UTC)
            await link.execute("insert into word (id) values ($1)", number)
            self.acknowledged[number] = began, datetime.now(UTC)
            await asyncio.sleep(0.005)
        await link.close()

    def __enter__(self) -> "Writer":
        self._thread.start()
        assert eventually(lambda: len(self.acknowledged) > 5)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def more(self) -> None:
        seen = len(self.acknowledged)
        assert eventually(lambda: len(self.acknowledged) > seen + 5)


@contextlib.contextmanager
def restored(archive: Path, data: Path, to: datetime | None = None, identity: Path | None = None) -> Iterator[set[int]]:
    place = data.with_name("restored")
    backup.restore(archive, place, to, identity=identity)
    with start_engines(place) as engines:
        words = run(engines.database_url, "select array_agg(id) from word")
        yield set(words) if isinstance(words, list) else set()
        run(engines.database_url, "insert into word (id) values (-1)", "select 1")  # it is a whole server: it takes writes
    assert processes_of(place) == {}


def test_restored_to_a_marked_second_nothing_before_is_missing_and_nothing_after_is_there(
    data: Path, archive: Path, identity: Path, recipients: list[str]
) -> None:
    with start_engines(data, archive=archive, archive_recipients=recipients) as engines:
        run(
            engines.database_url,
            "create table word (id bigint primary key)",
            f"select pg_logical_emit_message(true, '', '{MARK}')::text",
        )
        with Writer(engines.database_url) as writer:
            backup.take(engines.database_url, data, archive)
            writer.more()
            marked = datetime.now(UTC)
            writer.more()
    shutil.rmtree(data)
    assert found_in(archive, MARK) == set(), "nobody reads it who only has the archive"
    with restored(archive, data, marked, identity) as words:
        assert words >= {n for n, (_, done) in writer.acknowledged.items() if done <= marked}
        assert words <= {n for n, (began, _) in writer.acknowledged.items() if began <= marked}


def test_without_a_moment_every_acknowledged_change_comes_back(data: Path, archive: Path) -> None:
    """Of an archive that is not encrypted: the control for what nobody finds in one that is."""
    with start_engines(data, archive=archive) as engines:
        run(
            engines.database_url,
            "create table word (id bigint primary key)",
            f"select pg_logical_emit_message(true, '', '{MARK}')::text",
        )
        backup.take(engines.database_url, data, archive)
        with Writer(engines.database_url) as writer:
            writer.more()
    shutil.rmtree(data)
    assert found_in(archive, MARK) == {MARK}
    with restored(archive, data) as words:
        assert words == set(writer.acknowledged)


def test_a_disk_lost_under_a_running_server_takes_nothing_along_that_had_reached_the_archive(
    data: Path, archive: Path, run_program: RunProgram, identity: Path, recipients: list[str]
) -> None:
    told = f"archive=Path({str(archive)!r}), archive_recipients={recipients!r}"
    program = run_program(data, preamble=f"import functools, forecourt.engines as e\nfrom pathlib import Path\n"
                          f"e.start_engines = functools.partial(e.start_engines, {told})\n")  # fmt: skip
    url, _ = program.addresses()
    run(url, "create table word (id bigint primary key)", "select 1")
    backup.take(url, data, archive)
    with Writer(url) as writer:
        writer.more()
    arrived = "select pg_current_wal_flush_lsn() <= restart_lsn from pg_replication_slots where slot_name = 'forecourt_archive'"
    assert eventually(lambda: run(url, arrived) is True)
    for pid in processes_of(data):
        with contextlib.suppress(ProcessLookupError):  # the stream dies with who reads it
            os.kill(pid, signal.SIGKILL)
    program.kill()
    assert eventually(lambda: not processes_of(data))
    shutil.rmtree(data)
    with restored(archive, data, identity=identity) as words:
        assert words == set(writer.acknowledged)


@pytest.mark.parametrize("encrypted", [False, True])
def test_a_stream_that_was_killed_goes_on_without_a_gap(
    encrypted: bool, data: Path, archive: Path, identity: Path, recipients: list[str]
) -> None:
    with start_engines(data, archive=archive, archive_recipients=recipients if encrypted else ()) as engines:
        run(engines.database_url, "create table word (id bigint primary key)", "select 1")
        backup.take(engines.database_url, data, archive)
        with Writer(engines.database_url) as writer:
            there = processes_of(data / "spool" if encrypted else archive)
            (stream,) = (pid for pid, name in there.items() if encrypted == (name != PROGRAM))
            os.kill(stream, signal.SIGKILL)
            assert eventually(lambda: engines.poll() == ["archive"])
            writer.more()
            engines.restart("archive")
            writer.more()
    shutil.rmtree(data)
    with restored(archive, data, identity=identity if encrypted else None) as words:
        assert words == set(writer.acknowledged)


def test_what_cannot_be_restored_is_said_in_plain_words_and_leaves_nothing_behind(data: Path, archive: Path) -> None:
    place = data.with_name("restored")
    with pytest.raises(EngineError, match="There is no whole copy"):
        backup.restore(archive, place)
    with start_engines(data, archive=archive) as engines:
        run(engines.database_url, "create table word (id bigint primary key)", "select 1")
        before = datetime.now(UTC)
        base = backup.take(engines.database_url, data, archive)
        run(engines.database_url, "insert into word (id) values (1)", "select 1")
        with pytest.raises(EngineError, match="in use by"):
            backup.restore(archive, data)
    with pytest.raises(EngineError, match="after the moment asked for"):
        backup.restore(archive, place, before)
    with pytest.raises(EngineError, match="holds a database already"):
        backup.restore(archive, data)
    with pytest.raises(EngineError, match="moment asked for is later"):
        backup.restore(archive, place, datetime.now(UTC) + timedelta(days=1))
    assert not (place / "pg").exists()
    assert not (place / "pg.restoring").exists()
    assert processes_of(place) == {}
    copy = base.path / "copy" / "base.tar.gz"
    whole = copy.read_bytes()
    copy.write_bytes(whole[: len(whole) // 2] + bytes([whole[len(whole) // 2] ^ 1]) + whole[len(whole) // 2 + 1 :])
    with pytest.raises(EngineError, match="pg_verifybackup failed"):
        backup.restore(archive, place)
    copy.write_bytes(whole)
    backup.restore(archive, place)  # the control: after all that, the whole copy in the same place is good


def kept_log(archive: Path) -> set[str]:
    return {file.name.partition(".")[0] for file in (archive / "wal").iterdir()}


def test_copies_that_are_not_kept_go_with_the_changes_that_only_they_needed(
    data: Path, archive: Path, identity: Path, recipients: list[str]
) -> None:
    with start_engines(data, archive=archive, archive_recipients=recipients) as engines:
        run(engines.database_url, "create table word (id bigint primary key)", "select 1")
        made: list[backup.Base] = []
        for number in range(3):
            run(engines.database_url, f"insert into word (id) values ({number})", "select pg_switch_wal()::text")
            assert eventually(lambda: not made or datetime.now(UTC) - made[-1].started > timedelta(seconds=1))
            made.append(backup.take(engines.database_url, data, archive))
        assert backup.bases(archive) == made
        assert backup.trim(archive, 1) == made[:2]
        assert backup.bases(archive) == made[2:]
        assert backup.trim(archive, 1) == []
        # The file that is being written may have come only in part, or, for a moment, not at all.
        assert eventually(lambda: min(kept_log(archive), default="") == made[2].first_wal)
        run(engines.database_url, "insert into word (id) values (3)", "select 1")
    shutil.rmtree(data)
    with restored(archive, data, identity=identity) as words:
        assert words == {0, 1, 2, 3}


def test_files_and_secrets_travel_with_the_copy_each_with_the_secrets_of_its_time(data: Path, archive: Path) -> None:
    place, key = data.with_name("restored"), Path("secrets", "key")
    with start_engines(data, archive=archive) as engines:
        files_of(data)
        first = backup.take(engines.database_url, data, archive)
        run(engines.database_url, "create table word (id bigint primary key)", "select 1")
        before = datetime.now(UTC)
        assert eventually(lambda: datetime.now(UTC) - first.started > timedelta(seconds=1))
        (data / key).write_text("new")
        run(engines.database_url, "insert into word (id) values (1)", "select 1")
        second = backup.take(engines.database_url, data, archive)
    assert found_in(archive, "court-one", OLD) == {"court-one", OLD}, "it is not encrypted"
    backup.restore(archive, place)
    assert [(place / name).read_text() for name in (key, Path(PHOTO))] == ["new", OLD]
    assert (place / "secrets").stat().st_mode & 0o077 == 0
    assert not (archive / "media" / ".incoming").exists(), "nobody knows what is on its way in"
    shutil.rmtree(place)
    backup.restore(archive, place, before)
    assert (place / key).read_text() == OLD
    # Of copies of earlier releases the archive has the secrets in one place.
    shutil.rmtree(first.path / "secrets")
    assert [backup.secrets_of(base, archive) for base in (first, second)] == [archive / "secrets", second.path / "secrets"]


def files_of(data: Path) -> None:
    """A secret, an uploaded file and one that is still on its way in."""
    for name in ("secrets/key", PHOTO, "media/.incoming/half"):
        file = data / name
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file.write_text(OLD)


def test_an_encrypted_copy_gives_everything_back_to_its_identity_and_nothing_to_anybody_else(
    data: Path, archive: Path, identity: Path, recipients: list[str]
) -> None:
    """A whole copy alone, of a house that streams nothing: the log that it needs is in it."""
    place, second, stranger = (data.with_name(name) for name in ("restored", "second", "stranger"))
    recipients.append(make_identity(second, "2026-11-22"))
    make_identity(stranger, "2026-11-22")
    with start_engines(data) as engines:
        files_of(data)
        run(engines.database_url, "create table word (id bigint primary key)", "insert into word values (7)", "select 1")
        base = backup.take(engines.database_url, data, archive, recipients=recipients)
        slots = run(engines.database_url, "select count(*) from pg_replication_slots")
        assert slots == 0, "the server keeps nothing for a copy that is made"
        (data / PHOTO).touch()  # the second copy has it already
        assert eventually(lambda: datetime.now(UTC) - base.started > timedelta(seconds=1))
        backup.take(engines.database_url, data, archive)
    assert len([file for file in (archive / "media").rglob("*") if file.is_file()]) == 1
    assert found_in(archive, "court-one", OLD, ".incoming") == set()
    assert found_in(data, "AGE-SECRET-KEY-", OLD) == {OLD}, "the house has nothing that opens it"
    for wrong, words in ((None, "is encrypted"), (stranger, "No identity in"), (data, "No identity can be read")):
        with pytest.raises(EngineError, match=words):
            backup.restore(archive, place, identity=wrong)
        assert not place.exists(), "not half a house"
    copy = backup.bases(archive)[-1].path / "base.tar.gz.age"
    whole = copy.read_bytes()
    for damaged in (whole[: len(whole) // 2], whole[:-100] + bytes([whole[-100] ^ 1]) + whole[-99:]):
        copy.write_bytes(damaged)
        with pytest.raises(EngineError, match="is damaged"):
            backup.restore(archive, place, identity=identity)
        assert not (place / "pg").exists() and not (place / "pg.restoring").exists()
    copy.write_bytes(whole)
    (archive / "archive.json").unlink()  # said for those who write to it; who restores can do without
    with pytest.raises(EngineError, match="No identity in"):
        backup.restore(archive, place, identity=stranger)
    with restored(archive, data, identity=second) as words:  # the control: either of the two
        assert words == {7}
    assert [(place / name).read_text() for name in ("secrets/key", PHOTO)] == [OLD, OLD]
    assert kept(place) == tuple(sorted(recipients)), "its next archive is for the same"
    assert not (place / "media" / ".incoming").exists()
    assert not (place / "wal.restoring").exists()


def test_a_restore_to_the_end_tells_of_a_file_of_the_log_that_is_missing_wherever_it_is(
    made: Path, archive: Path, identity: Path, recipients: list[str]
) -> None:
    """Of an encrypted archive the first after the copy, as when changes were streamed only later; of a plain one a later one."""
    plain, place = made.with_name("plain"), made.with_name("restored")
    switch = "select pg_switch_wal()::text"
    with start_engines(made, archive=archive, archive_recipients=recipients) as engines:
        url = engines.database_url
        run(url, "create table word (id bigint primary key)", "insert into word (id) values (1)", "select 1")
        backup.take(url, made.with_name("strange"), plain)
        first = backup.take(url, made, archive).first_wal
        run(url, "insert into word (id) values (2)", "select 1")
        marked = datetime.now(UTC)
        run(url, "insert into word (id) values (3)", switch)
        run(url, "insert into word (id) values (4)", switch)
        run(url, "insert into word (id) values (5)", "select 1")
    shutil.rmtree(made)
    (plain / "wal").mkdir(mode=0o700)
    open_log(archive / "wal", plain / "wal", backup.bases(plain)[0].first_wal, read_identities(identity), until_end=True)
    after = sorted(name for name in kept_log(archive) if name > first)
    for name in kept_log(archive) - set(after):
        (archive / "wal" / f"{name}.age").unlink()  # the copy has them
    backup.restore(archive, place, identity=identity)  # the control: what comes begins where the copy ends
    shutil.rmtree(place)
    (archive / "wal" / f"{after[0]}.age").unlink()
    (plain / "wal" / after[1]).unlink()
    for damaged, missing in ((archive, f"{after[0]}.age"), (plain, after[1])):
        with pytest.raises(Gap, match=f"{missing} is missing, and later changes are there"):
            backup.restore(damaged, place, identity=identity)
        assert not (place / "pg").exists() and not (place / "pg.restoring").exists()
    backup.restore(plain, place, marked)  # what is before the gap can be had


def test_the_log_of_a_plain_archive_is_read_while_its_files_get_their_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a drill: pg_receivewal ends a file and begins the next, between a look and the copy of what was seen."""
    wal, into = tmp_path / "wal", tmp_path / "into"
    wal.mkdir()
    into.mkdir()
    one, two, three = (f"{1:08X}{number:016X}" for number in (1, 2, 3))
    for name in (one, f"{two}.partial", "00000001.history"):
        (wal / name).write_text(name)
    real, turned = shutil.copyfile, list[Path]()

    def turn(source: Path, target: Path) -> object:
        if source.suffix == ".partial" and not turned:
            turned.append(source.rename(wal / two))
            (wal / f"{three}.partial").write_text(three)
        return real(source, target)

    monkeypatch.setattr(shutil, "copyfile", turn)
    plain_log.copy(wal, into, one, until_end=True)
    assert sorted(file.name for file in into.iterdir()) == ["00000001.history", one, two, f"{three}.partial"]
    shutil.rmtree(into)
    into.mkdir()
    (wal / two).unlink()
    with pytest.raises(Gap, match=two):  # the control: one that is not there is not, however often it is looked
        plain_log.copy(wal, into, one, until_end=True)
    plain_log.refuse_gap(wal, one, Brought(frozenset([two]), 1 << 24))  # the copy has it
    (wal / one).rename(wal / f"{one}.partial")
    with pytest.raises(Gap, match=one):  # half a file, and later ones
        plain_log.refuse_gap(wal, one, Brought(frozenset([two]), 1 << 24))


def test_a_file_that_gets_its_name_while_the_server_asks_for_it_is_not_taken_for_missing(tmp_path: Path) -> None:
    wal, name = tmp_path / "wal", f"{1:024X}"
    wal.mkdir()
    (wal / f"{name}.partial").write_text("changes")
    target = tmp_path / "target"
    asked = backup.recovery_settings(wal, None)["restore_command"].replace("%f", name).replace("%p", str(target))
    turning = f'cp() {{ [ -e {wal}/{name} ] || mv {wal}/{name}.partial {wal}/{name}; command cp "$@"; }}; '
    assert subprocess.run(["sh", "-c", turning + asked], check=False, capture_output=True, timeout=30).returncode == 0
    assert target.read_text() == "changes"
    (wal / name).rename(wal / f"{name}.partial")  # the control: one that stays as it is, and none
    target.unlink()
    assert subprocess.run(["sh", "-c", asked], check=False, capture_output=True, timeout=30).returncode == 0
    assert target.read_text() == "changes"
    (wal / f"{name}.partial").unlink()
    assert subprocess.run(["sh", "-c", asked], check=False, capture_output=True, timeout=30).returncode == 1


def test_who_waits_for_the_stream_asks_less_and_less_often_and_not_when_the_house_closes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nursery = Nursery()
    now, asked = 0.0, list[float]()
    coming = closing = 0

    def ask(url: str, statement: str) -> str:
        asked.append(now)
        if len(asked) == closing:
            nursery.closing.set()
        return "1" if len(asked) == coming else ""

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    monkeypatch.setattr(archives, "ask", ask)
    monkeypatch.setattr(archives, "time", SimpleNamespace(monotonic=lambda: now, sleep=sleep))
    try:
        command = ["/bin/sleep", "60"]
        nursery.start(
            archives.NAME,
            command,
            Owner("self", os.geteuid()),
            cwd=tmp_path,
            log=tmp_path / "log",
            death_signal=signal.SIGKILL,
        )
        archives.await_stream("", "", nursery)
        assert len(asked) < 30 and asked[-1] > 9, "it waits as long as it may"
        assert asked[3] - asked[0] < 0.2, "one that comes at once is not kept waiting"
        for coming, closing in ((2, 0), (0, 3)):
            asked.clear()
            archives.await_stream("", "", nursery)
            assert len(asked) == coming + closing
    finally:
        nursery.close()


def test_an_archive_in_a_directory_that_is_not_there_is_refused_and_nothing_is_made(
    made: Path, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is not mounted, or a slip of the pen: it would be an archive on the disk of the data."""
    astray = made.with_name("unmounted") / "archive"

    def opened(place: Path) -> None:
        start_engines(made, archive=place).stop()

    def copied(place: Path) -> None:
        backups.take(place, data=made)

    def held(place: Path) -> None:
        with backup.alone(place):
            pass

    for act in (opened, copied, held):
        with pytest.raises(EngineError, match=f"There is no directory {astray.parent}.*\n.*mounted"):
            act(astray)
    monkeypatch.setenv("DATABASE_ADMIN_URL", "postgresql://owner@db.invalid/house")
    for elsewhere in (copied, backups.stream):
        with pytest.raises(EngineError, match=f"There is no directory {astray.parent}"):
            elsewhere(astray)
    assert not astray.parent.exists()
    held(archive)  # the control: the last one is made
    assert (archive / "base").is_dir()


def test_a_house_whose_archive_is_gone_begins_no_second_one_in_the_empty_mount_point(data: Path, archive: Path) -> None:
    away = archive.with_name("its disk")
    with start_engines(data, archive=archive) as engines:
        assert eventually(lambda: any((archive / "wal").iterdir()))
        url = engines.database_url
    archive.rename(away)
    for mount_point in (
        lambda: None,
        archive.mkdir,
        (archive / "wal").mkdir,
    ):  # the last: as a house finds it that died right then
        mount_point()
        with pytest.raises(EngineError, match=r"nothing is there now.*\n.*mounted"):
            start_engines(data, archive=archive)
        with pytest.raises(EngineError, match="nothing is there now"):
            backup.take(url, data, archive)
    shutil.rmtree(archive)
    away.rename(archive)
    with start_engines(data, archive=archive):  # the controls: it is back, and one elsewhere is another
        pass
    recognise(away, data)


def test_an_archive_beside_the_data_is_warned_of_and_one_on_another_disk_is_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for place in (tmp_path / "archive", tmp_path):
        warn_of_same_disk(place, tmp_path)
        assert "same disk" in capsys.readouterr().err
    warn_of_same_disk(Path("/proc/archive"), tmp_path)
    assert capsys.readouterr().err == ""


def test_a_drill_of_an_archive_that_is_not_there_says_so_before_anything_else(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"There is no archive .*none"):
        backups.drill(tmp_path / "none", data=tmp_path / "var")
    with pytest.raises(EngineError, match="No house is open"):  # the control
        backups.drill(tmp_path, data=tmp_path / "var")


@pytest.mark.skipif(os.geteuid() != 0, reason="changes users, which only root may do")
def test_an_archive_that_belongs_to_somebody_else_is_restored_to_its_end(data: Path, archive: Path) -> None:
    """That of a container belongs to its PostgreSQL, and the server that replays it here is another."""
    place = data.with_name("restored")
    with start_engines(data, archive=archive) as engines:
        run(engines.database_url, "create table word (id bigint primary key)", "select 1")
        base = backup.take(engines.database_url, data, archive)
        run(engines.database_url, "insert into word (id) values (7)", "select 1")
    for path in (archive, *archive.rglob("*")):
        os.chown(path, 999, 999)
        path.chmod(0o700 if path.is_dir() else 0o600)
    with restored(archive, data) as words:
        assert words == {7}
    assert not (place / "wal.restoring").exists()
    # The control: a server that cannot open the log stops, and does not take it for ended.
    command = (
        backup.recovery_settings(archive / "wal", None)["restore_command"]
        .replace("%p", "/dev/null")
        .replace("%f", base.first_wal)
    )
    denied = ["setpriv", "--reuid=65534", "--clear-groups", "--inh-caps=-all", "sh", "-c", command]
    assert subprocess.run(denied, check=False, capture_output=True, timeout=30).returncode == 255
    none = command.replace(base.first_wal, "0" * 24)
    assert subprocess.run(["sh", "-c", none], check=False, capture_output=True, timeout=30).returncode == 1


def test_an_archive_takes_the_changes_of_one_house_only(data: Path, archive: Path) -> None:
    """The files of every database have the same names: a second one writes over the first, and neither can be restored."""
    place = data.with_name("restored")
    with start_engines(data, archive=archive) as engines:
        backup.take(engines.database_url, data, archive)
        assert eventually(lambda: story_in(archive) == story_of(engines.database_url))
        streaming = living_in(archive / "wal", PROGRAM)
        with pytest.raises(EngineError, match="archive of another house"):
            start_engines(data.with_name("second"), archive=archive)
        assert living_in(archive / "wal", PROGRAM) == streaming != [], "the first one's stream goes on"
    backup.restore(archive, place)
    with pytest.raises(EngineError, match="before, or after, it was restored"):
        start_engines(place, archive=archive)
    with start_engines(place, archive=data.with_name("archive-2")) as engines:  # the control: one of its own
        shutil.rmtree(archive / "wal")
        with pytest.raises(EngineError, match="before, or after, it was restored"):  # whole copies tell whose they are, too
            backup.take(engines.database_url, place, archive)


def test_two_copies_at_once_do_not_clear_each_other_away_and_one_that_fails_leaves_nothing(data: Path, archive: Path) -> None:
    with start_engines(data) as engines:
        others = archive / "base" / "20200101T000000Z.part" / "copy"
        with backup.alone(archive):
            others.mkdir(parents=True)
            with pytest.raises(EngineError, match="is being made"):
                backup.take(engines.database_url, data, archive)
            assert others.is_dir()
        (data / "media").mkdir()
        (data / "media" / "photo").touch()
        (archive / "media").write_text("in the way")
        with pytest.raises(EngineError, match="cannot be written"):
            backup.take(engines.database_url, data, archive)
        assert list((archive / "base").glob("*.part")) == [], "nothing takes the room that changes need"
        (archive / "media").unlink()
        made = backup.take(engines.database_url, data, archive)
        shutil.copytree(made.path, made.path.with_name("20200101T000000Z"))
        assert len(backup.trim(archive, 1)) == 1, "also where there are whole copies alone"
        assert backup.bases(archive) == [made]


def test_a_new_archive_gets_what_happens_after_the_old_one_was_given_up(
    data: Path, archive: Path, identity: Path, recipients: list[str]
) -> None:
    """One that is away for too long: the server keeps no more than it may, and nothing closes the gap."""
    new = data.with_name("archive-2")
    small = {"max_slot_wal_keep_size": "16MB", "max_wal_size": "32MB", "min_wal_size": "32MB"}
    state = "select wal_status from pg_replication_slots where slot_name = 'forecourt_archive'"
    switch = ("insert into word (id) select coalesce(max(id), 0) + 1 from word", "select pg_switch_wal()::text")
    with start_engines(data, archive=archive, archive_recipients=recipients, postgres_settings=small) as engines:
        run(engines.database_url, "create table word (id bigint primary key)", "select 1")
        assert eventually(lambda: run(engines.database_url, state) == "reserved")
        assert eventually(lambda: any((archive / "wal").iterdir())), "one that has nothing has no gap"
        (stream,) = (pid for pid, name in processes_of(data / "spool").items() if name != PROGRAM)
        os.kill(stream, signal.SIGKILL)
        for _ in range(5):
            run(engines.database_url, *switch)
        run(engines.database_url, "checkpoint", "select 1")
        assert eventually(lambda: run(engines.database_url, state) == "lost")
    with start_engines(data, archive=archive, postgres_settings=small) as engines:  # the control: the old one has its gap
        assert run(engines.database_url, state) == "lost"
        assert eventually(lambda: "it has a gap from here on" in (data / "log" / "archive.log").read_text())
    with start_engines(data, archive=new) as engines:  # with room for the log that a whole copy needs
        assert eventually(lambda: run(engines.database_url, state) == "reserved")
        backup.take(engines.database_url, data, new)
        run(engines.database_url, "insert into word (id) values (99)", "select 1")
    shutil.rmtree(data)
    with restored(new, data, identity=identity) as words:
        assert words == {1, 2, 3, 4, 5, 99}


def test_an_outside_server_is_not_archived_here(data: Path, archive: Path) -> None:
    with pytest.raises(EngineError, match="runs itself can be archived"):
        start_engines(data, database_url="postgresql://elsewhere/db", archive=archive)
    assert processes_of(data) == {}
