"""Keeps the statements of a release, so that the next schema can be held to them: `python -m tools.release_queries 0.2.0`.

Run when a release is made, on its commit. While the next version is brought out, programs of this release go on with the new
schema; `tests/release` prepares what is kept here on it, as the role that asks, and compares what goes in and comes out.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import asyncpg

from forecourt.kernel.db import Query, Statement, module_role
from forecourt.survey import load

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "tests" / "release" / "queries.json"


def named() -> dict[str, tuple[str, str]]:
    """Every statement that a module or the kernel declares: its place, whose role asks it, and the SQL."""
    load()
    found: dict[str, tuple[str, str]] = {}
    for place, module in sorted(sys.modules.items()):
        if not place.startswith(("forecourt.modules.", "forecourt.kernel.")):
            continue
        owner = place.split(".")[2] if place.startswith("forecourt.modules.") else "kernel"
        for name, value in vars(module).items():
            if isinstance(value, Query | Statement) and not any(sql == value.sql for _, sql in found.values()):
                found[f"{place}.{name}"] = (module_role(owner), value.sql)
    return found


async def described(url: str, statements: dict[str, tuple[str, str]]) -> list[dict[str, Any]]:
    """The statements with the types of what goes in and comes out."""
    connection = await asyncpg.connect(url)
    kept: list[dict[str, Any]] = []
    try:
        for place, (role, sql) in statements.items():
            async with connection.transaction():
                await connection.execute(f"set local role {role}")
                asked = await connection.prepare(sql)
                parameters = [parameter.name for parameter in asked.get_parameters()]
                columns = [column.type.name for column in asked.get_attributes()]
            kept.append({"place": place, "role": role, "sql": sql, "parameters": parameters, "columns": columns})
    finally:
        await connection.close()
    return kept


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        print("which release? python -m tools.release_queries 0.2.0")
        return 2
    from tools.migrated import migrated

    with migrated() as url:
        kept = asyncio.run(described(url, named()))
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    lines = ",\n".join(json.dumps(entry, ensure_ascii=False) for entry in kept)
    TARGET.write_text(f'{{"release": "{arguments[0]}", "statements": [\n{lines}\n]}}\n')
    print(f"{len(kept)} statements of {arguments[0]} are kept in {TARGET.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
