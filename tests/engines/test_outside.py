"""What an archive of a server outside needs besides: its day, its address, and the files that it may not be without."""

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import ClassVar

import pytest

from forecourt import backups
from forecourt.backups import Copying, Outside, Untold
from forecourt.daily import TRIES, Daily, next_at
from forecourt.engines import EngineError
from forecourt.engines.backup import Beside, arrived, uploaded
from forecourt.engines.outside import refuse_foreign
from forecourt.engines.postgres import asked
from forecourt.engines.sealing import Sealer, make_identity
from forecourt.kernel.clock import FixedClock
from forecourt.kernel.settings import SettingsError

NOON = datetime(2026, 10, 25, 12, tzinfo=UTC)
"""Of a day on which clocks in Europe are put back, which are not asked."""


class Enough(Exception):
    """The process is told to stop."""


class Day:
    """Runs something daily, and keeps when. The first `failing` times fail."""

    def __init__(self, begin: datetime, failing: int = 0, until: timedelta = timedelta(days=2)) -> None:
        self.clock = FixedClock(begin)
        self.done: list[datetime] = []
        self.told: list[str] = []
        self._failing, self._end = failing, begin + until

    def act(self) -> None:
        self.done.append(self.clock.now())
        if len(self.done) <= self._failing:
            raise EngineError("The disk is away.", "Mount it.")

    def pause(self, seconds: float) -> None:
        assert 0 < seconds <= 60, "the clock may be put right meanwhile"
        self.clock.advance(timedelta(seconds=seconds))
        if self.clock.now() > self._end:
            raise Enough

    def run(self, last: datetime | None, hour: int = 3) -> list[datetime]:
        with pytest.raises(Enough):
            Daily(self.act, hour, self.told.append, self.clock, self.pause).run(last)
        return self.done


def test_a_copy_of_which_the_house_could_not_be_told_is_not_made_again_and_one_that_failed_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Failing(Copying):
        trouble: ClassVar[EngineError]

        def make(self) -> None:
            raise self.trouble

    copying = Failing(None, tmp_path, Beside(), tmp_path, (), 7)
    Failing.trouble = Untold("The copy is whole, but nobody knows.", "Look.")
    copying.make_and_go_on()
    assert "nobody knows" in capsys.readouterr().err
    Failing.trouble = EngineError("The disk is away.", "Mount it.")
    with pytest.raises(EngineError, match="away"):
        copying.make_and_go_on()


def at(day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 10, day, hour, minute, tzinfo=UTC)


@pytest.mark.parametrize(
    ("now", "hour", "then"),
    [
        (at(25, 2, 59), 3, at(25, 3)),
        (at(25, 3), 3, at(26, 3)),
        (at(25, 3, 1), 3, at(26, 3)),
        (at(25, 23, 59), 0, at(26, 0)),
        (at(31, 23), 22, datetime(2026, 11, 1, 22, tzinfo=UTC)),
        (at(25, 3, 30).astimezone(tz=None), 4, at(25, 4)),
    ],
)
def test_the_next_time_is_the_first_such_hour_of_utc_after_now(now: datetime, hour: int, then: datetime) -> None:
    assert next_at(hour, now) == then


def test_it_is_done_each_day_at_its_hour_and_at_once_when_the_last_time_is_a_day_ago() -> None:
    assert Day(NOON).run(NOON - timedelta(hours=23, minutes=59)) == [at(26, 3), at(27, 3)]
    assert Day(NOON).run(NOON - timedelta(hours=24)) == [NOON, at(26, 3), at(27, 3)]
    assert Day(NOON).run(None) == [NOON, at(26, 3), at(27, 3)]


def test_what_fails_is_told_and_tried_again_for_a_while_and_the_next_day_is_another_day() -> None:
    quarter = timedelta(minutes=15)
    two = Day(NOON, failing=2, until=timedelta(hours=20))
    assert two.run(None) == [NOON, NOON + quarter, NOON + 2 * quarter, at(26, 3)]
    assert [text.splitlines()[0] for text in two.told] == ["The disk is away."] * 2
    for_good = Day(NOON, failing=TRIES, until=timedelta(hours=20))
    assert for_good.run(None) == [NOON + n * quarter for n in range(TRIES)] + [at(26, 3)]
    assert for_good.told[-1].endswith(f"try {TRIES} of {TRIES}.")


