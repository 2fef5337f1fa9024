"""Who comes to a process of a split house by itself shows what its gateway shows."""

from __future__ import annotations

from forecourt.kernel.http.doorman import HEADER
from forecourt.kernel.settings import Secret

SHOWN, NEXT, FORMER = "gateway-of-the-split-house-shows-3a8c", "gateway-of-the-split-house-shows-c41f", "gateway-showed-once-77d0"
GATEWAY_KEYS = f"first:{SHOWN},next:{NEXT}"
"""What its processes take. `FORMER` has been taken out of the list."""


def proof(_: object = None) -> Secret:
    """What its gateway shows (`Gateway(…, proof=proof)`)."""
    return Secret(SHOWN)


def identity(shown: str = SHOWN) -> dict[str, str]:
    """Headers of a request that goes straight to a process, as if it came through the gateway."""
    return {HEADER: shown}
