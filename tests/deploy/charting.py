"""The chart as Helm renders it (the real engine, as a library), and what is wrong with the result.

Every manifest is held to the schemas of Kubernetes itself, of the oldest and the newest release that the chart is for, those of
operators to `tests.deploy.operators`. What no schema knows is checked here: that names lead somewhere, commands and settings
exist, the gateway's plan is one, Pods are as shut as they should be, and the engines lose nothing and are reached by those who
need them.
"""

from __future__ import annotations

import base64
import functools
import json
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import helm_python
import jsonschema_rs
import msgspec
import yaml
from cyclopts import CycloptsError
from tests.deploy import operators
from tests.deploy.composing import BEYOND, settings_known

from forecourt.cli import app
from forecourt.gateway.plan import _File, module_names
from forecourt.kernel.migrate import APP_ROLE
from forecourt.kernel.settings import Environment, Settings, SettingsError, gateway_keys

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy" / "helm" / "forecourt"
RELEASES = ("1.29", "1.37")
VALKEY_IN_ITS_IMAGE = "999:999"
"""As compose.production.yaml has it."""
BEYOND_HERE = {"PGSSLMODE", "PGSSLROOTCERT"}
"""What the database's driver reads."""
SECRETS = {
    "database-url": "postgresql://forecourt_app:Wq8-tR2vLx5-mZ3@postgres/forecourt",
    "database-admin-url": "postgresql://forecourt:Pq7-yT4bNx9-kL2@postgres/forecourt",
    "valkey-url": "valkey://:Mn6-uJ1cRz8@valkey:6379/0",
    "secret-key": "kX2vQ9tLr7WmZp4sYb8Nc1Hd6Gf3JaEu",
    "contract-keys": "a:Hd6Gf3JaEukX2vQ9tLr7WmZp4sYb8Nc1",
    "gateway-keys": "a:Zp4sYb8Nc1Hd6Gf3JaEukX2vQ9tLr7Wm",
    "smtp-url": "smtps://house:Gt5-wE9@mail.example.org",
}

GATEWAY = {"job": "forecourt-gateway", "role": "gateway"}
"""As deploy/observability/prometheus has it."""
LEAST: dict[str, Any] = {
    "publicUrl": "https://book.example.org",
    "existingSecret": "forecourt",
    "settings": {"FORECOURT_MEDIA_URL": "s3://media/house"},
}
PROBES = ("startupProbe", "livenessProbe", "readinessProbe")
Manifest = dict[str, Any]
MAKE_SECRET = CHART.parent / "make-secret"


def secret_printed(program: Path, *more: str) -> dict[str, str]:
    """What the Secret has that `make-secret house` prints."""
    said = subprocess.run([program, "house", *more], check=True, capture_output=True, text=True, timeout=60).stdout
    secret = yaml.load(said, Unique)
    assert (secret["apiVersion"], secret["kind"], secret["metadata"]) == ("v1", "Secret", {"name": LEAST["existingSecret"]})
    return {name: base64.b64decode(value, validate=True).decode() for name, value in secret["data"].items()}


@functools.cache
def secret_made(program: Path) -> dict[str, str]:
    """The same, beside what the operator makes itself."""
    return secret_printed(program) | {
        "uri": "postgresql://forecourt:Pq7yT4bNx9kL2hG5sDf8@house-postgres-rw:5432/forecourt",
        "ca.crt": "-----BEGIN CERTIFICATE-----",
        "smtp-url": SECRETS["smtp-url"],
    }


def secrets_for(manifests: list[Manifest]) -> Mapping[str, str]:
    """What the Secrets have that pods of an installation read: by hand, or made for the engines that the chart brings."""
    return secret_made(MAKE_SECRET) if named(manifests, "Cluster") else SECRETS


def render(chart: Path = CHART, **values: Any) -> list[Manifest]:
    """Every manifest of an installation with `values` over the least there are. Raises HelmError."""
    return _rendered(chart, values, {"is_install": True})


def upgraded(**values: Any) -> list[Manifest]:
    """`render`, for an installation that is there already."""
    return _rendered(CHART, values, {"is_upgrade": True, "revision": 2})


def _rendered(chart: Path, values: Mapping[str, Any], release: Mapping[str, Any]) -> list[Manifest]:
    with helm_python.Chart.load(chart) as loaded:
        told = merge(LEAST, values)
        loaded.validate_schema(told)
        files = loaded.render(told, name="house", namespace="prod", **release)
    found: list[Manifest] = []
    for name, text in sorted(files.items()):
        if name.endswith(".yaml"):
            found += [manifest for manifest in yaml.load_all(text, Unique) if manifest]
    return found


