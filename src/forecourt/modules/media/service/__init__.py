"""Use cases: take a file, at once or in parts; attach it, show it, let it go."""

from forecourt.modules.media.service.base import EXPIRE, SWEEP, Expire, Holder, Quotas, Sweep
from forecourt.modules.media.service.owning import Owning
from forecourt.modules.media.service.resuming import Resuming
from forecourt.modules.media.service.showing import Asked, Opened, Showing
from forecourt.modules.media.service.sweeping import Sweeping
from forecourt.modules.media.service.taking import Sent


class MediaService(Resuming, Showing, Owning, Sweeping):
    """Everything that the contract and the addresses of this module offer."""


__all__ = [
    "EXPIRE",
    "SWEEP",
    "Asked",
    "Expire",
    "Holder",
    "MediaService",
    "Opened",
    "Quotas",
    "Sent",
    "Sweep",
]
