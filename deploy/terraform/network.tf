# Who reaches the engines: those who are named, and nobody else. Neither opens a connection of its own, so there are no rules
# for the other direction.

resource "aws_security_group" "postgres" {
  name_prefix            = "${var.name}-postgres-"
  description            = "PostgreSQL of ${var.name}"
  vpc_id                 = var.vpc_id
  revoke_rules_on_delete = true
  tags                   = merge(var.tags, { Name = "${var.name}-postgres" })

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_ingress_rule" "postgres" {
  for_each = var.client_security_group_ids

  security_group_id            = aws_security_group.postgres.id
  referenced_security_group_id = each.value
  description                  = "from ${each.key}"
  ip_protocol                  = "tcp"
  from_port                    = local.postgres_port
  to_port                      = local.postgres_port
  tags                         = var.tags
}

resource "aws_security_group" "valkey" {
  name_prefix            = "${var.name}-valkey-"
  description            = "Valkey of ${var.name}"
  vpc_id                 = var.vpc_id
  revoke_rules_on_delete = true
  tags                   = merge(var.tags, { Name = "${var.name}-valkey" })

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_ingress_rule" "valkey" {
  for_each = var.client_security_group_ids

  security_group_id            = aws_security_group.valkey.id
  referenced_security_group_id = each.value
  description                  = "from ${each.key}"
  ip_protocol                  = "tcp"
  from_port                    = local.valkey_port
  to_port                      = local.valkey_port
  tags                         = var.tags
}