class Unique(yaml.CSafeLoader):
    """Refuses a mapping that has a key twice, of which YAML readers would drop one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep) for key, _ in node.value]
        if len(keys) != len(set(keys)):
            raise yaml.YAMLError(f"There is a key twice among {keys} {node.start_mark}")
        return super().construct_mapping(node, deep)


def merge(base: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    both = {**base, **more}
    for key, value in more.items():
        if isinstance(value, Mapping) and isinstance(base.get(key), Mapping):
            both[key] = merge(base[key], value)
    return both


SCHEMAS = Path(str(files("kubernetes_validate"))) / "kubernetes-json-schema"


@functools.cache
def _definitions(release: str) -> jsonschema_rs.Registry:
    text = (SCHEMAS / f"v{release}.0-local-strict" / "_definitions.json").read_text()
    return jsonschema_rs.Registry([("json-schema:///_definitions.json", json.loads(text))])


@functools.cache
def _validator(release: str, version: str, kind: str) -> jsonschema_rs.Draft7Validator | None:
    """What Kubernetes takes as `kind`; None when the release knows no such thing."""
    group, _, number = version.rpartition("/")
    name = "-".join(filter(None, [kind, group.partition(".")[0], number]))
    path = SCHEMAS / f"v{release}.0-local-strict" / f"{name}.json".lower()
    if not path.is_file():
        return None
    return jsonschema_rs.Draft7Validator(json.loads(path.read_text()), registry=_definitions(release))


def shape_faults(manifests: list[Manifest], releases: Sequence[str] = RELEASES) -> list[str]:
    """What the schemas of Kubernetes and of operators say against them."""
    found: list[str] = []
    for manifest in manifests:
        name = f"{manifest['kind']} {manifest['metadata']['name']}"
        if manifest["kind"] in operators.KINDS:
            found += [f"{name}: {fault}" for fault in operators.faults(manifest)]
            continue
        for release in releases:
            validator = _validator(release, manifest["apiVersion"], manifest["kind"])
            if validator is None:
                found.append(f"{name}: Kubernetes {release} knows no {manifest['apiVersion']}")
                continue
            found += [
                f"{name} ({release}), {'.'.join(map(str, error.instance_path))}: {error.message}"
                for error in validator.iter_errors(manifest)
            ]
    return found


def named(manifests: list[Manifest], *kinds: str) -> list[Manifest]:
    return [manifest for manifest in manifests if manifest["kind"] in kinds]


def fits(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a label selector takes something that has `labels`."""
    for wanted in selector.get("matchExpressions", ()):
        if (labels.get(wanted["key"]) in wanted["values"]) != (wanted["operator"] == "In"):
            return False
    return all(labels.get(name) == value for name, value in selector.get("matchLabels", {}).items())


def pods_of(manifests: list[Manifest]) -> list[Manifest]:
    return [manifest["spec"]["template"] for manifest in named(manifests, "Deployment", "Job")]


def is_program(pod: Manifest) -> bool:
    """Whether it runs the image of this project."""
    return pod["spec"]["containers"][0]["name"] != "valkey"


def instances_of(manifests: list[Manifest]) -> list[Manifest]:
    """Pods of PostgreSQL as its operator makes them, as far as others have to know."""
    ports = [{"name": "postgresql", "containerPort": 5432}, {"name": "status", "containerPort": 8000}]
    container = {"name": "postgres", "ports": [*ports, {"name": "metrics", "containerPort": 9187}]}
    return [
        {"metadata": {"labels": {"cnpg.io/cluster": cluster["metadata"]["name"]}}, "spec": {"containers": [container]}}
        for cluster in named(manifests, "Cluster")
    ]


def services_of(cluster: Manifest) -> dict[str, str]:
    """The services that the operator makes for a cluster: by name, to whom they lead."""
    name = cluster["metadata"]["name"]
    ours = {
        s["serviceTemplate"]["metadata"]["name"]: s["selectorType"] for s in cluster["spec"]["managed"]["services"]["additional"]
    }
    return {f"{name}-rw": "rw", f"{name}-ro": "ro", f"{name}-r": "r"} | ours


