# `terraform test` in the module's folder: no cloud and no credentials take part.

mock_provider "aws" {
  mock_resource "aws_db_instance" {
    defaults = {
      address = "house.abc.eu-west-1.rds.amazonaws.com"
    }
  }
  mock_resource "aws_elasticache_replication_group" {
    defaults = {
      primary_endpoint_address = "master.house.abc.euw1.cache.amazonaws.com"
    }
  }
  mock_resource "aws_s3_bucket" {
    defaults = {
      id  = "house-media-20261122"
      arn = "arn:aws:s3:::house-media-20261122"
    }
  }
  mock_resource "aws_iam_role" {
    defaults = {
      arn = "arn:aws:iam::123456789012:role/house"
    }
  }
  mock_resource "aws_secretsmanager_secret" {
    defaults = {
      arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:house-abc"
    }
  }
  mock_data "aws_region" {
    defaults = {
      region = "eu-west-1"
    }
  }
}

mock_provider "random" {}

override_resource {
  target = aws_db_instance.replica
  values = { address = "house-replica.abc.eu-west-1.rds.amazonaws.com" }
}

override_resource {
  target = random_password.owner
  values = { result = "xM3pTq8ZrK1vLw9NcB5yHs2JdG7fAe4UoRi6XtVkQbWmPzEn" }
}

override_resource {
  target = random_password.program
  values = { result = "Lk8WvR2nXq5ZtB9mYc3HsJ7dPf1GaE6uTo4KiNwQxVrMbCzS" }
}

override_resource {
  target = random_password.valkey
  values = { result = "Qz7NbV1xKw4RtL8mPc2YsH6jGd9FaU3eTo5XiBnWqZrMvCkJ" }
}

override_resource {
  target = random_password.secret_key
  values = { result = "Tn5XcQ9vBz2KmW7rLp4YsD1jHg8FaR3eUo6ViNwZqXtMbCkJGyEhSxPd0Qu7AfIl" }
}

override_resource {
  target = random_password.gateway
  values = { result = "Vb3MqK7xZn1TwR5cLp9YsJ2dHg6FaU8eXo4QiBnWvZrMtCkE" }
}

override_resource {
  target = random_password.contract
  values = { result = "Rw6ZtN2qXk9VmB4cLp7YsH1jDg5FaE3uTo8KiQnWbXrMvCzG" }
}

variables {
  name                      = "house"
  vpc_id                    = "vpc-0123456789abcdef0"
  subnet_ids                = ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"]
  client_security_group_ids = { nodes = "sg-0123456789abcdef0" }
  pod_cidrs                 = ["10.0.0.0/17"]
  oidc_provider_arn         = "arn:aws:iam::123456789012:oidc-provider/oidc.eks.eu-west-1.amazonaws.com/id/ABC"
}

run "a_house" {
  assert {
    condition     = aws_db_instance.primary.multi_az && length(aws_db_instance.replica) == 1
    error_message = "A standby and a replica."
  }
  assert {
    condition     = jsondecode(aws_secretsmanager_secret_version.house.secret_string)["database-url"] == "postgresql://forecourt_app:Lk8WvR2nXq5ZtB9mYc3HsJ7dPf1GaE6uTo4KiNwQxVrMbCzS@house.abc.eu-west-1.rds.amazonaws.com:5432/forecourt?sslmode=require"
    error_message = "The program logs in with its own password, over TLS."
  }
}

run "without_a_replica" {
  command = plan

  variables {
    postgres_replica = false
  }
  assert {
    condition     = length(aws_db_instance.replica) == 0 && !contains(nonsensitive(keys(local.secrets)), "database-replica-url")
    error_message = "Reads go to the primary."
  }
}

run "on_a_small_disk" {
  command = plan

  variables {
    postgres_storage_gib = 20
  }
  assert {
    condition     = local.postgres_parameters["max_slot_wal_keep_size"] == "4096"
    error_message = "What is kept for a replica leaves room for the database."
  }
}

run "with_a_key_and_certificates" {
  command = plan

  variables {
    kms_key_arn      = "arn:aws:kms:eu-west-1:123456789012:key/abc"
    postgres_ca_file = "/etc/ssl/rds.pem"
  }
  assert {
    condition     = alltrue([for one in [aws_db_instance.primary, aws_elasticache_replication_group.valkey, aws_secretsmanager_secret.house] : one.kms_key_id == var.kms_key_arn])
    error_message = "Everything is encrypted with the key."
  }
  assert {
    condition     = local.tls == "sslmode=verify-full&sslrootcert=/etc/ssl/rds.pem"
    error_message = "The server has to prove who it is."
  }
}

run "new_keys_come_last" {
  command = plan

  variables {
    gateway_key_ids = ["first", "second"]
  }
  assert {
    condition     = toset(keys(random_password.gateway)) == toset(["first", "second"])
    error_message = "A key for each word."
  }
}

run "what_cannot_be_is_refused" {
  command = plan

  variables {
    name                       = "The House"
    subnet_ids                 = ["subnet-0123456789abcdef0"]
    client_security_group_ids  = {}
    pod_cidrs                  = ["0.0.0.0/0"]
    postgres_version           = "17"
    postgres_class             = "m7g.large"
    postgres_storage_gib       = 200
    postgres_storage_limit_gib = 200
    backup_days                = 0
    valkey_standbys            = 0
    valkey_version             = "8.2"
    gateway_key_ids            = []
    contract_key_ids           = ["a:b"]
    kms_key_arn                = "alias/house"
  }
  expect_failures = [
    var.name,
    var.subnet_ids,
    var.client_security_group_ids,
    var.pod_cidrs,
    var.postgres_version,
    var.postgres_class,
    var.postgres_storage_limit_gib,
    var.backup_days,
    var.valkey_standbys,
    var.valkey_version,
    var.gateway_key_ids,
    var.contract_key_ids,
    var.kms_key_arn,
  ]
}
