"""`forecourt`: start the house, look after it, look into it. Every command has `--help` with an example."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import msgspec
from asyncpg import PostgresError
from cyclopts import App, Parameter
from rich.table import Table

from forecourt import backups, eventlog, organisations
from forecourt.engines import EngineError, Engines, engines_running_in
from forecourt.gateway import command as gateways
from forecourt.kernel.errors import Misconfigured, Problem
from forecourt.kernel.settings import Settings, SettingsError
from forecourt.terminal import (
    TEND_S,
    Archiving,
    Data,
    Host,
    Modules,
    Port,
    addresses,
    admin_url,
    archiving_of,
    as_owner,
    engines,
    err,
    in_house,
    migrate_now,
    out,
    outside,
    read_settings,
    refuse,
    steps,
    supervise,
    trouble,
)

if TYPE_CHECKING:
    from forecourt.app import House
    from forecourt.demo.fill import Made
    from forecourt.demo.show import Report
    from forecourt.engines.doctor import Finding
    from forecourt.modules.audit.contract import Proof
    from forecourt.process import Crew, Duty
    from forecourt.split import SplitHouse

app = App(name="forecourt", help="The platform for places people book, play and stay at.", version="0.1.0")
account = App(name="account", help="Accounts, from the command line.")
app.command(account)
backups.add_to(app)
org = App(name="org", help="Organisations, from one installation to another.")
app.command(org)
organisations.add_to(org)
events = App(name="events", help="The log of what happened.")
app.command(events)
eventlog.add_to(events)
audit = App(name="audit", help="The record of what was done.")
app.command(audit)
gateway = App(name="gateway", help="What stands in front of a house of several processes.")
app.command(gateway)
gateways.add_to(gateway)

READY_PAUSE_S = 0.05
ASKING_S = 0.5
"""For a process that has just been started to say that it is ready."""
FILLING_GRACE_S = 10


def main() -> None:
    """The console script."""
    try:
        app()
    except (SettingsError, Misconfigured) as e:
        from forecourt.process import SET_UP_WRONGLY

        refuse(str(e), SET_UP_WRONGLY)
    except EngineError as e:
        refuse(str(e))
    except Problem as e:
        refuse("\n".join([f"{e.title}. {e.detail}".strip(), *(f"  - {fault.path}: {fault.message}" for fault in e.errors)]))
    except (OSError, PostgresError) as e:
        words = trouble(e)
        if words is None:
            raise
        refuse(words)
    except KeyboardInterrupt:
        sys.exit(130)


# --- up ----------------------------------------------------------------------------------------------------------------


@app.command
def up(
    *,
    host: Host = None,
    port: Port = None,
    data: Data = None,
    demo: Annotated[bool, Parameter(help="Fill a fresh installation with the demo world.")] = True,
    workers: Annotated[int, Parameter(help="Processes that serve; from 2 on, one more does the background work.")] = 1,
    split: Annotated[
        bool, Parameter(negative="", help="Every module in a process of its own, behind a gateway (HAProxy).")
    ] = False,
    groups: Annotated[str, Parameter(help="With --split: modules that share a process. The rest get one each.")] = "",
    archive: Annotated[Path | None, Parameter(help="A directory on another disk that gets every change as it happens.")] = None,
    archive_recipient: backups.Recipients = (),
    archive_unencrypted: backups.Unencrypted = False,
) -> None:
    """Start everything on this machine: PostgreSQL, Valkey, the pages, the API and the background work.

    Example: forecourt up --port 8080 --data ~/forecourt

    Example: forecourt up --split --groups venues+booking+payments,identity+people+notifications

    Example: forecourt up --archive /mnt/other/forecourt --archive-recipient age1…
    """
    began = time.perf_counter()
    settings = read_settings(data, host, port)
    archiving = archiving_of(settings, archive, archive_recipient, archive_unencrypted)
    if split:
        if workers > 1:
            refuse("--workers and --split do not go together: --split says how many processes there are.")
        _up_split(settings, groups, Opening(began, fill=demo and not settings.production, archiving=archiving))
        return
    if groups:
        refuse("--groups says how --split divides the modules: give both.")
    listener = listening(settings)
    beside = engines_running_in(settings.data)
    with steps() as report, engines(settings, report, archiving) as running:
        if beside is not None:
            report(f"Process {beside.pid} runs engines over this data directory: they are used, and end when it does")
        migrate_now(settings, running, report)
        report("Opening the doors")
        greeting = Greeting(settings, running, began, fill=demo and not settings.production)
        supervise(running)
        try:
            if workers > 1:
                _crew(settings, running, listener.fileno(), workers, greeting)
            else:
                from forecourt.process import Duty, run

                run(settings, addresses(settings, running), Duty.SERVE | Duty.WORK, listener, greeting)
        finally:
            greeting.stop_filling()  # while its database is still there
        out.print("Stopping.")


class Opening(msgspec.Struct, frozen=True):
    """How a house is opened."""

    began: float
    fill: bool
    archiving: Archiving | None


def _up_split(settings: Settings, groups: str, opening: Opening) -> None:
    """Everything in processes of their own behind a gateway, tended until Ctrl-C."""
    from forecourt.gateway.runtime import Runtime
    from forecourt.process import Crew, CrewLost
    from forecourt.split import SplitHouse, groups_of

    require_haproxy()
    asyncio.run(Runtime(settings.data / "gateway").refuse_another())  # before anything of its is written over
    house = SplitHouse(groups_of(groups), os.environ)
    listening(settings).close()  # somebody who has the port is better heard of now
    lost: CrewLost | None = None
    with steps() as report, engines(settings, report, opening.archiving) as running:
        migrate_now(settings, running, report)
        greeting = Greeting(settings, running, opening.began, fill=opening.fill)
        supervise(running)
        crew = Crew(house.children(), child_environ(settings, running), _told)
        stop = _stopped_by_signals()
        try:
            _open_split(settings, house, crew, stop, report)
            if crew.opened:
                report("Opening the doors")
                asyncio.run(greeting(None))
                tell_processes(crew)
            while not stop.wait(TEND_S):
                crew.tend()
            out.print("Stopping.")
        except CrewLost as e:
            lost = e
        finally:
            crew.stop()
            house.close()
            greeting.stop_filling()  # while its database is still there
    if lost is not None:
        refuse(str(lost), lost.status)


def _open_split(settings: Settings, house: SplitHouse, crew: Crew, stop: threading.Event, report: Callable[[str], None]) -> None:
    """Starts everybody, and the gateway when all that it leads to are there. Leaves `crew.opened` unset when told to stop."""
    from forecourt.split import GATEWAY

    crew.start()
    if _all_answer(house.urls, crew, stop, report):
        crew.add(house.gateway(f"{settings.http.host}:{settings.http.port}", settings.data / "gateway"))
        crew.opened = _all_answer({GATEWAY: _own_url(settings)}, crew, stop, report)


def _all_answer(urls: dict[str, str], crew: Crew, stop: threading.Event, report: Callable[[str], None]) -> bool:
    """Waits until everybody is ready; False when told to stop meanwhile."""
    report(f"Starting {', '.join(urls)}")
    ready: set[str] = set()
    while len(ready) < len(urls):
        if stop.wait(READY_PAUSE_S):
            return False
        crew.tend()
        for name, url in urls.items():
            if name not in ready and _answers(url):
                ready.add(name)
                report(f"{len(ready)} of {len(urls)} answer: {name}")
    return True


def require_haproxy() -> None:
    """Raises EngineError, with what to do, when the gateway's engine is not installed."""
    from forecourt.gateway.haproxy import haproxy_program

    try:
        haproxy_program()
    except EngineError as e:
        raise EngineError(
            f"A split house needs HAProxy as its one door. {e.happened}", f"{e.cure} Or start `forecourt up` without --split."
        ) from None


