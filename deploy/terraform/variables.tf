# --- the house --------------------------------------------------------------------------------------------------------------

variable "name" {
  description = "Begins the name of everything that is made; one for each house."
  type        = string
  default     = "forecourt"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,22}[a-z0-9]$", var.name)) && !strcontains(var.name, "--")
    error_message = "At most 24 small letters, digits and single hyphens, beginning with a letter."
  }
}

variable "tags" {
  description = "Tags of everything that is made."
  type        = map(string)
  default     = {}
}

variable "kms_key_arn" {
  description = "The key that encrypts database, cache, files and the secret. Default: the keys that AWS keeps for each service."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key_arn == null || can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/.+$", var.kms_key_arn))
    error_message = "Has to be a key's ARN, not an alias."
  }
}

# --- the cluster ------------------------------------------------------------------------------------------------------------

variable "vpc_id" {
  description = "The network that the cluster's nodes are in."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets for the engines, in at least two zones."
  type        = set(string)

  validation {
    condition     = length(var.subnet_ids) >= 2
    error_message = "A standby needs a second zone: name subnets of at least two."
  }
}

variable "client_security_group_ids" {
  description = "Who may reach the engines: a word of your own for each, and the security group, such as { nodes = \"sg-…\" }."
  type        = map(string)

  validation {
    condition     = length(var.client_security_group_ids) > 0
    error_message = "Without the nodes' security group nobody reaches the engines."
  }
}

variable "pod_cidrs" {
  description = "The networks of the pods: who comes from there is believed to say for whom. With the VPC's own addresses, its private subnets."
  type        = list(string)

  validation {
    condition     = length(var.pod_cidrs) > 0 && alltrue([for cidr in var.pod_cidrs : can(cidrhost(cidr, 0)) && !endswith(cidr, "/0")])
    error_message = "Give networks such as 10.0.0.0/16, and not everybody's."
  }
}

variable "oidc_provider_arn" {
  description = "The cluster's OIDC provider in IAM, through which its service accounts are known."
  type        = string

  validation {
    condition     = can(regex("^arn:[a-z-]+:iam::[0-9]{12}:oidc-provider/.+$", var.oidc_provider_arn))
    error_message = "Has to be an ARN such as arn:aws:iam::123456789012:oidc-provider/oidc.eks.eu-west-1.amazonaws.com/id/ABC."
  }
}

variable "namespace" {
  description = "The namespace that the chart is installed in."
  type        = string
  default     = "forecourt"
}

variable "release" {
  description = "The name of the chart's release, which is its service account's too."
  type        = string
  default     = "house"

  validation {
    condition     = can(regex("^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$", var.release))
    error_message = "The chart cuts off what is longer than 40 letters."
  }
}

variable "kubernetes_secret" {
  description = "The name of the cluster's Secret, which is the chart's existingSecret."
  type        = string
  default     = "forecourt"
}

# --- PostgreSQL -------------------------------------------------------------------------------------------------------------

variable "postgres_version" {
  description = "PostgreSQL's major version, or with its minor one. Minor versions come by themselves in the maintenance window."
  type        = string
  default     = "18"

  validation {
    condition     = can(regex("^18([.][0-9]+)?$", var.postgres_version))
    error_message = "The program runs on PostgreSQL 18."
  }
}

variable "postgres_class" {
  description = "The instance class of the primary, its standby and the replica. A quarter of its memory is PostgreSQL's own cache."
  type        = string
  default     = "db.m7g.large"

  validation {
    condition     = startswith(var.postgres_class, "db.")
    error_message = "Has to be a class such as db.m7g.large."
  }
}

variable "postgres_storage_gib" {
  description = "The disk to begin with, in GiB."
  type        = number
  default     = 100

  validation {
    condition     = var.postgres_storage_gib >= 20 && floor(var.postgres_storage_gib) == var.postgres_storage_gib
    error_message = "At least 20, in whole GiB."
  }
}

variable "postgres_storage_limit_gib" {
  description = "How far the disk grows by itself, in GiB."
  type        = number
  default     = 1000

  validation {
    condition     = var.postgres_storage_limit_gib >= 1.1 * var.postgres_storage_gib
    error_message = "Has to leave room to grow: at least a tenth more than postgres_storage_gib."
  }
}

