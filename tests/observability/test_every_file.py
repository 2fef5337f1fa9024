"""The files of deploy/observability, broken one by one: the check of each fails. The table is tests/deploy/broken.py."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from tests.deploy.broken import DEPLOY, OBSERVABILITY, Break
from tests.observability import test_deploy as here
from tests.observability.conftest import told_all
from tests.observability.queries import Wrong

from forecourt.app import House

pytestmark = pytest.mark.xdist_group("observed")

Known = dict[str, frozenset[str]]


@pytest.fixture
async def told_now(house: House, client: httpx.AsyncClient) -> Known:
    """Every series that the program tells; what rules record comes from the files that are looked at."""
    return here.series_of(house, await told_all(client, house))


def config() -> None:
    command = ["promtool", "check", "config", str(here.DEPLOY / "prometheus" / "prometheus.yml")]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def first_case() -> None:
    """promtool over the first case of each file: all of them take it twenty seconds, and are run where they are at home."""
    for path in here.TESTS:
        whole = yaml.safe_load(path.read_text())
        short = path.with_suffix(".short.yml")
        short.write_text(yaml.safe_dump({**whole, "tests": whole["tests"][:1]}))
        done = subprocess.run(["promtool", "test", "rules", short], check=False, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr


def runbooks() -> None:
    for alert in here.ALERTS:
        here.test_an_alert_leads_to_a_page_that_says_what_to_do(alert)


async def rules(told_now: Known, house: House) -> None:
    await here.test_every_rule_asks_for_what_the_program_tells(here.with_recorded(told_now), house)


async def panels(told_now: Known, house: House) -> None:
    await here.test_every_panel_asks_for_what_the_program_tells(here.with_recorded(told_now), house)


CHECKS: Mapping[str, Callable[..., Awaitable[None] | None]] = {
    "watches": here.test_prometheus_watches_every_role_where_it_tells,
    "config": config,
    "rules": rules,
    "severities": here.test_every_alert_is_for_now_or_for_the_morning,
    "runbooks": runbooks,
    "cases": here.test_every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_is_silent,
    "first_case": first_case,
    "pages": lambda: here.test_alertmanager_wakes_people_for_pages_only("page", "pagerduty,opsgenie-now"),
    "keys": here.test_alertmanager_keeps_no_secret_and_names_only_alerts_that_exist,
    "panels": panels,
    "drawn": here.test_every_panel_says_what_it_shows,
    "grafana": here.test_grafana_finds_its_dashboards_and_its_source,
}
WITH_TOOLS = {"config", "first_case", "pages"}
WITH_HOUSE = {"rules", "panels"}


def checked_by(name: str) -> Any:
    return pytest.param(name, marks=pytest.mark.prometheus) if name in WITH_TOOLS else name


class Found(Exception):
    """A check failed, or could not read the file at all. Whatever else is raised is a fault of the check."""


async def check(name: str, deploy: Path, monkeypatch: pytest.MonkeyPatch, told_now: Known, house: House) -> None:
    """Holds deploy/observability in `deploy` to a check. Raises Found."""
    place = deploy / "observability"
    monkeypatch.setattr(here, "DEPLOY", place)
    monkeypatch.setattr(here, "RULES", place / "prometheus" / "rules")
    monkeypatch.setattr(here, "TESTS", sorted((place / "prometheus" / "tests").glob("*.yml")))
    monkeypatch.setattr(here, "DASHBOARDS", sorted((place / "grafana" / "dashboards").glob("*.json")))
    monkeypatch.setattr(here, "ALERTS", {rule["alert"]: rule for rule in here.rules() if "alert" in rule})
    try:
        done = CHECKS[name](told_now, house) if name in WITH_HOUSE else CHECKS[name]()
        if done is not None:
            await done
    except (AssertionError, Wrong, KeyError, json.JSONDecodeError, yaml.YAMLError) as e:
        raise Found(str(e)) from e


@pytest.mark.parametrize("name", [checked_by(name) for name in CHECKS])
async def test_what_stands_there_is_right(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told_now: Known, house: House
) -> None:
    """The control of the next one."""
    await check(name, Path(shutil.copytree(DEPLOY, tmp_path / "deploy")), monkeypatch, told_now, house)


@pytest.mark.parametrize(
    "wrong",
    [pytest.param(b, marks=[pytest.mark.prometheus] if b.found_by in WITH_TOOLS else [], id=str(b)) for b in OBSERVABILITY],
)
async def test_one_thing_wrong_is_found(
    wrong: Break, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told_now: Known, house: House
) -> None:
    with pytest.raises(Found):
        await check(wrong.found_by, wrong.made_in(tmp_path), monkeypatch, told_now, house)
