"""Every file of deploy/ has a check that fails when it is wrong: each is broken in ways that matter, and its check fails."""

from __future__ import annotations

import functools
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import helm_python
import pytest
from cyclopts import CycloptsError
from tests.deploy import charting, composing, test_chart, test_compose, test_compose_engines
from tests.deploy.broken import CONTAINERS, DEPLOY, ELSEWHERE, NOT_OURS, OBSERVABILITY, TERRAFORM, Break
from tests.deploy.charting import LEAST, RELEASES, fits, merge, named, render

from forecourt.cli import app
from forecourt.gateway.plan import Plan
from forecourt.kernel.settings import SettingsError

ROOT = DEPLOY.parent


def test_every_file_is_broken_somewhere_and_a_new_one_has_to_be() -> None:
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "deploy"]
    said = subprocess.run(listing, cwd=ROOT, check=True, capture_output=True, text=True, timeout=60).stdout
    there = {name.removeprefix("deploy/") for name in filter(None, said.split("\0")) if (ROOT / name).exists()}
    broken = [*test_chart.WRONG, *test_chart.MISSHAPEN, *test_chart.WRONG_ENGINES, *test_chart.MISSHAPEN_ENGINES]
    templates = {f"helm/forecourt/templates/{change[0]}" for change in broken}
    assert there == templates | {found.file for found in [*CONTAINERS, *OBSERVABILITY, *TERRAFORM]} | ELSEWHERE.keys()
    for test in ELSEWHERE.values():
        file, _, name = test.partition("::")
        assert re.search(rf"^(async )?def {name}\(", (ROOT / file).read_text(), re.MULTILINE), test


# --- checks that have no home of their own -----------------------------------------------------------------------------------


def the_gateway_is_asked_where_it_answers(tmp_path: Path) -> None:
    text = (composing.COMPOSE / "gateway.toml").read_text()
    (tmp_path / "gateway.toml").write_text(text.replace("/run/secrets", str(made(tmp_path))))
    plan = Plan.read(tmp_path / "gateway.toml")
    (program,) = [part for part in composing.production()["services"]["gateway"]["healthcheck"]["test"] if "http" in part]
    assert re.findall(r"http://127\.0\.0\.1:(\d+)/readyz", program) == [plan.internal.rpartition(":")[2]]


def the_chart_is_for_the_releases_that_it_is_checked_with() -> None:
    with helm_python.Chart.load(test_chart.CHART) as chart:
        assert chart.metadata["kubeVersion"] == f">={RELEASES[0]}.0-0"


def notes_lead_to_what_there_is() -> None:
    """What Helm says after an installation: an address, and commands that can be run as they stand."""
    with helm_python.Chart.load(test_chart.CHART) as chart:
        text, with_engines = (
            next(text for name, text in chart.render(told, name="house", namespace="prod").items() if name.endswith("NOTES.txt"))
            for told in (LEAST, merge(LEAST, test_chart.ENGINES))
        )
    (cluster,) = named(test_chart.render(**test_chart.ENGINES), "Cluster")
    assert (
        with_engines.removeprefix(text.rstrip("\n"))
        .rstrip()
        .endswith(f"kubectl --namespace prod get clusters.postgresql.cnpg.io {cluster['metadata']['name']}")
    )
    manifests = test_chart.render()
    assert LEAST["publicUrl"] in text
    commands = re.findall(r"^ +kubectl --namespace (\S+) (.+)$", text, re.MULTILINE)
    assert [namespace for namespace, _ in commands] == ["prod", "prod"]
    (labels,) = re.findall(r"--selector (\S+)=(\S+)$", commands[0][1])
    deployments = named(manifests, "Deployment")
    assert all(fits({"matchLabels": dict([labels])}, m["metadata"]["labels"]) for m in deployments)
    assert labels[0] != "app.kubernetes.io/name" and labels[1] == "house", "of this installation, not of every one"
    ((target, command),) = re.findall(r"^exec deploy/(\S+) -- forecourt (.+)$", commands[1][1])
    assert target in {m["metadata"]["name"] for m in deployments}
    try:
        app.parse_args(command, exit_on_error=False, print_error=False)
    except CycloptsError as e:
        raise AssertionError(command) from e


