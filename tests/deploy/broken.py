"""Ways in which files of deploy/ can be wrong, each with the test that has to fail then.

`file` is below deploy/. `found_by` is a test, or another function that raises AssertionError, of the module that runs the break:
test_every_file.py for containers and Kubernetes, tests/observability/test_every_file.py for observability. For Terraform it
says who finds it (Terraform itself, what is asked of a house, of the real server, or of words), and what is said then.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
NOT_OURS = shutil.ignore_patterns("secrets")


@dataclass(frozen=True)
class Break:
    file: str
    right: str
    wrong: str
    found_by: str

    def __str__(self) -> str:
        return f"{self.file}: {self.wrong.strip() or 'without ' + self.right.strip()}"

    def made_in(self, folder: Path) -> Path:
        """A copy of deploy/ below `folder`, in which one thing is wrong."""
        copy = folder / "deploy"
        shutil.copytree(DEPLOY, copy, ignore=NOT_OURS)
        text = (copy / self.file).read_text()
        assert self.right in text, f"{self.file} has no {self.right!r} any more: break it in another way"
        (copy / self.file).write_text(text.replace(self.right, self.wrong, 1))
        return copy


CONTAINERS = [
    Break("compose/compose.yaml", "command: [serve]", "command: [sreve]", "project"),
    Break("compose/compose.yaml", "image: valkey/valkey:9-bookworm\n", "", "shapes"),
    Break("compose/compose.yaml", "- data:/var/lib/forecourt", "- date:/var/lib/forecourt", "project"),
    Break("compose/compose.override.yaml", "FORECOURT_PUBLIC_URL:", "FORECOURT_PUBLIC_ULR:", "project"),
    Break("compose/compose.override.yaml", "ports:\n", "port:\n", "shapes"),
    Break(
        "compose/compose.production.yaml", "secrets: [database_url, valkey_url, secret_key", "secrets: [database_url", "project"
    ),
    Break("compose/compose.production.yaml", "- 443:8443", "- 443:8444", "gateway"),
    Break("compose/compose.production.yaml", "http://127.0.0.1:9101/readyz", "http://127.0.0.1:9100/readyz", "gateway_health"),
    Break("compose/compose.production.yaml", "internal: true", "internal: false", "exposure"),
    Break("compose/compose.production.yaml", "[archive, stream, /archive]", "[archive, steam, /archive]", "project"),
    Break("compose/compose.production.yaml", '--daily, "3"', '--dayly, "3"', "project"),
    Break("compose/compose.production.yaml", "FORECOURT_ARCHIVE_RECIPIENTS:", "FORECOURT_ARCHIVE_RECIPIENT:", "project"),
    Break("compose/compose.production.yaml", "archiving:/var/lib/forecourt", "archiving:/var/lib/archive", "archive"),
    Break("compose/compose.production.yaml", "data:/house:ro", "data:/hause:ro", "archive"),
    Break("compose/compose.production.yaml", "secrets: [database_admin_url, secret_key]", "secrets: [secret_key]", "project"),
    Break("compose/compose.production.yaml", "healthcheck: *unasked\n", "", "archive"),
    Break("compose/gateway.toml", "forecourt-serve-2:8000", "forecourt-serve-2:8080", "gateway"),
    Break("compose/gateway.toml", "sockets = true", "socket = true", "gateway"),
    Break("compose/gateway.toml", '"0.0.0.0:9101"', '"0.0.0.0:9102"', "gateway_health"),
    Break("compose/make-secrets", "random | keep secret_key", "random | keep secretkey", "secrets"),
    Break("compose/make-secrets", "random | keep postgres_password", "echo secret | keep postgres_password", "secrets"),
    Break("compose/make-secrets", '/forecourt\' "$(random)"', "/forecourt' postgres", "settings"),
    Break("compose/.gitignore", "secrets/", "secret/", "secrets"),
    Break("helm/forecourt/Chart.yaml", "appVersion: 0.1.0", "appVersion: 0.0.9", "version"),
    Break("helm/forecourt/Chart.yaml", "type: application", "type: app", "helm"),
    Break("helm/forecourt/Chart.yaml", ">=1.29.0-0", ">=1.19.0-0", "releases"),
    Break("helm/forecourt/values.yaml", "drainSeconds: 15", "drainSecond: 15", "kubernetes"),
    Break("helm/forecourt/values.yaml", "duty: realtime", "duty: real", "kubernetes"),
    Break("helm/forecourt/values.yaml", "requests: {cpu: 250m, memory: 384Mi}", "requests: {cpu: 250m}", "kubernetes"),
    Break("helm/forecourt/values.yaml", "maxConnections: 500", "maxConnections: 300", "engines"),
    Break("helm/forecourt/values.yaml", "memory: 512mb", "memory: 700mb", "engines"),
    Break("helm/forecourt/values.yaml", "walStorage: {size: 24Gi,", "walStorage: {size: 16Gi,", "engines"),
    Break("helm/make-secret", "random | entry secret-key", "printf changeme | entry secret-key", "engines"),
    Break("helm/make-secret", "@%s-postgres-read:5432", "@%s-postgres-ro:5432", "engines"),
    Break("helm/make-secret", '"$login" "$house" | entry database-url', '"$login" prod | entry database-url', "engines"),
    Break("helm/make-secret", "entry valkey-conf", "entry valkey.conf", "engines"),
    Break("helm/make-secret", "requirepass %s", "requirepas %s", "engines"),
    Break("helm/make-secret", "login=forecourt_app:$(random)", "login=forecourt_app:9nVxT3kQ", "chart_secret"),
    Break("helm/make-secret", "valkey=$(random)", "valkey=9nVxT3kQ", "chart_secret"),
    Break("helm/make-secret", 'entry "$key"', "entry more", "chart_secret"),
    Break("helm/make-secret", "printf '%s' \"$text\"", "printf '%s\\n' \"$text\"", "chart_secret"),
    Break("helm/make-secret", "exit 64; }\n\nrandom()", "}\n\nrandom()", "chart_secret"),
    Break("helm/forecourt/values.schema.json", '"additionalProperties": false', '"additionalProperties": true', "schema"),
    Break(
        "helm/forecourt/values.schema.json",
        '"publicUrl": {\n      "type": "string"',
        '"publicUrl": {"type": "number"',
        "kubernetes",
    ),
    Break("helm/forecourt/.helmignore", "ci/", "templates/", "kubernetes"),
    Break("helm/forecourt/templates/account.yaml", "  name: {{", "  name: the-{{", "kubernetes"),
    Break("helm/forecourt/templates/NOTES.txt", "-- forecourt audit verify", "-- forecourt audit verity", "notes"),
    Break("helm/forecourt/templates/NOTES.txt", "-worker --", "-work --", "notes"),
    Break("helm/forecourt/templates/NOTES.txt", "app.kubernetes.io/instance=", "app.kubernetes.io/name=", "notes"),
    Break("helm/forecourt/templates/NOTES.txt", "clusters.postgresql.cnpg.io {{", "clusters.postgresql.cnpg.io the-{{", "notes"),
    Break("helm/forecourt/templates/NOTES.txt", ".Values.publicUrl", ".Values.publicURL", "notes"),
]

OBSERVABILITY = [
    Break("observability/prometheus/prometheus.yml", "job_name: forecourt\n", "job_name: house\n", "watches"),
    Break("observability/prometheus/prometheus.yml", "metrics_path: /metrics", "metrics_path: /metric", "watches"),
    Break("observability/prometheus/prometheus.yml", "/metrics/certificate", "/metrics/tls", "watches"),
    Break("observability/prometheus/prometheus.yml", "  - rules/*.yml", "  - rule/*.yml", "watches"),
    Break("observability/prometheus/prometheus.yml", "alertmanager:9093", "alertmanager:9094", "watches"),
    Break("observability/prometheus/prometheus.yml", "evaluation_interval", "evaluation_intervall", "config"),
    Break("observability/prometheus/targets/forecourt.yml", "worker:9000", "worker:9001", "watches"),
    Break("observability/prometheus/targets/forecourt.yml", "role: worker", "role: wroker", "watches"),
    Break("observability/prometheus/targets/forecourt.yml", "- targets: [server:8000]", "- target: [server:8000]", "config"),
    Break("observability/prometheus/targets/gateway.yml", "gateway:9101", "gateway:8443", "watches"),
    Break("observability/prometheus/rules/recording.yml", "http_requests_total", "http_request_total", "rules"),
    Break("observability/prometheus/rules/recording.yml", "by (tier)", "by (tiers)", "rules"),
    Break("observability/prometheus/rules/alerts.yml", "database_copy_age_seconds", "database_copy_age", "rules"),
    Break("observability/prometheus/rules/alerts.yml", "$labels.subscriber", "$labels.subscribers", "rules"),
    Break("observability/prometheus/rules/alerts.yml", "severity: page", "severity: pages", "severities"),
    Break("observability/prometheus/rules/alerts.yml", "runbooks/copy-old.md", "runbooks/copy-aged.md", "runbooks"),
    Break("observability/prometheus/rules/alerts.yml", "expr: >-", "exp: >-", "config"),
    Break("observability/prometheus/tests/alerts_test.yml", "alertname: CopyOld", "alertname: CopyAged", "cases"),
    Break("observability/prometheus/tests/alerts_test.yml", "values: 0+0x19", "values: 1+0x19", "first_case"),
    Break("observability/prometheus/tests/slo_test.yml", "values: 0+40x47", "values: 0+4x47", "first_case"),
    Break("observability/alertmanager/alertmanager.yml", 'severity = "page"', 'severity = "pages"', "pages"),
    Break("observability/alertmanager/alertmanager.yml", "receivers:", "recievers:", "pages"),
    Break("observability/alertmanager/alertmanager.yml", "routing_key_file:", "routing_key:", "keys"),
    Break("observability/alertmanager/alertmanager.yml", '"NothingIsWatched"', '"NothingWatched"', "keys"),
    *(
        Break(f"observability/grafana/dashboards/forecourt-{name}.json", right, wrong, found_by)
        for name, right, wrong, found_by in [
            ("overview", "machine_disk_used_bytes", "machine_disk_used", "panels"),
            ("overview", '"uid": "forecourt-overview"', '"uid": "forecourt-work"', "grafana"),
            ("booking", "bookings_created_total", "booking_created_total", "panels"),
            ("database", "{{pool}}", "{{tier}}", "panels"),
            ("database", '"unit": "bytes"', '"unit": ""', "drawn"),
            ("work", "event_lag_seconds", "event_lag", "panels"),
            ("notifications", "notification_deliveries_total", "notification_delivery_total", "panels"),
            ("realtime", "sockets_open", "socket_open", "panels"),
            ("realtime", '"uid": "${datasource}"', '"uid": "${source}"', "grafana"),
        ]
    ),
    Break("observability/grafana/provisioning/datasources/forecourt.yml", "prometheus:9090", "prometheus:9093", "grafana"),
    Break("observability/grafana/provisioning/datasources/forecourt.yml", "isDefault: true", "isdefault: true", "grafana"),
    Break("observability/grafana/provisioning/datasources/forecourt.yml", "type: prometheus", "type: loki", "grafana"),
    Break("observability/grafana/provisioning/datasources/forecourt.yml", "15s", "30s", "grafana"),
    Break(
        "observability/grafana/provisioning/dashboards/forecourt.yml", "dashboards/forecourt\n", "dashboards/house\n", "grafana"
    ),
    Break("observability/grafana/provisioning/dashboards/forecourt.yml", "providers:", "provider:", "grafana"),
    Break("observability/grafana/provisioning/dashboards/forecourt.yml", "type: file", "type: files", "grafana"),
]

TERRAFORM = [
    *(
        Break(f"terraform/{file}", right, wrong, found_by)
        for file, right, wrong, found_by in [
            ("versions.tf", '">= 1.9"', '">= 99"', "terraform: Unsupported Terraform Core version"),
            ("versions.tf", '"~> 6.45"', '"~> 5.0"', "words: aws ~> 5.0 is not"),
            ("variables.tf", "default     = true\n}", "default     = []\n}", "terraform: Invalid default value"),
            (
                "variables.tf",
                "length(var.subnet_ids) >= 2",
                "length(var.subnet_ids) >= 1",
                "house: what_cannot_be_is_refused: error",
            ),
            ("variables.tf", "  type        = map(string)\n", "", "words: tags has no type"),
            ("network.tf", "to_port                      = local.valkey", "to_prot = local.valkey", "terraform: to_prot"),
            (
                "network.tf",
                "referenced_security_group_id = each.value",
                'cidr_ipv4 = "0.0.0.0/0"',
                "house: postgres is open to more",
            ),
            (
                "network.tf",
                "  to_port                      = local.valkey_port",
                "  to_port = 6380",
                "house: valkey is not reached",
            ),
            ("postgres.tf", "aws_db_subnet_group.postgres.name", "aws_db_subnet_group.postgers.name", "terraform: postgers"),
            ("postgres.tf", "multi_az       = true", "multi_az = false", "house: nobody takes over from the primary"),
            ("postgres.tf", "publicly_accessible    = false", "publicly_accessible = true", "house: the primary can be reached"),
            (
                "postgres.tf",
                "storage_encrypted     = true",
                "storage_encrypted = false",
                "house: the primary's disk is not encrypted",
            ),
            ("postgres.tf", "= var.backup_days", "= 0", "house: the database cannot be brought back"),
            ("postgres.tf", "delete_automated_backups  = false", "delete_automated_backups = true", "house: deletes its copies"),
            ("postgres.tf", '"rds.force_ssl"                     = "1"', '"rds.force_ssl" = "0"', "house: PostgreSQL takes"),
            ("postgres.tf", '"autovacuum_naptime"', '"autovacuum_nap"', "server: autovacuum_nap is no setting"),
            ("postgres.tf", '= "8192"', '= "8MB"', "server: work_mem is 8MB, and in containers 8MB"),
            ("postgres.tf", '"jit"                     = "0"', '"jit" = "1"', "server: jit is 1"),
            (
                "postgres.tf",
                '"pg_stat_statements.max"   = "2000"',
                "",
                "server: pg_stat_statements.max is said of containers only",
            ),
            ("postgres.tf", '"pending-reboot"', '"immediate"', "server: shared_preload_libraries is applied immediate"),
            ("valkey.tf", '"volatile-lru"', '"allkeys-lru"', "house: Valkey does not throw out"),
            ("valkey.tf", '"required"', '"preferred"', "house: Valkey takes connections without TLS"),
            (
                "valkey.tf",
                "automatic_failover_enabled = true",
                "automatic_failover_enabled = false",
                "house: nobody takes over from Valkey",
            ),
            (
                "valkey.tf",
                "auth_token                 = random_password.valkey",
                "auth_token = random_password.owner",
                "house: Valkey has another password",
            ),
            (
                "media.tf",
                "  bucket = aws_s3_bucket.media.id\n\n  versioning",
                "\n  versioning",
                "terraform: Missing required argument",
            ),
            ("media.tf", "block_public_policy     = true", "block_public_policy = false", "house: files can be made public"),
            ("media.tf", "days_after_initiation = 1", "days_after_initiation = 7", "house: uploads that were broken off stay"),
            ("media.tf", "noncurrent_days = var.backup_days + 1", "noncurrent_days = 0", "house: name files that are gone"),
            (
                "media.tf",
                '"aws:SecureTransport" = "false"',
                '"aws:SecureTransport" = "true"',
                "house: the bucket is talked to without TLS",
            ),
            ("media.tf", '"s3:DeleteObject"', '"s3:DeleteBucket"', "house: may do too much or too little"),
            (
                "media.tf",
                "${var.namespace}:${var.release}",
                "${var.release}:${var.namespace}",
                "house: is not the program's account",
            ),
            ("secrets.tf", '"gateway-keys" ', '"gateway-key" ', "house: the chart reads ["),
            ("secrets.tf", '"forecourt_app:', '"forecourt:', "house: database-url leads to postgresql://forecourt@"),
            ("secrets.tf", '"sslmode=require"', '"sslmode=prefer"', "house: database-url may go without TLS"),
            ("secrets.tf", '"valkeys://', '"valkey://', "house: valkey-url leads to valkey://"),
            ("secrets.tf", "length  = 64", "length  = 16", "house: random_password.secret_key is short"),
            ("outputs.tf", "one(aws_db_instance.replica[*].address)", "aws_db_instance.replicas", "terraform: replicas"),
            ("outputs.tf", "FORECOURT_TRUSTED_PROXIES =", "FORECOURT_TRUSTED_PROXY =", "house: FORECOURT_TRUSTED_PROXY"),
            ("outputs.tf", "postgres_replica_address", "postgres_twin_address", "words: does not tell of postgres_twin_address"),
            ("examples/house/main.tf", "data_services.secret_arn", "data_services.secret", "terraform: Unsupported attribute"),
            ("tests/house.tftest.hcl", "postgres_replica = false", "postgres_replica = true", "house: Reads go to the primary"),
            (".gitignore", "*.tfstate\n", "", "words: terraform.tfstate would come into the repository"),
            ("README.md", "| `backup_days`", "| `backup_weeks`", "words: does not tell of backup_days"),
        ]
    ),
]

ELSEWHERE = {
    "docker/Dockerfile": "tests/deploy/test_image.py::test_a_step_that_would_fail_fails",
    "citus/distribution.sql": "tests/tooling/test_distribution.py::test_the_statements_for_citus_follow_from_the_catalogue",
    "compose/pg_hba.conf": "tests/deploy/test_compose_engines.py::test_a_rule_that_cannot_be_or_lets_anybody_in_is_found",
}
"""Files that are broken where the engine that reads them is."""