def faults(manifests: list[Manifest], secrets: Path) -> list[str]:
    """What would not work although its shape is right. `secrets` takes files as a Secret's volume has them."""
    found: list[str] = []
    for manifest in manifests:
        name = f"{manifest['kind']} {manifest['metadata']['name']}"
        match manifest["kind"]:
            case "Deployment" | "Job":
                checks = _pod_faults(manifest["spec"]["template"]["spec"], manifests, secrets)
            case "Service":
                checks = _service_faults(manifest["spec"], manifests)
            case "HorizontalPodAutoscaler":
                checks = _scaler_faults(manifest["spec"], manifests)
            case "PodDisruptionBudget":
                checks = _selection_faults(manifest["spec"]["selector"], manifests)
            case "NetworkPolicy":
                checks = _policy_faults(manifest["spec"], manifests)
            case "Ingress":
                checks = _ingress_faults(manifest["spec"], manifests)
            case "ConfigMap":
                checks = _plan_faults(manifest["data"]["gateway.toml"], manifests)
            case "ServiceMonitor":
                checks = _monitor_faults(manifest["spec"], manifests)
            case "PodMonitor":
                checks = _pod_monitor_faults(manifest["spec"], manifests)
            case "VerticalPodAutoscaler":
                checks = _vertical_faults(manifest["spec"], manifests)
            case "ResourceQuota":
                checks = _quota_faults(manifest["spec"]["hard"], manifests)
            case "LimitRange":
                checks = _range_faults(manifest["spec"]["limits"], manifests)
            case "Cluster":
                checks = _cluster_faults(manifest, manifests)
            case "ScheduledBackup":
                checks = _backup_faults(manifest["spec"], manifests)
            case _:
                checks = iter(())
        found += [f"{name}: {fault}" for fault in checks]
    covered = {
        m["spec"]["selector"]["matchLabels"]["app.kubernetes.io/component"] for m in named(manifests, "PodDisruptionBudget")
    }
    for deployment in named(manifests, "Deployment"):
        if deployment["spec"]["selector"]["matchLabels"]["app.kubernetes.io/component"] not in covered:
            found.append(f"Deployment {deployment['metadata']['name']}: a disruption may take all its pods")
        if not fits(deployment["spec"]["selector"], deployment["spec"]["template"]["metadata"]["labels"]):
            found.append(f"Deployment {deployment['metadata']['name']}: it does not select its own pods")
    for pod in [*pods_of(manifests), *instances_of(manifests)]:
        labels = pod["metadata"]["labels"]
        if named(manifests, "NetworkPolicy") and not any(
            fits(policy["spec"]["podSelector"], labels) for policy in named(manifests, "NetworkPolicy")
        ):
            found.append(f"{labels.get('app.kubernetes.io/component', labels)}: anybody in the cluster reaches it")
    return found + list(_engine_faults(manifests))


def _pod_faults(pod: Manifest, manifests: list[Manifest], secrets: Path) -> Iterator[str]:
    (container,) = pod["containers"]
    yield from _shut_faults(pod, container)
    if container["name"] == "valkey":
        yield from _valkey_faults(pod, container, manifests)
        return
    yield from _command_faults(tuple(str(argument) for argument in container["args"]))
    account = pod.get("serviceAccountName")  # the migration runs before there is one
    if account and account not in {m["metadata"]["name"] for m in named(manifests, "ServiceAccount")}:
        yield f"there is no account {account}"
    ports = {port["name"] for port in container.get("ports", ())}
    for probe in probes_of(container):
        if probe["httpGet"]["port"] not in ports or probe["httpGet"]["path"] not in ("/livez", "/readyz"):
            yield f"nobody answers {probe['httpGet']}"
    if ports:
        yield from _missing_probes(container)
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    for mount in container["volumeMounts"]:
        if mount["name"] not in volumes:
            yield f"there is no volume {mount['name']}"
    writable = {m["mountPath"] for m in container["volumeMounts"] if not m.get("readOnly")}
    if "/tmp" not in writable:
        yield "uploads have nowhere to wait"
    for volume in volumes.values():
        config = volume.get("configMap", {}).get("name")
        if config and config not in {m["metadata"]["name"] for m in named(manifests, "ConfigMap")}:
            yield f"there is no ConfigMap {config}"
    environ, told = _environment(container, volumes, secrets, secrets_for(manifests))
    yield from told
    if container["args"][0] == "gateway":
        yield from _gateway_faults(environ, secrets, secrets_for(manifests)["gateway-keys"])
    else:
        led_to = container["args"][0] in ("serve", "realtime") and _has_gateway(manifests)
        yield from _settings_faults(container, environ, led_to, manifests)


def probes_of(container: Manifest) -> list[Manifest]:
    return [container[kind] for kind in PROBES if container.get(kind)]


def _missing_probes(container: Manifest) -> Iterator[str]:
    if len(probes_of(container)) < len(PROBES):
        yield "not every probe is there"


@functools.cache
def _command_faults(arguments: tuple[str, ...]) -> tuple[str, ...]:
    try:
        app.parse_args(list(arguments), exit_on_error=False, print_error=False)
    except CycloptsError as e:
        return (f"forecourt {list(arguments)}: {e}",)
    return ()


def _shut_faults(pod: Manifest, container: Manifest) -> Iterator[str]:
    """Rights that nobody needs, and bounds that are missing."""
    dockerfile = (ROOT / "deploy" / "docker" / "Dockerfile").read_text()
    who = f"{pod['securityContext'].get('runAsUser')}:{pod['securityContext'].get('runAsGroup')}"
    right = who == VALKEY_IN_ITS_IMAGE if container["name"] == "valkey" else f"USER {who}\n" in dockerfile
    if not pod["securityContext"].get("runAsNonRoot") or not right:
        yield f"it runs as {who}, not as the image's user"
    security = container["securityContext"]
    if security != {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }:
        yield "it has more rights than it needs"
    if pod.get("automountServiceAccountToken") is not False or pod.get("enableServiceLinks") is not False:
        yield "it gets what it has no use for"
    for bound, names in (("requests", ("cpu", "memory")), ("limits", ("memory",))):
        for name in names:
            if name not in container["resources"].get(bound, {}):
                yield f"there is no {bound} for {name}"


