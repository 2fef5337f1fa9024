"""Every way to die: what is left running (nothing), what is lost (nothing committed), and that the next start works."""

import asyncio
import contextlib
import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
import valkey
from tests.engines.conftest import PATIENCE_S, RunProgram, eventually, processes_of

from forecourt.engines import EngineError, start_engines
from forecourt.engines import postgres as pg
from forecourt.engines.process import Hand, Nursery, choose_owner, guarded, living_in


async def execute(url: str, sql: str) -> object:
    link = await asyncpg.connect(url)
    try:
        return await link.fetchval(sql)
    finally:
        await link.close()


def pids(data: Path, name: str) -> list[int]:
    return [pid for pid, comm in processes_of(data).items() if comm == name]


def postmaster(data: Path) -> int:
    return int((data / "pg" / "postmaster.pid").read_text().splitlines()[0])


async def test_a_killed_program_leaves_no_engine_and_loses_no_commit(made: Path, run_program: RunProgram) -> None:
    program = run_program(made)
    database_url, _ = program.addresses()
    await execute(database_url, "create table kept as select 42 as answer")
    assert len(pids(made, "postgres")) > 1
    assert len(pids(made, "valkey-server")) == 1
    program.kill()
    assert eventually(lambda: not processes_of(made)), processes_of(made)
    with start_engines(made) as engines:
        assert await execute(engines.database_url, "select answer from kept") == 42


async def test_the_next_start_waits_for_the_last_breath_of_a_killed_one(made: Path, run_program: RunProgram) -> None:
    for number in range(3):
        program = run_program(made)
        database_url, _ = program.addresses()
        await execute(database_url, f"create table kept_{number} as select {number} as answer")
        program.kill()  # and at once again: its PostgreSQL is still shutting down
    with start_engines(made) as engines:
        assert await execute(engines.database_url, "select (select answer from kept_1) + (select answer from kept_2)") == 3


@pytest.mark.parametrize("sign_of_life", ["pg.unfinished", "pg.unfinished/base/4", "pg/PG_VERSION", "pg/postmaster.pid"])
async def test_a_program_killed_while_starting_leaves_nothing_in_the_way(
    data: Path, run_program: RunProgram, sign_of_life: str
) -> None:
    program = run_program(data)
    assert eventually((data / sign_of_life).exists)
    program.kill()
    assert eventually(lambda: not processes_of(data)), processes_of(data)
    with start_engines(data) as engines:
        assert await execute(engines.database_url, "select 1") == 1
    assert not (data / "pg.unfinished").exists()


@pytest.mark.parametrize("sign_of_life", ["valkey", "pg.unfinished", "pg/PG_VERSION"])
def test_ctrl_c_while_starting_stops_everything(data: Path, run_program: RunProgram, sign_of_life: str) -> None:
    program = run_program(data)
    assert eventually((data / sign_of_life).exists)
    assert "interrupted" in program.interrupt()
    assert processes_of(data) == {}


def test_what_was_asked_of_the_hand_is_done_although_ctrl_c_stopped_the_asker() -> None:
    hand = Hand("test")
    begun, go_on = threading.Event(), threading.Event()
    done: list[str] = []

    def work() -> None:
        begun.set()
        go_on.wait(PATIENCE_S)
        done.append("work")

    def interrupt() -> None:
        begun.wait(PATIENCE_S)
        assert asker is not None
        signal.pthread_kill(asker, signal.SIGINT)  # where the kernel delivers Ctrl-C

    asker = threading.main_thread().ident
    pressing = threading.Thread(target=interrupt)
    pressing.start()
    with pytest.raises(KeyboardInterrupt):
        hand.ask(work)
    pressing.join()
    assert done == []
    go_on.set()
    assert hand.ask(lambda: list(done)) == ["work"]  # whoever asks next is answered after it
    with pytest.raises(ZeroDivisionError):
        hand.ask(lambda: 1 / 0)
    hand.finish()


