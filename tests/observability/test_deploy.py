"""deploy/observability and docs/runbooks against the running program: every query asks for what is told, every alert can fire and
be silent, and leads to a page."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import msgspec
import pytest
import yaml
from cyclopts import CycloptsError
from prometheus_client import Metric
from tests.gateway.figures import FIGURES, OF_THE_CERTIFICATE, VALUES
from tests.journeys.conftest import environ_for
from tests.observability.conftest import Told, told, told_all
from tests.observability.queries import SCRAPED, Reader, Wrong

from forecourt import tallies, wiring
from forecourt.app import House
from forecourt.kernel.context import service_context
from forecourt.kernel.events import BURY
from forecourt.kernel.ids import new_id
from forecourt.modules.identity.contract import AccountRegistered

pytestmark = pytest.mark.xdist_group("observed")

MEMORY = Path("/dev/shm")
ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy" / "observability"
RULES = DEPLOY / "prometheus" / "rules"
TESTS = sorted((DEPLOY / "prometheus" / "tests").glob("*.yml"))
RUNBOOKS = ROOT / "docs" / "runbooks"
DASHBOARDS = sorted((DEPLOY / "grafana" / "dashboards").glob("*.json"))
SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}
DOCKERFILE = ROOT / "deploy" / "docker" / "Dockerfile"
OPERATIONS = ROOT / "docs" / "operations.md"
OWN_ROLES = ("realtime", "worker")
"""Commands that listen at a port of their own; `server` is whatever serves."""
SECTIONS = ("What it means", "What people notice", "How to look", "What to do", "How to prevent it")


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def rules() -> Iterator[dict[str, Any]]:
    for path in sorted(RULES.glob("*.yml")):
        for group in load(path)["groups"]:
            yield from group["rules"]


ALERTS = {rule["alert"]: rule for rule in rules() if "alert" in rule}


def panels() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in DASHBOARDS:
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel["targets"]:
                yield f"{path.stem}: {panel['title']}", target


def series_of(house: House, found: Told) -> dict[str, frozenset[str]]:
    """What the program tells, with labels; those of series that nobody has made yet are known from their declaration."""
    declared = {m.name: set(getattr(m, "_labelnames", ())) for m in house.metrics.registry.collect()}
    for counter in vars(house.metrics).values():
        for metric in counter.collect() if hasattr(counter, "_labelnames") else ():
            declared[metric.name] = set(counter._labelnames)
    known: dict[str, frozenset[str]] = {"up": SCRAPED}  # Prometheus itself says so
    family: Metric
    for name, family in found.families.items():
        for suffix in SUFFIXES.get(family.type, ("",)):
            labels = declared.get(name, set()) | ({"le"} if suffix == "_bucket" else set())
            known[name + suffix] = SCRAPED | labels | found.labels(name + suffix)
    return known | {name: SCRAPED | labels for name, labels in [*FIGURES.items(), (OF_THE_CERTIFICATE, frozenset[str]())]}


@pytest.fixture
async def known(house: House, client: httpx.AsyncClient) -> dict[str, frozenset[str]]:
    """Every series that a query may ask for: told by the program, or recorded by a rule."""
    return with_recorded(series_of(house, await told_all(client, house)))


def with_recorded(found: dict[str, frozenset[str]]) -> dict[str, frozenset[str]]:
    """With the series that rules record from them."""
    found = dict(found)
    for rule in rules():
        if "record" in rule:
            labels = Reader(found).labels(rule["expr"])
            assert labels is not None
            found[rule["record"]] = labels
    return found


# --- queries -------------------------------------------------------------------------------------------------------------


async def test_every_rule_asks_for_what_the_program_tells(known: dict[str, frozenset[str]], house: House) -> None:
    reader = Reader(known)
    for name, rule in ALERTS.items():
        labels = reader.labels(rule["expr"])
        assert labels is not None, name
        for text in rule["annotations"].values():
            assert set(re.findall(r"\$labels\.(\w+)", text)) <= labels, (name, text)
    assert_values_exist(reader, house)


async def test_every_panel_asks_for_what_the_program_tells(known: dict[str, frozenset[str]], house: House) -> None:
    reader, asked = Reader(known), 0
    for where, target in panels():
        labels = reader.labels(target["expr"].replace("$__rate_interval", "5m"))
        assert labels is not None, where
        assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= labels, where
        asked += 1
    assert asked > 80
    assert_values_exist(reader, house)


def test_every_panel_says_what_it_shows() -> None:
    for path in DASHBOARDS:
        shown = json.loads(path.read_text())["panels"]
        for key in ("id", "title"):
            assert len({panel[key] for panel in shown}) == len(shown), (path.stem, key)
        for panel in shown:
            where = f"{path.stem}: {panel['title']}"
            assert panel["fieldConfig"]["defaults"]["unit"], where
            legends = [target["legendFormat"] for target in panel["targets"]]
            assert panel["type"] == "stat" or (all(legends) and len(set(legends)) == len(legends)), where
        boxes = [panel["gridPos"] for panel in shown]
        taken = [(x, y) for b in boxes for x in range(b["x"], b["x"] + b["w"]) for y in range(b["y"], b["y"] + b["h"])]
        assert len(set(taken)) == len(taken) and max(x for x, _ in taken) < 24, f"{path.stem}: panels lie on each other"


def assert_values_exist(reader: Reader, house: House) -> None:
    """A matcher that wants one route or one kind of job wants one that there is."""
    possible = {
        "route": {op.path for op in house.operations},
        "kind": set(house.worker.kinds),
        "outcome": {"done", "failed", "buried", "sent", "put_off"},
        "tier": {"l1", "l2"},
        "role": {role["labels"]["role"] for role in load(DEPLOY / "prometheus" / "targets" / "forecourt.yml")},
        "job": {job["job_name"] for job in load(DEPLOY / "prometheus" / "prometheus.yml")["scrape_configs"]},
        "method": {"GET", "POST"},
        **VALUES,
    }
    for series, label, value in reader.asked:
        assert value in possible[label], (series, label, value)


@pytest.mark.parametrize(
    ("query", "fault"),
    [
        ("rate(http_request_total[5m])", "nobody tells"),
        ('sum(rate(http_requests_total{code="500"}[5m]))', "no label code"),
        ("sum by (kind) (event_waiting)", "no label kind"),
        ("histogram_quantile(0.9, sum by (route) (rate(http_request_duration_seconds_bucket[5m])))", "no label le"),
        ("rate(process_cpu_seconds_total[5m]) / db_pool_limit", "nothing would match"),
        ("sum by (kind) (job_waiting) and on (subscriber) event_waiting", "no label subscriber"),
        ("sum(", r"^sum\(: "),
    ],
)
async def test_a_query_for_what_nobody_tells_is_found(known: dict[str, frozenset[str]], query: str, fault: str) -> None:
    with pytest.raises(Wrong, match=fault):
        Reader(known).labels(query)


async def test_the_stable_names_are_told(known: dict[str, frozenset[str]]) -> None:
    for name in ("http_requests_total", "http_request_duration_seconds_bucket", "revenue_minor_total"):
        assert name in known
    for name, _ in tallies.COUNTED.values():
        assert f"{name}_total" in known


# --- files that lead to each other ---------------------------------------------------------------------------------------


def test_prometheus_watches_every_role_where_it_tells() -> None:
    """The addresses are examples; their ports are those that the commands' own help names, and that deploy/compose uses."""
    config = load(DEPLOY / "prometheus" / "prometheus.yml")
    place = DEPLOY / "prometheus"
    assert {path for pattern in config["rule_files"] for path in place.glob(pattern)} == set(RULES.iterdir())
    watched: dict[str, list[Any]] = {}
    for job in config["scrape_configs"]:
        assert job["metrics_path"] == ("/metrics/certificate" if job["job_name"] == "forecourt-certificate" else "/metrics")
        (discovery,) = job["file_sd_configs"]
        watched[job["job_name"]] = [entry for name in discovery["files"] for entry in load(place / name)]
    assert {name for job in config["scrape_configs"] for name in job["file_sd_configs"][0]["files"]} == {
        f"targets/{path.name}" for path in (place / "targets").iterdir()
    }
    ports = {
        job: {entry["labels"]["role"]: {target.rpartition(":")[2] for target in entry["targets"]} for entry in entries}
        for job, entries in watched.items()
    }
    program = (ROOT / "src" / "forecourt" / "cli.py").read_text()
    named = {role: set(re.findall(rf"Example: .*forecourt {role} .*--port (\d+)$", program, re.MULTILINE)) for role in OWN_ROLES}
    plan = tomllib.loads((ROOT / "deploy" / "compose" / "gateway.toml").read_text())
    assert ports == {
        "forecourt": {"server": set(re.findall(r"^EXPOSE (\d+)$", DOCKERFILE.read_text(), re.MULTILINE)), **named},
        **{name: {"gateway": {plan["internal"].rpartition(":")[2]}} for name in ("forecourt-gateway", "forecourt-certificate")},
    }
    (alerting,) = config["alerting"]["alertmanagers"]
    assert alerting["static_configs"] == [{"targets": ["alertmanager:9093"]}], "where Alertmanager listens by itself"