def _has_gateway(manifests: list[Manifest]) -> bool:
    return any(pod["spec"]["containers"][0]["args"][0] == "gateway" for pod in pods_of(manifests))


def _environment(
    container: Manifest, volumes: Mapping[str, Manifest], secrets: Path, known: Mapping[str, str]
) -> tuple[dict[str, str], list[str]]:
    """A container's environment, with the secrets that its pod gets and no others in `secrets`; and what is wrong with it."""
    wrong: list[str] = []
    shutil.rmtree(secrets)
    secrets.mkdir()
    places: dict[str, Path] = {}
    for mount in container["volumeMounts"]:
        secret = volumes.get(mount["name"], {}).get("secret")
        if secret is None:
            continue
        places[mount["mountPath"]] = here = secrets / mount["name"]
        here.mkdir()
        for item in secret.get("items") or ():
            if item["key"] in known:
                (here / item["path"]).write_text(known[item["key"]])
            else:
                wrong.append(f"there is no secret {item['key']}")
    environ: dict[str, str] = {}
    for variable in container["env"]:
        if variable["name"] in environ:
            wrong.append(f"{variable['name']} is there twice")
        if variable["name"] not in settings_known() | BEYOND | BEYOND_HERE:
            wrong.append(f"{variable['name']} is no setting")
        value = variable.get("value", "of the Secret")
        for place, here in places.items():
            value = value.replace(f"{place}/", f"{here}/")
        environ[variable["name"]] = value
    if environ.get("PGSSLMODE") and not Path(environ.get("PGSSLROOTCERT", "-")).is_file():
        wrong.append("nobody can say that the database is the right one")
    return environ, wrong


def _gateway_faults(environ: Mapping[str, str], secrets: Path, right: str) -> Iterator[str]:
    """What the gateway says about its environment."""
    settings = Environment(environ)
    keys = gateway_keys(settings, split=True)
    yield from settings.faults
    if not settings.faults and keys[0].reveal() not in right:
        yield "it shows what nobody asks for"
    if more := sorted({file.name for file in secrets.rglob("*") if file.is_file()} - {"gateway-keys"}):
        yield f"it holds {more}, which it does not need"


def _settings_faults(container: Manifest, environ: Mapping[str, str], led_to: bool, manifests: list[Manifest]) -> Iterator[str]:
    """What the program says about its environment; who is `led_to` by the gateway asks for it."""
    try:
        settings = Settings.read(environ)
    except SettingsError as e:
        yield from e.faults
        return
    if led_to != bool(settings.secrets.gateway_keys) and container["args"][0] != "worker":
        yield "who comes by another way is let in" if led_to else "nobody comes in: there is no gateway to show anything"
    topology = settings.topology
    if topology.modules and set(topology.modules) | set(topology.called) != set(module_names()):
        yield f"nobody serves {sorted(set(module_names()) - set(topology.modules) - set(topology.called))}"
    if settings.database.admin_url is not None and container["args"] != ["migrate"]:
        yield "it holds the database owner's password"
    yield from _address_faults(settings, manifests)


def _address_faults(settings: Settings, manifests: list[Manifest]) -> Iterator[str]:
    """Addresses that lead to none of the engines that the chart brings, or to the wrong one."""
    for cluster in named(manifests, "Cluster"):
        (begun,) = cluster["spec"]["bootstrap"].values()
        database = settings.database
        for url, login, leads_to in (
            (database.url, APP_ROLE, "rw"),
            (database.replica_url, APP_ROLE, "ro"),
            (database.admin_url, begun["owner"], "rw"),
        ):
            if url is None:
                if leads_to == "ro":
                    yield "nobody reads from the replicas"
                continue
            parts = urlsplit(url.reveal())
            if services_of(cluster).get(parts.hostname or "") != leads_to:
                yield f"{parts.hostname} does not lead to {leads_to}"
            if (parts.username, parts.path) != (login, "/" + begun["database"]):
                yield f"{parts.username} does not work in {parts.path}"
        if database.replica_url and urlsplit(database.replica_url.reveal()).hostname not in _pinned(cluster):
            yield "what is known of one replica would be taken for another's"
    for valkey in (m for m in named(manifests, "Service") if m["metadata"]["name"].endswith("-valkey")):
        at = urlsplit(settings.valkey.url.reveal() if settings.valkey.url else "")
        if not at.password or not _port_of(at.hostname or "", at.port or 0, [valkey]):
            yield f"{at.hostname} is not where Valkey is"


