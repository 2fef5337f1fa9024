"""The plan of the house as import-linter contracts: who may import whom, for every module there is or will be.

import-linter's own contracts name packages one by one, so a new module would be unguarded until someone remembers the
list. These read the plan from the names instead: `forecourt.modules.<name>.<room>`. Only direct imports are judged,
lazy ones and those under `TYPE_CHECKING` included; a chain of allowed imports is allowed.
"""

from __future__ import annotations

import ast
from abc import abstractmethod
from collections.abc import Iterator
from importlib.machinery import PathFinder
from pathlib import Path
from typing import ClassVar, NamedTuple, cast

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output

ROOT = "forecourt"
KERNEL = f"{ROOT}.kernel"
MODULES = f"{ROOT}.modules"

# Deterministic parts of the standard library: same arguments, same answer. Anything else in rules and contracts is refused.
# fmt: off
PURE_STDLIB = frozenset([
    "__future__", "abc", "base64", "bisect", "calendar", "collections", "contextlib", "dataclasses", "datetime", "decimal",
    "enum", "fractions", "functools", "hashlib", "heapq", "hmac", "itertools", "json", "math", "numbers", "operator", "re",
    "statistics", "string", "textwrap", "types", "typing", "unicodedata", "uuid", "zoneinfo",
])
# fmt: on
# Calls that read a clock, the machine or chance, however the name was imported …
IMPURE_CALLS = frozenset(["getenv", "new_id", "now", "today", "utcnow", "uuid1", "uuid4", "uuid7", "uuid8"])
# … and those that do so only as built-ins: `hours.open(at)` is a fair name for a rule.
IMPURE_BUILTINS = frozenset(["breakpoint", "input", "open", "print"])


class Place(NamedTuple):
    """Where in the house a Python module stands."""

    module: str | None
    """The name below `forecourt.modules`, if it is there."""
    room: str
    """`contract`, `rules`, `service` … inside a module; `kernel`, `engines`, `app` … outside."""


class Problem(NamedTuple):
    where: str
    text: str


def place_of(name: str) -> Place:
    parts = name.split(".")
    if name.startswith(f"{MODULES}."):
        return Place(parts[2], parts[3] if len(parts) > 3 else "__init__")
    return Place(None, parts[1] if len(parts) > 1 else "__init__")


def is_within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def ours(graph: ImportGraph) -> Iterator[str]:
    yield from sorted(name for name in graph.modules if is_within(name, ROOT))


def is_external(name: str) -> bool:
    return not is_within(name, ROOT)


class HouseContract(Contract):
    """Finds problems over the import graph and prints each with its place."""

    because: ClassVar[str]

    @abstractmethod
    def problems(self, graph: ImportGraph) -> Iterator[Problem]: ...

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        del verbose
        found = list(self.problems(graph))
        return ContractCheck(kept=not found, metadata={"problems": found})

    def render_broken_contract(self, check: ContractCheck) -> None:
        for where, text in cast("list[Problem]", check.metadata["problems"]):
            output.print_error(f"{where}: {text}", bold=False)
        output.new_line()
        output.print(self.because)
        output.new_line()


def broken_import(graph: ImportGraph, importer: str, imported: str) -> Problem:
    lines = sorted({detail["line_number"] for detail in graph.get_import_details(importer=importer, imported=imported)})
    return Problem(f"{importer}:{','.join(map(str, lines))}", f"imports {imported}")


class ModulesTalkThroughContracts(HouseContract):
    """Of another module, a module imports `contract` and nothing else."""

    type_name = "modules_talk_through_contracts"
    because = "Ask the other module through its contract.py, or listen to its events (docs/architecture.md)."

    def problems(self, graph: ImportGraph) -> Iterator[Problem]:
        for importer in ours(graph):
            here = place_of(importer)
            if here.module is None:
                continue
            for imported in sorted(graph.find_modules_directly_imported_by(importer)):
                there = place_of(imported)
                if there.module not in (None, here.module) and there.room != "contract":
                    yield broken_import(graph, importer, imported)


class KernelStandsAlone(HouseContract):
    """The kernel imports nothing of ours but the kernel; the engines and the socket server only themselves and the kernel."""

    type_name = "kernel_stands_alone"
    because = "What a module needs of the kernel is passed in: the kernel names no module, engine or application."

    def problems(self, graph: ImportGraph) -> Iterator[Problem]:
        allowed = {"kernel": ("kernel",), "engines": ("engines", "kernel"), "realtime": ("realtime", "kernel")}
        for importer in ours(graph):
            here = place_of(importer)
            if here.module is not None or here.room not in allowed:
                continue
            for imported in sorted(graph.find_modules_directly_imported_by(importer)):
                if imported == ROOT or is_external(imported):
                    continue
                there = place_of(imported)
                if there.module is not None or there.room not in allowed[here.room]:
                    yield broken_import(graph, importer, imported)