def _told(text: str) -> None:
    err.print(f"[yellow]{text}[/]", soft_wrap=True)


def tell_processes(crew: Crew) -> None:
    """Who runs, and what each takes of the machine's memory."""
    from forecourt.split import memory_bytes

    takes = {name: memory_bytes(pid) // 2**20 for name, pid in crew.running().items()}
    each = "  ".join(f"{name} {mib}" for name, mib in takes.items())
    out.print(f"  {len(takes)} processes take {sum(takes.values()):,} MiB of memory, beside the engines:", style="dim")
    out.print(f"    {each}", style="dim", soft_wrap=True)
    out.print()


def _stopped_by_signals() -> threading.Event:
    """Set by Ctrl-C or SIGTERM."""
    stop = threading.Event()

    def finish(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, finish)
    return stop


class Greeting:
    """Says that the house is open, and where; then fills a fresh one with the demo world, beside the server."""

    def __init__(self, settings: Settings, running: Engines, began: float, *, fill: bool) -> None:
        self._settings = settings
        self._running = running
        self._began = began
        self._fill = fill
        self._filling: subprocess.Popen[bytes] | None = None

    async def __call__(self, _house: House | None) -> None:
        from forecourt.demo import LOG_INS, PASSWORD, begun

        if self._fill and not await begun(admin_url(self._settings, self._running)):
            self._start_filling()
        url = f"http://{'localhost' if self._settings.http.host in ('127.0.0.1', '0.0.0.0') else self._settings.http.host}"  # noqa: S104
        out.print()
        out.print(
            f"  Forecourt is open: [bold]{url}:{self._settings.http.port}[/]   [dim]{time.perf_counter() - self._began:.1f} s[/]"
        )
        if self._fill:
            out.print(f"  Log in as  [dim](password {PASSWORD})[/]")
            for login in LOG_INS:
                out.print(f"    {login.email:<28} [dim]{login.what}[/]")
        if not self._settings.production:
            out.print("  Mail       [dim]/dev/outbox[/]    Parts  [dim]/dev/ui[/]    API  [dim]/openapi.json[/]")
        out.print("  Ctrl-C stops everything.", style="dim")
        out.print()

    def _start_filling(self) -> None:
        command = [sys.executable, "-m", "forecourt", "demo", "--data", str(self._settings.data), "--quiet-end"]
        environ = child_environ(self._settings, self._running)
        # In a session of its own: the terminal's Ctrl-C is ours, and we tell it in time.
        self._filling = subprocess.Popen(command, stdin=subprocess.DEVNULL, env=environ, start_new_session=True)  # noqa: S603

    def stop_filling(self) -> None:
        """The demo world is left as far as it is; the next `up` goes on with it."""
        if self._filling is not None and self._filling.poll() is None:
            self._filling.terminate()
            try:
                self._filling.wait(FILLING_GRACE_S)
            except subprocess.TimeoutExpired:
                self._filling.kill()
                self._filling.wait()


def _crew(settings: Settings, running: Engines, descriptor: int, workers: int, greeting: Greeting) -> None:
    """Several servers on one socket and one worker, tended until Ctrl-C."""
    from forecourt.app import GRACE_S
    from forecourt.process import Child, Crew, CrewLost

    me = [sys.executable, "-m", "forecourt"]
    serving = [Child("`forecourt serve`", [*me, "serve", "--fd", str(descriptor)], fds=[descriptor]) for _ in range(workers)]
    crew = Crew([*serving, Child("`forecourt worker`", [*me, "worker"])], child_environ(settings, running), _told)
    stop = _stopped_by_signals()
    crew.start()
    lost: CrewLost | None = None
    try:
        while not (crew.opened or stop.wait(READY_PAUSE_S)):
            crew.tend()
            crew.opened = _answers(_own_url(settings))
        if crew.opened:
            asyncio.run(greeting(None))
        while not stop.wait(TEND_S):
            crew.tend()
    except CrewLost as e:
        lost = e
    finally:
        crew.stop(settings.http.drain_s + GRACE_S + 5)
    if lost is not None:
        refuse(str(lost), lost.status)


def _own_url(settings: Settings) -> str:
    host = "127.0.0.1" if settings.http.host == "0.0.0.0" else settings.http.host  # noqa: S104
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.http.port}"


