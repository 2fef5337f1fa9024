"""What an encrypted archive is made of, without a server: keys, files, whose it is, and a log that arrives whoever is killed."""

import asyncio
import os
import random
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from forecourt.engines import EngineError, sealed_log, stream
from forecourt.engines.sealed_log import Gap, clean_up, open_log
from forecourt.engines.sealing import (
    Damaged,
    Description,
    Identities,
    Sealer,
    Story,
    describe,
    keep,
    kept,
    make_identity,
    read_identities,
    read_recipients,
    sealed_for,
)
from forecourt.engines.stream import Position, Spool, end_of, next_name, part_name
from forecourt.kernel.settings import Env, Settings
from forecourt.terminal import archiving_of

FIRST = Position(1, 1, 1 << 24)


@pytest.fixture
def keys(tmp_path: Path) -> Identities:
    make_identity(tmp_path / "identity", "2026-11-22")
    return read_identities(tmp_path / "identity")


@pytest.fixture
def recipients(keys: Identities) -> tuple[str, ...]:
    return tuple(keys.recipients)


@pytest.fixture
def other(tmp_path: Path) -> Identities:
    make_identity(tmp_path / "other", "2026-11-22")
    return read_identities(tmp_path / "other")


def test_an_identity_is_its_owners_alone_and_is_never_replaced(tmp_path: Path) -> None:
    file = tmp_path / "identity"
    recipient = make_identity(file, "2026-11-22T00:00:00Z")
    assert file.stat().st_mode & 0o777 == 0o600
    written = file.read_text()
    # As age-keygen writes it, so that age reads it.
    assert re.fullmatch(rf"# created: \S+\n# public key: {recipient}\nAGE-SECRET-KEY-1[0-9A-Z]{{58}}\n", written)
    assert read_identities(file).recipients == {recipient}
    with pytest.raises(EngineError, match="is there already"):
        make_identity(file, "2026-11-22T00:00:00Z")
    assert file.read_text() == written


def test_an_identity_is_no_recipient_and_is_not_repeated_where_it_was_taken_for_one(tmp_path: Path, keys: Identities) -> None:
    hidden = str(keys.keys[0])
    with pytest.raises(EngineError, match="is an identity") as refused:
        read_recipients([hidden])
    assert hidden not in str(refused.value)
    with pytest.raises(EngineError, match="no recipient"):
        read_recipients(["age1nonsense"])
    for text, words in (("", "There is no identity"), ("# nothing\n", "There is no identity"), ("age1x\n", "can be read")):
        (tmp_path / "wrong").write_text(text)
        with pytest.raises(EngineError, match=words):
            read_identities(tmp_path / "wrong")
    assert read_recipients(keys.recipients) == tuple(keys.recipients)


def test_each_of_two_recipients_opens_what_was_sealed_and_nobody_else(
    tmp_path: Path, keys: Identities, other: Identities
) -> None:
    sealed, content = tmp_path / "sealed.age", b"guest of court one " * 10_000
    Sealer([*keys.recipients, *other.recipients]).content(content, sealed)
    assert (keys.content(sealed), other.content(sealed)) == (content, content)
    assert sealed.read_bytes().startswith(b"age-encryption.org/v1\n"), "which every program for age reads"
    assert b"guest" not in sealed.read_bytes()
    make_identity(tmp_path / "third", "2026-11-22")
    with pytest.raises(EngineError, match=r"No identity in .*third opens"):
        read_identities(tmp_path / "third").content(sealed)


