"""The chart as Helm renders it (the real engine, as a library), and what is wrong with the result.

Every manifest is held to the schemas of Kubernetes itself, of the oldest and the newest release that the chart is for. A
ServiceMonitor has no schema there; of it only what it selects and reads is looked at. What no schema knows is checked here: that
names lead somewhere, commands and settings exist, the gateway's plan is one, and Pods are as shut as they should be.
"""

from __future__ import annotations

import functools
import json
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import helm_python
import jsonschema_rs
import msgspec
import yaml
from cyclopts import CycloptsError
from tests.deploy.composing import BEYOND, settings_known

from forecourt.cli import app
from forecourt.gateway.plan import _File, module_names
from forecourt.kernel.settings import Environment, Settings, SettingsError, gateway_keys

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy" / "helm" / "forecourt"
RELEASES = ("1.29", "1.37")
OWN_KINDS = {"ServiceMonitor"}
"""Of operators: no schema of Kubernetes knows them."""
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
Manifest = dict[str, Any]


def render(chart: Path = CHART, **values: Any) -> list[Manifest]:
    """Every manifest of an installation with `values` over the least there are. Raises HelmError."""
    with helm_python.Chart.load(chart) as loaded:
        told = merge(LEAST, values)
        loaded.validate_schema(told)
        files = loaded.render(told, name="house", namespace="prod")
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
    """What the schemas of Kubernetes say against them."""
    found: list[str] = []
    for manifest in (manifest for manifest in manifests if manifest["kind"] not in OWN_KINDS):
        name = f"{manifest['kind']} {manifest['metadata']['name']}"
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
    for pod in pods_of(manifests):
        labels = pod["metadata"]["labels"]
        if named(manifests, "NetworkPolicy") and not any(
            fits(policy["spec"]["podSelector"], labels) for policy in named(manifests, "NetworkPolicy")
        ):
            found.append(f"{labels['app.kubernetes.io/component']}: anybody in the cluster reaches it")
    return found


def _pod_faults(pod: Manifest, manifests: list[Manifest], secrets: Path) -> Iterator[str]:
    (container,) = pod["containers"]
    yield from _shut_faults(pod, container)
    try:
        app.parse_args([str(argument) for argument in container["args"]], exit_on_error=False, print_error=False)
    except CycloptsError as e:
        yield f"forecourt {container['args']}: {e}"
    account = pod.get("serviceAccountName")  # the migration runs before there is one
    if account and account not in {m["metadata"]["name"] for m in named(manifests, "ServiceAccount")}:
        yield f"there is no account {account}"
    ports = {port["name"] for port in container.get("ports", ())}
    probes = [probe for kind in ("startupProbe", "livenessProbe", "readinessProbe") if (probe := container.get(kind))]
    for probe in probes:
        if probe["httpGet"]["port"] not in ports or probe["httpGet"]["path"] not in ("/livez", "/readyz"):
            yield f"nobody answers {probe['httpGet']}"
    if ports and len(probes) < 3:
        yield "not every probe is there"
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
    environ, told = _environment(container, volumes.get("secrets", {}), secrets)
    yield from told
    if container["args"][0] == "gateway":
        yield from _gateway_faults(environ, secrets)
    else:
        led_to = container["args"][0] in ("serve", "realtime") and _has_gateway(manifests)
        yield from _settings_faults(container, environ, led_to)


def _shut_faults(pod: Manifest, container: Manifest) -> Iterator[str]:
    """Rights that nobody needs, and bounds that are missing."""
    dockerfile = (ROOT / "deploy" / "docker" / "Dockerfile").read_text()
    who = f"{pod['securityContext'].get('runAsUser')}:{pod['securityContext'].get('runAsGroup')}"
    if not pod["securityContext"].get("runAsNonRoot") or f"USER {who}\n" not in dockerfile:
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


def _environment(container: Manifest, volume: Manifest, secrets: Path) -> tuple[dict[str, str], list[str]]:
    """A container's environment, with the secrets that its pod gets and no others in `secrets`; and what is wrong with it."""
    mounted = next((m["mountPath"] for m in container["volumeMounts"] if m["name"] == "secrets"), "")
    for old in secrets.iterdir():
        old.unlink()
    for item in volume.get("secret", {}).get("items") or ():
        (secrets / item["path"]).write_text(SECRETS[item["key"]])
    known = settings_known() | BEYOND
    environ: dict[str, str] = {}
    wrong: list[str] = []
    for variable in container["env"]:
        if variable["name"] in environ:
            wrong.append(f"{variable['name']} is there twice")
        if variable["name"] not in known:
            wrong.append(f"{variable['name']} is no setting")
        environ[variable["name"]] = variable.get("value", "of the Secret").replace(mounted, str(secrets))
    return environ, wrong


def _gateway_faults(environ: Mapping[str, str], secrets: Path) -> Iterator[str]:
    """What the gateway says about its environment."""
    settings = Environment(environ)
    keys = gateway_keys(settings, split=True)
    yield from settings.faults
    if not settings.faults and keys[0].reveal() not in SECRETS["gateway-keys"]:
        yield "it shows what nobody asks for"
    if more := sorted({file.name for file in secrets.iterdir()} - {"gateway-keys"}):
        yield f"it holds {more}, which it does not need"


def _settings_faults(container: Manifest, environ: Mapping[str, str], led_to: bool) -> Iterator[str]:
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
    chosen = [pod for pod in pods_of(manifests) if fits(policy["podSelector"], pod["metadata"]["labels"])]
    if not chosen:
        yield "it selects nothing"
    named_here = {port["name"] for pod in chosen for port in pod["spec"]["containers"][0].get("ports", ())}
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