def test_a_nursery_has_its_thread_before_the_first_child_and_ends_it(data: Path) -> None:
    before = threading.active_count()
    nursery = Nursery()
    assert threading.active_count() == before + 1
    nursery.run("true", ["/bin/true"], choose_owner(data.parent), cwd=data.parent, log=data.parent / "log", limit_s=10)
    assert threading.active_count() == before + 1
    nursery.close()
    assert threading.active_count() == before


def test_engines_that_nobody_holds_stop(made: Path) -> None:
    """As when Ctrl-C strikes just before the caller has them."""
    engines = start_engines(made)
    assert processes_of(made) != {}
    del engines
    gc.collect()
    assert processes_of(made) == {}


def test_ctrl_c_while_running_stops_everything(made: Path, run_program: RunProgram) -> None:
    program = run_program(made)
    program.addresses()
    assert processes_of(made) != {}
    assert program.interrupt() == "interrupted\n"
    assert processes_of(made) == {}
    assert not (made / "pg" / "postmaster.pid").exists()  # an orderly shutdown, not a crash


@pytest.mark.parametrize(
    "farewell", ["", "raise SystemExit(3)", "raise RuntimeError('bug')", "import os; os._exit(4)", "del engines; sys.exit()"]
)
def test_a_program_that_forgets_to_stop_leaves_nothing_running(made: Path, farewell: str) -> None:
    program = f"""
import sys
from pathlib import Path
from forecourt.engines import start_engines
engines = start_engines(Path(sys.argv[1]))
print(engines.poll(), flush=True)
{farewell}
"""
    done = subprocess.run([sys.executable, "-c", program, made], check=False, capture_output=True, text=True, timeout=60)
    assert done.stdout == "[]\n", done.stderr
    assert eventually(lambda: not processes_of(made)), processes_of(made)


def test_a_start_that_fails_half_way_leaves_nothing_running_and_shows_the_log(data: Path) -> None:
    with pytest.raises(EngineError, match=r'(?s)stopped while starting.*"shared_buffers": "much"'):
        start_engines(data, postgres_settings={"shared_buffers": "much"})
    assert processes_of(data) == {}
    start_engines(data).stop()  # and the lock is free


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["sleep", "600"])
    yield process
    process.kill()
    process.wait()


def pretend(data: Path, pid: int) -> None:
    """Leave a `postmaster.pid` as a machine does that lost power, naming `pid`."""
    start_engines(data, valkey_url="valkey://elsewhere").stop()
    (data / "pg" / "postmaster.pid").write_text(f"{pid}\n{data / 'pg'}\n1700000000\n5432\n{data / 'run'}\n\n       1 2\nready\n")


async def test_a_recycled_process_id_does_not_block_the_start(made: Path, stranger: subprocess.Popen[bytes]) -> None:
    pretend(made, stranger.pid)
    with start_engines(made) as engines:
        assert await execute(engines.database_url, "select 1") == 1
        assert postmaster(made) != stranger.pid
    assert stranger.poll() is None, "the stranger was harmed"


def test_postgres_alone_is_blocked_by_a_recycled_process_id(made: Path, stranger: subprocess.Popen[bytes]) -> None:
    """The control of the test above: without the preparation the same file stops the server."""
    pretend(made, stranger.pid)
    nursery = Nursery()
    server = pg.Postgres(made, made / "run", choose_owner(made), nursery, {})
    try:
        server.launch()
        with pytest.raises(EngineError, match=f"PID {stranger.pid}"):
            server.await_ready(print)
    finally:
        nursery.close()


async def test_a_stale_process_id_does_not_block_the_start(made: Path) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    pretend(made, gone.pid)
    with start_engines(made) as engines:
        assert await execute(engines.database_url, "select 1") == 1


async def test_a_process_of_another_data_directory_is_never_taken_for_ours(made: Path) -> None:
    other = made.with_name("other")
    with start_engines(other) as others:
        pretend(made, postmaster(other))
        with start_engines(made) as engines:
            assert await execute(engines.database_url, "select 1") == 1
        assert await execute(others.database_url, "select 1") == 1
        assert others.poll() == []


