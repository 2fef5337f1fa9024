"""Clients, made from the OpenAPI document: what `tools.generate_client` writes."""