def _answers(url: str) -> bool:
    """Whether the process there is ready."""
    import httpx

    try:
        return httpx.get(f"{url}/readyz", timeout=ASKING_S).status_code == 200
    except httpx.HTTPError:
        return False


def child_environ(settings: Settings, running: Engines) -> dict[str, str]:
    """The environment of a child process: the same settings, and the addresses of engines that already run."""
    from forecourt.app import app_url

    embedded = settings.database.url is None
    return {
        **os.environ,
        "FORECOURT_DATA": str(settings.data),
        "FORECOURT_HOST": settings.http.host,
        "FORECOURT_PORT": str(settings.http.port),
        "FORECOURT_CHILD": "1",
        "DATABASE_URL": app_url(running.database_url) if embedded else running.database_url,
        "DATABASE_ADMIN_URL": running.database_url if embedded else admin_url(settings, running),
        "VALKEY_URL": running.valkey_url,
    }


def listening(settings: Settings) -> socket.socket:
    """The listening socket; ends the program with words when somebody else has the port."""
    from forecourt.process import PortTaken, bind

    try:
        return bind(settings.http.host, settings.http.port)
    except PortTaken as e:
        refuse(str(e))


# --- single duties -------------------------------------------------------------------------------------------------------


@app.command
def serve(
    *,
    host: Host = None,
    port: Port = None,
    data: Data = None,
    modules: Modules = "",
    fd: Annotated[int | None, Parameter(show=False)] = None,
) -> None:
    """Serve pages and API, without background work. The engines must run already (`DATABASE_URL`, `VALKEY_URL`, or an `up`).

    Example: DATABASE_URL=postgresql://… VALKEY_URL=valkey://… forecourt serve --port 8001
    """
    from forecourt.process import Duty

    _answer(Duty.SERVE, read_settings(data, host, port, modules), fd)


