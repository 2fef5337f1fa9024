"""deploy/helm: what Helm renders is what Kubernetes takes and fits together, and whatever is wrong is found."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import helm_python
import pytest
from tests.deploy.charting import CHART, LEAST, RELEASES, Manifest, faults, merge, named, render, shape_faults

from forecourt.gateway.plan import module_names
from forecourt.system import VERSION

COURTS = ["venues", "booking", "payments"]
REST = [name for name in module_names() if name not in COURTS]
RESOURCES = {"requests": {"cpu": "250m", "memory": "384Mi"}, "limits": {"memory": "1Gi"}}
ASLEEP = {"enabled": False, "minReplicas": 2, "maxReplicas": 10, "cpu": 70, "memory": 80}
EVERYTHING: dict[str, Any] = {
    "settings": {"FORECOURT_TRUSTED_PROXIES": "10.244.0.0/16, 10.1.0.0/16", "FORECOURT_CORS_ORIGINS": "https://app.example.org"},
    "secretSettings": {"FORECOURT_SMTP_URL": "smtp-url"},
    "bucketKeys": {"AWS_ACCESS_KEY_ID": "bucket-key-id"},
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "ingress": {"enabled": True, "className": "nginx", "tlsSecret": "book", "annotations": {"a": "b"}},
    "queueLag": {"enabled": True},
    "gateway": {"limits": {"requests_per_address": 2000}},
    "nodeSelector": {"kubernetes.io/arch": "amd64"},
    "tolerations": [{"key": "spot", "operator": "Exists"}],
    "imagePullSecrets": [{"name": "registry"}],
    "podAnnotations": {"a": "b"},
    "serviceAccount": {"annotations": {"a": "b"}},
}
DIVIDED: dict[str, Any] = {
    "roles": {
        "serve": {"modules": REST},
        "courts": {"duty": "serve", "modules": COURTS, "resources": RESOURCES, "autoscaling": ASLEEP, "replicas": 3},
        "worker": {"modules": REST},
        "courts-worker": {"duty": "worker", "modules": COURTS, "resources": RESOURCES, "autoscaling": ASLEEP},
    }
}
ALONE: dict[str, Any] = {"gateway": {"enabled": False}, "ingress": {"enabled": True}}
BARE: dict[str, Any] = {"migration": {"enabled": False}, "networkPolicy": {"enabled": False}}
WAYS = {"least": {}, "everything": EVERYTHING, "divided": merge(EVERYTHING, DIVIDED), "alone": ALONE, "bare": BARE}


@pytest.mark.parametrize("way", sorted(WAYS))
def test_kubernetes_takes_what_is_rendered_and_it_fits_together(way: str, tmp_path: Path) -> None:
    manifests = render(**WAYS[way])
    assert len(manifests) > 10
    assert shape_faults(manifests) == []
    assert faults(manifests, tmp_path) == []


def test_helm_has_nothing_to_say() -> None:
    for way in WAYS.values():
        found = helm_python.lint(CHART, merge(LEAST, way), strict=True)
        assert found["errors"] == []
        assert [m for m in found["messages"] if m["severity"] > 1] == []


def test_what_an_installation_has(tmp_path: Path) -> None:
    manifests = render(**EVERYTHING)
    assert {m["metadata"]["name"] for m in named(manifests, "Deployment")} == {
        f"house-{n}" for n in ("serve", "realtime", "worker", "gateway")
    }
    scalers = {m["metadata"]["name"]: m["spec"] for m in named(manifests, "HorizontalPodAutoscaler")}
    assert {name: [metric["type"] for metric in spec["metrics"]] for name, spec in scalers.items()} == {
        "house-serve": ["Resource", "Resource"],
        "house-realtime": ["Resource", "Resource"],
        "house-worker": ["Resource", "Resource", "External"],
    }
    targets = [metric["resource"]["target"]["averageUtilization"] for metric in scalers["house-serve"]["metrics"]]
    assert (targets, scalers["house-serve"]["minReplicas"], scalers["house-serve"]["maxReplicas"]) == ([70, 80], 2, 10)
    (job,) = named(manifests, "Job")
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    (ingress,) = named(manifests, "Ingress")
    assert ingress["spec"]["rules"][0]["host"] == "book.example.org"
    for deployment in named(manifests, "Deployment"):
        assert {c["topologyKey"] for c in deployment["spec"]["template"]["spec"]["topologySpreadConstraints"]} == {
            "topology.kubernetes.io/zone",
            "kubernetes.io/hostname",
        }


def test_a_pod_outlives_what_it_has_under_way() -> None:
    (pod,) = [
        m["spec"]["template"]["spec"]
        for m in named(render(drainSeconds=20, graceSeconds=40), "Deployment")
        if m["metadata"]["name"] == "house-serve"
    ]
    assert pod["terminationGracePeriodSeconds"] == 60
    assert {"name": "FORECOURT_DRAIN_S", "value": "20"} in pod["containers"][0]["env"]


def test_divided_roles_know_where_the_others_are() -> None:
    (role,) = [m for m in named(render(**DIVIDED), "Deployment") if m["metadata"]["name"] == "house-courts"]
    environ = {v["name"]: v.get("value") for v in role["spec"]["template"]["spec"]["containers"][0]["env"]}
    assert environ["FORECOURT_MODULES"] == ",".join(COURTS)
    looked_at = {"realtime=http://house-realtime:8000", "worker=http://house-courts-worker:8000|http://house-worker:8000"}
    assert set(environ["FORECOURT_PEERS"].split(",")) == {f"{name}=http://house-serve:8000" for name in REST} | looked_at
    assert role["spec"]["replicas"] == 3


@pytest.mark.parametrize("values", [{}, DIVIDED], ids=["whole", "divided"])
def test_who_serves_can_say_how_every_role_is(values: dict[str, Any]) -> None:
    """/api/status asks the peers. The gateway is in front of it, and asks in its turn."""
    deployments = {m["metadata"]["name"]: m["spec"]["template"]["spec"] for m in named(render(**values), "Deployment")}
    serving = {name: pod["containers"][0] for name, pod in deployments.items() if pod["containers"][0]["args"] == ["serve"]}
    assert serving
    for name, container in serving.items():
        environ = {v["name"]: v.get("value", "") for v in container["env"]}
        asked = set(re.findall(r"http://([^:|]+):8000", environ["FORECOURT_PEERS"]))
        assert asked == set(deployments) - {name, "house-gateway"}


def test_no_secret_is_in_any_manifest() -> None:
    manifests = render(**WAYS["divided"])
    assert named(manifests, "Secret") == []
    for pod in (m["spec"]["template"]["spec"] for m in named(manifests, "Deployment", "Job")):
        given = {v["name"]: v for v in pod["containers"][0]["env"]}
        secrets = {"DATABASE_URL", "DATABASE_ADMIN_URL", "VALKEY_URL"}
        secrets |= {"FORECOURT_SECRET_KEY", "FORECOURT_CONTRACT_KEYS", "FORECOURT_GATEWAY_KEYS"}
        assert not secrets & set(given)


@pytest.mark.parametrize("way", sorted(WAYS))
def test_the_gateway_and_whoever_it_leads_to_have_its_keys_and_nobody_else_has(way: str) -> None:
    manifests = render(**WAYS[way])
    pods = {m["metadata"]["name"]: m["spec"]["template"]["spec"] for m in named(manifests, "Deployment", "Job")}
    given: dict[str, set[str]] = {}
    for name, pod in pods.items():
        (volume,) = [v["secret"] for v in pod["volumes"] if "secret" in v]
        given[name] = {item["key"] for item in volume["items"]}
        told = {v["name"] for v in pod["containers"][0]["env"]}
        assert ("gateway-keys" in given[name]) == ("FORECOURT_GATEWAY_KEYS_FILE" in told)
    with_keys = {name for name, keys in given.items() if "gateway-keys" in keys}
    assert with_keys == (set() if way == "alone" else set(pods) - {"house-migrate"})
    assert way == "alone" or given["house-gateway"] == {"gateway-keys"}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"publicUrl": ""}, "publicUrl must be set"),
        ({"existingSecret": ""}, "existingSecret must be set"),
        ({"settings": {"FORECOURT_MEDIA_URL": ""}}, "FORECOURT_MEDIA_URL must be set"),
        (merge(DIVIDED, {"gateway": {"enabled": False}}), "Divided modules need the gateway"),
        ({"rolls": {}}, "rolls"),
        ({"publicUrl": "book.example.org"}, "publicUrl"),
        ({"settings": {"FORECOURT_SECRET_KEY": "hunter2"}}, "FORECOURT_SECRET_KEY"),
        ({"settings": {"FORECOURT_GATEWAY_KEYS": "hunter2"}}, "FORECOURT_GATEWAY_KEYS"),
        ({"settings": {"PASSWORD": "x"}}, "PASSWORD"),
        ({"roles": {"serve": {"duty": "cook"}}}, "duty"),
        ({"roles": {"serve": {"autoscaling": {"cpu": 700}}}}, "cpu"),
        ({"roles": {"gateway": {"duty": "serve"}}}, "gateway"),
        ({"gateway": {"replicas": "two"}}, "replicas"),
        ({"networkPolicy": {"from": []}}, "from"),
    ],
)
def test_values_that_cannot_be_are_refused(values: dict[str, Any], said: str) -> None:
    with pytest.raises(helm_python.HelmError, match=said):
        render(**values)


def test_every_value_has_its_place_in_the_schema() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())

    def loose(part: Any, path: str = "") -> list[str]:
        if not isinstance(part, dict):
            return []
        own = (
            [path]
            if part.get("type") == "object" and "properties" in part and part.get("additionalProperties") is not False
            else []
        )
        return own + [fault for name, inner in part.items() for fault in loose(inner, f"{path}.{name}")]

    assert loose(schema) == []
    assert loose({"type": "object", "properties": {}}) == [""]


def test_chart_and_program_have_one_version() -> None:
    text = (CHART / "Chart.yaml").read_text()
    assert f"appVersion: {VERSION}\n" in text


WRONG = [
    ("roles.yaml", "args: [{{ $role.duty }}", "args: [{{ $role.duty }}r", "forecourt ["),
    ("roles.yaml", "httpGet: {path: /readyz, port: http}", "httpGet: {path: /ready, port: http}", "nobody answers"),
    ("roles.yaml", "- {name: http, containerPort: 8000}", "- {name: web, containerPort: 8000}", "nobody answers"),
    ("roles.yaml", "- {name: passing, mountPath: /tmp}", "- {name: passing, mountPath: /var/tmp}", "nowhere to wait"),
    ("roles.yaml", "- name: passing\n          emptyDir", "- name: temporary\n          emptyDir", "there is no volume passing"),
    ("roles.yaml", "serviceAccountName: {{", "serviceAccountName: the-{{", "there is no account"),
    (
        "roles.yaml",
        "    kind: Deployment\n    name: {{",
        "    kind: Deployment\n    name: a-{{",
        "there is no Deployment a-house",
    ),
    (
        "roles.yaml",
        "{{- if not $role.autoscaling.enabled }}\n  replicas",
        "{{- if true }}\n  replicas",
        "would undo what it scaled",
    ),
    ("roles.yaml", "        name: memory\n", "        name: cpu\n", "it looks at"),
    ("roles.yaml", "{name: http, port: 8000, targetPort: http}", "{name: http, port: 8080, targetPort: http}", "nobody is at"),
    ("roles.yaml", "automountServiceAccountToken: false", "automountServiceAccountToken: true", "no use for"),
    ("roles.yaml", 'forecourt/program: "true"', 'forecourt/pod: "true"', "anybody in the cluster reaches it"),
    ("_helpers.tpl", "readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false", "more rights"),
    ("_helpers.tpl", "runAsUser: 10001", "runAsUser: 1000", "not as the image's user"),
    ("_helpers.tpl", "name: VALKEY_URL_FILE", "name: VALKEY_URI_FILE", "VALKEY_URI_FILE is no setting"),
    ("_helpers.tpl", "value: production", "value: live", "FORECOURT_ENV"),
    ("_helpers.tpl", "- {key: secret-key, path: secret-key}", "- {key: secret-key, path: key}", "cannot be read"),
    ("_helpers.tpl", "- {key: contract-keys, path: contract-keys}", "", "FORECOURT_CONTRACT_KEYS_FILE"),
    ("_helpers.tpl", "- {key: gateway-keys, path: gateway-keys}", "", "FORECOURT_GATEWAY_KEYS_FILE"),
    ("_helpers.tpl", "- {key: gateway-keys, path: gateway-keys}", "- {key: secret-key, path: gateway-keys}", "nobody asks for"),
    ("roles.yaml", '{{- include "forecourt.gatewayKeys" $root | nindent 12 }}', "", "FORECOURT_GATEWAY_KEYS is missing"),
    ("gateway.yaml", '{{- include "forecourt.gatewayKeys" . | nindent 12 }}', "", "FORECOURT_GATEWAY_KEYS is missing"),
    (
        "gateway.yaml",
        '{{- include "forecourt.gatewayItem" . | nindent 14 }}',
        '{{- include "forecourt.gatewayItem" . | nindent 14 }}\n              - {key: secret-key, path: secret-key}',
        "it holds ['secret-key'], which it does not need",
    ),
    ("_helpers.tpl", '(printf "%s=http://%s-%s:8000"', '(printf "%s=https//%s-%s:8000"', "FORECOURT_PEERS"),
    ("_helpers.tpl", "{{- if not (has $module $own) -}}", "{{- if has $module $own -}}", "also lives in this process"),
    (
        "monitor.yaml",
        "{targetLabel: job, replacement: forecourt-gateway}",
        "{targetLabel: job, replacement: gate}",
        "the gateway's job",
    ),
    ("migration.yaml", "args: [migrate]", "args: [migrations]", "migrations"),
    ("migration.yaml", "- {key: database-admin-url, path: database-admin-url}", "", "database-admin-url cannot be read"),
    ("gateway.yaml", "sockets = true", "sockets = yes", "Invalid value"),
    ("gateway.yaml", '{{ $name }}:8000"]', '{{ $name }}:80"]', "nobody is at"),
    ("gateway.yaml", 'listen = "0.0.0.0:8080"', 'listen = "0.0.0.0:80"', "does not listen at"),
    ("gateway.yaml", "configMap: {name: {{ $house }}-gateway}", "configMap: {name: {{ $house }}-plan}", "there is no ConfigMap"),
    (
        "gateway.yaml",
        "kind: PodDisruptionBudget\nmetadata:\n  name: {{ $house }}-gateway",
        "kind: ServiceAccount\nmetadata:\n  name: x",
        "all its pods",
    ),
    ("network.yaml", "port: internal", "port: metrics", "there is no port metrics"),
    ("network.yaml", "app.kubernetes.io/component: gateway", "app.kubernetes.io/component: door", "selects nothing"),
    (
        "ingress.yaml",
        "service: {name: {{ $house }}, port: {name: http}}",
        "service: {name: {{ $house }}, port: {name: https}}",
        "there is no {",
    ),
    ("monitor.yaml", "port: internal\n      path", "port: metrics\n      path", "has no port metrics"),
    ("monitor.yaml", "operator: NotIn", "operator: In", "at the people's door"),
    (
        "monitor.yaml",
        "jobLabel: app.kubernetes.io/name",
        "jobLabel: app.kubernetes.io/instance",
        "would not find its job and role",
    ),
    ("monitor.yaml", "service_label_app_kubernetes_io_component", "service_name", "would not find its job and role"),
]


def altered(folder: Path, file: str, right: str, wrong: str) -> Path:
    chart = folder / "chart"
    shutil.copytree(CHART, chart)
    path = chart / "templates" / file
    text = path.read_text()
    assert right in text
    path.write_text(text.replace(right, wrong))
    return chart


@pytest.mark.parametrize(("file", "right", "wrong", "said"), WRONG)
def test_one_thing_wrong_is_found(tmp_path: Path, file: str, right: str, wrong: str, said: str) -> None:
    (tmp_path / "secrets").mkdir()
    manifests: list[Manifest] = render(altered(tmp_path, file, right, wrong), **WAYS["divided"])
    found = faults(manifests, tmp_path / "secrets")
    assert any(said in fault for fault in found), found


def test_a_house_that_is_not_divided_lets_nobody_past_its_gateway_either(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    keys = '{{- include "forecourt.gatewayKeys" $root | nindent 12 }}'
    found = faults(render(altered(tmp_path, "roles.yaml", keys, ""), **WAYS["least"]), tmp_path / "secrets")
    assert sorted(found) == [f"Deployment house-{role}: who comes by another way is let in" for role in ("realtime", "serve")]


MISSHAPEN = [
    ("roles.yaml", "periodSeconds: 10", "period: 10", "period"),
    ("roles.yaml", "maxSurge: 1", "maxSurge: [1]", "maxSurge"),
    ("roles.yaml", "apiVersion: autoscaling/v2", "apiVersion: autoscaling/v2beta2", "autoscaling/v2beta2"),
    ("roles.yaml", "emptyDir: {sizeLimit: 1Gi}", "emptyDir: 1Gi", "1Gi"),
    ("migration.yaml", "backoffLimit: 3", "backoffLimit: three", "three"),
    ("network.yaml", "policyTypes: [Ingress]", "policyTypes: Ingress", "Ingress"),
    ("ingress.yaml", "pathType: Prefix", "pathtype: Prefix", "path"),
]


@pytest.mark.parametrize(("file", "right", "wrong", "said"), MISSHAPEN)
def test_what_kubernetes_would_refuse_is_found(tmp_path: Path, file: str, right: str, wrong: str, said: str) -> None:
    found = shape_faults(render(altered(tmp_path, file, right, wrong), **EVERYTHING), RELEASES[-1:])
    assert found != []
    assert any(said in fault for fault in found), found
