# What the chart's existingSecret holds (deploy/helm/forecourt/values.yaml), made here so that nobody types it. Terraform's state holds
# it too: keep that encrypted, and for few.

resource "random_password" "program" {
  length  = 48
  special = false
}

resource "random_password" "secret_key" {
  length  = 64
  special = false
}

resource "random_password" "gateway" {
  for_each = toset(var.gateway_key_ids)

  length  = 48
  special = false
}

resource "random_password" "contract" {
  for_each = toset(var.contract_key_ids)

  length  = 48
  special = false
}

locals {
  tls = var.postgres_ca_file == null ? "sslmode=require" : "sslmode=verify-full&sslrootcert=${var.postgres_ca_file}"

  # The program's own login, which the migration makes and gives this password.
  program_login = "forecourt_app:${random_password.program.result}"
  owner_login   = "${local.postgres_owner}:${random_password.owner.result}"
  valkey_login  = ":${random_password.valkey.result}"

  primary_place = "${aws_db_instance.primary.address}:${local.postgres_port}/${local.database}?${local.tls}"
  valkey_place  = "${aws_elasticache_replication_group.valkey.primary_endpoint_address}:${local.valkey_port}/0"

  secrets = merge(
    {
      "database-url"       = "postgresql://${local.program_login}@${local.primary_place}"
      "database-admin-url" = "postgresql://${local.owner_login}@${local.primary_place}"
      "valkey-url"         = "valkeys://${local.valkey_login}@${local.valkey_place}"
      "secret-key"         = random_password.secret_key.result
      "gateway-keys"       = join(",", [for id in var.gateway_key_ids : "${id}:${random_password.gateway[id].result}"])
      "contract-keys"      = join(",", [for id in var.contract_key_ids : "${id}:${random_password.contract[id].result}"])
    },
    {
      for replica in aws_db_instance.replica : "database-replica-url" =>
      "postgresql://${local.program_login}@${replica.address}:${local.postgres_port}/${local.database}?${local.tls}"
    },
  )
}

resource "aws_secretsmanager_secret" "house" {
  name_prefix             = "${var.name}-"
  description             = "What the chart of ${var.release} reads as ${var.kubernetes_secret}"
  kms_key_id              = var.kms_key_arn
  recovery_window_in_days = 30
  tags                    = var.tags
}

resource "aws_secretsmanager_secret_version" "house" {
  secret_id     = aws_secretsmanager_secret.house.id
  secret_string = jsonencode(local.secrets)
}