def _pinned(cluster: Manifest) -> set[str]:
    """Services that lead a pod to the same replica always."""
    return {
        service["serviceTemplate"]["metadata"]["name"]
        for service in cluster["spec"]["managed"]["services"]["additional"]
        if service["serviceTemplate"]["spec"]["sessionAffinity"] == "ClientIP"
    }


def _service_faults(service: Manifest, manifests: list[Manifest]) -> Iterator[str]:
    there = [pod for pod in pods_of(manifests) if fits({"matchLabels": service["selector"]}, pod["metadata"]["labels"])]
    if len(there) != 1:
        yield f"it leads to {len(there)} kinds of pods"
        return
    names = {port["name"] for port in there[0]["spec"]["containers"][0].get("ports", ())}
    for port in service["ports"]:
        if port["targetPort"] not in names:
            yield f"there is no port {port['targetPort']}"


def _scaler_faults(scaler: Manifest, manifests: list[Manifest]) -> Iterator[str]:
    target = scaler["scaleTargetRef"]["name"]
    found = [m for m in named(manifests, "Deployment") if m["metadata"]["name"] == target]
    if not found:
        yield f"there is no Deployment {target}"
    elif "replicas" in found[0]["spec"]:
        yield "every upgrade would undo what it scaled"
    if not 2 <= scaler["minReplicas"] <= scaler["maxReplicas"]:
        yield "one pod is no spare, or there are fewer at most than at least"
    asked = {metric["resource"]["name"] for metric in scaler["metrics"] if metric["type"] == "Resource"}
    if asked != {"cpu", "memory"}:
        yield f"it looks at {sorted(asked)}"
    for metric in scaler["metrics"]:
        if metric["type"] == "External" and f'"{metric["external"]["metric"]["name"]}"' not in _sources():
            yield f"nobody tells {metric['external']['metric']['name']}"


@functools.cache
def _sources() -> str:
    return "".join(path.read_text() for path in (ROOT / "src" / "forecourt").rglob("*.py"))


def _selection_faults(selector: Manifest, manifests: list[Manifest]) -> Iterator[str]:
    if not any(fits(selector, pod["metadata"]["labels"]) for pod in pods_of(manifests)):
        yield "it selects nothing"


def _policy_faults(policy: Manifest, manifests: list[Manifest]) -> Iterator[str]:
    everybody = [*pods_of(manifests), *instances_of(manifests)]
    chosen = [pod for pod in everybody if fits(policy["podSelector"], pod["metadata"]["labels"])]
    if not chosen:
        yield "it selects nothing"
    ports = [port for pod in chosen for port in pod["spec"]["containers"][0].get("ports", ())]
    named_here = {port[key] for port in ports for key in ("name", "containerPort")}
    for rule in policy.get("ingress", ()):
        if not rule.get("from"):
            yield "it lets everybody in"
        for port in rule["ports"]:
            if port["port"] not in named_here:
                yield f"there is no port {port['port']}"
    if any(named_here) and not policy.get("ingress"):
        yield "it lets nobody in"


def _port_of(service: str, port: str | int, manifests: list[Manifest]) -> bool:
    return any(
        m["metadata"]["name"] == service and any(port in (p["name"], p["port"]) for p in m["spec"]["ports"])
        for m in named(manifests, "Service")
    )


def _ingress_faults(ingress: Manifest, manifests: list[Manifest]) -> Iterator[str]:
    for rule in ingress["rules"]:
        paths = [path["path"] for path in rule["http"]["paths"]]
        if paths.count("/") != 1:
            yield f"it leads {paths.count('/')} ways"
        for path in rule["http"]["paths"]:
            backend = path["backend"]["service"]
            if not _port_of(backend["name"], backend["port"]["name"], manifests):
                yield f"there is no {backend}"


def _plan_faults(text: str, manifests: list[Manifest]) -> Iterator[str]:
    """What the gateway says about its plan, and addresses of no service."""
    try:
        plan = msgspec.convert(tomllib.loads(text), _File).plan(Path("/etc/forecourt"))
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as e:
        yield str(e)
        return
    yield from plan.faults(module_names())
    (pod,) = [p["spec"] for p in pods_of(manifests) if p["metadata"]["labels"]["app.kubernetes.io/component"] == "gateway"]
    ports = {port["containerPort"] for port in pod["containers"][0]["ports"]}
    if {int(at.rpartition(":")[2]) for at in (*plan.listen, plan.internal)} != ports:
        yield f"it does not listen at {sorted(ports)}"
    for service in plan.services:
        for address in (address for addresses in service.versions.values() for address in addresses):
            host, port = re.sub("^http://", "", address).split(":")
            if not _port_of(host, int(port), manifests):
                yield f"nobody is at {address}"