variable "postgres_replica" {
  description = "Whether reads go to a replica. It is no standby: that one is always there."
  type        = bool
  default     = true
}

variable "postgres_ca_file" {
  description = "Where pods have the region's certificates of RDS; then the server has to prove who it is. Default: encrypted, unproven."
  type        = string
  default     = null

  validation {
    condition     = var.postgres_ca_file == null || can(regex("^/[A-Za-z0-9._/-]+$", var.postgres_ca_file))
    error_message = "Has to be a path such as /etc/ssl/rds.pem."
  }
}

variable "backup_days" {
  description = "For how many days the database can be brought back as it was at any moment."
  type        = number
  default     = 14

  validation {
    condition     = var.backup_days >= 1 && var.backup_days <= 35 && floor(var.backup_days) == var.backup_days
    error_message = "From 1 to 35 whole days."
  }
}

variable "backup_window" {
  description = "When the daily copy is made, in UTC."
  type        = string
  default     = "02:00-03:00"

  validation {
    condition     = can(regex("^([01][0-9]|2[0-3]):[0-5][0-9]-([01][0-9]|2[0-3]):[0-5][0-9]$", var.backup_window))
    error_message = "Has to be a time such as 02:00-03:00."
  }
}

variable "maintenance_window" {
  description = "When the engines may be brought up to date, in UTC; not within backup_window."
  type        = string
  default     = "tue:03:30-tue:04:30"

  validation {
    condition     = can(regex("^(mon|tue|wed|thu|fri|sat|sun):([01][0-9]|2[0-3]):[0-5][0-9]-(mon|tue|wed|thu|fri|sat|sun):([01][0-9]|2[0-3]):[0-5][0-9]$", var.maintenance_window))
    error_message = "Has to be a time such as tue:03:30-tue:04:30."
  }
}

variable "deletion_protection" {
  description = "Whether AWS refuses to delete the database. Take it away, and apply, before you destroy a house for good."
  type        = bool
  default     = true
}

# --- Valkey -----------------------------------------------------------------------------------------------------------------

variable "valkey_version" {
  description = "Valkey's version."
  type        = string
  default     = "9.1"

  validation {
    condition     = can(regex("^9[.][0-9]+$", var.valkey_version))
    error_message = "The program is tested with Valkey 9: give a version such as 9.1."
  }
}

variable "valkey_class" {
  description = "The node type of Valkey. It keeps nothing: cache, limits, presence and what goes to sockets."
  type        = string
  default     = "cache.t4g.small"

  validation {
    condition     = startswith(var.valkey_class, "cache.")
    error_message = "Has to be a type such as cache.t4g.small."
  }
}

variable "valkey_standbys" {
  description = "How many nodes in other zones can take over."
  type        = number
  default     = 1

  validation {
    condition     = var.valkey_standbys >= 1 && var.valkey_standbys <= 5 && floor(var.valkey_standbys) == var.valkey_standbys
    error_message = "From 1 to 5: without one nobody takes over."
  }
}

# --- files and secrets ------------------------------------------------------------------------------------------------------

variable "media_prefix" {
  description = "What begins the names of uploaded files in their bucket."
  type        = string
  default     = "house"

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]*(/[a-z0-9-]+)*$", var.media_prefix))
    error_message = "Small letters, digits, hyphens, and slashes between them."
  }
}

variable "media_versioning" {
  description = "Whether removed files are kept for as long as the database's copies, which name them."
  type        = bool
  default     = true
}

variable "gateway_key_ids" {
  description = "A word for each key that the gateway may show. It shows the first, and all are good; put a new one at the end, then in front, then take the old one out."
  type        = list(string)
  default     = ["first"]

  validation {
    condition     = length(var.gateway_key_ids) > 0 && alltrue([for id in var.gateway_key_ids : can(regex("^[A-Za-z0-9_.-]{1,40}$", id))])
    error_message = "At least one, of letters, digits, dots, hyphens and underscores."
  }
}

variable "contract_key_ids" {
  description = "The same for the keys that sign calls between processes."
  type        = list(string)
  default     = ["first"]

  validation {
    condition     = length(var.contract_key_ids) > 0 && alltrue([for id in var.contract_key_ids : can(regex("^[A-Za-z0-9_.-]{1,40}$", id))])
    error_message = "At least one, of letters, digits, dots, hyphens and underscores."
  }
}