@app.command
def realtime(
    *,
    host: Host = None,
    port: Port = None,
    data: Data = None,
    modules: Modules = "",
    fd: Annotated[int | None, Parameter(show=False)] = None,
) -> None:
    """Serve WebSockets alone, at /v1/socket. Any number of them act as one, beside `serve` and `worker`, on the same engines.

    Example: DATABASE_URL=postgresql://… VALKEY_URL=valkey://… forecourt realtime --port 8002
    """
    from forecourt.process import Duty

    _answer(Duty.SOCKETS, read_settings(data, host, port, modules), fd)


def _answer(duty: Duty, settings: Settings, fd: int | None) -> None:
    """Serves until it is ended, on a socket that a parent has opened or on one of its own."""
    from forecourt.process import die_with_parent, run

    if os.environ.get("FORECOURT_CHILD"):
        die_with_parent()
    listener = socket.socket(fileno=fd) if fd is not None else listening(settings)
    run(settings, outside(settings), duty, listener)


@app.command
def worker(
    *,
    host: Host = None,
    port: Annotated[int | None, Parameter(help="Answer /livez, /readyz and /metrics there. Default: nowhere.")] = None,
    data: Data = None,
    modules: Modules = "",
    fd: Annotated[int | None, Parameter(show=False)] = None,
) -> None:
    """Do the background work: bring events to their subscribers and run jobs. Any number of workers may run.

    Example: forecourt worker --modules booking,payments --port 9000
    """
    from forecourt.process import Duty, die_with_parent, run

    settings = read_settings(data, host, port, modules)
    if os.environ.get("FORECOURT_CHILD"):
        die_with_parent()
    inherited = None if fd is None else socket.socket(fileno=fd)
    run(settings, outside(settings), Duty.WORK, inherited or (None if port is None else listening(settings)))


@app.command
def migrate(*, data: Data = None, dry_run: Annotated[bool, Parameter(help="Only list what would be applied.")] = False) -> None:
    """Bring the database up to date. Uses DATABASE_ADMIN_URL, or DATABASE_URL, or the embedded server.

    When both are set, forecourt_app gets the password that DATABASE_URL gives it, if the server does not take it yet.

    Example: DATABASE_ADMIN_URL=postgresql://owner@db/forecourt forecourt migrate --dry-run
    """
    from forecourt.kernel.migrate import APP_ROLE, admit, pending
    from forecourt.layout import migration_folders

    settings = read_settings(data)
    with steps() as report, engines(settings, report) as running:
        if dry_run:
            waiting = asyncio.run(pending(admin_url(settings, running), migration_folders()))
            for migration in waiting:
                out.print(f"  {migration.module} {migration.number:04} {migration.name}")
            out.print(f"{len(waiting)} to apply." if waiting else "Up to date.")
            return
        applied = migrate_now(settings, running, report)
        out.print(f"Applied {applied}." if applied else "Up to date.")
        database = settings.database
        if database.url and database.admin_url and asyncio.run(admit(database.admin_url.reveal(), database.url.reveal())):
            out.print(f"{APP_ROLE} has the password of DATABASE_URL now.")