def _monitor_faults(monitor: Manifest, manifests: list[Manifest]) -> Iterator[str]:
    chosen = [s for s in named(manifests, "Service") if fits(monitor["selector"], s["metadata"].get("labels", {}))]
    if not chosen:
        yield "it selects nothing"
    for endpoint in monitor["endpoints"]:
        if set(endpoint) - {"relabelings"} != {"port", "path", "interval"} or endpoint["path"] != "/metrics":
            yield f"{endpoint} is not what it reads"
        if endpoint["port"] == "http" and not all(_asked_for(monitor, endpoint, service) for service in chosen):
            yield "rules and dashboards would not find its job and role"
        if (
            endpoint["port"] == "internal"
            and {r["targetLabel"]: r["replacement"] for r in endpoint.get("relabelings", ())} != GATEWAY
        ):
            yield "rules would not find the gateway's job and role"
        for service in chosen:
            if service["metadata"]["labels"]["app.kubernetes.io/component"] == "gateway" and endpoint["port"] == "http":
                yield "it asks at the people's door"
            if endpoint["port"] not in {port["name"] for port in service["spec"]["ports"]}:
                yield f"{service['metadata']['name']} has no port {endpoint['port']}"


def _asked_for(monitor: Manifest, endpoint: Manifest, service: Manifest) -> bool:
    """Whether what is read from `service` is of the job `forecourt` and says its role, as deploy/observability has it."""
    labels = service["metadata"]["labels"]
    known = {"__meta_kubernetes_service_label_" + re.sub(r"[^A-Za-z0-9_]", "_", name): value for name, value in labels.items()}
    told = {rule["targetLabel"]: [known.get(name) for name in rule["sourceLabels"]] for rule in endpoint.get("relabelings", [])}
    return labels.get(monitor.get("jobLabel")) == "forecourt" and told.get("role") == [labels["app.kubernetes.io/component"]]


def _pod_monitor_faults(monitor: Manifest, manifests: list[Manifest]) -> Iterator[str]:
    chosen = [pod for pod in instances_of(manifests) if fits(monitor["selector"], pod["metadata"]["labels"])]
    if not chosen:
        yield "it selects nothing"
    ports = {port["name"] for pod in chosen for port in pod["spec"]["containers"][0]["ports"]}
    for endpoint in monitor["podMetricsEndpoints"]:
        if endpoint["port"] not in ports:
            yield f"there is no port {endpoint['port']}"
        if {r["targetLabel"]: r["replacement"] for r in endpoint["relabelings"]}.get("job") in (None, "forecourt"):
            yield "its figures would pass for the program's"


# --- sizes


def _vertical_faults(vertical: Manifest, manifests: list[Manifest]) -> Iterator[str]:
    target = vertical["targetRef"]["name"]
    deployment = next((m for m in named(manifests, "Deployment") if m["metadata"]["name"] == target), None)
    if deployment is None:
        yield f"there is no Deployment {target}"
        return
    scaled = {m["spec"]["scaleTargetRef"]["name"] for m in named(manifests, "HorizontalPodAutoscaler")}
    if target in scaled and vertical["updatePolicy"]["updateMode"] != "Off":
        yield "it changes requests in which a HorizontalPodAutoscaler counts"
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    for policy in vertical["resourcePolicy"]["containerPolicies"]:
        if policy["containerName"] != container["name"]:
            yield f"there is no container {policy['containerName']}"
        if policy["controlledValues"] != "RequestsOnly":
            yield "it changes limits"
        if mebibytes(policy["maxAllowed"]["memory"]) > mebibytes(container["resources"]["limits"]["memory"]):
            yield "it may request more than the limit"


UNITS = {"Ki": 1 / 1024, "Mi": 1.0, "Gi": 1024.0, "Ti": 1024.0**2}


def mebibytes(amount: str) -> float:
    return float(amount[:-2]) * UNITS[amount[-2:]]


def cores(amount: str | float) -> float:
    return float(amount[:-1]) / 1000 if isinstance(amount, str) and amount.endswith("m") else float(amount)


def largest(manifests: list[Manifest]) -> list[tuple[int, Manifest]]:
    """How many there are at most of each kind of pod, while Deployments are replaced, and what a pod of it is."""
    found: list[tuple[int, Manifest]] = []
    most = {m["spec"]["scaleTargetRef"]["name"]: m["spec"]["maxReplicas"] for m in named(manifests, "HorizontalPodAutoscaler")}
    for deployment in named(manifests, "Deployment"):
        spec = deployment["spec"]
        count = most.get(deployment["metadata"]["name"], spec.get("replicas"))
        more = spec["strategy"].get("rollingUpdate", {}).get("maxSurge", 0)
        found.append((count + more, spec["template"]["spec"]))
    found += [(1, job["spec"]["template"]["spec"]) for job in named(manifests, "Job")]
    for cluster in named(manifests, "Cluster"):
        containers = [{"resources": cluster["spec"]["resources"]}]
        containers += [
            {"resources": store["spec"]["instanceSidecarConfiguration"]["resources"]} for store in named(manifests, "ObjectStore")
        ]
        found.append((cluster["spec"]["instances"] + 1, {"containers": containers}))
    return found


