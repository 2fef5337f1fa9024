"""deploy/helm: what Helm renders is what Kubernetes takes and fits together, and whatever is wrong is found."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import helm_python
import pytest
import yaml
from tests.deploy.charting import (
    CHART,
    LEAST,
    MAKE_SECRET,
    RELEASES,
    Manifest,
    faults,
    merge,
    named,
    render,
    secret_printed,
    shape_faults,
    upgraded,
)
from tests.deploy.test_compose_engines import SIZES, postgres_settings
from tests.deploy.test_managed_postgres import BY_THE_KEEPER

from forecourt.engines import postgres
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
    "gateway": {"limits": {"requests_per_address": 2000, "routes": {"/v1/auth": 50, "/sign-in": 60}, "socket_idle_s": 90}},
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
ENGINES: dict[str, Any] = {
    "secretSettings": {"FORECOURT_SMTP_URL": "smtp-url"},
    "serviceMonitor": {"enabled": True},
    "verticalAutoscaling": {"enabled": True},
    "quota": {"enabled": True},
    "tolerations": [{"key": "spot", "operator": "Exists"}],
    "nodeSelector": {"kubernetes.io/arch": "amd64"},
    "imagePullSecrets": [{"name": "registry"}],
    "valkey": {"enabled": True},
    "postgres": {
        "enabled": True,
        "storage": {"className": "fast"},
        "parameters": {"shared_buffers": "2GB"},
        "backup": {
            "destination": "s3://backup/house",
            "endpoint": "https://s3.example.org",
            "keys": {"accessKeyId": "backup-key-id", "secretAccessKey": "backup-key"},
            "accountAnnotations": {"a": "b"},
        },
    },
}
"""What the chart can bring along: engines, and bounds for all of it."""
RESTORED = {"from": "old-postgres", "to": "2026-11-21 09:30:00+00"}
ALONE: dict[str, Any] = {"gateway": {"enabled": False}, "ingress": {"enabled": True}}
BARE: dict[str, Any] = {"migration": {"enabled": False}, "networkPolicy": {"enabled": False}}
WAYS = {
    "least": {},
    "everything": EVERYTHING,
    "divided": merge(EVERYTHING, DIVIDED),
    "alone": ALONE,
    "bare": BARE,
    "engines": ENGINES,
    "divided engines": merge(ENGINES, DIVIDED),
    "restored": merge(ENGINES, {"postgres": {"backup": {"restore": RESTORED}}}),
}


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
    manifests = render(**WAYS["divided engines"])
    assert named(manifests, "Secret") == []
    for pod in (m["spec"]["template"]["spec"] for m in named(manifests, "Deployment", "Job")):
        given = {v["name"]: v for v in pod["containers"][0].get("env", ())}
        secrets = {"DATABASE_URL", "DATABASE_ADMIN_URL", "VALKEY_URL"}
        secrets |= {"FORECOURT_SECRET_KEY", "FORECOURT_CONTRACT_KEYS", "FORECOURT_GATEWAY_KEYS"}
        assert not secrets & set(given)


@pytest.mark.parametrize("way", sorted(WAYS))
def test_the_gateway_and_whoever_it_leads_to_have_its_keys_and_nobody_else_has(way: str) -> None:
    manifests = render(**WAYS[way])
    pods = {m["metadata"]["name"]: m["spec"]["template"]["spec"] for m in named(manifests, "Deployment", "Job")}
    given: dict[str, set[str]] = {}
    for name, pod in pods.items():
        if "valkey" in name:
            continue
        (volume,) = [v["secret"] for v in pod["volumes"] if v["name"] == "secrets"]
        given[name] = {item["key"] for item in volume["items"]}
        told = {v["name"] for v in pod["containers"][0]["env"]}
        assert ("gateway-keys" in given[name]) == ("FORECOURT_GATEWAY_KEYS_FILE" in told)
    with_keys = {name for name, keys in given.items() if "gateway-keys" in keys}
    assert with_keys == (set() if way == "alone" else {name for name in given if not name.startswith("house-migrate")})
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
        (merge(ENGINES, {"postgres": {"backup": {"destination": ""}}}), "postgres.backup.destination must be set"),
        (merge(ENGINES, {"postgres": {"maxConnections": 400}}), "all roles at their largest open 416"),
        (merge(ENGINES, {"settings": {"FORECOURT_DATABASE_POOL": 15}}), "all roles at their largest open 581"),
        (merge(ENGINES, {"secretSettings": {"DATABASE_REPLICA_URL": "replica"}}), "it is the key database-replica-url"),
        (merge(ENGINES, {"postgres": {"backup": {"restore": RESTORED | {"from": "house-postgres"}}}}), "another story"),
        (merge(ENGINES, {"postgres": {"backup": {"restore": RESTORED | {"to": "yesterday"}}}}), "to"),
        (merge(ENGINES, {"postgres": {"instances": 2}}), "instances"),
        (merge(ENGINES, {"postgres": {"image": "ghcr.io/cloudnative-pg/postgresql:17.5"}}), "image"),
        (merge(ENGINES, {"postgres": {"parameters": {"synchronous_commit": "off"}}}), "synchronous_commit"),
        (
            merge(ENGINES, {"quota": {"hard": {"requests.cpu": "8"}}}),
            "quota.hard.requests.cpu is 8, but all parts .* need 19000m",
        ),
        (merge(ENGINES, {"quota": {"hard": {"pods": 41}}}), "quota.hard.pods is 41, but all parts .* need 42"),
        (merge(ENGINES, {"quota": {"hard": {"requests.memory": "31Gi"}}}), "need 32000Mi"),
        (merge(ENGINES, {"quota": {"hard": {"requests.memory": "40GB"}}}), "40GB is no amount such as 512Mi"),
        (merge(ENGINES, {"quota": {"hard": {"limits.cpu": "40"}}}), "limits.cpu"),
        (merge(ENGINES, {"verticalAutoscaling": {"mode": "Auto"}}), "mode"),
    ],
)
def test_values_that_cannot_be_are_refused(values: dict[str, Any], said: str) -> None:
    with pytest.raises(helm_python.HelmError, match=said):
        render(**values)


def test_a_secret_is_new_each_time_and_has_what_else_is_given() -> None:
    with tempfile.NamedTemporaryFile("w") as given:
        given.write("smtps://house@mail.example.org\n")
        given.flush()
        first, second = (secret_printed(MAKE_SECRET, f"smtp-url={given.name}") for _ in "12")
    assert first.pop("smtp-url", None) == second.pop("smtp-url", None) == "smtps://house@mail.example.org"
    assert [name for name in first if first[name] == second[name]] == []
    words = {name: set(re.findall(r"[A-Za-z0-9]{48}", text)) for name, text in first.items()}
    assert all(len(found) == 1 for found in words.values()), words
    shared = [{"database-url", "database-replica-url"}, {"valkey-url", "valkey-conf"}]
    for name, other in itertools.combinations(words, 2):
        assert (words[name] == words[other]) == ({name, other} in shared), (name, other)
    for wrong in (["House"], ["house", "smtp-url"], ["house", "smtp-url=/nowhere"], ["h" * 41]):
        refused = subprocess.run([MAKE_SECRET, *wrong], check=False, capture_output=True, text=True, timeout=60)
        assert refused.returncode != 0 and refused.stderr and not refused.stdout, (wrong, refused.stdout)


def test_the_values_of_the_manual_are_an_installation(tmp_path: Path) -> None:
    manual = (CHART.parents[2] / "docs" / "operations.md").read_text()
    section = manual.partition("### Engines that the chart brings\n")[2].partition("\n### ")[0]
    (values,) = (yaml.safe_load(block) for block in re.findall(r"^```yaml\n(.*?)^```$", section, re.MULTILINE | re.DOTALL))
    assert LEAST.keys() <= values.keys()
    manifests = render(**values)
    assert shape_faults(manifests) == []
    assert faults(manifests, tmp_path) == []
    given = set(re.findall(r"(\S+)=\S+\.txt", section))
    taken = {*values["bucketKeys"].values(), *values["postgres"]["backup"]["keys"].values()}
    assert given == taken


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


WRONG_ENGINES = [
    (
        "vertical.yaml",
        "name: {{ $house }}-{{ $part.name }}\n  updatePolicy",
        "name: {{ $part.name }}\n  updatePolicy",
        "no Deployment",
    ),
    ("vertical.yaml", "{{ $part.vertical | quote }}", "Initial", "in which a HorizontalPodAutoscaler counts"),
    ("vertical.yaml", "controlledValues: RequestsOnly", "controlledValues: RequestsAndLimits", "it changes limits"),
    ("vertical.yaml", "{{ $part.resources.limits.memory }}", "2Gi", "more than the limit"),
    ("vertical.yaml", '"gateway" "forecourt"', '"gate" "forecourt"', "no container gate"),
    ("quota.yaml", "merge (dict)", 'merge (dict "pods" "30")', "pods is 30, which 42 do not fit into"),
    ("quota.yaml", "$amount := $hard", '$amount := omit $hard "pods"', "it does not bound pods"),
    ("quota.yaml", "{{ $needed.largest }}", "1Gi", "4Gi are refused"),
    ("quota.yaml", "defaultRequest: {cpu: 50m, memory: 128Mi}", "defaultRequest: {cpu: 50m}", "who says nothing"),
    ("_helpers.tpl", '"pods" (add $count 1)', '"pods" $count', "do not fit into"),
    ("_helpers.tpl", '"Gi" 1024.0', '"Gi" 1000.0', "do not fit into"),
    ("_helpers.tpl", "mulf (float64 $amount) 1000", "mulf (float64 $amount) 100", "do not fit into"),
    ("_helpers.tpl", "$volumes = mul 2 (add .instances 1)", "$volumes = .instances", "do not fit into"),
    ("_helpers.tpl", '"beside" (add .instances 1)', '"beside" 1', "do not fit into"),
    ("_helpers.tpl", "{key: ca.crt, path: ca.crt}", "{key: ca.crt, path: authority.crt}", "nobody can say"),
    ("_helpers.tpl", "- {key: database-replica-url, path: database-replica-url}", "", "cannot be read"),
    ("_helpers.tpl", "name: DATABASE_REPLICA_URL_FILE", "name: FORECOURT_SMTP_URL_FILE", "is there twice"),
    ("migration.yaml", "- {key: uri, path: database-admin-url}", "- {key: url, path: database-admin-url}", "no secret url"),
    ("migration.yaml", "- {key: uri,", "- {key: database-url,", "forecourt_app does not work in /forecourt"),
    ("migration.yaml", 'ternary "owner" "forecourt"', 'ternary "forecourt" "owner"', "cannot be read"),
    ("postgres.yaml", "method: any", "method: first", "can be lost"),
    ("postgres.yaml", "dataDurability: required", "dataDurability: preferred", "can be lost"),
    ("postgres.yaml", "failoverQuorum: true", "failoverQuorum: false", "can be lost"),
    ("postgres.yaml", "instances: {{ $postgres.instances }}", "instances: 2", "nothing could be written"),
    ("postgres.yaml", "switchoverDelay: 60", "switchoverDelay: 600", "takes too long"),
    ("postgres.yaml", "smartShutdownTimeout: 1", "smartShutdownTimeout: 180", "would be killed"),
    ("postgres.yaml", "podAntiAffinityType: required", "podAntiAffinityType: preferred", "one node may take"),
    ("postgres.yaml", "enablePDB: true", "enablePDB: false", "whoever empties a node"),
    ("postgres.yaml", "helm.sh/resource-policy: keep", "helm.sh/resource-policy: drop", "lose the data"),
    ("postgres.yaml", '"jit" "off"', '"hba_file" "off"', "the operator keeps ['hba_file']"),
    ("postgres.yaml", '"max_slot_wal_keep_size" "16GB"', '"max_slot_wal_keep_size" "24GB"', "may fill the disk"),
    ("postgres.yaml", "barmanObjectName: {{ $name }}", "barmanObjectName: {{ $house }}", "archived nowhere"),
    ("postgres.yaml", "isWALArchiver: true", "isWALArchiver: false", "archived nowhere"),
    ("postgres.yaml", "cluster: {name: {{ $name }}}", "cluster: {name: {{ $house }}}", "it copies nothing"),
    ("postgres.yaml", "immediate: true", "immediate: false", "nothing can be restored"),
    ("postgres.yaml", "selectorType: ro", "selectorType: rw", "house-postgres-read does not lead to ro"),
    ("postgres.yaml", "name: {{ $name }}-read", "name: {{ $name }}-reads", "house-postgres-read does not lead to ro"),
    ("postgres.yaml", "sessionAffinity: ClientIP", "sessionAffinity: None", "would be taken for another's"),
    ("postgres.yaml", "database: forecourt", "database: house", "does not work in /forecourt"),
    ("postgres.yaml", 'printf "%s-postgres" $house', 'printf "%s-database" $house', "house-postgres-rw does not lead to rw"),
    ("valkey.yaml", "valkey-server, /run/secrets/forecourt/valkey-conf", "valkey-server, /etc/valkey.conf", "wants no password"),
    (
        "valkey.yaml",
        "{key: valkey-conf, path",
        "{key: secret-key, path: secret-key}\n              - {key: valkey-conf, path",
        "others'",
    ),
    ("valkey.yaml", '--save, ""', '--save, "60 1"', "as the program expects"),
    ("valkey.yaml", "{{ .Values.valkey.memory }}", "768mb", "would be killed when it is full"),
    ("valkey.yaml", "tolerationSeconds: 30", "tolerationSeconds: 300", "away for too long"),
    ("valkey.yaml", '"startupProbe" 1', '"bootProbe" 1', "not every probe"),
    ("valkey.yaml", "runAsUser: 999", "runAsUser: 0", "not as the image's user"),
    ("valkey.yaml", "port: 6379", "port: 6380", "is not where Valkey is"),
    ("network.yaml", "port: 5432}, {port: 8000}", "port: 8000}", "instances and their operator do not reach 5432"),
    ("network.yaml", ".Values.networkPolicy.operatorFrom", ".Values.networkPolicy.from", "do not reach 8000"),
    (
        "network.yaml",
        "app.kubernetes.io/component: migrate\n    - ports",
        "app.kubernetes.io/component: gateway\n    - ports",
        "migrate does not reach",
    ),
    ("network.yaml", "- ports: [{port: valkey}]", "- ports: [{port: http}]", "does not reach valkey"),
    ("monitor.yaml", "port: metrics", "port: figures", "there is no port figures"),
    ("monitor.yaml", "replacement: forecourt-postgres", "replacement: forecourt", "pass for the program's"),
    ("monitor.yaml", "values: [gateway, valkey]", "values: [gateway]", "has no port http"),
]


def test_the_first_migration_of_a_database_that_is_made_too_does_not_come_before_it(tmp_path: Path) -> None:
    (first,) = named(render(**ENGINES), "Job")
    assert "annotations" not in first["metadata"], "it would wait for a database that is made after it"
    (other,) = named(render(**merge(ENGINES, {"image": {"tag": "0.2.0"}})), "Job")
    assert other["metadata"]["name"] != first["metadata"]["name"], "a job that is there cannot become another"
    manifests = upgraded(**ENGINES)
    assert shape_faults(manifests) == []
    assert faults(manifests, tmp_path) == []
    for there in (manifests, render()):
        (job,) = named(there, "Job")
        assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"


def test_a_new_database_has_what_its_owner_could_not_give_it() -> None:
    """test_managed_postgres.py shows that a server with these can be migrated by an owner who is no superuser."""
    (cluster,) = named(render(**ENGINES), "Cluster")
    begun = cluster["spec"]["bootstrap"]["initdb"]
    assert begun["postInitSQL"] == [f"alter role {begun['owner']} createrole"]
    assert begun["postInitApplicationSQL"] == [f"create extension {name} with schema public" for name in BY_THE_KEEPER]
    options = {"--encoding=" + begun["encoding"], "--locale=" + begun["locale"], "--locale-provider=" + begun["localeProvider"]}
    assert options | {"--builtin-locale=" + begun["builtinLocale"]} <= set(postgres.INITDB_OPTIONS)
    assert "managed" in cluster["spec"] and "roles" not in cluster["spec"]["managed"], "they would lose what they are members of"


def test_the_database_is_set_up_as_the_one_of_compose() -> None:
    (cluster,) = named(render(**ENGINES), "Cluster")
    here, there = cluster["spec"]["postgresql"]["parameters"], postgres_settings()
    of_the_operator = {"shared_preload_libraries", "hba_file"}
    assert set(there) - set(here) == of_the_operator and set(here) <= set(there)
    assert {name for name in here if here[name] != there[name]} <= SIZES
    assert here["shared_buffers"] == ENGINES["postgres"]["parameters"]["shared_buffers"], "what is given goes before"


@pytest.mark.parametrize(("file", "right", "wrong", "said"), WRONG_ENGINES)
def test_one_thing_wrong_with_the_engines_is_found(tmp_path: Path, file: str, right: str, wrong: str, said: str) -> None:
    (tmp_path / "secrets").mkdir()
    found = faults(render(altered(tmp_path, file, right, wrong), **ENGINES), tmp_path / "secrets")
    assert any(said in fault for fault in found), found


def test_a_house_that_cannot_be_restored_is_found(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    wrong = altered(tmp_path, "postgres.yaml", "serverName: {{ . }}", "serverName: {{ $name }}")
    assert faults(render(wrong, **WAYS["restored"]), tmp_path / "secrets") == [
        "Cluster house-postgres: it cannot be restored from there"
    ]


MISSHAPEN = [
    ("roles.yaml", "periodSeconds: 10", "period: 10", "period"),
    ("roles.yaml", "maxSurge: 1", "maxSurge: [1]", "maxSurge"),
    ("roles.yaml", "apiVersion: autoscaling/v2", "apiVersion: autoscaling/v2beta2", "autoscaling/v2beta2"),
    ("roles.yaml", "emptyDir: {sizeLimit: 1Gi}", "emptyDir: 1Gi", "1Gi"),
    ("migration.yaml", "restartPolicy: Never", "restartPolicy: [Never]", "restartPolicy"),
    ("network.yaml", "policyTypes: [Ingress]", "policyTypes: Ingress", "Ingress"),
    ("ingress.yaml", "pathType: Prefix", "pathtype: Prefix", "path"),
]


MISSHAPEN_ENGINES = [
    ("quota.yaml", "type: Container", "typ: Container", "typ"),
    ("valkey.yaml", "strategy: {type: Recreate}", "strategy: Recreate", "Recreate"),
    ("vertical.yaml", "autoscaling.k8s.io/v1", "autoscaling.k8s.io/v1beta2", "v1beta2"),
    ("vertical.yaml", "updateMode:", "mode:", "mode"),
    ("postgres.yaml", "isWALArchiver", "isWalArchiver", "isWalArchiver"),
    ("postgres.yaml", "    initdb:\n", "    initDB:\n", "initDB"),
    ("postgres.yaml", "method: any", "method: quorum", "quorum"),
    ("postgres.yaml", "barmancloud.cnpg.io/v1", "postgresql.cnpg.io/v1", "postgresql.cnpg.io/v1"),
    ("postgres.yaml", "method: plugin", "method: barmanObjectStore", "barmanObjectStore"),
    ("postgres.yaml", "{{ $setting }}: {{ $value | quote }}", "{{ $setting }}: {{ $value }}", "str"),
    ("monitor.yaml", "podMetricsEndpoints", "endpoints", "endpoints"),
    ("monitor.yaml", "jobLabel", "joblabel", "joblabel"),
]


@pytest.mark.parametrize(("file", "right", "wrong", "said"), MISSHAPEN_ENGINES)
def test_what_an_operator_would_refuse_is_found(tmp_path: Path, file: str, right: str, wrong: str, said: str) -> None:
    found = shape_faults(render(altered(tmp_path, file, right, wrong), **ENGINES), RELEASES[-1:])
    assert any(said in fault for fault in found), found


@pytest.mark.parametrize(("file", "right", "wrong", "said"), MISSHAPEN)
def test_what_kubernetes_would_refuse_is_found(tmp_path: Path, file: str, right: str, wrong: str, said: str) -> None:
    found = shape_faults(render(altered(tmp_path, file, right, wrong), **EVERYTHING), RELEASES[-1:])
    assert found != []
    assert any(said in fault for fault in found), found
