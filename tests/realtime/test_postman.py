"""The first journey of the Postman collection, run from top to bottom against a house."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from tests.journeys.world import World

ROOT = Path(__file__).resolve().parents[2]
COLLECTION = ROOT / "clients" / "postman" / "forecourt.postman_collection.json"
RUNNER = Path(__file__).with_name("postman.mjs")


async def journey(collection: Path, port: int) -> list[Any]:
    command = ("node", str(RUNNER), str(collection), "A first journey", f"http://127.0.0.1:{port}")
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
    try:
        async with asyncio.timeout(60):
            out, wrong = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, wrong.decode()
    return [json.loads(line) for line in out.decode().splitlines()]


async def test_the_first_journey_runs_and_its_checks_can_fail(port: int, world: World, tmp_path: Path) -> None:
    # In Shetland, where no other test has a club: the journey takes the first place that it finds.
    await world.club(where=(60.15, -1.15))
    collection = json.loads(COLLECTION.read_text())
    next(v for v in collection["variable"] if v["key"] == "near")["value"] = "60.15,-1.15"
    (tmp_path / "near.json").write_text(json.dumps(collection))
    said = await journey(tmp_path / "near.json", port)
    assert [line for line in said if line[0] != "ok"] == []
    steps = [item["name"] for item in collection["item"][0]["item"]]
    assert list(dict.fromkeys(line[1] for line in said)) == steps

    # The control: the same with another hour to be refused.
    changed = json.dumps(collection).replace('"name": "Be told that it is taken"', '"name": "Be told"')
    collection = json.loads(changed)
    [told] = [item for item in collection["item"][0]["item"] if item["name"] == "Be told"]
    told["request"]["body"]["raw"] = told["request"]["body"]["raw"].replace("{{resource_id}}", "{{venue_id}}")
    (tmp_path / "changed.json").write_text(json.dumps(collection))
    wrong = [line for line in await journey(tmp_path / "changed.json", port) if line[0] != "ok"]
    assert {line[1] for line in wrong} == {"Be told"}
