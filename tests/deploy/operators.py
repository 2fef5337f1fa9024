"""Resources of operators, which Kubernetes itself knows nothing of: what the chart may say in them, in the words of this project.

Each struct has the fields that the chart uses, with the values that the operator takes, and no others: what is not here is
refused, as an API server refuses what is not in its schema. The published schemas themselves are not kept here. With them in a
folder,

    python -m tests.deploy.operators --list | xargs -n1 curl -fsSLO --output-dir schemas
    python -m tests.deploy.operators schemas

holds what is rendered to them as they stand, and each kind here with them. The workflow *Supply* does so.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import jsonschema_rs
import msgspec
import yaml
from msgspec import Meta

Manifest = dict[str, Any]
CNPG = "https://raw.githubusercontent.com/cloudnative-pg/cloudnative-pg/v1.30.0/config/crd/bases/"
BARMAN = "https://raw.githubusercontent.com/cloudnative-pg/plugin-barman-cloud/v0.14.0/config/crd/bases/"
PROMETHEUS = "https://raw.githubusercontent.com/prometheus-operator/prometheus-operator/v0.93.0/example/prometheus-operator-crd/"
AUTOSCALER = (
    "https://raw.githubusercontent.com/kubernetes/autoscaler/vertical-pod-autoscaler/v1.7.1/vertical-pod-autoscaler/deploy/"
)
PUBLISHED = (
    CNPG + "postgresql.cnpg.io_clusters.yaml",
    CNPG + "postgresql.cnpg.io_scheduledbackups.yaml",
    BARMAN + "barmancloud.cnpg.io_objectstores.yaml",
    PROMETHEUS + "monitoring.coreos.com_servicemonitors.yaml",
    PROMETHEUS + "monitoring.coreos.com_podmonitors.yaml",
    AUTOSCALER + "vpa-v1-crd-gen.yaml",
)

Seconds = Annotated[int, Meta(ge=0, le=3600)]
Amount = Annotated[str, Meta(pattern=r"^[0-9]+(\.[0-9]+)?(m|[KMGT]i)?$")]
Labels = dict[str, str]


AS_WRITTEN = {
    "pg_hba": "pg_hba",
    "post_init_sql": "postInitSQL",
    "post_init_application_sql": "postInitApplicationSQL",
    "client_ip": "clientIP",
    "is_wal_archiver": "isWALArchiver",
    "enable_pdb": "enablePDB",
    "inherit_from_iam_role": "inheritFromIAMRole",
    "endpoint_url": "endpointURL",
    "s3_credentials": "s3Credentials",
}


def as_written(field: str) -> str:
    """How a manifest writes the name of a struct's field."""
    first, *rest = field.split("_")
    return AS_WRITTEN.get(field) or first + "".join(map(str.capitalize, rest))


class Part(msgspec.Struct, forbid_unknown_fields=True, rename=as_written):
    """A part of a resource: nothing in it that is not named."""


class Metadata(Part):
    name: str
    labels: Labels = {}
    annotations: Labels = {}


class Named(Part):
    name: str


class Keyed(Part):
    name: str
    key: str


class Selector(Part):
    match_labels: Labels = {}
    match_expressions: list[dict[str, Any]] = []


class Amounts(Part):
    requests: dict[Literal["cpu", "memory", "ephemeral-storage"], Amount | int | float]
    limits: dict[Literal["cpu", "memory", "ephemeral-storage"], Amount | int | float]


# --- the VerticalPodAutoscaler


class Target(Part):
    api_version: Literal["apps/v1"]
    kind: Literal["Deployment"]
    name: str


class UpdatePolicy(Part):
    update_mode: Literal["Off", "Initial", "Recreate", "InPlaceOrRecreate"]


class ContainerPolicy(Part):
    container_name: str
    controlled_resources: list[Literal["cpu", "memory"]]
    controlled_values: Literal["RequestsOnly", "RequestsAndLimits"]
    min_allowed: dict[Literal["cpu", "memory"], Amount]
    max_allowed: dict[Literal["cpu", "memory"], Amount]


class ResourcePolicy(Part):
    container_policies: list[ContainerPolicy]


class VerticalSpec(Part):
    target_ref: Target
    update_policy: UpdatePolicy
    resource_policy: ResourcePolicy


class VerticalPodAutoscaler(Part):
    api_version: Literal["autoscaling.k8s.io/v1"]
    kind: str
    metadata: Metadata
    spec: VerticalSpec


# --- CloudNativePG


class InitDB(Part):
    database: str
    owner: str
    encoding: Literal["UTF8"]
    locale: str
    locale_provider: Literal["builtin"]
    builtin_locale: str
    data_checksums: bool
    post_init_sql: list[str]
    post_init_application_sql: list[str]


