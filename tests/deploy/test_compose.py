"""deploy/compose: the projects have the right shape, name what is there, run commands that exist, and expose what they should."""

from __future__ import annotations

import copy
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.deploy.composing import (
    ARCHIVING,
    COMPOSE,
    OURS,
    SET,
    Tree,
    development,
    exposure_faults,
    faults,
    filled,
    merged,
    production,
    read,
    settings_known,
    shape_faults,
)

from forecourt.backups import Outside
from forecourt.cli import app
from forecourt.gateway.plan import Plan
from forecourt.kernel.settings import Environment, Settings, SettingsError, gateway_keys

PROJECTS: dict[str, Callable[[], Tree]] = {"development": development, "production": production}


@pytest.mark.parametrize("name", sorted(PROJECTS))
def test_a_project_has_the_right_shape_and_everything_it_names(name: str) -> None:
    tree = PROJECTS[name]()
    assert shape_faults(tree) == []
    assert faults(tree) == []


@pytest.mark.parametrize("name", ["compose.yaml", "compose.override.yaml", "compose.production.yaml"])
def test_each_file_has_the_right_shape(name: str) -> None:
    assert shape_faults(read(name)) == []


def test_production_is_bounded_and_shut() -> None:
    assert exposure_faults(production()) == []
    assert exposure_faults(merged(production(), {"services": {"serve": {"ports": ["8000:8000"]}}})) != []


Change = tuple[str, Any, str]

WRONG: list[Change] = [
    ("services.serve.command", ["sreve"], "sreve"),
    ("services.worker.command", ["worker", "--prot", "8000"], "--prot"),
    ("services.gateway.command", ["gateway", "walk"], "walk"),
    ("services.serve.environment.FORECOURT_PUBLIC_ULR", "https://x", "FORECOURT_PUBLIC_ULR is no setting"),
    ("services.serve.environment.DATABASE_URL_FILE", "/run/secrets/database_admin_url", "is not given to it"),
    ("services.serve.secrets", ["key"], "there is no secret key"),
    ("services.serve.volumes", ["date:/var/lib/forecourt"], "there is no volume date"),
    ("services.serve.networks", ["engine"], "there is no network engine"),
    ("services.serve.depends_on", {"migrations": {"condition": "service_healthy"}}, "there is no service migrations"),
    ("services.valkey.healthcheck", {"disable": True}, "nobody knows whether valkey is healthy"),
    ("services.gateway.configs", [{"source": "gateways", "target": "/x"}], "there is no config gateways"),
    ("configs.gateway.file", "./gateway.yml", "there is no ./gateway.yml"),
    ("services.archive.command", ["archive", "steam", "/archive"], "steam"),
    ("services.backup.command", ["backup", "/archive", "--daily", "three"], "three"),
    ("services.backup.environment.FORECOURT_ARCHIVE_RECIPIENT", "age1x", "FORECOURT_ARCHIVE_RECIPIENT is no setting"),
    ("services.serve.environment.FORECOURT_ARCHIVE_RECIPIENTS", "age1x", "FORECOURT_ARCHIVE_RECIPIENTS is no setting"),
    ("services.serve.build", {"context": "../..", "dockerfile": "deploy/Dockerfile"}, "there is no deploy/Dockerfile"),
]
MISSHAPEN: list[Change] = [
    ("services.serve.comand", ["serve"], "comand"),
    ("services.serve.deploy.replicas", [2], "replicas"),
    ("services.serve.healthcheck.interval", 5.5, "interval"),
    ("services.serve.depends_on.valkey.condition", "service_ready", "condition"),
    ("volume", {}, "volume"),
]
EXPOSED: list[Change] = [
    ("services.worker.deploy", {}, "memory has no limit"),
    ("services.worker.restart", None, "nobody starts it again"),
    ("services.worker.cap_drop", [], "more rights"),
    ("services.serve.read_only", False, "more rights"),
    ("services.postgres.ports", ["5432:5432"], "beside the gateway"),
    ("services.logs.ports", ["9428:9428"], "anybody can read"),
    ("services.postgres.environment.POSTGRES_PASSWORD", "postgres", "is a secret and no file"),
    ("services.postgres.environment.POSTGRES_HOST_AUTH_METHOD", "trust", "trusts anybody"),
    ("networks.engines.internal", False, "way out"),
]


def changed(tree: Tree, path: str, value: Any) -> Tree:
    """One thing put differently; None takes it away."""
    tree = copy.deepcopy(tree)
    *folders, name = path.split(".")
    place = tree
    for folder in folders:
        place = place[folder]
    if value is None:
        del place[name]
    else:
        place[name] = value
    return tree


