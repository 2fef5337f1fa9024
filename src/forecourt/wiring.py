"""How each module is built: which services it needs, and what it brings. One function per module, called by `app.House`.

A module calls another only through `house.board.call(Protocol)`, so the order here does not matter and any of them may live
in another process.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from forecourt.kernel.http.gate import Gate

if TYPE_CHECKING:
    from forecourt.app import House, Part

Builder = Callable[["House"], "Part"]

MODULES: dict[str, Builder] = {}


def gate(house: House) -> Gate:
    """The door of this process, asking whoever keeps accounts."""
    from forecourt.modules.identity.contract import Identity

    return Gate(house.board.call(Identity), house.settings.http.public_url)