class RecoveryTarget(Part):
    target_time: str


class Recovery(Part):
    source: str
    database: str
    owner: str
    recovery_target: RecoveryTarget | None = None


class Bootstrap(Part):
    initdb: InitDB | None = None
    recovery: Recovery | None = None


class Synchronous(Part):
    method: Literal["any", "first"]
    number: Annotated[int, Meta(ge=1)]
    data_durability: Literal["required", "preferred"]
    failover_quorum: bool


class PostgresConfiguration(Part):
    synchronous: Synchronous
    parameters: Labels
    pg_hba: list[str]


class HighAvailability(Part):
    enabled: bool


class ReplicationSlots(Part):
    high_availability: HighAvailability


class Affinity(Part):
    enable_pod_anti_affinity: bool
    pod_anti_affinity_type: Literal["required", "preferred"]
    topology_key: str
    node_selector: Labels = {}
    tolerations: list[dict[str, Any]] = []


class Spread(Part):
    max_skew: int
    topology_key: str
    when_unsatisfiable: Literal["ScheduleAnyway", "DoNotSchedule"]
    label_selector: Selector


class Storage(Part):
    size: Amount
    storage_class: str | None = None


class ClientAddress(Part):
    timeout_seconds: Annotated[int, Meta(ge=1, le=86400)]


class AffinityConfiguration(Part):
    client_ip: ClientAddress


class ServiceSpec(Part):
    session_affinity: Literal["ClientIP", "None"]
    session_affinity_config: AffinityConfiguration


class ServiceTemplate(Part):
    metadata: Named
    spec: ServiceSpec


class ManagedService(Part):
    selector_type: Literal["rw", "r", "ro"]
    service_template: ServiceTemplate


class ManagedServices(Part):
    additional: list[ManagedService]


class Managed(Part):
    services: ManagedServices


class Annotations(Part):
    annotations: Labels


class AccountTemplate(Part):
    metadata: Annotations


class Plugin(Part):
    name: Literal["barman-cloud.cloudnative-pg.io"]
    is_wal_archiver: bool
    parameters: Labels


class Source(Part):
    name: Literal["barman-cloud.cloudnative-pg.io"]
    parameters: Labels


class ExternalCluster(Part):
    name: str
    plugin: Source


class ClusterSpec(Part):
    instances: Annotated[int, Meta(ge=1)]
    image_name: str
    bootstrap: Bootstrap
    postgresql: PostgresConfiguration
    enable_superuser_access: bool
    enable_pdb: bool
    primary_update_strategy: Literal["unsupervised", "supervised"]
    primary_update_method: Literal["switchover", "restart"]
    failover_delay: Seconds
    smart_shutdown_timeout: Seconds
    switchover_delay: Seconds
    stop_delay: Seconds
    replication_slots: ReplicationSlots
    affinity: Affinity
    topology_spread_constraints: list[Spread]
    resources: Amounts
    storage: Storage
    wal_storage: Storage
    managed: Managed
    service_account_template: AccountTemplate | None = None
    external_clusters: list[ExternalCluster] = []
    plugins: list[Plugin] = []
    image_pull_secrets: list[Named] = []


class Cluster(Part):
    api_version: Literal["postgresql.cnpg.io/v1"]
    kind: str
    metadata: Metadata
    spec: ClusterSpec


class PluginConfiguration(Part):
    name: Literal["barman-cloud.cloudnative-pg.io"]


class ScheduledBackupSpec(Part):
    cluster: Named
    schedule: Annotated[str, Meta(pattern=r"^(\S+ ){5}\S+$")]
    immediate: bool
    target: Literal["primary", "prefer-standby"]
    method: Literal["plugin"]
    plugin_configuration: PluginConfiguration
    backup_owner_reference: Literal["none", "self", "cluster"]


class ScheduledBackup(Part):
    api_version: Literal["postgresql.cnpg.io/v1"]
    kind: str
    metadata: Metadata
    spec: ScheduledBackupSpec


class S3Credentials(Part):
    access_key_id: Keyed | None = None
    secret_access_key: Keyed | None = None
    session_token: Keyed | None = None
    region: Keyed | None = None
    inherit_from_iam_role: bool = False


class Changes(Part):
    compression: Literal["bzip2", "gzip", "lz4", "snappy", "xz", "zstd"]
    max_parallel: Annotated[int, Meta(ge=1)]
    encryption: Literal["AES256", "aws:kms"] | None = None


class Copies(Part):
    compression: Literal["bzip2", "gzip", "lz4", "snappy"]
    encryption: Literal["AES256", "aws:kms"] | None = None