def most_requested(manifests: list[Manifest]) -> dict[str, float]:
    """What all pods request and may take together, when there are as many as there can be."""
    total = {"pods": 0.0, "requests.cpu": 0.0, "requests.memory": 0.0, "limits.memory": 0.0}
    for count, pod in largest(manifests):
        total["pods"] += count
        for resources in (container["resources"] for container in pod["containers"]):
            total["requests.cpu"] += count * cores(resources["requests"]["cpu"])
            total["requests.memory"] += count * mebibytes(resources["requests"]["memory"])
            total["limits.memory"] += count * mebibytes(resources["limits"]["memory"])
    claims = [
        (cluster["spec"]["instances"] + 1, mebibytes(cluster["spec"][volume]["size"]))
        for cluster in named(manifests, "Cluster")
        for volume in ("storage", "walStorage")
    ]
    total["persistentvolumeclaims"] = sum(count for count, _ in claims)
    total["requests.storage"] = sum(count * size for count, size in claims)
    return total


def _quota_faults(hard: Mapping[str, str], manifests: list[Manifest]) -> Iterator[str]:
    for name, needed in most_requested(manifests).items():
        if name not in hard:
            yield f"it does not bound {name}"
            continue
        bound = mebibytes(hard[name]) if name.endswith(("memory", "storage")) else cores(hard[name])
        if bound < needed:
            yield f"{name} is {hard[name]}, which {needed:g} do not fit into"
    if "limits.cpu" in hard:
        yield "pods without a limit of cores are refused"


def _range_faults(limits: list[Manifest], manifests: list[Manifest]) -> Iterator[str]:
    for bound in limits:
        for _, pod in largest(manifests):
            for resources in (container["resources"] for container in pod["containers"]):
                if mebibytes(resources["limits"]["memory"]) > mebibytes(bound["max"]["memory"]):
                    yield f"{resources['limits']['memory']} are refused"
        if not {"cpu", "memory"} <= bound["defaultRequest"].keys() or "memory" not in bound["default"]:
            yield "who says nothing is refused by the quota"


# --- engines

FIXED = {"hba_file", "shared_preload_libraries", "synchronous_standby_names", "ssl", "port", "listen_addresses", "archive_mode"}
"""Of PostgreSQL's settings, which the operator keeps to itself (its documentation has the whole list)."""
FAIL_OVER_S = 300
NODE_NOTICED_S = 60
"""Kubernetes notices that a node is away within 50 s, as it comes, and tells the operator within five more."""
LEASE_S = 15
"""A replica waits for so long before it takes the place of a primary that was heard of no more."""


def _cluster_faults(cluster: Manifest, manifests: list[Manifest]) -> Iterator[str]:
    spec = cluster["spec"]
    synchronous = spec["postgresql"]["synchronous"]
    if (synchronous["method"], synchronous["dataDurability"], synchronous["failoverQuorum"]) != ("any", "required", True):
        yield "what was acknowledged can be lost"
    if spec["instances"] < synchronous["number"] + 2:
        yield "with one instance away nothing could be written"
    if spec["failoverDelay"] + spec["switchoverDelay"] + NODE_NOTICED_S + LEASE_S > FAIL_OVER_S // 2:
        yield "it takes too long until there is another primary"
    if spec["smartShutdownTimeout"] >= spec["stopDelay"]:
        yield "it would be killed while it waits for whoever is connected"
    if (spec["affinity"]["podAntiAffinityType"], spec["affinity"]["topologyKey"]) != ("required", "kubernetes.io/hostname"):
        yield "one node may take several instances along"
    if not spec["enablePDB"]:
        yield "whoever empties a node may take the primary before there is another"
    if cluster["metadata"]["annotations"].get("helm.sh/resource-policy") != "keep":
        yield "to uninstall the program is to lose the data"
    if ":18" not in spec["imageName"]:
        yield f"{spec['imageName']} is not PostgreSQL 18"
    if kept := sorted(FIXED & spec["postgresql"]["parameters"].keys()):
        yield f"the operator keeps {kept} to itself"
    if mebibytes(spec["walStorage"]["size"]) <= kilobytes(spec["postgresql"]["parameters"]["max_slot_wal_keep_size"]) / 1024:
        yield "what a replica has not fetched may fill the disk"
    stores = {m["metadata"]["name"] for m in named(manifests, "ObjectStore")}
    source = spec["bootstrap"].get("recovery", {}).get("source")
    for other in spec.get("externalClusters", ()):
        if other["name"] != source or other["plugin"]["parameters"] != {
            "barmanObjectName": next(iter(stores)),
            "serverName": source,
        }:
            yield "it cannot be restored from there"
    if source is not None and not spec.get("externalClusters"):
        yield "it cannot be restored from anywhere"
    for plugin in spec.get("plugins", ()):
        if plugin["parameters"]["barmanObjectName"] not in stores or not plugin["isWALArchiver"]:
            yield "its changes are archived nowhere"