def test_a_file_that_was_cut_or_changed_anywhere_is_damaged(tmp_path: Path, keys: Identities) -> None:
    sealed, content = tmp_path / "sealed.age", os.urandom(200_000)
    Sealer(tuple(keys.recipients)).content(content, sealed)
    whole = sealed.read_bytes()
    wrong = [whole[:-1], whole[: len(whole) // 2], whole[:60], b"", whole + b"x"]
    wrong += [whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :] for at in (30, 70, 150, 250, 70_000, len(whole) - 1)]
    for content_there in wrong:
        sealed.write_bytes(content_there)
        with pytest.raises(EngineError):
            keys.content(sealed)
    sealed.write_bytes(whole)
    assert keys.content(sealed) == content  # the control
    with pytest.raises(FileNotFoundError):
        keys.content(tmp_path / "none.age")


def test_what_cannot_be_read_while_it_is_sealed_leaves_no_file(tmp_path: Path, recipients: tuple[str, ...]) -> None:
    class Dead:
        def read(self, size: int = -1, /) -> bytes:
            raise OSError(5, "the disk is dead")

    with pytest.raises(OSError, match="the disk is dead"):
        Sealer(recipients).stream(Dead(), tmp_path / "sealed.age")
    assert [file for file in tmp_path.iterdir() if "sealed" in file.name] == []


def test_a_house_and_its_archive_agree_for_whom_it_is(tmp_path: Path, keys: Identities, other: Identities) -> None:
    data, archive, plain = tmp_path / "var", tmp_path / "archive", tmp_path / "plain"
    mine, theirs = tuple(keys.recipients), tuple(other.recipients)
    (archive / "wal").mkdir(parents=True)
    assert sealed_for(archive, data) == (), "nobody said anything: as ever"
    assert sealed_for(archive, data, mine) == mine
    keep(data, mine)
    assert kept(data) == mine == sealed_for(archive, data), "the house remembers"
    describe(archive, Description(mine, Story(1, 1)))
    assert sealed_for(archive, data) == mine
    # Who may write to the archive's disk writes their own recipient: the house does not follow.
    describe(archive, Description(theirs, Story(1, 1)))
    with pytest.raises(EngineError, match="this house encrypts for"):
        sealed_for(archive, data)
    (archive / "archive.json").unlink()
    (archive / "wal" / f"{FIRST.name}.age").touch()
    with pytest.raises(EngineError, match=r"has lost its archive\.json"):
        sealed_for(archive, data)
    describe(archive, Description(mine, Story(1, 1)))
    with pytest.raises(EngineError, match="was not told for whom"):
        sealed_for(archive, tmp_path / "another house")
    (plain / "wal").mkdir(parents=True)
    (plain / "wal" / FIRST.name).touch()
    with pytest.raises(EngineError, match="not encrypted, and what is in it stays so"):
        sealed_for(plain, data)
    assert sealed_for(plain, tmp_path / "another house") == (), "one from before goes on"


def test_production_begins_no_archive_that_everybody_can_read_without_a_word(tmp_path: Path, recipients: tuple[str, ...]) -> None:
    settings = Settings.read({"FORECOURT_DATA": str(tmp_path / "var"), "FORECOURT_SECRET_KEY": "only for this test, of course"})
    production = msgspec.structs.replace(settings, env=Env.PRODUCTION)
    place = tmp_path / "archive"
    with pytest.raises(EngineError, match="would be a new archive that is not encrypted"):
        archiving_of(production, place, (), unencrypted=False)
    for fine in (
        archiving_of(settings, place, (), unencrypted=False),
        archiving_of(production, place, (), unencrypted=True),
        archiving_of(production, place, recipients, unencrypted=False),
    ):
        assert fine is not None and fine.place == place
    (place / "wal").mkdir(parents=True)
    (place / "wal" / FIRST.name).touch()
    assert archiving_of(production, place, (), unencrypted=False) is not None, "one from before goes on"
    assert archiving_of(production, None, (), unencrypted=False) is None


class Killed(BaseException):
    """As by SIGKILL: nothing of ours runs after it."""


@pytest.fixture
def deadly(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], None]]:
    """Lets the n-th change of a folder from now on be what death comes before; 0: lives on."""
    left = 0
    mortal = False
    real = {name: getattr(Path, name) for name in ("rename", "unlink")}

    def dying(name: str) -> Callable[..., object]:
        def act(path: Path, *arguments: object, **named: object) -> object:
            nonlocal left
            left -= 1
            if mortal and left <= 0:
                raise Killed  # for all that comes after it too: the dead clear nothing away
            return real[name](path, *arguments, **named)

        return act

    def after(changes: int) -> None:
        nonlocal left, mortal
        left, mortal = changes, changes > 0

    for name in real:
        monkeypatch.setattr(Path, name, dying(name))
    yield after
    after(0)


