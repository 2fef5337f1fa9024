"""The use cases of venues, one file per subject, together as `VenuesService`."""

from __future__ import annotations

from forecourt.modules.venues.service.organisations import Organisations
from forecourt.modules.venues.service.search import Search
from forecourt.modules.venues.service.venues import Editing


class VenuesService(Search, Organisations, Editing):
    """Everything the module does. Satisfies `contract.Venues`."""


__all__ = ["VenuesService"]
