"""The OpenAPI document of this checkout, read from its declarations: nothing is started."""

from __future__ import annotations

from typing import Any

from forecourt import survey
from forecourt.kernel.http.openapi import document
from forecourt.system import VERSION

SERVER = "http://localhost:8000"
"""Where `make up` opens the doors."""


def read_document() -> dict[str, Any]:
    """What a house in production answers at /openapi.json, at the address of `make up`."""
    return document(survey.operations(production=True), version=VERSION, server=SERVER)