@app.command
def demo(
    *,
    data: Data = None,
    seed: Annotated[int, Parameter(help="The same seed makes the same world.")] = 7,
    scale: Annotated[int, Parameter(help="Make about this many bookings, for benchmarks. 0: the ordinary world.")] = 0,
    quiet_end: Annotated[bool, Parameter(show=False)] = False,
) -> None:
    """Fill the installation with a believable world: gyms in London, padel clubs in Pakistan, a hotel in Lisbon.

    Example: forecourt demo --scale 1000000
    """
    from forecourt.demo import LOG_INS, PASSWORD
    from forecourt.demo.show import progress
    from forecourt.kernel.pool import is_lost
    from forecourt.process import die_with_parent

    settings = read_settings(data)
    # Whoever stops us means what Ctrl-C means: leave it as far as it is, and leave the terminal in order.
    signal.signal(signal.SIGTERM, _interrupt)
    if os.environ.get("FORECOURT_CHILD"):
        die_with_parent()
    with engines(settings, _unheard) as running:
        if not quiet_end:
            migrate_now(settings, running, _unheard)
        try:
            with progress(out) as report:
                made = asyncio.run(_fill(settings, admin_url(settings, running), seed, scale, report))
        except Exception as e:
            if not is_lost(e):
                raise
            refuse("The database went away. `forecourt demo` goes on where it stopped.")
    out.print(f"  The demo world is there: {made.summary()}")
    if not quiet_end:
        for login in LOG_INS:
            out.print(f"    {login.email:<28} [dim]{login.what}; password {PASSWORD}[/]")


async def _fill(settings: Settings, url: str, seed: int, scale: int, report: Report) -> Made:
    from forecourt.demo import fill
    from forecourt.wiring import media_alone

    async with media_alone(settings, url) as media:
        return await fill(url, seed=seed, scale=scale, report=report, media=media)


@app.command
def doctor(
    *,
    data: Data = None,
    port: Port = None,
    archive: Annotated[
        Path | None, Parameter(help="Where the archive is. An open house that streams its changes is asked for it.")
    ] = None,
) -> None:
    """Say what is wrong with this machine or installation, in plain words, and what to do about it.

    What could be better and keeps nothing from working is said too, and does not count. Ends with 1 when something is wrong.

    Example: forecourt doctor --data /srv/forecourt

    Example: forecourt doctor --archive /mnt/other/forecourt
    """
    from forecourt.engines.doctor import examine
    from forecourt.engines.doctor_archive import archives

    settings = read_settings(data, None, port)
    database = settings.database.url.reveal() if settings.database.url else None
    valkey = settings.valkey.url.reveal() if settings.valkey.url else None
    findings = [*examine(settings.data, database, valkey, settings.http.port), *schema(settings)]
    there = engines_running_in(settings.data)
    place = archive or (Path(there.archive) if there and there.archive else None)
    findings += archives(looked_at(settings), place, production=settings.production)
    for finding in findings:
        tell_finding(finding)
    wrong, warned = sum(not f.ok for f in findings), sum(f.warns for f in findings)
    mend = f"{wrong} to mend." if wrong else "All is well." if not warned else "Nothing to mend."
    out.print(f"{mend} {warned} to think of." if warned else mend)
    sys.exit(1 if wrong else 0)


def tell_finding(finding: Finding) -> None:
    mark = "[yellow]mind[/]" if finding.warns else "[green]ok[/]  " if finding.ok else "[bold red]no[/]  "
    out.print(f"  {mark}  [bold]{finding.name}[/]  {finding.detail}", soft_wrap=True)
    if finding.cure:
        out.print(f"        → {finding.cure}", soft_wrap=True)