async def test_killed_backends_are_replaced_by_postgres_itself(made: Path) -> None:
    with start_engines(made) as engines:
        await execute(engines.database_url, "create table kept as select 42 as answer")
        before = pids(made, "postgres")
        for pid in set(before) - {postmaster(made)}:
            with contextlib.suppress(ProcessLookupError):  # the first death makes the server end the others
                os.kill(pid, signal.SIGKILL)
        answer = None
        give_up = time.monotonic() + 20
        while answer is None and time.monotonic() < give_up:
            with contextlib.suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                answer = await execute(engines.database_url, "select answer from kept")
        assert answer == 42
        assert engines.poll() == []
        assert set(pids(made, "postgres")) & set(before) == {postmaster(made)}


async def test_a_killed_postgres_is_noticed_and_brought_back(made: Path) -> None:
    with start_engines(made) as engines:
        await execute(engines.database_url, "create table kept as select 42 as answer")
        os.kill(postmaster(made), signal.SIGKILL)
        assert eventually(lambda: engines.poll() == ["postgres"])
        engines.restart("postgres")
        assert await execute(engines.database_url, "select answer from kept") == 42
        assert engines.poll() == []


async def test_postgres_comes_back_although_a_backend_of_the_dead_one_is_busy(made: Path) -> None:
    with start_engines(made) as engines:
        link = await asyncpg.connect(engines.database_url)
        busy_pid = await link.fetchval("select pg_backend_pid()")
        busy = asyncio.ensure_future(link.execute("do $$ begin loop null; end loop; end $$"))
        await asyncio.sleep(0.1)
        os.kill(postmaster(made), signal.SIGKILL)
        assert eventually(lambda: engines.poll() == ["postgres"])
        assert busy_pid in living_in(made / "pg", "postgres")  # or the test proves nothing
        await asyncio.to_thread(engines.restart, "postgres")
        assert busy_pid not in processes_of(made)
        assert await execute(engines.database_url, "select 1") == 1
        with pytest.raises((OSError, asyncpg.PostgresError)):
            await busy


def test_a_killed_valkey_is_noticed_and_brought_back(data: Path) -> None:
    with start_engines(data, database_url="postgresql://elsewhere/forecourt") as engines:
        os.kill(pids(data, "valkey-server")[0], signal.SIGKILL)
        assert eventually(lambda: engines.poll() == ["valkey"])
        engines.restart("valkey")
        with valkey.Valkey.from_url(engines.valkey_url) as link:
            assert link.ping()
        assert engines.poll() == []


def test_a_stopped_engine_that_does_not_answer_is_still_ended(data: Path) -> None:
    engines = start_engines(data, database_url="postgresql://elsewhere/forecourt")
    os.kill(pids(data, "valkey-server")[0], signal.SIGSTOP)  # SIGTERM stays unanswered; SIGKILL follows
    vk_steps = "forecourt.engines.valkey.STOP_STEPS"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vk_steps, ((signal.SIGTERM, 0.2), (signal.SIGKILL, 5.0)))
        engines.stop()
    assert processes_of(data) == {}


def test_a_guarded_process_dies_with_the_thread_that_started_it() -> None:
    """Why the nursery has a thread of its own: this is what would happen to an engine without it."""
    started: list[subprocess.Popen[bytes]] = []
    go_on = threading.Event()
    alive_before: list[bool] = []

    def start() -> None:
        started.append(subprocess.Popen(guarded(["/bin/sleep", "600"], choose_owner(Path("/")), signal.SIGKILL)))
        alive_before.append(eventually(lambda: Path(f"/proc/{started[0].pid}/comm").read_text().strip() == "sleep"))
        go_on.wait()

    thread = threading.Thread(target=start)
    thread.start()
    assert eventually(lambda: bool(alive_before))
    assert alive_before == [True]
    assert started[0].poll() is None
    go_on.set()
    thread.join()
    assert started[0].wait(20) == -signal.SIGKILL


def test_a_guarded_process_whose_parent_is_already_gone_does_not_start() -> None:
    guard = guarded(["/bin/sleep", "600"], choose_owner(Path("/")), signal.SIGKILL)
    guard[guard.index(str(os.getpid()))] = "1"  # somebody else than us started it
    assert subprocess.run(guard, check=False, timeout=20).returncode == 78
    assert sys.executable == guard[0]
