"""The map of the house: every route, event, job, query and table by module, and what is wrong with the plan."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import msgspec

from forecourt.kernel.db import Query, Statement
from forecourt.kernel.events import registered_events
from forecourt.kernel.http.operation import AccessKind, Api, Kind, Operation
from forecourt.kernel.jobs import JobKind
from forecourt.layout import ROOT, migration_folders, module_names

ROOMS = ("contract", "rules", "queries", "service", "http", "web", "live", "reactions", "jobs")
LINTER_TIMEOUT_S = 120
MODULES = "forecourt.modules."
ONLY_IN_DEVELOPMENT = "/dev/"
_BROKEN = re.compile(r"(forecourt\.[\w.]+:[\d,]+|pyproject\.toml): ")
_TABLE = re.compile(r"create table (?:if not exists )?(\w+\.\w+)", re.IGNORECASE)


class Room(msgspec.Struct, frozen=True):
    """One module and what it has, by kind."""

    module: str
    things: dict[str, list[str]]


def load() -> None:
    """Imports every room of every module, so that whatever registers itself has done so."""
    for name in module_names():
        base = f"forecourt.modules.{name}"
        importlib.import_module(base)
        for path in sorted((ROOT / "modules" / name).rglob("*.py")):
            relative = path.relative_to(ROOT / "modules" / name).with_suffix("")
            if relative.name != "__init__":
                importlib.import_module(".".join((base, *relative.parts)))


def survey() -> list[Room]:
    """Every module, the kernel first."""
    load()
    rooms = [_room(name, folder) for name, folder in _folders()]
    return [room for room in rooms if any(room.things.values())]


def _folders() -> list[tuple[str, Path | None]]:
    migrations = dict(migration_folders())
    return [("kernel", migrations.get("kernel"))] + [(name, migrations.get(name)) for name in module_names()]


def _room(name: str, migrations: Path | None) -> Room:
    prefix = "forecourt.kernel" if name == "kernel" else f"forecourt.modules.{name}"

    def ours(where: str) -> bool:
        return where == prefix or where.startswith(prefix + ".")

    routes: list[str] = []
    pages: list[str] = []
    for api in every_api():
        if ours(api.__module__) or (name == "kernel" and api.__module__ == "forecourt.system"):
            for method, declared in api.declared():
                line = f"{declared.method:<6} {declared.path}  → {api.__name__}.{method}  [{declared.access.kind}]"
                (pages if declared.kind is not Kind.API else routes).append(line)
    events = [f"{e.event_name}.v{e.event_version}" for e in registered_events().values() if ours(e.__module__)]
    jobs = {thing.name for thing in _module_values() if isinstance(thing, JobKind) and thing.name.startswith(f"{name}.")}
    sql = [q.sql for q in Query.registered] + [s.sql for s in Statement.registered]
    mine = [s for s in sql if re.search(rf"\b{name}\.\w+", s)]
    tables = [t for path in sorted(migrations.glob("*.sql")) for t in _TABLE.findall(path.read_text())] if migrations else []
    return Room(
        name,
        {
            "route": sorted(routes, key=lambda r: r.split()[1]),
            "page": sorted(pages, key=lambda r: r.split()[1]),
            "event": events,
            "job": sorted(jobs),
            "query": [f"{len(mine)} statements"] if mine else [],
            "table": tables,
        },
    )


def _module_values() -> list[object]:
    return [
        value for name, module in list(sys.modules.items()) if name.startswith("forecourt.") for value in vars(module).values()
    ]


def every_api(base: type[Api] = Api) -> list[type[Api]]:
    """Every set of operations that has been imported."""
    found: list[type[Api]] = []
    for cls in base.__subclasses__():
        found += [cls, *every_api(cls)]
    return found


def operations(*, production: bool) -> list[Operation]:
    """Every operation of the whole house, whichever modules this process serves.

    Each is described by its class: nothing is started, and the services behind it are not asked.
    """
    load()
    ours = [api for api in every_api() if api.__module__.startswith("forecourt.")]  # tests have some of their own
    found = [op for api in ours for op in api.__new__(api).operations()]
    return [op for op in found if not (production and op.path.startswith(ONLY_IN_DEVELOPMENT))]


def faults(rooms: list[Room]) -> list[str]:
    """What is wrong: routes declared twice or by two modules, staff routes without an organisation, tables outside their
    module's schema."""
    wrong: list[str] = []
    declared = [(d.method, d.path, cls, d) for cls in every_api() for _, d in cls.declared()]
    for (method, path), times in Counter((m, p) for m, p, _, _ in declared).items():
        if times > 1:
            wrong.append(f"{method} {path} is declared {times} times")
    answered: dict[str, set[str]] = {}
    for _, path, cls, _ in declared:
        if cls.__module__.startswith(MODULES):
            answered.setdefault(path, set()).add(cls.__module__.split(".")[2])
    wrong += [
        f"{path} is answered by {' and '.join(sorted(modules))}: a gateway leads a path to one module"
        for path, modules in answered.items()
        if len(modules) > 1
    ]
    for method, path, cls, d in declared:
        if d.access.kind is AccessKind.STAFF and "{org_id}" not in path:
            wrong.append(f"{method} {path} ({cls.__name__}) is for staff, but its path names no {{org_id}}")
    for room in rooms:
        wrong += [
            f"{room.module}: table {table} is in another module's schema"
            for table in room.things.get("table", ())
            if table.split(".")[0] != room.module
        ]
    return wrong


def boundary_faults() -> list[str]:
    """What the import contracts of this checkout find broken. Of an installed package, or without import-linter, nothing."""
    checkout = ROOT.parents[1]
    linter = Path(sys.executable).with_name("lint-imports")
    if not (linter.exists() and (checkout / "tools" / "importlinter_contracts.py").exists()):
        return []
    # This house and no other: the linter takes the package from the path, and lines must not be broken to a terminal's width.
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT.parent), str(checkout)]), "COLUMNS": "1000"}
    done = subprocess.run(  # noqa: S603
        [linter, "--config", checkout / "pyproject.toml", "--no-logo"],
        cwd=checkout,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=LINTER_TIMEOUT_S,
    )
    if done.returncode == 0:
        return []
    named = [line for line in done.stdout.splitlines() if _BROKEN.match(line)]
    return named or [f"lint-imports ended with {done.returncode}: {(done.stderr or done.stdout)[-500:]}"]