@pytest.mark.parametrize(
    ("judge", "change"),
    [
        (judge, change)
        for judge, changes in [(faults, WRONG), (shape_faults, MISSHAPEN), (exposure_faults, EXPOSED)]
        for change in changes
    ],
    ids=lambda part: part[0] if isinstance(part, tuple) else part.__name__,
)
def test_one_thing_wrong_is_found(judge: Callable[[Tree], list[str]], change: Change) -> None:
    path, value, said = change
    assert any(said in fault for fault in judge(changed(production(), path, value)))


def inside(tree: Tree, service: str, secrets: Path) -> dict[str, str]:
    """The environment of a service's process, with its secrets where this machine has them."""
    environ = {"FORECOURT_ENV": "production"} | {
        k: v for k, v in tree["services"][service]["environment"].items() if v is not None
    }
    return {name: str(value).replace("/run/secrets", str(secrets)) for name, value in environ.items()}


@pytest.mark.parametrize("service", ["serve", "realtime", "worker", "migrate"])
def test_the_program_takes_its_settings_and_the_secrets_that_were_made(service: str, secrets: Path) -> None:
    settings = Settings.read(inside(production(), service, secrets))
    assert settings.production
    assert (settings.database.admin_url is not None) == (service == "migrate")


DECIDED = {
    "DATABASE_ADMIN_URL": "for the migration alone",
    "DATABASE_REPLICA_URL": "there is one server",
    "FORECOURT_CONTRACT_KEYS": "every process has every module",
    "FORECOURT_MODULES": "every process has every module",
    "FORECOURT_DATA": "the image's",
    "FORECOURT_HOST": "the image's",
    "FORECOURT_PORT": "the image's",
    "FORECOURT_DRAIN_S": "the gateway's health checks fit the default",
    "FORECOURT_DATABASE_POOL": "the server's connections fit the default",
    "FORECOURT_MAX_BODY_BYTES": "the gateway's limit fits the default",
}
"""Settings that nobody gives to a server of one's own, and why."""


@pytest.mark.parametrize("service", ["serve", "realtime", "worker"])
def test_every_setting_can_be_given_to_it_or_is_decided(service: str) -> None:
    given = {name.removesuffix("_FILE") for name in production()["services"][service]["environment"]}
    known = {name for name in settings_known() if not name.endswith("_FILE")}
    needless = {"FORECOURT_PEERS"} if service != "serve" else set[str]()  # only who serves tells of the others
    assert known - given == DECIDED.keys() | needless


def test_the_program_refuses_the_secrets_of_somebody_careless(secrets: Path, tmp_path: Path) -> None:
    for file in secrets.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "secret_key").write_text("changeme\n")
    (tmp_path / "database_url").write_text("postgresql://forecourt_app:postgres@postgres/forecourt\n")
    with pytest.raises(SettingsError) as refused:
        Settings.read(inside(production(), "serve", tmp_path))
    assert len(refused.value.faults) == 2


def test_secrets_differ_are_not_changed_by_a_second_run_and_stay_out_of_the_repository(secrets: Path, tmp_path: Path) -> None:
    before = {file.name: file.read_text() for file in secrets.iterdir()}
    assert set(before) == {Path(entry["file"]).name for entry in production()["secrets"].values()}
    for recipient in ("", "age1x"):
        told = {**os.environ, "FORECOURT_ARCHIVE_RECIPIENTS": recipient, "FORECOURT_ARCHIVE_UNENCRYPTED": ""}
        command = [secrets.parent / "make-secrets", "x.org"]
        again = subprocess.run(command, env=told, check=True, capture_output=True, text=True, timeout=60)
        assert (again.stdout, "FORECOURT_ARCHIVE_RECIPIENTS, which is not set" in again.stderr) == ("", not recipient)
    assert {file.name: file.read_text() for file in secrets.iterdir()} == before
    made = ("secret_key", "postgres_password", "database_url", "valkey_conf", "gateway_keys")
    words = re.findall(r"\b[A-Za-z0-9]{48}\b", "".join(before[name] for name in made))
    assert len(set(words)) == 5
    assert secrets.stat().st_mode & 0o077 == 0
    ignored = ["git", "check-ignore", "--quiet", "deploy/compose/secrets/secret_key"]
    assert subprocess.run(ignored, cwd=COMPOSE.parents[1], check=False, timeout=60).returncode == 0


def test_the_gateway_leads_to_every_container_there_is(secrets: Path, tmp_path: Path) -> None:
    text = (COMPOSE / "gateway.toml").read_text()
    assert text.count("/run/secrets/certificate") == 1
    (tmp_path / "gateway.toml").write_text(text.replace("/run/secrets", str(secrets)))
    plan = Plan.read(tmp_path / "gateway.toml")
    tree = production()
    for service, name in (("serve", "house"), ("realtime", "sockets")):
        replicas = tree["services"][service]["deploy"]["replicas"]
        (found,) = [s for s in plan.services if s.name == name]
        assert found.versions == {"v1": tuple(f"http://{tree['name']}-{service}-{n + 1}:8000" for n in range(replicas))}
    known = {inside: outside for outside, inside in (port.split(":") for port in tree["services"]["gateway"]["ports"])}
    assert known.keys() == {address.rpartition(":")[2] for address in (*plan.listen, *plan.redirect)}
    (listening,) = plan.listen
    assert str(plan.public_port) == known[listening.rpartition(":")[2]], (
        "whoever comes without TLS is sent to a port that is published"
    )