def made(folder: Path) -> Path:
    """The secrets that make-secrets makes."""
    place = folder / "made"
    place.mkdir()
    shutil.copy(composing.COMPOSE / "make-secrets", place)
    subprocess.run([place / "make-secrets", "book.example.org"], check=True, capture_output=True, timeout=60)
    return place / "secrets"


def shapes() -> None:
    for name in ("compose.yaml", "compose.override.yaml", "compose.production.yaml"):
        test_compose.test_each_file_has_the_right_shape(name)
    for name in test_compose.PROJECTS:
        assert all("image" in service for service in test_compose.PROJECTS[name]()["services"].values())


def projects() -> None:
    for name in test_compose.PROJECTS:
        test_compose.test_a_project_has_the_right_shape_and_everything_it_names(name)


def settings(folder: Path) -> None:
    """The program's own login is not one that everybody knows."""
    test_compose.test_the_program_takes_its_settings_and_the_secrets_that_were_made("serve", made(folder))


CHECKS: Mapping[str, Callable[[Path], object]] = {
    "shapes": lambda _: shapes(),
    "project": lambda _: projects(),
    "exposure": lambda _: test_compose.test_production_is_bounded_and_shut(),
    "gateway": lambda folder: test_compose.test_the_gateway_leads_to_every_container_there_is(made(folder), folder),
    "gateway_health": the_gateway_is_asked_where_it_answers,
    "secrets": lambda folder: test_compose.test_secrets_differ_are_not_changed_by_a_second_run_and_stay_out_of_the_repository(
        made(folder), folder
    ),
    "settings": settings,
    "archive": lambda folder: test_compose.test_what_archives_has_what_it_needs_and_no_more(made(folder)),
    "version": lambda _: test_chart.test_chart_and_program_have_one_version(),
    "kubernetes": functools.partial(test_chart.test_kubernetes_takes_what_is_rendered_and_it_fits_together, "least"),
    "helm": lambda _: test_chart.test_helm_has_nothing_to_say(),
    "releases": lambda _: the_chart_is_for_the_releases_that_it_is_checked_with(),
    "schema": lambda _: test_chart.test_every_value_has_its_place_in_the_schema(),
    "engines": functools.partial(test_chart.test_kubernetes_takes_what_is_rendered_and_it_fits_together, "engines"),
    "chart_secret": lambda _: test_chart.test_a_secret_is_new_each_time_and_has_what_else_is_given(),
    "notes": lambda _: notes_lead_to_what_there_is(),
}
"""By the name that breaks have: a check of what stands in deploy/, given an empty folder."""


@pytest.fixture
def work(tmp_path: Path) -> Path:
    return tmp_path / "work"


def check(name: str, deploy: Path, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Holds `deploy`, a copy of ours, to a check. Raises Wrong."""
    for module in (composing, test_compose, test_compose_engines):
        monkeypatch.setattr(module, "COMPOSE", deploy / "compose")
    chart = deploy / "helm" / "forecourt"
    for module in (charting, test_chart):
        monkeypatch.setattr(module, "CHART", chart)
    monkeypatch.setattr(test_chart, "render", functools.partial(render, chart))
    for module in (charting, test_chart):
        monkeypatch.setattr(module, "MAKE_SECRET", chart.parent / "make-secret")
    # What is ignored is asked of git.
    subprocess.run(["git", "init", "--quiet", deploy.parent], check=True, capture_output=True, timeout=60)
    work.mkdir()
    try:
        CHECKS[name](work)
    except (AssertionError, helm_python.HelmError, SettingsError) as e:
        raise Wrong(str(e)) from e


class Wrong(Exception):
    """A check failed, or what it asked refused the file. Whatever else is raised is a fault of the check."""


@pytest.mark.parametrize("name", sorted(CHECKS))
def test_what_stands_there_is_right(name: str, tmp_path: Path, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control of the next one; some of the checks are run here only."""
    check(name, Path(shutil.copytree(DEPLOY, tmp_path / "deploy", ignore=NOT_OURS)), work, monkeypatch)


@pytest.mark.parametrize("wrong", CONTAINERS, ids=str)
def test_one_thing_wrong_is_found(wrong: Break, tmp_path: Path, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Wrong):
        check(wrong.found_by, wrong.made_in(tmp_path), work, monkeypatch)
