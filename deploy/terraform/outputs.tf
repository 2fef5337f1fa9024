output "secret_arn" {
  description = "The secret of Secrets Manager that becomes the cluster's Secret."
  value       = aws_secretsmanager_secret.house.arn
}

output "helm_values" {
  description = "Values for the chart, as YAML. It holds no secret."
  value = yamlencode({
    existingSecret = var.kubernetes_secret
    settings = {
      FORECOURT_MEDIA_URL       = "s3://${aws_s3_bucket.media.id}/${var.media_prefix}"
      FORECOURT_TRUSTED_PROXIES = join(",", var.pod_cidrs)
      AWS_REGION                = data.aws_region.here.region
    }
    secretSettings = { for key in nonsensitive(keys(local.secrets)) : "DATABASE_REPLICA_URL" => key if key == "database-replica-url" }
    serviceAccount = { annotations = { "eks.amazonaws.com/role-arn" = aws_iam_role.program.arn } }
  })
}

output "postgres_address" {
  description = "Where the primary is; after a fail-over too."
  value       = aws_db_instance.primary.address
}

output "postgres_replica_address" {
  description = "Where the replica is, if there is one."
  value       = one(aws_db_instance.replica[*].address)
}

output "valkey_address" {
  description = "Where Valkey is; after a fail-over too."
  value       = aws_elasticache_replication_group.valkey.primary_endpoint_address
}

output "media_bucket" {
  description = "The bucket of uploaded files."
  value       = aws_s3_bucket.media.id
}

output "program_role_arn" {
  description = "The role that the pods have."
  value       = aws_iam_role.program.arn
}