class ContractsAreShareable(HouseContract):
    """`contract.py`, or every file of `contract/`, imports the kernel, contracts and libraries that only compute.

    A contract may carry functions over its own values; they call no clock, chance or I/O.
    """

    type_name = "contracts_are_shareable"
    because = "A contract is read by every module and by another process: it carries values and pure functions, no use case."
    external = fields.SetField(subfield=fields.StringField())

    def problems(self, graph: ImportGraph) -> Iterator[Problem]:
        allowed = cast("set[str]", self.external) | PURE_STDLIB
        for importer in ours(graph):
            here = place_of(importer)
            if here.module is None or here.room != "contract":
                continue
            for imported in sorted(graph.find_modules_directly_imported_by(importer)):
                if is_external(imported):
                    fine = imported in allowed
                else:
                    fine = is_within(imported, KERNEL) or imported in (ROOT, MODULES) or place_of(imported).room == "contract"
                if not fine:
                    yield broken_import(graph, importer, imported)
            yield from impure_calls(importer)


class RulesArePure(HouseContract):
    """`rules.py` imports contracts and kernel values only, and calls no clock, chance or I/O.

    The kernel values themselves import only each other, or purity would leak through them.
    """

    type_name = "rules_are_pure"
    because = "Rules take values and return values. Pass in what they need: `now`, rates, rows already read."
    kernel_values = fields.SetField(subfield=fields.StringField())
    external = fields.SetField(subfield=fields.StringField())

    def problems(self, graph: ImportGraph) -> Iterator[Problem]:
        values = cast("set[str]", self.kernel_values)
        for value in sorted(values - graph.modules):
            yield Problem("pyproject.toml", f"names the kernel value {value}, which does not exist")
        for importer in sorted(values & graph.modules):
            for imported in sorted(graph.find_modules_directly_imported_by(importer)):
                if not is_external(imported) and imported not in values and imported not in (ROOT, KERNEL):
                    yield broken_import(graph, importer, imported)
        for importer in ours(graph):
            here = place_of(importer)
            if here.module is not None and here.room == "rules":
                yield from self._imports(graph, importer, here.module)
                yield from impure_calls(importer)
                yield from waits(importer)

    def _imports(self, graph: ImportGraph, importer: str, module: str) -> Iterator[Problem]:
        external = cast("set[str]", self.external) | PURE_STDLIB
        values = cast("set[str]", self.kernel_values)
        own_rules = f"{MODULES}.{module}.rules"
        for imported in sorted(graph.find_modules_directly_imported_by(importer)):
            if is_external(imported):
                fine = imported in external
            else:
                there = place_of(imported)
                fine = (
                    imported in values
                    or is_within(imported, own_rules)
                    or (there.module is not None and there.room == "contract")
                )
            if not fine:
                yield broken_import(graph, importer, imported)


class OnlyTheRootWires(HouseContract):
    """Outside a module, only the composition roots import more of it than its contract."""

    type_name = "only_the_root_wires"
    because = "The composition root is the only place that knows which module is local and which is remote."
    roots = fields.SetField(subfield=fields.StringField())

    def problems(self, graph: ImportGraph) -> Iterator[Problem]:
        roots = cast("set[str]", self.roots)
        for importer in ours(graph):
            here = place_of(importer)
            # The kernel may not import even a contract: KernelStandsAlone says so.
            if here.module is not None or any(is_within(importer, root) for root in roots) or is_within(importer, MODULES):
                continue
            for imported in sorted(graph.find_modules_directly_imported_by(importer)):
                there = place_of(imported)
                if there.module is not None and there.room != "contract":
                    yield broken_import(graph, importer, imported)


def impure_calls(name: str) -> Iterator[Problem]:
    """Calls of a clock, chance or the machine, and changed globals, in one of our modules."""
    for node in ast.walk(syntax_of(name)):
        match node:
            case ast.Call(func=ast.Name(id=called)) if called in IMPURE_CALLS | IMPURE_BUILTINS:
                yield Problem(f"{name}:{node.lineno}", f"calls {called}()")
            case ast.Call(func=ast.Attribute(attr=called)) if called in IMPURE_CALLS:
                yield Problem(f"{name}:{node.lineno}", f"calls {called}()")
            case ast.Global(names=names):
                yield Problem(f"{name}:{node.lineno}", f"changes the global {', '.join(names)}")
            case _:
                pass


def waits(name: str) -> Iterator[Problem]:
    """Async functions. A contract declares them in its Protocol; a rule has nothing to wait for."""
    for node in ast.walk(syntax_of(name)):
        if isinstance(node, ast.AsyncFunctionDef):
            yield Problem(f"{name}:{node.lineno}", f"declares async {node.name}(), so it waits for something")


def syntax_of(name: str) -> ast.Module:
    return ast.parse(source_of(name).read_text())


def source_of(name: str) -> Path:
    """The file of one of our modules, found without importing anything of it."""
    spec = PathFinder.find_spec(ROOT)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"{ROOT} is not importable: run `make setup`")
    base = Path(spec.submodule_search_locations[0], *name.split(".")[1:])
    return base / "__init__.py" if base.is_dir() else base.with_suffix(".py")
