"""Compose files as `docker compose` merges them, and what is wrong with them: for tests, which have no engine to ask.

Mappings are merged, lists are appended to, and what stands for one thing (a command, a health check's test) is replaced, as the
Compose Specification says. Tags (`!reset`) are not known here.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema_rs
import yaml
from cyclopts import CycloptsError

from forecourt import backups
from forecourt.cli import app
from forecourt.kernel.settings import Settings, SettingsError

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = ROOT / "deploy" / "compose"
REPLACED = {"command", "entrypoint", "test"}
BY_TARGET = {"volumes", "configs", "secrets"}
_NEEDED = re.compile(r"\$\{([A-Z_]+)(?::([?-])([^}]*))?\}")

Tree = dict[str, Any]


def read(name: str) -> Tree:
    return yaml.safe_load((COMPOSE / name).read_text())


def merged(base: Any, more: Any, key: str = "") -> Any:
    """`more` on top of `base`."""
    if isinstance(base, Mapping) and isinstance(more, Mapping):
        return {k: merged(base[k], more[k], k) if k in base and k in more else more.get(k, base.get(k)) for k in {**base, **more}}
    if isinstance(base, list) and isinstance(more, list) and key not in REPLACED:
        kept = [item for item in base if key not in BY_TARGET or target(item) not in {target(new) for new in more}]
        return kept + [item for item in more if item not in kept]
    return more


def target(item: Any) -> str:
    """Where a volume, secret or config goes in the container: there is one for each place."""
    if isinstance(item, Mapping):
        return item.get("target", item.get("source"))
    return item.split(":")[-2 if item.endswith((":ro", ":rw")) else -1]


def filled(tree: Any, environ: Mapping[str, str]) -> Any:
    """With `${NAME}` put in. Raises KeyError for one that has to be set and is not."""
    if isinstance(tree, Mapping):
        return {key: filled(value, environ) for key, value in tree.items()}
    if isinstance(tree, list):
        return [filled(item, environ) for item in tree]
    if not isinstance(tree, str):
        return tree

    def value(found: re.Match[str]) -> str:
        name, how, default = found.groups()
        if environ.get(name):
            return environ[name]
        if how != "-":
            raise KeyError(name)
        return default

    return _NEEDED.sub(value, tree)


SET = {"FORECOURT_PUBLIC_URL": "https://book.example.org", "FORECOURT_ARCHIVE": "/mnt/other/forecourt"}


def development() -> Tree:
    return filled(merged(read("compose.yaml"), read("compose.override.yaml")), {})


def production(environ: Mapping[str, str] = SET) -> Tree:
    return filled(merged(read("compose.yaml"), read("compose.production.yaml")), environ)


# --- what is wrong ---------------------------------------------------------------------------------------------------------

OURS = "forecourt:"
BEYOND = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_ENDPOINT_URL"}
"""What clients of S3 read by themselves."""
SCHEMA = json.loads((files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json").read_text())


def shape_faults(tree: Tree) -> list[str]:
    """What the Compose Specification's schema says against it."""
    found = jsonschema_rs.validator_for(SCHEMA).iter_errors(tree)
    return [f"{'.'.join(map(str, error.instance_path))}: {error.message}" for error in found]