def test_grafana_finds_its_dashboards_and_its_source() -> None:
    """Grafana passes over keys that it does not know without a word, so they are named here."""
    source = load(DEPLOY / "grafana" / "provisioning" / "datasources" / "forecourt.yml")
    interval = load(DEPLOY / "prometheus" / "prometheus.yml")["global"]["scrape_interval"]
    wanted = {"name": "Prometheus", "type": "prometheus", "access": "proxy", "url": "http://prometheus:9090", "isDefault": True}
    assert source == {"apiVersion": 1, "datasources": [{**wanted, "jsonData": {"timeInterval": interval}}]}

    found = load(DEPLOY / "grafana" / "provisioning" / "dashboards" / "forecourt.yml")
    ((path, mounted),) = re.findall(r"mount `provisioning/` at `(\S+)` and `dashboards/` at `(\S+)`\.", OPERATIONS.read_text())
    assert path == "/etc/grafana/provisioning", "where Grafana looks by itself"
    provider = {"name": "Forecourt", "folder": "Forecourt", "type": "file", "allowUiUpdates": False, "options": {"path": mounted}}
    assert found == {"apiVersion": 1, "providers": [provider]}

    for path in DASHBOARDS:
        shown = json.loads(path.read_text())
        assert shown["uid"] == path.stem, "one each, and what links lead to"
        (variable,) = [v for v in shown["templating"]["list"] if v["name"] == "datasource"]
        assert (variable["type"], variable["query"]) == ("datasource", source["datasources"][0]["type"])
        for part in [*shown["panels"], *(target for panel in shown["panels"] for target in panel["targets"])]:
            assert part["datasource"] == {"type": "prometheus", "uid": "${datasource}"}, (path.stem, part)
        assert all(set(link["tags"]) <= set(shown["tags"]) for link in shown["links"]), "a link to the others finds them by it"


