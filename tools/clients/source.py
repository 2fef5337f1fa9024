"""The OpenAPI document of this checkout, read from its declarations: nothing is started."""

from __future__ import annotations

from typing import Any

from forecourt import survey
from forecourt.kernel.http.openapi import document
from forecourt.kernel.http.operation import Operation
from forecourt.system import VERSION

SERVER = "http://localhost:8000"
"""Where `make up` opens the doors."""
ONLY_IN_DEVELOPMENT = "/dev/"


def read_document() -> dict[str, Any]:
    """What a house in production answers at /openapi.json, at the address of `make up`."""
    survey.load()
    operations: list[Operation] = []
    for api in survey.every_api():
        if not api.__module__.startswith("forecourt."):
            continue  # Tests have operations of their own.
        # An operation is described by its class; the services behind it are not asked.
        operations += api.__new__(api).operations()
    kept = [op for op in operations if not op.path.startswith(ONLY_IN_DEVELOPMENT)]
    return document(kept, version=VERSION, server=SERVER)
