"""HTTP: operations declared as data, compiled to ASGI handlers that Litestar routes, and described as OpenAPI 3.1."""