def looked_at(settings: Settings) -> str | None:
    """The address of the database that a command may look into; None when nobody can be asked."""
    there = engines_running_in(settings.data)
    told = settings.database.admin_url or settings.database.url
    return told.reveal() if told else there.database_url if there and there.database_url else None


def schema(settings: Settings) -> list[Finding]:
    """Whether the database is what this release works with; nothing when nobody can be asked, or a login that may not look."""
    import asyncpg

    from forecourt.engines.doctor import finding
    from forecourt.kernel.migrate import pending
    from forecourt.layout import migration_folders

    url = looked_at(settings)
    if url is None:
        return []
    try:
        waiting = asyncio.run(pending(url, migration_folders()))
    except (asyncpg.PostgresError, OSError, TimeoutError):
        return []
    detail = f"{len(waiting)} migrations wait, from {waiting[0].module} {waiting[0].number:04} on." if waiting else "Up to date."
    return [finding("PostgreSQL tables", not waiting, detail, "Run `forecourt migrate`.")]


@app.command
def check(*, map: Annotated[bool, Parameter(help="List every route, event, job, query and table by module.")] = False) -> None:
    """Check the plan of the house without starting it: boundaries, routes, events, jobs.

    Example: forecourt check --map
    """
    from forecourt.survey import boundary_faults, faults, survey

    found = survey()
    if map:
        for room in found:
            table = Table(
                "kind", "name", title=room.module, title_justify="left", show_header=False, box=None, padding=(0, 2, 0, 0)
            )
            for kind, names in room.things.items():
                for name in names:
                    table.add_row(f"[dim]{kind}[/]", name)
            out.print(table)
    wrong = boundary_faults() + faults(found)
    for fault in wrong:
        err.print(f"[bold red]{fault}[/]")
    routes = sum(len(r.things.get("route", ())) for r in found)
    out.print(f"{len(found)} modules, {routes} routes: " + (f"{len(wrong)} faults." if wrong else "in order."))
    sys.exit(1 if wrong else 0)


@account.command(name="create-admin")
def create_admin(
    email: str, name: Annotated[str, Parameter(help="What people call them.")] = "Administrator", *, data: Data = None
) -> None:
    """Make a platform administrator. The password is read from the terminal, or from FORECOURT_ADMIN_PASSWORD.

    An account of this address that was verified keeps its own password; one that was not gets this one, and its sessions end.

    Example: forecourt account create-admin ada@example.org "Ada Lovelace"
    """
    from getpass import getpass

    try:
        password = os.environ.get("FORECOURT_ADMIN_PASSWORD") or getpass("Password: ")
    except EOFError:
        raise EngineError("There is no terminal to read a password from.", "Set FORECOURT_ADMIN_PASSWORD.") from None
    settings = read_settings(data)
    with engines(settings, _unheard) as running:
        # Where only the program's login is known, as in a container, the owner has prepared the database.
        if as_owner(settings, running):
            migrate_now(settings, running, _unheard)

        set_here = True

        async def make(house: House) -> None:
            from forecourt.wiring import create_platform_admin

            nonlocal set_here
            set_here = await create_platform_admin(house, email, name, password)

        asyncio.run(in_house(settings, running, make))
    out.print(f"{email} is a platform administrator." + ("" if set_here else " Its password is the one that the account had."))