def test_who_serves_can_say_how_every_role_is(secrets: Path) -> None:
    """/api/status asks the peers. Nobody calls them, so no key is needed."""
    tree = production()
    settings = Settings.read(inside(tree, "serve", secrets))
    ours = {name for name, service in tree["services"].items() if service["image"].startswith(OURS)}
    roles = ours - {"migrate", "gateway"} - ARCHIVING
    assert settings.topology.peers == {name: (f"http://{name}:8000",) for name in roles - {"serve"}}
    assert settings.secrets.contract_keys == ()
    called = inside(tree, "serve", secrets) | {"FORECOURT_PEERS": "venues=http://venues:8000"}
    with pytest.raises(SettingsError, match="FORECOURT_CONTRACT_KEYS"):
        Settings.read(called)


def test_a_service_that_lets_in_whoever_comes_is_found(secrets: Path) -> None:
    """The control of the next one."""
    tree = changed(production(), "services.serve.environment.FORECOURT_GATEWAY_KEYS_FILE", None)
    assert Settings.read(inside(tree, "serve", secrets)).secrets.gateway_keys == ()


def test_whoever_the_gateway_leads_to_asks_for_what_it_shows_and_it_holds_no_other_secret_of_theirs(secrets: Path) -> None:
    tree = production()
    gateway = Environment(inside(tree, "gateway", secrets))
    (shown,) = gateway_keys(gateway, split=False)
    assert gateway.faults == [] and len(shown.reveal()) == 48
    for service in ("serve", "realtime", "worker"):
        assert Settings.read(inside(tree, service, secrets)).secrets.gateway_keys == (shown,)
    assert Settings.read(inside(tree, "migrate", secrets)).secrets.gateway_keys == ()
    assert tree["services"]["gateway"]["secrets"] == ["certificate", "gateway_keys"]
    # In development people come straight to the one process that serves.
    assert not any("FORECOURT_GATEWAY_KEYS_FILE" in s.get("environment", {}) for s in development()["services"].values())


def test_what_archives_has_what_it_needs_and_no_more(secrets: Path) -> None:
    tree = production()
    dockerfile = (COMPOSE.parent / "docker" / "Dockerfile").read_text()
    (memory,) = re.findall(r"FORECOURT_DATA=(\S+)", dockerfile)
    told = {name: (secrets / name).read_text().strip() for name in ("database_admin_url", "secret_key")}
    for name in ARCHIVING:
        service = tree["services"][name]
        sealed = {"forecourt_secret_key": told["secret_key"]} if name == "backup" else {}
        assert Outside.read(inside(tree, name, secrets)) == Outside(told["database_admin_url"], True, sealed)
        # As they are where `docker compose` runs.
        for option in ("FORECOURT_ARCHIVE_RECIPIENTS", "FORECOURT_ARCHIVE_UNENCRYPTED"):
            assert service["environment"][option] is None
        mounts = dict(volume.split(":", 1)[::-1] for volume in service["volumes"])
        _, bound, _ = app.parse_args(service["command"], exit_on_error=False)
        mine = {str(bound.arguments["archive"]): SET["FORECOURT_ARCHIVE"], memory: "archiving"}
        files = {f"{service['environment']['FORECOURT_ARCHIVE_FILES']}:ro": "data"} if name == "backup" else {}
        assert mounts == mine | files
        # Whoever the image says owns that memory, and the files; nobody asks whether it is well.
        assert not {"user", "group_add", "entrypoint"} & service.keys()
        assert (service["networks"], service.get("healthcheck")) == (["engines"], {"disable": True})
    assert f"data:{memory}" in tree["services"]["serve"]["volumes"]


def test_what_has_to_be_set_is_asked_for() -> None:
    for name in SET:
        with pytest.raises(KeyError, match=name):
            production({key: value for key, value in SET.items() if key != name})


def test_files_are_laid_on_each_other_as_compose_does() -> None:
    base = {"s": {"command": ["a"], "ports": ["1:1"], "volumes": ["data:/x"], "environment": {"A": "1", "B": "1"}}}
    more = {"s": {"command": ["b"], "ports": ["2:2"], "volumes": ["other:/x:ro"], "environment": {"B": "2"}}}
    assert merged(base, more) == {
        "s": {"command": ["b"], "ports": ["1:1", "2:2"], "volumes": ["other:/x:ro"], "environment": {"A": "1", "B": "2"}}
    }
    assert filled({"a": ["${X:-y}", "${Z:?why}"]}, {"Z": "z"}) == {"a": ["y", "z"]}