class _Asked(dict[str, str]):
    """An environment that remembers what it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def get(self, name: str, default: Any = None) -> Any:
        self.names.add(name)
        return super().get(name, default)


@functools.cache
def settings_known() -> set[str]:
    """The variables that the program reads."""
    asked = _Asked()
    asked["FORECOURT_ENV"] = "production"
    try:
        Settings.read(asked)
    except SettingsError:
        return asked.names
    raise AssertionError("production starts with nothing set")


@functools.cache
def archive_settings_known() -> set[str]:
    """The variables that `archive stream` and `backup` read: themselves, and as options of theirs."""
    asked = _Asked()
    backups.Outside.read(asked)
    options = (backups.Recipients, backups.Unencrypted, backups.Files, backups.Data)
    return asked.names | {str(name) for option in options for name in option.__metadata__[0].env_var}


ARCHIVING = {"archive", "backup"}
"""Services that serve nobody, and know nothing of the house but where its database is."""


def known_to(service: str) -> set[str]:
    return archive_settings_known() if service in ARCHIVING else settings_known() | BEYOND


def faults(tree: Tree) -> list[str]:
    """What would keep a project from running although its shape is right."""
    found = [
        f"{name}: {fault}"
        for name, service in tree["services"].items()
        for fault in [
            *_reference_faults(service, tree),
            *(_command_faults(service["command"]) if service["image"].startswith(OURS) else ()),
            *(
                f"{v} is no setting"
                for v in service.get("environment", {})
                if v not in known_to(name) and service["image"].startswith(OURS)
            ),
        ]
    ]
    for kind in ("configs", "secrets"):
        for name, entry in tree.get(kind, {}).items():
            if kind == "configs" and not (COMPOSE / entry["file"]).is_file():
                found.append(f"{kind}.{name}: there is no {entry['file']}")
    return found


def _command_faults(command: Sequence[str]) -> Iterator[str]:
    """As `forecourt` itself would refuse it."""
    try:
        app.parse_args(list(command), exit_on_error=False, print_error=False)
    except CycloptsError as e:
        yield f"forecourt {' '.join(command)}: {e}"


def _reference_faults(service: Tree, tree: Tree) -> Iterator[str]:
    """Names of things that are not there."""
    for volume in service.get("volumes", ()):
        source = volume.split(":")[0]
        if not source.startswith(("/", ".")) and source not in tree["volumes"]:
            yield f"there is no volume {source}"
    for network in service.get("networks", ()):
        if network not in tree["networks"]:
            yield f"there is no network {network}"
    for config in service.get("configs", ()):
        if config["source"] not in tree["configs"]:
            yield f"there is no config {config['source']}"
    granted = set(service.get("secrets", ()))
    for secret in granted - set(tree.get("secrets", {})):
        yield f"there is no secret {secret}"
    for text in [*service.get("environment", {}).values(), *service.get("command", ())]:
        if str(text).startswith("/run/secrets/") and Path(text).name not in granted:
            yield f"{text} is not given to it"
    for name, wanted in service.get("depends_on", {}).items():
        other = tree["services"].get(name)
        if other is None:
            yield f"there is no service {name}"
        elif wanted["condition"] == "service_healthy" and other.get("healthcheck", {"disable": True}).get("disable"):
            yield f"nobody knows whether {name} is healthy"
    build = service.get("build")
    if build and not (COMPOSE / build["context"] / build["dockerfile"]).is_file():
        yield f"there is no {build['dockerfile']}"


def exposure_faults(tree: Tree) -> list[str]:
    """What a production server should not have: services without bounds, doors beside the gateway, rights that nobody needs."""
    found: list[str] = []
    for name, service in tree["services"].items():
        if "restart" not in service:
            found.append(f"{name}: nobody starts it again")
        if not service.get("deploy", {}).get("resources", {}).get("limits", {}).get("memory"):
            found.append(f"{name}: its memory has no limit")
        if name != "postgres" and not (service.get("read_only") and service.get("cap_drop") == ["ALL"]):
            found.append(f"{name}: it has more rights than it needs")
        if name not in ("gateway", "logs") and service.get("ports"):
            found.append(f"{name}: it can be reached beside the gateway")
        if name == "logs" and not all(str(port).startswith("127.0.0.1:") for port in service["ports"]):
            found.append(f"{name}: anybody can read it")
        for variable, value in service.get("environment", {}).items():
            if re.search(r"(PASSWORD|SECRET_KEY|_KEYS|DATABASE_URL|DATABASE_ADMIN_URL|VALKEY_URL)$", variable) and value:
                found.append(f"{name}: {variable} is a secret and no file")
            if (variable, value) == ("POSTGRES_HOST_AUTH_METHOD", "trust"):
                found.append(f"{name}: it trusts anybody")
    if not tree["networks"]["engines"].get("internal"):
        found.append("engines: the network has a way out")
    return found