@app.command
def replay(
    what: Annotated[str, Parameter(help="A subscriber (audit.trail) or a kind of job (identity.write_letter).")],
    *,
    data: Data = None,
) -> None:
    """Hand what was set aside to its handler again: events of a subscriber, or jobs of a kind. Ends with 1 when some fail again.

    Example: forecourt replay audit.trail
    """
    settings = read_settings(data)
    still: list[int] = []

    async def again(house: House) -> None:
        from forecourt.forgetting import FORGET
        from forecourt.kernel.events import replay as replay_events
        from forecourt.kernel.jobs import TIDY, replay_jobs

        kinds = {h.kind.name for part in house.parts for h in part.handlers} | {TIDY.name, FORGET.name}
        subscription = next((s for s in house.subscriptions if s.subscriber == what), None)
        if subscription is not None:
            handled, dead = await replay_events(house.database, subscription)
            out.print(f"{handled:,} events were handled, {dead:,} failed again.")
            still.append(dead)
        elif what in kinds:
            out.print(f"{await replay_jobs(house.database, kind=what):,} jobs are in the queue again.")
        else:
            names = sorted({s.subscriber for s in house.subscriptions} | kinds)
            refuse(f"There is neither a subscriber nor a kind of job called {what}. There are {', '.join(names)}.")

    with engines(settings, _unheard) as running:
        asyncio.run(in_house(settings, running, again))
    sys.exit(1 if any(still) else 0)


@gateway.command(name="routes")
def gateway_routes() -> None:
    """Print which module answers which path: a regular expression and a name a line, to be tried from the top.

    Example: forecourt gateway routes > routes.map
    """
    from forecourt.gateway.routes import routing_table

    for route in routing_table():
        sys.stdout.write(f"{route.pattern} {route.module}\n")


@audit.command(name="verify")
def verify_audit(
    *,
    org: Annotated[UUID | None, Parameter(help="Only this organisation's record. Default: every record there is.")] = None,
    noted: Annotated[
        str, Parameter(help="The end of the record as it was noted earlier: proves that nothing before it was written anew.")
    ] = "",
    data: Data = None,
) -> None:
    """Read the audit record from its first entry and say whether it is whole. Ends with 1 when it is not.

    Example: forecourt audit verify --org 01a1fcc0-c4a5-7253-9344-54cc95d009c8
    """
    import asyncpg

    from forecourt.modules.audit.command import proofs

    if noted and org is None:
        err.print("[bold red]--noted is the end of one record: say whose with --org[/]")
        sys.exit(2)
    settings = read_settings(data)

    async def read(url: str) -> list[Proof]:
        found: list[Proof] = []
        async for proof in proofs(url, org, noted.strip().lower()):
            tell_proof(proof, noting=org is not None)
            found.append(proof)
        return found

    with engines(settings, _unheard) as running:
        try:
            found = asyncio.run(read(addresses(settings, running).database_url))
        except (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError):
            err.print("[bold red]There is no record in this database yet: `forecourt migrate` prepares it[/]")
            sys.exit(1)
    entries, broken = sum(p.entries for p in found), sum(not p.intact for p in found)
    if org is not None and not entries and not broken:
        out.print("Nothing is recorded for this organisation: there is none of this id, or nothing has happened there yet.")
        sys.exit(1)
    what = "1 record" if len(found) == 1 else f"{len(found):,} records"
    out.print(f"{what}, {entries:,} entries: " + (f"{broken:,} broken." if broken else "all is whole."))
    sys.exit(1 if broken else 0)


def tell_proof(proof: Proof, *, noting: bool) -> None:
    """One record's state, in words; `noting` gives its end, to be noted elsewhere."""
    whose = "the house itself" if proof.organisation_id.int == 0 else f"organisation {proof.organisation_id}"
    word = "[green]whole [/]" if proof.intact else "[bold red]broken[/]"
    out.print(f"  {word} {whose}: {proof.entries:,} entries", soft_wrap=True)
    if proof.fault is not None:
        out.print(f"         Entry {proof.fault.seq:,}: {proof.fault.what}.", soft_wrap=True)
        if proof.fault.seq > 1:
            out.print(f"         What stands before it ({proof.fault.seq - 1:,}) is as it was written.", soft_wrap=True)
    if proof.erased:
        of = "1 of them" if proof.erased == 1 else f"{proof.erased:,} of them"
        out.print(f"         In {of} something is erased, because somebody's account is.", soft_wrap=True)
    if proof.fault is None and noting:
        out.print(f"         Ends with {proof.head}. Noted elsewhere, it proves later that nothing was changed.", soft_wrap=True)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """As if Ctrl-C had been pressed."""
    signal.raise_signal(signal.SIGINT)


def _unheard(_: str) -> None:
    """Nobody needs to be told."""