class StoreConfiguration(Part):
    destination_path: Annotated[str, Meta(pattern="^s3://")]
    s3_credentials: S3Credentials
    wal: Changes
    data: Copies
    endpoint_url: str | None = None


class Sidecar(Part):
    resources: Amounts


class ObjectStoreSpec(Part):
    configuration: StoreConfiguration
    retention_policy: Annotated[str, Meta(pattern="^[1-9][0-9]*[dwm]$")]
    instance_sidecar_configuration: Sidecar


class ObjectStore(Part):
    api_version: Literal["barmancloud.cnpg.io/v1"]
    kind: str
    metadata: Metadata
    spec: ObjectStoreSpec


# --- the Prometheus operator


class Relabeling(Part):
    target_label: str
    source_labels: list[str] = []
    replacement: str | None = None


class Endpoint(Part):
    port: str
    path: str
    interval: Annotated[str, Meta(pattern="^[0-9]+(ms|s|m)$")]
    relabelings: list[Relabeling] = []


class ServiceMonitorSpec(Part):
    selector: Selector
    endpoints: list[Endpoint]
    job_label: str | None = None


class ServiceMonitor(Part):
    api_version: Literal["monitoring.coreos.com/v1"]
    kind: str
    metadata: Metadata
    spec: ServiceMonitorSpec


class PodMonitorSpec(Part):
    selector: Selector
    pod_metrics_endpoints: list[Endpoint]


class PodMonitor(Part):
    api_version: Literal["monitoring.coreos.com/v1"]
    kind: str
    metadata: Metadata
    spec: PodMonitorSpec


KINDS: Mapping[str, type[msgspec.Struct]] = {
    kind.__name__: kind for kind in (VerticalPodAutoscaler, Cluster, ScheduledBackup, ObjectStore, ServiceMonitor, PodMonitor)
}


def faults(manifest: Manifest) -> Iterator[str]:
    """What is wrong with the shape of an operator's resource."""
    try:
        msgspec.convert(manifest, KINDS[manifest["kind"]])
    except msgspec.ValidationError as e:
        yield str(e)


# --- the published schemas, where somebody has them -----------------------------------------------------------------------------


def strict(schema: Any) -> Any:
    """A schema of a custom resource as an API server goes by it when it is asked to be strict: nothing that is not named."""
    if isinstance(schema, list):
        return [strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    told = {name: strict(part) for name, part in schema.items()}
    if isinstance(told.get("properties"), dict) and not schema.get("x-kubernetes-preserve-unknown-fields"):
        told.setdefault("additionalProperties", False)
    if schema.get("x-kubernetes-int-or-string"):
        told.pop("type", None)
    told.pop("format", None)
    return told


def published(folder: Path) -> dict[tuple[str, str], jsonschema_rs.Draft7Validator]:
    """By version and kind, what the files of `folder` say."""
    found: dict[tuple[str, str], jsonschema_rs.Draft7Validator] = {}
    for path in sorted(folder.glob("*.yaml")):
        for definition in yaml.safe_load_all(path.read_text()):
            if not definition or definition.get("kind") != "CustomResourceDefinition":
                continue
            spec = definition["spec"]
            for version in spec["versions"]:
                schema = strict(version["schema"]["openAPIV3Schema"])
                schema["properties"]["metadata"] = {"type": "object"}
                name = (f"{spec['group']}/{version['name']}", spec["names"]["kind"])
                found[name] = jsonschema_rs.Draft7Validator(schema)
    return found


def against(folder: Path, manifests: list[Manifest]) -> Iterator[str]:
    """What the published schemas in `folder` say against operators' resources among `manifests`, and which they do not know."""
    known = published(folder)
    for manifest in (manifest for manifest in manifests if manifest["kind"] in KINDS):
        name = f"{manifest['kind']} {manifest['metadata']['name']}"
        validator = known.get((manifest["apiVersion"], manifest["kind"]))
        if validator is None:
            yield f"{name}: nothing in {folder} knows {manifest['apiVersion']}"
            continue
        for error in validator.iter_errors(manifest):
            yield f"{name}, {'.'.join(map(str, error.instance_path))}: {error.message}"


def main(arguments: list[str]) -> int:
    from tests.deploy.charting import render
    from tests.deploy.test_chart import WAYS

    if arguments == ["--list"]:
        print("\n".join(PUBLISHED))
        return 0
    seen: set[str] = set()
    found: set[str] = set()
    for values in WAYS.values():
        manifests = render(**values)
        seen |= {manifest["kind"] for manifest in manifests} & KINDS.keys()
        found |= set(against(Path(arguments[0]), manifests))
    found |= {f"{kind} is rendered in no way" for kind in KINDS.keys() - seen}
    print("\n".join(sorted(found)) or f"{', '.join(sorted(seen))}: as published.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