@pytest.mark.parametrize("seed", range(4))
def test_whenever_it_is_killed_what_the_server_may_forget_is_in_the_archive(
    seed: int,
    tmp_path: Path,
    recipients: tuple[str, ...],
    keys: Identities,
    deadly: Callable[[int], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chance = random.Random(seed)
    size = 1 << 16
    monkeypatch.setattr(sealed_log, "FILE_BYTES", size)
    monkeypatch.setattr(stream, "MOST_PARTS", 4)
    log = chance.randbytes(5 * size)
    names = [Position(1, number, size).name for number in range(5)]
    wal = tmp_path / "wal"
    wal.mkdir()
    released = deaths = 0
    end = len(log) - 1
    for life in range(12):
        spool_place = tmp_path / f"spool{life}"
        spool_place.mkdir()
        spool = Spool(spool_place, wal, Sealer(recipients), Position(1, released // size, size))
        come = released // size * size
        deadly(chance.randrange(1, 16) if life < 11 else 0)
        try:
            while come < end:
                come = write(spool_place, names, log, come, min(end, come + chance.randrange(1, size // 3)), size)
                while spool.seal_next():
                    pass
                released = max(released, come)
        except Killed:
            deaths += 1
        deadly(0)
        into = tmp_path / f"opened{life}"
        into.mkdir()
        open_log(wal, into, names[0], keys, until_end=True)
        there = b"".join(file.read_bytes()[:size] for file in sorted(into.iterdir()))
        assert there[:released] == log[:released]
        assert log.startswith(there.rstrip(b"\0"))
    assert (released, deaths > 5) == (end, True)


def write(spool: Path, names: list[str], log: bytes, begin: int, end: int, size: int) -> int:
    """As pg_receivewal does: each file is filled with zeros, written, and gets its name when it is whole."""
    for number in range(begin // size, end // size + 1):
        whole, growing = spool / names[number], spool / f"{names[number]}.partial"
        if whole.exists() or end <= number * size:
            continue
        if not growing.exists():
            growing.write_bytes(bytes(size))
        with growing.open("r+b") as file:
            file.write(log[number * size : min(end, (number + 1) * size)])
        if end >= (number + 1) * size:
            os.rename(growing, whole)  # noqa: PTH104 - not ours, so it is not deadly
    return end


def test_parts_of_a_quiet_file_are_made_one_and_go_when_it_is_whole(
    tmp_path: Path, recipients: tuple[str, ...], keys: Identities, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "MOST_PARTS", 5)
    spool_place, wal, into = (tmp_path / name for name in ("spool", "wal", "into"))
    for place in (spool_place, wal, into):
        place.mkdir()
    spool = Spool(spool_place, wal, Sealer(recipients), FIRST)
    growing = spool_place / f"{FIRST.name}.partial"
    growing.write_bytes(bytes(4096))
    most = 0
    for count in range(1, 12):
        with growing.open("r+b") as file:
            file.write(b"x" * count + b"\0\0")
        assert not spool.seal_next()
        most = max(most, len(list(wal.iterdir())))
    assert most == 5
    assert not spool.seal_next()
    open_log(wal, into, FIRST.name, keys, until_end=True)
    (opened,) = into.iterdir()
    assert opened.name == growing.name and opened.stat().st_size == 1 << 24, "as a server writes it"
    assert opened.read_bytes().rstrip(b"\0") == b"x" * 11
    growing.rename(spool_place / FIRST.name)
    assert spool.seal_next()
    assert [file.name for file in wal.iterdir()] == [f"{FIRST.name}.age"]
    assert list(spool_place.iterdir()) == []


def test_a_log_with_a_gap_or_a_damaged_file_is_open_up_to_there_and_no_further(
    tmp_path: Path, recipients: tuple[str, ...], keys: Identities
) -> None:
    wal = tmp_path / "wal"
    wal.mkdir()
    names = [FIRST.name]
    for _ in range(3):
        names.append(next_name(names[-1], 1 << 24))
    for name in names:
        Sealer(recipients).content(name.encode() * 9000, wal / f"{name}.age")

    def opened(until_end: bool) -> list[str]:
        into = tmp_path / os.urandom(4).hex()
        into.mkdir()
        open_log(wal, into, names[0], keys, until_end=until_end)
        return sorted(file.name for file in into.iterdir())

    assert opened(until_end=True) == names
    third = wal / f"{names[2]}.age"
    whole = third.read_bytes()
    third.write_bytes(whole[:-5000])
    with pytest.raises(Damaged, match=names[2]):
        opened(until_end=True)
    assert opened(until_end=False) == names[:2]
    third.unlink()
    with pytest.raises(Gap, match=names[2]):
        opened(until_end=True)
    assert opened(until_end=False) == names[:2]
    clean_up(wal, names[3])
    assert [file.name for file in wal.iterdir()] == [f"{names[3]}.age"]


def test_a_part_that_is_missing_from_the_file_that_was_being_written_is_a_gap(
    tmp_path: Path, recipients: tuple[str, ...], keys: Identities
) -> None:
    wal = tmp_path / "wal"
    wal.mkdir()
    content = os.urandom(400)
    spans = [(0, 100), (100, 300), (250, 400)]
    for begin, end in spans:
        Sealer(recipients).content(content[begin:end], wal / part_name(FIRST.name, begin, end))

    def opened(*, until_end: bool) -> bytes:
        into = tmp_path / os.urandom(4).hex()
        into.mkdir()
        open_log(wal, into, FIRST.name, keys, until_end=until_end)
        return (into / f"{FIRST.name}.partial").read_bytes().rstrip(b"\0")

    assert opened(until_end=True) == content.rstrip(b"\0")
    for missing, reach in (((100, 300), 100), ((0, 100), 0)):
        (wal / part_name(FIRST.name, *missing)).unlink()
        with pytest.raises(Gap, match=FIRST.name):
            opened(until_end=True)
        assert opened(until_end=False) == content[:reach].rstrip(b"\0")


@pytest.mark.parametrize("becomes", ["one part", "whole"])
def test_the_log_of_a_house_that_goes_on_meanwhile_is_opened(
    tmp_path: Path, recipients: tuple[str, ...], keys: Identities, monkeypatch: pytest.MonkeyPatch, becomes: str
) -> None:
    """As in a drill: the stream brings more and throws away what that covers, between a look and the next."""
    wal, into = tmp_path / "wal", tmp_path / "into"
    wal.mkdir()
    into.mkdir()
    spans = [(0, 100), (100, 200)]
    for begin, end in spans:
        Sealer(recipients).content(b"x" * (end - begin), wal / part_name(FIRST.name, begin, end))
    real, opened = Identities.content, list[str]()

    def content(self: Identities, sealed: Path) -> bytes:
        if not opened:
            after = wal / (f"{FIRST.name}.age" if becomes == "whole" else part_name(FIRST.name, 0, 300))
            Sealer(recipients).content(b"x" * 300, after)
            for begin, end in spans:
                (wal / part_name(FIRST.name, begin, end)).unlink()
        opened.append(sealed.name)
        return real(self, sealed)

    monkeypatch.setattr(Identities, "content", content)
    open_log(wal, into, FIRST.name, keys, until_end=True)
    (file,) = into.iterdir()
    assert file.name == FIRST.name + ("" if becomes == "whole" else ".partial")
    assert file.read_bytes().rstrip(b"\0") == b"x" * 300


async def test_the_stream_is_held_up_while_the_archive_does_not_take_what_came_and_then_let_go_on(
    tmp_path: Path, recipients: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "TEND_S", 0.01)
    waiting = [tmp_path / Position(1, number, 1 << 24).name for number in range(stream.FULL_SPOOL + 1)]
    with subprocess.Popen(["/bin/sleep", "60"]) as child:

        def held() -> bool:
            return Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"

        async def until(wanted: bool) -> None:
            async with asyncio.timeout(20):
                while held() != wanted:
                    await asyncio.sleep(0.01)

        tending = asyncio.create_task(stream.tend(child, Spool(tmp_path, tmp_path, Sealer(recipients), FIRST)))
        try:
            for file in waiting[:-1]:
                file.touch()
            await asyncio.sleep(0.05)
            assert not held(), "it waits for nobody yet"
            waiting[-1].touch()
            await until(True)
            for file in waiting[stream.ROOMY_SPOOL - 1 :]:
                file.unlink()
            await until(False)
        finally:
            tending.cancel()
            child.kill()


def test_the_end_of_a_file_is_found_and_the_next_is_named_as_the_server_does(tmp_path: Path) -> None:
    for content, end in ((b"", 0), (bytes(200_000), 0), (b"x" + bytes(200_000), 1), (bytes(70_000) + b"x" + bytes(9), 70_001)):
        (tmp_path / "log").write_bytes(content)
        with (tmp_path / "log").open("rb") as file:
            assert end_of(file.fileno()) == end
    assert next_name("0000000100000000000000FF", 1 << 24) == "000000010000000100000000"
    assert next_name("00000001000000000000000A", 1 << 24) == "00000001000000000000000B"