@pytest.mark.parametrize(
    ("url", "shown", "password"),
    [
        ("postgresql://owner:a%20b%2Fc@db:5432/house", "postgresql://owner@db:5432/house", "a b/c"),
        ("postgresql://owner@db/house?password=a%2Bb+c&sslmode=disable", "postgresql://owner@db/house?sslmode=disable", "a+b+c"),
        ("postgresql://owner@/house?host=/run/db&port=1", "postgresql://owner@/house?host=/run/db&port=1", None),
        ("postgresql:///house?host=/run/db", "postgresql:///house?host=/run/db", None),
    ],
)
def test_a_servers_programs_are_told_the_password_where_nobody_else_sees_it(
    url: str, shown: str, password: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", "somebody else's")
    monkeypatch.setenv("PGOPTIONS", "-c fsync=off")
    server = asked(url, "the_archive")
    assert (server.database_url, server.environ.get("PGPASSWORD")) == (shown, password)
    assert (server.environ["PGAPPNAME"], "PGOPTIONS" in server.environ) == ("the_archive", False)
    assert password is None or password not in repr(server)


KEY = "vQ7rT2xWm9LkZp4NcYs8BdHf6GjAe3Ru"


def test_a_house_outside_is_read_from_files_with_what_it_was_given(tmp_path: Path) -> None:
    url = "postgresql://owner:wp8Jc0oVgP@db/house"
    (tmp_path / "url").write_text(f"{url}\n")
    (tmp_path / "key").write_text(f"{KEY}\n")
    told = {"FORECOURT_ENV": "production", "DATABASE_ADMIN_URL_FILE": str(tmp_path / "url")}
    assert Outside.read(told) == Outside(url, True, {})
    given = Outside.read(told | {"FORECOURT_SECRET_KEY_FILE": str(tmp_path / "key")})
    assert given == Outside(url, True, {"forecourt_secret_key": KEY})
    assert "wp8Jc0oVgP" not in repr(given) and KEY not in repr(given)
    assert Outside.read({"FORECOURT_ENV": "production"}) is None
    for wrong in ({"DATABASE_ADMIN_URL": "mysql://x"}, told | {"DATABASE_ADMIN_URL_FILE": str(tmp_path / "none")}):
        with pytest.raises(SettingsError, match="DATABASE_ADMIN_URL"):
            Outside.read(wrong)


def test_files_that_are_still_on_their_way_are_left_out_and_none_at_all_are_none(tmp_path: Path) -> None:
    for name in ("aa/photo", "aa/.incoming/half", ".incoming/half", "bb/cc/film"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert arrived(tmp_path) == ["aa/photo", "bb/cc/film"]
    assert uploaded(tmp_path / "none") == []


def test_a_folder_that_we_may_not_look_into_does_not_pass_for_an_empty_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root may look into everything: what the system says to others is said in its place."""
    (tmp_path / "shut").mkdir()
    (tmp_path / "photo").touch()
    look = os.scandir

    def refused(path: Path | str) -> object:
        if Path(path).name == "shut":
            raise PermissionError(13, "Permission denied", str(path))
        return look(path)

    monkeypatch.setattr(os, "scandir", refused)
    with pytest.raises(EngineError, match=r"cannot be read: .*shut.*A copy would lack them"):
        uploaded(tmp_path)


def test_an_archive_of_another_user_is_not_taken_for_an_empty_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As that of an older release; root may write everywhere, so what the system says to others is said in its place."""
    (tmp_path / "wal").mkdir()
    refuse_foreign(tmp_path)
    refuse_foreign(tmp_path / "none")  # there is none yet

    def shut(path: Path, wanted: int) -> bool:
        return wanted == os.F_OK or path.name != "wal"

    monkeypatch.setattr(os, "access", shut)
    monkeypatch.setenv("DATABASE_ADMIN_URL", "postgresql://owner@db/house")
    for act in (backups.take, backups.stream):
        with pytest.raises(EngineError, match=r"wal is not ours .*\n.*chown -R"):
            act(tmp_path)


def test_an_hour_or_a_folder_that_cannot_be_is_refused_before_anything_is_done(tmp_path: Path) -> None:
    for hour in (24, -1):
        with pytest.raises(EngineError, match=f"no {hour} o'clock"):
            backups.take(tmp_path / "archive", daily=hour)
    with pytest.raises(EngineError, match="1 or more"):
        backups.take(tmp_path / "archive", keep=0)
    with pytest.raises(EngineError, match="There is no directory"):
        backups.take(tmp_path / "archive", files=tmp_path / "hause")
    assert not (tmp_path / "archive").exists()


def test_who_is_told_to_stop_while_something_is_encrypted_stops(tmp_path: Path) -> None:
    """The library in between takes whatever its source raises for an error of reading."""

    class Told:
        def __init__(self, stop: Callable[[], object]) -> None:
            self._stop = stop

        def read(self, size: int = -1, /) -> bytes:
            self._stop()
            return b""

    def leave() -> None:
        raise SystemExit(0)

    def fail() -> None:
        raise OSError(5, "Input/output error")

    sealer = Sealer([make_identity(tmp_path / "identity", "2026-11-22")])
    for stop, raised in ((leave, SystemExit), (fail, OSError)):
        with pytest.raises(raised):
            sealer.stream(Told(stop), tmp_path / "target")
    assert [path.name for path in tmp_path.iterdir()] == ["identity"]
    sealer.stream(Told(lambda: None), tmp_path / "target")
    assert (tmp_path / "target").stat().st_size > 0
