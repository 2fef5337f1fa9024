# Cache, limits, presence and what goes to sockets: all of it can be lost, so nothing is kept on disk. When the node is lost,
# one of another zone takes over under the same address.

locals {
  valkey_port = 6379

  # What has no expiry is never thrown out; of the rest, what was unused longest (src/forecourt/engines/valkey.py).
  valkey_parameters = {
    "maxmemory-policy" = "volatile-lru"
  }
}

resource "random_password" "valkey" {
  length  = 48
  special = false
}

resource "aws_elasticache_subnet_group" "valkey" {
  name        = "${var.name}-valkey"
  description = "Valkey of ${var.name}"
  subnet_ids  = var.subnet_ids
  tags        = var.tags
}

resource "aws_elasticache_parameter_group" "valkey" {
  # A name for each family: one group makes room for the other.
  name        = "${var.name}-valkey${split(".", var.valkey_version)[0]}"
  description = "Valkey of ${var.name}"
  family      = "valkey${split(".", var.valkey_version)[0]}"
  tags        = var.tags

  dynamic "parameter" {
    for_each = local.valkey_parameters
    content {
      name  = parameter.key
      value = parameter.value
    }
  }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_elasticache_replication_group" "valkey" {
  replication_group_id = "${var.name}-valkey"
  description          = "Valkey of ${var.name}"
  engine               = "valkey"
  engine_version       = var.valkey_version
  node_type            = var.valkey_class
  port                 = local.valkey_port

  num_cache_clusters         = 1 + var.valkey_standbys
  automatic_failover_enabled = true
  multi_az_enabled           = true

  subnet_group_name    = aws_elasticache_subnet_group.valkey.name
  security_group_ids   = [aws_security_group.valkey.id]
  parameter_group_name = aws_elasticache_parameter_group.valkey.name

  transit_encryption_enabled = true
  transit_encryption_mode    = "required"
  at_rest_encryption_enabled = true
  kms_key_id                 = var.kms_key_arn
  auth_token                 = random_password.valkey.result

  snapshot_retention_limit   = 0
  maintenance_window         = var.maintenance_window
  auto_minor_version_upgrade = true
  apply_immediately          = false

  tags = var.tags
}