# --- alerts --------------------------------------------------------------------------------------------------------------


def test_every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_is_silent() -> None:
    fires, silent = set[str](), set[str]()
    for path in TESTS:
        for case in load(path)["tests"]:
            for check in case["alert_rule_test"]:
                (fires if check["exp_alerts"] else silent).add(check["alertname"])
    assert set(ALERTS) == fires == silent


@pytest.mark.prometheus
def test_prometheus_takes_its_files_and_every_case_comes_out() -> None:
    tool = str(shutil.which("promtool"))
    # It keeps a database of its own for every case: in memory where there is some, for it waits for the disk.
    environment = os.environ | ({"TMPDIR": str(MEMORY)} if os.access(MEMORY, os.W_OK) else {})
    for command in (["check", "config", DEPLOY / "prometheus" / "prometheus.yml"], ["test", "rules", *TESTS]):
        argv = [tool, *map(str, command)]
        done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=200, env=environment)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.prometheus
@pytest.mark.parametrize(("severity", "receivers"), [("page", "pagerduty,opsgenie-now"), ("warn", "opsgenie-later")])
def test_alertmanager_wakes_people_for_pages_only(severity: str, receivers: str) -> None:
    config = str(DEPLOY / "alertmanager" / "alertmanager.yml")
    tool = str(shutil.which("amtool"))
    for command in (["check-config", config], ["config", "routes", "test", f"--config.file={config}", f"severity={severity}"]):
        done = subprocess.run([tool, *command], check=False, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip() == receivers


def test_every_alert_is_for_now_or_for_the_morning() -> None:
    """Any other word would come to nobody's notice but the last receiver's."""
    assert {rule["labels"]["severity"] for rule in ALERTS.values()} == {"page", "warn"}


def test_alertmanager_keeps_no_secret_and_names_only_alerts_that_exist() -> None:
    config = load(DEPLOY / "alertmanager" / "alertmanager.yml")
    text = json.dumps(config)
    assert not re.search(r'"(routing_key|service_key|api_key|opsgenie_api_key)":', text), "secrets come from files"
    assert '"routing_key_file": "/run/secrets/' in text and '"opsgenie_api_key_file": "/run/secrets/' in text
    for rule in config["inhibit_rules"]:
        for matcher in rule["source_matchers"] + rule["target_matchers"]:
            for name in re.findall(r'alertname =~? "(.*)"', matcher)[0].split("|"):
                assert any(re.fullmatch(name, alert) for alert in ALERTS), name


# --- runbooks ------------------------------------------------------------------------------------------------------------


def page_of(alert: str) -> Path:
    return RUNBOOKS / (re.sub(r"(?<=[a-z])(?=[A-Z])", "-", alert).lower() + ".md")


@pytest.mark.parametrize("alert", sorted(ALERTS))
def test_an_alert_leads_to_a_page_that_says_what_to_do(alert: str) -> None:
    page = page_of(alert)
    assert ALERTS[alert]["annotations"]["runbook"] == str(page.relative_to(ROOT))
    text = page.read_text()
    assert text.startswith(f"# {alert}\n")
    assert tuple(re.findall(r"^## (.*)$", text, re.MULTILINE)) == SECTIONS
    for section in re.split(r"^## .*$", text, flags=re.MULTILINE)[1:]:
        assert len(section.split()) >= 5, "a section that says nothing"
    assert f"]({page.name})" in (RUNBOOKS / "README.md").read_text(), "the index leads to it"


def blocks(language: str) -> Iterator[tuple[str, str]]:
    """Page and text of each block of code in `language`."""
    for page in sorted(RUNBOOKS.glob("*.md")):
        for found in re.findall(rf"^ *```{language}\n(.*?)^ *```$", page.read_text(), re.MULTILINE | re.DOTALL):
            yield page.name, found


def test_every_page_is_of_an_alert_and_leads_only_to_what_there_is() -> None:
    pages = [p for p in RUNBOOKS.glob("*.md") if p.name != "README.md"]
    assert {p.name for p in pages} == {page_of(alert).name for alert in ALERTS}
    for page in RUNBOOKS.glob("*.md"):
        for link, place in re.findall(r"\]\(([^)#]+)(?:#([^)]*))?\)", page.read_text()):
            led = page.parent / link
            assert led.exists(), (page.name, link)
            heads = re.findall(r"^#+ (.*)$", led.read_text(), re.MULTILINE) if place else []
            assert not place or place in {re.sub(r"[^a-z -]", "", head.lower()).replace(" ", "-") for head in heads}, (
                page.name,
                place,
            )


async def test_pages_name_only_what_the_program_has(house: House, house_admin_url: str) -> None:
    text = "\n".join(p.read_text() for p in RUNBOOKS.glob("*.md"))
    connection = await asyncpg.connect(house_admin_url)
    try:
        tables = {row[0] for row in await connection.fetch("select schemaname || '.' || tablename from pg_tables")}
    finally:
        await connection.close()
    known = tables | set(house.worker.kinds) | {s.subscriber for s in house.subscriptions}
    named = set(re.findall(rf"\b((?:kernel|{'|'.join(wiring.MODULES)})\.(?!md)[a-z_]+)\b", text))
    assert len(named) > 20 and named <= known, named - known
    # Words of code: events of the log, metrics, settings, columns. The database judges those of statements itself.
    ours = [
        p for folder in ("src", "deploy") for p in (ROOT / folder).rglob("*") if p.suffix in {".py", ".yml", ".yaml", ".json"}
    ]
    there = "\n".join(p.read_text() for p in ours) + "\n".join(sql for _, sql in blocks("sql"))
    words = {w for code in re.findall(r"`([^`\n]+)`", text) for w in re.findall(r"\b[A-Za-z]+(?:_[A-Za-z]+)+\b", code)}
    assert len(words) > 60
    others = {"COMPOSE_FILE", "app_name", "unpack_json"}  # Compose's own, and the log server's
    missing = {word for word in words - others if word not in there and not word.startswith("pg_")}
    assert not missing, missing
    assert "job_burried" not in there


def commands() -> Iterator[tuple[str, str]]:
    """What the pages tell people to run, with the page."""
    for page in sorted(RUNBOOKS.glob("*.md")):
        for line in re.findall(r"`forecourt ([^`…\n]+)`|^ {4}forecourt (.+)$", page.read_text(), re.MULTILINE):
            yield page.name, "".join(line)


def test_every_command_of_a_page_is_one_of_the_program() -> None:
    found = list(commands())
    assert len({command.split()[0] for _, command in found}) >= 4
    for page, command in found:
        assert accepted(command), (page, command)
    assert not accepted("replay --everything") and not accepted("mend") and not accepted("gateway weigh booking")


def accepted(command: str) -> bool:
    from forecourt.cli import app

    try:
        app.parse_args(command, exit_on_error=False, print_error=False)
    except CycloptsError:
        return False
    return True


async def test_every_query_of_a_page_asks_for_what_the_program_tells(known: dict[str, frozenset[str]], house: House) -> None:
    reader, asked = Reader(known), 0
    for page, block in blocks("promql"):
        for query in block.splitlines():
            try:
                reader.labels(query)
            except Wrong as e:
                raise AssertionError(f"{page}: {query}") from e
            asked += 1
    assert asked > 50
    assert_values_exist(reader, house)


async def test_every_statement_of_a_page_is_taken_by_the_database(house_database_url: str) -> None:
    """As the program's own login, which sees nothing without a role. They are explained, not done."""
    connection = await asyncpg.connect(house_database_url)
    try:
        asked = 0
        for page, block in blocks("sql"):
            await connection.execute("reset role")
            for statement in filter(None, map(str.strip, block.split(";"))):
                settles = statement.startswith(("set ", "reset "))
                try:
                    await connection.execute(statement if settles else f"explain {statement}")
                except asyncpg.PostgresError as e:
                    raise AssertionError(f"{page}: {statement}: {e}") from e
                asked += 1
        assert asked > 30
        await connection.execute("reset role")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("explain select c.subscriber from kernel.cursor c")
        await connection.execute("set role fc_kernel")
        with pytest.raises(asyncpg.UndefinedColumnError):
            await connection.execute("explain select c.lateness from kernel.cursor c")
    finally:
        await connection.close()


# --- replay --------------------------------------------------------------------------------------------------------------


async def test_what_was_set_aside_is_handled_again_by_a_command(
    house: House, house_database_url: str, house_admin_url: str, valkey_url: str, tmp_path: Path, client: httpx.AsyncClient
) -> None:
    kernel = house.database.module("kernel")
    context = service_context("tests")
    event = (new_id(), AccountRegistered(account_id=new_id()))
    async with kernel.tx(context) as tx:
        written = (event[0], house.clock.now(), None, "account.registered", 1, msgspec.json.encode(event[1]))
        await tx.run(BURY, tallies.SUBSCRIBER, *written, "service", None, None, "tests", "", "", 8, "for this test")
    before = await told(client, house)
    assert before.value("event_dead_letters", subscriber=tallies.SUBSCRIBER) == 1
    environ = environ_for(tmp_path, house_database_url, house_admin_url, valkey_url) | {"COLUMNS": "200"}

    async def replay(what: str) -> tuple[int, str]:
        command = [sys.executable, "-m", "forecourt", "replay", what]
        done = await asyncio.to_thread(
            subprocess.run, command, env=environ, check=False, capture_output=True, text=True, timeout=100
        )
        return done.returncode, done.stdout + done.stderr

    (found, said), (unknown, words) = await asyncio.gather(replay(tallies.SUBSCRIBER), replay("nobody.knows"))
    assert (found, unknown) == (0, 1), said + words
    assert "1 events were handled, 0 failed again" in said and "There is neither a subscriber" in words
    every = {*house.worker.kinds, *(s.subscriber for s in house.subscriptions)}
    assert every <= set(re.findall(r"[a-z_]+\.[a-z_]+", words)), "what may be said instead"
    after = await told(client, house)
    assert after.value("event_dead_letters", subscriber=tallies.SUBSCRIBER) == 0
    assert (after.value("users_registered_total") or 0) >= (before.value("users_registered_total") or 0) + 1
