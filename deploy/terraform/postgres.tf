# The database: a primary with a standby in another zone, which takes over by itself within a minute or two under the same address,
# and a replica for reads. The log goes to the backups every five minutes.

locals {
  postgres_port  = 5432
  postgres_owner = "forecourt"
  database       = "forecourt"

  # As deploy/compose/compose.production.yaml has them, in PostgreSQL's own units. Memory is left as RDS reckons it by class.
  # Transactions are bounded by the program's role, so that RDS's own work is not.
  postgres_parameters = {
    "rds.force_ssl"                     = "1"
    "rds.accepted_password_auth_method" = "scram"

    "autovacuum_naptime"      = "20"
    "checkpoint_timeout"      = "600"
    "jit"                     = "0"
    "log_error_verbosity"     = "terse" # a DETAIL line would put people's data into the log
    "log_min_error_statement" = "panic"
    "max_slot_wal_keep_size"  = tostring(min(16384, floor(var.postgres_storage_gib * 1024 / 5))) # a replica that is away must not fill the disk
    "max_wal_size"            = "2048"
    "random_page_cost"        = "1.1"
    "timezone"                = "UTC"
    "wal_compression"         = "pglz"
    "work_mem"                = "8192"
  }
  # Those that a running server does not take.
  postgres_parameters_at_start = {
    "pg_stat_statements.max"   = "2000"
    "shared_preload_libraries" = "pg_stat_statements"
  }
}

resource "random_password" "owner" {
  length  = 48
  special = false
}

resource "aws_db_subnet_group" "postgres" {
  name_prefix = "${var.name}-"
  description = "PostgreSQL of ${var.name}"
  subnet_ids  = var.subnet_ids
  tags        = var.tags
}

resource "aws_db_parameter_group" "postgres" {
  name_prefix = "${var.name}-"
  description = "PostgreSQL of ${var.name}"
  family      = "postgres${split(".", var.postgres_version)[0]}"
  tags        = var.tags

  dynamic "parameter" {
    for_each = local.postgres_parameters
    content {
      name         = parameter.key
      value        = parameter.value
      apply_method = "immediate"
    }
  }

  dynamic "parameter" {
    for_each = local.postgres_parameters_at_start
    content {
      name         = parameter.key
      value        = parameter.value
      apply_method = "pending-reboot"
    }
  }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_db_instance" "primary" {
  identifier     = var.name
  engine         = "postgres"
  engine_version = var.postgres_version
  instance_class = var.postgres_class
  multi_az       = true

  db_name  = local.database
  username = local.postgres_owner
  password = random_password.owner.result
  port     = local.postgres_port

  db_subnet_group_name   = aws_db_subnet_group.postgres.name
  vpc_security_group_ids = [aws_security_group.postgres.id]
  parameter_group_name   = aws_db_parameter_group.postgres.name
  publicly_accessible    = false

  storage_type          = "gp3"
  allocated_storage     = var.postgres_storage_gib
  max_allocated_storage = var.postgres_storage_limit_gib
  storage_encrypted     = true
  kms_key_id            = var.kms_key_arn

  backup_retention_period   = var.backup_days
  backup_window             = var.backup_window
  copy_tags_to_snapshot     = true
  delete_automated_backups  = false
  deletion_protection       = var.deletion_protection
  skip_final_snapshot       = false
  final_snapshot_identifier = "${var.name}-final"

  maintenance_window              = var.maintenance_window
  auto_minor_version_upgrade      = true
  apply_immediately               = false
  enabled_cloudwatch_logs_exports = ["postgresql", "upgrade"]

  tags = var.tags
}

# Reads the primary's log. It has no copies of its own: the primary's are everybody's.
resource "aws_db_instance" "replica" {
  count = var.postgres_replica ? 1 : 0

  identifier          = "${var.name}-replica"
  replicate_source_db = aws_db_instance.primary.identifier
  instance_class      = var.postgres_class

  vpc_security_group_ids = [aws_security_group.postgres.id]
  parameter_group_name   = aws_db_parameter_group.postgres.name
  publicly_accessible    = false

  storage_type          = "gp3"
  max_allocated_storage = var.postgres_storage_limit_gib
  storage_encrypted     = true
  kms_key_id            = var.kms_key_arn

  backup_retention_period = 0
  skip_final_snapshot     = true
  deletion_protection     = false

  maintenance_window         = var.maintenance_window
  auto_minor_version_upgrade = true
  apply_immediately          = false

  tags = var.tags
}