def kilobytes(setting: str) -> int:
    """A size as PostgreSQL writes it."""
    return int(setting[:-2]) * {"kB": 1, "MB": 1024, "GB": 1024**2}[setting[-2:]]


def _backup_faults(backup: Manifest, manifests: list[Manifest]) -> Iterator[str]:
    cluster = next((m for m in named(manifests, "Cluster") if m["metadata"]["name"] == backup["cluster"]["name"]), None)
    if cluster is None or backup["pluginConfiguration"]["name"] not in {p["name"] for p in cluster["spec"].get("plugins", ())}:
        yield "it copies nothing"
    if not backup["immediate"]:
        yield "until it is due nothing can be restored"


def _engine_faults(manifests: list[Manifest]) -> Iterator[str]:
    """Who should reach the engines and does not, and who does and should not."""
    if not named(manifests, "NetworkPolicy"):
        return
    for engine, port, wanted in [
        *((pod, ("postgresql", 5432), {"serve", "realtime", "worker", "migrate"}) for pod in instances_of(manifests)),
        *((pod, ("valkey", 6379), {"serve", "realtime", "worker"}) for pod in pods_of(manifests) if not is_program(pod)),
    ]:
        for pod in (pod for pod in pods_of(manifests) if is_program(pod)):
            duty = pod["spec"]["containers"][0]["args"][0]
            if _reaches(pod, engine, port, manifests) != (duty in wanted):
                yield f"{duty} {'does not reach' if duty in wanted else 'reaches'} {port[0]}"
    for instance in instances_of(manifests):
        for number in (5432, 8000):
            if not _reaches(instance, instance, ("", number), manifests) or not _lets_in_operator(instance, number, manifests):
                yield f"instances and their operator do not reach {number}"


def _rules(engine: Manifest, port: tuple[str, int], manifests: list[Manifest]) -> Iterator[Manifest]:
    for policy in named(manifests, "NetworkPolicy"):
        if fits(policy["spec"]["podSelector"], engine["metadata"]["labels"]):
            for rule in policy["spec"].get("ingress", ()):
                if any(told["port"] in port for told in rule["ports"]):
                    yield from rule["from"]


def _reaches(pod: Manifest, engine: Manifest, port: tuple[str, int], manifests: list[Manifest]) -> bool:
    return any(
        "podSelector" in rule and "namespaceSelector" not in rule and fits(rule["podSelector"], pod["metadata"]["labels"])
        for rule in _rules(engine, port, manifests)
    )


def _lets_in_operator(engine: Manifest, number: int, manifests: list[Manifest]) -> bool:
    home = {"kubernetes.io/metadata.name": "cnpg-system"}
    return any(
        fits(rule.get("namespaceSelector", {"matchLabels": {"": ""}}), home) for rule in _rules(engine, ("", number), manifests)
    )


def _valkey_faults(pod: Manifest, container: Manifest, manifests: list[Manifest]) -> Iterator[str]:
    """It keeps nothing, wants its password, and is elsewhere soon when its node dies."""
    program, conf, *options = (str(argument) for argument in container["args"])
    told = dict(zip(options[::2], options[1::2], strict=True))
    if (program, conf) != ("valkey-server", "/run/secrets/forecourt/valkey-conf"):
        yield f"{program} {conf} wants no password"
    (volume,) = [v["secret"] for v in pod["volumes"] if "secret" in v]
    if [item["path"] for item in volume["items"]] != ["valkey-conf"]:
        yield "it has not its own secret, or others'"
    if "requirepass" not in secrets_for(manifests).get("valkey-conf", ""):
        yield "anybody may come in"
    if (told.get("--save"), told.get("--appendonly"), told.get("--maxmemory-policy")) != ("", "no", "volatile-lru"):
        yield "it is not kept as the program expects"
    memory = float(told["--maxmemory"].removesuffix("mb")) * 10**6 / 2**20
    if memory * 1.2 > mebibytes(container["resources"]["limits"]["memory"]):
        yield "it would be killed when it is full"
    waits = [t.get("tolerationSeconds", FAIL_OVER_S) for t in pod["tolerations"] if t["key"].startswith("node.kubernetes.io/")]
    if len(waits) != 2 or max(waits) + NODE_NOTICED_S > FAIL_OVER_S // 2:
        yield "when its node dies it is away for too long"
    yield from _missing_probes(container)
