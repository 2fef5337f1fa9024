"""`forecourt audit verify`: the record's state in plain words, and an end that a script can ask for."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest
from tests.conftest import FreshDatabase
from tests.journeys.conftest import environ_for
from tests.modules.audit.test_audit import House, house  # noqa: F401 - a fixture

from forecourt.kernel.ids import new_id


class Command:
    """The program on the house's database, as an operator runs it."""

    def __init__(self, fresh: FreshDatabase, data: Path) -> None:
        # No Valkey answers there: the command needs none.
        self.environ = environ_for(data, fresh.url, fresh.admin_url, "valkey://127.0.0.1:9") | {"COLUMNS": "200", "NO_COLOR": "1"}

    async def __call__(self, *arguments: str) -> tuple[int, str]:
        started = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "forecourt", "audit", "verify", *arguments,
            env=self.environ, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        said, _ = await started.communicate()
        return started.returncode or 0, " ".join(said.decode().split())


@pytest.fixture
def verify(fresh_database: FreshDatabase, tmp_path: Path) -> Command:
    return Command(fresh_database, tmp_path)


async def test_the_command_says_that_every_record_is_whole_and_which_is_not(house: House, verify: Command) -> None:  # noqa: F811
    await house.switch(3)
    await house.switch(2, org=house.rival)
    status, said = await verify()
    assert (status, "broken" in said) == (0, False), said
    assert f"whole organisation {house.org}: 3 entries" in said
    assert said.endswith("3 records, 5 entries: all is whole.")

    await house.tamper("update audit.entry set name = 'lamp.smashed' where seq = 2 and organisation_id = $1", house.rival)
    status, said = await verify()
    assert status == 1
    assert f"broken organisation {house.rival}: 2 entries Entry 2: does not match its seal" in said
    assert "What stands before it (1) is as it was written." in said
    assert f"whole organisation {house.org}" in said
    assert said.endswith("3 records, 5 entries: 1 broken.")


async def test_an_end_that_was_noted_shows_that_a_record_was_written_anew(house: House, verify: Command) -> None:  # noqa: F811
    await house.switch(2)
    status, said = await verify("--org", str(house.org))
    noted = said.partition("Ends with ")[2].partition(".")[0]
    assert (status, noted) == (0, (await house.audit.verify(house.ctx)).head)
    for table in ("entry", "mention", "chain"):
        await house.tamper(f"delete from audit.{table} where organisation_id = $1", house.org)
    await house.switch(2)
    assert (await house.audit.verify(house.ctx)).intact, "by itself the new record is sound"
    status, said = await verify("--org", str(house.org), "--noted", noted)
    assert (status, "written anew" in said) == (1, True)


async def test_an_organisation_without_a_record_is_not_called_whole(verify: Command) -> None:
    status, said = await verify("--org", str(new_id()))
    assert (status, "Nothing is recorded for this organisation" in said) == (1, True)
