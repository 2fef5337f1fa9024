# A house's data services beside a cluster that is there already.
#
#   terraform init && terraform apply

terraform {
  required_version = ">= 1.10"

  # The state holds the house's secrets.
  backend "s3" {
    bucket       = "example-terraform-state"
    key          = "forecourt/terraform.tfstate"
    region       = "eu-west-1"
    encrypt      = true
    use_lockfile = true
  }
}

provider "aws" {
  region = "eu-west-1"
}

module "data_services" {
  source = "../.."

  name                      = "house"
  vpc_id                    = "vpc-0123456789abcdef0"
  subnet_ids                = ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"]
  client_security_group_ids = { nodes = "sg-0123456789abcdef0" }
  pod_cidrs                 = ["10.0.0.0/17"]
  oidc_provider_arn         = "arn:aws:iam::123456789012:oidc-provider/oidc.eks.eu-west-1.amazonaws.com/id/0123456789ABCDEF0123456789ABCDEF"
}

output "secret_arn" {
  description = "For kubectl."
  value       = module.data_services.secret_arn
}

output "helm_values" {
  description = "For helm."
  value       = module.data_services.helm_values
}
